"""Which estimator when: the error of every estimator on data of known entropy and information."""

import time
from pathlib import Path
from typing import Any

import numpy as np

import itssl
from experiments.runner import Cell, experiment
from itssl.arrays import SampleError

INFORMATION = {
    "Gaussian, 2 + 2": ("multinormal-sparse-2-2-2-2.0", 1000),
    "Gaussian, 25 + 25, few rows": ("multinormal-dense-25-25-0.5", 200),
    "Gaussian seen through a half-cube, 3 + 3": ("half_cube-multinormal-sparse-3-3-2-2.0", 1000),
    "spiral, 3 + 3": ("spiral-multinormal-sparse-3-3-2-2.0", 1000),
    "Student, 1 degree of freedom, 2 + 2": ("student-identity-2-2-1", 1000),
    "line y = x + uniform noise": ("line-10.0", 1000),
    "mixture of crossed Gaussians": ("1v1-X-0.9", 1000),
    "counts, zero-inflated": ("zero_inflated_poisson-0.15", 1000),
    "independent, 20 + 20": ("gaussian-20-0.0", 1000),
    "views of 10 prototypes, 2 + 2": ("prototypes-10-2", 1000),
    "views with 4 shared of 8 latents, in 64 + 64": ("content-4-4-view-64", 1000),
    "binary images through a noisy channel, 64 + 64": ("images-4bits-0.1", 1000),
}
"""What the data are → (a task of the catalogue, rows)."""

ENTROPY = {
    "Gaussian, d = 2": (itssl.Gaussian.standard(2), 1000),
    "Gaussian, d = 10": (itssl.Gaussian.standard(10), 1000),
    "Gaussian, d = 64, few rows": (itssl.Gaussian.standard(64), 100),
    "two clusters, d = 5": (itssl.GaussianMixture.isotropic(np.array([[-3.0] * 5, [3.0] * 5]), 1.0), 1000),
}
"""What the data are → (a law, rows)."""

WRONG = (0.05, 0.2)
"""An answer off on average by more than so many nats and this share of the truth should say so."""


def estimators(quantity: str, quick: bool) -> dict[str, Any]:
    """Label → estimator: all of the library's that need no further number from the user."""
    from itssl import estimators as e

    if quantity == "entropy":
        return {
            "Gaussian": e.GaussianPlugin(), "Gaussian (OAS)": e.GaussianPlugin(shrinkage="oas"),
            "Kozachenko–Leonenko": e.KozachenkoLeonenko(), "weighted kNN": e.WeightedKozachenkoLeonenko(),
            "extrapolated kNN": e.ExtrapolatedKozachenkoLeonenko(), "fitted mixture": e.FittedMixture(),
        }  # fmt: skip
    chosen = {
        "Gaussian": e.GaussianPlugin(), "Gaussian (OAS)": e.GaussianPlugin(shrinkage="oas"),
        "Gaussian copula": e.GaussianCopula(), "KSG": e.KSG(), "LNC": e.LNC(), "mixed KSG": e.MixedKSG(),
        "fitted mixture": e.FittedMixture(), "binning": e.Binning(),
    }  # fmt: skip
    return chosen if quick else {**chosen, "InfoNCE": e.InfoNCE(), "NWJ": e.NWJ()}


def cells(quick: bool) -> list[Cell]:
    """One cell per kind of data; all estimators see the same draws."""
    information = [{"quantity": "mutual_information", "data": name, "quick": quick} for name in INFORMATION]
    entropy = [{"quantity": "entropy", "data": name, "quick": quick} for name in ENTROPY]
    return [information[0], entropy[0]] if quick else information + entropy


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Bias, spread, root mean square error, seconds and warnings of each estimator over replicates."""
    quantity, name = cell["quantity"], cell["data"]
    if quantity == "entropy":
        law, n = ENTROPY[name]
        truth, draws = law.entropy.value, lambda: (law.sample(n, rng),)
    else:
        task, n = itssl.tasks()[INFORMATION[name][0]], INFORMATION[name][1]
        truth, draws = task.mutual_information.value, lambda: task.sample(n, rng)
    data = [draws() for _ in range(3 if cell["quick"] else 10)]
    measured = {}
    for label, estimator in estimators(quantity, cell["quick"]).items():
        measured[label] = _measure(getattr(estimator, quantity), data, truth)
    return {"n": n, "truth": truth, "estimators": measured}


def _measure(ask: Any, data: list[tuple], truth: float) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        found = [ask(*samples) for samples in data]
    except SampleError as refusal:
        return {"refused": str(refusal)}
    values = np.array([estimate.value for estimate in found])
    told = [{w.code for w in estimate.warnings} - {"no_error_bar"} for estimate in found]
    codes = sorted(set.union(*told))
    if not np.isfinite(values).all():
        return {"infinite": True, "warnings": codes}
    return {
        "bias": float(values.mean() - truth), "spread": float(values.std(ddof=1)),
        "root_mean_square_error": float(np.sqrt(((values - truth) ** 2).mean())), "warnings": codes,
        "silent": float(np.mean([not codes for codes in told])), "direction": found[0].bias.value,
        "covered": float(np.mean([low <= truth <= high for low, high in (e.interval() for e in found)])),
        "seconds": (time.perf_counter() - start) / len(data), "replicates": len(data),
    }  # fmt: skip


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The table of the README, a line per kind of data."""
    return {"table": table(rows)}


def table(rows: list[Cell]) -> list[str]:
    """Markdown: the two most accurate estimators, and those that are wrong without saying so."""
    lines = ["| data | rows | truth | most accurate | next | over 20 % off and silent about it |", "|---" * 6 + "|"]
    for row in rows:
        answered = {k: m for k, m in row["estimators"].items() if "root_mean_square_error" in m}
        first, second, *_ = sorted(answered, key=lambda k: answered[k]["root_mean_square_error"])
        silent = [label for label, m in answered.items() if _misleads(m, row["truth"])]
        symbol = "h" if row["quantity"] == "entropy" else "I"
        best = (f"{label} (±{answered[label]['root_mean_square_error']:.2g})" for label in (first, second))
        cells = [row["data"], str(row["n"]), f"{symbol} = {row['truth']:.4g}", *best, ", ".join(silent) or "none"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _misleads(m: dict[str, Any], truth: float) -> bool:
    """Far off, in a direction it did not state, and most estimates without a warning."""
    stated = (m["direction"] == "lower" and m["bias"] < 0) or (m["direction"] == "upper" and m["bias"] > 0)
    return abs(m["bias"]) > max(WRONG[0], WRONG[1] * abs(truth)) and not stated and m["silent"] > 0.5


SHOWN = (0.01, 20.0)
"""Errors in nats that the figure resolves."""


def draw(rows: list[Cell]) -> Any:
    """Root mean square error of every estimator on every kind of data; hollow where it warned."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 0.45 * len(rows)))
    axes = figure.add_subplot()
    labels = list(dict.fromkeys(label for row in rows for label in row["estimators"]))
    for i, label in enumerate(labels):
        for y, row in enumerate(rows):
            m = row["estimators"].get(label, {})
            if "root_mean_square_error" in m:
                color, error = f"C{i % 10}", m["root_mean_square_error"]
                shape = "<" if error < SHOWN[0] else ">" if error > SHOWN[1] else "os"[i >= 10]
                axes.plot(
                    np.clip(error, *SHOWN), y, shape, color=color,
                    label=label if y == _first(rows, label) else None,
                    markerfacecolor="none" if m["warnings"] else color,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row["data"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("root mean square error in nats (triangles: beyond the axis); hollow: with a warning")
    axes.legend(fontsize="small", bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure


def _first(rows: list[Cell], label: str) -> int:
    """The first row in which the estimator answered: where it enters the legend."""
    return next(y for y, row in enumerate(rows) if "root_mean_square_error" in row["estimators"].get(label, {}))


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
