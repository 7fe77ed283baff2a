"""The catalogue: every objective that train can minimize is in it, and each entry trains."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import itssl
from itssl.networks.encoders import mlp
from itssl.networks.training import train
from itssl.objectives.catalogue import objectives
from itssl.objectives.target_network import BYOL
from itssl.objectives.terms import Objective

D = 4
NAMES = list(objectives(nn.Identity(), d=D))


def noisy(x, generator):
    return tuple(x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(2))


def test_no_objective_is_missing():
    named = {name: getattr(itssl.objectives, name) for name in dir(itssl.objectives) if name.endswith("_terms")}
    there = {name for name, value in named.items() if not inspect.ismodule(value)}
    listed = {entry.function.__name__ for entry in objectives(nn.Identity(), d=D).values()}
    assert listed == there


@pytest.mark.parametrize("name", NAMES)
def test_each_trains_and_lowers_its_loss(name):
    rng = itssl.stream(0, "catalogue")
    data = rng.normal(size=(64, 3)) @ rng.normal(size=(3, 6))
    chosen = objectives(mlp((D, 8, D), seed=2), d=D)[name]
    run = train(
        mlp((6, 16, D), seed=0), chosen, data, noisy, seed=0, epochs=40, batch_size=32, learning_rate=3e-3,
        progress=False,
    )  # fmt: skip
    loss = run.metrics["loss"]
    assert loss[-10:].mean() < loss[:10].mean()
    assert np.isfinite(loss).all()


def test_settings_reach_the_objectives():
    made = objectives(
        nn.Identity(), d=D, normalization="solo", temperature=0.3, noise_var=0.5, residual_var=0.7, entropy_weight=3.0,
        decay=0.5,
    )  # fmt: skip
    z_a, z_b = (torch.randn(16, D, generator=torch.Generator().manual_seed(i)) for i in range(2))
    plain = {name: entry for name, entry in made.items() if isinstance(entry, Objective)}
    settings = {name: entry.terms(z_a, z_b).settings for name, entry in plain.items()}
    assert settings["VICReg"]["normalization"] == "solo"
    assert settings["SimCLR"]["temperature"] == 0.3
    assert settings["CorInfoMax"]["eps"] == 0.5
    assert settings["invariance + LogDet"]["residual_var"] == 0.7
    chosen = plain["VICReg + LogDet"]
    without = float(chosen.terms(z_a, z_b).total({"entropy": 0.0}))
    loss, metrics = chosen(z_a, z_b)
    assert float(loss) == pytest.approx(without + 3 * metrics["entropy"], rel=1e-5)
    byol = made["BYOL + LogDet"]
    assert isinstance(byol, BYOL)
    assert (byol.decay, byol.options["beta"], byol.weights) == (0.5, 2.0, {"entropy": 3.0})
