"""Divergences of scalar laws against quadrature for every pair of families, and the pairs without a closed form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from line_quadrature import drawn_law, integral, rounding

from itssl import check_equality
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.gaussian import kl_divergence as gaussian_kl_divergence
from itssl.distributions.scalar_divergences import kl_divergence
from itssl.distributions.scalar_families import cauchy, exponential, laplace, normal, pareto, scalar_families, uniform
from itssl.testing.strategies import scalar_laws

EPS = np.finfo(float).eps
NAMES = list(scalar_families())


def closed(p, q):
    """The divergence in closed form, or None."""
    try:
        return kl_divergence(p, q).value
    except LawError:
        return None


def by_quadrature(p, q):
    """E log p/q under p and its error; log q = −inf where p lives makes it infinite."""
    return integral(p, lambda x, log_p: log_p - q.log_density(x[:, None]))


def agrees(p, q, value):
    measured, error = by_quadrature(p, q)
    size = 1 + abs(p.entropy.value) + abs(value)
    return abs(measured - value) <= error + 16 * rounding(p) * size


@pytest.mark.parametrize("name", NAMES)
def test_every_closed_form_from_a_family_equals_quadrature(name):
    p = drawn_law(name, seed=3)
    others = [replace(drawn_law(other, seed=4), width=1.4) for other in NAMES]
    values = [(q, value) for q in others if (value := closed(p, q)) is not None]
    assert all(value > 0 for _, value in values)
    # moments of a log-normal law reach 1e200: no quadrature of 16 digits follows there
    assert [f"{q}: {value}" for q, value in values if value < 1e6 and not agrees(p, q, value)] == []


def test_how_many_families_have_divergences():
    pairs = [(drawn_law(name, seed=3), replace(drawn_law(name, seed=4), width=1.0)) for name in NAMES]
    assert sum(closed(p, q) is not None for p, q in pairs) >= 30


@settings(deadline=None, max_examples=60)
@given(law=scalar_laws())
def test_a_law_from_itself(law):
    assert kl_divergence(law, law).value == 0
    turned = replace(
        law, location=law.location + 0.0, width=law.width * (1 + 2 * EPS)
    )  # not equal: the general formula
    value = closed(law, turned)
    if value is not None and np.isfinite(value):
        sizes = [1 + abs(number) * (1 + abs(np.log(number))) for _, number in law.parameters]
        assert abs(value) < 1e3 * EPS * (1 + abs(law.location) / law.width) * (
            abs(law.entropy.value) + 16 * sum(sizes, 1)
        )


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (normal(location=1.0, width=2.0), normal(location=-0.5, width=0.7)),
        (laplace(location=1.0, width=2.0), laplace(location=-0.5, width=0.7)),
        (cauchy(location=1.0, width=2.0), cauchy(location=-0.5, width=0.7)),
        (scalar_families()["gumbel"](location=1.0, width=0.5), scalar_families()["gumbel"](location=0.2, width=0.7)),
        (exponential(location=1.0), exponential(location=-0.5, width=3.0)),
        (scalar_families()["gamma"](shape=2.5, location=1.0), exponential(location=-0.5, width=3.0)),
        (scalar_families()["beta"](a=2.0, b=3.0, location=0.3), uniform(location=0.1, width=1.5)),
        (pareto(shape=2.5, width=3.0), pareto(shape=1.5, width=2.0)),
        (scalar_families()["von_mises"](concentration=3.0), scalar_families()["von_mises"](concentration=0.5)),
        (scalar_families()["inverse_gaussian"](mean=0.5, width=2.0), scalar_families()["inverse_gaussian"](mean=2.0)),
    ],
    ids=str,
)
def test_other_locations_and_widths(p, q):
    value = kl_divergence(p, q).value
    assert agrees(p, q, value)
    check_equality(
        lambda rng: p.log_density(x := p.sample(2000, rng)) - q.log_density(x), value, margin=0.02 * (1 + value)
    ).require()


def test_normal_laws_equal_the_gaussian_formula():
    p, q = normal(location=1.0, width=2.0), normal(location=-0.5, width=0.7)
    twins = [Gaussian(np.array([law.location]), np.array([[law.width**2]])) for law in (p, q)]
    assert kl_divergence(p, q).value == pytest.approx(gaussian_kl_divergence(*twins).value, rel=64 * EPS)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (exponential(), exponential(location=0.5)),
        (exponential(), uniform(width=100.0)),
        (uniform(width=2.0), uniform()),
        (pareto(shape=2.0), pareto(shape=2.0, width=1.5)),
        (normal(), exponential()),
        (scalar_families()["lomax"](shape=1.0), exponential()),  # infinite mean
        (scalar_families()["frechet"](shape=0.5), scalar_families()["weibull"](shape=1.0)),
    ],
    ids=str,
)
def test_infinite_divergences(p, q):
    assert kl_divergence(p, q).value == np.inf


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (normal(), cauchy()),
        (exponential(location=1.0), scalar_families()["gamma"](shape=2.0)),
        (scalar_families()["student"](degrees=3.0), scalar_families()["student"](degrees=4.0, width=2.0)),
        (scalar_families()["triangular"](mode=0.3), scalar_families()["triangular"](mode=0.4)),
    ],
    ids=str,
)
def test_no_closed_form_is_said(p, q):
    with pytest.raises(LawError, match="closed divergence"):
        kl_divergence(p, q)
