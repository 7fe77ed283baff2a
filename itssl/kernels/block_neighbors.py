"""Neighbors within blocks of a sample, read off one list of neighbors in the whole sample.

The k nearest rows of a row's own block are the first k rows of that block in the list of its K nearest of all rows, if
the list holds so many: whatever is not listed is no nearer. One search so answers any number of partitions.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.chebyshev import row_distances
from itssl.kernels.neighbor_counts import counts_within
from itssl.kernels.neighbors import NORMS, Norm, power_of_two
from itssl.kernels.tiles import tiles

_SHORT_ROWS = 16  # measured at d = 2, 8, 32, 128, n = 10⁴: fewer cost more in length of lists than they save
_CELLS = 2**18  # entries of lists that are looked at together


def list_length(n: int, blocks: int, k: int) -> int:
    r"""How long lists must be so that about 16 of n rows, in a random partition into ``blocks``, find fewer than k.

    Of the K nearest rows of a row so many are of its block as in K draws without replacement from n − 1, of which
    n/blocks − 1 count. The tail P(fewer than k) is taken from the binomial law, whose tails are wider.

    >>> list_length(10**4, 4, 4), list_length(10**4, 4, 16)
    (45, 114)
    """
    from scipy.special import betainc

    lengths = np.arange(k, n, dtype=float)
    lengths = lengths[: 8 * blocks * k + 512]
    fewer = betainc(lengths - (k - 1), k, 1 - (n / blocks - 1) / (n - 1))
    enough = np.flatnonzero(n * fewer <= _SHORT_ROWS)
    return int(lengths[enough[0]]) if enough.size else n - 1


def first_of_block(
    found: Int[np.ndarray, "n K"], block: Int[np.ndarray, " n"], k: int
) -> tuple[Int[np.ndarray, "n k"], Int[np.ndarray, " s"]]:
    """Where in each row's list its first k rows of the same block stand; and the rows whose list has fewer (zeros).

    >>> found = np.array([[1, 2], [2, 0], [0, 1]])
    >>> first_of_block(found, np.array([0, 1, 0], dtype=np.int8), 1)
    (array([[1],
           [0],
           [0]]), array([1]))
    """
    n, listed = found.shape
    places, short = np.zeros((n, k), dtype=np.intp), []
    step = max(1, _CELLS // listed)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        same = np.flatnonzero(block.take(found[rows]) == block[rows, None])
        first = np.searchsorted(same, listed * np.arange(rows.stop - rows.start + 1))
        enough = np.diff(first) >= k
        at = first[:-1][enough]
        places[rows][enough] = same.take(at[:, None] + np.arange(k)) % listed
        short.append(np.flatnonzero(~enough) + rows.start)
    return places, np.concatenate(short)


def nearest_within(
    x: Samples, rows: Int[np.ndarray, " s"], block: Int[np.ndarray, " m"], k: int, norm: Norm
) -> tuple[Float[np.ndarray, "s k"], Int[np.ndarray, "s k"]]:
    """Distances from some rows of x to, and rows of, the k nearest others of ``block``, from all differences.

    For norms with a name and orders 1, 2 and ∞.

    >>> nearest_within(np.array([[0.0], [1.0], [3.0]]), np.array([0]), np.array([0, 2]), 1, "euclidean")
    (array([[3.]]), array([[2]]))
    """
    from scipy.spatial.distance import cdist

    names: dict[float, Any] = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
    unit, members = power_of_two(x), x[block]
    members = members / unit
    distances, nearest = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.intp)
    for part in tiles(len(rows), width=len(block)):
        away = cdist(x[rows[part]] / unit, members, names[order_of(norm)])
        away[rows[part, None] == block] = np.inf
        some = np.argpartition(away, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(some, np.argsort(np.take_along_axis(away, some, axis=1), axis=1), axis=1)
        distances[part], nearest[part] = np.take_along_axis(away, best, axis=1) * unit, block[best]
    return distances, nearest


def block_numbers(parts: Sequence[Int[np.ndarray, " _"]], n: int) -> Int[np.ndarray, " n"]:
    """The number of the part that holds each row.

    >>> block_numbers([np.array([0, 2]), np.array([1])], 3).tolist()
    [0, 1, 0]
    """
    block = np.empty(n, dtype=np.min_scalar_type(-len(parts)))
    for number, rows in enumerate(parts):
        block[rows] = number
    return block


def order_of(norm: Norm) -> float:
    """p of a norm.

    >>> order_of("euclidean"), order_of(3.0)
    (2.0, 3.0)
    """
    return NORMS[norm] if isinstance(norm, str) else float(norm)


def listed_counts(
    x: Samples, y: Samples, nearest: Int[np.ndarray, "n k"], variant: Literal[1, 2],
    parts: Sequence[Int[np.ndarray, " _"]],
) -> list[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]]:  # fmt: skip
    """For each part :func:`itssl.kernels.neighbor_counts.marginal_counts` of its rows (Chebyshev).

    ``nearest`` holds the k joint neighbors of each row within its part, nearest first, as rows of x and y.

    >>> x, everything = np.array([[0.0], [1.0], [3.0]]), np.arange(3)
    >>> listed_counts(x, x, np.array([[1], [0], [1]]), 2, [everything])[0][0]
    array([1, 1, 1])
    """
    if variant == 1:
        nearest = nearest[:, -1:]
    (n, k), edge = nearest.shape, "strict" if variant == 1 else "inclusive"
    own, other = np.repeat(np.arange(n), k), nearest.ravel()
    radii = [row_distances(z, own, other).reshape(n, k).max(axis=1) for z in (x, y)]
    if variant == 1:
        radii = 2 * [np.maximum(*radii)]
    pairs = list(zip((x, y), radii, strict=True))
    n_x, n_y = ([counts_within(z[rows], radius[rows], edge) for rows in parts] for z, radius in pairs)
    return list(zip(n_x, n_y, strict=True))
