r"""A network as a graph of piecewise-affine steps, through which values and tangents run together.

torch.fx records what the forward pass of a network does; every step must be one of those known to be affine or
piecewise affine, applied to each row of a batch by itself:

- affine: Linear, Conv1d/2d/3d, BatchNorm and Dropout in evaluation mode, average pools, Flatten, Unflatten, Identity;
  sums and differences (residual connections), multiples by constants, products with constant matrices, means over
  features, concatenation, slices, reshapes;
- with kinks: ReLU, LeakyReLU, absolute value, MaxPool2d.

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
from itssl.networks.steps import LAYERS, NORMS, Dual, Kink, OnKink, layer_kind, step_rule

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

    def chain(self) -> list[nn.Module] | None:
        """The layers, if these are linear layers with one rectifier between any two, applied one after the other."""
        source, *steps, _ = self.steps
        layers: list[nn.Module] = []
        for step in steps:
            if step.op != "call_module" or step.args != (source,):
                return None
            layers.append(self.network.get_submodule(str(step.target)))
            source = step
        linear = [layer_kind(layer) is nn.Linear for layer in layers]
        rectifier = [layer_kind(layer) in (nn.ReLU, nn.LeakyReLU) for layer in layers]
        return layers if len(layers) % 2 and all(linear[::2]) and all(rectifier[1::2]) else None


# --- admitting networks ------------------------------------------------------------------------------------------


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
    if not isinstance(network, nn.Module):
        raise NetworkError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
    for name, module in network.named_modules():
        _refuse_hooks(name, module)
    _refuse_weights(network)
    private = copy.deepcopy(network).to("cpu", torch.float64).requires_grad_(False)
    if _is_leaf(private):  # fx never stops at the outermost module
        private = nn.Sequential(OrderedDict({WHOLE: private}))
    steps = _trace(private)
    for step in steps:
        _refuse_unsupported(step, private)
    return Graph(steps, private.eval())


class _Tracer(fx.Tracer):
    """Stops at torch's own layers and at subclasses that leave their forward as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m)


def _is_leaf(module: nn.Module) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    own = type(module).__module__.startswith("torch.nn.") and not isinstance(module, containers)
    return own or layer_kind(module) is not None


def _trace(network: nn.Module) -> tuple[fx.Node, ...]:
    try:
        nodes = tuple(_Tracer().trace(network).nodes)
    except (TraceError, TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(
            f"network ({type(network).__name__}): expected a forward pass that is the same for all inputs, got one "
            f"that cannot be recorded ({error}); take conditions on values out of forward()"
        ) from error
    inputs = [node for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise NetworkError(f"network: expected a forward pass with one input, got {names}; wrap it so that it has one")
    return nodes


def _refuse_hooks(name: str, module: nn.Module) -> None:
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
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
            known[step] = _take_step(step, graph.network, known, on_kink, len(x))
            for earlier in step.all_input_nodes:
                if earlier in known and _last_user(earlier) is step:
                    del known[earlier]
            if norms_only:
                _reduce_directions(known)
    raise AssertionError("a traced graph ends with its output")


def _last_user(step: fx.Node) -> fx.Node:
    return max(step.users)  # nodes compare by their place in the graph


def _take_step(
    step: fx.Node, network: nn.Module, known: dict[fx.Node, Any], on_kink: OnKink | None, n: int
) -> "Dual | Any":
    args = map_arg(step.args, lambda node: known[node])
    keywords = map_arg(step.kwargs, lambda node: known[node])
    rule = step_rule(step, network)
    assert rule is not None
    layer = network.get_submodule(str(step.target)) if step.op == "call_module" else None
    try:
        options = {"on_kink": on_kink} if isinstance(rule, Kink) else {}
        out = (rule.apply if isinstance(rule, Kink) else rule)(*args, **keywords, **options)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, NetworkError):
            raise
        seen = next((("n", *a.value.shape[1:]) for a in args if isinstance(a, Dual)), ())
        raise NetworkError(
            f"layer {_words(step, layer)}: cannot take an input of shape {seen}, x has "
            f"{_columns(known, step)} columns; pass rows x that fit the first layer, or mend the layer ({error})"
        ) from error
    if isinstance(out, Dual) and (out.value.ndim < 2 or len(out.value) != n):
        raise NetworkError(
            f"layer {_words(step, layer)}: expected one output per point, got {tuple(out.value.shape)} from {n} points;"
            " keep dimension 0 for the batch, e.g. nn.Flatten(start_dim=1)"
        )
    return out


def _words(step: fx.Node, layer: nn.Module | None) -> str:
    if layer is not None:
        return f"{step.target} ({layer!r})"
    path, kind = _place(step)
    return f"{path} ({kind}), {step.name}"


def _columns(known: dict[fx.Node, Any], step: fx.Node) -> int | str:
    first = next((value for node, value in known.items() if node.op == "placeholder"), None)
    return first.value.shape[1] if isinstance(first, Dual) else "other"


def _reduce_directions(known: dict[fx.Node, Any]) -> None:
    """Rotate the directions so that fewer are left, where a single value is alive and all points share them."""
    alive = [(node, value) for node, value in known.items() if isinstance(value, Dual)]
    if len(alive) != 1:
        return
    (node, dual), shape = alive[0], alive[0][1].tangent.shape
    if shape[0] == 1 and shape[1] > shape[2:].numel():
        reduced = torch.linalg.qr(dual.tangent[0].flatten(1), mode="r")[1]
        known[node] = Dual(dual.value, reduced.unflatten(1, shape[2:])[None], dual.rectified)
