"""Finite laws of labeled representations, over which expectations are sums and suprema are maxima."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import stream
from itssl.claims.worlds import digits_data, digits_encoder, untrained_digits_encoder
from itssl.evaluation.generalization import GeneralizationBound, generalization_bound

ROWS = 500
"""Rows of a population that is drawn."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Equally probable rows of representations with their classes: the law from which labeled rows and pairs come."""

    z: Float[np.ndarray, "N d"]
    y: Int[np.ndarray, " N"]

    @cached_property
    def radius(self) -> float:
        """The largest ‖z‖: a supremum, for there are no other rows."""
        return float(np.linalg.norm(self.z, axis=1).max())

    @cached_property
    def _by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows in the order of classes, where each class starts, its size, and the place of a row's class."""
        _, place, counts = np.unique(self.y, return_inverse=True, return_counts=True)
        return np.argsort(place, kind="stable"), np.cumsum(counts) - counts, counts, place

    def draw(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        """n independent rows."""
        return rng.integers(len(self.y), size=n)

    def partners(self, rows: Int[np.ndarray, " m"], rng: np.random.Generator) -> Int[np.ndarray, " m"]:
        """For each row an independent one of its class, so that both are independent given the class."""
        order, start, counts, place = self._by_class
        its = place[rows]
        return order[start[its] + rng.integers(counts[its])]

    @cached_property
    def classes(self) -> Int[np.ndarray, " K"]:
        return np.unique(self.y)

    def bound(self, n: int, m: int, rng: np.random.Generator, **options: Any) -> GeneralizationBound:
        """The bound of n independent labeled rows and m pairs, with the exact error; suprema are those of the law."""
        rows, first = self.draw(n, rng), self.draw(m, rng)
        return self.bound_of(rows, first, self.partners(first, rng), **options)

    def bound_of(
        self, rows: Int[np.ndarray, " n"], first: Int[np.ndarray, " m"], second: Int[np.ndarray, " m"], **options: Any
    ) -> GeneralizationBound:
        """The bound of these labeled rows and these pairs."""
        options = {"radius": self.radius, "test_z": self.z, "test_y": self.y, **options}
        return generalization_bound(
            self.z[rows], self.y[rows], self.z[first], self.z[second], self.y[first], **options
        )  # fmt: skip


DrawPopulation: TypeAlias = Callable[[np.random.Generator], Population]


def class_gaussians(d: int, *, classes: int = 4, std: float = 0.5, rows: int = ROWS) -> DrawPopulation:
    """Classes around centers of unit length on average, with noise N(0, std² I/d): both drawn anew each time."""

    def draw(rng: np.random.Generator) -> Population:
        y = rng.integers(classes, size=rows)
        centers = rng.standard_normal((classes, d))
        return Population(z=(centers[y] + std * rng.standard_normal((rows, d))) / np.sqrt(d), y=y)

    return draw


def through_random_network(source: DrawPopulation, *, hidden: int, d: int) -> DrawPopulation:
    """The same through a ReLU network with one hidden layer and random weights."""

    def draw(rng: np.random.Generator) -> Population:
        given = source(rng)
        first = rng.standard_normal((given.z.shape[1], hidden))
        last = rng.standard_normal((hidden, d)) / np.sqrt(hidden)
        return Population(z=np.maximum(given.z @ first + 0.1 * rng.standard_normal(hidden), 0) @ last, y=given.y)

    return draw


def collapsed(classes: int) -> DrawPopulation:
    """Every input at one point: one row for each of the equally probable classes."""
    return lambda rng: Population(z=np.full((classes, 1), 1.0), y=np.arange(classes))


def held_out_digits(objective: Literal["VICReg", "SimCLR"] | None) -> DrawPopulation:
    """The 500 held-out digits, represented by the encoder trained on the others (or at initialization), d = 128."""

    def draw(rng: np.random.Generator) -> Population:
        return found

    from itssl.networks.encoders import as_double, embed

    network = as_double(untrained_digits_encoder()) if objective is None else digits_encoder(objective)
    data = digits_data()
    found = Population(z=embed(network.get_submodule("encoder"), data.test_x), y=np.array(data.test_y))
    return draw


def projected(source: DrawPopulation, d: int, *, seed: int = 0) -> DrawPopulation:
    """The same in d random directions, always the same ones."""

    def draw(rng: np.random.Generator) -> Population:
        given = source(rng)
        matrix = stream(seed, "random projection", d).standard_normal((given.z.shape[1], d)) / np.sqrt(d)
        return Population(z=given.z @ matrix, y=given.y)

    return draw
