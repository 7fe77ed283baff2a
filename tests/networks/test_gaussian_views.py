"""Linear-Gaussian views: their joint law with the data, and the information in closed form and as estimated."""

import math

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import random_mixing
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.networks.encoders import torch_generator
from itssl.networks.gaussian_views import LinearGaussianViews

RHO = (0.9, 0.5, 0.0)


def triple(views, n, seed=0):
    """n draws of (X, X', X'')."""
    x = torch.tensor(views.source.sample(n, stream(seed, "source")))
    return np.hstack([x.numpy(), *(view.numpy() for view in views(x, torch_generator(seed, "views")))])


@pytest.mark.parametrize("mixing", [None, random_mixing(3, 1)], ids=["identity", "mixed"])
def test_the_joint_law_is_that_of_the_docstring(mixing):
    views, n = LinearGaussianViews(RHO, mixing), 20_000
    m, rho = np.eye(3) if mixing is None else mixing, np.array(RHO)
    one, with_x, across = m @ m.T, m * np.sqrt(rho) @ m.T, m * rho @ m.T
    expected = np.block([[one, with_x, with_x], [with_x, one, across], [with_x, across, one]])
    sample = triple(views, n)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / n)
    assert (np.abs(np.cov(sample.T) - expected) < 5 * error).all()
    assert (np.abs(sample.mean(axis=0)) < 5 * np.sqrt(np.diag(expected) / n)).all()
    for task, cov in ((views.task, expected[3:, 3:]), (views.source_task, expected[:6, :6])):
        assert isinstance(task.joint, Gaussian)
        np.testing.assert_allclose(task.joint.cov, cov, atol=1e-14)
    np.testing.assert_allclose(views.source.cov, one, atol=1e-14)


@pytest.mark.parametrize("mixing", [None, random_mixing(3, 1)], ids=["identity", "mixed"])
def test_information_is_the_closed_form_and_what_the_plug_in_finds(mixing):
    views = LinearGaussianViews(RHO, mixing)
    between = -0.5 * sum(math.log(1 - rho**2) for rho in RHO)
    with_x = -0.5 * sum(math.log(1 - rho) for rho in RHO)
    assert views.task.mutual_information.value == pytest.approx(between, rel=1e-12)
    assert views.source_task.mutual_information.value == pytest.approx(with_x, rel=1e-12)
    assert with_x > between
    x, a, b = np.split(triple(views, 5000), 3, axis=1)
    of_views, of_view = GaussianPlugin().mutual_information(a, b), GaussianPlugin().mutual_information(x, a)
    assert abs(of_views.value - between) < 5 * of_views.standard_error
    assert abs(of_view.value - with_x) < 5 * of_view.standard_error
    # Control: √ρ in the place of ρ would show.
    assert abs(of_views.value - with_x) > 5 * of_views.standard_error


def test_given_x_the_views_are_independent():
    views, n = LinearGaussianViews((0.8, 0.3), random_mixing(2, 2)), 10_000
    x, a, b = np.split(triple(views, n), 3, axis=1)
    kept = np.linalg.lstsq(x, a, rcond=None)[0]
    rest = np.corrcoef((a - x @ kept).T, (b - x @ kept).T)[:2, 2:]
    assert np.abs(rest).max() < 5 / math.sqrt(n)


def test_the_mixing_is_kept_apart_and_read_only():
    m = np.eye(2)
    views = LinearGaussianViews((0.5, 0.5), m)
    m[0, 0] = 7.0
    assert views.source.cov[0, 0] == 1
    assert views.mixing is not None
    assert not views.mixing.flags.writeable


@pytest.mark.parametrize(
    ("correlations", "mixing", "message"),
    [
        ((), None, r"correlations: expected numbers in \[0, 1\), got \(\)"),
        ((0.5, 1.0), None, "correlations: expected numbers in"),
        ((-0.5,), None, "correlations: expected numbers in"),
        ((math.nan,), None, "correlations: expected numbers in"),
        ((0.5, 0.5), np.eye(3), r"mixing: expected a finite invertible \(2, 2\) matrix .* got shape \(3, 3\)"),
        ((0.5, 0.5), np.ones((2, 2)), r"got shape \(2, 2\) of rank 1"),
        ((0.5,), np.full((1, 1), np.inf), "mixing: expected a finite"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(correlations, mixing, message):
    with pytest.raises(ParameterError, match=message):
        LinearGaussianViews(correlations, mixing)


def test_rows_of_another_length_are_refused():
    with pytest.raises(ParameterError, match=r"x: expected rows of 2 numbers, got shape \(4, 3\)"):
        LinearGaussianViews((0.5, 0.5)).draw(torch.zeros(4, 3), torch_generator(0))
