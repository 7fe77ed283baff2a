"""Statements of one's own as assertions, in pytest and hypothesis, with one error budget for the whole run."""

import os
from typing import Any, Literal

from itssl.claims.check import check_inequality
from itssl.claims.verdict import ClaimError
from itssl.testing.error_budget import CURRENT, Entry

RATE = 1e-5
"""Probability with which a single assertion fails wrongly, unless it names another."""


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
    budget = CURRENT.get()
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
