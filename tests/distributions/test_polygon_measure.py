"""Polygons under N(0, I): rectangles by Φ, sectors and half-planes by symmetry, any polygon by Monte Carlo."""

import numpy as np
import pytest
from scipy.special import ndtr

from itssl.arrays import SampleError, stream
from itssl.distributions.polygon_measure import standard_polygon_probability

EPS = float(np.finfo(float).eps)
FAR = 12.0


def rectangle(a, b, c, d):
    return np.array([[a, c], [b, c], [b, d], [a, d]], dtype=float)


@pytest.mark.parametrize("seed", range(20))
def test_rectangles_are_products_of_normal_intervals(seed):
    x, y = np.sort(2 * stream(seed, "rectangle").standard_normal((2, 2)), axis=1)
    truth = (ndtr(x[1]) - ndtr(x[0])) * (ndtr(y[1]) - ndtr(y[0]))
    angle = stream(seed, "angle").uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = rectangle(*x, *y) @ turn.T
    for order in (corners, corners[::-1], np.roll(corners, 2, axis=0)):
        assert standard_polygon_probability(order) == pytest.approx(truth, abs=32 * EPS)


@pytest.mark.parametrize("edges", [3, 4, 5, 8])
def test_sectors_of_the_plane(edges):
    """A far triangle with its tip at the origin has the share of its angle; its far side misses e^{−h²/2} at most."""
    angle = 2 * np.pi / edges
    ends = 2 * FAR * np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    corners = np.vstack([np.zeros(2), ends])
    beyond = np.exp(-0.5 * (2 * FAR * np.cos(angle / 2)) ** 2)
    assert standard_polygon_probability(corners) == pytest.approx(1 / edges, abs=beyond + 32 * EPS)


def test_a_polygon_and_its_parts_add_up():
    rng = stream(0, "parts")
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    corners = 1.5 * np.c_[np.cos(angles), np.sin(angles)] + [0.4, -0.3]
    fan = np.stack([np.stack([corners[0], corners[i], corners[i + 1]]) for i in range(1, 8)])
    whole = standard_polygon_probability(corners)
    assert standard_polygon_probability(fan).sum() == pytest.approx(whole, abs=100 * EPS)
    draws = rng.standard_normal((200_000, 2))
    edge = np.roll(corners, -1, axis=0) - corners
    off = draws[:, None] - corners
    inside = (edge[:, 0] * off[..., 1] - edge[:, 1] * off[..., 0] > 0).all(axis=1)
    error = np.sqrt(whole * (1 - whole) / len(draws))
    assert abs(inside.mean() - whole) < 4.5 * error  # two in a million
    assert 0.2 < whole < 0.8


def test_corners_twice_or_on_a_side_change_nothing():
    corners = rectangle(-1, 1, -0.5, 2)
    twice = np.vstack([corners[:1], corners])
    on_a_side = np.vstack([corners[:1], [[0.0, -0.5]], corners[1:]])
    whole = standard_polygon_probability(corners)
    assert standard_polygon_probability(twice) == pytest.approx(whole, abs=32 * EPS)
    assert standard_polygon_probability(on_a_side) == pytest.approx(whole, abs=32 * EPS)
    assert standard_polygon_probability(np.zeros((3, 2))) == 0.0


def test_two_corners_are_no_polygon_nor_are_infinite_ones():
    with pytest.raises(SampleError, match="vertices: expected finite corners"):
        standard_polygon_probability(np.array([[0.0, 0.0], [np.inf, 0.0], [0.0, 1.0]]))
    with pytest.raises(SampleError, match="vertices: expected at least 3 corners of a polygon, got 2"):
        standard_polygon_probability(np.zeros((2, 2)))
