"""SVG for both schemes: grays turn, colors stay, the ground is the page's, and equal figures give equal text."""

import re
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure

from itssl.reports.svg import to_svg, turned


def drawn(color: str = "0.35") -> str:
    figure = Figure(figsize=(2, 2))
    ax = figure.subplots()
    ax.axhline(0.5, color=color)
    ax.plot([0, 1], color="#0072B2")
    ax.text(0, 0, "name", bbox={"facecolor": "white"})
    return to_svg(figure, "a picture")


def test_grays_have_a_rule_for_dark_screens_only() -> None:
    text = drawn()
    rules = re.findall(r'\[style\*="(fill|stroke): (#[0-9a-f]{6})"\]', text)
    assert ("stroke", "#595959") in rules
    assert ("fill", "#ffffff") in rules
    assert not [color for _, color in rules if color == "#0072b2"]
    assert text.count("@media screen and (prefers-color-scheme: dark){svg{fill:#e6e6e6}") == 1
    ElementTree.fromstring(text)


def test_the_ground_is_the_pages() -> None:
    root = ElementTree.fromstring(to_svg(Figure(figsize=(2, 2)), "empty"))
    styles = [e.get("style", "") for e in root.iter() if e.tag.endswith("path")]
    assert all("fill: none" in style or "opacity: 0" in style for style in styles)


def test_equal_figures_give_equal_text_and_nothing_global_changes() -> None:
    before = list(matplotlib.rcParams.items())
    assert drawn() == drawn() != drawn("0.5")
    assert list(matplotlib.rcParams.items()) == before


@pytest.mark.parametrize("color", ["#000000", "#595959", "#dde6ed", "#ffffff"])
def test_light_becomes_dark(color: str) -> None:
    old, new = (sum(int(c[i : i + 2], 16) for i in (1, 3, 5)) / 3 for c in (color, turned(color) or ""))
    assert new == pytest.approx(230 - 209 * old / 255, abs=1)
