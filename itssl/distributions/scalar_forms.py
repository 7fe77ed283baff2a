"""Standard forms of scalar laws: powers of a root law, and the three that are no such power."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from itssl.distributions.scalar_roots import Line, Root, root_cross_entropy
from itssl.kernels.linalg import LOG_2PI

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class PowerForm:
    r"""U = m·V/c, m·e^{V/c} or ±m·e^{V/c}, V drawn from a root law, c = ``power`` ≠ 0, m = ``multiple`` > 0.

    By the change of variables, with h(V) and EV those of the root,

    - ``chart="log"``: h = h(V) − log|c| + log m,
    - ``chart="positive"``: h = h(V) − log|c| + log m + EV/c,
    - ``chart="two_sided"``: log 2 more, for the independent sign.

    >>> from itssl.distributions.scalar_roots import LogGamma
    >>> print(f"{PowerForm(LogGamma(1.0), chart='two_sided').entropy:.6f}")  # Laplace: 1 + log 2
    1.693147
    """

    root: Root
    power: float = 1.0
    multiple: float = 1.0
    chart: Literal["log", "positive", "two_sided"] = "positive"

    @property
    def support(self) -> tuple[float, float]:
        end = self.root.upper
        if self.chart == "log":
            ends = sorted([-np.inf * self.power, end / self.power])
        elif self.chart == "two_sided":
            top = np.exp(end) if self.power > 0 else np.inf
            ends = [-top, top]
        else:
            ends = [0.0, np.exp(end / self.power)] if self.power > 0 else [np.exp(end / self.power), np.inf]
        return float(self.multiple * ends[0]), float(self.multiple * ends[1])

    @property
    def entropy(self) -> float:
        """In nats, as in the docstring of the class."""
        value = self.root.entropy + float(np.log(self.multiple / abs(self.power)))
        if self.chart == "log":
            return value
        return value + self.root.mean / self.power + (float(np.log(2)) if self.chart == "two_sided" else 0.0)

    @property
    def mean_log(self) -> float:
        """E log |U| of a positive or two-sided form."""
        return self.root.mean / self.power + float(np.log(self.multiple))

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        """n independent draws."""
        v = self.root.sample(n, rng) / self.power
        if self.chart == "log":
            return self.multiple * v
        size = self.multiple * np.exp(v)
        return size if self.chart == "positive" else np.where(rng.random(n) < 0.5, -size, size)

    def log_density(self, u: Line) -> Line:
        """log f(u), −inf outside the support."""
        if self.chart == "log":
            return self.root.log_density(self.power * (u / self.multiple)) + np.log(abs(self.power) / self.multiple)
        values = self.log_radial_density(np.abs(u) if self.chart == "two_sided" else u, 1)
        return values - np.log(2) if self.chart == "two_sided" else values

    def log_radial_density(self, r: Line, d: int) -> Line:
        """log f(r)/r^{d−1} for f the density of m·e^{V/c}, with its limit at r = 0 and −inf for r < 0."""
        size = r / self.multiple
        log_size = np.log(np.where(size > 0, size, 1.0))
        inside = self.root.log_density(self.power * log_size) - d * log_size
        outside = np.where(size == 0, self._limit_at_zero(d), -np.inf)
        return np.where(size > 0, inside, outside) + np.log(abs(self.power)) - d * np.log(self.multiple)

    def _limit_at_zero(self, d: int) -> float:
        """log of the limit of f_V(c log r) r^{−d} as r falls to 0."""
        left, right, log_constant = self.root.tails
        exponent = left * self.power if self.power > 0 else -right * self.power
        if abs(exponent - d) <= 4 * _EPS * d:
            return log_constant
        return np.inf if exponent < d else -np.inf


@dataclass(frozen=True)
class TriangularForm:
    """Density rising linearly from 0 to ``mode`` and falling to 1; h = ½ − log 2 whatever the mode.

    >>> print(f"{TriangularForm(0.3).entropy:.4f}")
    -0.1931
    """

    mode: float
    support = (0.0, 1.0)
    entropy = 0.5 - float(np.log(2))

    def log_density(self, u: Line) -> Line:
        """log 2u/mode left of the mode, log 2(1−u)/(1−mode) right of it."""
        left, right = self.mode, 1 - self.mode
        inside = (u >= 0) & (u <= 1)
        height = np.where(u < left, u / (left or 1), (1 - u) / (right or 1))
        with np.errstate(divide="ignore"):
            return np.where(inside, np.log(2 * np.where(inside, height, 0.0)), -np.inf)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return rng.triangular(0.0, self.mode, 1.0, n)


@dataclass(frozen=True)
class InverseGaussianForm:
    r"""First time a Brownian motion with drift 1/m reaches 1: density (2πu³)^{−½} exp(−(u−m)²/(2m²u)), mean m.

    :math:`h = \tfrac12\log 2\pi e + \tfrac32 E\log U` with :math:`E\log U = \log m - e^{2/m}E_1(2/m)` from the
    derivative of K_ν by its order at ν = ½ [1].

    References
    ----------
    [1] Abramowitz & Stegun (1964). Handbook of Mathematical Functions, 9.6.42–9.6.45.

    >>> print(f"{InverseGaussianForm(1.0).entropy:.4f}")
    0.8769
    """

    mean: float
    support = (0.0, np.inf)

    @property
    def mean_log(self) -> float:
        """E log U."""
        from scipy.special import hyperu

        return float(np.log(self.mean) - hyperu(1, 1, 2 / self.mean))  # e^x E₁(x) = U(1, 1, x), no overflow

    @property
    def entropy(self) -> float:
        return 0.5 * (LOG_2PI + 1) + 1.5 * self.mean_log

    def log_density(self, u: Line) -> Line:
        """−½ log 2πu³ − (u/m − 1)²/(2u), −inf for u ≤ 0."""
        safe = np.where(u > 0, u, 1.0)
        value = -0.5 * LOG_2PI - 1.5 * np.log(safe) - (safe / self.mean - 1) ** 2 / (2 * safe)
        return np.where(u > 0, value, -np.inf)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return rng.wald(self.mean, 1.0, n)


@dataclass(frozen=True)
class VonMisesForm:
    """An angle in [−π, π] of density exp(κ cos u)/(2π I₀(κ)); h = log 2πI₀(κ) − κ I₁(κ)/I₀(κ).

    >>> print(f"{VonMisesForm(1e-9).entropy:.4f}")  # log 2π
    1.8379
    """

    concentration: float
    support = (-float(np.pi), float(np.pi))

    @property
    def mean_cosine(self) -> float:
        """E cos U = I₁(κ)/I₀(κ)."""
        from scipy.special import i0e, i1e

        return float(i1e(self.concentration) / i0e(self.concentration))

    @property
    def log_normalizer(self) -> float:
        """log 2πI₀(κ) − κ, without overflow."""
        from scipy.special import i0e

        return LOG_2PI + float(np.log(i0e(self.concentration)))

    @property
    def entropy(self) -> float:
        return self.log_normalizer + self.concentration * (1 - self.mean_cosine)

    def log_density(self, u: Line) -> Line:
        """κ cos u − log 2πI₀(κ), −inf outside [−π, π]."""
        value = -2 * self.concentration * np.sin(u / 2) ** 2 - self.log_normalizer
        return np.where(np.abs(u) <= np.pi, value, -np.inf)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return rng.vonmises(0.0, self.concentration, n)


Form: TypeAlias = PowerForm | TriangularForm | InverseGaussianForm | VonMisesForm
"""A law of one real variable in standard position: location 0, width 1."""


def power_cross_entropy(p: PowerForm, q: PowerForm, *, shift: float = 0.0, ratio: float = 1.0) -> float | None:
    """−E log q(shift + ratio·U) for U ~ p in nats; None where no closed form is known, inf where it is infinite.

    By the roots: the density of q at x is that of its root at v = c log(x/m) (or c x/m in the log chart) times |dv/dx|.

    >>> from itssl.distributions.scalar_roots import LogGamma
    >>> round(power_cross_entropy(PowerForm(LogGamma(1.0)), PowerForm(LogGamma(1.0)), ratio=3.0) or 0.0, 12)
    3.0
    """
    if p.chart != q.chart or (shift != 0 and p.chart != "log"):
        return None
    narrowing, powers = ratio * p.multiple / q.multiple, q.power / p.power
    constant = float(np.log(q.multiple / abs(q.power)))
    if p.chart == "log":
        value = root_cross_entropy(p.root, q.root, powers * narrowing, q.power * shift / q.multiple)
    else:
        value = root_cross_entropy(p.root, q.root, powers, q.power * float(np.log(narrowing)))
        constant += p.root.mean / p.power + float(np.log(narrowing))
        constant += float(np.log(2)) if p.chart == "two_sided" else 0.0
    return None if value is None else value + constant
