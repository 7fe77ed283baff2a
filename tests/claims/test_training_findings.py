"""C34 and C48 report what they say, on runs of one epoch."""

from dataclasses import replace

import numpy as np
import pytest

import itssl
from itssl.claims import entropy_during_training as c34
from itssl.claims import paper_objectives as c48
from itssl.claims import worlds
from itssl.evaluation.probe_runs import probe_run
from itssl.networks.encoders import embed
from itssl.networks.recipes import recipe


def test_c48_compares_two_runs_of_one_seed():
    world = c48.Comparison(method="VICReg + LogDet", base="VICReg", epochs=1)
    sides = itssl.claims()["C48"](world, itssl.stream(0, "c48"))
    seed = int(itssl.stream(0, "c48").integers(2**31))
    short = replace(recipe("digits"), epochs=1)
    base, method = (probe_run(short, name, seed) for name in (world.base, world.method))
    assert (sides.left, sides.right) == (100 * base["10-shot"], 100 * method["10-shot"])
    assert sides.measured["kNN, VICReg + LogDet"] == method["kNN"]


@pytest.fixture
def one_epoch(monkeypatch):
    monkeypatch.setattr(worlds, "EPOCHS", 1)
    c34._trained.cache_clear()
    yield
    c34._trained.cache_clear()


@pytest.mark.parametrize("objective", ["VICReg", "BYOL"])
def test_c34_compares_the_ends_of_a_run(objective, one_epoch):
    sides = itssl.claims()["C34"](c34.DigitsTraining(objective=objective), itssl.stream(0, "c34"))
    seed = int(itssl.stream(0, "c34").integers(2**31))
    ends = (worlds.untrained_digits_encoder(seed), worlds.train_on_digits(objective, seed).encoder)
    for network, side in zip(ends, (sides.left, sides.right), strict=True):
        z = embed(network, worlds.digits_data().test_x)
        if objective != "VICReg":
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
        raw = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(z.T))[1]
        assert side[0] == pytest.approx(raw, rel=1e-9)
        shift = 0.5 * z.shape[1] * np.log(z.var(axis=0, ddof=1).mean())
        assert side[1] == pytest.approx(raw - shift, rel=1e-9)
        assert side[2] < 0.5 * z.shape[1] * np.log(2 * np.pi * np.e)  # less the negentropy
