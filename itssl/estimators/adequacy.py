"""Is this sample enough for this estimator: its size against its dimension, its tails, its units, neighbors' bias."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples, column_names, stream
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.diagnosis import by_columns, linear_support, pair_warnings, sample_warnings
from itssl.estimators.intrinsic_dimension import low_dimension_warnings
from itssl.estimators.standardization import canonical_order
from itssl.estimators.wishart import log_determinant_bias
from itssl.kernels.linalg import column_std
from itssl.kernels.neighbor_counts import marginal_counts
from itssl.kernels.neighbors import neighbors

Rows: TypeAlias = Int[np.ndarray, " m"]

HEAVIEST_LIGHT_TAIL = 0.15
HEAVIEST_HARMLESS_TAIL = 0.7
LARGEST_UNIT_RATIO = 10.0
_LEAST_TAIL_ROWS = 40
_TAIL_LEVEL = 0.002


def neighbor_warnings(x: Samples, *, k: int = 4, name: str = "x", raw: bool = True) -> tuple[EstimateWarning, ...]:
    """What a nearest-neighbor entropy should carry: also thin support, many dimensions, heavy tails and, if raw, units.

    ``raw`` says that distances are taken in the units of x, as Kozachenko and Leonenko do.

    >>> neighbor_warnings(np.random.default_rng(0).normal(size=(300, 2)))
    ()
    """
    return (
        sample_warnings(x, name=name)
        + low_dimension_warnings(x, name=name)
        + high_dimension_warnings(*x.shape, k=k)
        + entropy_tail_warnings(x, name=name)
        + (unit_warnings(x, name=name) if raw else ())
    )


def neighbor_pair_warnings(x: Samples, y: Samples, *, k: int = 4) -> tuple[EstimateWarning, ...]:
    """What a nearest-neighbor mutual information should carry: those of any pair, heavy tails, many dimensions.

    Low-dimensional support of x or y is none of them: I(X; Y) exists on a manifold, and neighbors see it there.

    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> [w.code for w in neighbor_pair_warnings(x, x)]
    ['deterministic']
    """
    tails = neighbor_tail_warnings(x) + neighbor_tail_warnings(y, name="y")
    return pair_warnings(x, y) + tails + high_dimension_warnings(len(x), x.shape[1] + y.shape[1], k=k, information=True)


def neighbor_tail_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``heavy_tails`` with what it means for neighbors: in the tails they are far apart, and dependence is missed.

    Measured for KSG on Student's law with identity dispersion, n = 1000 (in brackets on normal scores of the columns):
    0.11 (0.22) of 0.22 nats in 1 + 1 dimensions with 1 degree of freedom, 0.12 (0.16) of 0.29 in 3 + 3 with 2.

    >>> [w.code for w in neighbor_tail_warnings(np.random.default_rng(0).standard_cauchy(size=(500, 1)))]
    ['heavy_tails']
    """
    return tuple(
        replace(
            warning,
            message=warning.message.partition(":")[0] + ": neighbors are far apart there, and KSG misses dependence",
            cure="transform the columns, e.g. by itssl.estimators.standardization.normal_scores or numpy.arcsinh; "
            "mutual information does not mind",
        )
        for warning in tail_warnings(x, name=name)
    )


def entropy_tail_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``heavy_tails`` for neighbor entropies: from 2 columns on, where moments end about order 1.4 (ξ̂ > 0.7).

    Along an axis neighbors are far apart in one column and near in the others: no density is flat there. Measured bias
    of Kozachenko–Leonenko, n = 1000, in nats (independent columns; log-normal of deviation 2 and 4 at the end):

    ===  ============  ============  =======  ===========  ===========
    d    Student t(3)  Student t(2)  Cauchy   lognormal 2  lognormal 4
    ===  ============  ============  =======  ===========  ===========
    1    −0.02         +0.01         +0.01    −0.04        −0.07
    2    −0.03         +0.03         +0.05    +0.15        +1.2
    3    −0.07         +0.01         +0.15    +0.70        +3.5
    5    −0.07         +0.06         +0.60    +2.6         +10
    ===  ============  ============  =======  ===========  ===========

    >>> [w.code for w in entropy_tail_warnings(np.random.default_rng(0).standard_cauchy(size=(500, 2)))]
    ['heavy_tails']
    """
    if x.shape[1] == 1 or len(x) < _LEAST_TAIL_ROWS or not (tail_index(x)[0] > HEAVIEST_HARMLESS_TAIL).any():
        return ()
    return tuple(
        replace(
            warning,
            message=warning.message.partition(":")[0] + ": no density is flat between neighbors there, and entropy is "
            "overestimated",
            cure="transform the columns by g, e.g. numpy.arcsinh or log, and use h(X) = h(g(X)) − E Σ log |g'(X)|",
        )
        for warning in tail_warnings(x, name=name)
    )


def moment_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """What an entropy from a covariance should carry: also heavy tails, and too few rows for the dimension.

    >>> [w.code for w in moment_warnings(np.random.default_rng(0).normal(size=(30, 10)))]
    ['small_sample_for_dimension']
    """
    found = sample_warnings(x, name=name) + tail_warnings(x, name=name)
    if len(x) >= 4 * x.shape[1] or any(w.code == "small_sample_for_dimension" for w in found):
        return found
    return found + covariance_warnings(len(x), linear_support(x).rank, name=name)


def high_dimension_warnings(n: int, d: int, *, k: int = 4, information: bool = False) -> tuple[EstimateWarning, ...]:
    """Code ``high_dimension``: a cube that holds k of n uniform rows has a side above 0.55 (0.4 for information).

    Where the side s = (k/n)^{1/d} is not small, neighborhoods are as wide as the data and the law is not
    flat in them. Measured on Gaussians (k = 4), bias of Kozachenko–Leonenko in standard deviations of its value:

    ====  ============  ============  ==========  ============  ============  ============
    s     0.33          0.52          0.52        0.58          0.59          0.65
    n, d  1000, 5       3000, 10      1000, 8     1000, 10      100, 6        300, 10
    bias  −1.7          +1.4          +0.3        +2.4          +0.3          +1.9
    ====  ============  ============  ==========  ============  ============  ============

    and what KSG misses of 1 nat between two d/2-dimensional Gaussians of equal correlations, which s alone predicts:

    ======  ====  ====  ====  ====  ====  ====  ====
    s       0.25  0.34  0.40  0.44  0.50  0.52  0.84
    missed  1 %   8 %   12 %  16 %  23 %  25 %  76 %
    ======  ====  ====  ====  ====  ====  ====  ====

    Of labels, 0.53 nats for two classes apart by 3 deviations along one axis, Ross' estimator misses as much: 3 % at
    0.33, 8 to 9 % at 0.43, 16 to 20 % at 0.53, 35 to 47 % from 0.66 to 0.73; half of that where every class has an
    axis of its own.

    Below the limits the bias may still exceed the standard error of a large sample, see
    :func:`neighbor_entropy_bias`. Data near fewer dimensions have the side of those.

    >>> high_dimension_warnings(1000, 10)[0].code, high_dimension_warnings(1000, 5)
    ('high_dimension', ())
    """
    side = (k / n) ** (1 / d)
    if d == 1 or side <= (0.4 if information else 0.55):
        return ()
    risk = "dependence is underestimated" if information else "entropy is overestimated"
    return (
        EstimateWarning(
            code="high_dimension",
            message=f"{n} rows are few for nearest neighbors in {d} dimensions: of a unit cube {k} of them fill a "
            f"cube of side {side:.2f}, over which no density is flat; {risk}, by more than its standard error",
            cure="reduce the dimension, draw more, or use an estimator with a model of the law",
        ),
    )


def covariance_warnings(n: int, d: int, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``small_sample_for_dimension``: n < 4d, so that sample covariances are far from those of the law.

    For unit covariance the eigenvalues of the sample's spread to (1 ± √(d/n))² [1]: at n = 4d from 1/4 to 9/4.
    GaussianPlugin takes the resulting bias off exactly, but for Gaussian draws only.

    References
    ----------
    [1] Marchenko & Pastur (1967). Distribution of eigenvalues for some sets of random matrices. Math. USSR-Sbornik 1.

    >>> covariance_warnings(30, 64)[0].code, covariance_warnings(300, 64)
    ('small_sample_for_dimension', ())
    """
    if n >= 4 * d:
        return ()
    root = np.sqrt(d / n)
    bias = f"; log-determinants give an entropy {-log_determinant_bias(n, d) / 2:.3g} nats too small" if n > d else ""
    return (
        EstimateWarning(
            code="small_sample_for_dimension",
            message=f"{n} rows of {name} in {d} dimensions: eigenvalues of the sample covariance are off by factors "
            f"from {max(0.0, 1 - root) ** 2:.2g} to {(1 + root) ** 2:.2g}{bias}",
            cure='draw more, reduce the dimension, or use GaussianPlugin(shrinkage="oas")',
        ),
    )


def tail_index(x: Samples) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    r"""For each column the extreme-value index ξ of |x − median| and its z-score against an exponential tail.

    From the k = max(10, n/10) largest deviations, above the next one: their Gini mean difference over twice their mean,
    G, is 1/(2 − ξ) for a generalized Pareto tail with moments up to 1/ξ [1], so ξ̂ = 2 − 1/G. For exponential
    excesses G has mean 1/2 and variance 1/(12(k − 1)) exactly, and is close to normal [2]. Columns whose large
    deviations coincide give nan.

    References
    ----------
    [1] Hosking & Wallis (1987). Parameter and quantile estimation for the generalized Pareto distribution.
        Technometrics 29(3).
    [2] Gail & Gastwirth (1978). A scale-free goodness-of-fit test for the exponential distribution based on the Gini
        statistic. J. Royal Statist. Soc. B 40(3).

    >>> index, z = tail_index(np.random.default_rng(0).pareto(2.0, size=(20000, 1)))  # P(X > x) falls as x^-2
    >>> print(f"{index[0]:.1f}")
    0.5
    """
    index, z = by_columns(_tail_index, x)
    return index, z


def _tail_index(columns: np.ndarray) -> np.ndarray:
    """ξ̂ and z of each row of ``columns``, shape (2, d)."""
    n = columns.shape[1]
    k = min(max(10, n // 10), n - 1)
    deviations = np.abs(columns - np.median(columns, axis=1)[:, None])
    deviations.partition(n - k - 1, axis=1)
    deviations = np.sort(deviations[:, n - k - 1 :], axis=1)
    excess = deviations[:, 1:] - deviations[:, :1]
    weights = 2 * np.arange(1, k + 1) - k - 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = excess / deviations[:, -1:]  # sums of huge numbers would overflow
        gini = excess @ weights / (excess.sum(axis=1) * (k - 1))
        return np.array([2 - 1 / gini, (gini - 0.5) * np.sqrt(12 * (k - 1))])


def tail_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``heavy_tails``: a column's tail is heavier than exponential (level 0.002 over all columns), with ξ̂ > 0.15.

    Asked from 40 rows on. Measured (marked slow in the tests): Gaussian, uniform, Laplace and exponential laws raise it
    in less than 0.5 % of samples; Student's t with 3 degrees of freedom in about half at n = 1000 and all at 5000.

    >>> tail_warnings(np.random.default_rng(0).standard_cauchy(size=(500, 1)))[0].code
    'heavy_tails'
    """
    from scipy.special import ndtri

    if len(x) < _LEAST_TAIL_ROWS:
        return ()
    index, z = tail_index(x)
    heavy = np.flatnonzero((z > -ndtri(_TAIL_LEVEL / x.shape[1])) & (index > HEAVIEST_LIGHT_TAIL))
    if not heavy.size:
        return ()
    worst = int(heavy[np.argmax(index[heavy])])
    called = column_names(x)[worst]
    return (
        EstimateWarning(
            code="heavy_tails",
            message=f"{heavy.size} of {x.shape[1]} columns of {name} have heavy tails (in column {called} moments seem "
            f"finite below order {1 / index[worst]:.2g} only): covariances, and their errors, hang on a few rows",
            cure="use ranks (GaussianCopula), or transform the columns (mutual information does not mind)",
        ),
    )


def unit_ratio(x: Samples) -> float:
    """The largest over the smallest interquartile range of the columns (standard deviation where a range is zero).

    Infinite where a column is constant.

    >>> round(unit_ratio(np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 100.0]), -2)
    100.0
    """
    if not np.ptp(x, axis=0).all():
        return float("inf")
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    spread = np.where(high > low, high - low, column_std(x))
    return float(spread.max() / spread.min())


def unit_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``unstandardized``: columns differ more than tenfold in spread, which matters where distances are raw.

    Measured on Gaussians with geometrically spaced deviations, what a ratio of 10 (30, 100) adds to the bias of
    Kozachenko–Leonenko at n = 1000: −0.03 (−0.03, +0.05) nats at d = 2, +0.2 (+0.7, +1.7) at d = 5, +0.7
    (+1.9, +3.9) at d = 8.

    >>> unit_warnings(np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 100.0])[0].code
    'unstandardized'
    """
    ratio = unit_ratio(x)
    if ratio <= LARGEST_UNIT_RATIO:
        return ()
    return (
        EstimateWarning(
            code="unstandardized",
            message=f"the spread of {name}'s columns differs by a factor {ratio:.3g}; distances see the widest "
            "alone, so nearest-neighbor entropy is overestimated",
            cure=f"divide {name} by its standard deviations s and add Σ log s, or ExtrapolatedKozachenkoLeonenko()",
        ),
    )


def neighbor_entropy_bias(x: Samples, *, k: int = 4) -> Estimate:
    r"""Bias of Kozachenko–Leonenko at n rows from the change between n/2 and n: (ĥ_{n/2} − ĥ_n) / (2^{2/d} − 1).

    Inside a smooth density the bias is c n^{−2/d} [1]; ĥ_{n/2} is the mean over two halves. Edges (n^{−1/d}), tails
    and, in many dimensions, higher terms disturb this: the number says that the value moves, and only roughly how far.
    Measured on N(0, I) at n = 1000 (standard deviation in brackets):

    ========  =====  =====  ======  ======  ======  ======
    d         2      3      5       8       10      16
    true      −0.02  −0.05  −0.08   +0.02   +0.17   +0.73
    found     −0.01  −0.02  +0.00   +0.27   +0.52   +1.87
              (.02)  (.04)  (.06)   (.13)   (.15)   (.25)
    ========  =====  =====  ======  ======  ======  ======

    In more dimensions, n = 2000, it is 2.5 (d = 32), 3.0 (64) and 3.8 times (128) too large, and on a surface in 384
    columns 35 times: where ``high_dimension`` is said, nobody asks for it.

    The standard error is that of the rows' mean difference: 0.7 to 0.95 of the spread, as neighbors share distances.
    nan where rows coincide. Raises SampleError for n < 2k + 2.

    References
    ----------
    [1] Delattre & Fournier (2017). On the Kozachenko–Leonenko entropy estimator. J. Statist. Plann. Inference 185.
    """
    d = x.shape[1]

    def terms(rows: Rows) -> Float[np.ndarray, " m"]:
        from scipy.special import digamma

        with np.errstate(divide="ignore"):
            return float(digamma(len(rows))) + d * np.log(neighbors(x[rows], k, "euclidean")[0][:, -1])

    return _halving_bias(terms, x, k=k, method="Kozachenko-Leonenko")


def neighbor_information_bias(x: Samples, y: Samples, *, k: int = 4) -> Estimate:
    r"""Bias of KSG (variant 1) at n rows by the same rule as :func:`neighbor_entropy_bias`, with d = d_x + d_y.

    For 1 nat between Gaussians of equal correlations at n = 300 (1000) it finds −0.12 (−0.06) of −0.10 (−0.03) nats in
    2 + 2 dimensions, −0.58 (−0.47) of −0.45 (−0.30) in 5 + 5, −0.69 (−0.33) of −0.83 (−0.76) in 16 + 16; on
    independent ones nothing beyond its error, which is 0.6 to 1 of the spread. Raises SampleError for n < 2k + 2.
    """

    def terms(rows: Rows) -> Float[np.ndarray, " m"]:
        from scipy.special import digamma

        n_x, n_y = marginal_counts(x[rows], y[rows], k, "chebyshev", 1)
        return float(digamma(len(rows))) - digamma(n_x + 1) - digamma(n_y + 1)

    return _halving_bias(terms, x, y, k=k, method="KSG")


def bias_warnings(
    bias: Estimate, standard_error: float, *, name: str = "x", noise: float = 4.0
) -> tuple[EstimateWarning, ...]:
    """Code ``neighbor_bias``: an estimated bias above 2 standard errors of the value, and above ``noise`` of its own.

    >>> b = Estimate(value=0.3, standard_error=0.05, n=1000, bias=Bias.UNKNOWN, method="halving")
    >>> bias_warnings(b, 0.1)[0].code, bias_warnings(b, 0.2)
    ('neighbor_bias', ())
    """
    if not (abs(bias.value) > 2 * standard_error and abs(bias.value) > noise * bias.standard_error):
        return ()
    return (
        EstimateWarning(
            code="neighbor_bias",
            message=f"{bias.method} on {name} still moves with the sample size: its bias at n = {bias.n} is about "
            f"{bias.value:+.2g} nats, against a standard error of {standard_error:.2g}",
            cure="draw more, reduce the dimension, or use an estimator that extrapolates (entropy: "
            "ExtrapolatedKozachenkoLeonenko) or has a model of the law",
        ),
    )


_EXTRAPOLATION = Reference(
    authors="Delattre & Fournier", title="On the Kozachenko–Leonenko entropy estimator", year=2017,
    where="Journal of Statistical Planning and Inference 185, 69-93",
)  # fmt: skip


def _halving_bias(terms: Callable[[Rows], Float[np.ndarray, " m"]], *samples: Samples, k: int, method: str) -> Estimate:
    """(mean of terms on two halves − mean of terms) / (2^{2/d} − 1); the halves are drawn with a fixed seed."""
    n, d = len(samples[0]), sum(z.shape[1] for z in samples)
    if n < 2 * k + 2:
        raise SampleError(f"x: expected at least 2k + 2 = {2 * k + 2} rows, got {n}; draw more or use a smaller k")
    order = canonical_order(*samples)[stream(0, "halves", n).permutation(n)]
    half = np.empty(n)
    for rows in np.array_split(order, 2):
        half[rows] = terms(rows)
    factor = 2 ** (2 / d) - 1
    with np.errstate(invalid="ignore"):  # −inf − (−inf) where rows coincide
        change = (half - terms(np.arange(n))) / factor
        value, error = change.mean(), change.std(ddof=1) / np.sqrt(n)
    return Estimate(
        value=value, standard_error=error, n=n, bias=Bias.UNKNOWN, method=method, reference=_EXTRAPOLATION
    )  # fmt: skip
