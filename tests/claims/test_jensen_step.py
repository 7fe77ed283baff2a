"""C11 beyond its verdict: its quadrature against grids and draws, and its gap by hand."""

import math

import numpy as np
import pytest

import itssl
from itssl.claims import bound_gap, jensen_step
from itssl.claims.jensen_step import _after_jensen, _by_quadrature, _closed, _jensen, _shifted_pair


def rng(*path):
    return itssl.stream(0, "tests of Jensen's step", *path)


def log_normal(x, mean, cov):
    """log N(x; mean, cov) by its formula, for rows of x."""
    off = x - mean
    square = (off @ np.linalg.inv(cov) * off).sum(axis=1)
    return -(len(cov) * math.log(2 * math.pi) + math.log(np.linalg.det(cov)) + square) / 2


def test_quadrature_is_that_of_a_grid_in_the_plane():
    """The naive twin: E over z by 8 × 8 Gauss–Hermite nodes, the integral over z' on a grid, nothing factored."""
    first, second = _shifted_pair(2, 1.0, rng("plane"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    corners = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    z = first.mean + corners @ np.linalg.cholesky(first.cov).T
    axis = np.linspace(-6, 6, 161)
    grid = second.mean + np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(log_normal(grid, second.mean, second.cov)) * (axis[1] - axis[0]) ** 2
    inner = [np.log(np.exp(log_normal(grid, point, np.eye(2))) @ density) for point in z]
    expected = np.outer(weights, weights).ravel() @ inner / (2 * np.pi)
    assert _by_quadrature(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("d", "std"), [(1, 1.0), (5, 2.0)])
def test_closed_forms_are_means_over_draws(d, std):
    first, second = _shifted_pair(d, std, rng("draws", d))
    z, z_pair = first.sample(20_000, rng("z", d)), second.sample(20_000, rng("z'", d))
    before = log_normal(z, second.mean, second.cov + np.eye(d))
    after = log_normal(z, z_pair, np.eye(d))
    for values, closed in ((before, _closed(first, second)), (after, _after_jensen(first, second))):
        assert abs(np.mean(values) - closed) < 4 * np.std(values) / math.sqrt(20_000)


def test_gap_on_a_line_by_hand():
    """½[s − log(1 + s) + s (v + δ²)/(1 + s)] for variances v, s of z, z' a distance δ apart."""
    v, s, delta = 0.7, 1.9, 1.3
    first, second = itssl.Gaussian(np.array([delta]), np.array([[v]])), itssl.Gaussian(np.zeros(1), np.array([[s]]))
    gap = _jensen(first, second).measured["gap"]
    assert gap == pytest.approx((s - math.log(1 + s) + s * (v + delta**2) / (1 + s)) / 2, rel=1e-12)


def test_gap_is_of_first_order_in_the_covariance_of_the_other_view():
    first, shape = _shifted_pair(3, 1.0, rng("order"))
    shift = first.mean - shape.mean
    slope = np.trace(shape.cov @ (first.cov + np.outer(shift, shift))) / 2
    for eps in (1e-2, 1e-4):
        second = itssl.Gaussian(shape.mean, eps * shape.cov)
        assert _jensen(first, second).measured["gap"] == pytest.approx(eps * slope, rel=4 * eps)


def test_posterior_of_the_other_view_is_prior_times_likelihood():
    _, second = _shifted_pair(3, 1.0, rng("posterior"))
    z, z_pair = rng("at").standard_normal(3), second.sample(6, rng("points"))
    both = np.block([[second.cov, second.cov], [second.cov, second.cov + np.eye(3)]])
    posterior = bound_gap.conditional(itssl.Gaussian(np.tile(second.mean, 2), both)).given(z)
    unnormalized = second.log_density(z_pair) + log_normal(z_pair, z, np.eye(3))
    evidence = log_normal(z[None], second.mean, second.cov + np.eye(3))
    np.testing.assert_allclose(posterior.log_density(z_pair), unnormalized - evidence, rtol=1e-10)


def test_form_often_written_has_no_upper_limit_as_the_views_narrow():
    gains = []
    for scale in (1e-2, 1e-4):
        first = second = itssl.Gaussian(np.zeros(4), scale * np.eye(4))
        form = _closed(first, second, log_det=2 * (first.log_det + second.log_det))
        gains.append(form - _closed(first, second))
        assert _after_jensen(first, second) < _closed(first, second) < 0
    assert gains[1] - gains[0] == pytest.approx(8 * math.log(100), rel=0.01)


@pytest.mark.parametrize("std", [0.1, 1.0, 3.0])
def test_claim_holds_for_a_pair_of_ones_own(std):
    itssl.check("C11", lambda generator: jensen_step._shifted_pair(3, std, generator)).require()


@pytest.mark.slow
def test_claim_holds_for_a_trained_encoder():
    world = next(w for w in itssl.claims()["C11"].worlds if "digits" in w.name)
    itssl.check("C11", world.name, seed=1).require()
