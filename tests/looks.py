"""What pictures show, told from their artists: for the tests of figures."""

from itertools import combinations
from typing import Any

from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle


def legend_texts(ax: Axes) -> list[str]:
    """The entries of a legend, none without one."""
    legend: Legend | None = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def bars(ax: Axes) -> list[tuple[float, float]]:
    """Where each horizontal bar begins and ends; areas over the whole height are left out."""
    found: list[Any] = [p for p in ax.patches if isinstance(p, Rectangle)]
    return [(p.get_x(), p.get_x() + p.get_width()) for p in found if 0.6 < p.get_height() < 0.7]


def assert_told_apart_in_gray(figure: Figure) -> None:
    """Named lines of a panel that differ in color differ in style or marker too; bars in hatch or lightness."""
    for ax in figure.axes:
        handles: list[Any] = [h for h, _ in zip(*ax.get_legend_handles_labels(), strict=True)]
        lines: list[Any] = [h if isinstance(h, Line2D) else h[0] for h in handles if not _is_area(h)]
        for a, b in combinations(lines, 2):
            if a.get_color() != b.get_color():
                kinds = [(x.get_linestyle(), x.get_marker(), x.get_linewidth()) for x in (a, b)]
                assert kinds[0] != kinds[1], (a.get_label(), b.get_label())
        areas: list[Any] = [h[0] for h in handles if isinstance(h, BarContainer)]
        for a, b in combinations(areas, 2):
            assert a.get_hatch() != b.get_hatch() or abs(_gray(a) - _gray(b)) > 0.1


def _is_area(handle: Any) -> bool:
    return not isinstance(handle, Line2D | ErrorbarContainer)


def _gray(patch: Any) -> float:
    r, g, b, _ = patch.get_facecolor()
    return 0.299 * r + 0.587 * g + 0.114 * b
