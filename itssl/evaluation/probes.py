"""Probes on frozen representations: how well a simple classifier reads the labels, as plain test accuracy in [0, 1]."""

import math
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    SampleTypeError,
    as_comparable_samples,
    is_torch,
    on_host,
    refuse_masked,
    stream,
)
from itssl.choices import ParameterError, require_count, require_known, require_positive

Labels: TypeAlias = Any
"""Integer classes, one a row: a numpy array, torch tensor, Series or list."""
VoteMetric: TypeAlias = Literal["cosine", "euclidean"]


def few_shot_probe(
    train_z: SamplesLike,
    train_y: Labels,
    test_z: SamplesLike,
    test_y: Labels,
    *,
    shots: int = 10,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Test accuracy of logistic regression on ``shots`` labeled rows a class, averaged over seeded ``draws``.

    Columns are standardized by all training rows, with or without label; the regression is that of
    :func:`linear_probe` with ridge 1, shapes as there. Raises SampleError when a class has fewer rows than ``shots``,
    ParameterError for shots or draws < 1, and as there. The accuracy (1/m) Σ 1[ŷ_i = y_i] is a share of m test rows.

    >>> z = np.repeat(np.eye(3), 10, axis=0)
    >>> few_shot_probe(z, z.argmax(1), z, z.argmax(1), shots=3)
    1.0
    """
    from sklearn.linear_model import LogisticRegression

    require_count("shots", shots)
    require_count("draws", draws)
    train_z, train_y, test_z, test_y = _admitted(train_z, train_y, test_z, test_y)
    classes, counts = np.unique(train_y, return_counts=True)
    if counts.min() < shots:
        raise SampleError(f"train_y: expected at least {shots} rows a class, got {counts.min()}; use fewer shots")
    train_z, test_z = _standardized(train_z, test_z)
    accuracy = []
    for draw in range(draws):
        rng = stream(seed, "few-shot probe", draw)
        rows = np.concatenate([rng.choice(np.flatnonzero(train_y == c), shots, replace=False) for c in classes])
        probe = LogisticRegression(max_iter=5000).fit(train_z[rows], train_y[rows])
        accuracy.append(probe.score(test_z, test_y))
    return float(np.mean(accuracy))


def linear_probe(
    train_z: SamplesLike, train_y: Labels, test_z: SamplesLike, test_y: Labels, *, ridge: float = 1.0
) -> float:
    r"""Test accuracy of multinomial logistic regression [1] on all labels, the linear evaluation protocol [2].

    Minimizes over the weights W and the offsets b, which are not penalized,

    .. math:: -\sum_{i=1}^n \log p_{W,b}(y_i \mid z_i) + \tfrac{\text{ridge}}{2}\lVert W\rVert^2,

    scikit-learn's ``C`` being 1/ridge; with two classes it fits w = w₁ − w₂ alone and penalizes ‖w‖². Columns are
    standardized by the training rows, so accuracy does not depend on offsets and units, and a nearly collapsed
    representation may still read well: see
    :func:`~itssl.evaluation.collapse.collapse_report`. Of m test rows the accuracy has a binomial standard error
    √(p(1 − p)/m), which leaves out the training.

    Parameters
    ----------
    train_z, test_z: representations, shapes (n, d) and (m, d).
    train_y, test_y: their classes as integers, shapes (n,) and (m,).
    ridge: strength of the penalty, to be compared with n.

    Raises
    ------
    SampleTypeError: labels that are no integers.
    SampleError: NaN or infinite values, unequal columns, labels of another length, fewer than two classes in
        train_y, or a class of test_y that train_y lacks.
    ParameterError: ridge is not positive.

    References
    ----------
    [1] Hastie, Tibshirani & Friedman (2009). The Elements of Statistical Learning, section 4.4.
    [2] Chen, Kornblith, Norouzi & Hinton (2020). A Simple Framework for Contrastive Learning of Visual
        Representations. ICML.

    >>> rng = stream(0, "example")
    >>> y = np.arange(400) % 2
    >>> z = rng.normal(size=(400, 3)) + y[:, None]
    >>> print(f"{linear_probe(z[:200], y[:200], z[200:], y[200:]):.3f}")
    0.815
    """
    from sklearn.linear_model import LogisticRegression

    require_positive("ridge", ridge)
    train_z, train_y, test_z, test_y = _admitted(train_z, train_y, test_z, test_y)
    train_z, test_z = _standardized(train_z, test_z)
    probe = LogisticRegression(C=1 / ridge, max_iter=5000, tol=1e-6).fit(train_z, train_y)
    return float(probe.score(test_z, test_y))


def knn_probe(
    train_z: SamplesLike,
    train_y: Labels,
    test_z: SamplesLike,
    test_y: Labels,
    *,
    k: int = 20,
    metric: VoteMetric = "cosine",
    temperature: float | None = None,
) -> float:
    r"""Test accuracy of the vote of the k nearest training rows.

    A neighbor at distance r has one vote, or, given a temperature τ, the weight :math:`e^{-r^2/2\tau}`. Under "cosine"
    rows are first scaled to length 1, where :math:`-r^2/2` is the cosine similarity minus 1: with τ = 0.07 this is the
    weighted vote of [1]. The default is the plain vote, which has no constant that depends on the units of z; k = 20
    as in [2]. Between classes of equal weight the one with the nearest neighbor wins. Nothing is standardized.

    Parameters
    ----------
    train_z, test_z, train_y, test_y: as in :func:`linear_probe`.
    k: neighbors that vote.
    metric: "cosine", or "euclidean" for distances of the rows as they are.
    temperature: τ of the weights; None for one vote each.

    Raises
    ------
    SampleError: as in :func:`linear_probe`; also a row of zeros under "cosine", which has no direction.
    ParameterError: k below 1 or above n, or a temperature that is not positive.
    UnknownNameError: another metric.

    References
    ----------
    [1] Wu, Xiong, Yu & Lin (2018). Unsupervised Feature Learning via Non-Parametric Instance Discrimination. CVPR.
    [2] Caron, Touvron, Misra, Jégou, Mairal, Bojanowski & Joulin (2021). Emerging Properties in Self-Supervised Vision
        Transformers. ICCV.

    >>> z, y = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> knn_probe(z, y, z, y, k=1), round(knn_probe(z, y, z, y, k=3), 3), knn_probe(z, y, z, y, k=3, temperature=0.07)
    (1.0, 0.667, 1.0)
    """
    from sklearn.neighbors import NearestNeighbors

    require_count("k", k)
    require_known("metric", metric, get_args(VoteMetric))
    if temperature is not None:
        require_positive("temperature", temperature)
    train_z, train_y, test_z, test_y = _admitted(train_z, train_y, test_z, test_y)
    if k > len(train_z):
        raise ParameterError(f"k: expected at most the {len(train_z)} rows of train_z, got {k}; use fewer neighbors")
    if metric == "cosine":
        train_z, test_z = _directions(train_z, "train_z"), _directions(test_z, "test_z")
    else:
        center = train_z.mean(axis=0)  # squares of large offsets would swallow the distances
        train_z, test_z = train_z - center, test_z - center
    distance, neighbor = NearestNeighbors(n_neighbors=k).fit(train_z).kneighbors(test_z)
    exponent = np.zeros_like(distance) if temperature is None else (distance[:, :1] ** 2 - distance**2) / 2
    weight = np.exp(exponent / (temperature or math.inf))
    classes, index = np.unique(train_y, return_inverse=True)
    return float(np.mean(classes[_voted(index[neighbor], weight, len(classes))] == test_y))


def _voted(voter: Int[np.ndarray, "m k"], weight: Float[np.ndarray, "m k"], classes: int) -> Int[np.ndarray, " m"]:
    """The class of largest total weight in each row; of equal ones that of the first voter, the nearest."""
    m = len(voter)
    cell = (np.arange(m)[:, None] * classes + voter).ravel()
    total = np.bincount(cell, weights=weight.ravel(), minlength=m * classes)[cell].reshape(voter.shape)
    return voter[np.arange(m), total.argmax(axis=1)]


def _admitted(
    train_z: SamplesLike, train_y: Labels, test_z: SamplesLike, test_y: Labels
) -> tuple[Samples, Int[np.ndarray, " n"], Samples, Int[np.ndarray, " m"]]:
    """Representations and classes that fit each other."""
    train_z, test_z = as_comparable_samples(train_z, test_z, names=("train_z", "test_z"))
    train_y, test_y = _classes(train_y, len(train_z), "train"), _classes(test_y, len(test_z), "test")
    known = np.unique(train_y)
    if len(known) < 2:
        raise SampleError(
            f"train_y: expected at least two classes, got only {known[0]}; there is nothing to tell apart"
        )
    unknown = np.setdiff1d(test_y, known)
    if unknown.size:
        raise SampleError(
            f"test_y: expected the classes of train_y, got {', '.join(map(str, unknown[:5]))} as well; no probe can "
            "name what it never saw, so split by class or drop these rows"
        )
    return train_z, train_y, test_z, test_y


def _classes(y: Labels, n: int, part: str) -> Int[np.ndarray, " n"]:
    name = f"{part}_y"
    refuse_masked(y, name)
    array = on_host(y) if is_torch(y) else np.asarray(y)
    if array.dtype.kind not in "iub":
        raise SampleTypeError(
            f"{name}: expected integer classes, got {array.dtype}; use {name}.astype(int), or for names "
            f"numpy.unique({name}, return_inverse=True)[1] over both parts"
        )
    if array.shape != (n,):
        raise SampleError(
            f"{name}: expected one label for each of the {n} rows of {part}_z, got shape {array.shape}; row i of both "
            "must be the same picture"
        )
    return array.astype(np.int64)


def _standardized(train_z: Samples, test_z: Samples) -> tuple[Samples, Samples]:
    """Both in units of the training rows; constant columns are only centered."""
    center, std = train_z.mean(axis=0), train_z.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    return (train_z - center) / std, (test_z - center) / std


def _directions(z: Samples, name: str) -> Samples:
    length = np.linalg.norm(z, axis=1, keepdims=True)
    zero = np.flatnonzero(length == 0)
    if zero.size:
        raise SampleError(
            f"{name}: expected rows with a direction, got {zero.size} rows of zeros (first row {zero[0]}); use "
            "metric='euclidean'"
        )
    return z / length
