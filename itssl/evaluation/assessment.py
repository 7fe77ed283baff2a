"""What :func:`itssl.assess` measured, one row a scale of the noise: as text, table, figure, and in words."""

import math
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from itssl.estimate import format_with_error, json_number
from itssl.evaluation.normality import ViewDependence
from itssl.markup import require_pandas, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL, LEFT = 1e-3, 0.95
"""The report calls a probability small up to the first, and a region left from the second."""


class AssessmentRow(NamedTuple):
    """One scale of the noise. Means over prototypes; nan where nothing could be measured.

    ``…_error`` are standard errors: of ``exit`` and ``misassigned`` for these very prototypes, of all others with the
    measured prototypes as a draw from many.

    ``exit_lower`` ≤ P(exit) ≤ ``exit_upper`` are bounds, ``exit`` is counted. ``overlap`` ≤ 1 bounds ``misassigned``.
    ``coordinates``, ``projections`` and ``mardia`` are shares of tests of normality that reject; ``constant`` is the
    share of coordinates that do not vary and are not tested, ``awakened`` of those that vary though A_n holds them.
    ``mean`` and ``cov`` are relative errors of the predicted moments, squared: Σ_n ‖·‖² over Σ_n tr P_n and Σ_n ‖P_n‖²,
    without bias; ``…_sampling`` is what the finite draws add to what is seen.
    """

    scale: float
    exit_lower: float
    exit: float
    exit_error: float
    exit_upper: float
    overlap: float
    misassigned: float
    misassigned_error: float
    coordinates: float
    coordinates_error: float
    projections: float
    projections_error: float
    mardia: float
    mardia_error: float
    constant: float
    awakened: float
    mean: float
    mean_error: float
    mean_sampling: float
    cov: float
    cov_error: float
    cov_sampling: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Assessment:
    """The assumptions A1 to A4 (``views``; None: not measured) and normality as numbers. Made by :func:`assess`.

    ``measured`` are the rows of the prototypes at which the network was measured; A2 uses all N. ``rank`` and
    ``eigenvalue_ratio`` (smallest nonzero over largest) are those of A_n Σ A_nᵀ; they do not depend on the scale.

    >>> from itssl.evaluation.assess import assess
    >>> from itssl.networks.encoders import mlp
    >>> found = assess(mlp((2, 4, 2), seed=0), np.eye(2), cov=1.0, scales=[1e-3], draws=64)
    >>> found.shape, [row.scale for row in found.rows]
    ((2, 2, 2), [0.001])
    """

    network: str
    shape: tuple[int, int, int]
    """N prototypes, D inputs, K outputs."""
    draws: int
    level: float
    seed: int
    measured: Int[np.ndarray, " P"]
    rank: Int[np.ndarray, " P"]
    eigenvalue_ratio: Float[np.ndarray, " P"]
    nearest: Float[np.ndarray, " N"] | None
    """Mahalanobis distance of each prototype to its nearest other at scale 1; None where A2 is not defined."""
    duplicates: int
    undefined: str
    """Why A2 is not defined, or empty."""
    views: ViewDependence | None
    rows: tuple[AssessmentRow, ...]
    interrupted: bool = False

    def __bool__(self) -> bool:
        raise TypeError("an Assessment has no truth value; see .rows and .remarks for what was measured")

    @property
    def silent(self) -> tuple[float, ...]:
        """Scales where most draws leave the region, but coordinates are rejected at most twice as often as normal ones
        (and within three standard errors): it is no evidence of one region."""
        usual = [r for r in self.rows if r.coordinates <= self.level + min(self.level, 3 * r.coordinates_error)]
        return tuple(row.scale for row in usual if row.exit >= LEFT)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the numbers mean, and what they cannot say."""
        _, d, k = self.shape
        apart = f"{self._held('overlap')} misassignment at most {SMALL:g} (bound); distances above 0 say nothing"
        found = [
            f"A1: {self._held('exit_upper')} exit at most {SMALL:g} (bound)",
            f"A2: {f'not measured, {self.undefined}' if self.undefined else apart}",
        ]
        if self.duplicates:
            found += [f"A2 fails at every scale: {self.duplicates} prototypes equal an earlier one; remove them"]
        lacking = int((self.rank < k).sum())
        if lacking:
            why = f": K = {k} exceeds D = {d}" if k > d else ""
            found += [
                f"A3 fails at {lacking} of {len(self.rank)} prototypes{why}; there the output has no density given the "
                "prototype, and its entropy is -inf"
            ]
        seen = f"{self.views}; the test sees linear dependence of embeddings only"
        found += [f"A4: {'not measured, no views were given' if self.views is None else seen}"]
        if self.silent:
            joint = [r.mardia for r in self.rows if r.scale in self.silent and math.isfinite(r.mardia)]
            beside = f"; Mardia's joint tests reject at {min(joint):.0%} of the prototypes or more" if joint else ""
            found += [
                f"coordinates look normal at scale {', '.join(f'{s:.3g}' for s in self.silent)} though at least "
                f"{LEFT:.0%} of the draws leave the region: no evidence for one region, only for a test too weak with "
                f"{self.draws} draws{beside}"
            ]
        awake = [row for row in sorted(self.rows) if row.awakened > 0]
        if awake:
            found += [
                f"from scale {awake[0].scale:.3g} on coordinates vary that the local map holds constant (at "
                f"{awake[0].exit:.2g} of draws outside): a small exit probability does not give moments"
            ]
        if all(math.isnan(row.mardia) for row in self.rows) and any(row.constant < 1 for row in self.rows):
            found += [f"Mardia's tests need 4 draws a dimension: not measured with {self.draws}"]
        return tuple(found)

    def _held(self, name: str) -> str:
        """Up to which scale the named bound is small."""
        held = [row.scale for row in takewhile(lambda row: getattr(row, name) <= SMALL, sorted(self.rows))]
        return f"up to scale {held[-1]:.3g}" if held else "at no scale"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; infinite and undefined numbers become strings."""
        of_points = {"rank": self.rank, "eigenvalue_ratio": self.eigenvalue_ratio, "nearest": self.nearest}
        return {
            "network": self.network, "shape": list(self.shape), "draws": self.draws, "level": self.level,
            "seed": self.seed, "interrupted": self.interrupted, "measured": self.measured.tolist(),
            **{
                name: None if values is None else dict(zip(_SPREAD, map(json_number, _spread(values)), strict=True))
                for name, values in of_points.items()
            },
            "duplicates": self.duplicates, "undefined": self.undefined,
            "views": None if self.views is None else {**self.views.__dict__, "p_value": self.views.p_value},
            "remarks": list(self.remarks),
            "rows": [{key: json_number(value) for key, value in row._asdict().items()} for row in self.rows],
        }  # fmt: skip

    def to_pandas(self) -> Any:
        """The rows as a DataFrame, one line a scale. ImportError without pandas."""
        return require_pandas().DataFrame(self.rows, columns=list(AssessmentRow._fields))

    def __str__(self) -> str:
        lines = [list(_HEADS), *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self._title(), self._at_every_scale(), *table, *(f"- {remark}" for remark in self.remarks)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = (self._title(), *self._at_every_scale().splitlines())
        return table(_HEADS, map(_cells, self.rows), caption=lines, notes=self.remarks)

    def _title(self) -> str:
        (n, d, k), cut = self.shape, " (interrupted)" if self.interrupted else ""
        at = f"{self.draws} draws at {len(self.measured)} of {n} prototypes"
        return f"{self.network}, {d} inputs, {k} outputs; {at}{cut}"

    def _at_every_scale(self) -> str:
        low, middle, high = _spread(self.rank)
        line = (
            f"A3: rank of AΣAᵀ {low:g} to {high:g}, median {middle:g}, of K = {self.shape[2]}; its smallest nonzero "
            f"eigenvalue is {_spread(self.eigenvalue_ratio)[1]:.2g} of the largest (median)"
        )
        if self.nearest is None:
            return line
        low, middle, high = _spread(self.nearest)
        return f"{line}\nA2: nearest prototype {low:.3g} to {high:.3g}, median {middle:.3g}, in units of scale 1"

    def figure(self) -> "Figure":
        """The four panels of :func:`itssl.reports.assessment_figure` over the scale of the noise. Not shown."""
        from itssl.evaluation.figures import assessment_figure

        return assessment_figure(self)


_SPREAD = ("minimum", "median", "maximum")
_HEADS = (
    "scale", "exit ≥", "exit", "exit ≤", "overlap ≤", "misassigned", "coordinates", "projections", "Mardia",
    "constant", "mean² error", "cov² error",
)  # fmt: skip


def _cells(row: AssessmentRow) -> list[str]:
    def share(name: str) -> str:
        value = getattr(row, name)
        return "-" if math.isnan(value) else format_with_error(value, getattr(row, f"{name}_error"))

    return [
        f"{row.scale:.3g}", f"{row.exit_lower:.2g}", share("exit"), f"{row.exit_upper:.2g}",
        "-" if math.isnan(row.overlap) else f"{row.overlap:.2g}",
        *(share(name) for name in ("misassigned", "coordinates", "projections", "mardia")),
        f"{row.constant:.2g}", share("mean"), share("cov"),
    ]  # fmt: skip


def _spread(values: Shaped[np.ndarray, " P"]) -> tuple[float, ...]:
    """Minimum, median and maximum of what is known."""
    known = values[np.isfinite(values)]
    return tuple(float(f(known)) if known.size else math.nan for f in (np.min, np.median, np.max))
