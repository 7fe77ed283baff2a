r"""The local maps of a piecewise-affine network at many points: A (n, K, D) and b = f(x) − A x, in one of three ways.

- K ≥ D: tangents along the D axes, as :func:`itssl.networks.graph.propagate` carries them.
- 64 ≤ K < D and nothing but linear layers, rectifiers and sums of values: gradients of all outputs run backwards
  through the weights of *active* units only. Half the units of a ReLU layer are off at a typical point, so that
  between two such layers a quarter of each product remains.
- K < D otherwise: one batched backward pass for each output.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from itssl.networks.encoders import NetworkError
from itssl.networks.graph import Graph, propagate
from itssl.networks.steps import layer_kind

FEW = 64
"""Outputs below which gathering the weights of active units costs more than it saves."""


_NEUTRAL = (nn.Identity, nn.Dropout)


def local_maps(graph: Graph, points: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """A (n, K, D) and b (n, K) at the rows of points, in tiles of that many points where tangents are carried.

    Raises NetworkError for outputs that are not flat rows.

    >>> from itssl.networks.graph import piecewise_affine
    >>> f = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    >>> _ = nn.init.constant_(f.weight, 3.0)
    >>> local_maps(piecewise_affine(f), torch.ones(1, 2, dtype=torch.float64), 1)[0]
    tensor([[[3., 3.]]], dtype=torch.float64)
    """
    out = propagate(graph, points[:1], points.new_zeros(1, 1, points.shape[1])).value
    if out.ndim != 2:
        raise NetworkError(
            f"network: expected outputs of shape (n, K), got {('n', *out.shape[1:])}; end it with nn.Flatten()"
        )
    matrix = points.new_empty(len(points), out.shape[1], points.shape[1])
    offset = points.new_empty(len(points), out.shape[1])
    backward = out.shape[1] < points.shape[1]
    parts = _parts(graph, points.shape[1]) if backward and out.shape[1] >= FEW else None
    # Backward passes keep one value a unit and no tangents: they go faster, and fit, in larger tiles.
    for x, a, b in zip(*(t.split(max(256, tile) if backward else tile) for t in (points, matrix, offset)), strict=True):
        if parts is not None:
            value = _active_gradients(parts, x, a)
        elif backward:
            value = gradients(graph, x, a)
        else:
            dual = propagate(graph, x, torch.eye(x.shape[1], dtype=x.dtype)[None])
            value = dual.value
            a[:] = dual.tangent.mT
        b[:] = value - (a @ x[:, :, None])[:, :, 0]
    return matrix, offset


def gradients(network: Callable[[Tensor], Tensor], points: Tensor, matrix: Tensor) -> Tensor:
    """Fills the Jacobian (n, K, D), one batched backward pass for each output; gives the value (n, K).

    >>> matrix = torch.empty(1, 1, 1)
    >>> gradients(torch.square, torch.full((1, 1), 3.0), matrix), matrix
    (tensor([[9.]]), tensor([[[6.]]]))
    """
    with torch.enable_grad():  # also where the caller has switched gradients off
        inputs = points.clone().requires_grad_(True)
        value = network(inputs * 1.0)  # an in-place layer may not change a leaf
        outputs = value.sum(dim=0).unbind() if value.requires_grad else ()
    matrix.zero_()
    for k, output in enumerate(outputs):
        matrix[:, k] = torch.autograd.grad(output, inputs, retain_graph=True)[0]
    return value.detach()


# --- active units only -------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A step: a linear layer (weight, its transpose, bias), a rectifier (slope below 0), or a sum of its sources."""

    step: fx.Node
    sources: tuple[fx.Node, ...]
    weight: Tensor | None = None
    turned: Tensor | None = None
    bias: Tensor | None = None
    below: float | None = None


def _parts(graph: Graph, d: int) -> list[_Part] | None:
    """The steps, where all are linear layers, rectifiers or sums of values; the input first and the output last."""
    parts = [part for step in graph.steps[1:] if (part := _part(step, graph.network)) is not None]
    widths: dict[fx.Node, int | None] = {graph.steps[0]: d}
    for part in parts:
        seen = {widths.get(source) for source in part.sources}
        widths[part.step] = len(part.weight) if part.weight is not None else next(iter(seen))
        if len(seen) > 1 or None in seen:  # a sum that repeats one of its terms, or something else among the steps
            return None
    return [_Part(graph.steps[0], ()), *parts] if len(parts) == len(graph.steps) - 1 else None


def _part(step: fx.Node, network: nn.Module) -> _Part | None:
    sources = tuple(source for source in step.args if isinstance(source, fx.Node))
    plain = len(sources) == len(step.args) and not set(step.kwargs) - {"inplace"}
    if not plain or len(sources) != (2 if step.target in (operator.add, operator.iadd, torch.add) else 1):
        return None
    layer = network.get_submodule(str(step.target)) if step.op == "call_module" else None
    kind = layer_kind(layer) if layer is not None else None
    if isinstance(layer, nn.Linear):
        return _Part(step, sources, layer.weight, layer.weight.T.contiguous(), layer.bias)
    if isinstance(layer, nn.LeakyReLU):
        return _Part(step, sources, below=float(layer.negative_slope))
    if kind is nn.ReLU or step.target in (F.relu, torch.relu) or (step.op, step.target) == ("call_method", "relu"):
        return _Part(step, sources, below=0.0)
    return _Part(step, sources) if len(sources) == 2 or step.op == "output" or kind in _NEUTRAL else None


class _Pulled(NamedTuple):
    """Gradients (m, K) of the outputs by m units, or by those among them that ``units`` names; the rest are 0."""

    rows: Tensor
    units: Tensor | None = None

    def whole(self, m: int) -> Tensor:
        if self.units is None:
            return self.rows
        return self.rows.new_zeros(m, self.rows.shape[1]).index_copy_(0, self.units, self.rows)

    def added_to(self, other: Tensor) -> Tensor:
        if self.units is None:
            return other + self.rows
        return other.index_copy(0, self.units, other.index_select(0, self.units) + self.rows)


def _active_gradients(parts: list[_Part], points: Tensor, matrix: Tensor) -> Tensor:
    """Fills the Jacobian (n, K, D), a few matrix products for each point; gives the value (n, K)."""
    values, slopes = {parts[0].step: points}, {}
    for part in parts[1:]:
        value = sum((values[source] for source in part.sources[1:]), start=values[part.sources[0]])
        if part.weight is not None:
            value = F.linear(value, part.weight, part.bias)
        if part.below is not None:
            slopes[part.step] = torch.where(value > 0, torch.ones_like(value), part.below)
            value = value * slopes[part.step]
        values[part.step] = value
    widths = {step: value.shape[1] for step, value in values.items()}
    closed = {part.step for part in parts if part.below == 0}
    eye = torch.eye(matrix.shape[1], dtype=matrix.dtype)
    for i in range(len(points)):
        active = {step: slope[i].nonzero()[:, 0] if step in closed else None for step, slope in slopes.items()}
        slope = {step: slope[i] if active[step] is None else slope[i, active[step]] for step, slope in slopes.items()}
        _pull_back(parts, eye, active, slope, widths, matrix[i])
    return values[parts[-1].step]


def _pull_back(
    parts: list[_Part], eye: Tensor, active: dict[fx.Node, Any], slope: dict[fx.Node, Tensor],
    widths: dict[fx.Node, int], out: Tensor,
) -> None:  # fmt: skip
    """The Jacobian (K, D) at one point: gradients go from each step to its sources, the last step first."""
    first = parts[0].step
    pulled = {parts[-1].step: _Pulled(eye)}
    for part in reversed(parts[1:]):
        if part.step not in pulled:
            continue  # nobody uses it
        rows, units = pulled.pop(part.step)
        if part.weight is not None:
            if part.sources[0] is first and len(first.users) == 1 and rows is not eye:
                torch.matmul(rows.T, part.weight if units is None else part.weight.index_select(0, units), out=out)
                return
            weight, units = _turned(part, units, active.get(part.sources[0])), active.get(part.sources[0])
            rows = weight if rows is eye else weight @ rows
        elif part.below is not None:
            on = active[part.step]
            if units is not on:
                rows = _Pulled(rows, units).whole(widths[part.step])
                rows = rows if on is None else rows.index_select(0, on)
            rows, units = rows * slope[part.step][:, None], on
        for source in part.sources:
            new = _Pulled(rows, units)
            if source in pulled:
                new = _Pulled(new.added_to(pulled[source].whole(widths[source])))
            pulled[source] = new
    out.copy_(pulled[first].whole(widths[first]).T)


def _turned(part: _Part, units: Tensor | None, sources: Tensor | None) -> Tensor:
    """The transposed weight of those units by those sources: rows are taken first, being faster to gather."""
    assert part.weight is not None
    assert part.turned is not None
    if units is None:
        return part.turned if sources is None else part.turned.index_select(0, sources)
    weight = part.weight.index_select(0, units)
    return (weight if sources is None else weight.index_select(1, sources)).T
