"""The log-determinant seen through noise: LogDet as an entropy, and how far it is from the Gaussian one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.mixture_entropy_bounds import mixture_entropy
from itssl.claims.worlds import digits_output_mixture, random_covariance, random_mixture
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.mixture import GaussianMixture
from itssl.estimators.log_determinant import LogDet, logdet_capacity, logdet_entropy
from itssl.kernels.linalg import LOG_2PI, covariance
from itssl.kernels.roots import root_between

DRAWS = 512
ROUNDING = FloatingPoint(ulps=64, condition=1e3)
"""Log-determinants of matrices of condition number 1e3 at most, by two routes."""


@dataclass(frozen=True, kw_only=True)
class Noisy:
    """A law of Z on R^K, and the precision β of the noise N(0, I/β) it is seen through."""

    law: Gaussian | GaussianMixture
    beta: float
    draws: int = DRAWS

    @property
    def dim(self) -> int:
        return self.law.dim

    @cached_property
    def noisy(self) -> Gaussian | GaussianMixture:
        """The law of Z + N(0, I/β)."""
        noise = np.eye(self.dim) / self.beta
        if isinstance(self.law, Gaussian):
            return Gaussian(self.law.mean, self.law.cov + noise)
        return GaussianMixture(self.law.weights, self.law.means, self.law.covs + noise)

    @cached_property
    def cov(self) -> Float[np.ndarray, "K K"]:
        return self.law.cov

    @cached_property
    def variances(self) -> Float[np.ndarray, " K"]:
        """Eigenvalues of the covariance."""
        return np.linalg.eigvalsh(self.cov)

    def entropy(self, rng: np.random.Generator, *, noisy: bool = False) -> float:
        """h(Z) or h(Z + noise): exact for a Gaussian, a Monte-Carlo mean for a mixture."""
        law = self.noisy if noisy else self.law
        return law.entropy.value if isinstance(law, Gaussian) else mixture_entropy(law, rng, draws=self.draws)

    def logdet(self, beta: float | None = None) -> float:
        """½ log((2πe)^K |Σ + I/β|); with β = ∞ the Gaussian entropy."""
        return _entropy(self.cov + np.eye(self.dim) / (self.beta if beta is None else beta))

    @property
    def gaussian(self) -> float:
        return self.logdet(np.inf)

    @property
    def hadamard(self) -> float:
        """½ Σ log(2πe Σ_kk)."""
        return _entropy(np.diag(np.diag(self.cov)))

    def capacity(self, beta: float) -> float:
        """½ log|I + βΣ|."""
        return float(np.log1p(beta * self.variances).sum()) / 2

    @property
    def log_correlation(self) -> float:
        """−log|R|."""
        return 2 * (self.hadamard - self.gaussian)

    @property
    def enough(self) -> float:
        """β = tr Σ⁻¹/(−log|R|), from which on LogDet is below Hadamard's sum."""
        return float((1 / self.variances).sum()) / self.log_correlation

    @property
    def crossing(self) -> float:
        """The β at which both are equal."""
        log_beta = root_between(
            lambda t: self.logdet(float(np.exp(t))) - self.hadamard, -40.0, float(np.log(self.enough)) + 1e-6
        )
        return float(np.exp(log_beta))


def _entropy(cov: Float[np.ndarray, "K K"]) -> float:
    """½ log((2πe)^K |Σ|)."""
    return 0.5 * (len(cov) * (LOG_2PI + 1) + float(np.linalg.slogdet(cov)[1]))


Draw: TypeAlias = Callable[[np.random.Generator], Noisy]


def _gaussian(k: int, *, condition: float, beta: float, scale: float = 1.0) -> Draw:
    """Gaussian laws in random directions, drawn anew in each replicate; the largest variance is ``scale``."""

    def draw(rng: np.random.Generator) -> Noisy:
        cov = scale * random_covariance(k, rng, condition=condition)
        return Noisy(law=Gaussian(rng.standard_normal(k), cov), beta=beta)

    return draw


def _always(law: GaussianMixture, *, beta: float, draws: int = DRAWS) -> Draw:
    seen = Noisy(law=law, beta=beta, draws=draws)
    return lambda _: seen


def _two_components() -> GaussianMixture:
    return GaussianMixture.isotropic(np.array([[-2.0, -1.0], [2.0, 1.0]]), 1.0)


LITTLE_NOISE = World(
    name="Gaussian in R^8, condition 100, β = 1e6",
    make=lambda: _gaussian(8, condition=100.0, beta=1e6),
    tolerance=ROUNDING,
)
NEARLY_ISOTROPIC = World(
    name="Gaussian in R^8, condition 1.1, β = 1",
    make=lambda: _gaussian(8, condition=1.1, beta=1.0),
    tolerance=ROUNDING,
)
TWO = World(name="two components in the plane, β = 10", make=lambda: _always(_two_components(), beta=10.0))
FAINT_AND_LOUD = World(
    name="N(0, Σ) seen at β = 100 against N(0, 4Σ) at β = 1, condition 10 in R^8",
    make=lambda: (_gaussian(8, condition=10.0, beta=100.0), _gaussian(8, condition=10.0, beta=1.0, scale=4.0)),
    tolerance=ROUNDING,
)


@claim(
    "C31",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=LogDet.REFERENCE,
    formula=r"h(Z) \le \frac{1}{2} \log\left((2\pi e)^K \lvert\Sigma\rvert\right)"
    r" \le \frac{1}{2} \log\lvert I + \beta\Sigma\rvert + \frac{K}{2} \log\frac{2\pi e}{\beta}",
    uses=("C17", "C18"),
    worlds=(
        LITTLE_NOISE,
        NEARLY_ISOTROPIC,
        TWO,
        World(
            name="50 narrow components in R^8, β = 100",
            make=lambda: _always(random_mixture(50, 8, 0, std=1e-2), beta=100.0),
        ),
        World(
            name="output law of the digits encoder, output noise 0.1, β = 100",
            make=lambda: _always(digits_output_mixture(), beta=100.0, draws=100),
            level="default",
        ),
    ),
)
def log_det_entropy_is_above_the_gaussian(world: Draw, rng: np.random.Generator) -> Sides:
    r"""h(Z) ≤ ½ log((2πe)^K |Σ|) ≤ LogDet(β) = ½ log|I+βΣ| + (K/2) log(2πe/β), the Gaussian entropy of Z + N(0, I/β).

    Its excess over the Gaussian entropy is ½ Σ log(1 + 1/(βλ_k)), λ the eigenvalues of Σ: at least
    (K/2) log(1 + 1/(β|Σ|^{1/K})), at most (K/2) log(1 + tr Σ⁻¹/(Kβ)), both equal iff Σ is a multiple of I, and 0 only
    as β → ∞. So LogDet is never the tighter of the two; it is tighter than Hadamard's ½ Σ log(2πe Σ_kk) at large β,
    surely from tr Σ⁻¹/(−log|R|) on, R the correlations. It falls as β grows while ½ log|I+βΣ| rises, by up to (K/2) log
    of the ratio of the β: such numbers do not compare as they are. On n draws E LogDet is at most that of Σ, log|·|
    being concave, and bounds no h.

    Gaussian laws by closed forms, with rows for the conversion ½ log|I+βĈ| ↔ LogDet; mixtures by Monte Carlo.
    """
    seen = world(rng)
    k, beta = seen.dim, seen.beta
    h, h_noisy, gaussian, logdet = seen.entropy(rng), seen.entropy(rng, noisy=True), seen.gaussian, seen.logdet()
    excess, converted = logdet - gaussian, k / 2 * (LOG_2PI + 1 - float(np.log(beta)))
    geometric = float(np.exp(np.log(seen.variances).mean()))
    rows = seen.law.sample(seen.draws if isinstance(seen.law, GaussianMixture) else 4 * k, rng)
    of_rows, as_published = float(logdet_entropy(rows, ridge=1 / beta)), float(logdet_capacity(rows, beta=beta))
    sides = {
        "h ≤ Gaussian": (h, gaussian),
        "h ≤ h(Z + noise)": (h, h_noisy),
        "h(Z + noise) ≤ LogDet": (h_noisy, logdet),
        "(K/2) log(1 + 1/(β|Σ|^{1/K})) ≤ excess": (k / 2 * float(np.log1p(1 / (beta * geometric))), excess),
        "excess ≤ (K/2) log(1 + tr Σ⁻¹/(Kβ))": (excess, k / 2 * float(np.log1p((1 / seen.variances).mean() / beta))),
        "LogDet at 10β ≤ at β": (seen.logdet(10 * beta), logdet),
        "½ log|I+βΣ| at β ≤ at 10β": (seen.capacity(beta), seen.capacity(10 * beta)),
        "LogDet ≤ Hadamard at tr Σ⁻¹/(−log|R|)": (seen.logdet(seen.enough), seen.hadamard),
        "½ log|I+βĈ| + (K/2) log(2πe/β) ≤ LogDet of rows": (as_published + converted, of_rows),
        "… and ≥": (of_rows, as_published + converted),
    }
    if isinstance(seen.law, GaussianMixture):
        sides["E LogDet of rows ≤ LogDet"] = of_rows, logdet
    left, right = zip(*sides.values(), strict=True)
    measured = {
        "h": h, "Gaussian": gaussian, "LogDet": logdet, "Hadamard": seen.hadamard, "½ log|I+βΣ|": seen.capacity(beta),
        "β from which LogDet is below Hadamard": seen.crossing,
    }  # fmt: skip
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


_logdet = log_det_entropy_is_above_the_gaussian


@_logdet.control("a tighter upper bound than the Gaussian's log-determinant", world=NEARLY_ISOTROPIC)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.logdet(), right=seen.gaussian)


@_logdet.control("tighter than Hadamard's sum at every β", world=NEARLY_ISOTROPIC)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.logdet(), right=seen.hadamard)


@_logdet.control("½ log|I+βΣ| at two β ranks entropies", world=FAINT_AND_LOUD)
def _(world: tuple[Draw, Draw], rng: np.random.Generator) -> Sides:
    faint, loud = (draw(rng) for draw in world)
    published = faint.capacity(faint.beta), loud.capacity(loud.beta)
    entropies = faint.gaussian, loud.gaussian
    names = "½ log|I+βΣ|, Σ at β = 100", "½ log|I+βΣ|, 4Σ at β = 1", "h, Σ", "h, 4Σ"
    return Sides(
        left=0.0,
        right=(published[0] - published[1]) * (entropies[0] - entropies[1]),
        parts=("the differences agree in sign",),
        measured=dict(zip(names, published + entropies, strict=True)),
    )


@_logdet.control("½ log|I+βΣ| does not move with β")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.capacity(10 * seen.beta), right=seen.capacity(seen.beta))


@_logdet.control("½ log|I+βΣ| as it is, at small β", world=NEARLY_ISOTROPIC)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.capacity(seen.beta))


@_logdet.control("conversion with 2π for 2πe")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng), right=seen.logdet() - seen.dim / 2)


@_logdet.control("excess twice as large", world=NEARLY_ISOTROPIC)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    geometric = float(np.exp(np.log(seen.variances).mean()))
    return Sides(left=seen.dim * float(np.log1p(1 / (seen.beta * geometric))), right=seen.logdet() - seen.gaussian)


@_logdet.control("excess with tr Σ for tr Σ⁻¹")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    wrong = seen.dim / 2 * float(np.log1p(seen.variances.mean() / seen.beta))
    return Sides(left=seen.logdet() - seen.gaussian, right=wrong)


@_logdet.control("LogDet of 12 draws in R^8 bounds h")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    rows = seen.law.sample(seen.dim + 4, rng)
    return Sides(left=seen.entropy(rng), right=float(logdet_entropy(rows, ridge=1 / seen.beta)))


@_logdet.control("within-component covariance for the total", world=TWO)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    assert isinstance(seen.law, GaussianMixture)
    within = np.einsum("m,mij->ij", seen.law.weights, seen.law.covs) + np.eye(seen.dim) / seen.beta
    return Sides(left=seen.entropy(rng), right=_entropy(within))


@_logdet.control("uncentered second moments give no larger LogDet", world=NEARLY_ISOTROPIC)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    rows: Samples = seen.law.sample(4 * seen.dim, rng)
    noise = np.eye(seen.dim) / seen.beta
    uncentered = rows.T @ rows / (len(rows) - 1)
    return Sides(left=_entropy(uncentered + noise), right=_entropy(covariance(rows) + noise))


@_logdet.control("h in bits", world=TWO)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    seen = world(rng)
    return Sides(left=seen.entropy(rng) / np.log(2), right=seen.logdet())
