"""C45, C46: slopes of known sequences, deviations against their formulas, and what each flaw changes."""

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import probe_coverage as coverage
from itssl.claims.decision import Share
from itssl.claims.labeled_populations import class_gaussians


def rng(*path):
    return itssl.stream(0, "tests of coverage", *path)


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0, 2.0])
def test_slope_is_the_power(power):
    assert coverage._slope([3.0 * size**power for size in coverage.SIZES]) == pytest.approx(power, abs=1e-12)


def test_deviations_are_those_of_means():
    """sd(I) = sd(distance)/√m, and the absolute deviations of binomial counts; within five standard errors of 25."""
    from scipy.stats import binom

    p = class_gaussians(6, classes=3)(rng("law"))
    n, counts = 300, np.arange(301)
    exact = [np.linalg.norm(p.z[p.y == p.y[i]] - p.z[i], axis=1) for i in range(len(p.y))]
    mean, square = (np.mean([(d**k).mean() for d in exact]) for k in (1, 2))
    small = 1 - 1 / (4 * (coverage.REPEATS - 1))  # E of a sample deviation, for means that are near normal
    shares = np.bincount(p.y) / len(p.y)
    strayed = sum((binom.pmf(counts, n, q) * abs(counts / n - q)).sum() for q in shares) / 2
    for deviation, expected in (
        (coverage._deviation_of_invariance, small * np.sqrt((square - mean**2) / n)),
        (coverage._deviation_of_classes, strayed),
    ):
        found = [deviation(p, n, rng("deviations", i)) for i in range(25)]
        error = np.std(found, ddof=1) / 5
        assert error < 0.05 * expected
        assert np.mean(found) == pytest.approx(expected, abs=float(5 * error))


def test_medians_of_c_are_those_of_probes_one_by_one():
    world = coverage.Growing(population=class_gaussians(5), d=5)
    p = world.population(rng("medians"))
    found = coverage._medians_around(p, world, rng("c"))
    generator = rng("c")
    hot = (p.y[:, None] == p.classes).astype(float)
    first = p.draw(400, generator)
    pairs = np.linalg.pinv(p.z[first]) @ hot[first]
    for n, median in zip(world.around, found, strict=True):
        rows = p.draw(coverage.REPEATS * n, generator).reshape(coverage.REPEATS, n)
        values = [np.linalg.svd(np.linalg.pinv(p.z[r]) @ hot[r] - pairs)[1][0] for r in rows]
        assert median == pytest.approx(np.median(values), rel=1e-6)
    assert world.around == (2, 3, 4, 5, 6, 8, 12, 20)


def test_the_same_rows_leave_no_c():
    world = coverage.SAME.make()
    for bound in world.bounds("the same rows", rng("same")):
        assert bound["c"].value == 0
        assert bound.core.value < 1e-10 < bound.error.value < bound.total.value


def test_rows_of_s_among_the_pairs_keep_the_error_and_change_c():
    world = coverage.INSIDE.make()
    clean, inside = (world.bounds(flaw, rng("inside")) for flaw in ("none", "inside"))
    assert clean[0].error == inside[0].error
    assert clean[0]["c"] != inside[0]["c"]
    assert clean[0]["residual of labels"] == inside[0]["residual of labels"]


def test_wrong_labels_are_a_share_drawn_at_random():
    y = np.repeat(np.arange(4), 5000)
    found = coverage._wrong(y, np.arange(4), 0.4, rng("labels"))
    changed = (found != y).mean()
    assert changed == pytest.approx(0.4 * 3 / 4, abs=5 * np.sqrt(0.21 / len(y)))
    assert (coverage._wrong(y, np.arange(4), 0.0, rng()) == y).all()


def test_wrong_labels_in_s_change_only_its_probe():
    world = coverage.Flawed(population=class_gaussians(5), n=40, m=60, flaw="wrong labels in S", share=0.4)
    clean, wrong = (world.bounds(flaw, rng("noise"))[0] for flaw in ("none", "wrong labels in S"))
    assert wrong["residual of labels"].value > 1.2 * clean["residual of labels"].value
    assert wrong["residual of pairs"] == clean["residual of pairs"]
    assert wrong["I"] == clean["I"]
    assert wrong.error.value > clean.error.value


def test_controls_of_coverage_are_refuted_whatever_the_flaw_does():
    """Where the flaw changes nothing, so that the finding is true, the controls fail all the same."""
    claim = coverage.the_core_covers_as_often_when_hypotheses_fail
    world = coverage.Flawed(population=class_gaussians(20), n=20, m=20, flaw="none", repeats=2)
    for control in claim.controls:
        assert itssl.check(claim, world, control=control.name).outcome is Outcome.VIOLATED


def test_few_draws_do_not_show_equal_coverage():
    world = coverage.Flawed(population=class_gaussians(20, rows=50), n=20, m=20, flaw="none", repeats=1)
    found = itssl.check(coverage.the_core_covers_as_often_when_hypotheses_fail, world, max_replicates=64)
    assert found.outcome is Outcome.UNDECIDED


def test_peak_of_c_is_judged_as_a_share_and_no_slope_is_fixed_by_its_formula():
    """Every slope differs from draw to draw."""
    claim = coverage.terms_fall_as_the_root_and_c_is_largest_at_n_equal_d
    world = coverage.TEN.make()
    sides = claim.sides(world, rng("sides"))
    assert isinstance(sides.left[-1], Share)
    others = claim.sides(world, rng("others"))
    assert all(a != b for a, b in zip(sides.left[:-1], others.left[:-1], strict=True))


@pytest.mark.slow
def test_coverage_is_lost_only_where_nothing_is_left_of_c():
    found = {
        w.name: itssl.check("C46", w.name) for w in coverage.the_core_covers_as_often_when_hypotheses_fail.worlds[:2]
    }
    inside, same = found.values()
    assert inside.outcome is Outcome.HOLDS
    assert inside.replicates * coverage.INSIDE.make().repeats > np.log(4 * 6 / 1e-3) / 0.02
    assert same.outcome is Outcome.VIOLATED
    assert [same.measured[key].value for key in ("coverage", "coverage, clean", "coverage of the whole bound")] == [
        0,
        1,
        1,
    ]
