"""Kozachenko–Leonenko entropy of a law on a known box: balls are cut to the box."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, refuse_constant_columns
from itssl.choices import ParameterError, require_count
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.adequacy import neighbor_warnings
from itssl.estimators.ball_entropies import BallEntropies
from itssl.estimators.diagnosis import small_sample_warnings
from itssl.estimators.neighbor_extrapolation import (
    extrapolation_weights,
    neighbor_summary,
    neighbors_needed,
    require_more_than_k,
)
from itssl.estimators.standardization import canonical_order

SideLike: TypeAlias = Any
"""A number, or one number a column (tuple, list or array); kept as a float or a tuple of floats."""


@dataclass(frozen=True)
class TruncatedKozachenkoLeonenko:
    r"""Differential entropy of a law that lives in the box [lower, upper], by the truncated estimator [1].

    ĥ = ψ(n) − ψ(k) + ⟨log Vol(B_i ∩ box)⟩, with B_i the Chebyshev ball (a cube) around x_i that reaches its k-th
    neighbor. ``lower`` and ``upper`` are numbers, or one number a column; ±inf leaves a side open.

    Given x_i, the masses of the balls that reach each of the n − 1 other rows are independent uniform variables, so
    P(B_i) is the k-th smallest of them, Beta(k, n−k), and E log P(B_i) = ψ(k) − ψ(n) whatever the density. The law has
    no mass outside the box: P(B_i) = P(B_i ∩ box), which is p(x_i) Vol(B_i ∩ box) where p is constant on the *cut*
    ball; the whole volume would count room that cannot hold a row. Hence ĥ is exactly unbiased for the uniform law on
    the box at every n > k, and for other densities on it the terms n^{−1/d} from the edges, which rule
    Kozachenko–Leonenko's bias, are gone. Columns are not rescaled. The interval is the hull of Student's t intervals
    of this value and of the extrapolation with powers n^{−2/d} (:mod:`itssl.estimators.neighbor_extrapolation`).
    Raises ParameterError for k < 1 and unless lower < upper.

    References
    ----------
    [1] Ao & Li (2022). Entropy estimation via normalizing flow. Proc. AAAI 36(9).

    >>> x = np.random.default_rng(0).uniform(size=(1000, 3))
    >>> TruncatedKozachenkoLeonenko(lower=0.0, upper=1.0).entropy(x)
    0.009 ± 0.029 nats (TruncatedKozachenkoLeonenko(lower=0.0, upper=1.0, k=4), n=1000)
    """

    lower: SideLike
    upper: SideLike
    k: int = 4

    REFERENCE = Reference(
        authors="Ao & Li", title="Entropy estimation via normalizing flow", year=2022,
        where="Proceedings of the AAAI Conference on Artificial Intelligence 36(9)",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", require_count("k", self.k))
        object.__setattr__(self, "lower", _side("lower", self.lower))
        object.__setattr__(self, "upper", _side("upper", self.upper))
        low, high = np.atleast_1d(self.lower), np.atleast_1d(self.upper)
        if 1 not in (len(low), len(high)) and len(low) != len(high):
            raise ParameterError(f"upper: expected {len(low)} numbers like lower, got {len(high)}")
        if not (low < high).all():
            raise ParameterError(f"upper: expected numbers above lower = {self.lower}, got {self.upper}")

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """Entropy of x, shape (n, d) with n > k and every row in the box, in nats.

        Standard error by subsampling. A row with k copies makes the value −inf; any copy adds the warning ``ties``,
        linear dependence ``singular_support``. Raises SampleError for rows outside the box, a box of
        another dimension, n ≤ k, constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        n, d = x.shape
        require_more_than_k(n, self.k, "x")
        lower, upper = self._box(x)
        needed = neighbors_needed(n, self.k)
        found = neighbor_summary(
            BallEntropies(x, needed, "chebyshev", lambda rows, radius: _log_cut_volumes(x[rows], radius, lower, upper)),
            canonical_order(x), d, extrapolation_weights(self.k, ()), edges=False,
        )  # fmt: skip
        return Estimate(
            value=found.value, standard_error=found.standard_error, degrees_of_freedom=found.degrees_of_freedom,
            n=n, bias=Bias.UNKNOWN, method=repr(self), reference=self.REFERENCE,
            interval_rule=found.interval_rule, diagnostics=found.diagnostics,
            warnings=neighbor_warnings(x, k=self.k) + small_sample_warnings(found.standard_error, found.value, n),
        )  # fmt: skip

    def _box(self, x: Samples) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """Both corners with one number a column, once it is sure that they hold every row."""
        n, d = x.shape
        for side, numbers in (("lower", np.atleast_1d(self.lower)), ("upper", np.atleast_1d(self.upper))):
            if len(numbers) not in (1, d):
                raise SampleError(f"x: expected {len(numbers)} columns, as many as {side} has numbers, got {d}")
        lower, upper = np.broadcast_to(self.lower, d).astype(float), np.broadcast_to(self.upper, d).astype(float)
        outside = ((x < lower) | (x > upper)).any(axis=1)
        if outside.any():
            raise SampleError(
                f"x: expected rows in the box from {self.lower} to {self.upper}, got {int(outside.sum())} of {n} "
                f"outside (first in row {int(outside.argmax())}); widen the box, or use KozachenkoLeonenko"
            )
        return lower, upper


def _log_cut_volumes(
    x: Samples, radius: Float[np.ndarray, "n k"], lower: Float[np.ndarray, " d"], upper: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "n k"]:
    """log of the volume that the box leaves of the cubes of these half sides around each row."""
    log_volumes = np.zeros_like(radius)
    with np.errstate(divide="ignore"):
        for column, low, high in zip(x.T, lower, upper, strict=True):
            below, above = np.minimum(radius.T, column - low), np.minimum(radius.T, high - column)
            log_volumes += np.log((below + above).T)
    return log_volumes


def _side(argument: str, value: Any) -> float | tuple[float, ...]:
    """A side of the box as a float or a tuple of floats; ParameterError for anything else and for NaN."""
    many = np.ndim(value) == 1
    numbers = list(value) if many else [value]
    if not numbers or any(isinstance(v, bool) or not isinstance(v, Real) or np.isnan(float(v)) for v in numbers):
        raise ParameterError(f"{argument}: expected a number or a tuple of numbers, got {value!r}; pass e.g. 0.0")
    return tuple(map(float, numbers)) if many else float(value)
