"""The inner loops of :mod:`itssl.kernels.chebyshev`, compiled by numba where it is installed.

Each function compares the same differences as its namesake there, and holds no lock of Python while it works. They are
compiled when first called, in four seconds, once for all processes where the package's folder or the user's cache can
be written.
"""

from functools import partial
from typing import Any, no_type_check

import numpy as np

try:
    from llvmlite import ir  # pyright: ignore[reportMissingImports]
    from numba import config, njit, types  # pyright: ignore[reportMissingImports]
    from numba.extending import intrinsic  # pyright: ignore[reportMissingImports]

    AVAILABLE = not config.DISABLE_JIT
except ImportError:  # it is optional, and may not know the latest numpy yet
    ir: Any = None
    njit: Any = None
    types: Any = None
    intrinsic: Any = None
    AVAILABLE = False

WORDS = 8  # of a set: one or a few registers; the table of a block is 32 KiB
_CELLS = 1  # of a grid for each number on a line: bisection is cheap here
_COLUMNS = 16  # whose differences are compared with a radius before it is asked whether one is beyond
_EPS, _TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)


def _compile(function: Any, **options: Any) -> Any:
    if not AVAILABLE:
        return function
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # there is no folder in which it may be kept
        return njit(function, **options)


_inline = partial(_compile, inline="always")
_maximum = partial(_compile, fastmath={"nnan", "nsz"})  # numbers may be taken in any order: their maximum is exact


@_compile
@no_type_check
def first_beyond(line, start, radius):
    """For each row the first place on the sorted line, from its start on, that is further than its radius away."""
    cells = _CELLS * len(line)
    least, most, half = line[0], line[-1], line[0] / 2
    scale = cells / max(most / 2 - half, cells * _TINY)
    before = np.zeros(cells + 1, dtype=np.int32)
    for z in line:
        before[_cell(z, half, scale, cells) + 1] += 1
    for cell in range(cells):
        before[cell + 1] += before[cell]
    found = np.empty(len(start), dtype=np.int32)
    for i in range(len(start)):
        end = min(max(start[i] + radius[i], least), most)
        blur = 4 * _EPS * (abs(end) + abs(start[i]))
        low = before[_cell(end - blur, half, scale, cells)]
        high = before[_cell(end + blur, half, scale, cells) + 1]
        while low < high:
            middle = (low + high) // 2
            if line[middle] - start[i] >= radius[i]:
                high = middle
            else:
                low = middle + 1
        found[i] = high
    return found


@_inline
@no_type_check
def _cell(z, half, scale, cells):
    return int(min(max((z / 2 - half) * scale, 0.0), cells - 1.0))


@_compile
@no_type_check
def narrow(sets, rank, windows, first, size, starts, stops, inside):
    """sets[b, r]: members among rows first, …, first + size − 1 of the box of row starts[b] + r."""
    n = rank.shape[1]
    member, below = np.full(n, -1, dtype=np.int16), np.empty(n + 1, dtype=np.int16)
    ascending, table = np.empty(size + 1, dtype=np.int16), np.zeros((size + 1, WORDS), dtype=np.uint64)
    for c in range(len(rank)):
        if inside[c].all():
            continue
        for j in range(size):
            member[rank[c, first + j]] = j
        count = 0
        for r in range(n):
            below[r] = count
            ascending[count] = member[r]
            count += member[r] >= 0
        below[n] = count
        for j in range(size):
            member[rank[c, first + j]] = -1
            table[j + 1] = table[j]
            table[j + 1, ascending[j] // 64] |= np.uint64(1) << np.uint64(ascending[j] % 64)
        for b in range(len(starts)):
            if not inside[c, b]:
                members, start = sets[b], starts[b]
                for r in range(stops[b] - start):
                    _keep(members, r, table, below[windows[c, 0, start + r]], below[windows[c, 1, start + r]])


@no_type_check
def _kept(_, sets, row, table, low, high):
    """sets[row] &= table[low] ^ table[high], in vectors: loops over a few words stay scalar."""

    def code(context, builder, signature, args):
        vector, wide = ir.VectorType(ir.IntType(64), WORDS), ir.IntType(64)

        def place(array, index):
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            at = builder.mul(builder.sext(args[index], wide), wide(WORDS))
            return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())

        ends = [builder.load(place(2, end), align=8) for end in (3, 4)]
        members = place(0, 1)
        builder.store(builder.and_(builder.load(members, align=8), builder.xor(*ends)), members, align=8)
        return context.get_dummy_value()

    return types.void(sets, row, table, low, high), code


_keep: Any = intrinsic(_kept) if AVAILABLE else None


@_compile
@no_type_check
def nearest_in_sample(x, z, first, start, stop, distances, rows):
    """Fill in, for rows start, …, stop − 1, k rows that are near among those whose columns z has, from row first on."""
    k, size = distances.shape[1], z.shape[1]
    away, least, found = (
        np.empty(size, dtype=z.dtype),
        np.empty((1, k), dtype=z.dtype),
        np.empty((1, k), dtype=np.int64),
    )
    for i in range(start, stop):
        away[:] = 0
        for c in range(len(z)):
            own = z[c, i - first]
            for j in range(size):
                difference = abs(z[c, j] - own)
                away[j] = difference if difference > away[j] else away[j]  # max(…) would not be done in vectors
        away[i - first] = np.inf
        least[:] = np.inf
        for j in range(size):
            if away[j] < least[0, k - 1]:
                _insert(least, found, 0, away[j], j)
        distances[i] = np.inf
        for j in found[0]:
            _insert(distances, rows, i, _distance(x, i, first + j), first + j)


@_compile
@no_type_check
def add_members(x, bits, row, first, radius, distances, rows):
    """Put the members of the sets, row first + c for bit c, among the nearest of rows row, row + 1, …"""
    k = distances.shape[1]
    for r in range(len(bits)):
        i = row + r
        for w in range(bits.shape[1]):
            word = bits[r, w]
            while word:
                lowest = word & (~word + np.uint64(1))
                word ^= lowest
                j = first + 64 * w + _ones(lowest - np.uint64(1))
                if j != i and not _is_beyond(x, i, j, min(distances[i, k - 1], radius[i])):
                    _insert(distances, rows, i, _distance(x, i, j), j)


@_inline
@no_type_check
def _is_beyond(x, i, j, bound):
    """Whether max |x_i − x_j| ≥ bound, known from the first columns as a rule."""
    whole = x.shape[1] // _COLUMNS * _COLUMNS
    beyond = False
    for start in range(0, whole, _COLUMNS):
        for c in range(start, start + _COLUMNS):
            beyond |= abs(x[i, c] - x[j, c]) >= bound
        if beyond:
            return True
    for c in range(whole, x.shape[1]):
        beyond |= abs(x[i, c] - x[j, c]) >= bound
    return beyond


@_maximum
@no_type_check
def _distance(x, i, j):
    distance = 0.0
    for c in range(x.shape[1]):
        difference = abs(x[i, c] - x[j, c])
        distance = difference if difference > distance else distance
    return distance


@_inline
@no_type_check
def _insert(ascending, rows, i, number, row):
    """Where the number belongs among those of line i; the largest of them falls out."""
    place = ascending.shape[1] - 1
    while place > 0 and ascending[i, place - 1] >= number:
        ascending[i, place], rows[i, place] = ascending[i, place - 1], rows[i, place - 1]
        place -= 1
    ascending[i, place], rows[i, place] = number, row


@_inline
@no_type_check
def _ones(word):
    """How many bits are set; compiled to one instruction."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
