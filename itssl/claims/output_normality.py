"""Whether outputs look normal, and why that says little about the region the noise stays in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.data_assumptions import SIGMAS
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import Objective, digits_data, digits_encoder
from itssl.distributions.gaussian import Gaussian

LEVEL = 0.05
DRAWS, POINTS = 512, 8
SHOWN = ("exit", "coordinates", "projections", "mardia")
REPLICATES = 8


@dataclass(frozen=True, kw_only=True)
class NoisyNetwork:
    """A network, its prototypes, and the σ of isotropic input noise at which nearly all draws leave their region."""

    network: Any
    prototypes: Float[np.ndarray, "N D"]
    left_at: float
    sigmas: tuple[float, ...]


def _random() -> NoisyNetwork:
    from itssl.networks.encoders import mlp

    x = stream(0, "normality").standard_normal((100, 32))
    return NoisyNetwork(network=mlp((32, 128, 128, 16), seed=0), prototypes=x, left_at=0.1, sigmas=SIGMAS)


def _trained(objective: Objective) -> NoisyNetwork:
    return NoisyNetwork(network=digits_encoder(objective), prototypes=digits_data().test_x, left_at=0.01, sigmas=SIGMAS)


RANDOM = World(name="ReLU MLP 32-128-128-16", make=_random)
ONE_UNIT = World(name="one leaky unit, off by 2 deviations", make=lambda: Gaussian(np.array([2.0]), np.eye(1)))


@claim(
    "C05",
    kind="finding",
    relation=Relation.AT_MOST,
    margin=0.0,
    reference=SHWARTZ_ZIV_2023,
    formula=r"P(X \notin \omega) \ge 0.9 \Rightarrow P(p < 0.05) \le 3 \cdot 0.05",
    uses=("C03",),
    worlds=(
        RANDOM,
        World(name="digits encoder trained with VICReg", make=lambda: _trained("VICReg"), level="default"),
        World(name="digits encoder trained with SimCLR", make=lambda: _trained("SimCLR"), level="default"),
    ),
    first_look=REPLICATES,
    max_replicates=2 * REPLICATES,
)
def outputs_look_normal_far_outside_the_region(world: NoisyNetwork, rng: np.random.Generator) -> Sides:
    r"""Where 90 % of the noise leaves its region, D'Agostino–Pearson rejects coordinates at most 3 × its level of 5 %.

    512 draws at each of 8 prototypes in 8 or 16 replicates. At the same σ Mardia's joint tests reject at half of the
    prototypes or more. Measured beside, at every σ: P(exit), and rejected shares of coordinates, of random projections
    and by Mardia. So a coordinate that is not rejected is no evidence for one region (A1): it shows the directions of
    large variance, where one face more or less is not seen; and tests grow sharper with n while P(exit) stays.
    """
    rows = _assessed(world, rng)
    at = rows[world.left_at]
    return Sides(
        left=(at.coordinates, 0.9, 0.5),
        right=(3 * LEVEL, at.exit, at.mardia),
        parts=("coordinates rejected ≤ 3 × level", "0.9 ≤ P(exit)", "0.5 ≤ Mardia rejected"),
        measured={f"{name}, σ = {s:g}": getattr(row, name) for s, row in rows.items() for name in SHOWN},
    )


@outputs_look_normal_far_outside_the_region.control("not rejected, so within one region")
def _(world: NoisyNetwork, rng: np.random.Generator) -> Sides:
    at = _assessed(world, rng)[world.left_at]
    return Sides(left=at.exit * (1 - at.coordinates), right=LEVEL, parts=("left, but not rejected ≤ level",))


@outputs_look_normal_far_outside_the_region.control("as normal with 4096 draws as with 64", world=ONE_UNIT)
def _(world: Gaussian, rng: np.random.Generator) -> Sides:
    """leaky(x) at x ~ N(2, 1): P(exit) = 0.023 whatever the number of draws."""
    from itssl.evaluation.normality import coordinate_p_values

    x = world.sample(16 * 4096, rng)[:, 0]
    z = np.where(x > 0, x, 0.1 * x)
    rates = {n: float((coordinate_p_values(z.reshape(n, -1)) < LEVEL).mean()) for n in (64, 512, 4096)}
    return Sides(
        left=rates[4096],
        right=rates[64],
        parts=("rejected with 4096 draws ≤ rejected with 64",),
        measured={f"rejected, n = {n}": rate for n, rate in rates.items()},
    )


def _assessed(world: NoisyNetwork, rng: np.random.Generator) -> dict[float, Any]:
    """A row of :func:`itssl.evaluation.assess.assess` for each σ, at prototypes and with noise of the replicate."""
    from itssl.evaluation.assess import assess

    chosen = world.prototypes[rng.permutation(len(world.prototypes))[:POINTS]]
    found = assess(
        world.network, chosen, 1.0, scales=world.sigmas, draws=DRAWS, points=POINTS, level=LEVEL,
        seed=int(rng.integers(2**31)), progress=False,
    )  # fmt: skip
    return dict(zip(world.sigmas, found.rows, strict=True))
