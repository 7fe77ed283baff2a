"""The tree of our own against naive twins; without numba the same functions run as plain Python, on few rows."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.kernels import compiled_tree as kernel
from itssl.kernels.compiled_tree import compiled_neighbors
from itssl.kernels.tree_neighbors import tree_neighbors
from tests.kernels.traps import DATA, ROUNDING, distance_twin

ORDERS = {2.0: "euclidean", np.inf: "chebyshev"}
needs_numba = pytest.mark.skipif(not kernel.COMPILED, reason="needs numba: pip install 'itssl[fast]'")


def check(x, k, p):
    """Distances as in the definition, each that of the row named, rows named once and never the row itself."""
    distances, rows = compiled_neighbors(x, k, p)
    away = distance_twin(x, ORDERS[p])
    np.testing.assert_allclose(distances, np.sort(away, axis=1)[:, :k], rtol=ROUNDING)
    np.testing.assert_array_equal(np.take_along_axis(away, rows, axis=1), distances)
    assert all(len(set(row)) == k for row in rows)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("kind", DATA)
def test_distances_equal_the_definition(kind, p, monkeypatch):
    """In 16 leaves of 6 or 7 rows, of vectors of 8."""
    monkeypatch.setattr(kernel, "_LEAF", 8)
    check(DATA[kind](stream(0, "compiled", kind), 100, 3), 4, p)


@pytest.mark.parametrize("swaps", [0, 32])
@pytest.mark.parametrize("k", [1, 9, 40])
def test_leaves_of_fewer_rows_than_neighbors(k, swaps, monkeypatch):
    if kernel.COMPILED and swaps != kernel._SWAPS:
        pytest.skip("a constant of the compiled functions")
    monkeypatch.setattr(kernel, "_LEAF", 8)
    monkeypatch.setattr(kernel, "_SWAPS", swaps)
    check(stream(0, "many", k).normal(size=(90, 2)), k, 2.0)


@pytest.mark.parametrize("n", [5, 6, 32, 33, 65])
def test_any_number_of_rows(n):
    check(stream(0, "few", n).normal(size=(n, 2)), 4, 2.0)


@pytest.mark.parametrize("d", [1, 5, 12])
def test_any_number_of_columns(d):
    check(stream(0, "columns", d).normal(size=(70, d)), 2, np.inf)


def test_copies_of_one_row_are_at_distance_zero():
    distances, rows = compiled_neighbors(np.ones((70, 2)), 3, 2.0)
    np.testing.assert_array_equal(distances, 0)
    assert (rows != np.arange(70)[:, None]).all()


@pytest.mark.parametrize("p", ORDERS)
def test_threads_change_nothing(p, monkeypatch):
    x = stream(0, "threads").normal(size=(150, 3))
    alone = compiled_neighbors(x, 3, p)
    asked = []
    original = kernel.in_order
    monkeypatch.setattr(kernel, "_THREADED", 0)
    monkeypatch.setattr(kernel, "cores", lambda: 2)
    monkeypatch.setattr(kernel, "in_order", lambda work, parts: asked.extend(parts) or original(work, parts))
    for one, many in zip(alone, compiled_neighbors(x, 3, p), strict=True):
        np.testing.assert_array_equal(one, many)
    assert [start for start, _ in asked[1:]] == [stop for _, stop in asked[:-1]]
    assert len(asked) == 8


def test_input_is_left_alone():
    x = np.asfortranarray(stream(0, "views").normal(size=(160, 4)))[::2, 1:]
    x.flags.writeable = False
    check(x, 3, 2.0)


ORDERED = {
    "normal": lambda n: stream(0, "order").normal(size=n),
    "sorted": lambda n: np.arange(n) * 1.0,
    "reversed": lambda n: -np.arange(n) * 1.0,
    "organ pipe": lambda n: np.abs(np.arange(n) - n / 2),
    "saw": lambda n: np.arange(n) % 7.0,
    "copies": np.ones,
}


class Counted:
    """An array that counts how often it is read."""

    def __init__(self, values):
        self.values, self.reads = values, 0

    def __getitem__(self, i):
        self.reads += 1
        return self.values[i]

    def __setitem__(self, i, value):
        self.values[i] = value


@pytest.mark.parametrize("kind", ORDERED)
def test_the_median_costs_a_few_reads_of_each_row_in_any_order(kind):
    """With pivots from the ends and the middle an organ pipe was read 130 times."""
    values = ORDERED[kind](1000)
    keys, rows = Counted(values.copy()), np.arange(1000)
    partition = getattr(kernel._partition, "py_func", kernel._partition)
    partition(keys, rows, 0, 1000, 400)
    np.testing.assert_array_equal(keys.values, values[rows])
    assert keys.values[:400].max() <= keys.values[400] <= keys.values[401:].min()
    assert keys.values[400] == np.sort(values)[400]
    assert keys.reads < 20 * 1000


@pytest.mark.parametrize("n", [64, 150])
def test_nodes_are_halves_cut_across_their_widest_column_in_boxes_of_their_rows(n):
    x = stream(0, "grown", n).normal(size=(n, 3)) * [1, 2, 3]
    order, tiles = np.arange(n), np.full((8, 3, 24), np.inf)
    low, high = np.empty((16, 3)), np.empty((16, 3))
    kernel._grow(np.array(x.T, order="C"), order, np.empty(n), tiles, low, high)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    for leaf in range(8):
        rows = x[order[leaf * n // 8 : (leaf + 1) * n // 8]]
        np.testing.assert_array_equal(tiles[leaf, :, : len(rows)], rows.T)
        assert np.isinf(tiles[leaf, :, len(rows) :]).all()
    for node in range(1, 16):
        width = 8 >> (node.bit_length() - 1)
        first = node * width - 8
        cuts = [(2 * first + i * width) * n // 16 for i in range(3)]
        rows = x[order[cuts[0] : cuts[2]]]
        np.testing.assert_array_equal((low[node], high[node]), (rows.min(axis=0), rows.max(axis=0)))
        if node < 8:
            widest = np.ptp(rows, axis=0).argmax()
            assert x[order[cuts[0] : cuts[1]], widest].max() < x[order[cuts[1] : cuts[2]], widest].min()


class CountedTiles(np.ndarray):
    reads = 0

    def __getitem__(self, index):
        CountedTiles.reads += 1
        return super().__getitem__(index)


@pytest.mark.skipif(kernel.COMPILED, reason="counts the steps of plain Python")
def test_far_leaves_are_not_read(monkeypatch):
    """Of four times as many rows, each reads hardly more; all leaves would be four times as many."""
    original, reads = kernel._search, {}
    monkeypatch.setattr(kernel, "_LEAF", 8)
    monkeypatch.setattr(kernel, "_search", lambda tiles, *rest: original(tiles.view(CountedTiles), *rest))
    for n in (64, 256):
        monkeypatch.setattr(CountedTiles, "reads", 0)
        compiled_neighbors(stream(0, "far").uniform(size=(n, 2)), 2, 2.0)
        reads[n] = CountedTiles.reads / n
    assert reads[256] < 2 * reads[64]


@needs_numba
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("d", [2, 4])
def test_many_rows_have_the_distances_that_scipy_finds(d, p):
    from scipy.spatial import KDTree

    x = stream(0, "scipy", d).normal(size=(5000, d))
    np.testing.assert_array_equal(tree_neighbors(x, 4, p)[0], KDTree(x).query(x, 5, p=p)[0][:, 1:])


def test_without_a_folder_for_the_cache_it_compiles_without_one(monkeypatch):
    asked = []

    def njit(function, *, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(njit=njit))
    assert kernel._compiled(abs) is abs
    assert asked == [True, False]


def test_without_numba_functions_stay_as_they_are(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert kernel._compiled(abs) is abs


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    x = stream(0, "not finite").normal(size=(40, 2))
    x[7, 1] = bad
    with pytest.raises(ParameterError, match="x: expected finite numbers, got NaN or infinite ones"):
        compiled_neighbors(x, 2, 2.0)
