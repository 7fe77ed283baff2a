"""Laws given by their functions, and laws on finitely many points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact, monte_carlo_entropy
from itssl.estimate import Estimate


@dataclass(frozen=True, eq=False)
class ExplicitLaw:
    """A law on R^dim given by how to draw from it and its log-density, −inf outside its support.

    The density is relative to whatever measure the functions mean (Lebesgue, counting, a product of both);
    ``entropy`` is −E log p relative to the same, by Monte Carlo with a fixed seed.

    >>> uniform_interval(0.0, 2.0).log_density(np.array([[1.0], [3.0]])).round(4)
    array([-0.6931,    -inf])
    """

    dim: int
    draw: Callable[[int, np.random.Generator], Samples]
    log_density_at: Callable[[Samples], Float[np.ndarray, " n"]]

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, dim)."""
        return self.draw(n, rng)

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p for each row of x."""
        return self.log_density_at(x)

    @property
    def entropy(self) -> Estimate:
        return self._entropy

    @cached_property
    def _entropy(self) -> Estimate:
        return monte_carlo_entropy(self, stream(0, "entropy of an explicit law"))


def uniform_interval(low: float, high: float) -> ExplicitLaw:
    """The uniform law on [low, high]. Raises LawError unless low < high are finite.

    >>> uniform_interval(-1.0, 1.0).sample(3, np.random.default_rng(0)).shape
    (3, 1)
    """
    if not -np.inf < low < high < np.inf:
        raise LawError(f"low, high: expected finite numbers low < high, got {low} and {high}")
    height = -float(np.log(high - low))

    def log_density(x: Samples) -> Float[np.ndarray, " n"]:
        return np.where(((x >= low) & (x <= high))[:, 0], height, -np.inf)

    return ExplicitLaw(1, lambda n, rng: rng.uniform(low, high, size=(n, 1)), log_density)


@dataclass(frozen=True, eq=False)
class FiniteLaw:
    """Probability weights on the rows of ``points``; log_density is the log of the mass (counting measure).

    Raises LawError when the weights are not positive with sum 1, shapes disagree or points repeat.

    >>> coin = FiniteLaw(np.array([[-1.0], [1.0]]), np.array([0.5, 0.5]))
    >>> coin.entropy
    0.693147 (exact) nats (sum over the points)
    """

    points: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]

    def __post_init__(self) -> None:
        points, weights = np.array(self.points, dtype=float), np.array(self.weights, dtype=float)
        if len(points) != len(weights) or len(np.unique(points, axis=0)) != len(points):
            raise LawError(f"points: expected {len(weights)} different rows, got {points.tolist()}")
        if not (weights > 0).all() or abs(weights.sum() - 1) > len(weights) * np.finfo(float).eps * 8:
            raise LawError(f"weights: expected positive numbers that sum to 1, got sum {weights.sum():.17g}")
        for array, name in ((points, "points"), (weights, "weights")):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return self.points[rng.choice(len(self.weights), size=n, p=self.weights)]

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log of the mass at each row of x; −inf where there is none."""
        found = (x[:, None, :] == self.points).all(axis=2)
        return np.where(found.any(axis=1), np.log(self.weights)[found.argmax(axis=1)], -np.inf)

    @property
    def entropy(self) -> Estimate:
        """H = −Σ w log w in nats, exact."""
        return exact(-float(self.weights @ np.log(self.weights)), "sum over the points")
