"""C09 beyond its verdict: conditional laws and divergences written out, and a mixture on a line by quadrature."""

import math

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import bound_gap
from itssl.claims.bound_gap import Channel, GaussianViews, PrototypeViews
from itssl.claims.information_bound import Prototypes
from itssl.claims.worlds import random_covariance, random_mixture
from itssl.distributions.mixture import GaussianMixture


def rng(*path):
    return itssl.stream(0, "tests of the gap", *path)


def on_a_line(q):
    mixture = GaussianMixture(np.array([0.5, 0.3, 0.2]), np.array([[-1.5], [0.0], [2.0]]), np.array([[[0.5]]] * 3))
    return PrototypeViews(views=Prototypes(mixture=mixture), q=q)


def test_conditional_is_joint_over_marginal():
    joint = itssl.Gaussian(rng().standard_normal(6), random_covariance(6, rng()))
    true, points = bound_gap.conditional(joint), joint.sample(10, rng("points"))
    expected = joint.log_density(points) - joint.marginal(range(3, 6)).log_density(points[:, 3:])
    found = [true.given(y).log_density(z[None])[0] for z, y in zip(points[:, :3], points[:, 3:], strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_expected_divergence_is_the_closed_form():
    """½[tr Q⁻¹C + E‖(G − B)y + c − a‖²_{Q⁻¹} − k + log|Q| − log|C|], the mean square from the moments of y."""
    joint, p, q = GaussianViews(k=3, choose=bound_gap._any).draw(rng("divergence"))
    law, inverse = joint.marginal(range(3, 6)), np.linalg.inv(q.cov)
    slope, shift = p.slope - q.slope, (p.slope - q.slope) @ law.mean + p.offset - q.offset
    square = np.trace(inverse @ slope @ law.cov @ slope.T) + shift @ inverse @ shift
    log_dets = np.linalg.slogdet(q.cov)[1] - np.linalg.slogdet(p.cov)[1]
    expected = (np.trace(inverse @ p.cov) + square - 3 + log_dets) / 2
    assert bound_gap.expected_divergence(law, p, q) == pytest.approx(expected, rel=1e-12)


def test_missed_information_is_that_of_draws():
    joint, _, q = GaussianViews(k=2, choose=bound_gap._any).draw(rng("draws"))
    z = joint.sample(4000, rng("sample"))
    first, second = joint.marginal(range(2)), joint.marginal(range(2, 4))
    log_q = itssl.Gaussian(np.zeros(2), q.cov).log_density(z[:, :2] - z[:, 2:] @ q.slope.T - q.offset)
    pointwise = joint.log_density(z) - first.log_density(z[:, :2]) - second.log_density(z[:, 2:])
    missed = pointwise - (log_q - first.log_density(z[:, :2]))
    error = missed.std(ddof=1) / math.sqrt(len(z))
    assert abs(missed.mean() - bound_gap._missed_in_closed_form(joint, q)) < 4 * error


@pytest.mark.parametrize(
    "q", [Channel(np.array([[0.7]]), np.array([0.2]), np.array([[0.8]])), None], ids=["Gaussian", "exact"]
)
def test_both_sides_against_quadrature_on_a_line(q):
    world = on_a_line(q)
    mixture = world.views.mixture
    grid = np.linspace(-7, 8, 601)
    component = np.exp(-((grid[:, None] - mixture.means[:, 0]) ** 2)) / math.sqrt(math.pi)  # variance ½
    joint = (component * mixture.weights) @ component.T  # [z, z']
    p = component @ mixture.weights
    conditional = joint / p
    if q is None:
        model = conditional
    else:
        off = grid[:, None] - q.slope[0, 0] * grid - q.offset[0]
        model = np.exp(-(off**2) / (2 * q.cov[0, 0])) / math.sqrt(2 * math.pi * q.cov[0, 0])
    step = grid[1] - grid[0]
    information = step**2 * (joint * np.log(joint / np.outer(p, p))).sum()
    bound = -step * (p * np.log(p)).sum() + step**2 * (joint * np.log(model)).sum()
    divergence = step * (p * (step * (conditional * np.log(conditional / model)).sum(axis=0))).sum()
    assert information - bound == pytest.approx(divergence, abs=1e-9)
    z, z_pair = np.meshgrid(grid[::60], grid[::60], indexing="ij")
    flat = z.reshape(-1, 1), z_pair.reshape(-1, 1)
    np.testing.assert_allclose(world.log_conditional(*flat), np.log(conditional[::60, ::60]).ravel(), rtol=1e-10)
    np.testing.assert_allclose(world.log_q(*flat), np.log(model[::60, ::60]).ravel(), rtol=1e-10)
    sides = [bound_gap._gap(world, rng("line", i)) for i in range(60)]
    for values in ([s.left for s in sides], [s.right for s in sides]):
        error = np.std(values, ddof=1) / math.sqrt(len(values))
        assert abs(np.mean(values) - divergence) < 4 * error + 1e-9


def test_density_of_q_is_that_of_its_law_given_the_other_view():
    q = GaussianViews(k=2, choose=bound_gap._any).draw(rng("q"))[2]
    world = PrototypeViews(views=Prototypes(mixture=random_mixture(3, 2, 0, std=0.5)), q=q)
    z, z_pair = rng("z").standard_normal((2, 5, 2))
    expected = [q.given(y).log_density(x[None])[0] for x, y in zip(z, z_pair, strict=True)]
    np.testing.assert_allclose(world.log_q(z, z_pair), expected, rtol=1e-12)


def test_sides_come_from_different_draws_where_components_overlap():
    sides = bound_gap._gap(bound_gap.OVERLAPPING.make(), rng("draws of both sides"))
    assert sides.left != pytest.approx(sides.right, rel=1e-6)


def test_isolated_prototypes_lose_half_a_log_two_a_dimension():
    """D(N(μ, Σ)‖N(z', 2Σ)) averaged over z' ~ N(μ, Σ): all of that q, nothing of the components."""
    world = bound_gap._around_the_other_view(random_mixture(20, 4, 0, std=0.01))
    values = [bound_gap._gap(world, rng("isolated", i)).right for i in range(40)]
    assert abs(np.mean(values) - 2 * math.log(2)) < 4 * np.std(values, ddof=1) / math.sqrt(40)


def test_gaussian_of_the_moments_is_the_best_of_its_kind():
    mixture = random_mixture(20, 2, 0, std=0.5)
    best, z = bound_gap._best_gaussian(mixture), Prototypes(mixture=mixture).sample(20_000, rng("best"))
    assert best.q is not None
    reached = best.log_q(*z)
    for other in (
        best.q._replace(cov=1.3 * best.q.cov),
        best.q._replace(slope=best.q.slope + 0.2 * np.eye(2)),
        best.q._replace(offset=best.q.offset + 0.3),
    ):
        less = reached - PrototypeViews(views=best.views, q=other).log_q(*z)
        assert less.mean() > 4 * less.std() / math.sqrt(20_000)


def test_a_q_of_ones_own():
    def halved(true, _):
        return true._replace(cov=true.cov / 2)

    verdict = itssl.check("C09", GaussianViews(k=2, choose=halved))
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.measured["I − bound"].value == pytest.approx(1 - math.log(2), rel=1e-9)  # (k/2)(2 − 1 − log 2)


@pytest.mark.slow
def test_claim_holds_for_a_trained_encoder():
    world = next(w for w in itssl.claims()["C09"].worlds if "digits" in w.name)
    itssl.check("C09", world.name, seed=1).require()
