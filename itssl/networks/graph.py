r"""A network as a graph of piecewise-affine steps, through which values and tangents run together.

torch.fx records what the forward pass of a network does; every step must be one of those known to be affine or
piecewise affine, applied to each row of a batch by itself:

- affine: Linear, Conv1d/2d/3d, BatchNorm and Dropout in evaluation mode, average pools, Flatten, Unflatten, Identity;
  sums and differences (residual connections), multiples by constants, products with constant matrices, means over
  features, concatenation, slices, reshapes;
- with kinks: ReLU, LeakyReLU, PReLU, absolute value, MaxPool1d/2d/3d.

A step that changes a value in place (``ReLU(inplace=True)``, ``x += y``) is refused where the value, or a view of it,
is used again later: what the record says would no longer be what the network does.

:func:`propagate` carries with each value its derivatives along given directions of the input space, *with all kinks
held as they are at the value* ("tangents"), by the rules of :mod:`itssl.networks.steps`. This gives local maps and
faces at once; see :mod:`itssl.networks.regions`.
"""

import copy
import operator
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import TraceError
from torch.nn.parameter import is_lazy

from itssl.networks.encoders import NetworkError
from itssl.networks.steps import AUGMENTED, LAYERS, NORMS, Dual, Kink, OnKink, in_place, layer_kind, step_rule

WHOLE = "(network)"
"""How messages name a network that is a single layer."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The steps of a private float64 copy of a network, in the order in which they are applied."""

    steps: tuple[fx.Node, ...]
    network: nn.Module

    @property
    def affine(self) -> bool:
        """Whether no step has a kink.

        >>> piecewise_affine(nn.Sequential(nn.Linear(2, 2), nn.Flatten())).affine
        True
        """
        return not any(isinstance(step_rule(step, self.network), Kink) for step in self.steps)

    def __call__(self, x: Tensor) -> Tensor:
        """The recorded steps on a batch; gradients flow, also where forward() would stop them."""
        return fx.Interpreter(self.network, graph=self.steps[0].graph).run(x)

    def chain(self) -> list[nn.Module] | None:
        """The layers, if the network is one layer after the other and nothing else.

        >>> piecewise_affine(nn.Sequential(nn.Linear(2, 2), nn.ReLU())).chain()
        [Linear(in_features=2, out_features=2, bias=True), ReLU()]
        """
        source, *steps, out = self.steps
        layers: list[nn.Module] = []
        for step in steps:
            if step.op != "call_module" or step.args != (source,):
                return None
            layers.append(self.network.get_submodule(str(step.target)))
            source = step
        return layers if out.args == (source,) else None


# --- admitting networks ------------------------------------------------------------------------------------------


@torch.inference_mode(False)
def piecewise_affine(network: nn.Module) -> Graph:
    """The graph of the network, if every step is known to be piecewise affine.

    The network is copied (to float64, on the CPU) before anything else: it keeps its modes, gradients and hooks.

    Raises
    ------
    NetworkError: what is no nn.Module; hooks; complex or half-precision weights; an unsupported or smooth step;
        BatchNorm or Dropout in training mode; control flow that depends on values.

    >>> [step.name for step in piecewise_affine(nn.Sequential(nn.Linear(1, 1), nn.ReLU())).steps]
    ['input_1', '_0', '_1', 'output']
    """
    private = private_copy(network)
    if _is_leaf(private):  # fx never stops at the outermost module
        private = nn.Sequential(OrderedDict({WHOLE: private}))
    steps = _trace(private)
    for step in steps:
        _refuse_unsupported(step, private)
    return Graph(steps, private)


@torch.inference_mode(False)  # else the copy could not be differentiated
def private_copy(network: nn.Module) -> nn.Module:
    """A float64 copy on the CPU, in the modes of the network, without gradients and backward hooks.

    Raises NetworkError: what is no nn.Module or cannot be copied; forward hooks; weights that are complex, of half
    precision, or not there yet.

    >>> next(private_copy(nn.Linear(1, 1)).parameters()).dtype
    torch.float64
    """
    if not isinstance(network, nn.Module):
        given = f"the class {network.__name__}" if isinstance(network, type) else type(network).__name__
        raise NetworkError(f"network: expected a torch.nn.Module, got {given}; pass a built network, e.g. mlp((2, 2))")
    _refuse_weights(network)
    for name, module in network.named_modules():
        _refuse_hooks(name, module)
    try:
        private = copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise NetworkError(f"network: expected one that can be copied ({error}); drop what cannot be") from error
    for module in private.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
    return private.to("cpu", torch.float64).requires_grad_(False)


class _Proxy(fx.Proxy):
    """Records x += y and the like as what they are: torch.fx takes them for x = x + y."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._changed(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._changed(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._changed(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._changed(operator.itruediv, other)

    def _changed(self, function: Any, other: Any) -> fx.Proxy:
        assert function in AUGMENTED
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class _Tracer(fx.Tracer):
    """Stops at torch's own layers and at subclasses that leave their forward as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


def _is_leaf(module: nn.Module) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    own = type(module).__module__.startswith("torch.nn.") and not isinstance(module, containers)
    return own or layer_kind(module) is not None


def _trace(network: nn.Module) -> tuple[fx.Node, ...]:
    try:
        with torch.random.fork_rng(devices=[]):
            graph = _Tracer().trace(network)
    except (TraceError, TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(
            f"network ({type(network).__name__}): expected a forward pass that is the same for all inputs, got one "
            f"that cannot be recorded ({error}); take conditions on values out of forward()"
        ) from error
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise NetworkError(f"network: expected a forward pass with one input, got {names}; wrap it so that it has one")
    for node in reversed(graph.nodes):  # what nobody uses is not part of the map, unless it changes what is used
        if not node.users and node.op not in ("placeholder", "output") and not in_place(node, network):
            graph.erase_node(node)
    return tuple(graph.nodes)


def _refuse_hooks(name: str, module: nn.Module) -> None:
    every = nn.modules.module  # hooks on all modules at once are kept there
    everywhere = len(every._global_forward_hooks) + len(every._global_forward_pre_hooks)
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + everywhere
    if hooks:
        raise NetworkError(
            f"layer {name or WHOLE} ({type(module).__name__}): expected no forward hooks, got {hooks}; remove them "
            "(handle.remove()), they may change what the layer computes"
        )


def _refuse_weights(network: nn.Module) -> None:
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if is_lazy(tensor) or tensor.is_meta:
            raise NetworkError(
                f"network: expected weights with values, got none in {name}; run or load the network first"
            )
        if tensor.is_complex() or (tensor.is_floating_point() and tensor.element_size() < 4):
            raise NetworkError(
                f"network: expected float32 or float64 weights, got {tensor.dtype} in {name}; "
                "pass network.float() if that is what you mean"
            )


def _refuse_unsupported(step: fx.Node, network: nn.Module) -> None:
    if step.op == "call_module":
        layer = network.get_submodule(str(step.target))
        if layer_kind(layer) is None:
            raise NetworkError(
                f"layer {step.target} ({type(layer).__name__}): expected a layer known to be piecewise affine "
                f"({', '.join(k.__name__ for k in LAYERS)}); replace it, e.g. by nn.ReLU(): a smooth or unknown layer "
                "has no regions (first_order_map gives its tangent map, as an approximation)"
            )
        if isinstance(layer, (*NORMS, nn.Dropout)) and layer.training:
            raise NetworkError(
                f"layer {step.target} ({type(layer).__name__}): expected evaluation mode, got training mode, where the "
                "output depends on the batch or on chance; call network.eval() first"
            )
        if isinstance(layer, NORMS) and layer.running_var is None:
            raise NetworkError(
                f"layer {step.target} ({type(layer).__name__}): expected running statistics, got "
                "track_running_stats=False, where the output depends on the batch; build it with "
                "track_running_stats=True"
            )
    elif step.op in ("call_function", "call_method") and step_rule(step, network) is None:
        name, kind = _place(step)
        function = step.target if isinstance(step.target, str) else getattr(step.target, "__name__", step.target)
        raise NetworkError(
            f"layer {name} ({kind}): expected steps known to be piecewise affine, got {function}; write it with "
            "sums, multiples by constants, torch.relu, torch.abs and supported layers"
        )


def _place(step: fx.Node) -> tuple[str, str]:
    """Path and type of the innermost module a step belongs to."""
    stack = step.meta.get("nn_module_stack") or {}
    *_, (path, kind) = [(WHOLE, "forward"), *((key or WHOLE, entry[1]) for key, entry in stack.items())]
    return path, getattr(kind, "__name__", str(kind))


# --- values and tangents through the steps -----------------------------------------------------------------------


@torch.no_grad()
def propagate(
    graph: Graph,
    x: Float[Tensor, "n D"],
    directions: Float[Tensor, "... r D"],
    on_kink: OnKink | None = None,
    *,
    norms_only: bool = False,
) -> Dual:
    """The output at the rows of x and its derivatives along r directions of input space, kinks held as at x.

    ``directions`` is (1, r, D) where all points share them, else (n, r, D). With ``norms_only`` the directions may be
    rotated and reduced in number where that keeps all inner products of tangents: 784 axes become 256 behind a layer
    of 256 units.
    Raises NetworkError where a step cannot take its input or mixes rows.
    """
    known: dict[fx.Node, Any] = {}
    last_use = {earlier: step for step in graph.steps for earlier in step.all_input_nodes}
    straight = True
    for step in graph.steps:
        if step.op == "placeholder":
            known[step] = Dual(x, directions)
        elif step.op == "get_attr":
            known[step] = operator.attrgetter(str(step.target))(graph.network)
        elif step.op == "output":
            out = known[step.args[0]] if isinstance(step.args[0], fx.Node) else None
            if not isinstance(out, Dual):
                raise NetworkError("network: expected one tensor as output, got a collection or a constant; return z")
            return out
        else:
            ended = [earlier for earlier in step.all_input_nodes if last_use[earlier] is step]
            if in_place(step, graph.network):
                _refuse_shared(step, graph.network, known, ended)
            known[step] = _take_step(step, graph.network, known, on_kink, x)
            for earlier in ended:
                del known[earlier]
            # behind a kink the directions stay: functionals of one point are then all given along the same ones
            straight = straight and not isinstance(step_rule(step, graph.network), Kink)
            if norms_only and straight:
                _reduce_directions(known)
    raise AssertionError("a traced graph ends with its output")


def _refuse_shared(step: fx.Node, network: nn.Module, known: dict[fx.Node, Any], ended: list[fx.Node]) -> None:
    """Refuse to change a value in place that is needed later, under its own name or as a view."""
    source = step.args[0] if step.args else step.kwargs.get("input")
    changed = known.get(source) if isinstance(source, fx.Node) else None
    tensor = changed.value if isinstance(changed, Dual) else changed
    if not isinstance(tensor, Tensor):
        return
    needed = [value.value for node, value in known.items() if isinstance(value, Dual) and node not in ended]
    place = tensor.untyped_storage().data_ptr()
    if not isinstance(changed, Dual) or any(other.untyped_storage().data_ptr() == place for other in needed):
        raise NetworkError(
            f"layer {_words(step, network)}: expected steps in place only on values that are not used again, got one "
            "on a value that forward() needs later; write it without inplace=True, as x = x + y"
        )


def _take_step(
    step: fx.Node, network: nn.Module, known: dict[fx.Node, Any], on_kink: OnKink | None, x: Tensor
) -> "Dual | Any":
    args = list(map_arg(step.args, lambda node: known[node]))
    keywords = dict(map_arg(step.kwargs, lambda node: known[node]))
    if not args and "input" in keywords:
        args = [keywords.pop("input")]
    rule = step_rule(step, network)
    assert rule is not None
    try:
        options = {"on_kink": on_kink} if isinstance(rule, Kink) else {}
        out = (rule.apply if isinstance(rule, Kink) else rule)(*args, **keywords, **options)
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, NotImplementedError) as error:
        if isinstance(error, NetworkError):
            raise
        seen = next((("n", *a.value.shape[1:]) for a in args if isinstance(a, Dual)), ())
        raise NetworkError(
            f"layer {_words(step, network)}: cannot take an input of shape {seen}, x has "
            f"{x.shape[1]} columns; pass rows x that fit the first layer, or mend the layer ({error})"
        ) from error
    if isinstance(out, Dual):
        _check_output(out, _words(step, network), len(x))
    return out


def _check_output(out: Dual, step: str, n: int) -> None:
    if out.value.ndim < 2 or len(out.value) != n:
        raise NetworkError(
            f"layer {step}: expected one output per point, got {tuple(out.value.shape)} from {n} points;"
            " keep dimension 0 for the batch, e.g. nn.Flatten(start_dim=1)"
        )
    if out.value.dtype != torch.float64:
        raise NetworkError(f"layer {step}: expected real numbers in double precision, got {out.value.dtype}")


def _words(step: fx.Node, network: nn.Module) -> str:
    if step.op == "call_module":
        return f"{step.target} ({network.get_submodule(str(step.target))!r})"
    path, kind = _place(step)
    return f"{path} ({kind}), {step.name}"


def _reduce_directions(known: dict[fx.Node, Any]) -> None:
    """Rotate the directions so that fewer are left, where a single value is alive and all points share them."""
    alive = [(node, value) for node, value in known.items() if isinstance(value, Dual)]
    if len(alive) != 1:
        return
    (node, dual), shape = alive[0], alive[0][1].tangent.shape
    if shape[0] == 1 and shape[1] > shape[2:].numel():
        reduced = torch.linalg.qr(dual.tangent[0].flatten(1), mode="r")[1]
        known[node] = Dual(dual.value, reduced.unflatten(1, shape[2:])[None], dual.rectified)
