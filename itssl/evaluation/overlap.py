r"""Do noisy prototypes overlap? Bounds from their distances, and how often the most probable prototype is a wrong one.

X given T = n is N(x*_n, Σ_n), with T uniform on the N prototypes. The most probable prototype of x is

$$n(x) = \arg\min_n\; (x - x^*_n)^\top \Sigma_n^{-1} (x - x^*_n) + \log|\Sigma_n|.$$

For one covariance Σ let $r_{ij}$ be the Mahalanobis distance of two prototypes, $r_{ij}^2 = (x^*_i - x^*_j)^\top
\Sigma^{-1} (x^*_i - x^*_j)$. A draw around $x^*_i$ is nearer to $x^*_j$ with probability $\Phi(-r_{ij}/2)$, hence

$$\max_{j\ne i} \Phi(-r_{ij}/2) \le P(n(X) \ne i \mid T = i) \le \sum_{j \ne i} \Phi(-r_{ij}/2).$$

Noise s times as wide divides all distances by s. That distances are positive says nothing: r is to be compared with 2.
Between equal prototypes any rule errs: there the bounds hold for one that tosses a coin, or in the mean over them.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, is_torch, on_host
from itssl.choices import ParameterError, require_count, require_known, require_positive
from itssl.estimate import Bias, Estimate
from itssl.kernels.pairwise import squared_distances

_TILE = 1024
_PAIRS = 2**21
"""Pairs of a draw and a prototype, times their dimension where differences are formed, that are held at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """Distances of prototypes and what they say of misassignment, at each scale of the noise. By :func:`overlap`."""

    nearest: Float[np.ndarray, " N"]
    """Mahalanobis distance to the nearest other prototype, at scale 1."""
    scales: Float[np.ndarray, " scales"]
    lower: Float[np.ndarray, "scales N"]
    """Probability of the nearest other prototype alone, Φ(−r/2)."""
    upper: Float[np.ndarray, "scales N"]
    """Sum over all other prototypes; it may exceed 1, where it says nothing."""
    duplicates: int
    """Prototypes that equal an earlier one: no noise is narrow enough to tell them apart."""


def overlap(prototypes: SamplesLike, cov: Any, *, scales: Any = (1.0,)) -> Overlap:
    r"""Bounds on $P(n(X) \ne i \mid T = i)$ for every prototype i under noise of covariance $s^2 \Sigma$.

    Distances are formed tile by tile, so memory grows with N and not with N²; time grows with N² at each scale.

    Parameters
    ----------
    prototypes: shape (N, D), N >= 2.
    cov: a variance, or a (D, D) covariance of full rank.
    scales: the factors s of the standard deviations, one number or several.

    Raises
    ------
    SampleError: prototypes is not a finite (N, D) array of at least two rows.
    ParameterError: a scale that is not a number > 0; cov as in :func:`as_covariance`, or singular.

    >>> found = overlap([[0.0], [2.0], [6.0]], 1.0, scales=[1.0, 0.5])
    >>> found.nearest, found.upper.mean(axis=1).round(4)
    (array([2., 2., 4.]), array([0.1218, 0.0152]))
    """
    from scipy.special import ndtr

    x = as_samples(prototypes, name="prototypes")
    factors = np.array(as_scales(scales))
    unit = float(factors.min())  # what is small beside the narrowest noise does not matter
    root = square_root(_regular(as_covariance(cov, x.shape[1])), inverse=True)
    white = (x - x.mean(axis=0)) @ root / unit
    square = np.einsum("ij,ij->i", white, white)
    n, eps = len(x), float(np.finfo(np.float64).eps)
    # Products lose the digits of what is small beside the spread: below this, half of them, and differences are formed.
    reach = (x.shape[1] + 4) * np.sqrt(eps) * 2 * float(square.max())
    closest, partner, upper = np.full(n, np.inf), np.zeros(n, dtype=np.int64), np.zeros((len(factors), n))
    for i in range(0, n, _TILE):
        a = slice(i, min(i + _TILE, n))
        for j in range(i, n, _TILE):
            b = slice(j, min(j + _TILE, n))
            distances = squared_distances(white[a], white[b], square[a], square[b], reach)
            if i == j:
                np.fill_diagonal(distances, np.inf)
            for rows, columns, seen in ((a, b, distances), (b, a, distances.T)):
                best = seen.argmin(axis=1)
                value = seen[np.arange(len(seen)), best]
                nearer = value < closest[rows]
                closest[rows] = np.where(nearer, value, closest[rows])
                partner[rows] = np.where(nearer, best + columns.start, partner[rows])
            half = np.sqrt(distances.clip(0)) / 2
            for k, s in enumerate(factors):
                crossed = ndtr(-half * (unit / s))
                upper[k, a] += crossed.sum(axis=1)
                if i != j:
                    upper[k, b] += crossed.sum(axis=0)
    nearest = np.linalg.norm((x - x[partner]) @ root, axis=1)  # 0 for duplicates
    return Overlap(
        nearest=nearest, scales=factors, lower=ndtr(-nearest / (2 * factors[:, None])), upper=upper,
        duplicates=n - len(np.unique(x, axis=0)),
    )  # fmt: skip


def map_assignment(x: SamplesLike, prototypes: SamplesLike, precision: Any) -> Int[np.ndarray, " n"]:
    r"""The most probable prototype of each row of x, $\arg\min_n (x - x^*_n)^\top P_n (x - x^*_n) - \log|P_n|$.

    The precision $P_n$ is $\Sigma_n^{-1}$; another matrix in its place, such as Σ itself, gives another rule.
    Of several equal minima the first counts; what the rounding of x − x*_n and of P_n tells apart is not equal.

    Parameters
    ----------
    x, prototypes: shapes (n, D) and (N, D).
    precision: a number p for p·I, one (D, D) matrix for all, or one per prototype, (N, D, D).

    Raises
    ------
    SampleError: x or prototypes is not a finite array, or they differ in D.
    ParameterError: a precision of another shape, not symmetric, not positive semidefinite, or zero; or one of several
        that is singular (its determinant is part of the rule).

    >>> map_assignment([[0.9], [1.2]], [[0.0], [2.0]], 1.0), map_assignment([[1.2]], [[0.0], [2.0]], [[[1.0]], [[9.0]]])
    (array([0, 1]), array([0]))
    """
    x, centers = as_samples(x, minimum=1), as_samples(prototypes, name="prototypes", minimum=1)
    d = centers.shape[1]
    if x.shape[1] != d:
        raise SampleError(
            f"x: expected {d} columns as the prototypes have, got {x.shape[1]}; both must live in one space"
        )
    several = np.asarray(on_host(precision) if is_torch(precision) else precision)
    if several.ndim == 3:
        if len(several) != len(centers):
            raise ParameterError(f"precision: expected one for each of {len(centers)} prototypes, got {len(several)}")
        best, winner = np.full(len(x), np.inf), np.zeros(len(x), dtype=np.int64)
        for n, center in enumerate(centers):
            matrix = _regular(as_covariance(several[n], d, name="precision"), name="precision")
            off = x - center
            cost = (off @ matrix * off).sum(axis=1) - np.linalg.slogdet(matrix)[1]
            winner[cost < best], best = n, np.minimum(cost, best)
        return winner
    return _nearest(x, centers, square_root(as_covariance(precision, d, name="precision")))


def misassignment(
    prototypes: SamplesLike,
    cov: Any,
    rng: np.random.Generator,
    draws: int = 4096,
    *,
    metric: Literal["inverse", "covariance"] = "inverse",
) -> Estimate:
    r"""How often the most probable prototype n(X) is not the one that X was drawn around.

    T is uniform and X given T is N(x*_T, Σ), Σ shared. The error is binomial, with the share (hits + 1)/(draws + 2), so
    that it is not zero where nothing was hit.

    Parameters
    ----------
    prototypes: shape (N, D), N >= 2.
    cov: a variance, or a (D, D) covariance of full rank.
    rng: the draws of T and X.
    draws: their number.
    metric: the matrix of the quadratic form. ``"inverse"``, Σ⁻¹, is the rule; ``"covariance"``, Σ in its place, is a
        mistake that is kept to show its cost.

    Raises as :func:`overlap`; UnknownNameError for another metric.

    >>> misassignment([[0.0], [2.0]], 1.0, np.random.default_rng(0))  # Φ(−1) = 0.1587
    0.1482 ± 0.0056 probability (MAP rule by Σ⁻¹, n=4096)
    """
    require_known("metric", metric, ("inverse", "covariance"))
    x, draws = as_samples(prototypes, name="prototypes"), require_count("draws", draws)
    sigma = _regular(as_covariance(cov, x.shape[1]))
    truth = rng.integers(len(x), size=draws)
    noisy = x[truth] + rng.standard_normal((draws, x.shape[1])) @ square_root(sigma)
    hits = int((_nearest(noisy, x, square_root(sigma, inverse=metric == "inverse")) != truth).sum())
    share = (hits + 1) / (draws + 2)
    return Estimate(
        value=hits / draws, standard_error=float(np.sqrt(share * (1 - share) / draws)), n=draws, bias=Bias.UNBIASED,
        method=f"MAP rule by {'Σ⁻¹' if metric == 'inverse' else 'Σ'}", units="probability",
    )  # fmt: skip


def as_covariance(cov: Any, d: int, *, name: str = "cov") -> Float[np.ndarray, "d d"]:
    """A variance (then times I) or a (d, d) covariance as a float64 matrix; singular ones are admitted.

    Raises ParameterError for another shape, NaN or infinite, asymmetric, not positive semidefinite, or zero.

    >>> as_covariance(4.0, 2)
    array([[4., 0.],
           [0., 4.]])
    """
    try:
        sigma = np.asarray(on_host(cov) if is_torch(cov) else cov, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name}: expected a number or a ({d}, {d}) array, got {type(cov).__name__}") from error
    if sigma.ndim == 0:
        return require_positive(name, sigma.item()) * np.eye(d)
    if sigma.shape != (d, d):
        raise ParameterError(
            f"{name}: expected a number or a ({d}, {d}) array, got shape {sigma.shape}; "
            "a vector of variances is np.diag(variances)"
        )
    if not np.isfinite(sigma).all():
        raise ParameterError(f"{name}: expected finite values, got NaN or infinite ones; check how it was estimated")
    largest = float(np.abs(sigma).max())
    if largest == 0:
        raise ParameterError(f"{name}: expected a matrix that is not zero, got zeros; there is nothing to measure")
    rounding = d * np.finfo(np.float64).eps * largest
    if np.abs(sigma - sigma.T).max() > rounding:
        raise ParameterError(f"{name}: expected a symmetric matrix; use (m + m.T) / 2 if the difference is rounding")
    smallest = float(np.linalg.eigvalsh(sigma)[0])
    if smallest < -d * rounding:
        raise ParameterError(f"{name}: expected a positive semidefinite matrix, got eigenvalue {smallest:.3g}")
    return (sigma + sigma.T) / 2


def is_singular(cov: Float[np.ndarray, "d d"]) -> bool:
    """Whether the smallest eigenvalue is rounding of the largest, d·eps times it.

    >>> is_singular(np.diag([1.0, 0.0])), is_singular(np.diag([1.0, 1e-9]))
    (True, False)
    """
    values = np.linalg.eigvalsh(cov)
    return bool(values[0] <= len(cov) * np.finfo(np.float64).eps * values[-1])


def square_root(cov: Float[np.ndarray, "d d"], *, inverse: bool = False) -> Float[np.ndarray, "d d"]:
    """The symmetric square root of cov, or of the inverse of a regular one; eigenvalues that are rounding of 0 are 0.

    >>> square_root(np.diag([4.0, 1e-20]))
    array([[2., 0.],
           [0., 0.]])
    """
    values, axes = np.linalg.eigh(cov)
    roots = np.sqrt(np.where(values > len(cov) * np.finfo(np.float64).eps * values[-1], values, 0.0))
    return (axes / roots if inverse else axes * roots) @ axes.T


def as_scales(scales: Any) -> tuple[float, ...]:
    """One or several positive numbers as a tuple; ParameterError where there are none, or equal ones.

    >>> as_scales([1, 0.5])
    (1.0, 0.5)
    """
    chosen = tuple(require_positive("scales", s) for s in (scales if np.ndim(scales) else [scales]))
    if not chosen or len(set(chosen)) < len(chosen):
        raise ParameterError(f"scales: expected at least one, all different, got {list(chosen)}")
    return chosen


def _regular(cov: Float[np.ndarray, "d d"], name: str = "cov") -> Float[np.ndarray, "d d"]:
    if is_singular(cov):
        raise ParameterError(
            f"{name}: expected full rank, got a singular matrix, under which the most probable prototype is not "
            f"defined; restrict the prototypes to its range, or add a multiple of the identity"
        )
    return cov


def _nearest(x: Samples, centers: Samples, root: Float[np.ndarray, "D q"]) -> Int[np.ndarray, " n"]:
    """The center with the least ‖(x_i − c) root‖ for each row of x; the first of several.

    Products of matrices leave those within their rounding of the least; between these the differences decide.
    """
    middle = centers.mean(axis=0)
    white, others = (x - middle) @ root, (centers - middle) @ root
    square, d = np.einsum("ij,ij->i", others, others), x.shape[1]
    size = ((x - middle) ** 2).sum(axis=1) + ((centers - middle) ** 2).sum(axis=1).max()
    rounding = 4 * (d + 4) * float(np.finfo(np.float64).eps * np.linalg.norm(root, 2) ** 2) * size
    winner = np.empty(len(x), dtype=np.int64)
    for rows in np.array_split(np.arange(len(x)), 1 + len(x) * len(centers) // _PAIRS):
        cost = square - 2 * white[rows] @ others.T  # less ‖white‖²
        i, j = np.nonzero(cost <= (cost.min(axis=1) + rounding[rows])[:, None])
        cost[:] = np.inf
        for part in np.array_split(np.arange(len(i)), 1 + len(i) * d // _PAIRS):
            off = (x[rows[i[part]]] - centers[j[part]]) @ root
            cost[i[part], j[part]] = np.einsum("ij,ij->i", off, off)
        winner[rows] = cost.argmin(axis=1)
    return winner
