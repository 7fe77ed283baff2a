"""Tasks: mutual information by canonical correlations, log-determinants and Monte Carlo; invariance under maps."""

import numpy as np
import pytest
from hypothesis import given, settings

from itssl import check_equality
from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.tasks import gaussian_task_with_information, linear_gaussian_views, random_mixing
from itssl.testing.strategies import gaussian_tasks

EPS = np.finfo(float).eps


@settings(deadline=None)
@given(task=gaussian_tasks())
def test_two_closed_forms_agree(task):
    assert isinstance(task.joint, Gaussian)
    blocks = task.joint.mutual_information(range(task.x.dim)).value
    condition = np.linalg.cond(task.joint.cov)
    assert task.mutual_information.value == pytest.approx(blocks, abs=64 * EPS * condition)


def test_monte_carlo_route_agrees():
    task = linear_gaussian_views([0.9, 0.5, 0.1], mixing=random_mixing(3, 1))
    check_equality(
        lambda rng: task.pointwise_information(*task.sample(500, rng)), task.mutual_information.value, margin=0.02
    ).require()
    assert abs(
        task.mutual_information_by_monte_carlo(stream(0, "mi"), n=2**14).value - task.mutual_information.value
    ) < 5 * np.sqrt((0.9**2 + 0.5**2 + 0.1**2) / 2**14)  # Var of pointwise information is Σρ²


def test_draws_have_the_canonical_correlations():
    mixing = random_mixing(2, 3)
    x, y = linear_gaussian_views([0.8, 0.3], mixing=mixing).sample(50_000, stream(0, "draws"))
    u, v = np.linalg.solve(mixing, x.T), np.linalg.solve(mixing, y.T)
    measured = [np.corrcoef(u[i], v[i])[0, 1] for i in range(2)]
    errors = (1 - np.array([0.8, 0.3]) ** 2) / np.sqrt(50_000)
    assert (np.abs(np.array(measured) - [0.8, 0.3]) < 5 * errors).all()


@pytest.mark.parametrize("nats", [0.0, 0.5, 30.0])
def test_built_from_its_information(nats):
    task = gaussian_task_with_information(nats, 6)
    assert task.mutual_information.value == pytest.approx(nats, rel=0, abs=64 * EPS * np.exp(2 * nats / 6))


def test_transformed_changes_data_not_truth():
    task = linear_gaussian_views([0.6])
    harder = task.transformed(np.exp, lambda y: y**3).transformed(np.log1p, lambda y: -y)
    x, y = task.sample(10, stream(0, "t"))
    hard_x, hard_y = harder.sample(10, stream(0, "t"))
    np.testing.assert_array_equal(hard_x, np.log1p(np.exp(x)))
    np.testing.assert_array_equal(hard_y, -(y**3))
    assert harder.mutual_information is task.mutual_information


@pytest.mark.parametrize("bad", [[1.0], [], [0.5, np.nan]])
def test_impossible_correlations(bad):
    with pytest.raises(LawError, match="correlations"):
        linear_gaussian_views(bad)
