"""One check at work on one estimator: how it draws, calls, compares and decides; and the register of all checks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from itssl.arrays import stream
from itssl.claims.decision import MonteCarlo, Outcome, Relation, Sides, decide
from itssl.estimate import NATS_PER_BIT, format_with_error
from itssl.estimators.error_bars import value_only
from itssl.testing.checks.refusals import crashed
from itssl.testing.findings import Case, Check
from itssl.testing.promises import Profile, Promises
from itssl.testing.subjects import Answer, Quantity, Subject, as_subject

BUDGET = 1e-3
"""Probability that a correct estimator fails any statistical check of its suite."""
KINDS = ("exact", "contract", "statistical")
_REGISTER: dict[str, dict[str, Check]] = {}


class NotPromisedError(Exception):
    """The estimator does not promise, or its answers do not carry, what the check is about; the message says what."""


class CallError(Exception):
    """A call on ordinary samples that raised, or whose answer was not finite; ``case`` says which."""

    def __init__(self, case: Case) -> None:
        super().__init__(str(case))
        self.case = case


def check(
    name: str, *, laws: dict[Quantity, str], source: str, kind: Literal["exact", "contract", "statistical"]
) -> Any:
    """Register a function from a :class:`Trial` to Cases as the check of this name, for each quantity in ``laws``."""

    def register(function: Callable[..., Iterator[Case]]) -> Callable[..., Iterator[Case]]:
        for quantity, law in laws.items():
            known = _REGISTER.setdefault(quantity, {})
            assert name not in known, f"two checks named {name}"
            known[name] = Check(
                name=name, quantity=quantity, law=law, source=source, kind=kind, false_alarm_rate=0.0, function=function
            )
        return function

    return register


def registered(quantity: Quantity) -> dict[str, Check]:
    """All checks of a quantity by name; exact ones first, and the budget shared equally by the statistical ones."""
    known = _REGISTER.get(quantity, {})
    ordered = sorted(known.values(), key=lambda c: KINDS.index(c.kind))
    share = BUDGET / max(1, sum(c.kind == "statistical" for c in ordered))
    return {c.name: replace(c, false_alarm_rate=share if c.kind == "statistical" else 0.0) for c in ordered}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A check's hands: seeded draws, calls of the estimator, comparisons that become Cases.

    ``rate`` is the probability with which the check may fail a correct estimator.
    """

    check: Check
    estimator: Any
    promises: Any  # EntropyPromises, InformationPromises, …: each check knows which
    profile: Profile
    seed: int
    rate: float
    heard: dict[Any, set[str]] = field(default_factory=dict)  # by the shapes of ordinary samples, each asked for once

    def subject(self, estimator: Any = None) -> Subject:
        """What is called: the estimator, another one in its place, or a new one by ``with_seed``."""
        promises: Promises = self.promises
        if estimator is None:
            made = promises.with_seed
            estimator = self.estimator if made is None else made(self.seed)
        return as_subject(estimator, self.check.quantity, units=promises.units)

    def rng(self, *path: str | int) -> np.random.Generator:
        """The stream of this check for a purpose."""
        return stream(self.seed, "conformance", self.check.name, *path)

    def needs(self, condition: bool, reason: str) -> None:
        """End the check as not applicable unless the condition holds."""
        if not condition:
            raise NotPromisedError(reason)

    def call(self, *samples: Any, estimator: Any = None) -> Answer:
        """One answer, without precautions; columns as arrays of shape (n,) where one column is all it takes."""
        given = [x[:, 0] for x in samples] if self.promises.max_dim == 1 else samples
        return self.subject(estimator)(*given)

    def answer(self, world: str, *samples: Any, estimator: Any = None) -> Answer:
        """One answer for ordinary samples, which must be finite; what is raised becomes a CallError."""
        try:
            found = self.call(*samples, estimator=estimator)
        except Exception as error:
            raise CallError(_violated(world, "an answer", f"{type(error).__name__}: {error}")) from error
        if not np.isfinite(found.value):
            raise CallError(_violated(world, "a finite number", f"{found.value:g}"))
        return found

    def value(self, world: str, *samples: Any, estimator: Any = None) -> float:
        """The number of :meth:`answer` alone, in nats; estimators of itssl then leave out their error bars."""
        with value_only():
            return self.answer(world, *samples, estimator=estimator).value

    def same(self, world: str, expected: float, found: float, *, dtype: Any = np.float64) -> Case:
        """Whether two numbers agree in half of the digits of the dtype: √ε · max(1, |expected|, |found|)."""
        tolerance = float(np.sqrt(np.finfo(dtype).eps)) * max(1.0, abs(expected), abs(found))
        close = abs(found - expected) <= tolerance
        return Case(
            world=world, expected=f"{expected:.9g} within {tolerance:.1g} (rounding)", arrived=f"{found:.9g}",
            outcome=Outcome.HOLDS if close else Outcome.VIOLATED,
        )  # fmt: skip

    def refused(
        self, world: str, *samples: Any, truth: float, margin: float = 0.0, estimator: Any = None,
        usual: tuple[Any, ...] = (),
    ) -> Case:  # fmt: skip
        """Whether a sample without a right answer is refused, warned of, or answered as the law says.

        Warnings that an ordinary sample gets too, or the one in ``usual``, do not count. An answer of inf, −inf or nan
        is no number to be misled by; a finite one must be within ``margin`` of the truth.
        """
        usually = self._usually(samples, usual)
        expected = "an error or a warning" + ("" if np.isnan(truth) else f", or {truth:g}")
        try:
            found = self.call(*samples, estimator=estimator)
        except Exception as error:
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            if crashed(error):
                cure = "a crash, not refused (raise a ValueError with what is wrong, or declare guards_input=False)"
                return _violated(world, expected, f"{said}, {cure}")
            return Case(world=world, expected=expected, arrived=said, outcome=Outcome.HOLDS)
        said = _without_numbers(found.warnings) - usually
        fine = bool(said) or not np.isfinite(found.value) or abs(found.value - truth) <= margin
        arrived = f"{found.value:.6g} nats" + (f" with {', '.join(sorted(said))}" if said else ", without a word")
        return Case(
            world=world, expected=expected, arrived=arrived, outcome=Outcome.HOLDS if fine else Outcome.VIOLATED
        )

    def _usually(self, samples: tuple[Any, ...], usual: tuple[Any, ...]) -> set[str]:
        """What is said of an ordinary sample of that many columns, which must be answered, or of the ``usual`` one."""
        rng, n = stream(self.seed, "conformance", "ordinary sample"), max(map(len, samples)) + 200
        key = self.check.name if usual else (n, *(x.shape[1] for x in samples))
        if key not in self.heard:
            ordinary = usual or tuple(rng.normal(size=(n, x.shape[1])) for x in samples)
            self.heard[key] = _without_numbers(self.answer("ordinary sample", *ordinary).warnings)
        return self.heard[key]

    def decided(
        self, world: str, sides: Callable[[np.random.Generator], tuple[Any, Any]], relation: Relation, margin: float,
        *, worlds: int, what: str, replicates: int = 1, averaged: int = 1,
        truth: float | dict[str, float] = 0.0,
    ) -> Case:  # fmt: skip
        """The decision rule on replicates of two sides, at the check's rate shared among its ``worlds``.

        ``truth`` is the mean of the right side where it is constant, for the words of the case; by part, if both sides
        have several. ``averaged`` samples make one replicate where answers are skewed: the rule is for means.
        """
        parts = tuple(truth) if isinstance(truth, dict) else ("",)

        def replicate(i: int) -> Sides:
            rng = self.rng(world, i)
            left, right = (
                sides(rng) if averaged == 1 else np.mean([sides(rng) for _ in range(averaged)], axis=0).tolist()
            )
            return Sides(left=left, right=right, parts=parts)

        first = self.profile.first_look
        decision = decide(
            replicate, relation, MonteCarlo(margin), false_verdict_rate=self.rate / worlds,
            first_look=first, max_replicates=max(first, self.profile.replicates * replicates // averaged),
        )  # fmt: skip
        center = truth[decision.part] if isinstance(truth, dict) else truth
        found, error = center + decision.gap.value, decision.gap.standard_error
        arrived = f"{format_with_error(found, error)} over {decision.replicates * averaged} samples"
        if decision.outcome is Outcome.VIOLATED:
            arrived += unit_hint(center, found, 4 * error)
        bound = {
            Relation.EQUAL: f"{center:.4g} ± {margin:.3g}",
            Relation.AT_MOST: f"at most {center + margin:.4g}",
            Relation.AT_LEAST: f"at least {center - margin:.4g}",
        }[relation]
        expected = f"{' '.join(filter(None, (what, decision.part)))} {bound}"
        return Case(world=world, expected=expected, arrived=arrived, outcome=decision.outcome)


def unit_hint(expected: float, found: float, error: float) -> str:
    """A remark where the number is what another unit of information would give.

    >>> unit_hint(1.0, 1.4427, 0.01)
    " (as in bits: declare units='bits')"
    """
    if abs(expected) > 8 * error and abs(found - expected / NATS_PER_BIT) <= error:
        return " (as in bits: declare units='bits')"
    return ""


def outcome_of(fine: bool) -> Outcome:
    """HOLDS or VIOLATED, for what is exact."""
    return Outcome.HOLDS if fine else Outcome.VIOLATED


def _violated(world: str, expected: str, arrived: str) -> Case:
    return Case(world=world, expected=expected, arrived=arrived, outcome=Outcome.VIOLATED)


def _without_numbers(messages: tuple[str, ...]) -> set[str]:
    """Messages that differ in their numbers alone are one."""
    return {re.sub(r"\d[\d.e+-]*", "#", message) for message in messages}
