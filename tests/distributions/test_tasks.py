"""Tasks: mutual information by canonical correlations, log-determinants and Monte Carlo; invariance under maps."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings

from itssl import check_equality
from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import exact
from itssl.distributions.tasks import (
    LazyTruth,
    Task,
    gaussian_task,
    gaussian_task_with_information,
    linear_gaussian_views,
    random_mixing,
    sampled_task,
)
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


def counted_truth():
    calls = []

    def compute():
        calls.append(1)
        return exact(0.5, "counted")

    base = linear_gaussian_views([0.6])
    truth = LazyTruth(compute, "summation")
    return Task(name="counted", joint=base.joint, x=base.x, y=base.y, mutual_information=truth), calls


def test_lazy_truth_is_computed_once_for_a_task_and_its_images():
    task, calls = counted_truth()
    harder = task.transformed(np.exp, np.exp).named("other", family="f")
    assert (harder.known_by, harder.name, harder.family) == ("summation", "other", "f")
    assert "by summation" in repr(harder)
    assert (harder.d_x, harder.d_y) == (1, 1)
    assert calls == []
    assert harder.mutual_information is task.mutual_information
    assert calls == [1]


def test_replace_gives_another_truth():
    task, calls = counted_truth()
    other = replace(task, mutual_information=exact(1.0, "given"))
    assert (other.mutual_information.value, other.known_by, calls) == (1.0, "closed form", [])
    with pytest.raises(FrozenInstanceError):
        task.mutual_information = exact(1.0, "given")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="mutual_information"):
        Task(name="none", joint=task.joint, x=task.x, y=task.y)


def test_sampled_truth_repeats_and_carries_its_error():
    base = linear_gaussian_views([0.9, 0.5])
    task = sampled_task(name="sampled", joint=base.joint, x=base.x, y=base.y, n=5000)
    truth = task.mutual_information
    assert truth.n == 5000
    assert abs(truth.value - base.mutual_information.value) < 5 * truth.standard_error
    again = sampled_task(name="again", joint=base.joint, x=base.x, y=base.y, n=5000).mutual_information
    assert again.value == truth.value


def test_maps_may_raise_the_dimension():
    task = linear_gaussian_views([0.6]).transformed(lambda x: np.hstack([np.cos(x), np.sin(x), x]), lambda y: y)
    assert (task.d_x, task.d_y) == (3, 1)
    sampled = task.mutual_information_by_monte_carlo(stream(0, "raise"), n=5000)
    assert abs(sampled.value - task.mutual_information.value) < 5 * sampled.standard_error


def test_gaussian_task_with_blocks_of_different_size():
    cov = np.array([[2.0, 0.3, 0.5], [0.3, 1.0, -0.2], [0.5, -0.2, 1.5]])
    task = gaussian_task(Gaussian(np.array([1.0, 2.0, 3.0]), cov), 2)
    by_hand = 0.5 * np.log(np.linalg.det(cov[:2, :2]) * cov[2, 2] / np.linalg.det(cov))
    assert task.mutual_information.value == pytest.approx(by_hand, abs=64 * EPS)
    assert (task.d_x, task.d_y) == (2, 1)
    sampled = task.mutual_information_by_monte_carlo(stream(0, "blocks"), n=5000)
    assert abs(sampled.value - by_hand) < 5 * sampled.standard_error


def test_tasks_travel_to_other_processes():
    task = linear_gaussian_views([0.6]).transformed(np.exp, np.cbrt)
    copy = pickle.loads(pickle.dumps(task))
    np.testing.assert_array_equal(copy.sample(5, stream(0, "p"))[0], task.sample(5, stream(0, "p"))[0])
    assert copy.mutual_information.value == task.mutual_information.value


@pytest.mark.parametrize("d", [1, 3])
def test_information_that_rounding_would_change_is_refused(d):
    """Asked and given agree to 1e-6 up to 12 nats a dimension; beyond, 1 − ρ² has lost its digits."""
    for nats in (1e-3, 5.0, 12.0):
        found = gaussian_task_with_information(nats * d, d).mutual_information.value
        assert abs(found - nats * d) < 1e-6 * d
    with pytest.raises(LawError, match="12 a dimension"):
        gaussian_task_with_information(12.1 * d, d)
