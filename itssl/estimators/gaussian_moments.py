"""The Gaussian entropy from a mean and a covariance alone: of shards summed elsewhere, or of rows too many for a QR."""

import numpy as np

from itssl.arrays import SampleError, Samples
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.adequacy import covariance_warnings
from itssl.estimators.diagnosis import FLOAT32_BITS
from itssl.estimators.gaussian_intervals import EntropyInterval
from itssl.estimators.wishart import log_determinant_bias, log_determinant_variance
from itssl.kernels.covariance import CovarianceAccumulator, Moments, moments
from itssl.kernels.linalg import LOG_2PI, CertifiedLogDeterminant, correlation_log_determinant

REFERENCE = Reference(
    authors="Misra, Singh & Demchuk", title="Estimation of the entropy of a multivariate normal distribution",
    year=2005, where="J. Multivariate Analysis 92(2), 324-342",
)  # fmt: skip
LARGE = 2**17
"""Numbers above which products of columns are faster than a QR factorization by more than it takes to look."""
_MOST_ERROR = 1e-5  # nats: the bound of the rounding; what rounding does is a thousandth of it, or less


def gaussian_entropy(found: CovarianceAccumulator | Moments) -> Estimate:
    r"""½ (log|Ĉ| − bias) + (d/2) log 2πe in nats: ``GaussianPlugin().entropy`` of rows of which moments are left.

    The value, its exact bias correction, standard error and interval are those of
    :class:`itssl.estimators.GaussianPlugin`; an upper bound for n ≫ d whatever the law. What only rows show (ties,
    atoms, heavy tails, support that is singular to the rounding of float32) cannot be warned of.

    From a covariance, columns that depend on each other by all but 1e-8 cannot be told apart: the diagnostics have a
    bound of the rounding in nats, ``rounding_nats``, and the warning ``rounding`` says where it exceeds the
    standard error. Columns dependent to rounding give −inf with the warning ``singular_support``. Raises SampleError
    for n ≤ d and for constant columns.

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> total = CovarianceAccumulator.around(x[:50]).updated(x[:400]).updated(x[400:])
    >>> gaussian_entropy(total)
    2.840 ± 0.032 nats (gaussian_entropy, n=1000)
    """
    if isinstance(found, CovarianceAccumulator):
        found = found.moments
    n, d = found.n, len(found.mean)
    if n <= d:
        raise SampleError(f"found: expected moments of more rows than columns, got n={n} and d={d}; add rows")
    if not (found.scatter.diagonal() > 0).all():
        constant = int(np.argmin(found.scatter.diagonal() > 0))
        raise SampleError(f"found: expected columns that vary, got constant column {constant}; leave it out")
    certain = correlation_log_determinant(found)
    warnings = covariance_warnings(n, d, name="the sample")
    if certain.value == -np.inf:
        warnings += (
            EstimateWarning(
                code="singular_support", message="the columns are linearly dependent to rounding",
                cure="leave out what the others determine, or keep the rows and use GaussianPlugin()",
            ),
        )  # fmt: skip
    elif not certain.error <= log_determinant_variance(n, d) ** 0.5:
        warnings += (
            EstimateWarning(
                code="rounding",
                message="the columns nearly depend on each other, and rounding may move the value by "
                f"{certain.error / 2:.2g} nats",
                cure="keep the rows and use GaussianPlugin(), or leave out what other columns nearly determine",
            ),
        )
    return entropy_estimate(found, certain, warnings, method="gaussian_entropy")


def certified_moments(x: Samples) -> tuple[Moments, CertifiedLogDeterminant] | None:
    """Moments of a large x whose correlations, so it is certain, are of full rank and have a log-determinant to 1e-5.

    Full rank as :func:`itssl.estimators.diagnosis.linear_support` finds it, were x of float32 numbers too: there the
    thinnest direction must exceed 16 · 2⁻²⁴ max|x|/std, and no row is farther than √(n−1) std from the mean.

    >>> certified_moments(np.ones((1000, 2))) is None
    True
    """
    n, d = x.shape
    if x.size <= LARGE or n <= d:
        return None
    found = moments(x)
    if not (found.scatter.diagonal() > 0).all():
        return None
    certain = correlation_log_determinant(found)
    largest = float((np.abs(found.mean) / found.std).max()) + np.sqrt(n - 1)
    thinnest = 2 * 16 * 2.0**-FLOAT32_BITS * largest
    return (found, certain) if certain.error <= _MOST_ERROR and certain.smallest > thinnest**2 else None


def entropy_estimate(
    found: Moments, certain: CertifiedLogDeterminant, warnings: tuple[EstimateWarning, ...], *, method: str
) -> Estimate:
    """The estimate with its bias taken off, exact standard error and interval; all but the value nan where −inf."""
    n, d = found.n, len(found.mean)
    bias, singular = log_determinant_bias(n, d), certain.value == -np.inf
    value = 0.5 * (certain.value - bias) + d / 2 * (LOG_2PI + 1) + float(np.log(found.std).sum())
    return Estimate(
        value=value, standard_error=float("nan") if singular else 0.5 * log_determinant_variance(n, d) ** 0.5,
        n=n, bias=Bias.UPPER, method=method, reference=REFERENCE, warnings=warnings,
        interval_rule=None if singular else EntropyInterval(value, n, d),
        diagnostics={"bias_correction_nats": -0.5 * bias, "rounding_nats": certain.error / 2},
    )  # fmt: skip
