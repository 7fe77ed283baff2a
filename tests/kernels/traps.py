"""Rows on which neighbor kernels went wrong before, and all distances from the definition."""

import numpy as np

ROUNDING = 16 * np.finfo(float).eps


def distance_twin(x, metric):
    """All distances from the definition; a row is infinitely far from itself."""
    difference = np.abs(x[:, None] - x[None])
    if metric in ("chebyshev", "euclidean"):  # in the arithmetic of the kernels, for counts that must agree exactly
        away = difference.max(axis=2) if metric == "chebyshev" else np.sqrt((difference**2).sum(axis=2))
    else:
        p, unit = 1.0 if metric == "manhattan" else metric, np.abs(difference).max()
        away = np.linalg.norm(difference.astype(np.longdouble) / unit, ord=p, axis=2).astype(float) * unit
    np.fill_diagonal(away, np.inf)
    return away


DATA = {
    "gaussian": lambda rng, n, d: rng.normal(size=(n, d)),
    "near-duplicates 1e-4, offset 1000": lambda rng, n, d: (
        1000 + np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0) + 1e-4 * rng.normal(size=(n // 4 * 4, d))
    ),
    "near-duplicates 1e-7": lambda rng, n, d: (
        np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0) + 1e-7 * rng.normal(size=(n // 4 * 4, d))
    ),
    "scale 1e-12": lambda rng, n, d: 1e-12 * rng.normal(size=(n, d)),
    "scale 1e12": lambda rng, n, d: 1e12 * rng.normal(size=(n, d)),
    "tight cluster far away": lambda rng, n, d: np.r_[
        1e-10 * rng.normal(size=(n // 2, d)), 1e6 + rng.normal(size=(n - n // 2, d))
    ],
    "near-duplicates 1e-3": lambda rng, n, d: (
        np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0) + 1e-3 * rng.normal(size=(n // 4 * 4, d))
    ),
    "copies": lambda rng, n, d: np.repeat(rng.normal(size=(n // 4, d)), 4, axis=0),
    "lattice": lambda rng, n, d: rng.integers(0, 3, size=(n, d)).astype(float),
    "clusters of 50": lambda rng, n, d: (
        np.repeat(rng.normal(size=(n // 50, d)), 50, axis=0) + 1e-3 * rng.normal(size=(n // 50 * 50, d))
    ),
}
