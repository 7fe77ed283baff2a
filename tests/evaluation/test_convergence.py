"""Convergence on toy estimators whose bias, spread and coverage are known, and on what it returns and refuses."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch

from itssl import KSG, Bias, Estimate, GaussianPlugin
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.mixed_neighbors import Ross
from itssl.estimators.nearest_neighbors import log_ball_volumes
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.evaluation.convergence import DATA_SHARES, TRUTH_SIZES, Convergence, convergence


@dataclass(frozen=True)
class Normal:
    """Standard normal draws; the "entropy" is the mean that the toys below estimate."""

    entropy: Estimate = field(
        default_factory=lambda: Estimate(value=0.0, standard_error=0.0, n=0, bias=Bias.EXACT, method="toy")
    )

    def sample(self, n, rng):
        return rng.normal(size=(n, 1))


@dataclass(frozen=True)
class Mean:
    """The mean plus c/n, whose standard error 1/√n is exact, times ``honesty``."""

    c: float = 0.0
    honesty: float = 1.0

    def entropy(self, x, /):
        n = len(x)
        return Estimate(
            value=x.mean() + self.c / n, standard_error=self.honesty / math.sqrt(n), n=n, bias=Bias.UNKNOWN,
            method=repr(self),
        )  # fmt: skip


@dataclass(frozen=True)
class Interrupted:
    """Stops the run, as Ctrl-C does, after so many calls."""

    after: int
    calls: list = field(default_factory=list, repr=False)

    def entropy(self, x, /):
        if len(self.calls) == self.after:
            raise KeyboardInterrupt
        self.calls.append(len(x))
        return Mean().entropy(x)


@dataclass(frozen=True)
class Fixed:
    """The next of these values at each call."""

    values: tuple
    calls: list = field(default_factory=list, repr=False)

    def entropy(self, x, /):
        self.calls.append(len(x))
        value = self.values[(len(self.calls) - 1) % len(self.values)]
        return Estimate(value=value, standard_error=math.nan, n=len(x), bias=Bias.UNKNOWN, method="fixed")


def test_rows_equal_the_definition():
    found = convergence(Mean(c=2.0), Normal(), sizes=[30, 10], replicates=7, seed=3, level=0.8)
    assert [row.n for row in found.rows] == [10, 30]
    for row in found.rows:
        estimates = [Mean(c=2.0).entropy(Normal().sample(row.n, stream(3, "convergence", row.n, r))) for r in range(7)]
        values = np.array([e.value for e in estimates])
        spread = np.sqrt(((values - values.mean()) ** 2).sum() / 6)
        hits = sum(low <= 0 <= high for low, high in (e.interval(0.8) for e in estimates))
        share = (hits + 1) / 9
        assert row == (
            row.n, 7, pytest.approx(values.mean()), pytest.approx(spread / np.sqrt(7)), pytest.approx(values.mean()),
            pytest.approx(spread), pytest.approx(spread / np.sqrt(12)), pytest.approx(1 / np.sqrt(row.n)),
            hits / 7, pytest.approx(np.sqrt(share * (1 - share) / 7)),
        )  # fmt: skip
    assert (found.quantity, found.estimator, found.level) == ("entropy", "Mean(c=2.0, honesty=1.0)", 0.8)
    assert (found.truth, found.available, found.interrupted) == (Normal().entropy, None, False)


def test_known_bias_spread_and_coverage_are_found():
    """400 replicates, 5 standard errors, which must themselves be right: of the spread 1/√(2·399)."""
    for c, honesty, level in ((0.0, 1.0, 0.95), (0.0, 0.5, 0.95), (0.0, 1.0, 0.5), (30.0, 1.0, 0.95)):
        rows = convergence(Mean(c, honesty), Normal(), sizes=[25, 100], replicates=400, level=level).rows
        for row in rows:
            assert row.bias == pytest.approx(c / row.n, abs=5 * row.mean_error)
            assert row.spread * math.sqrt(row.n) == pytest.approx(1, abs=5 / math.sqrt(2 * 399))
            assert row.mean_error == pytest.approx(row.spread / 20)
            assert row.stated == pytest.approx(honesty / math.sqrt(row.n))
            quantile = Estimate(value=0, standard_error=honesty, n=1, bias=Bias.EXACT, method="").interval(level)[1]
            shift = c / math.sqrt(row.n)
            truth = (math.erf((quantile - shift) / 2**0.5) + math.erf((quantile + shift) / 2**0.5)) / 2
            assert row.coverage == pytest.approx(truth, abs=5 * row.coverage_error)


def test_movement_is_seen_and_its_rate_of_error_is_the_level():
    """With a truth sizes are independent: at 90 %, 150 runs without bias move in 10 % of the cases, within 4 errors."""
    runs = [convergence(Mean(), Normal(), sizes=[20, 40], replicates=5, seed=s, level=0.9) for s in range(150)]
    assert np.mean([run.still_moves for run in runs]) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 150))
    moving = convergence(Mean(c=10.0), Normal(), sizes=[20, 40], replicates=40)
    assert moving.still_moves
    assert moving.last_change.value == pytest.approx(-0.25, abs=5 * moving.last_change.standard_error)
    before, after = moving.rows
    assert moving.last_change.standard_error == pytest.approx(math.hypot(before.mean_error, after.mean_error))
    assert "still moves: last change" in str(moving)


@dataclass(frozen=True)
class Neighbors:
    """Kozachenko–Leonenko without what costs time: error bar, interval, warnings."""

    def entropy(self, x, /):
        value = neighbor_entropies(log_ball_volumes(x, 4, "euclidean"))[-1]
        return Estimate(value=value, standard_error=math.nan, n=len(x), bias=Bias.UNKNOWN, method="neighbors")


def test_other_draws_count_in_the_movement_on_data():
    """Nearest neighbors on subsamples change by chance with the data; that is no movement: at most 1 of 20 data sets.

    The error of the change is the standard error of the value on all rows: the spread over data sets, 16 % known.
    """
    runs = [
        convergence(Neighbors(), stream(s, "data").normal(size=(300, 2)), sizes=[150, 300], replicates=12, seed=s)
        for s in range(20)
    ]
    assert sum(run.still_moves for run in runs) <= 1
    spread = np.std([run.rows[-1].mean for run in runs], ddof=1)
    assert np.mean([run.last_change.standard_error for run in runs]) / spread == pytest.approx(1, abs=3 * 0.16)
    cube = stream(0, "cube").uniform(size=(800, 8))  # all edges: half a nat too much
    assert convergence(Neighbors(), cube, sizes=[200, 800], replicates=8).still_moves


def test_error_of_a_change_on_data_is_that_of_the_mean():
    """For a mean the spread of half samples is its standard error: √(σ²/m · (1 − m/N)) = σ/√N at m = N/2."""
    x = stream(0, "half").normal(size=(100, 1))
    found = convergence(Mean(), x, sizes=[20, 50, 100], replicates=400)
    expected = x.std(ddof=1) / 10
    for row in found.rows[:2]:
        sampled = row.spread * np.sqrt(row.n / (100 - row.n))
        assert sampled == pytest.approx(expected, rel=5 / np.sqrt(2 * 399))
    error = found.last_change.standard_error
    assert error == pytest.approx(math.hypot(found.rows[1].spread, found.rows[1].mean_error))
    cut = convergence(Mean(), x, sizes=[20, 50], replicates=30).last_change  # neither is all of the data
    a, b = convergence(Mean(), x, sizes=[20, 50], replicates=30).rows
    assert cut.standard_error == pytest.approx(math.sqrt(a.mean_error**2 + b.mean_error**2 + a.spread**2 / 4))


def test_data_are_subsampled_without_replacement_and_used_whole_once():
    x = stream(0, "data").normal(size=(160, 2))
    found = convergence(GaussianPlugin(), x, replicates=3, seed=5)
    assert [(row.n, row.replicates) for row in found.rows] == [(20, 3), (40, 3), (80, 3), (160, 1)]
    assert found.rows[-1].mean == GaussianPlugin().entropy(x).value
    assert (found.truth, found.available) == (None, 160)
    assert all(math.isnan(row.bias) and math.isnan(row.coverage) for row in found.rows)
    rows = [np.sort(stream(5, "convergence", 40, r).permutation(160)[:40]) for r in range(3)]
    assert found.rows[1].mean == pytest.approx(np.mean([GaussianPlugin().entropy(x[r]).value for r in rows]))
    for same in (pd.DataFrame(x), torch.tensor(x), x[:, ::-1][:, ::-1]):
        assert convergence(GaussianPlugin(), same, replicates=3, seed=5).to_pandas().equals(found.to_pandas())
    few = convergence(GaussianPlugin(), x[:12], replicates=3)
    assert [row.n for row in few.rows] == [12]
    assert "on subsamples" in str(found)


def test_pairs_tasks_and_laws():
    task = linear_gaussian_views([0.8])
    found = convergence(GaussianPlugin(), task, sizes=[50], replicates=3)
    assert (found.quantity, found.truth) == ("mutual_information", task.mutual_information)
    pair = task.sample(80, stream(0, "pair"))
    whole = convergence(KSG(), pair, sizes=[80], replicates=3)
    assert whole.rows[0].mean == KSG().mutual_information(*pair).value
    assert whole.rows[0].replicates == 1
    law = Gaussian.standard(2)
    assert convergence(GaussianPlugin(), law, sizes=[9], replicates=2).truth == law.entropy
    defaults = convergence(Mean(), Normal(), replicates=1)
    assert tuple(row.n for row in defaults.rows) == TRUTH_SIZES
    data = convergence(Mean(), np.arange(1600.0), replicates=1)
    assert [row.n for row in data.rows] == [round(1600 * share) for share in DATA_SHARES]


def test_seeds_and_jobs():
    law = Gaussian.standard(1)
    found = convergence(GaussianPlugin(), law, sizes=[20, 40], replicates=4, seed=1)
    assert convergence(GaussianPlugin(), law, sizes=[20, 40], replicates=4, seed=1).rows == found.rows
    assert convergence(GaussianPlugin(), law, sizes=[20, 40], replicates=4, seed=2).rows != found.rows
    assert convergence(GaussianPlugin(), law, sizes=[40], replicates=4, seed=1).rows == found.rows[1:]
    assert convergence(GaussianPlugin(), law, sizes=[20, 40], replicates=4, seed=1, jobs=2).rows == found.rows


@pytest.mark.parametrize("after", [0, 1, 5, 8])
def test_an_interrupt_keeps_what_is_finished(after):
    """Replicates go round the sizes: after 5 of 4 + 4 calls there are 3 and 2."""
    found = convergence(Interrupted(after), Normal(), sizes=[20, 40], replicates=4)
    assert found.interrupted is (after < 8)
    expected = [(20, (after + 1) // 2), (40, after // 2)]
    assert [(row.n, row.replicates) for row in found.rows] == [cell for cell in expected if cell[1]]
    assert ("(interrupted)" in str(found)) is (after < 8)
    whole = convergence(Mean(), Normal(), sizes=[20, 40], replicates=max(1, (after + 1) // 2))
    if after:
        assert found.rows[0] == pytest.approx(whole.rows[0], nan_ok=True)
    assert len(found.to_pandas()) == len(found.rows)
    assert len(found.figure().axes) == 3
    assert "<caption>" in found._repr_html_()
    assert math.isnan(found.last_change.value) is (after < 2)


def test_an_error_of_the_estimator_is_passed_on():
    with pytest.raises(SampleError, match="more than k = 4 rows, got 3"):
        convergence(KSG(), linear_gaussian_views([0.5]), sizes=[3], replicates=2)


@pytest.mark.parametrize(
    ("values", "mean"), [((1.0, -math.inf), -math.inf), ((math.inf, 1.0), math.inf), ((math.inf, -math.inf), math.nan)]
)
def test_infinite_values_are_not_averaged_away(values, mean):
    found = convergence(Fixed(values), Normal(), sizes=[10], replicates=4)
    (row,) = found.rows
    assert (row.mean, row.bias) == (pytest.approx(mean, nan_ok=True), pytest.approx(mean, nan_ok=True))
    assert math.isnan(row.spread)
    assert math.isnan(row.stated)
    assert math.isnan(row.coverage)  # no finite interval
    found = convergence(Fixed((*values, 3.0)), Normal(), sizes=[10, 20], replicates=6)
    assert not found.still_moves
    assert "movement not known" in str(found)
    assert len(found.figure().axes) == 3


def test_a_truth_with_an_error_says_so():
    exact = convergence(Mean(), Normal(), sizes=[10], replicates=2)
    assert "truth 0\n" in str(exact)
    rough = Normal(Estimate(value=0.25, standard_error=0.02, n=100, bias=Bias.UNBIASED, method="Monte Carlo"))
    assert "truth 0.250 ± 0.020\n" in str(convergence(Mean(), rough, sizes=[10], replicates=2))


def test_table_and_page():
    found = convergence(Mean(), Normal(), sizes=[10, 20], replicates=9)
    frame = found.to_pandas()
    assert list(frame.columns) == ["n", "replicates", "mean", "mean_error", "bias", "spread", "spread_error", "stated",
                                   "coverage", "coverage_error"]  # fmt: skip
    assert frame.loc[1, "bias"] == found.rows[1].bias
    title, heads, *lines, verdict = str(found).splitlines()
    assert title == "entropy by Mean(c=0.0, honesty=1.0), truth 0"
    assert heads.split() == ["n", "replicates", "mean", "bias", "spread", "stated", "coverage"]
    assert len(lines) == 2
    assert verdict.startswith(("no movement seen: last change", "still moves: last change"))
    page = Convergence(
        estimator="<b>", quantity="entropy", level=0.95, truth=None, rows=found.rows, available=40
    )._repr_html_()
    assert "&lt;b&gt;" in page
    assert page.count("<tr>") == 3
    assert "bias" not in page


def test_figure_is_returned_with_what_it_shows():
    found = convergence(Mean(c=3.0), Normal(), sizes=[10, 40], replicates=9)
    figure = found.figure()
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels == ["entropy (nats)", "error (nats)", "coverage of 95% intervals"]
    assert figure.axes[1].get_legend_handles_labels()[1] == ["|bias|", "spread", "stated"]
    drawn = {line.get_label(): line for ax in figure.axes for line in ax.get_lines()}
    assert np.array_equal(drawn["truth"].get_ydata(), [0.0, 0.0])
    assert all(ax.get_xscale() == "log" for ax in figure.axes)
    means, bias, coverage = (ax.get_lines()[0] for ax in figure.axes)
    assert np.array_equal(means.get_xydata(), [[row.n, row.mean] for row in found.rows])
    assert np.array_equal(bias.get_ydata(), [abs(row.bias) for row in found.rows])
    assert np.array_equal(coverage.get_ydata(), [row.coverage for row in found.rows])
    figure.canvas.draw()
    data = convergence(Mean(), np.arange(80.0), replicates=2).figure()
    assert [ax.get_ylabel() for ax in data.axes] == ["entropy (nats)"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": []}, "sizes: expected at least one, got"),
        ({"sizes": [1, 20]}, "sizes: expected an integer >= 2, got 1"),
        ({"replicates": 0}, "replicates: expected an integer >= 1, got 0"),
        ({"jobs": 0}, "jobs: expected an integer >= 1, got 0"),
        ({"level": 1.0}, "level: expected a number between 0 and 1, got 1.0"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        convergence(Mean(), Normal(), **options)


def test_bad_data_are_refused():
    x = stream(0, "bad").normal(size=(50, 2))
    with pytest.raises(ParameterError, match="sizes: expected at least one of at most 50 rows, got"):
        convergence(GaussianPlugin(), x, sizes=[20, 51])
    with pytest.raises(ParameterError, match=r"expected a pair \(x, y\), got a tuple of 3"):
        convergence(KSG(), (x, x, x))
    with pytest.raises(ParameterError, match=r"estimator: expected one with .mutual_information, got Mean"):
        convergence(Mean(), (x, x))
    with pytest.raises(SampleError, match="same number of rows"):
        convergence(KSG(), (x, x[:20]))
    with pytest.raises(SampleError, match="finite"):
        convergence(GaussianPlugin(), np.full((30, 2), np.nan))


def test_pairs_with_labels():
    x = stream(0, "labels").normal(size=(200, 1))
    found = convergence(Ross(), (x, np.where(x[:, 0] > 0, "high", "low")), sizes=[50, 100])
    assert [row.n for row in found.rows] == [50, 100]
