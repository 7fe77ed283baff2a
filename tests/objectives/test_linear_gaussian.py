"""Optima of population losses against closed forms, from every start."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.claims.vicreg_surrogates import CanonicalViews
from itssl.evaluation.spectrum import numerical_rank
from itssl.objectives import linear_gaussian
from itssl.objectives import population_losses as losses
from itssl.objectives.linear_gaussian import (
    ViewMoments,
    maximize_information_bound,
    minimize_population,
    minimize_population_vicreg,
    population_vicreg,
)

EPS = np.finfo(float).eps
WORLD = CanonicalViews(k=10)


def in_closed_form(gain):
    """Σ over the k = 10 leading variates of min_c gain(c, ρ), where a loss decouples over canonical variates."""
    found = [
        minimize_scalar(partial(gain, rho=rho), bounds=(0, 100), method="bounded", options={"xatol": 1e-12})
        for rho in WORLD.correlations[:10]
    ]
    return sum(result.fun for result in found)  # pyright: ignore[reportAttributeAccessIssue]


NU, S2 = 0.01, 0.02
OPTIMA = {
    "literal bound": (
        losses.invariance_logdet(noise_var=0.0, residual_var=1.0),
        -WORLD.best_bound,
        10,
    ),
    "LogDet, s² = 2ν: all with ρ > 0": (
        losses.invariance_logdet(noise_var=NU, residual_var=S2),
        in_closed_form(lambda c, rho: 0.5 * (np.log(S2 / (c + NU)) - 1) + (2 * c * (1 - rho) + NU) / (2 * S2)),
        10,
    ),
    "LogDet, s² = ν/2: ρ > 3/4": (
        losses.invariance_logdet(noise_var=NU, residual_var=NU / 2),
        in_closed_form(lambda c, rho: 0.5 * (np.log(NU / 2 / (c + NU)) - 1) + (2 * c * (1 - rho) + NU) / NU),
        5,
    ),
    "CorInfoMax": (
        losses.corinfomax(eps=NU),
        in_closed_form(lambda c, rho: -2 * np.log(c + NU) + 4 / NU * c * (1 - rho)),
        10,
    ),
    "PairDist, s² = ν: ρ > 3/4": (
        losses.invariance_pairdist(noise_var=NU, residual_var=NU),
        in_closed_form(lambda c, rho: -0.5 * np.log(1 + c / (4 * NU)) - 0.5 * c / (c + 4 * NU) + c * (1 - rho) / NU),
        5,
    ),
    "PairDist (KL), s² = ν: ρ > 0": (
        losses.invariance_pairdist(noise_var=NU, residual_var=NU, kernel="kl"),
        in_closed_form(lambda c, rho: -0.5 * np.log(1 + c / NU) - 0.5 * c / (c + NU) + c * (1 - rho) / NU),
        10,
    ),
    "W-MSE without sphere": (losses.whitened_mse(), 20 - 2 * WORLD.correlations[:10].sum(), 10),
    "spectral": (losses.spectral_contrastive(), -(WORLD.correlations[:10] ** 2).sum(), 10),
    "InfoNCE": (losses.infonce(temperature=0.1), -0.5 * (WORLD.correlations[:10] ** 2).sum(), 10),
}


@pytest.mark.parametrize("name", OPTIMA)
def test_optimum_in_closed_form_from_every_start(name):
    loss, expected, rank = OPTIMA[name]
    moments = WORLD.moments()
    for seed in range(3):
        found = minimize_population(loss, moments, 10, stream(seed, "start"))
        assert loss(moments, found) == pytest.approx(expected, rel=1e-8)
        assert numerical_rank(moments.embedded(found).within) == rank
        assert moments.largest_angle(found, rank, smallest_variance=1e-6) < 1e-5  # optimizer precision
        information = moments.information(found, smallest_variance=1e-6)
        assert information == pytest.approx(moments.best_information(rank), abs=1e-8)


def test_corinfomax_drops_what_repeats_less_than_half():
    """With room for 15 directions it keeps the 10 with ρ > ½, for every ε."""
    assert (WORLD.correlations > 0.5).sum() == 10
    for eps in (1e-3, 1.0):
        found = minimize_population(losses.corinfomax(eps=eps), WORLD.moments(), 15, stream(0, "start"))
        assert numerical_rank(WORLD.moments().embedded(found).within) == 10


def test_barlow_twins_loses_rank_at_its_published_weight():
    moments = WORLD.moments()
    ranks = []
    for redundancy in (0.0051, 1.0):
        loss = losses.barlow_twins(redundancy=redundancy)
        found = minimize_population(loss, moments, 10, stream(0, "start"))
        ranks.append(numerical_rank(moments.embedded(found).within))
        # CCA scores, whose cross-correlations vanish off the diagonal, are no better.
        assert loss(moments, found) <= loss(moments, moments.canonical()[1][:10])
    assert ranks == [5, 10]


def test_rows_may_exceed_what_the_hinge_asks_for():
    """A strong entropy at little noise: rows longer than the kink, at a point no first-order step improves."""
    moments = WORLD.moments()
    loss = losses.vicreg_logdet(normalization="reference", beta=1.0, weights=(25.0, 25.0, 1.0, 100.0))
    found = minimize_population(loss, moments, 5, stream(0, "start"))
    assert (np.diagonal(moments.embedded(found).within) > 1.01).all()
    _, gradient = loss.smooth_gradient(moments, found)
    assert np.abs(gradient).max() < 1e-4 * 100  # optimizer precision, relative to the weight


@pytest.mark.parametrize(
    "loss",
    [
        losses.vicreg(normalization="reference", weights=(25.0, 25.0, 0.01)),
        losses.vicreg(normalization="equation", weights=(25.0, 25.0, 100.0)),
        losses.vicreg_logdet(normalization="reference", beta=100.0),
        losses.vicreg_pairdist(normalization="solo", noise_var=0.01),
    ],
    ids=["VICReg, small weight", "VICReg, large weight", "VICReg + LogDet", "VICReg + PairDist"],
)
def test_no_nearby_matrix_is_better(loss):
    """The reformulation of the hinge has the minima of the loss itself: steps of all rows, and along each row."""
    moments, k = WORLD.moments(), 10
    for seed in range(4):
        rng = stream(seed, "start")
        found = minimize_population(loss, moments, k, rng)
        steps = [h * np.abs(found).max() * rng.normal(size=found.shape) for h in (1e-3, 1e-4) for _ in range(6)]
        steps += [h * np.eye(k)[[j]].T * found for h in (-1e-2, -1e-4, 1e-4, 1e-2) for j in range(k)]
        assert min(loss(moments, found + step) for step in steps) >= loss(moments, found) * (1 - 1e-13)


def test_gradient_of_the_search_is_the_finite_difference():
    """In (b, p, e), away from ‖b‖ = 1, where minima lie and errors in ‖b‖ would not show."""
    moments, loss, h = ViewMoments(np.eye(20), np.diag(WORLD.correlations)), losses.vicreg(normalization="solo"), 1e-6
    assert loss.hinge is not None
    objective, rng = linear_gaussian._with_hinge(loss, loss.hinge, moments, 3), stream(0, "search")
    flat = np.concatenate([0.4 * rng.normal(size=60), rng.uniform(0.1, 0.9, size=6)])
    value, gradient = objective(flat)
    for _ in range(10):
        step = h * rng.normal(size=66)
        change = (objective(flat + step)[0] - objective(flat - step)[0]) / 2
        assert gradient @ step == pytest.approx(change, abs=1e3 * value * h**3 + 10 * EPS * value)


@pytest.mark.parametrize("excess", [0.0, 0.5])
def test_rows_stopped_where_the_hinge_has_no_slope_go_on(monkeypatch, excess):
    """One row ends as (p, e) = (0, excess) in the first search, which hides its hinge or the row itself."""
    loss, moments = losses.vicreg_logdet(normalization="reference", beta=100.0), WORLD.moments()
    expected = loss(moments, minimize_population(loss, moments, 10, stream(0, "start")))
    search, calls = linear_gaussian._lbfgs, []

    def stopped(objective, start, bounds):
        calls.append(found := search(objective, start, bounds))
        if len(calls) == 1:
            found[-20], found[-10] = 0.0, excess
        return found

    monkeypatch.setattr(linear_gaussian, "_lbfgs", stopped)
    found = minimize_population(loss, moments, 10, stream(0, "start"))
    assert len(calls) == 2
    assert loss(moments, found) == pytest.approx(expected, rel=1e-9)


def test_a_row_that_returns_to_zero_stays_there(monkeypatch):
    search, calls = linear_gaussian._lbfgs, []

    def always_cut(objective, start, bounds):
        calls.append(found := search(objective, start, bounds))
        found[-20] = found[-10] = 0.0
        return found

    monkeypatch.setattr(linear_gaussian, "_lbfgs", always_cut)
    found = minimize_population(losses.vicreg(normalization="reference"), WORLD.moments(), 10, stream(0, "start"))
    assert 1 < len(calls) < 10  # the others adapt to the loss of a row, then nothing changes
    assert not found[0].any()


def test_units_of_the_views_do_not_matter():
    moments, units = WORLD.moments(), np.diag(np.geomspace(1e-3, 1e3, 20))
    loss = losses.invariance_logdet(noise_var=0.0, residual_var=1.0)
    scaled = ViewMoments(units @ moments.within @ units, units @ moments.across @ units)
    assert loss(scaled, minimize_population(loss, scaled, 5, stream(0, "start"))) == pytest.approx(
        -CanonicalViews(k=5).best_bound, rel=1e-8
    )


def test_a_search_that_does_not_converge_says_so(monkeypatch):
    import scipy.optimize

    searched = scipy.optimize.minimize

    def short(*args, options, **others):
        return searched(*args, options={**options, "maxiter": 3}, **others)

    monkeypatch.setattr(scipy.optimize, "minimize", short)
    with pytest.raises(RuntimeError, match="the optimizer stopped after 3 iterations"):
        minimize_population(losses.whitened_mse(), WORLD.moments(), 5, stream(0, "start"))


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


def test_weights_are_positive():
    with pytest.raises(ParameterError, match="weights"):
        minimize_population_vicreg(WORLD.moments(), 2, stream(0, "s"), normalization="reference", weights=(25, 25, 0))
