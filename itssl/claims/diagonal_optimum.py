"""Which covariance has the largest log-determinant: the multiple of the identity, where rotations stay in the set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.variance_surrogates import ROUNDING, ROWS, TRAINED
from itssl.claims.worlds import digits_embeddings, random_covariance
from itssl.estimate import Reference
from itssl.kernels.linalg import covariance

BOYD_VANDENBERGHE_2004 = Reference(
    authors="Boyd & Vandenberghe", title="Convex Optimization", year=2004, where="Cambridge University Press"
)


@dataclass(frozen=True, kw_only=True)
class InvariantSet:
    """{S ⪰ 0 : ‖S‖_p ≤ radius}, p the Schatten norm (1 the trace, 2 Frobenius): convex, compact, O(K)-invariant.

    ``member`` draws a matrix, which is scaled to the boundary.
    """

    p: float
    radius: float
    member: Callable[[np.random.Generator], Float[np.ndarray, "d d"]]

    def best(self, d: int) -> float:
        """The largest t with tI in the set."""
        return self.radius * d ** (-1 / self.p)

    def on_boundary(self, s: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        return self.radius / float((np.linalg.eigvalsh(s) ** self.p).sum() ** (1 / self.p)) * s

    def ascend(self, start: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
        """The maximizer of log|S| found from a start, over S = radius · BBᵀ/‖BBᵀ‖_p: no use is made of invariance."""
        from scipy.optimize import minimize

        d, p = len(start), self.p

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            b = flat.reshape(d, d)
            values, axes = np.linalg.eigh(b @ b.T)
            total = float((values**p).sum())
            gradient = (axes * (d * values ** (p - 1) / total - 1 / values)) @ axes.T
            return d / p * np.log(total) - float(np.log(values).sum()), (2 * gradient @ b).ravel()

        root = np.linalg.cholesky(start)
        found = minimize(loss, root.ravel(), jac=True, method="L-BFGS-B", options={"ftol": 0.0, "gtol": 1e-9}).x
        return self.on_boundary(found.reshape(d, d) @ found.reshape(d, d).T)


def _norm_ball(p: float, *, t: float = 2.0, d: int = 8) -> InvariantSet:
    """The ball whose largest multiple of the identity is tI."""
    return InvariantSet(p=p, radius=t * d ** (1 / p), member=lambda rng: random_covariance(d, rng))


def _trained_trace() -> InvariantSet:
    """Covariances of at most the total variance of embeddings, and those of their batches."""
    batches = TRAINED.make()
    return InvariantSet(
        p=1.0,
        radius=float(np.trace(covariance(digits_embeddings()))),
        member=lambda rng: covariance(batches.draw(rng)),
    )


BOUNDED_TRACE = World(name="tr S ≤ 2K in R^8", make=lambda: _norm_ball(1.0))
BOUNDED_FROBENIUS = World(name="Frobenius norm ≤ 2√K in R^8", make=lambda: _norm_ball(2.0))

BELOW = World(name="{S ⪯ B}, B of condition number 10 in R^8", make=lambda: random_covariance(8, stream(0, "B")))


@claim(
    "C23",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=BOYD_VANDENBERGHE_2004,
    formula=r"\log \lvert S \rvert \le K \log \frac{\mathrm{tr} S}{K} \le K \log t",
    uses=("C18",),
    worlds=(
        BOUNDED_TRACE,
        BOUNDED_FROBENIUS,
        World(name="Schatten 4-norm ≤ 2K^(1/4) in R^8", make=lambda: _norm_ball(4.0)),
        World(
            name="covariances of digits embeddings after VICReg, trace no larger",
            make=_trained_trace,
            level="default",
            tolerance=FloatingPoint(ulps=ROWS, condition=1e5),  # of these covariances
        ),
    ),
    first_look=8,
)
def multiple_of_identity_maximizes_log_determinant(world: InvariantSet, rng: np.random.Generator) -> Sides:
    r"""log|S| ≤ log|mean of Q S Qᵀ| ≤ K log(tr S/K) ≤ K log t over a convex compact O(K)-invariant set; t = max tr S/K.

    log|·| is strictly concave, so rotations that stay in the set can be averaged, down to (tr S/K) I: the one maximizer
    is tI. With the diagonal of S given it is the diagonal matrix, log|S| ≤ Σ log S_kk. Rotations themselves cost
    nothing, log|Q S Qᵀ| = log|S|: a given spectrum is as good in every basis. All of it is compared on random members
    and with the maximum S* found by ascent. A set without invariance has another optimum, {S ⪯ B} has B.
    """
    s = world.on_boundary(world.member(rng))
    k, q = len(s), _rotations(4, len(s), rng)
    average = (q @ s @ q.transpose(0, 2, 1)).mean(axis=0)
    best, mean = k * float(np.log(world.best(k))), k * float(np.log(np.trace(s) / k))
    log_det, averaged, rotated = (float(np.linalg.slogdet(m)[1]) for m in (s, average, q[0] @ s @ q[0].T))
    found = world.ascend(s)
    reached, diagonal = float(np.linalg.slogdet(found)[1]), float(np.log(np.diag(s)).sum())
    return Sides(
        left=(log_det, averaged, mean, best, reached, log_det, rotated, log_det),
        right=(averaged, mean, best, reached, best, diagonal, log_det, rotated),
        parts=(
            "log|S| ≤ log|mean of Q S Qᵀ|", "log|mean| ≤ K log(tr S/K)", "K log(tr S/K) ≤ K log t", "K log t ≤ log|S*|",
            "log|S*| ≤ K log t", "log|S| ≤ Σ log S_kk", "log|Q S Qᵀ| ≤ log|S|", "log|S| ≤ log|Q S Qᵀ|",
        ),
        measured={
            "log|S|": log_det, "Σ log S_kk": diagonal, "K log t": best, "log|S*|": reached,
            "largest entry of S*/t − I": float(np.abs(found / world.best(k) - np.eye(k)).max()),
        },
    )  # fmt: skip


_log_det = multiple_of_identity_maximizes_log_determinant


@_log_det.control("tI is optimal over {S ⪯ B}", world=BELOW)
def _(world: Float[np.ndarray, "d d"], rng: np.random.Generator) -> Sides:
    largest = float(np.linalg.eigvalsh(world)[0])
    return Sides(left=float(np.linalg.slogdet(world)[1]), right=len(world) * float(np.log(largest)))


@_log_det.control("tI is reached in a set that is not convex: the rotations of B", world=BELOW)
def _(world: Float[np.ndarray, "d d"], rng: np.random.Generator) -> Sides:
    k, q = len(world), _rotations(1, len(world), rng)[0]
    return Sides(left=k * float(np.log(np.trace(world) / k)), right=float(np.linalg.slogdet(q @ world @ q.T)[1]))


@_log_det.control("rotating costs half the energy off the diagonal", world=BELOW)
def _(world: Float[np.ndarray, "d d"], rng: np.random.Generator) -> Sides:
    diagonal, q = np.diag(np.linalg.eigvalsh(world)), _rotations(1, len(world), rng)[0]
    rotated = q @ diagonal @ q.T
    std = np.sqrt(np.diag(rotated))
    cost = (np.sum((rotated / np.outer(std, std)) ** 2) - len(world)) / 2
    return Sides(left=float(np.linalg.slogdet(rotated)[1]), right=float(np.linalg.slogdet(diagonal)[1] - cost))


@_log_det.control("off the diagonal entries add to log|S|")
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    s = world.on_boundary(world.member(rng))
    return Sides(left=float(np.log(np.diag(s)).sum()), right=float(np.linalg.slogdet(s)[1]))


@_log_det.control("log|S| is convex")
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    s = world.on_boundary(world.member(rng))
    q = _rotations(4, len(s), rng)
    average = (q @ s @ q.transpose(0, 2, 1)).mean(axis=0)
    return Sides(left=float(np.linalg.slogdet(average)[1]), right=float(np.linalg.slogdet(s)[1]))


@_log_det.control("t = max tr S")
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    k, reached = _reached(world, rng)
    return Sides(left=k * float(np.log(k * world.best(k))), right=reached)


@_log_det.control("t = radius/K for every norm", world=BOUNDED_FROBENIUS)
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    k, reached = _reached(world, rng)
    return Sides(left=reached, right=k * float(np.log(world.radius / k)))


@_log_det.control("K − 1 for K")
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    k, reached = _reached(world, rng)
    return Sides(left=reached, right=(k - 1) * float(np.log(world.best(k))))


@_log_det.control("binary logarithm of t")
def _(world: InvariantSet, rng: np.random.Generator) -> Sides:
    k, reached = _reached(world, rng)
    return Sides(left=k * float(np.log2(world.best(k))), right=reached)


def _reached(world: InvariantSet, rng: np.random.Generator) -> tuple[int, float]:
    """K, and the largest log|S| that ascent finds."""
    s = world.member(rng)
    return len(s), float(np.linalg.slogdet(world.ascend(s))[1])


def _rotations(m: int, d: int, rng: np.random.Generator) -> Float[np.ndarray, "m d d"]:
    return np.linalg.qr(rng.standard_normal((m, d, d)))[0]
