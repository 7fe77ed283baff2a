"""What is admitted as a network: branches, views, steps in place, refusals; nothing of the user's touched."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from itssl.arrays import stream
from itssl.networks import jacobians
from itssl.networks.encoders import NetworkError, as_double, embed, mlp
from itssl.networks.first_order import first_order_map
from itssl.networks.graph import piecewise_affine
from itssl.networks.regions import activation_pattern, exit_probability, face_distances, face_functionals, local_affine

MEASURES = {
    "local_affine": local_affine,
    "face_functionals": face_functionals,
    "face_distances": face_distances,
    "activation_pattern": activation_pattern,
    "exit_probability": lambda network, x: exit_probability(network, x, 0.1),
}
each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


class Forward(nn.Module):
    """A network whose forward pass is given as a function of its layers and the input."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.own = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.own(self, x)


def residual(seed: int, d: int = 5, m: int = 9, k: int = 3) -> nn.Module:
    """Two blocks around which the values pass, one of them with a shared layer and a rectifier in place."""
    torch_layers = {"stem": (d, m), "a": (m, m), "b": (m, m), "out": (m, k)}
    layers = {name: mlp(widths, seed=seed + i)[0] for i, (name, widths) in enumerate(torch_layers.items())}

    def forward(self, x):
        h = self.stem(x)
        h = h + self.b(self.act(self.a(F.relu(h))))
        z = self.a(h)
        z += h
        return self.out(torch.relu(z))

    return Forward(forward, act=nn.ReLU(inplace=True), **layers)


BRANCHED = {
    "residual": (residual, 5),
    "leaky residual": (lambda seed: Forward(
        lambda self, x: self.out(self.act(self.a(x)) + x), act=nn.LeakyReLU(0.2), a=mlp((4, 4), seed=seed)[0],
        out=mlp((4, 2), seed=seed + 1)[0]), 4),
    "absolute": (lambda seed: Forward(
        lambda self, x: self.b(torch.abs(self.a(x)) - 0.5), a=mlp((4, 6), seed=seed)[0],
        b=mlp((6, 2), seed=seed)[0]), 4),
    "concatenated": (lambda seed: Forward(
        lambda self, x: self.b(torch.cat([F.relu(self.a(x)), x], dim=1)), a=mlp((4, 6), seed=seed)[0],
        b=mlp((10, 12, 2), seed=seed)), 4),
    "sliced": (lambda seed: Forward(
        lambda self, x: torch.cat([self.a(x[:, :2]) + x[:, 2:], x[:, :2]], 1).relu(), a=mlp((2, 8, 2), seed=seed)), 4),
    "constant output": (lambda seed: Forward(lambda self, x: 0.0 * self.a(x) + 1.0, a=mlp((3, 2), seed=seed)), 3),
    "the input": (lambda seed: Forward(lambda self, x: x), 3),
    "a repeated column": (lambda seed: Forward(
        lambda self, x: F.relu(self.a(x)) + self.b(x), a=mlp((4, 1), seed=seed)[0], b=mlp((4, 3), seed=seed)[0]), 4),
    "unused": (lambda seed: Forward(
        lambda self, x: (self.a(x), self.b(x))[0], a=mlp((4, 5, 2), seed=seed), b=mlp((4, 5, 2), seed=seed + 1)), 4),
}  # fmt: skip
each_branched = pytest.mark.parametrize("name", BRANCHED)


def world(name, n=60):
    build, d = BRANCHED[name]
    return build(1), stream(0, "points").standard_normal((n, d))


@pytest.mark.parametrize("few", [0, 1000])
@each_branched
def test_maps_of_branched_networks_are_jacobians(name, few, monkeypatch):
    monkeypatch.setattr(jacobians, "FEW", few)  # 0: through active units where that can be, 1000: nowhere
    network, x = world(name)
    affine = local_affine(network, x)
    for point, matrix in zip(torch.tensor(x), affine.matrix, strict=True):
        twin = torch.autograd.functional.jacobian(lambda row: as_double(network)(row[None] * 1)[0], point)
        assert isinstance(twin, torch.Tensor)
        np.testing.assert_allclose(matrix, twin.numpy(), rtol=0, atol=1e3 * np.finfo(float).eps)
    np.testing.assert_allclose(affine(x), embed(network, x), rtol=0, atol=1e3 * np.finfo(float).eps)


def test_which_networks_go_through_active_units():
    graphs = {name: piecewise_affine(world(name)[0]) for name in BRANCHED}
    through = {name for name, graph in graphs.items() if jacobians._parts(graph, world(name)[1].shape[1]) is not None}
    assert through == {"residual", "leaky residual", "the input", "unused"}


@pytest.mark.parametrize("name", [name for name in BRANCHED if name not in ("constant output", "the input")])
def test_faces_of_branched_networks_are_exact(name):
    network, x = world(name, n=300)
    faces, distances, here = face_functionals(network, x), face_distances(network, x), activation_pattern(network, x)
    nearest, rows = distances.argmin(axis=1), np.arange(len(x))
    a, u = faces.gradient[rows, nearest], faces.value[rows, nearest]
    foot = -u[:, None] * a / np.square(a).sum(axis=1, keepdims=True)
    assert (activation_pattern(network, x + 0.999 * foot) == here).all()
    assert (activation_pattern(network, x + 1.001 * foot) != here).any(axis=1).all()
    np.testing.assert_allclose(local_affine(network, x)(x + 0.999 * foot), embed(network, x + 0.999 * foot), atol=1e-12)


def test_what_nobody_uses_has_no_faces():
    network, x = world("unused")
    assert face_functionals(network, x).value.shape[1] == activation_pattern(network, x).shape[1] == 5
    early = Forward(lambda self, x: (self.a(x), self.b(self.a(x)))[0], a=nn.Linear(2, 2), b=nn.ReLU())
    chained = piecewise_affine(early).chain()
    assert chained is not None
    assert len(chained) == 1


# --- steps in place ----------------------------------------------------------------------------------------------


def shared(step):
    return Forward(step, a=mlp((4, 4), seed=0)[0], act=nn.ReLU(inplace=True), leak=nn.LeakyReLU(0.1, inplace=True))


def iadd(self, x):
    h = self.a(x)
    kept = h
    h += x
    return h - 2 * kept


def imul_of_a_view(self, x):
    h = self.a(x)
    rows = h.view(-1, 2, 2)
    rows *= 2.0
    return h + rows.flatten(1)


def isub_of_a_slice(self, x):
    h = self.a(x)
    part = h[:, :2]
    part -= 1.0
    return h


def itruediv(self, x):
    h = self.a(x)
    kept = h
    kept /= 2.0
    return h


def unused_result(self, x):
    h = self.a(x)
    F.relu(h, inplace=True)
    return h


IN_PLACE = {
    "layer": lambda self, x: self.act(h := self.a(x)) + h,
    "function": lambda self, x: F.relu(h := self.a(x), inplace=True) + h,
    "keyword": lambda self, x: F.relu(input=(h := self.a(x)), inplace=True) + h,
    "positional": lambda self, x: F.leaky_relu(h := self.a(x), 0.1, True) + h,
    "leaky layer": lambda self, x: self.leak(h := self.a(x)) + h,
    "view": lambda self, x: self.act((h := self.a(x)).view(-1, 2, 2)).flatten(1) + h,
    "input": lambda self, x: self.act(x) + x,
    "weight": lambda self, x: x + self.act(self.a.bias),
    "iadd": iadd, "imul": imul_of_a_view, "isub": isub_of_a_slice, "itruediv": itruediv, "unused": unused_result,
}  # fmt: skip


@each_measure
@pytest.mark.parametrize("step", IN_PLACE.values(), ids=IN_PLACE)
def test_a_value_changed_in_place_and_used_again_is_refused(step, measure):
    """Also at points where the change makes no difference."""
    with pytest.raises(NetworkError, match="in place only on values that are not used again"):
        measure(shared(step), np.full((3, 4), 2.0))


# --- refusals ----------------------------------------------------------------------------------------------------


def half_of(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).half()


def hooked(kind: str) -> nn.Module:
    network = mlp((2, 2), seed=0)
    getattr(network.get_submodule("0"), kind)(lambda *args: None)
    return network


class Counting(nn.Module):
    """Each call gives another output."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.calls * x


class Uncopied(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = torch.ones(1, requires_grad=True) * 2

    def forward(self, x):
        return x


REFUSED = {
    "pre-hook": (hooked("register_forward_pre_hook"), r"layer 0 \(Linear\): expected no forward hooks, got 1; remove"),
    "hook": (hooked("register_forward_hook"), r"layer 0 \(Linear\): expected no forward hooks, got 1; remove"),
    "half": (half_of(mlp((2, 2), seed=0)), r"float32 or float64 weights, got torch.float16 in 0.weight"),
    "bfloat": (mlp((2, 2), seed=0).bfloat16(), r"got torch.bfloat16 in 0.weight; pass network.float\(\)"),
    "complex": (nn.Linear(2, 2, dtype=torch.complex64), "got torch.complex64 in weight"),
    "lazy": (nn.LazyLinear(2), "expected weights with values, got none in weight; run or load the network first"),
    "meta": (nn.Linear(2, 2, device="meta"), "expected weights with values, got none in weight"),
    "uncopied": (Uncopied(), "expected one that can be copied"),
    "control": (Forward(lambda self, x: x if x.sum() > 0 else -x),
        "cannot be recorded .*take conditions on values out"),
    "assertion": (Forward(lambda self, x: x if len(x) else -x), "cannot be recorded"),
    "chance": (Forward(lambda self, x: x + torch.rand(1)), "repeat the steps that torch.fx records of it"),
    "counter": (Counting(), "got another output; take chance, counters and casts"),
    "tuple": (Forward(lambda self, x: (x, x)), "expected one tensor as output, got a collection"),
    "constant": (Forward(lambda self, x: self.a.weight, a=nn.Linear(2, 2)), "got a collection or a constant"),
    "mixture": (Forward(lambda self, x: (x @ self.a.weight).reshape(x.shape[1], -1), a=nn.Linear(2, 2)),
        "expected one output per point"),
    "softmax": (Forward(lambda self, x: self.a(x), a=nn.Sequential(nn.Softmax(1))),
        r"layer a.0 \(Softmax\): .*first_order_map"),
    "parallel": (nn.DataParallel(nn.Linear(2, 2)), r"DataParallel\): expected a layer known"),
}  # fmt: skip


@each_measure
@pytest.mark.parametrize(("network", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_why(network, message, measure):
    with pytest.raises(NetworkError, match=message):
        measure(network, np.ones((2, 2)))


def test_what_is_no_module_is_refused():
    """In a process of its own, where the tests' type checks do not refuse it before."""
    code = """
from torch import nn
from itssl.networks.regions import local_affine
for network in (len, None, nn.ReLU):
    try:
        local_affine(network, [[1.0]])
    except ValueError as error:
        print(error)"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    cure = "; pass a built network, e.g. mlp((2, 2))"
    given = ["builtin_function_or_method", "NoneType", "the class ReLU"]
    assert said == [f"network: expected a torch.nn.Module, got {what}{cure}" for what in given]


def test_two_inputs_are_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    with pytest.raises(NetworkError, match="with one input, got x, y; wrap it so that it has one"):
        local_affine(Two(), np.ones((2, 2)))


def test_hooks_on_all_modules_are_refused():
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)
    try:
        with pytest.raises(NetworkError, match="expected no forward hooks, got 1"):
            local_affine(mlp((2, 2), seed=0), np.ones((2, 2)))
    finally:
        handle.remove()


def test_an_overridden_part_of_a_layer_is_not_taken_for_the_layer():
    class Gated(nn.Conv1d):
        def _conv_forward(self, input, weight, bias):
            return torch.tanh(super()._conv_forward(input, weight, bias))

    with pytest.raises(NetworkError, match=r"got (tanh|conv1d)"):
        local_affine(nn.Sequential(nn.Unflatten(1, (1, 2)), Gated(1, 1, 1), nn.Flatten()), np.ones((2, 2)))


# --- what is left alone ------------------------------------------------------------------------------------------


def state_of(network: nn.Module):
    modules = [(m.training, len(m._forward_hooks), list(m._backward_hooks.items())) for m in network.modules()]
    tensors = [(t.data.clone(), t.dtype, t.requires_grad, t.grad) for t in [*network.parameters(), *network.buffers()]]
    return modules, tensors


def numbers(found):
    if isinstance(found, np.ndarray):
        return [found]
    return [array for value in vars(found).values() if not isinstance(value, int) for array in numbers(value)]


@pytest.mark.parametrize("mode", ["plain", "no_grad", "inference"])
@pytest.mark.parametrize(
    "measure", [*MEASURES.values(), lambda f, x: first_order_map(f, x, cov=0.1)], ids=[*MEASURES, "first_order_map"]
)
def test_the_network_of_the_user_and_torch_are_left_alone(measure, mode):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4, 2))
    network.eval()[0].train()
    network[0].bias.requires_grad_(False)
    network[4].weight.grad = torch.ones(2, 4)
    called = []
    network[2].register_full_backward_hook(lambda *args: called.append(args))
    x = stream(0, "x").standard_normal((5, 3))
    kept, before = x.copy(), state_of(network)
    generator, threads, kind = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    with {"plain": torch.enable_grad(), "no_grad": torch.no_grad(), "inference": torch.inference_mode()}[mode]:
        found = measure(network, x)
        assert torch.is_grad_enabled() == (mode == "plain")
    after = state_of(network)
    assert before[0] == after[0]
    for old, new in zip(before[1], after[1], strict=True):
        assert torch.equal(old[0], new[0])
        assert old[1:3] == new[1:3]
        assert old[3] is new[3]
    assert (network[4].weight.grad == 1).all()
    assert called == []
    for value, twin in zip(numbers(found), numbers(measure(network, x)), strict=True):
        np.testing.assert_array_equal(value, twin)
    assert np.array_equal(x, kept)
    assert torch.equal(torch.get_rng_state(), generator)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, kind)


def test_a_mode_of_training_that_matters_is_kept():
    both = Forward(
        lambda self, x: self.a(x) if self.training else self.b(x), a=mlp((3, 2), seed=0), b=mlp((3, 2), seed=1)
    )
    x = np.ones((2, 3))
    for network in (both.train(), both.eval()):
        np.testing.assert_allclose(
            local_affine(network, x)(x), embed(both.get_submodule("a" if both.training else "b"), x), rtol=1e-12
        )


def test_a_forward_pass_without_gradients_has_its_map_all_the_same():
    def forward(self, x):
        with torch.no_grad():
            return self.a(x)

    network, x = Forward(forward, a=mlp((4, 6, 2), seed=0)), np.ones((2, 4))
    np.testing.assert_array_equal(local_affine(network, x).matrix, local_affine(network.get_submodule("a"), x).matrix)


def test_parametrized_weights_are_those_of_the_forward_pass():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2)).double()
    x = stream(0, "x").standard_normal((4, 3))
    np.testing.assert_allclose(local_affine(network, x)(x), embed(network, x), atol=1e-14)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_another_device_is_described_on_the_cpu():
    network, x = mlp((3, 5, 2), seed=0), np.ones((2, 3))
    twin = local_affine(network, x)
    np.testing.assert_allclose(local_affine(copy.deepcopy(network).cuda(), x).matrix, twin.matrix, rtol=1e-14)
