"""Gaussian laws: entropy, Kullback–Leibler divergence, mutual information of blocks, affine images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.law import exact
from itssl.estimate import Estimate
from itssl.kernels.linalg import LOG_2PI


class LawError(ValueError):
    """Parameters that describe no law; the message says which and why.

    >>> try:
    ...     Gaussian(np.zeros(2), -np.eye(2))
    ... except LawError as error:
    ...     print(error)
    cov: expected a positive definite matrix, got smallest eigenvalue -1; a law with singular covariance has no density
    """


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The law N(mean, cov) on R^d with positive definite covariance.

    Density |2πΣ|^{−½} exp(−½ (x−μ)ᵀΣ⁻¹(x−μ)), h = ½ log((2πe)^d |Σ|) nats [1]; ``mean`` has shape (d,), ``cov`` (d, d).
    Raises LawError when shapes disagree or cov is not symmetric positive definite.

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8.

    >>> Gaussian.standard(1).entropy
    1.41894 (exact) nats (Gaussian entropy)
    """

    mean: Float[np.ndarray, " d"]
    cov: Float[np.ndarray, "d d"]

    def __post_init__(self) -> None:
        mean, cov = np.array(self.mean, dtype=float), np.array(self.cov, dtype=float)
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
            raise LawError(f"cov: expected shape ({mean.size}, {mean.size}) to fit mean, got {cov.shape}")
        require_covariance(cov, "cov")
        mean.flags.writeable = cov.flags.writeable = False
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cov", cov)

    @classmethod
    def standard(cls, d: int) -> "Gaussian":
        """N(0, I) in d dimensions."""
        return cls(np.zeros(d), np.eye(d))

    @property
    def dim(self) -> int:
        return len(self.mean)

    @cached_property
    def _factor(self) -> Float[np.ndarray, "d d"]:
        return np.linalg.cholesky(self.cov)

    @cached_property
    def log_det(self) -> float:
        """log |Σ| by Cholesky, in nats."""
        return float(2 * np.log(np.diagonal(self._factor)).sum())

    @property
    def entropy(self) -> Estimate:
        """h = ½ log((2πe)^d |Σ|) in nats, exact."""
        return exact(0.5 * (self.dim * (LOG_2PI + 1) + self.log_det), "Gaussian entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return self.mean + rng.standard_normal((n, self.dim)) @ self._factor.T

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log N(x; mean, cov) for each row of x."""
        return -0.5 * (self.dim * LOG_2PI + self.log_det + self.squared_mahalanobis(x))

    def squared_mahalanobis(self, x: Samples) -> Float[np.ndarray, " n"]:
        """(x − μ)ᵀ Σ⁻¹ (x − μ) for each row of x."""
        from scipy.linalg import solve_triangular

        white = solve_triangular(self._factor, (x - self.mean).T, lower=True)
        return np.einsum("ij,ij->j", white, white)

    def marginal(self, indices: Sequence[int]) -> "Gaussian":
        """The law of the coordinates at ``indices``."""
        kept = np.asarray(indices)
        return Gaussian(self.mean[kept], self.cov[np.ix_(kept, kept)])

    def affine_image(self, matrix: Float[np.ndarray, "k d"], offset: Float[np.ndarray, " k"]) -> "Gaussian":
        """The law N(Aμ + b, AΣAᵀ) of AX + b. Raises LawError when AΣAᵀ is singular (then it has no density).

        >>> Gaussian.standard(2).affine_image(np.array([[3.0, 4.0]]), np.zeros(1)).cov
        array([[25.]])
        """
        cov = matrix @ self.cov @ matrix.T
        return Gaussian(matrix @ self.mean + offset, (cov + cov.T) / 2)

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others: ½ log(|Σ_A||Σ_B|/|Σ|) in nats, exact.

        >>> g = Gaussian(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]))
        >>> print(f"{g.mutual_information([0]).value:.4f}")
        0.2231
        """
        others = [i for i in range(self.dim) if i not in set(block)]
        if not others or not len(block):
            raise LawError(f"block: expected some but not all of {self.dim} coordinates, got {list(block)}")
        a, b = self.marginal(block), self.marginal(others)
        return exact(0.5 * (a.log_det + b.log_det - self.log_det), "Gaussian mutual information")


def kl_divergence(p: Gaussian, q: Gaussian) -> Estimate:
    """D(P‖Q) = ½ [tr(Σ_q⁻¹Σ_p) + (μ_q−μ_p)ᵀΣ_q⁻¹(μ_q−μ_p) − d + log|Σ_q| − log|Σ_p|] in nats, exact.

    >>> round(kl_divergence(Gaussian.standard(1), Gaussian(np.ones(1), np.eye(1))).value, 12)
    0.5
    """
    if p.dim != q.dim:
        raise LawError(f"q: expected a law on R^{p.dim} like p, got one on R^{q.dim}")
    trace = float(np.trace(np.linalg.solve(q.cov, p.cov)))
    shift = float(q.squared_mahalanobis(p.mean[None])[0])
    return exact(0.5 * (trace + shift - p.dim + q.log_det - p.log_det), "Gaussian KL divergence")


def require_covariance(cov: Float[np.ndarray, "d d"], name: str) -> None:
    """Raise LawError unless cov is finite, symmetric (to rounding) and positive definite."""
    if not np.isfinite(cov).all():
        raise LawError(f"{name}: expected finite numbers, got NaN or infinite ones")
    rounding = 8 * len(cov) * np.finfo(float).eps * np.abs(cov).max(initial=0.0)
    if np.abs(cov - cov.T).max(initial=0.0) > rounding:
        raise LawError(f"{name}: expected a symmetric matrix; use (S + S.T) / 2")
    try:
        np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(cov)[0])
        raise LawError(
            f"{name}: expected a positive definite matrix, got smallest eigenvalue {smallest:.3g}; "
            "a law with singular covariance has no density"
        ) from None
