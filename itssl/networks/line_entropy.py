"""Entropy of a density on the line by quadrature between given points, with an error that counts what was missed."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from itssl.estimate import Bias, Estimate

_NODES = (4, 8, 16, 32, 64)
_STEPS = 2.0 ** np.arange(-1, 4)
"""Where a narrow part is cut, in its deviations on both sides."""


def entropy_between(
    cuts: Float[np.ndarray, " q"],
    log_density: Callable[[Float[np.ndarray, "n 1"]], Float[np.ndarray, " n"]],
    method: str,
) -> Estimate:
    """−∫ p log p by Gauss–Legendre between successive cuts, with more nodes until two sums agree.

    The error is their difference, plus what the mass is off 1 times the largest surprise seen.

    >>> cuts = np.linspace(0, 1, 3)
    >>> print(entropy_between(cuts, lambda z: np.full(len(z), 0.0), "uniform"))
    0 ± 0 nats (uniform, n=16)
    """
    middle, half = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts) / 2
    last, difference, value, mass, largest, nodes = np.inf, np.inf, np.nan, np.nan, 1.0, 0
    for nodes in _NODES:
        place, weight = np.polynomial.legendre.leggauss(nodes)
        log_p = log_density((middle[:, None] + half[:, None] * place).reshape(-1, 1))
        measure = (half[:, None] * weight).ravel() * np.exp(log_p)
        surprise = np.where(np.isfinite(log_p), -log_p, 0.0)
        value, mass = float(measure @ surprise), float(measure.sum())
        difference, last, largest = (
            abs(value - last),
            value,
            max(1.0, float(np.abs(surprise[measure > 0]).max(initial=1))),
        )
        if difference <= 1e-12 * max(1.0, abs(value)):
            break
    return Estimate(
        value=value, standard_error=difference + abs(mass - 1) * largest, n=len(half) * nodes, bias=Bias.UNBIASED,
        method=method, diagnostics={"mass": mass},
    )  # fmt: skip


def cuts_around(
    ends: Float[np.ndarray, " q"],
    centers: Float[np.ndarray, " c"],
    deviations: Float[np.ndarray, " c"],
    margin: float,
) -> Float[np.ndarray, " p"]:
    """Where a density on the line may bend: at ``ends``, and around parts of the given centers and deviations.

    A part is cut at half to eight deviations from its center. With a margin (of noise) all ends are rounded off to it,
    and are cut likewise.

    >>> cuts_around(np.array([0.0, 10.0]), np.array([5.0]), np.array([1.0]), 0.0)
    array([ 0. ,  1. ,  3. ,  4. ,  4.5,  5. ,  5.5,  6. ,  7. ,  9. , 10. ])
    """
    steps = np.concatenate([-_STEPS, [0.0], _STEPS])
    parts = (centers[:, None] + deviations[:, None] * steps).ravel()
    around = (ends[:, None] + margin * steps).ravel() if margin > 0 else ends
    low, high = ends.min() - 9 * margin, ends.max() + 9 * margin
    found = np.unique(np.concatenate([around, parts, [low, high]]))
    return found[(found >= low) & (found <= high)]
