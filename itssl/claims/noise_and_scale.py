"""What the information bound sees and information does not: the scale of the embeddings, and noise in one term only."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.references import COVER_THOMAS_2006
from itssl.claims.worlds import digits_output_mixture, random_covariance, random_mixture
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.kernels.linalg import LOG_2PI

FEW, MANY = 64, 512
"""Draws where both sides are the same sums, and where they agree on average."""
SCALES = (0.5, 8.0)
STEP = 1e-2  # of log a; the parabola through three scales misses the maximum by STEP²/3
ROUNDING = FloatingPoint(ulps=64, condition=1e4)  # covariances of condition 100 in Cholesky factors and solves


@dataclass(frozen=True, kw_only=True)
class LinearViews:
    """Z = A(T + noise), Z' = A(T + noise') in R^K, T ~ N(0, S); S, A and the noise's covariance are drawn each time.

    ``noise_std``: of the noise N that is added to Z where a claim adds some.
    """

    input_dim: int = 6
    output_dim: int = 3
    noise_std: float = 0.3

    def joint(self, rng: np.random.Generator) -> Gaussian:
        """The law of (Z, Z')."""
        d, k = self.input_dim, self.output_dim
        signal, noise = random_covariance(d, rng), random_covariance(d, rng, condition=100.0)
        map_ = rng.standard_normal((k, d)) / np.sqrt(d)
        own, cross = map_ @ (signal + noise) @ map_.T, map_ @ signal @ map_.T
        cov = np.block([[own, cross], [cross, own]])
        return Gaussian(np.zeros(2 * k), (cov + cov.T) / 2)


@dataclass(frozen=True, kw_only=True)
class PrototypeViews:
    """Two independent draws Z, Z' from one component of a mixture; ``noise_std`` of the noise N added to Z."""

    mixture: GaussianMixture
    noise_std: float

    @cached_property
    def noisy(self) -> GaussianMixture:
        """The law of Z + N."""
        m = self.mixture
        return GaussianMixture(m.weights, m.means, m.covs + self.noise_std**2 * np.eye(m.dim))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """n pairs (Z, Z')."""
        z, labels = self.mixture.sample_with_labels(n, rng)
        return z, self.mixture.sample_given(labels, rng)


def _pointwise(
    first: GaussianMixture, second: GaussianMixture, z: Samples, z_pair: Samples
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """log p(z) and log p(z, z')/(p(z) p(z')), for z from a component of ``first`` and z' from that of ``second``."""
    one, other = first.component_log_densities(z), second.component_log_densities(z_pair)
    log_p, log_p_pair, log_p_both = np.asarray(
        logsumexp(np.stack([one, other, one + other]) + np.log(first.weights), axis=2)
    )
    return log_p, log_p_both - log_p - log_p_pair


# --- C13 -------------------------------------------------------------------------------------------------------------


LINEAR = World(name="linear-Gaussian 6→3", make=LinearViews)


def _clusters() -> PrototypeViews:
    return PrototypeViews(mixture=random_mixture(50, 8, 0, std=0.02), noise_std=0.1)


def _digits() -> PrototypeViews:
    return PrototypeViews(mixture=digits_output_mixture(prototypes=20, output_std=0.01), noise_std=0.1)


CLUSTERS = World(name="50 prototypes in R^8", make=_clusters)
DIGITS = World(name="digits encoder trained with VICReg, outputs around 20 prototypes", make=_digits)


@claim(
    "C13",
    relation=Relation.EQUAL,
    margin=1e-3,
    reference=COVER_THOMAS_2006,
    formula=(
        r"I(aZ; aZ') = I(Z; Z'), \quad B(aZ) - B(Z) = K \log a - \frac{a^2 - 1}{2} "
        r"\mathbb{E} \lVert Z - Z' \rVert^2"
    ),
    uses=("C08", "C10"),
    worlds=(LINEAR, CLUSTERS, DIGITS),
)
def information_is_blind_to_scale_and_the_bound_is_not(
    world: LinearViews | PrototypeViews, rng: np.random.Generator
) -> Sides:
    r"""I(aZ; aZ') = I(Z; Z') for every a > 0, while the bound h(aZ) + E log N(aZ; aZ', I) moves with a.

    From 1 to a it moves by K log a − (a² − 1) E‖Z − Z'‖²/2. It is largest at a² = K/E‖Z − Z'‖², which amounts to
    q = N(z', σ²I) with the fitted σ² = E‖Z − Z'‖²/K. a is drawn log-uniformly from ½ to 8; left, every term comes
    from the law and the draws of aZ, and the best scale is the top of a parabola through three scales.
    """
    return _scaling(world, rng)


@information_is_blind_to_scale_and_the_bound_is_not.control("bounds of two networks compared without scaling")
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    """f and a·f carry the same information; the difference of their bounds is read as one of information."""
    views = _seen(world, rng)
    one, other = views.at(1.0), views.at(_random_scale(rng))
    return Sides(left=other[0] - one[0], right=other[1] - one[1])


@information_is_blind_to_scale_and_the_bound_is_not.control("entropy taken for blind to scale: no K log a")
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    return _scaling(world, rng, per_log=0.0)


@information_is_blind_to_scale_and_the_bound_is_not.control("optimum at a² = 1/E‖Z − Z'‖²")
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    return _scaling(world, rng, numerator=1.0)


@dataclass(frozen=True, kw_only=True)
class _SeenViews:
    """``at(a)``: bound and information of (aZ, aZ'); ``squared`` = E‖Z − Z'‖² of Z in R^``dim``."""

    at: Callable[[float], tuple[float, float]]
    squared: float
    dim: int


def _seen(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> _SeenViews:
    if isinstance(world, LinearViews):
        joint, k = world.joint(rng), world.output_dim
        delta = np.hstack([np.eye(k), -np.eye(k)])

        def at_exactly(a: float) -> tuple[float, float]:
            scaled = joint.affine_image(a * np.eye(2 * k), np.zeros(2 * k))
            cross = -0.5 * (k * LOG_2PI + float(np.trace(delta @ scaled.cov @ delta.T)))
            return scaled.marginal(range(k)).entropy.value + cross, scaled.mutual_information(range(k)).value

        return _SeenViews(at=at_exactly, squared=float(np.trace(delta @ joint.cov @ delta.T)), dim=k)
    z, z_pair = world.sample(FEW, rng)
    dim, mixture = world.mixture.dim, world.mixture

    def at(a: float) -> tuple[float, float]:
        law = mixture if a == 1 else mixture.affine_image(a * np.eye(dim), np.zeros(dim))
        log_p, information = _pointwise(law, law, a * z, a * z_pair)
        cross = Gaussian.standard(dim).log_density(a * z - a * z_pair)
        return float((cross - log_p).mean()), float(information.mean())

    return _SeenViews(at=at, squared=float(np.square(z - z_pair).sum(axis=1).mean()), dim=dim)


def _scaling(
    world: LinearViews | PrototypeViews,
    rng: np.random.Generator,
    *,
    per_log: float = 1.0,
    numerator: float | None = None,
) -> Sides:
    views, a = _seen(world, rng), _random_scale(rng)
    k, squared = views.dim, views.squared
    stated = 0.5 * np.log((k if numerator is None else numerator) / squared)
    (bound, information), (moved, same) = views.at(1.0), views.at(a)
    below, top, above = (views.at(float(np.exp(stated + t)))[0] for t in (-STEP, 0.0, STEP))
    best = stated + STEP * (below - above) / (2 * (below - 2 * top + above))
    return Sides(
        left=(same, moved - bound, best),
        right=(information, per_log * k * np.log(a) - (a**2 - 1) * squared / 2, stated),
        parts=("I(aZ; aZ')", "bound(a) − bound(1)", "log of the best a"),
        measured={"information": information, "bound as given": bound, "bound at the best scale": top},
    )


def _random_scale(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(SCALES))))


# --- C16 -------------------------------------------------------------------------------------------------------------


@claim(
    "C16",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=COVER_THOMAS_2006,
    formula=r"h(Z + N) + \mathbb{E} \log q(Z + N \mid Z') \le I(Z + N; Z') \le I(Z; Z')",
    uses=("C08",),
    worlds=(replace(LINEAR, tolerance=ROUNDING), CLUSTERS, DIGITS),
)
def noise_belongs_in_both_terms(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    r"""h(Z + N) + E log q(Z + N|Z') ≤ I(Z + N; Z') ≤ I(Z; Z') for noise N ~ N(0, s²I), whatever q.

    With log q at Z instead of Z + N the sum gains (s²/2) tr S⁻¹ nats for a Gaussian q of covariance S: at most
    K/2 if S is that of the noisy residual, S ⪰ s²I. If q is fitted to the residual without noise the gain is
    unbounded as that residual shrinks. Equality holds left for q = p(z + N|z'), as in the linear-Gaussian world. For
    prototypes q = N(z', 2Σ̄ + s²I) with Σ̄ the mean covariance of the components.
    """
    return _with_noise(world, rng)


@noise_belongs_in_both_terms.control("noise in the entropy only")
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    return _with_noise(world, rng, read="clean")


@noise_belongs_in_both_terms.control("noise in the entropy only, q fitted without it")
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    return _with_noise(world, rng, read="clean", fitted="clean")


@noise_belongs_in_both_terms.control("noise in the entropy only, prototypes", world=CLUSTERS)
def _(world: LinearViews | PrototypeViews, rng: np.random.Generator) -> Sides:
    return _with_noise(world, rng, read="clean")


def _with_noise(
    world: LinearViews | PrototypeViews,
    rng: np.random.Generator,
    *,
    read: Literal["noisy", "clean"] = "noisy",
    fitted: Literal["noisy", "clean"] = "noisy",
) -> Sides:
    """``read``: the z at which log q is taken; ``fitted``: the residual whose covariance q has."""
    var = world.noise_std**2
    if isinstance(world, LinearViews):
        joint, k = world.joint(rng), world.output_dim
        own, cross = joint.cov[:k, :k], joint.cov[:k, k:]
        rest = own - cross @ np.linalg.solve(own, cross.T)  # Cov(Z|Z')
        clean = Gaussian(np.zeros(k), (rest + rest.T) / 2)
        noisy = Gaussian(np.zeros(k), clean.cov + var * np.eye(k))
        law = Gaussian(np.zeros(k), own + var * np.eye(k))
        q, h = noisy if fitted == "noisy" else clean, law.entropy.value
        at_clean, at_noisy = (
            -0.5 * (k * LOG_2PI + q.log_det + float(np.trace(np.linalg.solve(q.cov, r.cov)))) for r in (clean, noisy)
        )
        parts = _Parts(h, at_clean, at_noisy, h - noisy.entropy.value, joint.mutual_information(range(k)).value)
        return _judged(parts, at_clean if read == "clean" else at_noisy, q, var)
    z, z_pair = world.sample(MANY, rng)
    seen = z + world.noise_std * rng.standard_normal(z.shape)
    mixture, k = world.mixture, world.mixture.dim
    log_p, information = _pointwise(world.noisy, mixture, seen, z_pair)
    _, at_most = _pointwise(mixture, mixture, z, z_pair)
    within = 2 * np.einsum("m,mij->ij", mixture.weights, mixture.covs)
    q = Gaussian(np.zeros(k), within + (var if fitted == "noisy" else 0.0) * np.eye(k))
    at_clean, at_noisy = (float(q.log_density(r - z_pair).mean()) for r in (z, seen))
    parts = _Parts(-float(log_p.mean()), at_clean, at_noisy, float(information.mean()), float(at_most.mean()))
    return _judged(parts, at_clean if read == "clean" else at_noisy, q, var)


class _Parts(NamedTuple):
    """h(Z + N); E log q at Z and at Z + N; I(Z + N; Z') and I(Z; Z')."""

    entropy: float
    at_clean: float
    at_noisy: float
    information: float
    at_most: float


def _judged(parts: _Parts, cross: float, q: Gaussian, var: float) -> Sides:
    """``cross`` is E log q as the variant reads it; gains are judged a dimension, for their spread grows with K."""
    bound, k = parts.entropy + cross, q.dim
    gain, stated = parts.at_clean - parts.at_noisy, 0.5 * var * float(np.trace(np.linalg.inv(q.cov)))
    return Sides(
        left=(bound, bound, parts.information, gain / k, stated / k),
        right=(parts.information, parts.at_most, parts.at_most, stated / k, gain / k),
        parts=(
            "bound ≤ I(Z+N;Z')", "bound ≤ I(Z;Z')", "I(Z+N;Z') ≤ I(Z;Z')", "gain/K ≤ (s²/2K) tr S⁻¹",
            "gain/K ≥ (s²/2K) tr S⁻¹",
        ),
        measured={
            "bound": bound, "I(Z+N;Z')": parts.information, "I(Z;Z')": parts.at_most,
            "gain of noise in the entropy only": gain,
        },
    )  # fmt: skip
