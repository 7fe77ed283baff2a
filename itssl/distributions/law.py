"""What every law offers, and Monte-Carlo integration with its error."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.estimate import Bias, Estimate

if TYPE_CHECKING:

    class Law(Protocol):
        """A distribution on R^dim that can be sampled and whose log-density is known."""

        @property
        def dim(self) -> int: ...
        def sample(self, n: int, rng: np.random.Generator) -> Samples: ...
        def log_density(self, x: Samples) -> Float[np.ndarray, " n"]: ...
        @property
        def entropy(self) -> Estimate: ...

else:
    Law = Any  # a run-time check of the protocol would compute the entropy, because it looks at every property


def exact(value: float, method: str) -> Estimate:
    """A truth in closed form.

    >>> exact(0.5, "closed form")
    0.5 (exact) nats (closed form)
    """
    return Estimate(value=value, standard_error=0.0, n=0, bias=Bias.EXACT, method=method)


def monte_carlo(
    integrand: Callable[[int, np.random.Generator], Float[np.ndarray, " n"]],
    rng: np.random.Generator,
    *,
    n: int = 2**17,
    chunk: int = 2**14,
    method: str = "Monte Carlo",
) -> Estimate:
    """Mean of n independent draws of the integrand and its standard error, drawn in chunks.

    >>> monte_carlo(lambda n, rng: np.ones(n), np.random.default_rng(0), n=100).value
    1.0
    """
    draws = np.concatenate([integrand(min(chunk, n - start), rng) for start in range(0, n, chunk)])
    error = float(draws.std(ddof=1) / np.sqrt(n))
    return Estimate(value=float(draws.mean()), standard_error=error, n=n, bias=Bias.UNBIASED, method=method)


def monte_carlo_entropy(law: Law, rng: np.random.Generator, *, n: int = 2**17) -> Estimate:
    """h = −E log p(X) by Monte Carlo, with its standard error.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> law = Gaussian.standard(2)
    >>> estimate = monte_carlo_entropy(law, np.random.default_rng(0))
    >>> abs(estimate.value - law.entropy.value) < 4 * estimate.standard_error
    True
    """
    return monte_carlo(lambda m, r: -law.log_density(law.sample(m, r)), rng, n=n)
