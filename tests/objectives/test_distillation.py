"""BYOL's loss: formula, no gradient into targets, ranges, refusals."""

import numpy as np
import pytest
import torch
from objective_twins import EPS, byol, prediction_matrix, targets, unit, views, with_byol

from itssl.arrays import SampleError
from itssl.objectives import byol_terms


def test_loss_is_the_squared_distance_on_the_sphere():
    z_a, z_b = views(9, 4)
    target_a, target_b = targets(9, 4)
    matrix = prediction_matrix(4)
    found = with_byol(byol_terms)(z_a, z_b)
    distances = [((unit(z @ matrix) - unit(t)) ** 2).sum(axis=1).mean() for z, t in ((z_a, target_b), (z_b, target_a))]
    assert found.total() == pytest.approx(sum(distances), rel=1e3 * EPS)
    assert found.total() == pytest.approx(byol(z_a, z_b), rel=1e3 * EPS)
    assert found.bound is None
    crossed = byol_terms(z_a, z_b, target_a=target_b, target_b=target_a, predictor=lambda z: z @ matrix).total()
    assert abs(crossed - found.total()) > 1e-3
    perfect = byol_terms(z_a, z_b, target_a=3 * z_b, target_b=0.1 * z_a, predictor=lambda z: 7 * z)
    assert perfect.total() == pytest.approx(0, abs=64 * EPS)


def test_targets_get_no_gradient_and_the_predictor_does():
    z_a, z_b, target_a, target_b = (torch.tensor(z, requires_grad=True) for z in (*views(6, 3), *targets(6, 3)))
    predictor = torch.nn.Linear(3, 3, dtype=torch.float64)
    byol_terms(z_a, z_b, target_a=target_a, target_b=target_b, predictor=predictor).total().backward()
    assert target_a.grad is None
    assert target_b.grad is None
    for z in (z_a, z_b, predictor.weight):
        assert z.grad is not None
        assert z.grad.abs().max() > 0


def test_shapes_that_do_not_fit_are_refused(as_users_call):
    z_a, z_b = views(6, 3)
    target_a, target_b = targets(6, 3)
    with pytest.raises(SampleError, match=r"predictor\(z_a\) and target_b: expected equal shapes, got \(6, 2\)"):
        byol_terms(z_a, z_b, target_a=target_a, target_b=target_b, predictor=lambda z: z[:, :2])
    with pytest.raises(SampleError, match="expected equal shapes"):
        byol_terms(z_a, z_b, target_a=target_a[:5], target_b=target_b[:5], predictor=lambda z: z)
    with pytest.raises(SampleError, match="expected finite values"):
        byol_terms(z_a, z_b, target_a=np.nan * target_a, target_b=target_b, predictor=lambda z: z)
    with pytest.raises(SampleError, match="one kind"):
        byol_terms(z_a, z_b, target_a=torch.tensor(target_a), target_b=torch.tensor(target_b), predictor=lambda z: z)
