"""The pairwise bounds on n of N components: the lower one stays a lower bound, the upper one needs log(N/n)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_embeddings
from itssl.estimators.pairwise_mixture import PairwiseMixture, pairwise_entropy_bounds
from itssl.kernels.linalg import LOG_2PI

DRAWS = 256
BATCHES = 4
"""Batches averaged in one replicate."""
REACH, POINTS = 9.0, 257
"""Of the quadrature, in deviations: the normal law has mass 2e-19 beyond, and the rule converges geometrically."""
ROUNDING = FloatingPoint(ulps=POINTS)
"""A sum of n terms is right to n ulps."""


@dataclass(frozen=True, kw_only=True)
class Components:
    """The mixture (1/N) Σ N(μ_i, var I), seen n components at a time; ``every``: in all batches, else at random.

    ``clustered``: the components are so far apart that every step of the claim but h(p_S) ≤ h is an equality.
    """

    centers: Float[np.ndarray, "N d"]
    var: float
    n: int
    every: bool = False
    clustered: bool = False

    def batches(self, rng: np.random.Generator) -> Int[np.ndarray, "b n"]:
        """Components drawn without replacement, batch by batch."""
        if self.every:
            return np.array(list(combinations(range(len(self.centers)), self.n)))
        return np.stack([rng.choice(len(self.centers), size=self.n, replace=False) for _ in range(BATCHES)])

    def entropy(self, rng: np.random.Generator) -> float:
        """h of all components."""
        return self.mean_entropy(np.arange(len(self.centers))[None], rng)

    def mean_entropy(self, batches: Int[np.ndarray, "b m"], rng: np.random.Generator) -> float:
        """h of the components in a batch, averaged over batches; on the line by quadrature, else by Monte Carlo."""
        if self.centers.shape[1] == 1:
            excess = _by_quadrature(self.centers[batches][..., 0] / np.sqrt(self.var))
        else:
            excess = np.mean([_sampled(self.centers[rows] / np.sqrt(self.var), rng) for rows in batches])
        return self.component + float(excess)

    def bounds(self, batches: Int[np.ndarray, "b n"]) -> Float[np.ndarray, "2 b"]:
        """Lower and upper bound of each batch."""
        return np.array([pairwise_entropy_bounds(self.centers[rows], var=self.var) for rows in batches]).T

    def mean_bounds(self, rng: np.random.Generator) -> tuple[float, float]:
        lower, upper = self.bounds(self.batches(rng)).mean(axis=1)
        return float(lower), float(upper)

    @property
    def left_out(self) -> float:
        """log(N/n)."""
        return float(np.log(len(self.centers) / self.n))

    @property
    def component(self) -> float:
        """Entropy of one component."""
        return self.centers.shape[1] / 2 * (LOG_2PI + 1 + float(np.log(self.var)))


def _by_quadrature(centers: Float[np.ndarray, "b m"]) -> float:
    """I(Z; T) = E log p_T/p of components of variance 1 on a line, averaged over batches; trapezoidal rule."""
    x = np.linspace(-REACH, REACH, POINTS)
    weights = np.exp(-(x**2) / 2)
    z = centers[..., None] + x
    exponent = (x**2)[:, None] - np.square(z[..., None] - centers[:, None, None])
    return float((-np.log(np.exp(exponent / 2).mean(axis=-1)) @ weights).mean() / weights.sum())


def _sampled(centers: Float[np.ndarray, "m d"], rng: np.random.Generator) -> float:
    """I(Z; T) of components of variance 1, sampled equally often from every component.

    The term of a draw's own component is 1, so no exponent needs a shift (they stay below d).
    """
    m, d = centers.shape
    noise = rng.standard_normal((max(1, DRAWS // m), m, d))
    off = centers - centers.mean(axis=0)
    z = (off + noise).reshape(-1, d)
    squared = np.square(z).sum(axis=1)[:, None] + np.square(off).sum(axis=1) - 2 * z @ off.T
    exponent = np.square(noise).sum(axis=2).reshape(-1, 1) - squared
    return -float(np.log(np.exp(exponent / 2).mean(axis=1)).mean())


Draw: TypeAlias = Callable[[np.random.Generator], Components]


def _scattered(n: int, of: int, d: int, *, spread: float, clustered: bool = False) -> Draw:
    """N centers N(0, spread² I), the same in every replicate."""
    centers = spread * stream(0, "centers of batches", of, d).standard_normal((of, d))
    return _always(Components(centers=centers, var=1.0, n=n, clustered=clustered))


def _on_a_line(n: int, of: int, rng: np.random.Generator) -> Components:
    return Components(centers=3 * rng.standard_normal((of, 1)), var=1.0, n=n, every=True)


def _two_of_sixteen_apart() -> Components:
    """14 components that coincide and two far from them and from each other, in pairs."""
    return Components(centers=np.array([[-40.0], *[[0.0]] * 14, [40.0]]), var=1.0, n=2, every=True)


def _always(components: Components) -> Draw:
    return lambda _: components


ALL = World(name="8 of 8 clustered components in R^4", make=lambda: _scattered(8, 8, 4, spread=40.0, clustered=True))
HALF = World(name="4 of 8 clustered components in R^4", make=lambda: _scattered(4, 8, 4, spread=40.0, clustered=True))
OVERLAPPING = World(name="32 of 64 overlapping components in R^2", make=lambda: _scattered(32, 64, 2, spread=1.5))
EVERY = World(
    name="every 3 of 6 components on a line", make=lambda: partial(_on_a_line, 3, 6), tolerance=ROUNDING
)  # fmt: skip
APART = World(
    name="every 2 of 16 components, 14 of which coincide", make=lambda: _always(_two_of_sixteen_apart()),
    tolerance=ROUNDING,
)  # fmt: skip


@claim(
    "C32",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=PairwiseMixture.REFERENCE,
    formula=r"\mathbb{E}\, \hat{h}_{\mathrm{BD}}(n) \le \mathbb{E}\, h(p_S) \le h"
    r" \le \mathbb{E}\, h(p_S) + \log\frac{N}{n} \le \mathbb{E}\, \hat{h}_{\mathrm{KL}}(n) + \log\frac{N}{n}",
    uses=("C30",),
    worlds=(
        ALL,
        HALF,
        OVERLAPPING,
        EVERY,
        APART,
        World(name="32 of 128 components in R^32", make=lambda: _scattered(32, 128, 32, spread=0.5)),
        World(
            name="64 of 200 embeddings of digits after VICReg, var 1/4",
            make=lambda: _always(Components(centers=digits_embeddings()[:200], var=0.25, n=64)),
            level="default",
        ),
    ),
)
def batch_keeps_lower_bound_of_mixture_entropy(world: Draw, rng: np.random.Generator) -> Sides:
    r"""E lower(n) ≤ E h(p_S) ≤ h ≤ E h(p_S) + log(N/n) ≤ E upper(n) + log(N/n), S being n of N components at random.

    p_S is the mixture of a batch drawn without replacement, lower and upper its Bhattacharyya and KL bound (C30), h the
    entropy of all N. Every component is as likely in S as any other, so E p_S = p and h, concave, is not below
    E h(p_S). What is missing is I(S; Z) ≤ I(S; T) = log(N/n), as Z depends on S through its component T alone.
    So the lower bound of a batch stays a lower bound on average; the upper one stays an upper bound only with log(N/n)
    added, which is exactly what clustered components lack: there all but h(p_S) ≤ h are equalities, and that one if
    n = N. A single batch may be above h: two of sixteen components, when the other fourteen coincide.
    """
    seen = world(rng)
    batches, left_out = seen.batches(rng), seen.left_out
    lower, upper = (float(mean) for mean in seen.bounds(batches).mean(axis=1))
    h, batch = seen.entropy(rng), seen.mean_entropy(batches, rng)
    sides = {
        "E lower(n) ≤ E h(p_S)": (lower, batch),
        "E h(p_S) ≤ h": (batch, h),
        "h ≤ E h(p_S) + log(N/n)": (h, batch + left_out),
        "E h(p_S) ≤ E upper(n)": (batch, upper),
    }
    if seen.clustered:
        sides |= {
            "clustered: E upper(n) ≤ E lower(n)": (upper, lower),
            "clustered: E h(p_S) + log(N/n) ≤ h": (batch + left_out, h),
        }
    left, right = zip(*sides.values(), strict=True)
    measured = {"E lower(n)": lower, "E h(p_S)": batch, "h": h, "E upper(n)": upper, "log(N/n)": left_out}
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


_batch = batch_keeps_lower_bound_of_mixture_entropy


@_batch.control("upper bound of a batch bounds h from above", world=HALF)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.mean_bounds(rng)[1])


@_batch.control("lower bound with log(N/n) added", world=OVERLAPPING)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.mean_bounds(rng)[0] + seen.left_out, right=seen.entropy(rng))


@_batch.control("KL for Bhattacharyya in the lower bound", world=OVERLAPPING)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.mean_bounds(rng)[1], right=seen.entropy(rng))


@_batch.control("every batch, not their average, is below h", world=APART)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=float(seen.bounds(seen.batches(rng))[0].max()), right=seen.entropy(rng))


@_batch.control("the components farthest from the mean for a random batch", world=APART)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    distances = np.linalg.norm(seen.centers - seen.centers.mean(axis=0), axis=1)
    farthest = np.argsort(distances)[None, -seen.n :]
    return Sides(left=float(seen.bounds(farthest)[0, 0]), right=seen.entropy(rng))


@_batch.control(
    "mean over the other components, without j = i",
    world=World(name="4 of 8 components in R^4, spread 4", make=lambda: _scattered(4, 8, 4, spread=4.0)),
)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=np.mean([_without_self(seen, rows) for rows in seen.batches(rng)]), right=seen.entropy(rng))


@_batch.control("half of log(N/n) is missing at most", world=HALF)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.mean_bounds(rng)[1] + seen.left_out / 2)


@_batch.control("lower bound in bits")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.mean_bounds(rng)[0] / np.log(2), right=seen.entropy(rng))


def _without_self(seen: Components, rows: Int[np.ndarray, " n"]) -> float:
    """h(component) − (1/n) Σ_i log (1/(n−1)) Σ_{j≠i} e^{−‖μ_i − μ_j‖²/(8 var)}."""
    centers = seen.centers[rows]
    kernel = np.exp(-np.square(centers[:, None] - centers).sum(axis=2) / (8 * seen.var))
    return seen.component - float(np.log((kernel.sum(axis=1) - 1) / (len(rows) - 1)).mean())
