"""Pictures of networks: their training over the steps, and the linear regions of one with two inputs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure, SubFigure
from torch import nn

from itssl.choices import ParameterError, require_known
from itssl.distributions.gaussian import Gaussian
from itssl.evaluation.drawing import BLUE, SMALL, VERMILION, legend, look, panels_in, require_answer, tidy, title
from itssl.networks.cells import cells
from itssl.networks.encoders import embed
from itssl.networks.regions import exit_probability, local_affine
from itssl.networks.training_run import TrainingRun

_WINDOWS = 30
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 721)) for f in (np.cos, np.sin)], axis=1)
_DEVIATIONS = (1, 2)


def training_figure(
    run: TrainingRun,
    *,
    names: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """A panel for each metric of a training run, over the steps; evaluations as markers where they were made.

    The line is the median over windows of a thirtieth of the run, the band holds the middle 80 % of the steps in each:
    it shows the spread between batches. Runs of fewer than 60 steps are drawn step by step. The panel of the loss is
    named after the objective of the run.

    ``names`` chooses metrics and evaluations, all of them by default; ``units`` gives the units of some, e.g.
    ``{"loss": "nats"}``: a run does not know those of its objective. Draws into ``figure`` where one is given. Raises
    ParameterError for another answer, names of none, and a run of no steps; UnknownNameError for names it lacks.

    >>> import itssl, torch
    >>> from itssl.networks.encoders import mlp
    >>> from itssl.networks.training import train
    >>> from itssl.objectives import minimize, vicreg_terms
    >>> def views(x, generator):
    ...     return tuple(x + 0.3 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(2))
    >>> run = train(
    ...     mlp((8, 16, 4), seed=0), minimize(vicreg_terms, normalization="reference"),
    ...     itssl.stream(0, "example").normal(size=(128, 8)), views, seed=0, epochs=60, batch_size=64, progress=False,
    ... )
    >>> figure = training_figure(run, names=["loss", "invariance", "covariance"], units={"invariance": "z²"})
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['loss', 'invariance (z²)', 'covariance']
    """
    require_answer("run", run, TrainingRun, "itssl.networks.training.train")
    series = _series(run, names)
    units = dict(units or {})
    for name in units:
        require_known("units", name, {**run.metrics, **run.evaluations})
    columns = min(3, len(series))
    rows = math.ceil(len(series) / columns)
    root, axes = panels_in(figure, 3.4 * columns, 2.5 * rows + 0.4, rows, columns)
    for ax in axes[len(series) :]:
        ax.set_axis_off()
    for ax, (name, values) in zip(axes, series.items(), strict=False):
        if name in run.metrics:
            _draw_steps(ax, values)
        else:
            ax.plot(run.evaluation_steps, values, ms=5, label="evaluation", **look(1))
        ax.set_xlabel("step")
        ax.set_ylabel(f"{name} ({units[name]})" if name in units else name, parse_math=False)
        tidy(ax)
    legend(axes[0])
    title(figure or root, f"{run.config.get('objective', 'objective')}, seed {run.seed}"[:120])
    return root


def _series(run: TrainingRun, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    known = {name: np.asarray(values) for name, values in {**run.metrics, **run.evaluations}.items() if len(values)}
    if not known:
        raise ParameterError("run: expected one with steps, got one that was cut short before its first; train longer")
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        require_known("names", name, known)
    if not chosen:
        raise ParameterError(f"names: expected at least one of {', '.join(known)}, got none; leave it out for all")
    return {name: known[name] for name in chosen}


def _draw_steps(ax: Axes, values: np.ndarray) -> None:
    """Medians over windows with the middle 80 %; few steps as they are."""
    if len(values) < 2 * _WINDOWS:
        ax.plot(np.arange(len(values)), values, color=BLUE, label="each step")
        return
    parts = np.array_split(values, _WINDOWS)
    middle = np.array([part.mean() for part in np.array_split(np.arange(len(values)), _WINDOWS)])
    low, median, high = np.array([np.quantile(part, (0.1, 0.5, 0.9)) for part in parts]).T
    ax.fill_between(middle, low, high, color=BLUE, alpha=0.2, linewidth=0, label="middle 80 % of the steps")
    ax.plot(middle, median, color=BLUE, label="median")


def regions_figure(
    network: nn.Module,
    source: Gaussian | None = None,
    *,
    low: Sequence[float] | np.ndarray | None = None,
    high: Sequence[float] | np.ndarray | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    r"""The linear regions of a network from the plane to the plane, and where each goes; with a Gaussian and its image.

    Left the regions within the box low ≤ x ≤ high, right their images $A_\omega \omega + b_\omega$, in the units of
    inputs and outputs. Lightness is the change of area, log\|det A\| in nats, dark where the network shrinks; regions
    without area in the image, det A = 0, are hatched. Solid curves are the ellipses of the source at 1 and 2 standard
    deviations, and what the network makes of these very curves; dashed are the ellipses of the Gaussian
    N(f(μ), A Σ Aᵀ), A at the mean μ: the law of f(X) is near it as far as X stays in one region. The title bounds the
    probability to leave it (:func:`itssl.networks.regions.exit_probability`).

    Without corners, of shape (2,), the box is the mean ± 4 standard deviations, or [−3, 3]². Draws into ``figure``
    where one is given.
    Raises ParameterError for a source or a box of another dimension and one corner without the other, NetworkError for
    a network that is not piecewise affine, ParameterError for one that does not map 2 inputs to 2 outputs.

    >>> import numpy as np
    >>> from itssl import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> source = Gaussian(np.array([0.5, 0.8]), np.array([[0.4, 0.2], [0.2, 0.3]]))
    >>> figure = regions_figure(mlp((2, 4, 4, 2), seed=3, slope=0.2), source)
    >>> [ax.get_title() for ax in figure.axes[:2]]
    ['35 regions of the inputs', 'their images']
    """
    if source is not None and (not isinstance(source, Gaussian) or source.dim != 2):
        raise ParameterError(f"source: expected a Gaussian of two dimensions, got {source!r}")
    low, high = _box(source, low, high)
    found = cells(network, low, high)
    if found[0].matrix.shape[0] != 2:
        raise ParameterError(f"network: expected 2 outputs, got {found[0].matrix.shape[0]}; put a projection behind it")
    root, (inputs, outputs) = panels_in(figure, 9.4, 4.4, 1, 2)
    size = np.array([abs(np.linalg.det(cell.matrix)) for cell in found])
    flat = size <= 16 * np.finfo(float).eps * np.array([np.linalg.norm(cell.matrix) ** 2 for cell in found])
    volumes = np.log(np.where(flat, 1.0, size))
    corners = [cell.corners for cell in found]
    images = [cell.corners @ cell.matrix.T + cell.shift for cell in found]
    for ax, shapes in ((inputs, corners), (outputs, images)):
        colored = _draw_cells(ax, shapes, volumes, flat)
        ax.autoscale_view()
        ax.margins(0.02)
    (figure or root).colorbar(colored, ax=[inputs, outputs], label="log|det A| (nats)", shrink=0.85)
    if source is not None:
        _draw_source(inputs, outputs, network, source)
    inputs.set(title=f"{len(found)} regions of the inputs", xlabel="x₁ (input units)", ylabel="x₂ (input units)")
    outputs.set(title="their images", xlabel="z₁ (output units)", ylabel="z₂ (output units)")
    for ax in (inputs, outputs):
        ax.title.set_fontsize(9)
        tidy(ax)
    if source is not None:
        bounds = exit_probability(network, source.mean[None], source.cov)
        words = f"X leaves the region of its mean with probability {bounds.lower[0]:.3g} to {bounds.upper[0]:.3g}"
        title(figure or root, words)
    return root


def _box(source: Gaussian | None, low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    if (low is None) != (high is None):
        raise ParameterError("low, high: expected both corners of the box or neither, got one of them")
    if low is None:
        middle = np.zeros(2) if source is None else source.mean
        half = np.full(2, 3.0) if source is None else 4 * np.sqrt(np.diagonal(source.cov))
        return middle - half, middle + half
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if low.shape != (2,) or high.shape != (2,):
        raise ParameterError(f"low, high: expected two numbers each, got shapes {low.shape} and {high.shape}")
    return low, high


def _draw_cells(ax: Axes, shapes: list[np.ndarray], volumes: np.ndarray, flat: np.ndarray) -> PolyCollection:
    """Filled by volume change; the hatched ones are those without."""
    shown = [shape for shape, without in zip(shapes, flat, strict=True) if not without]
    colored = PolyCollection(
        shown, array=volumes[~flat], cmap="viridis", edgecolors="white", linewidths=0.6, alpha=0.75
    )
    if len(shown):
        spread = max(float(np.ptp(volumes[~flat])), 0.1)
        colored.set_clim(volumes[~flat].max() - spread, volumes[~flat].max())
    ax.add_collection(colored)
    empty = [shape for shape, without in zip(shapes, flat, strict=True) if without]
    ax.add_collection(PolyCollection(empty, facecolors="0.85", edgecolors="0.4", hatch="////", linewidths=0.6))
    return colored


def _draw_source(inputs: Axes, outputs: Axes, network: nn.Module, source: Gaussian) -> None:
    local = local_affine(network, source.mean[None])
    root = np.linalg.cholesky(source.cov)
    for k in _DEVIATIONS:
        curve = source.mean + k * _CIRCLE @ root.T
        name = f"{' and '.join(map(str, _DEVIATIONS))} standard deviations" if k == 1 else None
        inputs.plot(*curve.T, color="black", linewidth=1.6, label=name)
        outputs.plot(*embed(network, curve).T, color="black", linewidth=1.6, label="their image" if k == 1 else None)
        outputs.plot(
            *(curve @ local.matrix[0].T + local.offset[0]).T, color=VERMILION, linewidth=1.8, linestyle="--",
            label="ellipses of N(f(μ), AΣAᵀ)" if k == 1 else None,
        )  # fmt: skip
    at = source.mean[None]
    inputs.plot(*at.T, marker="P", color="black", markeredgecolor="white", linestyle="")
    outputs.plot(*embed(network, at).T, marker="P", color="black", markeredgecolor="white", linestyle="")
    for ax in (inputs, outputs):
        legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=SMALL)
