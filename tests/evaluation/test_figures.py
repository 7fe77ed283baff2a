"""Pictures of what evaluation measures: bars, curves, bands and limits are the numbers of the answer, with units."""

import math
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from looks import assert_told_apart_in_gray, bars, legend_texts
from matplotlib.figure import Figure

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.evaluation.assess import assess
from itssl.evaluation.assessment import Assessment
from itssl.evaluation.convergence import Convergence, convergence
from itssl.evaluation.decomposition import Decomposition, decompose
from itssl.evaluation.generalization import GeneralizationBound, Term, generalization_bound
from itssl.networks.encoders import mlp
from itssl.reports import assessment_figure, convergence_figure, decomposition_figure, generalization_figure


@pytest.fixture(scope="module")
def converged() -> Convergence:
    return convergence(GaussianPlugin(), Gaussian.standard(2), sizes=[20, 40, 80], replicates=12)


@pytest.fixture(scope="module")
def decomposed() -> Decomposition:
    return decompose(*linear_gaussian_views([0.9, 0.5]).sample(300, stream(0, "views")), information="gaussian")


@pytest.fixture(scope="module")
def assessed() -> Assessment:
    x = stream(0, "prototypes").normal(size=(5, 3))
    return assess(mlp((3, 6, 2), seed=0), x, 1.0, scales=[1.0, 0.1], draws=64)


@pytest.fixture(scope="module")
def bound() -> GeneralizationBound:
    rng = stream(0, "bound")
    y, pair_y, test_y = (rng.integers(3, size=size) for size in (50, 200, 100))
    z, a, b, test = (np.eye(3)[i] + 0.1 * rng.normal(size=(len(i), 3)) for i in (y, pair_y, pair_y, test_y))
    return generalization_bound(z, y, a, b, pair_y, test_z=test, test_y=test_y)


def test_convergence_has_its_band_errors_and_coverage(converged: Convergence) -> None:
    figure = convergence_figure(converged)
    values, errors, coverage = figure.axes
    corners = np.asarray(values.collections[-1].get_paths()[0].vertices)
    for row in converged.rows:
        at = corners[corners[:, 0] == row.n, 1]
        assert (at.min(), at.max()) == pytest.approx((row.mean - row.spread, row.mean + row.spread))
    assert legend_texts(values) == ["± spread", "truth", "mean"]
    assert legend_texts(errors) == ["|bias|", "spread", "stated"]
    assert coverage.get_ylim() == (-0.05, 1.05)
    assert [ax.get_ylabel() for ax in figure.axes[:2]] == ["entropy (nats)", "error (nats)"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"sample size n"}
    assert_told_apart_in_gray(figure)


def test_infinite_values_can_be_drawn(converged: Convergence) -> None:
    row = converged.rows[0]._replace(mean=-math.inf, bias=-math.inf, spread=math.nan, coverage=math.nan)
    for rows in ((row, *converged.rows[1:]), ()):
        figure = convergence_figure(replace(converged, rows=rows))
        figure.canvas.draw()
        assert np.isfinite([ax.get_ylim() for ax in figure.axes]).all()


def test_a_waterfall_names_its_relations(decomposed: Decomposition) -> None:
    figure = decomposition_figure(decomposed)
    (ax,) = figure.axes
    values = [step.value for step in decomposed.steps]
    starts = [0.0, *values[:-2], 0.0]
    np.testing.assert_allclose(bars(ax), np.c_[starts, values], atol=1e-12)
    notes = [text.get_text() for text in ax.texts]
    assert notes == [f"{s.relation} {s.value:.4g}".strip() for s in decomposed.steps]
    used = {step.relation for step in decomposed.steps[1:-1]}
    assert {text[0] for text in legend_texts(ax)} == used
    assert ax.get_xlabel() == "nats"
    assert_told_apart_in_gray(figure)


def test_an_assessment_is_in_units_of_the_inputs(assessed: Assessment) -> None:
    figure = assessment_figure(assessed)
    assert {ax.get_xlabel() for ax in figure.axes} == {"scale of the noise (units of the inputs)"}
    for ax in figure.axes[:3]:
        assert ax.get_ylim() == (-0.05, 1.05)
    low = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)[:, 1]
    assert low.min() == pytest.approx(min(row.exit_lower for row in assessed.rows))
    assert low.max() == pytest.approx(max(row.exit_upper for row in assessed.rows))
    assert_told_apart_in_gray(figure)


def test_terms_of_a_bound_add_up_to_its_total(bound: GeneralizationBound) -> None:
    figure = generalization_figure(bound)
    (ax,) = figure.axes
    ends = np.cumsum([term.value for term in bound.terms])
    drawn = bars(ax)
    np.testing.assert_allclose(drawn[:-1], np.c_[[0, *ends[:-1]], ends], atol=1e-12)
    np.testing.assert_allclose(drawn[-1], (0, bound.total.value))
    assert [label.get_text() for label in ax.get_yticklabels()] == [*(t.name for t in bound.terms), "total"]
    verticals = {line.get_label(): np.asarray(line.get_xdata())[0] for line in ax.lines}
    assert verticals["error of W = 0"] == 1.0
    assert verticals["measured error, 95 % interval"] == bound.error.value
    assert "(no unit)" in ax.get_xlabel()
    assert ax.get_xlim()[0] == 0
    assert_told_apart_in_gray(figure)
    without = replace(bound, error=Term("measured error", "", math.nan, math.nan, "estimate", "no test rows"))
    assert "measured error, 95 % interval" not in legend_texts(generalization_figure(without).axes[0])


def test_they_draw_into_what_is_given_and_change_nothing(
    converged: Convergence, decomposed: Decomposition, assessed: Assessment, bound: GeneralizationBound
) -> None:
    before = list(matplotlib.rcParams.items())
    figure = Figure(layout="constrained")
    parts = np.ravel(np.asarray(figure.subfigures(2, 2)))
    axes: list[Any] = [part.subplots() for part in parts[2:]]
    assert convergence_figure(converged, figure=parts[0]) is figure
    assert assessment_figure(assessed, figure=parts[1]) is figure
    assert decomposition_figure(decomposed, ax=axes[0]) is figure
    assert generalization_figure(bound, ax=axes[1]) is figure
    assert [len(part.axes) for part in parts] == [3, 4, 1, 1]
    assert all(ax.has_data() for ax in figure.axes)
    assert list(matplotlib.rcParams.items()) == before
