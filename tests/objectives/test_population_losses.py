"""Population losses against the sampled objectives: to rounding on exact moments, else in the limit of large n."""

from functools import partial

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.check import check_equality
from itssl.claims.verdict import Outcome
from itssl.distributions.tasks import random_mixing
from itssl.objectives import (
    barlow_twins_terms,
    corinfomax_terms,
    infonce_terms,
    invariance_logdet_terms,
    invariance_pairdist_terms,
    population_terms,
    spectral_contrastive_terms,
    vicreg_logdet_terms,
    vicreg_pairdist_terms,
    vicreg_terms,
    wmse_terms,
)
from itssl.objectives import population_losses as population
from itssl.objectives.redundancy import _whitened
from itssl.objectives.vicreg import NORMALIZATIONS
from itssl.objectives.view_moments import ViewMoments

EPS = np.finfo(float).eps
MIXING = random_mixing(3, 0)
RHO = np.array([0.9, 0.5, 0.1])
MOMENTS = ViewMoments(MIXING @ MIXING.T, (MIXING * RHO) @ MIXING.T)
MATRIX = 0.7 * stream(0, "A").normal(size=(2, 3))
N = 40

LOSSES = {
    **{f"VICReg {n}": population.vicreg(normalization=n, gamma=0.1) for n in NORMALIZATIONS},  # no hinge: smooth
    "VICReg + LogDet": population.vicreg_logdet(normalization="solo", beta=3.0),
    "VICReg + PairDist": population.vicreg_pairdist(normalization="equation", noise_var=0.3, kernel="kl"),
    "bound": population.invariance_logdet(noise_var=0.0, residual_var=1.0),
    "invariance + LogDet": population.invariance_logdet(noise_var=0.3, residual_var=0.7),
    "invariance + PairDist": population.invariance_pairdist(noise_var=0.3, residual_var=0.7),
    "invariance + PairDist (KL)": population.invariance_pairdist(noise_var=0.3, residual_var=0.7, kernel="kl"),
    "CorInfoMax": population.corinfomax(eps=0.3),
    "Barlow Twins": population.barlow_twins(),
    "Barlow Twins, ε > 0": population.barlow_twins(redundancy=0.7, eps=0.2),
    "W-MSE without sphere": population.whitened_mse(),
    "spectral": population.spectral_contrastive(),
    "InfoNCE": population.infonce(temperature=0.6),
}


def views(n, *, ddof, rng=None):
    """Embeddings Z = A X of n rows whose sample moments, with n − ddof, are those of the population to rounding."""
    rng = rng or stream(0, "exact")
    joint = np.block([[MOMENTS.within, MOMENTS.across], [MOMENTS.across.T, MOMENTS.within]])
    x = rng.normal(size=(n, 6))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n - ddof) @ np.linalg.cholesky(joint).T
    return x[:, :3] @ MATRIX.T, x[:, 3:] @ MATRIX.T


def unbiased_covariance_biased_distance():
    """The moments of views(N, ddof=1) as an objective sees them that averages distances over n."""
    across = MOMENTS.within - (N - 1) / N * (MOMENTS.within - MOMENTS.across)
    return ViewMoments(MOMENTS.within, across)


@pytest.mark.parametrize(
    ("sampled", "loss"),
    [
        *(
            (partial(vicreg_terms, normalization=n, gamma=g), population.vicreg(normalization=n, gamma=g))
            for n in NORMALIZATIONS
            for g in (1.0, 0.1, 10.0)  # some, none and all of the coordinates below the kink
        ),
        *(
            (
                partial(vicreg_logdet_terms, normalization=n, beta=3.0),
                population.vicreg_logdet(normalization=n, beta=3.0),
            )
            for n in NORMALIZATIONS
        ),
        (
            partial(invariance_logdet_terms, beta=1 / 0.3, residual_var=0.7),
            population.invariance_logdet(noise_var=0.3, residual_var=0.7),
        ),
    ],
)
def test_losses_of_the_unbiased_covariance_on_exact_moments(sampled, loss):
    expected = sampled(*views(N, ddof=1)).total()
    assert loss(unbiased_covariance_biased_distance(), MATRIX) == pytest.approx(expected, rel=1e4 * EPS)


@pytest.mark.parametrize(
    ("sampled", "loss"),
    [
        (partial(corinfomax_terms, eps=0.3), population.corinfomax(eps=0.3)),
        (partial(barlow_twins_terms, eps=0.0), population.barlow_twins()),
        (partial(barlow_twins_terms, eps=0.2), population.barlow_twins(eps=0.2)),
    ],
)
def test_losses_of_moments_over_n(sampled, loss):
    expected = sampled(*views(N, ddof=0)).total()
    assert loss(MOMENTS, MATRIX) == pytest.approx(expected, rel=1e4 * EPS)


def test_weights_reach_their_terms():
    terms = vicreg_logdet_terms(*views(N, ddof=1), normalization="reference", beta=3.0)
    loss = population.vicreg_logdet(normalization="reference", beta=3.0, weights=(2.0, 3.0, 5.0, 7.0))
    moments = unbiased_covariance_biased_distance()
    assert loss(moments, MATRIX) == pytest.approx(terms.total((2, 3, 5, 7)), rel=1e4 * EPS)
    barlow = barlow_twins_terms(*views(N, ddof=0), eps=0.0).total({"redundancy": 0.5})
    assert population.barlow_twins(redundancy=0.5)(MOMENTS, MATRIX) == pytest.approx(barlow, rel=1e4 * EPS)


def test_whitened_mse_is_that_of_the_published_whitening():
    """The whitening of W-MSE, in which both views use their own (here equal) covariance; its sphere left out."""
    z_a, z_b = views(N, ddof=1)
    w_a, w_b = _whitened(np, z_a, 0.0), _whitened(np, z_b, 0.0)
    expected = ((w_a - w_b) ** 2).sum() / (N - 1)
    loss = population.whitened_mse()
    assert loss(MOMENTS, MATRIX) == pytest.approx(expected, rel=1e4 * EPS)
    assert loss(MOMENTS, np.array([[3.0, 1.0], [-2.0, 5.0]]) @ MATRIX) == pytest.approx(expected, rel=1e5 * EPS)
    # On the sphere there is another loss.
    assert wmse_terms(z_a, z_b).total() < 0.8 * expected


def limit(sampled, *, n=150):
    """One draw of 2 f(2n) − f(n), free of the bias of order 1/n; sample moments exact, which removes their noise."""

    def draw(rng):
        return 2 * sampled(*views(2 * n, ddof=0, rng=rng)) - sampled(*views(n, ddof=0, rng=rng))

    return draw


def log_partition(z_a, z_b, *, temperature):
    return infonce_terms(z_a, z_b, temperature=temperature, normalize=False).log_partition - np.log(len(z_a))


def pairwise_entropy(z_a, z_b, *, kernel):
    return -invariance_pairdist_terms(z_a, z_b, noise_var=0.3, residual_var=1.0, kernel=kernel).entropy


Z = MOMENTS.embedded(MATRIX)
LIMITS = {
    "spectral contrastive loss": (
        lambda z_a, z_b: spectral_contrastive_terms(z_a, z_b).total(),
        population.spectral_contrastive()(MOMENTS, MATRIX),
    ),
    "InfoNCE's partition": (
        partial(log_partition, temperature=8.0),
        population.infonce(temperature=8.0)(MOMENTS, MATRIX) + np.trace(Z.across) / 8,
    ),
    "pairwise entropy, Bhattacharyya": (
        partial(pairwise_entropy, kernel="bhattacharyya"),
        population_terms.pairwise_entropy(Z, 0.3, kernel="bhattacharyya").value,
    ),
    "pairwise entropy, KL": (
        partial(pairwise_entropy, kernel="kl"),
        population_terms.pairwise_entropy(Z, 0.3, kernel="kl").value,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_large_gaussian_batches(name):
    sampled, truth = LIMITS[name]
    assert check_equality(limit(sampled), truth, margin=0.01 * abs(truth)).outcome is Outcome.HOLDS


def test_sums_with_a_pairwise_entropy_have_its_limit():
    """The other terms are exact on exact moments, so that the same draws differ by nothing but rounding."""
    z_a, z_b = views(N, ddof=1)
    entropy = pairwise_entropy(z_a, z_b, kernel="kl")
    moments, limit = unbiased_covariance_biased_distance(), population_terms.pairwise_entropy(Z, 0.3, kernel="kl").value
    cases = [
        (
            invariance_pairdist_terms(z_a, z_b, noise_var=0.3, residual_var=0.7, kernel="kl").total(),
            population.invariance_pairdist(noise_var=0.3, residual_var=0.7, kernel="kl"),
        ),
        (
            vicreg_pairdist_terms(z_a, z_b, normalization="solo", noise_var=0.3, kernel="kl").total(),
            population.vicreg_pairdist(normalization="solo", noise_var=0.3, kernel="kl"),
        ),
    ]
    for sampled, loss in cases:
        assert loss(moments, MATRIX) - sampled == pytest.approx(entropy - limit, abs=1e5 * EPS)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_finite_difference(name):
    loss, h = LOSSES[name], 1e-5
    value, gradient = loss.smooth_gradient(MOMENTS, MATRIX)
    differences = np.empty_like(MATRIX)
    for i, j in np.ndindex(*MATRIX.shape):
        step = np.zeros_like(MATRIX)
        step[i, j] = h
        up, down = (loss.smooth_gradient(MOMENTS, MATRIX + sign * step)[0] for sign in (1, -1))
        differences[i, j] = (up - down) / (2 * h)
    # Central differences: h² times the third derivative, and rounding of the values over h.
    scale = np.abs(gradient).max() + abs(value)
    np.testing.assert_allclose(gradient, differences, atol=scale * (100 * h**2 + 10 * EPS / h))
    hinge = loss.hinge(Z.within) if loss.hinge else 0.0
    assert loss(MOMENTS, MATRIX) == pytest.approx(value + hinge, rel=16 * EPS)


def test_views_need_not_be_symmetric_for_the_gradient():
    """Cov(X, X') of views that are not exchangeable is no symmetric matrix."""
    skew = ViewMoments(np.eye(3), 0.3 * stream(0, "skew").normal(size=(3, 3)))
    loss, h = population.barlow_twins(redundancy=0.5), 1e-5
    _, gradient = loss.smooth_gradient(skew, MATRIX)
    step = h * stream(1, "step").normal(size=MATRIX.shape)
    difference = (loss(skew, MATRIX + step) - loss(skew, MATRIX - step)) / 2
    assert (gradient * step).sum() == pytest.approx(difference, abs=1e3 * h**3)


def test_exact_relations():
    tau = 0.6
    half = 0.5 * population.spectral_contrastive()(MOMENTS, MATRIX / np.sqrt(tau))
    assert population.infonce(temperature=tau)(MOMENTS, MATRIX) == pytest.approx(half, rel=16 * EPS)
    literal = population.invariance_logdet(noise_var=0.0, residual_var=1.0)(MOMENTS, MATRIX)
    assert literal == pytest.approx(-MOMENTS.information_bound(MATRIX), rel=64 * EPS)
    quarter = population.corinfomax(eps=0.3)(MOMENTS, MATRIX) / 4 + len(MATRIX) / 2 * np.log(0.3)
    noisy = population.invariance_logdet(noise_var=0.3, residual_var=0.3)(MOMENTS, MATRIX)
    assert quarter == pytest.approx(noisy, rel=64 * EPS)


def test_what_is_called_a_bound_lies_below_the_information():
    """And what is not does not: the KL kernel's entropy is too large."""
    for seed in range(50):
        rng = stream(seed, "bound")
        matrix, noise, residual = rng.normal(size=(2, 3)), *np.exp(rng.normal(size=2))
        information = MOMENTS.information(matrix)
        for loss in (
            population.invariance_pairdist(noise_var=noise, residual_var=residual),
            population.invariance_logdet(noise_var=noise, residual_var=residual),
            population.infonce(temperature=noise),
        ):
            assert -loss(MOMENTS, matrix) <= information
    unbounded = population.invariance_pairdist(noise_var=1e-3, residual_var=0.1, kernel="kl")
    strong = ViewMoments(np.eye(1), 0.95 * np.eye(1))
    assert -unbounded(strong, np.eye(1)) > strong.information(np.eye(1))


def test_inadmissible_settings_are_refused():
    with pytest.raises(ParameterError, match="noise_var"):
        population.invariance_logdet(noise_var=-1.0, residual_var=1.0)
    with pytest.raises(ParameterError, match="residual_var"):
        population.invariance_pairdist(noise_var=1.0, residual_var=0.0)
    with pytest.raises(ParameterError, match="temperature"):
        population.infonce(temperature=0.0)
    with pytest.raises(ParameterError, match="eps: expected"):
        population.vicreg(normalization="solo", gamma=1.0, eps=1.0)
    with pytest.raises((UnknownNameError, TypeCheckError), match="kernel"):
        population.vicreg_pairdist(normalization="solo", noise_var=1.0, kernel="gaussian")  # pyright: ignore[reportArgumentType]
