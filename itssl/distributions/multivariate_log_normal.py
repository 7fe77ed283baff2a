"""Log-normal vectors: the exponential of a Gaussian vector, coordinate by coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.gaussian import Gaussian, kl_divergence
from itssl.distributions.law import exact
from itssl.estimate import Estimate


@dataclass(frozen=True, eq=False)
class MultivariateLogNormal:
    """X = exp(G) elementwise, G ~ N(μ, Σ): h(X) = h(G) + Σ_i μ_i; informations and divergences are those of G.

    On R^d, in nats; a change of variables as in :class:`~itssl.distributions.images.Image`, log|det J| = Σ G_i.

    >>> print(f"{MultivariateLogNormal(Gaussian(np.array([1.0]), np.eye(1))).entropy.value:.4f}")
    2.4189
    """

    logarithm: Gaussian

    @property
    def dim(self) -> int:
        return self.logarithm.dim

    @property
    def entropy(self) -> Estimate:
        """h(G) + Σ μ_i in nats, exact."""
        return exact(self.logarithm.entropy.value + float(self.logarithm.mean.sum()), "log-normal entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return np.exp(self.logarithm.sample(n, rng))

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log N(log x; μ, Σ) − Σ log x_i for each row of x; −inf unless all coordinates are positive."""
        inside = (x > 0).all(axis=1)
        logs = np.log(np.where(x > 0, x, 1.0))
        return np.where(inside, self.logarithm.log_density(logs) - logs.sum(axis=1), -np.inf)

    def marginal(self, indices: Sequence[int]) -> "MultivariateLogNormal":
        """The law of the coordinates at ``indices``."""
        return MultivariateLogNormal(self.logarithm.marginal(indices))

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others: that of the Gaussian vector, in nats."""
        return self.logarithm.mutual_information(block)

    def kl_divergence(self, other: "MultivariateLogNormal") -> Estimate:
        """D(self‖other): that of the Gaussian vectors, in nats."""
        return kl_divergence(self.logarithm, other.logarithm)

    def __repr__(self) -> str:
        return f"MultivariateLogNormal(d={self.dim})"
