"""The truncated Kozachenko–Leonenko entropy: cut volumes by Monte Carlo, exactness on uniform laws, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from itssl import KozachenkoLeonenko, check_equality
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.estimators.truncated_neighbors import TruncatedKozachenkoLeonenko, _log_cut_volumes
from itssl.kernels.neighbors import neighbors

EPS = np.finfo(float).eps


def twin(x, k, lower, upper):
    """One row at a time: the corners of the cube around x_i that reaches its k-th neighbor, clipped to the box."""
    n, total = len(x), 0.0
    for i in range(n):
        away = np.sort([np.abs(x[i] - x[j]).max() for j in range(n) if j != i])[k - 1]
        low, high = np.clip([x[i] - away, x[i] + away], lower, upper)
        total += np.log(np.prod(high - low))
    return digamma(n) - digamma(k) + total / n


def cut_volumes(x, k, lower, upper):
    return _log_cut_volumes(x, neighbors(x, k, "chebyshev")[0], lower, upper)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(8, 40), d=st.integers(1, 4), k=st.integers(1, 6))
def test_value_equals_the_definition(seed, n, d, k):
    rng = stream(seed, "box")
    lower, upper = rng.normal(size=d) - 3, rng.normal(size=d) + 3
    x = rng.uniform(lower, upper, size=(n, d))
    found = TruncatedKozachenkoLeonenko(tuple(lower.tolist()), tuple(upper.tolist()), k=k).entropy(x)
    assert found.value == pytest.approx(twin(x, k, lower, upper), abs=1e5 * EPS)


def test_a_cut_volume_is_the_volume_of_the_intersection():
    """By Monte Carlo in the cube around one corner row, within 5 standard errors."""
    x = np.array([[0.05, 0.9], [0.4, 0.5], [0.6, 0.1]])
    volume = np.exp(cut_volumes(x, 1, np.zeros(2), np.ones(2)))[0, 0]
    points = x[0] + stream(0, "cube").uniform(-0.4, 0.4, size=(100_000, 2))
    inside = ((points >= 0) & (points <= 1)).all(axis=1)
    assert abs(0.8**2 * inside.mean() - volume) < 5 * 0.8**2 * inside.std() / 100_000**0.5


def test_without_a_box_it_is_chebyshevs_kozachenko_leonenko():
    x = stream(0, "open").normal(size=(100, 3))
    found = TruncatedKozachenkoLeonenko(-np.inf, np.inf).entropy(x)
    plain = KozachenkoLeonenko(metric="chebyshev").entropy(x)
    assert found.value == pytest.approx(plain.value, abs=1e3 * EPS)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e4 * EPS)


@pytest.mark.parametrize(("n", "d", "k", "margin"), [(7, 1, 2, 0.05), (20, 2, 4, 0.05), (60, 3, 2, 0.03)])
def test_it_is_exactly_unbiased_on_uniform_laws(n, d, k, margin):
    """Also at n = 7; without the cut the values are far off."""

    def values(rng):
        draws = [rng.uniform(-1, 3, size=(n, d)) for _ in range(30)]
        return [neighbor_entropies(cut_volumes(x, k, -np.ones(d), 3 * np.ones(d)))[-1] for x in draws]

    check_equality(values, d * np.log(4), margin=margin).require()


def test_a_half_open_box_helps_an_exponential_law():
    """d = 3, n = 1000: 0.14 nats without the box; the edge at 0 is the cause, the tails are left as they are."""

    def values(rng):
        return [
            neighbor_entropies(cut_volumes(rng.exponential(size=(1000, 3)), 4, np.zeros(3), np.full(3, np.inf)))[-1]
        ]

    check_equality(values, 3.0, margin=0.08).require()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_identities(seed, power):
    rng, factor = stream(seed, "identities"), 10.0**power
    x = rng.uniform(size=(60, 2))
    h = TruncatedKozachenkoLeonenko(0.0, 1.0).entropy(x).value
    assert TruncatedKozachenkoLeonenko(0.0, 1.0).entropy(x[rng.permutation(60)]).value == pytest.approx(
        h, abs=1e3 * EPS
    )
    scaled = TruncatedKozachenkoLeonenko(0.0, factor).entropy(x * factor).value
    assert scaled == pytest.approx(h + 2 * np.log(factor), abs=1e5 * EPS)
    assert TruncatedKozachenkoLeonenko(5.0, 6.0).entropy(x + 5).value == pytest.approx(h, abs=1e6 * EPS)
    assert TruncatedKozachenkoLeonenko(-1.0, 0.0).entropy(-x).value == pytest.approx(h, abs=1e5 * EPS)


def test_interval_has_no_candidate_for_edges():
    found = TruncatedKozachenkoLeonenko(0.0, 1.0).entropy(stream(0, "interval").uniform(size=(400, 2)))
    assert list(found.diagnostics) == ["interior_extrapolation_nats"]
    assert found.interval(0.95)[0] < 0 < found.interval(0.95)[1]
    assert found.warnings == ()


def test_rows_outside_and_boxes_that_are_none_are_refused_by_name():
    x = stream(0, "outside").uniform(size=(50, 2))
    x[[3, 9], 1] = 1.5, -0.2
    with pytest.raises(
        SampleError, match=r"x: expected rows in the box from 0.0 to 1.0, got 2 of 50 outside \(first in row 3\)"
    ):
        TruncatedKozachenkoLeonenko(0.0, 1.0).entropy(x)
    with pytest.raises(SampleError, match="x: expected 3 columns, as many as lower has numbers, got 2"):
        TruncatedKozachenkoLeonenko((0.0, 0.0, 0.0), 2.0).entropy(x)
    with pytest.raises(SampleError, match="x: expected more than k = 4 rows, got 4"):
        TruncatedKozachenkoLeonenko(-1.0, 2.0).entropy(x[:4])
    with pytest.raises(ParameterError, match="upper: expected numbers above lower"):
        TruncatedKozachenkoLeonenko(1.0, 1.0)
    with pytest.raises(ParameterError, match="upper: expected 2 numbers like lower, got 3"):
        TruncatedKozachenkoLeonenko((0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(ParameterError, match="lower: expected a number"):
        TruncatedKozachenkoLeonenko(float("nan"), 1.0)


def test_sides_may_be_arrays_and_are_kept_as_numbers():
    estimator = TruncatedKozachenkoLeonenko(np.zeros(2), [1.0, 2.0])
    assert (estimator.lower, estimator.upper) == ((0.0, 0.0), (1.0, 2.0))
    assert hash(estimator) == hash(TruncatedKozachenkoLeonenko((0.0, 0.0), (1.0, 2.0)))


def test_copies_are_reported():
    x = np.repeat(stream(0, "copies").uniform(size=(50, 2)), 2, axis=0)
    found = TruncatedKozachenkoLeonenko(0.0, 1.0, k=1).entropy(x)
    assert found.value == -np.inf
    assert [w.code for w in found.warnings] == ["ties"]
