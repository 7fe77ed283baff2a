"""Every objective with fixed options, beside its total written out from the formula, in float64 and with loops."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from itssl import objectives
from itssl.arrays import is_torch, stream
from itssl.objectives import ObjectiveTerms

EPS = float(np.finfo(float).eps)
SHAPES = [(9, 4), (5, 5), (4, 9)]


def views(n: int, d: int, seed: int = 0, scale: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns of unequal variance, views that differ."""
    rng = stream(seed, "views", n, d)
    mixing = scale * rng.normal(size=(d, d)) / np.sqrt(d) + np.diag(np.geomspace(0.3, 1.5, d))
    common, noise = rng.normal(size=(n, d)), rng.normal(size=(2, n, d))
    z_a, z_b = (common + 0.5 * noise) @ mixing + rng.normal(size=(2, 1, d))
    return z_a, z_b


def like(z: Any, array: np.ndarray) -> Any:
    """The array as the kind of z."""
    if is_torch(z):
        import torch

        return torch.as_tensor(array, dtype=z.dtype, device=z.device)
    return array.astype(z.dtype)


def targets(n: int, d: int) -> np.ndarray:
    return stream(0, "targets", n, d).normal(size=(2, n, d))


def prediction_matrix(d: int) -> np.ndarray:
    return np.eye(d) + 0.3 * stream(0, "predictor", d).normal(size=(d, d))


def with_byol(function: Callable[..., ObjectiveTerms], **options: Any) -> Callable[..., ObjectiveTerms]:
    """BYOL's functions of two views: with targets and a linear predictor that are constants."""

    def terms(z_a: Any, z_b: Any, **more: Any) -> ObjectiveTerms:
        target_a, target_b = (like(z_a, t) for t in targets(*z_a.shape))
        matrix = like(z_a, prediction_matrix(z_a.shape[1]))
        return function(
            z_a, z_b, target_a=target_a, target_b=target_b, predictor=lambda z: z @ matrix, **options, **more
        )

    return terms


def with_options(function: Callable[..., ObjectiveTerms], **options: Any) -> Callable[..., ObjectiveTerms]:
    return lambda z_a, z_b, **more: function(z_a, z_b, **options, **more)


# The twins


def covariance(z: np.ndarray, ddof: int = 1) -> np.ndarray:
    centered = z - z.mean(axis=0)
    return np.sum([np.outer(row, row) for row in centered], axis=0) / (len(z) - ddof)


def log_det(matrix: np.ndarray) -> float:
    """Of a symmetric matrix, from its eigenvalues."""
    return float(np.log(np.linalg.eigvalsh(matrix)).sum())


def unit(z: np.ndarray) -> np.ndarray:
    return np.array([row / np.linalg.norm(row) for row in z])


def squared_distance(z_a: np.ndarray, z_b: np.ndarray) -> float:
    return sum(((a - b) ** 2).sum() for a, b in zip(z_a, z_b, strict=True)) / len(z_a)


def vicreg_parts(z_a: np.ndarray, z_b: np.ndarray, gamma: float = 1.0, eps: float = 1e-4) -> tuple[float, list, list]:
    """Mean squared distance, v and c of both views."""
    variances, covariances = [], []
    for z in (z_a, z_b):
        cov, d = covariance(z), z.shape[1]
        variances.append(sum(max(0.0, gamma - np.sqrt(cov[j, j] + eps)) for j in range(d)) / d)
        covariances.append(sum(cov[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d)
    return squared_distance(z_a, z_b), variances, covariances


def vicreg(z_a: np.ndarray, z_b: np.ndarray, normalization: str) -> float:
    distance, v, c = vicreg_parts(z_a, z_b)
    invariance = distance if normalization == "equation" else distance / z_a.shape[1]
    return 25 * invariance + 25 * sum(v) * (0.5 if normalization == "reference" else 1) + sum(c)


def infonce(z_a: np.ndarray, z_b: np.ndarray, temperature: float, normalize: bool = True) -> float:
    a, b = (unit(z_a), unit(z_b)) if normalize else (z_a, z_b)
    losses = []
    for anchors, candidates in ((a, b), (b, a)):
        for i, anchor in enumerate(anchors):
            scores = [anchor @ candidate / temperature for candidate in candidates]
            losses.append(-scores[i] + np.log(np.sum(np.exp(scores))))
    return float(np.mean(losses))


def nt_xent(z_a: np.ndarray, z_b: np.ndarray, temperature: float) -> float:
    u, n = unit(np.concatenate([z_a, z_b])), len(z_a)
    losses = []
    for i in range(2 * n):
        others = [np.exp(u[i] @ u[k] / temperature) for k in range(2 * n) if k != i]
        losses.append(-np.log(np.exp(u[i] @ u[(i + n) % (2 * n)] / temperature) / np.sum(others)))
    return float(np.mean(losses))


def spectral(z_a: np.ndarray, z_b: np.ndarray) -> float:
    n = len(z_a)
    products = [[a @ b for b in z_b] for a in z_a]
    alignment = sum(products[i][i] for i in range(n)) / n
    return -2 * alignment + sum(products[i][j] ** 2 for i in range(n) for j in range(n) if i != j) / (n * (n - 1))


def barlow_matrix(z_a: np.ndarray, z_b: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Batch normalization (variance over n, eps inside the root), then the mean of products."""
    a, b = ((z - z.mean(axis=0)) / np.sqrt(np.var(z, axis=0) + eps) for z in (z_a, z_b))
    return np.array([[(a[:, i] * b[:, j]).sum() / len(a) for j in range(b.shape[1])] for i in range(a.shape[1])])


def barlow_twins(z_a: np.ndarray, z_b: np.ndarray) -> float:
    r, d = barlow_matrix(z_a, z_b), z_a.shape[1]
    on = sum((1 - r[i, i]) ** 2 for i in range(d))
    return on + 0.0051 * sum(r[i, j] ** 2 for i in range(d) for j in range(d) if i != j)


def whitened(z: np.ndarray, ridge: float) -> np.ndarray:
    d = z.shape[1]
    inverse = np.linalg.inv(np.linalg.cholesky((1 - ridge) * covariance(z) + ridge * np.eye(d)))
    return np.array([inverse @ (row - z.mean(axis=0)) for row in z])


def wmse(z_a: np.ndarray, z_b: np.ndarray, ridge: float = 0.0) -> float:
    a, b = unit(whitened(z_a, ridge)), unit(whitened(z_b, ridge))
    return float(np.mean([2 - 2 * x @ y for x, y in zip(a, b, strict=True)]))


def byol(z_a: np.ndarray, z_b: np.ndarray) -> float:
    target_a, target_b = targets(*z_a.shape)
    matrix = prediction_matrix(z_a.shape[1])
    total = 0.0
    for z, target in ((z_a, target_b), (z_b, target_a)):
        total += np.mean([2 - 2 * p @ t for p, t in zip(unit(z @ matrix), unit(target), strict=True)])
    return float(total)


def logdet(z: np.ndarray, beta: float) -> float:
    """Entropy of the Gaussian with covariance C + I/β."""
    d = z.shape[1]
    return 0.5 * (d * np.log(2 * np.pi * np.e) + log_det(covariance(z) + np.eye(d) / beta))


def pairdist(z: np.ndarray, var: float, kernel: str = "bhattacharyya") -> float:
    """½ log|2πe σ²I| − mean log mean exp(−D), D of Bhattacharyya or Kullback and Leibler."""
    scale = {"bhattacharyya": 8 * var, "kl": 2 * var}[kernel]
    sums = [np.mean([np.exp(-((a - b) ** 2).sum() / scale) for b in z]) for a in z]
    return z.shape[1] / 2 * np.log(2 * np.pi * np.e * var) - float(np.mean(np.log(sums)))


def cross_entropy(z_a: np.ndarray, z_b: np.ndarray, noise_var: float, residual_var: float) -> float:
    """−E log N(z + noise; z', s²I): every coordinate is Gaussian, and E (Δ + noise)² = Δ² + its variance."""
    terms = [
        0.5 * np.log(2 * np.pi * residual_var) + ((a - b) ** 2 + noise_var) / (2 * residual_var)
        for a, b in zip(z_a, z_b, strict=True)
    ]
    return float(np.sum(terms) / len(z_a))


def corinfomax(z_a: np.ndarray, z_b: np.ndarray, eps: float) -> float:
    d = z_a.shape[1]
    determinants = [log_det(covariance(z, ddof=0) + eps * np.eye(d)) for z in (z_a, z_b)]
    return -determinants[0] - determinants[1] + 2 / eps * squared_distance(z_a, z_b)


def mec(z_a: np.ndarray, z_b: np.ndarray, distortion: float, order: int | None) -> float:
    n, d = z_a.shape
    matrix = d / (n * distortion**2) * unit(z_a) @ unit(z_b).T
    if order is None:
        length = np.log(np.linalg.det(np.eye(n) + matrix))
    else:
        length = sum((-1) ** (k + 1) / k * np.trace(np.linalg.matrix_power(matrix, k)) for k in range(1, order + 1))
    return -(n + d) / 2 * float(length)


def mean_entropy(entropy: Callable[..., float], z_a: np.ndarray, z_b: np.ndarray, *options: Any) -> float:
    return (entropy(z_a, *options) + entropy(z_b, *options)) / 2


@dataclass(frozen=True)
class Entry:
    """An objective with its options, (z_a, z_b, gather=...) to its terms, and its total written out."""

    terms: Callable[..., ObjectiveTerms]
    twin: Callable[[np.ndarray, np.ndarray], float]


EVERY: dict[str, Entry] = {
    **{
        f"VICReg {name}": Entry(
            with_options(objectives.vicreg_terms, normalization=name), lambda a, b, name=name: vicreg(a, b, name)
        )
        for name in ("equation", "reference", "solo")
    },
    "InfoNCE": Entry(with_options(objectives.infonce_terms, temperature=0.5), lambda a, b: infonce(a, b, 0.5)),
    "InfoNCE, inner product": Entry(
        with_options(objectives.infonce_terms, temperature=2.0, normalize=False),
        lambda a, b: infonce(a, b, 2.0, normalize=False),
    ),
    "NT-Xent": Entry(with_options(objectives.nt_xent_terms, temperature=0.5), lambda a, b: nt_xent(a, b, 0.5)),
    "spectral": Entry(objectives.spectral_contrastive_terms, spectral),
    "Barlow Twins": Entry(objectives.barlow_twins_terms, barlow_twins),
    "W-MSE": Entry(with_options(objectives.wmse_terms, ridge=0.1), lambda a, b: wmse(a, b, 0.1)),
    "BYOL": Entry(with_byol(objectives.byol_terms), byol),
    "VICReg + LogDet": Entry(
        with_options(objectives.vicreg_logdet_terms, normalization="solo", beta=3.0),
        lambda a, b: vicreg(a, b, "solo") - mean_entropy(logdet, a, b, 3.0),
    ),
    "VICReg + PairDist": Entry(
        with_options(objectives.vicreg_pairdist_terms, normalization="reference", noise_var=0.4),
        lambda a, b: vicreg(a, b, "reference") - mean_entropy(pairdist, a, b, 0.4),
    ),
    "VICReg + PairDist, KL": Entry(
        with_options(objectives.vicreg_pairdist_terms, normalization="equation", noise_var=0.4, kernel="kl"),
        lambda a, b: vicreg(a, b, "equation") - mean_entropy(pairdist, a, b, 0.4, "kl"),
    ),
    "BYOL + LogDet": Entry(
        with_byol(objectives.byol_logdet_terms, beta=3.0), lambda a, b: byol(a, b) - mean_entropy(logdet, a, b, 3.0)
    ),
    "BYOL + PairDist": Entry(
        with_byol(objectives.byol_pairdist_terms, noise_var=0.4),
        lambda a, b: byol(a, b) - mean_entropy(pairdist, a, b, 0.4),
    ),
    "BYOL + PairDist, KL": Entry(
        with_byol(objectives.byol_pairdist_terms, noise_var=0.4, kernel="kl"),
        lambda a, b: byol(a, b) - mean_entropy(pairdist, a, b, 0.4, "kl"),
    ),
    "invariance + LogDet": Entry(
        with_options(objectives.invariance_logdet_terms, beta=3.0, residual_var=0.6),
        lambda a, b: cross_entropy(a, b, 1 / 3, 0.6) - mean_entropy(logdet, a, b, 3.0),
    ),
    "invariance + PairDist": Entry(
        with_options(objectives.invariance_pairdist_terms, noise_var=0.4, residual_var=0.6),
        lambda a, b: cross_entropy(a, b, 0.4, 0.6) - mean_entropy(pairdist, a, b, 0.4),
    ),
    "invariance + PairDist, KL": Entry(
        with_options(objectives.invariance_pairdist_terms, noise_var=0.4, residual_var=0.6, kernel="kl"),
        lambda a, b: cross_entropy(a, b, 0.4, 0.6) - mean_entropy(pairdist, a, b, 0.4, "kl"),
    ),
    "CorInfoMax": Entry(with_options(objectives.corinfomax_terms, eps=0.3), lambda a, b: corinfomax(a, b, 0.3)),
    "MEC": Entry(with_options(objectives.mec_terms, distortion=2.0), lambda a, b: mec(a, b, 2.0, 4)),
    "MEC, order 2": Entry(with_options(objectives.mec_terms, distortion=2.0, order=2), lambda a, b: mec(a, b, 2.0, 2)),
    "MEC, exact": Entry(
        with_options(objectives.mec_terms, distortion=2.0, order=None), lambda a, b: mec(a, b, 2.0, None)
    ),
}
