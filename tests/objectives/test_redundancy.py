"""Barlow Twins and whitened MSE: formulas, what they are blind to, and what cannot be whitened."""

import numpy as np
import pytest
import torch
from objective_twins import EPS, barlow_matrix, covariance, views, whitened, wmse

from itssl.arrays import SampleError, stream
from itssl.objectives import barlow_twins_terms, wmse_terms
from itssl.objectives.redundancy import _whitened


@pytest.mark.parametrize(("n", "d"), [(9, 4), (4, 9)])
@pytest.mark.parametrize("eps", [1e-5, 0.5, 0.0])
def test_barlow_twins_terms_are_those_of_the_matrix(n, d, eps):
    z_a, z_b = views(n, d)
    r, off = barlow_matrix(z_a, z_b, eps), ~np.eye(d, dtype=bool)
    terms = barlow_twins_terms(z_a, z_b, eps=eps)
    assert terms.invariance == pytest.approx(((1 - np.diag(r)) ** 2).sum(), rel=1e3 * EPS)
    assert terms.redundancy == pytest.approx((r[off] ** 2).sum(), rel=1e3 * EPS)
    assert [term.weight for term in terms.terms.values()] == [1.0, 0.0051]
    assert terms.bound is None


def test_barlow_twins_is_torchs_batch_normalization():
    z_a, z_b = (torch.tensor(z) for z in views(12, 5))
    normalize = torch.nn.BatchNorm1d(5, affine=False, dtype=torch.float64)
    matrix = normalize(z_a).T @ normalize(z_b) / 12
    terms = barlow_twins_terms(z_a, z_b)
    on = (matrix.diagonal() - 1).square().sum()
    assert terms.invariance.item() == pytest.approx(on.item(), rel=1e3 * EPS)
    rest = matrix.square().sum() - matrix.diagonal().square().sum()
    assert terms.redundancy.item() == pytest.approx(rest.item(), rel=1e3 * EPS)


@pytest.mark.parametrize(("n", "d"), [(9, 4), (4, 9)])
def test_barlow_twins_is_blind_to_units_and_offsets_only(n, d):
    z_a, z_b = views(n, d)
    found = barlow_twins_terms(z_a, z_b, eps=0.0).total()
    rng = stream(0, "units")
    units, offset = rng.uniform(0.5, 20, d), rng.normal(size=d)
    assert barlow_twins_terms(units * z_a + offset, z_b / units - offset, eps=0.0).total() == pytest.approx(
        found, rel=1e4 * EPS
    )
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert abs(barlow_twins_terms(z_a @ rotation, z_b @ rotation, eps=0.0).total() - found) > 1e-3
    flipped = np.where(np.arange(d) == 0, -1, 1)
    assert abs(barlow_twins_terms(flipped * z_a, z_b, eps=0.0).total() - found) > 1e-3


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_whitened_rows_have_covariance_one_without_ridge(ridge):
    z, _ = views(12, 4)
    found = _whitened(np, z, ridge)
    np.testing.assert_allclose(found, whitened(z, ridge), rtol=0, atol=1e4 * EPS)
    np.testing.assert_allclose(_whitened(torch, torch.tensor(z), ridge).numpy(), found, rtol=0, atol=1e4 * EPS)
    gap = np.abs(covariance(found) - np.eye(4)).max()
    assert gap < 1e4 * EPS if ridge == 0 else gap > 1e-2


def test_wmse_is_the_mean_over_groups_of_consecutive_rows():
    z_a, z_b = views(20, 3)
    assert wmse_terms(z_a, z_b).total() == pytest.approx(wmse(z_a, z_b), rel=1e4 * EPS)
    expected = np.mean([wmse(z_a[i : i + 6], z_b[i : i + 6]) for i in (0, 6, 12)])  # two rows are left over
    for made in (np.asarray, torch.tensor):
        found = wmse_terms(made(z_a), made(z_b), group=6)
        assert float(found.total()) == pytest.approx(expected, rel=1e4 * EPS)
    assert found.settings["group"] == 6
    pair = [torch.tensor(z, requires_grad=True) for z in (z_a, z_b)]
    assert torch.autograd.gradcheck(lambda a, b: wmse_terms(a, b, group=6).total(), pair)


def test_wmse_is_blind_to_triangular_maps_of_each_view():
    z_a, z_b = views(15, 4)
    found, rng, maps = wmse_terms(z_a, z_b).total(), stream(0, "maps"), []
    for _ in range(3):
        maps = [np.tril(rng.normal(size=(4, 4)), -1) + np.diag(rng.uniform(0.5, 2, 4)) for _ in range(2)]
        moved = [z @ m.T + rng.normal(size=4) for z, m in zip((z_a, z_b), maps, strict=True)]
        assert wmse_terms(*moved).total() == pytest.approx(found, rel=1e5 * EPS)
    assert abs(wmse_terms(z_a @ maps[0], z_b).total() - found) > 1e-3  # upper triangular
    assert abs(wmse_terms(-z_a, z_b).total() - found) > 1e-3
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert wmse_terms(z_a @ rotation, z_a).total() > 1e-3  # Cholesky's factor turns the whitened views apart


@pytest.mark.parametrize("made", [np.asarray, torch.tensor])
def test_wmse_refuses_what_cannot_be_whitened(made):
    z_a, z_b = (made(z) for z in views(8, 8))
    with pytest.raises(SampleError, match=r"more than d = 8 rows to whiten .*smaller projector or ridge > 0"):
        wmse_terms(z_a, z_b)
    z_a, z_b = (made(z) for z in views(12, 4))
    for group, ridge in ((4, 0.0), (13, 0.0), (13, 0.1)):
        with pytest.raises(SampleError, match=rf"group={group}, n=12"):
            wmse_terms(z_a, z_b, group=group, ridge=ridge)
    assert np.isfinite(float(wmse_terms(z_a, z_b, group=2, ridge=0.1).total()))
    constant = made(np.full((12, 4), 0.1))
    dependent = made(views(12, 4)[0] @ np.diag([1.0, 1.0, 1.0, 0.0]))
    for collapsed in (constant, dependent):
        with pytest.raises(SampleError, match=r"singular to rounding \(collapse\); use ridge > 0"):
            wmse_terms(z_a, collapsed)
        assert np.isfinite(float(wmse_terms(z_a, collapsed, ridge=0.1).total()))
