"""The catalogue: a lazy mapping, and every truth in it by a second route."""

import copy
from collections.abc import Mapping

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.choices import UnknownNameError
from itssl.distributions.catalogue import UnknownTaskError, task_catalogue, tasks
from itssl.distributions.tasks import LazyTruth, Task, linear_gaussian_views

# The information of the line comes in small part from draws at its ends, too rare for few draws to meet;
# test_additive_noise checks its pointwise information there.
RARE = {"line-10.0"}
# The same mean pointwise information would be compared with itself: test_mixture_tasks and test_positive_pairs
# have second routes for these.
SAMPLED = {name for name in tasks() if tasks()[name].known_by == "Monte Carlo"}
SLOW_TO_INTEGRATE = {"2v1-waves-12-5.0-3.0"}  # checked in test_mixture_tasks


def test_there_are_enough_and_each_has_a_family():
    assert len(tasks()) >= 60
    assert sum(len(tasks().family(name)) for name in tasks().families) == len(tasks())
    assert all(task.family in tasks().families and task.name == name for name, task in tasks().items())


@pytest.mark.parametrize("name", sorted(set(tasks()) - SAMPLED - RARE - SLOW_TO_INTEGRATE))
def test_truth_is_the_mean_pointwise_information(name):
    task = tasks()[name]
    n = 2000 if task.joint.dim > 20 else 10_000
    sampled, truth = task.mutual_information_by_monte_carlo(stream(0, "catalogue", name), n=n), task.mutual_information
    assert abs(sampled.value - truth.value) <= 5 * np.hypot(sampled.standard_error, truth.standard_error) + 1e-12


@pytest.mark.parametrize("name", tasks())
def test_draws_are_admissible_and_repeat(name):
    task = tasks()[name]
    x, y = task.sample(50, stream(0, "draws"))
    again = task.sample(50, stream(0, "draws"))
    assert x.shape == (50, task.d_x)
    assert y.shape == (50, task.d_y)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(x, task.sample(50, stream(1, "draws"))[0])


def test_it_is_a_read_only_mapping():
    assert isinstance(tasks(), Mapping)
    assert "1v1-normal-0.75" in tasks()
    assert tasks()["1v1-normal-0.75"] is tasks()["1v1-normal-0.75"]
    assert tasks() is tasks()
    assert tasks().get("nothing of the kind") is None
    assert "nothing of the kind" not in tasks()
    with pytest.raises(TypeError):
        tasks()["mine"] = linear_gaussian_views([0.5])  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("kind", [KeyError, UnknownNameError, ValueError, UnknownTaskError])
def test_unknown_names_are_refused_with_the_nearest(kind):
    with pytest.raises(kind) as caught:
        tasks()["1v1-norml-0.75"]
    assert str(caught.value).startswith("task: expected a name in the catalogue, got '1v1-norml-0.75'; did you mean")
    with pytest.raises(UnknownNameError, match="did you mean 'channels'"):
        tasks().family("channel")


def test_nothing_is_built_before_it_is_asked_for():
    built = []

    def build(name):
        built.append(name)
        return linear_gaussian_views([0.5])

    few = task_catalogue({"a": {"one": lambda: build("one"), "two": lambda: build("two")}})
    assert list(few) == ["one", "two"]
    assert "one" in few
    assert len(few) == 2
    assert built == []
    assert few["two"] is few.family("a")["two"]
    assert built == ["two"]
    with pytest.raises(ValueError, match="every name once"):
        task_catalogue({"a": {"one": lambda: build("one")}, "b": {"one": lambda: build("one")}})


def refuse_to_compute():
    raise AssertionError("the truth was computed")


def test_the_table_computes_no_truth():
    base = linear_gaussian_views([0.5])
    costly = Task(
        name="<costly>",
        joint=base.joint,
        x=base.x,
        y=base.y,
        mutual_information=LazyTruth(refuse_to_compute, "Monte Carlo"),
    )
    few = task_catalogue({"f": {"<costly>": lambda: costly, "cheap": lambda: base}})
    assert str(few).splitlines()[1].split() == ["<costly>", "f", "1", "1", "by", "Monte", "Carlo"]
    assert "0.143841" in str(few)
    assert "&lt;costly&gt;" in few._repr_html_()
    assert repr(few) == "Catalogue(2 tasks: f)"
    assert "by Monte Carlo" in repr(costly.transformed(np.exp, np.exp))
    with pytest.raises(AssertionError, match="was computed"):
        _ = few["<costly>"].mutual_information


def test_table_has_a_line_for_each_task():
    assert len(str(tasks()).splitlines()) == len(tasks()) + 1
    assert tasks()._repr_html_().count("<tr>") == len(tasks()) + 1
    assert list(tasks().to_pandas().iloc[:, 0]) == list(tasks())


def test_names_of_one_refusal_survive_copying():
    error = UnknownTaskError("task: text")
    assert str(copy.copy(error)) == str(error) == "task: text"
    with pytest.raises(UnknownTaskError, match=r"list\(tasks\(\)\) has all names$"):
        tasks()["line-10"]
