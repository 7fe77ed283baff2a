"""BYOL's state: copies, the moving target, buffers, and what is trained."""

import copy
import pickle
from typing import Any

import pytest
import torch
from objective_twins import EPS
from torch import nn

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.networks.encoders import mlp
from itssl.objectives import BYOL, byol_logdet_terms, byol_pairdist_terms, byol_terms


def encoder(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(mlp((4, 5, 3), seed=seed), nn.BatchNorm1d(3, dtype=torch.float64))


def predictor() -> nn.Module:
    return mlp((3, 4, 3), seed=1)


def batches() -> tuple[torch.Tensor, torch.Tensor]:
    x = stream(0, "batch").normal(size=(2, 10, 4))
    return torch.tensor(x[0]), torch.tensor(x[1])


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99, 1.0])
def test_target_is_the_moving_average_of_the_weights(decay):
    online = encoder()
    state = BYOL(predictor(), decay=decay).start(online)
    expected = [p.detach().clone() for p in online.parameters()]
    for step in range(3):
        with torch.no_grad():
            for p in online.parameters():
                p.add_(0.1 * (step + 1))
            online(batches()[0])  # moves the running means
        state.after_step(online)
        expected = [decay * t + (1 - decay) * p.detach() for t, p in zip(expected, online.parameters(), strict=True)]
        for mine, twin in zip(state.target.parameters(), expected, strict=True):
            torch.testing.assert_close(mine.detach(), twin, rtol=8 * EPS, atol=8 * EPS)
        for mine, its in zip(state.target.buffers(), online.buffers(), strict=True):
            assert torch.equal(mine, its)


def test_only_the_copied_predictor_is_trained():
    online, given = encoder(), predictor()
    state = BYOL(given).start(online)
    trained = {name for name, p in state.named_parameters() if p.requires_grad}
    assert trained == {f"predictor.{name}" for name, _ in given.named_parameters()}
    assert all(p.requires_grad for p in online.parameters())
    loss, metrics = state.loss(online, *batches())
    loss.backward()
    assert metrics == {"prediction": loss.item()}
    assert all(p.grad is None for p in given.parameters())
    assert all(p.grad is None for p in state.target.parameters())
    assert all(p.grad is not None for p in [*online.parameters(), *state.predictor.parameters()])


def test_loss_is_that_of_the_function_with_its_options_and_weights():
    online = encoder()
    cases: list[tuple[Any, dict[str, Any], Any]] = [
        (byol_terms, {}, None),
        (byol_logdet_terms, {"beta": 2.0}, (1.0, 0.3)),
        (byol_pairdist_terms, {"noise_var": 0.5, "kernel": "kl"}, {"entropy": 0.1}),
    ]
    for function, options, weights in cases:
        state = BYOL(predictor(), function=function, options=options, weights=weights).start(online)
        with torch.no_grad():
            for p in state.target.parameters():
                p.mul_(1.1)
        view_a, view_b = batches()
        loss, metrics = state.loss(online, view_a, view_b)
        twin = function(
            online(view_a), online(view_b), target_a=state.target(view_a), target_b=state.target(view_b),
            predictor=state.predictor, **options,
        )  # fmt: skip
        assert loss.item() == pytest.approx(twin.total(weights).item(), rel=1e3 * EPS)
        assert metrics == pytest.approx(twin.metrics, rel=1e3 * EPS)


def test_predictor_takes_the_kind_of_the_encoder():
    state = BYOL(nn.Linear(3, 3)).start(encoder().float())
    assert state.predictor.weight.dtype == torch.float32
    assert BYOL(nn.Linear(3, 3)).start(encoder()).predictor.weight.dtype == torch.float64


def test_configuration_is_frozen_and_travels():
    config = BYOL(predictor(), decay=0.9, function=byol_logdet_terms, options={"beta": 2.0}, weights=(1.0, 0.5))
    assert repr(config) == "BYOL(byol_logdet_terms, beta=2.0, decay=0.9, weights=(1.0, 0.5))"
    for twin in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):
        assert repr(twin) == repr(config)
        loss = twin.start(encoder()).loss(encoder(), *batches())[0]
        assert loss.item() == config.start(encoder()).loss(encoder(), *batches())[0].item()
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match=r"decay: expected a number from 0 to 1, got .*; e.g. 0.99"):
            BYOL(predictor(), decay=decay)
