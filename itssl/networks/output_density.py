r"""The density of a network's output, cell by cell, in closed form.

Let X have density p and let $f(x) = Ax + b$ on the cell $\omega$, with A of full rank. Then $\omega$ contributes to the
density of f(X) at z

- for K ≥ D inputs and outputs: $p(x)/\sqrt{\det A^\top A}$ at $x = A^+(z - b)$ if that solves $Ax + b = z$ and lies in
  $\omega$ (relative to D-dimensional volume; for K = D that is Lebesgue measure);
- for K = D − 1: $\int p(x)\,dx/\sqrt{\det AA^\top}$ over the segment that the line $Ax + b = z$ has in $\omega$ [1];
- for f(X) + N(0, s²I) and D ≤ 2: $N(z; A\mu + b, A\Sigma A^\top + s^2 I)\, P(\tilde X \in \omega)$, where
  $\tilde X$ has the Gaussian law of X given $AX + b + N(0, s^2 I) = z$.

For Gaussian p these are values, normal integrals and polygon probabilities. Mixtures add up.

References
----------
[1] H. Federer (1969). Geometric Measure Theory, 3.2.12 (coarea formula). Springer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_ndtr, logsumexp

from itssl.arrays import Samples
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.polygon_measure import standard_polygon_probability
from itssl.kernels.linalg import LOG_2PI
from itssl.networks.cells import Cell

_EPS = float(np.finfo(np.float64).eps)
_REACH = 9.0  # deviations; N(0, 1) has mass 2e-19 beyond


@dataclass(frozen=True, eq=False)
class Source:
    """Gaussian mixtures of the input: one for all outputs (r = 1) or one with means of its own for each (r = n)."""

    weights: Float[np.ndarray, " m"]
    means: Float[np.ndarray, "r m D"]
    covs: Float[np.ndarray, "m D D"]

    @classmethod
    def of(cls, law: Law) -> "Source":
        """The mixture that is the law itself; LawError for a law that is none."""
        if isinstance(law, Gaussian):
            return cls(np.ones(1), law.mean[None, None], law.cov[None])
        if isinstance(law, GaussianMixture):
            return cls(law.weights, law.means[None], law.covs)
        raise LawError(
            f"law: expected a Gaussian or a GaussianMixture, got {type(law).__name__}; its image is not known"
        )

    def rows(self, chosen: Bool[np.ndarray, " n"]) -> "Source":
        """The mixtures of the chosen outputs."""
        return self if len(self.means) == 1 else Source(self.weights, self.means[chosen], self.covs)

    @cached_property
    def _precisions(self) -> Float[np.ndarray, "m D D"]:
        return np.linalg.inv(self.covs)

    @cached_property
    def _log_norms(self) -> Float[np.ndarray, " m"]:
        """Logarithm of weight over √det(2πΣ)."""
        half = np.log(np.diagonal(np.linalg.cholesky(self.covs), axis1=1, axis2=2)).sum(axis=1)
        return np.log(self.weights) - half - 0.5 * self.means.shape[2] * LOG_2PI

    def at_points(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p at one point for each output."""
        off = x[:, None] - self.means
        square = np.einsum("nmi,mij,nmj->nm", off, self._precisions, off)
        return np.asarray(logsumexp(self._log_norms - square / 2, axis=1))

    def along_line(
        self,
        x: Samples,
        direction: Float[np.ndarray, " D"],
        start: Float[np.ndarray, " n"],
        end: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """log ∫ p(x + t·direction) dt from start to end, one line for each output."""
        off = x[:, None] - self.means
        pull = self._precisions @ direction
        curvature = pull @ direction
        nearest = -np.einsum("nmi,mi->nm", off, pull) / curvature
        square = np.einsum("nmi,mij,nmj->nm", off, self._precisions, off) - curvature * nearest**2
        root = np.sqrt(curvature)
        mass = log_interval(root * (start[:, None] - nearest), root * (end[:, None] - nearest))
        return np.asarray(logsumexp(self._log_norms - square / 2 + mass + 0.5 * LOG_2PI - np.log(root), axis=1))

    def with_noise(self, cell: Cell, z: Samples, noise_var: float) -> Float[np.ndarray, " n"]:
        """log of ∫ over the cell of p(x) N(z; Ax + b, noise_var·I) dx."""
        parts = np.empty((len(z), len(self.weights)))
        for c, (precision, cov) in enumerate(zip(self._precisions, self.covs, strict=True)):
            mean = self.means[:, c]
            posterior = np.linalg.inv(precision + cell.matrix.T @ cell.matrix / noise_var)
            off = z - cell.shift - mean @ cell.matrix.T
            center = mean + off @ cell.matrix @ posterior / noise_var
            law = Gaussian(np.zeros(len(cell.shift)), _symmetric(cell.matrix @ cov @ cell.matrix.T, noise_var))
            parts[:, c] = law.log_density(off) + _log_cell_probability(cell, center, _symmetric(posterior))
        return np.asarray(logsumexp(parts + np.log(self.weights), axis=1))


def contributions(
    cells: Sequence[Cell], source: Source, z: Samples, *, noise_var: float = 0.0
) -> Float[np.ndarray, "n c"]:
    """log of what each cell contributes to the density at the rows of z; −∞ where it contributes nothing.

    Without noise, cells that lose rank contribute no density and are left out: check :func:`rank` first. Raises
    LawError for K < D − 1 without noise, and for D > 2 with noise: no closed form.

    >>> cell = Cell(np.array([[-9.0], [9.0]]), np.zeros((0, 1)), np.zeros(0), np.array([[2.0]]), np.zeros(1))
    >>> print(contributions([cell], Source.of(Gaussian.standard(1)), np.zeros((1, 1))).round(4))  # −½ log 2π − log 2
    [[-1.6121]]
    """
    k, d = cells[0].matrix.shape
    if noise_var > 0 and d > 2:
        raise LawError(f"network: expected at most 2 inputs where noise is added, got {d}; no closed form is known")
    if noise_var == 0 and k < d - 1:
        raise LawError(f"network: expected at least {d - 1} outputs for {d} inputs, got {k}; no closed form is known")
    found = np.full((len(z), len(cells)), -np.inf)
    for c, cell in enumerate(cells):
        if noise_var > 0:
            found[:, c] = source.with_noise(cell, z, noise_var)
            continue
        if rank(cell) < min(k, d):
            continue
        near = _within_image(cell, z)
        if near.any():
            part = _at_preimages if k >= d else _along_lines
            found[near, c] = part(cell, source.rows(near), z[near])
    return found


def rank(cell: Cell) -> int:
    """Rank of the matrix of a cell, relative to the rounding of a product of weight matrices.

    >>> rank(Cell(np.zeros((1, 1)), np.zeros((0, 1)), np.zeros(0), np.array([[0.0]]), np.zeros(1)))
    0
    """
    return int((singular_values(cell.matrix) > 0).sum())


def singular_values(matrix: Float[np.ndarray, "*batch K D"]) -> Float[np.ndarray, "*batch r"]:
    """Singular values, with 0 for those within rounding of 0.

    Entries of a product of weight matrices carry roundings of many terms; 2¹² units of the largest singular value are
    taken for rounding, so a map that is flatter than that counts as one that loses rank.

    >>> singular_values(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]])).round(3)
    array([2., 0.])
    """
    values = np.linalg.svd(matrix, compute_uv=False)
    return np.where(values > 2**12 * _EPS * values.max(axis=-1, initial=0.0, keepdims=True), values, 0.0)


def log_interval(low: Float[np.ndarray, "*n"], high: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """log(Φ(high) − Φ(low)) without cancellation in the tails; −∞ where high ≤ low.

    >>> log_interval(np.array([-1.0, 30.0]), np.array([1.0, 31.0])).round(2).tolist()
    [-0.38, -454.32]
    """
    flip = low > 0  # Φ(b) − Φ(a) = Φ(−a) − Φ(−b), and the left tail has its logarithm in full precision
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        upper = log_ndtr(b)
        found = upper + np.log1p(-np.exp(np.minimum(log_ndtr(a) - upper, 0.0)))
    return np.where(a < b, found, -np.inf)


def cell_probabilities(cells: Sequence[Cell], source: Source) -> Float[np.ndarray, " c"]:
    """P(X in each cell) for D ≤ 2, exact up to rounding (absolute).

    >>> cell = Cell(np.array([[0.0], [9.0]]), np.zeros((0, 1)), np.zeros(0), np.eye(1), np.zeros(1))
    >>> print(cell_probabilities([cell], Source.of(Gaussian.standard(1))).round(6))
    [0.5]
    """
    return np.array(
        [
            sum(
                weight * float(np.exp(_log_cell_probability(cell, mean[None], cov))[0])
                for weight, mean, cov in zip(source.weights, source.means[0], source.covs, strict=True)
            )
            for cell in cells
        ]
    )


def _at_preimages(cell: Cell, source: Source, z: Samples) -> Float[np.ndarray, " n"]:
    left, values, right = np.linalg.svd(cell.matrix, full_matrices=False)
    x = (z - cell.shift) @ left / values @ right
    met = cell.contains(x, conditioning=float(values[0] / values[-1]))
    if len(cell.shift) > x.shape[1]:  # half of the digits: other flats are far off, or meet this one in measure zero
        image = x @ cell.matrix.T + cell.shift
        size = np.abs(x) @ np.abs(cell.matrix.T) + np.abs(cell.shift) + np.abs(z)
        met &= (np.abs(image - z) <= np.sqrt(_EPS) * size.max(axis=1, keepdims=True)).all(axis=1)
    return np.where(met, source.at_points(x) - np.log(values).sum(), -np.inf)


def _along_lines(cell: Cell, source: Source, z: Samples) -> Float[np.ndarray, " n"]:
    left, values, right = np.linalg.svd(cell.matrix)
    x, direction = (z - cell.shift) @ left / values @ right[:-1], right[-1]
    slope = cell.normals @ direction
    with np.errstate(divide="ignore", invalid="ignore"):
        time = -(x @ cell.normals.T + cell.offsets) / slope
    start = np.where(slope > 0, time, -np.inf).max(axis=1, initial=-np.inf)
    end = np.where(slope < 0, time, np.inf).min(axis=1, initial=np.inf)
    beside = ((slope == 0) & (x @ cell.normals.T + cell.offsets < 0)).any(axis=1)
    inside = (start < end) & ~beside
    mass = source.along_line(x, direction, np.where(inside, start, 0.0), np.where(inside, end, 1.0))
    return np.where(inside, mass - np.log(values).sum(), -np.inf)


def _within_image(cell: Cell, z: Samples) -> Bool[np.ndarray, " n"]:
    """Rows within the bounding box of the cell's image, the hull of the images of its corners."""
    image = cell.corners @ cell.matrix.T + cell.shift
    low, high = image.min(axis=0), image.max(axis=0)
    rounding = np.sqrt(_EPS) * (np.abs(image).max(axis=0) + (high - low))
    return ((z >= low - rounding) & (z <= high + rounding)).all(axis=1)


def _log_cell_probability(
    cell: Cell, means: Float[np.ndarray, "n D"], cov: Float[np.ndarray, "D D"]
) -> Float[np.ndarray, " n"]:
    """log P(N(mean, cov) in the cell) for each mean, D ≤ 2."""
    if len(cov) == 1:
        ends = (np.sort(cell.corners[:, 0]) - means) / np.sqrt(cov[0, 0])
        return log_interval(ends[:, 0], ends[:, 1])
    whitener = np.linalg.inv(np.linalg.cholesky(cov)).T
    deviations = np.sqrt(np.einsum("hi,ij,hj->h", cell.normals, cov, cell.normals))
    found = np.full(len(means), -np.inf)
    near = (means @ cell.normals.T + cell.offsets > -_REACH * deviations).all(axis=1)
    corners = (cell.corners - means[near][:, None]) @ whitener
    with np.errstate(divide="ignore"):
        found[near] = np.log(standard_polygon_probability(corners))
    return found


def _symmetric(matrix: Float[np.ndarray, "q q"], ridge: float = 0.0) -> Float[np.ndarray, "q q"]:
    return (matrix + matrix.T) / 2 + ridge * np.eye(len(matrix))
