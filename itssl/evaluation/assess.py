r"""Do the assumptions behind the output law of a network hold? Each as a number, at each width of the input noise.

Given prototypes x*_1 … x*_N, noise X | T = n ~ N(x*_n, s²Σ) and a piecewise affine network f with f(x) = A_n x + b_n on
the region of x*_n, the Gaussian picture "f(X) | T = n is N(f(x*_n), s² A_n Σ A_nᵀ)" rests on

- A1, mass within the region: P(X leaves the region of x*_n) small, between bounds and as counted;
- A2, prototypes apart: the most probable prototype of X is seldom a wrong one;
- A3, full rank of $A_n \Sigma A_n^\top$, else f(X) | T = n has no density and entropy −∞;
- A4, views independent given the prototype: a property of the views, measured only where views are given.

Beside them stands what they are invoked for: normality of the outputs, and their predicted moments. A test of normality
is no substitute for A1: it can fail to reject far outside the region.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, is_torch, on_host, stream
from itssl.choices import ParameterError, require_count
from itssl.evaluation.assessment import Assessment, AssessmentRow
from itssl.evaluation.normality import (
    LEAST_DRAWS,
    PointTests,
    ViewDependence,
    point_tests,
    ranks,
    relative_error,
    share_with_error,
    view_dependence,
)
from itssl.evaluation.overlap import as_covariance, as_scales, is_singular, misassignment, overlap, square_root
from itssl.progress import progress_bar

SCALES = tuple(float(s) for s in np.geomspace(0.01, 100, 9))
PROJECTIONS, REPEATS = 32, 8
"""Directions of the projections; views of each prototype where a function makes them."""
_BATCH = 4096
_ASSIGNED = 8  # draws of the MAP rule, in units of the draws at one prototype: one such draw is cheap


def assess(
    network: Any,
    prototypes: SamplesLike,
    cov: Any,
    *,
    scales: Any = None,
    draws: int = 512,
    points: int = 64,
    views: Any = None,
    level: float = 0.05,
    seed: int = 0,
    progress: bool = True,
) -> Assessment:
    r"""Measure what the Gaussian picture of a network's output assumes, for noise of covariance s²Σ at each scale s.

    Parameters
    ----------
    network: a piecewise affine torch module in evaluation mode, as for :func:`itssl.networks.regions.local_affine`.
        It is measured in float64, on a copy.
    prototypes: shape (N, D), for instance a data set. A2 uses all of them.
    cov: Σ, a variance or a (D, D) covariance; it may be singular, but then A2 is not defined.
    scales: the factors s of the standard deviations, by default 0.01 to 100 in half decades.
    draws: perturbations of each prototype, at least 20. Mardia's tests need 4 for each dimension of the output.
    points: at how many prototypes, chosen at random, the network is measured.
    views: for A4, a pair (view_a, view_b) of arrays of shape (N', r, D), r >= 2 repeats for each prototype; or a
        function (x, torch generator) -> (view_a, view_b) of rows, such as :class:`itssl.networks.views.AffineViews`,
        which is called on 8 repeats. None: not measured.
    level: of the tests of normality.
    seed: names all draws. Each scale has its own, whichever others are asked for.
    progress: whether to show a bar on anything over 5 seconds.

    An interrupt returns the scales that are finished, with ``interrupted`` set.

    Raises
    ------
    NetworkError: the network is not piecewise affine, in training mode, or does not take D columns.
    SampleError: prototypes is no finite (N, D) array, or the views do not fit.
    ParameterError: a bad cov, scale, level, or number of draws or points.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> from itssl.networks.encoders import mlp
    >>> x = np.random.default_rng(0).normal(size=(5, 4))
    >>> found = assess(mlp((4, 8, 3), seed=0), x, 1.0, scales=[0.001, 10.0], draws=64)
    >>> [round(row.exit, 2) for row in found.rows], found.rank
    ([0.0, 0.95], array([3, 3, 3, 2, 3]))
    """
    from itssl.networks.encoders import as_double, embed
    from itssl.networks.regions import activation_pattern, local_affine

    x = as_samples(prototypes, name="prototypes", minimum=1)
    sigma = as_covariance(cov, x.shape[1])
    chosen = as_scales(SCALES if scales is None else scales)
    draws, points = require_count("draws", draws, minimum=LEAST_DRAWS), require_count("points", points)
    if not 0 < level < 1:
        raise ParameterError(f"level: expected a number between 0 and 1, got {level!r}; 0.05 is usual")
    measured = np.sort(stream(seed, "assess", "points").permutation(len(x))[:points])
    centers = x[measured]
    matrix = local_affine(network, centers).matrix  # refuses what is not piecewise affine
    exact, root = as_double(network), square_root(sigma)
    rank, ratio = ranks(matrix @ root)
    undefined = "one prototype has no neighbor" if len(x) < 2 else "cov is singular" if is_singular(sigma) else ""
    apart = None if undefined else overlap(x, sigma, scales=chosen)
    dependence = None if views is None else _views(exact, centers, views, seed)
    around = _Around(
        network=exact, x=x, cov=sigma, measured=measured, root=root, images=matrix @ root,
        pattern=activation_pattern(exact, centers), output=embed(exact, centers), draws=draws, level=level, seed=seed,
    )  # fmt: skip
    rows, interrupted = [], False
    with progress_bar("assess", len(chosen) * len(measured), unit="prototype", shown=progress) as bar:
        try:
            for k, scale in enumerate(chosen):
                bounds = None if apart is None else apart.upper[k]
                rows.append(_row(around, scale, bounds, bar.update))
        except KeyboardInterrupt:
            interrupted = True
    return Assessment(
        network=type(network).__name__, shape=(*x.shape, matrix.shape[1]), draws=draws, level=level, seed=seed,
        measured=measured, rank=rank, eigenvalue_ratio=ratio, nearest=None if apart is None else apart.nearest,
        duplicates=0 if apart is None else apart.duplicates, undefined=undefined,
        views=dependence, rows=tuple(rows), interrupted=interrupted,
    )  # fmt: skip


class _Around(NamedTuple):
    """What stays the same at all scales; root is R = Σ^½, images are the A_n R of the measured prototypes."""

    network: Any
    x: Samples
    cov: Float[np.ndarray, "D D"]
    measured: Int[np.ndarray, " P"]
    root: Float[np.ndarray, "D D"]
    images: Float[np.ndarray, "P K D"]
    pattern: Int[np.ndarray, "P p"]
    output: Float[np.ndarray, "P K"]
    draws: int
    level: float
    seed: int


def _row(a: _Around, scale: float, overlaps: Float[np.ndarray, " N"] | None, advance: Callable) -> AssessmentRow:
    """All numbers at one scale; ``overlaps`` are the bounds of misassignment, None where A2 is not defined."""
    from itssl.networks.regions import exit_probability

    bounds = exit_probability(a.network, a.x[a.measured], scale**2 * a.cov)
    left, tests, together = [], [], max(1, _BATCH // a.draws)
    for start in range(0, len(a.measured), together):
        crossed, tested = _points(a, scale, slice(start, start + together))
        left, tests = left + crossed, tests + tested
        advance(len(tested))
    total = a.draws * len(left)
    share = (sum(left) + 1) / (total + 2)  # the variance of unequal prototypes is at most that of their mean
    a2 = math.nan, math.nan, math.nan
    if overlaps is not None:
        rng = stream(a.seed, "assess", "assignment", repr(scale))
        wrong = misassignment(a.x, scale**2 * a.cov, rng, _ASSIGNED * a.draws)
        a2 = float(overlaps.clip(max=1).mean()), wrong.value, wrong.standard_error
    counts = {name: np.array([getattr(t, name) for t in tests]) for name in PointTests._fields[:-1]}
    moments = np.array([t.moments for t in tests]).T
    return AssessmentRow(
        scale, float(bounds.lower.mean()), sum(left) / total, math.sqrt(share * (1 - share) / total),
        float(bounds.upper.mean()), *a2,
        *share_with_error(counts["coordinates"], counts["coordinates_tested"]),
        *share_with_error(counts["projections"], counts["projections_tested"]),
        *share_with_error(counts["mardia"], counts["mardia_tested"]),
        float(counts["constant"].mean()), float(counts["awakened"].mean()),
        *relative_error(*moments[:3]), *relative_error(*moments[3:]),
    )  # fmt: skip


def _points(a: _Around, scale: float, part: slice) -> tuple[list[int], list[PointTests]]:
    """The draws around a few prototypes, through the network together: how many left the region, and their tests."""
    from itssl.networks.encoders import embed
    from itssl.networks.regions import activation_pattern

    own, d = a.measured[part], a.x.shape[1]
    noise = [stream(a.seed, "assess", "noise", repr(scale), int(n)).standard_normal((a.draws, d)) for n in own]
    x = (a.x[own][:, None] + scale * np.stack(noise) @ a.root).reshape(-1, d)
    pattern = activation_pattern(a.network, x).reshape(len(own), a.draws, -1)
    left = (pattern != a.pattern[part, None]).any(axis=2).sum(axis=1)
    z = embed(a.network, x).reshape(len(own), a.draws, -1)
    directions = stream(a.seed, "assess", "directions").standard_normal((z.shape[2], PROJECTIONS))
    images = scale * a.images[part]
    tests = [
        point_tests(draws, center, image @ image.T, directions, level=a.level)
        for draws, center, image in zip(z, a.output[part], images, strict=True)
    ]
    return left.tolist(), tests


def _views(network: Any, x: Samples, views: Any, seed: int) -> ViewDependence:
    """The test of A4 on the embeddings of given views, or of views made here."""
    import torch

    from itssl.networks.encoders import embed, torch_generator

    given: Any = views
    if callable(given):
        given = given(torch.tensor(np.repeat(x, REPEATS, axis=0)), torch_generator(seed, "assess", "views"))
    parts = given if isinstance(given, tuple | list) else [given]
    pair = [np.asarray(on_host(view) if is_torch(view) else view) for view in parts]
    if callable(views):
        pair = [v.reshape(len(x), REPEATS, -1) if v.ndim == 2 and len(v) == len(x) * REPEATS else v for v in pair]
    if len(pair) != 2 or pair[0].shape != pair[1].shape or pair[0].ndim != 3 or pair[0].shape[2] != x.shape[1]:
        raise SampleError(
            f"views: expected two arrays of shape (N, r, {x.shape[1]}), r repeats for each prototype, got "
            f"{' and '.join(str(v.shape) for v in pair)}"
        )
    rows = (as_samples(view.reshape(-1, x.shape[1]), name="views") for view in pair)
    z_a, z_b = (embed(network, view).reshape(*pair[0].shape[:2], -1) for view in rows)
    return view_dependence(z_a, z_b, seed=seed)
