"""C03: the total variation between an output law and its mixture, where quadrature gives it."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from itssl.arrays import stream
from itssl.claims import output_certificate
from itssl.claims.worlds import around

DRAWS = 2**14


@pytest.mark.parametrize("slope", [0.2, 5.0])
def test_total_variation_of_one_leaky_unit(slope):
    """Z = X above 0 and slope · X below, X ~ N(m, 1), m > 0: its mixture is N(m, 1), equal above 0, and it is not."""
    m = 0.5
    lost = quad(lambda z: max(0.0, norm.pdf(z / slope, m) / slope - norm.pdf(z, m)), -40 * max(slope, 1), 0, limit=400)
    expected = lost[0]  # the positive part of p − q
    noisy = around(torch.nn.LeakyReLU(slope), np.array([[m]]), np.eye(1))
    x = noisy.law.sample(DRAWS, stream(0, "total variation"))
    found = output_certificate._total_variation(noisy, x, stream(0, "unused"), injective=True)
    assert found == pytest.approx(expected, abs=4 * 0.5 / DRAWS**0.5)  # a mean of numbers between 0 and 1
    assert 0.05 < expected < norm.cdf(-m)
