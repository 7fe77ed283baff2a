r"""What the nearest-neighbor entropies share: one term per neighbor, the bias extrapolated away, and an interval.

Let V_k(i) be the volume of the ball around row i that reaches its k-th neighbor. Its probability mass is a
Beta(k, n−k) variable whatever the density, so ĥ_k = ψ(n) − ψ(k) + ⟨log V_k⟩ would be unbiased if the density
were constant in every ball. Where it is not, the bias is E β(T_k/n) for a function β of the ball's mass alone, with
T_k a Gamma(k) variable: β(u) = a₁u^{2/d} + a₂u^{4/d} + … inside a smooth density (Delattre & Fournier 2017), and
u^{1/d} leads where the density ends at an edge. As E T_k^s = Γ(k+s)/Γ(k), a few k of *one* search show β at several
scales, and weights over k with Σw = 1 and Σ w_k Γ(k+s)/Γ(k) = 0 for each power s remove it.

The interval is the hull of Student's t intervals of the value, of the extrapolation with powers 2/d and 4/d, and of
that with 1/d. It covers at the nominal level wherever one of the three is unbiased; that one of them is, is an
assumption on the density that no sample can verify. Measured at n = 4000, d = 1 … 5, 200 samples a law, on whitened
draws of Gaussian, Laplace, Student (5), exponential and uniform laws and a two-bump mixture: nominal 95 % hulls of the
two extrapolations cover 94 to 100 %, of all three with Kozachenko–Leonenko (k = 4) 95 to 100 %, given the true
standard errors; with estimated ones 91 % in the worst case, the mixture at d = 5. Edges cost width: 0.5 to 0.65 nats
at d = 5, for a bias of 0.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples
from itssl.estimate import student_quantile
from itssl.estimators.error_bars import BLOCKS, NO_SUBSAMPLES, PARTITIONS, Subsamples, partition_subsamples
from itssl.estimators.standardization import location
from itssl.kernels.linalg import column_std, covariance, log_determinant

SCALES = 16
"""Neighbors used by the extrapolations behind an interval; n = 4000, d ≤ 5: more blur the bias, fewer the value."""

Rows = Any
"""Which rows a statistic is taken of: an index array or a slice."""

PartEntropies: TypeAlias = Callable[[Sequence[Rows]], list[Float[np.ndarray, " k"]]]
"""ĥ_1 … ĥ_k of each of the parts, which are one slice of everything, or the blocks of a partition."""


def neighbor_entropies(log_volumes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """ĥ_j = ψ(n) − ψ(j) + ⟨log V_j⟩ for j = 1 … k, from the log-volumes of the balls that reach the j-th neighbor.

    >>> neighbor_entropies(np.log([[1.0, 2.0], [1.0, 2.0]])).round(4)
    array([1.    , 0.6931])
    """
    from scipy.special import digamma

    n, k = log_volumes.shape
    return float(digamma(n)) - digamma(np.arange(1.0, k + 1)) + log_volumes.mean(axis=0)


def moment_constraints(k: int, powers: tuple[float, ...]) -> Float[np.ndarray, "m k"]:
    """Rows Γ(j+s)/Γ(j)/k^s, j = 1 … k, one for each power s: what weights that remove u^s must be orthogonal to.

    >>> moment_constraints(3, (1.0,)).round(4)
    array([[0.3333, 0.6667, 1.    ]])
    """
    from scipy.special import gammaln

    j, s = np.arange(1.0, k + 1), np.array(powers)[:, None]
    return np.exp(gammaln(j + s) - gammaln(j) - s * np.log(k))


@lru_cache
def extrapolation_weights(k: int, powers: tuple[float, ...]) -> Float[np.ndarray, " k"]:
    r"""Weights over 1 … k with Σw = 1 that remove the bias u^s for every power s, of least variance.

    Within a row log T_i and log T_j have covariance ψ'(max(i, j)): T_i/T_j and T_j are independent for i < j. The
    weights minimize wᵀCw with this C; without powers all weight is on the k-th neighbor.

    >>> extrapolation_weights(4, ()), extrapolation_weights(2, (1.0,)).round(9)
    (array([0., 0., 0., 1.]), array([ 2., -1.]))
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.special import polygamma

    if not powers:
        return _read_only(np.eye(k)[-1])
    j = np.arange(1.0, k + 1)
    factor = cholesky(polygamma(1, np.maximum.outer(j, j)), lower=True)
    constraints = np.vstack([np.ones(k), moment_constraints(k, powers)])
    white = solve_triangular(factor, constraints.T, lower=True).T
    target = np.eye(len(constraints))[0]
    return _read_only(solve_triangular(factor, np.linalg.lstsq(white, target)[0], lower=True, trans=1))


@dataclass(frozen=True)
class ExtrapolationHull:
    """The shortest interval that holds Student's t interval of every candidate value.

    If the expectation of at least one candidate is the truth, the hull covers at least at the level asked for.

    >>> low, high = ExtrapolationHull((0.0, 1.0), (0.1, 0.2), float("inf"))(0.95)
    >>> print(f"{low:.3f} {high:.3f}")
    -0.196 1.392
    """

    values: tuple[float, ...]
    standard_errors: tuple[float, ...]
    degrees_of_freedom: float

    def __call__(self, level: float, /) -> tuple[float, float]:
        quantile = student_quantile(0.5 + level / 2, self.degrees_of_freedom)
        pairs = list(zip(self.values, self.standard_errors, strict=True))
        return min(v - quantile * s for v, s in pairs), max(v + quantile * s for v, s in pairs)


class NeighborSummary(NamedTuple):
    """What goes into the Estimate of a nearest-neighbor entropy."""

    value: float
    standard_error: float
    degrees_of_freedom: float
    interval_rule: ExtrapolationHull | None
    diagnostics: dict[str, float]
    parts: Subsamples
    """What the parts behind the standard error tell of the value."""


def neighbors_needed(n: int, k: int) -> int:
    """How many neighbors to look up: k, or enough for the extrapolations where a quarter of the rows allows them.

    >>> neighbors_needed(100, 4), neighbors_needed(1000, 4)
    (4, 16)
    """
    return max(k, SCALES) if n // BLOCKS >= _smallest_block(SCALES) else k


def neighbor_summary(
    entropies: PartEntropies,
    order: Int[np.ndarray, " n"],
    dim: int,
    weights: Float[np.ndarray, " m"],
    *,
    edges: bool = True,
    extrapolated: PartEntropies | None = None,
) -> NeighborSummary:
    """Value Σ w_j ĥ_j with its subsampling error (``order`` as there), and the hull with two extrapolations.

    ``entropies(parts)`` gives ĥ_1, ĥ_2, … of each of these parts of the rows (at least as many as there are weights; at
    least 16 of them make the interval); it is asked for all rows, then for the blocks of one partition at a time.
    The candidates of the hull are the value itself, and the first 16 extrapolated with the powers 2/dim, 4/dim (density
    smooth on the whole space) and, if ``edges``, with 1/dim (density that ends somewhere).
    ``extrapolated(parts)``, where given, replaces ``entropies`` in the extrapolations: the same entropy in coordinates
    (whitened ones, say) in which the bias follows its powers at a larger mass of the balls.
    """
    powers = {"interior": (2 / dim, 4 / dim), **({"edge": (1 / dim,)} if edges else {})}

    def candidates(parts: Sequence[Rows]) -> list[list[float]]:
        found = entropies(parts)
        more = found if extrapolated is None else extrapolated(parts)
        enough = len(more[0]) >= SCALES
        extrapolations = [extrapolation_weights(SCALES, p) for p in powers.values()] if enough else []
        return [_combine([weights], a) + _combine(extrapolations, b) for a, b in zip(found, more, strict=True)]

    values = candidates([slice(None)])[0]
    if not np.isfinite(values[0]):
        return NeighborSummary(values[0], np.nan, np.nan, None, {}, NO_SUBSAMPLES)
    blocks: list[list[float]] = []

    def statistics(parts: list[Int[np.ndarray, " _"]]) -> list[float]:
        found = candidates(parts)
        blocks.extend(found)
        return [each[0] for each in found]

    parts = partition_subsamples(statistics, order, smallest_block=_smallest_block(len(weights)))
    error, freedom = parts.standard_error, parts.degrees_of_freedom
    if len(values) == 1 or not np.isfinite([*values, error]).all() or not np.isfinite(blocks).all():
        return NeighborSummary(values[0], error, freedom, None, {}, parts)
    per_partition = np.array(blocks).reshape(PARTITIONS, -1, len(values))
    errors = np.sqrt(per_partition.var(axis=1, ddof=1).mean(axis=0) / per_partition.shape[1])
    rule = ExtrapolationHull(tuple(values), tuple(errors.tolist()), freedom)
    diagnostics = {f"{name}_extrapolation_nats": v for name, v in zip(powers, values[1:], strict=True)}
    return NeighborSummary(values[0], error, freedom, rule, diagnostics, parts)


def whitened(x: Samples) -> tuple[Samples, float]:
    """x mapped to unit sample covariance, y = L⁻¹x up to a shift, and log |det L|, so that h(x) = h(y) + log |det L|.

    Columns are only standardized where they are linearly dependent to rounding. Computed coordinate by coordinate, so
    that equal rows stay equal.

    >>> y, log_det = whitened(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    >>> print(f"{y.std(axis=0, ddof=1)} {abs(np.cov(y.T)[0, 1]):.1f} {np.exp(2 * log_det):.4f}")
    [1. 1.] 0.0 7.1111
    """
    std = column_std(x)
    y = np.asfortranarray((x - location(x)) / std)
    cov, log_det = covariance(y), float(np.log(std).sum())
    if not np.isfinite(log_determinant(cov)):
        return np.ascontiguousarray(y), log_det
    factor = np.linalg.cholesky(cov)
    for j, row in enumerate(factor):
        for i in np.flatnonzero(row[:j]):
            y[:, j] -= row[i] * y[:, i]
        y[:, j] /= row[j]
    return np.ascontiguousarray(y), log_det + float(np.log(factor.diagonal()).sum())


def require_more_than_k(n: int, k: int, name: str) -> None:
    """Raise SampleError unless a row has k others.

    >>> require_more_than_k(4, 4, "x")
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: x: expected more than k = 4 rows, got 4; draw more or use a smaller k
    """
    if n <= k:
        raise SampleError(f"{name}: expected more than k = {k} rows, got {n}; draw more or use a smaller k")


def _read_only(weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    weights.flags.writeable = False  # it is shared by all who ask for the same
    return weights


def _smallest_block(k: int) -> int:
    return 2 * k + 2


def _combine(candidates: list[Float[np.ndarray, " _"]], found: Float[np.ndarray, " k"]) -> list[float]:
    """Σ w_j ĥ_j for each of the weights; −inf as soon as a neighbor that counts is at distance zero."""
    values = []
    for weights in candidates:
        counted = np.flatnonzero(weights)
        part = found[counted]
        values.append(float(weights[counted] @ part) if np.isfinite(part).all() else -np.inf)
    return values
