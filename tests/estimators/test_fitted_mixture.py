"""Fitted mixtures: Gaussian limits in closed form, identities, choice of components, coverage, warnings."""

import warnings

import numpy as np
import pytest
import torch

import itssl
from itssl import Bias, Gaussian, GaussianMixture
from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.estimators import mixture_fit
from itssl.estimators.fitted_mixture import FittedMixture
from itssl.estimators.mixture_fit import fit_mixture, parameter_count

LAW = GaussianMixture(
    np.array([0.6, 0.4]),
    np.array([[-2.0, 0.0], [2.0, 1.0]]),
    np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 1.5]]]),
)


def gaussian_information(x, d_x):
    """−½ log of the determinant ratio of the maximum-likelihood covariance."""
    sign = np.linalg.slogdet
    c = np.cov(x.T, bias=True).reshape(x.shape[1], -1)
    return 0.5 * (sign(c[:d_x, :d_x])[1] + sign(c[d_x:, d_x:])[1] - sign(c)[1])


def test_one_component_is_the_gaussian():
    """Entropy of the maximum-likelihood normal plus p/(2n); information less about d_x d_y/(2n)."""
    x = Gaussian(np.zeros(3), np.array([[1.0, 0.5, 0.2], [0.5, 2.0, 0.1], [0.2, 0.1, 1.0]])).sample(500, stream(0, "x"))
    found = FittedMixture(1).entropy(x)
    plugin = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x.T, bias=True))[1]
    assert found.value == pytest.approx(plugin + 9 / 1000, abs=1e-8)  # the ridge is 1e-10
    assert found.diagnostics["bias_correction_nats"] == pytest.approx(9 / 1000, rel=1e-9)
    pair = FittedMixture(1).mutual_information(x[:, :1], x[:, 1:])
    raw = gaussian_information(x, 1)
    assert pair.value + -pair.diagnostics["bias_correction_nats"] == pytest.approx(raw, abs=1e-8)
    assert pair.diagnostics["bias_correction_nats"] == pytest.approx(-2 / 1000, rel=0.5)
    z = FittedMixture(1).conditional_mutual_information(x[:, 0], x[:, 1], x[:, 2])
    chain = raw - gaussian_information(x[:, [0, 2]], 1)  # I(X;Y|Z) = I(X;YZ) − I(X;Z)
    assert z.value - z.diagnostics["bias_correction_nats"] == pytest.approx(chain, abs=1e-8)
    total = FittedMixture(1).total_correlation(x)
    chain = raw + gaussian_information(x[:, 1:], 1)  # TC = I(X;YZ) + I(Y;Z)
    assert total.value - total.diagnostics["bias_correction_nats"] == pytest.approx(chain, abs=1e-8)


def test_entropies_and_information_agree():
    """I = h(x) + h(y) − h(x, y) holds for one fitted law up to the marginals being refitted: to a few p/n."""
    x = LAW.sample(3000, stream(0, "agree"))
    estimator = FittedMixture(2)
    h = [estimator.entropy(block).value for block in (x[:, :1], x[:, 1:], x)]
    assert estimator.mutual_information(x[:, :1], x[:, 1:]).value == pytest.approx(h[0] + h[1] - h[2], abs=0.02)


@pytest.mark.parametrize("a", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_units_order_and_swap(a, covariance):
    """The fit stops within 1e-6 nats a step of its limit, from which rounding may move it: hence 1e-5."""
    x = LAW.sample(300, stream(1, "units"))
    order = stream(0, "order").permutation(300)
    estimator = FittedMixture(max_components=3, covariance=covariance)
    entropy, moved = estimator.entropy(x), estimator.entropy(a * x[order] + a)
    assert moved.value == pytest.approx(entropy.value + 2 * np.log(a), abs=1e-5)
    assert moved.standard_error == pytest.approx(entropy.standard_error, rel=1e-3)
    one = estimator.mutual_information(x[:, 0], x[:, 1])
    other = estimator.mutual_information(a * x[order, 1], -3 * a * (-x[order, 0]))
    assert other.value == pytest.approx(one.value, abs=1e-5)
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-3)


@pytest.mark.parametrize("components", ["bic", "held_out"])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_number_of_components_is_found(components, m):
    means = 8.0 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[:m]
    law = GaussianMixture.isotropic(means, 1.0)
    fit = fit_mixture(law.sample(800, stream(0, "count", m)), components=components, max_components=4)
    if components == "bic":  # held-out likelihood is not consistent: it may add one
        assert len(fit.weights) == m
    assert m <= len(fit.weights) <= m + 1


def test_fitted_law_is_the_law():
    """Parameters within 6 standard errors of about σ/√(nw)."""
    law = fit_mixture(LAW.sample(4000, stream(0, "law")), components=2)
    np.testing.assert_allclose(law.weights, LAW.weights, atol=6 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose(law.means, LAW.means, atol=6 * 1.2 / np.sqrt(1600))
    np.testing.assert_allclose(law.covs, LAW.covs, atol=6 * 1.5 * np.sqrt(2 / 1600))
    diagonal = fit_mixture(LAW.sample(500, stream(0, "law")), components=2, covariance="diagonal")
    assert (diagonal.covs[:, 0, 1] == 0).all()


def test_fit_maximizes_the_likelihood():
    """No fit by scikit-learn from ten other starts is better by more than its own tolerance."""
    from sklearn.mixture import GaussianMixture as Model

    x = LAW.sample(400, stream(3, "likelihood"))
    ours = fit_mixture(x, components=2).log_density(x).mean()
    other = Model(2, n_init=10, tol=1e-7, max_iter=1000, random_state=1).fit(x).score(x)
    assert ours == pytest.approx(other, abs=1e-5)


def decided(quantity, replicates):
    """Truth, coverage of the 95 % intervals, values, and stated error over data sets of 300 rows."""
    truth = LAW.entropy.value
    if quantity == "mutual_information":
        marginals = [GaussianMixture(LAW.weights, LAW.means[:, [i]], LAW.covs[:, [i]][:, :, [i]]) for i in (0, 1)]
        truth = sum(m.entropy.value for m in marginals) - truth
    hits, values, stated = 0, [], []
    for seed in range(replicates):
        x = LAW.sample(300, stream(seed, "coverage"))
        blocks = (x,) if quantity == "entropy" else (x[:, 0], x[:, 1])
        found = getattr(FittedMixture(2), quantity)(*blocks)
        low, high = found.interval(0.95)
        hits += low <= truth <= high
        values.append(found.value)
        stated.append(found.standard_error)
    return truth, hits / replicates, np.array(values), np.sqrt(np.mean(np.square(stated)))


def require_calibrated(quantity, replicates):
    """Coverage, spread and bias, each within 5 standard errors of what is stated."""
    truth, coverage, values, stated = decided(quantity, replicates)
    assert abs(coverage - 0.95) < 5 * np.sqrt(0.95 * 0.05 / replicates)
    assert stated == pytest.approx(values.std(), rel=5 / np.sqrt(2 * replicates))
    assert abs(values.mean() - truth) < 5 * values.std() / np.sqrt(replicates)


@pytest.mark.parametrize("quantity", ["entropy", "mutual_information"])
def test_interval_bias_and_error(quantity):
    require_calibrated(quantity, 30)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", ["entropy", "mutual_information"])
def test_interval_bias_and_error_closely(quantity):
    """400 fits: coverage to ±0.054, spread to ±18 %, bias to a quarter of the spread."""
    require_calibrated(quantity, 400)


def test_blocks_that_hang_together():
    x = LAW.sample(200, stream(0, "deterministic"))
    found = FittedMixture(1).mutual_information(x[:, 0], 2 * x[:, 0])
    assert found.value == np.inf
    assert "deterministic" in [w.code for w in found.warnings]
    dependent = np.c_[x, x.sum(axis=1)]
    for call, value in ((FittedMixture(1).entropy, -np.inf), (FittedMixture(1).total_correlation, np.inf)):
        assert call(dependent).value == value
        assert [w.code for w in call(dependent).warnings] == ["singular_support"]
    on_support = FittedMixture(1).mutual_information(dependent, stream(0, "y").normal(size=200))
    other = FittedMixture(1).mutual_information(x, stream(0, "y").normal(size=200))
    assert on_support.value == pytest.approx(other.value, abs=1e-6)
    with pytest.raises(SampleError, match="x, y and z: expected linearly independent"):
        FittedMixture(1).conditional_mutual_information(x[:, 0], x[:, 1], x[:, 0])
    with pytest.raises(SampleError, match="linearly independent columns"):
        fit_mixture(dependent)


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_nearly_deterministic_pairs_keep_their_digits(noise):
    rng = stream(0, "noise")
    x, e = rng.normal(size=(2, 1000))
    truth = 0.5 * np.log1p(noise**-2)
    found = FittedMixture().mutual_information(x, x + noise * e)
    assert abs(found.value - truth) < 5 * found.standard_error
    assert found.standard_error == pytest.approx(1 / np.sqrt(1000), rel=0.2)


def test_slow_fits_are_reported_and_nothing_else_warns(monkeypatch):
    x = stream(0, "uniform").uniform(size=(200, 2))
    monkeypatch.setattr(mixture_fit, "_MAX_STEPS", 2)
    before = list(warnings.filters)
    found = FittedMixture(3).entropy(x)
    assert warnings.filters == before
    assert [w.code for w in found.warnings] == ["not_converged"]


def test_components_on_few_rows_are_reported():
    x = np.vstack([stream(0, "most").normal(size=(200, 2)), stream(1, "few").normal(size=(4, 2)) * 1e-3 + 50])
    assert "small_component" in [w.code for w in FittedMixture(2).entropy(x).warnings]


def test_kinds_of_arrays():
    x = LAW.sample(200, stream(0, "kinds")).astype(np.float32)
    x.flags.writeable = False
    a = FittedMixture(2).entropy(x)
    b = FittedMixture(2).entropy(torch.tensor(x.copy(), requires_grad=True))
    assert a.value == b.value
    assert a.bias is Bias.UNKNOWN
    assert FittedMixture(2).entropy(x[::2]).n == 100


def test_bad_parameters():
    x = LAW.sample(30, stream(0, "few"))
    with pytest.raises(UnknownNameError, match="did you mean 'bic'"):
        mixture_fit.require_components("bci")
    with pytest.raises(ParameterError, match="components: expected an integer >= 1, got 0"):
        FittedMixture(0)
    with pytest.raises(ParameterError, match="max_components"):
        FittedMixture(max_components=0)
    assert parameter_count(5, 2, "full") == 29
    FittedMixture(5).entropy(x)
    with pytest.raises(SampleError, match="x: expected more rows than the 35 parameters of 6 component"):
        FittedMixture(6).entropy(x)
    with pytest.raises(SampleError, match="x and y: expected more rows than the 35 parameters"):
        FittedMixture(6).mutual_information(x[:, 0], x[:, 1])
    with pytest.raises(SampleError, match="at least two columns"):
        FittedMixture(1).total_correlation(x[:, 0])
    assert itssl.estimators.mixture_fit.CRITERIA == ("bic", "held_out")


def test_no_component_shrinks_on_outliers():
    """Cauchy tails: EM offers a component on one row, whose likelihood only the ridge bounds; it is not chosen."""
    x, y = (z * 1.0 for z in stream(0, "outliers").standard_t(1, size=(2, 1000, 2)))
    found = FittedMixture().mutual_information(x, y)
    assert abs(found.value) < 10
    assert found.diagnostics["smallest_component_rows"] > 5
    assert "heavy_tails" in {w.code for w in found.warnings}
    asked = FittedMixture(components=12).mutual_information(x, y)  # asked for, it is fitted, and finite for all that
    assert abs(asked.diagnostics["bias_correction_nats"]) <= asked.diagnostics["parameters"] / 1000
    assert "small_component" in {w.code for w in asked.warnings}


def test_largest_number_of_components_is_reported():
    means = np.arange(4.0)[:, None] * 12
    x = GaussianMixture.isotropic(means, 1.0).sample(600, stream(0, "largest"))
    assert "max_components" in {w.code for w in FittedMixture(max_components=2).entropy(x).warnings}
    assert "max_components" not in {w.code for w in FittedMixture().entropy(x).warnings}
    assert "max_components" not in {w.code for w in FittedMixture(components=2).entropy(x).warnings}
