"""What rectifiers leave of a Gaussian: each integral by a second route, its limits, and refusals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import entr
from scipy.stats import norm

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import monte_carlo
from itssl.networks.rectified_gaussians import fold_information, noisy_relu_entropy, relu_information

EPS = np.finfo(float).eps
QUAD = {"epsabs": 1e-12, "epsrel": 1e-12, "limit": 400}


def normal(x, mean=0.0, std=1.0):
    """The density, many times faster on single numbers than scipy's."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (np.sqrt(2 * np.pi) * std)


def kept(rho):
    return -0.5 * np.log1p(-(rho**2))


def binary_entropy(p):
    return float(entr(p) + entr(1 - p))


def off_divergence(rho, c):
    """D(Y | X ≤ c ‖ Y) with the law of Y given X ≤ c built by integrating over X."""

    def density(y):
        return quad(lambda x: normal(x) * normal(y, rho * x, np.sqrt(1 - rho**2)), -12, c)[0] / norm.cdf(c)

    def integrand(y):
        p = density(y)
        return p * np.log(p / normal(y)) if p > 0 else 0.0

    return quad(integrand, -9, 9, epsabs=1e-9, limit=200)[0]


@pytest.mark.parametrize(("rho", "c"), [(0.5, 0.0), (0.8, 0.0), (0.8, 0.7), (-0.6, -1.0)])
def test_relu_information_by_divergences_of_the_two_parts(rho, c):
    """I = P(off) D(off) + ∫_c^∞ φ(x) D(N(ρx, 1−ρ²) ‖ N(0, 1)) dx, to the 1e-9 of the nested quadrature."""
    on = quad(lambda x: normal(x) * (kept(rho) + 0.5 * rho**2 * (x**2 - 1)), c, 12, **QUAD)[0]
    slow = on + norm.cdf(c) * off_divergence(rho, c)
    assert relu_information(rho, c).value == pytest.approx(slow, abs=1e-8)


@pytest.mark.parametrize("rho", [0.3, 0.8, 0.95])
def test_fold_information_by_entropies(rho):
    """h(Y) − E h(Y | |X|): each conditional law is a mixture of two Gaussians, integrated on its own."""
    s = np.sqrt(1 - rho**2)

    def conditional(r):
        def integrand(y):
            p = 0.5 * (normal(y, rho * r, s) + normal(y, -rho * r, s))
            return -p * np.log(p) if p > 0 else 0.0

        return 2 * quad(integrand, 0, rho * r + 12 * s, points=[rho * r], **QUAD)[0]

    slow = norm.entropy() - quad(lambda r: 2 * normal(r) * conditional(r), 0, 10, **QUAD)[0]
    assert fold_information(rho).value == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("rho", [0.5, 0.9])
@pytest.mark.parametrize("c", [0.0, -0.8])
def test_relu_information_by_draws(rho, c):
    """E log p(y | z)/p(y) over draws of the pair, five standard errors."""

    def pointwise(n, rng):
        x = rng.standard_normal(n)
        y = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(n)
        on = norm.logpdf(y, rho * x, np.sqrt(1 - rho**2))
        off = norm.logpdf(y) + norm.logcdf((c - rho * y) / np.sqrt(1 - rho**2)) - norm.logcdf(c)
        return np.where(x > c, on, off) - norm.logpdf(y)

    sampled = monte_carlo(pointwise, stream(0, "relu information", str(rho), str(c)))
    assert abs(sampled.value - relu_information(rho, c).value) < 5 * sampled.standard_error


@settings(deadline=None, max_examples=40)
@given(rho=st.floats(-0.95, 0.95), c=st.floats(-3, 3))
def test_information_is_lost_and_even_in_the_correlation(rho, c):
    relu, fold = relu_information(rho, c), fold_information(rho)
    assert relu.value == pytest.approx(relu_information(-rho, c).value, abs=64 * EPS)
    assert fold.value == pytest.approx(fold_information(-rho).value, abs=64 * EPS)
    assert -64 * EPS <= relu.value <= kept(rho) + 64 * EPS
    assert -64 * EPS <= fold.value <= kept(rho) + 64 * EPS


def test_limits():
    """A threshold far below keeps everything, one far above nothing; of "is X > c" a bit at most is told."""
    assert relu_information(0.8, -9.0).value == pytest.approx(kept(0.8), abs=1e-12)
    assert relu_information(0.8, 9.0).value == pytest.approx(0, abs=1e-12)
    assert relu_information(0.0, 0.3).value == pytest.approx(0, abs=8 * EPS)
    assert fold_information(0.0).value == pytest.approx(0, abs=8 * EPS)
    # the sign that is lost is worth at most log 2, and at least what a guess of it from the sign of Y is worth
    rho = 0.99
    m = rho / np.sqrt(1 - rho**2)
    guess = quad(lambda x: 2 * normal(x) * binary_entropy(norm.sf(m * x)), 0, 10, points=[1 / m, 5 / m])[0]
    assert np.log(2) - guess < kept(rho) - fold_information(rho).value < np.log(2)


@pytest.mark.parametrize(("s", "c"), [(0.05, 0.0), (0.2, 0.5), (0.2, -1.5), (2.0, 1.0)])
def test_noisy_relu_entropy_by_convolution(s, c):
    """−∫ p log p with p(z) = Φ(c) N(z; 0, σ²) + ∫_0^∞ φ(a + c) N(z; a, σ²) da by nested quadrature."""

    def density(z):
        a, b = max(0.0, z - 12 * s), max(0.0, z + 12 * s)
        line = quad(lambda a: normal(a + c) * normal(z, a, s), a, b, points=[max(z, 0.0)], epsabs=1e-13)[0]
        return norm.cdf(c) * normal(z, 0, s) + line

    def integrand(z):
        p = density(z)
        return -p * np.log(p) if p > 0 else 0.0

    ends = [-11 * s, -3 * s, 0, 3 * s, 11 * s, max(11 * s, 0) + 9 * np.hypot(1, s) + max(-c, 0)]
    slow = sum(quad(integrand, a, b, epsabs=1e-11)[0] for a, b in pairwise(ends))
    assert noisy_relu_entropy(s, c).value == pytest.approx(slow, abs=1e-8)


def test_noisy_relu_entropy_falls_with_the_mass_of_the_atom():
    """Without noise the entropy is −∞: it falls by Φ(c) nats for each nat of log σ."""
    for c in (0.0, -1.0):
        entropies = [noisy_relu_entropy(s, c).value for s in (1e-2, 1e-3, 1e-4)]
        off = np.abs(-np.diff(entropies) / np.log(10) - norm.cdf(c))
        # where atom and line meet, a width of order σ is mixed: σ log² σ falls by 10 (2/3)² to 10 (3/4)² a step
        assert off[1] < off[0] / 4
        assert off[1] < 1e-3 * np.log(1e-3) ** 2


@pytest.mark.parametrize(
    ("ask", "error", "part"),
    [
        (lambda: relu_information(1.0), LawError, "correlation: expected a number in"),
        (lambda: fold_information(-1.0), LawError, "correlation"),
        (lambda: relu_information(0.5, np.inf), LawError, "threshold: expected a finite number"),
        (lambda: noisy_relu_entropy(0.0), ParameterError, "std"),
        (lambda: noisy_relu_entropy(0.1, np.nan), LawError, "threshold"),
        (lambda: noisy_relu_entropy(1e-9), LawError, "quadrature: did not settle"),
        (lambda: fold_information(1 - 1e-9), LawError, "quadrature: did not settle"),
    ],
)
def test_refusals(ask, error, part):
    with pytest.raises(error, match=part):
        ask()
