"""Tiles cover all rows, in order, within the bound."""

import numpy as np

from itssl.kernels.tiles import tiles


def test_tiles_cover_everything_in_bounded_memory():
    for n in (1, 5, 10_000):
        parts = list(tiles(n))
        np.testing.assert_array_equal(np.concatenate([np.arange(n)[p] for p in parts]), np.arange(n))
        assert all((p.stop - p.start) * n * 8 <= 2**25 for p in parts)
