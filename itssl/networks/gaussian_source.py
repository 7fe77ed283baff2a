"""Gaussian mixtures at the input of a network, integrated over points, segments and cells in closed form."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr, logsumexp

from itssl.arrays import Samples
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.polygon_measure import standard_polygon_probability
from itssl.kernels.linalg import LOG_2PI
from itssl.networks.cells import Cell

REACH = 9.0
"""Standard deviations within which a law is looked at; N(0, 1) has mass 2e-19 beyond."""
NEGLIGIBLE = 40.0
"""Terms e^−40 below the sum so far change none of its digits."""


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

    @cached_property
    def middle(self) -> Float[np.ndarray, " D"]:
        """A point among the means, from which distances keep their digits."""
        return self.weights @ self.means.mean(axis=0)

    def part(self, rows: slice) -> "Source":
        """The sources of a slice of the outputs."""
        return self if len(self.means) == 1 else Source(self.weights, self.means[rows], self.covs)

    def of_rows(self, rows: Int[np.ndarray, " q"]) -> Float[np.ndarray, "r m D"]:
        """Means that belong to the given outputs."""
        return self.means if len(self.means) == 1 else self.means[rows]

    def log_density(self, x: Samples, rows: Int[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
        """log p at one point for each of the outputs ``rows``."""
        off = x[:, None] - self.of_rows(rows)
        return _added(self._log_norms - self._square(off) / 2)

    def log_line_integral(
        self,
        x: Samples,
        direction: Float[np.ndarray, " D"],
        start: Float[np.ndarray, " q"],
        end: Float[np.ndarray, " q"],
        rows: Int[np.ndarray, " q"],
    ) -> Float[np.ndarray, " q"]:
        """log ∫ p(x + t·direction) dt from start to end, one line for each of the outputs ``rows``."""
        off = x[:, None] - self.of_rows(rows)
        pull = self._precisions @ direction
        curvature = pull @ direction
        nearest = -np.einsum("nmi,mi->nm", off, pull) / curvature
        square = self._square(off + nearest[..., None] * direction)
        root = np.sqrt(curvature)
        mass = log_interval(root * (start[:, None] - nearest), root * (end[:, None] - nearest))
        return _added(self._log_norms - square / 2 + mass + 0.5 * LOG_2PI - np.log(root))

    def log_cell_integral(
        self, cell: Cell, z: Samples, noise_var: float, known: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        r"""log of ∫ p(x) N(z; Ax + b, s²I) dx over the cell; −∞ where it adds no digit to what is ``known``.

        With $\Sigma = LL^\top$ and $AL = USV^\top$ the output is normal along the columns of U with variances S² + s²,
        and X given it has covariance $FF^\top$, $F = LV\,\mathrm{diag}(s/\sqrt{S^2 + s^2})$: nothing cancels.
        """
        parts = np.full((len(z), len(self.weights)), -np.inf)
        for c, (weight, cov) in enumerate(zip(self.weights, self.covs, strict=True)):
            root = np.linalg.cholesky(cov)
            left, values, right = np.linalg.svd(cell.matrix @ root)
            left = left[:, : len(values)]
            off = (z - (cell.matrix @ self.middle + cell.shift)) - (self.means[:, c] - self.middle) @ cell.matrix.T
            along = off @ left
            total = values**2 + noise_var
            beside = ((off - along @ left.T) ** 2).sum(axis=1) / noise_var
            spread = np.log(total).sum() + (z.shape[1] - len(values)) * np.log(noise_var) + z.shape[1] * LOG_2PI
            bound = np.log(weight) - 0.5 * ((along**2 / total).sum(axis=1) + beside + spread)
            near = np.flatnonzero(bound > known - NEGLIGIBLE)
            if not len(near):
                continue
            left_over = np.ones(len(cov))
            left_over[: len(values)] = np.sqrt(noise_var / total)
            centers = self.of_rows(near)[:, c] + along[near] * (values / total) @ right[: len(values)] @ root.T
            parts[near, c] = bound[near] + log_cell_probability(cell, centers, root @ right.T * left_over)
        return _added(parts)

    def log_cell_probability(self, cell: Cell) -> float:
        """log P(X in the cell), D ≤ 2, of the one mixture."""
        parts = [
            np.log(weight) + log_cell_probability(cell, mean[None], np.linalg.cholesky(cov))[0]
            for weight, mean, cov in zip(self.weights, self.means[0], self.covs, strict=True)
        ]
        return float(np.logaddexp.reduce(parts))

    @cached_property
    def _precisions(self) -> Float[np.ndarray, "m D D"]:
        return np.linalg.inv(self.covs)

    @cached_property
    def _whiteners(self) -> Float[np.ndarray, "m D D"]:
        return np.linalg.inv(np.linalg.cholesky(self.covs))

    @cached_property
    def _log_norms(self) -> Float[np.ndarray, " m"]:
        """Logarithm of weight over √det(2πΣ)."""
        half = np.log(np.diagonal(np.linalg.cholesky(self.covs), axis1=1, axis2=2)).sum(axis=1)
        return np.log(self.weights) - half - 0.5 * self.means.shape[2] * LOG_2PI

    def _square(self, off: Float[np.ndarray, "n m D"]) -> Float[np.ndarray, "n m"]:
        return (np.einsum("mij,nmj->nmi", self._whiteners, off) ** 2).sum(axis=2)


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


def log_cell_probability(
    cell: Cell, means: Float[np.ndarray, "q D"], factor: Float[np.ndarray, "D D"]
) -> Float[np.ndarray, " q"]:
    """log P(N(mean, FFᵀ) in the cell) for each mean and the factor F, D ≤ 2.

    In the plane the error is absolute: probabilities below about 1e-16 are rounding.

    >>> cell = Cell(np.array([[0.0], [9.0]]), np.zeros((0, 1)), np.zeros(0), np.eye(1), np.zeros(1))
    >>> print(log_cell_probability(cell, np.zeros((1, 1)), np.eye(1)).round(4))
    [-0.6931]
    """
    if len(factor) == 1:
        ends = (np.sort(cell.corners[:, 0]) - means) / np.abs(factor[0, 0])
        return log_interval(ends[:, 0], ends[:, 1])
    whitener = np.linalg.inv(factor).T
    found = np.full(len(means), -np.inf)
    near = meets(cell, means, factor)
    corners = (cell.corners - means[near][:, None]) @ whitener
    with np.errstate(divide="ignore"):
        found[near] = np.log(standard_polygon_probability(corners))
    return found


def meets(cell: Cell, means: Float[np.ndarray, "q D"], factor: Float[np.ndarray, "D D"]) -> Bool[np.ndarray, " q"]:
    """Whether N(mean, FFᵀ) has a chance to be in the cell: no side is more than REACH deviations off.

    >>> cell = Cell(np.array([[0.0], [9.0]]), np.array([[1.0], [-1.0]]), np.array([0.0, 9.0]), np.eye(1), np.zeros(1))
    >>> meets(cell, np.array([[-8.0], [-10.0]]), np.eye(1))
    array([ True, False])
    """
    deviations = np.linalg.norm(cell.normals @ factor, axis=1)
    return np.asarray((means @ cell.normals.T + cell.offsets > -REACH * deviations).all(axis=1))


def _added(logs: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """log Σ exp over components; one component needs no sum."""
    return logs[:, 0] if logs.shape[1] == 1 else np.asarray(logsumexp(logs, axis=1))
