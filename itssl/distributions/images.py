"""Images of laws under injective maps: density by change of variables, entropy by the mean log volume change."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.distributions.maps import Map
from itssl.distributions.products import short_repr, total
from itssl.estimate import Bias, Estimate

_CUTS = (1e-3, 0.05, 0.25, 0.5, 0.75, 0.95, 1 - 1e-3)
_REACH = 6.0  # of the double-exponential rule: nodes between e^{−317} and e^{317}


def expectation_on_line(law: Law, function: Callable[[Samples], Float[np.ndarray, " n"]]) -> Estimate:
    """E function(X) for a law on the line by double-exponential quadrature [1]; the last change is its error.

    The line is cut at 0 (where maps have their kinks and poles) and at quantiles of draws with a fixed seed.
    Raises LawError when the law is not on the line or the quadrature does not settle, account for the whole mass, or
    reach far enough: heavy tails, edges of a support the law does not tell.

    References
    ----------
    [1] Takahasi & Mori (1974). Double exponential formulas for numerical integration. Publ. RIMS 9(3).

    >>> from itssl.distributions.gaussian import Gaussian
    >>> print(f"{expectation_on_line(Gaussian.standard(1), lambda x: x[:, 0] ** 2).value:.9f}")
    1.000000000
    """
    if law.dim != 1:
        raise LawError(f"law: expected a law on the line, got dimension {law.dim}")
    estimate = _line_integral(law, function)
    if estimate is None:
        raise LawError(f"law: the expectation under {short_repr(law)} did not settle by quadrature; use monte_carlo")
    return estimate


def _line_integral(law: Law, function: Callable[[Samples], Float[np.ndarray, " n"]]) -> Estimate | None:
    """E function(X) by refining the rule until it settles; None where it does not."""
    low, high = getattr(law, "support", (-np.inf, np.inf))
    cuts = [0.0, *np.quantile(law.sample(2**12, stream(0, "cuts"))[:, 0], _CUTS)]
    edges = [low, *sorted({float(c) for c in cuts if low < c < high}), high]
    last = np.inf
    for step in 2.0 ** -np.arange(4, 10):
        value, mass, beyond = _apply_rule(law, function, edges, step)
        change, last = abs(value - last), value
        if change <= 1e-12 * max(1.0, abs(value)):
            error = change + abs(mass - 1) * max(1.0, abs(value))
            settled = abs(mass - 1) < 1e-6 and beyond < 1e-9
            estimate = Estimate(value=value, standard_error=error, n=0, bias=Bias.UNBIASED, method="quadrature")
            return estimate if settled else None
    return None


def _apply_rule(
    law: Law, function: Callable[[Samples], Float[np.ndarray, " n"]], edges: list[float], step: float
) -> tuple[float, float, float]:
    """The integral, the mass, and the largest contribution from beyond 1e100, which a tail too heavy still makes."""
    rules = [_rule(a, b, step) for a, b in pairwise(edges)]
    x, log_weights = np.concatenate([rule[0] for rule in rules]), np.concatenate([rule[1] for rule in rules])
    log_mass = law.log_density(x[:, None]) + log_weights
    carried = log_mass > -690  # e^{−690}: anything below cannot matter, and functions may overflow there
    x, mass = x[carried], np.exp(log_mass[carried])
    terms = mass * function(x[:, None])
    return float(terms.sum()), float(mass.sum()), float(np.abs(terms[np.abs(x) > 1e100]).max(initial=0.0))


def _rule(low: float, high: float, step: float) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nodes and log weights between two ends: tanh-sinh for a piece, exp-sinh for a half-line."""
    t = np.arange(-_REACH, _REACH + step / 2, step)
    s = np.pi / 2 * np.sinh(t)
    log_slope = np.log(step * np.pi / 2 * np.cosh(t))
    if np.isfinite(low) and np.isfinite(high):
        log_cosh = np.logaddexp(s, -s) - np.log(2)
        from_end = np.exp(-np.abs(s) - log_cosh) / 2  # each node from its nearer end
        x = np.where(t < 0, low + (high - low) * from_end, high - (high - low) * from_end)
        return x, log_slope + np.log((high - low) / 2) - 2 * log_cosh
    away = np.exp(s)
    return (low + away, log_slope + s) if np.isfinite(low) else (high - away, log_slope + s)


def expected_log_volume(law: Law, image: Map) -> Estimate:
    """E log volume change of the map under the law, in nats.

    Exact where it is constant; quadrature on the line, and in each coordinate of a separable map when the law
    knows its marginals; else, or where quadrature does not settle, 2¹⁷ Monte-Carlo draws with a fixed seed.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.distributions.maps import elementwise
    >>> print(f"{expected_log_volume(Gaussian.standard(3), elementwise('normal_cdf')).value:.6f}")  # −h(N(0, I))
    -4.256816
    """
    if image.constant_volume:
        point = law.sample(1, stream(0, "constant volume"))
        return exact(float(image.log_volume_change(point)[0]), "constant volume change")
    marginal = getattr(law, "marginal", None)
    lines: list[Law] = []
    if marginal is not None and (image.separable or law.dim == 1):
        lines = [marginal([i]) for i in range(law.dim)]
    elif law.dim == 1:
        lines = [law]
    parts = [_line_integral(line, image.log_volume_change) for line in lines]
    settled = [part for part in parts if part is not None]
    if lines and len(settled) == len(lines):
        return total(settled, "quadrature")
    return monte_carlo(lambda n, rng: image.log_volume_change(law.sample(n, rng)), stream(0, "expected log volume"))


@dataclass(frozen=True, eq=False)
class Image:
    """The law of T(X) on R^d for X of a law on R^d and T injective: h(T(X)) = h(X) + E log|det J_T(X)| [1].

    Raises LawError when the dimensions do not fit or T adds dimensions (its image has no density then; see
    :class:`~itssl.distributions.manifolds.Embedded`).

    References
    ----------
    [1] Dinh, Krueger & Bengio (2015). NICE: Non-linear Independent Components Estimation. ICLR workshop. (The change of
        variables of a density.)

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.distributions.maps import spiral_map
    >>> print(f"{Image(Gaussian.standard(2), spiral_map(2)).entropy.value:.6f}")
    2.837877
    """

    law: Law
    map: Map

    def __post_init__(self) -> None:
        require_domain(self.law, self.map)
        if self.map.raises:
            raise LawError(f"map: expected one that keeps the dimension, got {self.map}; use pushforward_law")

    @property
    def dim(self) -> int:
        return self.law.dim

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return self.map(self.law.sample(n, rng))

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p(T⁻¹(x)) − log|det J_T(T⁻¹(x))| for each row of x; −inf where x is no image."""
        origin = self.map.inverse(x)
        inside = np.isfinite(origin).all(axis=1)
        values = np.full(len(x), -np.inf)
        log_p = self.law.log_density(origin[inside])
        log_volume = self.map.log_volume_change(origin[inside])
        values[inside] = np.where(log_p == -np.inf, -np.inf, log_p - np.where(log_p == -np.inf, 0.0, log_volume))
        return values

    @property
    def entropy(self) -> Estimate:
        """h(X) + E log|det J_T(X)| in nats, with the error of :func:`expected_log_volume`."""
        return self._entropy

    @cached_property
    def _entropy(self) -> Estimate:
        return total([self.law.entropy, expected_log_volume(self.law, self.map)], "entropy of an image")

    def __repr__(self) -> str:
        return f"Image({short_repr(self.law)}, {self.map.name})"


def require_domain(law: Law, image: Map) -> None:
    """Raise LawError unless the map takes points in the dimension of the law."""
    if image.dim not in (None, law.dim):
        raise LawError(f"map: expected a map of R^{law.dim} as the law is on, got {image} of R^{image.dim}")
