"""Compiled Chebyshev counts and neighbors against those in numpy and against all differences, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.test_chebyshev import COUNTED, TRAPS, assert_nearest, distance_twin, trap

from itssl.arrays import stream
from itssl.kernels import chebyshev, compiled_chebyshev
from itssl.kernels.chebyshev import chebyshev_counts, chebyshev_neighbors
from itssl.kernels.neighbor_counts import marginal_counts

pytestmark = pytest.mark.skipif(not compiled_chebyshev.AVAILABLE, reason="numba is not installed: extra [fast]")


@pytest.fixture
def always_compiled(monkeypatch):
    """Whatever the size, in many blocks, batches, samples and threads."""
    sizes = {"_BLOCK": 70, "_ROWS": 24, "_BATCHES": 2, "_SAMPLE": 32, "_GROUP": 4, "_FEW": 1}
    for name, value in {**sizes, "_THREADED": 0, "_COMPILED": 0}.items():
        monkeypatch.setattr(chebyshev, name, value)


@pytest.mark.parametrize("d", [2, 16, 37])
@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.usefixtures("always_compiled")
def test_counts_and_neighbors_on_traps(name, d):
    """Radii that tie with distances, and rows without any; differences are looked at in lots of 16, and the rest."""
    rng = stream(0, "traps", name, d)
    x = trap(name, 150, d, rng)
    away = distance_twin(x)
    nearest = np.sort(away, axis=1)
    mixed = np.where(np.arange(150) % 3 == 0, 0.0, nearest[np.arange(150), rng.integers(0, 149, 150)])
    for radius in (nearest[:, 3], mixed):
        for edge, compare in COUNTED.items():
            counts = chebyshev_counts(x, radius, edge)
            np.testing.assert_array_equal(counts, compare(away, radius[:, None]).sum(axis=1))
    assert_nearest(x, 4, chebyshev_neighbors(x, 4))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-1070, 990), shift=st.sampled_from([0.0, 1.0, 1e3, 1e9]))
def test_windows_end_where_those_in_numpy_do(seed, exponent, shift):
    rng = stream(seed, "windows")
    line = np.sort(np.ldexp(shift + np.round(rng.normal(size=40), 2), exponent))
    start = np.ldexp(shift + np.round(rng.normal(size=40), 2), exponent)
    radius = np.abs(line[rng.permutation(40)] - start)
    for r in (radius, np.nextafter(radius, np.inf), np.nextafter(radius, 0), np.full(40, np.inf)):
        found = compiled_chebyshev.first_beyond(line, start, r)
        np.testing.assert_array_equal(found, chebyshev._first_beyond(line, start, r))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 512), d=st.integers(1, 4))
def test_sets_are_those_of_numpy(seed, size, d):
    """Of blocks of every size, in batches of different length, in any column of which all may be inside."""
    rng, n = stream(seed, "sets"), 600
    rank = np.array([rng.permutation(n) for _ in range(d)], dtype=np.int32)
    windows = np.sort(rng.integers(0, n + 1, (d, 2, n)), axis=1).astype(np.int32)
    starts, stops, inside = np.array([0, 64, 512]), np.array([64, 128, 600]), rng.random((d, 3)) < 0.3
    given_sets = rng.integers(0, 2**64, (3, 88, 8), dtype=np.uint64)
    given_sets &= np.packbits(np.arange(512) < size, bitorder="little").view("<u8").astype(np.uint64)
    sets, first = given_sets.copy(), int(rng.integers(0, n - size + 1))
    compiled_chebyshev.narrow(sets, rank, windows, first, size, starts, stops, inside)
    words = -(-size // 64)
    twin = given_sets[..., :words].copy()
    chebyshev._narrow(twin, rank, windows, first, size, starts, stops, inside)
    np.testing.assert_array_equal(sets[..., :words], twin)
    for b in np.flatnonzero(~inside.all(axis=0)):
        assert not sets[b, : stops[b] - starts[b], words:].any()


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.usefixtures("always_compiled")
def test_bounds_from_samples_are_distances_of_that_many_rows(k):
    x = trap("copies", 90, 5, stream(0, "samples"))
    distances, rows = chebyshev._nearest_in_samples(x, k)
    np.testing.assert_array_equal(np.take_along_axis(distance_twin(x), rows, axis=1), distances)
    assert (np.diff(distances) >= 0).all()
    assert all(len(set(row)) == k and i not in row for i, row in enumerate(rows))


def test_all_bits_are_members():
    """All pairs are candidates; those at the radius itself are not listed twice."""
    x = np.round(stream(0, "members").normal(size=(130, 20)), 1)
    away = distance_twin(x)
    radius = np.sort(away, axis=1)[:, 2]
    distances, rows = np.full((130, 2), np.inf), np.zeros((130, 2), dtype=np.intp)
    for first in range(0, 130, 65):
        bits = np.tile(np.array([2**64 - 1, 1], dtype=np.uint64), (130, 1))
        compiled_chebyshev.add_members(x, bits, 0, first, radius, distances, rows)
    nearer = np.sort(np.where(away < radius[:, None], away, np.inf), axis=1)[:, :2]
    np.testing.assert_array_equal(distances, nearer)
    listed = np.isfinite(distances)
    np.testing.assert_array_equal(np.take_along_axis(away, rows, axis=1)[listed], distances[listed])


@pytest.mark.usefixtures("always_compiled")
def test_ranges_beyond_the_largest_number():
    x = np.array([[-1.7e308, 0], [1.7e308, 1], [0, 2], [1e308, 3], [-1e308, 5]])
    with np.errstate(over="ignore"):
        away = distance_twin(x)
    radius = np.array([1e308, 1e308, 1.5e308, np.inf, 1.7e308])
    np.testing.assert_array_equal(chebyshev_counts(x, radius, "strict"), (away < radius[:, None]).sum(axis=1))


@pytest.mark.usefixtures("always_compiled")
def test_inputs_are_read_only_and_may_have_any_layout():
    x = stream(0, "layout").normal(size=(200, 8))[::2, ::-2]
    for z in (x, np.asfortranarray(x)):
        z.flags.writeable = False
        radius = np.full(100, 0.8)
        radius.flags.writeable = False
        np.testing.assert_array_equal(chebyshev_counts(z, radius, "strict"), (distance_twin(z) < 0.8).sum(axis=1))
        assert_nearest(z, 3, chebyshev_neighbors(z, 3))


def test_large_samples_are_compiled_and_small_ones_are_not():
    assert chebyshev._compiled(10_000, 32) is compiled_chebyshev
    assert chebyshev._compiled(1000, 32) is None


def test_counts_of_ksg_are_those_of_numpy(monkeypatch):
    """On threads, with blocks as large as they are."""
    x, y = stream(0, "ksg").normal(size=(2, 2100, 16))
    y = x + y
    loops = chebyshev._loops
    counts = []
    for compiled in (loops, lambda: None):
        monkeypatch.setattr(chebyshev, "_COMPILED", 0)
        monkeypatch.setattr(chebyshev, "_loops", compiled)
        counts.append(marginal_counts(x, y, 4, "chebyshev", 1))
    np.testing.assert_array_equal(*counts)
