"""The generalization bound: stated numbers of C41 and C42."""

from functools import partial

import numpy as np

from itssl.claims.generalization_bound import AS_MANY, SCALE, _core_of_augmentations, _residuals
from itssl.claims.stated_values import StatedValue

SEEDS = 100
SIZE = 0.01
"""Of augmentations, relative to the distance within classes."""


def _per_hundred_above(with_c: bool, rng: np.random.Generator) -> float:
    """Of 100 draws, those whose error is above the core of f scaled by 0.01, without Q."""
    world, above = AS_MANY.make(), []
    for _ in range(SEEDS // world.repeats):
        for bound in world.bounds(rng):
            core = bound.core.value if with_c else SCALE * bound["I"].value + _residuals(bound)
            above.append(bound.error.value > core)
    return 100 * float(np.mean(above))


def _distance(rng: np.random.Generator) -> float:
    return _core_of_augmentations(AS_MANY.make(), rng, SIZE).measured["I"]


def _median(name: str, rng: np.random.Generator) -> float:
    world = AS_MANY.make()
    return float(np.median([_core_of_augmentations(world, rng, SIZE).measured[name] for _ in range(SEEDS)]))


C41 = "The law is not stated: four Gaussian classes in R^20, drawn anew, n = m = 20."
C42 = C41 + " Noise of 1 % of the distance within classes for augmentations, from I = 0.007."

VALUES = (
    StatedValue(
        claim="C41", quantity="seeds of 100 above the core without c, scale 0.01", stated=100, rounding=0.5, units="",
        measure=partial(_per_hundred_above, False), replicates=8, level="default",
        note=C41 + " At scale 1 it is 87 of 100.",
    ),
    StatedValue(
        claim="C41", quantity="seeds of 100 above the core with c, scale 0.01", stated=0, rounding=0.5, units="",
        measure=partial(_per_hundred_above, True), replicates=8, level="default",
        note=C41 + " The core with c is that of f at every scale.",
    ),
    StatedValue(
        claim="C42", quantity="I of augmentation pairs", stated=0.007, rounding=5e-4, units="",
        measure=_distance, replicates=8, level="quick", note=C42,
    ),
    StatedValue(
        claim="C42", quantity="core of augmentation pairs", stated=0.156, rounding=5e-4, units="",
        measure=partial(_median, "core"), replicates=16, source_replicates=1, level="default",
        note=C42 + f" Heavy-tailed, as n = d: medians of {SEEDS} draws, as many as C41 has.",
    ),
    StatedValue(
        claim="C42", quantity="error beside augmentation pairs", stated=1.048, rounding=5e-4, units="",
        measure=partial(_median, "error"), replicates=16, source_replicates=1, level="default",
        note=C42 + f" Heavy-tailed, as n = d: medians of {SEEDS} draws, as many as C41 has.",
    ),
)  # fmt: skip
