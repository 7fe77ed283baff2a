"""What labels leave over after least squares: the residual projection, and what batches need to be invertible."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.labeled_populations import held_out_digits
from itssl.claims.references import SHWARTZ_ZIV_2023
from itssl.claims.worlds import digits_embeddings
from itssl.estimate import Reference
from itssl.evaluation.least_squares import least_squares_probe
from itssl.kernels.linalg import covariance

GOLUB_VAN_LOAN_2013 = Reference(
    authors="Golub & Van Loan", title="Matrix Computations", year=2013, where="Johns Hopkins, 4th edition"
)
SOLVED = FloatingPoint(ulps=1024, condition=1e5)
"""Projections of up to 128 rows, made of least squares with matrices of condition 1e5 and below."""
COUNTED = FloatingPoint(ulps=8)


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """m rows of representations and the class of each."""

    z: Samples
    y: Int[np.ndarray, " m"]

    @property
    def one_hot(self) -> Float[np.ndarray, "m K"]:
        return (self.y[:, None] == np.unique(self.y)).astype(float)

    @property
    def projection(self) -> Float[np.ndarray, "m m"]:
        """P = I − Z Z⁺, as written."""
        return np.eye(len(self.z)) - self.z @ np.linalg.pinv(self.z)

    @property
    def rank(self) -> int:
        return int(np.linalg.matrix_rank(self.z))

    @property
    def residual(self) -> float:
        """‖Y − Z Wᵀ‖_F of the probe of the bound."""
        return least_squares_probe(self.z, self.y, np.unique(self.y)).residual


DrawLabeled: TypeAlias = Callable[[np.random.Generator], Labeled]


def _gaussian(m: int, d: int, rng: np.random.Generator, *, rank: int | None = None, classes: int = 4) -> Labeled:
    """Independent rows, all in ``rank`` directions where that is given; labels have nothing to do with them."""
    z = rng.standard_normal((m, d))
    if rank is not None:
        z = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, d))
    return Labeled(z=z, y=np.arange(m) % classes)


def _all_but_one(rng: np.random.Generator, *, m: int = 24, classes: int = 3) -> Labeled:
    """d = m − 1 directions, all orthogonal to the largest class, which is therefore what is left over."""
    y = np.sort(np.concatenate([np.zeros(m - 8, dtype=int), rng.integers(1, classes, size=8)]))
    y[-classes:] = np.arange(classes)
    largest = (y == 0).astype(float)[:, None]
    basis = np.linalg.qr(np.hstack([largest, rng.standard_normal((m, m - 1))]))[0][:, 1:]
    return Labeled(z=basis * rng.uniform(0.5, 2.0, m - 1), y=y)


def _unrelated(rng: np.random.Generator, *, m: int = 24, d: int = 12, classes: int = 3) -> Labeled:
    """Directions orthogonal to the indicators of all classes: nothing of the labels can be fitted."""
    y = np.arange(m) % classes
    indicators = (y[:, None] == np.arange(classes)).astype(float)
    basis = np.linalg.qr(np.hstack([indicators, rng.standard_normal((m, d))]))[0][:, classes:]
    return Labeled(z=basis, y=y)


def _digits(m: int) -> DrawLabeled:
    source = held_out_digits("VICReg")

    def draw(rng: np.random.Generator) -> Labeled:
        p = source(rng)
        rows = rng.permutation(len(p.y))[:m]
        return Labeled(z=p.z[rows], y=p.y[rows])

    return draw


TALL = World(name="Gaussian rows, m = 60, d = 20", make=lambda: partial(_gaussian, 60, 20))
FLAT = World(name="Gaussian rows of rank 5, m = 40, d = 20", make=lambda: partial(_gaussian, 40, 20, rank=5))
ALL_BUT_ONE = World(name="directions orthogonal to the largest class, d = m − 1", make=lambda: _all_but_one)
UNRELATED = World(name="directions orthogonal to all classes", make=lambda: _unrelated)
SQUARE = World(name="Gaussian rows, m = d = 20", make=lambda: partial(_gaussian, 20, 20))
WIDE = World(name="Gaussian rows, m = 20, d = 60", make=lambda: partial(_gaussian, 20, 60))
DIGITS = World(name="digits, VICReg, m = 200, d = 128", make=lambda: _digits(200), level="default")


@claim(
    "C40",
    relation=Relation.EQUAL,
    tolerance=SOLVED,
    reference=GOLUB_VAN_LOAN_2013,
    worlds=(TALL, SQUARE, WIDE, FLAT, ALL_BUT_ONE, UNRELATED, DIGITS),
    formula=r"\lVert P_Z \rVert_F^2 = m - \mathrm{rank} Z, \quad \lVert Y - Z W^T \rVert_F = \lVert P_Z Y \rVert_F",
)
def what_least_squares_leaves_is_a_projection(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    r"""‖P_Z‖²_F = m − rank Z, and ‖P_Z Y‖_F is the residual of the least-squares probe; P_Z = I − Z Z⁺.

    P_Z projects on what no linear map of Z reaches: it is symmetric, P² = P, and its trace counts dimensions. Rank, not
    d: with more columns than rows nothing is left, with columns that depend on each other more than m − d.
    """
    found = world(rng)
    p = found.projection
    return Sides(
        left=(float((p**2).sum()), found.residual),
        right=(len(p) - found.rank, float(np.linalg.norm(p @ found.one_hot))),
        parts=("‖P‖²_F = m − rank", "residual = ‖P Y‖_F"),
        measured={"rank": found.rank, "residual": found.residual},
    )


@what_least_squares_leaves_is_a_projection.control("m − d for m − rank", world=FLAT)
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    return Sides(left=float((found.projection**2).sum()), right=len(found.z) - found.z.shape[1])


@what_least_squares_leaves_is_a_projection.control("‖P‖_F for its square")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    return Sides(left=float(np.linalg.norm(found.projection)), right=len(found.z) - found.rank)


@what_least_squares_leaves_is_a_projection.control("rows for columns: I − Z⁺ Z")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    other = np.eye(found.z.shape[1]) - np.linalg.pinv(found.z) @ found.z
    return Sides(left=float((other**2).sum()), right=len(found.z) - found.rank)


@what_least_squares_leaves_is_a_projection.control("probe with an offset")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    offset = Labeled(z=np.hstack([found.z, np.ones((len(found.z), 1))]), y=found.y)
    return Sides(left=offset.residual, right=float(np.linalg.norm(found.projection @ found.one_hot)))


@what_least_squares_leaves_is_a_projection.control("spectral norm of P Y")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    return Sides(left=found.residual, right=float(np.linalg.norm(found.projection @ found.one_hot, 2)))


@claim(
    "C43",
    relation=Relation.AT_MOST,
    tolerance=SOLVED,
    reference=SHWARTZ_ZIV_2023,
    worlds=(ALL_BUT_ONE, TALL, FLAT, UNRELATED, WIDE, DIGITS),
    uses=("C40",),
    formula=r"\frac{2}{\sqrt{m}} \lVert P_Z Y \rVert_F \le 2 \sqrt{(m - r) \max_k m_k / m} \le 2 \sqrt{m - r},"
    r" \quad 2 \cdot 1 \le 2 \sqrt{m - r} \mathrm{\ if\ } m > r",
)
def without_labels_the_residual_term_says_nothing(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    r"""(2/√m)‖P Y‖_F ≤ 2√((m − r) max_k m_k/m) ≤ 2√(m − r); but 2√(m − r) ≥ 2 wherever m > r: twice the error of W = 0.

    r = rank Z, m_k the sizes of the classes. ‖P Y‖_F ≤ ‖P‖_F ‖Y‖₂ and ‖Y‖₂² = max m_k ≤ m. The label-agnostic form
    thus exceeds the error 1 of the probe that answers 0, by more the larger m, unless no row is left over (m = r),
    where the residual is 0 with any labels. Only labels, and representations that fit them, make the term small.
    """
    found = world(rng)
    m, rank = found.z.shape[0], found.rank
    agnostic = 2 * np.sqrt(m - rank)
    sized = agnostic * np.sqrt(_largest_class(found) / m)
    term = 2 / np.sqrt(m) * found.residual
    return Sides(
        left=(term, sized, 2.0 * (m > rank)),
        right=(sized, agnostic, agnostic),
        parts=("(2/√m)‖P Y‖_F ≤ 2√((m−r) max m_k/m)", "that ≤ 2√(m−r)", "2 ≤ 2√(m−r) if m > r"),
        measured={"term": term, "by class sizes": sized, "label-agnostic": agnostic},
    )


@without_labels_the_residual_term_says_nothing.control("2√(m − d) is below the error of W = 0", world=TALL)
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    return Sides(left=2 * np.sqrt(len(found.z) - found.z.shape[1]), right=1.0)


@without_labels_the_residual_term_says_nothing.control("‖P Y‖_F ≤ ‖P‖_F, as if ‖Y‖ were 1", world=UNRELATED)
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    return Sides(left=found.residual, right=np.sqrt(len(found.z) - found.rank))


@without_labels_the_residual_term_says_nothing.control("smallest class for the largest")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    smallest = found.one_hot.sum(axis=0).min()
    return Sides(left=found.residual, right=np.sqrt((len(found.z) - found.rank) * smallest))


@without_labels_the_residual_term_says_nothing.control("mean class size for the largest")
def _(world: DrawLabeled, rng: np.random.Generator) -> Sides:
    found = world(rng)
    mean = found.one_hot.sum(axis=0).mean()
    return Sides(left=found.residual, right=np.sqrt((len(found.z) - found.rank) * mean))


def _largest_class(found: Labeled) -> float:
    return float(found.one_hot.sum(axis=0).max())


DrawBatch: TypeAlias = Callable[[np.random.Generator], Samples]


def _batch(n: int, d: int) -> DrawBatch:
    return lambda rng: rng.standard_normal((n, d))


def _embeddings(n: int) -> DrawBatch:
    z = digits_embeddings()
    return lambda rng: z[rng.permutation(len(z))[:n]]


BATCH = World(name="Gaussian batch, N = 256, K = 64", make=lambda: _batch(256, 64))
BARELY = World(name="Gaussian batch, N = 65, K = 64", make=lambda: _batch(65, 64))
EQUAL = World(name="Gaussian batch, N = K = 64", make=lambda: _batch(64, 64))
SMALL = World(name="Gaussian batch, N = 40, K = 64", make=lambda: _batch(40, 64))
HUGE = World(name="Gaussian batch, N = 4000, K = 4", make=lambda: _batch(4000, 4))


@claim(
    "C44",
    relation=Relation.EQUAL,
    tolerance=COUNTED,
    reference=GOLUB_VAN_LOAN_2013,
    worlds=(
        BATCH, BARELY, EQUAL, SMALL, HUGE,
        World(name="digits, embeddings of VICReg, N = 256, K = 64", make=lambda: _embeddings(256), level="default"),
    ),
    formula=r"\mathrm{rank} \hat{C} = \min(N - 1, K), \quad \mathrm{rank} Z^T Z = \min(N, K)",
)  # fmt: skip
def more_rows_than_columns_are_enough_for_an_inverse(world: DrawBatch, rng: np.random.Generator) -> Sides:
    r"""rank Ĉ = min(N − 1, K) and rank ZᵀZ = min(N, K) for N rows of a law with a density: N > K makes Ĉ invertible.

    Diagonal dominance, |Ĉ_kk| > Σ_j |Ĉ_kj| in every row, implies an inverse too but is not needed and is not there:
    beside a variance of 1 a row of Ĉ has K − 1 covariances of mean size √(2/πN) if entries are independent, so that
    their sum stays below 1 only if N is well above 2(K − 1)²/π. Measured are the share of rows that dominate and the
    smallest eigenvalue of Ĉ.
    """
    z = world(rng)
    n, k = z.shape
    centered = z - z.mean(axis=0)
    return Sides(
        left=(np.linalg.matrix_rank(centered), np.linalg.matrix_rank(z)),
        right=(min(n - 1, k), min(n, k)),
        parts=("rank Ĉ = min(N − 1, K)", "rank ZᵀZ = min(N, K)"),
        measured={
            "share of rows that dominate": float(_dominates(z).mean()),
            "smallest eigenvalue": float(np.linalg.eigvalsh(covariance(z))[0]),
        },
    )


@more_rows_than_columns_are_enough_for_an_inverse.control("invertible only if diagonally dominant")
def _(world: DrawBatch, rng: np.random.Generator) -> Sides:
    z = world(rng)
    invertible = np.linalg.matrix_rank(z - z.mean(axis=0)) == z.shape[1]
    return Sides(left=float(invertible), right=float(_dominates(z).all()))


@more_rows_than_columns_are_enough_for_an_inverse.control("an i.i.d. batch is diagonally dominant")
def _(world: DrawBatch, rng: np.random.Generator) -> Sides:
    return Sides(left=float(_dominates(world(rng)).all()), right=1.0)


@more_rows_than_columns_are_enough_for_an_inverse.control("N = K rows are enough for Ĉ", world=EQUAL)
def _(world: DrawBatch, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=np.linalg.matrix_rank(z - z.mean(axis=0)), right=min(z.shape))


@more_rows_than_columns_are_enough_for_an_inverse.control("full rank from any batch", world=SMALL)
def _(world: DrawBatch, rng: np.random.Generator) -> Sides:
    z = world(rng)
    return Sides(left=np.linalg.matrix_rank(z), right=z.shape[1])


def _dominates(z: Samples) -> np.ndarray:
    """Whether each diagonal entry of the covariance exceeds the sum of the others in its row."""
    c = np.abs(covariance(z))
    return 2 * np.diag(c) > c.sum(axis=1)
