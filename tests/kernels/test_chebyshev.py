"""Chebyshev counts and neighbors by sets of bits against all differences: on every trap, in blocks, on threads."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.kernels import chebyshev as kernel
from itssl.kernels.chebyshev import chebyshev_counts, chebyshev_neighbors
from itssl.kernels.threads import cores

COUNTED: dict[Any, Any] = {"strict": np.less, "inclusive": np.less_equal}


def distance_twin(x):
    """All distances; a row is infinitely far from itself."""
    away = np.abs(x[:, None] - x[None]).max(axis=2)
    np.fill_diagonal(away, np.inf)
    return away


def assert_nearest(x, k, found):
    away = distance_twin(x)
    distances, rows = found
    np.testing.assert_array_equal(distances, np.sort(away, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(away, rows, axis=1), distances)
    assert all(len(set(row)) == k for row in rows)


def trap(name, n, d, rng):
    """Samples on which neighbor searches go wrong; the radii between them tie, coincide, or differ by rounding."""
    x = rng.normal(size=(n, d))
    if name.startswith("pairs"):
        x[1::2] = x[: n - n % 2 : 2] + float(name.split()[1]) * x[1::2]
    elif name == "clusters":
        x = 50 * x[np.arange(n) // 50] + 1e-6 * x
    elif name == "offset":
        x = 1000 + x
    elif name.startswith("scale"):
        x = np.ldexp(x, int(name.split()[1]))
    elif name == "lattice":
        x = np.round(x)
    elif name == "tenths":  # differences of 0.3 − 0.2 and 0.2 − 0.1 tie on paper, and not in floating point
        x = np.round(x, 1)
    elif name == "copies":
        x = np.repeat(x[: -(-n // 3)], 3, axis=0)[:n]
    elif name == "far cluster":
        x[: n // 4] = 1e6 + 1e-6 * x[: n // 4]
    elif name == "constant column":
        x[:, 0] = 3
    elif name == "heavy tails":
        x = np.tan(np.pi * (rng.random((n, d)) - 0.5))
    return x


TRAPS = (
    "normal", "pairs 1e-3", "pairs 1e-4", "pairs 1e-7", "clusters", "offset", "scale 40", "scale -40", "scale 1000",
    "scale -1000", "lattice", "tenths", "copies", "far cluster", "constant column", "heavy tails",
)  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks, batches, samples and threads on few rows."""
    sizes = {"_BLOCK": 40, "_ROWS": 24, "_BATCHES": 2, "_SAMPLE": 32, "_TILE": 7, "_GROUP": 4, "_NUMBERS": 40}
    for name, value in {**sizes, "_THREADED": 0}.items():
        monkeypatch.setattr(kernel, name, value)


@pytest.mark.parametrize("d", [1, 6])
@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.usefixtures("small_blocks")
def test_counts_and_neighbors_on_traps(name, d):
    rng = stream(0, "traps", name, d)
    x = trap(name, 107, d, rng)
    away = distance_twin(x)
    nearest = np.sort(away, axis=1)
    mixed = np.where(np.arange(107) % 3 == 0, 0.0, nearest[np.arange(107), rng.integers(0, 106, 107)])
    for radius in (nearest[:, 3], mixed):
        for edge, compare in COUNTED.items():
            counts = chebyshev_counts(x, radius, edge)
            np.testing.assert_array_equal(counts, compare(away, radius[:, None]).sum(axis=1))
    assert_nearest(x, 4, chebyshev_neighbors(x, 4))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(2, 70), d=st.integers(1, 6), k=st.integers(1, 5),
    name=st.sampled_from(TRAPS), edge=st.sampled_from(["strict", "inclusive"]),
)  # fmt: skip
def test_small_samples_equal_the_definition(seed, n, d, k, name, edge):
    """Down to one row more than neighbors."""
    rng = stream(seed, "chebyshev")
    x = trap(name, n, d, rng)
    away = distance_twin(x)
    radius = np.abs(x - x[rng.permutation(n)]).max(axis=1)
    np.testing.assert_array_equal(chebyshev_counts(x, radius, edge), COUNTED[edge](away, radius[:, None]).sum(axis=1))
    assert_nearest(x, min(k, n - 1), chebyshev_neighbors(x, min(k, n - 1)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-1070, 990), shift=st.sampled_from([0.0, 1.0, 1e3, 1e9]))
def test_windows_end_where_the_rounded_difference_does(seed, exponent, shift):
    """Rows whose radius is a rounded difference, one float more, or one less, at any scale."""
    rng = stream(seed, "windows")
    line = np.sort(np.ldexp(shift + np.round(rng.normal(size=40), 2), exponent))
    start = np.ldexp(shift + np.round(rng.normal(size=40), 2), exponent)
    radius = np.abs(line[rng.permutation(40)] - start)
    for r in (radius, np.nextafter(radius, np.inf), np.nextafter(radius, 0)):
        twin = [np.argmax(np.append(line - s, np.inf) >= q) for s, q in zip(start, r, strict=True)]
        np.testing.assert_array_equal(kernel._first_beyond(line, start, r), twin)


@pytest.mark.parametrize("d", [1, 3])
def test_all_and_none_within(d):
    x = stream(0, "radii").normal(size=(50, d))
    for radius, strict, inclusive in ((0.0, 0, 0), (1e300, 49, 49), (np.inf, 49, 49), (5e-324, 0, 0)):
        assert (chebyshev_counts(x, np.full(50, radius), "strict") == strict).all()
        assert (chebyshev_counts(x, np.full(50, radius), "inclusive") == inclusive).all()


def test_blocks_known_from_their_extremes_are_not_searched(monkeypatch):
    """A narrow curve in the plane: most pairs of blocks are apart, and most others inside; counts stay exact."""
    t = np.sort(stream(0, "curve").random(1000))
    x = np.column_stack([t, np.round(t, 1)])
    tables = []
    make = kernel._prefixes
    monkeypatch.setattr(kernel, "_prefixes", lambda rank: tables.append(len(rank)) or make(rank))
    for name, value in {"_BLOCK": 64, "_ROWS": 64, "_BATCHES": 1, "_SAMPLE": 64}.items():
        monkeypatch.setattr(kernel, name, value)
    radius = np.full(1000, 0.02)
    np.testing.assert_array_equal(chebyshev_counts(x, radius, "strict"), (distance_twin(x) < 0.02).sum(axis=1))
    assert len(tables) < 2 * 16**2 / 4


def test_candidates_are_looked_at_within_the_memory(monkeypatch):
    """Every pair is a candidate where the samples are useless; they come in parts of the size asked for."""
    x = stream(0, "memory").normal(size=(300, 3))
    sizes, distances = [], kernel.row_distances
    monkeypatch.setattr(kernel, "row_distances", lambda x, i, j: sizes.append(len(i)) or distances(x, i, j))
    far = np.argsort(-distance_twin(x), axis=1)[:, 1:3]
    monkeypatch.setattr(kernel, "_nearest_in_samples", lambda x, k: (distances_of(x, far), far.copy()))
    found = chebyshev_neighbors(x, 2, max_memory=cores() * 2**16)
    assert_nearest(x, 2, found)
    assert max(sizes) <= 2**16 // kernel._PAIR_BYTES
    assert sum(sizes) > 300 * 250


def distances_of(x, rows):
    return np.abs(x[rows] - x[:, None]).max(axis=2)


def test_inputs_are_read_only_and_may_have_any_layout():
    x = stream(0, "layout").normal(size=(200, 8))[::2, ::-2]
    x.flags.writeable = False
    radius = np.full(100, 0.8)
    radius.flags.writeable = False
    np.testing.assert_array_equal(chebyshev_counts(x, radius, "strict"), (distance_twin(x) < 0.8).sum(axis=1))
    assert_nearest(x, 3, chebyshev_neighbors(x, 3))


def test_sizes_without_numpy_2(monkeypatch):
    bits = stream(0, "bits").integers(0, 2**63, size=(5, 3), dtype=np.uint64)
    expected = [sum(int(word).bit_count() for word in row) for row in bits]
    np.testing.assert_array_equal(kernel._sizes(bits), expected)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(kernel._sizes(bits), expected)


@pytest.mark.parametrize("few", [1, 10])
@pytest.mark.parametrize("d", [1, 2])
def test_ranges_beyond_the_largest_number(monkeypatch, d, few):
    """Differences that overflow are infinite: farther than any radius, unless that is inclusive and infinite."""
    monkeypatch.setattr(kernel, "_FEW", few)
    x = np.array([[-1.7e308, 0], [1.7e308, 1], [0, 2], [1e308, 3], [-1e308, 5], [1.6e308, 5]])[:, :d]
    radius = np.array([1e308, 1e308, 1.5e308, np.inf, 1.7e308, 1e307])
    with np.errstate(over="ignore"):
        away = distance_twin(x)
    for edge, compare in COUNTED.items():
        expected = compare(away, radius[:, None]).sum(axis=1)
        expected[3] -= edge == "inclusive"  # the diagonal of the twin
        np.testing.assert_array_equal(chebyshev_counts(x, radius, edge), expected)


@pytest.mark.parametrize("n", [5, 300])
@pytest.mark.parametrize("d", [1, 3])
def test_a_radius_that_is_no_number_is_refused(n, d):
    x, radius = stream(0, "nan").normal(size=(n, d)), np.ones(n)
    radius[3] = np.nan
    with pytest.raises(ParameterError, match="radius: expected a number for each row, got nan in row 3"):
        chebyshev_counts(x, radius, "strict")


def test_without_numba_all_samples_go_through_numpy(monkeypatch):
    from itssl.kernels import compiled_chebyshev

    monkeypatch.setattr(compiled_chebyshev, "AVAILABLE", False)
    kernel._loops.cache_clear()
    assert kernel._compiled(10**5, 128) is None
    kernel._loops.cache_clear()
