"""C35: Huber's bounds by loops, the mean-free estimate of h, and the equalities of isolated and gridded components."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import itssl
from itssl import Outcome
from itssl.claims import mixture_entropy_bounds as bounds
from itssl.claims.mixture_entropy_bounds import Known
from itssl.estimators.pairwise_mixture import EntropyBounds

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of mixture entropy bounds", *path)


def naive(mixture, *, both=True):
    """Lower and upper bound from densities, one pair at a time."""
    c, m, s = mixture.weights, mixture.means, mixture.covs
    sums = [
        sum(c[j] * multivariate_normal(m[j], s[i] + both * s[j]).pdf(m[i]) for j in range(len(c)))
        for i in range(len(c))
    ]
    given_labels = sum(c[i] * multivariate_normal(m[i], s[i]).entropy() for i in range(len(c)))
    return -c @ np.log(sums), given_labels - c @ np.log(c)


@pytest.mark.parametrize("world", [bounds.ISOLATED, bounds.LINE], ids=lambda w: w.name)
def test_bounds_are_those_of_the_formulas(world):
    seen = world.make()(rng())
    lower, upper = naive(seen.mixture)
    assert seen.bounds == pytest.approx((lower, upper), rel=1e3 * EPS)
    assert seen.lower() == pytest.approx(lower, rel=1e3 * EPS)
    assert seen.lower(one_covariance=True) == pytest.approx(naive(seen.mixture, both=False)[0], rel=1e3 * EPS)


def test_sampled_entropy_is_that_of_quadrature():
    seen = bounds.LINE.make()(rng())
    draws = [bounds.mixture_entropy(seen.mixture, rng(i), draws=500) for i in range(40)]
    error = np.std(draws, ddof=1) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - seen.entropy(rng())) < 5 * error
    assert error < 0.01


def test_sampled_entropy_of_isolated_components_has_no_spread():
    seen = bounds.ISOLATED.make()(rng())
    assert bounds.mixture_entropy(seen.mixture, rng(1), draws=6) == pytest.approx(seen.bounds.upper, abs=64 * EPS)


def test_centers_alone_lose_half_a_nat_a_dimension_where_isolated_and_overshoot_between_needles():
    apart, needles = bounds.ISOLATED.make()(rng()), bounds.NEEDLES.make()(rng())
    assert apart.lower(one_covariance=True) == pytest.approx(apart.bounds.upper - 4 / 2)
    assert apart.bounds.lower == pytest.approx(apart.bounds.upper - 4 / 2 * np.log(np.e / 2))
    assert needles.bounds.lower < needles.entropy(rng()) < needles.lower(one_covariance=True) - 0.05


def test_grid_is_short_by_its_ends_only():
    """h less Huber's bound, and h less Bhattacharyya's less ½ log(4/e), are c/N: each of the two ends adds c/2."""
    gaps = []
    for n in (50, 100):
        seen = bounds._grid(n)
        h = seen.entropy(rng())
        gaps.append((h - seen.bounds.lower, h - seen.pairwise.lower - 0.5 * np.log(4 / np.e)))
    settled = 1e-12 * h / np.abs(gaps).min()  # where the quadrature stops
    assert np.divide(*gaps) == pytest.approx([2, 2], rel=4 * settled)


WRONG = {
    "2πe for 4π in the lower bound": lambda b, k: (b.lower + k / 2 * np.log(np.e / 2), b.upper),
    "H(T) left out": lambda b, k: (b.lower, b.upper - 1.0),
    "half a nat a dimension too low": lambda b, k: (b.lower - k / 2 + k / 2 * np.log(np.e / 2), b.upper),
    "bits": lambda b, k: (b.lower / np.log(2), b.upper / np.log(2)),
    "exchanged": lambda b, k: (b.upper, b.lower),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_bounds_are_refuted(monkeypatch, name):
    right = bounds.huber_bounds
    monkeypatch.setattr(bounds, "huber_bounds", lambda law: EntropyBounds(*WRONG[name](right(law), law.dim)))
    assert itssl.check("C35", bounds.ISOLATED.name).outcome is Outcome.VIOLATED


def test_a_mixture_of_ones_own():
    mixture = itssl.GaussianMixture.isotropic(rng().standard_normal((4, 1)), 0.5)
    assert itssl.check("C35", lambda _: Known(mixture=mixture)).outcome is Outcome.HOLDS
