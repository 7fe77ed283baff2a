"""Intervals of Gaussian estimates: closed forms, duality with the law they invert, coverage in small runs, limits."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from itssl.arrays import stream
from itssl.estimators.gaussian_intervals import (
    EntropyInterval,
    InformationInterval,
    TotalCorrelationInterval,
    fitted_information,
    fitted_total_correlation,
    invert,
)
from itssl.estimators.wishart import (
    Cumulants,
    independent_blocks,
    log_determinant_bias,
    log_determinant_quantiles,
    log_determinant_variance,
    multiple_correlation_probability,
)

LEVELS = (0.5, 0.8, 0.95, 0.999)


def information_bias(n, d_x, d_y):
    return 0.5 * (log_determinant_bias(n, d_x) + log_determinant_bias(n, d_y) - log_determinant_bias(n, d_x + d_y))


def information_rule(n, value, d_x=1, d_y=1, directions=1):
    return InformationInterval(value, information_bias(n, d_x, d_y), n - 1, d_x, d_y, directions)


@pytest.mark.parametrize("n", [2, 5, 200])
@pytest.mark.parametrize("level", LEVELS)
def test_entropy_of_one_column_has_the_interval_of_a_variance(n, level):
    """½ log of (n−1)s²/χ² quantiles, the textbook interval for a variance; s² = 1."""
    uncorrected = 0.5 * np.log(2 * np.pi * np.e)
    rule = EntropyInterval(uncorrected - 0.5 * log_determinant_bias(n, 1), n, 1)
    quantiles = stats.chi2(n - 1).ppf([(1 + level) / 2, (1 - level) / 2])
    assert rule(level) == pytest.approx(uncorrected + 0.5 * np.log((n - 1) / quantiles), abs=1e-7)


def test_entropy_interval_covers_at_its_level():
    """log|Ĉ| of 4000 Wishart draws, as sums of log χ²: the share that [low, high] misses, to four standard errors."""
    n, d, level, size = 7, 5, 0.9, 4000
    rng = stream(0, "entropy")
    log_det = sum(np.log(rng.chisquare(n - i, size=size)) for i in range(1, d + 1)) - d * np.log(n - 1)
    low, high = EntropyInterval(0.0, n, d)(level)  # the truth is zero where the value, ½(log|Ĉ| − bias), is v
    values = 0.5 * (log_det - log_determinant_bias(n, d))
    error = 4 * np.sqrt(0.05 * 0.95 / size)
    assert np.mean(values + high < 0) == pytest.approx(0.05, abs=error)
    assert np.mean(values + low > 0) == pytest.approx(0.05, abs=error)


@pytest.mark.parametrize(("n", "d_y", "rho"), [(4, 1, 0.5), (10, 1, 0.95), (12, 3, 0.8), (60, 2, 0.3), (2000, 1, 0.9)])
def test_ends_of_information_are_the_truths_that_the_law_rejects(n, d_y, rho):
    """At the value whose R² is the 97.5 % (2.5 %) point under ρ, the lower (upper) end is the truth of ρ."""
    truth = -0.5 * np.log(1 - rho**2)
    bias = information_bias(n, 1, d_y)
    for probability, end in ((0.975, 0), (0.025, 1)):
        low, high = 0.0, 1.0
        for _ in range(60):  # bisection: the twin of no root finder
            middle = (low + high) / 2
            if multiple_correlation_probability(middle, n - 1, d_y, rho**2) < probability:
                low = middle
            else:
                high = middle
        rule = information_rule(n, -0.5 * np.log(1 - low) - bias, 1, d_y)
        assert rule(0.95)[end] == pytest.approx(truth, abs=1e-5)


def test_large_samples_have_fishers_interval():
    """artanh r̂ is normal with variance 1/(n−3), about artanh ρ + ρ/(2(n−1)); beyond that Fisher is off by order 1/n."""
    n, r = 5000, 0.6
    value = -0.5 * np.log(1 - r**2) - information_bias(n, 1, 1)
    z = np.arctanh(r) - r / (2 * (n - 1)) + np.array([-1, 1]) * stats.norm.ppf(0.975) / np.sqrt(n - 3)
    fisher = -0.5 * np.log(1 - np.tanh(z) ** 2)
    assert information_rule(n, value)(0.95) == pytest.approx(fisher, abs=1 / n)


def correlated(rng, size, n, d, rho):
    x, noise = rng.normal(size=(2, size, n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def sines_of(x, y):
    """Sines of the canonical angles of two centered blocks."""
    a, b = (np.linalg.qr(z - z.mean(axis=0))[0] for z in (x, y))
    return np.linalg.svd(b - a @ (a.T @ b), compute_uv=False)


@pytest.mark.parametrize(
    ("n", "d", "rho", "size"),
    [(5, 1, 0.0, 300), (8, 1, 0.7, 300), (30, 1, 0.99, 300), (14, 3, 0.0, 200), (20, 3, 0.8, 200)],
)
def test_information_intervals_cover(n, d, rho, size):
    """95 % within four binomial errors; the matched law (d = 3) may cover more, for its directions are a guess."""
    truth = -0.5 * d * np.log(1 - rho**2)
    pairs = zip(*correlated(stream(1, "coverage", n), size, n, d, rho), strict=True)
    rules = [fitted_information(np.minimum(sines_of(x, y), 1), n, d, d).rule for x, y in pairs]
    ends = np.array([rule(0.95) for rule in rules])
    assert np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) == pytest.approx(
        0.95, abs=4 * np.sqrt(0.95 * 0.05 / size)
    )


def test_near_certainty_the_interval_moves_with_the_value():
    """As ρ → 1, (1−R²)/(1−ρ²) is a ratio of gamma variables, whatever ρ: also where 1 − ρ² is no float any more."""
    n, d_y = 50, 2
    dof, bias = n - 1, information_bias(n, 1, d_y)
    ratio = stats.f(dof - d_y, dof).ppf([0.025, 0.975]) * (dof - d_y) / dof  # of two gamma variables
    expected = 0.5 * np.log(ratio) + bias
    for value in (8.0, 16.0, 18.4, 25.0, 300.0):
        low, high = information_rule(n, value, 1, d_y)(0.95)
        assert (low - value, high - value) == pytest.approx(tuple(expected), abs=1e-6)
    near = np.array([information_rule(n, value, 1, d_y)(0.95) for value in (6.999, 7.001)])
    np.testing.assert_allclose(near - [[6.999], [7.001]], np.broadcast_to(expected, (2, 2)), atol=2e-6)


def test_near_certainty_of_blocks():
    """The standard error saturates at that of log Λ for P² = I, 2 Σψ' more than for independent blocks."""
    found = fitted_information(np.full(3, 1e-12), 40, 3, 3)
    variance = independent_blocks(39, 3, 3).variance + 2 * log_determinant_variance(40, 3)
    assert found.standard_error == pytest.approx(0.5 * np.sqrt(variance), rel=1e-6)
    low, high = found.rule(0.95)
    assert low < found.rule.value < high < low + 5 * found.standard_error


@pytest.mark.parametrize(("n", "d_x", "d_y"), [(3, 1, 1), (4, 1, 2), (6, 2, 3)])
def test_blocks_at_right_angles(n, d_x, d_y):
    """No sample correlation at all, with as few rows as are allowed: far below what independence leaves by chance."""
    found = fitted_information(np.ones(min(d_x, d_y)), n, d_x, d_y)
    low, high = found.rule(0.95)
    assert np.isfinite([low, high]).all()
    assert low < high < 1e-6
    assert found.rule.value == -information_bias(n, d_x, d_y)


def test_standard_error_of_one_correlation():
    """For large n the delta method: |ρ|/√n; the correction s(1−s)/N of ρ² matters at order 1/n only."""
    for rho in (0.1, 0.5, 0.99):
        found = fitted_information(np.array([np.sqrt(1 - rho**2)]), 10**6, 1, 1)
        assert found.standard_error == pytest.approx(rho / 1000, rel=2e-3)


@pytest.mark.parametrize(("n", "d", "rho"), [(9, 1, 0.6), (15, 3, 0.7), (30, 3, 0.3)])
def test_variance_is_estimated_without_its_bias(n, d, rho):
    """Mean of the stated variances against that at the true correlations: four errors, and 5 % for the curvature."""
    from itssl.estimators.wishart import dependent_blocks

    size = 400
    pairs = zip(*correlated(stream(2, "variance", n), size, n, d, rho), strict=True)
    stated = np.array(
        [fitted_information(np.minimum(sines_of(x, y), 1), n, d, d).standard_error ** 2 for x, y in pairs]
    )
    truth = dependent_blocks(n - 1, d, d, np.full(d, rho**2)).variance / 4
    assert stated.mean() == pytest.approx(truth, rel=0.05, abs=4 * stated.std() / np.sqrt(size))


def test_directions_are_told_from_the_angles():
    n = 10**4
    one, three = np.array([0.1, 1.0, 1.0]), np.full(3, 0.1 ** (1 / 3))
    assert fitted_information(one, n, 3, 3).rule.directions == 1
    assert fitted_information(three, n, 3, 3).rule.directions == 3
    wide, narrow = (fitted_information(sines, n, 3, 3).rule for sines in (three, one))
    assert narrow.value == pytest.approx(wide.value, abs=1e-9)
    for rule, sines in ((wide, three), (narrow, one)):  # the law at the value has about the variance of the angles
        error = fitted_information(sines, n, 3, 3).standard_error
        assert 0.5 * rule.cumulants(rule.value).variance ** 0.5 == pytest.approx(error, rel=0.02)


def log_det_of_correlations(rng, law, n, size):
    z = rng.multivariate_normal(np.zeros(len(law)), law, size=(size, n), method="cholesky")
    z -= z.mean(axis=1, keepdims=True)
    scatter = np.swapaxes(z, 1, 2) @ z
    std = np.sqrt(np.diagonal(scatter, axis1=1, axis2=2))
    return np.linalg.slogdet(scatter / (std[:, :, None] * std[:, None, :]))[1]


CHAIN = np.array([[1, 0.8, 0.5, 0.0], [0.8, 1, 0.6, 0.0], [0.5, 0.6, 1, -0.3], [0.0, 0.0, -0.3, 1]])
FACTOR = 0.3 * np.eye(4) + 0.7


@pytest.mark.parametrize("law", [np.eye(4), CHAIN, FACTOR], ids=["independent", "chain", "factor"])
def test_cumulants_of_total_correlation(law):
    """Of log|R̂|, from its definition: variance to 3 %, third moment to 6 % of the variance^1.5, beside four errors.

    The correlations handed in have the squares that unbiasing turns into the true ones, so nothing else is estimated.
    """
    n, size = 60, 12000
    draws = log_det_of_correlations(stream(3, "total"), law, n, size)
    centered = draws - draws.mean()
    square = law**2
    for _ in range(50):  # r² with (N r² − 1)/(N + r² − 2) and its second-order term equal to ρ²
        u = ((n - 1) * square - 1) / (n - 1 + square - 2)
        square = square + law**2 - (u + u * (1 - u) / (n - 1))
    sample = np.sign(law) * np.sqrt(np.maximum(square, 0)) * (1 - np.eye(4)) + np.eye(4)
    bias = 0.5 * (4 * log_determinant_bias(n, 1) - log_determinant_bias(n, 4))
    truth = -0.5 * np.linalg.slogdet(law)[1]
    found = fitted_total_correlation(truth, bias, sample, n)
    kurtosis = (centered**4).mean() / centered.var() ** 2
    assert draws.mean() == pytest.approx(-2 * (truth + bias), abs=4 * draws.std() / np.sqrt(size))
    variance = pytest.approx(centered.var(), rel=0.03 + 4 * np.sqrt((kurtosis - 1) / size))
    assert 4 * found.standard_error**2 == variance
    cumulants = found.rule.cumulants(truth)
    assert cumulants.variance == variance
    errors = 4 * np.std(centered**3) / np.sqrt(size) + 0.06 * centered.std() ** 3
    assert cumulants.third == pytest.approx((centered**3).mean(), abs=errors)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_total_correlation_intervals_cover(rho):
    n, d, size = 15, 4, 200
    law = (1 - rho) * np.eye(d) + rho
    truth = -0.5 * np.linalg.slogdet(law)[1]
    z = stream(4, "coverage").multivariate_normal(np.zeros(d), law, size=(size, n))
    bias = 0.5 * (d * log_determinant_bias(n, 1) - log_determinant_bias(n, d))
    hits = 0
    for x in z:
        correlations = np.corrcoef(x, rowvar=False)
        value = -0.5 * np.linalg.slogdet(correlations)[1] - bias
        low, high = fitted_total_correlation(float(value), bias, correlations, n).rule(0.95)
        hits += low <= truth <= high
    assert hits / size == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / size))


def test_shares_of_dependence():
    """Linear near zero, the pivot's gain at the pivot, never beyond the largest; independent columns below zero."""
    alone, gain = Cumulants(1.0, -2.0), Cumulants(0.5, -0.25)
    rule = TotalCorrelationInterval(1.0, 1.0, alone, gain, bend=0.7, largest=1.2)
    assert rule.cumulants(-1.0) == rule.cumulants(0.0) == alone
    assert rule.cumulants(1.0) == pytest.approx((1.5, -2.25))
    assert rule.cumulants(1e9).variance == pytest.approx(1.0 + 1.2 * 0.5)
    slope = 0.7 / -np.expm1(-0.7)
    assert rule.cumulants(1e-6).variance - 1 == pytest.approx(0.5e-6 * slope, rel=1e-5)
    straight = TotalCorrelationInterval(1.0, 1.0, alone, gain, bend=0.0, largest=9.0)
    assert straight.cumulants(0.3).variance == pytest.approx(1.15)


def test_a_pair_of_columns_is_a_pair_of_blocks():
    r, n = 0.4, 30
    bias = information_bias(n, 1, 1)
    value = -0.5 * np.log(1 - r**2) - bias
    total = fitted_total_correlation(value, bias, np.array([[1, r], [r, 1]]), n)
    pair = fitted_information(np.array([np.sqrt(1 - r**2)]), n, 1, 1)
    assert total.standard_error == pytest.approx(pair.standard_error, rel=1e-9)
    assert total.rule(0.9) == pytest.approx(pair.rule(0.9), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    value=st.floats(-0.02, 6.0),
    n=st.integers(8, 300),
    d=st.sampled_from([(1, 1), (1, 4), (2, 3)]),
    kind=st.sampled_from(["entropy", "information", "total"]),
)
def test_levels_are_nested_and_rules_can_be_pickled(value, n, d, kind):
    if kind == "entropy":
        rule = EntropyInterval(value, n, d[1])
    elif kind == "information":
        rule = information_rule(n, value, *d, directions=min(d))
    else:
        bias = 0.5 * (3 * log_determinant_bias(n, 1) - log_determinant_bias(n, 3))
        r = np.sqrt(-np.expm1(-2 * max(value, 0.0) / 3))
        rule = fitted_total_correlation(value, bias, (1 - r) * np.eye(3) + r, n).rule
    ends = np.array([rule(level) for level in LEVELS])
    assert (np.diff(ends[:, 0]) <= 0).all()
    assert (np.diff(ends[:, 1]) >= 0).all()
    assert (ends[:, 0] < ends[:, 1]).all()
    assert pickle.loads(pickle.dumps(rule))(0.8) == tuple(ends[1])


def test_inversion_of_known_laws():
    """An exponential estimate with mean T at the value 1: T = −1/log(1−p); normal with deviation 3: ±z."""
    low, high = invert(lambda t: float(-np.expm1(-1 / t)) if t > 0 else 1.0, 1.0, 1.0, 0.9)
    assert (low, high) == pytest.approx((-1 / np.log(0.05), -1 / np.log(0.95)), rel=1e-5)
    low, high = invert(lambda t: float(stats.norm.cdf(2 - t, scale=3)), 2.0, 0.01, 0.5)
    assert (low, high) == pytest.approx(tuple(2 + 3 * stats.norm.ppf([0.25, 0.75])), abs=1e-5)


def test_ends_that_lie_outside_the_value_and_beyond_everything():
    """A law shifted by five deviations puts both ends on one side; one that never rejects has no ends."""
    low, high = invert(lambda t: float(stats.norm.cdf(5 - t)), 0.0, 1.0, 0.95)
    assert (low, high) == pytest.approx((5 - 1.959964, 5 + 1.959964), abs=1e-4)
    assert invert(lambda _: 0.5, 0.0, 1.0, 0.95) == (-np.inf, np.inf)


def test_quantiles_behind_the_entropy_are_shared():
    """One evaluation serves both ends and every value of one n and d."""
    before = log_determinant_quantiles.cache_info().hits
    for value in (0.0, 1.0):
        EntropyInterval(value, 23, 4)(0.95)
    assert log_determinant_quantiles.cache_info().hits >= before + 1
