"""Hypothesis strategies for laws and samples; every example carries its own seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.dirichlet import Dirichlet, InvertedDirichlet
from itssl.distributions.elliptical import Elliptical, pearson_ii, power_exponential, uniform_ball
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.law import Law
from itssl.distributions.multivariate_log_normal import MultivariateLogNormal
from itssl.distributions.products import Product
from itssl.distributions.scalar_families import ScalarLaw, scalar_families
from itssl.distributions.tasks import Task, linear_gaussian_views, random_mixing


def seeds() -> st.SearchStrategy[int]:
    """Seeds for named streams; hypothesis reseeds numpy's global generator, so randomness is drawn, never global.

    >>> from hypothesis import find
    >>> find(seeds(), lambda seed: True)
    0
    """
    return st.integers(0, 2**32 - 1)


@st.composite
def covariances(draw: Callable[..., Any], *, dims: st.SearchStrategy[int] | None = None) -> Float[np.ndarray, "d d"]:
    """Positive definite matrices of condition at most 100; shrink to the 1×1 identity.

    >>> from hypothesis import find
    >>> find(covariances(), lambda cov: True)
    array([[1.]])
    """
    d = draw(st.integers(1, 6) if dims is None else dims)
    values = np.exp([draw(st.floats(-2.3, 2.3)) for _ in range(d)])
    axes = np.linalg.qr(stream(draw(seeds()), "axes").standard_normal((d, d)))[0] if d > 1 else np.eye(1)
    cov = (axes * values) @ axes.T
    return (cov + cov.T) / 2


@st.composite
def gaussians(draw: Callable[..., Any], *, dims: st.SearchStrategy[int] | None = None) -> Gaussian:
    """Gaussian laws; shrink to the standard normal on the line.

    >>> from hypothesis import find
    >>> find(gaussians(), lambda law: True).mean
    array([0.])
    """
    cov = draw(covariances(dims=dims))
    return Gaussian(np.array([draw(st.floats(-100, 100)) for _ in range(len(cov))]), cov)


@st.composite
def gaussian_tasks(draw: Callable[..., Any], *, dims: st.SearchStrategy[int] | None = None) -> Task:
    """Linear-Gaussian views with known mutual information, mixed by a random invertible matrix.

    >>> from hypothesis import find
    >>> find(gaussian_tasks(), lambda task: True).mutual_information.value
    0.0
    """
    d = draw(st.integers(1, 4) if dims is None else dims)
    correlations = [draw(st.floats(0, 0.99)) for _ in range(d)]
    return linear_gaussian_views(correlations, mixing=random_mixing(d, draw(seeds())))


@st.composite
def samples(
    draw: Callable[..., Any], *, n: st.SearchStrategy[int] | None = None, dims: st.SearchStrategy[int] | None = None
) -> Samples:
    """Independent draws of a random Gaussian law, shape (n, d).

    >>> from hypothesis import find
    >>> find(samples(), lambda x: True).shape
    (10, 1)
    """
    law, size = draw(gaussians(dims=dims)), draw(st.integers(10, 60) if n is None else n)
    return law.sample(size, stream(draw(seeds()), "samples"))


@st.composite
def scalar_laws(draw: Callable[..., Any]) -> ScalarLaw:
    """Laws of one variable from any family, parameters between ½ and 8; shrink to the first family, standard.

    >>> from hypothesis import find
    >>> find(scalar_laws(), lambda law: True)
    exponential()
    """
    family = draw(st.sampled_from(list(scalar_families().values())))
    numbers = {
        name: draw(st.floats(0.05, 0.95) if high == 1 else st.floats(0.5, 8))
        for name, (_, high) in family.domains.items()
    }
    width = float(np.exp(draw(st.floats(-2.3, 2.3))))
    return family(location=draw(st.floats(-100, 100)), width=width, **numbers)


@st.composite
def elliptical_laws(draw: Callable[..., Any], *, dims: st.SearchStrategy[int] | None = None) -> Elliptical:
    """Uniform balls, Pearson II and power exponential laws; shrink to the uniform law on [−1, 1].

    >>> from hypothesis import find
    >>> find(elliptical_laws(), lambda law: True)
    uniform ball(d=1)
    """
    kind, shape = draw(st.sampled_from(["ball", "pearson_ii", "power_exponential"])), draw(covariances(dims=dims))
    center = np.array([draw(st.floats(-10, 10)) for _ in range(len(shape))])
    if kind == "ball":
        return uniform_ball(len(shape), radius=draw(st.floats(0.1, 10)), center=center)
    if kind == "pearson_ii":
        return pearson_ii(shape, draw(st.floats(-0.4, 5)), location=center)
    return power_exponential(shape, draw(st.floats(0.5, 6)), location=center)


@st.composite
def dirichlet_laws(draw: Callable[..., Any], *, dims: st.SearchStrategy[int] | None = None) -> Dirichlet:
    """Dirichlet laws on R^d with weights between ½ and 8; shrink to the uniform law.

    >>> from hypothesis import find
    >>> find(dirichlet_laws(), lambda law: True)
    Dirichlet(1, 1)
    """
    d = draw(st.integers(1, 4) if dims is None else dims)
    return Dirichlet(np.array([draw(st.floats(0.5, 8)) for _ in range(d)]), draw(st.floats(0.5, 8)))


@st.composite
def laws(draw: Callable[..., Any]) -> Law:
    """Laws of every kind with exact entropies: scalar, Gaussian, elliptical, Dirichlet, log-normal and products.

    >>> from hypothesis import find, settings
    >>> find(laws(), lambda law: True, settings=settings(max_examples=5)).dim > 0
    True
    """
    scalars = scalar_laws()
    inverted = dirichlet_laws().map(lambda law: InvertedDirichlet(law.weights, law.last))
    simple: st.SearchStrategy[Any] = st.one_of(
        scalars,
        gaussians(),
        elliptical_laws(),
        dirichlet_laws(),
        inverted,
        _small_gaussians().map(MultivariateLogNormal),
    )
    return draw(st.one_of(simple, st.lists(simple, min_size=1, max_size=3).map(lambda parts: Product(tuple(parts)))))


def _small_gaussians() -> st.SearchStrategy[Gaussian]:
    """Gaussian laws whose exponentials stay within a few powers of ten."""
    return covariances().map(lambda cov: Gaussian(np.zeros(len(cov)), cov / np.trace(cov)))
