"""Multivariate Student laws: heavy tails, and mutual information without correlation."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.choices import require_positive
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import exact
from itssl.distributions.tasks import Task
from itssl.estimate import Estimate
from itssl.kernels.roots import root_between

_SMALLEST_DF = 0.1  # below, draws overflow float64 more often than once in 1e15
_LARGE_DF = 300.0  # above, the closed form cancels and its asymptotic series is exact to rounding


@dataclass(frozen=True, eq=False)
class MultivariateStudent:
    r"""The law of μ + G √(ν/W) with G ~ N(0, Ω) and W ~ χ²_ν independent, on R^d [1].

    ``dispersion`` Ω is the covariance times (ν−2)/ν where that exists (ν > 2). Density

    .. math:: \frac{\Gamma((\nu+d)/2)}{\Gamma(\nu/2)(\nu\pi)^{d/2}|\Omega|^{1/2}}
              \Bigl(1+\tfrac1\nu(x-\mu)^\top\Omega^{-1}(x-\mu)\Bigr)^{-(\nu+d)/2}.

    Every block of coordinates is Student with the same ν. Raises LawError when shapes disagree or Ω is not
    symmetric positive definite, ParameterError unless df is positive and finite.

    References
    ----------
    [1] Kotz & Nadarajah (2004). Multivariate t Distributions and Their Applications. Cambridge.

    >>> MultivariateStudent(np.eye(1), df=1.0).entropy  # Cauchy: log 4π
    2.53102 (exact) nats (Student entropy)
    """

    dispersion: Float[np.ndarray, "d d"]
    df: float
    mean: Float[np.ndarray, " d"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", require_positive("df", self.df))
        dispersion = np.array(self.dispersion, dtype=float)
        center = np.zeros(len(dispersion)) if self.mean is None else np.array(self.mean, dtype=float)
        try:
            gaussian = Gaussian(center, dispersion)
        except LawError as error:
            raise LawError(str(error).replace("cov:", "dispersion:")) from None
        object.__setattr__(self, "dispersion", gaussian.cov)
        object.__setattr__(self, "mean", gaussian.mean)
        object.__setattr__(self, "_gaussian", gaussian)

    @cached_property
    def _normal(self) -> Gaussian:
        return self.__dict__["_gaussian"]

    @property
    def dim(self) -> int:
        return len(self.dispersion)

    @property
    def entropy(self) -> Estimate:
        r"""½ log|Ω| + (d/2) log(νπ) + f(d) in nats, with f as in :func:`student_task`; exact."""
        value = 0.5 * (self._normal.log_det + self.dim * np.log(self.df * np.pi)) + _tail_entropy(self.dim, self.df)
        return exact(float(value), "Student entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        center = self._normal.mean
        widths = np.sqrt(self.df / rng.chisquare(self.df, size=(n, 1)))
        return center + (self._normal.sample(n, rng) - center) * widths

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p for each row of x."""
        from scipy.special import gammaln

        power = (self.df + self.dim) / 2
        constant = gammaln(power) - gammaln(self.df / 2) - 0.5 * (self.dim * np.log(self.df * np.pi))
        squares = self._normal.squared_mahalanobis(x)
        return constant - 0.5 * self._normal.log_det - power * np.log1p(squares / self.df)

    def marginal(self, indices: list[int] | range) -> "MultivariateStudent":
        """The law of the coordinates at ``indices``: Student with the same df."""
        part = self._normal.marginal(indices)
        return MultivariateStudent(part.cov, self.df, part.mean)


def _tail_entropy(d: int, df: float) -> float:
    """log Γ(ν/2) − log Γ((ν+d)/2) + (ν+d)/2·[ψ((ν+d)/2) − ψ(ν/2)]."""
    from scipy.special import digamma, gammaln

    half, power = df / 2, (df + d) / 2
    return float(gammaln(half) - gammaln(power) + power * (digamma(power) - digamma(half)))


def student_correction(d_x: int, d_y: int, df: float) -> float:
    r"""Information in nats that the shared width √(ν/W) of a Student law carries, whatever its dispersion [1, 2].

    c = f(d_x) + f(d_y) − f(d_x + d_y) with f(d) = log Γ(ν/2) − log Γ((ν+d)/2) + (ν+d)/2·[ψ((ν+d)/2) − ψ(ν/2)].
    Positive; falls like d_x d_y/(2ν²) as ν → ∞ and grows like log(2/ν) as ν → 0.

    References
    ----------
    [1] Arellano-Valle, Contreras-Reyes & Genton (2013). Shannon entropy and mutual information for multivariate
        skew-elliptical distributions. Scandinavian Journal of Statistics 40(1).
    [2] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> print(f"{student_correction(1, 1, 1.0):.6f} {np.log(8 * np.pi) - 3:.6f}")
    0.224171 0.224171
    """
    if df < _LARGE_DF:
        return _tail_entropy(d_x, df) + _tail_entropy(d_y, df) - _tail_entropy(d_x + d_y, df)
    # f(d_x) + f(d_y) - f(d_x + d_y) would lose everything: terms of size ν cancel to one of size d_x d_y/(2ν²).
    # With b = (ν+d)/2, bψ(b) − log Γ(b) = b + ½ log b + const − 1/(6b) + 1/(90b³) − 1/(210b⁵) + ...
    a = df / 2
    blocks = np.array([a + d_x / 2, a + d_y / 2, a + (d_x + d_y) / 2, a])
    tail = np.array([1, 1, -1, -1]) @ (-1 / (6 * blocks) + 1 / (90 * blocks**3) - 1 / (210 * blocks**5))
    return float(0.5 * np.log1p(d_x * d_y / 4 / (a * blocks[2])) + tail)


def student_task(dispersion: Float[np.ndarray, "d d"], d_x: int, df: float, *, name: str | None = None) -> Task:
    r"""The first d_x coordinates of a Student law against the others.

    .. math:: I = \tfrac12\log\frac{|\Omega_x||\Omega_y|}{|\Omega|} + c(\nu, d_x, d_y),

    the Gaussian term plus c as in :func:`student_correction`, in nats; exact. Positive even for Ω = I, where X and Y
    are uncorrelated. Ω has shape (d, d). Raises LawError unless 1 ≤ d_x < d and Ω is positive definite.

    >>> student_task(np.eye(2), 1, 1.0)
    Task('Student, 1 × 1, df=1', 1 × 1: 0.224171 (exact) nats)
    """
    joint = MultivariateStudent(dispersion, df)
    d_y = joint.dim - d_x
    gaussian = joint._normal.mutual_information(range(d_x)).value
    return Task(
        name=name or f"Student, {d_x} × {d_y}, df={df:g}",
        joint=joint, x=joint.marginal(range(d_x)), y=joint.marginal(range(d_x, joint.dim)),
        mutual_information=exact(gaussian + student_correction(d_x, d_y, joint.df), "Student mutual information"),
    )  # fmt: skip


def student_task_with_information(nats: float, d_x: int, d_y: int) -> Task:
    """Uncorrelated Student variables (identity dispersion) whose degrees of freedom give the information asked for.

    The inverse of :func:`student_task` at Ω = I: c(ν, d_x, d_y) = I as in :func:`student_correction`, solved for ν.
    Raises LawError unless 0 < nats ≤ the information at df = 0.1, below which float64 cannot hold the draws.

    >>> print(f"{student_task_with_information(0.5, 2, 3).mutual_information.value:.9f}")
    0.500000000
    """

    top = student_correction(d_x, d_y, _SMALLEST_DF)
    if not 1e-6 <= nats <= top:
        raise LawError(
            f"nats: expected a number from 1e-6 to {top:.4g} for {d_x} × {d_y} coordinates of identity dispersion, "
            f"got {nats}; add coordinates, or use student_task with a correlated dispersion"
        )

    def excess(log_df: float) -> float:
        return student_correction(d_x, d_y, float(np.exp(log_df))) - nats

    # c is about d_x d_y/(2ν²) for large ν, and smaller before that
    highest = float(np.log(_SMALLEST_DF + np.sqrt(10 * d_x * d_y / nats)))
    log_df = root_between(excess, float(np.log(_SMALLEST_DF)) - 1e-9, highest, xtol=1e-13)
    return student_task(np.eye(d_x + d_y), d_x, float(np.exp(log_df)))
