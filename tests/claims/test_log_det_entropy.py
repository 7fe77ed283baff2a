"""C31: LogDet by hand, where it meets Hadamard's sum, and wrong conversions that must be noticed."""

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import log_det_entropy as logdet
from itssl.claims.worlds import random_covariance
from itssl.estimators.log_determinant import logdet_capacity, logdet_entropy

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of LogDet", *path)


def seen(*variances, beta):
    return logdet.Noisy(law=itssl.Gaussian(np.zeros(len(variances)), np.diag(variances)), beta=beta)


def test_numbers_of_two_variances_by_hand():
    world = seen(1.0, 4.0, beta=2.0)
    assert world.logdet() == pytest.approx(np.log(2 * np.pi * np.e) + 0.5 * np.log(1.5 * 4.5))
    assert world.gaussian == pytest.approx(np.log(2 * np.pi * np.e) + np.log(2)) == pytest.approx(world.hadamard)
    assert world.capacity(2.0) == pytest.approx(0.5 * np.log(3 * 9))
    assert world.entropy(rng(), noisy=True) == pytest.approx(world.logdet())


@pytest.mark.parametrize("beta", [0.1, 1.0, 100.0])
def test_both_bounds_of_the_excess_are_reached_by_multiples_of_identity_alone(beta):
    def parts(world):
        sides = logdet.log_det_entropy_is_above_the_gaussian(lambda _: world, rng())
        return {p: r - a for p, a, r in zip(sides.parts, sides.left, sides.right, strict=True) if "excess" in p}

    almost = parts(logdet.Noisy(law=itssl.Gaussian(np.zeros(3), 0.3 * random_covariance(3, rng(), condition=1 + 1e-6)),
                                beta=beta))  # fmt: skip
    assert max(almost.values()) < 1e-10
    apart = parts(logdet.Noisy(law=itssl.Gaussian(np.zeros(3), 0.3 * random_covariance(3, rng())), beta=beta))
    assert min(apart.values()) > 1e-4


def test_hadamard_is_met_before_the_stated_beta():
    for condition in (1.5, 10.0, 100.0):
        world = logdet._gaussian(5, condition=condition, beta=1.0)(rng())
        assert 0 < world.crossing < world.enough
        assert world.logdet(world.crossing) == pytest.approx(world.hadamard)
        assert world.logdet(0.5 * world.crossing) > world.hadamard > world.logdet(2 * world.crossing)


def test_stated_beta_is_no_larger_than_needed_where_correlations_are_weak():
    """There it is large, and log(1 + 1/(βλ)) is 1/(βλ) but for a share 1/(2βλ) of it."""
    world = logdet.NEARLY_ISOTROPIC.make()(rng())
    assert world.crossing == pytest.approx(world.enough, rel=1 / (world.crossing * world.variances[0]))


def test_noise_adds_to_the_covariance_of_a_mixture():
    world = logdet.TWO.make()(rng())
    np.testing.assert_allclose(world.noisy.cov, world.cov + np.eye(2) / 10, atol=8 * EPS)


@pytest.mark.parametrize(("n", "k"), [(50, 3), (4, 6)])
def test_published_number_is_converted_for_few_rows_too(n, k):
    z, beta = rng(n, k).standard_normal((n, k)), 3.0
    converted = float(logdet_capacity(z, beta=beta)) + k / 2 * np.log(2 * np.pi * np.e / beta)
    assert converted == pytest.approx(float(logdet_entropy(z, ridge=1 / beta)), abs=256 * EPS)


def test_ranking_reverses_as_stated():
    measured = itssl.check("C31", control="½ log|I+βΣ| at two β ranks entropies").measured
    assert measured["½ log|I+βΣ|, Σ at β = 100"].value > measured["½ log|I+βΣ|, 4Σ at β = 1"].value
    assert measured["h, 4Σ"].value - measured["h, Σ"].value == pytest.approx(4 * np.log(4))


WRONG = {
    "2π for 2πe": ("logdet_entropy", lambda z, ridge: logdet_entropy(z, ridge=ridge) - z.shape[1] / 2),
    "β for 1/β": ("logdet_entropy", lambda z, ridge: logdet_entropy(z, ridge=1 / ridge)),
    "bits": ("logdet_entropy", lambda z, ridge: logdet_entropy(z, ridge=ridge) / np.log(2)),
    "no half": ("logdet_capacity", lambda z, beta: 2 * logdet_capacity(z, beta=beta)),
    "covariance over n": ("logdet_capacity", lambda z, beta: logdet_capacity(z, beta=beta * (len(z) - 1) / len(z))),
    "binary logarithm": ("logdet_capacity", lambda z, beta: logdet_capacity(z, beta=beta) / np.log(2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_estimator_is_refuted(monkeypatch, name):
    monkeypatch.setattr(logdet, *WRONG[name])
    assert itssl.check("C31", logdet.LITTLE_NOISE.name).outcome is Outcome.VIOLATED
