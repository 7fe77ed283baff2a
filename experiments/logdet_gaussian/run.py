"""What does the LogDet entropy of Zhouyin & Liu (2021) measure: its β, few rows, and laws that are not normal."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.runner import Cell, experiment
from itssl.distributions.tasks import gaussian_task_with_information
from itssl.estimators.error_bars import value_only
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.log_determinant import LogDet

BETAS = (1.0, 10.0, 100.0, 1e4)
D = 20
NATS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
MARGINS = {"normal": lambda x: x, "cubed": lambda x: x**3}
"""Applied to every coordinate: injective, so that the information stays."""


def cells(quick: bool) -> list[Cell]:
    """Margins, information, rows and replicate."""
    sizes, replicates = ([30, 200], 2) if quick else ([30, 100, 1000, 10_000], 20)
    return [
        {"margins": m, "nats": nats, "n": n, "replicate": r}
        for m in MARGINS
        for nats in NATS
        for n in sizes
        for r in range(replicates)
    ]


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """LogDet at every β and the Gaussian plug-ins, in nats, on the same rows."""
    x, y = map(MARGINS[cell["margins"]], gaussian_task_with_information(cell["nats"], D).sample(cell["n"], rng))
    enough = cell["n"] > 2 * D
    with value_only():
        found = {f"β = {beta:g}": LogDet(beta=beta).mutual_information(x, y).value for beta in BETAS}
        found["Gaussian (OAS)"] = GaussianPlugin(shrinkage="oas").mutual_information(x, y).value
        found["Gaussian"] = GaussianPlugin().mutual_information(x, y).value if enough else None
    return found


def channel(nats: float, beta: float) -> float:
    """LogDet of normal pairs as n → ∞: I of the pairs seen through noise of variance 1/β, d/2 · log 1/(1 − ρ'²)."""
    rho = np.sqrt(-np.expm1(-2 * nats / D)) / (1 + 1 / beta)
    return float(-0.5 * D * np.log1p(-(rho**2)))


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Mean and deviation of every reading; for LogDet of normal pairs the limit that theory gives."""
    names = [*(f"β = {beta:g}" for beta in BETAS), "Gaussian (OAS)", "Gaussian"]
    return {
        "limit for many rows": {f"β = {b:g}": {f"{i:g}": round(channel(i, b), 4) for i in NATS} for b in BETAS},
        **{
            f"{margins}, n={n}": {
                name: {f"{nats:g}": _moments(rows, name, margins=margins, n=n, nats=nats) for nats in NATS}
                for name in names
            }
            for margins in MARGINS
            for n in sorted({r["n"] for r in rows})
        },
    }


def _moments(rows: list[Cell], name: str, **where: Any) -> list[float] | None:
    values = [r[name] for r in rows if all(r[key] == value for key, value in where.items())]
    return None if None in values else [round(float(np.mean(values)), 4), round(float(np.std(values, ddof=1)), 4)]


def draw(rows: list[Cell]) -> Any:
    """Readings against the truth: normal margins with few and many rows, cubed ones with many."""
    from matplotlib.figure import Figure

    sizes = sorted({r["n"] for r in rows})
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    shown = (("normal", sizes[0]), ("normal", sizes[-1]), ("cubed", sizes[-1]))
    for axes, (margins, n) in zip(figure.subplots(1, 3, sharey=True), shown, strict=True):
        axes.plot(NATS, NATS, color="black", label="truth")
        for i, beta in enumerate(BETAS):
            found = [_moments(rows, f"β = {beta:g}", margins=margins, n=n, nats=nats) or [np.nan] for nats in NATS]
            axes.plot(NATS, [f[0] for f in found], "o--", color=f"C{i}", label=f"LogDet, β = {beta:g}")
            if margins == "normal":
                axes.plot(NATS, [channel(nats, beta) for nats in NATS], color=f"C{i}", lw=0.8)
        found = [_moments(rows, "Gaussian (OAS)", margins=margins, n=n, nats=nats) or [np.nan] for nats in NATS]
        axes.plot(NATS, [f[0] for f in found], "x:", color="C7", label="Gaussian (OAS)")
        axes.set(xlabel="I (nats)", title=f"{margins} margins, n = {n}", ylim=(-2, 60))
    figure.axes[0].set_ylabel("read (nats); thin: limit for many rows")
    figure.axes[0].legend(fontsize=8)
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
