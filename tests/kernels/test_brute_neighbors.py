"""Brute-force neighbors against a naive twin in extended precision; the certificate against what it promises."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.kernels import brute_neighbors as kernel
from itssl.kernels.brute_neighbors import brute_cross_neighbors, brute_neighbors

ROUNDING = 16 * np.finfo(float).eps


def squares_twin(x, y=None):
    """All squared distances from the definition, in extended precision; a row is infinitely far from itself."""
    square = np.array([((row.astype(np.longdouble) - (x if y is None else y)) ** 2).sum(axis=1) for row in x])
    if y is None:
        np.fill_diagonal(square, np.inf)
    return square


def repeated(rng, n, d, times, spread):
    return np.repeat(rng.normal(size=(-(-n // times), d)), times, axis=0)[:n] + spread * rng.normal(size=(n, d))


DATA = {
    "gaussian": lambda rng, n, d: rng.normal(size=(n, d)),
    "offset 1000": lambda rng, n, d: 1000 + rng.normal(size=(n, d)),
    "near-duplicates 1e-3": lambda rng, n, d: repeated(rng, n, d, 4, 1e-3),
    "near-duplicates 1e-4, offset 1000": lambda rng, n, d: 1000 + repeated(rng, n, d, 4, 1e-4),
    "near-duplicates 1e-7": lambda rng, n, d: repeated(rng, n, d, 4, 1e-7),
    "clusters of 50": lambda rng, n, d: repeated(rng, n, d, 50, 1e-3),
    "two tight clusters": lambda rng, n, d: repeated(rng, n, d, -(-n // 2), 1e-9),
    "scale 1e-12": lambda rng, n, d: 1e-12 * rng.normal(size=(n, d)),
    "scale 1e12": lambda rng, n, d: 1e12 * rng.normal(size=(n, d)),
    "tight cluster far away": lambda rng, n, d: np.r_[
        1e-10 * rng.normal(size=(n // 2, d)), 1e6 + rng.normal(size=(n - n // 2, d))
    ],
    "lattice": lambda rng, n, d: rng.integers(0, 3, size=(n, d)).astype(float),
    "copies": lambda rng, n, d: repeated(rng, n, d, 6, 0.0),
    "constant": lambda rng, n, d: np.full((n, d), 0.1),
    "one far away": lambda rng, n, d: np.r_[rng.normal(size=(n - 1, d)), np.full((1, d), 1e9)],
}


def assert_nearest(squares, distances, rows, k):
    """Distances and rows are those of k nearest columns, in order, each column once."""
    np.testing.assert_allclose(distances, np.sqrt(np.sort(squares, axis=1)[:, :k]).astype(float), rtol=ROUNDING)
    again = np.sqrt(np.take_along_axis(squares, rows, axis=1)).astype(float)
    np.testing.assert_allclose(again, distances, rtol=ROUNDING)
    assert all(len(set(row)) == k for row in rows)


@pytest.mark.parametrize("d", [2, 20, 70])
@pytest.mark.parametrize("kind", DATA)
def test_neighbors_equal_the_definition(kind, d):
    x = DATA[kind](stream(0, "brute", kind, d), 270, d)
    assert_nearest(squares_twin(x), *brute_neighbors(x, 5), 5)


@pytest.mark.parametrize("d", [2, 20, 70])
@pytest.mark.parametrize("kind", DATA)
def test_cross_neighbors_equal_the_definition(kind, d):
    z = DATA[kind](stream(0, "brute cross", kind, d), 330, d)
    x, y = z[::4], np.delete(z, np.s_[::4], axis=0)
    assert_nearest(squares_twin(x, y), *brute_cross_neighbors(x, y, 5), 5)


def test_queries_far_from_the_sample():
    rng = stream(0, "far queries")
    x, y = 1e5 + rng.normal(size=(40, 30)), rng.normal(size=(600, 30))
    assert_nearest(squares_twin(x, y), *brute_cross_neighbors(x, y, 3), 3)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(DATA)), k=st.integers(1, 12), more=st.integers(1, 12),
    d=st.sampled_from([1, 3, 17]), exponent=st.sampled_from([-900, 0, 900]),
)  # fmt: skip
def test_hardly_more_rows_than_neighbors(seed, kind, k, more, d, exponent):
    x = DATA[kind](stream(seed, "few rows"), k + more, d)
    squares, x = squares_twin(x), np.ldexp(x, exponent)
    distances, rows = brute_neighbors(x, k)
    assert_nearest(squares, np.ldexp(distances, -exponent), rows, k)
    own = squares_twin(np.ldexp(x, -exponent), np.ldexp(x, -exponent))
    distances, rows = brute_cross_neighbors(x, x, k)
    assert_nearest(own, np.ldexp(distances, -exponent), rows, k)


@pytest.mark.parametrize("kind", ["gaussian", "clusters of 50", "two tight clusters"])
def test_small_memory_changes_nothing(kind, monkeypatch):
    """Many tiles, of some rows and of some columns, say what one says, in all of the ways a row is looked for."""
    x = DATA[kind](stream(0, "tiles"), 450, 17)
    whole = brute_neighbors(x, 3)
    monkeypatch.setattr(kernel, "_COLUMNS", 200)
    for memory in (1, 2**17):
        for one, many in zip(whole, brute_neighbors(x, 3, max_memory=memory), strict=True):
            np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("kind", ["gaussian", "clusters of 50", "two tight clusters"])
@pytest.mark.parametrize("memory", [2**20, 2**22])
def test_memory_is_bounded(kind, memory):
    n, d, k = 1500, 24, 4
    x = DATA[kind](stream(0, "memory"), n, d)
    brute_neighbors(x[:50], k)  # imports
    tracemalloc.start()
    try:
        answer = brute_neighbors(x, k, max_memory=memory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    copy = 4 if kind == "gaussian" else 8
    allowed = sum(a.nbytes for a in answer) + copy * n * (d + 1) + 3 * 8 * n + 8 * kernel._BLOCK
    assert peak < allowed + memory + 2**17


@pytest.mark.slow
def test_memory_is_linear_in_the_rows():
    """10⁵ rows of 128 columns: 80 GB as a matrix of all pairs, here a copy of half the size of the data and tiles."""
    program = """
import numpy as np, resource
from itssl.kernels.brute_neighbors import MAX_MEMORY, brute_neighbors
x = np.random.default_rng(0).normal(size=(100_000, 128))
brute_neighbors(x[:2000], 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
distances, rows = brute_neighbors(x, 4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, (x.nbytes / 2 + MAX_MEMORY) / 1024)
for i in (0, 50_000, 99_999):
    far = np.delete(np.linalg.norm(x - x[i], axis=1), i)
    np.testing.assert_allclose(distances[i], np.sort(far)[:4], rtol=1e-14)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    used, allowed = map(float, out.split())
    assert used < 1.1 * allowed


def test_inputs_stay_as_they_are():
    x = np.asfortranarray(stream(0, "inputs").normal(size=(400, 18)))
    before = x.copy()
    x.flags.writeable = False
    assert_nearest(squares_twin(x), *brute_neighbors(x, 3), 3)
    assert_nearest(squares_twin(x[::2, ::3]), *brute_neighbors(x[::2, ::3], 3), 3)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 33, 200])
@pytest.mark.parametrize("kind", DATA)
def test_scores_bound_all_distances_from_below(kind, d, precision):
    """score + (1 − g) s_i ≤ ‖z_i − z_j‖² for every pair, and not by more than 4 g (s_i + s_j)."""
    x = DATA[kind](stream(0, "bound", kind, d), 100, d)
    columns = kernel._Columns.of(x, kernel._size(x), precision)
    left, offset = columns.left(x)
    bound = (left @ columns.right).astype(np.longdouble) + offset[:, None] - columns.underflow
    squares = squares_twin(x) / np.longdouble(columns.unit) ** 2
    size = offset[:, None] + offset + 2 * columns.underflow
    assert (bound <= squares).all()
    np.fill_diagonal(squares, 0.0)
    assert (squares - bound <= 4 * columns.g * size + 2 * columns.underflow).all()


@pytest.mark.parametrize("spare", [1, 6])
def test_no_row_is_certified_wrongly(spare, monkeypatch):
    """Rows that single precision alone got wrong, hundreds of them, are all found out by the certificate."""
    monkeypatch.setattr(kernel, "SPARE", spare)
    certified = wrong_without = 0
    for setting in range(16):
        rng = stream(setting, "certificate", spare)
        d, k, spread = int(rng.integers(2, 60)), int(rng.integers(1, 5)), 10.0 ** -rng.integers(1, 8)
        x = repeated(rng, 240, d, int(rng.integers(2, 60)), spread)
        squares = squares_twin(x)
        search = kernel._Search(x, x, k, True, kernel._Columns.of(x, kernel._size(x), np.float32), 2**24)
        hard = []

        def redo(parts, rows, highest, k=k, hard=hard):
            hard.extend(rows)
            return np.full((len(rows), k), np.inf), np.zeros((len(rows), k), dtype=np.intp), np.zeros(len(rows), bool)

        object.__setattr__(search, "within", redo)
        tile = np.empty(240 * search.width, dtype=np.float32)
        answer, _, done = search.by_scores(np.arange(240), tile)
        assert set(hard) == set(np.flatnonzero(~done))
        truth = np.sort(squares, axis=1)[:, :k].astype(float)
        np.testing.assert_allclose(answer[done], truth[done], rtol=ROUNDING)
        certified += done.sum()
        always = replace(search, columns=replace(search.columns, g=-1.0, underflow=-np.inf))
        alone, _, all_done = always.by_scores(np.arange(240), tile)
        assert all_done.all()
        wrong_without += (np.abs(alone / truth - 1) > ROUNDING).any(axis=1).sum()
    assert certified > 300
    assert wrong_without > 100


@pytest.mark.parametrize(("cluster", "spread", "levels"), [(1, 0.0, 0), (12, 1e-7, 1), (120, 1e-9, 3)])
def test_rows_in_doubt_are_looked_for_again(cluster, spread, levels, monkeypatch):
    """Near-duplicates by all columns within reach, tight clusters in double precision and by differences."""
    seen = {"within": 0, "double": 0, "by_differences": 0}
    within, by_differences = kernel._Search.within, kernel._Search.by_differences

    def count_within(self, parts, rows, *rest):
        seen["within" if self.columns.right.dtype == np.float32 else "double"] += len(rows)
        return within(self, parts, rows, *rest)

    def count_differences(self, rows, *rest):
        seen["by_differences"] += len(rows)
        return by_differences(self, rows, *rest)

    monkeypatch.setattr(kernel._Search, "within", count_within)
    monkeypatch.setattr(kernel._Search, "by_differences", count_differences)
    monkeypatch.setattr(kernel, "FEW", 20)
    x = repeated(stream(0, "doubt"), 240, 16, cluster, spread)
    assert_nearest(squares_twin(x), *brute_neighbors(x, 5), 5)
    assert [n > 200 for n in seen.values()] == [level < levels for level in range(3)]


def test_without_spare_candidates_every_row_is_in_doubt(monkeypatch):
    monkeypatch.setattr(kernel, "SPARE", 0)
    seen, within = [], kernel._Search.within
    monkeypatch.setattr(kernel._Search, "within", lambda *given: seen.append(len(given[2])) or within(*given))
    x = stream(0, "no spare").normal(size=(300, 20))
    assert_nearest(squares_twin(x), *brute_neighbors(x, 4), 4)
    assert sum(seen) == 300


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), rows=st.integers(1, 5), width=st.integers(1, 70), count=st.integers(1, 80),
    ties=st.booleans(), padding=st.integers(0, 60),
)  # fmt: skip
def test_the_smallest_by_groups_are_the_smallest(seed, rows, width, count, ties, padding):
    rng = stream(seed, "smallest")
    width = 64 * width
    scores = rng.normal(size=(rows, width)).astype(np.float32)
    scores = np.round(scores) if ties else scores
    scores[:, width - padding :] = np.inf
    count = min(count, width - padding)
    columns = kernel._smallest(scores, count)
    assert columns.shape == (rows, count)
    assert all(len(set(row)) == count for row in columns)
    found = np.sort(np.take_along_axis(scores, columns, axis=1), axis=1)
    np.testing.assert_array_equal(found, np.sort(scores, axis=1)[:, :count])
