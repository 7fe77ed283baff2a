r"""Rows within Chebyshev radii, exactly, by sets of bits; counts, and nearest neighbors in many dimensions.

Row j lies within :math:`\rho_i` of row i when :math:`|x_{jc} - x_{ic}| < \rho_i` in every column c. Rounded differences
are monotone along a sorted column, so the rows that qualify there are a *window* of ranks [low, high), found by binary
search and the comparison itself. Sets of rows are rows of bits: with the sets of the first 0, 1, 2, … rows of a sorted
column in a table, a window is the exclusive or of two rows of the table, and the box around row i is the *and* of its
windows. That costs a few operations on one bit for each pair and column where a distance takes three on a float, and
nothing in it is rounded: comparisons are of the very differences that distances are made of.

Rows are put in the order of the leaves of a kd-tree first, so that most pairs of blocks of rows are known from a few
ranks to be apart, or inside in some columns, where the data fill few dimensions. Memory is O(n·d).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt64

from itssl.arrays import Samples
from itssl.kernels.threads import cores, in_order

MAX_MEMORY = 2**26
"""Bytes of candidates, beyond the answer, a few times the data, and 4 MiB of sets for each thread."""

_BLOCK = 1024  # columns of a set: their table of 128 KiB stays in the second-level cache
_ROWS = 1024  # rows that are worked on together, as many as make the calls of numpy cheap
_SAMPLE = 512  # rows among which a first bound of the distances is found
_TILE = 256  # of them at a time
_NUMBERS = 2**16  # differences at a time
_FEW = 256  # rows of which all pairs are measured: at 100, (2, 2) columns, 0.3 ms against 1.2
_CELLS = 4  # of a grid for each number on a line
_GROUP = 16  # columns whose smallest is looked at first
_THREADED = 2**11  # rows from which threads pay for their start
_BATCHES = 32  # of rows, that share the table of a block of columns
_PAIR_BYTES = 64  # of memory for a candidate while it is looked at


def chebyshev_counts(
    x: Samples, radius: Float[np.ndarray, " n"], edge: Literal["strict", "inclusive"]
) -> Int[np.ndarray, " n"]:
    """How many other rows of x are nearer than (or, inclusive, no farther than) the radius of each row.

    Exact: the same as comparing max_c |x_jc − x_ic| in double precision. In one column O(n log n), else n² d / 64
    operations on words, fewer where the data fill few dimensions.

    >>> chebyshev_counts(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]]), np.array([2.0, 3.0, 3.5]), "strict")
    array([1, 1, 2])
    """
    beyond = radius if edge == "strict" else np.nextafter(radius, np.inf)  # what is nearer than this is counted
    if len(x) <= _FEW:
        from scipy.spatial.distance import cdist

        return np.count_nonzero(cdist(x, x, "chebyshev") < beyond[:, None], axis=1) - (beyond > 0)
    if x.shape[1] == 1:
        _, low, high = _window(x[:, 0], beyond)
        return high.astype(np.intp) - low - (beyond > 0)
    order = _leaf_order(x)
    inside, lock = np.zeros(len(x), dtype=np.intp), Lock()

    def count(rows: slice, _: int, bits: UInt64[np.ndarray, "r w"]) -> None:
        part = _sizes(bits)
        with lock:
            inside[rows] += part

    _Boxes.of(x[order], beyond[order]).visit(count)
    counts = np.empty_like(inside)
    counts[order] = inside
    return counts - (beyond > 0)


def chebyshev_neighbors(
    x: Samples, k: int, *, max_memory: int = MAX_MEMORY
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances max_c |x_jc − x_ic| to, and rows of, the k nearest other rows of x, nearest first; n > k.

    Exact. The k nearest of a small sample bound each distance, the boxes so bounded hold the candidates, and these are
    measured, all threads together in ``max_memory`` bytes. For many dimensions; with few of them a tree is faster.

    >>> chebyshev_neighbors(np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 2.5]]), 1)
    (array([[2.],
           [2.],
           [2.]]), array([[1],
           [0],
           [1]]))
    """
    order = _leaf_order(x)
    x = x[order]
    nearest = _Nearest(*_nearest_in_samples(x, k))
    # Rows *nearer* than the bound are found again; only those at the bound itself are kept. So none is listed twice,
    # and rows that tie at the bound, half the sample on a lattice, are no candidates.
    radius, memory = nearest.distances[:, -1].copy(), max_memory // cores()
    nearest.distances[nearest.distances < radius[:, None]] = np.inf

    def search(rows: slice, first: int, bits: UInt64[np.ndarray, "r w"]) -> None:
        for i, j in _members(bits, memory):
            i, j = i + rows.start, j + first
            i, j = i[i != j], j[i != j]
            nearest.add(i, j, row_distances(x, i, j))

    _Boxes.of(x, radius).visit(search)
    ascending = np.argsort(nearest.distances, axis=1, kind="stable")
    distances, rows = np.empty_like(nearest.distances), np.empty_like(nearest.rows)
    distances[order] = np.take_along_axis(nearest.distances, ascending, axis=1)
    rows[order] = order[np.take_along_axis(nearest.rows, ascending, axis=1)]
    return distances, rows


def row_distances(x: Samples, i: Int[np.ndarray, " m"], j: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """max_c |x_ic − x_jc| for pairs of rows.

    >>> row_distances(np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([0]), np.array([1]))
    array([2.])
    """
    distances = np.empty(len(i))
    step = max(1, _NUMBERS // x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = x.take(i[part], axis=0)
        difference -= x.take(j[part], axis=0)
        np.abs(difference, out=difference).max(axis=1, out=distances[part])
    return distances


def _leaf_order(x: Samples) -> Int[np.ndarray, " n"]:
    if len(x) <= _BLOCK:
        return np.arange(len(x))
    from scipy.spatial import KDTree

    return np.asarray(KDTree(x, leafsize=_SAMPLE, compact_nodes=False).indices)


def _window(
    column: Float[np.ndarray, " n"], radius: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The rank of each row in this column, and the window of ranks nearer than its radius."""
    n, order = len(column), np.argsort(column)
    line = column[order]
    high = _first_beyond(line, column, radius)
    low = np.minimum(n - _first_beyond(-line[::-1], -column, radius), high)
    rank = np.empty(n, dtype=np.int32)
    rank[order] = np.arange(n, dtype=np.int32)
    return rank, low.astype(np.int32), high.astype(np.int32)


def _first_beyond(
    line: Float[np.ndarray, " n"], start: Float[np.ndarray, " m"], radius: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " m"]:
    """The first index of the sorted line with line − start ≥ radius, as these differences are rounded.

    Found among the numbers of a cell or two of a grid, by bisection with the comparison itself.
    """
    cells = _CELLS * len(line)
    with np.errstate(over="ignore"):
        scale = cells / max(float(line[-1] - line[0]), cells * float(np.finfo(np.float64).tiny))
        end = np.clip(start + radius, line[0], line[-1])
        blur = 4 * np.finfo(np.float64).eps * (np.abs(end) + np.abs(start))  # more than the rounding of all sums here

    def cell(z: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:  # rounded too, but in the order of the z
        return np.clip((z - line[0]) * scale, 0, cells - 1).astype(np.intp)

    before = np.zeros(cells + 1, dtype=np.intp)
    np.cumsum(np.bincount(cell(line), minlength=cells), out=before[1:])
    low, high = before.take(cell(end - blur)), before.take(cell(end + blur) + 1)
    some = np.arange(len(start))
    while len(some := some[low[some] < high[some]]):
        middle = (low[some] + high[some]) // 2
        beyond = line.take(middle) - start[some] >= radius[some]
        high[some[beyond]] = middle[beyond]
        low[some[~beyond]] = middle[~beyond] + 1
    return high


@dataclass(frozen=True)
class _Boxes:
    """For each column the rank of every row and its window; the extremes of the windows of each batch of rows."""

    rank: Int[np.ndarray, "d n"]
    windows: Int[np.ndarray, "d 2 n"]
    extremes: tuple[Int[np.ndarray, "d b"], ...]

    @classmethod
    def of(cls, x: Samples, radius: Float[np.ndarray, " n"]) -> "_Boxes":
        columns = [np.ascontiguousarray(column) for column in x.T]
        ranges = _run(lambda column: _window(column, radius), columns, len(x))
        rank = np.stack([each[0] for each in ranges])
        windows = np.array([each[1:] for each in ranges])
        starts = np.arange(0, len(x), _ROWS)
        extremes = [f.reduceat(windows[:, end], starts, axis=1) for end in (0, 1) for f in (np.minimum, np.maximum)]
        return cls(rank, windows, tuple(extremes))

    def visit(self, use: Callable[[slice, int, UInt64[np.ndarray, "r w"]], None]) -> None:
        """use(rows, first, bits), on all cores, for sets that hold all pairs: bit c of row r is row first + c."""
        n = self.rank.shape[1]
        batches = range(0, -(-n // _ROWS), _BATCHES)

        def work(item: tuple[int, int]) -> None:
            for rows, bits in self._sets(slice(item[0], min(item[0] + _BLOCK, n)), slice(item[1], item[1] + _BATCHES)):
                use(rows, item[0], bits)

        _run(work, [(start, batch) for start in range(0, n, _BLOCK) for batch in batches], n)

    def _sets(self, block: slice, some: slice) -> Iterable[tuple[slice, UInt64[np.ndarray, "r w"]]]:
        """The members among a block of rows of the boxes of some batches of rows; nothing where all are empty."""
        n, size = self.rank.shape[1], block.stop - block.start
        lowest, highest = self.rank[:, block].min(axis=1)[:, None], self.rank[:, block].max(axis=1)[:, None]
        least_low, most_low, least_high, most_high = (of[:, some] for of in self.extremes)
        near = np.flatnonzero(((least_low <= highest) & (most_high > lowest)).all(axis=0))
        free = (most_low <= lowest) & (least_high > highest)  # the whole block is in this window of the whole batch
        batches = [slice(start, min(start + _ROWS, n)) for start in _ROWS * (some.start + near)]
        everything = np.packbits(np.arange(-(-size // 64) * 64) < size, bitorder="little").view("<u8").astype(np.uint64)
        sets = [np.tile(everything, (rows.stop - rows.start, 1)) for rows in batches]
        below = np.zeros(n + 1, dtype=np.int16)  # how many of the block have a lower rank
        ends = np.empty((2, _ROWS, len(everything)), dtype=np.uint64)
        for c in np.flatnonzero(~free[:, near].all(axis=1)):
            table = _prefixes(self.rank[c, block])
            below[:] = 0
            below[self.rank[c, block] + 1] = 1
            np.cumsum(below, out=below)
            for rows, members, inside in zip(batches, sets, free[c, near], strict=True):
                if not inside:
                    window = ends.reshape(-1)[: 2 * members.size].reshape(2, *members.shape)
                    table.take(below.take(self.windows[c, :, rows]), axis=0, out=window, mode="clip")
                    np.bitwise_xor(window[0], window[1], out=window[0])
                    np.bitwise_and(members, window[0], out=members)
        return zip(batches, sets, strict=True)


def _prefixes(rank: Int[np.ndarray, " m"]) -> UInt64[np.ndarray, "m1 w"]:
    """The sets of the first 0, 1, …, m of these rows in the order of their ranks."""
    order = np.argsort(rank)
    table = np.zeros((len(rank) + 1, -(-len(rank) // 64)), dtype=np.uint64)
    table[np.arange(1, len(rank) + 1), order // 64] = np.uint64(1) << (order % 64).astype(np.uint64)
    return np.bitwise_or.accumulate(table, axis=0, out=table)


def _sizes(bits: UInt64[np.ndarray, "r w"]) -> Int[np.ndarray, " r"]:
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(bits).sum(axis=1, dtype=np.intp)
    return np.unpackbits(bits.view(np.uint8), axis=1).sum(axis=1, dtype=np.intp)  # numpy 1


def _members(
    bits: UInt64[np.ndarray, "r w"], memory: int
) -> Iterator[tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]:
    """Rows and columns of the bits that are set, some rows at a time."""
    step = max(1, memory // (_PAIR_BYTES * 64 * bits.shape[1]))
    for start in range(0, len(bits), step):
        words = bits[start : start + step].ravel()
        at = np.flatnonzero(words)
        words, found = words[at], []
        while len(at):
            lowest = words & (~words + np.uint64(1))
            found.append(64 * at + (np.frexp(lowest.astype(np.float64))[1] - 1))  # a power of two: its logarithm
            words = words ^ lowest
            at, words = at[words != 0], words[words != 0]
        if found:
            i, j = np.divmod(np.concatenate(found), 64 * bits.shape[1])
            yield i + start, j


def _nearest_in_samples(x: Samples, k: int) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Measured distances to k rows near each row, among some that follow and precede it; nearest first.

    Which rows those are need not be right, so they are found with 15 bits a number.
    """
    n = len(x)
    size = min(n, max(_SAMPLE, 2 * _GROUP * k))
    distances, rows = np.empty((n, k)), np.empty((n, k), dtype=np.intp)

    def work(start: int) -> None:
        first = min(start, n - size)
        z = _short(x[first : first + size])
        for row in range(start, min(start + size, n), _TILE):
            some = np.arange(row, min(row + _TILE, start + size, n))
            away, other = np.zeros((2, len(some), size), dtype=np.int16)
            for column in z:
                np.subtract(column, column[some - first, None], out=other)
                np.maximum(away, np.abs(other, out=other), out=away)
            away[np.arange(len(some)), some - first] = np.iinfo(np.int16).max
            rows[some] = _columns_of_smallest(away, k) + first
            distances[some] = row_distances(x, np.repeat(some, k), rows[some].ravel()).reshape(-1, k)

    _run(work, list(range(0, n, size)), n)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _short(x: Samples) -> Int[np.ndarray, "d m"]:
    """The columns in integers, so spread that a difference of two fits; what lies far outside ends at the edge."""
    z = x / (np.abs(x).max() or 1.0)
    z = z - np.median(z, axis=0)
    size = np.abs(z)
    unit = 8 * np.median(size, axis=0).max() or size.max() or 1.0
    return np.ascontiguousarray(np.rint(np.clip(z.T / unit, -1, 1) * (2**14 - 1)), dtype=np.int16)


def _columns_of_smallest(away: Int[np.ndarray, "r m"], k: int) -> Int[np.ndarray, "r k"]:
    """k columns of small numbers of each row: all up to the k-th smallest minimum of groups of columns, k of them."""
    m = away.shape[1]
    if m < 2 * _GROUP * k or m % _GROUP:
        return np.argpartition(away, k - 1, axis=1)[:, :k]
    least = np.minimum.reduce(away.reshape(len(away), _GROUP, -1), axis=1)
    least.partition(k - 1, axis=1)
    found = np.flatnonzero(away <= least[:, k - 1, None])
    first = np.searchsorted(found, m * np.arange(len(away)))
    return found[first[:, None] + np.arange(k)] % m


class _Nearest:
    """The nearest rows so far, to which pairs may be added from several threads."""

    def __init__(self, distances: Float[np.ndarray, "n k"], rows: Int[np.ndarray, "n k"]) -> None:
        self.distances, self.rows, self.lock = distances, rows, Lock()
        self.farthest = distances.max(axis=1)

    def add(self, i: Int[np.ndarray, " m"], j: Int[np.ndarray, " m"], distances: Float[np.ndarray, " m"]) -> None:
        """Put pairs (i, j) at these distances among the nearest of i where they belong."""
        with self.lock:
            near = np.flatnonzero(distances < self.farthest.take(i))
            near = near[np.argsort(i[near], kind="stable")]
            some, first, count = np.unique(i[near], return_index=True, return_counts=True)
            if not len(some):
                return
            k, owner = self.rows.shape[1], np.repeat(np.arange(len(some)), count)
            place = np.arange(len(near)) - np.repeat(first, count)
            both = np.full((len(some), k + count.max()), np.inf), np.zeros((len(some), k + count.max()), dtype=np.intp)
            for listed, old, new in zip(both, (self.distances, self.rows), (distances, j), strict=True):
                listed[:, :k], listed[owner, k + place] = old[some], new[near]
            best = np.argpartition(both[0], k - 1, axis=1)[:, :k]
            self.distances[some], self.rows[some] = (np.take_along_axis(listed, best, axis=1) for listed in both)
            self.farthest[some] = self.distances[some].max(axis=1)


def _run(work: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
    return list(in_order(work, items) if n >= _THREADED else map(work, items))
