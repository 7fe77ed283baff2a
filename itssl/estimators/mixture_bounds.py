"""Bounds on the entropy of a Gaussian mixture with known components, of any weights and widths."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError, require_positive
from itssl.distributions.gaussian import LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.pairwise_mixture import EntropyBounds
from itssl.kernels.linalg import LOG_2PI
from itssl.kernels.mixture_density import DiagonalTerms, log_sums
from itssl.kernels.pairwise import kernel_sums, squared_distances
from itssl.kernels.threads import in_order

_TILE = 2**20  # numbers held at a time, 8 MiB
_BLOCK = 2**15  # numbers of a block, of which three stay in the second-level cache
_LARGEST_EXPONENT = 750.0  # exp(−750) is zero


@dataclass(frozen=True, eq=False)
class DiagonalComponents:
    """Σ_c w_c N(μ_c, diag(v_c)) without its m matrices: for thousands of components in a thousand dimensions.

    Raises LawError when shapes disagree, the weights are no probability vector or a variance is not positive.

    >>> DiagonalComponents(np.full(2, 0.5), np.zeros((2, 3)), np.ones((2, 3))).dim
    3
    """

    weights: Float[np.ndarray, " m"]
    means: Float[np.ndarray, "m d"]
    variances: Float[np.ndarray, "m d"]

    def __post_init__(self) -> None:
        if self.means.shape != self.variances.shape or self.weights.shape != self.means.shape[:1]:
            raise LawError(
                f"weights, means, variances: expected shapes (m,), (m, d), (m, d), got {self.weights.shape}, "
                f"{self.means.shape}, {self.variances.shape}"
            )
        if not (self.weights > 0).all() or abs(self.weights.sum() - 1) > 8 * len(self.weights) * np.finfo(float).eps:
            raise LawError(f"weights: expected positive numbers that sum to 1, got sum {self.weights.sum():.17g}")
        if not (np.abs(self.means) < 1e150).all():
            largest = self.means.flat[np.abs(self.means).argmax()]  # NaN counts as the largest
            raise LawError(f"means: expected finite numbers below 1e150 in size, got {largest}; use other units")
        if not (np.isfinite(self.variances) & (self.variances > 0)).all():
            raise LawError(f"variances: expected finite numbers > 0, got a smallest one of {self.variances.min():.3g}")

    @property
    def dim(self) -> int:
        return self.means.shape[1]


Mixture: TypeAlias = GaussianMixture | DiagonalComponents


def kolchinsky_tracey_bounds(mixture: Mixture, *, alpha: float | Literal["optimal"] = 0.5) -> EntropyBounds:
    r"""Lower and upper bound on the entropy of a Gaussian mixture, from divergences of its components [1], in nats.

    Σ_i c_i h(p_i) − Σ_i c_i log Σ_j c_j e^{−D(p_i‖p_j)} lies above h for the Kullback–Leibler divergence and below it
    for each Chernoff divergence −log ∫ p_i^α p_j^{1−α}, 0 < α < 1, which for Gaussians is

    C_α(p_i‖p_j) = ½ α(1−α) δᵀM⁻¹δ + ½ log(|M| / (|Σ_i|^{1−α} |Σ_j|^α)), M = (1−α)Σ_i + αΣ_j, δ = μ_i − μ_j.

    α = ½ is Bhattacharyya's. C_α is concave in α (the logarithm of ∫ p^α q^{1−α} is convex), hence so is the bound,
    and ``alpha="optimal"`` finds the best α by a scalar search. Components of one covariance need none: there C_α is
    α(1−α)/2 times one number a pair, and ½ is best. Both bounds are exact for components far apart or all equal.

    Time: one matrix product for components of one covariance or isotropic ones, and for Kullback–Leibler divergences
    of diagonal ones, whose Chernoff divergences take m²d divisions; m²d³ for others (times some 20 for the search),
    whose Kullback–Leibler divergences take md³ + m²d² unless covariances are narrow.
    Memory is three times that of the law for full covariances, else O(m·d), and tiles of 8 MiB a thread.
    Raises ParameterError for an α outside (0, 1).

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), 361.

    >>> mixture = GaussianMixture(np.array([0.3, 0.7]), np.array([[0.0], [2.0]]), np.array([[[1.0]], [[0.2]]]))
    >>> low, high = kolchinsky_tracey_bounds(mixture, alpha="optimal")
    >>> print(f"{low:.4f} <= {mixture.entropy.value:.4f} <= {high:.4f}")
    1.1745 <= 1.3017 <= 1.4399
    """
    if alpha != "optimal" and (isinstance(alpha, str) or require_positive("alpha", alpha) >= 1):
        raise ParameterError(f"alpha: expected a number in (0, 1) or 'optimal', got {alpha!r}")
    parts = _parts(mixture)
    average = float(parts.weights @ parts.entropies)
    upper = average - _mean_log_sum(parts, None)
    if not isinstance(alpha, str):
        return EntropyBounds(average - _mean_log_sum(parts, float(alpha)), upper)
    smallest = _mean_log_sum(parts, 0.5)
    if not parts.common:
        from scipy.optimize import minimize_scalar

        found: Any = minimize_scalar(
            lambda a: _mean_log_sum(parts, float(a)), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4}
        )
        smallest = min(smallest, float(found.fun))
    return EntropyBounds(average - smallest, upper)


def huber_bounds(mixture: Mixture) -> EntropyBounds:
    r"""Lower and upper bound on the entropy of a Gaussian mixture [1], in nats.

    Lower: −Σ_i c_i log Σ_j c_j N(μ_i; μ_j, Σ_i + Σ_j), Jensen's inequality in each component. Upper: entropy of the
    labels plus Σ_i c_i h(p_i), exact only for components far apart. A single component is ½ log 2 − ½ per
    dimension short of its entropy below: the lower bound is off by 0.153 d nats even there.

    References
    ----------
    [1] Huber, Bailey, Durrant-Whyte & Hanebeck (2008). On entropy approximation for Gaussian mixture random vectors.
        IEEE Int. Conf. on Multisensor Fusion and Integration, 181-188.

    >>> low, high = huber_bounds(GaussianMixture.isotropic(np.array([[-5.0], [5.0]]), 1.0))
    >>> print(f"{low:.4f} <= 2.1121 <= {high:.4f}")
    1.9587 <= 2.1121 <= 2.1121
    """
    from scipy.special import logsumexp

    parts = _parts(mixture)
    m, d = parts.means.shape
    lower = 0.0
    for rows in _tiles(m):
        squared, log_det = _between(parts, rows, 0.5)
        # Σ_i + Σ_j = 2M of α = ½
        log_density = -0.5 * (d * (LOG_2PI + np.log(2)) + log_det) - squared / 4
        lower -= float(parts.weights[rows] @ logsumexp(log_density + np.log(parts.weights), axis=1))
    return EntropyBounds(lower, float(parts.weights @ (parts.entropies - np.log(parts.weights))))


class _Parts(NamedTuple):
    """Components of one shape of covariance: covs is (m, 1) where isotropic, (m, d) where diagonal, else (m, d, d)."""

    weights: np.ndarray
    means: np.ndarray
    covs: np.ndarray
    log_dets: np.ndarray

    @property
    def entropies(self) -> np.ndarray:
        return 0.5 * (self.means.shape[1] * (LOG_2PI + 1) + self.log_dets)

    @property
    def common(self) -> bool:
        return bool((self.covs == self.covs[:1]).all())


def _parts(mixture: Mixture) -> _Parts:
    """The mixture with the cheapest of the three shapes of covariance."""
    means = mixture.means - mixture.weights @ mixture.means
    if isinstance(mixture, DiagonalComponents):
        covs = mixture.variances
    else:
        diagonal = np.diagonal(mixture.covs, axis1=1, axis2=2)
        off = mixture.covs - diagonal[:, None] * np.eye(mixture.dim)
        covs = mixture.covs if off.any() else diagonal
    if covs.ndim == 3:
        log_dets = 2 * np.log(np.diagonal(np.linalg.cholesky(covs), axis1=1, axis2=2)).sum(axis=1)
        return _Parts(mixture.weights, means, covs, log_dets)
    log_dets = np.log(covs).sum(axis=1)
    return _Parts(mixture.weights, means, covs[:, :1] if (covs == covs[:, :1]).all() else covs, log_dets)


def _tiles(m: int) -> list[slice]:
    step = max(1, _TILE // m)
    return [slice(i, min(i + step, m)) for i in range(0, m, step)]


def _mean_log_sum(parts: _Parts, alpha: float | None) -> float:
    """Σ_i c_i log Σ_j c_j e^{−D}, with D = C_α, or KL where alpha is None."""
    weights = parts.weights
    if parts.common:
        contrast = 1.0 if alpha is None else 4 * alpha * (1 - alpha)
        white = np.sqrt(contrast) * _in_units_of(parts.means, parts.covs[0])
        first, second = kernel_sums(white, 1.0, np.stack([weights, weights], axis=1))
        return float(weights @ np.log(second if alpha is None else first))
    if alpha is None and parts.covs.ndim == 2:  # −D(p_i‖p_j) = E log p_j + h(p_i), the mean over p_i: one product
        log_p = DiagonalTerms.normal(np.log(weights), parts.means, parts.covs)
        spread = np.broadcast_to(parts.covs, parts.means.shape)
        return float(weights @ (log_sums(parts.means, log_p, spread) + parts.entropies))

    divergences = (
        partial(_kl_divergences, parts, _Precisions.of(parts.covs))
        if alpha is None
        else partial(_chernoff_divergences, parts, alpha)
    )

    def work(rows: slice) -> float:
        divergence = divergences(rows)
        own = np.arange(rows.start, rows.stop)
        divergence[own - rows.start, own] = 0
        return float(weights[rows] @ np.log(np.exp(-divergence) @ weights))

    return sum(in_order(work, _tiles(len(weights))))


def _in_units_of(means: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Means whitened by one covariance (a matrix, or variances)."""
    return means / np.sqrt(cov) if cov.ndim == 1 else np.linalg.solve(np.linalg.cholesky(cov), means.T).T


def _chernoff_divergences(parts: _Parts, alpha: float, rows: slice) -> np.ndarray:
    """C_α(p_i‖p_j) for i in rows and every j."""
    squared, log_det = _between(parts, rows, alpha)
    reference = (1 - alpha) * parts.log_dets[rows, None] + alpha * parts.log_dets
    return 0.5 * (alpha * (1 - alpha) * squared + log_det - reference)


def _between(parts: _Parts, rows: slice, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """δᵀM⁻¹δ and log|M| with M = (1−α)Σ_i + αΣ_j, for i in rows and every j."""
    means, covs = parts.means, parts.covs
    r, (m, d) = rows.stop - rows.start, means.shape
    if covs.shape[1:] == (1,):
        middle = (1 - alpha) * covs[rows] + alpha * covs[:, 0]
        return _squared_distances(parts, rows) / middle, d * np.log(middle)
    squared, log_det = np.zeros((r, m)), np.zeros((r, m))
    if covs.ndim == 2:
        # A logarithm costs as much as the rest: take it of products of as many numbers as surely are floats.
        together = max(1, int(600 / (1 + max(-np.log(covs.min()), np.log(covs.max())))))
        step = max(1, _BLOCK // r)
        for columns in (slice(j, min(j + step, m)) for j in range(0, m, step)):
            here, there = slice(rows.start, rows.stop), (r, columns.stop - columns.start)
            middle, delta, product = np.empty(there), np.empty(there), np.ones(there)
            for k in range(d):
                np.add((1 - alpha) * covs[here, k, None], alpha * covs[columns, k], out=middle)
                product *= middle
                np.subtract(means[here, k, None], means[columns, k], out=delta)
                np.square(delta, out=delta)
                delta /= middle
                squared[:, columns] += delta
                if (k + 1) % together == 0 or k + 1 == d:
                    log_det[:, columns] += np.log(product, out=product)
                    product.fill(1)
        return squared, log_det
    for i, j in _matrix_tiles(rows, m, d):
        middle = (1 - alpha) * covs[i] + alpha * covs[j]
        delta = means[i] - means[j]
        factor = np.linalg.cholesky(middle)
        log_det[i - rows.start, j] = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        squared[i - rows.start, j] = np.einsum("jk,jk->j", delta, np.linalg.solve(middle, delta[..., None])[..., 0])
    return squared, log_det


class _Precisions(NamedTuple):
    """Σ = LLᵀ, L⁻¹ and Σ⁻¹ of every component, and the Frobenius norms of Σ and Σ⁻¹."""

    factors: np.ndarray
    whiteners: np.ndarray
    precisions: np.ndarray
    sizes: np.ndarray
    precision_sizes: np.ndarray

    @classmethod
    def of(cls, covs: np.ndarray) -> "_Precisions":
        factors = np.linalg.cholesky(covs)
        whiteners = np.linalg.inv(factors)
        precisions = whiteners.transpose(0, 2, 1) @ whiteners
        with np.errstate(over="ignore"):  # an infinite size sends all its pairs to the sum of squares
            sizes = [np.sqrt(np.square(each).sum(axis=(1, 2))) for each in (covs, precisions)]
        return cls(factors, whiteners, precisions, *sizes)


def _kl_divergences(parts: _Parts, inverse: _Precisions, rows: slice) -> np.ndarray:
    """D(p_i‖p_j) = ½ [tr(Σ_j⁻¹Σ_i) + δᵀΣ_j⁻¹δ − d + log|Σ_j| − log|Σ_i|] of matrices, for i in rows and every j.

    All traces are one matrix product of the d² numbers of Σ_j⁻¹ and Σ_i. Its terms cancel where matrices are narrow:
    it errs in the order of ε ‖Σ_j⁻¹‖ ‖Σ_i‖. Where d times that exceeds 1e-11 of the trace, it is ‖L_j⁻¹L_i‖² instead, a
    sum of squares. Measured on random matrices, d = 2 to 96, both lose as many digits as the inverses do: relative
    errors of up to 5e-11 at condition 10⁶.
    """
    means, covs = parts.means, parts.covs
    m, d = means.shape
    twice = covs[rows].reshape(-1, d * d) @ inverse.precisions.reshape(m, d * d).T
    blur = d * np.finfo(float).eps * inverse.sizes[rows, None] * inverse.precision_sizes
    narrow = ~(blur <= 1e-11 * twice)
    for i, j in _matrix_tiles(rows, m, d):
        again = j.start + np.flatnonzero(narrow[i - rows.start, j])
        if again.size:
            twice[i - rows.start, again] = np.square(inverse.whiteners[again] @ inverse.factors[i]).sum(axis=(1, 2))
    for j in range(m):
        twice[:, j] += np.square((means[rows] - means[j]) @ inverse.whiteners[j].T).sum(axis=1)
    return 0.5 * (twice - d + parts.log_dets - parts.log_dets[rows, None])


def _matrix_tiles(rows: slice, m: int, d: int) -> list[tuple[int, slice]]:
    """One i and a run of j at a time, such that d×d matrices for all of them fit a tile."""
    step = max(1, _TILE // d**2)
    return [(i, slice(j, min(j + step, m))) for i in range(rows.start, rows.stop) for j in range(0, m, step)]


def _squared_distances(parts: _Parts, rows: slice) -> np.ndarray:
    """‖μ_i − μ_j‖² for isotropic components, good to rounding of the exponents they enter."""
    narrow, wide = float(parts.covs.min()), float(parts.covs.max())
    white = parts.means / np.sqrt(narrow)
    square = np.einsum("ij,ij->i", white, white)
    reach = 2 * _LARGEST_EXPONENT * wide / narrow
    return narrow * np.maximum(squared_distances(white[rows], white, square[rows], square, reach), 0)
