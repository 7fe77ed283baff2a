"""The Gaussian plug-in: exact bias, exact errors, invariances, singular data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import GaussianPlugin, check_equality
from itssl.arrays import SampleError, stream
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias
from itssl.estimators.gaussian_plugin import log_determinant_bias, log_determinant_variance
from itssl.testing.strategies import samples

EPS = np.finfo(float).eps
LAW = Gaussian(np.zeros(5), np.diag([1.0, 2.0, 3.0, 4.0, 5.0]))


def test_log_determinant_bias_is_that_of_wishart_draws():
    """The bias of log|Ĉ| measured on n = 8 draws in d = 5, where the uncorrected value is off by −2.9 nats."""
    check_equality(
        lambda rng: [np.linalg.slogdet(np.cov(LAW.sample(8, rng), rowvar=False))[1] for _ in range(50)],
        LAW.log_det + log_determinant_bias(8, 5), margin=0.1,
    ).require()  # fmt: skip


def test_entropy_is_unbiased_on_gaussian_draws():
    for n in (6, 7, 50):
        check_equality(
            lambda rng, n=n: [GaussianPlugin().entropy(LAW.sample(n, rng)).value for _ in range(50)],
            LAW.entropy.value, margin=0.1,
        ).require()  # fmt: skip


def test_standard_error_is_the_spread_of_gaussian_draws():
    values = np.array([GaussianPlugin().entropy(LAW.sample(20, stream(s, "se"))) for s in range(1000)])
    spread = np.std([v.value for v in values])
    assert values[0].standard_error == 0.5 * np.sqrt(log_determinant_variance(20, 5))
    assert spread == pytest.approx(values[0].standard_error, rel=5 / np.sqrt(2 * 1000))  # five errors of a deviation


@pytest.mark.parametrize(("n", "d", "rho"), [(200, 64, 0.0), (40, 3, 0.0), (60, 3, 0.8), (30, 1, 0.99)])
def test_mutual_information_is_unbiased_on_gaussian_draws(n, d, rho):
    """Also at n = 200, d = 64 + 64, where the uncorrected value is off by +15.8 nats."""
    task = linear_gaussian_views(np.full(d, rho))
    check_equality(
        lambda rng: [GaussianPlugin().mutual_information(*task.sample(n, rng)).value for _ in range(8)],
        task.mutual_information.value, margin=0.1,
    ).require()  # fmt: skip


@pytest.mark.parametrize(("n", "d", "rho"), [(300, 3, 0.6), (100, 3, 0.95), (400, 4, 0.2)])
def test_information_error_is_the_spread_under_dependence(n, d, rho):
    task = linear_gaussian_views(np.full(d, rho))
    found = [GaussianPlugin().mutual_information(*task.sample(n, stream(s, "mi"))) for s in range(600)]
    spread = np.std([f.value for f in found])
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert stated == pytest.approx(spread, rel=5 / np.sqrt(2 * 600))  # five errors of a deviation over 600 seeds


@settings(deadline=None, max_examples=50)
@given(x=samples(dims=st.integers(1, 4)), seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_entropy_identities(x, seed, power):
    rng = stream(seed, "identities")
    d, value = x.shape[1], GaussianPlugin().entropy(x).value
    condition = np.linalg.cond(np.cov(x, rowvar=False).reshape(d, d))
    error = 1e3 * EPS * (condition + np.abs(x).max() ** 2)
    assert GaussianPlugin().entropy(rng.permutation(x)).value == pytest.approx(value, abs=error)
    assert GaussianPlugin().entropy(x + 10).value == pytest.approx(value, abs=error)
    assert GaussianPlugin().entropy(x * 10.0**power).value == pytest.approx(value + d * power * np.log(10), abs=error)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert GaussianPlugin().entropy(x @ rotation).value == pytest.approx(value, abs=error)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d_x=st.integers(1, 4), d_y=st.integers(1, 4))
def test_information_identities(seed, power, d_x, d_y):
    rng = stream(seed, "identities")
    z = rng.normal(size=(40, 8)) @ rng.normal(size=(8, 8))
    x, y = z[:, :d_x], z[:, 4 : 4 + d_y]
    value = GaussianPlugin().mutual_information(x, y).value
    error = 1e3 * EPS * np.linalg.cond(z) ** 4  # rounding of correlations, amplified where 1 − ρ² is small
    assert GaussianPlugin().mutual_information(y, x).value == pytest.approx(value, abs=error)
    order = rng.permutation(40)
    assert GaussianPlugin().mutual_information(x[order], y[order]).value == pytest.approx(value, abs=error)
    matrix = rng.normal(size=(d_x, d_x)) + 4 * np.eye(d_x)
    image = 10.0**power * (x @ matrix + 1)  # the shift scales too: 1e-12·x + 1 would lose twelve digits of x itself
    assert GaussianPlugin().mutual_information(image, y).value == pytest.approx(value, abs=100 * error)


def test_linear_images_have_infinite_information():
    x = stream(0, "x").normal(size=(100, 3))
    for y in (x, x @ np.ones((3, 1)), np.c_[x[:, 0], stream(1, "y").normal(size=100)]):
        found = GaussianPlugin().mutual_information(x, y)
        assert found.value == np.inf
        assert [w.code for w in found.warnings] == ["deterministic"]


def test_rank_deficient_blocks():
    rng = stream(0, "rank")
    x, y = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
    wide = x @ rng.normal(size=(3, 10))
    entropy = GaussianPlugin().entropy(wide)
    assert entropy.value == -np.inf
    assert [w.code for w in entropy.warnings] == ["singular_support"]
    assert "3 of its 10 dimensions" in entropy.warnings[0].message
    full, reduced = GaussianPlugin().mutual_information(x, y), GaussianPlugin().mutual_information(wide, y)
    assert reduced.value == pytest.approx(full.value, abs=1e6 * EPS)
    assert [w.code for w in reduced.warnings] == ["singular_support"]


def test_directions():
    x = stream(0, "x").normal(size=(50, 2))
    assert GaussianPlugin().entropy(x).bias is Bias.UPPER
    assert GaussianPlugin().mutual_information(x, x[::-1]).bias is Bias.UNKNOWN


def test_too_few_rows():
    x = stream(0, "x").normal(size=(5, 5))
    with pytest.raises(SampleError, match=r"x: expected more rows than columns, got shape \(5, 5\)"):
        GaussianPlugin().entropy(x)
    with pytest.raises(SampleError, match=r"5 rows"):
        GaussianPlugin().mutual_information(x[:, :3], x[:, 3:])
