"""Neighbors on a line: the very floats of |x_i − x_j|, ties and copies, chunks, and windows at both ends."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import sorted_neighbors as kernel
from itssl.kernels.sorted_neighbors import sorted_neighbors

LINES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "descending": lambda rng, n: -np.sort(rng.exponential(size=n)),
    "lattice": lambda rng, n: rng.integers(0, 20, n).astype(float),
    "copies": lambda rng, n: np.repeat(rng.normal(size=n // 4 + 1), 4)[:n],
    "constant": lambda rng, n: np.full(n, 3.0),
    "near-duplicates 1e-7, offset 1000": lambda rng, n: (
        1000 + np.repeat(rng.normal(size=n // 4 + 1), 4)[:n] + 1e-7 * rng.normal(size=n)
    ),
    "tight cluster far away": lambda rng, n: np.r_[1e-10 * rng.normal(size=n // 2), 1e6 + rng.normal(size=n - n // 2)],
    "2^-1000": lambda rng, n: np.ldexp(rng.normal(size=n), -1000),
    "2^1000 and little": lambda rng, n: np.where(rng.random(n) < 0.5, np.ldexp(1.0, 990), 1.0) * rng.normal(size=n),
}


def twin(x, k):
    """Sorted columns of all distances; a row is infinitely far from itself."""
    away = np.abs(x[:, None] - x)
    np.fill_diagonal(away, np.inf)
    return np.sort(away, axis=1)[:, :k]


@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 4), (60, 1), (60, 4), (60, 59)])
@pytest.mark.parametrize("kind", LINES)
def test_distances_are_the_very_floats_of_the_definition(kind, n, k):
    x = LINES[kind](stream(0, "line", kind, n), n)
    distances, rows = sorted_neighbors(x[:, None], k)
    np.testing.assert_array_equal(distances, twin(x, k))
    np.testing.assert_array_equal(np.abs(x[:, None] - x[rows]), distances)
    assert (rows != np.arange(n)[:, None]).all()
    assert all(len(set(row)) == k for row in rows)


def test_chunks_change_nothing(monkeypatch):
    x = stream(0, "chunks").normal(size=(100, 1))
    whole = sorted_neighbors(x, 5)
    monkeypatch.setattr(kernel, "_CHUNK", 7)
    for one, many in zip(whole, sorted_neighbors(x, 5), strict=True):
        np.testing.assert_array_equal(one, many)


def test_input_is_left_alone():
    x = np.asfortranarray(stream(0, "views").normal(size=(50, 3)))[::2, 1:2]
    x.flags.writeable = False
    np.testing.assert_array_equal(sorted_neighbors(x, 3)[0], twin(x[:, 0].copy(), 3))
