"""The README's shell commands run as written, and its claims and floors are the ones that exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import itssl
from experiments.readme import filled, places, tables

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.S))
COMMANDS = [line.partition("#")[0].strip() for line in SHELL.splitlines() if line.startswith("itssl")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("readme")
    rng = itssl.stream(0, "readme files")
    x = rng.normal(size=(300, 2))
    np.save(place / "x.npy", x)
    np.save(place / "y.npy", x + rng.normal(size=(300, 2)))
    np.save(place / "embeddings.npy", x)
    np.save(place / "labels.npy", (x[:, 0] > 0).astype(int))
    return place


@pytest.mark.parametrize("command", [c for c in COMMANDS if "--quick" not in c])
def test_command_runs(command, folder):
    arguments = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "itssl", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_quick_run_is_what_ci_runs():
    """The remaining command is the long one; .ci/run runs it."""
    assert [c for c in COMMANDS if "--quick" in c] == ["itssl verify --quick --json"]
    assert "itssl verify --quick" in (ROOT / ".ci" / "run").read_text()


def test_tables_are_those_of_the_committed_findings():
    """Else run `python -m experiments.readme`."""
    texts = [readme.read_text() for readme in places()]
    assert sorted(re.findall(r"<!-- table: (\w+) -->", "".join(texts))) == sorted(tables())
    assert [filled(text) for text in texts] == texts


def test_make_targets_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.M)) <= set(targets)


def test_claims_are_the_ones_that_exist():
    assert re.findall(r"^\| (C\d\d) \|", README, flags=re.M) == list(itssl.claims())


def test_floors_are_the_ones_that_exist():
    named = {n for row in re.findall(r"^\| \d \| (.*?) \|", README, flags=re.M) for n in re.findall(r"`(\w+)`", row)}
    there = {p.stem for p in (ROOT / "itssl").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert there - named == {"__init__", "__main__", "files"}
    assert named <= there


def test_pictures_are_there_and_the_house_is_the_one_built():
    from experiments.pictures import floors, house

    for picture in re.findall(r"!\[.+?\]\((\S+?)\)", README):
        assert (ROOT / picture).stat().st_size > 1000
    drawn = {text.get_text() for text in house().axes[0].texts}
    assert drawn >= {name for row in floors() for name in row}
    assert {name for row in floors() for name in row} >= {p.name for p in (ROOT / "itssl").iterdir() if p.is_dir()} - {
        "__pycache__"
    }
