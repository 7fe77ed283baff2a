"""Covariances, log-determinants and Gram products, for numpy arrays and torch tensors alike."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, namespace
from itssl.kernels.covariance import CHUNK, SMALLEST, Moments, moments, sums_of_squares

LOG_2PI = float(np.log(2 * np.pi))


def covariance(z: Float[Any, "n d"]) -> Float[Any, "d d"]:
    """Unbiased sample covariance, (1/(n−1)) Σ (z_i − z̄)(z_i − z̄)ᵀ; differentiable for tensors.

    Arrays too large for the cache go chunk by chunk, in float64 (:func:`itssl.kernels.covariance.moments`).

    >>> covariance(np.array([[0.0, 0.0], [2.0, 4.0]]))
    array([[2., 4.],
           [4., 8.]])
    """
    if isinstance(z, np.ndarray) and z.size > CHUNK:
        return moments(z).covariance.astype(z.dtype)
    centered = z - z.mean(0)
    return centered.T @ centered / (z.shape[0] - 1)


def log_determinant(matrix: Float[Any, "d d"], *, eps: float | None = None) -> Float[Any, ""]:
    """log |M| of a symmetric positive definite matrix by Cholesky; −inf where it is singular to rounding.

    Singular means: a pivot is below 64·d·eps of its diagonal entry, so that the column depends on the earlier ones.
    ``eps`` is that of the matrix's numbers, unless they were made of coarser ones.

    >>> float(log_determinant(np.diag([1.0, np.e])))
    1.0
    >>> float(log_determinant(np.zeros((2, 2))))
    -inf
    """
    xp: ModuleType = namespace(matrix)
    if xp is np:
        try:
            factor = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return matrix.dtype.type(-np.inf)
    else:
        factor, failed = xp.linalg.cholesky_ex(matrix)
        if int(failed):
            return matrix.sum() * 0 - xp.inf
    pivots, rounding = factor.diagonal(), 64 * len(matrix) * (eps or xp.finfo(matrix.dtype).eps)
    if bool((pivots**2 <= rounding * matrix.diagonal()).any()):
        return matrix.sum() * 0 - xp.inf
    return 2 * xp.log(pivots).sum()


class CertifiedLogDeterminant(NamedTuple):
    """log |R̂| with a bound of its error by rounding, and a lower bound of R̂'s smallest eigenvalue."""

    value: float
    error: float
    smallest: float


def correlation_log_determinant(found: Moments) -> CertifiedLogDeterminant:
    r"""log |R̂| of the sample's correlations by Cholesky, and what rounding may have done to it.

    With ‖E‖_F ≤ δ the error of R̂, by rounding of its entries and of the factorization, and ν = ‖R̂⁻¹‖_F:
    λ_min ≥ 1/ν − δ by Weyl's inequality; and since log|R̂ + E| − log|R̂| = tr R̂⁻¹E + rest, with |tr R̂⁻¹E| ≤ νδ and
    |rest| ≤ (νδ)²/(1 − νδ), the error is at most νδ/(1 − νδ). For νδ ≥ 1/2, and where there is no factor, nothing is
    certain: the error is inf and λ_min ≥ −inf.

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> found = correlation_log_determinant(moments(x))
    >>> found.error < 1e-11, found.smallest > 0.5
    (True, True)
    """
    correlation, d = found.correlation, len(found.mean)
    value = float(log_determinant(correlation))
    unknown = CertifiedLogDeterminant(value, float("inf"), -float("inf"))
    if not np.isfinite(value):
        return unknown
    size = float(np.linalg.norm(np.linalg.inv(correlation)))
    perturbation = d * (found.rounding + (d + 5) * float(np.finfo(np.float64).eps))
    product = size * perturbation
    if not product < 0.5:
        return unknown
    return CertifiedLogDeterminant(value, product / (1 - product), 1 / size - perturbation)


def column_std(x: Samples) -> Float[np.ndarray, " d"]:
    """Standard deviation of each column (n − 1), without under- or overflow of the squares.

    >>> column_std(np.array([[0.0, 0.0], [2e-200, 2e200]]))
    array([1.41421356e-200, 1.41421356e+200])
    """
    if x.size > CHUNK:
        squares = sums_of_squares(x)
        if squares.min() > SMALLEST and squares.max() < np.inf:
            return np.sqrt(squares / (len(x) - 1))
    centered = x - x.mean(axis=0)
    largest = np.abs(centered).max(axis=0)
    return largest * np.sqrt(((centered / largest) ** 2).sum(axis=0) / (len(x) - 1))


def singular_threshold(n: int, d: int) -> float:
    """Relative size below which a singular value of n standardized draws is rounding: max(n, d)·eps."""
    return max(n, d) * float(np.finfo(np.float64).eps)


def whitening(x: Samples) -> tuple[Float[np.ndarray, "n r"], int]:
    """Orthonormal coordinates of the centered sample on its numerical support, and their number r.

    Columns are first divided by their standard deviation, so units do not decide the rank; directions whose
    singular value is below rounding (:func:`singular_threshold`) are left out.
    The r columns returned have mean zero and unit sample covariance.

    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> whitening(np.c_[x, x.sum(1)])[1]
    2
    """
    n, d = x.shape
    standard = (x - x.mean(0)) / column_std(x)
    _, values, axes = np.linalg.svd(np.linalg.qr(standard, mode="r"))
    kept = values > values[0] * singular_threshold(n, d)
    return standard @ (axes[: len(values)][kept].T / values[kept] * np.sqrt(n - 1)), int(kept.sum())
