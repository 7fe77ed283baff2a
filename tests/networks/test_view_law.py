"""What every view law must do: two independent draws, its generator's randomness alone, float32 as float64."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.networks import AffineViews, Composed, Crop, Flip, LinearGaussianViews, Noise, Photometric, SignalViews
from itssl.networks.encoders import torch_generator
from itssl.networks.view_law import ViewLaw, pair

IMAGE = (2, 4, 6)
LAWS = [
    AffineViews(noise=0.1, image=IMAGE),
    Crop(image=IMAGE),
    Flip(vertical=0.5, image=IMAGE),
    Photometric(blur=2.0, image=IMAGE),
    Noise(0.2),
    SignalViews(),
    LinearGaussianViews(tuple(np.linspace(0, 0.9, 48))),
    Composed((Crop(image=IMAGE), Flip(image=IMAGE), Photometric(image=IMAGE), Noise(0.1))),
]
every_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)


def pictures(n, seed=0):
    return torch.tensor(stream(seed, "pictures").uniform(size=(n, math.prod(IMAGE))))


@every_law
def test_a_call_is_two_draws_in_a_row(law):
    x, generator = pictures(50), torch_generator(0, "views")
    a, b = law(x, torch_generator(0, "views"))
    assert a.shape == b.shape == x.shape
    assert a.dtype == b.dtype == x.dtype
    assert torch.equal(a, law.draw(x, generator))
    assert torch.equal(b, law.draw(x, generator))
    assert not torch.equal(a, b)
    assert isinstance(law, ViewLaw)
    assert all(map(torch.equal, pair(law, x, torch_generator(0, "views")), (a, b)))


@every_law
def test_all_randomness_is_the_generators_and_x_stays(law):
    x = pictures(20)
    original, before = x.clone(), torch.get_rng_state()
    first = law(x, torch_generator(0, "views"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    again, other = law(x, torch_generator(0, "views")), law(x, torch_generator(1, "views"))
    torch.set_rng_state(before)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(x, original)


@every_law
def test_float32_and_float64_get_the_same_views(law):
    x = pictures(50)
    a, b = law.draw(x, torch_generator(0, "views")), law.draw(x.float(), torch_generator(0, "views"))
    assert b.dtype == torch.float32
    # As for a warp: coordinates up to 16 carry about 20 roundings, a value changes by at most 2 per pixel.
    torch.testing.assert_close(b.double(), a, rtol=0, atol=2 * 16 * 20 * torch.finfo(torch.float32).eps)


@every_law
def test_rows_are_treated_alike_and_apart(law):
    """Views of equal rows differ, and those of the first rows do not depend on what x holds below them."""
    x = pictures(1).expand(30, -1)
    view = law.draw(x, torch_generator(0, "views"))
    assert len(torch.unique(view, dim=0)) > 1
    mixed = torch.cat([x[:15], pictures(15, seed=1)])
    # Batched products may round differently with their batch.
    close = {"rtol": 0, "atol": 100 * torch.finfo(torch.float64).eps}
    torch.testing.assert_close(law.draw(mixed, torch_generator(0, "views"))[:15], view[:15], **close)


@every_law
def test_views_given_x_are_independent(law):
    """The mean over pixels of both views of one picture, many times: no correlation given x."""
    n = 4000
    a, b = law(pictures(1).expand(n, -1), torch_generator(0, "independent"))
    weights = torch.tensor(stream(0, "weights").normal(size=a.shape[1]))
    assert abs(torch.corrcoef(torch.stack([a @ weights, b @ weights]))[0, 1]) < 5 / math.sqrt(n)


@every_law
def test_laws_are_configuration(law):
    with pytest.raises(AttributeError):
        law.image = (1, 1, 1)
    x = pictures(3)
    expected = law.draw(x, torch_generator(0))
    for other in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        assert torch.equal(other.draw(x, torch_generator(0)), expected)


@pytest.mark.parametrize("law", [law for law in LAWS if hasattr(law, "image")], ids=lambda law: type(law).__name__)
def test_rows_of_another_length_are_refused(law):
    with pytest.raises(
        ParameterError, match=r"x: expected rows of 48 pixels for image=\(2, 4, 6\), got shape \(3, 47\)"
    ):
        law.draw(torch.zeros(3, 47), torch_generator(0))


def test_composed_laws_are_drawn_one_after_the_other():
    first, second, x = Crop(image=IMAGE), Noise(0.1), pictures(10)
    generator = torch_generator(0, "views")
    by_hand = second.draw(first.draw(x, generator), generator)
    assert torch.equal(Composed((first, second)).draw(x, torch_generator(0, "views")), by_hand)
    nested = Composed((Composed((first,)), second))
    assert torch.equal(nested.draw(x, torch_generator(0, "views")), by_hand)


def test_composing_what_is_no_law_is_refused():
    with pytest.raises(ParameterError, match="laws: expected a tuple of laws with draw"):
        Composed(())
    with pytest.raises((ParameterError, TypeCheckError), match="laws"):
        Composed((Noise(0.1), abs))  # pyright: ignore[reportArgumentType]
