"""Channels: every truth by an independent sum or integral, draws against the stated conditional laws."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import entr, gammaln, logsumexp
from scipy.stats import kstest, norm

from itssl.arrays import stream
from itssl.choices import ParameterError
from itssl.distributions.channels import discrete_uniform_task, one_neuron_task, zero_inflated_poisson_task
from itssl.distributions.gaussian import LawError

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    ("weight", "bias", "std"), [(0.2, 0.0, 0.1), (1.0, 0.3, 0.1), (5.0, 0.0, 0.5), (1.0, 0.0, 0.01)]
)
def test_neuron_information_by_adaptive_quadrature(weight, bias, std):
    """Σ_x ¼ ∫ p(t|x) log p(t|x)/p(t) dt, to 1e-10."""
    centers = np.tanh(weight * np.array([-3.0, -1.0, 1.0, 3.0]) + bias)

    def integrand(t, center):
        own = norm.logpdf(t, center, std)
        return np.exp(own) * (own - logsumexp(norm.logpdf(t, centers, std)) + np.log(4))

    slow = 0.0
    for center in centers:
        ends = center + std * np.arange(-12, 13, 3)
        pieces = [quad(integrand, a, b, args=(center,), epsabs=1e-14)[0] for a, b in pairwise(ends)]
        slow += sum(pieces) / 4
    truth = one_neuron_task(weight, bias=bias, std=std).mutual_information
    assert truth.value == pytest.approx(slow, abs=1e-10)
    assert 0 < truth.standard_error < 1e-10


def test_neuron_information_rises_and_falls():
    values = [one_neuron_task(w, std=0.02).mutual_information.value for w in (1e-3, 0.3, 3.0, 50.0)]
    assert values[0] < values[1] > values[2] > values[3]
    assert values[1] == pytest.approx(np.log(4), abs=1e-6)
    assert values[3] == pytest.approx(np.log(2), abs=1e-10)


def test_neuron_draws():
    x, t = one_neuron_task(0.7, bias=0.2, std=0.3).sample(4000, stream(0, "neuron"))
    assert kstest((t - np.tanh(0.7 * x + 0.2))[:, 0] / 0.3, norm.cdf).pvalue > 1e-6
    assert set(np.unique(x)) == {-3, -1, 1, 3}


def slow_zero_inflated(p):
    """Σ_k ∫ e^{-x} p(k|x) log p(k|x)/p(k) dx."""
    total = 0.0
    for k in range(60):
        inflated = p if k == 0 else 0.0
        marginal = inflated + (1 - p) * 0.5 ** (k + 1)

        def integrand(x, k=k, inflated=inflated, marginal=marginal):
            likelihood = inflated + (1 - p) * np.exp(-x + k * np.log(x) - gammaln(k + 1))
            return np.exp(-x) * likelihood * np.log(likelihood / marginal) if likelihood > 0 else 0.0

        total += sum(quad(integrand, a, b, epsabs=1e-13, limit=300)[0] for a, b in ((0, 5), (5, 20), (20, 90)))
    return total


@pytest.mark.parametrize("p", [0.0, 0.15, 0.6])
def test_zero_inflated_information_by_summation_and_quadrature(p):
    assert zero_inflated_poisson_task(p).mutual_information.value == pytest.approx(slow_zero_inflated(p), abs=1e-10)


def test_the_published_zero_inflated_value_is_that_with_the_switch_seen():
    """(1−p)(2 log 2 − γ − Σ 2⁻ᵏ log k) is I(X; Y | B): 0.2561, above I(X; Y) = 0.2298 at p = 0.15."""
    k = np.arange(1, 80)
    without = 2 * np.log(2) - np.euler_gamma - np.log(k) @ 0.5**k
    published, ours = 0.85 * without, zero_inflated_poisson_task(0.15).mutual_information.value
    assert zero_inflated_poisson_task(0.0).mutual_information.value == pytest.approx(without, abs=1e-13)
    assert published == pytest.approx(0.256058, abs=5e-7)
    assert ours == pytest.approx(0.229776, abs=5e-7)
    # the difference is I(X; B | Y) = H(B|Y) − H(B|X, Y), all of it at Y = 0
    p, zero = 0.15, 0.575

    def entropy(q):
        return entr(q) + entr(1 - q)

    given_x = quad(lambda x: np.exp(-x) * (c := p + (1 - p) * np.exp(-x)) * entropy(p / c), 0, 60)[0]
    assert published - ours == pytest.approx(zero * entropy(p / zero) - given_x, abs=1e-9)


def test_zero_inflated_draws():
    x, y = zero_inflated_poisson_task(0.15).sample(20_000, stream(0, "counts"))
    assert kstest(x[:, 0], "expon").pvalue > 1e-6
    for k in range(6):
        truth = 0.85 * 0.5 ** (k + 1) + (0.15 if k == 0 else 0)
        assert abs((y == k).mean() - truth) < 5 * np.sqrt(truth / 20_000)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_discrete_uniform_information_is_h_of_y_minus_log_two(m):
    """Y has density (1, 2, ..., 2, 1)/2m on m + 1 unit intervals."""
    density = np.array([1] + [2] * (m - 1) + [1]) / (2 * m)
    entropy = -(density * np.log(density)).sum()
    task = discrete_uniform_task(m)
    assert task.mutual_information.value == pytest.approx(entropy - np.log(2), abs=8 * EPS)
    y = task.sample(20_000, stream(0, "steps", m))[1]
    share = np.bincount(np.floor(y[:, 0]).astype(int), minlength=m + 1) / 20_000
    assert (np.abs(share - density) < 5 * np.sqrt(density / 20_000)).all()


@pytest.mark.parametrize(
    "task", [one_neuron_task(1.0), zero_inflated_poisson_task(0.15), discrete_uniform_task(3)], ids=lambda t: t.name
)
def test_marginal_densities_are_the_mean_of_the_conditionals(task):
    """p(y) = E_X p(y | X) at drawn y, the mean over the law of X."""
    _, y = task.sample(8, stream(0, "outputs"))
    x = task.x.sample(40_000, stream(0, "inputs"))
    for row in y:
        rows = np.broadcast_to(row, (len(x), 1))
        given = np.exp(task.joint.log_density(np.hstack([x, rows])) - task.x.log_density(x))
        error = given.std() / np.sqrt(len(x))
        assert abs(given.mean() - np.exp(task.y.log_density(row[None])[0])) < 5 * error + 8 * EPS


def test_parameters_that_describe_no_channel():
    with pytest.raises(ParameterError, match="std"):
        one_neuron_task(std=0.0)
    with pytest.raises(LawError, match="p: expected a probability"):
        zero_inflated_poisson_task(1.0)
    with pytest.raises(ParameterError, match="m: expected an integer"):
        discrete_uniform_task(0)
