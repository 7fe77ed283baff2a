"""Covariances, log-determinants and Gram products, for numpy arrays and torch tensors alike."""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, namespace

LOG_2PI = float(np.log(2 * np.pi))


def covariance(z: Float[Any, "n d"]) -> Float[Any, "d d"]:
    """Unbiased sample covariance, (1/(n−1)) Σ (z_i − z̄)(z_i − z̄)ᵀ; differentiable for tensors.

    >>> covariance(np.array([[0.0, 0.0], [2.0, 4.0]]))
    array([[2., 4.],
           [4., 8.]])
    """
    centered = z - z.mean(0)
    return centered.T @ centered / (z.shape[0] - 1)


def offdiagonal_energy(z: Float[Any, "n d"]) -> Float[Any, ""]:
    """Σ_{i≠j} C_ij² of the unbiased sample covariance C, through the smaller of the two Gram matrices.

    ‖ZᵀZ‖_F = ‖ZZᵀ‖_F for centered Z (Garrido et al. 2023), so the cost is O(n d min(n, d)).

    >>> float(offdiagonal_energy(np.array([[0.0, 0.0], [2.0, 4.0]])))
    32.0
    """
    centered = z - z.mean(0)
    n, d = centered.shape
    gram = centered.T @ centered if d <= n else centered @ centered.T
    variances = (centered**2).sum(0) / (n - 1)
    return (gram**2).sum() / (n - 1) ** 2 - (variances**2).sum()


def log_determinant(matrix: Float[Any, "d d"]) -> Float[Any, ""]:
    """log |M| of a symmetric positive definite matrix by Cholesky; −inf where it is not positive definite.

    >>> float(log_determinant(np.diag([1.0, np.e])))
    1.0
    >>> float(log_determinant(np.zeros((2, 2))))
    -inf
    """
    xp: ModuleType = namespace(matrix)
    if xp is np:
        try:
            return 2 * np.log(np.diagonal(np.linalg.cholesky(matrix))).sum()
        except np.linalg.LinAlgError:
            return np.float64(-np.inf)
    factor, failed = xp.linalg.cholesky_ex(matrix)
    if int(failed):
        return matrix.sum() * 0 - xp.inf
    return 2 * factor.diagonal().log().sum()


def singular_threshold(n: int, d: int) -> float:
    """Relative size below which an eigenvalue of a correlation matrix from n draws is rounding: max(n, d)·eps."""
    return max(n, d) * float(np.finfo(np.float64).eps)


def whitening(x: Samples) -> tuple[Float[np.ndarray, "n r"], int]:
    """Orthonormal coordinates of the centered sample on its numerical support, and their number r.

    Columns are first divided by their standard deviation, so units do not decide the rank; directions whose
    eigenvalue of the correlation matrix is below rounding (:func:`singular_threshold`) are left out.
    The r columns returned have mean zero and unit sample covariance.

    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> whitening(np.c_[x, x.sum(1)])[1]
    2
    """
    n, d = x.shape
    centered = x - x.mean(0)
    standard = centered / np.sqrt((centered**2).sum(0) / (n - 1))
    values, vectors = np.linalg.eigh(standard.T @ standard / (n - 1))
    kept = values > values[-1] * singular_threshold(n, d)
    return standard @ (vectors[:, kept] / np.sqrt(values[kept])), int(kept.sum())
