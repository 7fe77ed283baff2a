"""Nearest-neighbor estimators against brute-force twins written from the papers, and their known properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gamma
from scipy.stats import differential_entropy
from sklearn.feature_selection import mutual_info_regression

from itssl import KSG, KozachenkoLeonenko, check_equality
from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import linear_gaussian_views
from itssl.estimators.extrapolated_neighbors import ExtrapolatedKozachenkoLeonenko
from itssl.estimators.nearest_neighbors import log_ball_volumes, log_unit_ball_volume
from itssl.estimators.neighbor_extrapolation import neighbor_entropies
from itssl.estimators.standardization import scaled, standardized
from itssl.estimators.weighted_neighbors import WeightedKozachenkoLeonenko
from itssl.kernels.neighbor_counts import marginal_counts
from itssl.testing.strategies import samples

EPS = np.finfo(float).eps


def entropy_twin(x, k, metric):
    n, d = x.shape
    p = 2.0 if metric == "euclidean" else 1.0 if metric == "manhattan" else metric
    away = np.abs(x[:, None] - x[None])
    away = away.max(axis=2) if metric == "chebyshev" else (away**p).sum(axis=2) ** (1 / p)
    radius = np.sort(away, axis=1)[:, k]  # column 0 is the row itself
    ball = 2.0**d if metric == "chebyshev" else (2 * gamma(1 + 1 / p)) ** d / gamma(1 + d / p)
    return digamma(n) - digamma(k) + np.log(ball) + d * np.log(radius).mean()


def last_entropy(x, k):
    return neighbor_entropies(log_ball_volumes(x, k, "euclidean"))[-1]


def information(estimator, x, y):
    return estimator._information(*marginal_counts(x, y, estimator.k, estimator.metric, estimator.variant))


def ksg_twin(x, y, k, variant, metric="chebyshev"):
    """Kraskov et al. (2004), equations 8 and 9, one row at a time."""
    n, total = len(x), 0.0
    norm = (lambda v: np.abs(v).max(axis=1)) if metric == "chebyshev" else (lambda v: np.sqrt((v**2).sum(axis=1)))
    for i in range(n):
        others = np.arange(n) != i
        away_x, away_y = norm(x[others] - x[i]), norm(y[others] - y[i])
        joint = np.maximum(away_x, away_y)
        nearest = np.argsort(joint, kind="stable")[:k]
        if variant == 1:
            radius = joint[nearest[-1]]
            total += digamma((away_x < radius).sum() + 1) + digamma((away_y < radius).sum() + 1)
        else:
            n_x = (away_x <= away_x[nearest].max()).sum()
            n_y = (away_y <= away_y[nearest].max()).sum()
            total += digamma(n_x) + digamma(n_y)
    return digamma(k) - (0 if variant == 1 else 1 / k) + digamma(n) - total / n


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), n=st.integers(8, 80), d_x=st.integers(1, 6), d_y=st.integers(1, 6),
    k=st.integers(1, 6), variant=st.sampled_from([1, 2]), metric=st.sampled_from(["chebyshev", "euclidean"]),
)  # fmt: skip
def test_ksg_equals_the_papers_definition(seed, n, d_x, d_y, k, variant, metric):
    rng = stream(seed, "ksg")
    x = rng.normal(size=(n, d_x))
    y = rng.normal(size=(n, d_y)) + x[:, :1]
    value = KSG(k=k, variant=variant, metric=metric, standardize=False).mutual_information(x, y).value
    assert abs(value - ksg_twin(x, y, k, variant, metric)) < 1e-12
    scaled = KSG(k=k, variant=variant, metric=metric).mutual_information(x, y).value
    assert abs(scaled - ksg_twin(standardized(x), standardized(y), k, variant, metric)) < 1e-12


def test_ksg_counts_strictly_on_a_lattice():
    """With ties everywhere ≤ for < changes every count; the twin and a value counted by hand disagree with that."""
    x = np.arange(6.0)[:, None]
    found = KSG(k=1, standardize=False).mutual_information(x, x).value
    assert found == pytest.approx(digamma(6) - digamma(1), abs=8 * EPS)  # no row strictly inside any radius
    rng = stream(0, "lattice")
    x, y = rng.integers(0, 5, size=(60, 2)).astype(float), rng.integers(0, 5, size=(60, 1)).astype(float)
    assert abs(KSG(k=3, standardize=False).mutual_information(x, y).value - ksg_twin(x, y, 3, 1)) < 1e-12


@settings(max_examples=25, deadline=None)
@given(x=samples(), k=st.integers(1, 5), metric=st.sampled_from(["chebyshev", "euclidean", "manhattan", 1.5, 4.0]))
def test_entropy_equals_the_definition(x, k, metric):
    value = KozachenkoLeonenko(k=k, metric=metric).entropy(x).value
    assert value == pytest.approx(entropy_twin(x, k, metric), abs=1e4 * EPS * (1 + np.abs(x).max()))


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev", "manhattan", 1.5, 5])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_unit_ball_volume_by_monte_carlo(metric, d):
    """Within 5 standard errors of the share of a cube."""
    points = np.abs(stream(0, "ball", d).uniform(-1, 1, size=(200_000, d)))
    p = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": np.inf}.get(metric, metric)
    inside = np.linalg.norm(points, ord=p, axis=1) <= 1
    volume, error = 2**d * inside.mean(), 2**d * inside.std() / 200_000**0.5
    assert abs(np.exp(log_unit_ball_volume(d, metric)) - volume) <= 5 * error + 1e-12


def test_numbers_name_the_same_metrics():
    x = stream(0, "orders").normal(size=(100, 3))
    named = (KozachenkoLeonenko(metric="manhattan"), KozachenkoLeonenko(), KozachenkoLeonenko(metric="chebyshev"))
    for estimator, p in zip(named, (1, 2, np.inf), strict=True):
        assert KozachenkoLeonenko(metric=p).entropy(x).value == estimator.entropy(x).value
    for bad in (0.5, np.nan, True):
        with pytest.raises((ParameterError, UnknownNameError), match="metric: expected"):
            KozachenkoLeonenko(metric=bad)
    with pytest.raises(ParameterError, match=r"or a number p >= 1, got 0\.5"):
        KozachenkoLeonenko(metric=0.5)


def test_volumes_of_all_neighbors_and_of_another_dimension():
    x = stream(0, "volumes").normal(size=(50, 3))
    volumes = log_ball_volumes(x, 5, "euclidean")
    radius = np.exp((volumes - log_unit_ball_volume(3, "euclidean")) / 3)
    np.testing.assert_allclose(log_ball_volumes(x, 5, "euclidean", dim=1), np.log(2 * radius), atol=1e2 * EPS)


def test_the_interval_reaches_over_the_bias_and_the_standard_error_does_not():
    """Exponential, d = 4: edges. The value and its error are those of the k-th neighbor alone."""
    x = stream(0, "hull").exponential(size=(1000, 4))
    found = KozachenkoLeonenko().entropy(x)
    assert found.value == last_entropy(x, 4)
    low, high = found.interval(0.95)
    assert low < 4 < found.value - 2.06 * found.standard_error
    assert low < found.diagnostics["edge_extrapolation_nats"] < found.diagnostics["interior_extrapolation_nats"] < high
    assert high == pytest.approx(found.value + 2.0639 * found.standard_error, abs=1e-4)  # 24 degrees of freedom
    assert KozachenkoLeonenko().entropy(x[:135]).interval_rule is None


def test_the_interval_extrapolates_whitened_rows():
    """Its extrapolations are those of ExtrapolatedKozachenkoLeonenko, whatever linear map made the rows.

    Not so the value. The map is undone to its condition number in rounding.
    """
    x = stream(0, "map").normal(size=(1000, 3))
    mixed = x @ (np.array([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [0.8, 0.4, 0.1]]).T)
    found, plain = KozachenkoLeonenko().entropy(mixed), KozachenkoLeonenko().entropy(x)
    extrapolated = ExtrapolatedKozachenkoLeonenko().entropy(mixed)
    names = ("interior_extrapolation_nats", "edge_extrapolation_nats")
    for name in names:
        assert found.diagnostics[name] == pytest.approx(extrapolated.diagnostics[name], abs=1e6 * EPS)
        assert found.diagnostics[name] - np.log(0.03) == pytest.approx(plain.diagnostics[name], abs=1e6 * EPS)
    assert abs(found.value - np.log(0.03) - plain.value) > 0.01


def test_high_dimension_takes_another_path_to_the_same_value():
    x = stream(0, "high").normal(size=(150, 30))
    for metric in ("euclidean", "chebyshev"):
        value = KozachenkoLeonenko(metric=metric).entropy(x).value
        assert value == pytest.approx(entropy_twin(x, 4, metric), abs=1e5 * EPS)
    assert (
        abs(KSG(standardize=False).mutual_information(x[:, :9], x[:, 9:]).value - ksg_twin(x[:, :9], x[:, 9:], 4, 1))
        < 1e-12
    )


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize(("n", "d_x", "d_y"), [(100, 1, 1), (100, 2, 1)])
def test_ksg_is_unbiased_on_independent_data(variant, n, d_x, d_y):
    estimator = KSG(k=4, variant=variant)

    def values(rng):
        return [
            information(estimator, standardized(rng.normal(size=(n, d_x))), standardized(rng.normal(size=(n, d_y))))
            for _ in range(10)
        ]

    check_equality(values, 0.0, margin=0.01).require()


def test_ksg_finds_gaussian_information():
    task = linear_gaussian_views([0.8])
    check_equality(
        lambda rng: information(KSG(), *task.sample(1000, rng)), task.mutual_information.value, margin=0.03
    ).require()


def test_entropy_finds_gaussian_and_uniform_entropy():
    law = Gaussian.standard(2)
    check_equality(lambda rng: last_entropy(law.sample(1000, rng), 4), law.entropy.value, margin=0.05).require()
    check_equality(lambda rng: last_entropy(rng.uniform(0, 8, (1000, 1)), 1),
                   np.log(8), margin=0.03).require()  # fmt: skip


def test_agrees_with_other_libraries_within_noise():
    rng = stream(0, "peers")
    x = rng.normal(size=2000)
    ours = KozachenkoLeonenko().entropy(x)
    assert abs(ours.value - differential_entropy(x)) < 5 * ours.standard_error
    y = x + rng.normal(size=2000)
    ours = KSG(k=3).mutual_information(x, y)
    assert (
        abs(ours.value - mutual_info_regression(x[:, None], y, n_neighbors=3, random_state=0)[0])
        < 3 * ours.standard_error
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d=st.integers(1, 3))
def test_identities(seed, power, d):
    rng = stream(seed, "identities")
    x, y = rng.normal(size=(60, d)), rng.normal(size=(60, 2))
    entropy, information = KozachenkoLeonenko(), KSG()
    h, i = entropy.entropy(x).value, information.mutual_information(x, y).value
    order, factor = rng.permutation(60), 10.0**power
    assert entropy.entropy(x[order]).value == pytest.approx(h, abs=1e3 * EPS)
    assert entropy.entropy(x * factor).value == pytest.approx(h + d * np.log(factor), abs=1e4 * EPS)
    assert entropy.entropy(x + 100).value == pytest.approx(h, abs=1e6 * EPS)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert entropy.entropy(x @ rotation).value == pytest.approx(h, abs=1e5 * EPS)
    assert information.mutual_information(y, x).value == pytest.approx(i, abs=1e2 * EPS)
    assert information.mutual_information(x[order], y[order]).value == pytest.approx(i, abs=1e2 * EPS)
    assert information.mutual_information(x * factor, y).value == pytest.approx(i, abs=1e2 * EPS)
    assert KozachenkoLeonenko().mutual_information(x * factor, y).value == pytest.approx(
        KozachenkoLeonenko().mutual_information(x, y).value, abs=1e5 * EPS
    )


def test_textbook_ksg_depends_on_units_and_ours_says_so():
    x, y = linear_gaussian_views([0.9]).sample(300, stream(0, "units"))
    textbook = KSG(standardize=False)
    assert textbook.mutual_information(1e6 * x, y).value != pytest.approx(
        textbook.mutual_information(x, y).value, abs=0.1
    )
    assert KSG().mutual_information(x, y).diagnostics["standardized"] == 1
    assert textbook.mutual_information(x, y).diagnostics["standardized"] == 0


@pytest.mark.parametrize("k", [1, 4])
def test_equal_variables_reach_the_ceiling_and_say_so(k):
    x = stream(0, "ceiling").normal(size=200)
    found = KSG(k=k).mutual_information(x, x)
    assert found.value == pytest.approx(digamma(200) - digamma(k), abs=256 * EPS)
    assert {"ceiling", "deterministic"} <= {w.code for w in found.warnings}
    assert "ψ(n) − ψ(k)" in next(w.message for w in found.warnings if w.code == "ceiling")


@pytest.mark.parametrize("variant", [1, 2])
def test_deterministic_relations_are_near_the_ceiling_and_say_so(variant):
    for n in (200, 1000):
        x = stream(0, "ceiling").normal(size=n)
        found = KSG(variant=variant).mutual_information(x, np.exp(x))
        assert [w.code for w in found.warnings] == ["ceiling"]


def test_copies_are_reported_never_jittered():
    x = np.repeat(stream(0, "copies").normal(size=(100, 2)), 2, axis=0)
    pairs = KozachenkoLeonenko(k=1).entropy(x)
    assert pairs.value == -np.inf
    assert [w.code for w in pairs.warnings] == ["ties"]
    lattice = np.random.default_rng(0).integers(0, 3, size=(2, 1000)).astype(float)
    artifact = KSG().mutual_information(*lattice)
    assert artifact.value > artifact.diagnostics["ceiling_nats"]  # far off, for independent data
    assert "ceiling" not in {w.code for w in artifact.warnings}
    assert "artifacts in either direction" in artifact.warnings[0].message
    assert "200 of 200 rows" in pairs.warnings[0].message
    wide = KozachenkoLeonenko(k=4).entropy(x)
    assert np.isfinite(wide.value)
    assert "ties" in {w.code for w in wide.warnings}
    assert "ties" in {w.code for w in KSG().mutual_information(x[:, 0], x[:, 1]).warnings}


def test_singular_support_is_reported():
    x = stream(0, "rank").normal(size=(100, 2))
    wide = x @ np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])
    assert "singular_support" in {w.code for w in KozachenkoLeonenko().entropy(wide).warnings}
    assert "singular_support" in {w.code for w in KSG().mutual_information(wide, x[::-1]).warnings}


def test_healthy_data_carries_no_warning():
    x, y = linear_gaussian_views([0.5, 0.5]).sample(300, stream(0, "healthy"))
    assert KozachenkoLeonenko().entropy(x).warnings == ()
    assert KSG().mutual_information(x, y).warnings == ()


def test_small_samples_have_no_error_bar_and_say_so():
    found = KozachenkoLeonenko().entropy(stream(0, "small").normal(size=8))
    assert np.isnan(found.standard_error)
    assert [w.code for w in found.warnings] == ["no_error_bar"]


def test_standard_error_matches_the_spread():
    law = Gaussian.standard(2)
    found = [KozachenkoLeonenko().entropy(law.sample(400, stream(s, "spread"))) for s in range(100)]
    spread = np.std([f.value for f in found], ddof=1)
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.8 < stated / spread < 1.25  # 100 seeds: the spread itself is known to ±7 %


@pytest.mark.parametrize("sigma", [9.0, 12.0])
def test_heavy_tails_keep_their_digits(sigma):
    """exp(σ g): the mean, made by a few rows, must not be subtracted from the others. Entropy: h(σ g) + E σ g."""
    x, y = np.exp(sigma * stream(0, "lognormal").normal(size=(2, 1000, 1)))
    small = [scaled(z)[z < np.quantile(z, 0.25)] for z in (x, y)]
    assert all(len(np.unique(z)) == 250 for z in small)
    assert np.isfinite(ExtrapolatedKozachenkoLeonenko().entropy(x).value)
    assert np.isfinite(WeightedKozachenkoLeonenko().entropy(x).value)
    one, other = KSG().mutual_information(x, y), KSG(standardize=False).mutual_information(x / x.std(), y / y.std())
    assert one.value == pytest.approx(other.value, abs=64 * EPS)
