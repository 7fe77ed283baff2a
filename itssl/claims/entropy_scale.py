"""Entropy depends on the unit of length: what must be done before entropies of two methods are compared."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from itssl.arrays import Samples, stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.references import COVER_THOMAS_2006
from itssl.claims.worlds import (
    Objective,
    digits_data,
    digits_embeddings,
    digits_encoder,
    random_covariance,
    random_mixture,
)
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.differentiable_neighbors import neighbor_entropy
from itssl.estimators.log_determinant import logdet_entropy
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.estimators.wishart import log_determinant_bias

DRAWS = 512
HELD_OUT = 300
NOISE = 0.1
"""Variance of the ridge and of the kernel, in the unit of length squared."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Embeddings, the factor s that is to scale them, and their law where it has a density."""

    draw: Callable[[np.random.Generator], Samples]
    scale: float
    law: Gaussian | GaussianMixture | None = None


def _of_law(law: Gaussian | GaussianMixture, scale: float) -> Scaling:
    return Scaling(draw=lambda rng: law.sample(DRAWS, rng), scale=scale, law=law)


def _on_sphere(z: Samples) -> Samples:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _unit_variance(z: Samples) -> Samples:
    """z over the root of its columns' mean variance."""
    return z / np.sqrt(z.var(axis=0, ddof=1).mean())


def _directions() -> Scaling:
    """1000 directions in R^128, on the unit sphere; s brings them to unit variance."""
    return Scaling(draw=lambda rng: _on_sphere(rng.standard_normal((1000, 128))), scale=float(np.sqrt(128)))


def _trained(objective: Objective) -> Scaling:
    """Held-out embeddings as the objective sees them, to be brought to unit variance."""
    z = _embedded(objective)
    scale = 1 / float(np.sqrt(z.var(axis=0).mean()))
    return Scaling(draw=lambda rng: z[rng.permutation(len(z))[:HELD_OUT]], scale=scale)


def _embedded(objective: Objective) -> Samples:
    if objective == "VICReg":
        return digits_embeddings()
    from itssl.networks.encoders import embed

    return _on_sphere(embed(digits_encoder(objective), digits_data().test_x))


SPHERE = World(name="1000 directions in R^128, from the unit sphere to unit variance", make=_directions)
GAUSSIAN = World(
    name="Gaussian in R^8, s = 3",
    make=lambda: _of_law(Gaussian(np.zeros(8), random_covariance(8, stream(0, "scale"))), 3.0),
)


@claim(
    "C33",
    relation=Relation.EQUAL,
    tolerance=FloatingPoint(ulps=1000),  # a sum of n terms is right to n ulps
    reference=COVER_THOMAS_2006,
    formula=r"h(sZ) = h(Z) + K \log s",
    uses=("C07",),
    worlds=(
        SPHERE,
        GAUSSIAN,
        World(name="20 components in R^4, s = 1/50", make=lambda: _of_law(random_mixture(20, 4, 0, std=0.1), 0.02)),
        World(name="embeddings of digits after VICReg, to unit variance", make=lambda: _trained("VICReg")),
        World(
            name="embeddings of digits after SimCLR, from the unit sphere to unit variance",
            make=lambda: _trained("SimCLR"),
            level="default",
        ),
    ),
    tight_at=SPHERE,
    first_look=4,
)
def scale_shifts_entropy(world: Scaling, rng: np.random.Generator) -> Sides:
    r"""h(sZ) = h(Z) + K log s for s > 0, so entropies rank methods only after their outputs have a common scale.

    Estimates follow if their own lengths are scaled along: LogDet's noise 1/β and the σ² of pairwise bounds by s². The
    same directions differ by K log √K between the unit sphere and unit variance, 310 nats at K = 128, whatever
    they are; divided by the root of their mean variance they agree. Measured beside: the Gaussian entropy with its
    sampling bias left in ("log-determinant") and taken out ("plug-in"). Of directions without noise both only bound
    an entropy that is −∞: the sphere has no volume.
    """
    z, s = world.draw(rng), world.scale
    before, after = _entropies(z), _entropies(s * z, unit=s)
    shift = z.shape[1] * float(np.log(s))
    sides = {name: (after[name], before[name] + shift) for name in before}
    sides["plug-in at unit variance"] = _plugin(_unit_variance(s * z)), _plugin(_unit_variance(z))
    if world.law is not None:
        scaled = world.law.affine_image(s * np.eye(world.law.dim), np.zeros(world.law.dim))
        sides["−mean log p"] = (
            -float(scaled.log_density(s * z).mean()), shift - float(world.law.log_density(z).mean())
        )  # fmt: skip
    left, right = zip(*sides.values(), strict=True)
    names = "plug-in", "log-determinant"
    measured = {f"{name}, Z": before[name] for name in names} | {f"{name}, sZ": after[name] for name in names}
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


@scale_shifts_entropy.control("the unit sphere and unit variance compared as they are")
def _(world: Scaling, rng: np.random.Generator) -> Sides:
    z = world.draw(rng)
    return Sides(left=_plugin(world.scale * z), right=_plugin(z))


@scale_shifts_entropy.control(
    "an unscaled ranking is that at unit variance",
    world=World(
        name="directions in R^32 on the unit sphere against a narrow Gaussian", make=lambda: _sphere_and_narrow
    ),
)
@scale_shifts_entropy.control(
    "an unscaled ranking is that at unit variance, trained",
    world=World(
        name="embeddings of digits, SimCLR on the unit sphere against VICReg", make=lambda: _simclr_and_vicreg,
        level="default",
    ),
)  # fmt: skip
def _(world: Callable[[np.random.Generator], tuple[Samples, Samples]], rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    raw = _plugin(first), _plugin(second)
    scaled = _plugin(_unit_variance(first)), _plugin(_unit_variance(second))
    return Sides(
        left=float(np.sign(raw[0] - raw[1])),
        right=float(np.sign(scaled[0] - scaled[1])),
        parts=("which is larger",),
        measured={
            "first": raw[0], "second": raw[1],
            "first at unit variance": scaled[0], "second at unit variance": scaled[1],
        },
    )  # fmt: skip


def _shifted(name: str, change: Callable[[int, float], float]) -> None:
    """Register the control in which the entropy of sZ is that of Z plus ``change(K, s)``."""

    @scale_shifts_entropy.control(name)
    def _(world: Scaling, rng: np.random.Generator) -> Sides:
        z = world.draw(rng)
        return Sides(left=_plugin(world.scale * z), right=_plugin(z) + change(z.shape[1], world.scale))


_shifted("log s for K log s", lambda k, s: float(np.log(s)))
_shifted("(K − 1) log s", lambda k, s: (k - 1) * float(np.log(s)))
_shifted("K log s²", lambda k, s: 2 * k * float(np.log(s)))
_shifted("−K log s", lambda k, s: -k * float(np.log(s)))
_shifted("K log₂ s", lambda k, s: k * float(np.log2(s)))


@scale_shifts_entropy.control("pairwise bounds whose σ² is not scaled")
def _(world: Scaling, rng: np.random.Generator) -> Sides:
    return _with_fixed_unit(world, rng, lambda z: float(pairwise_entropy_bounds(z, var=NOISE).upper))


@scale_shifts_entropy.control("LogDet whose 1/β is not scaled")
def _(world: Scaling, rng: np.random.Generator) -> Sides:
    return _with_fixed_unit(world, rng, lambda z: float(logdet_entropy(z, ridge=NOISE)))


def _with_fixed_unit(world: Scaling, rng: np.random.Generator, estimate: Callable[[Samples], float]) -> Sides:
    z, s = world.draw(rng), world.scale
    return Sides(left=estimate(s * z), right=estimate(z) + z.shape[1] * float(np.log(s)))


def _sphere_and_narrow(rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Isotropic directions in R^32, and a Gaussian of mean variance 1 with most of it in few directions."""
    std = np.geomspace(1, 0.1, 32)
    return _on_sphere(rng.standard_normal((DRAWS, 32))), _unit_variance(rng.standard_normal((DRAWS, 32)) * std)


def _simclr_and_vicreg(rng: np.random.Generator) -> tuple[Samples, Samples]:
    rows = rng.permutation(len(digits_embeddings()))[:HELD_OUT]
    return _embedded("SimCLR")[rows], _embedded("VICReg")[rows]


def _plugin(z: Samples) -> float:
    """The Gaussian plug-in of the entropy, its sampling bias taken out."""
    return float(logdet_entropy(z)) - log_determinant_bias(*z.shape) / 2


def _entropies(z: Samples, *, unit: float = 1.0) -> dict[str, float]:
    """Estimates of h(Z), or of Z with noise of variance 0.1 unit²; those that compare rows see the first 300."""
    few = z[:HELD_OUT]
    bounds = pairwise_entropy_bounds(few, var=NOISE * unit**2)
    return {
        "plug-in": _plugin(z),
        "log-determinant": float(logdet_entropy(z)),
        "Kozachenko–Leonenko": float(neighbor_entropy(few)),
        "LogDet": float(logdet_entropy(z, ridge=NOISE * unit**2)),
        "pairwise, lower": float(bounds.lower),
        "pairwise, upper": float(bounds.upper),
    }
