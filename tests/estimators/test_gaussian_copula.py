"""The Gaussian copula: normal scores, monotone maps, limits, direction, what ties and deterministic columns do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from itssl import Bias, GaussianPlugin, check_equality
from itssl.arrays import SampleError, stream
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.error_bars import value_only
from itssl.estimators.gaussian_copula import GaussianCopula, normal_scores, rank_bias
from itssl.estimators.wishart import log_determinant_bias

EPS = np.finfo(float).eps


def scores_twin(x):
    """Mean rank by counting: values below, plus half of the others that are equal, plus one."""
    n = len(x)
    ranks = np.array([[(column < v).sum() + ((column == v).sum() + 1) / 2 for v in column] for column in x.T]).T
    return norm.ppf(ranks / (n + 1))


def information_twin(x, y):
    """Determinants of correlation matrices of scores, less the bias that Gaussian draws have."""
    z, (n, d_x), d_y = scores_twin(np.hstack([x, y])), x.shape, y.shape[1]
    r = np.corrcoef(z, rowvar=False)
    log_dets = [np.linalg.slogdet(m)[1] for m in (r[:d_x, :d_x], r[d_x:, d_x:], r)]
    bias = [log_determinant_bias(n, d) for d in (d_x, d_y, d_x + d_y)]
    return 0.5 * (log_dets[0] + log_dets[1] - log_dets[2] - bias[0] - bias[1] + bias[2])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 30), d=st.integers(1, 3), values=st.sampled_from([3, 0]))
def test_scores_are_the_definition(seed, n, d, values):
    x = stream(seed, "scores").normal(size=(n, d))
    x = np.round(x * values) if values else x
    found = normal_scores(x)
    np.testing.assert_allclose(found, scores_twin(x), atol=1e-12)
    np.testing.assert_allclose(normal_scores(-x), -found, atol=1e-12)
    if not values:
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), d_x=st.integers(1, 3), d_y=st.integers(1, 3))
def test_information_is_the_definition(seed, d_x, d_y):
    z = stream(seed, "definition").normal(size=(30, d_x + d_y)) ** 3
    z[:, -1] += z[:, 0]
    x, y = z[:, :d_x], z[:, d_x:]
    found = GaussianCopula().mutual_information(x, y)
    assert found.value == pytest.approx(information_twin(x, y), abs=1e6 * EPS)
    assert GaussianCopula().mutual_information(y, x).value == pytest.approx(found.value, abs=1e6 * EPS)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_strictly_increasing_maps_do_nothing_at_all(seed, power):
    """Ranks are the same numbers, so answers are equal to the last bit; falling maps and row order cost rounding."""
    rng, copula = stream(seed, "monotone"), GaussianCopula()
    x, y, z = rng.normal(size=(3, 25, 2))
    y, z = y + x, z + x
    maps = (lambda v: np.exp(v), lambda v: 10.0**power * v, lambda v: v**3 + v, lambda v: np.arctan(v))
    order = rng.permutation(25)
    for quantity, blocks in (
        ("mutual_information", (x, y)), ("conditional_mutual_information", (x, y, z)), ("total_correlation", (y,)),
    ):  # fmt: skip
        ask = getattr(copula, quantity)
        found = ask(*blocks)
        moved = ask(*(maps[int(rng.integers(4))](block) for block in blocks))
        assert (moved.value, moved.standard_error) == (found.value, found.standard_error)
        assert moved.interval() == found.interval()
        fallen = ask(*(np.c_[-block[order, 0], block[order, 1]] for block in blocks))
        assert fallen.value == pytest.approx(found.value, abs=1e6 * EPS)


def test_equals_the_plugin_on_scores():
    rng = stream(0, "plugin")
    x, y, z = rng.normal(size=(3, 40, 2))
    scores = [normal_scores(block) for block in (x, y, z)]
    for quantity, count in (("mutual_information", 2), ("conditional_mutual_information", 3), ("total_correlation", 1)):
        found = getattr(GaussianCopula(), quantity)(*(x, y, z)[:count])
        other = getattr(GaussianPlugin(), quantity)(*scores[:count])
        assert (found.value, found.interval(0.8)) == (other.value, other.interval(0.8))
        assert (found.method, found.reference.year) == ("GaussianCopula()", 2017)


def information(rng, rho, n, size):
    """Answers in one dimension from the score correlation, many samples at once; the twin of size calls."""
    x, e = rng.standard_normal((2, size, n))
    views = x, rho * x + (1 - rho**2) ** 0.5 * e
    a, b = (norm.ppf((np.argsort(np.argsort(v, axis=1), axis=1) + 1) / (n + 1)) for v in views)
    r = (a * b).sum(axis=1) / (a * a).sum(axis=1)
    return -0.5 * np.log1p(-(r**2))


@pytest.mark.parametrize("n", [20, 200])
def test_independent_columns_are_unbiased_to_second_order(n):
    """E r² = 1/(n−1) exactly for permuted scores, as for Gaussian draws: the correction leaves O(1/n²)."""
    bias = (
        GaussianPlugin().mutual_information(*stream(0, "any").normal(size=(2, n))).diagnostics["bias_correction_nats"]
    )
    check_equality(lambda rng: information(rng, 0.0, n, 500) + bias, 0.0, margin=1 / n**2 + 1e-3).require()


def test_large_samples_find_the_truth_under_any_margins():
    """Efficient [Klaassen & Wellner]: the spread is ρ/√n, as without the ranks; 5 standard errors."""
    for rho in (0.05, 0.6, 0.95):
        task = linear_gaussian_views([rho]).transformed(np.exp, np.cbrt)
        found = GaussianCopula().mutual_information(*task.sample(20000, stream(0, "large")))
        assert abs(found.value - task.mutual_information.value) < 5 * found.standard_error
        assert found.standard_error == pytest.approx(
            rho / np.sqrt(20000),
            rel=0.01 + 5 * (1 - rho**2) / (rho * np.sqrt(20000)),  # five errors of ρ̂
        )
        assert [w.code for w in found.warnings] == []


def test_standard_error_is_the_spread():
    """n = 100, ρ = 0.6: deviation of 4000 answers, 4 errors beside the 10 % that ranks change."""
    values = information(stream(0, "spread"), 0.6, 100, 4000)
    task, copula = linear_gaussian_views([0.6]), GaussianCopula()
    stated = [copula.mutual_information(*task.sample(100, stream(s, "stated"))).standard_error for s in range(50)]
    assert np.sqrt(np.mean(np.square(stated))) == pytest.approx(values.std(), rel=0.1 + 4 / np.sqrt(2 * 4000))


def test_total_correlation_and_conditional_information_in_the_limit():
    """Gaussian copulas with exponential margins: five standard errors at n = 5000."""
    rng = stream(0, "limit")
    factor, noise = rng.normal(size=(5000, 1)), rng.normal(size=(5000, 3))
    found = GaussianCopula().total_correlation(np.exp(factor + noise))
    assert abs(found.value - 0.5 * np.log(8 / 4)) < 5 * found.standard_error  # |I + 11ᵀ| = 4, variances 2
    given_factor = GaussianCopula().conditional_mutual_information(
        np.exp(factor + noise[:, :1]), np.exp(factor + noise[:, 1:2]), np.cbrt(factor)
    )
    assert abs(given_factor.value) < 5 * max(given_factor.standard_error, 1 / 5000)


def test_direction():
    """A lower bound where one side is one column, and always for the total correlation."""
    x = stream(0, "direction").normal(size=(50, 4))
    copula = GaussianCopula()
    assert copula.mutual_information(x[:, :1], x[:, 1:]).bias is Bias.LOWER
    assert copula.mutual_information(x[:, 1:], x[:, 0]).bias is Bias.LOWER
    assert copula.mutual_information(x[:, :2], x[:, 2:]).bias is Bias.UNKNOWN
    assert copula.conditional_mutual_information(x[:, 0], x[:, 1], x[:, 2]).bias is Bias.UNKNOWN
    assert copula.total_correlation(x).bias is Bias.LOWER


def test_lower_bound_for_another_copula():
    """Y = ±X gains no score correlation but log 2 nats and more: the answer stays near zero, and warns."""
    rng = stream(0, "cross")
    x = rng.normal(size=2000)
    found = GaussianCopula().mutual_information(x, rng.choice([-1.0, 1.0], size=2000) * x + 0.1 * rng.normal(size=2000))
    assert found.value < 0.05
    assert "not_gaussian" in [w.code for w in found.warnings]


def test_example_without_a_direction():
    """φ(Z) standard normal and uncorrelated with Z: the answer exceeds the truth by what φ(Z), φ(W) add."""
    rng, n = stream(0, "no direction"), 20000
    threshold = 1.53817  # E[Z² sign(threshold − |Z|)] = 0

    def fold(v):
        return np.where(np.abs(v) < threshold, v, -v)

    z, e = rng.normal(size=(2, n))
    assert abs(np.mean(z * fold(z))) < 5 * np.sqrt(3 / n)
    rho = 0.9
    w = rho * z + np.sqrt(1 - rho**2) * e
    truth, found = -0.5 * np.log(1 - rho**2), GaussianCopula().mutual_information(np.c_[z, fold(z)], np.c_[w, fold(w)])
    assert found.value > truth + 0.1
    assert found.bias is Bias.UNKNOWN


def test_deterministic_columns():
    """ρ → 1: monotone images have equal ranks whatever the map; nearly so reads many nats."""
    x = stream(0, "deterministic").normal(size=100)
    for y in (np.exp(x), -(x**3)):
        found = GaussianCopula().mutual_information(x, y)
        assert found.value == np.inf
        assert [w.code for w in found.warnings] == ["deterministic"]
    near = np.exp(x)
    order = np.argsort(near)
    near[order[49]], near[order[50]] = near[order[50]], near[order[49]]  # one swap of neighbors at the middle
    assert 4 < GaussianCopula().mutual_information(x, near).value < np.inf


def test_ties_are_reported_once_and_for_their_column():
    x = stream(0, "ties").normal(size=(60, 2))
    x[:, 1] = np.round(x[:, 1])
    found = GaussianCopula().total_correlation(x)
    (warning,) = [w for w in found.warnings if w.code == "ties"]
    assert f"column 1 of x has {len(np.unique(x[:, 1]))} different values in 60 rows" in warning.message
    pair = GaussianCopula().mutual_information(x[:, 0], x[:, 1])
    assert ["column 0 of y" in w.message for w in pair.warnings if w.code == "ties"] == [True]


def test_dependent_columns_within_a_block_are_reported():
    """x, 2x are on a line before ranks and after; x, y, x + y are in a plane only before."""
    x = stream(0, "support").normal(size=(80, 3))
    doubled = GaussianCopula().mutual_information(np.c_[x[:, 0], 2 * x[:, 0]], x[:, 2])
    alone = GaussianCopula().mutual_information(x[:, 0], x[:, 2])
    assert doubled.value == pytest.approx(alone.value, abs=1e6 * EPS)
    assert "singular_support" in [w.code for w in doubled.warnings]
    plane = GaussianCopula().total_correlation(np.c_[x[:, :2], x[:, :2].sum(axis=1)])
    assert "singular_support" in [w.code for w in plane.warnings]


def test_kinds_of_arrays():
    x, y = stream(0, "kinds").normal(size=(2, 40, 2)).astype(np.float32)
    x.flags.writeable = False
    found = GaussianCopula().mutual_information(x, y)
    tensors = torch.tensor(x.copy(), requires_grad=True), torch.tensor(y.copy())
    assert GaussianCopula().mutual_information(*tensors).value == found.value
    assert GaussianCopula().mutual_information(np.asfortranarray(x), y).value == found.value
    assert GaussianCopula().mutual_information(x[::2], y[::2]).n == 20


def test_bad_input():
    x, copula = stream(0, "bad").normal(size=(6, 3)), GaussianCopula()
    with pytest.raises(SampleError, match=r"x: .*constant"):
        copula.total_correlation(np.c_[x, np.ones(6)])
    with pytest.raises(SampleError, match=r"y: .*constant"):
        copula.mutual_information(x, np.zeros(6))
    with pytest.raises(SampleError, match=r"x and y: .*6 and 5"):
        copula.mutual_information(x, x[:5])
    with pytest.raises(SampleError, match=r"x and z: .*6 and 5"):
        copula.conditional_mutual_information(x, x, x[:5])
    with pytest.raises(SampleError, match="6 rows"):
        copula.mutual_information(x, x**2)
    with pytest.raises(SampleError, match="more rows than columns"):
        copula.total_correlation(x[:3])
    with pytest.raises(SampleError, match=r"x: .*finite"):
        copula.total_correlation(np.vstack([x, [[0.0, np.nan, 0.0]]]))


@pytest.mark.parametrize("rho", [0.9, 0.99])
def test_estimated_rank_bias_is_the_bias(rho):
    """Against 300 samples of a Gaussian pair, n = 50: −0.06 and −0.22 nats; the estimate knows ρ only from ranks."""
    values, estimates = [], []
    for seed in range(300):
        x, e = stream(seed, "rank bias").normal(size=(2, 50, 1))
        y = rho * x + (1 - rho**2) ** 0.5 * e
        with value_only():
            values.append(GaussianCopula().mutual_information(x, y).value)
        if seed < 20:
            estimates.append(rank_bias("mutual_information", [normal_scores(x), normal_scores(y)]))
    bias = np.mean(values) + 0.5 * np.log(1 - rho**2)
    assert bias < -0.04
    assert 0.5 < np.mean(estimates) / bias < 1.2


def test_rank_bias_is_warned_of_where_it_hurts():
    """n = 50, ρ = 0.99: intervals cover 63 %, and say why; at ρ = 0.5, where they cover 95 %, nothing is said."""
    for rho, expected in ((0.99, 20), (0.5, 0), (0.0, 0)):
        warned = 0
        for seed in range(20):
            x, e = stream(seed, "warned").normal(size=(2, 50, 1))
            found = GaussianCopula().mutual_information(x, rho * x + (1 - rho**2) ** 0.5 * e)
            warned += any(w.code == "rank_bias" for w in found.warnings)
        assert warned == expected
    x = stream(0, "total").normal(size=(50, 3))
    x[:, 1] = x[:, 0] + 0.05 * x[:, 1]
    assert "rank_bias" in {w.code for w in GaussianCopula().total_correlation(x).warnings}
