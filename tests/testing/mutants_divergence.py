"""Estimators of a divergence with the errors that such code has, beside the right ones and what tells them apart."""

from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma
from testing.mutants import K, Mutant

from itssl.estimate import Bias, Estimate
from itssl.estimators.wishart import log_determinant_bias


def admitted(*samples, least=6):
    """Float arrays of equally many columns, or a ValueError."""
    arrays = [np.asarray(x, dtype=float).reshape(len(x), -1) for x in samples]
    if len({x.shape[1] for x in arrays}) > 1 or min(map(len, arrays)) < least:
        raise ValueError("shape")
    if not all(np.isfinite(x).all() and (np.ptp(x, axis=0) > 0).all() for x in arrays):
        raise ValueError("values")
    return arrays


def log_distances(x, y, k, own=False):
    """log of the distance of each row of x to its k-th neighbor among the rows of y, itself left out."""
    with np.errstate(divide="ignore"):
        return np.log(KDTree(y).query(x, k + own)[0].reshape(len(x), -1)[:, -1])


def neighbors(x, y, k=K):
    """Wang, Kulkarni and Verdú: (d/n) Σ log(ν/ρ) + log(m/(n − 1))."""
    x, y = admitted(x, y, least=k + 1)
    ratios = log_distances(x, y, k) - log_distances(x, x, k, own=True)
    return x.shape[1] * ratios.mean() + np.log(len(y) / (len(x) - 1))


def without_rows(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    return neighbors(x, y, k) - np.log(len(y) / (len(x) - 1))


def rows_exchanged(x, y, k=K):
    return without_rows(x, y, k) + np.log(len(x) / (len(y) - 1))


def n_for_n_minus_one(x, y, k=K):
    return without_rows(x, y, k) + np.log(len(y) / len(x))


def without_dimension(x, y, k=K):
    ratio = np.log(len(y) / (len(x) - 1))
    return (neighbors(x, y, k) - ratio) / np.shape(x)[-1] + ratio if np.ndim(x) > 1 else neighbors(x, y, k)


def mean_over_columns(x, y, k=K):
    return neighbors(x, y, k) / (np.shape(x)[1] if np.ndim(x) > 1 else 1)


def counts_itself(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    ratios = log_distances(x, y, k) - log_distances(x, x, k)
    return x.shape[1] * ratios.mean() + np.log(len(y) / (len(x) - 1))


def all_distances(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    nu, rho = (np.partition(cdist(x, z), at, axis=1)[:, at] for z, at in ((y, k - 1), (x, k)))
    return x.shape[1] * np.log(nu / rho).mean() + np.log(len(y) / (len(x) - 1))


def in_half_precision(x, y, k=K):
    half_x, half_y = (np.asarray(z).astype(np.float16) for z in (x, y))
    return neighbors(half_x, half_y, k)


def in_bits(x, y, k=K):
    return neighbors(x, y, k) / np.log(2)


def symmetrized(x, y, k=K):
    return (neighbors(x, y, k) + neighbors(y, x, k)) / 2


def arguments_exchanged(x, y, k=K):
    return neighbors(y, x, k)


def clipped(x, y, k=K):
    return max(0.0, neighbors(x, y, k))


def absolute(x, y, k=K):
    return abs(neighbors(x, y, k))


def cross_distances_only(x, y, k=K):
    """The distances among the rows of x are forgotten."""
    x, y = admitted(x, y, least=k + 1)
    return x.shape[1] * (log_distances(x, y, k).mean() + np.log(2)) + np.log(len(y)) - digamma(k)


def x_alone(x, y, k=K):
    """Against a normal law fitted to x itself."""
    x, y = admitted(x, y, least=k + 1)
    drawn = np.random.default_rng(0).normal(x.mean(axis=0), x.std(axis=0), size=(len(y), x.shape[1]))
    return neighbors(x, drawn, k)


def k_ignored(x, y, k=K):
    return neighbors(x, y, K)


def rows_as_pairs(x, y, k=K):
    n = min(len(x), len(y))
    x, y = admitted(x, y, least=k + 1)
    apart = np.log(np.linalg.norm(x[:n] - y[:n], axis=1))
    return x.shape[1] * (apart - log_distances(x[:n], x[:n], k, own=True)).mean() + np.log(n / (n - 1)) - 2


def first_column(x, y, k=K):
    return neighbors(np.reshape(x, (len(x), -1))[:, :1], np.reshape(y, (len(y), -1))[:, :1], k)


def columns_of_x_sorted(x, y, k=K):
    """Each column by itself, so that rows are torn apart."""
    return neighbors(np.sort(x, axis=0), y, k)


def columns_of_y_sorted(x, y, k=K):
    return neighbors(x, np.sort(y, axis=0), k)


def sum_of_marginals(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    return sum(neighbors(x[:, [j]], y[:, [j]], k) for j in range(x.shape[1]))


def columns_stretched(x, y, k=K):
    x, y = (np.reshape(z, (len(z), -1)) for z in (x, y))
    d = max(x.shape[1], y.shape[1])
    return neighbors(np.broadcast_to(x, (len(x), d)), np.broadcast_to(y, (len(y), d)), k)


def squeezed(x, y, k=K):
    return neighbors(np.squeeze(x), np.squeeze(y), k)


def zeros_dropped(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    ratios = log_distances(x, y, k) - log_distances(x, x, k, own=True)
    return x.shape[1] * ratios[np.isfinite(ratios)].mean() + np.log(len(y) / (len(x) - 1))


def absolute_epsilon(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    near, far = (np.exp(z) + 1e-9 for z in (log_distances(x, x, k, own=True), log_distances(x, y, k)))
    return x.shape[1] * np.log(far / near).mean() + np.log(len(y) / (len(x) - 1))


def near_the_origin(x, y, k=K):
    """Values beyond a hundred count as outliers."""
    return neighbors(np.clip(x, -100, 100), y, k)


def hidden_jitter(x, y, k=K):
    return neighbors(x + 1e-9 * np.random.default_rng().normal(size=np.shape(x)), y, k)


def global_jitter(x, y, k=K):
    np.random.seed(0)  # noqa: NPY002
    return neighbors(x + 1e-9 * np.random.normal(size=np.shape(x)), y, k)  # noqa: NPY002


def constants_kept(x, y, k=K):
    x, y = (np.reshape(np.asarray(z, dtype=float), (len(z), -1)) for z in (x, y))
    std = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(KDTree(y / std).query(x / std, k)[0][:, -1] / KDTree(x / std).query(x / std, k + 1)[0][:, -1])
    return x.shape[1] * np.nan_to_num(ratios).mean() + np.log(len(y) / (len(x) - 1))


def nan_ignored(x, y, k=K):
    x, y = (np.asarray(z)[np.isfinite(np.reshape(z, (len(z), -1))).all(axis=1)] for z in (x, y))
    return neighbors(x, y, k)


def centered_apart(x, y, k=K):
    return neighbors(x - np.mean(x, axis=0), y - np.mean(y, axis=0), k)


def centers_in_place(x, y, k=K):
    y -= x.mean(axis=0)
    return neighbors(x - x.mean(axis=0), y, k)


def fifty_rows(x, y, k=K):
    return neighbors(x[:50], y[:50], k)


def standardized_by_x(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    return neighbors(x / x.std(axis=0), y / x.std(axis=0), k)


def normal(x, y, correct=True, determinant: Any = np.linalg.slogdet):
    """½ [tr(C_q⁻¹C_p) + uᵀC_q⁻¹u − d + log|C_q|/|C_p|] of the fitted laws; unbiased if corrected."""
    x, y = admitted(x, y, least=np.shape(x)[1] + 3 if np.ndim(x) > 1 else 4)
    (n, d), m = x.shape, len(y)
    p, q = (np.atleast_2d(np.cov(z.T)) for z in (x, y))
    u = x.mean(axis=0) - y.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.trace(np.linalg.solve(q, p)) * ((1 - 1 / n) if correct else 1) + u @ np.linalg.solve(q, u)
        logs = determinant(q)[1] - determinant(p)[1]
    if correct:
        logs -= log_determinant_bias(m, d) - log_determinant_bias(n, d)
        value = value * (m - d - 2) / (m - 1) - d / m
    return 0.5 * (value - d + logs)


def plugin(x, y):
    return normal(x, y, correct=False)


def log_of_det(x, y):
    return normal(x, y, determinant=lambda c: (0, np.log(np.linalg.det(c))))


def diagonal(x, y):
    x, y = admitted(x, y)
    return sum(normal(x[:, [j]], y[:, [j]]) for j in range(x.shape[1]))


def normal_as_estimate(x, y):
    return _estimate(normal(x, y), _delta_error(x, y, len(y)), x)


def error_of_all_rows(x, y):
    """The spread of the log-ratios under P over the rows of both samples together."""
    return _estimate(normal(x, y), _delta_error(x, y, np.inf) / np.sqrt(1 + len(y) / len(x)), x)


def error_of_the_first_half(x, y):
    return _estimate(normal(x, y), _delta_error(np.asarray(x)[: len(x) // 2], y, len(y)) / np.sqrt(2), x)


def _delta_error(x, y, m):
    """√(Var log r/n + Var_Q r'/m) for normal laws on a line, to first order."""
    x, y = admitted(x, y)
    r, u = float(np.var(x) / np.var(y)), float((x.mean() - y.mean()) / y.std())
    return np.sqrt((0.5 * (r - 1) ** 2 + u**2 * r) / len(x) + (0.5 * (r + u**2 - 1) ** 2 + u**2) / m)


def _estimate(value, error, x):
    return Estimate(value=value, standard_error=error, n=len(x), bias=Bias.UNKNOWN, method="mutant")


def says_so(x, y, k=K):
    """With the error of halves over eight splits of sorted rows; it warns where no row of y is in the range of x."""
    from itssl.estimate import EstimateWarning

    x, y = (z[np.lexsort(z.T)] for z in admitted(x, y, least=k + 1))
    apart = ((y < x.min(axis=0)) | (y > x.max(axis=0))).any(axis=1).all()
    said = (EstimateWarning(code="disjoint_support", message="apart", cure="none"),) if apart else ()
    splits = [[np.random.default_rng(i).permutation(len(z)) for z in (x, y)] for i in range(8)]
    halves = [[neighbors(x[a[i::2]], y[b[i::2]], k) for i in range(2)] for a, b in splits]
    error = np.sqrt(np.mean(np.var(halves, axis=1, ddof=1)) / 2)
    return Estimate(
        value=neighbors(x, y, k), standard_error=error, n=len(x), bias=Bias.UNKNOWN, method="mutant", warnings=said
    )


def silent_where_apart(x, y, k=K):
    found = says_so(x, y, k)
    return _estimate(found.value, found.standard_error, x)


def _neighbors(wrong, *caught_by, right=neighbors, k=False, **promises):
    return Mutant(wrong, right, "kl_divergence", caught_by, promises, k)


NORMAL = {"right": normal, "family": "gaussian"}
ON_A_LINE = {"right": normal_as_estimate, "family": "gaussian", "max_dim": 1}
DIVERGENCES = (
    _neighbors(without_rows, "truth", "equal_laws"),
    _neighbors(rows_exchanged, "truth", "equal_laws"),
    _neighbors(n_for_n_minus_one, "reference", reference=neighbors),
    _neighbors(without_dimension, "truth", "additivity"),
    _neighbors(mean_over_columns, "additivity", "data_processing"),
    _neighbors(counts_itself, "truth", "equal_laws"),
    _neighbors(all_distances, "memory"),
    _neighbors(in_half_precision, "precision", "translation"),
    _neighbors(in_bits, "truth"),
    _neighbors(symmetrized, "asymmetry", "truth"),
    _neighbors(arguments_exchanged, "asymmetry", "truth"),
    _neighbors(clipped, "clipping"),
    _neighbors(absolute, "equal_laws"),
    _neighbors(cross_distances_only, "scale", "truth"),
    _neighbors(x_alone, "truth", "asymmetry"),
    _neighbors(k_ignored, "k_counts", k=True),
    _neighbors(rows_as_pairs, "row_order", "truth"),
    _neighbors(first_column, "second_column"),
    _neighbors(columns_of_x_sorted, "second_column"),
    _neighbors(columns_of_y_sorted, "second_column"),
    _neighbors(sum_of_marginals, "second_column", "truth"),
    _neighbors(columns_stretched, "unequal_columns"),
    _neighbors(squeezed, "one_row"),
    _neighbors(zeros_dropped, "atom"),
    _neighbors(absolute_epsilon, "scale"),
    _neighbors(near_the_origin, "translation"),
    _neighbors(hidden_jitter, "repeatable", "atom"),
    _neighbors(global_jitter, "global_state"),
    _neighbors(constants_kept, "constant_column"),
    _neighbors(nan_ignored, "missing_values"),
    _neighbors(centered_apart, "truth"),
    _neighbors(centers_in_place, "input_untouched", "array_kinds"),
    _neighbors(fifty_rows, "consistency"),
    _neighbors(neighbors, "own_units", right=standardized_by_x, marginal_invariant=True),
    _neighbors(standardized_by_x, "rotation", rotation_invariant=True),
    _neighbors(neighbors, "linear_map", linear_invariant=True, **NORMAL),
    _neighbors(plugin, "bias_direction", bias=Bias.UNBIASED, **NORMAL),
    _neighbors(log_of_det, "scale", **NORMAL),
    _neighbors(diagonal, "second_column", "linear_map", linear_invariant=True, **NORMAL),
    _neighbors(error_of_all_rows, "standard_error", **ON_A_LINE),
    _neighbors(error_of_the_first_half, "error_order", **ON_A_LINE),
    _neighbors(silent_where_apart, "disjoint_support", right=says_so),
)
