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


def log_determinant(matrix: Float[Any, "d d"]) -> Float[Any, ""]:
    """log |M| of a symmetric positive definite matrix by Cholesky; −inf where it is singular to rounding.

    Singular means: a pivot is below 64·d·eps of its diagonal entry, so that the column depends on the earlier ones.

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
    pivots, rounding = factor.diagonal(), 64 * len(matrix) * xp.finfo(matrix.dtype).eps
    if bool((pivots**2 <= rounding * matrix.diagonal()).any()):
        return matrix.sum() * 0 - xp.inf
    return 2 * xp.log(pivots).sum()


def column_std(x: Samples) -> Float[np.ndarray, " d"]:
    """Standard deviation of each column (n − 1), without under- or overflow of the squares.

    >>> column_std(np.array([[0.0, 0.0], [2e-200, 2e200]]))
    array([1.41421356e-200, 1.41421356e+200])
    """
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
