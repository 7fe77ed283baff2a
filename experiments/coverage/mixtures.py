"""Coverage of the intervals of FittedMixture on draws from Gaussian mixtures whose entropies are known."""

from functools import cache
from typing import Any

import numpy as np

import itssl
from itssl.distributions.law import monte_carlo_entropy
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.fitted_mixture import FittedMixture

NOMINAL = 0.95
LAWS = {
    "two apart": (2, 6.0), "two moderately apart": (2, 3.5),
    "three apart": (3, 6.0), "three moderately apart": (3, 4.0),
}  # fmt: skip


def cells(quick: bool) -> list[dict[str, Any]]:
    """What is measured: ``d`` dimensions in all; information is between the first coordinate and the others."""
    rows = [
        ("entropy", "two moderately apart", 1000, 1),
        ("entropy", "three apart", 1000, 2), ("entropy", "two moderately apart", 500, 2),
        ("entropy", "two apart", 4000, 3), ("entropy", "three moderately apart", 1000, 3),
        ("mutual_information", "two apart", 500, 2), ("mutual_information", "two moderately apart", 500, 2),
        ("mutual_information", "three moderately apart", 2000, 2), ("mutual_information", "two apart", 1000, 3),
    ]  # fmt: skip
    return [
        {
            "family": "fitted mixture", "estimator": "FittedMixture", "quantity": quantity, "law": law, "n": n, "d": d,
            "replicates": 3 if quick else 400 if d < 3 else 300,
        }
        for quantity, law, n, d in (rows[:1] + rows[5:6] if quick else rows)
    ]  # fmt: skip


def measure(cell: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    """Coverage and mean width of the 95 % interval, bias, spread and stated error (root mean square) of the value."""
    law, truth = _law(cell["law"], cell["d"]), _truth(cell["law"], cell["d"], cell["quantity"])
    estimator = FittedMixture()
    values, errors, widths, covered, components = [], [], [], [], []
    for _ in range(cell["replicates"]):
        x = law.sample(cell["n"], rng)
        found = (
            estimator.entropy(x) if cell["quantity"] == "entropy" else estimator.mutual_information(x[:, :1], x[:, 1:])
        )
        low, high = found.interval(NOMINAL)
        values.append(found.value)
        errors.append(found.standard_error)
        widths.append(high - low)
        covered.append(low <= truth <= high)
        components.append(found.diagnostics["components"] == len(law.weights))
    spread = float(np.std(values, ddof=1))
    return {
        "coverage": float(np.mean(covered)), "nominal": NOMINAL, "mean_width": float(np.mean(widths)),
        "bias": float(np.mean(values) - truth), "bias_error": spread / len(values) ** 0.5, "spread": spread,
        "stated": float(np.sqrt(np.mean(np.square(errors)))), "truth": truth, "right_count": float(np.mean(components)),
    }  # fmt: skip


@cache
def _law(name: str, d: int) -> GaussianMixture:
    """Two or three components of unequal weights and covariances; means at the law's distance from the first."""
    m, apart = LAWS[name]
    rng = itssl.stream(0, "coverage of mixtures", name, d)
    directions = np.array([np.zeros(d), np.ones(d) / d**0.5, -np.ones(d) / d**0.5])[:m]
    if m == 3 and d > 1:
        directions[2] = np.r_[-1.0, np.ones(d - 1)] / d**0.5
    roots = np.eye(d) + 0.3 * rng.standard_normal((m, d, d))
    weights = {2: [0.6, 0.4], 3: [0.5, 0.3, 0.2]}[m]
    return GaussianMixture(np.array(weights), apart * directions, roots @ roots.transpose(0, 2, 1))


@cache
def _truth(name: str, d: int, quantity: str) -> float:
    """By quadrature up to two dimensions, else by 2^20 draws (error at most 0.0015 nats)."""

    def entropy(columns: list[int]) -> float:
        law = _law(name, d)
        part = GaussianMixture(law.weights, law.means[:, columns], law.covs[:, columns][:, :, columns])
        if len(columns) <= 2:
            return part.entropy_by_quadrature(relative_tolerance=1e-8).value
        return monte_carlo_entropy(part, itssl.stream(0, "truth", name, d), n=2**20).value

    whole = entropy(list(range(d)))
    return whole if quantity == "entropy" else entropy([0]) + entropy(list(range(1, d))) - whole
