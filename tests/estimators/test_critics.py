"""Critics: scores pair by pair, initial weights from the generator alone, the conditional density."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimators.critics import (
    ConditionalGaussian,
    Critic,
    JointCritic,
    SeparableCritic,
    critic,
    initial_weights,
    perceptron,
    torch_generator,
    weight_count,
)

KINDS = [SeparableCritic, JointCritic, ConditionalGaussian]


def perceptron_twin(widths, weights, row):
    """One row through the network, layer by layer, from a list of weights."""
    weights, value = list(weights), list(row)
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        if layer:
            value = [v / (1 + np.exp(-v)) for v in value]
        matrix = [[weights.pop(0) for _ in range(fan_in)] for _ in range(fan_out)]
        value = [sum(m * v for m, v in zip(matrix[k], value, strict=True)) + weights.pop(0) for k in range(fan_out)]
    assert not weights
    return value


def inputs(network, seed, n=3, m=4):
    rng = stream(seed, "critics")
    weights = network.initial(torch_generator(seed, "critics")).double()
    return weights, *(torch.tensor(rng.normal(size=shape)) for shape in ((n, network.d_x), (m, network.d_y)))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), widths=st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_perceptron_is_its_definition(seed, widths):
    rng = stream(seed, "perceptron")
    weights, x = rng.normal(size=weight_count(tuple(widths))), rng.normal(size=(3, widths[0]))
    value = perceptron(tuple(widths), torch.tensor(weights), torch.tensor(x))
    np.testing.assert_allclose(value, [perceptron_twin(widths, weights, row) for row in x], rtol=1e-10, atol=1e-10)


def test_separable_scores_are_their_definition():
    network = SeparableCritic(2, 3, hidden=5, layers=2)
    weights, x, y = inputs(network, 0)
    first, second = (2, 5, 5, 33), (3, 5, 5, 33)
    g = np.array([perceptron_twin(first, weights[: weight_count(first)].tolist(), row) for row in x.tolist()])
    h = np.array([perceptron_twin(second, weights[weight_count(first) :].tolist(), row) for row in y.tolist()])
    expected = [[a[1:] @ b[1:] / np.sqrt(32) + a[0] + b[0] for b in h] for a in g]
    np.testing.assert_allclose(network.scores(weights, x, y), expected, rtol=1e-10)


@pytest.mark.parametrize("layers", [1, 3])
def test_joint_scores_are_one_perceptron_of_both_rows(layers):
    network = JointCritic(2, 3, hidden=5, layers=layers)
    weights, x, y = inputs(network, 0)
    # the first layer keeps its columns for x, then those for y
    size = 5 * 2
    first = np.hstack([weights[:size].view(5, 2).numpy(), weights[size : size + 15].view(5, 3).numpy()])
    plain = [*first.ravel(), *weights[size + 15 :].tolist()]
    expected = [[perceptron_twin((5, *(5,) * layers, 1), plain, [*a, *b])[0] for b in y.tolist()] for a in x.tolist()]
    np.testing.assert_allclose(network.scores(weights, x, y), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_on_its_own_pair_alone(kind):
    network = kind(2, 3, hidden=4, layers=2)
    assert isinstance(network, Critic)
    weights, x, y = inputs(network, 1)
    scores = network.scores(weights, x, y)
    assert scores.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            alone = network.scores(weights, x[i : i + 1], y[j : j + 1])
            assert alone.item() == pytest.approx(scores[i, j].item(), rel=1e-10, abs=1e-10)


def test_tiles_of_the_joint_critic_are_the_whole(monkeypatch):
    network = JointCritic(2, 3, hidden=4, layers=2)
    weights, x, y = inputs(network, 2, n=7)
    monkeypatch.setattr("itssl.estimators.critics.TILE", 33)  # two rows of x at a time
    with torch.no_grad():
        tiled = network.scores(weights, x, y)
    torch.testing.assert_close(tiled, network.scores(weights, x, y), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_come_from_the_generator_alone(kind):
    network, before = kind(2, 3), torch.random.get_rng_state()
    first, again, other = (network.initial(torch_generator(seed, "w")) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.dtype == torch.float32


def test_initial_weights_have_the_stated_variance():
    weights = initial_weights((400, 300, 200), torch_generator(0, "variance"))
    hidden, last = weights[: 400 * 300], weights[401 * 300 : 401 * 300 + 300 * 200]
    # the sample variance of N uniform numbers has the relative deviation √(0.8/N)
    assert hidden.var().item() == pytest.approx(2 / 400, rel=5 * np.sqrt(0.8 / len(hidden)))
    assert last.var().item() == pytest.approx(1 / 300, rel=5 * np.sqrt(0.8 / len(last)))


def test_conditional_density_integrates_to_one_and_is_gaussian():
    network = ConditionalGaussian(2, 1, hidden=4, layers=2)
    weights, x, _ = inputs(network, 3)
    y = torch.linspace(-40, 40, 20001, dtype=torch.float64)[:, None]
    density = network.scores(weights, x, y).exp()
    np.testing.assert_allclose(torch.trapezoid(density, y[:, 0]), 1.0, rtol=1e-8)
    mean, log_var = perceptron((2, 4, 4, 2), weights, x).T.numpy()
    expected = norm.logpdf(y[:3, 0].numpy(), mean, np.exp(log_var / 2))
    np.testing.assert_allclose(network.log_density(weights, x, y[:3]), expected, rtol=1e-10)
    wide = ConditionalGaussian(2, 3, hidden=4, layers=2)
    weights, x, y = inputs(wide, 4, m=3)
    torch.testing.assert_close(wide.scores(weights, x, y).diagonal(), wide.log_density(weights, x, y))


def test_wrong_configurations():
    with pytest.raises(ParameterError, match="hidden: expected an integer >= 1"):
        critic("joint", 1, 1, hidden=0, layers=2)
    raw: Any = getattr(critic, "__wrapped__", critic)
    with pytest.raises(UnknownNameError, match="critic: expected one of 'separable', 'joint', got 'concat'"):
        raw("concat", 1, 1, hidden=4, layers=2)
