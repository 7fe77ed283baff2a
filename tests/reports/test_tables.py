"""The terminal table: every number of the ledger, legible at 80 columns and without color."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console
from toy_claims import register, toy

from itssl.claims.check import check
from itssl.claims.claim import claims
from itssl.claims.decision import FloatingPoint, Relation
from itssl.claims.ledger import Ledger, plan, run
from itssl.estimate import format_with_error
from itssl.reports.tables import claim_text, controls_text, failure_text, ledger_table, margin_text, rates_text, row

TOYS = (
    toy("T1", {"a": 0.0, "[red]b[/red]": 0.1}, {"adds one": 1.0, "subtracts one": -1.0}),
    toy("T2", {"c": 1.0}, {"changes nothing": 0.0, "adds two": 2.0}, relation=Relation.AT_MOST),
    toy("T3", {"d": 2.0}, {"adds one": 1.0}, kind="finding", statement="What is seen.\n\nIn the long run."),
    toy("T4", {"raises": math.inf}, {}),
)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return run(plan(register(monkeypatch, *TOYS)), progress=False, seed=2)


def _rendered(ledger: Ledger, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(ledger_table(ledger))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("width", [80, 140])
def test_every_number_of_the_ledger_is_in_the_table(ledger: Ledger, width: int) -> None:
    lines = _rendered(ledger, width).splitlines()
    assert max(map(len, lines)) <= width
    for v in ledger.verdicts:
        if v.control is None:
            (line,) = [line for line in lines if line.split()[:1] == [v.world]]
            assert line.split()[1:] == " ".join(row(v)[1:]).split()
    for claim in TOYS:
        title = f"{claim.id} {'finding: ' if claim.kind == 'finding' else ''}{claim.title}"
        assert title in " ".join(line.strip() for line in lines)


def test_controls_findings_and_errors_are_named(ledger: Ledger) -> None:
    lines = [line.strip() for line in _rendered(ledger, 80).splitlines()]
    assert "controls: 2/2 refuted" in lines
    assert "controls: 1/2 refuted; NOT refuted: 'changes nothing' (HOLDS)" in lines
    spread = ledger.findings[0].measured["spread"]
    assert f"measured: spread = {format_with_error(spread.value, spread.standard_error)}" in lines
    assert "ERROR in T4 in 'raises': ArithmeticError: an <infinite> mean" in lines
    assert controls_text([]) == "none run"


@pytest.mark.parametrize("width", [80, 100])
def test_long_names_are_wrapped_and_none_is_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    name = "a convolutional encoder of digits trained with VICReg for two hundred steps at batch 64"
    text = _rendered(run(plan(register(monkeypatch, toy("T1", {name: 0.0}, {}))), progress=False), width)
    assert set(name.split()) <= set(text.split())
    assert "HOLDS" in text
    assert max(map(len, text.splitlines())) <= width


def test_small_gaps_stay_short_and_names_without_spaces_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a-name-of-" + "x" * 90
    ledger = run(plan(register(monkeypatch, toy("T1", {name: 0.0}, {}))), progress=False)
    (v,) = ledger.verdicts
    cases = [
        (-3.5e-8, 3.4e-8, "-3.5e-08 ± 3e-08"), (0.0010677, 2.2e-6, "0.001068 ± 2e-06"), (0.0, 3e-9, "0 ± 3e-09"),
        (1e-16, 0.0, "1e-16"), (math.nan, 0.1, "nan"), (0.00123, 0.000012, "0.001230 ± 0.000012"),
    ]  # fmt: skip
    for value, error, short in cases:
        odd = replace(v, gap=replace(v.gap, value=value, standard_error=error))
        assert row(odd)[2] == short
        text = _rendered(replace(ledger, verdicts=(odd,)), 80)
        assert text.count("x") == 90
        assert f" {short} " in text


def test_the_real_claims_fit_in_80_columns() -> None:
    ledger = run(plan(["C10"], "quick"), progress=False)
    for v in ledger.theorems:
        assert row(v)[2] in _rendered(ledger, 80)


def test_failure_text_says_what_why_and_how_to_repeat(ledger: Ledger) -> None:
    text = failure_text(ledger)
    assert "VIOLATED: T2 in 'c', left − right = " in text
    assert "HOLDS: T2 in 'c', control 'changes nothing'" in text
    assert text.count("expected VIOLATED") == 1
    assert "itssl verify T2 --seed 2 --fresh" in text
    assert "itssl check T2 c --control 'changes nothing' --seed 2\n" in text
    assert "itssl.check('T2', 'c', control='changes nothing', seed=2, false_verdict_rate=0.0001)" in text
    assert "ERROR: T4 in 'raises' raised ArithmeticError" in text
    assert "itssl.check('T4', 'raises', seed=2, false_verdict_rate=0.0001)" in text
    assert "T1" not in text
    assert "T3" not in text


def test_what_failure_text_says_repeats_the_failure(ledger: Ledger) -> None:
    (failed, _) = ledger.failures
    again = eval(failed.reproduce.replace("itssl.check", "check"), {"check": check})
    assert (again.outcome, again.gap.value) == (failed.outcome, failed.gap.value)


def test_failure_text_is_empty_when_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure_text(run(plan(register(monkeypatch, TOYS[0])), progress=False)) == ""


def test_margins_follow_the_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, *(toy(f"T{i}", {"a": 0.0}, {}, relation=r) for i, r in enumerate(Relation)))
    assert [margin_text(check(f"T{i}")) for i in range(3)] == ["±0.5", "≤0.5", "≥-0.5"]
    register(monkeypatch, toy("T5", {"a": -1.0}, {}, relation=Relation.AT_MOST, margin=0.0))
    assert margin_text(check("T5")) == "≤0"
    exact = toy("T6", {"a": 0.0}, {})
    object.__setattr__(exact, "tolerance", FloatingPoint(ulps=4))
    register(monkeypatch, exact)
    assert margin_text(check("T6")) == "±8.9e-16 rel."


def test_claim_text_of_every_claim_has_all_it_says() -> None:
    for claim in claims().values():
        text = claim_text(claim)
        for part in (claim.id, claim.statement, str(claim.reference), *(w.name for w in claim.worlds)):
            assert part in text
        for part in (*(c.name for c in claim.controls), *(a.statement for a in claim.assumes)):
            assert part in text


def test_rates_say_what_they_cover(ledger: Ledger) -> None:
    assert rates_text(ledger) == (
        "A check that draws is wrong with probability at most 0.0001 (0.001 for findings of few trainings), if its "
        f"gaps are shares, or means near enough to normal; together at most {ledger.check_rate:.2g} for the claims."
    )
    both = replace(ledger, family_wise_rate=0.03, comparison_rate=0.01)
    assert rates_text(both).endswith(
        "together at most 0.02 for the claims. A stated value is wrongly said to disagree with probability at most "
        "0.001; together at most 0.01."
    )
    assert rates_text(run([], progress=False)) == ""
