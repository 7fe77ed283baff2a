"""Hypothesis strategies for tasks: a joint law, its truth, the kind of array and the seed, drawn together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from itssl.arrays import Samples, stream
from itssl.choices import ParameterError, require_known
from itssl.distributions.additive_noise import additive_noise_task, relations
from itssl.distributions.channels import one_neuron_task
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.maps import elementwise
from itssl.distributions.mixture_tasks import mixture_task
from itssl.distributions.positive_pairs import prototype_pairs, random_view, shared_content_pairs
from itssl.distributions.student import student_task
from itssl.distributions.tasks import Task, gaussian_task, linear_gaussian_views, random_mixing
from itssl.estimate import Estimate
from itssl.testing.array_kinds import ArrayKind, array_kinds
from itssl.testing.law_strategies import Sizes, correlations, covariances, gaussian_mixtures, seeds, sizes


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskCase:
    """A task, its mutual information, and how its draws are held: what an estimator is given and what it should find.

    ``truth`` is the mutual information in nats, exact or with its error; ``seed`` names the draws.

    >>> from itssl.testing.array_kinds import KINDS
    >>> task = linear_gaussian_views([0.6])
    >>> case = TaskCase(task=task, truth=task.mutual_information, kind=KINDS[0], seed=0)
    >>> x, y = case.sample(50)
    >>> print(x.shape, y.shape, f"{case.truth.value:.4f}")
    (50, 1) (50, 1) 0.2231
    """

    task: Task
    truth: Estimate
    kind: ArrayKind
    seed: int

    def sample(self, n: int) -> tuple[Any, Any]:
        """n pairs as arrays of the drawn kind, (n, d_x) and (n, d_y); the same for the same n."""
        x, y = self._draws(n)
        return self.kind(x), self.kind(y)

    def numbers(self, n: int) -> tuple[Samples, Samples]:
        """The float64 numbers that the arrays of :meth:`sample` hold."""
        x, y = self._draws(n)
        return self.kind.numbers(x), self.kind.numbers(y)

    def _draws(self, n: int) -> tuple[Samples, Samples]:
        return self.task.sample(n, stream(self.seed, "task case"))


def gaussian_tasks(*, dims: Sizes = None) -> st.SearchStrategy[Task]:
    """Linear-Gaussian views with known mutual information, mixed by a random invertible matrix.

    Shrink to independent standard normal variables.

    >>> from hypothesis import find
    >>> find(gaussian_tasks(), lambda task: True).mutual_information.value
    0.0
    """
    return _gaussian_tasks(sizes("dims", dims, st.integers(1, 4)))


@st.composite
def _gaussian_tasks(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Task:
    d = draw(dims)
    rho = [draw(st.floats(0, 0.99)) for _ in range(d)]
    return linear_gaussian_views(rho, mixing=random_mixing(d, draw(seeds())) if d > 1 else np.eye(1))


def tasks(
    *, families: Sequence[str] | None = None, kinds: st.SearchStrategy[ArrayKind] | None = None
) -> st.SearchStrategy[TaskCase]:
    """Joint laws of several families with known mutual information, the kind of array and the seed of the draws.

    Families: "gaussian" (linear views, mixed), "blocks" (any covariance, d_x ≠ d_y too), "transformed" (monotone maps
    of Gaussian coordinates), "student" (dependence without correlation), "additive_noise" (curves and uniform noise),
    "shared_content" (through a network into more dimensions, on a surface), "mixture" and "prototypes" (Gaussian
    mixtures), "neuron" (a discrete X: only where it is asked for). Shrink to independent standard normal variables in
    float64 numpy arrays.

    Truths are in closed form, or by quadrature for mixtures (up to 0.3 s an example: set hypothesis' deadline).

    Parameters
    ----------
    families: those to draw from, the first being the simplest; all with a density but "neuron" unless given.
    kinds: kinds of array; all that are installed unless given.

    Raises
    ------
    UnknownNameError: a family that is not on offer. ParameterError: no family.

    >>> from hypothesis import find
    >>> find(tasks(families=["gaussian"]), lambda case: True).task
    Task('linear-Gaussian views, d=1', 1 × 1: 0 (exact) nats)
    """
    chosen = [name for name in _FAMILIES if name != "neuron"] if families is None else list(families)
    for family in chosen:
        require_known("families", family, _FAMILIES)
    if not chosen:
        raise ParameterError(f"families: expected at least one of {', '.join(map(repr, _FAMILIES))}, got none")
    return _cases(st.one_of([_FAMILIES[family]() for family in chosen]), array_kinds() if kinds is None else kinds)


@st.composite
def _cases(draw: Callable[..., Any], drawn: st.SearchStrategy[Task], kinds: st.SearchStrategy[Any]) -> TaskCase:
    task = draw(drawn)
    return TaskCase(task=task, truth=task.mutual_information, kind=draw(kinds), seed=draw(seeds()))


@st.composite
def _blocks(draw: Callable[..., Any]) -> Task:
    cov = draw(covariances(dims=st.integers(2, 6)))
    return gaussian_task(Gaussian(np.zeros(len(cov)), cov), draw(st.integers(1, len(cov) - 1)))


@st.composite
def _transformed(draw: Callable[..., Any]) -> Task:
    names = st.sampled_from(["asinh", "cube_root", "half_cube", "exp"])
    task = draw(gaussian_tasks())
    return task.transformed(elementwise(draw(names)), elementwise(draw(names)))


@st.composite
def _students(draw: Callable[..., Any]) -> Task:
    dispersion = draw(correlations(dims=st.integers(2, 4)))
    return student_task(dispersion, draw(st.integers(1, len(dispersion) - 1)), draw(st.floats(1, 30)))


@st.composite
def _additive_noise(draw: Callable[..., Any]) -> Task:
    return additive_noise_task(draw(st.floats(0.05, 2)), relation=draw(st.sampled_from(relations())))


@st.composite
def _shared_content(draw: Callable[..., Any]) -> Task:
    rho = [draw(st.floats(0, 0.99)) for _ in range(draw(st.integers(1, 3)))]
    nuisance, raised = draw(st.integers(0, 2)), draw(st.integers(0, 3))
    d = len(rho) + nuisance
    return shared_content_pairs(rho, nuisance=nuisance, view=random_view(d, d + raised, seed=draw(seeds())))


@st.composite
def _mixtures(draw: Callable[..., Any]) -> Task:
    return mixture_task(draw(gaussian_mixtures(dims=2, components=st.integers(1, 3), condition=9)), 1)


@st.composite
def _prototypes(draw: Callable[..., Any]) -> Task:
    centers = draw(st.lists(st.floats(-5, 5), min_size=1, max_size=4))
    return prototype_pairs(np.array(centers)[:, None], draw(st.floats(0.5, 2)))


@st.composite
def _neurons(draw: Callable[..., Any]) -> Task:
    return one_neuron_task(draw(st.floats(0.1, 5)), bias=draw(st.floats(-1, 1)), std=draw(st.floats(0.05, 1)))


_FAMILIES: dict[str, Callable[[], st.SearchStrategy[Task]]] = {
    "gaussian": gaussian_tasks,
    "blocks": _blocks,
    "transformed": _transformed,
    "student": _students,
    "additive_noise": _additive_noise,
    "shared_content": _shared_content,
    "mixture": _mixtures,
    "prototypes": _prototypes,
    "neuron": _neurons,
}
