"""Samples freed of what a law's information does not depend on: location, units, scales, and the order of the rows."""

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.kernels.linalg import column_std


def standardized(x: Samples) -> Samples:
    """Columns centered and divided by their standard deviation.

    >>> standardized(np.array([[1.0, 0.0], [3.0, 1e-200]])).round(4)
    array([[-0.7071, -0.7071],
           [ 0.7071,  0.7071]])
    """
    return (x - x.mean(axis=0)) / column_std(x)


def scaled(x: Samples) -> Samples:
    """Columns divided by their standard deviation, and first brought to :func:`location`: for nearest neighbors.

    Dividing keeps the digits of all values. Subtracting the mean of a heavy-tailed column, which a few rows
    make, would round the others away.

    >>> scaled(np.array([[1.0, 1e20], [3.0, 1.0]])).round(4).tolist()
    [[0.7071, 1.4142], [2.1213, 0.0]]
    """
    return (x - location(x)) / column_std(x)


def location(x: Samples) -> Float[np.ndarray, " d"]:
    """The mean of each column that is over 10 standard deviations away from 0, and 0 for the others.

    >>> location(np.array([[1.0, 100.0], [3.0, 102.0]]))
    array([  0., 101.])
    """
    mean = x.mean(axis=0)
    return np.where(np.abs(mean) > 10 * column_std(x), mean, 0.0)


def row_rounding(x: Samples) -> Float[np.ndarray, " n"]:
    """For each row, rounding of its largest coordinate in units of the standard deviations: 8 ε max_j |x_ij|/s_j.

    >>> row_rounding(np.array([[1.0], [3.0]])) / np.finfo(float).eps
    array([ 5.65685425, 16.97056275])
    """
    return 8 * np.finfo(float).eps * np.abs(x / column_std(x)).max(axis=1)


def normal_scores(x: Samples) -> Samples:
    """Φ⁻¹(rank/(n+1)) in each column; equal values share their mean rank.

    >>> normal_scores(np.array([[1.0], [1.0], [9.0]])).ravel().round(3)
    array([-0.319, -0.319,  0.674])
    """
    from scipy.special import ndtri

    ranks = np.empty_like(x)
    for j, column in enumerate(x.T):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, j] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ndtri(ranks / (len(x) + 1))


def in_units_of_its_own(x: Samples) -> tuple[Samples, float]:
    """x centered and divided by s = √(tr Ĉ/d), the root of its columns' mean variance; and log s.

    One factor for all columns: unlike :func:`standardized` it commutes with rotations.

    >>> in_units_of_its_own(np.array([[1.0], [3.0]]))[0].round(4)
    array([[-0.7071],
           [ 0.7071]])
    """
    centered = x - x.mean(axis=0)
    largest = np.abs(centered).max()  # squares of the quotient neither over- nor underflow
    std = np.sqrt(((centered / largest) ** 2).sum() / (len(x) - 1) / x.shape[1])
    return centered / largest / std, float(np.log(largest) + np.log(std))


def canonical_order(*samples: Samples) -> Int[np.ndarray, " n"]:
    """An order of the rows that depends on their values alone: not on how they came, their units, or which block is x.

    For estimators that split or seed by row number (training and test rows, starting points): with their rows in
    this order the answer is a function of the set of pairs. Rows are sorted by the sum of their standardized
    coordinates, and where sums agree to rounding by the columns in turn.

    >>> x = np.array([[3.0], [1.0], [2.0]])
    >>> canonical_order(x), canonical_order(1e9 * x[::-1])
    (array([1, 2, 0]), array([1, 0, 2]))
    """
    sums = np.sum([standardized(x).sum(axis=1) for x in samples], axis=0).round(9)
    order = np.argsort(sums, kind="stable")
    if (np.diff(sums[order]) > 0).all():
        return order
    return np.lexsort((*(column for x in samples for column in x.T), sums))
