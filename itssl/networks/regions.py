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

With branches (residual connections) "layer after layer" means in the order of evaluation. What networks may consist
of is said in :mod:`itssl.networks.graph`. All functions work on a private float64 copy of the network: for a float32
network they describe exactly the float64 network with the same weights.
The network is not touched; points are handled in tiles, so memory grows with the answer only.

References
----------
[1] R. Balestriero and R. Baraniuk (2018). A spline theory of deep learning. ICML.
[2] G. Montúfar, R. Pascanu, K. Cho, Y. Bengio (2014). On the number of linear regions of deep neural networks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from itssl.arrays import Samples, SamplesLike, as_samples
from itssl.networks.encoders import NetworkError
from itssl.networks.exit_bounds import pairs, union_bounds
from itssl.networks.graph import Graph, piecewise_affine, propagate
from itssl.networks.jacobians import local_maps

TILE_BYTES = 2**26
"""Memory for the tangents of one layer at one tile of points."""

NEAREST = 16
"""Faces of each point that exit bounds look at in pairs."""


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


@torch.inference_mode(False)  # where gradients could not be had
def local_affine(network: nn.Module, x: SamplesLike) -> AffineMap:
    r"""The affine maps that equal the network on the regions of the rows of x.

    $A$ is the Jacobian at x with the kinks held (torch's own choice where x lies exactly on a face) and
    $b = f(x) - A x$. Exact up to the rounding of one forward pass. See :mod:`itssl.networks.jacobians`.

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
    graph, tiles = _prepare(network, x)
    matrix, offset = local_maps(graph, torch.cat(tiles), len(tiles[0]))
    return AffineMap(matrix=matrix.numpy(), offset=offset.numpy())


def face_functionals(network: nn.Module, x: SamplesLike) -> Faces:
    """Gradients (n, m, D) and values (n, m) of all m kinks at the rows of x, layer after layer.

    One functional per input of a rectifier, and one per loser of a max-pool window (winner minus loser). A loser
    that the ReLU right before the pool holds at 0 adds nothing, because the winner's own face is the same one: its
    functional is 0. At a point exactly on a face the value is −0 for a rectifier, whose input counts as negative,
    and +0 for a pool, whose first winner has won (``np.signbit`` tells them apart).

    The answer takes n·m·D numbers; :func:`face_distances` and :func:`exit_probability` do not.

    Raises NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(2, 1), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 1.0)
    >>> face_functionals(f, [[1.0, 1.0]])
    Faces(gradient=array([[[2., 2.]]]), value=array([[5.]]))
    """
    graph, tiles = _prepare(network, x)
    collected = [_collect(graph, points, _axes(points), _keep) for points in tiles]
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
    graph, tiles = _prepare(network, x)
    parts = [_collect(graph, points, _axes(points), _standardize, norms_only=True)[0] for points in tiles]
    return np.concatenate(parts)


def exit_probability(network: nn.Module, x: SamplesLike, cov: float | np.ndarray, *, nearest: int = NEAREST) -> Bounds:
    r"""Bounds on the probability that a Gaussian perturbation of $x_i$ leaves the region of $x_i$.

    For $X \sim N(x_i, \Sigma_i)$ the functional of face j is $N(u_j, a_j^\top \Sigma_i a_j)$, so X lies beyond it
    with probability $p_j = \Phi(-|u_j| / \sqrt{a_j^\top \Sigma_i a_j})$ (0 where the variance is 0). X leaves the
    region when it lies beyond some face, hence

    $$\max_j p_j \le P(X \notin \omega(x_i)) \le \min(1, \textstyle\sum_j p_j).$$

    Both are sharpened by the probabilities of lying beyond two of the ``nearest`` faces (those with the largest p)
    at once: above by the trees of Hunter and Worsley, below by pairs and by de Caen's inequality; both are exact for
    two faces. See :mod:`itssl.networks.exit_bounds`. Bounds hold up to the rounding of one forward pass.

    The mean of ``upper`` over the points bounds the total-variation distance between the law of f(X) and the
    Gaussian mixture with means $f(x_i)$ and covariances $A_i \Sigma_i A_i^\top$.

    Parameters
    ----------
    network, x: as in :func:`local_affine`.
    cov: a variance $\sigma^2$ (then $\Sigma = \sigma^2 I$), one (D, D) covariance, or one per point, (n, D, D).
        Singular covariances are allowed.
    nearest: how many faces of each point are looked at in pairs; 0 gives the simple bounds above.

    Raises
    ------
    ValueError: cov has another shape, is not symmetric, not positive semidefinite, or not finite; nearest is no
        integer >= 0.
    NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 1), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 0.0)
    >>> exit_probability(f, [[1.0]], cov=1.0)
    Bounds(lower=array([0.15865525]), upper=array([0.15865525]))
    """
    from scipy.special import ndtr

    if not isinstance(nearest, int) or isinstance(nearest, bool) or nearest < 0:
        raise ValueError(f"nearest: expected an integer >= 0, got {nearest!r}; 0 gives the bounds by single faces")
    graph, tiles = _prepare(network, x)
    roots = torch.tensor(covariance_root(cov, sum(map(len, tiles)), tiles[0].shape[1]))
    lower, upper = [], []
    for points, root in zip(tiles, roots.split(len(tiles[0])) if len(roots) > 1 else repeat(roots), strict=False):
        near = _Nearest(nearest)
        (distance,) = _collect(graph, points, root, near, norms_only=True)
        beyond = ndtr(-distance)
        single, total = beyond.max(axis=1, initial=0.0), beyond.sum(axis=1)
        below, above = single, np.minimum(total, 1.0)
        if near.distance is not None and near.normal is not None:
            below, above = union_bounds(pairs(near.distance.numpy(), near.normal.mT.numpy()), total)
        lower.append(below)
        upper.append(above)
    return Bounds(lower=np.concatenate(lower), upper=np.concatenate(upper))


def activation_pattern(network: nn.Module, x: SamplesLike) -> Int[np.ndarray, "n p"]:
    """The pattern of each row of x: 1 or 0 for each rectifier or absolute value, the winner's index for
    each max-pool window.

    Two points lie in one region exactly when their rows agree.

    Raises NetworkError and SampleError as :func:`local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 2), nn.ReLU()).double()
    >>> _ = nn.init.constant_(f[0].weight, 1.0), nn.init.constant_(f[0].bias, 0.0)
    >>> activation_pattern(f, [[1.0], [-1.0]])
    array([[1, 1],
           [0, 0]])
    """
    graph, tiles = _prepare(network, x)
    parts = []
    for points in tiles:
        pattern = [torch.zeros(len(points), 0, dtype=torch.int64)]
        propagate(graph, points, _nowhere(points), lambda u, a, p, seen=pattern: seen.append(p))
        parts.append(torch.cat(pattern, dim=1))
    return torch.cat(parts).numpy()


# --- preparation -------------------------------------------------------------------------------------------------


def _prepare(network: nn.Module, x: SamplesLike) -> tuple[Graph, tuple[Tensor, ...]]:
    """The graph of the network, tried on the first point of x; and x in tiles.

    A tile is so small that the tangents of the widest kink along all D axes fit into TILE_BYTES.
    """
    graph = piecewise_affine(network)
    points = torch.tensor(as_samples(x, minimum=1))
    widest = [points.shape[1]]
    pair = torch.stack([points[0], points[-1] + 1.0])  # another point, so that a mixture of rows shows
    out = propagate(graph, pair, _nowhere(pair), lambda u, a, pattern: widest.append(u.shape[1])).value
    alone = propagate(graph, pair[:1], _nowhere(pair)).value
    # A batch of another size adds in another order: far below any influence, far above its rounding.
    rounding = float(out.abs().max()) * 1e-6
    if not torch.allclose(out[:1], alone, rtol=0, atol=rounding):
        raise NetworkError(
            "network: expected rows that do not influence each other, got another output for a point when the batch "
            "holds a second one; let forward() treat each row by itself"
        )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.rand(1)  # so that recorded draws do not come again
        own = graph.network(pair.clone())
    if not (isinstance(own, Tensor) and own.shape == out.shape and torch.allclose(own.double(), out, 0, rounding)):
        raise NetworkError(
            "network: expected forward() to repeat the steps that torch.fx records of it, got another output; take "
            "chance, counters and casts of precision out of forward()"
        )
    return graph, points.split(max(1, TILE_BYTES // (8 * points.shape[1] * max(widest))))


def _axes(points: Float[Tensor, "n D"]) -> Float[Tensor, "1 D D"]:
    """The directions of the coordinate axes, the same at all points."""
    return torch.eye(points.shape[1], dtype=points.dtype)[None]


def _nowhere(points: Float[Tensor, "n D"]) -> Float[Tensor, "1 1 D"]:
    """One direction of length 0, where no tangents are wanted."""
    return points.new_zeros(1, 1, points.shape[1])


# --- what is kept of the faces -----------------------------------------------------------------------------------


def _collect(
    graph: Graph,
    x: Tensor,
    directions: Tensor,
    keep: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    *,
    norms_only: bool = False,
) -> tuple[np.ndarray, ...]:
    """What ``keep`` makes of the functionals (n, m) and tangents (n, r, m), all kinks along the last axis."""
    empty = x.new_zeros(len(x), 0), x.new_zeros(len(x), directions.shape[1], 0)
    kept = [keep(*empty)]
    propagate(graph, x, directions, lambda u, a, pattern: kept.append(keep(u, a)), norms_only=norms_only)
    return tuple(torch.cat(parts, dim=-1).numpy() for parts in zip(*kept, strict=True))


def _keep(u: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return u, a.expand(len(u), -1, -1)


def _standardize(u: Tensor, a: Tensor) -> tuple[Tensor]:
    """|u| in units of the norm of its tangents, infinite where they vanish: then the face is never met."""
    norm = a.norm(dim=1).expand_as(u)
    return (torch.where(norm > 0, u.abs() / norm, torch.inf),)


class _Nearest:
    """Standardizes as above, and remembers the ``count`` nearest faces and their normals (n, r, count) outwards."""

    def __init__(self, count: int):
        self.count, self.distance, self.normal = count, None, None

    def __call__(self, u: Tensor, a: Tensor) -> tuple[Tensor]:
        (distance,) = _standardize(u, a)
        if self.count and u.shape[1]:
            new = distance.topk(min(self.count, u.shape[1]), largest=False)[1]
            normal = a.expand(len(u), -1, -1).gather(2, new[:, None].expand(-1, a.shape[1], -1))
            # beyond the face the functional has the other sign; the sign of a zero says which side x is on
            length = normal.norm(dim=1) * torch.where(torch.signbit(u.gather(1, new)), 1.0, -1.0)
            normal = torch.where(length[:, None] != 0, normal / length[:, None], 0.0)
            self._merge(distance.gather(1, new), normal)
        return (distance,)

    def _merge(self, distance: Tensor, normal: Tensor) -> None:
        if self.distance is not None and self.normal is not None:
            distance = torch.cat([self.distance, distance], dim=1)
            normal = torch.cat([self.normal, normal], dim=2)
            kept = distance.topk(min(self.count, distance.shape[1]), largest=False)[1]
            distance = distance.gather(1, kept)
            normal = normal.gather(2, kept[:, None].expand(-1, normal.shape[1], -1))
        self.distance, self.normal = distance, normal


def covariance_root(cov: float | np.ndarray, n: int, d: int) -> Float[np.ndarray, "m d d"]:
    """R of shape (1 or n, D, D) with RᵀR = cov: rows of R are directions whose sum of squares is the variance.

    Takes and refuses what :func:`exit_probability` takes and refuses.

    >>> covariance_root(4.0, 1, 2)
    array([[[2., 0.],
            [0., 2.]]])
    """
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
