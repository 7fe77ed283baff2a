r"""The law of the estimated divergence of two Gaussians: bias and variance exact, intervals by simulation.

With Ĉ_p, Ĉ_q the unbiased covariances of n and m draws and û the difference of the means, the estimate is half of
f tr(Ĉ_q⁻¹Ĉ_p)(1 − 1/n) + f ûᵀĈ_q⁻¹û + log|Ĉ_q| − log|Ĉ_p| + constants, f = (m−d−2)/(m−1). Given
A = f((1−1/n) Ĉ_p + ûûᵀ) the part of Ĉ_q = W/ν, ν = m − 1, is ν tr(W⁻¹A) + log|W|, whose moments follow from those of
W⁻¹ [1] and from E[|W|^h W⁻¹] = E|W|^h · I/(ν+2h−d−1); those of Ĉ_p and û are elementary.

References
----------
[1] von Rosen (1988). Moments for the inverted Wishart distribution. Scand. J. Statist. 15(2), 97-109.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.estimators.gaussian_intervals import invert
from itssl.estimators.shrinkage import Fit
from itssl.estimators.wishart import log_determinant_bias, log_determinant_variance
from itssl.kernels.linalg import singular_threshold, whitening
from itssl.kernels.roots import root_between

DRAWS = (500, 4000)
"""Fewest and most simulated samples behind an interval."""
MOST_NUMBERS = 8e6
MOST_DIMENSIONS = 128


@dataclass(frozen=True)
class DivergenceInterval:
    """Inversion of the test "D(P‖Q) = D₀" along laws between P = Q and the estimated pair.

    In coordinates where C_q = I and C_p is diagonal, ``log_ratios`` are the logarithms of its diagonal and ``shift``
    the difference of the means; candidate truths multiply both by θ ≥ 0. The law of the estimate at a candidate is
    that of simulated estimates, the same Wishart draws for all: at P = Q it holds no unknown and is right up to
    simulation error (0.2 % in the probability of a tail for 4,000 draws), elsewhere as far as the path tells the laws.
    Above 128 dimensions such draws would fill the memory, and the law is taken as normal with the exact variance (for
    d = 120 the skewness is 0.2 at m = 2d, 0.5 at 1.25 d); there the interval is the whole line for m ≤ d + 4.
    """

    value: float
    n: int
    m: int
    log_ratios: tuple[float, ...]
    shift: tuple[float, ...]

    def __call__(self, level: float, /) -> tuple[float, float]:
        """Ends in nats at the given confidence level."""
        if len(self.shift) > MOST_DIMENSIONS:
            return self._normal(level)
        draws = SimulatedDivergence(self.n, self.m, len(self.shift))

        def probability(truth: float) -> float:
            estimates = draws(*self._law(self._theta(truth)))
            return float((estimates <= self.value - min(truth, 0.0)).mean())

        spread = np.quantile(draws(*self._law(self._theta(self.value))), [0.16, 0.84])
        return invert(probability, self.value, float(spread[1] - spread[0]) / 2, level)

    def variance(self, truth: float) -> float:
        """Exact variance of the estimate at the law on the path whose divergence is ``truth``."""
        return divergence_variance(self.n, self.m, *self._law(self._theta(truth)))

    def _normal(self, level: float) -> tuple[float, float]:
        from scipy.special import ndtr

        if self.m <= len(self.shift) + 4:
            return -np.inf, np.inf
        return invert(
            lambda truth: float(ndtr((self.value - truth) / self.variance(truth) ** 0.5)),
            self.value, self.variance(self.value) ** 0.5, level,
        )  # fmt: skip

    def _law(self, theta: float) -> tuple[np.ndarray, np.ndarray]:
        return np.exp(theta * np.array(self.log_ratios)), theta * np.array(self.shift)

    def _divergence(self, theta: float) -> float:
        ratios, shift = theta * np.array(self.log_ratios), theta * np.array(self.shift)
        return 0.5 * float((np.expm1(ratios) - ratios).sum() + shift @ shift)

    def _theta(self, truth: float) -> float:
        if truth <= 0:
            return 0.0
        end = 1.0
        while self._divergence(end) < truth:
            end *= 2
        return root_between(lambda theta: self._divergence(theta) - truth, 0, end, xtol=1e-9 * end)


class SimulatedDivergence:
    """Estimates of D(P‖Q) from simulated samples, for any laws with C_q = I and C_p diagonal: one set of draws for all.

    With M = Ĉ_q⁻¹ and S = Ĉ_p at C_p = I the trace is Σ_ij √r_i √r_j M_ij S_ij: a law costs d² operations a draw.

    >>> estimates = SimulatedDivergence(30, 30, 2)(np.ones(2), np.ones(2))  # unbiased: the truth is 1
    >>> print(f"{estimates.mean():.1f}")
    1.0
    """

    def __init__(self, n: int, m: int, d: int) -> None:
        rng = stream(0, "gaussian divergence", n, m, d)
        draws = int(np.clip(MOST_NUMBERS / d**2, *DRAWS))
        factor_p, factor_q = (_bartlett(rng, draws, k - 1, d) for k in (n, m))
        inverse = np.linalg.inv(factor_q)
        self.n, self.m, self.d = n, m, d
        self._precision = np.swapaxes(inverse, 1, 2) @ inverse
        self._traces = self._precision * (factor_p @ np.swapaxes(factor_p, 1, 2))
        self._means = rng.standard_normal((draws, d))
        log_dets = [2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) for factor in (factor_p, factor_q)]
        self._log_det_ratio = log_dets[0] - log_dets[1] - log_determinant_bias(n, d) + log_determinant_bias(m, d)

    def __call__(self, ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]) -> Float[np.ndarray, " draws"]:
        """The unbiased estimate from each draw, for C_p = diag(ratios) and means that differ by ``shift``."""
        n, m, d = self.n, self.m, self.d
        f, root = (m - d - 2) / (m - 1), np.sqrt(ratios)
        trace = f * ((self._traces @ root) @ root)
        mean = shift + np.sqrt(1 / m + ratios / n) * self._means
        square = f * np.einsum("ni,nij,nj->n", mean, self._precision, mean) - d / m - trace / n
        return 0.5 * (trace - d - self._log_det_ratio - float(np.log(ratios).sum()) + square)


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

    ``log_det_ratio`` is log|Ĉ_p| − log|Ĉ_q|. Sample eigenvalues spread more than true ones, so their logarithms are
    drawn together until the divergence they give is the unbiased one.

    >>> fitted_divergence(50, 50, np.ones(2), np.zeros(2), 0.0).value < 0
    True
    """
    d = len(ratios)
    f = (m - d - 2) / (m - 1)
    trace, square = f * float(ratios.sum()), f * float(shift @ shift) - d / m - f * float(ratios.sum()) / n
    log_det = log_det_ratio - log_determinant_bias(n, d) + log_determinant_bias(m, d)
    of_covariance = 0.5 * (trace - d - log_det)
    logs = np.log(ratios)
    around = logs - logs.mean()

    def excess(width: float) -> float:
        now = log_det / d + width * around
        return 0.5 * float((np.expm1(now) - now).sum()) - of_covariance

    width = 0.0
    if excess(0.0) < 0 and np.ptp(around) > 0:
        end = 1.0
        while excess(end) < 0:
            end *= 2
        width = root_between(excess, 0, end)
    log_ratios = log_det / d + width * around
    moved = shift * np.sqrt(max(square, 0.0) / max(float(shift @ shift), 1e-300))
    if not (width > 0 or square > 0):  # no difference found: any direction will do
        log_ratios, moved = logs, shift
    if not (np.square(log_ratios).sum() + moved @ moved > d * (64 * np.finfo(float).eps) ** 2):  # one sample, twice
        log_ratios, moved = np.zeros(d), np.full(d, d**-0.5)
    return DivergenceInterval(
        of_covariance + 0.5 * square, n, m, tuple(map(float, log_ratios)), tuple(map(float, moved))
    )


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
