"""Huber's bounds on the entropy of a Gaussian mixture, and where each of them is an equality."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np

from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, MonteCarlo, Relation, Sides
from itssl.claims.worlds import digits_output_mixture, random_covariance, random_mixture
from itssl.distributions.mixture import GaussianMixture
from itssl.estimate import Reference
from itssl.estimators.mixture_bounds import huber_bounds, kolchinsky_tracey_bounds
from itssl.estimators.pairwise_mixture import EntropyBounds

HUBER_2008 = Reference(
    authors="Huber, Bailey, Durrant-Whyte & Hanebeck", year=2008,
    title="On entropy approximation for Gaussian mixture random vectors",
    where="IEEE International Conference on Multisensor Fusion and Integration, 181-188",
)  # fmt: skip
DRAWS = 512
ROUNDING = FloatingPoint(ulps=64, condition=1e3)
"""Quadrature settles to 1e-12 of the entropy; sums over a few hundred components are right to as many ulps."""


def mixture_entropy(mixture: GaussianMixture, rng: np.random.Generator, *, draws: int = DRAWS) -> float:
    """h = Σ c_i (h(p_i) + E_i log p_i/p): the last term alone is sampled, equally often from every component.

    It is −log c_i without any spread where components are far apart.
    """
    from scipy.special import logsumexp

    labels = np.repeat(np.arange(len(mixture.weights)), max(1, draws // len(mixture.weights)))
    log_densities = mixture.component_log_densities(mixture.sample_given(labels, rng))
    own = log_densities[np.arange(len(labels)), labels]
    excess = own - np.asarray(logsumexp(log_densities + np.log(mixture.weights), axis=1))
    excess = excess.reshape(len(mixture.weights), -1).mean(axis=1)
    return _given_labels(mixture) + float(mixture.weights @ excess)


def _given_labels(mixture: GaussianMixture) -> float:
    """Σ c_i h(p_i)."""
    return float(mixture.weights @ [c.entropy.value for c in mixture.components])


@dataclass(frozen=True, kw_only=True)
class Known:
    """A mixture with known components; ``isolated``: so far apart that no component has density at another."""

    mixture: GaussianMixture
    isolated: bool = False
    draws: int = DRAWS

    def entropy(self, rng: np.random.Generator) -> float:
        """Quadrature on the line, otherwise a Monte-Carlo mean."""
        return self._by_quadrature if self.mixture.dim == 1 else mixture_entropy(self.mixture, rng, draws=self.draws)

    @cached_property
    def _by_quadrature(self) -> float:
        return self.mixture.entropy_by_quadrature().value

    @cached_property
    def bounds(self) -> EntropyBounds:
        return huber_bounds(self.mixture)

    @cached_property
    def pairwise(self) -> EntropyBounds:
        return kolchinsky_tracey_bounds(self.mixture)

    @cached_property
    def given_labels(self) -> float:
        """Σ c_i h(p_i), the upper bound without H(T)."""
        return _given_labels(self.mixture)

    @property
    def deficit(self) -> float:
        """(K/2) log(e/2)."""
        return self.mixture.dim / 2 * (1 - float(np.log(2)))

    def lower(self, *, power: float = 1.0, one_covariance: bool = False) -> float:
        r"""−Σ c_i log Σ_j c_j^power N(μ_i; μ_j, Σ_i + Σ_j), or with Σ_i alone in the place of the sum."""
        c, m, s = self.mixture.weights, self.mixture.means, self.mixture.covs
        cov = s[:, None] + (0 * s if one_covariance else s)
        off = m[:, None] - m
        squared = np.einsum("ijk,ijk->ij", off, np.linalg.solve(cov, off[..., None])[..., 0])
        log_density = -0.5 * (squared + np.linalg.slogdet(2 * np.pi * cov)[1])
        return -float(c @ np.log(np.exp(log_density) @ c**power))


Draw: TypeAlias = Callable[[np.random.Generator], Known]


def _isolated(m: int, k: int, rng: np.random.Generator) -> Known:
    """Own weights, widths and shapes; centers in one direction, 60 apart, the widest deviation below 3."""
    axis = rng.standard_normal(k)
    centers = 60 * np.arange(float(m))[:, None] * axis / np.linalg.norm(axis)
    covs = np.stack([np.exp(rng.uniform(-2, 2)) * random_covariance(k, rng) for _ in range(m)])
    return Known(mixture=GaussianMixture(rng.dirichlet(np.full(m, 3.0)), centers, covs), isolated=True)


def _on_a_line(m: int, rng: np.random.Generator) -> Known:
    """Overlapping, of own weights, and deviations from ½ to 2."""
    variances = np.exp(rng.uniform(-1, 1, m) * np.log(4))
    weights, centers = rng.dirichlet(np.full(m, 3.0)), 3 * rng.standard_normal((m, 1))
    return Known(mixture=GaussianMixture(weights, centers, variances[:, None, None]))


def _grid(n: int) -> Known:
    """Equal components N(i, 1): a density that hardly varies within any of them."""
    return Known(mixture=GaussianMixture.isotropic(np.arange(float(n))[:, None], 1.0))


def _grid_with_needles(n: int, *, share: float = 0.1, std: float = 0.1) -> Known:
    """The grid, and in the middle of each gap a narrow component; together these weigh ``share``."""
    centers = np.concatenate([np.arange(float(n)), np.arange(float(n)) + 0.5])[:, None]
    weights = np.repeat([(1 - share) / n, share / n], n)
    return Known(mixture=GaussianMixture(weights, centers, np.repeat([1.0, std**2], n)[:, None, None]))


def _always(known: Known) -> Draw:
    return lambda _: known


ISOLATED = World(name="6 isolated components in R^4, own weights and shapes", make=lambda: partial(_isolated, 6, 4))
LINE = World(name="5 overlapping components on a line, own widths", make=lambda: partial(_on_a_line, 5))
GRID = World(name="200 components on a line, one every deviation", make=lambda: _always(_grid(200)))
NEEDLES = World(name="50 components every deviation, needles between", make=lambda: _always(_grid_with_needles(50)))


@claim(
    "C35",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=HUBER_2008,
    formula=r"-\sum_i c_i \log \sum_j c_j\, N(\mu_i; \mu_j, \Sigma_i + \Sigma_j) \le h \le H(T) + \sum_i c_i h(p_i)",
    uses=("C30",),
    worlds=(
        ISOLATED,
        LINE,
        GRID,
        NEEDLES,
        World(
            name="30 overlapping components in R^8",
            make=lambda: _always(Known(mixture=random_mixture(30, 8, 0, std=0.7))),
            tolerance=MonteCarlo(0.02),
        ),
        World(
            name="output law of the digits encoder, 50 prototypes, output noise 0.1",
            make=lambda: _always(Known(mixture=digits_output_mixture(), draws=100)),
            level="default",
            tolerance=MonteCarlo(0.02),
        ),
    ),
)
def entropy_lies_between_huber_bounds(world: Draw, rng: np.random.Generator) -> Sides:
    r"""−Σ c_i log Σ_j c_j N(μ_i; μ_j, Σ_i + Σ_j) ≤ h ≤ H(T) + Σ c_i h(p_i) for a mixture Σ c_i N(μ_i, Σ_i) in R^K.

    The upper bound is h(Z) ≤ h(Z, T), equal iff Z tells its component: with one component, and with more only in the
    limit of components far apart ("isolated" ones: equal to rounding). The lower is Jensen's inequality in each
    component, E_i log p ≤ log E_i p: equal iff p is constant within components, which a grid of overlapping ones nearly
    is. It keeps the term j = i, so it is at most the upper bound less (K/2) log(e/2), 0.153 nats a dimension, equal in
    the same cases: both bounds are never exact together. Beside them C30: its KL bound is at most the upper one here;
    of the lower ones neither is always better (Bhattacharyya's is exact in the limit of isolated components, 0.193
    below h on the grid).
    """
    seen = world(rng)
    h, (lower, upper) = seen.entropy(rng), seen.bounds
    sides = {
        "lower ≤ h": (lower, h),
        "h ≤ upper": (h, upper),
        "lower ≤ upper − (K/2) log(e/2)": (lower, upper - seen.deficit),
        "KL bound ≤ upper": (seen.pairwise.upper, upper),
    }
    if seen.isolated:
        sides |= {
            "isolated: upper ≤ h": (upper, h),
            "isolated: upper − (K/2) log(e/2) ≤ lower": (upper - seen.deficit, lower),
        }
    left, right = zip(*sides.values(), strict=True)
    measured = {"lower": lower, "h": h, "upper": upper, "Bhattacharyya bound": float(seen.pairwise.lower)}
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


_huber = entropy_lies_between_huber_bounds


@_huber.control("Σ_i for Σ_i + Σ_j in the lower bound", world=NEEDLES)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.lower(one_covariance=True), right=seen.entropy(rng))


@_huber.control("upper bound without H(T)")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.given_labels)


@_huber.control("weights squared in the lower bound")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.lower(power=2.0), right=seen.entropy(rng))


@_huber.control("lower bound with its sign reversed", world=GRID)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=-seen.bounds.lower)


@_huber.control("lower bound with the (K/2) log(e/2) it lacks at isolated components", world=GRID)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.bounds.lower + seen.deficit, right=seen.entropy(rng))


@_huber.control("lower bound exact for isolated components")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.bounds.lower)


@_huber.control("upper bound exact for overlapping components", world=LINE)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.bounds.upper, right=seen.entropy(rng))


@_huber.control("Bhattacharyya's bound is always the better lower one", world=GRID)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.bounds.lower, right=float(seen.pairwise.lower))


@_huber.control("Huber's lower bound is always the better one")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=float(seen.pairwise.lower), right=seen.bounds.lower)


@_huber.control("mean entropy of the components without their weights")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    mean = np.mean([c.entropy.value for c in seen.mixture.components])
    return Sides(left=seen.entropy(rng), right=seen.bounds.upper - seen.given_labels + float(mean))


@_huber.control("h in bits", world=GRID)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng) / np.log(2), right=seen.bounds.upper)
