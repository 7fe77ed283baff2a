"""Pictures that share bits: certain readout, exact density, information by counting bits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import LawError
from itssl.distributions.image_tasks import (
    BitPictures,
    binary_symmetric_images,
    binary_symmetric_images_with_information,
)
from itssl.testing.strategies import seeds

EPS = np.finfo(float).eps


@settings(deadline=None, max_examples=30)
@given(bits=st.integers(1, 6), tile=st.integers(1, 5), noise=st.floats(0.01, 0.49), seed=seeds())
def test_bits_are_read_without_error_from_any_pixel(bits, tile, noise, seed):
    pictures, rng = BitPictures(bits=bits, tile=tile, noise=noise), stream(seed, "bits")
    signs = 2 * rng.integers(0, 2, size=(50, bits)) - 1
    x = pictures.draw(signs, rng)
    np.testing.assert_array_equal(pictures.read(x), signs)
    by_pixel = np.sign(x.reshape(50, bits, -1) * pictures.stamps)
    assert (by_pixel == signs[:, :, None]).all()


def test_density_of_a_tile_is_the_integral_over_the_contrast():
    pictures = BitPictures(bits=1, tile=2, noise=0.3, contrast=(0.5, 0.9))
    for x in pictures.draw(np.array([[1], [1], [-1], [-1]]), stream(0, "tile")):
        upright = x * pictures.stamps[0] * pictures.read(x[None])[0, 0]

        def inside(c, upright=upright):
            return float((np.abs(upright - c) <= 0.3).all()) / 0.6**4 / 0.4

        breaks = np.sort(np.clip(np.concatenate([upright - 0.3, upright + 0.3]), 0.5, 0.9))
        slow = sum(quad(inside, a, b)[0] for a, b in pairwise(breaks) if b > a + 1e-9)
        assert np.exp(pictures.log_density_given_bits(x[None])[0]) == pytest.approx(slow, rel=1e-7)


def test_density_of_one_pixel_integrates_to_one():
    pictures = BitPictures(bits=1, tile=1)
    law = binary_symmetric_images(0.2, pictures=pictures).x
    x = (np.arange(80_000) + 0.5) / 20_000 - 2
    density = np.exp(law.log_density(x[:, None]))
    assert density.sum() / 20_000 == pytest.approx(1, abs=1e-6)
    draws = law.sample(5000, stream(0, "pixel"))[:, 0]
    assert kstest(draws, lambda v: np.interp(v, x, np.cumsum(density) / 20_000)).pvalue > 1e-6


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 1.0])
def test_information_is_that_of_the_bits(flip):
    """I = Σ_{s, s'} p(s, s') log p(s, s')/(p(s) p(s')) over the 2 × 2 table of one bit, times k."""
    table = np.array([[1 - flip, flip], [flip, 1 - flip]]) / 2
    one_bit = np.sum(np.where(table > 0, table * np.log(np.where(table > 0, table, 1) * 4), 0))
    task = binary_symmetric_images(flip, pictures=BitPictures(bits=3, tile=2))
    assert task.mutual_information.value == pytest.approx(3 * one_bit, abs=16 * EPS)
    sampled = task.mutual_information_by_monte_carlo(stream(0, "bsc"), n=4000)
    assert abs(sampled.value - 3 * one_bit) <= 5 * sampled.standard_error + 1e-9


def test_flips_happen_as_often_as_stated():
    pictures = BitPictures()
    x, y = binary_symmetric_images(0.1).sample(5000, stream(0, "flips"))
    share = (pictures.read(x) != pictures.read(y)).mean()
    assert abs(share - 0.1) < 5 * np.sqrt(0.09 / 20_000)


@pytest.mark.parametrize("nats", [0.0, 1e-9, 1.0, 4 * np.log(2) - 1e-9, 4 * np.log(2)])
def test_built_from_its_information(nats):
    truth = binary_symmetric_images_with_information(nats).mutual_information.value
    assert truth == pytest.approx(nats, abs=1e-13)


@pytest.mark.parametrize("nats", [1e-24, 1e-12, 1e-6, 0.3])
def test_faint_information_keeps_its_digits(nats):
    """Near flip = ½ the difference log 2 − H would be rounding alone."""
    truth = binary_symmetric_images_with_information(nats).mutual_information.value
    assert truth == pytest.approx(nats, rel=1e-15 / np.sqrt(nats), abs=0)  # flip itself has steps of 1e-16


def test_what_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="read with certainty"):
        BitPictures(noise=0.5)
    with pytest.raises(LawError, match="flip"):
        binary_symmetric_images(1.1)
    with pytest.raises(LawError, match="use more bits"):
        binary_symmetric_images_with_information(3.0)
