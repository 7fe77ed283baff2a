"""Which objectives recover CCA when views are Gaussian, encoders linear and batches infinite? Nothing is sampled.

Views in R^20 with canonical correlations from 0.98 to 0.05 (claim C27), encoders K × 20. Every population loss is
minimized from random starts; information, rank and angles of what is found are exact.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.claims.vicreg_surrogates import CanonicalViews
from itssl.evaluation.spectrum import effective_rank, numerical_rank
from itssl.objectives import population_losses as losses
from itssl.objectives.linear_gaussian import minimize_population
from itssl.objectives.vicreg import NORMALIZATIONS, Normalization

NEGLIGIBLE = 1e-6  # variance, relative to the largest, of a direction the optimizer has removed
MARGIN = 1e-3  # nats
NU = 0.01


def _vicreg(weight: float, normalization: Normalization) -> losses.PopulationLoss:
    return losses.vicreg(normalization=normalization, weights=(25.0, 25.0, weight))


FIXED = {
    "literal bound": lambda: losses.invariance_logdet(noise_var=0.0, residual_var=1.0),
    "inv. + LogDet, s² = 2ν": lambda: losses.invariance_logdet(noise_var=NU, residual_var=2 * NU),
    "inv. + LogDet, s² = ν": lambda: losses.invariance_logdet(noise_var=NU, residual_var=NU),
    "inv. + LogDet, s² = ν/2": lambda: losses.invariance_logdet(noise_var=NU, residual_var=NU / 2),
    "CorInfoMax, ε = 1e-3": lambda: losses.corinfomax(eps=1e-3),
    "CorInfoMax, ε = 1": lambda: losses.corinfomax(eps=1.0),
    "inv. + PairDist, s² = 4ν": lambda: losses.invariance_pairdist(noise_var=NU, residual_var=4 * NU),
    "inv. + PairDist, s² = ν": lambda: losses.invariance_pairdist(noise_var=NU, residual_var=NU),
    "inv. + PairDist (KL), s² = ν": lambda: losses.invariance_pairdist(noise_var=NU, residual_var=NU, kernel="kl"),
    "VICReg + LogDet, β = 1": lambda: losses.vicreg_logdet(normalization="reference", beta=1.0),
    "VICReg + LogDet, β = 100": lambda: losses.vicreg_logdet(normalization="reference", beta=100.0),
    "VICReg + PairDist, σ² = 0.01": lambda: losses.vicreg_pairdist(normalization="reference", noise_var=0.01),
    "VICReg 25/25/1, reference": lambda: losses.vicreg(normalization="reference"),
    "VICReg 25/25/1, solo": lambda: losses.vicreg(normalization="solo"),
    "VICReg 25/25/1, equation": lambda: losses.vicreg(normalization="equation"),
    "Barlow Twins, λ = 0.0051": lambda: losses.barlow_twins(),
    "Barlow Twins, λ = 1": lambda: losses.barlow_twins(redundancy=1.0),
    "W-MSE without sphere": losses.whitened_mse,
    "spectral contrastive": losses.spectral_contrastive,
    "InfoNCE, inner product, τ = 0.1": lambda: losses.infonce(temperature=0.1),
    "InfoNCE, inner product, τ = 1": lambda: losses.infonce(temperature=1.0),
}
SWEPT = {
    **{f"VICReg, {name}": partial(_vicreg, normalization=name) for name in NORMALIZATIONS},
    "VICReg + LogDet, β = 100, reference": lambda weight: losses.vicreg_logdet(
        normalization="reference", beta=100.0, weights=(25.0, 25.0, weight, 1.0)
    ),
    "Barlow Twins": lambda weight: losses.barlow_twins(redundancy=weight),
}


def cells(quick: bool) -> list[Cell]:
    """Objectives at fixed settings, and along the covariance weight (Barlow Twins: that of redundancy)."""
    starts, points = (2, 3) if quick else (8, 17)
    widths = (5,) if quick else (5, 10)
    fixed = [{"objective": name, "k": k, "starts": starts} for k in widths for name in FIXED]
    swept = [
        {"objective": name, "k": k, "weight": float(weight), "starts": starts}
        for k in widths
        for name in SWEPT
        for weight in (np.geomspace(1e-3, 1, points) if name == "Barlow Twins" else np.geomspace(1e-2, 1e2, points))
    ]
    return fixed + swept


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Each list has one number for each start, that of the lowest loss first; angles and variances are extremes."""
    k = cell["k"]
    loss = SWEPT[cell["objective"]](cell["weight"]) if "weight" in cell else FIXED[cell["objective"]]()
    moments = CanonicalViews(k=k).moments()
    found = [minimize_population(loss, moments, k, start) for start in rng.spawn(cell["starts"])]
    found.sort(key=lambda matrix: loss(moments, matrix))
    covs = [moments.embedded(matrix).within for matrix in found]
    ranks = [numerical_rank(cov, smallest_variance=NEGLIGIBLE) for cov in covs]
    spectra = [np.linalg.eigvalsh(cov) / np.linalg.eigvalsh(cov)[-1] for cov in covs]
    return {
        "loss": [loss(moments, matrix) for matrix in found],
        "rank": ranks,
        "effective_rank": [effective_rank(cov) for cov in covs],
        "information": [moments.information(matrix, smallest_variance=NEGLIGIBLE) for matrix in found],
        "best_information": moments.best_information(k),
        "angle_to_top_k": max(moments.largest_angle(a, k, smallest_variance=NEGLIGIBLE) for a in found),
        "angle_to_top_rank": max(
            moments.largest_angle(a, rank, smallest_variance=NEGLIGIBLE) for a, rank in zip(found, ranks, strict=True)
        ),
        "smallest_kept_variance": min(float(s[s > NEGLIGIBLE].min()) for s in spectra),
        "largest_dropped_variance": max(float(s[s <= NEGLIGIBLE].max(initial=0)) for s in spectra),
    }


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Objectives that recover CCA from every start, a table of all, and VICReg along its covariance weight."""
    fixed = [row for row in rows if "weight" not in row]
    widths = sorted({row["k"] for row in rows})
    return {
        "starts": rows[0]["starts"],
        "recovered from every start within 1e-3 nats": {
            f"k = {k}": [row["objective"] for row in fixed if row["k"] == k and _shortfall(row) <= MARGIN]
            for k in widths
        },
        "objectives": {f"k = {k}": {row["objective"]: _found(row) for row in fixed if row["k"] == k} for k in widths},
        "least covariance weight from which every start recovers": {
            f"k = {k}": {name: _threshold([r for r in _sweep(rows, name) if r["k"] == k]) for name in SWEPT}
            for k in widths
        },
        # At a fixed matrix the loss rises with the weight, so the minimum does too.
        "weights at which a lower minimum exists than the best start found": {
            f"k = {k}": {name: _missed([r for r in _sweep(rows, name) if r["k"] == k]) for name in SWEPT}
            for k in widths
        },
        "largest angle of what is kept to as many leading variates": max(r["angle_to_top_rank"] for r in rows),
        "smallest kept, largest dropped relative variance": [
            min(row["smallest_kept_variance"] for row in rows),
            max(row["largest_dropped_variance"] for row in rows),
        ],
    }  # fmt: skip


def _found(row: Cell) -> dict[str, Any]:
    """The best start, and what the others make of it."""
    return {
        "information": row["information"][0],
        "of": row["best_information"],
        "information of the starts": [min(row["information"]), max(row["information"])],
        "rank": row["rank"][0],
        "rank of the starts": [min(row["rank"]), max(row["rank"])],
        "loss": row["loss"][0],
        "loss spread over the starts": max(row["loss"]) - min(row["loss"]),
        "largest angle to the top k": row["angle_to_top_k"],
    }


def _shortfall(row: Cell) -> float:
    """The largest over the starts, in nats."""
    return row["best_information"] - min(row["information"])


def _sweep(rows: list[Cell], name: str) -> list[Cell]:
    return [row for row in rows if "weight" in row and row["objective"] == name]


def _threshold(rows: list[Cell]) -> float | None:
    """The least weight above which no start at any weight falls short."""
    short = [row["weight"] for row in rows if _shortfall(row) > MARGIN]
    recovered = [row["weight"] for row in rows if row["weight"] > max(short, default=0)]
    return min(recovered, default=None)


def _missed(rows: list[Cell]) -> list[float]:
    lowest = [row["loss"][0] for row in rows]
    return [row["weight"] for i, row in enumerate(rows) if min(lowest[i:]) < lowest[i] - 1e-9 * abs(lowest[i])]


def draw(rows: list[Cell]) -> Any:
    """A row for each k: information and rank against the weight, shades from the least to the most of the starts;
    and the information of the other objectives, their ranks beside the bars."""
    from matplotlib.figure import Figure

    widths = sorted({row["k"] for row in rows})
    figure = Figure(figsize=(16, 4.8 * len(widths)), layout="constrained")
    for k, panels in zip(widths, figure.subplots(len(widths), 3, squeeze=False), strict=True):
        best = next(row["best_information"] for row in rows if row["k"] == k)
        for panel, what in zip(panels, ("information", "rank"), strict=False):
            for i, name in enumerate(SWEPT):
                sweep = [row for row in _sweep(rows, name) if row["k"] == k]
                weights = [row["weight"] for row in sweep]
                low, high = ([f(row[what]) for row in sweep] for f in (min, max))
                panel.fill_between(weights, low, high, color=f"C{i}", alpha=0.25, lw=0)
                style = "--" if name == "VICReg, solo" else "-"  # often the same curve as "reference"
                panel.plot(weights, [row[what][0] for row in sweep], style, marker=".", color=f"C{i}", label=name)
            panel.axhline(best if what == "information" else k, color="black", lw=1, ls=":", label="CCA")
            panel.set(xscale="log", xlabel="covariance weight (Barlow Twins: λ)", ylim=(0, None))
            panel.set_ylabel("I(Z; Z') in nats" if what == "information" else "rank of Cov Z")
        panels[0].set_title(f"k = {k} of 20")
        panels[1].set_title(f"k = {k} of 20")
        if k == widths[0]:
            panels[0].legend(fontsize=8)
        fixed = [row for row in rows if "weight" not in row and row["k"] == k]
        bars = panels[2]
        bars.barh([row["objective"] for row in fixed], [row["information"][0] for row in fixed], color="C7")
        for i, row in enumerate(fixed):
            bars.text(0.05, i, f"rank {row['rank'][0]}", va="center", fontsize=8)
        bars.axvline(best, color="black", lw=1, ls=":")
        bars.invert_yaxis()
        bars.tick_params(axis="y", labelsize=8)
        bars.set(xlabel="I(Z; Z') in nats, best start", title=f"k = {k} of 20; dotted: CCA")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
