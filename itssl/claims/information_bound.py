"""The lower bound on the mutual information of two views: the chain, and its Gaussian cross term."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.mnist_worlds import mnist_output_mixture, mnist_world
from itssl.claims.references import COVER_THOMAS_2006, SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_output_mixture, random_covariance, random_mixture
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.kernels.linalg import LOG_2PI

DRAWS = 512


@dataclass(frozen=True, kw_only=True)
class LinearGaussianChain:
    """T ~ N(0, S) in R^D, views X = T + anisotropic noise, Z = A X in R^K; S and A are drawn in each replicate.

    ``conditional``: q(z|z') is the true conditional law (the bound is then an equality), else N(z', I).
    """

    input_dim: int
    output_dim: int
    conditional: bool


@dataclass(frozen=True, kw_only=True)
class Prototypes:
    """Two views of Z drawn independently from one component of a mixture: Z, Z' | T = n ~ N(μ_n, Σ_n)."""

    mixture: GaussianMixture

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        z, labels = self.mixture.sample_with_labels(n, rng)
        return z, self.mixture.sample_given(labels, rng)

    def log_densities(self, z: Samples, z_pair: Samples) -> Float[np.ndarray, "3 n"]:
        """log p(z), log p(z') and log p(z, z') = log Σ_n w_n N(z; μ_n, Σ_n) N(z'; μ_n, Σ_n)."""
        from scipy.special import logsumexp

        first, second = self.mixture.component_log_densities(z), self.mixture.component_log_densities(z_pair)
        log_weights = np.log(self.mixture.weights)
        return np.asarray(logsumexp(np.stack([first, second, first + second]) + log_weights, axis=2))

    @property
    def residual(self) -> Gaussian:
        """The Gaussian law N(0, 2 Σ̄) used for z − z', with Σ̄ the mean covariance of the components."""
        mean_cov = np.einsum("m,mij->ij", self.mixture.weights, self.mixture.covs)
        return Gaussian(np.zeros(self.mixture.dim), 2 * mean_cov)


ROUNDING = FloatingPoint(ulps=64, condition=1e4)  # covariances of condition 100 in Cholesky factors and solves
LINEAR = World(
    name="linear-Gaussian 6→3, q exact",
    make=lambda: LinearGaussianChain(input_dim=6, output_dim=3, conditional=True),
    tolerance=ROUNDING,
)
CLUSTERS = World(
    name="200 prototypes in R^8",
    make=lambda: Prototypes(mixture=random_mixture(200, 8, 0, std=0.05)),
)


@claim(
    "C08",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=COVER_THOMAS_2006,
    formula=r"h(Z) + \mathbb{E} \log q(Z \mid Z') \le I(Z; Z') \le I(Z; X') \le I(X; X')",
    worlds=(
        LINEAR,
        World(
            name="linear-Gaussian 6→3, q = N(z', I)",
            make=lambda: LinearGaussianChain(input_dim=6, output_dim=3, conditional=False),
            tolerance=ROUNDING,
        ),
        CLUSTERS,
        World(
            name="digits encoder trained with VICReg, output noise 0.1",
            make=lambda: Prototypes(mixture=digits_output_mixture()),
        ),
        mnist_world(lambda: Prototypes(mixture=mnist_output_mixture())),
    ),
    tight_at=LINEAR,
)
def entropy_plus_cross_term_bounds_information(
    world: LinearGaussianChain | Prototypes, rng: np.random.Generator
) -> Sides:
    r"""h(Z) + E log q(Z|Z') ≤ I(Z;Z') ≤ I(Z;X') ≤ I(X;X'), for every conditional density q.

    The first step loses E KL(p(z|z')‖q(z|z')); the others are data processing: Z = f(X), Z' = f(X'). With prototypes
    T the views are independent given T, so that I(Z;Z') ≤ H(T) = log N. Closed forms for linear-Gaussian data; for
    mixtures, where h + E log q ≤ I(Z;Z') ≤ log N is checked, every term is a mean over the same draws.
    """
    if isinstance(world, LinearGaussianChain):
        return _linear_chain(world, rng)
    return _mixture_chain(world, rng)


@entropy_plus_cross_term_bounds_information.control("q does not integrate to 1", world=LINEAR)
def _(world: LinearGaussianChain, rng: np.random.Generator) -> Sides:
    return _linear_chain(world, rng, normalizer=world.output_dim / 2 * LOG_2PI)


@entropy_plus_cross_term_bounds_information.control("entropy replaced by its Gaussian upper bound", world=CLUSTERS)
def _(world: Prototypes, rng: np.random.Generator) -> Sides:
    return _mixture_chain(world, rng, entropy=Gaussian(world.mixture.mean, world.mixture.cov).entropy.value)


@entropy_plus_cross_term_bounds_information.control("data processing reversed", world=LINEAR)
def _(world: LinearGaussianChain, rng: np.random.Generator) -> Sides:
    sides = _linear_chain(world, rng)
    return Sides(left=sides.right, right=sides.left, parts=sides.parts)


def _linear_chain(world: LinearGaussianChain, rng: np.random.Generator, *, normalizer: float = 0.0) -> Sides:
    d, k = world.input_dim, world.output_dim
    signal, noise = random_covariance(d, rng), random_covariance(d, rng, condition=100.0)
    map_ = rng.standard_normal((k, d)) / np.sqrt(d)
    views = np.block([[signal + noise, signal], [signal, signal + noise]])
    both = np.vstack([np.hstack([map_, np.zeros((k, d))]), np.hstack([np.zeros((k, d)), map_])])
    x_and_x = Gaussian(np.zeros(2 * d), views)
    z_and_x = x_and_x.affine_image(np.vstack([both[:k], np.eye(2 * d)[d:]]), np.zeros(k + d))
    z_and_z = x_and_x.affine_image(both, np.zeros(2 * k))
    own, cross = z_and_z.cov[:k, :k], z_and_z.cov[:k, k:]
    slope = np.linalg.solve(own, cross.T).T if world.conditional else np.eye(k)
    error = own - slope @ cross.T - cross @ slope.T + slope @ own @ slope.T  # Cov(z − slope z')
    q = Gaussian(np.zeros(k), (error + error.T) / 2 if world.conditional else np.eye(k))
    expected_log_q = -0.5 * (k * LOG_2PI + q.log_det + np.trace(np.linalg.solve(q.cov, error))) + normalizer
    information = [law.mutual_information(range(m)).value for law, m in ((z_and_z, k), (z_and_x, k), (x_and_x, d))]
    bound = z_and_z.marginal(range(k)).entropy.value + expected_log_q
    return Sides(
        left=(bound, information[0], information[1]),
        right=tuple(information),
        parts=("bound ≤ I(Z;Z')", "I(Z;Z') ≤ I(Z;X')", "I(Z;X') ≤ I(X;X')"),
        measured={"bound": bound, "I(Z;Z')": information[0], "I(Z;X')": information[1], "I(X;X')": information[2]},
    )


def _mixture_chain(world: Prototypes, rng: np.random.Generator, *, entropy: float | None = None) -> Sides:
    z, z_pair = world.sample(DRAWS, rng)
    log_p, log_p_pair, log_p_both = world.log_densities(z, z_pair)
    information = float((log_p_both - log_p - log_p_pair).mean())
    h = -float(log_p.mean()) if entropy is None else entropy
    bound = h + float(world.residual.log_density(z - z_pair).mean())
    ceiling = float(np.log(len(world.mixture.weights)))
    return Sides(
        left=(bound, information),
        right=(information, ceiling),
        parts=("bound ≤ I(Z;Z')", "I(Z;Z') ≤ log N"),
        measured={"bound": bound, "I(Z;Z')": information, "log N": ceiling},
    )


@dataclass(frozen=True, kw_only=True)
class IndependentPair:
    """Two independent Gaussian laws on R^d."""

    first: Gaussian
    second: Gaussian


def _independent_pair(d: int, *, shift: float) -> IndependentPair:
    rng = stream(0, "independent pair", d)
    centers = shift * rng.standard_normal((2, d)) / np.sqrt(d)
    return IndependentPair(
        first=Gaussian(centers[0], random_covariance(d, rng)),
        second=Gaussian(centers[1], random_covariance(d, rng, condition=100.0)),
    )


SHIFTED = World(name="d=4, anisotropic, shifted", make=lambda: _independent_pair(4, shift=1.0))


@claim(
    "C10",
    relation=Relation.EQUAL,
    margin=0.02,
    reference=SHWARTZ_ZIV_2023,
    formula=(
        r"\mathbb{E} \log \mathcal{N}(z; z', I) = -\frac{d}{2} \log 2\pi - \frac{1}{2} \left(\lVert \mu - "
        r"\mu' \rVert^2 + \mathrm{tr} \Sigma + \mathrm{tr} \Sigma'\right)"
    ),
    worlds=(
        SHIFTED,
        World(name="d=1, shifted", make=lambda: _independent_pair(1, shift=1.0)),
        World(name="d=16, anisotropic", make=lambda: _independent_pair(16, shift=0.0)),
    ),
)
def gaussian_cross_term(world: IndependentPair, rng: np.random.Generator) -> Sides:
    r"""E log N(z; z', I) = −(d/2) log 2π − ½(‖μ − μ'‖² + Tr Σ + Tr Σ') for independent z ~ N(μ, Σ), z' ~ N(μ', Σ').

    The expected squared distance carries the traces of the covariances, not their log-determinants.
    """
    return _cross_term(world, rng, _closed_cross_term(world))


@gaussian_cross_term.control("Tr log Σ for Tr Σ")
def _(world: IndependentPair, rng: np.random.Generator) -> Sides:
    traces = np.trace(world.first.cov) + np.trace(world.second.cov)
    wrong = _closed_cross_term(world) + 0.5 * float(traces) - 0.5 * (world.first.log_det + world.second.log_det)
    return _cross_term(world, rng, wrong)


@gaussian_cross_term.control("+(d/2) log 2π")
def _(world: IndependentPair, rng: np.random.Generator) -> Sides:
    return _cross_term(world, rng, _closed_cross_term(world) + world.first.dim * LOG_2PI)


@gaussian_cross_term.control("correlated views")
def _(world: IndependentPair, rng: np.random.Generator) -> Sides:
    same = IndependentPair(first=world.first, second=world.first)
    return _cross_term(same, rng, _closed_cross_term(same), correlation=0.5)


def _closed_cross_term(world: IndependentPair) -> float:
    shift = world.first.mean - world.second.mean
    traces = np.trace(world.first.cov) + np.trace(world.second.cov)
    return -0.5 * (world.first.dim * LOG_2PI + float(shift @ shift + traces))


def _cross_term(world: IndependentPair, rng: np.random.Generator, closed: float, *, correlation: float = 0.0) -> Sides:
    n = 8 * DRAWS
    z, fresh = world.first.sample(n, rng), world.second.sample(n, rng)
    mean = world.second.mean
    z_pair = mean + correlation * (z - world.first.mean) + np.sqrt(1 - correlation**2) * (fresh - mean)
    log_density = Gaussian.standard(world.first.dim).log_density(z - z_pair)
    return Sides(left=float(log_density.mean()), right=closed)
