"""The covariance of Gaussian noise as a user states it: one variance, one for each coordinate, or a matrix."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, is_torch
from itssl.choices import ParameterError, require_positive

NoiseLike: TypeAlias = Any
"""What a user may hand over: a number, or an array or list of d numbers or d×d."""
NoiseCovariance: TypeAlias = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
"""A variance, variances of the coordinates, or the rows of a covariance matrix; immutable and hashable."""


def as_noise_covariance(var: NoiseLike) -> NoiseCovariance:
    """var as plain numbers: a float, a tuple of d floats, or d tuples of d floats.

    Raises ParameterError unless var is a number > 0, a vector of them, or a symmetric positive definite matrix.

    >>> as_noise_covariance(np.array([1, 2.5]))
    (1.0, 2.5)
    >>> as_noise_covariance([[1.0, 2.0], [2.0, 1.0]])
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: var: expected a positive definite matrix, got smallest eigenvalue -1
    """
    if is_torch(var):
        var = var.detach().cpu().numpy()
    if isinstance(var, Real) or not (isinstance(var, Sequence) or hasattr(var, "__array__")) or isinstance(var, str):
        return require_positive("var", var)
    try:
        array = np.asarray(var, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(f"var: expected a number, d numbers or a d x d matrix, got {var!r}") from None
    if array.ndim == 0:
        return require_positive("var", float(array))
    if array.ndim == 1 and array.size:
        if not (np.isfinite(array) & (array > 0)).all():
            raise ParameterError(f"var: expected finite numbers > 0, got {array}")
        return tuple(array.tolist())
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ParameterError(f"var: expected a number, d numbers or a d x d matrix, got shape {array.shape}")
    rounding = 8 * len(array) * np.finfo(float).eps * np.abs(array).max()
    if not np.isfinite(array).all() or np.abs(array - array.T).max() > rounding:
        raise ParameterError("var: expected a finite symmetric matrix, got another; use (S + S.T) / 2")
    try:
        np.linalg.cholesky(array)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(array)[0])
        raise ParameterError(
            f"var: expected a positive definite matrix, got smallest eigenvalue {smallest:.3g}"
        ) from None
    return tuple(map(tuple, array.tolist()))


def noise_dimension(var: NoiseCovariance) -> int | None:
    """The dimension that var fits, None when it fits any.

    >>> noise_dimension(2.0), noise_dimension((1.0, 2.0))
    (None, 2)
    """
    return len(var) if isinstance(var, tuple) else None


def require_noise_fits(var: NoiseCovariance, d: int, name: str = "x") -> None:
    """Raise SampleError when var describes noise of another dimension than d.

    >>> require_noise_fits((1.0, 2.0), 3)
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: x: expected 2 columns to fit var, got 3; pass var with 3 entries, or one number
    """
    expected = noise_dimension(var)
    if expected is not None and expected != d:
        raise SampleError(
            f"{name}: expected {expected} columns to fit var, got {d}; pass var with {d} entries, or one number"
        )


def noise_block(var: NoiseCovariance, block: slice) -> NoiseCovariance:
    """The covariance of the coordinates in ``block``; a single variance stays as it is.

    >>> noise_block(((2.0, 1.0), (1.0, 3.0)), slice(1, 2))
    ((3.0,),)
    """
    if not isinstance(var, tuple):
        return var
    return as_noise_covariance(np.asarray(var)[(block,) * np.ndim(var)])


def noise_whitener(var: NoiseCovariance, d: int) -> tuple[Float[np.ndarray, "..."], float]:
    r"""W and log|Σ| for noise of covariance Σ: a number or vector that divides, or a matrix with z Wᵀ, WΣWᵀ = I.

    >>> bool(noise_whitener(4.0, 3)[1] == 3 * np.log(4))
    True
    """
    array = np.asarray(var, dtype=float)
    if array.ndim < 2:
        return np.asarray(np.sqrt(array)), float(np.sum(np.log(np.broadcast_to(array, d))))
    factor = np.linalg.cholesky(array)
    return np.linalg.inv(factor), 2 * float(np.log(np.diagonal(factor)).sum())


def whitened(z: Any, whitener: Any) -> Any:
    """z in units of the noise, numpy or torch alike.

    >>> whitened(np.array([[2.0, 4.0]]), np.array([2.0, 1.0]))
    array([[1., 4.]])
    """
    return z / whitener if whitener.ndim < 2 else z @ whitener.T
