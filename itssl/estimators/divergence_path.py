r"""The path of laws on which a divergence of Gaussians changes most for its own sampling error.

In coordinates where C_q = I and C_p = diag(eˣ), with w the difference of the means, n draws of P carry the Fisher
information n e⁻ˣ about each mean and n/2 about each log variance, m of Q alike. The gradient of D(P‖Q) in this metric
moves, axis by axis,

    ẋ = (1/n + 1/m)(eˣ − 1) + w²/m,        ẇ = w [eˣ/n + (eˣ + w² + 1)/(2m)],

where the terms with w² are Q's own: a candidate with a larger divergence is best explained by a narrower Q, which moves
ratio and shift together. Along this flow Ḋ is the variance of the estimate to leading order, and an estimate
tells candidates apart as little as on any path through its start: "least favorable" [1]. A straight path in (x, w)
lets the part of D that is well known answer for the part that is not, and rejects true values: of nominal 95 %
intervals 63 % covered for n = 30, m = 6, d = 3, C_p = I/e² and means four deviations apart. The flow of all of C_p and
C_q also rotates the axes where several coordinates of w differ from zero; that changed no coverage, and is left out.

References
----------
[1] Stein (1956). Efficient nonparametric testing and estimation. Proc. Third Berkeley Symposium 1, 187-195.
"""

import numpy as np
from jaxtyping import Float

Point = tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]
"""Logarithms of the ratios and the shift."""
STEP = 0.25
"""Longest step in log D."""
_SMALL = 1e-6


def divergence(log_ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]) -> float:
    """D(N(w, diag eˣ) ‖ N(0, I)) = ½ Σ (eˣ − 1 − x + w²) in nats.

    >>> print(f"{divergence(np.zeros(2), np.ones(2)):.1f}")
    1.0
    """
    return 0.5 * float((np.expm1(log_ratios) - log_ratios).sum() + shift @ shift)


def at_divergence(
    truth: float, log_ratios: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"], n: int, m: int
) -> Point:
    """The point with D = ``truth`` on the path through this start (not P = Q itself); for truth ≤ 0, P = Q.

    Runge-Kutta steps of fourth order in log D, in which all rates are of order one; below ``_SMALL`` the path is
    straight.

    >>> x, w = at_divergence(2.0, np.array([0.5, -0.2]), np.array([0.3, 0.1]), 20, 30)
    >>> print(f"{divergence(x, w):.4f}")
    2.0000
    """
    if truth <= 0:
        return np.zeros_like(log_ratios), np.zeros_like(shift)
    at = np.array([log_ratios, shift])
    quadratic = 0.25 * float((at[0] ** 2 + 2 * at[1] ** 2).sum())
    if quadratic < _SMALL:
        at *= (_SMALL / quadratic) ** 0.5
    end, place = float(np.log(max(truth, _SMALL))), float(np.log(divergence(*at)))
    while abs(end - place) > 1e-9:
        step = float(np.clip(end - place, -STEP, STEP))
        first = _velocity(at, n, m)
        second = _velocity(at + step / 2 * first, n, m)
        third = _velocity(at + step / 2 * second, n, m)
        at = at + step / 6 * (first + 2 * second + 2 * third + _velocity(at + step * third, n, m))
        place = float(np.log(divergence(*at)))
    if truth < _SMALL:
        at *= (truth / _SMALL) ** 0.5
    return at[0], at[1]


def _velocity(at: Float[np.ndarray, "2 d"], n: int, m: int) -> Float[np.ndarray, "2 d"]:
    """d(x, w)/d log D."""
    x, w = at
    excess, squares = np.expm1(x), w**2
    size = max(1.0, float(np.abs(excess).max()), float(squares.max()))  # so that no product overflows
    excess, squares, one = excess / size, squares / size, 1 / size
    moved = (1 / n + 1 / m) * excess + squares / m
    shifted = w * ((excess + one) / n + (excess + squares + 2 * one) / (2 * m))
    rate = 0.5 * (excess @ moved) + (w @ shifted) / size
    return divergence(x, w) / size / rate * np.array([moved, shifted])
