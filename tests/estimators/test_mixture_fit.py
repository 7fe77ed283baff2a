"""Mixtures by maximum likelihood: a plain EM twin, fixed point, monotone likelihood, criteria, units, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from itssl import GaussianMixture
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimators import mixture_fit
from itssl.estimators.mixture_fit import fit_mixture, fitted, parameter_count, require_components
from itssl.estimators.standardization import canonical_order, standardized

EPS = np.finfo(float).eps
LAW = GaussianMixture(
    np.array([0.6, 0.4]),
    np.array([[-2.0, 0.0], [2.0, 1.0]]),
    np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 1.5]]]),
)


def em_step(law, x, diagonal=False):
    """One step of expectation and maximization, from the definition."""
    logs = np.array([g.log_density(x) for g in law.components]).T + np.log(law.weights)
    shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    sizes = shares.sum(axis=0)
    means = shares.T @ x / sizes[:, None]
    covs = np.array([(r[:, None] * (x - m)).T @ (x - m) / s for r, m, s in zip(shares.T, means, sizes, strict=True)])
    return GaussianMixture(sizes / len(x), means, covs * np.eye(x.shape[1]) if diagonal else covs)


def likelihood(law, x):
    return float(law.log_density(x).mean())


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_fit_is_a_fixed_point_of_the_definition(covariance):
    """No step gains more than the tolerance of 1e-6 nats a row; 100 more gain a tenth of the bias p/(2n) at most."""
    x = LAW.sample(400, stream(0, "fixed"))
    found = fit_mixture(x, components=2, covariance=covariance)
    step = em_step(found, x, covariance == "diagonal")
    gain = likelihood(step, x) - likelihood(found, x)
    assert -1e-9 < gain < 2e-6  # not below zero: EM never loses, but for the ridge of 1e-10
    np.testing.assert_allclose(step.weights, found.weights, atol=1e-3)
    np.testing.assert_allclose(step.means, found.means, atol=1e-2)
    law = found
    for _ in range(100):
        law = em_step(law, x, covariance == "diagonal")
    assert likelihood(law, x) - likelihood(found, x) < parameter_count(2, 2, covariance) / (2 * 400) / 10


def test_fit_is_as_likely_as_a_plain_search_from_the_truth():
    """EM from the law itself ends in the same maximum: a twin without k-means, whitening and standardizing.

    Where the mean log-likelihood is δ below its maximum, a mean is off by √(2δ/w) deviations, a covariance by √2 times
    that; the components overlap, which flattens the maximum: twice as much.
    """
    x = LAW.sample(300, stream(1, "plain"))
    law = LAW
    for _ in range(300):
        law = em_step(law, x)
    found = fit_mixture(x, components=2)
    delta, var = 1e-5, float(np.linalg.eigvalsh(law.covs).max())
    assert likelihood(found, x) == pytest.approx(likelihood(law, x), abs=delta)
    off = 2 * np.sqrt(2 * delta / law.weights.min())
    np.testing.assert_allclose(found.means, law.means, atol=off * np.sqrt(var))
    np.testing.assert_allclose(found.covs, law.covs, atol=off * np.sqrt(2) * var)


@pytest.mark.parametrize("seed", [4, 15, 29, 30, 31])
def test_clusters_in_a_row_are_found(seed):
    """Two starts from k-means, which cuts the whitened rows across, ended 0.4 nats a row below the truth."""
    law = GaussianMixture.isotropic(np.array([[0.0, 0.0], [5.0, 5.0], [10.0, 10.0]]), 1.0)
    x = law.sample(500, stream(seed, "starts", 500, 2))
    assert likelihood(fit_mixture(x, components=3), x) > likelihood(law, x)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(12, 60),
    d=st.integers(1, 3),
    covariance=st.sampled_from(["full", "diagonal"]),
)
def test_one_component_has_the_sample_moments(seed, n, d, covariance):
    x = stream(seed, "moments").normal(size=(n, d)) @ (np.eye(d) + 0.3) * 10.0 ** (seed % 7 - 3) + seed % 5
    found = fit_mixture(x, components=1, covariance=covariance)
    cov = np.cov(x.T, bias=True).reshape(d, d)
    size = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    np.testing.assert_allclose(found.means[0], x.mean(axis=0), atol=1e-9 * np.sqrt(size.max()) + 1e4 * EPS)
    expected = cov if covariance == "full" else cov * np.eye(d)
    np.testing.assert_allclose(found.covs[0] / size, expected / size, atol=1e-8)  # the ridge is 1e-10
    assert found.weights == pytest.approx([1.0])


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), covariance=st.sampled_from(["full", "diagonal"]))
def test_the_law_follows_units_location_and_order(seed, power, covariance):
    """x → ax + b moves means and covariances along; full covariances follow any linear map. EM stops within 1e-6."""
    rng = stream(seed, "units")
    x = LAW.sample(120, rng)
    a = 10.0 ** np.array([power, -power])
    b = a * rng.normal(size=2)
    one, other = (fit_mixture(z, components=2, covariance=covariance) for z in (x, (x * a + b)[rng.permutation(120)]))
    np.testing.assert_allclose(other.weights, one.weights, atol=1e-5)
    np.testing.assert_allclose((other.means - b) / a, one.means, atol=1e-4)
    np.testing.assert_allclose(other.covs / np.outer(a, a), one.covs, atol=1e-4)


def test_coordinates_go_back_to_the_rows():
    """rows @ back + mean is x in the order asked for; full: unit covariance; diagonal: x itself."""
    x = standardized(LAW.sample(50, stream(2, "rows")))
    order = canonical_order(x)
    for covariance in ("full", "diagonal"):
        fit = fitted(x, 1, 1, covariance, order=order)
        np.testing.assert_allclose(fit.rows @ fit.back + x.mean(axis=0), x[order], atol=1e4 * EPS)
        if covariance == "full":
            np.testing.assert_allclose(np.cov(fit.rows.T), np.eye(2), atol=1e4 * EPS)
        else:
            np.testing.assert_array_equal(fit.rows, x[order])
        assert fit.converged


def test_components_come_in_the_order_of_their_weights():
    law = fit_mixture(LAW.sample(300, stream(3, "order")), components=3)
    assert (np.diff(law.weights) <= 0).all()
    assert law.weights.sum() == pytest.approx(1, abs=8 * EPS)
    np.testing.assert_array_equal(law.covs, law.covs.transpose(0, 2, 1))


@pytest.mark.parametrize(("m", "d"), [(1, 1), (2, 3), (4, 5)])
def test_parameters_are_counted(m, d):
    """Weights on a simplex, means, entries on and below the diagonal (on it)."""
    full = (m - 1) + m * d + m * len(np.tril_indices(d)[0])
    assert parameter_count(m, d, "full") == full
    assert parameter_count(m, d, "diagonal") == (m - 1) + 2 * m * d


def test_bic_takes_the_least_criterion():
    """By fits of each size: −2 log L + p log n, of laws in the units of x."""
    x = LAW.sample(250, stream(4, "bic"))
    chosen = len(fit_mixture(x, max_components=4).weights)
    criteria = [
        -2 * 250 * likelihood(fit_mixture(x, components=m), x) + parameter_count(m, 2, "full") * np.log(250)
        for m in range(1, 5)
    ]
    assert chosen == 1 + int(np.argmin(criteria)) == 2


@pytest.mark.slow
def test_bic_is_not_akaikes_criterion():
    """On 15 Gaussian samples of 60 rows the number has the least BIC (to the search's tolerance); least AIC differs.

    Of those whose components all hold more than d + 1 rows: the others are not chosen, whatever their likelihood.
    """
    differs = 0
    for seed in range(15):
        x = stream(seed, "not aic").normal(size=(60, 1))
        fits = [fit_mixture(x, components=m) for m in (1, 2, 3)]
        gains = np.array([likelihood(law, x) if 60 * law.weights.min() > 2 else -np.inf for law in fits])
        sizes = np.array([parameter_count(m, 1, "full") for m in (1, 2, 3)])
        bic, aic = -gains + sizes * np.log(60) / 120, -gains + sizes / 60
        chosen = len(fit_mixture(x, max_components=3).weights) - 1
        assert bic[chosen] <= bic.min() + 1e-2
        differs += aic[chosen] > aic.min() + 1e-2
    assert differs > 0


def test_held_out_halves_are_the_definition():
    """Minus the mean log-likelihood of either half under the fit to the other, in the coordinates given."""
    x = LAW.sample(201, stream(5, "held out"))
    for m in (1, 2, 3):
        order = stream(0, "held-out halves", 201).permutation(201)
        one, two = x[np.sort(order[::2])], x[np.sort(order[1::2])]
        assert len(one) + len(two) == 201
        scores = [mixture_fit._search(a, m, "full").score(b) for a, b in ((one, two), (two, one))]
        assert mixture_fit._held_out(x, m, "full") == pytest.approx(-np.mean(scores), rel=1e3 * EPS)
    assert mixture_fit._held_out(x[:10], 2, "full") == np.inf  # 5 rows a half for 11 parameters


def test_held_out_likelihood_estimates_the_cross_entropy():
    """One component in one dimension: E = h + (2 parameters)/(2·n/2) to order 1/n; 2000 halves of 100 rows by formula.

    For N(x̄, s²) fitted to k rows the mean of −log p̂ on new ones is ½ log 2πs² + (1 + x̄²)/(2s²), for σ = 1.
    """
    rng, k = stream(6, "cross"), 50
    found = np.array([mixture_fit._held_out(rng.normal(size=(2 * k, 1)), 1, "full") for _ in range(150)])
    rows = rng.normal(size=(100000, k))
    mean, var = rows.mean(axis=1), rows.var(axis=1)
    exact = 0.5 * np.log(2 * np.pi * var) + (1 + mean**2) / (2 * var)
    assert found.mean() == pytest.approx(exact.mean(), abs=4 * found.std() / np.sqrt(150))


@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_number_of_components(criterion):
    """Far apart every criterion finds three, and stops the search by its patience."""
    law = GaussianMixture.isotropic(np.array([[-10.0, 0.0], [0.0, 10.0], [10.0, 0.0]]), 1.0)
    found = fit_mixture(law.sample(300, stream(7, criterion)), components=criterion)
    assert len(found.weights) == 3
    np.testing.assert_allclose(found.means[np.argsort(found.means[:, 0])], law.means, atol=6 * 1 / np.sqrt(100))
    few = fit_mixture(law.sample(300, stream(7, criterion)), components=criterion, max_components=2)
    assert len(few.weights) == 2


def test_ties_and_repeated_runs():
    """Fewer different rows than components: still a law, without a warning, and the same one again."""
    x = np.repeat(np.array([[0.0], [1.0], [4.0]]), 10, axis=0)
    one, other = (fit_mixture(x, components=3) for _ in range(2))
    assert np.isfinite(one.covs).all()
    np.testing.assert_array_equal(one.means, other.means)


def test_input_is_left_alone():
    x = LAW.sample(60, stream(8, "input")).astype(np.float32)
    before = x.copy()
    x.flags.writeable = False
    state = str(np.random.get_state())  # noqa: NPY002
    fit_mixture(x, components=2)
    np.testing.assert_array_equal(x, before)
    assert str(np.random.get_state()) == state  # noqa: NPY002


def test_bad_input():
    x = LAW.sample(30, stream(9, "bad"))
    for components in (0, -1, 2.5, True):
        with pytest.raises(ParameterError, match="components"):
            require_components(components)
    assert require_components(np.int64(2)) == 2
    with pytest.raises(UnknownNameError, match="did you mean 'held_out'"):
        require_components("heldout")
    with pytest.raises(ParameterError, match="max_components"):
        fit_mixture(x, max_components=0)
    with pytest.raises(SampleError, match=r"x: expected more rows than the 35 parameters of 6 component\(s\)"):
        fit_mixture(x, components=6)
    with pytest.raises(SampleError, match=r"x: .*constant"):
        fit_mixture(np.c_[x, np.ones(30)])
    with pytest.raises(SampleError, match="linearly independent columns"):
        fit_mixture(np.c_[x, x.sum(axis=1)])
    assert fit_mixture(np.c_[x, x.sum(axis=1)], components=1, covariance="diagonal").dim == 3
    with pytest.raises(SampleError, match="finite"):
        fit_mixture(np.vstack([x, [[np.inf, 0.0]]]))
