"""Terms of population losses: values against definitions, derivatives against differences."""

from functools import partial

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.distributions.gaussian import Gaussian
from itssl.objectives import population_terms as terms
from itssl.objectives.entropy_terms import KERNELS
from itssl.objectives.view_moments import ViewMoments

EPS = np.finfo(float).eps
ROOT = stream(0, "root").normal(size=(3, 3))
Z = ViewMoments(ROOT @ ROOT.T, 0.5 * ROOT @ np.diag([1.0, 0.7, 0.2]) @ ROOT.T)
TERMS = {
    "squared distance": terms.squared_distance,
    "off-diagonal energy": terms.off_diagonal_energy,
    "alignment": terms.alignment,
    "energy": terms.energy,
    "Gaussian entropy": partial(terms.gaussian_entropy, noise_var=0.3),
    "pairwise entropy": partial(terms.pairwise_entropy, noise_var=0.3, kernel="bhattacharyya"),
    "pairwise entropy (KL)": partial(terms.pairwise_entropy, noise_var=0.3, kernel="kl"),
    "cross entropy": partial(terms.cross_entropy, noise_var=0.3, residual_var=0.7),
}


@pytest.mark.parametrize("name", TERMS)
def test_derivatives(name):
    """Along random changes of C (symmetric) and S (any)."""
    h = 1e-5
    for seed in range(3):
        rng = stream(seed, "change")
        by_within, by_across = rng.normal(size=(2, 3, 3))
        by_within = by_within + by_within.T
        up, down = (
            TERMS[name](ViewMoments(Z.within + s * h * by_within, Z.across + s * h * by_across)).value for s in (1, -1)
        )
        at = TERMS[name](Z)
        slope = (at.by_within * by_within).sum() + (at.by_across * by_across).sum()
        # Central differences: h² times the third derivative (inverses of C + noise, at most 1/0.3³), and rounding.
        assert slope == pytest.approx((up - down) / (2 * h), abs=100 * h**2 / 0.3**3 + 100 * EPS / h)


def test_sums_and_multiples():
    both = 3 * terms.alignment(Z) + (-2) * terms.energy(Z) + 5.0
    assert both.value == pytest.approx(3 * np.trace(Z.across) - 2 * (Z.within**2).sum() + 5, rel=8 * EPS)
    np.testing.assert_array_equal(both.by_across, 3 * np.eye(3))
    np.testing.assert_array_equal(both.by_within, -4 * Z.within)


def test_gaussian_entropy_is_the_laws():
    expected = Gaussian(np.zeros(3), Z.within + 0.3 * np.eye(3)).entropy.value
    assert terms.gaussian_entropy(Z, 0.3).value == pytest.approx(expected, rel=64 * EPS)


def test_pairwise_entropy_is_the_integral_it_stands_for():
    """One dimension, by quadrature: −∫ p(z) log ∫ p(z̃) e^{−(z − z̃)²/(2s)} dz̃ dz."""
    grid = np.linspace(-12, 12, 2001)
    step = grid[1] - grid[0]
    one = ViewMoments(np.array([[1.3]]), np.array([[0.4]]))
    density = np.exp(-(grid**2) / 2.6) / np.sqrt(2 * np.pi * 1.3)
    for kernel in KERNELS:
        spread = {"bhattacharyya": 1.2, "kl": 0.3}[kernel]
        near = np.exp(-((grid[:, None] - grid) ** 2) / (2 * spread)) @ density * step
        expected = 0.5 * np.log(2 * np.pi * np.e * 0.3) - (density * np.log(near)).sum() * step
        # The trapezoidal rule converges faster than any power for Gaussians; at 12 their tails are below eps.
        assert terms.pairwise_entropy(one, 0.3, kernel=kernel).value == pytest.approx(expected, rel=1e4 * EPS)


def test_pairwise_entropies_enclose_the_gaussian():
    low, high = (terms.pairwise_entropy(Z, 0.3, kernel=k).value for k in KERNELS)
    assert low < terms.gaussian_entropy(Z, 0.3).value < high
    tiny = 1e-9
    gaussian, d = terms.gaussian_entropy(Z, 0.0).value, len(Z.within)
    assert terms.pairwise_entropy(Z, tiny, kernel="bhattacharyya").value == pytest.approx(
        gaussian - d * (np.log(2) - 0.5), abs=1e-6
    )
    assert terms.pairwise_entropy(Z, tiny, kernel="kl").value == pytest.approx(gaussian + d / 2, abs=1e-6)
