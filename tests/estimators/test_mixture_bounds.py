"""Bounds on mixtures of any widths: definitions by integrals, order against Monte Carlo, best α, memory-light paths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from itssl import Gaussian, GaussianMixture, pairwise_entropy_bounds
from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import LawError, kl_divergence
from itssl.estimators import mixture_bounds
from itssl.estimators.mixture_bounds import DiagonalComponents, huber_bounds, kolchinsky_tracey_bounds

EPS = np.finfo(float).eps


def random_mixture(seed, m, d, kind):
    """Components overlapping more or less, of one shape of covariance; the diagonal kinds without their matrices."""
    rng = stream(seed, "mixture", d)
    weights = rng.dirichlet(np.full(m, 2.0))
    weights /= weights.sum()
    means = rng.normal(size=(m, d)) * np.exp(rng.uniform(-1, 2)) / np.sqrt(d)
    if kind == "full":
        roots = np.eye(d) + rng.normal(size=(m, d, d)) * rng.uniform(0, 1) / np.sqrt(d)
        return GaussianMixture(weights, means, roots @ roots.transpose(0, 2, 1) + 0.05 * np.eye(d))
    shape = {"isotropic": (m, 1), "diagonal": (m, d), "common": (1, d)}[kind]
    variances = np.exp(rng.normal(size=shape) * rng.uniform(0, 1) / (1 if kind == "common" else np.sqrt(d)))
    return DiagonalComponents(weights, means, np.broadcast_to(variances, (m, d)).copy())


def as_law(mixture):
    if isinstance(mixture, GaussianMixture):
        return mixture
    covs = mixture.variances[:, :, None] * np.eye(mixture.dim)
    return GaussianMixture(mixture.weights, mixture.means, covs)


def bounds_twin(law, alpha):
    """Kolchinsky & Tracey, one pair at a time; C_α as −log ∫ p^α q^{1−α} by completing the square in precisions."""
    gaussians = [Gaussian(mean, cov) for mean, cov in zip(law.means, law.covs, strict=True)]

    def chernoff(p, q):
        a, b = alpha * np.linalg.inv(p.cov), (1 - alpha) * np.linalg.inv(q.cov)
        center = np.linalg.solve(a + b, a @ p.mean + b @ q.mean)
        rest = p.mean @ a @ p.mean + q.mean @ b @ q.mean - center @ (a + b) @ center
        log_det = np.linalg.slogdet(a + b)[1] + alpha * p.log_det + (1 - alpha) * q.log_det
        return 0.5 * (rest + log_det)

    def total(divergence):
        d = np.array([[divergence(p, q) for q in gaussians] for p in gaussians])
        entropies = np.array([g.entropy.value for g in gaussians])
        return law.weights @ (entropies - logsumexp(-d + np.log(law.weights), axis=1))

    return total(chernoff), total(lambda p, q: kl_divergence(p, q).value)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    m=st.integers(1, 5),
    d=st.integers(1, 4),
    kind=st.sampled_from(["full", "diagonal", "isotropic", "common"]),
    alpha=st.floats(0.05, 0.95),
)
def test_every_path_equals_the_definition(seed, m, d, kind, alpha):
    mixture = random_mixture(seed, m, d, kind)
    law = as_law(mixture)
    # Differences of squares of size ‖μ‖²/var lose eps times it; both are below e^4/0.02 here.
    error = 1e4 * EPS * (1 + np.square(law.means).sum(axis=1).max() / np.linalg.eigvalsh(law.covs).min())
    twin = bounds_twin(law, alpha)
    np.testing.assert_allclose(kolchinsky_tracey_bounds(mixture, alpha=alpha), twin, atol=error)
    np.testing.assert_allclose(kolchinsky_tracey_bounds(law, alpha=alpha), twin, atol=error)
    np.testing.assert_allclose(huber_bounds(mixture), huber_bounds(law), atol=error)


@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize("d", [2, 7])
def test_divergences_of_narrow_matrices_keep_their_digits(width, d):
    """One direction of every component is narrow, and the same for all: D is of size one whatever the width is.

    A change of units of that direction changes no divergence; ‖Σ_j⁻¹‖ ‖Σ_i‖ grows to 10²⁰.
    """
    rng = stream(0, "narrow", d)
    means, roots = rng.normal(size=(9, d)), np.eye(d) + 0.2 * rng.normal(size=(9, d, d))
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] if width > 1e-9 else np.eye(d)
    to = np.diag(np.r_[np.ones(d - 1), width]) @ turn
    weights, covs = np.full(9, 1 / 9), roots @ roots.transpose(0, 2, 1)
    maps = (np.eye(d), turn.T @ to)
    parts = [mixture_bounds._Parts(weights, means @ to.T, to @ covs @ to.T, np.zeros(9)) for to in maps]
    plain, narrow = (
        mixture_bounds._kl_divergences(p, mixture_bounds._Precisions.of(p.covs), slice(2, 9)) for p in parts
    )
    lost = 1e3 * d * EPS * (width**-2 if width > 1e-9 else 1.0)  # turned, the digits are gone with the condition
    np.testing.assert_allclose(narrow, plain, atol=lost, rtol=lost)
    for i, j in ((2, 0), (8, 3)):
        p, q = (Gaussian(means[k], roots[k] @ roots[k].T) for k in (i, j))
        expected = kl_divergence(p, q).value - 0.5 * (q.log_det - p.log_det)
        assert plain[i - 2, j] == pytest.approx(expected, abs=1e3 * d * EPS)


def test_chernoff_divergence_is_the_integral():
    """By the trapezoidal rule over ±15 (geometric convergence): C_α of two normals enters the bound of two halves."""
    law = GaussianMixture(np.array([0.3, 0.7]), np.array([[0.0], [1.5]]), np.array([[[1.0]], [[0.3]]]))
    x = np.linspace(-15, 15, 4001)[:, None]
    p, q = (np.exp(g.log_density(x)) for g in law.components)
    for alpha in (0.2, 0.5, 0.8):
        c_pq = -np.log((p**alpha * q ** (1 - alpha)).sum() * (x[1, 0] - x[0, 0]))
        c_qp = -np.log((q**alpha * p ** (1 - alpha)).sum() * (x[1, 0] - x[0, 0]))
        w = law.weights
        sums = np.array([w[0] + w[1] * np.exp(-c_pq), w[1] + w[0] * np.exp(-c_qp)])
        entropies = np.array([g.entropy.value for g in law.components])
        found = kolchinsky_tracey_bounds(law, alpha=alpha).lower
        assert found == pytest.approx(w @ (entropies - np.log(sums)), abs=1e-12)


def test_huber_is_the_definition():
    law = as_law(random_mixture(3, 4, 3, "full"))
    sums = [
        np.log(
            sum(
                w * np.exp(Gaussian(mean, cov + own).log_density(center[None])[0])
                for w, mean, cov in zip(law.weights, law.means, law.covs, strict=True)
            )
        )
        for center, own in zip(law.means, law.covs, strict=True)
    ]
    lower, upper = huber_bounds(law)
    assert lower == pytest.approx(-law.weights @ sums, abs=1e-12)
    entropies = np.array([g.entropy.value for g in law.components])
    assert upper == pytest.approx(law.weights @ (entropies - np.log(law.weights)), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 2))
def test_order_against_quadrature(seed, d):
    """Lower ≤ best α ≤ h ≤ upper ≤ Huber's upper, h by quadrature to 1e-10."""
    rng = stream(seed, "order")
    m = int(rng.integers(1, 5))
    covs = np.array([np.diag(rng.uniform(0.5, 2, size=d)) for _ in range(m)])
    law = GaussianMixture(np.full(m, 1 / m), rng.normal(size=(m, d)) * rng.uniform(0, 5), covs)
    truth, slack = law.entropy_by_quadrature(relative_tolerance=1e-9).value, 1e-8
    half, best, huber = kolchinsky_tracey_bounds(law), kolchinsky_tracey_bounds(law, alpha="optimal"), huber_bounds(law)
    assert half.lower <= best.lower <= truth + slack
    assert huber.lower <= truth + slack
    assert truth <= best.upper + slack
    assert best.upper <= huber.upper + slack


@pytest.mark.parametrize("kind", ["full", "diagonal", "isotropic", "common"])
def test_best_alpha(kind):
    """Against a fine grid; the bound is concave in α, and ½ is best when the covariance is common."""
    mixture = random_mixture(5, 4, 2, kind)
    grid = np.linspace(0.01, 0.99, 99)
    values = np.array([kolchinsky_tracey_bounds(mixture, alpha=float(a)).lower for a in grid])
    best = kolchinsky_tracey_bounds(mixture, alpha="optimal").lower
    assert best >= values.max() - 1e-12
    assert best <= values.max() + 1e-3  # the grid's step
    assert (np.diff(values, 2) <= 1e-12).all()
    if kind == "common":
        assert best == kolchinsky_tracey_bounds(mixture).lower
        assert grid[values.argmax()] == pytest.approx(0.5)


def test_equals_the_bounds_around_rows():
    z = stream(0, "rows").normal(size=(40, 3))
    var = np.array([0.2, 1.0, 3.0])
    weights = np.full(40, 1 / 40)
    mixture = DiagonalComponents(weights, z, np.broadcast_to(var, z.shape))
    np.testing.assert_allclose(kolchinsky_tracey_bounds(mixture), pairwise_entropy_bounds(z, var=var), atol=1e3 * EPS)


@pytest.mark.parametrize("kind", ["full", "diagonal", "isotropic"])
def test_tiles_do_not_show(kind, monkeypatch):
    mixture = random_mixture(7, 9, 3, kind)
    whole = [*kolchinsky_tracey_bounds(mixture, alpha=0.3), *huber_bounds(mixture)]
    monkeypatch.setattr(mixture_bounds, "_TILE", 20)
    tiled = [*kolchinsky_tracey_bounds(mixture, alpha=0.3), *huber_bounds(mixture)]
    np.testing.assert_allclose(tiled, whole, rtol=1e3 * EPS)


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_many_dimensions_of_any_widths(spread):
    """Determinants of 900 diagonal entries, whose product is no float, against sums of logarithms."""
    rng = stream(9, "many dimensions")
    means, variances = rng.normal(size=(3, 900)), np.exp(spread * rng.uniform(-1, 1, size=(3, 900)))
    lower = huber_bounds(DiagonalComponents(np.full(3, 1 / 3), means, variances)).lower
    both = variances[:, None] + variances
    squares = ((means[:, None] - means) ** 2 / both + np.log(2 * np.pi * both)).sum(axis=2)
    twin = -np.asarray(logsumexp(-squares / 2 - np.log(3), axis=1)).mean()
    assert lower == pytest.approx(twin, rel=1e3 * EPS)


def test_exact_when_clustered_or_equal():
    apart = as_law(random_mixture(1, 3, 2, "full"))
    apart = GaussianMixture(apart.weights, 100 * np.eye(3, 2) - 100, apart.covs)
    together = GaussianMixture(apart.weights, np.zeros((3, 2)), np.broadcast_to(np.eye(2), (3, 2, 2)))
    for law in (apart, together):
        lower, upper = kolchinsky_tracey_bounds(law)
        assert upper - lower == pytest.approx(0, abs=1e3 * EPS)
    assert upper == pytest.approx(np.log(2 * np.pi * np.e), abs=1e3 * EPS)
    assert huber_bounds(together).lower == pytest.approx(np.log(2 * np.pi * np.e) - (1 - np.log(2)), abs=1e3 * EPS)


@pytest.mark.parametrize("kind", ["common", "isotropic", "diagonal"])
def test_large_mixtures_keep_their_memory(kind):
    """2000 components in 100 dimensions would need 160 MB as matrices; extreme widths overflow nowhere."""
    mixture = random_mixture(0, 2000 if kind != "diagonal" else 300, 100, kind)
    lower, upper = kolchinsky_tracey_bounds(mixture)
    assert np.isfinite([lower, upper]).all()
    assert lower <= upper
    extreme = DiagonalComponents(
        np.full(3, 1 / 3), np.zeros((3, 1000)), np.array([1e-150, 1.0, 1e150])[:, None] * np.ones((3, 1000))
    )
    assert np.isfinite([*kolchinsky_tracey_bounds(extreme, alpha="optimal"), *huber_bounds(extreme)]).all()


def posterior_entropies(mixture, n, rng):
    """H(C | X = x) at n draws of x, and their mean's relation to h: h(X) = Σ c h(p_c) + H(C) − E H(C|X)."""
    m, d = mixture.means.shape
    labels = rng.choice(m, size=n, p=mixture.weights)
    noise = rng.normal(size=(n, d))
    if isinstance(mixture, GaussianMixture):
        logs = mixture.component_log_densities(mixture.sample_given(labels, rng))
    else:
        x = mixture.means[labels] + np.sqrt(mixture.variances[labels]) * noise
        logs = np.stack(
            [
                -0.5 * (np.square(x - mean) / var + np.log(2 * np.pi * var)).sum(axis=1)
                for mean, var in zip(mixture.means, mixture.variances, strict=True)
            ],
            axis=1,
        )
    logs = logs + np.log(mixture.weights)
    logs -= logsumexp(logs, axis=1, keepdims=True)
    return -(np.exp(logs) * logs).sum(axis=1)


def bernstein(values, largest, odds):
    """Empirical Bernstein bound (Maurer & Pontil 2009): the mean of [0, largest] is within it but for 2·odds."""
    n, log = len(values), np.log(2 / odds)
    return np.sqrt(2 * values.var(ddof=1) * log / n) + 7 * largest * log / (3 * (n - 1))


def bracket_random_mixtures(count):
    """On 2·count sides, each allowed to fail with probability 1e-8 although the bound holds."""
    tight = 0
    for seed in range(count):
        rng = stream(seed, "random mixtures")
        d = round(np.exp(rng.uniform(0, np.log(1000))))
        kind = str(rng.choice(["full", "diagonal", "isotropic", "common"])) if d <= 60 else "diagonal"
        mixture = random_mixture(seed, int(rng.integers(2, 7)), d, kind)
        draws = posterior_entropies(mixture, 4000 if d <= 300 else 1000, rng)
        # Subtracting Σ c h(p_c) + H(C), that is Huber's upper bound, leaves a bounded variable.
        huber = huber_bounds(mixture)
        lower, upper = (b - huber.upper for b in kolchinsky_tracey_bounds(mixture, alpha="optimal"))
        error = bernstein(draws, np.log(len(mixture.weights)), 1e-8)
        rounding = 1e4 * EPS * (1 + abs(huber.upper))
        assert lower <= -draws.mean() + error + rounding, (seed, d, kind)
        assert -draws.mean() <= upper + error + rounding, (seed, d, kind)
        assert huber.lower - huber.upper <= -draws.mean() + error + rounding, (seed, d, kind)
        assert lower >= -np.log(len(mixture.weights)) - rounding
        tight += upper - lower > 2 * error
    return tight / count


def test_bracket_random_mixtures_up_to_a_thousand_dimensions():
    """In many of them the bounds are farther apart than twice the error, so that they could have failed."""
    assert bracket_random_mixtures(100) > 0.3


@pytest.mark.slow
def test_bracket_a_thousand_random_mixtures():
    """Ten times the draws of the test above."""
    assert bracket_random_mixtures(1000) > 0.3


def test_sizes_whose_squares_overflow():
    """Matrices of 1e150 at condition 1e6: what is known without a unit shifts by d log 1e75."""
    rng = stream(0, "wide matrices")
    turned = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(4)]
    covs = np.array([(q * [1.0, 1e-3, 1e-6]) @ q.T for q in turned])
    means = rng.normal(size=(4, 3))
    usual = kolchinsky_tracey_bounds(GaussianMixture(np.full(4, 0.25), means, covs))
    wide = kolchinsky_tracey_bounds(GaussianMixture(np.full(4, 0.25), 1e75 * means, 1e150 * covs))
    shift = 3 * np.log(1e75)
    np.testing.assert_allclose(wide, np.add(usual, shift), rtol=1e6 * 64 * np.finfo(float).eps)


def test_bad_parameters():
    mixture = random_mixture(0, 2, 2, "diagonal")
    for alpha in (0.0, 1.0, -0.5, np.nan):
        with pytest.raises(ParameterError, match="alpha: expected"):
            kolchinsky_tracey_bounds(mixture, alpha=alpha)
    with pytest.raises(LawError, match="weights: expected positive"):
        DiagonalComponents(np.array([0.5, 0.6]), np.zeros((2, 1)), np.ones((2, 1)))
    with pytest.raises(LawError, match="variances: expected finite"):
        DiagonalComponents(np.array([0.5, 0.5]), np.zeros((2, 1)), np.array([[1.0], [0.0]]))
    for far in (np.nan, 1e200):
        with pytest.raises(LawError, match="means: expected finite"):
            DiagonalComponents(np.array([0.5, 0.5]), np.array([[0.0], [far]]), np.ones((2, 1)))
