"""Entropy of mixtures between pairwise-distance bounds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.mnist_worlds import mnist_embeddings, mnist_world
from itssl.claims.worlds import digits_embeddings
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.pairwise_mixture import PairwiseMixture, pairwise_entropy_bounds

DRAWS = 512


@dataclass(frozen=True, kw_only=True)
class KnownComponents:
    """The mixture (1/N) Σ N(μ_n, var I) with given centers."""

    centers: Float[np.ndarray, "N d"]
    var: float


@dataclass(frozen=True, kw_only=True)
class NoisyLaw:
    """Deterministic-in-the-limit outputs: Z ~ ``law``, and the kernel variance a user chose for the bounds."""

    law: Gaussian
    var: float
    n: int


def _random_centers(n: int, d: int, *, spread: float) -> KnownComponents:
    return KnownComponents(centers=spread * stream(0, "centers", n, d).standard_normal((n, d)), var=1.0)


def _trained_embeddings() -> KnownComponents:
    return KnownComponents(centers=digits_embeddings()[:200], var=0.25)


CLUSTERED = World(name="8 clustered components in R^4", make=lambda: _random_centers(8, 4, spread=40.0))
OVERLAPPING = World(name="64 overlapping components in R^2", make=lambda: _random_centers(64, 2, spread=1.5))
NARROW = World(name="Z ~ N(0, 0.01 I) in R^2, var 1", make=lambda: NoisyLaw(law=_narrow(2, 0.01), var=1.0, n=200))
HIGH = World(name="Z ~ N(0, 100 I) in R^32, var 1", make=lambda: NoisyLaw(law=_narrow(32, 100.0), var=1.0, n=200))


def _narrow(d: int, variance: float) -> Gaussian:
    return Gaussian(np.zeros(d), variance * np.eye(d))


@claim(
    "C30",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=PairwiseMixture.REFERENCE,
    formula=(
        r"\sum_i w_i h(p_i) - \sum_i w_i \log \sum_j w_j e^{-D_B(p_i, p_j)} \le h \le \sum_i w_i h(p_i) - "
        r"\sum_i w_i \log \sum_j w_j e^{-D_{KL}(p_i, p_j)}"
    ),
    worlds=(
        CLUSTERED,
        OVERLAPPING,
        World(name="128 components in R^100", make=lambda: _random_centers(128, 100, spread=0.3)),
        World(name="embeddings of 200 digits after VICReg, var 1/4", make=_trained_embeddings),
        mnist_world(lambda: KnownComponents(centers=mnist_embeddings()[:200], var=0.25), "embeddings"),
    ),
    tight_at=CLUSTERED,
)
def pairwise_distances_bound_mixture_entropy(world: KnownComponents, rng: np.random.Generator) -> Sides:
    r"""Bhattacharyya bound ≤ h ≤ KL bound ≤ log N + h(component), for a mixture whose components are known.

    h ≷ Σ c_i h(p_i) − Σ_i c_i log Σ_j c_j e^{−D_ij}, D the KL divergence (upper) or the Bhattacharyya distance
    (lower). Both are exact when the components form clusters. The lower bound is the upper one of components
    four times as wide, less d log 2 ("widened"). The truth h = h(component) + E log(N_T(z)/p(z)) is a
    Monte-Carlo mean.
    """
    bounds = pairwise_entropy_bounds(world.centers, var=world.var)
    entropy = _mixture_entropy(world, rng)
    n, d = world.centers.shape
    widened = pairwise_entropy_bounds(world.centers, var=4 * world.var).upper - d * float(np.log(2))
    saturated = float(np.log(n)) + _component_entropy(d, world.var)
    return Sides(
        left=(bounds.lower, entropy, bounds.upper, bounds.lower, widened),
        right=(entropy, bounds.upper, saturated, widened, bounds.lower),
        parts=("lower ≤ h", "h ≤ upper", "upper ≤ log N + component", "lower ≤ widened", "widened ≤ lower"),
        measured={"lower": float(bounds.lower), "h": entropy, "upper": float(bounds.upper)},
    )


@pairwise_distances_bound_mixture_entropy.control("lower bound of h(Z) for deterministic Z", world=NARROW)
def _(world: NoisyLaw, rng: np.random.Generator) -> Sides:
    bounds = pairwise_entropy_bounds(world.law.sample(world.n, rng), var=world.var)
    return Sides(left=float(bounds.lower), right=world.law.entropy.value)


@pairwise_distances_bound_mixture_entropy.control("bounds that agree are accurate", world=HIGH)
def _(world: NoisyLaw, rng: np.random.Generator) -> Sides:
    bounds = pairwise_entropy_bounds(world.law.sample(world.n, rng), var=world.var)
    noisy = Gaussian(world.law.mean, world.law.cov + world.var * np.eye(world.law.dim))
    return Sides(left=noisy.entropy.value, right=float(bounds.upper))


@pairwise_distances_bound_mixture_entropy.control("KL and Bhattacharyya exchanged", world=OVERLAPPING)
def _(world: KnownComponents, rng: np.random.Generator) -> Sides:
    bounds = pairwise_entropy_bounds(world.centers, var=world.var)
    return Sides(left=float(bounds.upper), right=_mixture_entropy(world, rng))


def _mixture_entropy(world: KnownComponents, rng: np.random.Generator) -> float:
    """h(Z) = h(Z|T) + I(Z;T); only the second term, at most log N, is sampled."""
    mixture = GaussianMixture.isotropic(world.centers, world.var)
    z, labels = mixture.sample_with_labels(DRAWS, rng)
    own = mixture.component_log_densities(z)[np.arange(DRAWS), labels]
    return _component_entropy(mixture.dim, world.var) + float((own - mixture.log_density(z)).mean())


def _component_entropy(d: int, var: float) -> float:
    return d / 2 * float(np.log(2 * np.pi * np.e * var))
