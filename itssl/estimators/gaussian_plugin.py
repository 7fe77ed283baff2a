"""The Gaussian plug-in: entropy and mutual information from log-determinants, without their bias."""

from dataclasses import dataclass

import numpy as np

from itssl.arrays import SampleError, SamplesLike, as_paired_samples, as_samples, refuse_constant_columns
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.diagnosis import deterministic_warning, pair_warnings, sample_warnings
from itssl.kernels.linalg import LOG_2PI, column_std, covariance, log_determinant, singular_threshold, whitening

REFERENCE = Reference(
    authors="Misra, Singh & Demchuk", title="Estimation of the entropy of a multivariate normal distribution",
    year=2005, where="J. Multivariate Analysis 92(2), 324-342",
)  # fmt: skip


def log_determinant_bias(n: int, d: int) -> float:
    r"""E log|Ĉ| − log|C| for the unbiased covariance Ĉ of n Gaussian draws in d dimensions.

    (n−1)Ĉ is Wishart with n−1 degrees of freedom, so the bias is Σ_{i=1}^d ψ((n−i)/2) + d log(2/(n−1)).

    >>> print(f"{log_determinant_bias(10, 1):.4f}")
    -0.1152
    """
    from scipy.special import digamma

    i = np.arange(1, d + 1)
    return float(digamma((n - i) / 2).sum() + d * np.log(2 / (n - 1)))


def log_determinant_variance(n: int, d: int) -> float:
    """Var log|Ĉ| for n Gaussian draws in d dimensions: Σ_{i=1}^d ψ'((n−i)/2).

    >>> print(f"{log_determinant_variance(1001, 1):.6f}")
    0.002002
    """
    from scipy.special import polygamma

    return float(polygamma(1, (n - np.arange(1, d + 1)) / 2).sum())


@dataclass(frozen=True)
class GaussianPlugin:
    """Entropy and mutual information of the Gaussian with the sample's covariance.

    Both are exactly unbiased on Gaussian draws: the log-determinants are corrected by their Wishart bias [1]. Of all
    laws with this covariance the Gaussian has the largest entropy, so for other laws the entropy is an upper
    bound once n ≫ d (with heavy tails and few draws the correction falls short: −0.03 nats for Student's t with 4
    degrees of freedom at n = 5); the mutual information then has no direction. Standard errors are those of
    Gaussian draws.

    References
    ----------
    [1] Misra, Singh & Demchuk (2005). Estimation of the entropy of a multivariate normal distribution.
        J. Multivariate Analysis 92(2).

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> GaussianPlugin().entropy(x)
    2.840 ± 0.032 nats (GaussianPlugin(), n=1000)
    """

    def entropy(self, x: SamplesLike, /) -> Estimate:
        r"""½ (log|Ĉ| − bias) + (d/2) log 2πe in nats, for x of shape (n, d) with n > d.

        The standard error ½√(Σ ψ'((n−i)/2)) is exact for Gaussian draws. Linearly dependent columns give −inf with
        the warning ``singular_support``. Raises SampleError for n ≤ d, constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n, d = x.shape
        if n <= d:
            raise SampleError(f"x: expected more rows than columns, got shape {x.shape}; draw more or reduce d")
        warnings = sample_warnings(x)
        singular = any(w.code == "singular_support" for w in warnings)
        std = column_std(x)
        log_det = -np.inf if singular else float(log_determinant(covariance(x / std))) + 2 * np.log(std).sum()
        return Estimate(
            value=0.5 * (log_det - log_determinant_bias(n, d) + d * (LOG_2PI + 1)),
            standard_error=float("nan") if singular else 0.5 * log_determinant_variance(n, d) ** 0.5,
            n=n, bias=Bias.UPPER, method=repr(self), reference=REFERENCE, warnings=warnings,
            diagnostics={"bias_correction_nats": -0.5 * log_determinant_bias(n, d)},
        )  # fmt: skip

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        r"""−½ Σ log(1−ρ̂_i²) without its bias, in nats; ρ̂ are the sample canonical correlations.

        The bias ½[b(d_x)+b(d_y)−b(d_x+d_y)], with b that of a log-determinant, is exact for Gaussian draws. The
        variance is that of independent blocks (Wilks' Λ is a product of beta variables [1]) plus Σρ_i²/(n−1), the
        leading term under dependence. It overshoots on independent data (1.4 times the spread at n = 100, d = 1) and
        falls short under strong dependence with many dimensions (0.81 at n = 40, d = 10, ρ = 0.95).
        Each block may be rank-deficient (then its support is used, with a warning); if one is a linear function of
        the other the value is inf with the warning ``deterministic``.
        Raises SampleError for n ≤ d_x + d_y, constant columns and inadmissible samples.

        References
        ----------
        [1] Anderson (2003). An Introduction to Multivariate Statistical Analysis, ch. 9.

        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(200, 64)), rng.normal(size=(200, 64))
        >>> GaussianPlugin().mutual_information(x, y)
        -0.35 ± 0.36 nats (GaussianPlugin(), n=200)
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        (basis_x, d_x), (basis_y, d_y) = whitening(x), whitening(y)
        n = len(x)
        if n <= d_x + d_y:
            raise SampleError(
                f"x and y: expected more rows than the {d_x} + {d_y} dimensions together, got {n} rows; "
                "draw more or reduce the dimension"
            )
        # The residual of y on x gives the sines of the canonical angles, which keep their digits where cosines are 1.
        residual = basis_y - basis_x @ (basis_x.T @ basis_y) / (n - 1)
        sines = np.minimum(np.linalg.svd(residual, compute_uv=False) / np.sqrt(n - 1), 1.0)
        shared = int((sines <= singular_threshold(n, d_x + d_y)).sum())
        bias = 0.5 * (log_determinant_bias(n, d_x) + log_determinant_bias(n, d_y) - log_determinant_bias(n, d_x + d_y))
        warnings = pair_warnings(x, y)
        if shared and not any(w.code == "deterministic" for w in warnings):
            warnings = (*warnings, deterministic_warning(shared))
        return Estimate(
            value=np.inf if shared else -float(np.log(sines).sum()) - bias,
            standard_error=float("nan") if shared else _information_variance(n, d_x, d_y, 1 - sines**2) ** 0.5,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=REFERENCE, warnings=warnings,
            diagnostics={"bias_correction_nats": -bias, "rank_x": d_x, "rank_y": d_y},
        )  # fmt: skip


def _information_variance(n: int, d_x: int, d_y: int, rho2: np.ndarray) -> float:
    """Var of the corrected information: exact when independent, plus the leading term Σρ²/(n−1) of dependence."""
    independent = 0.25 * (log_determinant_variance(n - d_x, d_y) - log_determinant_variance(n, d_y))
    chance = d_x * d_y / (n - 1)  # E Σρ̂² of independent blocks
    return independent + max(0.0, float(rho2.sum()) - chance) / (n - 1)
