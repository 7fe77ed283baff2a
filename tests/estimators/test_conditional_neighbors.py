"""Frenzel–Pompe against a twin from the paper, Gaussian truths, its ceiling and its identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import KSG, check_equality
from itssl.arrays import SampleError, stream
from itssl.estimators.conditional_neighbors import FrenzelPompe
from itssl.estimators.error_bars import value_only
from itssl.estimators.standardization import standardized

EPS = np.finfo(float).eps


def frenzel_pompe_twin(x, y, z, k):
    """Frenzel & Pompe (2007), one row at a time, with the harmonic numbers of the paper: h_N = −Σ_{j≤N} 1/j."""
    n, total = len(x), 0.0
    harmonic = np.r_[0.0, -np.cumsum(1 / np.arange(1, n + 1))]
    for i in range(n):
        away_x, away_y, away_z = (np.abs(np.delete(s, i, axis=0) - s[i]).max(axis=1) for s in (x, y, z))
        radius = np.sort(np.maximum.reduce([away_x, away_y, away_z]))[k - 1]
        n_xz, n_yz = ((np.maximum(away, away_z) < radius).sum() for away in (away_x, away_y))
        total += harmonic[n_xz] + harmonic[n_yz] - harmonic[(away_z < radius).sum()]
    return total / n - harmonic[k - 1]


def through_z(rng, n, rho, d_z=1):
    """X = Z + A, Y = Z + B with corr(A, B) = ρ: I(X; Y | Z) = −½ log(1 − ρ²), whatever I(X; Y) is."""
    z, a = rng.normal(size=(n, d_z)), rng.normal(size=(n, 1))
    b = rho * a + np.sqrt(1 - rho**2) * rng.normal(size=(n, 1))
    return z[:, :1] + a, z[:, :1] + b, z


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(8, 60), d=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    k=st.integers(1, 6), grid=st.booleans(),
)  # fmt: skip
def test_equals_the_papers_definition(seed, n, d, k, grid):
    """A lattice shows whether counts are strict."""
    rng = stream(seed, "frenzel pompe")
    x, y, z = (rng.normal(size=(n, columns)) for columns in d)
    if grid:
        x, y, z = (np.round(2 * s) + np.arange(n)[:, None] * (np.ptp(np.round(2 * s), axis=0) == 0) for s in (x, y, z))
    with value_only():
        raw = FrenzelPompe(k=k, standardize=False).conditional_mutual_information(x, y, z).value
        scaled = FrenzelPompe(k=k).conditional_mutual_information(x, y, z).value
    assert abs(raw - frenzel_pompe_twin(x, y, z, k)) < 1e-12
    if not grid:
        u, v, w = (standardized(s) for s in (x, y, z))
        assert abs(scaled - frenzel_pompe_twin(u, v, w, k)) < 1e-12


def test_high_dimension_takes_another_path_to_the_same_value():
    x, y, z = (stream(0, "high", name).normal(size=(120, 10)) for name in "xyz")
    found = FrenzelPompe(standardize=False).conditional_mutual_information(x, y, z).value
    assert abs(found - frenzel_pompe_twin(x, y, z, 4)) < 1e-12


def test_z_without_extent_leaves_ksg():
    """Where z is far narrower than every radius, all rows are strictly within it: n_z + 1 = n."""
    x, y, z = stream(0, "narrow").normal(size=(3, 200, 1))
    found = FrenzelPompe(standardize=False).conditional_mutual_information(x, y, 1e-9 * z).value
    assert found == pytest.approx(KSG(standardize=False).mutual_information(x, y).value, abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_finds_gaussian_information(rho):
    def values(rng):
        with value_only():
            return [FrenzelPompe().conditional_mutual_information(*through_z(rng, 400, rho)).value for _ in range(3)]

    check_equality(values, -0.5 * np.log(1 - rho**2), margin=0.03).require()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_identities(seed, power):
    rng = stream(seed, "identities")
    x, y, z = through_z(rng, 60, 0.5, 2)
    order, estimate = rng.permutation(60), FrenzelPompe().conditional_mutual_information
    with value_only():
        value = estimate(x, y, z).value
        assert estimate(y, x, z).value == pytest.approx(value, abs=1e2 * EPS)
        assert estimate(x[order], y[order], z[order]).value == pytest.approx(value, abs=1e2 * EPS)
        assert estimate(x, y * 10.0**power, z).value == pytest.approx(value, abs=1e2 * EPS)
        assert estimate(x, y, z * 10.0**power).value == pytest.approx(value, abs=1e2 * EPS)


def test_equal_variables_reach_the_ceiling_and_say_so():
    x, z = stream(0, "ceiling").normal(size=(2, 300))
    found = FrenzelPompe().conditional_mutual_information(x, x, z)
    assert found.value == pytest.approx(found.diagnostics["ceiling_nats"], abs=256 * EPS)
    assert [w.code for w in found.warnings] == ["ceiling", "deterministic"]


def test_what_z_explains_is_neither_deterministic_nor_information():
    x, z = stream(0, "explained").normal(size=(2, 300))
    found = FrenzelPompe().conditional_mutual_information(z, x + z, z)
    assert abs(found.value) < 64 * EPS  # x adds nothing to z: n_xz = n_z and n_yz = k − 1 in every row
    assert [w.code for w in found.warnings] == ["no_error_bar"]
    shared = FrenzelPompe().conditional_mutual_information(x + z, x - 2 * z, z)  # equal beyond z
    assert [w.code for w in shared.warnings if w.code != "ceiling"] == ["deterministic"]


def test_ties_and_rank_are_reported_by_name():
    x, y, z = stream(0, "ties").normal(size=(3, 60, 2))
    found = FrenzelPompe().conditional_mutual_information(x, y, np.repeat(z[:30], 2, axis=0))
    assert "rows of z coincide" in next(w.message for w in found.warnings if w.code == "ties")
    found = FrenzelPompe().conditional_mutual_information(np.c_[x, x.sum(axis=1)], y, z)
    assert "singular_support" in {w.code for w in found.warnings}


@pytest.mark.slow
def test_standard_error_matches_the_spread():
    """100 data sets, 33 estimates each, know their spread to ±7 %; measured elsewhere: 0.83 to 1.01."""
    found = [
        FrenzelPompe().conditional_mutual_information(*through_z(stream(s, "spread"), 200, 0.6)) for s in range(100)
    ]
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.7 < stated / np.std([f.value for f in found], ddof=1) < 1.3


def test_refusals():
    x, y, z = stream(0, "refusals").normal(size=(3, 20))
    with pytest.raises(SampleError, match="z: expected columns that vary"):
        FrenzelPompe().conditional_mutual_information(x, y, np.ones(20))
    with pytest.raises(SampleError, match="x and z: expected the same number of rows, got 20 and 19"):
        FrenzelPompe().conditional_mutual_information(x, y, z[:-1])
    with pytest.raises(SampleError, match="more than k = 20 rows, got 20"):
        FrenzelPompe(k=20).conditional_mutual_information(x, y, z)


@pytest.mark.parametrize("which", range(3))
def test_heavy_tails_are_warned_of(which):
    """exp(9·) of a Gaussian changes no information, and hides nearly all of it from neighbors."""
    z, a, b = stream(0, "heavy").normal(size=(3, 500, 1))
    samples = [z + a, a + b, z]
    with value_only():
        assert "heavy_tails" not in {w.code for w in FrenzelPompe().conditional_mutual_information(*samples).warnings}
        samples[which] = np.exp(9 * samples[which])
        found = FrenzelPompe().conditional_mutual_information(*samples)
    (warning,) = (w for w in found.warnings if w.code == "heavy_tails")
    assert f"columns of {'xyz'[which]} " in warning.message
