"""A line and other curves seen through uniform noise: Y = f(X) + U."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.choices import require_known, require_positive
from itssl.distributions.channels import channel_task
from itssl.distributions.explicit import ExplicitLaw, uniform_interval
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.distributions.tasks import LazyTruth, Task
from itssl.estimate import Bias, Estimate

Curve = Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]


@dataclass(frozen=True)
class _Relation:
    """f on [0, 1], the distribution function of f(X) for X uniform there, and the range of f."""

    f: Curve
    cdf: Curve
    low: float
    high: float


_RELATIONS = {
    "line": _Relation(lambda x: x, lambda v: v, 0.0, 1.0),
    "square": _Relation(np.square, np.sqrt, 0.0, 1.0),
    "cube": _Relation(lambda x: x**3, np.cbrt, 0.0, 1.0),
    "exponential": _Relation(np.expm1, np.log1p, 0.0, float(np.e) - 1),
    "parabola": _Relation(lambda x: (2 * x - 1) ** 2, np.sqrt, 0.0, 1.0),
    # whole periods, so the sine of a uniform angle: the arcsine law
    "sine": _Relation(lambda x: np.sin(4 * np.pi * x), lambda v: 0.5 + np.arcsin(v) / np.pi, -1.0, 1.0),
    "fast_sine": _Relation(lambda x: np.sin(16 * np.pi * x), lambda v: 0.5 + np.arcsin(v) / np.pi, -1.0, 1.0),
}


def relations() -> tuple[str, ...]:
    """The curves :func:`additive_noise_task` knows.

    >>> relations()[0]
    'line'
    """
    return tuple(_RELATIONS)


def additive_noise_task(width: float, *, relation: str = "line") -> Task:
    r"""X uniform on [0, 1], Y = f(X) + U with U uniform on ±width/2 [1, 2].

    I(X; Y) = h(Y) − log w in nats. For the line Y has a trapezoidal density and exactly

    .. math:: I = \tfrac w2 - \log w \quad (w \le 1), \qquad I = \frac1{2w} \quad (w \ge 1);

    for the other curves h(Y) is by quadrature of :math:`p(y) = [F(y + w/2) - F(y - w/2)]/w`, F the distribution
    function of f(X). As w → 0, I → ∞ while nearest-neighbor estimates stay near log n: the failure that [1] reports.
    Raises ParameterError unless width is positive, UnknownNameError for a curve not among :func:`relations`.

    References
    ----------
    [1] Gao, Ver Steeg & Galstyan (2015). Efficient Estimation of Mutual Information for Strongly Dependent
        Variables. AISTATS.
    [2] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS. (Their ε is width/2.)

    >>> print(f"{additive_noise_task(0.2).mutual_information.value:.6f}")
    1.709438
    """
    width = require_positive("width", width)
    require_known("relation", relation, _RELATIONS)
    curve, inputs = _RELATIONS[relation], uniform_interval(0.0, 1.0)
    noise = uniform_interval(-width / 2, width / 2)

    def log_marginal(y: Samples) -> Float[np.ndarray, " n"]:
        with np.errstate(divide="ignore"):
            return np.log(_density(curve, width, y[:, 0]))

    def draw(x: Samples, rng: np.random.Generator) -> Samples:
        return curve.f(x) + noise.sample(len(x), rng)

    # a whole ulp of room: f(x) + u − f(x) may round past the end of the noise
    room = 4 * np.finfo(float).eps * max(1.0, abs(curve.high), abs(curve.low))

    def log_conditional(x: Samples, y: Samples) -> Float[np.ndarray, " n"]:
        return np.where(np.abs(y - curve.f(x))[:, 0] <= width / 2 + room, -np.log(width), -np.inf)

    if relation == "line":
        truth = exact(width / 2 - np.log(width) if width <= 1 else 1 / (2 * width), "closed form")
    else:
        truth = LazyTruth(lambda: _information_by_quadrature(curve, width), "quadrature")
    outputs = ExplicitLaw(1, lambda n, rng: draw(inputs.sample(n, rng), rng), log_marginal)
    return channel_task(
        name=f"{relation} + uniform noise of width {width:g}", x=inputs, y=outputs, draw=draw,
        log_conditional=log_conditional, truth=truth,
    )  # fmt: skip


def additive_noise_task_with_information(nats: float) -> Task:
    """The line with the noise width that gives the information asked for: w/2 − log w = I, or w = 1/(2I).

    The inverse of :func:`additive_noise_task`, with Lambert's W: w = −2 W₀(−e^{−I}/2) for I ≥ ½. Raises LawError
    unless 0 < nats < 700.

    >>> print(f"{additive_noise_task_with_information(5.0).mutual_information.value:.12f}")
    5.000000000000
    """
    from scipy.special import lambertw

    if not 0 < nats < 700:
        raise LawError(f"nats: expected an information between 0 and 700 nats, got {nats}; float64 ends there")
    width = 1 / (2 * nats) if nats <= 0.5 else float(-2 * lambertw(-np.exp(-nats) / 2).real)
    return additive_noise_task(width)


def _density(curve: _Relation, width: float, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """[F(y + w/2) − F(y − w/2)]/w, zero outside the support."""
    above = curve.cdf(np.clip(y + width / 2, curve.low, curve.high))
    below = curve.cdf(np.clip(y - width / 2, curve.low, curve.high))
    return (above - below) / width


def _information_by_quadrature(curve: _Relation, width: float) -> Estimate:
    """−∫ p log p − log w by tanh-sinh quadrature between the points where p has a kink or an infinite slope."""
    half = width / 2
    kinks = np.unique([curve.low - half, curve.low + half, curve.high - half, curve.high + half])
    pieces = [_double_exponential(curve, width, a, b) for a, b in pairwise(kinks)]
    value = sum(piece[0] for piece in pieces) - float(np.log(width))
    error = sum(piece[1] for piece in pieces) + 8 * float(np.finfo(float).eps) * max(1.0, abs(value))
    n = sum(piece[2] for piece in pieces)
    return Estimate(value=value, standard_error=error, n=n, bias=Bias.UNBIASED, method="quadrature")


def _double_exponential(curve: _Relation, width: float, a: float, b: float) -> tuple[float, float, int]:
    """−∫_a^b p log p, the change from half the points, and the number of points.

    The substitution y = (a+b)/2 + (b−a)/2·tanh(π/2 sinh t) turns square-root ends into doubly exponential decay,
    on which the trapezoidal rule converges geometrically (Takahasi & Mori 1974, Publ. RIMS 9).
    """
    values = []
    for points in (201, 401):
        t = np.linspace(-3.2, 3.2, points)
        y = (a + b) / 2 + (b - a) / 2 * np.tanh(np.pi / 2 * np.sinh(t))
        weight = (b - a) / 2 * np.pi / 2 * np.cosh(t) / np.cosh(np.pi / 2 * np.sinh(t)) ** 2 * (t[1] - t[0])
        p = _density(curve, width, y)
        values.append(float(weight @ np.where(p > 0, -p * np.log(np.where(p > 0, p, 1.0)), 0.0)))
    return values[1], abs(values[1] - values[0]), 401
