"""Root laws: mean, variance, moments and entropy against quadrature of their densities."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.distributions.scalar_roots import (
    LogBeta,
    LogBetaPrime,
    LogGamma,
    Normal,
    log_gamma_draws,
    root_cross_entropy,
)

EPS = np.finfo(float).eps
ROOTS = [LogGamma(0.7), LogGamma(3.0), LogBeta(0.8, 2.5), LogBeta(2.0, 1.0), LogBetaPrime(1.3, 2.2), Normal()]


def expectation(root, function):
    """Trapezoidal rule on a wide grid, in v for whole-line roots and in log(−v) for LogBeta."""
    t = np.linspace(-90, 90, 200_001)
    v, slope = (-np.exp(t / 2), np.exp(t / 2) / 2) if root.upper == 0 else (t, 1.0)
    density = np.exp(root.log_density(v)) * slope
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.where(density > 0, density * function(v), 0).sum() * (t[1] - t[0]))


@pytest.mark.parametrize("root", ROOTS, ids=str)
def test_moments_and_entropy(root):
    tolerance = 200_001 * EPS
    assert expectation(root, np.ones_like) == pytest.approx(1, abs=tolerance)
    assert expectation(root, lambda v: v) == pytest.approx(root.mean, abs=tolerance)
    assert expectation(root, lambda v: (v - root.mean) ** 2) == pytest.approx(root.var, abs=tolerance * 8)
    assert expectation(root, lambda v: -root.log_density(v)) == pytest.approx(root.entropy, abs=tolerance)
    for s in (-0.3, 0.5):
        assert np.log(expectation(root, lambda v, s=s: np.exp(s * v))) == pytest.approx(
            root.log_moment(s), abs=tolerance
        )


@pytest.mark.parametrize("root", ROOTS, ids=str)
def test_cross_entropy_with_itself_is_the_entropy(root):
    assert root_cross_entropy(root, root, 1.0, 0.0) == pytest.approx(root.entropy, abs=64 * EPS)


def test_entropy_of_large_gamma_variables_keeps_its_digits():
    below, above = LogGamma(100.0).entropy, LogGamma(np.nextafter(100.0, 101)).entropy
    assert below == pytest.approx(above, abs=64 * EPS * 100)  # two formulas meet
    large = LogGamma(1e12).entropy
    assert large == pytest.approx(0.5 * np.log(2 * np.pi * np.e / 1e12), abs=16 * EPS * 15 + 1e-12)


def test_a_moment_that_does_not_exist_is_infinite():
    assert LogGamma(0.5).log_moment(-0.5) == np.inf
    assert LogBeta(0.5, 1.0).log_moment(-0.5) == np.inf
    assert LogBetaPrime(0.5, 1.0).log_moment(1.0) == np.inf


@pytest.mark.parametrize("root", ROOTS[:-1], ids=str)
def test_tails_are_those_of_the_density(root):
    left, right, log_constant = root.tails
    v = np.array([-40.0])
    assert root.log_density(v)[0] == pytest.approx(left * v[0] + log_constant, abs=1e3 * EPS)
    if np.isfinite(right):
        assert root.log_density(-v)[0] == pytest.approx(right * v[0] + log_constant, abs=1e3 * EPS)


def test_logarithms_of_gamma_draws_do_not_underflow():
    logs = log_gamma_draws(1e-3, 20_000, stream(0, "tiny"))
    assert np.isfinite(logs).all()
    error = np.sqrt(LogGamma(1e-3).var / len(logs))
    assert logs.mean() == pytest.approx(LogGamma(1e-3).mean, abs=5 * error)
