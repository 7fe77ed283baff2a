"""What an estimator may do with what it is given, and to the world around it: nothing."""

import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from itssl.testing.checks.invariances import N, _samples, _world
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.findings import Case
from itssl.testing.promises import Promises

CONDUCT = "generators, error and warning settings, threads, dtypes, environment: as before the call"


@check(
    "repeatable",
    laws={
        "entropy": "ĥ(x) = ĥ(x), to the last bit",
        "mutual_information": "Î(x, y) = Î(x, y), to the last bit",
        "kl_divergence": "D̂(x, y) = D̂(x, y), to the last bit",
    },
    source="an estimator is a function of the sample, and of its seed if it has one",
    kind="exact",
)
def repeatable(trial: Trial) -> Iterator[Case]:
    """The same sample twice, then once more after other samples."""
    for d in trial.promises.dims(1, 2):
        samples = _samples(trial, d)
        first, second = (trial.value(_world(d), *samples) for _ in range(2))
        trial.value(_world(d), *(x[: N // 2] for x in samples))
        third = trial.value(_world(d), *samples)
        for when, found in (("called again", second), ("called after another sample", third)):
            yield Case(
                world=_world(d, when), expected=f"{first!r}", arrived=f"{found!r}", outcome=outcome_of(found == first)
            )


@check(
    "input_untouched",
    laws={
        "entropy": "x is the same after the call",
        "mutual_information": "x and y are the same after the call",
        "kl_divergence": "x and y are the same after the call",
    },
    source="samples belong to the caller",
    kind="contract",
)
def input_untouched(trial: Trial) -> Iterator[Case]:
    """Arrays that may be written, compared byte by byte."""
    for d in trial.promises.dims(1, 2):
        samples = [x.copy() for x in _samples(trial, d)]
        before = [x.tobytes() for x in samples]
        trial.answer(_world(d), *samples)
        for name, x, held in zip("xy", samples, before, strict=False):
            same = x.tobytes() == held
            arrived = "the same numbers" if same else "other numbers"
            yield Case(world=_world(d, name), expected="the same numbers", arrived=arrived, outcome=outcome_of(same))


@check(
    "array_kinds",
    laws={
        "entropy": "ĥ depends on the numbers, not on the array that holds them",
        "mutual_information": "Î depends on the numbers, not on the arrays that hold them",
        "kl_divergence": "D̂ depends on the numbers, not on the arrays that hold them",
    },
    source="NumPy user guide, internal organization of arrays",
    kind="exact",
)
def array_kinds(trial: Trial) -> Iterator[Case]:
    """Read-only, column-major, strided and backwards arrays, single precision; tensors and DataFrames if promised."""
    for d in trial.promises.dims(1, 2):
        samples = [x.astype(np.float32).astype(float) for x in _samples(trial, d)]
        expected = trial.value(_world(d), *samples)
        for name, held in _holders(trial.promises).items():
            world = _world(d, name)
            given = [held(x) for x in samples]
            dtype = trial.promises.digits if "single" in name else np.float64
            yield trial.same(world, expected, trial.value(world, *given), dtype=dtype)
            if "gradient" in name:
                clean = all(tensor.grad is None for tensor in given)
                yield Case(
                    world=world, expected="no gradient left behind", arrived="none" if clean else "one",
                    outcome=outcome_of(clean),
                )  # fmt: skip


def _holders(promises: Promises) -> dict[str, Any]:
    """Arrays of every kind that hold the same numbers, by name."""
    holders: dict[str, Any] = {
        "read-only": _read_only,
        "column-major": np.asfortranarray,
        "every other row and column of a larger array": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[
            ::2, ::2
        ],
        "a backwards view": lambda x: x[::-1].copy()[::-1],
        "single precision": lambda x: x.astype(np.float32),
    }
    if promises.accepts_frames:
        import pandas as pd

        holders["a DataFrame"] = pd.DataFrame
    if promises.accepts_tensors:
        import torch

        holders["a tensor"] = torch.tensor
        holders["a tensor with gradient"] = lambda x: torch.tensor(x, requires_grad=True)
        holders["a tensor in single precision"] = lambda x: torch.tensor(x, dtype=torch.float32)
    return holders


def _read_only(x: np.ndarray) -> np.ndarray:
    held = x.copy()
    held.flags.writeable = False
    return held


@check(
    "global_state",
    laws={"entropy": CONDUCT, "mutual_information": CONDUCT, "kl_divergence": CONDUCT},
    source="scikit-learn developer guide, random numbers; NumPy documentation, legacy random generation",
    kind="contract",
)
def global_state(trial: Trial) -> Iterator[Case]:
    """Global generators of numpy, random and torch, moved on before the call; numpy's and torch's settings.

    Another call comes first: what an import registers is no fault of the estimator.
    """
    samples = _samples(trial, trial.promises.dims(1, 2)[-1])
    given = [x[:, 0] for x in samples] if trial.promises.max_dim == 1 else samples
    ask, before = trial.subject().ask, _settings()
    with _restored():
        trial.answer(_world(1), *samples)
        _ = np.random.random(), random.random()  # noqa: NPY002  (so that a seed set in each call shows)
        generators = _generators()
        with warnings.catch_warnings():
            filters = list(warnings.filters)
            ask(*given)
            after = _generators()
            unchanged = {"warnings.filters": filters == list(warnings.filters)}
        unchanged |= {name: held == after.get(name) for name, held in generators.items()}
        settings = _settings()
        unchanged |= {name: held == settings[name] for name, held in before.items()}
    for name, same in unchanged.items():
        arrived = "as before" if same else "changed"
        yield Case(world=name, expected="as before the call", arrived=arrived, outcome=outcome_of(same))


def _generators() -> dict[str, Any]:
    states: dict[str, Any] = {"np.random": repr(np.random.get_state(legacy=False)), "random": random.getstate()}  # noqa: NPY002
    torch = sys.modules.get("torch")
    return states | ({} if torch is None else {"torch generator": torch.random.get_rng_state().numpy().tobytes()})


def _settings() -> dict[str, Any]:
    found: dict[str, Any] = {"np.geterr": np.geterr(), "os.environ": dict(os.environ), "print options": _printing()}
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= {
            "torch threads": torch.get_num_threads(), "torch default dtype": torch.get_default_dtype(),
            "torch gradients": torch.is_grad_enabled(),
            "torch deterministic": torch.are_deterministic_algorithms_enabled(),
        }  # fmt: skip
    return found


def _printing() -> str:
    return repr(np.get_printoptions())


@contextmanager
def _restored() -> Iterator[None]:
    """Global generators and numpy's error settings as they were, whatever an estimator did to them."""
    held, numbers = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    torch = sys.modules.get("torch")
    tensors = None if torch is None else torch.random.get_rng_state()
    try:
        with np.errstate():
            yield
    finally:
        np.random.set_state(held)  # noqa: NPY002
        random.setstate(numbers)
        if torch is not None and tensors is not None:
            torch.random.set_rng_state(tensors)
