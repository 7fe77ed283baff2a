"""Have embeddings collapsed: to a point, to fewer directions, or not; and what that means for further training."""

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from itssl.arrays import Samples, SamplesLike, as_matrix, on_host
from itssl.choices import ParameterError, require_positive
from itssl.estimate import json_number
from itssl.evaluation.spectrum import exponential_entropy, rankme
from itssl.markup import facts

Collapse: TypeAlias = Literal["none", "dimensional", "complete"]

NEAR = 1e-2
"""Standard deviations up to this one are called close to complete collapse where 1 is aimed at."""


@dataclass(frozen=True, kw_only=True)
class CollapseReport:
    """How many directions embeddings use and how wide they are. Made by :func:`collapse_report`.

    ``rank`` counts eigenvalues of the covariance, ``dead_columns`` is the share of columns that do not vary, both up to
    the thresholds named there; ``constant_columns`` is the share that does not vary even up to rounding.

    >>> found = collapse_report(np.ones((10, 3)))
    >>> found.verdict, found.rank
    ('complete', 0)
    """

    verdict: Collapse
    n: int
    d: int
    rank: int
    effective_rank: float
    """Of the covariance, see :func:`~itssl.evaluation.spectrum.effective_rank`; 0 where nothing varies."""
    rankme: float
    """Of the embeddings with their mean, see :func:`~itssl.evaluation.spectrum.rankme`; 0 where all are zero."""
    dead_columns: float
    constant_columns: float
    largest_correlation: float
    """Largest absolute correlation of two columns that are not dead; nan where fewer than two are left."""
    smallest_std: float
    largest_std: float
    smallest_variance: float
    rounding: float

    def __bool__(self) -> bool:
        raise TypeError("a CollapseReport has no truth value; compare report.verdict with 'none'")

    @property
    def attainable_rank(self) -> int:
        """min(n − 1, d): more directions n rows cannot show."""
        return min(self.n - 1, self.d)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the numbers mean for the objectives."""
        if self.verdict == "complete":
            return (
                "all rows are equal up to rounding: the hinge on standard deviations, the covariance penalty, "
                "log-determinants with a ridge, pairwise kernels and smoothed neighbor distances have zero gradient "
                "here (claim C29), so training does not leave this point; start again from other weights, and look "
                "for what led here: no term against collapse, its weight, or the learning rate",
            )
        found = []
        if self.constant_columns:
            found.append(
                f"{self.constant_columns:.0%} of the columns are constant: their hinge, covariance and log-determinant "
                "terms have zero gradient in them (claim C29 column by column), so these terms will not revive them"
            )
        if self.verdict == "dimensional":
            found.append(
                f"rank {self.rank} of {self.attainable_rank}: a hinge on each standard deviation does not see this, "
                "correlated columns satisfy it; a covariance penalty or a log-determinant does, but the latter has no "
                "gradient along a direction that is missing exactly"
            )
        if self.largest_std <= NEAR:
            found.append(
                f"no standard deviation is above {self.largest_std:.2g}: for objectives that aim at 1 this is close to "
                "complete collapse, where a log-determinant pushes apart far harder than a hinge (claim C29)"
            )
        if self.n <= self.d:
            found.append(
                f"{self.n} rows show at most {self.n - 1} of {self.d} directions: the verdict is about those; pass "
                "more rows than columns"
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; undefined numbers become strings."""
        numbers = {k: json_number(v) if isinstance(v, float) else v for k, v in self.__dict__.items()}
        return {**numbers, "remarks": list(self.remarks)}

    def __str__(self) -> str:
        rows = self._rows()
        width = max(map(len, rows))
        notes = [f"- {remark}" for remark in self.remarks]
        return "\n".join([self._title(), *(f"  {name:<{width}}  {value}" for name, value in rows.items()), *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return facts(self._rows(), caption=self._title(), notes=self.remarks)

    def _title(self) -> str:
        kind = {"none": "no collapse", "dimensional": "dimensional collapse", "complete": "complete collapse"}
        return f"{kind[self.verdict]}: {self.n} embeddings in {self.d} dimensions"

    def _rows(self) -> dict[str, str]:
        counted = f"variances above {self.smallest_variance:g} of the largest"
        return {
            "rank": f"{self.rank} of {self.attainable_rank} ({counted})",
            "effective rank": f"{self.effective_rank:.4g}",
            "RankMe": f"{self.rankme:.4g}",
            "dead columns": f"{self.dead_columns:.3g} ({self.constant_columns:.3g} constant)",
            "largest correlation": f"{self.largest_correlation:.4g}",
            "standard deviations": f"{self.smallest_std:.4g} … {self.largest_std:.4g}",
        }


def collapse_report(
    z: SamplesLike, *, smallest_variance: float = 1e-6, rounding: float | None = None
) -> CollapseReport:
    r"""Whether n embeddings collapsed to one point, to fewer directions [1], or not, with the numbers behind it.

    - "complete": the range of every column is at most ``rounding`` · max|z|;
    - "dimensional": the covariance has fewer than min(n − 1, d) eigenvalues above ``smallest_variance`` times the
      largest, and above what rounding makes, (``rounding`` · max|z|)²;
    - "none": neither. Numbers, not the verdict, tell how uneven the spectrum is.

    A column is dead when its variance is below the same two thresholds, constant when its range is rounding. The
    verdict depends on the scales of the columns relative to each other, not on a common one.

    Parameters
    ----------
    z: embeddings of shape (n, d), an array or a tensor.
    smallest_variance: relative variance below which a direction or column counts as unused, in (0, 1).
    rounding: relative size of rounding errors in z; 32 times the machine epsilon of its dtype unless given.

    Raises
    ------
    SampleError: z is not a finite (n, d) array with n >= 2.
    ParameterError: a threshold outside its range.

    References
    ----------
    [1] Jing, Vincent, LeCun & Tian (2022). Understanding Dimensional Collapse in Contrastive Self-supervised Learning.
        ICLR.

    >>> z = np.random.default_rng(0).normal(size=(100, 4))
    >>> collapse_report(z).verdict, collapse_report(z[:, [0, 1, 0, 1]]).verdict, collapse_report(0 * z + 0.3).verdict
    ('none', 'dimensional', 'complete')
    >>> print(str(collapse_report(z[:, [0, 1, 0, 1]])).partition("\n-")[0])
    dimensional collapse: 100 embeddings in 4 dimensions
      rank                 2 of 4 (variances above 1e-06 of the largest)
      effective rank       1.992
      RankMe               1.998
      dead columns         0 (0 constant)
      largest correlation  1
      standard deviations  0.8755 … 0.9462
    """
    if not 0 < require_positive("smallest_variance", smallest_variance) < 1:
        raise ParameterError(f"smallest_variance: expected a number in (0, 1), got {smallest_variance!r}; e.g. 1e-6")
    xp, z = as_matrix(z)
    z = z if xp is np else on_host(z)
    rounding = 32 * float(np.finfo(z.dtype).eps) if rounding is None else require_positive("rounding", rounding)
    z = z.astype(np.float64)
    (n, d), rounded = z.shape, rounding * float(np.abs(z).max())
    constant = np.ptp(z, axis=0) <= rounded
    centered = z - z.mean(axis=0)
    values = np.linalg.svd(centered, compute_uv=False) ** 2 / (n - 1)
    std = centered.std(axis=0, ddof=1)
    alive = std**2 > max(smallest_variance * float(std.max()) ** 2, rounded**2)
    collapsed = bool(constant.all())
    rank = 0 if collapsed else int((values > max(smallest_variance * values[0], rounded**2)).sum())
    return CollapseReport(
        verdict="complete" if collapsed else "dimensional" if rank < min(n - 1, d) else "none",
        n=n, d=d, rank=rank,
        effective_rank=0.0 if collapsed else exponential_entropy(values / values.sum()),
        rankme=rankme(z) if z.any() else 0.0,
        dead_columns=1.0 if collapsed else float(1 - alive.mean()),
        constant_columns=float(constant.mean()),
        largest_correlation=math.nan if collapsed else _largest_correlation(centered[:, alive]),
        smallest_std=float(std.min()), largest_std=float(std.max()),
        smallest_variance=float(smallest_variance), rounding=rounding,
    )  # fmt: skip


def _largest_correlation(centered: Samples) -> float:
    if centered.shape[1] < 2:
        return math.nan
    unit = centered / np.linalg.norm(centered, axis=0)
    off = np.abs(unit.T @ unit)
    np.fill_diagonal(off, 0)
    return float(min(off.max(), 1.0))
