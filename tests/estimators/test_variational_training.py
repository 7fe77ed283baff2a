"""Split and training loop: which rows go where, invariances to the last bit, checkpoints, early stopping."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.variational_training import (
    PATIENCE,
    CriticConfig,
    Pairs,
    Trained,
    TrainingConfig,
    compressed,
    maximize,
    one_thread,
    split,
)

CONFIG = TrainingConfig()


def sample(seed, n=100, d_x=2, d_y=3):
    rng = stream(seed, "split")
    x = rng.normal(size=(n, d_x))
    return x, rng.normal(size=(n, d_y)) + x[:, :1]


def same(a, b):
    for first, second in ((a.train, b.train), (a.validation, b.validation), (a.test, b.test)):
        for u, v in zip(first, second, strict=True):
            np.testing.assert_array_equal(u, v)
    assert a.key == b.key


def test_every_row_goes_to_one_part_and_pairs_stay_together():
    x = np.arange(50.0)[:, None]
    parts = split(x, 7 - 2 * x, TrainingConfig(held_out=0.5), exchangeable=False)
    assert [len(p.x) for p in (parts.train, parts.validation, parts.test)] == [25, 12, 13]
    every = np.concatenate([p.x for p in (parts.train, parts.validation, parts.test)])
    assert len(np.unique(every)) == 50
    for pairs in (parts.train, parts.validation, parts.test):
        np.testing.assert_allclose(pairs.y, -pairs.x, atol=1e-6)  # standardized, in float32


def test_units_are_those_of_the_training_rows():
    parts = split(*sample(0), CONFIG, exchangeable=False)
    np.testing.assert_allclose(parts.train.y.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(parts.train.y.std(axis=0, ddof=1), 1, rtol=1e-6)
    assert abs(parts.test.y.mean(axis=0)).max() > 1e-3
    x, y = sample(0)
    other = split(x, 5 * y, CONFIG, exchangeable=False)
    np.testing.assert_allclose(other.std_y, 5 * parts.std_y, rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), power=st.integers(-40, 40), d=st.integers(1, 3))
def test_invariances_hold_to_the_last_bit(seed, power, d):
    x, y = sample(seed, d_y=d)
    parts = split(x, y, CONFIG, exchangeable=True)
    order = stream(seed, "order").permutation(len(x))
    same(split(x[order], y[order], CONFIG, exchangeable=True), parts)
    same(split(y, x, CONFIG, exchangeable=True), parts)
    same(split(x * 2.0**power, y, CONFIG, exchangeable=True), parts)
    directed = split(x, y, CONFIG, exchangeable=False)
    same(split(x[order], y[order], CONFIG, exchangeable=False), directed)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), shift=st.sampled_from([0.0, 3.0]))
def test_other_units_change_at_most_single_bits(seed, power, shift):
    x, y = sample(seed)
    parts, other = split(x, y, CONFIG, exchangeable=True), split(x * 10.0**power + shift * 10.0**power, y, CONFIG,
                                                                 exchangeable=True)  # fmt: skip
    assert other.key == parts.key
    np.testing.assert_allclose(other.train.x, parts.train.x, rtol=2.0**-22, atol=2.0**-40)
    np.testing.assert_allclose(other.test.y, parts.test.y, rtol=2.0**-22, atol=2.0**-40)


def test_test_rows_have_no_fixed_ranks():
    """One fixed permutation of sorted rows would put the same order statistics into every test set, a bias."""
    ranks = []
    for seed in range(40):
        x, y = sample(seed, d_x=1, d_y=1)
        parts = split(x, y, CONFIG, exchangeable=False)
        everything = np.concatenate([p.x + p.y for p in (parts.train, parts.validation, parts.test)])
        ranks.append(frozenset(np.argsort(np.argsort(everything[:, 0]))[80:]))
    assert len(set(ranks)) == 40
    overlap = np.mean([len(a & b) for a in ranks for b in ranks if a is not b])
    assert overlap == pytest.approx(20 * 20 / 100, abs=0.5)  # hypergeometric: 4 ± 1.6, 780 dependent pairs


def test_compression_is_monotone_odd_and_leaves_three_deviations_alone():
    x = np.linspace(-9, 9, 1001)[:, None]
    y = compressed(x)
    np.testing.assert_array_equal(y[np.abs(x) <= 3], x[np.abs(x) <= 3])
    assert (np.diff(y[:, 0]) > 0).all()
    np.testing.assert_allclose(y, -y[::-1], atol=1e-15)
    assert compressed(np.array([[1e6]]))[0, 0] == pytest.approx(3 + np.log(1e6 - 2))


def test_a_column_that_is_constant_on_the_training_rows_is_kept():
    x, y = sample(0)
    x[:, 1] = 0.0
    x[3, 1] = 1.0
    with np.errstate(all="raise"):
        parts = [split(x + i * 1e-9, y, CONFIG, exchangeable=True) for i in range(6)]
    assert all(np.isfinite(p.test.x).all() and np.isfinite(p.train.x).all() for p in parts)


def test_too_few_rows_are_refused_by_name():
    x, y = sample(0, n=30)
    with pytest.raises(SampleError, match=r"^x and y: expected at least 16 rows .* got 18 and 12 of 30; draw more"):
        split(x, y, CONFIG, exchangeable=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: expected an integer >= 1, got 0"),
        ({"batch": 1}, "batch: expected an integer >= 2"),
        ({"seed": -1}, "seed: expected an integer >= 0"),
        ({"held_out": 1.0}, r"held_out: expected a fraction in \(0, 1\), got 1.0"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number > 0"),
    ],
)
def test_configuration(options, message):
    with pytest.raises(ParameterError, match=message):
        CriticConfig(**options)


def regression(weights, x, y):
    return -(x @ weights - y[:, 0]).square().mean()


def linear_data(n, seed=0):
    rng = stream(seed, "linear")
    x = rng.normal(size=(n, 2))
    return Pairs(x, x @ np.array([[0.3], [-0.2]]) + 0.01 * rng.normal(size=(n, 1)))


def test_training_finds_a_maximum_and_repeats_itself():
    config = TrainingConfig(steps=300, batch=20, learning_rate=0.01)
    run, again = (maximize(regression, torch.zeros(2), linear_data(100), linear_data(50, 1), config, key="k")
                  for _ in range(2))  # fmt: skip
    # the weight decay shrinks the optimum a little; 0.1 is far from both the start and the signs exchanged
    np.testing.assert_allclose(run.weights, [0.3, -0.2], atol=0.1)
    assert torch.equal(run.weights, again.weights)
    np.testing.assert_array_equal(run.validation, again.validation)
    other = maximize(regression, torch.zeros(2), linear_data(100), linear_data(50, 1), config, key="other")
    assert not torch.equal(run.weights, other.weights)


def test_the_checkpoint_is_the_best_on_validation_rows():
    """Training rows and validation rows want opposite weights: the best checkpoint is the first."""
    data = linear_data(40)
    run = maximize(regression, torch.zeros(2), data, Pairs(data.x, -data.y), TrainingConfig(steps=2000), key="k")
    assert run.best_step == 25
    assert run.steps == 25 + PATIENCE
    assert run.validation.argmax() == 0
    assert not run.rising


def test_steps_without_a_finite_gradient_are_left_out():
    calls = []

    def objective(weights, x, y):
        calls.append(None)
        return regression(weights, x, y) * (float("nan") if len(calls) % 2 else 1.0)

    run = maximize(objective, torch.zeros(2), linear_data(40), linear_data(40), TrainingConfig(steps=50), key="k")
    assert torch.isfinite(run.weights).all()


def test_nothing_global_is_changed_even_by_an_interrupt():
    def interrupted(weights, x, y):
        raise KeyboardInterrupt

    before = torch.get_num_threads(), torch.random.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    maximize(regression, torch.zeros(2), linear_data(40), linear_data(40), TrainingConfig(steps=30), key="k")
    with pytest.raises(KeyboardInterrupt):
        maximize(interrupted, torch.zeros(2), linear_data(40), linear_data(40), TrainingConfig(), key="k")
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert str(np.random.get_state()) == before[2]  # noqa: NPY002


@pytest.mark.parametrize(
    ("curve", "best_step", "rising"),
    [
        (np.arange(40.0), 1000, True),
        (1 - np.exp(-np.arange(40.0)), 1000, False),  # long since flat
        (np.arange(40.0), 500, False),
        (np.array([1.0]), 1000, True),  # one look cannot show a plateau
    ],
)
def test_rising(curve, best_step, rising):
    run = Trained(weights=torch.zeros(1), best_step=best_step, steps=1000, validation=curve)
    assert run.rising is rising


def test_dtype_and_device_of_the_task_do_not_matter():
    x, y = linear_gaussian_views([0.5]).sample(60, stream(0, "task"))
    same(split(x, y, CONFIG, exchangeable=True), split(np.asfortranarray(x), y[::1], CONFIG, exchangeable=True))
