"""Population losses of linear encoders on Gaussian views: no sampling, optima to optimizer precision."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError, require_known
from itssl.objectives.vicreg import NORMALIZATIONS, WEIGHTS, Normalization


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

    def information(self, matrix: Float[np.ndarray, "K D"], *, smallest_variance: float = 0.0) -> float:
        """I(AX; AX') in nats of the Gaussian views, exact: −½ Σ log(1 − ρ_i²) over the canonical correlations.

        Directions of AX whose variance is at most ``smallest_variance`` of the largest are left out: information is
        blind to scale, so a direction that an optimizer has almost removed would count in full.

        >>> f"{ViewMoments(np.eye(1), 0.6 * np.eye(1)).information(np.array([[3.0]])):.4f}"
        '0.2231'
        """
        values, axes = np.linalg.eigh(matrix @ self.within @ matrix.T)
        kept = values > values[-1] * max(smallest_variance, len(values) * np.finfo(float).eps)
        white = (axes[:, kept] / np.sqrt(values[kept])).T @ matrix
        rho = np.linalg.svd(white @ self.across @ white.T, compute_uv=False)
        return float(-0.5 * np.log1p(-(np.minimum(rho, 1.0) ** 2)).sum())

    def information_bound(self, matrix: Float[np.ndarray, "K D"]) -> float:
        """h(Z) + E log N(Z; Z', I) = ½ log|A V Aᵀ| + K/2 − ½ tr(A Δ Aᵀ) in nats, exact for Gaussian views."""
        _, log_det = np.linalg.slogdet(matrix @ self.within @ matrix.T)
        return float(0.5 * (log_det + len(matrix) - np.trace(matrix @ self.difference @ matrix.T)))


def maximize_information_bound(moments: ViewMoments, k: int, rng: np.random.Generator) -> Float[np.ndarray, "K D"]:
    """The K × D matrix at which L-BFGS, from a random start, finds the maximum of the information bound.

    The maximizer is known up to rotation: the top K generalized eigenvectors of (V, Δ), scaled to A Δ Aᵀ = I.
    Raises RuntimeError when the optimizer does not converge.
    """
    from scipy.optimize import minimize

    v, delta = moments.within, moments.difference

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        a = flat.reshape(k, -1)
        return -moments.information_bound(a), (a @ delta - np.linalg.solve(a @ v @ a.T, a @ v)).ravel()

    found = minimize(
        loss, rng.standard_normal(k * len(v)), jac=True, method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-14, "gtol": 1e-8},
    )  # fmt: skip
    return _matrix(found, k)


def population_vicreg(
    moments: ViewMoments,
    matrix: Float[np.ndarray, "K D"],
    *,
    normalization: Normalization,
    weights: tuple[float, float, float] = WEIGHTS,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> float:
    """The VICReg loss of Z = A X at infinite batch size: as ``vicreg_terms(...).total(weights)`` on exact moments.

    >>> one = ViewMoments(np.eye(1), 0.5 * np.eye(1))
    >>> print(f"{population_vicreg(one, np.eye(1), normalization='reference', weights=(1.0, 0.0, 0.0)):.1f}")
    1.0
    """
    per_invariance, per_variance, per_covariance = _per_dimension(normalization, weights, len(matrix))
    cov = matrix @ moments.within @ matrix.T
    hinge = np.maximum(0, gamma - np.sqrt(np.diagonal(cov) + eps)).sum()
    off = cov - np.diag(np.diagonal(cov))
    squared_distance = np.trace(matrix @ moments.difference @ matrix.T)
    return float(per_invariance * squared_distance + per_variance * hinge + per_covariance * (off**2).sum())


def minimize_population_vicreg(
    moments: ViewMoments,
    k: int,
    rng: np.random.Generator,
    *,
    normalization: Normalization,
    weights: tuple[float, float, float] = WEIGHTS,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> Float[np.ndarray, "K D"]:
    """The K × D matrix at which the population VICReg loss is minimal, from a random start.

    At the optimum coordinates sit on the kink of the hinge, where gradient methods stall: with h_j ≥ 0 and
    h_j ≥ γ − √(C_jj + ε) as constraints the problem is smooth and SLSQP solves it.
    Raises RuntimeError when the optimizer does not converge, ParameterError for weights that are not positive.
    """
    from scipy.optimize import minimize

    if min(weights) <= 0:
        raise ParameterError(f"weights: expected three positive numbers, got {weights}")
    per_invariance, per_variance, per_covariance = _per_dimension(normalization, weights, k)
    v, delta, d = moments.within, moments.difference, len(moments.within)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        a, slack = flat[: k * d].reshape(k, d), flat[k * d :]
        cov, spread = a @ v @ a.T, a @ delta
        off = cov - np.diag(np.diagonal(cov))
        value = per_invariance * np.trace(spread @ a.T) + per_variance * slack.sum() + per_covariance * (off**2).sum()
        gradient = 2 * per_invariance * spread + 4 * per_covariance * off @ a @ v
        return float(value), np.concatenate([gradient.ravel(), np.full(k, per_variance)])

    def deviation(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = flat[: k * d].reshape(k, d)
        return a, np.sqrt(np.einsum("ij,jl,il->i", a, v, a) + eps)

    def room(flat: np.ndarray) -> np.ndarray:
        return flat[k * d :] - gamma + deviation(flat)[1]

    def room_gradient(flat: np.ndarray) -> np.ndarray:
        a, std = deviation(flat)
        rows = np.zeros((k, k, d))
        rows[np.arange(k), np.arange(k)] = a @ v / std[:, None]
        return np.hstack([rows.reshape(k, k * d), np.eye(k)])

    start = np.concatenate([0.3 * rng.standard_normal(k * d), np.full(k, gamma)])
    found = minimize(
        loss, start, jac=True, method="SLSQP", bounds=[(None, None)] * (k * d) + [(0, None)] * k,
        constraints=[{"type": "ineq", "fun": room, "jac": room_gradient}], options={"maxiter": 2000, "ftol": 1e-11},
    )  # fmt: skip
    found.x = found.x[: k * d]
    return _matrix(found, k)


def _per_dimension(
    normalization: Normalization, weights: tuple[float, float, float], k: int
) -> tuple[float, float, float]:
    """Factors of tr(A Δ Aᵀ), Σ_j hinge_j and Σ_{i≠j} C_ij² when both views have the same covariance."""
    require_known("normalization", normalization, NORMALIZATIONS)
    invariance = weights[0] if normalization == "equation" else weights[0] / k
    variance = weights[1] / k if normalization == "reference" else 2 * weights[1] / k
    return invariance, variance, 2 * weights[2] / k


def _matrix(found: Any, k: int) -> Float[np.ndarray, "K D"]:
    if not found.success:
        raise RuntimeError(f"the optimizer stopped after {found.nit} iterations: {found.message}")
    return found.x.reshape(k, -1)
