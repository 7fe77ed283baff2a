"""Injectivity: each answer is checked by evaluating the network, and fails where its reason is taken away."""

import numpy as np
import pytest
import torch
from planar_networks import Folded, Residual, linear
from torch import nn

from itssl.arrays import SampleError, stream
from itssl.networks.encoders import NetworkError, as_double, embed, mlp
from itssl.networks.injectivity import Injectivity, injectivity


def collides(network: nn.Module, pair: np.ndarray) -> bool:
    """Far apart before, equal after up to the rounding of values as large as these."""
    z = embed(as_double(network), pair)
    size = max(1.0, np.abs(pair).max(), np.abs(z).max())
    return bool(np.abs(z[0] - z[1]).max() <= 1e-12 * size and np.abs(pair[0] - pair[1]).max() > 1e-7)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("widths", [(2, 2, 2), (3, 3, 5, 8), (6, 6, 6, 6), (4, 9)])
def test_leaky_networks_that_never_narrow_are_injective(widths, seed):
    found = injectivity(mlp(widths, seed=seed, slope=0.1))
    assert found.injective is True
    assert found.pair is None
    assert found.reason == "every layer is injective"


FOLDING = {
    "fewer outputs": (3, lambda seed: mlp((3, 5, 2), seed=seed, slope=0.1)),
    "dead units": (2, lambda seed: mlp((2, 4, 2), seed=seed)),
    "fold": (3, lambda seed: Folded()),
    "fold behind a rotation": (4, lambda seed: nn.Sequential(*mlp((4, 4), seed=seed), Folded(), *mlp((4, 4), seed=9))),
    "equal columns": (2, lambda seed: nn.Sequential(linear([[1.0, 1.0], [2.0, 2.0], [0.5, 0.5]]), nn.LeakyReLU())),
    "bottleneck": (4, lambda seed: mlp((4, 2, 4), seed=seed, slope=0.1)),
    "leaky with a negative slope": (2, lambda seed: nn.Sequential(linear(np.eye(2).tolist()), nn.LeakyReLU(-0.5))),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FOLDING)
def test_a_pair_with_one_output_is_found(name, seed):
    d, make = FOLDING[name]
    network = make(seed)
    found = injectivity(network, stream(seed, "points").standard_normal((64, d)))
    assert found.injective is False
    assert found.pair is not None
    assert collides(network, found.pair)


def opposite_pairs(gap: float, seed: int = 0) -> nn.Sequential:
    """ReLU units w, −cw for each row w of a basis; each pair leaves a gap of this length, or overlaps if negative."""
    rng = stream(seed, "pairs")
    basis, factor, bias = rng.standard_normal((3, 3)), rng.uniform(0.5, 2, 3), rng.standard_normal(3)
    norm = np.linalg.norm(basis, axis=1)
    weight = np.concatenate([basis, -factor[:, None] * basis])
    return nn.Sequential(
        linear(weight.tolist(), np.concatenate([bias, -factor * (bias + gap * norm)]).tolist()), nn.ReLU(),
        linear(np.linalg.qr(rng.standard_normal((7, 6)))[0].tolist()),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_relu_layers_of_opposite_units_are_injective_without_a_gap(seed):
    network = opposite_pairs(-0.3, seed)
    assert injectivity(network).injective is True
    # a second opinion: distances of many pairs of points never vanish
    x = stream(seed, "x").standard_normal((200, 3))
    z = embed(network, x)
    shrunk = [np.linalg.norm(z[i] - z[i + 1 :], axis=1) / np.linalg.norm(x[i] - x[i + 1 :], axis=1) for i in range(199)]
    assert np.concatenate(shrunk).min() > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_a_gap_between_opposite_units_is_no_certificate_and_a_collision(seed):
    network = opposite_pairs(+0.8, seed)
    found = injectivity(network, 2 * stream(seed, "x").standard_normal((500, 3)))
    assert found.injective is False
    assert found.pair is not None
    assert collides(network, found.pair)


@pytest.mark.parametrize("gap", [1e-6, 0.02])
def test_a_small_gap_is_no_certificate(gap):
    assert injectivity(opposite_pairs(gap)).injective is not True


def test_units_that_do_not_span_the_space_are_no_certificate():
    network = nn.Sequential(linear([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [0.5, 0.5, 9.0]), nn.ReLU())
    found = injectivity(network)
    assert found.injective is not True


@pytest.mark.parametrize(
    ("layer", "injective"),
    [
        (nn.LeakyReLU(0.1), True), (nn.LeakyReLU(-0.1), False), (nn.LeakyReLU(0.0), False), (nn.PReLU(2), True),
        (nn.ReLU(), False), (nn.Flatten(), True), (nn.Identity(), True), (nn.Dropout().eval(), True),
    ],
)  # fmt: skip
def test_layers_before_and_behind_a_linear_one(layer, injective):
    network = mlp((2, 2), seed=0)
    for order in ((layer, *network), (*network, layer)):
        assert (injectivity(nn.Sequential(*order), dim=2).injective is True) == injective


def test_rows_that_are_nearly_opposite_are_no_certificate():
    """They open a gap far away: at distance 1e8, where the angle of 1e-8 is worth the overlap."""
    network = nn.Sequential(
        linear([[1.0, 0.0], [-1.0, 1e-8], [0.0, 1.0], [0.0, -1.0]], [0.5, 0.5, 0.5, 0.5]), nn.ReLU()
    )
    assert injectivity(network).injective is not True


def test_a_flat_map_is_no_fold():
    """Outputs that differ by 3e-13 differ by more than rounding: no pair may be called a collision."""
    network = nn.Sequential(linear([[1.0, 0.0], [0.0, 3e-13]]), Doubled())
    assert injectivity(network, np.ones((1, 2))).injective is None


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x


@pytest.mark.parametrize("seed", range(3))
def test_what_is_neither_is_unknown(seed):
    """ReLU into many more dimensions: injective or not, nothing here can tell; so can't it for other architectures."""
    wide = injectivity(mlp((2, 40, 40), seed=seed))
    assert wide.injective is None
    assert wide.pair is None
    assert "no collision found at 64 points" in wide.reason
    assert injectivity(Residual(0, 2), dim=2).injective is not True, "no certificate goes beyond chains of layers"


def test_it_has_no_truth_value_and_says_so():
    with pytest.raises(TypeError, match="unknown"):
        bool(Injectivity(injective=None, reason=""))


def test_bad_input_is_refused():
    with pytest.raises(
        ValueError, match=r"dim: expected the input dimension for a network that starts with ReLU; pass dim=D"
    ):
        injectivity(nn.ReLU())
    assert injectivity(nn.ReLU(), dim=2).injective is False
    with pytest.raises(SampleError, match="x"):
        injectivity(mlp((2, 2), seed=0), [[np.nan, 1.0]])
    with pytest.raises(NetworkError, match="Tanh"):
        injectivity(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))


def test_the_network_is_left_as_it_was():
    network = mlp((2, 4, 2), seed=0, dtype=torch.float32).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    injectivity(network)
    assert network.training
    assert all(p.dtype == torch.float32 and p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
