"""What can be said about somebody's embeddings, and their labels, in one call: numbers, warnings, and what to trust."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, SamplesLike, as_samples, is_torch, on_host, stream, take_columns
from itssl.choices import require_count
from itssl.estimate import Bias, Estimate, EstimateWarning, format_with_error, json_number
from itssl.estimators.choice import Recommendation, choose
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.mixed_neighbors import Ross, as_labels
from itssl.estimators.trust import TrustReport, diagnose
from itssl.evaluation.collapse import CollapseReport, collapse_report
from itssl.kernels.linalg import covariance
from itssl.markup import require_pandas, table
from itssl.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 5000
"""Searches for nearest neighbors use this many rows at most, unless told otherwise."""
_PAPER_RATIO = 4  # rows a dimension below which a covariance is shrunk, as in `choose`
_STAGES = ("diagnosis", "collapse", "entropy", "labels")


class Line(NamedTuple):
    """One number of the report. ``standard_error`` is nan where there is none; ``bias`` empty for plain numbers."""

    quantity: str
    value: float
    standard_error: float
    units: str
    bias: str
    method: str

    @property
    def number(self) -> str:
        """Value, error and units as text."""
        bare = math.isnan(self.standard_error)
        number = f"{self.value:.4g}" if bare else format_with_error(self.value, self.standard_error)
        return f"{'≤ ' * (self.bias == Bias.UPPER.value)}{number} {self.units}".strip()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EmbeddingReport:
    """Numbers about embeddings, each with its error and method, and what speaks against them. See
    :func:`embedding_report`.

    ``estimates`` are those in nats by name; ``omitted`` says what was not measured and why, ``notes`` what to know.
    There is no verdict: which warnings matter depends on the question.

    >>> found = embedding_report(stream(0, "doc").normal(size=(200, 2)))
    >>> found.spectrum.shape, list(found.estimates)
    ((2,), ['entropy'])
    """

    name: str
    estimates: Mapping[str, Estimate]
    omitted: Mapping[str, str]
    trust: TrustReport
    recommendation: Recommendation
    collapse: CollapseReport
    spectrum: Float[np.ndarray, " d"]
    """Eigenvalues of the covariance, largest first."""
    classes: Mapping[str, int]
    """Rows of each label; empty without labels."""
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in ("estimates", "omitted", "classes"):
            object.__setattr__(self, field, MappingProxyType(dict(getattr(self, field))))
        self.spectrum.flags.writeable = False

    def __getstate__(self) -> dict[str, Any]:
        # a mapping proxy cannot be pickled
        return {k: dict(v) if isinstance(v, MappingProxyType) else v for k, v in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __bool__(self) -> bool:
        raise TypeError("an EmbeddingReport has no truth value; see .warnings, .estimates and .collapse.verdict")

    @property
    def warnings(self) -> tuple[EstimateWarning, ...]:
        """Those of the diagnosis, then those that only an estimate carries; each code once for each message."""
        said = self.trust.codes
        own = [w for e in self.estimates.values() for w in e.warnings if w.code not in said]
        return (*self.trust.warnings, *dict.fromkeys(own))

    @property
    def lines(self) -> tuple[Line, ...]:
        """All numbers, estimates first."""
        found = [
            Line(name, e.value, e.standard_error, e.units, e.bias.value, e.method) for name, e in self.estimates.items()
        ]
        for name in ("intrinsic_dimension", "intrinsic_dimension_two_nn"):
            e = self.trust.measurements.get(name)
            if isinstance(e, Estimate):
                found.append(Line(name.replace("_", " "), e.value, e.standard_error, "", e.bias.value, e.method))
        c = self.collapse
        plain = {
            "rank": (float(c.rank), f"of {c.attainable_rank}; variances above {c.smallest_variance:g} of the largest"),
            "effective rank": (c.effective_rank, f"of {c.attainable_rank}; of the covariance, by its entropy"),
            "RankMe": (c.rankme, "of the singular values, mean included"),
            "dead columns": (c.dead_columns, "share of columns that hardly vary"),
            "largest correlation": (c.largest_correlation, "of two columns, in size"),
        }
        return (*found, *(Line(name, value, math.nan, "", "", how) for name, (value, how) in plain.items()))

    @property
    def title(self) -> str:
        """The name, the shape, and how many classes."""
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{self.name}: {self.collapse.n} embeddings in {self.collapse.d} dimensions{classes}"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; infinite and undefined numbers become strings."""
        chosen = self.recommendation.estimator
        return {
            "name": self.name, "n": self.collapse.n, "d": self.collapse.d,
            "estimates": {name: e.to_dict() for name, e in self.estimates.items()}, "omitted": dict(self.omitted),
            "warnings": [{"code": w.code, "message": w.message, "cure": w.cure} for w in self.warnings],
            "measurements": self.trust.to_dict()["measurements"], "collapse": self.collapse.to_dict(),
            "recommended": None if chosen is None else repr(chosen),
            "spectrum": [json_number(float(v)) for v in self.spectrum], "classes": dict(self.classes),
            "notes": list(self.notes),
        }  # fmt: skip

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_pandas(self) -> Any:
        """The numbers as a DataFrame over ``quantity``. ImportError without pandas."""
        return require_pandas().DataFrame(self.lines, columns=list(Line._fields)).set_index("quantity")

    def __str__(self) -> str:
        rows = [(line.quantity, line.number, line.method) for line in self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        numbers = [f"  {q:<{widths[0]}}  {number:<{widths[1]}}  {how}".rstrip() for q, number, how in rows]
        missing = [f"  {what} not measured: {why}" for what, why in self.omitted.items()]
        said = [f"  ! {w}" for w in self.warnings] or ["  no warnings"]
        notes = [f"- {note}" for note in (*self.notes, *self.collapse.remarks)]
        return "\n".join([self.title, *said, *numbers, *missing, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(line.quantity, line.number, line.bias, line.method) for line in self.lines]
        missing = [f"{what} not measured: {why}" for what, why in self.omitted.items()]
        said = [f"⚠ {w.code}: {w.message}; {w.cure}" for w in self.warnings]
        notes = [*said, *missing, *self.notes, *self.collapse.remarks]
        return table(("", "value", "bias", "by"), rows, caption=self.title, notes=notes)

    def figure(self) -> "Figure":
        """The spectrum: variance of each direction and the share of the first directions together. Not shown."""
        from itssl.evaluation.drawing import panels_in

        figure, (each, together) = panels_in(None, 8.4, 3.2, 1, 2)
        values = np.maximum(self.spectrum, 0)
        k = np.arange(1, len(values) + 1)
        seen = values > 0
        each.plot(k[seen], values[seen], ".-", color="#0072B2", markersize=3, linewidth=1)
        each.set(xlabel="direction", ylabel="variance", yscale="log" if seen.any() else "linear")
        if seen.any():
            together.plot(k, values.cumsum() / values.sum(), color="#0072B2")
            together.axvline(self.collapse.effective_rank, color="0.35", linestyle="--", linewidth=1)
            together.text(
                self.collapse.effective_rank, 0.03, f" effective rank {self.collapse.effective_rank:.4g}", fontsize=8
            )
        together.set(xlabel="directions", ylabel="share of the variance", ylim=(0, 1.02))
        for ax in (each, together):
            ax.spines[["top", "right"]].set_visible(False)
        return figure


def embedding_report(
    z: SamplesLike, labels: Any = None, *, name: str = "embeddings", rows: int = ROWS, seed: int = 0,
    progress: bool = True,
) -> EmbeddingReport:  # fmt: skip
    r"""Entropy, information about labels, dimensions and collapse of embeddings, with what speaks against each number.

    - "entropy, Gaussian": ½ log((2πe)^d |C|), the largest entropy that the covariance C allows (with fewer than 4 rows
      a dimension of a shrunk covariance, and no bound any more);
    - "entropy": by the estimator that :func:`itssl.choose` recommends; where it recommends none ``omitted`` says why;
    - "information with labels": I(Z; C) by :class:`~itssl.estimators.Ross`; the truth is at most "entropy of labels";
    - intrinsic dimension, warnings and their measurements: :func:`itssl.diagnose`;
    - ranks and collapse: :func:`itssl.evaluation.collapse_report`.

    Columns that never vary are left out of the estimates, and named among the warnings.

    Parameters
    ----------
    z: embeddings, shape (n, d), an array, tensor or DataFrame of floats.
    labels: a class label for each row, as :func:`~itssl.estimators.mixed_neighbors.as_labels` admits, or None.
    name: what the report calls the embeddings.
    rows: how many rows, chosen at random, "entropy" and "information with labels" use at most; their cost grows with
        the square. 5000 rows of 384 columns take about 15 s on one core, most of it for the error of the information.
    seed: names the choice of rows.
    progress: whether to show a bar on anything over 5 seconds.

    Raises
    ------
    SampleError, SampleTypeError: z is no finite (n, d) array of floats with n ≥ 2, or labels do not fit it.
    ParameterError: rows below 20.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, size=400)
    >>> found = embedding_report(rng.normal(size=(400, 3)) + 6 * labels[:, None], labels)
    >>> print(f"{found.estimates['information with labels'].value:.2f} of {np.log(2):.2f}")
    0.69 of 0.69
    >>> found.collapse.verdict, found.omitted
    ('none', mappingproxy({}))
    """
    require_count("rows", rows, minimum=20)
    x = as_samples(z, name="z")
    n = len(x)
    codes = None if labels is None else as_labels(labels, n=n)
    classes = {} if codes is None else _classes(labels, codes)
    varying = _varying(x)
    part = slice(None) if n <= rows else np.sort(stream(seed, "embedding report", n).permutation(n)[:rows])
    notes = [] if n <= rows else [f"entropy and information with labels use {rows} of the {n} rows, chosen at random"]
    estimates: dict[str, Estimate] = {}
    omitted: dict[str, str] = {}
    with progress_bar(name, len(_STAGES), unit="stage", shown=progress) as bar:
        trust = diagnose(x)
        recommendation = _recommendation(x, varying, trust)
        bar.update(note="collapse")
        collapse = collapse_report(z if _keeps_its_precision(z) else x)
        spectrum = np.linalg.eigvalsh(covariance(x))[::-1].copy()
        bar.update(note="entropy")
        if not varying.shape[1]:
            omitted["entropy"] = "no column varies"
        else:
            measured, why = _entropies(varying, recommendation, part)
            estimates |= measured
            omitted |= {"entropy": why} if why else {}
        bar.update(note="labels")
        if codes is not None:
            estimates["entropy of labels"] = label_entropy(codes)
            if varying.shape[1]:
                information = Ross().mutual_information(varying if n <= rows else _varying(x[part]), codes[part])
                estimates["information with labels"] = information
                share = information.value / estimates["entropy of labels"].value
                notes.append(f"the embeddings show {share:.1%} of the entropy of the labels, by {information.method}")
            else:
                omitted["information with labels"] = "no column varies"
        bar.update()
    return EmbeddingReport(
        name=name, estimates=estimates, omitted=omitted, trust=trust, recommendation=recommendation, collapse=collapse,
        spectrum=spectrum, classes=classes, notes=tuple(notes),
    )  # fmt: skip


def label_entropy(codes: Any) -> Estimate:
    """−Σ p̂ log p̂ of class labels in nats, shape (n,): too low by about (c − 1)/(2n) for c classes.

    Raises SampleError as :func:`~itssl.estimators.mixed_neighbors.as_labels`.

    >>> print(label_entropy(["a", "b", "a", "b"]))
    0.693147 ± 0 nats (plug-in, n=4)
    """
    codes = as_labels(codes)
    n, counts = len(codes), np.bincount(codes)
    surprise = -np.log(counts / n)
    value = float(counts @ surprise) / n
    error = math.sqrt(max(float(counts @ (surprise - value) ** 2), 0.0)) / n
    correction = (len(counts) - 1) / (2 * n)
    return Estimate(
        value=value, standard_error=error, n=n, bias=Bias.LOWER, method="plug-in",
        diagnostics={"classes": len(counts), "miller_madow_correction_nats": correction},
    )  # fmt: skip


def _entropies(x: Samples, recommended: Recommendation, part: Any) -> tuple[dict[str, Estimate], str]:
    """The entropy that the covariance allows; that of the recommended estimator, or why there is none."""
    n, d = x.shape
    gaussian = GaussianPlugin() if n >= _PAPER_RATIO * d else GaussianPlugin(shrinkage="oas")
    found = {"entropy, Gaussian": gaussian.entropy(x)}
    chosen = recommended.estimator
    if chosen is None:
        return found, "; ".join(recommended.reasons)
    if chosen != gaussian:
        found["entropy"] = chosen.entropy(x if isinstance(part, slice) else _varying(x[part]))
        return found, ""
    return {"entropy": found["entropy, Gaussian"]}, ""


def _varying(x: Samples) -> Samples:
    """Without constant columns; x itself where there are none, so that numbers are those of x to the last digit."""
    varies = np.ptp(x, axis=0) > 0
    return x if varies.all() else take_columns(x, varies)


def _recommendation(x: Samples, varying: Samples, trust: TrustReport) -> Recommendation:
    """For the columns that vary, which are what all of the diagnosis but one warning is about."""
    if not varying.shape[1]:
        return choose(x, report=trust)
    others = tuple(w for w in trust.warnings if w.code != "constant_column")
    return choose(varying, report=replace(trust, warnings=others))


def _classes(labels: Any, codes: Any) -> dict[str, int]:
    """How many rows each label has, by the label as text."""
    plain = (on_host(labels) if is_torch(labels) else np.asarray(labels)).reshape(-1)
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return {str(plain[i]): int(count) for i, count in zip(first, counts, strict=True)}


def _keeps_its_precision(z: Any) -> bool:
    """Whether z says itself how it was rounded; lists and frames are taken as float64."""
    return is_torch(z) or (type(z) is np.ndarray and z.ndim == 2 and z.dtype.kind == "f")
