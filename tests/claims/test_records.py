"""Records: answers come back as they were, and nothing else comes back."""

import math
import sys
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from toy_claims import toy
from toy_ledger import toy_chain

from itssl.claims.cells import Cell, ChainCell, Settings
from itssl.claims.check import check
from itssl.claims.claim import Assumption, claims
from itssl.claims.decision import FloatingPoint, Outcome
from itssl.claims.records import RecordError, from_text, to_text
from itssl.claims.stated_values import compare
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.evaluation.decomposition import Step

ESTIMATE = Estimate(
    value=0.1 + 0.2, standard_error=5e-324, n=3, bias=Bias.LOWER, method="m", units="bits", degrees_of_freedom=math.inf,
    reference=Reference(authors="Ä", title="t", year=2020), diagnostics={"x": -0.0},
    warnings=(EstimateWarning(code="c", message='"\n', cure="é"),),
)  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        None, True, 7, 2**80, 1 / 3, -0.0, math.inf, "text \u2028 'quoted'", (), (1, (2.5, "a")), [1, None],
        {"a": {"b": ()}}, ESTIMATE, Outcome.HOLDS, FloatingPoint(ulps=2), Cell("C1", "a", None),
        ChainCell(), Settings(seed=2**70),
        Step("a", 1.0, 0.5, "=", -1.0, 0.1, "why"),
    ],
)  # fmt: skip
def test_round_trip(answer: Any) -> None:
    again = from_text(to_text(answer))
    assert again == answer
    assert type(again) is type(answer)
    assert repr(again) == repr(answer)  # -0.0 == 0.0, but not here


def test_numbers_of_numpy_and_read_only_mappings_become_plain() -> None:
    again = from_text(to_text(MappingProxyType({"x": np.float64(0.1), "n": np.int64(3), "b": np.bool_(True)})))
    assert [type(value) for value in again.values()] == [float, int, bool]
    assert again == {"x": 0.1, "n": 3, "b": True}


@pytest.mark.parametrize(("claim", "control"), [("C10", None), ("C10", 0), ("C21", None)])
def test_verdicts_come_back(claim: str, control: int | None) -> None:
    name = None if control is None else claims()[claim].controls[control].name
    verdict = check(claim, control=name, max_replicates=32)
    again = from_text(to_text(verdict))
    assert again == verdict
    assert again.to_json() == verdict.to_json()


def test_a_verdict_without_numbers_and_a_comparison_come_back() -> None:
    small = Assumption(name="size", statement="the mean is small", measure=abs, at_most=1.0)
    verdict = check(toy("T1", {"a": 2.0}, {}, assumes=(small,)))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert from_text(to_text(verdict)).to_json() == verdict.to_json()
    comparison = compare("C27: largest bound, d = 5")
    assert from_text(to_text(comparison)) == comparison


def test_a_chain_comes_back() -> None:
    chain = toy_chain()
    assert from_text(to_text(chain)).to_dict() == chain.to_dict()
    assert repr(from_text(to_text(chain))) == repr(chain)


@pytest.mark.parametrize("other", [object(), len, np.zeros(2), {1: 2}, {1, 2}, 1j, b"bytes", Estimate, [object()]])
def test_nothing_else_is_written(other: Any) -> None:
    with pytest.raises(RecordError, match="answer: expected"):
        to_text(other)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "nonsense", "{}", '{"type": "os:system", "fields": {}}', '{"enum": "os:system", "member": "a"}',
        '{"type": "itssl.claims.decision:Outcome.HOLDS", "fields": {}}', '{"type": "itssl.no_module:X", "fields": {}}',
        '{"type": "itssl.claims.check:check", "fields": {}}', '{"type": "itssl.claims.check:np.save", "fields": {}}',
        '{"type": "itssl.claims.records:json", "fields": {}}', '{"type": "itssl.claims.check:Estimate", "fields": {}}',
        '{"type": "itssl.estimate:Estimate", "fields": {"value": 1}}', '{"enum": "itssl.estimate:Bias", "member": "X"}',
        '{"type": 3, "fields": {}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_nothing_else_is_read(text: str) -> None:
    with pytest.raises(RecordError):
        from_text(text)


def test_reading_imports_no_other_package() -> None:
    with pytest.raises(RecordError):
        from_text('{"type": "this:X", "fields": {}}')
    assert "this" not in sys.modules
