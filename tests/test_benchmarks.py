"""The benchmarks' own arithmetic, processes and words: what they report is what was measured."""

import contextlib
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from experiments.benchmarks import environment as environments
from experiments.benchmarks import floors, ours, peers, run, textbook
from experiments.benchmarks.goals import GOALS, distance, entry, exponents, judged
from experiments.benchmarks.memory import STATUS, kibibytes, peak_over
from experiments.benchmarks.processes import ROOT, Worker
from experiments.benchmarks.rounds import alternated, calls, exponent, ratio
from experiments.benchmarks.tables import all_entries, goals_count, goals_table, summary
from experiments.benchmarks.workloads import data, growth, shrunk, small_workloads, title, workloads

KNN = {"kind": "knn", "n": 600, "d": 32, "law": "normal"}


def test_the_exponent_is_that_of_the_power_law():
    sizes = np.array([1e3, 4e3, 5e4])
    assert exponent(list(sizes), list(7e-9 * sizes**1.7)) == pytest.approx(1.7, abs=1e-12)
    assert exponent(list(sizes), [3.0] * 3) == pytest.approx(0, abs=1e-12)


def test_ratios_are_taken_within_a_round():
    """Halfway the machine gets ten times as slow: the ratio of medians would be 20, or 0.2 on the other side."""
    slow, fast = [2.0, 20.0, 20.0], [1.0, 10.0]
    assert ratio(slow, fast) == 2.0
    assert ratio(fast, slow) == 0.5
    assert np.isnan(ratio([], fast))


def test_entries_alternate_and_slow_ones_are_called_less_often():
    seconds, order = {"a": 1.0, "b": 10.0, "c": 1.0, "broken": 1.0}, []

    def call(name):
        order.append(name)
        if name == "broken" and order.count(name) == 2:
            return {"error": "died"}
        return {"seconds": seconds[name]}

    found = alternated(list(seconds), call, patience=25.0)
    assert "".join(name[0] for name in order if name != "broken") == "abcabcacacac"
    assert {name: len(answers) for name, answers in found.items()} == {"a": 5, "b": 2, "c": 5, "broken": 2}
    assert found["broken"][-1] == {"error": "died"}


def test_what_is_called_once_is_called_in_the_first_round():
    order = []
    alternated("ab", lambda name: order.append(name) or {"seconds": 1.0}, 25.0, once={"a"})
    assert "".join(order) == "abbbbb"


def test_the_first_call_of_a_short_one_does_not_count():
    answers = iter([{"seconds": 0.4}, *[{"seconds": 0.01 * i} for i in range(1, 30)]])
    found = alternated(["a"], lambda name: next(answers), patience=25.0)["a"]
    assert found[0] == {"seconds": 0.01}
    assert len(found) == 25
    assert [calls(s, 25.0) for s in (5.0, 6.0, 26.0)] == [5, 4, 1]
    assert calls(0.01, 25.0, rounds=2) == 2


def test_the_peak_is_read_from_its_own_line():
    status = "Name:\tpython\nVmPeak:\t 999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t 100 kB\n"
    assert kibibytes(status, "VmHWM") == 20480
    with pytest.raises(ValueError, match="VmSwap: not among the fields"):
        kibibytes(status, "VmSwap")
    with pytest.raises(ValueError, match="expected kB, got 'MB'"):
        kibibytes("VmHWM: 3 MB", "VmHWM")


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from Linux's /proc")
def test_the_peak_is_that_of_the_call_and_not_what_is_left():
    before = np.ones(2**24)  # 128 MiB that are not the call's
    found = peak_over(lambda: np.ones(2**24).sum())  # 128 MiB, given back at once
    assert found is not None
    assert before.sum() == 2**24
    assert 0.99 * 2**27 <= found <= 1.1 * 2**27  # the system counts some hundred pages late


def fake(folder, text):
    """A program in the place of an interpreter."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\n{text}\n")
    program.chmod(0o755)
    return program


def test_a_process_that_dies_or_hangs_is_an_answer_and_the_next_job_starts_it_anew(tmp_path):
    program = """
for line in sys.stdin:
    if "die" in line:
        print("out of luck", file=sys.stderr)
        raise SystemExit(3)
    if "hang" in line:
        import time
        time.sleep(60)
    print('{"seconds": 1.0}', flush=True)
"""
    worker = Worker(fake(tmp_path, program), "peers", 1)
    try:
        assert worker.ask("timed") == {"seconds": 1.0}
        assert worker.ask("die") == {"error": "the process ended with 3: out of luck"}
        assert worker.ask("timed") == {"seconds": 1.0}
        assert worker.ask("hang", limit=0.3) == {"error": "no answer in 0.3 s"}
        assert worker.ask("timed") == {"seconds": 1.0}
    finally:
        worker.close()
    assert worker.process is None


def test_one_job_in_a_real_process():
    worker = Worker(sys.executable, "itssl", 1)
    cell = {**KNN, "n": 300}
    try:
        found = worker.ask("timed", cell=cell, seed=3, method="itssl")
        assert 0 < found["seconds"] < 60
        assert found["value"] == [ours.METHODS[0].prepare(cell, data(cell, 3), 1)()]
        assert worker.ask("timed", cell=cell, seed=3, method="none")["error"].startswith("KeyError")
        listed: Any = worker.ask("listed", cell=cell)
        assert listed[0]["name"] == "itssl"
    finally:
        worker.close()


def test_what_a_package_prints_is_no_answer():
    worker = Worker(sys.executable, "itssl", 1)
    code = "from experiments.benchmarks import worker as w; w.Jobs.timed = lambda self: print(7) or {'seconds': 1.0}"
    worker.command = [sys.executable, "-c", f"{code}; w.main()", "itssl", "1"]
    try:
        assert [worker.ask("timed") for _ in range(2)] == 2 * [{"seconds": 1.0}]
    finally:
        worker.close()


def test_the_other_packages_side_does_not_import_itssl():
    names = ("worker", "peers", "methods", "workloads", "memory")
    code = "import sys; sys.modules['itssl'] = None\n" + "\n".join(f"import experiments.benchmarks.{n}" for n in names)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class FakeWorkers:
    """Answers of two sides, one of whose packages cannot be imported, and one of which fails when it is called."""

    def __init__(self, threads=(1, 2)):
        self.python, self.threads, self.asked = {"itssl": "", "peers": ""}, threads, []

    def ask(self, side, threads, do, **job):
        if do == "listed":
            listed = {
                "itssl": ["itssl", "floor"],
                "peers": ["scipy KDTree", "ennemi", "infomeasure", "NPEET-style", "scikit-learn brute"],
            }
            return [
                {"name": name, "serial": name in ("ennemi", "NPEET-style"), "convention": "",
                 "refused": "no" if name == "scikit-learn brute" else "",
                 "once": name == "NPEET-style",
                 "missing": "infomeasure: ModuleNotFoundError" if name == "infomeasure" else ""}
                for name in listed[side]
            ]  # fmt: skip
        if do == "timed":
            self.asked.append((job["method"], threads))
            seconds = {"itssl": 1.0, "floor": 0.5, "scipy KDTree": 20.0, "NPEET-style": 30.0}
            if job["method"] == "ennemi":
                return {"error": "MemoryError"}
            return {"seconds": seconds[job["method"]] / threads, "processor": 1.0, "value": [2.0]}
        return {"bytes": 2**20}

    ask_a_fresh_one = ask


@pytest.fixture
def row(monkeypatch):
    cell = {**KNN, "n": 10_000, "peers": True, "patience": 100.0, "rounds": 5, "of": ""}
    monkeypatch.setattr(run, "open_workers", FakeWorkers())
    return {**cell, **run.measure(cell, np.random.default_rng(0))}


def test_absent_and_failing_packages_are_named(row):
    assert row["absent"] == {"infomeasure": "infomeasure: ModuleNotFoundError"}
    assert row["refused"] == {"scikit-learn brute": "no"}
    lines = "\n".join(all_entries([row]))
    assert "| infomeasure | absent: infomeasure: ModuleNotFoundError |" in lines
    assert "| scikit-learn brute | not asked: no |" in lines
    assert "| ennemi | failed: MemoryError |" in lines


def test_left_out_packages_are_named(monkeypatch):
    workers = FakeWorkers()
    workers.python = {"itssl": ""}
    monkeypatch.setattr(run, "open_workers", workers)
    cell = {**KNN, "peers": False, "patience": 100.0, "rounds": 2, "of": ""}
    found = run.measure(cell, np.random.default_rng(0))
    assert set(found["absent"]) == {m.name for m in peers.METHODS if m.kind == "knn"}
    assert set(found["absent"].values()) == {"left out (--no-peers)"}


def test_serial_methods_are_measured_on_one_thread_and_compared_with_both(row):
    assert entry(row, "NPEET-style", 2) is entry(row, "NPEET-style", 1)
    threads = {name: {e["threads"] for e in row["entries"] if e["method"] == name} for name in ("itssl", "NPEET-style")}
    assert threads == {"itssl": {1, 2}, "NPEET-style": {1}}
    assert entry(row, "ennemi", 1) is None
    found: list[Any] = [entry(row, name, 1) for name in ("itssl", "scipy KDTree", "NPEET-style")]
    assert [e["calls"] for e in found] == [5, 5, 1]
    assert {e["method"] for e in row["entries"] if "bytes" in e} == {"itssl"}  # others take longer than three seconds


def test_goals_are_judged_by_the_fastest_tree_and_by_the_floor(row):
    trees, floor = judged([row])
    assert trees["against"] == "scipy KDTree"
    assert (trees["measured"], trees["goal"], trees["met"]) == ({"1": 20.0, "2": 20.0}, "≥ 15", True)
    assert (floor["measured"], floor["goal"], floor["met"]) == ({"1": 2.0, "2": 2.0}, "≤ 4", True)
    for e in row["entries"]:
        if (e["method"], e["threads"]) == ("itssl", 2):
            e["all_seconds"] = [3 * s for s in e["all_seconds"]]
    trees, floor = judged([row])
    assert (trees["measured"]["2"], trees["met"], floor["measured"]["2"], floor["met"]) == (
        pytest.approx(20 / 3), False, 6.0, False,
    )  # fmt: skip
    assert "**no**" in goals_table([trees])[2]
    assert "| 20 | 6.67 |" in goals_table([trees])[2]
    assert goals_count([trees, floor]) == "Of 2 goals 0 met, 2 missed, 0 not measured."
    assert "| 1 s / 500 ms |" in summary([row])[2]


def test_every_goal_is_about_a_workload_and_every_cell_has_a_name():
    cells = workloads()
    assert len({title(c) for c in cells}) == len(cells)
    for goal in GOALS:
        assert any(all(c.get(key) == value for key, value in goal.where.items()) for c in cells), goal
        assert (goal.least is None) != (goal.most is None)
    known = {m.name for m in (*ours.METHODS, *floors.METHODS, *textbook.METHODS, *peers.METHODS)}
    assert {name for goal in GOALS for name in goal.against} <= known


def test_growth_is_fitted_for_each_method():
    rows = [
        {**KNN, "n": n, "d": 3, "growth": True, "absent": {}, "entries": [
            {"method": name, "threads": 1, "serial": False, "seconds": 1e-6 * n**power, "bytes": 100 * n}
            for name, power in (("itssl", 1.1), ("scikit-learn kd_tree", 1.3))
        ]} for n in (1000, 2000, 8000)
    ]  # fmt: skip
    found = {line["method"]: (line["seconds"], line["memory"]) for line in exponents(rows)}
    assert found == {"itssl": (1.1, 1.0), "scikit-learn kd_tree": (1.3, 1.0)}
    assert [line["met"] for line in judged(rows)] == [True, True]
    for r in rows:
        r["entries"][0]["seconds"] = 1e-6 * r["n"] ** 1.25
    assert [line["met"] for line in judged(rows)] == [False, True]


MORE = [{"kind": "mixture", "form": form, "n": 100, "m": 4, "d": 6} for form in ("diag", "full")]
MORE += [{**KNN, "n": 100, "law": "surface"}, {"kind": "ksg", "n": 100, "d_x": 4, "d_y": 4, "metric": "euclidean"}]


@pytest.mark.parametrize("cell", [*(c for c in small_workloads() if not c.get("growth")), *MORE], ids=title)
def test_all_methods_that_are_here_find_the_same(cell):
    """The packages of this environment and the textbook's forms, at sizes that take no time, on one thread and two."""
    cell = shrunk(cell)
    arrays = data(cell, 5)
    kept = {name: array.copy() for name, array in arrays.items()}
    value: Any = None
    for method in (*ours.METHODS, *textbook.METHODS, *peers.METHODS, *floors.METHODS):
        if method.kind != cell["kind"] or method.refuses(cell) or method.missing():
            continue
        for threads in (1,) if method.serial else (1, 2):
            found = method.prepare(cell, arrays, threads)()
            if method.name == ours.VALUE:
                value = found
            if method.name == floors.FLOOR or method.convention == "without the log-determinant's bias":
                continue
            if method.convention:
                value_there = ours.by_convention(cell, arrays, method.convention)
                rounding = 2**10 * float(np.finfo(float).eps)
                np.testing.assert_allclose(np.ravel(found), value_there, rtol=rounding, atol=rounding)
                continue
            single = cell["kind"] in ("pairs", "vicreg")
            rounding = 2**10 * float(np.finfo(np.float32 if single else float).eps)
            np.testing.assert_allclose(found, value, rtol=rounding, atol=rounding)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name])


def test_what_pip_cannot_install_is_named_and_tried_again(tmp_path):
    program = 'sys.stderr.write("ERROR: none of that name\\n")\nraise SystemExit("faiss" in " ".join(sys.argv[-1:]))'
    (tmp_path / "bin").mkdir()
    fake(tmp_path / "bin", program)
    python, absent = environments.environment(tmp_path)
    assert python == tmp_path / "bin" / "python"
    assert absent == {"faiss-cpu": "ERROR: none of that name"}
    assert not (tmp_path / "installed.json").exists()
    fake(tmp_path / "bin", "")
    assert environments.environment(tmp_path)[1] == {}
    fake(tmp_path / "bin", "raise SystemExit(1)")
    assert environments.environment(tmp_path)[1] == {}  # installed already


def test_pins_are_those_of_the_tests():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    shared = environments.PINS.keys() & pinned.keys()
    assert shared == {"numpy", "scipy", "scikit-learn"}
    assert {name: environments.PINS[name] for name in shared} == {name: pinned[name] for name in shared}


def test_cells_change_with_the_sources_and_growth_is_over_a_decade():
    first = run.cells(True, True, 25.0)
    assert first[0]["kind"] == "rates"
    assert {c["of"] for c in first} == {run._digest()}
    assert run.cells(True, False, 25.0)[0] != first[0]
    sizes = {}
    for c in growth():
        sizes.setdefault((c["kind"], c["d"]), []).append(c["n"])
    assert all(max(line) / min(line) >= 4 and len(line) >= 3 for line in sizes.values())


def test_distance_is_the_largest():
    assert distance([1.0, 2.0], [1.5, 2.0]) == 0.5


def test_a_run_writes_findings_table_and_figure_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    small = [{**KNN, "n": n, "d": 2, "growth": True} for n in (200, 400)] + [{**KNN, "n": 200}]
    monkeypatch.setattr(run, "small_workloads", lambda: small)
    monkeypatch.setattr(run, "_cores", lambda: 1)
    options = ["--quick", "--no-peers", "--out", str(tmp_path)]
    done = CliRunner().invoke(run.main, options)
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "findings.json").read_text())
    found, rows = written["findings"], written["rows"]
    assert [title(row) for row in rows] == [title(cell) for cell in [{"kind": "rates"}, *small]]
    own: Any = entry(rows[-1], ours.VALUE, 1)
    assert own["calls"] == 2
    assert entry(rows[-1], ours.VALUE, 2) is None
    assert min(found["machine"]["rates"]["sgemm, GFlop/s"].values()) > 0
    assert set(found["absent"]) == {m.name for m in peers.METHODS if m.kind == "knn"}
    assert (tmp_path / "table.md").read_text().startswith("\n".join(found["table"]))
    assert (tmp_path / "figure.png").stat().st_size > 1000
    monkeypatch.setattr(run, "Workers", lambda *given: contextlib.nullcontext())  # none is needed
    again = CliRunner().invoke(run.main, options)
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "findings.json").read_text())["rows"] == rows


def test_more_than_one_job_is_refused(tmp_path):
    refused = CliRunner().invoke(run.main, ["--quick", "--no-peers", "--jobs", "2", "--out", str(tmp_path)])
    assert refused.exit_code == 2
    assert "expected 1" in refused.output
    assert not list(tmp_path.iterdir())
