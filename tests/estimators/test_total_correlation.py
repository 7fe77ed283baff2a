"""Law and interval of the total correlation: family of correlations, cumulants against draws, coverage, limits."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from itssl import GaussianPlugin
from itssl.arrays import stream
from itssl.estimators import total_correlation as module
from itssl.estimators.total_correlation import (
    CorrelationFamily,
    fitted_total_correlation,
    log_determinant_cumulants,
)
from itssl.estimators.wishart import dependent_blocks, independent_blocks, log_determinant_bias

EPS = np.finfo(float).eps
LAWS = {
    "independent": np.eye(3),
    "weak": np.eye(4) + 0.1 * (1 - np.eye(4)),
    "one factor": np.eye(4) + np.outer([1, 0.5, 0.8, 0.0], [1, 0.5, 0.8, 0.0]),
    "chain": 0.8 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))),
    "negative": np.array([[1, -0.45, -0.45], [-0.45, 1, -0.45], [-0.45, -0.45, 1]]),
}


def correlations_of(cov):
    std = np.sqrt(np.diagonal(cov))
    return cov / np.outer(std, std)


def total_correlation(cov):
    return -0.5 * float(np.linalg.slogdet(correlations_of(cov))[1])


def estimates(n, cov, size, rng):
    """Unbiased estimates of −½ log|R| from rows drawn one by one, their sample correlations, and the bias."""
    d = len(cov)
    z = rng.standard_normal((size, n, d)) @ np.linalg.cholesky(cov).T
    z = z - z.mean(axis=1, keepdims=True)
    z /= np.sqrt(np.square(z).sum(axis=1, keepdims=True))
    r = np.swapaxes(z, 1, 2) @ z
    bias = 0.5 * (d * log_determinant_bias(n, 1) - log_determinant_bias(n, d))
    return -0.5 * np.linalg.slogdet(r)[1] - bias, r, bias


def random_correlations(d, seed):
    z = stream(seed, "correlations").normal(size=(d + 2, d))
    return correlations_of(z.T @ z)


# the family


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), d=st.integers(3, 6), a=st.floats(0, 1), x=st.floats(0, 5))
def test_family_is_its_formula(seed, d, a, x):
    """(I + b(R̂−I))⁻¹ (I + a(R̂−I)) scaled to unit diagonal, by inversion; conditioned as that matrix is."""
    r = random_correlations(d, seed)
    off, largest = r - np.eye(d), np.linalg.eigvalsh(r)[-1]
    end = -1 / (largest - 1)
    b = end + (a - end) * np.exp(-x)
    naive = np.linalg.solve(np.eye(d) + b * off, np.eye(d) + a * off)
    family = CorrelationFamily(r)
    rounding = 1e3 * EPS * np.linalg.cond(np.eye(d) + b * off) * np.linalg.cond(naive)
    np.testing.assert_allclose(family.correlations(a, x), correlations_of(naive), atol=rounding)
    assert family.dependence(a, x) == pytest.approx(total_correlation(naive), abs=d * rounding)
    np.testing.assert_allclose(family.correlations(a, 0.0), np.eye(d), atol=1e3 * EPS * d)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), d=st.integers(3, 6), a=st.floats(0, 1), truth=st.floats(1e-6, 100))
def test_family_reaches_every_total_correlation(seed, d, a, truth):
    """To the tolerance of the root, 1e-9 of x; more T further along."""
    family = CorrelationFamily(random_correlations(d, seed))
    x = family.reaching(a, truth)
    assert family.dependence(a, x) == pytest.approx(truth, rel=1e-5, abs=1e-7)
    assert family.reaching(a, 1.1 * truth) > x


def test_members_are_the_sample_linear_shrinkage_and_the_steepest_path():
    """b = 0 and a = 1: R̂; b = 0: shrunk; and small steps from there go along R(I − R⁻¹)R in the covariance."""
    r = LAWS["chain"]
    family, largest = CorrelationFamily(r), np.linalg.eigvalsh(r)[-1]
    for a in (1.0, 0.6):
        x = np.log1p(a * (largest - 1))  # b = 0
        shrunk = np.eye(5) + a * (r - np.eye(5))
        np.testing.assert_allclose(family.correlations(a, x), shrunk, atol=1e3 * EPS)
        step = 1e-5
        moved = correlations_of(shrunk + step * shrunk @ (np.eye(5) - np.linalg.inv(shrunk)) @ shrunk)
        found = family.correlations(a, family.reaching(a, total_correlation(moved)))
        np.testing.assert_allclose((found - shrunk) / step, (moved - shrunk) / step, atol=1e3 * step)


def test_no_correlation_found_is_no_failure():
    family = CorrelationFamily(np.eye(4))
    np.testing.assert_allclose(family.correlations(0.5, family.reaching(0.5, 0.3)).std(axis=0) > 0, True)
    assert family.dependence(0.5, family.reaching(0.5, 0.3)) == pytest.approx(0.3)


# cumulants


@pytest.mark.parametrize("name", LAWS)
def test_cumulants_are_those_of_draws(name):
    """20,000 estimates: variance exact, third moment to a tenth of std³; beside 4.5 standard errors."""
    n, size = 25, 20000
    draws, _, _ = estimates(n, LAWS[name], size, stream(0, name))
    found, centered = log_determinant_cumulants(correlations_of(LAWS[name]), n - 1), draws - draws.mean()
    assert abs(draws.mean() - total_correlation(LAWS[name])) < 4.5 * draws.std() / np.sqrt(size)
    error = np.std(np.square(centered)) / np.sqrt(size)
    assert found.variance / 4 == pytest.approx(draws.var(), abs=4.5 * error)
    error = np.std(centered**3) / np.sqrt(size)
    assert found.third / -8 == pytest.approx((centered**3).mean(), abs=4.5 * error + 0.1 * centered.std() ** 3)


def test_cumulants_of_two_columns_and_of_independent_ones_are_known():
    pair = np.array([[1.0, 0.7], [0.7, 1.0]])
    expected = dependent_blocks(19, 1, 1, np.array([0.49]))
    assert log_determinant_cumulants(pair, 19) == pytest.approx(expected, rel=1e4 * EPS)
    expected = np.sum([independent_blocks(19, 1, k) for k in (1, 2, 3)], axis=0)  # one column after another
    assert log_determinant_cumulants(np.eye(4), 19) == pytest.approx(expected, rel=1e4 * EPS)


def test_terms_of_many_pairs_are_interpolated(monkeypatch):
    r = random_correlations(12, 0)
    exact = log_determinant_cumulants(r, 24)
    monkeypatch.setattr(module, "_TABLE", 0)
    assert log_determinant_cumulants(r, 24) == pytest.approx(exact, rel=1e-5)


# the fit


@pytest.mark.parametrize("name", ["one factor", "chain", "negative"])
def test_the_family_has_the_sum_of_squares_of_many_draws(name):
    """n = 20,000: at the estimate the member's sum of squares is the law's, within 4.5 standard errors of 20 fits."""
    n, r = 20000, correlations_of(LAWS[name])
    values, samples, bias = estimates(n, LAWS[name], 20, stream(0, "squares", name))
    rules = [fitted_total_correlation(float(v), bias, s, n).rule for v, s in zip(values, samples, strict=True)]
    members = [rule.family.correlations(rule.noise, rule.family.reaching(rule.noise, rule.value)) for rule in rules]
    sums = np.array([0.5 * (np.square(member).sum() - len(r)) for member in members])
    expected = 0.5 * (np.square(r).sum() - len(r))
    assert sums.mean() == pytest.approx(expected, abs=4.5 * sums.std() / np.sqrt(20) + 10 / n)


def test_the_family_has_the_unbiased_sum_of_squares_of_few_draws():
    """Where a lies within [0, 1]: to the tolerance of a, 1e-3, of how far the sum moves from 0 to 1; mostly so."""
    values, samples, bias = estimates(20, 0.5 * np.eye(6) + 0.5, 20, stream(0, "inside"))
    rules = [fitted_total_correlation(float(v), bias, s, 20).rule for v, s in zip(values, samples, strict=True)]
    inside = [rule for rule in rules if 0 < rule.noise < 1 and rule.value > 0.2]
    assert len(inside) >= 3
    for rule in inside:
        family, value = rule.family, rule.value
        members = [family.correlations(a, family.reaching(a, value)) for a in (rule.noise, 0.0, 1.0)]
        sums = [0.5 * (np.square(member).sum() - 6) for member in members]
        assert sums[0] == pytest.approx(rule.squares, abs=1e-3 * (sums[1] - sums[2]))


@pytest.mark.parametrize("name", ["weak", "one factor", "chain"])
def test_stated_error_is_the_spread(name):
    """Root mean square of 300 stated errors: 5 % beside 4.5 standard errors of a deviation; never above certainty's."""
    n, size = 30, 300
    values, samples, bias = estimates(n, LAWS[name], 20 * size, stream(2, name))
    pairs = zip(values[:size], samples[:size], strict=True)
    errors = np.array([fitted_total_correlation(float(v), bias, r, n).standard_error for v, r in pairs])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.05 + 4.5 / np.sqrt(2 * size))


def test_stated_error_of_few_strongly_correlated_rows_is_finite():
    """At most that of equal columns, a bound that squares of correlations above 1 would break."""
    n = 6
    values, samples, bias = estimates(n, 0.1 * np.eye(3) + 0.9, 300, stream(0, "few"))
    most = 0.5 * log_determinant_cumulants(np.ones((3, 3)), n - 1).variance ** 0.5
    for value, r in zip(values, samples, strict=True):
        assert fitted_total_correlation(float(value), bias, r, n).standard_error <= most


def rejected(n, cov, replicates, path):
    """Shares of 95 % intervals above and below the truth: those whose test of the truth rejects in either tail."""
    truth = total_correlation(cov)
    values, samples, bias = estimates(n, cov, replicates, stream(1, "coverage", path))
    pairs = zip(values, samples, strict=True)
    found = np.array([fitted_total_correlation(float(v), bias, r, n).rule.probability(truth) for v, r in pairs])
    return float(np.mean(found > 0.975)), float(np.mean(found < 0.025))


@pytest.mark.parametrize("name", LAWS)
def test_coverage(name):
    """200 samples of n = 30: 2.5 % a tail, 1.5 % beside 4 standard errors."""
    for share in rejected(30, LAWS[name], 200, name):
        assert share == pytest.approx(0.025, abs=0.015 + 4 * np.sqrt(0.025 / 200))


@pytest.mark.slow
@pytest.mark.parametrize("d", [3, 10])
def test_coverage_of_two_rows_a_column(d):
    """1000 samples of n = 2d, three kinds of dependence: 93 to 97 % covered, 4 standard errors beside."""
    pairs = np.kron(np.eye(d // 2 + 1), np.array([[1, 0.7], [0.7, 1]]))[:d, :d]
    for cov in (0.64 * np.eye(d) + 0.36, 0.8 ** np.abs(np.subtract.outer(np.arange(d), np.arange(d))), pairs):
        above, below = rejected(2 * d, cov, 1000, f"two rows {d}")
        found = 1 - above - below
        assert found == pytest.approx(0.95, abs=0.02 + 4 * np.sqrt(0.05 * 0.95 / 1000))


def test_the_interval_holds_what_neither_tail_rejects():
    """And explicit draws from the member at either end put 2.5 % beyond the value: 1 % beside 4.5 standard errors."""
    values, samples, bias = estimates(25, LAWS["chain"], 1, stream(3, "ends"))
    rule = fitted_total_correlation(float(values[0]), bias, samples[0], 25).rule
    for end, share in zip(rule(0.95), (0.975, 0.025), strict=True):
        assert rule.probability(end) == pytest.approx(share, abs=1e-5)
        member = rule.family.correlations(rule.noise, rule.family.reaching(rule.noise, end))
        draws, _, _ = estimates(25, member, 10000, stream(4, "ends"))
        assert np.mean(draws <= rule.value) == pytest.approx(share, abs=0.01 + 4.5 * np.sqrt(0.025 / 10000))


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32), n=st.integers(6, 40), d=st.integers(3, 5), rho=st.floats(0, 0.999))
def test_intervals_are_nested_finite_and_hold_the_center(seed, n, d, rho):
    values, samples, bias = estimates(max(n, d + 2), (1 - rho) * np.eye(d) + rho, 1, stream(seed, "nested"))
    rule = fitted_total_correlation(float(values[0]), bias, samples[0], max(n, d + 2)).rule
    ends = np.array([rule(level) for level in (0.5, 0.9, 0.99)])
    assert np.isfinite(ends).all()
    assert (np.diff(ends[:, 0]) < 0).all()
    assert (np.diff(ends[:, 1]) > 0).all()
    assert (ends[:, 0] < ends[:, 1]).all()


def test_two_columns_are_a_pair_of_blocks():
    x = stream(0, "pair").normal(size=(25, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    plugin = GaussianPlugin()
    total, pair = plugin.total_correlation(x), plugin.mutual_information(x[:, 0], x[:, 1])
    assert total.value == pytest.approx(pair.value, abs=1e3 * EPS)
    assert total.standard_error == pytest.approx(pair.standard_error, rel=1e4 * EPS)
    assert total.interval() == pytest.approx(pair.interval(), abs=1e-5 * pair.standard_error)


def test_negative_values_move_the_interval_along():
    r = random_correlations(4, 1)
    one, other = (np.array(fitted_total_correlation(v, 0.0, r, 30).rule(0.9)) for v in (-3.0, -4.0))
    np.testing.assert_allclose(one - other, 1.0, atol=1e-5)


def test_weak_dependence_of_many_draws_is_a_scaled_chi_square():
    """At zero 2Nρ·T̂, ρ = 1 − (2d+5)/(6N) of Bartlett, is χ² with d(d−1)/2 degrees of freedom to terms in d³/N²."""
    n, d = 20000, 5
    scale = 2 * (n - 1) * (1 - (2 * d + 5) / (6 * (n - 1)))
    found = log_determinant_cumulants(np.eye(d), n - 1)
    assert found.variance / 4 == pytest.approx(2 * 10 / scale**2, rel=d**3 / n**2)
    assert found.third / -8 == pytest.approx(8 * 10 / scale**3, rel=d**3 / n**2)
    rejected = (stats.chi2(10).ppf(0.95) - 10) / scale
    low = fitted_total_correlation(float(rejected), 0.0, np.eye(d), n).rule(0.9)[0]
    assert low == pytest.approx(0, abs=d**3 / n**2 * rejected)


def test_near_copies_of_a_column_keep_a_finite_interval():
    """Columns 1e-9 apart (20 nats): R̂ is singular to rounding, the interval as wide as a pair's or a little more."""
    rng = stream(0, "copies")
    x = rng.normal(size=(60, 3))
    x[:, 1] = x[:, 0] + 1e-9 * x[:, 1]
    found = GaussianPlugin().total_correlation(x)
    pair = GaussianPlugin().mutual_information(x[:, 0], x[:, 1])
    low, high = found.interval()
    assert low < found.value < high
    pair_low, pair_high = pair.interval()
    width = pair_high - pair_low
    assert 0.9 * width < high - low < 2 * width


def test_an_interval_is_quick():
    """Ten columns: under a tenth of a second, the best of five."""
    values, samples, bias = estimates(50, np.eye(10) + 0.5, 1, stream(0, "quick"))
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        fitted_total_correlation(float(values[0]), bias, samples[0], 50).rule(0.95)
        best = min(best, time.process_time() - start)
    assert best < 0.1
