"""Quadrature on the line: closed forms, and errors that own up to what was not seen."""

import numpy as np
import pytest
from scipy.stats import norm

from itssl.networks.line_entropy import cuts_around, entropy_between

NORMAL = 0.5 * np.log(2 * np.pi * np.e)
NOTHING = np.zeros(0)


def spike(std: float):
    """Half of N(0, 1), half of N(3, std²)."""
    return lambda z: np.logaddexp(norm.logpdf(z[:, 0]), norm.logpdf(z[:, 0], 3, std)) - np.log(2)


def test_a_normal_density():
    cuts = cuts_around(np.array([-9.0, 9.0]), np.array([0.0]), np.array([1.0]), 0.0)
    found = entropy_between(cuts, lambda z: norm.logpdf(z[:, 0]), "normal")
    assert found.value == pytest.approx(NORMAL, abs=1e-13)
    assert found.diagnostics["mass"] == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("std", [1e-3, 1e-9])
def test_a_narrow_part_is_found_where_it_is_told_of(std):
    ends = np.array([-9.0, 12.0])
    told = cuts_around(ends, np.array([0.0, 3.0]), np.array([1.0, std]), 0.0)
    found = entropy_between(told, spike(std), "spike")
    apart = np.log(2) + NORMAL + 0.5 * np.log(std)  # minus what overlaps: std·φ(3)·log of a ratio of densities
    places = 16 * np.finfo(float).eps * 3 / std  # of nodes around 3, in deviations of the spike
    assert found.value == pytest.approx(apart, abs=10 * std * np.log(1 / std) + places)
    blind = entropy_between(cuts_around(ends, np.array([0.0]), np.array([1.0]), 0.0), spike(std), "spike")
    assert abs(blind.value - apart) < 2 * blind.standard_error, "what was missed shows in the mass"


def test_cuts_stay_within_the_ends_and_their_margin():
    cuts = cuts_around(np.array([0.0, 1.0]), np.array([0.5]), np.array([10.0]), 0.0)
    assert cuts.tolist() == [0.0, 0.5, 1.0]
    wide = cuts_around(np.array([0.0, 3.0]), NOTHING, NOTHING, 0.1)
    steps = np.array([-8, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 8]) * 0.1
    np.testing.assert_allclose(wide, np.sort(np.concatenate([[-0.9, 3.9], steps, 3 + steps])), atol=1e-15)
