"""Every truth of every network by a second route; draws against another sampler; seeds alone name the weights."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from truth_twins import (
    draw_inputs,
    draw_outputs,
    fold_log_density,
    forward,
    inverse,
    log_density_of_input,
    log_volume_by_autograd,
    noisy_log_density,
    weights,
)

import itssl
from itssl.arrays import stream
from itssl.claims.decision import Outcome
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import LazyTruth
from itssl.estimate import Bias
from itssl.networks import pushforward
from itssl.networks.encoders import embed
from itssl.networks.truth_networks import truth_networks

EPS = np.finfo(float).eps
NAMES = list(truth_networks())
NOT_INJECTIVE = ("folding", "relu", "noisy")
INJECTIVE = [name for name in NAMES if truth_networks()[name].family not in NOT_INJECTIVE]
LINEAR = [
    "orthogonal-1",
    "orthogonal-4",
    "orthogonal-16",
    "raising_linear-2-5",
    "noisy_linear-2-2",
    "noisy_linear-16-4",
]


def family(*names):
    return [name for name in NAMES if truth_networks()[name].family in names]


def assert_agreement(draws, truth, n=500):
    """The decision rule of the house, and three standard errors of both routes together.

    The margin is a fourteenth of log 2, the least that a forgotten branch would change.
    """
    verdict = itssl.check_equality(lambda rng: draws(n, rng), truth.value, margin=0.05)
    assert verdict.outcome is Outcome.HOLDS, verdict
    assert abs(verdict.gap.value) <= 3 * np.hypot(verdict.gap.standard_error, truth.standard_error)


# --- entropies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.endswith("-16") else n for n in INJECTIVE]
)
def test_entropy_by_change_of_variables_with_whole_jacobians(name):
    net: Any = truth_networks()[name]

    def surprise(n, rng):
        x = draw_inputs(net.law, n, rng)
        return log_volume_by_autograd(net.network, x) - log_density_of_input(net.law, x)

    assert_agreement(surprise, net.hausdorff_entropy or net.entropy)


@pytest.mark.parametrize("name", family("folding"))
def test_entropy_of_folds_by_summing_the_branches(name):
    net: Any = truth_networks()[name]
    assert_agreement(lambda n, rng: -fold_log_density(net.law, np.abs(draw_inputs(net.law, n, rng))), net.entropy)


@pytest.mark.parametrize("name", family("noisy"))
def test_entropy_and_information_of_noisy_outputs_by_convolution(name):
    net: Any = truth_networks()[name]

    def draw(n, rng):
        x = draw_inputs(net.law, n, rng)
        z = forward(net.network, x)
        noise = net.noise_std * rng.standard_normal(z.shape)
        return noisy_log_density(net, z + noise), stats.norm.logpdf(noise, 0, net.noise_std).sum(axis=1)

    assert_agreement(lambda n, rng: -draw(n, rng)[0], net.entropy)
    assert_agreement(lambda n, rng: np.subtract(*draw(n, rng)[::-1]), net.mutual_information)


def test_invariance_partners():
    """A rotation keeps h; a coupling without scale keeps h; |x| in 2-D is 2.838 − 2 log 2; all in closed form."""
    networks: Any = truth_networks()
    for name in family("orthogonal", "additive_coupling"):
        assert networks[name].entropy.value == pytest.approx(networks[name].law.entropy.value, abs=64 * EPS * 16)
    assert networks["folding-2"].entropy.value == pytest.approx(stats.halfnorm.entropy() * 2, abs=1e-12)
    q = weights(networks["orthogonal-4"].network[0])[0]
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=16 * EPS)


def test_one_dimensional_saturation_by_quadrature():
    """−∫ p log p with p(z) = N(artanh z; b, σ²)/(1 − z²), in the variable a = artanh z."""
    net: Any = truth_networks()["saturating-1"]
    (slope,), (offset,) = (w.ravel() for w in weights(net.network[0]))
    std = abs(slope) * np.sqrt(net.law.cov[0, 0])
    a, step = np.linspace(offset - 12 * std, offset + 12 * std, 20_001, retstep=True)
    log_p = stats.norm.logpdf(a, offset, std) + 2 * (np.logaddexp(a, -a) - np.log(2))
    slow = -(np.exp(stats.norm.logpdf(a, offset, std)) @ log_p) * step
    assert net.entropy.value == pytest.approx(slow, abs=1e-12)


def test_one_dimensional_leaky_network_by_quadrature():
    """h = −∫ p log p from the density of a monotone function, by differences of its distribution function."""
    net: Any = truth_networks()["leaky_relu-1"]
    x, step = np.linspace(-9, 9, 400_001, retstep=True)
    z = forward(net.network, x[:, None])[:, 0]
    mass = np.diff(ndtr(x))
    slow = -(mass @ np.log(np.maximum(mass, 1e-300) / np.abs(np.diff(z))))
    truth = net.entropy
    # a step that holds one of the two kinks is off by its mass times log 5 at most
    assert abs(truth.value - slow) <= 3 * truth.standard_error + 2 * step * stats.norm.pdf(0) * np.log(5)


@pytest.mark.parametrize("name", family("relu", "dimension_raising"))
def test_singular_outputs_have_no_differential_entropy(name):
    net: Any = truth_networks()[name]
    assert net.entropy.value == -np.inf
    assert net.entropy.bias is Bias.EXACT
    assert net.entropy.method.startswith("singular")
    assert sum(share for m, share in net.dimensions.items() if m < net.d_out) > 0
    if net.family == "relu":
        assert net.hausdorff_entropy is None
        assert pushforward.entropy(net.law, net.network).value == -np.inf
    else:
        rank = np.linalg.matrix_rank(net.sample(50, stream(0, "rank")) - net.sample(1, stream(0, "rank")))
        assert net.dimensions == {net.d_in: 1.0}
        assert rank <= net.d_out
        assert net.hausdorff_entropy is not None


@pytest.mark.parametrize("name", family("relu"))
def test_pieces_of_a_relu_output_have_their_dimensions(name):
    """χ² of the number of units that are on; 3 tests at 1e-4."""
    net: Any = truth_networks()[name]
    on = (net.sample(4000, stream(0, "pieces", name)) > 0).sum(axis=1)
    expected = 4000 * np.array([net.dimensions[m] for m in range(net.d_out + 1)])
    assert expected.sum() == pytest.approx(4000, rel=64 * EPS)
    assert stats.chisquare(np.bincount(on, minlength=net.d_out + 1), expected).pvalue > 1e-4


# --- information ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINEAR)
def test_information_of_linear_networks_by_canonical_correlations(name):
    net: Any = truth_networks()[name]
    matrix = weights(net.network[0])[0]
    d = net.d_in
    if net.partner == "Y":
        joint = net.task.joint.cov
        z, y, across = matrix @ joint[:d, :d] @ matrix.T, joint[d:, d:], matrix @ joint[:d, d:]
    else:
        noise = net.noise_std**2 * np.eye(len(matrix))
        z, y, across = matrix @ net.law.cov @ matrix.T + noise, net.law.cov, matrix @ net.law.cov
    correlations = np.linalg.svd(root(z) @ across @ root(y), compute_uv=False)[: min(np.shape(across))]
    slow = -0.5 * np.log1p(-(correlations**2)).sum()
    assert net.mutual_information.value == pytest.approx(slow, abs=1e5 * EPS)


def root(cov):
    """cov^{−1/2} on the span of cov."""
    values, axes = np.linalg.eigh(cov)
    used = values > 1e-9 * values.max()
    return (axes[:, used] / np.sqrt(values[used])) @ axes[:, used].T


@pytest.mark.parametrize("name", INJECTIVE)
def test_injective_outputs_determine_their_inputs_and_keep_the_information(name):
    net: Any = truth_networks()[name]

    def pointwise(n, rng):
        x, y = net.task.sample(n, rng)
        found = inverse(net.network, embed(net.network, x))
        # artanh near ±1 magnifies rounding by 1/(1 − z²) ≤ e^{2a}, a below 16 here
        np.testing.assert_allclose(found, x, rtol=0, atol=1e-3 if net.family == "saturating" else 1e-9)
        return net.task.pointwise_information(found, y)

    assert_agreement(pointwise, net.mutual_information)


@pytest.mark.parametrize("name", ["folding-1", "folding-2", "folding-8"])
def test_information_behind_a_fold_by_summing_the_branches(name):
    net: Any = truth_networks()[name]

    def pointwise(n, rng):
        pairs = draw_inputs(net.task.joint, n, rng)
        z, y = np.abs(pairs[:, : net.d_in]), pairs[:, net.d_in :]
        joint = fold_log_density(net.task.joint, z, y)
        return joint - fold_log_density(net.law, z) - log_density_of_input(net.task.y, y)

    assert_agreement(pointwise, net.mutual_information)
    assert net.mutual_information.value < net.task.mutual_information.value


@pytest.mark.parametrize("name", family("relu"))
def test_information_behind_a_relu_by_its_pieces(name):
    """In rotated coordinates pairs are independent: N(ρx, 1−ρ²) where a unit is on, N(y) Φ(·)/Φ(c) where it is off."""
    net: Any = truth_networks()[name]
    matrix, offset = weights(net.network[0])
    rho = net.task.joint.cov[0, net.d_in]
    rest = np.sqrt(1 - rho**2)

    def pointwise(n, rng):
        pairs = draw_inputs(net.task.joint, n, rng)
        x, y = pairs[:, : net.d_in] @ matrix.T, pairs[:, net.d_in :] @ matrix.T
        on = stats.norm.logpdf(y, rho * x, rest) - stats.norm.logpdf(y)
        off = stats.norm.logcdf((-offset - rho * y) / rest) - stats.norm.logcdf(-offset)
        return np.where(x + offset > 0, on, off).sum(axis=1)

    assert_agreement(pointwise, net.mutual_information)
    assert net.mutual_information.value < net.task.mutual_information.value


def test_networks_without_a_partner_say_so():
    net: Any = truth_networks()["folding_shifted-2"]
    assert net.partner is None
    assert net.mutual_information is None
    with pytest.raises(itssl.distributions.LawError, match="folding_shifted-2: expected a network whose information"):
        net.sample_task(5, stream(0, "none"))
    assert truth_networks()["relu-1"].partner == "Y"
    assert truth_networks()["noisy_relu-1"].partner == "X"


# --- draws ---------------------------------------------------------------------------------------------------------


def energy_p_value(a, b, rng, permutations=400):
    """Permutation test of the energy distance 2 E|A − B| − E|A − A'| − E|B − B'|."""
    n, both = len(a), np.vstack([a, b])
    distance = cdist(both, both)

    def energy(sign):
        return -(sign @ distance @ sign)

    sign = np.concatenate([np.full(n, 1 / n), np.full(len(b), -1 / len(b))])
    observed = energy(sign)
    exceeded = sum(energy(rng.permutation(sign)) >= observed for _ in range(permutations))
    return (1 + exceeded) / (1 + permutations)


def same_law(a, b) -> float:
    """p-value of Kolmogorov and Smirnov's test of two samples."""
    found: Any = stats.ks_2samp(a, b)
    return found.pvalue


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_those_of_another_sampler(name):
    """Energy test of all coordinates together, Kolmogorov–Smirnov of each; 36 and 300 tests on fixed draws."""
    net: Any = truth_networks()[name]
    rng = stream(0, "draws", name)
    ours = np.hstack(net.sample_task(2000, rng)) if net.partner else net.sample(2000, rng)
    twins = draw_outputs(net, 2000, rng)
    assert ours.shape == twins.shape
    assert energy_p_value(ours[:300], twins[:300], rng) > 0.005
    alone = net.sample(2000, rng)
    for i in range(net.d_out):
        assert same_law(ours[:, i], twins[:, i]) > 1e-4
        assert same_law(alone[:, i], twins[:, i]) > 1e-4


@pytest.mark.parametrize("d", [1, 2, 10])
def test_radial_draws_have_the_radius_of_their_formula(d):
    z = truth_networks()[f"radial-{d}"].sample(2000, stream(0, "radius", d))
    size = np.linalg.norm(z, axis=1)
    before = np.sqrt((np.sqrt(1 + 4 * size**2) - 1) / 2)
    assert stats.kstest(before, stats.chi(d).cdf).pvalue > 1e-4


def test_folded_and_squashed_draws_have_their_closed_laws():
    networks: Any = truth_networks()
    z = networks["folding_shifted-2"].sample(2000, stream(0, "folded"))
    for i, mean in enumerate(networks["folding_shifted-2"].law.mean):
        assert stats.kstest(z[:, i], stats.foldnorm(abs(mean)).cdf).pvalue > 1e-4
    net = networks["saturating-4"]
    matrix, offset = weights(net.network[0])
    z, cov = np.arctanh(net.sample(2000, stream(0, "squashed"))), matrix @ net.law.cov @ matrix.T
    for i in range(4):
        assert stats.kstest(z[:, i], stats.norm(offset[i], np.sqrt(cov[i, i])).cdf).pvalue > 1e-4


# --- the seed alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_draws_and_weights_repeat(name):
    before = torch.get_rng_state()
    torch.manual_seed(7)
    again, net = truth_networks.__wrapped__()[name], truth_networks()[name]
    torch.set_rng_state(before)
    for ours, theirs in zip(net.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == torch.float64
        assert not ours.requires_grad
    assert not any(module.training for module in net.network.modules())
    np.testing.assert_array_equal(net.sample(20, stream(0, "x")), again.sample(20, stream(0, "x")))
    assert not np.array_equal(net.sample(20, stream(0, "x")), net.sample(20, stream(1, "x")))
    if net.partner:
        for ours, theirs in zip(
            net.sample_task(20, stream(0, "x")), again.sample_task(20, stream(0, "x")), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.shape[0] == 20


def test_truths_repeat():
    net, again = (catalogue["affine_coupling-6"] for catalogue in (truth_networks(), truth_networks.__wrapped__()))
    assert isinstance(net.known_entropy, LazyTruth)
    assert net.entropy.value == again.entropy.value
    assert net.entropy is net.entropy


def test_there_are_small_and_large_ones_of_each_kind():
    networks: Any = truth_networks()
    assert {"orthogonal", "leaky_relu", "additive_coupling", "affine_coupling", "radial", "dimension_raising"} <= set(
        networks.families
    )
    assert {"saturating", "folding", "relu", "noisy"} <= set(networks.families)
    assert {net.d_in for net in networks.values()} >= {1, 2, 16}
    for name in networks.families:
        assert len({net.d_in for net in networks.family(name).values()}) >= 3
    assert all(net.hard_for for net in networks.values())
    assert isinstance(networks["orthogonal-4"].law, Gaussian)
