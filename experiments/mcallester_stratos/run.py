"""How large can a lower bound on mutual information from n rows be? The wall of McAllester & Stratos (2020).

Two laws of views X = C + σN, X' = C + σN'. In the first C ~ N(0, I): I(X; X') = d/2 · log 1/(1 − ρ²), ρ = 1/(1 + σ²).
In the second C is uniform on K = 8n² points, themselves drawn from N(0, I): I(X; X') ≤ log K. Unless a point comes
up twice, with probability 1 − exp(−n²/2K) = 6 %, n rows of either are equal in law: what holds for both is ≤ log K.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from experiments.runner import Cell, experiment
from itssl.estimators import variational_bounds as bounds
from itssl.estimators.error_bars import value_only
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.nearest_neighbors import KSG

D = 8
STD = 1e-3
POINTS = 8
"""K in units of n²."""
NAMES = ("InfoNCE", "KSG", "Donsker–Varadhan", "NWJ", "Gaussian")


def truth() -> float:
    """I(X; X') of the first law in nats."""
    rho = 1 / (1 + STD**2)
    return float(-0.5 * D * np.log1p(-(rho**2)))


def cells(quick: bool) -> list[Cell]:
    """Rows, law and replicate."""
    sizes, replicates = ([64], 20) if quick else ([64, 256, 1024], 200)
    return [
        {"n": n, "law": law, "replicate": r} for n in sizes for law in ("Gaussian", "points") for r in range(replicates)
    ]


def pairs(law: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """n rows of X and X', and how many rows share their center with an earlier one."""
    if law == "points":  # of the K points only those that come up need be drawn
        _, labels = np.unique(rng.integers(POINTS * n**2, size=n), return_inverse=True)
    else:
        labels = np.arange(n)
    centers = rng.normal(size=(int(labels.max()) + 1, D))[labels]
    x, y = (centers + STD * rng.normal(size=(n, D)) for _ in range(2))
    return x, y, n - len(np.unique(labels))


def scores(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p(y_j|x_i)/p(y_j) of the first law: with variance v = 1 + σ² and ρ = 1/v, d terms of a normal pair."""
    v = 1 + STD**2
    rho = 1 / v
    squares = np.square(x[:, None, :] / np.sqrt(v) * rho - y[None, :, :] / np.sqrt(v)).sum(axis=2)
    return truth() - squares / (2 * (1 - rho**2)) + 0.5 * np.square(y).sum(axis=1) / v


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """What each reads off the same rows, in nats."""
    x, y, repeated = pairs(cell["law"], cell["n"], rng)
    table = scores(x, y)
    with value_only():
        return {
            "repeated": repeated,
            "InfoNCE": float(bounds.lower_bound_info_nce(table)),
            "KSG": KSG(standardize=False).mutual_information(x, y).value,
            "Donsker–Varadhan": float(bounds.lower_bound_donsker_varadhan(table)),
            "NWJ": float(bounds.lower_bound_nwj(table + 1)),
            "Gaussian": GaussianPlugin().mutual_information(x, y).value,
        }


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Medians by law, whether their laws can be told apart, and who passes the wall."""
    findings: dict[str, Any] = {"I of the first law": truth()}
    for n in sorted({r["n"] for r in rows}):
        groups = {law: [r for r in rows if (r["n"], r["law"]) == (n, law)] for law in ("Gaussian", "points")}
        wall = float(np.log(POINTS * n**2))
        findings[f"n={n}"] = {
            "log n": float(np.log(n)),
            "log K, the most that the second law has": wall,
            "share with a repeated point": float(np.mean([r["repeated"] > 0 for r in groups["points"]])),
            "median read": {
                name: {
                    **{law: round(float(np.median([r[name] for r in group])), 3) for law, group in groups.items()},
                    "p of the same law": round(
                        float(ks_2samp(*([r[name] for r in group] for group in groups.values())).pvalue), 3
                    ),
                    "over log K on the second law": float(np.mean([r[name] > wall for r in groups["points"]])),
                }
                for name in NAMES
            },
        }
    return findings


def draw(rows: list[Cell]) -> Any:
    """Median readings on the second law against n, its truth at most log K, and the truth of the first."""
    from matplotlib.figure import Figure

    sizes = sorted({r["n"] for r in rows})
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(truth(), color="black", lw=1, label="I of the first law")
    axes.plot(sizes, np.log(POINTS * np.square(sizes)), "k--", label="log K: the most that the second law has")
    for name, style in zip(NAMES, ("o-", "s-", "^:", "v:", "D:"), strict=True):
        medians = [np.median([r[name] for r in rows if (r["n"], r["law"]) == (n, "points")]) for n in sizes]
        axes.plot(sizes, medians, style, label=name)
    axes.set(xscale="log", xlabel="rows n", ylabel="read on the second law (nats)", ylim=(0, 1.25 * truth()))
    axes.legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
