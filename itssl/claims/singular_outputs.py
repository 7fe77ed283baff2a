"""Outputs without a density: what entropy and information do as stated noise, or the lack of data, hides that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import Assumption, World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import NoisyInput, digits_data, digits_encoder, inside_its_region, random_covariance
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.nearest_neighbors import KSG
from itssl.evaluation.normality import ranks

DRAWS = 512
NARROW = 1e-9
"""Exit probability at which no draw at all leaves the region; a single one would fill directions without variance."""
RELATIVE_VARIANCE = 1e-3
"""Variance of the output noise, relative to the smallest nonzero eigenvalue of A Σ Aᵀ."""


@dataclass(frozen=True, kw_only=True)
class Deterministic:
    """X ~ N(0, I) in R^D through a network whose image has dimension ``rank`` nearly everywhere."""

    network: Any
    dim: int
    rank: int


def _spectrum(world: NoisyInput) -> tuple[Float[np.ndarray, " r"], int]:
    """The nonzero eigenvalues of A Σ Aᵀ, and its size K."""
    from itssl.networks.regions import local_affine

    root = local_affine(world.network, world.law.mean[None]).matrix[0] @ np.linalg.cholesky(world.law.cov)
    return np.linalg.svd(root, compute_uv=False)[: ranks(root[None])[0][0]] ** 2, len(root)


def _exit_probability(world: NoisyInput | Deterministic) -> float:
    return world.exit_probability() if isinstance(world, NoisyInput) else 0.0


WITHIN_REGION = Assumption(
    name="A1 within-region mass",
    statement="the input leaves the region of its prototype so seldom that no draw does (upper bound)",
    measure=_exit_probability,
    at_most=NARROW,
)


def _narrow(*widths: int) -> NoisyInput:
    from itssl.networks.encoders import mlp

    rng = stream(0, "singular outputs", *widths)
    shape = random_covariance(widths[0], rng)
    return inside_its_region(mlp(widths, seed=0), rng.standard_normal(widths[0]), shape, exit_at_most=NARROW)


def _representation() -> NoisyInput:
    encoder = digits_encoder().get_submodule("encoder")
    return inside_its_region(encoder, digits_data().test_x[0], np.eye(64), exit_at_most=NARROW)


def _deterministic(*widths: int, rank: int, slope: float = 0.0) -> Deterministic:
    from itssl.networks.encoders import mlp

    return Deterministic(network=mlp(widths, seed=0, slope=slope), dim=widths[0], rank=rank)


DIMENSION_RAISING = World(name="ReLU MLP 3-16-5, noise within a region", make=lambda: _narrow(3, 16, 5))
PLANE = World(name="leaky-ReLU MLP 2-2-2, no noise at all", make=lambda: _deterministic(2, 2, 2, rank=2, slope=0.5))


@claim(
    "C15",
    relation=Relation.EQUAL,
    margin=0.05,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\frac{d h(Z + \sigma N)}{d \log \sigma} = \sum_{i \le K} \frac{\sigma^2}{\lambda_i + \sigma^2} \to K - r",
    uses=("C02",),
    assumes=(WITHIN_REGION,),
    worlds=(
        DIMENSION_RAISING,
        World(name="ReLU MLP 8-4-8, noise within a region", make=lambda: _narrow(8, 4, 8)),
        World(name="ReLU MLP 16-64-64-24, noise within a region", make=lambda: _narrow(16, 64, 64, 24)),
        PLANE,
        World(name="ReLU MLP 2-8-1, no noise at all", make=lambda: _deterministic(2, 8, 1, rank=1)),
        World(name="ReLU MLP 1-4-3, no noise at all", make=lambda: _deterministic(1, 4, 3, rank=1), level="default"),
        World(name="representation of digits trained with VICReg, noise within a region", make=_representation),
    ),
)
def singular_outputs_have_no_finite_answer(world: NoisyInput | Deterministic, rng: np.random.Generator) -> Sides:
    r"""rank A Σ Aᵀ = r < K: h(Z) = −∞ given the prototype and I(X;Z) = ∞; what is found instead depends on noise or n.

    With output noise σN, σ → 0, the entropy falls as (K − r) log σ and the information I(X; Z + σN) grows as −r log σ:
    the slopes are s = Σ_i σ²/(λ_i + σ²) and s − K, λ the eigenvalues of A Σ Aᵀ (Gaussian X within a region). Measured
    between σ and σ/2, with the Gaussian plug-in on outputs of the network and one draw of N.

    Without noise a nearest-neighbor estimate of I(X; f(X)) grows as (r/D) log n without end, for a ball that holds k
    of n draws has a radius ~ n^(−1/D), and outputs as near as that have probability ~ n^(−r/D). Measured between
    n = 512 and 1024 in units of log 2 (the margin covers what faces do at these n); every estimate must carry a
    warning.
    """
    return _measured(world, rng)


@singular_outputs_have_no_finite_answer.control("full rank assumed")
def _(world: NoisyInput, rng: np.random.Generator) -> Sides:
    sides = _measured(world, rng)
    return Sides(left=sides.left, right=(0.0, sides.right[1] - sides.right[0]), parts=sides.parts)


@singular_outputs_have_no_finite_answer.control("estimates of I(X; f(X)) converge", world=PLANE)
def _(world: Deterministic, rng: np.random.Generator) -> Sides:
    sides = _measured(world, rng)
    return Sides(left=sides.left, right=(0.0, 1.0), parts=sides.parts)


def _measured(world: NoisyInput | Deterministic, rng: np.random.Generator) -> Sides:
    if isinstance(world, Deterministic):
        return _growth_with_n(world, rng)
    return _slopes_in_noise(world, rng)


def _slopes_in_noise(world: NoisyInput, rng: np.random.Generator) -> Sides:
    from itssl.networks.encoders import embed

    values, k = _spectrum(world)
    std = float(np.sqrt(RELATIVE_VARIANCE * values[-1]))
    x = world.law.sample(DRAWS, rng)
    z = embed(world.network, x)
    noise = rng.standard_normal(z.shape)
    wide, narrow = z + std * noise, z + std / 2 * noise
    plugin = GaussianPlugin()
    entropy = plugin.entropy(wide).value - plugin.entropy(narrow).value
    information = plugin.mutual_information(x, wide).value - plugin.mutual_information(x, narrow).value
    return Sides(
        left=(entropy / np.log(2), information / np.log(2)),
        right=(float(k - len(values)), -float(len(values))),
        parts=("slope of h(Z + σN) in log σ", "slope of I(X; Z + σN) in log σ"),
    )


def _growth_with_n(world: Deterministic, rng: np.random.Generator) -> Sides:
    from itssl.networks.encoders import embed

    x = Gaussian.standard(world.dim).sample(2 * DRAWS, rng)
    z = embed(world.network, x)
    half, all_ = (KSG().mutual_information(x[:n], z[:n]) for n in (DRAWS, 2 * DRAWS))
    return Sides(
        left=((all_.value - half.value) / np.log(2), float(bool(half.warnings) + bool(all_.warnings)) / 2),
        right=(world.rank / world.dim, 1.0),
        parts=("growth of I(X; f(X)) as n doubles, in log 2", "share of estimates with a warning"),
        measured={"I at n = 512": half.value, "I at n = 1024": all_.value},
    )
