"""How often the assertions of a test run may fail wrongly, together. Imports no claims: plugins must be light."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from itssl.choices import ParameterError, require_positive

BUDGET = 1e-2
"""Probability with which any assertion of a run fails wrongly."""


class BudgetError(AssertionError):
    """The run has no error budget left for another assertion; the message says how to go on."""


@dataclass(frozen=True)
class Entry:
    """An assertion that was decided: in which test, what it said, what came out."""

    test: str
    statement: str
    verdict: Any
    """An `itssl.claims.verdict.Verdict`."""


@dataclass
class ErrorBudget:
    """What the assertions of a run may spend together, and what they have spent.

    Each spends its ``false_verdict_rate``; by the union bound the probability that any of them fails wrongly is at most
    the sum, whatever they share. Raises ParameterError unless 0 < total < 1.

    >>> budget = ErrorBudget(total=1e-2)
    >>> budget.spend(2e-3), budget.spent
    (None, 0.002)
    """

    total: float = BUDGET
    seed: int = 0
    spent: float = 0.0
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        if require_positive("total", self.total) >= 1:
            raise ParameterError(f"total: expected a probability below 1, got {self.total!r}")

    def spend(self, rate: float) -> None:
        """Take ``rate`` from the budget. Raises BudgetError where less is left, and then nothing is taken."""
        if self.spent + rate > self.total * (1 + 1e-9):  # sums of equal rates may exceed it by rounding
            raise BudgetError(
                f"error budget: expected at least {rate:.2g} left for this assertion, got "
                f"{max(self.total - self.spent, 0.0):.2g} of {self.total:.2g}; draw fewer examples, name a smaller "
                "false_verdict_rate, or allow more with pytest --itssl-budget"
            )
        self.spent += rate


CURRENT: ContextVar[ErrorBudget | None] = ContextVar("error budget of the assertions", default=None)


@contextmanager
def drawing_on(budget: ErrorBudget) -> Iterator[ErrorBudget]:
    """Assertions inside spend from this budget and use its seed. The pytest plugin wraps every test in the run's.

    >>> from itssl.testing.derivations import assert_at_most
    >>> with drawing_on(ErrorBudget(total=1e-3)) as budget:
    ...     assert_at_most(lambda rng: rng.normal(size=100).mean(), 1.0)
    >>> print(f"{budget.spent:.0e} spent by {len(budget.entries)} assertion")
    1e-05 spent by 1 assertion
    """
    token = CURRENT.set(budget)
    try:
        yield budget
    finally:
        CURRENT.reset(token)
