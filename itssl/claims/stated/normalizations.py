"""The table of VICReg's normalizations: totals of one batch."""

from functools import partial

import numpy as np

from itssl.claims.stated_values import StatedValue
from itssl.objectives.vicreg import Normalization, vicreg_terms

NOTE = (
    "The batch is not described, and independent N(0, 1) views do not fit (3206, 51.0 and 51.5). The totals determine "
    "the terms: invariance 0.0896 means noise N(0, 0.3²) between the views, v(Z) + v(Z') = 0.538 deviations near 0.7, "
    "and c(Z) + c(Z') = 0.61 correlated columns. So, found by that search: Z = 0.7 G M/8 with a normal G and a normal "
    "64 × 64 matrix M, Z' = Z + 0.3 G'. The source's is one such batch."
)


def _total(normalization: Normalization, rng: np.random.Generator) -> float:
    z = 0.7 * rng.standard_normal((256, 64)) @ rng.standard_normal((64, 64)) / 8
    return float(vicreg_terms(z, z + 0.3 * rng.standard_normal(z.shape), normalization=normalization).total())


def _row(normalization: Normalization, stated: float, rounding: float) -> StatedValue:
    return StatedValue(
        claim="VICReg", quantity=f"total, {normalization}, n = 256, d = 64", stated=stated, rounding=rounding,
        measure=partial(_total, normalization), replicates=64, source_replicates=1, level="quick", note=NOTE, units="",
    )  # fmt: skip


VALUES = (_row("equation", 157.4, 0.05), _row("reference", 9.57, 0.005), _row("solo", 16.29, 0.005))
