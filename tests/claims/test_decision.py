"""The decision rule: outcomes, looks, directions, floating point."""

import numpy as np
import pytest

from itssl import Bias, Estimate, FloatingPoint, MonteCarlo, Outcome, Relation, Sides
from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.claims.decision import Share, _exact_interval, decide


def noisy(mean, spread=0.1, **options):
    rng = stream(0, "decision", str(mean))
    return lambda i: Sides(left=mean + spread * rng.normal(), right=0.0, **options)


@pytest.mark.parametrize(
    ("relation", "mean", "outcome"),
    [
        (Relation.EQUAL, 0.0, Outcome.HOLDS),
        (Relation.EQUAL, 2.0, Outcome.VIOLATED),
        (Relation.EQUAL, -2.0, Outcome.VIOLATED),
        (Relation.AT_MOST, -2.0, Outcome.HOLDS),
        (Relation.AT_MOST, 0.0, Outcome.HOLDS),
        (Relation.AT_MOST, 2.0, Outcome.VIOLATED),
        (Relation.AT_LEAST, 2.0, Outcome.HOLDS),
        (Relation.AT_LEAST, 0.0, Outcome.HOLDS),
        (Relation.AT_LEAST, -2.0, Outcome.VIOLATED),
    ],
)
def test_outcomes(relation, mean, outcome):
    assert decide(noisy(mean), relation, MonteCarlo(0.5)).outcome is outcome


def test_undecided_is_never_a_pass():
    found = decide(noisy(0.0, spread=100.0), Relation.EQUAL, MonteCarlo(0.1), max_replicates=128)
    assert found.outcome is Outcome.UNDECIDED
    assert found.replicates == 128
    assert "still meets the margin after 128" in found.reason


def test_looks_double_and_stop_as_soon_as_decided():
    assert decide(noisy(0.0), Relation.EQUAL, MonteCarlo(1.0)).replicates == 32
    assert decide(noisy(0.0, spread=1.0), Relation.EQUAL, MonteCarlo(0.5)).replicates > 32
    drawn = []
    decide(lambda i: drawn.append(i) or Sides(left=0.0, right=0.0), Relation.EQUAL, MonteCarlo(0.1))
    assert drawn == list(range(32))


def test_interval_is_students_with_bonferroni():
    """The smallest margin at which 32 gaps decide is |mean| + t·SD/√32 at level 1 − 0.01/2 over 1 look."""
    from scipy.stats import t

    gaps = stream(0, "gaps").normal(size=32)
    half = t.ppf(1 - 0.01 / 2, 31) * gaps.std(ddof=1) / np.sqrt(32)
    edge = abs(gaps.mean()) + half
    for margin, outcome in ((edge * 1.0001, Outcome.HOLDS), (edge * 0.9999, Outcome.UNDECIDED)):
        found = decide(lambda i: Sides(left=gaps[i], right=0.0), Relation.EQUAL, MonteCarlo(margin),
                       false_verdict_rate=0.01, max_replicates=32)  # fmt: skip
        assert found.outcome is outcome
    two = decide(lambda i: Sides(left=(gaps[i], 0.0), right=(0.0, 0.0), parts=("a", "b")), Relation.EQUAL,
                 MonteCarlo(edge * 1.0001), false_verdict_rate=0.01, max_replicates=32)  # fmt: skip
    assert two.outcome is Outcome.UNDECIDED  # two parts share the error rate


def test_the_looks_share_the_error_rate():
    """Of two looks each has half of the rate: the first decides from a margin of |mean| + t·SD/√32 at 1 − 0.01/4 on."""
    from scipy.stats import t

    gaps = stream(0, "looks").normal(size=64)
    first = gaps[:32]
    edge = abs(first.mean()) + t.ppf(1 - 0.01 / 4, 31) * first.std(ddof=1) / np.sqrt(32)
    for margin, looked_at in ((edge * 1.0001, 32), (edge * 0.9999, 64)):
        found = decide(lambda i: Sides(left=gaps[i], right=0.0), Relation.EQUAL, MonteCarlo(margin),
                       false_verdict_rate=0.01, max_replicates=64)  # fmt: skip
        assert found.replicates == looked_at


@pytest.mark.parametrize("relation", [Relation.AT_MOST, Relation.AT_LEAST])
@pytest.mark.parametrize(
    ("ends", "outcome"),
    [(-1.001, Outcome.HOLDS), (-0.999, Outcome.UNDECIDED), (0.999, Outcome.UNDECIDED), (1.001, Outcome.VIOLATED)],
)
def test_inequalities_are_decided_when_the_whole_interval_is_on_one_side(relation, ends, outcome):
    """The mean is so many halves of the interval beyond the margin, in the direction that violates."""
    from scipy.stats import t

    gaps = stream(0, "one side").normal(size=32)
    half = t.ppf(1 - 0.01 / 2, 31) * gaps.std(ddof=1) / np.sqrt(32)
    beyond = gaps - gaps.mean() + 0.5 + ends * half
    sign = 1 if relation is Relation.AT_MOST else -1
    found = decide(lambda i: Sides(left=sign * beyond[i], right=0.0), relation, MonteCarlo(0.5),
                   false_verdict_rate=0.01, max_replicates=32)  # fmt: skip
    assert found.outcome is outcome


def test_a_part_that_is_undecided_leaves_the_statement_undecided():
    rng = stream(0, "undecided part")
    found = decide(lambda i: Sides(left=(0.0, 100 * rng.normal()), right=(0.0, 0.0), parts=("sure", "noisy")),
                   Relation.EQUAL, MonteCarlo(0.1), max_replicates=32)  # fmt: skip
    assert found.outcome is Outcome.UNDECIDED


def test_parts_are_one_statement():
    def sides(i):
        return Sides(left=(0.0, 5.0), right=(1.0, 1.0), parts=("fine", "wrong"), measured={"seen": i})

    found = decide(sides, Relation.AT_MOST, MonteCarlo(0.1))
    assert found.outcome is Outcome.VIOLATED
    assert found.part == "wrong"
    assert found.gaps["fine"].value == -1.0
    assert found.measured["seen"].value == 15.5


E = {b: Estimate(value=0.0, standard_error=0.0, n=1, bias=b, method="m") for b in Bias}


@pytest.mark.parametrize(
    ("relation", "left", "right", "outcome"),
    [
        (Relation.AT_MOST, Bias.LOWER, Bias.EXACT, Outcome.UNDECIDED),
        (Relation.AT_MOST, Bias.UPPER, Bias.EXACT, Outcome.HOLDS),
        (Relation.AT_MOST, Bias.EXACT, Bias.LOWER, Outcome.HOLDS),
        (Relation.AT_MOST, Bias.EXACT, Bias.UPPER, Outcome.UNDECIDED),
        (Relation.AT_LEAST, Bias.LOWER, Bias.UNBIASED, Outcome.HOLDS),
        (Relation.AT_LEAST, Bias.UPPER, Bias.UNBIASED, Outcome.UNDECIDED),
        (Relation.AT_LEAST, Bias.EXACT, Bias.UPPER, Outcome.HOLDS),
        (Relation.EQUAL, Bias.LOWER, Bias.EXACT, Outcome.UNDECIDED),
        (Relation.EQUAL, Bias.UNBIASED, Bias.EXACT, Outcome.HOLDS),
        (Relation.AT_MOST, Bias.UNKNOWN, Bias.EXACT, Outcome.UNDECIDED),
    ],
)
def test_bounds_certify_one_direction_only(relation, left, right, outcome):
    found = decide(lambda i: Sides(left=E[left], right=E[right]), relation, MonteCarlo(0.1))
    assert found.outcome is outcome
    if outcome is Outcome.UNDECIDED:
        assert "cannot certify" in found.reason


def test_bounds_refute_the_other_direction_only():
    large = Estimate(value=9.0, standard_error=0.0, n=1, bias=Bias.LOWER, method="m")
    assert decide(lambda i: Sides(left=large, right=0.0), Relation.AT_MOST, MonteCarlo(0.1)).outcome is Outcome.VIOLATED
    high = Estimate(value=9.0, standard_error=0.0, n=1, bias=Bias.UPPER, method="m")
    assert decide(lambda i: Sides(left=high, right=0.0), Relation.AT_MOST, MonteCarlo(0.1)).outcome is Outcome.UNDECIDED


def test_floating_point_judges_every_gap():
    eps = np.finfo(float).eps

    def one_off(size):
        return lambda i: Sides(left=1.0 + (size if i == 17 else 0.0), right=1.0)

    tolerance = FloatingPoint(ulps=4)
    assert decide(one_off(2 * eps), Relation.EQUAL, tolerance).outcome is Outcome.HOLDS
    assert decide(one_off(1e-12), Relation.EQUAL, tolerance).outcome is Outcome.VIOLATED
    for relation in Relation:  # one counterexample refutes, whatever the others are
        alternating = decide(lambda i: Sides(left=float((-1) ** i), right=0.0), relation, tolerance)
        assert alternating.outcome is Outcome.VIOLATED

    def mixed_scales(i):  # a large replicate excuses no other
        return Sides(left=1e12, right=1e12) if i == 0 else Sides(left=1e-4, right=0.0)

    assert decide(mixed_scales, Relation.EQUAL, tolerance).outcome is Outcome.VIOLATED
    assert decide(lambda i: Sides(left=1.1, right=1.0), Relation.EQUAL, tolerance).outcome is Outcome.VIOLATED
    scaled = FloatingPoint(ulps=8)  # relative to the sides: 8 eps · 1e6
    assert decide(lambda i: Sides(left=1e6 + 1e-9, right=1e6), Relation.EQUAL, scaled).outcome is Outcome.HOLDS


def test_rounding_does_not_decide_means():
    assert decide(lambda i: Sides(left=0.1 + 0.2, right=0.3), Relation.EQUAL, MonteCarlo(0.0)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gaps_that_are_not_finite_decide_nothing(value):
    found = decide(lambda i: Sides(left=value if i == 3 else 0.0, right=0.0), Relation.AT_MOST, MonteCarlo(0.1))
    assert found.outcome is Outcome.UNDECIDED
    assert "replicate 3 is not finite" in found.reason


def test_bad_settings():
    with pytest.raises(ParameterError, match="false_verdict_rate"):
        decide(noisy(0.0), Relation.EQUAL, MonteCarlo(0.1), false_verdict_rate=0.0)
    with pytest.raises(ParameterError, match="max_replicates"):
        decide(noisy(0.0), Relation.EQUAL, MonteCarlo(0.1), max_replicates=8)
    with pytest.raises(ParameterError, match="first_look"):
        decide(noisy(0.0), Relation.EQUAL, MonteCarlo(0.1), first_look=1)
    for margin in (-1.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="margin"):
            MonteCarlo(margin)
    with pytest.raises(ParameterError, match="one left and one right per part"):
        decide(lambda i: Sides(left=(1.0, 2.0), right=0.0), Relation.EQUAL, MonteCarlo(0.1))


def shares(probability, draws, seed=0):
    rng = stream(seed, "shares")
    return lambda i: Sides(left=Share(int(rng.binomial(draws, probability)), draws), right=0.05)


def test_a_share_without_events_is_not_zero():
    """In 32 draws nothing may happen that does in one of twenty; the spread of the replicates, zero, does not say."""
    for draws, outcome in ((1, Outcome.UNDECIDED), (16, Outcome.HOLDS)):
        found = decide(
            shares(0.0, draws), Relation.AT_MOST, MonteCarlo(0.0), false_verdict_rate=1e-4, max_replicates=32
        )
        assert found.outcome is outcome
    plain = decide(lambda i: Sides(left=0.0, right=0.05), Relation.AT_MOST, MonteCarlo(0.0), max_replicates=32)
    assert plain.outcome is Outcome.HOLDS


def test_shares_on_both_sides():
    both = decide(
        lambda i: Sides(left=Share(20, 20), right=Share(20, 20)), Relation.EQUAL, MonteCarlo(0.02), max_replicates=64
    )
    assert both.outcome is Outcome.HOLDS
    apart = decide(lambda i: Sides(left=Share(9, 10), right=Share(1, 10)), Relation.EQUAL, MonteCarlo(0.02))
    assert apart.outcome is Outcome.VIOLATED


def test_wrong_verdicts_on_shares_are_as_rare_as_promised():
    """At a probability on the bound; a rule by Student's t says HOLDS in a sixth of the runs, for rates of 1 %."""
    rate, runs = 0.01, 300
    found = [
        decide(
            shares(0.05, 2, seed), Relation.AT_MOST, MonteCarlo(0.0), false_verdict_rate=rate, max_replicates=64
        ).outcome
        for seed in range(runs)
    ]
    allowed = runs * rate + 4 * np.sqrt(runs * rate)
    assert found.count(Outcome.HOLDS) <= allowed
    assert found.count(Outcome.VIOLATED) <= allowed


@pytest.mark.parametrize(("hits", "draws"), [(3, 2), (-1, 2)])
def test_a_share_has_at_most_all_hits(hits, draws):
    with pytest.raises(ParameterError, match=f"hits: expected from 0 to draws = 2, got {hits}"):
        Share(hits, draws)


def test_exact_interval_is_the_inverse_of_binomial_tails():
    from scipy.stats import binom

    low, high = _exact_interval(Share(3, 40), 0.02)
    assert binom.sf(2, 40, low) == pytest.approx(0.01, rel=1e-9)
    assert binom.cdf(3, 40, high) == pytest.approx(0.01, rel=1e-9)
