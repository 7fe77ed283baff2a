"""Overlap of prototypes against its definition, against closed forms for two prototypes, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from itssl.arrays import SampleError
from itssl.choices import ParameterError, UnknownNameError
from itssl.evaluation import overlap as module
from itssl.evaluation.overlap import (
    as_covariance,
    as_scales,
    is_singular,
    map_assignment,
    misassignment,
    overlap,
    square_root,
)

EPS = np.finfo(float).eps


def covariance(d, rng, condition=10.0):
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
    cov = axes * np.geomspace(1, 1 / condition, d) @ axes.T
    return (cov + cov.T) / 2


def by_definition(x, cov, scales):
    """Nearest distances, and lower and upper bounds, pair by pair."""
    precision, n = np.linalg.inv(cov), len(x)
    r = np.array([[np.sqrt((a - b) @ precision @ (a - b)) for b in x] for a in x])
    r[np.diag_indices(n)] = np.inf
    crossed = np.array([ndtr(-r / (2 * s)) for s in scales])
    return r.min(axis=1), crossed.max(axis=2), crossed.sum(axis=2)


@pytest.mark.parametrize("tile", [1, 7, 1024])
@pytest.mark.parametrize("center", [0.0, 1e6])
def test_overlap_equals_the_definition(tile, center, monkeypatch):
    """Also where the prototypes lie far from the origin, which costs digits of x and no more."""
    monkeypatch.setattr(module, "_TILE", tile)
    rng = np.random.default_rng(0)
    x, cov, scales = rng.normal(size=(25, 3)) + center, covariance(3, rng), (0.2, 1.0, 30.0)
    found = overlap(x, cov, scales=scales)
    nearest, lower, upper = by_definition(x, cov, scales)
    rounding = 1000 * EPS * (1 + center)
    np.testing.assert_allclose(found.nearest, nearest, rtol=rounding)
    for one, other in ((found.lower, lower), (found.upper, upper)):  # Φ(−t) loses t² times the digits of t
        np.testing.assert_allclose(one, other, rtol=rounding * (1 + (nearest.max() / 0.2) ** 2))
    np.testing.assert_array_equal(found.scales, scales)
    assert found.duplicates == 0


def test_distances_below_the_rounding_of_products():
    """Twins 1e-6 apart in a cloud of size 1, with noise of 1e-7: r = 10, while products round r² by 1e-16·1e14."""
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(40, 3))
    x = np.vstack([cloud, cloud[:1] + np.array([1e-6, 0, 0])])
    found = overlap(x, 1e-14)
    assert found.nearest[[0, 40]] == pytest.approx(10, rel=1e-9)
    assert found.upper[0, [0, 40]] == pytest.approx(ndtr(-5), rel=1e-7)
    assert found.upper[0, 1:40].max() == 0
    narrow = overlap(x, 1.0, scales=[1.0, 1e-7])  # the same noise, named by its scale
    np.testing.assert_allclose(narrow.upper[1], found.upper[0], rtol=1e-7)
    np.testing.assert_allclose(narrow.nearest * 1e7, found.nearest, rtol=1e-12)


@pytest.mark.parametrize("unit", [1.0, 1e-8, 1e-100])
def test_assignment_of_what_products_round_away(unit):
    """Twins 1e-9 apart in a cloud of size 1, in any unit: 1e-18 squared, where products round by 1e-16."""
    rng = np.random.default_rng(11)
    cloud = rng.normal(size=(300, 3)) * unit
    twins = np.vstack([cloud, cloud + np.array([1e-9, 0, 0]) * unit])
    x = twins + rng.uniform(-0.4e-9, 0.4e-9, size=twins.shape) * unit
    np.testing.assert_array_equal(map_assignment(x, twins, 1.0), np.arange(600))


def test_assignment_far_from_the_prototypes():
    """All prototypes are equally near up to the rounding of the products; the differences know."""
    x = np.array([[1e9, 0.0], [0.0, -1e9]])
    centers = np.random.default_rng(12).normal(size=(500, 2))
    np.testing.assert_array_equal(map_assignment(x, centers, 1.0), [centers[:, 0].argmax(), centers[:, 1].argmin()])


def test_noise_and_prototypes_in_other_units_change_nothing():
    rng = np.random.default_rng(2)
    x, cov = rng.normal(size=(20, 4)), covariance(4, rng)
    a = overlap(x, cov, scales=[0.5, 2.0])
    for factor in (1e-100, 1e100):
        b = overlap(x * factor, cov * factor**2, scales=[0.5, 2.0])
        np.testing.assert_allclose(a.upper, b.upper, rtol=1e-10)
        np.testing.assert_allclose(a.nearest, b.nearest, rtol=1e-12)
    np.testing.assert_allclose(a.upper[1], overlap(x, 4 * cov).upper[0], rtol=1e-10)


def test_duplicates_fail_at_every_scale():
    x = np.r_[np.random.default_rng(3).normal(size=(10, 3)), np.zeros((3, 3))] + 5
    found = overlap(x, 1e-8, scales=[1e-3, 1.0])
    assert found.duplicates == 2
    assert (found.nearest[-3:] == 0).all()
    assert found.upper[:, -3:] == pytest.approx(np.ones((2, 3)))  # two others at Φ(0)
    wrong = misassignment(x[-2:], 1e-8, np.random.default_rng(0))
    assert wrong.value == pytest.approx(0.5, abs=4 * wrong.standard_error)


@pytest.mark.parametrize("metric", ["inverse", "covariance"])
@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_two_prototypes_are_confused_as_often_as_the_normal_law_says(condition, metric):
    """With matrix M in the rule and δ between the prototypes: Φ(−½ δᵀMδ/√(δᵀMΣMδ))."""
    rng = np.random.default_rng(4)
    cov, gap = covariance(3, rng, condition), rng.normal(size=3) / 3
    matrix = np.linalg.inv(cov) if metric == "inverse" else cov
    truth = ndtr(-0.5 * gap @ matrix @ gap / np.sqrt(gap @ matrix @ cov @ matrix @ gap))
    found = misassignment([np.zeros(3), gap], cov, rng, 20_000, metric=metric)
    assert found.value == pytest.approx(truth, abs=4 * found.standard_error)
    assert found.n == 20_000


def test_covariance_for_its_inverse_misassigns_forty_percent_at_condition_100():
    """Two prototypes that the rule never confuses (r = 10), at 45° to the axes of a Σ of condition 100."""
    cov = np.diag([1.0, 0.01])
    direction = np.array([1.0, 1.0])
    gap = 10 * direction / np.sqrt(direction @ np.linalg.inv(cov) @ direction)
    right, wrong = (
        misassignment([np.zeros(2), gap], cov, np.random.default_rng(0), 20_000, metric=metric)
        for metric in ("inverse", "covariance")
    )
    assert right.value == 0
    assert overlap([np.zeros(2), gap], cov).upper.mean() == pytest.approx(ndtr(-5))
    share = ndtr(-0.5 * gap @ cov @ gap / np.sqrt(gap @ cov @ cov @ cov @ gap))
    assert wrong.value == pytest.approx(share, abs=4 * wrong.standard_error)
    assert 0.3 < share < 0.45


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.2])
def test_bounds_hold_what_is_counted(scale):
    rng = np.random.default_rng(5)
    x, cov = rng.normal(size=(12, 3)), covariance(3, rng)
    bounds, found = overlap(x, cov, scales=[scale]), misassignment(x, scale**2 * cov, rng, 20_000)
    error = 4 * found.standard_error
    assert bounds.lower.mean() - error <= found.value <= bounds.upper.mean() + error
    assert found.standard_error == pytest.approx(np.sqrt(found.value * (1 - found.value) / 20_000), rel=0.01)


def test_bound_is_nearly_tight_where_prototypes_are_far_apart():
    """On a line at distance 4σ: 2Φ(−2) inside, to 1 part in 100."""
    found = misassignment(np.arange(50.0) * 4, 1.0, np.random.default_rng(6), 200_000)
    bound = overlap(np.arange(50.0) * 4, 1.0).upper.mean()
    assert found.value == pytest.approx(bound, abs=4 * found.standard_error + bound / 100)


@pytest.mark.parametrize("kind", ["number", "shared", "several", "tensor"])
@pytest.mark.parametrize("pairs", [3, 2**21])
def test_assignment_is_the_most_probable_component(kind, pairs, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS", pairs)
    rng = np.random.default_rng(7)
    x, centers = rng.normal(size=(60, 3)), rng.normal(size=(8, 3))
    covs = {
        "number": [0.5 * np.eye(3)] * 8, "shared": [covariance(3, rng)] * 8, "tensor": [covariance(3, rng)] * 8,
        "several": [covariance(3, rng) * rng.uniform(0.2, 2) for _ in range(8)],
    }[kind]  # fmt: skip
    precision = np.linalg.inv(covs)
    precision = {
        "number": 2.0, "shared": precision[0], "several": (precision + precision.transpose(0, 2, 1)) / 2,
        "tensor": torch.tensor(precision[0]),
    }[kind]  # fmt: skip
    law: Any = multivariate_normal
    density = [law.logpdf(x, m, c) for m, c in zip(centers, covs, strict=True)]
    np.testing.assert_array_equal(map_assignment(x, centers, precision), np.argmax(density, axis=0))


def test_determinants_are_part_of_the_rule():
    """Halfway between a narrow and a wide law at one center, the narrow one is more probable up to where they cross."""
    crossing = np.sqrt(np.log(9) / (1 - 1 / 9))
    found = map_assignment([[0.99 * crossing], [1.01 * crossing]], [[0.0], [0.0]], [[[1 / 9]], [[1.0]]])
    np.testing.assert_array_equal(found, [1, 0])


def test_first_of_several_minima():
    np.testing.assert_array_equal(map_assignment([[1.0]], [[0.0], [2.0], [2.0]], 1.0), [0])
    np.testing.assert_array_equal(map_assignment([[1.0]], [[2.0], [0.0], [2.0]], np.ones((3, 1, 1))), [0])
    rng = np.random.default_rng(13)
    x, root = rng.normal(size=(40, 5)), covariance(5, rng)
    np.testing.assert_array_equal(map_assignment(x + 1e-3, np.vstack([x, x]), root), np.arange(40))


def test_nothing_hit_is_no_error_of_zero():
    found = misassignment([[0.0], [100.0]], 1.0, np.random.default_rng(0), 98)
    assert (found.value, found.standard_error) == (0.0, pytest.approx(np.sqrt(0.01 * 0.99 / 98)))


def test_draws_are_those_of_the_generator():
    x = np.random.default_rng(8).normal(size=(9, 2))
    first, second, other = (misassignment(x, 0.5, np.random.default_rng(seed)).value for seed in (0, 0, 1))
    assert first == second != other


def test_square_root_of_what_is_singular():
    root = square_root(np.diag([4.0, 1e-20]))
    np.testing.assert_array_equal(root, np.diag([2.0, 0.0]))
    cov = covariance(5, np.random.default_rng(9), 1e4)
    np.testing.assert_allclose(square_root(cov) @ square_root(cov), cov, atol=100 * EPS)
    inverse = square_root(cov, inverse=True)
    np.testing.assert_allclose(inverse @ cov @ inverse, np.eye(5), atol=1e4 * 100 * EPS)
    assert is_singular(np.diag([1.0, 1.0, 0.0]))
    assert not is_singular(cov)


X = np.random.default_rng(10).normal(size=(5, 2))


@pytest.mark.parametrize(
    ("cov", "words"),
    [
        (0.0, "cov: expected a finite number > 0, got 0.0"),
        (-1.0, "cov: expected a finite number > 0"),
        (float("nan"), "cov: expected a finite number > 0"),
        (np.ones(2), r"cov: expected a number or a \(2, 2\) array, got shape \(2,\); a vector of variances is np.diag"),
        (np.eye(3), r"got shape \(3, 3\)"),
        ("wide", "cov: expected a number or a .* array, got str"),
        (np.zeros((2, 2)), "not zero"),
        (np.diag([1.0, np.inf]), "finite values"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1.0]), "positive semidefinite matrix, got eigenvalue -1"),
        (np.diag([1.0, 0.0]), "cov: expected full rank, got a singular matrix"),
    ],
)
def test_covariances_that_are_refused(cov, words):
    with pytest.raises(ParameterError, match=words):
        overlap(X, cov)
    with pytest.raises(ParameterError, match=words):
        misassignment(X, cov, np.random.default_rng(0))


def test_singular_covariance_is_a_covariance():
    np.testing.assert_array_equal(as_covariance(torch.diag(torch.tensor([1.0, 0.0])), 2), np.diag([1.0, 0.0]))


@pytest.mark.parametrize("scales", [(), [0.0], [-1.0], [np.nan], [1.0, 1.0], "wide"])
def test_scales_that_are_refused(scales):
    with pytest.raises(ParameterError, match="scales: expected"):
        overlap(X, 1.0, scales=scales)


def test_scales_may_be_one_number_or_an_array():
    assert as_scales(0.5) == (0.5,)
    assert as_scales(np.array([1.0, 2.0])) == (1.0, 2.0)


def test_what_else_is_refused():
    with pytest.raises(SampleError, match="prototypes: expected at least 2 rows"):
        overlap(X[:1], 1.0)
    with pytest.raises(SampleError, match="prototypes: expected finite"):
        overlap(X * np.nan, 1.0)
    with pytest.raises(SampleError, match="x: expected 2 columns as the prototypes have, got 3"):
        map_assignment(np.ones((4, 3)), X, 1.0)
    with pytest.raises(ParameterError, match="precision: expected one for each of 5 prototypes, got 2"):
        map_assignment(X, X, np.stack([np.eye(2)] * 2))
    with pytest.raises(ParameterError, match="precision: expected full rank"):
        map_assignment(X, X, np.stack([np.diag([1.0, 0.0])] * 5))
    with pytest.raises(ParameterError, match="precision: expected a number"):
        map_assignment(X, X, np.eye(3))
    raw: Any = getattr(misassignment, "__wrapped__", misassignment)  # without the check of types
    with pytest.raises(UnknownNameError, match="metric: expected one of 'inverse', 'covariance'"):
        raw(X, 1.0, np.random.default_rng(0), metric="euclidean")
    with pytest.raises(ParameterError, match="draws"):
        misassignment(X, 1.0, np.random.default_rng(0), 0)


def test_closed_form_of_forty_percent_is_one_of_the_two_rules():
    """The share of the wrong rule does not fall as the noise does: it depends on the direction of the gap as well."""
    assert ndtri(0.4) == pytest.approx(-0.2533, abs=5e-5)
