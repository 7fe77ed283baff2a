r"""The law around one prototype, from draws: normal? of the predicted rank and moments? do two views depend?

**Normality.** On one affine piece Gaussian noise stays Gaussian, so a rejected normality says that the noise reaches
beyond the piece. The reverse does not hold: outputs that mix many pieces may look normal to any test with few draws,
since a test sees only what is large against its own error. Under normality each test rejects a share ``level``.
Coordinates are the weakest test: they show the directions of large variance, kinks show in those of small variance too.

**Moments.** With the prediction $P = A\Sigma A^\top$ and covariances $\hat C_1, \hat C_2$ of two independent halves of
the draws, $\langle\hat C_1 - P, \hat C_2 - P\rangle$ estimates the squared error of the prediction without bias, and

$$\Big\|\tfrac12(\hat C_1 + \hat C_2) - P\Big\|^2 = \langle\hat C_1 - P, \hat C_2 - P\rangle
  + \tfrac14\|\hat C_1 - \hat C_2\|^2$$

splits the visible error into that of the prediction and that of sampling.

**Dependence of views.** If two views are independent given the prototype, the order of the repeats of one view within a
prototype means nothing: a permutation test is exact.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from itssl.arrays import SampleError, Samples, stream
from itssl.choices import require_count
from itssl.estimators.gaussianity import gaussianity
from itssl.estimators.standardization import standardized

LEAST_DRAWS = 20
"""Below it the normal approximation of the kurtosis statistic fails, and scipy warns."""
ROUNDING = 2**10 * float(np.finfo(np.float64).eps)
"""Variation below this share of its size counts as rounding: a thousand operations, each half an ulp."""


def varying(z: Samples) -> Shaped[np.ndarray, " K"]:
    """Which columns vary by more than rounding; a dead unit does not.

    >>> varying(np.array([[1.0, 0.3], [2.0, 0.1 + 0.2]]))
    array([ True, False])
    """
    return np.ptp(z, axis=0) > ROUNDING * np.abs(z).max(axis=0)


def coordinate_p_values(z: Samples) -> Float[np.ndarray, " K"]:
    """p-values of D'Agostino and Pearson's test [1] that a column is normal, one each; nan for constant columns.

    The statistic adds the squares of the normal scores of skewness and kurtosis; it is compared with χ² of 2 degrees of
    freedom. Measured on normal columns of n = 64, 512, 4096: at level 5 % it rejects 5.6, 5.2, 4.7 %, at level 1 %
    1.8, 1.3, 1.0 %; on a ReLU whose face is two deviations away (2.3 % of the draws beyond it) at level 1 % 1.6, 9.1
    and 99.98 %.

    Raises SampleError below 20 rows.

    References
    ----------
    [1] D'Agostino & Pearson (1973). Tests for departure from normality. Biometrika 60(3).

    >>> rng = np.random.default_rng(0)
    >>> z = np.c_[rng.normal(size=200), rng.exponential(size=200), np.ones(200)]
    >>> coordinate_p_values(z).round(3)
    array([0.255, 0.   ,   nan])
    """
    from scipy.stats import normaltest

    if len(z) < LEAST_DRAWS:
        raise SampleError(f"z: expected at least {LEAST_DRAWS} rows for a test of normality, got {len(z)}; draw more")
    p, tested = np.full(z.shape[1], np.nan), varying(z)
    if tested.any():
        p[tested] = normaltest(standardized(z[:, tested]), axis=0).pvalue
    return p


def projection_p_values(z: Samples, directions: Float[np.ndarray, "K q"]) -> Float[np.ndarray, " q"]:
    """p-values of the same test on projections of the standardized columns, one a direction; nan if all are constant.

    A law is Gaussian exactly when all its projections are. Few random ones see dependence that no coordinate shows, but
    a projection of many coordinates is nearly normal whatever they are [1]: in high dimension the test is weak.

    References
    ----------
    [1] Diaconis & Freedman (1984). Asymptotics of graphical projection pursuit. Annals of Statistics 12(3).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(1000, 1))
    >>> y = x * rng.choice([-1, 1], size=(1000, 1))  # normal too, but not jointly
    >>> projection_p_values(np.hstack([x, y]), np.array([[0.0, 1.0], [1.0, 1.0]])).round(3)
    array([0.18, 0.  ])
    """
    kept = varying(z)
    if not kept.any():
        return np.full(directions.shape[1], np.nan)
    return coordinate_p_values(standardized(z[:, kept]) @ directions[kept])


def mardia_p_value(z: Samples) -> float:
    """p-value of Mardia's tests on the support of the rows: :func:`itssl.estimators.gaussianity.gaussianity`.

    Directions along which the rows vary by rounding only (relative to the size of z) are left out; nan where all are
    constant, or below 4 rows a direction.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> mardia_p_value(np.c_[x, x.sum(axis=1), np.ones(200)]) > 0.05, mardia_p_value(x**2) > 0.05
    (True, False)
    """
    kept = varying(z)
    if not kept.any():
        return float("nan")
    z = z[:, kept]
    x = standardized(z)
    noise = ROUNDING * float((np.abs(z).max(axis=0) / z.std(axis=0, ddof=1)).max())
    vectors, values, _ = np.linalg.svd(x, full_matrices=False)
    support = vectors[:, values > max(noise, values[0] * ROUNDING) * np.sqrt(x.size)]
    return gaussianity(support) if support.shape[1] else float("nan")


def share_with_error(hits: Shaped[np.ndarray, " P"], tried: Shaped[np.ndarray, " P"]) -> tuple[float, float]:
    """The share of hits and its standard error, from counts in P clusters (prototypes); nan where nothing was tried.

    Trials within a cluster may depend on one another, so the error is that of a ratio of cluster sums. Where that is
    unknown or zero (one cluster, or all agree), a cluster counts as one trial with the share (hits + 1)/(trials + 2).

    >>> share, error = share_with_error(np.array([0, 10]), np.array([10, 10]))
    >>> print(f"{share} {error:.3f}")
    0.5 0.500
    """
    total, clusters = int(tried.sum()), int((tried > 0).sum())
    if total == 0:
        return float("nan"), float("nan")
    share, error = float(hits.sum() / total), ratio_error(hits, tried)
    if not error > ROUNDING:
        laplace = (share * clusters + 1) / (clusters + 2)
        error = (laplace * (1 - laplace) / clusters) ** 0.5
    return share, error


def ratio_error(top: Shaped[np.ndarray, " P"], bottom: Shaped[np.ndarray, " P"]) -> float:
    """Standard error of Σ top / Σ bottom over P independent pairs; nan for one pair.

    >>> print(f"{ratio_error(np.array([1.0, 3.0]), np.array([1.0, 1.0])):.3f}")
    1.000
    """
    used = bottom > 0
    m = int(used.sum())
    if m < 2:
        return float("nan")
    left = top - top.sum() / bottom.sum() * bottom
    return float(np.sqrt(m / (m - 1) * (left**2).sum()) / bottom.sum())


class MomentErrors(NamedTuple):
    """Squared errors of predicted moments: ``…_error`` of the prediction (unbiased), ``…_sampling`` of the draws.

    Their sum is what is seen. ``…_size`` is what to compare with: tr P for the mean, ‖P‖² for the covariance.
    """

    mean_error: float
    mean_sampling: float
    mean_size: float
    cov_error: float
    cov_sampling: float
    cov_size: float


def moment_errors(z: Samples, mean: Float[np.ndarray, " K"], cov: Float[np.ndarray, "K K"]) -> MomentErrors:
    """How far mean and covariance of the rows are from a prediction, split by two halves (see the top of this file).

    >>> z = np.random.default_rng(0).normal(size=(4000, 2)) + [0.0, 3.0]
    >>> found = moment_errors(z, np.zeros(2), np.eye(2))
    >>> print(f"{found.mean_error:.2f} {found.cov_error:.3f} {found.cov_sampling:.3f}")
    9.02 0.003 0.000
    """
    first, second = z[: len(z) // 2], z[len(z) // 2 :]
    a, b = first.mean(axis=0) - mean, second.mean(axis=0) - mean
    c, d = (np.cov(half, rowvar=False).reshape(cov.shape) - cov for half in (first, second))
    means = float(a @ b), float(((a - b) ** 2).sum() / 4), float(np.trace(cov))
    return MomentErrors(*means, float((c * d).sum()), float(((c - d) ** 2).sum() / 4), float((cov**2).sum()))


def ranks(images: Float[np.ndarray, "P K D"]) -> tuple[Int[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """Rank of each B Bᵀ, and its smallest nonzero eigenvalue over the largest (nan at rank 0).

    From the singular values of B; those below max(K, D)·eps of the largest are rounding.

    >>> ranks(np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]))
    (array([2, 1, 0]), array([0.25, 1.  ,  nan]))
    """
    values = np.linalg.svd(images, compute_uv=False)
    kept = values > values[:, :1] * max(images.shape[1:]) * np.finfo(np.float64).eps
    rank = kept.sum(axis=1)
    ratio, some = np.full(len(rank), np.nan), rank > 0
    ratio[some] = (values[some, rank[some] - 1] / values[some, 0]) ** 2
    return rank, ratio


def relative_error(
    error: Float[np.ndarray, " P"], sampling: Float[np.ndarray, " P"], size: Float[np.ndarray, " P"]
) -> tuple[float, float, float]:
    """Squared error over P prototypes relative to their size, its standard error, and the sampling part; nan at size 0.

    The standard error is too small where a few large prototypes make up the sums.

    >>> relative_error(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([4.0, 4.0]))
    (0.125, 0.125, 0.25)
    """
    total = float(size.sum())
    if not total > 0:
        return float("nan"), float("nan"), float("nan")
    return float(error.sum()) / total, ratio_error(error, size), float(sampling.sum()) / total


class PointTests(NamedTuple):
    """What the draws around one prototype showed: numbers of rejected and of all tests, shares of coordinates, moments.

    ``constant`` coordinates do not vary and are not tested; ``awakened`` ones vary though predicted to be constant.
    """

    coordinates: int
    coordinates_tested: int
    projections: int
    projections_tested: int
    mardia: int
    mardia_tested: int
    constant: float
    awakened: float
    moments: MomentErrors


def point_tests(
    z: Samples,
    mean: Float[np.ndarray, " K"],
    cov: Float[np.ndarray, "K K"],
    directions: Float[np.ndarray, "K q"],
    *,
    level: float,
) -> PointTests:
    """All tests of normality of the rows at one level, and the errors of the predicted mean and covariance.

    >>> z = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 0.0]
    >>> found = point_tests(z, np.zeros(2), np.diag([1.0, 0.0]), np.eye(2), level=0.05)
    >>> found.coordinates_tested, found.constant, found.awakened
    (1, 0.5, 0.0)
    """

    def counts(p: Shaped[np.ndarray, " q"]) -> tuple[int, int]:
        return int((p < level).sum()), int(np.isfinite(p).sum())

    moved = varying(z)
    return PointTests(
        *counts(coordinate_p_values(z)), *counts(projection_p_values(z, directions)),
        *counts(np.array([mardia_p_value(z)])), float((~moved).mean()), float((moved & (np.diag(cov) == 0)).mean()),
        moment_errors(z, mean, cov),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ViewDependence:
    """Dependence of two views within prototypes, against that of shuffled repeats. By :func:`view_dependence`."""

    statistic: float
    mean_when_shuffled: float
    reached: int
    permutations: int
    prototypes: int
    repeats: int

    @property
    def p_value(self) -> float:
        """(1 + reached)/(1 + permutations): the given order is one of the equally likely ones, so never 0."""
        return (1 + self.reached) / (1 + self.permutations)

    def __str__(self) -> str:
        return (
            f"p = {self.p_value:.3g} ({self.prototypes} prototypes, {self.repeats} repeats; squared within-prototype "
            f"cross-covariance {self.statistic:.3g}, shuffled {self.mean_when_shuffled:.3g})"
        )

    __repr__ = __str__


def view_dependence(
    z_a: Float[np.ndarray, "N r K"], z_b: Float[np.ndarray, "_ _ L"], *, permutations: int = 199, seed: int = 0
) -> ViewDependence:
    r"""Permutation test that two views are independent given the prototype, from r pairs of views of each.

    With both views centered within each prototype and divided by their pooled deviation there, the statistic is
    $\|C\|_F^2$, $C = \frac{1}{N(r-1)}\sum_{n,i} a_{ni} b_{ni}^\top$. The repeats of b are shuffled within each
    prototype. Under independence the given order is one of equally likely ones, so p is at most u with probability at
    most u, whatever the laws. Only linear dependence is seen: a large p is no evidence of independence.

    Raises
    ------
    SampleError: another shape, fewer than 2 repeats, or views that never vary within a prototype.
    ParameterError: permutations is not a count.

    >>> rng = np.random.default_rng(0)
    >>> shared, a, b = rng.normal(size=(3, 50, 4, 2))
    >>> view_dependence(a, b).p_value > 0.05, view_dependence(a + shared, b + shared).p_value
    (True, 0.005)
    """
    permutations = require_count("permutations", permutations)
    if z_a.shape[:2] != z_b.shape[:2] or z_a.shape[1] < 2:
        raise SampleError(
            f"z_a and z_b: expected shapes (N, r, K) with the same N and r >= 2, got {z_a.shape} and {z_b.shape}; "
            "dependence within a prototype needs repeats"
        )
    a, b = _within(z_a, "z_a"), _within(z_b, "z_b")
    n, r = z_a.shape[:2]
    rng = stream(seed, "view dependence")

    def statistic(b: Float[np.ndarray, "N r q"]) -> float:
        return float(((a.reshape(n * r, -1).T @ b.reshape(n * r, -1) / (n * (r - 1))) ** 2).sum())

    observed = statistic(b)
    rows = np.arange(n)[:, None]
    shuffled = np.array([statistic(b[rows, rng.random((n, r)).argsort(axis=1)]) for _ in range(permutations)])
    # The same order summed another way differs by rounding, and would otherwise not count as reached.
    reached = int((shuffled >= observed * (1 - ROUNDING)).sum())
    return ViewDependence(
        statistic=observed, mean_when_shuffled=float(shuffled.mean()), reached=reached, permutations=permutations,
        prototypes=n, repeats=r,
    )  # fmt: skip


def _within(z: Float[np.ndarray, "N r K"], name: str) -> Float[np.ndarray, "N r q"]:
    """Centered within prototypes, in units of the pooled deviation; coordinates constant up to rounding left out."""
    centered = z - z.mean(axis=1, keepdims=True)
    kept = np.ptp(centered, axis=1).max(axis=0) > ROUNDING * np.abs(z).max(axis=(0, 1))
    if not kept.any():
        raise SampleError(f"{name}: expected embeddings that vary within prototypes, got constant ones; see the views")
    centered = centered[:, :, kept]
    return centered / np.sqrt((centered**2).sum(axis=(0, 1)) / (len(z) * (z.shape[1] - 1)))
