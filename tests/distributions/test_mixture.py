"""Mixtures: density against the definition, entropy by quadrature, Monte Carlo and limits known in closed form."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, multivariate_normal, norm

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import monte_carlo_entropy
from itssl.distributions.mixture import GaussianMixture

EPS = np.finfo(float).eps
LINE = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0], [2.0]]), np.array([[[0.25]], [[2.0]]]))
PLANE = GaussianMixture(
    np.array([0.5, 0.2, 0.3]),
    np.array([[0.0, 0.0], [3.0, 1.0], [-1.0, 2.0]]),
    np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 0.8]], [[2.0, -0.5], [-0.5, 1.0]]]),
)


def scaled_plane(widths):
    """PLANE's weights and means with diagonal covariances."""
    return GaussianMixture(PLANE.weights, PLANE.means, np.array(widths)[:, :, None] * np.eye(2))


ISOTROPIC, DIAGONAL = scaled_plane([[1, 1], [0.2, 0.2], [3, 3]]), scaled_plane([[1, 2], [0.2, 0.5], [3, 1]])


@pytest.mark.parametrize("mixture", [LINE, PLANE, ISOTROPIC, DIAGONAL])
def test_density_equals_the_definition(mixture):
    x = mixture.sample(200, stream(0, "density"))
    parts = np.stack([multivariate_normal(m, c).logpdf(x) for m, c in zip(mixture.means, mixture.covs, strict=True)], 1)
    np.testing.assert_allclose(mixture.component_log_densities(x), parts, rtol=1e3 * EPS, atol=1e3 * EPS)
    np.testing.assert_allclose(mixture.log_density(x), np.log(np.exp(parts) @ mixture.weights), atol=1e3 * EPS)


def test_entropy_on_the_line_equals_adaptive_quadrature():
    def integrand(x):
        log_p = LINE.log_density(np.array([[x]]))[0]
        return -np.exp(log_p) * log_p

    value, error = quad(integrand, -20, 30, epsabs=1e-12, limit=500, points=[-1, 2])
    ours = LINE.entropy
    assert ours.value == pytest.approx(value, abs=10 * error + ours.standard_error + 1e3 * EPS)
    assert ours.method == "quadrature"


@pytest.mark.parametrize("mixture", [LINE, PLANE])
def test_quadrature_agrees_with_monte_carlo(mixture):
    sampled = monte_carlo_entropy(mixture, stream(0, "mixture"), n=2**16)
    assert abs(sampled.value - mixture.entropy.value) < 5 * sampled.standard_error
    assert mixture.entropy.standard_error < 1e-10


def test_one_component_is_a_gaussian():
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    one = GaussianMixture(np.ones(1), np.ones((1, 2)), cov[None])
    assert one.entropy.value == pytest.approx(Gaussian(np.ones(2), cov).entropy.value, abs=1e3 * EPS)


def test_separated_components_add_the_entropy_of_the_label():
    means = np.array([[-50.0, 0.0], [50.0, 0.0], [0.0, 90.0]])
    mixture = GaussianMixture(np.array([0.2, 0.3, 0.5]), means, np.broadcast_to(np.eye(2), (3, 2, 2)))
    label = -(mixture.weights * np.log(mixture.weights)).sum()
    assert mixture.entropy.value == pytest.approx(label + np.log(2 * np.pi * np.e), abs=1e3 * EPS)


def test_high_dimension_uses_monte_carlo_and_repeats():
    mixture = GaussianMixture.isotropic(stream(0, "means").normal(size=(4, 3)), 0.5)
    assert mixture.entropy.n == 2**17
    again = GaussianMixture.isotropic(np.array(mixture.means), 0.5)
    assert mixture.entropy.value == again.entropy.value
    other = monte_carlo_entropy(mixture, stream(1, "other"))
    error = np.hypot(other.standard_error, mixture.entropy.standard_error)
    assert abs(other.value - mixture.entropy.value) < 5 * error


def test_total_moments_and_draws():
    x, labels = PLANE.sample_with_labels(40_000, stream(0, "moments"))
    error = np.sqrt(np.diagonal(PLANE.cov) / len(x))
    assert (np.abs(x.mean(axis=0) - PLANE.mean) < 5 * error).all()
    deviations = np.einsum("ni,nj->nij", x - PLANE.mean, x - PLANE.mean)
    error = deviations.std(axis=0) / np.sqrt(len(x))
    assert (np.abs(deviations.mean(axis=0) - PLANE.cov) < 5 * error).all()
    share = np.bincount(labels) / len(x)
    assert (np.abs(share - PLANE.weights) < 5 * np.sqrt(PLANE.weights / len(x))).all()


@pytest.mark.parametrize("mixture", [LINE, PLANE])
def test_draws_have_the_law(mixture):
    """Kolmogorov–Smirnov in a direction, where the law is a mixture of normal laws; 2 tests at 1e-4."""
    direction = np.array([0.6, -0.8])[: mixture.dim]
    means, std = mixture.means @ direction, np.sqrt(np.einsum("i,kij,j->k", direction, mixture.covs, direction))
    x = mixture.sample(5000, stream(0, "draws")) @ direction
    assert kstest(x, lambda v: norm.cdf((v[:, None] - means) / std) @ mixture.weights).pvalue > 1e-4


def test_affine_image():
    matrix = np.array([[2.0, 1.0], [0.0, 0.5]])
    image = PLANE.affine_image(matrix, np.ones(2))
    assert image.entropy.value == pytest.approx(PLANE.entropy.value + np.linalg.slogdet(matrix)[1], abs=1e4 * EPS)


@pytest.mark.parametrize(
    ("weights", "means", "covs", "part"),
    [
        ([0.5, 0.6], np.zeros((2, 1)), np.ones((2, 1, 1)), "sum to 1"),
        ([1.5, -0.5], np.zeros((2, 1)), np.ones((2, 1, 1)), "positive"),
        ([1.0], np.zeros((1, 2)), np.ones((1, 2, 2)), "positive definite"),
    ],
)
def test_parameters_that_describe_no_law(weights, means, covs, part):
    with pytest.raises(LawError, match=part):
        GaussianMixture(np.array(weights), means, covs)


def test_quadrature_refuses_what_it_cannot_resolve():
    with pytest.raises(LawError, match="dimension 1 or 2"):
        GaussianMixture.isotropic(np.zeros((1, 3)), 1.0).entropy_by_quadrature()
    spike = GaussianMixture(np.array([0.5, 0.5]), np.array([[0.0], [0.5]]), np.array([[[1.0]], [[1e-14]]]))
    with pytest.raises(LawError, match="did not settle"):
        spike.entropy_by_quadrature()
    apart = np.log(2) + 0.5 * (1 + np.log(2 * np.pi)) + 0.25 * np.log(1e-14)  # the spike meets density 0.18 of 1e7
    assert abs(spike.entropy.value - apart) < 4.5 * spike.entropy.standard_error + 1e-5
    assert "Monte Carlo" in spike.entropy.method


@pytest.mark.parametrize("far", [1e8, 1e12, 1e15])
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_a_component_far_away_costs_the_others_no_digits(kind, far):
    means = np.array([[0.0, 0.0], [1.0, 1.0], [far, far]])
    covs = {"isotropic": np.eye(2), "diagonal": np.diag([1.0, 2.0]), "full": np.array([[1.0, 0.5], [0.5, 1.0]])}[kind]
    x = stream(0, "far").normal(size=(20, 2))
    near = GaussianMixture(np.full(2, 0.5), means[:2], np.stack([covs] * 2)).log_density(x)
    found = GaussianMixture(np.full(3, 1 / 3), means, np.stack([covs] * 3)).log_density(x)
    np.testing.assert_allclose(found, near + np.log(2 / 3), atol=1e-10)
