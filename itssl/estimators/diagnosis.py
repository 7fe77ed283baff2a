"""Is this estimate trustworthy? Warnings about ties, singular support and ceilings, with stable codes."""

import numpy as np

from itssl.arrays import Samples
from itssl.estimate import EstimateWarning
from itssl.kernels.linalg import whitening

CEILING_ZONE = float(np.log(5))


def tied_rows(x: Samples) -> int:
    """The number of rows of x that equal another row, in every bit but the sign of zero.

    >>> tied_rows(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]]))
    2
    """
    rows = np.ascontiguousarray(x + 0.0)
    _, counts = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))), return_counts=True)
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


def support_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """Code ``singular_support``: the columns of x are linearly dependent to rounding.

    >>> support_warnings(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))[0].code
    'singular_support'
    """
    return _support(name, x.shape[1], whitening(x)[1])


def joint_support_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """``singular_support`` of x and y, and code ``deterministic`` when together they are singular though apart not.

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> [w.code for w in joint_support_warnings(x, 2 * x)]
    ['deterministic']
    """
    (basis_x, rank_x), (basis_y, rank_y) = whitening(x), whitening(y)
    found = _support("x", x.shape[1], rank_x) + _support("y", y.shape[1], rank_y)
    joint = whitening(np.hstack([basis_x, basis_y]))[1]
    if joint == rank_x + rank_y or len(x) <= rank_x + rank_y:
        return found
    return (*found, deterministic_warning(rank_x + rank_y - joint))


def sample_warnings(x: Samples, *, name: str = "x") -> tuple[EstimateWarning, ...]:
    """What one sample should carry: ties and singular support.

    >>> sample_warnings(np.array([[0.0], [1.0], [2.0]]))
    ()
    """
    return tie_warnings(x, name=name) + support_warnings(x, name=name)


def pair_warnings(x: Samples, y: Samples) -> tuple[EstimateWarning, ...]:
    """What a pair of samples should carry: ties of either, singular support, deterministic relation.

    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> [w.code for w in pair_warnings(x, x)]
    ['deterministic']
    """
    return tie_warnings(x) + tie_warnings(y, name="y") + joint_support_warnings(x, y)


def deterministic_warning(directions: int) -> EstimateWarning:
    """Code ``deterministic``: that many directions of x are linear functions of y."""
    return EstimateWarning(
        code="deterministic",
        message=f"{directions} direction(s) of x are linear functions of y to rounding; for continuous variables the "
        "mutual information is infinite, and any finite number measures only the sample size",
        cure="add the noise that your question implies, or drop the shared directions",
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


def _support(name: str, d: int, rank: int) -> tuple[EstimateWarning, ...]:
    if rank == d:
        return ()
    return (
        EstimateWarning(
            code="singular_support",
            message=f"{name} varies in {rank} of its {d} dimensions only (linear rank, to rounding); on such a support "
            "differential entropy is -inf",
            cure=f"project {name} on its support first, e.g. with sklearn.decomposition.PCA({rank})",
        ),
    )
