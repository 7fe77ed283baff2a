"""VICReg: variance, invariance and covariance terms, in the three normalizations that go by this name."""

from typing import Any, Literal, TypeAlias, get_args

from jaxtyping import Float

from itssl.arrays import as_matrix
from itssl.choices import require_count, require_known, require_nonnegative
from itssl.estimate import Bias, Reference
from itssl.kernels.variance_covariance import paired_variance_covariance, variance_covariance
from itssl.objectives.gathering import as_views
from itssl.objectives.terms import ObjectiveTerms, Term

Normalization: TypeAlias = Literal["equation", "reference", "solo"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
WEIGHTS = (25.0, 25.0, 1.0)

REFERENCE = Reference(
    authors="Bardes, Ponce & LeCun",
    title="VICReg: Variance-invariance-covariance regularization for self-supervised learning",
    year=2022, where="ICLR",
)  # fmt: skip


def vicreg_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    normalization: Normalization,
    gamma: float = 1.0,
    eps: float = 1e-4,
    gather: bool = True,
) -> ObjectiveTerms:
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
    default: the caller says which VICReg; :func:`convert_weights` translates. Weights are 25, 25, 1 [1]. In units of z,
    z of shape (n, d), invariance is z², variance z, covariance z⁴: the total means nothing without a scale. v and c are
    convex in C, so on n rows both lie above their population values in expectation. Gradients are written by hand and
    can be differentiated once; time O(n d min(n, d)). ``gather``: see :func:`itssl.objectives.gathering.as_views`.

    Raises SampleError for unequal shapes or fewer than two rows, UnknownNameError for another normalization,
    ParameterError for a negative gamma or eps.

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
    gamma, eps = require_nonnegative("gamma", gamma), require_nonnegative("eps", eps)
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    found = paired_variance_covariance(z_a, z_b, gamma, eps)
    squared_distance, hinge = found.squared_distance / n, found.hinge
    per_d = "" if normalization == "equation" else "/d"
    half = "½" if normalization == "reference" else ""
    return ObjectiveTerms(
        objective="VICReg",
        n=n,
        terms={
            "invariance": Term(
                value=squared_distance / d if per_d else squared_distance, weight=WEIGHTS[0], unit="z²",
                meaning=f"E‖Z − Z'‖²{per_d}", direction=Bias.UNBIASED,
            ),
            "variance": Term(
                value=hinge / 2 if half else hinge, weight=WEIGHTS[1], unit="z",
                meaning=f"{half}(v(Z) + v(Z')), v = mean over j of max(0, γ − √(C_jj + ε))", direction=Bias.UPPER,
            ),
            "covariance": Term(
                value=found.energy / d, weight=WEIGHTS[2], unit="z⁴",
                meaning="c(Z) + c(Z'), c = Σ_{i≠j} C_ij² / d", direction=Bias.UPPER,
            ),
        },
        remark="The weighted sum bounds no information quantity; at unit variance the covariance term is −2/d times "
        "the second order of log|R|.",
        settings={"normalization": normalization, "gamma": gamma, "eps": eps},
        reference=REFERENCE,
    )  # fmt: skip


def convert_weights(
    weights: tuple[float, float, float], *, source: Normalization, target: Normalization, d: int
) -> tuple[float, float, float]:
    """The weights with which VICReg in ``target`` normalization is the function that ``weights`` make in ``source``.

    The invariance of "equation" is d times that of the others, the variance of "reference" half that of the others.
    Raises UnknownNameError for other normalizations, ParameterError for d < 1.

    >>> convert_weights((25.0, 25.0, 1.0), source="reference", target="equation", d=50)
    (0.5, 12.5, 1.0)
    """
    d = require_count("d", d)
    factors = []
    for name, normalization in (("source", source), ("target", target)):
        require_known(name, normalization, NORMALIZATIONS)
        factors.append((float(d if normalization == "equation" else 1), 0.5 if normalization == "reference" else 1.0))
    (invariance, variance), (new_invariance, new_variance) = factors
    return weights[0] * invariance / new_invariance, weights[1] * variance / new_variance, weights[2]


def variance_term(z: Float[Any, "n d"], *, gamma: float = 1.0, eps: float = 1e-4) -> Float[Any, ""]:
    """v(Z) = (1/d) Σ_j max(0, γ − √(C_jj + ε)), C_jj the unbiased variance of column j.

    z has shape (n, d), the value the unit of z; see :func:`vicreg_terms`. Raises SampleError for inadmissible z,
    ParameterError for a negative gamma or eps.

    >>> import numpy as np
    >>> print(f"{variance_term(np.array([[0.0], [0.0]])):.2f}")
    0.99
    """
    gamma, eps = require_nonnegative("gamma", gamma), require_nonnegative("eps", eps)
    return variance_covariance(as_matrix(z)[1], gamma, eps).hinge


def covariance_term(z: Float[Any, "n d"]) -> Float[Any, ""]:
    """c(Z) = (1/d) Σ_{i≠j} C_ij², C the unbiased covariance, in O(n d min(n, d)).

    z has shape (n, d), the value the unit z⁴; see :func:`vicreg_terms`. Raises SampleError for inadmissible z.

    >>> import numpy as np
    >>> float(covariance_term(np.array([[0.0, 0.0], [2.0, 4.0]])))
    16.0
    """
    _, z = as_matrix(z)
    return variance_covariance(z, 0.0, 0.0).energy / z.shape[1]
