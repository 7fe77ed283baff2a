"""Pictures of what this floor measures: convergence, decomposition, assessment, generalization bound.

Functions return matplotlib Figures and show nothing; :mod:`itssl.reports` offers them with all others.
"""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from itssl.evaluation.assessment import Assessment, AssessmentRow
from itssl.evaluation.convergence import Convergence
from itssl.evaluation.decomposition import Decomposition
from itssl.evaluation.drawing import (
    BLUE,
    GRAY,
    SMALL,
    VERMILION,
    axes_in,
    legend,
    look,
    panels_in,
    require_answer,
    tidy,
    title,
)
from itssl.evaluation.generalization import TRIVIAL, GeneralizationBound

STEPS: dict[str, dict[str, str]] = {
    "≤": {"facecolor": VERMILION, "hatch": "///"},
    "≥": {"facecolor": BLUE, "hatch": ""},
    "≈": {"facecolor": "0.75", "hatch": "..."},
    "=": {"facecolor": "0.75", "hatch": ""},
    "": {"facecolor": "0.45", "hatch": ""},
}
"""Of bars by their relation: which way a step goes; totals have none."""
DIRECTIONS: dict[str, dict[str, str]] = {
    "exact": {"facecolor": "0.45", "hatch": ""},
    "upper": {"facecolor": VERMILION, "hatch": "///"},
    "lower": {"facecolor": BLUE, "hatch": "\\\\\\"},
    "estimate": {"facecolor": "0.75", "hatch": "..."},
}
_EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0}


def convergence_figure(found: Convergence, *, figure: Figure | SubFigure | None = None) -> Figure:
    r"""The value against the sample size (nats over n); with a truth also its errors (nats) and the coverage.

    The band is the mean ± the spread over replicates, bars are Monte-Carlo standard errors. Left of the three panels
    the value beside the truth; in the middle \|bias\|, spread and stated error on a log scale, equal where the error
    bars are honest and the bias is small; right the share of intervals that hold the truth, beside their level.

    Draws into ``figure`` (a Figure or SubFigure) where one is given. Raises ParameterError for another answer.

    >>> from itssl import Gaussian, KozachenkoLeonenko, convergence
    >>> found = convergence(KozachenkoLeonenko(), Gaussian.standard(3), sizes=[50, 100, 200, 400], replicates=20)
    >>> figure = convergence_figure(found)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['entropy (nats)', 'error (nats)', 'coverage of 95% intervals']
    """
    require_answer("found", found, Convergence, "itssl.convergence")
    panels = 1 if found.truth is None else 3
    root, axes = panels_in(figure, 3.9 * panels, 3.4, 1, panels)
    of = {name: np.array([getattr(row, name) for row in found.rows]) for name in ("n", "mean", "spread", "mean_error")}
    n, mean, spread = of["n"], of["mean"], np.nan_to_num(of["spread"])
    axes[0].errorbar(n, mean, yerr=np.nan_to_num(of["mean_error"]), capsize=3, label="mean", **look(0))
    axes[0].fill_between(n, mean - spread, mean + spread, color=BLUE, alpha=0.2, linewidth=0, label="± spread")
    axes[0].set_ylabel(f"{found.quantity.replace('_', ' ')} (nats)")
    if found.truth is not None:
        axes[0].axhline(found.truth.value, color=GRAY, linewidth=1.2, linestyle="--", label="truth")
        _errors(axes[1], found)
        _coverage(axes[2], found)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xticks(n, [str(size) for size in n])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("sample size n")
        tidy(ax)
        legend(ax)
    title(figure or root, found._title())
    return root


def _errors(ax: Axes, found: Convergence) -> None:
    n = [row.n for row in found.rows]
    for i, (name, error) in enumerate((("bias", "mean_error"), ("spread", "spread_error"), ("stated", ""))):
        size = [abs(getattr(row, name)) for row in found.rows]
        bars = np.nan_to_num([getattr(row, error) for row in found.rows]) if error else None
        ax.errorbar(n, size, yerr=bars, capsize=3, label="|bias|" if name == "bias" else name, **look(i))
    ax.set_yscale("log")
    ax.set_ylabel("error (nats)")


def _coverage(ax: Axes, found: Convergence) -> None:
    n, shares = [row.n for row in found.rows], [row.coverage for row in found.rows]
    ax.errorbar(n, shares, yerr=np.nan_to_num([row.coverage_error for row in found.rows]), capsize=3, **look(0))
    ax.axhline(found.level, color=GRAY, linewidth=1.2, linestyle="--", label="wanted")
    ax.set_ylim(-0.05, 1.05)
    ax.set_ylabel(f"coverage of {found.level:.0%} intervals")


def decomposition_figure(found: Decomposition, *, ax: Axes | None = None) -> Figure:
    """Waterfall from I(Z; Z') to VICReg's loss in nats: each bar goes from the value before to its own.

    First and last bar stand on zero. Color and hatch say which way a step goes, whiskers are standard errors of drawing
    the rows. Draws into ``ax`` where one is given. Raises ParameterError for another answer.

    >>> import numpy as np
    >>> from itssl import decompose, linear_gaussian_views
    >>> z_a, z_b = linear_gaussian_views([0.9, 0.7, 0.5]).sample(500, np.random.default_rng(0))
    >>> figure = decomposition_figure(decompose(z_a @ np.diag([1.5, 1, 0.6]), z_b @ np.diag([1.5, 1, 0.6])))
    >>> figure.axes[0].get_xlabel(), len(figure.axes[0].get_yticklabels())
    ('nats', 8)
    """
    require_answer("found", found, Decomposition, "itssl.decompose")
    given = ax is not None
    root, ax = axes_in(ax, 8.0, 0.56 * len(found.steps) + 1.3)
    last, named = len(found.steps) - 1, set()
    for row, step in enumerate(found.steps):
        total = row in (0, last)
        start = 0.0 if total else step.value - step.gap
        bar = STEPS["" if total else step.relation]
        name = "" if total or step.relation in named else _MEANING[step.relation]
        named |= {step.relation} if name else set()
        ax.barh(row, step.value - start, left=start, height=0.62, label=name, **bar, **_EDGE)
        ax.plot([step.value] * 2, [row - 0.31, row + 0.31], color=bar["facecolor"], linewidth=1.5)  # a gap near zero
        error = step.standard_error if math.isfinite(step.standard_error) else 0.0
        if error > 0:
            ax.errorbar(step.value, row, xerr=error, color="0.15", capsize=3)
        if row < last:
            ax.plot([step.value, step.value], [row, row + 1], color="0.5", linewidth=0.8, linestyle=":")
        _note(ax, f"{step.relation} {step.value:.4g}".strip(), max(start, step.value + error), row)
    _rows(ax, [step.name for step in found.steps])
    ax.margins(x=0.16)
    ax.set_xlabel("nats")
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    if not given:
        title(root, found._title())
    return root


_MEANING = {"≤": "≤ rises or stays", "≥": "≥ falls or stays", "≈": "≈ either way", "=": "= to rounding"}


def _note(ax: Axes, text: str, x: float, row: int) -> None:
    ax.annotate(
        text, (x, row), (6, 0), textcoords="offset points", va="center", fontsize=SMALL, parse_math=False,
    )  # fmt: skip


def _rows(ax: Axes, names: list[str]) -> None:
    """One named row each, the first on top."""
    ax.axvline(0, color=GRAY, linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    tidy(ax, left=False)


def assessment_figure(found: Assessment, *, figure: Figure | SubFigure | None = None) -> Figure:
    """The assumptions in four panels over the scale of the noise, a standard deviation in units of the inputs.

    A1: probability to leave the region, counted between its bounds. A2: draws nearer to another prototype, their bound,
    and the share of prototypes with a neighbor within two scales. Shares of tests that reject normality, beside the
    level. Relative errors of the predicted mean and covariance beside what the finite draws add. Bars are standard
    errors. Draws into ``figure`` where one is given. Raises ParameterError for another answer.

    >>> import numpy as np
    >>> from itssl import assess
    >>> from itssl.networks.encoders import mlp
    >>> x = np.random.default_rng(0).normal(size=(12, 4))
    >>> found = assess(mlp((4, 16, 3), seed=0), x, 1.0, scales=[0.01, 0.03, 0.1, 0.3, 1.0], draws=64)
    >>> figure = assessment_figure(found)
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('scale of the noise (units of the inputs)', 'P(X leaves its region)')
    """
    require_answer("found", found, Assessment, "itssl.assess")
    root, (a1, a2, normality, moments) = panels_in(figure, 9.6, 6.6, 2, 2)
    rows = sorted(found.rows)
    of = {name: np.array([getattr(row, name) for row in rows]) for name in AssessmentRow._fields}

    def curve(ax: Axes, name: str, label: str, i: int) -> None:
        ax.errorbar(of["scale"], of[name], yerr=of[f"{name}_error"], ms=4, capsize=2, label=label, **look(i))

    a1.fill_between(
        of["scale"], of["exit_lower"], of["exit_upper"], color=BLUE, alpha=0.2, linewidth=0, label="bounds"
    )  # fmt: skip
    curve(a1, "exit", "counted", 0)
    a1.set(ylim=(-0.05, 1.05), ylabel="P(X leaves its region)")
    if found.nearest is not None:
        curve(a2, "misassigned", "misassigned", 0)
        a2.plot(of["scale"], of["overlap"], ms=4, label="bound by all distances", **look(1))
        half = np.sort(found.nearest) / 2
        share = np.arange(1, len(half) + 1) / len(half)
        a2.step(half, share, color="0.4", linestyle=":", label="prototypes nearer than 2 scales")
    a2.set(ylim=(-0.05, 1.05), ylabel="probability, share of prototypes")
    for i, (name, label) in enumerate((("coordinates",) * 2, ("projections",) * 2, ("mardia", "Mardia"))):
        curve(normality, name, label, i)
    normality.plot(of["scale"], 1 - of["exit"], color="0.6", linewidth=2.2, label="P(X stays)")
    normality.axhline(found.level, color=GRAY, linewidth=0.8, linestyle=":", label="level")
    normality.set(ylim=(-0.05, 1.05), ylabel=f"normality rejected at level {found.level:g}")
    for i, name in enumerate(("mean", "cov")):
        sampling, seen = of[f"{name}_sampling"], look(i)
        moments.plot(of["scale"], np.sqrt(of[name] + sampling), ms=4, label=f"{name}, seen", **seen)
        moments.plot(
            of["scale"], np.sqrt(sampling), **{**seen, "linestyle": ":"}, ms=4, markerfacecolor="white",
            label=f"{name}, sampling alone",
        )  # fmt: skip
    moments.set(
        yscale="log" if np.nansum(of["mean_sampling"]) > 0 else "linear",
        ylabel="relative error of the moments",
    )
    moments.margins(y=0.4)  # room for the legend
    for ax in (a1, a2, normality, moments):
        ax.set(xscale="log", xlabel="scale of the noise (units of the inputs)")
        tidy(ax)
        if ax.has_data():
            legend(ax)
    title(figure or root, found._title())
    return root


def generalization_figure(found: GeneralizationBound, *, ax: Axes | None = None) -> Figure:
    """The bound term by term, each bar beginning where the one before ended, beside the measured error.

    The axis is E‖W_S f(x) − y‖ for one-hot y, which has no unit: 1 is the error of a probe that is 0, and right of it
    the bound says nothing. Color and hatch say where a term lies relative to what the theorem asks for. Whiskers are
    standard errors, the band around the measured error is its 95 % interval. Draws into ``ax`` where one is given.
    Raises ParameterError for another answer.

    >>> import numpy as np
    >>> from itssl.evaluation import generalization_bound
    >>> rng = np.random.default_rng(0)
    >>> y, pair_y, test_y = (rng.integers(3, size=size) for size in (500, 2000, 1000))
    >>> z, a, b, test = (np.eye(3)[i] + 0.1 * rng.normal(size=(len(i), 3)) for i in (y, pair_y, pair_y, test_y))
    >>> figure = generalization_figure(generalization_bound(z, y, a, b, pair_y, test_z=test, test_y=test_y))
    >>> figure.axes[0].get_yticklabels()[-1].get_text()
    'total'
    """
    require_answer("found", found, GeneralizationBound, "itssl.evaluation.generalization_bound")
    given = ax is not None
    root, ax = axes_in(ax, 8.0, 0.36 * len(found.terms) + 1.9)
    lines = [*found.terms, found.total]
    begin, named = 0.0, set()
    for row, term in enumerate(lines):
        begin = 0.0 if row == len(found.terms) else begin
        end = begin + term.value
        name = "" if term.direction in named else f"term: {term.direction}"
        named.add(term.direction)
        ax.barh(row, term.value, left=begin, height=0.66, label=name, **DIRECTIONS[term.direction], **_EDGE)
        if term.standard_error > 0:
            ax.errorbar(end, row, xerr=term.standard_error, color="0.15", capsize=3)
        _note(ax, f"{term.value:.3g}", end + term.standard_error, row)
        begin = end
    ax.axvline(TRIVIAL, color=GRAY, linewidth=1.2, linestyle="--", label="error of W = 0")
    if math.isfinite(found.error.value):
        half = 1.96 * found.error.standard_error
        ax.axvspan(found.error.value - half, found.error.value + half, color=BLUE, alpha=0.25, linewidth=0)
        ax.axvline(found.error.value, color=BLUE, linewidth=1.4, label="measured error, 95 % interval")
    _rows(ax, [term.name for term in lines])
    ax.margins(x=0.12)
    ax.set_xlim(left=0)
    ax.set_xlabel("E‖W_S f(x) − y‖ (no unit)", parse_math=False)
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    if not given:
        title(root, found._title())
    return root
