"""Small self-supervised training recipes, fixed once for all objectives: data, views, network and schedule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from itssl.choices import require_known
from itssl.networks.datasets import Dataset, digits, mnist5k
from itssl.networks.encoders import cnn, mlp, with_batch_norm, with_projector
from itssl.networks.training import Evaluation, Objective, train
from itssl.networks.training_run import TrainingRun
from itssl.networks.views import AffineViews

if TYPE_CHECKING:
    Recipes = Mapping[str, "Recipe"]
else:
    Recipes = Mapping


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained on a data set, whatever the objective. ``d`` is the dimension of the embedding.

    >>> recipes()["digits"]
    Recipe(digits: 200 epochs, batch 256, AdamW 0.001, embeddings in R^64)
    """

    name: str
    data: Callable[[], Dataset]
    """The data with its fixed split."""
    views: AffineViews
    encoder: Callable[[int], nn.Sequential]
    """A seed to an untrained encoder that ends in rectified representations."""
    representation: int
    d: int
    epochs: int
    batch_size: int
    learning_rate: float

    def __repr__(self) -> str:
        return (
            f"Recipe({self.name}: {self.epochs} epochs, batch {self.batch_size}, AdamW {self.learning_rate:g}, "
            f"embeddings in R^{self.d})"
        )

    def network(self, seed: int) -> nn.Sequential:
        """Encoder and projector, untrained, float32."""
        projector = mlp((self.representation, 256, 256, self.d), seed=seed + 1, dtype=torch.float32)
        return with_projector(self.encoder(seed), with_batch_norm(projector))

    def predictor(self, seed: int) -> nn.Sequential:
        """The predictor of BYOL and its kin, untrained, float32."""
        return with_batch_norm(mlp((self.d, 256, self.d), seed=seed + 2, dtype=torch.float32))

    def train(
        self,
        objective: Objective,
        seed: int,
        *,
        evaluate: Evaluation | None = None,
        evaluate_every: int | None = None,
        checkpoint: Path | None = None,
        progress: bool = False,
    ) -> TrainingRun:
        """One run; the seed names the starting weights, the order of the data and the views.

        Raises as :func:`itssl.networks.training.train`.
        """
        return train(
            self.network(seed), objective, self.data().train_x, self.views, seed=seed, evaluate=evaluate,
            evaluate_every=evaluate_every, checkpoint=checkpoint, progress=progress, **self.schedule,
        )  # fmt: skip

    @property
    def schedule(self) -> dict[str, Any]:
        """The options of ``train`` that make the schedule."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}


def recipes() -> Recipes:
    """The recipes by name: "digits" (1297 pictures, CPU seconds) and "mnist5k" (4000 pictures, extra ``data``).

    Views are warps with shifts up to 7.5 % of the width (0.15 in the coordinates of ``affine_grid``, which run over
    ± 1). The recipe of digits was chosen on the 10-shot accuracy of VICReg at seed 0, among plain and
    batch-normalized networks, 60 and 200 epochs and two shifts; nothing was chosen for another objective.

    >>> list(recipes())
    ['digits', 'mnist5k']
    """
    return MappingProxyType(
        {
            "digits": Recipe(
                name="digits", data=digits, views=AffineViews(shift=0.075), encoder=_digits_encoder,
                representation=128, d=64, epochs=200, batch_size=256, learning_rate=1e-3,
            ),
            "mnist5k": Recipe(
                name="mnist5k", data=mnist5k, views=AffineViews(shift=0.075, image=(1, 28, 28)),
                encoder=_mnist_encoder, representation=128, d=64, epochs=20, batch_size=256, learning_rate=1e-3,
            ),
        }
    )  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of this name. Raises UnknownNameError for another."""
    require_known("name", name, recipes())
    return recipes()[name]


def _digits_encoder(seed: int) -> nn.Sequential:
    return with_batch_norm(mlp((64, 256, 256, 128), seed=seed, dtype=torch.float32), last=True)


def _mnist_encoder(seed: int) -> nn.Sequential:
    network = cnn((16, 32), image=(1, 28, 28), out=128, seed=seed, dtype=torch.float32)
    return with_batch_norm(network, last=True)
