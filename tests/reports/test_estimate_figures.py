"""Pictures of estimates: rows, intervals, truth and spectra are the numbers given, with units and names."""

import math
from typing import Any

import matplotlib
import numpy as np
import pytest
from looks import assert_told_apart_in_gray, legend_texts
from matplotlib.figure import Figure

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.estimate import Bias, Estimate, EstimateWarning
from itssl.estimators.binning import bin_width_sweep
from itssl.evaluation.spectrum import effective_rank
from itssl.reports import bin_width_figure, estimates_figure, spectrum_figure
from itssl.reports.estimate_figures import _shares


def estimate(value: float, error: float = 0.1, bias: Bias = Bias.UNBIASED, **options: Any) -> Estimate:
    return Estimate(value=value, standard_error=error, n=50, bias=bias, method=f"at {value:g}", **options)


ROWS = [
    estimate(1.0), estimate(0.8, bias=Bias.LOWER, degrees_of_freedom=5), estimate(1.3, bias=Bias.UPPER),
    estimate(1.1, math.nan, Bias.UNKNOWN), estimate(-math.inf), estimate(1.2, 0.0, Bias.EXACT),
]  # fmt: skip
Z = stream(0, "spectrum").normal(size=(200, 6)) * [3.0, 2.0, 1.0, 0.5, 0.2, 0.1]


def test_each_estimate_has_its_row_marker_interval_and_number() -> None:
    figure = estimates_figure(ROWS, level=0.9)
    (ax,) = figure.axes
    marks = [(line.get_xdata()[0], line.get_marker()) for line in ax.lines if len(np.atleast_1d(line.get_xdata()))]  # pyright: ignore
    assert marks == [(1.0, "o"), (0.8, ">"), (1.3, "<"), (1.1, "s"), (1.2, "d")]
    spans = [np.asarray(c.get_paths()[0].vertices)[:, 0] for c in ax.collections]
    expected = [ROWS[i].interval(0.9) for i in (0, 1, 2, 5)]  # an unknown error and −inf have none
    np.testing.assert_allclose(spans, expected)
    assert [label.get_text() for label in ax.get_yticklabels()] == [e.method for e in ROWS]
    assert [text.get_text() for text in ax.texts] == [
        "1.00 ± 0.10", "0.80 ± 0.10", "1.30 ± 0.10", "1.1 ± ?", "-inf", "1.2"
    ]  # fmt: skip
    assert ax.get_xlabel() == "nats, 90% intervals"
    assert ax.get_ylim() == (5.5, -0.5)
    assert len(legend_texts(ax)) == 5
    assert_told_apart_in_gray(figure)
    figure.canvas.draw()


def test_truth_units_names_and_warnings() -> None:
    truth = estimate(1.05, 0.05)
    odd = estimate(1.0, warnings=(EstimateWarning(code="ties", message="m", cure="c"),))
    (ax,) = estimates_figure({"$a$ b": odd}, truth=truth).axes
    (band,) = ax.patches
    np.testing.assert_allclose([band.get_x(), band.get_x() + band.get_width()], truth.interval())  # pyright: ignore
    assert "truth" in legend_texts(ax)
    assert ax.get_yticklabels()[0].get_text() == "$a$ b"
    assert ax.texts[0].get_text() == "1.00 ± 0.10 (ties)"
    assert estimates_figure([odd.in_bits()]).axes[0].get_xlabel() == "bits, 95% intervals"


@pytest.mark.parametrize(
    ("estimates", "options", "message"),
    [
        ([], {}, "estimates: expected a list"),
        ({}, {}, "estimates: expected a list"),
        ([ROWS[0], ROWS[0].in_bits()], {}, "one unit, got bits, nats"),
        ([ROWS[0].in_bits()], {"truth": ROWS[0]}, "one unit, got bits, nats"),
        (ROWS, {"truth": math.inf}, "truth: expected a finite number"),
        (ROWS, {"level": 1.0}, "level: expected a number between 0 and 1, got 1.0"),
    ],
)
def test_bad_estimates_are_refused(estimates: Any, options: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        estimates_figure(estimates, **options)


def test_bins_are_drawn_in_order_with_their_band() -> None:
    x = stream(0, "bins").normal(size=(300, 2))
    sweep = bin_width_sweep(x[:, :1], x[:, 1:], bins=(64, 4, 16))
    figure = bin_width_figure(sweep, truth=0.0)
    (ax,) = figure.axes
    values = dict(zip(sweep.bins, sweep.estimates, strict=True))
    curve = next(line for line in ax.lines if line.get_label() == "by bins")
    np.testing.assert_allclose(np.asarray(curve.get_xydata()), [[b, values[b].value] for b in (4, 16, 64)])
    ends = [values[b].interval() for b in (4, 16, 64)]
    corners = np.asarray(ax.collections[0].get_paths()[0].vertices)
    for b, (low, high) in zip((4, 16, 64), ends, strict=True):
        at = corners[corners[:, 0] == b, 1]
        assert at.min() == pytest.approx(low)
        assert at.max() == pytest.approx(high)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4", "16", "64"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("bins per coordinate", "binned value (nats)")
    assert legend_texts(ax) == ["95% interval", "by bins", "truth"]
    assert_told_apart_in_gray(figure)
    bin_width_figure(bin_width_sweep(np.arange(9.0), bins=4096)).canvas.draw()  # no error is known


def test_spectra_are_shares_of_the_eigenvalues_with_effective_rank() -> None:
    figure = spectrum_figure({"a": Z, "b": Z[:, :2]})
    (ax,) = figure.axes
    cov = np.cov(Z, rowvar=False)
    values = np.linalg.eigvalsh(cov)[::-1]
    first, tick = ax.lines[0], ax.lines[1]
    np.testing.assert_allclose(np.asarray(first.get_ydata()), values / values.sum(), rtol=1e-10)
    np.testing.assert_allclose(np.asarray(tick.get_xdata()), effective_rank(cov), rtol=1e-10)
    assert legend_texts(ax)[0] == f"a: effective rank {effective_rank(cov):.3g} of 6"
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "share of the variance"
    assert_told_apart_in_gray(figure)


def test_the_band_of_a_spectrum_has_its_level() -> None:
    """The band is ± quantile · error / share in the logarithm; over 300 samples the spread of a share is its error."""
    (ax,) = spectrum_figure(Z, level=0.6826894921370859).axes
    corners = np.asarray(ax.collections[0].get_paths()[0].vertices)
    shares, errors, _ = _shares(Z, "z")
    for j in range(6):
        at = np.log(corners[corners[:, 0] == j + 1, 1])
        assert (at.max() - at.min()) / 2 == pytest.approx(errors[j] / shares[j])
    draws = [stream(0, "band", i).normal(size=(400, 3)) * np.sqrt([2.0, 1.0, 0.5]) for i in range(300)]
    found = [_shares(z, "z") for z in draws]
    spread = np.std([shares for shares, _, _ in found], axis=0, ddof=1)
    stated = np.mean([errors for _, errors, _ in found], axis=0)
    assert (np.abs(stated - spread) < 4 * spread / math.sqrt(2 * 299)).all()  # the error of a standard deviation


def test_rounding_has_no_share_and_constants_no_spectrum() -> None:
    (ax,) = spectrum_figure(np.c_[Z, Z @ np.ones(6)]).axes
    assert len(np.asarray(ax.lines[0].get_xdata())) == 6
    with pytest.raises(SampleError, match="still: expected embeddings that vary"):
        spectrum_figure({"still": np.full((9, 2), 0.1)})
    with pytest.raises(ParameterError, match="embeddings: expected at least one array"):
        spectrum_figure({})
    with pytest.raises(SampleError, match="b:"):
        spectrum_figure({"a": Z, "b": np.array([[np.nan], [1.0]])})


def test_they_draw_into_given_axes_and_change_nothing() -> None:
    before, z = list(matplotlib.rcParams.items()), Z.copy()
    z.flags.writeable = False
    figure = Figure()
    axes = figure.subplots(1, 4)
    assert estimates_figure(ROWS, ax=axes[0]) is figure
    assert bin_width_figure(bin_width_sweep(z[:, :1]), ax=axes[1]) is figure
    assert spectrum_figure(z, ax=axes[2]) is figure
    assert [bool(ax.has_data()) for ax in axes] == [True, True, True, False]
    assert list(matplotlib.rcParams.items()) == before
