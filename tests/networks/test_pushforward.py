"""Images, entropies and informations behind networks: closed forms, invariances, draws; and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from planar_networks import Folded, linear
from scipy.special import ndtr
from scipy.stats import multivariate_normal
from torch import nn

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.student import MultivariateStudent
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimate import Bias
from itssl.estimators.nearest_neighbors import KSG, KozachenkoLeonenko
from itssl.networks import pushforward
from itssl.networks.encoders import NetworkError, as_double, embed, mlp
from itssl.networks.pushforward import entropy, image, log_density, log_volume_change, mutual_information
from itssl.networks.regions import activation_pattern, exit_probability, local_affine

EPS = float(np.finfo(float).eps)
TILTED = Gaussian(np.array([0.3, -0.2]), np.array([[1.0, 0.4], [0.4, 0.7]]))
STUDENT = MultivariateStudent(np.eye(3) + 0.2, 5.0)


def prototypes(n: int, d: int, std: float, seed: int = 0) -> GaussianMixture:
    rng = stream(seed, "prototypes", n, d)
    roots = std * rng.standard_normal((n, d, d)) / np.sqrt(d)
    return GaussianMixture(np.full(n, 1 / n), rng.standard_normal((n, d)), roots @ roots.transpose(0, 2, 1))


# --- image -------------------------------------------------------------------------------------------------------


def test_the_image_has_the_moments_and_certificates_of_its_definition():
    law, network = prototypes(5, 6, 0.05), mlp((6, 16, 4), seed=0)
    found, local = image(law, network), local_affine(network, law.means)
    np.testing.assert_allclose(found.means, embed(network, law.means), atol=1e3 * EPS)
    for c in range(5):
        np.testing.assert_allclose(found.covs[c], local.matrix[c] @ law.covs[c] @ local.matrix[c].T, atol=1e2 * EPS)
    bounds = exit_probability(network, law.means, law.covs)
    np.testing.assert_array_equal(found.exit.upper, bounds.upper)
    assert found.total_variation == pytest.approx(law.weights @ bounds.upper, rel=8 * EPS)
    assert f"total variation to the law of the output ≤ {found.total_variation:.3g}" in str(found)
    assert str(found) in found._repr_html_()


@pytest.mark.parametrize("std", [0.02, 0.1, 0.3])
def test_no_set_separates_the_output_from_the_mixture_by_more_than_the_certificate(std):
    """Half-spaces and balls, 200 of them: |P(Z ∈ B) − Q(B)| from 20,000 draws each, within six standard errors."""
    law, network, rng = prototypes(4, 3, std), mlp((3, 12, 2), seed=1), stream(0, "sets")
    found, n = image(law, network), 20_000
    z, q = embed(network, law.sample(n, rng)), found.sample(n, rng)
    directions = rng.standard_normal((2, 100))
    levels = [(z @ directions, q @ directions)]
    centers = z[:100]
    levels += [tuple(np.linalg.norm(s[:, None] - centers, axis=2) for s in (z, q))]
    apart = [
        abs((a <= np.quantile(a, level)).mean() - (b <= np.quantile(a, level)).mean())
        for first, second in levels
        for a, b in zip(first.T, second.T, strict=True)
        for level in (0.1, 0.5, 0.9)
    ]
    assert max(apart) <= found.total_variation + 6 / np.sqrt(2 * n)
    if std == 0.3:
        assert max(apart) > 12 / np.sqrt(2 * n), "the mixture is visibly not the law, so a certificate of 0 would fail"


def test_the_mixture_is_exact_for_affine_networks():
    law, network = prototypes(3, 4, 0.5), mlp((4, 3), seed=0)
    found = image(law, network)
    assert found.total_variation == 0
    z = embed(network, law.sample(100, stream(0, "z")))
    matrix = local_affine(network, law.means[:1])
    truth = law.affine_image(matrix.matrix[0], matrix.offset[0])
    np.testing.assert_allclose(found.mixture.log_density(z), truth.log_density(z), rtol=1e4 * EPS)
    assert image(TILTED, mlp((2, 2), seed=0)).mixture.dim == 2


def test_singular_components_have_no_density_but_draws_and_noise():
    found = image(prototypes(3, 2, 0.1), mlp((2, 3), seed=0))
    assert found.ranks.tolist() == [2, 2, 2]
    with pytest.raises(LawError, match=r"expected covariances of rank 3, got rank 2: .*with_noise\(var\)"):
        _ = found.mixture
    noisy, draws = found.with_noise(0.01), found.sample(50_000, stream(0, "draws"))
    np.testing.assert_allclose(noisy.covs, found.covs + 0.01 * np.eye(3))
    spread = np.sqrt(np.diag(noisy.cov) / len(draws))
    assert (np.abs(draws.mean(axis=0) - noisy.mean) < 5 * spread).all()
    np.testing.assert_allclose(np.cov(draws.T), noisy.cov - 0.01 * np.eye(3), atol=5 * np.diag(noisy.cov).max() / 100)
    for var in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(LawError, match="var: expected a finite variance > 0"):
            found.with_noise(var)


def test_images_of_other_laws_are_refused():
    with pytest.raises(LawError, match="got MultivariateStudent; its image is not known"):
        image(STUDENT, mlp((3, 2), seed=0))
    with pytest.raises(NetworkError, match="x has 2 columns"):
        image(TILTED, mlp((3, 2), seed=0))


# --- volume and density ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(3, 5, 3), (2, 6, 4), (4, 6, 2)])
def test_volume_change_is_the_determinant_of_autograds_jacobian(widths):
    network, x = mlp(widths, seed=0, slope=0.2), stream(0, "x").standard_normal((20, widths[0]))
    jacobians = torch.func.vmap(torch.func.jacrev(network))(torch.tensor(x)).detach().numpy()
    grams = [j.T @ j if j.shape[0] >= j.shape[1] else j @ j.T for j in jacobians]
    truth = [0.5 * np.linalg.slogdet(gram)[1] for gram in grams]
    np.testing.assert_allclose(log_volume_change(network, x), truth, atol=1e6 * EPS)


def test_flat_maps_have_no_volume():
    assert log_volume_change(nn.ReLU(), [[1.0, -1.0], [1.0, 1.0]]).tolist() == [-np.inf, 0.0]


def test_log_density_of_an_injective_network_is_the_change_of_variables():
    network = mlp((2, 2, 2), seed=0, slope=0.3)
    x = TILTED.sample(50, stream(0, "x"))
    truth = TILTED.log_density(x) - log_volume_change(network, x)
    np.testing.assert_allclose(log_density(TILTED, network, embed(network, x)), truth, atol=1e5 * EPS)


# --- entropy -----------------------------------------------------------------------------------------------------


def test_affine_entropies_are_exact_in_any_dimension():
    for widths in ((5, 5), (5, 3), (3, 5)):
        network, law = mlp(widths, seed=0), Gaussian(np.zeros(widths[0]), np.eye(widths[0]) + 0.1)
        matrix = local_affine(network, np.zeros((1, widths[0]))).matrix[0]
        found = entropy(law, network)
        if widths[1] <= widths[0]:
            truth = Gaussian(np.zeros(widths[1]), matrix @ law.cov @ matrix.T).entropy.value
        else:
            truth = law.entropy.value + 0.5 * np.linalg.slogdet(matrix.T @ matrix)[1]
            assert "relative to 3-dimensional volume in R^5" in found.method
        assert found.value == pytest.approx(truth, abs=1e3 * EPS)
        assert found.bias is Bias.EXACT
    flat = entropy(Gaussian.standard(2), linear([[1.0, 2.0], [2.0, 4.0]]))
    assert flat.value == -np.inf
    assert flat.bias is Bias.EXACT


@pytest.mark.parametrize("widths", [(16, 16, 16), (5, 7, 9)])
def test_injective_entropies_in_many_dimensions(widths):
    """Against −log p(x) + ½ log det JᵀJ at other draws, J by autograd."""
    network, law = mlp(widths, seed=0, slope=0.2), Gaussian(np.full(widths[0], 0.1), np.eye(widths[0]) + 0.2)
    found = entropy(law, network)
    x = law.sample(4000, stream(7, "others"))
    jacobians = torch.func.vmap(torch.func.jacrev(network))(torch.tensor(x)).detach().numpy()
    surprise = -law.log_density(x) + 0.5 * np.linalg.slogdet(jacobians.transpose(0, 2, 1) @ jacobians)[1]
    error = np.hypot(found.standard_error, surprise.std() / np.sqrt(len(x)))
    assert abs(found.value - surprise.mean()) < 4.5 * error
    assert 0 < found.standard_error < 0.1
    assert found.bias is Bias.UNBIASED


def test_injective_networks_take_any_law():
    network = mlp((3, 3, 3), seed=0, slope=0.5)
    found = entropy(STUDENT, network, n=2000)
    x = STUDENT.sample(20_000, stream(7, "others"))
    other = STUDENT.entropy.value + log_volume_change(network, x).mean()
    assert abs(found.value - other) < 4.5 * found.standard_error * np.sqrt(1.1)


def test_leaky_entropy_in_the_plane_is_exact_and_matches_nearest_neighbors():
    network = mlp((2, 2, 2), seed=0, slope=0.3)
    found = entropy(TILTED, network)
    assert found.bias is Bias.EXACT
    assert found.standard_error == 0
    z = embed(network, TILTED.sample(20_000, stream(0, "z")))
    neighbors = KozachenkoLeonenko().entropy(z)
    low, high = neighbors.interval(0.999)
    assert low < found.value < high
    volume = log_volume_change(network, TILTED.sample(20_000, stream(1, "x")))
    error = volume.std() / np.sqrt(len(volume))
    assert abs(found.value - TILTED.entropy.value - volume.mean()) < 4.5 * error


def test_without_the_branch_term_a_fold_is_wrong():
    """The control: h(X) + E log|det A| for a map that is not injective, against nearest neighbors."""
    network = nn.Sequential(*mlp((2, 6, 2), seed=1, slope=0.1))
    found = entropy(TILTED, network)
    volume = log_volume_change(network, TILTED.sample(20_000, stream(0, "x")))
    formula = TILTED.entropy.value + volume.mean()
    z = embed(network, TILTED.sample(20_000, stream(0, "z")))
    low, high = KozachenkoLeonenko().entropy(z).interval(0.999)
    assert low < found.value < high
    assert formula > high
    error = np.hypot(found.standard_error, volume.std() / np.sqrt(len(volume)))
    assert abs(formula - found.value - found.diagnostics["branch_entropy_nats"]) < 4.5 * error


def absolute_values(d: int):
    """All sign changes of z are preimages of z under |x|."""
    signs = np.array(list(np.ndindex(*[2] * d))) * 2.0 - 1

    def preimages(z):
        return signs * z[:, None]

    return preimages


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_fold_that_is_known_is_exact_in_any_dimension(d):
    found = entropy(Gaussian.standard(d), Folded(), preimages=absolute_values(d), n=1000)
    assert found.value == pytest.approx(Gaussian.standard(d).entropy.value - d * np.log(2), abs=256 * EPS)
    assert found.standard_error < 1e-15


def test_a_fold_that_is_known_agrees_with_its_regions():
    found = entropy(TILTED, Folded(), preimages=absolute_values(2))
    regions = entropy(TILTED, Folded())
    assert "regions" in regions.method
    assert "preimages given" in found.method
    assert abs(found.value - regions.value) < 4.5 * np.hypot(found.standard_error, regions.standard_error)


def test_branches_of_different_slope_are_weighed_by_it():
    """x for x > 0 and x/2 upwards for x < 0: the steeper branch is the denser one of two."""
    network, law = nn.LeakyReLU(-0.5), Gaussian(np.array([0.3]), np.array([[2.0]]))
    found = entropy(law, network, preimages=lambda z: np.stack([z, -2 * z], axis=1))
    regions = entropy(law, network)
    assert "quadrature" in regions.method
    assert abs(found.value - regions.value) < 4.5 * found.standard_error
    assert found.standard_error < 0.01


@pytest.mark.parametrize(
    ("preimages", "message"),
    [
        (lambda z: z[:, None] + 0.5, r"points with the image z, got images off by 0\.5"),
        (lambda z: np.concatenate([absolute_values(2)(z), 1.001 * z[:, None]], axis=1), "points with the image z"),
        (lambda z: -z[:, None], "expected each x once among the preimages of f\\(x\\), got it 0 to"),
        (lambda z: np.repeat(absolute_values(2)(z), 2, axis=1), "got it 2 to 2 times; list every preimage once"),
        (lambda z: z, r"preimages: expected shape \(1000, b, 2\), got \(1000, 2\)"),
    ],
)
def test_wrong_preimages_are_refused(preimages, message):
    with pytest.raises(LawError, match=message):
        entropy(TILTED, Folded(), preimages=preimages, n=1000)


def test_entropies_that_are_not_known_say_why():
    with pytest.raises(
        LawError, match=r"got injective = False \(.*fold\), and 4 inputs and 4 outputs .*H\(branch \| Z\)"
    ):
        entropy(Gaussian.standard(4), nn.Sequential(*mlp((4, 4), seed=0), Folded()))
    with pytest.raises(LawError, match=r"law of type MultivariateStudent \(regions need"):
        entropy(STUDENT, Folded())
    with pytest.raises(LawError, match="got MultivariateStudent; its projection is not known"):
        entropy(STUDENT, mlp((3, 2), seed=0))
    with pytest.raises(LawError, match="3 inputs and 1 outputs"):
        entropy(Gaussian.standard(3), mlp((3, 4, 1), seed=0, slope=0.1))
    with pytest.raises(NetworkError, match="Tanh"):
        entropy(TILTED, nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    with pytest.raises(NetworkError, match="x has 2 columns"):
        entropy(TILTED, mlp((3, 3, 3), seed=0))
    with pytest.raises(ParameterError, match="n: "):
        entropy(TILTED, mlp((2, 2, 2), seed=0, slope=0.1), n=1)


def test_dead_regions_in_many_dimensions_are_minus_infinity():
    found = entropy(Gaussian.standard(6), mlp((6, 8, 6), seed=0))
    assert found.value == -np.inf
    assert found.bias is Bias.EXACT
    assert "loses rank" in found.method


def test_too_many_regions_are_refused_unless_the_network_is_injective(monkeypatch):
    real = pushforward.output_law
    monkeypatch.setattr(pushforward, "output_law", lambda *args, **options: real(*args, **options, most=3))
    assert entropy(TILTED, mlp((2, 4, 4), seed=0, slope=0.2)).standard_error > 0
    with pytest.raises(LawError, match="at most 3 regions"):
        entropy(TILTED, mlp((2, 6, 2), seed=0, slope=0.2))


# --- information -------------------------------------------------------------------------------------------------

VIEWS = linear_gaussian_views([0.6, 0.9])


def test_injective_networks_keep_information():
    found = mutual_information(VIEWS, mlp((2, 3, 5), seed=0, slope=0.2))
    assert found.value == VIEWS.mutual_information.value
    assert found.bias is Bias.EXACT


@pytest.mark.parametrize(("widths", "noise_var"), [((2, 1), 0.0), ((2, 1), 0.3), ((2, 3), 0.2)])
def test_affine_networks_have_the_information_of_gaussians_and_so_have_their_regions(widths, noise_var):
    network = mlp(widths, seed=0)
    found = mutual_information(VIEWS, network, noise_var=noise_var)
    assert found.bias is Bias.EXACT
    bent = nn.Sequential(network, nn.LeakyReLU(1 - 1e-9))  # the same up to 1e-9, but not affine
    if noise_var == 0:
        bent = nn.Sequential(nn.LeakyReLU(1 - 1e-9), network)
    other = mutual_information(VIEWS, bent, noise_var=noise_var)
    assert "regions" in other.method
    assert abs(other.value - found.value) < 4.5 * other.standard_error


@pytest.mark.parametrize("noise_var", [0.0, 0.05])
def test_information_behind_a_fold_matches_nearest_neighbors(noise_var):
    found = mutual_information(VIEWS, Folded(), noise_var=noise_var)
    x, y = VIEWS.sample(4000, stream(0, "views"))
    z = np.abs(x) + np.sqrt(noise_var) * stream(0, "noise").standard_normal(x.shape)
    neighbors = KSG().mutual_information(z, y)
    assert abs(found.value - neighbors.value) < 5 * np.hypot(found.standard_error, neighbors.standard_error)
    assert found.value < VIEWS.mutual_information.value - 0.1


def test_affine_maps_keep_what_their_rows_see():
    one = mutual_information(VIEWS, linear([[1.0, 0.0]]))
    assert one.value == pytest.approx(-0.5 * np.log(1 - 0.6**2), abs=64 * EPS)
    for network in (linear([[1.0, 0.0], [2.0, 0.0]]), linear([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])):
        assert mutual_information(VIEWS, network).value == pytest.approx(one.value, abs=64 * EPS)
    assert mutual_information(VIEWS, linear([[0.0, 0.0]])).value == 0


def test_noise_costs_information_and_much_noise_all_of_it():
    network = mlp((2, 4, 2), seed=0)
    values = [mutual_information(VIEWS, network, noise_var=v, n=4000).value for v in (0.01, 1.0, 1e4)]
    assert values[0] > values[1] > values[2]
    assert abs(values[2]) < 0.01


def test_information_that_is_not_known_says_why():
    with pytest.raises(LawError, match="no density, state output noise by noise_var"):
        mutual_information(VIEWS, mlp((2, 4, 2), seed=0))
    with pytest.raises(LawError, match="the information is not known then"):
        mutual_information(VIEWS.transformed(np.exp, np.exp), Folded())
    with pytest.raises(LawError, match=r"3 inputs with noise \(regions are integrated for D ≤ 2\)"):
        mutual_information(linear_gaussian_views([0.5, 0.5, 0.5]), mlp((3, 4, 3), seed=0), noise_var=0.1)
    with pytest.raises(LawError, match="noise_var: expected a finite variance >= 0, got -1"):
        mutual_information(VIEWS, Folded(), noise_var=-1.0)


# --- everything --------------------------------------------------------------------------------------------------


def test_the_network_is_left_as_it_was_and_no_global_stream_is_touched():
    network = mlp((2, 4, 2), seed=0, dtype=torch.float32, slope=0.1).train()
    before, generator = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    entropy(TILTED, network)
    image(TILTED, network)
    mutual_information(VIEWS, network, noise_var=0.1, n=100)
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(p.dtype == torch.float32 and p.requires_grad and p.grad is None for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_seeds_name_the_draws():
    network = mlp((4, 4, 4), seed=0, slope=0.2)
    law = Gaussian.standard(4)
    assert entropy(law, network, n=500).value == entropy(law, network, n=500).value
    assert entropy(law, network, n=500).value != entropy(law, network, n=500, seed=1).value


def test_float32_networks_are_described_in_double():
    network = mlp((2, 2, 2), seed=0, slope=0.3, dtype=torch.float32)
    assert entropy(TILTED, network).value == entropy(TILTED, as_double(network)).value


def test_orthants_are_the_regions_of_a_relu_layer():
    """The certificate at the mean of a ReLU layer: P(exit) between bounds, and known."""
    found = image(Gaussian(np.array([0.5, 1.0]), TILTED.cov), nn.ReLU())
    cov: Any = TILTED.cov
    stays = multivariate_normal(np.array([-0.5, -1.0]), cov).cdf(np.zeros(2))
    assert found.exit.lower[0] - 1e-7 <= 1 - stays <= found.exit.upper[0] + 1e-7
    assert found.exit.upper[0] <= ndtr(-0.5) + ndtr(-1 / np.sqrt(0.7)) + 8 * EPS
    assert activation_pattern(nn.ReLU(), [[0.5, 1.0]]).tolist() == [[1, 1]]


# --- where digits are scarce -------------------------------------------------------------------------------------


class Bent(nn.Module):
    """(|x₁|, e·(x₁ + 3x₂), x₂): two flats that differ by little in one coordinate of three."""

    def __init__(self, e: float) -> None:
        super().__init__()
        self.e = e

    def forward(self, x):
        return torch.cat([torch.abs(x[:, :1]), self.e * (x[:, :1] + 3 * x[:, 1:]), x[:, 1:]], dim=1)


class Far(nn.Module):
    """(|x|, x + b): a curve far from the origin."""

    def __init__(self, b: float) -> None:
        super().__init__()
        self.b = b

    def forward(self, x):
        return torch.cat([torch.abs(x), x + self.b], dim=1)


@pytest.mark.parametrize("e", [1.0, 1e-6, 1e-8])
def test_flats_that_nearly_meet_are_two(e):
    gram = np.array([[1 + e**2, 3 * e**2], [3 * e**2, 1 + 9 * e**2]])
    truth = Gaussian.standard(2).entropy.value + 0.5 * np.log(np.linalg.det(gram))
    assert entropy(Gaussian.standard(2), Bent(e)).value == pytest.approx(truth, abs=1e4 * EPS)


@pytest.mark.parametrize("b", [0.0, 1e6, 1e8])
def test_flats_far_away_are_two(b):
    truth = Gaussian.standard(1).entropy.value + 0.5 * np.log(2)
    assert entropy(Gaussian.standard(1), Far(b)).value == pytest.approx(truth, abs=1e4 * EPS)


def test_units_of_inputs_and_outputs_do_not_matter():
    network = linear([[1e8, 0.0], [0.0, 1e-8]])
    assert entropy(Gaussian.standard(2), network).value == pytest.approx(
        Gaussian.standard(2).entropy.value, abs=64 * EPS
    )
    assert pushforward.injectivity(network).injective is True
    assert mutual_information(VIEWS, network).value == VIEWS.mutual_information.value
    tiny = Gaussian(np.zeros(1), np.array([[1e-18]]))
    found = entropy(tiny, Folded(), preimages=absolute_values(1), n=1000)
    assert found.value == pytest.approx(tiny.entropy.value - np.log(2), abs=64 * EPS)
    with pytest.raises(LawError, match="images off"):
        entropy(tiny, Folded(), preimages=lambda z: 1.5 * z[:, None], n=1000)


def test_deep_flat_networks_are_finite():
    """Twelve layers of slope 0.01: flatter than float64 can tell, and injective."""
    found = entropy(Gaussian.standard(2), mlp((2,) * 12, seed=0, slope=0.01))
    x = Gaussian.standard(2).sample(20_000, stream(3, "deep"))
    volume = log_volume_change(mlp((2,) * 12, seed=0, slope=0.01), x)
    truth = Gaussian.standard(2).entropy.value + volume.mean()
    assert abs(found.value - truth) < 4.5 * volume.std() / np.sqrt(len(x))
    for d in (2, 5):  # by regions, and sampled
        wide = mlp((d, *(d + 1,) * 10), seed=0, slope=0.001)
        with pytest.raises(
            LawError, match=r"injective but flatter than 1e-12 .* its entropy is finite, and not resolved"
        ):
            entropy(Gaussian.standard(d), wide)


def test_a_fold_too_rare_to_be_drawn_widens_the_error():
    """|x₁ + 4.5| folds 3e-6 of the mass: log 2·Φ(−4.5) at most is missed, and the error must allow for it."""

    class Rare(nn.Module):
        def forward(self, x):
            return torch.cat([torch.abs(x[:, :1] + 4.5), x[:, 1:]], dim=1)

    for seed in range(5):
        found = entropy(Gaussian.standard(2), Rare(), seed=seed)
        assert abs(found.value - Gaussian.standard(2).entropy.value) < 4.5 * found.standard_error + np.log(2) * ndtr(
            -4.5
        )
        assert found.standard_error >= np.log(2) / 2**14


def test_mixtures_of_unlike_widths_keep_their_narrow_part():
    law = GaussianMixture(np.array([0.5, 0.5]), np.array([[0.0], [3.1]]), np.array([[[1.0]], [[1e-12]]]))
    apart = np.log(2) + 0.5 * np.log(2 * np.pi * np.e) + 0.5 * 0.5 * np.log(1e-12)
    found = pushforward.output_law(law, nn.LeakyReLU(0.5)).entropy
    truth = apart + 0.5 * 0.5 * np.log(0.5)  # half of the wide part, a quarter of all, is halved
    assert found.value == pytest.approx(truth, abs=1e-4)
    assert found.standard_error < 16 * EPS * 1.55 / 5e-7  # places are known to EPS, in deviations of the narrow part


class Plus(nn.Module):
    def forward(self, x):
        return x + 0.0


def test_flat_outputs_do_not_count_neighbors_twice():
    """1e-10 in one direction: which side of a face z came from is known to 1e-6 only, and a wider slack would show."""
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    flat = linear((turn @ np.diag([1.0, 1e-10]) @ turn.T).tolist())
    network = nn.Sequential(Plus(), linear(turn.tolist(), [1.0, 2.0]), nn.LeakyReLU(0.5), flat)
    truth = Gaussian.standard(2).entropy.value + np.log(1e-10) + np.log(0.5) * (ndtr(-1) + ndtr(-2))
    found = entropy(Gaussian.standard(2), network)
    assert abs(found.value - truth) < 4.5 * found.standard_error
    assert found.standard_error < 1e-3


@pytest.mark.parametrize("mean", [1e6, 1e8])
def test_laws_far_from_the_origin_keep_their_digits(mean):
    network = mlp((2, 8, 1), seed=0, slope=0.3)
    law = Gaussian(np.array([mean, 0.0]), np.eye(2))
    matrix = local_affine(network, law.mean[None]).matrix[0]
    truth = 0.5 * np.log(2 * np.pi * np.e * float((matrix @ matrix.T)[0, 0]))  # one region, that far out
    found = entropy(law, network)
    assert "by 1 regions" in found.method
    assert found.value == pytest.approx(truth, abs=mean * 1e3 * EPS)


def test_noise_far_below_the_output_is_resolved():
    network = nn.Sequential(*mlp((2, 4, 3), seed=0), linear((1e8 * np.eye(3)).tolist()))
    loud = pushforward.output_law(Gaussian.standard(2), network, noise_var=1e-6).entropy
    quiet = pushforward.output_law(Gaussian.standard(2), mlp((2, 4, 3), seed=0), noise_var=1e-22).entropy
    assert abs(loud.value - quiet.value - 3 * np.log(1e8)) < 4.5 * np.hypot(loud.standard_error, quiet.standard_error)
    bent = pushforward.output_law(Gaussian.standard(1), nn.LeakyReLU(0.5), noise_var=1e-8).entropy
    assert bent.value == pytest.approx(Gaussian.standard(1).entropy.value + 0.5 * np.log(0.5), abs=1e-4)


def test_what_is_no_law_is_refused():
    with pytest.raises(LawError, match="law: expected a law such as a Gaussian, got ndarray"):
        entropy(np.zeros(3), Folded())  # pyright: ignore[reportArgumentType]
