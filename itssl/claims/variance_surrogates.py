"""What stands in for the log-variances of a covariance: the hinge and the trace."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.references import COVER_THOMAS_2006
from itssl.claims.worlds import digits_embeddings
from itssl.kernels.linalg import covariance, whitening
from itssl.objectives.vicreg import REFERENCE, variance_term

ROWS = 256
ROUNDING = FloatingPoint(ulps=ROWS)
"""A sum of n terms is right to n ulps."""

SMALL = 1e-6


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Batches of embeddings, drawn anew in each replicate, and the deviation γ below which VICReg's hinge acts."""

    draw: Callable[[np.random.Generator], Samples]
    gamma: float = 1.0

    def variances_and_hinges(self, rng: np.random.Generator) -> tuple[Samples, np.ndarray, np.ndarray]:
        """A batch, the variances c of its columns and minus the hinge of each."""
        z = self.draw(rng)
        hinges = [-float(variance_term(z[:, [j]], gamma=self.gamma)) for j in range(z.shape[1])]
        return z, np.diag(covariance(z)), np.array(hinges)

    def half_log(self, c: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """γ · ½ log(c/γ²)."""
        return self.gamma / 2 * np.log(c / self.gamma**2)


def _exactly(cov: Float[np.ndarray, "d d"]) -> Batches:
    """Batches whose sample covariance is ``cov``, to rounding."""
    root = np.linalg.cholesky(cov)
    return Batches(draw=lambda rng: whitening(rng.standard_normal((ROWS, len(cov))))[0] @ root.T)


def _diagonal(*variances: float) -> Batches:
    return _exactly(np.diag(variances))


def _around(variance: float, *, spread: float, gamma: float = 1.0) -> Batches:
    """8 correlated columns whose variances are ``variance`` · e^(spread · N(0,1))."""

    def draw(rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((ROWS, 8)) @ (np.eye(8) + spread * rng.standard_normal((8, 8)))
        return z / z.std(axis=0, ddof=1) * np.sqrt(variance * np.exp(spread * rng.standard_normal(8)))

    return Batches(draw=draw, gamma=gamma)


def _trained() -> Batches:
    z = digits_embeddings()
    return Batches(draw=lambda rng: z[rng.permutation(len(z))[:ROWS]])


NEAR_ONE = World(name="8 variances near 1", make=lambda: _around(1.0, spread=0.02))
WIDE = World(name="8 variances from about 1e-3 to 1e3", make=lambda: _around(1.0, spread=3.0))
NEAR_FOUR = World(name="8 variances near 4, γ = 2", make=lambda: _around(4.0, spread=0.5, gamma=2.0))
TRAINED = World(name="embeddings of digits after VICReg, batches of 256", make=_trained)
FIVE_HIGH = World(name="diag(4, 4, 4, 4, 4, 0.2)", make=lambda: _diagonal(4, 4, 4, 4, 4, 0.2))
ONE_LOW = World(name="diag(1, 1, 1, 1, 1, 0.25)", make=lambda: _diagonal(1, 1, 1, 1, 1, 0.25))
REVERSAL = World(name=f"{FIVE_HIGH.name} against {ONE_LOW.name}", make=lambda: (FIVE_HIGH.make(), ONE_LOW.make()))


@claim(
    "C21",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=REFERENCE,
    formula=(
        r"\min\left(0, \frac{1}{2} \log c\right) \le -\max\left(0, 1 - \sqrt{c + \varepsilon}\right) \le "
        r"\max\left(0, \frac{1}{2} \log c\right)"
    ),
    worlds=(NEAR_ONE, WIDE, NEAR_FOUR, FIVE_HIGH, ONE_LOW, TRAINED),
)
def hinge_meets_half_log_variance_at_its_threshold(world: Batches, rng: np.random.Generator) -> Sides:
    r"""min(0, ½ log c) ≤ −max(0, 1 − √(c+ε)) ≤ max(0, ½ log c): the hinge of a variance c against its entropy.

    For log s ≤ s − 1, at s = √c; with a deviation γ for 1, γ min(0, ½ log(c/γ²)) ≤ −max(0, γ − √(c+ε)) and likewise
    above, for all c, γ > 0 and ε ≥ 0. So the negative hinge exceeds ½ log c where c ≤ 1, by (1 − s)²/2 near 1 (ε = 0),
    is below it where c ≥ 1, and is flat there. Summed over coordinates, −K v(Z) is above ½ Σ log c_k if no
    variance exceeds 1, below it if none falls short, and otherwise ranks nothing: diag(4,4,4,4,4,.2) has both the
    larger determinant and the larger hinge. Judged at the coordinate nearest to failing, with VICReg's ε = 1e-4.
    """
    _, c, hinges = world.variances_and_hinges(rng)
    log = world.half_log(c)
    return _at_worst(
        (np.minimum(0, log), hinges),
        (hinges, np.maximum(0, log)),
        parts=("½ log c below the threshold ≤ −hinge", "−hinge ≤ ½ log c above it"),
        measured={"½ Σ log c": float(np.log(c).sum() / 2), "−K v(Z)": float(hinges.sum())},
    )


_hinge = hinge_meets_half_log_variance_at_its_threshold


@_hinge.control("−hinge ≥ ½ log c for every c", world=WIDE)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((world.half_log(c), hinges))


@_hinge.control("−hinge ≤ ½ log c for every c", world=WIDE)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((hinges, world.half_log(c)))


@_hinge.control("the hinge ranks covariances as log|C| does", world=REVERSAL)
def _(world: tuple[Batches, Batches], rng: np.random.Generator) -> Sides:
    (_, c_1, hinges_1), (_, c_2, hinges_2) = (batches.variances_and_hinges(rng) for batches in world)
    log_dets = float(np.log(c_1).sum() / 2), float(np.log(c_2).sum() / 2)
    hinges = float(hinges_1.sum()), float(hinges_2.sum())
    names = "½ log|C|, first", "½ log|C|, second", "−K v(Z), first", "−K v(Z), second"
    return Sides(
        left=0.0,
        right=(log_dets[0] - log_dets[1]) * (hinges[0] - hinges[1]),
        parts=("the differences agree in sign",),
        measured=dict(zip(names, log_dets + hinges, strict=True)),
    )


@_hinge.control("c for √c in the hinge")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((np.minimum(0, world.half_log(c)), -np.maximum(0, world.gamma - c)))


@_hinge.control("hinge of variances over n")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    z, c, _ = world.variances_and_hinges(rng)
    return _at_worst((np.minimum(0, world.half_log(c)), -np.maximum(0, world.gamma - z.std(axis=0))))


@_hinge.control("¼ log c for ½ log c")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((np.minimum(0, world.half_log(c) / 2), hinges))


@_hinge.control("common logarithm")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((np.minimum(0, world.half_log(c) / np.log(10)), hinges))


@_hinge.control("the hinge itself for −hinge")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((-hinges, np.maximum(0, world.half_log(c))))


@_hinge.control("threshold at the variance γ", world=NEAR_FOUR)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, hinges = world.variances_and_hinges(rng)
    return _at_worst((np.minimum(0, world.gamma / 2 * np.log(c / world.gamma)), hinges))


TRACE_OF_IDENTITY = World(name="diag(5.999995, 1e-6, ..., 1e-6)", make=lambda: _diagonal(6 - 5 * SMALL, *(SMALL,) * 5))
ROTATED = World(
    name="that spectrum, every coordinate of variance 1",
    make=lambda: _exactly(SMALL * np.eye(6) + (1 - SMALL) * np.ones((6, 6))),
)


@claim(
    "C22",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=COVER_THOMAS_2006,
    formula=r"\log \lvert C \rvert \le \sum_k \log c_k \le \sum_k (c_k - 1) = \mathrm{tr} C - K",
    uses=("C18",),
    worlds=(NEAR_ONE, WIDE, TRACE_OF_IDENTITY, ONE_LOW, TRAINED),
)
def trace_is_no_guard_against_collapse(world: Batches, rng: np.random.Generator) -> Sides:
    r"""log|C| ≤ Σ log c_k ≤ Σ (c_k − 1) = tr C − K, equal at C = I; nothing holds in return, whatever the trace.

    The first is Hadamard's inequality, the second log c ≤ c − 1. With the trace of I, (K − (K−1)δ, δ, ..., δ) has
    Σ log c_k = log(K − (K−1)δ) + (K−1) log δ → −∞ as δ → 0: −67 at K = 6, δ = 1e-6. The hinge sees it,
    K v(Z) ≥ 1 − √(min c_k + ε), in coordinates: where the small directions are none of them it sees
    nothing, and the covariance term must. log c ≤ c − 1 is judged at the coordinate nearest to failing.
    """
    z, c, hinges = world.variances_and_hinges(rng)
    logs, log_det = float(np.log(c).sum()), float(np.linalg.slogdet(covariance(z))[1])
    return _at_worst(
        (np.log(c), c - 1),
        (log_det, logs),
        (logs, c.sum() - len(c)),
        (_smallest(c), -hinges.sum()),
        parts=("log c ≤ c − 1", "log|C| ≤ Σ log c", "Σ log c ≤ tr C − K", "1 − √(min c + ε) ≤ K v(Z)"),
        measured={"log|C|": log_det, "Σ log c": logs, "tr C − K": float(c.sum() - len(c)), "K v(Z)": -hinges.sum()},
    )


_trace = trace_is_no_guard_against_collapse


@_trace.control("a trace of at least K keeps Σ log c from falling", world=TRACE_OF_IDENTITY)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((c.sum() - len(c), np.log(c).sum()))


@_trace.control("hinge of the mean variance", world=TRACE_OF_IDENTITY)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((_smallest(c), len(c) * max(0.0, 1 - float(np.sqrt(c.mean())))))


@_trace.control("the hinge sees collapse in every basis", world=ROTATED)
def _(world: Batches, rng: np.random.Generator) -> Sides:
    z, _, hinges = world.variances_and_hinges(rng)
    return _at_worst((_smallest(np.linalg.eigvalsh(covariance(z))), -hinges.sum()))


@_trace.control("½ log c for log c")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((np.log(c) / 2, c - 1))


@_trace.control("binary logarithm")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((np.log2(c), c - 1))


@_trace.control("variances over n on the right")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    z, c, _ = world.variances_and_hinges(rng)
    return _at_worst((np.log(c).sum(), z.var(axis=0).sum() - len(c)))


@_trace.control("signs reversed")
def _(world: Batches, rng: np.random.Generator) -> Sides:
    _, c, _ = world.variances_and_hinges(rng)
    return _at_worst((-np.log(c), 1 - c))


def _smallest(c: Float[np.ndarray, " d"], *, eps: float = 1e-4) -> float:
    return 1 - float(np.sqrt(c.min() + eps))


def _at_worst(
    *pairs: tuple[Float[np.ndarray, " *d"] | float, Float[np.ndarray, " *d"] | float],
    parts: tuple[str, ...] = ("",),
    measured: Mapping[str, float] | None = None,
) -> Sides:
    """Each pair of vectors at the coordinate where left ≤ right is nearest to failing."""
    left, right = [], []
    for pair in pairs:
        a, b = (np.atleast_1d(side) for side in pair)
        j = int(np.argmax(a - b))
        left.append(float(a[j]))
        right.append(float(b[j]))
    return Sides(left=tuple(left), right=tuple(right), parts=parts, measured=measured or {})
