"""Moments by chunks against sums in longer floats, on data made to cancel; sums of shards in any order, bit by bit."""

import pickle
from functools import reduce

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.kernels import covariance as module
from itssl.kernels.covariance import CovarianceAccumulator, moments, sums_of_squares

EPS = float(np.finfo(float).eps)
needs_long_floats = pytest.mark.skipif(
    bool(np.finfo(np.longdouble).eps > EPS / 100), reason="long floats are no longer than others here"
)


def longer(x):
    """Mean and covariance in two passes, of at least 64 bits."""
    x = x.astype(np.longdouble)
    mean = x.mean(axis=0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)


@pytest.fixture(params=[64, 2**19], ids=["chunks", "one chunk"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", request.param)
    monkeypatch.setattr(module, "ROWS", (8, 16) if request.param == 64 else module.ROWS)


def draws(n=1003, d=5, **how):
    rng = stream(0, "covariance", n, d)
    return rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))


SAMPLES = {
    "plain": draws(),
    "offset 1000": draws() + 1e3,
    "offset 1e8": draws() + 1e8,
    "scale 1e-12": 1e-12 * draws(),
    "scale 1e12, offset": 1e12 * (draws() - 1e3),
    "scales of columns": draws() * np.array([1e-12, 1.0, 1e12, 1e-6, 1e6]) + np.array([0, 1e8, 0, 1, 0]),
    "sorted rows": np.sort(draws(), axis=0),
    "the first chunk far away": np.concatenate([draws(12) + 1e6, draws(991)]),
    "one row far away": np.concatenate([draws(1002), np.full((1, 5), 1e9)]),
    "fewer rows than columns": draws(4, 7),
    "two rows": draws(2, 3),
    "one column": draws(100, 1),
}


@needs_long_floats
@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("name", SAMPLES)
def test_moments_are_those_of_long_floats(name):
    x = SAMPLES[name]
    mean, cov = longer(x)
    found = moments(x)
    std = np.sqrt(np.diagonal(cov)).astype(float)
    shared = std[:, None] * std
    assert np.abs((found.covariance - cov) / shared).max() <= found.rounding
    assert np.abs((found.covariance - cov) / shared).max() <= 64 * EPS  # and well below that bound
    np.testing.assert_allclose(found.mean, mean.astype(float), rtol=4 * EPS, atol=64 * EPS * std.max())
    np.testing.assert_allclose(found.std, std, rtol=64 * EPS)
    np.testing.assert_allclose(sums_of_squares(x), std**2 * (len(x) - 1), rtol=64 * EPS)
    np.testing.assert_allclose(found.correlation, (cov / shared).astype(float), rtol=0, atol=64 * EPS)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("power", [-900, -660, 660, 900])
def test_columns_whose_squares_are_no_floats(power):
    x = draws() + 10
    scale = np.array([2.0**power, 1.0, 1.0, 2.0**-power, 0.5])
    plain, found = moments(x), moments(x * scale)
    np.testing.assert_allclose(found.correlation, plain.correlation, rtol=0, atol=64 * EPS)
    np.testing.assert_allclose(found.std / scale, plain.std, rtol=64 * EPS)
    np.testing.assert_allclose(found.mean / scale, plain.mean, rtol=64 * EPS)
    assert np.log2(found.unit).astype(int).tolist() == np.log2(found.unit).tolist()


@pytest.mark.usefixtures("chunk")
def test_any_kind_of_array_and_none_is_touched():
    x = draws()
    expected = moments(x)
    single = x.astype(np.float32)
    wide = np.zeros((2 * len(x), 10))
    wide[::2, ::2] = x
    for same in (np.asfortranarray(x), wide[::2, ::2], x[::-1][::-1], x[:, ::-1][:, ::-1]):
        kept = same.copy()
        same.flags.writeable = False
        np.testing.assert_allclose(moments(same).covariance, expected.covariance, rtol=0, atol=64 * EPS)
        np.testing.assert_array_equal(same, kept)
    of_single = moments(single)
    assert of_single.scatter.dtype == np.float64
    np.testing.assert_allclose(of_single.covariance, moments(single.astype(float)).covariance, rtol=0, atol=64 * EPS)


def test_threads_change_no_bit_and_are_left_as_they_were():
    x = stream(0, "threads").normal(size=(9001, 40))
    before = [library["num_threads"] for library in threadpool_info()]
    found = {}
    for threads in (1, 2):
        with threadpool_limits(threads):
            found[threads] = moments(x).scatter, CovarianceAccumulator.around(x[:50]).updated(x).covariance
    assert [library["num_threads"] for library in threadpool_info()] == before
    for one, two in zip(found[1], found[2], strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, one.T)


@pytest.mark.usefixtures("chunk")
def test_constant_columns_have_no_scatter():
    x = draws()
    x[:, 1] = 0.1
    found = moments(x)
    assert found.std[1] <= 4 * EPS * 0.1
    np.testing.assert_allclose(found.std[[0, 2]], x[:, [0, 2]].std(axis=0, ddof=1), rtol=64 * EPS)


# --- shards ------------------------------------------------------------------------------------------------------


def accumulated(empty, shards, rng):
    """The shards in a random order, in random groups merged in a random order."""
    groups = np.array_split(rng.permutation(len(shards)), rng.integers(1, len(shards) + 1))
    parts = [reduce(CovarianceAccumulator.updated, (shards[i] for i in group), empty) for group in groups]
    return reduce(CovarianceAccumulator.merged, [parts[i] for i in rng.permutation(len(parts))])


@needs_long_floats
@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("two rows", "one row far away")])
def test_the_order_of_shards_changes_no_bit(name):
    x, rng = SAMPLES[name], stream(0, "shards", name)
    empty = CovarianceAccumulator.around(x[rng.permutation(len(x))[:50]])
    for _ in range(3):
        cuts = np.sort(rng.choice(np.arange(1, len(x)), size=min(12, len(x) - 2), replace=False))
        shards = np.split(x, cuts)
        found = [accumulated(empty, shards, rng) for _ in range(4)]
        assert {f.n for f in found} == {len(x)}
        for other in found[1:]:
            np.testing.assert_array_equal(found[0].covariance, other.covariance)
            np.testing.assert_array_equal(found[0].mean, other.mean)
            np.testing.assert_array_equal(found[0].high, other.high)
            np.testing.assert_array_equal(found[0].low, other.low)
        mean, cov = longer(x)
        std = np.sqrt(np.diagonal(cov)).astype(float)
        error = np.abs((found[0].covariance - cov) / (std[:, None] * std)).max()
        assert error <= found[0].moments.rounding
        assert error <= 256 * EPS * (1 + np.abs((mean - empty.center) / std).max() ** 2)
        assert np.abs((found[0].mean - mean) / std).max() <= 64 * EPS * (1 + np.abs(mean / std).max())


def test_plain_sums_of_floats_would_depend_on_the_order():
    """The control of the test above: its shards are such that the order shows."""
    x, rng = SAMPLES["plain"], stream(0, "control")
    products = [part.T @ part for part in np.array_split(x, 12)]
    sums = {reduce(np.add, [products[i] for i in rng.permutation(12)]).tobytes() for _ in range(8)}
    assert len(sums) > 1


def test_a_shard_of_one_row_and_one_that_travelled():
    x = draws(40, 3)
    empty = CovarianceAccumulator.around(x)
    total = reduce(CovarianceAccumulator.updated, (row[None] for row in x), empty)
    np.testing.assert_allclose(total.covariance, np.cov(x, rowvar=False), rtol=64 * EPS, atol=64 * EPS)
    travelled = pickle.loads(pickle.dumps(empty.updated(x[:20]))).merged(empty.updated(x[20:]))
    direct = empty.updated(x[20:]).merged(empty.updated(x[:20]))
    np.testing.assert_array_equal(travelled.covariance, direct.covariance)
    assert empty.n == 0
    assert not empty.high.any()


def test_digits_carry():
    """Sums far beyond 2^52 low digits, and of both signs."""
    empty = CovarianceAccumulator.around(np.array([[0.0], [1.0]]))
    up, down = np.array([[1e4 / 3]]), np.array([[-1e4 / 7]])
    total = reduce(CovarianceAccumulator.updated, [up, down] * 20, empty)
    values = np.r_[np.full(20, 1e4 / 3), np.full(20, -1e4 / 7)]
    assert total.mean[0] == pytest.approx(values.mean(), rel=64 * EPS)
    assert total.covariance[0, 0] == pytest.approx(values.var(ddof=1), rel=256 * EPS)
    assert np.abs(total.low).max() <= 2**51


def test_refusals():
    x = draws(30, 3)
    empty = CovarianceAccumulator.around(x)
    with pytest.raises(SampleError, match="rows: expected two at least, got 0 so far"):
        _ = empty.covariance
    with pytest.raises(SampleError, match=r"rows: expected 3 columns as before, got shape \(30, 2\)"):
        empty.updated(x[:, :2])
    with pytest.raises(SampleError, match="rows: expected finite values"):
        empty.updated(np.full((2, 3), np.nan))
    with pytest.raises(SampleError, match="rows: expected rows less than 4e7 units from the center"):
        empty.updated(1e9 * x)
    with pytest.raises(ParameterError, match="other: expected an accumulator with the same center and units"):
        empty.merged(CovarianceAccumulator.around(x[:10]))
    large = empty.updated(1e7 * x[:1] / np.abs(x[:1]).max())
    with pytest.raises(SampleError, match="rows: expected a sum of squares below"):
        reduce(CovarianceAccumulator.merged, [large] * 500)


def test_constant_rows_to_start_from():
    start = CovarianceAccumulator.around(np.array([[2.0, 0.0], [2.0, 0.0]]))
    x = draws(50, 2) + np.array([2.0, 0.0])
    np.testing.assert_allclose(start.updated(x).covariance, np.cov(x, rowvar=False), rtol=1e4 * EPS)


def test_units_far_too_wide_are_seen_in_the_rounding():
    """Sums are kept to 2⁻⁶² squared units: with units of 10⁹ deviations the digits of the scatter are gone."""
    rng = stream(0, "wide units")
    total = CovarianceAccumulator.around(1e9 * rng.normal(size=(50, 2)))
    rows = rng.normal(size=(200, 2))
    for row in rows:
        total = total.updated(row[None])
    found = total.moments
    lost = np.abs(found.covariance.diagonal() / rows.var(axis=0, ddof=1) - 1).max()
    assert found.rounding > lost > 1e-6


@needs_long_floats
@pytest.mark.usefixtures("chunk")
def test_numbers_whose_sums_are_no_floats():
    """Halves of the largest floats: both the sums and the squares of deviations overflow."""
    x = draws()
    x = x / np.abs(x).max()
    small, large = moments(x), moments(x * 1.7e308)
    np.testing.assert_allclose(large.mean / 1.7e308, small.mean, rtol=0, atol=64 * EPS)
    np.testing.assert_allclose(large.std / 1.7e308, small.std, rtol=64 * EPS)
    np.testing.assert_allclose(large.correlation, small.correlation, rtol=0, atol=64 * EPS)
    assert np.isfinite(large.unit).all()
    assert not np.isfinite(moments(np.array([[1.0], [np.inf]])).mean).all()


def test_the_bound_of_rounding_grows_with_the_distance_of_the_first_chunk(monkeypatch):
    """1 + max_c |m_c| √(n/s), m_c the mean of chunk c from the mean of the first one; chunks near it change little."""
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "ROWS", (8, 16))
    x = stream(0, "first chunk").normal(size=(800, 3))
    least = (8 + 100 + 16) * EPS
    means = x.reshape(100, 8, 3).mean(axis=1)
    for first in (0.0, 30.0, 1e9):
        moved = x.copy()
        moved[:8, 1] += first
        away = np.abs(means - means[0] - [0, first, 0]).max(axis=0)
        expected = least * (1 + (away / moved.std(axis=0)).max())
        assert moments(moved).rounding == pytest.approx(expected, rel=1e-9)
        assert moments(moved).rounding <= least * (1 + 200**0.5)  # two of 100 chunks make Σ n_c (m_c − x̄)² so large
    assert moments(np.full((800, 2), 0.1)).rounding < 2 * least
