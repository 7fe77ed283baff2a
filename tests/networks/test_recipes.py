"""Recipes: one seed names one network, and the recipe's schedule is what train is given."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from itssl.choices import UnknownNameError
from itssl.networks.encoders import embed
from itssl.networks.recipes import recipe, recipes
from itssl.objectives import minimize, vicreg_terms

VICREG = minimize(vicreg_terms, normalization="reference")


@pytest.mark.parametrize("name", list(recipes()))
def test_the_network_fits_its_pictures(name):
    made = recipe(name)
    pixels = int(np.prod(made.views.image))
    network = made.network(0)
    x = np.linspace(0, 1, 3 * pixels).reshape(3, pixels)
    representation = embed(network.get_submodule("encoder"), x)
    assert representation.shape == (3, made.representation)
    assert (representation >= 0).all()  # rectified
    assert embed(network, x).shape == (3, made.d)
    assert made.predictor(0)(torch.zeros(4, made.d)).shape == (4, made.d)


def test_the_seed_names_the_network():
    made = recipe("digits")
    first, again, other = (made.network(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["encoder.0.weight"], other["encoder.0.weight"])
    assert not torch.equal(first["encoder.0.weight"][:64, :64], first["projector.0.weight"][:64, :64])


def test_a_short_run_follows_the_schedule():
    made = replace(recipe("digits"), epochs=2)
    run = made.train(VICREG, 0)
    assert len(run.metrics["loss"]) == 2 * (1297 // 256)
    assert run.metrics["learning_rate"][0] == made.learning_rate
    assert {"invariance", "variance", "covariance"} <= set(run.metrics)


def test_unknown_recipes_are_refused():
    with pytest.raises(UnknownNameError, match="'digits', 'mnist5k'"):
        recipe("imagenet")
