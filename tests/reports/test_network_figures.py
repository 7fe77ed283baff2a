"""Pictures of networks: steps and windows of a run, cells and images of a network, the ellipses of a Gaussian."""

from typing import Any

import matplotlib
import numpy as np
import pytest
from looks import assert_told_apart_in_gray, legend_texts
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from torch import nn

from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.gaussian import Gaussian
from itssl.networks.cells import cells
from itssl.networks.encoders import embed, mlp
from itssl.networks.regions import exit_probability
from itssl.networks.training_run import TrainingRun
from itssl.reports import regions_figure, training_figure

SOURCE = Gaussian(np.array([0.5, 0.8]), np.array([[0.4, 0.2], [0.2, 0.3]]))
NETWORK = mlp((2, 4, 4, 2), seed=3, slope=0.2)


def made_run(steps: int, evaluations: int = 2) -> TrainingRun:
    t = np.arange(float(steps))
    return TrainingRun(
        encoder=nn.Linear(1, 1), learner=nn.Identity(), metrics={"loss": t**2, "gradient_norm": 1 / (1 + t)},
        evaluations={"accuracy": np.linspace(0.1, 0.9, evaluations)}, evaluation_steps=np.arange(evaluations) * 50,
        seed=4, seconds=1.0, config={"objective": "vicreg_terms"},
    )  # fmt: skip


def test_a_panel_for_each_metric_with_medians_and_bands() -> None:
    figure = training_figure(made_run(300), units={"loss": "nats"})
    loss, _, accuracy = figure.axes
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss (nats)", "gradient_norm", "accuracy"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"step"}
    (line,) = loss.lines
    np.testing.assert_allclose(np.asarray(line.get_xdata()), np.arange(30) * 10 + 4.5)
    np.testing.assert_allclose(
        np.asarray(line.get_ydata()), [np.median(np.arange(k, k + 10.0) ** 2) for k in range(0, 300, 10)]
    )
    corners = np.asarray(loss.collections[0].get_paths()[0].vertices)
    first = corners[corners[:, 0] == 4.5, 1]
    assert (first.min(), first.max()) == pytest.approx(tuple(np.quantile(np.arange(10.0) ** 2, [0.1, 0.9])))
    np.testing.assert_allclose(np.asarray(accuracy.lines[0].get_xydata()), [[0, 0.1], [50, 0.9]])
    assert legend_texts(loss) == ["middle 80 % of the steps", "median"]
    assert "vicreg_terms, seed 4" in [text.get_text() for text in figure.texts]
    assert_told_apart_in_gray(figure)


def test_short_runs_are_drawn_step_by_step_and_names_chosen() -> None:
    figure = training_figure(made_run(20), names=["loss"])
    (ax,) = figure.axes
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), np.arange(20.0) ** 2)
    assert len(training_figure(made_run(20, 0)).axes) == 2


@pytest.mark.parametrize(
    ("run", "options", "error", "message"),
    [
        (made_run(9), {"names": ["los"]}, UnknownNameError, "names: .*did you mean 'loss'"),
        (made_run(9), {"names": []}, ParameterError, "names: expected at least one of loss"),
        (made_run(9), {"units": {"lost": "nats"}}, UnknownNameError, "units: .*did you mean 'loss'"),
        (made_run(0, 0), {}, ParameterError, "run: expected one with steps"),
    ],
)
def test_bad_runs_are_refused(run: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        training_figure(run, **options)


def test_cells_their_images_and_their_volumes() -> None:
    figure = regions_figure(NETWORK, SOURCE)
    inputs, outputs, bar = figure.axes
    half = 4 * np.sqrt(np.diagonal(SOURCE.cov))
    found = cells(NETWORK, SOURCE.mean - half, SOURCE.mean + half)
    (left, _), (right, _) = ([c for c in ax.collections if isinstance(c, PolyCollection)] for ax in (inputs, outputs))
    assert len(left.get_paths()) == len(right.get_paths()) == len(found)
    for cell, before, after in zip(found, left.get_paths(), right.get_paths(), strict=True):
        np.testing.assert_allclose(np.asarray(before.vertices)[:-1], cell.corners)
        np.testing.assert_allclose(np.asarray(after.vertices)[:-1], embed(NETWORK, cell.corners), atol=1e-9)
    np.testing.assert_allclose(np.asarray(left.get_array()), [np.linalg.slogdet(cell.matrix)[1] for cell in found])
    assert bar.get_ylabel() == "log|det A| (nats)"
    assert (inputs.get_xlabel(), outputs.get_ylabel()) == ("x₁ (input units)", "z₂ (output units)")
    bounds = exit_probability(NETWORK, SOURCE.mean[None], SOURCE.cov)
    words = f"X leaves the region of its mean with probability {bounds.lower[0]:.3g} to {bounds.upper[0]:.3g}"
    assert words in [text.get_text() for text in figure.texts]
    assert_told_apart_in_gray(figure)


def test_ellipses_are_level_sets_and_their_images() -> None:
    inputs, outputs, _ = regions_figure(NETWORK, SOURCE).axes
    for k, at in ((1, 0), (2, 1)):
        curve = np.asarray(inputs.lines[at].get_xydata())
        np.testing.assert_allclose(SOURCE.squared_mahalanobis(curve), k**2)
        np.testing.assert_allclose(np.asarray(outputs.lines[2 * at].get_xydata()), embed(NETWORK, curve))
    affine = mlp((2, 2), seed=0)
    _, outputs, _ = regions_figure(affine, SOURCE).axes
    for true, predicted in (outputs.lines[:2], outputs.lines[2:4]):
        np.testing.assert_allclose(np.asarray(true.get_xydata()), np.asarray(predicted.get_xydata()), atol=1e-12)


def test_cells_without_volume_are_hatched() -> None:
    dead = nn.Sequential(*mlp((2, 2), seed=0), nn.ReLU())
    figure = regions_figure(dead)
    colored, hatched = figure.axes[0].collections
    assert (len(colored.get_paths()), len(hatched.get_paths())) == (1, 3)
    assert hatched.get_hatch()
    figure.canvas.draw()


def test_bad_networks_sources_and_boxes_are_refused() -> None:
    with pytest.raises(ParameterError, match="source: expected a Gaussian of two dimensions"):
        regions_figure(NETWORK, Gaussian.standard(3))
    with pytest.raises(ParameterError, match="expected 2 outputs, got 3"):
        regions_figure(mlp((2, 3), seed=0))
    with pytest.raises(ParameterError, match="expected both corners of the box or neither"):
        regions_figure(NETWORK, low=[0.0, 0.0])
    with pytest.raises(ParameterError, match="expected two numbers each"):
        regions_figure(NETWORK, low=[0.0], high=[1.0])


def test_they_draw_into_a_given_subfigure_and_change_nothing() -> None:
    before = list(matplotlib.rcParams.items())
    figure = Figure(layout="constrained")
    left, right = np.ravel(np.asarray(figure.subfigures(1, 2)))
    assert training_figure(made_run(9), figure=left) is figure
    assert len(right.axes) == 0
    assert regions_figure(NETWORK, SOURCE, figure=right) is figure
    assert (len(left.axes), len(right.axes)) == (3, 3)
    assert list(matplotlib.rcParams.items()) == before
