"""Scores of a mixture against finite differences; bias and variance against their closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import Gaussian, GaussianMixture
from itssl.arrays import stream
from itssl.estimators.mixture_scores import expansion, log_density_and_scores

EPS = np.finfo(float).eps


def random_law(seed, m, d):
    rng = stream(seed, "law")
    roots = np.eye(d) + 0.4 * rng.normal(size=(m, d, d))
    weights = rng.dirichlet(np.full(m, 5.0))
    return GaussianMixture(weights / weights.sum(), 2 * rng.normal(size=(m, d)), roots @ roots.transpose(0, 2, 1))


def shifted(law, parameters, diagonal):
    """The law with its parameters (log-odds, means, covariance entries) moved."""
    m, d = law.means.shape
    odds = np.log(law.weights) + np.append(parameters[: m - 1], 0)
    rest = parameters[m - 1 :].reshape(m, -1)
    covs = law.covs.copy()
    for k in range(m):
        for value, i, j in zip(rest[k, d:], *(2 * [range(d)] if diagonal else np.tril_indices(d)), strict=True):
            covs[k, i, j] += value
            covs[k, j, i] = covs[k, i, j]
    weights = np.exp(odds) / np.exp(odds).sum()
    return GaussianMixture(weights / weights.sum(), law.means + rest[:, :d], covs)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 3), diagonal=st.booleans())
def test_scores_are_derivatives(seed, m, diagonal):
    """Central differences of the image's log-density; their error is h² and eps/h."""
    law, rng = random_law(seed, m, 3), stream(seed, "points")
    if diagonal:
        law = GaussianMixture(law.weights, law.means, law.covs * np.eye(3))
    image = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    x = law.sample(4, rng)
    log_density, scores = log_density_and_scores(law, x, image, diagonal)
    np.testing.assert_allclose(log_density, law.affine_image(image.T, np.zeros(2)).log_density(x @ image), rtol=1e-10)
    h = 1e-5 * np.linalg.eigvalsh(law.covs).min()
    for p in range(scores.shape[1]):
        step = np.zeros(scores.shape[1])
        step[p] = h
        up, down = (
            shifted(law, s * step, diagonal).affine_image(image.T, np.zeros(2)).log_density(x @ image) for s in (1, -1)
        )
        np.testing.assert_allclose(scores[:, p], (up - down) / (2 * h), rtol=1e-4, atol=1e-4)


def test_entropy_bias_is_the_number_of_parameters(monkeypatch):
    """−p/(2n), and second-order variance p/(2n²) in a spread of p/n; tiles do not show."""
    law = random_law(0, 2, 2)
    x = law.sample(400, stream(0, "rows"))
    found = expansion(law, x, [(-1.0, np.eye(2))])
    assert found.parameters == 1 + 2 * (2 + 3)
    assert found.bias == pytest.approx(-11 / 800, rel=1e-9)
    assert found.value == pytest.approx(-law.log_density(x).mean(), rel=1e-12)
    spread = law.log_density(x).var(ddof=1)
    assert found.variance == pytest.approx(spread / 400 - 11 / (2 * 400**2), rel=1e-9)
    monkeypatch.setattr("itssl.estimators.mixture_scores._TILE", 1000)
    np.testing.assert_allclose(expansion(law, x, [(-1.0, np.eye(2))]), found, rtol=1e-9)


def test_independent_gaussian_blocks_are_chi_square():
    """I = LLR/n is χ² with d_x·d_y degrees over 2n: bias d_x d_y/(2n), variance d_x d_y/(2n²) (Wilks)."""
    x = stream(0, "independent").normal(size=(4000, 3))
    law = Gaussian(x.mean(0), np.cov(x.T, bias=True))
    mixture = GaussianMixture(np.ones(1), law.mean[None], law.cov[None])
    eye = np.eye(3)
    found = expansion(mixture, x, [(1.0, eye), (-1.0, eye[:, :1]), (-1.0, eye[:, 1:])])
    assert found.bias == pytest.approx(2 / 8000, rel=0.2)  # F from 4000 rows: 15 parameters to some 3 % each
    assert 2 / (2 * 4000**2) * 0.7 < found.variance < 4 * 2 / (2 * 4000**2)


def test_gaussian_information_error_is_rho():
    """Var of the pointwise information of two normals is ρ²; one parameter too many leaves the bias 1/(2n)."""
    rho, n = 0.8, 20000
    x = Gaussian(np.zeros(2), np.array([[1.0, rho], [rho, 1.0]])).sample(n, stream(0, "rho"))
    mixture = GaussianMixture(np.ones(1), x.mean(0)[None], np.cov(x.T, bias=True)[None])
    found = expansion(mixture, x, [(1.0, np.eye(2)), (-1.0, np.eye(2)[:, :1]), (-1.0, np.eye(2)[:, 1:])])
    assert found.variance == pytest.approx(rho**2 / n, rel=5 * np.sqrt(8 / n) + 0.01)
    assert found.bias == pytest.approx(1 / (2 * n), rel=0.2)


def test_images_are_made_orthonormal():
    """log p(Bᵀx) of a stretched, nearly singular image keeps its digits."""
    law = random_law(1, 2, 2)
    x = law.sample(50, stream(0, "x"))
    thin = np.array([[1.0, 1.0], [0.0, 1e-9]])
    found = expansion(law, x, [(1.0, thin)])
    assert found.value == pytest.approx(law.log_density(x).mean() - np.log(1e-9), rel=1e-10)
