r"""Do the assumptions behind the output law of a network hold? Each as a number, at each width of the input noise.

Given prototypes x*_1 … x*_N, noise X | T = n ~ N(x*_n, s²Σ) and a piecewise affine network f with f(x) = A_n x + b_n on
the region of x*_n, the Gaussian picture "f(X) | T = n is N(f(x*_n), s² A_n Σ A_nᵀ)" rests on

- A1, mass within the region: P(X leaves the region of x*_n) small, between bounds and as counted;
- A2, prototypes apart: the most probable prototype of X is seldom a wrong one;
- A3, full rank of $A_n \Sigma A_n^\top$, else f(X) | T = n has no density and entropy −∞;
- A4, views independent given the prototype: a property of the views, measured only where views are given.

Beside them stands what they are invoked for: normality of the outputs, and their predicted moments. A test of normality
is no substitute for A1: it can fail to reject far outside the region.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, stream
from itssl.choices import ParameterError, require_count
from itssl.estimate import format_with_error, json_number
from itssl.estimators.trust import require_pandas
from itssl.evaluation.normality import (
    LEAST_DRAWS,
    PointTests,
    ViewDependence,
    point_tests,
    ranks,
    relative_error,
    share_with_error,
    view_dependence,
)
from itssl.evaluation.overlap import Overlap, as_covariance, as_scales, is_singular, misassignment, overlap, square_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = tuple(float(s) for s in np.geomspace(0.01, 100, 9))
PROJECTIONS, REPEATS = 32, 8
"""Directions of the projections; views of each prototype where a function makes them."""
SMALL, LEFT = 1e-3, 0.95
"""The report calls a probability small up to the first, and a region left from the second."""
_BATCH = 4096
_ASSIGNED = 8  # draws of the MAP rule, in units of the draws at one prototype: one such draw is cheap


class AssessmentRow(NamedTuple):
    """One scale of the noise. Means over prototypes; …_error are standard errors; nan where nothing could be measured.

    ``exit_lower`` ≤ P(exit) ≤ ``exit_upper`` are bounds, ``exit`` is counted. ``overlap`` bounds ``misassigned``.
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
            found += [
                f"coordinates look normal at scale {', '.join(f'{s:.3g}' for s in self.silent)} though at least "
                f"{LEFT:.0%} of the draws leave the region: no evidence for one region, only for a test too weak with "
                f"{self.draws} draws" + (f" (Mardia's joint tests reject {min(joint):.0%} or more)" if joint else "")
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
        """The rows as a DataFrame, one line a scale. Needs pandas."""
        return require_pandas().DataFrame(self.rows, columns=list(AssessmentRow._fields))

    def __str__(self) -> str:
        lines = [list(_HEADS), *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self._title(), self._at_every_scale(), *table, *(f"- {remark}" for remark in self.remarks)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEADS)
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row)) for row in self.rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        notes = "".join(f"<li>{html.escape(remark)}</li>" for remark in self.remarks)
        caption = f"{html.escape(self._title())}<br>{html.escape(self._at_every_scale())}"
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table><ul>{notes}</ul>"

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
        """Four panels over the scale: exit, overlap and distances of the data, normality, moments. Not shown."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 7), layout="constrained")
        a1, a2, normality, moments = axes = figure.subplots(2, 2).ravel()
        rows = sorted(self.rows)
        of = {name: np.array([getattr(row, name) for row in rows]) for name in AssessmentRow._fields}

        def curve(ax: Any, name: str, label: str) -> None:
            ax.errorbar(of["scale"], of[name], yerr=of[f"{name}_error"], marker="o", ms=4, capsize=2, label=label)

        a1.fill_between(of["scale"], of["exit_lower"], of["exit_upper"], alpha=0.2, label="bounds")
        curve(a1, "exit", "counted")
        a1.set_ylabel("P(X leaves its region)")
        if self.nearest is not None:
            curve(a2, "misassigned", "misassigned")
            a2.plot(of["scale"], of["overlap"], "--", label="bound by all distances")
            half = np.sort(self.nearest) / 2
            a2.step(half, np.arange(1, len(half) + 1) / len(half), color="0.4", label="prototypes nearer than 2 scales")
        a2.set(ylim=(-0.05, 1.05), ylabel="probability, share of prototypes")
        for name, label in (("coordinates", "coordinates"), ("projections", "projections"), ("mardia", "Mardia")):
            curve(normality, name, label)
        normality.plot(of["scale"], 1 - of["exit"], color="0.6", label="P(X stays)")
        normality.axhline(self.level, color="0.35", linewidth=0.8, linestyle=":")
        normality.set_ylabel(f"normality rejected at level {self.level:g}")
        for name, color in (("mean", "C0"), ("cov", "C1")):
            sampling = of[f"{name}_sampling"]
            moments.plot(of["scale"], np.sqrt(of[name] + sampling), "o-", color=color, ms=4, label=f"{name}, seen")
            moments.plot(of["scale"], np.sqrt(sampling), ":", color=color, label=f"{name}, sampling alone")
        moments.set(
            yscale="log" if np.nansum(of["mean_sampling"]) > 0 else "linear",
            ylabel="relative error of the predicted moments",
        )
        for ax in axes:
            ax.set(xscale="log", xlabel="scale of the noise")
            ax.spines[["top", "right"]].set_visible(False)
            if ax.has_data():
                ax.legend(frameon=False, fontsize=8)
        figure.suptitle(self._title(), fontsize=9, parse_math=False)
        return figure


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


def assess(
    network: Any,
    prototypes: SamplesLike,
    cov: Any,
    *,
    scales: Sequence[float] | None = None,
    draws: int = 512,
    points: int = 64,
    views: Callable | tuple[Any, Any] | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> Assessment:
    r"""Measure what the Gaussian picture of a network's output assumes, for noise of covariance s²Σ at each scale s.

    Parameters
    ----------
    network: a piecewise affine torch module in evaluation mode, as for :func:`itssl.networks.regions.local_affine`.
        It is measured in float64, on a copy.
    prototypes: shape (N, D), for instance a data set. A2 uses all of them.
    cov: Σ, a variance or a (D, D) covariance; it may be singular, but then A2 is not defined.
    scales: the factors s of the standard deviations, by default 0.01 to 100 in half decades.
    draws: perturbations of each prototype, at least 20. Mardia's tests need 4 for each dimension of the output.
    points: at how many prototypes, chosen at random, the network is measured.
    views: for A4, a pair (view_a, view_b) of arrays of shape (N', r, D), r >= 2 repeats for each prototype; or a
        function (x, torch generator) -> (view_a, view_b) of rows, such as :class:`itssl.networks.views.AffineViews`,
        which is called on 8 repeats. None: not measured.
    level: of the tests of normality.
    seed: names all draws. Those of one scale do not depend on which other scales are asked for.

    An interrupt returns the scales that are finished, with ``interrupted`` set.

    Raises
    ------
    NetworkError: the network is not piecewise affine, in training mode, or does not take D columns.
    SampleError: prototypes is no finite (N, D) array, or the views do not fit.
    ParameterError: a bad cov, scale, level, or number of draws or points.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> from itssl.networks.encoders import mlp
    >>> x = np.random.default_rng(0).normal(size=(5, 4))
    >>> found = assess(mlp((4, 8, 3), seed=0), x, 1.0, scales=[0.001, 10.0], draws=64)
    >>> [round(row.exit, 2) for row in found.rows], found.rank
    ([0.0, 0.95], array([3, 3, 3, 2, 3]))
    """
    from tqdm.auto import tqdm

    from itssl.networks.encoders import as_double
    from itssl.networks.regions import local_affine

    x = as_samples(prototypes, name="prototypes", minimum=1)
    sigma = as_covariance(cov, x.shape[1])
    chosen = as_scales(SCALES if scales is None else scales)
    draws, points = require_count("draws", draws, minimum=LEAST_DRAWS), require_count("points", points)
    if not 0 < level < 1:
        raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}")
    measured = np.sort(stream(seed, "assess", "points").permutation(len(x))[:points])
    matrix = local_affine(network, x[measured]).matrix  # refuses what is not piecewise affine
    root = square_root(sigma)
    rank, ratio = ranks(matrix @ root)
    undefined = "one prototype has no neighbor" if len(x) < 2 else "cov is singular" if is_singular(sigma) else ""
    apart = None if undefined else overlap(x, sigma, scales=chosen)
    exact = as_double(network)
    dependence = None if views is None else _views(exact, x[measured], views, seed)
    around = _Around(exact, x, sigma, root, matrix @ root, measured, draws, level, seed)
    rows, interrupted = [], False
    with tqdm(total=len(chosen) * len(measured), desc="assess", delay=5, leave=False) as bar:
        try:
            for k, scale in enumerate(chosen):
                rows.append(_row(around, scale, apart, k, bar.update))
        except KeyboardInterrupt:
            interrupted = True
    return Assessment(
        network=type(network).__name__, shape=(*x.shape, matrix.shape[1]), draws=draws, level=level, seed=seed,
        measured=measured, rank=rank, eigenvalue_ratio=ratio, nearest=None if apart is None else apart.nearest,
        duplicates=0 if apart is None else apart.duplicates, undefined=undefined,
        views=dependence, rows=tuple(rows), interrupted=interrupted,
    )  # fmt: skip


class _Around(NamedTuple):
    """What stays the same at all scales: root is R = Σ^½, images the A_n R."""

    network: Any
    x: Samples
    cov: Float[np.ndarray, "D D"]
    root: Float[np.ndarray, "D D"]
    images: Float[np.ndarray, "P K D"]
    measured: Int[np.ndarray, " P"]
    draws: int
    level: float
    seed: int


def _row(a: _Around, scale: float, apart: Overlap | None, k: int, advance: Callable) -> AssessmentRow:
    from itssl.networks.regions import exit_probability

    bounds = exit_probability(a.network, a.x[a.measured], scale**2 * a.cov)
    left, tests = [], []
    while len(tests) < len(a.measured):
        crossed, tested = _points(a, scale, slice(len(tests), len(tests) + max(1, _BATCH // a.draws)))
        left, tests = left + crossed, tests + tested
        advance(len(tested))
    total = a.draws * len(left)
    share = (sum(left) + 1) / (total + 2)  # pooled: its error is at least that of unequal prototypes
    a2 = math.nan, math.nan, math.nan
    if apart is not None:
        rng = stream(a.seed, "assess", "assignment", repr(scale))
        wrong = misassignment(a.x, scale**2 * a.cov, rng, _ASSIGNED * a.draws)
        a2 = float(apart.upper[k].mean()), wrong.value, wrong.standard_error
    counts = {name: np.array([getattr(t, name) for t in tests]) for name in PointTests._fields[:-1]}
    moments = np.array([t.moments for t in tests]).T
    return AssessmentRow(
        scale, float(bounds.lower.mean()), sum(left) / total, math.sqrt(share * (1 - share) / total),
        float(bounds.upper.mean()), *a2,
        *share_with_error(counts["coordinates"], counts["coordinates_tested"]),
        *share_with_error(counts["projections"], counts["projections_tested"]),
        *share_with_error(counts["mardia"], counts["mardia_tested"]),
        float(counts["constant"].mean()), float(counts["awakened"].mean()),
        *relative_error(*moments[:3]), *relative_error(*moments[3:]),
    )  # fmt: skip


def _points(a: _Around, scale: float, part: slice) -> tuple[list[int], list[PointTests]]:
    """The draws around a few prototypes, through the network together: how many left the region, and their tests."""
    from itssl.networks.encoders import embed
    from itssl.networks.regions import activation_pattern

    own, d = a.measured[part], a.x.shape[1]
    noise = [stream(a.seed, "assess", "noise", repr(scale), int(n)).standard_normal((a.draws, d)) for n in own]
    x = (a.x[own][:, None] + scale * np.stack(noise) @ a.root).reshape(-1, d)
    pattern = activation_pattern(a.network, x).reshape(len(own), a.draws, -1)
    left = (pattern != activation_pattern(a.network, a.x[own])[:, None]).any(axis=2).sum(axis=1)
    z, centers = embed(a.network, x).reshape(len(own), a.draws, -1), embed(a.network, a.x[own])
    directions = stream(a.seed, "assess", "directions").standard_normal((z.shape[2], PROJECTIONS))
    images = scale * a.images[part]
    tests = [
        point_tests(draws, center, image @ image.T, directions, level=a.level)
        for draws, center, image in zip(z, centers, images, strict=True)
    ]
    return left.tolist(), tests


def _views(network: Any, x: Samples, views: Any, seed: int) -> ViewDependence:
    """The test of A4 on the embeddings of given views, or of views made here."""
    import torch

    from itssl.networks.encoders import embed, torch_generator

    given: Any = views
    if not isinstance(views, tuple | list):
        made = views(torch.tensor(np.repeat(x, REPEATS, axis=0)), torch_generator(seed, "assess", "views"))
        given = [v.reshape(len(x), REPEATS, -1) if len(v) == len(x) * REPEATS else v for v in made]
    shapes: list[Any] = [tuple(getattr(view, "shape", ())) for view in given]
    if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) != 3 or shapes[0][2] != x.shape[1]:
        raise SampleError(
            f"views: expected two arrays of shape (N, r, {x.shape[1]}), r repeats for each prototype, got "
            f"{' and '.join(map(str, shapes))}"
        )
    flat = (as_samples(view.reshape(-1, x.shape[1]), name="views") for view in given)
    z_a, z_b = (embed(network, rows).reshape(*shapes[0][:2], -1) for rows in flat)
    return view_dependence(z_a, z_b, seed=seed)
