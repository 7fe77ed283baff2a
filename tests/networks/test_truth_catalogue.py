"""The mapping of truth networks: lazy, read-only, named refusals; what a network shows of itself."""

import copy
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

import itssl
from itssl.choices import UnknownNameError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.law import exact
from itssl.distributions.tasks import LazyTruth
from itssl.networks.truth_catalogue import TruthNetwork, UnknownNetworkError, shown, truth_catalogue
from itssl.networks.truth_networks import truth_networks


def refuse():
    raise AssertionError("the truth was computed")


def small(**options):
    defaults = {
        "hard_for": "<all>",
        "law": Gaussian.standard(1),
        "network": nn.Linear(1, 2),
        "known_entropy": exact(0.5, "m"),
    }
    return TruthNetwork(**(defaults | options))


def test_it_is_a_read_only_mapping_at_the_front_door():
    networks = itssl.truth_networks()
    assert isinstance(networks, Mapping)
    assert networks is truth_networks()
    assert len(networks) == len(list(networks)) >= 30
    assert "relu-2" in networks
    assert "relu-3" not in networks
    assert networks.get("relu-3") is None
    assert networks["relu-2"] is networks["relu-2"]
    assert sum(len(networks.family(name)) for name in networks.families) == len(networks)
    assert all(net.name == name and networks.family(net.family)[name] is net for name, net in networks.items())
    with pytest.raises(TypeError):
        networks["mine"] = networks["relu-2"]  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("kind", [KeyError, UnknownNameError, ValueError, UnknownNetworkError])
def test_unknown_names_are_refused_with_the_nearest(kind):
    with pytest.raises(kind) as caught:
        truth_networks()["relu2"]
    text = (
        "network: expected a name in the catalogue, got 'relu2'; did you mean 'relu-2'? list(truth_networks()) has all"
    )
    assert str(caught.value).startswith(text)
    assert str(copy.copy(caught.value)) == str(caught.value)
    with pytest.raises(UnknownNameError, match="did you mean 'radial'"):
        truth_networks().family("radials")


def test_nothing_is_built_or_computed_before_it_is_asked_for():
    built = []

    def build():
        built.append(1)
        return small(known_entropy=LazyTruth(refuse, "Monte Carlo"), known_information=LazyTruth(refuse, "summation"))

    few = truth_catalogue({"f": {"one": build, "two": small}})
    assert list(few) == ["one", "two"]
    assert "one" in few
    assert built == []
    assert few.families == ("f",)
    assert str(few).splitlines()[1].split() == ["one", "1", "2", "by", "Monte", "Carlo", "by", "summation", "<all>"]
    assert "&lt;all&gt;" in few._repr_html_()
    assert repr(few) == "Catalogue(2 networks: f)"
    assert repr(few["one"]) == "TruthNetwork('one', 1 → 2: h by Monte Carlo, I(Z; X) by summation)"
    assert "hard for &lt;all&gt;" in few["one"]._repr_html_()
    assert built == [1]
    with pytest.raises(AssertionError, match="was computed"):
        _ = few["one"].entropy
    with pytest.raises(ValueError, match="every name once"):
        truth_catalogue({"a": {"one": small}, "b": {"one": small}})


def test_the_table_has_a_line_for_each_network():
    assert len(str(truth_networks()).splitlines()) == len(truth_networks()) + 1
    assert truth_networks()._repr_html_().count("<tr>") == len(truth_networks()) + 1


def test_the_given_network_is_copied_and_left_as_it_is():
    given = nn.Sequential(nn.Linear(1, 2), nn.Dropout())
    net = small(network=given)
    assert given.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in given.parameters())
    assert net.dimensions == {2: 1.0}
    assert net.sample(3, np.random.default_rng(0)).shape == (3, 2)
    assert net.partner is None
    assert net.hausdorff_entropy is None
    with pytest.raises(TypeError):
        net.dimensions[1] = 0.5  # pyright: ignore[reportIndexIssue]


def test_truths_are_shown_in_short():
    assert shown(exact(1 / 3, "m")) == "0.333333"
    assert shown(exact(-np.inf, "m")) == "-inf"
