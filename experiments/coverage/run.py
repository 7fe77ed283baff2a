"""Do nominal 95 % intervals cover the truth 95 % of the time? One cell per estimator, law, n and d."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.coverage import gaussian, mixtures, neighbors
from experiments.runner import Cell, experiment

FAMILIES = {"gaussian": gaussian, "nearest neighbors": neighbors, "fitted mixture": mixtures}
"""What the cells of a family are and how they are measured; each module has ``cells(quick)`` and ``measure``."""


def cells(quick: bool) -> list[Cell]:
    """The cells of all families."""
    return [cell for module in FAMILIES.values() for cell in module.cells(quick)]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Coverage and its companions of one cell, by the module of its family."""
    return FAMILIES[cell["family"]].measure(cell, rng)


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Smallest, median and largest coverage of each estimator, and where it is smallest."""
    found = {}
    for name in dict.fromkeys(_name(row) for row in rows):
        own = [row for row in rows if _name(row) == name]
        coverages = [row["coverage"] for row in own]
        worst = own[int(np.argmin(coverages))]
        found[name] = {
            "cells": len(own), "smallest": min(coverages), "median": float(np.median(coverages)),
            "largest": max(coverages), "smallest at": {k: v for k, v in worst.items() if k in ("law", "n", "d", "rho")},
            "replicates": worst["replicates"],
        }  # fmt: skip
    return found


def draw(rows: list[Cell]) -> Any:
    """Coverage of every cell, one line an estimator; the dotted line is the nominal level."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(_name(row) for row in rows))
    figure = Figure(figsize=(8, 0.5 + 0.32 * len(names)))
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        own = [row for row in rows if _name(row) == name]
        axes.scatter([row["coverage"] for row in own], [y] * len(own), s=14, alpha=0.6, color="C0")
    axes.axvline(0.95, color="0.4", linestyle=":")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("share of nominal 95 % intervals that contain the truth; one dot a cell")
    return figure


def _name(row: Cell) -> str:
    return f"{row['estimator']} {row['quantity']}" if "quantity" in row else row["estimator"]


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
