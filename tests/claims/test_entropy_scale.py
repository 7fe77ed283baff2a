"""C33: the estimates are those of the toolkit, and the reference values of directions come out."""

import numpy as np
import pytest

import itssl
from itssl import GaussianPlugin, KozachenkoLeonenko, Outcome
from itssl.claims import entropy_scale
from itssl.distributions.gaussian import Gaussian


def rng():
    return itssl.stream(0, "tests of entropy and scale")


def test_estimates_are_the_estimators():
    z = rng().standard_normal((100, 3)) * [1.0, 2.0, 0.5]
    found = entropy_scale._entropies(z)
    assert found["plug-in"] == pytest.approx(GaussianPlugin().entropy(z).value)
    assert found["Kozachenko–Leonenko"] == pytest.approx(KozachenkoLeonenko().entropy(z).value)
    assert found["LogDet"] > found["log-determinant"]


def test_directions_have_the_reference_entropies():
    """−133 and +177 nats for the same 1000 directions, without correction of the sampling bias; −129 and 182 with."""
    seen = itssl.check("C33", entropy_scale.SPHERE.name, seed=2).measured
    assert round(seen["log-determinant, Z"].value) == -133
    assert round(seen["log-determinant, sZ"].value) == 177
    isotropic = 64 * np.log(2 * np.pi * np.e)
    for name, exact in (("plug-in, Z", isotropic - 64 * np.log(128)), ("plug-in, sZ", isotropic)):
        assert abs(seen[name].value - exact) < 0.5  # the plug-in's deviation at n = 1000 is 0.36 for a Gaussian


def test_unit_sphere_and_unit_variance():
    z = entropy_scale._on_sphere(rng().standard_normal((50, 4)))
    np.testing.assert_allclose((z**2).sum(axis=1), 1)
    assert entropy_scale._unit_variance(z).var(axis=0, ddof=1).mean() == pytest.approx(1)


def test_ranking_changes_by_more_than_a_rounding():
    seen = itssl.check("C33", control="an unscaled ranking is that at unit variance").measured
    assert seen["first"].value < seen["second"].value - 10
    assert seen["first at unit variance"].value > seen["second at unit variance"].value + 10


@pytest.mark.parametrize("scale", [1e-3, 0.7, 40.0])
def test_any_scale(scale):
    law = Gaussian(np.ones(3), np.diag([1.0, 2.0, 3.0]))
    assert itssl.check("C33", entropy_scale._of_law(law, scale)).outcome is Outcome.HOLDS
