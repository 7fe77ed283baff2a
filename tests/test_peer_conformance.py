"""The table of public packages: its list, its worker, and how it tells right from wrong; nothing is installed."""

import importlib
import inspect
import json
import random
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.special import digamma

from experiments import environments
from experiments.peer_conformance import adapters, worker
from experiments.peer_conformance.figure import COLORS, draw
from experiments.peer_conformance.measure import cells_of, checks_of, measure
from experiments.peer_conformance.peers import ESTIMATORS, PEERS, SUITE, Estimator
from experiments.peer_conformance.processes import ask
from experiments.peer_conformance.run import cells, summarize
from experiments.peer_conformance.tables import MARKS, WORDS, neighbors_apart, page
from itssl.testing.promises import DivergencePromises, EntropyPromises, InformationPromises

K = 4
PROMISES = {
    "entropy": EntropyPromises, "mutual_information": InformationPromises, "kl_divergence": DivergencePromises,
}  # fmt: skip
INSIDE = next(peer for peer in PEERS if peer.package == "scipy")


def ksg(x, y, k=K, *, closed=False, counted_twice=False):
    """KSG, with the neighbors at the very distance counted or not, and each row counted once or twice."""
    radii = KDTree(np.hstack([x, y])).query(np.hstack([x, y]), k + 1, p=np.inf)[0][:, -1]
    radii = radii if closed else np.nextafter(radii, 0)
    counts = [KDTree(z).query_ball_point(z, radii, p=np.inf, return_length=True) + counted_twice for z in (x, y)]
    return digamma(len(x)) + digamma(k) - sum(digamma(c).mean() for c in counts)


@pytest.fixture
def planted(monkeypatch):
    """Puts a function among the adapters and gives its estimator."""

    def plant(function, name, **promises):
        monkeypatch.setattr(adapters, name, function, raising=False)
        return Estimator(function=name, called=name, quantity="mutual_information", method="KSG", promises=promises)

    return plant


def test_list_names_what_exists():
    assert len({peer.package for peer in PEERS}) == len(PEERS)
    assert sum(bool(peer.estimators) for peer in PEERS) >= 6
    own = inspect.getmembers(adapters, inspect.isfunction)
    functions = {name for name, function in own if function.__module__ == adapters.__name__}
    assert set(ESTIMATORS) == {name for name in functions if name[0] != "_"} - {"seeded", "joined"}
    for made in (made for peer in PEERS for made in peer.estimators):
        promises = PROMISES[made.quantity]
        assert promises.of(dict(made.promises)).given() == dict(made.promises)


def test_versions_are_pinned():
    for peer in PEERS:
        assert peer.inside or not peer.estimators or peer.version
        assert all(version for name, version in peer.groups[0].items())
        assert set(SUITE) <= set(peer.groups[0])
        assert not any(line.lower().startswith(f"{peer.package}==") for line in peer.bounds)


def test_what_clips_is_declared_and_what_is_declared_is_said():
    for made in (made for peer in PEERS for made in peer.estimators):
        for promise in ("units", "clips_at_zero"):
            assert promise not in made.promises or made.note, made.function


@pytest.mark.parametrize(
    ("options", "outcome"),
    [({}, "HOLDS"), ({"closed": True}, "VIOLATED"), ({"counted_twice": True}, "VIOLATED")],
)
def test_wrong_counts_of_neighbors_are_told_from_right_ones(planted, options, outcome):
    made = planted(lambda x, y, k=K: ksg(x, y, k, **options), "planted")
    assert worker.finding(made, "independence", seed=3, profile="ci").outcome.value == outcome


def test_neighbors_are_counted_as_the_adapter_says(planted):
    ignored = planted(lambda x, y, k=K: ksg(x, y), "planted")
    assert worker.finding(ignored, "k_counts", seed=0, profile="dev").outcome.value == "VIOLATED"
    without = planted(lambda x, y: ksg(x, y), "planted")
    assert worker.finding(without, "k_counts", seed=0, profile="dev").outcome.value == "NOT_APPLICABLE"


def test_noise_from_the_global_generator_is_repeated_and_reported(planted):
    def noisy(x, y):
        return ksg(x + 1e-3 * np.random.standard_normal(x.shape), y)  # noqa: NPY002

    made = planted(noisy, "planted")
    seeded = Estimator(**{**vars(made), "seeded": True})
    before = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    try:
        assert worker.finding(made, "repeatable", seed=0, profile="dev").outcome.value == "VIOLATED"
        assert worker.finding(seeded, "repeatable", seed=0, profile="dev").outcome.value == "HOLDS"
        assert "np.random" in str(worker.finding(seeded, "global_state", seed=0, profile="dev"))
        two = [worker.finding(made, "consistency", seed=5, profile="dev").cases for _ in range(2)]
        assert two[0] == two[1]
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


def test_worker_answers_and_survives_errors():
    job = {"check": "scale", "seed": 1, "profile": "dev"}
    assert "no_such" in ask(INSIDE, "check", estimator="no_such", **job)["error"]
    assert ask(INSIDE, "check", estimator="scipy_auto", **job)["outcome"] == "HOLDS"
    assert ask(INSIDE, "described", package="scipy")["scipy"] == version("scipy")
    assert ask(INSIDE, "shown", estimator="scipy_auto", **job)["shown"].startswith("ok: scale")


def test_what_cannot_be_imported_breaks_no_law(planted):
    def lacking(x, y):
        importlib.import_module("no_such_package")

    with pytest.raises(ImportError, match="no_such_package"):
        worker.finding(planted(lacking, "planted"), "truth", seed=0, profile="dev")


def test_nothing_reaches_out_where_it_may_not(tmp_path, monkeypatch):
    def never(*command, **options):
        raise AssertionError(command)

    monkeypatch.setattr(subprocess, "run", never)
    found = environments.environment(tmp_path / "none", [{"a": "1"}, {"b": "2"}], reaches_out=False)
    assert found[1] == {"a": "not installed, and nothing was to be", "b": "not installed, and nothing was to be"}
    assert {cell["package"] for cell in cells(True, ())} == {peer.package for peer in PEERS if peer.inside}


def test_what_cannot_be_installed_is_named_with_the_reason_and_tried_again_another_day(tmp_path, monkeypatch):
    calls = []

    def pip(command, **options):
        calls.append(command)
        failed = "b==2" in command
        return subprocess.CompletedProcess(command, int(failed), "", "noise\nERROR: no b for you\n" if failed else "")

    monkeypatch.setattr(subprocess, "run", pip)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch()
    groups, record = [{"a": "1"}, {"b": "2"}], tmp_path / "installed.json"
    for _ in range(2):  # on one day
        assert environments.environment(tmp_path, groups, ["c==3"], once_a_day=True)[1] == {"b": "ERROR: no b for you"}
        assert len(calls) == 2
    record.write_text(record.read_text().replace(json.loads(record.read_text())["on"], "2000-01-01"))
    assert environments.environment(tmp_path, groups, ["c==3"], once_a_day=True)[1] == {"b": "ERROR: no b for you"}
    assert len(calls) == 4
    assert (tmp_path / "bin/constraints.txt").read_text() == "c==3\n"
    for _ in range(2):  # what is whole is kept
        assert environments.environment(tmp_path, [{"a": "1"}])[1] == {}
    assert len(calls) == 5


def test_peer_that_is_not_installed_gives_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(environments.platformdirs, "user_cache_path", lambda name: tmp_path)
    nothing = {"error": "not installed, and nothing was to be"}
    assert ask(ESTIMATORS["dit_mi"][0], "described", package="dit") == nothing
    assert ask(next(peer for peer in PEERS if not peer.estimators), "described", package="npeet") == nothing


def rows():
    found = [
        {**cell, **measure_of(cell, outcome)}
        for function, outcome in (("dit_mi", "VIOLATED"), ("npeet_mi", "HOLDS"), ("scipy_auto", "UNDECIDED"))
        for cell in cells_of(ESTIMATORS[function][0], "dev")
        if cell["function"] == function
    ]
    return [*found, {"package": "npeet", "version": "", "absent": "ERROR: No matching distribution found for npeet"}]


def measure_of(cell, outcome):
    made = ESTIMATORS[cell["function"]][1]
    words = {"called": made.called, "quantity": made.quantity, "method": made.method, "note": made.note}
    kind = "statistical" if cell["check"] in ("truth", "independence") else "exact"
    return words | {
        "law": "I ≥ 0", "kind": kind,
        "outcome": outcome, "cases": ["here: expected 1, got 2"], "reason": "", "seed": 7, "on": "2026-11-26",
        "versions": {cell["package"]: cell["version"]},
    }  # fmt: skip


def test_table_and_figure_say_what_was_found():
    text = "\n".join(page(rows()))
    assert "npeet : ERROR: No matching distribution found for npeet" in text
    assert "`truth`, differs from the law: I ≥ 0" in text
    assert "python -m experiments.peer_conformance.show dit_mi truth --seed 7 --profile dev" in text
    found = neighbors_apart(rows())
    assert found["agree"] == ["npeet-plus: mi"]
    assert set(found["differ"]) == {"dit: total_correlation_ksg"}
    assert summarize(rows())["absent"] == {"npeet": "ERROR: No matching distribution found for npeet"}
    figure = draw(rows())
    assert [axes.get_title() for axes in figure.axes] == ["Mutual information", "Entropy"]
    assert len(figure.axes[0].texts) == 2 * len(checks_of("mutual_information"))
    assert set(MARKS) == set(WORDS) == set(COLORS)


def test_colors_are_told_apart_in_gray():
    gray = [np.dot([0.299, 0.587, 0.114], [int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in COLORS.values()]
    assert np.diff(np.sort(gray)).min() > 15


def test_a_cell_of_an_absent_package_has_no_numbers():
    assert measure({"package": "a", "version": "1", "absent": "why"}, np.random.default_rng(0)) == {}


def test_same_seed_same_cell():
    cell = next(c for c in cells_of(INSIDE, "dev") if c["check"] == "truth")
    two = [measure(json.loads(json.dumps(cell)), np.random.default_rng(1)) for _ in range(2)]
    assert two[0] == two[1]
    assert two[0]["versions"]["python"] == sys.version.split()[0]
