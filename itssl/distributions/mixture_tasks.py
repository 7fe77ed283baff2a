"""Tasks whose joint law is a Gaussian mixture: shapes that no correlation describes."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.choices import require_count, require_positive
from itssl.distributions.czyz_tasks import paired_covariance
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.maps import spiral
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.tasks import LazyTruth, Task, sampled_task
from itssl.estimate import Bias, Estimate


def marginal(mixture: GaussianMixture, indices: range) -> GaussianMixture:
    """The law of the coordinates at ``indices``: the same weights, the blocks of means and covariances.

    >>> marginal(GaussianMixture.isotropic(np.eye(3), 1.0), range(2)).means.shape
    (3, 2)
    """
    kept = np.asarray(indices)
    return GaussianMixture(mixture.weights, mixture.means[:, kept], mixture.covs[:, kept[:, None], kept])


def mixture_task(mixture: GaussianMixture, d_x: int, *, name: str | None = None, n: int = 2**17) -> Task:
    """The first d_x coordinates of a Gaussian mixture against the others [1].

    The mutual information E log p(x, y)/(p(x)p(y)) in nats is a mean over n draws, with its standard error, made when
    first read; in two or three dimensions :func:`information_by_quadrature` takes its place unless the components
    differ so much in width that the grid would be large. One component gives the Gaussian closed form.
    Raises LawError unless 1 ≤ d_x < dim.

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2025). On the Properties and Estimation of Pointwise Mutual
        Information Profiles. Transactions on Machine Learning Research.

    >>> cross = np.array([[[1.0, 0.9], [0.9, 1.0]], [[1.0, -0.9], [-0.9, 1.0]]])
    >>> task = mixture_task(GaussianMixture(np.full(2, 0.5), np.zeros((2, 2)), cross), 1)
    >>> task.known_by, round(task.mutual_information.value, 6)
    ('quadrature', 0.408443)
    """
    if not 1 <= d_x < mixture.dim:
        raise LawError(f"d_x: expected between 1 and {mixture.dim - 1} coordinates, got {d_x}")
    x, y = marginal(mixture, range(d_x)), marginal(mixture, range(d_x, mixture.dim))
    label = name or f"Gaussian mixture, {d_x} × {mixture.dim - d_x}"
    if len(mixture.weights) == 1:
        truth = Gaussian(mixture.means[0], mixture.covs[0]).mutual_information(range(d_x))
    elif mixture.dim <= 3 and _grid_size(mixture, 0.5) <= _COARSEST:
        truth = LazyTruth(lambda: information_by_quadrature(mixture, d_x), "quadrature")
    else:
        return sampled_task(name=label, joint=mixture, x=x, y=y, n=n)
    return Task(name=label, joint=mixture, x=x, y=y, mutual_information=truth)


def information_by_quadrature(mixture: GaussianMixture, d_x: int, *, tolerance: float = 1e-6) -> Estimate:
    """∫ p log p/(p_x p_y) by the trapezoidal rule on one grid, for mixtures on R² and R³.

    The step on each axis is a fraction of the narrowest deviation of a component given its other coordinates, so
    that every component is resolved; the rule then converges geometrically [1]. The grid is refined until two
    successive values agree to ``tolerance`` nats; their difference is the standard error. Raises LawError when
    2²³ points are not enough.

    References
    ----------
    [1] Trefethen & Weideman (2014). The exponentially convergent trapezoidal rule. SIAM Review 56(3).

    >>> one = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.array([[[1.0, 0.6], [0.6, 1.0]]]))
    >>> print(f"{information_by_quadrature(one, 1).value:.10f}")
    0.2231435513
    """
    x, y = marginal(mixture, range(d_x)), marginal(mixture, range(d_x, mixture.dim))
    last, refinement = np.inf, 0.5
    while _grid_size(mixture, refinement) <= _FINEST:
        value = _grid_information(mixture, x, y, _axes(mixture, refinement))
        change = abs(value - last)
        if change <= tolerance:
            points = _grid_size(mixture, refinement)
            error = change + 64 * float(np.finfo(float).eps)
            return Estimate(value=value, standard_error=error, n=points, bias=Bias.UNBIASED, method="quadrature")
        last, refinement = value, 1.4 * refinement
    raise LawError(f"mixture: a grid of {_FINEST} points does not resolve its components; use sampled_task")


_REACH = 7.5  # deviations of every component that the grid covers
_COARSEST, _FINEST = 2**16, 2**23  # points; the coarsest grid decides whether quadrature is worth while


def _axes(mixture: GaussianMixture, refinement: float) -> list[Float[np.ndarray, " _"]]:
    """One grid for each coordinate, over all components; two points a conditional deviation, times refinement."""
    conditional = 1 / np.sqrt(np.diagonal(np.linalg.inv(mixture.covs), axis1=1, axis2=2).max(axis=0))
    reach = _REACH * np.sqrt(np.diagonal(mixture.covs, axis1=1, axis2=2))
    low, high = (mixture.means - reach).min(axis=0), (mixture.means + reach).max(axis=0)
    counts = np.ceil((high - low) / conditional * 2 * refinement).astype(int) + 1
    return [np.linspace(a, b, k) for a, b, k in zip(low, high, counts, strict=True)]


def _grid_size(mixture: GaussianMixture, refinement: float) -> int:
    return int(np.prod([len(axis) for axis in _axes(mixture, refinement)]))


def _grid_information(
    joint: GaussianMixture, x: GaussianMixture, y: GaussianMixture, axes: list[Float[np.ndarray, " _"]]
) -> float:
    """Σ p·(log p − log p_x − log p_y) times the volume of a cell, a slab of the first axis at a time."""
    volume = float(np.prod([axis[1] - axis[0] for axis in axes]))
    log_x = x.log_density(_mesh(axes[: x.dim]))
    log_y = y.log_density(_mesh(axes[x.dim :]))
    points = _mesh(axes[1:])
    total = 0.0
    for slab, first in zip(log_x.reshape(len(axes[0]), -1), axes[0], strict=True):
        log_p = joint.log_density(np.column_stack([np.full(len(points), first), points]))
        pointwise = log_p.reshape(-1, len(log_y)) - slab[:, None] - log_y
        total += float(np.exp(log_p) @ pointwise.ravel())
    return total * volume


def _mesh(axes: list[Float[np.ndarray, " _"]]) -> Float[np.ndarray, "n d"]:
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)


def cross_task(correlation: float = 0.9) -> Task:
    """The letter X: half the draws with correlation ρ, half with −ρ; X and Y are uncorrelated.

    >>> cross_task().name
    'X'
    """
    covs = np.stack([paired_covariance([sign * correlation]) for sign in (-1.0, 1.0)])
    return mixture_task(GaussianMixture(np.full(2, 0.5), np.zeros((2, 2)), covs), 1, name="X")


def ring_task(components: int = 12, *, radius: float = 2.0, std: float = 0.3) -> Task:
    """The letter O: isotropic components evenly on a circle; X and Y are uncorrelated. This library's own.

    >>> ring_task().d_x
    1
    """
    angles = 2 * np.pi * np.arange(require_count("components", components)) / components
    means = require_positive("radius", radius) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return mixture_task(GaussianMixture.isotropic(means, require_positive("std", std) ** 2), 1, name="O")


def letters_task() -> Task:
    """The letters A and I from six components, some of them thin bars.

    >>> letters_task().name
    'AI'
    """
    slope = 0.95 * np.sqrt(0.04 * 0.2)
    parts = [  # mean, covariance; the three bars of I, then the bar and the two legs of A
        ((1.0, 0.0), ((0.01, 0.0), (0.0, 0.2))),
        ((1.0, 1.0), ((0.05, 0.0), (0.0, 0.001))),
        ((1.0, -1.0), ((0.05, 0.0), (0.0, 0.001))),
        ((-0.8, -0.2), ((0.03, 0.0), (0.0, 0.001))),
        ((-1.2, 0.0), ((0.04, slope), (slope, 0.2))),
        ((-0.4, 0.0), ((0.04, -slope), (-slope, 0.2))),
    ]
    means, covs = (np.array(column) for column in zip(*parts, strict=True))
    return mixture_task(GaussianMixture(np.full(6, 1 / 6), means, covs), 1, name="AI")


def galaxy_task(*, speed: float = 0.5, distance: float = 3.0) -> Task:
    """Two balls in R³, one far and one near along the diagonal; the plane of X is then wound into a spiral.

    >>> task = galaxy_task()
    >>> task.d_x, task.d_y
    (2, 1)
    """
    means = np.array([[-1.0] * 3, [1.0] * 3]) * distance / 2
    task = mixture_task(GaussianMixture.isotropic(means, 1.0), 2)
    return task.transformed(_Wind(speed), _same, name="Galaxy")


def waves_task(components: int = 12, *, amplitude: float = 5.0, frequency: float = 3.0) -> Task:
    """Vertical bars in the plane of X at four heights of Y in turn, bent into waves.

    >>> waves_task().d_x
    2
    """
    index = np.arange(require_count("components", components))
    means = 1.5 * np.stack([index, np.zeros(components), index % 4], axis=1).astype(float)
    covs = np.broadcast_to(np.diag([0.1, 1.0, 0.1]), (components, 3, 3))
    task = mixture_task(GaussianMixture(np.full(components, 1 / components), means, covs), 2)
    return task.transformed(_Wave(amplitude, frequency), _same, name="Waves")


def concentric_task(d: int, components: int = 3) -> Task:
    """Balls around one center, of radius 1, 2, ... in R^d; Y tells which ball, with little noise.

    >>> concentric_task(5).d_x
    5
    """
    sizes = np.arange(1, require_count("components", components) + 1, dtype=float)
    means = np.hstack([np.zeros((components, require_count("d", d))), sizes[:, None]])
    covs = np.stack([np.diag([size**2] * d + [1e-4]) for size in sizes])
    mixture = GaussianMixture(np.full(components, 1 / components), means, covs)
    return mixture_task(mixture, d, name=f"concentric, {d} × 1")


def inliers_task(d: int, *, share: float = 0.2, correlation: float = 0.8) -> Task:
    """Two pairs of correlated coordinates among d × d, with a share of draws where X and Y are unrelated.

    >>> inliers_task(5).d_y
    5
    """
    if not 0 < share < 1:
        raise LawError(f"share: expected a number between 0 and 1, got {share}")
    related = paired_covariance([correlation] * 2 + [0.0] * (d - 2))
    mixture = GaussianMixture(np.array([1 - share, share]), np.zeros((2, 2 * d)), np.stack([related, np.eye(2 * d)]))
    return mixture_task(mixture, d, name=f"2 pairs with {share:.0%} inliers, {d} × {d}")


def mixture_tasks() -> Mapping[str, Callable[[], Task]]:
    """Name → builder: the shapes of [1] with their parameters, and a ring of this library's own ("1v1-O").

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2025). On the Properties and Estimation of Pointwise Mutual
        Information Profiles. Transactions on Machine Learning Research. Parameters as in their package ``bmi``.

    >>> len(mixture_tasks())
    12
    """
    return {
        "1v1-X-0.9": cross_task,
        "1v1-O": ring_task,
        "1v1-AI": letters_task,
        "2v1-galaxy-0.5-3.0": galaxy_task,
        "2v1-waves-12-5.0-3.0": waves_task,
        **{f"{d}v1-concentric_gaussians-3": _bound(concentric_task, d) for d in (1, 3, 5, 25)},
        **{f"multinormal-sparse-inliers-{d}-{d}-0.2": _bound(inliers_task, d) for d in (3, 5, 25)},
    }


def _bound(build: Callable[[int], Task], d: int) -> Callable[[], Task]:
    return lambda: build(d)


def _same(x: Samples) -> Samples:
    return x


class _Wind:
    """The spiral in the plane at one speed."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def __call__(self, x: Samples) -> Samples:
        return spiral(x, self.speed)


class _Wave:
    """(u, v) ↦ (0.1·(u + a sin(f v)) − 0.8, v/2)."""

    def __init__(self, amplitude: float, frequency: float) -> None:
        self.amplitude, self.frequency = amplitude, frequency

    def __call__(self, x: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        bent = x[:, 0] + self.amplitude * np.sin(self.frequency * x[:, 1])
        return np.stack([0.1 * bent - 0.8, 0.5 * x[:, 1]], axis=1)
