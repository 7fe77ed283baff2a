"""BYOL as something to train: a predictor, and a target network that follows the online network."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from itssl.choices import ParameterError
from itssl.objectives.distillation import byol_terms
from itssl.objectives.terms import ObjectiveTerms, Weights


@dataclass(frozen=True, eq=False)
class BYOL:
    """BYOL [1] and its kin for ``itssl.networks.training.train``, which calls :meth:`start`.

    Parameters
    ----------
    predictor: (n, d) to (n, d) on the online embeddings; copied, trained with the encoder.
    decay: the target's weights become decay · target + (1 − decay) · online after each step; in [0, 1]. (The source
        lets 0.996 rise to 1 over 10⁵ steps; runs of a few hundred steps need a smaller one.)
    function: ``byol_terms``, ``byol_logdet_terms`` or ``byol_pairdist_terms``; ``options`` are its further arguments.
    weights: of its terms, by default the function's own.

    Raises ParameterError for a decay outside [0, 1].

    References
    ----------
    [1] Grill, Strub, Altché et al. (2020). Bootstrap your own latent. NeurIPS.

    >>> state = BYOL(nn.Identity()).start(nn.Linear(2, 1))
    >>> loss, metrics = state.loss(nn.Linear(2, 1), torch.ones(4, 2), torch.ones(4, 2))
    >>> list(metrics)
    ['prediction']
    """

    predictor: nn.Module
    decay: float = 0.99
    function: Callable[..., ObjectiveTerms] = byol_terms
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Weights | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ParameterError(f"decay: expected a number from 0 to 1, got {self.decay!r}; e.g. 0.99")

    def start(self, encoder: nn.Module) -> "TargetNetwork":
        """The state of one run: a copy of the predictor, and the encoder's copy as target."""
        return TargetNetwork(self, encoder)

    def __repr__(self) -> str:
        chosen = {**self.options, "decay": self.decay} | ({} if self.weights is None else {"weights": self.weights})
        return f"BYOL({self.function.__name__}, {', '.join(f'{k}={v!r}' for k, v in chosen.items())})"


class TargetNetwork(nn.Module):
    """Predictor and target of one run. The predictor's weights are trained; the target's follow the encoder's."""

    def __init__(self, config: BYOL, encoder: nn.Module) -> None:
        super().__init__()
        self.config = config
        like = next(encoder.parameters())
        self.predictor = copy.deepcopy(config.predictor).to(like)
        self.target = copy.deepcopy(encoder).requires_grad_(False)

    def loss(self, encoder: nn.Module, view_a: Tensor, view_b: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of the encoder's embeddings of two views, and the terms as metrics."""
        with torch.no_grad():
            target_a, target_b = self.target(view_a), self.target(view_b)
        terms = self.config.function(
            encoder(view_a), encoder(view_b), target_a=target_a, target_b=target_b, predictor=self.predictor,
            **self.config.options,
        )  # fmt: skip
        return terms.total(self.config.weights), terms.metrics

    @torch.no_grad()
    def after_step(self, encoder: nn.Module) -> None:
        """Move the target's weights towards the encoder's; its buffers (running means) become the encoder's."""
        for mine, its in zip(self.target.parameters(), encoder.parameters(), strict=True):
            mine.lerp_(its, 1 - self.config.decay)
        for mine, its in zip(self.target.buffers(), encoder.buffers(), strict=True):
            mine.copy_(its)
