"""Estimators known to be right, each with what it promises; and two that are as wrong as is still allowed."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from itssl import KSG, KozachenkoLeonenko
from itssl.estimators import GaussianPlugin
from itssl.testing import from_density_model, from_feature_scores
from itssl.testing.subjects import Quantity

GAUSSIAN = {"family": "gaussian", "max_dim": 1}
ANY_UNITS = {"accepts_tensors": True, "marginal_invariant": True}
EDGE = 0.2 / 50**0.5
"""Nats: the bias on independent pairs of 50 rows that the suite still allows."""


@dataclass(frozen=True)
class Subject:
    """An estimator and its promises; ``make`` imports what it needs."""

    quantity: Quantity
    make: Any
    promises: dict[str, Any] = field(default_factory=dict)


def spacings(x: np.ndarray, m: int = 3) -> float:
    """mean log(x₍ᵢ₊ₘ₎ − x₍ᵢ₎) + ψ(n+1) − ψ(m): for a uniform law the spacing is Beta(m, n+1−m), so without bias."""
    from scipy.special import digamma

    x = np.sort(admitted(x))
    with np.errstate(divide="ignore"):
        return float(np.log(x[m:] - x[:-m]).mean() + digamma(len(x) + 1) - digamma(m))


def normal_entropy(x: np.ndarray) -> float:
    """½ log det(2πe S) of the rows, less the bias that a Wishart matrix gives it: exact in the mean for normal rows."""
    from scipy.special import digamma

    n, d = x.shape
    bias = digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / (n - 1))
    return 0.5 * float(d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(np.atleast_2d(np.cov(x.T)))[1] - bias)


def from_variance(x: np.ndarray, offset: float = 0.0) -> float:
    """The entropy of the normal law with the variance of the rows, shape (n,), without bias; plus ``offset``."""
    return normal_entropy(admitted(x)[:, None]) + offset


def from_correlation(x: np.ndarray, y: np.ndarray, offset: float = 0.0) -> float:
    """The mutual information of the normal law with the correlation of the rows, without bias; plus ``offset``."""
    x, y = (admitted(z)[:, None] for z in (x, y))
    return normal_entropy(x) + normal_entropy(y) - normal_entropy(np.hstack([x, y])) + offset


def admitted(x: np.ndarray) -> np.ndarray:
    """Numbers (n,), or a ValueError."""
    x = np.array(x, dtype=float)
    if x.ndim != 1 or len(x) < 4 or not np.isfinite(x).all() or not np.ptp(x) > 0:
        raise ValueError(f"x: expected at least four finite numbers that vary, got shape {x.shape}")
    return x


def _scipy(method: str) -> Any:
    from scipy.stats import differential_entropy

    return partial(differential_entropy, method=method)


def _scikit_learn() -> Any:
    from sklearn.feature_selection import mutual_info_regression

    return from_feature_scores(mutual_info_regression, random_state=0)


def _density_model() -> Any:
    from sklearn.mixture import GaussianMixture

    return from_density_model(GaussianMixture(random_state=0))


CORRECT = {
    "Kozachenko-Leonenko": Subject(
        "entropy", KozachenkoLeonenko,
        {"rotation_invariant": True, "accepts_tensors": True, "with_k": lambda k: KozachenkoLeonenko(k=k)},
    ),
    "Gaussian entropy": Subject(
        "entropy", GaussianPlugin, {"rotation_invariant": True, "family": "gaussian", **ANY_UNITS}
    ),
    "scipy, Ebrahimi": Subject("entropy", partial(_scipy, "ebrahimi"), {"max_dim": 1}),
    "scikit-learn, held-out density": Subject(
        "entropy", _density_model, {"family": "gaussian", "scale_invariant": False, "guards_input": False}
    ),
    "spacings, a plain function": Subject("entropy", lambda: spacings, {"max_dim": 1}),
    "KSG 1": Subject("mutual_information", KSG, {"with_k": lambda k: KSG(k=k), **ANY_UNITS}),
    "KSG 2": Subject(
        "mutual_information", partial(KSG, variant=2), {"with_k": lambda k: KSG(variant=2, k=k), **ANY_UNITS}
    ),
    "Gaussian information": Subject("mutual_information", GaussianPlugin, {"family": "gaussian", **ANY_UNITS}),
    "scikit-learn, KSG clipped": Subject(
        "mutual_information", _scikit_learn, {"max_dim": 1, "clips_at_zero": True, "marginal_invariant": True}
    ),
    "correlation, a plain function": Subject(
        "mutual_information", lambda: from_correlation, {"marginal_invariant": True, **GAUSSIAN}
    ),
}  # fmt: skip
_UNBIASED: tuple[tuple[str, Quantity, Any], ...] = (
    ("variance", "entropy", from_variance),
    ("correlation", "mutual_information", from_correlation),
)
ON_THE_EDGE = {
    f"{name}, {side} by the declared accuracy": Subject(
        quantity, partial(partial, function, offset=offset), {"accuracy": EDGE, "consistent": False, **GAUSSIAN}
    )
    for name, quantity, function in _UNBIASED
    for side, offset in (("above", EDGE), ("below", -EDGE))
}
EDGES = {"entropy": ("truth",), "mutual_information": ("truth", "independence")}
"""The checks for which a bias of ``EDGE`` is the largest allowed."""
