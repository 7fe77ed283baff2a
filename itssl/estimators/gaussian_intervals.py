"""Intervals for Gaussian estimates: exact quantiles where no unknown enters, else inversion of a test.

A test asks, for a candidate truth, how likely an estimate as low as the one found is; the interval holds the candidates
that neither tail rejects. Estimates are not clamped at zero, and neither are intervals: below zero
the law of the estimate at zero is shifted along, so that independent data are covered at the nominal level too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.estimators.wishart import (
    Cumulants,
    dependent_blocks,
    independent_blocks,
    log_determinant_bias,
    log_determinant_quantiles,
    multiple_correlation_probability,
    near_certain_probability,
    skewed_probability,
)
from itssl.kernels.roots import root_between

_NEARLY_CERTAIN = 7.0  # nats: 1 − ρ² < 1e-6
_FARTHEST = 1e9  # standard errors


@dataclass(frozen=True)
class EntropyInterval:
    """Exact for Gaussian draws: half the quantiles of log|Ĉ| − log|C| below the uncorrected entropy.

    >>> low, high = EntropyInterval(value=0.0, n=100, d=1)(0.95)
    >>> print(f"{low:.4f} {high:.4f}")
    -0.1352 0.1448
    """

    value: float
    n: int
    d: int

    def __call__(self, level: float, /) -> tuple[float, float]:
        """Ends in nats at the given confidence level."""
        low, high = log_determinant_quantiles(self.n, self.d, ((1 - level) / 2, (1 + level) / 2))
        bias = log_determinant_bias(self.n, self.d)
        return self.value - 0.5 * (high - bias), self.value - 0.5 * (low - bias)


@dataclass(frozen=True)
class InformationInterval:
    """Inversion of the test "I(X; Y) = I₀" for Gaussian draws with ``dof`` = n − 1 degrees of freedom.

    With one variable on either side the law of the estimate has no other unknown, and the interval is exact. Else
    ``directions`` equal canonical correlations stand for the unknown ones, and the law is a shifted gamma law with the
    variance and third moment of :func:`itssl.estimators.wishart.dependent_blocks`.

    >>> low, high = InformationInterval(value=0.0, bias=0.5 / 99, dof=99, d_x=1, d_y=1, directions=1)(0.95)
    >>> print(f"{low:.3f} {high:.3f}")
    -0.021 0.044
    """

    value: float
    bias: float
    dof: int
    d_x: int
    d_y: int
    directions: int

    def __call__(self, level: float, /) -> tuple[float, float]:
        """Ends in nats at the given confidence level."""
        law = self._exact if min(self.d_x, self.d_y) == 1 else self._matched
        std = 0.5 * self.cumulants(max(self.value, 0.0)).variance ** 0.5
        return invert(law, self.value, std, level)

    def cumulants(self, truth: float) -> Cumulants:
        """Of log Λ = −2 × the uncorrected estimate."""
        if truth <= 0:
            return independent_blocks(self.dof, self.d_x, self.d_y)
        rho2 = -np.expm1(-2 * truth / self.directions)
        return dependent_blocks(self.dof, self.d_x, self.d_y, np.full(self.directions, rho2))

    def _matched(self, truth: float) -> float:
        return 1 - skewed_probability(-2 * (self.value - truth), self.cumulants(truth))

    def _exact(self, truth: float) -> float:
        d = max(self.d_x, self.d_y)
        if truth > _NEARLY_CERTAIN:
            return near_certain_probability(-2 * (self.value + self.bias - truth), self.dof, d)
        r2 = -np.expm1(-2 * (self.value + self.bias - min(truth, 0.0)))
        return multiple_correlation_probability(float(r2), self.dof, d, float(-np.expm1(-2 * max(truth, 0.0))))


class Law(NamedTuple):
    """What the data say of an estimate's own law: its standard error, and the rule for intervals."""

    standard_error: float
    rule: Any


def fitted_information(sines: Float[np.ndarray, " m"], n: int, d_x: int, d_y: int) -> Law:
    r"""The law of −Σ log sin θ̂_i less its bias, for the canonical angles θ̂ of n Gaussian draws (n − d_z given z).

    Only s = Σ ρ_i² matters for the variance to leading order. The sum T of the *sample's* squared correlations has
    expectation close to s + (p−s)(q−s)/(N−s), exactly pq/N for independent blocks and asymptotically at s = p = q, so
    that s ≈ (NT − pq)/(N + T − p − q); kept within [0, min(p, q)]. Interval: ``directions`` equal correlations that
    have about this s and the unbiased information.

    >>> print(f"{fitted_information(np.ones(1), 100, 1, 1).standard_error * 99 * 2**0.5:.3f}")
    1.015
    """
    dof, most = n - 1, min(d_x, d_y)
    bias = 0.5 * (log_determinant_bias(n, d_x) + log_determinant_bias(n, d_y) - log_determinant_bias(n, d_x + d_y))
    with np.errstate(divide="ignore"):
        value = -float(np.log(sines).sum()) - bias
    total = float((1 - sines**2).sum())
    excess = dof * total - d_x * d_y
    s = excess / (dof + total - d_x - d_y) if excess > 0 else 0.0
    s = min(s + s * (1 - s / most) / dof, float(most))
    counts = np.arange(1, most + 1)
    directions = most if value <= 0 else int(counts[np.argmin(np.abs(-counts * np.expm1(-2 * value / counts) - s))])
    equal = max(directions, int(np.ceil(s)))
    variance = dependent_blocks(dof, d_x, d_y, np.full(equal, s / equal)).variance
    return Law(0.5 * variance**0.5, InformationInterval(value, bias, dof, d_x, d_y, directions))


def invert(probability: Callable[[float], float], value: float, std: float, level: float) -> tuple[float, float]:
    """The truths at which P(estimate ≤ value) leaves ((1−level)/2, (1+level)/2); it falls as the truth rises.

    An end more than 1e9 ``std`` away is infinite: some truths are too far for n draws to tell.

    >>> from scipy.special import ndtr
    >>> low, high = invert(lambda truth: float(ndtr(1.0 - truth)), 1.0, 1.0, 0.95)
    >>> print(f"{low:.4f} {high:.4f}")
    -0.9600 2.9600
    """
    ends = []
    for target, side in (((1 + level) / 2, -1), ((1 - level) / 2, 1)):
        near, far = value, value + 3 * side * std
        while abs(far - value) < _FARTHEST * std and (probability(far) - target) * side > 0:
            near, far = far, far + 2 * (far - near)
        if not abs(far - value) < _FARTHEST * std:
            ends.append(side * np.inf)
            continue
        while (probability(near) - target) * side < 0:  # a skewed law: the value itself lies outside
            far, near = near, near - side * 3 * std
        low, high = sorted((near, far))
        ends.append(root_between(lambda truth, target=target: probability(truth) - target, low, high, xtol=1e-6 * std))
    return ends[0], ends[1]
