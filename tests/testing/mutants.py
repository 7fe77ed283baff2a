"""Estimators as public packages get them wrong, each beside the right one and the checks that must tell them apart.

Right ones are textbook formulas with the guards that the conformance suite asks for. A wrong one differs in the
one way that its name says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma, gammaln

from itssl.estimate import Bias, Estimate
from itssl.testing.subjects import Quantity

K = 3


def admitted(*samples, least=5):
    """Float arrays of shape (n, d), or a ValueError."""
    arrays = [np.asarray(x, dtype=float).reshape(len(x), -1) for x in samples]
    if len({len(x) for x in arrays}) > 1 or len(arrays[0]) < least:
        raise ValueError("rows")
    if not all(np.isfinite(x).all() and (np.ptp(x, axis=0) > 0).all() for x in arrays):
        raise ValueError("values")
    return arrays


def log_radii(x, k=K):
    """log of the largest coordinate difference to the k-th neighbor."""
    with np.errstate(divide="ignore"):
        return np.log(KDTree(x).query(x, k + 1, p=np.inf)[0][:, -1])


# Entropy. The unit ball of the maximum norm has volume 2^d.


def kozachenko_leonenko(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    return digamma(n) - digamma(k) + d * np.log(2) + d * log_radii(x, k).mean()


def without_ball_volume(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    return digamma(n) - digamma(k) + d * log_radii(x, k).mean()


def euclidean_volume_of_a_cube(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    log_volume = np.log([2, np.pi, 4 * np.pi / 3][d - 1]) if d <= 3 else d * np.log(2)
    return digamma(n) - digamma(k) + log_volume + d * log_radii(x, k).mean()


def log_for_digamma(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    return np.log(n - 1) - digamma(k) + d * np.log(2) + d * log_radii(x, k).mean()


def counts_itself_as_neighbor(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    return digamma(n) - digamma(k) + d * np.log(2) + d * log_radii(x, k - 1).mean()


def absolute_epsilon(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    return digamma(n) - digamma(k) + d * np.log(2) + d * np.log(np.exp(log_radii(x, k)) + 1e-10).mean()


def hidden_jitter(x, k=K):
    return kozachenko_leonenko(x + 1e-10 * np.random.default_rng().normal(size=np.shape(x)), k)


def seeded_hidden_jitter(x, k=K):
    return kozachenko_leonenko(x + 1e-10 * np.random.default_rng(0).normal(size=np.shape(x)), k)


def global_jitter(x, k=K):
    np.random.seed(0)  # noqa: NPY002
    return kozachenko_leonenko(x + 1e-10 * np.random.normal(size=np.shape(x)), k)  # noqa: NPY002


def noise_before_scaling(x, k=K):
    (x,) = admitted(x, least=k + 1)
    std = x.std(axis=0)
    noise = 1e-7 * np.random.default_rng(0).normal(size=x.shape)
    return kozachenko_leonenko((x + noise) / std, k) + np.log(std).sum() if len(np.unique(x)) == x.size else -np.inf


def in_bits(x, k=K):
    return kozachenko_leonenko(x, k) / np.log(2)


def k_ignored(x, k=K):
    return kozachenko_leonenko(x, K)


def squeezed(x, k=K):
    x = np.squeeze(x)
    return kozachenko_leonenko(x[:, None] if x.ndim == 1 else x, k)


def first_column_only(x, k=K):
    return kozachenko_leonenko(np.asarray(x)[:, :1], k)


def zeros_dropped(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    logs = log_radii(x, k)
    return digamma(n) - digamma(k) + d * np.log(2) + d * logs[np.isfinite(logs)].mean()


def clipped(x, k=K):
    return max(0.0, kozachenko_leonenko(x, k))


def constant_columns_kept(x, k=K):
    x = np.asarray(x, dtype=float)
    n, d = x.shape
    std = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    return digamma(n) - digamma(k) + d * np.log(2) + d * log_radii(x / std, k).mean() + np.log(std).sum()


def nan_ignored(x, k=K):
    x = np.asarray(x, dtype=float)
    return kozachenko_leonenko(x[np.isfinite(x).all(axis=1)], k)


def centers_in_place(x, k=K):
    x -= x.mean(axis=0)
    return kozachenko_leonenko(x, k)


def distances_in_single_precision(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    z = x.astype(np.float32)
    squares = (z**2).sum(1)[:, None] - 2 * z @ z.T + (z**2).sum(1)
    radius = np.sqrt(np.sort(np.maximum(squares, 1e-30), axis=1)[:, k].astype(float))
    return (
        digamma(n) - digamma(k) + np.log([2, np.pi][d - 1] if d < 3 else np.pi ** (d / 2)) + d * np.log(radius).mean()
    )


def every_other_row(x, k=K):
    return kozachenko_leonenko(np.asarray(x)[::2], k)


def sum_of_marginals(x, k=K):
    return sum(kozachenko_leonenko(np.asarray(x)[:, [j]], k) for j in range(np.shape(x)[1]))


def fifty_rows_are_enough(x, k=K):
    return kozachenko_leonenko(x[:50], k)


def all_distances(x, k=K):
    (x,) = admitted(x, least=k + 1)
    n, d = x.shape
    radius = np.partition(cdist(x, x, "chebyshev"), k, axis=1)[:, k]
    with np.errstate(divide="ignore"):
        return digamma(n) - digamma(k) + d * np.log(2) + d * np.log(radius).mean()


def in_half_precision(x, k=K):
    return kozachenko_leonenko(np.asarray(x).astype(np.float16), k)


def in_the_precision_of_its_input(x, k=K):
    """Squared distances as ‖x‖² − 2 x·y + ‖y‖²."""
    admitted(x, least=k + 1)
    x = x.reshape(len(x), -1)
    n, d = x.shape
    squares = (x**2).sum(1)[:, None] - 2 * x @ x.T + (x**2).sum(1)
    radius = np.sqrt(np.sort(np.maximum(squares, 1e-30), axis=1)[:, k].astype(float))
    return digamma(n) - digamma(k) + d / 2 * np.log(np.pi) - gammaln(d / 2 + 1) + d * np.log(radius).mean()


def kth_of_a_list(x, k=K):
    """In one column, by the definition; k rows have no k-th neighbor."""
    x = np.ravel(x)
    radii = [sorted(abs(x - point))[k] for point in x]
    with np.errstate(divide="ignore"):
        return digamma(len(x)) - digamma(k) + np.log(2) + np.log(radii).mean()


def gaussian_entropy(x):
    """½ log det(2πe S), without the bias of a Wishart matrix's log-determinant."""
    (x,) = admitted(x, least=np.shape(x)[1] + 1)
    n, d = x.shape
    bias = digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / (n - 1))
    return 0.5 * (d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(np.atleast_2d(np.cov(x.T)))[1] - bias)


def determinant(x):
    (x,) = admitted(x, least=np.shape(x)[1] + 1)
    n, d = x.shape
    bias = digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / (n - 1))
    with np.errstate(divide="ignore", over="ignore"):
        return 0.5 * (np.log(np.linalg.det(2 * np.pi * np.e * np.atleast_2d(np.cov(x.T)))) - bias)


def wrong_ddof(x):
    (x,) = admitted(x, least=np.shape(x)[1] + 1)
    n, d = x.shape
    bias = digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / (n - 1))
    cov = np.atleast_2d(np.cov(x.T, ddof=0))
    return 0.5 * (d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(cov)[1] - bias)


def root_of_the_covariance(x):
    """By Cholesky, whatever the covariance is."""
    if len(x) < 5 or not np.isfinite(x).all():
        raise ValueError("rows")
    n, d = x.shape
    bias = digamma((n - np.arange(1, d + 1)) / 2).sum() + d * np.log(2 / (n - 1))
    root = np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))
    return 0.5 * (d * np.log(2 * np.pi * np.e) - bias) + np.log(np.diag(root)).sum()


def diagonal_only(x):
    (x,) = admitted(x)
    return 0.5 * np.log(2 * np.pi * np.e * x.var(axis=0)).sum()


# Mutual information


def ksg(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    n_x, n_y = (counts(z, radius_to_joint_neighbor(x, y, k)) for z in (x, y))
    value = digamma(k) + digamma(len(x)) - (digamma(n_x + 1) + digamma(n_y + 1)).mean()
    return value if len(np.unique(x)) == x.size else np.nan


def standardized_ksg(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    return ksg(x / x.std(axis=0), y / y.std(axis=0), k)


def radius_to_joint_neighbor(x, y, k):
    return KDTree(np.hstack([x, y])).query(np.hstack([x, y]), k + 1, p=np.inf)[0][:, -1]


def counts(x, radius, slack=-1e-12):
    """Rows strictly nearer than the radius, itself left out."""
    return KDTree(x).query_ball_point(x, radius * (1 + slack), p=np.inf, return_length=True) - 1


def counts_the_boundary(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    n_x, n_y = (counts(z, radius_to_joint_neighbor(x, y, k), 1e-12) for z in (x, y))
    return digamma(k) + digamma(len(x)) - (digamma(n_x + 1) + digamma(n_y + 1)).mean()


def table_of_bytes(x, y, k=K):
    """Who is near whom, for all pairs."""
    x, y = admitted(x, y, least=k + 1)
    radius = radius_to_joint_neighbor(x, y, k)
    near = np.empty((2, len(x), len(x)), dtype=bool)
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        near[0, i], near[1, i] = (np.abs(z - c).max(axis=1) < radius[i] for z, c in ((x, a), (y, b)))
    n_x, n_y = np.maximum(near.sum(axis=2, dtype=np.int32), 1)
    value = digamma(k) + digamma(len(x)) - (digamma(n_x) + digamma(n_y)).mean()
    return value if len(np.unique(x)) == x.size else np.nan


def log_for_digamma_of_n(x, y, k=K):
    return ksg(x, y, k) + np.log(len(x) - 1) - digamma(len(x))


def clipped_information(x, y, k=K):
    return max(0.0, ksg(x, y, k))


def information_in_bits(x, y, k=K):
    return ksg(x, y, k) / np.log(2)


def information_k_ignored(x, y, k=K):
    return ksg(x, y)


def y_truncated(x, y, k=K):
    return ksg(x, np.asarray(y)[:, :1], k)


def rows_squeezed(x, y, k=K):
    x, y = np.squeeze(x), np.squeeze(y)
    return ksg(x, y, k)


def longer_one_cut(x, y, k=K):
    n = min(len(x), len(y))
    return ksg(x[:n], y[:n], k)


def ties_unnoticed(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    n_x, n_y = (counts(z, radius_to_joint_neighbor(x, y, k)) for z in (x, y))
    return digamma(k) + digamma(len(x)) - (digamma(np.maximum(n_x, 0) + 1) + digamma(np.maximum(n_y, 0) + 1)).mean()


def neighbors_of_x_alone(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    radius = KDTree(x).query(x, k + 1, p=np.inf)[0][:, -1]
    return digamma(k) + digamma(len(x)) - (digamma(k) + digamma(counts(y, radius) + 1)).mean()


def spread_over_columns(x, y, k=K):
    return ksg(x, y, k) / np.shape(x)[1] ** 2


def fixed_units(x, y, k=K):
    x, y = admitted(x, y, least=k + 1)
    return ksg(np.tanh(x / 3), np.tanh(y / 3), k)


def gaussian_information(x, y):
    """−½ log(1 − r²), whose error by the delta method is √((r² + 1/(2n))/n)."""
    x, y = admitted(x, y)
    r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    return as_estimate(-0.5 * np.log1p(-(r**2)) - 0.5 / len(x), np.sqrt((r**2 + 0.5 / len(x)) / len(x)), x, y)


def as_estimate(value, error, x, y):
    copies = "a copy" if abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) > 1 - 1e-9 else ""
    value = np.inf if copies else value
    return Estimate(value=value, standard_error=error, n=len(x), bias=Bias.UNKNOWN, method="mutant")


def resamples_x_alone(x, y):
    x, y = admitted(x, y)
    rng, n = np.random.default_rng(0), len(x)
    again = [gaussian_information(x[rng.integers(n, size=n)], y).value for _ in range(20)]
    return as_estimate(gaussian_information(x, y).value, np.std(again, ddof=1), x, y)


def ksg_by_halves(x, y):
    """KSG, its error from the difference of the two halves' means over eight splits of the rows in sorted order."""
    x, y = admitted(x, y)
    order = np.lexsort(np.hstack([x, y]).T)
    return halves_as_they_come(x[order], y[order])


def halves_as_they_come(x, y):
    x, y = admitted(x, y)
    splits = [np.random.default_rng(i).permutation(len(x)) for i in range(8)]
    halves = [[ksg(x[part], y[part]) for part in np.array_split(order, 2)] for order in splits]
    return as_estimate(ksg(x, y), np.sqrt(np.mean(np.var(halves, axis=1, ddof=1)) / 2), x, y)


def information_with_copies(x, y, k=K):
    """KSG by all distances: a copy is at distance zero, and not strictly nearer than zero."""
    apart = [np.abs(z - z.T) for z in (x, y)]
    radius = np.sort(np.maximum(*apart), axis=1)[:, [k]]
    n_x, n_y = (np.maximum((distances < radius).sum(axis=1) - 1, 0) for distances in apart)
    return digamma(k) + digamma(len(x)) - (digamma(n_x + 1) + digamma(n_y + 1)).mean()


def bootstrap_with_replacement(x, y):
    x, y = admitted(x, y)
    rng, n = np.random.default_rng(0), len(x)
    rows = [rng.integers(n, size=n) for _ in range(12)]
    again = [information_with_copies(x[i], y[i]) for i in rows]
    return as_estimate(ksg(x, y), np.std(again, ddof=1), x, y)


def saturates_in_silence(x, y):
    return Estimate(value=ties_unnoticed(x, y), standard_error=0.05, n=len(x), bias=Bias.UNKNOWN, method="mutant")


@dataclass(frozen=True)
class Mutant:
    """A wrong estimator, the right one, what both promise, and the checks that must fail for the wrong one alone."""

    wrong: Callable[..., Any]
    right: Callable[..., Any]
    quantity: Quantity
    caught_by: tuple[str, ...]
    promises: dict[str, Any] = field(default_factory=dict)
    k: bool = False

    @property
    def name(self) -> str:
        return self.wrong.__name__

    def promised(self, of):
        """The promises, with k and a reference where they are made."""
        return self.promises | ({"with_k": lambda k: partial(of, k=k)} if self.k else {})


def _entropy(wrong, *caught_by, right=kozachenko_leonenko, k=False, **promises):
    return Mutant(wrong, right, "entropy", caught_by, promises, k)


def _information(wrong, *caught_by, right=ksg, k=False, **promises):
    return Mutant(wrong, right, "mutual_information", caught_by, promises, k)


GAUSSIAN = {"right": gaussian_entropy, "family": "gaussian"}
MUTANTS = (
    _entropy(without_ball_volume, "truth", "consistency"),
    _entropy(euclidean_volume_of_a_cube, "truth"),
    _entropy(log_for_digamma, "reference", reference=kozachenko_leonenko),
    _entropy(counts_itself_as_neighbor, "truth"),
    _entropy(absolute_epsilon, "scale", "atom"),
    _entropy(hidden_jitter, "repeatable", "atom"),
    _entropy(seeded_hidden_jitter, "atom", "scale"),
    _entropy(global_jitter, "global_state"),
    _entropy(noise_before_scaling, "scale"),
    _entropy(in_bits, "truth", "scale"),
    _entropy(k_ignored, "k_counts", k=True),
    _entropy(squeezed, "one_row"),
    _entropy(first_column_only, "second_column", "chain_rule"),
    _entropy(zeros_dropped, "atom"),
    _entropy(clipped, "scale", "truth"),
    _entropy(constant_columns_kept, "constant_column"),
    _entropy(nan_ignored, "missing_values"),
    _entropy(centers_in_place, "input_untouched", "array_kinds"),
    _entropy(distances_in_single_precision, "translation"),
    _entropy(every_other_row, "row_order"),
    _entropy(sum_of_marginals, "chain_rule", "truth"),
    _entropy(fifty_rows_are_enough, "consistency"),
    _entropy(all_distances, "memory", max_dim=1),
    _entropy(in_half_precision, "precision", "translation"),
    _entropy(in_the_precision_of_its_input, "precision"),
    _entropy(kth_of_a_list, "one_row", "k_counts", max_dim=1, k=True),
    _entropy(root_of_the_covariance, "constant_column", **GAUSSIAN),
    _entropy(determinant, "scale", **GAUSSIAN),
    _entropy(wrong_ddof, "bias_direction", bias=Bias.UNBIASED, **GAUSSIAN),
    _entropy(diagonal_only, "rotation", rotation_invariant=True, **GAUSSIAN),
    _information(counts_the_boundary, "independence"),
    _information(table_of_bytes, "memory"),
    _information(log_for_digamma_of_n, "reference", reference=ksg),
    _information(clipped_information, "clipping"),
    _information(information_in_bits, "truth"),
    _information(information_k_ignored, "k_counts", k=True),
    _information(y_truncated, "second_column", "symmetry"),
    _information(rows_squeezed, "one_row"),
    _information(longer_one_cut, "unequal_lengths"),
    _information(ties_unnoticed, "atom"),
    _information(neighbors_of_x_alone, "symmetry", "truth"),
    _information(spread_over_columns, "data_processing"),
    _information(fixed_units, "scale"),
    _information(ksg, "own_units", right=standardized_ksg, marginal_invariant=True),
    _information(resamples_x_alone, "standard_error", right=gaussian_information, family="gaussian", max_dim=1),
    _information(bootstrap_with_replacement, "standard_error", right=ksg_by_halves),
    _information(halves_as_they_come, "error_order", right=ksg_by_halves),
    _information(saturates_in_silence, "own_copy", right=ksg_by_halves),
)
