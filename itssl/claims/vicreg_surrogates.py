"""From the information bound to VICReg: what its terms are surrogates of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.mnist_worlds import mnist_embeddings, mnist_output_mixture, mnist_world
from itssl.claims.references import COVER_THOMAS_2006, SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_embeddings, digits_output_mixture, random_covariance, random_mixture
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.law import Law
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.tasks import random_mixing
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.evaluation.spectrum import effective_rank, numerical_rank
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.linear_gaussian import ViewMoments, maximize_information_bound, minimize_population_vicreg
from itssl.objectives.vicreg import covariance_term

DRAWS = 512
NEGLIGIBLE = 1e-6  # variance, relative to the largest, of a direction the optimizer has removed

GAUSSIAN = World(
    name="Gaussian in R^8", make=lambda: Gaussian(np.zeros(8), random_covariance(8, stream(0, "moment bound")))
)
NARROW = World(name="50 narrow components in R^8", make=lambda: random_mixture(50, 8, 0, std=1e-2))


@claim(
    "C17",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=COVER_THOMAS_2006,
    formula=r"h(Z) \le \frac{1}{2} \log\left((2\pi e)^K \lvert \Sigma_Z \rvert\right)",
    worlds=(
        GAUSSIAN,
        World(name="two components on a line", make=lambda: GaussianMixture.isotropic(np.array([[-2.0], [2.0]]), 1.0)),
        NARROW,
        World(name="output law of the digits encoder, output noise 0.1", make=digits_output_mixture),
        mnist_world(mnist_output_mixture),
    ),
)
def gaussian_maximizes_entropy(world: Law, rng: np.random.Generator) -> Sides:
    r"""h(Z) ≤ ½ log((2πe)^K |Σ_Z|) for every law with finite covariance Σ_Z (the total covariance), equal iff Gaussian.

    The gap is the negentropy; for narrow components it grows without limit.
    Left: −mean log p over the draws; right: the Gaussian plug-in on the same draws, without its sampling bias.
    """
    z = world.sample(DRAWS, rng)
    return Sides(left=-float(world.log_density(z).mean()), right=GaussianPlugin().entropy(z).value)


@gaussian_maximizes_entropy.control("forgets 2πe")
def _(world: Law, rng: np.random.Generator) -> Sides:
    z = world.sample(DRAWS, rng)
    right = GaussianPlugin().entropy(z).value - world.dim / 2 * (LOG_2PI + 1)
    return Sides(left=-float(world.log_density(z).mean()), right=right)


@gaussian_maximizes_entropy.control("left side in bits, right side in nats")
def _(world: Law, rng: np.random.Generator) -> Sides:
    z = world.sample(DRAWS, rng)
    return Sides(left=-float(world.log_density(z).mean()) / np.log(2), right=GaussianPlugin().entropy(z).value)


@gaussian_maximizes_entropy.control("within-component covariance for the total", world=NARROW)
def _(world: GaussianMixture, rng: np.random.Generator) -> Sides:
    z = world.sample(DRAWS, rng)
    within = Gaussian(world.mean, np.einsum("m,mij->ij", world.weights, world.covs))
    return Sides(left=-float(world.log_density(z).mean()), right=within.entropy.value)


@dataclass(frozen=True, kw_only=True)
class CorrelationDirections:
    """Correlation matrices I + tE near I: E symmetric with zero diagonal and entries |N(0,1)|, of Frobenius norm 1.

    ``direction``: a fixed E instead of a random one. ``variance``: C = variance · (I + tE).
    """

    dim: int
    direction: Float[np.ndarray, "d d"] | None = None
    variance: float = 1.0

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "d d"]:
        if self.direction is not None:
            return self.direction
        e = np.triu(np.abs(rng.standard_normal((self.dim, self.dim))), 1)
        return (e + e.T) / np.linalg.norm(e + e.T)


def _trained_direction(embeddings: Float[np.ndarray, "n d"]) -> CorrelationDirections:
    """The correlations of held-out embeddings, scaled to Frobenius norm 1."""
    e = np.corrcoef(embeddings, rowvar=False)
    np.fill_diagonal(e, 0)
    return CorrelationDirections(dim=len(e), direction=e / np.linalg.norm(e))


NEAR_IDENTITY = World(name="random correlations, d=8", make=lambda: CorrelationDirections(dim=8))


@claim(
    "C20",
    relation=Relation.EQUAL,
    margin=2e-3,
    reference=SHWARTZ_ZIV_2023,
    formula=(
        r"d \cdot c(Z) = -\left(\log \lvert I + tE \rvert + \log \lvert I - tE \rvert\right) + O(t^4), \quad "
        r"R = I + tE"
    ),
    uses=("C18", "C19"),
    worlds=(
        NEAR_IDENTITY,
        World(name="random correlations, d=64", make=lambda: CorrelationDirections(dim=64)),
        World(
            name="correlations of digits embeddings after VICReg", make=lambda: _trained_direction(digits_embeddings())
        ),
        mnist_world(lambda: _trained_direction(mnist_embeddings()), "correlations"),
    ),
)
def covariance_term_is_second_order_log_determinant(world: CorrelationDirections, rng: np.random.Generator) -> Sides:
    r"""At unit variance d·c(Z) = −2 × the second-order term of log|R|, with a cubic remainder.

    log|I + tE| = −(t²/2)‖E‖² + O(t³) and d·c = Σ_{i≠j} R_ij² = t²‖E‖². The part even in t isolates the second order:
    −(log|I+tE| + log|I−tE|)/(d·c) → 1 as t → 0, with error O(t²). The odd part (log|I+tE| − log|I−tE|)/2 falls by
    2³ when t is halved. The covariance term is that of a sample with exactly this covariance.
    """
    return _second_order(world, rng)


@covariance_term_is_second_order_log_determinant.control("variance 2 instead of 1")
def _(world: CorrelationDirections, rng: np.random.Generator) -> Sides:
    return _second_order(CorrelationDirections(dim=world.dim, variance=2.0), rng)


@covariance_term_is_second_order_log_determinant.control("−1 for −2")
def _(world: CorrelationDirections, rng: np.random.Generator) -> Sides:
    sides = _second_order(world, rng)
    return Sides(left=(2 * sides.left[0], sides.left[1]), right=sides.right, parts=sides.parts)


def _second_order(world: CorrelationDirections, rng: np.random.Generator, *, t: float = 0.05) -> Sides:
    e, identity = world.draw(rng), np.eye(world.dim)
    plus, minus, half_plus, half_minus = (np.linalg.slogdet(identity + s * e)[1] for s in (t, -t, t / 2, -t / 2))
    term = world.dim * float(covariance_term(_sample_with_covariance(world.variance * (identity + t * e), rng)))
    return Sides(
        left=(-(plus + minus) / term, np.log2((plus - minus) / (half_plus - half_minus))),
        right=(1.0, 3.0),
        parts=("−2 × second order / (d·c)", "order of the remainder"),
    )


def _sample_with_covariance(cov: Float[np.ndarray, "d d"], rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """A sample of 2d + 2 rows whose unbiased sample covariance is cov, to rounding."""
    d = len(cov)
    z = rng.standard_normal((2 * d + 2, d))
    z -= z.mean(axis=0)
    orthonormal = np.linalg.qr(z)[0] * np.sqrt(len(z) - 1)
    return orthonormal @ np.linalg.cholesky(cov).T


@dataclass(frozen=True, kw_only=True)
class CanonicalViews:
    """Exchangeable Gaussian views in R^20 with canonical correlations from 0.98 to 0.05, mixed; embedded in R^k."""

    k: int

    @property
    def correlations(self) -> Float[np.ndarray, " 20"]:
        return np.linspace(0.98, 0.05, 20)

    def moments(self) -> ViewMoments:
        mixing = random_mixing(20, 0)
        return ViewMoments(mixing @ mixing.T, (mixing * self.correlations) @ mixing.T)

    @property
    def best_information(self) -> float:
        """−½ Σ_{i≤k} log(1 − ρ_i²): the information of the k most correlated directions."""
        return float(-0.5 * np.log1p(-(self.correlations[: self.k] ** 2)).sum())

    @property
    def best_bound(self) -> float:
        """−½ Σ_{i≤k} log(2(1 − ρ_i)): the bound's optimum over linear encoders."""
        return float(-0.5 * np.log(2 * (1 - self.correlations[: self.k])).sum())


TEN = World(name="k = 10 of 20 dimensions", make=lambda: CanonicalViews(k=10))


@claim(
    "C27",
    relation=Relation.EQUAL,
    margin=1e-3,
    reference=SHWARTZ_ZIV_2023,
    formula=(
        r"\max_A \left(\frac{1}{2} \log \lvert A V A^\top \rvert - \frac{1}{2} \mathrm{tr}(A \Delta A^\top) + "
        r"\frac{K}{2}\right) = -\frac{1}{2} \sum_{i \le K} \log(2(1 - \rho_i))"
    ),
    uses=("C08", "C10", "C17"),
    worlds=(World(name="k = 5 of 20 dimensions", make=lambda: CanonicalViews(k=5)), TEN),
    tight_at=TEN,
    first_look=8,
)
def linear_optimum_of_bound_is_cca(world: CanonicalViews, rng: np.random.Generator) -> Sides:
    r"""For Gaussian views and linear encoders the bound is maximal at CCA, which keeps the information of the top K.

    max_A ½ log|A V Aᵀ| − ½ tr(A Δ Aᵀ) + K/2 = −½ Σ_{i≤K} log(2(1 − ρ_i)) for ρ_i ≥ 0, from every random start; there
    I(AX; AX') = −½ Σ_{i≤K} log(1 − ρ_i²), and the bound's gap ½ Σ log(2/(1 + ρ_i)) is at most (K/2) log 2.
    Left: the optimum found numerically; right: the closed form. Nothing is sampled but the start.
    """
    moments = world.moments()
    found = maximize_information_bound(moments, world.k, rng)
    return Sides(
        left=(moments.information_bound(found), moments.information(found)),
        right=(world.best_bound, world.best_information),
        parts=("value of the bound", "information at the optimum"),
        measured={"bound": moments.information_bound(found), "information": moments.information(found)},
    )


@linear_optimum_of_bound_is_cca.control("VICReg 25/25/1 (reference) attains the maximum")
def _(world: CanonicalViews, rng: np.random.Generator) -> Sides:
    return _vicreg_shortfall(world, rng, normalization="reference", weights=(25.0, 25.0, 1.0))


@linear_optimum_of_bound_is_cca.control("VICReg 25/25/1 (equation) attains the maximum")
def _(world: CanonicalViews, rng: np.random.Generator) -> Sides:
    return _vicreg_shortfall(world, rng, normalization="equation", weights=(25.0, 25.0, 1.0))


@linear_optimum_of_bound_is_cca.control("the bound equals the information")
def _(world: CanonicalViews, rng: np.random.Generator) -> Sides:
    moments = world.moments()
    return Sides(left=moments.information_bound(maximize_information_bound(moments, world.k, rng)),
                 right=world.best_information)  # fmt: skip


def _vicreg_shortfall(world: CanonicalViews, rng: np.random.Generator, **options: Any) -> Sides:
    moments = world.moments()
    found = minimize_population_vicreg(moments, world.k, rng, **options)
    information, cov = moments.information(found, smallest_variance=NEGLIGIBLE), found @ moments.within @ found.T
    return Sides(
        left=information,
        right=world.best_information,
        measured={
            "information": information,
            "rank": numerical_rank(cov, smallest_variance=NEGLIGIBLE),
            "effective rank": effective_rank(cov),
        },
    )
