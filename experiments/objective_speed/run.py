"""How long do value and gradient of VICReg take, beside the form with the d × d covariance matrix?"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.runner import Cell, experiment
from itssl.objectives import vicreg_terms

SHAPES = [(256, 64), (256, 1024), (256, 8192), (1024, 1024), (4096, 256)]
GOAL = (256, 8192)


def cells(quick: bool) -> list[Cell]:
    """Each batch on one thread and on two."""
    shapes = [(64, 16), (64, 256), (256, 64)] if quick else SHAPES
    return [
        {"n": n, "d": d, "threads": threads, "rounds": 3 if quick else _rounds(n, d)}
        for threads in (1, 2)
        for n, d in shapes
    ]


def _rounds(n: int, d: int) -> int:
    return 5 if d > 4096 else 15 if n * d > 2**17 else 60


def textbook(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
    """VICReg 25/25/1 in the normalization "reference", through the covariance matrix and autograd."""
    n, d = z_a.shape
    loss = 25 * torch.nn.functional.mse_loss(z_a, z_b)
    for z in (z_a, z_b):
        centered = z - z.mean(dim=0)
        loss = loss + 25 * torch.relu(1 - torch.sqrt(centered.var(dim=0) + 1e-4)).mean() / 2
        cov = centered.T @ centered / (n - 1)
        loss = loss + (cov.square().sum() - cov.diagonal().square().sum()) / d
    return loss


def fast(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
    return vicreg_terms(z_a, z_b, normalization="reference").total()


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Seconds of value and gradient, each form once a round, in turn; and by how much the gradients differ."""
    z_a, z_b = (
        torch.tensor(z, dtype=torch.float32, requires_grad=True) for z in rng.normal(size=(2, cell["n"], cell["d"]))
    )
    before = torch.get_num_threads()
    torch.set_num_threads(cell["threads"])
    try:
        times, gradients = {"itssl": [], "textbook": []}, {}
        for _ in range(cell["rounds"] + 1):
            for name, loss in (("itssl", fast), ("textbook", textbook)):
                start = time.perf_counter(), time.process_time()
                gradients[name] = torch.autograd.grad(loss(z_a, z_b), (z_a, z_b))
                times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    finally:
        torch.set_num_threads(before)
    seconds = {name: np.array(found[1:]) for name, found in times.items()}  # the first round does not count
    size = max(float(g.abs().max()) for g in gradients["textbook"])
    gap = max(float((a - b).abs().max()) for a, b in zip(gradients["itssl"], gradients["textbook"], strict=True))
    return {
        "seconds": {name: _of_both_clocks(np.median, found) for name, found in seconds.items()},
        "smallest_seconds": {name: _of_both_clocks(np.min, found) for name, found in seconds.items()},
        "median_of_ratios": _of_both_clocks(np.median, seconds["textbook"] / seconds["itssl"]),
        "gradients_differ_by": gap / size,
    }


def _of_both_clocks(statistic: Any, rounds: np.ndarray) -> dict[str, float]:
    wall, processor = statistic(rounds, axis=0)
    return {"wall": float(wall), "processor": float(processor)}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """How many times as fast, by the medians and by the smallest times; the goal: 40 at (256, 8192), 1 at n ≥ d."""
    return {
        f"n={row['n']}, d={row['d']}, {row['threads']} threads": {
            "milliseconds": {name: 1e3 * found["wall"] for name, found in row["seconds"].items()},
            "times_as_fast": {
                "medians": _ratios(row["seconds"]),
                "smallest": _ratios(row["smallest_seconds"]),
                "median_of_ratios": row["median_of_ratios"],
            },
            "goal": 40 if (row["n"], row["d"]) == GOAL else 1 if row["n"] >= row["d"] else None,
            "gradients_differ_by": row["gradients_differ_by"],
        }
        for row in rows
    }


def _ratios(seconds: dict[str, dict[str, float]]) -> dict[str, float]:
    return {clock: seconds["textbook"][clock] / seconds["itssl"][clock] for clock in ("wall", "processor")}


def draw(rows: list[Cell]) -> Any:
    """Times as fast as the textbook form, by shape and number of threads."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for i, threads in enumerate((1, 2)):
        chosen = [row for row in rows if row["threads"] == threads]
        heights = [_ratios(row["smallest_seconds"])["wall"] for row in chosen]
        bars = axes.bar(np.arange(len(chosen)) + 0.4 * i, heights, 0.37, label=f"threads: {threads}")
        axes.bar_label(bars, fmt="%.3g")
    axes.set_xticks(np.arange(len(chosen)) + 0.2, [f"n = {row['n']}\nd = {row['d']}" for row in chosen])
    axes.set_yscale("log")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylabel("times as fast as the textbook form\n(smallest times of the wall clock)")
    axes.legend()
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
