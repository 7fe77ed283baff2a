r"""What each step of a network does to a value and to its derivatives, kinks held: one rule for each kind of step.

Affine steps carry tangents as they carry values, without the offset. Steps with kinks multiply by the slope that they
have at the value (or take the winner's tangent), and report the functionals whose signs say which way they went.
Rules of functions and methods take their arguments as the recorded call gives them: values of the network are
:class:`Dual`, anything else is a constant.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor, fx, nn
from torch.nn import functional as F

from itssl.networks.encoders import NetworkError

_RESHAPES = (nn.Flatten, nn.Unflatten)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_NEUTRAL = (nn.Identity, nn.Dropout)
_KINKS = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)
LAYERS = (nn.Linear, *_CONVOLUTIONS, *_AVERAGES, *NORMS, *_RESHAPES, *_NEUTRAL, *_KINKS)


OnKink: TypeAlias = Callable[[Tensor, Tensor, Tensor], None]
"""Receives the functionals of a kink, values (n, m) and tangents (n or 1, r, m), and its pattern (n, p)."""


@dataclass(frozen=True, eq=False)
class Dual:
    """A value (n, ...) and its derivatives (n, r, ...) along r directions, kinks held.

    The tangents have a leading dimension of 1 while they are the same at all points, that is up to the first kink.
    ``rectified`` says that the value is what a ReLU gave, up to its shape.
    """

    value: Tensor
    tangent: Tensor
    rectified: bool = False


def layer_kind(module: nn.Module) -> type[nn.Module] | None:
    """The supported layer whose forward the module has, or None."""
    return next((kind for kind in LAYERS if isinstance(module, kind) and type(module).forward is kind.forward), None)


@dataclass(frozen=True, eq=False)
class Kink:
    """A step with kinks: ``apply`` also hands the functionals to on_kink."""

    apply: Callable[..., Dual]


def step_rule(step: fx.Node, network: nn.Module) -> "Callable[..., Any] | Kink | None":
    if step.op == "call_module":
        return _layer_rule(network.get_submodule(str(step.target)))
    if step.op == "call_function":
        return _FUNCTIONS.get(step.target)
    if step.op == "call_method":
        return _METHODS.get(str(step.target))
    return None


def _layer_rule(layer: nn.Module) -> "Callable[..., Any] | Kink | None":
    if isinstance(layer, nn.Linear):
        return lambda x: _linear(x, layer.weight, layer.bias)
    if isinstance(layer, _CONVOLUTIONS):
        return lambda x: Dual(layer(x.value), _by_row(lambda t: layer._conv_forward(t, layer.weight, None), x.tangent))
    if isinstance(layer, NORMS):
        mean, var = layer.running_mean, layer.running_var
        assert mean is not None
        return lambda x: Dual(
            layer(x.value),
            _by_row(lambda t: F.batch_norm(t, torch.zeros_like(mean), var, layer.weight, eps=layer.eps), x.tangent),
        )
    if isinstance(layer, _AVERAGES):
        return _linear_function(layer)
    if isinstance(layer, _RESHAPES):
        return _reshape(layer)
    if isinstance(layer, _NEUTRAL):
        return lambda x: x
    if isinstance(layer, nn.ReLU):
        return Kink(_relu)
    if isinstance(layer, nn.LeakyReLU):
        return Kink(lambda x, on_kink: _leaky_relu(x, layer.negative_slope, on_kink=on_kink))
    if isinstance(layer, nn.MaxPool2d):
        return Kink(lambda x, on_kink: _max_pool(x, layer, on_kink))
    return None


def _by_row(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """A function of batches applied to tangents (n, r, ...) as a batch of n·r."""
    return function(t.flatten(0, 1)).unflatten(0, t.shape[:2])


def _linear(x: Dual, weight: Tensor, bias: Tensor | None = None) -> Dual:
    return Dual(F.linear(x.value, weight, bias), F.linear(x.tangent, weight))


def _linear_function(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """A linear function of each row; numbers that are no values of the network pass as in Python."""

    def rule(x: Any, *args: Any, **keywords: Any) -> Any:
        if not isinstance(x, Dual):
            return function(x, *args, **keywords)
        return Dual(function(x.value, *args, **keywords), _by_row(lambda t: function(t, *args, **keywords), x.tangent))

    return rule


def _reshape(function: Callable[..., Tensor]) -> Callable[..., Dual]:
    def rule(x: Dual, *args: Any, **keywords: Any) -> Dual:
        value = function(x.value, *args, **keywords)
        if len(value) != len(x.value):
            return Dual(value, x.tangent)  # refused by the caller: rows were mixed
        return Dual(value, x.tangent.reshape(*x.tangent.shape[:2], *value.shape[1:]), x.rectified)

    return rule


def _item(x: Any, index: Any) -> Any:
    """Slices x[:, ...] of values, and items of shapes."""
    if not isinstance(x, Dual):
        return x[index]
    if not isinstance(index, tuple) or index[0] != slice(None) or any(isinstance(i, Dual) for i in index):
        raise NetworkError(f"network: expected slices that keep all rows, x[:, ...], got x[{index}]; keep dimension 0")
    return Dual(x.value[index], x.tangent[slice(None), *index], x.rectified)


def _sum(x: Any, y: Any, sign: int = 1) -> Any:
    """x ± y; a constant changes no tangent."""
    a, b = (v.value if isinstance(v, Dual) else v for v in (x, y))
    value = a + b if sign > 0 else a - b
    if not isinstance(x, Dual) and not isinstance(y, Dual):
        return value
    terms = [(s, _fitted(v, value)) for s, v in ((1, x), (sign, y)) if isinstance(v, Dual)]
    tangent = terms[0][0] * terms[0][1] if len(terms) == 1 else terms[0][1] + terms[1][0] * terms[1][1]
    return Dual(value, tangent)


def _fitted(x: Dual, value: Tensor) -> Tensor:
    """Tangents broadcast to the shape of the value they become a part of."""
    missing = value.ndim - x.value.ndim
    if missing > 0:
        raise NetworkError("network: expected terms with the same number of dimensions; reshape them first")
    return x.tangent.expand(*x.tangent.shape[:2], *value.shape[1:])


def _multiple(x: Any, y: Any, *, divide: bool = False) -> Any:
    if isinstance(y, Dual) and (divide or isinstance(x, Dual)):
        raise NetworkError("network: expected products with constants, got a product of values: it is not affine")
    if not isinstance(x, Dual) and not isinstance(y, Dual):
        return x / y if divide else x * y
    dual: Dual = x if isinstance(x, Dual) else y
    factor: Any = y if isinstance(x, Dual) else x
    value = dual.value / factor if divide else dual.value * factor
    along = factor
    if isinstance(factor, Tensor) and factor.ndim == dual.value.ndim:
        along = factor[:, None]
    tangent = _fitted(dual, value) / along if divide else _fitted(dual, value) * along
    return Dual(value, tangent)


def _product(x: Any, y: Any) -> Dual:
    if not isinstance(x, Dual) or isinstance(y, Dual):
        raise NetworkError("network: expected x @ W with a constant matrix W on the right; write it so")
    return Dual(x.value @ y, x.tangent @ y)


def _concatenation(parts: Any, dim: int = 0) -> Dual:
    duals = [p for p in parts if isinstance(p, Dual)]
    if len(duals) != len(parts) or dim == 0 or dim == -duals[0].value.ndim:
        raise NetworkError("network: expected torch.cat of values along a dimension other than 0; keep dimension 0")
    lead = max(len(p.tangent) for p in duals)
    tangents = [p.tangent.expand(lead, *p.tangent.shape[1:]) for p in duals]
    return Dual(torch.cat([p.value for p in duals], dim), torch.cat(tangents, dim if dim < 0 else dim + 1))


def _no_dropout(x: Dual, p: float = 0.5, training: bool = True, inplace: bool = False) -> Dual:
    if training and p > 0:
        raise NetworkError("network: expected evaluation mode, got dropout in training mode; call network.eval() first")
    return x


def _held(x: Dual, factor: Tensor, on_kink: OnKink | None, *, rectified: bool = False) -> Dual:
    """A kink at 0 of each entry: multiply by the slope it has at the value."""
    if on_kink is not None:
        on_kink(x.value.flatten(1), x.tangent.flatten(2), (x.value > 0).flatten(1).long())
    return Dual(x.value * factor, x.tangent * factor[:, None], rectified)


def _relu(x: Dual, inplace: bool = False, *, on_kink: OnKink | None = None) -> Dual:
    return _held(x, (x.value > 0).to(x.value.dtype), on_kink, rectified=True)


def _leaky_relu(x: Dual, negative_slope: float = 0.01, inplace: bool = False, *, on_kink: OnKink | None = None) -> Dual:
    if negative_slope == 1:
        return x
    return _held(x, torch.where(x.value > 0, torch.ones_like(x.value), negative_slope), on_kink)


def _absolute(x: Dual, *, on_kink: OnKink | None = None) -> Dual:
    return _held(x, x.value.sign(), on_kink)


def _functional_max_pool(
    x: Dual, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, *, on_kink: OnKink | None = None,
) -> Dual:  # fmt: skip
    layer = nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
    return _max_pool(x, layer, on_kink)


_FUNCTIONS: dict[Any, Any] = {
    F.relu: Kink(_relu), torch.relu: Kink(_relu), F.leaky_relu: Kink(_leaky_relu),
    torch.abs: Kink(_absolute), operator.abs: Kink(_absolute), abs: Kink(_absolute),
    F.max_pool2d: Kink(_functional_max_pool),
    operator.add: _sum, torch.add: _sum, operator.iadd: _sum,
    operator.sub: lambda x, y: _sum(x, y, -1), torch.sub: lambda x, y: _sum(x, y, -1),
    operator.mul: _multiple, torch.mul: _multiple, operator.truediv: lambda x, y: _multiple(x, y, divide=True),
    operator.neg: _linear_function(torch.neg), torch.neg: _linear_function(torch.neg),
    operator.matmul: _product, torch.matmul: _product, F.linear: _linear,
    operator.getitem: _item, operator.floordiv: operator.floordiv, getattr: lambda x, name: _attribute(x, name),
    torch.flatten: _reshape(torch.flatten), torch.reshape: _reshape(torch.reshape),
    torch.mean: _linear_function(torch.mean), torch.cat: _concatenation, torch.concat: _concatenation,
    F.avg_pool2d: _linear_function(F.avg_pool2d), F.adaptive_avg_pool2d: _linear_function(F.adaptive_avg_pool2d),
    F.dropout: _no_dropout,
}  # fmt: skip
_METHODS: dict[str, Any] = {
    "relu": Kink(_relu), "abs": Kink(_absolute),
    "add": _sum, "sub": lambda x, y: _sum(x, y, -1), "mul": _multiple, "neg": _linear_function(torch.neg),
    "div": lambda x, y: _multiple(x, y, divide=True), "matmul": _product,
    "flatten": _reshape(torch.flatten), "reshape": _reshape(Tensor.reshape), "view": _reshape(Tensor.reshape),
    "unflatten": _reshape(Tensor.unflatten), "squeeze": _reshape(Tensor.squeeze),
    "unsqueeze": _reshape(Tensor.unsqueeze), "mean": _linear_function(Tensor.mean),
    "contiguous": lambda x: x, "size": lambda x, *dim: x.value.size(*dim),
}  # fmt: skip


def _attribute(x: Any, name: str) -> Any:
    if name != "shape" or not isinstance(x, Dual):
        raise NetworkError(f"network: expected forward() to read only x.shape, got x.{name}; write it without")
    return x.value.shape


# --- max-pool ----------------------------------------------------------------------------------------------------


def _max_pool(x: Dual, layer: nn.MaxPool2d, on_kink: OnKink | None) -> Dual:
    value, winner = _pool(layer, x.value)
    if on_kink is not None:
        on_kink(*_pool_faces(layer, x, winner), winner.flatten(1))
    tangent = _taken(x.tangent, winner.flatten(2)).unflatten(-1, winner.shape[2:])
    return Dual(value, tangent, x.rectified)


def _pool(layer: nn.MaxPool2d, h: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima of the windows and the flat indices of the winners in their channel."""
    return F.max_pool2d(
        h, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode, return_indices=True
    )


def _pool_faces(layer: nn.MaxPool2d, x: Dual, winner: Tensor) -> tuple[Tensor, Tensor]:
    """Winner minus each loser of each window, for the value and for the tangents."""
    h, t = x.value, x.tangent
    seen = _windows(layer, h.shape[2:], winner.shape[2:])
    winner = winner.flatten(2)[..., None].expand(*h.shape[:2], *seen.shape)
    losing = (seen >= 0) & (seen != winner)
    loser = seen.expand_as(winner)[losing].reshape(*h.shape[:2], -1)
    winner = winner[losing].reshape(*h.shape[:2], -1)
    flat = h.flatten(2)
    u, a = flat.gather(2, winner) - flat.gather(2, loser), _taken(t, winner) - _taken(t, loser)
    if x.rectified:
        alive = flat.gather(2, loser) > 0
        u, a = u * alive, a * alive[:, None]
    return u.flatten(1), a.flatten(2)


def _windows(layer: nn.MaxPool2d, size: torch.Size, out: torch.Size) -> Int[Tensor, "windows inputs"]:
    """Flat indices of the inputs that each window of a max-pool sees, -1 for padding."""

    def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value, value)

    spans, inside = [], []
    options = zip(*map(pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation)), strict=True)
    for (kernel, stride, padding, dilation), length, count in zip(options, size, out, strict=True):
        span = torch.arange(count)[:, None] * stride - padding + torch.arange(kernel) * dilation
        spans.append(span)
        inside.append((span >= 0) & (span < length))
    flat = spans[0][:, None, :, None] * size[1] + spans[1][None, :, None, :]
    valid = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    return torch.where(valid, flat, -1).flatten(2).flatten(0, 1)


def _taken(t: Tensor, index: Int[Tensor, "n channels q"]) -> Tensor:
    """Tangents (n or 1, r, channels, height, width) at flat indices of their channel: (n, r, channels, q)."""
    n, r = len(index), t.shape[1]
    return t.flatten(3).expand(n, -1, -1, -1).gather(3, index[:, None].expand(-1, r, -1, -1))
