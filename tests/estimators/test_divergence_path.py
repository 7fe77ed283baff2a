"""The path on which a divergence changes most for its sampling error: gradient flow, against the full covariance's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.estimators import divergence_path
from itssl.estimators.divergence_path import at_divergence, divergence
from itssl.estimators.gaussian_divergence import divergence_variance

EPS = np.finfo(float).eps


def start(seed, d):
    rng = stream(seed, "start")
    return rng.normal(size=d) * rng.choice([0.01, 1, 4]), rng.normal(size=d) * rng.choice([0.01, 1, 4])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 5), log_truth=st.floats(-30, 8), n=st.integers(4, 99))
def test_reaches_the_divergence(seed, d, log_truth, n):
    truth = float(np.exp(log_truth))
    x, w = at_divergence(truth, *start(seed, d), n, 20)
    exact = divergence(x, w) if truth > 1e-6 else 0.25 * float((x**2 + 2 * w**2).sum())
    assert exact == pytest.approx(truth, rel=1e-8 if truth > 1e-6 else 0.01)


def test_velocity_is_the_natural_gradient():
    """Of independent coordinates with unknown means and variances of P and Q, brought back to C_q = 1 and mean 0."""
    n, m = 7, 12
    for x, w in (np.array([0.7, 0.4]), np.array([-1.5, 2.0]), np.array([2.0, 0.0])):

        def at(p):  # mean and log variance of P, of Q
            return np.array([p[1] - p[3], (p[0] - p[2]) / np.exp(p[3] / 2)])

        def value(p):
            log_ratio, shift = at(p)
            return divergence(np.array([log_ratio]), np.array([shift]))

        point = np.array([w, x, 0.0, 0.0])
        steps = 1e-5 * np.eye(4)
        gradient = np.array([(value(point + h) - value(point - h)) / 2e-5 for h in steps])
        information = np.array([n / np.exp(x), n / 2, m, m / 2])
        direction = gradient / information
        moved = (at(point + 1e-5 * direction) - at(point - 1e-5 * direction)) / 2e-5
        found = divergence_path._velocity(np.array([[x], [w]]), n, m)[:, 0]
        np.testing.assert_allclose(found, moved * value(point) / (gradient @ direction), rtol=1e-6, atol=1e-9)


def test_rate_is_the_variance_for_many_draws():
    """dD/dt along the flow is the variance of the estimate to leading order, that of 10⁶ draws: means on one axis."""
    n = m = 10**6
    x, w = np.array([0.7, -0.4]), np.array([1.0, 0.0])
    velocity = divergence_path._velocity(np.array([x, w]), n, m)
    flow = (1 / n + 1 / m) * np.expm1(x) + w**2 / m  # of x, per unit of time
    rate = divergence(x, w) * flow / velocity[0]
    np.testing.assert_allclose(rate, divergence_variance(n, m, np.exp(x), w), rtol=1e-4)


def test_steps_are_of_fourth_order(monkeypatch):
    """Half as long, they err less than an eighth as much (a sixteenth, but for the last, cut step)."""

    def found(step):
        monkeypatch.setattr(divergence_path, "STEP", step)
        x, w = np.array([0.6, -0.3, 0.1]), np.array([0.4, -0.8, 0.0])
        return np.array(at_divergence(3.0, x, w, 9, 14))

    exact = found(0.02)
    assert np.abs(found(0.25) - exact).max() < np.abs(found(0.5) - exact).max() / 8


def test_there_and_back():
    x, w = start(1, 4)
    there = at_divergence(40.0, x, w, 10, 30)
    np.testing.assert_allclose(at_divergence(divergence(x, w), *there, 10, 30), (x, w), rtol=1e-3, atol=1e-5)


def test_ends_of_the_path():
    """P = Q for truth ≤ 0; ratios of 1e200 and starts a rounding error from P = Q overflow nothing."""
    x, w = start(2, 3)
    for truth in (0.0, -1.0):
        assert not np.any(at_divergence(truth, x, w, 9, 9))
    found = at_divergence(1.0, np.array([460.0, -460.0]), np.array([1e100, 1.0]), 9, 9)
    assert divergence(*found) == pytest.approx(1.0)
    near = at_divergence(1.0, np.array([1e-13, 0.0]), np.array([0.0, 1e-14]), 9, 9)
    assert divergence(*near) == pytest.approx(1.0)
    moved = at_divergence(1.0, np.array([1.0, 1.0]), np.zeros(2), 9, 9)
    np.testing.assert_array_equal(moved[1], 0)  # equal means stay equal
