"""Moments of views: canonical directions, information and angles, against other routes to the same numbers."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.tasks import linear_gaussian_views, random_mixing
from itssl.objectives.view_moments import ViewMoments

EPS = np.finfo(float).eps
RHO = np.array([0.9, 0.5, 0.1])
MIXING = random_mixing(3, 0)
MOMENTS = ViewMoments(MIXING @ MIXING.T, (MIXING * RHO) @ MIXING.T)


def test_information_equals_the_tasks():
    truth = linear_gaussian_views(RHO, mixing=MIXING).mutual_information.value
    matrix = stream(0, "A").normal(size=(3, 3))
    assert MOMENTS.information(matrix) == pytest.approx(truth, abs=1e5 * EPS)
    assert MOMENTS.information(np.vstack([matrix, matrix])) == pytest.approx(truth, abs=1e6 * EPS)
    assert MOMENTS.best_information(3) == pytest.approx(truth, abs=1e4 * EPS)
    assert MOMENTS.best_information(1) == pytest.approx(-0.5 * np.log(1 - 0.9**2), abs=1e4 * EPS)


def test_no_direction_has_more_information():
    found = [MOMENTS.information(stream(seed, "A").normal(size=(2, 3))) for seed in range(200)]
    assert max(found) <= MOMENTS.best_information(2)


def test_a_negative_correlation_informs_as_a_positive_one():
    views = ViewMoments(np.eye(2), np.diag([0.3, -0.8]))
    assert views.best_information(1) == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=8 * EPS)


def test_collapsed_spectrum_counts_only_what_is_left():
    matrix = stream(0, "A").normal(size=(3, 3))
    matrix[2] *= 1e-5
    assert MOMENTS.information(matrix) > MOMENTS.information(matrix, smallest_variance=1e-6)


def test_canonical_directions_diagonalize_both_moments():
    rho, directions = MOMENTS.canonical()
    z = MOMENTS.embedded(directions)
    np.testing.assert_allclose(rho, RHO, atol=1e4 * EPS)
    np.testing.assert_allclose(z.within, np.eye(3), atol=1e4 * EPS)
    np.testing.assert_allclose(z.across, np.diag(RHO), atol=1e4 * EPS)


def test_angle_is_scipys_in_whitened_coordinates():
    matrix = stream(0, "A").normal(size=(2, 3))
    root = np.linalg.cholesky(MOMENTS.within)
    leading = MOMENTS.canonical()[1][:2]
    expected = subspace_angles((matrix @ root).T, (leading @ root).T).max()
    assert MOMENTS.largest_angle(matrix, 2) == pytest.approx(expected, abs=1e4 * EPS)
    # A change of units of X changes neither the variates nor the angles between them.
    units = np.diag([1.0, 100.0, 0.01])
    changed = ViewMoments(units @ MOMENTS.within @ units, units @ MOMENTS.across @ units)
    assert changed.largest_angle(matrix @ np.linalg.inv(units), 2) == pytest.approx(expected, abs=1e8 * EPS)


def test_angle_of_fewer_and_of_collapsed_directions():
    leading = MOMENTS.canonical()[1]
    assert MOMENTS.largest_angle(leading[1:2], 2) == pytest.approx(0, abs=1e-7)
    assert MOMENTS.largest_angle(leading[1:2], 1) == pytest.approx(np.pi / 2, abs=1e-7)
    almost = np.array([[1.0, 0, 0], [0, 0, 1e-5]]) @ leading
    assert MOMENTS.largest_angle(almost, 2) == pytest.approx(np.pi / 2, abs=1e-7)
    assert MOMENTS.largest_angle(almost, 2, smallest_variance=1e-6) == pytest.approx(0, abs=1e-7)
    tilted = leading[:1] + 1e-6 * leading[2:]  # below √eps an arc cosine sees nothing
    assert MOMENTS.largest_angle(tilted, 2) == pytest.approx(1e-6, rel=1e-6)


def test_more_directions_than_k_are_refused():
    with pytest.raises(ParameterError, match="k: expected at least the 3 directions"):
        MOMENTS.largest_angle(np.eye(3), 2)
    with pytest.raises(ParameterError, match="k"):
        MOMENTS.best_information(0)
