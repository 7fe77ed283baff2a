"""Neighbor kernels against naive twins, in every regime: tree, matrix product, differences, ties, near-duplicates."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import neighbors as kernel
from itssl.kernels.neighbors import METRICS, neighbors
from itssl.kernels.tiles import tiles

ROUNDING = 16 * np.finfo(float).eps


def distance_twin(x, metric):
    """All distances from the definition; a row is infinitely far from itself."""
    difference = np.abs(x[:, None] - x[None])
    if metric in ("chebyshev", "euclidean"):  # in the arithmetic of the kernels, for counts that must agree exactly
        away = difference.max(axis=2) if metric == "chebyshev" else np.sqrt((difference**2).sum(axis=2))
    else:
        p, unit = 1.0 if metric == "manhattan" else metric, np.abs(difference).max()
        away = np.linalg.norm(difference.astype(np.longdouble) / unit, ord=p, axis=2).astype(float) * unit
    np.fill_diagonal(away, np.inf)
    return away


DATA = {
    "gaussian": lambda rng, n, d: rng.normal(size=(n, d)),
    "near-duplicates 1e-4, offset 1000": lambda rng, n, d: (
        1000 + np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0) + 1e-4 * rng.normal(size=(n // 4 * 4, d))
    ),
    "near-duplicates 1e-7": lambda rng, n, d: (
        np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0) + 1e-7 * rng.normal(size=(n // 4 * 4, d))
    ),
    "scale 1e-12": lambda rng, n, d: 1e-12 * rng.normal(size=(n, d)),
    "scale 1e12": lambda rng, n, d: 1e12 * rng.normal(size=(n, d)),
    "tight cluster far away": lambda rng, n, d: np.r_[
        1e-10 * rng.normal(size=(n // 2, d)), 1e6 + rng.normal(size=(n - n // 2, d))
    ],
    "clusters of 50": lambda rng, n, d: (
        np.repeat(rng.normal(size=(n // 50, d)), 50, axis=0) + 1e-3 * rng.normal(size=(n // 50 * 50, d))
    ),
}


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
@pytest.mark.parametrize("d", [1, 3, 10, 40])
@pytest.mark.parametrize("kind", DATA)
def test_distances_equal_the_definition(kind, d, metric):
    x = DATA[kind](stream(0, "neighbors", kind, d), 200, d)
    distances, rows = neighbors(x, 5, metric)
    twin = np.sort(distance_twin(x, metric), axis=1)[:, :5]
    np.testing.assert_allclose(distances, twin, rtol=ROUNDING)
    assert (rows != np.arange(len(x))[:, None]).all()
    again = np.take_along_axis(distance_twin(x, metric), rows, axis=1)
    np.testing.assert_allclose(again, twin, rtol=ROUNDING)


@pytest.mark.parametrize("metric", ["manhattan", 1.0, 1.5, 3.0, 7.0, np.inf])
@pytest.mark.parametrize("d", [2, 16])
@pytest.mark.parametrize(
    "kind", ["gaussian", "near-duplicates 1e-7", "scale 1e-12", "scale 1e12", "tight cluster far away"]
)
def test_distances_of_every_order_equal_the_definition(kind, d, metric):
    x = DATA[kind](stream(0, "orders", kind, d), 120, d)
    distances, rows = neighbors(x, 4, metric)
    twin = distance_twin(x, "chebyshev" if metric == np.inf else metric)
    np.testing.assert_allclose(distances, np.sort(twin, axis=1)[:, :4], rtol=4 * ROUNDING)
    np.testing.assert_allclose(np.take_along_axis(twin, rows, axis=1), distances, rtol=4 * ROUNDING)


def test_powers_that_underflow_are_redone(monkeypatch):
    """(1e-8)^60 is no number: without the second look these rows had neighbors at distance zero."""
    rng = stream(0, "underflow")
    x = np.repeat(rng.normal(size=(10, 2)), 4, axis=0) + 1e-8 * rng.normal(size=(40, 2))
    redone = []
    original = kernel._difference_tile
    monkeypatch.setattr(kernel, "_difference_tile", lambda *a: redone.append(a[1]) or original(*a))
    distances = neighbors(x, 3, 60.0)[0]
    twin = np.sort(distance_twin(x, "chebyshev"), axis=1)[:, :3]
    assert (distances >= twin * (1 - ROUNDING)).all()
    assert (distances <= twin * 2 ** (1 / 60) * (1 + ROUNDING)).all()
    assert len(redone) == 40


@pytest.mark.parametrize("threaded", [0, 2**60])
def test_threads_change_nothing(threaded, monkeypatch):
    monkeypatch.setattr(kernel, "_THREADED", threaded)
    x = stream(0, "threads").normal(size=(300, 3))
    np.testing.assert_array_equal(neighbors(x, 2, "euclidean")[1], np.argsort(distance_twin(x, "euclidean"))[:, :2])


@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("exponent", [-1000, -560, -400, 400, 560, 1000])
def test_extreme_units_change_nothing(metric, d, exponent):
    """Squares of 2^±560 over- and underflow: the distances were inf or 0 there."""
    x = stream(0, "units").normal(size=(60, d))
    distances, found = neighbors(x, 3, metric)
    far, found_far = neighbors(np.ldexp(x, exponent), 3, metric)
    np.testing.assert_array_equal(found_far, found)
    np.testing.assert_allclose(np.ldexp(far, -exponent), distances, rtol=1e-13)


def test_uncertified_rows_are_redone(monkeypatch):
    """Near-duplicates at 1e-9 defeat the matrix product: without the certificate the answer would be wrong."""
    rng = stream(0, "uncertified")
    x = np.repeat(rng.normal(size=(4, 16)), 60, axis=0) + 1e-9 * rng.normal(size=(240, 16))
    twin = np.sort(distance_twin(x, "euclidean"), axis=1)[:, :3]
    np.testing.assert_allclose(neighbors(x, 3, "euclidean")[0], twin, rtol=ROUNDING, atol=0)
    redone = []
    original = kernel._difference_tile
    monkeypatch.setattr(kernel, "_difference_tile", lambda *a: redone.append(a[1]) or original(*a))
    neighbors(x, 3, "euclidean")
    assert len(redone) > 100


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
@pytest.mark.parametrize("d", [2, 12])
def test_copies_are_neighbors_at_distance_zero(d, metric):
    x = np.repeat(stream(0, "copies").normal(size=(20, d)), 3, axis=0)
    distances, rows = neighbors(x, 2, metric)
    np.testing.assert_array_equal(distances, 0)
    assert (rows != np.arange(60)[:, None]).all()
    np.testing.assert_array_equal(x[rows], np.repeat(x[:, None], 2, axis=1))


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_many_tiles_say_what_one_says(metric, monkeypatch):
    """Rows of 20 dimensions in tiles of at most 8 rows, on all cores: the same neighbors, in order."""
    x = stream(0, "tiles").normal(size=(130, 20))
    whole = neighbors(x, 3, metric)
    monkeypatch.setattr("itssl.kernels.tiles.TILE_BYTES", 8 * 8 * 220)
    assert len(list(tiles(130, width=220))) > 10
    for one, many in zip(whole, neighbors(x, 3, metric), strict=True):
        np.testing.assert_array_equal(one, many)
