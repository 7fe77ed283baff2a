"""The least-squares probe: of least norm, and its residual."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.evaluation.least_squares import least_squares_probe


@pytest.mark.parametrize(("n", "d"), [(8, 14), (30, 5)])
def test_probe_is_of_least_norm(n, d):
    """Of all W with the same residual: what is added from the null space of Z only adds norm."""
    rng = stream(0, "least squares", n)
    z, y = rng.normal(size=(n, d)), np.arange(n) % 3
    found = least_squares_probe(z, y, np.arange(3))
    rounding = np.finfo(float).eps * z.size * np.linalg.cond(z)
    inverse = np.linalg.pinv(z)
    np.testing.assert_allclose(found.weights, (inverse @ np.eye(3)[y]).T, atol=rounding * np.linalg.norm(inverse, 2))
    np.testing.assert_allclose(
        found.weights, found.weights @ inverse @ z, atol=rounding * np.linalg.norm(found.weights)
    )
    residual = np.linalg.norm(np.eye(3)[y] - z @ inverse @ np.eye(3)[y])
    assert found.rank == min(n, d)
    assert abs(found.residual - residual) <= rounding * np.sqrt(n)
    assert (found.residual > 0.1) == (n > d)


def test_errors_are_distances_to_the_one_hot_labels():
    probe = least_squares_probe(np.eye(3), np.array([0, 1, 2]), np.arange(3))
    found = probe.errors(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(found, [0.0, 1.0], atol=8 * np.finfo(float).eps)
