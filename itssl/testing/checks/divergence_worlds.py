"""Pairs of laws whose divergence is known in closed form, with half as many rows again of Q as of P."""

from functools import lru_cache
from typing import Any

import numpy as np

from itssl.arrays import Samples, stream
from itssl.distributions.divergences import kl_divergence
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.products import Product
from itssl.distributions.scalar_families import beta, exponential, gamma, laplace, uniform
from itssl.testing.checks.worlds import CORRELATED, Place

ROWS_OF_Q = 1.5
"""As many rows of Q a row of P: a formula that takes one number for the other is off by 2 log 1.5, not by nothing."""


def of_laws(name: str, p: Any, q: Any, *, gaussian: bool = False) -> Place:
    r"""D(P‖Q) of two laws; the spread is what an answer from ratios r = p/q is off by to first order, times √n.

    :math:`\sigma^2 = \mathrm{Var}_P \log r + \tfrac nm \mathrm{Var}_Q\, r`, by 2¹⁴ draws, but at least d/2: where the
    ratio is constant, each of two densities has still to be found.

    >>> pair = of_laws("shifted", Gaussian(np.ones(1), np.eye(1)), Gaussian(np.zeros(1), np.eye(1)), gaussian=True)
    >>> pair.truth
    0.5
    """
    x, y = (law.sample(2**14, stream(0, "spread", which)) for law, which in ((p, "p"), (q, "q")))
    log_ratio = p.log_density(x) - q.log_density(x)
    with np.errstate(over="ignore"):
        ratio = np.exp(p.log_density(y) - q.log_density(y))
    spread = float(np.sqrt(log_ratio.var() + ratio.var() / ROWS_OF_Q))

    def draw(n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        return p.sample(n, rng), q.sample(int(ROWS_OF_Q * n), rng)

    return Place(name, p.dim, gaussian, draw, kl_divergence(p, q).value, max(spread, (p.dim / 2) ** 0.5))


@lru_cache
def divergence_places() -> tuple[Place, ...]:
    """Laws on R, R² and R³, and Q wider than P, as the ratio of densities needs it to be found."""
    on_line, in_plane, in_space = (Gaussian(np.zeros(d), (2.25, 3.0, 3.0)[d - 1] * np.eye(d)) for d in (1, 2, 3))
    narrow = Gaussian(np.ones(1), np.full((1, 1), 0.25))
    return (
        of_laws("N(1, 1/4) from N(0, 9/4)", narrow, on_line, gaussian=True),
        of_laws("exponential of mean 1 from mean 2", exponential(), exponential(width=2.0)),
        of_laws("gamma of shape 3 from exponential of mean 3", gamma(shape=3.0), exponential(width=3.0)),
        of_laws("Laplace of width 1 from width 2", laplace(), laplace(width=2.0)),
        of_laws("uniform on half of an interval from all of it", uniform(), uniform(width=2.0)),
        of_laws(
            "correlated normal on R² from a wider one", Gaussian(np.ones(2), CORRELATED[0]), in_plane, gaussian=True
        ),
        of_laws(
            "exponentials on R² from wider ones", Product((exponential(), exponential())),
            Product((exponential(width=2.0), exponential(width=1.5))),
        ),
        of_laws(
            "correlated normal on R³ from a wider one", Gaussian(np.ones(3), CORRELATED[1]), in_space, gaussian=True
        ),
    )  # fmt: skip


@lru_cache
def equal_laws(d: int) -> Place:
    """P = Q, standard normal: no divergence."""
    law = Gaussian.standard(d)
    return of_laws(f"equal normal laws on R{'' if d == 1 else f'^{d}'}", law, law, gaussian=True)


@lru_cache
def lopsided(*, gaussian: bool) -> tuple[Place, float]:
    """Two laws, normal ones or on one interval, and how much more D(Q‖P) is than D(P‖Q).

    >>> print(f"{lopsided(gaussian=False)[1]:.2f}")
    1.58
    """
    if gaussian:
        p, q = Gaussian.standard(1), Gaussian(np.zeros(1), np.full((1, 1), 4.0))
        place = of_laws("N(0, 1) from N(0, 4)", p, q, gaussian=True)
    else:
        p, q = beta(a=5.0, b=1.0), uniform()
        place = of_laws("density 5x⁴ from the uniform one", p, q)
    return place, kl_divergence(q, p).value - place.truth
