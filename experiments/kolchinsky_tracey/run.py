"""How tight are pairwise bounds on the entropy of a mixture as its components part? (Kolchinsky & Tracey, 2017)."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from experiments.runner import Cell, experiment
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.mixture_bounds import huber_bounds, kolchinsky_tracey_bounds

D = 10
COMPONENTS = 100
STATED = {"H(X|C)": 14.19, "Bhattacharyya": 16.25, "truth": 17.16, "Kullback–Leibler": 18.51, "H(X|C) + H(C)": 18.80}
"""At spread 1, each to two decimals: what a program that knows nothing of itssl gave for one draw of the centers."""
BELOW, ABOVE = ("H(X|C)", "expected likelihood", "Bhattacharyya"), ("Kullback–Leibler", "H(X|C) + H(C)")
STYLES = {
    "truth": ("k-", 2.4), "H(X|C)": ("C7:", 1.2), "expected likelihood": ("C2-.", 1.4), "Bhattacharyya": ("C0-", 1.4),
    "Kullback–Leibler": ("C1--", 1.4), "H(X|C) + H(C)": ("C7:", 1.2), "kernel density": ("C4:", 2.0),
}  # fmt: skip


def cells(quick: bool) -> list[Cell]:
    """Four ways to move the components apart; replicates draw other centers."""
    replicates = 2 if quick else 8
    points = 3 if quick else 9
    sweeps = {
        "spread of the centers": [*np.geomspace(0.05, 5, points).round(4).tolist(), 1.0],
        "spread of five groups": np.geomspace(0.05, 5, points).round(4).tolist(),
        "likeness of the covariances": np.geomspace(1, 1000, points).round().tolist(),
        "dimension": [1, 5, 20] if quick else [1, 2, 5, 10, 20, 40, 60],
    }
    return [
        {"sweep": sweep, "at": float(at), "replicate": replicate, "draws": 1000 if quick else 20000}
        for sweep, values in sweeps.items()
        for at in sorted(set(values))
        for replicate in range(replicates)
    ]


def mixture(sweep: str, at: float, rng: np.random.Generator) -> GaussianMixture:
    """100 components of equal weight in R¹⁰ (or R^at) with unit covariances, unless those are what is varied."""
    if sweep == "likeness of the covariances":
        freedom = int(D + at)
        covs = stats.wishart(freedom, np.eye(D) / freedom).rvs(COMPONENTS, random_state=rng)
        return GaussianMixture(np.full(COMPONENTS, 1 / COMPONENTS), rng.normal(size=(COMPONENTS, D)), covs)
    d = int(at) if sweep == "dimension" else D
    centers = rng.normal(size=(COMPONENTS, d))
    if sweep == "spread of the centers":
        centers *= at
    elif sweep == "spread of five groups":
        groups = rng.normal(size=(5, d))
        centers = 0.01 * centers + at * groups[np.arange(COMPONENTS) % 5]
    return GaussianMixture.isotropic(centers, 1.0)


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """The bounds, exactly, and the truth by Monte Carlo."""
    law = mixture(cell["sweep"], cell["at"], rng)
    pairwise, huber = kolchinsky_tracey_bounds(law), huber_bounds(law)
    return {
        **dict(zip(("truth", "standard error"), truth(law, cell["draws"], rng), strict=True)),
        "H(X|C)": float(np.mean([part.entropy.value for part in law.components])),
        "expected likelihood": huber.lower,
        "Bhattacharyya": pairwise.lower,
        "Kullback–Leibler": pairwise.upper,
        "H(X|C) + H(C)": huber.upper,
        "kernel density": kernel_density(law),
    }


def truth(law: GaussianMixture, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """h = H(X|C) + E log p(X|C)/p(X): the first is known, the mean taken over equally many draws from each component.

    The log-ratio is I(X; C) pointwise: it varies little where components coincide (0) or lie far apart (log m).
    """
    share = max(2, draws // COMPONENTS)
    labels = np.repeat(np.arange(COMPONENTS), share)
    x = law.sample_given(labels, rng)
    own = law.component_log_densities(x)[np.arange(len(x)), labels]
    ratios = (own - law.log_density(x)).reshape(COMPONENTS, share)
    known = float(np.mean([part.entropy.value for part in law.components]))
    return known + float(ratios.mean()), float(np.sqrt(ratios.var(axis=1, ddof=1).mean() / ratios.size))


def kernel_density(law: GaussianMixture) -> float:
    """−(1/m) Σ_i log p(μ_i), the entropy "estimated" by the density at the centers: neither bound nor consistent."""
    return -float(law.log_density(law.means).mean())


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The order of the bounds in every cell, the gaps by sweep, and the values at spread 1 beside those stated."""
    findings: dict[str, Any] = {
        "cells": len(rows),
        "below the truth": {name: _held(rows, name, -1) for name in BELOW},
        "above the truth": {name: _held(rows, name, 1) for name in ABOVE},
        "tighter than expected likelihood": sum(r["Bhattacharyya"] > r["expected likelihood"] for r in rows),
    }
    one = [r for r in rows if r["sweep"] == "spread of the centers" and r["at"] == 1.0]
    findings["spread 1"] = {
        name: {"mean": _mean(one, name), "over draws of the centers": _deviation(one, name), "stated": value}
        for name, value in STATED.items()
    }
    for sweep, group in groupby(rows, key=lambda r: r["sweep"]):
        group = list(group)
        findings[sweep] = {
            f"{at:g}": {name: round(_mean(part, name) - _mean(part, "truth"), 4) for name in STYLES if name != "truth"}
            for at, part in ((at, [r for r in group if r["at"] == at]) for at in sorted({r["at"] for r in group}))
        }
    return findings


def _held(rows: list[Cell], name: str, sign: int) -> int:
    """In how many cells the bound lies on its side of the truth, but for four standard errors of the truth."""
    slack = 64 * np.finfo(float).eps  # where the components are one, or fully apart, bounds are equalities
    return sum(bool(sign * (r[name] - r["truth"]) >= -4 * r["standard error"] - slack * abs(r["truth"])) for r in rows)


def _mean(rows: list[Cell], name: str) -> float:
    return float(np.mean([r[name] for r in rows]))


def _deviation(rows: list[Cell], name: str) -> float:
    return float(np.std([r[name] for r in rows], ddof=1))


def draw(rows: list[Cell]) -> Any:
    """One panel a sweep: the mean over draws of the centers, in nats; for the dimension, less the truth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.8), layout="constrained")
    sweeps = {sweep: list(group) for sweep, group in groupby(rows, key=lambda r: r["sweep"])}
    for axes, (sweep, group) in zip(figure.subplots(1, len(sweeps)), sweeps.items(), strict=True):
        at = sorted({r["at"] for r in group})
        for name, (line, width) in STYLES.items():
            base = "truth" if sweep == "dimension" else None
            values = [
                _mean(part, name) - (_mean(part, base) if base else 0.0)
                for part in ([r for r in group if r["at"] == a] for a in at)
            ]
            axes.plot(at, values, line, lw=width, label=name)
        axes.set(xscale="log", xlabel=sweep, ylabel="less the truth (nats)" if sweep == "dimension" else "h (nats)")
    figure.axes[0].legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
