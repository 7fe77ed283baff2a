"""The goals, line by line, and what was measured against each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.benchmarks.floors import FLOOR
from experiments.benchmarks.ours import VALUE
from experiments.benchmarks.rounds import exponent, ratio
from experiments.benchmarks.workloads import Cell, short, title

TREES = ("scikit-learn kd_tree", "scipy KDTree", "infomeasure", "ennemi", "NPEET-style")
NAIVE, CHUNKS = "torch n × n, float32", "torch logsumexp, chunks, float32"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Goal:
    """Of the cells that have all of ``where``: the measured number is at least, or at most, the limit.

    ``measure`` is "times as fast" as the fastest of ``against``, "times the cost" of the one there, "MiB" over the
    data, or "nats" away from it. ``threads`` are those at which it must be met; with ``peers_on_one`` the others stay
    on one.
    """

    where: Cell
    measure: str
    against: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    threads: tuple[int, ...] = (1, 2)
    peers_on_one: bool = False

    @property
    def limit(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"

    def met(self, number: float) -> bool:
        return number >= self.least if self.least is not None else number <= (self.most or 0)


def _goals() -> list[Goal]:
    """Every line."""
    found = []
    for d, times, cost in ((32, 15, 4), (128, 30, 2), (512, 35, 1.6)):
        where = {"kind": "knn", "d": d, "law": "normal"}
        found += [Goal(where, "times as fast", TREES, least=times), Goal(where, "times the cost", (FLOOR,), most=cost)]
        if d >= 128:
            found.append(Goal(where, "times the cost", ("faiss IndexFlatL2",), most=1.15))
    for d in (1, 2, 3, 4):
        where = {"kind": "knn", "d": d}
        found.append(Goal(where, "times as fast", (*TREES, "faiss IndexFlatL2"), least=1.8, threads=(1,)))
        found.append(
            Goal(where, "times as fast", (*TREES, "faiss IndexFlatL2"), least=3, threads=(2,), peers_on_one=True)
        )
    for d, times, cost in ((1, 2.8, None), (3, 1.5, None), (16, 20, 5), (128, 40, 2.2)):
        where = {"kind": "ksg", "d_x": d, "metric": "chebyshev"}
        found.append(Goal(where, "times as fast", ("NPEET-style",), least=times))
        found += [Goal(where, "times the cost", (FLOOR,), most=cost)] if cost else []
    cov = ("np.cov, slogdet",)
    found += [
        Goal({"kind": "gaussian"}, "times as fast", cov, least=2), Goal({"kind": "gaussian"}, "nats", cov, most=1e-5),
        Goal({"kind": "gaussian"}, "times the cost", (FLOOR,), most=1.7),
        Goal({"kind": "pairs", "n": 10_000}, "times as fast", (NAIVE,), least=14),
        Goal({"kind": "pairs"}, "times as fast", (CHUNKS,), least=8), Goal({"kind": "pairs"}, "MiB", most=64),
        Goal({"kind": "pairs"}, "times the cost", (FLOOR,), most=1.5),
    ]  # fmt: skip
    for form, times in (("iso", 3), ("diag", 2), ("full", 1.5)):
        where = {"kind": "mixture", "form": form}
        found.append(Goal(where, "times as fast", ("scikit-learn GaussianMixture",), least=times))
        found.append(Goal(where, "times the cost", (FLOOR,), most=2))
    for n, d, times in ((256, 2048, 12), (256, 8192, 50), (256, 64, 1), (1024, 1024, 1), (4096, 256, 1)):
        where = {"kind": "vicreg", "n": n, "d": d}
        found.append(Goal(where, "times as fast", ("torch d × d",), least=times))
    return [*found, Goal({"kind": "vicreg"}, "times the cost", (FLOOR,), most=1.8)]


GOALS = _goals()


def judged(rows: list[Cell]) -> list[dict[str, Any]]:
    """Each goal at each cell it is about: the numbers on one thread and on two, and whether it is met."""
    lines = [
        _judged(goal, row)
        for row in rows
        if not row.get("growth")
        for goal in GOALS
        if all(row.get(key) == value for key, value in goal.where.items())
    ]
    return lines + _judged_growth(rows)


def _judged(goal: Goal, row: Cell) -> dict[str, Any]:
    found = {threads: measured(goal, row, threads) for threads in (1, 2)}
    judged = [goal.met(number) for t in goal.threads if (number := found[t][0]) is not None]
    return {
        "workload": title(row), "measure": goal.measure + (", others on one thread" if goal.peers_on_one else ""),
        "against": " / ".join(dict.fromkeys(name for _, name in found.values() if name)) or ", ".join(goal.against),
        "goal": goal.limit, "threads": list(goal.threads),
        "measured": {str(t): number for t, (number, _) in found.items()}, "met": all(judged) if judged else None,
    }  # fmt: skip


def measured(goal: Goal, row: Cell, threads: int) -> tuple[float | None, str]:
    """The number that a goal is about, and the method it was measured against."""
    own = entry(row, VALUE, threads)
    if own is None:
        return None, ""
    if goal.measure == "MiB":
        return (own["bytes"] / MEBIBYTE if own.get("bytes") is not None else None), ""
    others = [e for name in goal.against if (e := entry(row, name, 1 if goal.peers_on_one else threads))]
    if not others:
        return None, ""
    if goal.measure == "nats":
        return distance(own["value"], others[0]["value"]), others[0]["method"]
    if goal.measure == "times the cost":
        return ratio(own["all_seconds"], others[0]["all_seconds"]), others[0]["method"]
    ratios = [ratio(other["all_seconds"], own["all_seconds"]) for other in others]
    best = int(np.argmin(ratios))
    return ratios[best], others[best]["method"]


def entry(row: Cell, method: str, threads: int) -> dict[str, Any] | None:
    """What was measured of a method on so many threads; of one that cannot use more, on one. None without a time."""
    found = [e for e in row["entries"] if e["method"] == method and "seconds" in e]
    return next((e for e in found if e["threads"] == (1 if e["serial"] else threads)), None)


def distance(a: list[float], b: list[float]) -> float:
    """The largest difference of two lists of numbers."""
    return float(np.abs(np.subtract(a, b)).max()) if a and b else 0.0


def series(rows: list[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """(workload without N, method) → the entries on one thread at growing N, each with its N and d."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for row in rows:
        if row.get("growth"):
            for e in row["entries"]:
                if "seconds" in e:
                    key = title(row, sized=False), e["method"]
                    found.setdefault(key, []).append({**e, "n": row["n"], "d": row["d"]})
    return {key: line for key, line in found.items() if len(line) > 1}


def exponents(rows: list[Cell]) -> list[dict[str, Any]]:
    """Fitted exponents of seconds and of memory in N."""
    lines = []
    for (name, method), line in series(rows).items():
        sizes = [e["n"] for e in line]
        with_memory = [(e["n"], e["bytes"]) for e in line if e.get("bytes")]
        lines.append({
            "workload": name, "method": method, "from": min(sizes), "to": max(sizes),
            "seconds": round(exponent(sizes, [e["seconds"] for e in line]), 3),
            "memory": round(exponent(*zip(*with_memory, strict=True)), 3) if len(with_memory) > 1 else None,
            "bytes_a_number": [round(e["bytes"] / (8 * e["n"] * e["d"]), 2) for e in line if e.get("bytes")],
        })  # fmt: skip
    return lines


def _judged_growth(rows: list[Cell]) -> list[dict[str, Any]]:
    lines = []
    for found in exponents(rows):
        if found["method"] != VALUE:
            continue
        tree = found["workload"].startswith("kNN") and not found["workload"].endswith("d = 128")
        low, high = (0.0, 1.2) if tree else (1.95, 2.05)
        goals = [("exponent of seconds", "≤ 1.2" if tree else "2.0 ± 0.05", low, high, found["seconds"])]
        goals += [("exponent of memory", "≤ 1.05", -1.0, 1.05, found["memory"])]
        lines += [
            {
                "workload": f"{found['workload']}, N = {short(found['from'])} … {short(found['to'])}",
                "measure": measure, "against": "", "goal": goal, "threads": [1], "measured": {"1": number, "2": None},
                "met": None if number is None else low <= number <= high,
            }
            for measure, goal, low, high, number in goals
        ]  # fmt: skip
    return lines
