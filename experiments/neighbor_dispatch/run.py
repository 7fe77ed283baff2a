"""Tree or tiles? How much slower is what `neighbors` chooses than the faster of the two?"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.runner import Cell, experiment
from itssl.kernels.brute_neighbors import brute_cross_neighbors, brute_neighbors
from itssl.kernels.neighbors import neighbors
from itssl.kernels.threads import cores
from itssl.kernels.tree_neighbors import leaf_tree, tree_neighbors
from itssl.kernels.tree_probe import tree_pays

K = 4
GOAL = 1.15
LAWS = ("normal", "linear 2", "linear 4", "curved 2", "curved 4")
SIZES = (1000, 10_000, 100_000)
PART = 64  # rows asked together where not all are
LIMIT = 0.25  # seconds of one measurement, about


def cells(quick: bool, rows: int) -> list[Cell]:
    """Every law on every number of rows and columns that can hold it; manifolds with noise 0 and 10⁻³."""
    sizes, columns = ((1000,), (2, 32)) if quick else (SIZES, (2, 8, 32, 128, 512))
    return [
        {"n": n, "d": d, "law": law, "noise": noise, "rounds": 3 if quick else 5}
        for n in sizes
        if n <= rows
        for d in columns
        for law in LAWS
        for noise in ((0.0,) if law == "normal" else (0.0, 1e-3))
        if law == "normal" or d >= int(law[-1])
    ]


def draw_rows(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Normal rows; a random plane or sines of random directions of 2 or 4 normal coordinates, plus normal noise."""
    n, d, law = cell["n"], cell["d"], cell["law"]
    if law == "normal":
        return rng.normal(size=(n, d))
    hidden = int(law[-1])
    x = rng.normal(size=(n, hidden)) @ rng.normal(size=(hidden, d))
    if law.startswith("curved"):
        x = np.sin(x + rng.uniform(0, 2 * np.pi, d))
    return x + cell["noise"] * rng.normal(size=(n, d)) if cell["noise"] else x


def parts(x: np.ndarray) -> dict[str, Any]:
    """Each way as a function of the number of rows asked for, in runs that are spread over all.

    It returns wall and processor seconds of all n rows: those of the queries times n / asked, and those of the tree,
    which is built here, once.
    """
    start = clocks()
    tree = leaf_tree(x)
    built, order = clocks() - start, np.asarray(tree.indices)

    def of(asked: int) -> np.ndarray:
        starts = np.linspace(0, len(x) - PART, asked // PART).astype(int)
        return (starts[:, None] + np.arange(PART)).ravel()

    def by_tree(asked: int) -> np.ndarray:
        rows = x[order[of(asked)]]
        return built + seconds(lambda: tree.query(rows, K + 1, workers=cores())) * (len(x) / asked)

    def by_tiles(asked: int) -> np.ndarray:
        rows = x[of(asked)]
        return seconds(lambda: brute_cross_neighbors(rows, x, K + 1)) * (len(x) / asked)

    return {"tree": by_tree, "tiles": by_tiles}


def clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def seconds(work: Callable[[], Any]) -> np.ndarray:
    start = clocks()
    work()
    return clocks() - start


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Median seconds of tree, tiles and choice, once a round each, in random order; the first round does not count.

    A way whose n queries would take longer than LIMIT is measured on some of them; a choice of it is then measured as
    the time to choose plus the time of the way.
    """
    x, n = draw_rows(cell, rng), cell["n"]
    leaf_tree(x[:10])  # imports
    some, asked = parts(x), {}
    for name, way in some.items():
        pilot = min(way(4 * PART)[0] for _ in range(2))
        size = int(n * LIMIT / pilot) // PART * PART
        asked[name] = n if size > 0.9 * n else max(4 * PART, size)
    chosen = "tree" if tree_pays(x, K, 2.0) else "tiles"
    whole = {"tree": lambda: tree_neighbors(x, K, 2.0), "tiles": lambda: brute_neighbors(x, K)}
    work: dict[str, Callable[[], np.ndarray]] = {
        name: partial(seconds, whole[name]) if asked[name] == n else partial(way, asked[name])
        for name, way in some.items()
    }
    work["choosing"] = lambda: seconds(lambda: tree_pays(x, K, 2.0))
    if asked[chosen] == n:
        work["choice"] = lambda: seconds(lambda: neighbors(x, K, "euclidean"))
    times: dict[str, list[np.ndarray]] = {name: [] for name in work}
    for _ in range(cell["rounds"] + 1):
        for name in rng.permutation(list(work)):
            times[name].append(work[name]())
    found = {name: np.array(each[1:]) for name, each in times.items()}
    found.setdefault("choice", found["choosing"] + found[chosen])
    return {
        "chosen": chosen, "cores": cores(), "asked": {name: size / n for name, size in asked.items()},
        "seconds": {
            name: dict(zip(("wall", "processor"), map(float, np.median(each, axis=0)), strict=True))
            for name, each in found.items()
        },
    }  # fmt: skip


def ratio(row: Cell, clock: str = "wall") -> float:
    found = {name: each[clock] for name, each in row["seconds"].items()}
    return found["choice"] / min(found["tree"], found["tiles"])


def name_of(row: Cell) -> str:
    noise = f", noise {row['noise']:g}" if row["noise"] else ""
    return f"n={row['n']}, d={row['d']}, {row['law']}{noise}"


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The worst ratio of the time of the choice to that of the faster way, and all above the goal, by both clocks."""
    return {clock: _summary(rows, clock) for clock in ("wall", "processor")}


def _summary(rows: list[Cell], clock: str) -> dict[str, Any]:
    ratios = {name_of(row): ratio(row, clock) for row in rows}
    of = [{name: each[clock] for name, each in row["seconds"].items()} for row in rows]
    wrong = [row for row, each in zip(rows, of, strict=True) if each[row["chosen"]] > min(each["tree"], each["tiles"])]
    return {
        "cells": len(rows),
        "worst_ratio": max(ratios.values()),
        "median_ratio": float(np.median(list(ratios.values()))),
        "goal": GOAL,
        "above_the_goal": {name: value for name, value in ratios.items() if value > GOAL},
        "slower_way_chosen": {name_of(row): ratio(row, clock) for row in wrong},
        "most_saved": max(max(each["tree"], each["tiles"]) / each["choice"] for each in of),
        "largest_share_of_choosing": max(each["choosing"] / each["choice"] for each in of),
    }


def draw(rows: list[Cell]) -> Any:
    """Each cell: how far the two ways differ, and what the choice cost beside the faster."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for n, marker in zip(sorted({row["n"] for row in rows}), "os^", strict=False):
        chosen = [row for row in rows if row["n"] == n]
        apart = [row["seconds"]["tiles"]["processor"] / row["seconds"]["tree"]["processor"] for row in chosen]
        axes.scatter(apart, [ratio(row, "processor") for row in chosen], marker=marker, label=f"n = {n}", alpha=0.7)
    axes.axhline(GOAL, color="black", linewidth=0.8, linestyle="--", label=f"goal {GOAL}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time of tiles / time of tree")
    axes.set_ylabel("time of the choice / time of the faster")
    axes.set_title("time of the processor", fontsize="medium")
    axes.legend()
    return figure


main = experiment(
    Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw,
    options=[click.option("--rows", type=int, default=SIZES[-1], show_default=True, help="At most so many.")],
)  # fmt: skip

if __name__ == "__main__":
    main()
