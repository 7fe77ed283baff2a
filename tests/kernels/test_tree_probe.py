"""The count that chooses between tree and tiles: against the boxes of a real tree, and on data of known dimension."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.kernels import tree_probe as kernel
from itssl.kernels.tree_probe import rows_examined, spread, tree_pays


def cloud(rng, n, d):
    return rng.normal(size=(n, d))


def plane(rng, n, d):
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 1e-3 * rng.normal(size=(n, d))


def sheet(rng, n, d):
    return np.sin(rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + rng.uniform(0, 6, d))


def leaves(node, low, high):
    """Boxes, as cut, and sizes of the leaves of a tree of scipy."""
    if not hasattr(node, "less"):
        return [(low, high, len(node.idx))]
    lower, upper = high.copy(), low.copy()
    lower[node.split_dim] = upper[node.split_dim] = node.split
    return leaves(node.less, low, lower) + leaves(node.greater, upper, high)


def read_twin(x, k, p):
    """Rows in the leaves whose boxes are within the distance to the k-th neighbor: what a query has to read."""
    from scipy.spatial import KDTree

    tree, d = KDTree(x, leafsize=16), x.shape[1]
    queries = x[:: len(x) // 40]
    low, high, size = map(np.array, zip(*leaves(tree.tree, np.full(d, -np.inf), np.full(d, np.inf)), strict=True))
    beyond = np.maximum(np.maximum(low - queries[:, None], queries[:, None] - high), 0)
    radius = np.sort(np.linalg.norm(queries[:, None] - x, ord=p, axis=2), axis=1)[:, k]
    return float(((np.linalg.norm(beyond, ord=p, axis=2) <= radius[:, None]) @ size).mean())


@pytest.mark.parametrize("p", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("d", [3, 8, 24])
@pytest.mark.parametrize("law", [cloud, plane, sheet])
def test_the_count_is_that_of_a_real_tree(law, d, p):
    """Within a factor of 2.5: from one dimension more or less, or k off by some, far more or less would be read."""
    x = law(stream(0, "count", law.__name__, d), 2000, d)
    assert 1 / 2.5 < rows_examined(x, 4, p) / read_twin(x, 4, p) < 2.5


def shares_twin(cell, low, high, queries, radius, p, depth):
    """Level by level, (cells within reach, cells) of the cells into which this one is cut at medians."""
    away = np.linalg.norm(np.maximum(np.maximum(low - queries, queries - high), 0), ord=p, axis=1)
    levels = [((away <= radius).mean(), 1)]
    if depth:
        column, half = np.ptp(cell, axis=0).argmax(), len(cell) // 2
        cell = cell[np.argsort(cell[:, column])]
        cut_high, cut_low = high.copy(), low.copy()
        cut_high[column] = cut_low[column] = cell[half, column]
        parts = ((cell[:half], low, cut_high), (cell[half:], cut_low, high))
        below = [shares_twin(*part, queries, radius, p, depth - 1) for part in parts]
        levels += [(a[0] + b[0], a[1] + b[1]) for a, b in zip(*below, strict=True)]
    return levels


@pytest.mark.parametrize("p", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("d", [2, 12])
def test_shares_are_those_of_the_cells_of_a_tree_of_medians(d, p):
    x = cloud(stream(0, "shares", d), 256, d)
    queries, radius = x[::16], np.linspace(0.1, 3, 16)
    infinite = np.full(d, np.inf)
    twin = shares_twin(x, -infinite, infinite, queries, radius, p, 4)
    np.testing.assert_allclose(kernel._shares(x, queries, radius, p), [reached / cells for reached, cells in twin])


@pytest.mark.parametrize("p", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("k", [1, 4, 40])
def test_radii_are_about_the_distances_to_the_kth_neighbors(k, p):
    """For few queries two of k + 1 rows are in one of 64 (k + 1) groups, and count as one; 1000 from the origin."""
    x = 1000 + cloud(stream(0, "radii", k), 3000, 6)
    radii = kernel._radii(x[:16], x, x.mean(axis=0), k, p)
    away = np.sort(np.linalg.norm(x[:16, None] - x, ord=p, axis=2), axis=1)
    within = radii / away[:, k] > 1 - 1e-9
    assert within.all()
    assert (radii <= away[:, k] * (1 + 1e-9)).sum() >= 8
    assert (radii <= away[:, k + 4] * (1 + 1e-9)).all()


@pytest.mark.parametrize("metric", [1.0, 2.0, np.inf])
def test_the_same_rows_give_the_same_answer(metric):
    x = cloud(stream(0, "again"), 3000, 9)
    assert rows_examined(x, 4, metric) == rows_examined(x.copy(), 4, metric)


@pytest.mark.parametrize("n", [600, 5000])
def test_rows_of_few_dimensions_are_for_the_tree_and_others_for_tiles(n):
    rng = stream(0, "choice", n)
    assert tree_pays(plane(rng, n, 30), 4, 2.0)
    assert tree_pays(sheet(rng, n, 30), 4, np.inf)
    assert tree_pays(cloud(rng, n, 5), 4, 2.0)
    assert not tree_pays(cloud(rng, n, 30), 4, 2.0)
    assert not tree_pays(cloud(rng, n, 60), 4, np.inf) or n == 600


def test_where_the_sample_leaves_it_open_all_rows_are_counted(monkeypatch):
    counted = []
    monkeypatch.setattr(kernel, "compiled_for", lambda x, p: False)
    original = kernel.rows_examined
    monkeypatch.setattr(kernel, "rows_examined", lambda x, *a: counted.append(len(x)) or original(x, *a))
    rng = stream(0, "open")
    tree_pays(plane(rng, 6000, 20), 4, 2.0)
    assert counted == [1024]
    tree_pays(cloud(rng, 6000, 8), 4, 2.0)
    assert counted == [1024, 1024, 6000]


@pytest.mark.parametrize(("read", "pays"), [(200.0, True), (50_000.0, False)])
def test_a_sample_that_is_read_whole_decides_nothing_about_many_rows(monkeypatch, read, pays):
    """On 60,000 rows even a sample that is read whole leaves room for a tree: all rows are asked."""
    monkeypatch.setattr(kernel, "rows_examined", lambda x, *a: 1024.0 if len(x) == 1024 else read)
    assert tree_pays(np.zeros((60_000, 40)), 4, 2.0) is pays


@pytest.mark.parametrize(("n", "k"), [(512, 511), (600, 4), (1100, 900), (3000, 1500)])
def test_any_number_of_neighbors_can_be_asked(n, k):
    assert tree_pays(cloud(stream(0, "many", n), n, 8), k, 2.0) in (True, False)


def test_spread_covers_all_of_the_rows():
    np.testing.assert_array_equal(spread(np.arange(10.0)[:, None], 4).ravel(), [0, 2, 5, 7])
    np.testing.assert_array_equal(spread(np.arange(3.0)[:, None], 4).ravel(), [0, 1, 2])


def test_a_compiled_tree_pays_for_more_columns(monkeypatch):
    """Up to eight it is never asked whether; beyond, rows that are read cost less, but not nothing."""
    rng = stream(0, "compiled")
    flat = rng.normal(size=(5000, 7)) @ rng.normal(size=(7, 12))
    asked = [(cloud(rng, 5000, 8), 4), (cloud(rng, 5000, 8), 40), (flat, 4), (cloud(rng, 5000, 16), 4)]
    pays = []
    for compiled in (False, True):
        monkeypatch.setattr(kernel, "compiled_for", lambda x, p, compiled=compiled: compiled and p == 2)
        pays.append([tree_pays(x, k, 2.0) for x, k in asked])
    assert pays == [[False] * 4, [True, True, True, False]]
