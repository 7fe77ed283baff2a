"""Nearest-neighbor estimators: Kozachenko–Leonenko entropy and Kraskov–Stögbauer–Grassberger information."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, cast

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, SamplesLike, as_paired_samples, as_samples, refuse_constant_columns
from itssl.choices import ParameterError, require_count, require_known
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.adequacy import neighbor_pair_warnings, neighbor_warnings
from itssl.estimators.ball_entropies import BallEntropies, LogVolumes
from itssl.estimators.diagnosis import ceiling_warnings, small_sample_warnings
from itssl.estimators.drift import NO_ENTROPY, drift
from itssl.estimators.error_bars import NO_SUBSAMPLES, information_blocks, partition_subsamples
from itssl.estimators.joint_counts import JointCounts
from itssl.estimators.neighbor_extrapolation import (
    SCALES,
    Rows,
    extrapolation_weights,
    neighbor_summary,
    neighbors_needed,
    require_more_than_k,
    whitened,
)
from itssl.estimators.standardization import canonical_order, scaled
from itssl.kernels.neighbors import METRICS, NORMS, Metric, Norm, neighbors


def log_unit_ball_volume(d: int, metric: Norm) -> float:
    """log of the volume of {‖x‖_p ≤ 1} in R^d, (2Γ(1+1/p))^d / Γ(1+d/p): π^{d/2}/Γ(1+d/2) for p = 2, 2^d for p = ∞.

    >>> names = ("euclidean", "chebyshev", "manhattan", 4)
    >>> print(*(f"{np.exp(log_unit_ball_volume(3, name)):.4f}" for name in names))
    4.1888 8.0000 1.3333 6.4820
    """
    from scipy.special import gammaln

    p = NORMS[metric] if isinstance(metric, str) else float(metric)
    if np.isinf(p):
        return d * float(np.log(2))
    return d * float(np.log(2) + gammaln(1 + 1 / p)) - float(gammaln(1 + d / p))


def log_ball_volumes(x: Samples, k: int, metric: Norm, *, dim: int | None = None) -> Float[np.ndarray, "n k"]:
    """log c_d + d log ρ_j: the volume of the ball around each row that reaches its j-th neighbor, j = 1 … k.

    ``dim`` is the dimension of the balls where it is not that of the rows.

    >>> np.exp(log_ball_volumes(np.array([[0.0], [1.0], [3.0]]), 1, "euclidean")).ravel()
    array([2., 2., 4.])
    """
    with np.errstate(divide="ignore"):
        return ball_volumes(x.shape[1] if dim is None else dim, metric)(slice(None), neighbors(x, k, metric)[0])


def ball_volumes(d: int, metric: Norm, *, log_det: float = 0.0) -> LogVolumes:
    """log c_d + d log ρ as a function of rows, which do not matter, and radii; plus the ``log_det`` of a linear map.

    >>> np.exp(ball_volumes(2, "chebyshev")(slice(None), np.array([[1.0, 2.0]])))
    array([[ 4., 16.]])
    """
    constant = log_unit_ball_volume(d, metric) + log_det
    return lambda _, radius: constant + d * np.log(radius)


def require_norm(argument: str, value: object) -> Norm:
    """value as a norm: one of the names, or a number p ≥ 1 as a float.

    >>> require_norm("metric", 3)
    3.0
    >>> require_norm("metric", 0.5)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: metric: expected 'euclidean', 'chebyshev', 'manhattan' or a number p >= 1, got 0.5; \
below 1 it is no metric
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        if float(value) >= 1:
            return float(value)
        names = ", ".join(map(repr, NORMS)).replace(", 'manhattan'", ", 'manhattan' or a number p >= 1")
        raise ParameterError(f"{argument}: expected {names}, got {value!r}; below 1 it is no metric")
    require_known(argument, value, NORMS)
    return cast(Norm, value)


@dataclass(frozen=True)
class KozachenkoLeonenko:
    """Differential entropy from the distance ρ to the k-th nearest neighbor [1].

    ĥ = ψ(n) − ψ(k) + log c_d + d ⟨log ρ⟩, with c_d the volume of the unit ball of the metric: "euclidean",
    "chebyshev", "manhattan", or p ≥ 1 for (Σ|Δ_j|^p)^{1/p}. The bias has no fixed direction; it grows with d (Gaussian,
    n = 1000, d = 10: about +0.12 nats). Nothing is jittered or clipped.

    The bias outgrows the standard error: at n = 4000 and d = 5, value ± 2 standard errors covers 42 % of the time for a
    Gaussian law and never for an exponential one. So ``interval`` is the hull of Student's t intervals of the value and
    of two extrapolations of its bias [2, 3], see :mod:`itssl.estimators.neighbor_extrapolation`: 98 % and 99 % there.
    The extrapolations are of whitened rows, whose balls see a density as wide in all directions: for a Gaussian with
    correlations 0.8^|i−j| the interval covers 98 %, and 85 to 89 % with extrapolations of the rows as they are.
    Raises ParameterError for k < 1 and p < 1, UnknownNameError for another metric.

    References
    ----------
    [1] Kozachenko & Leonenko (1987). Sample estimate of the entropy of a random vector. Probl. Inf. Transm. 23.
    [2] Delattre & Fournier (2017). On the Kozachenko–Leonenko entropy estimator. J. Statist. Plann. Inference 185.
    [3] Berrett, Samworth & Yuan (2019). Efficient multivariate entropy estimation via k-nearest neighbour distances.
        Ann. Statist. 47(1).

    >>> x = np.random.default_rng(0).normal(size=(1000, 1))
    >>> KozachenkoLeonenko(k=4).entropy(x)
    1.360 ± 0.029 nats (KozachenkoLeonenko(k=4, metric='euclidean'), n=1000)
    """

    k: int = 4
    metric: Norm = "euclidean"

    REFERENCE = Reference(
        authors="Kozachenko & Leonenko", title="Sample estimate of the entropy of a random vector", year=1987,
        where="Problems of Information Transmission 23, 95-101",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        object.__setattr__(self, "metric", require_norm("metric", self.metric))

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """Entropy of x, shape (n, d) with n > k, in nats.

        Standard error by subsampling; it is that of the value, without bias. The interval allows for the bias from
        n = 136 on. Where the parts of the sample show that the value still moves with n by more than its error
        (diagnostic ``estimated_bias_nats``) it carries the warning ``neighbor_bias``. A row with k copies makes the
        value −inf, as the formula says; any copy adds the warning ``ties``; linearly dependent columns add
        ``singular_support``.
        Raises SampleError for n ≤ k, constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        require_more_than_k(len(x), self.k, "x")
        needed, (y, log_det) = neighbors_needed(len(x), self.k), whitened(x)
        one_search = x.shape[1] == 1 or needed < SCALES  # one column is white; few rows are not extrapolated
        volumes, white_volumes = (ball_volumes(x.shape[1], self.metric, log_det=shift) for shift in (0.0, log_det))
        found = neighbor_summary(
            BallEntropies(x, needed if one_search else self.k, self.metric, volumes),
            canonical_order(x), x.shape[1], extrapolation_weights(self.k, ()),
            extrapolated=None if one_search else BallEntropies(y, needed, self.metric, white_volumes),
        )  # fmt: skip
        warnings, bias = drift(
            found.value, found.parts, neighbor_warnings(x, k=self.k), n=len(x), d=x.shape[1],
            method="KozachenkoLeonenko", name="x", hopeless=NO_ENTROPY,
        )  # fmt: skip
        return Estimate(
            value=found.value, standard_error=found.standard_error, degrees_of_freedom=found.degrees_of_freedom,
            n=len(x), bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            interval_rule=found.interval_rule, diagnostics=found.diagnostics | bias,
            warnings=warnings + small_sample_warnings(found.standard_error, found.value, len(x)),
        )  # fmt: skip

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """ĥ(x) + ĥ(y) − ĥ(x, y) in nats on standardized columns; the biases of the three terms do not cancel.

        x and y have shapes (n, d_x) and (n, d_y). Prefer :class:`KSG`, whose terms share one radius. Same errors and
        warnings as :meth:`entropy`.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        require_more_than_k(len(x), self.k, "x and y")
        u, v = scaled(x), scaled(y)

        blocks = (u, v, np.hstack([u, v]))
        terms = [BallEntropies(z, self.k, self.metric, ball_volumes(z.shape[1], self.metric)) for z in blocks]

        def informations(parts: Sequence[Rows]) -> list[float]:
            h_x, h_y, h_xy = ([float(each[-1]) for each in term(parts)] for term in terms)
            return [a + b - c for a, b, c in zip(h_x, h_y, h_xy, strict=True)]

        ceiling = _ceiling(len(x), self.k)
        value = informations([slice(None)])[0]
        parts = NO_SUBSAMPLES
        if np.isfinite(value):
            parts = partition_subsamples(informations, canonical_order(x, y), **information_blocks(self.k))
        warnings = ceiling_warnings(value, ceiling, "ψ(n) − ψ(k)") + neighbor_pair_warnings(x, y, k=self.k)
        warnings, bias = drift(value, parts, warnings, n=len(x), d=x.shape[1] + y.shape[1], method="KozachenkoLeonenko")
        return Estimate(
            value=value, standard_error=parts.standard_error, degrees_of_freedom=parts.degrees_of_freedom, n=len(x),
            bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            warnings=warnings + small_sample_warnings(parts.standard_error, value, len(x)),
            diagnostics={"standardized": 1.0, "ceiling_nats": ceiling, **bias},
        )  # fmt: skip


@dataclass(frozen=True)
class KSG:
    """Mutual information by Kraskov, Stögbauer & Grassberger [1], variants 1 and 2, in nats.

    Joint distances are max(‖Δx‖, ‖Δy‖) with the ``metric`` in each block.

    - variant 1: ψ(k) + ψ(n) − ⟨ψ(n_x+1) + ψ(n_y+1)⟩, n_x the rows *strictly* nearer in x than the k-th joint neighbor;
    - variant 2: ψ(k) − 1/k + ψ(n) − ⟨ψ(n_x) + ψ(n_y)⟩, n_x the rows within the largest ‖Δx‖ of the k joint neighbors.

    Where joint distances tie, the k neighbors of variant 2 are not unique and neither is its value.

    ``standardize`` divides each column by its standard deviation, so that units do not change the answer;
    ``standardize=False`` is the textbook estimator. No clipping at zero, no jitter. Values near the ceiling ψ(n) − ψ(k)
    carry a warning. The bias has no fixed direction (none is seen on independent data; dependence in
    many dimensions is underestimated: 0.20 of 0.669 nats at d = 16, n = 1000). Raises ParameterError for k < 1,
    UnknownNameError for other options.

    References
    ----------
    [1] Kraskov, Stögbauer & Grassberger (2004). Estimating mutual information. Phys. Rev. E 69, 066138.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> x, y = linear_gaussian_views([0.8]).sample(1000, np.random.default_rng(0))
    >>> print(f"{KSG(k=4).mutual_information(x, y).value:.3f} of {-0.5 * np.log(1 - 0.8**2):.3f}")
    0.510 of 0.511
    """

    k: int = 4
    variant: Literal[1, 2] = 1
    metric: Metric = "chebyshev"
    standardize: bool = True

    REFERENCE = Reference(
        authors="Kraskov, Stögbauer & Grassberger", title="Estimating mutual information", year=2004,
        where="Phys. Rev. E 69, 066138",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        require_known("standardize", self.standardize, [True, False])
        require_known("variant", self.variant, [1, 2])
        require_known("metric", self.metric, METRICS)

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """Mutual information of the rows of x, shape (n, d_x), and y, shape (n, d_y), with n > k.

        Standard error by subsampling, which also shows a bias that falls with n (diagnostic ``estimated_bias_nats``,
        warning ``neighbor_bias``). Other warnings: ``ceiling``, ``high_dimension``, ``ties``, ``singular_support``,
        ``deterministic``. Raises SampleError for n ≤ k, unequal n, constant columns and inadmissible samples.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        require_more_than_k(len(x), self.k, "x and y")
        u, v = (scaled(x), scaled(y)) if self.standardize else (x, y)
        counts = JointCounts(u, v, self.k, self.metric, self.variant)
        value = self._information(*counts([slice(None)])[0])
        parts = partition_subsamples(
            lambda blocks: [self._information(*each) for each in counts(blocks)], canonical_order(x, y),
            **information_blocks(self.k),
        )  # fmt: skip
        ceiling = _ceiling(len(x), self.k) - (1 / self.k if self.variant == 2 else 0)
        warnings = ceiling_warnings(value, ceiling, "ψ(n) − ψ(k)" + (" − 1/k" if self.variant == 2 else ""))
        warnings += neighbor_pair_warnings(x, y, k=self.k)
        warnings, bias = drift(value, parts, warnings, n=len(x), d=x.shape[1] + y.shape[1], method="KSG")
        return Estimate(
            value=value, standard_error=parts.standard_error, degrees_of_freedom=parts.degrees_of_freedom, n=len(x),
            bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            warnings=warnings + small_sample_warnings(parts.standard_error, value, len(x)),
            diagnostics={"standardized": float(self.standardize), "ceiling_nats": ceiling, **bias},
        )  # fmt: skip

    def _information(self, n_x: Int[np.ndarray, " n"], n_y: Int[np.ndarray, " n"]) -> float:
        from scipy.special import digamma

        constant = float(digamma(self.k) + digamma(len(n_x)))
        if self.variant == 1:
            return constant - float((digamma(n_x + 1) + digamma(n_y + 1)).mean())
        return constant - 1 / self.k - float((digamma(n_x) + digamma(n_y)).mean())


def _ceiling(n: int, k: int) -> float:
    """ψ(n) − ψ(k): what KSG returns for y = x, and about what a noiseless relation can reach."""
    from scipy.special import digamma

    return float(digamma(n) - digamma(k))
