r"""The tangent map of a smooth network at given points: an approximation, with the remainder that was measured.

A network with smooth layers has no regions. Its first-order (Taylor) map at $x$ is $y \mapsto A y + b$ with the
Jacobian $A = J_f(x)$ and $b = f(x) - A x$. How wrong it is under $X \sim N(x, \Sigma)$ is the relative remainder

$$R = \frac{E\,\lVert f(X) - A X - b \rVert^2}{\operatorname{tr} A \Sigma A^\top},$$

the part of second order and above per unit of the variance that the map predicts. It is of order Σ for smooth f, so no
number here is a certificate: $R$ is a Monte-Carlo mean with a standard error, and rare large remainders may be missed.
For piecewise-affine networks :func:`itssl.networks.regions.local_affine` has the same map, exact on a known region.
"""

import html
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from itssl.arrays import SamplesLike, as_samples, stream
from itssl.networks.encoders import NetworkError
from itssl.networks.graph import private_copy
from itssl.networks.jacobians import gradients
from itssl.networks.regions import AffineMap, covariance_root

_TILE = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class FirstOrderMap:
    r"""First-order approximations, one affine map for each point, with the relative remainder R at each point.

    ``remainder`` is $E\lVert f(X) - A X - b\rVert^2 / \operatorname{tr} A \Sigma A^\top$ with ``standard_error`` from
    that many ``draws``, or None where no covariance was given. Infinite where the map is constant
    and the network is not.
    """

    map: AffineMap
    remainder: Float[np.ndarray, " n"] | None
    standard_error: Float[np.ndarray, " n"] | None
    draws: int

    def __str__(self) -> str:
        n, k, d = self.map.matrix.shape
        what = f"first-order approximation of a map from R^{d} to R^{k} at {n} points"
        if self.remainder is None or self.standard_error is None:
            return f"{what}; remainder not measured (pass cov)"
        worst = int(self.remainder.argmax())
        return (
            f"{what}; relative remainder up to {self.remainder[worst]:.3g} ± {self.standard_error[worst]:.2g} "
            f"({self.draws} draws a point)"
        )

    def __repr__(self) -> str:
        return f"FirstOrderMap({self})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


@torch.inference_mode(False)
def first_order_map(
    network: nn.Module, x: SamplesLike, *, cov: float | np.ndarray | None = None, draws: int = 256, seed: int = 0
) -> FirstOrderMap:
    r"""The tangent maps of any differentiable network at the rows of x: an approximation with a measured remainder.

    Parameters
    ----------
    network: (n, D) to (n, K), each row by itself, differentiable by torch.
    x: n points, shape (n, D).
    cov: Σ as in :func:`itssl.networks.regions.exit_probability`, under which the remainder is measured, or None.
    draws: how many draws of N(x_i, Σ) for each point, at least 2.
    seed: names the draws.

    Raises
    ------
    NetworkError: hooks, weights without values, complex or of half precision; BatchNorm or Dropout in training mode,
        or any other output that depends on chance or on the batch; outputs that are not flat rows of real numbers; a
        forward pass that torch cannot differentiate.
    ValueError: cov as for exit_probability; draws < 2. SampleError: x is not a finite (n, D) array.

    >>> f = nn.Sequential(nn.Linear(1, 1), nn.Tanh()).double()
    >>> _ = nn.init.constant_(f[0].weight, 2.0), nn.init.constant_(f[0].bias, 0.0)
    >>> first_order_map(f, [[0.0]], cov=0.01).map.matrix
    array([[[2.]]])
    """
    if not isinstance(draws, int) or draws < 2:
        raise ValueError(f"draws: expected an integer >= 2, got {draws!r}; a standard error needs two")
    private = private_copy(network)
    points = torch.tensor(as_samples(x, minimum=1))
    _refuse_batches(private, points)
    matrix = points.new_empty(len(points), _outputs(private, points[:1], 0).shape[1], points.shape[1])
    values = [gradients(private, part, out) for part, out in zip(points.split(_TILE), matrix.split(_TILE), strict=True)]
    offset = torch.cat(values) - (matrix @ points[:, :, None])[:, :, 0]
    local = AffineMap(matrix=matrix.numpy(), offset=offset.numpy())
    if cov is None:
        return FirstOrderMap(map=local, remainder=None, standard_error=None, draws=0)
    roots = covariance_root(cov, *points.shape)
    remainder, error = _remainder(private, points.numpy(), local, roots, draws, seed)
    return FirstOrderMap(map=local, remainder=remainder, standard_error=error, draws=draws)


def _remainder(
    network: nn.Module, x: np.ndarray, local: AffineMap, roots: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """R and its standard error at each point; the draws at a point depend on the seed and on its row alone."""
    found = np.empty((2, len(x)))
    for i, point in enumerate(x):
        root = roots[i if len(roots) > 1 else 0]
        y = point + stream(seed, "first-order remainder", i).standard_normal((draws, len(point))) @ root
        straight = y @ local.matrix[i].T + local.offset[i]
        with torch.no_grad():
            square = np.square(network(torch.tensor(y)).numpy() - straight).sum(axis=1)
        variance = np.square(root @ local.matrix[i].T).sum()
        mean, error = square.mean(), square.std(ddof=1) / np.sqrt(draws)
        with np.errstate(divide="ignore"):
            found[:, i] = [np.divide(v, variance) if v > 0 else 0.0 for v in (mean, error)]
    return found[0], found[1]


def _refuse_batches(network: nn.Module, points: Tensor) -> None:
    """Refuse what depends on chance or on other rows: by name where the layer says so, by its outputs elsewhere."""
    for name, module in network.named_modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm and module.running_mean is None:
            given = "track_running_stats=False"
        elif (norm or isinstance(module, nn.modules.dropout._DropoutNd)) and module.training:
            given = "training mode"
        else:
            continue
        raise NetworkError(
            f"layer {name or '(network)'} ({type(module).__name__}): expected evaluation mode with running statistics, "
            f"got {given}, where the output depends on the batch or on chance; call network.eval() first"
        )
    pair = torch.stack([points[0], points[-1] + 1.0])
    out, again, alone = (_outputs(network, part, call) for call, part in enumerate((pair, pair, pair[:1])))
    rounding = float(out.abs().max()) * 1e-6  # a batch of another size adds in another order
    if not (torch.allclose(out, again, 0, rounding) and torch.allclose(out[:1], alone, 0, rounding)):
        raise NetworkError(
            "network: expected each row to decide its own output, got outputs that change with the batch or from call "
            "to call; take chance, counters and statistics of the batch out of forward()"
        )


def _outputs(network: nn.Module, points: Tensor, call: int) -> Tensor:
    """The output as rows of real numbers; torch's generator is put back, but moved on first by each call."""
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.rand(call)
            out = network(points.clone().requires_grad_(True) * 1.0)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise NetworkError(
            f"network: cannot take rows of {points.shape[1]} columns; pass rows x that fit its first layer ({error})"
        ) from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(points) or out.dtype != torch.float64:
        given = f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise NetworkError(
            f"network: expected real outputs of shape (n, K) in double precision, got {given}; "
            "end it with nn.Flatten(), and cast nothing in forward()"
        )
    if not out.requires_grad:
        raise NetworkError(
            "network: expected a forward pass that torch differentiates, got an output without gradient; take no_grad "
            "and detach out of forward()"
        )
    return out.detach()
