"""Pairwise kernel sums against the n×n definition."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from itssl.arrays import stream
from itssl.kernels import mixture_density, pairwise
from itssl.kernels.pairwise import kernel_sums, log_kernel_sums, squared_distances
from tests.kernels.traps import DATA


def sums_twin(z, var, weights):
    squared = ((z[:, None] - z[None]) ** 2).sum(axis=2)
    return np.exp(-squared / (8 * var)) @ weights[:, 0], np.exp(-squared / (2 * var)) @ weights[:, 1]


@pytest.mark.parametrize("var", [1e-3, 0.3, 1e3])
@pytest.mark.parametrize("d", [1, 5, 300])
def test_sums_equal_the_definition(d, var):
    rng = stream(0, "pairwise", d)
    z, weights = rng.normal(size=(70, d)), rng.uniform(size=(70, 2))
    # exp amplifies the rounding of the exponent, at most eps·|z|²/var with |z|² ≈ d.
    exponent_error = 64 * np.finfo(float).eps * (1 + d / var)
    for fast, twin in zip(kernel_sums(z, var, weights), sums_twin(z, var, weights), strict=True):
        np.testing.assert_allclose(fast, twin, rtol=exponent_error)
    ones = np.ones((70, 2))
    for fast, twin in zip(kernel_sums(z, var), sums_twin(z, var, ones), strict=True):
        np.testing.assert_allclose(fast, twin, rtol=exponent_error)


@pytest.mark.parametrize("kept", [0, 2**21])
@pytest.mark.parametrize("var", [0.5, 1e-4])
def test_tiles_do_not_show(var, kept, monkeypatch):
    """At var 1e-4 rows are put in order and tiles out of reach left out; factors are kept or formed again."""
    rng = stream(0, "tiles")
    z, weights = rng.normal(size=(300, 3)), rng.uniform(size=(300, 2))
    monkeypatch.setattr(pairwise, "_KEPT_CELLS", kept)
    monkeypatch.setattr(pairwise, "_TILE", 512)
    whole = kernel_sums(z, var, weights)
    for tile in (16, 7):
        monkeypatch.setattr(pairwise, "_TILE", tile)
        np.testing.assert_allclose(kernel_sums(z, var, weights), whole, rtol=1e-11)


@pytest.mark.parametrize("name", DATA)
def test_traps(name, monkeypatch):
    """Noise as wide as the distance to the nearest neighbors, or as all distances; 300 rows in tiles of 32."""
    monkeypatch.setattr(pairwise, "_TILE", 32)
    for d in (2, 40):
        z = DATA[name](stream(0, "traps", name, d), 300, d)
        squared = ((z[:, None] - z[None]) ** 2).sum(axis=2)
        for var in (np.median(np.partition(squared, 3, axis=1)[:, 3]), np.median(squared)):
            if var == 0:
                continue
            # Coordinates are rounded by eps of their size when they are centered.
            rounding = 1e-11 + 64 * d * np.finfo(float).eps * np.abs(z - z.mean(axis=0)).max() / var**0.5
            for fast, twin in zip(kernel_sums(z, var), sums_twin(z, var, np.ones((len(z), 2))), strict=True):
                np.testing.assert_allclose(fast, twin, rtol=rounding)


def test_weights_of_any_size_keep_far_rows_in_sight():
    """A row of weight 1e-30 sees heavy ones whose kernels are 1e-25; one of weight 0 has no term of its own."""
    z = np.r_[np.zeros((300, 1)), np.full((300, 1), np.sqrt(8 * 57.0))]
    for light in (1e-30, 0.0):
        weights = np.where(np.arange(600) < 300, 1.0, light)[:, None] * np.ones(2)
        for fast, twin in zip(kernel_sums(z, 1.0, weights), sums_twin(z, 1.0, weights), strict=True):
            np.testing.assert_allclose(fast[:300], twin[:300], rtol=1e-11)
        np.testing.assert_allclose(kernel_sums(z, 1.0, weights)[0], sums_twin(z, 1.0, weights)[0], rtol=1e-11)


@pytest.mark.parametrize("exponent", [150.0, 174.0, 176.0, 400.0, 1e4])
@pytest.mark.parametrize("light", [1e-60, 1e-80, 1e-200])
def test_beside_weights_without_measure_sums_are_good_to_the_stated_size(exponent, light):
    """Rows of light weight within and beyond the exponents that are kept, in one tile and in two."""
    for half in (10, 300):
        z = np.r_[np.zeros((half, 1)), np.full((half, 1), np.sqrt(8 * exponent))]
        weights = np.where(np.arange(2 * half) < half, 1.0, light)[:, None] * np.ones(2)
        for fast, twin in zip(kernel_sums(z, 1.0, weights), sums_twin(z, 1.0, weights), strict=True):
            error = np.exp(-175.0) * weights[:, 0].sum() * (1 + 1e-11)
            np.testing.assert_allclose(fast, twin, rtol=1e-11, atol=error)


def test_threads_change_nothing():
    z = stream(0, "threads").normal(size=(1500, 5))
    many = kernel_sums(z, 0.1), log_kernel_sums(z[:700], z, np.zeros(1500))
    with threadpool_limits(limits=1):
        one = kernel_sums(z, 0.1), log_kernel_sums(z[:700], z, np.zeros(1500))
    np.testing.assert_array_equal(many[0], one[0])
    np.testing.assert_array_equal(many[1], one[1])


def test_memory_does_not_grow_with_the_pairs():
    """5000 rows would take 200 MB as n×n; the rows take 18 MB and are not copied."""
    z, weights = stream(0, "memory").normal(size=(5000, 450)), np.zeros(5000)
    for work in (lambda: kernel_sums(z, 30.0), lambda: log_kernel_sums(z[:1500], z, weights)):
        tracemalloc.start()
        try:
            work()
            assert tracemalloc.get_traced_memory()[1] < 2**25
        finally:
            tracemalloc.stop()


def test_inputs_stay_as_they_are():
    z, weights = stream(0, "read-only").normal(size=(600, 2))[::2], np.ones((300, 2))
    before = z.copy()
    z.flags.writeable = weights.flags.writeable = False
    np.testing.assert_array_equal(kernel_sums(z, 1e-3, weights), kernel_sums(before, 1e-3))
    np.testing.assert_array_equal(z, before)


def test_far_apart_rows_count_for_nothing():
    np.testing.assert_array_equal(kernel_sums(np.array([[0.0], [1e9]]), 1.0), np.ones((2, 2)))


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9])
def test_far_clusters_keep_their_digits(offset):
    """The error is that of the coordinates, eps·|z|·|difference|, not that of their squares."""
    steps = np.round(stream(0, "clusters").normal(size=(60, 3)) * 1024) / 1024
    z = np.vstack([steps[:30], steps[30:] + np.round(offset)])
    for fast, twin in zip(kernel_sums(z, 0.5), sums_twin(z, 0.5, np.ones((60, 2))), strict=True):
        np.testing.assert_allclose(fast, twin, rtol=64 * np.finfo(float).eps * offset + 1e-10)


@pytest.mark.parametrize("d", [1, 7, 1500])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_log_sums_equal_the_definition(d, offset, monkeypatch):
    """At d = 1500 every kernel underflows by itself; an offset may cost its own rounding, not that of its square."""
    rng = stream(0, "log sums", d)
    z = np.round(rng.normal(size=(50, d)) * 1024) / 1024
    z[25:] += offset
    x = z[rng.integers(50, size=40)] + np.round(rng.normal(size=(40, d)) * 1024) / 1024
    log_weights = np.log(rng.dirichlet(np.ones(50)))
    exponents = -0.5 * ((x[:, None] - z) ** 2).sum(axis=2)
    twin = np.asarray(logsumexp(exponents + log_weights, axis=1))
    error = 64 * np.finfo(float).eps * d * (1 + offset) + 1e-10  # eps·|z|·|difference|, both summed over d
    np.testing.assert_allclose(log_kernel_sums(x, z, log_weights), twin, atol=error, rtol=0)
    monkeypatch.setattr(mixture_density, "_COMPONENTS", 16)
    monkeypatch.setattr(mixture_density, "_KEPT", 0)
    np.testing.assert_allclose(log_kernel_sums(x, z, log_weights), twin, atol=error, rtol=0)


def test_exact_distances_only_where_they_matter():
    z = np.array([[0.0], [1e9], [1e9 + 1]])
    square = z[:, 0] ** 2
    assert squared_distances(z, z, square, square, 10.0)[1, 2] == 1.0
    assert squared_distances(z, z, square, square, 10.0)[0, 1] == 1e18


def test_distances_whose_squares_overflow():
    """Far rows do not see each other, near ones do, wherever they are; log-sums stay numbers."""
    z = np.array([[0.0], [1.0], [1e200], [1e200], [-1e200], [-1e200]])
    first, second = kernel_sums(z, 1.0)
    np.testing.assert_allclose(first, [1 + np.exp(-1 / 8)] * 2 + [2.0] * 4, rtol=1e-14)
    np.testing.assert_allclose(second, [1 + np.exp(-1 / 2)] * 2 + [2.0] * 4, rtol=1e-14)
    near, far = log_kernel_sums(np.array([[0.0], [1e200]]), z, np.zeros(6))
    assert near == pytest.approx(np.log(1 + np.exp(-0.5)), rel=1e-14)
    assert far == pytest.approx(np.log(2), rel=1e-14)


@pytest.mark.parametrize("far", [1e8, 1e12, 1e15])
def test_one_row_far_away_costs_the_others_no_digits(far):
    z = np.r_[stream(0, "far").normal(size=(40, 3)), np.full((1, 3), far)]
    first, second = kernel_sums(z, 1.0)
    difference = ((z[:, None] - z) ** 2).sum(axis=2)
    np.testing.assert_allclose(first, np.exp(-difference / 8).sum(axis=1), rtol=1e-11)
    np.testing.assert_allclose(second, np.exp(-difference / 2).sum(axis=1), rtol=1e-11)
