"""Encoders: seeded without touching global state, and a faithful way from numpy through them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from itssl.arrays import SampleError, stream
from itssl.networks.encoders import (
    NetworkError,
    as_double,
    cnn,
    embed,
    evaluating,
    mlp,
    torch_generator,
    with_projector,
)

BUILDERS = {"mlp": lambda **options: mlp((64, 9, 5), **options), "cnn": lambda **options: cnn(out=5, **options)}


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_the_seed_alone_names_the_weights(build):
    torch.manual_seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    first = build(seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_before)  # noqa: NPY002
    torch.manual_seed(2)
    assert torch.equal(weights(first), weights(build(seed=3)))
    assert not torch.equal(weights(first), weights(build(seed=4)))
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_float32_network_is_the_rounded_float64_network(build):
    assert torch.equal(weights(build(seed=0)).float().double(), weights(build(seed=0, dtype=torch.float32)))


def test_weights_follow_the_law_of_the_docstring():
    slope, m, width = 0.5, 400, 300
    network = mlp((m, width, 200), seed=0, slope=slope)
    for name, fan_in, variance in (("0", m, 2 / ((1 + slope**2) * m)), ("2", width, 1 / width)):
        w, b = (network.get_parameter(f"{name}.{which}").detach() for which in ("weight", "bias"))
        bound = math.sqrt(3 * variance)
        assert w.abs().max() <= bound
        # The square of a uniform draw has mean v and variance 4v²/5; 5 standard errors of its average.
        assert abs(w.square().mean() - variance) < 5 * variance * math.sqrt(0.8 / w.numel())
        assert 0.9 < b.abs().max() * math.sqrt(fan_in) <= 1


def test_kinds_of_layers():
    kinds = [type(layer) for layer in mlp((3, 4, 5, 2), seed=0, slope=0.1)]
    assert kinds == [nn.Linear, nn.LeakyReLU, nn.Linear, nn.LeakyReLU, nn.Linear]
    kinds = [type(layer) for layer in cnn((2,), seed=0)]
    assert kinds == [nn.Unflatten, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear]


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_embed_is_the_network_row_by_row(build, dtype):
    network, x = build(seed=0, dtype=dtype), stream(0, "x").standard_normal((11, 64))
    x.flags.writeable = False
    z = embed(network, x, batch_size=4)
    assert z.dtype == np.float64
    with torch.no_grad():
        direct = network(torch.tensor(x, dtype=dtype)).double().numpy()
    # Sums of at most 64 products a layer, in any order: |error| <= 3 layers * 64 eps * (size of the terms ~ 10).
    np.testing.assert_allclose(z, direct, rtol=0, atol=3 * 64 * torch.finfo(dtype).eps * 10)


def test_embed_restores_every_mode_and_leaves_no_trace():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5).eval(), nn.Linear(3, 1)).double()
    modes, state = [m.training for m in network.modules()], {k: v.clone() for k, v in network.state_dict().items()}
    first, second = embed(network, np.ones((4, 2))), embed(network, np.ones((1, 2)))
    assert first[0] == second[0], "neither dropout nor batch statistics may act"
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(RuntimeError):
        embed(network, np.ones((4, 7)))
    assert [m.training for m in network.modules()] == modes


def test_evaluating_restores_after_an_error():
    network = nn.Dropout()
    with pytest.raises(KeyError), evaluating(network):
        raise KeyError
    assert network.training


def test_as_double_is_independent():
    network = mlp((2, 3), seed=0, dtype=torch.float32)
    double = as_double(network)
    assert torch.equal(weights(double), weights(network))
    next(double.parameters()).data.zero_()
    assert next(network.parameters()).dtype == torch.float32
    assert weights(network).count_nonzero() == 9
    assert network.training
    assert not double.training


def test_with_projector_composes_and_shares():
    encoder, projector = mlp((4, 3), seed=0), mlp((3, 2), seed=1)
    x = stream(0, "x").standard_normal((5, 4))
    joint = with_projector(encoder, projector)
    np.testing.assert_array_equal(embed(joint, x), embed(projector, embed(encoder, x)))
    assert joint.get_submodule("encoder") is encoder


def test_torch_generator_is_named_by_seed_and_path():
    draws = {name: torch.rand(3, generator=torch_generator(*name)).tolist() for name in [(0, "a"), (0, "b"), (1, "a")]}
    assert len({tuple(draw) for draw in draws.values()}) == 3
    assert torch.rand(3, generator=torch_generator(0, "a")).tolist() == draws[0, "a"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mlp((3,), seed=0), r"widths: expected at least two positive integers, got \(3,\)"),
        (lambda: mlp((3, 0), seed=0), "widths: expected at least two positive"),
        (lambda: mlp((3, 2), seed=0, slope=-1.0), "slope: expected a number >= 0, got -1.0"),
        (lambda: cnn((), seed=0), "channels, image and out"),
        (lambda: cnn((2, 2, 2, 2), seed=0), "image: expected at least 16x16 pixels for 4 blocks, got 8x8"),
        (lambda: embed(nn.Unflatten(1, (1, 2)), np.zeros((3, 2))), r"expected an output of shape \(3, K\), got \(3, 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_cure(build, message):
    with pytest.raises(NetworkError, match=message):
        build()


def test_bad_samples_and_seeds_are_refused():
    with pytest.raises(SampleError, match="x: expected finite"):
        embed(mlp((2, 1), seed=0), [[0.0, math.nan]])
    with pytest.raises(SampleError, match="seed"):
        mlp((2, 1), seed=-1)
