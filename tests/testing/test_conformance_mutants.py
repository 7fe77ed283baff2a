"""Every wrong estimator fails the checks named beside it, the right one does not, and every check fails for some."""

from functools import cache
from typing import Any

import pytest
from testing.mutants import MUTANTS, Mutant

from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_entropy_estimator, check_mutual_information_estimator
from itssl.testing.checks.trial import registered
from itssl.testing.subjects import Quantity

CHECKED: dict[Quantity, Any] = {
    "entropy": check_entropy_estimator,
    "mutual_information": check_mutual_information_estimator,
}
LONG = {
    "wrong_ddof", "bootstrap_with_replacement", "information_in_bits", "spread_over_columns", "table_of_bytes",
    "all_distances",
}  # fmt: skip
"""Of the two that fill tables, `test_conformance_memory` has others."""
CASES = [pytest.param(mutant, id=mutant.name, marks=[pytest.mark.slow] * (mutant.name in LONG)) for mutant in MUTANTS]
HOLDS = {Outcome.HOLDS}
RIGHT = list({(m.right.__name__, m.quantity): m for m in MUTANTS}.values())


def found(mutant, estimator, only):
    """Outcomes by check, at the profile that users run."""
    promises = mutant.promised(estimator)
    try:
        report = CHECKED[mutant.quantity](estimator, only=only, profile="ci", **promises)
    except ConformanceError as error:
        report = error.report
    return {finding.check.name: finding.outcome for finding in report.findings}


@pytest.mark.parametrize("mutant", CASES)
def test_wrong_one_is_refuted_and_right_one_is_not(mutant):
    assert set(found(mutant, mutant.wrong, mutant.caught_by).values()) == {Outcome.VIOLATED}
    promised = tuple(sorted(mutant.promises.items()))
    assert {of_right(mutant.right, mutant.quantity, mutant.k, promised, name) for name in mutant.caught_by} == HOLDS


@cache
def of_right(right, quantity, k, promised, check):
    """What a check finds, once for all mutants that share the right one and its promises."""
    return found(Mutant(right, right, quantity, (check,), dict(promised), k), right, check)[check]


def test_names_of_the_long_ones():
    assert {mutant.name for mutant in MUTANTS} >= LONG
    assert len({(mutant.name, mutant.quantity) for mutant in MUTANTS}) == len(MUTANTS) >= 40


def test_every_check_fails_for_some_mutant():
    caught = {(mutant.quantity, name) for mutant in MUTANTS for name in mutant.caught_by}
    shared = {name for _, name in caught}
    for quantity in CHECKED:
        for check in registered(quantity).values():
            assert check.name in shared | ELSEWHERE, check.name
            if check.kind == "statistical":
                assert (quantity, check.name) in caught or check.name in SAME_CODE, check.name


@pytest.mark.slow
def test_an_error_that_depends_on_the_order_is_seen_by_one_check_alone():
    checks = registered("mutual_information").values()
    only = [c.name for c in checks if c.kind != "statistical" and c.name not in ("memory", "global_state", "clipping")]
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "halves_as_they_come")
    outcomes = found(mutant, mutant.wrong, only)
    assert [name for name, outcome in outcomes.items() if outcome is Outcome.VIOLATED] == ["error_order"]


SAME_CODE = {"consistency", "standard_error", "bias_direction"}
"""Statistical checks that do the same for both quantities, so that a mutant of one suffices."""
ELSEWHERE = {"device"}
"""Needs one: `test_conformance_precision` puts another in its place."""


@pytest.mark.slow
@pytest.mark.parametrize("mutant", RIGHT, ids=lambda m: f"{m.right.__name__}-{m.quantity}")
def test_right_ones_pass_everything(mutant):
    checks = [name for name in registered(mutant.quantity) if name != "global_state"]  # type checks draw from `random`
    outcomes = found(mutant, mutant.right, checks)
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.VIOLATED} == set()
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.UNDECIDED} == set()
