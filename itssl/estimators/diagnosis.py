"""Warnings that estimates carry: ties, atoms, integers, singular or low-dimensional support, determinism, ceilings.

Codes are stable. Which estimates carry what, and what only :func:`itssl.estimators.trust.diagnose` looks for:

- every estimate of samples (:func:`sample_warnings`, :func:`pair_warnings`; a sort and a singular value decomposition):
  ``ties``, ``atoms``, ``integers``, ``singular_support``, ``small_sample_for_dimension`` (for n ≤ d),
  ``deterministic``; where they apply ``ceiling`` and ``no_error_bar``;
- nearest-neighbor estimates too (:mod:`itssl.estimators.adequacy`; a neighbor search among 1,000 rows):
  ``low_dimensional_support``, ``high_dimension``, and ``unstandardized`` where distances depend on units;
- ``diagnose`` alone: ``small_sample_for_dimension`` for n < 4d, ``heavy_tails``, ``neighbor_bias``,
  ``constant_column`` (estimators refuse such data), and low-dimensional support of pairs.
"""

import numpy as np

from itssl.arrays import Samples
from itssl.estimate import EstimateWarning
from itssl.kernels.linalg import whitening

CEILING_ZONE = float(np.log(5))
ATOM_SHARE = 0.01


def tied_rows(x: Samples) -> int:
    """The number of rows of x that equal another row, in every bit but the sign of zero.

    >>> tied_rows(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]]))
    2
    """
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
    float32 numbers from a smooth law about n · 2e-8 do so by chance: 0.2 % at n = 10⁵.

    >>> atom_warnings(np.array([[0.0, 1.5], [0.0, 2.5], [1.5, 3.5]]))[0].code
    'atoms'
    >>> atom_warnings(np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]]))[0].code
    'integers'
    """
    if (x == np.rint(x)).all():
        return (
            EstimateWarning(
                code="integers",
                message=f"all values of {name} are integers, as labels or counts are; such a law has no density, "
                "so its differential entropy is -inf",
                cure="use an estimator for discrete data (Ross or MixedKSG for mutual information)",
            ),
        )
    rows = distinct_rows(x)
    if x.shape[1] == 1:
        return ()  # what repeats is a tied row
    ordered = np.sort(rows, axis=0)
    same = np.zeros((len(rows) + 1, x.shape[1]), dtype=bool)
    same[1:-1] = ordered[1:] == ordered[:-1]
    repeated = (same[1:] | same[:-1]).sum(axis=0)
    atoms = np.flatnonzero(repeated > max(1, ATOM_SHARE * len(rows)))
    if not atoms.size:
        return ()
    which = ", ".join(map(str, atoms[:5])) + (", ..." if atoms.size > 5 else "")
    return (
        EstimateWarning(
            code="atoms",
            message=f"{atoms.size} of {x.shape[1]} columns of {name} repeat values in different rows (column {which}; "
            f"up to {repeated.max() / len(rows):.0%} of the rows), as after ReLU or rounding; there is no density, and "
            "its differential entropy is -inf",
            cure="use values from before the ReLU or rounding, or MixedKSG for mutual information",
        ),
    )


def distinct_rows(x: Samples) -> Samples:
    """The rows of x without copies, in the order of their first appearance.

    >>> distinct_rows(np.array([[1.0], [0.0], [1.0]]))
    array([[1.],
           [0.]])
    """
    _, first = np.unique(_row_keys(x), return_index=True)
    return x[np.sort(first)]


def support_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``singular_support``: the columns of x are linearly dependent to rounding.

    With n ≤ d they are so whatever the law is, hence ``small_sample_for_dimension`` where the rank is what n allows.

    >>> support_warnings(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))[0].code
    'singular_support'
    """
    return _support(name, x, whitening(x)[1])


def joint_support_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """``singular_support`` of x and y, and code ``deterministic`` when together they are singular though apart not.

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> [w.code for w in joint_support_warnings(x, 2 * x)]
    ['deterministic']
    """
    (basis_x, rank_x), (basis_y, rank_y) = whitening(x), whitening(y)
    found = _support("x", x, rank_x) + _support("y", y, rank_y)
    joint = whitening(np.hstack([basis_x, basis_y]))[1]
    if joint == rank_x + rank_y or len(x) <= rank_x + rank_y:
        return found
    return (*found, deterministic_warning(rank_x + rank_y - joint))


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


def _row_keys(x: Samples) -> np.ndarray:
    """One opaque key a row; + 0.0 makes both zeros the same."""
    rows = np.ascontiguousarray(x + 0.0)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))


def _support(name: str, x: Samples, rank: int) -> tuple[EstimateWarning, ...]:
    n, d = x.shape
    if rank == d:
        return ()
    if rank == n - 1:
        return (
            EstimateWarning(
                code="small_sample_for_dimension",
                message=f"{n} rows of {name} span {rank} of its {d} dimensions, whatever the law is; covariances are "
                "singular, and distances say little",
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
