"""Shrunk covariances: the published intensities, simulated bias and spread, units, warnings."""

import numpy as np
import pytest
import sklearn.covariance
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.estimators.shrinkage import (
    Fit,
    Shrunk,
    dimension_warnings,
    shrinkage_warnings,
    shrunk_fit,
    shrunk_statistic,
)
from itssl.estimators.wishart import log_determinant_bias, log_determinant_variance

EPS = np.finfo(float).eps


def standardized(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def oas_intensity(z):
    """Chen et al. (2010), the limit of the iterated oracle for known mean; without its 2/d, as in scikit-learn."""
    n, d = z.shape
    s = z.T @ z / n
    square, trace = np.trace(s @ s), np.trace(s)
    return min(1.0, (square + trace**2) / ((n + 1) * (square - trace**2 / d)))


def ledoit_wolf_intensity(z):
    """Ledoit & Wolf (2004): b̄²/d², both as averages over entries; b̄² is the mean of ‖z_k z_kᵀ − S‖²/n."""
    n, d = z.shape
    s = z.T @ z / n
    spread = np.square(s - np.trace(s) / d * np.eye(d)).sum() / d
    noise = sum(np.square(np.outer(row, row) - s).sum() for row in z) / (d * n**2)
    return min(noise, spread) / spread


FORMULAS = {"oas": oas_intensity, "ledoit_wolf": ledoit_wolf_intensity}


@pytest.mark.parametrize("method", FORMULAS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(4, 30), d=st.integers(2, 12))
def test_fit_is_the_definition(method, seed, n, d):
    """Variances stay, correlations shrink by the published intensity on standardized columns."""
    rng = stream(seed, "fit")
    x = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d))) * 10.0 ** rng.integers(-6, 6, size=d)
    found, a = shrunk_fit(x, method), FORMULAS[method](standardized(x))
    assert found.intensity == pytest.approx(a, rel=1e4 * EPS)
    theirs = getattr(sklearn.covariance, method)(standardized(x), assume_centered=True)[1]
    assert theirs == pytest.approx(a, rel=1e4 * EPS)
    std, correlations = x.std(axis=0, ddof=1), np.corrcoef(x, rowvar=False)
    expected = np.outer(std, std) * ((1 - a) * correlations + a * np.eye(d))
    np.testing.assert_allclose(found.cov, expected, rtol=1e6 * EPS, atol=1e4 * EPS * np.outer(std, std).max())
    np.testing.assert_allclose(np.diagonal(found.cov), std**2, rtol=1e3 * EPS)
    np.testing.assert_array_equal(found.mean, x.mean(axis=0))


def test_none_is_the_sample_covariance():
    x = stream(0, "none").normal(size=(20, 3)) * [1, 10, 100]
    found = shrunk_fit(x, "none")
    assert found.intensity == 0
    np.testing.assert_allclose(found.cov, np.cov(x, rowvar=False), rtol=1e3 * EPS, atol=1e3 * EPS * 1e4)


@pytest.mark.parametrize("method", ["none", "oas", "ledoit_wolf"])
def test_one_column_has_no_correlations(method):
    x = stream(0, "column").normal(size=(5, 1))
    found = shrunk_fit(x, method)
    assert (found.intensity, found.cov.shape) == (0.0, (1, 1))
    assert found.cov[0, 0] == pytest.approx(x.var(ddof=1))


@pytest.mark.parametrize("method", FORMULAS)
def test_limits_of_the_intensity(method):
    """No correlations: all is noise, a → 1; correlations and n → ∞: a falls as 1/n."""
    rng = stream(0, "limits")
    noise = shrunk_fit(rng.normal(size=(100, 50)), method).intensity
    assert noise > 0.9
    x = rng.normal(size=(40000, 4)) + rng.normal(size=(40000, 1))
    few, many = shrunk_fit(x[:400], method).intensity, shrunk_fit(x, method).intensity
    assert many == pytest.approx(few / 100, rel=0.3)  # ratio of ‖S − μI‖² at n = 400: correlations ±0.05 of ½
    assert 0 < many < 1e-3


@pytest.mark.parametrize("method", FORMULAS)
def test_matrices_of_fewer_rows_than_columns_are_regular(method):
    """Smallest eigenvalue of the shrunk correlations at least the intensity, for those of R̂ are at least zero."""
    x = stream(0, "wide").normal(size=(10, 40))
    found = shrunk_fit(x, method)
    std = x.std(axis=0, ddof=1)
    assert np.linalg.eigvalsh(found.cov / np.outer(std, std))[0] >= found.intensity - 100 * EPS


def log_det(fits):
    return sum(float(np.linalg.slogdet(fit.cov)[1]) for fit in fits)


def test_simulated_bias_and_error_are_those_of_wishart_draws():
    """Without shrinkage both are known: four errors of 64 simulations, whose deviation is good to 1/√126."""
    x = stream(0, "simulated").normal(size=(12, 3)) @ np.diag([1.0, 5.0, 0.1]) + 7
    found = shrunk_statistic([x], log_det, "none")
    std = log_determinant_variance(12, 3) ** 0.5
    assert found.value == pytest.approx(np.linalg.slogdet(np.cov(x, rowvar=False))[1])
    assert found.bias == pytest.approx(log_determinant_bias(12, 3), abs=4 * std / 8)
    assert found.standard_error == pytest.approx(std, rel=4 / np.sqrt(126))
    both = shrunk_statistic([x, x[:9]], log_det, "none")  # two independent samples: variances and biases add
    assert both.bias == pytest.approx(log_determinant_bias(12, 3) + log_determinant_bias(9, 3), abs=4 * 1.6 * std / 8)
    std = (log_determinant_variance(12, 3) + log_determinant_variance(9, 3)) ** 0.5
    assert both.standard_error == pytest.approx(std, rel=4 / np.sqrt(126))
    assert both.intensities == (0.0, 0.0)


@pytest.mark.parametrize("method", FORMULAS)
def test_simulation_is_the_definition(method):
    """A twin with its own generator: 2000 fits to draws from the fit; 4 errors of either."""
    x = stream(0, "twin").normal(size=(8, 5)) + stream(1, "twin").normal(size=(8, 1))
    found, fit, rng = shrunk_statistic([x], log_det, method), shrunk_fit(x, method), stream(2, "twin")
    again = [
        np.linalg.slogdet(shrunk_fit(rng.multivariate_normal(fit.mean, fit.cov, size=8), method).cov)[1]
        for _ in range(2000)
    ]
    assert found.intensities == (fit.intensity,)
    assert found.value == float(np.linalg.slogdet(fit.cov)[1])
    std = np.std(again)
    assert found.bias == pytest.approx(np.mean(again) - found.value, abs=4 * std * np.sqrt(1 / 64 + 1 / 2000))
    assert found.standard_error == pytest.approx(std, rel=5 / np.sqrt(126))


def test_mean_is_simulated_too():
    """The statistic x̄ has no bias and deviation 1/√n."""
    x = stream(0, "mean").normal(size=(25, 2)) + 3
    found = shrunk_statistic([x], lambda fits: float(fits[0].mean[0]), "oas")
    error = x[:, 0].std(ddof=1) / 5
    assert found.value == x[:, 0].mean()
    assert abs(found.bias) < 4 * error / 8
    assert found.standard_error == pytest.approx(error, rel=4 / np.sqrt(126))


def test_answers_repeat_and_do_not_depend_on_row_order_or_units():
    rng = stream(0, "repeat")
    x = rng.normal(size=(10, 12))
    one = shrunk_statistic([x], log_det, "oas")
    assert one == shrunk_statistic([x.copy()], log_det, "oas")
    moved = shrunk_statistic([1e6 * x[::-1] + 1], log_det, "oas")
    assert moved.value == pytest.approx(one.value + 24 * np.log(1e6), rel=1e-9)
    assert moved[1:3] == pytest.approx(one[1:3], abs=1e-6)


def test_warnings():
    assert [w.code for w in shrinkage_warnings(Shrunk(1.0, -0.3, 0.1, (0.5,)))] == ["shrinkage_bias"]
    (found,) = shrinkage_warnings(Shrunk(1.0, -0.3, 0.1, (0.5,)))
    assert "-0.3 nats" in found.message
    assert "3.0 standard errors" in found.message
    assert shrinkage_warnings(Shrunk(1.0, 0.2, 0.1, (0.5,))) == ()  # two standard errors are not above two
    assert [w.code for w in shrinkage_warnings(Shrunk(1.0, 0.3, 0.0, (0.5,)))] == ["shrinkage_bias"]
    assert dimension_warnings(11, 10) == ()
    (found,) = dimension_warnings(10, 10, name="y")
    assert found.code == "small_sample_for_dimension"
    assert "10 rows of y in 10 dimensions" in found.message


def test_fit_is_a_tuple_of_its_parts():
    fit = shrunk_fit(stream(0, "parts").normal(size=(9, 2)), "oas")
    assert isinstance(fit, Fit)
    assert fit._fields == ("mean", "cov", "intensity")
