"""Neighbors against naive twins by every way that is chosen from, and the choice itself, which changes nothing."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import neighbors as kernel
from itssl.kernels.neighbors import METRICS, neighbors
from tests.kernels.traps import DATA, ROUNDING, distance_twin


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


WAYS = ("tree_neighbors", "brute_neighbors", "chebyshev_neighbors", "_difference_neighbors", "_power_neighbors")


def way_taken(monkeypatch, x, k, metric, **options):
    """The answer of neighbors, and which of its ways gave it."""
    taken = []
    with monkeypatch.context() as patch:
        for name in WAYS:
            original = getattr(kernel, name)

            def recorded(*a, name=name, original=original, **b):
                taken.append(name)
                return original(*a, **b)

            patch.setattr(kernel, name, recorded)
        return neighbors(x, k, metric, **options), taken


TILES = {"euclidean": "brute_neighbors", "chebyshev": "chebyshev_neighbors", "manhattan": "_difference_neighbors"}


@pytest.mark.parametrize("metric", TILES)
@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("kind", DATA)
def test_the_choice_changes_nothing(kind, d, metric, monkeypatch):
    x = DATA[kind](stream(0, "choice", kind, d), 200, d)
    answers = {}
    for tree in (True, False):
        monkeypatch.setattr(kernel, "tree_pays", lambda *_, tree=tree: tree)
        (answers[tree], rows), taken = way_taken(monkeypatch, x, 3, metric)
        assert taken == ["tree_neighbors" if tree else TILES[metric]]
        assert (rows != np.arange(len(x))[:, None]).all()
    np.testing.assert_allclose(answers[True], answers[False], rtol=ROUNDING)


def test_what_is_chosen(monkeypatch):
    rng = stream(0, "chosen")
    plane, cloud = rng.normal(size=(1500, 2)) @ rng.normal(size=(2, 24)), rng.normal(size=(4000, 24))
    for metric in TILES:
        assert way_taken(monkeypatch, plane, 2, metric)[1] == ["tree_neighbors"]
    for metric in METRICS:
        assert way_taken(monkeypatch, cloud, 2, metric)[1] == [TILES[metric]]
    assert way_taken(monkeypatch, cloud[:, :1], 2, "euclidean")[1] == []
    assert way_taken(monkeypatch, cloud[:60, :2], 2, 3.0)[1] == ["_power_neighbors", "tree_neighbors"]
    assert way_taken(monkeypatch, cloud[:60], 2, 3.0)[1] == ["_difference_neighbors"]


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
@pytest.mark.parametrize("d", [2, 12])
def test_copies_are_neighbors_at_distance_zero(d, metric):
    x = np.repeat(stream(0, "copies").normal(size=(20, d)), 3, axis=0)
    distances, rows = neighbors(x, 2, metric)
    np.testing.assert_array_equal(distances, 0)
    assert (rows != np.arange(60)[:, None]).all()
    np.testing.assert_array_equal(x[rows], np.repeat(x[:, None], 2, axis=1))


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("metric", ["euclidean", "chebyshev", "manhattan", 3.0])
def test_tiles_of_any_size_on_any_cores_say_the_same(metric, cores, monkeypatch):
    """90 rows in tiles of a row, of a few, and in one."""
    x = stream(0, "tiles").normal(size=(90, 16))
    monkeypatch.setattr(kernel, "tree_pays", lambda *_: False)
    monkeypatch.setattr("itssl.kernels.threads.cores", lambda: cores)
    whole = neighbors(x, 3, metric)
    for memory in (1, 2**17, 2**30):
        for one, many in zip(whole, neighbors(x, 3, metric, max_memory=memory), strict=True):
            np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("metric", ["manhattan", 3.0])
def test_tiles_of_differences_keep_to_the_memory(metric, monkeypatch):
    import tracemalloc

    x = stream(0, "memory").normal(size=(800, 20))
    monkeypatch.setattr(kernel, "tree_pays", lambda *_: False)
    neighbors(x[:40], 3, metric)  # imports
    tracemalloc.start()
    neighbors(x, 3, metric, max_memory=2**21)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21 + 4 * (x.nbytes + 800 * 3 * 16)
