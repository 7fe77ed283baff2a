"""BYOL: a predictor on one view's embedding finds the slowly moving target network's embedding of the other."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float

from itssl.arrays import as_matching_matrices, is_torch
from itssl.estimate import Bias, Reference
from itssl.objectives.contrastive import on_sphere
from itssl.objectives.gathering import as_views
from itssl.objectives.terms import ObjectiveTerms, Term

REFERENCE = Reference(
    authors="Grill, Strub, Altché et al.", year=2020, where="NeurIPS",
    title="Bootstrap your own latent: A new approach to self-supervised learning",
)  # fmt: skip


def byol_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    target_a: Float[Any, "n d"],
    target_b: Float[Any, "n d"],
    predictor: Callable[[Any], Any],
    gather: bool = True,
) -> ObjectiveTerms:
    """BYOL [1]: 2 − 2 cos(predictor(z_a), target_b) plus the same with the views exchanged, mean over rows.

    That is ‖p/‖p‖ − t/‖t‖‖² with p the prediction and t the target, twice; from 0 to 8, without unit.
    z are the online network's embeddings, shape (n, d), targets those of the target network; no gradient flows into the
    targets. The predictor keeps the rows apart, (n, d) to (n, d), and is of the kind of z. How the target network moves
    is not the loss's matter: see ``itssl.objectives.BYOL``. Numpy or torch. Raises SampleError for inadmissible or
    unequal shapes.

    References
    ----------
    [1] Grill, Strub, Altché et al. (2020). Bootstrap your own latent. NeurIPS.

    >>> import numpy as np
    >>> z = np.eye(2)
    >>> print(byol_terms(z, z, target_a=z, target_b=z, predictor=lambda z: -z).total())
    8.0
    """
    as_views(z_a, z_b, gather=gather)  # refused on all processes, or on none: a lone error leaves the others waiting
    xp, p_a, p_b = as_views(predictor(z_a), predictor(z_b), gather=gather)
    if is_torch(target_a):
        target_a, target_b = target_a.detach(), target_b.detach()
    _, t_a, t_b = as_views(target_a, target_b, gather=gather)
    as_matching_matrices(p_a, t_b, names=("predictor(z_a)", "target_b"))
    cosines = [(on_sphere(xp, p) * on_sphere(xp, t)).sum(1).mean() for p, t in ((p_a, t_b), (p_b, t_a))]
    return ObjectiveTerms(
        objective="BYOL",
        n=len(p_a),
        terms={
            "prediction": Term(
                value=4 - 2 * (cosines[0] + cosines[1]), weight=1.0, unit="1", direction=Bias.UNBIASED,
                meaning="E‖u − t'‖² + E‖u' − t‖² of predictions u and targets t on the unit sphere",
            )
        },
        remark="Bounds no information quantity; a constant network with its predictor has loss 0.",
        reference=REFERENCE,
    )  # fmt: skip
