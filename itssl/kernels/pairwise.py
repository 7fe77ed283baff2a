"""Sums of the Gaussian kernel over all pairs, tile by tile, one exponential a pair."""

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples

_TILE = 1024
_LARGEST_EXPONENT = 700.0  # exp(−700) is still a normal float64: subnormal results are slow and count for nothing
_FAR = 1e140  # its square is a float, and no kernel reaches so far
_NEGLIGIBLE = 40.0  # e^−40 is below the rounding of a sum with one term 1
_EXPONENT_ERROR = 1e-11  # exponents whose rounding may exceed it are computed again from differences


def kernel_sums(
    z: Samples, var: float, weights: Float[np.ndarray, "n 2"] | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Σ_j w_j B_ij and Σ_j v_j B_ij⁴ with B_ij = exp(−‖z_i − z_j‖²/(8 var)), w and v the columns of ``weights``.

    B is e^{−Bhattacharyya distance} and B⁴ = e^{−KL divergence} of N(z_i, var I) and N(z_j, var I) [1], so one
    exponential serves both. Exponents come from a matrix product; where its rounding, eps·max‖z‖²/(8 var), could be
    seen, those that matter come from the differences themselves. Memory is O(n·d) plus tiles of 8 MiB over the upper
    triangle. Weights default to ones.

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), sec. 4.

    >>> sums = kernel_sums(np.array([[0.0], [2.0]]), 1.0)
    >>> print([f"{s[0]:.4f}" for s in sums])
    ['1.6065', '1.1353']
    """
    n = len(z)
    w = np.ones((n, 2)) if weights is None else weights
    scaled = (z - z.mean(0)) / np.sqrt(8 * var)
    square = np.einsum("ij,ij->i", scaled, scaled)
    first, second = w[:, 0].copy(), w[:, 1].copy()  # the diagonal: B_ii = 1
    for i in range(0, n, _TILE):
        a = slice(i, min(i + _TILE, n))
        for j in range(i, n, _TILE):
            b = slice(j, min(j + _TILE, n))
            kernel = squared_distances(scaled[a], scaled[b], square[a], square[b], _LARGEST_EXPONENT / 4)
            np.clip(kernel, 0, _LARGEST_EXPONENT / 4, out=kernel)
            np.exp(-kernel, out=kernel)
            if i == j:
                np.fill_diagonal(kernel, 0)
            power = np.square(np.square(kernel))
            first[a] += kernel @ w[b, 0]
            second[a] += power @ w[b, 1]
            if i != j:
                first[b] += kernel.T @ w[a, 0]
                second[b] += power.T @ w[a, 1]
    return first, second


def log_kernel_sums(
    x: Float[np.ndarray, "m d"], z: Float[np.ndarray, "n d"], log_weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """log Σ_j w_j exp(−‖x_i − z_j‖²/2) for each row of x, without over- or underflow; memory O((m + n) d) plus tiles.

    >>> print(log_kernel_sums(np.array([[0.0]]), np.array([[0.0], [2.0]]), np.log([0.5, 0.5])).round(4))
    [-0.5662]
    """
    middle = z.mean(axis=0)
    a, b = (x - middle) / np.sqrt(2), (z - middle) / np.sqrt(2)
    square_a, square_b = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    out = np.empty(len(x))
    for i in range(0, len(x), _TILE):
        rows = slice(i, i + _TILE)
        top, total = np.full(len(a[rows]), -np.inf), np.zeros(len(a[rows]))
        for j in range(0, len(z), _TILE):
            columns = slice(j, j + _TILE)
            exponents = squared_distances(a[rows], b[columns], square_a[rows], square_b[columns], None)
            exponents = log_weights[columns] - exponents
            higher = np.maximum(top, exponents.max(axis=1))
            total = total * np.exp(top - higher) + np.exp(exponents - higher[:, None]).sum(axis=1)
            top = higher
        out[rows] = top + np.log(total)
    return out


def squared_distances(
    a: Float[np.ndarray, "r d"],
    b: Float[np.ndarray, "c d"],
    square_a: Float[np.ndarray, " r"],
    square_b: Float[np.ndarray, " c"],
    reach: float | None,
) -> Float[np.ndarray, "r c"]:
    """‖a_i − b_j‖² from one matrix product, good to 1e-11 (or 1e-16 of its size) where it is at most ``reach``.

    ``square_a`` and ``square_b`` are ‖a_i‖² and ‖b_j‖². ``reach=None`` means 40 above the smallest of its row.
    Where the rounding of the product may exceed that, the differences are formed, cut at 1e140.

    >>> a = np.array([[1e9], [1e9 + 1]])
    >>> squared_distances(a, a, a[:, 0] ** 2, a[:, 0] ** 2, 10.0)
    array([[0., 1.],
           [1., 0.]])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        distances = square_a[:, None] + square_b - 2 * a @ b.T
        rounding = (a.shape[1] + 4) * float(np.finfo(float).eps) * float(square_a.max() + square_b.max())
    if not np.isfinite(rounding):
        distances[:], reach = 0.0, np.inf  # squares overflow: all from differences
    if rounding > _EXPONENT_ERROR:
        limit = distances.min(axis=1, keepdims=True) + _NEGLIGIBLE if reach is None else reach
        rows, columns = np.nonzero(distances <= limit + 2 * rounding)
        step = max(1, 2**21 // a.shape[1])
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], columns[start : start + step]
            difference = np.clip(a[i] - b[j], -_FAR, _FAR)
            distances[i, j] = np.einsum("ij,ij->i", difference, difference)
    return distances
