"""VICReg's hinge and energy against the textbook form, in value and gradient, and where nothing varies."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from itssl.arrays import stream
from itssl.kernels.variance_covariance import offdiagonal_energy, paired_variance_covariance, variance_covariance

EPS = float(np.finfo(float).eps)
SHAPES = [(12, 4), (6, 6), (4, 12), (2, 5), (7, 1)]


def textbook(z: torch.Tensor, gamma: float, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    n, d = z.shape
    centered = z - z.mean(dim=0)
    cov = centered.T @ centered / (n - 1)
    hinge = torch.relu(gamma - torch.sqrt(cov.diagonal() + eps)).mean()
    return hinge, cov[~torch.eye(d, dtype=torch.bool)].square().sum()


def batch(n: int, d: int, *path: str) -> np.ndarray:
    rng = stream(0, "spread", n, d, *path)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) * np.geomspace(0.2, 3, d) + 5 * rng.normal(
        size=d
    )


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize(("gamma", "eps"), [(1.0, 1e-4), (2.5, 0.3), (1.0, 0.0), (0.0, 1e-4)])
def test_values_and_gradients_are_those_of_the_textbook(n, d, gamma, eps):
    z = torch.tensor(batch(n, d), requires_grad=True)
    found, expected = variance_covariance(z, gamma, eps), textbook(z, gamma, eps)
    size = 1 + float(z.detach().square().sum()) ** 2 / n
    for value, plain, twin in zip(found, variance_covariance(z.detach().numpy(), gamma, eps), expected, strict=True):
        assert value.item() == pytest.approx(twin.item(), abs=64 * n * d * EPS * size)
        assert float(plain) == pytest.approx(twin.item(), abs=64 * n * d * EPS * size)
    for weights in ((1.0, 0.0), (0.0, 1.0), (-3.0, 0.7)):
        (mine,) = torch.autograd.grad(weights[0] * found[0] + weights[1] * found[1], z, retain_graph=True)
        (theirs,) = torch.autograd.grad(weights[0] * expected[0] + weights[1] * expected[1], z, retain_graph=True)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=64 * n * d * EPS * (1 + float(theirs.abs().max())))


def textbook_pair(z_a: torch.Tensor, z_b: torch.Tensor, gamma: float, eps: float) -> list[torch.Tensor]:
    hinges, energies = zip(*(textbook(z, gamma, eps) for z in (z_a, z_b)), strict=True)
    return [(z_a - z_b).square().sum(), hinges[0] + hinges[1], energies[0] + energies[1]]


def weighted(values: Sequence[torch.Tensor], weights: Sequence[float] = (1.0, 1.0, 1.0)) -> torch.Tensor:
    return torch.stack([w * v for w, v in zip(weights, values, strict=True)]).sum()


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_pair_is_both_views_and_their_distance(n, d, offset):
    a, b = (torch.tensor(batch(n, d, name) + offset, requires_grad=True) for name in ("a", "b"))
    views = (a, b)
    found, expected = paired_variance_covariance(*views, 1.5, 1e-4), textbook_pair(*views, 1.5, 1e-4)
    size = 64 * n * d * EPS * (1 + sum(float((z - z.mean(0)).square().sum().detach()) ** 2 for z in views))
    size *= 1 + offset  # rounding of the rows themselves
    for value, plain, twin in zip(
        found, paired_variance_covariance(a.detach().numpy(), b.detach().numpy(), 1.5, 1e-4), expected, strict=True
    ):
        assert value.item() == pytest.approx(twin.item(), abs=size)
        assert float(plain) == pytest.approx(twin.item(), abs=size)
    for weights in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.3, -2.0, 0.7)):
        mine, theirs = (
            torch.autograd.grad(weighted(of, weights), views, retain_graph=True) for of in (found, expected)
        )
        for gradient, twin in zip(mine, theirs, strict=True):
            torch.testing.assert_close(gradient, twin, rtol=0, atol=size * (1 + float(twin.abs().max())))


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_one_view_alone_may_want_a_gradient_and_kinds_may_differ(n, d):
    a, b = torch.tensor(batch(n, d, "a")), torch.tensor(batch(n, d, "b"))
    single = a.float()
    for views in ((a.clone().requires_grad_(), b), (a, b.clone().requires_grad_())):
        (wants,) = (z for z in views if z.requires_grad)
        (mine,) = torch.autograd.grad(weighted(paired_variance_covariance(*views, 1.0, 1e-4)), wants)
        (theirs,) = torch.autograd.grad(weighted(textbook_pair(*views, 1.0, 1e-4)), wants)
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max()))
    single.requires_grad_()
    found = paired_variance_covariance(single, b, 1.0, 1e-4)
    assert found.energy.dtype == torch.float64
    (gradient,) = torch.autograd.grad(found.squared_distance + found.hinge, single)
    assert gradient.dtype == torch.float32


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_a_pair_is_differentiable_once_and_its_gradient_as_often_as_asked(n, d):
    a, b = (torch.tensor(batch(n, d, name), requires_grad=True) for name in ("a", "b"))
    views = (a, b)
    total = weighted(paired_variance_covariance(*views, 1.0, 1e-4))
    first = torch.autograd.grad(total, views, retain_graph=True)
    again = torch.autograd.grad(total, views, create_graph=True)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other.detach())
    with pytest.raises(RuntimeError, match="differentiated once, got a second derivative; for that"):
        torch.autograd.grad(again[1].square().sum(), views)


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_constant_columns_have_no_gradient(n, d):
    z = batch(n, d)
    z[:, 1] = 2.0
    for eps in (0.0, 1e-4):
        tensor = torch.tensor(z, requires_grad=True)
        hinge, energy = variance_covariance(tensor, 1.0, eps)
        (gradient,) = torch.autograd.grad(hinge + energy, tensor)
        assert gradient.isfinite().all()
        assert gradient[:, 1].abs().max() == 0
        assert gradient[:, 2].abs().max() > 0
        assert hinge.item() >= (1 - np.sqrt(eps)) / d - EPS


def test_the_energy_of_uncorrelated_columns_does_not_cancel():
    """The sum of all squares minus those of the diagonal would be of the size eps·‖diagonal‖²."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    signs[:, 1] += 1e-12 * signs[:, 0]
    expected = 2 * (4e-12 / 3) ** 2
    assert offdiagonal_energy(1e3 * signs) / 1e12 == pytest.approx(expected, rel=1e-3)  # 1e-12 is known to 1e-4
    assert offdiagonal_energy(torch.tensor(signs)).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_single_precision_is_as_good_as_the_textbook(n, d):
    z = batch(n, d)
    exact = textbook(torch.tensor(z), 1.0, 1e-4)
    single = variance_covariance(torch.tensor(z, dtype=torch.float32), 1.0, 1e-4)
    for value, twin in zip(single, exact, strict=True):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(twin.item(), rel=1e4 * float(np.finfo(np.float32).eps))


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_it_is_differentiable_once_and_says_so(n, d):
    z = torch.tensor(batch(n, d), requires_grad=True)
    hinge, energy = variance_covariance(z, 1.0, 1e-4)
    (expected,) = torch.autograd.grad(hinge + energy, z, retain_graph=True)
    for upstream in (torch.ones((), dtype=z.dtype), torch.ones((), dtype=z.dtype, requires_grad=True)):
        (gradient,) = torch.autograd.grad(upstream * (hinge + energy), z, create_graph=True)
        assert torch.equal(gradient.detach(), expected)
        penalized = z.square().sum() + gradient.square().sum()
        with pytest.raises(RuntimeError, match="differentiated once, got a second derivative; for that"):
            torch.autograd.grad(penalized, z, retain_graph=True)


@pytest.mark.parametrize(("n", "d"), [(8, 3), (3, 8)])
def test_the_input_is_not_touched(n, d):
    z = batch(n, d)
    z.flags.writeable = False
    tensor = torch.tensor(z, requires_grad=True)
    hinge, energy = variance_covariance(tensor, 1.0, 1e-4)
    (hinge + energy).backward()
    variance_covariance(z, 1.0, 1e-4)
    np.testing.assert_array_equal(tensor.detach().numpy(), z)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_autocast_does_not_reach_the_products(shape):
    z = [torch.from_numpy(a).requires_grad_() for a in stream(0, "autocast").normal(size=(2, *shape))]
    plain = paired_variance_covariance(z[0], z[1], 1.0, 1e-4)
    expected = torch.autograd.grad(torch.stack(plain).sum(), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = paired_variance_covariance(z[0], z[1], 1.0, 1e-4)
        gradients = torch.autograd.grad(torch.stack(found).sum(), z)
    for one, other in zip((*found, *gradients), (*plain, *expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
