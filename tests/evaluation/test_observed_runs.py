"""Observed runs: each measure against its definition, units of length, and where the run is looked at."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import multivariate_normal

from itssl.arrays import stream
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
    log_q = [multivariate_normal(mean=pair[i], cov=np.eye(d)).logpdf(z[i]) for i in range(n)]
    assert found["literal bound"] == pytest.approx(found["log-det entropy"] + np.mean(log_q), rel=1e-10)
    raw = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(z.T))[1]
    bias = 0.5 * (sum(digamma((n - i) / 2) for i in range(1, d + 1)) + d * np.log(2 / (n - 1)))
    assert found["log-det entropy"] == pytest.approx(raw - bias, rel=1e-10)
    distances = np.sort(np.linalg.norm(z[:, None] - z[None], axis=2), axis=1)[:, 4]
    ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    assert found["kNN entropy"] == pytest.approx(
        digamma(n) - digamma(4) + ball + d * np.log(distances).mean(), rel=1e-10
    )


def test_units_of_length():
    z, _ = views(n=200)
    d = z.shape[1]
    base, scaled = entropies(z, noise_var=0.1), entropies(5 * z + 7, noise_var=0.1)
    for name in ("log-det", "kNN"):
        assert scaled[f"{name}, raw"] == pytest.approx(base[f"{name}, raw"] + d * np.log(5), abs=1e-9)
        for unit in UNITS[1:]:
            assert scaled[f"{name}, {unit}"] == pytest.approx(base[f"{name}, {unit}"], abs=1e-9)
    assert base["log-det, whitened"] == pytest.approx(d / 2 * np.log(2 * np.pi * np.e), abs=1e-10)
    mixing = np.linalg.qr(stream(0, "mix").normal(size=(d, d)))[0] * [1.0, 2.0, 0.1]
    assert entropies(z @ mixing, noise_var=0.1)["kNN, whitened"] == pytest.approx(base["kNN, whitened"], abs=1e-9)
    flat = entropies(z @ np.diag([1.0, 1.0, 0.0]), noise_var=0.1)
    assert flat["log-det, raw"] == flat["kNN, whitened"] == -np.inf


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
