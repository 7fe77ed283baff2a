"""Exact k-nearest-neighbor distances, in O(n·d + tile) memory.

Low dimensions use a kd-tree. High dimensions use tiles of all pairs: Euclidean candidates from one matrix product
per tile, their distances recomputed from differences, and a rounding certificate that no dropped candidate can
be nearer; rows that cannot be certified are redone from differences throughout.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.tiles import map_tiles

Metric: TypeAlias = Literal["euclidean", "chebyshev"]
METRICS: tuple[Metric, ...] = ("euclidean", "chebyshev")
Norm: TypeAlias = Literal["euclidean", "chebyshev", "manhattan"] | float
"""A metric by name, or p ≥ 1 for the distance (Σ|Δ_j|^p)^{1/p}; :func:`neighbors` takes any, counts a ``Metric``."""
NORMS: dict[str, float] = {"euclidean": 2.0, "chebyshev": np.inf, "manhattan": 1.0}

TREE_DIMENSIONS = 14  # on independent columns, n = 10⁴, two cores: tree 0.99 s, all pairs 2.15 s at d = 14
_LEAF = 16  # rows; the default 10 costs a fifth more at n = 4000, d = 5
_THREADED = 2**14  # rows × neighbors from which threads pay for their start
_SPARE_CANDIDATES = 8
_SAFE_SIZE = 1e100  # beyond it, and below its inverse, squares of differences may over- or underflow
_SAFE_ORDERS = (1.0, 2.0, np.inf)  # for other p the p-th powers of small differences underflow


def neighbors(x: Samples, k: int, metric: Norm) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances to, and rows of, the k nearest other rows of x, nearest first; a row is never its own neighbor.

    >>> neighbors(np.array([[0.0], [1.0], [3.0]]), 1, "euclidean")[0].ravel()
    array([1., 1., 2.])
    >>> neighbors(np.array([[0.0, 0.0], [1.0, 1.0]]), 1, "manhattan")[0].ravel()
    array([2., 2.])
    """
    largest = np.abs(x).max()
    if not 1 / _SAFE_SIZE < largest < _SAFE_SIZE and largest > 0:
        unit = power_of_two(x)
        distances, found = neighbors(x / unit, k, metric)
        return distances * unit, found
    if x.shape[1] <= TREE_DIMENSIONS:
        return _tree_neighbors(x, k, metric) if _order(metric) in _SAFE_ORDERS else _power_neighbors(x, k, metric)
    tile = _gemm_tile if _order(metric) == 2 and len(x) > k + _SPARE_CANDIDATES + 1 else _difference_tile
    parts = map_tiles(lambda rows: tile(x, rows, k, metric), len(x), (k + _SPARE_CANDIDATES) * x.shape[1])
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def power_of_two(x: Samples) -> float:
    """The largest power of two up to max |x|: dividing by it rounds nothing and brings x within (−2, 2); 1 if x is 0.

    >>> power_of_two(np.array([[-5.0], [3.0]]))
    4.0
    """
    return float(np.ldexp(1.0, np.frexp(np.abs(x).max())[1] - 1)) if x.any() else 1.0


def _tree_neighbors(x: Samples, k: int, metric: Norm) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial import KDTree

    workers = -1 if len(x) * k > _THREADED else 1  # threads cost about 0.2 ms to start
    distances, rows = KDTree(x, leafsize=_LEAF).query(x, k + 1, p=_order(metric), workers=workers)
    # Among coinciding rows a query may not list itself first, or at all: drop it where it is, else drop the first.
    own = np.asarray(rows) == np.arange(len(x))[:, None]
    own[~own.any(axis=1), 0] = True
    return distances[:, 1:], np.asarray(rows)[~own].reshape(len(x), k)


def _power_neighbors(x: Samples, k: int, metric: Norm) -> tuple[np.ndarray, np.ndarray]:
    """Tree neighbors for any p, at a scale where powers fit; rows where they underflow all the same are redone."""
    p, exponent = _order(metric), int(np.frexp(np.ptp(x, axis=0).max())[1])  # a power of two: exact
    distances, rows = _tree_neighbors(np.ldexp(x, -exponent), k, metric)
    lost = np.flatnonzero(distances[:, 0] ** p < np.finfo(float).tiny / np.finfo(float).eps)
    distances = np.ldexp(distances, exponent)
    for i in lost:
        distances[i : i + 1], rows[i : i + 1] = _difference_tile(x, slice(i, i + 1), k, metric)
    return distances, rows


def _gemm_tile(x: Samples, rows: slice, k: int, metric: Norm) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean neighbors of a tile of rows: candidates from centered products, distances from differences of x."""
    z = x - x.mean(0)
    square = np.einsum("ij,ij->i", z, z)
    block, own = z[rows], np.arange(len(z))[rows]
    near = square[rows, None] + square - 2 * block @ z.T
    near[np.arange(len(block)), own] = np.inf
    listed = k + _SPARE_CANDIDATES
    order = np.argpartition(near, listed, axis=1)
    candidates = order[:, :listed]
    dropped = np.take_along_axis(near, order[:, listed : listed + 1], axis=1)[:, 0]
    exact = ((x[rows][:, None] - x[candidates]) ** 2).sum(axis=2)
    best = np.argsort(exact, axis=1, kind="stable")[:, :k]
    distances, found = np.take_along_axis(exact, best, axis=1), np.take_along_axis(candidates, best, axis=1)
    # |computed − true| ≤ (d+8)·eps·(‖z_i‖+‖z_j‖)² ≤ 2(d+8)·eps·(‖z_i‖²+max‖z‖²): an inner product of length d, and
    # the centering of both rows, which moves each coordinate by at most eps times its size.
    rounding = 2 * (z.shape[1] + 8) * np.finfo(float).eps * (square[rows] + square.max())
    distances = np.sqrt(distances)
    for i in np.flatnonzero(dropped - 2 * rounding < distances[:, -1] ** 2):
        distances[i : i + 1], found[i : i + 1] = _difference_tile(x, slice(own[i], own[i] + 1), k, metric)
    return distances, found


def _difference_tile(z: Samples, rows: slice, k: int, metric: Norm) -> tuple[np.ndarray, np.ndarray]:
    far = _differences(z[rows], z, _order(metric))
    far[np.arange(len(far)), np.arange(len(z))[rows]] = np.inf
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
