"""Statements of one's own as assertions, in pytest and hypothesis, with one error budget for the whole run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from itssl.choices import ParameterError, require_positive
from itssl.claims.check import check_inequality
from itssl.claims.verdict import ClaimError, Verdict

RATE = 1e-5
"""Probability with which a single assertion fails wrongly, unless it names another."""
BUDGET = 1e-2
"""Probability with which any assertion of a run fails wrongly."""


class BudgetError(ClaimError):
    """The run has no error budget left for another assertion; the message says how to go on."""


@dataclass(frozen=True)
class Entry:
    """An assertion that was decided: in which test, what it said, what came out."""

    test: str
    statement: str
    verdict: Verdict


@dataclass
class ErrorBudget:
    """What the assertions of a run may spend together, and what they have spent.

    Each spends its ``false_verdict_rate``; by the union bound the probability that any of them fails wrongly is at most
    the sum, whatever they share.

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


_CURRENT: ContextVar[ErrorBudget | None] = ContextVar("error budget of the assertions", default=None)


@contextmanager
def drawing_on(budget: ErrorBudget) -> Iterator[ErrorBudget]:
    """Assertions inside spend from this budget and use its seed. The pytest plugin wraps every test in the run's.

    >>> with drawing_on(ErrorBudget(total=1e-3)) as budget:
    ...     assert_at_most(lambda rng: rng.normal(size=100).mean(), 1.0)
    >>> print(f"{budget.spent:.0e} spent by {len(budget.entries)} assertion")
    1e-05 spent by 1 assertion
    """
    token = _CURRENT.set(budget)
    try:
        yield budget
    finally:
        _CURRENT.reset(token)


def assert_at_most(
    left: Any, right: Any, *, margin: float = 0.0, false_verdict_rate: float = RATE, statement: str = "",
    max_replicates: int = 1024,
) -> None:  # fmt: skip
    """Assert left ≤ right + margin, by the decision rule of the claims; see :func:`itssl.check_inequality`.

    A side is a number, or a function of a numpy Generator that returns a number, an Estimate or an array of
    draws to average. Raises ClaimError (an AssertionError) where the statement is VIOLATED, and where it stays
    UNDECIDED: a gap on the margin, or too much noise, is no pass. A statement whose gap is below the margin is found
    VIOLATED with probability at most ``false_verdict_rate``. Raises BudgetError where the run may not err that often
    any more.

    >>> assert_at_most(lambda rng: rng.normal(size=100).mean() ** 2, 0.05)
    >>> assert_at_most(0.2, 0.1)
    Traceback (most recent call last):
    ...
    itssl.claims.verdict.ClaimError: VIOLATED: left <= right, left − right = 0.1 ± 0, wanted <= 0 within 0, \
32 replicates, seed 0
    """
    _assert(left, "<=", right, margin, false_verdict_rate, statement, max_replicates)


def assert_equality(
    left: Any, right: Any, *, margin: float, false_verdict_rate: float = RATE, statement: str = "",
    max_replicates: int = 1024,
) -> None:  # fmt: skip
    """Assert |left − right| ≤ margin, by the decision rule of the claims; otherwise as :func:`assert_at_most`.

    >>> assert_equality(lambda rng: rng.exponential(size=500), 1.0, margin=0.05)
    """
    _assert(left, "==", right, margin, false_verdict_rate, statement, max_replicates)


def _assert(
    left: Any, relation: Literal["<=", "=="], right: Any, margin: float, rate: float, statement: str, most: int
) -> None:
    budget = _CURRENT.get()
    if budget is not None:
        budget.spend(rate)
    verdict = check_inequality(
        left, right, relation=relation, margin=margin, seed=0 if budget is None else budget.seed,
        false_verdict_rate=rate, max_replicates=most,
    )  # fmt: skip
    said = statement or f"left {relation} right"
    if budget is not None:
        budget.entries.append(Entry(os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0], said, verdict))
    try:
        verdict.require()
    except ClaimError:
        text = str(verdict).replace("derivation in 'given by left and right'", said)
        raise ClaimError(text) from None
