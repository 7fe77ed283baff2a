"""The chain: each line against a twin made of other parts of the library, directions, errors and what it says."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import xlogy
from scipy.stats import norm
from torch import nn

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims import chain as chain_module
from itssl.claims.chain import measure_chain, measure_links
from itssl.claims.chain_answer import Chain, Link
from itssl.claims.claim import claims
from itssl.claims.information_bound import Prototypes
from itssl.claims.prototype_law import Draws, PrototypeLaw
from itssl.claims.worlds import digits_data, untrained_digits_encoder
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.mixture import GaussianMixture
from itssl.estimate import Bias, Estimate
from itssl.evaluation.decomposition import decompose
from itssl.networks.encoders import as_double, embed, mlp, torch_generator
from itssl.networks.pushforward import image, log_volume_change
from itssl.networks.views import AffineViews
from itssl.objectives.contrastive import infonce_terms

EPS = np.finfo(float).eps
STD, DRAWS = 0.3, 400
NAMES = [
    "log N", "I(X;X')", "I(Z;X')", "I(Z;Z')", "bound, best scale", "bound, h of the law", "bound, Gaussian h",
    "Hadamard", "second order of log|R|", "covariance term", "hinge", "VICReg",
]  # fmt: skip


def world(*widths: int, n: int = 12, slope: float = 0.1, gain: float = 1.0) -> tuple[nn.Module, np.ndarray]:
    """A random network, its last layer ``gain`` times as steep, and prototypes."""
    network = mlp(widths, seed=0, slope=slope)
    for parameter in network[-1].parameters():
        parameter.data *= gain
    return network, stream(0, "prototypes", *widths).standard_normal((n, widths[0]))


WORLDS = {
    "K = D": world(4, 8, 4),
    "K < D, variances above 1": world(5, 32, 3, n=30, gain=9.0),
    "more outputs than prototypes": world(8, 32, 8, n=4),
}
each_world = pytest.mark.parametrize("name", WORLDS)


def links_of(name: str, **options: Any) -> dict[str, Link]:
    found = measure_links(*WORLDS[name], **({"input_std": STD, "draws": DRAWS} | options))
    return {link.name: link for link in found}


def mixture_of(name: str) -> GaussianMixture:
    network, x = WORLDS[name]
    return image(GaussianMixture.isotropic(x, STD**2), network).mixture


def draws_of(name: str) -> Draws:
    network, x = WORLDS[name]
    return Draws.of(PrototypeLaw(prototypes=x, network=network, std=STD), DRAWS, 0)


@each_world
def test_information_entropy_and_their_errors_are_means_over_the_same_draws(name: str) -> None:
    """From the densities of the certified mixture, with paired errors by hand."""
    links, mixture, draws = links_of(name), mixture_of(name), draws_of(name)
    inputs = Prototypes(mixture=GaussianMixture.isotropic(WORLDS[name][1], STD**2))
    outputs, k, n = Prototypes(mixture=mixture), mixture.dim, len(mixture.weights)
    both = GaussianMixture(
        mixture.weights,
        np.hstack([mixture.means, inputs.mixture.means]),
        np.stack([np.block([[c, np.zeros((k, len(d)))], [np.zeros((len(d), k)), d]])
                  for c, d in zip(mixture.covs, inputs.mixture.covs, strict=True)]),
    )  # fmt: skip
    log_z, log_z_pair, log_zz = outputs.log_densities(draws.z, draws.z_pair)
    log_x, log_x_pair, log_xx = inputs.log_densities(draws.x, draws.x_pair)
    log_zx = both.log_density(np.hstack([draws.z, draws.x_pair]))
    trace = np.trace(np.einsum("m,mij->ij", mixture.weights, mixture.covs))
    isotropic = Gaussian(np.zeros(k), 2 * trace / k * np.eye(k))
    rows = {
        "log N": np.full(DRAWS, math.log(n)),
        "I(X;X')": log_xx - log_x - log_x_pair,
        "I(Z;X')": log_zx - log_z - log_x_pair,
        "I(Z;Z')": log_zz - log_z - log_z_pair,
        "bound, best scale": -log_z - isotropic.entropy.value,  # −E log q = h(q) for the fitted scale
        "bound, h of the law": -log_z - k / 2 * math.log(2 * math.pi) - trace,
        "bound, Gaussian h": np.full(DRAWS, Gaussian(mixture.mean, mixture.cov).entropy.value
                                     - k / 2 * math.log(2 * math.pi) - trace),
    }  # fmt: skip
    tolerance = 1e3 * EPS * np.linalg.cond(mixture.covs).max()
    before = None
    for step, values in rows.items():
        link = links[step]
        assert link.value == pytest.approx(values.mean(), abs=tolerance)
        assert link.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(DRAWS), abs=tolerance)
        if before is not None:
            assert link.gap == pytest.approx((values - before).mean(), abs=tolerance)
            assert link.gap_error == pytest.approx((values - before).std(ddof=1) / math.sqrt(DRAWS), abs=tolerance)
        before = values


@each_world
def test_surrogates_are_those_of_decompose_on_many_rows_of_the_law(name: str) -> None:
    """decompose knows rows only: its values differ by their spread, and by the bias of moments, which is smaller."""
    links, mixture = links_of(name), mixture_of(name)
    z_a, z_b = Prototypes(mixture=mixture).sample(40_000, stream(0, "many rows"))
    truth = Estimate(value=0.0, standard_error=0.0, n=1, bias=Bias.EXACT, method="not needed")
    found = decompose(z_a, z_b, information=truth)
    for step in NAMES[6:]:
        assert abs(links[step].value - found[step].value) < 5 * found[step].standard_error, step
        if step != NAMES[6]:
            assert abs(links[step].gap - found[step].gap) < 5 * found[step].gap_error + 1e3 * EPS, step
            assert links[step].relation == found[step].relation


@each_world
@pytest.mark.parametrize("std", [1e-3, STD, 2.0])
def test_gaps_go_in_the_direction_said_and_add_up(name: str, std: float) -> None:
    links = list(links_of(name, input_std=std).values())
    assert [link.name for link in links] == NAMES
    assert math.isnan(links[0].gap)
    total = links[0].value
    ambiguity = 0.0 if x_names_t(name, std) else conditional_entropy(name, std)
    for last, link in pairwise(links):
        slack = 6 * link.gap_error + 2**12 * EPS * max(1.0, abs(link.value))
        if link.name in NAMES[2:4]:
            assert link.relation == ("≈" if ambiguity else "≥")
            assert link.gap <= slack + ambiguity, "knowing T for X adds H(T|X) at most"
        assert {"≥": link.gap <= slack, "≤": link.gap >= -slack, "≈": True}[link.relation], link
        assert link.gap == pytest.approx(link.value - last.value, abs=64 * EPS * abs(last.value))
        total += link.gap
    assert total == pytest.approx(links[-1].value, abs=2**12 * EPS * max(abs(link.value) for link in links))


def x_names_t(name: str, std: float) -> bool:
    """Whether draws are nearer to another prototype less than once in a million."""
    x = WORLDS[name][1]
    apart = np.linalg.norm(x[:, None] - x, axis=2)[~np.eye(len(x), dtype=bool)]
    return norm.sf(apart / (2 * std)).sum() / len(x) <= 1e-6


def conditional_entropy(name: str, std: float) -> float:
    """H(T|X) over the draws."""
    network, x = WORLDS[name]
    law = PrototypeLaw(prototypes=x, network=network, std=std)
    draws = Draws.of(law, DRAWS, 0)
    given = law.input_log_densities(draws.x)
    return float((np.logaddexp.reduce(given, axis=1) - given[np.arange(DRAWS), draws.labels]).mean())


def test_relations_are_theorems_down_to_the_moments() -> None:
    found = [links_of(name, input_std=0.01) for name in WORLDS]
    for links in found:
        assert [links[step].relation for step in NAMES[1:9]] == ["≥", "≥", "≥", "≥", "≥", "≤", "≤", "≥"]
    assert len({tuple(links[step].relation for step in NAMES[9:]) for links in found}) > 1, "these the law decides"


def test_equal_prototypes_share_nothing_and_their_law_is_gaussian() -> None:
    """Two equal prototypes: no information at all, and no negentropy; log N alone sees two of them."""
    network, x = WORLDS["K = D"]
    links = {a.name: a for a in measure_links(network, x[[0, 0]], input_std=STD, draws=DRAWS)}
    assert links["log N"].value == math.log(2)
    for step in NAMES[1:4]:
        assert links[step].value == pytest.approx(0, abs=1e3 * EPS)
    assert abs(links["bound, Gaussian h"].gap) < 5 * links["bound, Gaussian h"].gap_error
    lost = Gaussian(np.zeros(4), PrototypeLaw(prototypes=x[[0, 0]], network=network, std=STD).within)
    divergence = 2 * math.log(2 * np.trace(lost.cov) / 4) - 0.5 * lost.log_det  # KL of N(f, W) from N(z', s²I)
    assert abs(links["bound, best scale"].gap + divergence) < 5 * links["bound, best scale"].gap_error


def test_scale_costs_the_bound_and_no_information() -> None:
    name = "K = D"
    network, x = world(4, 8, 4, gain=3.0)
    one = links_of(name)
    three = {a.name: a for a in measure_links(network, x, input_std=STD, draws=DRAWS)}
    for step in NAMES[:5]:
        assert three[step].value == pytest.approx(one[step].value, abs=1e6 * EPS)
    law = PrototypeLaw(prototypes=x, network=WORLDS[name][0], std=STD)
    moved = 4 * math.log(3) - 8 * np.trace(law.within)
    for step in NAMES[5:7]:
        assert three[step].value - one[step].value == pytest.approx(moved, abs=1e6 * EPS)


def test_bad_arguments_are_refused_by_name() -> None:
    network, x = WORLDS["K = D"]
    with pytest.raises(ParameterError, match="input_std"):
        measure_links(network, x, input_std=0.0)
    with pytest.raises(ParameterError, match="draws"):
        measure_links(network, x, input_std=STD, draws=1)
    with pytest.raises(LawError, match="local maps of rank 6"):
        measure_links(*world(4, 8, 6), input_std=STD)


@pytest.mark.parametrize("std", [1e-3, STD])
def test_premises_against_every_draw(std: float) -> None:
    network, x = WORLDS["K = D"]
    law = PrototypeLaw(prototypes=x, network=network, std=std)
    draws = Draws.of(law, DRAWS, 0)
    confused, exits, moments, entropy, floor = (value for _, value, *_ in chain_module._rests_on(law, draws))
    posterior, posterior_x = (
        given - np.logaddexp.reduce(given, axis=1)[:, None]
        for given in (law.log_densities(draws.z), law.input_log_densities(draws.x))
    )
    change = log_volume_change(network, draws.x) - log_volume_change(network, x)[draws.labels]
    told = [np.array([given[i, t] for i, t in enumerate(draws.labels)]) for given in (posterior_x, posterior)]
    assert entropy == pytest.approx((change + told[0] - told[1]).mean(), abs=1e3 * EPS)
    p = exits + 1 - np.exp(posterior).max(axis=1).mean()
    p = min(p, 1 - 1 / len(x))
    fano = -xlogy(p, p) - xlogy(1 - p, 1 - p) + p * math.log(len(x) - 1)
    assert floor == pytest.approx(math.log(len(x)) - 2 * fano, abs=1e6 * EPS)
    error = chain_module._rests_on(law, draws)[-1][2]
    spread = (1 - np.exp(posterior).max(axis=1)).std(ddof=1) / math.sqrt(DRAWS)
    slope = math.log((1 - p) * (len(x) - 1) / p) if spread > 0 else 0.0
    assert error == pytest.approx(2 * slope * spread, abs=1e6 * EPS)
    assert (error > 0.01) == (std == STD)
    assert (confused < 1e-12, exits < 0.1, moments < 1e-3) == (std < STD,) * 3
    assert floor <= links_of("K = D", input_std=std)["I(Z;Z')"].value


def on_a_line(*x: float) -> PrototypeLaw:
    """Slope 1 above 0, a tenth below: one to one, so that the entropy of f(X) is known."""
    network = nn.Sequential(nn.Linear(1, 1), nn.LeakyReLU(0.1), nn.Linear(1, 1)).double()
    for parameter in network.parameters():
        parameter.data = torch.full_like(parameter, parameter.ndim - 1.0)
    return PrototypeLaw(prototypes=np.array(x)[:, None], network=network, std=1.0)


def test_entropy_of_a_network_on_a_line_is_that_of_z_and_what_premises_say() -> None:
    """Draws leave their region, X and Z name T with errors of their own: h(f(X)) = h(X) + E log f', by quadrature."""
    law, n = on_a_line(-0.3, 0.3), 20_000
    (_, found, error, *_) = chain_module._rests_on(law, Draws.of(law, n, 0))[3]
    x = GaussianMixture.isotropic(law.prototypes, 1.0)
    z = image(x, law.network).mixture
    expected = x.entropy_by_quadrature().value - math.log(10) / 2 - z.entropy_by_quadrature().value
    assert abs(found - expected) < 5 * error
    assert abs(expected) > 20 * error


def test_no_entropy_is_compared_where_outputs_are_fewer_than_inputs() -> None:
    network, x = WORLDS["K < D, variances above 1"]
    law = PrototypeLaw(prototypes=x, network=network, std=STD)
    (_, found, error, _, why) = chain_module._rests_on(law, Draws.of(law, DRAWS, 0))[3]
    assert math.isnan(found)
    assert math.isnan(error)
    assert "K < D" in why


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.7])
def test_fano_is_the_entropy_of_a_name_that_is_wrong_with_probability_p(p: float) -> None:
    """And the most of it: all wrong names are equally likely."""
    law = np.array([1 - p, *([p / 9] * 9)])
    assert chain_module._fano(p, 10) == pytest.approx(-xlogy(law, law).sum(), abs=64 * EPS)
    assert chain_module._fano(2.0, 10) == pytest.approx(math.log(10), abs=64 * EPS)
    assert chain_module._fano(0.0, 10) == 0.0


def test_data_processing_says_up_to_how_many_nats_it_holds() -> None:
    assert chain_module._fano(chain_module.NAMED, 500) < 2.2e-5
    for std in (1e-3, STD):
        network, x = WORLDS["K = D"]
        most = chain_module._fano(PrototypeLaw(prototypes=x, network=network, std=std).confused, len(x))
        assert conditional_entropy("K = D", std) <= most + 64 * EPS
        for step in NAMES[2:4]:
            assert f"H(T|X) ≲ {most:.2g} nats" in links_of("K = D", input_std=std)[step].why


@pytest.fixture(scope="module")
def small() -> Chain:
    """The chain of the digits encoder without training: another initialization stands for the trained network."""
    data = replace(digits_data(), test_x=digits_data().test_x[:40], test_y=digits_data().test_y[:40])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "digits_data", lambda: data)
        patch.setattr(chain_module, "digits_encoder", lambda: as_double(untrained_digits_encoder(1)))
        return measure_chain(draws=64)


def test_both_networks_are_measured_in_the_same_way(small: Chain) -> None:
    x = digits_data().test_x[:40]
    for links, seed in ((small.before, 0), (small.after, 1)):
        own = measure_links(as_double(untrained_digits_encoder(seed)), x, input_std=small.input_std, draws=64)
        assert links[1:] == own[1:]
    assert small["VICReg"] == (small.before[-1], small.after[-1])
    with pytest.raises(UnknownNameError, match="name"):
        small["loss"]


def test_reasons_are_claims(small: Chain) -> None:
    rows = (*small.before, *small.after, *small.premises, *small.consequences)
    assert {id for row in rows for id in row.claims} <= set(claims())
    assert all(row.claims and row.why for row in rows)


def test_views_of_training_are_decomposed_with_a_lower_bound_of_information(small: Chain) -> None:
    for views in (small.views_before, small.views_after):
        assert views.information.bias is Bias.LOWER
        assert views.information.value <= math.log(views.information.n)
        assert views.normalization == "reference"
        assert [step.name for step in views.steps[2:]] == NAMES[6:]


def test_consequences_are_the_bound_and_the_error_it_bounds(small: Chain) -> None:
    error, bound = small.consequences
    assert 0 < error.before < bound.before
    assert 0 < error.after < bound.after
    assert "C39" in error.claims


def test_infonce_is_that_of_the_objectives() -> None:
    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in stream(0, "u").standard_normal((2, 30, 4)))
    found = chain_module._infonce(u, v, 0.2).mean()
    assert found == pytest.approx(infonce_terms(u, v, temperature=0.2).bound.value, abs=1e3 * EPS)


def test_information_of_augmented_pictures_is_infonce_of_both_views_on_the_second_half() -> None:
    network, data, n = as_double(untrained_digits_encoder()), digits_data(), 200
    x = torch.tensor(data.test_x[stream(3, "pictures of the chain").integers(len(data.test_x), size=n)])
    views = AffineViews()(x, torch_generator(3, "views of the chain"))
    center = embed(network, data.train_x).mean(axis=0)
    z_a, z_b = (embed(network, view.numpy())[n // 2 :] - center for view in views)
    found = chain_module._augmented(network, 3, n=n).information
    expected = {tau: infonce_terms(z_a, z_b, temperature=tau).bound.value for tau in chain_module.TEMPERATURES}
    chosen = float(found.method.rpartition(" ")[2])
    assert found.value == pytest.approx(expected[chosen], abs=1e4 * EPS)
    assert found.n == n // 2


def test_forms_say_the_same(small: Chain) -> None:
    found = json.loads(json.dumps(small.to_dict(), allow_nan=False))
    assert [entry["value"] for entry in found["after"]] == [link.value for link in small.after]
    assert found["before"][0]["gap"] == "nan"
    assert found["units"] == "nats"
    table = small.to_pandas()
    assert list(table["value"]) == [link.value for link in (*small.before, *small.after)]
    text, page = str(small), small._repr_html_()
    for link in small.after:
        assert f"{link.relation} {link.name}".strip() in text
    for note in small.notes:
        assert note in text
    assert small.notes[0].startswith("training changes I(Z;Z') by 0 nats and the last line by ")
    assert page.count("<tr>") == 1 + len(NAMES)
    assert "I(Z;Z&#x27;)" in page
    with pytest.raises(TypeError, match="no truth value"):
        bool(small)


@pytest.mark.slow
def test_training_raises_what_stands_for_information_and_not_information() -> None:
    found = measure_chain()
    information, vicreg = found["I(Z;Z')"], found["VICReg"]
    floors = next(p for p in found.premises if p.name.startswith("I(f(X)"))
    exits = next(p for p in found.premises if p.name.startswith("A1"))
    assert max(exits.before, exits.after) < 0.01
    ceiling = math.log(found.prototypes)
    assert information[1].value - information[0].value == pytest.approx(0, abs=1e-9)
    assert ceiling - min(floors.before, floors.after) < vicreg[1].value - vicreg[0].value
    assert found["bound, h of the law"][1].value < found["bound, h of the law"][0].value
