"""C21 and C22: hinges by hand and spectra as stated."""

import numpy as np
import pytest

import itssl
from itssl.claims import variance_surrogates as surrogates
from itssl.claims.worlds import random_covariance
from itssl.kernels.linalg import covariance

EPS = np.finfo(float).eps


def rng():
    return itssl.stream(0, "tests of variance surrogates")


def test_hinges_are_those_of_the_formula():
    world = surrogates.NEAR_FOUR.make()
    z, c, hinges = world.variances_and_hinges(rng())
    by_hand = ((z - z.mean(axis=0)) ** 2).sum(axis=0) / (len(z) - 1)
    np.testing.assert_allclose(c, by_hand, rtol=len(z) * EPS)
    np.testing.assert_allclose(hinges, [-max(0.0, 2 - np.sqrt(v + 1e-4)) for v in by_hand], atol=len(z) * EPS)
    assert (hinges < 0).any()
    assert (hinges == 0).any()


def test_batches_have_exactly_the_covariance_asked_for():
    cov = random_covariance(5, rng())
    np.testing.assert_allclose(covariance(surrogates._exactly(cov).draw(rng())), cov, atol=surrogates.ROWS * EPS)


def test_half_log_is_twice_as_much_in_units_of_gamma_two():
    one, two = surrogates.NEAR_ONE.make(), surrogates.NEAR_FOUR.make()
    c = np.array([0.1, 1.0, 7.0])
    np.testing.assert_allclose(two.half_log(4 * c), 2 * one.half_log(c), atol=8 * EPS)


def test_reversal_is_the_one_of_two_closed_forms():
    measured = itssl.check("C21", control="the hinge ranks covariances as log|C| does").measured
    assert measured["½ log|C|, first"].value == pytest.approx((5 * np.log(4) + np.log(0.2)) / 2)
    assert measured["½ log|C|, second"].value == pytest.approx(np.log(0.25) / 2)
    assert measured["−K v(Z), first"].value == pytest.approx(np.sqrt(0.2 + 1e-4) - 1)
    assert measured["−K v(Z), second"].value == pytest.approx(np.sqrt(0.25 + 1e-4) - 1)


def test_collapsed_spectrum_has_the_trace_of_identity_and_no_determinant():
    measured = itssl.check("C22", surrogates.TRACE_OF_IDENTITY.name).measured
    assert abs(measured["tr C − K"].value) < surrogates.ROWS * EPS
    assert round(measured["Σ log c"].value) == -67
    assert measured["Σ log c"].value == pytest.approx(np.log(6 - 5e-6) + 5 * np.log(1e-6))
    assert measured["K v(Z)"].value == pytest.approx(5 * (1 - np.sqrt(1e-6 + 1e-4)))


def test_rotated_collapse_has_unit_variances():
    z, c, hinges = surrogates.ROTATED.make().variances_and_hinges(rng())
    np.testing.assert_allclose(c, 1, atol=surrogates.ROWS * EPS)
    assert (hinges == 0).all()
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(z)), [1e-6] * 5 + [6 - 5e-6], atol=surrogates.ROWS * EPS)


def test_worst_coordinate_is_found():
    sides = surrogates._at_worst((np.array([0.0, 3.0, 1.0]), np.array([1.0, 3.5, 1.2])), (2.0, 5.0), parts=("a", "b"))
    assert (sides.left, sides.right) == ((1.0, 2.0), (1.2, 5.0))
