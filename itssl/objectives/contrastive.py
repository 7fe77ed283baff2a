"""InfoNCE: the bound from any critic, and the loss on embeddings with the cosine critic."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, as_matching_matrices, as_matrix
from itssl.choices import require_positive
from itssl.estimate import Bias, Reference

REFERENCE = Reference(
    authors="van den Oord, Li & Vinyals", title="Representation learning with contrastive predictive coding", year=2018,
    where="arXiv 1807.03748",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InfoNCETerms:
    """loss = log_partition − alignment, means over the batch in nats; log n − loss bounds I from below."""

    alignment: Any
    log_partition: Any
    n: int
    bound: Bias = Bias.LOWER

    def total(self) -> Any:
        """The loss −(1/n) Σ_i log softmax of the positive among the n candidates, to be minimized."""
        return self.log_partition - self.alignment

    def information(self) -> Any:
        """log n − loss: a lower bound of the mutual information of the views in expectation, never above log n."""
        return float(np.log(self.n)) - self.total()


def infonce_terms(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, temperature: float = 0.1, normalize: bool = True
) -> InfoNCETerms:
    """InfoNCE [1] with critic zᵀz'/temperature, on the unit sphere if ``normalize``; numpy or torch, with gradients.

    Row i of z_b is the positive of row i of z_a; the candidates are the n rows of z_b, averaged with the roles of
    the two views exchanged. Raises SampleError for inadmissible embeddings, ParameterError unless temperature > 0.

    References
    ----------
    [1] van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding.

    >>> z = np.eye(4)
    >>> print(f"{infonce_terms(z, z, temperature=0.1).information():.4f} of {np.log(4):.4f}")
    1.3862 of 1.3863
    """
    temperature = require_positive("temperature", temperature)
    xp, z_a, z_b = as_matching_matrices(z_a, z_b)
    if normalize:
        z_a, z_b = (z / xp.sqrt((z**2).sum(1)).clip(1e-12)[:, None] for z in (z_a, z_b))
    return contrast(z_a @ z_b.T / temperature, symmetric=True)


def contrast(scores: Float[Any, "n n"], *, symmetric: bool = False) -> InfoNCETerms:
    """InfoNCE from a critic's scores, scores[i, j] = critic(x_i, y_j), pairs on the diagonal.

    The bound is nearly tight for critic log p(y|x)/p(y) while I ≪ log n. ``symmetric`` averages over rows and columns.
    Raises SampleError for inadmissible or rectangular scores.

    >>> print(f"{contrast(np.zeros((8, 8))).information():.1f}")
    0.0
    """
    xp, scores = as_matrix(scores, name="scores")
    if scores.shape[0] != scores.shape[1]:
        raise SampleError(f"scores: expected one row and one column a pair, got shape {tuple(scores.shape)}")
    log_partition = _logsumexp(xp, scores, 1).mean()
    if symmetric:
        log_partition = (log_partition + _logsumexp(xp, scores, 0).mean()) / 2
    return InfoNCETerms(alignment=scores.diagonal().mean(), log_partition=log_partition, n=scores.shape[0])


def _logsumexp(xp: Any, scores: Float[Any, "n n"], axis: int) -> Float[Any, " n"]:
    top = scores.max(axis, keepdims=True) if xp is np else scores.amax(axis, keepdim=True).detach()
    return xp.log(xp.exp(scores - top).sum(axis)) + top.squeeze(axis)
