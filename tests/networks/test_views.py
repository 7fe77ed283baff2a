"""Moved pictures against naive twins and exact moves, the laws of the moves, and who owns the randomness."""

import math

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.networks.encoders import torch_generator
from itssl.networks.views import AffineViews, Crop, Flip, warp


def pictures(n: int, image: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    return torch.tensor(stream(seed, "pictures").uniform(size=(n, math.prod(image))))


def naive_warp(row: np.ndarray, transformation: np.ndarray, image: tuple[int, int, int]) -> np.ndarray:
    """The value at q is the bilinear value at L⁻¹(q − t), pixel by pixel, coordinates from the center."""
    _, height, width = image
    old, new = row.reshape(image), np.zeros(image)
    center, size = np.array([(width - 1) / 2, (height - 1) / 2]), np.array([width, height])
    for i in range(height):
        for j in range(width):
            q = np.array([j, i]) - center - transformation[:, 2] * size
            u, v = np.linalg.solve(transformation[:, :2], q) + center
            for b in (math.floor(v), math.floor(v) + 1):
                for a in (math.floor(u), math.floor(u) + 1):
                    if 0 <= a < width and 0 <= b < height:
                        new[:, i, j] += (1 - abs(u - a)) * (1 - abs(v - b)) * old[:, b, a]
    return new.reshape(-1)


@pytest.mark.parametrize("image", [(1, 8, 8), (2, 5, 9)])
def test_warp_is_its_naive_twin(image):
    x = pictures(6, image)
    moves = AffineViews(rotation_degrees=80.0, shear=0.5, image=image).transformations(6, torch_generator(0, "moves"))
    twin = [naive_warp(row, move, image) for row, move in zip(x.numpy(), moves.numpy(), strict=True)]
    # Coordinates up to 16 carry about 20 roundings; a bilinear value changes by at most 2 per pixel.
    np.testing.assert_allclose(warp(x, moves, image).numpy(), twin, rtol=0, atol=2 * 16 * 20 * np.finfo(float).eps)


@pytest.mark.parametrize(
    ("linear", "shift", "expected"),
    [
        ([[0.0, -1.0], [1.0, 0.0]], [0.0, 0.0], lambda p: torch.rot90(p, -1, (2, 3))),
        ([[1.0, 0.0], [0.0, 1.0]], [0.25, 0.0], lambda p: torch.nn.functional.pad(p, (2, 0))[..., :8]),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.25], lambda p: torch.nn.functional.pad(p, (0, 0, 2, 0))[:, :, :8]),
        ([[-1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], lambda p: p.flip(3)),
    ],
    ids=["clockwise quarter turn", "right by a quarter", "down by a quarter", "mirror"],
)
def test_exact_moves(linear, shift, expected):
    x = pictures(2, (1, 8, 8))
    move = torch.tensor([[[*row, t] for row, t in zip(linear, shift, strict=True)]] * 2, dtype=torch.float64)
    moved = warp(x, move, (1, 8, 8)).unflatten(1, (1, 8, 8))
    torch.testing.assert_close(moved, expected(x.unflatten(1, (1, 8, 8))), rtol=0, atol=1000 * torch.finfo().eps ** 2)


def test_transformations_follow_the_law_of_the_docstring():
    views = AffineViews(rotation_degrees=30.0, scale=(0.5, 2.0), shift=0.25, shear=0.4)
    moves = views.transformations(4000, torch_generator(0, "moves")).numpy()
    linear, shift = moves[:, :, :2], moves[:, :, 2]
    s = np.hypot(linear[:, 0, 0], linear[:, 1, 0])  # the first column is s R e₁
    angle = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    np.testing.assert_allclose(np.linalg.det(linear), s**2, rtol=100 * np.finfo(float).eps)
    k = np.einsum("ni,ni->n", linear[:, :, 0], linear[:, :, 1]) / s**2
    ranges = {"scale": (s, 0.5, 2.0), "angle": (angle, -30, 30), "shear": (k, -0.4, 0.4)}
    ranges |= {f"shift {axis}": (shift[:, axis], -0.25, 0.25) for axis in (0, 1)}
    for name, (values, low, high) in ranges.items():
        unit = np.sort((values - low) / (high - low))
        # Kolmogorov–Smirnov distance of 4000 uniform draws: P(D > 2.5/√n) = 2 exp(−2·2.5²) = 7e-6.
        assert np.abs(unit - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000), name
    correlation = np.corrcoef([values for values, _, _ in ranges.values()])
    assert np.abs(correlation - np.eye(5)).max() < 5 / math.sqrt(4000)


def test_views_are_two_independent_draws():
    x = torch.zeros(5000, 1, dtype=torch.float64)
    views = AffineViews(noise=0.3, image=(1, 1, 1))
    a, b = views(x, torch_generator(0, "views"))
    n = len(x)
    assert abs(torch.corrcoef(torch.cat([a, b], dim=1).T)[0, 1]) < 5 / math.sqrt(n)
    for view in (a, b):
        assert abs(view.var() / 0.09 - 1) < 5 * math.sqrt(2 / n)
    generator = torch_generator(0, "views")
    assert torch.equal(a, views.draw(x, generator))
    assert torch.equal(b, views.draw(x, generator))


def test_all_randomness_is_the_generators():
    views, x = AffineViews(noise=0.1), pictures(4, (1, 8, 8))
    original, before = x.clone(), torch.get_rng_state()
    first = views(x, torch_generator(0, "views"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    again, other = views(x, torch_generator(0, "views")), views(x, torch_generator(1, "views"))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(x, original)


def test_float32_and_float64_pictures_get_the_same_views():
    x = pictures(50, (1, 8, 8))
    a = AffineViews(noise=0.1).draw(x, torch_generator(0, "views"))
    b = AffineViews(noise=0.1).draw(x.float(), torch_generator(0, "views"))
    assert b.dtype == torch.float32
    torch.testing.assert_close(b.double(), a, rtol=0, atol=2 * 16 * 20 * torch.finfo(torch.float32).eps)


def test_switched_off_views_are_the_picture():
    x = pictures(3, (1, 8, 8))
    views = AffineViews(rotation_degrees=0.0, scale=(1.0, 1.0), shift=0.0, shear=0.0)
    torch.testing.assert_close(views.draw(x, torch_generator(0)), x, rtol=0, atol=640 * np.finfo(float).eps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": -0.1}, "shift: expected a finite number >= 0, got -0.1"),
        ({"noise": math.nan}, "noise: expected"),
        ({"scale": (1.2, 0.8)}, r"scale: expected 0 < lower <= upper, got \(1.2, 0.8\)"),
        ({"image": (1, 0, 8)}, "image: expected"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        AffineViews(**options)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ParameterError, match=r"expected rows of 64 pixels for image=\(1, 8, 8\), got shape \(2, 49\)"):
        AffineViews().draw(torch.zeros(2, 49), torch_generator(0))


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 5, 9)])
def test_crop_is_its_naive_twin(image):
    """Pixel by pixel: bilinear at the place in the rectangle, places beyond the border moved onto it."""
    _, height, width = image
    law, x = Crop(image=image), pictures(5, image)
    twin = np.zeros((5, *image))
    for n, (w, h, left, top) in enumerate(law.rectangles(5, torch_generator(0, "crop")).numpy()):
        for i in range(height):
            for j in range(width):
                v = np.clip((top + h * (i + 0.5) / height) * height - 0.5, 0, height - 1)
                u = np.clip((left + w * (j + 0.5) / width) * width - 0.5, 0, width - 1)
                for b in range(height):
                    for a in range(width):
                        weight = max(0.0, 1 - abs(u - a)) * max(0.0, 1 - abs(v - b))
                        twin[n, :, i, j] += weight * x[n].numpy().reshape(image)[:, b, a]
    view = law.draw(x, torch_generator(0, "crop")).numpy()
    np.testing.assert_allclose(view, twin.reshape(5, -1), rtol=0, atol=2 * 16 * 20 * np.finfo(float).eps)


def test_rectangles_follow_the_law_of_the_docstring():
    law = Crop(area=(0.2, 0.7), aspect=(0.8, 1.25))  # no side reaches 1, as 0.7 · 1.25 < 1
    width, height, left, top = law.rectangles(4000, torch_generator(0, "crop")).numpy().T
    unit = {
        "area": (width * height - 0.2) / 0.5,
        "aspect": np.log(width / height / 0.8) / np.log(1.25 / 0.8),
        "left": left / (1 - width),
        "top": top / (1 - height),
    }
    for name, values in unit.items():
        # Kolmogorov–Smirnov distance of 4000 uniform draws: P(D > 2.5/√n) = 2 exp(−2·2.5²) = 7e-6.
        assert np.abs(np.sort(values) - (np.arange(4000) + 0.5) / 4000).max() < 2.5 / math.sqrt(4000), name
    assert np.abs(np.corrcoef(list(unit.values())) - np.eye(4)).max() < 5 / math.sqrt(4000)


def test_rectangles_stay_inside():
    rectangles = Crop(area=(0.05, 1.0), aspect=(0.2, 5.0)).rectangles(4000, torch_generator(0, "crop"))
    width, height, left, top = rectangles.T
    assert (rectangles >= 0).all()
    assert max((left + width).max(), (top + height).max()) <= 1 + torch.finfo(torch.float64).eps
    assert ((width == 1) | (height == 1)).any()


def test_crops_at_the_border_are_not_dimmed():
    view = Crop(area=(0.1, 0.5)).draw(torch.ones(300, 64, dtype=torch.float64), torch_generator(0, "crop"))
    torch.testing.assert_close(view, torch.ones_like(view), rtol=0, atol=10 * np.finfo(float).eps)


def test_flip_turns_with_its_probabilities_and_every_channel_alike():
    n, image = 4000, (2, 3, 4)
    x = pictures(1, image).expand(n, -1)
    whole = x[0].unflatten(0, image)
    moves = {"none": whole, "across": whole.flip(2), "down": whole.flip(1), "both": whole.flip(1, 2)}
    view = Flip(horizontal=0.3, vertical=0.6, image=image).draw(x, torch_generator(0, "flip"))
    seen = {name: (view == move.flatten()).all(dim=1).double().mean().item() for name, move in moves.items()}
    expected = {"none": 0.7 * 0.4, "across": 0.3 * 0.4, "down": 0.7 * 0.6, "both": 0.3 * 0.6}
    assert sum(seen.values()) == pytest.approx(1, abs=1e-12)
    for name, p in expected.items():
        assert abs(seen[name] - p) < 5 * math.sqrt(p * (1 - p) / n), name


def test_flip_twice_is_the_picture_and_switched_off_laws_are_too():
    x = pictures(6, (1, 8, 8))
    flip = Flip(horizontal=1.0, vertical=1.0)
    assert torch.equal(flip.draw(flip.draw(x, torch_generator(0)), torch_generator(1)), x)
    assert torch.equal(Flip(horizontal=0.0).draw(x, torch_generator(0)), x)
    whole = Crop(area=(1.0, 1.0), aspect=(1.0, 1.0)).draw(x, torch_generator(0))
    torch.testing.assert_close(whole, x, rtol=0, atol=640 * np.finfo(float).eps)


@pytest.mark.parametrize(
    ("law", "options", "message"),
    [
        (Crop, {"area": (0.5, 1.2)}, r"area: expected 0 < lower <= upper <= 1, got \(0.5, 1.2\)"),
        (Crop, {"area": (0.0, 1.0)}, "area: expected 0 < lower"),
        (Crop, {"aspect": (2.0, 1.0)}, "aspect: expected 0 < lower <= upper, got"),
        (Crop, {"aspect": (1.0, math.inf)}, "aspect: expected 0 < lower <= upper, got"),
        (Flip, {"horizontal": 1.5}, "horizontal: expected a probability, got 1.5"),
        (Flip, {"vertical": math.nan}, "vertical: expected a probability, got nan"),
        (Flip, {"image": (1, 8, 0)}, "image: expected"),
    ],
)
def test_bad_crops_and_flips_are_refused(law, options, message):
    with pytest.raises(ParameterError, match=message):
        law(**options)
