"""C25 and C26: expectations by enumeration, the floor by descent, and the bias by its definition."""

import dataclasses
from itertools import product

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import finite_batches
from itssl.claims.worlds import random_covariance
from itssl.estimators.wishart import log_determinant_bias
from itssl.objectives.vicreg import covariance_term

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of finite batches", *path)


def test_covariance_terms_of_many_batches_are_those_of_each():
    z = rng().standard_normal((5, 7, 3)) + 2
    expected = [float(covariance_term(batch)) for batch in z]
    np.testing.assert_allclose(finite_batches._covariance_terms(z), expected, rtol=64 * EPS)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_expected_term_of_a_finite_population_by_enumeration(n):
    """All 4^n equally probable batches of four skewed points in R^3."""
    points = rng("population").standard_exponential((4, 3))
    law = finite_batches._drawn_again(points, n=n, averaged=1)
    batches = points[np.array(list(product(range(4), repeat=n)))]
    mean = finite_batches._covariance_terms(batches).mean()
    assert mean == pytest.approx(law.expected(n), rel=len(batches) * EPS)
    assert mean != pytest.approx(law.expected(n, gaussian=True), rel=1e-2)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_excess_is_refuted_on_either_side(factor):
    law = finite_batches.HEAVY_TAILS.make()
    wrong = dataclasses.replace(law, cumulant=factor * law.cumulant)
    assert itssl.check("C25", wrong).outcome is Outcome.VIOLATED


def test_heavy_tails_have_the_fourth_cumulants_of_their_scales():
    """E w² − 1 = 0.64 for w = 0.2 or 1.8, times C_ii C_jj + 2 C_ij²."""
    law = finite_batches._correlated(2, 0.5, n=4, averaged=1, mixed=True)
    excess = np.mean(np.square([0.2, 1.8])) - 1
    np.testing.assert_allclose(law.cumulant, excess * np.array([[3, 1.5], [1.5, 3]]), rtol=8 * EPS)
    squares = (law.sample(2**16, rng()) ** 2).prod(axis=1)
    expected = law.cumulant[0, 1] + 1 + 2 * 0.5**2
    assert abs(squares.mean() - expected) < 5 * squares.std() / 2**8


def test_independent_columns_have_the_baseline():
    law = finite_batches.INDEPENDENT.make()
    assert law.expected(32) == pytest.approx(63 / 31)
    assert law.expected(32) / law.expected(256) == pytest.approx(255 / 31)


@pytest.mark.parametrize(("n", "k", "floor"), [(17, 64, 3.0), (9, 16, 1.0), (5, 40, 9.0)])
def test_descent_reaches_the_floor(n, k, floor):
    z = finite_batches._descend(n, k, rng(n, k))
    np.testing.assert_allclose(z.std(axis=0, ddof=1), 1, rtol=n * EPS)
    assert float(covariance_term(z)) == pytest.approx(floor, rel=256 * EPS)
    values = np.linalg.eigvalsh(z @ z.T) / (n - 1)
    np.testing.assert_allclose(values[1:], k / (n - 1), rtol=1e-6)  # a tight frame; c is flat there
    on_the_way = [float(covariance_term(finite_batches._descend(n, k, rng(n, k), steps=i))) for i in (0, 1, 4)]
    assert on_the_way[0] > on_the_way[1] > on_the_way[2] > floor


def test_reference_values_are_measured():
    seen = itssl.check("C25", finite_batches.DESCENDED.name, seed=1).measured
    assert seen["c"].value == pytest.approx(3.0)
    assert seen["i.i.d. Gaussian"].value == 63 / 16
    independent = itssl.check("C25", "64 independent N(0, 1) in 17 rows", seed=1).measured["c at unit diagonal"]
    assert abs(independent.value - 63 / 16) < 5 * independent.standard_error


@pytest.mark.parametrize("n", [2, 9])
def test_bias_of_one_variance_is_that_of_a_log_chi_squared(n):
    draws = np.log(rng(n).chisquare(n - 1, 2**16) / (n - 1))
    assert abs(draws.mean() - log_determinant_bias(n, 1)) < 5 * draws.std() / 2**8


def test_bias_does_not_depend_on_the_covariance():
    plain, skewed = (
        finite_batches.GaussianBatches(cov=c, n=9, averaged=4) for c in (np.eye(3), random_covariance(3, rng()))
    )
    first, second = (finite_batches._measured_bias(world, rng("draws")) for world in (plain, skewed))
    assert first == pytest.approx(second, rel=1024 * EPS)
