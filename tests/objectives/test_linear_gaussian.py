"""Population losses against sampled ones, and their optima against closed forms."""

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.claims.vicreg_surrogates import CanonicalViews
from itssl.distributions.tasks import linear_gaussian_views, random_mixing
from itssl.evaluation.spectrum import numerical_rank
from itssl.objectives import vicreg_terms
from itssl.objectives.linear_gaussian import (
    ViewMoments,
    maximize_information_bound,
    minimize_population_vicreg,
    population_vicreg,
)
from itssl.objectives.vicreg import NORMALIZATIONS

EPS = np.finfo(float).eps
WORLD = CanonicalViews(k=10)


def sample_with_moments(moments, n):
    """Views whose sample covariances equal the population's exactly."""
    d = len(moments.within)
    joint = np.block([[moments.within, moments.across], [moments.across.T, moments.within]])
    z = stream(0, "exact").normal(size=(n, 2 * d))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * np.sqrt(n - 1) @ np.linalg.cholesky(joint).T
    return z[:, :d], z[:, d:]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_population_loss_is_the_sampled_loss_on_exact_moments(normalization):
    rho = np.array([0.9, 0.5, 0.1])
    mixing = random_mixing(3, 0)
    moments = ViewMoments(mixing @ mixing.T, (mixing * rho) @ mixing.T)
    matrix = 0.7 * stream(0, "A").normal(size=(2, 3))
    n = 40
    x, view = sample_with_moments(moments, n)
    sampled = vicreg_terms(x @ matrix.T, view @ matrix.T, normalization=normalization)
    # The invariance averages over n, covariances over n − 1.
    total = sampled.total((25 * n / (n - 1), 25, 1))
    assert population_vicreg(moments, matrix, normalization=normalization) == pytest.approx(total, rel=1e4 * EPS)


def test_information_equals_the_tasks():
    rho, mixing = np.array([0.9, 0.5, 0.1]), random_mixing(3, 0)
    moments = ViewMoments(mixing @ mixing.T, (mixing * rho) @ mixing.T)
    task = linear_gaussian_views(rho, mixing=mixing)
    matrix = stream(0, "A").normal(size=(3, 3))
    assert moments.information(matrix) == pytest.approx(task.mutual_information.value, abs=1e5 * EPS)
    assert moments.information(np.vstack([matrix, matrix])) == pytest.approx(
        task.mutual_information.value, abs=1e6 * EPS
    )


def test_closed_form_values_of_the_theory():
    assert CanonicalViews(k=5).best_information == pytest.approx(4.445, abs=1e-3)
    assert CanonicalViews(k=10).best_information == pytest.approx(5.797, abs=1e-3)
    assert CanonicalViews(k=5).best_bound == pytest.approx(4.2914, abs=1e-4)
    assert CanonicalViews(k=10).best_bound == pytest.approx(5.1415, abs=1e-4)


def test_bound_is_maximal_at_cca():
    moments = WORLD.moments()
    found = maximize_information_bound(moments, 10, stream(0, "start"))
    assert moments.information_bound(found) == pytest.approx(WORLD.best_bound, abs=1e-8)
    np.testing.assert_allclose(found @ moments.difference @ found.T, np.eye(10), atol=1e-5)  # optimizer precision
    spectrum = np.linalg.eigvalsh(found @ moments.within @ found.T)
    expected = np.sort(1 / (2 * (1 - WORLD.correlations[:10])))
    np.testing.assert_allclose(spectrum, expected, rtol=1e-5)
    gap = WORLD.best_information - WORLD.best_bound
    assert gap == pytest.approx(0.5 * np.log(2 / (1 + WORLD.correlations[:10])).sum(), abs=64 * EPS)
    assert gap <= 5 * np.log(2)


@pytest.mark.parametrize(
    ("normalization", "weights", "rank", "information"),
    [
        ("reference", (25.0, 25.0, 1.0), 6, 4.8339),  # all of the 6 most correlated directions, nothing else
        ("reference", (25.0, 25.0, 10.0), 10, 5.7975),
        ("equation", (25.0, 25.0, 1.0), 1, 1.6145),
    ],
)
def test_vicregs_population_optimum(normalization, weights, rank, information):
    """Best of three starts: no first-order method found a lower loss; see C27 for the comparison with the optimum."""
    moments = WORLD.moments()
    options = {"normalization": normalization, "weights": weights}
    starts = [minimize_population_vicreg(moments, 10, stream(s, "start"), **options) for s in range(3)]
    best = min(starts, key=lambda a: population_vicreg(moments, a, **options))
    assert numerical_rank(best @ moments.within @ best.T) == rank
    assert moments.information(best, smallest_variance=1e-6) == pytest.approx(information, abs=1e-3)
    top = -0.5 * np.log1p(-(WORLD.correlations[:rank] ** 2)).sum()
    assert moments.information(best, smallest_variance=1e-6) == pytest.approx(top, abs=1e-3)


def test_vicregs_optimum_by_water_filling():
    """A second route: with equal diagonals C_jj = 1 − ε the spectrum is λ_i = (μ − p_I δ_i)₊/(2 p_C), Σλ = k(1 − ε).

    (Schur–Horn: every spectrum with this sum has a rotation with equal diagonals.)
    """
    from scipy.optimize import brentq

    k, invariance, covariance = 10, 25 / 10, 2 / 10
    delta = 2 * (1 - WORLD.correlations)

    def spectrum(level):
        return np.maximum(0, level - invariance * delta) / (2 * covariance)

    level = float(brentq(lambda m: spectrum(m).sum() - k * (1 - 1e-4), 0, 100, xtol=1e-14))  # pyright: ignore
    values = spectrum(level)
    loss = invariance * values @ delta + covariance * ((values**2).sum() - k * (1 - 1e-4) ** 2)
    options = {"normalization": "reference", "weights": (25.0, 25.0, 1.0)}
    found = minimize_population_vicreg(WORLD.moments(), k, stream(0, "start"), **options)
    assert (values > 0).sum() == 6
    assert population_vicreg(WORLD.moments(), found, **options) == pytest.approx(loss, rel=1e-7)  # optimizer precision
    assert loss == pytest.approx(7.1405482, abs=1e-7)


def test_collapsed_spectrum_counts_only_what_is_left():
    moments = WORLD.moments()
    matrix = stream(0, "A").normal(size=(3, 20))
    matrix[2] *= 1e-5
    assert moments.information(matrix) > moments.information(matrix, smallest_variance=1e-6)


def test_weights_are_positive():
    with pytest.raises(ParameterError, match="weights"):
        minimize_population_vicreg(WORLD.moments(), 2, stream(0, "s"), normalization="reference", weights=(25, 25, 0))
