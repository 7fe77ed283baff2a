"""Gaps in units of the margin: where they stand on an axis, and that axis and its rows drawn as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from itssl.claims.decision import Relation
from itssl.claims.verdict import Verdict

MARKS = ("theorem", "finding", "control")
WIDTH, HEIGHT = 240, 22


@dataclass(frozen=True)
class Axis:
    """An axis that is linear between −1 and 1 and logarithmic beyond, so that a gap of 10¹² margins has a place."""

    low: float
    high: float

    def position(self, x: float) -> float:
        """Where x stands between low (0) and high (1); what is beyond them stands at them.

        >>> Axis(-10, 10).position(1.0)
        0.75
        """
        start, end = _symlog(self.low), _symlog(self.high)
        return (_symlog(min(max(x, self.low), self.high)) - start) / (end - start)

    @property
    def ticks(self) -> dict[float, str]:
        """Zero, ±1 and a few powers of ten with their names.

        >>> Axis(-3, 300).ticks
        {-1.0: '−1', 0.0: '0', 1.0: '1', 10.0: '10', 100.0: '100'}
        """
        decades = [int(math.log10(abs(end))) for end in (self.low, self.high)]
        step = 1 + sum(decades) // 8
        left = {-(10.0**k): "−" + _power(k) for k in range(0, decades[0] + 1, step)}
        return dict(sorted({0.0: "0", **left, **{10.0**k: _power(k) for k in range(0, decades[1] + 1, step)}}.items()))


def axis_of(verdicts: Sequence[Verdict]) -> Axis:
    """An axis with room for the gaps of all verdicts and for what is allowed."""
    ends = [x for v in verdicts for x in in_margins(v) if math.isfinite(x)]
    return Axis(3 * min([-1.0, *ends]), 3 * max([1.0, *ends]))


def in_margins(v: Verdict) -> tuple[float, float, float]:
    """Gap and ends of its interval over the margin; over the half-width of the interval where there is no margin."""
    low, high = v.gap.interval(1 - v.false_verdict_rate)
    unit = v.margin or (high - low) / 2
    if not math.isfinite(unit) or unit == 0:
        unit = max(abs(v.gap.value), 1.0)
    return v.gap.value / unit, low / unit, high / unit


def allowed(v: Verdict, axis: Axis) -> tuple[float, float]:
    """From where to where the statement holds: [−1, 1] for "==", at most 1 for "<=", at least −1 for ">="."""
    edge = 1.0 if v.margin else 0.0
    return (
        axis.low if v.relation is Relation.AT_MOST else -edge,
        axis.high if v.relation is Relation.AT_LEAST else edge,
    )


def role(v: Verdict) -> str:
    """What a verdict is for: "theorem", "finding" or "control"."""
    return "control" if v.control is not None else v.kind


def gap_in_words(v: Verdict) -> str:
    """What the picture of a row shows."""
    center, low, high = in_margins(v)
    if not math.isfinite(center):
        return "no finite gap"
    unit = "margins" if v.margin else "half-widths of its interval"
    edge = 1 if v.margin else 0
    holds = {Relation.EQUAL: f"from {-edge} to {edge}", Relation.AT_MOST: f"up to {edge}",
             Relation.AT_LEAST: f"from {-edge}"}[v.relation]  # fmt: skip
    return f"gap {center:.3g} {unit}, interval {low:.3g} to {high:.3g}; the statement holds {holds}"


def mark(role: str, x: float) -> str:
    """The mark of a role at x: a disc for theorems, a square for findings, a diamond for controls."""
    y = HEIGHT / 2
    return {
        "theorem": f'<circle cx="{x:.1f}" cy="{y}" r="4.5"/>',
        "finding": f'<path d="M{x - 4.2:.1f} {y - 4.2:.1f}h8.4v8.4h-8.4z"/>',
        "control": f'<path d="M{x:.1f} {y - 6}l6 6-6 6-6-6z"/>',
    }[role]


def axis_svg(axis: Axis) -> Markup:
    """The names of an axis' ticks, as wide as its rows.

    >>> axis_svg(Axis(-3, 3)).count("<text")
    3
    """
    placed: dict[float, str] = {}
    for x, name in sorted(
        axis.ticks.items(), key=lambda tick: abs(tick[0])
    ):  # from zero outward, as long as there is room
        at = _place(axis, x)
        if all(abs(at - other) > 3 * (len(name) + len(neighbor)) for other, neighbor in placed.items()):
            placed[at] = name
    names = [f'<text x="{at:.1f}" y="12" text-anchor="middle">{escape(name)}</text>' for at, name in placed.items()]
    return _svg(14, f"axis: {', '.join(axis.ticks.values())}", names)


def row_svg(v: Verdict, axis: Axis) -> Markup:
    """A verdict on its axis: what is allowed as a band, the interval as a line, the gap as a mark of its role.

    >>> from itssl.claims.check import check
    >>> verdict = check("C10")
    >>> 'class="theorem"' in row_svg(verdict, axis_of([verdict]))
    True
    """
    left, right = (_place(axis, x) for x in allowed(v, axis))
    zero, middle = _place(axis, 0), HEIGHT / 2
    shapes = [
        f'<rect class="allowed" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>',
        f'<path class="zero" d="M{zero:.1f} 0V{HEIGHT}"/>',
    ]
    center, low, high = in_margins(v)
    if math.isfinite(center):
        line = f'<path d="M{_place(axis, low):.1f} {middle}H{_place(axis, high):.1f}"/>'
        shapes.append(f'<g class="{role(v)}">{line}{mark(role(v), _place(axis, center))}</g>')
    return _svg(HEIGHT, gap_in_words(v), shapes)


def _svg(height: int, words: str, shapes: list[str]) -> Markup:
    head = Markup('<svg class="forest" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">').format(
        WIDTH, height, WIDTH, height, words
    )
    return head + Markup("".join(shapes)) + Markup("</svg>")


def _place(axis: Axis, x: float) -> float:
    """The position in the picture, with room for half a mark at either end."""
    return 7 + axis.position(x) * (WIDTH - 14)


def _symlog(x: float) -> float:
    return x if abs(x) <= 1 else math.copysign(1 + math.log10(abs(x)), x)


def _power(k: int) -> str:
    return str(10**k) if k < 4 else f"10{str(k).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
