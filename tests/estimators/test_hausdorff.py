"""Hausdorff entropy on manifolds whose measure is known: circle, sphere, swiss roll, and linear embeddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma, gamma

from itssl import KozachenkoLeonenko, check_equality
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.hausdorff import HausdorffEntropy
from itssl.estimators.nearest_neighbors import log_ball_volumes
from itssl.estimators.neighbor_extrapolation import neighbor_entropies

EPS = np.finfo(float).eps


def circle(n, rng):
    angle = rng.uniform(0, 2 * np.pi, size=n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def sphere(n, rng):
    x = rng.normal(size=(n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def swiss_roll(n, rng):
    """t uniform on [3π/2, 9π/2] and height uniform on [0, 21]; area element √(1+t²) dt dy."""
    t, height = rng.uniform(1.5 * np.pi, 4.5 * np.pi, size=n), rng.uniform(0, 21, size=n)
    return np.column_stack([t * np.cos(t), height, t * np.sin(t)])


def swiss_roll_entropy():
    stretch = quad(lambda t: 0.5 * np.log1p(t * t) / (3 * np.pi), 1.5 * np.pi, 4.5 * np.pi)[0]
    return np.log(3 * np.pi * 21) + stretch


ORTHONORMAL = np.linalg.qr(stream(0, "embedding").normal(size=(6, 2)))[0]
MANIFOLDS = {  # draw, m, entropy relative to length or area, margin: twice the bias seen at n = 1000
    "circle": (circle, 1, np.log(2 * np.pi), 0.02),
    "sphere": (sphere, 2, np.log(4 * np.pi), 0.03),
    "swiss roll": (swiss_roll, 2, swiss_roll_entropy(), 0.1),
    "plane in R^6": (
        lambda n, rng: rng.normal(size=(n, 2)) @ ORTHONORMAL.T, 2, Gaussian.standard(2).entropy.value, 0.05,
    ),
}  # fmt: skip


def twin(x, k, m):
    """ψ(n) − ψ(k) + log c_m + m⟨log ρ⟩ from all distances."""
    radius = np.sort(np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2)), axis=1)[:, k]
    ball = np.pi ** (m / 2) / gamma(m / 2 + 1)
    return digamma(len(x)) - digamma(k) + np.log(ball) + m * np.log(radius).mean()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 3), k=st.integers(1, 5))
def test_value_equals_the_definition(seed, m, k):
    x = stream(seed, "hausdorff").normal(size=(40, 3))
    assert HausdorffEntropy(dimension=m, k=k).entropy(x).value == pytest.approx(twin(x, k, m), abs=1e4 * EPS)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_finds_the_entropy_relative_to_length_and_area(name):
    draw, m, truth, margin = MANIFOLDS[name]

    def values(rng):
        return [neighbor_entropies(log_ball_volumes(draw(1000, rng), 4, "euclidean", dim=m))[-1]]

    check_equality(values, truth, margin=margin).require()


@pytest.mark.parametrize("name", MANIFOLDS)
def test_finds_the_dimension_itself_and_says_so(name):
    draw, m, truth, _ = MANIFOLDS[name]
    x = draw(1500, stream(0, "dimension", name))
    found, given_m = HausdorffEntropy().entropy(x), HausdorffEntropy(dimension=m).entropy(x)
    assert found.diagnostics["hausdorff_dimension"] == m
    assert round(found.diagnostics["estimated_dimension"]) == m
    assert found.value == given_m.value
    assert found.method == "HausdorffEntropy(dimension=None, k=4)"
    assert found.units == "nats"
    assert found.interval(0.99)[0] < truth < found.interval(0.99)[1]


def test_full_dimension_is_kozachenko_leonenko():
    x = stream(0, "full").normal(size=(200, 2))
    ours, plain = HausdorffEntropy(dimension=2).entropy(x), KozachenkoLeonenko().entropy(x)
    assert (ours.value, ours.standard_error, ours.interval(0.9)) == (
        plain.value,
        plain.standard_error,
        plain.interval(0.9),
    )


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_an_isometry_keeps_the_value_and_a_scale_adds_m_log(seed, power):
    rng, factor, estimator = stream(seed, "isometry"), 10.0**power, HausdorffEntropy(dimension=2)
    x = sphere(60, rng)
    h = estimator.entropy(x).value
    embedding = np.linalg.qr(rng.normal(size=(20, 3)))[0].T
    assert estimator.entropy(x @ embedding).value == pytest.approx(h, abs=1e5 * EPS)  # 20 dimensions: another search
    assert estimator.entropy(x * factor).value == pytest.approx(h + 2 * np.log(factor), abs=1e5 * EPS)
    assert estimator.entropy(x[rng.permutation(60)]).value == pytest.approx(h, abs=1e4 * EPS)


def test_a_dimension_that_is_not_clear_is_refused():
    rng = stream(0, "thick")
    mixed = np.vstack([np.c_[rng.normal(size=(100, 1)), np.zeros((100, 2))], rng.normal(size=(100, 3))])
    with pytest.raises(SampleError, match=r"x: expected a support whose dimension is clear, got .* pass dimension=..."):
        HausdorffEntropy().entropy(mixed)
    with pytest.raises(SampleError, match="dimension is clear"):
        HausdorffEntropy().entropy(rng.normal(size=(20, 2)))


def test_a_dimension_above_the_rank_is_refused():
    x = stream(0, "rank").normal(size=(50, 2)) @ ORTHONORMAL.T
    with pytest.raises(SampleError, match="expected rows that span at least dimension = 3, got linear rank 2"):
        HausdorffEntropy(dimension=3).entropy(x)
    with pytest.raises(ParameterError, match="dimension: expected an integer >= 1"):
        HausdorffEntropy(dimension=0)
    with pytest.raises(SampleError, match="expected more than k = 4 rows"):
        HausdorffEntropy(dimension=1).entropy(x[:4])


def test_copies_are_reported():
    x = np.repeat(circle(50, stream(0, "copies")), 2, axis=0)
    found = HausdorffEntropy(dimension=1, k=1).entropy(x)
    assert found.value == -np.inf
    assert [w.code for w in found.warnings] == ["ties"]


@pytest.mark.parametrize(("given", "warned"), [(1, True), (2, False), (3, True)])
def test_a_wrong_dimension_is_warned_of(given, warned):
    """A sheet in space, bent: two-dimensional, of linear rank 3."""
    u = stream(0, "sheet").uniform(size=(1000, 2))
    found = HausdorffEntropy(dimension=given).entropy(np.column_stack([u, u[:, 0] ** 2]))
    assert ("dimension_mismatch" in {w.code for w in found.warnings}) is warned
    assert found.diagnostics["estimated_dimension"] == pytest.approx(2, abs=0.2)
