"""How large log|Σ_Z| can get with N centers of bounded diameter."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_output_mixture, random_covariance
from itssl.estimate import Reference
from itssl.kernels.linalg import covariance

JUNG_1901 = Reference(
    authors="Jung", title="Über die kleinste Kugel, die eine räumliche Figur einschließt", year=1901,
    where="Journal für die reine und angewandte Mathematik 123, 241-257",
)  # fmt: skip
ROUNDING = FloatingPoint(ulps=256)
"""Products of up to 64 × 64 matrices, and log-determinants of condition numbers far below 1/eps."""


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """N equally probable components in R^K: their centers, and their mean covariance Σ_W."""

    centers: Float[np.ndarray, "N K"]
    within: Float[np.ndarray, "K K"]

    @property
    def between(self) -> Float[np.ndarray, "K K"]:
        """Σ_B = (1/N) Σ (μ_n − μ̄)(μ_n − μ̄)ᵀ."""
        n = len(self.centers)
        return covariance(self.centers) * (n - 1) / n

    @property
    def distances(self) -> Float[np.ndarray, " pairs"]:
        n = len(self.centers)
        off = self.centers[:, None] - self.centers
        return np.linalg.norm(off, axis=2)[np.triu_indices(n, 1)]

    @property
    def rank(self) -> int:
        """r = min(N − 1, K), the largest rank of Σ_B."""
        return min(len(self.centers) - 1, len(self.within))

    @property
    def trace(self) -> float:
        """T = (M²/2) r/(r + 1), the largest trace of Σ_B for centers of diameter M."""
        return float(self.distances.max()) ** 2 / 2 * self.rank / (self.rank + 1)

    @property
    def widest(self) -> float:
        """b, the largest eigenvalue of Σ_W."""
        return float(np.linalg.eigvalsh(self.within)[-1])

    @property
    def log_det(self) -> float:
        """log|Σ_W + Σ_B|."""
        return float(np.linalg.slogdet(self.within + self.between)[1])

    def bound_by_rank(self, b: float) -> float:
        """r log(b + T/r) + (K − r) log b."""
        return self.rank * float(np.log(b + self.trace / self.rank)) + (len(self.within) - self.rank) * float(np.log(b))

    def bound_by_trace(self, b: float, trace: float) -> float:
        """K log((K b + trace)/K)."""
        return len(self.within) * float(np.log(b + trace / len(self.within)))


def _simplex(
    corners: int, k: int, rng: np.random.Generator, *, copies: int = 1, diameter: float = 3.0, b: float = 0.5
) -> Clusters:
    """Centers at the corners of a regular simplex, somewhere and in some direction, and Σ_W = bI."""
    flat = np.linalg.qr(np.eye(corners)[:, 1:] - 1 / corners)[0] * diameter / np.sqrt(2)
    axes = np.linalg.qr(rng.standard_normal((k, corners - 1)))[0]
    return Clusters(centers=np.tile(flat @ axes.T, (copies, 1)) + rng.standard_normal(k), within=b * np.eye(k))


def _scattered(n: int, k: int, rng: np.random.Generator) -> Clusters:
    return Clusters(centers=rng.standard_normal((n, k)), within=random_covariance(k, rng))


def _filled_up(rng: np.random.Generator) -> Clusters:
    """Three centers in R^8, and within them what makes Σ_Z isotropic: positive definite, as Kb = 16 is large enough."""
    bare = _simplex(3, 8, rng)
    total = 2.0 + bare.trace / 8
    return Clusters(centers=bare.centers, within=total * np.eye(8) - bare.between)


def _from_network() -> Clusters:
    mixture = digits_output_mixture()
    return Clusters(centers=mixture.means, within=mixture.covs.mean(axis=0))


Draw: TypeAlias = Callable[[np.random.Generator], Clusters]

SIMPLEX = World(name="5 centers, a simplex in R^4", make=lambda: partial(_simplex, 5, 4))
FEW = World(name="3 centers, a triangle in R^8", make=lambda: partial(_simplex, 3, 8))
COPIES = World(
    name="15 centers, three at each corner of a simplex in R^4", make=lambda: partial(_simplex, 5, 4, copies=3)
)


@claim(
    "C24",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=JUNG_1901,
    formula=(
        r"\log \lvert \Sigma_Z \rvert \le r \log\left(b + \frac{T}{r}\right) + (K - r) \log b, \quad T = "
        r"\frac{M^2}{2} \frac{r}{r + 1}"
    ),
    uses=("C23",),
    worlds=(
        SIMPLEX,
        FEW,
        COPIES,
        World(name="40 random centers in R^4, anisotropic within", make=lambda: partial(_scattered, 40, 4)),
        World(name="6 random centers in R^16, anisotropic within", make=lambda: partial(_scattered, 6, 16)),
        World(name="output law of the digits encoder, 50 prototypes in R^64", make=lambda: lambda _: _from_network()),
    ),
)
def centers_of_bounded_diameter_reach_so_much(world: Draw, rng: np.random.Generator) -> Sides:
    r"""tr Σ_B ≤ T = (M²/2) r/(r+1) and log|Σ_Z| ≤ r log(b + T/r) + (K−r) log b ≤ K log((Kb + T)/K); r = min(N−1, K).

    For N equally probable centers in R^K at most M apart, between-center covariance Σ_B of rank ≤ r, Σ_W ⪯ bI and
    Σ_Z = Σ_W + Σ_B. tr Σ_B is the mean square of all N² differences over 2, N of them zero, so at most
    (M²/2)(1 − 1/N); beyond K + 1 centers no more can be equidistant, and Jung's ball of radius² M² K/(2(K+1))
    holds them. Equal at a regular simplex, also with several centers at each corner. The last step is concavity of
    the logarithm, equal iff r = K: so with Σ_W ⪯ bI the bound by the trace is attainable only if N − 1 ≥ K. It
    needs no more than tr Σ_W ≤ Kb, and then fewer centers attain it. Often written with M²/2 for T, which is larger.
    """
    z = world(rng)
    b, mean, m = z.widest, float(np.trace(z.within)) / len(z.within), float(z.distances.max())
    by_rank, by_trace = z.bound_by_rank(b), z.bound_by_trace(b, z.trace)
    half = m**2 / 2
    return Sides(
        left=(float(np.trace(z.between)), z.trace, z.log_det, by_rank, z.log_det, by_trace),
        right=(
            z.trace, half * (1 - 1 / len(z.centers)), by_rank, by_trace, z.bound_by_trace(mean, z.trace),
            z.bound_by_trace(b, half),
        ),
        parts=(
            "tr Σ_B ≤ T", "T ≤ (M²/2)(1 − 1/N)", "log|Σ_Z| ≤ r log(b + T/r) + (K−r) log b",
            "that ≤ K log((Kb + T)/K)", "log|Σ_Z| ≤ K log((tr Σ_W + T)/K)", "K log((Kb + T)/K) ≤ with M²/2 for T",
        ),
        measured={
            "tr Σ_B": float(np.trace(z.between)), "T": z.trace, "log|Σ_Z|": z.log_det, "bound by rank": by_rank,
            "bound by trace": by_trace, "with M²/2 for T": z.bound_by_trace(b, half),
        },
    )  # fmt: skip


_reachable = centers_of_bounded_diameter_reach_so_much


@_reachable.control("any number of centers attains the bound by the trace", world=FEW)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=z.bound_by_trace(z.widest, z.trace), right=z.log_det)


@_reachable.control(
    "tr Σ_W ≤ Kb is enough for the bound by rank",
    world=World(name="3 centers in R^8, Σ_W what makes Σ_Z isotropic", make=lambda: _filled_up),
)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=z.log_det, right=z.bound_by_rank(float(np.trace(z.within)) / len(z.within)))


@_reachable.control("diameter M, so within M/2 of a point: tr Σ_B ≤ M²/4")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=float(np.trace(z.between)), right=float(z.distances.max()) ** 2 / 4)


@_reachable.control("(M²/2)(1 − 1/N) is reached by more than K + 1 centers", world=COPIES)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=float(z.distances.max()) ** 2 / 2 * (1 - 1 / len(z.centers)), right=float(np.trace(z.between)))


@_reachable.control("mean distance for the largest", world=COPIES)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=float(np.trace(z.between)), right=float(z.distances.mean()) ** 2 / 2 * (1 - 1 / len(z.centers)))


@_reachable.control("covariance of the centers over N − 1")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=float(np.trace(covariance(z.centers))), right=z.trace)


@_reachable.control("b for Kb")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=z.log_det, right=z.bound_by_trace(z.widest / len(z.within), z.trace))


@_reachable.control("K − 1 for K")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    k = len(z.within)
    return Sides(left=z.log_det, right=(k - 1) / k * z.bound_by_trace(z.widest, z.trace))


@_reachable.control("log|Σ_Z| in bits")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=z.log_det / np.log(2), right=z.bound_by_trace(z.widest, z.trace))
