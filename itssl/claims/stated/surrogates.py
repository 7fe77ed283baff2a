"""From the bound to VICReg: stated numbers about surrogates and linear-Gaussian optima."""

import numpy as np

from itssl.claims.finite_batches import _descend
from itssl.claims.stated_values import StatedValue
from itssl.claims.vicreg_surrogates import CanonicalViews
from itssl.objectives.vicreg import covariance_term


def _covariance_term_after_descent(rng: np.random.Generator) -> float:
    return float(covariance_term(_descend(17, 64, rng)))


VALUES = (
    StatedValue(
        claim="C25", quantity="c(Z) that gradient descent reaches, K = 64, N = 17", stated=3.0, rounding=0.05,
        measure=_covariance_term_after_descent, replicates=4, level="quick", units="",
        note="The floor K/(N − 1) − 1 is 3 exactly.",
    ),
    StatedValue(
        claim="C27", quantity="largest information, d = 5", stated=4.445, rounding=5e-4,
        measure=lambda rng: CanonicalViews(k=5).best_information, replicates=1, level="quick",
    ),
    StatedValue(
        claim="C27", quantity="largest information, d = 10", stated=5.797, rounding=5e-4,
        measure=lambda rng: CanonicalViews(k=10).best_information, replicates=1, level="quick",
    ),
    StatedValue(
        claim="C27", quantity="largest bound, d = 5", stated=4.2914, rounding=5e-5,
        measure=lambda rng: CanonicalViews(k=5).best_bound, replicates=1, level="quick",
    ),
    StatedValue(
        claim="C27", quantity="largest bound, d = 10", stated=5.1415, rounding=5e-5,
        measure=lambda rng: CanonicalViews(k=10).best_bound, replicates=1, level="quick",
    ),
)  # fmt: skip
