"""C14: what an encoder and a view leave unknown of the prototype, where it is known by hand."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.claims import information_ceiling as ceiling

ROUNDING = 64 * 1e4 * np.finfo(float).eps
"""Rows lie up to 1e4 deviations of the noise (1e-3 or 1e-4) from 0; log-densities lose that many of their digits."""


@pytest.mark.parametrize(
    ("world", "unknown"), [(ceiling.FOLDED, np.log(2)), (ceiling.ALL_DIRECTIONS, 0.0)], ids=["|x|", "x"]
)
def test_what_is_merged_is_unknown_given_z_and_not_given_x(world, unknown):
    """|x| merges 200 prototypes in pairs: one bit of T is lost by Z, none by X', for the noise is narrow."""
    information, given_z, given_x, log_n = ceiling._entropies(world.make(), stream(0, "ceiling"))
    assert log_n == pytest.approx(np.log(200))
    assert given_z == pytest.approx(unknown, abs=ROUNDING)
    assert given_x == pytest.approx(0, abs=ROUNDING)
    assert information == pytest.approx(log_n - unknown, abs=ROUNDING)
