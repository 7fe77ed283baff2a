"""Neighbors on a line: rows are sorted once, and the k nearest of a row are the nearest of k on each side."""

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples

_CHUNK = 2**13  # rows: the vectors of a chunk stay in the second-level cache


def sorted_neighbors(x: Samples, k: int) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances |x_i − x_j| to, and rows of, the k nearest other rows of a single column x, nearest first.

    On a line all norms coincide. Of two rows equally far, the one from the left comes first. O(n log n + n·k).

    >>> sorted_neighbors(np.array([[3.0], [0.0], [1.0]]), 2)[0]
    array([[2., 3.],
           [1., 3.],
           [1., 2.]])
    """
    n = len(x)
    order = np.argsort(x[:, 0])
    padded = np.full(n + 2 * k, np.inf)
    padded[:k] = -np.inf  # beyond the ends lies nothing near
    padded[k : n + k] = x[order, 0]
    rank = np.empty(n, dtype=np.intp)
    rank[order] = np.arange(n)
    distances, found = np.empty((n, k)), np.empty((n, k), dtype=np.intp)  # in the order of the line
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        middle = padded[k : n + k][rows]
        left = np.arange(rows.start, rows.stop) + (k - 1)  # in padded: the nearest row on the left not yet taken
        for j in range(k):
            right = left + (j + 2)  # between the two lie the row itself and the j rows taken
            below, above = middle - padded.take(left), padded.take(right) - middle
            nearer_left = below <= above
            distances[rows, j] = np.minimum(below, above)
            found[rows, j] = np.where(nearer_left, left, right)
            left -= nearer_left
    return distances.take(rank, axis=0), order.take(found.take(rank, axis=0) - k)
