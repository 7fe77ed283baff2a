r"""Rows within Chebyshev radii, exactly, by sets of bits; counts, and nearest neighbors in many dimensions.

Row j lies within :math:`\rho_i` of row i when :math:`|x_{jc} - x_{ic}| < \rho_i` in every column c. Rounded differences
are monotone along a sorted column, so the rows that qualify there are a *window* of ranks [low, high), found by binary
search and the comparison itself. Sets of rows are rows of bits: with the sets of the first 0, 1, 2, … rows of a sorted
column in a table, a window is the exclusive or of two rows of the table, and the box around row i is the *and* of its
windows. That costs a few operations on one bit for each pair and column where a distance takes three on a float, and
nothing in it is rounded: comparisons are of the very differences that distances are made of.

Rows are put in the order of the leaves of a kd-tree first, so that most pairs of blocks of rows are known from a few
ranks to be apart, or inside in some columns, where the data fill few dimensions. Memory is O(n·d).

Where numba is installed (``pip install itssl[fast]``), larger samples go through compiled forms of the inner loops
(:mod:`itssl.kernels.compiled_chebyshev`), with the same answers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt64

from itssl.arrays import Samples
from itssl.choices import ParameterError
from itssl.kernels.threads import cores, in_order

MAX_MEMORY = 2**26
"""Bytes of candidates, beyond the answer, a few times the data, and 4 MiB of sets for each thread."""

_BLOCK = 1024  # columns of a set: their table of 128 KiB stays in the second-level cache
_ROWS = 2048  # worked on together: calls of numpy that are long enough for a second thread, and skipped together
_SAMPLE = 512  # rows among which a first bound of the distances is found
_TILE = 256  # of them at a time
_NUMBERS = 2**16  # differences at a time
_FEW = 256  # rows of which all pairs are measured: at 100, (2, 2) columns, 0.3 ms against 1.2
_CELLS = 4  # of a grid for each number on a line
_GROUP = 16  # columns whose smallest is looked at first
_THREADED = 2**11  # rows from which threads pay for their start
_BATCHES = 16  # of rows, that share the table of a block of columns
_PAIR_BYTES = 64  # of memory for a candidate while it is looked at
_COMPILED = 2**28  # n² d from which the 0.4 s that compiled loops take to load are worth it after some calls


def chebyshev_counts(
    x: Samples, radius: Float[np.ndarray, " n"], edge: Literal["strict", "inclusive"]
) -> Int[np.ndarray, " n"]:
    """How many other rows of x are nearer than (or, inclusive, no farther than) the radius of each row.

    Exact: the same as comparing max_c |x_jc − x_ic| in double precision. In one column O(n log n), else n² d / 64
    operations on words, fewer where the data fill few dimensions. ParameterError if a radius is not a number.

    >>> chebyshev_counts(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]]), np.array([2.0, 3.0, 3.5]), "strict")
    array([1, 1, 2])
    """
    if (unknown := np.flatnonzero(np.isnan(radius))).size:
        raise ParameterError(f"radius: expected a number for each row, got nan in row {unknown[0]}")
    counts = _nearer(x, radius if edge == "strict" else np.nextafter(radius, np.inf))
    if edge == "inclusive":
        counts[np.isposinf(radius)] = len(x) - 1  # nothing is farther, not even where a difference overflows
    return counts


def _nearer(x: Samples, radius: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    if len(x) <= _FEW:
        from scipy.spatial.distance import cdist

        return np.count_nonzero(cdist(x, x, "chebyshev") < radius[:, None], axis=1) - (radius > 0)
    if x.shape[1] == 1:
        low, high = _window(x[:, 0], radius, _first_beyond)[1]
        return high.astype(np.intp) - low - (radius > 0)
    order = _leaf_order(x)
    inside, lock = np.zeros(len(x), dtype=np.intp), Lock()

    def count(rows: slice, _: int, bits: UInt64[np.ndarray, "r w"]) -> None:
        part = _sizes(bits)
        with lock:
            inside[rows] += part

    _Boxes.of(x[order], radius[order]).visit(count)
    counts = np.empty_like(inside)
    counts[order] = inside
    return counts - (radius > 0)


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
    x, compiled = x.take(order, axis=0), _compiled(*x.shape)
    distances, rows = _nearest_in_samples(x, k)
    # Rows *nearer* than the bound are found again; only those at the bound itself are kept. So none is listed twice,
    # and rows that tie at the bound, half the sample on a lattice, are no candidates.
    radius = distances[:, -1].copy()
    distances[distances < radius[:, None]] = np.inf
    nearest = _Nearest(*_ascending(distances, rows))
    locks, memory = [Lock() for _ in range(0, len(x), _ROWS)], max_memory // cores()

    def search(some: slice, first: int, bits: UInt64[np.ndarray, "r w"]) -> None:
        if compiled:
            with locks[some.start // _ROWS]:
                compiled.add_members(x, bits, some.start, first, radius, nearest.distances, nearest.rows)
            return
        for i, j in _members(bits, memory):
            i, j = i + some.start, j + first
            i, j = i[i != j], j[i != j]
            nearest.add(i, j, row_distances(x, i, j))

    _Boxes.of(x, radius).visit(search)
    ascending, found = _ascending(nearest.distances, nearest.rows)
    distances[order], rows[order] = ascending, order[found]
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
        with np.errstate(over="ignore"):
            difference -= x.take(j[part], axis=0)
        np.abs(difference, out=difference).max(axis=1, out=distances[part])
    return distances


@lru_cache(maxsize=1)
def _loops() -> Any:
    from itssl.kernels import compiled_chebyshev

    return compiled_chebyshev if compiled_chebyshev.AVAILABLE else None


def _compiled(n: int, d: int) -> Any:
    """The compiled loops, where there are any and samples of this size are worth it."""
    return _loops() if n * n * d >= _COMPILED else None


def _ascending(
    distances: Float[np.ndarray, "n k"], rows: Int[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _leaf_order(x: Samples) -> Int[np.ndarray, " n"]:
    if len(x) <= _BLOCK:
        return np.arange(len(x))
    from scipy.spatial import KDTree

    return np.asarray(KDTree(x, leafsize=_SAMPLE, compact_nodes=False).indices)


def _window(
    column: Float[np.ndarray, " n"], radius: Float[np.ndarray, " n"], first_beyond: Callable[..., np.ndarray]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "2 n"]]:
    """The rank of each row in this column, and the window [low, high) of ranks nearer than its radius."""
    n, order = len(column), np.argsort(column)
    line = column[order]
    window, rank = np.empty((2, n), dtype=np.int32), np.empty(n, dtype=np.int32)
    window[1] = first_beyond(line, column, radius)
    np.minimum(n - first_beyond(-line[::-1], -column, radius), window[1], out=window[0], casting="same_kind")
    rank[order] = np.arange(n, dtype=np.int32)
    return rank, window


def _first_beyond(
    line: Float[np.ndarray, " n"], start: Float[np.ndarray, " m"], radius: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " m"]:
    """The first index of the sorted line with line − start ≥ radius, as these differences are rounded.

    Found among the numbers of a cell or two of a grid, by bisection with the comparison itself.
    """
    cells, half = _CELLS * len(line), line[0] / 2  # halves: the range of a column may be beyond the largest number
    scale = cells / max(float(line[-1] / 2 - half), cells * float(np.finfo(np.float64).tiny))
    with np.errstate(over="ignore"):
        end = np.clip(start + radius, line[0], line[-1])
        blur = 4 * np.finfo(np.float64).eps * (np.abs(end) + np.abs(start))  # more than the rounding of all sums here

    def cell(z: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:  # rounded too, but in the order of the z
        return np.clip((z / 2 - half) * scale, 0, cells - 1).astype(np.intp)

    before = np.zeros(cells + 1, dtype=np.intp)
    np.cumsum(np.bincount(cell(line), minlength=cells), out=before[1:])
    some = np.arange(len(start))
    with np.errstate(over="ignore"):
        low, high = before.take(cell(end - blur)), before.take(cell(end + blur) + 1)
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
    compiled: Any

    @classmethod
    def of(cls, x: Samples, radius: Float[np.ndarray, " n"]) -> "_Boxes":
        (n, d), compiled = x.shape, _compiled(*x.shape)
        rank, windows = np.empty((d, n), dtype=np.int32), np.empty((d, 2, n), dtype=np.int32)
        first_beyond = compiled.first_beyond if compiled else _first_beyond

        def work(c: int) -> None:
            rank[c], windows[c] = _window(np.ascontiguousarray(x[:, c]), radius, first_beyond)

        _run(work, list(range(d)), n)
        starts = np.arange(0, len(x), _ROWS)
        extremes = [f.reduceat(windows[:, end], starts, axis=1) for end in (0, 1) for f in (np.minimum, np.maximum)]
        return cls(rank, windows, tuple(extremes), compiled)

    def visit(self, use: Callable[[slice, int, UInt64[np.ndarray, "r w"]], None]) -> None:
        """use(rows, first, bits), on all cores, for sets that hold all pairs: bit c of row r is row first + c."""
        n = self.rank.shape[1]
        batches = range(0, -(-n // _ROWS), _BATCHES)
        size = min(_BLOCK, 64 * self.compiled.WORDS) if self.compiled else _BLOCK

        def work(item: tuple[int, int]) -> None:
            for rows, bits in self._sets(slice(item[0], min(item[0] + size, n)), slice(item[1], item[1] + _BATCHES)):
                use(rows, item[0], bits)

        _run(work, [(start, batch) for start in range(0, n, size) for batch in batches], n)

    def _sets(self, block: slice, some: slice) -> list[tuple[slice, UInt64[np.ndarray, "r w"]]]:
        """The members among a block of rows of the boxes of some batches of rows; nothing where all are empty."""
        n, size = self.rank.shape[1], block.stop - block.start
        lowest, highest = self.rank[:, block].min(axis=1)[:, None], self.rank[:, block].max(axis=1)[:, None]
        least_low, most_low, least_high, most_high = (of[:, some] for of in self.extremes)
        near = np.flatnonzero(((least_low <= highest) & (most_high > lowest)).all(axis=0))
        free = (most_low <= lowest) & (least_high > highest)  # the whole block is in this window of the whole batch
        starts = _ROWS * (some.start + near)
        stops = np.minimum(starts + _ROWS, n)
        words = self.compiled.WORDS if self.compiled else -(-size // 64)
        everything = np.packbits(np.arange(64 * words) < size, bitorder="little").view("<u8").astype(np.uint64)
        sets = np.tile(everything, (len(near), _ROWS, 1))
        narrow = self.compiled.narrow if self.compiled else _narrow
        narrow(sets, self.rank, self.windows, block.start, size, starts, stops, free[:, near].copy())
        return [
            (slice(int(start), int(stop)), members[: stop - start])
            for start, stop, members in zip(starts, stops, sets, strict=True)
        ]


def _narrow(
    sets: UInt64[np.ndarray, "b r w"], rank: Int[np.ndarray, "d n"], windows: Int[np.ndarray, "d 2 n"],
    first: int, size: int, starts: Int[np.ndarray, " b"], stops: Int[np.ndarray, " b"], inside: Bool[np.ndarray, "d b"],
) -> None:  # fmt: skip
    """Leave, in the set of row starts[b] + r, the members of its windows: of columns that are not inside them anyway.

    Bit c of a set is row first + c, one of ``size``.
    """
    ends = np.empty((2, *sets.shape[1:]), dtype=np.uint64)
    below = np.zeros(rank.shape[1] + 1, dtype=np.int16)  # how many of the block have a lower rank
    for c in np.flatnonzero(~inside.all(axis=1)):
        block = rank[c, first : first + size]
        table = _prefixes(block)
        below[:] = 0
        below[block + 1] = 1
        np.cumsum(below, out=below)
        for b in np.flatnonzero(~inside[c]):
            members = sets[b, : stops[b] - starts[b]]
            window = ends.reshape(-1)[: 2 * members.size].reshape(2, *members.shape)
            table.take(below.take(windows[c, :, starts[b] : stops[b]]), axis=0, out=window, mode="clip")
            np.bitwise_xor(window[0], window[1], out=window[0])
            np.bitwise_and(members, window[0], out=members)


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

    Which rows those are need not be right, so they are found with 15 bits a number, or compiled, 24.
    """
    n, compiled = len(x), _compiled(*x.shape)
    size = min(n, max(_SAMPLE, 2 * _GROUP * k))
    distances, rows = np.empty((n, k)), np.empty((n, k), dtype=np.intp)

    def work(start: int) -> None:
        """Look among a block of rows for the nearest of all rows."""
        first = min(start, n - size)
        if compiled:
            z, stop = _single(x[first : first + size]), min(start + size, n)
            compiled.nearest_in_sample(x, z, first, start, stop, distances, rows)
            return
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
    return _ascending(distances, rows)


def _short(x: Samples) -> Int[np.ndarray, "d m"]:
    """The columns in integers, so spread that a difference of two fits; what lies far outside ends at the edge."""
    z = x / (np.abs(x).max() or 1.0)
    z = z - np.median(z, axis=0)
    size = np.abs(z)
    unit = 8 * np.median(size, axis=0).max() or size.max() or 1.0
    return np.ascontiguousarray(np.rint(np.clip(z.T / unit, -1, 1) * (2**14 - 1)), dtype=np.int16)


def _single(x: Samples) -> Float32[np.ndarray, "d m"]:
    """The columns, centered, within ±1 in single precision."""
    z = x / (np.abs(x).max() or 1.0)
    z -= z.mean(axis=0)
    return np.ascontiguousarray(z.T / (np.abs(z).max() or 1.0), dtype=np.float32)


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
