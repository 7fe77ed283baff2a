"""The information bound against naive formulas, known informations and its own statement of what is valid."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import chi2

from itssl import Bias, Estimate, Gaussian, MonteCarlo, Outcome, Relation, Sides, logdet_entropy
from itssl.arrays import SampleError, SampleTypeError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.decision import decide
from itssl.distributions.positive_pairs import scattered_prototypes
from itssl.distributions.tasks import linear_gaussian_views
from itssl.distributions.von_mises_fisher import VonMisesFisher
from itssl.estimators import LogDet, NoiseConvolved, PairwiseMixture
from itssl.estimators.hausdorff import HausdorffEntropy
from itssl.evaluation.bound_entropy import entropy_piece
from itssl.evaluation.conditional_density import (
    FAMILIES,
    Family,
    fit,
    isotropic,
    von_mises_fisher,
    widened_for_contrast,
)
from itssl.evaluation.information_bound import information_bound
from itssl.kernels.linalg import LOG_2PI

EPS = np.finfo(float).eps


def views(n, rho=(0.9, 0.6, 0.3), seed=0):
    return linear_gaussian_views(list(rho)).sample(n, stream(seed, "views of the bound", n))


def on_sphere(n=200, d=4):
    rng = stream(0, "sphere")
    z = rng.standard_normal((n, d))
    pair = z + 0.5 * rng.standard_normal((n, d))
    return z / np.linalg.norm(z, axis=1)[:, None], pair / np.linalg.norm(pair, axis=1)[:, None]


def known(value, bias=Bias.EXACT):
    return Estimate(value=value, standard_error=0.0, n=0, bias=bias, method="given")


# --- q ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise_var", [0.0, 0.3])
def test_gaussian_families_are_what_they_say(noise_var):
    z, pair = views(80)
    d, delta, eye = 3, z - pair, np.eye(3)
    slope = np.linalg.lstsq(np.c_[pair, np.ones(80)], z, rcond=None)[0]
    rest = z - np.c_[pair, np.ones(80)] @ slope
    expected: dict[Family, tuple[np.ndarray, np.ndarray]] = {
        "isotropic": (delta, (delta**2).mean() * eye + noise_var * eye),
        "diagonal": (delta, np.diag((delta**2).mean(axis=0)) + noise_var * eye),
        "full": (rest, rest.T @ rest / (80 - d - 1) + noise_var * eye),
    }
    for family, (residual, cov) in expected.items():
        q = fit(family, z, pair, noise_var=noise_var)
        law = Gaussian(np.zeros(d), cov)
        np.testing.assert_allclose(q.log_density(z, pair), law.log_density(residual), rtol=1e-10)
        # a quadratic is averaged over N(0, s²I) exactly by the 2d points ± s√d e_j
        points = math.sqrt(d * noise_var) * np.vstack([eye, -eye])
        averaged = np.mean([q.log_density(z + point, pair) for point in points], axis=0)
        np.testing.assert_allclose(q.log_density(z, pair, noise_var=noise_var), averaged, rtol=1e-10)


def test_von_mises_fisher_family_is_the_law_and_its_fit_the_maximum():
    z, pair = on_sphere()
    q = von_mises_fisher(7.0, d=4)
    law = [VonMisesFisher(center, 7.0).hausdorff_log_density(row[None])[0] for row, center in zip(z, pair, strict=True)]
    np.testing.assert_allclose(q.log_density(z, pair), law, rtol=1e-12)
    fitted = fit("vmf", z, pair)
    best = float(fitted.whitener) ** 2
    value = fitted.log_density(z, pair).mean()
    for factor in (0.9, 1.1):
        assert von_mises_fisher(best * factor, d=4).log_density(z, pair).mean() < value
    # in an exponential family the fitted mean log-likelihood is minus the entropy of the fitted law
    assert value == pytest.approx(-VonMisesFisher(np.eye(4)[0], best).hausdorff_entropy.value, abs=1e-6)
    assert float(fit("vmf", z, -pair).whitener) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_width_for_contrast_is_the_best_and_q_stays_a_density(family):
    """20 dimensions: far wider than the likeliest q, and no neighboring width is better."""
    z, pair = on_sphere(100, 20) if family == "vmf" else views(100, np.full(20, 0.5))
    q = fit(family, z, pair)
    wide = widened_for_contrast(q, z, pair)

    def infonce(density):
        log_q = density.log_density(z, pair)
        return (log_q - density.log_aggregate(z, pair)).mean()

    width = np.linalg.norm(q.whitener) / np.linalg.norm(wide.whitener)
    assert infonce(wide) > infonce(q)
    near = [widened(q, width * factor, 20) for factor in (0.95, 1.05)]
    assert infonce(wide) >= max(infonce(density) for density in near)
    same = widened(q, width, 20)  # with the peak of a density of this width
    np.testing.assert_allclose(wide.log_density(z, pair), same.log_density(z, pair), rtol=1e-10)


def widened(q, width, d):
    """The family's density with W divided by ``width``: Gaussians lose d log width at the peak."""
    if q.on_sphere:
        return von_mises_fisher(float(q.whitener / width) ** 2, d=d)
    return replace(q, whitener=np.asarray(q.whitener / width), log_peak=float(q.log_peak - d * math.log(width)))


@pytest.mark.parametrize("family", FAMILIES)
def test_aggregate_is_the_mean_of_q_over_candidates(family):
    z, pair = on_sphere(25) if family == "vmf" else views(25)
    q = fit(family, z, pair)
    log_q = np.array([[float(q.log_density(row[None], center[None])[0]) for center in pair] for row in np.asarray(z)])
    total = np.asarray(logsumexp(log_q, axis=1))
    np.testing.assert_allclose(q.log_aggregate(z, pair), total - np.log(25), rtol=1e-11)
    np.testing.assert_allclose(q.shares(z, pair), np.exp(log_q - total[:, None]).sum(axis=0), rtol=1e-11)


def test_entropy_pieces_against_their_definitions():
    z, s = views(90)[0], 0.4
    noisy = np.cov(z, rowvar=False) + s**2 * np.eye(3)
    logdet = entropy_piece("logdet", z, noise_std=s, seed=0)
    assert logdet.estimate.value == pytest.approx(Gaussian(np.zeros(3), noisy).entropy.value, rel=1e-12)
    pairwise = entropy_piece("pairwise", z, noise_std=s, seed=0).estimate
    reference = PairwiseMixture(var=s**2).entropy(z)
    assert pairwise.value == pytest.approx(reference.value, rel=1e-12)
    assert pairwise.standard_error == pytest.approx(reference.standard_error, rel=1e-9)
    assert pairwise.bias is Bias.LOWER
    # the influence is the derivative in the weight of a row: double one row's weight, a little
    step = 1e-5
    for row in (0, 17):
        up, down = (weighted_logdet(z, row, sign * step, s) for sign in (1, -1))
        assert logdet.influence is not None
        assert logdet.influence[row] == pytest.approx((up - down) / (2 * step) * len(z), rel=1e-5, abs=1e-5)


def weighted_logdet(z, row, step, s):
    weights = np.ones(len(z))
    weights[row] += step
    weights /= weights.sum()
    centered = z - weights @ z
    cov = (weights[:, None] * centered).T @ centered * len(z) / (len(z) - 1)
    return 0.5 * np.linalg.slogdet(cov + s**2 * np.eye(z.shape[1]))[1]


# --- the sum ---------------------------------------------------------------------------------------------------------


def test_kde_on_the_sphere_is_infonce():
    z, pair = on_sphere()
    found = information_bound(3 * z, 2 * pair, entropy="kde", q="vmf", temperature=0.2)
    scores = z @ pair.T / 0.2
    infonce = np.log(200) + (np.diagonal(scores) - logsumexp(scores, axis=1)).mean()
    assert found.value.value == pytest.approx(infonce, rel=1e-12)
    assert found.entropy.value + found.cross_term.value == pytest.approx(infonce, rel=1e-12)
    assert found.valid
    assert found.value.bias is Bias.LOWER
    assert found.cap == pytest.approx(np.log(200))


def test_kde_stays_below_the_logarithm_of_its_candidates():
    z = 100.0 * np.arange(40.0)[:, None]
    found = information_bound(z, z + 1e-3 * stream(0, "near").standard_normal((40, 1)), entropy="kde")
    assert found.value.value == pytest.approx(np.log(8))
    assert found.cap == pytest.approx(np.log(8))
    assert found.warnings == ()


def test_gaussian_entropy_and_regression_are_the_gaussian_information():
    """The pieces read at the rows they are fitted to: −½ log|I − ...| but for the divisors."""
    z, pair = views(300)
    n, d = z.shape
    both = np.cov(np.hstack([z, pair]), rowvar=False)
    log_dets = [np.linalg.slogdet(c)[1] for c in (both[:d, :d], both[d:, d:], both)]
    information = 0.5 * (log_dets[0] + log_dets[1] - log_dets[2])
    h = float(logdet_entropy(z)) + d / 2 * np.log((n - 1) / n)
    divisor = n - d - 1
    extra = 0.5 * d * (1 - divisor / n) - 0.5 * d * np.log(n / divisor)
    assert h + fit("full", z, pair).log_density(z, pair).mean() == pytest.approx(information + extra, rel=1e-11)


@pytest.mark.parametrize("q", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("entropy", ["gaussian", "kde"])
def test_scale_does_not_matter_where_it_is_fitted(q, entropy):
    z, pair = views(200)
    one = information_bound(z, pair, entropy=entropy, q=q)
    big = information_bound(1e3 * z, 1e3 * pair, entropy=entropy, q=q)
    assert big.value.value == pytest.approx(one.value.value, rel=1e-9)
    assert big.value.standard_error == pytest.approx(one.value.standard_error, rel=1e-9)


def test_given_scale_moves_the_bound_as_stated():
    """h + K log a − (a² − 1) E‖Δ‖²/2, and what the report says is lost is lost."""
    z, pair = views(200)
    squared, d, a = np.square(z - pair).sum(axis=1).mean(), 3, 2.5
    one, moved = (information_bound(c * z, c * pair, entropy="gaussian", scale="as given") for c in (1.0, a))
    shift = d * np.log(a) - (a**2 - 1) * squared / 2
    assert moved.value.value - one.value.value == pytest.approx(shift, rel=1e-9)
    best = np.sqrt(squared / d)
    optimal = information_bound(z, pair, entropy="gaussian", scale="as given", q_std=float(best))
    lost = optimal.value.value - one.value.value
    assert f"E log q {lost:.4g} nats less than at its optimal σ = {best:.4g}" in one.scale
    for factor in (0.8, 1.25):
        other = information_bound(z, pair, entropy="gaussian", scale="as given", q_std=float(factor * best))
        assert other.value.value < optimal.value.value


def test_noise_enters_both_terms_and_in_one_it_would_gain_half_a_nat_a_dimension():
    z, pair = views(200)
    s, d, h = 0.5, 3, known(4.0)
    with_noise = information_bound(z, pair, entropy=h, scale="as given", q_std=s, noise_std=s)
    without = information_bound(z, pair, entropy=h, scale="as given", q_std=s)
    assert without.value.value - with_noise.value.value == pytest.approx(d / 2, rel=1e-12)
    assert with_noise.noise_relative == pytest.approx(s / np.sqrt(z.var(axis=0, ddof=1).mean()), rel=1e-12)
    assert (with_noise.target, without.target) == ("I(Z + noise; Z')", "I(Z; Z')")
    fitted = information_bound(z, pair, entropy=h, noise_std=s)
    var = np.square(z - pair).mean() + s**2
    assert fitted.scale.startswith(f"optimal: fitted σ = {np.sqrt(var):.4g}")


def test_closed_form_noise_agrees_with_drawn_noise():
    """LogDet has the noise in closed form, the Gaussian plug-in draws it: E log q is the same on average."""

    def replicate(i):
        z, pair = views(200, seed=i)
        values = [
            information_bound(z, pair, entropy=name, noise_std=0.7, seed=i).cross_term.value
            for name in ("logdet", "gaussian")
        ]
        return Sides(left=values[0], right=values[1])

    assert decide(replicate, Relation.EQUAL, MonteCarlo(0.06)).outcome is Outcome.HOLDS


def test_fitting_and_reading_the_same_rows_would_be_optimistic():
    """Independent views, I = 0: the regression on 36 of 45 rows finds nothing on the others, much on its own."""

    def replicate(i):
        z, pair = stream(i, "independent").standard_normal((2, 45, 6))
        found = information_bound(z, pair, entropy=Gaussian.standard(6).entropy, q="full")
        same_rows = found.value.value + found.cross_term.diagnostics["optimism_nats"]
        return Sides(left=(found.value.value, 0.5), right=(0.0, same_rows), parts=("bound ≤ 0", "same rows > 0.5"))

    assert decide(replicate, Relation.AT_MOST, MonteCarlo(0.01)).outcome is Outcome.HOLDS


GAUSSIAN, PROTOTYPES = linear_gaussian_views([0.9, 0.6]), scattered_prototypes(12, 2, std=0.1)
VALID = {
    "kde": {"entropy": "kde", "folds": 2},
    "kde, full": {"entropy": "kde", "q": "full", "folds": 2},
    "kde, sphere": {"entropy": "kde", "q": "vmf", "folds": 2},
    "kde, noise": {"entropy": "kde", "noise_std": 0.2, "folds": 2},
    "pairwise": {"entropy": "pairwise", "noise_std": 0.2, "q": "diagonal"},
    "noise_convolved": {"entropy": NoiseConvolved(var=0.04, draws=256), "noise_std": 0.2},
}


@pytest.mark.parametrize("task", [GAUSSIAN, PROTOTYPES], ids=["Gaussian", "prototypes"])
@pytest.mark.parametrize(
    "options",
    [pytest.param(o, id=name, marks=[pytest.mark.slow] * name.startswith("kde, ")) for name, o in VALID.items()],
)
def test_what_is_called_valid_is_a_lower_bound(task, options):
    def replicate(i):
        found = information_bound(*task.sample(80, stream(i, "valid")), seed=i, **options)
        assert found.valid
        return Sides(left=found.value.value, right=task.mutual_information.value)

    assert decide(replicate, Relation.AT_MOST, MonteCarlo(0.05), max_replicates=128).outcome is Outcome.HOLDS


def test_exact_entropy_and_regression_nearly_attain_the_information():
    h = Gaussian.standard(2).entropy

    def replicate(i):
        found = information_bound(*GAUSSIAN.sample(400, stream(i, "attained")), entropy=h, q="full", seed=i)
        assert found.valid
        value, truth = found.value.value, GAUSSIAN.mutual_information.value
        return Sides(left=(value, truth - 0.04), right=(truth, value), parts=("at most", "nearly"))

    assert decide(replicate, Relation.AT_MOST, MonteCarlo(0.02)).outcome is Outcome.HOLDS


def test_gaussian_entropy_is_no_bound_and_says_so():
    """Prototypes: the Gaussian h overshoots log N; the number is flagged and not called a bound."""
    far = scattered_prototypes(4, 4, std=0.01)
    z, pair = far.sample(300, stream(0, "flagged"))
    found = information_bound(z, pair, entropy="gaussian", prototypes=4)
    assert found.value.value > np.log(4)
    assert found.cap == np.log(4)
    assert not found.valid
    assert found.value.bias is Bias.UNKNOWN
    assert {"not_a_bound", "above_log_prototypes"} <= {w.code for w in found.warnings}
    assert "above_log_rows" in {w.code for w in information_bound(z, pair, entropy="gaussian").warnings}
    assert "upper bound" in found.reason
    honest = information_bound(z, pair, entropy="kde", prototypes=4)
    assert honest.value.value <= np.log(4)
    assert honest.warnings == ()


@pytest.mark.parametrize(
    ("bias", "valid"),
    [(Bias.EXACT, True), (Bias.UNBIASED, True), (Bias.LOWER, True), (Bias.UPPER, False), (Bias.UNKNOWN, False)],
)
def test_direction_of_the_entropy_decides(bias, valid):
    found = information_bound(*views(50), entropy=known(1.0, bias))
    assert found.valid is valid
    assert found.value.bias is (Bias.LOWER if valid else Bias.UNKNOWN)


def weighted_sum(entropy, z, pair, weights, s, std):
    """h + E log N(z; z', std² I), but for constants, where row i counts weights_i times (they sum to one)."""
    n, d = z.shape
    extra = s**2 if entropy in ("logdet", "pairwise") else 0.0
    log_q = -0.5 * (((z - pair) ** 2).sum(axis=1) + d * extra) / std**2
    if entropy == "kde":
        return weights @ (log_q - logsumexp(log_kernel(z, pair, std**2), b=weights, axis=1))
    if entropy == "pairwise":
        return weights @ (log_q - logsumexp(log_kernel(z, z, 4 * s**2), b=weights, axis=1))
    centered = z - weights @ z
    cov = (weights[:, None] * centered).T @ centered * n / (n - 1)
    return 0.5 * np.linalg.slogdet(cov + extra * np.eye(d))[1] + weights @ log_q


def log_kernel(z, centers, var):
    return -0.5 * ((z[:, None] - centers) ** 2).sum(axis=2) / var


@pytest.mark.parametrize("entropy", ["gaussian", "logdet", "pairwise", "kde"])
def test_standard_error_is_that_of_the_derivatives_in_the_weights_of_rows(entropy):
    """Both terms move together with a row, which is also a candidate of the others."""
    z, pair = views(25)
    n, s, std, step = 25, 0.5, 0.7, 1e-5

    def at(row, step):
        weights = np.ones(n)
        weights[row] += step
        return weighted_sum(entropy, z, pair, weights / weights.sum(), s, std)

    influence = [n * (at(row, step) - at(row, -step)) / (2 * step) for row in range(n)]
    noise: dict[str, Any] = {"noise_std": s} if entropy in ("logdet", "pairwise") else {}
    found = information_bound(z, pair, entropy=entropy, scale="as given", q_std=std, **noise)
    assert found.value.standard_error == pytest.approx(np.std(influence, ddof=1) / np.sqrt(n), rel=1e-6)


@pytest.mark.parametrize("options", [{"entropy": "gaussian"}, {"entropy": "pairwise", "noise_std": 0.5}], ids=str)
def test_standard_error_is_the_spread(options):
    many = 100
    found = [information_bound(*views(200, (0.8, 0.5), seed=i), seed=i, **options).value for i in range(many)]
    spread = np.var([e.value for e in found], ddof=1)
    ratio = (many - 1) * spread / np.mean([e.standard_error**2 for e in found])
    low, high = chi2.ppf([1e-4, 1 - 1e-4], many - 1)
    assert low < ratio < high


def test_errors_add_up_where_contributions_are_not_known():
    found = information_bound(*views(200), entropy="knn")
    both = found.entropy.standard_error + found.cross_term.standard_error
    assert found.value.standard_error == pytest.approx(both, rel=1e-12)
    exact = information_bound(*views(200), entropy=known(1.0))
    assert exact.value.standard_error == exact.cross_term.standard_error


# --- the border ------------------------------------------------------------------------------------------------------


def test_kinds_of_arrays_agree_and_are_left_alone():
    z, pair = (np.asfortranarray(v.astype(np.float32).astype(float)) for v in views(60))
    z.flags.writeable = pair.flags.writeable = False
    expected = information_bound(z, pair, entropy="kde", q="full")
    tensors = [torch.tensor(v, requires_grad=True) for v in (z, pair)]
    frames = [pd.DataFrame(v, columns=list("abc")) for v in (z, pair)]
    for a, b in (
        tensors,
        frames,
        [v.astype(np.float32) for v in (z, pair)],
        [np.repeat(v, 2, 0)[::2] for v in (z, pair)],
    ):
        assert information_bound(a, b, entropy="kde", q="full") == expected
    assert all(t.grad is None for t in tensors)


def test_singular_entropy_is_carried_not_hidden():
    rng = stream(0, "singular")
    z = rng.standard_normal((60, 2)) @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    found = information_bound(z, z + rng.standard_normal((60, 3)), entropy="gaussian")
    assert found.value.value == -np.inf
    assert "singular_support" in {w.code for w in found.warnings}
    noisy = information_bound(z, z, entropy="pairwise", noise_std=0.1)
    assert np.isfinite(noisy.value.value)
    assert noisy.scale.startswith("optimal: fitted σ = 0.1,")


def test_dead_coordinates_need_noise():
    z, pair = (np.c_[v, np.zeros(len(v))] for v in views(60))
    with pytest.raises(SampleError, match="z_a: expected columns that vary, got constant column 3"):
        information_bound(z, pair, entropy="gaussian")
    for entropy in ("logdet", "pairwise", "noise_convolved", "kde", "gaussian"):
        assert np.isfinite(information_bound(z, pair, entropy=entropy, noise_std=0.3).value.value)


Z, PAIR = views(30)
BAD_SAMPLES = {
    "shapes": ((Z, PAIR[:, :2]), {}, r"z_a and z_b: expected equal shapes, got \(30, 3\) and \(30, 2\)"),
    "rows": ((Z, PAIR[:20]), {}, "z_a and z_b: expected the same number of rows, got 30 and 20"),
    "one row": ((Z[:1], PAIR[:1]), {}, "z_a: expected at least 2 rows"),
    "nan": ((np.where(Z > 1.5, np.nan, Z), PAIR), {}, "z_a: expected finite values"),
    "collapse": ((np.ones((30, 3)), PAIR), {}, "z_a: expected rows that differ, got 30 equal ones; .* collapsed"),
    "collapsed pair": ((Z, np.ones((30, 3))), {"entropy": "kde"}, "z_b: expected rows that differ"),
    "equal views": ((Z, Z), {}, "expected two different views, got equal rows; .* noise_std"),
    "equal coordinate": (
        (Z, np.c_[Z[:, 0], PAIR[:, 1:]]), {"q": "diagonal"}, "got equal rows in coordinate 0",
    ),
    "linear views": ((Z, Z @ np.diag([1.0, 2, 3])), {"q": "full"}, "of z_a that is a linear function of z_b"),
    "equal directions": ((Z, 2 * Z), {"entropy": "kde", "q": "vmf"}, "got equal directions; .* temperature"),
    "few for a regression": ((Z[:7], PAIR[:7]), {"q": "full", "folds": 2}, "expected more than 2d = 6 rows to fit"),
    "few for folds": ((Z[:8], PAIR[:8]), {}, "expected at least 2 rows a fold, got 8 rows for folds=5"),
    "no direction": (
        (np.vstack([Z, np.zeros(3)]), np.vstack([PAIR, Z[:1]])), {"entropy": "kde", "q": "vmf"}, r"zero row \(30\)",
    ),
    "line": ((Z[:, :1], PAIR[:, :1]), {"entropy": "kde", "q": "vmf"}, "expected at least 2 columns"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "options", "message"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_bad_samples_are_refused_by_name(given, options, message):
    with pytest.raises(SampleError, match=message):
        information_bound(*given, **{"entropy": "gaussian", **options})


BAD_OPTIONS = {
    "entropy": ({"entropy": "gausian"}, UnknownNameError, "entropy: expected one of .* did you mean 'gaussian'"),
    "no entropy": ({"entropy": 3.0}, UnknownNameError, "entropy: expected one of .* an Estimate .* got 3.0"),
    "class": ({"entropy": PairwiseMixture}, UnknownNameError, r"pass PairwiseMixture\(...\), configured"),
    "bits": ({"entropy": known(1.0).in_bits()}, ParameterError, "expected an Estimate in nats, got one in bits"),
    "no noise": ({"entropy": "pairwise"}, ParameterError, "noise_std: expected a number > 0 with entropy='pairwise'"),
    "other noise": (
        {"entropy": PairwiseMixture(var=0.04)}, ParameterError, r"noise_std: expected √var = 0.2 .* got 0; .* same",
    ),
    "vector noise": (
        {"entropy": NoiseConvolved(var=[0.1, 0.2, 0.3]), "noise_std": 0.1}, ParameterError, "expected one variance",
    ),
    "logdet": ({"entropy": LogDet(beta=10.0)}, ParameterError, 'entropy="logdet" with noise_std'),
    "hausdorff": ({"entropy": HausdorffEntropy(dimension=2)}, ParameterError, 'use q="vmf"'),
    "negative": ({"noise_std": -1.0}, ParameterError, "noise_std: expected a finite number > 0, got -1.0"),
    "sphere": ({"q": "vmf"}, ParameterError, "densities of R.d and of the sphere cannot be added"),
    "sphere noise": ({"entropy": "kde", "q": "vmf", "noise_std": 0.1}, ParameterError, "not on the sphere"),
    "std": ({"q_std": 1.0}, ParameterError, 'q_std: expected none with scale="optimal"'),
    "scale": ({"q": "full", "scale": "as given"}, ParameterError, "scale: expected \"optimal\" with q='full'"),
    "temperature": ({"temperature": 0.1}, ParameterError, "temperature: expected none with q='isotropic'"),
    "prototypes": ({"prototypes": 0}, ParameterError, "prototypes: expected an integer >= 1"),
    "folds": ({"folds": 1}, ParameterError, "folds: expected an integer >= 2"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        information_bound(Z, PAIR, **{"entropy": "gaussian", **options})


def test_other_kinds_are_refused():
    with pytest.raises(SampleTypeError, match="z_a: expected real-valued samples"):
        information_bound(Z > 0, PAIR, entropy="gaussian")
    with pytest.raises(SampleTypeError, match="expected arrays of one kind"):
        information_bound(Z, torch.tensor(PAIR), entropy="gaussian")


def test_report_shows_every_piece():
    found = information_bound(Z, PAIR, entropy="pairwise", noise_std=0.3, prototypes=3)
    text, page = repr(found), found._repr_html_()
    for part in (
        "I(Z + noise; Z'), ≥ in expectation",
        "pairwise (Bhattacharyya)",
        "N(z; z', σ²I)",
        "log N of 3",
        "s = 0.3",
    ):
        assert part in text
    assert "<script" not in page
    assert page.count("<tr>") == 4
    table = found.to_pandas()
    assert table.loc["sum", "value"] == found.value.value
    assert table.loc["h", "value"] + table.loc["E log q", "value"] == pytest.approx(found.value.value, rel=4 * EPS)
    with pytest.raises(TypeError, match="no truth value"):
        bool(found)
    with pytest.raises(AttributeError):
        found.valid = False  # pyright: ignore[reportAttributeAccessIssue]


def test_isotropic_peak():
    assert isotropic(2.0, d=3).log_peak == pytest.approx(-1.5 * LOG_2PI - 3 * np.log(2), rel=4 * EPS)


@pytest.mark.parametrize("n", [11, 13, 21])
def test_no_cap_is_exceeded_by_parts_of_unequal_size(n):
    """Rows far apart reach the ceiling, the mean over the rows of log m."""
    rng = stream(0, "unequal parts", n)
    z = 10 * np.arange(n)[:, None] * np.ones(2) + 0.1 * rng.normal(size=(n, 2))
    found = information_bound(z, z + 0.01 * rng.normal(size=z.shape), entropy="kde")
    assert found.value.value <= found.cap + 8 * EPS
    assert found.value.value > found.cap - 0.1
    assert information_bound(z, z + 0.01, entropy="kde", prototypes=10**6).cap == found.cap
    assert information_bound(z, z + 0.01, entropy="kde", prototypes=1).cap == 0.0


@pytest.mark.parametrize("scale", [1e-155, 1e154, 1e200])
def test_squares_that_are_no_floats_are_refused(scale):
    z, pair = views(30)
    with pytest.raises(SampleError, match="squares are floats, got columns up to"):
        information_bound(scale * z, scale * pair, entropy="kde")
