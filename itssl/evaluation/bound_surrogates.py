"""The terms between information and VICReg as functions of second moments, with the influence of every row on each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples
from itssl.kernels.linalg import log_determinant


class Piece(NamedTuple):
    """A number, and the centered contribution of each row to it: its derivative in the weight of the row."""

    value: float
    influence: Float[np.ndarray, " n"]

    def plus(self, other: "Piece", factor: float = 1.0) -> "Piece":
        """This and ``factor`` times the other."""
        return Piece(self.value + factor * other.value, self.influence + factor * other.influence)


class _View(NamedTuple):
    """One view: standardized rows, deviations (1/n), correlations, log|R| and uᵀR⁻¹u of each row."""

    u: Samples
    std: Float[np.ndarray, " d"]
    corr: Float[np.ndarray, "d d"]
    log_det: float
    squared: Float[np.ndarray, " n"]


class MomentPieces(NamedTuple):
    """What the steps are made of; each is the mean over both views. Relations and reasons of steps 6 and 7 beside."""

    std: Float[np.ndarray, " d"]
    """Deviations of z_a (n − 1)."""
    information: Piece
    distance: Piece
    """d/2 − ½ mean ‖Δ‖²."""
    log_det: Piece
    diagonal: Piece
    correlations: Piece
    covariances: Piece
    hinge: Piece
    of_covariances: tuple[str, str]
    of_hinge: tuple[str, str]


def moment_pieces(a: Samples, b: Samples, gamma: float, eps: float) -> MomentPieces:
    """All pieces for two views of shape (n, d); C has divisor n in logarithms, n − 1 in the terms of VICReg.

    Raises SampleError where the covariance of both views together is singular to rounding.

    >>> z = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> moment_pieces(z, z[[0, 1, 3, 2]], gamma=1.0, eps=0.0).distance.value
    -0.5
    """
    n, d = a.shape
    both = _view(np.hstack([a, b]))
    views = (_view(a), _view(b))
    if not math.isfinite(both.log_det):
        raise SampleError(
            "z_a and z_b: expected views of full rank together, got a direction of one that the rest determines; its "
            "information or its entropy is infinite. Project both on the directions that vary, e.g. with PCA"
        )
    squares = np.square(a - b).sum(axis=1)
    bessel = math.sqrt(n / (n - 1))

    def mean(values: Sequence[Piece]) -> Piece:
        return Piece(0.0, np.zeros(n)).plus(values[0], 0.5).plus(values[1], 0.5)

    std = [view.std * bessel for view in views]
    rooted = [np.sqrt(np.square(s) + eps) for s in std]
    short = [np.maximum(0, gamma - root) for root in rooted]
    up = np.concatenate([-lack - np.log(view.std) for lack, view in zip(short, views, strict=True)])
    products = np.concatenate([np.outer(s, s)[~np.eye(d, dtype=bool)] for s in std])
    return MomentPieces(
        std=std[0],
        information=Piece(
            0.5 * (views[0].log_det + views[1].log_det - both.log_det),
            0.5 * (views[0].squared + views[1].squared - both.squared),
        ),
        distance=Piece(d / 2 - 0.5 * float(squares.mean()), -0.5 * (squares - squares.mean())),
        log_det=mean([Piece(0.5 * v.log_det + float(np.log(v.std).sum()), 0.5 * (v.squared - d)) for v in views]),
        diagonal=mean([Piece(float(np.log(v.std).sum()), 0.5 * (np.square(v.u) - 1).sum(axis=1)) for v in views]),
        correlations=mean([_minus_quarter_squares(v.u, v.corr, scaled=True) for v in views]),
        covariances=mean(
            [
                _minus_quarter_squares(v.u * s, v.corr * np.outer(s, s), scaled=False)
                for v, s in zip(views, std, strict=True)
            ]
        ),
        hinge=mean(
            [
                Piece(-float(lack.sum()), (np.square(v.u) - 1) @ (np.square(s) / (2 * root) * (lack > 0)))
                for v, s, root, lack in zip(views, std, rooted, short, strict=True)
            ]
        ),
        of_covariances=(
            direction(1 - products),
            f"C_ij² = R_ij² C_ii C_jj; C_ii C_jj > 1 for {(products > 1).mean() if d > 1 else 0:.0%} of the pairs",
        ),
        of_hinge=(
            direction(up),
            f"above ½ log c for {int((up >= 0).sum())} of {2 * d} variances of both views, below for the others (at "
            "γ = 1 these are c ≤ 1 and c > 1); flat above γ",
        ),
    )  # fmt: skip


def _view(z: Samples) -> _View:
    centered = z - z.mean(axis=0)
    std = np.sqrt(np.square(centered).mean(axis=0))
    u = centered / std
    corr = u.T @ u / len(z)
    log_det = float(log_determinant(corr))
    if not math.isfinite(log_det):
        return _View(u, std, corr, log_det, np.full(len(z), np.nan))
    white = np.linalg.solve(np.linalg.cholesky(corr), u.T)
    return _View(u, std, corr, log_det, np.square(white).sum(axis=0))


def _minus_quarter_squares(u: Samples, matrix: Float[np.ndarray, "d d"], *, scaled: bool) -> Piece:
    """−¼ Σ_{i≠j} M_ij² for M the correlations (scaled) or covariances of u, whose rows are centered."""
    off = matrix - np.diag(np.diagonal(matrix))
    squares = np.square(off)
    moved = np.einsum("ni,ij,nj->n", u, off, u, optimize=True)
    own = np.square(u) @ squares.sum(axis=1) if scaled else float(squares.sum())
    return Piece(-0.25 * float(squares.sum()), -0.5 * (moved - own))


def direction(signs: Float[np.ndarray, " m"]) -> str:
    """How a sum stands to another if its terms differ by these signs.

    >>> direction(np.array([1.0, 0.0])), direction(np.array([1.0, -1.0]))
    ('≤', '≈')
    """
    if not signs.size:
        return "="
    return "≤" if signs.min() >= 0 else "≥" if signs.max() <= 0 else "≈"
