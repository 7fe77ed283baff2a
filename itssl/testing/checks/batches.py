"""Batches of embeddings, and an objective called on them: losses and gradients, or the case of a failed call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itssl.claims.decision import Outcome
from itssl.testing.checks.trial import CallError, Trial
from itssl.testing.checks.worlds import gaussian_rows, on_grid
from itssl.testing.findings import Case
from itssl.testing.losses import as_objective

Views = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Objective:
    """The objective of a trial, or another in its place, for tensors of one kind."""

    ask: Callable[[Any, Any], Tensor]

    def loss(self, world: str, z_a: Tensor, z_b: Tensor) -> Tensor:
        """One loss of an ordinary batch, which must be finite; what is raised becomes a CallError."""
        try:
            loss = self.ask(z_a, z_b)
        except Exception as error:
            raise CallError(violated(world, "a loss", f"{type(error).__name__}: {error}")) from error
        if not bool(torch.isfinite(loss)):
            raise CallError(violated(world, "a finite loss", f"{loss.item():g}"))
        return loss

    def value(self, world: str, z_a: Tensor, z_b: Tensor) -> float:
        """The number of :meth:`loss`, without a gradient."""
        with torch.no_grad():
            return self.loss(world, z_a, z_b).item()

    def gradients(self, world: str, z_a: Tensor, z_b: Tensor) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
        """The loss, and its gradients, None where a view gets none; a loss without any history becomes a CallError."""
        leaves = [z.detach().clone().requires_grad_() for z in (z_a, z_b)]
        loss = self.loss(world, *leaves)
        if not loss.requires_grad:
            raise CallError(violated(world, "a loss with a gradient", "one without (detached, or made of numbers)"))
        a, b = torch.autograd.grad(loss, leaves, allow_unused=True)
        return loss.detach(), (a, b)


def objective(trial: Trial, like: Tensor, *, reference: bool = False) -> Objective:
    """The trial's objective for tensors like this one, new for every check; or the reference that was promised."""
    made = trial.promises.with_seed
    chosen = trial.promises.reference if reference else trial.estimator if made is None else made(trial.seed)
    return Objective(as_objective(chosen, like))


def views(trial: Trial, *path: str | int, n: int | None = None, d: int | None = None) -> Views:
    """Two views (n, d) of correlated normal rows, moved off the origin, in multiples of 2⁻³⁰ as float64."""
    rng, (rows, columns) = trial.rng("views", *path), trial.promises.shape
    shape = n or rows, d or columns
    common = gaussian_rows(rng, *shape) * np.geomspace(0.5, 1.5, shape[1])
    a, b = (
        torch.tensor(on_grid(common + 0.5 * rng.standard_normal(shape) + rng.normal(size=shape[1]))) for _ in range(2)
    )
    return a, b


def shown(trial: Trial, change: str = "", *, n: int | None = None, d: int | None = None) -> str:
    """The batch in words."""
    rows, columns = trial.promises.shape
    return f"views of {n or rows} × {d or columns}{', ' * bool(change)}{change}"


def rounding(loss: float, z: Tensor) -> float:
    """ε·n·d·max(1, |L|), what a sum of as many terms may be off by."""
    return float(torch.finfo(torch.float64).eps) * z.numel() * max(1.0, abs(loss))


def violated(world: str, expected: str, arrived: str) -> Case:
    """A case that fails."""
    return Case(world=world, expected=expected, arrived=arrived, outcome=Outcome.VIOLATED)
