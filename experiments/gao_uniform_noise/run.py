"""How do KSG and its local non-uniformity correction follow I(X; f(X) + uniform noise) as the noise vanishes?"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import quad

from experiments.runner import Cell, experiment
from itssl.estimators.error_bars import value_only
from itssl.estimators.local_nonuniformity import LNC
from itssl.estimators.nearest_neighbors import KSG

ESTIMATORS = {
    "KSG, variant 1": KSG(k=5), "KSG, variant 2": KSG(k=5, variant=2),
    "LNC, α simulated": LNC(k=5), "LNC, α = 0.65": LNC(k=5, alpha=0.65),
}  # fmt: skip
NOISE = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
FUNCTIONS = {"linear": lambda x: x, "quadratic": lambda x: x**2, "sine": lambda x: np.sin(2 * np.pi * x)}
# The distribution functions of f(X), X uniform on [0, 1], and where their densities end.
LAWS = {
    "linear": (lambda v: np.clip(v, 0, 1), (0.0, 1.0)),
    "quadratic": (lambda v: np.sqrt(np.clip(v, 0, 1)), (0.0, 1.0)),
    "sine": (lambda v: 0.5 + np.arcsin(np.clip(v, -1, 1)) / np.pi, (-1.0, 1.0)),
}
PASSING = 0.05


def truth(function: str, width: float) -> float:
    """h(Y) − log(width) in nats, h(Y) by quadrature of the density (F(y + width/2) − F(y − width/2))/width."""
    law, (low, high) = LAWS[function]
    half = width / 2

    def integrand(y: float) -> float:
        density = (law(y + half) - law(y - half)) / width
        return -density * np.log(density) if density > 0 else 0.0

    # The density bends within a width of its ends and is smooth between: pieces that shrink toward the ends.
    steps = np.geomspace(width, (high - low) / 2, 40)
    cuts = np.unique(np.r_[low - half, low + half, high - half, high + half, low + steps, high - steps])
    pieces = [quad(integrand, a, b, limit=200)[0] for a, b in pairwise(cuts)]
    return float(sum(pieces) - np.log(width))


def cells(quick: bool) -> list[Cell]:
    """Function, noise, sample size, seed; linear and one curve suffice to look."""
    functions, sizes, seeds = (list(FUNCTIONS), [1000, 5000], 8) if not quick else (["linear", "quadratic"], [500], 2)
    return [
        {"function": function, "noise": noise, "n": n, "seed": seed}
        for function in functions
        for noise in NOISE
        for n in sizes
        for seed in range(seeds)
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """All estimators on one data set, in nats; their errors come from the spread over the seeds."""
    x = rng.uniform(size=cell["n"])
    y = FUNCTIONS[cell["function"]](x) + cell["noise"] * rng.uniform(-0.5, 0.5, size=cell["n"])
    with value_only():
        found = {name: estimator.mutual_information(x, y).value for name, estimator in ESTIMATORS.items()}
    return {"truth": truth(cell["function"], cell["noise"]), **found}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Mean relative errors, the worst over the noise levels, and which are within five percent."""
    findings: dict[str, Any] = {"closed form of the linear truth, largest deviation": _closed_form_deviation()}
    for (function, n), group in _groups(rows, "function", "n").items():
        for name in ESTIMATORS:
            errors = {f"{noise:g}": _relative_error(part, name) for (noise,), part in _groups(group, "noise").items()}
            findings[f"{function}, n={n}, {name}"] = {
                "relative error by noise": errors,
                "worst": max(errors.values(), key=abs),
                "within 5 %": sum(abs(e) < PASSING for e in errors.values()),
            }
    return findings


def draw(rows: list[Cell]) -> Any:
    """One panel for each function at the largest n: nats against noise, truth in black."""
    from matplotlib.figure import Figure

    largest = max(row["n"] for row in rows)
    groups = _groups([row for row in rows if row["n"] == largest], "function")
    figure = Figure(figsize=(4.2 * len(groups), 3.6), layout="constrained")
    for axes, ((function,), group) in zip(figure.subplots(1, len(groups), sharey=True), groups.items(), strict=True):
        levels = _groups(group, "noise")
        noise = [key[0] for key in levels]
        axes.plot(noise, [part[0]["truth"] for part in levels.values()], "k-", label="truth")
        for name, marker in zip(ESTIMATORS, "ox^v", strict=True):
            values = [[row[name] for row in part] for part in levels.values()]
            means, spread = [np.mean(v) for v in values], [np.std(v) for v in values]
            axes.errorbar(noise, means, yerr=spread, fmt=f"{marker}--", lw=1, ms=5, capsize=2, label=name)
        axes.set(xscale="log", title=f"Y = {function} + uniform noise, n = {largest}", xlabel="width of the noise")
        axes.invert_xaxis()
    figure.axes[0].set_ylabel("I(X; Y) in nats")
    figure.axes[0].legend(fontsize=8)
    return figure


def _relative_error(rows: list[Cell], name: str) -> float:
    return float(np.mean([row[name] for row in rows]) / rows[0]["truth"] - 1)


def _closed_form_deviation() -> float:
    """Of the quadrature from width/2 − log(width), over the noise levels."""
    return float(max(abs(truth("linear", width) - (width / 2 - np.log(width))) for width in NOISE))


def _groups(rows: list[Cell], *keys: str) -> dict[tuple[Any, ...], list[Cell]]:
    found: dict[tuple[Any, ...], list[Cell]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
