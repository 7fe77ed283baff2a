"""Objectives that remove redundancy between coordinates by standardizing them: Barlow Twins and whitened MSE."""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError
from itssl.choices import ParameterError, require_count, require_nonnegative
from itssl.estimate import Reference
from itssl.kernels.linalg import covariance, log_determinant
from itssl.objectives.contrastive import on_sphere
from itssl.objectives.gathering import as_views
from itssl.objectives.terms import ObjectiveTerms, Term

BARLOW = Reference(
    authors="Zbontar, Jing, Misra, LeCun & Deny", year=2021, where="ICML",
    title="Barlow Twins: Self-supervised learning via redundancy reduction",
)  # fmt: skip
WMSE = Reference(
    authors="Ermolov, Siarohin, Sangineto & Sebe", year=2021, where="ICML",
    title="Whitening for self-supervised representation learning",
)  # fmt: skip


def barlow_twins_terms(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, eps: float = 1e-5, gather: bool = True
) -> ObjectiveTerms:
    r"""Barlow Twins [1]: Σ_i (1 − R_ii)² and Σ_{i≠j} R_ij² of the cross-correlation matrix of the views.

    R_ij = (1/n) Σ_b â_bi b̂_bj, without unit, for z of shape (n, d) with columns centered and divided by √(variance +
    ε), variances over n as in the batch normalization of the released code. Weights 1 and 0.0051 (the released code's;
    the paper's text says 5e-3). Numpy or torch; time O(n d min(n, d)). Raises SampleError for inadmissible embeddings,
    ParameterError for eps < 0.

    References
    ----------
    [1] Zbontar, Jing, Misra, LeCun & Deny (2021). Barlow Twins. ICML.

    >>> z = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> terms = barlow_twins_terms(z, -z, eps=0.0)
    >>> float(terms.invariance), float(terms.redundancy)
    (8.0, 0.0)
    """
    eps = require_nonnegative("eps", eps)
    xp, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    a, b = _standardized(xp, z_a, eps), _standardized(xp, z_b, eps)
    diagonal = (a * b).sum(0) / n
    energy = ((a.T @ b) ** 2).sum() if d <= n else ((a @ a.T) * (b @ b.T)).sum()  # ‖AᵀB‖² = ⟨AAᵀ, BBᵀ⟩
    return ObjectiveTerms(
        objective="Barlow Twins",
        n=n,
        terms={
            "invariance": Term(value=((1 - diagonal) ** 2).sum(), weight=1.0, unit="1", meaning="Σ_i (1 − R_ii)²"),
            "redundancy": Term(
                value=energy / n**2 - (diagonal**2).sum(), weight=0.0051, unit="1", meaning="Σ_{i≠j} R_ij²"
            ),
        },
        remark="Bounds no information quantity. It sees correlations only, so z ↦ D z + b with D diagonal and positive "
        "changes nothing (but for ε).",
        settings={"eps": eps},
        reference=BARLOW,
    )


def wmse_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    ridge: float = 0.0,
    group: int | None = None,
    gather: bool = True,
) -> ObjectiveTerms:
    r"""Whitened MSE [1]: E‖v_a − v_b‖² = 2 − 2 E cos of the views after Cholesky whitening of each.

    From 0 to 4, without unit. Per view, shape (n, d), and per ``group`` of consecutive rows (default: all): w = L⁻¹(z −
    z̄) with L Lᵀ = (1 − ridge) C + ridge I, C the unbiased covariance, then v = w/‖w‖. The released code also averages
    over random groups; shuffle the rows for that (the remainder of n / group is left out). Numpy or torch.

    Raises SampleError for inadmissible embeddings, for groups of at most d rows without ridge, and for a covariance
    that is singular to rounding (collapse: there is nothing to whiten); ParameterError unless ridge is from 0 to 1 and
    group an integer.

    References
    ----------
    [1] Ermolov, Siarohin, Sangineto & Sebe (2021). Whitening for self-supervised representation learning. ICML.

    >>> z = np.random.default_rng(0).normal(size=(20, 3))
    >>> print(f"{abs(wmse_terms(z, 5 * z + 1).total()):.3f}")
    0.000
    """
    if require_nonnegative("ridge", ridge) > 1:
        raise ParameterError(f"ridge: expected a number from 0 to 1, got {ridge!r}; 1 whitens nothing")
    xp, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    rows = n if group is None else require_count("group", group, minimum=2)
    if not (d < rows <= n or (ridge > 0 and 2 <= rows <= n)):
        raise SampleError(
            f"z_a and z_b: expected more than d = {d} rows to whiten (group={group}, n={n}), and no more than there "
            "are; use larger batches, a smaller projector or ridge > 0"
        )
    distances = []
    for start in range(0, n - rows + 1, rows):
        a, b = (on_sphere(xp, _whitened(xp, z[start : start + rows], ridge)) for z in (z_a, z_b))
        distances.append(((a - b) ** 2).sum() / rows)
    return ObjectiveTerms(
        objective="W-MSE",
        n=n,
        terms={
            "invariance": Term(
                value=sum(distances[1:], start=distances[0]) / len(distances), weight=1.0, unit="1",
                meaning="E‖v − v'‖² of whitened views on the unit sphere",
            )
        },
        remark="Bounds no information quantity. Whitening makes it blind to z ↦ T z + b with T lower triangular with "
        "positive diagonal, in each view.",
        settings={"ridge": ridge, "group": float(rows)},
        reference=WMSE,
    )  # fmt: skip


def _standardized(xp: ModuleType, z: Float[Any, "n d"], eps: float) -> Float[Any, "n d"]:
    centered = z - z.mean(0)
    variances = (centered**2).mean(0) + eps
    return centered / xp.sqrt(xp.where(variances > 0, variances, xp.ones_like(variances)))


def _whitened(xp: ModuleType, z: Float[Any, "m d"], ridge: float) -> Float[Any, "m d"]:
    d = z.shape[1]
    identity = np.eye(d, dtype=z.dtype) if xp is np else xp.eye(d, dtype=z.dtype, device=z.device)
    cov = (1 - ridge) * covariance(z) + ridge * identity
    if not bool(log_determinant(cov) > -np.inf):
        raise SampleError(
            "z_a and z_b: expected embeddings that span their space, got a covariance singular to rounding (collapse); "
            "use ridge > 0 or look at the run that led here"
        )
    factor = xp.linalg.cholesky(cov)
    centered = (z - z.mean(0)).T
    if xp is np:
        from scipy.linalg import solve_triangular

        return solve_triangular(factor, centered, lower=True).T
    return xp.linalg.solve_triangular(factor, centered, upper=False).T
