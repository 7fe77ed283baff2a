"""Tables for people: as HTML in notebooks, of one look and with every text escaped; and as pandas' frames."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = (
    ".itssl{color:inherit;line-height:1.45;overflow-x:auto}"
    ".itssl table{border-collapse:collapse;border:0;margin:.2em 0 .4em;color:inherit}"
    ".itssl caption{caption-side:top;text-align:left;font-weight:600;padding:.2em .6em;color:inherit}"
    ".itssl tr,.itssl th,.itssl td{background:transparent;color:inherit}"
    ".itssl th,.itssl td{text-align:left;vertical-align:top;padding:.2em .6em;border:0;white-space:normal;"
    "border-bottom:1px solid rgba(128,128,128,.35);max-width:52em}"
    ".itssl th{font-weight:600}"
    ".itssl .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".itssl .warning th{box-shadow:inset 3px 0 #d9822b}.itssl ul{margin:.2em 0;padding-left:1.4em}"
)
"""Colors are those of the page around, lines half-transparent gray: it suits light and dark without asking which."""

_NUMBER = re.compile(r"[-−+≤≥≈ ]*(\d|nan\b|inf\b)|-?$")


def facts(
    rows: Mapping[str, str], *, caption: str | Sequence[str] = (), warnings: Iterable[tuple[str, str]] = (),
    notes: Iterable[str] = (),
) -> str:  # fmt: skip
    """A table of names and values as HTML; warnings, as (code, text), come first; notes stand below.

    >>> facts({"a < b": "1"}).partition("</style>")[2]
    '<table><tr><th>a &lt; b</th><td>1</td></tr></table></div>'
    """
    said = "".join(_line((f"⚠ {code}", text), mark="warning") for code, text in warnings)
    return _page(said + "".join(_line(row) for row in rows.items()), caption, notes)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str | Sequence[str] = (),
    notes: Iterable[str] = (), whole: Iterable[str] = (),
) -> str:  # fmt: skip
    """A table with column heads as HTML: the first cell of each row names it; columns of numbers align to the right.

    ``whole`` are last rows of one cell, as wide as the table.

    >>> table(("k", "nats"), [("4", "1.5"), ("8", "nan")]).partition("</style>")[2].count('class="number"')
    6
    """
    lines = [tuple(row) for row in rows]
    columns = list(zip(*lines, strict=True)) or [()] * len(heads)
    numeric = [bool(cells) and any(cells) and all(_NUMBER.match(cell) for cell in cells) for cells in columns]
    top = "".join(f"<th{_right(n)}>{html.escape(head)}</th>" for head, n in zip(heads, numeric, strict=True))
    last = "".join(f'<tr><td colspan="{len(heads)}">{html.escape(text)}</td></tr>' for text in whole)
    return _page(f"<tr>{top}</tr>" + "".join(_line(line, numeric) for line in lines) + last, caption, notes)


def require_pandas() -> Any:
    """The module pandas, or ImportError with the cure."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("expected pandas, which is not installed; pip install pandas, or use .to_dict()") from error
    return pandas


def _line(cells: Sequence[str], numeric: Sequence[bool] = (), *, mark: str = "") -> str:
    right = [*numeric, *[False] * (len(cells) - len(numeric))]
    head, *others = (f"{_right(n)}>{html.escape(cell)}" for cell, n in zip(cells, right, strict=True))
    kind = f' class="{mark}"' if mark else ""
    return f"<tr{kind}><th{head}</th>{''.join(f'<td{cell}</td>' for cell in others)}</tr>"


def _right(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _page(rows: str, caption: str | Sequence[str], notes: Iterable[str]) -> str:
    lines = [caption] if isinstance(caption, str) else caption
    title = f"<caption>{'<br>'.join(map(html.escape, lines))}</caption>" if lines else ""
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    below = f"<ul>{listed}</ul>" if listed else ""
    return f'<div class="itssl"><style>{STYLE}</style><table>{title}{rows}</table>{below}</div>'
