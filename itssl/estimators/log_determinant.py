"""The log-determinant as an entropy: a differentiable function of the embeddings."""

from typing import Any

from jaxtyping import Float

from itssl.arrays import as_matrix
from itssl.choices import ParameterError
from itssl.kernels.linalg import LOG_2PI, covariance, log_determinant


def logdet_entropy(z: Float[Any, "n d"], *, ridge: float = 0.0) -> Float[Any, ""]:
    r"""½ log((2πe)^d |Ĉ + ridge·I|) in nats, for numpy arrays or torch tensors; keeps gradients.

    Ĉ is the unbiased covariance. Without ridge this is the entropy of the Gaussian with the sample's covariance: at the
    population covariance an upper bound of h(Z); on n draws it lies below that by half the log-determinant's bias (see
    ``gaussian_plugin.log_determinant_bias``), and is −inf, with zero gradient, for n ≤ d or
    dependent columns. With ``ridge`` = 1/β it is the LogDet
    entropy [1], the Gaussian bound for Z + N(0, I/β); values at different ridges are not comparable.

    Raises SampleError for inadmissible z, ParameterError for a negative ridge.

    References
    ----------
    [1] Zhouyin & Liu (2021). Understanding neural networks with logarithm determinant entropy estimator.

    >>> import numpy as np
    >>> print(f"{logdet_entropy(np.array([[-1.0], [0.0], [1.0]])):.4f}")
    1.4189
    """
    if not 0 <= ridge < float("inf"):
        raise ParameterError(f"ridge: expected a finite number >= 0, got {ridge!r}")
    xp, z = as_matrix(z)
    n, d = z.shape
    if n <= d and ridge == 0:
        return 0 * z.sum() - xp.inf
    identity = xp.eye(d, dtype=z.dtype) if xp.__name__ == "numpy" else xp.eye(d, dtype=z.dtype, device=z.device)
    return 0.5 * (log_determinant(covariance(z) + ridge * identity) + d * (LOG_2PI + 1))
