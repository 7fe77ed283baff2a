"""Laws given by their functions: masses, densities and entropies against closed forms."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.distributions.explicit import ExplicitLaw, FiniteLaw, uniform_interval
from itssl.distributions.gaussian import LawError

CORNERS = FiniteLaw(np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 1.0]]), np.array([0.5, 0.2, 0.3]))


def test_finite_law_has_its_masses_and_nothing_else():
    x = np.vstack([CORNERS.points[::-1], [[2.0, 0.0]]])
    np.testing.assert_allclose(np.exp(CORNERS.log_density(x)), [0.3, 0.2, 0.5, 0.0], rtol=1e-15)
    draws = CORNERS.sample(20_000, stream(0, "corners"))
    share = np.array([(draws == point).all(axis=1).mean() for point in CORNERS.points])
    assert (np.abs(share - CORNERS.weights) < 5 * np.sqrt(CORNERS.weights / 20_000)).all()
    assert share.sum() == pytest.approx(1, abs=1e-12)


def test_finite_entropy_is_the_mean_surprise():
    assert CORNERS.entropy.value == pytest.approx(-sum(w * np.log(w) for w in CORNERS.weights), rel=1e-15)


def test_explicit_entropy_of_an_exponential_is_one():
    law = ExplicitLaw(1, lambda n, rng: rng.exponential(size=(n, 1)), lambda x: -x[:, 0])
    assert abs(law.entropy.value - 1) < 5 * law.entropy.standard_error
    assert law.entropy is law.entropy


def test_uniform_entropy_is_the_log_of_the_length():
    assert uniform_interval(-1.0, 2.0).entropy.value == pytest.approx(np.log(3), abs=1e-12)
    draws = uniform_interval(-1.0, 2.0).sample(1000, stream(0, "uniform"))
    assert -1 <= draws.min() < -0.98
    assert 1.98 < draws.max() <= 2


def test_what_is_no_law_is_refused():
    with pytest.raises(LawError, match="different rows"):
        FiniteLaw(np.zeros((2, 1)), np.full(2, 0.5))
    with pytest.raises(LawError, match="sum 1"):
        FiniteLaw(np.array([[0.0], [1.0]]), np.array([0.5, 0.6]))
    with pytest.raises(LawError, match="low < high"):
        uniform_interval(1.0, 1.0)
