"""C32: every batch of a small mixture by enumeration, quadrature against the library's, wrong bounds."""

from itertools import combinations

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import batch_mixture_bounds as batch
from itssl.claims.batch_mixture_bounds import Components

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of batches of components", *path)


def naive(centers, var):
    """Both bounds from divergences, one pair at a time."""
    component = centers.shape[1] / 2 * np.log(2 * np.pi * np.e * var)
    squares = [[((a - b) ** 2).sum() for b in centers] for a in centers]
    return [component - np.log(np.exp(-np.array(squares) / (c * var)).mean(axis=1)).mean() for c in (8, 2)]


def test_bounds_are_those_of_the_formula():
    seen = Components(centers=rng().standard_normal((6, 3)), var=0.3, n=4)
    rows = seen.batches(rng())
    assert rows.shape == (batch.BATCHES, 4)
    assert all(len(set(of)) == 4 for of in rows.tolist())
    expected = np.array([naive(seen.centers[of], 0.3) for of in rows]).T
    np.testing.assert_allclose(seen.bounds(rows), expected, rtol=64 * EPS)
    assert seen.mean_bounds(rng()) == pytest.approx(expected.mean(axis=1))


def test_every_batch_is_every_combination():
    seen = batch.EVERY.make()(rng())
    assert sorted(map(tuple, seen.batches(rng()).tolist())) == list(combinations(range(6), 3))


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_quadrature_is_the_librarys(spread):
    centers = spread * rng().standard_normal((5, 1))
    seen = Components(centers=centers, var=2.0, n=5)
    expected = itssl.GaussianMixture.isotropic(centers, 2.0).entropy_by_quadrature().value
    assert seen.entropy(rng()) == pytest.approx(expected, abs=1e-11)  # ten times what the library refines to


def test_sampled_entropy_is_that_of_quadrature():
    centers = np.array([[0.0, 0.0], [1.0, 0.5], [4.0, -2.0]])
    seen = Components(centers=centers, var=0.7, n=3)
    draws = [seen.entropy(rng(i)) for i in range(40)]
    truth = itssl.GaussianMixture.isotropic(centers, 0.7).entropy_by_quadrature().value
    assert abs(np.mean(draws) - truth) < 5 * np.std(draws, ddof=1) / np.sqrt(len(draws))


def test_upper_bound_of_clusters_falls_short_by_what_is_left_out():
    measured = itssl.check("C32", batch.HALF.name).measured
    assert measured["h"].value - measured["E upper(n)"].value == pytest.approx(np.log(2))
    assert measured["E lower(n)"].value == pytest.approx(measured["E upper(n)"].value)


def test_more_components_miss_less():
    """E h(p_S) by all batches: concave in n, and h at n = N."""
    centers = 2 * rng().standard_normal((6, 1))
    of_size = [Components(centers=centers, var=1.0, n=n, every=True) for n in range(1, 7)]
    means = [seen.mean_entropy(seen.batches(rng()), rng()) for seen in of_size]
    assert (np.diff(means) > 0).all()
    assert means[-1] == pytest.approx(of_size[0].entropy(rng()))
    assert means[0] == pytest.approx(of_size[0].component)


def test_two_apart_are_above_the_entropy_of_all_sixteen():
    """log 2 against H(14/16, 1/16, 1/16)."""
    seen = batch.APART.make()(rng())
    shares = np.array([14, 1, 1]) / 16
    assert seen.entropy(rng()) - seen.component == pytest.approx(-shares @ np.log(shares))
    assert seen.bounds(seen.batches(rng()))[0].max() - seen.component == pytest.approx(np.log(2))


WRONG = {
    "exchanged": lambda low, high, n, d: (high, low),
    "log n for the mean": lambda low, high, n, d: (low + np.log(n), high + np.log(n)),
    "2π for 2πe": lambda low, high, n, d: (low - d / 2, high - d / 2),
    "bits": lambda low, high, n, d: (low / np.log(2), high / np.log(2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_bounds_are_refuted(monkeypatch, name):
    right = batch.pairwise_entropy_bounds
    monkeypatch.setattr(batch, "pairwise_entropy_bounds", lambda z, var: WRONG[name](*right(z, var=var), *z.shape))
    assert itssl.check("C32", batch.EVERY.name).outcome is Outcome.VIOLATED
