"""The exact entropy of a network's output: volume change and lost branches, the ground truth for estimators."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.claims.references import COVER_THOMAS_2006
from itssl.claims.worlds import random_mixture
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.extrapolated_neighbors import ExtrapolatedKozachenkoLeonenko
from itssl.estimators.hausdorff import HausdorffEntropy

DRAWS = 1024


@dataclass(frozen=True, kw_only=True)
class PushedForward:
    """Z = f(X), and log p(z): ``inverse`` computes it without regions, else it is summed over all regions of f.

    ``high`` dimension: the entropy is sampled anew in each replicate, and nearest neighbors are not asked.
    """

    law: Gaussian | GaussianMixture
    network: Any
    inverse: Callable[[Samples], Float[np.ndarray, " n"]] | None = None
    high: bool = False

    @cached_property
    def _entropy(self) -> float:
        from itssl.networks.pushforward import entropy

        return entropy(self.law, self.network, n=2**16).value

    def entropy(self, rng: np.random.Generator) -> float:
        """The entropy that itssl knows: by regions with an error far below the margin, or from draws of its own."""
        from itssl.networks.pushforward import entropy

        if not self.high:
            return self._entropy
        return entropy(self.law, self.network, n=8 * DRAWS, seed=int(rng.integers(2**31))).value

    @cached_property
    def log_density(self) -> Callable[[Samples], Float[np.ndarray, " n"]]:
        from itssl.networks.pushforward import output_law

        return self.inverse if self.inverse is not None else output_law(self.law, self.network).log_density


def _mlp(*widths: int, slope: float = 0.0) -> PushedForward:
    from itssl.networks.encoders import mlp

    return PushedForward(law=Gaussian.standard(widths[0]), network=mlp(widths, seed=0, slope=slope))


def _invertible(law: Gaussian | GaussianMixture, *widths: int, slope: float, high: bool = False) -> PushedForward:
    """A square leaky-ReLU network, inverted layer by layer."""
    from torch import nn

    from itssl.networks.encoders import mlp

    network = mlp(widths, seed=0, slope=slope)

    def log_density(z: Samples) -> Float[np.ndarray, " n"]:
        gain = np.zeros(len(z))
        for layer in reversed(list(network)):
            if isinstance(layer, nn.Linear):
                weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
                z = np.linalg.solve(weight, (z - bias).T).T
                gain -= np.linalg.slogdet(weight)[1]
            else:
                gain -= np.log(slope) * (z < 0).sum(axis=1)
                z = np.where(z < 0, z / slope, z)
        return law.log_density(z) + gain

    return PushedForward(law=law, network=network, inverse=log_density, high=high)


def _fold() -> PushedForward:
    """z = |x| in R² (a leaky ReLU of slope −1), X ~ N(0, I): all four quadrants are mapped to one."""
    from torch import nn

    law = Gaussian.standard(2)
    return PushedForward(
        law=law, network=nn.Sequential(nn.LeakyReLU(-1.0)), inverse=lambda z: law.log_density(z) + np.log(4.0)
    )


INVERTIBLE = World(
    name="leaky-ReLU MLP 2-2-2, N(0, I)", make=lambda: _invertible(Gaussian.standard(2), 2, 2, 2, slope=0.1)
)
FOLD = World(name="|x| in R², N(0, I)", make=_fold)
RELU = World(name="ReLU MLP 2-16-2, N(0, I)", make=lambda: _mlp(2, 16, 2))
RAISED = World(name="leaky-ReLU MLP 2-4-6, N(0, I)", make=lambda: _mlp(2, 4, 6, slope=0.2))


@claim(
    "C07",
    relation=Relation.EQUAL,
    margin=0.05,
    reference=COVER_THOMAS_2006,
    formula=r"h(f(X)) = h(X) + \mathbb{E} \log \lvert \det A_\omega(X) \rvert - H(B \mid Z)",
    uses=("C01",),
    worlds=(
        INVERTIBLE,
        World(
            name="leaky-ReLU MLP 2-2-2-2, three Gaussians",
            make=lambda: _invertible(random_mixture(3, 2, 0, std=0.5, spread=2.0), 2, 2, 2, 2, slope=0.1),
            level="default",
        ),
        World(
            name="leaky-ReLU MLP 16-16-16, N(0, I)",
            make=lambda: _invertible(Gaussian.standard(16), 16, 16, 16, slope=0.5, high=True),
            level="default",
        ),
        FOLD,
        RELU,
        World(name="ReLU MLP 2-8-1, N(0, I)", make=lambda: _mlp(2, 8, 1)),
        RAISED,
        World(name="leaky-ReLU MLP 1-2-3, N(0, 1)", make=lambda: _mlp(1, 2, 3, slope=0.2)),
    ),
)
def entropy_of_output_is_known(world: PushedForward, rng: np.random.Generator) -> Sides:
    r"""h(f(X)) = h(X) + E log|det A_ω(X)| − H(branch | Z) for a piecewise-affine f of equal dimensions.

    The branch says in which of the regions that meet z the input was: none is lost by an injective f, two bits by |x|
    in R². For K > D the entropy is relative to D-dimensional volume, with ½ log det AᵀA for log|det A|; for K < D
    the density is an integral over the lines that are mapped to z. Left: what :mod:`itssl.networks.pushforward` says.
    Right: −mean log p(f(X)) over draws, p from the inverse layer by layer where there is one, else by regions. In the
    second part nearest neighbors, who know neither, are compared with it on the same draws.
    """
    return _against_draws(world, rng, world.entropy(rng))


@entropy_of_output_is_known.control("branch term forgotten in |x|", world=FOLD)
def _(world: PushedForward, rng: np.random.Generator) -> Sides:
    return _against_draws(world, rng, world.law.entropy.value + _mean_volume(world, rng))


@entropy_of_output_is_known.control("branch term forgotten in a ReLU network", world=RELU)
def _(world: PushedForward, rng: np.random.Generator) -> Sides:
    return _against_draws(world, rng, world.law.entropy.value + _mean_volume(world, rng))


@entropy_of_output_is_known.control("volume change subtracted", world=INVERTIBLE)
def _(world: PushedForward, rng: np.random.Generator) -> Sides:
    return _against_draws(world, rng, world.law.entropy.value - _mean_volume(world, rng))


@entropy_of_output_is_known.control("log det AᵀA without ½", world=RAISED)
def _(world: PushedForward, rng: np.random.Generator) -> Sides:
    return _against_draws(world, rng, world.law.entropy.value + 2 * _mean_volume(world, rng))


def _mean_volume(world: PushedForward, rng: np.random.Generator) -> float:
    from itssl.networks.pushforward import log_volume_change

    return float(log_volume_change(world.network, world.law.sample(DRAWS, rng)).mean())


def _against_draws(world: PushedForward, rng: np.random.Generator, entropy: float) -> Sides:
    from itssl.networks.encoders import embed

    z = embed(world.network, world.law.sample(8 * DRAWS if world.high else DRAWS, rng))
    sampled = -float(world.log_density(z).mean())
    if world.high:
        return Sides(left=entropy, right=sampled, parts=("h = −E log p",))
    d, k = world.law.dim, z.shape[1]
    estimator = HausdorffEntropy(dimension=d) if k > d else ExtrapolatedKozachenkoLeonenko()
    found = estimator.entropy(z).value
    return Sides(
        left=(entropy, found),
        right=(sampled, sampled),
        parts=("h = −E log p", "nearest neighbors = −E log p"),
        measured={"h": entropy, "nearest neighbors": found},
    )
