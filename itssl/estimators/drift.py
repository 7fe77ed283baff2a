"""Does a nearest-neighbor value still move with the sample size? Read off the parts that its error bar needs anyway."""

import numpy as np

from itssl.estimate import Bias, Estimate, EstimateWarning, Reference, student_quantile
from itssl.estimators.adequacy import bias_warnings
from itssl.estimators.error_bars import Subsamples

RATE = 2e-3
"""How often Student's t would exceed the number of errors by which the mean over parts must differ from the value: 3.5
with 24 degrees of freedom, 4.5 with 8. Independent samples, where KSG has no bias, exceed it in 0.0 to 0.5 %."""

HOPELESS = frozenset({"ceiling", "deterministic", "disjoint_support", "ties"})
NO_ENTROPY = frozenset(
    {"ties", "atoms", "integers", "singular_support", "low_dimensional_support", "small_sample_for_dimension"}
    | {"high_dimension"}  # there the bias falls by no power of n, and its own warning says that it is large
)
"""Of entropies: codes that say all that the sample size could."""

_REFERENCE = Reference(
    authors="Delattre & Fournier", title="On the Kozachenko–Leonenko entropy estimator", year=2017,
    where="Journal of Statistical Planning and Inference 185, 69-93",
)  # fmt: skip


def drift_bias(value: float, parts: Subsamples, *, n: int, d: int, method: str) -> Estimate:
    r"""Bias at n rows from the mean over parts of n/B rows: (mean − value) / (B^{2/d} − 1), if bias falls as n^{−2/d}.

    That is its order inside a smooth density [1]; edges, tails and many dimensions disturb it. Measured for KSG
    (k = 4, n = 1000, 40 samples each; spread in brackets), in nats:

    =====================  =====  ==============  =============  =============  =============
    law                    d      independent     Gaussian       through x√|x|  spiral
    =====================  =====  ==============  =============  =============  =============
    true bias              2...6  0.00            (d=4) −0.03    (d=6) −0.27    (d=6) −0.45
    found                  2...6  0.00 (.01-.04)  −0.08 (.02)    −0.26 (.03)    −0.22 (.04)
    =====================  =====  ==============  =============  =============  =============

    and for the entropy of Kozachenko–Leonenko, with the share of samples that ``neighbor_bias`` warns of:

    =====================  ============  ============  ===========  ===========  ============
    n = 1000               Gaussian d=2  Gaussian d=5  uniform d=3  uniform d=5  saturated d=4
    =====================  ============  ============  ===========  ===========  ============
    true bias              −0.02         −0.07         +0.15        +0.52        +2.2
    found                  −0.01         +0.02         +0.06        +0.25        +0.7
    warned                 0 %           0 %           57 %         97 %         100 %
    =====================  ============  ============  ===========  ===========  ============

    The standard error is that of the value, divided alike. From sample to sample the difference varied by 0.5 to 1.2 of
    it with B = 4 parts (n = 200 and 1000), by 0.3 to 0.8 with B = 2 (n = 60 to 1000).

    References
    ----------
    [1] Delattre & Fournier (2017). On the Kozachenko–Leonenko entropy estimator. J. Statist. Plann. Inference 185.

    >>> parts = Subsamples(standard_error=0.01, degrees_of_freedom=24.0, mean=0.3, blocks=4)
    >>> drift_bias(0.4, parts, n=1000, d=4, method="KSG")
    -0.100 ± 0.010 nats (KSG, n=1000)
    """
    factor = parts.blocks ** (2 / d) - 1
    return Estimate(
        value=(parts.mean - value) / factor, standard_error=parts.standard_error / factor, n=n, bias=Bias.UNKNOWN,
        method=method, reference=_REFERENCE,
    )  # fmt: skip


def drift(
    value: float,
    parts: Subsamples,
    found: tuple[EstimateWarning, ...],
    *,
    n: int,
    d: int,
    method: str,
    name: str = "(x, y)",
    hopeless: frozenset[str] = HOPELESS,
) -> tuple[tuple[EstimateWarning, ...], dict[str, float]]:
    """``found`` and, where the bias exceeds 2 standard errors of the value and its own noise, code ``neighbor_bias``.

    And the bias as a diagnostic. Where ``found`` holds a stronger reason for doubt (one of ``hopeless``), or the parts
    have no finite mean, nothing is added.

    >>> parts = Subsamples(standard_error=0.01, degrees_of_freedom=24.0, mean=0.3, blocks=4)
    >>> (warning,), numbers = drift(0.4, parts, (), n=1000, d=4, method="KSG")
    >>> warning.code, round(numbers["estimated_bias_nats"], 6)
    ('neighbor_bias', -0.1)
    """
    if not np.isfinite([value, parts.mean]).all() or hopeless & {w.code for w in found}:
        return found, {}
    bias = drift_bias(value, parts, n=n, d=d, method=method)
    noise = student_quantile(1 - RATE / 2, parts.degrees_of_freedom)
    moved = bias_warnings(bias, parts.standard_error, name=name, noise=noise)
    return found + moved, {"estimated_bias_nats": bias.value}
