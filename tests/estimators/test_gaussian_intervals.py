"""Intervals of Gaussian estimates: tails by explicit draws, exact cases, coverage, limits, inversion of a test."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr, ndtri

from itssl import GaussianPlugin
from itssl.arrays import stream
from itssl.estimators.gaussian_intervals import (
    EntropyInterval,
    InformationInterval,
    fitted_information,
    invert,
)
from itssl.estimators.wishart import log_determinant_bias

EPS = np.finfo(float).eps


def share_error(share, size, errors=4.5):
    """Of the share of ``size`` draws, with one draw to spare."""
    return errors * np.sqrt(share * (1 - share) / size) + 1 / size


def information_bias(n, d_x, d_y):
    return 0.5 * (log_determinant_bias(n, d_x) + log_determinant_bias(n, d_y) - log_determinant_bias(n, d_x + d_y))


def information_estimates(n, d_x, d_y, rho, size, rng):
    """Unbiased estimates from rows drawn one by one, canonical correlations ``rho``."""
    x, y = rng.standard_normal((size, n, d_x)), rng.standard_normal((size, n, d_y))
    m = len(rho)
    y[..., :m] = rho * x[..., :m] + np.sqrt(1 - np.square(rho)) * y[..., :m]
    z = np.concatenate([x, y], axis=2)
    z = z - z.mean(axis=1, keepdims=True)
    c = np.swapaxes(z, 1, 2) @ z
    logs = [np.linalg.slogdet(part)[1] for part in (c[:, :d_x, :d_x], c[:, d_x:, d_x:], c)]
    return 0.5 * (logs[0] + logs[1] - logs[2]) - information_bias(n, d_x, d_y)


# entropy


@pytest.mark.parametrize(("n", "d"), [(3, 1), (8, 3), (60, 20)])
def test_entropy_interval_has_its_level_exactly(n, d):
    """Pivotal: covered iff log|Ĉ| − log|C| is within its quantiles, here of sums of log χ²; 20,000 of them."""
    draws = sum(np.log(stream(0, "entropy", n, i).chisquare(n - i, size=20000)) for i in range(1, d + 1))
    values = 0.5 * (draws - d * np.log(n - 1) - log_determinant_bias(n, d))  # unbiased, for truth 0
    low, high = EntropyInterval(0.0, n, d)(0.9)
    assert np.mean(values + high < 0) == pytest.approx(0.05, abs=share_error(0.05, 20000))
    assert np.mean(values + low > 0) == pytest.approx(0.05, abs=share_error(0.05, 20000))
    np.testing.assert_allclose(np.array(EntropyInterval(7.0, n, d)(0.9)) - 7, (low, high), atol=1e-12)


def test_entropy_interval_of_one_column_is_that_of_the_variance():
    """½ log of the classical interval (n−1)s²/χ² for σ²."""
    x = stream(0, "variance").normal(size=17)
    ends = 16 * x.var(ddof=1) / stats.chi2(16).ppf([0.975, 0.025])
    found = GaussianPlugin().entropy(x).interval(0.95)
    assert found == pytest.approx(tuple(0.5 * np.log(2 * np.pi * np.e * ends)), abs=1e-7)


# information


@pytest.mark.parametrize(("n", "d", "value"), [(5, 1, 0.3), (12, 1, 2.0), (9, 3, 0.5), (30, 4, 0.02), (6, 1, 9.0)])
def test_information_ends_are_where_the_tails_reject(n, d, value):
    """One variable on a side: explicit draws at either end put 5 % beyond the value, whatever n and the truth."""
    law = InformationInterval(value, information_bias(n, 1, d), n - 1, 1, d, 1)
    for end, share in zip(law(0.9), (0.95, 0.05), strict=True):
        rho = np.array([np.sqrt(-np.expm1(-2 * max(end, 0.0)))])
        draws = information_estimates(n, 1, d, rho, 20000, stream(0, "tails", n, d)) + min(end, 0.0)
        assert np.mean(draws <= value) == pytest.approx(share, abs=share_error(0.05, 20000))


@pytest.mark.parametrize(("n", "d_x", "d_y", "rho"), [(20, 2, 2, 0.7), (40, 3, 5, 0.4), (25, 2, 4, 0.95)])
def test_matched_tails(n, d_x, d_y, rho):
    """A shifted gamma law for equal correlations: its tails within 1 % beside the errors of 10,000 draws."""
    m = min(d_x, d_y)
    truth = -0.5 * m * np.log1p(-(rho**2))
    draws = information_estimates(n, d_x, d_y, np.full(m, rho), 10000, stream(0, "matched", n))
    law = InformationInterval(0.0, information_bias(n, d_x, d_y), n - 1, d_x, d_y, m)
    for share in (0.025, 0.05, 0.5, 0.95, 0.975):
        at = InformationInterval(float(np.quantile(draws, share)), law.bias, n - 1, d_x, d_y, m)
        assert at._matched(truth) == pytest.approx(share, abs=0.01 + share_error(share, 10000))
    found = law.cumulants(truth)
    error = np.std(np.square(draws - draws.mean())) / np.sqrt(len(draws))
    assert found.variance / 4 == pytest.approx(draws.var(), rel=0.02, abs=4.5 * error)


def test_exact_and_matched_laws_agree_for_many_draws():
    """n = 2000, d = 1: by skewness of either law, some 1e-3 in probability; both at 5 % and 95 %."""
    law = InformationInterval(0.3, information_bias(2000, 1, 2), 1999, 1, 2, 1)
    for truth in law(0.9):
        assert law._matched(truth) == pytest.approx(law._exact(truth), abs=2e-3)


def test_information_near_certainty_joins_the_exact_law():
    """Just below and above 7 nats the two formulas agree to 1e-6."""
    for value in (6.5, 7.0, 7.4):
        law = InformationInterval(value, information_bias(10, 1, 2), 9, 1, 2, 1)
        assert law._exact(7.0) == pytest.approx(law._exact(7.0 + 1e-9), abs=1e-6)


def test_correlation_interval_is_fishers():
    """For many draws artanh r − r/(2(n−1)) ± 1.96/√(n−3), accurate to 1/n of the width; I takes its square."""
    n, r = 2000, 0.6
    value = -0.5 * np.log1p(-(r**2)) - information_bias(n, 1, 1)
    fisher = np.tanh(np.arctanh(r) - r / (2 * (n - 1)) + np.array([-1, 1]) * ndtri(0.975) / np.sqrt(n - 3))
    found = InformationInterval(value, information_bias(n, 1, 1), n - 1, 1, 1, 1)(0.95)
    np.testing.assert_allclose(found, -0.5 * np.log1p(-(fisher**2)), atol=(found[1] - found[0]) / n)


def test_negative_values_move_the_interval_along():
    """Below zero the law at zero is shifted; ends differ by what the values differ."""
    for directions, d in ((1, 1), (2, 3)):
        laws = [InformationInterval(v, 0.0, 29, directions, d, directions) for v in (-0.5, -0.8)]
        one, other = (np.array(law(0.9)) for law in laws)
        np.testing.assert_allclose(one - other, 0.3, atol=1e-5)
        assert laws[0].cumulants(-1.0) == laws[0].cumulants(0.0)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(8, 60),
    d_x=st.integers(1, 3),
    d_y=st.integers(1, 3),
    rho=st.floats(0, 0.99),
)
def test_information_intervals_are_nested_and_hold_the_center(seed, n, d_x, d_y, rho):
    draws = information_estimates(n, d_x, d_y, np.array([rho]), 1, stream(seed, "nested"))
    value = float(draws[0])
    law = InformationInterval(value, information_bias(n, d_x, d_y), n - 1, d_x, d_y, 1)
    ends = np.array([law(level) for level in (0.5, 0.9, 0.99)])
    assert (np.diff(ends[:, 0]) < 0).all()
    assert (np.diff(ends[:, 1]) > 0).all()
    assert (ends[:, 0] < ends[:, 1]).all()


def sample_sines(n, d_x, d_y, rho, rng):
    """Sines of the canonical angles of one sample."""
    x, y = rng.standard_normal((n, d_x)), rng.standard_normal((n, d_y))
    m = len(rho)
    y[:, :m] = rho * x[:, :m] + np.sqrt(1 - np.square(rho)) * y[:, :m]
    a, b = (np.linalg.qr(z - z.mean(axis=0))[0] for z in (x, y))
    cosines = np.linalg.svd(a.T @ b, compute_uv=False)
    return np.sqrt(1 - np.minimum(cosines, 1) ** 2)


@pytest.mark.parametrize(
    ("n", "d_x", "d_y", "rho"), [(8, 1, 1, [0.0]), (10, 1, 2, [0.9]), (30, 3, 3, [0.8, 0.3]), (40, 2, 5, [0.0, 0.0])]
)
def test_information_coverage(n, d_x, d_y, rho):
    """100 intervals at 80 %: within 4 standard errors, and 2 % where canonical correlations are unknown."""
    rng, hits, rho = stream(0, "coverage", n), 0, np.array(rho)
    truth = -0.5 * float(np.log1p(-(rho**2)).sum())
    for _ in range(100):
        law = fitted_information(sample_sines(n, d_x, d_y, rho, rng), n, d_x, d_y)
        low, high = law.rule(0.8)
        hits += low <= truth <= high
    assert hits / 100 == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 100) + (0.02 if min(d_x, d_y) > 1 else 0))


@pytest.mark.parametrize(
    ("n", "d_x", "d_y", "rho"), [(30, 1, 1, [0.7]), (40, 3, 3, [0.8] * 3), (60, 4, 5, [0.9, 0.2]), (80, 8, 8, [0.0])]
)
def test_information_error_is_the_spread(n, d_x, d_y, rho):
    """Root mean square of 500 stated errors against 5000 values: 5 % beside 4.5 errors of a deviation.

    The sample's squared correlations of 8 + 8 independent columns sum to 0.8: taken as they are they double the error.
    """
    draws = information_estimates(n, d_x, d_y, np.array(rho), 5000, stream(0, "spread", n))
    rng = stream(1, "spread", n)
    fits = [fitted_information(sample_sines(n, d_x, d_y, np.array(rho), rng), n, d_x, d_y) for _ in range(500)]
    stated = np.sqrt(np.mean([fit.standard_error**2 for fit in fits]))
    assert stated == pytest.approx(draws.std(), rel=0.05 + 4.5 / np.sqrt(2 * 500))
    values = np.array([fit.rule.value for fit in fits])
    assert values.mean() == pytest.approx(draws.mean(), abs=4.5 * draws.std() / np.sqrt(500))


def test_fitted_information_limits():
    """All sines 1: no dependence, minus the correction; sines → 0: certain dependence, error (d, N) only."""
    none = fitted_information(np.ones(2), 50, 2, 3)
    assert none.rule.value == pytest.approx(-information_bias(50, 2, 3))
    assert none.standard_error == pytest.approx(0.5 * none.rule.cumulants(0.0).variance ** 0.5)
    assert none.rule.directions == 2
    near = [fitted_information(np.full(2, s), 50, 2, 2) for s in (1e-4, 1e-8)]
    assert near[1].rule.value - near[0].rule.value == pytest.approx(2 * np.log(1e4))
    assert near[1].standard_error == pytest.approx(near[0].standard_error, rel=1e-3)
    widths = [np.array(f.rule(0.95)) - f.rule.value for f in near]
    np.testing.assert_allclose(widths[0], widths[1], rtol=1e-3)


# inversion


@settings(deadline=None, max_examples=50)
@given(value=st.floats(-5, 5), std=st.floats(1e-6, 1e3), guess=st.floats(0.1, 10), level=st.floats(0.05, 0.999))
def test_inversion_of_a_normal_test(value, std, guess, level):
    """value ± z std, also when the stated deviation is ten times off."""
    ends = invert(lambda truth: float(ndtr((value - truth) / std)), value, guess * std, level)
    half = ndtri((1 + level) / 2) * std
    np.testing.assert_allclose(ends, (value - half, value + half), atol=2e-5 * std)


def test_inversion_where_the_value_itself_is_rejected():
    """A law far to one side, as a strongly biased one: both ends above the value, or below."""
    for shift in (-4.0, 4.0):
        ends = invert(lambda truth, shift=shift: float(ndtr(1.0 + shift - truth)), 1.0, 1.0, 0.9)
        assert ends == pytest.approx((1 + shift - ndtri(0.95), 1 + shift + ndtri(0.95)), abs=1e-4)


def test_inversion_of_a_law_without_an_end():
    """Draws that never tell large truths apart: the upper end is infinite."""
    low, high = invert(lambda truth: 0.5 * float(ndtr(-truth)) + 0.4, 0.0, 1.0, 0.5)
    assert high == np.inf
    assert low == pytest.approx(ndtri(0.3), abs=1e-4)


def test_rules_are_picklable():
    rng = stream(0, "pickle")
    x = rng.normal(size=(30, 3))
    plugin = GaussianPlugin()
    for found in (plugin.entropy(x), plugin.mutual_information(x[:, :1], x[:, 1:]), plugin.total_correlation(x)):
        again = pickle.loads(pickle.dumps(found))
        assert again.interval(0.9) == found.interval(0.9)
