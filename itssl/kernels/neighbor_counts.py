r"""How many rows lie within a radius: the neighbor counts of KSG, and counts for radii measured elsewhere; exact.

Chebyshev counts are those of :mod:`itssl.kernels.chebyshev`. Euclidean ones come from one pass over blocks of rows: a
product in single precision gives all squared distances :math:`s` of a block, in x and in y, with

.. math:: |s_{ij} - \|z_i - z_j\|^2| \le g (\|z_i\| + \|z_j\|)^2, \qquad g = (d + 8) u

(rounded entries and a product of d + 2 terms in any order [1, sec. 3.1]). Pairs near :math:`\rho` have
:math:`\|z_j\| \le \|z_i\| + \rho`, so :math:`s_{ij}` beyond :math:`\rho^2 \pm 2 g (2 \|z_i\| + \rho)^2` tells on which
side the pair lies, however far away other rows are. The k-th joint neighbor is found, and all pairs in between are
counted, by the differences themselves in double precision: those that gave the radius.

References
----------
[1] Higham (2002). Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int

from itssl.arrays import Samples
from itssl.kernels.chebyshev import chebyshev_counts, row_distances
from itssl.kernels.neighbors import Metric, neighbors, power_of_two
from itssl.kernels.threads import in_order

_ROWS = 128  # of a product
_PART = 32  # of them that are looked at together
_PAIRS = 2**19  # of a part at most
_TILE_BYTES = 2**25  # of products, for each thread
_GROUP = 16  # columns whose smallest is looked at first
_NUMBERS = 2**16  # differences at a time
_FAR = 1e30  # a squared distance of single precision that no scaled sample has
_SAFE_SIZE = 1e100  # beyond it, and below its inverse, squares of differences may over- or underflow


def marginal_counts(
    x: Samples, y: Samples, k: int, metric: Metric, variant: Literal[1, 2]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The counts n_x, n_y of KSG under the joint norm max(‖Δx‖, ‖Δy‖).

    Variant 1 counts rows with ‖Δx‖ < ε (strictly inside the distance to the k-th joint neighbor); variant 2 counts
    rows with ‖Δx‖ ≤ ε_x, the largest ‖Δx‖ among the k joint neighbors. A row does not count itself.

    >>> x = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> marginal_counts(x, -x, 1, "chebyshev", 1)[0]
    array([0, 0, 0, 0])
    """
    if metric == "chebyshev" or x.shape[1] == y.shape[1] == 1:
        return _chebyshev_counts(x, y, k, variant)
    return _euclidean_counts(x, y, k, variant)


def counts_within(
    x: Samples, radius: Float[np.ndarray, " n"], edge: Literal["strict", "inclusive"]
) -> Int[np.ndarray, " n"]:
    """How many other rows of x are nearer than (or, inclusive, no farther than) the radius of each row, Chebyshev.

    >>> x = np.array([[0.0], [1.0], [3.0]])
    >>> counts_within(x, np.array([1.0, 1.0, 3.0]), "strict"), counts_within(x, np.array([1.0, 1.0, 3.0]), "inclusive")
    (array([0, 0, 1]), array([1, 1, 2]))
    """
    return chebyshev_counts(x, radius, edge)


def _chebyshev_counts(x: Samples, y: Samples, k: int, variant: Literal[1, 2]) -> tuple[np.ndarray, np.ndarray]:
    rows = neighbors(np.hstack([x, y]), k, "chebyshev")[1]
    if variant == 1:
        radius = np.maximum(*(_farthest(z, rows[:, -1:]) for z in (x, y)))
        return chebyshev_counts(x, radius, "strict"), chebyshev_counts(y, radius, "strict")
    return chebyshev_counts(x, _farthest(x, rows), "inclusive"), chebyshev_counts(y, _farthest(y, rows), "inclusive")


def _farthest(z: Samples, rows: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """The largest Chebyshev distance of each row to the rows listed for it."""
    n, k = rows.shape
    return row_distances(z, np.repeat(np.arange(n), k), rows.ravel()).reshape(n, k).max(axis=1)


def _euclidean_counts(x: Samples, y: Samples, k: int, variant: Literal[1, 2]) -> tuple[np.ndarray, np.ndarray]:
    unit = max(power_of_two(x), power_of_two(y))
    if not 1 / _SAFE_SIZE < unit < _SAFE_SIZE:
        return _euclidean_counts(x / unit, y / unit, k, variant)
    n = len(x)
    pair = _Pair(_Squares.of(x, unit), _Squares.of(y, unit), k, variant)
    height = max(1, min(_ROWS, _TILE_BYTES // (8 * n)))
    parts = in_order(pair.counts, [slice(start, min(start + height, n)) for start in range(0, n, height)])
    n_x, n_y = (np.concatenate(counts) for counts in zip(*parts, strict=True))
    return n_x, n_y


@dataclass(frozen=True)
class _Squares:
    """Squared distances between rows of x, by products of rows of ``left`` and ``right`` in single precision."""

    x: Samples
    left: Float32[np.ndarray, "n e"]
    right: Float32[np.ndarray, "m e"]
    unit: float
    size: Float[np.ndarray, " n"]
    g: float

    @classmethod
    def of(cls, x: Samples, unit: float) -> "_Squares":
        n, d = x.shape
        z = (x - np.median(x[:: max(1, n // 256)], axis=0)) / unit
        square = np.einsum("ij,ij->i", z, z)
        left, right = np.ones((n, d + 2), dtype=np.float32), np.zeros((-(-n // _GROUP) * _GROUP, d + 2), np.float32)
        left[:, :d], left[:, d] = -2 * z, square
        right[:n, :d], right[:n, d], right[:n, d + 1], right[n:, d + 1] = z, 1, square, _FAR
        return cls(x, left, right, unit, np.sqrt(square), (d + 8) * float(np.finfo(np.float32).eps) / 2)

    def limits(
        self, rows: slice, radius: Float[np.ndarray, " r"]
    ) -> tuple[Float32[np.ndarray, "r 1"], Float32[np.ndarray, "r 1"]]:
        """What is below the first limit is nearer than the radius, and what is above the second is farther."""
        radius = radius / self.unit
        blur = 2 * self.g * (2 * self.size[rows] + radius) ** 2 + self._underflow
        low, high = (radius**2 - blur).astype(np.float32), (radius**2 + blur).astype(np.float32)
        return np.nextafter(low, np.float32(-np.inf))[:, None], np.nextafter(high, np.float32(np.inf))[:, None]

    def reach(self, rows: slice, squared: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        """No pair whose squared distance came out so is farther apart than this."""
        highest = squared.astype(np.float64) + 16 * self.g * self.size[rows] ** 2 + 2 * self._underflow
        return self.unit * np.sqrt(np.maximum(highest, 0) / (1 - 8 * self.g))

    @property
    def _underflow(self) -> float:
        return 64 * self.x.shape[1] * float(np.finfo(np.float32).tiny)

    def distances(self, i: Int[np.ndarray, " m"], j: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Euclidean distances of pairs of rows from their differences."""
        distances = np.empty(len(i))
        step = max(1, _NUMBERS // self.x.shape[1])
        for start in range(0, len(i), step):
            part = slice(start, start + step)
            difference = self.x.take(i[part], axis=0)
            difference -= self.x.take(j[part], axis=0)
            np.square(difference, out=difference).sum(axis=1, out=distances[part])
        return np.sqrt(distances, out=distances)


@dataclass(frozen=True)
class _Pair:
    """x and y with their joint neighbors."""

    x: _Squares
    y: _Squares
    k: int
    variant: Literal[1, 2]

    def counts(self, rows: slice) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
        """The counts of some rows."""
        squares = [z.left[rows] @ z.right.T for z in (self.x, self.y)]
        parts = []
        step = max(1, min(_PART, _PAIRS // len(self.x.left)))
        for start in range(rows.start, rows.stop, step):
            some = slice(start, min(start + step, rows.stop))
            near = [square[some.start - rows.start : some.stop - rows.start] for square in squares]
            for square in near:
                square[np.arange(len(square)), np.arange(some.start, some.stop)] = np.inf
            radius = self._radii(some, near)
            parts.append([self._within(*each, some) for each in zip((self.x, self.y), near, radius, strict=True)])
        n_x, n_y = (np.concatenate(counts) for counts in zip(*parts, strict=True))
        return n_x, n_y

    def _radii(self, rows: slice, squares: list[Float32[np.ndarray, "r m"]]) -> list[Float[np.ndarray, " r"]]:
        """Up to which distance rows are counted in x and in y."""
        joint = np.maximum(*squares)
        r, m = joint.shape
        least = joint
        if m >= 2 * _GROUP * self.k:  # the k-th smallest of all is no larger than that of the minima of groups
            least = np.minimum.reduce(joint.reshape(r, _GROUP, m // _GROUP), axis=1)
        kth = np.partition(least, self.k - 1, axis=1)[:, self.k - 1]
        reach = np.maximum(self.x.reach(rows, kth), self.y.reach(rows, kth))
        highest = np.maximum(self.x.limits(rows, reach)[1], self.y.limits(rows, reach)[1])
        found = np.flatnonzero(joint <= highest)
        first = np.searchsorted(found, m * np.arange(r + 1))
        count = np.diff(first)
        i, j = found // m, found % m
        place = i, np.arange(len(found)) - first[i]
        away = [np.full((r, count.max()), np.inf) for _ in squares]
        for z, each in zip((self.x, self.y), away, strict=True):
            each[place] = z.distances(i + rows.start, j)
        farther = np.maximum(*away)
        if self.variant == 1:
            return 2 * [np.partition(farther, self.k - 1, axis=1)[:, self.k - 1]]
        nearest = np.argpartition(farther, self.k - 1, axis=1)[:, : self.k]
        return [np.take_along_axis(each, nearest, axis=1).max(axis=1) for each in away]

    def _within(
        self, z: _Squares, square: Float32[np.ndarray, "r m"], radius: Float[np.ndarray, " r"], rows: slice
    ) -> Int[np.ndarray, " r"]:
        low, high = z.limits(rows, radius)
        inside = square < low
        counts = np.array([np.count_nonzero(row) for row in inside])
        doubtful = np.flatnonzero(np.not_equal(square <= high, inside, out=inside))
        i, j = np.divmod(doubtful, square.shape[1])
        distance = z.distances(i + rows.start, j)
        within = distance < radius[i] if self.variant == 1 else distance <= radius[i]
        return counts + np.bincount(i[within], minlength=len(counts))
