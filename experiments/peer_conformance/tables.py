"""What was found, in Markdown: estimator by check, then each difference with the line that repeats it."""

from typing import Any

from experiments.runner import Cell

MARKS = {"HOLDS": "=", "VIOLATED": "≠", "UNDECIDED": "?", "NOT_APPLICABLE": "·", "ERROR": "!"}
WORDS = {
    "HOLDS": "held", "VIOLATED": "differs", "UNDECIDED": "inconclusive", "NOT_APPLICABLE": "not applicable",
    "ERROR": "no answer",
}  # fmt: skip
QUANTITIES = {"mutual_information": "Mutual information", "entropy": "Entropy", "kl_divergence": "Divergence"}
MEAN = "statistical"
"""The kind of checks that compare mean answers, by which right and wrong formulas part; the others see one answer."""


def judged(rows: list[Cell]) -> list[Cell]:
    """The rows of checks, without those of absent packages."""
    return [row for row in rows if "check" in row]


def by_estimator(rows: list[Cell]) -> dict[str, list[Cell]]:
    """Name of the function in adapters.py → its rows, in the order of the list."""
    found: dict[str, list[Cell]] = {}
    for row in judged(rows):
        found.setdefault(row["function"], []).append(row)
    return found


def checks(rows: list[Cell], quantity: str) -> list[str]:
    """Names of the checks of a quantity, in the suite's order."""
    return list(dict.fromkeys(row["check"] for row in judged(rows) if row["quantity"] == quantity))


def label(row: Cell) -> str:
    """The package and what of it was called."""
    return f"{row['package']}: {row['called']}"


def versions(rows: list[Cell]) -> dict[str, str]:
    """Version by package, as installed."""
    return {row["package"]: row["versions"].get(row["package"], row["version"]) for row in judged(rows)}


def neighbors_apart(rows: list[Cell]) -> dict[str, Any]:
    """KSG implementations whose mean answers agree with the laws, and the others with the checks that differ."""
    own = {name: found for name, found in by_estimator(rows).items() if found[0]["method"] == "KSG"}
    differ = {
        label(found[0]): [row["check"] for row in found if row["kind"] == MEAN and row["outcome"] == "VIOLATED"]
        for found in own.values()
    }
    held = {"truth", "independence"}
    agree = [
        label(found[0]) for found in own.values()
        if held <= {row["check"] for row in found if row["outcome"] == "HOLDS"} and not differ[label(found[0])]
    ]  # fmt: skip
    return {"agree": agree, "differ": {name: names for name, names in differ.items() if names}}


def matrix(rows: list[Cell], quantity: str) -> list[str]:
    """A line an estimator, a column a check."""
    names, known = checks(rows, quantity), versions(rows)
    lines = [f"| estimator | version | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for found in by_estimator(rows).values():
        if found[0]["quantity"] == quantity:
            outcomes = {row["check"]: MARKS[row["outcome"]] for row in found}
            cells = [label(found[0]), known[found[0]["package"]], *(outcomes.get(name, "") for name in names)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def differences(rows: list[Cell]) -> list[str]:
    """Each check that differs or gave no answer: the law, what was expected and what came, the line that repeats it."""
    lines = []
    for found in by_estimator(rows).values():
        seen = [row for row in found if row["outcome"] in ("VIOLATED", "ERROR")]
        if seen:
            lines += ["", f"### {label(found[0])}", *([f"({found[0]['note']})"] if found[0]["note"] else []), ""]
        for row in seen:
            word = "differs from the law" if row["outcome"] == "VIOLATED" else "no answer"
            what = row["law"] if row["outcome"] == "VIOLATED" else row["reason"]
            lines.append(f"- `{row['check']}`, {word}: {what}")
            lines += [f"  - {case}" for case in row["cases"]]
            lines.append(f"  - `{repeat(row)}`")
    return lines


def repeat(row: Cell) -> str:
    """The command that runs the check once more."""
    return (
        f"python -m experiments.peer_conformance.show {row['function']} {row['check']} --seed {row['seed']}"
        f" --profile {row['profile']}"
    )


def page(rows: list[Cell]) -> list[str]:
    """All of table.md."""
    days = sorted({row["on"] for row in judged(rows)})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    legend = ", ".join(f"`{mark}` {WORDS[outcome]}" for outcome, mark in MARKS.items())
    lines = ["# Public packages and the laws of information", "", f"Measured {when}. {legend}.", ""]
    for quantity, name in QUANTITIES.items():
        if checks(rows, quantity):
            lines += [f"## {name}", "", *matrix(rows, quantity), ""]
    absent = [f"- {row['package']} {row['version']}: {row['absent']}" for row in rows if "absent" in row]
    lines += ["## Not here", "", *(absent or ["Nothing."]), "", "## Differences", *differences(rows)]
    return lines
