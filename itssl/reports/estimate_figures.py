"""Pictures of estimates: beside the truth, over the width of bins, and the spectrum of embeddings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples
from itssl.choices import ParameterError
from itssl.estimate import Bias, Estimate, format_with_error, student_quantile
from itssl.estimators.binning import BinWidthSweep
from itssl.evaluation.drawing import BLUE, SMALL, axes_in, legend, look, require_answer, tidy
from itssl.evaluation.spectrum import exponential_entropy

_BIAS: dict[Bias, dict[str, Any]] = {
    Bias.EXACT: {"marker": "d", "color": "black", "label": "exact"},
    Bias.UNBIASED: {"marker": "o", "color": "#0072B2", "label": "unbiased"},
    Bias.LOWER: {"marker": ">", "color": "#009E73", "label": "expected below the truth"},
    Bias.UPPER: {"marker": "<", "color": "#D55E00", "label": "expected above the truth"},
    Bias.UNKNOWN: {"marker": "s", "color": "0.35", "markerfacecolor": "white", "label": "bias of no known sign"},
}
_MARKERS = 40
"""At most so many markers a line."""


def estimates_figure(
    estimates: Sequence[Estimate] | Mapping[str, Estimate],
    *,
    truth: Estimate | float | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Figure:
    """Forest plot of estimates of one quantity: a row each, with its interval at ``level``, beside the truth.

    Rows are named by the keys of a mapping, else by their methods. A marker points to where the truth is expected: >
    for a lower estimate, < for an upper one; a square says that no direction is known. On the right value and standard
    error, and the codes of warnings. The axis is in the units of the estimates. What is infinite or undefined is
    written, not drawn. The truth is a number in the same units or an Estimate, whose interval is then shaded.

    Draws into ``ax`` where one is given. Raises ParameterError for no estimates, other objects, mixed units, or a level
    outside (0, 1).

    >>> import itssl
    >>> task = itssl.linear_gaussian_views([0.9, 0.5])
    >>> x, y = task.sample(400, itssl.stream(0, "example"))
    >>> methods = {"Gaussian": itssl.GaussianPlugin(), "k = 3": itssl.KSG(k=3), "k = 20": itssl.KSG(k=20)}
    >>> found = {name: method.mutual_information(x, y) for name, method in methods.items()}
    >>> figure = estimates_figure(found, truth=task.mutual_information)
    >>> figure.axes[0].get_xlabel()
    'nats, 95% intervals'
    """
    if isinstance(estimates, Estimate) or not isinstance(estimates, Sequence | Mapping) or not len(estimates):
        raise ParameterError(
            f"estimates: expected a list of estimates or a mapping from names to them, at least one, got "
            f"{type(estimates).__name__} {'of none' if hasattr(estimates, '__len__') else ''}; for one pass [estimate]"
        )
    named = list(estimates.items()) if isinstance(estimates, Mapping) else [(_method(e), e) for e in estimates]
    for name, estimate in named:
        require_answer(f"estimates[{name!r}]", estimate, Estimate, "an estimator")
    low, high = _truth_interval(truth, level)
    units = {e.units for e in [*(e for _, e in named), *([truth] if isinstance(truth, Estimate) else [])]}
    if len(units) > 1:
        raise ParameterError(
            f"estimates: expected one unit, got {', '.join(sorted(units))}; use .in_bits() on those in nats"
        )
    root, ax = axes_in(ax, 7.6, 0.36 * len(named) + 1.3)
    for row, (_, e) in enumerate(named):
        mark = {key: value for key, value in _BIAS[e.bias].items() if key != "label"}
        ends = e.interval(level)
        if math.isfinite(e.value):
            if all(map(math.isfinite, ends)):
                ax.hlines(row, *ends, color=mark["color"], linewidth=1.8)
            ax.plot([e.value], [row], linestyle="", markersize=6.5, **mark)
        ax.text(1.02, row, _note(e), transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, parse_math=False)
    for bias in dict.fromkeys(e.bias for _, e in named):
        ax.plot([], [], linestyle="-", linewidth=1.8, markersize=6.5, **_BIAS[bias])
    if low is not None and high is not None:
        ax.axvspan(low, high, color=BLUE, alpha=0.2, linewidth=0)
        ax.axvline((low + high) / 2, color="black", linewidth=1.2, linestyle="--", label="truth", zorder=0)
    ax.set_yticks(range(len(named)), [name for name, _ in named], fontsize=9, parse_math=False)
    ax.set_ylim(len(named) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"{units.pop()}, {100 * level:.3g}% intervals")
    tidy(ax, left=False)
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return root


def bin_width_figure(
    sweep: BinWidthSweep, *, truth: Estimate | float | None = None, level: float = 0.95, ax: Axes | None = None
) -> Figure:
    """The binned value in nats against the number of bins, with the band of its intervals at ``level``.

    The intervals know the spread of the draws and nothing of the bins: a value that leaves the band of its neighbor
    speaks of the bins. A number is missing from the band where no error is known, as with each row alone in its cell.
    The truth is a number in nats or an Estimate, whose interval is then shaded. Draws into ``ax`` where one is given.
    Raises ParameterError for another answer or a level outside (0, 1).

    >>> import itssl
    >>> task = itssl.linear_gaussian_views([0.8])
    >>> x, y = task.sample(1000, itssl.stream(0, "example"))
    >>> figure = bin_width_figure(itssl.bin_width_sweep(x, y), truth=task.mutual_information)
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('bins per coordinate', 'binned value (nats)')
    """
    require_answer("sweep", sweep, BinWidthSweep, "itssl.bin_width_sweep")
    low, high = _truth_interval(truth, level)
    root, ax = axes_in(ax, 5.6, 3.6)
    bins, values = np.array(sweep.bins), np.array([e.value for e in sweep.estimates])
    ends = np.array([e.interval(level) for e in sweep.estimates])
    ends[~np.isfinite(ends).all(axis=1)] = np.nan
    order = np.argsort(bins, kind="stable")
    ax.fill_between(
        bins[order], *ends[order].T, color=BLUE, alpha=0.2, linewidth=0, label=f"{100 * level:.3g}% interval"
    )
    ax.plot(bins[order], values[order], label="by bins", **look(0))
    if low is not None and high is not None:
        ax.axhspan(low, high, color=BLUE, alpha=0.2, linewidth=0)
        ax.axhline((low + high) / 2, color="black", linewidth=1.2, linestyle="--", label="truth")
    ax.set_xscale("log", base=2)
    ax.set_xticks(np.unique(bins), [str(b) for b in np.unique(bins)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("bins per coordinate")
    ax.set_ylabel("binned value (nats)")
    tidy(ax)
    legend(ax)
    return root


def spectrum_figure(
    embeddings: SamplesLike | Mapping[str, SamplesLike], *, level: float = 0.95, ax: Axes | None = None
) -> Figure:
    r"""Eigenvalues of the covariance of embeddings (n, d), largest first, as shares of the variance on a log scale.

    Several embeddings are given as a mapping from names. The legend has the effective rank exp(−Σ p log p) of the
    shares p_j = λ_j / Σ λ, and d; a tick of the line's color on the axis stands at that rank. The band is the delta
    method's interval at ``level``, in the logarithm: p_j is the mean of (v_jᵀ(z − z̄))² over that of ‖z − z̄‖², whose
    error counts the rows as independent, with the eigenvectors held, which to first order move no eigenvalue. The
    largest of noisy eigenvalues is biased upwards and the smallest downwards, which the band does not know. Shares up
    to rounding are left out.

    Draws into ``ax`` where one is given. Raises ParameterError for an empty mapping or a level outside (0, 1),
    SampleError for inadmissible embeddings, and for those that do not vary.

    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(300, 16))
    >>> figure = spectrum_figure({"isotropic": z, "decaying": z * np.exp(-np.arange(16) / 4)})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['isotropic: effective rank 15.6 of 16', 'decaying: effective rank 5.58 of 16']
    """
    named = dict(embeddings) if isinstance(embeddings, Mapping) else {"embeddings": embeddings}
    if not named:
        raise ParameterError("embeddings: expected at least one array of shape (n, d), got an empty mapping")
    quantile = student_quantile(0.5 + _require_level(level) / 2, math.inf)
    spectra = {name: _shares(as_samples(z, name=name), name) for name, z in named.items()}
    root, ax = axes_in(ax, 6.0, 3.8)
    for i, (name, (shares, errors, d)) in enumerate(spectra.items()):
        index, spread = np.arange(1, len(shares) + 1), np.exp(quantile * errors / shares)
        rank, style = exponential_entropy(shares), look(i)
        every = max(1, len(shares) // _MARKERS)
        ax.fill_between(index, shares / spread, shares * spread, color=style["color"], alpha=0.2, linewidth=0)
        ax.plot(index, shares, label=f"{name}: effective rank {rank:.3g} of {d}", ms=4, markevery=every, **style)
        ax.plot([rank] * 2, [0, 0.06], transform=ax.get_xaxis_transform(), linewidth=2.5, **{**style, "marker": ""})
    ax.set_yscale("log")
    ax.set_xlabel("index of the eigenvalue (ticks: effective rank)")
    ax.set_ylabel("share of the variance")
    tidy(ax)
    legend(ax)
    return root


def _shares(z: Samples, name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Shares of the variance above rounding, their standard errors, and d."""
    centered = z - z.mean(axis=0)
    n, d = z.shape
    _, sigma, directions = np.linalg.svd(centered, full_matrices=False)
    kept = sigma > max(n, d) * np.finfo(float).eps * max(sigma[0], float(np.abs(z).max()))
    if not kept.any():
        raise SampleError(f"{name}: expected embeddings that vary, got equal rows; a spectrum of zeros has no shares")
    shares = sigma[kept] ** 2 / (sigma[kept] ** 2).sum()
    squared = (centered @ directions[kept].T) ** 2
    influence = (squared - shares * squared.sum(axis=1, keepdims=True)) / squared.sum(axis=1).mean()
    return shares, influence.std(axis=0) / math.sqrt(n), d


def _truth_interval(truth: Estimate | float | None, level: float) -> tuple[float | None, float | None]:
    """Both ends: of the interval of an Estimate, else the number twice; nothing where none is given."""
    _require_level(level)
    if truth is None:
        return None, None
    if isinstance(truth, Estimate):
        return truth.interval(level)
    if isinstance(truth, bool) or not math.isfinite(truth):
        raise ParameterError(f"truth: expected a finite number or an Estimate, got {truth!r}; leave it out if unknown")
    return float(truth), float(truth)


def _require_level(level: float) -> float:
    if isinstance(level, bool) or not 0 < level < 1:
        raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}; pass e.g. 0.95")
    return level


def _method(estimate: Any) -> str:
    return getattr(estimate, "method", "")


def _note(e: Estimate) -> str:
    error = f" ± {'?' if math.isnan(e.standard_error) else 'inf'}"
    known = math.isfinite(e.standard_error) or not math.isfinite(e.value)
    value = format_with_error(e.value, e.standard_error) if known else f"{e.value:.4g}{error}"
    codes = f" ({', '.join(dict.fromkeys(w.code for w in e.warnings))})" if e.warnings else ""
    return value.removesuffix(" ± 0") + codes
