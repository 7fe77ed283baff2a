"""Docstrings of claims as HTML: paragraphs, sections and code, with all text escaped."""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_CODE = re.compile(r"``(.+?)``|:[a-z]+:`~?(.+?)`|`(.+?)`", re.DOTALL)
_ITEM = re.compile(r"(?:\[\d+\]|-|\*) ")


def statement_html(statement: str) -> Markup:
    """What follows the first line of a docstring: paragraphs; underlined headings; items that start with [1] or -.

    >>> print(statement_html("Title.\\n\\nOf ``x < 1``.\\n\\nReferences\\n----------\\n[1] A. Nobody."))
    <p>Of <code>x &lt; 1</code>.</p>
    <h5>References</h5>
    <p>[1] A. Nobody.</p>
    """
    body = statement.strip().partition("\n")[2].strip()
    return Markup("\n").join(part for block in re.split(r"\n\s*\n", body) if block for part in _block(block))


def _block(block: str) -> Iterator[Markup]:
    lines = [line.strip() for line in block.splitlines()]
    if len(lines) > 1 and re.fullmatch("-{3,}|={3,}", lines[1]):
        yield Markup("<h5>{}</h5>").format(lines[0])
        lines = lines[2:]
    text, listed = "", bool(lines) and _ITEM.match(lines[0])
    for line in lines:
        if text and listed and _ITEM.match(line):
            yield Markup("<p>{}</p>").format(inline_html(text))
            text = ""
        text += f"{' ' * bool(text)}{line}"
    if text:
        yield Markup("<p>{}</p>").format(inline_html(text))


def inline_html(text: str) -> Markup:
    """Text with ``code`` and :role:`names` of reStructuredText as code.

    >>> print(inline_html("By :func:`itssl.check` & co."))
    By <code>itssl.check</code> &amp; co.
    """
    pieces, end = [], 0
    for match in _CODE.finditer(text):
        code = next(group for group in match.groups() if group is not None)
        pieces += [escape(text[end : match.start()]), Markup("<code>{}</code>").format(code)]
        end = match.end()
    return Markup("").join([*pieces, escape(text[end:])])
