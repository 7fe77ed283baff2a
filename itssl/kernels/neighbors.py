"""Exact k-nearest-neighbor distances, in O(n·(d + k) + tiles) memory, each by the way that is fastest for it.

One column is sorted. Few columns, or rows of few dimensions in many columns, are asked of a kd-tree; whether these are
few enough is counted (:mod:`itssl.kernels.tree_probe`). The rest are tiles of all pairs. All ways give the same
distances, square roots of sums of squared differences or sums or maxima of differences in double precision, up to
their rounding.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.brute_neighbors import MAX_MEMORY, brute_neighbors
from itssl.kernels.chebyshev import chebyshev_neighbors
from itssl.kernels.sorted_neighbors import sorted_neighbors
from itssl.kernels.threads import cores, in_order
from itssl.kernels.tree_neighbors import tree_neighbors
from itssl.kernels.tree_probe import tree_pays

Metric: TypeAlias = Literal["euclidean", "chebyshev"]
METRICS: tuple[Metric, ...] = ("euclidean", "chebyshev")
Norm: TypeAlias = Literal["euclidean", "chebyshev", "manhattan"] | float
"""A metric by name, or p ≥ 1 for the distance (Σ|Δ_j|^p)^{1/p}; :func:`neighbors` takes any, counts a ``Metric``."""
NORMS: dict[str, float] = {"euclidean": 2.0, "chebyshev": np.inf, "manhattan": 1.0}

TREE_DIMENSIONS = 14  # up to which a tree is asked where nothing is counted first
_SAFE_SIZE = 1e100  # beyond it, and below its inverse, squares of differences may over- or underflow
_TILE_BYTES = 48  # of a pair: its distance, its place in the row, and for orders of no name three powers
_SAFE_ORDERS = (1.0, 2.0, np.inf)  # for other p the p-th powers of small differences underflow


def neighbors(
    x: Samples, k: int, metric: Norm, *, max_memory: int | None = None
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances to, and rows of, the k < n nearest other rows of x, nearest first; a row is never its own neighbor.

    Rows equally far are listed in no particular order. ``max_memory`` bounds the bytes of tiles, all threads together,
    beyond a copy of the data and the answer: 64 MiB unless given. A single row is worked on whatever it needs.

    >>> neighbors(np.array([[0.0], [1.0], [3.0]]), 1, "euclidean")[0].ravel()
    array([1., 1., 2.])
    >>> neighbors(np.array([[0.0, 0.0], [1.0, 1.0]]), 1, "manhattan")[0].ravel()
    array([2., 2.])
    """
    if x.shape[1] == 1:  # all norms coincide
        return sorted_neighbors(x, k)
    largest = np.abs(x).max()
    if not 1 / _SAFE_SIZE < largest < _SAFE_SIZE and largest > 0:
        unit = power_of_two(x)
        distances, found = neighbors(x / unit, k, metric, max_memory=max_memory)
        return distances * unit, found
    p, memory = _order(metric), MAX_MEMORY if max_memory is None else max_memory
    if p not in _SAFE_ORDERS:
        return _power_neighbors(x, k, p) if x.shape[1] <= TREE_DIMENSIONS else _difference_neighbors(x, k, p, memory)
    if tree_pays(x, k, p):
        return tree_neighbors(x, k, p)
    if p == 1:
        return _difference_neighbors(x, k, p, memory)
    return (brute_neighbors if p == 2 else chebyshev_neighbors)(x, k, max_memory=memory)


def power_of_two(x: Samples) -> float:
    """The largest power of two up to max |x|: dividing by it rounds nothing and brings x within (−2, 2); 1 if x is 0.

    >>> power_of_two(np.array([[-5.0], [3.0]]))
    4.0
    """
    return float(np.ldexp(1.0, np.frexp(np.abs(x).max())[1] - 1)) if x.any() else 1.0


def _power_neighbors(x: Samples, k: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Tree neighbors for any p, at a scale where powers fit; rows where they underflow all the same are redone."""
    exponent = int(np.frexp(np.ptp(x, axis=0).max())[1])  # a power of two: exact
    distances, rows = tree_neighbors(np.ldexp(x, -exponent), k, p)
    lost = np.flatnonzero(distances[:, 0] ** p < np.finfo(float).tiny / np.finfo(float).eps)
    distances = np.ldexp(distances, exponent)
    for i in lost:
        distances[i : i + 1], rows[i : i + 1] = _difference_tile(x, slice(i, i + 1), k, p)
    return distances, rows


def _difference_neighbors(x: Samples, k: int, p: float, memory: int) -> tuple[np.ndarray, np.ndarray]:
    height = max(1, memory // (cores() * _TILE_BYTES * len(x)))
    tiles = [slice(start, start + height) for start in range(0, len(x), height)]
    parts = list(in_order(lambda rows: _difference_tile(x, rows, k, p), tiles))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _difference_tile(x: Samples, rows: slice, k: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    far = _differences(x[rows], x, p)
    far[np.arange(len(far)), np.arange(len(x))[rows]] = np.inf
    found = np.argpartition(far, k - 1, axis=1)[:, :k]
    distances = np.take_along_axis(far, found, axis=1)
    best = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, best, axis=1), np.take_along_axis(found, best, axis=1)


def _differences(a: Samples, b: Samples, p: float) -> Float[np.ndarray, "rows n"]:
    """All distances of order p from differences; for p with powers that underflow, relative to the largest one."""
    from scipy.spatial.distance import cdist

    names: dict[float, Any] = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
    if p in names:
        return cdist(a, b, names[p])
    largest = cdist(a, b, "chebyshev")
    unit = np.where(largest > 0, largest, 1.0)
    powers = np.zeros_like(largest)
    for a_j, b_j in zip(a.T, b.T, strict=True):
        powers += (np.abs(a_j[:, None] - b_j) / unit) ** p
    return largest * powers ** (1 / p)


def _order(metric: Norm) -> float:
    return NORMS[metric] if isinstance(metric, str) else float(metric)
