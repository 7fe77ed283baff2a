"""The list of planted errors fits the package as it is, and one error goes the whole way."""

import ast
import json
from pathlib import Path

import pytest

from experiments.mutants.mutants import MUTANTS, PARTS
from experiments.mutants.run import HERE, QUICK, ROOT, catch, measure, private_copy, summarize, table
from itssl.arrays import stream
from itssl.claims.claim import claims

LEAST = {"claims": 12, "decision rule": 5, "estimators": 14, "objectives": 10, "laws and networks": 8}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_text_occurs_once_and_what_replaces_it_is_python(mutant):
    text = (ROOT / mutant.file).read_text()
    planted = mutant.planted(text)
    assert planted != text
    ast.parse(planted)
    assert mutant.detectors
    for detector in mutant.detectors:
        assert detector in claims() or (ROOT / detector.partition("::")[0]).exists()


def test_names_are_unique_and_every_part_is_covered():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 40
    assert set(QUICK) <= set(names)
    counts = {part: sum(mutant.part == part for mutant in MUTANTS) for part in PARTS}
    assert sum(counts.values()) == len(MUTANTS)
    assert all(counts[part] >= least for part, least in LEAST.items())
    assert counts["kernels"] + counts["evaluation"] >= 6


def test_a_text_that_is_not_there_once_is_refused():
    with pytest.raises(ValueError, match=r"expected its text once in .*, got it 0 times"):
        MUTANTS[0].planted("nothing of it")
    with pytest.raises(ValueError, match="got it 2 times"):
        MUTANTS[0].planted(2 * MUTANTS[0].old)


def row(name, *failed, ran=3):
    of = {"mutant": name, "part": "claims", "file": "itssl/a.py", "kind": "sign"} if name else {"detector": "C01"}
    return {**of, "tried": [{"detector": "C01", "ran": ran, "failed": list(failed)}], "seconds": 1.0}


def test_what_does_not_run_catches_nothing():
    wrong = {"where": "tests/a/test_b.py::test_c[1]", "by": "test", "error": "AssertionError", "broken": False}
    slip = {**wrong, "error": "NameError", "broken": True}
    rows = [row(None), row("a", wrong), row("b", slip), row("c")]
    assert [catch(r) is not None for r in rows] == [False, True, False, False]
    found = summarize(rows)
    assert (found["mutants"], found["caught"], found["survivors"]) == (3, 1, ["b", "c"])
    assert found["detectors that fail without a mutant"] == []
    assert table(rows[1:])[2:] == [
        "| a | a.py | sign | test: test_b.py::test_c | 1 |", "| b | a.py | sign | **survived** | 1 |",
        "| c | a.py | sign | **survived** | 1 |",
    ]  # fmt: skip


@pytest.mark.parametrize("bare", [row(None, {"where": "C01", "broken": True}), row(None, ran=0)])
def test_a_detector_that_fails_by_itself_is_named(bare):
    assert summarize([bare])["detectors that fail without a mutant"] == ["C01"]


def test_the_copy_holds_the_error_and_the_checkout_does_not():
    mutant = next(m for m in MUTANTS if m.part == "kernels")
    before = (ROOT / mutant.file).read_text()
    with private_copy(mutant) as copy:
        assert mutant.new in (copy / mutant.file).read_text()
        assert (copy / "tests" / "conftest.py").exists()
        assert (copy / "pyproject.toml").exists()
    assert (ROOT / mutant.file).read_text() == before
    assert not copy.exists()


def test_committed_findings_are_of_this_list():
    findings = json.loads((HERE / "findings.json").read_text())
    found = findings["findings"]
    assert (found["survivors"], found["detectors that fail without a mutant"]) == ([], [])
    assert found["mutants"] == found["caught"]
    assert [row["mutant"] for row in findings["rows"] if "mutant" in row] == [mutant.name for mutant in MUTANTS]
    assert (HERE / "table.md").read_text().splitlines() == found["table"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decide: the looks not counted", "C10: half of the traces"])
def test_one_error_is_caught_and_without_it_nothing_fails(name):
    mutant = next(m for m in MUTANTS if m.name == name)
    bare = measure({"detector": mutant.detectors[0]}, stream(0))
    assert bare["tried"][0]["failed"] == []
    assert bare["tried"][0]["ran"] > 0
    found = measure({"mutant": name, "detectors": list(mutant.detectors)}, stream(0))
    caught = catch(found)
    assert caught is not None
    assert caught["by"] == ("theorem" if name.startswith("C") else "test")
    assert Path(mutant.file).stem in ("decision", "information_bound")
