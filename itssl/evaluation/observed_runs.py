"""What is measured along a training run on two held-out views: losses, information, entropies, ranks."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.estimators.differentiable_neighbors import neighbor_entropy
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.log_determinant import logdet_entropy
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.evaluation.spectrum import effective_rank
from itssl.kernels.linalg import LOG_2PI, covariance
from itssl.objectives.contrastive import infonce_terms
from itssl.objectives.vicreg import vicreg_terms

if TYPE_CHECKING:
    from itssl.networks.recipes import Recipe
    from itssl.networks.training_run import TrainingRun
else:
    Recipe = TrainingRun = Any

UNITS = ("raw", "unit trace", "whitened")
"""Embeddings as they are; divided by the root of their mean variance; with covariance I."""


def information_measures(
    z_a: Float[np.ndarray, "n d"], z_b: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"]
) -> dict[str, float]:
    """VICReg's loss, what it should follow, and the effective rank, of two views' embeddings; information in nats.

    "VICReg loss": reference normalization, 25/25/1. "InfoNCE": log n − loss at temperature 0.1, cosine after
    subtracting ``center`` (the training mean: VICReg does not see it, cosine would); "Gaussian information": the
    plug-in, −½ Σ log(1 − ρ²) less its bias; "literal bound": Gaussian entropy + E log N(z; z', I), no bound of the
    information since the entropy is bounded from above; "log-det entropy": ½ log((2πe)^d |C|) less its bias;
    "neighbor entropy": see :func:`entropies`.

    >>> z = np.random.default_rng(0).normal(size=(100, 2))
    >>> sorted(information_measures(z, z + 0.1 * z[::-1], np.zeros(2)))[:3]
    ['Gaussian information', 'InfoNCE', 'VICReg loss']
    """
    cross = -0.5 * (z_a.shape[1] * LOG_2PI + float(((z_a - z_b) ** 2).sum(axis=1).mean()))
    entropy = GaussianPlugin().entropy(z_a).value
    return {
        "VICReg loss": float(vicreg_terms(z_a, z_b, normalization="reference").total()),
        "InfoNCE": float(infonce_terms(z_a - center, z_b - center).bound.value),
        "Gaussian information": GaussianPlugin().mutual_information(z_a, z_b).value,
        "literal bound": entropy + cross,
        "log-det entropy": entropy,
        "neighbor entropy": entropies(z_a, noise_var=1.0)["neighbors, raw"],
        "effective rank": effective_rank(covariance(z_a)),
    }


def entropies(z: Float[np.ndarray, "n d"], *, noise_var: float) -> dict[str, float]:
    """Entropy in nats under each of ``UNITS``, by "name, unit": log-det, neighbors and pairwise.

    "log-det": ½ log((2πe)^d |C|), the largest entropy with the sample covariance; whitened, a constant. "neighbors":
    log-det − J, with the negentropy J (the same in every unit) measured by Kozachenko–Leonenko (k = 4) on whitened rows
    against whitened Gaussian rows of the same shape. Neighbors of the rows as they are would measure their own bias,
    which in R^64 is tens of nats and grows as the spectrum spreads. "pairwise": the Bhattacharyya bound of
    z + N(0, noise_var I), in the unit; with noise_var below d/(4 log n) times the mean variance it is about log n plus
    a constant, whatever the embeddings are. Where the covariance is singular all but the raw and unit-trace pairwise
    values are −inf. Rows on a sphere have no density in R^d: there log-det compares directions, it is no entropy.

    >>> found = entropies(np.random.default_rng(0).normal(size=(500, 2)), noise_var=0.1)
    >>> print(f"{found['log-det, raw']:.2f} {found['neighbors, raw']:.2f} {np.log(2 * np.pi * np.e):.2f}")
    2.79 2.77 2.84
    """
    n, d = z.shape
    values, axes = np.linalg.eigh(covariance(z))
    singular = not values[0] > d * np.finfo(float).eps * values[-1]
    white = None if singular else (z - z.mean(axis=0)) @ (axes / np.sqrt(values))
    negentropy = np.inf if white is None else _gaussian_neighbors(n, d) - float(neighbor_entropy(white))
    found = {}
    for unit, u in zip(UNITS, (z, z / np.sqrt(values.mean()), white), strict=True):
        largest = -np.inf if singular else float(logdet_entropy(u))
        found[f"log-det, {unit}"] = largest
        found[f"neighbors, {unit}"] = -np.inf if singular else largest - negentropy
        found[f"pairwise, {unit}"] = -np.inf if u is None else float(pairwise_entropy_bounds(u, var=noise_var).lower)
    return found


@cache
def _gaussian_neighbors(n: int, d: int, draws: int = 8) -> float:
    """Kozachenko–Leonenko of n Gaussian rows whitened by their own covariance, mean over draws."""
    rng, found = stream(0, "whitened Gaussian rows", n, d), []
    for _ in range(draws):
        z = rng.standard_normal((n, d))
        values, axes = np.linalg.eigh(covariance(z))
        found.append(float(neighbor_entropy((z - z.mean(axis=0)) @ (axes / np.sqrt(values)))))
    return float(np.mean(found))


def observed_run(
    recipe: Recipe,
    method: str,
    seed: int,
    measure: Callable[..., dict[str, float]] = information_measures,
    *,
    points: int = 40,
    **settings: Any,
) -> TrainingRun:
    """A run of ``method`` by the recipe; ``measure(z_a, z_b, center)`` is called before, along and after training.

    Its ``evaluations`` hold what ``measure`` returns and, as "own loss", the objective's loss on the held-out views
    (nan for BYOL and its kin, whose loss needs the target network). The held-out views of the test pictures are fixed,
    one pair a picture; ``center`` is the mean embedding of the training pictures. About ``points`` evaluations are
    spread evenly.
    """
    import torch

    from itssl.networks.encoders import embed, torch_generator
    from itssl.objectives.catalogue import objectives
    from itssl.objectives.terms import Objective

    data = recipe.data()
    held_out = recipe.views(torch.tensor(data.test_x), torch_generator(seed, "held-out views"))
    view_a, view_b = (view.numpy() for view in held_out)
    chosen = objectives(recipe.predictor(seed), d=recipe.d, **settings)[method]

    def observe(network: torch.nn.Module) -> dict[str, float]:
        z_a, z_b = embed(network, view_a), embed(network, view_b)
        own = float(chosen.terms(z_a, z_b).total(chosen.weights)) if isinstance(chosen, Objective) else float("nan")
        return {"own loss": own, **measure(z_a, z_b, embed(network, data.train_x).mean(axis=0))}

    steps = recipe.epochs * (len(data.train_x) // recipe.batch_size)
    return recipe.train(chosen, seed, evaluate=observe, evaluate_every=max(1, steps // points))
