"""What a batch of few rows does to VICReg's covariance term and to log|Ĉ|."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, MonteCarlo, Relation, Sides
from itssl.claims.worlds import digits_embeddings, random_covariance
from itssl.estimate import Reference
from itssl.estimators.wishart import log_determinant_bias
from itssl.kernels.linalg import covariance
from itssl.objectives.vicreg import covariance_term

WELCH_1974 = Reference(
    authors="Welch", title="Lower bounds on the maximum cross correlation of signals", year=1974,
    where="IEEE Transactions on Information Theory 20(3), 397-399",
)  # fmt: skip
MUIRHEAD_1982 = Reference(
    authors="Muirhead", title="Aspects of Multivariate Statistical Theory", year=1982, where="Wiley"
)


ROWS = 256
ROUNDING = FloatingPoint(ulps=ROWS)
"""A sum of n terms is right to n ulps."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Batches of N rows and K columns, drawn or optimized anew in each replicate; ``optimal``: they reach the floor."""

    draw: Callable[[np.random.Generator], Samples]
    optimal: bool = False


@dataclass(frozen=True, kw_only=True)
class RowLaw:
    """A law of rows, and what the covariance term of n of them is on average.

    ``cov`` and ``cumulant``: C and the fourth cumulants κ_iijj (0 for a Gaussian). Batches of n and of 8n rows are
    compared, ``averaged`` of the latter a replicate.
    """

    sample: Callable[[int, np.random.Generator], Samples]
    cov: Float[np.ndarray, "K K"]
    cumulant: Float[np.ndarray, "K K"]
    n: int
    averaged: int

    def expected(self, n: int, *, gaussian: bool = False) -> float:
        """(1/K) Σ_{i≠j} [C_ij² + κ_iijj/n + (C_ii C_jj + C_ij²)/(n − 1)]."""
        var = np.diag(self.cov)
        kappa = 0.0 if gaussian else self.cumulant
        return _off_diagonal_mean(self.cov**2 + kappa / n + (np.outer(var, var) + self.cov**2) / (n - 1))


def _off_diagonal_mean(m: Float[np.ndarray, "K K"]) -> float:
    """(1/K) Σ_{i≠j} m_ij."""
    return float(m.sum() - np.trace(m)) / len(m)


def _descend(n: int, k: int, rng: np.random.Generator, *, steps: int = 120, centered: bool = True) -> Samples:
    """Gradient descent on the energy off the diagonal, from random columns kept centered and of unit variance.

    At a tight frame the nonzero eigenvalues of ZZᵀ are K/(N − 1): steps of half the inverse.
    """
    z = _normalized(rng.standard_normal((n, k)), centered=centered)
    for _ in range(steps):
        gradient = z @ z.T @ z
        z = _normalized(z - (n - 1) / (2 * k) * (gradient - z * (z * gradient).sum(axis=0)), centered=centered)
    return z * np.sqrt(n - 1)


def _normalized(z: Samples, *, centered: bool = True) -> Samples:
    z = z - z.mean(axis=0) if centered else z
    return z / np.linalg.norm(z, axis=0)


def _correlated(k: int, correlation: float, *, n: int, averaged: int, mixed: bool = False) -> RowLaw:
    """Gaussian rows of equicorrelated columns; ``mixed``: times √0.2 or √1.8, which makes a heavy-tailed law."""
    cov = (1 - correlation) * np.eye(k) + correlation * np.ones((k, k))
    root = np.linalg.cholesky(cov)

    def sample(rows: int, rng: np.random.Generator) -> Samples:
        scale = np.sqrt(rng.choice([0.2, 1.8], size=(rows, 1))) if mixed else 1.0
        return scale * (rng.standard_normal((rows, k)) @ root.T)

    return RowLaw(sample=sample, cov=cov, cumulant=0.64 * mixed * (1 + 2 * cov**2), n=n, averaged=averaged)


def _drawn_again(z: Samples, *, n: int, averaged: int) -> RowLaw:
    """Rows of z drawn with replacement: the moments of the law are those of the rows."""
    cov = covariance(z) * (len(z) - 1) / len(z)
    squares = (z - z.mean(axis=0)) ** 2
    cumulant = squares.T @ squares / len(z) - np.outer(np.diag(cov), np.diag(cov)) - 2 * cov**2
    return RowLaw(
        sample=lambda rows, rng: z[rng.integers(len(z), size=rows)],
        cov=cov, cumulant=cumulant, n=n, averaged=averaged,
    )  # fmt: skip


def _embedded_batches() -> Frames:
    z = digits_embeddings()
    return Frames(draw=lambda rng: z[rng.permutation(len(z))[:17]])


DESCENDED = World(
    name="64 columns in 17 rows, after gradient descent",
    make=lambda: Frames(draw=partial(_descend, 17, 64), optimal=True),
    tolerance=ROUNDING,
)
INDEPENDENT = World(
    name="64 independent N(0, 1), 8 batches of 32 against one of 256",
    make=lambda: _correlated(64, 0.0, n=32, averaged=4),
)
TWO_COLUMNS = World(
    name="two columns of correlation 0.6, 8 batches of 4 against one of 32",
    make=lambda: _correlated(2, 0.6, n=4, averaged=512),
)
HEAVY_TAILS = World(
    name="4 heavy-tailed columns, 8 batches of 8 against one of 64",
    make=lambda: _correlated(4, 0.0, n=8, averaged=256, mixed=True),
)


@claim(
    "C25",
    relation=Relation.AT_LEAST,
    margin=0.02,
    reference=WELCH_1974,
    formula=r"c(Z) \ge \frac{K}{N - 1} - 1, \quad C_{kk} = 1",
    worlds=(
        DESCENDED,
        World(
            name="16 columns in 9 rows, after gradient descent",
            make=lambda: Frames(draw=partial(_descend, 9, 16), optimal=True),
            tolerance=ROUNDING,
        ),
        World(
            name="64 independent N(0, 1) in 17 rows",
            make=lambda: Frames(draw=lambda rng: rng.standard_normal((17, 64))),
            tolerance=ROUNDING,
        ),
        World(name="17 embeddings of digits after VICReg", make=_embedded_batches, tolerance=ROUNDING),
        INDEPENDENT,
        TWO_COLUMNS,
        HEAVY_TAILS,
        World(
            name="embeddings of digits after VICReg, 8 batches of 32 against one of 256",
            make=lambda: _drawn_again(digits_embeddings(), n=32, averaged=8),
            level="default",
            tolerance=MonteCarlo(0.05),
        ),
    ),
    tight_at=DESCENDED,
)
def few_rows_keep_covariance_term_from_zero(world: Frames | RowLaw, rng: np.random.Generator) -> Sides:
    r"""c(Z) ≥ K/(N−1) − 1 at unit diagonal, and E Ĉ_ij² = C_ij² + κ_iijj/n + (C_ii C_jj + C_ij²)/(n−1).

    Ĉ has at most N − 1 nonzero eigenvalues, so ‖Ĉ‖² ≥ (tr Ĉ)²/(N−1) and K c(Z) ≥ (tr Ĉ)²/(N−1) − Σ Ĉ_kk² [1]: a
    floor above 0 if N − 1 < K, equal at tight frames, where gradient descent ends. On average c(Z) is above that of
    the law by the second formula's excess, here with the fourth cumulants κ of i.i.d. rows (0 for Gaussian
    ones) [2]: (K−1)/(n−1) for independent columns of variance 1, so 8 batches of 32 have an eightfold excess
    over one batch of 256 and no mean of them removes it. Compared in both directions.

    References
    ----------
    [1] Welch (1974), in the form for frames and any centered Gram matrix.
    [2] Kendall & Stuart (1977). The Advanced Theory of Statistics 1: sampling cumulants of k-statistics.
    """
    if isinstance(world, RowLaw):
        small, large = _terms(world, rng)
        baseline = _off_diagonal_mean(world.cov**2)
        return _equal(
            (small, large), (world.expected(world.n), world.expected(8 * world.n)),
            (f"mean c of batches of {world.n}", f"c of batches of {8 * world.n}"),
            {f"c, n = {world.n}": small, f"c, n = {8 * world.n}": large, "c of the law": baseline},
        )  # fmt: skip
    z = world.draw(rng)
    n, k = z.shape
    c, unit, floor = float(covariance_term(z)), float(covariance_term(z / z.std(axis=0, ddof=1))), k / (n - 1) - 1
    var = np.diag(covariance(z))
    general = float(var.sum() ** 2 / (n - 1) - (var**2).sum()) / k
    measured = {"c": c, "c at unit diagonal": unit, "floor": floor, "i.i.d. Gaussian": (k - 1) / (n - 1)}
    reached = ((floor, unit, "floor reached"),) if world.optimal else ()
    left, right, parts = zip(
        (unit, floor, "c ≥ K/(N−1) − 1 at unit diagonal"), (c, general, "c ≥ ((tr Ĉ)²/(N−1) − Σ Ĉ_kk²)/K"), *reached,
        strict=True,
    )  # fmt: skip
    return Sides(left=left, right=right, parts=parts, measured=measured)


_floor = few_rows_keep_covariance_term_from_zero


@_floor.control("the covariance term can be 0 in any batch")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    return Sides(left=0.0, right=float(covariance_term(world.draw(rng))))


@_floor.control("K/(N−1) without −1")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    z = world.draw(rng)
    return Sides(left=float(covariance_term(z)), right=z.shape[1] / (len(z) - 1))


@_floor.control("N − 2 for N − 1")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    z = world.draw(rng)
    return Sides(left=float(covariance_term(z)), right=z.shape[1] / (len(z) - 2) - 1)


@_floor.control("no batch is below the i.i.d. baseline (K−1)/(N−1)")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    z = world.draw(rng)
    return Sides(left=float(covariance_term(z)), right=(z.shape[1] - 1) / (len(z) - 1))


@_floor.control("any diagonal: columns of deviation ½")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    z = world.draw(rng)
    return Sides(left=float(covariance_term(z / 2)), right=z.shape[1] / (len(z) - 1) - 1)


@_floor.control("second moments of columns that are not centered")
def _(world: Frames, rng: np.random.Generator) -> Sides:
    n, k = world.draw(rng).shape
    unit = _descend(n, k, rng, centered=False) / np.sqrt(n - 1)
    return Sides(left=_off_diagonal_mean((unit.T @ unit) ** 2), right=k / (n - 1) - 1)


@_floor.control("8 batches of 32 have the covariance term of one of 256", world=INDEPENDENT)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    small, large = _terms(world, rng)
    return Sides(left=large, right=small, measured={"mean c of 8 × 32": small, "c of 256": large})


@_floor.control("Ĉ_ij² is unbiased", world=INDEPENDENT)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    return Sides(left=_off_diagonal_mean(world.cov**2), right=_terms(world, rng)[1])


@_floor.control("n for n − 1", world=INDEPENDENT)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    return Sides(left=world.expected(world.n + 1), right=_terms(world, rng)[0])


@_floor.control("C_ij² forgotten beside C_ii C_jj", world=TWO_COLUMNS)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    forgotten = _off_diagonal_mean(world.cov**2) / (world.n - 1)
    return Sides(left=world.expected(world.n) - forgotten, right=_terms(world, rng)[0])


@_floor.control("twice the excess", world=INDEPENDENT)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    twice = 2 * world.expected(world.n) - _off_diagonal_mean(world.cov**2)
    return Sides(left=_terms(world, rng)[0], right=twice)


@_floor.control("the Gaussian formula for heavy tails", world=HEAVY_TAILS)
def _(world: RowLaw, rng: np.random.Generator) -> Sides:
    return Sides(left=world.expected(world.n, gaussian=True), right=_terms(world, rng)[0])


def _terms(world: RowLaw, rng: np.random.Generator) -> tuple[float, float]:
    """The covariance term of 8 batches of n, and of the one batch of 8n that they are: means over draws."""
    z = world.sample(world.averaged * 8 * world.n, rng)
    small, large = (_covariance_terms(z.reshape(-1, n, z.shape[1])) for n in (world.n, 8 * world.n))
    return float(small.mean()), float(large.mean())


def _covariance_terms(z: Float[np.ndarray, "m n K"]) -> Float[np.ndarray, " m"]:
    """VICReg's covariance term of m batches at once."""
    cov = _covariances(z)
    return ((cov**2).sum(axis=(1, 2)) - (np.diagonal(cov, axis1=1, axis2=2) ** 2).sum(axis=1)) / z.shape[2]


def _covariances(z: Float[np.ndarray, "m n K"]) -> Float[np.ndarray, "m K K"]:
    z = z - z.mean(axis=1, keepdims=True)
    return z.transpose(0, 2, 1) @ z / (z.shape[1] - 1)


def _equal(
    left: tuple[float, ...], right: tuple[float, ...], names: tuple[str, ...], measured: dict[str, float]
) -> Sides:
    """Equality as two inequalities."""
    parts = tuple(f"{name}, {side}" for side in ("from below", "from above") for name in names)
    return Sides(left=left + right, right=right + left, parts=parts, measured=measured)


@dataclass(frozen=True, kw_only=True)
class GaussianBatches:
    """Batches of n Gaussian rows with covariance ``cov``, ``averaged`` of them a replicate."""

    cov: Float[np.ndarray, "K K"]
    n: int
    averaged: int


def _gaussian(k: int, n: int, *, averaged: int = 512) -> GaussianBatches:
    return GaussianBatches(
        cov=random_covariance(k, stream(0, "log-determinant", k), condition=100.0), n=n, averaged=averaged
    )


SHORT = World(name="8 rows in R^4", make=lambda: _gaussian(4, 8))
EMBEDDINGS = World(
    name="128 rows of the covariance of digits embeddings",
    make=lambda: GaussianBatches(cov=covariance(digits_embeddings()), n=128, averaged=16),
    level="default",
    tolerance=MonteCarlo(0.2),
)


@claim(
    "C26",
    relation=Relation.EQUAL,
    margin=0.03,
    reference=MUIRHEAD_1982,
    formula=(
        r"\mathbb{E} \log \lvert \hat{C} \rvert - \log \lvert C \rvert = \sum_{i=1}^{K} \psi\left(\frac{N - "
        r"i}{2}\right) + K \log \frac{2}{N - 1}"
    ),
    worlds=(
        SHORT,
        World(name="2 rows in R", make=lambda: _gaussian(1, 2, averaged=2048)),
        World(name="40 rows in R^8", make=lambda: _gaussian(8, 40, averaged=128)),
        World(name="9 rows in R^8, N − 1 = K", make=lambda: _gaussian(8, 9), tolerance=MonteCarlo(0.1)),
        EMBEDDINGS,
    ),
)
def log_determinant_of_few_rows_is_too_small(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    r"""E log|Ĉ| − log|C| = Σ_{i≤K} ψ((N−i)/2) + K log(2/(N−1)) for the unbiased Ĉ of N > K Gaussian rows: less than 0.

    (N−1)Ĉ is a Wishart matrix, whose determinant over |C| is a product of independent χ² variables with N−1, ...,
    N−K degrees of freedom [1]. About −K(K+1)/(2(N−1)) for N ≫ K, whatever C; half of it is that of an entropy.
    Left: a mean over batches, right: ψ by :func:`itssl.estimators.wishart.log_determinant_bias`.
    """
    bias = _measured_bias(world, rng)
    exact = log_determinant_bias(world.n, len(world.cov))
    return Sides(left=bias, right=exact, measured={"bias": bias, "by the formula": exact})


_bias = log_determinant_of_few_rows_is_too_small


@_bias.control("no bias")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    return Sides(left=_measured_bias(world, rng), right=0.0)


@_bias.control("N degrees of freedom for N − 1")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    return Sides(left=_measured_bias(world, rng), right=log_determinant_bias(world.n + 1, len(world.cov)))


@_bias.control("log(2/N) for log(2/(N−1))")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    k = len(world.cov)
    shift = k * float(np.log((world.n - 1) / world.n))
    return Sides(left=_measured_bias(world, rng), right=log_determinant_bias(world.n, k) + shift)


@_bias.control("its first order")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    k = len(world.cov)
    return Sides(left=_measured_bias(world, rng), right=-k * (k + 1) / (2 * (world.n - 1)))


@_bias.control("bias of the entropy for that of the log-determinant")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    return Sides(left=_measured_bias(world, rng), right=log_determinant_bias(world.n, len(world.cov)) / 2)


@_bias.control("too large instead of too small")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    return Sides(left=_measured_bias(world, rng), right=-log_determinant_bias(world.n, len(world.cov)))


@_bias.control("in bits")
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    return Sides(left=_measured_bias(world, rng) / np.log(2), right=log_determinant_bias(world.n, len(world.cov)))


@_bias.control("embeddings drawn again are Gaussian", world=EMBEDDINGS)
def _(world: GaussianBatches, rng: np.random.Generator) -> Sides:
    z = digits_embeddings()
    drawn = z[rng.integers(len(z), size=(world.averaged, world.n))]
    cov = world.cov * (len(z) - 1) / len(z)
    bias = float((np.linalg.slogdet(_covariances(drawn))[1]).mean() - np.linalg.slogdet(cov)[1])
    return Sides(left=bias, right=log_determinant_bias(world.n, len(cov)), measured={"bias of embeddings": bias})


def _measured_bias(world: GaussianBatches, rng: np.random.Generator) -> float:
    """Mean of log|Ĉ| − log|C|."""
    white = rng.standard_normal((world.averaged, world.n, len(world.cov)))
    log_dets = np.linalg.slogdet(_covariances(white @ np.linalg.cholesky(world.cov).T))[1]
    return float(log_dets.mean() - np.linalg.slogdet(world.cov)[1])
