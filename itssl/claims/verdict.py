"""Verdicts: what a check found, and everything needed to repeat it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from itssl.choices import require_known
from itssl.claims.decision import MonteCarlo, Outcome, Relation, Tolerance
from itssl.estimate import Estimate, format_with_error, json_number
from itssl.markup import facts

MAX_REPLICATES = 1024
DERIVATION = "derivation"
"""What a verdict on a derivation of the user's own has in place of a claim's identifier."""
UNSTATED = "given by left and right"
Kind: TypeAlias = Literal["theorem", "finding"]


class ClaimError(AssertionError):
    """A required verdict did not hold; the message says what was found and how to reproduce it.

    >>> from itssl.claims.check import check_inequality
    >>> verdict = check_inequality(lambda rng: 1 + rng.normal(), lambda rng: rng.normal(), relation="<=", margin=0.1)
    >>> try:
    ...     verdict.require()
    ... except ClaimError:
    ...     print(verdict.outcome)
    Outcome.VIOLATED
    """


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check found, and everything needed to repeat it. Has no truth value: use .outcome or .require().

    ``registered`` says whether claim and world are itssl's own, so that their names suffice to repeat the check.

    >>> from itssl.claims.check import check
    >>> found = check("C10")
    >>> found.outcome, found.as_expected
    (<Outcome.HOLDS: 'HOLDS'>, True)
    """

    claim: str
    kind: Kind
    world: str
    control: str | None
    outcome: Outcome
    relation: Relation
    gap: Estimate
    part: str
    gaps: Mapping[str, Estimate]
    measured: Mapping[str, Estimate]
    assumptions: Mapping[str, float]
    tolerance: Tolerance
    false_verdict_rate: float
    replicates: int
    seed: int
    seconds: float
    reason: str = ""
    registered: bool = True
    max_replicates: int = MAX_REPLICATES

    @property
    def is_derivation(self) -> bool:
        """Whether this is about a derivation of the user's own, whose statement is then ``world``."""
        return self.claim == DERIVATION and not self.registered

    @property
    def margin(self) -> float:
        """The margin of a Monte-Carlo tolerance; for a floating-point one the bound per unit of scale."""
        if isinstance(self.tolerance, MonteCarlo):
            return self.tolerance.margin
        return self.tolerance.ulps * float(np.finfo(float).eps) * self.tolerance.condition

    @property
    def as_expected(self) -> bool:
        """Whether a claim did HOLD (or did not apply) or a control was VIOLATED; a finding has no expected outcome."""
        if self.control is not None:
            return self.outcome is Outcome.VIOLATED
        return self.kind == "finding" or self.outcome in (Outcome.HOLDS, Outcome.NOT_APPLICABLE)

    @property
    def reproduce(self) -> str:
        """A line of Python that repeats this check, where names suffice."""
        if not self.registered:
            return f"the same call with seed={self.seed}"
        return call(
            self.claim, self.world, control=self.control, seed=self.seed, false_verdict_rate=self.false_verdict_rate,
            max_replicates=self.max_replicates if self.max_replicates != MAX_REPLICATES else None,
        )  # fmt: skip

    def require(self, expected: Outcome | str | None = None) -> None:
        """Raise ClaimError unless the outcome is the expected one: HOLDS, or VIOLATED for a control, if not given.

        A derivation that must be refuted is required by ``require("VIOLATED")``. Raises UnknownNameError for what is no
        outcome.

        >>> from itssl.claims.check import check_inequality
        >>> check_inequality(lambda rng: 1 + rng.normal(), lambda rng: rng.normal(), margin=0.1).require("VIOLATED")
        """
        if expected is None:
            expected = Outcome.HOLDS if self.control is None else Outcome.VIOLATED
        name = expected.value if isinstance(expected, Outcome) else expected
        require_known("expected", name, [outcome.value for outcome in Outcome])
        wanted = Outcome(name)
        if self.outcome is not wanted:
            raise ClaimError(f"{self}\nexpected {wanted.value}; repeat with {self.reproduce}")

    def __bool__(self) -> bool:
        raise TypeError("a Verdict has no truth value (UNDECIDED is neither); use verdict.outcome or verdict.require()")

    def __str__(self) -> str:
        subject = f"{self.claim} in {self.world!r}" + (f", control {self.control!r}" if self.control else "")
        if self.is_derivation and self.world != UNSTATED:
            subject = self.world
        gap = format_with_error(self.gap.value, self.gap.standard_error)
        part = f" ({self.part})" if self.part else ""
        why = f"; {self.reason}" if self.reason else ""
        return (
            f"{self.outcome.value}: {subject}, left − right = {gap}{part}, wanted {self.relation.value} 0 "
            f"within {self.margin:.3g}, {self.replicates} replicates, seed {self.seed}{why}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = {"claim": self.claim, "world": self.world, "control": self.control or "",
                "gap": f"{format_with_error(self.gap.value, self.gap.standard_error)} {self.part}",
                "margin": f"{self.margin:.3g}", "replicates": str(self.replicates), "reason": self.reason,
                "repeat": self.reproduce}  # fmt: skip
        rows |= {f"measured: {k}": str(format_with_error(e.value, e.standard_error)) for k, e in self.measured.items()}
        rows |= {f"assumption: {k}": f"{v:.3g}" for k, v in self.assumptions.items()}
        return facts({name: text for name, text in rows.items() if text}, caption=self.outcome.value)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        return {
            "id": self.claim, "kind": self.kind, "world": self.world, "control": self.control,
            "outcome": self.outcome.value, "relation": self.relation.value,
            "gap": json_number(self.gap.value), "standard_error": json_number(self.gap.standard_error),
            "part": self.part, "margin": json_number(self.margin), "replicates": self.replicates,
            "parts": {part: _plain(e) for part, e in self.gaps.items()},
            "measured": {name: _plain(e) for name, e in self.measured.items()},
            "assumptions": {name: json_number(value) for name, value in self.assumptions.items()},
            "false_verdict_rate": self.false_verdict_rate, "seed": self.seed, "seconds": round(self.seconds, 3),
            "reason": self.reason, "reproduce": self.reproduce,
        }  # fmt: skip

    def to_json(self) -> str:
        """The verdict as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)


def call(claim: str, world: str, **options: Any) -> str:
    """The expression of Python that makes a check; options that are None are left out.

    >>> call("C17", "d=2", seed=3, control=None)
    "itssl.check('C17', 'd=2', seed=3)"
    """
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return f"itssl.check({claim!r}, {world!r}{given})"


def _plain(estimate: Estimate) -> dict[str, float | str]:
    return {"value": json_number(estimate.value), "standard_error": json_number(estimate.standard_error)}
