"""How often does the conformance suite fail an estimator that is right? Under fresh seeds, check by check.

A run of the suite is one seed: its statistical checks at a profile, and the exact checks and contracts, which are the
same at every profile. Right estimators are far from the limits of what is allowed; two more sit on the limit.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from experiments.conformance_stability.correct import CORRECT, EDGES, ON_THE_EDGE
from experiments.runner import Cell, experiment
from itssl.arrays import stream
from itssl.testing import ConformanceError, check_entropy_estimator, check_mutual_information_estimator
from itssl.testing.checks.trial import BUDGET, registered
from itssl.testing.findings import ConformanceReport

RUNS, BLOCK = {"ci": range(40), "dev": range(40, 100)}, 20
EDGE_RUNS, EDGE_BLOCK, EDGE_RATE = 100, 50, 0.1
SUITES = {"entropy": check_entropy_estimator, "mutual_information": check_mutual_information_estimator}
EXACT = "exact and contracts"


def cells(quick: bool) -> list[Cell]:
    """Blocks of seeds: a hundred for each right estimator, at the default profile and at a shorter one; and more on the
    edge, where alarms are expected."""
    runs, block = ({"dev": range(1)}, 1) if quick else (RUNS, BLOCK)
    edge_runs, edge_block = (10, 10) if quick else (EDGE_RUNS, EDGE_BLOCK)
    right = [
        {"estimator": name, "checks": checks, "profile": profile, "rate": BUDGET, "first": first, "runs": block}
        for checks in ("statistical", EXACT) for profile, seeds in runs.items()
        for first in seeds[::block] for name in CORRECT
    ]  # fmt: skip
    on_the_edge = [
        {"estimator": name, "checks": "on the edge", "profile": "dev", "rate": EDGE_RATE, "first": first,
         "runs": edge_block}
        for first in range(0, edge_runs, edge_block) for name in ON_THE_EDGE
    ]  # fmt: skip
    return right + on_the_edge


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """How often each check came out how; what failed, with its seed, and the worst case in words."""
    subject = (CORRECT | ON_THE_EDGE)[cell["estimator"]]
    names = _names(subject.quantity, cell["checks"])
    outcomes = {name: Counter[str]() for name in names}
    alarms: list[dict[str, Any]] = []
    for run in range(cell["first"], cell["first"] + cell["runs"]):
        seed = _seed(run)
        report = _report(subject, seed, names, cell)
        for found in report.findings:
            outcomes[found.check.name][found.outcome.value] += 1
        alarms += [{"seed": seed, "check": f.check.name, "case": str(f.worst[0])} for f in report.failures]
    return {"outcomes": {name: dict(counted) for name, counted in outcomes.items()}, "alarms": alarms}


def _seed(run: int) -> int:
    return int(stream(run, "conformance stability").integers(2**31))


def _names(quantity: Any, checks: str) -> list[str]:
    if checks == "on the edge":
        return list(EDGES[quantity])
    return [c.name for c in registered(quantity).values() if (c.kind == "statistical") == (checks == "statistical")]


def _report(subject: Any, seed: int, names: list[str], cell: Cell) -> ConformanceReport:
    try:
        return SUITES[subject.quantity](
            subject.make(), seed=seed, profile=cell["profile"], only=names, false_alarm_rate=cell["rate"],
            **subject.promises,
        )  # fmt: skip
    except ConformanceError as error:
        return error.report


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Runs with a false alarm and the interval of Clopper and Pearson, in all and by check, beside what is promised."""
    right = [row for row in rows if row["checks"] != "on the edge"]
    suites = {"in all": _suites(right)}
    for profile in dict.fromkeys(row["profile"] for row in right):
        suites[f"profile {profile}"] = _suites([row for row in right if row["profile"] == profile])
    return suites | {
        "alarms": [{"estimator": row["estimator"], **alarm} for row in right for alarm in row["alarms"]],
        "by check": _by_check(right),
        "on the edge": {
            name: _by_check([row for row in rows if row["estimator"] == name])
            for name in dict.fromkeys(row["estimator"] for row in rows if row["checks"] == "on the edge")
        },
    }  # fmt: skip


def _suites(rows: list[Cell]) -> dict[str, Any]:
    failed = {(row["estimator"], alarm["seed"]) for row in rows for alarm in row["alarms"]}
    return _counted(len(failed), sum(row["runs"] for row in rows if row["checks"] == "statistical"), BUDGET)


def _by_check(rows: list[Cell]) -> dict[str, Any]:
    """Over all estimators to which the check applied; the promise is the check's share of the rate."""
    totals: dict[str, Counter[str]] = {}
    expected: Counter[str] = Counter()
    for row in rows:
        quantity = (CORRECT | ON_THE_EDGE)[row["estimator"]].quantity
        for name, counted in row["outcomes"].items():
            totals.setdefault(name, Counter()).update(counted)
            applied = sum(counted.values()) - counted.get("NOT_APPLICABLE", 0)
            expected[name] += applied * registered(quantity)[name].false_alarm_rate * row["rate"] / BUDGET
    found: dict[str, Any] = {}
    for name, counted in totals.items():
        runs = counted.total() - counted["NOT_APPLICABLE"]
        if runs:
            inconclusive = {"inconclusive": counted["UNDECIDED"]} if counted["UNDECIDED"] else {}
            found[name] = _counted(counted["VIOLATED"], runs, expected[name] / runs) | inconclusive
    return found


def _counted(alarms: int, runs: int, rate: float) -> dict[str, Any]:
    from scipy.stats import binomtest

    low, high = binomtest(alarms, runs).proportion_ci(0.95, method="exact")
    return {
        "runs": runs, "false alarms": alarms, "at most": float(f"{rate * runs:.4g}"),
        "95 % interval of the rate": [float(f"{low:.3g}"), float(f"{high:.3g}")],
    }  # fmt: skip


def draw(rows: list[Cell]) -> Any:
    """False-alarm rates with their intervals: each check on right estimators, then those on the edge."""
    from matplotlib.figure import Figure

    found = summarize(rows)
    lines = [("the whole suite", found["in all"], "#0072B2")]
    lines += [(name, counted, "#0072B2") for name, counted in found["by check"].items() if counted["at most"] > 0]
    for name, checks in found["on the edge"].items():
        lines += [(f"{check}: {name}", counted, "#D55E00") for check, counted in checks.items()]
    figure = Figure(figsize=(9, 0.8 + 0.24 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    for y, (_, counted, color) in enumerate(lines):
        low, high = counted["95 % interval of the rate"]
        axes.plot([low, high], [y, y], color=color)
        axes.plot(counted["false alarms"] / counted["runs"], y, "o", color=color, markersize=4)
        axes.plot(counted["at most"] / counted["runs"], y, "|", color="0.2", markersize=10)
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_xlim(left=-1e-4)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("share of runs with a false alarm: dot, 95 % interval; bar: the stated rate")
    return figure


main = experiment(Path(__file__).parent, cells=cells, measure=measure, summarize=summarize, draw=draw)

if __name__ == "__main__":
    main()
