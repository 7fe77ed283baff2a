"""What is assumed of the data: prototypes so far apart that one Gaussian gives the density at each point."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FIRST_LOOK, Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_data, random_covariance, untrained_digits_encoder
from itssl.distributions.mixture import GaussianMixture
from itssl.evaluation.overlap import map_assignment, misassignment, overlap

DRAWS = 1024
SIGMAS = (0.001, 0.01, 0.1)
"""Standard deviations of input noise at which the assumptions are measured on digits."""


@dataclass(frozen=True, kw_only=True)
class Separation:
    """N equally probable prototypes with covariances s²Σ_n of the noise, for each scale s."""

    prototypes: Float[np.ndarray, "N D"]
    covs: Float[np.ndarray, "N D D"]
    scales: tuple[float, ...]

    @cached_property
    def laws(self) -> dict[float, GaussianMixture]:
        n = len(self.prototypes)
        return {s: GaussianMixture(np.full(n, 1 / n), self.prototypes, s**2 * self.covs) for s in self.scales}

    @cached_property
    def precisions(self) -> Float[np.ndarray, "N D D"]:
        inverse = np.linalg.inv(self.covs)
        return (inverse + inverse.transpose(0, 2, 1)) / 2


def _one_covariance(n: int, d: int, scales: tuple[float, ...], *, condition: float) -> Separation:
    rng = stream(0, "separation", n, d)
    cov = random_covariance(d, rng, condition=condition)
    return Separation(
        prototypes=rng.standard_normal((n, d)), covs=np.broadcast_to(cov, (n, d, d)).copy(), scales=scales
    )


def _own_covariances(n: int, d: int, scales: tuple[float, ...]) -> Separation:
    """Widths from 1/8 to 1, and directions of their own."""
    rng = stream(0, "separation", "own", n, d)
    widths = np.geomspace(1 / 8, 1, n)
    covs = np.stack([w**2 * random_covariance(d, rng) for w in widths])
    return Separation(prototypes=rng.standard_normal((n, d)), covs=covs, scales=scales)


def _digits() -> Separation:
    x = digits_data().test_x[:30]
    return Separation(prototypes=x, covs=np.broadcast_to(np.eye(64), (30, 64, 64)).copy(), scales=(0.1, 0.3, 0.6))


ANISOTROPIC = World(
    name="50 prototypes in R^4, condition number 100",
    make=lambda: _one_covariance(50, 4, (0.1, 0.3, 1.0), condition=100.0),
)
OWN_WIDTHS = World(
    name="20 prototypes in R^3, eightfold range of widths", make=lambda: _own_covariances(20, 3, (0.1, 0.5, 2.0))
)


@claim(
    "C04",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\varepsilon \le \mathbb{E} \log \frac{p(X)}{p_1(X)} \le \varepsilon \frac{N}{N-1} \log N",
    worlds=(
        ANISOTROPIC,
        World(
            name="50 prototypes in R^2, all but coinciding at the end",
            make=lambda: _one_covariance(50, 2, (0.03, 1.0, 100.0), condition=4.0),
        ),
        OWN_WIDTHS,
        World(name="30 held-out digits, isotropic noise", make=_digits, level="default"),
    ),
)
def one_gaussian_gives_the_density(world: Separation, rng: np.random.Generator) -> Sides:
    r"""ε ≤ E log p(X)/p₁(X) ≤ ε · log N · N/(N − 1), p₁(x) = N(x; x*_{n(x)}, Σ_{n(x)})/N and ε = P(n(X) ≠ T), A2.

    n(x) = argmin (x − x*_n)ᵀ Σ_n⁻¹ (x − x*_n) + log|Σ_n| is the most probable prototype; with m its posterior
    probability, log p/p₁ = −log m, while ε = E(1 − m). On [1/N, 1] −log m lies above its tangent 1 − m and below its
    chord (1 − m) log N · N/(N − 1): so log p₁ is right up to ε log N if prototypes are seldom confused, and it is
    never above log p. Both sides meet at ε = 0 and, above, where all prototypes coincide. n(X) is compared with the
    T that was drawn; ε is also at most Σ_{j≠i} Φ(−r_ij/2), measured beside where the Σ_n agree.
    """
    return _single_term(world, rng, world.precisions)


@one_gaussian_gives_the_density.control("Σ for Σ⁻¹ in n(x)")
def _(world: Separation, rng: np.random.Generator) -> Sides:
    return _single_term(world, rng, world.covs)


@one_gaussian_gives_the_density.control("log|Σ_n| forgotten in n(x)", world=OWN_WIDTHS)
def _(world: Separation, rng: np.random.Generator) -> Sides:
    return _single_term(world, rng, world.precisions, forget_determinants=True)


@one_gaussian_gives_the_density.control("1/N forgotten in p₁")
def _(world: Separation, rng: np.random.Generator) -> Sides:
    return _single_term(world, rng, world.precisions, log_weight=0.0)


def _single_term(
    world: Separation,
    rng: np.random.Generator,
    metrics: Float[np.ndarray, "N D D"],
    *,
    forget_determinants: bool = False,
    log_weight: float | None = None,
) -> Sides:
    """Both inequalities at each scale, with p₁ by the nearest prototype under ``metrics``, ε by the right ones."""
    n = len(world.prototypes)
    left, right, parts, measured = [], [], [], {}
    for scale, law in world.laws.items():
        x, labels = law.sample_with_labels(DRAWS, rng)
        best = map_assignment(x, world.prototypes, world.precisions / scale**2)
        wrong = float((best != labels).mean())
        if forget_determinants:
            off = x[:, None] - world.prototypes
            best = np.einsum("nmi,mij,nmj->nm", off, metrics, off).argmin(axis=1)
        elif metrics is not world.precisions:
            best = map_assignment(x, world.prototypes, metrics[0])
        log_term = law.component_log_densities(x)[np.arange(DRAWS), best]
        excess = float((law.log_density(x) - log_term).mean()) - (-np.log(n) if log_weight is None else log_weight)
        left += [wrong, excess]
        right += [excess, wrong * np.log(n) * n / (n - 1)]
        parts += [f"ε ≤ E log p/p₁, scale {scale:g}", f"E log p/p₁ ≤ ε log N · N/(N−1), scale {scale:g}"]
        found = {"ε": wrong, "E log p/p₁": excess, "n(x) wrong": float((best != labels).mean())}
        measured |= {f"{name}, scale {scale:g}": value for name, value in found.items()}
    return Sides(left=tuple(left), right=tuple(right), parts=tuple(parts), measured=measured)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Prototypes with isotropic noise of the standard deviations given."""

    prototypes: Float[np.ndarray, "N D"]
    sigmas: tuple[float, ...] = SIGMAS


HELD_OUT = World(name="500 held-out digits, σ = 0.001 to 0.1", make=lambda: Pictures(prototypes=digits_data().test_x))
WIDE = World(name="500 held-out digits, σ = 1", make=lambda: Pictures(prototypes=digits_data().test_x, sigmas=(1.0,)))


@claim(
    "C06",
    kind="finding",
    relation=Relation.AT_MOST,
    margin=0.0,
    reference=SHWARTZ_ZIV_2023,
    formula=r"P(n(X) \ne T) \le \frac{1}{N} \sum_i \sum_{j \ne i} \Phi\left(-\frac{r_{ij}}{2\sigma}\right) \le 0.001",
    uses=("C04",),
    worlds=(
        HELD_OUT,
        World(
            name="1297 training digits, σ = 0.001 to 0.1",
            make=lambda: Pictures(prototypes=digits_data().train_x),
            level="default",
        ),
    ),
    max_replicates=FIRST_LOOK,
)
def digits_are_apart(world: Pictures, rng: np.random.Generator) -> Sides:
    r"""Digits are told apart at every σ of C05 (A2): P(n(X) ≠ T) ≤ mean_i Σ_{j≠i} Φ(−r_ij/2σ) ≤ 0.001.

    r_ij is the distance of two pictures; a draw around one is nearer to the other with probability Φ(−r_ij/2σ). Both
    the share of draws nearest to another picture than their own and the sum are compared with 0.001. At σ = 0.1, and
    at a tenth of it, no draw stays in its region (A1): of the two assumptions it is the regions that bind.
    """
    found = overlap(world.prototypes, 1.0, scales=world.sigmas)
    shares = [misassignment(world.prototypes, s**2, rng, DRAWS).value for s in world.sigmas]
    bounds = [float(upper.mean()) for upper in found.upper]
    names = [f"{name}, σ = {s:g}" for name in ("misassigned", "ΣΦ") for s in world.sigmas]
    measured = dict(zip(names, (*shares, *bounds), strict=True))
    nearest = {"nearest neighbor, minimum": found.nearest.min(), "nearest neighbor, median": np.median(found.nearest)}
    return Sides(
        left=(*shares, *bounds),
        right=(0.001,) * len(names),
        parts=tuple(f"{name} ≤ 0.001" for name in names),
        measured=measured | {name: float(value) for name, value in nearest.items()},
    )


@digits_are_apart.control("distances above 0 are enough", world=WIDE)
def _(world: Pictures, rng: np.random.Generator) -> Sides:
    return digits_are_apart(world, rng)


@digits_are_apart.control("pictures apart, so noise stays in its region")
def _(world: Pictures, rng: np.random.Generator) -> Sides:
    from itssl.networks.encoders import as_double
    from itssl.networks.regions import activation_pattern

    network, sigma = as_double(untrained_digits_encoder()), world.sigmas[-1]
    x = world.prototypes[rng.permutation(len(world.prototypes))[:64]]
    moved = activation_pattern(network, x + sigma * rng.standard_normal(x.shape)) != activation_pattern(network, x)
    return Sides(left=float(moved.any(axis=1).mean()), right=0.001, parts=(f"P(exit) ≤ 0.001, σ = {sigma:g}",))
