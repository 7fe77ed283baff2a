"""Pictures of verdicts. Functions return matplotlib figures and show nothing; no global state is touched."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from itssl.claims.claim import claims
from itssl.claims.verdict import Verdict
from itssl.evaluation.drawing import axes_in
from itssl.evaluation.figures import assessment_figure, convergence_figure, decomposition_figure, generalization_figure
from itssl.reports.forest import allowed, axis_of, in_margins, role

__all__ = [
    "assessment_figure",
    "convergence_figure",
    "decomposition_figure",
    "families",
    "family",
    "gap_figure",
    "generalization_figure",
]

# Okabe-Ito colors: told apart by color-blind readers; shape and filling tell them apart in gray
_LOOK: dict[str, dict[str, Any]] = {
    "theorem": {"marker": "o", "color": "#0072B2", "markerfacecolor": "#0072B2"},
    "derivation": {"marker": "o", "color": "#0072B2", "markerfacecolor": "#0072B2"},
    "finding": {"marker": "s", "color": "#009E73", "markerfacecolor": "#009E73"},
    "control": {"marker": "D", "color": "#D55E00", "markerfacecolor": "white"},
}
_ALLOWED = "#DDE6ED"


def family(verdict: Verdict) -> str:
    """The family of a verdict's claim: the module in which the claim's function is defined, in words.

    >>> from itssl.claims.check import check
    >>> family(check("C10"))
    'information bound'
    """
    return claims()[verdict.claim].sides.__module__.rpartition(".")[2].replace("_", " ")


def families(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by family, in the order in which they come.

    >>> from itssl.claims.check import check
    >>> {name: len(group) for name, group in families([check("C10"), check("C17")]).items()}
    {'information bound': 1, 'vicreg surrogates': 1}
    """
    groups: dict[str, list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault(family(v), []).append(v)
    return groups


def gap_figure(verdicts: Sequence[Verdict], *, ax: Axes | None = None) -> Figure:
    r"""Forest plot of the gaps left − right in units of the margin, with intervals, one row per verdict.

    The interval is Student's t at level 1 − false_verdict_rate for a single look. The shaded part of a row is where
    the statement holds: gap/margin in [−1, 1] for "==", at most 1 for "<=", at least −1 for ">=". The axis is linear
    between −1 and 1 and logarithmic beyond. A margin of zero has no unit: such a row is in half-widths of its
    own interval, and holds left (right) of zero; the axis says so. Gaps that are undefined are named instead of drawn.
    Derivations of the user's own are called by their statement.

    Draws into ``ax`` where one is given and returns its figure. Raises ValueError without verdicts,
    ParameterError for what is no Axes.

    >>> from itssl.claims.check import check
    >>> figure = gap_figure([check("C10", "d=1, shifted"), check("C10", control="correlated views"), check("C17")])
    >>> figure.axes[0].get_yticklabels()[0].get_text()
    'C10 · d=1, shifted'
    """
    if not verdicts:
        raise ValueError("verdicts: expected at least one verdict, got none; run some checks first")
    figure, ax = axes_in(ax, 9, 1.4 + 0.34 * len(verdicts))
    axis, scaled = axis_of(verdicts), [in_margins(v) for v in verdicts]
    view = (axis.low, axis.high)
    ax.set_xscale("symlog", linthresh=1.0, linscale=1.0)
    ax.set_xlim(*view)
    for y, (v, (center, low, high)) in enumerate(zip(verdicts, scaled, strict=True)):
        left, right = allowed(v, axis)
        ax.barh(y, right - left, left=left, height=0.84, color=_ALLOWED, zorder=0)
        if math.isfinite(center):
            look = _LOOK[_role(v)]
            ax.hlines(y, max(low, view[0]), min(high, view[1]), color=look["color"], linewidth=1.8, zorder=2)
            ax.plot([center], [y], linestyle="", markersize=6.5, zorder=3, **look)
        note = v.outcome.value.replace("_", " ").lower() if math.isfinite(center) else "no finite gap"
        ax.text(1.01, y, note, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    ax.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    ax.set_yticks(range(len(verdicts)), [_label(v) for v in verdicts], fontsize=8, parse_math=False)
    ax.set_ylim(len(verdicts) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    _name_ticks(ax, view)
    ax.set_xlabel(f"gap (left − right) / {_unit(verdicts)}")
    roles = list(dict.fromkeys(map(_role, verdicts)))
    handles: list[Artist] = [
        Line2D([], [], linestyle="-", linewidth=1.8, markersize=6.5, label=r, **_LOOK[r]) for r in roles
    ]
    handles.append(Patch(color=_ALLOWED, label="the statement holds"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), frameon=False, fontsize=8)
    return figure


def _role(v: Verdict) -> str:
    return "derivation" if v.is_derivation else role(v)


def _unit(verdicts: Sequence[Verdict]) -> str:
    """What gaps are divided by."""
    if all(v.margin for v in verdicts):
        return "margin"
    half = "half-width of its interval"
    return f"margin, or {half} where the margin is 0" if any(v.margin for v in verdicts) else half


def _label(v: Verdict) -> str:
    what = f"control: {v.control}" if v.control is not None else v.world
    return textwrap.shorten(what if v.is_derivation else f"{v.claim} · {what}", 62, placeholder=" …")


def _name_ticks(ax: Axes, view: tuple[float, float]) -> None:
    """Ticks at 0, ±1 and a few powers of ten: the default crowds them around zero."""
    decades = [int(math.log10(abs(end))) for end in view]
    step = 1 + sum(decades) // 8
    names = {0.0: "0"}
    for sign, minus, last in ((-1.0, "−", decades[0]), (1.0, "", decades[1])):
        powers = range(0, last + 1, step)
        names |= {sign * 10.0**k: f"{minus}1" if k == 0 else f"${minus.replace('−', '-')}10^{{{k}}}$" for k in powers}
    ax.set_xticks(list(names), list(names.values()))
    ax.set_xticks([], minor=True)
