"""Assertions of statements: right ones pass, wrong and undecided ones fail, and the budget is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import itssl
from itssl.choices import ParameterError
from itssl.claims.verdict import ClaimError
from itssl.testing.derivations import RATE, assert_at_most, assert_equality
from itssl.testing.error_budget import BudgetError, ErrorBudget, drawing_on


def mean(shift: float = 0.0, size: int = 200):
    return lambda rng: shift + rng.normal(size=size).mean()


def test_right_statements_pass():
    assert_equality(mean(), 0.0, margin=0.1)
    assert_at_most(mean(), mean(0.2))
    assert_at_most(mean(0.05), 0.0, margin=0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: assert_equality(mean(0.3), 0.0, margin=0.1),
        lambda: assert_equality(mean(-0.3), 0.0, margin=0.1),
        lambda: assert_at_most(mean(0.3), 0.0),
        lambda: assert_at_most(0.0, mean(-0.3)),
    ],
)
def test_wrong_statements_fail(wrong):
    with pytest.raises(ClaimError, match=r"^VIOLATED: left"):
        wrong()


def test_a_gap_on_the_margin_is_no_pass():
    with pytest.raises(AssertionError, match=r"^UNDECIDED: mean of nothing, .* the interval still meets the margin"):
        assert_at_most(mean(), 0.0, statement="mean of nothing", max_replicates=64)


def test_a_lower_bound_certifies_no_upper_one():
    low = itssl.Estimate(value=0.0, standard_error=0.01, n=100, bias=itssl.Bias.LOWER, method="bound")
    with pytest.raises(ClaimError, match="UNDECIDED"):
        assert_at_most(lambda rng: low, 1.0)


def test_every_assertion_spends_its_rate():
    with drawing_on(ErrorBudget(total=1e-3, seed=7)) as budget:
        assert_equality(mean(), 0.0, margin=0.1, statement="zero")
        assert_at_most(mean(), 1.0, false_verdict_rate=1e-4)
        with pytest.raises(ClaimError):
            assert_at_most(1.0, 0.0)
    assert budget.spent == pytest.approx(2 * RATE + 1e-4)
    assert [e.statement for e in budget.entries] == ["zero", "left <= right", "left <= right"]
    assert [e.verdict.seed for e in budget.entries] == [7, 7, 7]
    assert all("test_every_assertion_spends_its_rate" in e.test for e in budget.entries)
    assert_equality(mean(), 0.0, margin=0.1)
    assert len(budget.entries) == 3  # what comes after is not its business


def test_a_spent_budget_refuses_and_keeps_what_is_left():
    with drawing_on(ErrorBudget(total=3 * RATE)) as budget:
        for _ in range(3):
            assert_at_most(0.0, 1.0)
        with pytest.raises(BudgetError, match=r"expected at least 1e-05 left .*, got 0 of 3e-05; .* --itssl-budget"):
            assert_at_most(0.0, 1.0)
        assert len(budget.entries) == 3


def test_budgets_nest():
    with drawing_on(ErrorBudget()) as outer, drawing_on(ErrorBudget()) as inner:
        assert_at_most(0.0, 1.0)
    assert (len(outer.entries), len(inner.entries)) == (0, 1)


def test_bad_requests_are_named():
    with pytest.raises(ParameterError, match="total: expected a probability below 1, got 1"):
        ErrorBudget(total=1)
    with pytest.raises(ParameterError, match="margin"):
        assert_equality(0.0, 0.0, margin=-1.0)
    with pytest.raises(ParameterError, match="false_verdict_rate: expected a number between 0 and 1"):
        assert_at_most(0.0, 0.0, false_verdict_rate=0.0)


@settings(max_examples=10, deadline=None)
@given(std=st.floats(0.1, 10))
def test_inside_hypothesis(std):
    """h(sX) = h(X) + log s, for the Gaussian plug-in."""
    entropy = itssl.GaussianPlugin().entropy

    def gap(rng: np.random.Generator) -> float:
        x = rng.normal(size=100)
        return entropy(std * x).value - entropy(x).value

    assert_equality(gap, np.log(std), margin=1e-9)
