"""The spectrum of embeddings: how many directions they use."""

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, SamplesLike, as_samples
from itssl.choices import ParameterError, require_positive


def numerical_rank(cov: Float[np.ndarray, "d d"], *, smallest_variance: float = 1e-6) -> int:
    """The number of eigenvalues λ_k > ``smallest_variance`` · λ_1 of cov, shape (d, d).

    Raises ParameterError unless cov is a square, finite, non-zero matrix.

    >>> numerical_rank(np.diag([1.0, 0.5, 1e-9]))
    2
    """
    values = _eigenvalues(cov)
    return int((values > smallest_variance * values[-1]).sum())


def effective_rank(cov: Float[np.ndarray, "d d"]) -> float:
    """exp of the Shannon entropy of the normalized eigenvalues [1]; d for isotropic covariance, 1 for one direction.

    exp(−Σ p_k log p_k) with p_k = λ_k/Σλ of cov, shape (d, d); a count of directions, without unit.
    It looks at variances, so it is blind to the mean and small directions count little; :func:`rankme` looks at
    singular values of the embeddings as they are. Raises ParameterError unless cov is a square, finite, non-zero
    matrix.

    References
    ----------
    [1] Roy & Vetterli (2007). The effective rank: a measure of effective dimensionality. EUSIPCO. (There on singular
        values of a data matrix; here on the eigenvalues of the covariance.)

    >>> print(f"{effective_rank(np.eye(5)):.3f}")
    5.000
    """
    values = np.maximum(_eigenvalues(cov), 0)
    return exponential_entropy(values / values.sum())


def rankme(z: SamplesLike, *, eps: float = 1e-7) -> float:
    r"""RankMe [1]: exp of the entropy of the normalized singular values of the embeddings, not centered; without unit.

    .. math:: \exp\Bigl(-\sum_{k=1}^{\min(n, d)} p_k \log p_k\Bigr), \qquad
        p_k = \frac{\sigma_k(Z)}{\lVert\sigma(Z)\rVert_1} + \varepsilon.

    Three differences from :func:`effective_rank`: the mean counts as one more direction, so an offset far beyond the
    spread gives about 1 whatever the spread is; singular values are roots of eigenvalues, so the spectrum looks
    flatter; and ε is added, so that each unused direction adds ε·log(1/ε) to the logarithm.

    Parameters
    ----------
    z: embeddings of shape (n, d), as the objective sees them. RankMe is defined on them uncentered.
    eps: ε; 1e-7 in [1].

    Raises
    ------
    SampleError: z is not a finite (n, d) array, or all zero.
    ParameterError: eps is not positive.

    References
    ----------
    [1] Garrido, Balestriero, Najman & LeCun (2023). RankMe: Assessing the Downstream Performance of Pretrained
        Self-Supervised Representations by Their Rank. ICML, eq. 1.

    >>> print(f"{rankme(np.vstack([np.eye(3), -np.eye(3)])):.4f}")
    3.0000
    """
    z = as_samples(z, name="z")
    require_positive("eps", eps)
    sigma = np.linalg.svd(z, compute_uv=False)
    if not sigma[0] > 0:
        raise SampleError("z: expected embeddings that are not all zero, got only zeros, which have no directions")
    return exponential_entropy(sigma / sigma.sum() + eps)


def exponential_entropy(p: Float[np.ndarray, " r"]) -> float:
    """exp(−Σ p log p) of weights p ≥ 0, with 0 log 0 = 0: how many equal weights 1/r would have the same entropy.

    >>> print(f"{exponential_entropy(np.array([0.5, 0.25, 0.25, 0.0])):.4f}")
    2.8284
    """
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def _eigenvalues(cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " d"]:
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or not np.isfinite(cov).all() or not cov.any():
        raise ParameterError(f"cov: expected a finite non-zero (d, d) covariance, got shape {cov.shape}")
    return np.linalg.eigvalsh(cov)
