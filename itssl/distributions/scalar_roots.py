r"""Four laws on the line from which most classical scalar families follow by V ↦ V/c, e^{V/c} or ±e^{V/c}.

The logarithms of a gamma variable, of a beta variable and of a ratio of two gamma variables, and the normal law.
All of their moments :math:`E\,e^{sV}` and cumulants are known, so entropies and divergences of the families are.

References
----------
[1] McDonald (1984). Some generalized functions for the size distribution of income. Econometrica 52(3).
[2] Lazo & Rathie (1978). On the entropy of continuous probability distributions. IEEE Trans. Inf. Theory 24(1).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.kernels.linalg import LOG_2PI

Line: TypeAlias = Float[np.ndarray, " n"]


def _special():
    from scipy import special

    return special


def log_gamma_draws(a: float, n: int, rng: np.random.Generator) -> Line:
    """log G for G ~ Gamma(a), exact where G itself would underflow: G has the law of Gamma(a+1)·U^{1/a}."""
    return np.log(rng.standard_gamma(a + 1, n)) - rng.standard_exponential(n) / a


@dataclass(frozen=True)
class LogGamma:
    """V = log G with G ~ Gamma(a): density exp(a v − e^v)/Γ(a).

    >>> print(f"{LogGamma(1.0).entropy:.4f}")  # 1 + Euler's constant
    1.5772
    """

    a: float
    upper = np.inf

    def log_density(self, v: Line) -> Line:
        """a v − e^v − log Γ(a)."""
        with np.errstate(over="ignore"):
            return self.a * v - np.exp(v) - _special().gammaln(self.a)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return log_gamma_draws(self.a, n, rng)

    @property
    def entropy(self) -> float:
        """log Γ(a) + a (1 − ψ(a)); by Stirling's series for large a, where the two terms cancel."""
        a = self.a
        if a > 100:
            return 0.5 * (LOG_2PI + 1 - float(np.log(a))) + 1 / (6 * a) - 1 / (90 * a**3) + 1 / (210 * a**5)
        return float(_special().gammaln(self.a) + self.a * (1 - self.mean))

    @property
    def mean(self) -> float:
        return float(_special().digamma(self.a))

    @property
    def var(self) -> float:
        return float(_special().polygamma(1, self.a))

    def log_moment(self, s: float) -> float:
        """log Γ(a + s)/Γ(a), for s > −a."""
        return float(_special().gammaln(self.a + s) - _special().gammaln(self.a)) if s > -self.a else np.inf

    @property
    def tails(self) -> tuple[float, float, float]:
        return self.a, np.inf, -float(_special().gammaln(self.a))


@dataclass(frozen=True)
class LogBeta:
    """V = log B with B ~ Beta(a, b): density e^{av}(1 − e^v)^{b−1}/B(a, b) on v ≤ 0.

    >>> LogBeta(1.0, 1.0).entropy  # −V is exponential
    1.0
    """

    a: float
    b: float
    upper = 0.0

    def log_density(self, v: Line) -> Line:
        """a v + (b − 1) log(1 − e^v) − log B(a, b), −inf for v > 0."""
        special = _special()
        inside = np.minimum(v, 0)
        edge = special.xlogy(self.b - 1, -np.expm1(inside))
        return np.where(v > 0, -np.inf, self.a * inside + edge - special.betaln(self.a, self.b))

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        one, two = log_gamma_draws(self.a, n, rng), log_gamma_draws(self.b, n, rng)
        return -np.logaddexp(0, two - one)

    @property
    def entropy(self) -> float:
        """log B(a, b) − a (ψ(a) − ψ(a+b)) − (b − 1)(ψ(b) − ψ(a+b))."""
        return float(_special().betaln(self.a, self.b) - self.a * self.mean - (self.b - 1) * self.mean_of_complement)

    @property
    def mean(self) -> float:
        return _digamma_difference(self.a, self.a + self.b)

    @property
    def mean_of_complement(self) -> float:
        """E log(1 − B) = ψ(b) − ψ(a+b)."""
        return _digamma_difference(self.b, self.a + self.b)

    @property
    def var(self) -> float:
        return float(_special().polygamma(1, self.a) - _special().polygamma(1, self.a + self.b))

    def log_moment(self, s: float) -> float:
        """log B(a + s, b)/B(a, b), for s > −a."""
        special = _special()
        return float(special.betaln(self.a + s, self.b) - special.betaln(self.a, self.b)) if s > -self.a else np.inf

    @property
    def tails(self) -> tuple[float, float, float]:
        return self.a, np.inf, -float(_special().betaln(self.a, self.b))


@dataclass(frozen=True)
class LogBetaPrime:
    """V = log(G_a/G_b) with independent gamma variables: density e^{av}(1 + e^v)^{−a−b}/B(a, b).

    >>> LogBetaPrime(1.0, 1.0).entropy  # the logistic law
    2.0
    """

    a: float
    b: float
    upper = np.inf

    def log_density(self, v: Line) -> Line:
        """a v − (a + b) log(1 + e^v) − log B(a, b)."""
        # a v − (a+b) log(1+e^v) without a difference of large numbers at either end
        return -self.a * np.logaddexp(0, -v) - self.b * np.logaddexp(0, v) - _special().betaln(self.a, self.b)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return log_gamma_draws(self.a, n, rng) - log_gamma_draws(self.b, n, rng)

    @property
    def entropy(self) -> float:
        """log B(a, b) − a (ψ(a) − ψ(b)) + (a + b)(ψ(a+b) − ψ(b)), in a form that is symmetric in a and b."""
        a, b = self.a, self.b
        left, right = _digamma_difference(a + b, a), _digamma_difference(a + b, b)
        return float(_special().betaln(a, b) + a * left + b * right)

    @property
    def mean(self) -> float:
        return _digamma_difference(self.a, self.b)

    @property
    def mean_of_softplus(self) -> float:
        """E log(1 + e^V) = ψ(a+b) − ψ(b)."""
        return _digamma_difference(self.a + self.b, self.b)

    @property
    def var(self) -> float:
        return float(_special().polygamma(1, self.a) + _special().polygamma(1, self.b))

    def log_moment(self, s: float) -> float:
        """log Γ(a+s)Γ(b−s)/(Γ(a)Γ(b)), for −a < s < b."""
        special = _special()
        if not -self.a < s < self.b:
            return np.inf
        return float(special.betaln(self.a + s, self.b - s) - special.betaln(self.a, self.b))

    @property
    def tails(self) -> tuple[float, float, float]:
        return self.a, self.b, -float(_special().betaln(self.a, self.b))


@dataclass(frozen=True)
class Normal:
    """V ~ N(0, 1).

    >>> print(f"{Normal().entropy:.4f}")
    1.4189
    """

    upper = np.inf
    entropy = 0.5 * (LOG_2PI + 1)
    mean = 0.0
    var = 1.0
    tails = (np.inf, np.inf, 0.0)

    def log_density(self, v: Line) -> Line:
        """−(v² + log 2π)/2."""
        with np.errstate(over="ignore"):
            return -0.5 * (v**2 + LOG_2PI)

    def sample(self, n: int, rng: np.random.Generator) -> Line:
        return rng.standard_normal(n)

    def log_moment(self, s: float) -> float:
        """s²/2."""
        return s**2 / 2


Root: TypeAlias = LogGamma | LogBeta | LogBetaPrime | Normal
"""What every root law knows besides density, draws, entropy, mean and variance: ``log_moment(s)`` = log E e^{sV}, the
``upper`` end of its support, and its ``tails`` (l, r, log K): the density is ~ K e^{lv} as v → −∞ and ~ K e^{−rv} as
v → ∞, infinite exponents where it is lighter."""


def _digamma_difference(a: float, b: float) -> float:
    """ψ(a) − ψ(b)."""
    return float(_special().digamma(a) - _special().digamma(b))


def root_cross_entropy(p: Root, q: Root, ratio: float, shift: float) -> float | None:
    """−E log q(ratio·V + shift) for V ~ p in nats; None where no closed form is known, inf where it is infinite.

    >>> round(root_cross_entropy(Normal(), Normal(), 2.0, 1.0) - 0.5 * (LOG_2PI + 5), 12)
    0.0
    """
    mean = ratio * p.mean + shift
    if isinstance(q, Normal):
        return 0.5 * (LOG_2PI + ratio**2 * p.var + mean**2)
    if isinstance(q, LogGamma):
        with np.errstate(over="ignore"):
            power = float(np.exp(shift + p.log_moment(ratio)))
        return float(_special().gammaln(q.a)) - q.a * mean + power
    if isinstance(q, LogBeta):
        return _cross_entropy_to_log_beta(p, q, ratio, shift)
    if isinstance(q, LogBetaPrime) and isinstance(p, LogBetaPrime) and abs(ratio) == 1 and shift == 0:
        turned = p if ratio == 1 else LogBetaPrime(p.b, p.a)
        return float(_special().betaln(q.a, q.b)) - q.a * mean + (q.a + q.b) * turned.mean_of_softplus
    return None


def _cross_entropy_to_log_beta(p: Root, q: LogBeta, ratio: float, shift: float) -> float | None:
    """Infinite where p leaves v ≤ 0; else closed for b = 1 and on equal coordinates."""
    if not isinstance(p, LogBeta) or ratio < 0 or shift > 0:
        return np.inf
    constant = float(_special().betaln(q.a, q.b)) - q.a * (ratio * p.mean + shift)
    if q.b == 1:
        return constant
    return constant - (q.b - 1) * p.mean_of_complement if ratio == 1 and shift == 0 else None
