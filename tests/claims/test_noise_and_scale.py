"""C13 and C16 beyond their verdicts: the pieces against naive formulas, and how far the wrong variants go."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import itssl
from itssl.claims import noise_and_scale
from itssl.claims.noise_and_scale import LinearViews, PrototypeViews
from itssl.claims.worlds import random_mixture


def rng(*path):
    return itssl.stream(0, "noise and scale", *path)


def small_prototypes(noise_std=0.3):
    return PrototypeViews(mixture=random_mixture(3, 2, 0, std=0.4), noise_std=noise_std)


def test_pointwise_information_is_that_of_the_joint_mixture():
    world = small_prototypes()
    z, pair = world.sample(20, rng("pointwise"))
    noisy, clean = world.noisy, world.mixture

    def density(law, x):
        return np.array([multivariate_normal(m, c).pdf(x) for m, c in zip(law.means, law.covs, strict=True)])

    one, other = density(noisy, z), density(clean, pair)
    expected = np.log((one * other).mean(axis=0) / (one.mean(axis=0) * other.mean(axis=0)))
    log_p, information = noise_and_scale._pointwise(noisy, clean, z, pair)
    np.testing.assert_allclose(log_p, np.log(one.mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(information, expected, rtol=1e-10, atol=1e-12)


def test_noisy_law_is_that_of_noisy_draws():
    world = small_prototypes()
    np.testing.assert_allclose(world.noisy.covs - world.mixture.covs, np.broadcast_to(0.09 * np.eye(2), (3, 2, 2)))


def test_linear_views_share_their_signal():
    """Both views have one law; their difference is noise alone, smaller than two independent copies would differ."""
    joint = LinearViews().joint(rng("linear"))
    own, cross = joint.cov[:3, :3], joint.cov[:3, 3:]
    np.testing.assert_allclose(own, joint.cov[3:, 3:])
    assert np.linalg.eigvalsh(own - cross).min() > 0


@pytest.mark.parametrize("world", [LinearViews(), small_prototypes()], ids=["linear", "prototypes"])
def test_bound_at_scale_is_entropy_plus_cross_term(world):
    views = noise_and_scale._seen(world, rng("seen"))
    bound, information = views.at(1.0)
    best = np.sqrt(views.dim / views.squared)
    at_best = views.at(best)[0]
    # h + (K/2) log(K / (2πe E‖Δ‖²)) at the optimum
    h = bound + views.dim / 2 * np.log(2 * np.pi) + views.squared / 2
    closed = h + views.dim / 2 * np.log(views.dim / (2 * np.pi * np.e * views.squared))
    assert at_best == pytest.approx(closed, rel=1e-10)
    assert at_best > max(views.at(best * 1.01)[0], views.at(best / 1.01)[0])
    assert views.at(7.0)[1] == pytest.approx(information, rel=1e-9)


def test_bounds_as_given_can_rank_networks_the_wrong_way():
    """B is A's embedding with noise added, then scaled well: less information, and the larger bound."""
    joint = LinearViews().joint(rng("ranking"))
    noisy = itssl.Gaussian(joint.mean, joint.cov + 0.05 * np.eye(6))
    delta = np.hstack([np.eye(3), -np.eye(3)])

    def bound(law):
        cross = -0.5 * (3 * np.log(2 * np.pi) + np.trace(delta @ law.cov @ delta.T))
        return law.marginal(range(3)).entropy.value + cross

    scaled = noisy.affine_image(np.sqrt(3 / np.trace(delta @ noisy.cov @ delta.T)) * np.eye(6), np.zeros(6))
    assert scaled.mutual_information(range(3)).value < joint.mutual_information(range(3)).value
    small = joint.affine_image(0.1 * np.eye(6), np.zeros(6))
    assert small.mutual_information(range(3)).value == pytest.approx(joint.mutual_information(range(3)).value)
    assert bound(scaled) > bound(small)


def test_gain_of_noise_in_one_term_is_at_most_half_a_nat_a_dimension_unless_q_is_refitted():
    """Refitted, the sum exceeds I(Z; Z') by exactly h(Z + N) − h(Z)."""
    world, k = LinearViews(noise_std=5.0), 3
    stated, refitted = (
        noise_and_scale._with_noise(world, rng("gain"), read="clean", fitted=fitted).measured
        for fitted in ("noisy", "clean")
    )
    own = world.joint(rng("gain")).marginal(range(k))
    name, var = "gain of noise in the entropy only", world.noise_std**2
    assert k / 2 * var / (var + np.linalg.eigvalsh(own.cov).max()) < stated[name] < k / 2 < refitted[name]
    noisy = itssl.Gaussian(own.mean, own.cov + var * np.eye(k))
    excess = refitted["bound"] - refitted["I(Z;Z')"]
    assert excess == pytest.approx(noisy.entropy.value - own.entropy.value, rel=1e-9)


def test_both_terms_noisy_is_an_equality_for_the_true_conditional_law():
    sides = noise_and_scale._with_noise(LinearViews(), rng("equality"))
    assert sides.left[0] == pytest.approx(sides.right[0], rel=1e-12)
    assert sides.right[0] < sides.right[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C13", "C16"])
def test_claims_hold_for_a_trained_encoder(name):
    world = next(w for w in itssl.claims()[name].worlds if "digits" in w.name)
    itssl.check(name, world.name, seed=1).require()
