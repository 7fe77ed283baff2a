"""The law around a prototype: tests of normality, moments, ranks, dependent views; by formulas and by simulation."""

from itertools import permutations, product
from math import sqrt

import numpy as np
import pytest
from scipy.special import chdtrc, ndtr

from itssl.arrays import SampleError
from itssl.choices import ParameterError
from itssl.estimators.gaussianity import gaussianity
from itssl.evaluation.normality import (
    coordinate_p_values,
    mardia_p_value,
    moment_errors,
    point_tests,
    projection_p_values,
    ranks,
    ratio_error,
    relative_error,
    share_with_error,
    varying,
    view_dependence,
)
from itssl.networks.encoders import mlp
from itssl.networks.regions import local_affine

EPS = np.finfo(float).eps


def dagostino_pearson(x):
    """p-value by the formulas of D'Agostino (1970) for skewness and of Anscombe & Glynn (1983) for kurtosis."""
    n, c = len(x), x - x.mean()
    m2, m3, m4 = ((c**k).mean() for k in (2, 3, 4))
    y = m3 / m2**1.5 * sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    beta = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = sqrt(2 * (beta - 1)) - 1
    skewness = np.arcsinh(y / sqrt(2 / (w2 - 1))) / sqrt(np.log(sqrt(w2)))
    mean, var = 3 * (n - 1) / (n + 1), 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x4 = (m4 / m2**2 - mean) / sqrt(var)
    third = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9)) * sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    a = 6 + 8 / third * (2 / third + sqrt(1 + 4 / third**2))
    root = np.cbrt((1 - 2 / a) / (1 + x4 * sqrt(2 / (a - 4))))
    kurtosis = (1 - 2 / (9 * a) - root) / sqrt(2 / (9 * a))
    return np.exp(-(skewness**2 + kurtosis**2) / 2)  # χ² of 2 degrees of freedom


def mardia(x):
    """The smaller p-value of Mardia's two tests, doubled, pair by pair."""
    n, d = x.shape
    c = x - x.mean(axis=0)
    m = c @ np.linalg.inv(c.T @ c / n) @ c.T
    factor = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))
    skewness = chdtrc(d * (d + 1) * (d + 2) / 6, n * factor * (m**3).mean() / 6)
    var = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    z = ((np.diag(m) ** 2).mean() - d * (d + 2) * (n - 1) / (n + 1)) / sqrt(var)
    return min(1, 2 * min(skewness, 2 * ndtr(-abs(z))))


def error(p, n):
    return sqrt(p * (1 - p) / n)


def rejected(z, level):
    return float((coordinate_p_values(z) < level).mean())


# --- normality ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [20, 65, 1000])
def test_coordinates_follow_the_published_formulas(n):
    rng = np.random.default_rng(0)
    z = np.c_[rng.normal(size=(n, 3)), rng.uniform(size=n), rng.standard_t(5, size=n), rng.normal(size=n) ** 2]
    np.testing.assert_allclose(coordinate_p_values(z), [dagostino_pearson(c) for c in z.T], rtol=1e6 * EPS)


def test_location_unit_and_order_do_not_matter():
    z = np.random.default_rng(1).gamma(3.0, size=(60, 4))
    p = coordinate_p_values(z)
    for other in (z * 1e-200, z * 1e150, z[::-1] + 1e3, -z):
        np.testing.assert_allclose(coordinate_p_values(other), p, rtol=1e-8)


@pytest.mark.parametrize(("n", "columns", "five", "one"), [(64, 40_000, 5.6, 1.8), (512, 20_000, 5.2, 1.3)])
def test_levels_on_normal_columns_are_those_stated(n, columns, five, one):
    z = np.random.default_rng(2).normal(size=(n, columns))
    for level, stated in ((0.05, five), (0.01, one)):
        allowed = 4 * 100 * error(stated / 100, columns) + 0.05  # and half the last digit that is stated
        assert 100 * rejected(z, level) == pytest.approx(stated, abs=allowed)


@pytest.mark.parametrize(("n", "columns", "stated"), [(64, 40_000, 1.6), (512, 20_000, 9.1), (4096, 4_000, 99.98)])
def test_draws_decide_whether_a_face_two_deviations_away_is_seen(n, columns, stated):
    """C05, where 1, 8 and 99.8 % were reported: that is level 1 %. Of the draws 2.3 % are beyond the face."""
    z = np.maximum(np.random.default_rng(3).normal(2.0, 1.0, size=(n, columns)), 0)
    found = 100 * rejected(z, 0.01)
    assert found == pytest.approx(stated, abs=4 * 100 * error(stated / 100, columns) + 0.05)
    if n == 512:  # at level 5 % it is 28 %
        assert 100 * rejected(z, 0.05) == pytest.approx(28, abs=4 * 100 * error(0.28, columns) + 0.5)


def test_what_does_not_vary_is_not_tested():
    rng = np.random.default_rng(4)
    dead, rounding = np.full(200, 0.1), 1e6 + np.where(rng.uniform(size=200) < 0.5, 1e6 * EPS, 0.0)
    z = np.c_[rng.normal(size=200), dead, rounding, 1e6 + 1e-3 * rng.normal(size=200)]
    np.testing.assert_array_equal(varying(z), [True, False, False, True])
    np.testing.assert_array_equal(np.isnan(coordinate_p_values(z)), [False, True, True, False])
    assert np.isnan(coordinate_p_values(z[:, 1:3])).all()
    assert np.isnan(projection_p_values(z[:, 1:3], np.ones((2, 5)))).all()
    assert np.isnan(mardia_p_value(z[:, 1:3]))


def test_projections_are_tests_of_standardized_columns():
    rng = np.random.default_rng(5)
    z, directions = rng.gamma(2.0, size=(300, 4)) * [1.0, 1e6, 1e-6, 0.0], rng.normal(size=(4, 7))
    standard = (z[:, :3] - z[:, :3].mean(axis=0)) / z[:, :3].std(axis=0)
    expected = [dagostino_pearson(standard @ direction) for direction in directions[:3].T]
    np.testing.assert_allclose(projection_p_values(z, directions), expected, rtol=1e-9)


def test_projections_see_what_no_coordinate_shows():
    """x and x·sign with an independent sign: both normal, uncorrelated, and on two lines. Power 1 up to 1e-6."""
    rng = np.random.default_rng(6)
    x, sign = rng.normal(size=(2000, 1)), rng.choice([-1, 1], size=(2000, 1))
    assert projection_p_values(np.hstack([x, x * sign]), np.array([[1.0], [1.0]]))[0] < 1e-6
    assert mardia_p_value(np.hstack([x, x * sign])) < 1e-6


@pytest.mark.parametrize("law", ["normal", "gamma"])
def test_mardia_follows_its_formulas(law):
    rng = np.random.default_rng(7)
    z = rng.normal(size=(90, 3)) if law == "normal" else rng.gamma(20.0, size=(90, 3))
    assert mardia_p_value(z) == pytest.approx(mardia(z), rel=1e-9)


def test_mardia_lives_on_the_support():
    """Any affine image into more dimensions, with dead units and rows of any size, has the p-value of its source."""
    rng = np.random.default_rng(8)
    x = rng.gamma(30.0, size=(200, 3))
    image = np.c_[x @ rng.normal(size=(3, 9)) * 1e-3 + 5.0, np.ones((200, 2)), 1e-7 * x[:, :1]]
    assert mardia_p_value(image) == pytest.approx(mardia(x), rel=1e-6)
    thin = np.c_[x[:, :2], x[:, :1] + 1e-6 * x[:, 2:]]  # the third direction is narrow, and counts all the same
    assert mardia_p_value(thin) == pytest.approx(mardia(x), rel=1e-4)


def test_mardia_needs_four_rows_a_direction():
    z = np.random.default_rng(9).normal(size=(40, 11))
    assert np.isnan(mardia_p_value(z))
    assert np.isfinite(mardia_p_value(z[:, :10]))
    assert mardia_p_value(z[:, :10]) == pytest.approx(gaussianity(z[:, :10]), rel=1e-9)


def test_twenty_rows_are_needed():
    with pytest.raises(SampleError, match="z: expected at least 20 rows for a test of normality, got 19; draw more"):
        coordinate_p_values(np.random.default_rng(0).normal(size=(19, 2)))


# --- shares and ratios -------------------------------------------------------------------------------------------


def test_error_of_a_share_of_single_trials_is_binomial():
    hits = np.array([1, 0, 0, 1, 0, 0, 0, 0])
    share, found = share_with_error(hits, np.ones(8, dtype=int))
    assert share == 0.25
    assert found == pytest.approx(sqrt(0.25 * 0.75 / 7))


@pytest.mark.parametrize("dependent", [False, True])
def test_error_of_a_share_is_its_spread(dependent):
    """Clusters of 3 to 12 trials, independent or all alike within a cluster."""
    rng = np.random.default_rng(10)
    tried = rng.integers(3, 13, size=60)
    chance = rng.uniform(size=(2000, 60))
    hits = tried * (chance < 0.3) if dependent else rng.binomial(tried, 0.3, size=(2000, 60))
    found = np.array([share_with_error(h, tried) for h in hits])
    spread = found[:, 0].std(ddof=1)
    # 5 % for the first-order error of a ratio of 60 clusters, and the spread of a spread over 2000
    assert found[:, 1].mean() == pytest.approx(spread, rel=0.05 + 4 / sqrt(2 * 2000))


def test_shares_are_of_all_trials():
    assert share_with_error(np.array([1, 8]), np.array([2, 100]))[0] == 9 / 102


def test_share_of_what_was_not_tried_or_never_differs():
    none = share_with_error(np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    assert np.isnan(none).all()
    for hits, laplace in ((0, 1 / 12), (7, 11 / 12)):  # 10 clusters count as 10 trials
        share, found = share_with_error(np.full(10, hits), np.full(10, 7))
        assert share == hits / 7
        assert found == pytest.approx(sqrt(laplace * (1 - laplace) / 10))
    assert share_with_error(np.array([1]), np.array([4])) == (0.25, pytest.approx(error(1.25 / 3, 1)))
    with_empty = share_with_error(np.array([1, 0, 2]), np.array([4, 0, 4]))
    assert with_empty == share_with_error(np.array([1, 2]), np.array([4, 4]))


def test_error_of_a_ratio_with_equal_denominators_is_that_of_a_mean():
    top = np.random.default_rng(11).normal(size=9)
    assert ratio_error(top, np.full(9, 2.0)) == pytest.approx(top.std(ddof=1) / 3 / 2)
    assert np.isnan(ratio_error(top[:1], np.ones(1)))


def test_relative_error_pools_before_it_divides():
    rng = np.random.default_rng(12)
    e, s, size = rng.normal(size=5), rng.uniform(size=5), np.array([0.0, 1.0, 2.0, 3.0, 1e-9])
    assert relative_error(e, s, size) == pytest.approx(
        (e.sum() / size.sum(), ratio_error(e, size), s.sum() / size.sum())
    )
    assert np.isnan(relative_error(e, s, np.zeros(5))).all()


# --- moments -----------------------------------------------------------------------------------------------------


def test_errors_of_moments_add_up_to_what_is_seen():
    rng = np.random.default_rng(13)
    z, mean, cov = rng.normal(size=(21, 3)), rng.normal(size=3), np.diag([1.0, 2.0, 0.0])
    found, (a, b) = moment_errors(z, mean, cov), (z[:10], z[10:])
    middle = (a.mean(axis=0) + b.mean(axis=0)) / 2 - mean
    off = (np.cov(a, rowvar=False) + np.cov(b, rowvar=False)) / 2 - cov
    assert found.mean_error + found.mean_sampling == pytest.approx(middle @ middle)
    assert found.cov_error + found.cov_sampling == pytest.approx((off**2).sum())
    assert (found.mean_size, found.cov_size) == (3.0, 5.0)
    assert moment_errors(z[:, :1], mean[:1], cov[:1, :1]).cov_size == 1.0


def test_errors_of_moments_are_unbiased():
    """Draws of N(m, C) against a wrong N(0, P): ‖m‖² and ‖C − P‖², and sampling tr C/n and ½(‖C‖² + tr²C)/(n/2 − 1)."""
    rng = np.random.default_rng(14)
    m, c, p, n = np.array([0.3, -0.2]), np.array([[1.0, 0.5], [0.5, 2.0]]), np.diag([1.5, 1.5]), 24
    root = np.linalg.cholesky(c)
    found = np.array([moment_errors(m + rng.normal(size=(n, 2)) @ root.T, np.zeros(2), p)[:5] for _ in range(4000)])
    wishart = ((c**2).sum() + np.trace(c) ** 2) / (n / 2 - 1) / 2
    truth = [m @ m, np.trace(c) / n, 3.0, ((c - p) ** 2).sum(), wishart]
    deviation = np.abs(found.mean(axis=0) - truth) / (found.std(axis=0) / sqrt(4000)).clip(1e-12)
    assert deviation.max() < 4


# --- ranks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e150])
def test_rank_and_ratio_of_products(unit):
    rng = np.random.default_rng(15)
    images = np.stack([rng.normal(size=(5, r)) @ rng.normal(size=(r, 7)) for r in (1, 3, 5)] + [np.zeros((5, 7))])
    rank, ratio = ranks(images * unit)
    np.testing.assert_array_equal(rank, [1, 3, 5, 0])
    for b, r, found in zip(images[:3], (1, 3, 5), ratio, strict=False):
        values = np.linalg.eigvalsh(b @ b.T)
        assert found == pytest.approx(values[-r] / values[-1], rel=1e-8)
    assert np.isnan(ratio[3])


@pytest.mark.parametrize("widths", [(16, 64, 5, 64, 16), (64, 256, 8, 256, 256, 64), (8, 4, 8)])
def test_rank_of_a_network_with_a_bottleneck_is_its_width(widths):
    """Leaky units are never off, so the rank is that of the narrowest layer; products round far below the cut."""
    x = np.random.default_rng(16).normal(size=(20, widths[0]))
    rank, _ = ranks(local_affine(mlp(widths, seed=0, slope=0.1), x).matrix)
    np.testing.assert_array_equal(rank, min(widths))


# --- all tests at a point ----------------------------------------------------------------------------------------


def test_all_tests_at_a_point_are_counted():
    rng = np.random.default_rng(17)
    z = np.c_[rng.normal(size=(400, 2)), rng.gamma(1.0, size=400), np.ones(400), np.maximum(rng.normal(-2, 1, 400), 0)]
    directions, cov = rng.normal(size=(5, 6)), np.diag([1.0, 1.0, 1.0, 0.0, 0.0])
    found = point_tests(z, np.zeros(5), cov, directions, level=0.01)
    p, q = coordinate_p_values(z), projection_p_values(z, directions)
    assert (found.coordinates, found.coordinates_tested) == (int(np.nansum(p < 0.01)), 4)
    assert (found.projections, found.projections_tested) == (int((q < 0.01).sum()), 6)
    assert (found.mardia, found.mardia_tested) == (1, 1)
    assert (found.constant, found.awakened) == (0.2, 0.2)  # the fourth is constant, the fifth was thought to be
    assert found.moments == moment_errors(z, np.zeros(5), cov)
    few = point_tests(z[:20, :2], np.zeros(2), np.eye(2), np.eye(2), level=1 - 1e-12)
    assert (few.coordinates, few.projections, few.mardia) == (2, 2, 1)


# --- views -------------------------------------------------------------------------------------------------------


def cross_covariance(a, b):
    """‖C‖², number by number, of views centered within prototypes and divided by their pooled deviation there."""
    n, r, _ = a.shape
    a, b = (z - z.mean(axis=1, keepdims=True) for z in (a, b))
    a, b = (z / np.sqrt((z**2).sum(axis=(0, 1)) / (n * (r - 1))) for z in (a, b))
    entries = product(range(a.shape[2]), range(b.shape[2]))
    return sum(
        (sum(a[i, t, k] * b[i, t, m] for i in range(n) for t in range(r)) / (n * (r - 1))) ** 2 for k, m in entries
    )


def test_statistic_of_views_and_its_mean_over_all_orders():
    rng = np.random.default_rng(18)
    a, b = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 3, 1))
    found = view_dependence(a, b, permutations=4000)
    assert found.statistic == pytest.approx(cross_covariance(a, b))
    orders = [np.array(o) for o in permutations(range(3))]
    every = [cross_covariance(a, np.stack([b[0, o], b[1, p]])) for o, p in product(orders, orders)]
    assert found.mean_when_shuffled == pytest.approx(np.mean(every), abs=4 * float(np.std(every)) / sqrt(4000))
    share = np.mean(np.array(every) >= found.statistic * (1 - 1e-9))
    assert found.reached / 4000 == pytest.approx(share, abs=4 * error(share, 4000))
    assert (found.prototypes, found.repeats, found.permutations) == (2, 3, 4000)


def test_permutation_test_has_its_level_for_any_law():
    """Views independent given the prototype, with tails and sizes that depend on it: p <= u with probability u."""
    rng = np.random.default_rng(19)
    p = []
    for seed in range(400):
        size = rng.gamma(0.3, size=(12, 1, 1)) + 1e-3
        a, b = (size * rng.standard_t(1.5, size=(12, 3, 2)) + 10 * size for _ in range(2))
        p.append(view_dependence(a, b, permutations=19, seed=seed).p_value)
    for u in (0.05, 0.25, 0.5):
        assert np.mean(np.array(p) <= u + 1e-12) == pytest.approx(u, abs=4 * error(u, 400))


def test_dependence_within_prototypes_is_found_and_between_them_is_not():
    rng = np.random.default_rng(20)
    shared, a, b = rng.normal(size=(3, 40, 4, 2))
    assert view_dependence(a + shared, b + shared).p_value == 1 / 200
    between = rng.normal(size=(40, 1, 2)) * 100
    found, without = view_dependence(a + between, b + between), view_dependence(a, b)
    assert found.reached == without.reached
    assert found.statistic == pytest.approx(without.statistic)


def test_coordinates_that_do_not_vary_within_prototypes_are_left_out():
    a, b = np.random.default_rng(21).normal(size=(2, 20, 3, 2))
    constant = np.arange(20.0)[:, None, None] * np.ones((1, 3, 1))
    with_constant = view_dependence(np.concatenate([a, constant], axis=2), b)
    assert with_constant.statistic == pytest.approx(view_dependence(a, b).statistic)


def test_views_are_reproducible_and_print():
    a, b = np.random.default_rng(22).normal(size=(2, 20, 3, 2))
    assert view_dependence(a, b, seed=1) == view_dependence(a, b, seed=1)
    assert view_dependence(a, b, seed=1).mean_when_shuffled != view_dependence(a, b, seed=2).mean_when_shuffled
    text = str(view_dependence(a, b))
    assert text.startswith("p = ")
    assert "20 prototypes, 3 repeats" in text


def test_views_that_are_refused():
    a = np.random.default_rng(23).normal(size=(5, 3, 2))
    with pytest.raises(SampleError, match=r"same N and r >= 2, got \(5, 3, 2\) and \(4, 3, 2\); dependence within"):
        view_dependence(a, a[:4])
    with pytest.raises(SampleError, match="r >= 2"):
        view_dependence(a[:, :1], a[:, :1])
    with pytest.raises(SampleError, match="z_b: expected embeddings that vary within prototypes, got constant ones"):
        view_dependence(a, np.repeat(a[:, :1], 3, axis=1))
    with pytest.raises(ParameterError, match="permutations"):
        view_dependence(a, a, permutations=0)
