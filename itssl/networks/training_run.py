"""What a training run leaves behind, also when it is cut short."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import nn

from itssl.markup import require_pandas, table


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainingRun:
    """What a training run left behind.

    ``metrics`` holds one number per step, measured before the step was taken: "loss", "gradient_norm",
    "learning_rate" and whatever the objective reported. ``evaluations`` holds one number per entry of
    ``evaluation_steps``, the count of steps taken before the evaluation.
    """

    encoder: nn.Module
    """The trained copy, in evaluation mode."""
    learner: nn.Module
    """The objective's own state: BYOL's predictor and target; without parameters for a function of embeddings."""
    metrics: Mapping[str, Float[np.ndarray, " steps"]]
    evaluations: Mapping[str, Float[np.ndarray, " evaluations"]]
    evaluation_steps: Int[np.ndarray, " evaluations"]
    seed: int
    seconds: float
    config: Mapping[str, Any]

    def __repr__(self) -> str:
        loss = self.metrics["loss"]
        course = f"loss {loss[0]:.4g} → {loss[-1]:.4g} in {len(loss)} steps" if len(loss) else "no steps"
        return f"TrainingRun(seed {self.seed}: {course}, {self.seconds:.1f} s)"

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{series[0]:.4g}", f"{series[-1]:.4g}")
            for name, series in {**self.metrics, **self.evaluations}.items()
            if len(series)
        ]
        return table(("", "first", "last"), rows, caption=repr(self))

    def to_pandas(self) -> Any:
        """Metrics and evaluations as a DataFrame over ``step``, the steps taken before. Needs pandas.

        One row for each step and evaluation, NaN where nothing was measured; the last evaluation comes after all steps.
        """
        pandas = require_pandas()
        steps = np.arange(max(map(len, self.metrics.values()), default=0))
        parts = [(self.metrics, steps), (self.evaluations, self.evaluation_steps)]
        frames = [pandas.DataFrame(dict(columns), index=pandas.Index(at, name="step")) for columns, at in parts]
        return frames[0].join(frames[1], how="outer")


class TrainingError(ValueError):
    """Training that cannot go on; ``run`` is the record up to the last good step (None if there was none)."""

    def __init__(self, message: str, run: TrainingRun | None = None) -> None:
        super().__init__(message)
        self.run = run


class TrainingInterrupted(KeyboardInterrupt):
    """The user's interrupt; ``run`` is the record up to the last finished step."""

    def __init__(self, message: str, run: TrainingRun) -> None:
        super().__init__(message)
        self.run = run
