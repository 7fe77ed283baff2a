"""Estimators of a divergence: wrong ones are refuted, right ones are not; those of itssl in `test_conformance_own`."""

import numpy as np
import pytest
from testing.mutants_divergence import DIVERGENCES, arguments_exchanged, in_bits, neighbors, normal

from itssl.arrays import stream
from itssl.choices import UnknownNameError
from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_divergence_estimator, divergence_estimator_checks
from itssl.testing.checks.divergence_worlds import divergence_places, equal_laws, lopsided
from itssl.testing.checks.trial import BUDGET, registered
from itssl.testing.subjects import SubjectError

LONG = {"in_bits", "plugin", "fifty_rows", "centered_apart", "without_dimension", "all_distances"}
ELSEWHERE = {"device"}
"""In `test_conformance_precision`, with another device in its place."""
CASES = [pytest.param(mutant, id=f"{mutant.name}-{mutant.caught_by[-1]}") for mutant in DIVERGENCES]
SHORT = [case for case, mutant in zip(CASES, DIVERGENCES, strict=True) if mutant.name not in LONG]
RIGHT = list({m.right.__name__: m for m in DIVERGENCES}.values())


def found(mutant, estimator, only):
    """Outcomes by check, at the profile that users run."""
    try:
        report = check_divergence_estimator(estimator, only=only, **mutant.promised(estimator))
    except ConformanceError as error:
        report = error.report
    return {finding.check.name: finding.outcome for finding in report.findings}


@pytest.mark.parametrize("mutant", SHORT)
def test_wrong_one_is_refuted(mutant):
    """By the first check named beside it; the right one passes that, too, where one sample says so."""
    only = mutant.caught_by[:1]
    assert found(mutant, mutant.wrong, only) == {only[0]: Outcome.VIOLATED}
    if registered("kl_divergence")[only[0]].kind != "statistical":
        assert found(mutant, mutant.right, only) == {only[0]: Outcome.HOLDS}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", CASES)
def test_wrong_one_is_refuted_by_all_and_right_one_by_none(mutant):
    assert set(found(mutant, mutant.wrong, mutant.caught_by).values()) == {Outcome.VIOLATED}
    assert set(found(mutant, mutant.right, mutant.caught_by).values()) == {Outcome.HOLDS}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", RIGHT, ids=lambda m: m.right.__name__)
def test_right_ones_pass_everything(mutant):
    checks = [name for name in registered("kl_divergence") if name != "global_state"]  # type checks draw from `random`
    outcomes = found(mutant, mutant.right, checks)
    assert {name for name, outcome in outcomes.items() if outcome in (Outcome.VIOLATED, Outcome.UNDECIDED)} == set()


def test_every_check_fails_for_some_mutant():
    caught = {name for mutant in DIVERGENCES for name in mutant.caught_by}
    checks = registered("kl_divergence")
    assert caught == set(checks) - ELSEWHERE
    assert {mutant.name for mutant in DIVERGENCES} >= LONG
    assert sum(c.false_alarm_rate for c in checks.values()) == pytest.approx(BUDGET)
    assert all(c.law and c.source and c.function.__doc__ for c in checks.values())


def test_truths_are_those_of_the_laws():
    """Normal ones against the fitted laws, within five of the errors that are stated; half as many rows again of Q."""
    for place in (*divergence_places(), equal_laws(2), *(lopsided(gaussian=g)[0] for g in (False, True))):
        x, y = place.draw(20000, stream(0, "draw"))
        assert (x.shape, y.shape) == ((20000, place.dim), (30000, place.dim))
        assert place.spread >= (place.dim / 2) ** 0.5
        if place.gaussian:
            assert normal(x, y) == pytest.approx(place.truth, abs=5 * place.oracle_error(20000))
    assert equal_laws(3).truth == 0
    half = next(p for p in divergence_places() if p.name.startswith("uniform"))
    assert half.truth == pytest.approx(np.log(2))
    # log r = log 2 under P; under Q it is 2 or 0, so that the variance is 0 + 1/1.5: five errors of 2¹⁴ draws
    assert half.spread**2 == pytest.approx(1 / 1.5, abs=5 * 2 / 2**7)
    gaussian, gap = lopsided(gaussian=True)
    assert gaussian.truth == pytest.approx(np.log(2) + 1 / 8 - 1 / 2)
    assert gap == pytest.approx(-2 * np.log(2) + 2 - 1 / 8)


def test_rows_are_no_pairs_and_either_sample_may_be_longer():
    seen = set()

    def looks(x, y):
        seen.add(np.sign(len(x) - len(y)))
        return neighbors(x, y)

    check_divergence_estimator(looks, only=("asymmetry", "row_order"), profile="dev")
    assert seen == {-1, 1}


def test_units_are_declared():
    with pytest.raises(ConformanceError, match=r"as in bits: declare units='bits'"):
        check_divergence_estimator(in_bits, only="truth", max_dim=1, profile="dev")
    assert not check_divergence_estimator(in_bits, only="equal_laws", units="bits", profile="dev").failures


def test_two_lines_repeat_a_failure():
    with pytest.raises(ConformanceError) as raised:
        check_divergence_estimator(arguments_exchanged, only="asymmetry", seed=2)
    (finding,) = raised.value.report.failures
    with pytest.raises(ConformanceError) as again:
        exec(finding.reproduce, {})
    assert again.value.report.failures[0].cases == finding.cases


def test_what_is_no_promise_and_what_is_no_estimator():
    with pytest.raises(UnknownNameError, match=r"promise: expected one of .* got 'symmetric'"):
        check_divergence_estimator(neighbors, symmetric=False)
    with pytest.raises(SubjectError, match="expected an estimator of kl_divergence, got int"):
        check_divergence_estimator(3)


def test_as_users_meet_it():
    """Names of the pairs, and what is not promised with its reason."""
    pairs = divergence_estimator_checks([neighbors])
    assert pairs[0].id == "neighbors-row_order"
    report = check_divergence_estimator(neighbors, only=("rotation", "linear_map", "disjoint_support"))
    assert {f.check.name: f.reason for f in report.not_applicable} == {
        "rotation": "rotation_invariant=False",
        "linear_map": "linear_invariant=False",
        "disjoint_support": "answers are plain numbers, which cannot warn",
    }
