"""The derivation on the page: its chain of numbers before training and after, and the graph of the claims behind it."""

import base64
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from itssl.claims.chain_answer import Chain, Link, Quantity
from itssl.claims.claim import claims
from itssl.estimate import format_with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIGITS = 1e-12  # relative: what is smaller is rounding


def chain_section(chain: Chain | None) -> dict[str, Any] | None:
    """The chain as a waterfall, its lines with what changes between them, the numbers beside it; None without one."""
    if chain is None:
        return None
    from itssl.reports.chain_figures import describe_chain, waterfall_figure

    return {
        "title": chain.title,
        "picture": picture(waterfall_figure(chain), describe_chain(chain)),
        "links": [_link(a, b) for a, b in zip(chain.before, chain.after, strict=True)],
        "beside": [_quantity(q) for q in (*chain.premises, *chain.consequences)],
        "notes": chain.notes,
    }


def graph_section(shown: Collection[str]) -> dict[str, str] | None:
    """The graph of all claims; None unless all of them are shown, for a part has its links."""
    if set(shown) != set(claims()):
        return None
    from itssl.reports.chain_figures import describe_graph, graph_figure

    return picture(graph_figure(), describe_graph())


def picture(figure: "Figure", words: str) -> dict[str, str]:
    """A figure as SVG in base64, with words that say what it shows. Equal figures give equal data.

    It is transparent, and where the reader's scheme is dark its grays are turned, see :mod:`itssl.reports.svg`.

    >>> from matplotlib.figure import Figure
    >>> picture(Figure(), "nothing")["alt"]
    'nothing'
    """
    from itssl.reports.svg import to_svg

    return {"data": base64.b64encode(to_svg(figure, words).encode()).decode("ascii"), "alt": words}


def _link(a: Link, b: Link) -> dict[str, Any]:
    return {
        "name": f"{a.relation if a.relation == b.relation else f'{a.relation}/{b.relation}'} {a.name}".strip(),
        "values": [_number(link.value, link.standard_error) for link in (a, b)],
        "gaps": ["" if math.isnan(link.gap) else _gap(link) for link in (a, b)],
        "claims": b.claims,
        "why": b.why if a.why == b.why else f"before: {a.why}; after: {b.why}",
    }


def _quantity(q: Quantity) -> dict[str, Any]:
    values = [_number(q.before, q.before_error), _number(q.after, q.after_error)]
    return {"name": q.name, "values": values, "claims": q.claims, "why": q.why}


def _gap(link: Link) -> str:
    gap = 0.0 if abs(link.gap) <= _DIGITS * max(1.0, abs(link.value)) else link.gap
    return "+" * (gap > 0) + _number(gap, link.gap_error, abs(link.value))


def _number(value: float, error: float, scale: float = 0.0) -> str:
    """value ± error; an error that is only that of rounding, on the scale of the numbers themselves, is left out."""
    if error <= _DIGITS * max(1.0, abs(value), scale):
        return f"{value:.5g}"
    text = format_with_error(value, error)
    return text if len(text) <= 20 else f"{value:.3g} ± {error:.1g}"
