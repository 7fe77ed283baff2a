"""Centers of a mixture: stated numbers of C47."""

from functools import partial

import numpy as np

from itssl.claims.center_dynamics import ABOVE, BELOW, fit, standardized
from itssl.claims.stated_values import StatedValue


def _variance_of_centers(ratio: float, rng: np.random.Generator) -> float:
    """Σ π_k ‖μ_k − mean‖² of four centers fitted to 500 draws of N(0, I_2), in units of λ_max, at σ² = ratio λ_max."""
    inputs = standardized(rng.standard_normal((500, 2)))
    return fit(inputs, inputs.start(rng), ratio).trace


VALUES = (
    StatedValue(
        claim="C47", quantity="tr Cov of centers at σ² = 0.95 λ_max", stated=0.076, rounding=5e-4, units="λ_max",
        measure=partial(_variance_of_centers, BELOW), replicates=16, source_replicates=1, level="default",
        note="The inputs are not described. For Gaussian ones it is at most Σ max(0, λ_i − σ²), so 0.076 takes two "
        "directions or more of nearly the largest variance: 500 draws of N(0, I_2) and four centers, by that search.",
    ),
    StatedValue(
        claim="C47", quantity="tr Cov of centers at σ² = 1.05 λ_max", stated=2e-29, rounding=1e-28, units="λ_max",
        measure=partial(_variance_of_centers, ABOVE), replicates=8, level="default",
        note="Zero but for roundings and the steps taken, each of which leaves 1/1.05² of it: compared to 1e-28. The "
        "inputs are those at 0.95.",
    ),
)  # fmt: skip
