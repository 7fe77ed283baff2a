"""The cache: answers are found again exactly when nothing they depend on has changed, and never get in the way."""

import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from toy_claims import register, toy

from itssl.claims import answer_cache, cells
from itssl.claims.answer_cache import AnswerCache, Request, default_folder, versions
from itssl.claims.answering import LOADED, requests
from itssl.claims.cells import Cell, ChainCell, Settings, StatedCell
from itssl.claims.chain_answer import Chain
from itssl.claims.claim import claims
from itssl.claims.ledger import Ledger, plan, run
from itssl.claims.source_closure import Source

C21, C17 = plan(["C21"], "quick"), plan(["C17"], "quick")
CELLS = (C21[0], C21[-1], C17[-1], StatedCell("C27", "largest bound, d = 5"))


def _run(folder: Path, chosen: tuple[Any, ...] = CELLS, **options: Any) -> Ledger:
    return run(chosen, cache=folder, progress=False, **options)


def _answers(ledger: Ledger) -> dict[str, Any]:
    facts = ledger.to_dict()
    return {key: facts[key] for key in ("claims", "comparisons", "errors", "ok")}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("output.json"))


def test_a_second_run_measures_nothing_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(tmp_path)
    assert (first.cached, first.errors, first.notes) == (0, (), ())
    monkeypatch.setattr(cells, "check", lambda *a, **k: pytest.fail("measured again"))
    monkeypatch.setattr(cells, "compare", lambda *a, **k: pytest.fail("measured again"))
    heard: list[Any] = []
    second = _run(tmp_path, jobs=2, on_verdict=heard.append)
    assert second.cached == second.planned == len(CELLS)
    assert second.verdicts == first.verdicts
    assert tuple(heard) == second.verdicts
    assert _answers(second) == _answers(first)  # seconds included: those of the first


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITSSL_CACHE", str(tmp_path))
    assert run(CELLS[:1], progress=False).cached == 0
    assert list(tmp_path.iterdir()) == []


def test_everything_that_matters_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = C21[0]
    (first,) = requests([cell], Settings()).values()
    keys = [first.key]
    others = [{"seed": 1}, {"theorem_rate": 1e-3}, {"finding_rate": 1e-2}, {"max_replicates": 64}]
    keys += [requests([cell], Settings(**other))[cell].key for other in others]
    keys += [request.key for request in requests([C21[1], C21[-1], C17[0]], Settings()).values()]
    keys.append(Request(cell, Settings(), Source("another", ()), versions()).key)
    for library in ("numpy", "scipy", "torch", "scikit-learn", "mlxtend"):
        with monkeypatch.context() as patched:
            patched.setattr(answer_cache.importlib.metadata, "version", lambda n, lib=library: "0" if n == lib else "1")
            keys.append(requests([cell], Settings())[cell].key)
    with monkeypatch.context() as patched:
        patched.setattr(platform, "python_version", lambda: "3.0")
        keys.append(requests([cell], Settings())[cell].key)
    with monkeypatch.context() as patched:
        patched.setattr(platform, "machine", lambda: "another")
        keys.append(requests([cell], Settings())[cell].key)
    with monkeypatch.context() as patched:
        patched.setattr(answer_cache, "_LIBRARIES", ("a_missing_package",))
        assert "a_missing_package absent" in versions()
    assert len(set(keys)) == len(keys)
    assert requests([cell], Settings())[cell].key == first.key


@pytest.mark.parametrize("options", [{"seed": 1}, {"false_verdict_rate": 1e-2}, {"max_replicates": 64}])
def test_other_settings_are_measured(tmp_path: Path, options: dict[str, Any]) -> None:
    _run(tmp_path, CELLS[:2])
    assert _run(tmp_path, CELLS[:2], **options).cached == 0
    assert _run(tmp_path, CELLS[:2]).cached == 2


def test_a_change_of_any_source_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, CELLS[:1])
    whole = Source.__or__
    with monkeypatch.context() as patched:
        patched.setattr(Source, "__or__", lambda a, b: Source(whole(a, b).digest + "x", whole(a, b).files))
        assert _run(tmp_path, CELLS[:1]).cached == 0
    assert _run(tmp_path, CELLS[:1]).cached == 1


def test_decision_and_check_are_behind_every_verdict() -> None:
    for request in requests(CELLS, Settings()).values():
        names = {f"{file.parent.name}/{file.name}" for file in request.source.files}
        assert {"claims/decision.py", "claims/check.py", "claims/verdict.py", "itssl/estimate.py"} <= names
        assert {f"claims/{name}.py" for name in ("cells", "answering", "records", "answer_cache")} <= names
    names = {file.name for file in requests([CELLS[-1]], Settings())[CELLS[-1]].source.files}
    assert {"surrogates.py", "stated_values.py", "vicreg_surrogates.py"} <= names
    names = {file.name for file in requests([ChainCell()], Settings())[ChainCell()].source.files}
    assert {"chain.py", "chain_answer.py", "worlds.py", "training.py", "decomposition.py"} <= names


def test_fresh_measures_again_and_renews(tmp_path: Path) -> None:
    first = _run(tmp_path, CELLS[:2])
    for entry in _entries(tmp_path):
        entry.write_text(entry.read_text().replace('"seconds": ', '"seconds": 1000'))
    assert _run(tmp_path, CELLS[:2]).verdicts[0].seconds >= 1000
    renewed = _run(tmp_path, CELLS[:2], fresh=True)
    assert renewed.cached == 0
    assert max(v.seconds for v in renewed.verdicts) < 1000
    assert renewed.verdicts[0].gap == first.verdicts[0].gap
    again = _run(tmp_path, CELLS[:2])
    assert (again.cached, again.verdicts) == (2, renewed.verdicts)


@pytest.mark.parametrize(
    "damage",
    ["", '{"type": "itss', '{"type": "os:system", "fields": {}}', "\xff\x00", "3", "null", '"x"', '{"mapping": {}}'],
)
def test_a_damaged_entry_is_measured_again_with_a_note(tmp_path: Path, damage: str) -> None:
    first = _run(tmp_path, CELLS[:2])
    damaged = _entries(tmp_path)[0]
    damaged.write_bytes(damage.encode("latin1"))
    second = _run(tmp_path, CELLS[:2])
    assert (second.cached, second.errors) == (1, ())
    assert second.notes == (f"{tmp_path}: a damaged entry of the cache is measured again",)
    assert [v.gap for v in second.verdicts] == [v.gap for v in first.verdicts]
    third = _run(tmp_path, CELLS[:2])
    assert (third.cached, third.notes) == (2, ())


def test_an_entry_of_another_cell_is_measured_again_with_a_note(tmp_path: Path) -> None:
    first = _run(tmp_path, (*CELLS[:2], CELLS[3]))
    texts = [entry.read_text() for entry in _entries(tmp_path)]
    for entry, text in zip(_entries(tmp_path), texts[1:] + texts[:1], strict=True):
        entry.write_text(text)
    second = _run(tmp_path, (*CELLS[:2], CELLS[3]))
    assert (second.cached, second.ok, second.answered) == (0, True, second.planned)
    assert second.notes == (f"{tmp_path}: a damaged entry of the cache is measured again",)
    assert [v.gap for v in second.verdicts] == [v.gap for v in first.verdicts]


def test_an_answer_fits_its_own_cell_and_seed_only(tmp_path: Path) -> None:
    ledger = run((*CELLS[:2], CELLS[3]), progress=False)
    values = (*ledger.verdicts, *ledger.comparisons)
    for cell in (*CELLS, ChainCell()):
        for asked, value in zip((*CELLS[:2], CELLS[3]), values, strict=True):
            assert cell.fits(value, Settings()) == (cell == asked)
            assert not cell.fits(value, Settings(seed=1))
    chain = object.__new__(Chain)
    object.__setattr__(chain, "seed", 2)
    assert [ChainCell().fits(chain, Settings(seed=seed)) for seed in (1, 2)] == [False, True]


def test_nothing_in_the_folder_is_a_pickle_or_half_written(tmp_path: Path) -> None:
    _run(tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(_entries(tmp_path)) == len(CELLS)
    assert {file.name for file in files} - {"func_code.py"} == {"output.json", "metadata.json", "seconds.json"}
    for file in files:
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))


def test_cells_that_raise_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*arguments: Any, **options: Any) -> None:
        raise OSError("no data")

    with monkeypatch.context() as patched:
        patched.setattr(cells, "check", raises)
        ledger = _run(tmp_path, CELLS[:2])
    assert [error.message for error in ledger.errors] == ["OSError: no data"] * 2
    assert ledger.notes == ()
    assert _entries(tmp_path) == []
    assert _run(tmp_path, CELLS[:2]).ok


def test_an_interrupted_run_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupt(verdict: Any) -> None:
        raise KeyboardInterrupt

    assert _run(tmp_path, on_verdict=interrupt).interrupted
    assert _run(tmp_path).cached == 1


def test_claims_from_elsewhere_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = register(monkeypatch, toy("T1", {"a": 0.0}, {"adds one": 1.0}))
    for _ in range(2):
        ledger = _run(tmp_path, plan(ids))
        assert (ledger.cached, ledger.ok) == (0, True)
    register(monkeypatch, replace(claims()["C21"], first_look=2))  # not the claim that its module states
    assert requests([Cell("C21", C21[0].world)], Settings()) == {}


def test_a_folder_that_cannot_be_made_is_done_without_and_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = _run(tmp_path / "file" / "below", CELLS[:2])
    assert (ledger.ok, ledger.cached) == (True, 0)
    (note,) = ledger.notes
    assert note == f"{tmp_path}/file/below: the cache cannot be used (Not a directory); the run goes on without it"


def test_a_full_disk_is_done_without_and_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, **options: Any) -> int:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        ledger = _run(tmp_path, CELLS[:2])
    assert ledger.ok
    (note,) = ledger.notes
    assert note.endswith("the cache cannot be used (No space left on device); the run goes on without it")
    assert not [file for file in tmp_path.rglob("*json*") if file.name != "metadata.json"]
    assert _run(tmp_path, CELLS[:2]).cached == 0


def test_a_read_only_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    _run(tmp_path, CELLS[:1])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", refuse)
        patched.setattr(Path, "mkdir", lambda *a, **k: None)
        ledger = _run(tmp_path, CELLS[:2])
    assert (ledger.ok, ledger.cached, len(ledger.notes)) == (True, 1, 1)


def test_what_changed_while_it_ran_is_neither_found_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, CELLS[:1])
    with monkeypatch.context() as patched:
        patched.setattr(Source, "changed_since", lambda source, when: when == LOADED)
        ledger = _run(tmp_path, CELLS[:2])
    assert (ledger.ok, ledger.cached) == (True, 0)
    assert ledger.notes == ("files of itssl changed after it was loaded: what depends on them is not kept",)
    assert _run(tmp_path, CELLS[:2]).cached == 1


def test_what_was_kept_before_sources_changed_is_not_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, CELLS[:1])
    (entry,) = _entries(tmp_path)
    entry.write_text(entry.read_text().replace('"seconds": ', '"seconds": 1000'))
    request = requests(CELLS[:1], Settings())[CELLS[0]]
    cache = AnswerCache(tmp_path, LOADED)
    assert cache.measure(request).seconds >= 1000
    monkeypatch.setattr(Source, "changed_since", lambda source, when: True)
    assert cache.measure(request).seconds < 1000
    assert list(cache.notes) == ["files of itssl changed after it was loaded: what depends on them is not kept"]


def test_two_that_share_a_folder_measure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = requests(CELLS[:1], Settings())[CELLS[0]]
    one, two = (AnswerCache(tmp_path, LOADED) for _ in range(2))
    assert one.find(request) is None
    assert two.find(request) is None
    answer = one.measure(request)
    monkeypatch.setattr(cells, "check", lambda *a, **k: pytest.fail("measured again"))
    assert two.measure(request) == answer


def test_what_was_not_used_for_two_months_is_removed(tmp_path: Path) -> None:
    _run(tmp_path, CELLS[:2])
    old, young = _entries(tmp_path)
    for entry, days in ((old, 61), (young, 59)):
        then = time.time() - days * 86_400
        os.utime(entry, (then, then))
    AnswerCache(tmp_path, LOADED).prune()
    assert _entries(tmp_path) == [young]


def test_what_the_cache_did_not_write_is_never_removed(tmp_path: Path) -> None:
    _run(tmp_path, CELLS[:1])
    (kept,) = _entries(tmp_path)
    beside = kept.parents[1]
    foreign = [tmp_path / "output.json", *(folder / "output.json" for folder in (
        tmp_path / "experiment", tmp_path / ("a" * 32), beside / "mine", beside / ("A" * 32)))]  # fmt: skip
    (beside / ("b" * 32)).mkdir()
    foreign += [beside / ("b" * 32) / "thesis.txt"]
    (beside / ("b" * 32) / "output.json").write_text("")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (beside / ("c" * 32)).symlink_to(elsewhere)
    foreign.append(elsewhere / "output.json")
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    then = time.time() - 100 * 86_400
    for file in tmp_path.rglob("output.json"):
        os.utime(file, (then, then))
    AnswerCache(tmp_path, LOADED).prune()
    assert not kept.parent.exists()
    assert [file for file in foreign if not file.exists()] == []


def test_seconds_are_remembered_and_survive_damage(tmp_path: Path) -> None:
    ledger = _run(tmp_path, CELLS[:2])
    cache = AnswerCache(tmp_path, LOADED)
    assert set(cache.seconds()) == {str(cell) for cell in CELLS[:2]}
    assert all(cache.seconds()[str(c)] >= v.seconds for c, v in zip(CELLS, ledger.verdicts, strict=False))
    for text in ("[]", "{", '{"a": "x"}', '{"a": null}'):
        (tmp_path / "seconds.json").write_text(text)
        assert cache.seconds() == {}


def test_the_folder_is_named_by_the_environment_or_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITSSL_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    for unset in ("", None):
        monkeypatch.setenv("ITSSL_CACHE", "") if unset == "" else monkeypatch.delenv("ITSSL_CACHE")
        assert default_folder() == platformdirs.user_cache_path("itssl")
    assert Path(__file__).parents[2] not in default_folder().parents
