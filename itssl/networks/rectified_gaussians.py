r"""What rectifiers leave of a Gaussian: information kept by ReLU and |x|, and the entropy of a noisy ReLU.

X, Y are standard normal with correlation ρ. The outputs have no density (ReLU) or merge two inputs (|x|), so no
formula of log-determinants holds; but each answer is an integral over one or two normal variables. All integrands are
analytic and fall like a Gaussian, for which the trapezoidal rule converges geometrically [1]: it is refined until two
values agree, and their difference is the error.

References
----------
[1] L. Trefethen, J. Weideman (2014). The exponentially convergent trapezoidal rule. SIAM Review 56(3).
"""

from collections.abc import Callable

import numpy as np

from itssl.choices import require_positive
from itssl.distributions.gaussian import LawError
from itssl.estimate import Bias, Estimate
from itssl.kernels.linalg import LOG_2PI

_REACH = 12.0  # standard deviations: N(0, 1) has density 2e-32 there
_SETTLED = 1e-13
_FINEST = 2**20
_FINEST_IN_THE_PLANE = 2**12


def relu_information(correlation: float, threshold: float = 0.0) -> Estimate:
    r"""I(max(X − c, 0); Y) in nats by quadrature: where the unit is off, only "X ≤ c" is left of X.

    Split by the unit being on or off, I is the mean divergence of the law of Y from N(0, 1). On, Y is
    $N(\rho x, 1-\rho^2)$; off, its density is $\varphi(y)\Phi(u)/\Phi(c)$ with $u = (c-\rho y)/\sqrt{1-\rho^2}$:

    .. math:: I = -\tfrac12\Phi(-c)\log(1-\rho^2) + \tfrac12\rho^2 c\,\varphi(c)
                  + E_{y\sim N(0,1)}[\Phi(u)\log\Phi(u)] - \Phi(c)\log\Phi(c).

    Raises LawError unless |correlation| < 1 and the threshold c is finite.

    >>> print(f"{relu_information(0.8).value:.4f} of {-0.5 * np.log(1 - 0.8**2):.4f}")
    0.3887 of 0.5108
    """
    from scipy.special import log_ndtr, ndtr

    rho, c = _require_correlation(correlation), float(threshold)
    if not np.isfinite(c):
        raise LawError(f"threshold: expected a finite number, got {threshold}")
    rest = np.sqrt(1 - rho**2)

    def off(points: int) -> float:
        y, weights = _normal_rule(points)
        u = (c - rho * y) / rest
        return float(weights @ (ndtr(u) * log_ndtr(u)))

    on = -float(ndtr(-c)) * float(np.log(rest)) + 0.5 * rho**2 * c * float(np.exp(-0.5 * (c**2 + LOG_2PI)))
    return _refined(lambda points: on + off(points) - float(ndtr(c) * log_ndtr(c)))


def fold_information(correlation: float) -> Estimate:
    r"""I(|X|; Y) = I(X; Y) − E J(ρX/√(1−ρ²)) in nats by quadrature: the sign of X is lost, and what Y knew of it.

    The loss is I(sign X; Y | |X|): given |X| = r, Y is ±ρr plus noise, a channel with a binary input whose
    information is $J(m) = \log 2 - E_{w\sim N(0,1)}\log(1 + e^{-2m(m+w)})$. Raises LawError unless |correlation| < 1.

    >>> print(f"{fold_information(0.8).value:.4f} of {-0.5 * np.log(1 - 0.8**2):.4f}")
    0.1974 of 0.5108
    """
    rho = _require_correlation(correlation)

    def value(points: int) -> float:
        x, weights = _normal_rule(points)
        m = (rho / np.sqrt(1 - rho**2) * x)[:, None]
        lost = np.log(2) - np.logaddexp(0, -2 * m * (m + x)) @ weights
        return -0.5 * float(np.log1p(-(rho**2))) - float(weights @ lost)

    return _refined(value, finest=_FINEST_IN_THE_PLANE)


def noisy_relu_entropy(std: float, threshold: float = 0.0) -> Estimate:
    r"""h(max(X − c, 0) + N(0, σ²)) in nats by quadrature.

    The atom at 0 becomes a normal density, the half-line a normal density cut softly:

    .. math:: p(z) = \Phi(c) N(z; 0, \sigma^2)
                     + N(z; -c, 1+\sigma^2) \Phi\Bigl(\frac{z - c\sigma^2}{\sigma\sqrt{1+\sigma^2}}\Bigr).

    Hence I(X; Z) = h(Z) − ½ log 2πeσ². As σ falls, h(Z) ≈ Φ(c) log σ + constant: to −∞.
    Raises ParameterError unless std is positive, LawError unless the threshold is finite.

    >>> print(f"{noisy_relu_entropy(0.1).value:.4f}")
    0.4231
    """
    from scipy.special import log_ndtr

    s, c = require_positive("std", std), float(threshold)
    if not np.isfinite(c):
        raise LawError(f"threshold: expected a finite number, got {threshold}")
    wide = np.sqrt(1 + s**2)
    low = min(c * s**2, 0.0) - _REACH * s * wide  # below it both terms have vanished
    high = max(-c, 0.0) + _REACH * wide

    def value(points: int) -> float:
        z = np.linspace(low, high, points)
        atom = log_ndtr(c) - 0.5 * ((z / s) ** 2 + LOG_2PI) - np.log(s)
        line = log_ndtr((z - c * s**2) / (s * wide)) - 0.5 * (((z + c) / wide) ** 2 + LOG_2PI) - np.log(wide)
        log_p = np.logaddexp(atom, line)
        return -float(np.exp(log_p) @ log_p) * (high - low) / (points - 1)

    return _refined(value)


def _require_correlation(correlation: float) -> float:
    if not -1 < correlation < 1:
        raise LawError(
            f"correlation: expected a number in (-1, 1), got {correlation}; at ±1 the information is infinite"
        )
    return float(correlation)


def _normal_rule(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of E f(N(0, 1)) by the trapezoidal rule."""
    x = np.linspace(-_REACH, _REACH, points)
    return x, np.exp(-0.5 * (x**2 + LOG_2PI)) * (x[1] - x[0])


def _refined(value: Callable[[int], float], *, finest: int = _FINEST) -> Estimate:
    """value(points) with twice the points until two values agree."""
    points, last = 2**7, value(2**7 + 1)
    while points < finest:
        points *= 2
        now = value(points + 1)
        change, last = abs(now - last), now
        if change <= _SETTLED * max(1.0, abs(now)):
            error = change + 8 * float(np.finfo(float).eps) * max(1.0, abs(now))
            return Estimate(value=now, standard_error=error, n=points, bias=Bias.UNBIASED, method="quadrature")
    raise LawError(
        f"quadrature: did not settle on {points} points; the noise is too narrow or the correlation too near 1"
    )
