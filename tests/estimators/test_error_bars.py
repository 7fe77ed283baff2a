"""Subsampling and jackknife errors: scale with n, repeat, and refuse what they cannot know."""

import numpy as np
from scipy.special import polygamma

from itssl.arrays import stream
from itssl.estimators.error_bars import jackknife_standard_error, subsampling_standard_error, value_only


def test_recovers_the_error_of_a_mean():
    """Mean of n draws: standard error 1/√n; the average of squared errors over 400 data sets is known to ±4 %."""
    squared = []
    for seed in range(400):
        x = stream(seed, "mean").normal(size=200)
        error, freedom = subsampling_standard_error(
            lambda rows, x=x: float(x[rows].mean()), np.arange(200), smallest_block=5
        )
        squared.append(200 * error**2)
        assert freedom == 24
    assert abs(np.mean(squared) - 1) < 5 * np.std(squared) / np.sqrt(len(squared))


def test_blocks_are_disjoint_and_cover_the_sample():
    seen = []
    subsampling_standard_error(lambda rows: float(seen.append(rows) or 0), np.arange(103), smallest_block=5)
    for i in range(0, len(seen), 4):
        np.testing.assert_array_equal(np.sort(np.concatenate(seen[i : i + 4])), np.arange(103))


def test_too_small_or_infinite():
    assert np.isnan(subsampling_standard_error(lambda rows: 0.0, np.arange(9), smallest_block=5)[0])
    assert np.isnan(subsampling_standard_error(lambda rows: -np.inf, np.arange(100), smallest_block=5)[0])
    assert np.isnan(subsampling_standard_error(lambda rows: 4.0, np.arange(100), smallest_block=5)[0])
    assert subsampling_standard_error(lambda rows: float(rows[0]), np.arange(10), smallest_block=5)[1] == 8.0


def test_jackknife_of_a_mean_is_its_textbook_error():
    """With one row a group the jackknife of a mean is s/√n exactly."""
    x = stream(0, "jackknife").normal(size=50)
    error, freedom = jackknife_standard_error(lambda rows: float(x[rows].mean()), np.arange(50), groups=50)
    assert abs(error - x.std(ddof=1) / np.sqrt(50)) < 64 * np.finfo(float).eps
    assert freedom == 49


def test_jackknife_of_a_smooth_statistic_matches_its_spread():
    """log of the sample variance of n Gaussian draws has variance 2/(n − 1) to first order; exactly ψ'((n − 1)/2)."""
    squared = []
    for seed in range(300):
        x = stream(seed, "log variance").normal(size=400)
        squared.append(
            jackknife_standard_error(lambda rows, x=x: float(np.log(x[rows].var(ddof=1))), np.arange(400))[0] ** 2
        )
    spread = 5 * np.std(squared) / np.sqrt(len(squared))
    assert abs(np.mean(squared) - polygamma(1, 399 / 2)) < spread + 0.02 * polygamma(
        1, 399 / 2
    )  # jackknife: O(1/n) bias


def test_value_only_skips_what_costs_and_ends_with_the_block():
    with value_only():
        assert np.isnan(subsampling_standard_error(lambda rows: float(rows[0]), np.arange(100), smallest_block=5)[0])
        assert np.isnan(jackknife_standard_error(lambda rows: float(rows[0]), np.arange(100))[0])
    assert np.isfinite(subsampling_standard_error(lambda rows: float(rows[0]), np.arange(100), smallest_block=5)[0])
