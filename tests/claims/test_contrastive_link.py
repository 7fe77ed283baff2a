"""C37: the optimal scores of Gaussian views against the densities written out, and InfoNCE from them by loops."""

import numpy as np
import pytest

import itssl
from itssl.claims import contrastive_link


def rng():
    return itssl.stream(0, "tests of the contrastive link")


def naive_scores(x, y, rho=0.95):
    """log p(y|x)/p(y), coordinates independent with unit variance and correlation ρ."""
    rest = 1 - rho**2
    return np.array([[(-0.5 * np.log(rest) - (b - rho * a) ** 2 / (2 * rest) + b**2 / 2).sum() for b in y] for a in x])


def test_optimal_scores_are_log_density_ratios():
    task = contrastive_link.SMALL.make()
    x, y = task.sample(contrastive_link.CANDIDATES, rng())
    found = contrastive_link._optimal_scores(task, rng())
    np.testing.assert_allclose(found[:20, :30], naive_scores(x[:20], y[:30]), rtol=1e-12, atol=1e-12)


def test_left_side_is_infonce_of_these_scores():
    task = contrastive_link.SMALL.make()
    scores = naive_scores(*task.sample(contrastive_link.CANDIDATES, rng()))
    ratios = [np.exp(row[i]) / np.exp(row).sum() for i, row in enumerate(scores)]
    sides = itssl.claims()["C37"](task, rng())
    expected = np.log(len(scores)) + np.log(ratios).mean()
    assert sides.left == pytest.approx((expected, expected), abs=1e-12)
    assert sides.right == pytest.approx((-np.log(1 - 0.95**2), np.log(256)))
