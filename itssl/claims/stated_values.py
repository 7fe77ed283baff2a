r"""Numbers that the theory states, each beside a measurement of our own.

A number printed with d digits is known to half a unit of the last, and so much is allowed beside Monte-Carlo error:

$$|\bar m - s| \le \text{rounding} + t_{R-1}\, \hat\sigma \sqrt{1/R + 1/R_s}$$

for the mean $\bar m$ of R measured replicates of deviation $\hat\sigma$, Student's t at level 1 − 1e-3, and $R_s$, the
replicates behind the stated number (one batch, one network), where it was itself drawn; $1/R_s = 0$ where not.
"""

import importlib
import math
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from itssl.arrays import stream
from itssl.choices import ParameterError, require_count, require_known, require_nonnegative
from itssl.estimate import Bias, Estimate, format_with_error, json_number, student_quantile
from itssl.markup import facts

ERROR_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class StatedValue:
    """A number of the theory and how it is measured here.

    Parameters
    ----------
    claim: identifier, "C07"; "VICReg" for the table of normalizations, which belongs to no claim.
    quantity: what it is, in plain text; unique within the claim.
    stated, rounding: as printed, and half a unit of its last digit (0.0005 for 1.452), or the stated spread.
    measure: one replicate of the measurement; None where it is not run here, and the note says where it was.
    replicates: how many are averaged; 1 only for a value that draws nothing.
    level: the extent of `itssl verify` from which on it takes part, by cost.
    source_replicates: replicates behind the stated number; 0 where it was not drawn or has no error beside rounding.
    disputed: it is known not to come out; the note says who is right.
    note: conditions chosen where the source names none, and the explanation where the numbers disagree.
    units: of the number.

    Raises
    ------
    ParameterError: counts below their minimum, a negative rounding, a disputed or unmeasured value without a note.
    """

    claim: str
    quantity: str
    stated: float
    rounding: float
    measure: Callable[[np.random.Generator], float] | None
    replicates: int
    level: Literal["quick", "default", "full"]
    note: str = ""
    source_replicates: int = 0
    disputed: bool = False
    units: str = "nats"

    def __post_init__(self) -> None:
        require_nonnegative("rounding", self.rounding)
        require_count("replicates", self.replicates)
        require_count("source_replicates", self.source_replicates, minimum=0)
        if not self.note and (self.disputed or self.measure is None):
            raise ParameterError(f"note: expected an explanation for {self.name}, got none; say who is right and why")

    @property
    def name(self) -> str:
        """Claim and quantity: the key in :func:`stated_values`."""
        return f"{self.claim}: {self.quantity}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison:
    """A stated number beside what was measured; has no truth value (it may not have been measured): use ``.agrees``.

    ``allowed`` is the largest difference that would still agree: a large one says that agreement means little.
    """

    claim: str
    quantity: str
    stated: float
    rounding: float
    measured: Estimate | None
    allowed: float
    agrees: bool | None
    disputed: bool
    note: str
    units: str
    seconds: float
    seed: int

    @property
    def as_expected(self) -> bool:
        """Whether it agrees, is disputed and disagrees, or is not measured here."""
        return self.agrees is None or self.agrees != self.disputed

    @property
    def says_little(self) -> bool:
        """Whether 0 would agree as well: one draw of a wide law is stated."""
        return self.measured is not None and self.stated != 0 and abs(self.measured.value) <= self.allowed

    def __bool__(self) -> bool:
        raise TypeError("a Comparison has no truth value (it may not have been measured); use comparison.agrees")

    def __str__(self) -> str:
        why = f"; {self.note}" if self.note else ""
        return (
            f"{self.claim}, {self.quantity}: stated {self.stated:g}, measured {self._measured()}, {self._word()}{why}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = {"claim": self.claim, "quantity": self.quantity, "stated": f"{self.stated:g} {self.units}",
                "measured": f"{self._measured()} {self.units}", "allowed difference": f"{self.allowed:.3g}",
                "outcome": self._word(), "note": self.note}  # fmt: skip
        return facts({name: text for name, text in rows.items() if text})

    def _measured(self) -> str:
        if self.measured is None:
            return "not here"
        if self.measured.bias is Bias.EXACT:
            return f"{self.measured.value:.6g}"
        return format_with_error(self.measured.value, self.measured.standard_error)

    def _word(self) -> str:
        if self.agrees is None:
            return "not run here"
        zero = ", as would 0" * (self.agrees and self.says_little)
        return f"{'agrees' if self.agrees else 'disagrees'} (within {self.allowed:.2g}{zero})"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        value, error, allowed, n = None, None, None, 0
        if self.measured is not None:
            value, error = json_number(self.measured.value), json_number(self.measured.standard_error)
            allowed, n = json_number(self.allowed), self.measured.n
        return {
            "claim": self.claim, "quantity": self.quantity, "stated": self.stated, "rounding": self.rounding,
            "units": self.units, "measured": value, "standard_error": error, "replicates": n,
            "allowed": allowed, "agrees": self.agrees, "says_little": self.says_little,
            "disputed": self.disputed, "note": self.note, "seconds": round(self.seconds, 3), "seed": self.seed,
        }  # fmt: skip


def compare(value: StatedValue | str, *, seed: int = 0) -> Comparison:
    """Measure a stated value, given itself or by name, and say whether the two agree.

    Replicate i draws from ``stream(seed, "stated value", name, i)``. Raises UnknownNameError for another name.

    >>> print(compare("C27: largest bound, d = 5"))
    C27, largest bound, d = 5: stated 4.2914, measured 4.29141, agrees (within 5e-05)
    """
    if isinstance(value, str):
        require_known("value", value, stated_values())
        value = stated_values()[value]
    start = time.perf_counter()
    measured, allowed, agrees = None, math.nan, None
    if value.measure is not None:
        draws = [value.measure(stream(seed, "stated value", value.name, i)) for i in range(value.replicates)]
        measured, deviation = _mean(draws, value)
        allowed = value.rounding + _half_width(deviation, value)
        agrees = bool(abs(measured.value - value.stated) <= allowed)
    return Comparison(
        claim=value.claim, quantity=value.quantity, stated=value.stated, rounding=value.rounding, measured=measured,
        allowed=allowed, agrees=agrees, disputed=value.disputed, note=value.note, units=value.units,
        seconds=time.perf_counter() - start, seed=seed,
    )  # fmt: skip


def _mean(draws: list[float], value: StatedValue) -> tuple[Estimate, float]:
    """The mean of the replicates, and their standard deviation (0 of a single one, which draws nothing)."""
    n, deviation = len(draws), float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0
    estimate = Estimate(
        value=float(np.mean(draws)), standard_error=deviation / math.sqrt(n), n=n,
        bias=Bias.UNBIASED if n > 1 else Bias.EXACT, method=value.name, units=value.units,
        degrees_of_freedom=n - 1 if n > 1 else math.inf,
    )  # fmt: skip
    return estimate, deviation


def _half_width(deviation: float, value: StatedValue) -> float:
    if not deviation:
        return 0.0
    quantile = student_quantile(1 - ERROR_RATE / 2, value.replicates - 1)
    return quantile * deviation * math.sqrt(1 / value.replicates + (1 / (value.source_replicates or math.inf)))


@cache
def stated_values() -> Mapping[str, StatedValue]:
    """All stated values by "claim: quantity" in the order of claims, collected from the modules of itssl.claims.stated.

    >>> stated_values()["C07: h(|X|), X ~ N(0, I_2)"].stated
    1.452
    """
    package = importlib.import_module("itssl.claims.stated")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = [value for module in modules for value in module.VALUES]
    names = [v.name for v in found]
    if len(set(names)) < len(names):
        raise ParameterError(f"quantity: two values have one name, {max(names, key=names.count)!r}")
    return MappingProxyType({v.name: v for v in sorted(found, key=lambda v: (v.claim != "VICReg", v.claim))})
