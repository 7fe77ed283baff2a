r"""All regions of a network inside a box of a low-dimensional input space, by splitting.

Start with the box. At a point inside a polytope P take the functionals of the network, held as at that point
(:func:`itssl.networks.regions.face_functionals`), in the order of evaluation, and let j be the first whose sign changes
within P. No earlier kink changes within P, so on P the input of kink j is the held functional exactly, and cutting P
along its zero separates points that differ at j. The kinks before j stay settled in both parts. When no functional
changes sign, all of P has one pattern. Every cut adds one polytope; so many cells cost about twice as many looks.
(A max-pool compares its winner with one loser after the other: a region of it may come in several parts.)

Polytopes are kept by their corners, which show sign changes, and by their half-spaces, which decide membership. A part
thinner than 2⁻³⁶ of the box is not cut off: where exactly a face lies is known up to the rounding of a forward pass.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import nn

from itssl.arrays import Samples
from itssl.choices import ParameterError, require_count
from itssl.networks.regions import face_functionals, local_affine
from itssl.progress import progress_bar

HIGHEST = 3
"""Inputs of more dimensions have too many regions, and polytopes with too many corners."""
_ROUNDING = 2**10 * float(np.finfo(np.float64).eps)
_THIN = 2.0**-36


@dataclass(frozen=True, eq=False, repr=False)
class Cell:
    r"""One region within the box: where $N y + o \ge 0$, and the map $y \mapsto A y + b$ that the network is there.

    ``corners`` go around the cell when D = 2.
    """

    corners: Float[np.ndarray, "v D"]
    normals: Float[np.ndarray, "h D"]
    offsets: Float[np.ndarray, " h"]
    matrix: Float[np.ndarray, "K D"]
    shift: Float[np.ndarray, " K"]

    def __repr__(self) -> str:
        k, d = self.matrix.shape
        middle = ", ".join(f"{value:.3g}" for value in self.corners.mean(axis=0))
        return f"Cell(around ({middle}), {len(self.corners)} corners, {d} inputs, {k} outputs)"

    def contains(self, x: Samples, rounding: Float[np.ndarray, "n D"] | float = 0.0) -> Bool[np.ndarray, " n"]:
        """Which points lie in the closed cell, where their coordinates are known up to ``rounding``."""
        slack = x @ self.normals.T + self.offsets
        terms = np.abs(x) @ np.abs(self.normals.T) + np.abs(self.offsets)
        known = 8 * float(np.finfo(np.float64).eps) * terms + (rounding + np.zeros_like(x)) @ np.abs(self.normals.T)
        return np.asarray((slack >= -known).all(axis=1))


@dataclass(frozen=True, eq=False)
class _Piece:
    corners: Float[np.ndarray, "v D"]
    normals: Float[np.ndarray, "h D"]
    offsets: Float[np.ndarray, " h"]
    settled: int = 0
    """Kinks before this one are known to keep their sign on all of the piece."""

    def cut(
        self, kink: int, normal: Float[np.ndarray, " D"], offset: float, heights: Float[np.ndarray, " v"], thin: float
    ) -> "tuple[_Piece, _Piece]":
        """The parts where normal·y + offset is positive and negative, from its values at the corners."""
        above, below = heights > thin, heights < -thin
        met = _extreme(_crossings(self.corners[above], heights[above], self.corners[below], heights[below]))
        on = self.corners[~above & ~below]
        first, second = (
            _Piece(
                corners=_around(np.concatenate([self.corners[side], on, met])),
                normals=np.concatenate([self.normals, sign * normal[None]]),
                offsets=np.append(self.offsets, sign * offset),
                settled=kink,
            )
            for side, sign in ((above, 1.0), (below, -1.0))
        )
        return first, second


def cells(
    network: nn.Module, low: Float[np.ndarray, " D"], high: Float[np.ndarray, " D"], *, most: int = 20_000
) -> tuple[Cell, ...]:
    """All regions of a piecewise-affine network that meet the box low ≤ x ≤ high; D at most 3.

    Parameters
    ----------
    network: as for :func:`itssl.networks.regions.local_affine`.
    low, high: opposite corners of the box.
    most: more cells than that are refused.

    Raises
    ------
    ParameterError: more than 3 dimensions, an empty box, or more than ``most`` cells.
    NetworkError: a network that is not piecewise affine or takes another dimension.

    >>> from itssl.networks.encoders import mlp
    >>> len(cells(mlp((1, 5, 1), seed=1), np.array([-9.0]), np.array([9.0])))
    6
    """
    low, high = np.atleast_1d(np.asarray(low, dtype=float)), np.atleast_1d(np.asarray(high, dtype=float))
    most = require_count("most", most)
    if not 1 <= len(low) <= HIGHEST:
        raise ParameterError(f"low: expected 1 to {HIGHEST} dimensions, got {len(low)}; sample instead of enumerating")
    if low.shape != high.shape or not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ParameterError(f"low, high: expected finite corners of a box with low < high, got {low} and {high}")
    done: list[_Piece] = []
    todo = [_box(low, high)]
    with progress_bar("regions", unit="region") as bar:
        while todo:
            if len(todo) + len(done) > most:
                raise ParameterError(
                    f"network: expected at most {most} regions within the box, got more; raise most=, or take a "
                    "smaller network or box"
                )
            todo, finished = _cut_once(network, todo, high - low)
            done += finished
            bar.update(len(finished))
    local = local_affine(network, np.stack([piece.corners.mean(axis=0) for piece in done]))
    return tuple(
        Cell(piece.corners, piece.normals, piece.offsets, matrix, shift)
        for piece, matrix, shift in zip(done, local.matrix, local.offset, strict=True)
    )


def _cut_once(
    network: nn.Module, pieces: list[_Piece], width: Float[np.ndarray, " D"]
) -> tuple[list[_Piece], list[_Piece]]:
    """Each piece cut along the first functional that changes sign on it; and those on which none does."""
    inside = np.stack([piece.corners.mean(axis=0) for piece in pieces])
    faces = face_functionals(network, inside)
    todo: list[_Piece] = []
    done: list[_Piece] = []
    for piece, point, gradient, value in zip(pieces, inside, faces.gradient, faces.value, strict=True):
        heights = value + (piece.corners - point) @ gradient.T
        coordinates = _ROUNDING * np.abs(piece.corners).max(axis=0) + _THIN * width
        thin = _ROUNDING * np.abs(value) + np.abs(gradient) @ coordinates
        changing = (heights > thin).any(axis=0) & (heights < -thin).any(axis=0)
        changing[: piece.settled] = False
        if changing.any():
            j = int(changing.argmax())
            todo += piece.cut(j, gradient[j], float(value[j] - gradient[j] @ point), heights[:, j], float(thin[j]))
        else:
            done.append(piece)
    return todo, done


def _box(low: Float[np.ndarray, " D"], high: Float[np.ndarray, " D"]) -> _Piece:
    ends = np.stack([low, high])
    corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, len(low))
    unit = np.eye(len(low))
    return _Piece(_around(corners), np.concatenate([unit, -unit]), np.concatenate([-low, high]))


def _crossings(
    above: Float[np.ndarray, "p D"], up: Float[np.ndarray, " p"], below: Samples, down: Float[np.ndarray, " q"]
) -> Samples:
    """Where the segments between corners on both sides meet the cut: their hull is the section."""
    share = up[:, None] / (up[:, None] - down)
    return (above[:, None] + share[..., None] * (below - above[:, None])).reshape(-1, above.shape[1])


def _extreme(points: Samples) -> Samples:
    """The extreme points of a section, which lies in a hyperplane."""
    if points.shape[1] == 1:
        return points[:1]
    middle = points.mean(axis=0)
    axes = np.linalg.svd(points - middle, full_matrices=False)[2]
    flat = (points - middle) @ axes[: points.shape[1] - 1].T
    if points.shape[1] == 2:
        return points[[flat[:, 0].argmin(), flat[:, 0].argmax()]]
    return points[_hull(flat)]


def _hull(points: Float[np.ndarray, "q 2"]) -> list[int]:
    """Corners of the convex hull in the plane; the two ends where the points lie on a line up to rounding."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return ConvexHull(points).vertices.tolist()
    except QhullError:
        off = points - points.mean(axis=0)
        along = off @ np.linalg.svd(off, full_matrices=False)[2][0]
        return [int(along.argmin()), int(along.argmax())]


def _around(corners: Samples) -> Samples:
    """Corners of a polygon in order around its middle; in other dimensions as they are."""
    if corners.shape[1] != 2:
        return corners
    off = corners - corners.mean(axis=0)
    return corners[np.argsort(np.arctan2(off[:, 1], off[:, 0]), kind="stable")]
