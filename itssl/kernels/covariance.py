"""Means and covariances of arrays that no cache holds: one pass over the rows, and sums that know no order."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, SamplesLike, as_samples
from itssl.choices import ParameterError
from itssl.kernels.threads import in_order

CHUNK = 2**19
"""Numbers of a chunk, 4 MiB: small enough for a cache, large enough for a matrix product to be fast."""

ROWS = (1024, 4096)
"""Rows of a chunk at least, so that a product is worth reading and writing d × d sums; and at most, for rounding."""

_LIFT = 64  # numbers are divided by 2^64, and units multiplied by 2^62, which is a float whatever they were

SMALLEST = 2.0**-900
"""Sums of squares below it may have lost digits to underflow."""


class Moments(NamedTuple):
    """n rows, their mean, and Σ (x_i − x̄)(x_i − x̄)ᵀ in ``unit``s of the columns (powers of two; 1 but for extremes).

    ``rounding`` bounds the error of entry (i, j) of the scatter relative to the root of entries (i, i) times (j, j).
    """

    n: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]
    unit: Float[np.ndarray, " d"]
    rounding: float

    @property
    def std(self) -> Float[np.ndarray, " d"]:
        """Standard deviations of the columns (n − 1)."""
        return self.unit * np.sqrt(self.scatter.diagonal() / (self.n - 1))

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The unbiased covariance."""
        return self.unit[:, None] * (self.scatter / (self.n - 1)) * self.unit

    @property
    def correlation(self) -> Float[np.ndarray, "d d"]:
        """Correlations of the columns."""
        root = np.sqrt(self.scatter.diagonal())
        return self.scatter / root[:, None] / root


def chunk_rows(d: int) -> int:
    """Rows of a chunk of d columns.

    >>> chunk_rows(512), chunk_rows(10**6)
    (1024, 1024)
    """
    return min(max(CHUNK // d, ROWS[0]), ROWS[1])


def moments(x: Float[np.ndarray, "n d"]) -> Moments:
    r"""Mean and scatter in float64, reading x twice at most and without a copy of it; any strides, float32 too.

    Each chunk is centered at its own mean while it is in the cache. The scatters within chunks and that between them,

    Σ_c S_c + Σ_c n_c (m_c − x̄)(m_c − x̄)ᵀ,

    are all positive, so that nothing cancels whatever the location [1]; and S_c is a product of a matrix with itself,
    of which BLAS computes one half. Where squares would be no floats, columns are scaled by powers of two. Columns that
    are not finite have no finite scatter.

    References
    ----------
    [1] Chan, Golub & LeVeque (1983). Algorithms for computing the sample variance. The American Statistician 37(3).

    >>> moments(np.array([[0.0, 0.0], [2.0, 4.0]])).scatter.tolist()
    [[2.0, 4.0], [4.0, 8.0]]
    """
    found = _moments(x, None)
    if not np.isfinite(found.mean).all() and np.isfinite(x).all():  # sums of rows were no floats
        few = moments(np.ldexp(x.astype(np.float64), -_LIFT))
        return Moments(few.n, np.ldexp(few.mean, _LIFT), 16 * few.scatter, np.ldexp(few.unit, _LIFT - 2), few.rounding)
    squares = found.scatter.diagonal()
    if squares.min() > SMALLEST and squares.max() < np.inf:
        return found
    with np.errstate(invalid="ignore"):
        largest = np.maximum(x.max(axis=0) - found.mean, found.mean - x.min(axis=0))
    return _moments(x, np.ldexp(1.0, np.frexp(np.where(largest > 0, largest, 1.0))[1]))


def sums_of_squares(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """Σ (x_ij − x̄_j)² of each column, by chunks as :func:`moments`; may be inf, or small numbers lost to underflow.

    >>> sums_of_squares(np.array([[0.0, 1.0], [2.0, 1.0]]))
    array([2., 0.])
    """
    rows = chunk_rows(x.shape[1])
    near = _mean(x[:rows])
    counts, means, within = [], [], np.zeros(x.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(x), rows):
            mean, chunk = _centered(x[start : start + rows], near, None)
            counts.append(len(chunk))
            means.append(mean)
            within += _mean(np.square(chunk, out=chunk)) * len(chunk)
        offset = np.average(means, axis=0, weights=counts)
        return within + np.array(counts) @ (np.array(means) - offset) ** 2


def _moments(x: Float[np.ndarray, "n d"], unit: Float[np.ndarray, " d"] | None) -> Moments:
    n, d = x.shape
    with np.errstate(over="ignore", invalid="ignore"):  # moments() looks at the result
        near = _mean(x[: chunk_rows(d)])
        if n <= chunk_rows(d):
            offset, chunk = _centered(x, near, unit)
            means, scatter = [offset], _square(chunk)
        else:
            counts, means, scatter = _products(x, near, unit, about_near=False)
            offset = np.average(means, axis=0, weights=counts)
            between = (np.array(means) - offset) * np.sqrt(counts)[:, None]
            scatter += between.T @ between
        unit = np.ones(d) if unit is None else unit
        mean, squares = near + offset * unit, scatter.diagonal()
        spread = squares > 0
        away = np.nanmax(np.abs(means).max(axis=0)[spread] * np.sqrt(n / squares[spread]), initial=0.0)
    return Moments(n, mean, scatter, unit, _rounding(n, d) * (1 + float(away)))


def _products(
    x: Float[np.ndarray, "n d"], near: Float[np.ndarray, " d"], unit: Float[np.ndarray, " d"] | None, *,
    about_near: bool,
) -> tuple[list[int], list[Float[np.ndarray, " d"]], Float[np.ndarray, "d d"]]:  # fmt: skip
    """Rows and mean of each chunk of y = (x − near)/unit, and Σ yyᵀ: about ``near``, or about the mean of each chunk.

    Chunks go to all cores, and are added in their order: each is too small for BLAS to share among threads.
    """
    n, rows = len(x), chunk_rows(x.shape[1])

    def work(start: int) -> tuple[int, Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
        with np.errstate(over="ignore", invalid="ignore"):
            mean, chunk = _centered(x[start : start + rows], near, unit)
            if about_near:
                chunk += mean
            return len(chunk), mean, _square(chunk)

    counts, means, total = [], [], np.zeros((0, 0))
    starts = range(0, n, rows)
    for count, mean, product in in_order(work, starts) if len(starts) > 1 else map(work, starts):
        total = np.add(total, product, out=total) if counts else product
        counts.append(count)
        means.append(mean)
    return counts, means, total


def _square(chunk: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "d d"]:
    """chunkᵀ chunk, of which BLAS computes one half and numpy mirrors it.

    Rows of the result are 64 bytes longer than d numbers. Else, for d a power of two, what is mirrored would all have
    to go through the same few lines of the cache, which took half as long as the product.
    """
    d = chunk.shape[1]
    return np.matmul(chunk.T, chunk, out=np.empty((d, d + 8))[:, :d])


def _centered(
    part: Float[np.ndarray, "m d"], near: Float[np.ndarray, " d"], unit: Float[np.ndarray, " d"] | None
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "m d"]]:
    """The mean of (part − near)/unit, and these rows less this mean.

    A ``near`` inside the cloud takes off the location without rounding, or nearly so.
    """
    chunk = np.subtract(part, near)
    if unit is not None:
        chunk /= unit
    mean = _mean(chunk)
    chunk -= mean
    return mean, chunk


def _mean(rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " d"]:
    return rows.mean(axis=0, dtype=np.float64)


def _rounding(n: int, d: int) -> float:
    """Products are added along a chunk, then over chunks; by Cauchy–Schwarz Σ |y_i y_j| is at most the root.

    A chunk of r rows errs by r u in its products and, through its mean, an r-fold sum as well, by 2 r u; ε = 2u.
    That is for rows which lie about ``near``. Each x − near is rounded by u |x − near|, and with m_c the mean of its
    chunk from there |x − near| ≤ |x − near − m_c| + max |m_c|. The root of the sum of squares of column j is at most
    √s_jj + √n max |m_c|: so in Σ y_i y_j, relative to √(s_ii s_jj), all errors grow by 1 + max_j max_c |m_c| √(n/s_jj).
    """
    rows = chunk_rows(d)
    return (1.5 * min(rows, n) + n // rows + 16) * float(np.finfo(np.float64).eps)


# --- sums over shards --------------------------------------------------------------------------------------------

_HIGH, _LOW, _CARRY = 10, 62, 52  # the last bits of both digits are worth 2^−10 and 2^−62, 2^52 low ones a high one
_FULL = 2**61


@dataclass(frozen=True, eq=False)
class CovarianceAccumulator:
    r"""Mean and covariance of rows that come in shards, in whatever order, and from several processes.

    Every shard, shape (m, d), adds Σ y and Σ yyᵀ of y = (x − center)/unit. These sums are rounded once, to multiples of
    2⁻⁶², and then kept as whole numbers T = 2⁵² high + low with −2⁵¹ ≤ low < 2⁵¹. Whole numbers add without rounding,
    and every T is written in one way only; so **the result is the same to the last bit in whatever order the same
    shards are added and merged**, and two sets of shards of the same rows differ by the rounding of products within
    shards. It takes no memory but 2 d(d + 1) whole numbers.

    All accumulators that are to be merged must start from one empty accumulator: ``around(rows)`` of a few rows of
    the law fixes the center (their mean) and the units (powers of two near their deviations). Covariances have the
    accuracy of float64 as long as the mean of all rows is not many units away: errors grow as (1 + offset²/unit²).

    >>> from functools import reduce
    >>> from joblib import Parallel, delayed
    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> empty = CovarianceAccumulator.around(x[:100])
    >>> shards = np.array_split(x, 3)
    >>> parts = Parallel(n_jobs=2, prefer="threads")(delayed(empty.updated)(shard) for shard in shards)
    >>> total = reduce(CovarianceAccumulator.merged, parts)
    >>> total.n, bool(np.allclose(total.covariance, np.cov(x, rowvar=False), rtol=1e-12))
    (1000, True)
    >>> backwards = reduce(CovarianceAccumulator.merged, parts[::-1])
    >>> bool((backwards.covariance == total.covariance).all())
    True
    """

    center: Float[np.ndarray, " d"]
    unit: Float[np.ndarray, " d"]
    n: int
    high: Int[np.ndarray, "_ d"]
    low: Int[np.ndarray, "_ d"]

    @classmethod
    def around(cls, rows: SamplesLike) -> "CovarianceAccumulator":
        """The empty accumulator from which all shards must start, centered at a few rows, which it does not count.

        Raises SampleError as :func:`itssl.arrays.as_samples`.
        """
        found = moments(as_samples(rows, name="rows"))
        size = np.where(found.std > 0, found.std, np.abs(found.mean))
        unit = np.ldexp(1.0, np.frexp(np.where(size > 0, size, 1.0))[1])
        empty = np.zeros((len(unit) + 1, len(unit)), dtype=np.int64)
        return cls(found.mean, unit, 0, empty, empty)

    def updated(self, rows: SamplesLike) -> "CovarianceAccumulator":
        """With these rows, shape (m, d) with m ≥ 1, added.

        Raises SampleError for inadmissible rows, another d, and rows 4·10⁷ units or more from the center.
        """
        x, d = as_samples(rows, name="rows", minimum=1), len(self.center)
        if x.shape[1] != d:
            raise SampleError(f"rows: expected {d} columns as before, got shape {x.shape}; pass rows of one law")
        counts, means, products = _products(x, self.center, self.unit, about_near=True)
        sums = np.vstack([products, np.array(counts) @ np.array(means)])
        if not np.abs(sums).max() < _FULL / 2**_HIGH:
            raise SampleError(
                "rows: expected rows less than 4e7 units from the center, got larger ones; start all shards from "
                "CovarianceAccumulator.around(rows) of rows that spread as far"
            )
        high = np.rint(sums * 2.0**_HIGH)
        low = np.rint((sums - high * 2.0**-_HIGH) * 2.0**_LOW)
        return self._plus(len(x), high.astype(np.int64), low.astype(np.int64))

    def merged(self, other: "CovarianceAccumulator") -> "CovarianceAccumulator":
        """The rows of both. Raises ParameterError unless both started from the same empty accumulator."""
        if not (np.array_equal(self.center, other.center) and np.array_equal(self.unit, other.unit)):
            raise ParameterError(
                "other: expected an accumulator with the same center and units, got another; make one with "
                "CovarianceAccumulator.around(rows) and let every process start from it"
            )
        return self._plus(other.n, other.high, other.low)

    @property
    def moments(self) -> Moments:
        """What :func:`moments` of all rows would be, but for rounding. Raises SampleError for fewer than two rows."""
        if self.n < 2:
            raise SampleError(f"rows: expected two at least, got {self.n} so far; add shards with updated(rows)")
        sums = self.high * 2.0**-_HIGH + self.low * 2.0**-_LOW
        offset = sums[-1] / self.n
        scatter = sums[:-1] - self.n * (offset[:, None] * offset)
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = np.nanmax(self.n * offset**2 / scatter.diagonal(), initial=0.0)
        rounding = _rounding(self.n, len(offset)) * (1 + float(lost))
        rounding += self.n * 2.0 ** -(_LOW + 1) / max(float(scatter.diagonal().min()), np.finfo(np.float64).tiny)
        return Moments(self.n, self.center + offset * self.unit, scatter, self.unit, rounding)

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        """Mean of all rows so far."""
        return self.moments.mean

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Unbiased covariance of all rows so far."""
        return self.moments.covariance

    def _plus(self, n: int, high: Int[np.ndarray, "_ d"], low: Int[np.ndarray, "_ d"]) -> "CovarianceAccumulator":
        low = self.low + low
        carry = (low + 2 ** (_CARRY - 1)) >> _CARRY
        high = self.high + high + carry
        if np.abs(high).max() >= _FULL:
            raise SampleError("rows: expected a sum of squares below 2^51 squared units, got more; use larger units")
        return replace(self, n=self.n + n, high=high, low=low - (carry << _CARRY))
