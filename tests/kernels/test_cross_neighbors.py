"""Cross distances and counts within given radii against naive twins, on trees and tiles, with ties and copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.kernels.cross_neighbors import counts_within, cross_distances

ROUNDING = 16 * np.finfo(float).eps


def distances_twin(x, y, metric):
    away = np.abs(x[:, None] - y[None])
    return away.max(axis=2) if metric == "chebyshev" else np.sqrt((away**2).sum(axis=2))


def counts_twin(x, radius, edge):
    away = distances_twin(x, x, "chebyshev")
    np.fill_diagonal(away, np.inf)
    return ((away < radius[:, None]) if edge == "strict" else (away <= radius[:, None])).sum(axis=1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 40), m=st.integers(6, 40), d=st.sampled_from([1, 3, 20]),
    k=st.integers(1, 6), metric=st.sampled_from(["chebyshev", "euclidean"]),
)  # fmt: skip
def test_cross_distances_equal_the_definition(seed, n, m, d, k, metric):
    rng = stream(seed, "cross")
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    twin = np.sort(distances_twin(x, y, metric), axis=1)[:, :k]
    np.testing.assert_allclose(cross_distances(x, y, k, metric), twin, rtol=ROUNDING)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(2, 60), d=st.sampled_from([1, 2, 20]),
    edge=st.sampled_from(["strict", "inclusive"]), grid=st.booleans(),
)  # fmt: skip
def test_counts_equal_the_definition(seed, n, d, edge, grid):
    """On a lattice most distances tie with the radii, and some radii are 0."""
    rng = stream(seed, "counts")
    x = rng.normal(size=(n, d))
    x = np.round(x) if grid else x
    radius = distances_twin(x, x, "chebyshev")[np.arange(n), rng.permutation(n)]
    np.testing.assert_array_equal(counts_within(x, radius, edge), counts_twin(x, radius, edge))


@pytest.mark.parametrize("d", [2, 20])
def test_a_radius_of_zero_holds_copies_only_when_inclusive(d):
    x = np.repeat(stream(0, "copies").normal(size=(10, d)), 3, axis=0)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "inclusive"), 2)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "strict"), 0)
