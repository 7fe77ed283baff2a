"""The command line: what is printed where, and with which exit status."""

import contextlib
import html
import io
import json
import re
import shlex
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from toy_claims import register, toy

import itssl
from itssl.claims import cells, ledger
from itssl.claims.claim import claims
from itssl.claims.ledger import plan
from itssl.cli import main

GOOD = toy("T1", {"a": 0.0, "b": 0.1}, {"adds one": 1.0})
OFF = toy("T2", {"off": 1.0}, {"adds one": 1.0})
IDLE = toy("T3", {"a": 0.0}, {"changes nothing": 0.0})
FEW = tuple(cell for id in ("C10", "C21") for cell in (plan([id], "quick")[0], plan([id], "quick")[-1]))
RAISES = toy("T4", {"bad": float("inf")}, {"adds one": 1.0})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("ITSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def samples(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    np.save("x.npy", x)
    np.save("y.npy", x[:, :1] + rng.normal(size=(300, 1)))
    np.savez("both.npz", x=x, y=x[:100])
    np.savez("one.npz", only=x)
    np.savetxt("x.csv", x, delimiter=",", header="first,second", comments="", fmt="%.18e")
    np.savetxt("plain.csv", x, delimiter=",", fmt="%.18e")
    np.savetxt("commented.csv", x, delimiter=",", header="first,second", fmt="%.18e")
    np.save("nan.npy", np.where(np.arange(600).reshape(300, 2) == 7, np.nan, x))
    np.save("labels.npy", np.arange(10))
    np.save("constant.npy", np.ones((50, 2)))
    np.save("objects.npy", np.array([1, "a", None], dtype=object), allow_pickle=True)
    Path("junk.npy").write_bytes(b"junk")
    Path("zip.npz").write_bytes(b"PK\x03\x04 not really")
    Path("text.csv").write_text("a,b\n1.0,2.0\n\n3.0,oops\n")
    Path("ragged.csv").write_text("1.0,2.0\n3.0\n")
    Path("named.csv").write_text("age, width\n1.0,0.5\n2.5,0.5\n1.5,0.5\n")
    Path("holes.csv").write_text("1.0,2.0\n3.0,\n")
    Path("mixed.csv").write_text("1.0,width\n3.0,4.0\n")
    Path("empty.csv").write_text("")
    Path("names.csv").write_text("a,b\n")
    Path("latin.csv").write_bytes("größe\n1\n2\n".encode("latin1"))
    Path("x.txt").write_text("1\n2\n")
    return folder


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_verify_prints_the_table_writes_the_report_and_exits_0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, GOOD)
    result = _run("verify", "T1", "--seed", "4", "--jobs", "1")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "T1 The mean is zero" in result.stdout
    assert "controls: 1/1 refuted" in result.stdout
    assert "theorems hold in 2 of 2 checks, 1 of 1 controls refuted; " in result.stdout
    assert "written: itssl-report/report.json, itssl-report/report.md and itssl-report/index.html" in result.stdout
    report = json.loads((folder / "itssl-report" / "report.json").read_text())
    assert report["ok"]
    assert report["seed"] == 4
    assert "all as expected" in (folder / "itssl-report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (OFF, "VIOLATED: T2 in 'off'"),
        (IDLE, "HOLDS: T3 in 'a', control 'changes nothing'"),
        (RAISES, "ERROR: T4 in 'bad' raised ArithmeticError"),
    ],
)
def test_verify_exits_1_and_says_how_to_repeat(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any, why: str
) -> None:
    ids = register(monkeypatch, GOOD, wrong)
    result = _run("verify", *ids, "--out", "deep/report", "--jobs", "1")
    assert result.exit_code == 1
    assert why in result.stderr
    assert f"itssl verify {wrong.id} --seed 0" in result.stderr
    assert f"itssl.check('{wrong.id}', " in result.stderr
    assert not json.loads((folder / "deep" / "report" / "report.json").read_text())["ok"]


@pytest.mark.usefixtures("every_step_shown")
def test_verify_json_is_the_only_thing_on_stdout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, OFF)
    result = _run("verify", "T2", "--json", "--quick", "--progress", "--jobs", "1")
    assert result.exit_code == 1
    printed = json.loads(result.stdout)
    assert printed == json.loads((folder / "itssl-report" / "report.json").read_text())
    assert printed["level"] == "quick"
    assert "written: " in result.stderr
    assert "2/2" in result.stderr  # the progress bar


def test_verify_refuses_with_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, toy("T5", {"slow": 0.0}, {}, level="full"))
    unknown = _run("verify", "c177")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("Error: claim: expected one of 'C01', ")
    assert "got 'C177'; did you mean 'C17'?" in unknown.stderr
    assert unknown.stderr.count("\n") == 1
    assert _run("verify", "--quick", "--full").exit_code == 2
    assert _run("verify", "--jobs", "0").exit_code == 2
    assert _run("verify", "--seed", "-1").exit_code == 2
    late = _run("verify", "T5")
    assert (late.exit_code, "run it at level 'full'" in late.stderr) == (2, True)
    (folder / "file").write_text("")
    assert _run("verify", "T5", "--full", "--out", "file/below").exit_code == 2
    assert not (folder / "itssl-report").exists()


def test_an_interrupt_writes_what_is_finished_and_exits_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, done = cells.check, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(check(*arguments, **options))
        return done[-1]

    register(monkeypatch, GOOD)
    monkeypatch.setattr(cells, "check", interrupted)
    result = _run("verify", "T1", "--jobs", "1")
    assert result.exit_code == 130
    assert "interrupted: 1 of 3 checks were not run" in result.stderr
    report = json.loads((folder / "itssl-report" / "report.json").read_text())
    assert report["interrupted"]
    assert [world["world"] for world in report["claims"][0]["worlds"]] == ["a", "b"]


def test_an_interrupt_before_the_first_check_exits_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "plan", interrupted)
    assert _run("verify").exit_code == 130


def test_a_second_run_takes_its_answers_from_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "plan_measurements", lambda ids, level: ())
    monkeypatch.setattr(ledger, "plan", lambda ids, level: FEW)
    arguments = ("verify", "--quick", "--jobs", "1")
    first, second = (_run(*arguments, "--json").stdout, _run(*arguments).stdout)
    report = json.loads((folder / "itssl-report" / "report.json").read_text())
    assert json.loads(first)["cached"] == 0
    assert report["claims"] == json.loads(first)["claims"]
    assert report["cached"] == report["planned"] > 0
    assert f"; {report['planned']} of {report['planned']} answers from the cache\n" in second
    fresh = json.loads(_run(*arguments, "--fresh", "--json").stdout)
    assert fresh["cached"] == 0


def test_a_cache_that_cannot_be_used_is_said_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, GOOD)
    (folder / "file").write_text("")
    result = _run("verify", "T1", "--quick", "--jobs", "1", "--cache", "file/below")
    assert result.exit_code == 0
    assert result.stderr.count("the cache cannot be used") == 1


def test_a_drawn_seed_is_printed_and_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, GOOD)
    results = [_run("verify", "T1", "--seed", "random", "--jobs", "1", "--json") for _ in range(2)]
    seeds = [json.loads(result.stdout)["seed"] for result in results]
    assert seeds[0] != seeds[1]
    assert [result.stderr.splitlines()[0] for result in results] == [f"seed {seed} (drawn)" for seed in seeds]
    again = json.loads(_run("verify", "T1", "--seed", str(seeds[0]), "--jobs", "1", "--json").stdout)
    gaps = [
        [world["gap"] for world in facts["claims"][0]["worlds"]] for facts in (json.loads(results[0].stdout), again)
    ]
    assert gaps[0] == gaps[1]


def test_check_prints_one_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, GOOD, OFF, IDLE, RAISES)
    for arguments, status, start in (
        ("T1", 0, "HOLDS: T1 in 'a', left"), ("t1 b", 0, "HOLDS: T1 in 'b', left"),
        ("T2 off", 1, "VIOLATED: T2 in 'off'"),
        ("T2 --control", 0, "VIOLATED: T2 in 'off', control 'adds one'"),
        ("T3 --control", 1, "HOLDS: T3 in 'a', control 'changes nothing'"),
    ):  # fmt: skip
        control = {"T2": "adds one", "T3": "changes nothing"}.get(arguments[:2], "")
        result = _run("check", *arguments.split(), *[control] * arguments.endswith("--control"), "--seed", "3")
        assert (result.exit_code, result.stdout.count("\n")) == (status, 1)
        assert result.stdout.startswith(start)
        assert result.stdout.endswith("seed 3\n")
    raised = _run("check", "T4")
    assert (raised.exit_code, raised.stdout) == (1, "")
    assert raised.stderr.startswith("Traceback")
    for arguments in (["T9"], ["T1", "z"], ["T1", "--control", "z"], ["T1", "--false-verdict-rate", "1"]):
        assert _run("check", *arguments).exit_code == 2
    assert json.loads(_run("check", "T1", "--json").stdout)["false_verdict_rate"] == 1e-4
    assert (
        json.loads(_run("check", "T1", "--json", "--false-verdict-rate", "0.01").stdout)["false_verdict_rate"] == 0.01
    )


def test_what_a_failure_says_to_run_repeats_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the shell line and the lines of Python print the verdict; the line for the claim fails alike."""
    register(monkeypatch, OFF)
    said = _run("verify", "T2", "--seed", "3", "--quick", "--jobs", "1").stderr.splitlines()
    verdict = said[0].removesuffix("; expected HOLDS")
    shell, whole = (said[i].strip().partition("  #")[0] for i in (2, 3))
    checked = _run(*shlex.split(shell)[1:])
    assert (checked.exit_code, checked.stdout) == (1, f"{verdict}\n")
    repeated = _run(*shlex.split(whole)[1:], "--jobs", "1")
    assert repeated.exit_code == 1
    assert verdict in repeated.stderr
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(textwrap.dedent("\n".join(said[5:7])), {})
    assert printed.getvalue() == f"{verdict}\n"


def test_json_of_all_claims_lists_each_once_with_controls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "plan", lambda ids, level: FEW)
    monkeypatch.setattr(ledger, "plan_measurements", lambda ids, level: ())
    entries = json.loads(_run("verify", "--quick", "--json", "--jobs", "1").stdout)["claims"]
    assert [entry["id"] for entry in entries] == ["C10", "C21"]
    assert all(entry["worlds"] and entry["controls"] for entry in entries)


def test_list_names_every_claim(folder: Path) -> None:
    result, as_json = _run("list"), json.loads(_run("list", "--json").stdout)["claims"]
    assert [row["id"] for row in as_json] == list(claims())
    for row in as_json:
        claim = claims()[row["id"]]
        assert (row["worlds"], row["controls"]) == (len(claim.worlds), len(claim.controls))
        assert row["id"] in result.stdout


def test_show_states_a_claim_and_refuses_another(folder: Path) -> None:
    result = _run("show", "C17")
    assert result.exit_code == 0
    claim = claims()["C17"]
    for text in (claim.statement, str(claim.reference), claim.worlds[0].name, claim.controls[0].name):
        assert text in result.stdout
    assert _run("show", "C0").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [["x.npy"], ["x.csv"], ["plain.csv"], ["commented.csv"], ["one.npz"], ["both.npz", "--key", "x"]],
)
def test_estimate_reads_each_kind_of_file(samples: Path, arguments: list[str]) -> None:
    printed = json.loads(_run("estimate", *arguments, "--json").stdout)
    assert printed == itssl.entropy(np.load("x.npy")).to_dict()


def test_estimate_of_two_files_takes_method_options_and_bits(samples: Path) -> None:
    x, y = np.load("x.npy"), np.load("y.npy")
    expected = itssl.mutual_information(x, y, method="ksg", k=5, standardize=False)
    options = ["--method", "ksg", "--option", "k=5", "--option", "standardize=false"]
    assert _run("estimate", "x.npy", "--and", "y.npy", *options).stdout == (
        f"{expected!r}\n  bias: unknown; d={x.shape[1]} and {y.shape[1] if y.ndim == 2 else 1}\n"
    )
    in_bits = _run("estimate", "x.npy", "--and", "y.npy", *options, "--bits", "--json").stdout
    assert json.loads(in_bits) == expected.in_bits().to_dict()


def test_diagnose_prints_the_report_and_a_recommendation(samples: Path) -> None:
    x, y = np.load("x.npy"), np.load("y.npy")
    printed = _run("diagnose", "x.npy", "--and", "y.npy").stdout
    assert printed.startswith(str(itssl.diagnose(x, y)))
    assert repr(itssl.choose(x, y).estimator) in printed.partition("recommended:")[2]
    assert json.loads(_run("diagnose", "x.npy", "--json").stdout) == json.loads(itssl.diagnose(x).to_json())
    assert _run("diagnose", "x.npy", "--and-key", "y").exit_code == 2
    refused = _run("diagnose", "nan.npy")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: nan.npy: expected finite values")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nan.npy", "nan.npy: expected finite values, got 1 of 600 NaN or infinite (first in row 3); drop"),
        ("labels.npy", "labels.npy: expected real-valued samples, got int64"),
        ("constant.npy", "constant.npy: x: expected columns that vary"),
        ("named.csv", "named.csv: x: expected columns that vary, got constant column 'width'; drop it"),
        ("objects.npy", "objects.npy: expected arrays of numbers in numpy's format, got pickled objects"),
        ("junk.npy", "junk.npy: expected arrays of numbers in numpy's format, got pickled objects or another format"),
        ("zip.npz", "zip.npz: expected arrays of numbers in numpy's format, got a damaged file"),
        ("both.npz", "both.npz: expected one of the arrays x, y, got no key; pass --key"),
        ("both.npz --key z", "both.npz: expected one of the arrays x, y, got the key 'z'"),
        ("x.npy --key x", "x.npy: expected no key, got 'x'"),
        ("text.csv", "text.csv: expected a number in line 4, column 2, got 'oops'"),
        ("ragged.csv", "ragged.csv: expected 2 columns in line 2, got 1"),
        ("holes.csv", "holes.csv: expected a number in line 2, column 2, got ''"),
        ("mixed.csv", "mixed.csv: expected a number in line 1, column 2, got 'width'"),
        ("empty.csv", "empty.csv: expected comma-separated numbers, got no row"),
        ("names.csv", "names.csv: expected numbers below the column names, got no row"),
        ("latin.csv", "latin.csv: expected text in UTF-8, got other bytes"),
        ("x.txt", "x.txt: expected a file ending in .npy, .npz or .csv, got '.txt'"),
        ("x.npy --and both.npz --and-key y", "x.npy and both.npz: expected the same number of rows, got 300 and 100"),
        ("x.npy --method nope", "method: expected one of 'binning', 'extrapolated_kozachenko_leonenko'"),
        ("x.npy --option k", "--option: expected KEY=VALUE, got 'k'"),
        ("x.npy --option q=1", "kozachenko_leonenko: got an unexpected keyword argument 'q'"),
        ("x.npy --option k=0", "k: expected an integer >= 1"),
    ],
)
def test_estimate_refuses_in_one_line_with_2(samples: Path, arguments: str, message: str) -> None:
    result = _run("estimate", *arguments.split())
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.fixture
def labels(samples: Path) -> Path:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, size=300)
    words = np.array(["cat", "dog"])[codes]
    np.save("codes.npy", codes)
    np.savez("codes.npz", codes=codes, words=words)
    Path("words.csv").write_text("\n".join(words) + "\n")
    Path("headed.csv").write_text("animal\n" + "\n".join(words) + "\n")
    Path("wide.csv").write_text("a,b\n" * 300)
    np.save("matrix.npy", np.eye(300, dtype=int))
    return samples


@pytest.mark.parametrize(
    ("arguments", "classes"),
    [
        ("--labels codes.npz --labels-key words", ["cat", "dog"]), ("--labels words.csv", ["cat", "dog"]),
        ("--labels headed.csv --rows 100", ["cat", "dog"]),
    ],
)  # fmt: skip
def test_estimate_with_labels_prints_a_report_and_writes_its_page(labels: Path, arguments: str, classes: Any) -> None:
    result = _run("estimate", "x.npy", *arguments.split())
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith("x.npy: 300 embeddings in 2 dimensions, 2 classes\n")
    assert "information with labels" in result.stdout
    assert result.stdout.endswith(f"written: {Path('itssl-report', 'x.html')}\n")
    page = (labels / "itssl-report" / "x.html").read_text(encoding="utf-8")
    assert all(f">{name}<" in page for name in classes)
    code = html.unescape(re.findall(r"<pre>(.*?)</pre>", page, flags=re.S)[0])
    *given, last = code.splitlines()  # the lines that repeat it do
    known: dict[str, Any] = {}
    exec("\n".join(given), known)
    assert f"{eval(last, known)}\n" == result.stdout.partition("written: ")[0]


def test_a_report_without_labels_is_asked_for_by_its_page(labels: Path) -> None:
    result = _run("estimate", "x.npy", "--out", "deep/page.html", "--json")
    assert (labels / "deep" / "page.html").exists()
    assert result.stderr == f"written: {Path('deep', 'page.html')}\n"
    printed = json.loads(result.stdout)
    assert printed == json.loads(itssl.embedding_report(np.load("x.npy"), name="x.npy", progress=False).to_json())
    assert not (labels / "itssl-report").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("x.npy --labels labels.npy", "labels.npy: expected 300 labels, one for each row, got 10; align"),
        ("x.npy --labels wide.csv", "wide.csv: expected one label a line, got more in line 1; keep one column"),
        ("x.npy --labels matrix.npy", "matrix.npy: expected one label a row, shape (n,), got shape (300, 300)"),
        ("x.npy --labels codes.npz", "codes.npz: expected one of the arrays codes, words, got no key"),
        ("x.npy --labels x.txt", "x.txt: expected a file ending in .npy, .npz or .csv, got '.txt'; save the labels"),
        ("x.npy --labels objects.npy", "objects.npy: expected arrays of numbers in numpy's format, got pickled"),
        ("nan.npy --labels codes.npy", "nan.npy: expected finite values"),
        ("x.npy --out x.npy/page.html", "x.npy: "),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_made_is_refused_in_one_line_with_2(labels: Path, arguments: str, message: str) -> None:
    result = _run("estimate", *arguments.split())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"Error: {message}")
    assert not (labels / "itssl-report" / "x.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "--labels codes.npy --and y.npy", "--labels codes.npy --method ross", "--labels codes.npy --option k=3",
        "--out page.html --bits", "--rows 100", "--labels-key x", "--out page.html --labels-key x",
        "--labels codes.npy --rows 5", "--labels missing.npy",
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused_with_2(labels: Path, arguments: str) -> None:
    assert _run("estimate", "x.npy", *arguments.split()).exit_code == 2


@pytest.mark.parametrize("arguments", ["missing.npy", "x.npy --and missing.npy", "x.npy --and-key y"])
def test_estimate_refuses_misuse_with_2(samples: Path, arguments: str) -> None:
    assert _run("estimate", *arguments.split()).exit_code == 2


def test_python_m_itssl(folder: Path) -> None:
    command = [sys.executable, "-m", "itssl", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"itssl {version('itssl')}\n"
    assert done.stderr == ""


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from itssl.cli import main; "
        "assert CliRunner().invoke(main, ['verify', '--help']).exit_code == 0; "
        "print(sorted({'numpy', 'torch', 'scipy', 'sklearn', 'matplotlib', 'joblib', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
