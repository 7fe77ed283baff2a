"""Sliced information: definition, the closed form of Gaussians, both error parts, invariances."""

import numpy as np
import pytest

from itssl import KSG, GaussianPlugin
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.error_bars import value_only
from itssl.estimators.sliced import Sliced, uniform_frame

EPS = np.finfo(float).eps


def gaussian_sliced_information(rho, rng, pairs=20_000):
    """E −½ log(1 − (θᵀ diag(ρ) φ)²) over unit vectors, with its Monte-Carlo error."""
    theta, phi = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.standard_normal((2, pairs, len(rho))))
    values = -0.5 * np.log1p(-(((theta * rho) * phi).sum(axis=1) ** 2))
    return values.mean(), values.std() / np.sqrt(pairs)


def test_is_the_mean_over_projections():
    rng = stream(0, "definition")
    x, y = rng.normal(size=(80, 3)), rng.normal(size=(80, 5))
    sliced, total = Sliced(slices=5, dimension=2, seed=3), 0.0
    for i in range(5):
        directions = stream(3, "slice", i)
        a, b = uniform_frame(3, 2, directions), uniform_frame(5, 2, directions)
        total += KSG().mutual_information((x - x.mean(0)) @ a, (y - y.mean(0)) @ b).value / 5
    assert sliced.mutual_information(x, y).value == pytest.approx(total, abs=1e-12)


def test_finds_the_closed_form_of_gaussian_views():
    rho = np.array([0.95, 0.95, 0.95])
    x, y = linear_gaussian_views(rho).sample(2000, stream(0, "closed form"))
    found = Sliced(slices=100, estimator=GaussianPlugin()).mutual_information(x, y)
    truth, error = gaussian_sliced_information(rho, stream(0, "truth"))
    assert abs(found.value - truth) < 5 * np.hypot(found.standard_error, error)
    assert found.value < 0.2 * linear_gaussian_views(rho).mutual_information.value  # another quantity than I


@pytest.mark.slow
def test_error_matches_the_spread_over_samples_and_slices():
    """80 seeds of rows and slices: the spread is known to ±8 %."""
    task = linear_gaussian_views([0.9, 0.9])
    found = [
        Sliced(slices=8, estimator=GaussianPlugin(), seed=s).mutual_information(*task.sample(120, stream(s, "se")))
        for s in range(80)
    ]
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.8 < stated / np.std([f.value for f in found], ddof=1) < 1.3
    assert all(f.diagnostics["standard_error_slices"] <= f.standard_error for f in found)


def test_identities():
    rng = stream(0, "identities")
    x, y = rng.normal(size=(100, 3)), rng.exponential(size=(100, 3))
    sliced, order = Sliced(slices=4), rng.permutation(100)
    with value_only():
        value = sliced.mutual_information(x, y).value
        for a, b in ((1e-12 * x, y), (x, 1e12 * y), (x[order], y[order]), (y, x), (x + 3, y)):
            assert sliced.mutual_information(a, b).value == pytest.approx(value, abs=1e-12)


def test_frames_are_uniform():
    """The first column of a uniform frame has mean 0 and covariance I/d: 4000 frames, five standard errors."""
    rng = stream(0, "frames")
    first = np.array([uniform_frame(3, 2, rng)[:, 0] for _ in range(4000)])
    assert (np.abs(first.mean(axis=0)) < 5 / np.sqrt(3 * 4000)).all()
    assert np.abs(np.cov(first, rowvar=False) - np.eye(3) / 3).max() < 5 / np.sqrt(5 * 4000)


def test_bad_configuration():
    x = stream(0, "x").normal(size=(50, 2))
    with pytest.raises(SampleError, match=r"x: expected at least dimension = 3 columns, got 2"):
        Sliced(dimension=3).mutual_information(x, x)
    with pytest.raises(ParameterError, match=r"estimator: expected one with \.mutual_information"):
        Sliced(estimator="ksg")
