"""Laws on surfaces: Hausdorff entropies by quadrature, sampling and limits; draws on the surface; refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_quadrature import interval_rule
from scipy import stats
from scipy.integrate import quad

from itssl.arrays import stream
from itssl.distributions.divergences import kl_divergence
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.images import expected_log_volume
from itssl.distributions.law import monte_carlo
from itssl.distributions.manifolds import (
    Embedded,
    UniformSphere,
    flat_torus,
    linear_image,
    swiss_roll_surface,
    torus,
)
from itssl.distributions.maps import affine, elementwise, spiral_map, swiss_roll_map
from itssl.distributions.products import uniform_box
from itssl.distributions.scalar_families import scalar_families
from itssl.distributions.von_mises_fisher import VonMisesFisher

EPS = np.finfo(float).eps
TALL = np.array([[1.0, 0.2], [0.5, -1.0], [2.0, 0.0], [0.0, 0.7]])
NORTH = np.array([0.0, 0.6, 0.8])
CATALOGUE = [
    UniformSphere(np.array([1.0, 0.0, 2.0]), radius=2.0),
    VonMisesFisher(NORTH, 5.0),
    VonMisesFisher(np.array([1.0, 1.0]), 0.7),
    linear_image(Gaussian(np.ones(2), np.array([[1.0, 0.3], [0.3, 0.5]])), TALL),
    flat_torus([0.5, 2.0, 1.0]),
    torus(2.0, 0.7),
    swiss_roll_surface(),
    swiss_roll_surface(height=5.0),
    Embedded(scalar_families()["beta"](a=2.0, b=3.0), swiss_roll_map()),
    Embedded(Gaussian.standard(2), spiral_map(2, 0.3).then(affine(TALL))),
    Embedded(Gaussian.standard(1), elementwise("asinh").then(affine(np.ones((2, 1))))),
]


@pytest.mark.parametrize("law", CATALOGUE, ids=str)
def test_hausdorff_entropy_is_minus_the_mean_log_density(law):
    """Five standard errors over 11 laws: false alarm below 1e-5."""
    sampled = monte_carlo(lambda n, rng: -law.hausdorff_log_density(law.sample(n, rng)), stream(0, "h"), n=2**14)
    error = np.hypot(sampled.standard_error, law.hausdorff_entropy.standard_error)
    assert abs(sampled.value - law.hausdorff_entropy.value) < 5 * error + 1e4 * EPS
    assert law.entropy.value == -np.inf
    assert law.manifold_dim < law.dim
    assert law.sample(7, stream(0, "shape")).shape == (7, law.dim)
    assert len(repr(law)) < 90


@pytest.mark.parametrize("law", [torus(2.0, 0.7), swiss_roll_surface(), swiss_roll_surface(height=5.0)], ids=str)
def test_closed_volumes_equal_their_integrals(law):
    value, error = quad(lambda u: float(law.map.log_volume_change(np.full((1, law.law.dim), u))[0]), 0, 1, epsabs=1e-13)
    height = 0.0 if law.dim == 2 or "torus" in repr(law) else np.log(5.0)
    assert law.hausdorff_entropy.value == pytest.approx(value + height, abs=error + 64 * EPS)


@pytest.mark.parametrize(("d", "area"), [(2, 2 * np.pi * 3), (3, 4 * np.pi * 9), (4, 2 * np.pi**2 * 27)])
def test_areas_of_spheres(d, area):
    law = UniformSphere(np.ones(d), radius=3.0)
    assert np.exp(law.hausdorff_entropy.value) == pytest.approx(area, rel=64 * EPS)
    assert law.manifold_dim == d - 1


def test_quadrature_of_an_embedding_equals_the_closed_form():
    estimate = expected_log_volume(uniform_box([0.0], [1.0]), swiss_roll_map())
    assert swiss_roll_surface().hausdorff_entropy.value == pytest.approx(estimate.value, abs=1e-11)


def test_area_by_counting_neighbors():
    """The density with respect to area, checked without the map: mass of a small ball over the area it cuts."""
    law, eps, n = torus(2.0, 1.0), 0.2, 200_000
    x = law.sample(n, stream(0, "ball"))
    for center in (np.array([[3.0, 0.0, 0.0]]), np.array([[0.0, -1.0, 0.0]])):
        share = (np.linalg.norm(x - center, axis=1) < eps).mean()
        expected = np.exp(law.hausdorff_log_density(center)[0]) * np.pi * eps**2
        # five standard errors, and curvature: the ball cuts an area π eps²(1 + O(eps²)) of this surface
        assert abs(share - expected) < 5 * np.sqrt(expected / n) + 0.5 * eps**2 * expected


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), k=st.integers(3, 6))
def test_linear_image_equals_the_gaussian_inside_its_subspace(seed, k):
    matrix = stream(seed, "tall").normal(size=(k, 2))
    gaussian = Gaussian(np.zeros(2), np.array([[1.0, 0.3], [0.3, 0.5]]))
    axes = np.linalg.qr(matrix)[0]  # orthonormal coordinates of the subspace keep lengths
    inside = gaussian.affine_image(axes.T @ matrix, np.zeros(2))
    value = linear_image(gaussian, matrix).hausdorff_entropy.value
    assert value == pytest.approx(inside.entropy.value, abs=256 * EPS * np.linalg.cond(matrix) ** 2)


@settings(deadline=None, max_examples=60)
@given(log_kappa=st.floats(-8, 14))
def test_von_mises_fisher_in_three_dimensions(log_kappa):
    kappa = np.exp(log_kappa)
    log_sinh = kappa + np.log(-np.expm1(-2 * kappa)) - np.log(2)
    normalizer = np.log(4 * np.pi) + log_sinh - np.log(kappa)
    law = VonMisesFisher(NORTH, kappa)
    assert law.log_normalizer == pytest.approx(normalizer - kappa, abs=64 * EPS * (20 + kappa))
    entropy = normalizer - kappa / np.tanh(kappa) + 1 if kappa > 1e-2 else np.log(4 * np.pi) - kappa**2 / 6
    remainder = 0 if kappa > 1e-2 else kappa**4
    assert law.hausdorff_entropy.value == pytest.approx(entropy, abs=64 * EPS * (40 + kappa) + remainder)


@pytest.mark.parametrize("kappa", [0.01, 1.0, 50.0, 99.9, 100.1, 1e4])
def test_von_mises_fisher_on_the_circle_is_von_mises(kappa):
    value = VonMisesFisher(np.array([1.0, 0.0]), kappa).hausdorff_entropy.value
    twin = scalar_families()["von_mises"](concentration=kappa).entropy.value
    assert value == pytest.approx(twin, abs=64 * EPS * (20 + kappa))


@pytest.mark.parametrize("d", [2, 3, 4, 5, 16, 17, 128, 1024])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 30.0, 3e3, 1e6])
def test_von_mises_fisher_equals_quadrature_over_the_cosine(d, kappa):
    """∫ e^{κ(t−1)} (1−t²)^{(d−3)/2} dt with t = cos θ: the area of a shell of directions times the density."""
    law = VonMisesFisher(np.eye(d)[0], kappa)
    peak = np.arctan2(np.sqrt(d - 2), np.sqrt(kappa)) if kappa > d else np.pi / 2  # about where the mass is
    reach = 40 / np.sqrt(kappa) if kappa > d else np.pi / 2
    θ, weights = interval_rule(max(0.0, peak - reach), min(np.pi, peak + reach), 0.002)
    used = (θ > 0) & (θ < np.pi) & (weights > 0)
    θ, weights = θ[used], weights[used]
    log_f = -2 * kappa * np.sin(θ / 2) ** 2 + (d - 2) * np.log(np.sin(θ)) + np.log(weights)
    mass = np.exp(log_f - log_f.max())
    loss = float(mass @ (2 * kappa * np.sin(θ / 2) ** 2) / mass.sum())
    across = np.log(2) if d == 2 else UniformSphere(np.zeros(d - 1)).hausdorff_entropy.value
    rounding = 64 * EPS * (20 + kappa + 10 * d)  # sums of logarithms of this size
    assert law.log_normalizer == pytest.approx(across + log_f.max() + np.log(mass.sum()), abs=rounding)
    assert law.hausdorff_entropy.value == pytest.approx(law.log_normalizer + loss, abs=2 * rounding)


@pytest.mark.parametrize(("d", "kappa"), [(2, 0.5), (3, 5.0), (3, 1e6), (10, 20.0), (64, 3.0), (5, 0.0)])
def test_von_mises_fisher_draws(d, kappa):
    """Kolmogorov–Smirnov of the cosine and of a direction across; 12 tests at 1e-4: false alarm 0.1 %."""
    mean = stream(0, "mean", d).normal(size=d)
    law = VonMisesFisher(mean, kappa)
    x = law.sample(3000, stream(1, "draws", d))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=64 * EPS)
    half_turn = np.linalg.norm(x - law.mean_direction, axis=1) / 2  # sin(θ/2), exact for small angles
    reach = np.pi if kappa < 1e3 else min(np.pi, 40 * np.sqrt(d / kappa))
    θ = np.linspace(0, reach, 100_001)
    with np.errstate(divide="ignore"):
        log_f = -2 * kappa * np.sin(θ / 2) ** 2 + ((d - 2) * np.log(np.sin(θ).clip(0)) if d > 2 else 0)
    f = np.exp(log_f - log_f.max())
    cdf = np.concatenate([[0], np.cumsum((f[1:] + f[:-1]) / 2)])
    measured = stats.kstest(2 * np.arcsin(half_turn.clip(0, 1)), lambda a: np.interp(a, θ, cdf / cdf[-1]))
    assert measured.pvalue > 1e-4
    normal = stream(2, "across", d).normal(size=d)
    normal -= (normal @ law.mean_direction) * law.mean_direction
    assert stats.binomtest(int((x @ normal > 0).sum()), len(x)).pvalue > 1e-4


def test_von_mises_fisher_divergence():
    p, q = VonMisesFisher(NORTH, 5.0), VonMisesFisher(np.array([1.0, 0.0, 0.0]), 2.0)
    value = kl_divergence(p, q).value

    def log_ratio(n, rng):
        x = p.sample(n, rng)
        return p.hausdorff_log_density(x) - q.hausdorff_log_density(x)

    sampled = monte_carlo(log_ratio, stream(0, "vmf"), n=2**15)
    assert abs(sampled.value - value) < 5 * sampled.standard_error
    uniform = VonMisesFisher(NORTH, 0.0)
    assert kl_divergence(p, uniform).value == pytest.approx(
        uniform.hausdorff_entropy.value - p.hausdorff_entropy.value, abs=64 * EPS
    )
    sampled = monte_carlo(lambda n, r: -p.hausdorff_log_density(uniform.sample(n, r)), stream(1, "vmf"), n=2**15)
    value = kl_divergence(uniform, p).value + uniform.hausdorff_entropy.value
    assert abs(sampled.value - value) < 5 * sampled.standard_error


@pytest.mark.parametrize("d", [2, 3, 6])
def test_sphere_draws(d):
    """A coordinate of the unit sphere is 2B − 1 with B beta ((d−1)/2, (d−1)/2); Kolmogorov–Smirnov at 1e-4."""
    direction = stream(0, "direction", d).normal(size=d)
    x = UniformSphere(np.ones(d), radius=3.0).sample(5000, stream(1, "sphere", d))
    cosine = (x - 1) @ direction / (3 * np.linalg.norm(direction))
    assert stats.kstest((1 + cosine) / 2, stats.beta((d - 1) / 2, (d - 1) / 2).cdf).pvalue > 1e-4


def test_draws_lie_on_their_surface():
    x = flat_torus([0.5, 2.0]).sample(100, stream(0, "flat"))
    np.testing.assert_allclose(np.hypot(x[:, ::2], x[:, 1::2]), np.broadcast_to([0.5, 2.0], (100, 2)), rtol=8 * EPS)
    x = torus(2.0, 0.7).sample(100, stream(0, "torus"))
    np.testing.assert_allclose(np.hypot(np.hypot(x[:, 0], x[:, 1]) - 2.0, x[:, 2]), 0.7, rtol=64 * EPS)
    x = UniformSphere(np.ones(4), radius=3.0).sample(100, stream(0, "sphere"))
    np.testing.assert_allclose(np.linalg.norm(x - 1, axis=1), 3.0, rtol=64 * EPS)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: VonMisesFisher(np.zeros(3), 1.0), "mean_direction: expected a nonzero vector"),
        (lambda: VonMisesFisher(NORTH, -1.0), "concentration"),
        (lambda: VonMisesFisher(np.ones(1), 1.0), "d >= 2"),
        (lambda: UniformSphere(np.zeros(3), radius=0.0), "center, radius"),
        (lambda: flat_torus([]), "radii"),
        (lambda: torus(1.0, 1.0), "major, minor"),
        (lambda: swiss_roll_surface(height=-1.0), "height"),
        (lambda: Embedded(Gaussian.standard(2), affine(np.eye(2))), "map: expected one that adds dimensions"),
        (lambda: Embedded(Gaussian.standard(3), affine(TALL)), r"map: expected a map of R\^3"),
        (lambda: kl_divergence(VonMisesFisher(NORTH, 1.0), VonMisesFisher(np.ones(2), 1.0)), "other: expected"),
    ],
)
def test_refusals(make, part):
    with pytest.raises(LawError, match=part):
        make()
