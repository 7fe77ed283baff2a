"""The Markdown report: everything found is in it, and nothing in it is taken for markup."""

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from toy_claims import register, toy
from toy_ledger import toy_chain

from itssl.claims.cells import StatedCell
from itssl.claims.ledger import Ledger, plan, run
from itssl.estimate import format_with_error
from itssl.reports import render_markdown, write_markdown
from itssl.reports.tables import rates_text

ODD = "<b>x</b> | *y* _z_ `w` [l](u) ~~s~~ $m$ & #1\nnext"


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    toys = (
        toy("T1", {ODD: 0.0, "b": 0.2}, {"adds | one": 1.0}, statement=ODD),
        toy("T2", {"c": 1.0}, {"changes nothing": 0.0}),
        toy("T3", {"d": 2.0}, {"adds one": 1.0}, kind="finding"),
        toy("T4", {"raises": math.inf}, {"adds one": 1.0}),
    )
    cells = plan(register(monkeypatch, *toys))
    made = run((*cells, StatedCell("C27", "largest bound, d = 5")), progress=False)
    return replace(made, chain=toy_chain())


def _tables(text: str) -> dict[str, list[list[str]]]:
    """The cells of each table, as a reader of Markdown sees them, by the heading above."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in itertools.pairwise(tokens):
        if token.type != "inline":
            continue
        content = "".join(child.content for child in token.children or ())
        assert all(child.type == "text" for child in token.children or ()), content
        if before.type == "heading_open":
            heading = content
        elif before.type == "td_open":
            found.setdefault(heading, []).append([content])
    return found


def test_every_number_and_name_is_there_as_it_is(ledger: Ledger) -> None:
    cells = {content for cells in _tables(render_markdown(ledger)).values() for (content,) in cells}
    for v in ledger.verdicts:
        assert {
            " ".join(v.world.split()),
            v.outcome.value,
            format_with_error(v.gap.value, v.gap.standard_error),
        } <= cells
        assert v.control is None or v.control in cells
    for finding in ledger.findings:
        assert {format_with_error(e.value, e.standard_error) for e in finding.measured.values()} <= cells
    assert ledger.chain is not None
    for link in (*ledger.chain.before, *ledger.chain.after):
        shown = format_with_error(link.value, link.standard_error) if link.standard_error else f"{link.value:.5g}"
        assert {link.name, shown} <= cells
        assert any(link.why in cell for cell in cells)
    assert {"T1", "T2", "T3", "largest bound, d = 5", "4.2914 nats", "yes"} <= cells


def test_rows_count_worlds_controls_findings_and_errors(ledger: Ledger) -> None:
    chain = ledger.chain
    assert chain is not None
    rows = {name: len(cells) for name, cells in _tables(render_markdown(ledger)).items()}
    assert rows == {
        "Claims": 4 * 6, "Verdicts": 4 * 6, "Controls": 4 * 5, "Findings": 1 * 4, "Stated values": 1 * 7,
        "The chain": 6 * len(chain.before) + 5 * len((*chain.premises, *chain.consequences)),
    }  # fmt: skip
    claims = _tables(render_markdown(ledger))["Claims"]
    assert [claims[6 * i + 4] for i in range(4)] == [
        ["2 of 2 as expected"], ["0 of 1 as expected"], ["0 of 1 hold"], ["0 of 1 as expected"]
    ]  # fmt: skip


def test_what_failed_and_how_to_repeat_it_is_said_in_code(ledger: Ledger) -> None:
    text = render_markdown(ledger)
    fences = [t.content for t in MarkdownIt("commonmark").parse(text) if t.type == "fence"]
    assert len(fences) == 2
    assert "ERROR: T4 in 'raises' raised ArithmeticError: an <infinite> mean" in fences[0]
    for id in ("T1", "T2", "T3", "T4"):
        assert f"itssl verify {id} --seed 0 --fresh\n" in fences[1]
    assert "itssl check T2 c --seed 0\n" in fences[1]
    assert "Traceback" not in text


def test_the_run_is_described(ledger: Ledger) -> None:
    text = render_markdown(replace(ledger, notes=("a `note`",), cached=3))
    assert text.startswith("# itssl: not ok\n\ntheorems hold in 2 of 3 checks")
    assert re.search(r"^- seed 0, level default, started .* seconds; 3 of 10 answers from the cache$", text, flags=re.M)
    assert rates_text(ledger).replace("~", r"\~") in text
    assert r"- a \`note\`" in text
    for name, version in ledger.versions.items():
        assert f"{name} {version}" in text


def test_a_stated_value_says_what_it_may_differ_by(ledger: Ledger) -> None:
    (c,) = ledger.comparisons
    table = _tables(render_markdown(ledger))["Stated values"]
    assert table[4:6] == [[f"{c.allowed:.2g}"], ["yes"]]
    table = _tables(render_markdown(replace(ledger, comparisons=(replace(c, allowed=5.0),))))["Stated values"]
    assert table[4:6] == [["5"], ["yes, as would 0"]]


def test_a_good_ledger_is_called_good_and_equal_ledgers_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    good = run(plan(register(monkeypatch, toy("T1", {"a": 0.0}, {"adds one": 1.0}))), progress=False)
    assert render_markdown(good).startswith("# itssl: all as expected\n")
    assert render_markdown(good) == render_markdown(good)
    assert "```\n\n```" not in render_markdown(good)


def test_it_is_written_where_asked(ledger: Ledger, tmp_path: Path) -> None:
    path = write_markdown(ledger, tmp_path / "new" / "report.md")
    assert path.read_text(encoding="utf-8") == render_markdown(ledger)
