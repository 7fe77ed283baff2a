r"""The law of the estimated divergence of two Gaussians: bias and variance exact, intervals by simulation.

With Ĉ_p, Ĉ_q the unbiased covariances of n and m draws and û the difference of the means, the estimate is half of
f tr(Ĉ_q⁻¹Ĉ_p)(1 − 1/n) + f ûᵀĈ_q⁻¹û + log|Ĉ_q| − log|Ĉ_p| + constants, f = (m−d−2)/(m−1). Given
A = f((1−1/n) Ĉ_p + ûûᵀ) the part of Ĉ_q = W/ν, ν = m − 1, is ν tr(W⁻¹A) + log|W|, whose moments follow from those of
W⁻¹ [1] and from E[|W|^h W⁻¹] = E|W|^h · I/(ν+2h−d−1); those of Ĉ_p and û are elementary.

References
----------
[1] von Rosen (1988). Moments for the inverted Wishart distribution. Scand. J. Statist. 15(2), 97-109.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.estimators.divergence_path import Point, at_divergence, divergence
from itssl.estimators.gaussian_intervals import invert
from itssl.estimators.shrinkage import Fit
from itssl.estimators.wishart import log_determinant_bias, log_determinant_variance
from itssl.kernels.linalg import singular_threshold, whitening
from itssl.kernels.roots import root_between

DRAWS = (500, 4000)
"""Fewest and most simulated samples behind an interval."""
MOST_PRODUCTS = 4e7
MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class DivergenceInterval:
    """Inversion of the test "D(P‖Q) = D₀" by the studentized estimate (D̂ − D₀)/σ̂ along a least favorable path of laws.

    In coordinates where C_q = I and C_p is diagonal, ``log_ratios`` are the logarithms of its diagonal and ``shift``
    the difference of the means where the path starts (see :mod:`itssl.estimators.divergence_path`); ``error`` is σ̂ of
    :func:`large_sample_variance`. The law of the statistic at a candidate is that of simulated samples, the same
    Wishart draws for all: at P = Q it holds no unknown and is right up to simulation error (0.2 % in the probability of
    a tail for 4,000 draws), elsewhere as far as the path tells the laws; studentizing removes most of what it does not.
    Below zero the law at P = Q is shifted along. Above 64 dimensions such draws would take too long, and the law is
    taken as normal with the exact variance (for d = 120 the skewness is 0.2 at m = 2d, 0.5 at 1.25 d); there the
    interval is the whole line for m ≤ d + 4.
    """

    value: float
    error: float
    n: int
    m: int
    log_ratios: tuple[float, ...]
    shift: tuple[float, ...]

    def __call__(self, level: float, /) -> tuple[float, float]:
        """Ends in nats at the given confidence level."""
        if len(self.shift) > MOST_DIMENSIONS:
            return self._normal(level)
        draws = SimulatedDivergence(self.n, self.m, len(self.shift))

        def excess(truth: float, probability: float) -> float:
            """The estimate less the quantile that it should have where the divergence is ``truth``."""
            studentized = draws.studentized(*self._law(truth))
            return self.value - truth - self.error * float(np.quantile(studentized, probability))

        low, high = (self._end(partial(excess, probability=p)) for p in ((1 + level) / 2, (1 - level) / 2))
        return low, high

    def variance(self, truth: float) -> float:
        """Exact variance of the estimate at the law on the path whose divergence is ``truth``."""
        log_ratios, shift = self._law(truth)
        return divergence_variance(self.n, self.m, np.exp(log_ratios), shift)

    def _end(self, excess: Callable[[float], float]) -> float:
        """Where the excess, which falls as the truth rises, is zero."""
        at_zero = excess(0.0)
        if at_zero <= 0:  # below zero the law no longer changes
            return at_zero
        low, high = 0.0, max(at_zero, self.value)
        while excess(high) > 0:
            low, high = high, 2 * high
        return root_between(excess, low, high, xtol=1e-3 * min(self.error, high))

    def _normal(self, level: float) -> tuple[float, float]:
        from scipy.special import ndtr

        if self.m <= len(self.shift) + 4:
            return -np.inf, np.inf
        return invert(
            lambda truth: float(ndtr((self.value - truth) / self.variance(truth) ** 0.5)),
            self.value, self.variance(self.value) ** 0.5, level,
        )  # fmt: skip

    def _law(self, truth: float) -> Point:
        return at_divergence(truth, np.array(self.log_ratios), np.array(self.shift), self.n, self.m)


class SimulatedDivergence:
    """Estimates of D(P‖Q) from simulated samples, for any laws with C_q = I and C_p diagonal: one set of draws for all.

    >>> estimates, _ = SimulatedDivergence(30, 30, 2)(np.zeros(2), np.ones(2))  # unbiased: the truth is 1
    >>> print(f"{estimates.mean():.1f}")
    1.0
    """

    def __init__(self, n: int, m: int, d: int) -> None:
        rng = stream(0, "gaussian divergence", n, m, d)
        draws = int(np.clip(MOST_PRODUCTS / d**3, *DRAWS))
        self._factor, factor_q = (_bartlett(rng, draws, k - 1, d) for k in (n, m))
        self._inverse = np.linalg.inv(factor_q)
        self.n, self.m, self.d = n, m, d
        self._means = rng.standard_normal((draws, d))
        log_dets = [2 * np.log(np.diagonal(f, axis1=1, axis2=2)).sum(axis=1) for f in (self._factor, factor_q)]
        self._log_det_ratio = log_dets[0] - log_dets[1] - log_determinant_bias(n, d) + log_determinant_bias(m, d)

    def __call__(
        self, log_ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]
    ) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
        """The unbiased estimate from each draw and its σ̂, for C_p = diag(e^log_ratios) and such a shift."""
        n, m, d = self.n, self.m, self.d
        f, root = (m - d - 2) / (m - 1), np.exp(log_ratios / 2)
        white = (self._inverse * root) @ self._factor
        ratio = white @ np.swapaxes(white, 1, 2)  # Ĉ_p in coordinates where Ĉ_q = I
        mean = shift + np.sqrt(1 / m + root**2 / n) * self._means
        mean = (self._inverse @ mean[:, :, None])[:, :, 0]
        trace, square = np.trace(ratio, axis1=1, axis2=2), np.square(mean).sum(axis=1)
        variance = large_sample_variance(
            n, m, d, trace, np.square(ratio).sum(axis=(1, 2)), square, np.einsum("ni,nij,nj->n", mean, ratio, mean)
        )
        estimates = f * trace * (1 - 1 / n) + f * square - d / m - d - self._log_det_ratio - float(log_ratios.sum())
        return 0.5 * estimates, variance**0.5

    def studentized(
        self, log_ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]
    ) -> Float[np.ndarray, " draws"]:
        """(estimate − truth)/σ̂ of each draw."""
        estimates, errors = self(log_ratios, shift)
        return (estimates - divergence(log_ratios, shift)) / errors


def large_sample_variance(n: int, m: int, d: int, trace: Any, trace_of_square: Any, square: Any, weighted: Any) -> Any:
    r"""σ̂² = ½ tr(R−I)²/n + wᵀRw/n + ½ tr(R + wwᵀ − I)²/m + wᵀw/m: the variance for many draws, at these laws.

    It takes tr R, tr R², wᵀw and wᵀRw of the sample's Ĉ_p = R and û = w in coordinates where Ĉ_q = I, and multiplies R
    and wwᵀ by (m − d − 2/3)/(m − 1), which makes the median of û'Ĉ_q⁻¹û that of the truth (the expectation would need
    m − d − 2, and leave next to nothing for m near d + 2). It scales the estimate, so that its law depends less on
    where P and Q lie; nobody reads it as an error.

    >>> print(f"{large_sample_variance(1000, 10**6, 1, 1.0, 1.0, 1.0, 1.0):.6f}")
    0.001001
    """
    g = median_factor(m, d)
    spread = g**2 * trace_of_square - 2 * g * trace + d
    square, weighted = g * square, g**2 * weighted
    return (0.5 * spread + weighted) / n + (0.5 * (spread + square**2) + weighted) / m


def median_factor(m: int, d: int) -> float:
    """(m − d − 2/3)/(m − 1): uᵀĈ_q⁻¹u times this has the median uᵀC_q⁻¹u, for the median of χ²_k is close to k − 2/3.

    >>> from scipy.stats import chi2
    >>> print(f"{median_factor(12, 3):.4f} {chi2.median(9) / 11:.4f}")
    0.7576 0.7584
    """
    return (m - d - 2 / 3) / (m - 1)


def divergence_variance(n: int, m: int, ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]) -> float:
    """Exact variance of the unbiased estimate from n and m draws, where C_q = I, C_p = diag(ratios); m > d + 4.

    >>> print(f"{divergence_variance(1000, 1000, np.ones(1), np.ones(1)):.6f}")
    0.002514
    """
    d, nu = len(ratios), m - 1
    f = (nu - d - 1) / nu
    t1, t2 = ratios.sum(), (ratios**2).sum()
    square, weighted = shift @ shift, shift @ (ratios * shift)
    spread = d / m + t1 / n  # trace of the covariance of û
    spread2 = d / m**2 + 2 * t1 / (m * n) + t2 / n**2
    var_square = 2 * spread2 + 4 * (square / m + weighted / n)
    r = 1 - 1 / n
    var_trace = r**2 * 2 * t2 / (n - 1) + var_square  # of tr A / f
    trace = r * t1 + square + spread
    trace_of_square = (
        r**2 * (t2 * (1 + 1 / (n - 1)) + t1**2 / (n - 1))
        + 2 * r * (weighted + t1 / m + t2 / n)
        + (square + spread) ** 2 + var_square
    )  # fmt: skip
    c2 = 1 / ((nu - d) * (nu - d - 1) * (nu - d - 3))
    c1 = (nu - d - 2) * c2
    given_a = (
        (nu**2 * c1 * f**2 - 1) * (trace**2 + var_trace) + 2 * nu**2 * c2 * f**2 * trace_of_square
        + log_determinant_variance(m, d) - 4 * trace / (nu - d - 1)
    )  # fmt: skip
    of_mean = var_trace + log_determinant_variance(n, d) - 4 * r * t1 / (n - 1)
    return 0.25 * float(given_a + of_mean)


def fitted_divergence(
    n: int,
    m: int,
    ratios: Float[np.ndarray, " d"],
    shift: Float[np.ndarray, " d"],
    log_det_ratio: float,
) -> DivergenceInterval:
    """The unbiased divergence and the law it points to, from the eigenvalues of Ĉ_q⁻¹Ĉ_p and û in their coordinates.

    ``log_det_ratio`` is log|Ĉ_p| − log|Ĉ_q|. The path starts where noise is taken off: sample eigenvalues spread more
    than true ones, so their logarithms are drawn together, around the unbiased log-determinant, until their divergence
    has the sample's median; and the square s of the shift, of expectation δ² + e, is replaced by s²/(s + e), which is
    s − e for many draws and never negative. Signs of eigenvectors are rounding's, and no law depends on them: |û|.

    >>> fitted_divergence(50, 50, np.ones(2), np.zeros(2), 0.0).value < 0
    True
    """
    d = len(ratios)
    f, g = (m - d - 2) / (m - 1), median_factor(m, d)
    total, length = float(ratios.sum()), float(shift @ shift)
    log_det = log_det_ratio - log_determinant_bias(n, d) + log_determinant_bias(m, d)
    value = 0.5 * (f * total * (1 - 1 / n) - d - log_det + f * length - d / m)
    log_ratios = _drawn_together(np.log(ratios), log_det, 0.5 * (g * total - d - log_det))
    noise = d / m + g * total / n
    moved = np.abs(shift) * g * (length / (g * length + noise)) ** 0.5
    if not (np.square(log_ratios).sum() + moved @ moved > d * (64 * np.finfo(float).eps) ** 2):  # one sample, twice
        log_ratios, moved = np.zeros(d), np.full(d, d**-0.5)
    error = (
        large_sample_variance(n, m, d, total, float(ratios @ ratios), length, float(shift @ (ratios * shift))) ** 0.5
    )
    return DivergenceInterval(value, float(error), n, m, tuple(map(float, log_ratios)), tuple(map(float, moved)))


def _drawn_together(logs: Float[np.ndarray, " d"], log_det: float, of_covariance: float) -> Float[np.ndarray, " d"]:
    """Moved to the sum ``log_det`` and scaled about their mean until ½ Σ (eˣ − 1 − x) is ``of_covariance``."""
    around, mean = logs - logs.mean(), log_det / len(logs)

    def excess(width: float) -> float:
        now = mean + width * around
        return divergence(now, np.zeros_like(now)) - of_covariance

    if excess(0.0) >= 0 or not np.ptp(around) > 0:
        return np.full_like(logs, mean)
    end = 1.0
    while excess(end) < 0:
        end *= 2
    return mean + root_between(excess, 0, end) * around


def fits_divergence(fits: Sequence[Fit]) -> float:
    """D of two fitted Gaussians, with no correction."""
    (p, q) = fits
    factor = np.linalg.cholesky(q.cov)
    white, u = np.linalg.solve(factor, np.linalg.cholesky(p.cov)), np.linalg.solve(factor, q.mean - p.mean)
    values, axes = np.linalg.svd(white.T)[1:]
    return plugin_divergence(values**2, axes @ u, 2 * float(np.log(values).sum()))


def plugin_divergence(ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"], log_det_ratio: float) -> float:
    """½ [tr(C_q⁻¹C_p) + uᵀC_q⁻¹u − d − log|C_p|/|C_q|] in the coordinates of :func:`fitted_divergence`.

    >>> plugin_divergence(np.ones(1), np.ones(1), 0.0)
    0.5
    """
    return 0.5 * float(ratios.sum() + shift @ shift - len(ratios) - log_det_ratio)


def whitened_ratios(u: Samples, v: Samples) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"], float]:
    """Eigenvalues of Ĉ_v⁻¹Ĉ_u, the difference of the means in their coordinates, and log|Ĉ_u| − log|Ĉ_v|."""
    root_u, root_v = (np.linalg.qr(z - z.mean(axis=0), mode="r") / np.sqrt(len(z) - 1) for z in (u, v))
    _, values, axes = np.linalg.svd(np.linalg.solve(root_v.T, root_u.T).T)
    shift = axes @ np.linalg.solve(root_v.T, v.mean(axis=0) - u.mean(axis=0))
    return values**2, shift, 2 * float(np.log(values).sum())


def on_common_support(u: Samples, v: Samples) -> tuple[Samples, Samples] | None:
    """Both samples in coordinates of the subspace that v fills; None where u leaves it or fills less (D = inf).

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> on_common_support(np.c_[x, 2 * x], np.c_[x, x]) is None, on_common_support(np.c_[x, x], np.c_[x, x])[0].shape
    (True, (9, 1))
    """
    d = u.shape[1]
    _, values, axes = np.linalg.svd(np.linalg.qr(v - v.mean(axis=0), mode="r"))
    kept = axes[values > values[0] * singular_threshold(len(v), d)]
    if len(kept) < d:
        moved = u - v.mean(axis=0)
        outside = moved - (moved @ kept.T) @ kept
        if np.linalg.norm(outside) > np.linalg.norm(moved) * singular_threshold(len(u) + len(v), d):
            return None
        u, v = u @ kept.T, v @ kept.T
    return None if whitening(u)[1] < u.shape[1] else (u, v)


def _bartlett(rng: np.random.Generator, draws: int, dof: int, d: int) -> Float[np.ndarray, "draws d d"]:
    """Lower Cholesky factors of W/dof for Wishart W with identity covariance."""
    factor = np.tril(rng.standard_normal((draws, d, d)), -1)
    i = np.arange(d)
    factor[:, i, i] = np.sqrt(rng.chisquare(dof - i, size=(draws, d)))
    return factor / np.sqrt(dof)
