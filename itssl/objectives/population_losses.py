r"""Objectives of a linear encoder at infinite batch size, as functions of the second moments of its embeddings.

Z = A X with E Z = 0, C = Cov Z, S = Cov(Z, Z'). VICReg and its sums with entropies, the literal bound, CorInfoMax,
Barlow Twins, whitened MSE without its sphere and the spectral loss see C and S only, whatever the law of X (the
spectral loss: of means zero). InfoNCE and the pairwise entropy are expectations of log E exp(quadratic); for Gaussian Z
the inner expectation is a Gaussian integral, its logarithm is quadratic in z, and so they see C and S only too.

On the unit sphere (W-MSE as published, InfoNCE with the cosine critic, NT-Xent, MEC) the norm of a Gaussian vector
divides, and the expectations are no elementary functions of C and S; they are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError, require_known, require_positive
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.entropy_terms import KERNELS, Kernel
from itssl.objectives.population_terms import (
    Smooth,
    alignment,
    cross_entropy,
    energy,
    gaussian_entropy,
    off_diagonal_energy,
    pairwise_entropy,
    squared_distance,
)
from itssl.objectives.vicreg import NORMALIZATIONS, WEIGHTS, Normalization
from itssl.objectives.view_moments import ViewMoments


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """weight · mean over j of max(0, γ − √(C_jj + ε)): not differentiable where √(C_jj + ε) = γ."""

    weight: float
    gamma: float
    eps: float

    def __post_init__(self) -> None:
        if not 0 <= self.eps < self.gamma**2:
            raise ParameterError(f"eps: expected 0 <= eps < gamma² = {self.gamma**2:g}, got {self.eps}")

    def __call__(self, cov: Float[np.ndarray, "K K"]) -> float:
        return float(self.weight * np.maximum(0, self.gamma - np.sqrt(np.diagonal(cov) + self.eps)).mean())


@dataclass(frozen=True, kw_only=True)
class PopulationLoss:
    """A loss of the embeddings' second moments: a smooth part and, for VICReg, the hinge; minimized.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{spectral_contrastive()(views, np.eye(1)):.1f}")  # −2 · 0.5 + 1
    0.0
    """

    smooth: Callable[[ViewMoments], Smooth]
    hinge: Hinge | None = None

    def __call__(self, moments: ViewMoments, matrix: Float[np.ndarray, "K D"]) -> float:
        z = moments.embedded(matrix)
        return self.smooth(z).value + (self.hinge(z.within) if self.hinge else 0.0)

    def smooth_gradient(
        self, moments: ViewMoments, matrix: Float[np.ndarray, "K D"]
    ) -> tuple[float, Float[np.ndarray, "K D"]]:
        """The smooth part at A and its gradient in A: 2 G A V + H A Rᵀ + Hᵀ A R, G and H those in C and S."""
        at = self.smooth(moments.embedded(matrix))
        gradient = (at.by_within + at.by_within.T) @ matrix @ moments.within
        gradient += at.by_across @ matrix @ moments.across.T + at.by_across.T @ matrix @ moments.across
        return at.value, gradient


def vicreg(
    *,
    normalization: Normalization,
    weights: tuple[float, float, float] = WEIGHTS,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> PopulationLoss:
    """VICReg: ``vicreg_terms(...).total(weights)``; both views have the covariance C.

    Raises UnknownNameError for another normalization, ParameterError unless eps < gamma².

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{vicreg(normalization='reference')(views, np.eye(1)):.1f}")  # 25 · (2 − 2 · 0.5)
    25.0
    """
    require_known("normalization", normalization, NORMALIZATIONS)

    def smooth(z: ViewMoments) -> Smooth:
        d = len(z.within)
        invariance = weights[0] if normalization == "equation" else weights[0] / d
        return invariance * squared_distance(z) + (2 * weights[2] / d) * off_diagonal_energy(z)

    factor = 1 if normalization == "reference" else 2
    return PopulationLoss(smooth=smooth, hinge=Hinge(weight=factor * weights[1], gamma=gamma, eps=eps))


def vicreg_logdet(
    *, normalization: Normalization, beta: float, weights: tuple[float, float, float, float] = (*WEIGHTS, 1.0)
) -> PopulationLoss:
    """VICReg minus weights[3] times the LogDet entropy: ``vicreg_logdet_terms(...).total(weights)``.

    Raises as :func:`vicreg`; ParameterError unless beta > 0.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{vicreg_logdet(normalization='solo', beta=1.0)(views, np.eye(1)):.4f}")  # 25 − ½ log(2πe · 2)
    23.2345
    """
    noise_var = 1 / require_positive("beta", beta)
    base = vicreg(normalization=normalization, weights=weights[:3])
    return PopulationLoss(
        smooth=lambda z: base.smooth(z) + (-weights[3]) * gaussian_entropy(z, noise_var),
        hinge=base.hinge,
    )


def vicreg_pairdist(
    *,
    normalization: Normalization,
    noise_var: float,
    kernel: Kernel = "bhattacharyya",
    weights: tuple[float, float, float, float] = (*WEIGHTS, 1.0),
) -> PopulationLoss:
    """VICReg minus weights[3] times the pairwise entropy of Gaussian embeddings; see :func:`pairwise_entropy`.

    The limit of ``vicreg_pairdist_terms(...).total(weights)``. Raises as :func:`vicreg`; ParameterError unless
    noise_var > 0, UnknownNameError for other kernels.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{vicreg_pairdist(normalization='solo', noise_var=1.0)(views, np.eye(1)):.4f}")
    23.3695
    """
    base = vicreg(normalization=normalization, weights=weights[:3])
    noise_var = require_positive("noise_var", noise_var)
    require_known("kernel", kernel, KERNELS)
    return PopulationLoss(
        smooth=lambda z: base.smooth(z) + (-weights[3]) * pairwise_entropy(z, noise_var, kernel=kernel),
        hinge=base.hinge,
    )


def invariance_logdet(*, noise_var: float, residual_var: float) -> PopulationLoss:
    r"""The literal bound with the Gaussian entropy, negative: −[h_G(Z + N) + E log q(Z + N | Z')] in nats.

    ``invariance_logdet_terms`` with β = 1/noise_var, and its limit β → ∞ for noise_var = 0, where with residual_var = 1
    it is −:meth:`ViewMoments.information_bound`. Over linear encoders the optimum takes canonical variates of variance

        c_i = s²/(2(1 − ρ_i)) − ν, s² = residual_var, ν = noise_var,

    as far as this is positive: variates with 2(1 − ρ_i) ≥ s²/ν are dropped. Raises ParameterError unless
    noise_var >= 0 and residual_var > 0.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{invariance_logdet(noise_var=0, residual_var=1.0)(views, np.eye(1)):.4f}")
    0.0000
    """
    if not 0 <= noise_var < float("inf"):
        raise ParameterError(f"noise_var: expected a finite number >= 0, got {noise_var!r}")
    residual_var = require_positive("residual_var", residual_var)
    return PopulationLoss(
        smooth=lambda z: (-1) * gaussian_entropy(z, noise_var) + cross_entropy(z, noise_var, residual_var)
    )


def invariance_pairdist(*, noise_var: float, residual_var: float, kernel: Kernel = "bhattacharyya") -> PopulationLoss:
    """The literal bound with the pairwise entropy of a continuum of Gaussian centers, negative, in nats.

    The limit n → ∞ of ``invariance_pairdist_terms``; with the kernel "bhattacharyya" −value ≤ I(Z; Z'). Raises
    ParameterError unless both variances are positive, UnknownNameError for other kernels.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{invariance_pairdist(noise_var=1.0, residual_var=1.0)(views, np.eye(1)):.4f}")
    0.2884
    """
    noise_var, residual_var = require_positive("noise_var", noise_var), require_positive("residual_var", residual_var)
    require_known("kernel", kernel, KERNELS)
    return PopulationLoss(
        smooth=lambda z: (
            (-1) * pairwise_entropy(z, noise_var, kernel=kernel) + cross_entropy(z, noise_var, residual_var)
        )
    )


def corinfomax(*, eps: float) -> PopulationLoss:
    """−2 log|C + εI| + (2/ε) E‖Z − Z'‖², the limit of ``corinfomax_terms``: four times the literal bound, ν = s² = ε.

    Whatever ε, the optimum over linear encoders keeps exactly the canonical variates with ρ > ½. Raises
    ParameterError unless eps > 0.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{corinfomax(eps=1.0)(views, np.eye(1)):.4f}")  # 2 − 2 log 2
    0.6137
    """
    eps = require_positive("eps", eps)
    return PopulationLoss(
        smooth=lambda z: (
            (-4) * gaussian_entropy(z, eps) + (2 * len(z.within) * (LOG_2PI + 1)) + (2 / eps) * squared_distance(z)
        )
    )


def barlow_twins(*, redundancy: float = 0.0051, eps: float = 0.0) -> PopulationLoss:
    """Σ_i (1 − R_ii)² + redundancy · Σ_{i≠j} R_ij², R_ij = S_ij / √((C_ii + ε)(C_jj + ε)).

    The limit of ``barlow_twins_terms`` (whose ε is 1e-5: there larger embeddings are always better, if only a little).

    >>> views = ViewMoments(np.eye(2), 0.5 * np.eye(2))
    >>> barlow_twins()(views, np.eye(2))
    0.5
    """

    def smooth(z: ViewMoments) -> Smooth:
        scale = 1 / np.sqrt(np.diagonal(z.within) + eps)
        correlation = z.across * np.outer(scale, scale)
        residual = correlation - np.eye(len(scale))
        weight = np.where(np.eye(len(scale), dtype=bool), 1.0, redundancy)
        by_correlation = 2 * weight * residual
        through_scale = (by_correlation * correlation).sum(0) + (by_correlation * correlation).sum(1)
        return Smooth(
            float((weight * residual**2).sum()),
            np.diag(-0.5 * scale**2 * through_scale),
            by_correlation * np.outer(scale, scale),
        )

    return PopulationLoss(smooth=smooth)


def whitened_mse() -> PopulationLoss:
    """E‖W − W'‖² = 2K − 2 tr(C⁻¹S) of the whitened embeddings W = C^{−½}Z: W-MSE without its unit sphere.

    It is blind to Z ↦ T Z, so only the span counts: its minimum is 2K − 2 Σ_{i≤K} ρ_i, at CCA.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{whitened_mse()(views, np.array([[7.0]])):.1f}")
    1.0
    """

    def smooth(z: ViewMoments) -> Smooth:
        inverse = np.linalg.inv(z.within)
        regression = inverse @ z.across
        return Smooth(2 * len(inverse) - 2 * float(np.trace(regression)), 2 * (regression @ inverse).T, -2 * inverse)

    return PopulationLoss(smooth=smooth)


def spectral_contrastive() -> PopulationLoss:
    """−2 tr S + ‖C‖²: −2 E z·z' + E (z·z̃)² for z̃ independent of z and E Z = 0, as in ``spectral_contrastive_terms``.

    Over linear encoders the optimum takes the top K canonical variates, with variance c_i = ρ_i, and is −Σ_{i≤K} ρ_i².

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{spectral_contrastive()(views, np.sqrt([[0.5]])):.2f}")
    -0.25
    """
    return PopulationLoss(smooth=lambda z: (-2) * alignment(z) + energy(z))


def infonce(*, temperature: float) -> PopulationLoss:
    r"""lim of InfoNCE − log n with critic z·z'/τ for Gaussian embeddings: −tr S/τ + ‖C‖²/(2τ²), in nats.

    E log E exp(z·z̃/τ) = E zᵀC z/(2τ²). So it is half the spectral loss of Z/√τ, and −value ≤ I(Z; Z') (NWJ's and
    Donsker–Varadhan's argument with this critic). It is the limit of ``infonce_terms(normalize=False)``; batches reach
    it only for n ≫ exp(zᵀC z/τ²). Raises ParameterError unless temperature > 0.

    >>> views = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{infonce(temperature=1.0)(views, np.sqrt([[0.5]])):.3f}")
    -0.125
    """
    tau = require_positive("temperature", temperature)
    return PopulationLoss(smooth=lambda z: (-1 / tau) * alignment(z) + (0.5 / tau**2) * energy(z))
