"""Neighbors within blocks, read off lists, against a search in each block."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import hypergeom

from itssl.arrays import stream
from itssl.kernels.block_neighbors import (
    block_numbers,
    first_of_block,
    list_length,
    listed_counts,
    nearest_within,
)
from itssl.kernels.neighbor_counts import marginal_counts
from itssl.kernels.neighbors import neighbors


def twin(found, block, k):
    """Row by row: the places of the first k rows of the same block, and the rows that list fewer."""
    places, short = np.zeros((len(found), k), dtype=int), []
    for i, listed in enumerate(found):
        same = [place for place, j in enumerate(listed) if block[j] == block[i]]
        if len(same) < k:
            short.append(i)
        else:
            places[i] = same[:k]
    return places, short


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(5, 60), blocks=st.integers(1, 5), k=st.integers(1, 4))
def test_first_of_block_equals_its_twin(seed, n, blocks, k):
    rng = stream(seed, "blocks")
    listed = int(rng.integers(k, n))
    found = neighbors(rng.normal(size=(n, 2)), listed, "euclidean")[1]
    block = rng.integers(0, blocks, size=n).astype(np.int8)
    places, short = first_of_block(found, block, k)
    expected, fewer = twin(found, block, k)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(short, fewer)


def test_places_do_not_depend_on_how_many_rows_are_looked_at_together(monkeypatch):
    rng = stream(0, "tiles")
    found, block = neighbors(rng.normal(size=(300, 2)), 40, "euclidean")[1], rng.integers(0, 4, size=300)
    whole = first_of_block(found, block, 6)
    monkeypatch.setattr("itssl.kernels.block_neighbors._CELLS", 40 * 7)
    for a, b in zip(first_of_block(found, block, 6), whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("n", "blocks", "k"), [(300, 2, 4), (1000, 4, 4), (10_000, 4, 16), (50, 4, 12)])
def test_lists_are_long_enough_for_all_but_a_few_rows(n, blocks, k):
    """By the exact law of draws without replacement; one shorter, and the binomial law says no."""
    length = list_length(n, blocks, k)
    if length == n - 1:
        assert n * hypergeom.cdf(k - 1, n - 1, n // blocks - 1, n - 2) > 0
        return
    assert n * hypergeom.cdf(k - 1, n - 1, n // blocks - 1, length) <= 16
    assert n * hypergeom.cdf(k - 1, n - 1, n // blocks - 1, int(0.8 * length)) > 16


@pytest.mark.parametrize("norm", ["euclidean", "chebyshev", "manhattan", 1.0, 2.0])
@pytest.mark.parametrize("unit", [1.0, 1e-170, 1e170])
def test_nearest_within_a_block(norm, unit):
    rng = stream(0, "within")
    x, block = rng.normal(size=(60, 3)), np.sort(rng.permutation(60)[:25])
    rows = block[[3, 8, 20]]
    x[block[4]] = x[block[3]]  # a copy is a neighbor, the row itself is none
    distances, nearest = nearest_within(unit * x, rows, block, 5, norm)
    name: Any = {"manhattan": "cityblock", 1.0: "cityblock", 2.0: "euclidean"}.get(norm, norm)
    for i, row in enumerate(rows):
        others = block[block != row]
        expected = np.sort(cdist(x[[row]], x[others], name)[0])[:5]
        np.testing.assert_allclose(distances[i], unit * expected, rtol=64 * np.finfo(float).eps)
        np.testing.assert_allclose(cdist(x[[row]], x[nearest[i]], name)[0], expected, rtol=64 * np.finfo(float).eps)
        assert row not in nearest[i]
    assert distances[0, 0] == 0


@pytest.mark.parametrize("variant", [1, 2])
def test_counts_of_listed_neighbors_are_those_of_a_search(variant):
    rng = stream(0, "counts")
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(400, 1))
    parts = [np.sort(part) for part in np.array_split(rng.permutation(400), 3)]
    nearest = np.empty((400, 4), dtype=np.intp)
    for rows in parts:
        nearest[rows] = rows[neighbors(np.hstack([x, y])[rows], 4, "chebyshev")[1]]
    for rows, counts in zip(parts, listed_counts(x, y, nearest, variant, parts), strict=True):
        for ours, theirs in zip(counts, marginal_counts(x[rows], y[rows], 4, "chebyshev", variant), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert block_numbers(parts, 400)[parts[2]].tolist() == len(parts[2]) * [2]
