"""Coverage of the intervals of GaussianPlugin and GaussianCopula on Gaussian draws whose truth is known."""

from typing import Any

import numpy as np

from itssl.estimators.gaussian_copula import GaussianCopula
from itssl.estimators.gaussian_plugin import GaussianPlugin

NOMINAL = 0.95
RHOS = (0.0, 0.3, 0.6, 0.95)


def cells(quick: bool) -> list[dict[str, Any]]:
    """What is measured: ``n`` from twice the number of dimensions to a hundred times it, ``d`` dimensions a block.

    rho is the common canonical correlation ("one" puts it into a single direction); for total correlation a common
    correlation with a factor, for the divergence the shift of the means in standard deviations.
    """
    replicates, rhos = (40, RHOS[::2]) if quick else (1000, RHOS)
    found: list[dict[str, Any]] = []

    def add(quantity: str, estimator: str, n: int, d: int, rho: float, count: int = replicates, **more: Any) -> None:
        cell = {"family": "gaussian", "quantity": quantity, "estimator": estimator, "n": n, "d": d, "rho": rho}
        found.append({**cell, "replicates": count, **more})

    dims = (1,) if quick else (1, 3, 10, 32)
    for d in dims:
        for multiple in (5,) if quick else (2, 5, 100) if d < 32 else (2, 5):
            n, count = 2 * d * multiple, _fewer(replicates, d)
            for rho in rhos:
                if d < 32 or rho != 0.3:
                    add("mutual_information", "GaussianPlugin", n, d, rho, count)
            if d > 1:
                add("mutual_information", "GaussianPlugin", n, d, 0.95, count, pattern="one")
            add("entropy", "GaussianPlugin", d * multiple + (d == 1), d, 0.0, _fewer(4 * replicates, d))
    for d in dims[:2]:
        for multiple in (5,) if quick else (2, 5, 25):
            for rho in rhos:
                add("conditional_mutual_information", "GaussianPlugin", 3 * d * multiple, d, rho)
                add("mutual_information", "GaussianCopula", max(20, 2 * d * multiple), d, rho)
    for d in (3,) if quick else (2, 3, 10, 32):
        for multiple in (5,) if quick else (2, 5, 50):
            for rho in rhos:
                add("total_correlation", "GaussianPlugin", d * multiple, d, rho, _fewer(replicates, d))
    for d in dims[:3]:
        count = replicates // (2 if d < 10 else 3)
        for n in (2 * d + 6, 5 * d + 10, 100 * d):
            for shift in (0.5,) if quick else (0.0, 0.5, 2.0):
                add("kl_divergence", "GaussianPlugin", n, d, shift, count)
        fewest = max(2 * d, d + 3)  # of which Q's have a finite mean of the inverse
        for n, m in () if quick else ((fewest, fewest), (10 * d, fewest), (fewest, 10 * d)):
            add("kl_divergence", "GaussianPlugin", n, d, 2.0, count, m=m)
    return found


def measure(cell: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    """Coverage and mean width of the 95 % interval, bias, spread and stated error (root mean square) of the value."""
    estimator = {"GaussianPlugin": GaussianPlugin, "GaussianCopula": GaussianCopula}[cell["estimator"]]()
    draw, truth = _world(cell)
    values, errors, widths, covered = [], [], [], []
    for _ in range(cell["replicates"]):
        found = getattr(estimator, cell["quantity"])(*draw(rng))
        low, high = found.interval(NOMINAL)
        values.append(found.value)
        errors.append(found.standard_error)
        widths.append(high - low)
        covered.append(low <= truth <= high)
    spread = float(np.std(values, ddof=1))
    return {
        "coverage": float(np.mean(covered)), "nominal": NOMINAL, "mean_width": float(np.mean(widths)),
        "bias": float(np.mean(values) - truth), "bias_error": spread / len(values) ** 0.5, "spread": spread,
        "stated": float(np.sqrt(np.mean(np.square(errors)))), "stated_median": float(np.median(errors)), "truth": truth,
    }  # fmt: skip


def _fewer(replicates: int, d: int) -> int:
    """Half as many where a replicate is dear."""
    return replicates // 2 if d == 32 else replicates


def _world(cell: dict[str, Any]) -> tuple[Any, float]:
    """A function of a generator that draws the arguments of the estimator, and the truth in nats."""
    n, d, rho = cell["n"], cell["d"], cell["rho"]
    if cell["quantity"] == "entropy":
        return lambda rng: (rng.normal(size=(n, d)),), d / 2 * float(np.log(2 * np.pi * np.e))
    if cell["quantity"] == "kl_divergence":
        ratio = np.exp(rho * np.linspace(-1, 1, d)) if d > 1 else np.array([np.exp(rho)])
        truth = 0.5 * float((ratio - 1 - np.log(ratio)).sum() + rho**2)
        shift = np.r_[rho, np.zeros(d - 1)]
        m = cell.get("m", n)
        return lambda rng: (rng.normal(size=(n, d)) * ratio**0.5 + shift, rng.normal(size=(m, d))), truth
    if cell["quantity"] == "total_correlation":
        truth = -0.5 * float((d - 1) * np.log(1 - rho**2) + np.log(1 + (d - 1) * rho**2))
        return lambda rng: ((1 - rho**2) ** 0.5 * rng.normal(size=(n, d)) + rho * rng.normal(size=(n, 1)),), truth
    correlations = np.r_[rho, np.zeros(d - 1)] if cell.get("pattern") == "one" else np.full(d, rho)
    truth = -0.5 * float(np.log(1 - correlations**2).sum())

    def pair(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        x, noise = rng.normal(size=(2, n, d))
        y = correlations * x + np.sqrt(1 - correlations**2) * noise
        if cell["quantity"] == "mutual_information":
            return x, y
        z = rng.normal(size=(n, d))
        return x + z, y - 2 * z, z

    return pair, truth
