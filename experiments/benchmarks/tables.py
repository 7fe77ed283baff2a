"""The tables in Markdown."""

from typing import Any

from experiments.benchmarks.floors import FLOOR
from experiments.benchmarks.goals import MEBIBYTE, distance, entry
from experiments.benchmarks.ours import ESTIMATE, PLAIN, VALUE
from experiments.benchmarks.rounds import ratio
from experiments.benchmarks.workloads import Cell, title


def machine_line(machine: dict[str, Any]) -> str:
    """Date, machine and versions in one sentence."""
    own, others = machine["itssl"], machine.get("peers", {}).get("packages", {})
    packages = ", ".join(f"{name} {version}" for name, version in {**others, **own.get("packages", {})}.items())
    blas = "; ".join(own.get("blas", []))
    where = f"{machine['processor']}, {machine['cores']} cores; Python {own.get('python')}"
    return f"Measured on {machine['from'][:10]}: {where}, {packages}; {blas}."


def summary(rows: list[Cell]) -> list[str]:
    """A line a workload: seconds, times as fast as the fastest other, times the floor, memory over the data."""
    heads = (
        "workload", "itssl, 1 / 2 threads", "without numba", "with error bar", "fastest other", "times as fast",
        "× floor", "MiB",
    )  # fmt: skip
    lines = [_line(*heads), "|---" * len(heads) + "|"]
    for row in rows:
        if row.get("growth") or row["kind"] == "rates":
            continue
        own, *slower = ([entry(row, name, t) for t in (1, 2)] for name in (VALUE, PLAIN, ESTIMATE))
        others = fastest(row)
        names = " / ".join(dict.fromkeys(e["method"] for e in others if e)) or "–"
        memory = next((e["bytes"] / MEBIBYTE for e in own if e and e.get("bytes") is not None), None)
        floor = [entry(row, FLOOR, threads) for threads in (1, 2)]
        lines.append(_line(
            title(row), *(_both([e and in_words(e["seconds"]) for e in each]) for each in (own, *slower)), names,
            _both([_ratio(b, a) for a, b in zip(own, others, strict=True)]),
            _both([_ratio(a, b) for a, b in zip(own, floor, strict=True)]),
            "–" if memory is None else f"{memory:.0f}",
        ))  # fmt: skip
    return lines


def _ratio(numerator: dict[str, Any] | None, denominator: dict[str, Any] | None) -> str:
    if numerator is None or denominator is None:
        return ""
    return digits(ratio(numerator["all_seconds"], denominator["all_seconds"]))


def fastest(row: Cell) -> list[dict[str, Any] | None]:
    """The fastest method that is neither itssl's nor a floor, on one thread and on two."""
    names = dict.fromkeys(e["method"] for e in row["entries"] if e["method"] not in (VALUE, PLAIN, ESTIMATE, FLOOR))
    found = ([e for name in names if (e := entry(row, name, threads))] for threads in (1, 2))
    return [min(some, key=lambda e: e["seconds"], default=None) for some in found]


def goals_count(goals: list[dict[str, Any]]) -> str:
    """How many goals are met.

    >>> goals_count([{"met": True}, {"met": None}])
    'Of 2 goals 1 met, 0 missed, 1 not measured.'
    """
    counts = [sum(goal["met"] is found for goal in goals) for found in (True, False, None)]
    return f"Of {len(goals)} goals {counts[0]} met, {counts[1]} missed, {counts[2]} not measured."


def goals_table(goals: list[dict[str, Any]]) -> list[str]:
    """A line a goal: what was asked, what was measured, whether it is met."""
    lines = [
        "| workload | measured | against | goal | one thread | two threads | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for goal in goals:
        numbers = [_marked(goal, threads) for threads in (1, 2)]
        met = "not measured" if goal["met"] is None else "yes" if goal["met"] else "**no**"
        lines.append(_line(goal["workload"], goal["measure"], goal["against"], goal["goal"], *numbers, met))
    return lines


def _marked(goal: dict[str, Any], threads: int) -> str:
    number = goal["measured"][str(threads)]
    if number is None:
        return "–"
    return digits(number) if threads in goal["threads"] else f"({digits(number)})"


def all_entries(rows: list[Cell]) -> list[str]:
    """A line for each method of each workload: median seconds, calls, memory, difference of its value from itssl's."""
    lines = [
        "| workload | method | 1 thread | 2 threads | calls | MiB over the data | value differs by |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for name in dict.fromkeys(e["method"] for e in row["entries"]):
            both = [next((e for e in row["entries"] if (e["method"], e["threads"]) == (name, t)), None) for t in (1, 2)]
            some = next(e for e in both if e)
            shown = [_entry_in_words(e) for e in both]
            memory = next((f"{e['bytes'] / MEBIBYTE:.0f}" for e in both if e and e.get("bytes") is not None), "–")
            lines.append(_line(title(row), name, *shown, _both([e and str(e["calls"]) for e in both]), memory,
                               difference(row, some)))  # fmt: skip
        for words, found in (("absent", row["absent"]), ("not asked", row["refused"])):
            lines += [_line(title(row), name, f"{words}: {why}", "", "", "", "") for name, why in found.items()]
    return lines


def _entry_in_words(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    return in_words(found["seconds"]) if "seconds" in found else f"failed: {found['error']}"


def difference(row: Cell, found: dict[str, Any]) -> str:
    """The largest difference from itssl's value under the same convention, which is named where it is another."""
    own = entry(row, VALUE, found["threads"])
    if found["method"] in (VALUE, FLOOR) or own is None or not found.get("value") or row["kind"] == "rates":
        return "–"
    convention = found["convention"]
    if not convention:
        return f"{distance(found['value'], own['value']):.1e}"
    reference = row["converted"].get(convention)
    return f"{distance(found['value'], reference):.1e} ({convention})" if reference else convention


def in_words(seconds: float) -> str:
    """
    >>> in_words(0.01234), in_words(12.34)
    ('12.3 ms', '12.3 s')
    """
    return f"{digits(1000 * seconds)} ms" if seconds < 1 else f"{digits(seconds)} s"


def digits(number: float) -> str:
    """
    >>> digits(123.4), digits(1.234), digits(0.5678)
    ('123', '1.23', '0.568')
    """
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _both(shown: list[Any]) -> str:
    """What was measured on one thread and on two; once where there is only one."""
    some = [text for text in shown if text]
    return " / ".join(some) or "–"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
