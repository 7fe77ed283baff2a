"""First-order maps: the map against closed forms and local maps, the remainder against its expectation."""

import numpy as np
import pytest
import torch
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import NetworkError, cnn, embed, mlp
from itssl.networks.first_order import first_order_map
from itssl.networks.regions import local_affine


class Square(nn.Module):
    """x ↦ x², where everything about the remainder is known."""

    def forward(self, x):
        return x**2


def smooth(seed: int) -> nn.Module:
    layers = mlp((4, 7, 3), seed=seed)
    return nn.Sequential(layers[0], nn.GELU(), nn.LayerNorm(7).double(), layers[2], nn.Tanh())


def test_the_matrix_is_the_jacobian_by_differences():
    network, x = smooth(0), stream(0, "x").standard_normal((300, 4))
    found = first_order_map(network, x).map
    step = np.finfo(float).eps ** (1 / 3)
    for axis in range(4):
        e = step * np.eye(4)[axis]
        twin = (embed(network, x + e) - embed(network, x - e)) / (2 * step)
        np.testing.assert_allclose(found.matrix[:, :, axis], twin, rtol=0, atol=1e3 * step**2)
    np.testing.assert_allclose(found(x), embed(network, x), rtol=0, atol=1e3 * np.finfo(float).eps)


@pytest.mark.parametrize("network", [mlp((5, 8, 3), seed=0), cnn((2,), image=(1, 4, 4), out=3, seed=0)])
def test_of_piecewise_affine_networks_it_is_the_local_map(network):
    d = 5 if isinstance(network[0], nn.Linear) else 16
    x = stream(0, "x").standard_normal((20, d))
    found, twin = first_order_map(network, x).map, local_affine(network, x)
    np.testing.assert_allclose(found.matrix, twin.matrix, rtol=0, atol=1e3 * np.finfo(float).eps)
    np.testing.assert_allclose(found.offset, twin.offset, rtol=0, atol=1e3 * np.finfo(float).eps)


def test_the_remainder_of_a_square_is_known():
    """f(X) − AX − b = s²ξ² in each coordinate, E = 3s⁴; tr AΣAᵀ = Σ 4x²s². The draws at a point are independent."""
    x, var = np.array([[1.0, -2.0], [0.5, 0.25]]), 0.3
    exact = 3 * var**2 * 2 / (4 * var * np.square(x).sum(axis=1))
    found = first_order_map(Square(), x, cov=var, draws=4000)
    assert found.remainder is not None
    assert found.standard_error is not None
    score = (found.remainder - exact) / found.standard_error
    assert np.abs(score).max() < 4.5
    # Var(ξ⁴) = 96, so that the stated error is known too; its own spread is about 10 % at 4000 draws
    known = np.sqrt(96 * 2 / 4000) * var**2 / (4 * var * np.square(x).sum(axis=1))
    np.testing.assert_allclose(found.standard_error, known, rtol=0.5)


def test_the_remainder_is_of_the_order_of_the_covariance():
    network, x = smooth(1), stream(1, "x").standard_normal((10, 4))
    fine, coarse = (first_order_map(network, x, cov=var).remainder for var in (1e-10, 1e-8))
    assert fine is not None
    assert coarse is not None
    np.testing.assert_allclose(coarse / fine, 100, rtol=0.01)  # the same draws; higher orders add 1e-4 of it


def test_covariances_are_those_of_each_point_and_draws_are_named_by_the_seed():
    network, x = smooth(2), stream(2, "x").standard_normal((3, 4))
    root = stream(2, "root").standard_normal((3, 4, 4))
    covs = 0.01 * root @ np.swapaxes(root, 1, 2)
    together = first_order_map(network, x, cov=covs)
    first = first_order_map(network, x[:1], cov=covs[0])
    assert together.remainder is not None
    assert first.remainder is not None
    assert together.remainder[0] == pytest.approx(first.remainder[0], rel=1e-9)
    other = first_order_map(network, x[:1], cov=covs[0], seed=1)
    assert other.remainder is not None
    assert other.remainder[0] != first.remainder[0]


def test_no_remainder_and_an_infinite_one():
    affine = first_order_map(nn.Linear(2, 1).double(), np.ones((1, 2)), cov=1.0)
    assert affine.remainder is not None
    assert affine.remainder[0] < 1e-25
    flat = first_order_map(Square(), np.zeros((1, 2)), cov=1.0)
    assert flat.remainder is not None
    assert np.isinf(flat.remainder[0])
    still = first_order_map(Square(), np.zeros((1, 2)), cov=0.0)
    assert still.remainder is not None
    assert still.remainder[0] == 0


def test_it_says_what_it_is():
    measured = first_order_map(Square(), np.ones((3, 2)), cov=0.01)
    text = "first-order approximation of a map from R^2 to R^2 at 3 points"
    assert repr(measured).startswith(f"FirstOrderMap({text}; relative remainder up to 0.0")
    assert "(256 draws a point)" in str(measured)
    assert measured._repr_html_().startswith(f"<p>{text}")
    assert str(first_order_map(Square(), np.ones((3, 2)))) == f"{text}; remainder not measured (pass cov)"


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"layer 1 \(BatchNorm1d\): expected evaluation mode"),
        (nn.Sequential(nn.Dropout(), nn.Tanh()), r"layer 0 \(Dropout\): expected evaluation mode"),
        (Called(lambda x: torch.nn.functional.dropout(x)), "outputs that change with the batch or from call to call"),
        (Called(lambda x: x - x.mean(0)), "outputs that change with the batch"),
        (nn.BatchNorm1d(2, track_running_stats=False).eval(), "running statistics, got track_running_stats=False"),
        (Called(lambda x: x.detach() * 1), "expected a forward pass that torch differentiates"),
        (Called(lambda x: x.sum()), r"expected real outputs of shape \(n, K\) .*got torch.float64 \(\)"),
        (Called(lambda x: x.float()), "got torch.float32"),
        (Called(lambda x: x + 1j), "got torch.complex128"),
        (Called(lambda x: (x, x)), "got tuple"),
        (nn.Linear(3, 2), "cannot take rows of 2 columns; pass rows x that fit"),
        (nn.Linear(2, 2).half(), "got torch.float16 in weight"),
        (nn.LazyLinear(2), "expected weights with values"),
    ],
)
def test_what_has_no_tangent_map_is_refused(network, message):
    with pytest.raises(NetworkError, match=message):
        first_order_map(network, np.ones((2, 2)) * [[1.0], [2.0]], cov=0.1)


def test_draws_and_covariances_are_checked():
    with pytest.raises(ValueError, match="draws: expected an integer >= 2, got 1; a standard error needs two"):
        first_order_map(Square(), np.ones((1, 2)), cov=1.0, draws=1)
    with pytest.raises(ValueError, match="cov: expected a variance"):
        first_order_map(Square(), np.ones((1, 2)), cov=np.ones(3))
