"""A number with its passport: value, standard error, sample size, bias direction, method and warnings."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from numbers import Real
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from itssl.choices import ParameterError
from itssl.markup import facts

NATS_PER_BIT = math.log(2.0)


class Bias(Enum):
    """Where the expectation of an estimate lies relative to the truth.

    >>> Bias.UNBIASED.centered, Bias.LOWER.centered
    (True, False)
    """

    EXACT = "exact"
    UNBIASED = "unbiased"
    LOWER = "lower"
    UPPER = "upper"
    UNKNOWN = "unknown"

    @property
    def centered(self) -> bool:
        """Whether the expectation equals the truth."""
        return self in (Bias.EXACT, Bias.UNBIASED)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Where a formula comes from.

    >>> print(Reference(authors="Shannon", title="A mathematical theory of communication", year=1948))
    Shannon (1948). A mathematical theory of communication.
    """

    authors: str
    title: str
    year: int
    where: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}). {self.title}." + (f" {self.where}." if self.where else "")


@dataclass(frozen=True, kw_only=True)
class EstimateWarning:
    """Why a number may mislead: a stable ``code``, what it means (``message``) and what to do (``cure``).

    >>> print(EstimateWarning(code="ties", message="3 rows are copies", cure="remove them"))
    [ties] 3 rows are copies; remove them
    """

    code: str
    message: str
    cure: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}; {self.cure}"


@runtime_checkable
class IntervalRule(Protocol):
    """How to make an interval where Student's t around the value is not right; a frozen, picklable object.

    Called with a level in (0, 1) it returns (low, high) in nats, e.g. from exact quantiles or by inverting a test.
    """

    def __call__(self, level: float, /) -> tuple[float, float]: ...


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated quantity in nats (unless ``units`` says otherwise).

    ``bias`` is the side of the truth on which the *expectation* of ``value`` lies; ``standard_error`` is the
    spread of ``value`` around that expectation and does not include the bias. There is no arithmetic: errors of
    two estimates on one sample are correlated. ``interval_rule`` replaces Student's t where something better is known.
    Raises ValueError for a negative standard error.

    >>> Estimate(value=1.4189, standard_error=0.0123, n=1000, bias=Bias.UNBIASED, method="GaussianPlugin()")
    1.419 ± 0.012 nats (GaussianPlugin(), n=1000)
    """

    value: float
    standard_error: float
    n: int
    bias: Bias
    method: str
    units: str = "nats"
    degrees_of_freedom: float = math.inf
    interval_rule: IntervalRule | None = None
    reference: Reference | None = None
    warnings: tuple[EstimateWarning, ...] = ()
    diagnostics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        object.__setattr__(self, "standard_error", float(self.standard_error))
        frozen = MappingProxyType({key: float(value) for key, value in self.diagnostics.items()})
        object.__setattr__(self, "diagnostics", frozen)
        if self.standard_error < 0:
            raise ValueError(f"standard_error: expected a non-negative number, got {self.standard_error}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "diagnostics": dict(self.diagnostics)}  # a mapping proxy cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, diagnostics=MappingProxyType(state["diagnostics"]))

    def in_bits(self) -> "Estimate":
        """The same estimate in bits; information in nats is divided by log 2. ValueError unless it is in nats.

        >>> Estimate(value=math.log(2), standard_error=0, n=1, bias=Bias.EXACT, method="coin").in_bits().value
        1.0
        """
        if self.units != "nats":
            raise ValueError(f"units: expected an estimate in nats, got one in {self.units}")
        scale = 1 / NATS_PER_BIT
        return replace(self, value=self.value * scale, standard_error=self.standard_error * scale, units="bits")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval for the *expectation* of the estimator at the given confidence level.

        By ``interval_rule`` where the estimator gave one; else Student's t with the estimate's degrees of freedom
        (normal when they are infinite), which covers the truth only as far as ``bias`` is centered.
        Raises ParameterError unless 0 < level < 1.

        >>> low, high = Estimate(value=0, standard_error=1, n=9, bias=Bias.UNBIASED, method="m").interval(0.95)
        >>> print(f"{low:.2f} {high:.2f}")
        -1.96 1.96
        """
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}; pass e.g. 0.95")
        if self.interval_rule is not None and math.isfinite(self.value):
            low, high = self.interval_rule(level)
            scale = NATS_PER_BIT if self.units == "bits" else 1.0
            return low / scale, high / scale
        if not self.standard_error > 0 or not math.isfinite(self.value):
            return (self.value, self.value) if self.standard_error == 0 else (-math.inf, math.inf)
        half = student_quantile(0.5 + level / 2, self.degrees_of_freedom) * self.standard_error
        return self.value - half, self.value + half

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; infinite and undefined numbers become strings."""
        return {
            "value": json_number(self.value),
            "standard_error": json_number(self.standard_error),
            "interval_95": [json_number(end) for end in self.interval(0.95)],
            "n": self.n,
            "bias": self.bias.value,
            "units": self.units,
            "method": self.method,
            "warnings": [{"code": w.code, "message": w.message, "cure": w.cure} for w in self.warnings],
            "diagnostics": {key: json_number(value) for key, value in self.diagnostics.items()},
            "reference": None if self.reference is None else str(self.reference),
        }

    def to_json(self) -> str:
        """The estimate as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        drawn = f", n={self.n}" if self.n else ""
        return f"{self._number()} {self.units} ({self.method}{drawn})"

    def _number(self) -> str:
        """Value and error; a truth in closed form is called exact, an error that is not known "?"."""
        if self.bias is Bias.EXACT and self.standard_error == 0:
            return f"{self.value:.6g} (exact)"
        if math.isfinite(self.value) and math.isnan(self.standard_error):
            return f"{self.value:.4g} ± ?"
        return format_with_error(self.value, self.standard_error)

    def __repr__(self) -> str:
        return "\n".join([str(self), *(f"  ! {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        rows = {
            "95 % interval": "{:.4g} … {:.4g}".format(*self.interval(0.95)),
            "bias": self.bias.value,
            "method": self.method,
            **({"n": str(self.n)} if self.n else {}),  # a truth in closed form has no rows
            **{key: f"{value:.4g}" for key, value in self.diagnostics.items()},
        }
        said = [(w.code, f"{w.message}; {w.cure}") for w in self.warnings]
        return facts(rows, caption=f"{self._number()} {self.units}", warnings=said)


def student_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t; of the normal law when the degrees of freedom are infinite.

    >>> round(student_quantile(0.975, 10), 3)
    2.228
    """
    from scipy.special import ndtri, stdtrit

    if math.isinf(degrees_of_freedom):
        return float(ndtri(probability))
    return float(stdtrit(degrees_of_freedom, probability))


def format_with_error(value: float, error: float) -> str:
    """value ± error, both rounded where the error has its second significant digit; the value to 2 to 10 of its own.

    >>> format_with_error(1.41894, 0.0123)
    '1.419 ± 0.012'
    >>> format_with_error(6.660454042e-19, 3.6e-20)
    '6.66e-19 ± 3.6e-20'
    >>> format_with_error(float("-inf"), float("nan"))
    '-inf'
    """
    if not math.isfinite(value) or not math.isfinite(error):
        return f"{value:.6g}"
    if error == 0:
        return f"{value:.6g} ± 0"
    digits = 1 - math.floor(math.log10(error))
    if digits > 9:
        common = digits + 1 + math.floor(math.log10(abs(value) or error))
        return f"{value:.{min(max(common, 2), 10)}g} ± {error:.2g}"
    if digits < 0:
        return f"{value:.3g} ± {error:.2g}"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def json_number(value: float) -> float | str:
    """A finite number as it is; "inf", "-inf" and "nan" as text, for JSON has no such numbers."""
    return value if math.isfinite(value) else str(value)
