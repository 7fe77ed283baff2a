"""The Gaussian plug-in: exact bias, exact errors, invariances, singular data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itssl import GaussianPlugin, check_equality
from itssl.arrays import SampleError, stream
from itssl.distributions.gaussian import Gaussian, kl_divergence
from itssl.distributions.tasks import linear_gaussian_views, random_mixing
from itssl.estimate import Bias
from itssl.estimators import gaussian_plugin
from itssl.estimators.gaussian_plugin import log_determinant_bias, log_determinant_variance
from itssl.testing.strategies import samples, seeds

EPS = np.finfo(float).eps
SHRUNK = (GaussianPlugin(shrinkage="oas"), GaussianPlugin(shrinkage="ledoit_wolf"))
LAW = Gaussian(np.zeros(5), np.diag([1.0, 2.0, 3.0, 4.0, 5.0]))


@pytest.fixture
def unwarned(monkeypatch):
    """Half of an estimate's time goes into its warnings: left out where thousands of values are drawn."""
    for name in ("gaussianity_warnings", "moment_warnings", "tie_warnings", "tail_warnings", "covariance_warnings"):
        monkeypatch.setattr(gaussian_plugin, name, lambda *_, **__: ())


def test_log_determinant_bias_is_that_of_wishart_draws():
    """The bias of log|Ĉ| measured on n = 8 draws in d = 5, where the uncorrected value is off by −2.9 nats."""
    check_equality(
        lambda rng: [np.linalg.slogdet(np.cov(LAW.sample(8, rng), rowvar=False))[1] for _ in range(50)],
        LAW.log_det + log_determinant_bias(8, 5), margin=0.1,
    ).require()  # fmt: skip


def unbiased_halves(x):
    """½ (log|Ĉ| − bias) of many samples at once, x of shape (samples, n, d): the twin of every corrected term."""
    centered = x - x.mean(axis=1, keepdims=True)
    cov = np.swapaxes(centered, 1, 2) @ centered / (x.shape[1] - 1)
    return 0.5 * (np.linalg.slogdet(cov)[1] - log_determinant_bias(*x.shape[1:]))


@pytest.mark.parametrize("n", [6, 7, 50])
def test_entropy_is_unbiased_on_gaussian_draws(n):
    """200 samples a replicate through the twin, and the estimator on ten of them."""
    constant = 2.5 * np.log(2 * np.pi * np.e)

    def draws(rng, size):
        return LAW.sample(size * n, rng).reshape(size, n, 5)

    check_equality(lambda rng: unbiased_halves(draws(rng, 200)) + constant, LAW.entropy.value, margin=0.1).require()
    few = draws(stream(n, "few"), 10)
    found = [GaussianPlugin().entropy(x).value for x in few]
    np.testing.assert_allclose(found, unbiased_halves(few) + constant, atol=1e6 * EPS)


@pytest.mark.usefixtures("unwarned")
def test_standard_error_is_the_spread_of_gaussian_draws():
    values = np.array([GaussianPlugin().entropy(LAW.sample(20, stream(s, "se"))) for s in range(1000)])
    spread = np.std([v.value for v in values])
    assert values[0].standard_error == 0.5 * np.sqrt(log_determinant_variance(20, 5))
    assert spread == pytest.approx(values[0].standard_error, rel=5 / np.sqrt(2 * 1000))  # five errors of a deviation


@pytest.mark.usefixtures("unwarned")
@pytest.mark.parametrize(("n", "d", "rho"), [(200, 64, 0.0), (40, 3, 0.0), (60, 3, 0.8), (30, 1, 0.99)])
def test_mutual_information_is_unbiased_on_gaussian_draws(n, d, rho):
    """Also at n = 200, d = 64 + 64, where the uncorrected value is off by +15.8 nats."""
    task = linear_gaussian_views(np.full(d, rho))
    check_equality(
        lambda rng: [GaussianPlugin().mutual_information(*task.sample(n, rng)).value for _ in range(8)],
        task.mutual_information.value, margin=0.1,
    ).require()  # fmt: skip


@pytest.mark.usefixtures("unwarned")
@pytest.mark.parametrize(("n", "d", "rho"), [(300, 3, 0.6), (100, 3, 0.95), (400, 4, 0.2)])
def test_information_error_is_the_spread_under_dependence(n, d, rho):
    task = linear_gaussian_views(np.full(d, rho))
    found = [GaussianPlugin().mutual_information(*task.sample(n, stream(s, "mi"))) for s in range(600)]
    spread = np.std([f.value for f in found])
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert stated == pytest.approx(spread, rel=5 / np.sqrt(2 * 600))  # five errors of a deviation over 600 seeds


@settings(deadline=None, max_examples=50)
@given(x=samples(dims=st.integers(1, 4)), seed=st.integers(0, 2**32), power=st.integers(-12, 12))
def test_entropy_identities(x, seed, power):
    rng = stream(seed, "identities")
    d, value = x.shape[1], GaussianPlugin().entropy(x).value
    condition = np.linalg.cond(np.cov(x, rowvar=False).reshape(d, d))
    error = 1e3 * EPS * (condition + np.abs(x).max() ** 2)
    assert GaussianPlugin().entropy(rng.permutation(x)).value == pytest.approx(value, abs=error)
    assert GaussianPlugin().entropy(x + 10).value == pytest.approx(value, abs=error)
    assert GaussianPlugin().entropy(x * 10.0**power).value == pytest.approx(value + d * power * np.log(10), abs=error)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert GaussianPlugin().entropy(x @ rotation).value == pytest.approx(value, abs=error)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), power=st.integers(-12, 12), d_x=st.integers(1, 4), d_y=st.integers(1, 4))
def test_information_identities(seed, power, d_x, d_y):
    rng = stream(seed, "identities")
    z = rng.normal(size=(40, 8)) @ rng.normal(size=(8, 8))
    x, y = z[:, :d_x], z[:, 4 : 4 + d_y]
    value = GaussianPlugin().mutual_information(x, y).value
    error = 1e3 * EPS * np.linalg.cond(z) ** 4  # rounding of correlations, amplified where 1 − ρ² is small
    assert GaussianPlugin().mutual_information(y, x).value == pytest.approx(value, abs=error)
    order = rng.permutation(40)
    assert GaussianPlugin().mutual_information(x[order], y[order]).value == pytest.approx(value, abs=error)
    matrix = rng.normal(size=(d_x, d_x)) + 4 * np.eye(d_x)
    image = 10.0**power * (x @ matrix + 1)  # the shift scales too: 1e-12·x + 1 would lose twelve digits of x itself
    assert GaussianPlugin().mutual_information(image, y).value == pytest.approx(value, abs=100 * error)


@pytest.mark.parametrize("noise", [1e-4, 1e-7, 1e-10])
def test_nearly_singular_columns_keep_their_digits(noise):
    """Columns x and x + noise·e: the correlation matrix has no digit of the noise, its rows do."""
    x, e = stream(0, "noise").normal(size=(2, 400))
    columns = np.c_[x, x + noise * e]
    plugin, apart = GaussianPlugin(), 0.5 * unbiased_log_det(np.c_[x, e])  # log-determinants differ by log noise²
    h = apart + np.log(noise) + np.log(2 * np.pi * np.e)
    error = 1e3 * EPS / noise  # rounding of x + noise·e
    assert plugin.entropy(columns).value == pytest.approx(h, abs=error)
    total = 0.5 * (unbiased_log_det(columns[:, :1]) + unbiased_log_det(columns[:, 1:])) - apart - np.log(noise)
    for found in (plugin.total_correlation(columns), plugin.mutual_information(*columns.T)):
        assert found.value == pytest.approx(total, abs=error)
        low, high = found.interval()
        assert low < found.value < high
        assert high - low == pytest.approx(4 * 1.96 * found.standard_error / 2, rel=0.01)


def test_linear_images_have_infinite_information():
    x = stream(0, "x").normal(size=(100, 3))
    for y in (x, x @ np.ones((3, 1)), np.c_[x[:, 0], stream(1, "y").normal(size=100)]):
        found = GaussianPlugin().mutual_information(x, y)
        assert found.value == np.inf
        assert [w.code for w in found.warnings] == ["deterministic"]


def test_rank_deficient_blocks():
    rng = stream(0, "rank")
    x, y = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
    wide = x @ rng.normal(size=(3, 10))
    entropy = GaussianPlugin().entropy(wide)
    assert entropy.value == -np.inf
    assert [w.code for w in entropy.warnings] == ["singular_support"]
    assert "3 of its 10 dimensions" in entropy.warnings[0].message
    full, reduced = GaussianPlugin().mutual_information(x, y), GaussianPlugin().mutual_information(wide, y)
    assert reduced.value == pytest.approx(full.value, abs=1e6 * EPS)
    assert [w.code for w in reduced.warnings] == ["singular_support"]


def test_directions():
    x = stream(0, "x").normal(size=(50, 2))
    assert GaussianPlugin().entropy(x).bias is Bias.UPPER
    assert GaussianPlugin().mutual_information(x, x[::-1]).bias is Bias.UNKNOWN


def test_too_few_rows():
    x = stream(0, "x").normal(size=(5, 5))
    with pytest.raises(SampleError, match=r"x: expected more rows than columns, got shape \(5, 5\)"):
        GaussianPlugin().entropy(x)
    with pytest.raises(SampleError, match=r"5 rows"):
        GaussianPlugin().mutual_information(x[:, :3], x[:, 3:])


def log_det(x):
    return np.linalg.slogdet(np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]))[1]


def unbiased_log_det(x):
    """The twin of every corrected term."""
    return log_det(x) - log_determinant_bias(*x.shape)


@settings(deadline=None, max_examples=25)
@given(seed=seeds(), d_x=st.integers(1, 4), d_y=st.integers(1, 3), d_z=st.integers(1, 3))
def test_every_quantity_against_its_definition(seed, d_x, d_y, d_z):
    rng = stream(seed, "definitions")
    x, y, z = np.split(rng.normal(size=(30, 10)) @ rng.normal(size=(10, d_x + d_y + d_z)), [d_x, d_x + d_y], axis=1)
    plugin, h = GaussianPlugin(), lambda *blocks: 0.5 * unbiased_log_det(np.hstack(blocks))
    error = 1e3 * EPS * np.linalg.cond(np.hstack([x, y, z])) ** 2
    assert plugin.mutual_information(x, y).value == pytest.approx(h(x) + h(y) - h(x, y), abs=error)
    given_z = h(x, z) + h(y, z) - h(z) - h(x, y, z)
    assert plugin.conditional_mutual_information(x, y, z).value == pytest.approx(given_z, abs=error)
    alone = sum(h(x[:, [i]]) for i in range(d_x)) - h(x)
    assert plugin.total_correlation(x).value == pytest.approx(alone, abs=error)


@settings(deadline=None, max_examples=25)
@given(seed=seeds(), power=st.integers(-12, 12))
def test_identities_of_information(seed, power):
    """Biases telescope: chain rules hold for the corrected values, and so do the invariances of the truth."""
    rng = stream(seed, "chain")
    z = rng.normal(size=(40, 8)) @ random_mixing(8, seed)
    x, y, w = z[:, :2], z[:, 2:5], z[:, 5:7]
    plugin, error = GaussianPlugin(), 1e6 * EPS
    information, given_w = plugin.mutual_information(x, w), plugin.conditional_mutual_information(x, y, w)
    both = plugin.mutual_information(x, np.hstack([y, w]))
    assert both.value == pytest.approx(information.value + given_w.value, abs=error)
    assert plugin.conditional_mutual_information(y, x, w).value == pytest.approx(given_w.value, abs=error)
    parts = plugin.total_correlation(x).value + plugin.total_correlation(w).value + information.value
    assert plugin.total_correlation(np.hstack([x, w])).value == pytest.approx(parts, abs=error)
    order, factor = rng.permutation(40), 10.0**power
    moved = plugin.conditional_mutual_information(factor * x[order], y[order] / factor, w[order] * factor)
    assert moved.value == pytest.approx(given_w.value, abs=error)
    assert moved.standard_error == pytest.approx(given_w.standard_error, rel=error)
    assert moved.interval() == pytest.approx(given_w.interval(), abs=1e-3 * given_w.standard_error)
    assert plugin.total_correlation(z[order] * factor).value == pytest.approx(
        plugin.total_correlation(z).value, abs=error
    )


def test_conditioning_costs_as_many_draws_as_dimensions():
    """Residuals on d_z variables are n − d_z draws in other coordinates: rotate them out, and compare everything."""
    rng = stream(0, "residuals")
    z, x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.normal(size=(30, 3))
    x, y = x + z[:, :2], y + x @ rng.normal(size=(2, 3)) + z[:, 1:]
    basis = np.linalg.qr(np.c_[np.ones(30), z], mode="complete")[0][:, 5:]  # 25 contrasts
    left = np.c_[np.ones(26) / np.sqrt(26), np.eye(26)[:, 1:]]
    contrasts = np.linalg.qr(left)[0][:, 1:]  # 25 directions orthogonal to the constant
    a, b = (contrasts @ (basis.T @ v) for v in (x, y))
    one, other = GaussianPlugin().conditional_mutual_information(x, y, z), GaussianPlugin().mutual_information(a, b)
    assert one.value == pytest.approx(other.value, abs=1e4 * EPS)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e4 * EPS)
    assert one.interval() == pytest.approx(other.interval(), abs=1e-4 * one.standard_error)


def test_conditional_information_and_total_correlation_are_unbiased():
    """200 samples a replicate through the twins, and the estimator on ten of them."""
    rho, given_z = 0.7, -0.5 * np.log(1 - 0.7**2)

    def triples(rng, size):
        x, y, z = rng.normal(size=(3, size, 12, 2))
        y[..., 0] = rho * x[..., 0] + np.sqrt(1 - rho**2) * y[..., 0]
        return x + z, y - z, z

    def conditional(x, y, z):
        xz, yz, xyz = (np.concatenate(blocks, axis=2) for blocks in ((x, z), (y, z), (x, y, z)))
        return unbiased_halves(xz) + unbiased_halves(yz) - unbiased_halves(z) - unbiased_halves(xyz)

    check_equality(lambda rng: conditional(*triples(rng, 200)), given_z, margin=0.1).require()
    few = triples(stream(0, "few"), 10)
    found = [GaussianPlugin().conditional_mutual_information(*blocks).value for blocks in zip(*few, strict=True)]
    np.testing.assert_allclose(found, conditional(*few), atol=1e6 * EPS)
    factor = np.array([1.0, 0.5, 0.8, 0.0])
    law = Gaussian(np.zeros(4), np.eye(4) + np.outer(factor, factor))
    truth = 0.5 * (np.log(np.diagonal(law.cov)).sum() - law.log_det)

    def total(x):
        return sum(unbiased_halves(x[..., [i]]) for i in range(4)) - unbiased_halves(x)

    def draws(rng, size):
        return law.sample(size * 9, rng).reshape(size, 9, 4)

    check_equality(lambda rng: total(draws(rng, 200)), truth, margin=0.1).require()
    few = draws(stream(1, "few"), 10)
    np.testing.assert_allclose([GaussianPlugin().total_correlation(x).value for x in few], total(few), atol=1e6 * EPS)


@pytest.mark.parametrize("d", [1, 3])
def test_divergence_is_unbiased(d):
    """200 pairs of samples a replicate through the twin, and the estimator on ten of them."""
    n, m = 12, 15
    p = Gaussian(np.zeros(d), np.diag(np.linspace(0.5, 2, d)))
    q = Gaussian(np.full(d, 0.5), np.eye(d) + 0.3 * (1 - np.eye(d)))

    def draws(rng, size):
        return p.sample(size * n, rng).reshape(size, n, d), q.sample(size * m, rng).reshape(size, m, d)

    def divergence(x, y):
        f = (m - d - 2) / (m - 1)
        cov_p, cov_q = (np.array([np.cov(one, rowvar=False).reshape(d, d) for one in z]) for z in (x, y))
        trace = f * np.trace(np.linalg.solve(cov_q, cov_p), axis1=1, axis2=2)
        u = (x.mean(axis=1) - y.mean(axis=1))[..., None]
        square = f * (np.swapaxes(u, 1, 2) @ np.linalg.solve(cov_q, u))[:, 0, 0]
        return 0.5 * (trace * (1 - 1 / n) + square - d / m - d) + unbiased_halves(y) - unbiased_halves(x)

    check_equality(lambda rng: divergence(*draws(rng, 200)), kl_divergence(p, q).value, margin=0.1).require()
    few = draws(stream(0, "few"), 10)
    found = [GaussianPlugin().kl_divergence(x, y).value for x, y in zip(*few, strict=True)]
    np.testing.assert_allclose(found, divergence(*few), atol=1e6 * EPS)


@settings(deadline=None, max_examples=25)
@given(seed=seeds(), power=st.integers(-12, 12), d=st.integers(1, 4))
def test_divergence_identities(seed, power, d):
    rng = stream(seed, "divergence")
    x, y = rng.normal(size=(20, d)) @ random_mixing(d, seed), 1 + rng.normal(size=(25, d))
    p, q = (Gaussian(z.mean(axis=0), np.cov(z, rowvar=False).reshape(d, d)) for z in (x, y))
    found = GaussianPlugin().kl_divergence(x, y)
    uncorrected = found.value - found.diagnostics["bias_correction_nats"]
    assert uncorrected == pytest.approx(kl_divergence(p, q).value, abs=1e6 * EPS)
    matrix = 10.0**power * random_mixing(d, seed + 1)
    image = GaussianPlugin().kl_divergence(rng.permutation(x) @ matrix, rng.permutation(y) @ matrix)
    assert image.value == pytest.approx(found.value, rel=1e6 * EPS, abs=1e6 * EPS)
    assert image.standard_error == pytest.approx(found.standard_error, rel=1e-3)


@pytest.mark.usefixtures("unwarned")
def test_standard_errors_are_the_spread():
    """Ratio of stated (root mean square) to observed spread within four errors of a deviation, beside 5 %."""
    rng, plugin, size = stream(0, "spread"), GaussianPlugin(), 500
    factor, rho = np.array([1.0, 1.0, 0.5, 0.0]), np.full(3, 0.8)

    def views(n, d_z):
        x, noise, z = rng.normal(size=(3, n, 3))
        return x + z, rho * x + np.sqrt(1 - rho**2) * noise + z, z[:, :d_z]

    worlds = {
        "mutual_information": lambda: linear_gaussian_views(rho).sample(12, rng),
        "conditional_mutual_information": lambda: views(16, 3),
        "total_correlation": lambda: (rng.normal(size=(12, 4)) + rng.normal(size=(12, 1)) * factor,),
        "kl_divergence": lambda: (2 * rng.normal(size=(15, 2)) + 1, rng.normal(size=(40, 2))),
    }
    for quantity, draw in worlds.items():
        found = [getattr(plugin, quantity)(*draw()) for _ in range(size)]
        values, stated = np.array([f.value for f in found]), np.array([f.standard_error for f in found])
        kurtosis = ((values - values.mean()) ** 4).mean() / values.var() ** 2
        error = 0.5 * np.sqrt((kurtosis - 1) / size)  # of a deviation, relative
        assert np.sqrt(np.mean(stated**2)) / values.std() == pytest.approx(1, abs=0.05 + 4 * error), quantity


def test_singular_cases():
    plugin, z = GaussianPlugin(), stream(0, "singular").normal(size=(50, 6))
    x, y, w = z[:, :2], z[:, 2:4], z[:, 4:]
    shared = plugin.conditional_mutual_information(x, np.c_[y, x[:, 0] + w[:, 0]], w)
    assert shared.value == np.inf
    assert [v.code for v in shared.warnings] == ["deterministic"]
    explained = plugin.conditional_mutual_information(np.c_[x, w[:, 0]], y, w)
    assert explained.value == pytest.approx(plugin.conditional_mutual_information(x, y, w).value, abs=1e4 * EPS)
    assert [v.code for v in explained.warnings] == ["singular_support"]
    assert explained.diagnostics["rank_x"] == 2
    nothing = plugin.conditional_mutual_information(w @ np.ones((2, 1)), y, w)
    assert (nothing.value, nothing.standard_error, nothing.interval()) == (0.0, 0.0, (0.0, 0.0))
    dependent = plugin.total_correlation(np.c_[x, x.sum(axis=1)])
    assert dependent.value == np.inf
    assert [v.code for v in dependent.warnings] == ["singular_support"]
    assert plugin.total_correlation(x[:, :1]).value == 0
    line, other = np.c_[x, x.sum(axis=1)], np.c_[y, y.sum(axis=1)]
    same = plugin.kl_divergence(line, other)
    assert same.value == pytest.approx(plugin.kl_divergence(x, y).value, abs=1e4 * EPS)
    assert [v.code for v in same.warnings] == ["singular_support"] * 2
    for p, q in ((line, z[:, :3]), (z[:, :3], line), (line, other * [1, 1, 2])):
        assert plugin.kl_divergence(p, q).value == np.inf


def test_refusals_name_argument_and_cure():
    plugin, x = GaussianPlugin(), stream(0, "x").normal(size=(6, 6))
    for call, part in [
        (lambda: plugin.conditional_mutual_information(x[:, :2], x[:, 2:4], x[:, 4:]), "x, y and z: .* got 6 rows"),
        (lambda: plugin.conditional_mutual_information(x[:, :1], x[:, :1], x[:5]), "x and z: .* 6 and 5"),
        (lambda: plugin.total_correlation(x), r"x: expected more rows than columns, got shape \(6, 6\)"),
        (lambda: plugin.kl_divergence(x, x), r"x: expected more rows than columns, got shape \(6, 6\)"),
        (
            lambda: plugin.kl_divergence(x[:, :4], x[:, :4]),
            r"y: expected more than d \+ 2 = 6 rows, got shape \(6, 4\)",
        ),
        (lambda: plugin.kl_divergence(x[:, :1], x[:, :2]), "x and y: expected equally many columns, got 1 and 2"),
    ]:
        with pytest.raises(SampleError, match=part) as caught:
            call()
        assert "shrinkage" in str(caught.value) or "6 and 5" in str(caught.value) or "columns, got" in str(caught.value)


def test_divergence_whose_variance_is_infinite():
    rng = stream(0, "few")
    found = GaussianPlugin().kl_divergence(rng.normal(size=(9, 3)), rng.normal(size=(7, 3)))
    assert np.isfinite(found.value)
    assert found.standard_error == np.inf
    low, high = found.interval()  # simulated, so that quantiles need no variance
    assert low < found.value < high < np.inf


@pytest.mark.parametrize("plugin", SHRUNK, ids=repr)
def test_shrinkage_handles_fewer_rows_than_columns(plugin):
    rng = stream(0, "wide")
    x, y, z = rng.normal(size=(3, 10, 12))
    answers = [
        plugin.entropy(x), plugin.mutual_information(x, y), plugin.conditional_mutual_information(x, y, z),
        plugin.total_correlation(x), plugin.kl_divergence(x, y),
    ]  # fmt: skip
    for found in answers:
        assert np.isfinite(found.value)
        assert found.standard_error > 0
        assert np.isfinite(found.diagnostics["estimated_bias_nats"])
        assert {w.code for w in found.warnings} == {"small_sample_for_dimension"}
        assert found.method == repr(plugin)
    assert all(found.value > -1e-9 for found in answers[1:])  # coherent covariances: no negative information


@pytest.mark.parametrize("plugin", SHRUNK, ids=repr)
def test_shrinkage_does_not_see_units(plugin):
    rng = stream(0, "units")
    x, y = rng.normal(size=(2, 15, 4))
    units = 10.0 ** np.array([-12, 3, 0, 12])
    assert plugin.mutual_information(x * units, y).value == pytest.approx(plugin.mutual_information(x, y).value)
    assert plugin.total_correlation(x * units).value == pytest.approx(plugin.total_correlation(x).value)
    assert plugin.kl_divergence(x * units, y * units).value == pytest.approx(plugin.kl_divergence(x, y).value)
    assert plugin.entropy(x * units).value == pytest.approx(plugin.entropy(x).value + np.log(units).sum())


def test_without_intensity_shrinkage_is_the_uncorrected_plugin():
    """At n ≫ d the intensity of strongly correlated data is small; compare with the formula at that intensity."""
    x = stream(0, "close").normal(size=(4000, 3)) @ np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1.0]])
    found = SHRUNK[0].total_correlation(x)
    a = found.diagnostics["shrinkage_intensity"]
    correlations = np.corrcoef(x, rowvar=False)
    assert 0 < a < 0.01
    shrunk = (1 - a) * correlations + a * np.eye(3)
    assert found.value == pytest.approx(-0.5 * np.linalg.slogdet(shrunk)[1], abs=1e4 * EPS)


def test_inputs_of_any_layout():
    x, y, z = np.asfortranarray(stream(0, "layout").normal(size=(3, 40, 2)).astype(np.float32))
    for block in (x, y, z):
        block.flags.writeable = False
    wide = [block.astype(float) for block in (x, y, z)]
    plugin = GaussianPlugin()
    same = plugin.conditional_mutual_information(x, y, z).value
    assert same == pytest.approx(plugin.conditional_mutual_information(*wide).value)
    assert plugin.kl_divergence(x, y).value == pytest.approx(plugin.kl_divergence(wide[0], wide[1]).value)
