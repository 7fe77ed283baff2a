"""Log-densities of mixtures against their definition in extended precision, on every path."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from itssl.arrays import stream
from itssl.kernels import mixture_density
from itssl.kernels.mixture_density import DiagonalTerms, FullTerms, log_densities, log_sums
from itssl.kernels.threads import Scratch

EPS = float(np.finfo(float).eps)


def exponents_twin(x, log_weights, means, covs):
    """log w_j N(x_i; m_j, Σ_j): squares of whitened differences; where Σ is diagonal, in extended precision."""
    rows = []
    for log_weight, mean, cov in zip(log_weights, means, covs, strict=True):
        difference, diagonal = (x - mean).astype(np.longdouble), np.diagonal(cov)
        if np.count_nonzero(cov) == len(cov):
            squares = (difference**2 / diagonal).sum(axis=1)
        else:
            squares = (np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T) ** 2).sum(axis=0)
        rows.append(log_weight - (squares + np.linalg.slogdet(cov)[1] + len(cov) * np.log(2 * np.pi)) / 2)
    return np.stack(rows, axis=1).astype(float)


def problem(kind, seed, m, d, *, width=1.0, apart=1.0, offset=0.0, n=60) -> Any:
    """Terms of the kind, the same as weights, means and covariances, and points near the components."""
    rng = stream(seed, "mixture density", kind)
    log_weights, means = np.log(rng.dirichlet(np.ones(m))), offset + apart * rng.normal(size=(m, d))
    if kind == "full":
        factors = rng.normal(size=(m, d, d + 3)) * width / np.sqrt(d)
        covs = factors @ factors.transpose(0, 2, 1)
        terms = FullTerms(log_weights, means, np.linalg.cholesky(covs))
    else:
        variances = width**2 * rng.uniform(0.3, 3, size=(m, 1 if kind == "isotropic" else d))
        covs = variances[:, :, None] * np.eye(d)
        terms = DiagonalTerms.normal(log_weights, means, variances)
    x = means[rng.integers(m, size=n)] + width * rng.normal(size=(n, d))
    return terms, (log_weights, means, covs), x


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize(
    ("m", "d", "shape"),
    [
        (1, 1, {}),
        (7, 3, {}),
        (5, 40, {}),
        (30, 9, {"apart": 3.0}),
        (40, 2, {"width": 1e-3}),
        (7, 3, {"offset": 1000.0}),
        (7, 3, {"width": 1e-12, "apart": 1e-12}),
        (7, 3, {"width": 1e12, "apart": 1e12}),
        (4, 17, {"width": 1e-6, "offset": 1.0}),
    ],
)
def test_equals_the_definition(kind, m, d, shape, monkeypatch):
    terms, law, x = problem(kind, m + d, m, d, **shape)
    x = np.vstack([x, x[:3] + 1e3 * shape.get("width", 1.0)])  # far rows: log-densities of −1e6
    twin = exponents_twin(x, *law)
    # An error of eps·|x| in each coordinate counts 2·deviations/width times; 1e-11 is what the kernel promises.
    width = np.sqrt(np.linalg.eigvalsh(law[2]).min())
    size = np.abs(x - law[1].mean(axis=0)).max() + EPS * np.abs(x).max()
    rounding = 64 * EPS * d * (1 + np.abs(twin) + np.sqrt(2 * np.abs(twin)) * size / width) + 1e-11
    sums = np.asarray(logsumexp(twin, axis=1))
    for components, kept in ((256, 2**20), (3, 0)):
        monkeypatch.setattr(mixture_density, "_COMPONENTS", components)
        monkeypatch.setattr(mixture_density, "_KEPT", kept)
        fresh = type(terms)(*(getattr(terms, name) for name in terms.__dataclass_fields__))
        assert (np.abs(log_densities(x, fresh) - twin) <= rounding).all()
        assert (np.abs(log_sums(x, fresh) - sums) <= rounding.max(axis=1)).all()


def test_differences_where_products_lose_their_digits():
    """Components of width 1e-6 around 0 and 1: products alone would be off by 1e-4, differences are off by 1e-9."""
    rng = stream(0, "narrow")
    means = np.round(rng.normal(size=(6, 3)) * 1024) / 1024
    x = means[rng.integers(6, size=200)] + np.round(rng.normal(size=(200, 3)) * 1024) / 2**30  # differences are exact
    terms = DiagonalTerms.normal(np.zeros(6), means, np.full((6, 1), 1e-12))
    twin = exponents_twin(x, np.zeros(6), means, 1e-12 * np.eye(3) * np.ones((6, 1, 1)))
    assert np.abs(log_sums(x, terms) - logsumexp(twin, axis=1)).max() < 1e-9
    spread = rng.uniform(size=x.shape) * 1e-11
    added = spread.sum(axis=1) / 2e-12
    assert np.abs(log_sums(x, terms, spread) - logsumexp(twin, axis=1) + added).max() < 1e-9
    plain = terms.factors(0) @ terms.points(x, None, Scratch()).factors.T
    assert np.abs(plain.T - twin)[twin > -1e6].max() > 1e-6


def test_spread_is_the_expectation_over_draws():
    """E log w_j N(X; m_j, v_j) for X of mean x and variances s: −½ Σ s/v more than at x."""
    for kind in ("isotropic", "diagonal"):
        terms, law, x = problem(kind, 3, 7, 4, apart=3.0)
        spread = stream(0, "spread").uniform(0.1, 5, size=x.shape)
        variances = np.broadcast_to(terms.variances, terms.means.shape)
        twin = exponents_twin(x, *law) - (spread[:, None] / variances).sum(axis=2) / 2
        np.testing.assert_allclose(log_sums(x, terms, spread), np.asarray(logsumexp(twin, axis=1)), rtol=1e-13)


def test_weights_of_zero_count_for_nothing():
    terms, (log_weights, means, _), x = problem("isotropic", 1, 5, 3)
    none = np.where(np.arange(5) == 2, -np.inf, log_weights)
    kept = np.arange(5) != 2
    few = DiagonalTerms.normal(log_weights[kept], means[kept], terms.variances[kept])
    np.testing.assert_allclose(
        log_sums(x, DiagonalTerms.normal(none, means, terms.variances)), log_sums(x, few), rtol=1e-13
    )
    assert (log_sums(x, DiagonalTerms.normal(none - np.inf, means, terms.variances)) == -np.inf).all()


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_threads_and_inputs(kind):
    """Threads change no bit; points are read only."""
    terms, _, x = problem(kind, 0, 20, 6, n=1500)
    x.flags.writeable = False
    many = log_sums(x, terms)
    with threadpool_limits(limits=1):
        np.testing.assert_array_equal(many, log_sums(x, terms))
