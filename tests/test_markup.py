"""Tables for people: escaped, of one look, and readable without anything fetched."""

import pathlib
import re
import sys
from html.parser import HTMLParser

import pytest

import itssl
from itssl.markup import STYLE, facts, require_pandas, table

ROOT = pathlib.Path(itssl.__file__).parent
NASTY = "<script>alert('x')</script> & \"q\""


class _Balanced(HTMLParser):
    """Every tag closed in order; text by the tag around it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append((self.open[-1], data))


def _text(page, tag):
    return [text for where, text in _Balanced(page).said if where == tag]


def test_facts_put_warnings_first_and_notes_below():
    page = facts({"n": "5", "d": "2"}, caption="title", warnings=[("ties", "two rows")], notes=["a note"])
    assert _text(page, "th") == ["⚠ ties", "n", "d"]
    assert _text(page, "td") == ["two rows", "5", "2"]
    assert _text(page, "caption") == ["title"]
    assert _text(page, "li") == ["a note"]
    assert page.index("<caption>") < page.index("⚠") < page.index("<li>")


@pytest.mark.parametrize(
    "page",
    [
        facts({NASTY: NASTY}, caption=[NASTY, NASTY], warnings=[(NASTY, NASTY)], notes=[NASTY]),
        table([NASTY, NASTY], [(NASTY, NASTY)], caption=NASTY, notes=[NASTY], whole=[NASTY]),
    ],
    ids=["facts", "table"],
)
def test_every_text_is_escaped(page):
    assert "<script" not in page
    texts = [text for tag, text in _Balanced(page).said if tag != "style"]
    assert len(texts) >= 6
    assert all(NASTY in text for text in texts)


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (["1.5", "-2e-3", "nan"], True), (["1.2 ± 0.1", ""], True), (["≥ 0.3", "-"], True), (["", ""], False),
        (["1.5", "two"], False), (["inf", "-inf"], True), (["information"], False), (["-5 % less", "nothing"], False),
    ],
)  # fmt: skip
def test_columns_of_numbers_align_to_the_right(cells, right):
    page = table(("name", "value"), [("a", cell) for cell in cells])
    assert page.count('class="number"') == (1 + len(cells)) * right


def test_rows_that_do_not_fit_the_heads_are_a_defect():
    with pytest.raises(ValueError, match="argument"):
        table(("a", "b"), [("1",)])


def test_nothing_is_fetched_and_no_color_is_fixed_but_the_mark_of_warnings():
    assert not re.search(r"url|@import|http", STYLE)
    assert re.findall(r"#[0-9a-f]{3,6}", STYLE) == ["#d9822b"]
    assert re.findall(r"(?<!-)color:(\w+)", STYLE) == ["inherit"] * 4


def test_one_house_style():
    """No other file of the package writes rows of HTML; templates of the page have their own."""
    by_hand = [p for p in ROOT.rglob("*.py") if re.search(r"<t[dr][ >]", p.read_text())]
    assert {str(p.relative_to(ROOT)) for p in by_hand} == {"markup.py"}


def test_pandas_is_asked_for_with_the_cure(monkeypatch):
    assert require_pandas().DataFrame
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        require_pandas()
