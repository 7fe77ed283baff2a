"""What a check is, what it finds, and the report of all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from itssl.claims.decision import Outcome
from itssl.markup import require_pandas, table
from itssl.testing.subjects import Quantity

WORDS = {
    Outcome.HOLDS: "ok",
    Outcome.VIOLATED: "FAILED",
    Outcome.UNDECIDED: "inconclusive",
    Outcome.NOT_APPLICABLE: "not applicable",
}


class ConformanceError(AssertionError):
    """Checks that an estimator failed, all of them, each with lines that repeat it; ``report`` has the rest.

    >>> from itssl.testing import check_entropy_estimator
    >>> try:
    ...     check_entropy_estimator(lambda x: 0.0, max_dim=1, only="scale")
    ... except ConformanceError as error:
    ...     print(error.report.summary)
    estimator as entropy: 1 FAILED
    """

    def __init__(self, report: "ConformanceReport") -> None:
        super().__init__(str(report))
        self.report = report


@dataclass(frozen=True, kw_only=True)
class Check:
    """One law of information as a test: its formula, its source, and the probability that a correct estimator fails.

    Exact checks compare numbers up to rounding, on one fixed draw; contracts look at what is raised, warned of or
    changed: both have ``false_alarm_rate`` 0. Statistical ones share the budget of the suite.
    """

    name: str
    quantity: Quantity
    law: str
    source: str
    kind: str
    false_alarm_rate: float
    function: Callable[..., Iterator["Case"]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison of a check: where, what the law says, what the estimator said."""

    world: str
    expected: str
    arrived: str
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.world}: expected {self.expected}, got {self.arrived}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found: the worst outcome of its cases, and two lines of Python that repeat it."""

    check: Check
    outcome: Outcome
    cases: tuple[Case, ...]
    reason: str
    seed: int
    reproduce: str
    seconds: float

    def __bool__(self) -> bool:
        raise TypeError("a Finding has no truth value (inconclusive is neither); use finding.outcome")

    @property
    def worst(self) -> tuple[Case, ...]:
        """The cases that made the outcome."""
        return tuple(case for case in self.cases if case.outcome is self.outcome)

    @property
    def detail(self) -> str:
        """What did not hold, or why nothing was checked; empty where all is well."""
        shown = self.worst if self.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED) else ()
        return "; ".join([*map(str, shown), *filter(None, [self.reason])])

    def __str__(self) -> str:
        lines = [f"{WORDS[self.outcome]}: {self.check.name}, {self.check.law}  [{self.check.source}]"]
        if self.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED):
            lines += [f"  {case}" for case in self.worst]
        if self.reason:
            lines.append(f"  {self.reason}")
        if self.outcome is Outcome.VIOLATED:
            lines += [f"  repeat (seed {self.seed}):", *(f"    {line}" for line in self.reproduce.splitlines())]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class ConformanceReport:
    """What all checks found about one estimator. Has no truth value: use ``.failures`` or ``.require()``.

    >>> import numpy as np
    >>> from itssl.testing import check_entropy_estimator
    >>> check_entropy_estimator(lambda x: float(np.log(np.ptp(x))), max_dim=1, only="scale", profile="dev").failures
    ()
    """

    estimator: str
    quantity: Quantity
    findings: tuple[Finding, ...]
    seed: int
    profile: str
    false_alarm_rate: float

    def _with(self, outcome: Outcome) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.outcome is outcome)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Checks that are violated."""
        return self._with(Outcome.VIOLATED)

    @property
    def inconclusive(self) -> tuple[Finding, ...]:
        """Checks for which the draws did not suffice: neither passed nor failed."""
        return self._with(Outcome.UNDECIDED)

    @property
    def not_applicable(self) -> tuple[Finding, ...]:
        """Checks of what the estimator does not promise or return, each with the reason."""
        return self._with(Outcome.NOT_APPLICABLE)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all checks together."""
        return sum(f.seconds for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON: one entry a check under "checks"."""
        checks = {
            f.check.name: {
                "outcome": f.outcome.value, "law": f.check.law, "cases": [str(case) for case in f.worst],
                "reason": f.reason, "reproduce": f.reproduce, "seconds": round(f.seconds, 3),
            }
            for f in self.findings
        }  # fmt: skip
        names = ("estimator", "quantity", "seed", "profile", "false_alarm_rate")
        return {name: getattr(self, name) for name in names} | {"checks": checks}

    def to_pandas(self) -> Any:
        """The checks as a DataFrame over ``check``: outcome, law, detail, seconds, reproduce.

        ImportError without pandas.
        """
        columns = ["check", "outcome", "law", "detail", "seconds", "reproduce"]
        rows = [(f.check.name, f.outcome.value, f.check.law, f.detail, f.seconds, f.reproduce) for f in self.findings]
        return require_pandas().DataFrame(rows, columns=columns).set_index("check")

    def require(self) -> None:
        """Raise ConformanceError with all failed checks, if there are any."""
        if self.failures:
            raise ConformanceError(self)

    def __bool__(self) -> bool:
        raise TypeError(
            "a report has no truth value (inconclusive is neither); use report.failures or report.require()"
        )

    @property
    def summary(self) -> str:
        """One line: how many checks came out how."""
        counts = ((len(self._with(outcome)), word) for outcome, word in WORDS.items())
        return f"{self.estimator} as {self.quantity}: " + ", ".join(f"{n} {word}" for n, word in counts if n)

    def _setting(self) -> str:
        return f"seed {self.seed}, profile {self.profile!r}, false alarms with probability <= {self.false_alarm_rate:g}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [(f.check.name, WORDS[f.outcome], f"{f.seconds:.1f} s", f.check.law) for f in self.findings]

    def __str__(self) -> str:
        rows = [("check", "found", "time", "law"), *self._rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        details = [str(f) for f in (*self.failures, *self.inconclusive)]
        left_out = [f"not applicable: {f.check.name}, {f.reason}" for f in self.not_applicable]
        return "\n".join([self.summary, self._setting(), "", *lines, "", *details, *left_out]).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(f.check.name, WORDS[f.outcome], f.check.law, f.detail) for f in self.findings]
        repeat = [f"{f.check.name}, to repeat: {'; '.join(f.reproduce.splitlines())}" for f in self.failures]
        return table(("check", "found", "law", "detail"), rows, caption=(self.summary, self._setting()), notes=repeat)


def worst_of(cases: tuple[Case, ...]) -> Outcome:
    """VIOLATED where any case is, else UNDECIDED where any is, else HOLDS; NOT_APPLICABLE without cases.

    >>> worst_of(())
    <Outcome.NOT_APPLICABLE: 'NOT_APPLICABLE'>
    """
    found: set[Any] = {case.outcome for case in cases}
    ranked = (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.HOLDS)
    return next((outcome for outcome in ranked if outcome in found), Outcome.NOT_APPLICABLE)
