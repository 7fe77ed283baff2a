"""Training of a critic for a variational estimator: rows to learn from, to choose by and to measure on; one loop.

The critic that is evaluated has seen neither the test rows nor their mean and deviation, so that what holds for any
fixed critic holds for it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples, stream
from itssl.choices import ParameterError, require_count, require_known, require_positive
from itssl.estimators.critics import CRITICS
from itssl.estimators.standardization import canonical_order
from itssl.kernels.linalg import column_std
from itssl.progress import progress_bar

EVALUATE_EVERY = 25
PATIENCE = 500
"""Steps without a better validation value after which training stops."""
AVERAGING = 0.98
"""Decay of the running mean of the weights; that mean is what is evaluated."""
WEIGHT_DECAY = 1.0
LARGEST_GRADIENT = 1.0
LINEAR_UP_TO = 3.0
"""Standard deviations beyond which a coordinate enters by its logarithm."""
LARGEST_BATCH = 2048
"""Rows in one batch of an evaluation: a score matrix of 32 MiB."""
FEWEST_TRAINING_ROWS, FEWEST_HELD_OUT_ROWS = 16, 16

Objective: TypeAlias = Callable[[Any, Any, Any], Any]
"""(weights, x, y) to a scalar tensor that training shall make large."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a critic is trained: the options that all variational estimators share.

    ``hidden`` and ``layers`` shape its perceptrons; ``steps`` of ``batch`` rows at ``learning_rate`` are taken at most
    (training stops after 500 steps without progress); the fraction ``held_out`` of the rows is kept from training:
    half of them choose the checkpoint, the other half are what the estimate is measured on. ``seed`` names the
    initial weights, the split and the batches. Raises ParameterError for a value outside its range.

    >>> TrainingConfig(steps=100).batch
    128
    """

    hidden: int = 64
    layers: int = 2
    steps: int = 2000
    batch: int = 128
    learning_rate: float = 1e-3
    held_out: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, minimum in (("hidden", 1), ("layers", 1), ("steps", 1), ("batch", 2), ("seed", 0)):
            object.__setattr__(self, name, require_count(name, getattr(self, name), minimum=minimum))
        object.__setattr__(self, "learning_rate", require_positive("learning_rate", self.learning_rate))
        object.__setattr__(self, "held_out", require_positive("held_out", self.held_out))
        if not self.held_out < 1:
            raise ParameterError(f"held_out: expected a fraction in (0, 1), got {self.held_out!r}; pass e.g. 0.4")


@dataclass(frozen=True, kw_only=True)
class CriticConfig(TrainingConfig):
    """:class:`TrainingConfig` and the kind of critic, "separable" (n + m perceptron evaluations) or "joint" (n·m).

    Raises ParameterError as there, UnknownNameError for another critic.

    >>> CriticConfig(critic="joint").critic
    'joint'
    """

    critic: Literal["separable", "joint"] = "separable"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("critic", self.critic, CRITICS)


class Pairs(NamedTuple):
    """Rows of x and y that belong together."""

    x: Samples
    y: Samples


@dataclass(frozen=True, kw_only=True)
class Split:
    """Standardized pairs to train on, to choose the checkpoint by and to evaluate; ``key`` names their data set."""

    train: Pairs
    validation: Pairs
    test: Pairs
    std_y: Float[np.ndarray, " d_y"]
    key: str


def split(x: Samples, y: Samples, config: TrainingConfig, *, exchangeable: bool) -> Split:
    """Divide pairs at random, and standardize them by mean and deviation of the training rows alone.

    The division depends on the set of pairs alone: rows are put in canonical order first, and the permutation is
    drawn from a stream named by the seed and the ranks of the data. (With a permutation of the canonical order
    that is the same for all data sets, the test rows would have fixed ranks, and no law of chance.)
    ``exchangeable`` also makes it independent of which block is called x (``first`` may then be y), and compresses
    outliers in both blocks, otherwise in x only. Values are rounded to float32, which forgets the rounding errors of
    another unit. Raises SampleError for too few rows.

    >>> rng = np.random.default_rng(0)
    >>> parts = split(rng.normal(size=(100, 2)), rng.normal(size=(100, 1)), TrainingConfig(), exchangeable=False)
    >>> len(parts.train.x), len(parts.validation.x), len(parts.test.x)
    (60, 20, 20)
    """
    n = len(x)
    held_out = round(config.held_out * n)
    if held_out < FEWEST_HELD_OUT_ROWS or n - held_out < FEWEST_TRAINING_ROWS:
        raise SampleError(
            f"x and y: expected at least {FEWEST_TRAINING_ROWS} rows to train on and {FEWEST_HELD_OUT_ROWS} held out, "
            f"got {n - held_out} and {held_out} of {n}; draw more or change held_out={config.held_out}"
        )
    order = canonical_order(x, y)
    first, second = x[order], y[order]
    if exchangeable and _precedes(second, first):
        first, second = second, first
    key = blake2b(_ranks(first).tobytes() + _ranks(second).tobytes(), digest_size=16).hexdigest()
    rows = stream(config.seed, "variational", "split", key).permutation(n)
    training = rows[: n - held_out]
    units = [_location_and_std(z, training) for z in (first, second)]
    first, second = (
        ((z - mean) / std).astype(np.float32).astype(float)
        for z, (mean, std) in zip((first, second), units, strict=True)
    )
    first, second = compressed(first), compressed(second) if exchangeable else second
    validation = n - held_out + held_out // 2
    parts = np.split(rows, [n - held_out, validation])
    train, chosen_by, test = (Pairs(first[part], second[part]) for part in parts)
    return Split(train=train, validation=chosen_by, test=test, std_y=units[1][1], key=key)


def compressed(x: Samples) -> Samples:
    """x, with 3 + log(|x| − 2) in place of |x| > 3: an injective map that keeps outliers from ruling a critic.

    >>> compressed(np.array([[-1.0, 3.0, 1002.0]])).round(3)
    array([[-1.   ,  3.   ,  9.908]])
    """
    size = np.abs(x)
    return np.where(size > LINEAR_UP_TO, np.sign(x) * (LINEAR_UP_TO + np.log1p(np.fmax(size - LINEAR_UP_TO, 0))), x)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The weights of the best checkpoint and how training went."""

    weights: Any
    best_step: int
    steps: int
    validation: Float[np.ndarray, " evaluations"]

    @property
    def rising(self) -> bool:
        """Whether validation was still rising: best in the last tenth, the last quarter up by 5 % of all progress."""
        v, quarter = self.validation, max(1, len(self.validation) // 4)
        if len(v) < 2 * quarter or self.best_step < 0.9 * self.steps:
            return len(v) < 2
        return bool(v[-quarter:].mean() - v[-2 * quarter : -quarter].mean() > 0.05 * (v.max() - v[0]))


def maximize(
    objective: Objective,
    initial: Float[Any, " p"],
    train: Pairs,
    validation: Pairs,
    config: TrainingConfig,
    *,
    key: str,
) -> Trained:
    r"""Make the objective large on the training pairs; return the running mean of the weights at its best validation.

    AdamW [1] on one vector, gradients clipped to norm 1, weight decay 1 and a running mean of the weights with
    decay 0.98, in float32. (On Gaussian data, n = 2000, d = 5, I = 2.55 nats, decay and averaging brought held-out
    InfoNCE from 2.33 to 2.42 and the Jensen–Shannon estimate from 1.79 to 2.29.) A step whose gradient is not
    finite is left out. A function of its arguments: batches come from a stream named by seed and key, on one thread;
    torch's generator and thread count are as before on leaving, also on KeyboardInterrupt.

    References
    ----------
    [1] Loshchilov & Hutter (2019). Decoupled weight decay regularization. ICLR.

    >>> import torch
    >>> data = Pairs(np.zeros((4, 1)), np.zeros((4, 1)))
    >>> run = maximize(lambda w, x, y: -(w - 1).square().sum(), torch.zeros(1), data, data,
    ...                TrainingConfig(learning_rate=0.1, steps=50), key="doctest")
    >>> run.steps, bool(run.validation[0] < run.validation[-1] < 0)
    (50, True)
    """
    import torch

    x, y = (torch.from_numpy(z.astype(np.float32)) for z in train)
    held_x, held_y = (torch.from_numpy(z[:LARGEST_BATCH].astype(np.float32)) for z in validation)
    weights = initial.clone().requires_grad_()
    averaged, slope, square = initial.clone(), torch.zeros_like(initial), torch.zeros_like(initial)
    best, best_value, best_step, curve, step = initial.clone(), -math.inf, 0, [], 0
    batches = _batches(len(x), min(config.batch, len(x)), stream(config.seed, "variational", "batches", key))
    with one_thread(), progress_bar("training a critic", config.steps) as bar:
        for step in range(1, config.steps + 1):
            batch = torch.from_numpy(next(batches))
            (gradient,) = torch.autograd.grad(objective(weights, x[batch], y[batch]), weights)
            norm = gradient.norm()
            with torch.no_grad():
                if bool(norm.isfinite()):
                    gradient *= LARGEST_GRADIENT / max(LARGEST_GRADIENT, float(norm))
                    slope.lerp_(gradient, 1 - 0.9)
                    square.lerp_(gradient**2, 1 - 0.999)
                    move = slope / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
                    weights += config.learning_rate * (move - WEIGHT_DECAY * weights)
                averaged.lerp_(weights, 1 - AVERAGING)
                if step % EVALUATE_EVERY == 0 or step == config.steps:
                    curve.append(float(objective(averaged, held_x, held_y)))
                    if curve[-1] > best_value:
                        best, best_value, best_step = averaged.clone(), curve[-1], step
            bar.update()
            if step - best_step >= PATIENCE:
                break
    return Trained(weights=best, best_step=best_step, steps=step, validation=np.array(curve))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread; on leaving, its number of threads is as before.

    >>> import torch
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " batch"]]:
    """Row numbers of each batch, without end: full batches only, every epoch in a new order."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def _location_and_std(z: Samples, training: Int[np.ndarray, " m"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the training rows; of all rows for a column that does not vary among these."""
    seen = z[training]
    still = np.ptp(seen, axis=0) == 0
    return seen.mean(axis=0), np.concatenate(
        [column_std(z[:, [j]] if constant else seen[:, [j]]) for j, constant in enumerate(still)]
    )


def _ranks(z: Samples) -> Int[np.ndarray, "n d"]:
    """The order of the rows in each column: what no unit changes, and rounding hardly ever."""
    return np.argsort(z, axis=0, kind="stable")


def _precedes(first: Samples, second: Samples) -> bool:
    """A strict order of blocks that knows nothing but their values: by width, then ranks, then standardized values."""
    if first.shape != second.shape:
        return first.shape < second.shape
    for a, b in ((_ranks(first), _ranks(second)), (_rounded(first), _rounded(second))):
        different = np.flatnonzero(a.ravel() != b.ravel())
        if different.size:
            return bool(a.flat[different[0]] < b.flat[different[0]])
    return False


def _rounded(z: Samples) -> Float[np.ndarray, "n d"]:
    return ((z - z.mean(axis=0)) / column_std(z)).astype(np.float32)
