"""The catalogue of tasks: joint laws with known mutual information, by name, built when they are first asked for."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from itssl.choices import UnknownNameError
from itssl.distributions.additive_noise import additive_noise_task, additive_noise_task_with_information, relations
from itssl.distributions.channels import discrete_uniform_task, one_neuron_task, zero_inflated_poisson_task
from itssl.distributions.czyz_tasks import czyz_tasks
from itssl.distributions.image_tasks import (
    BitPictures,
    binary_symmetric_images,
    binary_symmetric_images_with_information,
)
from itssl.distributions.mixture_tasks import mixture_tasks
from itssl.distributions.named_families import Catalogue
from itssl.distributions.positive_pairs import random_view, scattered_prototypes, shared_content_pairs
from itssl.distributions.student import student_task_with_information
from itssl.distributions.tasks import Task, gaussian_task_with_information

Builder = Callable[[], Task]

if TYPE_CHECKING:
    Tasks = Catalogue[Task]
else:
    Tasks = Catalogue  # a run-time check of the kind of its members would build one


class UnknownTaskError(UnknownNameError, KeyError):
    """A task that is not in the catalogue: a KeyError too, so ``in`` and ``get`` work as for every mapping.

    >>> try:
    ...     tasks()["spirale"]
    ... except KeyError as error:
    ...     print(type(error).__name__)
    UnknownTaskError
    """

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message in quotes


def task_catalogue(builders: Mapping[str, Mapping[str, Builder]]) -> Tasks:
    """Tasks by family and name; truths that cost something are named by their route in the table, not computed.

    >>> tasks()["1v1-normal-0.7"]
    Traceback (most recent call last):
    ...
    itssl.distributions.catalogue.UnknownTaskError: task: expected a name in the catalogue, got '1v1-normal-0.7'; \
did you mean '1v1-normal-0.75'? list(tasks()) has all names
    """
    return Catalogue(
        builders,
        noun="task",
        listing="tasks()",
        error=UnknownTaskError,
        finish=lambda task, name, family: task.named(name, family=family),
        columns={
            "name": lambda task: task.name,
            "family": lambda task: task.family,
            "d_x": lambda task: str(task.d_x),
            "d_y": lambda task: str(task.d_y),
            "mutual information (nats)": _truth,
        },
    )


@cache
def tasks() -> Tasks:
    """All tasks whose mutual information is known: a read-only mapping from name to :class:`Task`.

    >>> import numpy as np
    >>> x, y = tasks()["1v1-normal-0.75"].sample(100, np.random.default_rng(0))
    >>> tasks()["1v1-normal-0.75"].mutual_information
    0.413339 (exact) nats (Gaussian mutual information)
    """
    return task_catalogue(
        {
            "beyond_normal": czyz_tasks(),
            "mixtures": mixture_tasks(),
            "gaussian": _gaussians(),
            "student": _students(),
            "additive_noise": _additive_noise(),
            "channels": _channels(),
            "images": _images(),
            "positive_pairs": _positive_pairs(),
        }
    )


def _gaussians() -> dict[str, Builder]:
    return {
        f"gaussian-{d}-{nats}": partial(gaussian_task_with_information, nats, d)
        for d in (1, 5, 20)
        for nats in (0.0, 1.0, 5.0)
    }


def _students() -> dict[str, Builder]:
    return {
        f"student-{d}-{d}-{nats}": partial(student_task_with_information, nats, d, d)
        for d, nats in ((1, 1.0), (3, 0.5), (3, 1.5))
    }


def _additive_noise() -> dict[str, Builder]:
    line = {f"line-{nats}": partial(additive_noise_task_with_information, nats) for nats in (0.2, 1.0, 5.0, 10.0)}
    others = [name for name in relations() if name != "line"]
    return line | {f"{name}-0.2": partial(additive_noise_task, 0.2, relation=name) for name in others}


def _channels() -> dict[str, Builder]:
    neurons = {f"one_neuron-{w}": partial(one_neuron_task, w) for w in (0.2, 1.0, 5.0)}
    discrete = {f"discrete_uniform-{m}": partial(discrete_uniform_task, m) for m in (2, 5, 100)}
    counts = {f"zero_inflated_poisson-{p}": partial(zero_inflated_poisson_task, p) for p in (0.0, 0.15, 0.5)}
    return neurons | discrete | counts


def _images() -> dict[str, Builder]:
    large = BitPictures(bits=10, tile=8)
    return {
        "images-4bits-0.1": partial(binary_symmetric_images, 0.1),
        "images-4bits-0.0": partial(binary_symmetric_images, 0.0),
        "images-4bits-1.0nats": partial(binary_symmetric_images_with_information, 1.0),
        "images-10bits-4.0nats": partial(binary_symmetric_images_with_information, 4.0, pictures=large),
    }


def _positive_pairs() -> dict[str, Builder]:
    content = [0.95, 0.9, 0.8, 0.5]
    return {
        "prototypes-2-1": partial(scattered_prototypes, 2, 1, std=0.5),
        "prototypes-10-2": partial(scattered_prototypes, 10, 2, std=0.2),
        "prototypes-50-16": partial(scattered_prototypes, 50, 16, std=0.5, n=2**14),
        "content-4-0": partial(shared_content_pairs, content, nuisance=0),
        "content-4-4": partial(shared_content_pairs, content, nuisance=4),
        "content-4-4-view-64": lambda: shared_content_pairs(content, nuisance=4, view=random_view(8, 64)),
    }


def _truth(task: Task) -> str:
    """The truth in closed form, or how it is known."""
    if task.known_by != "closed form":
        return f"by {task.known_by}"
    return f"{task.mutual_information.value:.6g}"
