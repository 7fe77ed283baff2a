"""Where claims are checked: noisy inputs to networks, mixtures, and encoders trained on digits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture

if TYPE_CHECKING:
    import itssl.networks.datasets
    import itssl.networks.pushforward
    import itssl.networks.training

Objective: TypeAlias = Literal["VICReg", "SimCLR", "BYOL"]

EPOCHS = 60
LOWEST = 60.0  # e^−60 of the first scale at which noise leaves the region


@dataclass(frozen=True, kw_only=True)
class NoisyInput:
    """One Gaussian input law around a prototype, and the network it goes through (float64, evaluation mode)."""

    network: Any
    law: Gaussian

    def exit_probability(self) -> float:
        """Upper bound on the probability that the input leaves the activation region of the prototype."""
        from itssl.networks.regions import exit_probability

        return float(exit_probability(self.network, self.law.mean[None], self.law.cov).upper[0])


@dataclass(frozen=True, kw_only=True)
class NoisyPrototypes:
    """Gaussian noise around several prototypes, one mixture, and the network it goes through (as in NoisyInput)."""

    network: Any
    law: GaussianMixture

    def scaled(self, scale: float) -> "NoisyPrototypes":
        """The same with noise ``scale`` times as wide."""
        law = GaussianMixture(self.law.weights, self.law.means, scale**2 * self.law.covs)
        return NoisyPrototypes(network=self.network, law=law)

    @cached_property
    def image(self) -> "itssl.networks.pushforward.CertifiedMixture":
        """The mixture of the affine images, with its certificate."""
        from itssl.networks.pushforward import image

        return image(self.law, self.network)

    @cached_property
    def pattern(self) -> Int[np.ndarray, "N p"]:
        """The activation patterns of the prototypes."""
        from itssl.networks.regions import activation_pattern

        return activation_pattern(self.network, self.law.means)

    def exits(self, x: Samples, labels: Int[np.ndarray, " n"]) -> float:
        """The share of draws that leave the region of their prototype, by activation patterns."""
        from itssl.networks.regions import activation_pattern

        return float((activation_pattern(self.network, x) != self.pattern[labels]).any(axis=1).mean())


def around(network: Any, prototypes: Float[np.ndarray, "N D"], cov: Float[np.ndarray, "D D"]) -> NoisyPrototypes:
    """Equally probable prototypes with one covariance of the noise."""
    n, d = prototypes.shape
    law = GaussianMixture(np.full(n, 1 / n), prototypes, np.broadcast_to(cov, (n, d, d)))
    return NoisyPrototypes(network=network, law=law)


def inside_its_region(
    network: Any, prototype: Float[np.ndarray, " D"], shape: Float[np.ndarray, "D D"], *, exit_at_most: float
) -> NoisyInput:
    """Noise of covariance s·shape around the prototype, with the largest s whose exit bound is ``exit_at_most``.

    Raises NetworkError when the prototype lies on a face.
    """
    from scipy.optimize import root_scalar

    from itssl.networks.encoders import NetworkError

    def excess(log_scale: float) -> float:
        world = NoisyInput(network=network, law=Gaussian(prototype, np.exp(log_scale) * shape))
        return world.exit_probability() - exit_at_most

    high = 0.0
    while excess(high) < 0:
        high += 5.0
    if excess(high - LOWEST) > 0:
        raise NetworkError(f"prototype: expected a point inside its region, got one on a face (exit > {exit_at_most})")
    crossing = root_scalar(excess, bracket=(high - LOWEST, high), xtol=1e-3).root
    scale = 0.99 * float(np.exp(crossing))
    return NoisyInput(network=network, law=Gaussian(prototype, scale * shape))


def random_covariance(d: int, rng: np.random.Generator, *, condition: float = 10.0) -> Float[np.ndarray, "d d"]:
    """A covariance with eigenvalues from 1 to 1/condition in random directions."""
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    cov = (axes * np.geomspace(1, 1 / condition, d)) @ axes.T
    return (cov + cov.T) / 2


def random_mixture(
    components: int, d: int, seed: int, *, std: float, spread: float = 1.0, condition: float = 4.0
) -> GaussianMixture:
    """Equal weights, centers N(0, spread² I) and one covariance of scale std² for all components."""
    rng = stream(seed, "random mixture", components, d)
    cov = std**2 * random_covariance(d, rng, condition=condition)
    centers = spread * rng.standard_normal((components, d))
    return GaussianMixture(np.full(components, 1 / components), centers, np.broadcast_to(cov, (components, d, d)))


def maxout(widths: tuple[int, ...], *, seed: int) -> Any:
    """Linear layers of twice the units named, of which the larger of each two goes on; the last layer as named."""
    from torch import nn

    from itssl.networks.encoders import mlp

    layers: list[nn.Module] = [*mlp((widths[0], 2 * widths[1]), seed=seed)]
    for i in range(1, len(widths) - 1):
        units = 2 * widths[i + 1] if i + 2 < len(widths) else widths[i + 1]
        layers += [nn.Unflatten(1, (1, 1, 2 * widths[i])), nn.MaxPool2d((1, 2)), nn.Flatten()]
        layers += mlp((widths[i], units), seed=seed + i)
    return nn.Sequential(*layers)


@cache
def digits_data() -> "itssl.networks.datasets.Dataset":
    """The digits with their split (fixed seed)."""
    from itssl.networks.datasets import digits

    return digits()


def grainy_digits(n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 64"]:
    """n held-out digits (different ones) plus grain N(0, 0.1²).

    The empty background of a digit lies on faces of max-pools (pixels of a window tie); grain leaves them.
    """
    x = digits_data().test_x
    return x[rng.permutation(len(x))[:n]] + 0.1 * rng.standard_normal((n, 64))


@cache
def untrained_digits_encoder(seed: int = 0) -> Any:
    """The digits encoder and projector at initialization, float32."""
    import torch

    from itssl.networks.encoders import mlp, with_projector

    encoder = mlp((64, 256, 256, 128), seed=seed, dtype=torch.float32)
    return with_projector(encoder, mlp((128, 256, 256, 64), seed=seed + 1, dtype=torch.float32))


def train_on_digits(
    objective: Objective, seed: int, evaluate: Callable[[Any], dict[str, float]] | None = None
) -> "itssl.networks.training.TrainingRun":
    """One run on digits: 60 epochs, batch 256, AdamW 1e-3 with cosine decay.

    VICReg is 25/25/1 in the reference normalization; SimCLR is InfoNCE of cosine similarities at temperature 0.1; BYOL
    has a predictor with one hidden layer and a target with decay 0.99.
    """
    import torch

    from itssl.networks.encoders import mlp
    from itssl.networks.training import train
    from itssl.networks.views import AffineViews
    from itssl.objectives.contrastive import infonce_terms
    from itssl.objectives.target_network import BYOL
    from itssl.objectives.terms import minimize
    from itssl.objectives.vicreg import vicreg_terms

    losses = {
        "VICReg": minimize(vicreg_terms, normalization="reference"),
        "SimCLR": minimize(infonce_terms, temperature=0.1),
        "BYOL": BYOL(mlp((64, 256, 64), seed=seed + 2, dtype=torch.float32)),
    }
    return train(
        untrained_digits_encoder(seed),
        losses[objective],
        digits_data().train_x,
        AffineViews(),
        seed=seed,
        epochs=EPOCHS,
        batch_size=256,
        learning_rate=1e-3,
        evaluate=evaluate,
    )


def digits_encoder(objective: Objective = "VICReg") -> Any:
    """The encoder and projector trained on digits (seed 0), as an exact float64 network; trained once a process."""
    return _digits_encoder(objective)


@cache
def _digits_encoder(objective: Objective) -> Any:
    from itssl.networks.encoders import as_double

    return as_double(train_on_digits(objective, 0).encoder)


@cache
def digits_embeddings() -> Float[np.ndarray, "n 64"]:
    """Embeddings of the held-out digits by :func:`digits_encoder`."""
    from itssl.networks.encoders import embed

    return embed(digits_encoder(), digits_data().test_x)


@cache
def digits_output_mixture(*, prototypes: int = 50, input_std: float = 1e-3, output_std: float = 0.1) -> GaussianMixture:
    """The law of the trained digits encoder's output around held-out prototypes, with stated output noise.

    Components N(f(x_n), σ² A_n A_nᵀ + s² I) for σ = ``input_std`` and s = ``output_std``: the affine images on each
    prototype's region, plus the noise N(0, s² I) without which A_n A_nᵀ may be singular and no entropy exists.
    """
    return output_mixture(digits_encoder(), digits_data().test_x[:prototypes], input_std, output_std)


def output_mixture(
    network: Any, prototypes: Float[np.ndarray, "N D"], input_std: float, output_std: float
) -> GaussianMixture:
    """Equally probable components N(f(x_n), σ² A_n A_nᵀ + s² I) for σ = ``input_std``, s = ``output_std``."""
    from itssl.networks.regions import local_affine

    n, local = len(prototypes), local_affine(network, prototypes)
    covs = input_std**2 * local.matrix @ local.matrix.transpose(0, 2, 1) + output_std**2 * np.eye(local.matrix.shape[1])
    return GaussianMixture(np.full(n, 1 / n), local(prototypes), (covs + covs.transpose(0, 2, 1)) / 2)
