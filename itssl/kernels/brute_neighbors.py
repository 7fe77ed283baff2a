r"""Exact Euclidean nearest neighbors in many dimensions by tiles of one matrix product; O((n + m)·d) memory + tiles.

Single precision finds the neighbors, double precision measures them, and a bound of the rounding proves that none was
missed. Let :math:`z = (x - c)/2^e`, with c near the mean of y and e such that :math:`|x|, |y| < 2^{e+1}`, and let
:math:`s = \|z\|^2`. The row :math:`[-2 z_i, 1]` times the column :math:`[z_j, (1 - 2g) s_j]` is one product of length
d + 1, the *score* of the pair. Its entries are rounded when they are made, and a product of length n, its terms added
in any order, errs by at most :math:`\gamma_n = nu/(1 - nu)` times the sum of the sizes of its terms [1, sec. 3.1]. So,
with g = γ of a length that counts both, and :math:`2 |z_i| \cdot |z_j| \le s_i + s_j`,

.. math:: \text{score}_{ij} \le (1 - 2g)(1 + g) s_j - 2 z_i \cdot z_j + g (s_i + s_j) \le s_j - 2 z_i \cdot z_j + g s_i,

and score + (1 − g) s_i is *never above* the squared distance of the pair (but for underflow, which is added to the
limits). A row is certified when the smallest score that was dropped, so bounded, exceeds the k-th squared distance
found in double precision. For every other row all columns whose bound does not exceed it are measured: by the same
inequality they include the neighbors. Where these are more than a sixteenth of the sample (tight clusters far from each
other) the row is looked for once more in double precision, with its smaller u, and in the end from all differences.

References
----------
[1] Higham (2002). Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, SamplesLike, is_torch, on_host
from itssl.kernels.threads import cores, in_order

MAX_MEMORY = 2**26
"""Bytes of tiles, beyond the data, a centered copy of it in single precision, and the answer."""

SPARE = 2  # candidates beyond k: on normal columns, n = 10⁴, 1 row of 10⁴ is not certified at d = 512, none at 128
_ROWS, _COLUMNS = 384, 10240  # of a tile at most: the product runs near its peak rate and scores stay in the cache
_BLOCK = 2**16  # differences at a time: they stay in the second-level cache
_SAMPLE = 1024  # rows whose mean is the middle
_GROUP = 8  # columns to a group whose minimum is taken first
_WIDE = 256  # rows of more numbers are searched by groups: up to here partition is a sorting network
FEW, FEW_SHARE = 256, 16  # columns a row may have measured: this many, or a share of the sample
SAFE_SIZE = 1e100  # beyond it, and below its inverse, squares of differences may over- or underflow


def brute_neighbors(
    x: SamplesLike, k: int, *, max_memory: int = MAX_MEMORY
) -> tuple[Float[Any, "n k"], Int[Any, "n k"]]:
    """Distances to, and rows of, the k nearest other rows of x, nearest first; a row is never its own neighbor.

    Exact: the distances are square roots of sums of squared differences in double precision, and no nearer row exists.
    Tiles use at most ``max_memory`` bytes, or what one row at a time needs. Tensors are worked on, and answered, on
    their device.

    >>> brute_neighbors(np.array([[0.0], [1.0], [3.0]]), 1)[0].ravel()
    array([1., 1., 2.])
    """
    return (_of_tensors if is_torch(x) else _search)(x, x, k, True, max_memory)


def brute_cross_neighbors(
    x: SamplesLike, y: SamplesLike, k: int, *, max_memory: int = MAX_MEMORY
) -> tuple[Float[Any, "n k"], Int[Any, "n k"]]:
    """Distances from each row of x to its k nearest rows of y, and these rows, nearest first; as `brute_neighbors`.

    >>> brute_cross_neighbors(np.array([[0.0], [5.0]]), np.array([[1.0], [3.0], [9.0]]), 2)[1]
    array([[0, 1],
           [1, 2]])
    """
    return (_of_tensors if is_torch(x) else _search)(x, y, k, False, max_memory)


def _of_tensors(x: Any, y: Any, k: int, own: bool, memory: int) -> tuple[Any, Any]:
    import torch

    from itssl.kernels.tensor_neighbors import tensor_neighbors

    if x.device.type != "cpu":
        return tensor_neighbors(x, y, k, own, memory)
    a = on_host(x).astype(float, copy=False)
    distances, found = _search(a, a if y is x else on_host(y).astype(float, copy=False), k, own, memory)
    return torch.from_numpy(distances), torch.from_numpy(found)


def _search(x: Samples, y: Samples, k: int, own: bool, memory: int) -> tuple[np.ndarray, np.ndarray]:
    unit = max(_size(y), 0.0 if own else _size(x)) or 1.0
    if not 1 / SAFE_SIZE < unit < SAFE_SIZE:
        scaled = y / unit
        distances, found = _search(scaled if own else x / unit, scaled, k, own, memory)
        return distances * unit, found
    distances, found = np.empty((len(x), k)), np.empty((len(x), k), dtype=np.intp)
    left = np.arange(len(x))
    for precision in (np.float32, np.float64):
        search = _Search(x, y, k, own, _Columns.of(y, unit, precision), memory // cores())
        left = search.fill(search.by_scores, left, distances, found)
        if not left.size:
            return distances, found
    search.fill(search.by_differences, left, distances, found)
    return distances, found


def rounding(d: int, precision: type[np.floating]) -> tuple[float, float]:
    """g, and an allowance for underflow, of scores in this precision.

    The factors 1 + δ, |δ| ≤ u, that one term meets. Single precision: d + 1 in the product, up to 2 conversions, and
    less than one more for all that was done in double before. Double: up to 2 d + 6, with the centering and the sum s.

    >>> print(f"{rounding(128, np.float32)[0]:.2g}")
    7.9e-06
    """
    kind, length = np.finfo(precision), d + 5 if precision is np.float32 else 2 * d + 8
    u = float(kind.eps) / 2
    return length * u / (1 - length * u), 32 * length * float(kind.tiny)


@dataclass(frozen=True)
class _Columns:
    """The right side of the product, and what turns its scores into lower bounds of squared distances.

    One coordinate after the other in memory: the product is 5 to 9 % faster than with the rows of y as they are.
    """

    right: Float[np.ndarray, "e m"]
    middle: Float[np.ndarray, " d"]
    unit: float
    g: float
    underflow: float

    @classmethod
    def of(cls, y: Samples, unit: float, precision: type[np.floating]) -> "_Columns":
        m, d = y.shape
        middle = y[:: -(-m // _SAMPLE)].mean(axis=0)  # any vector near the middle will do
        columns = cls(np.empty((d + 1, m), dtype=precision), middle, unit, *rounding(d, precision))

        def write(start: int) -> None:
            part = slice(start, start + step)
            columns.right[d, part] = (1 - 2 * columns.g) * columns.centered(y[part], columns.right[:d, part].T)

        step = max(1, 8 * _BLOCK // d)
        list(in_order(write, range(0, m, step)))
        return columns

    def left(self, x: Samples) -> tuple[Float[np.ndarray, "r e"], Float[np.ndarray, " r"]]:
        """The left side for rows of x, and their (1 − g) s."""
        left = np.empty((len(x), x.shape[1] + 1), dtype=self.right.dtype)
        square = self.centered(x, left[:, :-1])
        left[:, :-1] *= -2
        left[:, -1] = 1
        return left, (1 - self.g) * square

    def centered(self, x: Samples, z: Float[np.ndarray, "r d"]) -> Float[np.ndarray, " r"]:
        """Write z, and return s of double precision, a few rows at a time."""
        square = np.empty(len(x))
        step = max(1, _BLOCK // x.shape[1])
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            difference = x[part] - self.middle
            difference /= self.unit
            z[part] = difference
            np.einsum("ij,ij->i", difference, difference, out=square[part])
        return square

    def highest_score(self, squared: Float[np.ndarray, " r"], offset: Float[np.ndarray, " r"]) -> np.ndarray:
        """No pair this near (computed squared distance) has a higher score."""
        slack = 1 + (self.right.shape[0] + 8) * np.finfo(np.float64).eps
        limit = squared / self.unit**2 * slack + self.underflow - offset
        return np.nextafter(limit.astype(self.right.dtype), self.right.dtype.type(np.inf))


@dataclass(frozen=True)
class _Search:
    """One search in one precision."""

    x: Samples
    y: Samples
    k: int
    own: bool
    columns: _Columns
    memory: int

    @property
    def listed(self) -> int:
        return min(self.k + SPARE, len(self.y) - self.own)

    @property
    def width(self) -> int:
        """Columns of a tile, whole groups of groups."""
        parts = -(-len(self.y) // _COLUMNS)
        return -(-len(self.y) // (parts * _GROUP**2)) * _GROUP**2

    @property
    def height(self) -> int:
        """Rows of a tile: what the memory holds of scores, a copy or mask of them, indices, and rows of the product."""
        size, d = self.columns.right.itemsize, self.x.shape[1]
        each = 2 * size * self.width + 64 * self.listed * _GROUP + (2 * size + 16) * d
        return max(1, min(_ROWS, self.memory // each))

    def fill(
        self, answer: Callable[..., Any], rows: np.ndarray, distances: np.ndarray, found: np.ndarray
    ) -> np.ndarray:
        """Write the answers for these rows, tile by tile on all cores; returns the rows that stay without one."""
        height = min(self.height, -(-len(rows) // cores()))
        kept = threading.local()

        def work(start: int) -> np.ndarray:
            if not hasattr(kept, "tile"):
                kept.tile = np.empty(height * self.width, dtype=self.columns.right.dtype)
            part = rows[start : start + height]
            squared, neighbors, done = answer(part, kept.tile)
            distances[part[done]], found[part[done]] = np.sqrt(squared[done]), neighbors[done]
            return part[~done]

        return np.concatenate(list(in_order(work, range(0, len(rows), height))))

    def by_scores(self, rows: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distances, neighbors, and which rows are done, all of them certified."""
        left, offset = self.columns.left(self.x[rows])
        parts, scores = [], tile
        for start, scores in self.scores(left, rows, tile):
            best = _smallest(scores, min(self.listed, scores.shape[1]))
            parts.append((_at(scores, best), best + start))
        listed, found = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        if len(parts) > 1:
            best = _smallest(listed, self.listed)
            listed, found = _at(listed, best), _at(found, best)
        squared, found = _nearest(self.squared(rows, found), found, self.k)
        done = np.ones(len(rows), dtype=bool)
        if self.listed < len(self.y) - self.own:
            highest = self.columns.highest_score(squared[:, -1], offset)
            hard = np.flatnonzero(~(listed.max(axis=1) > highest))  # at least that is every score that was dropped
            step = max(1, len(rows) // 8)
            for start in range(0, len(hard), step):
                h = hard[start : start + step]
                again = [(0, scores[h])] if len(parts) == 1 else self.scores(left[h], rows[h], tile)
                squared[h], found[h], done[h] = self.within(again, rows[h], highest[h])
        return squared, found, done

    def within(
        self, parts: Iterable[tuple[int, np.ndarray]], rows: np.ndarray, highest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for rows whose neighbors are among the columns with scores up to the highest."""
        few = max(FEW, len(self.y) // FEW_SHARE)
        count, pairs = np.zeros(len(rows), dtype=np.intp), []
        for start, scores in parts:
            near = scores <= highest[:, None]
            count += np.count_nonzero(near, axis=1)
            near[count > few] = False
            i, j = np.nonzero(near)
            pairs.append((i, j + start))
        i, j = (np.concatenate(each) for each in zip(*pairs, strict=True))
        done = count <= few
        i, j = i[done[i]], j[done[i]]
        squared = self.squared(rows[i], j[:, None])[:, 0]
        order = np.lexsort((j, squared, i))
        first = np.searchsorted(i[order], np.flatnonzero(done))[:, None] + np.arange(self.k)
        chosen = order[first]
        answer = np.zeros((len(rows), self.k)), np.zeros((len(rows), self.k), dtype=np.intp)
        answer[0][done], answer[1][done] = squared[chosen], j[chosen]
        return *answer, done

    def by_differences(self, rows: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same from the differences to all columns."""
        from scipy.spatial.distance import cdist

        found = np.empty((len(rows), self.k), dtype=np.intp)
        step = max(1, self.memory // (32 * len(self.y)))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            far = cdist(self.x[rows[part]], self.y, "sqeuclidean")
            if self.own:
                far[np.arange(len(far)), rows[part]] = np.inf
            found[part] = np.argpartition(far, self.k - 1, axis=1)[:, : self.k]
        return *_nearest(self.squared(rows, found), found, self.k), np.ones(len(rows), dtype=bool)

    def scores(self, left: np.ndarray, rows: np.ndarray, tile: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """First column and scores of each part of the columns; inf for a row itself and where groups are filled up."""
        for start in range(0, len(self.y), self.width):
            right = self.columns.right[:, start : start + self.width]
            width = right.shape[1]
            padded = -(-width // _GROUP**2) * _GROUP**2
            scores = tile[: len(left) * padded].reshape(len(left), padded)
            np.matmul(left, right, out=scores[:, :width])
            scores[:, width:] = np.inf
            if self.own:
                inside = np.flatnonzero((rows >= start) & (rows < start + width))
                scores[inside, rows[inside] - start] = np.inf
            yield start, scores

    def squared(self, rows: np.ndarray, found: Int[np.ndarray, "r c"]) -> Float[np.ndarray, "r c"]:
        """Squared distances of rows of x to some rows of y each, from the differences, a few at a time."""
        squared = np.empty(found.shape)
        step = max(1, _BLOCK // (found.shape[1] * self.x.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            difference = np.take(self.y, found[part], axis=0)
            difference -= self.x[rows[part], None]
            np.einsum("rcd,rcd->rc", difference, difference, out=squared[part])
        return squared


def _smallest(scores: Float[np.ndarray, "r c"], count: int) -> Int[np.ndarray, "r count"]:
    """Columns of the smallest scores of each row; with many columns, by groups of those congruent modulo their number.

    The minima of all groups are a few vector operations, and the L smallest scores are in the L groups with the
    smallest minima, found the same way: nothing in another group is smaller than any of these L minima.
    """
    r, width = scores.shape
    groups = width // _GROUP
    if width <= _WIDE or width % _GROUP or groups <= 2 * count:
        return np.argpartition(scores, count - 1, axis=1)[:, :count]
    kept = _smallest(np.minimum.reduce(scores.reshape(r, _GROUP, groups), axis=1), count)
    columns = (kept[:, None] + groups * np.arange(_GROUP)[:, None]).reshape(r, -1)
    best = _smallest(_at(scores, columns), count)
    return _at(columns, best)


def _at(values: np.ndarray, columns: Int[np.ndarray, "r c"]) -> np.ndarray:
    """np.take_along_axis on rows of a contiguous array, three times as fast."""
    return np.take(values.reshape(-1), columns + values.shape[1] * np.arange(len(values))[:, None])


def _nearest(squared: np.ndarray, found: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(found, order, axis=1)


def _size(x: Samples) -> float:
    """The largest power of two up to max |x|; 0 if x is."""
    largest = max(float(x.max()), -float(x.min()))
    return float(np.ldexp(1.0, np.frexp(largest)[1] - 1)) if largest else 0.0
