"""The page: complete, escaped, self-contained, the same for the same ledger."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from toy_claims import register, toy
from toy_ledger import HANDLER, SCRIPT, toy_chain, toy_ledger

from itssl.claims.cells import StatedCell
from itssl.claims.claim import claims
from itssl.claims.ledger import Cell, Ledger, plan, run
from itssl.reports.page import render_page, write_json, write_page

VOID = {"meta", "br", "img", "input", "link"}


class _Tags(HTMLParser):
    """Checks that tags are balanced, collects what could load something, and the text of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("img", "svg"):
            self.pictures.append(dict(attrs))
        if tag == "tr":
            self.rows.append("")
        assert tag not in ("iframe", "object", "embed", "base")
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.scripts += tag == "script"
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("mi", "mspace", "circle", "path", "rect")

    def handle_data(self, data: str) -> None:
        if "tr" in self.open:
            self.rows[-1] += data

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return toy_ledger(monkeypatch)


def _parsed(page: str) -> _Tags:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_nothing_is_loaded_and_only_the_pages_own_script_may_run(ledger: Ledger) -> None:
    page = render_page(ledger)
    parsed = _parsed(page)
    for target in parsed.loads:
        assert target.startswith(("#", "data:image/svg+xml;base64,")) or target == "data:,"
    assert parsed.scripts == 1
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert f"script-src 'sha256-{digest}'" in html.unescape(policy)
    assert "default-src 'none'" in html.unescape(policy)
    style = page[page.index("<style>") : page.index("</style>")]
    for text in ("url(", "@import"):
        assert text not in style
    for text in ("prefers-color-scheme: dark", "@media print"):
        assert text in style


def test_names_statements_formulas_and_errors_are_escaped(ledger: Ledger) -> None:
    page = render_page(ledger)
    for text in (SCRIPT, HANDLER):
        assert text not in page
        assert html.escape(text) in page.replace("&#39;", "&#x27;").replace("&#34;", "&quot;")
    for text in ("nothing &lt;else&gt;", "adds &lt;b&gt;one&lt;/b&gt;", "an &lt;infinite&gt; mean",
                 "the mean is &lt;small&gt;", "On &lt;nothing&gt;", "it is &lt;wrong&gt;", "</mfrac>",
                 r'<pre class="formula">\style{color:red}{x}</pre>'):  # fmt: skip
        assert text in page


def test_links_lead_to_something_and_identifiers_are_unique(ledger: Ledger) -> None:
    parsed = _parsed(render_page(ledger))
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {"T1", "T2", "T3", "T4", "checks", "claims", "stated"} <= set(parsed.ids)
    assert {target[1:] for target in parsed.loads if target.startswith("#")} <= set(parsed.ids)


def test_every_check_is_on_the_page_twice_with_its_numbers(ledger: Ledger) -> None:
    page = render_page(ledger)
    assert ledger.summary in html.unescape(page)
    rows = _parsed(page).rows
    for v in ledger.verdicts:
        gap = f"{v.gap.value:.4f}"[:6]
        mine = [row for row in rows if (v.control or v.world) in row and gap in row]
        assert len(mine) >= 2  # in the table of all checks, and in its claim's
        assert any(f"{v.gap.value / v.margin:.3g}" in row for row in mine)
        cell = Cell(v.claim, v.world, v.control)
        for text in (cell.shell(ledger.settings), cell.python(ledger.settings)):
            assert text in html.unescape(page)
    for text in ("size = 0.2", "size ≤ 1", "the mean is <small>", "(unexpected)", "Traceback", "not ok",
                 "2 of 13 answers", "holds in 2 of 2 worlds; controls: 1/1 refuted", "at most 0.009 for the claims.",
                 "Decided: left = right"):  # fmt: skip
        assert text in html.unescape(page)
    for id in ("T1", "T2", "T3", "T4"):
        assert f"itssl verify {id} --seed 0" in page


def test_uses_are_linked_both_ways(ledger: Ledger) -> None:
    page = re.sub(r"\s+", " ", render_page(ledger))
    assert 'Uses <a href="#T1">T1</a>, <a href="#T2">T2</a>' in page
    assert 'Used by <a href="#T2">T2</a>, <a href="#T3">T3</a>' in page


def test_stated_values_say_whether_they_agree_and_why_not(ledger: Ledger) -> None:
    page = render_page(ledger)
    rows = [re.sub(r"\s+", " ", row) for row in _parsed(page).rows]
    agrees, disputed, wrong, elsewhere = (row for row in rows if re.match("T1(a mean|<script|another|costly)", row))
    assert "1.5023 ± 0.0011" in agrees
    assert "0.054" in agrees
    assert agrees.endswith("agrees ")
    assert "disagrees, as known" in disputed
    assert disputed.endswith(HANDLER)
    assert "disagrees it is <wrong>" in wrong
    assert "not run here measured elsewhere" in elsewhere
    looks = {"good": "agrees", "open": "disagrees, as known", "bad": "disagrees"}
    for look, word in looks.items():
        assert page.count(f'<span class="verdict {look}">{word}</span>') == 1


def test_errors_of_what_is_no_claim_are_shown(ledger: Ledger) -> None:
    error = replace(ledger.errors[0], cell=StatedCell("C07", "h(|X|), X ~ N(0, I_2)"), message="<lost>")
    page = render_page(replace(ledger, errors=(error,)))
    assert "stated value &#39;C07: h(|X|), X ~ N(0, I_2)&#39; raised &lt;lost&gt;" in page


def test_the_derivation_is_shown_with_links_to_what_is_on_the_page(ledger: Ledger) -> None:
    chain = toy_chain()
    page = render_page(replace(ledger, chain=chain))
    parsed = _parsed(page)
    (image,) = [p for p in parsed.pictures if "alt" in p]
    assert chain.title in (image["alt"] or "")
    assert SCRIPT not in page
    rows = [re.sub(r"\s+", " ", row) for row in parsed.rows]
    (floor,) = [row for row in rows if row.startswith(chain.premises[0].name)]
    assert f"2.91.45 ± 0.10made up, {SCRIPT} C08, T1" in floor
    assert 'C08, <a href="#T1">T1</a>' in page
    for text in (*chain.notes, *(link.why for link in chain.after)):
        assert text in html.unescape(page)


def test_every_picture_is_described(ledger: Ledger) -> None:
    pictures = _parsed(render_page(ledger)).pictures
    for picture in pictures:
        assert picture.get("alt") or picture.get("aria-label") or picture.get("aria-hidden") == "true"
    words = [picture.get("aria-label") or "" for picture in pictures]
    assert sum(text.startswith("gap ") for text in words) == len(ledger.verdicts)


def test_equal_ledgers_make_equal_pages(ledger: Ledger) -> None:
    assert render_page(ledger) == render_page(ledger)


def test_a_finding_is_filtered_neither_as_expected_nor_as_not(ledger: Ledger) -> None:
    found = re.findall(r'data-kind="(\w+)" [^>]*data-outcome="(\w+) ?(\w*)"', render_page(ledger))
    assert {judged for kind, _, judged in found if kind == "finding"} == {""}
    assert {judged for kind, _, judged in found if kind != "finding"} == {"expected", "unexpected"}


def test_a_good_ledger_is_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    page = render_page(run(plan(register(monkeypatch, toy("T1", {"a": 0.0}, {"adds one": 1.0}))), progress=False))
    assert "all as expected" in page
    assert "together at most 0.0002 for the claims." in page
    for text in ("(unexpected)", '<pre class="failures">', "theory states"):
        assert text not in page


def test_claims_without_formula_or_verdict_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, replace(toy("T1", {"raises": float("inf")}, {}), formula=""))
    page = render_page(run(plan(["T1"]), progress=False))
    assert 'class="worlds"' not in page
    assert "an &lt;infinite&gt; mean" in page


def test_gaps_that_are_not_finite_are_named(ledger: Ledger) -> None:
    v = ledger.verdicts[0]
    odd = replace(v, gap=replace(v.gap, value=float("nan"), standard_error=float("nan")))
    page = render_page(replace(ledger, verdicts=(odd,)))
    assert 'aria-label="no finite gap"' in page
    assert 'data-value="nan"' in page


def test_real_claims_are_shown_with_all_they_say() -> None:
    claim = claims()["C10"]
    page = html.unescape(render_page(run(plan(["C10"], "quick"), progress=False)))
    assert "<math " in page
    for text in (claim.title, str(claim.reference), *(w.name for w in claim.worlds if w.level == "quick")):
        assert text in page


def test_files_are_written_where_asked(ledger: Ledger, tmp_path: Path) -> None:
    page = write_page(ledger, tmp_path / "new" / "index.html")
    data = write_json(ledger, str(tmp_path / "new" / "report.json"))
    assert page.read_text(encoding="utf-8") == render_page(ledger)
    assert json.loads(data.read_text(encoding="utf-8")) == ledger.to_dict()
