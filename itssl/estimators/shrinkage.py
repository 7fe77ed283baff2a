"""Shrunk covariances for few draws in many dimensions, and what shrinking does to a statistic, by simulation."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.choices import require_known
from itssl.estimate import EstimateWarning
from itssl.kernels.linalg import column_std

Shrinkage = Literal["none", "ledoit_wolf", "oas"]
SHRINKAGES: tuple[str, ...] = ("none", "ledoit_wolf", "oas")


class Fit(NamedTuple):
    """Mean, shrunk covariance and the intensity of shrinkage of one sample."""

    mean: Float[np.ndarray, " d"]
    cov: Float[np.ndarray, "d d"]
    intensity: float


class Shrunk(NamedTuple):
    """A statistic of shrunk fits; its bias and spread were the fits the truth; the intensity of each fit."""

    value: float
    bias: float
    standard_error: float
    intensities: tuple[float, ...]


def shrunk_fit(x: Samples, method: Shrinkage) -> Fit:
    r"""Mean and covariance D((1−a)R̂ + aI)D of x, with D the standard deviations and R̂ the correlations.

    The intensity a is that of Ledoit & Wolf [1] or the oracle approximation [2] (from scikit-learn, which leaves out
    the terms 2/d of [2]: a is then larger, by much for d = 2) for the standardized columns, so units do not matter:
    correlations are shrunk, variances are not. a = 0 for "none".

    References
    ----------
    [1] Ledoit & Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. JMVA 88(2).
    [2] Chen, Wiesel, Eldar & Hero (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE TSP 58(10).

    >>> x = np.random.default_rng(0).normal(size=(10, 20))
    >>> fit = shrunk_fit(x, "oas")
    >>> bool(np.linalg.eigvalsh(fit.cov)[0] > 0), np.allclose(np.diagonal(fit.cov), x.var(axis=0, ddof=1))
    (True, True)
    """
    require_known("shrinkage", method, SHRINKAGES)
    n, d = x.shape
    mean, std = x.mean(axis=0), column_std(x)
    z = (x - mean) / std
    correlations, intensity = z.T @ z / (n - 1), 0.0
    if method != "none" and d > 1:
        import sklearn.covariance

        intensity = float(getattr(sklearn.covariance, method)(z, assume_centered=True)[1])
        correlations = (1 - intensity) * correlations + intensity * np.eye(d)
    return Fit(mean, std[:, None] * correlations * std, intensity)


def shrunk_statistic(
    samples: Sequence[Samples], statistic: Callable[[Sequence[Fit]], float], method: Shrinkage
) -> Shrunk:
    """The statistic of the shrunk fits of independent samples, with bias and spread by parametric simulation.

    Gaussian draws of the same sizes from the fits, from a fixed stream, are fitted again: the mean of the statistic
    less its value is the bias there, its deviation the standard error. 16 to 64 simulations.

    >>> x = np.random.default_rng(0).normal(size=(10, 20))
    >>> found = shrunk_statistic([x], lambda fits: float(np.linalg.slogdet(fits[0].cov)[1]), "oas")
    >>> found.value == float(np.linalg.slogdet(shrunk_fit(x, "oas").cov)[1]), found.standard_error > 0
    (True, True)
    """
    fits = [shrunk_fit(x, method) for x in samples]
    factors = [np.linalg.cholesky(fit.cov) for fit in fits]
    value = statistic(fits)
    rng = stream(0, "shrinkage", *(size for x in samples for size in x.shape))
    count = int(np.clip(2e7 / sum(x.size for x in samples), 16, 64))
    again = []
    for _ in range(count):
        draws = [
            fit.mean + rng.standard_normal(x.shape) @ factor.T
            for x, fit, factor in zip(samples, fits, factors, strict=True)
        ]
        again.append(statistic([shrunk_fit(draw, method) for draw in draws]))
    return Shrunk(value, float(np.mean(again)) - value, float(np.std(again, ddof=1)), tuple(f.intensity for f in fits))


def dimension_warnings(n: int, d: int, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``small_sample_for_dimension``: without shrinkage n draws in d ≥ n dimensions have a singular covariance.

    >>> dimension_warnings(10, 20)[0].code
    'small_sample_for_dimension'
    """
    if n > d:
        return ()
    return (
        EstimateWarning(
            code="small_sample_for_dimension",
            message=f"{n} rows of {name} in {d} dimensions do not determine a covariance: the answer rests on the pull "
            "of correlations towards zero, and its bias may exceed its standard error",
            cure="draw more, reduce the dimension, and compare estimated_bias_nats with the value",
        ),
    )


def shrinkage_warnings(found: Shrunk) -> tuple[EstimateWarning, ...]:
    """Code ``shrinkage_bias``: were the fit the truth, the value would be off by more than two standard errors.

    >>> shrinkage_warnings(Shrunk(1.0, 0.5, 0.1, (0.2,)))[0].code, shrinkage_warnings(Shrunk(1.0, 0.1, 0.1, (0.2,)))
    ('shrinkage_bias', ())
    """
    if not abs(found.bias) > 2 * found.standard_error:
        return ()
    return (
        EstimateWarning(
            code="shrinkage_bias",
            message=f"samples of this size from the fitted law read {found.bias:+.3g} nats off their truth, "
            f"{abs(found.bias) / max(found.standard_error, 1e-300):.1f} standard errors; the value is not corrected",
            cure="draw more, reduce the dimension, or leave out the shrinkage where n allows",
        ),
    )
