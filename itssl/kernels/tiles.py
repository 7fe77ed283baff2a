"""Rows in tiles that fit a bound of memory."""

from collections.abc import Iterator

TILE_BYTES = 2**25


def tiles(n: int, *, width: int | None = None) -> Iterator[slice]:
    """Slices of range(n) such that a float64 tile of rows × width (n unless given) stays below 32 MiB.

    >>> list(tiles(3))
    [slice(0, 3, None)]
    """
    step = max(1, TILE_BYTES // (8 * (width or n)))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
