"""Estimators by checks, in colors that are told apart without hue, each with its mark."""

from typing import Any

from experiments.peer_conformance.tables import MARKS, MEAN, QUANTITIES, WORDS, by_estimator, checks, label
from experiments.runner import Cell

COLORS = {
    "HOLDS": "#CFE3F2", "VIOLATED": "#B14A00", "UNDECIDED": "#F0C36A", "NOT_APPLICABLE": "#FFFFFF", "ERROR": "#3A3A3A",
}  # fmt: skip
"""In gray: light, dark, between, white, black; blue and orange are apart for every kind of color vision."""
DARK, EDGE = ("VIOLATED", "ERROR"), "#9A9A9A"


def draw(rows: list[Cell]) -> Any:
    """One matrix for each quantity; checks of the mean answer stand apart from invariances and conduct."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    quantities = [quantity for quantity in QUANTITIES if checks(rows, quantity)]
    found = {
        quantity: [own for own in by_estimator(rows).values() if own[0]["quantity"] == quantity]
        for quantity in quantities
    }
    heights = [len(found[quantity]) for quantity in quantities]
    figure = Figure(figsize=(12, 3.5 + 0.24 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(quantities), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, quantity in zip(panels, quantities, strict=True):
        kinds = {row["check"]: row["kind"] for own in found[quantity] for row in own}
        names = sorted(checks(rows, quantity), key=lambda name: kinds[name] != MEAN)
        for y, own in enumerate(found[quantity]):
            for row in own:
                x, outcome = names.index(row["check"]), row["outcome"]
                square = {"facecolor": COLORS[outcome], "edgecolor": EDGE, "linewidth": 0.5}
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **square))
                ink = "white" if outcome in DARK else "black"
                axes.text(x, y, MARKS[outcome], ha="center", va="center", fontsize=8, color=ink)
        first = sum(kinds[name] == MEAN for name in names)
        axes.axvline(first - 0.5, color="black", lw=1.5)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(found[quantity]) - 0.5, -0.5), title=QUANTITIES[quantity])
        words = [name.replace("_", " ") for name in names]
        axes.set_xticks(range(len(names)), words, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(range(len(found[quantity])), [label(own[0]) for own in found[quantity]], fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    legend = [
        Patch(facecolor=COLORS[outcome], edgecolor=EDGE, label=f"{MARKS[outcome]}  {WORDS[outcome]}")
        for outcome in MARKS if any(row.get("outcome") == outcome for row in rows)
    ]  # fmt: skip
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    return figure
