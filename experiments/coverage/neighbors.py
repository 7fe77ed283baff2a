"""Coverage of the intervals of nearest-neighbor entropies: n = 4000, smooth and heavy-tailed laws, and laws with edges.

``naive_coverage`` is that of value ± Student's t · standard error of the same estimates (for the estimator "… with
independent terms": spread of the terms over √n), which leaves out the bias.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from itssl.arrays import Samples
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimate import student_quantile
from itssl.estimators.extrapolated_neighbors import ExtrapolatedKozachenkoLeonenko
from itssl.estimators.nearest_neighbors import KozachenkoLeonenko, log_ball_volumes
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.estimators.truncated_neighbors import TruncatedKozachenkoLeonenko
from itssl.estimators.weighted_neighbors import WeightedKozachenkoLeonenko

NOMINAL = 0.95
NAIVE = "Kozachenko–Leonenko with independent terms"
ESTIMATORS: dict[str, Any] = {
    "Kozachenko–Leonenko": KozachenkoLeonenko(),
    "weighted": WeightedKozachenkoLeonenko(),
    "extrapolated": ExtrapolatedKozachenkoLeonenko(),
    "truncated": TruncatedKozachenkoLeonenko(lower=0.0, upper=1.0),
    "truncated at 0": TruncatedKozachenkoLeonenko(lower=0.0, upper=np.inf),
}


def law(name: str, d: int) -> tuple[Callable[[int, np.random.Generator], Samples], float]:
    """How to draw, and the entropy in nats: laws of product form but for "correlated" and "Student 5"."""
    index = np.arange(d)
    correlated = Gaussian(np.zeros(d), 0.8 ** np.abs(index[:, None] - index))
    bumps = GaussianMixture.isotropic(np.array([[-2.0], [2.0]]), 1.0)
    laws: dict[str, tuple[Any, Callable[[], float]]] = {
        "Gaussian": (Gaussian.standard(d).sample, lambda: Gaussian.standard(d).entropy.value),
        "correlated Gaussian": (correlated.sample, lambda: correlated.entropy.value),
        "mixture": (
            lambda n, rng: np.hstack([bumps.sample(n, rng), rng.normal(size=(n, d - 1))]),
            lambda: bumps.entropy_by_quadrature().value + (d - 1) * Gaussian.standard(1).entropy.value,
        ),
        "Student 5": (
            lambda n, rng: rng.normal(size=(n, d)) * np.sqrt(5 / rng.chisquare(5, size=(n, 1))),
            lambda: student_entropy(5, d),
        ),
        "Laplace": (lambda n, rng: rng.laplace(size=(n, d)), lambda: d * (1 + np.log(2))),
        "exponential": (lambda n, rng: rng.exponential(size=(n, d)), lambda: float(d)),
        "uniform": (lambda n, rng: rng.uniform(size=(n, d)), lambda: 0.0),
    }
    draw, entropy = laws[name]
    return draw, entropy()


def student_entropy(freedom: float, d: int) -> float:
    """h of the standard multivariate Student law, log[(νπ)^{d/2} Γ(ν/2)/Γ(a)] + a [ψ(a) − ψ(ν/2)] with a = (ν+d)/2."""
    from scipy.special import digamma, gammaln

    a = (freedom + d) / 2
    constant = d / 2 * np.log(freedom * np.pi) + gammaln(freedom / 2) - gammaln(a)
    return float(constant + a * (digamma(a) - digamma(freedom / 2)))


def cells(quick: bool) -> list[dict[str, Any]]:
    """What is measured; five to six minutes on one core, of which "quick" is seconds."""
    if quick:
        chosen = [(NAIVE, "Gaussian", 5, 500), ("Kozachenko–Leonenko", "Gaussian", 3, 500),
                  ("truncated", "uniform", 3, 500)]  # fmt: skip
    else:
        chosen = [
            (NAIVE, "Gaussian", 5, 4000),
            *(("Kozachenko–Leonenko", "Gaussian", d, 4000) for d in (1, 2, 3, 4, 5)),
            ("Kozachenko–Leonenko", "correlated Gaussian", 5, 4000),
            ("Kozachenko–Leonenko", "exponential", 5, 4000),
            ("weighted", "correlated Gaussian", 3, 4000),
            ("extrapolated", "mixture", 5, 4000),
            ("extrapolated", "Student 5", 3, 4000),
            ("truncated", "uniform", 3, 4000),
            ("truncated at 0", "exponential", 2, 4000),
        ]
    return [
        {"family": "nearest neighbors", "estimator": e, "law": name, "n": n, "d": d, "replicates": 20 if quick else 200}
        for e, name, d, n in chosen
    ]


def measure(cell: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Coverage and width of the nominal 95 % interval, bias and spread of the value, and the stated standard error."""
    draw, truth = law(cell["law"], cell["d"])
    rows = [_one(cell["estimator"], draw(cell["n"], rng)) for _ in range(cell["replicates"])]
    value, error, low, high, naive_low, naive_high = np.array(rows).T
    spread = float(value.std(ddof=1))
    return {
        "coverage": float(((low <= truth) & (truth <= high)).mean()),
        "naive_coverage": float(((naive_low <= truth) & (truth <= naive_high)).mean()),
        "nominal": NOMINAL,
        "mean_width": float((high - low).mean()),
        "naive_mean_width": float((naive_high - naive_low).mean()),
        "bias": float(value.mean() - truth),
        "bias_error": spread / len(rows) ** 0.5,
        "spread": spread,
        "stated": float(np.sqrt((error**2).mean())),
        "replicates": len(rows),
    }


def _one(estimator: str, x: Samples) -> tuple[float, float, float, float, float, float]:
    """Value, standard error, interval and naive interval of one estimate."""
    if estimator == NAIVE:
        terms = log_ball_volumes(x, 4, "euclidean")
        value, error = neighbor_entropies(terms)[-1], terms[:, -1].std(ddof=1) / len(x) ** 0.5
        ends = value + student_quantile((1 + NOMINAL) / 2, float("inf")) * error * np.array([-1, 1])
        return value, error, *ends, *ends
    found = ESTIMATORS[estimator].entropy(x)
    half = student_quantile((1 + NOMINAL) / 2, found.degrees_of_freedom) * found.standard_error
    return found.value, found.standard_error, *found.interval(NOMINAL), found.value - half, found.value + half
