"""Mixture tasks: grid quadrature against other integrals, invariances, marginals that fit the draws."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, ks_2samp

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.mixture_tasks import (
    concentric_task,
    cross_task,
    galaxy_task,
    information_by_quadrature,
    inliers_task,
    letters_task,
    mixture_task,
    mixture_tasks,
    ring_task,
    waves_task,
)

TILTED = np.array([[1.0, 0.6, 0.2], [0.6, 2.0, -0.3], [0.2, -0.3, 0.5]])


@pytest.mark.parametrize("d_x", [1, 2])
def test_one_component_has_the_gaussian_closed_form_and_the_grid_finds_it(d_x):
    one = GaussianMixture(np.ones(1), np.array([[3.0, 0.0, -2.0]]), TILTED[None])
    truth = Gaussian(np.zeros(3), TILTED).mutual_information(range(d_x)).value
    assert mixture_task(one, d_x).mutual_information.value == pytest.approx(truth, abs=1e-14)
    assert mixture_task(one, d_x).known_by == "closed form"
    assert information_by_quadrature(one, d_x).value == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("build", [cross_task, ring_task])
def test_information_is_that_of_entropies_by_another_quadrature(build):
    task = build()
    parts = [law.entropy_by_quadrature(relative_tolerance=1e-8).value for law in (task.x, task.y, task.joint)]
    truth = task.mutual_information
    assert truth.value == pytest.approx(parts[0] + parts[1] - parts[2], abs=1e-7 + truth.standard_error)


def test_letters_by_a_naive_sum():
    """Plain Riemann sum of p log p/(p_x p_y), all three from scipy's normal densities and sums over the grid."""
    task = letters_task()
    assert isinstance(task.joint, GaussianMixture)
    x, y = np.linspace(-2.8, 2.2, 700), np.linspace(-3.2, 3.2, 900)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    p = np.zeros(grid.shape[:2])
    for w, m, c in zip(task.joint.weights, task.joint.means, task.joint.covs, strict=True):
        centered = grid - m
        exponent = np.einsum("abi,ij,abj->ab", centered, np.linalg.inv(c), centered)
        p += w * np.exp(-0.5 * exponent) / (2 * np.pi * np.sqrt(np.linalg.det(c)))
    cell = (x[1] - x[0]) * (y[1] - y[0])
    p *= cell
    product = p.sum(axis=1)[:, None] * p.sum(axis=0)
    slow = np.sum(p * np.log(np.where(p > 0, p / np.where(product > 0, product, 1), 1)))
    assert p.sum() == pytest.approx(1, abs=1e-6)
    assert task.mutual_information.value == pytest.approx(slow, abs=1e-5)


def test_galaxy_depends_on_one_direction_only():
    """U = (X_1 + X_2)/√2 ~ N(±a√2, 1) is sufficient for the ball, the other direction of X is noise."""
    a = 1.5
    line = GaussianMixture.isotropic(np.array([[-a * np.sqrt(2), -a], [a * np.sqrt(2), a]]), 1.0)
    reduced = information_by_quadrature(line, 1, tolerance=1e-9)
    truth = galaxy_task().mutual_information
    assert truth.value == pytest.approx(reduced.value, abs=1e-6)


def test_waves_do_not_depend_on_the_height_of_the_bars():
    task = waves_task()
    assert isinstance(task.joint, GaussianMixture)
    drop = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    reduced = information_by_quadrature(task.joint.affine_image(drop, np.zeros(2)), 1, tolerance=1e-9)
    assert task.mutual_information.value == pytest.approx(reduced.value, abs=2e-6)


def concentric_by_radius(d):
    """I(X; ball) by a radial integral; Y tells the ball but for an overlap of 50 deviations."""
    sizes = np.array([1.0, 2.0, 3.0])

    def integrand(log_r):
        r = np.exp(log_r)
        densities = chi2.pdf(r**2 / sizes**2, d) * 2 * r / sizes**2
        mean = densities.mean()
        return r * np.mean(np.where(densities > 0, densities * np.log(np.maximum(densities, 1e-300) / mean), 0))

    return sum(quad(integrand, a, b, epsabs=1e-12)[0] for a, b in ((-12, 0), (0, 1.5), (1.5, 3.6)))


@pytest.mark.parametrize("d", [1, 3, 5, 25])
def test_concentric_information_is_that_about_the_ball(d):
    truth = concentric_task(d).mutual_information
    assert abs(truth.value - concentric_by_radius(d)) < 5 * truth.standard_error + 1e-9


def test_inliers_do_not_depend_on_the_unrelated_coordinates():
    small, large = inliers_task(2).mutual_information, inliers_task(4).mutual_information
    assert abs(small.value - large.value) < 5 * np.hypot(small.standard_error, large.standard_error)
    full = -np.log(1 - 0.8**2)
    assert 0 < small.value < 0.8 * full  # convex in p(y|x): at most the share of related draws


@pytest.mark.parametrize("name", ["1v1-AI", "2v1-waves-12-5.0-3.0", "multinormal-sparse-inliers-5-5-0.2"])
def test_marginals_fit_the_joint_draws(name):
    task = mixture_tasks()[name]()
    x, y = task.sample_latent(3000, stream(0, "joint", name))
    for draws, law in ((x, task.x), (y, task.y)):
        alone = law.sample(3000, stream(1, "alone", name))
        direction = stream(2, name).standard_normal(law.dim)
        assert ks_2samp(draws @ direction, alone @ direction).pvalue > 1e-6  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["1v1-X-0.9", "1v1-O", "multinormal-sparse-inliers-3-3-0.2"])
def test_densities_of_the_marginals_are_those_of_the_draws(name):
    """E p(x)p(y)/p(x,y) = 1 under the joint: fails when a marginal density is off by a factor."""
    task = mixture_tasks()[name]()
    ratio = np.exp(-task.pointwise_information(*task.sample_latent(20_000, stream(0, "ratio", name))))
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(20_000)
    assert ratio.std() < 20


def test_exchanging_coordinates_changes_nothing():
    joint = GaussianMixture(np.array([0.4, 0.6]), np.array([[0.0, 0.0], [1.0, 2.0]]), np.stack([TILTED[:2, :2]] * 2))
    swap = joint.affine_image(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2))
    assert mixture_task(joint, 1).mutual_information.value == pytest.approx(
        mixture_task(swap, 1).mutual_information.value, abs=1e-6
    )


def test_truth_is_not_computed_before_it_is_read():
    task = mixture_task(GaussianMixture.isotropic(np.eye(4), 1.0), 2)
    assert task.known_by == "Monte Carlo"
    assert "by Monte Carlo" in repr(task)
    first = task.transformed(np.exp, np.exp).mutual_information
    assert first is task.mutual_information


def test_grid_refuses_what_it_cannot_resolve():
    spike = GaussianMixture(np.array([0.5, 0.5]), np.eye(2), np.stack([np.eye(2), 1e-12 * np.eye(2)]))
    with pytest.raises(LawError, match="use sampled_task"):
        information_by_quadrature(spike, 1)
    with pytest.raises(LawError, match="d_x"):
        mixture_task(spike, 2)
