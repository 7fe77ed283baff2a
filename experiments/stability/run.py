"""Does a verdict depend on the seed? Every theorem and control of the ledger, under twenty seeds drawn at random.

One row is one claim under one seed; all claims of a run share its seed, as in `itssl verify --seed random`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.runner import Cell, experiment
from itssl.arrays import stream
from itssl.claims.claim import claims
from itssl.claims.decision import FloatingPoint
from itssl.claims.ledger import LEVELS, plan, run

RUNS, QUICK_RUNS, QUICK_CLAIMS = 20, 2, ("C10", "C17", "C26")


def cells(quick: bool, level: str) -> list[Cell]:
    """Theorems only: findings are measured, not judged (and trained for)."""
    chosen = QUICK_CLAIMS if quick else [c.id for c in claims().values() if c.kind == "theorem"]
    runs = QUICK_RUNS if quick else RUNS
    return [
        {"run": i, "seed": int(stream(i, "stability").integers(2**31)), "level": level,
         "claim": claim}
        for i in range(runs) for claim in chosen
    ]  # fmt: skip


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Every verdict of the claim: its outcome, gap, and how many replicates of those allowed it took."""
    ledger = run(plan([cell["claim"]], cell["level"]), seed=cell["seed"], jobs=1, progress=False, level=cell["level"])
    verdicts = [
        {
            "world": v.world, "control": v.control, "outcome": v.outcome.value, "expected": v.as_expected,
            "gap": _number(v.gap.value), "standard_error": _number(v.gap.standard_error),
            "replicates": 0 if isinstance(v.tolerance, FloatingPoint) else v.replicates,
        }
        for v in ledger.verdicts
    ]  # fmt: skip
    return {"verdicts": verdicts, "errors": [f"{e.cell}: {e.message}" for e in ledger.errors]}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """How many verdicts there were, which of them were not as expected or differed between seeds."""
    outcomes: dict[str, Counter[str]] = {}
    for row in rows:
        for v in row["verdicts"]:
            outcomes.setdefault(_name(row, v), Counter())[v["outcome"]] += 1
    unexpected = [
        {"seed": row["seed"], "verdict": _name(row, v), "outcome": v["outcome"], "gap": v["gap"]}
        for row in rows for v in row["verdicts"] if not v["expected"]
    ]  # fmt: skip
    return {
        "seeds": sorted({row["seed"] for row in rows}), "claims": len({row["claim"] for row in rows}),
        "checks under each seed": len(outcomes), "verdicts": sum(c.total() for c in outcomes.values()),
        "not as expected": unexpected,
        "differ between seeds": {name: dict(c) for name, c in outcomes.items() if len(c) > 1},
        "errors": [error for row in rows for error in row["errors"]],
    }  # fmt: skip


def draw(rows: list[Cell]) -> Any:
    """Replicates that the verdicts took, all worlds, controls and seeds of a claim in one line."""
    from matplotlib.figure import Figure

    names = sorted({row["claim"] for row in rows})
    figure = Figure(figsize=(8, 0.8 + 0.22 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        taken = [v for row in rows if row["claim"] == name for v in row["verdicts"] if v["replicates"]]
        for expected, color in ((True, "#0072B2"), (False, "#D55E00")):
            counted = Counter(v["replicates"] for v in taken if v["expected"] is expected)
            axes.scatter(list(counted), [y] * len(counted), s=[6 + 60 * n / len(taken) for n in counted.values()],
                         color=color, alpha=0.8, marker="o" if expected else "X")  # fmt: skip
        if not taken:
            axes.text(32, y, "decided within rounding", va="center", fontsize=7, color="0.4")
    axes.set_xscale("log", base=2)
    axes.set_xlim(6, 1400)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("replicates until the verdict (at most 1024); area: share of the verdicts; cross: not as expected")
    return figure


def _name(row: Cell, verdict: dict[str, Any]) -> str:
    control = f", control {verdict['control']!r}" if verdict["control"] else ""
    return f"{row['claim']} in {verdict['world']!r}{control}"


main = experiment(
    Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw,
    options=[click.option("--level", type=click.Choice(LEVELS), default="quick", show_default=True, help="Worlds.")],
)  # fmt: skip

if __name__ == "__main__":
    main()
