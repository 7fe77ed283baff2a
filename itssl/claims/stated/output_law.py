"""The output law of a deterministic network: stated numbers."""

import numpy as np

from itssl.claims.exact_entropy import _fold
from itssl.claims.stated_values import StatedValue


def _entropy_of_fold(rng: np.random.Generator) -> float:
    from itssl.networks.pushforward import entropy

    fold = _fold()
    return entropy(fold.law, fold.network, n=2**10, seed=int(rng.integers(2**31))).value


VALUES = (
    StatedValue(
        claim="C07", quantity="h(|X|), X ~ N(0, I_2)", stated=1.452, rounding=5e-4,
        measure=_entropy_of_fold, replicates=1, level="quick",
    ),
)  # fmt: skip
