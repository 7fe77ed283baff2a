"""Networks that are drawn: the property each is built with, as the tools of itssl.networks find it."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from torch import nn

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views
from itssl.networks import pushforward
from itssl.networks.encoders import as_double, embed
from itssl.networks.injectivity import injectivity
from itssl.networks.regions import local_affine
from itssl.networks.volumes import log_volume_change, ranks
from itssl.testing.network_strategies import _BUILDERS
from itssl.testing.strategies import encoders, seeds

EPS = float(np.finfo(float).eps)
SHRUNK = settings(max_examples=100, database=None, phases=[Phase.generate, Phase.shrink], deadline=None)
PROPERTIES = [*_BUILDERS]


def points(network: nn.Sequential, seed: int, n: int = 30):
    """Inputs near the kinks and far away from them."""
    d = inputs(network)
    rng = stream(seed, "points")
    return rng.standard_normal((n, d)) * rng.choice([1.0, 100.0], size=(n, 1))


def first_layer(network: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    first = network[0]
    assert isinstance(first, nn.Linear)
    return first.weight.detach().numpy(), first.bias.detach().numpy()


def inputs(network: nn.Sequential) -> int:
    return first_layer(network)[0].shape[1]


@settings(max_examples=8, deadline=None)
@given(network=encoders(property="injective"), seed=seeds())
def test_injective_networks_are_certified_and_onto(network, seed):
    x = points(network, seed)
    assert injectivity(network, x).injective is True
    matrices = local_affine(network, x).matrix
    assert matrices.shape[1:] == (inputs(network), inputs(network))
    assert (ranks(matrices) == inputs(network)).all()
    signs = np.linalg.slogdet(matrices)[0]
    assert len(set(signs)) == 1  # a homeomorphism keeps its orientation
    back = inverse(network, embed(network, x))
    # layers of condition 4, up to four of them, with slopes of at least 0.1 between
    np.testing.assert_allclose(back, x, rtol=0, atol=4**4 * 10**3 * 64 * EPS * np.abs(x).max())


def inverse(network: nn.Sequential, z: np.ndarray) -> np.ndarray:
    """Layer by layer backwards: a twin that exists only where every layer is one-to-one and onto."""
    for layer in reversed(network):
        if isinstance(layer, nn.Linear):
            z = np.linalg.solve(layer.weight.detach().numpy(), (z - layer.bias.detach().numpy()).T).T
        else:
            assert isinstance(layer, nn.LeakyReLU)
            z = np.where(z < 0, z / layer.negative_slope, z)
    return z


@settings(max_examples=3, deadline=None)
@given(network=encoders(property="folding"), seed=seeds())
def test_folding_networks_have_a_certified_collision_and_full_rank(network, seed):
    x = stream(seed, "points").standard_normal((64, inputs(network)))
    found = injectivity(network, x)
    assert found.injective is False
    assert found.pair is not None
    assert "fold" in found.reason
    z = embed(as_double(network), found.pair)
    assert np.abs(z[0] - z[1]).max() <= 1e-9 * (1 + np.abs(z).max())
    assert np.abs(found.pair[0] - found.pair[1]).max() > 1e-7
    matrices = local_affine(network, points(network, seed)).matrix
    assert (ranks(matrices) == inputs(network)).all()
    assert network[-1].out_features == inputs(network)


@settings(max_examples=8, deadline=None)
@given(network=encoders(property="folding"), seed=seeds())
def test_every_output_of_a_fold_has_a_second_preimage(network, seed):
    """Mirror the first unit of the first layer: u > 0 and −u/|slope| have one image."""
    (weight, bias), fold = first_layer(network), network[1]
    assert isinstance(fold, nn.PReLU)
    slope = fold.weight.detach().numpy()[0]
    assert slope < 0
    x = points(network, seed)
    u = x @ weight.T + bias
    u[:, 0] = np.where(u[:, 0] > 0, u[:, 0] / slope, u[:, 0] * slope)
    mirrored = np.linalg.solve(weight, (u - bias).T).T
    apart = np.abs(mirrored - x).max(axis=1)
    assert (apart > 0).all()
    size = 1 + np.abs(embed(network, x)).max()
    np.testing.assert_allclose(embed(network, mirrored), embed(network, x), rtol=0, atol=1e3 * EPS * size)


@settings(max_examples=8, deadline=None)
@given(network=encoders(property="rank-deficient"), seed=seeds())
def test_rank_deficient_networks_lose_rank_everywhere(network, seed):
    d, x = inputs(network), points(network, seed)
    matrices = local_affine(network, x).matrix
    assert matrices.shape[1:] == (d, d)
    assert (ranks(matrices) < d).all()
    assert np.isneginf(log_volume_change(network, x)).all()


@settings(max_examples=3, deadline=None)
@given(network=encoders(property="rank-deficient", dims=2))
def test_images_under_rank_deficient_networks_have_no_density(network):
    assert pushforward.entropy(Gaussian.standard(2), network, n=64).value == -np.inf


@settings(max_examples=8, deadline=None)
@given(network=encoders(property="dimension-raising"), seed=seeds())
def test_dimension_raising_networks_are_certified_injective_and_raise(network, seed):
    d, x = inputs(network), points(network, seed)
    found = injectivity(network, x)
    assert found.injective is True
    matrices = local_affine(network, x).matrix
    assert matrices.shape[1] == network[-1].out_features > d
    assert (ranks(matrices) == d).all()


def test_both_ways_of_raising_are_drawn():
    for wanted in (nn.ReLU, nn.LeakyReLU):
        find(
            encoders(property="dimension-raising", dims=2),
            lambda network, wanted=wanted: isinstance(network[-2], wanted),
            settings=SHRUNK,
        )


@pytest.mark.parametrize("property", PROPERTIES)
def test_kinks_are_where_the_data_is(property):
    """Each kink of the first layer passes within half a standard deviation of 0: at least 30 % on either side."""

    @settings(max_examples=3, deadline=None)
    @given(network=encoders(property=property), seed=seeds())
    def met(network, seed):
        x = stream(seed, "points").standard_normal((400, inputs(network)))
        weight, bias = first_layer(network)
        moving = np.abs(weight).max(axis=1) > 0
        share = (x @ weight.T + bias > 0).mean(axis=0)[moving]
        spread = 6 * np.sqrt(0.25 / len(x))  # six standard errors of a share
        assert (share > 0.3085 - spread).all()  # Φ(−½)
        assert (share < 0.6915 + spread).all()

    met()


@settings(max_examples=5, deadline=None)
@given(network=encoders(property="injective", dims=st.integers(1, 3)))
def test_injective_networks_keep_information(network):
    task = linear_gaussian_views(np.full(inputs(network), 0.6))
    assert pushforward.mutual_information(task, network).value == task.mutual_information.value


@settings(max_examples=2, deadline=None)
@given(network=encoders(property="folding", dims=1))
def test_folding_networks_lose_information(network):
    """Data processing: I(f(X); Y) ≤ I(X; Y), with six standard errors of 1024 draws."""
    task = linear_gaussian_views([0.9])
    found = pushforward.mutual_information(task, network, n=1024)
    assert found.value <= task.mutual_information.value + 6 * found.standard_error


@pytest.mark.parametrize("property", PROPERTIES)
def test_networks_are_float64_and_leave_the_global_generator_alone(property):
    @settings(max_examples=5, deadline=None)
    @given(data=st.data())
    def drawn(data):
        before = torch.random.get_rng_state()
        network = data.draw(encoders(property=property, dims=3))
        assert torch.equal(before, torch.random.get_rng_state())
        assert inputs(network) == 3
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float64}
        assert all(parameter.requires_grad for parameter in network.parameters())

    drawn()


@pytest.mark.parametrize("property", PROPERTIES)
def test_shrinks_to_one_input_and_few_layers(property):
    network = find(encoders(property=property), lambda network: True, settings=SHRUNK)
    assert inputs(network) == 1
    assert len(network) == 3
    weight = 0.0 if property == "rank-deficient" else 1.0
    assert first_layer(network) == (weight, 0.0)
    x = np.array([[-2.0], [1.0]])
    expected = {"folding": [2.0, 1.0], "injective": [-2.0, 1.0], "rank-deficient": [0.0, 0.0]}
    if property in expected:
        np.testing.assert_array_equal(embed(network, x)[:, 0], expected[property])


def test_arguments_are_refused_where_they_are_given():
    with pytest.raises(ParameterError, match="dims: expected an integer >= 1, got 0"):
        encoders(dims=0)
    untyped: Any = getattr(encoders, "__wrapped__", encoders)
    with pytest.raises(UnknownNameError, match=r"property: expected one of 'injective', .* got 'surjective'"):
        untyped(property="surjective")


def test_the_docstring_names_every_property():
    text = inspect.getdoc(encoders)
    assert text is not None
    assert [name for name in PROPERTIES if f'"{name}"' not in text] == []
