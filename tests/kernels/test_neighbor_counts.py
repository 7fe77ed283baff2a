"""Counts of KSG and counts within given radii against naive twins, on trees and tiles, with ties and copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.kernels import neighbor_counts as kernel
from itssl.kernels.neighbor_counts import counts_within, marginal_counts


def distance_twin(x, metric):
    """All distances, in the arithmetic of the kernels; a row is infinitely far from itself."""
    difference = np.abs(x[:, None] - x[None])
    away = difference.max(axis=2) if metric == "chebyshev" else np.sqrt((difference**2).sum(axis=2))
    np.fill_diagonal(away, np.inf)
    return away


def counts_twin(x, y, k, metric, variant):
    """KSG's counts, one row at a time, from the definition."""
    away_x, away_y = distance_twin(x, metric), distance_twin(y, metric)
    joint, n_x, n_y = np.maximum(away_x, away_y), [], []
    for i in range(len(x)):
        nearest = np.argsort(joint[i], kind="stable")[:k]
        if variant == 1:
            n_x.append((away_x[i] < joint[i, nearest[-1]]).sum())
            n_y.append((away_y[i] < joint[i, nearest[-1]]).sum())
        else:
            n_x.append((away_x[i] <= away_x[i, nearest].max()).sum())
            n_y.append((away_y[i] <= away_y[i, nearest].max()).sum())
    return np.array(n_x), np.array(n_y)


def within_twin(x, radius, edge):
    away = distance_twin(x, "chebyshev")
    return ((away < radius[:, None]) if edge == "strict" else (away <= radius[:, None])).sum(axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(6, 60), d_x=st.integers(1, 7), d_y=st.integers(1, 7),
    k=st.integers(1, 5), variant=st.sampled_from([1, 2]), metric=st.sampled_from(["chebyshev", "euclidean"]),
    grid=st.booleans(),
)  # fmt: skip
def test_marginal_counts_equal_the_definition(seed, n, d_x, d_y, k, variant, metric, grid):
    rng = stream(seed, "counts")
    x, y = rng.normal(size=(n, d_x)), rng.normal(size=(n, d_y))
    if grid and variant == 1:  # ties everywhere: strictness is all that matters (variant 2 depends on tie order)
        x, y = np.round(2 * x), np.round(2 * y)
    fast, twin = marginal_counts(x, y, k, metric, variant), counts_twin(x, y, k, metric, variant)
    np.testing.assert_array_equal(fast, twin)


def test_tree_and_tiles_count_alike():
    rng = stream(0, "both paths")
    x, y = rng.normal(size=(500, 3)), rng.normal(size=(500, 2))
    for variant in (1, 2):
        tree = kernel._tree_counts(x, y, 4, variant)
        tile = kernel._count_tile(x, y, slice(0, 500), 4, "chebyshev", variant)
        np.testing.assert_array_equal(tree, tile)


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_many_tiles_count_what_one_counts(metric, monkeypatch):
    """Rows of 20 dimensions in tiles of at most 8 rows, on all cores."""
    x, y = stream(0, "tiles").normal(size=(2, 130, 20))
    whole = marginal_counts(x, y, 3, metric, 1)
    monkeypatch.setattr("itssl.kernels.tiles.TILE_BYTES", 8 * 8 * 130)
    np.testing.assert_array_equal(whole, marginal_counts(x, y, 3, metric, 1))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(2, 60), d=st.sampled_from([1, 2, 20]),
    edge=st.sampled_from(["strict", "inclusive"]), grid=st.booleans(),
)  # fmt: skip
def test_counts_within_equal_the_definition(seed, n, d, edge, grid):
    """On a lattice most distances tie with the radii, and some radii are 0."""
    rng = stream(seed, "counts")
    x = rng.normal(size=(n, d))
    x = np.round(x) if grid else x
    radius = np.abs(x - x[rng.permutation(n)]).max(axis=1)
    np.testing.assert_array_equal(counts_within(x, radius, edge), within_twin(x, radius, edge))


@pytest.mark.parametrize("d", [2, 20])
def test_a_radius_of_zero_holds_copies_only_when_inclusive(d):
    x = np.repeat(stream(0, "copies").normal(size=(10, d)), 3, axis=0)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "inclusive"), 2)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "strict"), 0)
