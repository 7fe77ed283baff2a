"""Matrix-based Rényi entropy: functionals of a Gram matrix that behave like entropies and are not Shannon's."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import (
    SampleError,
    Samples,
    SamplesLike,
    as_matrix,
    as_paired_samples,
    as_samples,
    namespace,
    refuse_constant_columns,
    refuse_masked,
)
from itssl.choices import require_positive
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.diagnosis import ceiling_warnings, pair_warnings, sample_warnings, small_sample_warnings
from itssl.estimators.error_bars import jackknife_standard_error
from itssl.estimators.standardization import canonical_order, in_units_of_its_own
from itssl.kernels.tiles import tiles

LARGEST = 4096
"""The most rows whose n×n Gram matrix is diagonalized: 128 MiB."""


_NEARLY_ONE = 1e-5
"""|α − 1| up to which the entropy is expanded to first order: the next term is about 1e-10."""

_NO_JACKKNIFE = EstimateWarning(
    code="no_error_bar", message="above 1000 rows the jackknife of 40 eigenvalue problems is left out",
    cure="use alpha=2, which needs no eigenvalues, or fewer rows",
)  # fmt: skip


@dataclass(frozen=True)
class MatrixRenyi:
    r"""Matrix-based Rényi α-entropy of a Gaussian Gram matrix [1]; α = 1 is von Neumann's. **Not Shannon entropy.**

    With K_ij = exp(−‖x_i − x_j‖²/(2σ²)) and A = K/n: S_α(x) = log tr A^α / (1 − α), for α = 1: −tr A log A. Between 0
    (all rows alike) and log n (no two rows near). For two variables S(x, y) is that of the Hadamard product of the
    kernels (of trace one), and mutual_information is S(x) + S(y) − S(x, y). Values depend on σ = ``bandwidth`` × the
    root mean square distance of two rows, on α and on n; they approach neither h nor I as n grows: compare like with
    like.

    α = 2 needs no eigenvalues: O(n²) time and O(n·d) memory. Any other α takes the eigenvalues of an n×n matrix.
    Raises ParameterError unless α and the bandwidth are finite and > 0.

    References
    ----------
    [1] Sanchez Giraldo, Rao & Principe (2015). Measures of entropy from data using infinitely divisible kernels.
        IEEE Trans. Information Theory 61(1).

    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> MatrixRenyi().entropy(x)
    0.6849 ± 0.0096 nats (MatrixRenyi(alpha=2.0, bandwidth=1.0), not Shannon, n=300)
    """

    alpha: float = 2.0
    bandwidth: float = 1.0

    REFERENCE = Reference(
        authors="Sanchez Giraldo, Rao & Principe", year=2015, where="IEEE Trans. Information Theory 61(1), 535-548",
        title="Measures of entropy from data using infinitely divisible kernels",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", require_positive("alpha", self.alpha))
        object.__setattr__(self, "bandwidth", require_positive("bandwidth", self.bandwidth))

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """S_α(x) in nats for x of shape (n, d); no bias direction, for it estimates no Shannon quantity.

        Standard error by the jackknife (nan for α ≠ 2 above n = 1000, where it would take minutes).
        Raises SampleError for constant columns, inadmissible samples and, unless α = 2, n > 4096.
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        return self._estimate([x], sample_warnings(x))

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """S_α(x) + S_α(y) − S_α(x, y) in nats; zero for a constant kernel, not for independent draws. See the class.

        Each variable has its own σ. Warns ``ceiling`` near log n. Raises SampleError as :meth:`entropy`.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        return self._estimate([x, y], pair_warnings(x, y))

    def _estimate(self, variables: list[Samples], warnings: tuple) -> Estimate:
        n = len(variables[0])
        if self.alpha != 2 and n > LARGEST:
            raise SampleError(
                f"x: expected at most {LARGEST} rows for alpha = {self.alpha:g}, got {n}, whose Gram matrix would have "
                f"{n}² entries; use alpha=2, which needs none, or fewer rows"
            )

        def value(rows: np.ndarray | slice) -> float:
            # in units of √2 σ the kernel is exp(−squared distance), and that of a pair exp(−sum of squared distances);
            # the mean square distance of two rows is twice the trace of the covariance
            parts = [in_units_of_its_own(x[rows])[0] / (2 * self.bandwidth * x.shape[1] ** 0.5) for x in variables]
            alone = sum(_renyi_entropy(z, self.alpha) for z in parts)
            return alone if len(parts) == 1 else alone - _renyi_entropy(np.hstack(parts), self.alpha)

        cheap = self.alpha == 2 or n <= 1000
        error, freedom = (
            jackknife_standard_error(value, canonical_order(*variables)) if cheap else (float("nan"), float("nan"))
        )
        found = value(slice(None))
        return Estimate(
            value=found, standard_error=error, degrees_of_freedom=freedom, n=n, bias=Bias.UNKNOWN,
            method=f"{self!r}, not Shannon", reference=self.REFERENCE,
            warnings=warnings + ceiling_warnings(found, float(np.log(n)), "log n")
            + (small_sample_warnings(error, found, n) if cheap else (_NO_JACKKNIFE,)),
        )  # fmt: skip


def matrix_renyi_entropy(gram: Float[Any, "n n"], *, alpha: float) -> Float[Any, ""]:
    r"""log Σ λ_i^α / (1 − α) for the eigenvalues λ of K / tr K; −Σ λ log λ for α = 1. Numpy or torch, with gradients.

    ``gram`` is a positive semidefinite kernel matrix (n, n), see :class:`MatrixRenyi`. In nats, between 0 and log n;
    not Shannon entropy of the data. Raises ParameterError unless α > 0, SampleError unless the matrix is square, finite
    and of positive trace.

    >>> print(f"{matrix_renyi_entropy(np.eye(4), alpha=1.0):.4f} {np.log(4):.4f}")
    1.3863 1.3863
    """
    require_positive("alpha", alpha)
    xp, gram = _as_gram(gram)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not bool(xp.isfinite(gram).all()) or not xp.trace(gram) > 0:
        raise SampleError(
            f"gram: expected a finite square matrix of positive trace, got shape {tuple(gram.shape)}; pass the kernel "
            "of all pairs of rows"
        )
    normalized = gram / xp.trace(gram)
    if alpha == 2:
        return -xp.log((normalized**2).sum())
    values = xp.linalg.eigvalsh((normalized + normalized.T) / 2)
    positive = values[values > len(values) * xp.finfo(values.dtype).eps * values[-1]]  # the others are rounding
    logs = xp.log(positive)
    if abs(alpha - 1) < _NEARLY_ONE:  # S + (1 − α)/2 Var log λ: the quotient below would cancel
        mean = (positive * logs).sum()
        return -mean + (1 - alpha) / 2 * (positive * (logs - mean) ** 2).sum()
    return (alpha * logs[-1] + xp.log(xp.exp(alpha * (logs - logs[-1])).sum())) / (1 - alpha)


def gaussian_gram(z: Float[Any, "n d"], *, bandwidth: float) -> Float[Any, "n n"]:
    """K_ij = exp(−‖z_i − z_j‖²/(2 bandwidth²)), numpy or torch; holds all n² entries, so for batches.

    z has shape (n, d), the answer (n, n) [1]. Raises SampleError for inadmissible z, ParameterError unless
    bandwidth > 0.

    References
    ----------
    [1] Sanchez Giraldo, Rao & Principe (2015). Measures of entropy from data using infinitely divisible kernels.
        IEEE Trans. Information Theory 61(1).

    >>> gaussian_gram(np.array([[0.0], [1.0]]), bandwidth=1.0).round(4)
    array([[1.    , 0.6065],
           [0.6065, 1.    ]])
    """
    require_positive("bandwidth", bandwidth)
    xp, z = as_matrix(z)
    centered = (z - z.mean(0)) / (2**0.5 * bandwidth)
    square = (centered**2).sum(1)
    exponent = square[:, None] + square[None] - 2 * centered @ centered.T
    return xp.exp(-exponent.clip(0))


def _as_gram(gram: Any) -> tuple[ModuleType, Any]:
    """Its namespace, and the matrix in a precision whose eigenvalues can be taken: lists and integers are admitted."""
    xp = namespace(gram)
    if xp is np:
        refuse_masked(gram, "gram")
        gram = np.asarray(gram)
        return xp, gram if gram.dtype == np.float32 else gram.astype(float, copy=False)
    return xp, gram if gram.dtype in (xp.float32, xp.float64) else gram.to(
        xp.float32 if gram.is_floating_point() else xp.float64
    )


def _renyi_entropy(z: Samples, alpha: float) -> float:
    if alpha != 2:
        return float(matrix_renyi_entropy(gaussian_gram(z, bandwidth=0.5**0.5), alpha=alpha))
    # tr A² = (1/n²) Σ_ij K_ij², row tiles at a time
    square, total = np.einsum("ij,ij->i", z, z), 0.0
    for rows in tiles(len(z)):
        exponent = square[rows, None] + square - 2 * z[rows] @ z.T
        total += float(np.exp(-2 * exponent.clip(0, 350)).sum())
    return -float(np.log(total / len(z) ** 2))
