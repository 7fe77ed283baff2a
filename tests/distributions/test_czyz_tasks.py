"""The forty tasks: maps are increasing or invertible, truths by other routes, draws undo to the latent laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import kstest, norm

from itssl.arrays import stream
from itssl.distributions.czyz_tasks import (
    czyz_tasks,
    dense_gaussian_task,
    normal_to_mixture,
    paired_gaussian_task,
    wiggly_x,
    wiggly_y,
)
from itssl.distributions.gaussian import LawError
from itssl.distributions.maps import spiral
from itssl.distributions.student import student_correction

EPS = np.finfo(float).eps
NAMES = tuple(czyz_tasks())


def test_there_are_forty_of_the_dimensions_in_their_names():
    assert len(set(NAMES)) == 40
    for name in NAMES:
        task = czyz_tasks()[name]()
        assert task.known_by == "closed form"
        if name.startswith("swissroll"):
            assert (task.d_x, task.d_y) == (2, 1)
        elif "1v1" in name:
            assert (task.d_x, task.d_y) == (1, 1)
        else:
            d_x, d_y = (int(part) for part in name.split("-")[name.split("-").index(_last_word(name)) + 1 :][:2])
            assert (task.d_x, task.d_y) == (d_x, d_y), name


def _last_word(name):
    return [part for part in name.split("-") if not part.replace(".", "").isdigit()][-1]


@pytest.mark.parametrize("d", [1, 2, 5, 25, 50])
def test_dense_normal_information_by_eigenvalues(d):
    """A block has eigenvalues (1−ρ) (d−1 times) and 1+(d−1)ρ; the whole, with 2d for d."""
    rho = 0.5

    def log_det(k):
        return (k - 1) * np.log(1 - rho) + np.log(1 + (k - 1) * rho)

    truth = dense_gaussian_task(d).mutual_information.value
    assert truth == pytest.approx(log_det(d) - log_det(2 * d) / 2, abs=1e4 * EPS)


@pytest.mark.parametrize("d", [2, 3, 25])
def test_two_pairs_carry_twice_the_information_of_one(d):
    assert paired_gaussian_task(d).mutual_information.value == pytest.approx(-np.log(1 - 0.8**2), abs=1e3 * EPS)
    x, y = paired_gaussian_task(d).sample(20_000, stream(0, "pairs", d))
    correlations = np.corrcoef(x.T, y.T)[:d, d:]
    expected = np.diag([0.8, 0.8] + [0.0] * (d - 2))
    assert (np.abs(correlations - expected) < 5 * (1 - expected**2) / np.sqrt(20_000)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("1v1")])
def test_parameters_in_the_names_of_one_dimensional_tasks(name):
    """Correlation ρ gives −½ log(1 − ρ²), noise on ±ε gives ε − log 2ε below ½ and 1/(4ε) above [Czyż et al. 2023]."""
    number = float(name.rsplit("-", 1)[1])
    if "additive" in name:
        truth = number - np.log(2 * number) if number < 0.5 else 1 / (4 * number)
    else:
        truth = -0.5 * np.log(1 - number**2)
    assert czyz_tasks()[name]().mutual_information.value == pytest.approx(truth, abs=64 * EPS)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("student")])
def test_degrees_of_freedom_in_the_names_of_student_tasks(name):
    d_x, d_y, df = (int(part) for part in name.split("-")[2:])
    assert czyz_tasks()[name]().mutual_information.value == student_correction(d_x, d_y, df)


def test_published_values_of_student_tasks():
    """For Cauchy pairs log 8π − 3; in two dimensions each at 2 degrees of freedom log 2 − ½ = 0.1931."""
    assert czyz_tasks()["student-identity-1-1-1"]().mutual_information.value == pytest.approx(np.log(8 * np.pi) - 3)
    assert czyz_tasks()["student-identity-2-2-2"]().mutual_information.value == pytest.approx(np.log(2) - 0.5)


def test_wiggles_are_increasing():
    x = np.linspace(-20, 20, 200_001)
    slopes = [np.diff(f(x)).min() / (x[1] - x[0]) for f in (wiggly_x, wiggly_y)]
    assert slopes[0] > 0.16
    assert slopes[1] > 0.53


MIXES = [(np.array([0.3, 0.7]), np.array([0.0, 5.0])), (np.array([0.5, 0.5]), np.array([-1.0, 3.0]))]


@settings(deadline=None, max_examples=50)
@given(x=st.floats(-30, 30), which=st.sampled_from(MIXES))
def test_mixture_quantile_inverts_the_distribution_function_on_both_tails(x, which):
    weights, means = which
    y = normal_to_mixture(np.array([x]), weights, means)[0]
    lower, upper = weights @ ndtr(y - means), weights @ ndtr(means - y)
    tail, goal = (lower, ndtr(x)) if x <= 0 else (upper, ndtr(-x))
    # at the rounding of y itself the mass moves by p'(y)·y·eps
    density = weights @ norm.pdf(y - means)
    assert tail == pytest.approx(goal, rel=64 * EPS, abs=4 * density * max(1, abs(y)) * EPS)


def test_mixture_quantile_of_one_component_is_a_shift():
    x = np.linspace(-35, 35, 71)
    np.testing.assert_allclose(normal_to_mixture(x, np.ones(1), np.array([2.0])), x + 2, atol=64 * EPS * 40)


def test_bimodal_marginals():
    x, y = czyz_tasks()["1v1-bimodal-0.75"]().sample(5000, stream(0, "bimodal"))
    for draws, (weights, means) in zip((x, y), MIXES, strict=True):
        cdf = lambda v, w=weights, m=means: ndtr(v[:, None] - m) @ w  # noqa: E731
        assert kstest(draws[:, 0], cdf).pvalue > 1e-6


@pytest.mark.parametrize("d", [3, 5])
def test_spirals_undo_to_the_latent_draws(d):
    task = czyz_tasks()[f"spiral-normal_cdf-multinormal-sparse-{d}-{d}-2-2.0"]()
    x, y = task.sample(200, stream(0, "spiral", d))
    latent_x, latent_y = task.sample_latent(200, stream(0, "spiral", d))
    np.testing.assert_allclose(ndtri(spiral(x, -1 / d, (0, 1))), latent_x, atol=1e-8)
    np.testing.assert_allclose(ndtri(spiral(y, -1 / d, (1, 2))), latent_y, atol=1e-8)
    np.testing.assert_allclose(y[:, 0], ndtr(latent_y[:, 0]), atol=1e-12)  # outside the plane


def test_roll_lies_on_its_spiral():
    name = "swissroll_x-normal_cdf-1v1-normal-0.75"
    (x, y), (latent, _) = (
        f(300, stream(0, "roll")) for f in (czyz_tasks()[name]().sample, czyz_tasks()[name]().sample_latent)
    )
    radius = 1.5 * np.pi * (1 + 2 * ndtr(latent[:, 0])) / 21
    np.testing.assert_allclose(np.hypot(x[:, 0], x[:, 1]), radius, rtol=1e-12)
    assert ((y > 0) & (y < 1)).all()


def test_one_coordinate_has_no_two_pairs():
    with pytest.raises(LawError, match="two pairs"):
        paired_gaussian_task(1)
