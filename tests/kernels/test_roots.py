"""Roots of functions of one number: closed forms, a bisection twin, ends without a change of sign."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.kernels.roots import root_between

EPS = np.finfo(float).eps


def bisection(function, low, high):
    """Halve until no float lies between the ends."""
    rising = function(high) > 0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if (function(middle) > 0) == rising else (middle, high)
    return (low + high) / 2


@settings(deadline=None, max_examples=100)
@given(root=st.floats(-50, 50), left=st.floats(0.01, 100), right=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]))
def test_equals_bisection(root, left, right, sign):
    """Cubic with one real root, rising or falling; both errors are at most xtol + 4ε|root| (plus rounding of f)."""

    def function(v):
        return sign * ((v - root) + (v - root) ** 3)

    found = root_between(function, root - left, root + right)
    assert found == pytest.approx(bisection(function, root - left, root + right), rel=8 * EPS, abs=4e-12)
    assert found == pytest.approx(root, rel=8 * EPS, abs=4e-12)
    assert isinstance(found, float)


def test_closed_forms():
    assert root_between(lambda v: float(np.cos(v)), 0.0, 3.0) == pytest.approx(np.pi / 2, abs=4e-12)
    assert root_between(lambda v: float(np.exp(v)) - 10, 0.0, 100.0) == pytest.approx(np.log(10), abs=4e-12)
    assert root_between(lambda v: v, -1.0, 0.0) == 0  # an end may be the root
    assert root_between(lambda v: v - 1, 2, 0) == 1  # ends in either order, whole numbers too


@pytest.mark.parametrize("xtol", [1e-2, 1e-5, 1e-10])
def test_stops_within_the_tolerance(xtol):
    calls = []

    def function(v):
        calls.append(v)
        return v**3 - 2

    assert abs(root_between(function, 0.0, 2.0, xtol=xtol) - 2 ** (1 / 3)) <= xtol + 8 * EPS
    coarse = len(calls)
    root_between(function, 0.0, 2.0)
    assert coarse + (xtol > 1e-9) <= len(calls) - coarse  # and asks for no more digits than that


def test_jump_is_found():
    """No zero but a change of sign, as in the probabilities of simulated draws."""
    assert root_between(lambda v: 1.0 if v > 0.3 else -1.0, 0.0, 1.0) == pytest.approx(0.3, abs=4e-12)


def test_same_sign_at_both_ends_is_refused():
    with pytest.raises(ValueError, match="different signs"):
        root_between(lambda v: v**2 + 1, -1.0, 1.0)
