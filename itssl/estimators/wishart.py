"""Laws of log-determinants of Wishart matrices: bias, variance, skewness and quantiles of Gaussian estimates.

For n Gaussian draws the scatter matrix S has the Wishart law with N = n − 1 degrees of freedom, and everything a
Gaussian estimate needs is the law of log|S|, log|S_x|, log|S_y| and their sums. Correlations enter in one way only: for
log Λ = log|S| − log|S_x| − log|S_y| with squared canonical correlations P², and c = N/2,

    E Λ^h = (its value for independent blocks) · |I − P²|^h · ₂F₁(h, h; c + h; P²)                               [1]

with the hypergeometric function of matrix argument; the determinant only moves the mean of log Λ. Here log ₂F₁ is
computed as the sum over i of the scalar log ₂F₁(h, h; c_i + h; ρ_i²) with c_i = c − ½ Σ_{j<i} ρ_j². That is exact for
one canonical correlation, for P² = 0 and for P² = I, and agrees with the zonal expansion up to terms of third order in
P²/c.

References
----------
[1] Muirhead (1982). Aspects of Multivariate Statistical Theory, ch. 7, 10 and 11.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.kernels.roots import root_between


class Cumulants(NamedTuple):
    """Variance and third central moment; means are known apart."""

    variance: float
    third: float


def log_determinant_bias(n: int, d: int) -> float:
    r"""E log|Ĉ| − log|C| for the unbiased covariance Ĉ of n Gaussian draws in d dimensions.

    (n−1)Ĉ is Wishart with n−1 degrees of freedom, so the bias is Σ_{i=1}^d ψ((n−i)/2) + d log(2/(n−1)).

    >>> print(f"{log_determinant_bias(10, 1):.4f}")
    -0.1152
    """
    from scipy.special import digamma

    i = np.arange(1, d + 1)
    return float(digamma((n - i) / 2).sum() + d * np.log(2 / (n - 1)))


def log_determinant_variance(n: int, d: int) -> float:
    """Var log|Ĉ| for n Gaussian draws in d dimensions: Σ_{i=1}^d ψ'((n−i)/2).

    >>> print(f"{log_determinant_variance(1001, 1):.6f}")
    0.002002
    """
    from scipy.special import polygamma

    return float(polygamma(1, (n - np.arange(1, d + 1)) / 2).sum())


@lru_cache(maxsize=64)
def log_determinant_quantiles(n: int, d: int, probabilities: tuple[float, ...]) -> tuple[float, ...]:
    r"""Quantiles of log|Ĉ| − log|C| for n Gaussian draws in d dimensions: no unknown enters.

    The law is that of Σ_i log χ²_{n−i} − d log(n−1), with characteristic function Π 2^{it} Γ((n−i)/2 + it)/Γ((n−i)/2).
    It is inverted by the trapezoidal rule of [1] on a grid whose aliases lie 60 standard deviations away.

    References
    ----------
    [1] Davies (1973). Numerical inversion of a characteristic function. Biometrika 60(2), 415-417.

    >>> low, high = log_determinant_quantiles(3, 1, (0.025, 0.975))  # log(χ²₂/2): the law of log E, E exponential
    >>> print(f"{low:.4f} {np.log(-np.log(0.975)):.4f}")
    -3.6762 -3.6762
    """
    from scipy.special import gammaln, loggamma

    half = (n - np.arange(1, d + 1)) / 2
    std, mean = log_determinant_variance(n, d) ** 0.5, log_determinant_bias(n, d)

    def log_characteristic(t: np.ndarray) -> np.ndarray:
        total = np.zeros(t.shape, dtype=complex)
        for a in half:  # one degree of freedom at a time: d × t would not fit for large d
            total += loggamma(a + 1j * t) - gammaln(a)
        return total + 1j * t * d * np.log(2 / (n - 1))

    end = 8.0
    while log_characteristic(np.array([end / std]))[0].real > -34:  # e^-34 is below rounding
        end *= 1.5
    step = 2 * np.pi / 60
    t = (np.arange(int(end / step) + 1) + 0.5) * step
    weights = np.exp(log_characteristic(t / std) - 1j * t * mean / std)

    def excess(probability: float, z: float) -> float:
        return 0.5 - float((np.imag(weights * np.exp(-1j * t * z)) / t).sum()) * step / np.pi - probability

    return tuple(mean + std * root_between(partial(excess, p), -29, 29, xtol=1e-10) for p in probabilities)


def independent_blocks(dof: int, d_x: int, d_y: int) -> Cumulants:
    """Cumulants of log Λ for independent blocks: Λ is a product of d_y beta variables ((N−d_x−i+1)/2, d_x/2).

    >>> print(f"{independent_blocks(99, 1, 1).variance * 99**2 / 2:.3f}")
    1.031
    """
    return Cumulants(*(_wilks_polygamma(order, dof, d_x, d_y) for order in (1, 2)))


def dependent_blocks(dof: int, d_x: int, d_y: int, rho2: Float[np.ndarray, " m"]) -> Cumulants:
    r"""Cumulants of log Λ when the squared canonical correlations are rho2 (in any order; zeros may be left out).

    The variance is Var log|S| − Var log|S_x| − Var log|S_y| + 2 Cov(log|S_x|, log|S_y|). With one correlation the
    covariance is Σ_k ρ^{2k} B(k, N/2)/k; with all equal to one it is Var log|S_x|.

    >>> exact = dependent_blocks(20, 3, 3, np.ones(3)).variance - independent_blocks(20, 3, 3).variance
    >>> print(f"{exact / (2 * log_determinant_variance(21, 3)):.6f}")
    1.000000
    """
    alone = independent_blocks(dof, d_x, d_y)
    c = dof / 2 - 0.5 * np.concatenate([[0.0], np.cumsum(rho2)[:-1]])
    second, third = hypergeometric_terms(np.asarray(rho2), c)
    return Cumulants(alone.variance + 2 * float(second.sum()), alone.third + 6 * float(third.sum()))


def hypergeometric_terms(
    rho2: Float[np.ndarray, "*shape"], c: Float[np.ndarray, "*shape"] | float
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    r"""A₂ and A₃ in log ₂F₁(h, h; c + h; ρ²) = A₂h² + A₃h³ + ….

    A₂ = Σ_k ρ^{2k} B(k, c)/k and A₃ = Σ_k ρ^{2k} B(k, c)/k · (2H_{k−1} − ψ(c+k) + ψ(c)); A₂ is the covariance of the
    logarithms of two sums of squares with 2c degrees of freedom.

    >>> print(f"{hypergeometric_terms(np.ones(1), 10.0)[0][0]:.6f} {log_determinant_variance(21, 1):.6f}")
    0.105166 0.105166
    """
    rho2, c = np.broadcast_arrays(np.asarray(rho2, dtype=float), np.asarray(c, dtype=float))
    if rho2.size > 2**14:  # the terms of all entries at once would fill the memory
        middle = len(rho2) // 2
        parts = [hypergeometric_terms(rho2[part], c[part]) for part in (slice(middle), slice(middle, None))]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    k = np.arange(1.0, _series_length(float(c.min(initial=np.inf)))).reshape(-1, *(1,) * rho2.ndim)
    ratios = (k - 1 + (k == 1)) * np.maximum(k - 1, 1) / (k * (c + k - 1))
    terms = np.cumprod(rho2 * ratios, axis=0)
    harmonic = np.cumsum(1 / k, axis=0) - 1 / k
    return terms.sum(axis=0), (terms * (2 * harmonic - np.cumsum(1 / (c + k - 1), axis=0))).sum(axis=0)


def multiple_correlation_probability(r2: float, dof: int, d: int, rho2: float) -> float:
    r"""P(R² ≤ r2) for the squared multiple correlation of one Gaussian variable with d others, exact.

    Given K, negative binomial with parameters N/2 and ρ², R² is beta (d/2 + K, (N−d)/2) [1]. Where K spreads over
    more than 512 integers it is cut into so many cells, each with the term at its middle; for N ≤ 16 the weights are
    steep at K = 0, and the cells are the first 1024 integers and then 4096 that grow geometrically.
    Near ρ² = 1 neither r2 nor rho2 keeps its digits as a float: there :func:`near_certain_probability` is right.

    References
    ----------
    [1] Muirhead (1982). Aspects of Multivariate Statistical Theory, Theorem 5.2.4.

    >>> print(f"{multiple_correlation_probability(0.5, 9, 1, 0.0):.4f}")  # (1 + P(|t₈| ≤ √8))/2: Student's t
    0.9778
    """
    from scipy.special import betainc, gammaln

    if not 0 < r2 < 1:
        return float(r2 >= 1)
    if not rho2 < 1:
        return 0.0
    c = dof / 2
    mean, std = c * rho2 / (1 - rho2), np.sqrt(c * rho2) / (1 - rho2)
    first, last = max(0.0, np.floor(mean - 10 * std)), np.ceil(mean + (10 + 30 / np.sqrt(c)) * std)
    stride = max(1.0, np.ceil((last - first) / 512))
    edges = np.arange(first, last + 1 + stride, stride)
    if c <= 8:
        edges = np.arange(min(1024.0, last) + 2)
        edges = np.concatenate([edges, np.geomspace(1025, last + 1, 4097)[1:]]) if last > 1024 else edges
    k, width = (edges[1:] + edges[:-1] - 1) / 2, np.diff(edges)
    log_weight = gammaln(c + k) - gammaln(k + 1) + (k * np.log(rho2) if rho2 > 0 else np.where(k > 0, -np.inf, 0.0))
    weight = np.exp(log_weight - log_weight.max()) * width
    return float(weight @ betainc(d / 2 + k, (dof - d) / 2, r2) / weight.sum())


def near_certain_probability(log_ratio: float, dof: int, d: int) -> float:
    r"""P(log (1−R²)/(1−ρ²) ≥ log_ratio) in the limit ρ² → 1, in the notation of the function above.

    There K (1−ρ²) is a gamma variable of shape N/2 and (1−R²) K, given K, one of shape (N−d)/2; hence the ratio is that
    of two independent gamma variables. At 1 − ρ² = 1e-6 the error is below 1e-6.

    >>> print(f"{near_certain_probability(np.log(98 / 99), 99, 1):.2f}")
    0.50
    """
    from scipy.special import betaincc, expit

    return float(betaincc((dof - d) / 2, dof / 2, expit(log_ratio)))


def skewed_probability(z: float, cumulants: Cumulants) -> float:
    """P(Z ≤ z) for mean zero and the given variance and third moment, as a shifted gamma law (Pearson type III).

    >>> chi2 = Cumulants(variance=8.0, third=32.0)  # four degrees of freedom, less their mean
    >>> print(f"{skewed_probability(9.487729 - 4, chi2):.4f}")
    0.9500
    """
    from scipy.special import gammainc, gammaincc, ndtr

    std = cumulants.variance**0.5
    skewness, z = cumulants.third / std**3, z / std
    if abs(skewness) < 1e-3:  # the shape would exceed 4e6: normal to that order
        return float(ndtr(z))
    shape = 4 / skewness**2
    if skewness > 0:
        return float(gammainc(shape, max(0.0, shape + z * shape**0.5)))
    return float(gammaincc(shape, max(0.0, shape - z * shape**0.5)))


def _wilks_polygamma(order: int, dof: int, d_x: int, d_y: int) -> float:
    from scipy.special import polygamma

    i = np.arange(1, d_y + 1)
    return float((polygamma(order, (dof - d_x - i + 1) / 2) - polygamma(order, (dof - i + 1) / 2)).sum())


def _series_length(c: float) -> int:
    """At ρ² = 1 terms fall like Γ(c)/k^{c+1}: so many give twelve digits from c = 5 on, nine from 3, four at c = 1."""
    return 4000 if c < 3 else 1000 if c < 5 else 300 if c < 20 else 60
