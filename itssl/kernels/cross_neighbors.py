"""Neighbors in another sample, and how many rows lie within radii that were measured elsewhere; exact, no n×m array.

Low dimensions use a kd-tree, high dimensions tiles of differences. Chebyshev distances are differences of two numbers
in either, so that a radius taken from one may be compared strictly in the other.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.neighbors import Metric, tiles

_TREE_DIMENSIONS = 14
_THREADED_ROWS = 2000  # with fewer, starting the threads takes longer than the search


def cross_distances(x: Samples, y: Samples, k: int, metric: Metric) -> Float[np.ndarray, "n k"]:
    """Distances from each row of x to its k nearest rows of y, nearest first.

    >>> cross_distances(np.array([[0.0], [5.0]]), np.array([[1.0], [3.0], [9.0]]), 2, "euclidean")
    array([[1., 3.],
           [2., 4.]])
    """
    if x.shape[1] <= _TREE_DIMENSIONS:
        from scipy.spatial import KDTree

        order = np.inf if metric == "chebyshev" else 2.0
        return np.asarray(KDTree(y).query(x, k, p=order, workers=_workers(x))[0]).reshape(len(x), k)
    from scipy.spatial.distance import cdist

    parts = [np.partition(cdist(x[rows], y, metric), k - 1, axis=1)[:, :k] for rows in tiles(len(x), width=len(y))]
    return np.sort(np.concatenate(parts), axis=1)


def counts_within(
    x: Samples, radius: Float[np.ndarray, " n"], edge: Literal["strict", "inclusive"]
) -> Int[np.ndarray, " n"]:
    """How many other rows of x are nearer than (or, inclusive, no farther than) the radius of each row, Chebyshev.

    >>> x = np.array([[0.0], [1.0], [3.0]])
    >>> counts_within(x, np.array([1.0, 1.0, 3.0]), "strict"), counts_within(x, np.array([1.0, 1.0, 3.0]), "inclusive")
    (array([0, 0, 1]), array([1, 1, 2]))
    """
    # Strictly below r is at most the next smaller float; below zero there is nothing, not even a copy.
    inner = np.where(radius > 0, np.nextafter(radius, 0), -1.0) if edge == "strict" else radius
    if x.shape[1] <= _TREE_DIMENSIONS:
        from scipy.spatial import KDTree

        tree, wide = KDTree(x), np.maximum(inner, 0)
        found = tree.query_ball_point(x, wide, p=np.inf, workers=_workers(x), return_length=True)
        return np.where(inner >= 0, np.asarray(found) - 1, 0)
    from scipy.spatial.distance import cdist

    parts = [(cdist(x[rows], x, "chebyshev") <= inner[rows, None]).sum(axis=1) for rows in tiles(len(x))]
    return np.where(inner >= 0, np.concatenate(parts) - 1, 0)


def _workers(x: Samples) -> int:
    return -1 if len(x) >= _THREADED_ROWS else 1
