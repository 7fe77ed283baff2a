"""Hypothesis strategies for laws and samples; every example carries its own seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import Gaussian
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
