"""One cell of a comparison of objectives: train by a recipe, probe the representation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from itssl.choices import require_known
from itssl.evaluation.probes import few_shot_probe, knn_probe, linear_probe
from itssl.evaluation.spectrum import effective_rank, rankme
from itssl.kernels.linalg import covariance

if TYPE_CHECKING:
    from itssl.networks.datasets import Dataset
    from itssl.networks.recipes import Recipe
    from itssl.networks.training_run import TrainingRun
else:
    Dataset = Recipe = TrainingRun = Any

BRACKETS = ("pixels", "random", "supervised")
"""What objectives are compared with: no network, the untrained network, and the network trained on all labels."""


def methods() -> tuple[str, ...]:
    """The names that :func:`probe_run` knows: every objective of the catalogue, then the brackets.

    >>> methods()[0], methods()[-3:]
    ('VICReg', ('pixels', 'random', 'supervised'))
    """
    from torch import nn

    from itssl.objectives.catalogue import objectives

    return (*objectives(nn.Identity(), d=1), *BRACKETS)


def probe_run(
    recipe: Recipe, method: str, seed: int, *, checkpoint: Path | None = None, **settings: Any
) -> dict[str, float]:
    """Train ``method`` by the recipe and probe the representation on the test pictures: numbers by name.

    "linear", "10-shot" and "kNN" are accuracies in [0, 1]; the draws of the 10-shot probe are named by the seed, so
    methods at one seed share starting weights, batches, views and labeled pictures. "effective rank" (of the test
    embeddings' covariance) and "RankMe" (of the test representations) say how many directions are used; "loss, first"
    and "loss, last" are means over the first and last five steps; "seconds" is the time of the training.
    ``settings`` go to ``itssl.objectives.catalogue.objectives``.

    Raises UnknownNameError for another method.
    """
    require_known("method", method, methods())
    data, run = recipe.data(), None
    if method == "pixels":
        parts = (data.train_x, data.test_x)
        embedded = data.test_x
    else:
        from itssl.networks.encoders import embed

        if method == "random":
            network = recipe.network(seed)
        else:
            run = (
                supervised_run(recipe, seed)
                if method == "supervised"
                else _run(recipe, method, seed, checkpoint, **settings)
            )
            network = run.encoder
        encoder = network.get_submodule("encoder")
        parts = (embed(encoder, data.train_x), embed(encoder, data.test_x))
        embedded = embed(network, data.test_x)
    return {
        **accuracies(*parts, data, seed),
        "effective rank": effective_rank(covariance(embedded)) if np.ptp(embedded, axis=0).any() else 0.0,
        "RankMe": rankme(parts[1]),
        **({} if run is None else _course(run)),
    }


def accuracies(train_z: np.ndarray, test_z: np.ndarray, data: Dataset, seed: int) -> dict[str, float]:
    """The three probes on representations of the training and the test pictures."""
    labeled = (train_z, data.train_y, test_z, data.test_y)
    return {
        "linear": linear_probe(*labeled),
        "10-shot": few_shot_probe(*labeled, shots=10, draws=5, seed=seed),
        "kNN": knn_probe(*labeled),
    }


def supervised_run(recipe: Recipe, seed: int) -> TrainingRun:
    """The recipe's network trained on the labels of all its views by cross-entropy, with a linear head."""
    import torch

    from itssl.networks.encoders import mlp
    from itssl.networks.training import train
    from itssl.objectives.supervised import Supervised

    data = recipe.data()
    classes = int(data.train_y.max()) + 1
    rows = np.hstack([data.train_x, np.eye(classes)[data.train_y]])

    def views(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return recipe.views.draw(x[:, :-classes], generator), x[:, -classes:]

    head = mlp((recipe.representation, classes), seed=seed + 3, dtype=torch.float32)
    return train(recipe.network(seed), Supervised(head), rows, views, seed=seed, progress=False, **recipe.schedule)


def _run(recipe: Recipe, method: str, seed: int, checkpoint: Path | None, **settings: Any) -> TrainingRun:
    from itssl.objectives.catalogue import objectives

    chosen = objectives(recipe.predictor(seed), d=recipe.d, **settings)[method]
    return recipe.train(chosen, seed, checkpoint=checkpoint)


def _course(run: TrainingRun) -> dict[str, float]:
    loss = run.metrics["loss"]
    return {
        "loss, first": float(loss[:5].mean()), "loss, last": float(loss[-5:].mean()), "seconds": float(run.seconds),
    }  # fmt: skip
