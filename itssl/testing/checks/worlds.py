"""The laws on which answers are compared with truths, and how accurate an answer from n rows can be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.scalar_families import exponential, uniform
from itssl.distributions.tasks import Task, linear_gaussian_views
from itssl.testing.promises import Promises
from itssl.testing.subjects import Quantity

CORRELATED = (np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 1.0]]))


@dataclass(frozen=True, eq=False)
class Place:
    """A law or task with its truth in nats, and the spread of the log-density (log-ratio) whose mean the truth is."""

    name: str
    dim: int
    gaussian: bool
    draw: Callable[..., tuple[Samples, ...]]
    truth: float
    spread: float

    def margin(self, promises: Promises, n: int) -> float:
        """The declared accuracy, or two standard errors 2·σ/√n of the mean of n true log-densities.

        σ² is their variance, but at least d/2, that of a Gaussian law on R^d: where the log-density is
        constant, as for the uniform law, the scale has still to be found from the rows.
        """
        return promises.accuracy or 2 * self.oracle_error(n)

    def oracle_error(self, n: int) -> float:
        """σ/√n, what even an estimator that knows the density is off by."""
        return self.spread / float(np.sqrt(n))


def of_law(name: str, law: Any, *, gaussian: bool = False) -> Place:
    """A law with its entropy; the spread of log p by 2¹⁴ draws, but at least √(d/2), what it is for a Gaussian.

    >>> of_law("standard normal", Gaussian.standard(2), gaussian=True).spread
    1.0
    """
    spread = float(law.log_density(law.sample(2**14, stream(0, "spread"))).std())
    return Place(
        name, law.dim, gaussian, lambda n, rng: (law.sample(n, rng),), law.entropy.value,
        (law.dim / 2) ** 0.5 if gaussian else max(spread, (law.dim / 2) ** 0.5),
    )  # fmt: skip


def of_task(name: str, task: Task, *, gaussian: bool = False) -> Place:
    """A task with its mutual information; the spread of the log-ratio, but at least 1/√2."""
    latent = task.sample_latent(2**14, stream(0, "spread"))
    spread = float(task.pointwise_information(*latent).std())
    return Place(
        name, max(task.d_x, task.d_y), gaussian, lambda n, rng: task.sample(n, rng),
        task.mutual_information.value, max(spread, 0.5**0.5),
    )  # fmt: skip


@lru_cache
def entropy_places() -> tuple[Place, ...]:
    """Laws on R, R² and R³ whose entropies are known in closed form or by quadrature.

    Clusters are two standard deviations from their middle: where they lie further apart, windows of √n rows still
    bridge the gap at n = 400, and right estimators of spacings are off by more than the margin.
    """
    two = GaussianMixture.isotropic(np.array([[-1.5], [1.5]]), 0.5)
    four = GaussianMixture.isotropic(1.5 * np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]), 0.5)
    return (
        of_law("uniform on an interval of length 1/2", uniform(width=0.5)),
        of_law("exponential of mean 2", exponential(width=2.0)),
        of_law("normal, variance 4", Gaussian(np.full(1, 3.0), np.full((1, 1), 4.0)), gaussian=True),
        of_law("two clusters on a line", two),
        of_law("correlated normal on R²", Gaussian(np.zeros(2), CORRELATED[0]), gaussian=True),
        of_law("four clusters in a plane", four),
        of_law("correlated normal on R³", Gaussian(np.ones(3), CORRELATED[1]), gaussian=True),
    )


@lru_cache
def information_places() -> tuple[Place, ...]:
    """Pairs whose mutual information is known in closed form."""
    strong = linear_gaussian_views([0.9])
    return (
        of_task("normal pair, correlation 0.9", strong, gaussian=True),
        of_task("normal pair, correlation -0.5", linear_gaussian_views([-0.5]), gaussian=True),
        of_task("correlation 0.9 with uniform margins", strong.transformed(_normal_cdf, _normal_cdf)),
        of_task("normal pairs in R² × R²", linear_gaussian_views([0.8, 0.4]), gaussian=True),
    )


def independent_place(d: int) -> Place:
    """Two independent normal vectors: no information."""
    return of_task(f"independent normal vectors in R^{d}", linear_gaussian_views(np.zeros(d)), gaussian=True)


def fitting(places: tuple[Place, ...], promises: Promises) -> list[Place]:
    """Those of the places that the estimator is for."""
    dims = promises.dims(*sorted({place.dim for place in places}))
    return [p for p in places if p.dim in dims and (p.gaussian or promises.family == "any")]


def gaussian_rows(rng: np.random.Generator, n: int, d: int) -> Samples:
    """Correlated normal rows rounded to multiples of 2⁻³⁰: moved by small integers they keep all their digits.

    >>> x = gaussian_rows(np.random.default_rng(0), 5, 2)
    >>> bool((x + 64 - 64 == x).all())
    True
    """
    z = rng.standard_normal((n, d))
    z[:, 1:] += 0.5 * z[:, :-1]
    return on_grid(z)


def gaussian_pair(rng: np.random.Generator, n: int, d: int) -> tuple[Samples, Samples]:
    """Dependent normal vectors of d columns each, rounded as in :func:`gaussian_rows`."""
    x = gaussian_rows(rng, n, d)
    return x, on_grid(0.8 * x + 0.7 * rng.standard_normal((n, d)))


def gaussian_samples(rng: np.random.Generator, n: int, d: int) -> tuple[Samples, Samples]:
    """n correlated normal rows and 5n/4 of another normal law, rounded as in :func:`gaussian_rows`."""
    return gaussian_rows(rng, n, d), on_grid(1.5 * gaussian_rows(rng, 5 * n // 4, d) + 0.5)


def ordinary(quantity: Quantity, rng: np.random.Generator, n: int, d: int) -> tuple[Samples, ...]:
    """What an estimator of this quantity takes: normal rows of d columns, on the grid.

    >>> [x.shape for x in ordinary("kl_divergence", np.random.default_rng(0), 8, 2)]
    [(8, 2), (10, 2)]
    """
    if quantity == "entropy":
        return (gaussian_rows(rng, n, d),)
    return (gaussian_pair if quantity == "mutual_information" else gaussian_samples)(rng, n, d)


def on_grid(x: Samples) -> Samples:
    """The nearest multiples of 2⁻³⁰."""
    return np.round(x * 2.0**30) / 2.0**30


def _normal_cdf(x: Samples) -> Samples:
    from scipy.special import ndtr

    return ndtr(x)
