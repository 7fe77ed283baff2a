"""What the page says of a claim: choices that occur, hypotheses with their measured values, numbers of few digits."""

from dataclasses import replace
from typing import Any

import pytest
from toy_ledger import HANDLER, SCRIPT, toy_ledger

from itssl.claims.decision import FloatingPoint, Relation
from itssl.claims.ledger import Ledger
from itssl.reports.forest import in_margins
from itssl.reports.sections import choices, comparisons, sections


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return toy_ledger(monkeypatch)


def _gap(ledger: Ledger, value: float, error: float) -> str:
    v = ledger.verdicts[0]
    odd = replace(v, gap=replace(v.gap, value=value, standard_error=error))
    (section,) = sections(replace(ledger, verdicts=(odd,), errors=()))
    return section["worlds"][0]["gap"]


def test_choices_are_those_that_occur(ledger: Ledger) -> None:
    found = choices(sections(ledger))
    assert found["kind"] == [("theorem", "theorem"), ("finding", "finding"), ("control", "control")]
    assert [value for value, _ in found["outcome"]] == ["HOLDS", "VIOLATED", "ERROR", "expected", "unexpected"]
    assert found["section"] == [("beyond", "beyond")]
    bare = choices(sections(replace(ledger, verdicts=ledger.theorems[:1], errors=())))
    assert [value for value, _ in bare["outcome"]] == ["HOLDS", "expected", "unexpected"]
    assert bare["kind"] == [("theorem", "theorem")]


def test_hypotheses_have_what_was_measured_by_world(ledger: Ledger) -> None:
    (first, *others) = sections(ledger)
    (assumption,) = first["assumptions"]
    assert assumption["at_most"] == "1"
    assert assumption["measured"] == [("0", [SCRIPT]), ("0.2", ["b"])]
    assert [s["assumptions"] for s in others] == [[], [], []]


def test_what_failed_and_what_is_tight_is_marked(ledger: Ledger) -> None:
    rows: dict[Any, Any] = {
        (s["claim"].id, row["verdict"].control or row["verdict"].world): row
        for s in sections(ledger)
        for row in (*s["worlds"], *s["controls"])
    }
    assert [key for key, row in rows.items() if row["failed"]] == [("T2", HANDLER), ("T2", "changes nothing")]
    assert {row["look"] for row in rows.values() if row["failed"]} == {"bad"}
    assert rows["T3", "d"]["look"] == "open"  # a finding that is not seen
    assert [key for key, row in rows.items() if row["tight"]] == [("T1", SCRIPT), ("T2", HANDLER), ("T3", "d")]
    assert [s["failed"] for s in sections(ledger)] == [False, True, False, True]
    for row in rows.values():
        assert row["scaled"] == in_margins(row["verdict"])[0]


def test_numbers_are_short_and_rounding_is_no_error(ledger: Ledger) -> None:
    cases = [
        (1.345888946, 8.7e-17, "1.34589"), (0.0, 0.0, "0"), (0.2, 0.013, "0.200 ± 0.013"),
        (6.660454042e-19, 3.6e-20, "6.66e-19 ± 3.6e-20"), (-0.1234567891234, 1.3e-11, "-0.1235 ± 1.3e-11"),
    ]  # fmt: skip
    for value, error, text in cases:
        assert _gap(ledger, value, error) == text


def test_the_direction_says_relation_and_tolerance(ledger: Ledger) -> None:
    (first, *_) = sections(ledger)
    assert first["direction"].startswith("Decided: left = right, within a margin of 0.5")
    claim = first["claim"]
    object.__setattr__(claim, "relation", Relation.AT_LEAST)
    object.__setattr__(claim, "tolerance", FloatingPoint(ulps=4, condition=2.5))
    (first, *_) = sections(ledger)
    assert "left ≥ right, within rounding (4 units in the last place, condition 2.5)" in first["direction"]


def test_comparisons_are_linked_to_claims_on_the_page(ledger: Ledger) -> None:
    assert [row["linked"] for row in comparisons(ledger)] == [True] * 4
    elsewhere = replace(ledger, comparisons=tuple(replace(c, claim="VICReg", units="bits") for c in ledger.comparisons))
    rows = comparisons(elsewhere)
    assert [row["linked"] for row in rows] == [False] * 4
    assert rows[0]["stated"] == "1.5 bits"
    assert (rows[3]["measured"], rows[3]["allowed"]) == ("–", "–")


def test_agreement_that_says_little_says_so(ledger: Ledger) -> None:
    wide = replace(ledger, comparisons=tuple(replace(c, allowed=2.0) for c in ledger.comparisons))
    assert [row["word"] for row in comparisons(wide)] == [
        "agrees, as would 0", "disagrees, as known", "disagrees", "not run here"
    ]  # fmt: skip
