"""The law of noise around prototypes through a network: against the mixture that the library makes of it."""

import numpy as np
import pytest
from scipy.stats import norm
from torch import nn

from itssl.arrays import stream
from itssl.claims import prototype_law
from itssl.claims.prototype_law import Draws, PrototypeLaw
from itssl.distributions.gaussian import LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.networks.encoders import embed, mlp
from itssl.networks.pushforward import image
from itssl.networks.regions import activation_pattern

EPS = np.finfo(float).eps


def law_of(*widths: int, n: int = 12, std: float = 0.3, slope: float = 0.1) -> PrototypeLaw:
    x = stream(0, "prototypes", *widths).standard_normal((n, widths[0]))
    return PrototypeLaw(prototypes=x, network=mlp(widths, seed=0, slope=slope), std=std)


def mixture_of(law: PrototypeLaw) -> GaussianMixture:
    return image(GaussianMixture.isotropic(law.prototypes, law.std**2), law.network).mixture


@pytest.mark.parametrize("widths", [(4, 8, 4), (5, 16, 2)])
def test_densities_and_moments_are_those_of_the_certified_mixture(widths: tuple[int, ...]) -> None:
    law = law_of(*widths)
    mixture, z = mixture_of(law), Draws.of(law, 50, 0).z
    found, expected = law.log_densities(z), mixture.component_log_densities(z)
    condition = np.linalg.cond(mixture.covs).max()
    np.testing.assert_allclose(found, expected, rtol=64 * EPS * condition, atol=64 * EPS * condition)
    np.testing.assert_allclose(law.within + law.between, mixture.cov, atol=64 * EPS * np.abs(mixture.cov).max())


def test_densities_of_inputs_are_gaussian() -> None:
    law = law_of(3, 8, 3, n=4)
    x = Draws.of(law, 6, 0).x
    expected = [[norm.logpdf(row, mean, law.std).sum() for mean in law.prototypes] for row in x]
    np.testing.assert_allclose(law.input_log_densities(x), expected, rtol=1e3 * EPS)


def test_densities_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    law = law_of(4, 8, 4)
    z = Draws.of(law, 23, 0).z
    whole = law.log_densities(z)
    monkeypatch.setattr(prototype_law, "_TILE", 5 * law.means.size)
    np.testing.assert_allclose(law.log_densities(z), whole, rtol=64 * EPS)


def test_flat_directions_keep_their_digits() -> None:
    """A map that shrinks one direction to 1e-9 of another: its covariance is singular to rounding, its root is not."""
    linear = nn.Linear(2, 2).double()
    linear.weight.data[:] = linear.weight.new_tensor([[1.0, 0.0], [1.0, 1e-9]])
    law = PrototypeLaw(prototypes=np.zeros((2, 2)), network=linear.eval(), std=1.0)
    draws = Draws.of(law, 100, 0)
    expected = -0.5 * np.square(draws.x).sum(axis=1) - np.log(2 * np.pi) - np.log(1e-9)  # of X, less log|det|
    np.testing.assert_allclose(law.log_densities(draws.z)[:, 0], expected, atol=1e3 * EPS / 1e-9)
    with pytest.raises(LawError, match=r"singular|rank"):
        _ = mixture_of(law)


def test_draws_follow_the_network_within_the_region_and_the_affine_map_beyond() -> None:
    law = law_of(4, 8, 3)
    draws = Draws.of(law, 400, 0)
    pattern = activation_pattern(law.network, law.prototypes)[draws.labels]
    stays = (activation_pattern(law.network, draws.x) == pattern).all(axis=1)
    off = np.abs(embed(law.network, draws.x) - draws.z).max(axis=1)
    assert off[stays].max() < 1e3 * EPS < off[~stays].max()


def test_networks_see_the_same_draws() -> None:
    a, b = law_of(4, 8, 3), law_of(4, 8, 3, slope=0.5)
    np.testing.assert_array_equal(Draws.of(a, 9, 3).x_pair, Draws.of(b, 9, 3).x_pair)
    assert not np.array_equal(Draws.of(a, 9, 3).x, Draws.of(a, 9, 4).x)


def test_local_maps_that_lose_rank_are_refused() -> None:
    with pytest.raises(LawError, match="expected local maps of rank 6 at every prototype, got rank"):
        _ = law_of(4, 8, 6).roots
