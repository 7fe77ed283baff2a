"""Where the information bound is largest: components neither as narrow nor as wide as can be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, stream
from itssl.claims.claim import Assumption, World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import COVER_THOMAS_2006
from itssl.claims.worlds import digits_output_mixture, random_covariance
from itssl.distributions.gaussian import Gaussian, kl_divergence
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.kernels.linalg import LOG_2PI, covariance, whitening

DRAWS = 256
MARGIN = 1e-3
STEP = 1e-2  # of log Σ; the parabola through three points misses the maximum by about STEP²
NARROWEST = 1e-8
SCALES = (1e-4, 1.0)


@dataclass(frozen=True, kw_only=True)
class PrototypeCenters:
    """N equally probable centers in R^K; ``within`` draws the covariance Σ that all components share."""

    centers: Float[np.ndarray, "N K"]
    within: Callable[[np.random.Generator], Float[np.ndarray, "K K"]]

    @property
    def dim(self) -> int:
        return self.centers.shape[1]

    @property
    def log_n(self) -> float:
        return float(np.log(len(self.centers)))

    @property
    def ceiling(self) -> float:
        """log N − (K/2) log 2, which the bound does not exceed."""
        return self.log_n - self.dim / 2 * float(np.log(2))

    def overlap(self) -> float:
        """Upper bound on H(T|Z) at Σ = ½I: what the pairwise lower bound leaves of log N."""
        within = Gaussian(np.zeros(self.dim), np.eye(self.dim) / 2).entropy.value
        return self.log_n + within - float(pairwise_entropy_bounds(self.centers, var=0.5).lower)

    def draw(self, rng: np.random.Generator) -> "_Draws":
        """Labels, and the standardized noise of both views with the first two moments of its law, to rounding.

        Means of squares are then exact, and only how the components overlap is left to chance.
        """
        noise = whitening(rng.standard_normal((DRAWS, 2 * self.dim)))[0] * np.sqrt(DRAWS / (DRAWS - 1))
        labels = rng.integers(len(self.centers), size=DRAWS)
        return _Draws(self.centers, labels, noise[:, : self.dim], noise[:, self.dim :])


class _Terms(NamedTuple):
    """h(Z), E log N(Z; Z', I) and H(T|Z), means over the draws; log|Σ|."""

    entropy: float
    cross: float
    left: float
    log_det: float

    @property
    def bound(self) -> float:
        return self.entropy + self.cross


class _Draws(NamedTuple):
    """The same draws for every Σ: bounds are compared on equal noise."""

    centers: Float[np.ndarray, "N K"]
    labels: Int[np.ndarray, " n"]
    first: Samples
    second: Samples

    def at(self, cov: Float[np.ndarray, "K K"], *, views: int = 2) -> _Terms:
        """The terms for within-view covariance ``cov``; with one view Z' is the center itself."""
        root = np.linalg.cholesky(cov)
        log_det, k = 2 * float(np.log(np.diagonal(root)).sum()), len(cov)
        white = np.linalg.solve(root, self.centers.T).T
        gram, own = white @ white.T, white[self.labels]
        square = np.diagonal(gram)
        between = square[self.labels, None] + square - 2 * gram[self.labels]  # squared distances of centers
        tilt = 2 * (np.einsum("nk,nk->n", self.first, own)[:, None] - self.first @ white.T)
        noise = np.square(self.first).sum(axis=1)[:, None]
        given = -0.5 * (noise + tilt + between + k * LOG_2PI + log_det) - np.log(len(white))
        largest = given.max(axis=1)
        rest = given - largest[:, None]
        share = np.exp(rest)
        total = share.sum(axis=1)  # share/total: the posterior of T
        apart = (self.first - (self.second if views == 2 else 0.0)) @ root.T
        return _Terms(
            entropy=-float((largest + np.log(total)).mean()),
            cross=-0.5 * (k * LOG_2PI + float(np.square(apart).sum(axis=1).mean())),
            left=float((np.log(total) - (share * rest).sum(axis=1) / total).mean()),
            log_det=log_det,
        )

    def log_form(self, cov: Float[np.ndarray, "K K"]) -> float:
        """h(Z) − (K/2) log 2π − log(|Σ| |Σ'|), a form often written: log-determinants for traces."""
        terms = self.at(cov)
        return terms.entropy - len(cov) / 2 * LOG_2PI - 2 * terms.log_det


ISOLATED = Assumption(
    name="isolated components",
    statement="draws of one component are not taken for another's (upper bound on H(T|Z) at Σ = ½I, in nats)",
    measure=PrototypeCenters.overlap,
    at_most=MARGIN / 10,
)


def _scaled(shape: Float[np.ndarray, "K K"], rng: np.random.Generator) -> Float[np.ndarray, "K K"]:
    """The shape with a mean variance drawn between two scales."""
    mean = float(np.exp(rng.uniform(*np.log(SCALES))))
    return mean * len(shape) / np.trace(shape) * shape


def _scattered(
    n: int, k: int, spread: float, within: Callable[[np.random.Generator], Float[np.ndarray, "K K"]]
) -> PrototypeCenters:
    """Centers N(0, spread² I)."""
    return PrototypeCenters(centers=spread * stream(0, "centers", n, k).standard_normal((n, k)), within=within)


def _round(k: int, rng: np.random.Generator) -> Float[np.ndarray, "K K"]:
    return _scaled(np.eye(k), rng)


def _oblique(k: int, rng: np.random.Generator) -> Float[np.ndarray, "K K"]:
    return _scaled(random_covariance(k, rng, condition=100.0), rng)


def _from_network() -> PrototypeCenters:
    """Embeddings of held-out digits, ten times as far apart; the mean covariance of their components, at any scale."""
    mixture = digits_output_mixture(input_std=1e-2, output_std=1e-2)
    shape = mixture.covs.mean(axis=0)
    return PrototypeCenters(centers=10 * mixture.means, within=partial(_scaled, shape))


APART = World(name="200 isolated components in R^8, Σ = σ²I", make=lambda: _scattered(200, 8, 6.0, partial(_round, 8)))
OBLIQUE = World(
    name="200 isolated components in R^8, anisotropic", make=lambda: _scattered(200, 8, 6.0, partial(_oblique, 8))
)
NEAR = World(
    name="200 components in R^8 around centers N(0, 4I)", make=lambda: _scattered(200, 8, 2.0, partial(_round, 8))
)


@claim(
    "C12",
    relation=Relation.AT_MOST,
    margin=MARGIN,
    reference=COVER_THOMAS_2006,
    formula=r"h(Z) + \mathbb{E}\log N(Z; Z', I) = \log N - \frac{K}{2}\log 2 - H(T \mid Z) "
    r"- D\left(N(0, 2\Sigma)\,\Vert\,N(0, I)\right), \quad \text{largest at } \Sigma = \frac{1}{2} I",
    uses=("C10", "C30"),
    assumes=(ISOLATED,),
    worlds=(
        APART,
        OBLIQUE,
        World(name="20 isolated components on a line", make=lambda: _on_a_line(20)),
        World(
            name="50 isolated components in R^64, anisotropic",
            make=lambda: _scattered(50, 64, 6.0, partial(_oblique, 64)),
            level="default",
        ),
        World(name="50 digits, encoder trained with VICReg, ten times apart", make=_from_network, level="default"),
    ),
    first_look=16,
)
def bound_is_largest_at_covariance_one_half(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    r"""h(Z) + E log N(Z; Z', I) = log N − (K/2) log 2 − D(N(0, 2Σ)‖N(0, I)) − H(T|Z): largest at Σ = ½I.

    Z, Z' are independent draws N(μ_T, Σ) around one of N equally probable centers, isolated: H(T|Z) ≈ 0. By the chain
    rule h(Z) = log N + ½ log|2πeΣ| − H(T|Z), and E log N(Z; Z', I) = −(K/2) log 2π − tr Σ; their sum is the above. What
    is lost is the divergence of Z − Z' ~ N(0, 2Σ) from q's N(0, I). It vanishes at Σ = ½I alone, among all
    covariances: the bound falls as (K/2) log σ² when components shrink, as −Kσ² when they widen. Where they overlap
    ½I is the best to within H(T|Z). Judged: the identity at a random Σ, the value at ½I, and the top of a parabola
    through log Σ = log ½I ± 0.01 A, along which the bound is concave; A random with ‖A‖²_F = K.
    """
    return _measured(world, rng)


_optimum = bound_is_largest_at_covariance_one_half


def _on_a_line(n: int) -> PrototypeCenters:
    return PrototypeCenters(centers=10.0 * np.arange(n)[:, None], within=partial(_round, 1))


@_optimum.control("the form with log-determinants, −log(|Σ| |Σ'|), has an interior optimum", world=NEAR)
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    """Beside it the true bound of the same components, which has one; overlap moves it a little below ½."""
    draws, half, narrow = world.draw(rng), np.eye(world.dim) / 2, NARROWEST * np.eye(world.dim)
    at_half, diverging = draws.log_form(half), draws.log_form(narrow)
    n, true, collapsed = len(world.centers), draws.at(half), draws.at(narrow)
    total = Gaussian(np.zeros(world.dim), covariance(world.centers) * (n - 1) / n + narrow)
    return Sides(
        left=diverging,
        right=at_half,
        parts=("the form at 1e-8 I ≤ at ½I",),
        measured={
            "form at 1e-8 I": diverging, "form at ½I": at_half,
            "form at 1e-8 I, entropy by moments": diverging - collapsed.entropy + total.entropy.value,
            "bound at 1e-8 I": collapsed.bound, "bound at ½I": true.bound, "H(T|Z) at ½I": true.left,
        },
    )  # fmt: skip


@_optimum.control("overlapping components reach log N − (K/2) log 2", world=NEAR)
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    return Sides(left=world.ceiling, right=world.draw(rng).at(np.eye(world.dim) / 2).bound)


@_optimum.control("Σ for 2Σ: the optimum is at I")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    draws, identity = world.draw(rng), np.eye(world.dim)
    return Sides(left=draws.at(identity / 2).bound, right=draws.at(identity).bound)


@_optimum.control("the narrower within a view, the better")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    draws, identity = world.draw(rng), np.eye(world.dim)
    return Sides(left=draws.at(identity / 2).bound, right=draws.at(identity / 8).bound)


@_optimum.control("any Σ with the trace of ½I is as good", world=OBLIQUE)
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    draws, cov = world.draw(rng), world.within(rng)
    cov = world.dim / 2 / np.trace(cov) * cov
    return Sides(left=draws.at(np.eye(world.dim) / 2).bound, right=draws.at(cov).bound)


@_optimum.control("one view without noise")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    return _measured(world, rng, views=1)


@_optimum.control("log N is reached: no (K/2) log 2")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    return Sides(left=world.log_n, right=world.draw(rng).at(np.eye(world.dim) / 2).bound)


@_optimum.control("K for K/2 in front of log 2")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    return _measured(world, rng, ceiling=world.log_n - world.dim * float(np.log(2)))


@_optimum.control("ceiling in bits")
def _(world: PrototypeCenters, rng: np.random.Generator) -> Sides:
    return _measured(world, rng, ceiling=world.ceiling / float(np.log(2)))


def _measured(
    world: PrototypeCenters,
    rng: np.random.Generator,
    *,
    views: int = 2,
    ceiling: float | None = None,
) -> Sides:
    k, draws, cov = world.dim, world.draw(rng), world.within(rng)
    top = world.ceiling if ceiling is None else ceiling
    lost = kl_divergence(Gaussian(np.zeros(k), 2 * cov), Gaussian.standard(k)).value
    here, direction = draws.at(cov, views=views), _symmetric(k, rng)
    stated = top - lost - here.left
    below, best, above = (draws.at(_exponential(t * direction) / 2, views=views).bound for t in (-STEP, 0.0, STEP))
    where = STEP / 2 * (below - above) / (below - 2 * best + above)
    return Sides(
        left=(here.bound, stated, best, top, where, -where),
        right=(stated, here.bound, top, best, 0.0, 0.0),
        parts=(
            "bound ≤ log N − (K/2) log 2 − D − H(T|Z)", "log N − (K/2) log 2 − D − H(T|Z) ≤ bound",
            "at ½I ≤ log N − (K/2) log 2", "log N − (K/2) log 2 ≤ at ½I", "best at most at ½I", "best at least at ½I",
        ),
        measured={
            "bound at Σ": here.bound, "D": lost, "bound at ½I": best, "log N − (K/2) log 2": world.ceiling,
            "place of the optimum along A": where,
        },
    )  # fmt: skip


def _symmetric(k: int, rng: np.random.Generator) -> Float[np.ndarray, "K K"]:
    """A random symmetric matrix of squared norm K."""
    a = rng.standard_normal((k, k))
    return (a + a.T) / np.linalg.norm(a + a.T) * np.sqrt(k)


def _exponential(a: Float[np.ndarray, "K K"]) -> Float[np.ndarray, "K K"]:
    values, axes = np.linalg.eigh(a)
    return (axes * np.exp(values)) @ axes.T
