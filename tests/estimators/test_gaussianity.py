"""Mardia's tests: definition, level, power, what they cannot see; the warning of Gaussian estimates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from itssl import GaussianPlugin
from itssl.arrays import stream
from itssl.estimators.gaussianity import gaussianity, gaussianity_warnings


def twin(x):
    """Mardia (1970, 1974) from all pairs, with the covariance that divides by n."""
    n, d = x.shape
    z = x - x.mean(axis=0)
    m = z @ np.linalg.inv(z.T @ z / n) @ z.T
    b1, b2 = (m**3).mean(), (np.diag(m) ** 2).mean()
    small = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))
    p_skewness = chi2.sf(n * b1 / 6 * small, d * (d + 1) * (d + 2) / 6)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    p_kurtosis = 2 * norm.sf(abs(b2 - d * (d + 2) * (n - 1) / (n + 1)) / np.sqrt(variance))
    return min(1.0, 2 * min(p_skewness, p_kurtosis))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(40, 120), d=st.integers(1, 10))
def test_equals_the_definition(seed, n, d):
    """Few columns go through third moments, many (d² > n) through all pairs: both equal the twin."""
    x = stream(seed, "mardia").normal(size=(n, d)) ** (1 if seed % 2 else 3)
    assert gaussianity(x) == pytest.approx(twin(x), rel=1e-7, abs=1e-14)
    assert gaussianity(1e6 * x @ np.diag(np.arange(1.0, d + 1)) - 3) == pytest.approx(twin(x), rel=1e-6, abs=1e-14)


def test_level():
    """300 Gaussian samples at level 0.01: at most 3 %, as documented, and three standard deviations of the count."""
    rejected = sum(gaussianity(stream(s, "level").normal(size=(200, 3))) < 0.01 for s in range(300))
    assert rejected <= 9 + 3 * np.sqrt(9)
    assert np.isnan(gaussianity(stream(0, "few").normal(size=(10, 5))))


def test_moments_of_variance_are_those_of_gaussian_draws():
    """The p-value of kurtosis rests on its mean and variance under the law: 2000 draws, d = 2, n = 50."""
    p = np.array([gaussianity(stream(s, "uniform").normal(size=(50, 2))) for s in range(2000)])
    assert abs((p < 0.2).mean() - 0.2) < 0.06  # doubled smaller one of two nearly independent p-values: about 0.19


def test_warning_of_rejected_rows_only():
    rng = stream(0, "warning")
    assert gaussianity_warnings(rng.normal(size=(400, 4))) == ()
    assert gaussianity_warnings(rng.normal(size=(6, 4))) == ()  # too few to tell
    (found,) = gaussianity_warnings(rng.uniform(size=(400, 4)), name="z")
    assert (found.code, "rows of z" in found.message) == ("not_gaussian", True)


def test_gaussian_answers_to_other_laws_say_so():
    """A cross of two Gaussians has no correlation and 0.41 nats: the plug-in finds none, and warns."""
    rng, plugin = stream(0, "cross"), GaussianPlugin()
    x, noise = rng.normal(size=(2, 600))
    y = rng.choice([-1.0, 1.0], size=600) * 0.9 * x + np.sqrt(1 - 0.9**2) * noise
    found = plugin.mutual_information(x, y)
    assert abs(found.value) < 5 * found.standard_error
    z = np.c_[x, y]
    asked = [
        found, plugin.total_correlation(z), plugin.conditional_mutual_information(x, y, noise * y),
        plugin.kl_divergence(z, z[::-1] + 0.1), GaussianPlugin(shrinkage="oas").mutual_information(x, y),
    ]  # fmt: skip
    for estimate in asked:
        assert "not_gaussian" in {w.code for w in estimate.warnings}
    assert "not_gaussian" not in {w.code for w in plugin.entropy(z).warnings}  # an upper bound for any law
    assert plugin.mutual_information(x, noise).warnings == ()
