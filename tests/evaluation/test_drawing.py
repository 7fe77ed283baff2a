"""The common look: series differ without color, and what is no place to draw is refused by name."""

from itertools import combinations
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itssl.choices import ParameterError
from itssl.evaluation.drawing import axes_in, look, panels_in, require_answer


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


def test_other_places_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"ax: expected matplotlib Axes, got ndarray; pass one of those"):
        axes_in(Figure().subplots(1, 2), 1, 1)
    with pytest.raises(ParameterError, match="figure: expected a matplotlib Figure or SubFigure, got str"):
        panels_in("f", 1, 1, 1, 1)
    with pytest.raises(ParameterError, match="found: expected a Figure, as made by me, got Axes"):
        require_answer("found", Figure().subplots(), Figure, "me")
    require_answer("found", Figure().subplots(), Axes, "me")
