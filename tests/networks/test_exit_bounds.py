"""Bounds of unions of half-spaces: pairs against quadrature, trees and sums against naive loops."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import log_ndtr, ndtr
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import mlp
from itssl.networks.exit_bounds import beyond_both, heaviest_tree, pairs, union_bounds
from itssl.networks.regions import activation_pattern, exit_probability, face_functionals

EPS = float(np.finfo(np.float64).eps)


def by_quadrature(h: float, k: float, angle: float) -> float:
    """∫_h^∞ φ(s) Φ((cos θ s − k) / sin θ) ds."""

    def density(s: float) -> float:
        return np.exp(-(s**2) / 2 + log_ndtr((np.cos(angle) * s - k) / np.sin(angle))) / np.sqrt(2 * np.pi)

    middle = max(h, k)
    cuts = [h, *(cut for cut in (middle - 1, middle, middle + 0.3, middle + 1, middle + 12) if cut > h)]
    return sum(quad(density, *ends, epsabs=0, epsrel=1e-12, limit=400)[0] for ends in itertools.pairwise(cuts))


def beyond(h: float, k: float, angle: float) -> float:
    return float(beyond_both(*(np.array([v]) for v in (h, k, np.sin(angle / 2), np.cos(angle / 2))))[0])


@pytest.mark.parametrize("h", [0.0, 0.3, 2.0, 9.0])
@pytest.mark.parametrize("k", [0.0, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("angle", [0.1, 0.7, np.pi / 2, 2.0])
def test_pairs_are_the_integral_of_the_bivariate_density(h, k, angle):
    found = beyond(h, k, angle)
    # a few roundings of the single probabilities, and what the quadrature promises
    assert found == pytest.approx(by_quadrature(h, k, angle), rel=1e-10, abs=32 * EPS * (ndtr(-h) + ndtr(-k)))


def test_pairs_at_the_ends_of_the_range_of_angles():
    h, k = np.array([0.0, 1.0, 1.0, 2.0, 7.0]), np.array([0.0, 1.0, 2.0, 1.0, 7.0])
    zero, one = np.zeros(5), np.ones(5)
    np.testing.assert_allclose(beyond_both(h, k, zero, one), ndtr(-np.maximum(h, k)), rtol=8 * EPS)  # one face
    assert (beyond_both(h, k, one, zero) <= 8 * EPS * ndtr(-h)).all()  # opposite ones
    assert beyond_both(np.array([1.0, np.inf]), np.array([np.inf, np.inf]), zero[:2], one[:2]).tolist() == [0.0, 0.0]
    half = np.sqrt(0.5) * one
    np.testing.assert_allclose(
        beyond_both(h, k, half, half), ndtr(-h) * ndtr(-k), rtol=0, atol=8 * EPS * ndtr(-h).max()
    )
    assert beyond_both(np.zeros(1), np.ones(1), half[:1], half[:1])[0] == pytest.approx(0.5 * ndtr(-1.0), rel=16 * EPS)


def test_faces_that_are_nearly_the_same_keep_their_digits():
    """cos θ of two unit vectors 1e-9 apart is 1 in double precision; P is the smaller tail up to that angle."""
    normal = np.array([[[1.0, 0.0], [np.cos(1e-9), np.sin(1e-9)]]])
    both = pairs(np.array([[1.0, 1.0]]), normal)[0, 0, 1]
    lost = ndtr(-1.0) - both  # to first order θ/2 · φ(1) · 1/√(2π) ...
    assert lost == pytest.approx(1e-9 * np.exp(-0.5) / (2 * np.pi), rel=1e-6)


def spanning_trees(m: int):
    edges = list(itertools.combinations(range(m), 2))
    for tree in itertools.combinations(edges, m - 1):
        reached, grown = {0}, True
        while grown:
            grown = False
            for i, j in tree:
                if (i in reached) != (j in reached):
                    reached |= {i, j}
                    grown = True
        if len(reached) == m:
            yield tree


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_the_heaviest_tree_is_the_best_of_all(m):
    weights = stream(m, "weights").random((30, m, m))
    weights = weights + weights.transpose(0, 2, 1)
    twin = [max(sum(w[i, j] for i, j in tree) for tree in spanning_trees(m)) for w in weights]
    np.testing.assert_allclose(heaviest_tree(weights), twin, rtol=8 * m * EPS)
    assert heaviest_tree(np.empty((3, 0, 0))).tolist() == [0.0] * 3


def naive_bounds(both: np.ndarray, total: float) -> tuple[float, float]:
    m = len(both)
    best = max(sum(both[i, j] for i, j in tree) for tree in spanning_trees(m))
    caen = sum(both[i, i] ** 2 / sum(both[i, j] for j in range(m)) for i in range(m) if both[i, i] > 0)
    pair = max(both[i, i] + both[j, j] - both[i, j] for i in range(m) for j in range(m))
    return max(caen, pair), min(1.0, total - best)


def test_bounds_are_the_formulas():
    normal = stream(0, "normal").standard_normal((50, 4, 3))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    distance = np.abs(stream(0, "distance").standard_normal((50, 4)))
    distance[0, 1:] = np.inf
    both = pairs(distance, normal)
    total = np.trace(both, axis1=1, axis2=2)
    twin = np.array([naive_bounds(b, t) for b, t in zip(both, total, strict=True)])
    np.testing.assert_allclose(np.stack(union_bounds(both, total), axis=1), twin, rtol=64 * EPS)
    assert (twin[:, 0] > both.max(axis=(1, 2)) + 0.01).any(), "a bound that is never sharper shows nothing"


def test_bounds_hold_for_finite_unions():
    """Any events will do: unions of atoms, where the probability of the union is a sum."""
    rng = stream(0, "events")
    atoms = rng.dirichlet(np.ones(40), size=200)
    events = rng.random((200, 6, 40)) < rng.random((200, 6, 1)) * 0.3
    both = np.einsum("nik,njk,nk->nij", events, events, atoms)
    union = (events.any(axis=1) * atoms).sum(axis=1)
    lower, upper = union_bounds(both[:, :4, :4], np.trace(both, axis1=1, axis2=2))
    assert (lower <= union + 8 * EPS).all()
    assert (upper >= union - 8 * EPS).all()
    lower, upper = union_bounds(both, np.trace(both, axis1=1, axis2=2))
    assert (lower <= union + 8 * EPS).all()
    assert (upper >= union - 8 * EPS).all()
    assert np.median(upper - lower) < 0.5 * np.median(np.trace(both, axis1=1, axis2=2) - both.max(axis=(1, 2)))


# --- of networks -------------------------------------------------------------------------------------------------


def naive_exit(network: nn.Module, x: np.ndarray, cov: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """From all functionals and scipy-free correlations, a point at a time."""
    faces, found = face_functionals(network, x), []
    for a, u in zip(faces.gradient, faces.value, strict=True):
        std = np.sqrt(np.einsum("md,de,me->m", a, cov, a))
        t = np.abs(u) / std
        order = np.argsort(t)[:nearest]
        outward = -np.where(np.signbit(u), -1, 1)[:, None] * a / std[:, None]
        corr = np.clip(outward[order] @ cov @ outward[order].T, -1, 1)
        m = len(order)
        both = np.diag(ndtr(-t[order]))
        for i, j in itertools.combinations(range(m), 2):
            angle = np.arccos(corr[i, j])
            both[i, j] = both[j, i] = beyond(t[order[i]], t[order[j]], angle)
        found.append(naive_bounds(both, ndtr(-t).sum()))
    return tuple(np.transpose(found))


@pytest.mark.parametrize("nearest", [1, 2, 4])
def test_exit_bounds_are_those_of_all_functionals(nearest):
    network, x = mlp((5, 8, 8, 2), seed=3), stream(0, "x").standard_normal((30, 5))
    root = stream(0, "root").standard_normal((5, 5))
    cov = 0.02 * (root @ root.T + np.eye(5))
    bounds, twin = exit_probability(network, x, cov, nearest=nearest), naive_exit(network, x, cov, nearest)
    # arccos loses half the digits of faces nearly the same
    np.testing.assert_allclose(bounds.lower, np.minimum(twin[0], 1), rtol=0, atol=np.sqrt(EPS))
    np.testing.assert_allclose(bounds.upper, twin[1], rtol=0, atol=np.sqrt(EPS))


def test_more_faces_never_make_the_upper_bound_looser_and_none_is_looser_than_single_faces():
    network, x = mlp((16, 64, 64, 8), seed=0), stream(0, "x").standard_normal((100, 16))
    found = [exit_probability(network, x, 0.02**2, nearest=nearest) for nearest in (0, 1, 2, 4, 8, 16, 200)]
    rounding = 256 * EPS
    for looser, sharper in itertools.pairwise(found):
        assert (sharper.upper <= looser.upper + rounding).all()
    for bounds in found:
        assert (bounds.lower >= found[0].lower).all()
        assert (bounds.upper <= found[0].upper).all()
        assert (bounds.lower <= bounds.upper).all()
    gaps = [float((b.upper - b.lower).mean()) for b in found]
    assert gaps[5] < 0.6 * gaps[0]


@pytest.mark.parametrize("std", [0.01, 0.05])
@pytest.mark.parametrize("nearest", [2, 16, 1000])
def test_sharp_bounds_bracket_monte_carlo(nearest, std):
    network, n, draws = mlp((8, 16, 16, 2), seed=2), 40, 4000
    x = stream(0, "x").standard_normal((n, 8))
    bounds = exit_probability(network, x, std**2, nearest=nearest)
    moved = x[:, None] + std * stream(0, "draws").standard_normal((n, draws, 8))
    patterns = activation_pattern(network, moved.reshape(-1, 8)).reshape(n, draws, -1)
    share = (patterns != activation_pattern(network, x)[:, None]).any(axis=2).mean(axis=1)
    # Hoeffding: wrong by chance once in 1e6, over all points and both sides
    radius = np.sqrt(np.log(2 * n / 1e-6) / (2 * draws))
    assert (bounds.lower <= share + radius).all()
    assert (bounds.upper >= share - radius).all()


def corner(angle: float, at: float = 1.0) -> nn.Module:
    """Two faces whose normals enclose the angle, at the same distance from 0, on opposite sides of their units."""
    layer = nn.Linear(2, 2).double()
    layer.weight.data = torch.tensor([[1.0, 0.0], [-np.cos(angle), -np.sin(angle)]], dtype=torch.float64)
    layer.bias.data = torch.tensor([-at, at], dtype=torch.float64)
    return nn.Sequential(layer, nn.ReLU())


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.4, np.pi / 2, 3.0, np.pi])
def test_two_faces_are_known_exactly(angle):
    """The second unit is on at 0, so that its outward normal is minus its gradient."""
    bounds = exit_probability(corner(angle), [[0.0, 0.0]], 0.8**2)
    t = 1 / 0.8
    both = 0.0 if angle == np.pi else ndtr(-t) if angle < 1e-8 else by_quadrature(t, t, angle)
    exact = 2 * ndtr(-t) - both
    assert bounds.lower[0] == pytest.approx(exact, rel=1e-9)
    assert bounds.upper[0] == pytest.approx(exact, rel=1e-9)
    assert bounds.upper[0] == pytest.approx(bounds.lower[0], rel=8 * EPS)


def test_a_point_on_faces_is_on_the_side_its_pattern_says():
    """At 0 both inputs of the rectifiers are 0, that is off: a cone. In a pool of equals the first has won."""
    cone = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU()).double()
    cone[0].weight.data = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    bounds = exit_probability(cone, [[0.0, 0.0]], 1.0)  # normals at 45°: P(stay) = (π − π/4) / 2π
    np.testing.assert_allclose([bounds.lower[0], bounds.upper[0]], 5 / 8, rtol=16 * EPS)
    line = nn.Sequential(nn.Linear(1, 2), nn.ReLU()).double()
    line[0].weight.data = torch.ones(2, 1, dtype=torch.float64)
    line[0].bias.data = torch.tensor([0.0, 1.0], dtype=torch.float64)
    bounds = exit_probability(line, [[0.0]], 1.0)  # 0 belongs to (−1, 0]
    np.testing.assert_allclose([bounds.lower[0], bounds.upper[0]], 0.5 + ndtr(-1.0), rtol=16 * EPS)
    pool = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.MaxPool1d(3), nn.Flatten())
    bounds = exit_probability(pool, [[1.0, 1.0, 1.0]], 1.0)  # the first of three equals stays largest once in three
    np.testing.assert_allclose([bounds.lower[0], bounds.upper[0]], 2 / 3, rtol=16 * EPS)


@pytest.mark.parametrize("nearest", [-1, 2.0, True, None])
def test_what_is_no_number_of_faces_is_refused(nearest):
    unchecked = getattr(exit_probability, "__wrapped__", exit_probability)
    with pytest.raises(Exception, match="nearest"):
        unchecked(mlp((2, 3, 1), seed=0), np.ones((1, 2)), 1.0, nearest=nearest)
    with pytest.raises(ValueError, match="nearest: expected an integer >= 0, got -1; 0 gives the bounds by single"):
        exit_probability(mlp((2, 3, 1), seed=0), np.ones((1, 2)), 1.0, nearest=-1)
