"""Second moments of two views, and what follows from them alone: information, canonical directions, angles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError, require_count


@dataclass(frozen=True, eq=False)
class ViewMoments:
    """Second moments of two exchangeable views: ``within`` = Cov X, ``across`` = Cov(X, X').

    >>> ViewMoments(np.eye(1), 0.6 * np.eye(1)).difference
    array([[0.8]])
    """

    within: Float[np.ndarray, "D D"]
    across: Float[np.ndarray, "D D"]

    @property
    def difference(self) -> Float[np.ndarray, "D D"]:
        """Δ = E(x − x')(x − x')ᵀ = 2 Cov X − Cov(X, X') − Cov(X', X)."""
        return 2 * self.within - self.across - self.across.T

    def embedded(self, matrix: Float[np.ndarray, "K D"]) -> "ViewMoments":
        """The moments of Z = A X and Z' = A X'.

        >>> ViewMoments(np.eye(2), 0.6 * np.eye(2)).embedded(np.array([[1.0, 2.0]])).across
        array([[3.]])
        """
        return ViewMoments(matrix @ self.within @ matrix.T, matrix @ self.across @ matrix.T)

    def information(self, matrix: Float[np.ndarray, "K D"], *, smallest_variance: float = 0.0) -> float:
        """I(AX; AX') in nats of the Gaussian views, exact: −½ Σ log(1 − ρ_i²) over the canonical correlations.

        Directions of AX whose variance is at most ``smallest_variance`` of the largest are left out: information is
        blind to scale, so a direction that an optimizer has almost removed would count in full.

        >>> f"{ViewMoments(np.eye(1), 0.6 * np.eye(1)).information(np.array([[3.0]])):.4f}"
        '0.2231'
        """
        white = self._white(matrix, smallest_variance)
        return _information(np.linalg.svd(white @ self.across @ white.T, compute_uv=False))

    def information_bound(self, matrix: Float[np.ndarray, "K D"]) -> float:
        """h(Z) + E log N(Z; Z', I) = ½ log|A V Aᵀ| + K/2 − ½ tr(A Δ Aᵀ) in nats, exact for Gaussian views."""
        _, log_det = np.linalg.slogdet(matrix @ self.within @ matrix.T)
        return float(0.5 * (log_det + len(matrix) - np.trace(matrix @ self.difference @ matrix.T)))

    def canonical(self) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "D D"]]:
        """(ρ, W): canonical correlations ρ from the largest and, as rows of W, the directions: W V Wᵀ = I.

        Of exchangeable views, whose Cov(X, X') is symmetric: W Cov(X, X') Wᵀ = diag(ρ), with signs.

        >>> ViewMoments(np.diag([1.0, 4.0]), np.diag([0.5, 3.6])).canonical()[0].round(3)
        array([0.9, 0.5])
        """
        white = np.linalg.inv(np.linalg.cholesky(self.within))
        rho, axes = np.linalg.eigh(white @ (self.across + self.across.T) @ white.T / 2)
        return rho[::-1], axes[:, ::-1].T @ white

    def best_information(self, k: int) -> float:
        """The largest I(AX; AX') over K × D matrices in nats: that of the k directions with the largest |ρ|.

        >>> print(f"{ViewMoments(np.eye(2), np.diag([0.6, 0.1])).best_information(1):.4f}")
        0.2231
        """
        require_count("k", k)
        return _information(np.sort(np.abs(self.canonical()[0]))[::-1][:k])

    def largest_angle(self, matrix: Float[np.ndarray, "K D"], k: int, *, smallest_variance: float = 0.0) -> float:
        """The largest principal angle, in radians, between the features AX and the k leading canonical variates.

        Features are compared as random variables: their inner product is the covariance. Directions with at most
        ``smallest_variance`` of the largest variance are left out. With fewer directions than k the angle is 0 where
        all that is kept lies in the span of the leading ones. Raises ParameterError when more than k are kept.

        >>> views = ViewMoments(np.eye(2), np.diag([0.6, 0.1]))
        >>> print(f"{views.largest_angle(np.array([[1.0, 1.0]]), 1):.4f}")  # π/4
        0.7854
        """
        white, leading = self._white(matrix, smallest_variance), self.canonical()[1][:k]
        if len(white) > k:
            raise ParameterError(f"k: expected at least the {len(white)} directions that are kept, got {k}")
        outside = white - white @ self.within @ leading.T @ leading  # sines are exact where cosines round to 1
        sine = np.sqrt(np.linalg.eigvalsh(outside @ self.within @ outside.T)[-1].clip(0, 1))
        return float(np.arcsin(sine))

    def _white(self, matrix: Float[np.ndarray, "K D"], smallest_variance: float) -> Float[np.ndarray, "r D"]:
        """Uncorrelated combinations of AX with variance 1 that span its kept directions."""
        values, axes = np.linalg.eigh(matrix @ self.within @ matrix.T)
        kept = values > values[-1] * max(smallest_variance, len(values) * np.finfo(float).eps)
        return (axes[:, kept] / np.sqrt(values[kept])).T @ matrix


def _information(rho: Float[np.ndarray, " k"]) -> float:
    return float(-0.5 * np.log1p(-(np.minimum(rho, 1.0) ** 2)).sum())
