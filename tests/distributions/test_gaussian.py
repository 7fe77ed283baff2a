"""Gaussian truths by two routes: closed form against sampling, quadrature, eigenvalues and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from itssl import check_equality
from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, LawError, kl_divergence
from itssl.distributions.law import monte_carlo_entropy
from itssl.testing.strategies import gaussians

EPS = np.finfo(float).eps
LAW = Gaussian(np.array([1.0, -2.0, 0.5]), np.array([[2.0, 0.7, 0.1], [0.7, 1.0, -0.2], [0.1, -0.2, 0.5]]))
OTHER = Gaussian(np.array([0.0, -1.0, 0.0]), np.diag([1.0, 2.0, 3.0]))


@settings(deadline=None)
@given(law=gaussians())
def test_density_and_entropy_equal_scipys(law):
    x = law.sample(5, stream(0, "gaussian"))
    twin = multivariate_normal(law.mean, law.cov)
    condition = np.linalg.cond(law.cov)
    np.testing.assert_allclose(law.log_density(x), twin.logpdf(x), rtol=0, atol=1e3 * EPS * condition * (1 + law.dim))
    np.testing.assert_allclose(law.entropy.value, twin.entropy(), rtol=0, atol=64 * EPS * condition)


def test_entropy_equals_minus_mean_log_density():
    check_equality(lambda rng: -LAW.log_density(LAW.sample(500, rng)), LAW.entropy.value, margin=0.02).require()
    estimate = monte_carlo_entropy(LAW, stream(0, "mc"), n=10_000)
    assert estimate.standard_error == pytest.approx(np.sqrt(LAW.dim / 2 / 10_000), rel=0.05)  # Var log p = d/2


def test_kl_divergence_by_three_routes():
    closed = kl_divergence(LAW, OTHER).value

    def log_ratio(rng):
        x = LAW.sample(1000, rng)
        return LAW.log_density(x) - OTHER.log_density(x)

    check_equality(log_ratio, closed, margin=0.02).require()
    one, two = Gaussian(np.array([0.3]), np.array([[0.5]])), Gaussian(np.zeros(1), np.array([[2.0]]))

    def integrand(x):
        log_p, log_q = (law.log_density(np.array([[x]]))[0] for law in (one, two))
        return np.exp(log_p) * (log_p - log_q)

    value, error = quad(integrand, -12, 12, epsabs=1e-11)
    assert kl_divergence(one, two).value == pytest.approx(value, abs=10 * error + 1e2 * EPS)
    assert kl_divergence(one, one).value == pytest.approx(0, abs=8 * EPS)
    assert kl_divergence(one, two).value != pytest.approx(kl_divergence(two, one).value, abs=0.1)


def test_mutual_information_of_blocks_is_kl_to_product():
    product = Gaussian(LAW.mean, np.block([[LAW.cov[:1, :1], np.zeros((1, 2))], [np.zeros((2, 1)), LAW.cov[1:, 1:]]]))
    value = LAW.mutual_information([0]).value
    assert value == pytest.approx(kl_divergence(LAW, product).value, abs=64 * EPS)
    assert value == pytest.approx(LAW.mutual_information([1, 2]).value, abs=64 * EPS)
    rest = LAW.marginal([1, 2])
    chain = LAW.marginal([0]).entropy.value + rest.entropy.value - LAW.entropy.value
    assert value == pytest.approx(chain, abs=64 * EPS)


@settings(deadline=None)
@given(law=gaussians(), seed=st.integers(0, 2**32))
def test_affine_image_shifts_entropy_by_log_determinant(law, seed):
    matrix = stream(seed, "map").normal(size=(law.dim, law.dim)) + 3 * np.eye(law.dim)
    image = law.affine_image(matrix, np.ones(law.dim))
    shift = np.linalg.slogdet(matrix)[1]
    condition = np.linalg.cond(law.cov) * np.linalg.cond(matrix) ** 2
    assert image.entropy.value == pytest.approx(law.entropy.value + shift, abs=64 * EPS * condition)
    np.testing.assert_allclose(image.mean, matrix @ law.mean + 1, rtol=64 * EPS)


def test_draws_have_the_law():
    x = LAW.sample(20_000, stream(0, "draws"))
    z = np.abs(x.mean(axis=0) - LAW.mean) / np.sqrt(np.diagonal(LAW.cov) / len(x))
    assert z.max() < 5  # five standard errors, three coordinates
    spread = np.sqrt((LAW.cov**2 + np.outer(np.diagonal(LAW.cov), np.diagonal(LAW.cov))) / len(x))
    assert (np.abs(np.cov(x, rowvar=False) - LAW.cov) / spread).max() < 5


@pytest.mark.parametrize(
    ("mean", "cov", "part"),
    [
        (np.zeros(2), np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (np.zeros(2), np.ones((2, 2)), "positive definite"),
        (np.zeros(1), np.array([[np.nan]]), "finite"),
    ],
)
def test_parameters_that_describe_no_law(mean, cov, part):
    with pytest.raises(LawError, match=part):
        Gaussian(mean, cov)


def test_parameters_are_copied_and_frozen():
    cov = np.eye(2)
    law = Gaussian(np.zeros(2), cov)
    cov[0, 0] = 5
    assert law.cov[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        law.cov[0, 0] = 2
    with pytest.raises(LawError, match="some but not all"):
        law.mutual_information([0, 1])
