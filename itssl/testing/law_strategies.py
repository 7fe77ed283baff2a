"""Hypothesis strategies for matrices and laws; what contains a normal law shrinks to N(0, 1)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float

from itssl.arrays import stream
from itssl.choices import ParameterError, require_count
from itssl.distributions.dirichlet import Dirichlet, InvertedDirichlet
from itssl.distributions.elliptical import Elliptical, pearson_ii, power_exponential, uniform_ball
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.law import Law
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.multivariate_log_normal import MultivariateLogNormal
from itssl.distributions.products import Product
from itssl.distributions.scalar_families import ScalarLaw, scalar_families

Sizes = int | st.SearchStrategy[int] | None
"""A number of rows, columns or coordinates: fixed, drawn from a strategy, or the default of the strategy it is for."""

_CONDITION = 100.0
_WORST_CONDITION = 1e12  # beyond, rounding decides whether a matrix is positive definite


def seeds() -> st.SearchStrategy[int]:
    """Seeds for named streams; hypothesis reseeds numpy's global generator, so randomness is drawn, never global.

    >>> from hypothesis import find
    >>> find(seeds(), lambda seed: True)
    0
    """
    return st.integers(0, 2**32 - 1)


def sizes(argument: str, given: Sizes, default: st.SearchStrategy[int], *, minimum: int = 1) -> st.SearchStrategy[int]:
    """The strategy a user gave for ``argument``, or a fixed number as one, or the default.

    Raises ParameterError for a number below the minimum; for a strategy that draws one, at the draw.

    >>> from hypothesis import find
    >>> find(sizes("dims", 3, st.integers(1, 6)), lambda d: True)
    3
    """
    if given is None:
        return default
    if isinstance(given, st.SearchStrategy):
        return given.map(lambda size: require_count(argument, size, minimum=minimum))
    return st.just(require_count(argument, given, minimum=minimum))


def covariances(*, dims: Sizes = None, condition: float = _CONDITION) -> st.SearchStrategy[Float[np.ndarray, "d d"]]:
    """Positive definite matrices with eigenvalues within √condition of 1; shrink to the 1×1 identity.

    Σ = Q diag(λ) Qᵀ with Q a seeded rotation and λ_i in [condition^−½, condition^½], so that the condition number is
    at most ``condition`` (up to rounding) by construction.

    Parameters
    ----------
    dims: d, fixed or drawn; from 1 to 6 unless given.
    condition: the largest condition number, from 1 to 1e12.

    Raises
    ------
    ParameterError: a dimension below 1, a condition number outside its range.

    >>> from hypothesis import find
    >>> find(covariances(), lambda cov: True)
    array([[1.]])
    """
    return _covariances(sizes("dims", dims, st.integers(1, 6)), _require_condition(condition))


@st.composite
def _covariances(draw: Callable[..., Any], dims: st.SearchStrategy[int], condition: float) -> Float[np.ndarray, "d d"]:
    d, reach = draw(dims), np.log(condition) / 2
    values = np.exp([draw(st.floats(-reach, reach)) for _ in range(d)])
    axes = np.linalg.qr(stream(draw(seeds()), "axes").standard_normal((d, d)))[0] if d > 1 else np.eye(1)
    cov = (axes * values) @ axes.T
    return (cov + cov.T) / 2


def correlations(*, dims: Sizes = None, condition: float = _CONDITION) -> st.SearchStrategy[Float[np.ndarray, "d d"]]:
    r"""Positive definite matrices of unit diagonal; shrink to the 1×1 identity, in any d to the identity.

    Partial correlations z in [−1, 1] fill a triangular factor row by row, $L_{ij} = z_{ij}\sqrt{1 - \sum_{k<j}
    L_{ik}^2}$, with rows of length 1 [1]. Every z gives a correlation matrix LLᵀ, maybe a singular one; so
    R = (1 − t) LLᵀ + t I with t = d/(condition + d − 1) is drawn, of condition at most ((1 − t) d + t)/t =
    ``condition``.

    Parameters and errors as for :func:`covariances`.

    References
    ----------
    [1] Joe (2006). Generating random correlation matrices based on partial correlations. J. Multivariate Anal. 97(10).

    >>> from hypothesis import find
    >>> find(correlations(dims=2), lambda r: r[0, 1] > 0.9).round(3)
    array([[1.  , 0.98],
           [0.98, 1.  ]])
    """
    return _correlations(sizes("dims", dims, st.integers(1, 6)), _require_condition(condition))


@st.composite
def _correlations(draw: Callable[..., Any], dims: st.SearchStrategy[int], condition: float) -> Float[np.ndarray, "d d"]:
    d = draw(dims)
    factor = np.zeros((d, d))
    for i in range(d):
        left = 1.0  # of the squared length of the row
        for j in range(i):
            partial = draw(st.floats(-1, 1))
            factor[i, j] = partial * np.sqrt(left)
            left *= 1 - partial**2
        factor[i, i] = np.sqrt(left)
    share = d / (condition + d - 1)
    matrix = (1 - share) * (factor @ factor.T)
    np.fill_diagonal(matrix, 1.0)
    return (matrix + matrix.T) / 2


def gaussians(*, dims: Sizes = None, condition: float = _CONDITION) -> st.SearchStrategy[Gaussian]:
    """Gaussian laws with means within ±100; shrink to the standard normal on the line.

    Parameters and errors as for :func:`covariances`.

    >>> from hypothesis import find
    >>> find(gaussians(), lambda law: True).mean
    array([0.])
    """
    return _gaussians(covariances(dims=dims, condition=condition))


@st.composite
def _gaussians(draw: Callable[..., Any], covs: st.SearchStrategy[Float[np.ndarray, "d d"]]) -> Gaussian:
    cov = draw(covs)
    return Gaussian(np.array([draw(st.floats(-100, 100)) for _ in range(len(cov))]), cov)


def gaussian_mixtures(
    *, dims: Sizes = None, components: Sizes = None, condition: float = _CONDITION
) -> st.SearchStrategy[GaussianMixture]:
    """Gaussian mixtures with means within ±10 and weights in small whole ratios; shrink to N(0, 1), one component.

    Two components may lie anywhere from on top of each other to far apart. The entropy of a mixture is by quadrature
    for d ≤ 2 and by Monte Carlo above, which takes a tenth of a second: set hypothesis' deadline accordingly.

    Parameters
    ----------
    dims: d, fixed or drawn; 1 to 3 unless given.
    components: their number, fixed or drawn; 1 to 4 unless given.
    condition: bounds the eigenvalues of each covariance as in :func:`covariances`.

    Raises
    ------
    ParameterError: dimensions or components below 1, a condition number outside its range.

    >>> from hypothesis import find
    >>> find(gaussian_mixtures(), lambda law: True).covs
    array([[[1.]]])
    """
    return _gaussian_mixtures(
        sizes("dims", dims, st.integers(1, 3)),
        sizes("components", components, st.integers(1, 4)),
        _require_condition(condition),
    )


@st.composite
def _gaussian_mixtures(
    draw: Callable[..., Any], dims: st.SearchStrategy[int], components: st.SearchStrategy[int], condition: float
) -> GaussianMixture:
    d, m = draw(dims), draw(components)
    parts = np.array([draw(st.integers(1, 8)) for _ in range(m)], dtype=float)
    means = np.array([[draw(st.floats(-10, 10)) for _ in range(d)] for _ in range(m)])
    covs = np.stack([draw(covariances(dims=d, condition=condition)) for _ in range(m)])
    return GaussianMixture(parts / parts.sum(), means, covs)


@st.composite
def scalar_laws(draw: Callable[..., Any]) -> ScalarLaw:
    """Laws of one variable from any family, parameters between ½ and 8; shrink to the standard normal.

    >>> from hypothesis import find
    >>> find(scalar_laws(), lambda law: True)
    normal()
    """
    families = sorted(scalar_families().values(), key=lambda family: family.name != "normal")
    family = draw(st.sampled_from(families))
    numbers = {
        name: draw(st.floats(0.05, 0.95) if high == 1 else st.floats(0.5, 8))
        for name, (_, high) in family.domains.items()
    }
    width = float(np.exp(draw(st.floats(-2.3, 2.3))))
    return family(location=draw(st.floats(-100, 100)), width=width, **numbers)


def elliptical_laws(*, dims: Sizes = None) -> st.SearchStrategy[Elliptical]:
    """Power exponential and Pearson II laws and uniform balls; shrink to N(0, 1), which is the power exponential of 2.

    >>> from hypothesis import find
    >>> law = find(elliptical_laws(), lambda law: True)
    >>> print(law, f"{law.entropy.value:.5f}")
    power exponential(d=1) 1.41894
    """
    return _elliptical_laws(covariances(dims=dims))


@st.composite
def _elliptical_laws(draw: Callable[..., Any], shapes: st.SearchStrategy[Float[np.ndarray, "d d"]]) -> Elliptical:
    kind, shape = draw(st.sampled_from(["power_exponential", "pearson_ii", "ball"])), draw(shapes)
    center = np.array([draw(st.floats(-10, 10)) for _ in range(len(shape))])
    if kind == "ball":
        return uniform_ball(len(shape), radius=draw(st.floats(0.1, 10)), center=center)
    if kind == "pearson_ii":
        return pearson_ii(shape, draw(st.floats(-0.4, 5)), location=center)
    return power_exponential(2 * shape, 2 + draw(st.floats(-1.5, 4)), location=center)


def dirichlet_laws(*, dims: Sizes = None) -> st.SearchStrategy[Dirichlet]:
    """Dirichlet laws on R^d with weights between ½ and 8; shrink to the uniform law.

    >>> from hypothesis import find
    >>> find(dirichlet_laws(), lambda law: True)
    Dirichlet(1, 1)
    """
    return _dirichlet_laws(sizes("dims", dims, st.integers(1, 4)))


@st.composite
def _dirichlet_laws(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Dirichlet:
    d = draw(dims)
    return Dirichlet(np.array([draw(st.floats(0.5, 8)) for _ in range(d)]), draw(st.floats(0.5, 8)))


def laws() -> st.SearchStrategy[Law]:
    """Laws of every kind whose entropy is exact, or known to rounding by quadrature; shrink to N(0, 1).

    Gaussian, scalar, elliptical, Dirichlet, inverted Dirichlet and log-normal laws, mixtures of two Gaussians on the
    line, and products of up to three of these.

    >>> from hypothesis import find
    >>> find(laws(), lambda law: True).entropy
    1.41894 (exact) nats (Gaussian entropy)
    """
    simple: st.SearchStrategy[Any] = st.one_of(
        gaussians(),
        scalar_laws(),
        gaussian_mixtures(dims=1, components=2),
        elliptical_laws(),
        dirichlet_laws(),
        dirichlet_laws().map(lambda law: InvertedDirichlet(law.weights, law.last)),
        _log_normals(covariances()),
    )
    products = st.lists(simple, min_size=1, max_size=3).map(lambda parts: Product(tuple(parts)))
    return st.one_of(simple, products)


@st.composite
def _log_normals(draw: Callable[..., Any], covs: st.SearchStrategy[Float[np.ndarray, "d d"]]) -> MultivariateLogNormal:
    """Log-normal laws with draws that stay within a few powers of ten."""
    cov = draw(covs)
    return MultivariateLogNormal(Gaussian(np.array([draw(st.floats(-1, 1)) for _ in cov]), cov / np.trace(cov)))


def _require_condition(condition: float) -> float:
    if not 1 <= condition <= _WORST_CONDITION:
        raise ParameterError(
            f"condition: expected a number from 1 to {_WORST_CONDITION:g}, got {condition!r}; 1 gives identities"
        )
    return float(condition)
