"""InfoNCE: definition, both kinds, gradient, ceiling and reference values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.claims.contrastive_link import _optimal_scores
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias
from itssl.objectives import contrast, infonce_terms

EPS = np.finfo(float).eps


def loss_twin(z_a, z_b, temperature):
    a = z_a / np.linalg.norm(z_a, axis=1, keepdims=True)
    b = z_b / np.linalg.norm(z_b, axis=1, keepdims=True)
    scores = a @ b.T / temperature
    rows = [-np.log(np.exp(scores[i, i]) / np.exp(scores[i]).sum()) for i in range(len(a))]
    columns = [-np.log(np.exp(scores[i, i]) / np.exp(scores[:, i]).sum()) for i in range(len(a))]
    return (np.mean(rows) + np.mean(columns)) / 2


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 30), d=st.integers(2, 10), temperature=st.floats(0.05, 2))
def test_equals_the_definition_in_both_kinds(seed, n, d, temperature):
    z_a, z_b = stream(seed, "infonce").normal(size=(2, n, d))
    expected = loss_twin(z_a, z_b, temperature)
    error = 1e3 * EPS / temperature
    terms = infonce_terms(z_a, z_b, temperature=temperature)
    assert terms.total() == pytest.approx(expected, abs=error)
    assert terms.bound.value == pytest.approx(np.log(n) - expected, abs=error)
    assert terms.bound.value <= np.log(n) + error
    tensors = infonce_terms(torch.tensor(z_a), torch.tensor(z_b), temperature=temperature)
    assert tensors.total().item() == pytest.approx(expected, abs=error)
    assert terms.bound.direction is Bias.LOWER


def test_gradient():
    z_a, z_b = (torch.tensor(z, requires_grad=True) for z in stream(0, "gradient").normal(size=(2, 6, 3)))
    assert torch.autograd.gradcheck(lambda a, b: infonce_terms(a, b, temperature=0.5).total(), (z_a, z_b))


def test_large_scores_do_not_overflow():
    assert contrast(1e5 * np.eye(4)).bound.value == pytest.approx(np.log(4), abs=8 * EPS)
    assert np.isfinite(infonce_terms(np.eye(3), np.eye(3), temperature=1e-4).total())


def test_optimal_critic_reaches_the_known_values():
    """I = 2.33, 9.31, 37.25 nats are seen as about 2.20, 5.44, 5.545 with N = 256 (one batch each, by other code)."""
    for d, seen in ((2, 2.20), (8, 5.44), (32, 5.545)):
        task = linear_gaussian_views(np.full(d, 0.95))
        values = []
        for seed in range(20):
            values.append(contrast(_optimal_scores(task, stream(seed, "values"))).bound.value)
        assert abs(np.mean(values) - seen) < 3 * np.std(values) + 5e-4  # theirs is one batch, rounded


def test_zero_temperature_is_refused():
    with pytest.raises(ParameterError, match="temperature"):
        infonce_terms(np.eye(3), np.eye(3), temperature=0.0)
