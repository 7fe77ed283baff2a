"""VICReg: variance, invariance and covariance terms, in the three normalizations that go by this name."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from jaxtyping import Float

from itssl.arrays import as_matching_matrices, as_matrix
from itssl.choices import require_known
from itssl.estimate import Reference
from itssl.kernels.linalg import offdiagonal_energy

Normalization: TypeAlias = Literal["equation", "reference", "solo"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
WEIGHTS = (25.0, 25.0, 1.0)

REFERENCE = Reference(
    authors="Bardes, Ponce & LeCun",
    title="VICReg: Variance-invariance-covariance regularization for self-supervised learning",
    year=2022, where="ICLR",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VICRegTerms:
    """The three terms, unweighted, in the stated normalization. Scalars of the kind of the embeddings.

    ``bound`` is None: the weighted sum bounds no information quantity by itself.
    """

    invariance: Any
    variance: Any
    covariance: Any
    normalization: Normalization
    bound: None = None

    def total(self, weights: tuple[float, float, float] = WEIGHTS) -> Any:
        """weights · (invariance, variance, covariance); by default 25, 25, 1 of the paper."""
        return weights[0] * self.invariance + weights[1] * self.variance + weights[2] * self.covariance


def vicreg_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    normalization: Normalization,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> VICRegTerms:
    r"""VICReg's terms on a batch of paired embeddings [1]; numpy or torch, with gradients. Minimized.

    With v(Z) = (1/d) Σ_j max(0, γ − √(C_jj + ε)), c(Z) = (1/d) Σ_{i≠j} C_ij² and C the unbiased covariance:

    ============  ==============================  ==================  =============
    normalization  invariance                      variance            covariance
    ============  ==============================  ==================  =============
    "equation"    mean over n of ‖z_a − z_b‖²     v(Z_a) + v(Z_b)     c(Z_a)+c(Z_b)
    "reference"   mean over n and d               ½(v(Z_a) + v(Z_b))  c(Z_a)+c(Z_b)
    "solo"        mean over n and d               v(Z_a) + v(Z_b)     c(Z_a)+c(Z_b)
    ============  ==============================  ==================  =============

    "equation" is the paper's text, "reference" its released code, "solo" the solo-learn library. There is no
    default: the caller says which VICReg. Raises SampleError for unequal shapes or fewer than two rows,
    UnknownNameError for another normalization.

    References
    ----------
    [1] Bardes, Ponce & LeCun (2022). VICReg. ICLR.

    >>> import numpy as np
    >>> z = np.array([[0.0, 0.0], [2.0, 2.0]])
    >>> terms = vicreg_terms(z, z + 1, normalization="equation")
    >>> print(f"{terms.invariance:.1f} {terms.variance:.1f} {terms.covariance:.1f}")
    2.0 0.0 8.0
    """
    require_known("normalization", normalization, NORMALIZATIONS)
    _, z_a, z_b = as_matching_matrices(z_a, z_b)
    squared_distance = ((z_a - z_b) ** 2).sum(1).mean()
    variance = variance_term(z_a, gamma=gamma, eps=eps) + variance_term(z_b, gamma=gamma, eps=eps)
    return VICRegTerms(
        invariance=squared_distance if normalization == "equation" else squared_distance / z_a.shape[1],
        variance=variance / 2 if normalization == "reference" else variance,
        covariance=covariance_term(z_a) + covariance_term(z_b),
        normalization=normalization,
    )


def variance_term(z: Float[Any, "n d"], *, gamma: float = 1.0, eps: float = 1e-4) -> Float[Any, ""]:
    """v(Z) = (1/d) Σ_j max(0, γ − √(C_jj + ε)), C_jj the unbiased variance of column j.

    >>> import numpy as np
    >>> print(f"{variance_term(np.array([[0.0], [0.0]])):.2f}")
    0.99
    """
    xp, z = as_matrix(z)
    variances = ((z - z.mean(0)) ** 2).sum(0) / (z.shape[0] - 1)
    return (gamma - xp.sqrt(variances + eps)).clip(0).mean()


def covariance_term(z: Float[Any, "n d"]) -> Float[Any, ""]:
    """c(Z) = (1/d) Σ_{i≠j} C_ij², C the unbiased covariance, in O(n d min(n, d)).

    >>> import numpy as np
    >>> float(covariance_term(np.array([[0.0, 0.0], [2.0, 4.0]])))
    16.0
    """
    _, z = as_matrix(z)
    return offdiagonal_energy(z) / z.shape[1]
