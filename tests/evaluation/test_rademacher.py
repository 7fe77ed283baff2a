"""Rademacher complexities against suprema that can be enumerated, and networks inside their class."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import itssl
from itssl.choices import ParameterError
from itssl.evaluation.rademacher import ReLUNetworks, probe_complexity, relu_networks, sampled_probe_complexity
from itssl.networks.encoders import NetworkError, cnn, embed, mlp, with_batch_norm, with_projector

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of complexities", *path)


def all_signs(m):
    return np.array(list(itertools.product((-1, 1), repeat=m)), dtype=float)


@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_bound_on_probes_where_the_supremum_is_known(norm):
    """One class, z = 1: ‖y − W z‖ = |1 − w| takes every value from max(0, 1 − B) to 1 + B."""
    m = 12
    sums = all_signs(m).sum(axis=1)
    exact = np.maximum(sums * (1 + norm), sums * max(0.0, 1 - norm)).mean() / math.sqrt(m)
    bound = probe_complexity(1.0, norm=norm, outputs=1)
    assert bound / 4 < exact < bound


def test_bound_on_probes_is_above_what_a_search_finds():
    """Ascent in W for each draw of the signs, from several starts: suprema from below."""
    generator = rng("search")
    m, d, k, norm = 24, 3, 2, 2.0
    z, y = generator.standard_normal((m, d)), np.eye(k)[generator.integers(k, size=m)]
    found = []
    for _ in range(20):
        signs = generator.choice([-1.0, 1.0], size=m)
        best = 0.0
        for w in norm * generator.standard_normal((4, k, d)):
            for _ in range(60):
                off = z @ w.T - y
                length = np.linalg.norm(off, axis=1)
                w = w + 0.2 * (signs * off.T / length) @ z / math.sqrt(m)
                w = w * min(1.0, norm / np.linalg.norm(w))
                best = max(best, float(signs @ np.linalg.norm(z @ w.T - y, axis=1)))
        found.append(best / math.sqrt(m))
    rms = math.sqrt((z**2).sum() / m)
    bound = probe_complexity(rms, norm=norm, outputs=k)
    assert bound / 5 < np.mean(found) < bound


def test_drawn_signs_are_unbiased_for_the_mean_over_all():
    z = rng("rows").standard_normal((5, 3))
    exact = np.mean([
        np.linalg.norm(signs.reshape(2, 5) @ z) for signs in all_signs(10)
    ]) * math.sqrt(2) * 1.5 / math.sqrt(5)  # fmt: skip
    found = sampled_probe_complexity(z, norm=1.5, outputs=2, draws=4000, rng=rng("signs"))
    low, high = found.interval(1 - 1e-6)
    assert low < exact < high
    assert found.standard_error < 0.01 * exact
    assert exact < probe_complexity(math.sqrt((z**2).sum() / 5), norm=1.5, outputs=2)


def test_drawn_signs_reach_the_closed_form_for_orthogonal_rows_only():
    """Many rows in one direction leave E χ_K/√K, within five standard errors and the 1/m of the normal limit."""
    for outputs, share in ((1, 0.80), (2, 0.89), (10, 0.98)):
        closed = probe_complexity(1.0, norm=1.0, outputs=outputs)
        rows = math.sqrt(50) * np.eye(50)
        found = sampled_probe_complexity(rows, norm=1.0, outputs=outputs, draws=50, rng=rng("orthogonal"))
        assert found.value == pytest.approx(closed * math.sqrt(50), rel=64 * EPS)
        aligned = sampled_probe_complexity(np.ones((200, 1)), norm=1.0, outputs=outputs, draws=4000, rng=rng("one"))
        error = 5 * aligned.standard_error / closed + 1 / 200
        chi = math.sqrt(2 / outputs) * math.gamma((outputs + 1) / 2) / math.gamma(outputs / 2)
        assert round(chi, 2) == share
        assert aligned.value / closed == pytest.approx(chi, abs=error)


def test_one_layer_is_near_the_exact_complexity_of_linear_maps():
    """sup over ‖a‖ ≤ M of Σ ξ_i a·(x_i, 1) = M ‖Σ ξ_i (x_i, 1)‖; the bound pays √(2 ln 2) + 1 = 2.18 more."""
    x = rng("one layer").standard_normal((10, 3))
    x *= 2.0 / np.linalg.norm(x, axis=1, keepdims=True)
    rows = np.column_stack([x, np.ones(10)])
    exact = 1.5 * np.mean([np.linalg.norm(signs @ rows) for signs in all_signs(10)]) / math.sqrt(10)
    bound = ReLUNetworks(norms=(1.5,), rows=(1.5,), input_radius=2.0).pair_complexity() / (2 * math.sqrt(2))
    assert 2.0 < bound / exact < 2.4


def test_bounds_by_norms_are_their_formulas():
    networks = ReLUNetworks(norms=(2.0, 3.0, 5.0), rows=(4.0, 3.0), input_radius=2.0)
    data = math.sqrt(1 + 2.0**2)
    assert networks.radius == pytest.approx(2 * 3 * 5 * data)
    pairs = 2 * math.sqrt(2) * (4 + 3) * (math.sqrt(2 * math.log(2) * 3) + 1) * 2 * 3 * data
    assert networks.pair_complexity() == pytest.approx(pairs)
    probes = math.sqrt(2) * 6 * 0.5 * (math.sqrt(2 * math.log(2) * 4) + 1) * 2 * 3 * 5 * data
    assert networks.probe_complexity(norm=0.5, outputs=6) == pytest.approx(probes)


def test_complexity_of_pairs_is_above_that_of_some_networks():
    """The largest of 50 networks with these norms, for each draw of the signs."""
    widths, m = (3, 8, 2), 40
    generator = rng("networks")
    x, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in generator.standard_normal((2, m, 3)))
    distances, norms, rows = [], np.zeros(2), np.zeros(2)
    for seed in range(50):
        network = mlp(widths, seed=seed)
        distances.append(np.linalg.norm(embed(network, x) - embed(network, other), axis=1))
        made = relu_networks(network, 1.0)
        norms, rows = np.maximum(norms, made.norms), np.maximum(rows, made.rows)
    signs = generator.choice([-1.0, 1.0], size=(500, m))
    found = (signs @ np.array(distances).T).max(axis=1).mean() / math.sqrt(m)
    bound = ReLUNetworks(norms=tuple(norms.tolist()), rows=tuple(rows.tolist()), input_radius=1.0).pair_complexity()
    assert 0 < found < bound


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_outputs_stay_within_the_radius(slope):
    network = mlp((4, 16, 16, 3), seed=1, slope=slope)
    x = rng("radius").standard_normal((500, 4))
    x *= 3 * rng("lengths").uniform(size=(500, 1)) / np.linalg.norm(x, axis=1, keepdims=True)
    found = relu_networks(network, 3.0)
    assert np.linalg.norm(embed(network, x), axis=1).max() < found.radius
    assert len(found.norms) == 3
    assert len(found.rows) == 3
    weight, bias = (p.detach().numpy() for p in network[4].parameters())
    assert found.norms[2] == pytest.approx(math.sqrt((weight**2).sum() + (bias**2).sum()))
    assert sum(r**2 for r in found.rows) == pytest.approx(found.norms[2] ** 2)
    weight, bias = (p.detach().numpy() for p in network[0].parameters())
    assert found.norms[0] == pytest.approx(math.sqrt((weight**2).sum() + (bias**2).sum() + 1))


def test_batch_normalization_is_part_of_the_layer_before():
    network = with_projector(
        with_batch_norm(mlp((4, 6, 5), seed=0), last=True), with_batch_norm(mlp((5, 6, 2), seed=1))
    )
    network(3 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(1))
    training = [module.training for module in network.modules()]
    found = relu_networks(network, 1.0)
    fused, modules = [], [m for m in network.eval().modules() if not isinstance(m, nn.Sequential)]
    for module, after in itertools.pairwise([*modules, nn.Identity()]):
        if isinstance(module, nn.Linear) and isinstance(after, nn.BatchNorm1d):
            fused.append(nn.utils.fuse_linear_bn_eval(module, after))
        elif not isinstance(module, nn.BatchNorm1d):
            fused.append(module)
    expected = relu_networks(nn.Sequential(*fused), 1.0)
    np.testing.assert_allclose(found.norms + found.rows, expected.norms + expected.rows, rtol=64 * EPS)
    assert training == [True] * len(training)


def test_batch_normalization_after_an_activation_is_refused_and_not_made_part_of_the_layer():
    """W = 1, b = −10, then ReLU, then a mean of −10: f(0) = 10, where the layer with its bias back at 0 has √2."""
    linear, norm = nn.Linear(1, 1), nn.BatchNorm1d(1)
    with torch.no_grad():
        linear.weight.fill_(1.0)
        linear.bias.fill_(-10.0)
        norm.get_buffer("running_mean").fill_(-10.0)
    network = nn.Sequential(linear, nn.ReLU(), norm).double()
    assert embed(network, np.zeros((1, 1)))[0, 0] == pytest.approx(10.0, rel=1e-4)
    assert relu_networks(nn.Sequential(linear, norm), 1.0).radius == pytest.approx(math.sqrt(2), rel=1e-4)
    with pytest.raises(NetworkError, match=r"right after them .* got BatchNorm1d\(1"):
        relu_networks(network, 1.0)


def test_layers_used_twice_count_twice():
    """The radius is that of two copies; a shared activation still comes before the batch normalization."""
    inner, relu = nn.Linear(2, 2), nn.ReLU()
    shared = nn.Sequential(inner, relu, nn.Sequential(inner, relu), nn.Identity())
    copies = nn.Sequential(inner, nn.ReLU(), copy.deepcopy(inner), nn.ReLU())
    assert relu_networks(shared, 1.0) == relu_networks(copies, 1.0)
    assert len(relu_networks(shared, 1.0).norms) == 2
    with pytest.raises(NetworkError, match="got BatchNorm1d"):
        relu_networks(nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu, nn.BatchNorm1d(2)), 1.0)


def test_a_layer_without_bias():
    network = nn.Sequential(nn.Linear(2, 3, bias=False)).double()
    found = relu_networks(network, 1.0)
    assert found.norms[0] == pytest.approx(float(torch.linalg.norm(next(network.parameters()).detach())))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (cnn(seed=0), "got Unflatten"),
        (nn.Sequential(nn.Linear(2, 2), nn.GELU()), r"got GELU\(.*; bound its norms"),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), "got BatchNorm1d"),
        (nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(1.5)), "got LeakyReLU"),
        (nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(-1.5)), r"got LeakyReLU\(negative_slope=-1.5"),
        (nn.Sequential(nn.ReLU()), "at least one linear layer"),
    ],
    ids=["cnn", "gelu", "batch norm first", "steep", "steep down", "none"],
)
def test_other_layers_are_refused(network, message):
    with pytest.raises(NetworkError, match=message):
        relu_networks(network, 1.0)


def test_bad_numbers_are_refused_by_name():
    for call, message in (
        (lambda: probe_complexity(-1.0, norm=1.0, outputs=2), "radius: expected a finite number >= 0"),
        (lambda: probe_complexity(1.0, norm=0.0, outputs=2), "norm: expected a finite number > 0"),
        (lambda: probe_complexity(1.0, norm=1.0, outputs=0), "outputs: expected an integer >= 1"),
        (lambda: ReLUNetworks(norms=(), rows=(1.0,), input_radius=1.0), "norms and rows: expected at least one"),
        (lambda: ReLUNetworks(norms=(0.0,), rows=(1.0,), input_radius=1.0), "norms: expected a finite number > 0"),
        (lambda: ReLUNetworks(norms=(1.0,), rows=(1.0,), input_radius=-1.0), "input_radius: expected a finite"),
        (lambda: sampled_probe_complexity(np.eye(2), norm=1.0, outputs=1, draws=1, rng=rng()), "draws: expected an"),
    ):
        with pytest.raises(ParameterError, match=message):
            call()
