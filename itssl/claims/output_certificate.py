"""The certificate of an output law: how much of the noise leaves its region, and what that does and does not bound."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import MonteCarlo, Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import (
    NoisyInput,
    NoisyPrototypes,
    Objective,
    around,
    digits_data,
    digits_encoder,
    grainy_digits,
    random_covariance,
)
from itssl.distributions.gaussian import Gaussian

DRAWS = 1024
SCALES = (0.25, 0.5, 1.0, 2.0)
DIRECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Noisy prototypes at several scales of the noise; ``injective``: the network is, so that Z has a known density."""

    at_one: NoisyPrototypes
    injective: bool = False
    draws: int = DRAWS

    @cached_property
    def worlds(self) -> dict[float, NoisyPrototypes]:
        return {scale: self.at_one.scaled(scale) for scale in SCALES}

    @cached_property
    def bounds(self) -> dict[float, tuple[float, float, float, float]]:
        """max_j p_j, L, U and min(1, Σ_j p_j) at each scale, averaged over the prototypes."""
        from itssl.networks.regions import exit_probability

        found = {}
        for scale, noisy in self.worlds.items():
            simple = exit_probability(noisy.network, noisy.law.means, noisy.law.covs, nearest=0)
            sharp, weights = noisy.image.exit, noisy.law.weights
            found[scale] = tuple(
                float(weights @ side) for side in (simple.lower, sharp.lower, sharp.upper, simple.upper)
            )
        return found


def _random_network(*widths: int, std: float, condition: float = 1.0, slope: float = 0.0, draws: int = DRAWS) -> Sweep:
    from itssl.networks.encoders import mlp

    rng = stream(0, "certificate", *widths)
    cov = std**2 * random_covariance(widths[0], rng, condition=condition)
    noisy = around(mlp(widths, seed=0, slope=slope), rng.standard_normal((8, widths[0])), cov)
    return Sweep(at_one=noisy, injective=slope > 0 and len(set(widths)) == 1, draws=draws)


def _one_unit() -> Sweep:
    """relu(x_1 + 0.7) at N(0, Σ), Σ = diag(1, 1/10, 1/100): one face, normal to the direction of largest variance."""
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.ReLU()).double()
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), ([[1.0, 0.0, 0.0]], [0.7]), strict=True):
            parameter.copy_(torch.tensor(values))
    return Sweep(at_one=around(network.eval(), np.zeros((1, 3)), np.diag([1.0, 0.1, 0.01])), draws=8 * DRAWS)


def _small_cnn() -> Sweep:
    from itssl.networks.encoders import cnn

    return Sweep(at_one=around(cnn(seed=0), grainy_digits(4, stream(0, "certificate", "cnn")), 1e-6 * np.eye(64)))


def _trained(objective: Objective) -> Sweep:
    return Sweep(at_one=around(digits_encoder(objective), digits_data().test_x[:8], 1e-6 * np.eye(64)))


def _dead_unit() -> NoisyInput:
    """relu(x) at x ~ N(−2.7, 1)."""
    from torch import nn

    return NoisyInput(network=nn.Sequential(nn.ReLU()), law=Gaussian(np.array([-2.7]), np.eye(1)))


ONE_FACE = World(name="one ReLU unit, anisotropic noise", make=_one_unit, tolerance=MonteCarlo(0.005))
MANY_FACES = World(
    name="ReLU MLP 16-64-64-8, σ = 0.0075 to 0.06", make=lambda: _random_network(16, 64, 64, 8, std=0.03)
)
DEAD_UNIT = World(name="one unit, off by 2.7 deviations", make=_dead_unit)


@claim(
    "C03",
    relation=Relation.AT_MOST,
    margin=0.01,
    reference=SHWARTZ_ZIV_2023,
    formula=(
        r"\mathrm{TV}\left(P_{f(X)}, \sum_n w_n \mathcal{N}(f(x^*_n), A_n \Sigma_n A_n^\top)\right) \le P(X "
        r"\notin \omega_T)"
    ),
    uses=("C01",),
    worlds=(
        ONE_FACE,
        MANY_FACES,
        World(
            name="ReLU MLP 8-32-32-32-4, condition number 100",
            make=lambda: _random_network(8, 32, 32, 32, 4, std=0.1, condition=100.0),
            level="default",
        ),
        World(name="leaky-ReLU MLP 2-2-2", make=lambda: _random_network(2, 2, 2, std=0.7, slope=0.1, draws=4 * DRAWS)),
        World(name="leaky-ReLU MLP 8-8-8-8", make=lambda: _random_network(8, 8, 8, 8, std=0.3, slope=0.1)),
        World(name="CNN on digits with grain", make=_small_cnn, level="default"),
        World(name="digits encoder trained with VICReg", make=lambda: _trained("VICReg"), level="default"),
        World(name="digits encoder trained with SimCLR", make=lambda: _trained("SimCLR"), level="default"),
    ),
)
def exit_probability_certifies_output_law(world: Sweep, rng: np.random.Generator) -> Sides:
    r"""TV(law of f(X), Σ_n w_n N(f(x*_n), A_n Σ_n A_nᵀ)) ≤ P(exit), and max_j p_j ≤ L ≤ P(exit) ≤ U ≤ Σ_j p_j.

    Driven by the same X the two outputs differ only when X leaves the region of its prototype: P(exit) = Σ_n w_n
    P(X ∉ ω(x*_n) | n). Face j, the plane where u_j(x) = a_jᵀx + c_j vanishes, is crossed with probability p_j =
    Φ(−|u_j(x*)| / √(a_jᵀΣa_j)); L and U are the bounds of :func:`itssl.networks.regions.exit_probability`, from single
    faces and from pairs. All are averaged over the prototypes, and all are equal for one ReLU unit.

    P(exit) is counted by activation patterns. Total variation is E (1 − q(Z)/p(Z))₊ for injective networks with K = D,
    p(Z) = p(X)/|det A(X)|; elsewhere it is bounded from below by |P(B) − Q(B)| of a half-space B chosen on other draws.
    """
    return _certificate(world, rng)


@exit_probability_certifies_output_law.control("isotropic faces for anisotropic Σ")
def _(world: Sweep, rng: np.random.Generator) -> Sides:
    law = world.at_one.law
    variance = float(np.trace(law.covs, axis1=1, axis2=2).mean()) / law.dim
    isotropic = around(world.at_one.network, law.means, variance * np.eye(law.dim))
    return _certificate(world, rng, faces=Sweep(at_one=isotropic))


@exit_probability_certifies_output_law.control("nearest face alone", world=MANY_FACES)
def _(world: Sweep, rng: np.random.Generator) -> Sides:
    return _certificate(world, rng, nearest_alone=True)


@exit_probability_certifies_output_law.control("total variation at most half of it")
def _(world: Sweep, rng: np.random.Generator) -> Sides:
    sides = _certificate(world, rng)
    half = tuple(r / 2 if "TV" in part else r for part, r in zip(sides.parts, sides.right, strict=True))
    return Sides(left=sides.left, right=half, parts=sides.parts)


@exit_probability_certifies_output_law.control("a small certificate gives moments", world=DEAD_UNIT)
def _(world: NoisyInput, rng: np.random.Generator) -> Sides:
    from itssl.evaluation.normality import coordinate_p_values
    from itssl.networks.encoders import embed
    from itssl.networks.pushforward import image

    certified = image(world.law, world.network)
    z = embed(world.network, world.law.sample(32 * 512, rng))
    rejected = [coordinate_p_values(part)[0] < 0.05 for part in np.split(z, 32)]
    return Sides(
        left=1 - float(np.trace(certified.covs[0])) / float(z.var(axis=0, ddof=1).sum()),
        right=certified.total_variation,
        parts=("relative error of the variance ≤ certificate",),
        measured={"certificate": certified.total_variation, "normality rejected, 512 draws": float(np.mean(rejected))},
    )


def _certificate(
    world: Sweep, rng: np.random.Generator, *, faces: Sweep | None = None, nearest_alone: bool = False
) -> Sides:
    """All inequalities at all scales; ``faces`` gives the bounds where they are not those of the world itself."""
    left, right, parts, measured = [], [], [], {}
    for scale, noisy in world.worlds.items():
        x, labels = noisy.law.sample_with_labels(world.draws, rng)
        exits, variation = noisy.exits(x, labels), _total_variation(noisy, x, rng, injective=world.injective)
        single, low, high, total = (faces or world).bounds[scale]
        high = single if nearest_alone else high
        left += [single, low, exits, high, variation]
        right += [low, exits, high, total, exits]
        parts += [f"{part}, scale {scale:g}" for part in ("max ≤ L", "L ≤ exit", "exit ≤ U", "U ≤ Σ", "TV ≤ exit")]
        found = {"L": low, "exit": exits, "U": high, "TV" if world.injective else "TV ≥": variation}
        measured |= {f"{name}, scale {scale:g}": value for name, value in found.items()}
    return Sides(left=tuple(left), right=tuple(right), parts=tuple(parts), measured=measured)


def _total_variation(noisy: NoisyPrototypes, x: Samples, rng: np.random.Generator, *, injective: bool) -> float:
    """Total variation between f(X) and the mixture of affine images, or a lower bound; either without bias."""
    from itssl.networks.encoders import embed
    from itssl.networks.pushforward import log_volume_change

    z = embed(noisy.network, x)
    if not injective:
        return _half_space(noisy.image, z, rng)
    log_p = noisy.law.log_density(x) - log_volume_change(noisy.network, x)
    log_ratio = noisy.image.mixture.log_density(z) - log_p
    return float(-np.expm1(np.minimum(log_ratio, 0)).mean())


def _half_space(certified: Any, z: Samples, rng: np.random.Generator) -> float:
    """P(vᵀZ ≤ t) − Q(vᵀZ ≤ t) on the second half of the draws, v and t chosen to make it large on the first."""
    directions = rng.standard_normal((z.shape[1], DIRECTIONS))
    directions = np.hstack([directions, -directions])
    first, second = np.split(z @ directions, 2)
    thresholds = np.quantile(first, np.linspace(0.05, 0.95, 19), axis=0, method="nearest")
    excess = (first[:, None] <= thresholds).mean(axis=0) - _mixture_cdf(certified, directions, thresholds)
    row, column = np.unravel_index(excess.argmax(), excess.shape)
    best, direction = thresholds[row : row + 1, column : column + 1], directions[:, column : column + 1]
    return float((second[:, column] <= best[0, 0]).mean() - _mixture_cdf(certified, direction, best)[0, 0])


def _mixture_cdf(
    certified: Any, directions: Float[np.ndarray, "K q"], thresholds: Float[np.ndarray, "t q"]
) -> Float[np.ndarray, "t q"]:
    """Q(vᵀZ ≤ t) of the mixture; a component without variance along v is a step."""
    from scipy.special import ndtr

    off = thresholds[:, None] - certified.means @ directions
    std = np.sqrt(np.maximum(np.einsum("kq,mkl,lq->mq", directions, certified.covs, directions), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(std > 0, ndtr(off / std), off >= 0)
    return np.einsum("m,tmq->tq", certified.weights, below)
