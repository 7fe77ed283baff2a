"""How an estimator moves with the sample size: against a known truth, or on subsamples of data without one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from itssl.arrays import SampleError, as_samples, stream, take_rows
from itssl.choices import ParameterError, require_count
from itssl.estimate import Bias, Estimate, format_with_error
from itssl.markup import require_pandas, table
from itssl.progress import no_progress, progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUTH_SIZES = (100, 200, 400, 800, 1600)
DATA_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_LEAST_ROWS = 20


class ConvergenceRow(NamedTuple):
    """One sample size. The …_error are Monte-Carlo standard errors over the replicates; nan where nothing is known.

    ``spread`` is the standard deviation of the value over replicates, ``stated`` the root mean square of the standard
    errors that the estimates state, ``coverage`` the share of their finite intervals that hold the truth.
    """

    n: int
    replicates: int
    mean: float
    mean_error: float
    bias: float
    spread: float
    spread_error: float
    stated: float
    coverage: float
    coverage_error: float


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """Bias, spread, stated error and coverage against the sample size. Made by :func:`convergence`.

    ``truth`` is None for data of ``available`` rows, whose subsamples share rows: their spread is that of the choice of
    rows, which near the whole sample is far below the error of the estimate. An error of the truth itself is in
    neither ``bias`` nor ``coverage``. ``interrupted`` says that some replicates are missing.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.estimators.gaussian_plugin import GaussianPlugin
    >>> found = convergence(GaussianPlugin(), Gaussian.standard(1), sizes=[50, 200], replicates=20)
    >>> [(row.n, row.replicates) for row in found.rows]
    [(50, 20), (200, 20)]
    """

    estimator: str
    quantity: str
    level: float
    truth: Estimate | None
    rows: tuple[ConvergenceRow, ...]
    available: int | None = None
    interrupted: bool = False

    @property
    def last_change(self) -> Estimate:
        """Change of the mean value between the two largest sizes, with its error, in nats; nan with one size.

        The error is that of the replicates; for data also that of the data: other draws of the same law would give
        another change. It is taken to be the standard error at all N rows, as the subsamples of m rows show it:
        spread · √(m/(N − m)). That is more than it is: from N/2 to N = 400 Gaussian rows in two dimensions the change
        varied by 0.45 (Kozachenko–Leonenko) and 0.2 (Gaussian plug-in) of it.
        """
        n = self.rows[-1].n if self.rows else 0
        change = error = freedom = math.nan
        if len(self.rows) > 1:
            before, after = self.rows[-2:]
            change = after.mean - before.mean
            errors = [(before.mean_error, before.replicates - 1)]
            if after.n != self.available:  # all of the data can be chosen in one way only
                errors.append((after.mean_error, after.replicates - 1))
            if self.available is not None:
                share = before.n / (self.available - before.n)
                errors.append((before.spread * math.sqrt(share), before.replicates - 1))
            error, freedom = _welch(errors)
        return Estimate(
            value=change, standard_error=error, degrees_of_freedom=freedom, n=n, bias=Bias.UNBIASED,
            method=self.estimator,
        )  # fmt: skip

    @property
    def still_moves(self) -> bool:
        """Whether the last change differs from zero at the level of the intervals: more draws would move the value.

        False where no error is known: with one size, one replicate or infinite values.
        """
        low, high = self.last_change.interval(self.level)
        return bool(low > 0 or high < 0)

    def to_pandas(self) -> Any:
        """The rows as a DataFrame, one line a sample size. ImportError without pandas."""
        return require_pandas().DataFrame(self.rows, columns=list(ConvergenceRow._fields))

    def __str__(self) -> str:
        lines = [[cell for _, cell in row] for row in self._table()]
        heads = [name for name, _ in self._table()[0]] if lines else []
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        text = ["  ".join(f"{c:>{w}}" for c, w in zip(line, widths, strict=True)) for line in [heads, *lines]]
        return "\n".join([self._title(), *text, *([self._verdict()] if len(self.rows) > 1 else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = self._table()
        heads = [name for name, _ in lines[0]] if lines else []
        return table(heads, [[cell for _, cell in row] for row in lines], caption=self._title())

    def figure(self) -> "Figure":
        """The picture of :func:`itssl.reports.convergence_figure`: value, errors and coverage against n. Not shown."""
        from itssl.evaluation.figures import convergence_figure

        return convergence_figure(self)

    def _title(self) -> str:
        truth = ", on subsamples"
        if self.truth is not None:
            value, error = self.truth.value, self.truth.standard_error
            truth = f", truth {format_with_error(value, error) if error > 0 else f'{value:.4g}'}"
        return f"{self.quantity.replace('_', ' ')} by {self.estimator}{truth}" + (
            " (interrupted)" if self.interrupted else ""
        )

    def _verdict(self) -> str:
        change = self.last_change
        number = format_with_error(change.value, change.standard_error)
        seen = "still moves" if self.still_moves else "no movement seen"
        return f"{seen if math.isfinite(change.standard_error) else 'movement not known'}: last change {number} nats"

    def _table(self) -> list[list[tuple[str, str]]]:
        """Names and texts of the cells, row by row."""
        table = []
        for row in self.rows:
            cells = [("n", str(row.n)), ("replicates", str(row.replicates))]
            cells += [("mean", format_with_error(row.mean, row.mean_error))]
            if self.truth is not None:
                cells += [("bias", f"{row.bias:+.3g}")]
            cells += [("spread", f"{row.spread:.2g}"), ("stated", f"{row.stated:.2g}")]
            if self.truth is not None:
                cells += [("coverage", format_with_error(row.coverage, row.coverage_error))]
            table.append(cells)
        return table


def convergence(
    estimator: Any,
    truth_or_data: Any,
    *,
    sizes: Sequence[int] | None = None,
    replicates: int = 40,
    seed: int = 0,
    level: float = 0.95,
    jobs: int = 1,
) -> Convergence:
    """Run an estimator at several sample sizes, many times each: where does it go, and are its errors honest?

    - ``truth_or_data`` a Law (has ``.sample`` and ``.entropy``) or a Task (``.mutual_information``): fresh draws, at
      n = 100 … 1600 unless ``sizes`` are given; bias, spread, stated error, coverage of the intervals at ``level``;
    - an array of shape (n, d), or a tuple (x, y) for mutual information: subsamples without replacement of n/16 … n/1
      rows, at least 20; value and spread against n, and whether it still moves. The whole sample is used once.

    Each replicate depends on the seed, its size and its number alone, not on ``jobs`` (processes). An interrupt
    (Ctrl-C, or stop in Jupyter) returns what is finished, with ``interrupted`` set. Values are not averaged away where
    they are infinite: the mean is then infinite, the spread nan.

    Raises ParameterError for sizes, replicates or a level that make no sense and an estimator without the method,
    SampleError for inadmissible data and pairs of unequal length, and what the estimator raises.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.estimators.gaussian_plugin import GaussianPlugin
    >>> convergence(GaussianPlugin(), Gaussian.standard(2), sizes=[50, 200], replicates=100).still_moves
    False
    """
    from joblib import Parallel, delayed

    replicates, jobs = require_count("replicates", replicates), require_count("jobs", jobs)
    if not 0 < level < 1:
        raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}")
    quantity, truth, draw, whole = _source(truth_or_data)
    run = getattr(estimator, quantity, None)
    if run is None:
        raise ParameterError(f"estimator: expected one with .{quantity}, got {estimator!r}")
    chosen = _sizes(sizes, whole)
    cells = [(n, r) for r in range(replicates) for n in chosen if n != whole or r == 0]
    work = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_cell)(run, draw, n, r, seed, level) for n, r in cells
    )
    done: dict[int, list[_Found]] = {n: [] for n in chosen}
    interrupted = False
    try:
        with progress_bar("convergence", len(cells), unit="estimate") as bar:
            for n, found in work:  # pyright: ignore
                done[n].append(found)
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
    rows = tuple(_row(n, sorted(found), truth) for n, found in done.items() if found)
    return Convergence(
        estimator=repr(estimator), quantity=quantity, level=level, truth=truth, rows=rows, available=whole,
        interrupted=interrupted,
    )  # fmt: skip


def _welch(errors: list[tuple[float, int]]) -> tuple[float, float]:
    """The error of a sum of independent terms, from their errors and degrees of freedom (Welch and Satterthwaite)."""
    variances = [(error**2, max(freedom, 1)) for error, freedom in errors]
    total = sum(v for v, _ in variances)
    if not total > 0:
        return math.sqrt(total), math.inf
    return math.sqrt(total), total**2 / sum(v**2 / freedom for v, freedom in variances)


class _Found(NamedTuple):
    replicate: int
    value: float
    standard_error: float
    low: float
    high: float


_Draw = Callable[[int, np.random.Generator], tuple[Any, ...]]


def _source(given: Any) -> tuple[str, Estimate | None, _Draw, int | None]:
    """What is estimated, its truth, how n rows are drawn, and how many there are at most."""
    if isinstance(getattr(given, "mutual_information", None), Estimate):  # of a Gaussian law it is a method
        return "mutual_information", given.mutual_information, given.sample, None
    if isinstance(getattr(given, "entropy", None), Estimate):  # a DataFrame too has .sample
        return "entropy", given.entropy, lambda n, rng: (given.sample(n, rng),), None
    pair = isinstance(given, tuple)
    if pair and len(given) != 2:
        raise ParameterError(f"truth_or_data: expected a pair (x, y), got a tuple of {len(given)}")
    data = given if pair else (as_samples(given),)  # what pairs may hold, labels perhaps, the method decides
    n_all = len(data[0])
    if len(data[-1]) != n_all:
        raise SampleError(
            f"truth_or_data: expected the same number of rows, got {n_all} and {len(data[-1])}; row i of both must "
            "come from the same draw"
        )

    def draw(n: int, rng: np.random.Generator) -> tuple[Any, ...]:
        rows = np.sort(rng.permutation(n_all)[:n])
        return tuple(take_rows(x, rows) for x in data)

    return "mutual_information" if pair else "entropy", None, draw, n_all


def _sizes(sizes: Sequence[int] | None, whole: int | None) -> list[int]:
    if sizes is None:
        if whole is None:
            return list(TRUTH_SIZES)
        shares = {round(share * whole) for share in DATA_SHARES}
        return sorted({n for n in shares if n >= _LEAST_ROWS} | {whole})
    chosen = sorted({require_count("sizes", n, minimum=2) for n in sizes})
    if not chosen or (whole is not None and chosen[-1] > whole):
        most = f" of at most {whole} rows" if whole is not None else ""
        raise ParameterError(f"sizes: expected at least one{most}, got {list(sizes)}")
    return chosen


def _cell(run: Callable[..., Estimate], draw: _Draw, n: int, r: int, seed: int, level: float) -> tuple[int, _Found]:
    with no_progress():  # in a process of its own; in this one the bar is that of convergence
        found = run(*draw(n, stream(seed, "convergence", n, r)))
    return n, _Found(r, found.value, found.standard_error, *found.interval(level))


def _row(n: int, found: list[_Found], truth: Estimate | None) -> ConvergenceRow:
    values = np.array([f.value for f in found])
    stated = np.array([f.standard_error for f in found])
    m, finite = len(values), bool(np.isfinite(values).all())
    spread = float(values.std(ddof=1)) if m > 1 and finite else math.nan
    with np.errstate(invalid="ignore"):  # inf − inf
        mean = float(values.mean())
    known = stated[np.isfinite(stated)]
    bias = coverage = coverage_error = math.nan
    if truth is not None:
        bias = mean - truth.value if math.isfinite(mean) else mean
        intervals = [f for f in found if math.isfinite(f.high - f.low)]
        if intervals:
            hits, tried = sum(f.low <= truth.value <= f.high for f in intervals), len(intervals)
            coverage, share = hits / tried, (hits + 1) / (tried + 2)  # Laplace's rule: no error of zero
            coverage_error = math.sqrt(share * (1 - share) / tried)
    return ConvergenceRow(
        n=n, replicates=m, mean=mean, mean_error=spread / math.sqrt(m), bias=bias, spread=spread,
        spread_error=spread / math.sqrt(2 * (m - 1)) if m > 1 else math.nan,
        stated=float(np.sqrt((known**2).mean())) if known.size else math.nan,
        coverage=coverage, coverage_error=coverage_error,
    )  # fmt: skip
