"""What is an objective: two batches of embeddings in, one differentiable number out, in one of three wrappings."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from itssl.objectives.target_network import BYOL
from itssl.testing.subjects import Subject, SubjectError, as_subject


def loss_of(returned: Any) -> Tensor:
    """The loss in what an objective returned: a scalar tensor, a pair (loss, metrics), or a record with ``.total()``.

    Raises SubjectError for anything else, such as one loss a row.

    >>> import torch
    >>> loss_of((torch.tensor(2.0), {"invariance": 2.0})).item()
    2.0
    """
    loss: Any = returned[0] if isinstance(returned, tuple) and returned else returned
    loss = loss.total() if callable(getattr(loss, "total", None)) else loss
    if not isinstance(loss, Tensor):
        raise SubjectError(f"loss: expected a scalar tensor, got {type(loss).__name__}; return the loss itself")
    if loss.ndim or not loss.is_floating_point():
        raise SubjectError(
            f"loss: expected one real number, got {loss.dtype} of shape {tuple(loss.shape)}; take the mean over rows"
        )
    return loss


def as_objective(objective: Any, like: Tensor) -> Callable[[Any, Any], Tensor]:
    """The objective as (z_a, z_b) to its loss, in silence; a module is copied to the dtype and device of ``like``.

    >>> import torch
    >>> as_objective(nn.MSELoss(), torch.zeros(1))(torch.zeros(2, 3), torch.ones(2, 3)).item()
    1.0
    """
    ask = as_subject(objective, "objective").ask
    if isinstance(ask, nn.Module):
        ask = copy.deepcopy(ask).to(like)

    def loss(z_a: Any, z_b: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return loss_of(ask(z_a, z_b))

    return loss


def from_target_network(byol: BYOL) -> Subject:
    """The loss of :class:`~itssl.objectives.BYOL` and its kin at the first step of a run: targets are the embeddings.

    Declare ``stop_gradient="targets"``, and ``columns`` where the predictor has a width.

    >>> import torch
    >>> objective = from_target_network(BYOL(nn.Identity()))
    >>> objective.ask(torch.eye(2), torch.eye(2)).item()
    0.0
    """
    return Subject(_FirstStep(byol), "objective", code="objective")


class _FirstStep(nn.Module):
    def __init__(self, config: BYOL) -> None:
        super().__init__()
        self.config, self.predictor = config, config.predictor

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        terms = self.config.function(
            z_a, z_b, target_a=z_a.detach(), target_b=z_b.detach(), predictor=self.predictor, **self.config.options
        )
        return terms.total(self.config.weights)
