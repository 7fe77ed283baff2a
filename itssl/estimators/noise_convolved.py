"""Information through Gaussian noise that the user states: h(Z + N(0, Σ)) from draws of Z (Goldfeld et al.)."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, stream
from itssl.choices import require_count
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.noise import (
    NoiseLike,
    as_noise_covariance,
    noise_whitener,
    require_noise_fits,
    whitened,
)
from itssl.estimators.pairwise_mixture import saturation_warnings
from itssl.kernels.linalg import LOG_2PI
from itssl.kernels.pairwise import kernel_sums, log_kernel_sums

_REACH = 9.0  # standard deviations of the noise; N(0, 1) has mass 2e-19 beyond
_STEP = 1 / 16  # spacing of the one-dimensional grid in standard deviations
_ROUNDED_AWAY = 1e-3
_LARGEST_GRID = 2**27  # grid points times atoms: above it Monte Carlo is cheaper

REFERENCE = Reference(
    authors="Goldfeld, van den Berg, Greenewald, Melnyk, Nguyen, Kingsbury & Polyanskiy",
    title="Estimating information flow in deep neural networks", year=2019, where="ICML, PMLR 97, 2299-2308",
)  # fmt: skip


@dataclass(frozen=True)
class NoiseConvolved:
    r"""Entropy of Z + N(0, Σ) by that of the mixture q̂ = (1/n) Σ_i N(z_i, Σ) around the draws of Z [1], in nats.

    ``var`` states the noise Σ, which has no default, for it is part of the question: a number (var·I), one variance for
    each coordinate, or a matrix. Equal rows count as one atom of larger weight, so Z may be discrete.
    For d = 1 the entropy of q̂ is a trapezoidal sum; above, −E log q̂ is averaged over ``draws`` draws of the noise,
    shared among the atoms by weight.

    h(q̂) is concave in the law of Z, so on average it lies *below* h(Z + N(0, Σ)) (Bias.LOWER), to first order by
    E∫(q̂−q)²/(2q) = χ²/(2n), which the diagnostics give as ``first_order_bias_nats``; the error falls as n^{−1/2}
    with a constant c^d exponential in the dimension [2]. When the kernels of the rows hardly overlap h(q̂) is just
    log n above the noise and the warning ``ceiling`` says so. The standard error covers the draws of Z (influence
    −E log q̂(z_i + noise) of row i) and of the noise. Kolchinsky and Tracey's interval for h(q̂) stands beside it as
    ``pairwise_lower_nats`` and ``pairwise_upper_nats``. Raises ParameterError for draws < 1 and a var that is no
    covariance.

    References
    ----------
    [1] Goldfeld et al. (2019). Estimating information flow in deep neural networks. ICML.
    [2] Goldfeld, Greenewald, Niles-Weed & Polyanskiy (2020). Convergence of smoothed empirical measures with
        applications to entropy estimation. IEEE Trans. Inf. Theory 66(7).

    >>> z = np.random.default_rng(0).normal(size=(1000, 1))
    >>> estimate = NoiseConvolved(var=0.5).entropy(z)
    >>> print(f"{estimate.value:.2f} of {0.5 * np.log(2 * np.pi * np.e * 1.5):.2f}")
    1.61 of 1.62
    """

    var: NoiseLike
    draws: int = 2**14

    def __post_init__(self) -> None:
        object.__setattr__(self, "var", as_noise_covariance(self.var))
        object.__setattr__(self, "draws", require_count("draws", self.draws))

    def entropy(self, z: SamplesLike, /) -> Estimate:
        """Entropy of Z + N(0, Σ) for draws z of Z, shape (n, d), in nats.

        Constant columns are admitted: with the noise they have a density. Raises SampleError for inadmissible
        samples, a var of another dimension, and noise that the rounding of z would swallow.
        """
        z = as_samples(z, name="z")
        n, d = z.shape
        require_noise_fits(self.var, d, "z")
        whitener, log_det = noise_whitener(self.var, d)
        noise = (d * (LOG_2PI + 1) + log_det) / 2
        atoms, counts = _atoms(z)
        white, weights = whitened(atoms - atoms.mean(axis=0), whitener), counts / n
        _require_visible_noise(white)
        found = _on_a_grid(white, weights) if d == 1 else None
        found = found or _by_draws(white, weights, self.draws)
        information = float(weights @ found.own)  # h(q̂) − h(noise), for log-densities relative to the noise's
        sampling = max(0.0, float(weights @ np.square(found.own - information)) - found.own_variance) / (n - 1)
        columns = np.stack([weights, weights], axis=1)
        lower, upper = (noise - float(weights @ np.log(s)) for s in kernel_sums(white, 1.0, columns))
        return Estimate(
            value=noise + information, standard_error=(sampling + found.variance) ** 0.5, n=n,
            bias=Bias.LOWER, method=repr(self), reference=REFERENCE, warnings=saturation_warnings(information, n),
            diagnostics={
                "first_order_bias_nats": -found.contrast / (2 * n), "noise_entropy_nats": noise,
                "pairwise_lower_nats": lower, "pairwise_upper_nats": upper, "ceiling_nats": noise + float(np.log(n)),
                "atoms": len(atoms), "monte_carlo_error_nats": found.variance**0.5,
            },
        )  # fmt: skip


def noisy_channel_information(z: SamplesLike, *, var: NoiseLike, draws: int = 2**14) -> Estimate:
    r"""I(X; f(X) + N(0, Σ)) from draws z = f(x) of a deterministic map's output, in nats.

    It is h(f(X) + N(0, Σ)) − ½ log|2πeΣ|, for given X only the noise is left; X itself is not needed; z has shape (n,
    d). The first term is that of :class:`NoiseConvolved`, with the same ``var``, ``draws``, errors and warnings: the
    value lies below the truth on average and never above log n. It is a property of the noise as much as of f: as Σ → 0
    it tends to the entropy of f(X) if X is discrete, and to infinity if f(X) is continuous. The interval is between the
    diagnostics ``pairwise_lower_nats`` and ``pairwise_upper_nats`` for the draws at hand.

    >>> print(f"{noisy_channel_information([[-1.0], [1.0]], var=1e-4).value / np.log(2):.4f} bits")
    1.0000 bits
    """
    estimator = NoiseConvolved(var=var, draws=draws)
    found = estimator.entropy(z)
    noise = found.diagnostics["noise_entropy_nats"]
    shifted = ("pairwise_lower_nats", "pairwise_upper_nats", "ceiling_nats")
    diagnostics = {key: value - noise * (key in shifted) for key, value in found.diagnostics.items()}
    return replace(
        found, value=found.value - noise, diagnostics=diagnostics,
        method=f"noisy_channel_information(var={estimator.var}, draws={estimator.draws})",
    )  # fmt: skip


class _Cross(NamedTuple):
    """Of each atom E log φ_i/q̂ under φ_i; mean of φ_i/q̂ − 1; what the integration adds to the variance of own, and
    of the answer."""

    own: Float[np.ndarray, " k"]
    contrast: float
    own_variance: float
    variance: float


def _require_visible_noise(white: Samples) -> None:
    """SampleError where z + noise would be rounded by more than 1e-3 standard deviations of the noise."""
    largest = float(np.abs(white).max())
    if largest * np.finfo(float).eps > _ROUNDED_AWAY:
        raise SampleError(
            f"z: expected rows within {_ROUNDED_AWAY / np.finfo(float).eps:.0e} standard deviations of the noise, got "
            f"{largest:.3g}; in floats z + noise is then z. Use a larger var, or z in other units"
        )


def _atoms(z: Samples) -> tuple[Samples, Int[np.ndarray, " k"]]:
    """The distinct rows in lexicographic order, and how often each occurs."""
    if z.shape[1] == 1:  # plain numbers sort many times faster than rows
        values, counts = np.unique(z[:, 0], return_counts=True)
        return values[:, None], counts
    return np.unique(z, axis=0, return_counts=True)


def _on_a_grid(z: Float[np.ndarray, "k 1"], weights: Float[np.ndarray, " k"]) -> _Cross | None:
    """By the trapezoidal rule, which converges geometrically for such integrands; None where the grid would be huge.

    Grid points farther than the reach from every atom are never formed: each run of neighboring atoms has its own.
    """
    order = np.argsort(z[:, 0])
    centers = z[order, 0]
    runs = np.split(np.arange(len(centers)), np.flatnonzero(np.diff(centers) > 4 * _REACH) + 1)
    sizes = [int((np.ptp(centers[run]) + 2 * _REACH) / _STEP) + 2 for run in runs]
    if sum(size * len(run) for size, run in zip(sizes, runs, strict=True)) > _LARGEST_GRID:
        return None
    own, contrast = np.empty(len(centers)), 0.0
    for size, run in zip(sizes, runs, strict=True):
        c, w = centers[run], weights[order[run]]
        grid = c[0] - _REACH + _STEP * np.arange(size)
        log_q = log_kernel_sums(grid[:, None], c[:, None], np.log(w))
        step = max(1, 2**20 // size)
        for start in range(0, len(run), step):
            block = slice(start, start + step)
            logs = -0.5 * np.square(grid - c[block, None])
            mass = np.exp(logs) * _STEP / np.sqrt(2 * np.pi)
            own[order[run[block]]] = (mass * (logs - log_q)).sum(axis=1)
            contrast += float(w[block] @ (mass * np.exp(np.minimum(logs - log_q, 700))).sum(axis=1))
    return _Cross(own, contrast - 1, 0.0, 0.0)


def _by_draws(z: Samples, weights: Float[np.ndarray, " k"], draws: int) -> _Cross:
    """By at least two draws of the noise for each atom, and more in proportion to its weight."""
    counts = np.maximum(2, np.ceil(draws * weights).astype(int))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    noise = stream(0, "noise", *z.shape).standard_normal((int(counts.sum()), z.shape[1]))
    log_own = -0.5 * np.einsum("ij,ij->i", noise, noise)
    labels = np.repeat(np.arange(len(z)), counts)
    ratios = log_own - log_kernel_sums(z[labels] + noise, z, np.log(weights))
    own = np.add.reduceat(ratios, starts) / counts
    spread = np.add.reduceat(np.square(ratios - own[labels]), starts) / (counts - 1)
    contrast = float(weights @ (np.add.reduceat(np.exp(ratios), starts) / counts)) - 1
    return _Cross(own, contrast, float(weights @ (spread / counts)), float(np.square(weights) @ (spread / counts)))
