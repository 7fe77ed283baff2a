"""Jensen's step of the information bound: from the law of z given a view to a mean over the other view."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from itssl.claims.bound_gap import Channel, conditional, expected_divergence
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_output_mixture, random_covariance
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.kernels.linalg import LOG_2PI

ROUNDING = FloatingPoint(ulps=64, condition=1e4)  # covariances of condition 100 in Cholesky factors and solves
NODES, GRID, REACH = 16, 512, 12.0
"""Gauss–Hermite nodes for z; points of the trapezoidal rule for z', over so many of its standard deviations."""

Draw: TypeAlias = Callable[[np.random.Generator], tuple[Gaussian, Gaussian]]


def _shifted_pair(d: int, std: float, rng: np.random.Generator) -> tuple[Gaussian, Gaussian]:
    """Anisotropic laws of z and z', a distance of about 1 apart; the covariance of z' has the scale std²."""
    centers = rng.standard_normal((2, d)) / np.sqrt(2 * d)
    return (
        Gaussian(centers[0], random_covariance(d, rng)),
        Gaussian(centers[1], std**2 * random_covariance(d, rng, condition=100.0)),
    )


def _two_outputs(mixture: GaussianMixture, rng: np.random.Generator) -> tuple[Gaussian, Gaussian]:
    first, second = rng.choice(len(mixture.weights), size=2, replace=False)
    return mixture.components[first], mixture.components[second]


NARROW = World(name="d=4, shifted, Σ' of scale 1e-3", make=lambda: partial(_shifted_pair, 4, 1e-3**0.5))


@claim(
    "C11",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=SHWARTZ_ZIV_2023,
    formula=r"\mathbb{E}\log N(z; \mu', I+\Sigma') = -\frac{1}{2}\left[d\log 2\pi + \log\lvert I+\Sigma'\rvert "
    r"+ \mathrm{tr}\left((I+\Sigma')^{-1}(\Sigma + \Delta\Delta^{T})\right)\right] "
    r"\ge \mathbb{E}\log N(z; z', I)",
    uses=("C10",),
    worlds=(
        NARROW,
        World(name="d=1, shifted", make=lambda: partial(_shifted_pair, 1, 1.0)),
        World(name="d=4, shifted, anisotropic", make=lambda: partial(_shifted_pair, 4, 1.0)),
        World(name="d=16, shifted, Σ' of scale 4", make=lambda: partial(_shifted_pair, 16, 2.0)),
        World(
            name="outputs of the digits encoder around two prototypes, d=64",
            make=lambda: partial(_two_outputs, digits_output_mixture()),
            level="default",
        ),
    ),
)
def jensen_step_has_one_log_determinant(world: Draw, rng: np.random.Generator) -> Sides:
    r"""E log N(z; μ', I+Σ') = −½[d log 2π + log|I+Σ'| + tr((I+Σ')⁻¹(Σ+ΔΔᵀ))] ≥ E log N(z; z', I), Δ = μ − μ'.

    For independent z ~ N(μ, Σ), z' ~ N(μ', Σ'), as log of the mean of N(z; z', I) over z', which is N(z; μ', I+Σ'), is
    at least the mean of the logarithm (C10). The gap is E D(p(z')‖p(z'|z)) with z' the prior mean of z = z' + N(0, I):
    ½[tr Σ' − log|I+Σ'| + tr(Σ'(I+Σ')⁻¹(Σ+ΔΔᵀ))] ≥ ½[tr Σ' − log|I+Σ'|] ≥ 0, zero iff Σ' = 0. log|I+Σ'| is the only
    log-determinant before the step, and there is none after it. The mean over z' is by quadrature, in the
    eigenvectors of Σ' where N(z; z', I) factors.
    """
    return _jensen(*world(rng))


_step = jensen_step_has_one_log_determinant


@_step.control("log|Σ'| for log|I + Σ'|")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(first, second, log_det=second.log_det))


@_step.control("a form often written: −log(|Σ| |Σ'|) for −½ log|I + Σ'|")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(first, second, log_det=2 * (first.log_det + second.log_det)))


@_step.control("+½ log|I + Σ'|")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(first, second, log_det=-_widened(second).log_det))


@_step.control("log|I + Σ'| in bits")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(first, second, log_det=_widened(second).log_det / float(np.log(2))))


@_step.control("the covariance of z for that of z': I + Σ")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(first, Gaussian(second.mean, first.cov)))


@_step.control("ΔΔᵀ left out")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=_closed(Gaussian(second.mean, first.cov), second))


@_step.control("Σ left out: z at its mean")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, closed=float(_widened(second).log_density(first.mean[None])[0]))


@_step.control("Jensen's inequality reversed")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return Sides(left=_closed(first, second), right=_after_jensen(first, second))


@_step.control("the gap is ½(tr Σ' − log|I + Σ'|)")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, stated=_least_gap(second))


@_step.control("the gap is ½ tr Σ'")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    first, second = world(rng)
    return _jensen(first, second, stated=float(np.trace(second.cov)) / 2)


def _jensen(first: Gaussian, second: Gaussian, *, closed: float | None = None, stated: float | None = None) -> Sides:
    """``closed``: E log N(z; μ', I+Σ') as a variant has it; ``stated``: its gap."""
    k, wide = first.dim, _widened(second)
    closed = _closed(first, second) if closed is None else closed
    before, after = _by_quadrature(first, second), _after_jensen(first, second)
    if stated is None:
        shrink = np.linalg.solve(wide.cov, second.cov)  # (I+Σ')⁻¹Σ'
        stated = _least_gap(second) + 0.5 * float(np.trace(shrink @ _second_moment(first, second.mean)))
    both = np.block([[second.cov, second.cov], [second.cov, wide.cov]])  # of z' and z = z' + N(0, I)
    posterior = conditional(Gaussian(np.tile(second.mean, 2), both))
    lost = expected_divergence(first, Channel(np.zeros((k, k)), second.mean, second.cov), posterior)
    return Sides(
        left=(before, closed, after + _least_gap(second), before - after, stated, lost, stated),
        right=(closed, before, closed, stated, before - after, stated, lost),
        parts=(
            "E log ∫ ≤ closed form", "closed form ≤ E log ∫", "E log N(z; z', I) + ½(tr Σ' − log|I+Σ'|) ≤ closed form",
            "gap ≤ ½[…]", "½[…] ≤ gap", "E D(p(z')‖p(z'|z)) ≤ ½[…]", "½[…] ≤ E D(p(z')‖p(z'|z))",
        ),
        measured={"E log N(z; μ', I+Σ')": before, "E log N(z; z', I)": after, "gap": before - after},
    )  # fmt: skip


def _widened(second: Gaussian) -> Gaussian:
    """N(μ', I + Σ')."""
    return Gaussian(second.mean, second.cov + np.eye(second.dim))


def _second_moment(law: Gaussian, center: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k k"]:
    """Σ + ΔΔᵀ."""
    shift = law.mean - center
    return law.cov + np.outer(shift, shift)


def _closed(first: Gaussian, second: Gaussian, *, log_det: float | None = None) -> float:
    """−½[d log 2π + log|I+Σ'| + tr((I+Σ')⁻¹(Σ+ΔΔᵀ))], or with another number for log|I+Σ'|."""
    wide = _widened(second)
    spread = float(np.trace(np.linalg.solve(wide.cov, _second_moment(first, second.mean))))
    return -0.5 * (first.dim * LOG_2PI + (wide.log_det if log_det is None else log_det) + spread)


def _after_jensen(first: Gaussian, second: Gaussian) -> float:
    """E log N(z; z', I) = −½[d log 2π + ‖Δ‖² + tr Σ + tr Σ']."""
    spread = np.trace(_second_moment(first, second.mean)) + np.trace(second.cov)
    return -0.5 * (first.dim * LOG_2PI + float(spread))


def _least_gap(second: Gaussian) -> float:
    return 0.5 * (float(np.trace(second.cov)) - _widened(second).log_det)


def _by_quadrature(first: Gaussian, second: Gaussian) -> float:
    """E_z log ∫ N(z; z', I) p(z') dz', one eigenvector of Σ' at a time."""
    values, axes = np.linalg.eigh(second.cov)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    grid = np.linspace(-REACH, REACH, GRID)
    std = np.sqrt(np.einsum("ij,ik,kj->j", axes, first.cov, axes))
    z = (axes.T @ (first.mean - second.mean))[:, None] + std[:, None] * nodes
    off = z[:, :, None] - (np.sqrt(values)[:, None] * grid)[:, None]
    log_terms = -0.5 * (np.square(off) + np.square(grid)) - LOG_2PI + np.log(grid[1] - grid[0])
    return float((np.asarray(logsumexp(log_terms, axis=2)) @ weights).sum() / np.sqrt(2 * np.pi))
