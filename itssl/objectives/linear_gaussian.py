"""Linear encoders on Gaussian views: optima of population losses to optimizer precision, with nothing sampled."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from itssl.choices import ParameterError, require_count
from itssl.objectives.population_losses import Hinge, PopulationLoss, invariance_logdet, vicreg
from itssl.objectives.vicreg import WEIGHTS, Normalization
from itssl.objectives.view_moments import ViewMoments as ViewMoments

GRADIENT = 1e-6  # relative to the start's: what may be left where rounding ends a line search
UNCHANGED = 1e-9  # relative
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def minimize_population(
    loss: PopulationLoss, moments: ViewMoments, k: int, rng: np.random.Generator
) -> Float[np.ndarray, "K D"]:
    r"""The K × D matrix A of a local minimum of ``loss`` over Z = A X, from a random start by L-BFGS.

    The search runs in coordinates in which Cov X = I, so that units of X do not matter; its start is isotropic in them.
    At VICReg's optima coordinates sit on the kink of the hinge, where gradient methods stall. So a row is written
    (p + e)·b/‖b‖ with 0 ≤ p ≤ √(γ² − ε), e ≥ 0 and the hinge seen by p alone: smooth, with bounds for constraints, and
    of the same minima, as more p is never worse than more e. What it adds are stops at p = 0, where the hinge has no
    slope; from there the search goes on.

    Raises RuntimeError when the optimizer does not converge, ParameterError for k < 1.

    >>> from itssl.objectives.population_losses import spectral_contrastive
    >>> views = ViewMoments(np.eye(2), np.diag([0.6, 0.1]))
    >>> found = minimize_population(spectral_contrastive(), views, 1, np.random.default_rng(0))
    >>> print(f"{spectral_contrastive()(views, found):.4f}")  # −0.6²
    -0.3600
    """
    k, d = require_count("k", k), len(moments.within)
    white = np.linalg.inv(np.linalg.cholesky(moments.within))
    whitened = ViewMoments(np.eye(d), white @ moments.across @ white.T)
    start = rng.standard_normal((k, d)) / np.sqrt(d)
    if loss.hinge is None:
        return _lbfgs(_without_hinge(loss, whitened, k), start.ravel(), None).reshape(k, d) @ white
    top = float(np.sqrt(loss.hinge.gamma**2 - loss.hinge.eps))
    bounds = [(None, None)] * (k * d) + [(0, top)] * k + [(0, None)] * k
    objective, flat, before = _with_hinge(loss, loss.hinge, whitened, k), _as_rows(start, top), np.inf
    while True:
        flat = _lbfgs(objective, flat, bounds)
        value = objective(flat)[0]
        rows, length, p, _ = _polar(flat, k)
        stopped = (p < top) & (length > p) | (length == 0)
        if not stopped.any() or value > before - UNCHANGED * abs(before):  # a row that returns to zero belongs there
            return length[:, None] * rows @ white
        before = value
        nudge = top * UNCHANGED**0.5 * rng.standard_normal((k, d)) * (length == 0)[:, None]
        flat = _as_rows(length[:, None] * rows + nudge, top)


def maximize_information_bound(moments: ViewMoments, k: int, rng: np.random.Generator) -> Float[np.ndarray, "K D"]:
    """The K × D matrix at which L-BFGS, from a random start, finds the maximum of the information bound.

    The maximizer is known up to rotation: the top K generalized eigenvectors of (V, Δ), scaled to A Δ Aᵀ = I.
    Raises RuntimeError when the optimizer does not converge.
    """
    return minimize_population(invariance_logdet(noise_var=0.0, residual_var=1.0), moments, k, rng)


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
    return vicreg(normalization=normalization, weights=weights, gamma=gamma, eps=eps)(moments, matrix)


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
    """The K × D matrix of a local minimum of the population VICReg loss, from a random start.

    At large covariance weights there are several; take the best of some starts. Raises RuntimeError when the optimizer
    does not converge, ParameterError for weights that are not positive.
    """
    if min(weights) <= 0:
        raise ParameterError(f"weights: expected three positive numbers, got {weights}")
    loss = vicreg(normalization=normalization, weights=weights, gamma=gamma, eps=eps)
    return minimize_population(loss, moments, k, rng)


def _without_hinge(loss: PopulationLoss, moments: ViewMoments, k: int) -> Objective:
    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss.smooth_gradient(moments, flat.reshape(k, -1))
        return value, gradient.ravel()

    return objective


def _with_hinge(loss: PopulationLoss, hinge: Hinge, moments: ViewMoments, k: int) -> Objective:
    """Loss and gradient in (b, p, e), rows (p + e)·b/‖b‖, where Cov X = I and so C_jj = (p_j + e_j)²."""

    weight = hinge.weight / k

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        rows, length, p, norms = _polar(flat, k)
        value, gradient = loss.smooth_gradient(moments, length[:, None] * rows)
        std = np.sqrt(p**2 + hinge.eps)
        excess = norms**2 - 1  # b/‖b‖ is blind to ‖b‖, which would grow and stiffen b: held near 1, exactly at the end
        value += weight * (hinge.gamma - std).sum() + weight / 4 * (excess**2).sum()
        along = (gradient * rows).sum(1)
        turn = (length / norms)[:, None] * (gradient - along[:, None] * rows)
        turn += (weight * excess * norms)[:, None] * rows
        return value, np.concatenate([turn.ravel(), along - weight * p / std, along])

    return objective


def _as_rows(matrix: Float[np.ndarray, "K D"], top: float) -> np.ndarray:
    """(b, p, e) of a matrix, as much of each length in p as it takes."""
    norms = np.linalg.norm(matrix, axis=1)
    return np.concatenate([(matrix / norms[:, None]).ravel(), np.minimum(norms, top), np.maximum(norms - top, 0)])


def _polar(
    flat: np.ndarray, k: int
) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " K"], Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Unit rows, their lengths p + e, the parts p, and the norms of b."""
    b, p, e = flat[: -2 * k].reshape(k, -1), flat[-2 * k : -k], flat[-k:]
    norms = np.linalg.norm(b, axis=1)
    return b / norms[:, None], p + e, p, norms


def _lbfgs(
    objective: Objective, start: np.ndarray, bounds: Sequence[tuple[float | None, float | None]] | None
) -> np.ndarray:
    from scipy.optimize import minimize

    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 20},
    )  # fmt: skip
    low, high = np.array(bounds or [(None, None)] * len(start), dtype=float).T  # None is nan, which clips nothing
    left = found.x - np.fmin(np.fmax(found.x - found.jac, low), high)
    # Line searches may also end at rounding, before the tolerances are met.
    if not (found.success or np.abs(left).max() <= GRADIENT * np.abs(objective(start)[1]).max()):
        raise RuntimeError(f"the optimizer stopped after {found.nit} iterations: {found.message}")
    return found.x
