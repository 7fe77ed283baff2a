"""Entropy of a law on a manifold, relative to the Hausdorff measure of the manifold's own dimension."""

import math
from dataclasses import dataclass, replace

import numpy as np

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, refuse_constant_columns
from itssl.choices import require_count
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.ball_entropies import BallEntropies
from itssl.estimators.diagnosis import small_sample_warnings, tie_warnings
from itssl.estimators.error_bars import value_only
from itssl.estimators.nearest_neighbors import KozachenkoLeonenko, ball_volumes
from itssl.estimators.neighbor_extrapolation import (
    extrapolation_weights,
    neighbor_summary,
    neighbors_needed,
    require_more_than_k,
)
from itssl.estimators.standardization import canonical_order
from itssl.kernels.linalg import whitening

_ENOUGH = 100
"""Distinct rows from which a given dimension is compared with the estimated one."""


@dataclass(frozen=True)
class HausdorffEntropy:
    r"""Entropy −∫ p log p dℋ^m of a law with density p on an m-dimensional manifold in R^d, m ≤ d [1, 2].

    ĥ = ψ(n) − ψ(k) + log c_m + m ⟨log ρ⟩, with ρ the Euclidean distance to the k-th neighbor and c_m the volume of the
    unit ball of R^m: near a point a smooth manifold is its tangent space, and chords are as long as arcs but for
    terms of third order.
    For m < d this is **not** the differential entropy, which is −∞ on such a law, and not comparable with one: ℋ^m
    measures length, area, … on the manifold. For m = d both agree. The embedding counts: an isometric one keeps the
    value, a stretched one does not.

    ``dimension=None`` takes m from :func:`itssl.estimators.intrinsic_dimension.intrinsic_dimension` if both ends of
    its 95 % interval round to the same integer, and refuses otherwise; the standard error then takes m as known.
    The bias has no fixed direction; curvature adds to its terms n^{−2/m}, edges of the manifold add n^{−1/m}. The
    interval is the hull of Student's t intervals of this value and two extrapolations
    (:mod:`itssl.estimators.neighbor_extrapolation`). Raises ParameterError for k or dimension < 1.

    References
    ----------
    [1] Koliander, Pichler, Riegler & Hlawatsch (2016). Entropy and source coding for integer-dimensional singular
        random variables. IEEE Trans. Inform. Theory 62(11), 6124-6154. (The quantity.)
    [2] Penrose & Yukich (2013). Limit theory for point processes in manifolds. Ann. Appl. Probab. 23(6), 2161-2211.
        (Consistency of nearest-neighbor entropy on manifolds.)

    >>> import numpy as np
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, size=1000)
    >>> circle = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> print(HausdorffEntropy(dimension=1).entropy(circle), f"of {np.log(2 * np.pi):.3f}")
    1.834 ± 0.023 nats (HausdorffEntropy(dimension=1, k=4), n=1000) of 1.838
    """

    dimension: int | None = None
    k: int = 4

    REFERENCE = Reference(
        authors="Penrose & Yukich", title="Limit theory for point processes in manifolds", year=2013,
        where="Annals of Applied Probability 23(6), 2161-2211",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        if self.dimension is not None:
            object.__setattr__(self, "dimension", require_count("dimension", self.dimension))

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """Entropy of x, shape (n, d) with n > k, relative to ℋ^m, in nats; m is ``diagnostics["hausdorff_dimension"]``.

        For m < d it is relative to the Hausdorff measure of the manifold, not to volume in R^d; for m = d it is that of
        :class:`itssl.estimators.nearest_neighbors.KozachenkoLeonenko`. Standard error by
        subsampling. A given m that the rows contradict adds the warning ``dimension_mismatch``. A row with k copies
        makes the value −inf; any copy adds the warning ``ties``. Raises SampleError for m above the linear rank of x,
        an m that x leaves open, n ≤ k, constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n = len(x)
        require_more_than_k(n, self.k, "x")
        m, reported = self._dimension(x)
        rank = whitening(x)[1]
        if m > rank:
            raise SampleError(
                f"x: expected rows that span at least dimension = {m}, got linear rank {rank}; on fewer dimensions "
                "the entropy relative to this measure is -inf. Use a smaller dimension"
            )
        if m == x.shape[1]:
            plain = KozachenkoLeonenko(k=self.k).entropy(x)
            return replace(
                plain, method=repr(self), reference=self.REFERENCE,
                diagnostics={"hausdorff_dimension": m, **reported, **plain.diagnostics},
                warnings=_dimension_warnings(m, reported.get("estimated_dimension", m)) + plain.warnings,
            )  # fmt: skip
        needed = neighbors_needed(n, self.k)
        found = neighbor_summary(
            BallEntropies(x, needed, "euclidean", ball_volumes(m, "euclidean")),
            canonical_order(x), m, extrapolation_weights(self.k, ()),
        )  # fmt: skip
        return Estimate(
            value=found.value, standard_error=found.standard_error, degrees_of_freedom=found.degrees_of_freedom,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE, interval_rule=found.interval_rule,
            diagnostics={"hausdorff_dimension": m, **reported, **found.diagnostics},
            warnings=_dimension_warnings(m, reported.get("estimated_dimension", m)) + tie_warnings(x)
            + small_sample_warnings(found.standard_error, found.value, n),
        )  # fmt: skip

    def _dimension(self, x: Samples) -> tuple[int, dict[str, float]]:
        """m, and its estimate where it was not given."""
        from itssl.estimators.intrinsic_dimension import intrinsic_dimension

        if self.dimension is not None:
            if len(np.unique(x, axis=0)) < _ENOUGH:
                return self.dimension, {}
            with value_only():
                return self.dimension, {"estimated_dimension": intrinsic_dimension(x).value}
        found = intrinsic_dimension(x)
        low, high = found.interval(0.95)
        if not math.isfinite(high - low) or round(low) != round(high) or round(low) < 1:
            raise SampleError(
                f"x: expected a support whose dimension is clear, got {found.value:.2f} (95 % interval {low:.2f} to "
                f"{high:.2f}, {found.method}); pass dimension=..., or draw more samples"
            )
        return round(low), {
            "estimated_dimension": found.value,
            "estimated_dimension_standard_error": found.standard_error,
        }


def _dimension_warnings(m: int, estimated: float) -> tuple[EstimateWarning, ...]:
    """Code ``dimension_mismatch``: the sample looks half a dimension, and a quarter of m, away from m."""
    if abs(estimated - m) <= max(0.5, 0.25 * m):
        return ()
    return (
        EstimateWarning(
            code="dimension_mismatch",
            message=f"x looks {estimated:.2g}-dimensional to nearest neighbors; relative to the measure of "
            f"dimension {m} the entropy is then {'+inf' if estimated > m else '-inf'}, and the value moves on with n",
            cure="leave dimension out, or see intrinsic_dimension(x) on more rows",
        ),
    )
