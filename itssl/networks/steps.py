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
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_KINKS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, *_POOLS)
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
    parts = ("forward", "_conv_forward")
    same = lambda kind: all(getattr(type(module), p, None) is getattr(kind, p, None) for p in parts)  # noqa: E731
    return next((kind for kind in LAYERS if isinstance(module, kind) and same(kind)), None)


@dataclass(frozen=True, eq=False)
class Kink:
    """A step with kinks: ``apply`` also hands the functionals to on_kink."""

    apply: Callable[..., Dual]


def step_rule(step: fx.Node, network: nn.Module) -> "Callable[..., Any] | Kink | None":
    """How a step treats values and tangents, or None where that is not known."""
    if step.op == "call_module":
        return _layer_rule(network.get_submodule(str(step.target)))
    if step.op == "call_function":
        return _FUNCTIONS.get(step.target)
    if step.op == "call_method":
        return _METHODS.get(str(step.target))
    return None


def in_place(step: fx.Node, network: nn.Module) -> bool:
    """Whether a step changes its first argument."""
    if step.op == "call_module":
        return bool(getattr(network.get_submodule(str(step.target)), "inplace", False))
    if step.target in (F.relu, F.leaky_relu):
        return bool(step.kwargs.get("inplace", False)) or any(a is True for a in step.args)
    return step.target in AUGMENTED


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
    if isinstance(layer, nn.PReLU):
        return Kink(lambda x, on_kink: _prelu(x, layer.weight, on_kink=on_kink))
    if isinstance(layer, _POOLS):
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
        value = function(x.value, *args, **keywords)
        if value.ndim < 2 or len(value) != len(x.value):
            return Dual(value, x.tangent)  # refused by the caller: rows were mixed
        return Dual(value, _by_row(lambda t: function(t, *args, **keywords), x.tangent))

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


def _sum(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    """x + alpha·other; a constant changes no tangent."""
    a, b = (v.value if isinstance(v, Dual) else v for v in (x, other))
    value = a + alpha * b
    terms = [factor * _fitted(v, value) for factor, v in ((1, x), (alpha, other)) if isinstance(v, Dual)]
    return Dual(value, sum(terms[1:], start=terms[0])) if terms else value


def _difference(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _sum(x, other, alpha=-alpha)


def _fitted(x: Dual, value: Tensor) -> Tensor:
    """Tangents broadcast to the shape of the value they become a part of."""
    missing = value.ndim - x.value.ndim
    if missing > 0:
        raise NetworkError("network: expected terms with the same number of dimensions; reshape them first")
    return x.tangent.expand(*x.tangent.shape[:2], *value.shape[1:])


def _multiple(x: Any, other: Any, *, divide: bool = False) -> Any:
    if isinstance(other, Dual) and (divide or isinstance(x, Dual)):
        raise NetworkError(
            "network: expected products with constants, got a product or ratio of values, which is not affine; "
            "first_order_map gives its tangent map, as an approximation"
        )
    if not isinstance(x, Dual) and not isinstance(other, Dual):
        return x / other if divide else x * other
    dual: Dual = x if isinstance(x, Dual) else other
    factor: Any = other if isinstance(x, Dual) else x
    value = dual.value / factor if divide else dual.value * factor
    along = factor
    if isinstance(factor, Tensor) and factor.ndim == dual.value.ndim:
        along = factor[:, None]
    tangent = _fitted(dual, value) / along if divide else _fitted(dual, value) * along
    return Dual(value, tangent)


def _ratio(x: Any, other: Any) -> Any:
    return _multiple(x, other, divide=True)


def _product(x: Any, other: Any) -> Dual:
    if not isinstance(x, Dual) or isinstance(other, Dual):
        raise NetworkError("network: expected x @ W with a constant matrix W on the right; write it so")
    return Dual(x.value @ other, x.tangent @ other)


def _concatenation(tensors: Any, dim: int = 0) -> Dual:
    duals = [p for p in tensors if isinstance(p, Dual)]
    if len(duals) != len(tensors) or dim == 0 or dim == -duals[0].value.ndim:
        raise NetworkError("network: expected torch.cat of values along a dimension other than 0; keep dimension 0")
    lead = max(len(p.tangent) for p in duals)
    tangents = [p.tangent.expand(lead, *p.tangent.shape[1:]) for p in duals]
    return Dual(torch.cat([p.value for p in duals], dim), torch.cat(tangents, dim if dim < 0 else dim + 1))


def _no_dropout(x: Dual, p: float = 0.5, training: bool = True, inplace: bool = False) -> Dual:
    if training and p > 0:
        raise NetworkError("network: expected evaluation mode, got dropout in training mode; call network.eval() first")
    return x


def _held(x: Dual, factor: Tensor, on_kink: OnKink | None, *, rectified: bool = False) -> Dual:
    """A kink at 0 of each entry: multiply by the slope it has at the value.

    A functional of exactly 0 is handed over as −0: the point counts to the side where it is negative.
    """
    if on_kink is not None:
        u = torch.where(x.value == 0, -0.0, x.value)
        on_kink(u.flatten(1), x.tangent.flatten(2), (u > 0).flatten(1).long())
    return Dual(x.value * factor, x.tangent * factor[:, None], rectified)


def _relu(x: Dual, inplace: bool = False, *, on_kink: OnKink | None = None) -> Dual:
    return _held(x, (x.value > 0).to(x.value.dtype), on_kink, rectified=True)


def _leaky_relu(x: Dual, negative_slope: float = 0.01, inplace: bool = False, *, on_kink: OnKink | None = None) -> Dual:
    if negative_slope == 1:
        return x
    return _held(x, torch.where(x.value > 0, torch.ones_like(x.value), negative_slope), on_kink)


def _prelu(x: Dual, weight: Tensor, *, on_kink: OnKink | None = None) -> Dual:
    below = weight.reshape(-1, *[1] * (x.value.ndim - 2))  # one slope, or one for each channel
    return _held(x, torch.where(x.value > 0, torch.ones_like(x.value), below), on_kink)


def _absolute(x: Dual, *, on_kink: OnKink | None = None) -> Dual:
    return _held(x, x.value.sign(), on_kink)


def _functional_max_pool(kind: type[nn.Module]) -> Kink:
    def rule(
        x: Dual, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
        return_indices: bool = False, *, on_kink: OnKink | None = None,
    ) -> Dual:  # fmt: skip
        return _max_pool(x, kind(kernel_size, stride, padding, dilation, return_indices, ceil_mode), on_kink)

    return Kink(rule)


AUGMENTED = {operator.iadd: _sum, operator.isub: _difference, operator.imul: _multiple, operator.itruediv: _ratio}
"""Augmented assignments, x += y and the like, which change x."""
_FUNCTIONS: dict[Any, Any] = {
    **AUGMENTED,
    F.relu: Kink(_relu), torch.relu: Kink(_relu), F.leaky_relu: Kink(_leaky_relu), F.prelu: Kink(_prelu),
    torch.abs: Kink(_absolute), operator.abs: Kink(_absolute), abs: Kink(_absolute),
    F.max_pool1d: _functional_max_pool(nn.MaxPool1d), F.max_pool2d: _functional_max_pool(nn.MaxPool2d),
    F.max_pool3d: _functional_max_pool(nn.MaxPool3d),
    operator.add: _sum, torch.add: _sum, operator.sub: _difference, torch.sub: _difference,
    operator.mul: _multiple, torch.mul: _multiple, operator.truediv: _ratio, torch.div: _ratio,
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
    "add": _sum, "sub": _difference, "mul": _multiple, "div": _ratio, "neg": _linear_function(torch.neg),
    "matmul": _product, "flatten": _reshape(torch.flatten), "reshape": _reshape(Tensor.reshape),
    "view": _reshape(Tensor.reshape), "unflatten": _reshape(Tensor.unflatten), "squeeze": _reshape(Tensor.squeeze),
    "unsqueeze": _reshape(Tensor.unsqueeze), "mean": _linear_function(Tensor.mean),
    "contiguous": lambda x: x, "size": lambda x, *dim: x.value.size(*dim),
}  # fmt: skip


def _attribute(x: Any, name: str) -> Any:
    if name != "shape" or not isinstance(x, Dual):
        raise NetworkError(f"network: expected forward() to read only x.shape, got x.{name}; write it without")
    return x.value.shape


# --- max-pool ----------------------------------------------------------------------------------------------------


def _max_pool(x: Dual, layer: Any, on_kink: OnKink | None) -> Dual:
    if layer.return_indices:
        raise NetworkError("network: expected max-pools that return values only; build them with return_indices=False")
    value, winner = _pool(layer, x.value)
    if on_kink is not None:
        on_kink(*_pool_faces(layer, x, winner), winner.flatten(1))
    tangent = _taken(x.tangent, winner.flatten(2)).unflatten(-1, winner.shape[2:])
    return Dual(value, tangent, x.rectified)


def _pool(layer: Any, h: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima of the windows and the flat indices of the winners in their channel."""
    pool, dims = {
        nn.MaxPool1d: (F.max_pool1d, 1), nn.MaxPool2d: (F.max_pool2d, 2), nn.MaxPool3d: (F.max_pool3d, 3),
    }[layer_kind(layer)]  # fmt: skip
    if h.ndim != dims + 2:
        raise ValueError(f"it pools values of {dims + 2} dimensions, with points and channels first")
    options = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    return pool(h, *options, return_indices=True)


def _pool_faces(layer: Any, x: Dual, winner: Tensor) -> tuple[Tensor, Tensor]:
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


def _windows(layer: Any, size: torch.Size, out: torch.Size) -> Int[Tensor, "windows inputs"]:
    """Flat indices of the inputs that each window of a max-pool sees, -1 for padding."""
    dims = len(size)

    def each(value: Any) -> Any:
        return (value,) * dims if isinstance(value, int) else value

    flat, inside = torch.zeros([1] * 2 * dims, dtype=torch.int64), torch.ones([1] * 2 * dims, dtype=torch.bool)
    options = zip(*map(each, (layer.kernel_size, layer.stride, layer.padding, layer.dilation)), strict=True)
    for axis, ((kernel, stride, padding, dilation), length, count) in enumerate(zip(options, size, out, strict=True)):
        span = torch.arange(count)[:, None] * stride - padding + torch.arange(kernel) * dilation
        shape = [1] * 2 * dims
        shape[axis], shape[dims + axis] = span.shape  # windows first, then the places in a window
        span = span.reshape(shape)
        flat = flat * length + span
        inside = inside & (span >= 0) & (span < length)
    return torch.where(inside, flat, -1).flatten(dims).flatten(0, dims - 1)


def _taken(t: Tensor, index: Int[Tensor, "n channels q"]) -> Tensor:
    """Tangents (n or 1, r, channels, *size) at flat indices of their channel: (n, r, channels, q)."""
    n, r = len(index), t.shape[1]
    return t.flatten(3).expand(n, -1, -1, -1).gather(3, index[:, None].expand(-1, r, -1, -1))
