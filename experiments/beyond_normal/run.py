"""Mutual information beyond normal laws: the 40 tasks of Czyż et al. (2023), each with its known truth."""

from pathlib import Path
from typing import Any

import numpy as np

import itssl
from experiments.runner import Cell, experiment
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import estimator as named_estimator

ESTIMATORS: dict[str, dict[str, Any]] = {
    "gaussian_plugin": {}, "gaussian_copula": {}, "ksg": {"k": 10}, "fitted_mixture": {}, "info_nce": {},
}  # fmt: skip
TITLES = {
    "gaussian_plugin": "Gaussian", "gaussian_copula": "Gaussian copula", "ksg": "KSG, k = 10",
    "fitted_mixture": "fitted mixture", "info_nce": "InfoNCE",
}  # fmt: skip
SLOW = ("fitted_mixture", "info_nce")
"""Asked once a task, on fewer rows."""
MANY = 25
"""Columns from which on a task is left out of the quick run, and a mixture is not fitted: it would take minutes."""


def tasks() -> dict[str, Any]:
    """The 40 of the paper, by its names."""
    return {name: task for name, task in itssl.tasks().items() if task.family == "beyond_normal"}


def cells(quick: bool) -> list[Cell]:
    """Task, estimator, replicate."""
    sizes = {"fast": 500, "slow": 500} if quick else {"fast": 10_000, "slow": 2000}
    return [
        {"task": name, "estimator": estimator, "n": sizes["slow" if estimator in SLOW else "fast"], "replicate": r}
        for name, task in tasks().items()
        for estimator in (list(ESTIMATORS)[:3] if quick else ESTIMATORS)
        for r in range(1 if quick or estimator in SLOW else 5)
        if task.d_x < MANY or not (quick or estimator == "fitted_mixture")
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """One value in nats."""
    task = tasks()[cell["task"]]
    x, y = task.sample(cell["n"], rng)
    with value_only():
        found = named_estimator(cell["estimator"], "mutual_information", **ESTIMATORS[cell["estimator"]])
        estimate = found.mutual_information(x, y)
    return {"truth": task.mutual_information.value, "value": estimate.value}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Mean value a task and estimator; who is nearest; how many tasks are within a tenth of a nat."""
    grid = _grid(rows)
    nearest = {task: min(found, key=lambda e: abs(found[e] - truth)) for task, (truth, found) in grid.items()}
    asked = list(dict.fromkeys(row["estimator"] for row in rows))
    errors = {e: [found[e] - truth for truth, found in grid.values() if e in found] for e in asked}
    return {
        "tasks": len(grid),
        "asked in tasks": {e: len(found) for e, found in errors.items()},
        "within 0.1 nats": {e: sum(abs(error) < 0.1 for error in found) for e, found in errors.items()},
        "mean absolute error": {e: round(float(np.abs(found).mean()), 4) for e, found in errors.items()},
        "nearest in tasks": {e: sum(name == e for name in nearest.values()) for e in asked},
        "values": {
            task: {"truth": round(truth, 4), **{e: round(v, 3) for e, v in found.items()}}
            for task, (truth, found) in grid.items()
        },
    }


def _grid(rows: list[Cell]) -> dict[str, tuple[float, dict[str, float]]]:
    """Task → truth, and estimator → mean value."""
    grid: dict[str, tuple[float, dict[str, list[float]]]] = {}
    for row in rows:
        grid.setdefault(row["task"], (row["truth"], {}))[1].setdefault(row["estimator"], []).append(row["value"])
    return {t: (truth, {e: float(np.mean(v)) for e, v in found.items()}) for t, (truth, found) in grid.items()}


def draw(rows: list[Cell]) -> Any:
    """Tasks by estimators: error in nats as number and shade."""
    from matplotlib.figure import Figure

    grid = _grid(rows)
    asked = list(dict.fromkeys(row["estimator"] for row in rows))
    errors = np.array([[found.get(e, np.nan) - truth for e in asked] for truth, found in grid.values()])
    figure = Figure(figsize=(1.15 * len(asked) + 4, 0.24 * len(grid) + 1.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(errors, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for (i, j), error in np.ndenumerate(errors):
        if np.isnan(error):
            continue
        axes.text(j, i, f"{error:+.2f}", ha="center", va="center", fontsize=7, color="w" if abs(error) > 0.7 else "k")
    axes.set_xticks(range(len(asked)), [TITLES[e] for e in asked], rotation=30, ha="right")
    axes.set_yticks(range(len(grid)), [f"{task}  ({truth:.2f})" for task, (truth, _) in grid.items()], fontsize=7)
    figure.colorbar(image, ax=axes, label="estimate less truth (nats)")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
