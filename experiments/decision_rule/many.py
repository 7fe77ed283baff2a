"""The decision rule on many runs at once, and gaps of known mean to run it on."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from itssl.claims.decision import FIRST_LOOK, Outcome, Relation
from itssl.estimate import student_quantile

Average: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
AVERAGED = 50

AVERAGES: dict[str, Average] = {
    "normal": lambda rng, shape: rng.standard_normal(shape) / math.sqrt(AVERAGED),
    "skewed (exponential)": lambda rng, shape: rng.standard_gamma(AVERAGED, shape) / AVERAGED - 1,
    "heavy-tailed (Student, 4 degrees)": lambda rng, shape: (
        sum(rng.standard_t(4, shape) for _ in range(AVERAGED)) / (AVERAGED * math.sqrt(2))
    ),
    "single skewed draws, not averaged": lambda rng, shape: (rng.exponential(size=shape) - 1) / math.sqrt(AVERAGED),
}
"""Replicates of mean 0 and variance 1/50: averages over 50 draws of variance 1, and for contrast draws not averaged."""


def decide_many(
    gaps: np.ndarray, relation: Relation, margin: float, *, false_verdict_rate: float, first_look: int = FIRST_LOOK
) -> tuple[np.ndarray, np.ndarray]:
    """Outcome and replicates used of each row of gaps (runs, replicates): `itssl.claims.decision.decide`, in arrays."""
    runs, most = gaps.shape
    looks = [first_look * 2**i for i in range(int(math.log2(most / first_look)) + 1)]
    outcomes, used = np.full(runs, Outcome.UNDECIDED, dtype=object), np.full(runs, looks[-1])
    undecided = np.ones(runs, dtype=bool)
    for n in looks:
        seen = gaps[undecided, :n]
        half = student_quantile(1 - false_verdict_rate / len(looks) / 2, n - 1) * seen.std(axis=1, ddof=1) / n**0.5
        low, high = seen.mean(axis=1) - half, seen.mean(axis=1) + half
        if relation is Relation.AT_LEAST:
            low, high = -high, -low
        holds, violated = high <= margin, low > margin
        if relation is Relation.EQUAL:
            holds, violated = holds & (low >= -margin), violated | (high < -margin)
        rows = np.flatnonzero(undecided)
        outcomes[rows[holds]], outcomes[rows[violated]] = Outcome.HOLDS, Outcome.VIOLATED
        used[rows[holds | violated]] = n
        undecided[rows[holds | violated]] = False
    return outcomes, used
