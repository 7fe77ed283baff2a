"""The log-determinant as an entropy: a differentiable function of the embeddings, and the LogDet estimator."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import (
    Samples,
    SamplesLike,
    as_matrix,
    as_paired_samples,
    as_samples,
    namespace,
    on_host,
    refuse_constant_columns,
)
from itssl.choices import ParameterError, require_positive
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.adequacy import covariance_warnings, moment_warnings
from itssl.estimators.diagnosis import pair_warnings, small_sample_warnings
from itssl.estimators.error_bars import jackknife_standard_error
from itssl.estimators.standardization import canonical_order, in_units_of_its_own
from itssl.kernels.covariance import CHUNK, Moments, moments
from itssl.kernels.linalg import LOG_2PI, covariance, log_determinant
from itssl.kernels.neighbors import power_of_two

Rows: TypeAlias = Int[np.ndarray, " m"] | slice


def logdet_entropy(z: Float[Any, "n d"], *, ridge: float = 0.0) -> Float[Any, ""]:
    r"""½ log((2πe)^d |Ĉ + ridge·I|) in nats, for numpy arrays or torch tensors; keeps gradients.

    Ĉ is the unbiased covariance of z, shape (n, d). Without ridge this is the entropy of the Gaussian with the sample's
    covariance: at the population covariance an upper bound of h(Z); on n draws it lies below that by half the
    log-determinant's bias (see ``gaussian_plugin.log_determinant_bias``), and is −inf, with zero gradient, for n ≤ d or
    dependent columns. With ``ridge`` = 1/β it is the LogDet entropy [1], the Gaussian bound for Z + N(0, I/β); values
    at different ridges are not comparable.

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
    if not ridge and (found := _moments_of_large(z)) is not None:
        return _entropy_of(found, z.dtype)
    xp, z = as_matrix(z)
    n, d = z.shape
    if n <= d and ridge == 0:
        return 0 * z.sum() - xp.inf
    if xp is np and not ridge:
        return _entropy_of(moments(z), z.dtype)
    constant = d * (LOG_2PI + 1)
    if ridge:
        with np.errstate(over="ignore", invalid="ignore"):
            gram = _smaller_gram(z)
        if n <= d or bool(xp.isfinite(gram).all()):
            log_det = _log_determinant_above(gram, z, scale=1.0, floor=ridge)
            return 0.5 * (log_det + max(0, d - n) * float(np.log(ridge)) + constant)
    unit = power_of_two(z if xp is np else on_host(z))  # squares stay floats
    log_det = log_determinant(covariance(z / unit) + ridge / unit / unit * _identity(xp, z))
    return 0.5 * (log_det + constant) + d * float(np.log(unit))


def _moments_of_large(z: Any) -> Moments | None:
    """Moments of a large array of n > d rows: numbers that are not finite show in them, and need not be looked for."""
    if type(z) is not np.ndarray or z.dtype not in (np.float32, np.float64) or z.ndim != 2 or z.size <= CHUNK:
        return None
    found = moments(z) if len(z) > z.shape[1] else None
    return found if found is not None and np.isfinite(found.scatter.diagonal()).all() else None


def _entropy_of(found: Moments, dtype: np.dtype) -> np.floating:
    log_det = log_determinant(found.scatter / (found.n - 1), eps=float(np.finfo(dtype).eps))
    entropy = 0.5 * (log_det + len(found.mean) * (LOG_2PI + 1)) + np.log(found.unit).sum()
    return dtype.type(entropy)


@dataclass(frozen=True)
class LogDet:
    r"""LogDet entropy [1]: the Gaussian of the sample's covariance, seen through noise of variance s²/β per direction.

    s² = tr Ĉ / d is the mean variance of the columns, so β is a signal-to-noise ratio without units and the identities
    h(aX) = h(X) + d log|a| and rotation invariance hold. With A = Ĉ/s² the published quantity ½ log|I + βA| is in the
    diagnostics ("logdet_nats"); it bounds I(X; X + noise), is no entropy, and values at different
    β are not comparable. Noise makes the answers finite for n ≤ d and for deterministic relations; they then say more
    about β than about the law. Raises ParameterError unless β > 0.

    References
    ----------
    [1] Zhouyin & Liu (2021). Understanding neural networks with logarithm determinant entropy estimator.
        arXiv:2105.03705.

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> LogDet(beta=100.0).entropy(x)
    2.848 ± 0.032 nats (LogDet(beta=100.0), n=1000)
    """

    beta: float

    REFERENCE = Reference(
        authors="Zhouyin & Liu", year=2021, where="arXiv:2105.03705",
        title="Understanding neural networks with logarithm determinant entropy estimator",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", require_positive("beta", self.beta))

    def entropy(self, x: SamplesLike, /) -> Estimate:
        r"""½ log((2πe)^d |Ĉ + s²/β I|) in nats: for n ≫ d an upper bound of h(X + noise), which is above h(X).

        x has shape (n, d). On few draws the log-determinant is too small by about half its Wishart bias, hence no
        stated direction. Standard error by the jackknife. Raises SampleError for constant columns and inadmissible
        samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n, d = x.shape

        def of_rows(rows: Rows) -> float:
            units, log_std = in_units_of_its_own(x[rows])
            return float(logdet_entropy(units, ridge=1 / self.beta)) + d * log_std

        def of_covariance(cov: Float[np.ndarray, "d d"]) -> float:
            var = float(np.trace(cov)) / d
            log_det = log_determinant(cov / var + np.eye(d) / self.beta)
            return 0.5 * (float(log_det) + d * (LOG_2PI + 1 + float(np.log(var))))

        found, error, freedom = _value_and_error(x, of_rows, of_covariance, canonical_order(x))
        return Estimate(
            value=found, standard_error=error, degrees_of_freedom=freedom, n=n, bias=Bias.UNKNOWN,
            method=repr(self), reference=self.REFERENCE,
            warnings=moment_warnings(x) + small_sample_warnings(error, found, n),
            diagnostics={"logdet_nats": float(logdet_capacity(in_units_of_its_own(x)[0], beta=self.beta))},
        )  # fmt: skip

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        r"""½ log|I + βA_x| + ½ log|I + βA_y| − ½ log|I + βA| in nats, each block in units of its own s.

        x and y have shapes (n, d_x) and (n, d_y).
        The information of the *noisy* Gaussian with these covariances, I(X + N_x; Y + N_y): below that of the Gaussian
        without noise, and of no direction for other laws. Never infinite, hence the warning ``deterministic`` where
        the truth is. Standard error by the jackknife. Raises SampleError as :meth:`entropy`.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")

        d = x.shape[1]

        def of_rows(rows: Rows) -> float:
            a, b = in_units_of_its_own(x[rows])[0], in_units_of_its_own(y[rows])[0]
            of_x, of_y, of_both = (float(logdet_capacity(z, beta=self.beta)) for z in (a, b, np.hstack([a, b])))
            return of_x + of_y - of_both

        def of_covariance(cov: Float[np.ndarray, "e e"]) -> float:
            std = np.sqrt(np.diagonal(cov))
            std[:d], std[d:] = (np.sqrt((std[part] ** 2).mean()) for part in (slice(d), slice(d, None)))
            noisy = np.eye(len(std)) + self.beta * cov / std[:, None] / std
            of_x, of_y, of_both = (float(log_determinant(z)) for z in (noisy[:d, :d], noisy[d:, d:], noisy))
            return 0.5 * (of_x + of_y - of_both)

        found, error, freedom = _value_and_error(np.hstack([x, y]), of_rows, of_covariance, canonical_order(x, y))
        return Estimate(
            value=found, standard_error=error, degrees_of_freedom=freedom, n=len(x), bias=Bias.UNKNOWN,
            method=f"{self!r} of the noisy Gaussian", reference=self.REFERENCE,
            warnings=_pair_warnings(x, y) + small_sample_warnings(error, found, len(x)),
        )  # fmt: skip


def _value_and_error(
    x: Samples, of_rows: Callable[[Rows], float], of_covariance: Callable[[Float[np.ndarray, "d d"]], float],
    order: Int[np.ndarray, " n"],
) -> tuple[float, float, float]:  # fmt: skip
    """A function of the covariance of x, its jackknife standard error, and that one's degrees of freedom.

    The covariance without a group of rows is that of all less that of the group, where no digits are lost thereby.
    """
    n, d = x.shape
    whole = moments(x) if n > d else None
    if whole is None or (whole.unit != 1).any():  # squares would be no floats, or there is less to do in n × n
        return of_rows(slice(None)), *jackknife_standard_error(of_rows, order)

    def without_others(rows: Int[np.ndarray, " m"]) -> float:
        others = np.ones(n, dtype=bool)
        others[rows] = False
        group, m = moments(x[others]), len(rows)
        distance = np.sqrt(n / m * group.n) * (group.mean - whole.mean)
        within = group.unit[:, None] * group.scatter * group.unit  # a constant column in the group changes its units
        scatter = whole.scatter - within - distance[:, None] * distance
        if not (scatter.diagonal() > whole.scatter.diagonal() / 16).all():
            return of_rows(rows)
        return of_covariance(scatter / (m - 1))

    return of_covariance(whole.covariance), *jackknife_standard_error(without_others, order)


def _pair_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """What the covariance of both blocks should carry, too few rows for their dimensions said once."""
    found = pair_warnings(x, y)
    if any(w.code == "small_sample_for_dimension" for w in found):
        return found
    return found + covariance_warnings(len(x), x.shape[1] + y.shape[1], name="x and y")


def logdet_capacity(z: Float[Any, "n d"], *, beta: float) -> Float[Any, ""]:
    """½ log|I + βĈ| in nats for z (n, d), the LogDet quantity as published [1], numpy or torch with gradients.

    Equals ``logdet_entropy(z, ridge=1/beta)`` − (d/2) log(2πe/β): the largest information that Z + N(0, I/β) can carry
    about a Z of this covariance. Raises SampleError for inadmissible z, ParameterError unless β > 0.

    References
    ----------
    [1] Zhouyin & Liu (2021). Understanding neural networks with logarithm determinant entropy estimator.
        arXiv:2105.03705.

    >>> print(f"{logdet_capacity(np.array([[-1.0], [0.0], [1.0]]), beta=3.0):.4f}")
    0.6931
    """
    require_positive("beta", beta)
    z = as_matrix(z)[1]
    return 0.5 * _log_determinant_above(_smaller_gram(z), z, scale=beta, floor=1.0)


def _log_determinant_above(
    gram: Float[Any, "m m"], z: Float[Any, "n d"], *, scale: float, floor: float
) -> Float[Any, ""]:
    """log |scale·gram + floor·I| of the smaller Gram matrix of z, whose eigenvalues are at least ``floor``.

    Where the digits of z make it look singular, it is made again in double precision, and then of the eigenvalues, for
    which rounding is a share of the largest; those below zero are zero.
    """
    xp = namespace(gram)
    found = log_determinant(scale * gram + floor * _identity(xp, z))
    if bool(found > -np.inf):
        return found
    if gram.dtype != xp.float64:
        double = z.astype(np.float64) if xp is np else z.double()
        found = _log_determinant_above(_smaller_gram(double), double, scale=scale, floor=floor)
        return found.astype(gram.dtype) if xp is np else found.to(gram.dtype)
    if not bool(xp.isfinite(gram).all()):
        return found
    return xp.log(scale * xp.linalg.eigvalsh(gram).clip(0) + floor).sum()


def _smaller_gram(z: Float[Any, "n d"]) -> Float[Any, "m m"]:
    """Ĉ = ZᵀZ/(n−1) of centered Z or, where it is smaller, ZZᵀ/(n−1), whose eigenvalues are the same but for zeros."""
    n, d = z.shape
    if d <= n:
        return covariance(z)
    centered = z - z.mean(0)
    return centered @ centered.T / (n - 1)


def _identity(xp: ModuleType, z: Float[Any, "n d"]) -> Float[Any, "m m"]:
    return xp.eye(min(z.shape), dtype=z.dtype, **({} if xp is np else {"device": z.device}))
