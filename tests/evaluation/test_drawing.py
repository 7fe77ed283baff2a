"""The common look: series differ without color, and what is no place to draw is refused by name."""

import io
import pickle
from itertools import combinations
from typing import Any

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from itssl.choices import ParameterError
from itssl.evaluation.drawing import Picture, axes_in, look, panels_in, require_answer, title


def test_thirty_five_series_differ_in_marker_or_style() -> None:
    kinds = [(look(i)["marker"], look(i)["linestyle"]) for i in range(35)]
    assert len(set(kinds)) == 35
    for a, b in combinations(range(5), 2):  # the first ones in all three
        assert not set(map(str, look(a).values())) & set(map(str, look(b).values()))


def test_the_figure_of_nested_axes_is_the_root() -> None:
    figure = Figure()
    part: Any = figure.subfigures(1, 1)
    ax = part.subplots()
    assert axes_in(ax, 1, 1) == (figure, ax)
    root, panels = panels_in(figure.subfigures(1, 1), 1, 1, 2, 3)
    assert root is figure
    assert len(panels) == 6


def new_figures() -> list[Figure]:
    return [axes_in(None, 3, 2)[0], panels_in(None, 3, 2, 1, 2)[0]]


@pytest.mark.parametrize("figure", new_figures())
def test_jupyter_shows_new_figures_without_magic(figure: Figure) -> None:
    """As IPython asks, in a session in which nobody has activated anything; a plain Figure shows its name alone."""
    formatters = pytest.importorskip("IPython.core.formatters")
    shown, _ = formatters.DisplayFormatter().format(figure)
    assert set(shown) == {"text/plain", "image/png"}
    assert set(formatters.DisplayFormatter().format(Figure())[0]) == {"text/plain"}
    size = matplotlib.image.imread(io.BytesIO(shown["image/png"])).shape
    assert 0 < size[0] <= 230
    assert 0 < size[1] <= 330  # 3 by 2 inches of 100 dots, cut to what is drawn
    assert isinstance(pickle.loads(pickle.dumps(figure)), Picture)


def test_where_jupyter_was_told_how_to_show_figures_it_is_shown_so() -> None:
    """``%matplotlib inline`` registers a printer for Figure, and so for ours: one picture, in the format asked for."""
    formatters = pytest.importorskip("IPython.core.formatters")
    display = formatters.DisplayFormatter()
    display.formatters["image/png"].for_type(Figure, lambda figure: b"inline")
    assert display.format(Picture())[0]["image/png"] == b"inline"


def test_showing_keeps_no_state() -> None:
    before = dict(matplotlib.rcParams)
    figure = Picture(figsize=(3, 2))
    canvas = figure.canvas
    first = figure._repr_png_()
    assert figure._repr_png_() == first
    assert figure.canvas is canvas
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("width", [3.0, 9.0])
def test_titles_stay_above_their_figure(width: float) -> None:
    text = "mutual information by KSG(k=4, variant=1, metric='chebyshev', standardize=True), on subsamples"
    whole: Any = Figure(figsize=(2 * width, 3))
    figures: tuple[Any, ...] = (Figure(figsize=(width, 3)), whole.subfigures(1, 2)[1])
    for figure in figures:
        title(figure, text)
        place = figure._suptitle.get_window_extent(FigureCanvasAgg(figure.get_figure(root=True)).get_renderer())
        assert figure.bbox.x0 <= place.x0 < place.x1 <= figure.bbox.x1
        assert figure.get_suptitle().replace("\n", " ") == text


def test_other_places_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"ax: expected matplotlib Axes, got ndarray; pass one of those"):
        axes_in(Figure().subplots(1, 2), 1, 1)
    with pytest.raises(ParameterError, match="figure: expected a matplotlib Figure or SubFigure, got str"):
        panels_in("f", 1, 1, 1, 1)
    with pytest.raises(ParameterError, match="found: expected a Figure, as made by me, got Axes"):
        require_answer("found", Figure().subplots(), Figure, "me")
    require_answer("found", Figure().subplots(), Axes, "me")
