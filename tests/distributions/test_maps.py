"""Maps: inverses, volume changes against finite differences, invariances, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import SampleError, stream
from itssl.choices import UnknownNameError
from itssl.distributions.gaussian import LawError
from itssl.distributions.maps import (
    additive_coupling,
    affine,
    asinh,
    elementwise,
    elementwise_names,
    half_cube,
    leaky_relu_layer,
    normal_cdf,
    spiral,
    spiral_map,
    swiss_roll,
    swiss_roll_map,
)

EPS = np.finfo(float).eps
SQUARE = np.array([[2.0, 0.5, 0.0], [-0.3, 1.0, 0.2], [0.1, -0.4, 1.5]])
TALL = np.array([[1.0, 0.2, 0.0], [0.5, -1.0, 0.3], [2.0, 0.0, 1.0], [0.0, 0.7, -0.5]])
SKEW = np.array([[0.0, 1.0, -0.5], [-1.0, 0.0, 0.3], [0.5, -0.3, 0.0]])
MAPS = [
    *map(elementwise, elementwise_names()),
    affine(SQUARE, np.ones(3)),
    affine(TALL),
    spiral_map(3, 0.4),
    spiral_map(3, -0.7, (2, 0)),
    spiral_map(3, 0.3, generator=SKEW),
    additive_coupling(3, lambda u: np.hstack([np.sin(u), u**2])),
    leaky_relu_layer(SQUARE, np.array([0.1, -0.2, 0.3]), slope=0.2),
    leaky_relu_layer(SQUARE).then(leaky_relu_layer(SQUARE.T, slope=0.5)).then(elementwise("asinh")),
    swiss_roll_map(3),
    affine(SQUARE / 100, np.full(3, 0.5)).then(swiss_roll_map(3)),
]


def points(image, seed=0):
    """Ten points the map takes."""
    x = stream(seed, "points").normal(size=(10, 3))
    return normal_cdf(x) if image.name == "Swiss roll" else x


def numerical_log_volume(image, x):
    """½ log det JᵀJ with J by central differences: the definition."""
    step = EPS ** (1 / 3)
    columns = [(image(x + step * e) - image(x - step * e)) / (2 * step) for e in np.eye(x.shape[1])]
    jacobian = np.stack(columns, axis=2)
    return 0.5 * np.linalg.slogdet(jacobian.transpose(0, 2, 1) @ jacobian)[1]


@pytest.mark.parametrize("image", MAPS, ids=str)
def test_volume_change_is_that_of_the_jacobian(image):
    x = points(image)
    # second-order differences: error ~ eps^{2/3} times third derivatives, relative to slopes down to 1e-3 of them
    np.testing.assert_allclose(
        image.log_volume_change(x), numerical_log_volume(image, x), rtol=0, atol=3e3 * EPS**0.667
    )
    assert image.constant_volume <= (np.ptp(image.log_volume_change(x)) == 0)
    assert image(x).shape == (10, 3 + image.raises)


@pytest.mark.parametrize("image", MAPS, ids=str)
def test_inverse_brings_back(image):
    x = points(image)
    # rounding of y is magnified by the slope of the inverse, at most 1e4 at these points
    np.testing.assert_allclose(image.inverse(image(x)), x, rtol=0, atol=1e5 * EPS)


@pytest.mark.parametrize("name", elementwise_names())
def test_elementwise_maps_increase(name):
    image = elementwise(name)
    x = np.linspace(-3, 3, 101)[:, None]
    assert (np.diff(image(x)[:, 0]) > 0).all()
    assert image.separable


@pytest.mark.parametrize(("name", "y"), [("exp", -1.0), ("tanh", 1.5), ("logistic", 2.0), ("normal_cdf", -0.1)])
def test_no_preimage_is_nan(name, y):
    assert np.isnan(elementwise(name).inverse(np.array([[y]]))).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), speed=st.floats(-3, 3), d=st.integers(2, 6))
def test_spiral_turns_shells(seed, speed, d):
    x = stream(seed, "spiral").normal(size=(20, d))
    y = spiral(x, speed)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1), rtol=64 * EPS)
    np.testing.assert_allclose(y[:, 2:], x[:, 2:], rtol=0, atol=64 * EPS * np.abs(x).max())
    angle = speed * (x**2).sum(axis=1)  # the definition: a rotation of the first two axes
    turned = x[:, 0] * np.cos(angle) - x[:, 1] * np.sin(angle)
    np.testing.assert_allclose(y[:, 0], turned, rtol=0, atol=64 * EPS * (1 + np.abs(angle).max()) * np.abs(x).max())


def test_spiral_by_matrix_exponential():
    from scipy.linalg import expm

    x = stream(0, "expm").normal(size=(5, 3))
    naive = np.array([expm(0.3 * (row @ row) * SKEW) @ row for row in x])
    np.testing.assert_allclose(spiral(x, 0.3, generator=SKEW), naive, rtol=0, atol=1e3 * EPS)


def test_plain_functions_leave_their_input():
    x = np.array([[-4.0, 0.25], [0.1, 9.0]])
    x.flags.writeable = False
    np.testing.assert_array_equal(half_cube(x), np.sign(x) * np.abs(x) ** 1.5)
    np.testing.assert_array_equal(asinh(x), np.arcsinh(x))
    assert spiral(x).shape == (2, 2)
    assert swiss_roll(x[1:, :1]).shape == (1, 2)


def test_swiss_roll_is_injective_on_a_line():
    roll = swiss_roll(np.linspace(0, 1, 500)[:, None])
    distances = np.linalg.norm(roll[:, None] - roll[None], axis=2)
    assert (distances[~np.eye(500, dtype=bool)] > 0).all()
    length = np.linalg.norm(np.diff(roll, axis=0), axis=1).sum()
    u = (np.arange(500) + 0.5)[:, None] / 500
    assert length == pytest.approx(np.exp(swiss_roll_map().log_volume_change(u)).mean(), rel=1e-4)  # chords: O(1/n²)


@pytest.mark.parametrize(
    ("make", "error", "part"),
    [
        (lambda: spiral(np.ones((2, 1))), LawError, "plane: expected two different axes"),
        (lambda: spiral(np.ones((2, 3)), plane=(1, 1)), LawError, "plane"),
        (lambda: spiral(np.ones((2, 2)), generator=np.ones((2, 2))), LawError, "generator: expected a skew"),
        (lambda: swiss_roll(np.array([[1.5]])), SampleError, r"x: expected a first coordinate in \[0, 1\]"),
        (lambda: affine(np.ones((3, 2))), LawError, "matrix: expected 2 independent columns"),
        (lambda: affine(np.ones((1, 2))), LawError, "not injective"),
        (lambda: affine(SQUARE)(np.ones((2, 2))), LawError, "x: expected 3 coordinates"),
        (lambda: leaky_relu_layer(SQUARE, slope=0.0), LawError, "slope > 0"),
        (lambda: additive_coupling(1, np.sin), LawError, "kept: expected"),
        (lambda: swiss_roll_map().then(elementwise("exp")), LawError, "after: Swiss roll adds dimensions"),
        (lambda: elementwise("sqrt"), UnknownNameError, "name: expected one of"),
    ],
)
def test_refusals(make, error, part):
    with pytest.raises(error, match=part):
        make()
