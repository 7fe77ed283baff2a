"""Divergence of two Gaussians: unbiased, its variance, its simulated law against explicit draws, coverage, supports."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, kl_divergence
from itssl.distributions.tasks import random_mixing
from itssl.estimators import gaussian_divergence
from itssl.estimators.divergence_path import divergence as path_divergence
from itssl.estimators.gaussian_divergence import (
    DivergenceInterval,
    SimulatedDivergence,
    divergence_variance,
    fits_divergence,
    fitted_divergence,
    large_sample_variance,
    median_factor,
    on_common_support,
    plugin_divergence,
    whitened_ratios,
)
from itssl.estimators.shrinkage import Fit
from itssl.estimators.wishart import log_determinant_bias

EPS = np.finfo(float).eps
LAWS = {
    "equal, d = 1": (8, 8, [1.0], [0.0]),
    "far, d = 1": (6, 11, [3.0], [2.0]),
    "d = 2": (9, 14, [0.3, 2.0], [1.0, -0.5]),
    "d = 3": (30, 12, [0.5, 1.0, 4.0], [0.0, 0.7, 0.2]),
}


def divergence(ratios, shift):
    """D(N(δ, diag r) ‖ N(0, I)) in nats."""
    return 0.5 * float((ratios - np.log(ratios) - 1 + np.square(shift)).sum())


def estimate(x, y):
    """The unbiased estimate of each pair of samples (…, n, d) and (…, m, d), from its definition."""
    (n, d), m = x.shape[-2:], y.shape[-2]
    u, v = x - x.mean(axis=-2, keepdims=True), y - y.mean(axis=-2, keepdims=True)
    c_p, c_q = np.swapaxes(u, -1, -2) @ u / (n - 1), np.swapaxes(v, -1, -2) @ v / (m - 1)
    f, inverse = (m - d - 2) / (m - 1), np.linalg.inv(c_q)
    gap = x.mean(axis=-2) - y.mean(axis=-2)
    trace = f * np.trace(inverse @ c_p, axis1=-2, axis2=-1) * (1 - 1 / n)
    square = f * np.einsum("...i,...ij,...j", gap, inverse, gap) - d / m
    log_p = np.linalg.slogdet(c_p)[1] - log_determinant_bias(n, d)
    log_q = np.linalg.slogdet(c_q)[1] - log_determinant_bias(m, d)
    return 0.5 * (trace + square - d + log_q - log_p)


def explicit_estimates(n, m, ratios, shift, size, rng):
    """Estimates from ``size`` pairs of samples drawn row by row."""
    d = len(ratios)
    x = shift + np.sqrt(ratios) * rng.standard_normal((size, n, d))
    return estimate(x, rng.standard_normal((size, m, d)))


@pytest.mark.parametrize("law", LAWS)
def test_simulated_law_is_that_of_explicit_draws(law):
    """Mean and variance within 4.5 standard errors, deciles within the two-sample Kolmogorov-Smirnov test at 1e-5."""
    n, m, *parameters = LAWS[law]
    ratios, shift = np.array(parameters[0]), np.array(parameters[1])
    draws = explicit_estimates(n, m, ratios, shift, 20000, stream(0, law))
    found, _ = SimulatedDivergence(n, m, len(ratios))(np.log(ratios), shift)
    assert len(found) == 4000
    error = np.sqrt(draws.var() / len(draws) + found.var() / len(found))
    assert abs(found.mean() - draws.mean()) < 4.5 * error
    smirnov: Any = stats.ks_2samp(found, draws)
    assert smirnov.pvalue > 1e-5
    quantiles = np.linspace(0.05, 0.95, 19)  # each holds its share of the other draws
    shares = (found[:, None] <= np.quantile(draws, quantiles)).mean(axis=0)
    assert (np.abs(shares - quantiles) < 4.5 * np.sqrt(quantiles * (1 - quantiles) * (1 / 4000 + 1 / 20000))).all()


@pytest.mark.parametrize("law", LAWS)
def test_explicit_draws_are_unbiased_with_the_stated_variance(law):
    """200,000 estimates: mean within 4.5 standard errors, variance within 4.5 errors from their fourth moment."""
    n, m, *parameters = LAWS[law]
    ratios, shift = np.array(parameters[0]), np.array(parameters[1])
    n, m = n + 6, m + 12  # so that the fourth moment exists: 2·4 < m − d − 1
    rng = stream(1, law)
    draws = np.concatenate([explicit_estimates(n, m, ratios, shift, 20000, rng) for _ in range(5)])
    assert abs(draws.mean() - divergence(ratios, shift)) < 4.5 * draws.std() / np.sqrt(len(draws))
    error = np.sqrt(np.var(np.square(draws - draws.mean())) / len(draws))
    assert abs(divergence_variance(n, m, ratios, shift) - draws.var()) < 4.5 * error


@pytest.mark.parametrize(("n", "m", "d"), [(8, 8, 1), (12, 15, 3), (20, 9, 2)])
def test_simulated_estimates_are_unbiased(n, m, d):
    """At twenty laws with the same draws; 4.5 standard errors of 4000 draws."""
    draws, rng = SimulatedDivergence(n, m, d), stream(0, "laws", d)
    for _ in range(20):
        ratios, shift = np.exp(rng.normal(size=d)), rng.normal(size=d)
        found, _ = draws(np.log(ratios), shift)
        assert abs(found.mean() - divergence(ratios, shift)) < 4.5 * found.std() / np.sqrt(len(found))


def test_variance_for_many_draws():
    """Delta method: (1/n)[½ Σ (r−1)² + δᵀCδ] + (1/m)[½ Σ (r + δδᵀ − 1)²_F + δᵀδ] as n, m → ∞."""
    n = m = 10**6
    for ratios, shift in ((np.array([2.0, 0.5]), np.array([1.0, -1.0])), (np.ones(3), np.array([0.1, 0.0, 2.0]))):
        of_p = 0.5 * np.square(ratios - 1).sum() + shift @ (ratios * shift)
        gap = np.diag(ratios) + np.outer(shift, shift) - np.eye(len(shift))
        of_q = 0.5 * np.square(gap).sum() + shift @ shift
        assert divergence_variance(n, m, ratios, shift) == pytest.approx(of_p / n + of_q / m, rel=100 / n)


def test_variance_at_equal_laws_is_of_second_order():
    """2D̂ n m/(n+m) → χ² with k = d(d+3)/2 degrees of freedom less its mean: variance k/2 · ((n+m)/(nm))²."""
    for d in (1, 2, 5):
        n, m, k = 10**4, 3 * 10**4, d * (d + 3) / 2
        expected = k / 2 * (1 / n + 1 / m) ** 2
        assert divergence_variance(n, m, np.ones(d), np.zeros(d)) == pytest.approx(expected, rel=50 * d / n + 1e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 4), power=st.integers(-3, 3))
def test_estimate_from_rows_is_the_definition(seed, d, power):
    rng = stream(seed, "rows")
    x = (rng.normal(size=(15, d)) @ random_mixing(d, seed) + 1) * 10.0**power
    y = rng.normal(size=(20, d)) * 10.0**power
    ratios, shift, log_det = whitened_ratios(x, y)
    law = fitted_divergence(15, 20, ratios, shift, log_det)
    value = estimate(x, y)
    assert law.value == pytest.approx(float(value), rel=1e5 * EPS, abs=1e5 * EPS)
    p, q = (Gaussian(z.mean(axis=0), np.cov(z.T).reshape(d, d)) for z in (x, y))
    truth = kl_divergence(p, q).value
    assert plugin_divergence(ratios, shift, log_det) == pytest.approx(truth, rel=1e5 * EPS, abs=1e5 * EPS)
    fits = [Fit(g.mean, g.cov, 0.0) for g in (p, q)]
    assert fits_divergence(fits) == pytest.approx(truth, rel=1e5 * EPS, abs=1e5 * EPS)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 4), apart=st.floats(0, 3))
def test_fitted_law_has_the_unbiased_divergence(seed, d, apart):
    """The path passes a law with the unbiased divergence; it starts with the unbiased log-determinant, less spread."""
    rng = stream(seed, "fitted")
    x, y = (1 + apart * np.arange(d)) * rng.normal(size=(20, d)) + apart, rng.normal(size=(25, d))
    found = whitened_ratios(x, y)
    law = fitted_divergence(20, 25, *found)
    logs = np.array(law.log_ratios)
    if law.value > 0:
        at = law._law(law.value)
        assert path_divergence(*at) == pytest.approx(law.value, rel=1e-6)
        variance = divergence_variance(20, 25, np.exp(at[0]), at[1])
        assert law.variance(law.value) == pytest.approx(variance, rel=1e3 * EPS)
    assert law.variance(-1.0) == divergence_variance(20, 25, np.ones(d), np.zeros(d))
    unbiased = found[2] - log_determinant_bias(20, d) + log_determinant_bias(25, d)
    assert logs.sum() == pytest.approx(unbiased, abs=1e4 * EPS)
    assert (np.diff(logs) <= 0).all()  # in the order of the sample's
    if apart > 2 and d > 1:
        assert np.ptp(logs) < np.ptp(np.log(found[0]))  # and closer together
        medians = 0.5 * (median_factor(25, d) * found[0].sum() - d - unbiased)
        assert path_divergence(logs, np.zeros(d)) == pytest.approx(medians, rel=1e-6)


def test_start_takes_the_noise_off_the_shift():
    """The square of the shift falls by its noise d/m + tr(R)/n where it is large, and to none where it is noise."""
    n, m, ratios = 40, 50, np.array([0.5, 1.0, 2.0])
    noise = 3 / m + median_factor(m, 3) * 3.5 / n
    for length in (1e-3, 30.0):
        law = fitted_divergence(n, m, ratios, np.array([0.0, length, 0.0]), 0.0)
        square, found = median_factor(m, 3) * length**2, np.square(law.shift).sum()
        assert found == pytest.approx(square**2 / (square + noise), rel=1e2 * EPS)
        assert found == pytest.approx(square - noise, rel=1e-5) or found < 1e-5 * noise


def test_median_factor():
    """û'Ĉ_q⁻¹û lies above its truth over the factor in half of 20,000 draws: 4.5 standard errors."""
    m, d, rng = 9, 3, stream(0, "median")
    draws = rng.standard_normal((20000, m, d))
    white = draws - draws.mean(axis=1, keepdims=True)
    inverse = np.linalg.inv(np.swapaxes(white, 1, 2) @ white / (m - 1))[:, 0, 0]
    assert np.mean(inverse * median_factor(m, d) > 1) == pytest.approx(0.5, abs=4.5 * 0.5 / np.sqrt(20000))


def explicit_studentized(n, m, ratios, shift, size, rng):
    """(D̂ − D)/σ̂ of ``size`` pairs of samples: σ̂² by the delta method from the rows' own covariances and means."""
    d = len(ratios)
    x, y = shift + np.sqrt(ratios) * rng.standard_normal((size, n, d)), rng.standard_normal((size, m, d))
    return (estimate(x, y) - divergence(ratios, shift)) / delta_error(x, y)


def delta_error(x, y):
    """√{(1/n)[½ tr(R−I)² + wᵀRw] + (1/m)[½ tr(R + wwᵀ − I)² + wᵀw]}, with R and wwᵀ scaled for their medians."""
    (n, d), m = x.shape[-2:], y.shape[-2]
    u, v = x - x.mean(axis=-2, keepdims=True), y - y.mean(axis=-2, keepdims=True)
    white = np.linalg.inv(np.linalg.cholesky(np.swapaxes(v, -1, -2) @ v / (m - 1)))
    g = (m - d - 2 / 3) / (m - 1)
    ratio = g * white @ (np.swapaxes(u, -1, -2) @ u / (n - 1)) @ np.swapaxes(white, -1, -2)
    gap = g**0.5 * np.einsum("...ij,...j", white, x.mean(axis=-2) - y.mean(axis=-2))
    moved = ratio + gap[..., None] * gap[..., None, :] - np.eye(d)
    of_p = 0.5 * np.square(ratio - np.eye(d)).sum(axis=(-1, -2)) + np.einsum("...i,...ij,...j", gap, ratio, gap)
    return np.sqrt(of_p / n + (0.5 * np.square(moved).sum(axis=(-1, -2)) + np.square(gap).sum(axis=-1)) / m)


def test_error_is_the_delta_method():
    rng = stream(0, "delta")
    x, y = np.array([0.5, 1.0, 3.0]) * rng.normal(size=(12, 3)) + 1, rng.normal(size=(15, 3))
    law = fitted_divergence(12, 15, *whitened_ratios(x, y))
    assert law.error == pytest.approx(float(delta_error(x, y)), rel=1e5 * EPS)


@pytest.mark.parametrize("law", LAWS)
def test_simulated_errors_are_those_of_explicit_draws(law):
    """The two-sample Kolmogorov-Smirnov test of (D̂ − D)/σ̂ at 1e-5: estimate and error belong together."""
    n, m, *parameters = LAWS[law]
    ratios, shift = np.array(parameters[0]), np.array(parameters[1])
    explicit = explicit_studentized(n, m, ratios, shift, 10000, stream(2, law))
    found = SimulatedDivergence(n, m, len(ratios)).studentized(np.log(ratios), shift)
    smirnov: Any = stats.ks_2samp(explicit, found)
    assert smirnov.pvalue > 1e-5


def coverage(n, m, ratios, shift, replicates, level=0.9):
    """Share of intervals that hold the truth: those whose own test does not reject it, so none need be inverted."""
    rng, d = stream(0, "coverage", n, m), len(ratios)
    truth, hits, draws = divergence(ratios, shift), 0, SimulatedDivergence(n, m, d)
    for _ in range(replicates):
        x, y = shift + np.sqrt(ratios) * rng.normal(size=(n, d)), rng.normal(size=(m, d))
        law = fitted_divergence(n, m, *whitened_ratios(x, y))
        share = np.mean(draws.studentized(*law._law(truth)) <= (law.value - truth) / law.error)
        hits += (1 - level) / 2 <= share <= (1 + level) / 2
    return hits / replicates


def test_the_interval_holds_what_its_test_does_not_reject():
    """Twelve samples of three laws: the truth is inside exactly where its tails do not reject it."""
    rng, seen = stream(0, "inversion"), set()
    for _ in range(12):
        ratios, shift = np.exp(rng.normal(size=2)), np.r_[rng.choice([0.0, 1.0, 3.0]), 0.0]
        x, y = shift + np.sqrt(ratios) * rng.normal(size=(7, 2)), rng.normal(size=(7, 2))
        law, truth = fitted_divergence(7, 7, *whitened_ratios(x, y)), divergence(ratios, shift)
        studentized = SimulatedDivergence(7, 7, 2).studentized(*law._law(truth))
        share = np.mean(studentized <= (law.value - truth) / law.error)
        low, high = law(0.5)
        seen.add(found := bool(low <= truth <= high))
        assert found == (0.25 <= share <= 0.75)
    assert seen == {True, False}


@pytest.mark.parametrize(("n", "m"), [(8, 8), (8, 30)])
def test_coverage_at_equal_laws(n, m):
    """At P = Q the law of the estimate is known: 80 % within 4 standard errors of 80 intervals."""
    assert coverage(n, m, np.ones(1), np.zeros(1), 80, 0.8) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 80))


AWAY = {
    "far and stretched": (12, 12, [0.14, 1.0, 7.4], [2.0, 0.0, 0.0]),
    "narrow": (6, 6, [0.14, 0.14, 0.14], [4.0, 0.0, 0.0]),
    "narrow, few of Q": (30, 6, [0.14, 0.14, 0.14], [4.0, 0.0, 0.0]),
    "one wide": (12, 12, [1.0, 1.0, 7.4], [0.0, 0.0, 0.0]),
    "near": (30, 30, [0.5, 2.0], [1.0, 0.0]),
}


@pytest.mark.parametrize("law", ["narrow, few of Q", "one wide"])
def test_coverage_away_from_equal_laws(law):
    """90 % within 4 standard errors of 100 intervals: a straight path in (x, w) holds the first in 60 %."""
    n, m, ratios, shift = AWAY[law]
    assert coverage(n, m, np.array(ratios), np.array(shift), 100) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 100))


@pytest.mark.slow
@pytest.mark.parametrize("law", AWAY)
def test_coverage_away_from_equal_laws_closely(law):
    """93 to 97 % are promised: 2 % beside 4 standard errors of 1000 intervals."""
    n, m, ratios, shift = AWAY[law]
    found = coverage(n, m, np.array(ratios), np.array(shift), 1000, 0.95)
    assert found == pytest.approx(0.95, abs=0.02 + 4 * np.sqrt(0.0475 / 1000))


def test_ends_are_where_the_tails_reject():
    """Explicit draws at either end: the share of studentized estimates below the one found is 97.5 % and 2.5 %."""
    rng = stream(0, "tails")
    x, y = rng.normal(size=(12, 2)) * [1.4, 0.8] + [4.0, 0.3], rng.normal(size=(15, 2))
    law = fitted_divergence(12, 15, *whitened_ratios(x, y))
    low, high = law(0.95)
    assert low > 0
    for end, share in ((low, 0.975), (high, 0.025)):
        log_ratios, shift = law._law(end)
        studentized = explicit_studentized(12, 15, np.exp(log_ratios), shift, 20000, rng)
        assert np.mean(studentized <= (law.value - end) / law.error) == pytest.approx(
            share, abs=4.5 * np.sqrt(0.025 * 0.975 * (1 / 4000 + 1 / 20000)) + 1 / 4000
        )


def test_intervals_are_nested_repeatable_and_picklable():
    law = DivergenceInterval(0.3, 0.4, 12, 15, (0.7, -0.4), (0.9, 0.3))
    ends = np.array([law(level) for level in (0.5, 0.9, 0.99)])
    assert (np.diff(ends[:, 0]) < 0).all()
    assert (np.diff(ends[:, 1]) > 0).all()
    assert (ends[:, 0] < 0.3).all()
    assert (ends[:, 1] > 0.3).all()
    assert pickle.loads(pickle.dumps(law))(0.9) == law(0.9)


def test_negative_estimates_shift_the_interval():
    """Below zero the law at P = Q is moved along: the same spread, so intervals differ by the estimates' difference."""
    one, other = (DivergenceInterval(value, 0.4, 40, 40, (0.1,), (0.1,)) for value in (-3.0, -4.0))
    np.testing.assert_allclose(np.array(one(0.9)) - other(0.9), 1.0, atol=64 * EPS)
    assert one(0.9)[1] < 0


def test_many_dimensions_are_taken_as_normal(monkeypatch):
    """At n = m = 4000 both laws agree to 4.5 standard errors of a 2.5 % quantile of the simulation's 4000 draws."""
    law = DivergenceInterval(0.5, 1.0, 4000, 4000, (0.2, -0.1), (0.9, 0.1))
    at = law._law(0.5)
    ratio, square = np.exp(at[0]), at[1] @ at[1]
    error = large_sample_variance(4000, 4000, 2, ratio.sum(), ratio @ ratio, square, at[1] @ (ratio * at[1])) ** 0.5
    law = replace(law, error=float(error))
    simulated = np.array(law(0.95))
    monkeypatch.setattr(gaussian_divergence, "MOST_DIMENSIONS", 1)
    error = law.variance(law.value) ** 0.5
    of_quantile = 4.5 * np.sqrt(0.025 * 0.975 / 4000) / stats.norm.pdf(1.96)  # in standard errors of the estimate
    np.testing.assert_allclose(law(0.95), simulated, atol=of_quantile * error)
    for low, high in (law(0.95), simulated):
        assert high - low == pytest.approx(2 * 1.96 * error, abs=np.sqrt(2) * of_quantile * error)
    assert DivergenceInterval(0.5, 0.3, 9, 6, (0.2, -0.1), (0.9, 0.1))(0.95) == (
        -np.inf,
        np.inf,
    )  # no variance: m ≤ d + 4


def test_one_sample_twice():
    """x = y: all ratios 1, no shift; the estimate is minus the correction, less than one of 1000 independent pairs."""
    x = stream(0, "twice").normal(size=(20, 3))
    law = fitted_divergence(20, 20, *whitened_ratios(x, x))
    assert law.value == pytest.approx(float(estimate(x, x)), abs=1e4 * EPS)
    low, high = law(0.95)
    assert -np.inf < low < high < 0


def test_common_support():
    rng = stream(0, "support")
    line = rng.normal(size=(30, 1)) @ np.ones((1, 3))
    plane = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 3))
    whole = rng.normal(size=(30, 3))
    assert on_common_support(line, plane) is None  # leaves it
    assert on_common_support(whole, plane) is None
    assert on_common_support(plane, whole) is None  # fills less of it
    inside = plane[:15] + plane[15:]
    shared = on_common_support(inside, plane)
    assert shared is not None
    u, v = shared
    assert u.shape == (15, 2)
    assert v.shape == (30, 2)
    both = np.vstack([inside, plane])  # in coordinates of the plane by hand
    basis = np.linalg.svd(both, full_matrices=False)[2][:2]
    expected = estimate(inside @ basis.T, plane @ basis.T)
    assert fitted_divergence(15, 30, *whitened_ratios(u, v)).value == pytest.approx(float(expected), rel=1e6 * EPS)
    same = on_common_support(whole, whole + 1)
    assert same is not None
    np.testing.assert_array_equal(same[0], whole)
