"""How often is the decision rule wrong, and what does it see? Many runs of the rule on gaps of known mean."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.decision_rule.many import AVERAGED, AVERAGES, decide_many
from experiments.runner import Cell, experiment
from itssl.claims.decision import FIRST_LOOK, Outcome, Relation

MARGIN = 0.1
CHUNK = 2000
RATES = (1e-2, 1e-3, 1e-4)
FIRST_LOOKS = (4, 8, 16)  # of the claims that train a network, or measure a large one, in each replicate
DISTANCES = (0.0, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)


def cells(quick: bool) -> list[Cell]:
    """On the margin at three nominal rates, where either verdict may be wrong; further in and out for the power.

    And on the margin for claims whose replicates are dear: first looks of 4, 8 and 16, three looks each.
    """
    on_margin = [
        {"kind": kind, "relation": relation.value, "gap": 1.0, "rate": rate, "first_look": first,
         "replicates": 4 * first, "runs": 2000 if quick else int(max(20_000, 40 / rate))}
        for kind in AVERAGES for relation in (Relation.EQUAL, Relation.AT_MOST) for rate in RATES
        for first in (FIRST_LOOK, *(FIRST_LOOKS if relation is Relation.EQUAL else ()))
    ]  # fmt: skip
    power = [
        {"kind": kind, "relation": "==", "gap": gap, "rate": 1e-4, "first_look": FIRST_LOOK, "replicates": 1024,
         "runs": 100 if quick else 2000}
        for kind in AVERAGES for gap in DISTANCES
    ]  # fmt: skip
    return on_margin + power


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of the outcomes over the runs, and the mean number of replicates until a verdict."""
    counts, replicates = dict.fromkeys(("HOLDS", "VIOLATED", "UNDECIDED"), 0), 0
    for start in range(0, cell["runs"], CHUNK):
        shape = (min(CHUNK, cell["runs"] - start), cell["replicates"])
        gaps = cell["gap"] * MARGIN + AVERAGES[cell["kind"]](rng, shape)
        outcomes, used = decide_many(
            gaps, Relation(cell["relation"]), MARGIN, false_verdict_rate=cell["rate"], first_look=cell["first_look"]
        )
        for outcome in (Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED):
            counts[outcome.value] += int((outcomes == outcome).sum())
        replicates += int(used.sum())
    return counts | {"mean_replicates": replicates / cell["runs"]}


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """For each kind of gap: the larger false-verdict rate on the margin, in units of the nominal one; and the power."""
    found: dict[str, Any] = {"draws averaged in a replicate": AVERAGED}
    for kind in AVERAGES:
        own = [row for row in rows if row["kind"] == kind]
        wrong = {
            f"{row['relation']} at {row['rate']:g}, first look {row['first_look']}": {
                "measured": max(row["HOLDS"], row["VIOLATED"]) / row["runs"],
                "standard_error": float(np.sqrt(max(row["HOLDS"], row["VIOLATED"], 1))) / row["runs"],
            }
            for row in own
            if row["gap"] == 1.0 and row["replicates"] == 4 * row["first_look"]
        }
        power = {
            f"gap of {row['gap']:g} margins": {
                "HOLDS": row["HOLDS"] / row["runs"], "VIOLATED": row["VIOLATED"] / row["runs"],
                "mean replicates": round(row["mean_replicates"], 1),
            }
            for row in own if row["replicates"] == 1024
        }  # fmt: skip
        found[kind] = {"wrong verdicts on the margin": wrong, "power": power}
    return found


def draw(rows: list[Cell]) -> Any:
    """Left: measured against nominal false-verdict rate; right: what becomes of a gap, by its size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    rates, power = figure.subplots(1, 2)
    for (kind, marker), color in zip(zip(AVERAGES, "osD^", strict=True), ("#0072B2", "#E69F00", "#009E73", "#D55E00"),
                                     strict=True):  # fmt: skip
        own = [row for row in rows if row["kind"] == kind]
        edge = [row for row in own if row["replicates"] == 128 and row["relation"] == "=="]
        wrong = np.array([max(row["HOLDS"], row["VIOLATED"]) for row in edge])
        runs = np.array([row["runs"] for row in edge])
        rates.errorbar(
            [row["rate"] for row in edge], wrong / runs, yerr=np.sqrt(wrong) / runs, marker=marker, color=color,
            capsize=3, label=kind,
        )  # fmt: skip
        curve = [row for row in own if row["replicates"] == 1024]
        for outcome, style in (("HOLDS", "-"), ("VIOLATED", "--")):
            power.plot([row["gap"] for row in curve], [row[outcome] / row["runs"] for row in curve], style,
                       marker=marker, markersize=4, color=color)  # fmt: skip
    rates.plot(RATES, RATES, color="0.4", linestyle=":", label="nominal")
    rates.set_xscale("log")
    rates.set_yscale("log")
    rates.set_xlabel("nominal false-verdict rate")
    rates.set_ylabel("share of wrong verdicts, gap on the margin")
    rates.legend(frameon=False, fontsize=8)
    power.axvline(1, color="0.4", linestyle=":")
    power.set_xlabel("gap / margin (relation ==, nominal rate 1e-4)")
    power.set_ylabel("share of runs: HOLDS solid, VIOLATED dashed")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
