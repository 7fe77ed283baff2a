"""Histograms: entropy and information from counts in equal bins, and how much they depend on the bins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, SamplesLike, as_paired_samples, as_samples, refuse_constant_columns
from itssl.choices import ParameterError, require_count
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference, format_with_error
from itssl.estimators.diagnosis import ceiling_warnings, pair_warnings, sample_warnings, small_sample_warnings
from itssl.markup import require_pandas, table

NOTICED = 0.05
"""Nats by which half as many bins may move an answer before it warns."""


@dataclass(frozen=True)
class Binning:
    r"""Plug-in entropy of a histogram with ``bins`` equal bins per coordinate over its range, Miller–Madow corrected.

    ĥ = Ĥ + (K−1)/(2n) + log(bin volume) with Ĥ = −Σ p̂ log p̂ over the K occupied cells [1]; information is
    Ĥ(x) + Ĥ(y) − Ĥ(x, y) with the same corrections. Coarse bins blur the law (information too low, entropy too high),
    fine ones count rows (Ĥ → log n, information → log n): always look at :func:`bin_width_sweep`. For a deterministic
    network I(X; binned f(X)) is H(binned f(X)), a statement about the bins [2]. Binned entropy is not invariant under
    rotations. Raises ParameterError for fewer than two bins.

    References
    ----------
    [1] Miller (1955). Note on the bias of information estimates; Paninski (2003). Estimation of entropy and mutual
        information. Neural Computation 15(6).
    [2] Goldfeld et al. (2019). Estimating information flow in deep neural networks. ICML.

    >>> x = np.random.default_rng(0).uniform(size=4000)
    >>> Binning(bins=10).entropy(x)
    -0.00073 ± 0.00078 nats (Binning(bins=10), n=4000)
    """

    bins: int = 16

    REFERENCE = Reference(
        authors="Paninski", title="Estimation of entropy and mutual information", year=2003,
        where="Neural Computation 15(6), 1191-1253",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "bins", require_count("bins", self.bins, minimum=2))

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """Differential entropy of the histogram's density, x of shape (n, d), in nats.

        The standard error is the delta method's, √(Var log p̂/n): it knows nothing of the bins' bias. Warns
        ``empty_bins`` when most rows are alone in their cell, ``bin_width`` when half as many bins give another answer.
        Raises SampleError for constant columns and inadmissible samples.
        """
        x = as_samples(x)
        refuse_constant_columns(x)

        def density(bins: int) -> tuple[_Counts, float]:
            cells = _Counts.of(_codes(x, bins))
            return cells, cells.entropy + float(np.log(np.ptp(x, axis=0) / bins).sum())

        cells, value = density(self.bins)
        error = _error(cells.log_share)
        return Estimate(
            value=value, standard_error=error, n=len(x), bias=Bias.UNKNOWN, method=repr(self),
            reference=self.REFERENCE, diagnostics={"occupied_cells": cells.occupied},
            warnings=cells.warnings() + self._width_warnings(value, error, lambda bins: density(bins)[1])
            + sample_warnings(x) + small_sample_warnings(error, value, len(x)),
        )  # fmt: skip

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """Mutual information of the binned variables in nats; at most log n, whatever the truth.

        The population value of the binned pair is below I(X; Y) by data processing, but its estimate lies above that
        by about (occupied joint cells)/(2n), of which the correction takes a part: no direction. Warnings
        ``empty_bins``, ``bin_width``, ``ceiling``. Raises SampleError as :meth:`entropy`.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")

        def counts(bins: int) -> tuple[_Counts, _Counts, _Counts]:
            codes = _codes(x, bins), _codes(y, bins)
            return _Counts.of(codes[0]), _Counts.of(codes[1]), _Counts.of(np.hstack(codes))

        def information(bins: int) -> float:
            of_x, of_y, both = counts(bins)
            return of_x.entropy + of_y.entropy - both.entropy

        of_x, of_y, both = counts(self.bins)
        value = of_x.entropy + of_y.entropy - both.entropy
        error = _error(both.log_share - of_x.log_share - of_y.log_share)
        return Estimate(
            value=value, standard_error=error, n=len(x), bias=Bias.UNKNOWN, method=repr(self),
            reference=self.REFERENCE, diagnostics={"occupied_cells": both.occupied},
            warnings=both.warnings() + self._width_warnings(value, error, information)
            + ceiling_warnings(value, float(np.log(len(x))), "log n") + pair_warnings(x, y)
            + small_sample_warnings(error, value, len(x)),
        )  # fmt: skip

    def _width_warnings(self, value: float, error: float, at: Callable[[int], float]) -> tuple[EstimateWarning, ...]:
        """Code ``bin_width``: half as many bins move the answer by over three errors and a twentieth of a nat."""
        if self.bins < 4 or not abs((coarse := at(self.bins // 2)) - value) > np.fmax(3 * error, NOTICED):
            return ()
        return (
            EstimateWarning(
                code="bin_width",
                message=f"{self.bins // 2} bins instead of {self.bins} move the answer from {value:.3g} to "
                f"{coarse:.3g} nats; it speaks of the bins as much as of the law",
                cure="look at bin_width_sweep, or use an estimator without bins",
            ),
        )


def _error(terms: Float[np.ndarray, " n"]) -> float:
    """√(Var/n) of the summands; nan where all agree to rounding (each row alone, say): no spread to learn from."""
    error = float(terms.std() / np.sqrt(len(terms)))
    return error if error > 8 * np.finfo(float).eps * (1 + float(np.abs(terms).max())) else float("nan")


def _codes(x: Samples, bins: int) -> Int[np.ndarray, "n d"]:
    low = x.min(axis=0)
    return np.minimum((bins * ((x - low) / np.ptp(x, axis=0))).astype(np.int64), bins - 1)


@dataclass(frozen=True)
class BinWidthSweep:
    """Estimates at several numbers of bins; where they do not agree, the bins decide and not the data.

    >>> x = np.random.default_rng(0).normal(size=(500, 1))
    >>> sweep = bin_width_sweep(x, x + 1)
    >>> sweep
         4 bins: 1.001 ± 0.030 nats
         8 bins: 1.592 ± 0.032 nats
        16 bins: 2.266 ± 0.032 nats
        32 bins: 2.939 ± 0.031 nats
        64 bins: 3.624 ± 0.029 nats
       128 bins: 4.285 ± 0.026 nats
    the bins move the answer from 1 to 4.28 nats
    """

    estimates: tuple[Estimate, ...]
    bins: tuple[int, ...]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value in nats."""
        values = [e.value for e in self.estimates]
        return min(values), max(values)

    def to_pandas(self) -> Any:
        """One row per number of bins: value, standard_error, occupied_cells. ImportError without pandas."""
        pandas = require_pandas()
        columns = {
            "value": [e.value for e in self.estimates],
            "standard_error": [e.standard_error for e in self.estimates],
            "occupied_cells": [e.diagnostics["occupied_cells"] for e in self.estimates],
        }
        return pandas.DataFrame(columns, index=pandas.Index(self.bins, name="bins"))

    def __str__(self) -> str:
        low, high = self.range
        rows = [
            f"{b:>6} bins: {format_with_error(e.value, e.standard_error)} nats"
            for b, e in zip(self.bins, self.estimates, strict=True)
        ]
        return "\n".join([*rows, f"the bins move the answer from {low:.3g} to {high:.3g} nats"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        values = [format_with_error(e.value, e.standard_error) for e in self.estimates]
        return table(("bins", "nats"), zip(map(str, self.bins), values, strict=True))


def bin_width_sweep(
    x: SamplesLike, y: SamplesLike | None = None, *, bins: Sequence[int] | int = (4, 8, 16, 32, 64, 128)
) -> BinWidthSweep:
    """The binned entropy of x, shape (n, d), or information of x and y, in nats at each number of bins.

    Raises ParameterError for an empty list, else as :class:`Binning` and its methods.

    >>> rng = np.random.default_rng(0)
    >>> bin_width_sweep(rng.normal(size=500), rng.normal(size=500), bins=(4, 16, 64))  # truth: 0
         4 bins: -0.0046 ± 0.0031 nats
        16 bins: 0.116 ± 0.023 nats
        64 bins: 1.088 ± 0.040 nats
    the bins move the answer from -0.00456 to 1.09 nats
    """
    counts = [bins] if isinstance(bins, int) else bins
    if not len(counts):
        raise ParameterError("bins: expected at least one number of bins, got none")
    kinds = [Binning(bins=b) for b in counts]
    found = [kind.entropy(x) if y is None else kind.mutual_information(x, y) for kind in kinds]
    return BinWidthSweep(tuple(found), tuple(kind.bins for kind in kinds))


@dataclass(frozen=True)
class _Counts:
    """The log of each row's cell's share of the rows, and the number of occupied cells."""

    log_share: np.ndarray
    occupied: int

    @classmethod
    def of(cls, codes: Int[np.ndarray, "n d"]) -> "_Counts":
        rows = np.ascontiguousarray(codes)
        keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
        _, cell, counts = np.unique(keys, return_inverse=True, return_counts=True)
        return cls(np.log(counts[cell] / len(codes)), len(counts))

    @property
    def entropy(self) -> float:
        """−Σ p̂ log p̂ + (K−1)/(2n)."""
        return float(-self.log_share.mean() + (self.occupied - 1) / (2 * len(self.log_share)))

    def warnings(self) -> tuple[EstimateWarning, ...]:
        """Code ``empty_bins``: more than half of the rows are alone in their cell."""
        alone = int((self.log_share == np.log(1 / len(self.log_share))).sum())
        if 2 * alone <= len(self.log_share):
            return ()
        return (
            EstimateWarning(
                code="empty_bins",
                message=f"{alone} of {len(self.log_share)} rows are alone in their cell; the value counts rows, it is "
                "near log n for any law",
                cure="use fewer bins or a nearest-neighbor estimator",
            ),
        )
