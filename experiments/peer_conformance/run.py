"""Do public estimators of entropy and mutual information satisfy the laws of information?"""

import json
from pathlib import Path
from typing import Any

import click

from experiments.peer_conformance.figure import draw
from experiments.peer_conformance.measure import cells_of, measure
from experiments.peer_conformance.peers import PEERS
from experiments.peer_conformance.processes import interpreter
from experiments.peer_conformance.tables import by_estimator, judged, label, neighbors_apart, page, versions
from experiments.runner import Cell, experiment

HERE = Path(__file__).parent


def cells(quick: bool, package: tuple[str, ...]) -> list[Cell]:
    """Every check of every package that could be installed, and a cell for each that could not, with the reason.

    The quick form asks only what itssl requires itself, and reaches out for nothing.
    """
    found: list[Cell] = []
    for peer in PEERS:
        if (quick and not peer.inside) or (package and peer.package not in package):
            continue
        _, missing = interpreter(peer, reaches_out=True)
        if missing or not peer.estimators:
            why = "; ".join(filter(None, (missing, peer.why)))
            found.append({"package": peer.package, "version": peer.version, "absent": why})
        else:
            found += cells_of(peer, "dev" if quick else "ci")
    return found


def summarize(rows: list[Cell]) -> dict[str, Any]:
    """Versions, what is absent and why, KSG implementations apart, and how the checks of each estimator came out."""
    words = {"VIOLATED": "differs", "UNDECIDED": "inconclusive", "ERROR": "no answer"}
    return {
        "packages": versions(rows),
        "absent": {row["package"]: row["absent"] for row in rows if "absent" in row},
        "KSG": neighbors_apart(rows),
        "estimators": {
            label(found[0]): {
                "held": sum(row["outcome"] == "HOLDS" for row in found),
                **{w: [row["check"] for row in found if row["outcome"] == o] for o, w in words.items()},
            }
            for found in by_estimator(rows).values()
        },
        "checks": len(judged(rows)),
    }


run = experiment(
    HERE, cells=cells, measure=measure, summarize=summarize, draw=draw,
    options=[click.option("--package", multiple=True, help="Only this one; may be repeated.")],
)  # fmt: skip


def tabled(quick: bool, out: Path | None, package: tuple[str, ...], **options: Any) -> None:
    """Install what is missing, run the suite, and write findings.json, figure.png and table.md.

    An interrupted run goes on where it stopped.
    """
    place = out or (HERE / "quick" if quick or package else HERE)
    run.callback(quick=quick, out=place, package=package, **options)  # pyright: ignore[reportOptionalCall]
    rows = json.loads((place / "findings.json").read_text())["rows"]
    (place / "table.md").write_text("\n".join(page(rows)) + "\n")


main = click.Command("peer_conformance", params=run.params, callback=tabled, help=tabled.__doc__)

if __name__ == "__main__":
    main()
