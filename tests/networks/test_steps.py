"""Every step in the tables: its map, its tangents and its faces, against the network itself and autograd."""

import operator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from itssl.arrays import stream
from itssl.networks import steps
from itssl.networks.encoders import NetworkError, as_double, embed
from itssl.networks.graph import piecewise_affine, propagate
from itssl.networks.regions import activation_pattern, face_distances, face_functionals, local_affine

EPS = float(np.finfo(np.float64).eps)
D = 6


class Around(nn.Module):
    """A body between a linear layer that makes its input of shape (n, *shape) from D numbers, and flat outputs."""

    def __init__(self, shape, body):
        super().__init__()
        self.shape, self.body = shape, body
        self.first = nn.Linear(D, int(np.prod(shape)))
        self.slopes = nn.Parameter(torch.tensor([0.3, -0.2, 0.1]))
        self.matrix = nn.Parameter(torch.linspace(-1, 1, 12).reshape(4, 3))
        self.register_buffer("scale", torch.tensor([1.5, -2.0, 0.5, 3.0]))

    def forward(self, x):
        h = self.first(x)
        if len(self.shape) > 1:
            h = h.unflatten(1, self.shape)
        z = self.body(h) if isinstance(self.body, nn.Module) else self.body(h, self)
        return z.flatten(1)


def around(shape, body) -> nn.Module:
    network = Around(shape, body).double().eval()
    rng = stream(0, "around", *shape)
    for name, tensor in network.state_dict().items():
        if name.startswith(("first", "body")) and tensor.is_floating_point():
            draw = 0.4 * rng.standard_normal(tensor.shape)
            tensor.copy_(torch.tensor(np.exp(draw) if "var" in name else draw))
    return network


class Mirrored(nn.Linear):
    """A subclass that leaves forward as it is."""


LAYERS = {
    nn.Linear: [((4,), Mirrored(4, 3)), ((2, 4), nn.Linear(4, 3, bias=False))],
    nn.Conv1d: [((2, 5), nn.Conv1d(2, 3, 2, stride=2, padding=1, dilation=2))],
    nn.Conv2d: [((2, 4, 3), nn.Conv2d(2, 4, (2, 3), groups=2, padding="same", padding_mode="reflect"))],
    nn.Conv3d: [((1, 2, 3, 2), nn.Conv3d(1, 2, 2, bias=False))],
    nn.AvgPool1d: [((2, 5), nn.AvgPool1d(2, padding=1, ceil_mode=True, count_include_pad=False))],
    nn.AvgPool2d: [((2, 4, 3), nn.AvgPool2d(2, stride=1, divisor_override=3))],
    nn.AdaptiveAvgPool1d: [((2, 5), nn.AdaptiveAvgPool1d(2))],
    nn.AdaptiveAvgPool2d: [((2, 4, 3), nn.AdaptiveAvgPool2d((None, 2)))],
    nn.BatchNorm1d: [((4,), nn.BatchNorm1d(4)), ((4, 2), nn.BatchNorm1d(4, affine=False))],
    nn.BatchNorm2d: [((2, 3, 2), nn.BatchNorm2d(2, eps=0.1))],
    nn.Flatten: [((2, 3), nn.Flatten()), ((2, 3, 2), nn.Flatten(-2, -1))],
    nn.Unflatten: [((6,), nn.Unflatten(-1, (2, 3)))],
    nn.Identity: [((4,), nn.Identity())],
    nn.Dropout: [((4,), nn.Dropout(0.7, inplace=True))],
    nn.ReLU: [((4,), nn.ReLU()), ((2, 3), nn.ReLU(inplace=True))],
    nn.LeakyReLU: [((4,), nn.LeakyReLU(s)) for s in (0.0, 0.3, -0.5, 1.0, 2.0)] + [((4,), nn.LeakyReLU(0.1, True))],
    nn.PReLU: [((4,), nn.PReLU()), ((4,), nn.PReLU(4)), ((3, 2, 2), nn.PReLU(3))],
    nn.MaxPool1d: [((2, 7), nn.MaxPool1d(3, stride=2, padding=1)), ((1, 6), nn.Sequential(nn.ReLU(), nn.MaxPool1d(2)))],
    nn.MaxPool2d: [
        ((2, 5, 4), nn.MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True)),
        ((1, 5, 5), nn.MaxPool2d(2, stride=1, dilation=(2, 3))),
        ((2, 4, 4), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(2))),
    ],
    nn.MaxPool3d: [((1, 2, 3, 4), nn.MaxPool3d((1, 2, 3), stride=1, padding=(0, 1, 1)))],
}  # fmt: skip


def augmented(function):
    def body(h, net):
        z = h * 2.0
        return function(z, net)

    return body


def iadd(z, net):
    z += net.scale
    return z


def isub(z, net):
    z -= net.first.bias
    return z


def imul(z, net):
    z *= net.scale
    return z


def itruediv(z, net):
    z /= net.scale
    return z


FUNCTIONS = {
    F.relu: [((4,), lambda h, net: F.relu(h)), ((2, 3), lambda h, net: F.relu(input=h, inplace=True))],
    torch.relu: [((4,), lambda h, net: torch.relu(h))],
    F.leaky_relu: [((4,), lambda h, net: F.leaky_relu(h, negative_slope=0.4) - F.leaky_relu(h, -1.0))],
    F.prelu: [((3, 2), lambda h, net: F.prelu(h, net.slopes))],
    torch.abs: [((4,), lambda h, net: torch.abs(h) + h)],
    operator.abs: [((4,), lambda h, net: operator.abs(h))],
    abs: [((4,), lambda h, net: abs(h))],
    F.max_pool1d: [((2, 6), lambda h, net: F.max_pool1d(h, 3, stride=1))],
    F.max_pool2d: [((2, 4, 3), lambda h, net: F.max_pool2d(torch.relu(h), 2, 1, padding=1, ceil_mode=True))],
    F.max_pool3d: [((1, 2, 2, 3), lambda h, net: F.max_pool3d(h, kernel_size=2))],
    operator.add: [((4,), lambda h, net: torch.relu(h + 1) + h), ((4,), lambda h, net: 1.0 + h + net.scale)],
    torch.add: [
        ((4,), lambda h, net: torch.add(torch.relu(h), other=h, alpha=2)),
        ((2, 3), lambda h, net: torch.add(h, torch.relu(h[:, :, :1]), alpha=-0.5)),  # one column for all
        ((4,), lambda h, net: torch.add(net.scale, h, alpha=3)),
    ],
    operator.sub: [((4,), lambda h, net: torch.relu(h) - h), ((4,), lambda h, net: net.scale - torch.relu(h))],
    torch.sub: [((4,), lambda h, net: torch.sub(h, torch.relu(h), alpha=3)), ((4,), lambda h, net: torch.sub(1, h))],
    operator.mul: [
        ((4,), lambda h, net: 2 * h * net.scale), ((2, 4), lambda h, net: torch.relu(h) * net.scale[None, None]),
    ],
    torch.mul: [((4,), lambda h, net: torch.mul(net.scale, torch.relu(h)))],
    operator.truediv: [((4,), lambda h, net: torch.relu(h) / net.scale / h.shape[1])],
    torch.div: [((2, 4), lambda h, net: torch.div(h, net.scale))],
    operator.neg: [((4,), lambda h, net: -torch.relu(-h))],
    torch.neg: [((4,), lambda h, net: torch.neg(h))],
    operator.matmul: [((4,), lambda h, net: h @ net.matrix), ((2, 3, 4), lambda h, net: torch.relu(h) @ net.matrix)],
    torch.matmul: [((4,), lambda h, net: torch.matmul(h, net.matrix))],
    F.linear: [
        ((3,), lambda h, net: F.linear(h, weight=net.matrix, bias=net.scale)),
        ((3,), lambda h, net: F.linear(h, net.matrix)),
    ],
    operator.getitem: [
        ((4,), lambda h, net: torch.relu(h[:, 1:]) + h[:, :-1]),
        ((3, 4), lambda h, net: h[:, 0, ::2] + h[:, -1, [0, 3]]),
        ((3, 4), lambda h, net: torch.relu(h[:, None, ..., 1])),
    ],
    operator.floordiv: [((6,), lambda h, net: torch.relu(h).view(h.shape[0], 2, h.shape[1] // 2).mean(1))],
    getattr: [((2, 3), lambda h, net: h.reshape(h.shape[0], -1))],
    torch.flatten: [((2, 3), lambda h, net: torch.flatten(h, start_dim=1))],
    torch.reshape: [((2, 3), lambda h, net: torch.relu(torch.reshape(h, (-1, 3, 2))).mean(dim=-1))],
    torch.mean: [
        ((2, 3), lambda h, net: torch.mean(torch.relu(h), dim=-1, keepdim=True) + h),
        ((2, 3), lambda h, net: torch.mean(h, 1)),
    ],
    torch.cat: [
        ((4,), lambda h, net: torch.cat([h, torch.relu(h), h[:, :1]], dim=1)),
        ((2, 3), lambda h, net: torch.cat((h, abs(h)), -2)),
    ],
    torch.concat: [((4,), lambda h, net: torch.concat([torch.relu(h), h], dim=-1))],
    F.avg_pool2d: [((2, 4, 3), lambda h, net: F.avg_pool2d(torch.relu(h), kernel_size=2))],
    F.adaptive_avg_pool2d: [((2, 4, 3), lambda h, net: F.adaptive_avg_pool2d(h, 1))],
    F.dropout: [((4,), lambda h, net: F.dropout(torch.relu(h), 0.5, training=net.training))],
    operator.iadd: [((4,), augmented(iadd))],
    operator.isub: [((4,), augmented(isub))],
    operator.imul: [((4,), augmented(imul))],
    operator.itruediv: [((4,), augmented(itruediv))],
}  # fmt: skip
METHODS = {
    "relu": [((4,), lambda h, net: h.relu())],
    "abs": [((2, 3), lambda h, net: h.abs())],
    "add": [((4,), lambda h, net: h.add(h.relu(), alpha=2))],
    "sub": [((4,), lambda h, net: h.sub(h.relu(), alpha=-2).sub(1))],
    "mul": [((4,), lambda h, net: h.relu().mul(net.scale))],
    "div": [((4,), lambda h, net: h.relu().div(4))],
    "neg": [((4,), lambda h, net: h.neg().relu())],
    "matmul": [((4,), lambda h, net: h.relu().matmul(net.matrix))],
    "flatten": [((2, 2, 3), lambda h, net: h.relu().flatten(start_dim=2))],
    "reshape": [((2, 3), lambda h, net: h.relu().reshape(-1, 3, 2).mean(2))],
    "view": [((2, 3), lambda h, net: h.relu().view(h.size(0), -1))],
    "unflatten": [((6,), lambda h, net: h.relu().unflatten(1, (3, 2)).mean(1))],
    "squeeze": [((1, 4), lambda h, net: h.relu().squeeze(1))],
    "unsqueeze": [((4,), lambda h, net: F.avg_pool2d(h.relu().unsqueeze(-1).unsqueeze(1), (2, 1)))],
    "mean": [((2, 3, 2), lambda h, net: h.relu().mean((-1, -3)))],
    "contiguous": [((4,), lambda h, net: h.contiguous().relu())],
    "size": [((2, 3), lambda h, net: h.relu().reshape(h.size()[0], h.size(1) * h.size(-1)))],
}
CASES = [
    pytest.param(shape, body, id=f"{getattr(key, '__name__', key)}-{i}")
    for table in (LAYERS, FUNCTIONS, METHODS)
    for key, bodies in table.items()
    for i, (shape, body) in enumerate(bodies)
]
each_step = pytest.mark.parametrize(("shape", "body"), CASES)


def test_every_step_has_an_example():
    assert set(LAYERS) == set(steps.LAYERS)
    assert set(FUNCTIONS) == set(steps._FUNCTIONS)
    assert set(METHODS) == set(steps._METHODS)


def rays(network, x, v):
    faces = face_functionals(network, x)
    slope = np.einsum("nmd,nd->nm", faces.gradient, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(faces.value * slope < 0, -faces.value / slope, np.inf).min(axis=1, initial=np.inf)


def rounding(network: nn.Module, x: np.ndarray) -> float:
    """Roundings of a few sums of at most 64 terms, each at most 64 times as large as any sum of the first layer."""
    first = network.get_submodule("first")
    assert isinstance(first, nn.Linear)
    size = np.abs(x) @ np.abs(first.weight.detach().numpy()).T + np.abs(first.bias.detach().numpy())
    return 64 * 64 * EPS * float(size.max())


@each_step
def test_the_map_is_the_network_on_ten_thousand_points(shape, body):
    """Each at another place of the region than where the map was asked for."""
    network, rng = around(shape, body), stream(0, "points")
    x, v = rng.standard_normal((2, 10_000, D))
    y = x + np.minimum(0.9 * rays(network, x, v), 3.0)[:, None] * v
    gap = np.abs(local_affine(network, x)(y) - embed(network, y)).max()
    assert gap <= rounding(network, np.abs(y) + np.abs(x)) < 1e-9


@each_step
def test_tangents_are_those_of_autograd(shape, body):
    network = around(shape, body)
    x = torch.tensor(stream(1, "points").standard_normal((7, D)))
    tangents = propagate(piecewise_affine(network), x, torch.eye(D, dtype=torch.float64)[None]).tangent.mT
    for point, matrix in zip(x, tangents.expand(7, -1, -1), strict=True):
        twin = torch.autograd.functional.jacobian(lambda row: as_double(network)(row[None] * 1)[0], point)
        assert isinstance(twin, torch.Tensor)
        np.testing.assert_allclose(matrix.numpy(), twin.numpy(), rtol=0, atol=rounding(network, np.ones((1, D))))


@each_step
def test_faces_are_where_the_pattern_changes(shape, body):
    network = around(shape, body)
    x = stream(2, "points").standard_normal((200, D))
    faces, distances = face_functionals(network, x), face_distances(network, x)
    here = activation_pattern(network, x)
    affine = piecewise_affine(network).affine
    assert (here.shape[1] == 0) == affine or isinstance(body, nn.LeakyReLU)
    if here.shape[1] == 0:
        return
    nearest, rows = distances.argmin(axis=1), np.arange(len(x))
    a, u = faces.gradient[rows, nearest], faces.value[rows, nearest]
    foot = -u[:, None] * a / np.square(a).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(foot, axis=1), distances.min(axis=1), rtol=64 * EPS)
    assert (activation_pattern(network, x + 0.999 * foot) == here).all()
    assert (activation_pattern(network, x + 1.001 * foot) != here).any(axis=1).all()


@pytest.mark.parametrize(
    ("shape", "body", "message"),
    [
        ((4,), lambda h, net: h * h, "a product or ratio of values, which is not affine; first_order_map"),
        ((4,), lambda h, net: 1 / h, "a product or ratio of values"),
        ((4,), lambda h, net: h @ h, "a constant matrix W on the right"),
        ((4,), lambda h, net: h + h.mean(), "expected one output per point, got \\(\\) from 2 points"),
        ((4,), lambda h, net: h - h.mean(0), "expected one output per point"),
        ((4,), lambda h, net: h - h.mean(0, keepdim=True), "expected one output per point"),
        ((2, 4), lambda h, net: h.mean(0), r"\(forward\), mean: cannot take an input of shape \('n', 2, 4\)"),
        ((4,), lambda h, net: h[0], r"expected slices that keep all rows, x\[:, ...\]"),
        ((4,), lambda h, net: h[..., 0], "expected slices that keep all rows"),
        ((4,), lambda h, net: torch.cat([h, h]), "torch.cat of values along a dimension other than 0"),
        ((4,), lambda h, net: torch.cat([h, h], -2), "torch.cat of values along a dimension other than 0"),
        ((4,), lambda h, net: h.reshape(4, -1), "expected one output per point, got \\(4, 2\\)"),
        ((4,), lambda h, net: h.T, "expected forward\\(\\) to read only x.shape, got x.T"),
        ((4,), lambda h, net: h + net.scale[:, None, None], "expected one output per point|same number of dimensions"),
        ((4,), lambda h, net: h + torch.ones(2, 4), "expected one output per point, got \\(2, 4\\) from 1 points"),
        ((4,), lambda h, net: h * h.shape[0], "expected rows that do not influence each other"),
        ((4,), lambda h, net: h.mean(1, dtype=torch.float32, keepdim=True), "double precision, got torch.float32"),
        ((4,), lambda h, net: h * 1j, "expected real numbers in double precision, got torch.complex128"),
        ((4,), lambda h, net: F.dropout(h), "got dropout in training mode"),
        ((1, 2, 2), lambda h, net: F.max_pool2d(h, 2, return_indices=True)[0], "got max_pool2d_with_indices"),
        ((1, 2, 2), nn.MaxPool2d(2, return_indices=True), "values only; build them with return_indices=False"),
        ((2, 4), lambda h, net: F.max_pool2d(h, 2), "it pools values of 4 dimensions"),
        ((4,), lambda h, net: torch.div(h, 2, rounding_mode="floor"), "unexpected keyword argument 'rounding_mode'"),
        ((4,), lambda h, net: torch.softmax(h, 1), r"layer \(network\) \(forward\): .*got softmax"),
        ((4,), lambda h, net: torch.where(net.scale > 0, h, -h), "got where"),
        ((4,), lambda h, net: h.clamp(0), "got clamp"),
        ((4,), lambda h, net: h.relu_(), "got relu_"),
        ((4,), lambda h, net: h.detach(), "got detach"),
        ((4,), lambda h, net: h.float(), "got float"),
    ],
)  # fmt: skip
def test_what_a_step_cannot_do_is_refused(shape, body, message):
    with pytest.raises(NetworkError, match=message):
        local_affine(around(shape, body), np.ones((2, D)) * [[1.0], [2.0]])


def test_points_on_a_face_know_their_side():
    """−0 for a rectifier, whose input counts as negative; +0 for a pool, whose first winner has won."""
    rectifier = face_functionals(nn.ReLU(), [[0.0, -0.0, 1.0]]).value
    assert np.signbit(rectifier).tolist() == [[True, True, False]]
    pool = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.MaxPool1d(3), nn.Flatten())
    assert np.signbit(face_functionals(pool, [[1.0, 1.0, 1.0]]).value).tolist() == [[False, False]]
