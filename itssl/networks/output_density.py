r"""The density of a network's output, cell by cell, in closed form.

Let X have density p and let $f(x) = Ax + b$ on the cell $\omega$, with A of full rank. Then $\omega$ contributes to the
density of f(X) at z

- for K ≥ D inputs and outputs: $p(x)/\sqrt{\det A^\top A}$ at $x = A^+(z - b)$ if that solves $Ax + b = z$ and lies in
  $\omega$ (relative to D-dimensional volume; for K = D that is Lebesgue measure);
- for K = D − 1: $\int p(x)\,dx/\sqrt{\det AA^\top}$ over the segment that the line $Ax + b = z$ has in $\omega$ [1];
- for f(X) + N(0, s²I) and D ≤ 2: $N(z; A\mu + b, A\Sigma A^\top + s^2 I)\, P(\tilde X \in \omega)$, where
  $\tilde X$ has the Gaussian law of X given $AX + b + N(0, s^2 I) = z$.

For Gaussian p these are values, normal integrals and polygon probabilities. Mixtures add up. Whether x lies in
$\omega$ is decided up to the rounding of $A^+(z - b)$: on a flat map that is a strip along the sides.

References
----------
[1] H. Federer (1969). Geometric Measure Theory, 3.2.12 (coarea formula). Springer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.distributions.gaussian import LawError
from itssl.networks.cells import Cell
from itssl.networks.gaussian_source import Source
from itssl.networks.volumes import pseudo_inverse
from itssl.progress import progress_bar

_SLACK = 2**6 * float(np.finfo(np.float64).eps)
"""Roundings in an output of a network and its preimage, in units of the terms that are added up."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A cell with what its contributions need: A⁺, log of its volume factor, and the box around its image."""

    cell: Cell
    inverse: Float[np.ndarray, "D K"]
    log_volume: float
    low: Float[np.ndarray, " K"]
    high: Float[np.ndarray, " K"]

    @classmethod
    def of(cls, cell: Cell, log_volume: float) -> "Piece":
        """The piece of a cell of full rank."""
        image = cell.corners @ cell.matrix.T + cell.shift
        low, high = image.min(axis=0), image.max(axis=0)
        wide = 2**-20 * (high - low) + _SLACK * (np.abs(image).max(axis=0) + np.abs(cell.shift))  # only a first look
        return cls(cell, pseudo_inverse(cell.matrix), log_volume, low - wide, high + wide)

    def preimages(self, z: Samples, near: Float[np.ndarray, " D"]) -> tuple[Samples, Samples]:
        """Solutions of Ax + b = z as far from the point ``near`` as needed, and a bound of their rounding."""
        a, b = self.cell.matrix, self.cell.shift
        x = near + (z - (a @ near + b)) @ self.inverse.T
        x = x + (z - x @ a.T - b) @ self.inverse.T  # entries of A⁺ are good to the largest of them only
        size = np.abs(z) + np.abs(b) + np.abs(a) @ np.abs(near)
        return x, _SLACK * (size @ np.abs(self.inverse).T + np.abs(x))


@dataclass(frozen=True, eq=False)
class Sum:
    """Sums over pieces, one for each output: log of the density, and entropy of which piece it came from."""

    largest: Float[np.ndarray, " n"]
    total: Float[np.ndarray, " n"]
    moment: Float[np.ndarray, " n"]

    @classmethod
    def zero(cls, n: int) -> "Sum":
        """The empty sums."""
        return cls(np.full(n, -np.inf), np.zeros(n), np.zeros(n))

    def add(self, rows: Int[np.ndarray, " q"], logs: Float[np.ndarray, " q"]) -> None:
        """Adds e^l for each log l, in units of the largest so far: Σ e^(l−m) and Σ (l−m) e^(l−m)."""
        found = logs > -np.inf
        rows, logs = rows[found], logs[found]
        old, total, moment = self.largest[rows], self.total[rows], self.moment[rows]
        new = np.maximum(old, logs)
        drop = np.where(old > -np.inf, old - new, 0.0)  # of the earlier terms; there are none where old is −∞
        scale = np.exp(drop)
        self.largest[rows] = new
        self.total[rows] = scale * total + np.exp(logs - new)
        self.moment[rows] = scale * (moment + drop * total) + (logs - new) * np.exp(logs - new)

    @property
    def log_density(self) -> Float[np.ndarray, " n"]:
        with np.errstate(divide="ignore"):
            return self.largest + np.log(self.total)

    @property
    def branch_entropy(self) -> Float[np.ndarray, " n"]:
        """−Σ p log p of the shares; nan where no piece contributes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(self.total) - self.moment / self.total


def summed(pieces: Sequence[Piece], source: Source, z: Samples, *, noise_var: float = 0.0) -> Sum:
    """What all pieces contribute to the density at the rows of z.

    Raises LawError for K < D − 1 without noise, and for D > 2 with noise: no closed form.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> cell = Cell(np.array([[-9.0], [9.0]]), np.zeros((0, 1)), np.zeros(0), np.array([[2.0]]), np.zeros(1))
    >>> found = summed([Piece.of(cell, np.log(2))], Source.of(Gaussian.standard(1)), np.zeros((1, 1)))
    >>> print(found.log_density.round(4), found.branch_entropy)  # −½ log 2π − log 2
    [-1.6121] [0.]
    """
    k, d = z.shape[1], len(source.middle)
    if noise_var > 0 and d > 2:
        raise LawError(f"network: expected at most 2 inputs where noise is added, got {d}; no closed form is known")
    if noise_var == 0 and k < d - 1:
        raise LawError(f"network: expected at least {d - 1} outputs for {d} inputs, got {k}; no closed form is known")
    found, every = Sum.zero(len(z)), np.arange(len(z))
    part = _at_preimages if k >= d else _along_lines
    rows_of = _rows_within(pieces, z)
    with progress_bar("density", len(pieces), unit="region") as bar:
        for piece in pieces:
            if noise_var > 0:
                found.add(every, source.log_cell_integral(piece.cell, z, noise_var, found.largest))
            elif len(rows := rows_of(piece)):
                found.add(rows, part(piece, source, z[rows], rows))
            bar.update()
    return found


def _rows_within(pieces: Sequence[Piece], z: Samples) -> Callable[[Piece], Int[np.ndarray, " q"]]:
    """For a piece, the rows in the box around its image; the rows are sorted once, by their first coordinate."""
    order = np.argsort(z[:, 0], kind="stable")
    ordered = z[order]

    def rows(piece: Piece) -> Int[np.ndarray, " q"]:
        part = slice(*np.searchsorted(ordered[:, 0], [piece.low[0], piece.high[0]], side="left"))
        inside = ((ordered[part] >= piece.low) & (ordered[part] <= piece.high)).all(axis=1)
        return order[part][inside]

    return rows


def _at_preimages(piece: Piece, source: Source, z: Samples, rows: Int[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    cell = piece.cell
    x, rounding = piece.preimages(z, source.middle)
    met = cell.contains(x, rounding)
    if z.shape[1] > x.shape[1]:
        size = np.abs(z) + np.abs(cell.shift) + np.abs(x) @ np.abs(cell.matrix.T)
        off = np.abs(x @ cell.matrix.T + cell.shift - z)
        met &= (off <= rounding @ np.abs(cell.matrix.T) + _SLACK * size).all(axis=1)
    logs = np.full(len(z), -np.inf)
    logs[met] = source.log_density(x[met], rows[met]) - piece.log_volume
    return logs


def _along_lines(piece: Piece, source: Source, z: Samples, rows: Int[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    cell = piece.cell
    x, _ = piece.preimages(z, source.middle)
    direction = np.linalg.svd(piece.inverse.T)[2][-1]  # A and A⁺ᵀ have one kernel
    slope, height = cell.normals @ direction, x @ cell.normals.T + cell.offsets
    with np.errstate(divide="ignore", invalid="ignore"):
        time = -height / slope
    start = np.where(slope > 0, time, -np.inf).max(axis=1, initial=-np.inf)
    end = np.where(slope < 0, time, np.inf).min(axis=1, initial=np.inf)
    met = (start < end) & ~((slope == 0) & (height < 0)).any(axis=1)
    logs = np.full(len(z), -np.inf)
    logs[met] = source.log_line_integral(x[met], direction, start[met], end[met], rows[met]) - piece.log_volume
    return logs
