"""Volumes, ranks and pseudo-inverses: determinants, exact arithmetic, and any units."""

import numpy as np
import pytest
import torch
from mpmath import mp
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import mlp
from itssl.networks.regions import local_affine
from itssl.networks.volumes import log_volume_change, log_volumes, pseudo_inverse, ranks, square_chain_log_volumes

EPS = float(np.finfo(float).eps)
SHAPES = [(1, 1), (2, 2), (5, 5), (4, 2), (2, 4), (6, 1)]


def exact_log_volume(matrix: np.ndarray) -> float:
    """½ log det of the Gram matrix in 60 digits."""
    with mp.workdps(60):
        a = mp.matrix(matrix.tolist())
        gram = a.T * a if a.rows >= a.cols else a * a.T
        return float(mp.log(mp.det(gram)) / 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_volumes_and_inverses_in_any_units(shape):
    rng = stream(0, "volumes", *shape)
    plain = rng.standard_normal(shape)
    for spread in (0, 4, 8):
        rows, columns = (10.0 ** rng.uniform(-spread, spread, n) for n in shape)
        for matrix in (plain * rows[:, None] if shape[0] <= shape[1] else plain * columns, plain):
            assert log_volumes(matrix) == pytest.approx(exact_log_volume(matrix), abs=1e4 * EPS)
            assert ranks(matrix) == min(shape)
            unit = pseudo_inverse(matrix) @ matrix if shape[0] >= shape[1] else matrix @ pseudo_inverse(matrix)
            scale = np.sqrt(np.abs(np.diag(unit)))
            mixed = np.outer(columns, 1 / columns) if shape[0] >= shape[1] else np.outer(rows, 1 / rows)
            np.testing.assert_allclose(
                unit / np.maximum(mixed, 1 / mixed), np.diag(scale) @ np.eye(min(shape)), atol=1e5 * EPS
            )


def test_ranks_do_not_depend_on_units_and_rounding_is_no_rank():
    rng = stream(0, "ranks")
    left, right = rng.standard_normal((64, 1)), rng.standard_normal((1, 2))
    rounded = rng.standard_normal((2, 64)) @ (left @ right)  # rank one, up to the rounding of a product
    dense = rng.standard_normal((2, 2))
    for units in (np.ones(2), np.array([1e9, 1e-9])):
        assert ranks(dense * units) == ranks(units[:, None] * dense) == 2
        assert ranks(rounded * units) == 1
        assert ranks(units[:, None] * rounded) == 1
        assert ranks(np.diag(units)) == 2
        assert log_volumes(rounded * units) == -np.inf
    for seed in range(50):
        draw = stream(seed, "narrow network").standard_normal
        narrow = draw((2, 64)) @ (draw((64, 64)) @ (draw((64, 1)) @ draw((1, 64)))) @ (draw((64, 64)) @ draw((64, 2)))
        assert ranks(narrow) == 1
    assert ranks(np.diag([1.0, 1e-11])) == 2
    assert ranks(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-11]])) == 2, "11 digits are not rounding"
    assert ranks(np.zeros((3, 2))) == 0
    assert ranks(np.array([[0.0, 5.0], [0.0, 0.0]])) == 1


def test_deep_leaky_chains_are_added_up_layer_by_layer():
    """Their product is flatter than float64 can tell; in 80 digits its determinant is seen."""
    network, x = mlp((3,) * 12, seed=0, slope=0.01), stream(0, "x").standard_normal((10, 3))
    found = log_volume_change(network, x)
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    for point, volume in zip(x, found, strict=True):
        with mp.workdps(80):
            value, product = mp.matrix(point.tolist()), mp.eye(3)
            for layer in layers:
                weight, bias = mp.matrix(layer.weight.tolist()), mp.matrix(layer.bias.tolist())
                value, product = weight * value + bias, weight * product
                if layer is not layers[-1]:
                    slopes = [1 if entry > 0 else mp.mpf(0.01) for entry in value]
                    value = mp.matrix([s * entry for s, entry in zip(slopes, value, strict=True)])
                    product = mp.diag(slopes) * product
            assert volume == pytest.approx(float(mp.log(abs(mp.det(product)))), abs=1e-10)
    flat = log_volumes(local_affine(network, x).matrix)
    assert np.isneginf(flat).any(), "the case in point: entries of the product do not show the determinant"


def test_chains_that_are_not_square_or_leaky_have_no_sum():
    x = torch.ones(1, 2, dtype=torch.float64)
    assert square_chain_log_volumes([nn.Linear(2, 3).double()], x) is None
    assert square_chain_log_volumes([nn.ReLU()], x) is None
    assert square_chain_log_volumes([nn.LeakyReLU(0.0)], x) is None
    assert square_chain_log_volumes([nn.Flatten(), nn.LeakyReLU(-0.5)], x) == 0
    assert square_chain_log_volumes([nn.LeakyReLU(-0.5)], -x) == pytest.approx(2 * np.log(0.5))
