"""Warnings that estimates carry: ties, atoms, integers, singular or low-dimensional support, determinism, ceilings.

Codes are stable. Which estimates carry what, and what only :func:`itssl.estimators.trust.diagnose` looks for:

- every estimate of samples (:func:`sample_warnings`, :func:`pair_warnings`; a sort and a singular value decomposition):
  ``ties``, ``atoms``, ``integers``, ``singular_support``, ``small_sample_for_dimension`` (for n ≤ d),
  ``deterministic``; where they apply ``ceiling`` and ``no_error_bar``;
- entropies from nearest neighbors (:mod:`itssl.estimators.adequacy`; a neighbor search among 1,000 rows):
  ``low_dimensional_support``, ``high_dimension``, and ``unstandardized`` where distances depend on units; of
  Kozachenko and Leonenko ``neighbor_bias`` (:mod:`itssl.estimators.drift`, from the parts behind the error bar);
  Hausdorff's ``dimension_mismatch``;
- informations and divergences from nearest neighbors: ``high_dimension``, ``heavy_tails``, ``neighbor_bias``; with
  labels ``rare_labels``, of two samples ``disjoint_support``;
- what rests on covariances: ``small_sample_for_dimension`` for n < 4d, ``heavy_tails``, ``not_gaussian``,
  ``shrinkage_bias``, ``rank_bias`` (of the copula), ``rounding`` (of moments alone);
- models: ``max_components``, ``small_component``, ``misfit``, ``not_converged``, ``overfit``, ``high_variance``;
  histograms: ``bin_width``, ``empty_bins``;
- ``diagnose`` alone: ``constant_column`` (estimators refuse such data), and low-dimensional support of pairs. It
  looks for ``neighbor_bias`` of entropies in halves of the rows, which see what the parts of the estimate do not
  (exponential, d = 5, n = 1000: in 11 of 12 samples, the estimate in none), and the reverse (uniform, d = 3: 1 and 8).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from itssl.arrays import Samples, list_columns
from itssl.estimate import EstimateWarning
from itssl.estimators.standardization import standardized
from itssl.kernels.linalg import column_std, whitening
from itssl.kernels.threads import in_order

CEILING_ZONE = float(np.log(5))
ATOM_SHARE = 0.01
FLOAT32_BITS = 24
_COLLISIONS = 4e-8  # of float32 numbers from a smooth law about n · 2e-8 share their value with another by chance
_INTEGER_EVIDENCE = 20  # bits: a law with a density passes for integers in one sample of a million
_FLOAT32_ROUNDINGS = 16.0  # linear layers of up to 512 inputs and 600 outputs, means up to 100 deviations: at most 3.2
_COLUMNS = 8
_MANY = 2**18  # numbers that take longer to sort than threads to start
_MOST_BLUR = 1e-4  # directions that correlate by less than 1 − 1e-8 are told apart, however rough x and y are


def tied_rows(x: Samples) -> int:
    """The number of rows of x that equal another row, in every bit but the sign of zero.

    >>> tied_rows(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]]))
    2
    """
    if _has_a_column_without_repeats(x):
        return 0
    _, counts = np.unique(_row_keys(x), return_counts=True)
    return int(counts[counts > 1].sum())


def tie_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``ties``: rows that coincide, so the law is not continuous.

    >>> tie_warnings(np.array([[0.0], [0.0], [1.0]]))[0].code
    'ties'
    """
    tied = tied_rows(x)
    if not tied:
        return ()
    return (
        EstimateWarning(
            code="ties",
            message=f"{tied} of {len(x)} rows of {name} coincide with another row, by copying or because the law has "
            "atoms; then differential entropy is -inf, copies count as evidence they are not, and nearest-neighbor "
            "values are artifacts in either direction",
            cure="remove copies with numpy.unique(..., axis=0), or use an estimator for discrete data",
        ),
    )


def atom_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``integers``: all values are integers. Else code ``atoms``: columns repeat values although rows differ.

    A column repeats values if more than 1 % of the different rows (and two at least) share theirs with another one. Of
    float32 numbers from a smooth law about n · 2e-8 do so by chance: 0.2 % at n = 10⁵, 2 % at 10⁶; so n · 4e-8 of
    them are allowed on top. Numbers so large that their last bit counts ones or more are integers whatever the law
    is, and no evidence: that all of x are must have had a chance below 1e-6.

    >>> atom_warnings(np.array([[0.0, 1.5], [0.0, 2.5], [1.5, 3.5]]))[0].code
    'atoms'
    >>> atom_warnings(np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]]))[0].code
    'integers'
    """
    if integral(x):
        return (
            EstimateWarning(
                code="integers",
                message=f"all values of {name} are integers, as labels or counts are; such a law has no density, "
                "so its differential entropy is -inf",
                cure="use an estimator for discrete data (Ross or MixedKSG for mutual information)",
            ),
        )
    if x.shape[1] == 1:
        return ()  # what repeats is a tied row
    rows = distinct_rows(x)
    repeated = by_columns(_repeated, rows)
    atoms = np.flatnonzero(repeated > max(1, (ATOM_SHARE + _COLLISIONS * len(rows)) * len(rows)))
    if not atoms.size:
        return ()
    return (
        EstimateWarning(
            code="atoms",
            message=f"{atoms.size} of {x.shape[1]} columns of {name} repeat values in different rows (column "
            f"{list_columns(x, atoms)}; "
            f"up to {repeated.max() / len(rows):.0%} of the rows), as after ReLU or rounding; there is no density, and "
            "its differential entropy is -inf",
            cure="use values from before the ReLU or rounding, or MixedKSG for mutual information",
        ),
    )


def integral(x: Samples) -> bool:
    """Whether x holds integers alone, and not by its size: a float of p bits and exponent e is one by 2^{e+1−p}.

    p is 24 where all of x are float32 numbers, else 53. Zeros fit any law with atoms and say nothing.

    >>> integral(np.array([[3.0], [0.0]])), integral(np.array([[0.5], [1.0]])), integral(np.array([[1e300], [3e299]]))
    (True, False, False)
    """
    if not all((part == np.rint(part)).all() for part in (x[:1], x)):
        return False
    bits = FLOAT32_BITS if _is_float32(x) else 53
    exponents = np.frexp(x[x != 0])[1] - 1
    return int(np.maximum(bits - 1 - exponents, 0).sum()) >= _INTEGER_EVIDENCE


def distinct_rows(x: Samples) -> Samples:
    """The rows of x without copies, in the order of their first appearance.

    >>> distinct_rows(np.array([[1.0], [0.0], [1.0]]))
    array([[1.],
           [0.]])
    """
    if _has_a_column_without_repeats(x):
        return x
    _, first = np.unique(_row_keys(x), return_index=True)
    return x[np.sort(first)]


class LinearSupport(NamedTuple):
    """Coordinates of a sample on the directions in which it varies; see :func:`linear_support`."""

    basis: Samples
    blur: float

    @property
    def rank(self) -> int:
        """The number of directions."""
        return self.basis.shape[1]


def linear_support(x: Samples) -> LinearSupport:
    """Uncorrelated coordinates of unit variance on the numerical support of x, and how far rounding has moved them.

    As :func:`itssl.kernels.linalg.whitening`, but constant columns count as missing directions, and float32 numbers
    (x as a network in float32 returns it, widened) are judged by the rounding of float32: directions of standardized
    x thinner than 16 · 2⁻²⁴ max|x|/std are left out, and ``blur`` is this over the deviation of the thinnest one kept.

    >>> z = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    >>> linear_support((z @ np.ones((2, 3), dtype=np.float32)).astype(float)).rank
    1
    """
    varying = x[:, np.ptp(x, axis=0) > 0]
    if not varying.shape[1]:
        return LinearSupport(varying, 0.0)
    rounding = 0.0
    if _is_float32(varying):
        largest = np.abs(varying).max(axis=0) / column_std(varying)
        rounding = _FLOAT32_ROUNDINGS * 2.0**-FLOAT32_BITS * float(largest.max())
    return _resolved(standardized(varying), rounding)


def support_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``singular_support``: the columns of x are linearly dependent to rounding, of float32 if x is.

    With n ≤ d they are so whatever the law is, hence ``small_sample_for_dimension`` where the rank is what the
    different rows allow.

    >>> support_warnings(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))[0].code
    'singular_support'
    """
    return _support(name, x, linear_support(x).rank)


def joint_support_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """``singular_support`` of x and y, and code ``deterministic`` when together they are singular though apart not.

    At least one shared direction is found where y = Ax + b with A of condition up to 10⁴, of float32 numbers too
    (measured at d = 2, 8, 20 and n = 50, 1000, the product in float32); noise of 1e-3 is not taken for rounding.

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> [w.code for w in joint_support_warnings(x, 2 * x)]
    ['deterministic']
    """
    a, b = linear_support(x), linear_support(y)
    found = _support("x", x, a.rank) + _support("y", y, b.rank)
    if not a.rank or not b.rank:
        return found
    both = np.hstack([a.basis, b.basis])
    (n, d), blur = both.shape, min(a.blur + b.blur, _MOST_BLUR)
    fitted = 1 - min(1.0, (d / (n - 1)) ** 0.5)  # the thinnest of d directions of n rows are so much thinner by chance
    shared = d - _resolved(both, blur * fitted).rank
    if not shared or len(distinct_rows(np.hstack([x, y]))) <= d:
        return found
    return (*found, deterministic_warning(shared))


def sample_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """What one sample should carry: ties, atoms and singular support.

    >>> sample_warnings(np.array([[0.0], [0.1], [0.3]]))
    ()
    """
    return tie_warnings(x, name=name) + atom_warnings(x, name=name) + support_warnings(x, name=name)


def pair_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """What a pair of samples should carry: ties and atoms of either, singular support, deterministic relation.

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> [w.code for w in pair_warnings(x, x)]
    ['deterministic']
    """
    ties = tie_warnings(x) + tie_warnings(y, name="y")
    return ties + atom_warnings(x) + atom_warnings(y, name="y") + joint_support_warnings(x, y)


def deterministic_warning(directions: int) -> EstimateWarning:
    """Code ``deterministic``: that many directions of x are linear functions of y."""
    return EstimateWarning(
        code="deterministic",
        message=f"{directions} direction(s) of x are linear functions of y to rounding; for continuous variables the "
        "mutual information is infinite, and any finite number measures only the sample size",
        cure="add the noise that your question implies (NoiseConvolved), or drop the shared directions",
    )


def ceiling_warnings(value: float, ceiling: float, formula: str) -> tuple[EstimateWarning, ...]:
    """Code ``ceiling``: the value lies within log 5 of the largest that n draws can show.

    A noiseless relation y = g(x) ends there: the geometric mean of its marginal counts is about 2k. Measured for
    y = exp(x), k = 1 … 10, n = 200 … 5000: 0.3 to 1.6 nats below the ceiling.

    >>> ceiling_warnings(5.0, 5.3, "log n")[0].code
    'ceiling'
    """
    if not ceiling - CEILING_ZONE <= value <= ceiling + 1:
        return ()  # far above it the formula has broken down, which is for other warnings to say
    return (
        EstimateWarning(
            code="ceiling",
            message=f"{value:.3g} nats is within {CEILING_ZONE:.2g} of the ceiling {formula} = {ceiling:.3g}; "
            "the truth may be any larger number",
            cure="use more draws, or an estimator with a model of the law",
        ),
    )


def small_sample_warnings(standard_error: float, value: float, n: int) -> tuple[EstimateWarning, ...]:
    """Code ``no_error_bar``: too few draws to split the sample for a standard error."""
    if np.isfinite(standard_error) or not np.isfinite(value):
        return ()
    return (
        EstimateWarning(
            code="no_error_bar",
            message=f"{n} rows are too few, too often tied, or saturated: their parts show no spread to learn from",
            cure="use more draws, or a smaller k",
        ),
    )


def by_columns(work: Callable[[np.ndarray], np.ndarray], x: Samples) -> np.ndarray:
    """work(columns) for a few columns at a time, each in one piece of memory as a row, and the answers in one array.

    Sorting columns where they lie would read the whole array for each. Large arrays are worked on by all cores.

    >>> by_columns(lambda columns: columns.max(axis=1), np.array([[1.0, 5.0], [2.0, 3.0]]))
    array([2., 5.])
    """

    def few(start: int) -> np.ndarray:
        return work(np.array(x[:, start : start + _COLUMNS].T, order="C"))

    starts = range(0, x.shape[1], _COLUMNS)
    return np.concatenate(list(in_order(few, starts) if x.size > _MANY else map(few, starts)), axis=-1)


def _repeated(columns: np.ndarray) -> np.ndarray:
    """How many values of each row of ``columns`` occur there more than once."""
    columns.sort(axis=1)
    same = np.zeros((len(columns), columns.shape[1] + 1), dtype=bool)
    np.equal(columns[:, 1:], columns[:, :-1], out=same[:, 1:-1])
    return (same[:, 1:] | same[:, :-1]).sum(axis=1)


def _has_a_column_without_repeats(x: Samples) -> bool:
    """Then no two rows coincide; only a few columns are asked, for it is a short way and no more."""
    return any(not _repeated(np.array([column])).any() for column in x.T[:2])


def _row_keys(x: Samples) -> np.ndarray:
    """One opaque key a row; + 0.0 makes both zeros the same."""
    rows = np.ascontiguousarray(x + 0.0)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))


def _is_float32(x: Samples) -> bool:
    with np.errstate(over="ignore"):
        return bool((x == x.astype(np.float32)).all())


def _resolved(standard: Samples, rounding: float) -> LinearSupport:
    """The whitened directions of standardized columns whose deviation is above rounding."""
    basis, _ = whitening(standard)
    if not rounding:
        return LinearSupport(basis, 0.0)
    deviations = np.linalg.norm(standard.T @ basis, axis=0) / (len(standard) - 1)
    kept = deviations > rounding
    return LinearSupport(basis[:, kept], rounding / float(deviations[kept].min(initial=np.inf)))


def _support(name: str, x: Samples, rank: int) -> tuple[EstimateWarning, ...]:
    d = x.shape[1]
    if rank == d:
        return ()
    different = len(distinct_rows(x))
    if rank == different - 1:
        return (
            EstimateWarning(
                code="small_sample_for_dimension",
                message=f"{different} rows of {name} span {rank} of its {d} dimensions, whatever the law is; "
                "covariances are singular, and distances say little",
                cure="draw more, reduce the dimension, or use GaussianPlugin(shrinkage=...)",
            ),
        )
    return (
        EstimateWarning(
            code="singular_support",
            message=f"{name} varies in {rank} of its {d} dimensions only (linear rank, to rounding); on such a support "
            "differential entropy is -inf",
            cure=f"project {name} on its support first, e.g. with sklearn.decomposition.PCA({rank})",
        ),
    )
