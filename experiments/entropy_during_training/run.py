"""Does the entropy of the embeddings rise during training, and does the answer depend on the unit of length?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.evaluation.observed_runs import UNITS, entropies, observed_run
from itssl.networks.recipes import recipe

METHODS = ("SimCLR", "VICReg", "BYOL")
ESTIMATORS = ("log-det", "neighbors", "pairwise")
SEEDS = 5
NOISE_VAR = 4.0
"""Of the pairwise bound: at unit trace exp(−‖z − z̃‖²/(8·4)) is about e⁻⁴, above 1/n, in R^64."""
CONSTANT = "log-det, whitened"


def cells(quick: bool) -> list[Cell]:
    """Three objectives at every seed on digits."""
    if quick:
        return [{"method": m, "seed": 0, "epochs": 2} for m in METHODS]
    return [{"method": m, "seed": s} for s in range(SEEDS) for m in METHODS]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Entropies of held-out embeddings along a run; on the unit sphere for SimCLR and BYOL, which see nothing else."""
    chosen = recipe("digits")
    sphere = cell["method"] != "VICReg"

    def on_its_space(z_a: np.ndarray, z_b: np.ndarray, center: np.ndarray) -> dict[str, float]:
        z = z_a / np.linalg.norm(z_a, axis=1, keepdims=True) if sphere else z_a
        return entropies(z, noise_var=NOISE_VAR)

    chosen = replace(chosen, epochs=cell.get("epochs", chosen.epochs))
    run = observed_run(chosen, cell["method"], cell["seed"], on_its_space)
    course = {k: [float(v) if np.isfinite(v) else None for v in s] for k, s in run.evaluations.items()}
    return {"step": run.evaluation_steps.tolist(), "course": course}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Start, end and change of each entropy, and how the methods rank at the end, under each unit."""
    changes, orders = {}, {}
    for estimator in ESTIMATORS:
        for unit in UNITS:
            name = f"{estimator}, {unit}"
            ends = {m: _ends(rows, m, name) for m in METHODS}
            if name == CONSTANT:
                continue
            changes[name] = {m: _told(e) for m, e in ends.items()}
            known = {m: float(np.mean(e[:, 1])) for m, e in ends.items() if len(e)}
            orders[name] = " > ".join(sorted(known, key=known.__getitem__, reverse=True))
    return {"change": changes, "order at the end": orders}


def draw(rows: list[Cell]) -> Any:
    """Entropy against the step, one row an estimator, one column a unit; thin lines are seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), layout="constrained")
    for line, estimator in zip(figure.subplots(len(ESTIMATORS), len(UNITS), sharex=True), ESTIMATORS, strict=True):
        for axes, unit in zip(line, UNITS, strict=True):
            if f"{estimator}, {unit}" == CONSTANT:
                axes.set_axis_off()
                continue
            for color, method in zip(("C0", "C3", "C2"), METHODS, strict=True):
                mine = [row for row in rows if row["method"] == method]
                for i, row in enumerate(mine):
                    values = np.array(row["course"][f"{estimator}, {unit}"], dtype=float)
                    axes.plot(row["step"], values, color=color, lw=0.8, label=None if i else method)
            axes.set_title(f"{estimator}, {unit}", fontsize=9)
            axes.set_ylabel("nats")
    for axes in line:
        axes.set_xlabel("step")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(METHODS))
    return figure


def _ends(rows: list[Cell], method: str, name: str) -> np.ndarray:
    courses = [row["course"][name] for row in rows if row["method"] == method]
    return np.array([(c[0], c[-1]) for c in courses if None not in (c[0], c[-1])]).reshape(-1, 2)


def _told(ends: np.ndarray) -> str:
    if not len(ends):
        return "singular covariance"
    change = ends[:, 1] - ends[:, 0]
    error = f" ± {change.std(ddof=1) / np.sqrt(len(change)):.2g}" if len(change) > 1 else ""
    return f"{ends[:, 0].mean():.1f} → {ends[:, 1].mean():.1f} ({change.mean():+.1f}{error})"


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
