"""Families of laws of one real variable with exact entropies; collected by a decorator, listed by scalar_families().

Every family is a standard density f with parameters of its own; ``location`` m and ``width`` w move it to
f((x − m)/w)/w, which adds log w to the entropy. The docstring of a family gives f and its entropy h (nats).
Notation: γ Euler's constant, ψ the digamma function, B the beta function, H_b = ψ(b+1) + γ.

References
----------
[1] Lazo & Rathie (1978). On the entropy of continuous probability distributions. IEEE Trans. Inf. Theory 24(1).
[2] Cover & Thomas (2006). Elements of Information Theory, ch. 8 and table 17.1.
[3] McDonald (1984). Some generalized functions for the size distribution of income. Econometrica 52(3).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import Annotated, get_type_hints

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.distributions.scalar_forms import Form, InverseGaussianForm, PowerForm, TriangularForm, VonMisesForm
from itssl.distributions.scalar_roots import LogBeta, LogBetaPrime, LogGamma, Normal
from itssl.estimate import Estimate

Positive = Annotated[float, (0.0, np.inf)]
Proportion = Annotated[float, (0.0, 1.0)]

_FAMILIES: dict[str, "ScalarFamily"] = {}


@dataclass(frozen=True)
class ScalarLaw:
    """A law of one real variable from a named family; made by calling the family.

    X = location + width·X₀ with X₀ of the family's standard form, h(X) = h(X₀) + log width nats [1, 2].

    References
    ----------
    [1] Lazo & Rathie (1978). On the entropy of continuous probability distributions. IEEE Trans. Inf. Theory 24(1).
    [2] Cover & Thomas (2006). Elements of Information Theory, table 17.1.

    >>> laplace(width=2.0).entropy
    2.38629 (exact) nats (laplace entropy)
    """

    family: str
    parameters: tuple[tuple[str, float], ...]
    location: float
    width: float
    form: Form = field(repr=False, compare=False)

    @property
    def dim(self) -> int:
        return 1

    @property
    def support(self) -> tuple[float, float]:
        """The smallest closed interval that carries the law."""
        low, high = self.form.support
        return self.location + self.width * low, self.location + self.width * high

    @property
    def entropy(self) -> Estimate:
        """h of the standard form + log width, in nats, exact."""
        return exact(self.form.entropy + float(np.log(self.width)), f"{self.family} entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, 1)."""
        return (self.location + self.width * self.form.sample(n, rng))[:, None]

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log f((x − location)/width) − log width for rows x; −inf outside the support. LawError unless x is (n, 1)."""
        if x.shape[1] != 1:
            raise LawError(f"x: expected shape (n, 1), got {x.shape}; {self.family} is a law of one variable")
        return self.form.log_density((x[:, 0] - self.location) / self.width) - np.log(self.width)

    def __repr__(self) -> str:
        shown = [*self.parameters]
        shown += [("location", self.location)] if self.location else []
        shown += [("width", self.width)] if self.width != 1 else []
        return f"{self.family}({', '.join(f'{name}={value:.6g}' for name, value in shown)})"


@dataclass(frozen=True, eq=False, repr=False)
class ScalarFamily:
    """A function from parameters to laws; ``domains`` tells for each parameter the open interval it may lie in.

    >>> gamma.domains
    mappingproxy({'shape': (0.0, inf)})
    """

    name: str
    standard: Callable[..., Form]
    domains: Mapping[str, tuple[float, float]]

    def __call__(self, *, location: float = 0.0, width: float = 1.0, **parameters: float) -> ScalarLaw:
        """The law of location + width·U, U in standard position.

        Raises LawError for a parameter that is missing, unknown or outside its domain.

        >>> gamma(shape=-1.0)
        Traceback (most recent call last):
        ...
        itssl.distributions.gaussian.LawError: shape: expected a number in (0, inf), got -1.0
        """
        if parameters.keys() != self.domains.keys():
            takes = ", ".join([*self.domains, "location", "width"])
            raise LawError(f"{self.name}: expected the parameters {takes}, got {', '.join(parameters) or 'none'}")
        domains = {**self.domains, "location": (-np.inf, np.inf), "width": (0.0, np.inf)}
        numbers = {
            name: _require_inside(name, value, domains[name])
            for name, value in {**parameters, "location": location, "width": width}.items()
        }
        location, width = numbers.pop("location"), numbers.pop("width")
        ordered = tuple((name, numbers[name]) for name in self.domains)
        return ScalarLaw(self.name, ordered, location, width, self.standard(**numbers))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.domains)})"

    @property
    def formula(self) -> str:
        """Density and entropy, as the docstring of the family gives them."""
        return inspect.getdoc(self.standard) or ""


def scalar_families() -> Mapping[str, ScalarFamily]:
    """All families by name.

    >>> scalar_families()["weibull"](shape=2.0).entropy
    0.595461 (exact) nats (weibull entropy)
    """
    return MappingProxyType(_FAMILIES)


def _require_inside(name: str, value: object, domain: tuple[float, float]) -> float:
    """value as a float; LawError unless it is a finite number inside the open interval."""
    if isinstance(value, bool) or not isinstance(value, Real) or not domain[0] < float(value) < domain[1]:
        raise LawError(f"{name}: expected a number in ({domain[0]:g}, {domain[1]:g}), got {value!r}")
    return float(value)


def _family(standard: Callable[..., Form]) -> ScalarFamily:
    """Register a function of shape parameters that returns a standard form; their domains are its annotations."""
    hints = get_type_hints(standard, include_extras=True)
    domains = {name: hints[name].__metadata__[0] for name in inspect.signature(standard).parameters}
    name = standard.__name__
    _FAMILIES[name] = ScalarFamily(name, standard, MappingProxyType(domains))
    return _FAMILIES[name]


# Powers, signs and logarithms of gamma variables


@_family
def exponential() -> PowerForm:
    """f = e^{−x}, x > 0; h = 1."""
    return PowerForm(LogGamma(1.0))


@_family
def gamma(shape: Positive) -> PowerForm:
    """f = x^{a−1}e^{−x}/Γ(a), x > 0; h = a + log Γ(a) + (1 − a)ψ(a)."""
    return PowerForm(LogGamma(shape))


@_family
def chi_squared(degrees: Positive) -> PowerForm:
    """f ∝ x^{k/2−1}e^{−x/2}, x > 0; h = k/2 + log 2Γ(k/2) + (1 − k/2)ψ(k/2)."""
    return PowerForm(LogGamma(degrees / 2), multiple=2.0)


@_family
def chi(degrees: Positive) -> PowerForm:
    """f ∝ x^{k−1}e^{−x²/2}, x > 0; h = log Γ(k/2) + ½(k − log 2 − (k − 1)ψ(k/2))."""
    return PowerForm(LogGamma(degrees / 2), power=2.0, multiple=2**0.5)


@_family
def half_normal() -> PowerForm:
    """f = √(2/π) e^{−x²/2}, x > 0; h = ½ log(πe/2)."""
    return PowerForm(LogGamma(0.5), power=2.0, multiple=2**0.5)


@_family
def rayleigh() -> PowerForm:
    """f = x e^{−x²/2}, x > 0; h = 1 + γ/2 − ½ log 2."""
    return PowerForm(LogGamma(1.0), power=2.0, multiple=2**0.5)


@_family
def maxwell() -> PowerForm:
    """f = √(2/π) x² e^{−x²/2}, x > 0; h = γ + ½ log 2π − ½."""
    return PowerForm(LogGamma(1.5), power=2.0, multiple=2**0.5)


@_family
def nakagami(shape: Positive) -> PowerForm:
    """f = 2m^m x^{2m−1}e^{−mx²}/Γ(m), x > 0; h = m + log Γ(m)/(2√m) − (m − ½)ψ(m)."""
    return PowerForm(LogGamma(shape), power=2.0, multiple=shape**-0.5)


@_family
def weibull(shape: Positive) -> PowerForm:
    """f = k x^{k−1}exp(−x^k), x > 0; h = 1 + γ(1 − 1/k) − log k."""
    return PowerForm(LogGamma(1.0), power=shape)


@_family
def generalized_gamma(shape: Positive, power: Positive) -> PowerForm:
    """f = c x^{ca−1}exp(−x^c)/Γ(a), x > 0; h = a + log Γ(a) − log c + (1/c − a)ψ(a)."""
    return PowerForm(LogGamma(shape), power=power)


@_family
def inverse_gamma(shape: Positive) -> PowerForm:
    """f = x^{−a−1}e^{−1/x}/Γ(a), x > 0; h = a + log Γ(a) − (1 + a)ψ(a)."""
    return PowerForm(LogGamma(shape), power=-1.0)


@_family
def frechet(shape: Positive) -> PowerForm:
    """f = k x^{−k−1}exp(−x^{−k}), x > 0; h = 1 + γ(1 + 1/k) − log k."""
    return PowerForm(LogGamma(1.0), power=-shape)


@_family
def levy() -> PowerForm:
    """f = (2π)^{−½} x^{−3/2} e^{−1/(2x)}, x > 0; h = ½(1 + 3γ + log 16π)."""
    return PowerForm(LogGamma(0.5), power=-1.0, multiple=0.5)


@_family
def laplace() -> PowerForm:
    """f = ½ e^{−|x|}; h = 1 + log 2."""
    return PowerForm(LogGamma(1.0), chart="two_sided")


@_family
def generalized_normal(power: Positive) -> PowerForm:
    """f = β exp(−|x|^β)/(2Γ(1/β)); h = 1/β + log(2Γ(1/β)/β)."""
    return PowerForm(LogGamma(1 / power), power=power, chart="two_sided")


@_family
def double_gamma(shape: Positive) -> PowerForm:
    """f = |x|^{a−1}e^{−|x|}/(2Γ(a)); h = a + log 2Γ(a) + (1 − a)ψ(a)."""
    return PowerForm(LogGamma(shape), chart="two_sided")


@_family
def gumbel() -> PowerForm:
    """f = exp(−x − e^{−x}), the law of maxima; h = 1 + γ."""
    return PowerForm(LogGamma(1.0), power=-1.0, chart="log")


@_family
def log_gamma(shape: Positive) -> PowerForm:
    """f = exp(a x − e^x)/Γ(a), the logarithm of a gamma variable; h = log Γ(a) + a(1 − ψ(a))."""
    return PowerForm(LogGamma(shape), chart="log")


# The normal law and its exponential


@_family
def normal() -> PowerForm:
    """f = (2π)^{−½} e^{−x²/2}; h = ½ log 2πe."""
    return PowerForm(Normal(), chart="log")


@_family
def log_normal(log_std: Positive) -> PowerForm:
    """f = exp(−log²x/(2s²))/(x s√2π), x > 0; h = ½ log 2πe + log s (a width e^μ adds μ)."""
    return PowerForm(Normal(), power=1 / log_std)


# Powers and signs of beta variables


@_family
def uniform() -> PowerForm:
    """f = 1 on [0, 1]; h = 0."""
    return PowerForm(LogBeta(1.0, 1.0))


@_family
def beta(a: Positive, b: Positive) -> PowerForm:
    """f = x^{a−1}(1 − x)^{b−1}/B(a, b), 0 < x < 1; h = log B(a, b) − (a−1)ψ(a) − (b−1)ψ(b) + (a+b−2)ψ(a+b)."""
    return PowerForm(LogBeta(a, b))


@_family
def arcsine() -> PowerForm:
    """f = 1/(π√(x(1 − x))), 0 < x < 1; h = log(π/4)."""
    return PowerForm(LogBeta(0.5, 0.5))


@_family
def kumaraswamy(a: Positive, b: Positive) -> PowerForm:
    """f = ab x^{a−1}(1 − x^a)^{b−1}, 0 < x < 1; h = 1 − 1/b + (1 − 1/a)H_b − log ab."""
    return PowerForm(LogBeta(1.0, b), power=a)


@_family
def power_function(shape: Positive) -> PowerForm:
    """f = a x^{a−1}, 0 < x < 1; h = 1 − 1/a − log a."""
    return PowerForm(LogBeta(shape, 1.0))


@_family
def pareto(shape: Positive) -> PowerForm:
    """f = a x^{−a−1}, x > 1; h = 1 + 1/a − log a."""
    return PowerForm(LogBeta(shape, 1.0), power=-1.0)


@_family
def semicircle() -> PowerForm:
    """f = (2/π)√(1 − x²), |x| < 1; h = log π − ½."""
    return PowerForm(LogBeta(0.5, 1.5), power=2.0, chart="two_sided")


# Powers, signs and logarithms of ratios of gamma variables


@_family
def beta_prime(a: Positive, b: Positive) -> PowerForm:
    """f = x^{a−1}(1 + x)^{−a−b}/B(a, b), x > 0; h = log B(a, b) − (a−1)ψ(a) − (b+1)ψ(b) + (a+b)ψ(a+b)."""
    return PowerForm(LogBetaPrime(a, b))


@_family
def fisher_f(degrees_above: Positive, degrees_below: Positive) -> PowerForm:
    """Ratio of two mean squares: k₂/k₁ times beta_prime(k₁/2, k₂/2); h = its h + log(k₂/k₁)."""
    return PowerForm(LogBetaPrime(degrees_above / 2, degrees_below / 2), multiple=degrees_below / degrees_above)


@_family
def log_logistic(shape: Positive) -> PowerForm:
    """f = k x^{k−1}(1 + x^k)^{−2}, x > 0; h = 2 − log k."""
    return PowerForm(LogBetaPrime(1.0, 1.0), power=shape)


@_family
def burr(power: Positive, shape: Positive) -> PowerForm:
    """f = ck x^{c−1}(1 + x^c)^{−k−1}, x > 0 (type XII); h = 1 + 1/k − log ck + (1/c − 1)(−γ − ψ(k))."""
    return PowerForm(LogBetaPrime(1.0, shape), power=power)


@_family
def lomax(shape: Positive) -> PowerForm:
    """f = a(1 + x)^{−a−1}, x > 0; h = 1 + 1/a − log a."""
    return PowerForm(LogBetaPrime(1.0, shape))


@_family
def student(degrees: Positive) -> PowerForm:
    """f ∝ (1 + x²/ν)^{−(ν+1)/2}; h = ((ν+1)/2)(ψ((ν+1)/2) − ψ(ν/2)) + log √ν B(ν/2, ½)."""
    return PowerForm(LogBetaPrime(0.5, degrees / 2), power=2.0, multiple=degrees**0.5, chart="two_sided")


@_family
def cauchy() -> PowerForm:
    """f = 1/(π(1 + x²)); h = log 4π."""
    return PowerForm(LogBetaPrime(0.5, 0.5), power=2.0, chart="two_sided")


@_family
def logistic() -> PowerForm:
    """f = e^{−x}/(1 + e^{−x})²; h = 2."""
    return PowerForm(LogBetaPrime(1.0, 1.0), chart="log")


@_family
def generalized_logistic(a: Positive, b: Positive) -> PowerForm:
    """f = e^{ax}(1 + e^x)^{−a−b}/B(a, b); h = log B(a, b) + (a+b)ψ(a+b) − aψ(a) − bψ(b)."""
    return PowerForm(LogBetaPrime(a, b), chart="log")


@_family
def hyperbolic_secant() -> PowerForm:
    """f = 1/(π cosh x), the logarithm of a positive Cauchy variable; h = log 2π."""
    return PowerForm(LogBetaPrime(0.5, 0.5), power=2.0, chart="log")


# Laws of their own


@_family
def triangular(mode: Proportion) -> TriangularForm:
    """f rises linearly to the mode c and falls to 1; h = ½ − log 2 for every c."""
    return TriangularForm(mode)


@_family
def inverse_gaussian(mean: Positive) -> InverseGaussianForm:
    """f = (2πx³)^{−½} exp(−(x − m)²/(2m²x)), x > 0; h = ½ log 2πe + (3/2)(log m − e^{2/m}E₁(2/m))."""
    return InverseGaussianForm(mean)


@_family
def von_mises(concentration: Positive) -> VonMisesForm:
    """f = exp(κ cos x)/(2πI₀(κ)), |x| ≤ π; h = log 2πI₀(κ) − κI₁(κ)/I₀(κ)."""
    return VonMisesForm(concentration)
