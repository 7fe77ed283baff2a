"""Pairwise kernel sums against the n×n definition."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import pairwise
from itssl.kernels.pairwise import kernel_sums


def sums_twin(z, var, weights):
    squared = ((z[:, None] - z[None]) ** 2).sum(axis=2)
    return np.exp(-squared / (8 * var)) @ weights[:, 0], np.exp(-squared / (2 * var)) @ weights[:, 1]


@pytest.mark.parametrize("var", [1e-3, 0.3, 1e3])
@pytest.mark.parametrize("d", [1, 5, 300])
def test_sums_equal_the_definition(d, var):
    rng = stream(0, "pairwise", d)
    z, weights = rng.normal(size=(70, d)), rng.uniform(size=(70, 2))
    # exp amplifies the rounding of the exponent, at most eps·|z|²/var with |z|² ≈ d.
    exponent_error = 64 * np.finfo(float).eps * (1 + d / var)
    for fast, twin in zip(kernel_sums(z, var, weights), sums_twin(z, var, weights), strict=True):
        np.testing.assert_allclose(fast, twin, rtol=exponent_error)
    ones = np.ones((70, 2))
    for fast, twin in zip(kernel_sums(z, var), sums_twin(z, var, ones), strict=True):
        np.testing.assert_allclose(fast, twin, rtol=exponent_error)


def test_tiles_do_not_show(monkeypatch):
    rng = stream(0, "tiles")
    z, weights = rng.normal(size=(70, 3)), rng.uniform(size=(70, 2))
    whole = kernel_sums(z, 0.5, weights)
    monkeypatch.setattr(pairwise, "_TILE", 16)
    np.testing.assert_allclose(kernel_sums(z, 0.5, weights), whole, rtol=64 * np.finfo(float).eps)


def test_far_apart_rows_count_for_nothing():
    np.testing.assert_array_equal(kernel_sums(np.array([[0.0], [1e9]]), 1.0), np.ones((2, 2)))
