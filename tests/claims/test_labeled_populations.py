"""Finite laws: partners, exact errors, and what is drawn from them."""

import numpy as np
import pytest

import itssl
from itssl.claims.labeled_populations import (
    Population,
    class_gaussians,
    collapsed,
    projected,
    through_random_network,
)


def rng(*path):
    return itssl.stream(0, "tests of populations", *path)


LAW = Population(z=np.arange(14.0).reshape(7, 2) - 5, y=np.array([4, 1, 4, 4, 1, 9, 4]))


def test_partners_are_independent_draws_of_the_class():
    """Each row of the class equally often, the row itself among them: counts within five standard errors."""
    rows = np.repeat(np.arange(7), 4000)
    partners = LAW.partners(rows, rng("partners"))
    assert (LAW.y[partners] == LAW.y[rows]).all()
    for row in range(7):
        mates = np.flatnonzero(LAW.y == LAW.y[row])
        counts = np.bincount(partners[rows == row], minlength=7)[mates] / 4000
        share = 1 / len(mates)
        np.testing.assert_allclose(counts, share, atol=5 * np.sqrt(share * (1 - share) / 4000) + 1e-12)


def test_error_is_the_mean_over_the_law_and_the_radius_its_largest_norm():
    found = LAW.bound(30, 20, rng("bound"))
    rows = LAW.draw(30, rng("bound"))
    hot = (LAW.y[:, None] == [1, 4, 9]).astype(float)
    w = np.linalg.pinv(LAW.z[rows]) @ hot[rows]
    assert found.error.value == pytest.approx(np.linalg.norm(LAW.z @ w - hot, axis=1).mean(), rel=1e-10)
    largest = max(float(np.hypot(*row)) for row in LAW.z)
    assert LAW.radius == pytest.approx(largest)
    assert found["τ_S̄"].value == pytest.approx(2 * largest)
    assert found.shape[3] == 3


def test_draws_have_the_frequencies_of_the_law():
    counts = np.bincount(LAW.draw(70_000, rng("draws")), minlength=7)
    np.testing.assert_allclose(counts / 70_000, 1 / 7, atol=5 * np.sqrt(6 / 49 / 70_000))


def test_populations_have_the_shapes_asked_for():
    source = class_gaussians(8, classes=3, rows=50)
    for draw, d in ((source, 8), (through_random_network(source, hidden=16, d=5), 5), (projected(source, 3), 3)):
        p = draw(rng("shapes"))
        assert p.z.shape == (50, d)
        assert set(p.classes) <= {0, 1, 2}
    point = collapsed(6)(rng())
    assert np.ptp(point.z) == 0
    assert list(point.y) == list(range(6))


def test_classes_have_centers_of_unit_length_and_noise_of_the_stated_size():
    """E‖center‖² = 1, and the distance within a class is √2 std: less 1/(4d) of it, with deviation std/√d.

    A row is in two of the pairs on average: the variance of their mean is at most twice that of independent ones.
    """
    p = class_gaussians(400, classes=2, std=0.5, rows=2000)(rng("sizes"))
    centers = np.array([p.z[p.y == k].mean(axis=0) for k in (0, 1)])
    expected = 1 + 0.5**2 * 400 / 1000  # the mean of 1000 rows adds its own variance
    np.testing.assert_allclose((centers**2).sum(axis=1), expected, atol=5 * expected * np.sqrt(2 / 400))
    rows = p.draw(2000, rng("rows"))
    distances = np.linalg.norm(p.z[rows] - p.z[p.partners(rows, rng("pairs"))], axis=1)
    error = 0.5 / np.sqrt(400) * np.sqrt(2 / 2000)
    assert distances.mean() == pytest.approx(0.5 * np.sqrt(2) * (1 - 1 / 1600), abs=5 * error)


def test_projections_are_the_same_directions_each_time():
    draw = projected(lambda _: LAW, 1)
    np.testing.assert_array_equal(draw(rng("a")).z, draw(rng("b")).z)
