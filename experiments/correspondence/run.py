"""Do losses fall as information rises: along one run, and across objectives?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from experiments.runner import Cell, experiment
from itssl.evaluation.observed_runs import observed_run
from itssl.networks.recipes import recipe

METHODS = (
    "VICReg", "VICReg + LogDet", "VICReg + PairDist", "invariance + LogDet", "invariance + PairDist", "InfoNCE",
    "SimCLR", "Barlow Twins", "W-MSE", "spectral contrastive", "CorInfoMax", "MEC", "BYOL",
    "BYOL + LogDet", "BYOL + PairDist",
)  # fmt: skip
SEEDS = {"VICReg": 5}  # 3 for the others
INFORMATION = ("InfoNCE", "Gaussian information", "literal bound", "log-det entropy", "neighbor entropy")


def cells(quick: bool) -> list[Cell]:
    """Every objective on digits, VICReg at five seeds, the others at three."""
    if quick:
        return [{"method": m, "seed": 0, "epochs": 2} for m in ("VICReg", "BYOL")]
    return [{"method": m, "seed": s} for m in METHODS for s in range(SEEDS.get(m, 3))]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """The course of all measures on held-out views."""
    chosen = recipe("digits")
    run = observed_run(replace(chosen, epochs=cell.get("epochs", chosen.epochs)), cell["method"], cell["seed"])
    course = {name: [_finite(v) for v in series] for name, series in run.evaluations.items()}
    return {"step": run.evaluation_steps.tolist(), "course": course}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Spearman along runs (mean and the worst of the seeds), at the ends of runs across objectives, and end values."""
    within: dict[str, dict[str, str]] = {}
    ends: dict[str, dict[str, str]] = {}
    for method in _methods(rows):
        mine = [row["course"] for row in rows if row["method"] == method]
        pairs = {}
        for loss in ("VICReg loss", "own loss"):
            for name in INFORMATION:
                found = [_spearman(course[loss], course[name]) for course in mine]
                if not np.isnan(found).any():
                    pairs[f"{loss}, {name}"] = f"{np.mean(found):+.3f} (from {min(found):+.3f} to {max(found):+.3f})"
        within[method] = pairs
        ends[method] = {
            name: f"{np.mean([c[name][0] for c in mine]):.4g} → {_with_error([c[name][-1] for c in mine])}"
            for name in ("VICReg loss", *INFORMATION, "effective rank")
        }
    last = {name: [_mean_end(rows, m, name) for m in _methods(rows)] for name in ("VICReg loss", *INFORMATION)}
    across = {name: _finite(_spearman(last["VICReg loss"], last[name])) for name in INFORMATION}
    return {
        "Spearman along runs": within,
        "Spearman of the VICReg loss across objectives, at the end": across,
        "first and last, nats": ends,
        "literal bound of VICReg at the end": _with_error(
            [row["course"]["literal bound"][-1] for row in rows if row["method"] == "VICReg"]
        ),
    }


def draw(rows: list[Cell]) -> Any:
    """Against the VICReg loss, along runs of each objective at one seed: what should rise as it falls."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7.5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3).ravel(), (*INFORMATION, "effective rank"), strict=True):
        for i, method in enumerate(_methods(rows)):
            course = next(row["course"] for row in rows if row["method"] == method)
            pairs = [(a, b) for a, b in zip(course["VICReg loss"], course[name], strict=True) if None not in (a, b)]
            if pairs:
                style = ("-", "--", ":")[i // 10 % 3]
                axes.plot(*zip(*pairs, strict=True), style, color=f"C{i % 10}", lw=1, label=method)
                axes.plot(*pairs[-1], "o", color=f"C{i % 10}", ms=4)
        if name == "literal bound":
            axes.set_yscale("symlog", linthresh=100)
        axes.set(xscale="log", xlabel="VICReg loss on held-out views", ylabel=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right", fontsize=8)
    return figure


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _spearman(a: list[float | None], b: list[float | None]) -> float:
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    return float(spearmanr(*zip(*pairs, strict=True)).statistic) if len(pairs) > 2 else float("nan")


def _mean_end(rows: list[Cell], method: str, name: str) -> float | None:
    values = [row["course"][name][-1] for row in rows if row["method"] == method]
    return None if None in values else float(np.mean(values))


def _with_error(values: list[float | None]) -> str:
    if None in values:
        return "not finite"
    found = np.array(values, dtype=float)
    error = f" ± {found.std(ddof=1) / np.sqrt(len(found)):.2g}" if len(found) > 1 else ""
    return f"{found.mean():.4g}{error}"


def _methods(rows: list[Cell]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
