"""Tables in READMEs of what was measured and what can be asked for: `python -m experiments.readme` writes them."""

import json
from pathlib import Path

from itssl.estimators.methods import QUANTITIES, methods

ROOT = Path(__file__).parent.parent


def tables() -> dict[str, list[str]]:
    """Name of a table → its lines in Markdown."""
    names = ("which_estimator", "network_truth", "probe_table", "benchmarks")
    measured = {name: _findings(name)["table"] for name in names}
    return measured | {"methods": _methods(), "coverage": _coverage()}


def filled(text: str) -> str:
    """``text`` with each table that it has a place for between its marks, `<!-- table: name -->` and `<!-- end -->`."""
    for name, lines in tables().items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = "".join([before, begin, "\n", *(f"{line}\n" for line in lines), "\n", end, after])
    return text


def _findings(experiment: str) -> dict:
    return json.loads((ROOT / "experiments" / experiment / "findings.json").read_text())["findings"]


def _methods() -> list[str]:
    lines = ["| quantity | methods |", "|---|---|"]
    return lines + [f"| `{q}` | {', '.join(f'`{name}`' for name in sorted(methods(q)))} |" for q in QUANTITIES]


def _coverage() -> list[str]:
    lines = ["| interval of | cells | smallest | median | largest | smallest at |", "|---|---|---|---|---|---|"]
    for name, found in _findings("coverage").items():
        shares = (f"{100 * found[key]:.0f} %" for key in ("smallest", "median", "largest"))
        place = ", ".join(
            value if key == "law" else f"{key} = {value:g}" for key, value in found["smallest at"].items()
        )
        lines.append(f"| {name} | {found['cells']} | {' | '.join(shares)} | {place} |")
    return lines


def places() -> list[Path]:
    """The library's README and those of the experiments."""
    return [ROOT / "README.md", *sorted((ROOT / "experiments").glob("*/README.md"))]


if __name__ == "__main__":
    for readme in places():
        readme.write_text(filled(readme.read_text()))
