"""Neighbors by a kd-tree of our own, compiled by numba where that is installed: ``pip install 'itssl[fast]'``.

The rows are cut at medians into leaves, and all rows of a leaf are asked at once: a node is entered if its box is
within reach of any of them, and what is done for each row of the leaf is done in vectors. Without numba the same
functions are plain Python, far too slow but for tests.
"""

from collections import deque
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.choices import ParameterError
from itssl.kernels.threads import cores, in_order

_LEAF = 32  # rows at most: 16 take a quarter longer on 3 columns; 64 a tenth, and a third on 2
_VECTOR = 8  # numbers: leaves are stored in multiples of it
_PARTS = 4  # of the leaves, for each thread
_THREADED = 2**12  # rows × neighbors from which threads pay for their start
_SWAPS = 32  # neighbors up to which a new one is compared with all of them: branches would be mispredicted
_STACK = 128  # nodes: two for each level of the tree


def _compiled(function: Any, **options: Any) -> Any:
    try:
        njit = import_module("numba").njit
    except ImportError:
        return function
    try:
        return njit(function, nogil=True, cache=True, **options)
    except RuntimeError:  # there is no folder in which the cache may be written
        return njit(function, nogil=True, **options)


_inlined = partial(_compiled, inline="always")  # a call with arrays takes longer than what is done in it


def compiled_neighbors(x: Samples, k: int, p: float) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances of order p, 2 or ∞, to, and rows of, the k nearest other rows of x, nearest first.

    Exact where squares of differences neither over- nor underflow: distances are those of the differences in double
    precision, and a box is never taken for farther than a row in it, for rounding is monotone.

    Raises ParameterError for numbers that are not finite: cuts at medians would not end.

    >>> compiled_neighbors(np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0]]), 1, np.inf)[0].ravel()
    array([1., 1., 2.])
    """
    if not np.isfinite(x).all():
        raise ParameterError("x: expected finite numbers, got NaN or infinite ones; drop these rows")
    n, d = x.shape
    leaves = 1 << (-(-n // _LEAF) - 1).bit_length()
    width = -(-n // (leaves * _VECTOR)) * _VECTOR
    order, tiles = np.arange(n), np.full((leaves, d, width), np.inf)
    low, high = np.empty((2 * leaves, d)), np.empty((2 * leaves, d))
    _grow(np.array(x.T, order="C"), order, np.empty(n), tiles, low, high)
    distances, rows = np.empty((n, k)), np.empty((n, k), dtype=np.int64)

    def search(part: tuple[int, int]) -> None:
        _search(tiles, low, high, order, p == 2, *part, distances, rows)

    if n * k > _THREADED and cores() > 1:
        cuts = np.linspace(0, leaves, min(leaves, _PARTS * cores()) + 1).astype(int).tolist()
        deque(in_order(search, list(pairwise(cuts))), maxlen=0)
    else:
        search((0, leaves))
    return distances, rows


@_compiled
@no_type_check
def _partition(keys, rows, start, stop, middle):
    """Bring the right key to ``middle``, none larger before it and none smaller behind; rows go along.

    Keys are swapped without a branch. Equal ones are set apart, so that copies take no longer.
    """
    spot = middle
    while stop - start > 1:
        spot = (1103515245 * spot + 12345) % 2**31  # no order of the rows makes all pivots bad
        step = (stop - start) // 3
        first = start + spot % (stop - start - 2 * step)
        a, b, c = keys[first], keys[first + step], keys[first + 2 * step]
        pivot = max(min(a, b), min(max(a, b), c))
        cut = start
        for i in range(start, stop):
            key, row = keys[i], rows[i]
            keys[i], rows[i] = keys[cut], rows[cut]
            keys[cut], rows[cut] = key, row
            cut += key < pivot
        if middle < cut:
            stop = cut
            continue
        start = cut
        for i in range(start, stop):
            key, row = keys[i], rows[i]
            keys[i], rows[i] = keys[cut], rows[cut]
            keys[cut], rows[cut] = key, row
            cut += key <= pivot
        if middle < cut:
            return
        start = cut


@_compiled
@no_type_check
def _grow(columns, order, keys, tiles, low, high):
    """Cut the rows at medians of their widest column into leaves; node i has the nodes 2i and 2i + 1."""
    d, n = columns.shape
    leaves = len(tiles)
    width = leaves
    while width > 1:
        for first in range(0, leaves, width):
            start, stop = first * n // leaves, (first + width) * n // leaves
            widest, most = 0, -1.0
            for j in range(d):
                smallest = largest = columns[j, order[start]]
                for i in range(start, stop):
                    value = columns[j, order[i]]
                    smallest = value if value < smallest else smallest
                    largest = value if value > largest else largest
                if largest - smallest > most:
                    widest, most = j, largest - smallest
            for i in range(start, stop):
                keys[i] = columns[widest, order[i]]
            _partition(keys, order, start, stop, (first + width // 2) * n // leaves)
        width //= 2
    for leaf in range(leaves):
        start, stop = leaf * n // leaves, (leaf + 1) * n // leaves
        for j in range(d):
            for i in range(start, stop):
                tiles[leaf, j, i - start] = columns[j, order[i]]
            low[leaves + leaf, j] = tiles[leaf, j, : stop - start].min()
            high[leaves + leaf, j] = tiles[leaf, j, : stop - start].max()
    for node in range(leaves - 1, 0, -1):
        for j in range(d):
            low[node, j] = min(low[2 * node, j], low[2 * node + 1, j])
            high[node, j] = max(high[2 * node, j], high[2 * node + 1, j])


@_inlined
@no_type_check
def _swap_in(best, found, r, away, row):
    """Keep the nearest rows of row r, nearest first; without a branch."""
    for s in range(best.shape[1]):
        other, other_row = best[r, s], found[r, s]
        nearer = away < other
        best[r, s] = away if nearer else other
        found[r, s] = row if nearer else other_row
        away = other if nearer else away
        row = other_row if nearer else row


@_inlined
@no_type_check
def _shift_in(best, found, r, away, row):
    """The same for many neighbors."""
    s = best.shape[1] - 1
    if away < best[r, s]:
        while s > 0 and best[r, s - 1] > away:
            best[r, s], found[r, s] = best[r, s - 1], found[r, s - 1]
            s -= 1
        best[r, s], found[r, s] = away, row


@_inlined
@no_type_check
def _between(low, high, one, other, squares):
    """Distance, or its square, of two boxes."""
    total = 0.0
    for j in range(low.shape[1]):
        away = max(low[one, j] - high[other, j], low[other, j] - high[one, j], 0.0)
        total = total + away * away if squares else max(total, away)
    return total


@_compiled
@no_type_check
def _search(tiles, low, high, order, squares, first, last, distances, neighbors):
    """The nearest rows of each row of the leaves from first up to last, from its own leaf up to the root."""
    leaves, d, width = tiles.shape
    n, k = distances.shape
    best, found, bounds = np.empty((width, k)), np.zeros((width, k), dtype=np.int64), np.empty(width)
    away, far = np.empty(width), np.empty(width)
    asked, hits = np.empty(width + 1, dtype=np.int64), np.empty(width + 1, dtype=np.int64)
    stack, gaps = np.empty(_STACK, dtype=np.int64), np.empty(_STACK)
    for leaf in range(first, last):
        start = leaf * n // leaves
        size = (leaf + 1) * n // leaves - start
        own = leaves + leaf
        best[:], bounds[:], worst = np.inf, np.inf, np.inf
        home, stack[0], gaps[0], top = own, own, -1.0, 1
        while True:
            while top:
                top -= 1
                node = stack[top]
                if gaps[top] >= worst:
                    continue
                if node < leaves:
                    a, b = _between(low, high, own, 2 * node, squares), _between(low, high, own, 2 * node + 1, squares)
                    swap = b < a  # the nearer one is next
                    stack[top], gaps[top] = 2 * node + 1 - swap, max(a, b)
                    stack[top + 1], gaps[top + 1] = 2 * node + swap, min(a, b)
                    top += 2
                    continue
                for i in range(width):
                    away[i] = 0.0
                for j in range(d):
                    floor, ceiling = low[node, j], high[node, j]
                    for i in range(width):
                        below, above = floor - tiles[leaf, j, i], tiles[leaf, j, i] - ceiling
                        beyond = below if below > above else above
                        beyond = beyond if beyond > 0.0 else 0.0
                        if squares:
                            away[i] += beyond * beyond
                        else:
                            away[i] = beyond if beyond > away[i] else away[i]
                count = 0
                for i in range(size):
                    asked[count] = i
                    count += away[i] < bounds[i]
                if not count:
                    continue
                other = node - leaves
                begin = other * n // leaves
                for s in range(count):
                    r = asked[s]
                    for i in range(width):
                        far[i] = 0.0
                    for j in range(d):
                        value = tiles[leaf, j, r]
                        for i in range(width):
                            beyond = tiles[other, j, i] - value
                            if squares:
                                far[i] += beyond * beyond
                            else:
                                far[i] = abs(beyond) if abs(beyond) > far[i] else far[i]
                    if other == leaf:
                        far[r] = np.inf
                    nearer, bound = 0, bounds[r]
                    for i in range(width):
                        hits[nearer] = i
                        nearer += far[i] < bound
                    if k <= _SWAPS:
                        for t in range(nearer):
                            _swap_in(best, found, r, far[hits[t]], begin + hits[t])
                    else:
                        for t in range(nearer):
                            _shift_in(best, found, r, far[hits[t]], begin + hits[t])
                    bounds[r] = best[r, k - 1]
                worst = 0.0
                for i in range(size):
                    worst = bounds[i] if bounds[i] > worst else worst
            if home == 1:
                break
            stack[0], gaps[0], top = home ^ 1, _between(low, high, own, home ^ 1, squares), 1
            home //= 2
        for r in range(size):
            i = order[start + r]
            for s in range(k):
                distances[i, s] = np.sqrt(best[r, s]) if squares else best[r, s]
                neighbors[i, s] = order[found[r, s]]


COMPILED: bool = hasattr(_search, "py_func")
