"""Contrastive objectives: InfoNCE from any critic or with the cosine critic, NT-Xent, and the spectral loss."""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, as_matrix
from itssl.choices import require_positive
from itssl.estimate import Bias, Reference
from itssl.objectives.gathering import as_views
from itssl.objectives.terms import Bound, ObjectiveTerms, Term

REFERENCE = Reference(
    authors="van den Oord, Li & Vinyals", title="Representation learning with contrastive predictive coding", year=2018,
    where="arXiv 1807.03748",
)  # fmt: skip
SIMCLR = Reference(
    authors="Chen, Kornblith, Norouzi & Hinton", year=2020, where="ICML",
    title="A simple framework for contrastive learning of visual representations",
)  # fmt: skip
SPECTRAL = Reference(
    authors="HaoChen, Wei, Gaidon & Ma", year=2021, where="NeurIPS",
    title="Provable guarantees for self-supervised deep learning with spectral contrastive loss",
)  # fmt: skip

_SCORES = 2**24
"""With more scores than these, 64 MiB in float32, they are formed a few rows at a time, and again for the gradient."""


def infonce_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    gather: bool = True,
) -> ObjectiveTerms:
    """InfoNCE [1] with critic zᵀz'/temperature, on the unit sphere if ``normalize``; numpy or torch, with gradients.

    Row i of z_b is the positive of row i of z_a; the candidates are the n rows of z_b, averaged with the roles of
    the two views exchanged. Total, for z of shape (n, d): −(1/n) Σ_i log softmax of the positive; ``bound``: log n −
    total ≤ I(Z; Z') in expectation, never above log n, for independent pairs and an encoder that was not fitted to
    them. Raises SampleError for inadmissible embeddings, ParameterError unless temperature > 0.

    References
    ----------
    [1] van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding.

    >>> z = np.eye(4)
    >>> print(f"{infonce_terms(z, z, temperature=0.1).bound.value:.4f} of {np.log(4):.4f}")
    1.3862 of 1.3863
    """
    temperature = require_positive("temperature", temperature)
    xp, z_a, z_b = as_views(z_a, z_b, gather=gather)
    if normalize:
        z_a, z_b = on_sphere(xp, z_a), on_sphere(xp, z_b)
    n = len(z_a)
    if n**2 <= _SCORES:
        scores = z_a @ z_b.T / temperature
        alignment = scores.diagonal().mean()
        partition = (_logsumexp(xp, scores, 1).mean() + _logsumexp(xp, scores, 0).mean()) / 2
    else:
        alignment = (z_a * z_b).sum(1).mean() / temperature
        partition = (_by_rows(xp, z_a, z_b, temperature) + _by_rows(xp, z_b, z_a, temperature)) / 2
    settings = {"temperature": temperature, "critic": "cosine" if normalize else "inner product"}
    return _classification("InfoNCE", alignment, partition, n, settings, REFERENCE)


def contrast(scores: Float[Any, "n n"]) -> ObjectiveTerms:
    """InfoNCE from a critic's scores, scores[i, j] = critic(x_i, y_j), pairs on the diagonal, candidates in rows.

    scores of shape (n, n); total −(1/n) Σ_i log softmax of s_ii in nats [1]; ``bound`` log n − total ≤ I in
    expectation, nearly tight for critic log p(y|x)/p(y) while I ≪ log n. Raises SampleError for inadmissible or
    rectangular scores.

    References
    ----------
    [1] van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding.

    >>> print(f"{contrast(np.zeros((8, 8))).bound.value:.1f}")
    0.0
    """
    xp, scores = as_matrix(scores, name="scores")
    if scores.shape[0] != scores.shape[1]:
        raise SampleError(f"scores: expected one row and one column a pair, got shape {tuple(scores.shape)}")
    partition = _logsumexp(xp, scores, 1).mean()
    return _classification("InfoNCE", scores.diagonal().mean(), partition, len(scores), {"critic": "given"}, REFERENCE)


def nt_xent_terms(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, temperature: float = 0.1, gather: bool = True
) -> ObjectiveTerms:
    r"""NT-Xent, SimCLR's loss [1]: the positive of each of the 2n views among the other 2n − 1; numpy or torch.

    With u = z/‖z‖ over both views, shape (n, d) each, in nats: total = −(1/2n) Σ_i log [e^{u_i·u_{i'}/τ} / Σ_{k≠i}
    e^{u_i·u_k/τ}]. The n − 1 candidates from the anchor's own side only enlarge the sum, so log n − total lies below
    the InfoNCE bound with the n candidates of the other side and hence below I(Z; Z') in expectation. log(2n − 1) −
    total is not covered by the argument: its candidates come in dependent pairs.

    Raises SampleError for inadmissible embeddings, ParameterError unless temperature > 0.

    References
    ----------
    [1] Chen, Kornblith, Norouzi & Hinton (2020). A simple framework for contrastive learning. ICML. (There
        temperature 0.1 is best on ImageNet, 0.5 on CIFAR-10.)

    >>> z = np.eye(4)
    >>> print(f"{nt_xent_terms(z, z, temperature=1.0).total():.4f} = {-1 + np.log(np.e + 6):.4f}")
    1.1654 = 1.1654
    """
    temperature = require_positive("temperature", temperature)
    xp, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n = len(z_a)
    u = xp.concatenate([on_sphere(xp, z_a), on_sphere(xp, z_b)])
    if (2 * n) ** 2 <= _SCORES:
        scores = u @ u.T / temperature
        alignment = (scores.diagonal(n).mean() + scores.diagonal(-n).mean()) / 2
        own = xp.eye(2 * n, dtype=bool) if xp is np else xp.eye(2 * n, dtype=xp.bool, device=u.device)
        partition = _logsumexp(xp, xp.where(own, -xp.inf, scores), 1).mean()
    else:
        alignment = (u[:n] * u[n:]).sum(1).mean() / temperature
        partition = _by_rows(xp, u, u, temperature, own=False)
    return _classification("NT-Xent", alignment, partition, n, {"temperature": temperature}, SIMCLR)


def spectral_contrastive_terms(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, gather: bool = True
) -> ObjectiveTerms:
    r"""The spectral contrastive loss [1], −2 E z·z' + E (z·z̃)² with z̃ of another input; numpy or torch.

    On a batch (n, d) −(2/n) Σ_i z_a,i·z_b,i + (1/(n(n−1))) Σ_{i≠j} (z_a,i·z_b,j)², unbiased, through the smaller
    product in O(n d min(n, d)). With P the law of pairs and Q that of independent views, 2 E_P g − E_Q g² ≤ E_Q
    (dP/dQ)² for every critic g; so −total bounds 1 + χ²(P‖Q) from below (no information in nats; I ≤ log(1 + χ²)). Its
    optimum over encoders (one for both views) is the best positive semidefinite approximation of dP/dQ of rank d.
    Raises SampleError for inadmissible embeddings.

    References
    ----------
    [1] HaoChen, Wei, Gaidon & Ma (2021). Provable guarantees for self-supervised deep learning with spectral
        contrastive loss. NeurIPS. (Its code also rescales embeddings to a norm; here they are taken as they are.)

    >>> z = np.eye(2)
    >>> print(spectral_contrastive_terms(z, z).total())
    -2.0
    """
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    positive = (z_a * z_b).sum(1)
    squares = ((z_a @ z_b.T) ** 2).sum() if n <= d else ((z_a.T @ z_a) * (z_b.T @ z_b)).sum()
    alignment = -2 * positive.mean()
    repulsion = (squares - (positive**2).sum()) / (n * (n - 1))
    return ObjectiveTerms(
        objective="spectral contrastive loss",
        n=n,
        terms={
            "alignment": Term(value=alignment, weight=1.0, unit="1", meaning="−2 E z·z'", direction=Bias.UNBIASED),
            "repulsion": Term(value=repulsion, weight=1.0, unit="1", meaning="E (z·z̃)²", direction=Bias.UNBIASED),
        },
        bound=Bound(quantity="1 + χ²(P‖Q)", direction=Bias.LOWER, value=-(alignment + repulsion), unit=""),
        remark="χ² between the law P of pairs and Q of independent views; I(Z; Z') ≤ log(1 + χ²), so nothing follows "
        "for I.",
        reference=SPECTRAL,
    )


def on_sphere(xp: ModuleType, z: Float[Any, "n d"]) -> Float[Any, "n d"]:
    """Rows divided by their norms; rows of zeros stay, with zero gradient.

    >>> on_sphere(np, np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    largest = abs(z).max(1) if xp is np else abs(z).detach().amax(1)
    zero = (largest == 0)[:, None]
    z = z / xp.where(zero, xp.ones_like(z[:, :1]), largest[:, None])  # so that no square over- or underflows
    return xp.where(zero, xp.zeros_like(z), z / xp.sqrt((z**2).sum(1)[:, None] + zero))


def _classification(
    name: str, alignment: Any, partition: Any, n: int, settings: dict[str, float | str], reference: Reference
) -> ObjectiveTerms:
    """−alignment + partition, the mean log-loss of finding the positive, and log n minus it."""
    return ObjectiveTerms(
        objective=name,
        n=n,
        terms={
            "alignment": Term(
                value=-alignment, weight=1.0, unit="nats", meaning="−E critic(z, z')", direction=Bias.UNBIASED
            ),
            "log_partition": Term(
                value=partition, weight=1.0, unit="nats", meaning="E log Σ over candidates of exp critic"
            ),
        },
        bound=Bound(quantity="I(Z; Z')", direction=Bias.LOWER, value=float(np.log(n)) - (partition - alignment)),
        remark="log n − total is at most log n; a lower bound in expectation for independent pairs and unit weights.",
        settings=settings,
        reference=reference,
    )


def _by_rows(
    xp: ModuleType, a: Float[Any, "n d"], b: Float[Any, "m d"], temperature: float, *, own: bool = True
) -> Float[Any, ""]:
    """The mean over i of log Σ_j exp(a_i·b_j/temperature), j ≠ i unless ``own``, a few rows at a time.

    The scores are not kept for the gradient but formed again, so memory is O((n + m) d) and one tile.
    """
    rows = max(1, _SCORES // (2 * len(b)))

    columns = np.arange(len(b)) if xp is np else xp.arange(len(b), device=b.device)

    def part(start: int) -> Any:
        scores = a[start : start + rows] @ b.T / temperature
        if not own:
            scores = xp.where(columns == columns[start : start + rows, None], -xp.inf, scores)
        return _logsumexp(xp, scores, 1).sum()

    if xp is np:
        return sum(part(start) for start in range(0, len(a), rows)) / len(a)
    from torch.utils.checkpoint import checkpoint

    parts = [checkpoint(part, start, use_reentrant=False, preserve_rng_state=False) for start in range(0, len(a), rows)]
    return xp.stack(parts).sum() / len(a)


def _logsumexp(xp: ModuleType, scores: Float[Any, "n m"], axis: int) -> Float[Any, " n"]:
    top = scores.max(axis, keepdims=True) if xp is np else scores.amax(axis, keepdim=True).detach()
    return xp.log(xp.exp(scores - top).sum(axis)) + top.squeeze(axis)
