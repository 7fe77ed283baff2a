"""Changed values of pixels against a naive twin, their laws, and what is left as it is."""

import math

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.networks.encoders import torch_generator
from itssl.networks.photometric import Noise, Photometric, blurred

OFF = {"brightness": 0.0, "contrast": 0.0, "gamma": (1.0, 1.0), "blur": 0.0}
EPS = float(np.finfo(float).eps)


def pictures(n, image, seed=0):
    return torch.tensor(stream(seed, "pictures").uniform(size=(n, math.prod(image))))


def naive_blur(picture, std):
    """Each pixel the mean over its channel with weights exp(−r²/2s²)."""
    new = np.zeros_like(picture)
    _, height, width = picture.shape
    v, u = np.mgrid[:height, :width]
    for i in range(height):
        for j in range(width):
            weight = np.exp(-((v - i) ** 2 + (u - j) ** 2) / (2 * std**2))
            new[:, i, j] = (picture * weight).sum(axis=(1, 2)) / weight.sum()
    return new


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 5, 7)])
def test_photometric_is_its_naive_twin(image):
    law, x = Photometric(brightness=0.8, contrast=0.9, gamma=(0.4, 2.0), blur=2.0, image=image), pictures(6, image)
    twin, cut = [], 0
    for row, (b, c, g, s) in zip(x.numpy(), law.changes(6, torch_generator(0, "light")).numpy(), strict=True):
        light = np.clip(b * row, 0, 1)
        cut += (b * row > 1).sum()
        light = np.clip(light.mean() + c * (light - light.mean()), 0, 1) ** g
        twin.append(naive_blur(light.reshape(image), s).ravel())
    assert cut
    # v^γ with γ ≥ 0.4 stretches rounding near 0; no value here is below 1e-4, so by less than 0.4 · 1e-4^−0.6 = 100.
    np.testing.assert_allclose(law.draw(x, torch_generator(0, "light")), twin, rtol=0, atol=1000 * EPS)


def test_changes_follow_the_law_of_the_docstring():
    law = Photometric(brightness=0.3, contrast=0.6, gamma=(0.5, 3.0), blur=1.5)
    b, c, g, s = law.changes(4000, torch_generator(0, "light")).numpy().T
    unit = {
        "brightness": (b - 0.7) / 0.6, "contrast": (c - 0.4) / 1.2, "gamma": np.log(g / 0.5) / np.log(6.0),
        "blur": s / 1.5,
    }  # fmt: skip
    for name, values in unit.items():
        # Kolmogorov–Smirnov distance of 4000 uniform draws: P(D > 2.5/√n) = 2 exp(−2·2.5²) = 7e-6.
        assert np.abs(np.sort(values) - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000), name
    assert np.abs(np.corrcoef(list(unit.values())) - np.eye(4)).max() < 5 / math.sqrt(4000)


def test_switched_off_laws_are_the_picture():
    x = pictures(5, (1, 8, 8))
    torch.testing.assert_close(Photometric(**OFF).draw(x, torch_generator(0)), x, rtol=0, atol=2 * EPS)
    assert torch.equal(Noise(0.0).draw(x, torch_generator(0)), x)
    torch.testing.assert_close(blurred(x, torch.zeros(5).double(), (1, 8, 8)), x, rtol=0, atol=0)


def test_what_each_change_leaves_alone():
    image, x = (1, 8, 8), 0.3 + 0.4 * pictures(20, (1, 8, 8))  # far from 0 and 1: nothing is cut
    generator = torch_generator(0)
    contrast = Photometric(**{**OFF, "contrast": 0.5}).draw(x, generator)
    torch.testing.assert_close(contrast.mean(1), x.mean(1), rtol=0, atol=10 * EPS)
    brightness = Photometric(**{**OFF, "brightness": 0.4}).draw(x, generator) / x
    torch.testing.assert_close(brightness, brightness[:, :1].expand_as(x), rtol=10 * EPS, atol=0)
    constant = torch.full((4, 64), 0.37, dtype=torch.float64)
    torch.testing.assert_close(blurred(constant, torch.rand(4).double(), image), constant, rtol=10 * EPS, atol=0)
    assert (blurred(x, torch.full((20,), 2.0).double(), image).var(1) < x.var(1)).all()
    gamma = Photometric(**{**OFF, "gamma": (2.0, 3.0)}).draw(x, generator)
    assert torch.equal(gamma.argsort(1), x.argsort(1))
    assert (gamma < x).all()


def test_values_stay_in_the_unit_interval():
    law = Photometric(brightness=1.0, contrast=1.0, gamma=(0.1, 10.0), blur=1.0, image=(3, 4, 4))
    view = law.draw(pictures(500, (3, 4, 4)).round(), torch_generator(0))
    assert view.min() >= 0
    assert view.max() <= 1 + 10 * EPS


def test_noise_is_normal_with_its_standard_deviation():
    n, d = 4000, 3
    a, b = Noise(0.3)(torch.full((n, d), 5.0, dtype=torch.float64), torch_generator(0))
    both = torch.cat([a - 5, b - 5], dim=1) / 0.3
    assert both.mean(0).abs().max() < 5 / math.sqrt(n)
    assert (both.T.cov() - torch.eye(2 * d)).abs().max() < 5 * math.sqrt(2 / n)
    assert ((both**4).mean(0) - 3).abs().max() < 5 * math.sqrt(96 / n)  # var of x⁴ is 105 − 9


@pytest.mark.parametrize("values", [(-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5)])
def test_values_outside_the_unit_interval_are_refused(values):
    with pytest.raises(ParameterError, match=r"x: expected values in \[0, 1\], got .* put Noise after Photometric"):
        Photometric(image=(1, 1, 2)).draw(torch.tensor([values]), torch_generator(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness": -0.1}, "brightness: expected a number from 0 to 1, got -0.1"),
        ({"contrast": 1.1}, "contrast: expected a number from 0 to 1, got 1.1"),
        ({"gamma": (0.0, 1.0)}, "gamma: expected 0 < lower <= upper"),
        ({"blur": math.inf}, "blur: expected a finite number >= 0"),
        ({"image": (0, 8, 8)}, "image: expected"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        Photometric(**options)


def test_negative_noise_is_refused():
    with pytest.raises(ParameterError, match="std: expected a finite number >= 0, got -1"):
        Noise(-1.0)
