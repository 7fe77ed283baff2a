"""Channels with known information: one tanh neuron, counts, and a discrete variable blurred by uniform noise."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.choices import require_count, require_positive
from itssl.distributions.explicit import ExplicitLaw, FiniteLaw
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law, exact
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.tasks import LazyTruth, Task
from itssl.estimate import Bias, Estimate
from itssl.kernels.linalg import LOG_2PI

Draw = Callable[[Samples, np.random.Generator], Samples]
LogConditional = Callable[[Samples, Samples], Float[np.ndarray, " n"]]


def channel_task(
    *, name: str, x: Law, y: Law, draw: Draw, log_conditional: LogConditional, truth: Estimate | LazyTruth
) -> Task:
    """The task of X and Y = a random output of X, from p(y | x) and both marginals.

    ``draw(x, rng)`` returns one output a row, ``log_conditional(x, y)`` is log p(y | x) relative to the same
    measure as ``y.log_density`` (counting measure where Y is discrete). Nothing is checked: a wrong marginal
    makes the pointwise information wrong.
    """

    def draw_pairs(n: int, rng: np.random.Generator) -> Samples:
        inputs = x.sample(n, rng)
        return np.hstack([inputs, draw(inputs, rng)])

    def log_density(pairs: Samples) -> Float[np.ndarray, " n"]:
        inputs, outputs = pairs[:, : x.dim], pairs[:, x.dim :]
        return x.log_density(inputs) + log_conditional(inputs, outputs)

    joint = ExplicitLaw(x.dim + y.dim, draw_pairs, log_density)
    return Task(name=name, joint=joint, x=x, y=y, mutual_information=truth)


def one_neuron_task(weight: float = 1.0, *, bias: float = 0.0, std: float = 0.1) -> Task:
    r"""X uniform on {−3, −1, 1, 3}, T = tanh(wX + b) + N(0, σ²): the channel of one noisy neuron [1].

    I(X; T) = h(T) − ½ log(2πeσ²), at most log 4 nats, h(T) of a mixture of four Gaussians by quadrature. As w grows
    from 0 the information rises to log 4 when σ is small, and falls to log 2 at b = 0 once the neuron saturates
    and only the sign of X is left. Raises ParameterError unless std is positive.

    References
    ----------
    [1] Goldfeld, van den Berg, Greenewald, Melnyk, Nguyen, Kingsbury & Polyanskiy (2019). Estimating Information
        Flow in Deep Neural Networks. ICML.

    >>> print(f"{one_neuron_task(50.0, std=0.01).mutual_information.value:.10f}")
    0.6931471806
    """
    require_positive("std", std)
    inputs = FiniteLaw(np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.full(4, 0.25))
    outputs = GaussianMixture.isotropic(np.tanh(weight * inputs.points + bias), std**2)
    noise_entropy = 0.5 * (LOG_2PI + 1) + float(np.log(std))

    def truth() -> Estimate:
        total = outputs.entropy_by_quadrature()
        rounding = 8 * float(np.finfo(float).eps) * max(1.0, abs(noise_entropy))
        return Estimate(
            value=total.value - noise_entropy, standard_error=total.standard_error + rounding, n=total.n,
            bias=Bias.UNBIASED, method="quadrature",
        )  # fmt: skip

    def log_conditional(x: Samples, t: Samples) -> Float[np.ndarray, " n"]:
        residual = (t - np.tanh(weight * x + bias))[:, 0] / std
        return -0.5 * (residual**2 + LOG_2PI) - float(np.log(std))

    return channel_task(
        name=f"one neuron, w={weight:g}, b={bias:g}, σ={std:g}", x=inputs, y=outputs,
        draw=lambda x, rng: np.tanh(weight * x + bias) + std * rng.standard_normal(x.shape),
        log_conditional=log_conditional, truth=LazyTruth(truth, "quadrature"),
    )  # fmt: skip


def discrete_uniform_task(m: int) -> Task:
    """X uniform on {0, ..., m−1}, Y uniform on [X, X+2] given X: a discrete variable and a continuous one [1].

    I = log m − (1 − 1/m) log 2 nats, exact: inside, two values of X are equally likely given Y; at the ends, one.
    Raises ParameterError for m < 1.

    References
    ----------
    [1] Gao, Kannan, Oh & Viswanath (2017). Estimating Mutual Information for Discrete-Continuous Mixtures. NeurIPS.

    >>> print(f"{discrete_uniform_task(5).mutual_information.value:.6f}")
    1.054920
    """
    require_count("m", m)
    inputs = FiniteLaw(np.arange(m, dtype=float)[:, None], np.full(m, 1 / m))

    def covering(y: Samples) -> Float[np.ndarray, " n"]:
        """How many inputs reach y, as a float."""
        return ((y >= inputs.points.T) & (y <= inputs.points.T + 2)).sum(axis=1).astype(float)

    def log_marginal(y: Samples) -> Float[np.ndarray, " n"]:
        with np.errstate(divide="ignore"):
            return np.log(covering(y) / (2 * m))

    def draw(x: Samples, rng: np.random.Generator) -> Samples:
        return x + rng.uniform(0, 2, size=x.shape)

    def log_conditional(x: Samples, y: Samples) -> Float[np.ndarray, " n"]:
        return np.where(((y >= x) & (y <= x + 2))[:, 0], -np.log(2), -np.inf)

    outputs = ExplicitLaw(1, lambda n, rng: draw(inputs.sample(n, rng), rng), log_marginal)
    value = float(np.log(m) - (1 - 1 / m) * np.log(2))
    return channel_task(
        name=f"discrete uniform, m={m}", x=inputs, y=outputs, draw=draw, log_conditional=log_conditional,
        truth=exact(value, "closed form"),
    )  # fmt: skip


def zero_inflated_poisson_task(p: float = 0.15) -> Task:
    r"""X ~ Exp(1); Y = 0 with probability p, else Y ~ Poisson(X): counts with drop-outs [1].

    With :math:`P_0 = P(Y=0) = (1+p)/2`, :math:`S = \sum_k 2^{-k}\log k` and Euler's γ, exactly

    .. math:: I = -P_0\log P_0 - \frac{(1-p^2)/4 + \tfrac12 p^2\log p}{1-p}
                  + (1-p)\bigl(\tfrac32\log 2 + \tfrac14 - \gamma - S\bigr),

    from H(Y) − H(Y | X) with Y geometric apart from the inflated zero: 0.2298 nats at p = 0.15.

    The literature since [1] prints (1−p)(2 log 2 − γ − S), 0.2561 at p = 0.15. That is I(X; Y | B) with B the
    switch that chooses between zero and the count, for it is the information at p = 0 in the fraction 1−p of draws
    that count. But B is not seen: Y = 0 mixes both causes, and as B is independent of X,
    I(X; Y) = I(X; Y | B) − I(X; B | Y), strictly less unless p = 0. The numbers agree only there (0.3012).

    Raises LawError unless 0 ≤ p < 1.

    References
    ----------
    [1] Gao, Kannan, Oh & Viswanath (2017). Estimating Mutual Information for Discrete-Continuous Mixtures. NeurIPS.

    >>> print(f"{zero_inflated_poisson_task(0.15).mutual_information.value:.6f}")
    0.229776
    """
    from scipy.special import gammaln

    if not 0 <= p < 1:
        raise LawError(f"p: expected a probability in [0, 1), got {p}")
    inputs = ExplicitLaw(
        1, lambda n, rng: rng.exponential(size=(n, 1)), lambda x: np.where(x[:, 0] >= 0, -x[:, 0], -np.inf)
    )

    def mixed(log_count: Float[np.ndarray, " n"], y: Samples) -> Float[np.ndarray, " n"]:
        """log of p·[y = 0] + (1−p)·exp(log_count)."""
        zero = np.log(p) if p else -np.inf
        log_count = np.log1p(-p) + log_count
        return np.where(y[:, 0] == 0, np.logaddexp(zero, log_count), log_count)

    def log_conditional(x: Samples, y: Samples) -> Float[np.ndarray, " n"]:
        rate, count = x[:, 0], y[:, 0]
        return mixed(count * np.log(rate) - rate - gammaln(count + 1), y)

    def draw(x: Samples, rng: np.random.Generator) -> Samples:
        return np.where(rng.random(x.shape) < p, 0.0, rng.poisson(x))

    outputs = ExplicitLaw(
        1, lambda n, rng: draw(inputs.sample(n, rng), rng), lambda y: mixed(-(y[:, 0] + 1) * np.log(2), y)
    )
    return channel_task(
        name=f"zero-inflated Poisson, p={p:g}", x=inputs, y=outputs, draw=draw, log_conditional=log_conditional,
        truth=exact(_zero_inflated_information(p), "closed form"),
    )  # fmt: skip


def _zero_inflated_information(p: float) -> float:
    """The formula of :func:`zero_inflated_poisson_task`."""
    k = np.arange(1, 80)  # 2⁻⁸⁰ log 80 is below rounding
    log_sum = float(np.log(k) @ 0.5**k)
    zero, square = (1 + p) / 2, p**2 * np.log(p) / 2 if p else 0.0
    inner = 1.5 * np.log(2) + 0.25 - np.euler_gamma - log_sum
    return float(-zero * np.log(zero) - ((1 - p**2) / 4 + square) / (1 - p) + (1 - p) * inner)
