"""Neighbors by a kd-tree, asked in the order of its leaves: each query finds in the cache what the last one read.

At 10⁵ rows in the plane the queries so take three quarters of the time that they take in random order; at 10⁴, which
fit the cache, nine tenths. Threads get contiguous parts. With numba a tree of our own takes a third to a half of that
(:mod:`itssl.kernels.compiled_tree`).
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.threads import cores

_PLANE = 2  # columns up to which halves are better than medians, see below
_THREADED = 2**12  # rows × neighbors from which threads pay for their start
_COMPILED_ROWS, _COMPILED_COLUMNS = 2**11, 64  # from, and up to, which numba is worth half a second of loading


def leaf_tree(x: Samples) -> Any:
    """The KDTree that is asked; its ``indices`` are the rows in the order of the leaves.

    >>> sorted(leaf_tree(np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0]])).indices.tolist())
    [0, 1, 2]
    """
    from scipy.spatial import KDTree

    # Cells halved in the middle take half the time to build. Cells cut at medians and shrunk to their rows are entered
    # less: on a plane within 32 columns, queries take a fifth of the time.
    medians = x.shape[1] > _PLANE
    return KDTree(x, leafsize=32 if medians else 16, compact_nodes=medians, balanced_tree=medians)


def tree_neighbors(x: Samples, k: int, p: float) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances of order p to, and rows of, the k nearest other rows of x, nearest first.

    Exact for p = 1, 2, ∞ where squares of differences neither over- nor underflow.

    >>> tree_neighbors(np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0]]), 1, np.inf)[0].ravel()
    array([1., 1., 2.])
    """
    if compiled_for(x, p):
        from itssl.kernels.compiled_tree import compiled_neighbors

        return compiled_neighbors(x, k, p)
    n, tree = len(x), leaf_tree(x)
    order = np.asarray(tree.indices)
    threads = cores() if n * k > _THREADED else 1
    distances, rows = map(np.asarray, tree.query(x.take(order, axis=0), k + 1, p=p, workers=threads))
    # Among coinciding rows a query may not list itself first, or at all: drop it where it is, else drop the first.
    own = rows == order[:, None]
    if own[:, 0].all():
        distances, rows = distances[:, 1:], rows[:, 1:]
    else:
        own[~own.any(axis=1), 0] = True
        distances, rows = distances[:, 1:], rows[~own].reshape(n, k)
    rank = np.empty(n, dtype=np.intp)
    rank[order] = np.arange(n)
    return distances.take(rank, axis=0), rows.take(rank, axis=0)


def compiled_for(x: Samples, p: float) -> bool:
    """Whether the neighbors of these rows are looked for by a compiled tree.

    >>> compiled_for(np.zeros((100, 2)), 2.0)
    False
    """
    return p in (2, np.inf) and len(x) >= _COMPILED_ROWS and x.shape[1] <= _COMPILED_COLUMNS and _compiles()


@cache
def _compiles() -> bool:
    if find_spec("numba") is None:
        return False
    from itssl.kernels.compiled_tree import COMPILED

    return COMPILED
