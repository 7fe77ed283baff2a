"""Smooth layers: log-determinants against whole Jacobians, injectivity, refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from truth_twins import forward, inverse, log_volume_by_autograd

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.networks.encoders import NetworkError, embed, mlp
from itssl.networks.invertible_layers import Coupling, Fold, Radial, log_volume_change

EPS = np.finfo(float).eps


def network(kind, d, seed):
    def inner(m, k, i):
        layers = [mlp((m, 5), seed=seed + i), nn.Tanh(), mlp((5, k), seed=seed + i + 1)]
        return nn.Sequential(layers[0][0], layers[1], layers[2][0])  # pyright: ignore[reportIndexIssue]

    if kind == "radial":
        return nn.Sequential(Radial(0.7), Radial(-0.3))
    parts = ((1, False), (d - 1, True), (d // 2, False))
    return nn.Sequential(
        *(
            Coupling(inner(m, d - m, i), inner(m, d - m, i + 10) if kind == "affine" else None, kept=m, flipped=flip)
            for i, (m, flip) in enumerate(parts)
        )
    )


@settings(deadline=None, max_examples=30)
@given(kind=st.sampled_from(["radial", "affine", "additive"]), d=st.integers(2, 5), seed=st.integers(0, 2**31))
def test_log_volume_is_that_of_the_whole_jacobian(kind, d, seed):
    net, x = network(kind, d, seed), stream(seed, "points").normal(size=(20, d)) * 2
    slow = log_volume_by_autograd(net, x)
    np.testing.assert_allclose(log_volume_change(net, x), slow, atol=1e4 * EPS * (1 + np.abs(slow).max()))


@settings(deadline=None, max_examples=20)
@given(kind=st.sampled_from(["affine", "additive"]), d=st.integers(2, 5), seed=st.integers(0, 2**31))
def test_couplings_are_inverted_in_closed_form(kind, d, seed):
    net, x = network(kind, d, seed).requires_grad_(False), stream(seed, "points").normal(size=(20, d))
    z = embed(net, x)
    np.testing.assert_allclose(forward(net, x), z, atol=1e4 * EPS * (1 + np.abs(z).max()))
    np.testing.assert_allclose(inverse(net, z), x, atol=1e6 * EPS * (1 + np.abs(z).max()))


@pytest.mark.parametrize("power", [-0.49, -0.2, 0.0, 1.0])
def test_radial_maps_grow_along_every_ray(power):
    r = np.linspace(0, 50, 1001)
    z = embed(nn.Sequential(Radial(power)), np.outer(r, [0.6, 0.8]))
    assert (np.diff(np.linalg.norm(z, axis=1)) > 0).all()
    np.testing.assert_allclose(z[1:] / np.linalg.norm(z[1:], axis=1, keepdims=True), [[0.6, 0.8]] * 1000, rtol=8 * EPS)


def test_radial_at_zero_and_far_out():
    """At 0 it is the identity; far out log|det J| → 2 d p log r + log(1 + 2p)."""
    assert log_volume_change(nn.Sequential(Radial(0.5)), np.zeros((1, 3))) == 0
    far = log_volume_change(nn.Sequential(Radial(0.5)), np.array([[1e8, 0.0, 0.0]]))[0]
    assert far == pytest.approx(3 * np.log(1e8) + np.log(2), rel=1e-14)


def test_folds_collide():
    x = stream(0, "folds").normal(size=(10, 3))
    np.testing.assert_array_equal(embed(nn.Sequential(Fold()), x), embed(nn.Sequential(Fold()), -x))
    assert torch.equal(Fold()(torch.tensor([[-2.0]])), torch.tensor([[2.0]]))


def test_the_network_is_left_as_it_is():
    net = network("affine", 2, 0).train().float()
    log_volume_change(net, [[0.0, 1.0]])
    assert all(module.training for module in net.modules())
    assert all(p.dtype == torch.float32 and p.requires_grad and p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("ask", "error", "part"),
    [
        (lambda: Radial(-0.5), ParameterError, "power: expected a finite number > -0.5, got -0.5"),
        (lambda: Radial(np.inf), ParameterError, "power"),
        (lambda: Coupling(nn.Identity(), kept=0), ParameterError, "kept: expected an integer >= 1"),
        (lambda: Coupling(nn.Identity(), kept=2)(torch.ones(1, 2)), NetworkError, "more than kept = 2 coordinates"),
        (lambda: log_volume_change(nn.Sequential(nn.Tanh()), [[0.0]]), NetworkError, r"layer 0 \(Tanh\)"),
        (lambda: log_volume_change(nn.Sequential(Radial(1.0)), [[np.nan]]), SampleError, "x"),
    ],
)
def test_refusals(ask, error, part):
    with pytest.raises(error, match=part):
        ask()
