"""How good are representations trained by each objective of the family? Probes over paired seeds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.runner import Cell, experiment
from itssl.evaluation.paired import paired_difference
from itssl.evaluation.probe_runs import BRACKETS, methods, probe_run
from itssl.networks.recipes import recipe

SEEDS = {"digits": 5, "mnist5k": 3}
PROBES = ("10-shot", "linear", "kNN")
PAIRS = (
    ("VICReg + LogDet", "VICReg"), ("VICReg + PairDist", "VICReg"), ("BYOL + LogDet", "BYOL"),
    ("BYOL + PairDist", "BYOL"), ("invariance + LogDet", "VICReg"), ("invariance + PairDist", "VICReg"),
)  # fmt: skip
WEIGHTS = (0.1, 10.0)
"""Of the entropy, beside 1: how much the answer depends on it."""


def cells(
    quick: bool, data: tuple[str, ...] = tuple(SEEDS), seeds: int | None = None, sensitivity: bool = False
) -> list[Cell]:
    """Every method at every seed; on request the entropy's weight varied for VICReg on digits."""
    if quick:
        names = ("VICReg", "VICReg + LogDet", *BRACKETS)
        return [{"data": "digits", "method": m, "seed": s, "epochs": 2} for m in names for s in range(2)]
    plan = [
        {"data": name, "method": method, "seed": seed}
        for name in data
        for seed in range(seeds or SEEDS[name])
        for method in methods()
    ]
    varied = [
        {"data": "digits", "method": method, "seed": seed, "entropy_weight": weight}
        for seed in range(seeds or SEEDS["digits"])
        for method in ("VICReg + LogDet", "VICReg + PairDist")
        for weight in WEIGHTS
        if sensitivity and "digits" in data
    ]
    return plan + varied


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """One run and its probes. The seed of the run is the cell's: methods at one seed share all that is random."""
    chosen = recipe(cell["data"])
    if "epochs" in cell:
        chosen = replace(chosen, epochs=cell["epochs"])
    settings = {"entropy_weight": cell["entropy_weight"]} if "entropy_weight" in cell else {}
    return probe_run(chosen, cell["method"], cell["seed"], **settings)


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Mean and standard error over seeds in percent, and paired differences in points with their sign-flip test."""
    found: dict[str, Any] = {"table": _table(rows)}
    for data in _names(rows, "data"):
        differences = {}
        for method, base in PAIRS:
            a, b = _by_seed(rows, data, method, "10-shot"), _by_seed(rows, data, base, "10-shot")
            if a and b:
                differences[f"{method} − {base}"] = _difference(a, b)
            for weight in WEIGHTS:
                varied = _by_seed(rows, data, method, "10-shot", weight)
                if varied and b:
                    differences[f"{method} (weight {weight:g}) − {base}"] = _difference(varied, b)
        found[f"10-shot differences in points, {data}"] = differences
    return found


def draw(rows: list[Cell]) -> Any:
    """One row a method, one panel a data set: each seed's accuracies, and their means."""
    from matplotlib.figure import Figure

    data = _names(rows, "data")
    figure = Figure(figsize=(6.2 * len(data), 5.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(data), squeeze=False)[0], data, strict=True):
        order = sorted(_names(rows, "method"), key=lambda m: np.mean(list(_by_seed(rows, name, m, "10-shot").values())))
        for probe, color in zip(PROBES, ("C3", "C0", "C2"), strict=True):
            for height, method in enumerate(order):
                values = 100 * np.array(list(_by_seed(rows, name, method, probe).values()))
                axes.plot(values, np.full(len(values), height), ".", color=color, alpha=0.5)
                axes.plot(values.mean(), height, "D", color=color, label=probe if height == 0 else None)
        axes.set(yticks=range(len(order)), yticklabels=order, xlabel="test accuracy in %", title=name)
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def _table(rows: list[Cell]) -> list[str]:
    lines = ["| data | method | 10-shot | linear | kNN | effective rank |", "|---|---|---|---|---|---|"]
    for data in _names(rows, "data"):
        ranked = []
        for method in _names(rows, "method"):
            parts = [
                np.array(list(_by_seed(rows, data, method, name).values())) for name in (*PROBES, "effective rank")
            ]
            if len(parts[0]):
                shown = " | ".join(_with_error(100 * values) for values in parts[:3])
                ranked.append((-parts[0].mean(), f"| {data} | {method} | {shown} | {parts[3].mean():.1f} |"))
        lines += [line for _, line in sorted(ranked)]
    return lines


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1) / np.sqrt(len(values)):.1f}"


def _difference(a: dict[int, float], b: dict[int, float]) -> str:
    return str(paired_difference({s: 100 * v for s, v in a.items()}, {s: 100 * v for s, v in b.items()}))


def _by_seed(rows: list[Cell], data: str, method: str, measured: str, weight: float | None = None) -> dict[int, float]:
    return {
        row["seed"]: row[measured]
        for row in rows
        if row["data"] == data and row["method"] == method and row.get("entropy_weight") == weight
    }


def _names(rows: list[Cell], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


main = experiment(
    Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw,
    options=[
        click.option("--data", type=click.Choice(list(SEEDS)), multiple=True, default=tuple(SEEDS), show_default=True),
        click.option("--seeds", type=click.IntRange(min=2), help="By default 5 on digits, 3 on mnist5k."),
        click.option("--sensitivity", is_flag=True, help="Also other weights of the entropy, on digits."),
    ],
)  # fmt: skip

if __name__ == "__main__":
    main()
