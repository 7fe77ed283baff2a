"""Kullback–Leibler divergences between scalar laws, in closed form where one is known."""

from collections.abc import Callable

import numpy as np

from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.distributions.scalar_families import ScalarLaw
from itssl.distributions.scalar_forms import InverseGaussianForm, PowerForm, VonMisesForm, power_cross_entropy
from itssl.estimate import Estimate
from itssl.kernels.linalg import LOG_2PI


def kl_divergence(p: ScalarLaw, q: ScalarLaw) -> Estimate:
    r"""D(P‖Q) = −h(P) − E_P log q in nats; infinite where P leaves the support of Q or E_P log q = −∞.

    Closed for powers of a gamma variable or log-normal laws as Q and any power of a root law as P on the same
    location (so also between families, e.g. Weibull and gamma), for normal, logistic-type, Gumbel, Laplace, Cauchy [1]
    and uniform laws as their docstrings' parameters allow, beta laws, inverse Gaussian and von Mises laws [2, 3].

    Raises LawError when no closed form is known; use :func:`~itssl.distributions.law.monte_carlo` on the log ratio.

    References
    ----------
    [1] Chyzak & Nielsen (2019). A closed-form formula for the Kullback–Leibler divergence between Cauchy
        distributions. arXiv:1905.10965.
    [2] Gil, Alajaji & Linder (2013). Rényi divergence measures for commonly used univariate continuous
        distributions. Information Sciences 249.
    [3] Cover & Thomas (2006). Elements of Information Theory, ch. 8.

    >>> from itssl.distributions.scalar_families import exponential
    >>> print(f"{kl_divergence(exponential(width=2.0), exponential()).value:.6f}")  # 1 − log 2
    0.306853
    """
    value = 0.0 if p == q else _cross_entropy(p, q)
    if value is None:
        raise LawError(f"q: expected a law with a closed divergence from {p}, got {q}; use monte_carlo")
    if p != q:
        value -= p.entropy.value
    return exact(value, f"KL divergence of {p.family} from {q.family}")


def _cross_entropy(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """−E_P log q in nats; None where no closed form is known."""
    if p.support[0] < q.support[0] or p.support[1] > q.support[1]:
        return np.inf
    value = _special_case(p, q)
    if value is None and isinstance(p.form, PowerForm) and isinstance(q.form, PowerForm):
        shift, ratio = (p.location - q.location) / q.width, p.width / q.width
        value = power_cross_entropy(p.form, q.form, shift=shift, ratio=ratio)
        return None if value is None else value + float(np.log(q.width))
    return value


def _special_case(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """Pairs whose locations may differ, and the forms that are no power of a root law."""
    special: dict[str, Callable[[ScalarLaw, ScalarLaw], float | None]] = {
        "uniform": _to_uniform,
        "exponential": _to_exponential,
        "laplace": _laplace,
        "cauchy": _cauchy,
        "inverse_gaussian": _inverse_gaussian,
        "von_mises": _von_mises,
    }
    return special[q.family](p, q) if q.family in special else None


def _to_uniform(p: ScalarLaw, q: ScalarLaw) -> float:
    """log width, whatever law inside the interval p is."""
    return float(np.log(q.width))


def _to_exponential(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """log w + (E X − location)/w for positive powers with finite mean."""
    if not isinstance(p.form, PowerForm) or p.form.chart != "positive":
        return None
    mean = p.location + p.width * p.form.multiple * float(np.exp(p.form.root.log_moment(1 / p.form.power)))
    return float(np.log(q.width)) + (mean - q.location) / q.width


def _laplace(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """log 2w + (|δ| + w_p e^{−|δ|/w_p})/w, δ the difference of the locations."""
    if p.family != "laplace":
        return None
    away = abs(p.location - q.location)
    return float(np.log(2 * q.width) + (away + p.width * np.exp(-away / p.width)) / q.width)


def _cauchy(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """log π((w_p + w_q)² + δ²)/w_q."""
    if p.family != "cauchy":
        return None
    return float(2 * np.log(np.hypot(p.width + q.width, p.location - q.location)) + np.log(np.pi / q.width))


def _inverse_gaussian(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """−E log q is linear in E log X, E X = m w and E 1/X = (1/m + 1)/w."""
    if p.location != q.location or not isinstance(p.form, InverseGaussianForm):
        return None
    assert isinstance(q.form, InverseGaussianForm)
    m, wide = q.form.mean, p.width / q.width  # X/w_q = wide·U
    mean_log = p.form.mean_log + float(np.log(wide))
    mean, mean_inverse = p.form.mean * wide, (1 / p.form.mean + 1) / wide
    return float(np.log(q.width)) + 0.5 * LOG_2PI + 1.5 * mean_log + (mean / m**2 - 2 / m + mean_inverse) / 2


def _von_mises(p: ScalarLaw, q: ScalarLaw) -> float | None:
    """log 2πI₀(κ_q) − κ_q A(κ_p), on one interval."""
    if (p.location, p.width) != (q.location, q.width) or not isinstance(p.form, VonMisesForm):
        return None
    assert isinstance(q.form, VonMisesForm)
    return float(np.log(q.width)) + q.form.log_normalizer + q.form.concentration * (1 - p.form.mean_cosine)
