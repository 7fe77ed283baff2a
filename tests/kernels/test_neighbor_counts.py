"""KSG's counts and counts within radii against naive twins: both norms, both variants, ties, copies and other traps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.test_chebyshev import TRAPS, trap

from itssl.arrays import stream
from itssl.kernels import neighbor_counts as kernel
from itssl.kernels.neighbor_counts import counts_within, marginal_counts


def distance_twin(x, metric):
    """All distances, in the arithmetic of the kernels; a row is infinitely far from itself."""
    difference = np.abs(x[:, None] - x[None])
    away = difference.max(axis=2) if metric == "chebyshev" else np.sqrt((difference**2).sum(axis=2))
    np.fill_diagonal(away, np.inf)
    return away


def counts_twin(x, y, k, metric, variant):
    """KSG's counts, one row at a time, from the definition."""
    away_x, away_y = distance_twin(x, metric), distance_twin(y, metric)
    joint, n_x, n_y = np.maximum(away_x, away_y), [], []
    for i in range(len(x)):
        nearest = np.argsort(joint[i], kind="stable")[:k]
        if variant == 1:
            n_x.append((away_x[i] < joint[i, nearest[-1]]).sum())
            n_y.append((away_y[i] < joint[i, nearest[-1]]).sum())
        else:
            n_x.append((away_x[i] <= away_x[i, nearest].max()).sum())
            n_y.append((away_y[i] <= away_y[i, nearest].max()).sum())
    return np.array(n_x), np.array(n_y)


def within_twin(x, radius, edge):
    away = distance_twin(x, "chebyshev")
    return ((away < radius[:, None]) if edge == "strict" else (away <= radius[:, None])).sum(axis=1)


@pytest.fixture
def small_parts(monkeypatch):
    """Products, parts, groups and lists of pairs of a few rows."""
    for name, value in {"_ROWS": 21, "_PART": 5, "_NUMBERS": 40}.items():
        monkeypatch.setattr(kernel, name, value)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(6, 60), d_x=st.integers(1, 7), d_y=st.integers(1, 7),
    k=st.integers(1, 5), variant=st.sampled_from([1, 2]), metric=st.sampled_from(["chebyshev", "euclidean"]),
    grid=st.booleans(),
)  # fmt: skip
def test_marginal_counts_equal_the_definition(seed, n, d_x, d_y, k, variant, metric, grid):
    rng = stream(seed, "counts")
    x, y = rng.normal(size=(n, d_x)), rng.normal(size=(n, d_y))
    if grid and variant == 1:  # ties everywhere: strictness is all that matters (variant 2 depends on tie order)
        x, y = np.round(2 * x), np.round(2 * y)
    fast, twin = marginal_counts(x, y, k, metric, variant), counts_twin(x, y, k, metric, variant)
    np.testing.assert_array_equal(fast, twin)


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.usefixtures("small_parts")
def test_marginal_counts_on_traps(name, metric):
    """130 rows have groups of columns for k = 4; where rows tie, the neighbors of variant 2 are not unique."""
    rng = stream(0, "traps", name)
    x, y = trap(name, 130, 2, rng), trap(name, 130, 3, rng)
    exponent = int(name.split()[1]) if name.startswith("scale") else 0  # the twin's squares would overflow
    for variant in (1, 2) if name not in ("lattice", "tenths", "copies") else (1,):
        fast = marginal_counts(x, y, 4, metric, variant)
        twin = counts_twin(np.ldexp(x, -exponent), np.ldexp(y, -exponent), 4, metric, variant)
        np.testing.assert_array_equal(fast, twin)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_marginal_counts_in_many_dimensions(metric, variant):
    x, y = stream(0, "many").normal(size=(2, 300, 40))
    x, y = 100 + x[:, :30], x + 0.5 * y
    fast, twin = marginal_counts(x, y, 4, metric, variant), counts_twin(x, y, 4, metric, variant)
    np.testing.assert_array_equal(fast, twin)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(6, 40), metric=st.sampled_from(["chebyshev", "euclidean"]))
def test_variant_2_on_a_lattice_counts_for_some_choice_of_neighbors(seed, n, metric):
    """With ties the k nearest may be chosen in several ways: x's radius lies between those that all and any allow."""
    rng = stream(seed, "lattice")
    x, y = np.round(rng.normal(size=(n, 2))), np.round(rng.normal(size=(n, 2)))
    away = distance_twin(x, metric)
    joint = np.maximum(away, distance_twin(y, metric))
    kth = np.sort(joint, axis=1)[:, 2, None]
    surely = np.where(joint < kth, away, 0).max(axis=1)
    n_x = marginal_counts(x, y, 3, metric, 2)[0]
    assert (n_x >= (away <= surely[:, None]).sum(axis=1)).all()
    assert (n_x <= (away <= kth).sum(axis=1)).all()
    assert (n_x >= 3).all()


def test_euclidean_counts_on_lines_are_chebyshev_counts():
    x, y = np.round(stream(0, "lines").normal(size=(2, 300, 1)), 1)
    by_products, by_ranks = kernel._euclidean_counts(x, y, 3, 1), marginal_counts(x, y, 3, "euclidean", 1)
    np.testing.assert_array_equal(by_products, by_ranks)


@pytest.mark.parametrize("d", [2, 40])
def test_single_precision_decides_within_its_bound_only(d):
    """Squared distances by products, limits and reach, against differences: far from the origin and on close pairs."""
    rng = stream(0, "bound", d)
    x = rng.normal(size=(200, d)) * np.exp(3 * rng.normal(size=(200, 1)))
    x[1::2] = x[::2] + 1e-4 * x[1::2]
    z = kernel._Squares.of(x, kernel.power_of_two(x))
    squares, away = (z.left @ z.right.T)[:, :200], distance_twin(x, "euclidean")
    np.fill_diagonal(away, 0)
    doubtful = 0
    for radius in np.sort(away, axis=1)[:, [1, 2, 50, 199]].T:
        low, high = z.limits(slice(0, 200), radius)
        assert (away[squares < low] < np.broadcast_to(radius[:, None], away.shape)[squares < low]).all()
        assert (away[squares > high] > np.broadcast_to(radius[:, None], away.shape)[squares > high]).all()
        doubtful += ((squares >= low) & (squares <= high)).mean() / 4
    for j in range(200):
        assert (away[:, j] <= z.reach(slice(0, 200), squares[:, j])).all()
    assert doubtful < 0.05


def test_memory_does_not_grow_with_the_square(monkeypatch):
    """Products hold at most the bytes asked for, and a part at most so many pairs, down to one row."""
    x, y = stream(0, "memory").normal(size=(2, 300, 3))
    whole = marginal_counts(x, y, 3, "euclidean", 1)
    products, parts = [], []
    pair, counts, within = kernel._Pair, kernel._Pair.counts, kernel._Pair._within
    monkeypatch.setattr(kernel, "_TILE_BYTES", 8 * 300 * 6)
    monkeypatch.setattr(kernel, "_PAIRS", 2 * 300)
    monkeypatch.setattr(pair, "counts", lambda p, rows: products.append(rows.stop - rows.start) or counts(p, rows))
    monkeypatch.setattr(pair, "_within", lambda p, *a: parts.append(len(a[1])) or within(p, *a))
    np.testing.assert_array_equal(whole, marginal_counts(x, y, 3, "euclidean", 1))
    assert (max(products), max(parts)) == (6, 2)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(2, 60), d=st.sampled_from([1, 2, 20]),
    edge=st.sampled_from(["strict", "inclusive"]), grid=st.booleans(),
)  # fmt: skip
def test_counts_within_equal_the_definition(seed, n, d, edge, grid):
    """On a lattice most distances tie with the radii, and some radii are 0."""
    rng = stream(seed, "counts")
    x = rng.normal(size=(n, d))
    x = np.round(x) if grid else x
    radius = np.abs(x - x[rng.permutation(n)]).max(axis=1)
    np.testing.assert_array_equal(counts_within(x, radius, edge), within_twin(x, radius, edge))


@pytest.mark.parametrize("d", [1, 2, 20])
def test_a_radius_of_zero_holds_copies_only_when_inclusive(d):
    x = np.repeat(stream(0, "copies").normal(size=(10, d)), 3, axis=0)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "inclusive"), 2)
    np.testing.assert_array_equal(counts_within(x, np.zeros(30), "strict"), 0)
