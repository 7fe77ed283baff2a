"""How do the two estimators of Kraskov, Stögbauer & Grassberger (2004) err on correlated Gaussians, against N and k?"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.error_bars import value_only
from itssl.estimators.nearest_neighbors import KSG

CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
CHUNK = 50
"""Replicates in one cell."""


def cells(quick: bool) -> list[Cell]:
    """Correlation, size, k and a chunk of replicates; fewer of the large sizes."""
    sizes = [125, 500] if quick else [125, 250, 500, 1000, 2000, 4000, 8000, 16000]
    chunks = {n: 1 if quick else int(np.clip(16 * 1000 // n, 3, 16)) for n in sizes}
    neighbors = [1, 4] if quick else [1, 2, 4, 10]
    return [
        {"correlation": r, "n": n, "k": k, "chunk": chunk}
        for r in CORRELATIONS
        for n in sizes
        for k in neighbors
        for chunk in range(chunks[n])
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Both variants on the same draws: sums of errors and of their squares, in nats."""
    task = linear_gaussian_views([cell["correlation"]])
    truth, k = task.mutual_information.value, cell["k"]
    estimators = {"1": KSG(k=k, variant=1, standardize=False), "2": KSG(k=k, variant=2, standardize=False)}
    errors: dict[str, list[float]] = {name: [] for name in estimators}
    with value_only():
        for _ in range(CHUNK):
            x, y = task.sample(cell["n"], rng)
            for name, estimator in estimators.items():
                errors[name].append(estimator.mutual_information(x, y).value - truth)
    return {name: [float(np.sum(e)), float(np.sum(np.square(e)))] for name, e in errors.items()}


def pooled(rows: list[Cell], **where: Any) -> dict[str, Any]:
    """Replicates, mean error with its standard error, and deviation, of one setting and variant."""
    variant = where.pop("variant")
    parts = [r[variant] for r in rows if all(r[key] == value for key, value in where.items())]
    count = CHUNK * len(parts)
    total, squares = np.sum(parts, axis=0)
    deviation = float(np.sqrt((squares - total**2 / count) / (count - 1)))
    return {"replicates": count, "bias": float(total / count), "error": deviation / count**0.5, "deviation": deviation}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Bias and deviation everywhere; zero bias at independence; the exponent with which the deviation falls."""
    sizes, neighbors = (sorted({r[key] for r in rows}) for key in ("n", "k"))
    table = {
        f"r={r:g}, k={k}, variant {v}": {n: pooled(rows, correlation=r, n=n, k=k, variant=v) for n in sizes}
        for r in CORRELATIONS
        for k in neighbors
        for v in ("1", "2")
    }
    independent = [found for name, part in table.items() if name.startswith("r=0,") for found in part.values()]
    return {
        "independence: settings": len(independent),
        "independence: biased by over 3.5 standard errors": sum(abs(f["bias"]) > 3.5 * f["error"] for f in independent),
        "independence: largest bias in nats": max(abs(f["bias"]) for f in independent),
        "exponent of the deviation in n": {
            name: round(float(np.polyfit(np.log(sizes), np.log([f["deviation"] for f in part.values()]), 1)[0]), 3)
            for name, part in table.items()
        },
        "bias, its error, and deviation in nats": {
            name: {str(n): [round(f[what], 5) for what in ("bias", "error", "deviation")] for n, f in part.items()}
            for name, part in table.items()
        },
    }  # fmt: skip


def draw(rows: list[Cell]) -> Any:
    """Mean error against 1/n for each correlation, with two standard errors; deviation against n."""
    from matplotlib.figure import Figure

    sizes, neighbors = (sorted({r[key] for r in rows}) for key in ("n", "k"))
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, k in ((left, neighbors[0]), (middle, neighbors[-2])):
        for color, r in enumerate(CORRELATIONS):
            for variant, style in (("1", "o-"), ("2", "s--")):
                found = [pooled(rows, correlation=r, n=n, k=k, variant=variant) for n in sizes]
                axes.errorbar(
                    1 / np.array(sizes), [f["bias"] for f in found], [2 * f["error"] for f in found], fmt=style, ms=4,
                    color=f"C{color}", capsize=2, label=f"r = {r:g}" if variant == "1" else None,
                )  # fmt: skip
        axes.axhline(0, color="gray", lw=0.8)
        axes.set(xscale="log", xlabel="1/n", ylabel="mean error (nats)", title=f"k = {k}: 1 (solid), 2 (dashed)")
    left.legend(fontsize=8)
    for color, k in enumerate(neighbors):
        for variant, style in (("1", "o-"), ("2", "s--")):
            found = [pooled(rows, correlation=0.9, n=n, k=k, variant=variant) for n in sizes]
            right.plot(sizes, [f["deviation"] for f in found], style, ms=4, color=f"C{color}",
                       label=f"k = {k}" if variant == "1" else None)  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="n", ylabel="standard deviation (nats)", title="r = 0.9")
    right.legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
