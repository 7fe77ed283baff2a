"""One look for all pictures, without rcParams: colors for color-blind readers; lines, markers and hatches for gray."""

import io
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from itssl.choices import ParameterError

# Okabe-Ito [Okabe & Ito 2008, Color universal design], the darker ones first; its yellow is too pale for lines
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "osD^vPX"
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
GRAY = "0.35"
SMALL = 8
"""The font size of legends and notes, in points."""
_LETTERS = 13
"""Of a title, in an inch."""


class Picture(Figure):
    """A Figure that Jupyter shows, as it does those of pyplot: no ``%matplotlib inline`` needed, no state kept.

    >>> Picture(figsize=(2, 1))._repr_png_()[1:4]
    b'PNG'
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def look(i: int) -> dict[str, Any]:
    """Color, marker and line style of series i; marker and style together repeat after 35 series, color after 6.

    >>> look(0)
    {'color': '#0072B2', 'marker': 'o', 'linestyle': '-'}
    """
    return {
        "color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": STYLES[i % len(STYLES)]
    }  # fmt: skip


def axes_in(ax: Any, width: float, height: float) -> tuple[Figure, Axes]:
    """The axes to draw into and their figure; without ``ax`` in a new figure of this size in inches.

    Raises ParameterError for what is no Axes, such as the array that ``subplots`` returns.

    >>> figure, ax = axes_in(None, 5, 3)
    >>> figure.axes == [ax]
    True
    """
    if ax is None:
        ax = Picture(figsize=(width, height), layout="constrained").add_subplot()
    if not isinstance(ax, Axes):
        raise ParameterError(
            f"ax: expected matplotlib Axes, got {type(ax).__name__}; pass one of those that figure.subplots() returns"
        )
    return _root(ax), ax


def panels_in(
    figure: Any, width: float, height: float, rows: int, columns: int, **options: Any
) -> tuple[Figure, list[Axes]]:
    """New panels, row by row, in the figure or subfigure given, else in a new one of this size in inches; and its root.

    ``options`` are those of ``figure.subplots``. Raises ParameterError for what is neither.

    >>> figure, axes = panels_in(None, 8, 3, 1, 2)
    >>> figure.axes == axes
    True
    """
    if figure is None:
        figure = Picture(figsize=(width, height), layout="constrained")
    if not isinstance(figure, Figure | SubFigure):
        raise ParameterError(
            f"figure: expected a matplotlib Figure or SubFigure, got {type(figure).__name__}; this picture has several "
            "panels, pass e.g. one of figure.subfigures(1, 2)"
        )
    return _root(figure), list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def require_answer(name: str, value: Any, kind: type, made_by: str) -> None:
    """Raise ParameterError unless value is an answer of this kind.

    >>> require_answer("found", 3, Axes, "figure.subplots()")
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: found: expected an Axes, as made by figure.subplots(), got int
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ParameterError(
            f"{name}: expected {article} {kind.__name__}, as made by {made_by}, got {type(value).__name__}"
        )


def tidy(ax: Axes, *, left: bool = True) -> None:
    """No frame but the axes that carry numbers."""
    ax.spines[["top", "right"] if left else ["top", "right", "left"]].set_visible(False)


def legend(ax: Axes, **options: Any) -> None:
    """A small legend without a frame, where anything has a name."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**{"frameon": False, "fontsize": SMALL, "handlelength": 2.8, **options})


def title(figure: Figure | SubFigure, text: str) -> None:
    """A small title, taken literally, on as many lines as it needs above this figure.

    >>> figure = Picture(figsize=(3, 2))
    >>> title(figure, "mutual information by KSG(k=4, variant=1, metric='chebyshev')")
    >>> figure.get_suptitle()
    "mutual information by KSG(k=4,\\nvariant=1, metric='chebyshev')"
    """
    letters = max(1, int(_LETTERS * figure.bbox.width / figure.get_figure(root=True).dpi))
    lines = [textwrap.fill(line, letters, break_long_words=False) for line in text.split("\n")]
    figure.suptitle("\n".join(lines), fontsize=9, parse_math=False)


def _root(drawn: Axes | Figure | SubFigure) -> Figure:
    root = drawn.get_figure(root=True)
    assert isinstance(root, Figure)
    return root
