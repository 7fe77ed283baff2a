"""Held-out evaluation: batches, errors against Monte Carlo, effective weights, warnings."""

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.estimators import variational_bounds as vb
from itssl.estimators.variational_evaluation import (
    LARGEST_BATCH,
    HeldOut,
    batches,
    effective_weights,
    held_out,
    held_out_mean,
    training_warnings,
    variance_warnings,
)
from itssl.estimators.variational_training import Pairs, Trained

RHO = 0.6


def draw(seed, n):
    x, noise = stream(seed, "pairs").normal(size=(2, n, 1))
    return Pairs(x, RHO * x + np.sqrt(1 - RHO**2) * noise)


def log_ratio(pairs):
    a, b = pairs.x, pairs.y.T
    return -0.5 * np.log(1 - RHO**2) - (RHO**2 * (a**2 + b**2) - 2 * RHO * a * b) / (2 * (1 - RHO**2))


BOUNDS = [
    vb.lower_bound_donsker_varadhan, vb.lower_bound_jensen_shannon, vb.lower_bound_info_nce, vb.upper_bound_club,
    lambda s: vb.smile(s, 1.0),
]  # fmt: skip


def jackknife_twin(bound, scores, groups):
    values = []
    for g in range(groups):
        kept = [i for i in range(len(scores)) if i % groups != g]
        values.append(bound(np.array([[scores[i, j] for j in kept] for i in kept])))
    return np.sqrt((groups - 1) / groups * np.sum((np.array(values) - np.mean(values)) ** 2))


@pytest.mark.parametrize("bound", BOUNDS)
def test_error_is_the_jackknife(bound):
    pairs = draw(0, 45)
    found = held_out(bound, log_ratio, pairs)
    assert found.value == bound(log_ratio(pairs))
    assert found.standard_error == pytest.approx(jackknife_twin(bound, log_ratio(pairs), 20), rel=1e-9)
    assert (found.degrees_of_freedom, found.batch) == (19, 45)
    few = held_out(bound, log_ratio, draw(0, 12))
    assert few.standard_error == pytest.approx(jackknife_twin(bound, log_ratio(draw(0, 12)), 6), rel=1e-9)


@pytest.mark.parametrize("bound", BOUNDS)
def test_error_is_the_spread_over_test_rows(bound):
    found = [held_out(bound, log_ratio, draw(seed, 100)) for seed in range(100)]
    spread = np.std([f.value for f in found], ddof=1)
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    # the spread over 100 seeds is known to 1/√200 = 7 %; four of these, and the jackknife errs upwards
    assert 0.72 < stated / spread < 1.4


def test_several_batches(monkeypatch):
    pairs, bound = draw(0, 101), vb.lower_bound_info_nce
    monkeypatch.setattr("itssl.estimators.variational_evaluation.LARGEST_BATCH", 40)
    found = held_out(bound, log_ratio, pairs)
    parts = [log_ratio(Pairs(pairs.x[i : i + 33], pairs.y[i : i + 33])) for i in (0, 33, 66)]
    assert found.batch == 33
    assert found.value == pytest.approx(np.mean([bound(p) for p in parts]))
    each = [jackknife_twin(bound, p, 16) for p in parts]
    assert found.standard_error == pytest.approx(np.sqrt(np.sum(np.square(each))) / 3)
    assert found.degrees_of_freedom == 3 * 15
    monkeypatch.setattr("itssl.estimators.variational_evaluation.LARGEST_BATCH", 10)
    many = held_out(bound, log_ratio, pairs)
    values = [bound(log_ratio(Pairs(pairs.x[i : i + 9], pairs.y[i : i + 9]))) for i in range(0, 99, 9)]
    assert many.value == pytest.approx(np.mean(values))
    assert many.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(11))
    assert many.degrees_of_freedom == 10


def test_batches_have_one_size_and_keep_pairs():
    pairs = Pairs(np.arange(11.0)[:, None], -np.arange(11.0)[:, None])
    parts = batches(pairs, 4)
    assert [p.x[:, 0].tolist() for p in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert all((p.x == -p.y).all() for p in parts)
    assert len(batches(pairs, 11)) == 1


def test_mean():
    terms = stream(0, "mean").normal(size=50)
    found = held_out_mean(terms)
    assert found.value == terms.mean()
    assert found.standard_error == pytest.approx(terms.std(ddof=1) / np.sqrt(50))
    assert found.degrees_of_freedom == 49


def test_effective_weights():
    scores = stream(0, "weights").normal(size=(6, 6))
    weights = [[np.exp(scores[i, j]) if i != j else 0.0 for j in range(6)] for i in range(6)]
    entries, rows, columns = np.ravel(weights), np.sum(weights, axis=1), np.sum(weights, axis=0)
    expected = min(w.sum() ** 2 / (w**2).sum() for w in (entries, rows, columns))
    assert effective_weights(scores) == pytest.approx(expected)
    assert effective_weights(scores + 700) == pytest.approx(expected)
    one = np.zeros((6, 6))
    one[2, 4] = 60.0
    assert effective_weights(one) == pytest.approx(1.0)
    assert effective_weights(1e4 * np.eye(6)) == 0.0  # beside the diagonal nothing is left


def run(curve, steps=1000):
    return Trained(weights=torch.zeros(1), best_step=steps, steps=steps, validation=curve)


def test_training_warnings():
    flat, rising = run(np.ones(40)), run(np.arange(40.0))
    close, far = HeldOut(1.1, 0.03, 19, 40), HeldOut(1.6, 0.03, 19, 40)
    test = HeldOut(1.0, 0.04, 19, 40)  # the error of the gap is 0.05
    assert training_warnings(flat, close, test) == ()
    assert [w.code for w in training_warnings(flat, far, test)] == ["overfit"]
    assert [w.code for w in training_warnings(rising, far, test)] == ["overfit", "not_converged"]
    assert "0.6 nats more on the rows it was trained on" in training_warnings(flat, far, test)[0].message
    assert [w.code for w in training_warnings(flat, HeldOut(np.inf, 0.0, 1, 2), test)] == ["overfit"]


def test_variance_warnings():
    assert variance_warnings(100.0, 1.0, 400) == ()
    assert "rests on 3 effective weights" in variance_warnings(3.0, 1.0, 400)[0].message
    assert "the logarithm 5.99 of the 400 rows" in variance_warnings(100.0, 5.0, 400)[0].message


@pytest.mark.parametrize("n", [40, 10 * LARGEST_BATCH])
def test_an_exponential_beyond_floats_is_an_infinite_error_not_a_crash(n):
    """NWJ's e^s overflows on one pair: the value is −inf as the formula says, and no error bar is claimed."""

    def scores(pairs):
        matrix = np.zeros((len(pairs.x), len(pairs.x)))
        matrix[0, 1] = 1e4 if pairs.x[0, 0] == 0 else 0.0
        return matrix

    x = np.arange(n)[:, None].astype(float)
    found = held_out(vb.lower_bound_nwj, scores, Pairs(x, x))
    assert (found.value, found.standard_error) == (-np.inf, np.inf)
