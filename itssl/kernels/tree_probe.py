"""Is a kd-tree faster than all pairs? Answered by counting on a few rows, without a clock.

A tree is fast where the data have few dimensions of their own, whatever the number of columns: a query then enters
few of its leaves. How many follows from the data: the distance r to the k-th neighbor is measured for a few rows,
a coarse tree of medians is built on a sample, and the cells within r of these rows are counted, level by level.
"""

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.kernels.tree_neighbors import compiled_for

_FEW_COLUMNS, _SOME_COLUMNS = 5, 8  # up to which a tree is always faster; the second: compiled or few rows
_FEW_ROWS, _SOME_ROWS = 512, 2048  # with fewer than the first, counting is not worth it: all are supposed to be read
_QUERIES = 16
_SAMPLE = 1024  # rows
_LEAF = 16  # rows
_LEVELS = 4  # of the coarse tree
_COLUMNS = 16  # of largest range: more than a tree of four levels cuts along any path
_CHUNK = 2**13  # numbers: so few are allocated without new pages
_UNSURE = 6.0  # times that the count on a sample overstates the tree's work at 10⁴ rows, on the laws looked at

# Nanoseconds of one core, measured on 10³ to 10⁵ rows of 2 to 512 columns: (a, b) of a + b·d·(n/1000)^⅕ for a row that
# a query reads, from memory the farther the more there are, and (a, b, c, e) of a + b·d + n·(c + e·d) for a row that is
# compared with all n. Only their ratios matter. Orders 2 and ∞ have tiles of their own; order 1 has differences.
_READ = {2.0: (9.0, 0.25), np.inf: (20.0, 0.5), 1.0: (20.0, 1.0)}
_ALL_PAIRS = {2.0: (2700.0, 12.0, 0.9, 0.025), np.inf: (6800.0, 800.0, 0.0, 0.02), 1.0: (0.0, 0.0, 25.0, 1.1)}
_BUILD = (600.0, 8.0)
_COMPILED = 0.4  # of the time for a row that is read, in the compiled tree; for order ∞ the tiles are compiled too


def tree_pays(x: Samples, k: int, p: float) -> bool:
    """Whether a tree is expected to find the k nearest rows of x sooner than tiles of all pairs do; p is 1, 2 or ∞.

    The rows that a query reads are counted on 1024 rows first. From there they grow as n^s, s the share that is read of
    these: at most, for the share falls. Where that leaves it open, they are counted again on all rows: where it says no
    by little, or where reading as many rows as of the sample would pay. (Of 10⁵ rows on a curved surface of 2
    dimensions in 512 columns, the sample lets expect 30 to 150 times as many as are read.)

    >>> rng = np.random.default_rng(0)
    >>> plane, cloud = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 20)), rng.normal(size=(2000, 20))
    >>> tree_pays(plane, 4, 2.0), tree_pays(cloud, 4, 2.0)
    (True, False)
    """
    n, d = x.shape
    compiled = p == 2 and compiled_for(x, p)
    if d <= (_SOME_COLUMNS if compiled or n <= _SOME_ROWS else _FEW_COLUMNS):
        return True
    a, b, c, e = _ALL_PAIRS[p]
    all_pairs = a + b * d + n * (c + e * d)

    read = (_READ[p][0] + _READ[p][1] * d * (n / 1000) ** 0.2) * (_COMPILED if compiled else 1)

    def cost(examined: float) -> float:
        return (_BUILD[0] + _BUILD[1] * d + min(n, examined) * read) / all_pairs

    if n < _FEW_ROWS:
        return bool(cost(n) <= 1)
    part = spread(x, max(_SAMPLE, 2 * k + 2))
    share = min(1.0, rows_examined(part, k, p) / len(part))
    as_many = share * len(part)
    expected = cost(as_many * (n / len(part)) ** share)
    if len(part) < n and expected > 1 and (expected < _UNSURE or cost(as_many) <= 1):
        expected = cost(rows_examined(x, k, p))
    return bool(expected <= 1)


def rows_examined(x: Samples, k: int, p: float) -> float:
    """Estimated number of rows in the leaves (of 16 rows) that a query for the k nearest rows of x must read.

    From the last level counted to the leaves, the share of cells within reach goes on falling by the factor of the last
    two levels. It depends on the data alone: the same rows give the same number.

    >>> rng = np.random.default_rng(0)
    >>> plane, cloud = rng.normal(size=(4000, 2)) @ rng.normal(size=(2, 20)), rng.normal(size=(4000, 20))
    >>> rows_examined(plane, 4, 2.0) < 200, rows_examined(cloud, 4, 2.0) > 3000
    (True, True)
    """
    n, queries, sample = len(x), spread(x, _QUERIES), spread(x, min(_SAMPLE, len(x) // 4 + 1))
    shares = _shares(sample, queries, _radii(queries, x, sample.mean(axis=0), k, p), p)
    levels = max(0.0, np.log2(n / _LEAF) - (len(shares) - 1))
    falling = (shares[-1] / shares[-3]) ** 0.5 if len(shares) > 2 and shares[-1] else 1.0
    return float(n * shares[-1] * falling**levels + _LEAF)


def spread(x: Samples, count: int) -> Samples:
    """At most ``count`` rows, evenly spread over x.

    >>> spread(np.array([[0.0], [1.0], [2.0], [3.0]]), 2).ravel()
    array([0., 2.])
    """
    return x if len(x) <= count else x[np.arange(count) * len(x) // count]


def _radii(
    queries: Samples, x: Samples, middle: Float[np.ndarray, " d"], k: int, p: float
) -> Float[np.ndarray, " queries"]:
    """About the distance from each query, a row of x, to the k-th nearest other row.

    Euclidean ones are rounded as matrix products are. Only the nearest row of each of many groups is compared with the
    others: of k + 1 rows in 64 (k + 1) groups, two are seldom in one.
    """
    near, q = np.empty((len(queries), len(x))), queries - middle
    step = max(64, _CHUNK // x.shape[1])
    for start in range(0, len(x), step):
        z = x[start : start + step] - middle
        here = slice(start, start + len(z))
        if p == 2:
            near[:, here] = np.einsum("ij,ij->i", z, z) - 2 * q @ z.T
        else:
            from scipy.spatial.distance import cdist

            near[:, here] = cdist(q, z, "chebyshev" if np.isinf(p) else "cityblock")
    size = max(1, len(x) // (64 * (k + 1)))
    near = near[:, : len(x) // size * size].reshape(len(q), size, -1).min(axis=1)
    near.partition(k, axis=1)  # the row itself is among the k + 1
    return np.sqrt(np.maximum(near[:, k] + np.einsum("ij,ij->i", q, q), 0)) if p == 2 else near[:, k]


def _shares(sample: Samples, queries: Samples, radius: np.ndarray, p: float) -> Float[np.ndarray, " levels"]:
    """Share of the cells of each level, from the one of all rows on, whose cuts leave them within the radius."""
    depth = min(_LEVELS, int(np.log2(max(1, len(sample) // _LEAF))))
    if sample.shape[1] > _COLUMNS:
        columns = (sample.max(axis=0) - sample.min(axis=0)).argpartition(-_COLUMNS)[-_COLUMNS:]
        sample, queries = sample[:, columns], queries[:, columns]
    cells, queries = sample[: len(sample) >> depth << depth][None], queries.T
    away = np.zeros((1, 1, *queries.shape))  # of query from cell, in each column
    shares = [1.0]
    for _ in range(depth):
        count, half = len(cells), cells.shape[1] // 2
        each = np.arange(count)
        column = (cells.max(axis=1) - cells.min(axis=1)).argmax(axis=1)
        values = cells[each, :, column]
        order = values.argpartition(half, axis=1)
        beyond = queries[column] - values[each, order[:, half]][:, None]
        cells = cells[each[:, None], order].reshape(2 * count, half, -1)
        away = away.reshape(count, 1, *queries.shape).repeat(2, axis=1)  # the lower half, the upper half
        away[each, 0, column] = np.where(beyond > 0, beyond, away[each, 0, column])
        away[each, 1, column] = np.where(beyond < 0, -beyond, away[each, 1, column])
        shares.append(float((_norm(away, p) <= radius).mean()))
    return np.array(shares)


def _norm(away: Float[np.ndarray, "cells 2 columns queries"], p: float) -> Float[np.ndarray, "cells 2 queries"]:
    if np.isinf(p):
        return away.max(axis=2)
    return np.sqrt(np.einsum("chjq,chjq->chq", away, away)) if p == 2 else away.sum(axis=2)
