"""Everything that is known against believing an estimate from these samples, in one report."""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from itssl.arrays import (
    Samples,
    SamplesLike,
    as_paired_samples,
    as_samples,
    is_torch,
    list_columns,
    stream,
    take_columns,
)
from itssl.estimate import Estimate, EstimateWarning, format_with_error, json_number
from itssl.estimators.adequacy import (
    bias_warnings,
    covariance_warnings,
    high_dimension_warnings,
    neighbor_entropy_bias,
    neighbor_information_bias,
    tail_index,
    tail_warnings,
    unit_ratio,
    unit_warnings,
)
from itssl.estimators.class_labels import holds_labels, label_facts, label_warnings, text_as_codes
from itssl.estimators.diagnosis import (
    atom_warnings,
    distinct_rows,
    joint_support_warnings,
    linear_support,
    support_warnings,
    tie_warnings,
    tied_rows,
)
from itssl.estimators.drift import NO_ENTROPY
from itssl.estimators.error_bars import subsampling_standard_error
from itssl.estimators.intrinsic_dimension import intrinsic_dimension, low_dimension_warnings, neighbor_alignment
from itssl.estimators.mixed_neighbors import crowded_warnings
from itssl.estimators.nearest_neighbors import KSG, KozachenkoLeonenko, log_ball_volumes
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.estimators.standardization import canonical_order, in_units_of_its_own, standardized
from itssl.estimators.wishart import log_determinant_bias
from itssl.markup import facts, require_pandas

LARGEST_SEARCH = 4000
"""Neighbor estimates inside the report use this many rows at most."""

Measurement: TypeAlias = Estimate | float


@dataclass(frozen=True, kw_only=True)
class TrustReport:
    """What speaks against estimates from these samples, and the numbers behind it. Made by :func:`diagnose`.

    ``warnings`` have a stable ``code``, a ``message`` with the numbers, and a ``cure``; ``measurements`` map names to
    an Estimate where there is an error, else to a number. There is no verdict and no truth value: which warnings
    matter depends on the estimator (see :func:`itssl.estimators.choice.choose`).

    >>> found = diagnose(np.zeros((50, 2)))
    >>> found.codes
    ('constant_column',)
    """

    subject: str
    warnings: tuple[EstimateWarning, ...]
    measurements: Mapping[str, Measurement]

    def __post_init__(self) -> None:
        object.__setattr__(self, "measurements", MappingProxyType(dict(self.measurements)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "measurements": dict(self.measurements)}  # a mapping proxy cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, measurements=MappingProxyType(state["measurements"]))

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the warnings, each once, in their order."""
        return tuple(dict.fromkeys(w.code for w in self.warnings))

    def __bool__(self) -> bool:
        raise TypeError("a TrustReport has no truth value; see report.codes, or itssl.choose for what to use")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; infinite and undefined numbers become strings."""
        return {
            "subject": self.subject,
            "warnings": [{"code": w.code, "message": w.message, "cure": w.cure} for w in self.warnings],
            "measurements": {
                name: m.to_dict() if isinstance(m, Estimate) else json_number(m)
                for name, m in self.measurements.items()
            },
        }

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_pandas(self) -> Any:
        """The measurements as a DataFrame: name (index), value, standard_error, units. ImportError without pandas."""
        rows = [
            (m.value, m.standard_error, m.units) if isinstance(m, Estimate) else (m, math.nan, "")
            for m in self.measurements.values()
        ]
        index = require_pandas().Index(self.measurements, name="measurement")
        return require_pandas().DataFrame(rows, index=index, columns=["value", "standard_error", "units"])

    def __str__(self) -> str:
        found = f"warnings: {', '.join(self.codes)}" if self.warnings else "no warnings"
        width = max(map(len, self.measurements), default=0)
        numbers = [f"  {name:<{width}}  {_number(m)}" for name, m in self.measurements.items()]
        return "\n".join([f"{self.subject}: {found}", *(f"  ! {w}" for w in self.warnings), *numbers])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = {name: _number(m) for name, m in self.measurements.items()}
        said = [(w.code, f"{w.message}; {w.cure}") for w in self.warnings]
        return facts(rows, caption=self.subject, warnings=said)


def diagnose(x: SamplesLike, y: Any = None) -> TrustReport:
    """Look for what makes estimates of entropy from x, or of information from pairs (x, y), untrustworthy.

    x and y have shapes (n, d_x) and (n, d_y); in pairs one may be class labels, integers or words, of which only
    number, rarest class and entropy are measured. Codes, for each of x and y (and joint where pairs are given):

    - the law has no density: ``constant_column``, ``ties``, ``atoms``, ``integers``, ``singular_support``,
      ``low_dimensional_support`` (nonlinear: :func:`~itssl.estimators.intrinsic_dimension.neighbor_alignment`; of the
      pairs it means that x and y are nearly functions of each other), ``deterministic`` (linear, infinite information);
    - the sample is too small: ``small_sample_for_dimension``, ``high_dimension``, ``neighbor_bias``, and ``ceiling``
      for information that n rows cannot show;
    - an assumption fails: ``heavy_tails`` (of covariances), ``unstandardized`` (of distances in raw units).

    Integer and boolean arrays are accepted and flagged, constant columns flagged and left out. Neighbor estimates
    use at most 4,000 rows. Raises SampleError for NaN or infinite values, wrong rank, empty or unequally long arrays,
    and SampleTypeError for what holds no numbers; never for data that are merely suspicious.

    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> diagnose(x).codes, diagnose(np.hstack([x, x + 1])).codes
    ((), ('singular_support',))
    >>> diagnose(x, x[:, 0]).codes
    ('deterministic',)
    >>> print(f"{diagnose(x, ['a', 'b'] * 250).measurements['y_entropy_of_labels']:.4f}")  # no information is above
    0.6931
    """
    if y is None:
        x = admit(x)
        warnings, measurements = _constants(x, "x"), _sizes(x, "")
        varying = _varying(x)
        if varying.shape[1]:
            found, numbers = _one(varying, "x")
            warnings += found + _dimension_warnings(varying, found)
            measurements |= numbers
            found, numbers = _entropy(varying, warnings)
            warnings += found
            measurements |= numbers
        return TrustReport(subject=f"x of shape {x.shape}", warnings=warnings, measurements=measurements)
    x, y = as_paired_samples(_as_numbers(text_as_codes(x, "x")), _as_numbers(text_as_codes(y, "y")))
    warnings = _constants(x, "x") + _constants(y, "y")
    measurements = _sizes(x, "x_") | _sizes(y, "y_")
    blocks = {name: _varying(z) for name, z in (("x", x), ("y", y))}
    for name, z in blocks.items():
        if z.shape[1]:
            found, numbers = _labels(z, name) if holds_labels(z) else _one(z, name)
            warnings += found
            measurements |= {f"{name}_{key}": m for key, m in numbers.items()}
    if all(z.shape[1] for z in blocks.values()):
        found, numbers = _both(blocks["x"], blocks["y"], warnings)
        warnings += found
        measurements |= numbers
    return TrustReport(
        subject=f"x of shape {x.shape}, y of shape {y.shape}", warnings=warnings, measurements=measurements
    )


def admit(x: Any, *, name: str = "x", words: bool = False) -> Samples:
    """x as samples like :func:`itssl.arrays.as_samples`, but integers and booleans are taken as numbers.

    Labels in words too, as their codes, where ``words`` says so.

    >>> admit([1, 2, 2]).ravel(), admit(["b", "a", "b"], words=True).ravel()
    (array([1., 2., 2.]), array([1., 0., 1.]))
    """
    return as_samples(_as_numbers(text_as_codes(x, name) if words else x), name=name)


_NO_DENSITY = NO_ENTROPY - {"high_dimension"}
_LEAST_ROWS = 20  # below them neighbor estimates on halves say nothing


def _one(x: Samples, name: str) -> tuple[tuple[EstimateWarning, ...], dict[str, Measurement]]:
    """What concerns one block alone; its columns vary."""
    index, _ = tail_index(x)
    alignment = neighbor_alignment(x)
    measurements: dict[str, Measurement] = {
        "rank": float(linear_support(x).rank), "tied_rows": float(tied_rows(x)), "unit_ratio": unit_ratio(x),
        "heaviest_tail_index": float(np.fmax.reduce(index)),
    }  # fmt: skip
    warnings = tie_warnings(x, name=name) + atom_warnings(x, name=name) + support_warnings(x, name=name)
    if not any(w.code == "integers" for w in warnings):
        warnings += low_dimension_warnings(x, name=name, found=alignment) + tail_warnings(x, name=name)
    part = distinct_rows(standardized(_some_rows(x)))
    if len(part) >= _LEAST_ROWS:
        measurements["intrinsic_dimension"] = intrinsic_dimension(part)
        measurements["intrinsic_dimension_two_nn"] = intrinsic_dimension(part, method="two_nn")
        measurements["neighbor_alignment"] = alignment.ratio
    return warnings, measurements


def _labels(x: Samples, name: str) -> tuple[tuple[EstimateWarning, ...], dict[str, Measurement]]:
    """What concerns a column of labels."""
    return label_warnings(x, name=name), dict(label_facts(x))


def _dimension_warnings(x: Samples, found: tuple[EstimateWarning, ...]) -> tuple[EstimateWarning, ...]:
    """For entropy: rows against columns, once; nothing about neighbors where the support is thinner than that."""
    n, d = x.shape
    thin = {w.code for w in found} & _NO_DENSITY
    small = () if "small_sample_for_dimension" in thin else covariance_warnings(n, d)
    return (
        small
        + (() if thin - {"small_sample_for_dimension"} or n <= 4 else high_dimension_warnings(n, d))
        + unit_warnings(x)
    )


def _entropy(
    x: Samples, warnings: tuple[EstimateWarning, ...]
) -> tuple[tuple[EstimateWarning, ...], dict[str, Measurement]]:
    """How far log-determinants and nearest neighbors are off in the entropy of x."""
    n, d = x.shape
    measurements: dict[str, Measurement] = {}
    if n > d:
        measurements["uncorrected_gaussian_bias"] = log_determinant_bias(n, d) / 2
    if n < _LEAST_ROWS or {w.code for w in warnings} & NO_ENTROPY:
        return (), measurements
    part = in_units_of_its_own(_some_rows(x))[0]
    k = KozachenkoLeonenko().k
    error, _ = subsampling_standard_error(
        lambda rows: float(neighbor_entropies(log_ball_volumes(part[rows], k, "euclidean"))[-1]),
        canonical_order(part), smallest_block=2 * k + 2,
    )  # fmt: skip
    bias, error = _at(n, neighbor_entropy_bias(part, k=k), error, d)
    measurements["kozachenko_leonenko_bias"] = bias
    return bias_warnings(bias, error), measurements


def _both(
    x: Samples, y: Samples, warnings: tuple[EstimateWarning, ...]
) -> tuple[tuple[EstimateWarning, ...], dict[str, Measurement]]:
    """What concerns the pairs: relations, ceilings, and the sample size for their information."""
    n, d = len(x), x.shape[1] + y.shape[1]
    codes = {w.code for w in warnings}
    if holds_labels(x) or holds_labels(y):
        rows = y if holds_labels(x) else x
        thin = codes & (_NO_DENSITY - {"integers"})
        return () if thin else crowded_warnings(rows), {}
    found = tuple(w for w in joint_support_warnings(x, y) if w.code == "deterministic")
    joint = np.hstack([standardized(x), standardized(y)])
    alignment = neighbor_alignment(joint)
    if not found and not codes & _NO_DENSITY:
        found += tuple(_joint(w) for w in low_dimension_warnings(joint, name="(x, y)", found=alignment))
    if "small_sample_for_dimension" not in codes:
        found += covariance_warnings(n, d, name="(x, y)")
    measurements: dict[str, Measurement] = {"joint_neighbor_alignment": alignment.ratio}
    if n > d:
        bias = log_determinant_bias(n, x.shape[1]) + log_determinant_bias(n, y.shape[1]) - log_determinant_bias(n, d)
        measurements["uncorrected_gaussian_bias"] = bias / 2
    if n < _LEAST_ROWS:
        return found, measurements
    if not codes & (_NO_DENSITY - {"small_sample_for_dimension"}):
        found += high_dimension_warnings(n, d, information=True)
    part = _some_rows(joint)
    a, b = part[:, : x.shape[1]], part[:, x.shape[1] :]
    if (np.ptp(part, axis=0) == 0).any():
        return found, measurements  # rare values that these rows happen to miss
    information = KSG().mutual_information(a, b)
    measurements |= {"ksg": replace(information, warnings=()), "ksg_ceiling": information.diagnostics["ceiling_nats"]}
    measurements["log_n"] = math.log(n)
    found += tuple(w for w in information.warnings if w.code == "ceiling")
    if not {w.code for w in (*warnings, *found)} & (_NO_DENSITY | {"deterministic", "ceiling"}):
        bias, error = _at(n, neighbor_information_bias(a, b), information.standard_error, d)
        measurements["ksg_bias"] = bias
        found += bias_warnings(bias, error, name="(x, y)")
    return found, measurements


def _joint(warning: EstimateWarning) -> EstimateWarning:
    message = warning.message.partition("; on a curved")[0]
    return replace(
        warning,
        message=f"{message}; x and y are nearly functions of each other, and information is limited by n alone",
        cure="add the noise that your question implies (NoiseConvolved), or drop the shared part",
    )


def _at(n: int, bias: Estimate, error: float, d: int) -> tuple[Estimate, float]:
    """A bias and a standard error found on fewer rows, at n rows: n^{−2/d} and n^{−1/2}."""
    share = bias.n / n
    scaled = replace(
        bias, value=bias.value * share ** (2 / d), standard_error=bias.standard_error * share ** (2 / d), n=n
    )
    return scaled, error * share**0.5


def _some_rows(x: Samples) -> Samples:
    """At most LARGEST_SEARCH rows, chosen by their values and not by their order."""
    if len(x) <= LARGEST_SEARCH:
        return x
    return x[canonical_order(x)[stream(0, "trust", len(x)).permutation(len(x))[:LARGEST_SEARCH]]]


def _as_numbers(x: Any) -> Any:
    """Integers and booleans as floats; all else as it came."""
    if isinstance(x, np.ma.MaskedArray):
        return x
    array = np.asarray(x.detach().cpu()) if is_torch(x) and not x.dtype.is_floating_point else x
    dtypes = getattr(array, "dtypes", None)
    if dtypes is not None:  # a DataFrame or Series, which keeps its row labels
        kinds = [getattr(kind, "kind", "") for kind in np.atleast_1d(np.asarray(dtypes))]
        return array.astype(float) if kinds and set(kinds) <= set("iubf") else array
    if isinstance(array, list | tuple | np.ndarray):
        with contextlib.suppress(ValueError):  # ragged lists are refused by as_samples, by name
            array = np.asarray(array)
            return array.astype(float) if array.dtype.kind in "iub" and array.size else x
    return x


def _constants(x: Samples, name: str) -> tuple[EstimateWarning, ...]:
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if not constant.size:
        return ()
    return (
        EstimateWarning(
            code="constant_column",
            message=f"{constant.size} of {x.shape[1]} columns of {name} never vary (column "
            f"{list_columns(x, constant)}); differential entropy is -inf, and estimators refuse them",
            cure="drop them; the rest of this report is about the others",
        ),
    )


def _varying(x: Samples) -> Samples:
    return take_columns(x, np.ptp(x, axis=0) > 0)


def _sizes(x: Samples, prefix: str) -> dict[str, Measurement]:
    return {f"{prefix}n": float(len(x)), f"{prefix}d": float(x.shape[1])}


def _number(m: Measurement) -> str:
    if isinstance(m, Estimate):
        return f"{format_with_error(m.value, m.standard_error)} {m.units}"
    return f"{m:.4g}"
