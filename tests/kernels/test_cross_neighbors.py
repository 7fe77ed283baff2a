"""Cross distances against a naive twin, on trees, products and tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.kernels.cross_neighbors import cross_distances

ROUNDING = 16 * np.finfo(float).eps


def distances_twin(x, y, metric):
    away = np.abs(x[:, None] - y[None])
    return away.max(axis=2) if metric == "chebyshev" else np.sqrt((away**2).sum(axis=2))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 40), m=st.integers(6, 40), d=st.sampled_from([1, 3, 7, 20]),
    k=st.integers(1, 6), metric=st.sampled_from(["chebyshev", "euclidean"]),
)  # fmt: skip
def test_cross_distances_equal_the_definition(seed, n, m, d, k, metric):
    rng = stream(seed, "cross")
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    twin = np.sort(distances_twin(x, y, metric), axis=1)[:, :k]
    np.testing.assert_allclose(cross_distances(x, y, k, metric), twin, rtol=ROUNDING)


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("metric", ["chebyshev", "euclidean"])
@pytest.mark.parametrize("exponent", [-900, 900])
def test_extreme_units_change_nothing(metric, d, exponent):
    """Squares of 2^±900 over- and underflow: distances were inf or 0."""
    rng = stream(0, "cross units")
    x, y = rng.normal(size=(30, d)), rng.normal(size=(40, d))
    far = cross_distances(np.ldexp(x, exponent), np.ldexp(y, exponent), 3, metric)
    np.testing.assert_allclose(np.ldexp(far, -exponent), cross_distances(x, y, 3, metric), rtol=1e-13)


@pytest.mark.parametrize("metric", ["chebyshev", "euclidean"])
def test_many_tiles_say_what_one_says(metric, monkeypatch):
    rng = stream(0, "cross tiles")
    x, y = rng.normal(size=(150, 20)), rng.normal(size=(70, 20))
    whole = cross_distances(x, y, 3, metric)
    monkeypatch.setattr("itssl.kernels.tiles.TILE_BYTES", 8 * 70 * 8)
    np.testing.assert_array_equal(cross_distances(x, y, 3, metric), whole)
