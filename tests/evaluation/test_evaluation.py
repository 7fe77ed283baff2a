"""Spectra and probes on representations whose answer is known."""

import numpy as np
import pytest

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.evaluation import effective_rank, few_shot_probe, numerical_rank


def test_ranks():
    assert effective_rank(np.diag([3.0, 3.0, 3.0, 0.0])) == pytest.approx(3, rel=1e-14)
    p = np.array([0.7, 0.2, 0.1])
    assert effective_rank(np.diag(5 * p)) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-14)
    assert numerical_rank(np.diag([1.0, 1e-5, 1e-7])) == 2
    for bad in (np.zeros((2, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(ParameterError, match="cov"):
            effective_rank(bad)


def test_probe_finds_what_is_linear_and_nothing_in_noise():
    rng = stream(0, "probe")
    y = np.arange(600) % 3
    separated = np.eye(3)[y] * 10 + rng.normal(size=(600, 3))
    assert few_shot_probe(separated[:300], y[:300], separated[300:], y[300:]) == 1.0
    noise = rng.normal(size=(600, 3))
    accuracy = few_shot_probe(noise[:300], y[:300], noise[300:], y[300:])
    assert abs(accuracy - 1 / 3) < 5 * np.sqrt(2 / 9 / 300)
    assert accuracy == few_shot_probe(noise[:300], y[:300], noise[300:], y[300:])
    with pytest.raises(SampleError, match="train_y: expected at least 101 rows a class"):
        few_shot_probe(noise[:300], y[:300], noise[300:], y[300:], shots=101)
