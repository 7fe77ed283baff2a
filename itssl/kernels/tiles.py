"""Rows in tiles that fit a bound of memory, worked through on all cores."""

from collections.abc import Callable, Iterator
from typing import Any

TILE_BYTES = 2**25


def tiles(n: int, *, width: int | None = None) -> Iterator[slice]:
    """Slices of range(n) such that a float64 tile of rows × width (n unless given) stays below 32 MiB.

    >>> list(tiles(3))
    [slice(0, 3, None)]
    """
    step = max(1, TILE_BYTES // (8 * (width or n)))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def map_tiles(work: Callable[[slice], Any], n: int, width: int = 0) -> list[Any]:
    """work(rows) for slices of rows whose tiles of n (or more: ``width``) numbers a row fit the bound, on all cores.

    >>> map_tiles(lambda rows: rows.stop, 5)
    [5]
    """
    from joblib import Parallel, delayed

    parts = list(tiles(n, width=max(n, width)))
    if len(parts) == 1:  # joblib would poll for it for 10 ms
        return [work(parts[0])]
    return Parallel(n_jobs=-1, prefer="threads")(delayed(work)(rows) for rows in parts)  # pyright: ignore
