"""Wang–Kulkarni–Verdú against a twin from the paper, known divergences, disjoint supports and identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import check_equality, estimators
from itssl.arrays import SampleError, SampleTypeError, stream
from itssl.estimators.error_bars import value_only
from itssl.estimators.neighbor_divergence import WangKulkarniVerdu

EPS = np.finfo(float).eps


def divergence_twin(x, y, k, metric):
    """Wang, Kulkarni & Verdú (2009), equation 5 with k neighbors, one row at a time."""
    (n, d), m, total = x.shape, len(y), 0.0
    norm = (lambda v: np.abs(v).max(axis=1)) if metric == "chebyshev" else (lambda v: np.sqrt((v**2).sum(axis=1)))
    for i in range(n):
        rho = np.sort(norm(np.delete(x, i, axis=0) - x[i]))[k - 1]
        nu = np.sort(norm(y - x[i]))[k - 1]
        total += np.log(nu / rho)
    return d / n * total + np.log(m / (n - 1))


def divergence(x, y, **options):
    with value_only():
        return WangKulkarniVerdu(**options).kl_divergence(x, y).value


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(8, 60), m=st.integers(6, 60), d=st.sampled_from([1, 2, 5, 16]),
    k=st.integers(1, 6), metric=st.sampled_from(["chebyshev", "euclidean"]),
)  # fmt: skip
def test_equals_the_papers_definition(seed, n, m, d, k, metric):
    rng = stream(seed, "divergence")
    x, y = rng.normal(size=(n, d)), 0.5 + 2 * rng.normal(size=(m, d))
    raw = divergence(x, y, k=k, metric=metric, standardize=False)
    assert abs(raw - divergence_twin(x, y, k, metric)) < 1e-12
    mean, std = x.mean(axis=0), x.std(axis=0, ddof=1)
    twin = divergence_twin((x - mean) / std, (y - mean) / std, k, metric)
    assert abs(divergence(x, y, k=k, metric=metric) - twin) < 1e-11


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 900)])
def test_finds_gaussian_divergence(n, m):
    """D(N(0, 1) ‖ N(0, 4)) = log 2 + 1/8 − 1/2, with sizes that differ, so that log(m/(n−1)) counts."""

    def values(rng):
        return [divergence(rng.normal(size=(n, 1)), 2 * rng.normal(size=(m, 1))) for _ in range(4)]

    check_equality(values, np.log(2) + 1 / 8 - 1 / 2, margin=0.06).require()


def test_equal_laws_have_no_divergence():
    def values(rng):
        return [divergence(rng.uniform(size=(300, 2)), rng.uniform(size=(500, 2))) for _ in range(4)]

    check_equality(values, 0.0, margin=0.05).require()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d=st.integers(1, 3))
def test_identities(seed, power, d):
    rng = stream(seed, "identities")
    x, y = rng.normal(size=(50, d)), 0.3 + 1.5 * rng.normal(size=(70, d))
    value, factor = divergence(x, y), 10.0 ** (power * np.arange(1, d + 1) / d)
    assert divergence(factor * x, factor * y) == pytest.approx(value, abs=1e5 * EPS)
    assert divergence(x + 100, y + 100) == pytest.approx(value, abs=1e7 * EPS)
    assert divergence(x[rng.permutation(50)], y[rng.permutation(70)]) == pytest.approx(value, abs=1e3 * EPS)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    raw = divergence(x, y, standardize=False)
    assert divergence(x @ rotation, y @ rotation, standardize=False) == pytest.approx(raw, abs=1e5 * EPS)


@pytest.mark.parametrize("shift", [0.1, 0.5, 2.0])
def test_disjoint_supports_are_reported(shift):
    """D(U[0,1] ‖ U[s, 1+s]) is infinite for every s > 0; the estimate is finite, and the warning says so."""
    rng = stream(0, "disjoint")
    found = WangKulkarniVerdu().kl_divergence(rng.uniform(size=500), shift + rng.uniform(size=500))
    assert [w.code for w in found.warnings] == ["disjoint_support"]
    assert abs(found.diagnostics["share_outside"] - min(shift, 1)) < 0.1


def test_overlapping_laws_carry_no_warning():
    for d, shift in ((1, 0.0), (1, 1.0), (3, 0.5), (8, 0.0)):
        rng = stream(0, "overlap", d)
        found = WangKulkarniVerdu().kl_divergence(rng.normal(size=(500, d)), shift + rng.normal(size=(400, d)))
        assert found.warnings == ()
        assert found.diagnostics["rows_of_y"] == 400


def test_rows_shared_by_both_samples_are_reported():
    x = stream(0, "shared").normal(size=(100, 2))
    assert "ties" in {w.code for w in WangKulkarniVerdu().kl_divergence(x, x).warnings}
    assert WangKulkarniVerdu(k=1).kl_divergence(x, x).value == -np.inf
    copied = WangKulkarniVerdu(k=1).kl_divergence(np.repeat(x, 2, axis=0), stream(1, "y").normal(size=(90, 2)))
    assert copied.value == np.inf
    assert "ties" in {w.code for w in copied.warnings}


@pytest.mark.slow
def test_standard_error_matches_the_spread():
    """100 pairs of samples, 33 estimates each, know their spread to ±7 %; m > n must not shrink the error."""
    found = []
    for seed in range(100):
        rng = stream(seed, "spread")
        found.append(WangKulkarniVerdu().kl_divergence(rng.normal(size=300), 0.5 + rng.normal(size=900)))
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.7 < stated / np.std([f.value for f in found], ddof=1) < 1.3


def test_default_of_the_front():
    x, y = stream(0, "front").normal(size=(2, 50))
    assert estimators.methods.kl_divergence(x, y) == WangKulkarniVerdu().kl_divergence(x, y)


def test_refusals():
    x = stream(0, "refusals").normal(size=(20, 2))
    with pytest.raises(SampleError, match="equally many columns, got 2 and 1"):
        WangKulkarniVerdu().kl_divergence(x, x[:, :1])
    with pytest.raises(SampleError, match="x: expected at least 21 rows for k = 20, got 20"):
        WangKulkarniVerdu(k=20).kl_divergence(x, x + 1)
    with pytest.raises(SampleError, match="y: expected at least 4 rows for k = 4, got 3"):
        WangKulkarniVerdu().kl_divergence(x, x[:3])
    with pytest.raises(SampleError, match="y: expected columns that vary"):
        WangKulkarniVerdu().kl_divergence(x, np.ones((20, 2)))
    torch = pytest.importorskip("torch")
    with pytest.raises(SampleTypeError, match="got ndarray and Tensor"):
        WangKulkarniVerdu().kl_divergence(x, torch.tensor(x))
