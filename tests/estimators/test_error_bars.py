"""Subsampling errors: scale with n, repeat, and refuse what they cannot know."""

import numpy as np

from itssl.arrays import stream
from itssl.estimators.error_bars import subsampling_standard_error


def test_recovers_the_error_of_a_mean():
    """Mean of n draws: standard error 1/√n; the average of squared errors over 400 data sets is known to ±4 %."""
    squared = []
    for seed in range(400):
        x = stream(seed, "mean").normal(size=200)
        error, freedom = subsampling_standard_error(lambda rows, x=x: float(x[rows].mean()), 200, smallest_block=5)
        squared.append(200 * error**2)
        assert freedom == 24
    assert abs(np.mean(squared) - 1) < 5 * np.std(squared) / np.sqrt(len(squared))


def test_blocks_are_disjoint_and_cover_the_sample():
    seen = []
    subsampling_standard_error(lambda rows: float(seen.append(rows) or 0), 103, smallest_block=5)
    for i in range(0, len(seen), 4):
        np.testing.assert_array_equal(np.sort(np.concatenate(seen[i : i + 4])), np.arange(103))


def test_too_small_or_infinite():
    assert np.isnan(subsampling_standard_error(lambda rows: 0.0, 9, smallest_block=5)[0])
    assert np.isnan(subsampling_standard_error(lambda rows: -np.inf, 100, smallest_block=5)[0])
    assert np.isnan(subsampling_standard_error(lambda rows: 4.0, 100, smallest_block=5)[0])
    assert subsampling_standard_error(lambda rows: float(rows[0]), 10, smallest_block=5)[1] == 8.0
