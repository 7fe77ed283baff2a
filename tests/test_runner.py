"""The runner of experiments: repeats, keeps finished cells, and goes on where it stopped."""

import json

import click
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from experiments.runner import experiment

CALLS = []


def measure(cell, rng):
    CALLS.append(cell["i"])
    if cell["i"] == 2 and len(CALLS) <= 3:
        raise KeyboardInterrupt
    return {"value": float(rng.normal())}


def test_an_interrupted_run_keeps_what_is_finished(tmp_path):
    command = experiment(
        tmp_path, cells=lambda quick: [{"i": i} for i in range(2 if quick else 4)], measure=measure,
        summarize=lambda rows: {"n": len(rows)}, draw=lambda rows: Figure(),
    )  # fmt: skip
    stopped = CliRunner().invoke(command, [])
    assert stopped.exit_code != 0
    assert CALLS == [0, 1, 2]
    with (tmp_path / "cells-0.jsonl").open("a") as file:
        file.write('{"cell": {"i": 3}')  # a line cut off in the middle
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 0, done.output
    assert CALLS == [0, 1, 2, 2, 3]
    rows = json.loads((tmp_path / "findings.json").read_text())["rows"]
    assert [row["i"] for row in rows] == [0, 1, 2, 3]
    other = CliRunner().invoke(command, ["--quick", "--out", str(tmp_path / "again")])
    assert other.exit_code == 0
    again = json.loads((tmp_path / "again" / "findings.json").read_text())["rows"]
    assert again == rows[:2]  # a cell's stream depends on the seed and the cell alone


def squared(cell, rng):
    return {"value": cell["i"] ** 2 + float(rng.normal())}


def command(folder):
    return experiment(
        folder, cells=lambda quick, rows: [{"i": i} for i in range(rows)], measure=squared, draw=lambda rows: Figure(),
        summarize=lambda rows: {"n": len(rows)}, options=[click.option("--rows", default=3)],
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["loky", "sequential", pytest.param("dask", marks=pytest.mark.slow)])
def test_the_backend_does_not_change_the_numbers(tmp_path, backend):
    if backend == "dask":
        pytest.importorskip("distributed", reason="needs the extra `cluster`")
    found = []
    for name, options in (("one", []), ("other", ["--backend", backend, "--jobs", "2"])):
        done = CliRunner().invoke(command(tmp_path), ["--rows", "4", "--out", str(tmp_path / name), *options])
        assert done.exit_code == 0, done.output
        found.append(json.loads((tmp_path / name / "findings.json").read_text())["rows"])
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_cells_of_another_measurement_are_not_taken_over(tmp_path):
    first = CliRunner().invoke(command(tmp_path), ["--rows", "1"])
    kept = tmp_path / "cells-0.jsonl"
    line = json.loads(kept.read_text())
    for code, value in ((line["code"], 7.0), ("another", None)):
        kept.write_text(json.dumps({**line, "code": code, "measured": {"value": 7.0}}) + "\n")
        again = CliRunner().invoke(command(tmp_path), ["--rows", "1"])
        assert (first.exit_code, again.exit_code) == (0, 0)
        found = json.loads((tmp_path / "findings.json").read_text())["rows"][0]["value"]
        assert found == (line["measured"]["value"] if value is None else value)
