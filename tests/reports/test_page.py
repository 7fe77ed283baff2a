"""The page: complete, escaped, self-contained, the same for the same ledger."""

import base64
import html
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from toy_claims import register, toy

from itssl.claims.claim import Assumption
from itssl.claims.ledger import Ledger, plan, run
from itssl.estimate import format_with_error
from itssl.reports.page import render_page, write_json, write_page

SCRIPT = "<script>alert('x')</script>"
SMALL = Assumption(name="size", statement="the mean is <small>", measure=abs, at_most=1.0)
VOID = {"meta", "br", "img"}


class _Tags(HTMLParser):
    """Checks that tags are balanced and collects what could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        assert tag not in ("script", "link", "iframe", "object", "embed")
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    toys = (
        toy("T1", {SCRIPT: 0.0, "b": 0.2}, {"adds <b>one</b>": 1.0}, assumes=(SMALL,)),
        toy("T2", {"c": 1.0}, {"changes nothing": 0.0}),
        toy("T3", {"d": 2.0}, {"adds one": 1.0}, kind="finding"),
        toy("T4", {"raises": math.inf}, {"adds one": 1.0}),
    )
    return run(plan(register(monkeypatch, *toys)), progress=False)


def _parsed(page: str) -> _Tags:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_nothing_is_loaded_and_nothing_is_run(ledger: Ledger) -> None:
    page = render_page(ledger)
    for target in _parsed(page).loads:
        assert target.startswith(("#", "data:image/svg+xml;base64,"))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_names_statements_and_errors_are_escaped(ledger: Ledger) -> None:
    page = render_page(ledger)
    assert "<script" not in page
    assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in page
    for text in ("nothing &lt;else&gt;", "adds &lt;b&gt;one&lt;/b&gt;", "an &lt;infinite&gt; mean",
                 "the mean is &lt;small&gt;", "On &lt;nothing&gt;"):  # fmt: skip
        assert text in page


def test_every_verdict_is_on_the_page_with_its_numbers(ledger: Ledger) -> None:
    page = html.unescape(render_page(ledger))
    assert ledger.summary in page
    for v in ledger.verdicts:
        assert format_with_error(v.gap.value, v.gap.standard_error) in page
        assert v.reproduce in page
        for e in v.measured.values():
            assert f"spread = {format_with_error(e.value, e.standard_error)}" in page
    assert "size = 0.2, at most 1" in page
    assert page.count("(unexpected)") == 3  # T2 in the table and in its section, its control there
    for id in ("T1", "T2", "T3", "T4"):
        assert f"itssl verify {id} --seed 0" in page
    assert "Traceback" in page
    assert "not ok" in page


def test_pictures_are_drawn_and_described(ledger: Ledger) -> None:
    (picture,) = _parsed(render_page(ledger)).images  # all toys are of one module
    alt, src = picture["alt"], picture["src"]
    assert alt is not None
    assert src is not None
    assert f"T1 {SCRIPT}: HOLDS" in alt
    root = ElementTree.fromstring(base64.b64decode(src.partition(",")[2]))
    assert root.tag.endswith("svg")


def test_equal_ledgers_make_equal_pages(ledger: Ledger) -> None:
    assert render_page(ledger) == render_page(ledger)


def test_a_good_ledger_is_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    page = render_page(run(plan(register(monkeypatch, toy("T1", {"a": 0.0}, {"adds one": 1.0}))), progress=False))
    assert "all as expected" in page
    assert "(unexpected)" not in page
    assert not re.search(r'<pre class="failures">', page)


def test_files_are_written_where_asked(ledger: Ledger, tmp_path: Path) -> None:
    page = write_page(ledger, tmp_path / "new" / "index.html")
    data = write_json(ledger, str(tmp_path / "new" / "report.json"))
    assert page.read_text(encoding="utf-8") == render_page(ledger)
    assert json.loads(data.read_text(encoding="utf-8")) == ledger.to_dict()
