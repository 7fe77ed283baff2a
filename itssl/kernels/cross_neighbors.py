"""Neighbors in another sample; exact, no n×m array. Low dimensions use a kd-tree, high ones tiles of differences."""

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.kernels.neighbors import TREE_DIMENSIONS, Metric
from itssl.kernels.tiles import tiles

_THREADED_ROWS = 2000  # with fewer, starting the threads takes longer than the search


def cross_distances(x: Samples, y: Samples, k: int, metric: Metric) -> Float[np.ndarray, "n k"]:
    """Distances from each row of x to its k nearest rows of y, nearest first.

    >>> cross_distances(np.array([[0.0], [5.0]]), np.array([[1.0], [3.0], [9.0]]), 2, "euclidean")
    array([[1., 3.],
           [2., 4.]])
    """
    if x.shape[1] <= TREE_DIMENSIONS:
        from scipy.spatial import KDTree

        order = np.inf if metric == "chebyshev" else 2.0
        return np.asarray(KDTree(y).query(x, k, p=order, workers=_workers(x))[0]).reshape(len(x), k)
    from scipy.spatial.distance import cdist

    parts = [np.partition(cdist(x[rows], y, metric), k - 1, axis=1)[:, :k] for rows in tiles(len(x), width=len(y))]
    return np.sort(np.concatenate(parts), axis=1)


def _workers(x: Samples) -> int:
    return -1 if len(x) >= _THREADED_ROWS else 1
