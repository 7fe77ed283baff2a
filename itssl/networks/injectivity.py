r"""Whether a piecewise-affine network maps different inputs to different outputs: certified either way, or unknown.

**Yes** is certified layer by layer, for linear layers and rectifiers one after the other. A composition of injective
maps is injective; a linear layer is when its columns are independent; a leaky ReLU of positive slope always is. Behind
a ReLU a linear layer $W x + b$ stays injective when pairs of opposite rows, $w$ and $-cw$ with $c > 0$, see every value
of $w^\top x$ (at least one unit of each pair is on, so that $w^\top x$ can be read off), and such rows span the input
space: the sufficient case of [1] that can be checked at a glance.

**No** is certified by a pair of inputs with one output. Where the local matrix has a kernel, the pair lies along it
within the region. For equal dimensions a continuous injective map keeps its orientation (invariance of domain), so
regions with determinants of opposite sign prove a fold; the pair is found on both sides of the face between them.

References
----------
[1] M. Puthawala, K. Kothari, M. Lassas, I. Dokmanić, M. de Hoop (2022). Globally injective ReLU networks. JMLR 23.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from itssl.arrays import SamplesLike, as_samples, stream
from itssl.networks.encoders import as_double, embed
from itssl.networks.graph import piecewise_affine
from itssl.networks.regions import activation_pattern, face_functionals, local_affine
from itssl.networks.volumes import ranks

_POINTS = 64
_HALVINGS = 40


@dataclass(frozen=True, eq=False, kw_only=True)
class Injectivity:
    """What is known: ``injective`` is True or False where it is certified, None where it is unknown.

    ``reason`` says why; ``pair`` holds two inputs (2, D) with one output where ``injective`` is False.
    """

    injective: bool | None
    reason: str
    pair: Float[np.ndarray, "2 D"] | None = None

    def __bool__(self) -> bool:
        raise TypeError("Injectivity: expected .injective to be read, for it may be unknown (None); compare it by `is`")


def injectivity(network: nn.Module, x: SamplesLike | None = None, *, dim: int | None = None) -> Injectivity:
    """Whether the network is injective on R^D: certified yes, certified no with a colliding pair, or unknown.

    Parameters
    ----------
    network: of the steps named in :mod:`itssl.networks.graph`.
    x: points (n, D) at which collisions are looked for; unless given, 64 standard normal ones with a fixed seed.
    dim: D, needed when neither x is given nor the network starts with a linear layer.

    Raises
    ------
    NetworkError and SampleError as :func:`itssl.networks.regions.local_affine`; ValueError when D cannot be told.

    >>> from itssl.networks.encoders import mlp
    >>> injectivity(mlp((2, 2, 2), seed=0, slope=0.1)).injective, injectivity(mlp((2, 2, 1), seed=0)).injective
    (True, False)
    """
    graph = piecewise_affine(network)
    layers = graph.chain()
    if x is None:
        d = dim if dim is not None else _input_dim(graph.network)
        x = stream(0, "injectivity", d).standard_normal((_POINTS, d))
    points = as_samples(x, minimum=1)
    local_affine(graph.network, points[:1])  # refuses points that the network does not take
    if layers is not None and _every_layer_is_injective(layers):
        return Injectivity(injective=True, reason="every layer is injective")
    found = _collision(graph.network, points)
    if found is not None:
        return found
    return Injectivity(
        injective=None,
        reason=f"no certificate by layers, and no collision found at {len(points)} points; more points may find one",
    )


def _input_dim(network: nn.Module) -> int:
    first = next((layer for layer in network.modules() if not list(layer.children())), None)
    if isinstance(first, nn.Linear):
        return first.in_features
    raise ValueError(
        f"dim: expected the input dimension for a network that starts with {type(first).__name__}; pass dim=D"
    )


# --- certified yes -----------------------------------------------------------------------------------------------


def _every_layer_is_injective(layers: list[nn.Module]) -> bool:
    return all(_is_injective(layer, after) for layer, after in pairwise([nn.Identity(), *layers, nn.Identity()]))


def _is_injective(layer: nn.Module, after: nn.Module) -> bool:
    """Whether the layer is, together with the ReLU behind it if there is one."""
    if isinstance(after, nn.ReLU):
        return isinstance(layer, nn.Linear) and _seen_through_relu(layer)
    if isinstance(layer, nn.Linear):
        return _rank(layer.weight) == layer.in_features
    if isinstance(layer, nn.LeakyReLU):
        return layer.negative_slope > 0
    if isinstance(layer, nn.PReLU):
        return bool((layer.weight > 0).all())
    return isinstance(layer, nn.ReLU | nn.Identity | nn.Dropout | nn.Flatten)  # a ReLU was judged with what is before


def _rank(weight: Tensor) -> int:
    return int(ranks(weight.numpy()))


def _seen_through_relu(linear: nn.Linear) -> bool:
    """Whether rows that span the input space have an opposite row −cw such that always one of the two units is on.

    Unit i is on where wᵀx > −b_i, unit j where wᵀx < b_j/c: together everywhere when b_i + b_j/c > 0, and where the
    sum is 0 the one value at which both are off is the value both thresholds name.
    """
    weight = linear.weight.numpy()
    norm = np.linalg.norm(weight, axis=1)
    kept = norm > 0
    unit = weight[kept] / norm[kept, None]
    threshold = (linear.bias.numpy() if linear.bias is not None else np.zeros(len(weight)))[kept] / norm[kept]
    i, j = np.nonzero(unit @ unit.T < -0.5)
    opposite = np.abs(unit[i] + unit[j]).max(axis=1, initial=0.0) <= 4 * np.finfo(float).eps
    seen = np.unique(i[opposite & (threshold[i] + threshold[j] >= 0)])
    return len(seen) > 0 and _rank(torch.tensor(unit[seen])) == linear.in_features


# --- certified no ------------------------------------------------------------------------------------------------


def _collision(network: nn.Module, points: Float[np.ndarray, "n D"]) -> Injectivity | None:
    matrices = local_affine(network, points).matrix
    k, d = matrices.shape[1:]
    for x, matrix in zip(points, matrices, strict=True):
        if k < d or ranks(matrix) < d:
            pair = _along_the_kernel(network, x, matrix)
            if pair is not None:
                why = f"{d} inputs, {k} outputs" if k < d else "the local matrix has a kernel"
                return Injectivity(injective=False, reason=f"{why}: a line within one region has one output", pair=pair)
    if k != d:
        return None
    signs = np.linalg.slogdet(matrices)[0]
    for i in np.flatnonzero(signs > 0):
        for j in np.flatnonzero(signs < 0)[:4]:
            pair = _across_a_fold(network, points[i], points[j])
            if pair is not None:
                return Injectivity(
                    injective=False,
                    reason="neighboring regions are mapped with opposite orientation: a fold",
                    pair=pair,
                )
    return None


def _along_the_kernel(
    network: nn.Module, x: Float[np.ndarray, " D"], matrix: Float[np.ndarray, "K D"]
) -> Float[np.ndarray, "2 D"] | None:
    direction = np.linalg.svd(matrix)[2][-1]
    faces = face_functionals(network, x[None])
    slope = faces.gradient[0] @ direction
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(faces.value[0] * slope < 0, -faces.value[0] / slope, np.inf).min(initial=np.inf)
    pair = np.stack([x, x + 0.5 * min(reach, 2 * (1 + np.linalg.norm(x))) * direction])
    return pair if _collide(network, pair) else None


def _across_a_fold(
    network: nn.Module, x: Float[np.ndarray, " D"], y: Float[np.ndarray, " D"]
) -> Float[np.ndarray, "2 D"] | None:
    """A pair on both sides of a face between x (positive determinant) and y (negative), near the face."""
    for _ in range(_HALVINGS):
        middle = (x + y) / 2
        if np.linalg.slogdet(local_affine(network, middle[None]).matrix)[0][0] > 0:
            x = middle
        else:
            y = middle
    here, there = activation_pattern(network, np.stack([x, y]))
    other = local_affine(network, y[None])
    if ranks(other.matrix[0]) < x.size:
        return _along_the_kernel(network, y, other.matrix[0])
    if not (x != y).any():
        return None
    outward = (x - y) / np.linalg.norm(x - y)
    for step in np.geomspace(1.0, 1e-6, 13) * (1 + np.linalg.norm(x)):
        near = x + step * outward
        mirror = np.linalg.solve(other.matrix[0], embed(network, near[None])[0] - other.offset[0])
        pair = np.stack([near, mirror])
        patterns = activation_pattern(network, pair)
        if (patterns[0] == here).all() and (patterns[1] == there).all() and _collide(network, pair):
            return pair
    return None


def _collide(network: nn.Module, pair: Float[np.ndarray, "2 D"]) -> bool:
    """Whether two points far apart relative to rounding have outputs equal up to the rounding of a forward pass."""
    double = as_double(network)
    z, local = embed(double, pair), local_affine(double, pair)
    units = sum(parameter.shape[-1] + 8 for parameter in double.parameters() if parameter.ndim > 1)
    size = np.abs(z).max() + np.linalg.norm(local.matrix, axis=(1, 2)).max() * np.abs(pair).max()
    gap, apart = np.abs(z[0] - z[1]).max(), np.abs(pair[0] - pair[1]).max()
    rounding = 8 * units * np.finfo(float).eps * max(size, np.finfo(float).tiny)
    # apart: an injective map this flat could not be told from a fold
    return bool(gap <= rounding and apart > 1e6 * np.finfo(float).eps * max(1.0, np.abs(pair).max()))
