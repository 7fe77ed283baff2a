"""The catalogue of tasks: joint laws with known mutual information, by name, built when they are first asked for."""

import html
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

from itssl.choices import UnknownNameError, require_known
from itssl.distributions.additive_noise import additive_noise_task, additive_noise_task_with_information, relations
from itssl.distributions.channels import discrete_uniform_task, one_neuron_task, zero_inflated_poisson_task
from itssl.distributions.czyz_tasks import czyz_tasks
from itssl.distributions.image_tasks import (
    BitPictures,
    binary_symmetric_images,
    binary_symmetric_images_with_information,
)
from itssl.distributions.mixture_tasks import mixture_tasks
from itssl.distributions.positive_pairs import random_view, scattered_prototypes, shared_content_pairs
from itssl.distributions.student import student_task_with_information
from itssl.distributions.tasks import Task, gaussian_task_with_information

Builder = Callable[[], Task]


class UnknownTaskError(UnknownNameError, KeyError):
    """A task that is not in the catalogue: a KeyError too, so ``in`` and ``get`` work as for every mapping."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message in quotes


class Catalogue(Mapping[str, Task]):
    """Tasks by name; read-only. A task is built when it is first asked for, its truth when that is first read.

    ``catalogue[name]`` raises UnknownTaskError (a KeyError and a ValueError) with the nearest name.
    Printed, and in a notebook, it is a table; truths that cost something are named by their route, not computed.

    >>> tasks()["1v1-normal-0.7"]
    Traceback (most recent call last):
    ...
    itssl.distributions.catalogue.UnknownTaskError: task: expected a name in the catalogue, got '1v1-normal-0.7'; \
did you mean '1v1-normal-0.75'? list(tasks()) has all names
    """

    def __init__(self, builders: Mapping[str, Mapping[str, Builder]]) -> None:
        self._builders = {name: (family, build) for family, part in builders.items() for name, build in part.items()}
        if len(self._builders) != sum(len(part) for part in builders.values()):
            raise ValueError("builders: expected every name once, got one in two families")
        self._built: dict[str, Task] = {}

    def __getitem__(self, name: str) -> Task:
        if name not in self._builders:
            raise UnknownTaskError(_refusal(name, self._builders))
        if name not in self._built:
            family, build = self._builders[name]
            self._built[name] = build().named(name, family=family)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)

    def __contains__(self, name: object) -> bool:
        return name in self._builders  # without building it

    @property
    def families(self) -> tuple[str, ...]:
        """The names of the families, each once.

        >>> "channels" in tasks().families
        True
        """
        return tuple(dict.fromkeys(family for family, _ in self._builders.values()))

    def family(self, name: str) -> "Catalogue":
        """The tasks of one family; raises UnknownNameError for a family that is not on offer.

        >>> len(tasks().family("beyond_normal"))
        40
        """
        require_known("family", name, self.families)
        part = Catalogue({name: {key: build for key, (family, build) in self._builders.items() if family == name}})
        part._built = self._built  # one task, one truth
        return part

    def _rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        yield "name", "family", "d_x", "d_y", "mutual information (nats)"
        for task in self.values():
            yield task.name, task.family, str(task.d_x), str(task.d_y), _truth(task)

    def __str__(self) -> str:
        rows = list(self._rows())
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} tasks: {', '.join(self.families)})"

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body]
        return f"<table>{''.join(lines)}</table>"


@cache
def tasks() -> Catalogue:
    """All tasks whose mutual information is known: a read-only mapping from name to :class:`Task`.

    >>> import numpy as np
    >>> x, y = tasks()["1v1-normal-0.75"].sample(100, np.random.default_rng(0))
    >>> tasks()["1v1-normal-0.75"].mutual_information
    0.413339 (exact) nats (Gaussian mutual information)
    """
    return Catalogue(
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


def _refusal(name: object, known: Mapping[str, object]) -> str:
    """What to say instead of all hundred names."""
    from difflib import get_close_matches

    close = get_close_matches(str(name), known, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return f"task: expected a name in the catalogue, got {name!r};{hint} list(tasks()) has all names"


def _truth(task: Task) -> str:
    """The truth in closed form, or how it is known."""
    if task.known_by != "closed form":
        return f"by {task.known_by}"
    return f"{task.mutual_information.value:.6g}"
