"""KSG's counts in blocks from shared lists against a search in each block: the same whole numbers."""

from unittest.mock import patch

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.estimators import joint_counts
from itssl.estimators.error_bars import value_only
from itssl.estimators.joint_counts import JointCounts
from itssl.kernels.neighbor_counts import marginal_counts


def blocks_of(n, count=4):
    return [np.sort(part) for part in np.array_split(stream(0, "parts").permutation(n), count)]


def test_what_is_not_shared():
    """Few rows, Euclidean norms of several columns, long lists, and values alone."""
    line, plane = np.zeros((1000, 1)), np.zeros((1000, 2))
    assert JointCounts(line, line, 4, "euclidean", 1).shared
    assert JointCounts(line, plane, 4, "chebyshev", 1).shared
    assert not JointCounts(line, plane, 4, "euclidean", 1).shared
    assert not JointCounts(line[1:], line[1:], 4, "chebyshev", 1).shared
    assert not JointCounts(line, line, 40, "chebyshev", 1).shared
    with value_only():
        assert not JointCounts(line, line, 4, "chebyshev", 1).shared


@pytest.mark.parametrize("variant", [1, 2])
def test_joint_counts_of_blocks_with_short_lists(variant):
    """A cluster far out: all lists of its rows hold hardly more than itself, too few of each block."""
    rng = stream(0, "joint")
    x, y = rng.normal(size=(1200, 2)), rng.normal(size=(1200, 1))
    x[:12], y[:12] = 90 + 1e-3 * x[:12], 90 + 1e-3 * y[:12]
    parts, counts = blocks_of(1200), JointCounts(x, y, 5, "chebyshev", variant)
    assert counts.shared
    with patch.object(joint_counts, "nearest_within", wraps=joint_counts.nearest_within) as again:
        found = counts(parts)
        assert again.called
    for rows, ours in zip(parts, found, strict=True):
        np.testing.assert_array_equal(ours, marginal_counts(x[rows], y[rows], 5, "chebyshev", variant))
    np.testing.assert_array_equal(counts([slice(None)])[0], marginal_counts(x, y, 5, "chebyshev", variant))
