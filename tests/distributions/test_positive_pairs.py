"""Positive pairs: the ceiling log N, limits, injective views, exact information by another route."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import LawError
from itssl.distributions.positive_pairs import (
    prototype_pairs,
    random_view,
    scattered_prototypes,
    shared_content_pairs,
)
from itssl.testing.strategies import seeds


def test_far_prototypes_carry_log_n_and_near_ones_nothing():
    far = prototype_pairs(100.0 * np.arange(5.0)[:, None], 0.5).mutual_information.value
    near = prototype_pairs(1e-4 * np.arange(5.0)[:, None], 0.5).mutual_information.value
    assert far == pytest.approx(np.log(5), abs=1e-6)
    assert near == pytest.approx(0, abs=1e-6)


def test_two_prototypes_by_adaptive_quadrature():
    """p(x, x') = ½ Σ_c N(x; c) N(x'; c) with c = ±1 and σ = 0.8."""

    def normal(x, c):
        return np.exp(-0.5 * ((x - c) / 0.8) ** 2) / (0.8 * np.sqrt(2 * np.pi))

    def integrand(x, y):
        joint = (normal(x, 1) * normal(y, 1) + normal(x, -1) * normal(y, -1)) / 2
        product = (normal(x, 1) + normal(x, -1)) * (normal(y, 1) + normal(y, -1)) / 4
        return joint * np.log(joint / product)

    slow = dblquad(integrand, -7, 7, -7, 7, epsabs=1e-8)[0]
    task = prototype_pairs(np.array([[-1.0], [1.0]]), 0.8)
    assert task.mutual_information.value == pytest.approx(slow, abs=1e-6)


def test_information_of_prototypes_stays_below_that_about_the_prototype():
    """I(X; X') ≤ I(X; T) ≤ log N, the middle one from the entropy of the mixture."""
    task = scattered_prototypes(6, 2, std=0.4)
    about = task.x.entropy.value - (1 + np.log(2 * np.pi * 0.4**2))
    truth = task.mutual_information
    assert truth.value < about + 5 * truth.standard_error
    assert about < np.log(6)
    assert truth.value > 0.5 * about


def test_views_of_one_prototype_are_independent_given_it():
    task = prototype_pairs(np.array([[0.0, 0.0], [50.0, 0.0]]), 1.0)
    x, y = task.sample(20_000, stream(0, "views"))
    same = (x[:, 0] > 25) == (y[:, 0] > 25)
    assert same.all()
    noise = (x - 50 * (x[:, :1] > 25) * [1, 0], y - 50 * (y[:, :1] > 25) * [1, 0])
    assert abs((noise[0] * noise[1]).mean()) < 5 / np.sqrt(40_000)


@settings(deadline=None, max_examples=20)
@given(
    rho=st.lists(st.floats(-0.99, 0.99), min_size=1, max_size=4), nuisance=st.integers(0, 3), extra=st.integers(0, 5),
    seed=seeds(),
)  # fmt: skip
def test_shared_content_survives_any_injective_view(rho, nuisance, extra, seed):
    d = len(rho) + nuisance
    view = random_view(d, d + extra, seed=seed)
    task = shared_content_pairs(rho, nuisance=nuisance, view=view)
    assert task.mutual_information.value == pytest.approx(-0.5 * np.log(1 - np.square(rho)).sum(), abs=1e-12)
    (x, y), (u, v) = task.sample(50, stream(seed, "s")), task.sample_latent(50, stream(seed, "s"))
    assert x.shape == y.shape == (50, d + extra)
    np.testing.assert_allclose(view.inverse(x), u, atol=1e-9)
    np.testing.assert_allclose(view.inverse(y), v, atol=1e-9)


def test_style_is_private_and_content_shared():
    x, y = shared_content_pairs([0.9, 0.5], nuisance=2).sample(20_000, stream(0, "style"))
    correlations = np.corrcoef(x.T, y.T)[:4, 4:]
    expected = np.diag([0.9, 0.5, 0.0, 0.0])
    assert (np.abs(correlations - expected) < 5 * (1 - expected**2) / np.sqrt(20_000)).all()


def test_pointwise_information_has_the_stated_mean():
    task = shared_content_pairs([0.9, 0.5], nuisance=2, view=random_view(4, 9))
    sampled = task.mutual_information_by_monte_carlo(stream(0, "mean"), n=10_000)
    assert abs(sampled.value - task.mutual_information.value) < 5 * sampled.standard_error


def test_what_cannot_be_is_refused():
    with pytest.raises(LawError, match="correlations"):
        shared_content_pairs([1.0])
    with pytest.raises(LawError, match="cannot be injective"):
        random_view(4, 3)
    with pytest.raises(ParameterError, match="std"):
        prototype_pairs(np.zeros((2, 1)), 0.0)
