"""The weighted Kozachenko–Leonenko entropy against the paper's definition, and its identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gamma

from itssl import check_equality
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.weighted_neighbors import WeightedKozachenkoLeonenko, neighbor_weights

EPS = np.finfo(float).eps


def twin(x, k, weights):
    """The weighted sum of Berrett, Samworth & Yuan (2019), row by row; they write log(n−1) where we write ψ(n)."""
    n, d = x.shape
    away = np.sort(np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2)), axis=1)[:, 1:]
    ball = np.pi ** (d / 2) / gamma(d / 2 + 1)
    return sum(
        weights[j - 1] * np.mean(np.log(away[:, j - 1] ** d * ball)) + weights[j - 1] * (digamma(n) - digamma(j))
        for j in range(1, k + 1)
    )


@pytest.mark.parametrize(("k", "d"), [(10, 1), (10, 3), (4, 4), (10, 5), (16, 8), (40, 12), (10, 13), (16, 30)])
def test_weights_satisfy_the_papers_constraints(k, d):
    weights = neighbor_weights(k, d)
    j = np.arange(1, k + 1)
    size = np.abs(weights).sum()
    assert abs(weights.sum() - 1) < 1e3 * EPS * size
    for order in range(1, d // 4 + 1):
        moments = gamma(j + 2 * order / d) / gamma(j)
        assert abs(moments @ weights) < 1e4 * EPS * size * moments.max() * d
    assert set(j[weights != 0]) <= {m * k // d for m in range(1, d + 1)}
    if d < 4:
        assert weights[-1] == 1


def test_weights_have_the_smallest_norm():
    """Any direction that keeps the constraints is orthogonal to them."""
    weights = neighbor_weights(10, 5)
    support = np.array([2, 4, 6, 8, 10])
    constraints = np.array([np.ones(5), gamma(support + 0.4) / gamma(support)])
    free = np.linalg.svd(constraints)[2][2:]
    assert np.abs(free @ weights[support - 1]).max() < 1e2 * EPS * np.abs(weights).sum()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(20, 60), d=st.integers(1, 9), k=st.integers(3, 12))
def test_value_equals_the_definition(seed, n, d, k):
    x = stream(seed, "weighted").normal(size=(n, d))
    weights = neighbor_weights(k, d)
    value = WeightedKozachenkoLeonenko(k=k, whiten=False).entropy(x).value
    assert value == pytest.approx(twin(x, k, weights), abs=1e4 * EPS * np.abs(weights).sum())


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d=st.integers(1, 5))
def test_identities(seed, power, d):
    rng = stream(seed, "identities")
    x, factor, estimator = rng.normal(size=(60, d)), 10.0**power, WeightedKozachenkoLeonenko()
    h = estimator.entropy(x).value
    matrix = rng.normal(size=(d, d)) + 3 * np.eye(d)
    rounding = 1e6 * EPS * np.linalg.cond(matrix) ** 2
    assert estimator.entropy(x[rng.permutation(60)]).value == pytest.approx(h, abs=rounding)
    assert estimator.entropy(x * factor).value == pytest.approx(h + d * np.log(factor), abs=rounding)
    assert estimator.entropy(x @ matrix).value == pytest.approx(h + np.linalg.slogdet(matrix)[1], abs=rounding)


def test_finds_gaussian_entropy_in_five_dimensions_where_the_plain_one_is_off():
    """Plain k = 10 is 0.08 nats off here; the subsampling is left out to keep replicates cheap."""
    law = Gaussian.standard(4)
    weights = neighbor_weights(10, 4)
    from itssl.estimators.nearest_neighbors import log_ball_volumes
    from itssl.estimators.neighbor_extrapolation import neighbor_entropies

    def values(rng):
        return [weights @ neighbor_entropies(log_ball_volumes(law.sample(1000, rng), 10, "euclidean"))]

    check_equality(values, law.entropy.value, margin=0.06).require()


def test_interval_reaches_over_the_extrapolations():
    found = WeightedKozachenkoLeonenko().entropy(stream(0, "hull").uniform(size=(4000, 5)))
    low, high = found.interval(0.95)
    assert low < found.diagnostics["edge_extrapolation_nats"] < found.value < high
    assert low < 0 < high
    assert found.value - 2.1 * found.standard_error > 0  # what the standard error alone would say


def test_copies_singular_support_and_small_samples():
    estimator = WeightedKozachenkoLeonenko(k=6)
    x = np.repeat(stream(0, "copies").normal(size=(100, 5)), 2, axis=0)
    assert estimator.entropy(x).value == -np.inf
    assert "ties" in {w.code for w in estimator.entropy(x).warnings}
    wide = x[::2, :2] @ np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])
    assert [w.code for w in estimator.entropy(wide).warnings] == ["singular_support"]
    with pytest.raises(SampleError, match="x: expected more than k = 6 rows"):
        estimator.entropy(x[:6])
    with pytest.raises(SampleError, match="expected d < 4k = 12 columns"):
        WeightedKozachenkoLeonenko(k=3).entropy(stream(0, "wide").normal(size=(50, 12)))
    with pytest.raises(ParameterError, match="k: expected"):
        WeightedKozachenkoLeonenko(k=0)
    before = x[::2].astype(np.float32)
    before.flags.writeable = False
    assert np.isfinite(estimator.entropy(before).value)


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", 3])
def test_other_metrics_find_about_the_same(metric):
    x = stream(0, "metrics").normal(size=(400, 4))
    one, other = (WeightedKozachenkoLeonenko(metric=m).entropy(x) for m in ("euclidean", metric))
    assert abs(one.value - other.value) < 4 * one.standard_error
