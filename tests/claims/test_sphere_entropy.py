"""C36 and C38 against loops and quadrature, and that a shift in the ninth digit refutes them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import itssl
from itssl.claims import sphere_entropy
from itssl.claims.sphere_entropy import WORLDS, PairedEmbeddings
from itssl.distributions.gaussian import Gaussian
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.objectives.contrastive import infonce_terms

EPS = np.finfo(float).eps
KERNEL_ENTROPY, PARTITIONS = (itssl.claims()[name] for name in ("C36", "C38"))
UNTRAINED = [w for w in WORLDS if "digits" not in w.name]


def rng():
    return itssl.stream(0, "tests of sphere entropy")


def pairs(n=5, d=3):
    a, b = (rng().standard_normal((2, n, d)) + 0.5) * np.array([1.0, 2.0])[:, None, None]
    return a, b


def naive_infonce(a, b, tau):
    """−(1/N) Σ_i log [e^{cos(a_i, b_i)/τ} / Σ_j e^{cos(a_i, b_j)/τ}]."""
    cosines = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    return -np.mean([np.log(np.exp(row[i] / tau) / np.exp(np.divide(row, tau)).sum()) for i, row in enumerate(cosines)])


def test_sides_are_the_textbook_loss():
    a, b = pairs()
    sides = KERNEL_ENTROPY(PairedEmbeddings(draw=lambda _: (a, b), temperature=0.5), rng())
    forth, back = (np.log(5) - naive_infonce(*views, 0.5) for views in ((a, b), (b, a)))
    np.testing.assert_allclose(sides.left, [forth, back, (forth + back) / 2, (forth + back) / 2], atol=64 * EPS)


@pytest.mark.parametrize("kappa", [0.3, 20.0, 5000.0])
def test_kernels_are_densities_on_the_circle(kappa):
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    q = np.exp(sphere_entropy._von_mises_fisher(circle, circle[[0, 321]], kappa))
    np.testing.assert_allclose(q.mean(axis=0) * 2 * np.pi, 1, rtol=kappa * 64 * EPS)


def test_kernel_entropy_of_a_few_points():
    """Ĥ = −mean of log (mean of q) with q written out on the sphere in R³: κ e^{κ(cos − 1)}/(2π(1 − e^{−2κ}))."""
    u, v = (sphere_entropy._on_sphere(z) for z in pairs())
    kappa = 4.0
    q = np.array([[kappa * np.exp(kappa * (x @ y - 1)) / (2 * np.pi * (1 - np.exp(-2 * kappa))) for y in v] for x in u])
    found = sphere_entropy._von_mises_fisher(u, v, kappa)
    assert sphere_entropy._kernel_entropy(found) == pytest.approx(-np.log(q.mean(axis=1)).mean(), abs=128 * EPS)
    assert sphere_entropy._sum(found) == pytest.approx(
        -np.log(q.mean(axis=1)).mean() + np.log(q.diagonal()).mean(), abs=128 * EPS
    )


def test_gaussian_kernels_are_normal_densities():
    a, b = pairs()
    expected = np.stack([Gaussian(y, 0.3 * np.eye(3)).log_density(a) for y in b], axis=1)
    np.testing.assert_allclose(sphere_entropy._gaussian(a, b, 0.3), expected, rtol=64 * EPS)


@pytest.mark.parametrize("made", [KERNEL_ENTROPY, PARTITIONS], ids=lambda c: c.id)
@pytest.mark.parametrize("world", UNTRAINED, ids=lambda w: w.name)
def test_a_temperature_off_in_its_seventh_digit_is_refuted(made, world):
    """One side sees τ(1 + 1e-7): by its own tolerance each world notices, in every part that has τ on both sides."""
    place = world.make()
    off = replace(place, temperature=place.temperature * (1 + 1e-7))
    exact, moved = (made(w, itssl.stream(0, "off")) for w in (place, off))
    (left, right), (_, shifted) = exact.values(), moved.values()
    allowed = (
        world.tolerance.ulps * EPS * world.tolerance.condition * np.maximum(1, np.maximum(np.abs(left), np.abs(right)))
    )
    assert (np.abs(left - right) <= allowed).all()
    assert (np.abs(left - shifted) > allowed).all()


def test_log_partition_is_a_mean_of_log_sums():
    u = sphere_entropy._on_sphere(pairs()[0])
    expected = np.mean([np.log(sum(np.exp(x @ y / 0.2) for y in u)) for x in u])
    assert sphere_entropy._log_partition(u, 0.2) == pytest.approx(expected, abs=64 * EPS)


def test_bounds_of_two_points_by_hand():
    """u·u' = 0, τ = 1: P = log(e + 1), and h_KL = (d/2) log 2πe + log 2 − log(1 + 1/e)."""
    sides = PARTITIONS(PairedEmbeddings(draw=lambda _: (np.eye(2), np.eye(2)), temperature=1.0), rng())
    found = dict(zip(sides.parts, zip(sides.left, sides.right, strict=True), strict=True))
    expected = np.log(2 * np.pi * np.e) + np.log(2) - np.log1p(np.exp(-1))
    assert found["KL, σ² = τ"] == pytest.approx((expected, expected), abs=16 * EPS)
    assert found["log-partition of InfoNCE(z, z)"] == pytest.approx((np.log(np.e + 1),) * 2, abs=16 * EPS)
    less = expected - 2 * np.log(2)
    assert found["Bhattacharyya, 4σ² = τ"] == pytest.approx((less, less), abs=16 * EPS)


def test_gradients_agree_along_the_sphere():
    z = torch.tensor(pairs(20, 6)[0], requires_grad=True)
    u = z / z.norm(dim=1, keepdim=True)
    bounds = pairwise_entropy_bounds(u, var=0.2), pairwise_entropy_bounds(u, var=0.05)
    partition = infonce_terms(z, z, temperature=0.2).terms["log_partition"].value
    expected = torch.autograd.grad(-partition, z)[0]
    for bound in (bounds[0].upper, bounds[1].lower):
        found = torch.autograd.grad(bound, z, retain_graph=True)[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=256 * EPS)


def test_users_worlds_are_judged_too():
    a, b = pairs(30, 4)
    world = PairedEmbeddings(draw=lambda _: (a, b), temperature=0.3)
    for made in (KERNEL_ENTROPY, PARTITIONS):
        assert itssl.check(made, world).outcome is itssl.Outcome.HOLDS
