"""The entropy family: relations between objectives, and which totals bound the information of known worlds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_twins import EPS, covariance, log_det, squared_distance, unit, views

from itssl.arrays import SampleError, stream
from itssl.claims.check import check_inequality
from itssl.claims.decision import Outcome
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias
from itssl.objectives import (
    corinfomax_terms,
    invariance_logdet_terms,
    invariance_pairdist_terms,
    mec_terms,
    vicreg_logdet_terms,
    vicreg_pairdist_terms,
    vicreg_terms,
)
from itssl.objectives.entropy_terms import logdet_term, pairdist_term

SHAPES = [(9, 4), (4, 9)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("eps", [0.01, 0.3, 5.0])
def test_a_quarter_of_corinfomax_is_the_negative_literal_bound(n, d, eps):
    """−½ log|I + R/ε| + E‖Δ‖²/(2ε), R over n: ``invariance_logdet`` on views stretched by √((n−1)/n) about their means
    has this entropy, and so the same total once the invariance is that of the unstretched views."""
    z_a, z_b = views(n, d)
    quarter = corinfomax_terms(z_a, z_b, eps=eps).total() / 4 + d / 2 * np.log(eps)
    capacity = np.mean([log_det(np.eye(d) + covariance(z, ddof=0) / eps) / 2 for z in (z_a, z_b)])
    size = 1 + capacity + squared_distance(z_a, z_b) / eps
    assert quarter == pytest.approx(-capacity + squared_distance(z_a, z_b) / (2 * eps), abs=1e4 * EPS * size)
    over_n = [np.sqrt((n - 1) / n) * (z - z.mean(axis=0)) for z in (z_a, z_b)]
    literal = invariance_logdet_terms(*over_n, beta=1 / eps, residual_var=eps)
    change = (squared_distance(z_a, z_b) - squared_distance(*over_n)) / (2 * eps)
    assert quarter == pytest.approx(literal.total() + change, abs=1e4 * EPS * size)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("beta", [0.1, 3.0, 100.0])
def test_literal_bound_at_the_residual_variance_of_the_noise(n, d, beta):
    z_a, z_b = views(n, d)
    capacity = np.mean([log_det(np.eye(d) + beta * covariance(z)) / 2 for z in (z_a, z_b)])
    expected = -(capacity - beta / 2 * squared_distance(z_a, z_b))
    found = invariance_logdet_terms(z_a, z_b, beta=beta, residual_var=1 / beta)
    assert found.total() == pytest.approx(expected, abs=1e4 * EPS * (1 + capacity + beta * squared_distance(z_a, z_b)))
    assert found.bound is None
    assert found.settings["residual_var"] == 1 / beta


def test_added_entropies_leave_the_other_terms_alone():
    z_a, z_b = views(9, 4)
    base = vicreg_terms(z_a, z_b, normalization="reference")
    for found, entropy in (
        (vicreg_logdet_terms(z_a, z_b, normalization="reference", beta=2.0), logdet_term(z_a, z_b, beta=2.0)),
        (
            vicreg_pairdist_terms(z_a, z_b, normalization="reference", noise_var=0.5),
            pairdist_term(z_a, z_b, noise_var=0.5),
        ),
    ):
        assert found.total((25, 25, 1, 0)) == base.total()
        assert found.entropy == entropy.value
        assert [t.weight for t in found.terms.values()] == [25, 25, 1, 1]
        assert found.settings["normalization"] == "reference"
        assert found.bound is None
        assert "VICReg" in found.objective


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32), n=st.integers(2, 9), d=st.integers(1, 9),
    scale=st.floats(-6, 6).map(lambda e: 10**e), noise=st.floats(-6, 6).map(lambda e: 10**e),
    residual=st.one_of(st.none(), st.floats(-3, 3).map(lambda e: 10**e)), distance=st.sampled_from([0.0, 1e-3, 1.0]),
)  # fmt: skip
def test_pairwise_bound_is_never_above_log_n(seed, n, d, scale, noise, residual, distance):
    """Also at the most favorable residual variance, that of the noise, and with views that coincide."""
    rng = stream(seed, "ceiling")
    z_a = scale * rng.normal(size=(n, d))
    z_b = z_a + distance * scale * rng.normal(size=(n, d))
    residual_var = noise * (residual or 1.0)
    terms = invariance_pairdist_terms(z_a, z_b, noise_var=noise, residual_var=residual_var)
    size = sum(abs(float(term.value)) for term in terms.terms.values())
    assert terms.bound.value <= np.log(n) + 64 * d * EPS * (1 + size)
    assert terms.bound.value == pytest.approx(-terms.total(), abs=4 * EPS * (1 + size))
    assert terms.bound.direction is Bias.LOWER


def test_pairwise_bound_reaches_log_n():
    z = 1e3 * np.eye(6)
    found = invariance_pairdist_terms(z, z, noise_var=0.2, residual_var=0.2).bound.value
    assert found == pytest.approx(np.log(6), abs=1e3 * EPS)


def test_pairwise_bound_is_below_the_information_of_known_worlds():
    """I(Z + N; Z') of Gaussian views, smaller than I(Z; Z'); with the noise in one term only it is not."""
    rho, noise_var, n = np.array([0.97, 0.9]), 0.05, 60
    world = linear_gaussian_views(rho)
    noisy = -0.5 * np.log1p(-(rho**2) / (1 + noise_var)).sum()
    assert noisy < world.mutual_information.value
    residual_var = float(np.mean(2 * (1 - rho)) + noise_var)  # the best: E(Δ + noise)² a coordinate

    def bound(rng, **options):
        return invariance_pairdist_terms(
            *world.sample(n, rng), noise_var=noise_var, residual_var=residual_var, **options
        )

    assert check_inequality(lambda rng: float(bound(rng).bound.value), noisy).outcome is Outcome.HOLDS
    assert check_inequality(lambda rng: float(bound(rng).bound.value), 0.0, relation=">=").outcome is Outcome.HOLDS
    assert bound(stream(0, "kl"), kernel="kl").bound is None
    assert "No bound" in bound(stream(0, "kl"), kernel="kl").remark

    def noise_in_one_term(rng):
        views_ = world.sample(n, rng)
        entropy = pairdist_term(*views_, noise_var=100.0)
        cross = invariance_pairdist_terms(*views_, noise_var=1e-9, residual_var=residual_var).cross_entropy
        return float(-entropy.value - cross)

    assert check_inequality(noise_in_one_term, noisy).outcome is Outcome.VIOLATED


def test_kl_kernel_exceeds_the_information_it_does_not_bound():
    """For Gaussian rows its entropy is too large by 1/(2(1 + σ²)) a dimension; the total passes even I(Z; Z')."""
    world = linear_gaussian_views([0.97, 0.9])

    def value(rng, kernel):
        return -float(
            invariance_pairdist_terms(*world.sample(300, rng), kernel=kernel, noise_var=0.05, residual_var=0.18).total()
        )

    truth = world.mutual_information.value
    assert check_inequality(lambda rng: value(rng, "bhattacharyya"), truth).outcome is Outcome.HOLDS
    assert check_inequality(lambda rng: value(rng, "kl"), truth).outcome is Outcome.VIOLATED


def test_literal_gaussian_bound_is_below_the_information_of_gaussian_views_only():
    """With many rows: for Gaussian views h_G is h; for views of two points, it is not, and the total passes log 2."""
    rho, beta = np.array([0.97, 0.9]), 20.0
    world = linear_gaussian_views(rho)
    noisy = -0.5 * np.log1p(-(rho**2) / (1 + 1 / beta)).sum()

    def gaussian(rng):
        return -float(invariance_logdet_terms(*world.sample(2000, rng), beta=beta, residual_var=0.2).total())

    def two_points(rng):
        z = rng.choice([-10.0, 10.0], size=(200, 1))
        return -float(invariance_logdet_terms(z, z + 0.0, beta=beta, residual_var=1 / beta).total())

    assert check_inequality(gaussian, noisy).outcome is Outcome.HOLDS
    assert check_inequality(two_points, np.log(2)).outcome is Outcome.VIOLATED


def test_corinfomax_direction():
    """E −log|R + εI| over n lies above the population's −log|C + εI|."""
    var = np.array([1.5, 0.4])

    def term(rng):
        return np.mean(
            [corinfomax_terms(*rng.normal(size=(2, 8, 2)) * np.sqrt(var), eps=0.3).log_determinant for _ in range(10)]
        )

    assert check_inequality(term, -2 * np.log(var + 0.3).sum(), relation=">=").outcome is Outcome.HOLDS


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_mec_series_tends_to_the_exact_length(n, d):
    z_a, z_b = views(n, d)
    distortion = 2.0
    matrix = d / (n * distortion**2) * unit(z_a) @ unit(z_b).T
    radius = np.abs(np.linalg.eigvals(matrix)).max()
    assert radius < 1
    exact = mec_terms(z_a, z_b, distortion=distortion, order=None).total()
    gaps = [abs(mec_terms(z_a, z_b, distortion=distortion, order=k).total() - exact) for k in (1, 4, 40)]
    assert gaps[0] > gaps[1] > gaps[2]
    rest = (n + d) / 2 * min(n, d) * radius**41 / 41 / (1 - radius)
    assert gaps[2] <= rest + 1e3 * EPS * n * d


def test_mec_of_equal_views_is_a_coding_length():
    """−μ log det(I + λ ZᵀZ) through the smaller product, and the series diverges where the spectral radius is large."""
    z, _ = views(9, 4)
    n, d, distortion = 9, 4, 0.3
    scatter = unit(z).T @ unit(z)
    expected = -(n + d) / 2 * log_det(np.eye(d) + d / (n * distortion**2) * scatter)
    assert mec_terms(z, z, distortion=distortion, order=None).total() == pytest.approx(expected, rel=1e3 * EPS)
    assert abs(mec_terms(z, z, distortion=distortion, order=4).total()) > 10 * abs(expected)


@pytest.mark.parametrize("made", [np.asarray, torch.tensor])
def test_mec_refuses_a_determinant_that_is_not_positive(made, as_users_call):
    z = np.eye(3)
    with pytest.raises(SampleError, match=r"det\(I \+ λ Z_a Z_bᵀ\) > 0, .*use order=4 or a larger distortion"):
        mec_terms(made(z), made(-z), distortion=0.5, order=None)
    assert np.isfinite(float(mec_terms(made(z), made(-z), distortion=0.5).total()))
    found = mec_terms(z, z, distortion=1.0, order=np.int64(2))  # pyright: ignore[reportArgumentType]
    assert found.settings["order"] == 2.0
