r"""How much a linear map changes volumes, and whether it loses rank, whatever the units of its inputs and outputs.

The factor is $\sqrt{\det A^\top A}$ for K ≥ D, that of D-dimensional volume, and $\sqrt{\det AA^\top}$ for K < D, that
of the coarea formula. Rank does not depend on units, but what rounding leaves of a zero does: so rows and columns are
scaled to a largest entry near 1 before anything is compared with rounding. Entries of a product of weight matrices
carry roundings of many terms; a scaled map with a singular value below 2¹² units of the largest counts as one that
loses rank.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from itssl.arrays import SamplesLike, as_samples
from itssl.networks.graph import piecewise_affine
from itssl.networks.regions import local_affine

FLAT = 2**12 * float(np.finfo(np.float64).eps)


def log_volume_change(network: nn.Module, x: SamplesLike) -> Float[np.ndarray, " n"]:
    r"""½ log det AᵀA at each row of x where K ≥ D, ½ log det AAᵀ where K < D; −∞ where A loses rank.

    Factor by which the network changes D-dimensional volumes (K ≥ D), or the coarea factor (K < D), in nats. Square
    layers with leaky rectifiers between them are added up layer by layer. Elsewhere a map that, in units that make its
    rows and columns alike, is flatter in one direction than 1e-12 of its steepest counts as one that loses rank.
    Raises NetworkError and SampleError as :func:`itssl.networks.regions.local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    >>> _ = nn.init.constant_(f[0].weight, 3.0)
    >>> print(f"{log_volume_change(f, [[1.0]])[0]:.4f}")  # log √18
    1.4452
    """
    points = as_samples(x, minimum=1)
    k, d = local_affine(network, points[:1]).matrix.shape[1:]
    layers = piecewise_affine(network).chain() if k == d else None
    found = square_chain_log_volumes(layers, torch.tensor(points)) if layers is not None else None
    return log_volumes(local_affine(network, points).matrix) if found is None else found


def ranks(matrices: Float[np.ndarray, "*batch K D"]) -> Int[np.ndarray, "*batch"]:
    """Rank of each matrix, in any units of its rows and columns.

    >>> ranks(np.array([[[1e8, 0.0], [0.0, 1e-8]], [[1.0, 1.0], [1.0, 1.0 + 1e-15]], [[0.0, 0.0], [0.0, 0.0]]]))
    array([2, 1, 0])
    """
    scaled = matrices / _row_scales(matrices)
    values = np.linalg.svd(scaled / _column_scales(scaled), compute_uv=False)
    return np.asarray((values > FLAT * values.max(axis=-1, initial=0.0, keepdims=True)).sum(axis=-1))


def log_volumes(matrices: Float[np.ndarray, "*batch K D"]) -> Float[np.ndarray, "*batch"]:
    """½ log det AᵀA of each matrix for K ≥ D, ½ log det AAᵀ for K < D; −∞ where it loses rank.

    >>> print(log_volumes(np.array([[[3.0], [4.0]], [[0.0], [0.0]]])).round(4))  # log 5
    [1.6094   -inf]
    """
    k, d = matrices.shape[-2:]
    tall = matrices if k >= d else np.swapaxes(matrices, -1, -2)
    rows = _row_scales(tall) if k == d else np.ones(1)
    scaled = tall / rows
    columns = _column_scales(scaled)
    values = np.linalg.svd(scaled / columns, compute_uv=False)
    with np.errstate(divide="ignore"):
        found = np.log(values).sum(axis=-1) + np.log(columns).sum(axis=(-1, -2))
    if k == d:
        found = found + np.log(rows).sum(axis=(-1, -2))
    return np.where(ranks(matrices) == min(k, d), found, -np.inf)


def pseudo_inverse(matrix: Float[np.ndarray, "K D"]) -> Float[np.ndarray, "D K"]:
    """A⁺ of a matrix of full rank, with scaled rows or columns so that mixed units cost no digits.

    >>> pseudo_inverse(np.diag([1e8, 1e-8]))
    array([[1.e-08, 0.e+00],
           [0.e+00, 1.e+08]])
    """
    k, d = matrix.shape
    rows = _row_scales(matrix) if k <= d else np.ones((k, 1))  # A = RA' has A⁺ = A'⁺R⁻¹ where rows are independent
    scaled = matrix / rows
    columns = _column_scales(scaled) if k >= d else np.ones((1, d))
    return np.linalg.pinv(scaled / columns) / columns.T / rows.T


def square_chain_log_volumes(layers: list[nn.Module], x: Float[Tensor, "n D"]) -> Float[np.ndarray, " n"] | None:
    """log|det A| at the rows of x, layer by layer, for square linear layers and leaky rectifiers; None for others.

    The product of the layers may be far too flat for its determinant to be seen in its entries; the sum is exact.

    >>> layers = [nn.LeakyReLU(0.1) for _ in range(40)]
    >>> print(square_chain_log_volumes(layers, torch.tensor([[-1.0]], dtype=torch.float64)))  # 40 log 0.1
    [-92.10340372]
    """
    total, value = np.zeros(len(x)), x
    for layer in layers:
        if isinstance(layer, nn.Linear) and layer.in_features == layer.out_features:
            total += float(log_volumes(layer.weight.numpy()))
            value = F.linear(value, layer.weight, layer.bias)
        elif isinstance(layer, nn.LeakyReLU) and layer.negative_slope != 0:
            below = (value <= 0).sum(dim=1).numpy()
            total += below * np.log(abs(layer.negative_slope))
            value = layer(value)
        elif not isinstance(layer, nn.Identity | nn.Dropout | nn.Flatten):
            return None
    return total


def _row_scales(matrices: Float[np.ndarray, "*batch K D"]) -> Float[np.ndarray, "*batch K 1"]:
    """Powers of two near the largest entry of each row, 1 for rows of zeros."""
    largest = np.abs(matrices).max(axis=-1, initial=0.0, keepdims=True)
    return np.exp2(np.floor(np.log2(np.where(largest > 0, largest, 1.0))))


def _column_scales(matrices: Float[np.ndarray, "*batch K D"]) -> Float[np.ndarray, "*batch 1 D"]:
    return np.swapaxes(_row_scales(np.swapaxes(matrices, -1, -2)), -1, -2)
