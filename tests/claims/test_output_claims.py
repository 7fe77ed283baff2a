"""Claims about networks' outputs against closed forms and quadrature, and that their checks are sharp."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr, xlogy
from torch import nn

import itssl
from itssl.claims import affine_regions, data_assumptions, exact_entropy, information_ceiling, output_certificate
from itssl.claims.singular_outputs import Deterministic
from itssl.claims.worlds import NoisyInput, around, digits_encoder, grainy_digits, maxout
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.networks.encoders import embed, mlp
from itssl.networks.pushforward import entropy, log_density
from itssl.networks.regions import local_affine

EPS = np.finfo(float).eps


def rng():
    return itssl.stream(0, "tests of output claims")


def leaky(slope):
    return nn.Sequential(nn.LeakyReLU(slope)).double()


# --- C01 ---------------------------------------------------------------------------------------------------------


def test_rounding_of_one_layer_is_the_textbook_bound():
    network = mlp((5, 3), seed=0)
    x = rng().standard_normal((4, 5))
    weight, bias = (p.detach().abs().numpy() for p in network.parameters())
    expected = 7 * (np.abs(x) @ weight.T + bias)
    np.testing.assert_allclose(affine_regions._rounding(network, x), expected, rtol=16 * EPS)


def test_rounding_follows_active_paths_only():
    """z = relu(x) w: an inactive unit passes on no error of the first layer."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 2.0)
    assert affine_regions._rounding(network, np.array([[-1.0]])).item() == 0
    assert affine_regions._rounding(network, np.array([[1.0]])).item() == 2 * 3 * 2 + 3 * 4


@pytest.mark.parametrize("network", [mlp((64, 128, 128, 128, 32), seed=0), maxout((16, 32, 16, 4), seed=0)])
def test_a_map_off_in_its_ninth_digit_is_refuted(network):
    world = affine_regions.Network(network=network, draw=Gaussian.standard(next(network.parameters()).shape[1]).sample)
    x, reach, ray = affine_regions._rays(world, rng())
    y, exact = x + 0.5 * reach * ray, local_affine(network, x)
    assert affine_regions._excess(network, x, y, (exact.matrix, exact.offset)).max() < 2 * EPS
    assert affine_regions._excess(network, x, y, (exact.matrix * (1 + 1e-9), exact.offset)).max() > 2 * EPS


def test_maxout_is_the_larger_of_two_units():
    network = maxout((3, 2, 1), seed=0)
    x = rng().standard_normal((6, 3))
    first, last = (layer for layer in network if isinstance(layer, nn.Linear))
    units = (x @ first.weight.detach().numpy().T + first.bias.detach().numpy()).reshape(6, 2, 2).max(axis=2)
    expected = units @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(embed(network, x), expected, rtol=32 * EPS)


def test_grainy_digits_are_different_digits():
    x = grainy_digits(500, rng())
    assert x.shape == (500, 64)
    assert len(np.unique(x.round(0), axis=0)) > 400


# --- C03 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slope", "center"), [(0.5, 0.3), (0.1, 1.0), (3.0, -0.5)])
def test_total_variation_of_one_leaky_unit(slope, center):
    """Z = leaky(X): p is N(a, 1) above 0 and N(sa, s²) below; q the one that holds at a."""
    noisy = around(leaky(slope), np.array([[center]]), np.eye(1))
    x = noisy.law.sample(2**18, rng())
    found = output_certificate._total_variation(noisy, x, rng(), injective=True)
    z = np.linspace(-40, 40, 400_001)
    below, above = Gaussian(np.array([slope * center]), slope**2 * np.eye(1)), Gaussian(np.array([center]), np.eye(1))
    p = np.exp(np.where(z > 0, above.log_density(z[:, None]), below.log_density(z[:, None])))
    q = np.exp((above if center > 0 else below).log_density(z[:, None]))
    expected = 0.5 * np.abs(p - q).sum() * (z[1] - z[0])
    assert expected <= ndtr(-abs(center)) + 1e-4  # the step of the quadrature
    assert abs(found - expected) < 5 * 0.5 / np.sqrt(2**18) + 1e-4  # at most the error of a coin


def test_half_spaces_find_the_atom_of_a_dead_unit():
    """relu(x) at N(a, 1): the best half-line separates 0, and total variation is Φ(−a), all of it."""
    noisy = around(nn.Sequential(nn.ReLU()), np.array([[0.5]]), np.eye(1))
    x, generator = noisy.law.sample(2**14, rng()), rng()
    found = output_certificate._half_space(noisy.image, embed(noisy.network, x), generator)
    assert abs(found - ndtr(-0.5)) < 5 * 0.5 / np.sqrt(2**13)


def test_half_spaces_find_nothing_where_laws_agree():
    noisy = around(mlp((3, 4), seed=0), np.zeros((1, 3)), np.eye(3))
    z = embed(noisy.network, noisy.law.sample(2**14, rng()))
    assert abs(output_certificate._half_space(noisy.image, z, rng())) < 5 * 0.5 / np.sqrt(2**13)


# --- C04 and C06 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_single_term_of_two_prototypes_by_quadrature(scale):
    """N = 2 at ±1 in R: ε = Φ(−1/s), E log p/p₁ = E log(1 + e^{−2|x|/s²})."""
    world = data_assumptions.Separation(prototypes=np.array([[-1.0], [1.0]]), covs=np.ones((2, 1, 1)), scales=(scale,))
    looks = [data_assumptions._single_term(world, itssl.stream(i, "two"), world.precisions) for i in range(64)]
    wrong, excess = np.array([s.left for s in looks]).T
    x = np.linspace(-40, 40, 200_001)
    p = np.exp(world.laws[scale].log_density(x[:, None])) * (x[1] - x[0])
    expected = float(p @ np.log1p(np.exp(-2 * np.abs(x) / scale**2)))
    for values, truth in ((wrong, ndtr(-1 / scale)), (excess, expected)):
        assert abs(values.mean() - truth) < 5 * values.std(ddof=1) / 8 + 1e-9
    assert looks[0].right[1] == pytest.approx(2 * np.log(2) * wrong[0])


def test_digits_are_apart_and_that_is_a_matter_of_sigma():
    assert itssl.check("C06", seed=1).outcome is itssl.Outcome.HOLDS
    itssl.check("C06", control="distances above 0 are enough", seed=1).require()


@pytest.mark.slow
def test_coordinates_of_a_random_network_look_normal_far_outside():
    assert itssl.check("C05", seed=1).outcome is not itssl.Outcome.VIOLATED


# --- C07 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["leaky-ReLU MLP 2-2-2, N(0, I)", "leaky-ReLU MLP 2-2-2-2, three Gaussians"])
def test_inverse_by_layers_agrees_with_regions(name):
    world = itssl.claims()["C07"].world(name).make()
    z = embed(world.network, world.law.sample(200, rng()))
    np.testing.assert_allclose(world.log_density(z), log_density(world.law, world.network, z), rtol=0, atol=1e-9)


def test_two_bits_are_lost_by_the_absolute_value_in_the_plane():
    world = exact_entropy.FOLD.make()
    assert world.entropy(rng()) == pytest.approx(Gaussian.standard(2).entropy.value - 2 * np.log(2), abs=1e-9)


# --- C14 ---------------------------------------------------------------------------------------------------------


def test_information_of_two_views_of_two_prototypes_by_quadrature():
    """Z and X' at ±1 plus noise of deviation 1 and 0.5: a 2-D integral of log p(z, x')/p(z)p(x')."""
    covs = np.broadcast_to(np.diag([1.0, 0.25]), (2, 2, 2))
    world = information_ceiling.EncodedViews(
        joint=GaussianMixture(np.full(2, 0.5), np.array([[-1.0, -1.0], [1.0, 1.0]]), covs), k=1
    )
    looks = np.array([information_ceiling._entropies(world, itssl.stream(i, "views"))[:3] for i in range(64)])
    axis = np.linspace(-9, 9, 721)
    grid = np.stack([a.ravel() for a in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    step = axis[1] - axis[0]
    joint = np.exp(world.joint.log_density(grid)).reshape(721, 721)
    z, x = (np.exp(world.part(i, i + 1).log_density(axis[:, None])) for i in (0, 1))
    information = float((xlogy(joint, joint) - joint * np.log(np.outer(z, x))).sum()) * step**2
    left = []
    for i, p in ((0, z), (1, x)):
        posterior = np.exp(world.part(i, i + 1).component_log_densities(axis[:, None])) * 0.5 / p[:, None]
        left += [float(-(xlogy(posterior, posterior).sum(axis=1) * p).sum()) * step]
    for values, truth in zip(looks.T, (information, *left), strict=True):
        assert abs(values.mean() - truth) < 5 * values.std(ddof=1) / 8
    assert np.log(2) - sum(left) < information < np.log(2) - left[0]


def test_dependence_is_measured_and_refused():
    world = information_ceiling.SHARED_NOISE.make()
    signal, noise = 1e-4**2, 1e-5**2
    assert world.dependence() == pytest.approx(0.9 * np.sqrt(signal / (signal + noise)))
    verdict = itssl.check("C14", world)
    assert verdict.outcome is itssl.Outcome.NOT_APPLICABLE
    assert "A4" in verdict.reason
    assert information_ceiling.ALL_DIRECTIONS.make().dependence() == 0


# --- C15 ---------------------------------------------------------------------------------------------------------


def test_noise_beyond_the_region_makes_singular_outputs_not_applicable():
    narrow = itssl.claims()["C15"].worlds[0].make()
    wide = NoisyInput(network=narrow.network, law=Gaussian(narrow.law.mean, 1e6 * narrow.law.cov))
    assert itssl.check("C15", wide).outcome is itssl.Outcome.NOT_APPLICABLE


def test_entropy_of_singular_outputs_is_minus_infinity():
    assert entropy(Gaussian.standard(2), mlp((2, 1, 2), seed=0)).value == -np.inf


@pytest.mark.slow
def test_a_wrong_rank_is_refuted():
    network = mlp((2, 8, 1), seed=0)
    assert itssl.check("C15", Deterministic(network=network, dim=2, rank=2)).outcome is itssl.Outcome.VIOLATED


# --- worlds ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_encoders_are_trained_once_and_differ_by_objective():
    assert digits_encoder() is digits_encoder("VICReg")
    first, second = (next(digits_encoder(o).parameters()) for o in ("VICReg", "SimCLR"))
    assert first.dtype is second.dtype is torch.float64
    assert not torch.equal(first, second)
