r"""The local maps of a piecewise-affine network at many points: A (n, K, D) and b = f(x) − A x, in one of three ways.

- K ≥ D: tangents along the D axes, as :func:`itssl.networks.graph.propagate` carries them.
- K < D and nothing but linear layers, rectifiers and sums of values: gradients of all outputs run backwards through the
  weights of *active* units only. Half the units of a ReLU layer are off at a typical point, so that between two such
  layers a quarter of each product remains.
- K < D otherwise: one batched backward pass for each output.
"""

import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from itssl.networks.encoders import NetworkError
from itssl.networks.graph import Graph, propagate
from itssl.networks.steps import layer_kind


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
    parts = _parts(graph) if backward else None
    # Backward passes keep one value a unit and no tangents: they go faster, and fit, in larger tiles.
    for x, a, b in zip(*(t.split(max(256, tile) if backward else tile) for t in (points, matrix, offset)), strict=True):
        if parts is not None:
            value = _active_gradients(parts, x, a)
        elif backward:
            value = _gradients(graph, x, a)
        else:
            dual = propagate(graph, x, torch.eye(x.shape[1], dtype=x.dtype)[None])
            value = dual.value
            a[:] = dual.tangent.mT
        b[:] = value - (a @ x[:, :, None])[:, :, 0]
    return matrix, offset


def _gradients(graph: Graph, points: Tensor, matrix: Tensor) -> Tensor:
    """Fills the Jacobian (n, K, D), one batched backward pass for each output; gives the value (n, K)."""
    with torch.enable_grad():
        inputs = points.clone().requires_grad_(True)
        value = graph(inputs * 1.0)  # an in-place layer may not change a leaf
    matrix.zero_()
    if value.requires_grad:
        for k in range(value.shape[1]):
            matrix[:, k] = torch.autograd.grad(value[:, k].sum(), inputs, retain_graph=True)[0]
    return value.detach()


# --- active units only -------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A step: a linear layer (weight, bias), a rectifier (slope below 0), or a sum of its sources."""

    step: fx.Node
    sources: tuple[fx.Node, ...]
    linear: nn.Linear | None = None
    below: float | None = None


def _parts(graph: Graph) -> list[_Part] | None:
    """The steps, where all are linear layers, rectifiers or sums of values; the input first and the output last."""
    parts = [_part(step, graph.network) for step in graph.steps[1:]]
    return [_Part(graph.steps[0], ()), *parts] if all(parts) else None  # pyright: ignore[reportReturnType]


def _part(step: fx.Node, network: nn.Module) -> _Part | None:
    sources = step.args if all(isinstance(source, fx.Node) for source in step.args) and not step.kwargs else ()
    plain: Any = sources
    if step.op == "output" or (step.target in (operator.add, operator.iadd, torch.add) and len(plain) == 2):
        return _Part(step, plain) if plain else None
    if len(plain) != 1:
        return None
    layer = network.get_submodule(str(step.target)) if step.op == "call_module" else None
    kind = layer_kind(layer) if layer is not None else None
    if isinstance(layer, nn.Linear):
        return _Part(step, plain, linear=layer)
    if isinstance(layer, nn.LeakyReLU):
        return _Part(step, plain, below=float(layer.negative_slope))
    if kind is nn.ReLU or step.target in (F.relu, torch.relu) or (step.op, step.target) == ("call_method", "relu"):
        return _Part(step, plain, below=0.0)
    return _Part(step, plain) if kind in (nn.Identity, nn.Dropout) else None


class _Pulled(NamedTuple):
    """Gradients (m, K) of the outputs by m units, or by those among them that ``units`` names; the rest are 0."""

    rows: Tensor
    units: Tensor | None = None

    def whole(self, m: int) -> Tensor:
        return self.rows if self.units is None else self.added_to(self.rows.new_zeros(m, self.rows.shape[1]))

    def added_to(self, other: Tensor) -> Tensor:
        return other + self.rows if self.units is None else other.index_add(0, self.units, self.rows)


def _active_gradients(parts: list[_Part], points: Tensor, matrix: Tensor) -> Tensor:
    """Fills the Jacobian (n, K, D), a few matrix products for each point; gives the value (n, K)."""
    values, slopes = {parts[0].step: points}, {}
    for step, sources, linear, below in parts[1:]:
        value = values[sources[0]] + values[sources[1]] if len(sources) > 1 else values[sources[0]]
        if linear is not None:
            value = F.linear(value, linear.weight, linear.bias)
        if below is not None:
            slopes[step] = torch.where(value > 0, torch.ones_like(value), below)
            value = value * slopes[step]
        values[step] = value
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
    for step, sources, linear, below in reversed(parts[1:]):
        rows, units = pulled.pop(step)
        if linear is not None:
            weight = linear.weight if units is None else linear.weight.index_select(0, units)
            units = active.get(sources[0])
            weight = weight if units is None else weight.index_select(1, units)
            if sources[0] is first and len(first.users) == 1 and rows is not eye:
                torch.matmul(rows.T, weight, out=out)
                return
            rows = weight.T if rows is eye else weight.T @ rows
        elif below is not None:
            if units is not active[step]:
                rows = _Pulled(rows, units).whole(widths[step])
                rows = rows if active[step] is None else rows.index_select(0, active[step])
            rows, units = rows * slope[step][:, None], active[step]
        for source in sources:
            new = _Pulled(rows, units)
            if source in pulled:
                new = _Pulled(new.added_to(pulled[source].whole(widths[source])))
            pulled[source] = new
    out.copy_(pulled[first].whole(widths[first]).T)
