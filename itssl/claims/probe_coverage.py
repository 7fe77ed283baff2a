"""How the terms of the generalization bound move with n and m, and what remains of it when hypotheses fail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Share, Sides
from itssl.claims.labeled_populations import (
    DrawPopulation,
    Population,
    class_gaussians,
    held_out_digits,
    projected,
    through_random_network,
)
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.evaluation.generalization import GeneralizationBound
from itssl.evaluation.least_squares import least_squares_probe

SIZES = (100, 300, 900)
REPEATS = 20
"""Draws for a mean or deviation within one replicate."""


@dataclass(frozen=True, kw_only=True)
class Growing:
    """A law in R^d, whose samples grow: n, m from 100 to 900 for the slopes, n around d for the peak of c."""

    population: DrawPopulation
    d: int

    @property
    def around(self) -> tuple[int, ...]:
        return tuple(round(share * self.d) for share in (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.5, 4.0))


def _gaussians(d: int) -> World:
    return World(
        name=f"Gaussian classes, d = {d}", make=lambda: Growing(population=class_gaussians(d, std=1.0), d=d)
    )  # fmt: skip


TEN = _gaussians(10)


@claim(
    "C45",
    relation=Relation.EQUAL,
    margin=0.12,
    reference=SHWARTZ_ZIV_2023,
    worlds=(
        TEN,
        World(
            name="random ReLU network, d = 10",
            make=lambda: Growing(population=through_random_network(class_gaussians(8), hidden=64, d=10), d=10),
            level="default",
        ),
        World(
            name="digits, VICReg, in 10 random directions",
            make=lambda: Growing(population=projected(held_out_digits("VICReg"), 10), d=10),
            level="default",
        ),
    ),
    uses=("C39",),
    first_look=112,
    max_replicates=224,
    formula=r"\frac{d \log Q_m}{d \log m} = \frac{d \log Q_n}{d \log n} = -\frac{1}{2}, \quad"
    r" \mathrm{argmax}_n c(n) = d",
)
def terms_fall_as_the_root_and_c_is_largest_at_n_equal_d(world: Growing, rng: np.random.Generator) -> Sides:
    r"""What Q pays for falls as 1/√m and 1/√n, c among it for n ≫ d; c is largest where n = d.

    Slopes of log-log lines over 100 to 900: of Q's term 2κ_S̄√(ℓ/2n), whose κ_S̄ settles as m = n grows, of the
    deviations that Q pays for (of I over m, of class frequencies over n), and of c with n = m. The core's residuals do
    not fall, they rise to the population residual. Where n = d the smallest singular value of n labeled rows is near 0
    and the minimum-norm probe largest: judged is the share of replicates in which the median of c over 20 draws
    is largest at n = d, not at 0.8 d or 1.3 d.
    """
    p = world.population(rng)
    bounds = [p.bound(size, size, rng) for size in SIZES]
    median = _medians_around(p, world, rng)
    return Sides(
        left=(
            _slope([b["residuals on labels"].value for b in bounds]),
            _slope([_mean_c(p, size, rng) for size in SIZES]),
            _slope([_deviation_of_invariance(p, size, rng) for size in SIZES]),
            _slope([_deviation_of_classes(p, size, rng) for size in SIZES]),
            Share(int(world.around[int(np.argmax(median))] == world.d), 1),
        ),
        right=(-0.5, -0.5, -0.5, -0.5, 1.0),
        parts=(
            "slope of 2κ_S̄√(ℓ/2n), n = m", "slope of c, n = m", "slope of the deviation of I", "slope of ½‖p̂ − p‖₁",
            "c largest at n = d",
        ),
        measured={
            "c at 0.4 d": median[0], "c at d, log10": np.log10(median[world.around.index(world.d)]),
            "c at 4 d": median[-1],
        },
    )  # fmt: skip


@terms_fall_as_the_root_and_c_is_largest_at_n_equal_d.control("terms fall as 1/m")
def _(world: Growing, rng: np.random.Generator) -> Sides:
    p = world.population(rng)
    return Sides(
        left=(
            _slope([p.bound(size, size, rng)["residuals on labels"].value for size in SIZES]),
            _slope([_deviation_of_invariance(p, size, rng) for size in SIZES]),
        ),
        right=(-1.0, -1.0),
        parts=("slope of 2κ_S̄√(ℓ/2n), n = m", "slope of the deviation of I"),
    )


@terms_fall_as_the_root_and_c_is_largest_at_n_equal_d.control("the residuals of the core fall too")
def _(world: Growing, rng: np.random.Generator) -> Sides:
    p = world.population(rng)
    bounds = [p.bound(size, size, rng) for size in SIZES]
    return Sides(left=_slope([b["residual of pairs"].value for b in bounds]), right=-0.5)


@terms_fall_as_the_root_and_c_is_largest_at_n_equal_d.control("I falls with m")
def _(world: Growing, rng: np.random.Generator) -> Sides:
    p = world.population(rng)
    bounds = [p.bound(size, size, rng) for size in SIZES]
    return Sides(left=_slope([b["I"].value for b in bounds]), right=-0.5)


@terms_fall_as_the_root_and_c_is_largest_at_n_equal_d.control("c only falls as n grows")
def _(world: Growing, rng: np.random.Generator) -> Sides:
    p = world.population(rng)
    return Sides(left=world.around[int(np.argmax(_medians_around(p, world, rng)))] / world.d, right=0.4)


def _slope(values: list[float]) -> float:
    return float(np.polyfit(np.log(SIZES), np.log(values), 1)[0])


def _mean_c(p: Population, size: int, rng: np.random.Generator) -> float:
    probes = [least_squares_probe(p.z[rows], p.y[rows], p.classes) for rows in p.draw(4 * size, rng).reshape(4, size)]
    pairs = zip(probes[::2], probes[1::2], strict=True)
    return float(np.mean([np.linalg.norm(a.weights - b.weights, 2) for a, b in pairs]))


def _deviation_of_invariance(p: Population, size: int, rng: np.random.Generator) -> float:
    """The standard deviation of I over draws of the pairs."""
    rows = p.draw(REPEATS * size, rng)
    distances = np.linalg.norm(p.z[rows] - p.z[p.partners(rows, rng)], axis=1).reshape(REPEATS, size)
    return float(distances.mean(axis=1).std(ddof=1))


def _deviation_of_classes(p: Population, size: int, rng: np.random.Generator) -> float:
    """The mean of ½‖p̂ − p‖₁ over draws of the labels."""
    whole = (p.y[:, None] == p.classes).mean(axis=0)
    drawn = (p.y[p.draw(REPEATS * size, rng)].reshape(REPEATS, size, 1) == p.classes).mean(axis=1)
    return float(np.abs(drawn - whole).sum(axis=1).mean() / 2)


def _medians_around(p: Population, world: Growing, rng: np.random.Generator) -> Float[np.ndarray, " sizes"]:
    """The median of c over draws of S, for the same 400 pairs, at each n around d."""
    first = p.draw(400, rng)
    pairs = least_squares_probe(p.z[first], p.y[first], p.classes).weights
    medians = []
    for n in world.around:
        rows = p.draw(REPEATS * n, rng).reshape(REPEATS, n)
        labels = (p.y[rows][..., None] == p.classes).astype(float)
        weights = (np.linalg.pinv(p.z[rows]) @ labels).transpose(0, 2, 1)
        medians.append(np.median(np.linalg.norm(weights - pairs, 2, axis=(1, 2))))
    return np.array(medians)


Flaw = Literal["none", "inside", "the same rows", "wrong labels in S", "wrong labels in both"]


@dataclass(frozen=True, kw_only=True)
class Flawed:
    """Draws as the theorem wants them, and the same with a flaw: S among the x⁺, or labels drawn at random."""

    population: DrawPopulation
    n: int
    m: int
    flaw: Flaw
    share: float = 1.0
    """Of the rows of S that are among the x⁺, or of labels drawn at random."""
    repeats: int = 20

    def bounds(self, flaw: Flaw, rng: np.random.Generator) -> list[GeneralizationBound]:
        return [self._bound(flaw, rng) for _ in range(self.repeats)]

    def _bound(self, flaw: Flaw, rng: np.random.Generator) -> GeneralizationBound:
        p = self.population(rng)
        rows, first = p.draw(self.n, rng), p.draw(self.m, rng)
        if flaw in ("inside", "the same rows"):
            inside = round(self.share * self.n)
            first[:inside] = rows[:inside]
        given = p
        if flaw == "wrong labels in both":
            given = Population(z=p.z, y=_wrong(p.y, p.classes, self.share, rng))
        second = given.partners(first, rng)
        if flaw == "wrong labels in S":
            labels = _wrong(p.y[rows], p.classes, self.share, rng)
            joined = Population(z=np.vstack([p.z, p.z[rows]]), y=np.concatenate([p.y, labels]))
            own = len(p.y) + np.arange(self.n)
            return joined.bound_of(own, first, second, test_z=p.z, test_y=p.y)
        return given.bound_of(rows, first, second, test_z=p.z, test_y=p.y)


def _wrong(y: np.ndarray, classes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(y)) < share, classes[rng.integers(len(classes), size=len(y))], y)


def _flawed(
    name: str, n: int, m: int, flaw: Flaw, share: float = 1.0, *, repeats: int = 20, level: str = "quick"
) -> World:
    return World(
        name=f"Gaussian classes, d = 20, n = {n}, m = {m}, {name}",
        make=lambda: Flawed(population=class_gaussians(20), n=n, m=m, flaw=flaw, share=share, repeats=repeats),
        level=level,  # pyright: ignore[reportArgumentType]
    )


INSIDE = _flawed("S among the pairs", 20, 40, "inside")
SAME = _flawed("S and the pairs the same rows", 20, 20, "the same rows", repeats=2)


@claim(
    "C46",
    kind="finding",
    relation=Relation.EQUAL,
    margin=0.02,
    reference=SHWARTZ_ZIV_2023,
    worlds=(
        INSIDE,
        SAME,
        _flawed("nine of ten rows of S among the pairs", 10, 10, "inside", 0.9),
        _flawed("four labels of ten in S at random", 20, 200, "wrong labels in S", 0.4, level="default"),
        _flawed("four labels of ten at random", 20, 200, "wrong labels in both", 0.4, level="default"),
        World(
            name="digits, VICReg, d = n = m = 128, S and the pairs the same rows",
            make=lambda: Flawed(population=held_out_digits("VICReg"), n=128, m=128, flaw="the same rows", repeats=1),
            level="default",
        ),
    ),
    uses=("C39",),
    formula=r"\mathrm{P}(\mathrm{error} \le \mathrm{core}) \mathrm{\ as\ with\ independent\ draws}",
)
def the_core_covers_as_often_when_hypotheses_fail(world: Flawed, rng: np.random.Generator) -> Sides:
    r"""With S inside the pairs, or wrong labels, the core covers as often as with clean draws; not with the same rows.

    Coverage is the share of draws whose exact error, by the true labels, is at most the core, c·I + 2‖P_S̄ Y_S̄‖_F/√m +
    ‖P_S Y_S‖_F/√n; the whole bound's is measured beside it. With n = m and the same rows W_S = W_S̄, so that c = 0: with
    d ≥ n nothing is left of the core, and it covers nothing; Q alone does. With nine of ten rows the same it covers
    less often, in nine draws of ten. With S half of the pairs, and with wrong labels, it covers as before: c, or the
    residuals, grow along with the error.
    """
    clean, flawed = world.bounds("none", rng), world.bounds(world.flaw, rng)
    return Sides(
        left=_covered(flawed, _core),
        right=_covered(clean, _core),
        measured={
            "coverage": _share(_covered(flawed, _core)), "coverage, clean": _share(_covered(clean, _core)),
            "coverage of the whole bound": _share(_covered(flawed, lambda b: b.total.value)),
            "error": np.median([b.error.value for b in flawed]), "core": np.median([_core(b) for b in flawed]),
            "c": np.median([b["c"].value for b in flawed]), "c, clean": np.median([b["c"].value for b in clean]),
        },
    )  # fmt: skip


@the_core_covers_as_often_when_hypotheses_fail.control("residuals alone", world=SAME)
def _(world: Flawed, rng: np.random.Generator) -> Sides:
    clean = world.bounds("none", rng)
    return Sides(left=_covered(clean, lambda b: b["residual of labels"].value), right=_covered(clean, _core))


@the_core_covers_as_often_when_hypotheses_fail.control(
    "views a hundredth as far apart for members of a class", world=SAME
)
def _(world: Flawed, rng: np.random.Generator) -> Sides:
    """Both sides of independent draws, so that it is refuted whatever a flaw does to the core."""
    clean = world.bounds("none", rng)
    return Sides(left=_covered(clean, lambda b: _core(b) - 0.99 * b["invariance"].value), right=_covered(clean, _core))


def _core(bound: GeneralizationBound) -> float:
    return bound.core.value


def _covered(bounds: list[GeneralizationBound], right: Callable[[GeneralizationBound], float]) -> Share:
    return Share(int(sum(b.error.value <= right(b) for b in bounds)), len(bounds))


def _share(counted: Share) -> float:
    return counted.hits / counted.draws
