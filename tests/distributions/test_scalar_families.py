"""Scalar families: entropies by textbook formula, quadrature and scipy; densities, supports, draws, refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from line_quadrature import drawn_law, integral, line_rule, rounding
from scipy import stats
from scipy.special import betaln, exp1, gamma, gammaln, iv
from scipy.special import psi as ψ

from itssl.arrays import stream
from itssl.distributions.gaussian import LawError
from itssl.distributions.scalar_families import scalar_families
from itssl.testing.strategies import scalar_laws

EPS = np.finfo(float).eps
γ = np.euler_gamma
log, pi = np.log, np.pi
FAMILIES = scalar_families()

# Entropies as the literature prints them (Lazo & Rathie 1978; Cover & Thomas 2006, table 17.1)
TEXTBOOK = {
    "exponential": lambda: 1,
    "gamma": lambda shape: shape + gammaln(shape) + (1 - shape) * ψ(shape),
    "chi_squared": lambda degrees: degrees / 2 + log(2 * gamma(degrees / 2)) + (1 - degrees / 2) * ψ(degrees / 2),
    "chi": lambda degrees: gammaln(degrees / 2) + 0.5 * (degrees - log(2) - (degrees - 1) * ψ(degrees / 2)),
    "half_normal": lambda: 0.5 * log(pi * np.e / 2),
    "rayleigh": lambda: 1 + γ / 2 - 0.5 * log(2),
    "maxwell": lambda: γ + 0.5 * log(2 * pi) - 0.5,
    "nakagami": lambda shape: shape + log(gamma(shape) / (2 * np.sqrt(shape))) - (shape - 0.5) * ψ(shape),
    "weibull": lambda shape: 1 + γ * (1 - 1 / shape) - log(shape),
    "generalized_gamma": lambda shape, power: shape + gammaln(shape) - log(power) + (1 / power - shape) * ψ(shape),
    "inverse_gamma": lambda shape: shape + gammaln(shape) - (1 + shape) * ψ(shape),
    "frechet": lambda shape: 1 + γ * (1 + 1 / shape) - log(shape),
    "levy": lambda: 0.5 * (1 + 3 * γ + log(16 * pi)),
    "laplace": lambda: 1 + log(2),
    "generalized_normal": lambda power: 1 / power + log(2 * gamma(1 / power) / power),
    "double_gamma": lambda shape: shape + log(2 * gamma(shape)) + (1 - shape) * ψ(shape),
    "gumbel": lambda: 1 + γ,
    "log_gamma": lambda shape: gammaln(shape) + shape * (1 - ψ(shape)),
    "normal": lambda: 0.5 * log(2 * pi * np.e),
    "log_normal": lambda log_std: 0.5 * log(2 * pi * np.e) + log(log_std),
    "uniform": lambda: 0,
    "beta": lambda a, b: betaln(a, b) - (a - 1) * ψ(a) - (b - 1) * ψ(b) + (a + b - 2) * ψ(a + b),
    "arcsine": lambda: log(pi / 4),
    "kumaraswamy": lambda a, b: 1 - 1 / b + (1 - 1 / a) * (ψ(b + 1) + γ) - log(a * b),
    "power_function": lambda shape: 1 - 1 / shape - log(shape),
    "pareto": lambda shape: 1 + 1 / shape - log(shape),
    "semicircle": lambda: log(pi) - 0.5,
    "beta_prime": lambda a, b: betaln(a, b) - (a - 1) * ψ(a) - (b + 1) * ψ(b) + (a + b) * ψ(a + b),
    "fisher_f": lambda degrees_above, degrees_below: (
        log(degrees_below / degrees_above) + TEXTBOOK["beta_prime"](degrees_above / 2, degrees_below / 2)
    ),
    "log_logistic": lambda shape: 2 - log(shape),
    "burr": lambda power, shape: 1 + 1 / shape - log(power * shape) + (1 / power - 1) * (-γ - ψ(shape)),
    "lomax": lambda shape: 1 + 1 / shape - log(shape),
    "student": lambda degrees: (
        (degrees + 1) / 2 * (ψ((degrees + 1) / 2) - ψ(degrees / 2)) + 0.5 * log(degrees) + betaln(degrees / 2, 0.5)
    ),
    "cauchy": lambda: log(4 * pi),
    "logistic": lambda: 2,
    "generalized_logistic": lambda a, b: betaln(a, b) + (a + b) * ψ(a + b) - a * ψ(a) - b * ψ(b),
    "hyperbolic_secant": lambda: log(2 * pi),
    "triangular": lambda mode: 0.5 - log(2),
    "inverse_gaussian": lambda mean: 0.5 * log(2 * pi * np.e) + 1.5 * (log(mean) - np.exp(2 / mean) * exp1(2 / mean)),
    "von_mises": lambda concentration: (
        log(2 * pi * iv(0, concentration)) - concentration * iv(1, concentration) / iv(0, concentration)
    ),
}

SCIPY = {
    "exponential": lambda: stats.expon(),
    "gamma": lambda shape: stats.gamma(shape),
    "chi_squared": lambda degrees: stats.chi2(degrees),
    "chi": lambda degrees: stats.chi(degrees),
    "half_normal": lambda: stats.halfnorm(),
    "rayleigh": lambda: stats.rayleigh(),
    "maxwell": lambda: stats.maxwell(),
    "nakagami": lambda shape: stats.nakagami(shape),
    "weibull": lambda shape: stats.weibull_min(shape),
    "generalized_gamma": lambda shape, power: stats.gengamma(shape, power),
    "inverse_gamma": lambda shape: stats.invgamma(shape),
    "frechet": lambda shape: stats.invweibull(shape),
    "levy": lambda: stats.levy(),
    "laplace": lambda: stats.laplace(),
    "generalized_normal": lambda power: stats.gennorm(power),
    "double_gamma": lambda shape: stats.dgamma(shape),
    "gumbel": lambda: stats.gumbel_r(),
    "log_gamma": lambda shape: stats.loggamma(shape),
    "normal": lambda: stats.norm(),
    "log_normal": lambda log_std: stats.lognorm(log_std),
    "uniform": lambda: stats.uniform(),
    "beta": lambda a, b: stats.beta(a, b),
    "arcsine": lambda: stats.arcsine(),
    "power_function": lambda shape: stats.powerlaw(shape),
    "pareto": lambda shape: stats.pareto(shape),
    "semicircle": lambda: stats.semicircular(),
    "beta_prime": lambda a, b: stats.betaprime(a, b),
    "fisher_f": lambda degrees_above, degrees_below: stats.f(degrees_above, degrees_below),
    "log_logistic": lambda shape: stats.fisk(shape),
    "burr": lambda power, shape: stats.burr12(power, shape),
    "lomax": lambda shape: stats.lomax(shape),
    "student": lambda degrees: stats.t(degrees),
    "cauchy": lambda: stats.cauchy(),
    "logistic": lambda: stats.logistic(),
    "hyperbolic_secant": lambda: stats.hypsecant(),
    "triangular": lambda mode: stats.triang(mode),
    "inverse_gaussian": lambda mean: stats.invgauss(mean),
    "von_mises": lambda concentration: stats.vonmises(concentration),
}


def test_every_family_has_its_textbook_formula():
    assert TEXTBOOK.keys() == FAMILIES.keys()
    assert set(FAMILIES) - set(SCIPY) == {"kumaraswamy", "generalized_logistic"}
    assert len(FAMILIES) >= 25
    assert all("h " in family.formula for family in FAMILIES.values())


@settings(deadline=None, max_examples=60)
@given(law=scalar_laws())
def test_entropy_by_textbook_and_by_quadrature(law):
    textbook = TEXTBOOK[law.family](**dict(law.parameters)) + log(law.width)
    terms = 16 * sum(1 + value * abs(log(value)) for _, value in law.parameters) + abs(log(law.width))
    assert law.entropy.value == pytest.approx(textbook, rel=0, abs=64 * EPS * (1 + terms))
    centered = replace(law, location=0.0)  # else nodes beside the location lose their digits
    mass, mass_error = integral(centered, lambda x, log_p: np.ones_like(x))
    entropy, error = integral(centered, lambda x, log_p: -log_p)
    assert mass == pytest.approx(1, rel=0, abs=mass_error + rounding(law))
    assert law.entropy.value == pytest.approx(entropy, rel=0, abs=error + rounding(law) * (1 + abs(log(law.width))))


@pytest.mark.parametrize("name", sorted(SCIPY))
def test_density_equals_scipys(name):
    law = drawn_law(name, seed=1)
    twin: Any = SCIPY[name](**dict(law.parameters))
    x = law.sample(200, stream(0, "scipy", name))[:, 0]
    # one relative rounding of x moves log p by |d log p/d log x|·eps, up to 1e3 at these draws
    np.testing.assert_allclose(law.log_density(x[:, None]), twin.logpdf(x), rtol=0, atol=1e4 * EPS * (1 + abs(x).max()))
    if name not in ("von_mises",):  # scipy's is periodic
        outside = np.array([twin.support()[0] - 1, twin.support()[1] + 1])
        outside = outside[np.isfinite(outside)]
        assert (law.log_density(outside[:, None]) == -np.inf).all()
        np.testing.assert_allclose(law.support, twin.support())


@pytest.mark.parametrize("name", sorted(SCIPY))
def test_entropy_equals_scipys(name):
    law = drawn_law(name, seed=1)
    # scipy integrates numerically where it has no formula, to about √eps
    assert law.entropy.value == pytest.approx(SCIPY[name](**dict(law.parameters)).entropy(), abs=EPS**0.5 * 4)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_draws_have_the_law(name):
    """Kolmogorov–Smirnov against the integral of the density; 40 fixed seeds at 1e-4: false alarm 0.4 % in all."""
    law = drawn_law(name, seed=2)
    x = np.sort(law.sample(4000, stream(0, "draws", name))[:, 0])
    nodes, weights = line_rule(law, 0.002)
    order = np.argsort(nodes, kind="stable")
    log_p = law.log_density(nodes[:, None])
    mass = np.where(np.isfinite(log_p), weights * np.exp(np.where(np.isfinite(log_p), log_p, 0)), 0)[order]
    cdf = np.interp(x, nodes[order], np.cumsum(mass) - mass / 2)
    ranks = np.arange(len(x) + 1) / len(x)
    distance = max((ranks[1:] - cdf).max(), (cdf - ranks[:-1]).max())
    assert stats.kstwo.sf(distance, len(x)) > 1e-4


def test_draws_repeat_and_take_the_shape_n_1():
    law = drawn_law("gamma")
    first, again = (law.sample(5, stream(7, "again")) for _ in range(2))
    assert first.shape == (5, 1)
    np.testing.assert_array_equal(first, again)


@settings(deadline=None, max_examples=40)
@given(law=scalar_laws())
def test_location_and_width_move_density_and_entropy(law):
    standard = replace(law, location=0.0, width=1.0)
    u = standard.sample(20, stream(0, "moved"))
    moved = law.location + law.width * u
    back = (moved - law.location) / law.width
    np.testing.assert_array_equal(law.log_density(moved), standard.log_density(back) - log(law.width))
    assert law.entropy.value == standard.entropy.value + log(law.width)
    assert law == replace(law)
    assert law.dim == 1
    assert len(repr(law)) < 100


@pytest.mark.parametrize(
    ("law", "value"),
    [
        (FAMILIES["exponential"](), 0.0),
        (FAMILIES["laplace"](), -log(2)),
        (FAMILIES["gamma"](shape=2.0), -np.inf),
        (FAMILIES["gamma"](shape=0.5), np.inf),
        (FAMILIES["half_normal"](), 0.5 * log(2 / pi)),
        (FAMILIES["generalized_normal"](power=3.7), log(3.7 / (2 * gamma(1 / 3.7)))),
        (FAMILIES["student"](degrees=3.0), log(2 / (pi * np.sqrt(3)))),
        (FAMILIES["lomax"](shape=2.5), log(2.5)),
        (FAMILIES["inverse_gamma"](shape=2.0), -np.inf),
        (FAMILIES["frechet"](shape=2.0), -np.inf),
        (FAMILIES["uniform"](), 0.0),
        (FAMILIES["inverse_gaussian"](mean=1.0), -np.inf),
    ],
    ids=str,
)
def test_density_at_zero_is_its_limit(law, value):
    assert law.log_density(np.zeros((1, 1)))[0] == pytest.approx(value, abs=16 * EPS)


@pytest.mark.parametrize(
    ("family", "parameters", "part"),
    [
        ("gamma", {"shape": 0.0}, r"shape: expected a number in \(0, inf\), got 0.0"),
        ("gamma", {"shape": 1.0, "width": -1.0}, "width: expected"),
        ("gamma", {"shape": np.nan}, "shape: expected"),
        ("gamma", {"shape": 1.0, "location": np.inf}, "location: expected"),
        ("gamma", {}, "gamma: expected the parameters shape, location, width, got none"),
        ("gamma", {"rate": 1.0}, "got rate"),
        ("triangular", {"mode": 1.5}, r"mode: expected a number in \(0, 1\)"),
    ],
)
def test_parameters_that_describe_no_law(family, parameters, part):
    with pytest.raises(LawError, match=part):
        FAMILIES[family](**parameters)


def test_a_law_of_one_variable_refuses_two():
    with pytest.raises(LawError, match=r"x: expected shape \(n, 1\)"):
        drawn_law("normal").log_density(np.zeros((3, 2)))


def test_extreme_parameters_keep_their_digits():
    near_normal = FAMILIES["student"](degrees=1e9).entropy.value
    assert near_normal == pytest.approx(0.5 * log(2 * pi * np.e), abs=1e9 * 64 * EPS)
    narrow = FAMILIES["von_mises"](concentration=1e6)  # N(0, 1/κ) to order 1/κ
    assert narrow.entropy.value == pytest.approx(0.5 * log(2 * pi * np.e / 1e6), abs=1e-6)
    early = FAMILIES["inverse_gaussian"](mean=1e-4)  # N(m, m³) to order m: e^{2/m} alone would overflow
    assert early.entropy.value == pytest.approx(0.5 * log(2 * pi * np.e * 1e-12), abs=1e-3)
    tiny = FAMILIES["gamma"](shape=1e-3).sample(1000, stream(0, "tiny"))
    assert np.mean(tiny == 0) == pytest.approx(0.475, abs=5 * 0.5 / 1000**0.5)  # P(G < 5e-324), float64's least
