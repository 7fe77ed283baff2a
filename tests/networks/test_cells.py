"""Regions by splitting: a partition, one pattern in each cell, none twice, the local map of each."""

from math import comb

import numpy as np
import pytest
from planar_networks import Folded, Residual, drawn, linear, pooled, through_the_origin
from scipy.spatial import ConvexHull
from torch import nn

from itssl.choices import ParameterError
from itssl.distributions.polygon_measure import standard_polygon_probability
from itssl.networks.cells import cells
from itssl.networks.encoders import NetworkError, embed, mlp
from itssl.networks.regions import activation_pattern

NETWORKS = {
    "line": lambda seed: mlp((1, 9, 5, 2), seed=seed),
    "shallow": lambda seed: mlp((2, 12, 1), seed=seed),
    "deep": lambda seed: mlp((2, 8, 8, 8, 2), seed=seed),
    "leaky": lambda seed: mlp((2, 5, 5, 2), seed=seed, slope=0.2),
    "folded": lambda seed: Folded(),
    "residual": lambda seed: Residual(seed, 2),
    "pooled": pooled,
    "cones": through_the_origin,
    "space": lambda seed: mlp((3, 5, 4, 2), seed=seed),
    "folded space": lambda seed: Residual(seed, 3),
}
INPUTS = dict.fromkeys(NETWORKS, 2) | {"line": 1, "space": 3, "folded space": 3}
each = pytest.mark.parametrize("name", NETWORKS)
each_seed = pytest.mark.parametrize("seed", range(3))


def enumerated(name, seed, reach=9.0):
    network, d = NETWORKS[name](seed), INPUTS[name]
    return network, cells(network, np.full(d, -reach), np.full(d, reach))


@each_seed
@each
def test_every_point_lies_in_one_cell_and_has_its_pattern_and_map(name, seed):
    network, found = enumerated(name, seed)
    x = (2 * drawn(4000, INPUTS[name], seed=seed)).clip(-8.9, 8.9)
    owner = np.stack([cell.contains(x) for cell in found])
    assert (owner.sum(axis=0) == 1).all()
    middles = np.stack([cell.corners.mean(axis=0) for cell in found])
    patterns, owner = activation_pattern(network, middles), owner.argmax(axis=0)
    if name != "pooled":  # a region of a max-pool may come in several parts
        assert len(np.unique(patterns, axis=0)) == len(found)
    np.testing.assert_array_equal(activation_pattern(network, x), patterns[owner])
    mapped = np.stack([found[c].matrix @ point + found[c].shift for c, point in zip(owner, x, strict=True)])
    size = max(1.0, np.abs(mapped).max())
    np.testing.assert_allclose(mapped, embed(network, x), rtol=0, atol=1e4 * np.finfo(float).eps * size)


@each_seed
@each
def test_the_sizes_of_the_cells_add_up_to_the_box(name, seed):
    _, found = enumerated(name, seed, reach=4.0)
    d = INPUTS[name]
    volumes = [np.ptp(c.corners) if d == 1 else ConvexHull(c.corners).volume for c in found]
    assert sum(volumes) == pytest.approx(8.0**d, rel=2**14 * np.finfo(float).eps)  # 2⁴ roundings a cell


@pytest.mark.parametrize("name", [name for name, d in INPUTS.items() if d == 2])
def test_the_probabilities_add_up_to_one(name):
    _, found = enumerated(name, seed=5)
    assert abs(sum(standard_polygon_probability(cell.corners) for cell in found) - 1) < 1e-10


@pytest.mark.parametrize("m", [1, 3, 7])
def test_lines_in_general_position_cut_the_plane_into_as_many_parts_as_schlaefli_counts(m):
    """m lines in general position: 1 + m + m(m − 1)/2 parts; Schläfli's sum of binomials."""
    network = nn.Sequential(linear(drawn(m, 2).tolist(), (0.1 * drawn(m)).tolist()), nn.ReLU())
    found = cells(network, np.full(2, -1e4), np.full(2, 1e4))
    assert len(found) == sum(comb(m, i) for i in range(3))


def test_one_face_seen_twice_is_one_face():
    network = nn.Sequential(linear([[1.0, 2.0], [-3.0, -6.0], [1.0, 2.0]], [0.5, -1.5, 0.5]), nn.ReLU())
    assert len(cells(network, np.full(2, -5.0), np.full(2, 5.0))) == 2


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_units_do_not_matter(scale):
    network = through_the_origin(0)
    few = cells(network, np.full(2, -9.0 * scale), np.full(2, 9.0 * scale))
    assert len(few) == len(cells(network, np.full(2, -9.0), np.full(2, 9.0)))


def test_an_affine_network_has_one_cell():
    (cell,) = cells(mlp((2, 3), seed=0), np.zeros(2), np.ones(2))
    assert cell.matrix.shape == (3, 2)
    assert cell.contains(np.array([[0.5, 0.5], [1.5, 0.5], [0.5, -1e-3]])).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("network", "low", "high", "options", "error", "message"),
    [
        (mlp((4, 2), seed=0), np.zeros(4), np.ones(4), {}, ParameterError, "expected 1 to 3 dimensions, got 4"),
        (mlp((2, 2), seed=0), np.zeros(2), np.zeros(2), {}, ParameterError, "corners of a box with low < high"),
        (mlp((2, 2), seed=0), np.zeros(2), np.array([1.0, np.inf]), {}, ParameterError, "finite corners"),
        (mlp((2, 9, 2), seed=0), -np.ones(2), np.ones(2), {"most": 3}, ParameterError, "at most 3 regions"),
        (mlp((2, 9, 2), seed=0), -np.ones(2), np.ones(2), {"most": 0}, ParameterError, "most"),
        (mlp((2, 2), seed=0), np.zeros(3), np.ones(3), {}, NetworkError, "x has 3 columns"),
        (nn.Tanh(), np.zeros(2), np.ones(2), {}, NetworkError, r"layer \(network\) \(Tanh\)"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(network, low, high, options, error, message):
    with pytest.raises(error, match=message):
        cells(network, low, high, **options)
