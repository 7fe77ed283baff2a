"""Tree neighbors against naive twins: both kinds of tree, with and without threads, copies in any place."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import tree_neighbors as kernel
from itssl.kernels.tree_neighbors import tree_neighbors
from tests.kernels.traps import DATA, ROUNDING

ORDERS = {1.0: 1, 2.0: 2, np.inf: np.inf}


def twin(x, p):
    away = np.linalg.norm(x[:, None] - x, ord=p, axis=2)
    np.fill_diagonal(away, np.inf)
    return away


@pytest.mark.parametrize("plane", [0, 10])
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("kind", DATA)
def test_distances_equal_the_definition(kind, p, plane, monkeypatch):
    monkeypatch.setattr(kernel, "_PLANE", plane)
    x = DATA[kind](stream(0, "tree", kind), 200, 3)
    distances, rows = tree_neighbors(x, 5, p)
    away = twin(x, p)
    np.testing.assert_allclose(distances, np.sort(away, axis=1)[:, :5], rtol=ROUNDING)
    np.testing.assert_allclose(np.take_along_axis(away, rows, axis=1), distances, rtol=ROUNDING)
    assert all(len(set(row)) == 5 for row in rows)


@pytest.mark.parametrize("plane", [0, 10])
@pytest.mark.parametrize("copies", [2, 3, 50])
def test_a_row_among_copies_is_not_its_own_neighbor(copies, plane, monkeypatch):
    """With more copies than neighbors asked for, a query may not find the row itself."""
    monkeypatch.setattr(kernel, "_PLANE", plane)
    x = np.repeat(stream(0, "copies").normal(size=(6, 2)), copies, axis=0)
    distances, rows = tree_neighbors(x, 4, 2.0)
    np.testing.assert_array_equal(distances[:, : copies - 1], 0)
    np.testing.assert_allclose(distances, np.sort(twin(x, 2), axis=1)[:, :4], rtol=ROUNDING)
    assert (rows != np.arange(len(x))[:, None]).all()
    assert all(len(set(row)) == 4 for row in rows)


@pytest.mark.parametrize("plane", [0, 10])
def test_on_a_lattice_all_rows_tie(plane, monkeypatch):
    monkeypatch.setattr(kernel, "_PLANE", plane)
    x = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    for p in ORDERS:
        np.testing.assert_array_equal(tree_neighbors(x, 4, p)[0], np.sort(twin(x, p), axis=1)[:, :4])


@pytest.mark.parametrize("threaded", [0, 2**60])
def test_threads_change_nothing(threaded, monkeypatch):
    monkeypatch.setattr(kernel, "_THREADED", threaded)
    monkeypatch.setattr(kernel, "cores", lambda: 2)
    x = stream(0, "threads").normal(size=(300, 3))
    np.testing.assert_array_equal(tree_neighbors(x, 2, 2.0)[1], np.argsort(twin(x, 2))[:, :2])


@pytest.mark.parametrize("n", [5, 6, 100])
def test_barely_more_rows_than_neighbors(n):
    x = stream(0, "few", n).normal(size=(n, 2))
    np.testing.assert_allclose(tree_neighbors(x, 4, 2.0)[0], np.sort(twin(x, 2), axis=1)[:, :4], rtol=ROUNDING)


def test_input_is_left_alone():
    x = np.asfortranarray(stream(0, "views").normal(size=(80, 4)))[::2, 1:]
    x.flags.writeable = False
    np.testing.assert_allclose(tree_neighbors(x, 3, 2.0)[0], np.sort(twin(x, 2), axis=1)[:, :3], rtol=ROUNDING)


@pytest.mark.parametrize("compiles", [True, False])
def test_a_compiled_tree_is_asked_where_it_is_worth_loading(compiles, monkeypatch):
    monkeypatch.setattr(kernel, "_compiles", lambda: compiles)
    monkeypatch.setattr(kernel, "_COMPILED_ROWS", 60)
    monkeypatch.setattr(kernel, "_COMPILED_COLUMNS", 4)
    asked = []

    def recorded(x, k, p):
        asked.append((x.shape, p))
        return np.zeros((len(x), k)), np.zeros((len(x), k), dtype=int)

    monkeypatch.setattr("itssl.kernels.compiled_tree.compiled_neighbors", recorded)
    x = stream(0, "asked").normal(size=(60, 5))
    for part, p in [(x[:, :4], 2.0), (x[:, :4], np.inf), (x[:, :4], 1.0), (x[:59, :4], 2.0), (x, 2.0)]:
        tree_neighbors(part, 2, p)
    assert asked == ([((60, 4), 2.0), ((60, 4), np.inf)] if compiles else [])


def test_numba_that_does_not_compile_is_not_used(monkeypatch):
    """It may be switched off, or refuse the numpy that is there."""
    installed = kernel._compiles.__wrapped__
    monkeypatch.setattr(kernel, "find_spec", lambda name: None)
    assert not installed()
    monkeypatch.setattr(kernel, "find_spec", lambda name: name)
    for compiled in (False, True):
        monkeypatch.setattr("itssl.kernels.compiled_tree.COMPILED", compiled)
        assert installed() is compiled
