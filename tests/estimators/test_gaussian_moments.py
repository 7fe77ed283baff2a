"""The Gaussian entropy from moments: that of the rows, in any order of shards; by products only where it is certain."""

from functools import reduce

import numpy as np
import pytest

from itssl.arrays import SampleError, stream
from itssl.estimate import Bias
from itssl.estimators import CovarianceAccumulator, GaussianPlugin, gaussian_entropy
from itssl.estimators import gaussian_plugin as plugin
from itssl.estimators.gaussian_moments import LARGE, certified_moments
from itssl.kernels.covariance import moments
from itssl.kernels.linalg import correlation_log_determinant

EPS = float(np.finfo(float).eps)


def rows(n=400, d=4, seed=0):
    rng = stream(seed, "gaussian moments", n, d)
    return rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d)) / np.sqrt(d)) + 3


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_moments_say_what_the_rows_say(scale):
    x = rows() * scale
    expected = GaussianPlugin().entropy(x)
    total = reduce(CovarianceAccumulator.updated, np.array_split(x, 5), CovarianceAccumulator.around(x[:50]))
    for found in (gaussian_entropy(total), gaussian_entropy(moments(x))):
        assert found.value == pytest.approx(expected.value, abs=256 * EPS * (1 + abs(expected.value)))
        assert found.standard_error == expected.standard_error
        assert found.interval() == pytest.approx(expected.interval(), abs=1e-9)
        assert (found.n, found.bias, found.warnings) == (expected.n, Bias.UPPER, expected.warnings)
        assert found.diagnostics["bias_correction_nats"] == expected.diagnostics["bias_correction_nats"]


def test_the_order_of_shards_changes_no_bit_of_the_entropy():
    x, rng = rows() + 1e3, stream(0, "order")
    empty = CovarianceAccumulator.around(x[:50])
    parts = [empty.updated(part) for part in np.array_split(x, 9)]
    found = {
        gaussian_entropy(reduce(CovarianceAccumulator.merged, (parts[i] for i in rng.permutation(9)))).value
        for _ in range(10)
    }
    assert len(found) == 1


def test_what_moments_cannot_tell():
    x = rows()
    with pytest.raises(SampleError, match="found: expected moments of more rows than columns, got n=4 and d=4"):
        gaussian_entropy(moments(x[:4]))
    constant = np.c_[x, np.full(len(x), 2.0)]
    with pytest.raises(SampleError, match="found: expected columns that vary, got constant column 4"):
        gaussian_entropy(moments(constant))
    found = gaussian_entropy(moments(np.c_[x, x.sum(axis=1)]))
    assert found.value == -np.inf
    assert [w.code for w in found.warnings] == ["singular_support"]
    near = gaussian_entropy(moments(np.c_[x, x[:, 0] + 3e-7 * x[:, 1] ** 2]))
    assert [w.code for w in near.warnings] == ["rounding"]
    assert near.diagnostics["rounding_nats"] > near.standard_error / 2
    assert "small_sample_for_dimension" in {w.code for w in gaussian_entropy(moments(x[:10])).warnings}


def longer_log_determinant(x):
    """log |R̂| by elimination, in long floats from the rows on."""
    x = x.astype(np.longdouble)
    z = x - x.mean(axis=0)
    z = z / np.sqrt((z**2).sum(axis=0))
    r, total = z.T @ z, np.longdouble(0)
    for k in range(len(r)):
        total += np.log(r[k, k])
        r[k + 1 :, k + 1 :] -= np.outer(r[k + 1 :, k], r[k, k + 1 :]) / r[k, k]
    return float(total)


@pytest.mark.skipif(bool(np.finfo(np.longdouble).eps > EPS / 100), reason="long floats are no longer than others here")
@pytest.mark.parametrize("closeness", [1.0, 1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_the_certificate_bounds_what_rounding_does(closeness, offset):
    x = rows(500, 6)
    x[:, 5] = x[:, 0] + closeness * x[:, 5]
    x += offset
    found = correlation_log_determinant(moments(x))
    assert abs(found.value - longer_log_determinant(x)) <= found.error < 0.1
    smallest = np.linalg.svd((x - x.mean(0)) / x.std(axis=0), compute_uv=False)[-1] ** 2 / len(x)
    assert 0 < found.smallest <= smallest
    assert found.smallest > smallest / 100


def test_nothing_is_certain_of_columns_that_depend_on_each_other():
    x = rows()
    for dependent in (x[:, :1], x[:, :1] + 1e-9 * x[:, 1:2]):
        found = correlation_log_determinant(moments(np.c_[x, dependent]))
        assert (found.error, found.smallest) == (np.inf, -np.inf)


# --- large samples -----------------------------------------------------------------------------------------------


def large(d=40):
    return rows(LARGE // d + 100, d)


def by_qr(x, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(plugin, "certified_moments", lambda x: None)
        return GaussianPlugin().entropy(x)


def with_ties(x):
    x = x.copy()
    x[:7] = x[7:14]
    return x


def with_atoms(x):
    return np.c_[np.maximum(x[:, 0], x[:, 0].mean()), x[:, 1:]]


def heavy(x):
    return np.c_[x[:, 0] ** 9, x[:, 1:]]


@pytest.mark.parametrize("change", [lambda x: x, with_ties, with_atoms, heavy, lambda x: 1e-12 * x + 1e-9,
                                    lambda x: x.astype(np.float32) + np.float32(100), lambda x: x[:155]])  # fmt: skip
def test_products_and_qr_agree_on_large_samples(change, monkeypatch):
    """The last one is small, with a warning of its own: it goes by QR both times."""
    x = change(large())
    found, expected = GaussianPlugin().entropy(x), by_qr(x, monkeypatch)
    assert (certified_moments(x.astype(float)) is None) == (len(x) == 155)
    rounding = found.diagnostics.get("rounding_nats", 0.0)
    assert rounding <= 0.5e-5
    assert abs(found.value - expected.value) <= rounding
    assert abs(found.value - expected.value) <= 1e-3 * rounding  # as the constant's comment says
    assert found.warnings == expected.warnings
    assert found.standard_error == expected.standard_error
    assert found.interval() == pytest.approx(expected.interval(), abs=1e-6)


def single_precision_twin(x):
    return np.c_[x, (x[:, 0].astype(np.float32) + x[:, 1].astype(np.float32)).astype(float)].astype(np.float32)


@pytest.mark.parametrize("change", [lambda x: np.c_[x, x.sum(axis=1)], lambda x: np.c_[x, x[:, 0] + 1e-8 * x[:, 1]**2],
                                    single_precision_twin])  # fmt: skip
def test_where_products_are_not_certain_the_rows_decide(change, monkeypatch):
    x = change(large())
    assert certified_moments(x.astype(float)) is None
    assert GaussianPlugin().entropy(x).to_dict() == by_qr(x, monkeypatch).to_dict()


def test_log_determinants_that_rounding_may_move_are_not_certain(monkeypatch):
    x = np.c_[large(), np.zeros(LARGE // 40 + 100)]
    x[:, -1] = x[:, 0] + 1e-3 * stream(0, "near").normal(size=len(x))
    found = correlation_log_determinant(moments(x))
    assert 1e-5 < found.error < 1e-3
    assert certified_moments(x) is None
    assert GaussianPlugin().entropy(x).to_dict() == by_qr(x, monkeypatch).to_dict()


def test_directions_thinner_than_the_rounding_of_single_precision(monkeypatch):
    """At 1000 deviations from 0 float32 numbers know a direction of 7e-4 deviations no more; float64 numbers do."""
    x = rows(50_000, 3)
    x[:, 2] = x[:, 0] + 1e-3 * stream(0, "thin").normal(size=len(x)) * x[:, 0].std()
    x = (x - x.mean(axis=0)) / x.std(axis=0) + 1e3
    single = x.astype(np.float32)
    assert correlation_log_determinant(moments(single)).error < 1e-5
    assert certified_moments(single.astype(float)) is None
    found = GaussianPlugin().entropy(single)
    assert found.to_dict() == by_qr(single, monkeypatch).to_dict()
    assert found.value == -np.inf
    assert np.isfinite(GaussianPlugin().entropy(x).value)


def test_constant_columns_of_large_samples_are_refused():
    x = large()
    for value in (0.0, 0.1, 1e8 / 3):
        x[:, 3] = value
        with pytest.raises(SampleError, match="x: expected columns that vary, got constant column 3"):
            GaussianPlugin().entropy(x)


def test_columns_whose_squares_are_no_floats(monkeypatch):
    x = large()
    scale = np.ones(x.shape[1])
    scale[:2] = 2.0**-600, 2.0**600
    found = GaussianPlugin().entropy(x * scale)
    assert found.value == pytest.approx(GaussianPlugin().entropy(x).value, abs=1e-9)
    assert found.value == pytest.approx(by_qr(x * scale, monkeypatch).value, abs=1e-9)
