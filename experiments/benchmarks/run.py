"""How fast are itssl's inner loops, beside other packages and beside what the hardware allows?"""

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.benchmarks import floors, ours, peers
from experiments.benchmarks.environment import environment
from experiments.benchmarks.figure import draw
from experiments.benchmarks.goals import exponents, judged
from experiments.benchmarks.processes import ROOT, Workers
from experiments.benchmarks.rounds import ROUNDS, alternated, times
from experiments.benchmarks.tables import all_entries, goals_count, goals_table, machine_line, summary
from experiments.benchmarks.workloads import growth, small_workloads, workloads
from experiments.runner import Cell, experiment

HERE = Path(__file__).parent
GROWN = (ours.VALUE,)
"""What is followed as N grows, on one thread; by tree, scikit-learn's too."""
FORGETTABLE = 3.0
"""Seconds of a call beyond which the memory of other packages is not looked at: it would be run once more."""

open_workers: Workers | None = None
"""Those of the run; each measurement asks them."""


def cells(quick: bool, with_peers: bool, patience: float) -> list[Cell]:
    """The machine, the workloads, and their growth; a cell changes with the sources that it is about."""
    chosen = small_workloads() if quick else [*workloads(), *growth()]
    common = {"peers": with_peers, "patience": patience, "rounds": 2 if quick else ROUNDS, "of": _digest()}
    return [{**cell, **common} for cell in [{"kind": "rates", "side": 256 if quick else 2048}, *chosen]]


def _digest() -> str:
    files = sorted([*(ROOT / "itssl").rglob("*.py"), *HERE.glob("*.py")])
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=6).hexdigest()


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """The methods of a workload in turn, on one thread and on two: seconds of each call, values, memory."""
    workers, seed = open_workers, int(rng.integers(2**32))
    assert workers is not None
    plain = {key: cell[key] for key in cell if key not in ("peers", "patience", "rounds", "of", "growth")}
    start, of, absent, refused = datetime.now(UTC), {}, {}, {}
    for side in workers.python:
        found = workers.ask(side, 1, "listed", cell=plain)
        for method in found if isinstance(found, list) else []:
            name = method["name"]
            of[name] = {"side": side, **method}
            if method["missing"] or method["refused"]:
                (absent if method["missing"] else refused)[name] = method["missing"] or method["refused"]
        if not isinstance(found, list):
            absent[side] = found["error"]
    if not cell["peers"]:
        absent |= {m.name: "left out (--no-peers)" for m in peers.METHODS if m.kind == cell["kind"]}
    grows = cell.get("growth", False)
    followed = (*GROWN, "scikit-learn kd_tree") if cell.get("d", 0) <= 3 else GROWN
    entries = [
        (name, threads)
        for threads in (workers.threads[:1] if grows else workers.threads)
        for name, method in of.items()
        if name not in {*absent, *refused}
        and not ((method["serial"] or method["once"]) and threads > 1)
        and (name in followed or not grows)
    ]

    def call(entry: tuple[str, int]) -> dict[str, Any]:
        return workers.ask(of[entry[0]]["side"], entry[1], "timed", cell=plain, seed=seed, method=entry[0])

    once = {entry for entry in entries if of[entry[0]]["once"]}
    answers = alternated(entries, call, cell["patience"], cell["rounds"], once)
    row = {"entries": [], "absent": absent, "refused": refused, "at": start.isoformat(timespec="seconds")}
    for (name, threads), found in answers.items():
        entry = {"method": name, "threads": threads, "side": of[name]["side"], "serial": of[name]["serial"]}
        entry |= {"convention": of[name]["convention"], **_summary(found)}
        most_threads = threads == max(t for n, t in entries if n == name)
        if most_threads and "error" not in entry and _remembers(cell, entry):
            job = {"cell": plain, "seed": seed, "method": name}
            entry |= workers.ask_a_fresh_one(entry["side"], threads, "remembered", **job)
        row["entries"].append(entry)
    wanted = {"chebyshev", "standardized"} & {entry["convention"] for entry in row["entries"]}
    row["converted"] = {
        c: workers.ask("itssl", max(workers.threads), "converted", cell=plain, seed=seed, convention=c).get("value")
        for c in sorted(wanted)
    }
    if cell["kind"] == "rates":
        row["described"] = {side: workers.ask(side, max(workers.threads), "described") for side in workers.python}
    return row


def _remembers(cell: Cell, entry: dict[str, Any]) -> bool:
    """Whether memory is looked at: itssl's, and that of others where it is the point, if the call is short."""
    if cell["rounds"] < ROUNDS:  # a quick run: the growth will do
        return entry["method"] == ours.VALUE and cell.get("growth", False)
    if cell["kind"] in ("pairs", "gaussian") and entry["seconds"] < FORGETTABLE:
        return entry["method"] != floors.FLOOR
    return entry["method"] == ours.VALUE


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, all times and the value; an error where a call failed."""
    failed = {"error": found[-1]["error"]} if "error" in found[-1] else {}
    if not times(found):
        return {"calls": 0, **failed}
    whole = [answer for answer in found if "seconds" in answer]
    return {
        "seconds": float(np.median(times(whole))), "calls": len(whole), "all_seconds": times(whole),
        "processor_seconds": float(np.median([answer["processor"] for answer in whole])), "value": whole[0]["value"],
        **failed,
    }  # fmt: skip


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """The machine, each line of the goals with what was measured, the exponents, what was absent, and the tables."""
    machine = _machine(rows)
    found = {
        "machine": machine,
        "goals": judged(rows),
        "exponents": exponents(rows),
        "absent": _absent(rows),
    }
    return {**found, "table": [machine_line(machine), "", *summary(rows), "", goals_count(found["goals"])]}


def _absent(rows: list[Cell]) -> dict[str, str]:
    found = {}
    for row in rows:
        found |= row["absent"]
    return found


def _machine(rows: list[Cell]) -> dict[str, Any]:
    """Processor, system, versions, dates, and the rates that were measured."""
    (rates,) = (row for row in rows if row["kind"] == "rates")
    return {
        "processor": _processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}",
        "from": min(row["at"] for row in rows), "to": max(row["at"] for row in rows), **rates["described"],
        "rates": {
            name: {str(e["threads"]): round(work / e["seconds"], 2) for e in rates["entries"] if e["method"] == name}
            for name, work in floors.work_of_rates(rates["side"]).items()
        },
    }  # fmt: skip


def _processor() -> str:
    """The model's name, and whether it has AVX-512 or AVX2."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    vectors = next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in fields.get("flags", "")), ""
    )
    family = f"family {fields['cpu family']} model {fields['model']}" if "cpu family" in fields else ""
    return ", ".join(part for part in (fields.get("model name", platform.machine()), family, vectors) if part)


run = experiment(
    HERE, cells=cells, measure=measure, summarize=summarize, draw=draw,
    options=[
        click.option("--peers/--no-peers", "with_peers", default=True, help="Measure other packages too."),
        click.option("--environment", "folder", type=click.Path(file_okay=False, path_type=Path),
                     help="Folder of the other packages, made if missing; by default in the user's cache."),
        click.option("--patience", type=float, default=12.0, show_default=True,
                     help="Seconds that the calls of one method may take in one workload."),
    ],
)  # fmt: skip


def benchmarked(
    quick: bool, out: Path | None, with_peers: bool, folder: Path | None, jobs: int, **options: Any
) -> None:
    """Measure, and write findings.json, figure.png and table.md; an interrupted run goes on where it stopped."""
    global open_workers
    if jobs != 1:
        raise click.UsageError("--jobs: expected 1, for only one process may compute while another is timed")
    place = out or (HERE / "quick" if quick else HERE)
    python, failed = environment(folder) if with_peers else (None, {})
    for name, reason in failed.items():
        click.echo(f"absent: {name}: {reason}", err=True)
    threads = (1, 2) if _cores() > 1 else (1,)
    with Workers(python, threads) as open_workers:
        run.callback(quick=quick, out=place, jobs=jobs, with_peers=with_peers, **options)  # pyright: ignore
    found = json.loads((place / "findings.json").read_text())
    lines = [*found["findings"]["table"], "", *goals_table(found["findings"]["goals"]), "", *all_entries(found["rows"])]
    (place / "table.md").write_text("\n".join(lines) + "\n")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


main = click.Command("benchmarks", params=run.params, callback=benchmarked, help=benchmarked.__doc__)

if __name__ == "__main__":
    main()
