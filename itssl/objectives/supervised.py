"""Cross-entropy with known classes, in the place of an objective: what labels would reach with the same network."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Supervised:
    """Minimizes the cross-entropy of ``head`` on the first child of the encoder, e.g. before the projector.

    The second "view" of a row is its class probabilities (one-hot for labels): let ``views`` return (view, targets).
    ``train`` calls :meth:`start`. ``part`` names the submodule whose output the head sees.

    >>> state = Supervised(nn.Linear(3, 2), part="encoder").start(nn.Sequential())
    >>> isinstance(state, nn.Module)
    True
    """

    head: nn.Module
    part: str = "encoder"

    def start(self, encoder: nn.Module) -> "Classifier":
        """The state of one run: a copy of the head."""
        return Classifier(copy.deepcopy(self.head), self.part)

    def __repr__(self) -> str:
        return f"Supervised(part={self.part!r})"


class Classifier(nn.Module):
    """The head of one run."""

    def __init__(self, head: nn.Module, part: str) -> None:
        super().__init__()
        self.head, self.part = head, part

    def loss(self, encoder: nn.Module, view_a: Tensor, view_b: Tensor) -> Tensor:
        """−(1/n) Σ_i Σ_c p_ic log softmax(head(encoder(x_i)))_c in nats."""
        return torch.nn.functional.cross_entropy(self.head(encoder.get_submodule(self.part)(view_a)), view_b)

    def after_step(self, encoder: nn.Module) -> None:
        """Nothing moves."""
