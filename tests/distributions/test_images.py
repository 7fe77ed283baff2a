"""Images of laws: entropy and density by other routes, invariances, and what has no image law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_quadrature import drawn_law
from scipy import stats

from itssl import check_equality
from itssl.arrays import stream
from itssl.distributions.elliptical import uniform_ball
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.images import Image, expectation_on_line, expected_log_volume
from itssl.distributions.law import monte_carlo_entropy
from itssl.distributions.manifolds import pushforward_law
from itssl.distributions.maps import (
    additive_coupling,
    affine,
    elementwise,
    elementwise_names,
    leaky_relu_layer,
    spiral_map,
    swiss_roll_map,
)
from itssl.distributions.products import Product, uniform_box
from itssl.distributions.scalar_families import normal, scalar_families
from itssl.estimate import Bias
from itssl.testing.strategies import gaussians

EPS = np.finfo(float).eps
FAMILIES = scalar_families()
PLANE = Gaussian(np.array([0.3, -0.5]), np.array([[1.0, 0.4], [0.4, 0.8]]))
LAYER = leaky_relu_layer(np.array([[1.0, 0.5], [-0.3, 0.8]]), np.array([0.2, -0.1]), slope=0.3)


@pytest.mark.parametrize(
    ("origin", "name", "target"),
    [
        (normal(), "normal_cdf", FAMILIES["uniform"]()),
        (FAMILIES["logistic"](), "logistic", FAMILIES["uniform"]()),
        (normal(width=0.7, location=0.4), "exp", FAMILIES["log_normal"](log_std=0.7, width=np.exp(0.4))),
        (FAMILIES["log_gamma"](shape=2.5), "exp", FAMILIES["gamma"](shape=2.5)),
        (FAMILIES["weibull"](shape=2.5), "cube", FAMILIES["weibull"](shape=2.5 / 3)),
        (FAMILIES["weibull"](shape=1.5), "half_cube", FAMILIES["exponential"]()),
        (FAMILIES["power_function"](shape=2.0), "cube_root", FAMILIES["power_function"](shape=6.0)),
        (FAMILIES["cauchy"](), "asinh", FAMILIES["hyperbolic_secant"]()),  # sinh of a secant variable is Cauchy
        (FAMILIES["hyperbolic_secant"](), "sinh", FAMILIES["cauchy"]()),
        (FAMILIES["logistic"](width=0.5), "tanh", FAMILIES["uniform"](location=-1.0, width=2.0)),
    ],
    ids=str,
)
def test_families_are_images_of_each_other(origin, name, target):
    image = Image(origin, elementwise(name))
    assert image.entropy.value == pytest.approx(target.entropy.value, abs=image.entropy.standard_error + 1e3 * EPS)
    assert image.entropy.standard_error < 1e-7
    x = target.sample(100, stream(0, "partners"))
    x = x[np.abs(image.map.inverse(x))[:, 0] < 4]  # further out, float64 merges neighbors of the image
    np.testing.assert_allclose(image.log_density(x), target.log_density(x), rtol=0, atol=1e7 * EPS)


def test_every_elementwise_map_is_tried():
    tried = {"normal_cdf", "logistic", "exp", "cube", "half_cube", "cube_root", "asinh", "sinh", "tanh"}
    assert tried == set(elementwise_names())


@pytest.mark.parametrize(
    "image",
    [
        Image(PLANE, LAYER),
        Image(PLANE, LAYER.then(LAYER)),
        Image(PLANE, elementwise("half_cube")),
        Image(PLANE, spiral_map(2, 0.5)),
        Image(uniform_ball(2), additive_coupling(2, np.sin)),
        Image(Product((normal(), FAMILIES["gamma"](shape=2.0))), elementwise("asinh")),
    ],
    ids=str,
)
def test_entropy_equals_minus_mean_log_density(image):
    sampled = monte_carlo_entropy(image, stream(0, "images"), n=2**15)
    error = np.hypot(sampled.standard_error, image.entropy.standard_error)
    assert abs(sampled.value - image.entropy.value) < 5 * error + 64 * EPS
    assert image.entropy.bias in (Bias.EXACT, Bias.UNBIASED)


def test_leaky_relu_entropy_counts_the_negative_side():
    turned = Image(Gaussian.standard(3), leaky_relu_layer(2 * np.eye(3), slope=0.1))
    truth = Gaussian.standard(3).entropy.value + 3 * np.log(2) + 1.5 * np.log(0.1)  # half of the units are negative
    assert abs(turned.entropy.value - truth) < 5 * turned.entropy.standard_error
    line = Image(Gaussian.standard(1), leaky_relu_layer(np.eye(1), slope=0.1)).entropy
    assert line.value == pytest.approx(Gaussian.standard(1).entropy.value + 0.5 * np.log(0.1), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(law=gaussians(), seed=st.integers(0, 2**32))
def test_affine_images_are_gaussian(law, seed):
    matrix = stream(seed, "map").normal(size=(law.dim, law.dim)) + 3 * np.eye(law.dim)
    image, twin = Image(law, affine(matrix, np.ones(law.dim))), law.affine_image(matrix, np.ones(law.dim))
    condition = np.linalg.cond(law.cov) * np.linalg.cond(matrix) ** 2
    assert image.entropy.bias is Bias.EXACT
    assert image.entropy.value == pytest.approx(twin.entropy.value, abs=64 * EPS * condition)
    x = twin.sample(5, stream(seed, "x"))
    size = 1 + np.abs(x).max() + np.abs(law.mean).max()
    np.testing.assert_allclose(image.log_density(x), twin.log_density(x), rtol=0, atol=256 * EPS * condition * size**2)


def test_volume_keeping_maps_keep_exact_entropies():
    for image in (spiral_map(2, 2.0), additive_coupling(2, np.cos), spiral_map(2).then(additive_coupling(2, np.cos))):
        estimate = Image(PLANE, image).entropy
        assert estimate.value == PLANE.entropy.value
        assert estimate.bias is Bias.EXACT


def test_a_missing_volume_change_would_be_seen():
    forgetful = Image(PLANE, affine(2 * np.eye(2)))
    x = forgetful.sample(500, stream(0, "forget"))
    wrong = check_equality(lambda rng: -forgetful.log_density(x), PLANE.entropy.value, margin=0.05)
    assert str(wrong.outcome).upper().endswith("VIOLATED")


def test_density_is_zero_where_nothing_arrives():
    image = Image(uniform_box([0.0], [1.0]), elementwise("exp"))
    np.testing.assert_array_equal(image.log_density(np.array([[-1.0], [0.5], [3.0]])), -np.inf)
    assert image.log_density(np.array([[2.0]]))[0] == pytest.approx(-np.log(2))


def test_separable_maps_add_over_marginals():
    estimate = expected_log_volume(PLANE, elementwise("sinh"))
    lines = [expectation_on_line(PLANE.marginal([i]), elementwise("sinh").log_volume_change) for i in range(2)]
    assert estimate.value == pytest.approx(sum(line.value for line in lines), abs=64 * EPS)
    mixed = expected_log_volume(PLANE, LAYER.then(elementwise("sinh")))
    assert mixed.n == 2**17


def test_edges_nobody_tells_of_are_left_to_sampling():
    """A ball on the line has edges that quadrature is not told of: it must notice the missing mass."""
    estimate = expected_log_volume(uniform_ball(1), elementwise("cube"))
    assert estimate.method == "Monte Carlo"
    assert abs(estimate.value - (np.log(3) - 2)) < 5 * estimate.standard_error  # E log 3x² = log 3 − 2


def test_expectations_on_the_line_equal_scipys():
    law = drawn_law("gamma", 5)
    twin = stats.gamma(a=dict(law.parameters)["shape"])
    ours = expectation_on_line(law, lambda x: x[:, 0] ** 2)
    assert ours.value == pytest.approx(twin.moment(2), abs=ours.standard_error + 1e3 * EPS * twin.moment(2))
    with pytest.raises(LawError, match="did not settle"):
        expectation_on_line(FAMILIES["cauchy"](), lambda x: np.abs(x[:, 0]))
    with pytest.raises(LawError, match="law on the line"):
        expectation_on_line(PLANE, lambda x: x[:, 0])


def test_refusals():
    with pytest.raises(LawError, match=r"map: expected a map of R\^2"):
        Image(PLANE, spiral_map(3))
    with pytest.raises(LawError, match="use pushforward_law"):
        Image(uniform_box([0.0], [1.0]), swiss_roll_map())
    assert isinstance(pushforward_law(PLANE, LAYER), Image)
    assert pushforward_law(uniform_box([0.0], [1.0]), swiss_roll_map()).dim == 2
