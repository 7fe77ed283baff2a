"""Ledger: what is planned is run, what is found is kept, and nothing passes by accident."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import torch
from toy_claims import register, toy
from toy_ledger import toy_ledger

from itssl.arrays import SampleTypeError
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims import answering
from itssl.claims.claim import Assumption, World, claims
from itssl.claims.decision import Outcome
from itssl.claims.ledger import LEVELS, Cell, Ledger, left_out, plan, run
from itssl.claims.verdict import ClaimError, Verdict
from itssl.reports import failure_text, schema


def _run(monkeypatch: pytest.MonkeyPatch, *toys: Any, **options: Any) -> Ledger:
    return run(plan(register(monkeypatch, *toys)), progress=False, **options)


def _strict(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    loaded = json.loads(text, parse_constant=refuse)
    jsonschema.validate(loaded, schema())
    return loaded


GOOD = toy("T1", {"a": 0.0, "b": 0.1}, {"adds one": 1.0, "subtracts one": -1.0})


def test_every_claim_keeps_a_world_and_a_control_at_quick() -> None:
    for id in claims():
        cells = plan([id], "quick")
        assert any(c.control is None for c in cells), f"{id} has no world at level 'quick'"
        assert any(c.control is not None for c in cells), f"{id} has no control at level 'quick'"


def test_levels_are_nested_and_full_is_everything() -> None:
    quick, default, full = (set(plan(level=level)) for level in LEVELS)
    assert quick <= default <= full
    missing = sum(not w.available for c in claims().values() for w in c.worlds)
    assert len(full) == sum(len(c.worlds) + len(c.controls) for c in claims().values()) - missing
    assert len(left_out(level="full")) == missing


def test_a_world_whose_package_is_missing_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    partly = toy("T3", {"a": 0.0, "b": 0.0}, {"adds one": 1.0})
    object.__setattr__(partly, "worlds", (partly.worlds[0], replace(partly.worlds[1], needs="a_missing_package")))
    register(monkeypatch, partly)
    assert plan(["T3"]) == (Cell("T3", "a"), Cell("T3", "a", "adds one"))
    (note,) = left_out(["T3"])
    assert note == "left out: T3 in 'b', which needs the package a_missing_package"
    assert run(plan(["T3"]), progress=False, notes=left_out(["T3"])).notes == (note,)


def test_plan_lists_worlds_then_controls_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, GOOD)
    assert plan(["T1", "T1"]) == (
        Cell("T1", "a"), Cell("T1", "b"), Cell("T1", "a", "adds one"), Cell("T1", "a", "subtracts one"),
    )  # fmt: skip


def test_plan_refuses_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, toy("T2", {"slow": 0.0}, {"adds one": 1.0}, level="full"))
    with pytest.raises(UnknownNameError, match=r"claim: expected one of .*, got 'c17'; did you mean 'C17'\?"):
        plan(["c17"])
    with pytest.raises(ParameterError, match="level: T2 has no world at level 'quick'; run it at level 'full'"):
        plan(["T2"], "quick")
    assert len(plan(["T2"], "full")) == 2


def test_all_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _run(monkeypatch, GOOD, seed=3, level="quick")
    assert ledger.ok
    assert not ledger.failures
    assert [v.control for v in ledger.verdicts] == [None, None, "adds one", "subtracts one"]
    assert ledger.summary == "theorems hold in 2 of 2 checks, 2 of 2 controls refuted"
    loaded = _strict(ledger.to_json())
    (entry,) = loaded["claims"]
    assert entry["title"] == GOOD.title
    assert [(w["world"], w["gap"]) for w in entry["worlds"]] == [(v.world, v.gap.value) for v in ledger.theorems]
    assert [(c["name"], c["gap"]) for c in entry["controls"]] == [(v.control, v.gap.value) for v in ledger.controls]
    assert entry["as_expected"]
    assert (loaded["seed"], loaded["level"], loaded["ok"], loaded["interrupted"]) == (3, "quick", True, False)
    assert loaded["versions"]["torch"] == ledger.versions["torch"] != ""


def test_a_missing_answer_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _run(monkeypatch, GOOD)
    short = replace(ledger, verdicts=ledger.verdicts[:-1])
    assert not short.ok
    assert failure_text(short) == "of 4 planned checks 3 have an answer"
    assert not _strict(short.to_json())["ok"]


def test_an_answer_of_no_known_kind_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cell, "measure", lambda cell, settings: 3)
    with pytest.raises(TypeError, match=r"cells: expected answers that are verdicts, .* got int of T1 in 'a'"):
        _run(monkeypatch, GOOD)


def test_nothing_is_expected_of_a_finding_but_of_its_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    toys = (toy("T1", {"a": 2.0}, {"adds one": 3.0}, kind="finding"),
            toy("T2", {"a": 2.0}, {"changes nothing": 0.0}, kind="finding"))  # fmt: skip
    loaded = _strict(_run(monkeypatch, *toys).to_json())
    assert [entry["as_expected"] for entry in loaded["claims"]] == [None, False]


def test_agreement_that_says_little_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy_ledger(monkeypatch)
    sure = made.comparisons[0]
    assert replace(made, comparisons=(sure,)).summary.endswith("1 of 1 stated values agree, 1 check raised an error")
    loose = replace(made, comparisons=(sure, replace(sure, allowed=2.0), replace(sure, allowed=2.0, agrees=False)))
    assert "2 of 3 stated values agree, 1 of them loosely" in loose.summary


@pytest.mark.parametrize(
    ("wrong", "summary"),
    [
        (toy("T3", {"off": 1.0}, {"adds one": 1.0}), "theorems hold in 0 of 1 checks, 1 of 1 controls refuted"),
        (toy("T3", {"at the margin": 0.5}, {"adds one": 1.0}),
         "theorems hold in 0 of 1 checks, 1 of 1 controls refuted"),
        (toy("T3", {"a": 0.0}, {"changes nothing": 0.0}), "theorems hold in 1 of 1 checks, 0 of 1 controls refuted"),
        (toy("T3", {"a": math.nan}, {"adds one": 1.0}), "theorems hold in 0 of 1 checks, 1 of 1 controls refuted"),
    ],
)  # fmt: skip
def test_one_verdict_out_of_line_is_enough(monkeypatch: pytest.MonkeyPatch, wrong: Any, summary: str) -> None:
    ledger = _run(monkeypatch, GOOD, wrong, max_replicates=64)
    assert not ledger.ok
    assert [v.claim for v in ledger.failures] == ["T3"]
    assert len(ledger.verdicts) == 6
    own = run(plan(["T3"]), progress=False, max_replicates=64)
    assert own.summary == summary
    loaded = _strict(ledger.to_json())
    assert not loaded["ok"]
    assert [(entry["id"], entry["as_expected"]) for entry in loaded["claims"]] == [("T1", True), ("T3", False)]


def test_a_cell_that_raises_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _run(monkeypatch, toy("T3", {"bad": math.inf, "good": 0.0}, {"adds one": 1.0}), GOOD)
    assert not ledger.ok
    assert not ledger.failures
    assert len(ledger.verdicts) == 6
    (error,) = ledger.errors
    assert error.cell == Cell("T3", "bad")
    assert error.message == "ArithmeticError: an <infinite> mean"
    assert "toy_claims.py" in error.traceback
    loaded = _strict(ledger.to_json())
    assert (loaded["errors"][0]["cell"], loaded["errors"][0]["claim"]) == ("T3 in 'bad'", "T3")
    worlds = {entry["id"]: [w["world"] for w in entry["worlds"]] for entry in loaded["claims"]}
    assert worlds == {"T3": ["good"], "T1": ["a", "b"]}
    assert not next(entry for entry in loaded["claims"] if entry["id"] == "T3")["as_expected"]


def test_controls_of_a_claim_that_raised_are_kept_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = _strict(_run(monkeypatch, toy("T3", {"bad": math.inf}, {"adds one": 1.0})).to_json())
    (entry,) = loaded["claims"]
    assert entry["worlds"] == []
    assert [c["name"] for c in entry["controls"]] == ["adds one"]


def test_a_finding_is_measured_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _run(monkeypatch, toy("T3", {"a": 1.0}, {"adds one": 1.0}, kind="finding"))
    assert ledger.findings[0].outcome is Outcome.VIOLATED
    assert ledger.ok
    assert "1 finding measured" in ledger.summary


def test_a_theorem_that_applies_nowhere_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Assumption(name="size", statement="the mean is small", measure=abs, at_most=1.0)
    nowhere = toy("T3", {"a": 2.0}, {"adds one": 1.0}, assumes=(small,))
    somewhere = toy("T4", {"a": 2.0, "b": 0.0}, {"adds one": 1.0}, assumes=(small,))
    ledger = _run(monkeypatch, nowhere, somewhere)
    assert [v.outcome for v in ledger.theorems] == [Outcome.NOT_APPLICABLE, Outcome.NOT_APPLICABLE, Outcome.HOLDS]
    assert [(v.claim, v.control) for v in ledger.failures] == [("T3", None)]
    assert "2 checks not applicable" in ledger.summary
    assert _strict(ledger.to_json())["claims"][0]["worlds"][0]["gap"] == "nan"


def test_nothing_run_is_not_ok() -> None:
    assert not run([], progress=False).ok


def test_require_raises_with_all_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, GOOD).require()
    with pytest.raises(ClaimError, match=r"(?s)theorems hold in 0 of 1 checks.*VIOLATED: T3 in 'off', left − right"):
        _run(monkeypatch, toy("T3", {"off": 1.0}, {"adds one": 1.0})).require()
    with pytest.raises(ClaimError, match=r"1 check raised an error\nT4 .*: ArithmeticError: an <infinite> mean"):
        _run(monkeypatch, toy("T4", {"breaks": math.inf}, {})).require()
    with pytest.raises(ClaimError, match="theorems hold in 0 of 0 checks"):
        run([], progress=False).require()


@pytest.mark.parametrize("kept", [1, 3])
def test_an_interrupt_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    seen: list[Verdict] = []

    def interrupt(verdict: Verdict) -> None:
        seen.append(verdict)
        if len(seen) == kept:
            raise KeyboardInterrupt

    ledger = _run(monkeypatch, GOOD, on_verdict=interrupt)
    assert ledger.interrupted
    assert not ledger.ok
    assert list(ledger.verdicts) == seen
    assert ledger.summary.endswith(f"interrupted with {4 - kept} of 4 checks not run")
    assert _strict(ledger.to_json())["interrupted"]


def test_an_interrupt_within_a_check_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    stops = toy("T3", {"a": 0.0, "b": 0.0}, {"adds one": 1.0})
    object.__setattr__(stops, "worlds", (stops.worlds[0], World(name="b", make=stop)))
    ledger = _run(monkeypatch, stops)
    assert [v.world for v in ledger.verdicts] == ["a"]
    assert ledger.interrupted


def _without_time(ledger: Ledger) -> dict[str, Any]:
    facts = ledger.to_dict()
    for entry in facts["claims"]:
        for verdict in entry["worlds"] + entry["controls"]:
            del verdict["seconds"]
    return {key: facts[key] for key in ("claims", "errors", "ok", "summary")}


def test_verdicts_do_not_depend_on_jobs() -> None:
    cells = plan(["C10"], "quick")
    one, two = (run(cells, jobs=jobs, progress=False, seed=5) for jobs in (1, 2))
    assert one.ok
    assert _without_time(one) == _without_time(two)
    assert [(v.world, v.control) for v in two.verdicts] == [(c.world, c.control) for c in cells]


def test_an_interrupt_of_two_jobs_keeps_what_is_finished() -> None:
    def interrupt(verdict: Verdict) -> None:
        raise KeyboardInterrupt

    ledger = run(plan(["C10"], "quick"), jobs=2, progress=False, on_verdict=interrupt)  # and without a warning
    assert (ledger.interrupted, len(ledger.verdicts), ledger.errors) == (True, 1, ())


def test_cells_of_a_killed_worker_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    class DyingPool:
        def __init__(self, **options: Any) -> None:
            pass

        def __call__(self, tasks: Any) -> Any:
            function, arguments, _ = next(tasks)
            yield function(*arguments)
            raise MemoryError("a worker was killed")

    monkeypatch.setattr(answering.joblib, "Parallel", DyingPool)
    ledger = _run(monkeypatch, GOOD, jobs=2)
    assert [v.world for v in ledger.verdicts] == ["a"]
    assert [e.message for e in ledger.errors] == ["MemoryError: a worker was killed"] * 3
    assert not ledger.ok


def test_threads_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _run(monkeypatch, GOOD)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_run_refuses_bad_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match=r"ids: expected a list .*, got the string 'C10'; write \['C10'\]"):
        plan("C10")
    with pytest.raises(ParameterError, match=r"cells: .* got the string 'C10'; write run\(plan\(\['C10'\]\)\)"):
        run(["C10"], progress=False)
    with pytest.raises(ParameterError, match="jobs: expected an integer >= 1, got 0"):
        _run(monkeypatch, GOOD, jobs=0)
    with pytest.raises(SampleTypeError, match="seed: expected a non-negative integer, got -1"):
        _run(monkeypatch, GOOD, seed=-1)


@pytest.mark.usefixtures("every_step_shown")
def test_progress_goes_to_stderr_and_says_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = plan(register(monkeypatch, toy("T3", {"off": 1.0}, {"adds one": 1.0})))
    run(cells, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 as expected, 1 NOT" in err


def test_ledger_for_people_and_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _run(monkeypatch, toy("T3", {"<script>alert(1)</script>": 0.0}, {"a & b": 1.0}))
    shown = ledger._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "a &amp; b" in shown
    frame = ledger.to_pandas()
    assert list(frame["gap"]) == [v.gap.value for v in ledger.verdicts]
    assert list(frame["outcome"]) == ["HOLDS", "VIOLATED"]
    assert re.match(r"Ledger\(theorems hold in 1 of 1 checks, 1 of 1 controls refuted; .* s, seed 0", repr(ledger))
    with pytest.raises(TypeError, match="no truth value"):
        bool(ledger)
