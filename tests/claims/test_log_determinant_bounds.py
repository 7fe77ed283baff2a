"""C18 and C19 beyond their verdicts: pieces by hand, eigenvalues that press hardest, and hypotheses that fail."""

import math

import numpy as np
import pytest

import itssl
from itssl import Outcome
from itssl.claims import log_determinant_bounds as bounds
from itssl.claims.log_determinant_bounds import Matrices
from itssl.claims.worlds import random_covariance

EPS = np.finfo(float).eps


def rng(*path):
    return itssl.stream(0, "tests of log-determinant bounds", *path)


def fixed(matrix):
    return Matrices(draw=lambda _: np.array(matrix))


def determinant(matrix):
    """The naive twin: expansion along the first row."""
    if len(matrix) == 1:
        return matrix[0, 0]
    minors = (np.delete(matrix[1:], j, axis=1) for j in range(len(matrix)))
    return sum((-1) ** j * matrix[0, j] * determinant(m) for j, m in enumerate(minors))


def test_correlation_is_entry_by_entry():
    c = random_covariance(5, rng())
    by_hand = [[c[i, j] / math.sqrt(c[i, i] * c[j, j]) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(bounds.correlation(c), by_hand, atol=4 * EPS)
    frozen = c.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(bounds.correlation(frozen), bounds.correlation(c))


def test_decomposition_against_expanded_determinants():
    c = bounds.STRETCHED.make().draw(rng())[:5, :5]
    corr = bounds.correlation(c)
    measured = bounds._decomposition(c, np.log(np.diag(c)), bounds._log_eigenvalues(corr)).measured
    assert measured["log|C|"] == pytest.approx(math.log(determinant(c)), rel=1e-9)
    assert measured["log|R|"] == pytest.approx(math.log(determinant(corr)), rel=1e-9)
    assert measured["Σ log C_kk"] == pytest.approx(math.log(math.prod(np.diag(c))), rel=1e-12)


def test_a_pair_attains_the_bound_by_one_correlation():
    """|R| = 1 − r² for two coordinates; a third that correlates with neither changes nothing."""
    r = 0.6
    c = np.array([[4.0, 2 * 3 * r, 0], [2 * 3 * r, 9.0, 0], [0, 0, 5.0]])
    measured = itssl.check("C18", fixed(c)).measured
    assert (
        measured["log|R|"].value
        == pytest.approx(math.log(1 - r**2))
        == pytest.approx(measured["log(1 − max R_ij²)"].value)
    )


def test_sandwiches_of_a_pair_by_hand():
    """λ = 1 ± r and ‖R − I‖² = 2r²."""
    r = 0.4
    measured = itssl.check("C19", fixed([[1, r], [r, 1.0]])).measured
    expected = {
        "with min²": -(r**2) / (1 - r) ** 2,
        "with min": -(r**2) / (1 - r),
        "log|R|": math.log(1 - r**2),
        "with max": -(r**2) / (1 + r),
        "with max²": -(r**2) / (1 + r) ** 2,
    }
    assert {name: e.value for name, e in measured.items()} == pytest.approx(expected)


def test_step_without_the_square_at_every_eigenvalue():
    """log λ − (λ − 1) against −(λ − 1)²/(2 λ^p): below it for λ ≤ 1, above for λ ≥ 1, at p = 1 and not at p = ½."""
    eigenvalues = np.concatenate([np.geomspace(1e-6, 0.999, 2000), np.geomspace(1.001, 1e6, 2000)])
    inside = np.sign(eigenvalues - 1)

    def slack(power):
        rest = np.log(eigenvalues) - (eigenvalues - 1)
        return inside * (-((eigenvalues - 1) ** 2) / (2 * eigenvalues**power) - rest)

    # The bound is crossed from the right side: for λ < 1 rest ≥ bound, for λ > 1 rest ≤ bound.
    assert (slack(1) > 0).all()
    assert (slack(2) > slack(1)).all()
    assert (slack(0.5) < 0).any()


@pytest.mark.parametrize("d", [2, 3, 16])
def test_random_spectra_of_mean_one_stay_in_the_sandwich(d):
    for seed in range(20):
        generator = rng("spectra", d, seed)
        values = np.exp(generator.standard_normal(d) * generator.uniform(0, 4))
        values *= d / values.sum()
        squares, log_det = ((values - 1) ** 2).sum(), np.log(values).sum()
        low, high = min(1, values.min()), max(1, values.max())
        assert -squares / (2 * low) <= log_det + d * EPS
        assert log_det <= -squares / (2 * high) + d * EPS


def test_both_sandwiches_close_at_the_identity():
    for t, width in ((1e-1, 0.3), (1e-2, 0.03), (1e-3, 0.003)):
        squares, low, high, log_det = bounds._pieces(bounds._near_identity(8, t, rng()))
        assert squares == pytest.approx(t**2)
        ratios = -2 * log_det / squares * np.array([low**2, high**2])
        assert ratios[0] <= 1 <= ratios[1]
        assert np.ptp(ratios) < 4 * width


def test_trace_is_a_hypothesis_that_is_measured():
    verdict = itssl.check("C19", bounds.LARGER.make())
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "tr S = K" in verdict.reason
    assert verdict.assumptions["tr S = K"] == pytest.approx(0.2)
    assert itssl.check("C19", bounds.LARGER.make().scaled(1 / 1.2)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("matrix", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]])
@pytest.mark.parametrize("name", ["C18", "C19"])
def test_matrices_without_a_log_determinant_are_not_judged(name, matrix):
    verdict = itssl.check(name, fixed(matrix))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "full rank" in verdict.reason


def test_balanced_correlations_add_to_zero_and_are_positive_definite():
    for seed in range(50):
        corr = bounds._balanced_correlations(rng(seed))
        assert abs(corr.sum() - 4) < 16 * EPS
        assert np.linalg.eigvalsh(corr)[0] > 0.1 - 8 * EPS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C18", "C19"])
def test_claims_hold_for_embeddings_of_digits(name):
    for world in itssl.claims()[name].worlds:
        if "digits" in world.name:
            itssl.check(name, world.name, seed=1).require()
