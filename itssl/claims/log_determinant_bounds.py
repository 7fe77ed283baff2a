"""Bounds on the log-determinant of a covariance: by its diagonal, and by the squares of its correlations."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.claims.claim import Assumption, World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_data, digits_embeddings, random_covariance, untrained_digits_encoder
from itssl.estimate import Reference
from itssl.kernels.linalg import covariance, log_determinant

HORN_JOHNSON_2013 = Reference(
    authors="Horn & Johnson", title="Matrix Analysis", year=2013, where="Cambridge University Press, 2nd edition"
)
ROWS = 256
LOOKED_AT = 8
"""Draws on which the hypotheses are measured."""
LARGEST_INVERSE = 1e4
ROUNDING = FloatingPoint(ulps=2**8, condition=LARGEST_INVERSE)
"""Cholesky's pivots are those of R + F, |F_ij| ≤ (K+1) eps, so log|R| errs by K^(5/2) eps/λ_min; 2⁸ > 8^(5/2)."""
ROUNDING_64 = FloatingPoint(ulps=2**15, condition=LARGEST_INVERSE)
"""The same for K = 64."""


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """Symmetric matrices with a positive diagonal, drawn anew in each replicate."""

    draw: Callable[[np.random.Generator], Float[np.ndarray, "d d"]]

    def scaled(self, factor: float) -> "Matrices":
        """The same, times a number."""
        return Matrices(draw=lambda rng: factor * self.draw(rng))

    def worst(self, measure: Callable[[Float[np.ndarray, "d d"]], float]) -> float:
        """The largest of a measure over a few draws."""
        return max(measure(self.draw(stream(i, "hypotheses on matrices"))) for i in range(LOOKED_AT))

    def largest_inverse(self) -> float:
        """1/λ_min of the correlation matrix; infinite where it is not positive definite."""

        def inverse(c: Float[np.ndarray, "d d"]) -> float:
            smallest = float(np.linalg.eigvalsh(correlation(c))[0])
            return 1 / smallest if smallest > 0 else np.inf

        return self.worst(inverse)

    def missed_trace(self) -> float:
        """|tr S − K|/K."""
        return self.worst(lambda s: abs(float(np.trace(s)) / len(s) - 1))


REGULAR = Assumption(
    name="full rank",
    statement="log|R| is finite, and right to the stated rounding (largest 1/λ_min of the correlation matrix R)",
    measure=Matrices.largest_inverse,
    at_most=LARGEST_INVERSE,
)


def correlation(cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """R_ij = C_ij/√(C_ii C_jj), with ones on its diagonal.

    >>> correlation(np.array([[4.0, 3.0], [3.0, 9.0]]))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    std = np.sqrt(np.diagonal(cov))
    corr = cov / np.outer(std, std)
    np.fill_diagonal(corr, 1.0)
    return corr


def _stretched(corr: Float[np.ndarray, "d d"], rng: np.random.Generator) -> Float[np.ndarray, "d d"]:
    """Deviations from about 1e-3 to 1e3."""
    std = np.exp(rng.uniform(-7, 7, len(corr)))
    return corr * np.outer(std, std)


def _equal_correlations(d: int, low: float, high: float, rng: np.random.Generator) -> Float[np.ndarray, "d d"]:
    """All correlations equal, to one number between two."""
    rho = rng.uniform(low, high)
    return (1 - rho) * np.eye(d) + rho * np.ones((d, d))


def _balanced_correlations(rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    """Correlations ±r that add to zero; positive definite for r < 1/3."""
    r = rng.uniform(0.1, 0.3) * np.array([1, 1, 1, -1, -1, -1])[rng.permutation(6)]
    upper = np.zeros((4, 4))
    upper[np.triu_indices(4, 1)] = r
    return np.eye(4) + upper + upper.T


def _near_identity(d: int, t: float, rng: np.random.Generator) -> Float[np.ndarray, "d d"]:
    """I + tE with E of Frobenius norm 1 and zero diagonal."""
    e = np.triu(rng.standard_normal((d, d)), 1)
    return np.eye(d) + t * (e + e.T) / np.linalg.norm(e + e.T)


def _batch_covariance(z: Samples, rng: np.random.Generator) -> Float[np.ndarray, "d d"]:
    return covariance(z[rng.permutation(len(z))[:ROWS]])


def _before() -> Matrices:
    from itssl.networks.encoders import as_double, embed

    return Matrices(draw=partial(_batch_covariance, embed(as_double(untrained_digits_encoder()), digits_data().test_x)))


def _after() -> Matrices:
    return Matrices(draw=partial(_batch_covariance, digits_embeddings()))


# --- C18 -------------------------------------------------------------------------------------------------------------


DIAGONAL = World(name="diagonal, d=8", make=lambda: Matrices(draw=lambda rng: _stretched(np.eye(8), rng)))
STRETCHED = World(
    name="correlated, deviations from 1e-3 to 1e3, d=8",
    make=lambda: Matrices(draw=lambda rng: _stretched(correlation(random_covariance(8, rng)), rng)),
)
PAIR = World(
    name="two coordinates, correlation 0.1 to 0.9",
    make=lambda: Matrices(draw=lambda rng: _stretched(_equal_correlations(2, 0.1, 0.9, rng), rng)),
)
BALANCED = World(name="correlations ±r that add to zero, d=4", make=lambda: Matrices(draw=_balanced_correlations))
INDEFINITE = World(
    name="correlations of 3, so no covariance, d=8",
    make=lambda: Matrices(draw=partial(_equal_correlations, 8, 3.0, 3.0)),
)
BEFORE = World(
    name="embeddings of digits before training, batches of 256", make=_before, level="default", tolerance=ROUNDING_64
)
AFTER = World(
    name="embeddings of digits after VICReg, batches of 256", make=_after, level="default", tolerance=ROUNDING_64
)


@claim(
    "C18",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=HORN_JOHNSON_2013,
    formula=r"\log\lvert C\rvert = \sum_k \log C_{kk} + \log\lvert R\rvert, \quad "
    r"\log\lvert R\rvert \le \log\left(1 - \max_{i \ne j} R_{ij}^2\right) \le 0",
    assumes=(REGULAR,),
    worlds=(
        DIAGONAL,
        STRETCHED,
        PAIR,
        BALANCED,
        World(
            name="all correlations equal, d=8",
            make=lambda: Matrices(draw=lambda rng: _stretched(_equal_correlations(8, -0.14, 0.9, rng), rng)),
        ),
        BEFORE,
        AFTER,
    ),
)
def diagonal_bounds_log_determinant(world: Matrices, rng: np.random.Generator) -> Sides:
    r"""log|C| = Σ log C_kk + log|R| with log|R| ≤ log(1 − max R_ij²) ≤ 0: so log|C| ≤ Σ log C_kk, equal iff diagonal.

    Hadamard's inequality. C = diag(√C_kk) R diag(√C_kk) gives the decomposition into variances and correlations R.
    Fischer's inequality for the two most correlated coordinates, |R| ≤ 1 − R_ij² as the others have ones on their
    diagonal, says by how much one correlation alone lowers the determinant, so that equality needs R = I. −½ log|R|
    is the total correlation of a Gaussian law. log|C| is from Cholesky's pivots, log|R| from eigenvalues.
    """
    c = world.draw(rng)
    return _decomposition(c, np.log(np.diagonal(c)), _log_eigenvalues(correlation(c)))


_hadamard = diagonal_bounds_log_determinant


@_hadamard.control("equal for every covariance", world=STRETCHED)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return Sides(left=float(np.log(np.diagonal(c)).sum()), right=float(log_determinant(c)))


@_hadamard.control("equal if the correlations add to zero", world=BALANCED)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return Sides(left=float(np.log(np.diagonal(c)).sum()), right=float(log_determinant(c)))


@_hadamard.control("for every symmetric matrix with positive diagonal", world=INDEFINITE)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return Sides(left=float(np.linalg.slogdet(c)[1]), right=float(np.log(np.diagonal(c)).sum()))


@_hadamard.control("|R| ≤ 1 − max |R_ij|, without the square", world=PAIR)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    corr = correlation(world.draw(rng))
    return Sides(left=float(log_determinant(corr)), right=float(np.log1p(-_largest(corr))))


@_hadamard.control("½ log|R| in the decomposition", world=STRETCHED)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return _decomposition(c, np.log(np.diagonal(c)), _log_eigenvalues(correlation(c)) / 2)


@_hadamard.control("−log|R| in the decomposition", world=STRETCHED)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return _decomposition(c, np.log(np.diagonal(c)), -_log_eigenvalues(correlation(c)))


@_hadamard.control("partial correlations for correlations", world=STRETCHED)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return _decomposition(c, np.log(np.diagonal(c)), _log_eigenvalues(correlation(np.linalg.inv(c))))


@_hadamard.control("deviations for variances")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return _decomposition(c, np.log(np.diagonal(c)) / 2, _log_eigenvalues(correlation(c)))


@_hadamard.control("binary logarithm of the variances")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    c = world.draw(rng)
    return _decomposition(c, np.log2(np.diagonal(c)), _log_eigenvalues(correlation(c)))


def _decomposition(c: Float[np.ndarray, "d d"], logs: Float[np.ndarray, " d"], log_r: float) -> Sides:
    """``logs`` of the variances and ``log_r`` = log|R|, as the variant has them."""
    log_c, variances = float(log_determinant(c)), float(logs.sum())
    by_pair = float(np.log1p(-(_largest(correlation(c)) ** 2)))
    return Sides(
        left=(log_c, variances + log_r, log_c, log_r),
        right=(variances + log_r, log_c, variances, by_pair),
        parts=(
            "log|C| ≤ Σ log C_kk + log|R|", "Σ log C_kk + log|R| ≤ log|C|", "log|C| ≤ Σ log C_kk",
            "log|R| ≤ log(1 − max R_ij²)",
        ),
        measured={"log|C|": log_c, "Σ log C_kk": variances, "log|R|": log_r, "log(1 − max R_ij²)": by_pair},
    )  # fmt: skip


def _largest(corr: Float[np.ndarray, "d d"]) -> float:
    return float(np.abs(corr - np.diag(np.diagonal(corr))).max())


def _log_eigenvalues(corr: Float[np.ndarray, "d d"]) -> float:
    return float(np.log(np.linalg.eigvalsh(corr)).sum())


# --- C19 -------------------------------------------------------------------------------------------------------------


TRACE = Assumption(
    name="tr S = K",
    statement="the eigenvalues are 1 on average, so that Σ (λ − 1) vanishes: correlation matrices (|tr S − K|/K)",
    measure=Matrices.missed_trace,
    at_most=64 * float(np.finfo(float).eps),
)


def _of_trace_k(rng: np.random.Generator) -> Float[np.ndarray, "8 8"]:
    c = random_covariance(8, rng)
    return 8 * c / np.trace(c)


NEAR = World(name="I + 0.1 E, ‖E‖_F = 1, d=8", make=lambda: Matrices(draw=partial(_near_identity, 8, 0.1)))
POSITIVE = World(
    name="all correlations equal, 0.02 to 0.1, d=8",
    make=lambda: Matrices(draw=partial(_equal_correlations, 8, 0.02, 0.1)),
)
NEGATIVE = World(
    name="all correlations equal, −0.1 to −0.02, d=8",
    make=lambda: Matrices(draw=partial(_equal_correlations, 8, -0.1, -0.02)),
)
LARGER = World(name="1.2 times I + 0.1 E", make=lambda: NEAR.make().scaled(1.2))
SMALLER = World(name="0.8 times I + 0.1 E", make=lambda: NEAR.make().scaled(0.8))


@claim(
    "C19",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=HORN_JOHNSON_2013,
    formula=r"-\frac{\lVert R-I\rVert_F^2}{2\min(1,\lambda_{\min})^2} \le \log\lvert R\rvert "
    r"\le -\frac{\lVert R-I\rVert_F^2}{2\max(1,\lambda_{\max})^2}",
    assumes=(REGULAR, TRACE),
    worlds=(
        NEAR,
        World(name="I + 0.01 E", make=lambda: Matrices(draw=partial(_near_identity, 8, 0.01))),
        POSITIVE,
        NEGATIVE,
        World(
            name="strong correlations, d=8",
            make=lambda: Matrices(draw=lambda rng: correlation(random_covariance(8, rng, condition=100.0))),
        ),
        World(name="covariances of trace K, unequal variances", make=lambda: Matrices(draw=_of_trace_k)),
        World(
            name=f"correlations, {BEFORE.name}",
            make=lambda: _correlations_of(_before()),
            level="default",
            tolerance=ROUNDING_64,
        ),
        World(
            name=f"correlations, {AFTER.name}",
            make=lambda: _correlations_of(_after()),
            level="default",
            tolerance=ROUNDING_64,
        ),
    ),
)
def squared_correlations_sandwich_log_determinant(world: Matrices, rng: np.random.Generator) -> Sides:
    r"""−‖R−I‖²_F/(2 min(1,λ_min)²) ≤ log|R| ≤ −‖R−I‖²_F/(2 max(1,λ_max)²); even without the squares.

    Taylor: log λ = (λ − 1) − (λ − 1)²/(2ξ²) with ξ between 1 and λ; summed over eigenvalues, Σ (λ − 1) = tr R − K = 0
    and Σ (λ − 1)² = ‖R − I‖²_F. Without the square: log λ ≤ (λ − 1/λ)/2 for λ ≥ 1, with u = log λ that is u ≤ sinh u,
    and ≥ for λ ≤ 1; hence −(λ−1)²/(2 min(1,λ)) ≤ log λ − (λ−1) ≤ −(λ−1)²/(2 max(1,λ)). Both sandwiches close as
    R → I. Nothing but tr R = K is used of R: a covariance of that trace will do, and of another will not.
    """
    return _sandwich(world.draw(rng))


_sandwiched = squared_correlations_sandwich_log_determinant


def _correlations_of(world: Matrices) -> Matrices:
    return Matrices(draw=lambda rng: correlation(world.draw(rng)))


@_sandwiched.control("λ_min and λ_max exchanged")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    sides = _sandwich(world.draw(rng))
    return Sides(left=sides.right[2:], right=sides.left[:2], parts=("upper as lower", "lower as upper"))


@_sandwiched.control("root for the square, below", world=NEGATIVE)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    squares, low, _, log_det = _pieces(world.draw(rng))
    return Sides(left=-squares / (2 * np.sqrt(low)), right=log_det)


@_sandwiched.control("root for the square, above", world=POSITIVE)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    squares, _, high, log_det = _pieces(world.draw(rng))
    return Sides(left=log_det, right=-squares / (2 * np.sqrt(high)))


@_sandwiched.control("the second order alone is a lower bound", world=NEGATIVE)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    squares, *_, log_det = _pieces(world.draw(rng))
    return Sides(left=-squares / 2, right=log_det)


@_sandwiched.control("the second order alone is an upper bound", world=POSITIVE)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    squares, *_, log_det = _pieces(world.draw(rng))
    return Sides(left=log_det, right=-squares / 2)


@_sandwiched.control("without ½")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    return _sandwich(world.draw(rng), factor=2.0)


@_sandwiched.control("each pair counted once")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    return _sandwich(world.draw(rng), factor=0.5)


@_sandwiched.control("norm not squared")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    s = world.draw(rng)
    return _sandwich(s, factor=1 / float(np.linalg.norm(s - np.eye(len(s)))))


@_sandwiched.control("spectral norm for Frobenius's")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    off = (s := world.draw(rng)) - np.eye(len(s))
    return _sandwich(s, factor=float((np.linalg.norm(off, 2) / np.linalg.norm(off)) ** 2))


@_sandwiched.control("log|R| in bits")
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    s = world.draw(rng)
    return _sandwich(s, factor=float(np.log(2)))


@_sandwiched.control("a covariance of larger trace", world=LARGER)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    return _sandwich(world.draw(rng))


@_sandwiched.control("a covariance of smaller trace", world=SMALLER)
def _(world: Matrices, rng: np.random.Generator) -> Sides:
    return _sandwich(world.draw(rng))


def _pieces(s: Float[np.ndarray, "d d"]) -> tuple[float, float, float, float]:
    """‖S − I‖²_F, min(1, λ_min), max(1, λ_max) and log|S|."""
    values = np.linalg.eigvalsh(s)
    squares = float(np.square(s - np.eye(len(s))).sum())
    return squares, min(1.0, float(values[0])), max(1.0, float(values[-1])), float(log_determinant(s))


def _sandwich(s: Float[np.ndarray, "d d"], *, factor: float = 1.0) -> Sides:
    """``factor`` times the squares, as a variant has them."""
    squares, low, high, log_det = _pieces(s)
    half = factor * squares / 2
    below, nearer, close, above = -half / low**2, -half / low, -half / high, -half / high**2
    return Sides(
        left=(below, nearer, log_det, close),
        right=(nearer, log_det, close, above),
        parts=(
            "−‖R−I‖²/(2 min²) ≤ −‖R−I‖²/(2 min)", "−‖R−I‖²/(2 min) ≤ log|R|", "log|R| ≤ −‖R−I‖²/(2 max)",
            "−‖R−I‖²/(2 max) ≤ −‖R−I‖²/(2 max²)",
        ),
        measured={
            "with min²": below, "with min": nearer, "log|R|": log_det, "with max": close, "with max²": above,
        },
    )  # fmt: skip
