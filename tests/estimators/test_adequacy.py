"""Size, tails, units and bias of neighbors: the statistics against their definitions, the warnings against partners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from itssl import KSG, Bias, Estimate, KozachenkoLeonenko
from itssl.arrays import SampleError, stream
from itssl.estimators.adequacy import (
    bias_warnings,
    covariance_warnings,
    entropy_tail_warnings,
    high_dimension_warnings,
    moment_warnings,
    neighbor_entropy_bias,
    neighbor_information_bias,
    neighbor_pair_warnings,
    neighbor_tail_warnings,
    neighbor_warnings,
    tail_index,
    tail_warnings,
    unit_ratio,
    unit_warnings,
)
from itssl.estimators.error_bars import value_only
from itssl.estimators.standardization import canonical_order
from itssl.kernels.linalg import covariance
from tests.estimators.suspects import HEAVY_TAILED, LIGHT_TAILED, tanh_network

SEEDS = st.integers(0, 2**32)


def codes(warnings):
    assert all(w.message and w.cure for w in warnings)
    return [w.code for w in warnings]


# Dimension and size


@pytest.mark.parametrize(("information", "largest"), [(False, 0.55), (True, 0.4)])
@pytest.mark.parametrize(("k", "d"), [(1, 2), (4, 3), (10, 8)])
def test_high_dimension_is_a_limit_on_the_side_of_a_cube(information, largest, k, d):
    """side^d · n = k: the smallest n that is allowed, and one less."""
    n = int(np.ceil(k / largest**d))
    assert high_dimension_warnings(n, d, k=k, information=information) == ()
    found = high_dimension_warnings(n - 1, d, k=k, information=information)
    assert codes(found) == ["high_dimension"]
    assert f"of a unit cube {k} of them fill a cube of side {(k / (n - 1)) ** (1 / d):.2f}" in found[0].message
    assert ("dependence is underestimated" in found[0].message) is information
    assert high_dimension_warnings(2 * k, 1, k=k, information=information) == ()


def test_covariance_needs_four_rows_a_dimension():
    assert covariance_warnings(40, 10) == ()
    (found,) = covariance_warnings(39, 10, name="z")
    assert found.code == "small_sample_for_dimension"
    assert "39 rows of z in 10 dimensions" in found.message
    assert "nats too small" in found.message
    assert "nats" not in covariance_warnings(10, 10)[0].message  # log-determinants are −inf


def test_covariance_message_tells_the_eigenvalues_and_the_missing_entropy():
    """Against sample covariances at n = 2d; the edges of Marchenko and Pastur hold up to d^(−2/3) of the width."""
    n, d = 120, 60
    (found,) = covariance_warnings(n, d)
    root = np.sqrt(0.5)
    assert f"from {(1 - root) ** 2:.2g} to {(1 + root) ** 2:.2g}" in found.message
    rng, log_dets, values = stream(0, "edges"), [], []
    for _ in range(40):
        values.append(np.linalg.eigvalsh(covariance(rng.normal(size=(n, d)))))
        log_dets.append(np.log(values[-1]).sum() / 2)
    width = (1 + root) ** 2 - (1 - root) ** 2
    assert np.min(values) == pytest.approx((1 - root) ** 2, abs=width * d ** (-2 / 3))
    assert np.max(values) == pytest.approx((1 + root) ** 2, abs=width * d ** (-2 / 3))
    missing = float(found.message.rpartition("entropy ")[2].split()[0])
    assert missing == pytest.approx(-np.mean(log_dets), abs=5 * np.std(log_dets) / np.sqrt(40) + 0.005 * missing)


# Tails


def tail_twin(column):
    """ξ = 2 − 1/G, G the mean |difference| of two excesses over twice their mean; and (G − ½)√(12(k − 1))."""
    away = sorted(abs(v - np.median(column)) for v in column)
    k = min(max(10, len(column) // 10), len(column) - 1)
    excess = [v - away[-k - 1] for v in away[-k:]]
    gini = np.mean([abs(a - b) for i, a in enumerate(excess) for b in excess[:i]]) / (2 * np.mean(excess))
    return 2 - 1 / gini, (gini - 0.5) * np.sqrt(12 * (k - 1))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, n=st.integers(4, 150), d=st.integers(1, 3))
def test_tail_index_equals_the_definition(seed, n, d):
    x = stream(seed, "tails").standard_t(2, size=(n, d))
    found = np.array(tail_index(x))
    assert found == pytest.approx(np.array([tail_twin(column) for column in x.T]).T, rel=1e-9, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, exponent=st.sampled_from([-300, -12, 0, 12, 305]), sign=st.sampled_from([-1, 1]))
def test_tail_index_knows_neither_units_nor_order(seed, exponent, sign):
    rng = stream(seed, "tails")
    x = rng.uniform(-1, 1, size=(200, 2)) ** 5
    image = sign * 10.0**exponent * x[rng.permutation(200)]
    assert np.array(tail_index(image)) == pytest.approx(np.array(tail_index(x)), rel=1e-9, abs=1e-9)
    assert np.array(tail_index(x + 3.0)) == pytest.approx(np.array(tail_index(x)), rel=1e-6, abs=1e-6)


def test_tail_score_is_standard_for_exponential_tails():
    """|Laplace| is exponential: mean 0 and variance 1 within 5 standard errors, for k = 10 and k = 100."""
    for n in (60, 1000):
        z = tail_index(stream(0, "exponential", n).laplace(size=(n, 800)))[1]
        assert abs(z.mean()) < 5 / np.sqrt(800)
        assert abs(z.var() - 1) < 5 * np.sqrt((np.mean(z**4) - 1) / 800)


@pytest.mark.parametrize("xi", [-1.0, -0.5, 0.0, 0.3, 0.45])
def test_tail_index_of_a_generalized_pareto_law(xi):
    """Of G, an average that is unbiased: 40 columns, 5 standard errors of their mean."""
    u = stream(0, "pareto").uniform(size=(20_000, 40))
    x = (u**-xi - 1) / xi if xi else -np.log(u)  # above a threshold its excesses have the same ξ
    signs = stream(1, "pareto").choice([-1.0, 1.0], size=x.shape)
    gini = 1 / (2 - tail_index(signs * x)[0])
    bias = 2e-3  # of a ratio of means with ξ near 1/2, whose variance is about to be infinite
    assert gini.mean() == pytest.approx(1 / (2 - xi), abs=5 * gini.std() / np.sqrt(40) + bias * (xi > 0.4))


def test_tails_of_few_or_equal_values_are_unknown():
    for x in (np.array([[1.0]]), np.array([[1.0], [2.0]]), np.ones((50, 1))):
        assert np.isnan(tail_index(x)).all()
        assert tail_warnings(x) == ()
    x = stream(0, "cauchy").standard_cauchy(size=(400, 3))
    x[:, 1] = np.repeat([0.0, 1.0], 200)
    found = tail_warnings(x, name="z")
    assert codes(found) == ["heavy_tails"]
    assert found[0].message.startswith("2 of 3 columns of z")
    assert tail_warnings(x[:39]) == ()


@pytest.mark.parametrize("name", HEAVY_TAILED)
def test_heavy_tails_fire(name):
    for seed in range(4):
        x = HEAVY_TAILED[name](stream(seed, "heavy", name), 5000, 2)
        assert codes(tail_warnings(x)) == ["heavy_tails"]
        assert codes(neighbor_tail_warnings(x)) == ["heavy_tails"]
        assert "KSG misses dependence" in neighbor_tail_warnings(x)[0].message


@pytest.mark.parametrize("name", LIGHT_TAILED)
def test_light_tails_do_not(name):
    """9 laws, 10 samples, a rate below 0.5 %; fixed seeds."""
    for seed in range(10):
        assert tail_warnings(LIGHT_TAILED[name](stream(seed, "light", name), 300, 4)) == ()


def test_heavy_tails_of_entropies_are_warned_of_where_they_hurt():
    """Where Kozachenko–Leonenko is off by a nat (log-normal of deviation 4 in the plane), and not on a line."""
    z = stream(0, "log-normal").normal(size=(1000, 2))
    truth = np.log(2 * np.pi * np.e * 16)
    with value_only():
        found = KozachenkoLeonenko().entropy(np.exp(4 * z))
    assert found.value > truth + 0.5
    assert [w.code for w in found.warnings if w.code == "heavy_tails"] == ["heavy_tails"]
    assert entropy_tail_warnings(np.exp(4 * z[:, :1])) == ()
    for seed in range(10):  # Student (3) is light enough: at most −0.07 nats up to d = 5
        assert entropy_tail_warnings(stream(seed, "t").standard_t(3, size=(1000, 2))) == ()


@pytest.mark.slow
def test_rates_of_heavy_tails_are_as_documented():
    """Slow: 8,000 samples. Light tails below 0.5 %, Student's t (3) in about half at n = 1000 and all at 5000."""
    for name, law in LIGHT_TAILED.items():
        cells = [(n, d) for n in (50, 200, 1000, 4000) for d in (1, 8)]
        alarms = sum(
            bool(tail_warnings(law(stream(seed, "rate", name, n, d), n, d))) for n, d in cells for seed in range(100)
        )
        assert alarms <= 0.005 * 800 + 3 * np.sqrt(0.005 * 800), (name, alarms)
    for n, low, high in ((1000, 0.3, 0.7), (5000, 0.97, 1.0)):
        fired = [bool(tail_warnings(stream(seed, "t", n).standard_t(3, size=(n, 1)))) for seed in range(200)]
        assert low <= np.mean(fired) <= high, (n, np.mean(fired))


# Units


def test_unit_ratio():
    x = stream(0, "units").normal(size=(4001, 3))
    quartiles = np.sort(x, axis=0)[[1000, 3000]]
    spread = quartiles[1] - quartiles[0]
    assert unit_ratio(x) == pytest.approx(spread.max() / spread.min(), rel=1e-12)
    assert unit_ratio(x[:, :1]) == 1.0
    assert unit_ratio(1e-200 * x) == pytest.approx(unit_ratio(x))
    assert unit_ratio(1e200 * (x[::-1, ::-1] + 3)) == pytest.approx(unit_ratio(x))
    assert unit_ratio(np.c_[x, np.ones(4001)]) == np.inf
    sparse = np.where(np.arange(4001) % 10 == 0, 5.0, 0.0)  # no range between its quartiles
    assert unit_ratio(np.c_[spread[0] * x[:, :1] / spread[0], sparse]) == pytest.approx(
        max(spread[0] / sparse.std(ddof=1), sparse.std(ddof=1) / spread[0])
    )


@pytest.mark.parametrize(("ratio", "fires"), [(1.0, False), (9.9, False), (10.1, True), (1e6, True)])
def test_units_apart_tenfold(ratio, fires):
    x = stream(0, "ratio").normal(size=(300, 1))
    found = unit_warnings(np.hstack([x, -ratio * x]), name="z")
    assert codes(found) == ["unstandardized"] * fires
    if fires:
        assert "divide z by" in found[0].cure


# Bias of neighbors


def halves(*samples):
    n = len(samples[0])
    order = canonical_order(*samples)[stream(0, "halves", n).permutation(n)]
    return np.array_split(order, 2)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, n=st.integers(20, 90), d=st.integers(1, 5), k=st.integers(1, 4))
def test_entropy_bias_equals_the_definition(seed, n, d, k):
    """(mean of two halves' entropies − entropy) / (2^(2/d) − 1), from the estimator itself; halves of equal size."""
    x = stream(seed, "bias").normal(size=(2 * (n // 2), d))
    with value_only():
        whole = KozachenkoLeonenko(k=k).entropy(x).value
        parts = [KozachenkoLeonenko(k=k).entropy(x[rows]).value for rows in halves(x)]
    found = neighbor_entropy_bias(x, k=k)
    assert found.value == pytest.approx((np.mean(parts) - whole) / (2 ** (2 / d) - 1), abs=1e-9)
    assert (found.n, found.bias) == (len(x), Bias.UNKNOWN)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, n=st.integers(20, 90), d=st.integers(1, 3), k=st.integers(1, 4))
def test_information_bias_equals_the_definition(seed, n, d, k):
    rng = stream(seed, "bias")
    x = rng.normal(size=(2 * (n // 2), d))
    y = x[:, :1] + rng.normal(size=(len(x), 2))
    ksg = KSG(k=k, standardize=False)
    with value_only():
        whole = ksg.mutual_information(x, y).value
        parts = [ksg.mutual_information(x[rows], y[rows]).value for rows in halves(x, y)]
    found = neighbor_information_bias(x, y, k=k)
    assert found.value == pytest.approx((np.mean(parts) - whole) / (2 ** (2 / (d + 2)) - 1), abs=1e-9)
    assert neighbor_information_bias(y, x, k=k).value == pytest.approx(found.value, abs=1e-9)


def test_error_of_the_bias_is_that_of_a_mean():
    """From n terms one by one, written out for n = 30."""
    x, k = stream(0, "terms").normal(size=(30, 2)), 4

    def terms(rows):
        away = np.sort(np.linalg.norm(x[rows][:, None] - x[rows][None], axis=2), axis=1)[:, k]
        return digamma(len(rows)) + 2 * np.log(away)

    change = -terms(np.arange(30))
    for rows in halves(x):
        change[rows] += terms(rows)
    found = neighbor_entropy_bias(x, k=k)
    assert found.value == pytest.approx(change.mean(), abs=1e-12)  # 2^(2/d) − 1 = 1
    assert found.standard_error == pytest.approx(change.std(ddof=1) / np.sqrt(30), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, a=st.sampled_from([1e-12, 0.3, 1e12]))
def test_bias_knows_neither_units_nor_order(seed, a):
    rng = stream(seed, "invariance")
    x, y = rng.normal(size=(2, 80, 2))
    order = rng.permutation(80)
    found = neighbor_entropy_bias(x)
    assert neighbor_entropy_bias((a * (x - 5))[order]).value == pytest.approx(found.value, abs=1e-4)
    assert neighbor_entropy_bias(a * x).standard_error == pytest.approx(found.standard_error, abs=1e-9)
    pair = neighbor_information_bias((a * x)[order], (a * y)[order]).value
    assert pair == pytest.approx(neighbor_information_bias(x, y).value, abs=1e-9)


def test_bias_has_the_sign_and_about_the_size_of_the_true_one():
    """N(0, I), d = 3, n = 200, 150 samples: found −0.03 of −0.08; "only roughly how far", says the docstring."""
    found, values = [], []
    with value_only():
        for seed in range(150):
            x = stream(seed, "true bias").normal(size=(200, 3))
            found.append(neighbor_entropy_bias(x).value)
            values.append(KozachenkoLeonenko().entropy(x).value)
    true = np.mean(values) - 1.5 * np.log(2 * np.pi * np.e)
    assert true < np.mean(found) < -2 * np.std(found) / np.sqrt(150)
    uniform = [neighbor_entropy_bias(stream(s, "edges").uniform(size=(200, 3))).value for s in range(40)]
    assert np.mean(uniform) > 5 * np.std(uniform) / np.sqrt(40)  # beyond an edge there is nothing: too large
    gaps = [neighbor_information_bias(*stream(s, "none").normal(size=(2, 100, 2))).value for s in range(100)]
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(100)  # none on independent blocks


def test_bias_of_copies_is_unknown_and_of_few_rows_refused():
    x = np.repeat(stream(0, "copies").normal(size=(20, 2)), 10, axis=0)
    assert np.isnan(neighbor_entropy_bias(x).value)
    assert bias_warnings(neighbor_entropy_bias(x), 0.1) == ()
    for call in (lambda z: neighbor_entropy_bias(z), lambda z: neighbor_information_bias(z, z[::-1])):
        assert np.isfinite(call(x[::10][:10]).value)
        with pytest.raises(SampleError, match="expected at least 2k \\+ 2 = 10 rows, got 9"):
            call(x[::10][:9])


@pytest.mark.parametrize(
    ("value", "own", "error", "fires"),
    [(0.3, 0.05, 0.14, True), (-0.3, 0.05, 0.14, True), (0.3, 0.05, 0.16, False), (0.3, 0.08, 0.1, False),
     (0.3, 0.01, 0.0, True), (np.nan, np.nan, 0.1, False), (0.3, 0.01, np.nan, False)],
)  # fmt: skip
def test_bias_warns_above_two_errors_of_the_value_and_four_of_its_own(value, own, error, fires):
    bias = Estimate(value=value, standard_error=own, n=1000, bias=Bias.UNKNOWN, method="KSG")
    assert codes(bias_warnings(bias, error, name="(x, y)")) == ["neighbor_bias"] * fires
    assert codes(bias_warnings(bias, error, noise=3.0)) == ["neighbor_bias"] * (fires or value / own == 0.3 / 0.08)


# What estimates carry


def test_what_an_entropy_of_neighbors_carries():
    rng = stream(0, "carried")
    sound = rng.normal(size=(400, 3))
    assert neighbor_warnings(sound) == ()
    assert codes(neighbor_warnings(sound * [1, 1, 100])) == ["unstandardized"]
    assert neighbor_warnings(sound * [1, 1, 100], raw=False) == ()
    assert codes(neighbor_warnings(rng.normal(size=(100, 10)))) == ["high_dimension"]
    assert neighbor_warnings(rng.normal(size=(3000, 10)), k=1) == ()
    curved = tanh_network(rng, 400, out=4)
    assert codes(neighbor_warnings(curved, name="z")) == ["low_dimensional_support"]
    assert neighbor_pair_warnings(curved[:, :3], sound[:, :1]) == ()  # information is not afraid of manifolds
    assert codes(neighbor_pair_warnings(sound, sound @ rng.normal(size=(3, 2)))) == ["deterministic"]
    assert codes(neighbor_pair_warnings(*rng.normal(size=(2, 100, 4)))) == ["high_dimension"]
    assert codes(neighbor_pair_warnings(rng.standard_cauchy(size=(400, 1)), sound)) == ["heavy_tails"]


def test_what_a_covariance_carries():
    rng = stream(0, "moments")
    assert moment_warnings(rng.normal(size=(40, 10))) == ()
    assert codes(moment_warnings(rng.normal(size=(39, 10)))) == ["small_sample_for_dimension"]
    assert codes(moment_warnings(rng.normal(size=(30, 64)))) == ["small_sample_for_dimension"]  # once
    assert codes(moment_warnings(rng.normal(size=(30, 2)) @ rng.normal(size=(2, 9)))) == ["singular_support"]
    assert codes(moment_warnings(rng.standard_cauchy(size=(200, 2)), name="z")) == ["heavy_tails"]
