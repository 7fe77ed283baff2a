"""Numbers in single precision, and on another device: the same answer as for the same numbers in double, at home."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from itssl.testing.checks.invariances import _samples, _world
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.findings import Case

CENTER, STEPS = 16.0, 2.0**18
"""Rows lie around 16 on multiples of 2⁻¹⁸: up to 32 a single has all their digits."""


@check(
    "precision",
    laws={
        "entropy": "ĥ of singles is that of the same numbers as doubles",
        "mutual_information": "Î of singles is that of the same numbers as doubles",
        "kl_divergence": "D̂ of singles is that of the same numbers as doubles",
    },
    source="Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.7: cancellation",
    kind="exact",
)
def precision(trial: Trial) -> Iterator[Case]:
    """Rows some standard deviations from zero, where squares lose in single precision what differences keep.

    With the answer for the same rows moved to zero, where moving changes nothing: an estimator that rounds doubles too
    agrees with itself.
    """
    for d in trial.promises.dims(1, 2):
        centered = [apart(x) for x in _samples(trial, d)]
        away = [x + CENTER for x in centered]
        expected = trial.value(_world(d), *(centered if trial.promises.translation_invariant else away))
        for name, held in _singles(trial.promises.accepts_tensors).items():
            world = _world(d, f"each number + {CENTER:g}, {name}")
            yield trial.same(world, expected, trial.value(world, *map(held, away)), dtype=trial.promises.digits)


@check(
    "device",
    laws={
        "entropy": "ĥ of tensors on a device is that of the same tensors on the host",
        "mutual_information": "Î of tensors on a device is that of the same tensors on the host",
        "kl_divergence": "D̂ of tensors on a device is that of the same tensors on the host",
    },
    source="PyTorch documentation, CUDA semantics",
    kind="exact",
)
def device(trial: Trial) -> Iterator[Case]:
    """Tensors on the first CUDA device, in double precision; they stay there, unchanged."""
    trial.needs(trial.promises.accepts_tensors, "accepts_tensors=False")
    there = _device()
    trial.needs(there is not None, "torch finds no CUDA device")
    import torch

    for d in trial.promises.dims(1, 2):
        samples = _samples(trial, d)
        world = _world(d, f"on {there}")
        given = [torch.tensor(x, device=there) for x in samples]
        expected = trial.value(_world(d), *map(torch.tensor, samples))
        yield trial.same(world, expected, trial.value(world, *given))
        same = all(np.array_equal(z.cpu().numpy(), x) for x, z in zip(samples, given, strict=True))
        arrived = "the same numbers" if same else "other numbers"
        yield Case(world=world, expected="the same numbers after the call", arrived=arrived, outcome=outcome_of(same))


def apart(x: np.ndarray) -> np.ndarray:
    """The nearest multiples of 2⁻¹⁸, the i-th smallest of each column moved up by i of them, so that no two are equal.

    >>> float(np.diff(apart(np.zeros((3, 1))), axis=0).max() * STEPS)
    1.0
    """
    ranks = np.argsort(np.argsort(x, axis=0, kind="stable"), axis=0)
    return (np.round(x * STEPS) + ranks) / STEPS


def _singles(tensors: bool) -> dict[str, Any]:
    holders: dict[str, Any] = {"double precision": np.asarray, "single precision": lambda x: x.astype(np.float32)}
    if tensors:
        import torch

        holders["a tensor in single precision"] = lambda x: torch.tensor(x, dtype=torch.float32)
    return holders


def _device() -> Any:
    """The first CUDA device, if torch finds one."""
    import torch

    return torch.device("cuda", 0) if torch.cuda.is_available() else None
