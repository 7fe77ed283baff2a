"""Probes against naive twins, on representations whose answer is known, and what they refuse."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from itssl.arrays import SampleError, SampleTypeError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.evaluation import few_shot_probe, knn_probe, linear_probe

PROBES = [few_shot_probe, linear_probe, knn_probe]


def halves(seed=0, *, n=300, d=3, classes=3, distance=1.0):
    """Training and test part of Gaussian classes, as the probes take them."""
    y = np.arange(2 * n) % classes
    z = stream(seed, "probe").normal(size=(2 * n, d)) + distance * np.eye(classes, d)[y]
    return z[:n], y[:n], z[n:], y[n:]


def test_few_shot_finds_what_is_linear_and_nothing_in_noise():
    assert few_shot_probe(*halves(distance=10.0)) == 1.0
    noise = halves(distance=0.0)
    accuracy = few_shot_probe(*noise)
    assert abs(accuracy - 1 / 3) < 5 * np.sqrt(2 / 9 / 300)
    assert accuracy == few_shot_probe(*noise)
    with pytest.raises(SampleError, match="train_y: expected at least 101 rows a class"):
        few_shot_probe(*noise, shots=101)


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_all_labels_find_the_bayes_rule_and_nothing_in_noise(probe):
    assert probe(*halves(distance=10.0)) == 1.0
    assert abs(probe(*halves(distance=0.0)) - 1 / 3) < 5 * np.sqrt(2 / 9 / 300)


def naive_linear(train_z, train_y, test_z, ridge):
    """Scores of the minimizer of −Σ log p + ridge/2 ‖W‖² on standardized columns, offsets free; by plain BFGS."""
    center, std = train_z.mean(axis=0), train_z.std(axis=0)
    d, classes = train_z.shape[1], train_y.max() + 1
    x, wanted = (train_z - center) / std, np.eye(classes)[train_y]

    def loss(flat):
        w, b = flat[: d * classes].reshape(d, classes), flat[d * classes :]
        log_p = log_softmax(x @ w + b, axis=1)
        excess = np.exp(log_p) - wanted
        gradient = np.concatenate([(x.T @ excess + ridge * w).ravel(), excess.sum(axis=0)])
        return -(wanted * log_p).sum() + ridge / 2 * (w**2).sum(), gradient

    best = minimize(loss, np.zeros((d + 1) * classes), jac=True, method="L-BFGS-B", options={"gtol": 1e-9}).x
    return (test_z - center) / std @ best[: d * classes].reshape(d, classes) + best[d * classes :]


@pytest.mark.parametrize("ridge", [0.01, 1.0, 100.0, 1e4])
def test_linear_probe_is_its_naive_twin(ridge):
    train_z, train_y, test_z, test_y = halves(5, n=60, d=30)
    train_z, test_z = train_z * np.geomspace(0.1, 10, 30) + 7, test_z * np.geomspace(0.1, 10, 30) + 7
    skewed = np.concatenate([np.flatnonzero(train_y == 0), np.flatnonzero(train_y)[::3]])  # offsets must be learned
    train_z, train_y = train_z[skewed], train_y[skewed]
    scores = np.sort(naive_linear(train_z, train_y, test_z, ridge), axis=1)
    undecided = np.mean(scores[:, -1] - scores[:, -2] < 1e-4)  # within what two optimizers differ by
    twin = np.mean(naive_linear(train_z, train_y, test_z, ridge).argmax(axis=1) == test_y)
    assert abs(linear_probe(train_z, train_y, test_z, test_y, ridge=ridge) - twin) <= undecided
    assert undecided < 0.05


def test_the_ridge_matters_in_the_twin_test():
    """Control: the accuracies that the twin pins down differ, so another constant would be seen."""
    data = halves(5, n=60, d=30)
    assert len({linear_probe(*data, ridge=ridge) for ridge in (0.01, 1.0, 100.0, 1e4)}) >= 3


def test_linear_probe_does_not_depend_on_offset_and_units():
    train_z, train_y, test_z, test_y = halves(1)
    units, offset = np.array([1e-3, 1.0, 1e3]), np.array([5.0, -1.0, 1e3])
    moved = linear_probe(train_z * units + offset, train_y, test_z * units + offset, test_y)
    assert abs(moved - linear_probe(train_z, train_y, test_z, test_y)) <= 1 / len(test_y)
    constant = np.ones((len(train_z), 1))
    padded = linear_probe(np.hstack([train_z, constant]), train_y, np.hstack([test_z, constant]), test_y)
    assert abs(padded - moved) <= 1 / len(test_y)


def naive_knn(train_z, train_y, test_z, test_y, *, k, metric, temperature):
    right = 0
    for z, y in zip(test_z, test_y, strict=True):
        if metric == "cosine":
            similarity = np.array([z @ t / np.linalg.norm(z) / np.linalg.norm(t) for t in train_z])
        else:
            similarity = np.array([-(((z - t) ** 2).sum()) / 2 for t in train_z])
        nearest = np.argsort(-similarity)[:k]
        votes = dict.fromkeys(train_y[nearest], 0.0)  # in the order of the neighbors, and max keeps the first
        for i in nearest:
            votes[train_y[i]] += 1 if temperature is None else np.exp(similarity[i] / temperature)
        right += max(votes, key=lambda label: votes[label]) == y
    return right / len(test_y)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k", "temperature"), [(1, None), (4, None), (20, None), (20, 0.07), (50, 0.3)])
def test_knn_probe_is_its_naive_twin(metric, k, temperature):
    data = halves(2, n=90, distance=1.5)
    options = {"k": k, "metric": metric, "temperature": temperature}
    assert knn_probe(*data, **options) == pytest.approx(naive_knn(*data, **options), rel=1e-14)


def test_between_equal_votes_the_nearest_decides():
    train_z, train_y = np.array([[0.0], [2.0], [2.1], [1.9]]), np.array([5, 3, 3, 5])
    assert knn_probe(train_z, train_y, [[0.5], [0.6]], np.array([5, 5]), k=4, metric="euclidean") == 1.0
    assert knn_probe(train_z, train_y, [[2.04], [2.2]], np.array([3, 3]), k=4, metric="euclidean") == 1.0


def test_neighbors_keep_apart_what_a_large_offset_hides():
    train_z, train_y, test_z, test_y = halves(3, n=90, d=30)
    moved = knn_probe(train_z + 1e7, train_y, test_z + 1e7, test_y, metric="euclidean")
    # Rounding at 1e7 is 2e-9: it changes a neighbor only where two distances agree to that.
    assert moved == knn_probe(train_z, train_y, test_z, test_y, metric="euclidean")


def test_weights_do_not_underflow_far_away():
    train_z, train_y = np.array([[1e3, 0.0], [-1e3, 0.0], [0.0, 1e3]]), np.array([0, 1, 1])
    for turn in range(3):  # whichever of the three at the same distance comes first, two of them agree
        order = np.roll(np.arange(3), turn)
        options = {"k": 3, "metric": "euclidean", "temperature": 0.07}
        assert knn_probe(train_z[order], train_y[order], np.zeros((2, 2)), np.array([1, 1]), **options) == 1.0
    data = halves(4, n=60, distance=5.0)
    far = [part * 1e6 if part.ndim == 2 else part for part in data]
    assert knn_probe(*far, metric="euclidean", temperature=0.07) == knn_probe(*data, k=1, metric="euclidean")


@pytest.mark.parametrize("probe", PROBES)
def test_other_kinds_of_arrays_work_and_are_left_alone(probe):
    train_z, train_y, test_z, test_y = (np.asarray(part, order="F") for part in halves(6, n=60, distance=2.0))
    train_z, test_z = train_z.astype(np.float32), test_z.astype(np.float32)
    for part in (train_z, train_y, test_z, test_y):
        part.flags.writeable = False
    expected = probe(train_z, train_y, test_z, test_y)
    frames = pd.DataFrame(train_z), pd.Series(train_y), pd.DataFrame(test_z), pd.Series(test_y)
    assert probe(*frames) == expected
    tensors = [torch.tensor(part) for part in (train_z, train_y, test_z, test_y)]
    tensors[0].requires_grad_()
    assert probe(*tensors) == expected
    assert probe(train_z, train_y.tolist(), test_z, test_y.astype(np.uint8)) == expected


@pytest.mark.parametrize("probe", PROBES)
def test_what_cannot_be_probed_is_refused_by_name(probe):
    z, y, test_z, test_y = halves(n=60)
    with pytest.raises(SampleTypeError, match=r"train_y: expected integer classes, got float64; use train_y.astype"):
        probe(z, y.astype(float), test_z, test_y)
    with pytest.raises(SampleTypeError, match=r"test_y: expected integer classes, got <U"):
        probe(z, y, test_z, test_y.astype(str))
    with pytest.raises(
        SampleError, match=r"train_y: expected one label for each of the 60 rows of train_z, got shape \(59"
    ):
        probe(z, y[1:], test_z, test_y)
    with pytest.raises(SampleError, match=r"test_y: expected one label .* shape \(60, 1\)"):
        probe(z, y, test_z, test_y[:, None])
    with pytest.raises(SampleError, match="train_z and test_z: expected equally many columns, got 3 and 2"):
        probe(z, y, test_z[:, :2], test_y)
    hole = z.copy()
    hole[4, 1] = np.nan
    with pytest.raises(SampleError, match=r"train_z: expected finite values.*first in row 4"):
        probe(hole, y, test_z, test_y)
    with pytest.raises(SampleError, match=r"test_y: expected the classes of train_y, got 2 as well"):
        probe(z[y < 2], y[y < 2], test_z, test_y)
    with pytest.raises(SampleError, match="train_y: expected at least two classes, got only 1"):
        probe(z, np.ones_like(y), test_z, test_y)


def test_options_out_of_range_are_refused_by_name():
    data = halves(n=60)
    with pytest.raises(ParameterError, match="ridge: expected a finite number > 0, got 0"):
        linear_probe(*data, ridge=0)
    with pytest.raises(ParameterError, match="k: expected at most the 60 rows of train_z, got 61"):
        knn_probe(*data, k=61)
    with pytest.raises(ParameterError, match="k: expected an integer >= 1"):
        knn_probe(*data, k=0)
    with pytest.raises(ParameterError, match="temperature"):
        knn_probe(*data, temperature=-1.0)
    with pytest.raises(SampleError, match=r"test_z: expected rows with a direction, got 60 rows of zeros"):
        knn_probe(*data[:2], 0 * data[2], data[3])


def test_another_metric_is_refused_by_name():
    from jaxtyping import TypeCheckError

    with pytest.raises((UnknownNameError, TypeCheckError), match="metric"):
        knn_probe(*halves(n=60), metric="manhattan")  # pyright: ignore[reportArgumentType]
