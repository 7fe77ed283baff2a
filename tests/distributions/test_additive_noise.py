"""Uniform additive noise: closed form, quadrature and histograms agree; draws; built from the information."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.additive_noise import (
    _RELATIONS,
    _density,
    _information_by_quadrature,
    additive_noise_task,
    additive_noise_task_with_information,
    relations,
)
from itssl.distributions.gaussian import LawError

EPS = np.finfo(float).eps
# relation: f written a second time
CURVES = {
    "line": lambda x: x,
    "square": lambda x: x * x,
    "cube": lambda x: x * x * x,
    "exponential": lambda x: np.exp(x) - 1,
    "parabola": lambda x: 4 * (x - 0.5) * (x - 0.5),
    "sine": lambda x: np.sin(4 * np.pi * x),
    "fast_sine": lambda x: np.sin(16 * np.pi * x),
}


def test_every_relation_is_tested():
    assert set(CURVES) == set(relations())


@settings(deadline=None, max_examples=30)
@given(width=st.floats(1e-3, 5.0))
def test_closed_form_of_the_line_equals_quadrature(width):
    measured = _information_by_quadrature(_RELATIONS["line"], width)
    truth = additive_noise_task(width).mutual_information.value
    assert truth == pytest.approx(measured.value, abs=measured.standard_error + 1e3 * EPS)


@pytest.mark.parametrize("relation", relations())
@pytest.mark.parametrize("width", [0.05, 0.7, 2.5])
def test_information_by_adaptive_quadrature_of_the_naive_density(relation, width):
    """p(y) = share of a fine grid of x with |f(x) − y| < w/2; then −∫ p log p − log w."""
    curve = _RELATIONS[relation]
    # midpoints avoid the ends; the sorted images of a fine grid are the distribution function
    images = np.sort(CURVES[relation]((np.arange(400_000) + 0.5) / 400_000))

    def naive(y):
        return (np.searchsorted(images, y + width / 2) - np.searchsorted(images, y - width / 2)) / len(images) / width

    y = np.linspace(curve.low - width, curve.high + width, 40_001)
    p = naive(y)
    miscount = 32 / len(images) / width  # one at each end of the at most 16 monotone pieces
    np.testing.assert_allclose(_density(curve, width, y), p, atol=miscount)
    surprise = np.where(p > 0, -p * np.log(np.where(p > 0, p, 1)), 0)
    slow = np.trapezoid(surprise, y) - np.log(width)
    assert additive_noise_task(width, relation=relation).mutual_information.value == pytest.approx(
        slow, abs=miscount * (curve.high - curve.low + width)
    )


@pytest.mark.parametrize("relation", ["square", "cube", "sine"])
def test_quadrature_to_ten_digits(relation):
    curve, width = _RELATIONS[relation], 0.2
    ends = np.unique([e + s * width / 2 for e in (curve.low, curve.high) for s in (-1, 1)])

    def surprise(y):
        p = _density(curve, width, np.array([y]))[0]
        return -p * np.log(p) if p > 0 else 0.0

    slow = sum(quad(surprise, a, b, epsabs=1e-13, epsrel=1e-13, limit=500)[0] for a, b in pairwise(ends)) - np.log(
        width
    )
    truth = additive_noise_task(width, relation=relation).mutual_information
    assert truth.value == pytest.approx(slow, abs=1e-10)
    assert truth.standard_error < 1e-12


@pytest.mark.parametrize("relation", relations())
def test_draws_follow_the_stated_laws(relation):
    x, y = additive_noise_task(0.3, relation=relation).sample(5000, stream(0, "draws", relation))
    assert kstest(x[:, 0], "uniform").pvalue > 1e-6
    assert kstest((y - CURVES[relation](x))[:, 0] / 0.3 + 0.5, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("nats", [1e-3, 0.2, 0.5, 0.500001, 1.0, 5.0, 10.0, 100.0])
def test_built_from_its_information(nats):
    assert additive_noise_task_with_information(nats).mutual_information.value == pytest.approx(nats, rel=1e-12)


def test_pointwise_information_in_the_middle_and_at_an_end():
    """−log w where the noise fits inside; −log w − log(covered share) near an end: rare, so sampling misses it."""
    task = additive_noise_task_with_information(10.0)
    width = np.exp(-task.pointwise_information(np.array([[0.5]]), np.array([[0.5]]))[0])
    assert width / 2 - np.log(width) == pytest.approx(10.0, rel=1e-9)
    at_the_end = task.pointwise_information(np.array([[0.0]]), np.array([[0.0]]))[0]
    assert at_the_end == pytest.approx(np.log(2) - np.log(width), rel=1e-9)


def test_parameters_that_describe_no_task():
    with pytest.raises(ParameterError, match="width"):
        additive_noise_task(0.0)
    with pytest.raises(UnknownNameError, match="did you mean 'square'"):
        additive_noise_task(0.1, relation="squared")
    with pytest.raises(LawError, match="nats"):
        additive_noise_task_with_information(0.0)
