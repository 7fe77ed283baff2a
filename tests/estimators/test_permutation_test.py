"""The permutation test: its level, its power, and that p is never zero."""

import numpy as np
import pandas as pd
import pytest

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias, Estimate
from itssl.estimators.permutation_test import permutation_test


@pytest.mark.slow
def test_level_is_exact():
    """Under independence p is uniform on {1/10, …, 1}: 400 tests at level 0.1, five standard deviations of a count."""
    rejected = 0
    for s in range(400):
        x, y = stream(s, "level").normal(size=(2, 30))
        rejected += permutation_test(x, y, method="gaussian_plugin", permutations=9, seed=s).p_value <= 0.1
    assert abs(rejected - 40) < 5 * np.sqrt(400 * 0.1 * 0.9)


def test_power_and_bias_at_independence():
    x, y = linear_gaussian_views([0.7]).sample(200, stream(0, "power"))
    found = permutation_test(x, y, permutations=49)
    assert found.p_value == 1 / 50
    assert found.reached == 0
    assert abs(found.mean_under_independence) < 5 * 0.08 / np.sqrt(49) + 0.01  # KSG is nearly unbiased there
    assert "p = 0.02 (0 of 49 permutations" in str(found)
    assert "KSG(k=4" in found._repr_html_()
    assert np.isfinite(found.observed.standard_error)


def test_ties_of_the_statistic_count_against_the_claim():
    """A statistic that is always the same rejects nothing."""

    class Constant:
        def mutual_information(self, x, y, /):
            return Estimate(value=1.0, standard_error=0, n=len(x), bias=Bias.UNKNOWN, method="constant")

    x = stream(0, "x").normal(size=20)
    assert permutation_test(x, x, method=Constant(), permutations=9).p_value == 1


def test_bad_configuration():
    x = stream(0, "x").normal(size=20)
    with pytest.raises(ParameterError, match="permutations: expected an integer >= 1"):
        permutation_test(x, x, permutations=0)
    with pytest.raises(UnknownNameError, match="method"):
        permutation_test(x, x, method="nothing")


def test_labels_are_shuffled_as_they_are():
    """What `choose` recommends for labels can be tested: text, a list, a pandas column, integers for MixedKSG."""
    x = stream(0, "labels").normal(size=(80, 1))
    labels = np.where(x[:, 0] > 0, "high", "low")
    for held in (labels, labels.tolist(), pd.Series(labels)):
        assert permutation_test(x, held, method="ross", permutations=19).p_value == 0.05
    assert permutation_test(x, (x > 0).astype(int), method="mixed_ksg", permutations=19).p_value == 0.05
    frames = pd.DataFrame(x, index=np.arange(80)[::-1]), pd.DataFrame(x + 1, index=np.arange(80)[::-1])
    assert permutation_test(*frames, permutations=19).p_value == 0.05
