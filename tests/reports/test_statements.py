"""Statements: every word of a docstring is on the page, and none of its characters is HTML."""

import html
import re

from itssl.claims.claim import claims
from itssl.reports.statements import inline_html, statement_html


def _words(text: str) -> list[str]:
    return re.sub(r":[a-z]+:`~?|`|^-{3,}$", " ", text, flags=re.MULTILINE).split()


def test_every_word_of_every_claim_is_kept() -> None:
    for c in claims().values():
        text = html.unescape(re.sub(r"<[^>]*>", " ", statement_html(c.statement)))
        assert _words(text) == _words(c.statement.strip().partition("\n")[2])


def test_paragraphs_headings_and_items() -> None:
    statement = "Title.\n\nOne [1]\n[2] and two.\n\nThree.\n\nReferences\n----------\n[1] A,\n   page 2.\n[2] B."
    assert statement_html(statement).split("\n") == [
        "<p>One [1] [2] and two.</p>", "<p>Three.</p>", "<h5>References</h5>", "<p>[1] A, page 2.</p>", "<p>[2] B.</p>",
    ]  # fmt: skip
    assert statement_html("Title only.") == ""
    assert statement_html("") == ""


def test_code_and_text_are_escaped() -> None:
    assert inline_html("<i> ``a < b`` :class:`~m.C<T>` & `x`") == (
        "&lt;i&gt; <code>a &lt; b</code> <code>m.C&lt;T&gt;</code> &amp; <code>x</code>"
    )
