r"""The affine pieces of a network: local map, faces of the activation region, probability of leaving it.

A feed-forward network of the layers below is continuous piecewise affine (CPA): $f(x) = A_\omega x + b_\omega$ on
each region $\omega$ of a partition of the input space. The *pattern* of x says which way every kink of the network
goes at x: the sign of each input of a rectifier, the winner of each max-pool window. The region $\omega(x)$ is the
set of points with the pattern of x.

**Why the faces below describe the region exactly.** Give each kink j the affine functional
$u_j(y) = u_j + a_j^\top (y - x)$ obtained by running the network *with all kinks held as at x*: the input of the
rectifier, or winner minus loser. Let $P$ be the set of y where every $u_j(y)$ keeps the sign it has at x.
If $y \in P$: before the first kinks nothing was held, so the functionals of the first layer are the true inputs,
their signs agree with those at x, and the first layer acts on y as it was held to act. Hence the functionals of
the second layer are the true inputs too, and so on through the layers: y has the pattern of x. If conversely y
has the pattern of x, every kink acts on y as held, every functional equals the true input, and $y \in P$.
So $\omega(x) = P$, an intersection of half-spaces, up to the faces themselves, which have measure zero.

Supported layers: Linear, Conv2d, BatchNorm and Dropout in evaluation mode, AvgPool2d, Flatten, Unflatten, Identity;
with kinks ReLU, LeakyReLU, MaxPool2d; in nn.Sequential, nested at will. All functions work on a private float64
copy of the network: for a float32 network they describe exactly the float64 network with the same weights.
The network is not touched; points are handled in tiles, so memory grows with the answer only.

References
----------
[1] R. Balestriero and R. Baraniuk (2018). A spline theory of deep learning. ICML.
[2] G. Montúfar, R. Pascanu, K. Cho, Y. Bengio (2014). On the number of linear regions of deep neural networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from itssl.arrays import Samples, SamplesLike, as_samples
from itssl.networks.encoders import NetworkError, as_double

TILE_BYTES = 2**26
"""Memory for the tangents of one layer at one tile of points."""

_RESHAPES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_KINKS = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)
_SUPPORTED = (nn.Linear, nn.Conv2d, nn.AvgPool2d, *_NORMS, *_RESHAPES, *_KINKS)

_Layers: TypeAlias = list[tuple[str, nn.Module]]
_OnFaces: TypeAlias = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True, eq=False)
class AffineMap:
    r"""One affine map per point, $y \mapsto A_i y + b_i$, as float64 arrays.

    >>> AffineMap(matrix=np.ones((1, 1, 2)), offset=np.ones((1, 1)))(np.array([[2.0, 3.0]]))
    array([[6.]])
    """

    matrix: Float[np.ndarray, "n K D"]
    offset: Float[np.ndarray, "n K"]

    def __call__(self, x: Samples) -> Float[np.ndarray, "n K"]:
        """Row i of x through map i: (n, D) to (n, K)."""
        return np.einsum("nkd,nd->nk", self.matrix, x) + self.offset


@dataclass(frozen=True, eq=False)
class Faces:
    r"""The functionals $u_j + a_j^\top(y - x_i)$ whose signs at $x_i$ cut out the region of $x_i$.

    ``value`` holds $u_j$, ``gradient`` holds $a_j$. A zero gradient marks a kink that no move inside the held
    network can flip; it is no face.
    """

    gradient: Float[np.ndarray, "n m D"]
    value: Float[np.ndarray, "n m"]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lower and upper bounds of one number per point."""

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]


def local_affine(network: nn.Module, x: SamplesLike) -> AffineMap:
    r"""The affine maps that equal the network on the regions of the rows of x.

    $A$ is the Jacobian at x with the kinks held (torch's own choice where x lies exactly on a face) and
    $b = f(x) - A x$. Exact up to the rounding of one forward pass.

    Parameters
    ----------
    network: (n, D) to (n, K), of the layers named at the top of this module.
    x: n points, shape (n, D).

    Raises
    ------
    NetworkError: an unsupported layer, a layer in training mode that then depends on the batch, an input that
        does not fit, or outputs that are not flat rows.
    SampleError: x is not a finite (n, D) array.

    >>> f = nn.Sequential(nn.Linear(1, 1, bias=False), nn.LeakyReLU(0.5)).double()
    >>> _ = nn.init.constant_(f[0].weight, -3.0)
    >>> local_affine(f, [[1.0], [-1.0]]).matrix.ravel()
    array([-1.5, -3. ])
    """
    layers, tiles = _prepare(network, x)
    matrices, offsets = [], []
    for points in tiles:
        value, tangent = _propagate(layers, points, _axes(points))
        if value.ndim != 2:
            raise NetworkError(
                f"network: expected outputs of shape (n, K), got {('n', *value.shape[1:])}; end it with nn.Flatten()"
            )
        matrix = tangent.mT.expand(len(value), -1, -1)
        matrices.append(matrix)
        offsets.append(value - (matrix @ points[:, :, None])[:, :, 0])
    return AffineMap(matrix=torch.cat(matrices).numpy(), offset=torch.cat(offsets).numpy())


def face_functionals(network: nn.Module, x: SamplesLike) -> Faces:
    """Gradients (n, m, D) and values (n, m) of all m kinks at the rows of x, layer after layer.

    One functional per input of a rectifier, and one per loser of a max-pool window (winner minus loser). A loser
    that the ReLU right before the pool holds at 0 adds nothing, because the winner's own face is the same one: its
    functional is 0. The answer takes n·m·D numbers; :func:`face_distances` and :func:`exit_probability` do not.

    Raises NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(2, 1), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 1.0)
    >>> face_functionals(f, [[1.0, 1.0]])
    Faces(gradient=array([[[2., 2.]]]), value=array([[5.]]))
    """
    layers, tiles = _prepare(network, x)
    collected = [_collect(layers, points, _axes(points), _keep) for points in tiles]
    values, gradients = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    return Faces(gradient=np.ascontiguousarray(np.swapaxes(gradients, 1, 2)), value=values)


def face_distances(network: nn.Module, x: SamplesLike) -> Float[np.ndarray, "n m"]:
    r"""Euclidean distances $|u_j| / \lVert a_j \rVert$ from the rows of x to the m faces of their regions.

    Infinite where the gradient is zero. The smallest entry of a row is the distance to the boundary of the
    region; columns are ordered as in :func:`face_functionals`.

    Raises NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 1), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 1.0)
    >>> face_distances(f, [[1.0], [-3.0]]).ravel()
    array([1.5, 2.5])
    """
    layers, tiles = _prepare(network, x)
    return np.concatenate([_collect(layers, points, _axes(points), _standardize)[0] for points in tiles])


def exit_probability(network: nn.Module, x: SamplesLike, cov: float | np.ndarray) -> Bounds:
    r"""Bounds on the probability that a Gaussian perturbation of $x_i$ leaves the region of $x_i$.

    For $X \sim N(x_i, \Sigma_i)$ the functional of face j is $N(u_j, a_j^\top \Sigma_i a_j)$, so X lies beyond it
    with probability $p_j = \Phi(-|u_j| / \sqrt{a_j^\top \Sigma_i a_j})$ (0 where the variance is 0). X leaves the
    region when it lies beyond some face, hence

    $$\max_j p_j \le P(X \notin \omega(x_i)) \le \min(1, \textstyle\sum_j p_j).$$

    The mean of ``upper`` over the points bounds the total-variation distance between the law of f(X) and the
    Gaussian mixture with means $f(x_i)$ and covariances $A_i \Sigma_i A_i^\top$.

    Parameters
    ----------
    network, x: as in :func:`local_affine`.
    cov: a variance $\sigma^2$ (then $\Sigma = \sigma^2 I$), one (D, D) covariance, or one per point, (n, D, D).
        Singular covariances are allowed.

    Raises
    ------
    ValueError: cov has another shape, is not symmetric, not positive semidefinite, or not finite.
    NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 1), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 0.0)
    >>> exit_probability(f, [[1.0]], cov=1.0)
    Bounds(lower=array([0.15865525]), upper=array([0.15865525]))
    """
    from scipy.special import ndtr

    layers, tiles = _prepare(network, x)
    roots = torch.tensor(_root(cov, sum(map(len, tiles)), tiles[0].shape[1]))
    lower, upper = [], []
    for points, root in zip(tiles, roots.split(len(tiles[0])) if len(roots) > 1 else repeat(roots), strict=False):
        (distance,) = _collect(layers, points, root, _standardize)
        crossed = ndtr(-distance)
        lower.append(crossed.max(axis=1, initial=0.0))
        upper.append(np.minimum(crossed.sum(axis=1), 1.0))
    return Bounds(lower=np.concatenate(lower), upper=np.concatenate(upper))


def activation_pattern(network: nn.Module, x: SamplesLike) -> Int[np.ndarray, "n p"]:
    """The pattern of each row of x: 1 or 0 for each rectifier, the index of the winner for each max-pool window.

    Two points lie in one region exactly when their rows agree.

    Raises NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 2), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 1.0), nn.init.constant_(f[0].bias, 0.0)
    >>> activation_pattern(f, [[1.0], [-1.0]])
    array([[1, 1],
           [0, 0]])
    """
    layers, tiles = _prepare(network, x)
    h = torch.cat(tiles)
    pattern = [torch.zeros(len(h), 0, dtype=torch.int64)]
    for _, layer in layers:
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            pattern.append((h > 0).flatten(1).long())
        elif isinstance(layer, nn.MaxPool2d):
            pattern.append(_pool(layer, h)[1].flatten(1))
        with torch.no_grad():
            h = layer(h)
    return torch.cat(pattern, dim=1).numpy()


# --- admitting networks ------------------------------------------------------------------------------------------


def _prepare(network: nn.Module, x: SamplesLike) -> tuple[_Layers, tuple[Tensor, ...]]:
    """The layers of a private float64 copy, checked one by one with the first point of x; and x in tiles.

    A tile is so small that the tangents of the widest layer along all D axes fit into TILE_BYTES.
    """
    for name, layer in _leaves(network):
        _refuse_unsupported(name, layer)
    points = torch.tensor(as_samples(x, minimum=1))
    layers = list(_leaves(as_double(network)))
    h, widest = points[[0, 0]], points.shape[1]
    for name, layer in layers:
        try:
            with torch.no_grad():
                out = layer(h.clone())
        except (RuntimeError, ValueError) as error:
            raise NetworkError(
                f"layer {name} ({layer!r}): cannot take an input of shape {('n', *h.shape[1:])}, x has "
                f"{points.shape[1]} columns; pass rows x that fit the first layer, or mend the layer ({error})"
            ) from error
        if len(out) != 2 or out.ndim < 2:
            raise NetworkError(
                f"layer {name} ({layer!r}): expected one output per point, got {tuple(out.shape)} from 2 points; "
                "keep dimension 0 for the batch, e.g. nn.Flatten(start_dim=1)"
            )
        h, widest = out, max(widest, out[0].numel())
    return layers, points.split(max(1, TILE_BYTES // (8 * points.shape[1] * widest)))


def _leaves(network: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in the order in which nested Sequentials apply them, with dotted names."""
    _refuse_hooks(name, network)
    if type(network).forward is nn.Sequential.forward:
        for child_name, child in network._modules.items():  # named_children() skips the second use of a layer
            assert child is not None
            yield from _leaves(child, f"{name}.{child_name}" if name else child_name)
    else:
        yield name or "(network)", network


def _refuse_hooks(name: str, layer: nn.Module) -> None:
    if layer._forward_hooks or layer._forward_pre_hooks:
        raise NetworkError(
            f"layer {name or '(network)'} ({type(layer).__name__}): expected no forward hooks, got "
            f"{len(layer._forward_hooks) + len(layer._forward_pre_hooks)}; remove them (handle.remove()), they may "
            "change what the layer computes"
        )


def _refuse_unsupported(name: str, layer: nn.Module) -> None:
    kind = next((kind for kind in _SUPPORTED if isinstance(layer, kind)), None)
    if kind is None or type(layer).forward is not kind.forward:
        raise NetworkError(
            f"layer {name} ({type(layer).__name__}): expected a layer known to be piecewise affine "
            f"({', '.join(k.__name__ for k in _SUPPORTED)}); replace it, e.g. by nn.ReLU(): a smooth or unknown layer "
            "has no regions"
        )
    if isinstance(layer, (*_NORMS, nn.Dropout)) and layer.training:
        raise NetworkError(
            f"layer {name} ({type(layer).__name__}): expected evaluation mode, got training mode, where the output "
            "depends on the batch or on chance; call network.eval() first"
        )
    if isinstance(layer, _NORMS) and layer.running_var is None:
        raise NetworkError(
            f"layer {name} ({type(layer).__name__}): expected running statistics, got track_running_stats=False, "
            "where the output depends on the batch; build it with track_running_stats=True"
        )


# --- values and tangents through the layers ----------------------------------------------------------------------


def _axes(points: Float[Tensor, "n D"]) -> Float[Tensor, "1 D D"]:
    """The directions of the coordinate axes, the same at all points."""
    return torch.eye(points.shape[1], dtype=points.dtype)[None]


@torch.no_grad()
def _propagate(
    layers: _Layers, x: Float[Tensor, "n D"], directions: Float[Tensor, "... r D"], on_faces: _OnFaces | None = None
) -> tuple[Tensor, Tensor]:
    """The value (n, ...) and its derivatives (n, r, ...) along r directions of input space, kinks held as at x.

    Tangents keep a leading dimension of 1 as long as they are the same at all points, that is up to the first
    kink. At each kink on_faces receives the functionals: values (n, m) and tangents (n or 1, r, m).
    """
    h, t, rectified = x, directions, False
    for _, layer in layers:
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
            if on_faces is not None and slope != 1:
                on_faces(h.flatten(1), t.flatten(2))
            factor = torch.where(h > 0, torch.ones_like(h), slope)
            h, t = h * factor, t * factor[:, None]
        elif isinstance(layer, nn.MaxPool2d):
            if on_faces is not None:
                on_faces(*_pool_faces(layer, h, t, rectified))
            h, winner = _pool(layer, h)
            t = _take(t, winner.flatten(2)).unflatten(-1, winner.shape[2:])
        else:
            h, t = layer(h), _linear_part(layer, t.flatten(0, 1)).unflatten(0, t.shape[:2])
        rectified = isinstance(layer, nn.ReLU) or (rectified and isinstance(layer, _RESHAPES))
    return h, t


def _linear_part(layer: nn.Module, t: Tensor) -> Tensor:
    """What an affine layer does to differences of its inputs: the layer without its bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(t, layer.weight)
    if isinstance(layer, nn.Conv2d):
        return layer._conv_forward(t, layer.weight, None)
    if isinstance(layer, _NORMS):
        assert layer.running_mean is not None
        return F.batch_norm(t, torch.zeros_like(layer.running_mean), layer.running_var, layer.weight, eps=layer.eps)
    return layer(t)


def _pool(layer: nn.MaxPool2d, h: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima of the windows and the flat indices of the winners in their channel."""
    return F.max_pool2d(
        h, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode, return_indices=True
    )


def _pool_faces(layer: nn.MaxPool2d, h: Tensor, t: Tensor, rectified: bool) -> tuple[Tensor, Tensor]:
    """Winner minus each loser of each window, for the value and for the tangents."""
    winner = _pool(layer, h)[1]
    seen = _windows(layer, h.shape[2:], winner.shape[2:])
    winner = winner.flatten(2)[..., None].expand(*h.shape[:2], *seen.shape)
    losing = (seen >= 0) & (seen != winner)
    loser = seen.expand_as(winner)[losing].reshape(*h.shape[:2], -1)
    winner = winner[losing].reshape(*h.shape[:2], -1)
    flat = h.flatten(2)
    u, a = flat.gather(2, winner) - flat.gather(2, loser), _take(t, winner) - _take(t, loser)
    if rectified:
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


def _take(t: Tensor, index: Int[Tensor, "n channels q"]) -> Tensor:
    """Tangents (n or 1, r, channels, height, width) at flat indices of their channel: (n, r, channels, q)."""
    n, r = len(index), t.shape[1]
    return t.flatten(3).expand(n, -1, -1, -1).gather(3, index[:, None].expand(-1, r, -1, -1))


# --- what is kept of the faces -----------------------------------------------------------------------------------


def _collect(
    layers: _Layers, x: Tensor, directions: Tensor, keep: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
) -> tuple[np.ndarray, ...]:
    """What ``keep`` makes of the functionals (n, m) and tangents (n, r, m), all kinks along the last axis."""
    empty = x.new_zeros(len(x), 0), x.new_zeros(len(x), directions.shape[1], 0)
    kept = [keep(*empty)]
    _propagate(layers, x, directions, lambda u, a: kept.append(keep(u, a)))
    return tuple(torch.cat(parts, dim=-1).numpy() for parts in zip(*kept, strict=True))


def _keep(u: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return u, a.expand(len(u), -1, -1)


def _standardize(u: Tensor, a: Tensor) -> tuple[Tensor]:
    """|u| in units of the norm of its tangents, infinite where they vanish: then the face is never met."""
    norm = a.norm(dim=1).expand_as(u)
    return (torch.where(norm > 0, u.abs() / norm, torch.inf),)


def _root(cov: float | np.ndarray, n: int, d: int) -> Float[np.ndarray, "m d d"]:
    """R of shape (1 or n, D, D) with RᵀR = cov: rows of R are directions whose sum of squares is the variance."""
    sigma = np.asarray(cov, dtype=np.float64)
    if not np.isfinite(sigma).all():
        raise ValueError("cov: expected finite values, got NaN or infinite ones; check how it was estimated")
    if sigma.ndim == 0:
        sigma = sigma * np.eye(d)
    if sigma.shape not in ((d, d), (n, d, d)):
        raise ValueError(
            f"cov: expected a variance, a ({d}, {d}) or a ({n}, {d}, {d}) array, got shape {sigma.shape}; "
            "a vector of variances is np.diag(variances)"
        )
    sigma = sigma.reshape(-1, d, d)
    rounding = d * np.finfo(np.float64).eps * np.abs(sigma).max(axis=(1, 2), initial=0.0)[:, None]
    asymmetry = np.abs(sigma - np.swapaxes(sigma, 1, 2)).max()
    if asymmetry > rounding.max():
        raise ValueError(
            f"cov: expected a symmetric matrix, got one with entries differing by {asymmetry:.3g} from their mirror "
            "image; use (cov + cov.T) / 2 if that is rounding"
        )
    eigenvalues, vectors = np.linalg.eigh(sigma)
    if (eigenvalues < -d * rounding).any():
        raise ValueError(
            f"cov: expected a positive semidefinite matrix, got eigenvalue {eigenvalues.min():.3g}; "
            "a covariance has none below 0"
        )
    # Eigenvalues within rounding of 0 stand for 0: their roots would be 1e8 times larger than the rounding.
    deviations = np.sqrt(np.where(eigenvalues > d * rounding, eigenvalues, 0.0))
    return deviations[:, :, None] * np.swapaxes(vectors, 1, 2)
