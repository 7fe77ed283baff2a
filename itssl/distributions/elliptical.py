"""Elliptical laws: a random radius times a uniform direction, bent by a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.gaussian import Gaussian, LawError, require_covariance
from itssl.distributions.law import exact
from itssl.distributions.products import other_coordinates
from itssl.distributions.scalar_forms import PowerForm, power_cross_entropy
from itssl.distributions.scalar_roots import LogBeta, LogBetaPrime, LogGamma
from itssl.estimate import Estimate


def log_sphere_area(d: int) -> float:
    """log of the area of the unit sphere S^{d−1} in R^d: log 2π^{d/2}/Γ(d/2).

    >>> print(f"{np.exp(log_sphere_area(3)) / np.pi:.6f}")
    4.000000
    """
    from scipy.special import gammaln

    return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2))


def uniform_directions(n: int, d: int, rng: np.random.Generator) -> Samples:
    """n independent uniform points on the unit sphere S^{d−1}."""
    z = rng.standard_normal((n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Elliptical:
    r"""The law of location + R·A·u with AAᵀ = ``shape``, u uniform on S^{d−1} and R > 0 independent of it [1].

    Density :math:`|\mathrm{shape}|^{-1/2} f_R(r)/(r^{d-1}|S^{d-1}|)` at Mahalanobis radius r, therefore
    :math:`h = h(R) + (d-1)E\log R + \log|S^{d-1}| + \tfrac12\log|\mathrm{shape}|`. ``radius`` is a positive
    :class:`~itssl.distributions.scalar_forms.PowerForm`. Raises LawError when shapes disagree or ``shape`` is not
    symmetric positive definite.

    References
    ----------
    [1] Fang, Kotz & Ng (1990). Symmetric Multivariate and Related Distributions. Chapman & Hall.

    >>> normal = Elliptical(np.zeros(2), np.eye(2), PowerForm(LogGamma(1.0), power=2.0, multiple=2**0.5))
    >>> print(f"{normal.entropy.value:.6f}")  # log 2πe
    2.837877
    """

    location: Float[np.ndarray, " d"]
    shape: Float[np.ndarray, "d d"]
    radius: PowerForm
    name: str = "elliptical"

    def __post_init__(self) -> None:
        location, shape = np.array(self.location, dtype=float), np.array(self.shape, dtype=float)
        if location.ndim != 1 or shape.shape != (len(location), len(location)):
            raise LawError(f"shape: expected shape ({location.size}, {location.size}), got {shape.shape}")
        if not np.isfinite(location).all():
            raise LawError(f"location: expected finite numbers, got {location}")
        if self.radius.chart != "positive":
            raise LawError(f"radius: expected a positive form, got the chart {self.radius.chart!r}")
        require_covariance(shape, "shape")
        location.flags.writeable = shape.flags.writeable = False
        object.__setattr__(self, "location", location)
        object.__setattr__(self, "shape", shape)

    @cached_property
    def _frame(self) -> Gaussian:
        """N(location, shape): lends its triangular factor and Mahalanobis distance."""
        return Gaussian(self.location, self.shape)

    @property
    def dim(self) -> int:
        return len(self.location)

    @property
    def entropy(self) -> Estimate:
        """In nats, exact, as in the docstring of the class."""
        d = self.dim
        radial = self.radius.entropy + (d - 1) * self.radius.mean_log
        return exact(radial + log_sphere_area(d) + 0.5 * self._frame.log_det, f"{self.name} entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        spherical = uniform_directions(n, self.dim, rng) * self.radius.sample(n, rng)[:, None]
        return self.location + spherical @ np.linalg.cholesky(self.shape).T

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p for each row of x; −inf outside the support."""
        r = np.sqrt(self._frame.squared_mahalanobis(x))
        return self.radius.log_radial_density(r, self.dim) - log_sphere_area(self.dim) - 0.5 * self._frame.log_det

    def marginal(self, indices: Sequence[int]) -> "Elliptical":
        """The law of the coordinates at ``indices``, again elliptical [1, §2.2].

        R² times an independent Beta(m/2, (d−m)/2) keeps the kind of R² where R² is a multiple of a gamma, beta or
        beta-prime variable with first parameter d/2. Raises LawError for other radii.
        """
        kept = np.asarray(indices)
        d, m, root = self.dim, len(kept), self.radius.root
        fits = self.radius.power == 2 and getattr(root, "a", None) == d / 2
        if fits and isinstance(root, LogGamma):
            part = LogGamma(m / 2)
        elif fits and isinstance(root, LogBeta):
            part = LogBeta(m / 2, root.b + (d - m) / 2)
        elif fits and isinstance(root, LogBetaPrime):
            part = LogBetaPrime(m / 2, root.b)
        else:
            raise LawError(f"indices: the marginals of {self!r} have no closed form")
        radius = PowerForm(part, power=2.0, multiple=self.radius.multiple)
        return Elliptical(self.location[kept], self.shape[np.ix_(kept, kept)], radius, f"marginal of {self.name}")

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others, h + h − h in nats, exact. LawError as for marginal.

        Not zero for uncorrelated coordinates: they share the radius.

        >>> print(f"{uniform_ball(2).mutual_information([0]).value:.4f}")  # log(π/e)
        0.1447
        """
        others = other_coordinates(block, self.dim)
        value = self.marginal(block).entropy.value + self.marginal(others).entropy.value - self.entropy.value
        return exact(value, f"{self.name} mutual information")

    def kl_divergence(self, other: "Elliptical") -> Estimate:
        """D(self‖other) in nats for one location and proportional shapes, by the radii. LawError otherwise.

        >>> print(f"{uniform_ball(2).kl_divergence(uniform_ball(2, radius=2.0)).value:.4f}")  # log 4
        1.3863
        """
        if self.dim != other.dim:
            raise LawError(f"other: expected a law on R^{self.dim}, got one on R^{other.dim}")
        ratio = float(self.shape[0, 0] / other.shape[0, 0])
        rounding = 8 * np.finfo(float).eps * np.abs(self.shape).max()
        same = np.array_equal(self.location, other.location)
        if not same or np.abs(self.shape - ratio * other.shape).max() > rounding:
            raise LawError("other: expected the same location and a proportional shape; no closed form otherwise")
        cross = power_cross_entropy(self.radius, other.radius, ratio=ratio**0.5)
        if cross is None:
            raise LawError(f"other: no closed divergence of {self!r} from {other!r}; use monte_carlo")
        return exact(cross - self.radius.entropy - 0.5 * float(np.log(ratio)), "elliptical KL divergence")

    def __repr__(self) -> str:
        return f"{self.name}(d={self.dim})"


def uniform_ball(d: int, *, radius: float = 1.0, center: Float[np.ndarray, " d"] | None = None) -> Elliptical:
    """The uniform law on a ball in R^d; h = log volume = log π^{d/2}r^d/Γ(d/2 + 1) nats.

    Raises LawError unless d ≥ 1 and the radius is finite and > 0.

    >>> print(f"{uniform_ball(2).entropy.value:.4f}")  # log π
    1.1447
    """
    if not 0 < radius < np.inf or d < 1:
        raise LawError(f"d, radius: expected d >= 1 and a finite radius > 0, got {d} and {radius}")
    form = PowerForm(LogBeta(d / 2, 1.0), power=2.0, multiple=float(radius))  # R² ~ Beta(d/2, 1)
    return Elliptical(np.zeros(d) if center is None else center, np.eye(d), form, "uniform ball")


def pearson_ii(
    shape: Float[np.ndarray, "d d"], exponent: float, *, location: Float[np.ndarray, " d"] | None = None
) -> Elliptical:
    """Density ∝ (1 − r²)^exponent on the ellipsoid r < 1, r the Mahalanobis radius; exponent > −1.

    ``shape`` is (d, d); r² ~ Beta(d/2, exponent + 1), entropy as in :class:`Elliptical`. Raises LawError for another
    exponent, and as there.

    >>> print(f"{pearson_ii(np.eye(2), 0.0).entropy.value:.4f}")  # the uniform disk
    1.1447
    """
    if not -1 < exponent < np.inf:
        raise LawError(f"exponent: expected a number in (-1, inf), got {exponent}")
    d = len(shape)
    form = PowerForm(LogBeta(d / 2, exponent + 1.0), power=2.0)
    return Elliptical(np.zeros(d) if location is None else location, shape, form, "Pearson II")


def power_exponential(
    shape: Float[np.ndarray, "d d"], power: float, *, location: Float[np.ndarray, " d"] | None = None
) -> Elliptical:
    """Density ∝ exp(−r^power), r the Mahalanobis radius: Gaussian for 2, heavier tails below, flatter above [1].

    ``shape`` is (d, d); entropy as in :class:`Elliptical`. Raises LawError unless power is finite and > 0, and as
    there.

    References
    ----------
    [1] Gómez, Gómez-Villegas & Marín (1998). A multivariate generalization of the power exponential family of
        distributions. Communications in Statistics 27(3).

    >>> print(f"{power_exponential(2 * np.eye(2), 2.0).entropy.value:.6f}")  # N(0, I)
    2.837877
    """
    if not 0 < power < np.inf:
        raise LawError(f"power: expected a finite number > 0, got {power}")
    d = len(shape)
    form = PowerForm(LogGamma(d / power), power=float(power))
    return Elliptical(np.zeros(d) if location is None else location, shape, form, "power exponential")
