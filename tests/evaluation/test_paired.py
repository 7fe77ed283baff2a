"""Paired differences against scipy, enumeration and the definition of a p-value."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.evaluation import paired_difference


def naive_p(d):
    """The share of all 2ⁿ sign patterns whose sum is at least as far from 0; exact for integers."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, d, strict=True))) for signs in itertools.product((1, -1), repeat=len(d))
    ]
    return np.mean([total >= abs(sum(d)) for total in sums])


@pytest.mark.parametrize("n", [2, 5, 9])
def test_everything_is_as_in_scipy(n):
    rng = stream(n, "paired")
    a, b = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    found, student = paired_difference(a, b), stats.ttest_rel(a, b)
    flips = stats.permutation_test(
        (a - b,), lambda d, axis: d.sum(axis=axis), permutation_type="samples", n_resamples=2**n, vectorized=True
    )
    assert found.exact
    assert found.p_value == pytest.approx(flips.pvalue, rel=1e-14)
    assert found.mean / found.standard_error == pytest.approx(student.statistic, rel=1e-12)
    assert found.interval(0.9) == pytest.approx(tuple(student.confidence_interval(0.9)), rel=1e-10)
    assert (found.positive, found.negative, found.n) == ((a > b).sum(), (a < b).sum(), n)


@pytest.mark.parametrize(
    "d",
    [
        [1, 1, 1, 1],
        [1, 2, 3, -3],
        [0, 0, 1, 2],
        [0, 0, 0],
        [5, -5, 1, -1],
        [-1, -2, -4, -8, 0],
        [1, 1, -1, -1, 2],
        [6, -3, -3, 4, 3],
        [2, 3, 4, -5, -6],
    ],
)
def test_ties_and_zeros_are_counted_exactly(d):
    a = np.array(d, dtype=float)
    found = paired_difference(a, np.zeros(len(d)))
    assert found.p_value == naive_p(d)
    assert (found.positive, found.negative) == (sum(v > 0 for v in d), sum(v < 0 for v in d))
    moved = sum(v != 0 for v in d)
    assert found.smallest_p_value == (2 / 2**moved if moved else 1.0)
    # In tenths the same sums differ by rounding.
    assert paired_difference(0.1 * a, np.zeros(len(d))).p_value == naive_p(d)


def test_swapping_changes_the_sign_alone():
    rng = stream(1, "paired")
    a, b = rng.normal(size=8), rng.normal(size=8)
    one, two = paired_difference(a, b), paired_difference(b, a)
    assert (one.mean, one.p_value, one.positive) == (-two.mean, two.p_value, two.negative)
    assert paired_difference(3 * a, 3 * b).p_value == one.p_value


def test_twenty_seeds_are_enumerated_and_more_are_drawn():
    d = stream(2, "paired").normal(0.4, 1, size=20)
    exact = paired_difference(d, np.zeros(20))
    assert exact.exact
    assert exact.smallest_p_value == 2 / 2**20
    drawn = paired_difference(d, np.zeros(20), flips=20_000)
    assert not drawn.exact
    assert abs(drawn.p_value - exact.p_value) < 5 * np.sqrt(exact.p_value / 20_000) + 1 / 20_000
    assert drawn == paired_difference(d, np.zeros(20), flips=20_000)
    assert drawn != paired_difference(d, np.zeros(20), flips=20_000, seed=1)
    far = paired_difference(np.ones(80), np.zeros(80), flips=999)
    assert far.p_value == far.smallest_p_value == 1 / 1000


@pytest.mark.parametrize("flips", [2**20, 50])
def test_the_p_value_keeps_its_level_under_a_skewless_null(flips):
    """P(p ≤ u) ≤ u for symmetric differences, with ties, of unequal widths; all seeds of a false claim below u."""
    rng, runs = stream(3, "null"), 2000
    d = np.round(rng.standard_t(3, size=(runs, 6)) * np.arange(1, 7), 1) * (rng.uniform(size=(runs, 6)) > 0.2)
    p = np.array([paired_difference(row, np.zeros(6), flips=flips, seed=i).p_value for i, row in enumerate(d)])
    for u in (0.05, 0.1, 0.3, 0.5):
        assert np.mean(p <= u) < u + 5 * np.sqrt(u * (1 - u) / runs)
    assert np.mean(p <= 0.5) > 0.3  # and it is not so by being useless


def test_seeds_may_be_named_in_any_order():
    a, b = {3: 0.9, 1: 0.5, 2: 0.7}, {1: 0.4, 2: 0.9, 3: 0.2}
    assert paired_difference(a, b) == paired_difference([0.9, 0.5, 0.7], [0.2, 0.4, 0.9])
    with pytest.raises(SampleError, match="expected the same seeds, got 3 only in a and 4 only in b"):
        paired_difference(a, {1: 0.4, 2: 0.9, 4: 0.2})
    with pytest.raises(SampleError, match="expected two mappings from seed to result or two arrays, got one of each"):
        paired_difference(a, [0.2, 0.4, 0.9])
    with pytest.raises(SampleError, match="expected equal row labels"):
        paired_difference(pd.Series([0.1, 0.2], index=[1, 2]), pd.Series([0.1, 0.2], index=[2, 3]))


def test_bad_input_is_refused():
    with pytest.raises(SampleError, match="a and b: expected the same number of rows, got 3 and 2"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(SampleError, match="a: expected at least 2 rows"):
        paired_difference([1.0], [2.0])
    with pytest.raises(SampleError, match="a: expected finite values"):
        paired_difference([1.0, np.nan], [2.0, 3.0])
    with pytest.raises(SampleError, match=r"expected one result a seed, got shapes \(4, 2\)"):
        paired_difference(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(ParameterError, match="flips"):
        paired_difference([1.0, 2.0], [0.0, 0.0], flips=0)
    with pytest.raises(ParameterError, match="level"):
        paired_difference([1.0, 2.0], [0.0, 0.0]).interval(95)


def test_text_html_and_dict():
    found = paired_difference(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.1, 0.1]))
    assert str(found) == "+0.067 ± 0.088 (2 of 3 seeds, sign-flip p = 0.75)"
    assert str(paired_difference([0.0, 0.0], [1.0, 1.0])) == "-1 ± 0 (0 of 2 seeds, sign-flip p = 0.5)"
    assert "<th>smallest reachable p</th><td>0.25</td>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["smallest_p_value"] == 0.25
    with pytest.raises(TypeError, match="no truth value"):
        bool(found)


def test_rounding_is_no_difference():
    found = paired_difference([0.1 + 0.2] * 6, [0.3] * 6)
    assert (found.mean, found.positive, found.negative, found.p_value) == (0.0, 0, 0, 1.0)
    assert paired_difference([1 + 1e-12] * 6, [1.0] * 6).positive == 6
