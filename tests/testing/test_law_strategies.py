"""Matrices and laws that are drawn: their premises hold in every example, and their truths by a second route."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.images import Image
from itssl.distributions.law import monte_carlo_entropy
from itssl.distributions.maps import affine
from itssl.distributions.products import Product
from itssl.distributions.scalar_families import ScalarLaw
from itssl.testing.strategies import (
    correlations,
    covariances,
    dirichlet_laws,
    elliptical_laws,
    gaussian_mixtures,
    gaussians,
    laws,
    scalar_laws,
    seeds,
)

EPS = float(np.finfo(float).eps)
SHRUNK = settings(max_examples=500, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
CONDITIONS = st.sampled_from([1.0, 1.5, 10.0, 100.0, 1e6])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), condition=CONDITIONS, d=st.integers(1, 6))
def test_covariances_are_within_their_condition(data, condition, d):
    cov = data.draw(covariances(dims=d, condition=condition))
    assert cov.shape == (d, d)
    np.testing.assert_array_equal(cov, cov.T)
    values = np.linalg.eigvalsh(cov)
    rounding = 64 * EPS * values[-1]  # absolute, of every eigenvalue
    assert values[0] >= condition**-0.5 - rounding
    assert values[-1] <= condition**0.5 + rounding


@settings(max_examples=60, deadline=None)
@given(data=st.data(), condition=CONDITIONS, d=st.integers(1, 6))
def test_correlations_are_correlation_matrices_within_their_condition(data, condition, d):
    matrix = data.draw(correlations(dims=d, condition=condition))
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diagonal(matrix), np.ones(d))
    smallest = d / (condition + d - 1)
    assert np.linalg.eigvalsh(matrix)[0] >= smallest - 64 * EPS
    assert np.linalg.cond(matrix) <= condition * (1 + 64 * d * EPS / smallest)
    # Hadamard: the entropy of coordinates together is at most the sum of theirs
    rounding = 64 * d * EPS / smallest
    assert Gaussian(np.zeros(d), matrix).entropy.value <= d * Gaussian.standard(1).entropy.value + rounding


@pytest.mark.parametrize("condition", [2.0, 100.0, 1e6])
def test_the_bound_on_correlations_is_reached(condition):
    """At ρ = ±(c − 1)/(c + 1), where (1 + |ρ|)/(1 − |ρ|) = c."""
    pairs, bound = correlations(dims=2, condition=condition), (condition - 1) / (condition + 1)
    positive = find(pairs, lambda r: r[0, 1] > 0.9 * bound, settings=SHRUNK)
    negative = find(pairs, lambda r: r[0, 1] < -0.9 * bound, settings=SHRUNK)
    assert positive[0, 1] == -negative[0, 1] == pytest.approx(bound, rel=64 * EPS)  # both shrink to |z| = 1


def test_factors_have_the_partial_correlations_that_were_drawn():
    """For three variables by the textbook: ρ_23·1 = (ρ_23 − ρ_12 ρ_13)/√((1−ρ_12²)(1−ρ_13²)) stays within ±1."""
    low, high = np.inf, -np.inf

    @settings(max_examples=100, database=None, derandomize=True, deadline=None)
    @given(matrix=correlations(dims=3, condition=1e6))
    def collect(matrix):
        nonlocal low, high
        a, b, c = matrix[0, 1], matrix[0, 2], matrix[1, 2]
        partial = (c - a * b) / np.sqrt((1 - a**2) * (1 - b**2))
        low, high = min(low, partial), max(high, partial)

    collect()
    assert -1 < low < -0.5
    assert 0.5 < high < 1


@settings(max_examples=10, deadline=None)
@given(mixture=gaussian_mixtures(dims=1))
def test_entropy_of_mixtures_lies_between_the_bounds_of_concavity(mixture):
    """Σ w h_c ≤ h ≤ Σ w h_c + H(w), and h ≤ that of the Gaussian with the same covariance."""
    found = mixture.entropy
    within = float(mixture.weights @ [c.entropy.value for c in mixture.components])
    labels = float(-(mixture.weights @ np.log(mixture.weights)))
    room = 6 * found.standard_error + 1e-12
    assert within - room <= found.value <= within + labels + room
    assert found.value <= Gaussian(mixture.mean, mixture.cov).entropy.value + room


@settings(max_examples=25, deadline=None)
@given(data=st.data(), d=st.integers(1, 4), m=st.integers(1, 5))
def test_mixtures_have_the_size_asked_for(data, d, m):
    mixture = data.draw(gaussian_mixtures(dims=d, components=m, condition=4))
    assert mixture.means.shape == (m, d)
    assert np.linalg.cond(mixture.covs).max() <= 4 * (1 + 1e3 * EPS)


@settings(max_examples=25, deadline=None)
@given(law=laws().map(lambda law: centered(law)), seed=seeds())
def test_entropies_are_the_mean_log_densities(law, seed):
    """Six standard errors, which 1024 draws with exponential tails leave once in about 1e7 runs."""
    sampled = monte_carlo_entropy(law, stream(seed, "law"), n=1024)
    room = 6 * (sampled.standard_error + law.entropy.standard_error)
    # rounding of a distance to the location, in widths, which enters densities that are steep at their edge
    assert sampled.value == pytest.approx(law.entropy.value, rel=0, abs=room + 1e6 * EPS * law.dim)


def centered(law):
    """With an edge elsewhere than at 0, draws may round onto it, where densities may be infinite."""
    if isinstance(law, Product):
        return Product(tuple(map(centered, law.laws)))
    return replace(law, location=0.0) if isinstance(law, ScalarLaw) else law


@settings(max_examples=20, deadline=None)
@given(law=laws(), factor=st.sampled_from([0.1, 3.0]))
def test_entropies_move_by_the_logarithm_of_the_scale(law, factor):
    image = Image(law, affine(factor * np.eye(law.dim), np.ones(law.dim)))
    expected = law.entropy.value + law.dim * np.log(factor)
    assert image.entropy.value == pytest.approx(expected, abs=64 * EPS * (1 + law.dim + abs(law.entropy.value)))


@pytest.mark.parametrize(
    "kind",
    ["Gaussian", "ScalarLaw", "GaussianMixture", "Elliptical", "Dirichlet", "InvertedDirichlet",
     "MultivariateLogNormal", "Product"],
)  # fmt: skip
def test_laws_are_of_every_kind(kind):
    find(laws(), lambda law: type(law).__name__ == kind, settings=settings(max_examples=2000, phases=[Phase.generate]))


STANDARD = {
    "gaussians": gaussians(),
    "gaussians in the plane": gaussians(dims=2),
    "gaussian_mixtures": gaussian_mixtures(),
    "scalar_laws": scalar_laws(),
    "elliptical_laws": elliptical_laws(),
    "laws": laws(),
}


@pytest.mark.parametrize("name", STANDARD)
def test_shrinks_to_the_standard_normal_law(name):
    law = find(STANDARD[name], lambda law: True, settings=SHRUNK)
    x = np.linspace(-3, 3, 4 * law.dim).reshape(4, law.dim)
    assert law.dim == (2 if "plane" in name else 1)
    np.testing.assert_allclose(law.log_density(x), Gaussian.standard(law.dim).log_density(x), rtol=0, atol=64 * EPS)


def test_matrices_shrink_to_the_identity():
    for matrices in (covariances, correlations):
        np.testing.assert_array_equal(find(matrices(), lambda m: True, settings=SHRUNK), np.eye(1))
    np.testing.assert_array_equal(find(correlations(dims=3), lambda m: True, settings=SHRUNK), np.eye(3))
    np.testing.assert_array_equal(find(covariances(condition=1), lambda m: True, settings=SHRUNK), np.eye(1))


@pytest.mark.parametrize("draws", [covariances, correlations, gaussians, gaussian_mixtures])
def test_arguments_are_refused_where_they_are_given(draws):
    with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got 0"):
        draws(dims=0)
    for condition in (0.5, float("nan"), 1e13):
        with pytest.raises(ParameterError, match="condition: expected a number from 1 to 1e"):
            draws(condition=condition)
    with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got -1"):
        find(draws(dims=st.just(-1)), lambda law: True, settings=SHRUNK)


def test_other_arguments_are_refused_where_they_are_given():
    with pytest.raises(ParameterError, match="components: expected an integer >= 1, got 0"):
        gaussian_mixtures(components=0)
    for draws in (elliptical_laws, dirichlet_laws):
        with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got 0"):
            draws(dims=0)
