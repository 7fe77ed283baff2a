"""The extrapolated Kozachenko–Leonenko entropy: definition, identities, less bias, and an interval that covers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gamma

from itssl import check_equality
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.extrapolated_neighbors import ExtrapolatedKozachenkoLeonenko
from itssl.estimators.nearest_neighbors import KozachenkoLeonenko, log_ball_volumes
from itssl.estimators.neighbor_extrapolation import extrapolation_weights, neighbor_entropies

EPS = np.finfo(float).eps


def plain_twin(x, k):
    """ĥ_1 … ĥ_k from sorted distances."""
    n, d = x.shape
    away = np.sort(np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2)), axis=1)[:, 1 : k + 1]
    ball = np.pi ** (d / 2) / gamma(d / 2 + 1)
    return digamma(n) - digamma(np.arange(1, k + 1)) + np.log(ball) + d * np.log(away).mean(axis=0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32), d=st.integers(1, 6), k=st.integers(4, 16), edge=st.booleans(), order=st.integers(1, 3)
)
def test_value_is_the_generalized_least_squares_intercept(seed, d, k, edge, order):
    """The weights are those of a regression of ĥ_j on its bias terms with covariance ψ'(max(i, j)) + const."""
    from scipy.special import polygamma

    x = stream(seed, "extrapolated").normal(size=(50, d))
    j, s = np.arange(1.0, k + 1), (1 if edge else 2) * np.arange(1, order + 1) / d
    design = np.column_stack([np.ones(k), *(gamma(j + p) / gamma(j) / k**p for p in s)])
    white = np.linalg.inv(np.linalg.cholesky(polygamma(1, np.maximum.outer(j, j))))
    fit = np.linalg.lstsq(white @ design, white @ plain_twin(x, k))[0][0]
    value = ExtrapolatedKozachenkoLeonenko(k=k, order=order, edge=edge, whiten=False).entropy(x).value
    size = np.abs(extrapolation_weights(k, tuple(s))).sum()
    assert value == pytest.approx(fit, abs=1e4 * EPS * size * max(1, d) ** order)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d=st.integers(1, 4))
def test_identities(seed, power, d):
    rng = stream(seed, "identities")
    x, factor, estimator = rng.normal(size=(60, d)), 10.0**power, ExtrapolatedKozachenkoLeonenko()
    h = estimator.entropy(x).value
    matrix = rng.normal(size=(d, d)) + 3 * np.eye(d)
    rounding = 1e6 * EPS * np.linalg.cond(matrix) ** 2
    assert estimator.entropy(x[rng.permutation(60)]).value == pytest.approx(h, abs=rounding)
    assert estimator.entropy(x * factor).value == pytest.approx(h + d * np.log(factor), abs=rounding)
    assert estimator.entropy(x @ matrix).value == pytest.approx(h + np.linalg.slogdet(matrix)[1], abs=rounding)


@pytest.mark.parametrize(("edge", "margin"), [(False, 0.05), (True, 0.05)])
def test_removes_the_bias_it_is_made_for(edge, margin):
    """d = 3, n = 1000, without subsampling. Plain k = 16: off by 0.08 (Gaussian, ``edge`` False) and 0.22 (uniform)."""
    d = 3
    weights = extrapolation_weights(16, (1 / d, 2 / d) if edge else (2 / d, 4 / d))

    def values(rng):
        draws = [rng.uniform(size=(1000, d)) if edge else rng.normal(size=(1000, d)) for _ in range(2)]
        return [weights @ neighbor_entropies(log_ball_volumes(x, 16, "euclidean")) for x in draws]

    truth = 0.0 if edge else Gaussian.standard(d).entropy.value
    check_equality(values, truth, margin=margin).require()


def test_interval_covers_where_the_standard_error_does_not():
    """Uniform, d = 4, n = 300: where coverage is 0.95, 15 of 20 or fewer has probability 0.0026."""
    found = [KozachenkoLeonenko().entropy(stream(seed, "coverage").uniform(size=(300, 4))) for seed in range(20)]
    assert sum(f.interval(0.95)[0] < 0 < f.interval(0.95)[1] for f in found) > 15
    assert sum(abs(f.value) < 2.06 * f.standard_error for f in found) == 0
    ours = ExtrapolatedKozachenkoLeonenko().entropy(stream(0, "coverage").uniform(size=(300, 4)))
    assert ours.interval(0.95)[0] < 0 < ours.interval(0.95)[1]


def test_copies_small_samples_and_bad_configuration():
    x = np.repeat(stream(0, "copies").normal(size=(100, 2)), 2, axis=0)
    found = ExtrapolatedKozachenkoLeonenko().entropy(x)
    assert found.value == -np.inf
    assert [w.code for w in found.warnings] == ["ties"]
    with pytest.raises(SampleError, match="expected more than k = 16 rows"):
        ExtrapolatedKozachenkoLeonenko().entropy(x[:16])
    assert "no_error_bar" in {w.code for w in ExtrapolatedKozachenkoLeonenko().entropy(x[::2][:40]).warnings}
    with pytest.raises(ParameterError, match="order: expected less than k = 3"):
        ExtrapolatedKozachenkoLeonenko(k=3, order=3)


def test_standard_error_matches_the_spread():
    found = [ExtrapolatedKozachenkoLeonenko().entropy(stream(s, "spread").normal(size=(200, 2))) for s in range(40)]
    spread = np.std([f.value for f in found], ddof=1)
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.66 < stated / spread < 1.5  # 40 seeds: the spread itself is known to ±11 %; 3 of these
