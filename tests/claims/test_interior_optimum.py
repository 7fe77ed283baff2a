"""C12 beyond its verdict: terms against densities written out, plain draws, and what overlap does."""

import numpy as np
import pytest
from scipy.linalg import expm

import itssl
from itssl import Outcome
from itssl.claims import interior_optimum
from itssl.claims.interior_optimum import PrototypeCenters
from itssl.claims.worlds import random_covariance
from itssl.distributions.gaussian import kl_divergence
from itssl.distributions.mixture import GaussianMixture

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of the interior optimum", *path)


def small(spread=2.0):
    """Seven centers in R^3, near enough to overlap."""
    return PrototypeCenters(centers=spread * rng("small").standard_normal((7, 3)), within=lambda _: np.eye(3))


def test_draws_have_the_moments_of_their_law_to_rounding():
    draws = small().draw(rng("draws"))
    noise = np.hstack([draws.first, draws.second])
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=16 * EPS)
    np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(6), atol=64 * EPS)
    assert set(draws.labels) == set(range(7))


def test_terms_are_those_of_densities_written_out():
    world = small()
    draws, cov = world.draw(rng("terms")), random_covariance(3, rng("cov"))
    root = np.linalg.cholesky(cov)
    z, z_pair = (world.centers[draws.labels] + noise @ root.T for noise in (draws.first, draws.second))
    density = np.stack([itssl.Gaussian(c, cov).log_density(z) for c in world.centers], axis=1)
    density = np.exp(density) / 7
    posterior = density / density.sum(axis=1, keepdims=True)
    terms = draws.at(cov)
    assert terms.entropy == pytest.approx(-np.log(density.sum(axis=1)).mean(), rel=1e-12)
    assert terms.cross == pytest.approx(itssl.Gaussian.standard(3).log_density(z - z_pair).mean(), rel=1e-12)
    assert terms.left == pytest.approx(-(posterior * np.log(posterior)).sum(axis=1).mean(), rel=1e-9)
    assert terms.log_det == pytest.approx(np.linalg.slogdet(cov)[1], rel=1e-12)
    one = itssl.Gaussian.standard(3).log_density(z - world.centers[draws.labels]).mean()
    assert draws.at(cov, views=1).cross == pytest.approx(one, rel=1e-12)


def test_balanced_draws_agree_with_plain_ones():
    """Entropy of overlapping components: balancing moves its mean by less than the errors of either."""
    world, cov = small(), np.eye(3) / 2
    balanced = [world.draw(rng("balanced", i)).at(cov).entropy for i in range(100)]
    plain = GaussianMixture.isotropic(world.centers, 0.5).entropy
    error = np.std(balanced, ddof=1) / 10
    assert abs(np.mean(balanced) - plain.value) < 4 * np.hypot(error, plain.standard_error)


def test_identity_holds_for_overlapping_components_too():
    sides = [interior_optimum._measured(small(1.0), rng("identity", i)) for i in range(100)]
    gaps = np.array([s.left[0] - s.right[0] for s in sides])
    error = gaps.std(ddof=1) / 10
    assert abs(gaps.mean()) < 4 * error
    left = small(1.0).draw(rng("identity")).at(np.eye(3)).left
    assert left > 40 * error


def test_overlap_is_above_what_is_left_of_the_component():
    for spread in (1.0, 2.0, 4.0):
        world = small(spread)
        left = [world.draw(rng("left", i)).at(np.eye(3) / 2).left for i in range(30)]
        assert world.overlap() > np.mean(left) - 4 * np.std(left) / np.sqrt(30)
    by_hand = np.exp(-np.square(world.centers[:, None] - world.centers).sum(axis=2) / 4).sum(axis=1)
    assert world.overlap() == pytest.approx(np.log(by_hand).mean(), abs=1e-12)


def test_loss_is_zero_at_one_half_only():
    """D(N(0,2Σ)‖N(0,I)) = ½ Σ (2λ − 1 − log 2λ), along random geodesics of covariances."""
    for i in range(20):
        a = interior_optimum._symmetric(4, rng("direction", i))
        assert np.square(a).sum() == pytest.approx(4)
        np.testing.assert_allclose(interior_optimum._exponential(a), expm(a), rtol=1e-10, atol=1e-12)
        doubled = np.exp(np.linalg.eigvalsh(a))
        far = itssl.Gaussian(np.zeros(4), interior_optimum._exponential(a))
        lost = kl_divergence(far, itssl.Gaussian.standard(4)).value
        assert lost == pytest.approx((doubled - 1 - np.log(doubled)).sum() / 2)
        assert lost > 0


def test_slopes_on_either_side():
    """Two nats a dimension for e^−4 in Σ when narrow; −K σ² when wide."""
    draws, eye = interior_optimum.APART.make().draw(rng("slopes")), np.eye(8)
    narrow = [draws.at(t * eye).bound for t in (1e-8, 1e-8 * np.exp(4))]
    assert narrow[1] - narrow[0] == pytest.approx(16, rel=1e-6)
    cross = [draws.at(t * eye).cross for t in (1.0, 3.0)]
    assert cross[1] - cross[0] == pytest.approx(-16, rel=1e-10)


def test_log_form_gains_two_log_determinants_as_components_shrink():
    draws, eye = interior_optimum.APART.make().draw(rng("log form")), np.eye(8)
    gain = draws.log_form(1e-8 * eye) - draws.log_form(1e-6 * eye)
    assert gain == pytest.approx(1.5 * 8 * np.log(100), rel=1e-9)  # −2 log|Σ| of the form, +½ log|Σ| of the entropy


def test_numbers_of_two_hundred_components_around_standard_deviation_two():
    """At ½I overlap costs about 0.1 nats, and moves the optimum a little below ½, for less."""
    values, better = [], []
    for i in range(8):
        centers = 2 * rng("centers", i).standard_normal((200, 8))
        world = PrototypeCenters(centers=centers, within=lambda _: np.eye(8))
        draws = [world.draw(rng("near", i, j)) for j in range(8)]
        at = {t: np.mean([d.at(t * np.eye(8)).bound for d in draws]) for t in (0.45, 0.5, 0.55, 1e-8)}
        left = np.mean([d.at(np.eye(8) / 2).left for d in draws])
        values.append(at[0.5])
        better.append(at[0.45] - at[0.5])
        assert at[0.55] < at[0.5] < world.ceiling
        assert better[-1] < left
        assert at[1e-8] == pytest.approx(np.log(200) + 4 + 4 * np.log(1e-8), abs=1e-6)
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values) - 2.43) < 2 * spread < 0.1
    assert np.mean(better) > 4 * np.std(better, ddof=1) / np.sqrt(8)


def test_overlapping_components_are_not_judged():
    verdict = itssl.check("C12", interior_optimum.NEAR.make())
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "isolated components" in verdict.reason


def test_measured_values_of_the_log_form():
    name = "the form with log-determinants, −log(|Σ| |Σ'|), has an interior optimum"
    found = {k: e.value for k, e in itssl.check("C12", control=name).measured.items()}
    centers = interior_optimum.NEAR.make().centers
    moments = 4 * (np.log(2 * np.pi) + 1) + np.linalg.slogdet(np.cov(centers.T, bias=True))[1] / 2
    determinants = 16 * np.log(1e8)
    expected = determinants - 4 * np.log(2 * np.pi) + moments
    assert found["form at 1e-8 I, entropy by moments"] == pytest.approx(expected, rel=1e-6)
    true = np.log(200) + 4 * (np.log(2 * np.pi * 1e-8) + 1) - 4 * np.log(2 * np.pi)
    assert found["form at 1e-8 I"] == pytest.approx(determinants + true, rel=1e-6)
    assert found["bound at 1e-8 I"] == pytest.approx(true - 8e-8, rel=1e-9)  # tr Σ = 8e-8, and nothing overlaps


@pytest.mark.slow
def test_claim_holds_for_a_trained_encoder():
    world = next(w for w in itssl.claims()["C12"].worlds if "digits" in w.name)
    itssl.check("C12", world.name, seed=1).require()
