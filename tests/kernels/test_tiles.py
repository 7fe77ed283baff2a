"""Tiles cover all rows, in order, within the bound; work is the same on one core and on all."""

import numpy as np

from itssl.kernels import tiles as module
from itssl.kernels.tiles import map_tiles, tiles


def test_tiles_cover_everything_in_bounded_memory():
    for n in (1, 5, 10_000):
        parts = list(tiles(n))
        np.testing.assert_array_equal(np.concatenate([np.arange(n)[p] for p in parts]), np.arange(n))
        assert all((p.stop - p.start) * n * 8 <= 2**25 for p in parts)


def test_work_is_done_in_order(monkeypatch):
    monkeypatch.setattr(module, "TILE_BYTES", 8 * 3 * 100)
    assert [part.start for part in map_tiles(lambda rows: rows, 100)] == list(range(0, 100, 3))
