"""The Gaussian plug-in: every quantity from log-determinants, without their bias and with honest intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    as_comparable_samples,
    as_paired_samples,
    as_samples,
    refuse_constant_columns,
)
from itssl.choices import require_known
from itssl.estimate import Bias, Estimate, EstimateWarning
from itssl.estimators.adequacy import covariance_warnings, moment_warnings, tail_warnings
from itssl.estimators.diagnosis import (
    atom_warnings,
    deterministic_warning,
    pair_warnings,
    sample_warnings,
    support_warnings,
    tie_warnings,
)
from itssl.estimators.gaussian_divergence import (
    fits_divergence,
    fitted_divergence,
    on_common_support,
    plugin_divergence,
    whitened_ratios,
)
from itssl.estimators.gaussian_intervals import EntropyInterval, fitted_information
from itssl.estimators.gaussian_moments import REFERENCE, certified_moments, entropy_estimate
from itssl.estimators.gaussianity import gaussianity_warnings
from itssl.estimators.shrinkage import (
    SHRINKAGES,
    Fit,
    Shrinkage,
    dimension_warnings,
    shrinkage_warnings,
    shrunk_statistic,
)
from itssl.estimators.total_correlation import fitted_total_correlation
from itssl.estimators.wishart import log_determinant_bias, log_determinant_variance
from itssl.kernels.linalg import LOG_2PI, column_std, covariance, log_determinant, singular_threshold, whitening

CURE = 'draw more, reduce the dimension, or use GaussianPlugin(shrinkage="oas")'


@dataclass(frozen=True)
class GaussianPlugin:
    r"""Entropy, information and divergence of the Gaussian with the sample's mean and covariance.

    All are exactly unbiased on Gaussian draws: the log-determinants are corrected by their Wishart bias [1], the
    divergence also by the expectation of an inverse Wishart matrix. Of all laws with this covariance the Gaussian has
    the largest entropy, so for other laws the entropy is an upper bound once n ≫ d (with heavy tails and few draws
    the correction falls short: −0.03 nats for Student's t with 4 degrees of freedom at n = 5); the other quantities
    then have no direction. Standard errors and intervals are those of Gaussian draws; heavy tails make them too small.

    ``.interval()`` uses no Student's t: for entropy it has exact quantiles, else it inverts a test (see
    :mod:`itssl.estimators.gaussian_intervals`). Neither values nor intervals are clamped at zero.

    ``shrinkage="ledoit_wolf"`` or ``"oas"`` pulls the *correlations* towards zero, (1−a)R̂ + aI, with the intensity a
    of scikit-learn on standardized columns (so units do not matter). Then n ≤ d is allowed, with the warning
    ``small_sample_for_dimension``; the bias has no closed form and is **not** taken off: what it would be if the shrunk
    Gaussian were the truth is simulated and reported as ``estimated_bias_nats``, with the warning ``shrinkage_bias``
    above two standard errors; the standard error is simulated too.

    All answers but the entropy, which is an upper bound for any law, carry the warning ``not_gaussian`` where Mardia's
    tests reject that the rows are Gaussian.

    Raises UnknownNameError for another shrinkage.

    References
    ----------
    [1] Misra, Singh & Demchuk (2005). Estimation of the entropy of a multivariate normal distribution.
        J. Multivariate Analysis 92(2).

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> GaussianPlugin().entropy(x)
    2.840 ± 0.032 nats (GaussianPlugin(), n=1000)
    """

    shrinkage: Shrinkage = "none"

    def __post_init__(self) -> None:
        require_known("shrinkage", self.shrinkage, SHRINKAGES)

    def __repr__(self) -> str:
        return "GaussianPlugin()" if self.shrinkage == "none" else f"GaussianPlugin(shrinkage={self.shrinkage!r})"

    def entropy(self, x: SamplesLike, /) -> Estimate:
        r"""½ (log|Ĉ| − bias) + (d/2) log 2πe in nats, for x of shape (n, d) with n > d.

        Standard error ½√(Σ ψ'((n−i)/2)) and interval are exact for Gaussian draws. Linearly dependent columns give
        −inf with the warning ``singular_support``. Raises SampleError for n ≤ d, constant columns and
        inadmissible samples. Of 2^17 numbers and more, log|Ĉ| comes from products of the columns where that is certain
        to 1e-5 nats (rounding does a thousandth of that), and from a QR factorization of the rows elsewhere.
        """
        x = as_samples(x)
        found = certified_moments(x) if self.shrinkage == "none" else None
        if found is not None:
            warnings = tie_warnings(x) + atom_warnings(x) + tail_warnings(x) + covariance_warnings(*x.shape)
            return entropy_estimate(*found, warnings, method=repr(self))
        refuse_constant_columns(x)
        n, d = x.shape
        std = column_std(x)
        constant = d / 2 * (LOG_2PI + 1) + float(np.log(std).sum())
        if self.shrinkage != "none":
            warnings = _shrunk_warnings(x)
            return self._shrunk(
                [(x - x.mean(axis=0)) / std], lambda f: constant + 0.5 * _log_det(f[0].cov), n, warnings
            )
        _require_rows(n > d, f"x: expected more rows than columns, got shape {x.shape}")
        warnings = moment_warnings(x)
        singular = any(w.code == "singular_support" for w in warnings)
        log_det, bias = -np.inf if singular else _log_det_of_correlations(x), log_determinant_bias(n, d)
        value = 0.5 * (log_det - bias) + constant
        return Estimate(
            value=value, standard_error=float("nan") if singular else 0.5 * log_determinant_variance(n, d) ** 0.5,
            n=n, bias=Bias.UPPER, method=repr(self), reference=REFERENCE, warnings=warnings,
            interval_rule=None if singular else EntropyInterval(value, n, d),
            diagnostics={"bias_correction_nats": -0.5 * bias},
        )  # fmt: skip

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        r"""−½ Σ log(1−ρ̂_i²) without its bias, in nats; ρ̂ are the sample canonical correlations.

        x and y have shapes (n, d_x) and (n, d_y). The bias ½[b(d_x)+b(d_y)−b(d_x+d_y)], with b that of a
        log-determinant, is exact for Gaussian draws. So is the variance as a function of the true correlations (see
        :func:`itssl.estimators.wishart.dependent_blocks`), which are estimated without their bias, but not below zero;
        hence on independent data with few dimensions the standard error is too large on average (a statistic that is
        never negative cannot be unbiased there), though right in most samples. The interval does not use it, and is
        exact for d_x = 1 or d_y = 1. Each block may be rank-deficient (then its support is used, with a warning); if
        one is a linear function of the other the value is inf with the warning ``deterministic``. Raises SampleError
        for n ≤ d_x + d_y, constant columns and inadmissible samples.

        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(200, 64)), rng.normal(size=(200, 64))
        >>> found = GaussianPlugin().mutual_information(x, y)  # uncorrected: 15.4
        >>> print(f"{found.value:.2f} ± {found.standard_error:.2f}, {found.warnings[0].code}")
        -0.35 ± 0.36, small_sample_for_dimension
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        if self.shrinkage != "none":
            return self._shrunk_information(x, y, None)
        (basis_x, d_x), (basis_y, d_y) = whitening(x), whitening(y)
        warnings = _ties_and_support({"x": (x, d_x), "y": (y, d_y)})
        warnings += gaussianity_warnings(np.hstack([basis_x, basis_y]), name="(x, y)")
        return self._information(basis_x, basis_y, 0, warnings, {"rank_x": d_x, "rank_y": d_y})

    def conditional_mutual_information(self, x: SamplesLike, y: SamplesLike, z: SamplesLike, /) -> Estimate:
        r"""I(X; Y | Z) = −½ Σ log(1−ρ̂_i²) without its bias, in nats; ρ̂ are the partial canonical correlations.

        x, y and z have shapes (n, d_x), (n, d_y), (n, d_z).
        These are the canonical correlations of the residuals of x and y after linear regression on z, and follow
        exactly the law of :meth:`mutual_information` with n − d_z draws. In terms of entropies it is
        h(X,Z) + h(Y,Z) − h(Z) − h(X,Y,Z), each with its exact bias taken off; so the chain rule
        I(X; Y,Z) = I(X; Z) + I(X; Y | Z) holds for the corrected values too, to rounding.
        Directions of x or y that are linear functions of z tell nothing more: they are left out, with the warning
        ``singular_support``. Raises SampleError for n ≤ d_x + d_y + d_z, constant columns and inadmissible samples.

        >>> z = np.random.default_rng(0).normal(size=(300, 3))
        >>> GaussianPlugin().conditional_mutual_information(z[:, 0] + z[:, 1], z[:, 0] + z[:, 2], z[:, 0])
        -0.0017 ± 0.0024 nats (GaussianPlugin(), n=300)
        """
        _, z = as_paired_samples(x, z, names=("x", "z"))
        x, y = as_paired_samples(x, y)
        for name, block in {"x": x, "y": y, "z": z}.items():
            refuse_constant_columns(block, name=name)
        if self.shrinkage != "none":
            return self._shrunk_information(x, y, z)
        (basis_x, d_x), (basis_y, d_y), (basis_z, d_z) = whitening(x), whitening(y), whitening(z)
        warnings = _ties_and_support({"x": (x, d_x), "y": (y, d_y), "z": (z, d_z)})
        warnings += gaussianity_warnings(np.hstack([basis_x, basis_y, basis_z]), name="(x, y, z)")
        _require_rows(
            len(x) > d_x + d_y + d_z,
            f"x, y and z: expected more rows than the {d_x} + {d_y} + {d_z} dimensions together, got {len(x)} rows",
        )
        rest_x, rest_y = (_residual_basis(basis, basis_z) for basis in (basis_x, basis_y))
        for name, rank, rest in (("x", d_x, rest_x), ("y", d_y, rest_y)):
            warnings += _explained_warnings(name, rank - rest.shape[1])
        ranks = {"rank_x": rest_x.shape[1], "rank_y": rest_y.shape[1], "rank_z": d_z}
        return self._information(rest_x, rest_y, d_z, warnings, ranks)

    def total_correlation(self, x: SamplesLike, /) -> Estimate:
        r"""Σ_i h(X_i) − h(X) = −½ log|R̂| without its bias, in nats; R̂ are the correlations of x, shape (n, d), n > d.

        The bias ½[d b(1) − b(d)] is exact for Gaussian draws; the variance is exact as a function of the true
        correlations, Var log|S| − d ψ'(N/2) + 2 Σ_{i<j} Cov(log s_ii, log s_jj), which are estimated. Linearly
        dependent columns give inf with the warning ``singular_support``; one column gives 0.
        Raises SampleError for n ≤ d, constant columns and inadmissible samples.

        >>> z = np.random.default_rng(0).normal(size=(300, 4))
        >>> GaussianPlugin().total_correlation(z[:, :3] + z[:, 3:])  # truth: ½ log 2 = 0.347
        0.440 ± 0.056 nats (GaussianPlugin(), n=300)
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n, d = x.shape
        if self.shrinkage != "none":
            z = (x - x.mean(axis=0)) / column_std(x)
            return self._shrunk([z], _shrunk_total_correlation, n, _shrunk_warnings(x) + gaussianity_warnings(x))
        _require_rows(n > d, f"x: expected more rows than columns, got shape {x.shape}")
        warnings = moment_warnings(x) + gaussianity_warnings(x)
        singular = any(w.code == "singular_support" for w in warnings)
        correlations = covariance(x / column_std(x))
        bias = 0.5 * (d * log_determinant_bias(n, 1) - log_determinant_bias(n, d))
        value = np.inf if singular or d == 1 else -0.5 * _log_det_of_correlations(x) - bias
        if d == 1:
            value, bias = 0.0, 0.0
        law = None if not np.isfinite(value) or d == 1 else fitted_total_correlation(value, bias, correlations, n)
        error = 0.0 if d == 1 else float("nan")
        return Estimate(
            value=value, standard_error=error if law is None else law.standard_error,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=REFERENCE, warnings=warnings,
            interval_rule=None if law is None else law.rule, diagnostics={"bias_correction_nats": -bias},
        )  # fmt: skip

    def kl_divergence(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        r"""D(P‖Q) of the Gaussians fitted to x ~ P, shape (n, d), and y ~ Q, shape (m, d), without its bias, in nats.

        ½ [f tr(Ĉ_q⁻¹Ĉ_p)(1 − 1/n) + f ûᵀĈ_q⁻¹û − d/m − d + log|Ĉ_q| − b(m, d) − log|Ĉ_p| + b(n, d)], with û the
        difference of the means, f = (m−d−2)/(m−1) = 1/E tr(W⁻¹)-factor of the inverse Wishart law and b the bias of a
        log-determinant. Exactly unbiased for Gaussian draws; the variance is exact as a function of the two
        laws and infinite for m ≤ d + 4. Of 95 % intervals 92 to 98 % cover from n = m = 2d on (90 to 92 % for four rows
        of Q in one dimension); at P = Q there is no unknown, see :mod:`itssl.estimators.gaussian_divergence`.
        P and Q of one support (a subspace) are compared there, with the warning ``singular_support``; if P
        leaves the support of Q, or fills less of it, the value is inf.
        Raises SampleError for unequal d, n ≤ d, m ≤ d + 2, constant columns and inadmissible samples.

        >>> rng = np.random.default_rng(0)
        >>> GaussianPlugin().kl_divergence(rng.normal(size=(500, 2)), rng.normal(size=(400, 2)) + 1)  # truth: 1
        1.09 ± 0.12 nats (GaussianPlugin(), n=500)
        """
        x, y = as_comparable_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        (n, d), m = x.shape, len(y)
        mean, std = y.mean(axis=0), column_std(y)
        u, v = (x - mean) / std, (y - mean) / std
        if self.shrinkage != "none":
            warnings = _shrunk_warnings(x) + _shrunk_warnings(y, "y")
            warnings += gaussianity_warnings(x) + gaussianity_warnings(y, name="y")
            return self._shrunk([u, v], fits_divergence, n, warnings, {"rows_y": m})
        _require_rows(n > d, f"x: expected more rows than columns, got shape {x.shape}")
        _require_rows(m > d + 2, f"y: expected more than d + 2 = {d + 2} rows, got shape {y.shape}")
        warnings = moment_warnings(x) + moment_warnings(y, name="y")
        warnings += gaussianity_warnings(x) + gaussianity_warnings(y, name="y")
        found = None if (shared := on_common_support(u, v)) is None else whitened_ratios(*shared)
        law = None if found is None else fitted_divergence(n, m, *found)
        rank = d if found is None else len(found[0])
        error = np.nan if law is None else np.inf if m <= rank + 4 else law.variance(law.value) ** 0.5
        return Estimate(
            value=np.inf if law is None else law.value, standard_error=error, interval_rule=law, n=n,
            bias=Bias.UNKNOWN, method=repr(self), reference=REFERENCE, warnings=warnings,
            diagnostics={"rows_y": m} if found is None or law is None else {
                "rows_y": m, "rank": rank, "bias_correction_nats": law.value - plugin_divergence(*found),
            },
        )  # fmt: skip

    def _information(
        self, basis_x: Samples, basis_y: Samples, d_z: int, warnings: tuple[EstimateWarning, ...], ranks: dict[str, int]
    ) -> Estimate:
        """Information between whitened blocks from which d_z dimensions have been regressed out."""
        n, d_x, d_y = len(basis_x), basis_x.shape[1], basis_y.shape[1]
        _require_rows(
            n > d_x + d_y + d_z,
            f"x and y: expected more rows than the {d_x} + {d_y} dimensions together, got {n} rows",
        )
        if not d_x or not d_y:  # z determines a whole block, and then nothing is left to know
            return Estimate(
                value=0.0, standard_error=0.0, n=n, bias=Bias.UNKNOWN, method=repr(self), reference=REFERENCE,
                warnings=warnings, diagnostics=ranks,
            )  # fmt: skip
        sines = np.minimum(_sines(basis_x, basis_y), 1.0)
        shared = int((sines <= singular_threshold(n, d_x + d_y)).sum())
        law = fitted_information(sines, n - d_z, d_x, d_y)
        warnings += covariance_warnings(n, d_x + d_y + d_z, name="all blocks")
        return Estimate(
            value=np.inf if shared else law.rule.value, standard_error=np.nan if shared else law.standard_error,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=REFERENCE,
            warnings=(*warnings, deterministic_warning(shared)) if shared else warnings,
            interval_rule=None if shared else law.rule,
            diagnostics={"bias_correction_nats": -law.rule.bias, **ranks},
        )  # fmt: skip

    def _shrunk(
        self, samples: Sequence[Samples], statistic: Callable[[Sequence[Fit]], float], n: int,
        warnings: tuple[EstimateWarning, ...], extra: dict[str, float] | None = None,
    ) -> Estimate:  # fmt: skip
        found = shrunk_statistic(samples, statistic, self.shrinkage)
        names = ("shrinkage_intensity", "shrinkage_intensity_y")
        return Estimate(
            value=found.value, standard_error=found.standard_error, n=n, bias=Bias.UNKNOWN, method=repr(self),
            reference=REFERENCE, warnings=warnings + shrinkage_warnings(found),
            diagnostics={
                "estimated_bias_nats": found.bias, **dict(zip(names, found.intensities, strict=False)), **(extra or {}),
            },
        )  # fmt: skip

    def _shrunk_information(self, x: Samples, y: Samples, z: Samples | None) -> Estimate:
        """From the blocks of one shrunk joint covariance."""
        blocks = [x, y] if z is None else [x, y, z]
        joint = np.hstack([(block - block.mean(axis=0)) / column_std(block) for block in blocks])
        n, d = joint.shape
        ends = np.cumsum([block.shape[1] for block in blocks])
        part_x, part_y, part_z = np.arange(ends[0]), np.arange(ends[0], ends[1]), np.arange(ends[1], d)

        def information(fits: Sequence[Fit]) -> float:
            cov = fits[0].cov
            sets = [(part_x, 1), (part_y, 1), (np.arange(0), -1), (np.r_[part_x, part_y], -1)]
            kept = ((np.r_[part, part_z].astype(int), sign) for part, sign in sets)
            return 0.5 * sum(sign * _log_det(cov[np.ix_(part, part)]) for part, sign in kept if len(part))

        warnings = pair_warnings(x, y) if n > d else tie_warnings(x) + tie_warnings(y, name="y")
        warnings += tail_warnings(x) + tail_warnings(y, name="y") + gaussianity_warnings(joint, name="the blocks")
        return self._shrunk([joint], information, n, warnings + dimension_warnings(n, d, name="all blocks together"))


def _log_det(cov: Float[np.ndarray, "d d"]) -> float:
    return float(log_determinant(cov))


def _log_det_of_correlations(x: Samples) -> float:
    """log|R̂| by QR of the rows: of columns that differ by 1e-8 the matrix R̂ keeps no digit of what sets them apart."""
    factor = np.linalg.qr((x - x.mean(axis=0)) / column_std(x), mode="r")
    return 2 * float(np.log(np.abs(np.diagonal(factor))).sum()) - x.shape[1] * float(np.log(len(x) - 1))


def _shrunk_total_correlation(fits: Sequence[Fit]) -> float:
    cov = fits[0].cov
    return 0.5 * (float(np.log(np.diagonal(cov)).sum()) - _log_det(cov))


def _require_rows(enough: bool, message: str) -> None:
    if not enough:
        raise SampleError(f"{message}; {CURE}")


def _sines(basis_x: Samples, basis_y: Samples) -> Float[np.ndarray, " m"]:
    """Sines of the canonical angles of whitened blocks, which keep their digits where cosines are 1."""
    return np.linalg.svd(_residual(basis_y, basis_x), compute_uv=False) / np.sqrt(len(basis_x) - 1)


def _residual(basis: Samples, basis_z: Samples) -> Samples:
    return basis - basis_z @ (basis_z.T @ basis) / (len(basis) - 1)


def _residual_basis(basis: Samples, basis_z: Samples) -> Samples:
    """Whitened coordinates of what linear regression on z leaves of a whitened block."""
    n, root = len(basis), np.sqrt(len(basis) - 1)
    left, values, _ = np.linalg.svd(_residual(basis, basis_z), full_matrices=False)
    kept = values / root > singular_threshold(n, basis.shape[1] + basis_z.shape[1])
    return left[:, kept] * root


def _ties_and_support(blocks: dict[str, tuple[Samples, int]]) -> tuple[EstimateWarning, ...]:
    """Ties and heavy tails of each block, then singular support where the rank, already known, falls short."""
    found = [tie_warnings(block, name=name) for name, (block, _) in blocks.items()]
    found += [tail_warnings(block, name=name) for name, (block, _) in blocks.items()]
    found += [support_warnings(b, name=name) for name, (b, rank) in blocks.items() if rank < b.shape[1]]
    return tuple(warning for group in found for warning in group)


def _explained_warnings(name: str, directions: int) -> tuple[EstimateWarning, ...]:
    if not directions:
        return ()
    return (
        EstimateWarning(
            code="singular_support",
            message=f"{directions} direction(s) of {name} are linear functions of z to rounding; given z they are "
            "constants, tell nothing, and were left out",
            cure=f"drop these directions from {name}",
        ),
    )


def _shrunk_warnings(x: Samples, name: str = "x") -> tuple[EstimateWarning, ...]:
    """With n ≤ d the support of the draws is singular whatever the law is, and not worth a word."""
    n, d = x.shape
    support = sample_warnings(x, name=name) if n > d else tie_warnings(x, name=name)
    return support + tail_warnings(x, name=name) + dimension_warnings(n, d, name=name)
