"""Dimensions of known supports, their errors, and the alignment that tells manifolds from densities."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from itssl import Bias, check_equality
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimators.error_bars import value_only
from itssl.estimators.intrinsic_dimension import (
    Alignment,
    intrinsic_dimension,
    low_dimension_warnings,
    neighbor_alignment,
)
from itssl.estimators.standardization import normal_scores, standardized
from tests.estimators.suspects import HEAVY_TAILED, LIGHT_TAILED, tanh_network

SEEDS = st.integers(0, 2**32)


def torus(rng, n, m):
    """Uniform on a flat torus: m dimensions, constant density, no edge."""
    angles = rng.uniform(0, 2 * np.pi, size=(n, m))
    return np.hstack([np.cos(angles), np.sin(angles)])


def sphere(rng, n, d):
    z = rng.normal(size=(n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


# Ratios of distances


def dimension_twin(x, k):
    """Levina & Bickel (2004), equation 8, one row at a time; inverses averaged as MacKay & Ghahramani propose."""
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    inverses = []
    for i in range(len(x)):
        t = np.sort(np.linalg.norm(x - x[i], axis=1))[1 : k + 1]  # the first is the row itself
        inverses.append(np.mean([np.log(t[k - 1] / t[j]) for j in range(k - 1)]))
    n = len(x) * (k - 1)
    return (n - 1) / n / np.mean(inverses)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, n=st.integers(12, 60), d=st.integers(1, 5), k=st.integers(2, 10))
def test_dimension_equals_the_definition(seed, n, d, k):
    x = stream(seed, "dimension").exponential(size=(n, d))
    found = intrinsic_dimension(x, k=k)
    assert found.value == pytest.approx(dimension_twin(x, k), rel=1e-9)
    assert (found.n, found.units, found.bias) == (n, "dimensions", Bias.UNKNOWN)
    assert (found.method, found.diagnostics["columns"]) == (f"Levina-Bickel(k={k})", d)
    pairs = intrinsic_dimension(x, method="two_nn", k=k)
    assert pairs.value == pytest.approx(dimension_twin(x, 2), rel=1e-9)
    assert pairs.method == "TwoNN"


def test_facco_line_agrees():
    """The published fit of TwoNN, −log(1 − F(μ)) against log μ without the largest tenth, is the same dimension."""
    differences = []
    for seed in range(20):
        x = torus(stream(seed, "facco"), 400, 2)
        with value_only():
            found = intrinsic_dimension(x, method="two_nn").value
        away = np.sort(np.linalg.norm(x[:, None] - x[None], axis=2), axis=1)
        log_mu = np.sort(np.log(away[:, 2] / away[:, 1]))[:360]
        line = -np.log1p(-np.arange(360) / 400)
        differences.append((log_mu @ line) / (log_mu @ log_mu) - found)
    assert abs(np.mean(differences)) < 4 * np.std(differences, ddof=1) / np.sqrt(20)


@pytest.mark.parametrize(("method", "m"), [("mle", 1), ("two_nn", 1), ("two_nn", 2)])
def test_no_bias_on_a_flat_torus(method, m):
    """(N − 1)/Σ, not N/Σ, which would be 1.7 % too much for two_nn and n = 60. The margin is for curvature."""

    def replicate(rng):
        with value_only():
            return [intrinsic_dimension(torus(rng, 60, m), method=method, k=4).value for _ in range(20)]

    check_equality(replicate, m, margin=0.05 * m).require()


def test_unbiased_for_independent_terms():
    """A pair of near rows in each of 400 far cells would have T_2/T_1 beyond the cell; so: exponential terms by design.

    Three rows a cell on a line, cells far apart: T_1, T_2 of the outer rows are known, hence the sum of logarithms.
    """
    gaps = stream(0, "cells").uniform(0.2, 0.45, size=100)
    cells = 1e3 * np.arange(100.0)
    x = np.concatenate([cells, cells + gaps, cells + 1])[:, None]
    logs = -np.log(gaps) - np.log(1 - gaps) + np.log((1 - gaps) / gaps)
    with value_only():
        assert intrinsic_dimension(x, method="two_nn").value == pytest.approx(299 / logs.sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("method", "m", "n"), [("mle", 1, 160), ("mle", 2, 300), ("two_nn", 1, 160), ("two_nn", 2, 160)]
)
def test_error_and_coverage_on_known_dimensions(method, m, n):
    """60 samples: the spread within 4 of its own errors (9 % each); nominal 95 % intervals, 3.5 deviations."""
    found = [intrinsic_dimension(torus(stream(s, "coverage", m), n, m), method=method) for s in range(60)]
    spread = np.std([e.value for e in found], ddof=1)
    stated = np.sqrt(np.mean([e.standard_error**2 for e in found]))
    assert stated / spread == pytest.approx(1, abs=4 / np.sqrt(2 * 59))
    covered = [low <= m <= high for low, high in (e.interval(0.95) for e in found)]
    assert np.mean(covered) >= 0.95 - 3.5 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize(("method", "values"), [("mle", (2.04, 4.89, 8.58)), ("two_nn", (2.02, 5.07, 9.26))])
def test_table_of_the_docstring(method, values):
    """N(0, I) at n = 300, 12 samples against what is printed, which has an error of its own."""
    for d, value in zip((2, 5, 10), values, strict=True):
        with value_only():
            found = [
                intrinsic_dimension(stream(s, "table", d).normal(size=(300, d)), method=method).value for s in range(12)
            ]
        assert np.mean(found) == pytest.approx(value, abs=6 * np.std(found) / np.sqrt(12))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, exponent=st.sampled_from([-300.0, -12.0, 0.0, 12.0, 300.0]))
def test_dimension_knows_neither_units_nor_order(seed, exponent):
    rng = stream(seed, "invariance")
    x = tanh_network(rng, 60, out=3)
    with value_only():
        value = intrinsic_dimension(x).value
        image = (x * 10.0 ** (exponent * np.array([0, 0.5, 1])))[rng.permutation(60)][:, [2, 0, 1]]
        assert intrinsic_dimension(image).value == pytest.approx(value, rel=1e-7)
        assert intrinsic_dimension(x.astype(np.float32)).value == pytest.approx(value, rel=1e-2)
        assert intrinsic_dimension(5 - x).value == pytest.approx(value, rel=1e-7)
        assert intrinsic_dimension(x[:, :1], k=3).value == intrinsic_dimension(x[:, 0], k=3).value


def test_copies_are_left_out_and_said():
    x = sphere(stream(0, "copies"), 60, 2)
    whole, found = intrinsic_dimension(x), intrinsic_dimension(np.vstack([x, x[:10], x[:10]]))
    # the columns' deviations, and so the distances, are those of all rows
    assert found.value == pytest.approx(whole.value, rel=0.05)
    assert (found.n, whole.n, whole.warnings) == (60, 60, ())
    assert [w.code for w in found.warnings] == ["ties"]
    assert found.warnings[0].message.startswith("20 of 80 rows")


def test_few_rows_have_no_error_bar_and_fewer_are_refused():
    x = stream(0, "few").normal(size=(12, 2))
    found = intrinsic_dimension(x)
    assert np.isnan(found.standard_error)
    assert [w.code for w in found.warnings] == ["no_error_bar"]
    with pytest.raises(SampleError, match=r"x: expected at least k \+ 2 = 12 different rows, got 11"):
        intrinsic_dimension(np.vstack([x[:11], x[:5]]))
    assert intrinsic_dimension(x[:4], method="two_nn").value > 0
    with pytest.raises(SampleError, match=r"k \+ 2 = 4 different rows, got 3"):
        intrinsic_dimension(x[:3], method="two_nn")


def test_bad_choices_are_refused():
    x = stream(0, "bad").normal(size=(30, 2))
    with pytest.raises(ParameterError, match="k: expected an integer >= 2, got 1"):
        intrinsic_dimension(x, k=1)
    with pytest.raises(SampleError, match="constant column 1"):
        intrinsic_dimension(np.c_[x[:, 0], np.ones(30)])


def test_extremes():
    with value_only():
        assert intrinsic_dimension(np.eye(40)).value > 1e12  # all distances equal, to rounding: no finite dimension
    tiny = np.r_[-1.0, 1.0, 1e-200 * np.arange(-20.0, 20.0)]  # with squares of differences that underflow
    with pytest.raises(SampleError, match="got 3"):
        intrinsic_dimension(tiny)
    with value_only():
        grid = intrinsic_dimension(np.linspace(0, 1, 200)).value
    assert grid == pytest.approx(1.36, abs=0.01)  # as the docstring says


# Directions between neighbors


def alignment_twin(x):
    """Normal scores, whitened; whitened again within neighborhoods of size one; then cosines, row by row."""
    z = normal_scores(standardized(x))

    def white(z, cov):
        return z @ np.linalg.inv(np.linalg.cholesky(cov)).T

    z = white(z, np.cov(z.T))
    r = z.shape[1]

    def groups(z):
        for row in z:
            away = np.linalg.norm(z - row, axis=1)
            order = np.argsort(away)
            assume(away[order[5]] > away[order[4]] + 1e-9)  # scores lie on a lattice: neighbors may tie
            yield z[order[:5]]

    cov = np.zeros((r, r))
    for group in groups(z):
        away = group - group.mean(axis=0)
        cov += away.T @ away / (away**2).sum()
    cosines = []
    for group in groups(white(z, cov)):
        for a in range(5):
            for b in range(a):
                for c in range(5):
                    for e in range(c):
                        if not {a, b} & {c, e}:
                            u, v = group[a] - group[b], group[c] - group[e]
                            cosines.append((u @ v) ** 2 / (u @ u) / (v @ v))
    return r * np.mean(cosines)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, n=st.integers(25, 60), r=st.integers(2, 5), kind=st.sampled_from(["density", "curved"]))
def test_alignment_equals_the_definition(seed, n, r, kind):
    rng = stream(seed, "alignment")
    x = rng.laplace(size=(n, r)) if kind == "density" else sphere(rng, n, r)
    found = neighbor_alignment(x)
    assert found.ratio == pytest.approx(alignment_twin(x), rel=1e-6)
    assert (found.columns, found.rows) == (r, n)
    assert found.dimension == pytest.approx(r / found.ratio)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, a=st.sampled_from([1e-12, -3.0, 1e12]))
def test_alignment_knows_no_monotone_map_of_a_column(seed, a):
    """Up to rows whose neighbors tie, of which one moves the ratio by less than 1e-3."""
    rng = stream(seed, "monotone")
    x = tanh_network(rng, 200, out=3)
    found = neighbor_alignment(x).ratio
    assert neighbor_alignment(a * x).ratio == pytest.approx(found, rel=1e-3)
    assert neighbor_alignment(x[rng.permutation(200)][:, ::-1]).ratio == pytest.approx(found, rel=1e-3)
    assert neighbor_alignment(np.c_[np.exp(x[:, 0]), x[:, 1] ** 3, -x[:, 2]]).ratio == pytest.approx(found, rel=1e-3)
    repeated = neighbor_alignment(np.vstack([x, x[:50]]))  # copies are left out
    assert repeated.rows == 200
    constant = neighbor_alignment(np.c_[x, np.full(200, 7.0)])
    assert (constant.ratio, constant.columns) == (pytest.approx(found, rel=1e-3), 3)


@pytest.mark.parametrize(
    ("name", "draw", "ratio"),
    [
        ("curve in 3", lambda rng: rng.normal(size=(500, 1)) ** [1, 2, 3] * [1, 1, 1.0], 3.0),
        ("circle", lambda rng: sphere(rng, 500, 2), 2.0),
        ("sphere", lambda rng: sphere(rng, 1000, 3), 1.5),
        ("monotone functions of each other", lambda rng: np.exp(rng.normal(size=(500, 1)) * [1.0, 2.0]), 2.0),
    ],
)
def test_alignment_of_manifolds_is_columns_over_dimension(name, draw, ratio):
    """Up to what curvature takes off: a tenth."""
    x = draw(stream(0, "manifold", name))
    found = neighbor_alignment(x)
    assert 0.9 * ratio <= found.ratio <= 1.1 * ratio
    (warning,) = low_dimension_warnings(x, name="z")
    assert warning.code == "low_dimensional_support"
    assert f"z looks thinner than its {x.shape[1]} columns" in warning.message
    assert f"about {found.dimension:.1f} of {x.shape[1]} directions" in warning.message


@pytest.mark.parametrize("d", [2, 5, 16, 64])
def test_alignment_of_a_density_is_one_or_less(d):
    """0.8 (few rows, many columns) to 1, and 3.2/√n is at least 4 of its deviations."""
    for n in (100, 400):
        ratios = [neighbor_alignment(stream(s, "density", d, n).normal(size=(n, d))).ratio for s in range(12)]
        assert 0.75 < np.mean(ratios) < 1.0 + 4 * np.std(ratios) / np.sqrt(12)
        assert np.std(ratios, ddof=1) < 3.2 / np.sqrt(n) / 4 * (1 + 3 / np.sqrt(22))


def test_what_alignment_does_not_say():
    rng = stream(0, "nan")
    for x in (rng.normal(size=(24, 3)), rng.normal(size=(50, 1)), np.ones((50, 3)), np.ones((1, 2)),
              np.c_[rng.normal(size=50), np.ones(50)], rng.normal(size=(50, 1)) * [1.0, 2.0],
              np.repeat(rng.normal(size=(20, 3)), 4, axis=0)):  # fmt: skip
        assert np.isnan(neighbor_alignment(x).ratio)
        assert low_dimension_warnings(x) == ()
    assert neighbor_alignment(rng.normal(size=(25, 2))).rows == 25


def test_dependent_columns_are_replaced_by_fewer_in_both_precisions():
    """Three dimensions, linearly in ten: full of directions in three, whatever rounding does to the other seven."""
    rng = stream(0, "dependent")
    z, weights = rng.normal(size=(400, 3)), rng.normal(size=(3, 10))
    for x in (z @ weights, (z.astype(np.float32) @ weights.astype(np.float32)).astype(float)):
        found = neighbor_alignment(x)
        assert found.columns == 3
        assert low_dimension_warnings(x) == ()
    curved = np.c_[z[:, :1], z[:, :1] ** 2] @ rng.normal(size=(2, 5))
    assert low_dimension_warnings(curved)[0].code == "low_dimensional_support"


@pytest.mark.parametrize(("ratio", "fires"), [(1.459, False), (1.461, True), (float("nan"), False)])
def test_limit(ratio, fires):
    """1.3 + 3.2/√400 = 1.46."""
    found = low_dimension_warnings(np.zeros((400, 5)), found=Alignment(ratio, 5, 400))
    assert bool(found) is fires


@pytest.mark.parametrize("name", [*LIGHT_TAILED, *HEAVY_TAILED])
def test_densities_raise_no_alarm(name):
    law = {**LIGHT_TAILED, **HEAVY_TAILED}[name]
    for n, d in ((100, 2), (300, 6), (200, 30)):
        assert low_dimension_warnings(law(stream(0, "alarm", name), n, d)) == ()


@pytest.mark.slow
def test_rates_of_low_dimensional_support():
    """Slow: 6,000 samples. Below 0.5 % for each law with a density; at least 95 % of tanh layers from 2 dimensions."""
    cells = [(50, 2), (100, 5), (300, 3), (300, 16), (1000, 8), (500, 64)]
    for name, law in {**LIGHT_TAILED, **HEAVY_TAILED}.items():
        alarms = sum(
            bool(low_dimension_warnings(law(stream(s, "rate", name, n, d), n, d))) for n, d in cells for s in range(80)
        )
        assert alarms <= 0.005 * 480 + 3 * np.sqrt(0.005 * 480), (name, alarms)
    for n in (300, 1000):
        fired = [bool(low_dimension_warnings(tanh_network(stream(s, "tanh", n), n))) for s in range(80)]
        assert np.mean(fired) >= 0.95
