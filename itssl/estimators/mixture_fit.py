"""Gaussian mixtures by maximum likelihood: the EM algorithm, and the choice of the number of components."""

import warnings
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, refuse_constant_columns, stream
from itssl.choices import require_count, require_known
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.standardization import canonical_order, standardized
from itssl.kernels.linalg import column_std, whitening

Components: TypeAlias = int | Literal["bic", "held_out"]
Covariance: TypeAlias = Literal["full", "diagonal"]
CRITERIA = ("bic", "held_out")
COVARIANCES = ("full", "diagonal")

_SEARCH_TOLERANCE = 1e-4  # nats a row and step of EM while the number of components is open
_TOLERANCE = 1e-6  # and for the mixture that is kept: far below the bias p/(2n) of the fit
_MAX_STEPS = 2000
_STARTS = {"kmeans": 2, "random_from_data": 8}  # short runs of EM, of which the best goes on; measured in the tests
_SHORT = 30  # steps of these
_RIDGE = 1e-10  # added to each variance, in units of the sample's
_PATIENCE = 2  # the search ends after this many larger mixtures without gain


class Fit(NamedTuple):
    """A law fitted to ``rows`` = (x − mean) back⁻¹ in coordinates fit for EM, and whether the search for it settled."""

    law: GaussianMixture
    converged: bool
    rows: Samples
    back: Float[np.ndarray, "r d"]


def fit_mixture(
    x: SamplesLike, *, components: Components = "bic", max_components: int = 6, covariance: Covariance = "full"
) -> GaussianMixture:
    r"""The Gaussian mixture of greatest likelihood for the rows of x, shape (n, d), as a law [1, 2].

    ``components`` is their number, or how to choose it up to ``max_components``: "bic" takes the least
    −2 log L + p log n with p parameters [3], "held_out" the greatest likelihood of either random half under the fit
    to the other. The search ends after two larger mixtures without gain. ``covariance="diagonal"`` has p = O(d).

    EM starts from k-means and from random rows, standardized (full: whitened) in canonical order, so the law follows
    their location, units and order; the best of ten short runs [4] goes on. The likelihood of a mixture is unbounded (a
    component may shrink on one row), so this is a local maximum, with a ridge of 1e-10 of the sample's variance; where
    the number is chosen, a mixture with a component on d + 1 rows or fewer is not. Now and then it is a poor one: with
    four components in a row, 8 standard deviations apart in three dimensions, in 2 of 40 samples of 1,000.
    Nothing is printed or warned when EM has not settled; :class:`FittedMixture` says so with its estimate.
    Raises SampleError when n is not above p, for constant or (full) linearly dependent columns and inadmissible
    samples; ParameterError for numbers out of range; UnknownNameError for another way to choose or covariance.

    References
    ----------
    [1] Dempster, Laird & Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39(1).
    [2] McLachlan & Peel (2000). Finite Mixture Models. Wiley.
    [3] Schwarz (1978). Estimating the dimension of a model. Ann. Statist. 6(2).
    [4] Biernacki, Celeux & Govaert (2003). Choosing starting values for the EM algorithm for getting the highest
        likelihood in multivariate Gaussian mixture models. Comput. Statist. Data Anal. 41(3-4).

    >>> x = GaussianMixture.isotropic(np.array([[-4.0], [4.0]]), 1.0).sample(2000, np.random.default_rng(0))
    >>> print(np.sort(fit_mixture(x).means, axis=0).round(1).tolist())
    [[-4.0], [4.0]]
    """
    x = as_samples(x)
    refuse_constant_columns(x)
    require_known("covariance", covariance, COVARIANCES)
    components = require_components(components)
    max_components = require_count("max_components", max_components)
    if covariance == "full" and whitening(x)[1] < x.shape[1]:
        raise SampleError(
            "x: expected linearly independent columns, got dependent ones; project x on its support first, or use "
            "covariance='diagonal'"
        )
    std, mean = column_std(x), x.mean(axis=0)
    fit = fitted(standardized(x), components, max_components, covariance, order=canonical_order(x))
    return fit.law.affine_image((fit.back * std).T, mean)


def require_components(components: object) -> Components:
    """components as a count or "bic" or "held_out"; ParameterError or UnknownNameError otherwise.

    >>> require_components(np.int64(3))
    3
    """
    if isinstance(components, str):
        require_known("components", components, CRITERIA)
        return "bic" if components == "bic" else "held_out"
    return require_count("components", components)


def fitted(
    x: Samples, components: Components, max_components: int, covariance: Covariance, *, order: np.ndarray,
    name: str = "x",
) -> Fit:  # fmt: skip
    """The fit to centered x, its rows taken in ``order``; whitened first where the family allows it (full)."""
    if covariance == "diagonal":
        coordinates, back = x, np.eye(x.shape[1])
    else:
        coordinates = whitening(x)[0]
        back = coordinates.T @ x / (len(x) - 1)
    rows = coordinates[order]
    law, converged = _fit_components(rows, components, max_components, covariance, name)
    return Fit(law, converged, rows, back)


def parameter_count(components: int, d: int, covariance: Covariance) -> int:
    """Free parameters of a mixture: weights, means and covariances.

    >>> parameter_count(2, 3, "full"), parameter_count(2, 3, "diagonal")
    (19, 13)
    """
    return components - 1 + components * (d + (d * (d + 1) // 2 if covariance == "full" else d))


def _fit_components(
    x: Samples, components: Components, max_components: int, covariance: Covariance, name: str
) -> tuple[GaussianMixture, bool]:
    """The mixture of greatest likelihood, with as many components as asked for or as the criterion prefers."""
    n, d = x.shape
    least = components if isinstance(components, int) else 1
    if n <= parameter_count(least, d, covariance):
        raise SampleError(
            f"{name}: expected more rows than the {parameter_count(least, d, covariance)} parameters of {least} "
            f"component(s) in {d} dimensions, got {n}; draw more, or use fewer components or covariance='diagonal'"
        )
    if isinstance(components, int):
        return _polished(x, _search(x, components, covariance))
    best, least, since = None, np.inf, 0
    for m in range(1, max_components + 1):
        if n <= parameter_count(m, d, covariance) or since >= _PATIENCE:
            break
        model = _search(x, m, covariance)
        criterion = model.bic(x) / (2 * n) if components == "bic" else _held_out(x, m, covariance)
        if m > 1 and _shrunk(model, x):
            criterion = np.inf
        if best is None or criterion < least:
            best, least, since = model, criterion, 0
        else:
            since += 1
    return _polished(x, best)


def _held_out(x: Samples, components: int, covariance: Covariance) -> float:
    """Minus the mean log-likelihood of either random half under the mixture fitted to the other, in nats."""
    order = stream(0, "held-out halves", len(x)).permutation(len(x))
    halves = x[np.sort(order[::2])], x[np.sort(order[1::2])]
    if min(map(len, halves)) <= parameter_count(components, x.shape[1], covariance):
        return np.inf
    pairs = (halves, halves[::-1])
    return -float(np.mean([_search(a, components, covariance).score(b) for a, b in pairs]))


def _search(x: Samples, components: int, covariance: Covariance) -> Any:
    """EM, roughly, from the best of several short runs: long ones from k-means alone end in poor maxima too often."""
    from sklearn.mixture import GaussianMixture as Model

    kind = "full" if covariance == "full" else "diag"
    runs: list[Any] = [
        Model(
            components, covariance_type=kind, tol=_SEARCH_TOLERANCE, max_iter=_SHORT, reg_covar=_RIDGE,
            random_state=number, init_params=start,
        )
        for start, numbers in (_STARTS.items() if components > 1 else [("kmeans", 1)])
        for number in range(numbers)
    ]  # fmt: skip
    best = max((_quietly_fitted(run, x) for run in runs), key=lambda run: (not _shrunk(run, x), run.lower_bound_))
    return _continued(x, best, _SEARCH_TOLERANCE)


def _shrunk(model: Any, x: Samples) -> bool:
    """Whether a component has shrunk on so few rows that its likelihood is whatever the ridge allows."""
    return len(x) * float(model.weights_.min()) <= (x.shape[1] if model.covariance_type == "full" else 1) + 1


def _continued(x: Samples, found: Any, tolerance: float) -> Any:
    """EM from the mixture found until a step gains less than the tolerance."""
    from sklearn.mixture import GaussianMixture as Model

    model: Any = Model(
        found.n_components, covariance_type=found.covariance_type, tol=tolerance, max_iter=_MAX_STEPS,
        reg_covar=_RIDGE, random_state=0, weights_init=found.weights_, means_init=found.means_,
        precisions_init=found.precisions_,
    )  # fmt: skip
    return _quietly_fitted(model, x)


def _polished(x: Samples, found: Any) -> tuple[GaussianMixture, bool]:
    """EM from the mixture found, to full precision; components in the order of their weights."""
    model = _continued(x, found, _TOLERANCE)
    diagonal = found.covariance_type == "diag"
    covs = model.covariances_[:, :, None] * np.eye(x.shape[1]) if diagonal else model.covariances_
    order = np.argsort(-model.weights_, kind="stable")
    weights = model.weights_[order] / model.weights_.sum()
    law = GaussianMixture(weights, model.means_[order], (covs + covs.transpose(0, 2, 1))[order] / 2)
    return law, bool(model.converged_)


def _quietly_fitted(model: Any, x: Samples) -> Any:
    """The model fitted to x; what it would warn of is read from it instead."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x)
