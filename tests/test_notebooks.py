"""The notebooks run as scripts, end in what they require, use public names only, and convert to .ipynb and back."""

import ast
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
QUICK = {"01", "06"}
"""Below eight seconds; a new notebook is slow until it is named here."""
CONCLUSIONS = {"require", "assert_equality", "assert_at_most"}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path):
    """(kind, text) of each cell."""
    parts = re.split(r"^# %%(?: \[(markdown)\])?\n", path.read_text(), flags=re.M)
    assert parts[0] == "", "a notebook starts with a cell"
    return [(kind or "code", text.strip("\n")) for kind, text in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.mark.parametrize(
    "path",
    [p if p.stem[:2] in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in NOTEBOOKS],
    ids=lambda p: p.stem,
)
def test_runs(path, tmp_path):
    """In a fresh process, within a minute of two cores, and without a file left behind."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120


def test_there_are_notebooks_in_order():
    assert [p.stem[:2] for p in NOTEBOOKS] == [f"{i:02}" for i in range(1, len(NOTEBOOKS) + 1)]
    assert len(NOTEBOOKS) >= 8


@each
def test_name_and_size(path):
    number, *words = path.stem.split("_")
    assert len(words) >= 2, "NN_verb_object"
    assert all(word.isalpha() and word.islower() for word in words)
    kind, text = cells(path)[0]
    assert kind == "markdown"
    assert text.startswith(f"# # {number} · ")
    assert re.sub(r"[^a-z]+", " ", text.splitlines()[0].lower()).split()[0] == words[0]
    assert 60 <= path.read_text().count("\n") <= 150


@each
def test_last_cell_requires_its_conclusion(path):
    """By a verdict or a report; a comparison with a number typed by hand is none."""
    kind, text = cells(path)[-1]
    assert kind == "code"
    tree = ast.parse(text)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls} & CONCLUSIONS
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            assert not [n for n in ast.walk(node.test) if isinstance(n, ast.Constant) and isinstance(n.value, float)]


@each
def test_uses_public_names_only(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [part for alias in node.names for part in alias.name.split(".")]
            names += (getattr(node, "module", None) or "").split(".")
        assert [name for name in names if name.startswith("_") and not name.endswith("__")] == []


@each
def test_converts(path):
    """To a valid notebook with the same cells, without magic, and back to the same text."""
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed; pip install 'itssl[notebooks]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = jupytext.read(path, fmt="py:percent")
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == [kind for kind, _ in cells(path)]
    assert not any(cell.source.startswith("%") for cell in notebook.cells), "figures show themselves"
    text = jupytext.writes(notebook, fmt="py:percent")
    assert text[text.index("# %%") :] == path.read_text()


def test_make_builds_each():
    """All are targets of `make notebooks`; nothing is made here."""
    plan = subprocess.run(
        ["make", "--dry-run", "--always-make", "notebooks"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"jupyter execute .* notebooks/build/(\w+)\.ipynb", plan) == [p.stem for p in NOTEBOOKS]
