"""The von Mises–Fisher law on the unit sphere, with entropies that are stable for every concentration."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.elliptical import log_sphere_area, uniform_directions
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.estimate import Estimate
from itssl.kernels.linalg import LOG_2PI

_HANKEL_TERMS = 40


@dataclass(frozen=True, eq=False)
class VonMisesFisher:
    r"""Density exp(κ μᵀx)/Z on the unit sphere S^{d−1} of R^d with respect to its area; uniform for κ = 0 [1].

    :math:`Z = (2\pi)^{d/2} I_{d/2-1}(\kappa)\kappa^{1-d/2}`, entropy with respect to area log Z − κA(κ),
    :math:`A = I_{d/2}(\kappa)/I_{d/2-1}(\kappa)`. The differential entropy in R^d is −∞, for the sphere has no volume.
    ``mean_direction`` is normalized. Raises LawError when it is zero or has d < 2, or concentration < 0.

    References
    ----------
    [1] Mardia & Jupp (2000). Directional Statistics, §9.3. Wiley.

    >>> print(f"{VonMisesFisher(np.array([0.0, 0.0, 1.0]), 0.0).hausdorff_entropy.value:.4f}")  # log 4π
    2.5310
    """

    mean_direction: Float[np.ndarray, " d"]
    concentration: float

    def __post_init__(self) -> None:
        mean = np.array(self.mean_direction, dtype=float)
        length = float(np.linalg.norm(mean))
        if mean.ndim != 1 or len(mean) < 2 or not 0 < length < np.inf:
            raise LawError(f"mean_direction: expected a nonzero vector of d >= 2 numbers, got {mean}")
        if not 0 <= self.concentration < np.inf:
            raise LawError(f"concentration: expected a finite number >= 0, got {self.concentration}")
        mean /= length
        mean.flags.writeable = False
        object.__setattr__(self, "mean_direction", mean)
        object.__setattr__(self, "concentration", float(self.concentration))

    @property
    def dim(self) -> int:
        return len(self.mean_direction)

    @property
    def manifold_dim(self) -> int:
        """Dimension of the sphere, d − 1."""
        return self.dim - 1

    @cached_property
    def _parts(self) -> tuple[float, float]:
        return _log_normalizer_and_loss(self.dim, self.concentration)

    @property
    def log_normalizer(self) -> float:
        """log Z − κ, which stays moderate for large κ."""
        return self._parts[0]

    @property
    def hausdorff_entropy(self) -> Estimate:
        """log Z − κA(κ) in nats with respect to area, exact."""
        log_normalizer, loss = self._parts
        return exact(log_normalizer + loss, "von Mises–Fisher entropy")

    @property
    def entropy(self) -> Estimate:
        """−∞: the law is singular in R^d."""
        return exact(-np.inf, "entropy of a singular law")

    def hausdorff_log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """κ μᵀx − log Z for each row of x, which must lie on the sphere."""
        # κ(μᵀx − 1) = −κ‖x − μ‖²/2 on the sphere, without the loss of digits near μ
        return -0.5 * self.concentration * ((x - self.mean_direction) ** 2).sum(axis=1) - self.log_normalizer

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d): Wood's rejection method for μᵀx [1], a uniform direction across.

        References
        ----------
        [1] Wood (1994). Simulation of the von Mises Fisher distribution. Communications in Statistics 23(1).
        """
        d = self.dim
        if self.concentration == 0:
            return uniform_directions(n, d, rng)
        cosine, sine = _cosines(d, self.concentration, n, rng)
        across = uniform_directions(n, d - 1, rng) if d > 2 else np.where(rng.random((n, 1)) < 0.5, -1.0, 1.0)
        x = np.column_stack([cosine, sine[:, None] * across])
        mirror = np.eye(d)[0] - self.mean_direction  # the reflection that takes the first axis to μ
        length = float(mirror @ mirror)
        return x - np.outer(x @ mirror, mirror) * (2 / length) if length > 0 else x

    def kl_divergence(self, other: "VonMisesFisher") -> Estimate:
        """D(self‖other) = log Z_q/Z_p + A(κ_p)(κ_p − κ_q μ_pᵀμ_q) in nats, exact. LawError on another sphere.

        >>> east = VonMisesFisher(np.array([1.0, 0.0]), 2.0)
        >>> print(f"{east.kl_divergence(VonMisesFisher(np.array([1.0, 0.0]), 0.0)).value:.4f}")
        0.5716
        """
        if self.dim != other.dim:
            raise LawError(f"other: expected a law in R^{self.dim}, got one in R^{other.dim}")
        kappa, away = self.concentration, 1 - float(self.mean_direction @ other.mean_direction)
        loss = self._parts[1]  # κ(1 − A)
        mean_cosine = 1 - loss / kappa if kappa else 0.0
        lost = (loss / kappa if kappa else 1.0) + mean_cosine * away  # E(1 − μ_qᵀx)
        value = other.log_normalizer + other.concentration * lost - self.log_normalizer - loss
        return exact(value, "von Mises–Fisher KL divergence")

    def __repr__(self) -> str:
        return f"VonMisesFisher(d={self.dim}, concentration={self.concentration:.6g})"


def _log_normalizer_and_loss(d: int, kappa: float) -> tuple[float, float]:
    """log Z − κ and κ(1 − A(κ)): by Hankel's expansion for large κ, by the power series of I elsewhere."""
    order = d / 2 - 1
    if kappa >= max(100.0, 4 * order**2):
        series, slope = _hankel(order, kappa)
        # Z e^{−κ} = (2π)^{d/2} κ^{−order} S/√(2πκ);  A = (log I_order)' − order/κ
        log_normalizer = (d - 1) / 2 * (LOG_2PI - np.log(kappa)) + np.log(series)
        return float(log_normalizer), 0.5 + order - kappa * slope / series
    log_series, loss = _power_series(d, kappa)
    return log_sphere_area(d) + log_series - kappa, loss


def _hankel(order: float, kappa: float) -> tuple[float, float]:
    """S and S' of I_order(κ) ~ e^κ S/√(2πκ), S = Σ_k (−1)^k a_k/κ^k (DLMF 10.40.1)."""
    terms = [1.0]
    for k in range(1, _HANKEL_TERMS):
        terms.append(-terms[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k * kappa))
        if abs(terms[-1]) < np.finfo(float).eps / 8:
            break
    powers = np.arange(len(terms))
    return float(np.sum(terms)), float(-(powers * terms).sum() / kappa)


def _power_series(d: int, kappa: float) -> tuple[float, float]:
    """log Σ_k t_k with t_k = (κ/2)^{2k}/(k! (d/2)_k), and κ(1 − A) = κ − 2Σ k t_k/Σ t_k.

    Terms relative to the largest come from their ratios: logarithms of gamma functions would cost digits.
    """
    from scipy.special import gammaln

    if kappa == 0:
        return 0.0, 0.0
    order = d / 2 - 1
    top = int((np.hypot(order, kappa) - order) / 2)
    reach = int(12 * np.sqrt(top + 1)) + 40  # the index has variance below top: what is left out is below e^{−70}
    first = max(0, top - reach)
    k = np.arange(first + 1, top + reach)
    log_ratios = np.log(kappa / 2 / k) + np.log(kappa / 2 / (k + order))
    log_terms = np.concatenate([[0.0], np.cumsum(log_ratios)])
    log_terms -= log_terms[top - first]
    terms = np.exp(log_terms)
    away = np.arange(first - top, reach)
    log_top = 2 * top * np.log(kappa / 2) - gammaln(top + 1) - gammaln(top + d / 2) + gammaln(d / 2)
    return float(log_top + np.log(terms.sum())), float(kappa - 2 * top - 2 * (away @ terms) / terms.sum())


def _cosines(
    d: int, kappa: float, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """n draws of t = μᵀx, of density ∝ e^{κt}(1 − t²)^{(d−3)/2}, and √(1 − t²)."""
    m = d - 1
    b = m / (2 * kappa + np.hypot(2 * kappa, m))
    x0, rest = (1 - b) / (1 + b), 2 * b / (1 + b)  # rest = 1 − x0
    log_peak = -kappa * rest + m * np.log(2 * rest / (1 + b))
    kept: list[np.ndarray] = []
    missing = n
    while missing:
        size = 2 * missing + 16
        z, u = rng.beta(m / 2, m / 2, size), -rng.standard_exponential(size)
        below = 2 * b * z / (1 - (1 - b) * z)  # 1 − t, kept apart from t for its digits
        accepted = m * np.log(rest + x0 * below) - kappa * below - log_peak >= u
        kept.append(below[accepted][:missing])
        missing -= len(kept[-1])
    below = np.concatenate(kept) if kept else np.zeros(0)
    return 1 - below, np.sqrt(below * (2 - below))
