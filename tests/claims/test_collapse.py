"""C29 against gradients written out, finite differences and a network trained one step from collapse."""

import numpy as np
import pytest
import torch

import itssl
from itssl.claims import collapse
from itssl.claims.collapse import BETA, EPS, NOISE_VAR
from itssl.kernels.roots import root_between
from itssl.networks.encoders import mlp

MACHINE = np.finfo(float).eps
C29 = itssl.claims()["C29"]


def rng(*path):
    return itssl.stream(0, "tests of collapse", *path)


def points(n=9, k=3):
    return torch.tensor(rng().standard_normal((n, k)), requires_grad=True)


def parts(sides):
    return dict(zip(sides.parts, zip(sides.left, sides.right, strict=True), strict=True))


def naive_terms(z, beta):
    """The terms by their definitions, with loops, for numpy rows."""
    k = z.shape[1]
    cov = np.cov(z, rowvar=False)
    squares = np.array([[((a - b) ** 2).sum() for b in z] for a in z])
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores = u @ u.T / 0.1
    component = k / 2 * np.log(2 * np.pi * np.e * NOISE_VAR)
    bounds = [component - np.log(np.exp(-squares / (c * NOISE_VAR)).mean(axis=1)).mean() for c in (8, 2)]
    return {
        "hinge": np.mean([max(0, 1 - np.sqrt(v + EPS)) for v in np.diagonal(cov)]),
        "covariance": (cov**2).sum() / k - (np.diagonal(cov) ** 2).sum() / k,
        "log-det": 0.5 * np.linalg.slogdet(np.eye(k) + beta * cov)[1],
        "Bhattacharyya": bounds[0],
        "KL": bounds[1],
        "neighbors": k / 2 * np.log(np.sort(squares, axis=1)[:, 4] + NOISE_VAR).mean(),  # itself is the first
        "InfoNCE": -np.mean([np.log(np.exp(row[i]) / np.exp(row).sum()) for i, row in enumerate(scores)]),
    }


def test_terms_are_their_definitions():
    z = points()
    found = {name: term.item() for name, term in collapse._terms(z, 3.0).items()}
    assert found == pytest.approx(naive_terms(z.detach().numpy(), 3.0), abs=1e-12)


def test_norms_are_those_of_finite_differences():
    z = points()
    found = collapse._norms(collapse._terms(z, 3.0), (z,))
    rows, step = z.detach().numpy(), 1e-5
    squares = dict.fromkeys(found, 0.0)
    for index in np.ndindex(*rows.shape):
        ends = []
        for sign in (1, -1):
            moved = rows.copy()
            moved[index] += sign * step
            ends.append(naive_terms(moved, 3.0))
        for name in squares:
            squares[name] += ((ends[0][name] - ends[1][name]) / (2 * step)) ** 2
    assert found == pytest.approx({name: np.sqrt(v) for name, v in squares.items()}, abs=1e-8)  # step² and eps/step


@pytest.mark.parametrize("s", [1e-6, 1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("beta", [0.5, 100.0])
def test_ratio_of_isotropic_rows_is_the_closed_form(s, beta):
    z = collapse._isotropic(40, 8, rng())(s).z
    push = collapse._push(z, beta=beta)
    expected = 8 * beta * np.sqrt(s**2 + EPS) / (1 + beta * s**2)
    lost = 64 * MACHINE / s  # digits of s that rows of size 1 keep
    assert (push.at_least, push.ratio, push.at_most) == pytest.approx((expected,) * 3, rel=max(lost, 1e-12))


def test_hinge_pushes_harder_at_collapse_below_the_stated_beta():
    """Kβ√ε = 1 at K = 64 and ε = 1e-4 is β = 1.5625: the push of either side of it, whatever the shape."""
    for made in ("128 normal rows in R^64", "40 rows in R^64 with heavy tails"):
        z = C29.world(made).make()(rng())(1e-6).z
        assert collapse._push(z, beta=1.55).ratio < 1 < collapse._push(z, beta=1.57).ratio


def test_hundredfold_push_needs_the_stated_beta():
    def least(beta):
        s = np.geomspace(1e-4, 1e-2, 200)
        return (64 * beta * np.sqrt(s**2 + EPS) / (1 + beta * s**2)).min()

    assert 156 < root_between(lambda beta: least(beta) - 100, 10.0, 1000.0) < 157
    assert least(BETA) > 600


@pytest.mark.parametrize("world", [w for w in C29.worlds if "digits" not in w.name], ids=lambda w: w.name)
def test_slopes_are_nearly_reached(world):
    """All but that of the neighbors, which is for the worst of graphs."""
    found = parts(C29(world.make(), rng()))
    for name in ("hinge", "log-det", "Bhattacharyya", "KL"):
        assert 0.999 < found[f"{name} ≤ slope · distance"][0] <= 1


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_slopes_hold_far_from_collapse(spread):
    for i in range(20):
        z = collapse._heavy_tails(10, 3, rng(i))(spread).z
        assert max(collapse._push(z).of_slope.values()) <= 1 + 16 * MACHINE


def test_networks_stay_where_their_last_layer_is_zero():
    """Gradients by every weight of a small network, all terms: zero up to rounding, and not so one step away."""
    network, x = mlp((5, 16, 4), seed=0), torch.tensor(rng().standard_normal((32, 5)))
    last = list(network.parameters())[-2]
    with torch.no_grad():
        last.zero_()

    def norms():
        return collapse._norms(collapse._terms(network(x)), tuple(network.parameters()))

    assert max(norms().values()) < 64 * MACHINE * BETA
    with torch.no_grad():
        last += 1e-2 * torch.tensor(rng().standard_normal((4, 16)))
    assert min(norms().values()) > 64 * MACHINE * BETA


def test_columns_are_held_constant():
    z, dead = collapse._half_dead(points(6, 4))
    assert dead == 2
    assert z.is_leaf
    assert (z[:, 2:].std(0) < 8 * MACHINE).all()
    assert (z[:, :2].std(0) > 0.1).all()
