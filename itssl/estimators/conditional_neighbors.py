"""Conditional mutual information from nearest neighbors: Frenzel and Pompe."""

from dataclasses import dataclass

import numpy as np

from itssl.arrays import Samples, SamplesLike, as_paired_samples, refuse_constant_columns
from itssl.choices import require_count, require_known
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.adequacy import high_dimension_warnings, neighbor_tail_warnings
from itssl.estimators.diagnosis import (
    ceiling_warnings,
    joint_support_warnings,
    small_sample_warnings,
    support_warnings,
    tie_warnings,
)
from itssl.estimators.drift import drift
from itssl.estimators.error_bars import information_subsamples
from itssl.estimators.neighbor_extrapolation import require_more_than_k
from itssl.estimators.standardization import canonical_order, scaled, standardized
from itssl.kernels.linalg import singular_threshold, whitening
from itssl.kernels.neighbor_counts import counts_within
from itssl.kernels.neighbors import neighbors


@dataclass(frozen=True)
class FrenzelPompe:
    r"""Conditional mutual information I(X; Y | Z) by the counts of Frenzel & Pompe [1], in nats.

    Î = ψ(k) + ⟨ψ(n_z+1) − ψ(n_xz+1) − ψ(n_yz+1)⟩, where n_z, n_xz and n_yz are the other rows *strictly* nearer, in
    the maximum norm of these coordinates, than the k-th neighbor in all of them. Without Z, n_z + 1 = n, it is KSG
    (variant 1).

    Since n_xz, n_yz ≥ k − 1, no value can exceed ⟨ψ(n_z+1)⟩ − ψ(k) (where distances do not tie): this ceiling depends
    on the data, and falls as Z gets more columns, for then few rows share a neighborhood of z. Values near it
    carry the warning ``ceiling``. The bias has no fixed direction; dependence is underestimated as Z gets more columns
    (0.20 and 0.16 of 0.22 nats with 3 and 6, n = 1000). ``standardize`` divides each column by its standard deviation.
    No clipping at zero, no jitter. Raises ParameterError for k < 1, UnknownNameError for other options.

    References
    ----------
    [1] Frenzel & Pompe (2007). Partial mutual information for coupling analysis of multivariate time series.
        Phys. Rev. Lett. 99, 204101.

    >>> z, a, b = np.random.default_rng(0).normal(size=(3, 1000))
    >>> print(f"{FrenzelPompe().conditional_mutual_information(z + a, z + b, z).value:.2f}")  # dependent through z only
    0.01
    """

    k: int = 4
    standardize: bool = True

    REFERENCE = Reference(
        authors="Frenzel & Pompe", title="Partial mutual information for coupling analysis of multivariate time series",
        year=2007, where="Phys. Rev. Lett. 99, 204101",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        require_known("standardize", self.standardize, [True, False])

    def conditional_mutual_information(self, x: SamplesLike, y: SamplesLike, z: SamplesLike, /) -> Estimate:
        """I(X; Y | Z) of the rows of x (n, d_x), y (n, d_y) and z (n, d_z), drawn together, with n > k.

        Standard error by subsampling. Warnings: ``ceiling``, ``heavy_tails``, ``high_dimension``, ``neighbor_bias``,
        ``ties``, ``singular_support``, and ``deterministic`` where x and y share a direction beyond z.
        Raises SampleError for n ≤ k, unequal n, constant columns and inadmissible samples.
        """
        (_, z), (x, y) = as_paired_samples(x, z, names=("x", "z")), as_paired_samples(x, y)
        for name, sample in (("x", x), ("y", y), ("z", z)):
            refuse_constant_columns(sample, name=name)
        n = len(x)
        require_more_than_k(n, self.k, "x, y and z")
        u, v, w = (scaled(s) if self.standardize else s for s in (x, y, z))
        value, ceiling = self._information(u, v, w)
        parts = information_subsamples(
            lambda rows: self._information(u[rows], v[rows], w[rows])[0], canonical_order(x, y, z), k=self.k
        )
        d = x.shape[1] + y.shape[1] + z.shape[1]
        warnings = ceiling_warnings(value, ceiling, "⟨ψ(n_z+1)⟩ − ψ(k)") + _triple_warnings(x, y, z)
        warnings += tuple(w for s, name in ((x, "x"), (y, "y"), (z, "z")) for w in neighbor_tail_warnings(s, name=name))
        warnings += high_dimension_warnings(n, d, k=self.k, information=True)
        warnings, bias = drift(value, parts, warnings, n=n, d=d, method="FrenzelPompe", name="(x, y, z)")
        return Estimate(
            value=value, standard_error=parts.standard_error, degrees_of_freedom=parts.degrees_of_freedom, n=n,
            bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            warnings=warnings + small_sample_warnings(parts.standard_error, value, n),
            diagnostics={"standardized": float(self.standardize), "ceiling_nats": ceiling, **bias},
        )  # fmt: skip

    def _information(self, x: Samples, y: Samples, z: Samples) -> tuple[float, float]:
        """The value and its ceiling."""
        from scipy.special import digamma

        radius = neighbors(np.hstack([x, y, z]), self.k, "chebyshev")[0][:, -1]
        n_z, n_xz, n_yz = (counts_within(s, radius, "strict") for s in (z, np.hstack([x, z]), np.hstack([y, z])))
        ceiling = float(digamma(n_z + 1).mean() - digamma(self.k))
        share = float((digamma(n_xz + 1) - digamma(self.k) + digamma(n_yz + 1) - digamma(self.k)).mean())
        return ceiling - share, ceiling


def _triple_warnings(x: Samples, y: Samples, z: Samples) -> tuple[EstimateWarning, ...]:
    """Ties and singular support of each block, and directions that x and y share when z is given."""
    found: tuple[EstimateWarning, ...] = ()
    for name, sample in (("x", x), ("y", y), ("z", z)):
        found += tie_warnings(sample, name=name) + support_warnings(sample, name=name)
    basis, rank = whitening(z)
    rest_x, rest_y = (_residual(s, basis) for s in (x, y))
    if not rest_x.shape[1] or not rest_y.shape[1] or len(x) <= rank + x.shape[1] + y.shape[1]:
        return found  # constant given z: no information is left to be infinite
    shared = [w for w in joint_support_warnings(rest_x, rest_y) if w.code == "deterministic"]
    return (*found, *shared)


def _residual(x: Samples, basis: Samples) -> Samples:
    """What the columns of x do not share with the whitened basis; columns that it explains to rounding are left out."""
    u = standardized(x)
    rest = u - basis @ (basis.T @ u) / (len(u) - 1)
    size = np.sqrt((rest**2).sum(axis=0) / (len(u) - 1))
    return rest[:, size > 8 * singular_threshold(len(u), basis.shape[1] + 1)]
