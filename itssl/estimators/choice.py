"""Which estimator fits these samples, and why; or why none does."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from itssl.arrays import Samples, SamplesLike
from itssl.estimate import Estimate, EstimateWarning
from itssl.estimators.adequacy import high_dimension_warnings
from itssl.estimators.class_labels import holds_labels, label_facts
from itssl.estimators.diagnosis import atom_warnings, distinct_rows, tie_warnings
from itssl.estimators.gaussianity import gaussianity
from itssl.estimators.mixed_neighbors import Ross
from itssl.estimators.standardization import normal_scores, standardized
from itssl.estimators.trust import TrustReport, admit, diagnose
from itssl.markup import facts

GAUSSIANITY_LEVEL = 0.01
_LOW_DIMENSION = 3
TOLERATED = (0.05, 0.1)
"""Nats, and share of the value, that KSG's estimated bias may have before another estimator is sought."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """An estimator for given samples, or None where no number should be trusted. Made by :func:`choose`.

    ``reasons`` say why this one (or why none, and what to do instead), ``refused`` which others would mislead
    here and why, ``warnings`` are those of the diagnosis. Use it as ``choose(x).estimator.entropy(x)``.

    >>> found = choose(np.random.default_rng(0).normal(size=(500, 2)))
    >>> type(found.estimator).__name__, len(found.warnings)
    ('GaussianPlugin', 0)
    """

    estimator: Any
    reasons: tuple[str, ...]
    refused: tuple[str, ...] = ()
    warnings: tuple[EstimateWarning, ...] = ()

    def __str__(self) -> str:
        head = "no estimator" if self.estimator is None else repr(self.estimator)
        return "\n".join(
            [head, *(f"  - {r}" for r in self.reasons), *(f"  - not {r}" for r in self.refused)]
            + [f"  ! {w}" for w in self.warnings]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "no estimator" if self.estimator is None else repr(self.estimator)
        rows = {"because": "; ".join(self.reasons)} | ({"not": "; ".join(self.refused)} if self.refused else {})
        said = [(w.code, f"{w.message}; {w.cure}") for w in self.warnings]
        return facts(rows, caption=head, warnings=said)


def choose(x: SamplesLike, y: Any = None, *, report: TrustReport | None = None) -> Recommendation:
    """An estimator of h(X), or with y of I(X; Y), that suits the samples; None where any number would mislead.

    x and y have shapes (n, d_x) and (n, d_y); one of them may be class labels, as integers, booleans or words.
    Follows :func:`~itssl.estimators.trust.diagnose`: no density, no differential entropy; a noiseless relation, no
    finite information; atoms and labels, estimators made for them. Where Gaussianity (Mardia's tests, for
    information of the pairs or of their normal scores) is not rejected, log-determinants; else nearest neighbors
    while their neighborhoods are small. The choice looks at the data that will then be used, and standard errors do not
    account for that. ``report`` is what diagnose(x, y) returned, where it is at hand. Raises as diagnose does.

    >>> rng = np.random.default_rng(0)
    >>> choose(rng.normal(size=(500, 8))).estimator
    GaussianPlugin()
    >>> print(choose(rng.exponential(size=(500, 2))))
    KozachenkoLeonenko(k=4, metric='euclidean')
      - dimension 2 is low, where the bias of nearest neighbors is small
      - not GaussianPlugin: Mardia's tests reject Gaussian rows (p < 0.0001); it is an upper bound only
    >>> x = rng.normal(size=(500, 1))
    >>> print(choose(x, np.exp(x)).estimator)
    None
    >>> print(choose(x, np.where(x[:, 0] > 0, "right", "left")))
    Ross(k=4, standardize=True)
      - y holds class labels, 2 of them and at least 249 rows of each; x has a density
      - call mutual_information(x, y, method="ross"); no more than the labels' entropy, 0.6931 nats, is possible
      - not KSG: distances between labels mean nothing
    """
    report = diagnose(x, y) if report is None else report
    if y is None:
        estimator, reasons, refused = _entropy(admit(x), report)
    else:
        pair = admit(x, words=True), admit(y, name="y", words=True)
        estimator, reasons, refused = _information(*pair, report)
    warnings = report.warnings
    if isinstance(estimator, Ross):
        warnings = tuple(w for w in warnings if w.code != "integers")  # said of labels, which it is made for
    return Recommendation(estimator=estimator, reasons=reasons, refused=refused, warnings=warnings)


_Answer: TypeAlias = tuple[Any, tuple[str, ...], tuple[str, ...]]
_MOVES = "nearest neighbors: their neighborhoods are as wide as the data"


def _entropy(x: Samples, report: TrustReport) -> _Answer:
    """Estimator, reasons and refused others for h(X)."""
    from itssl.estimators.gaussian_plugin import GaussianPlugin
    from itssl.estimators.nearest_neighbors import KozachenkoLeonenko
    from itssl.estimators.weighted_neighbors import WeightedKozachenkoLeonenko

    n, d = x.shape
    codes = set(report.codes)
    for code in ("constant_column", "integers", "atoms", "ties", "singular_support"):
        if code in codes:
            warning = next(w for w in report.warnings if w.code == code)
            return None, (warning.message, warning.cure), ()
    if "low_dimensional_support" in codes:
        return _on_manifold(report)
    p = gaussianity(x)
    if "small_sample_for_dimension" in codes:
        return _few_rows(n, d, p)
    if p >= GAUSSIANITY_LEVEL:
        return GaussianPlugin(), (_gaussian(p), "log-determinants are then exactly unbiased and most precise"), ()
    refused = (f"GaussianPlugin: Mardia's tests reject Gaussian rows ({_p(p)}); it is an upper bound only",)
    if "high_dimension" in codes:
        why = f"the rows are not Gaussian ({_p(p)}) and {n} are too few for nearest neighbors in {d} dimensions"
        return None, (why, "reduce the dimension, draw more, or fit a model (FittedMixture)"), (*refused, _MOVES)
    if d <= _LOW_DIMENSION:
        return KozachenkoLeonenko(), (f"dimension {d} is low, where the bias of nearest neighbors is small",), refused
    why = f"{d} dimensions, {n} rows: neighborhoods are small enough for weights to remove the leading bias"
    return WeightedKozachenkoLeonenko(), (why,), refused


def _information(x: Samples, y: Samples, report: TrustReport) -> _Answer:
    """Estimator, reasons and refused others for I(X; Y)."""
    from itssl.estimators.gaussian_copula import GaussianCopula
    from itssl.estimators.gaussian_plugin import GaussianPlugin
    from itssl.estimators.local_nonuniformity import LNC
    from itssl.estimators.nearest_neighbors import KSG

    n, d = len(x), x.shape[1] + y.shape[1]
    codes = set(report.codes)
    for code in ("constant_column", "deterministic"):
        if code in codes:
            warning = next(w for w in report.warnings if w.code == code)
            return None, (warning.message, warning.cure), ()
    if codes & {"integers", "atoms", "ties"}:
        return _discrete(x, y)
    thin = [w for w in report.warnings if w.code == "low_dimensional_support"]
    joint = [w for w in thin if w.message.startswith("(x, y)")]
    if joint:
        return None, (joint[0].message, joint[0].cure), ("KSG: it returns about its ceiling whatever the truth is",)
    if thin:
        return _information_on_manifolds(n, report)
    pairs = np.hstack([standardized(x), standardized(y)])
    p = gaussianity(pairs)
    if "small_sample_for_dimension" in codes:
        return _few_rows(n, d, p)
    if p >= GAUSSIANITY_LEVEL:
        return GaussianPlugin(), (_gaussian(p), "canonical correlations then hold all information"), ()
    refused = (f"GaussianPlugin: Mardia's tests reject Gaussian pairs ({_p(p)})",)
    if "ceiling" in codes:
        if d <= 2 * _LOW_DIMENSION:
            return (
                LNC(),
                ("dependence is so strong that KSG only shows its ceiling",),
                ("KSG: at its ceiling", *refused),
            )
        return None, ("information is near the most that these rows can show", "draw more"), ("KSG: ceiling", *refused)
    moves = _moves(report)
    if not moves:
        return KSG(), (f"{d} dimensions together, {n} rows: neighborhoods are small enough",), refused
    p = gaussianity(normal_scores(pairs))
    if p >= GAUSSIANITY_LEVEL:
        return GaussianCopula(), (f"the normal scores of the columns look Gaussian ({_p(p)})",), (moves, *refused)
    why = (
        f"neither pairs nor their normal scores are Gaussian, and {n} rows are too few for neighbors in {d} dimensions"
    )
    return None, (why, "reduce the dimension, draw more, or train a critic"), (moves, *refused)


def _moves(report: TrustReport) -> str:
    """Why KSG would mislead: too many dimensions, or a bias seen in these data that is no small part of the value."""
    if "high_dimension" in report.codes:
        return _MOVES
    bias, value = report.measurements.get("ksg_bias"), report.measurements.get("ksg")
    if "neighbor_bias" not in report.codes or not isinstance(bias, Estimate) or not isinstance(value, Estimate):
        return ""
    if abs(bias.value) <= max(TOLERATED[0], TOLERATED[1] * abs(value.value)):
        return ""
    return f"KSG: of its {value.value:.2g} nats the sample size explains {abs(bias.value):.2g} (see neighbor_bias)"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _gaussian(p: float) -> str:
    return f"Mardia's tests do not reject Gaussian rows ({_p(p)})"


def _few_rows(n: int, d: int, p: float) -> _Answer:
    """Fewer than 4 rows a dimension: a shrunk covariance, unless the rows are seen not to be Gaussian."""
    from itssl.estimators.gaussian_plugin import GaussianPlugin

    if p < GAUSSIANITY_LEVEL:
        return None, (f"{n} rows in {d} dimensions, and not Gaussian ({_p(p)})", "draw more or reduce d"), ()
    doubt = "whether the rows are Gaussian cannot be tested with so few" if np.isnan(p) else _gaussian(p)
    why = (f"{n} rows in {d} dimensions leave the covariance open; shrinkage trades its variance for bias", doubt)
    return GaussianPlugin(shrinkage="oas"), why, (_MOVES,)


def _on_manifold(report: TrustReport) -> _Answer:
    from itssl.estimators.hausdorff import HausdorffEntropy

    warning = next(w for w in report.warnings if w.code == "low_dimensional_support")
    m = _dimension(report.measurements.get("intrinsic_dimension"))
    refused = ("estimators of differential entropy: it is -inf on such a support",)
    if m is None:
        return None, (warning.message, "the dimension of the support is not clear; draw more"), refused
    what = f"the support looks {m}-dimensional; this is entropy relative to its length, area, ..., not differential"
    return HausdorffEntropy(dimension=m), (warning.message, what), refused


def _information_on_manifolds(n: int, report: TrustReport) -> _Answer:
    """Information does not mind the embedding: what counts is how many dimensions the supports have."""
    from itssl.estimators.nearest_neighbors import KSG

    dims = [report.measurements.get(f"{name}_intrinsic_dimension") for name in "xy"]
    d = sum(found.value if isinstance(found, Estimate) else np.inf for found in dims)
    if not np.isfinite(d) or high_dimension_warnings(n, max(1, round(d)), information=True):
        return (
            None,
            (f"supports of about {d:.1f} dimensions together are too many for {n} rows", "draw more"),
            (_MOVES,),
        )
    why = f"x and y lie near about {d:.1f} dimensions together, where neighborhoods are small enough"
    return KSG(), (why,), ("GaussianPlugin: on a curved support rows are not Gaussian",)


def _dimension(found: Estimate | float | None) -> int | None:
    """The integer that the interval of an intrinsic dimension singles out."""
    if not isinstance(found, Estimate):
        return None
    low, high = found.interval(0.95)
    return round(low) if np.isfinite(high - low) and round(low) == round(high) >= 1 else None


def _discrete(x: Samples, y: Samples) -> _Answer:
    """Labels, counts, atoms or copies among the pairs."""
    from itssl.estimators.mixed_neighbors import MixedKSG

    refused = ("KSG: equal values make its counts artifacts",)
    different = [len(distinct_rows(z)) for z in (x, y, np.hstack([x, y]))]
    if different[0] == different[1] == different[2] < len(x):
        why = "x, y and the pairs repeat together: rows were copied, or x and y determine each other"
        return None, (why, "remove copies with numpy.unique(..., axis=0)"), refused
    plain_x, plain_y = (not (tie_warnings(z) + atom_warnings(z)) for z in (x, y))
    if holds_labels(y) and plain_x:
        return _labels(y, "y", "x")
    if holds_labels(x) and plain_y:
        return _labels(x, "x", "y")
    return MixedKSG(), ("values repeat, so the law has atoms; this one allows for them",), refused


def _labels(z: Samples, labels: str, rows: str) -> _Answer:
    """Ross for the information that rows with a density have about labels."""
    known = label_facts(z)
    sizes = f"{known['classes']:.0f} of them and at least {known['rarest_class']:.0f} rows of each"
    why = f"{labels} holds class labels, {sizes}; {rows} has a density"
    how = f'call mutual_information({rows}, {labels}, method="ross")' + (", labels last" if labels == "x" else "")
    most = f"{how}; no more than the labels' entropy, {known['entropy_of_labels']:.4g} nats, is possible"
    return Ross(), (why, most), ("KSG: distances between labels mean nothing",)
