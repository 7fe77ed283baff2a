"""Every experiment runs in its quick form, and its committed findings are those of a full run with its figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted(path.parent for path in (ROOT / "experiments").glob("*/run.py"))


def run(folder, out, *options):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{folder.name}.run", "--quick", "--out", str(out), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


LONG = {
    "output_law", "network_truth", "mutants", "stability", "correspondence", "entropy_during_training", "benchmarks",
    "staircase", "probe_table", "coverage", "decision_rule", "region_speed", "generalization", "which_estimator",
    "peer_conformance", "conformance_stability",
    "saxe_information_plane", "song_ermon_consistency", "logdet_gaussian", "kraskov_gaussian",
    "linear_gaussian", "gao_uniform_noise", "gao_mixtures", "kolchinsky_tracey", "beyond_normal",
    "berrett_samworth_yuan", "objective_speed",
}  # fmt: skip
"""Seconds each, even so."""


OPTIONS = {"benchmarks": ["--no-peers"]}
"""Tests install nothing."""


@pytest.mark.parametrize(
    "folder",
    [pytest.param(p, marks=pytest.mark.slow) if p.name in LONG else p for p in EXPERIMENTS],
    ids=lambda p: p.name,
)
def test_quick_run(folder, tmp_path):
    done = run(folder, tmp_path, *OPTIONS.get(folder.name, []))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "findings.json").read_text())
    assert written["quick"] is True
    assert written["rows"]
    assert written["findings"]
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("folder", EXPERIMENTS, ids=lambda p: p.name)
def test_findings_are_committed(folder):
    assert (folder / "README.md").exists()
    assert (folder / "figure.png").exists()
    findings = json.loads((folder / "findings.json").read_text())
    assert findings["quick"] is False
    assert findings["experiment"] == folder.name


def test_there_are_experiments():
    assert {"coverage", "staircase", "gao_uniform_noise", "goldfeld_neuron", "which_estimator"} <= {
        p.name for p in EXPERIMENTS
    }
