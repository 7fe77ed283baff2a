"""Is the weighted nearest-neighbor entropy normal around the truth with the least possible variance, Var log p / n?

After Berrett, Samworth & Yuan (2019): √n(ĥ − h) → N(0, Var log p(X)), so that ĥ ± z √(V̂/n) is an interval.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import digamma

import itssl
from experiments.runner import Cell, experiment
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.nearest_neighbors import log_ball_volumes
from itssl.estimators.weighted_neighbors import neighbor_weights

LEVEL = 0.95
CHUNK = 25
"""Samples in one cell."""
DIMS = (1, 2, 3, 5, 8)
ESTIMATORS = ("k = 1", "k = 2∛n", "weighted, k = 2∛n")


def cells(quick: bool) -> list[Cell]:
    """Law, dimension, sample size, and a chunk of samples."""
    sizes, dims, chunks = ([200], (1, 5), 2) if quick else ([250, 1000, 4000], DIMS, 16)
    return [
        {"law": law, "d": d, "n": n, "chunk": c} for law in ("normal", "two clusters") for d in dims for n in sizes
        for c in range(chunks)
    ]  # fmt: skip


def law(name: str, d: int) -> Any:
    """N(0, I), or two unit clusters at distance 3."""
    if name == "normal":
        return Gaussian.standard(d)
    centers = np.zeros((2, d))
    centers[:, 0] = -1.5, 1.5
    return GaussianMixture.isotropic(centers, 1.0)


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Each estimator on each sample: value, and V̂ = Σ w_j-weighted second moment of the log-densities less ĥ²."""
    known, n, d = law(cell["law"], cell["d"]), cell["n"], cell["d"]
    k = round(2 * n ** (1 / 3))
    found: dict[str, list[list[float]]] = {name: [] for name in ESTIMATORS}
    for _ in range(CHUNK):
        x = known.sample(n, rng)
        surprises = log_ball_volumes(x, k, "euclidean") + np.log(n - 1) - digamma(np.arange(1, k + 1))
        for name, weights in _weights(k, d).items():
            value = float((surprises @ weights).mean())
            variance = float((np.square(surprises) @ weights).mean() - value**2)
            found[name].append([round(value, 5), round(variance, 4)])
    return found


def _weights(k: int, d: int) -> dict[str, np.ndarray]:
    """One weight a neighbor."""
    return {"k = 1": np.eye(k)[0], "k = 2∛n": np.eye(k)[-1], "weighted, k = 2∛n": neighbor_weights(k, d)}


def truth(name: str, d: int) -> tuple[float, float]:
    """h(X) and the standard deviation of log p(X), the latter by 2¹⁷ draws."""
    known = law(name, d)
    draws = known.log_density(known.sample(2**17, itssl.stream(0, "spread", name, d)))
    return known.entropy.value, float(draws.std())


def table(rows: list[Cell]) -> list[Cell]:
    """One row a setting and estimator: bias and spread in units of √(Var log p/n), coverage, a test of normality."""
    found = []
    for name, d, n in dict.fromkeys((r["law"], r["d"], r["n"]) for r in rows):
        entropy, deviation = truth(name, d)
        for estimator in ESTIMATORS:
            parts = [r[estimator] for r in rows if (r["law"], r["d"], r["n"]) == (name, d, n)]
            values, variances = np.concatenate(parts).T
            z = (values - entropy) / (deviation / n**0.5)
            half = stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt(np.maximum(variances, 0) / n)
            found.append({
                "law": name, "d": d, "n": n, "estimator": estimator, "samples": len(z),
                "bias": float(z.mean()), "spread": float(z.std(ddof=1)),
                "coverage": float(np.mean(np.abs(values - entropy) <= half)),
                "normality p": float(stats.shapiro(z).pvalue),
                "negative variances": int(np.sum(variances <= 0)),
            })  # fmt: skip
    return found


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The table, by estimator."""
    found = table(rows)
    return {
        estimator: {
            f"{r['law']}, d={r['d']}, n={r['n']}": {
                key: round(r[key], 4) for key in ("bias", "spread", "coverage", "normality p", "negative variances")
            }
            for r in found
            if r["estimator"] == estimator
        }
        for estimator in ESTIMATORS
    }


def draw(rows: list[Cell]) -> Any:
    """Bias, spread and coverage at the largest n against the dimension."""
    from matplotlib.figure import Figure

    found = table(rows)
    n = max(r["n"] for r in found)
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (key, goal) in zip(panels, (("bias", 0), ("spread", 1), ("coverage", LEVEL)), strict=True):
        for color, estimator in enumerate(ESTIMATORS):
            for name, style in (("normal", "o-"), ("two clusters", "s--")):
                part = [r for r in found if (r["estimator"], r["law"], r["n"]) == (estimator, name, n)]
                label = estimator if name == "normal" else None
                axes.plot([r["d"] for r in part], [r[key] for r in part], style, color=f"C{color}", label=label)
        axes.axhline(goal, color="gray", lw=0.8)
        axes.set(xlabel="d", ylabel=key, title=f"n = {n}: normal (solid), two clusters (dashed)")
    panels[0].set(yscale="symlog", ylabel="bias, in units of √(Var log p / n)")
    panels[1].set_ylabel("spread, in the same units")
    panels[2].set_ylabel(f"coverage of the {LEVEL:.0%} interval")
    panels[0].legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
