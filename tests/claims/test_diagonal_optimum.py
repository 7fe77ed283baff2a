"""C23: sets as stated, and an ascent that must not know its answer."""

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import diagonal_optimum as optimum
from itssl.claims.worlds import random_covariance

EPS = np.finfo(float).eps


def rng():
    return itssl.stream(0, "tests of the diagonal optimum")


@pytest.mark.parametrize(("p", "norm"), [(1.0, "nuc"), (2.0, "fro")])
def test_boundary_and_best_multiple_of_identity(p, norm):
    ball = optimum._norm_ball(p, t=3.0, d=5)
    assert np.linalg.norm(ball.on_boundary(random_covariance(5, rng())), norm) == pytest.approx(ball.radius)
    assert np.linalg.norm(ball.best(5) * np.eye(5), norm) == pytest.approx(ball.radius)
    assert ball.best(5) == pytest.approx(3.0)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_ascent_from_anywhere_ends_at_the_identity(p):
    ball = optimum._norm_ball(p, d=6)
    found = ball.ascend(random_covariance(6, rng(), condition=1e3))
    np.testing.assert_allclose(found, 2 * np.eye(6), atol=1e-6)  # log|S| is flat there: √eps of it
    assert itssl.check("C23", ball).outcome is Outcome.HOLDS


def test_greatest_element_beats_every_multiple_of_identity_below_it():
    b = optimum.BELOW.make()
    t = float(np.linalg.eigvalsh(b)[0])
    assert np.linalg.eigvalsh(b - t * np.eye(8))[0] > -8 * EPS
    assert np.linalg.slogdet(b)[1] > 8 * np.log(t)
