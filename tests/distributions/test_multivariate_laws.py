"""Products, elliptical, Dirichlet and log-normal laws: truths by sampling, each other and scipy; draws; refusals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from itssl.arrays import stream
from itssl.distributions.dirichlet import Dirichlet, InvertedDirichlet
from itssl.distributions.divergences import kl_divergence
from itssl.distributions.elliptical import Elliptical, pearson_ii, power_exponential, uniform_ball
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import monte_carlo, monte_carlo_entropy
from itssl.distributions.multivariate_log_normal import MultivariateLogNormal
from itssl.distributions.products import Product, total, uniform_box
from itssl.distributions.scalar_families import scalar_families
from itssl.distributions.scalar_forms import PowerForm
from itssl.distributions.scalar_roots import LogBetaPrime, LogGamma
from itssl.estimate import Bias
from itssl.testing.strategies import laws

EPS = np.finfo(float).eps
FAMILIES = scalar_families()
SHAPE = np.array([[1.0, 0.5, 0.1], [0.5, 1.5, -0.3], [0.1, -0.3, 0.7]])
MEAN = np.array([0.5, -1.0, 2.0])


def student(shape, degrees):
    """Multivariate Student: the square of its radius over d is F-distributed."""
    d = len(shape)
    radius = PowerForm(LogBetaPrime(d / 2, degrees / 2), power=2.0, multiple=degrees**0.5)
    return Elliptical(np.zeros(d), shape, radius, "student")


CATALOGUE = [
    uniform_ball(1, radius=2.0),
    uniform_ball(3, radius=0.5, center=MEAN),
    pearson_ii(SHAPE, 1.5, location=MEAN),
    pearson_ii(SHAPE, -0.3),
    power_exponential(SHAPE, 1.0, location=MEAN),
    power_exponential(SHAPE, 4.0),
    student(SHAPE, 3.0),
    Dirichlet(np.array([0.7, 2.0, 3.5]), 1.5),
    Dirichlet(np.ones(2), 1.0),
    InvertedDirichlet(np.array([0.7, 2.0, 3.5]), 2.5),
    MultivariateLogNormal(Gaussian(MEAN, SHAPE)),
    Product((FAMILIES["gamma"](shape=2.0), Gaussian(MEAN, SHAPE), FAMILIES["laplace"](width=0.5))),
    uniform_box([0.0, -1.0], [2.0, 3.0]),
]


@pytest.mark.parametrize("law", CATALOGUE, ids=str)
def test_entropy_equals_minus_mean_log_density(law):
    """Five standard errors over 13 laws: false alarm below 1e-5."""
    sampled = monte_carlo_entropy(law, stream(0, "catalogue"), n=2**15)
    assert abs(sampled.value - law.entropy.value) < 5 * sampled.standard_error + 256 * EPS
    assert law.entropy.bias is Bias.EXACT


def kept(law):
    """Some but not all coordinates."""
    return [0] if law.dim == 2 else [0, 2]


@pytest.mark.parametrize("law", [law for law in CATALOGUE if law.dim > 1 and "exp" not in repr(law)], ids=str)
def test_information_of_blocks(law):
    block = kept(law)
    others = [i for i in range(law.dim) if i not in block]
    one, two, value = law.marginal(block), law.marginal(others), law.mutual_information(block).value
    assert value == pytest.approx(law.mutual_information(others).value, abs=256 * EPS)
    assert value == pytest.approx(one.entropy.value + two.entropy.value - law.entropy.value, abs=256 * EPS)

    def pointwise(n, rng):
        x = law.sample(n, rng)
        return law.log_density(x) - one.log_density(x[:, block]) - two.log_density(x[:, others])

    sampled = monte_carlo(pointwise, stream(0, "blocks"), n=2**14)
    assert abs(sampled.value - value) < 5 * sampled.standard_error + 256 * EPS


PAIRS = [
    (uniform_ball(3), uniform_ball(3, radius=2.0)),
    (pearson_ii(SHAPE, 1.5), pearson_ii(SHAPE, 0.5)),
    (pearson_ii(SHAPE, 1.5), power_exponential(2 * SHAPE, 3.0)),
    (power_exponential(SHAPE, 1.0), power_exponential(0.5 * SHAPE, 1.7)),
    (student(SHAPE, 5.0), power_exponential(0.5 * SHAPE, 1.5)),
    (Dirichlet(np.array([0.7, 2.0]), 1.5), Dirichlet(np.array([1.7, 1.0]), 2.5)),
    (InvertedDirichlet(np.array([0.7, 2.0]), 1.5), InvertedDirichlet(np.array([1.7, 1.0]), 2.5)),
    (MultivariateLogNormal(Gaussian(MEAN, SHAPE)), MultivariateLogNormal(Gaussian(MEAN / 2, 2 * SHAPE))),
    (
        Product((FAMILIES["gamma"](shape=2.0), Gaussian(MEAN, SHAPE))),
        Product((FAMILIES["weibull"](shape=1.5), Gaussian(MEAN / 2, 2 * SHAPE))),
    ),
    (uniform_box([0.0, 0.0], [1.0, 2.0]), uniform_box([-1.0, 0.0], [1.0, 3.0])),
]


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=str)
def test_divergence_equals_mean_log_ratio(p, q):
    value = kl_divergence(p, q)

    def log_ratio(n, rng):
        x = p.sample(n, rng)
        return p.log_density(x) - q.log_density(x)

    sampled = monte_carlo(log_ratio, stream(0, "pairs"), n=2**15)
    assert abs(sampled.value - value.value) < 5 * sampled.standard_error + 256 * EPS
    assert value.value > 0.01
    assert value.bias is Bias.EXACT
    assert kl_divergence(p, p).value == pytest.approx(0, abs=256 * EPS)


def test_balls_that_are_not_contained_diverge():
    assert kl_divergence(uniform_ball(2, radius=2.0), uniform_ball(2)).value == np.inf


@pytest.mark.parametrize("law", CATALOGUE, ids=str)
def test_draws_have_the_law(law):
    """Two seeds agree (Kolmogorov–Smirnov), and the mass the density puts on each side of their median is ½ (5 SE)."""
    x, again = law.sample(3000, stream(0, "one")), law.sample(3000, stream(1, "two"))
    assert x.shape == (3000, law.dim)
    direction = stream(2, "direction", law.dim).normal(size=law.dim)
    two_samples: Any = stats.ks_2samp(x @ direction, again @ direction)
    assert two_samples.pvalue > 1e-4
    # importance weights against a wider reference have mean 1: not only the mean of the log density is right
    center, spread = np.median(x, axis=0), np.quantile(np.abs(x - np.median(x, axis=0)), 0.8, axis=0)
    place = zip(center.tolist(), spread.tolist(), strict=True)
    reference = Product(tuple(FAMILIES["student"](degrees=1.5, location=m, width=s) for m, s in place))
    y = reference.sample(2**15, stream(3, "reference"))
    weights = np.exp(law.log_density(y) - reference.log_density(y))
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(len(y))
    halves = (y @ direction < np.median(x @ direction)).astype(float) * weights
    error = np.hypot(halves.std() / np.sqrt(len(y)), 0.5 / np.sqrt(len(x)))
    assert abs(halves.mean() - 0.5) < 5 * error


@settings(deadline=None, max_examples=60)
@given(law=laws())
def test_every_law_answers(law):
    x = law.sample(5, stream(0, "every"))
    assert x.shape == (5, law.dim)
    assert law.log_density(x).shape == (5,)
    assert not np.isnan(law.log_density(x)).any()
    assert (law.log_density(x) > -np.inf).all()
    assert np.isfinite(law.entropy.value)
    if not isinstance(law, Gaussian):
        assert len(repr(law)) < 200


def test_special_cases_are_the_same_law():
    gaussian = Gaussian(MEAN, SHAPE)
    x = gaussian.sample(20, stream(0, "special"))
    twin = power_exponential(2 * SHAPE, 2.0, location=MEAN)
    np.testing.assert_allclose(twin.log_density(x), gaussian.log_density(x), rtol=0, atol=1e3 * EPS)
    assert twin.entropy.value == pytest.approx(gaussian.entropy.value, abs=64 * EPS)
    normal = Elliptical(MEAN, SHAPE, PowerForm(LogGamma(1.5), power=2.0, multiple=2**0.5))
    assert normal.mutual_information([0]).value == pytest.approx(gaussian.mutual_information([0]).value, abs=256 * EPS)
    multivariate_t: Any = stats.multivariate_t  # its stub has scalars only
    t = multivariate_t(loc=np.zeros(3), shape=SHAPE, df=3.0)
    np.testing.assert_allclose(student(SHAPE, 3.0).log_density(x), t.logpdf(x), rtol=0, atol=1e3 * EPS)
    assert student(SHAPE, 3.0).entropy.value == pytest.approx(t.entropy(), abs=1e3 * EPS)
    alpha = np.array([0.7, 2.0, 1.5])
    dirichlet = Dirichlet(alpha[:2], float(alpha[2]))
    assert dirichlet.entropy.value == pytest.approx(stats.dirichlet(alpha).entropy(), abs=256 * EPS)
    points = dirichlet.sample(20, stream(1, "special"))
    naive = [stats.dirichlet(alpha).logpdf(np.append(row, 1 - row.sum())) for row in points]
    np.testing.assert_allclose(dirichlet.log_density(points), naive, rtol=0, atol=1e4 * EPS)
    beta = FAMILIES["beta"](a=0.7, b=3.5)
    assert dirichlet.marginal([0]).entropy.value == pytest.approx(beta.entropy.value, abs=256 * EPS)
    prime = FAMILIES["beta_prime"](a=0.7, b=1.5)
    inverted = InvertedDirichlet(alpha[:2], float(alpha[2]))
    assert inverted.marginal([0]).entropy.value == pytest.approx(prime.entropy.value, abs=256 * EPS)


def test_known_informations():
    assert uniform_ball(2).mutual_information([0]).value == pytest.approx(np.log(np.pi) - 1, abs=64 * EPS)
    twice = student(np.eye(2), 1.0).mutual_information([0]).value  # bivariate Cauchy: log 8π − 3, not 0
    assert twice == pytest.approx(np.log(8 * np.pi) - 3, abs=64 * EPS)
    far = student(np.eye(2), 1e8).mutual_information([0]).value
    assert far == pytest.approx(0, abs=1e8 * 64 * EPS)


def test_density_limits_and_outside():
    assert uniform_ball(3).log_density(np.zeros((1, 3)))[0] == pytest.approx(-np.log(4 * np.pi / 3), abs=64 * EPS)
    assert uniform_ball(3).log_density(np.full((1, 3), 0.6))[0] == -np.inf
    center = power_exponential(SHAPE, 1.3, location=MEAN).log_density(MEAN[None])[0]
    near = power_exponential(SHAPE, 1.3, location=MEAN).log_density(MEAN[None] + 1e-13)[0]
    assert center == pytest.approx(near, abs=1e-12)
    simplex = Dirichlet(np.ones(2), 1.0)
    np.testing.assert_array_equal(simplex.log_density(np.array([[0.6, 0.6], [-0.1, 0.5]])), -np.inf)
    assert InvertedDirichlet(np.ones(2), 1.0).log_density(np.array([[-1.0, 1.0]]))[0] == -np.inf
    assert MultivariateLogNormal(Gaussian.standard(2)).log_density(np.array([[-1.0, 1.0]]))[0] == -np.inf
    arcsines = Product((FAMILIES["arcsine"](), FAMILIES["arcsine"]()))
    assert arcsines.log_density(np.array([[0.0, 2.0]]))[0] == -np.inf  # infinite in one, zero in the other


def test_sums_of_estimates():
    noisy = monte_carlo_entropy(Gaussian.standard(1), stream(0, "sum"), n=100)
    added = total([noisy, noisy, Gaussian.standard(1).entropy], "sum")
    assert added.standard_error == pytest.approx(noisy.standard_error * 2**0.5)
    assert added.bias is Bias.UNBIASED


@pytest.mark.parametrize(
    ("make", "error", "part"),
    [
        (lambda: uniform_ball(2, radius=0.0), LawError, "radius"),
        (lambda: pearson_ii(SHAPE, -1.0), LawError, "exponent"),
        (lambda: power_exponential(SHAPE, 0.0), LawError, "power"),
        (lambda: pearson_ii(-SHAPE, 1.0), LawError, "shape: expected a positive definite"),
        (lambda: Dirichlet(np.array([1.0, -1.0]), 1.0), LawError, "weights, last"),
        (lambda: InvertedDirichlet(np.array([1.0]), 0.0), LawError, "weights, last"),
        (lambda: Product(()), LawError, "laws: expected at least one"),
        (lambda: uniform_box([0.0], [0.0]), LawError, "low, high"),
        (lambda: uniform_ball(2).mutual_information([0, 1]), LawError, "block: expected some but not all"),
        (lambda: power_exponential(SHAPE, 1.0).marginal([0]), LawError, "marginals .* no closed form"),
        (lambda: Product((uniform_ball(2),)).log_density(np.zeros((1, 3))), LawError, r"x: expected shape \(n, 2\)"),
        (lambda: Product((uniform_ball(2),)).marginal([1, 0]), LawError, "indices: expected ascending"),
        (lambda: kl_divergence(uniform_ball(2), Gaussian.standard(2)), LawError, "closed divergence"),
        (lambda: kl_divergence(uniform_ball(2), uniform_ball(3)), LawError, "expected a law on"),
        (lambda: kl_divergence(pearson_ii(SHAPE, 1.0), pearson_ii(np.eye(3), 1.0)), LawError, "proportional shape"),
        (
            lambda: Dirichlet(np.ones(1), 1.0).kl_divergence(Dirichlet(np.ones(2), 1.0)),
            LawError,
            "expected a law on",
        ),
    ],
)
def test_refusals(make, error, part):
    with pytest.raises(error, match=part):
        make()
