"""Weights over neighbors against their definitions by simulation and brute force, the hull, and whitening."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma
from scipy.stats import t as student

from itssl.arrays import SampleError, stream
from itssl.estimators.neighbor_extrapolation import (
    SCALES,
    ExtrapolationHull,
    extrapolation_weights,
    moment_constraints,
    neighbor_entropies,
    neighbor_summary,
    neighbors_needed,
    require_more_than_k,
    whitened,
)
from itssl.testing.strategies import samples

EPS = np.finfo(float).eps


def twin_weights(k, powers):
    """Least variance under the constraints by Lagrange multipliers, with gamma functions written out."""
    j = np.arange(1, k + 1)
    cov = np.array([[sum(1.0 / (m * m) for m in range(max(a, b), 4000)) for b in j] for a in j])
    constraints = np.array([np.ones(k), *(gamma(j + s) / gamma(j) for s in powers)])
    zero = np.zeros((len(constraints), len(constraints)))
    system = np.block([[cov, constraints.T], [constraints, zero]])
    return np.linalg.solve(system, np.r_[np.zeros(k), 1.0, np.zeros(len(powers))])[:k]


@pytest.mark.parametrize("powers", [(), (1.0,), (2 / 3, 4 / 3), (0.4, 0.8), (0.25,)])
def test_weights_have_least_variance_under_the_constraints(powers):
    """The twin cuts the sum for ψ' at 4000 terms, which adds a constant to the covariance and changes no optimum."""
    np.testing.assert_allclose(extrapolation_weights(6, powers), twin_weights(6, powers), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(k=st.integers(3, 60), d=st.integers(1, 60), edge=st.booleans())
def test_weights_sum_to_one_and_remove_their_powers(k, d, edge):
    powers = (1 / d,) if edge else (2 / d, 4 / d)
    weights = extrapolation_weights(k, powers)
    rounding = 1e3 * EPS * d**2 * np.abs(weights).sum()  # powers close to 0 and to each other: condition about d²
    assert abs(weights.sum() - 1) < rounding
    assert np.abs(moment_constraints(k, powers) @ weights).max() < rounding


def test_constraints_and_covariance_are_those_of_a_poisson_process():
    """E T_j^s = Γ(j+s)/Γ(j) and Cov(log T_i, log T_j) = ψ'(max(i, j)) for arrival times T, within 5 standard errors."""
    draws = 20_000
    arrival = stream(0, "arrivals").exponential(size=(draws, 5)).cumsum(axis=1)
    expected = moment_constraints(5, (0.4,))[0] * 5**0.4
    error = (arrival**0.4).std(axis=0) / draws**0.5
    assert (np.abs((arrival**0.4).mean(axis=0) - expected) < 5 * error).all()
    for powers in ((), (0.4, 0.8)):
        weights = extrapolation_weights(5, powers)
        stated = sum(
            weights[a] * weights[b] * sum(1 / m**2 for m in range(max(a, b) + 1, 5000))
            for a in range(5)
            for b in range(5)
        )
        found = (np.log(arrival) @ weights).var()
        kurtosis = ((np.log(arrival) @ weights - (np.log(arrival) @ weights).mean()) ** 4).mean() / found**2
        assert abs(found / stated - 1) < 5 * np.sqrt((kurtosis - 1) / draws) + 1 / 5000 / stated


def test_entropies_are_those_of_every_neighbor():
    from scipy.special import digamma

    log_volumes = stream(0, "volumes").normal(size=(50, 4))
    twin = [digamma(50) - digamma(j) + log_volumes[:, j - 1].mean() for j in (1, 2, 3, 4)]
    np.testing.assert_allclose(neighbor_entropies(log_volumes), twin, rtol=16 * EPS)


def test_the_hull_is_the_union_of_students_intervals():
    hull = ExtrapolationHull((1.0, 1.5, 0.8), (0.1, 0.01, 0.2), 24.0)
    quantile = student(24).ppf(0.95)
    assert hull(0.9) == pytest.approx((0.8 - 0.2 * quantile, 1.5 + 0.01 * quantile))
    assert hull(0.99)[0] < hull(0.9)[0]
    assert pickle.loads(pickle.dumps(hull)) == hull


def means(table):
    return lambda parts: [table[rows].mean(axis=0) for rows in parts]


def test_a_summary_takes_one_search_a_block_and_its_errors_from_the_same_blocks():
    """On terms that are independent of each other the stated errors are those of means of independent rows."""
    n, calls = 2000, []
    table = stream(0, "table").normal(size=(n, SCALES))

    def entropies(parts):
        calls.append(len(parts))
        return means(table)(parts)

    weights = extrapolation_weights(SCALES, ())
    found = neighbor_summary(entropies, np.arange(n), 3, weights)
    hull = found.interval_rule
    assert hull is not None
    assert calls == [1] + 8 * [4]
    assert found.value == pytest.approx(table[:, -1].mean(), abs=64 * EPS)
    interior, edge = extrapolation_weights(SCALES, (2 / 3, 4 / 3)), extrapolation_weights(SCALES, (1 / 3,))
    expected = [found.value, (table @ interior).mean(), (table @ edge).mean()]
    assert hull.values == pytest.approx(expected, abs=1e3 * EPS)
    stated = np.array(hull.standard_errors) * n**0.5
    expected = [np.linalg.norm(w) for w in (weights, interior, edge)]
    np.testing.assert_allclose(stated, expected, rtol=5 / np.sqrt(2 * 24))  # 5 standard errors of a 24-df deviation
    assert found.standard_error == pytest.approx(hull.standard_errors[0], rel=16 * EPS)


def test_extrapolations_can_come_from_other_coordinates():
    """The value is of the first function and never of the second, both extrapolations the other way around."""
    table = stream(0, "table").normal(size=(400, SCALES))
    weights = extrapolation_weights(4, ())
    found = neighbor_summary(
        means(table[:, :4]), np.arange(400), 2, weights,
        extrapolated=means(7 + table),
    )  # fmt: skip
    plain = neighbor_summary(means(table), np.arange(400), 2, weights)
    assert found.interval_rule is not None
    assert plain.interval_rule is not None
    assert found.value == plain.value
    assert found.interval_rule.standard_errors == pytest.approx(plain.interval_rule.standard_errors, rel=1e4 * EPS)
    shifts = np.subtract(found.interval_rule.values, plain.interval_rule.values)
    np.testing.assert_allclose(shifts, [0, 7, 7], atol=1e4 * EPS)


def test_without_edges_or_neighbors_there_are_fewer_candidates():
    table = stream(0, "table").normal(size=(400, SCALES))
    weights = extrapolation_weights(4, ())
    smooth = neighbor_summary(means(table), np.arange(400), 2, weights, edges=False)
    assert smooth.interval_rule is not None
    assert len(smooth.interval_rule.values) == 2
    assert list(smooth.diagnostics) == ["interior_extrapolation_nats"]
    few = neighbor_summary(means(table[:, :4]), np.arange(400), 2, weights)
    assert few.interval_rule is None
    assert few.standard_error > 0


def test_minus_infinity_passes_and_makes_no_interval():
    table = stream(0, "table").normal(size=(400, SCALES))
    table[7, 0] = -np.inf
    plain = neighbor_summary(means(table), np.arange(400), 2, extrapolation_weights(4, ()))
    assert np.isfinite([plain.value, plain.standard_error]).all()
    assert plain.interval_rule is None  # the extrapolations use the first neighbor
    mixed = neighbor_summary(means(table), np.arange(400), 2, extrapolation_weights(4, (1.0,)))
    assert mixed.value == -np.inf
    assert np.isnan(mixed.standard_error)


@settings(max_examples=30, deadline=None)
@given(x=samples())
def test_whitening_gives_unit_covariance_and_its_volume(x):
    y, log_det = whitened(x)
    d = x.shape[1]
    condition = np.linalg.cond(np.cov(x.T).reshape(d, d))
    np.testing.assert_allclose(np.cov(y.T).reshape(d, d), np.eye(d), atol=1e3 * EPS * condition)
    assert log_det == pytest.approx(0.5 * np.linalg.slogdet(np.cov(x.T).reshape(d, d))[1], abs=1e3 * EPS * condition)


def test_whitening_keeps_copies_and_only_standardizes_a_singular_sample():
    x = np.repeat(stream(0, "copies").normal(size=(37, 5)) @ stream(0, "mix").normal(size=(5, 5)), 3, axis=0)
    order = stream(0, "order").permutation(len(x))
    y = whitened(x[order])[0]
    assert len(np.unique(y, axis=0)) == 37
    singular = np.c_[x[:, 0], 2 * x[:, 0]]
    y, log_det = whitened(singular)
    np.testing.assert_allclose(y.std(axis=0, ddof=1), 1)
    assert log_det == pytest.approx(np.log(singular.std(axis=0, ddof=1)).sum())


def test_small_samples():
    assert neighbors_needed(135, 4) == 4
    assert neighbors_needed(136, 4) == SCALES
    assert neighbors_needed(136, 40) == 40
    with pytest.raises(SampleError, match="y: expected more than k = 4 rows, got 4"):
        require_more_than_k(4, 4, "y")
