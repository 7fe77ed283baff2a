"""What training does to the entropy of embeddings, in three units of length."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import Objective, digits_data, train_on_digits, untrained_digits_encoder
from itssl.evaluation.observed_runs import entropies

SEEDS = 3
NOISE_VAR = 4.0
PARTS = ("log-det, raw", "log-det, unit trace", "neighbors, whitened")


@dataclass(frozen=True, kw_only=True)
class DigitsTraining:
    """The embeddings of held-out digits before and after training; each replicate is a new seed."""

    objective: Objective


VICREG = World(name="VICReg on digits, 3 seeds", make=lambda: DigitsTraining(objective="VICReg"))


@claim(
    "C34",
    kind="finding",
    relation=Relation.AT_MOST,
    margin=0.0,
    reference=SHWARTZ_ZIV_2023,
    formula=r"h(Z_{\mathrm{before}}) \le h(Z_{\mathrm{after}})",
    uses=("C17", "C33"),
    worlds=(
        VICREG,
        World(
            name="SimCLR on digits, on the unit sphere, 3 seeds",
            make=lambda: DigitsTraining(objective="SimCLR"),
            level="default",
        ),
        World(
            name="BYOL on digits, on the unit sphere, 3 seeds",
            make=lambda: DigitsTraining(objective="BYOL"),
            level="default",
        ),
    ),
    first_look=SEEDS,
    max_replicates=SEEDS,
)
def entropy_rises_during_training(world: DigitsTraining, rng: np.random.Generator) -> Sides:
    r"""The entropy of the embeddings is higher after training than before, in each unit of length.

    Units: raw; unit trace (divided by the root of the mean variance); whitened. In the first two the entropy is
    ½ log((2πe)^d |C|) of the held-out sample, the largest with its covariance; whitened it is that constant less the
    negentropy, measured by neighbors against Gaussian rows of the same shape. Methods that see only directions (SimCLR,
    BYOL) are measured on the unit sphere, where rows have no density and the numbers compare directions. Three seeds
    decide only what exceeds some 55 standard errors.
    """
    before, after = _ends(world.objective, int(rng.integers(2**31)))
    measured = {
        f"{name}, {when}": found[name] for name in PARTS for when, found in (("before", before), ("after", after))
    }
    return _sides(before, after, measured)


@entropy_rises_during_training.control("embeddings halved after training")
def _(world: DigitsTraining, rng: np.random.Generator) -> Sides:
    z = _embedded(world.objective, int(rng.integers(2**31)), trained=True)
    return _sides(entropies(z, noise_var=NOISE_VAR), entropies(z / 2, noise_var=NOISE_VAR))


def _sides(left: dict[str, float], right: dict[str, float], measured: dict[str, float] | None = None) -> Sides:
    return Sides(
        left=tuple(left[name] for name in PARTS), right=tuple(right[name] for name in PARTS), parts=PARTS,
        measured=measured or {},
    )  # fmt: skip


def _ends(objective: Objective, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    before, after = (
        entropies(_embedded(objective, seed, trained=trained), noise_var=NOISE_VAR) for trained in (False, True)
    )
    return before, after


def _embedded(objective: Objective, seed: int, *, trained: bool) -> Samples:
    from itssl.networks.encoders import embed

    network = _trained(objective, seed) if trained else untrained_digits_encoder(seed)
    z = embed(network, digits_data().test_x)
    return z if objective == "VICReg" else z / np.linalg.norm(z, axis=1, keepdims=True)


@lru_cache(maxsize=2 * SEEDS)
def _trained(objective: Objective, seed: int) -> Any:
    return train_on_digits(objective, seed).encoder
