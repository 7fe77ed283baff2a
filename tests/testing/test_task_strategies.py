"""Tasks that are drawn: their truth by a second route, for every family, and the arrays that go with them."""

import inspect

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import itssl
from itssl.arrays import as_samples, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.testing.array_kinds import KINDS, array_kinds
from itssl.testing.strategies import TaskCase, gaussian_tasks, tasks
from itssl.testing.task_strategies import _FAMILIES

EPS = float(np.finfo(float).eps)
SHRUNK = settings(max_examples=500, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
PLAIN = st.just(KINDS[0])
EVERY = [*_FAMILIES]


def is_right(case: TaskCase) -> bool:
    """Whether the truth is the mean of log p(x, y)/(p(x) p(y)) within six standard errors of n = 2048 draws.

    Outcomes rarer than 15/n, which all draws miss once in e^15 runs, may shift the mean unseen: by up to 15/n where
    they differ by a nat, as a neuron that is nearly always right. Rounding is that of log densities, whose
    covariances have a condition of at most 1e4.
    """
    sampled = case.task.mutual_information_by_monte_carlo(stream(case.seed, "second route"), n=2048)
    room = 6 * (sampled.standard_error + case.truth.standard_error) + 15 / 2048 + 1e5 * EPS
    return abs(sampled.value - case.truth.value) <= room


@pytest.mark.parametrize("family", EVERY)
def test_truths_are_the_mean_pointwise_information(family):
    @settings(max_examples=5, deadline=None)
    @given(case=tasks(families=[family], kinds=PLAIN))
    def right(case):
        assert is_right(case)
        assert case.truth.value >= -1e5 * EPS
        assert case.truth.units == "nats"

    right()


def test_a_wrong_truth_is_seen():
    """Control: bits instead of nats."""
    case = find(
        tasks(families=["blocks"], kinds=PLAIN), lambda case: case.truth.value > 0.5 and is_right(case), settings=SHRUNK
    )
    bits = TaskCase(task=case.task, truth=case.truth.in_bits(), kind=case.kind, seed=case.seed)
    assert not is_right(bits)


@settings(max_examples=12, deadline=None)
@given(case=tasks(families=[family for family in EVERY if family not in ("mixture", "prototypes")]))
def test_arrays_hold_the_numbers_of_the_draws(case):
    for held, numbers, again in zip(case.sample(12), case.numbers(12), case.sample(12), strict=True):
        np.testing.assert_array_equal(as_samples(held), numbers)
        np.testing.assert_array_equal(as_samples(again), numbers)
        assert type(held).__module__.split(".")[0] == case.kind.library
    x, y = case.numbers(12)
    assert x.shape == (12, case.task.d_x)
    assert y.shape == (12, case.task.d_y)


@settings(max_examples=10, deadline=None)
@given(case=tasks(families=["gaussian", "blocks"]), method=st.sampled_from(["gaussian_plugin", "ksg"]))
def test_information_is_that_of_the_numbers(case, method):
    """Sums are in another order: rounding times the condition of the sample."""
    found = itssl.mutual_information(*case.sample(30), method=method)
    expected = itssl.mutual_information(*case.numbers(30), method=method)
    condition = np.linalg.cond(np.corrcoef(np.hstack(case.numbers(30)).T))
    assert found.value == pytest.approx(expected.value, rel=0, abs=30 * EPS * condition)


@settings(max_examples=6, deadline=None)
@given(case=tasks(families=["transformed"], kinds=PLAIN))
def test_transformed_coordinates_keep_their_order(case):
    """A monotone map of each coordinate cannot change its order, and so not the information."""
    rng = stream(case.seed, "task case")
    for seen, latent in zip(case.numbers(40), case.task.sample_latent(40, rng), strict=True):
        np.testing.assert_array_equal(np.argsort(seen, axis=0), np.argsort(latent, axis=0))


@settings(max_examples=6, deadline=None)
@given(case=tasks(families=["gaussian"], kinds=PLAIN))
def test_estimates_are_near_the_truth(case):
    """The plug-in at n = 4000: bias at most about d²/2n = 0.002 nats, six standard errors beside it."""
    found = itssl.mutual_information(*case.sample(4000), method="gaussian_plugin")
    spread = np.sqrt(case.task.d_x / 4000)  # of −½ Σ log(1 − ρ̂²), whose terms have variance ρ²/n each
    assert abs(found.value - case.truth.value) < 6 * spread + 0.002


@pytest.mark.parametrize("family", EVERY)
def test_families_shrink_to_few_coordinates(family):
    quick = settings(max_examples=5, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
    case = find(tasks(families=[family], kinds=PLAIN), lambda case: True, settings=quick)
    assert case.task.d_x == case.task.d_y == 1
    assert case.seed == 0


def test_shrinks_to_independent_standard_normal_variables():
    case = find(tasks(families=[f for f in EVERY if f != "mixture"]), lambda case: True, settings=SHRUNK)
    assert case.truth.value == 0
    assert repr(case.kind) == "ArrayKind(numpy, float64)"
    np.testing.assert_array_equal(np.hstack(case.sample(5)), stream(0, "task case").standard_normal((5, 2)))
    assert find(gaussian_tasks(), lambda task: True, settings=SHRUNK).mutual_information.value == 0


def test_discrete_laws_are_drawn_only_where_they_are_asked_for():
    names = set()

    @settings(max_examples=25, database=None, derandomize=True, deadline=None)
    @given(case=tasks(kinds=PLAIN))
    def collect(case):
        names.add(case.task.name.split(",")[0].split(" ")[0])

    collect()
    assert len(names) >= 3
    assert "one" not in names


def test_arguments_are_refused_where_they_are_given():
    with pytest.raises(UnknownNameError, match=r"families: expected one of 'gaussian', .* got 'gausian'"):
        tasks(families=["gaussian", "gausian"])
    with pytest.raises(ParameterError, match="families: expected at least one of 'gaussian'"):
        tasks(families=[])
    with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got 0"):
        gaussian_tasks(dims=0)


def test_the_docstring_names_every_family():
    text = inspect.getdoc(tasks)
    assert text is not None
    assert [family for family in EVERY if f'"{family}"' not in text] == []


def test_a_case_is_what_it_was_made_of():
    task = linear_gaussian_views([0.6, 0.8])
    kind = find(array_kinds(), lambda kind: kind.name == "reversed", settings=SHRUNK)
    case = TaskCase(task=task, truth=task.mutual_information, kind=kind, seed=3)
    assert case.sample(7)[0].strides == (-16, 8)
    assert not np.array_equal(case.numbers(7)[0], TaskCase(**{**vars(case), "seed": 4}).numbers(7)[0])
