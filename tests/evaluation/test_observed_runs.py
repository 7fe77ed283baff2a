"""Observed runs: each measure against its definition, units of length, and where the run is looked at."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import digamma

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.differentiable_neighbors import neighbor_entropy
from itssl.evaluation.observed_runs import UNITS, entropies, information_measures, observed_run
from itssl.networks.recipes import recipe

SHORT = replace(recipe("digits"), epochs=2)


def views(n=60, d=3):
    rng = stream(0, "observed")
    z = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 1.0
    return z, z + 0.3 * rng.normal(size=(n, d))


def test_measures_against_their_definitions():
    z, pair = views()
    n, d = z.shape
    center = z.mean(axis=0)
    found = information_measures(z, pair, center)
    u, v = ((w - center) / np.linalg.norm(w - center, axis=1, keepdims=True) for w in (z, pair))
    scores = u @ v.T / 0.1
    loss = -np.mean([np.log(np.exp(scores[i, i]) / np.exp(scores[i]).sum()) for i in range(n)])
    other = -np.mean([np.log(np.exp(scores[i, i]) / np.exp(scores[:, i]).sum()) for i in range(n)])
    assert found["InfoNCE"] == pytest.approx(np.log(n) - (loss + other) / 2, rel=1e-10)
    log_q = [Gaussian(pair[i], np.eye(d)).log_density(z[i : i + 1])[0] for i in range(n)]
    assert found["literal bound"] == pytest.approx(found["log-det entropy"] + np.mean(log_q), rel=1e-10)
    raw = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(z.T))[1]
    bias = 0.5 * (sum(digamma((n - i) / 2) for i in range(1, d + 1)) + d * np.log(2 / (n - 1)))
    assert found["log-det entropy"] == pytest.approx(raw - bias, rel=1e-10)
    assert found["neighbor entropy"] == entropies(z, noise_var=0.1)["neighbors, raw"]


def test_units_of_length():
    z, _ = views(n=200)
    d = z.shape[1]
    base, scaled = entropies(z, noise_var=0.1), entropies(5 * z + 7, noise_var=0.1)
    for name in ("log-det", "neighbors"):
        assert scaled[f"{name}, raw"] == pytest.approx(base[f"{name}, raw"] + d * np.log(5), abs=1e-9)
        for unit in UNITS[1:]:
            assert scaled[f"{name}, {unit}"] == pytest.approx(base[f"{name}, {unit}"], abs=1e-9)
    assert base["log-det, whitened"] == pytest.approx(d / 2 * np.log(2 * np.pi * np.e), abs=1e-10)
    mixing = np.linalg.qr(stream(0, "mix").normal(size=(d, d)))[0] * [1.0, 2.0, 0.1]
    assert entropies(z @ mixing, noise_var=0.1)["neighbors, whitened"] == pytest.approx(
        base["neighbors, whitened"], abs=1e-9
    )
    flat = entropies(z @ np.diag([1.0, 1.0, 0.0]), noise_var=0.1)
    assert flat["log-det, raw"] == flat["neighbors, whitened"] == -np.inf
    assert np.isfinite(flat["pairwise, raw"])


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_neighbor_entropy_of_gaussian_rows_is_the_largest_whatever_the_spectrum(spread):
    """Neighbors of the rows as they are would be tens of nats above it."""
    n, d = 300, 32
    gaps, naive = [], []
    for seed in range(8):
        z = stream(seed, "Gaussian rows").normal(size=(n, d)) * np.geomspace(1, spread, d)
        found = entropies(z, noise_var=1.0)
        gaps.append(found["neighbors, raw"] - found["log-det, raw"])
        naive.append(float(neighbor_entropy(z)) - found["log-det, raw"])
    error = np.std(gaps, ddof=1) * np.sqrt(2 / len(gaps))  # as many draws stand behind the reference
    assert abs(np.mean(gaps)) < 4 * error
    assert min(naive) > 4


def test_negentropy_is_seen():
    """The uniform law on a square: h = 0, and ½ log((2πe/12)²) for its covariance."""
    values = []
    for seed in range(6):
        found = entropies(stream(seed, "uniform").uniform(size=(2000, 2)), noise_var=0.1)
        values.append(found["log-det, raw"] - found["neighbors, raw"])
    assert np.mean(values) == pytest.approx(np.log(2 * np.pi * np.e / 12), abs=4 * np.std(values, ddof=1) / np.sqrt(3))


@pytest.mark.parametrize("method", ["VICReg", "BYOL"])
def test_a_run_is_looked_at_along_the_way(method):
    run = observed_run(SHORT, method, 0, points=5)
    assert run.evaluation_steps.tolist() == [0, 2, 4, 6, 8, 10]
    own, vicreg = run.evaluations["own loss"], run.evaluations["VICReg loss"]
    if method == "VICReg":
        np.testing.assert_allclose(own, vicreg, rtol=1e-12)
    else:
        assert np.isnan(own).all()
    assert vicreg[-1] < vicreg[0]
