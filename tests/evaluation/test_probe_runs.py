"""Probe runs: brackets, pairing over seeds, and what a run reports."""

from dataclasses import replace

import pytest

from itssl.choices import UnknownNameError
from itssl.evaluation.probe_runs import methods, probe_run, supervised_run
from itssl.evaluation.probes import few_shot_probe
from itssl.networks.encoders import embed
from itssl.networks.recipes import recipe

SHORT = replace(recipe("digits"), epochs=2)


def test_a_short_run_is_probed_on_the_representation():
    found = probe_run(SHORT, "VICReg + LogDet", 3, entropy_weight=0.5)
    assert {"linear", "10-shot", "kNN", "effective rank", "RankMe", "loss, first", "loss, last", "seconds"} == set(
        found
    )
    from torch import nn

    from itssl.objectives.catalogue import objectives

    chosen = objectives(SHORT.predictor(3), d=SHORT.d, entropy_weight=0.5)["VICReg + LogDet"]
    encoder, data = SHORT.train(chosen, 3).encoder.get_submodule("encoder"), SHORT.data()
    assert isinstance(encoder, nn.Module)
    again = few_shot_probe(
        embed(encoder, data.train_x), data.train_y, embed(encoder, data.test_x), data.test_y, shots=10, draws=5, seed=3
    )
    assert found["10-shot"] == again
    assert probe_run(SHORT, "VICReg + LogDet", 3, entropy_weight=5.0)["loss, last"] != found["loss, last"]


def test_brackets():
    pixels, random = (probe_run(SHORT, name, 0) for name in ("pixels", "random"))
    assert 0.8 < random["10-shot"] < pixels["10-shot"] < 0.95
    assert "loss, first" not in random
    run = supervised_run(SHORT, 0)
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]


def test_unknown_methods_are_refused():
    assert methods()[0] == "VICReg"
    with pytest.raises(UnknownNameError, match="did you mean 'VICReg'"):
        probe_run(SHORT, "VICreg", 0)
