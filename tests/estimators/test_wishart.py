"""Laws of Wishart log-determinants: simulation, special cases in closed form, and slow twins."""

import numpy as np
import pytest
from scipy import special, stats

from itssl import check_equality
from itssl.arrays import stream
from itssl.estimators.wishart import (
    Cumulants,
    dependent_blocks,
    hypergeometric_terms,
    independent_blocks,
    log_determinant_bias,
    log_determinant_quantiles,
    log_determinant_variance,
    multiple_correlation_probability,
    near_certain_probability,
    skewed_probability,
)


def log_wilks(rng, dof, d_x, d_y, rho, size):
    """log|S| − log|S_x| − log|S_y| of Wishart draws, from the definition."""
    x, y = rng.normal(size=(size, dof, d_x)), rng.normal(size=(size, dof, d_y))
    m = len(rho)
    y[..., :m] = rho * x[..., :m] + np.sqrt(1 - np.square(rho)) * y[..., :m]
    joint, one, two = (np.linalg.slogdet(np.swapaxes(z, 1, 2) @ z)[1] for z in (np.concatenate([x, y], axis=2), x, y))
    return joint - one - two


def test_bias_and_variance_are_those_of_independent_chi_squares():
    """log|S| is a sum of log χ² variables with N, N−1, … degrees of freedom."""
    for n, d in [(2, 1), (7, 3), (50, 20)]:
        parts = [stats.loggamma((n - i) / 2) for i in range(1, d + 1)]  # log of χ²_{n−i}/2
        mean = sum(part.mean() for part in parts) + d * np.log(2 / (n - 1))
        assert log_determinant_bias(n, d) == pytest.approx(mean, rel=1e-9, abs=1e-9)
        assert log_determinant_variance(n, d) == pytest.approx(sum(part.var() for part in parts), rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 20, 1000])
def test_quantiles_of_one_dimension_are_those_of_chi_square(n):
    probabilities = (1e-6, 0.005, 0.025, 0.5, 0.975, 0.999)
    found = log_determinant_quantiles(n, 1, probabilities)
    np.testing.assert_allclose(found, np.log(stats.chi2(n - 1).ppf(probabilities) / (n - 1)), rtol=1e-7, atol=1e-9)


def test_quantiles_of_two_dimensions():
    """2√(|S|) is χ² with 2N − 2 degrees of freedom for d = 2 (Muirhead 1982, p. 101)."""
    n, probabilities = 9, (0.001, 0.025, 0.5, 0.975, 0.999)
    root = stats.chi2(2 * (n - 1) - 2).ppf(probabilities) / 2
    np.testing.assert_allclose(
        log_determinant_quantiles(n, 2, probabilities), 2 * np.log(root / (n - 1)), rtol=1e-7, atol=1e-9
    )


def test_quantiles_leave_the_stated_share_in_many_dimensions():
    n, d, probabilities = 30, 20, (0.025, 0.25, 0.9, 0.975)
    rng = stream(0, "quantiles")
    draws = sum(np.log(rng.chisquare(n - i, size=20000)) for i in range(1, d + 1)) - d * np.log(n - 1)
    for p, q in zip(probabilities, log_determinant_quantiles(n, d, probabilities), strict=True):
        assert np.mean(draws <= q) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20000))


def test_independent_blocks_against_beta_variables():
    """Λ for d_y = 1 is beta((N−d_x)/2, d_x/2); the blocks may be swapped."""
    dof, d_x = 12, 3
    beta = stats.beta((dof - d_x) / 2, d_x / 2)
    found = independent_blocks(dof, d_x, 1)
    mean = beta.expect(np.log)
    assert found.variance == pytest.approx(beta.expect(lambda v: (np.log(v) - mean) ** 2), rel=1e-6)
    assert found.third == pytest.approx(beta.expect(lambda v: (np.log(v) - mean) ** 3), rel=1e-5)
    np.testing.assert_allclose(independent_blocks(40, 3, 11), independent_blocks(40, 11, 3), rtol=1e-12)


def test_hypergeometric_terms_are_derivatives_of_its_logarithm():
    for rho2 in (0.1, 0.6, 0.97):
        for c in (1.5, 4.0, 30.0):

            def log_f(h, rho2=rho2, c=c):
                return np.log(special.hyp2f1(h, h, c + h, rho2))

            h = 0.01
            second, third = hypergeometric_terms(np.array([rho2]), c)
            even, odd = (log_f(h) + log_f(-h)) / (2 * h**2), (log_f(h) - log_f(-h)) / (2 * h**3)
            assert even == pytest.approx(second[0], rel=0.01)  # up to h² times the next term
            assert odd == pytest.approx(third[0], rel=0.01, abs=0.01 * second[0])


def test_hypergeometric_terms_of_many_entries_are_those_of_each():
    rho2 = stream(0, "rho").uniform(size=2**14 + 5)
    together = hypergeometric_terms(rho2, 40.0)
    np.testing.assert_allclose(np.array(together)[:, -3:], hypergeometric_terms(rho2[-3:], 40.0), rtol=1e-14)


@pytest.mark.parametrize(
    ("dof", "d_x", "d_y", "rho"),
    [
        (5, 1, 1, [0.6]),
        (9, 1, 3, [0.9]),
        (7, 2, 2, [0.6, 0.6]),
        (11, 3, 3, [0.95, 0.95, 0.95]),
        (11, 3, 4, [0.95, 0.3, 0.0]),
        (39, 10, 10, [0.6] * 10),
    ],
)
def test_cumulants_under_dependence(dof, d_x, d_y, rho):
    """Up to four errors of the draws and 2 % of the variance (5 % of its 1.5th power for the third moment)."""
    size = 3000 if dof > 20 else 20000
    draws = log_wilks(stream(1, "wilks"), dof, d_x, d_y, np.array(rho), size)
    found = dependent_blocks(dof, d_x, d_y, np.square(rho))
    centered = draws - draws.mean()
    kurtosis = (centered**4).mean() / centered.var() ** 2
    assert found.variance == pytest.approx(centered.var(), rel=0.02 + 4 * np.sqrt((kurtosis - 1) / size))
    errors = np.std(centered**3) / np.sqrt(size)
    assert found.third == pytest.approx((centered**3).mean(), abs=4 * errors + 0.05 * centered.std() ** 3)


def test_order_of_correlations_hardly_matters():
    """The product of scalar functions depends on their order at third order only."""
    rho2 = np.array([0.9, 0.5, 0.1])
    one, other = dependent_blocks(30, 3, 3, rho2), dependent_blocks(30, 3, 3, rho2[::-1])
    assert one.variance == pytest.approx(other.variance, rel=2e-3)


@pytest.mark.parametrize(("n", "rho"), [(4, 0.5), (10, 0.95), (60, 0.3), (200, 0.99)])
def test_correlation_law_is_fishers(n, rho):
    """P(|r| ≤ a) by quadrature of Hotelling's density of the sample correlation."""
    a, nu = 0.4 + 0.55 * rho, n - 1

    def density(r):
        log_c = np.log(nu - 1) + special.gammaln(nu) - special.gammaln(nu + 0.5) - 0.5 * np.log(2 * np.pi)
        return np.exp(
            log_c + nu / 2 * np.log1p(-(rho**2)) + (nu - 3) / 2 * np.log1p(-(r**2)) - (nu - 0.5) * np.log1p(-rho * r)
        ) * special.hyp2f1(0.5, 0.5, nu + 0.5, (1 + rho * r) / 2)

    grid, weights = np.polynomial.legendre.leggauss(300)
    expected = a * float(weights @ density(a * grid))
    assert multiple_correlation_probability(a**2, nu, 1, rho**2) == pytest.approx(expected, abs=1e-7)


def test_sums_over_a_subset_agree_with_all_terms():
    """Strides set in above 512 terms; the twin sums every one."""
    r2, dof, d, rho2 = 0.9962, 60, 2, 0.996
    c, k = dof / 2, np.arange(60000)
    weights = stats.nbinom.pmf(k, c, 1 - rho2)
    expected = weights @ special.betainc(d / 2 + k, (dof - d) / 2, r2)
    assert multiple_correlation_probability(r2, dof, d, rho2) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("dof", [2, 3, 9])
def test_few_degrees_of_freedom_need_the_middle_of_each_cell(dof):
    """The weights are steep at K = 0 there; cells that grow by 0.1 %, each with its middle, lose next to nothing."""
    d, rho2, r2 = 1, 1 - 1e-4, np.array([0.99, 0.9999, 0.99999])
    k = np.arange(500_000)  # the weights beyond sum up to e^-50 and some
    weights = stats.nbinom.pmf(k, dof / 2, 1 - rho2)
    expected = [weights @ special.betainc(d / 2 + k, (dof - d) / 2, r) for r in r2]
    found = [multiple_correlation_probability(float(r), dof, d, rho2) for r in r2]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(("dof", "d"), [(2, 1), (9, 5), (99, 1), (999, 30)])
def test_near_certainty_is_the_limit(dof, d):
    """Of the exact law at 1 − ρ² = 1e-6, which differs from it by less than that, and of draws."""
    middle, width = np.log((dof - d) / dof), 2 / np.sqrt(dof)
    for log_ratio in middle + width * np.array([-2, -0.5, 0.5, 2]):
        exact = multiple_correlation_probability(1 - 1e-6 * np.exp(log_ratio), dof, d, 1 - 1e-6)
        assert near_certain_probability(log_ratio, dof, d) == pytest.approx(exact, abs=1e-6)
    rng, size = stream(0, "near certainty"), 20000
    ratio = rng.gamma((dof - d) / 2, size=size) / rng.gamma(dof / 2, size=size)
    assert near_certain_probability(middle, dof, d) == pytest.approx(
        np.mean(np.log(ratio) >= middle), abs=4 * 0.5 / np.sqrt(size)
    )


def test_multiple_correlation_at_the_edges():
    assert multiple_correlation_probability(0.0, 9, 2, 0.5) == 0
    assert multiple_correlation_probability(1.0, 9, 2, 0.5) == 1
    assert multiple_correlation_probability(0.5, 9, 2, 1.0) == 0
    assert multiple_correlation_probability(0.5, 9, 2, 0.0) == pytest.approx(stats.beta(1, 3.5).cdf(0.5))


@pytest.mark.parametrize("sign", [-1, 1])
def test_skewed_probability(sign):
    """A gamma law about its mean, its mirror image, and the normal law where the skewness vanishes."""
    gamma, z = stats.gamma(3.0), 0.7
    expected = gamma.cdf(3 + z) if sign > 0 else 1 - gamma.cdf(3 - z)
    assert skewed_probability(z, Cumulants(3.0, sign * 6.0)) == pytest.approx(expected)
    assert skewed_probability(z, Cumulants(1.0, sign * 1e-4)) == pytest.approx(stats.norm.cdf(z))
    assert skewed_probability(z, Cumulants(1.0, sign * 1.1e-3)) == pytest.approx(stats.norm.cdf(z), abs=1e-3)


def test_bias_of_information_by_the_decision_rule():
    """The mean of log Λ under dependence is that of independent blocks plus log(1−ρ²) exactly."""
    rho, (dof, d_x, d_y) = np.array([0.8, 0.3]), (9, 2, 3)
    b = [log_determinant_bias(dof + 1, d) for d in (d_x + d_y, d_x, d_y)]
    truth = np.log1p(-(rho**2)).sum() + b[0] - b[1] - b[2]
    check_equality(lambda rng: log_wilks(rng, dof, d_x, d_y, rho, 400), truth, margin=0.05).require()
