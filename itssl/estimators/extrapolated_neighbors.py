"""The Kozachenko–Leonenko entropy extrapolated to balls of no mass, after Delattre & Fournier."""

from dataclasses import dataclass

from itssl.arrays import SamplesLike, as_samples, refuse_constant_columns
from itssl.choices import ParameterError, require_count, require_known
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.adequacy import neighbor_warnings
from itssl.estimators.ball_entropies import BallEntropies
from itssl.estimators.diagnosis import small_sample_warnings
from itssl.estimators.nearest_neighbors import ball_volumes, require_norm
from itssl.estimators.neighbor_extrapolation import (
    extrapolation_weights,
    neighbor_summary,
    neighbors_needed,
    require_more_than_k,
    whitened,
)
from itssl.estimators.standardization import canonical_order
from itssl.kernels.neighbors import Norm


@dataclass(frozen=True)
class ExtrapolatedKozachenkoLeonenko:
    r"""Differential entropy with the first ``order`` terms of its bias removed by Richardson extrapolation [1].

    The bias of ĥ_j (Kozachenko–Leonenko with the j-th neighbor) has terms Γ(j+2l/d)/Γ(j) · n^{−2l/d} [1, 2]. [1]
    removes them by combining sample sizes n, n/2, n/4, …; a ball with 2j of n rows is as large as one with j of n/2
    rows, so combining j = 1 … k of one search removes the same terms, with less variance: ψ'(2j) < ψ'(j) in each row.
    Measured at n = 4000, d = 5, order 2: a spread of 0.100 nats from sizes n, n/2, n/4 with j = 4 against 0.035 from
    j ≤ 20 for a Gaussian, 0.124 against 0.041 for a uniform law. The weights minimize the variance within a row, where
    log V_i and log V_j have covariance ψ'(max(i, j)).

    ``edge=True`` removes the powers n^{−l/d} instead, which lead where the density ends at an edge (uniform,
    exponential). ``whiten`` applies the linear map to unit sample covariance first and adds its log-determinant.
    The bias that is left has no fixed direction. The interval is the hull of Student's t intervals of this
    value and the extrapolations for smooth densities and for edges (:mod:`itssl.estimators.neighbor_extrapolation`).
    Raises ParameterError unless 1 ≤ order < k, UnknownNameError for other options.

    References
    ----------
    [1] Delattre & Fournier (2017). On the Kozachenko–Leonenko entropy estimator. J. Statist. Plann. Inference 185.
    [2] Berrett, Samworth & Yuan (2019). Efficient multivariate entropy estimation via k-nearest neighbour distances.
        Ann. Statist. 47(1).

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> found = ExtrapolatedKozachenkoLeonenko(order=1).entropy(x)
    >>> print("{:.3f} ± {:.3f}, 95 % interval {:.2f} … {:.2f}".format(
    ...     found.value, found.standard_error, *found.interval(0.95)))
    2.847 ± 0.030, 95 % interval 2.76 … 2.94
    """

    k: int = 16
    order: int = 2
    edge: bool = False
    metric: Norm = "euclidean"
    whiten: bool = True

    REFERENCE = Reference(
        authors="Delattre & Fournier", title="On the Kozachenko–Leonenko entropy estimator", year=2017,
        where="Journal of Statistical Planning and Inference 185, 69-93",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        object.__setattr__(self, "order", require_count("order", self.order))
        object.__setattr__(self, "metric", require_norm("metric", self.metric))
        require_known("edge", self.edge, [True, False])
        require_known("whiten", self.whiten, [True, False])
        if self.order >= self.k:
            raise ParameterError(f"order: expected less than k = {self.k} powers to remove, got {self.order}")

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """Entropy of x, shape (n, d) with n > k, in nats.

        Standard error by subsampling; it is that of the value, without bias. Copied rows make the value −inf and add
        the warning ``ties``; linear dependence adds ``singular_support`` (such x is standardized, not whitened).
        Raises SampleError for n ≤ k, constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n, d = x.shape
        require_more_than_k(n, self.k, "x")
        y, log_det = whitened(x) if self.whiten else (x, 0.0)
        needed = neighbors_needed(n, self.k)
        step = 1 if self.edge else 2
        found = neighbor_summary(
            BallEntropies(y, needed, self.metric, ball_volumes(d, self.metric, log_det=log_det)),
            canonical_order(x), d,
            extrapolation_weights(self.k, tuple(step * power / d for power in range(1, self.order + 1))),
        )  # fmt: skip
        return Estimate(
            value=found.value, standard_error=found.standard_error, degrees_of_freedom=found.degrees_of_freedom,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            interval_rule=found.interval_rule, diagnostics=found.diagnostics,
            warnings=neighbor_warnings(x, k=self.k, raw=not self.whiten)
            + small_sample_warnings(found.standard_error, found.value, n),
        )  # fmt: skip
