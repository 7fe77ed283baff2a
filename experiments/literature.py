"""One page on the literature repeated: `python -m experiments.literature` writes LITERATURE.md; `--run` runs all first.

An experiment belongs to the literature if its README has the paragraphs **Literature.**, **In short.** and
**Differences from the paper.**; what they say is collected here, never typed again.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
from tqdm.auto import tqdm

FOLDER = Path(__file__).parent
PAGE = FOLDER / "LITERATURE.md"
PARTS = ("Literature", "In short", "Differences from the paper")


class Entry(NamedTuple):
    """What the README of an experiment says of the literature."""

    folder: str
    question: str
    paper: str
    short: str
    differences: str


def entries() -> list[Entry]:
    """All experiments that repeat a publication, by its year; AssertionError where one of the paragraphs is missing."""
    found = []
    for readme in sorted(FOLDER.glob("*/README.md")):
        text = readme.read_text()
        parts = [_paragraph(text, name) for name in PARTS]
        if any(parts):
            assert all(parts), f"{readme.parent.name}: the README lacks one of {', '.join(PARTS)}"
            found.append(Entry(readme.parent.name, text.partition("\n")[0].removeprefix("# "), *parts))
    return sorted(found, key=lambda entry: (re.findall(r"\d{4}", entry.paper)[0], entry.folder))


def page() -> str:
    """The page in Markdown."""
    found = entries()
    lines = [
        "# The literature, repeated", "",
        "Written by `make literature` from the READMEs of the experiments, which have all numbers, what is true, and "
        "how to repeat them. Samples are drawn anew; a published number is quoted where it is compared.", "",
        "| publication | question | found |", "|---|---|---|",
        *(f"| {e.paper} | [{e.question}]({e.folder}/README.md) | {e.short} |" for e in found), "",
    ]  # fmt: skip
    for e in found:
        lines += [
            f"## {e.question}", "", f"{e.paper} {e.short}", "", f"*Differences from the paper.* {e.differences}", "",
            f"![{e.question}]({e.folder}/figure.png)", "",
        ]  # fmt: skip
    return "\n".join(lines)


def _paragraph(text: str, name: str) -> str:
    """The paragraph that begins with the name in bold, on one line."""
    found = re.search(rf"^\*\*{name}\.\*\* (.+?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""


@click.command()
@click.option("--run", is_flag=True, help="Run the quick form of every experiment first, into a temporary folder.")
def main(run: bool) -> None:
    """Write LITERATURE.md."""
    with TemporaryDirectory() as place:
        for entry in tqdm(entries(), disable=not run) if run else ():
            command = [sys.executable, "-m", f"experiments.{entry.folder}.run", "--quick", "--out"]
            subprocess.run(
                [*command, f"{place}/{entry.folder}"], cwd=FOLDER.parent, check=True, stdout=subprocess.DEVNULL
            )
    PAGE.write_text(page())
    click.echo(f"written: {PAGE}")


if __name__ == "__main__":
    main()
