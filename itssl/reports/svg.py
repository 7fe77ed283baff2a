"""Figures as SVG that can be read on light and on dark ground."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

_LIGHT, _DARK = 0x15, 0xE6
"""Where white and black go in the dark scheme: the grays of the page."""
_NEUTRAL = 24
"""Colors whose channels differ by at most so much are grays and tints, and are turned."""


def to_svg(figure: Figure, salt: str) -> str:
    """The figure as SVG without a ground of its own; in a reader's dark scheme grays and pale tints are turned.

    Black becomes nearly white and the reverse, by a style sheet inside, which a browser follows also where the SVG is
    the source of an image; other programs see the light form. Colors stay: those in use are told apart on both grounds.
    The paths of letters are inside. Equal figures give equal text with equal ``salt``, which names its parts. On paper
    it is light.

    >>> drawn = to_svg(Figure(), "example")
    >>> "prefers-color-scheme: dark" in drawn
    True
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text.replace("</style>", f"{_dark_rules(text)}</style>", 1)


def turned(color: str) -> str | None:
    """The color of a gray or pale tint on dark ground; None for others, which stay.

    >>> turned("#000000"), turned("#ffffff"), turned("#0072b2")
    ('#e6e6e6', '#151515', None)
    """
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    if max(channels) - min(channels) > _NEUTRAL:
        return None
    lightness = sum(channels) / 3
    tint = [channel - lightness for channel in channels]
    base = _DARK + (_LIGHT - _DARK) * lightness / 255
    return "#" + "".join(f"{min(255, max(0, round(base + t))):02x}" for t in tint)


def _dark_rules(text: str) -> str:
    """One rule for each gray that is a fill or a stroke; what has no fill of its own is black."""
    found = sorted(set(re.findall(r"(fill|stroke): ?(#[0-9a-f]{6})", text)))
    rules = [
        f'[style*="{kind}: {color}"]{{{kind}:{dark} !important}}' for kind, color in found if (dark := turned(color))
    ]
    return f"@media screen and (prefers-color-scheme: dark){{svg{{fill:{turned('#000000')}}}{''.join(rules)}}}"
