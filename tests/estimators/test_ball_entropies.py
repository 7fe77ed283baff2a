"""Entropies of blocks from shared lists against a search in each block: the same numbers, row by row rounding aside."""

from unittest.mock import patch

import numpy as np
import pytest

from itssl import KSG, KozachenkoLeonenko
from itssl.arrays import stream
from itssl.estimators import ball_entropies, joint_counts
from itssl.estimators.ball_entropies import BallEntropies
from itssl.estimators.error_bars import value_only
from itssl.estimators.extrapolated_neighbors import ExtrapolatedKozachenkoLeonenko
from itssl.estimators.hausdorff import HausdorffEntropy
from itssl.estimators.nearest_neighbors import ball_volumes, log_ball_volumes
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.estimators.truncated_neighbors import TruncatedKozachenkoLeonenko
from itssl.estimators.weighted_neighbors import WeightedKozachenkoLeonenko
from itssl.kernels.neighbors import Norm

EPS = np.finfo(float).eps


def blocks_of(n, count=4):
    return [np.sort(part) for part in np.array_split(stream(0, "parts").permutation(n), count)]


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("norm", ["euclidean", "chebyshev", "manhattan"])
def test_lists_give_what_a_search_in_each_block_gives(norm, count):
    """Also where rows come twice, and where a cluster far out makes lists short of rows of its block."""
    rng = stream(0, "lists")
    x = rng.normal(size=(1000, 3))
    x[:30], x[40] = 50 + 1e-3 * x[:30], x[41]
    entropies = BallEntropies(x, 4, norm, ball_volumes(3, norm))
    assert entropies.shared
    parts = blocks_of(1000, count)
    for rows, found in zip(parts, entropies(parts), strict=True):
        with np.errstate(divide="ignore"):  # the rows that come twice
            expected = neighbor_entropies(log_ball_volumes(x[rows], 4, norm))
        np.testing.assert_allclose(found, expected, rtol=1e3 * EPS)
    with patch.object(ball_entropies, "first_of_block", wraps=ball_entropies.first_of_block) as read:
        entropies(parts)
        assert read.call_count == 1


def test_what_is_not_shared():
    """Few rows, the line and the plane, norms without a fast redo, lists that are long, and values alone."""

    def shared(n: int, d: int, k: int = 4, norm: Norm = "euclidean") -> bool:
        return BallEntropies(np.zeros((n, d)), k, norm, ball_volumes(d, norm)).shared

    assert shared(1000, 3)
    assert not any((shared(999, 3), shared(4000, 2), shared(4000, 3, norm=3.0), shared(4000, 3, k=200)))
    with value_only():
        assert not shared(1000, 3)


ENTROPIES = [
    KozachenkoLeonenko(), KozachenkoLeonenko(k=2, metric="chebyshev"), ExtrapolatedKozachenkoLeonenko(),
    WeightedKozachenkoLeonenko(), TruncatedKozachenkoLeonenko(-60.0, 60.0), HausdorffEntropy(dimension=2),
]  # fmt: skip


@pytest.mark.parametrize("estimator", ENTROPIES, ids=repr)
def test_estimates_are_the_same_either_way(estimator):
    x = stream(0, "either").normal(size=(1000, 3)) * [1.0, 2.0, 0.2]
    found = estimator.entropy(x)
    with patch.object(ball_entropies, "_LEAST_ROWS", 10**9):
        plain = estimator.entropy(x)
    assert found.value == pytest.approx(plain.value, abs=1e3 * EPS)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e5 * EPS)
    assert found.interval(0.9) == pytest.approx(plain.interval(0.9), rel=1e5 * EPS)
    assert found.interval(0.9) != (found.value, found.value)
    assert found.warnings == plain.warnings


@pytest.mark.parametrize("estimator", [KSG(), KSG(variant=2), KozachenkoLeonenko()], ids=repr)
def test_informations_are_the_same_either_way(estimator):
    rng = stream(0, "either")
    x = rng.normal(size=(1000, 3))
    y = x[:, :2] + rng.normal(size=(1000, 2))
    found = estimator.mutual_information(x, y)
    with patch.object(ball_entropies, "_LEAST_ROWS", 10**9), patch.object(joint_counts, "_LEAST_ROWS", 10**9):
        plain = estimator.mutual_information(x, y)
    assert found.value == pytest.approx(plain.value, abs=1e3 * EPS)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e5 * EPS)
    assert found.diagnostics == pytest.approx(plain.diagnostics, rel=1e7 * EPS)
