"""Standardized columns, and an order of rows that belongs to the set of draws."""

import numpy as np
from scipy.stats import norm, rankdata

from itssl.arrays import stream
from itssl.estimators.standardization import canonical_order, normal_scores, standardized


def test_standardized_columns_have_mean_zero_and_unit_variance():
    z = standardized(stream(0, "z").normal(0, [1e-9, 1, 1e9], size=(50, 3)))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(z.std(axis=0, ddof=1), 1, rtol=1e-13)


def test_canonical_order_depends_on_the_set_of_pairs_alone():
    rng = stream(0, "order")
    x, y = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
    order, shuffled = canonical_order(x, y), rng.permutation(100)
    np.testing.assert_array_equal(shuffled[canonical_order(x[shuffled], y[shuffled])], order)
    np.testing.assert_array_equal(canonical_order(y, x), order)
    np.testing.assert_array_equal(canonical_order(1e-12 * x, 1e12 * y), order)


def test_normal_scores_are_the_quantiles_of_mean_ranks_and_ignore_monotone_maps():
    x = stream(0, "scores").integers(0, 12, size=(40, 3)).astype(float)  # with ties
    np.testing.assert_allclose(normal_scores(x), norm.ppf(rankdata(x, axis=0) / 41), atol=1e-14)
    np.testing.assert_array_equal(normal_scores(np.exp(x)), normal_scores(x))
