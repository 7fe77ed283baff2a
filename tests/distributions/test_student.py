"""Student laws: densities against scipy, entropy and information by quadrature, both branches of the correction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest, multivariate_t, norm
from scipy.stats import t as student_t

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions import student
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.student import (
    MultivariateStudent,
    student_correction,
    student_task,
    student_task_with_information,
)
from itssl.testing.strategies import covariances, seeds

EPS = np.finfo(float).eps
OMEGA = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])


@settings(deadline=None, max_examples=25)
@given(dispersion=covariances(), df=st.floats(0.2, 50), seed=seeds())
def test_density_and_entropy_equal_scipy(dispersion, df, seed):
    law = MultivariateStudent(dispersion, df, np.arange(len(dispersion), dtype=float))
    x = law.sample(20, stream(seed, "student"))
    other = multivariate_t(np.arange(len(dispersion)), dispersion, df)
    condition = np.linalg.cond(dispersion)
    np.testing.assert_allclose(law.log_density(x), other.logpdf(x), rtol=1e3 * EPS * condition, atol=1e4 * EPS)
    assert law.entropy.value == pytest.approx(float(other.entropy()), rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("df", [0.7, 1.0, 3.0])
def test_draws_have_student_coordinates_whatever_the_direction(df):
    law = MultivariateStudent(OMEGA, df, np.array([1.0, 0.0, -1.0]))
    x = law.sample(5000, stream(0, "ks", str(df)))
    direction = np.array([1.0, -2.0, 0.5])
    projected = ((x - law.mean) @ direction) / np.sqrt(direction @ OMEGA @ direction)
    assert kstest(projected, student_t(df).cdf).pvalue > 1e-6


def test_tails_are_shared():
    """Of two uncorrelated coordinates both are large together: what tells Student from independent Students."""
    x = MultivariateStudent(np.eye(2), 1.0).sample(20_000, stream(0, "tails"))
    both = (np.abs(x) > 10).all(axis=1).mean()
    # P(both) = E (2Φ(−10 √W))² with √W = |N(0, 1)|; independent coordinates would give 0.0040
    truth = 2 * quad(lambda u: (2 * norm.cdf(-10 * u)) ** 2 * norm.pdf(u), 0, 5)[0]
    assert abs(both - truth) < 5 * np.sqrt(truth / 20_000)
    assert truth > 0.03


@pytest.mark.parametrize("df", [1.0, 2.5, 8.0])
def test_information_of_two_uncorrelated_coordinates_by_quadrature(df):
    """I = 2 h(X) − h(X, Y), the latter a radial integral in the plane."""
    joint, one = multivariate_t(np.zeros(2), np.eye(2), df), student_t(df)  # pyright: ignore[reportArgumentType]

    def surprise(log_r):  # r = e^{log r}: the tails are powers
        r = np.exp(log_r)
        log_p = joint.logpdf(np.array([r, 0.0]))
        return -2 * np.pi * r**2 * np.exp(log_p) * log_p

    pair = sum(quad(surprise, a, b, epsabs=1e-13, limit=400)[0] for a, b in ((-30, 0), (0, 5), (5, 60)))
    assert student_correction(1, 1, df) == pytest.approx(2 * float(one.entropy()) - pair, abs=1e-9)


def test_correction_of_cauchy_in_closed_form():
    assert student_correction(1, 1, 1.0) == pytest.approx(np.log(8 * np.pi) - 3, abs=100 * EPS)


@settings(deadline=None, max_examples=40)
@given(d_x=st.integers(1, 60), d_y=st.integers(1, 60), df=st.floats(300, 3000))
def test_series_for_many_degrees_of_freedom_equals_the_closed_form(d_x, d_y, df):
    naive = sum(s * student._tail_entropy(d, df) for s, d in ((1, d_x), (1, d_y), (-1, d_x + d_y)))
    rounding = 64 * EPS * (df + d_x + d_y) * np.log(df + d_x + d_y)
    assert student_correction(d_x, d_y, df) == pytest.approx(naive, abs=rounding)
    assert student_correction(d_x, d_y, 1e9) == pytest.approx(d_x * d_y / 2e18, rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(dispersion=covariances(dims=st.integers(2, 5)), df=st.floats(0.2, 100), d_x=st.integers(1, 4))
def test_information_is_that_of_entropies_and_of_the_gaussian_plus_a_constant(dispersion, df, d_x):
    d_x = min(d_x, len(dispersion) - 1)
    task = student_task(dispersion, d_x, df)
    entropies = task.x.entropy.value + task.y.entropy.value - task.joint.entropy.value
    assert task.mutual_information.value == pytest.approx(entropies, abs=1e-10)
    gaussian = Gaussian(np.zeros(len(dispersion)), dispersion).mutual_information(range(d_x)).value
    assert task.mutual_information.value - gaussian > 0


def test_monte_carlo_route_agrees():
    for df in (1.0, 3.0):
        task = student_task(OMEGA, 1, df)
        mean = task.mutual_information_by_monte_carlo(stream(0, "mc", str(df)), n=20_000)
        assert abs(mean.value - task.mutual_information.value) < 5 * mean.standard_error


@pytest.mark.parametrize(("nats", "d_x", "d_y"), [(1e-6, 1, 1), (0.1, 1, 1), (1.6, 1, 1), (0.5, 3, 2), (2.0, 10, 10)])
def test_built_from_its_information(nats, d_x, d_y):
    task = student_task_with_information(nats, d_x, d_y)
    assert task.mutual_information.value == pytest.approx(nats, rel=1e-9)
    assert np.isfinite(task.joint.log_density(task.joint.sample(1000, stream(0, "wide")))).all()


def test_what_is_no_student_law_is_refused():
    with pytest.raises(ParameterError, match="df"):
        MultivariateStudent(np.eye(2), 0.0)
    with pytest.raises(LawError, match="dispersion: expected a positive definite"):
        MultivariateStudent(np.ones((2, 2)), 1.0)
    with pytest.raises(LawError, match="add coordinates"):
        student_task_with_information(3.0, 1, 1)
    with pytest.raises(LawError, match="block"):
        student_task(np.eye(2), 2, 1.0)
