"""Sums of the Gaussian kernel over all pairs, tile by tile, one exponential a pair."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.mixture_density import DiagonalTerms, log_sums
from itssl.kernels.threads import Scratch, in_order

_TILE = 256  # rows and columns of a square tile, which with its factors stays in the second-level cache
_STRIP = 4  # tiles of rows that share one preparation of their columns
_KEPT_CELLS = 2**21  # numbers of factors that are kept, 16 MiB; else each strip forms them again
_STRIP_CELLS = 2**19  # numbers of the factors of a strip
_DIRECTIONS = 3  # coordinates along which rows are ordered
_LARGEST_EXPONENT = 700.0  # exp(−700) is still a normal float64: subnormal results are slow and count for nothing
_FAR = 1e140  # its square is a float, and no kernel reaches so far
_NEGLIGIBLE = 40.0  # e^−40 is below the rounding of a sum with one term 1
_EXPONENT_ERROR = 1e-11  # exponents whose rounding may exceed it are computed again from differences
_DIFFERENCES = 2**17  # numbers at a time
_EPS = float(np.finfo(float).eps)


def kernel_sums(
    z: Samples, var: float, weights: Float[np.ndarray, "n 2"] | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Σ_j w_j B_ij and Σ_j v_j B_ij⁴ with B_ij = exp(−‖z_i − z_j‖²/(8 var)), w and v the columns of ``weights``.

    B is e^{−Bhattacharyya distance} and B⁴ = e^{−KL divergence} of N(z_i, var I) and N(z_j, var I) [1], so one
    exponential serves both. Weights default to ones and are positive.

    The exponents of a tile of the upper triangle are one matrix product, (2a, 1, −‖a‖²)·(b, −‖b‖², 1). Its rounding is
    at most (d + 4)·eps·(max‖a‖² + max‖b‖²); where that exceeds 1e-11 the tile is centered, and exponents whose rounding
    could still be seen come from the differences themselves. Tiles that even together are below the rounding of each
    sum, whose own term is w_i, are left out. Exponents end at −175, where B⁴ still is a float: a sum may be wrong by
    e^−175 Σ_j w_j (or v), which only shows where w_i is that much, 10⁻⁷⁶, smaller than other weights. Memory is O(n)
    and a few tiles of 512 KiB a thread; the tiles are added in one order, whatever the number of threads.

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), sec. 4.

    >>> sums = kernel_sums(np.array([[0.0], [2.0]]), 1.0)
    >>> print([f"{s[0]:.4f}" for s in sums])
    ['1.6065', '1.1353']
    """
    n, d = z.shape
    w = np.ones((2, n)) if weights is None else np.array(weights.T, dtype=float, order="C")
    rows = _Rows.of(z, float(np.sqrt(8 * var)), w)
    if rows.order is not None:
        w = w[:, rows.order]
    sums = w.copy()  # the diagonal: B_ii = 1
    step = _TILE * max(_STRIP if rows.kept is None else 1, min(n // (64 * _TILE), _STRIP_CELLS // (_TILE * (d + 2))))
    starts, scratch = range(0, n, step), Scratch()

    def work(start: int) -> tuple[np.ndarray, np.ndarray]:
        return _strip(rows, w, start, step, scratch)

    for start, (own, others) in zip(starts, in_order(work, starts), strict=True):
        sums[:, start : start + step] += own
        sums[:, start:] += others
    if rows.order is not None:
        sums[:, rows.order] = sums.copy()
    return sums[0], sums[1]


def log_kernel_sums(
    x: Float[np.ndarray, "m d"], z: Float[np.ndarray, "n d"], log_weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """log Σ_j w_j exp(−‖x_i − z_j‖²/2) for each row of x, without over- or underflow; memory O(m + n) plus tiles.

    >>> print(log_kernel_sums(np.array([[0.0]]), np.array([[0.0], [2.0]]), np.log([0.5, 0.5])).round(4))
    [-0.5662]
    """
    return log_sums(x, DiagonalTerms(log_weights, z, np.ones((len(z), 1))))


def squared_distances(
    a: Float[np.ndarray, "r d"],
    b: Float[np.ndarray, "c d"],
    square_a: Float[np.ndarray, " r"],
    square_b: Float[np.ndarray, " c"],
    reach: float | None,
) -> Float[np.ndarray, "r c"]:
    """‖a_i − b_j‖² from one matrix product, good to 1e-11 (or 1e-16 of its size) where it is at most ``reach``.

    ``square_a`` and ``square_b`` are ‖a_i‖² and ‖b_j‖². ``reach=None`` means 40 above the smallest of its row.
    Where the rounding of the product may exceed that, the differences are formed, cut at 1e140.

    >>> a = np.array([[1e9], [1e9 + 1]])
    >>> squared_distances(a, a, a[:, 0] ** 2, a[:, 0] ** 2, 10.0)
    array([[0., 1.],
           [1., 0.]])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        distances = a @ b.T
        distances *= -2
        distances += square_a[:, None]
        distances += square_b
        rounding = (a.shape[1] + 4) * _EPS * float(square_a.max() + square_b.max())
    if not np.isfinite(rounding):
        distances[:], reach = 0.0, np.inf  # squares overflow: all from differences
    if rounding > _EXPONENT_ERROR:
        limit = distances.min(axis=1, keepdims=True) + _NEGLIGIBLE if reach is None else reach
        near = np.nonzero(distances <= limit + 2 * rounding)
        _measure(a, b, distances, near[0], near[1])
    return distances


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of z in units of ``std`` from their mean, in an order that keeps near ones together where that helps."""

    z: Samples
    middle: Float[np.ndarray, " d"]
    std: float
    reach: float
    """All pairs with exponents beyond it are, together, below the rounding of each sum."""
    order: Int[np.ndarray, " n"] | None = None
    low: Float[np.ndarray, "tiles k"] | None = None
    high: Float[np.ndarray, "tiles k"] | None = None
    kept: Float[np.ndarray, "n e"] | None = None

    @classmethod
    def of(cls, z: Samples, std: float, w: Float[np.ndarray, "2 n"]) -> "_Rows":
        """In leaves of a k-d tree where tiles may be out of reach, with all factors kept where they are few."""
        (n, d), middle = z.shape, np.median(z[:: max(1, len(z) // 256)], axis=0)  # far rows must not move it
        with np.errstate(divide="ignore"):
            first, second = np.log(2 * n / _EPS) + np.log(w.max(axis=1)) - np.log(w.min(axis=1))
        reach = max(float(first), float(second) / 4)
        rows = cls(z, middle, std, reach)
        widths = np.ptp(z, axis=0) / std
        if n > _TILE and widths.max() ** 2 > 4 * reach:  # else hardly any two tiles are so far apart
            coordinates = z[:, np.argsort(-widths, kind="stable")[:_DIRECTIONS]] / std
            order = _in_leaves(coordinates, _TILE)
            low, high = (f.reduceat(coordinates[order], range(0, n, _TILE), axis=0) for f in (np.minimum, np.maximum))
            rows = replace(rows, order=order, low=low, high=high)
        if n * (d + 2) > _KEPT_CELLS:
            return rows
        kept = np.empty((n, d + 2))
        for start in range(0, n, _TILE):
            rows.factors(start, min(start + _TILE, n), kept[start:])
        return replace(rows, kept=kept)

    def factors(self, start: int, stop: int, out: Float[np.ndarray, "_ e"]) -> Float[np.ndarray, "r e"]:
        """(b, −‖b‖², 1) for each of these rows b: kept ones, or formed in ``out``."""
        if self.kept is not None:
            return self.kept[start:stop]
        found, d = out[: stop - start], self.z.shape[1]
        b = np.subtract(self.raw(slice(start, stop)), self.middle, out=found[:, :d])
        b /= self.std
        with np.errstate(over="ignore"):
            np.negative(np.einsum("ij,ij->i", b, b), out=found[:, d])
        found[:, d + 1] = 1
        return found

    def raw(self, some: slice) -> Float[np.ndarray, "r d"]:
        """These rows as they were given."""
        return self.z[some] if self.order is None else self.z[self.order[some]]

    def tiles(self, start: int, stop: int) -> Iterator[tuple[int, list[int]]]:
        """Starts of column tiles, each with those of row tiles from start to stop on or above the diagonal in reach."""
        first, last, end = start // _TILE, -(-stop // _TILE), -(-len(self.z) // _TILE)
        near = np.triu(np.ones((last - first, end - first), dtype=bool))
        if self.low is not None and self.high is not None:
            low, high = self.low[first:], self.high[first:]
            gaps = np.maximum(low - high[: last - first, None], low[: last - first, None] - high).clip(0)
            near &= (gaps**2).sum(axis=2) <= self.reach
        for j in np.flatnonzero(near.any(axis=0)):
            yield int(first + j) * _TILE, [int(first + i) * _TILE for i in np.flatnonzero(near[:, j])]


def _in_leaves(x: Float[np.ndarray, "n k"], leaf: int) -> Int[np.ndarray, " n"]:
    """An order in which each run of ``leaf`` rows is a box of a k-d tree, halved along its widest coordinate."""
    order = np.arange(len(x))
    waiting = [order]
    while waiting:
        part = waiting.pop()
        if len(part) > leaf:
            middle = leaf * max(1, len(part) // (2 * leaf))
            block = x[part]
            part[:] = part[np.argpartition(block[:, np.ptp(block, axis=0).argmax()], middle)]
            waiting += [part[:middle], part[middle:]]
    return order


def _strip(
    rows: _Rows, w: Float[np.ndarray, "2 n"], start: int, step: int, scratch: Scratch
) -> tuple[np.ndarray, np.ndarray]:
    """What rows start to start + step receive from later ones, and what all from ``start`` on receive from these."""
    n, d = rows.z.shape
    stop = min(start + step, n)
    own, others = np.zeros((2, stop - start)), np.zeros((2, n - start))
    reach = min(rows.reach, _LARGEST_EXPONENT / 4)
    mine, right = rows.factors(start, stop, scratch.array("mine", step, d + 2)), scratch.array("right", _TILE, d + 2)
    left = scratch.array("left", stop - start, d + 2)
    np.multiply(mine[:, :d], 2, out=left[:, :d])
    left[:, d], left[:, d + 1] = mine[:, d + 1], mine[:, d]
    for j, tiles in rows.tiles(start, stop):
        b, theirs = slice(j, min(j + _TILE, n)), rows.factors(j, min(j + _TILE, n), right)
        for i in tiles:
            a, local = slice(i, min(i + _TILE, stop)), slice(i - start, min(i + _TILE, stop) - start)
            tile = scratch.array("tile", a.stop - a.start, len(theirs))
            with np.errstate(over="ignore", invalid="ignore"):
                np.matmul(left[local], theirs.T, out=tile)
            _sharpen(tile, mine[local], theirs, rows, a, b)
            lowest = tile.min()
            if lowest < -reach and tile.max() < -reach:
                continue
            if lowest < -_LARGEST_EXPONENT / 4:
                np.maximum(tile, -_LARGEST_EXPONENT / 4, out=tile)
            np.exp(tile, out=tile)
            if i == j:
                np.fill_diagonal(tile, 0)
            for k in range(2):
                if k:  # B⁴
                    np.square(np.square(tile, out=tile), out=tile)
                own[k, local] += tile @ w[k, b]
                if i != j:
                    others[k, j - start : j - start + len(theirs)] += w[k, a] @ tile
    return own, others


def _sharpen(tile: np.ndarray, mine: np.ndarray, theirs: np.ndarray, rows: _Rows, i: slice, j: slice) -> None:
    """Where the rounding of −‖a − b‖² may be seen: from centered rows and, where it still may, from differences."""
    d = mine.shape[1] - 2
    size = -float(mine[:, d].min() + theirs[:, d].min())
    if (d + 4) * _EPS * size <= _EXPONENT_ERROR:
        return
    a, b = mine[:, :d], theirs[:, :d]
    middle = (a.mean(axis=0) + b.mean(axis=0)) / 2
    u, v = a - middle, b - middle
    with np.errstate(over="ignore", invalid="ignore"):
        square_u, square_v = np.einsum("ij,ij->i", u, u), np.einsum("ij,ij->i", v, v)
        size = float(square_u.max() + square_v.max())
        np.matmul(2 * u, v.T, out=tile)
        tile -= square_u[:, None]
        tile -= square_v
    rounding = (d + 4) * _EPS * size
    if rounding <= _EXPONENT_ERROR:
        return
    if not np.isfinite(rounding):
        tile[:], limit = 0.0, 0.0  # squares overflow: all from differences
    else:
        # Of exponents as large as the squares the product is as good as the differences.
        limit = min(rows.reach + min(0.0, float(np.log(rounding))), _LARGEST_EXPONENT / 4, size / 8) + rounding
    near = np.nonzero(tile >= -limit)
    _measure(rows.raw(i), rows.raw(j), tile, near[0], near[1], std=rows.std, sign=-1)


def _measure(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    std: float = 1.0,
    sign: int = 1,
) -> None:
    """Write ±‖(a_i − b_j)/std‖² of these pairs, from differences cut at 1e140."""
    step = max(1, _DIFFERENCES // a.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        difference = np.clip((a[i] - b[j]) / std, -_FAR, _FAR)
        out[i, j] = sign * np.einsum("ij,ij->i", difference, difference)
