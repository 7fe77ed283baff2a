"""Networks of few inputs for the tests of regions and output laws."""

import torch
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import mlp


class Folded(nn.Module):
    """|x|, entry by entry."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.abs(x)


class Residual(nn.Module):
    """x + |layer(x)|, twice."""

    def __init__(self, seed: int, d: int) -> None:
        super().__init__()
        self.first, self.second = mlp((d, d), seed=seed), mlp((d, d), seed=seed + 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.first(x).abs()
        return x + torch.relu(self.second(x))


def pooled(seed: int) -> nn.Sequential:
    """Two inputs, eight units, four windows of a max-pool, two outputs."""
    return nn.Sequential(
        *mlp((2, 8), seed=seed), nn.ReLU(), nn.Unflatten(1, (1, 2, 4)), nn.MaxPool2d(2), nn.Flatten(),
        *mlp((2, 2), seed=seed + 1),
    )  # fmt: skip


def through_the_origin(seed: int) -> nn.Sequential:
    """No biases: all regions are cones with their tip at 0."""
    network = mlp((2, 6, 6, 2), seed=seed)
    for layer in network:
        if isinstance(layer, nn.Linear):
            layer.bias.data.zero_()
    return network


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    """A layer with the given weights, in float64."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None).double()
    layer.weight.data.copy_(torch.tensor(weight, dtype=torch.float64))
    if bias is not None:
        layer.bias.data.copy_(torch.tensor(bias, dtype=torch.float64))
    return layer


def drawn(*shape: int, seed: int = 0):
    """Standard normal numbers from a named stream."""
    return stream(seed, "planar networks", *shape).standard_normal(shape)
