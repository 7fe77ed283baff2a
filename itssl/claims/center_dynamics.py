"""Centers of a Gaussian mixture fitted at a fixed width: when they collapse, and what trainable inputs change."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_data, digits_embeddings
from itssl.estimate import Reference

ROSE_GUREWITZ_FOX_1990 = Reference(
    authors="Rose, Gurewitz & Fox", title="Statistical mechanics and phase transitions in clustering", year=1990,
    where="Physical Review Letters 65(8), 945-948",
)  # fmt: skip
BELOW, ABOVE, APART = 0.95, 1.05, 0.8
"""σ²/λ_max. Inputs are trained at the last, from centers that are well apart."""
STEPS = 800
"""1.05⁻⁸⁰⁰ = 1e-17: nothing is left of the start. Below, half as many do, as two centers settle at 0.9 a step."""
RATES = (0.5, 0.1)
"""Input learning rates η, in units of σ²."""
TINY = 1e-30
"""The complex step, whose derivatives have no truncation error in double precision."""
SHRUNK = 1e-6
"""Share of the inputs' variance at which the delay is judged."""
ROUNDING = FloatingPoint(ulps=256)
"""A step's rounding of a few ulps, 21-fold by the contraction 1/1.05. Inputs are in units of √λ_max."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs x_n with weights w_n that sum to 1, centered and in units of √λ_max, so that Cov X has eigenvalue 1.

    ``gaussian``: they are the nodes of a quadrature of a Gaussian law, and centers may start anywhere. Otherwise they
    start near the mean.
    """

    x: Float[np.ndarray, "n d"]
    w: Float[np.ndarray, " n"]
    gaussian: bool = False
    centers: int = 4

    @cached_property
    def _spectrum(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
        variances, axes = np.linalg.eigh(self.cov)
        return variances, axes

    @property
    def cov(self) -> Float[np.ndarray, "d d"]:
        """Σ w_n x_n x_nᵀ."""
        return (self.w[:, None] * self.x).T @ self.x

    @property
    def variances(self) -> Float[np.ndarray, " d"]:
        """Eigenvalues of the covariance, λ_max = 1 the last."""
        return self._spectrum[0]

    @property
    def axis(self) -> Float[np.ndarray, " d"]:
        """The direction of largest variance."""
        return self._spectrum[1][:, -1]

    @property
    def fourth_moment(self) -> float:
        """m₄ = E ⟨x, e₁⟩⁴ along it."""
        return float(self.w @ (self.x @ self.axis) ** 4)

    @property
    def radius(self) -> float:
        return float(np.linalg.norm(self.x, axis=1).max())

    def start(self, rng: np.random.Generator) -> Float[np.ndarray, "M d"]:
        """Random centers, as widely spread as the inputs under a Gaussian law, else within 1e-2 of the mean."""
        return (1.0 if self.gaussian else 1e-2) * rng.standard_normal((self.centers, self.x.shape[1]))

    def pair(self, var: float) -> Float[np.ndarray, "2 d"]:
        """Centers ±t e₁ with t² = 3(1/σ² − 1)σ⁶/m₄, where the bound on the likelihood is largest."""
        t = float(np.sqrt(3 * (1 / var - 1) * var**3 / self.fourth_moment))
        return np.stack([t * self.axis, -t * self.axis])

    def least_gain(self, var: float) -> float:
        """¾ (1/σ² − 1)² σ⁴/m₄."""
        return 0.75 * (1 / var - 1) ** 2 * var**2 / self.fourth_moment

    def above(self, var: float) -> float:
        """Σ_i max(0, λ_i − σ²)."""
        return float(np.maximum(self.variances - var, 0).sum())


def standardized(x: Samples, w: Float[np.ndarray, " n"] | None = None, *, gaussian: bool = False) -> Inputs:
    """Inputs centered and in units of √λ_max, equally weighted unless told."""
    w = np.full(len(x), 1 / len(x)) if w is None else w
    x = x - w @ x
    return Inputs(x=x / np.sqrt(np.linalg.eigvalsh((w[:, None] * x).T @ x)[-1]), w=w, gaussian=gaussian)


def responsibilities(x: Samples, centers: Shaped[np.ndarray, "M d"], var: float) -> Shaped[np.ndarray, "n M"]:
    """r_nk ∝ exp(−‖x_n − μ_k‖²/2σ²), also for complex centers."""
    logits = (x @ centers.T - (centers**2).sum(axis=1) / 2) / var
    r = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    return r / r.sum(axis=1, keepdims=True)


def em_step(inputs: Inputs, centers: Shaped[np.ndarray, "M d"], var: float) -> Shaped[np.ndarray, "M d"]:
    """μ_k ← Σ_n w_n r_nk x_n / Σ_n w_n r_nk, which is gradient ascent at rate σ²/π_k."""
    r = inputs.w[:, None] * responsibilities(inputs.x, centers, var)
    return (r.T @ inputs.x) / r.sum(axis=0)[:, None]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Centers after EM, their weights π_k = Σ_n w_n r_nk, and Σ π_k ‖μ_k − mean‖²."""

    centers: Float[np.ndarray, "M d"]
    shares: Float[np.ndarray, " M"]

    @property
    def trace(self) -> float:
        off = self.centers - self.shares @ self.centers
        return float(self.shares @ (off**2).sum(axis=1))


def fit(inputs: Inputs, centers: Float[np.ndarray, "M d"], var: float, *, steps: int = STEPS) -> Fit:
    """Centers after so many EM steps."""
    for _ in range(steps - 1):
        centers = em_step(inputs, centers, var)
    shares = inputs.w @ responsibilities(inputs.x, centers, var)
    return Fit(centers=em_step(inputs, centers, var), shares=shares)


def gain(inputs: Inputs, centers: Float[np.ndarray, "M d"], var: float) -> float:
    """Mean log-likelihood over that of all centers at the mean: E log (1/M) Σ_k exp((⟨x, μ_k⟩ − ‖μ_k‖²/2)/σ²)."""
    logits = (inputs.x @ centers.T - (centers**2).sum(axis=1) / 2) / var
    top = logits.max(axis=1)
    return float(inputs.w @ (top + np.log(np.exp(logits - top[:, None]).mean(axis=1))))


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Inputs and centers trained together: tr Cov X after each step, and what is left of both at the end."""

    traces: Float[np.ndarray, " t"]
    left: float

    def steps_to(self, share: float) -> int:
        """The first step at which the inputs' variance is that share of the initial one, or less."""
        return int(np.argmax(self.traces <= share * self.traces[0]))

    def share_at(self, step: int) -> float:
        """The share of the initial variance left after so many steps."""
        return float(self.traces[step] / self.traces[0])


def train_inputs(inputs: Inputs, centers: Float[np.ndarray, "M d"], var: float, rate: float) -> Joint:
    """E-step, M-step, and x_n ← x_n + η (Σ_k r_nk μ_k − x_n): gradient ascent on the log-likelihood, at rate ησ²."""
    x, w, traces = inputs.x, inputs.w, []
    for _ in range(_enough(rate)):
        traces.append(_trace(x, w))
        r = responsibilities(x, centers, var)
        shares = w @ r
        centers = (w[:, None] * r).T @ x / shares[:, None]
        x = x + rate * (r @ centers - x)
    spread = [np.linalg.norm(points - w @ x, axis=1).max() for points in (x, centers)]
    return Joint(traces=np.array([*traces, _trace(x, w)]), left=float(max(spread)))


def _enough(rate: float) -> int:
    """Steps until (1 − η)^t is 1e-18, and 10/η before that."""
    return int(np.ceil(-np.log(1e18) / np.log1p(-rate) + 10 / rate))


def _trace(x: Samples, w: Float[np.ndarray, " n"]) -> float:
    return float(w @ ((x - w @ x) ** 2).sum(axis=1))


def _linearized(inputs: Inputs, rng: np.random.Generator, *, keep_mean: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """One EM step's derivative at collapse in a random direction v of norm 1, by a complex step; and C (v − v̄)/σ²."""
    v = rng.standard_normal((inputs.centers, inputs.x.shape[1]))
    v /= np.linalg.norm(v)
    found = np.imag(em_step(inputs, 1j * TINY * v, BELOW)) / TINY
    return found, (v if keep_mean else v - v.mean(axis=0)) @ inputs.cov / BELOW


def _distance(pair: tuple[np.ndarray, np.ndarray]) -> float:
    return float(np.linalg.norm(pair[0] - pair[1]))


Draw: TypeAlias = Callable[[np.random.Generator], Inputs]


def _always(inputs: Inputs) -> Draw:
    return lambda _: inputs


def _normal_law(*variances: float, nodes: int) -> Draw:
    """N(0, diag(variances)) by a product of Gauss–Hermite rules."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    x = np.array(list(product(points, repeat=len(variances)))) * np.sqrt(variances)
    w = np.prod(list(product(weights, repeat=len(variances))), axis=1)
    return _always(standardized(x, w / w.sum(), gaussian=True))


def _sample(n: int, *variances: float) -> Draw:
    return lambda rng: standardized(rng.standard_normal((n, len(variances))) * np.sqrt(variances))


def _some(x: Samples, n: int) -> Draw:
    """n rows, others in each replicate."""
    return lambda rng: standardized(x[rng.permutation(len(x))[:n]])


def _with_outlier() -> Draw:
    """A normal law on a line, and 20 deviations away an input of weight 1e-3, which gets λ_max to 1.4."""
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    return _always(standardized(np.append(points, 20.0)[:, None], np.append(0.999 * weights / weights.sum(), 1e-3)))


def _two_clusters() -> Draw:
    """Two clusters, 40 of their deviations apart."""
    points = np.polynomial.hermite_e.hermegauss(8)[0]
    return _always(standardized(np.concatenate([points - 20, points + 20])[:, None]))


LINE = World(name="normal law on a line", make=lambda: _normal_law(1.0, nodes=64))
PLANE = World(name="normal law of variances 1 and 1/2", make=lambda: _normal_law(1.0, 0.5, nodes=16))
SAMPLE = World(name="200 draws of variances 1, 0.7, 0.4, 0.1", make=lambda: _sample(200, 1.0, 0.7, 0.4, 0.1))
EMBEDDINGS = World(
    name="embeddings of 400 digits after VICReg", make=lambda: _some(digits_embeddings(), 400), level="default"
)


@claim(
    "C47",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=ROSE_GUREWITZ_FOX_1990,
    formula=r"v_k \mapsto \frac{1}{\sigma^2} \mathrm{Cov}(X) (v_k - \bar{v}), \quad"
    r" \frac{\lambda_{\max}}{\sigma^2} < 1 \; \text{(collapse)}, \quad"
    r" \frac{\lambda_{\max}}{\sigma^2} > 1 \; \text{(no collapse)}",
    worlds=(
        LINE,
        World(name="normal law of variances 1 and 0.97", make=lambda: _normal_law(1.0, 0.97, nodes=16)),
        SAMPLE,
        World(name="pixels of 400 digits", make=lambda: _some(digits_data().train_x, 400), level="default"),
        EMBEDDINGS,
    ),
    first_look=2,
)
def fitted_centers_collapse_above_largest_variance(world: Draw, rng: np.random.Generator) -> Sides:
    r"""Mixture centers near their mean collapse if σ² > λ_max(Cov X), not if σ² < λ_max; with inputs trained, all do.

    Judged off the threshold, at σ² = 0.95, 1.05 and 0.8 λ_max. At σ² = λ_max the law decides: Gaussian X collapses,
    skewed X need not, for three centers or more may gain at third order.

    Fixed inputs, equal weights, EM (gradient ascent at rate σ²/π_k). All centers at the mean are stationary, and a step
    takes a deviation v_k to C(v_k − v̄)/σ² [1]. Below λ = λ_max, collapse is unstable: centers ±t e₁ have a mean
    log-likelihood above that of collapse by ¾(λ/σ² − 1)²σ⁴/m₄ at the best t, m₄ = E⟨x − x̄, e₁⟩⁴, because
    log cosh u ≥ u²/2 − u⁴/12. EM started there does not lose it, and after any EM step Σ π_k ‖μ_k − x̄‖² is at
    least 2σ² times the gain before. Above λ_max deviations shrink by λ_max/σ² a step, to rounding. That is local: far
    clusters or an outlier may keep centers of their own. For Gaussian X it is global. There Stein's identity gives
    P = Σ π_k μ_k μ_kᵀ = C(P − Q)/σ² at any stationary point, with Q = E m(x)m(x)ᵀ and m(x) = Σ r_k(x) μ_k; as
    P = E m(x)xᵀ, Q ⪰ P C⁻¹ P, so that eigenvalues of P are at most max(0, λ_i − σ²). Two centers take
    at least (λ − σ²)σ⁴/λ².

    Trained inputs, x_n ← x_n + η(Σ_k r_nk μ_k − x_n): where nothing moves, every x_n is an average of all centers with
    positive weights and every μ_k one of all inputs, so an extreme point of their hull is every one of them, whatever
    σ² > 0. (Clusters many σ apart take exponentially long.) tr Cov X shrinks by no more than (1 − η)² a step, as it
    does for collapsed centers: a lower η delays, and nothing else.

    References
    ----------
    [1] Rose, Gurewitz & Fox (1990): the critical temperature 2λ_max of deterministic annealing, T = 2σ².
    """
    inputs = world(rng)
    start, pair = inputs.start(rng), inputs.pair(BELOW)
    above = fit(inputs, start, ABOVE)
    fitted, below, apart = (
        fit(inputs, centers, var, steps=STEPS // 2) for centers, var in ((pair, BELOW), (start, BELOW), (start, APART))
    )
    gained = gain(inputs, fitted.centers, BELOW)
    sides = {
        "derivative of a step − C(v − v̄)/σ²": (_distance(_linearized(inputs, rng)), 0.0),
        "above: spread of centers": (float(np.sqrt(above.trace)) / inputs.radius, 0.0),
        "above: gain over collapse": (gain(inputs, start, ABOVE), 0.0),
        "below: ¾(λ/σ² − 1)²σ⁴/m₄ ≤ gain": (inputs.least_gain(BELOW), gained),
        "below: 2σ² · that ≤ variance of centers": (2 * BELOW * inputs.least_gain(BELOW), fitted.trace),
    }
    if inputs.gaussian:
        sides |= {
            "Gaussian: (λ − σ²)σ⁴ ≤ variance of two centers": ((1 - BELOW) * BELOW**2, fitted.trace),
            "Gaussian: that ≤ Σ max(0, λ_i − σ²)": (fitted.trace, inputs.above(BELOW)),
        }
    measured = {
        "variance of centers at 0.95": below.trace, "… at 1.05": above.trace, "… of two centers at 0.95": fitted.trace,
        "Σ max(0, λ_i − 0.95 λ_max)": inputs.above(BELOW), "gain": gained, "variance of centers at 0.8": apart.trace,
    }  # fmt: skip
    for rate in RATES:
        joint, still = (train_inputs(inputs, c, APART, rate) for c in (apart.centers, np.zeros_like(start)))
        t = _delay(rate)
        sides |= {
            f"η = {rate}: spread of everything": (joint.left / inputs.radius, 0.0),
            f"η = {rate}: (1 − η)^2t ≤ share of tr Cov X": ((1 - rate) ** (2 * t), joint.share_at(t)),
            f"η = {rate}: that ≤ 1": (joint.share_at(t), 1.0),
            f"η = {rate}, centers collapsed: share ≤ (1 − η)^2t": (still.share_at(t), (1 - rate) ** (2 * t)),
            f"η = {rate}, centers collapsed: and ≥": ((1 - rate) ** (2 * t), still.share_at(t)),
        }
        measured[f"steps to 1e-6 of tr Cov X, η = {rate}"] = joint.steps_to(SHRUNK)
    left, right = zip(*sides.values(), strict=True)
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


def _delay(rate: float) -> int:
    """The last step at which (1 − η)^2t is at least SHRUNK."""
    return int(np.log(SHRUNK) / 2 / np.log1p(-rate))


_collapse = fitted_centers_collapse_above_largest_variance


@_collapse.control("collapse from the mean eigenvalue on", world=PLANE)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    var = 1.1 * float(inputs.variances.mean())
    return Sides(left=fit(inputs, inputs.start(rng), var).trace, right=0.0)


@_collapse.control("no collapse up to the trace: variance of centers tr Cov X − σ²", world=PLANE)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    return Sides(left=float(inputs.variances.sum()) - ABOVE, right=fit(inputs, inputs.start(rng), ABOVE).trace)


@_collapse.control("collapse at every σ²")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    return Sides(left=fit(inputs, inputs.start(rng), BELOW).trace, right=0.0)


@_collapse.control(
    "above λ_max centers collapse from every start", world=World(name="normal law and an outlier", make=_with_outlier)
)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    at_mean_and_outlier = np.outer([0.0, 1.0], inputs.x[-1])
    return Sides(left=fit(inputs, at_mean_and_outlier, ABOVE).trace, right=0.0)


@_collapse.control("… nor do they on embeddings of digits, from four of them", world=EMBEDDINGS)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    return Sides(left=fit(inputs, inputs.x[:4], ABOVE).trace, right=0.0)


@_collapse.control("two centers take up all of λ − σ²")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    return Sides(left=inputs.above(BELOW), right=fit(inputs, inputs.pair(BELOW), BELOW).trace)


@_collapse.control("deviations grow by λ/σ")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    found, stated = _linearized(world(rng), rng)
    return Sides(left=_distance((found, stated * np.sqrt(BELOW))), right=0.0)


@_collapse.control("covariance over n − 1", world=SAMPLE)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    found, stated = _linearized(inputs, rng)
    return Sides(left=_distance((found, stated * len(inputs.x) / (len(inputs.x) - 1))), right=0.0)


@_collapse.control("a common shift of all centers grows as well")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=_distance(_linearized(world(rng), rng, keep_mean=True)), right=0.0)


@_collapse.control("gain twice as large")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    reached = gain(inputs, fit(inputs, inputs.pair(BELOW), BELOW).centers, BELOW)
    return Sides(left=2 * inputs.least_gain(BELOW), right=reached)


def _trained(inputs: Inputs, rng: np.random.Generator, rate: float) -> tuple[Fit, Joint]:
    """Centers fitted to fixed inputs, and both trained from there."""
    apart = fit(inputs, inputs.start(rng), APART, steps=STEPS // 2)
    return apart, train_inputs(inputs, apart.centers, APART, rate)


@_collapse.control("trained inputs keep the centers apart")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    apart, joint = _trained(world(rng), rng, RATES[0])
    return Sides(left=apart.trace, right=joint.left)


@_collapse.control("a low input rate prevents collapse")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    apart, joint = _trained(world(rng), rng, RATES[1])
    return Sides(left=apart.trace, right=joint.left)


@_collapse.control(
    "trained inputs collapse in as many steps at every σ²",
    world=World(name="two clusters 40 of their deviations apart", make=_two_clusters),
)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    joint = train_inputs(inputs, inputs.pair(APART), 1 / 20**2, RATES[0])
    return Sides(left=joint.left, right=0.0)


@_collapse.control("a fifth of the input rate takes no longer")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    inputs = world(rng)
    fast, slow = (_trained(inputs, rng, rate)[1].steps_to(SHRUNK) for rate in RATES)
    return Sides(left=slow, right=fast)


@_collapse.control("the variance of inputs shrinks by 1 − η a step at most")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    _, joint = _trained(world(rng), rng, RATES[1])
    t = _delay(RATES[1])
    return Sides(left=(1 - RATES[1]) ** t, right=joint.share_at(t))
