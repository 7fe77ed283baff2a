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
def unbiased_log_dets(*blocks):
    """log|Ĉ| less its bias for each of many samples, blocks of shape (…, n, d) side by side."""
    z = np.concatenate(blocks, axis=-1)
    z = z - z.mean(axis=-2, keepdims=True)
    return np.linalg.slogdet(np.swapaxes(z, -1, -2) @ z / (z.shape[-2] - 1))[1] - log_determinant_bias(*z.shape[-2:])


def divergences(x, y):
    """The docstring of ``kl_divergence``, for each of many pairs of samples."""
    (n, d), m = x.shape[-2:], y.shape[-2]
    u, v = x - x.mean(axis=-2, keepdims=True), y - y.mean(axis=-2, keepdims=True)
    precision = (m - d - 2) * np.linalg.inv(np.swapaxes(v, -1, -2) @ v)
    gap = x.mean(axis=-2) - y.mean(axis=-2)
    trace = np.einsum("...ni,...ij,...nj", u, precision, u) / (n - 1) * (1 - 1 / n)
    square = np.einsum("...i,...ij,...j", gap, precision, gap) - d / m
    return 0.5 * (trace + square - d + unbiased_log_dets(y) - unbiased_log_dets(x))


DEFINITIONS = {
    "entropy": lambda x: 0.5 * unbiased_log_dets(x) + x.shape[-1] / 2 * np.log(2 * np.pi * np.e),
    "mutual_information": lambda x, y: 0.5 * (unbiased_log_dets(x) + unbiased_log_dets(y) - unbiased_log_dets(x, y)),
    "conditional_mutual_information": lambda x, y, z: (
        0.5 * (unbiased_log_dets(x, z) + unbiased_log_dets(y, z) - unbiased_log_dets(z) - unbiased_log_dets(x, y, z))
    ),
    "total_correlation": lambda x: (
        0.5 * (sum(unbiased_log_dets(x[..., [i]]) for i in range(x.shape[-1])) - unbiased_log_dets(x))
    ),
    "kl_divergence": divergences,
}


def require_unbiased(quantity, draw, truth, margin, draws=1000):
    """Ten values equal the definition; the definition, cheap for many samples at once, has the truth as its mean.

    ``draw(rng, size)`` gives blocks of shape (size, n, d). 32 means of 1000 draws decide at once as long as the
    deviation of a draw is below 30 margins.
    """
    blocks = draw(stream(0, quantity), 10)
    for i, expected in enumerate(DEFINITIONS[quantity](*blocks)):
        found = getattr(GaussianPlugin(), quantity)(*(block[i] for block in blocks))
        assert found.value == pytest.approx(expected, rel=1e6 * EPS, abs=1e6 * EPS)
    check_equality(lambda rng: DEFINITIONS[quantity](*draw(rng, draws)), truth, margin=margin).require()


def many(law, n):
    """Samples of n rows of a law."""
    return lambda rng, size: (law.sample(size * n, rng).reshape(size, n, -1),)


def pairs(task, n):
    return lambda rng, size: tuple(z.reshape(size, n, -1) for z in task.sample(size * n, rng))


@pytest.mark.parametrize(("n", "margin"), [(6, 0.06), (50, 0.01)])
def test_entropy_is_unbiased_on_gaussian_draws(n, margin):
    require_unbiased("entropy", many(LAW, n), LAW.entropy.value, margin)


def test_standard_error_is_the_spread_of_gaussian_draws():
    values = DEFINITIONS["entropy"](*many(LAW, 20)(stream(0, "se"), 20000))
    stated = GaussianPlugin().entropy(LAW.sample(20, stream(1, "se"))).standard_error
    assert stated == 0.5 * np.sqrt(log_determinant_variance(20, 5))
    assert values.std() == pytest.approx(stated, rel=5 / np.sqrt(2 * 20000))  # five errors of a deviation


@pytest.mark.parametrize(
    ("n", "d", "rho", "draws"), [(200, 64, 0.0, 8), (40, 3, 0.0, 1000), (60, 3, 0.8, 1000), (30, 1, 0.99, 1000)]
)
def test_mutual_information_is_unbiased_on_gaussian_draws(n, d, rho, draws):
    """Also at n = 200, d = 64 + 64, where the uncorrected value is off by +15.8 nats."""
    task = linear_gaussian_views(np.full(d, rho))
    truth, margin = task.mutual_information.value, 0.1 if draws < 1000 else 0.01
    require_unbiased("mutual_information", pairs(task, n), truth, margin, draws)


@pytest.mark.parametrize(("n", "d", "rho"), [(300, 3, 0.6), (100, 3, 0.95), (400, 4, 0.2)])
def test_information_error_is_the_spread_under_dependence(n, d, rho):
    """Root mean square of 60 stated errors, and deviation of 2000 values: 5 errors of either."""
    task = linear_gaussian_views(np.full(d, rho))
    blocks = pairs(task, n)(stream(0, "mi"), 2000)
    spread = DEFINITIONS["mutual_information"](*blocks).std()
    squares = np.array(
        [
            GaussianPlugin().mutual_information(*(block[i] for block in blocks)).standard_error ** 2 for i in range(60)
        ]
    )  # fmt: skip
    error = 5 * (1 / np.sqrt(2 * 2000) + 0.5 * squares.std() / squares.mean() / np.sqrt(60))
    assert np.sqrt(squares.mean()) == pytest.approx(spread, rel=error)


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
    plugin, apart = (
        GaussianPlugin(),
        0.5 * float(unbiased_log_dets(np.c_[x, e])),
    )  # log-determinants differ by log noise²
    h = apart + np.log(noise) + np.log(2 * np.pi * np.e)
    error = 1e3 * EPS / noise  # rounding of x + noise·e
    assert plugin.entropy(columns).value == pytest.approx(h, abs=error)
    total = 0.5 * float(sum(unbiased_log_dets(c[:, None]) for c in columns.T)) - apart - np.log(noise)
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


@settings(deadline=None, max_examples=25)
@given(seed=seeds(), d_x=st.integers(1, 4), d_y=st.integers(1, 3), d_z=st.integers(1, 3))
def test_every_quantity_against_its_definition(seed, d_x, d_y, d_z):
    rng = stream(seed, "definitions")
    x, y, z = np.split(rng.normal(size=(30, 10)) @ rng.normal(size=(10, d_x + d_y + d_z)), [d_x, d_x + d_y], axis=1)
    error = 1e3 * EPS * np.linalg.cond(np.hstack([x, y, z])) ** 2
    asked = {
        "entropy": (x,), "mutual_information": (x, y), "conditional_mutual_information": (x, y, z),
        "total_correlation": (x,),
    }  # fmt: skip
    for quantity, blocks in asked.items():
        found = getattr(GaussianPlugin(), quantity)(*blocks).value
        assert found == pytest.approx(float(DEFINITIONS[quantity](*blocks)), abs=error)


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
    rho, given_z = 0.7, -0.5 * np.log(1 - 0.7**2)

    def conditional(rng, size):
        x, y, z = rng.normal(size=(3, size, 12, 2))
        y[..., 0] = rho * x[..., 0] + np.sqrt(1 - rho**2) * y[..., 0]
        return x + z, y - z, z

    require_unbiased("conditional_mutual_information", conditional, given_z, margin=0.01)
    factor = np.array([1.0, 0.5, 0.8, 0.0])
    law = Gaussian(np.zeros(4), np.eye(4) + np.outer(factor, factor))
    truth = 0.5 * (np.log(np.diagonal(law.cov)).sum() - law.log_det)
    require_unbiased("total_correlation", many(law, 9), truth, margin=0.02)


@pytest.mark.parametrize("d", [1, 3])
def test_divergence_is_unbiased(d):
    p = Gaussian(np.zeros(d), np.diag(np.linspace(0.5, 2, d)))
    q = Gaussian(np.full(d, 0.5), np.eye(d) + 0.3 * (1 - np.eye(d)))
    require_unbiased(
        "kl_divergence", lambda rng, size: (*many(p, 12)(rng, size), *many(q, 15)(rng, size)),
        kl_divergence(p, q).value, margin=0.05,
    )  # fmt: skip


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
    """Root mean square of 150 stated errors to the deviation of 5000 values: 4 errors of either, beside 5 %."""
    rng, plugin, size = stream(0, "spread"), GaussianPlugin(), 5000
    factor, rho = np.array([1.0, 1.0, 0.5, 0.0]), np.full(3, 0.8)
    normal = rng.normal
    x, noise, z = normal(size=(3, size, 16, 3))
    worlds = {
        "mutual_information": pairs(linear_gaussian_views(rho), 12)(rng, size),
        "conditional_mutual_information": (x + z, rho * x + np.sqrt(1 - rho**2) * noise + z, z),
        "total_correlation": (normal(size=(size, 12, 4)) + normal(size=(size, 12, 1)) * factor,),
        "kl_divergence": (2 * normal(size=(size, 15, 2)) + 1, normal(size=(size, 40, 2))),
    }
    for quantity, blocks in worlds.items():
        values = DEFINITIONS[quantity](*blocks)
        found = [getattr(plugin, quantity)(*(block[i] for block in blocks)) for i in range(150)]
        squares = np.array([f.standard_error**2 for f in found])
        kurtosis = ((values - values.mean()) ** 4).mean() / values.var() ** 2
        error = 0.5 * np.sqrt((kurtosis - 1) / size)  # of a deviation, relative
        error += 0.5 * squares.std() / squares.mean() / np.sqrt(150)
        assert np.sqrt(squares.mean()) / values.std() == pytest.approx(1, abs=0.05 + 4 * error), quantity


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


def test_intervals_end_where_the_sample_is_extreme():
    """No correlation at all in three rows; one sample given twice; a relation that leaves a trillionth of noise."""
    plugin, z = GaussianPlugin(), stream(0, "extreme").normal(size=(40, 4))
    none = plugin.mutual_information([-1.0, 0.0, 1.0], [1.0, -2.0, 1.0])
    assert none.value == none.diagnostics["bias_correction_nats"]
    low, high = none.interval()
    assert -np.inf < low < high < 0
    for d in (1, 2, 4):
        twice = plugin.kl_divergence(z[:, :d], z[::-1, :d])
        assert twice.value == pytest.approx(twice.diagnostics["bias_correction_nats"], abs=1e3 * EPS)
        low, high = twice.interval()
        assert -np.inf < low < high < np.inf
    widths = []
    for noise in (1e-2, 1e-6, 1e-8, 1e-9, 1e-12):
        found = plugin.mutual_information(z[:, 0], z[:, 0] + noise * z[:, 1])
        low, high = found.interval()
        assert low < found.value < high
        widths.append(high - low)
    assert widths == pytest.approx([widths[0]] * 5, rel=2e-3)  # 1 − ρ² enters at the order of noise²: the width is N's


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
