"""Checking claims and derivations: verdicts, assumptions, reproduction, refusal of truth values."""

import json
from dataclasses import replace

import numpy as np
import pytest

import itssl
from itssl import Assumption, Bias, ClaimError, Estimate, Outcome, Reference, Relation, Sides, World, claim
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.verdict import Verdict

WORLD = World(name="zero", make=lambda: 0.0)


def toy(**options):
    @claim("T01", relation=Relation.EQUAL, margin=0.1, worlds=(WORLD,),
           reference=Reference(authors="A", title="T", year=2000), **options)  # fmt: skip
    def mean_is_world(world, rng):
        """The mean is the world's number."""
        return Sides(left=float(rng.normal(size=100).mean()), right=world)

    @mean_is_world.control("shifted")
    def _(world, rng):
        return Sides(left=float(rng.normal(size=100).mean()) + 1, right=world)

    return mean_is_world


def test_claim_and_control():
    made = toy()
    verdict = itssl.check(made)
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.as_expected
    verdict.require()
    refuted = itssl.check(made, control="shifted")
    assert refuted.outcome is Outcome.VIOLATED
    assert refuted.as_expected
    refuted.require()
    assert made.title == "The mean is the world's number."


def test_every_replicate_draws_anew():
    drawn = []

    @claim("T02", relation=Relation.EQUAL, margin=1.0, worlds=(WORLD,),
           reference=Reference(authors="A", title="T", year=2000))  # fmt: skip
    def draws(world, rng):
        """The mean is the world's number."""
        drawn.append(rng.normal())
        return Sides(left=drawn[-1], right=world)

    itssl.check(draws)
    assert len(set(drawn)) == len(drawn) >= 32
    drawn.clear()
    itssl.check_equality(lambda rng: drawn.append(rng.normal()) or drawn[-1], 0.0, margin=1.0)
    assert len(set(drawn)) == len(drawn) >= 32


def test_verdicts_repeat_with_the_seed():
    made = toy()
    assert itssl.check(made, seed=3).gap.value == itssl.check(made, seed=3).gap.value
    assert itssl.check(made, seed=3).gap.value != itssl.check(made, seed=4).gap.value


def test_failed_assumption_is_not_applicable_and_named():
    made = toy(assumes=(Assumption(name="small", statement="the world is small", measure=lambda w: w, at_most=1.0),))
    assert itssl.check(made).assumptions == {"small": 0.0}
    verdict = itssl.check(made, 5.0)
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "small: 5 > 1 (the world is small)" in verdict.reason
    with pytest.raises(ClaimError, match="expected HOLDS"):
        verdict.require()


def test_a_world_of_ones_own():
    verdict = itssl.check(toy(), 7.0)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.world == "user's float"
    assert itssl.check("C17", itssl.Gaussian.standard(3)).outcome is Outcome.HOLDS


def test_require_says_how_to_repeat():
    with pytest.raises(ClaimError, match="expected HOLDS; repeat with the same call with seed=0"):
        itssl.check(toy(), 7.0).require()


@pytest.mark.parametrize("expected", ["VIOLATED", Outcome.VIOLATED])
def test_a_derivation_may_be_required_to_be_refuted(expected):
    refuted = itssl.check_inequality(lambda rng: 1 + rng.normal(size=50), 0.0, statement="1 <= 0")
    refuted.require(expected)
    with pytest.raises(
        ClaimError, match=r"(?s)VIOLATED: 1 <= 0, left − right = .*expected HOLDS; repeat with the same"
    ):
        refuted.require()
    holds = itssl.check_inequality(0.0, 1.0)
    with pytest.raises(ClaimError, match=r"(?s)HOLDS: derivation in 'given by left and right'.*expected VIOLATED"):
        holds.require(expected)
    control = itssl.check("C10", control="+(d/2) log 2π")
    control.require()
    with pytest.raises(ClaimError, match="expected HOLDS"):
        control.require("HOLDS")


def test_what_is_no_outcome_cannot_be_required():
    with pytest.raises(UnknownNameError, match=r"expected: expected one of .*'VIOLATED'.*got 'REFUTED'"):
        itssl.check_inequality(0, 1).require("REFUTED")


def test_registered_verdicts_repeat_from_their_line():
    verdict = itssl.check("C10", "d=1, shifted", seed=5)
    assert eval(verdict.reproduce, {"itssl": itssl}).gap == verdict.gap
    refuted = itssl.check("C10", control="+(d/2) log 2π", seed=5)
    assert eval(refuted.reproduce, {"itssl": itssl}).gap == refuted.gap


def test_sides_may_be_tensors_and_nothing_else_odd():
    import torch

    found = itssl.check_equality(lambda rng: torch.tensor(rng.normal(size=99), requires_grad=True), 0.0, margin=0.1)
    assert found.outcome is Outcome.HOLDS
    for odd in (None, "a", []):
        with pytest.raises(ParameterError, match="sides: expected a number, an Estimate or an array"):
            itssl.check_equality(lambda rng, odd=odd: odd, 0.0, margin=0.1)


def test_verdict_has_no_truth_value():
    verdict = itssl.check(toy())
    with pytest.raises(TypeError, match=r"use verdict.outcome or verdict.require"):
        bool(verdict)
    with pytest.raises(TypeError):
        assert verdict


def test_verdict_prints_and_serializes():
    verdict = itssl.check(toy())
    assert str(verdict).startswith("HOLDS: T01 in 'zero', left − right = ")
    plain = json.loads(verdict.to_json())
    assert plain["id"] == "T01"
    assert plain["outcome"] == "HOLDS"
    assert plain["replicates"] == verdict.replicates >= 32
    assert "<table>" in verdict._repr_html_()
    inapplicable = itssl.check(
        toy(assumes=(Assumption(name="a", statement="s", measure=lambda w: np.nan, at_most=1.0),)), "zero"
    )
    assert json.loads(inapplicable.to_json())["gap"] == "nan"


def test_derivations():
    assert isinstance(itssl.check_inequality(0, 1, margin=0.01), Verdict)
    assert itssl.check_inequality(0, 1, relation="<=").outcome is Outcome.HOLDS
    assert itssl.check_inequality(0, 1, relation=">=").outcome is Outcome.VIOLATED
    assert itssl.check_equality(1, 1, margin=0.01).outcome is Outcome.HOLDS
    # Both sides see the same draws: the gap of a variable and itself is exactly zero.
    paired = itssl.check_equality(lambda rng: rng.normal(), lambda rng: rng.normal(), margin=1e-9)
    assert paired.outcome is Outcome.HOLDS
    assert paired.gap.standard_error == 0


def test_derivation_with_a_bound_on_the_wrong_side_is_refused():
    bound = Estimate(value=0.0, standard_error=0.1, n=9, bias=Bias.LOWER, method="a lower bound")
    verdict = itssl.check_inequality(lambda rng: bound, 1.0, relation="<=")
    assert verdict.outcome is Outcome.UNDECIDED
    assert "cannot certify <= HOLDS" in verdict.reason


def test_array_sides_are_averaged():
    assert itssl.check_equality(lambda rng: rng.exponential(size=1000), 1.0, margin=0.05).outcome is Outcome.HOLDS
    assert itssl.check_equality(lambda rng: rng.exponential(size=1000), 1.2, margin=0.05).outcome is Outcome.VIOLATED


def test_claims_are_collected_complete():
    found = itssl.claims()
    assert {"C02", "C08", "C10", "C17", "C20", "C27", "C28", "C30", "C37"} <= set(found)
    for made in found.values():
        assert made.controls, made.id
        assert made.worlds, made.id
        assert made.title.endswith((".", ":")), made.id
        names = [w.name for w in made.worlds]
        assert len(set(names)) == len(names), made.id
        assert made.tight_at in made.worlds, made.id


def test_two_claims_of_one_name_are_refused(monkeypatch):
    from itssl.claims import few_centers
    from itssl.claims.claim import claims

    monkeypatch.setattr(few_centers, "again", replace(claims()["C10"]), raising=False)
    with pytest.raises(ParameterError, match="id: expected a new one for each claim, got 'C10' twice, in itssl"):
        claims.__wrapped__()


def test_an_object_that_is_no_world_is_told_which_are():
    with pytest.raises((AttributeError, TypeError)) as caught:  # a TypeError where shapes are checked
        itssl.check("C10", object())
    tight = itssl.claims()["C10"].tight_at.name
    assert caught.value.__notes__[-1] == f"world: C10 takes what its own worlds are made of, as {tight!r}"
