"""Is a better than b over the same seeds: paired differences with error bar, interval and exact sign-flip test."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_paired_samples, stream
from itssl.choices import ParameterError, require_count
from itssl.estimate import format_with_error, json_number, student_quantile
from itssl.markup import facts


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """a − b over n seeds, one difference a seed. Made by :func:`paired_difference`.

    >>> found = paired_difference([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    >>> found.mean, found.n, found.p_value
    (2.0, 3, 0.25)
    """

    mean: float
    standard_error: float
    n: int
    positive: int
    negative: int
    """Seeds with a > b and with a < b; the others are ties."""
    p_value: float
    """Two-sided sign-flip test of a law of differences symmetric about 0."""
    smallest_p_value: float
    """The least the test could have given: 2/2^m with m seeds that are no ties, 1 without any; or of its draws."""
    exact: bool
    """Whether all sign patterns were counted."""

    def __bool__(self) -> bool:
        raise TypeError("a PairedDifference has no truth value; see .interval() and .p_value")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's t interval of the expected difference, n − 1 degrees of freedom; exact for normal differences.

        Raises ParameterError unless 0 < level < 1.

        >>> low, high = paired_difference([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).interval()
        >>> print(f"{low:.3f} {high:.3f}")
        -0.484 4.484
        """
        if not 0 < level < 1:
            raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}; pass e.g. 0.95")
        half = student_quantile(0.5 + level / 2, self.n - 1) * self.standard_error
        return self.mean - half, self.mean + half

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        interval = [json_number(end) for end in self.interval(0.95)]
        return {**{k: json_number(v) for k, v in self.__dict__.items()}, "interval_95": interval}

    def __str__(self) -> str:
        sign = "+" if self.mean > 0 else ""
        return (
            f"{sign}{format_with_error(self.mean, self.standard_error)} ({self.positive} of {self.n} seeds, "
            f"sign-flip p = {self.p_value:.3g})"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        low, high = self.interval(0.95)
        rows = {
            "mean difference": f"{format_with_error(self.mean, self.standard_error)}",
            "95 % interval": f"{low:.4g} … {high:.4g}",
            "seeds": f"{self.positive} positive, {self.negative} negative, {self.n} in all",
            "sign-flip p": f"{self.p_value:.3g} ({'exact' if self.exact else 'by random flips'})",
            "smallest reachable p": f"{self.smallest_p_value:.3g}",
        }
        return facts(rows)


def paired_difference(
    a: SamplesLike | Mapping[Any, float], b: SamplesLike | Mapping[Any, float], *, flips: int = 2**20, seed: int = 0
) -> PairedDifference:
    r"""Mean of a_i − b_i over seeds i, its standard error, and the sign-flip test [1].

    If the differences are symmetric about 0 every pattern of signs is equally likely, so

    .. math:: p = 2^{-n}\,\#\bigl\{s \in \{\pm1\}^n : \bigl|\textstyle\sum_i s_i d_i\bigr| \ge
        \bigl|\textstyle\sum_i d_i\bigr|\bigr\},

    exact for every such law and every n; two results, and two sums, count as equal when rounding could part them. With
    n seeds p is at least 2/2^n: five seeds never reach 0.05. When 2^n exceeds ``flips``, that many random patterns are
    drawn instead and p = (1 + reached)/(1 + flips) [2], a valid p-value too. (scipy.stats.permutation_test does the
    same with one array and permutation_type="samples", but lists the patterns in Python: seconds for 20 seeds.)

    Parameters
    ----------
    a, b: results in the same order of seeds, shape (n,), n >= 2 each; or two mappings from seed to result.
    flips: the largest number of sign patterns to go through.
    seed: names the random patterns.

    Raises
    ------
    SampleError: unequal lengths or seeds, more than one column, fewer than two seeds, NaN or infinite results.
    ParameterError: flips below 1.

    References
    ----------
    [1] Pitman (1937). Significance tests which may be applied to samples from any populations. Supplement to the
        Journal of the Royal Statistical Society 4(1).
    [2] Phipson & Smyth (2010). Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9(1).

    >>> paired_difference([1.1, 0.9, 1.4, 1.0, 1.2], [0.5, 0.7, 0.6, 0.8, 0.3])
    +0.54 ± 0.15 (5 of 5 seeds, sign-flip p = 0.0625)
    >>> paired_difference({0: 0.9, 1: 0.8}, {1: 0.7, 2: 0.6})
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: a and b: expected the same seeds, got 0 only in a and 2 only in b; pair what both have
    """
    require_count("flips", flips)
    one, two = _aligned(a, b)
    rounding = 4 * float(np.finfo(float).eps) * np.maximum(np.abs(one), np.abs(two))
    difference = np.where(np.abs(one - two) <= rounding, 0.0, one - two)[:, 0]
    n, positive, negative = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    # A tie adds nothing to any sum: counting patterns without it gives the same share.
    moved = difference[difference != 0]
    reach = abs(moved.sum()) - 2 * n * float(np.finfo(float).eps) * float(np.abs(moved).sum())
    exact = len(moved) <= 62 and 2 ** len(moved) <= flips
    if exact:
        p, smallest = float((np.abs(_all_sums(moved)) >= reach).mean()), min(1.0, 2.0 ** (1 - len(moved)))
    else:
        p, smallest = (1 + _reached(moved, reach, flips, seed)) / (1 + flips), 1 / (1 + flips)
    return PairedDifference(
        mean=float(difference.mean()), standard_error=float(difference.std(ddof=1) / math.sqrt(n)), n=n,
        positive=positive, negative=negative, p_value=p, smallest_p_value=smallest, exact=exact,
    )  # fmt: skip


def _aligned(a: Any, b: Any) -> tuple[Samples, Samples]:
    """Both as columns; mappings by their seeds."""
    mapped = [isinstance(side, Mapping) for side in (a, b)]
    if any(mapped) and not all(mapped):
        raise SampleError("a and b: expected two mappings from seed to result or two arrays, got one of each")
    if all(mapped):
        if a.keys() != b.keys():
            lonely = [
                f"{', '.join(map(repr, list(part)[:5]))} only in {name}"
                for part, name in ((a.keys() - b.keys(), "a"), (b.keys() - a.keys(), "b"))
                if part
            ]
            raise SampleError(f"a and b: expected the same seeds, got {' and '.join(lonely)}; pair what both have")
        a, b = [float(a[key]) for key in a], [float(b[key]) for key in a]
    one, two = as_paired_samples(a, b, names=("a", "b"))
    if one.shape[1] != 1 or two.shape[1] != 1:
        raise SampleError(
            f"a and b: expected one result a seed, got shapes {one.shape} and {two.shape}; pass one column at a time"
        )
    return one, two


def _all_sums(d: Float[np.ndarray, " m"]) -> Float[np.ndarray, " _"]:
    """Σ s_i d_i for all 2^m patterns of signs, built up one number at a time."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _reached(d: Float[np.ndarray, " m"], reach: float, flips: int, seed: int) -> int:
    """How many of ``flips`` random patterns have a sum at least ``reach`` in size."""
    rng, found, batch = stream(seed, "sign flips"), 0, max(1, 2**21 // len(d))
    for start in range(0, flips, batch):
        signs = 2.0 * rng.integers(0, 2, size=(min(batch, flips - start), len(d)), dtype=np.int8) - 1
        found += int((np.abs(signs @ d) >= reach).sum())
    return found
