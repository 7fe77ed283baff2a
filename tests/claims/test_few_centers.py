"""C24: simplices and bounds by hand, and a search that must not get past them."""

from functools import partial

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import few_centers

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of few centers", *path)


@pytest.mark.parametrize(("corners", "k"), [(2, 1), (5, 4), (3, 8)])
def test_corners_of_a_simplex_are_equally_far(corners, k):
    z = few_centers._simplex(corners, k, rng(), diameter=2.5)
    np.testing.assert_allclose(z.distances, 2.5, rtol=64 * EPS)
    assert len(z.distances) == corners * (corners - 1) / 2
    assert np.linalg.matrix_rank(z.between) == z.rank == corners - 1


def test_between_is_half_the_mean_square_difference():
    z = few_centers._scattered(7, 3, rng())
    off = z.centers[:, None] - z.centers
    np.testing.assert_allclose(z.between, np.einsum("nmi,nmj->ij", off, off) / (2 * 7**2), atol=64 * EPS)
    np.testing.assert_allclose(z.between, np.cov(z.centers.T, bias=True), atol=64 * EPS)


def test_bounds_of_a_triangle_by_hand():
    """M = 3, b = ½, K = 8, N = 3: T = 3, r = 2."""
    z = few_centers.FEW.make()(rng())
    assert z.trace == pytest.approx(3.0)
    assert z.bound_by_rank(z.widest) == pytest.approx(2 * np.log(2.0) + 6 * np.log(0.5)) == pytest.approx(z.log_det)
    assert z.bound_by_trace(z.widest, 4.5) == pytest.approx(8 * np.log((8 * 0.5 + 4.5) / 8))


def test_three_centers_attain_the_bound_by_trace_if_only_the_trace_within_is_bounded():
    z = few_centers._filled_up(rng())
    mean = float(np.trace(z.within)) / 8
    assert np.linalg.eigvalsh(z.within)[0] > 0
    assert z.log_det == pytest.approx(z.bound_by_trace(mean, z.trace))
    assert z.log_det > z.bound_by_rank(mean) + 0.1
    assert z.log_det < z.bound_by_rank(z.widest)


@pytest.mark.parametrize(("n", "k"), [(3, 2), (4, 2), (9, 2), (6, 3)])
def test_search_approaches_the_largest_trace_and_does_not_exceed_it(n, k):
    """Centers pushed apart in a ball of Jung's radius, then scaled to diameter 1."""
    best, generator = 0.0, rng(n, k)
    corners = few_centers._simplex(k + 1, k, generator, diameter=1.0).centers
    for spread in (1e-3, 0.1, 1.0):
        for _ in range(50):
            start = corners[generator.permutation(np.arange(n) % (k + 1))] if n >= k + 1 else corners[:n]
            z = few_centers.Clusters(centers=start + spread * generator.standard_normal((n, k)), within=np.eye(k))
            assert np.trace(z.between) <= z.trace
            best = max(best, float(np.trace(z.between)) / z.trace)
    equal_shares = n % (k + 1) == 0
    assert best > 0.98 if equal_shares else best > 0.9


def test_a_world_of_ones_own():
    assert (
        itssl.check("C24", partial(few_centers._simplex, 4, 3, copies=2, diameter=0.1, b=2.0)).outcome is Outcome.HOLDS
    )
