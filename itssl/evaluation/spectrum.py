"""The spectrum of embeddings: how many directions they use."""

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError


def numerical_rank(cov: Float[np.ndarray, "d d"], *, smallest_variance: float = 1e-6) -> int:
    """The number of eigenvalues above ``smallest_variance`` times the largest.

    Raises ParameterError unless cov is a square, finite, non-zero matrix.

    >>> numerical_rank(np.diag([1.0, 0.5, 1e-9]))
    2
    """
    values = _eigenvalues(cov)
    return int((values > smallest_variance * values[-1]).sum())


def effective_rank(cov: Float[np.ndarray, "d d"]) -> float:
    """exp of the Shannon entropy of the normalized eigenvalues [1]; d for isotropic covariance, 1 for one direction.

    Raises ParameterError unless cov is a square, finite, non-zero matrix.

    References
    ----------
    [1] Roy & Vetterli (2007). The effective rank: a measure of effective dimensionality. EUSIPCO. (There on singular
        values of a data matrix; here on the eigenvalues of the covariance.)

    >>> print(f"{effective_rank(np.eye(5)):.3f}")
    5.000
    """
    values = np.maximum(_eigenvalues(cov), 0)
    p = values[values > 0] / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def _eigenvalues(cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " d"]:
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or not np.isfinite(cov).all() or not cov.any():
        raise ParameterError(f"cov: expected a finite non-zero (d, d) covariance, got shape {cov.shape}")
    return np.linalg.eigvalsh(cov)
