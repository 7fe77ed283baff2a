"""Small deterministic training runs: encoder and objective in, a frozen record of the run out."""

import copy
import hashlib
import itertools
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from itssl.arrays import SamplesLike, as_samples
from itssl.choices import ParameterError, require_count, require_nonnegative, require_positive
from itssl.networks.checkpoints import CheckpointError, digest, load_checkpoint, save_checkpoint
from itssl.networks.encoders import evaluating, torch_generator
from itssl.networks.training_run import TrainingError, TrainingInterrupted, TrainingRun
from itssl.progress import progress_bar

__all__ = ["CheckpointError", "TrainingError", "TrainingInterrupted", "TrainingRun", "ZeroGradientWarning", "train"]


class ZeroGradientWarning(UserWarning):
    """A training run stands still, e.g. at collapse."""


Loss: TypeAlias = Tensor | tuple[Tensor, Mapping[str, Any]]


@runtime_checkable
class Learner(Protocol):
    """What an objective with a state of its own (a predictor, a target network) is during one run: an nn.Module."""

    def loss(self, encoder: nn.Module, view_a: Tensor, view_b: Tensor, /) -> Loss: ...
    def after_step(self, encoder: nn.Module, /) -> None: ...


@runtime_checkable
class StatefulObjective(Protocol):
    """An objective that makes a :class:`Learner` for a run, e.g. ``itssl.objectives.BYOL``."""

    def start(self, encoder: nn.Module, /) -> Learner: ...


Objective: TypeAlias = Callable[[Tensor, Tensor], Loss] | StatefulObjective
"""(z_a, z_b) to a loss, or to a loss and a dict of scalar metrics; or a stateful objective."""
Views: TypeAlias = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(x, generator) to two views of x, with no other source of randomness."""
Evaluation: TypeAlias = Callable[[nn.Module], Mapping[str, float]]
"""Encoder, in evaluation mode, to named numbers."""

_OWN_METRICS = ("loss", "gradient_norm", "learning_rate")


def train(
    encoder: nn.Module,
    objective: Objective,
    data: SamplesLike,
    views: Views,
    *,
    seed: int,
    epochs: int = 60,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    evaluate: Evaluation | None = None,
    evaluate_every: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    progress: bool = True,
) -> TrainingRun:
    r"""Minimize the objective over the embeddings of two views, with AdamW [1] and a cosine learning rate.

    Each epoch visits the data in a fresh random order in batches of ``batch_size``; the rows left over wait for the
    next epoch. Step t of T uses the learning rate $\tfrac12(1+\cos(\pi t/T))$ times ``learning_rate``.

    The run is a function of its arguments: batches, views and layers such as Dropout draw from streams named by the
    seed, on one thread. The encoder is copied, and torch's global generator and thread count are restored, whatever
    happens.

    Parameters
    ----------
    encoder: (n, D) to (n, K). Its dtype and device are those of the training.
    objective: (z_a, z_b) to a scalar loss tensor, or to (loss, dict of scalars); the dict is recorded. E.g.
        ``itssl.objectives.minimize(vicreg_terms, normalization="reference")``. An objective with a method ``start``
        (``itssl.objectives.BYOL``) sees views and encoder instead, and its own weights are trained too.
    data: samples of shape (n, D), e.g. ``dataset.train_x``.
    views: (x, generator) to (view_a, view_b), e.g. :class:`itssl.networks.views.AffineViews`.
    seed: names the order of the data, the views and the randomness of layers.
    epochs: passes over the data.
    batch_size: rows in a step, from 2 to n.
    learning_rate, weight_decay: of AdamW.
    evaluate: called with the encoder in evaluation mode before the first step, every ``evaluate_every`` steps
        (default: each epoch) and after the last; returns numbers by name. It does not influence the run, unless
        it changes the weights.
    checkpoint: a file that is rewritten every ``checkpoint_every`` steps (default: each epoch) and at the end. Where
        it exists the run goes on from it, to the weights, metrics and evaluations of a run that was never cut short;
        a finished run is read from it. It names the arguments, the layers as printed and the starting weights;
        functions only by name.
    progress: whether to show a bar on anything over 5 seconds.

    Raises
    ------
    ParameterError: an option outside its range, or an encoder without trainable parameters.
    SampleError: data is not a finite (n, D) array.
    TrainingError: the objective returned no scalar tensor with a gradient, names that change or clash, or a loss
        or gradient that is not finite.
    CheckpointError: the checkpoint is damaged, or that of a run with other arguments, data or starting weights.
    ZeroGradientWarning, as a warning: the gradient is exactly zero, e.g. at collapse.
    TrainingInterrupted: on KeyboardInterrupt; a KeyboardInterrupt itself, with the record so far as ``run``.

    References
    ----------
    [1] I. Loshchilov and F. Hutter (2019). Decoupled weight decay regularization. ICLR.

    >>> run = train(
    ...     nn.Linear(2, 1), lambda z_a, z_b: (z_a - z_b).square().mean(), [[0.0, 1.0], [1.0, 0.0]],
    ...     lambda x, generator: (x, -x), seed=0, epochs=3, batch_size=2, progress=False,
    ... )
    >>> list(run.metrics), bool(run.metrics["loss"][-1] < run.metrics["loss"][0])
    (['loss', 'gradient_norm', 'learning_rate'], True)
    """
    rows = as_samples(data, name="data")
    epochs, batch_size = require_count("epochs", epochs), require_count("batch_size", batch_size, minimum=2)
    learning_rate = require_positive("learning_rate", learning_rate)
    weight_decay = require_nonnegative("weight_decay", weight_decay)
    if batch_size > len(rows):
        raise ParameterError(f"batch_size: expected at most the {len(rows)} rows of data, got {batch_size}; lower it")
    steps_per_epoch = len(rows) // batch_size
    if evaluate_every is not None:
        require_count("evaluate_every", evaluate_every)
    if checkpoint_every is not None:
        require_count("checkpoint_every", checkpoint_every)
    every, save_every = evaluate_every or steps_per_epoch, checkpoint_every or steps_per_epoch
    total = epochs * steps_per_epoch
    config = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "evaluate_every": every,
        "steps": total,
        "objective": _name(objective),
        "views": _name(views),
    }

    network = copy.deepcopy(encoder).train()
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ParameterError("encoder: expected trainable parameters, got none; call encoder.requires_grad_(True)")
    learner: Any = objective.start(network) if isinstance(objective, StatefulObjective) else _Stateless(objective)
    parameters = [p for module in (network, learner) for p in module.parameters() if p.requires_grad]
    x = torch.tensor(rows, dtype=parameters[0].dtype, device=parameters[0].device)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    view_draws = torch_generator(seed, "train", "views")
    steps: list[dict[str, float]] = []
    evaluations: list[tuple[int, dict[str, float]]] = []
    started = time.perf_counter()
    file = None if checkpoint is None else Path(checkpoint)
    identity = {
        **{name: str(value) for name, value in config.items()},
        "seed": str(seed),
        "evaluate": "None" if evaluate is None else _name(evaluate),
        "layers": hashlib.blake2b(_name(network, learner).encode(), digest_size=12).hexdigest(),
        "data": digest([x]),
        "starting weights": digest([*network.state_dict().values(), *learner.state_dict().values()]),
    }

    def record() -> TrainingRun:
        return TrainingRun(
            encoder=network.eval(),
            learner=learner.eval(),
            metrics=_series(steps, _OWN_METRICS),
            evaluations=_series([values for _, values in evaluations]),
            evaluation_steps=np.array([step for step, _ in evaluations], dtype=np.int64),
            seed=seed,
            seconds=time.perf_counter() - started,
            config=config,
        )

    def evaluate_at(step: int) -> None:
        if evaluate is not None and (step % every == 0 or step == total):
            with evaluating(network), torch.random.fork_rng(devices=[]):
                values = {name: float(value) for name, value in evaluate(network).items()}
            _refuse_new_names("evaluate", values, evaluations[0][1] if evaluations else values)
            evaluations.append((step, values))

    def save_at(step: int) -> None:
        if file is not None and (step % save_every == 0 or step == total):
            modules = {"network": network, "learner": learner, "optimizer": optimizer}
            state = {name: module.state_dict() for name, module in modules.items()} | {
                "views": view_draws.get_state(), "layers": torch.get_rng_state(), "steps": steps,
                "evaluations": evaluations, "seconds": time.perf_counter() - started,
            }  # fmt: skip
            save_checkpoint(file, identity, state)

    with _private_torch(seed), progress_bar("training", total, shown=progress) as bar:
        try:
            kept = None if file is None else load_checkpoint(file, identity)
            if kept is None:
                evaluate_at(0)
            else:
                for name, module in (("network", network), ("learner", learner), ("optimizer", optimizer)):
                    module.load_state_dict(kept[name])
                view_draws.set_state(kept["views"])
                torch.set_rng_state(kept["layers"])
                steps += kept["steps"]
                evaluations += kept["evaluations"]
                started -= kept["seconds"]
                bar.update(len(steps))
            batches = itertools.islice(_batches(len(x), batch_size, epochs, seed), len(steps), None)
            for step, batch in enumerate(batches, start=len(steps)):
                with torch.no_grad():
                    view_a, view_b = views(x[batch.to(x.device)], view_draws)
                loss, reported = _checked(learner.loss(network, view_a, view_b))
                optimizer.zero_grad()
                loss.backward()
                rate = learning_rate * (1 + math.cos(math.pi * step / total)) / 2
                row = {"loss": loss.item(), "gradient_norm": _gradient_norm(parameters), "learning_rate": rate}
                row |= reported
                _refuse_new_names("objective", row, steps[0] if steps else row)
                if row["gradient_norm"] == 0 and all(earlier["gradient_norm"] for earlier in steps):
                    _warn_of_rest(step, total)
                if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])):
                    raise TrainingError(
                        f"objective: expected a finite loss and gradient, got loss {row['loss']} and gradient norm "
                        f"{row['gradient_norm']} at step {step} of {total}; lower learning_rate={learning_rate}, or "
                        "look for a root or logarithm at 0 (the error's .run has the weights before this step)"
                    )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                learner.after_step(network)
                steps.append(row)
                bar.update(note=f"loss {row['loss']:.4g}")
                evaluate_at(step + 1)
                save_at(step + 1)
        except TrainingError as error:
            error.run = record()
            raise
        except KeyboardInterrupt as interrupt:
            message = f"interrupted after {len(steps)} of {total} steps; the record so far is the exception's .run"
            raise TrainingInterrupted(message, record()) from interrupt
    return record()


class _Stateless(nn.Module):
    """A function of two embeddings as a learner."""

    objective: Callable[[Tensor, Tensor], Loss]

    def __init__(self, objective: Callable[[Tensor, Tensor], Loss]) -> None:
        super().__init__()
        object.__setattr__(self, "objective", objective)  # not a submodule, should it be a module

    def loss(self, encoder: nn.Module, view_a: Tensor, view_b: Tensor) -> Any:
        return self.objective(encoder(view_a), encoder(view_b))

    def after_step(self, encoder: nn.Module) -> None:
        """Nothing moves."""


@contextmanager
def _private_torch(seed: int) -> Iterator[None]:
    """One thread, and a global generator named by the seed; both are as before on leaving."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(torch_generator(seed, "train", "layers").initial_seed())
            yield
    finally:
        torch.set_num_threads(threads)


def _batches(n: int, batch_size: int, epochs: int, seed: int) -> Iterator[Int[Tensor, " batch"]]:
    """Indices of each batch: full ones only, every epoch in a new order."""
    generator = torch_generator(seed, "train", "batches")
    for _ in range(epochs):
        yield from torch.randperm(n, generator=generator)[: n - n % batch_size].split(batch_size)


def _warn_of_rest(step: int, total: int) -> None:
    warnings.warn(
        f"the gradient is exactly zero at step {step} of {total}: no further step moves the weights, but for weight "
        "decay. Where all embeddings are equal hinge, covariance, log-determinant, pairwise and contrastive terms "
        "have no gradient; itssl.evaluation.collapse_report tells. Start from other weights",
        ZeroGradientWarning,
        stacklevel=3,
    )


def _checked(answer: Any) -> tuple[Tensor, dict[str, float]]:
    """The loss, checked, and the other metrics as numbers."""
    loss, reported = answer if isinstance(answer, tuple) else (answer, {})
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        shape = f" of shape {tuple(loss.shape)}, requires_grad={loss.requires_grad}" if isinstance(loss, Tensor) else ""
        raise TrainingError(
            f"objective: expected a scalar tensor with a gradient, got {type(loss).__name__}{shape}; return loss or "
            "(loss, metrics) computed from z_a and z_b by torch functions, or pass itssl.objectives.minimize(terms, …)"
        )
    clash = set(reported) & set(_OWN_METRICS)
    if clash:
        raise TrainingError(f"objective: expected metrics by other names than {sorted(clash)}; train records these")
    return loss, {name: float(v.detach() if isinstance(v, Tensor) else v) for name, v in reported.items()}


def _gradient_norm(parameters: list[nn.Parameter]) -> float:
    """The Euclidean norm of all gradients together."""
    norms = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
    return torch.stack(norms).norm().item()


def _refuse_new_names(who: str, values: Mapping[str, float], expected: Mapping[str, float]) -> None:
    if values.keys() != expected.keys():
        raise TrainingError(
            f"{who}: expected the same names every time, {sorted(expected)}, got {sorted(values)}; "
            "report nan where a number is missing"
        )


def _series(rows: list[dict[str, float]], names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Rows of named numbers as one read-only array per name."""
    series = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else names)}
    for array in series.values():
        array.flags.writeable = False
    return series


def _name(*things: object) -> str:
    """What they are called, the same in every process."""
    names = [getattr(thing, "__qualname__", None) or repr(thing) for thing in things]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", "; ".join(names))
