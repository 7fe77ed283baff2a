"""Would the tests, the claims and their controls notice an error? Errors are planted, one at a time, in a copy."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.mutants.mutants import MUTANTS, PARTS, Mutant
from experiments.runner import Cell, experiment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CATCHERS = ("test", "theorem", "control")
LONGEST = 900  # seconds for one detector, on a crowded machine
QUICK = (
    "C10: half of the traces",
    "decide: the looks not counted",
    "covariance over n",
    "KSG's ψ(n_x + 1) off by one",
    "NT-Xent: each row its own candidate",
    "cov within components for the total",
)


def cells(quick: bool) -> list[Cell]:
    """Every mutant, then every detector without a mutant; a cell changes with the files that it is about."""
    chosen = [m for m in MUTANTS if m.name in QUICK] if quick else MUTANTS
    detectors = list(dict.fromkeys(d for m in chosen for d in m.detectors))
    tests = " ".join(d for d in detectors if ".py" in d)  # in one process, for there none should fail
    bare = [
        {
            "detector": d,
            "of": _digest(*_files((d,)), *{ROOT / m.file: None for m in chosen if {*m.detectors} & {*d.split()}}),
        }
        for d in [*(d for d in detectors if ".py" not in d), tests]
    ]
    planted = [
        {"mutant": m.name, "part": m.part, "file": m.file, "kind": m.kind, "old": m.old, "new": m.new,
         "detectors": list(m.detectors), "of": _digest(ROOT / m.file, *_files(m.detectors))}
        for m in chosen
    ]  # fmt: skip
    return planted + bare


def _files(detectors: tuple[str, ...]) -> list[Path]:
    tests = [test for d in detectors if ".py" in d for test in d.split()]
    return [ROOT / file for file in dict.fromkeys(test.partition("::")[0] for test in tests)]


def _digest(*files: Path) -> str:
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=6).hexdigest()


def measure(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """What the detectors of the cell find, one after another until one finds an error; nothing here is random."""
    start, tried = time.perf_counter(), []
    mutant = next((m for m in MUTANTS if m.name == cell.get("mutant")), None)
    with private_copy(mutant) as copy:
        for detector in cell.get("detectors") or [cell["detector"]]:
            found = detect(copy, detector)
            tried.append({"detector": detector, **found})
            if found["failed"] and not found["failed"][0]["broken"]:
                break
    return {"tried": tried, "seconds": round(time.perf_counter() - start, 1)}


@contextmanager
def private_copy(mutant: Mutant | None = None) -> Iterator[Path]:
    """A folder with the package, its tests and the programs of the experiments, the mutant's text replaced."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder).resolve()
        for name in ("itssl", "tests"):
            shutil.copytree(ROOT / name, copy / name)  # copies keep their times, and compiled files stay valid
        only_programs = shutil.ignore_patterns("*.json*", "*.png", "*.md", "quick", "__pycache__")
        shutil.copytree(ROOT / "experiments", copy / "experiments", ignore=only_programs)
        shutil.copy(ROOT / "pyproject.toml", copy)
        if mutant is not None:
            file = copy / mutant.file
            file.write_text(mutant.planted(file.read_text()))
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
                compiled.unlink()
        yield copy


def detect(copy: Path, detector: str) -> dict[str, Any]:
    """The answer of inside.py, in a process of its own that sees the copy before any installed package."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **one_thread, "PYTHONPATH": str(copy)}
    answer = copy / "answer.json"
    answer.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "inside.py"), str(copy), detector, str(answer)]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return _unanswered(detector, f"no answer in {LONGEST} s")
    if not answer.exists():
        return _unanswered(detector, (done.stderr or done.stdout).strip().rpartition("\n")[2])
    found = json.loads(answer.read_text())
    if found.pop("package") != str(copy / "itssl"):
        raise RuntimeError(f"{detector}: expected the package of the copy {copy}, got another; see PYTHONPATH")
    return found


def _unanswered(detector: str, message: str) -> dict[str, Any]:
    failed = {"where": detector, "by": "", "error": "", "message": message[:200], "broken": True}
    return {"ran": 0, "failed": [failed]}


def catch(row: Cell) -> dict[str, Any] | None:
    """The failure by which a mutant was caught, or None."""
    return next((f for tried in row["tried"] for f in tried["failed"] if not f["broken"]), None)


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """How many are caught, by part of the package and by what; survivors; and the table, one line a mutant."""
    planted = [row for row in rows if "mutant" in row]
    caught = {row["mutant"]: catch(row) for row in planted}
    by_part = {part: Counter(_by(row) for row in planted if row["part"] == part) for part in PARTS}
    return {
        "mutants": len(planted),
        "caught": sum(found is not None for found in caught.values()),
        "survivors": [name for name, found in caught.items() if found is None],
        "detectors": sum(len(row["detector"].split()) for row in rows if "detector" in row),
        "detectors that fail without a mutant": _false_alarms(rows),
        "by part and by what caught them": {part: dict(counts) for part, counts in by_part.items() if counts},
        "seconds of all detectors": round(sum(row["seconds"] for row in rows)),
        "table": table(planted),
    }


def _by(row: Cell) -> str:
    found = catch(row)
    return "survived" if found is None else found["by"]


def _false_alarms(rows: list[Cell]) -> list[str]:
    """Detectors that find an error, or nothing to run, in the package as it is."""
    bare = [row["tried"][0] for row in rows if "detector" in row]
    failed = [failed["where"] for tried in bare for failed in tried["failed"]]
    return failed + [tried["detector"] for tried in bare if not (tried["ran"] or tried["failed"])]


def table(planted: list[Cell]) -> list[str]:
    """Lines in Markdown: the mutant, its file, the kind of error, and what caught it."""
    lines = ["| mutant | file | kind of error | caught by | s |", "|---|---|---|---|---|"]
    for row in planted:
        found = catch(row)
        by = "**survived**" if found is None else f"{found['by']}: {_short(found['where'])}"
        cells = (row["mutant"], row["file"].removeprefix("itssl/"), row["kind"], by, f"{row['seconds']:.0f}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _short(where: str) -> str:
    """A test without its folder and its parameters; a claim's world and control as they are."""
    return where.rpartition("/")[2].partition("[")[0] if ".py" in where else where


def draw(rows: list[Cell]) -> Any:
    """Mutants by part of the package and by what caught them."""
    from matplotlib.figure import Figure

    planted = [row for row in rows if "mutant" in row]
    parts = [part for part in PARTS if any(row["part"] == part for row in planted)]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes, left = figure.subplots(), np.zeros(len(parts))
    names = {"test": "a test", "theorem": "a theorem that no longer holds", "control": "a control no longer refuted",
             "survived": "nothing"}  # fmt: skip
    for by, color in zip(names, ("#0072B2", "#E69F00", "#009E73", "#D55E00"), strict=True):
        counts = np.array([sum(row["part"] == part and _by(row) == by for row in planted) for part in parts])
        if counts.any():
            bars = axes.barh(parts, counts, left=left, color=color, label=names[by])
            axes.bar_label(bars, [str(c) if c else "" for c in counts], label_type="center", color="white")
        left = left + counts
    axes.invert_yaxis()
    axes.set_xlabel("planted errors, by what caught them")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


run = experiment(HERE, cells=cells, measure=measure, summarize=summarize, draw=draw)


def judged(quick: bool, out: Path | None, **options: Any) -> None:
    """Run, and write table.md too; exit status 1 where a mutant survived or a detector fails without one."""
    place = out or (HERE / "quick" if quick else HERE)
    run.callback(quick=quick, out=place, **options)  # pyright: ignore[reportOptionalCall]
    found = json.loads((place / "findings.json").read_text())["findings"]
    (place / "table.md").write_text("\n".join(found["table"]) + "\n")
    for what in ("survivors", "detectors that fail without a mutant"):
        if found[what]:
            raise click.ClickException(f"{what}: {'; '.join(found[what])}")


main = click.Command("mutants", params=run.params, callback=judged, help=judged.__doc__)

if __name__ == "__main__":
    main()
