"""Entropy terms: formulas, sides, and the settings that tell the noise relative to the embeddings."""

import numpy as np
import pytest
import torch
from objective_twins import EPS, logdet, mean_entropy, pairdist, views

from itssl.arrays import stream
from itssl.choices import UnknownNameError
from itssl.claims.check import check_inequality
from itssl.claims.decision import Outcome
from itssl.estimate import Bias
from itssl.objectives.entropy_terms import Kernel, logdet_term, noise_settings, pairdist_term


@pytest.mark.parametrize(("n", "d"), [(9, 4), (4, 9)])
@pytest.mark.parametrize("noise_var", [0.01, 1.0, 100.0])
def test_terms_are_negative_entropies(n, d, noise_var):
    z_a, z_b = views(n, d)
    found = logdet_term(z_a, z_b, beta=1 / noise_var, weight=0.5)
    assert found.value == pytest.approx(-mean_entropy(logdet, z_a, z_b, 1 / noise_var), rel=1e4 * EPS)
    assert (found.weight, found.unit, found.direction) == (0.5, "nats", Bias.UPPER)
    directions: dict[Kernel, Bias] = {"bhattacharyya": Bias.UPPER, "kl": Bias.UNKNOWN}
    for kernel, direction in directions.items():
        found = pairdist_term(z_a, z_b, noise_var=noise_var, kernel=kernel)
        assert found.value == pytest.approx(-mean_entropy(pairdist, z_a, z_b, noise_var, kernel), rel=1e4 * EPS)
        assert found.direction is direction
        assert kernel in found.meaning


def test_directions_are_those_of_the_expectations():
    """−½ log|C + I/β| at the population covariance, and −h(Z + N), from 8 rows in two dimensions."""
    var, noise_var = np.array([1.5, 0.4]), 0.3
    truth = -0.5 * np.log(2 * np.pi * np.e * (var + noise_var)).sum()  # −h(Z + N), and the population's −h_G

    def draw(rng):
        return rng.normal(size=(2, 8, 2)) * np.sqrt(var)

    for term in (
        lambda rng: np.mean([logdet_term(*draw(rng), beta=1 / noise_var).value for _ in range(10)]),
        lambda rng: np.mean([pairdist_term(*draw(rng), noise_var=noise_var).value for _ in range(10)]),
    ):
        assert check_inequality(term, truth, relation=">=").outcome is Outcome.HOLDS
        assert check_inequality(term, truth).outcome is Outcome.VIOLATED


def test_other_kernels_are_refused(as_users_call):
    with pytest.raises(UnknownNameError, match="kernel: expected one of 'bhattacharyya', 'kl', got 'renyi'"):
        pairdist_term(*views(5, 2), noise_var=1.0, kernel="renyi")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("made", [np.asarray, torch.tensor])
def test_settings_name_the_variance_relative_to_the_embeddings(made):
    z = stream(0, "settings").normal(size=(30, 3)) * [1.0, 2.0, 3.0]
    found = noise_settings(made(z), noise_var=0.5, residual_var=2.0)
    scale = np.trace(np.cov(z, rowvar=False)) / 3
    assert found["noise_var"] == 0.5
    assert found["noise_var / variance of z"] == pytest.approx(0.5 / scale, rel=64 * EPS)
    assert found["residual_var / variance of z"] == pytest.approx(2 / scale, rel=64 * EPS)
    assert noise_settings(made(np.zeros((3, 2))), noise_var=0.5)["noise_var / variance of z"] == float("inf")
