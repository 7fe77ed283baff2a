"""The family with an entropy estimate inside: added to VICReg or BYOL, or replacing all but the invariance.

Shwartz-Ziv et al. (2023) propose LogDet and pairwise-distance entropies inside VICReg and BYOL. Weights of the entropy
are 1 here: choose them, and report them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError
from itssl.choices import require_count, require_positive
from itssl.estimate import Bias, Reference
from itssl.estimators.log_determinant import logdet_capacity
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.contrastive import on_sphere
from itssl.objectives.distillation import byol_terms
from itssl.objectives.entropy_terms import Kernel, logdet_term, noise_settings, pairdist_term
from itssl.objectives.gathering import as_views
from itssl.objectives.terms import Bound, ObjectiveTerms, Term
from itssl.objectives.vicreg import Normalization, vicreg_terms

FAMILY = Reference(
    authors="Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun", year=2023, where="NeurIPS",
    title="An information-theoretic perspective on variance-invariance-covariance regularization",
)  # fmt: skip
CORINFOMAX = Reference(
    authors="Ozsoy, Hamdan, Arik, Yuret & Erdogan", year=2022, where="NeurIPS",
    title="Self-supervised learning with an information maximization criterion",
)  # fmt: skip
MEC = Reference(
    authors="Liu, Wang, Li & Wang", title="Self-supervised learning via maximum entropy coding", year=2022,
    where="NeurIPS",
)  # fmt: skip

_ADDED = "A sum of terms in different units: it bounds no information quantity."


def vicreg_logdet_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    normalization: Normalization,
    beta: float,
    gather: bool = True,
) -> ObjectiveTerms:
    """VICReg and, as fourth term, the negative LogDet entropy; see ``vicreg_terms`` and ``entropy_terms.logdet_term``.

    VICReg's terms (in units of z) and −½ log((2πe)^d |C + I/β|) (nats), z of shape (n, d) [1].
    Raises as ``vicreg_terms``; ParameterError unless beta > 0.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> z = np.eye(3)
    >>> list(vicreg_logdet_terms(z, z, normalization="solo", beta=1.0).terms)
    ['invariance', 'variance', 'covariance', 'entropy']
    """
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    base = vicreg_terms(z_a, z_b, normalization=normalization, gather=False)
    return _with_entropy(base, "VICReg + LogDet", logdet_term(z_a, z_b, beta=beta), z_a, noise_var=1 / beta)


def vicreg_pairdist_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    normalization: Normalization,
    noise_var: float,
    kernel: Kernel = "bhattacharyya",
    gather: bool = True,
) -> ObjectiveTerms:
    """VICReg and, as fourth term, the negative pairwise entropy; see ``vicreg_terms``, ``entropy_terms.pairdist_term``.

    VICReg's terms (in units of z) and −ĥ(Z + N(0, noise_var · I)) (nats), z of shape (n, d) [1].
    Raises as ``vicreg_terms``; ParameterError unless noise_var > 0, UnknownNameError for other kernels.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> z = np.eye(3)
    >>> list(vicreg_pairdist_terms(z, z, normalization="solo", noise_var=1.0).terms)
    ['invariance', 'variance', 'covariance', 'entropy']
    """
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    base = vicreg_terms(z_a, z_b, normalization=normalization, gather=False)
    entropy = pairdist_term(z_a, z_b, noise_var=noise_var, kernel=kernel)
    return _with_entropy(base, "VICReg + PairDist", entropy, z_a, noise_var=noise_var)


def byol_logdet_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    target_a: Float[Any, "n d"],
    target_b: Float[Any, "n d"],
    predictor: Callable[[Any], Any],
    beta: float,
    gather: bool = True,
) -> ObjectiveTerms:
    """BYOL and the negative LogDet entropy of the online embeddings; see ``byol_terms`` and ``logdet_term``.

    BYOL's term (without unit) and −½ log((2πe)^d |C + I/β|) (nats), z of shape (n, d) [1]. Raises as ``byol_terms``;
    ParameterError unless beta > 0.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> z = np.eye(3)
    >>> list(byol_logdet_terms(z, z, target_a=z, target_b=z, predictor=lambda z: z, beta=1.0).terms)
    ['prediction', 'entropy']
    """
    base = byol_terms(z_a, z_b, target_a=target_a, target_b=target_b, predictor=predictor, gather=gather)
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    return _with_entropy(base, "BYOL + LogDet", logdet_term(z_a, z_b, beta=beta), z_a, noise_var=1 / beta)


def byol_pairdist_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    target_a: Float[Any, "n d"],
    target_b: Float[Any, "n d"],
    predictor: Callable[[Any], Any],
    noise_var: float,
    kernel: Kernel = "bhattacharyya",
    gather: bool = True,
) -> ObjectiveTerms:
    """BYOL and the negative pairwise entropy of the online embeddings; see ``byol_terms`` and ``pairdist_term``.

    BYOL's term (without unit) and −ĥ(Z + N(0, noise_var · I)) (nats), z of shape (n, d) [1]. Raises as ``byol_terms``;
    ParameterError unless noise_var > 0, UnknownNameError for other kernels.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> z = np.eye(3)
    >>> list(byol_pairdist_terms(z, z, target_a=z, target_b=z, predictor=lambda z: z, noise_var=1.0).terms)
    ['prediction', 'entropy']
    """
    base = byol_terms(z_a, z_b, target_a=target_a, target_b=target_b, predictor=predictor, gather=gather)
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    entropy = pairdist_term(z_a, z_b, noise_var=noise_var, kernel=kernel)
    return _with_entropy(base, "BYOL + PairDist", entropy, z_a, noise_var=noise_var)


def invariance_logdet_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    beta: float,
    residual_var: float,
    gather: bool = True,
) -> ObjectiveTerms:
    r"""The literal bound with the Gaussian entropy: total = −[h_G(Z + N) + E log q(Z + N | Z')] in nats [1, 2].

    z has shape (n, d), N ~ N(0, I/β), q(z | z') = N(z; z', residual_var · I), so with s² = residual_var and Δ = Z − Z'

    −E log q = (d/2) log(2πs²) + (E‖Δ‖² + d/β)/(2s²);

    the noise enters both terms (in the entropy only, the "bound" would gain d/(2βs²) nats). h_G is an upper bound of h,
    so −total is a bound of I(Z; Z') from below for Gaussian embeddings at the population covariance, else none.
    At s² = 1/β it is ½ log|I + βC| − (β/2) E‖Δ‖², CorInfoMax's objective.

    Raises SampleError for inadmissible embeddings, ParameterError unless beta and residual_var are positive.

    References
    ----------
    [1] Barber & Agakov (2003). The IM algorithm: a variational approach to information maximization. NIPS 16.
    [2] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An information-theoretic perspective on
        variance-invariance-covariance regularization. NeurIPS.

    >>> z = np.eye(3)
    >>> print(f"{invariance_logdet_terms(z, z, beta=1.0, residual_var=1.0).total():.4f}")  # −½ log|I + C| = −½ log 2.25
    -0.4055
    """
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    entropy = logdet_term(z_a, z_b, beta=beta)
    cross = _cross_entropy(z_a, z_b, 1 / beta, residual_var)
    return ObjectiveTerms(
        objective="invariance + LogDet",
        n=len(z_a),
        terms={"entropy": entropy, "cross_entropy": cross},
        remark="−total is the literal plug-in bound, but with an upper bound of the entropy: no bound of I(Z; Z') "
        "unless the embeddings are Gaussian.",
        settings=noise_settings(z_a, noise_var=1 / beta, residual_var=residual_var),
        reference=FAMILY,
    )


def invariance_pairdist_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    noise_var: float,
    residual_var: float,
    kernel: Kernel = "bhattacharyya",
    gather: bool = True,
) -> ObjectiveTerms:
    r"""The bound with a pairwise entropy: total = −[h(Z + N) + E log q(Z + N | Z')] in nats, N ~ N(0, noise_var · I).

    With the "bhattacharyya" kernel the entropy of the n-component mixture is bounded from below and in expectation
    below h(Z + N) (concavity), q integrates to 1 and the noise is in both terms [1]. z has shape (n, d). So −total ≤
    I(Z + N; Z') ≤ I(Z; Z') in expectation, mean over which view is Z, and never above log n. With "kl" it is no bound.

    Raises SampleError for inadmissible embeddings, ParameterError unless the variances are positive,
    UnknownNameError for other kernels.

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), 361.

    >>> z = 1e3 * np.eye(4)
    >>> print(f"{invariance_pairdist_terms(z, z, noise_var=1.0, residual_var=1.0).bound.value:.4f} = {np.log(4):.4f}")
    1.3863 = 1.3863
    """
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    entropy = pairdist_term(z_a, z_b, noise_var=noise_var, kernel=kernel)
    cross = _cross_entropy(z_a, z_b, noise_var, residual_var)
    valid = kernel == "bhattacharyya"
    value = -(entropy.value + cross.value)
    return ObjectiveTerms(
        objective="invariance + PairDist",
        n=len(z_a),
        terms={"entropy": entropy, "cross_entropy": cross},
        bound=Bound(quantity="I(Z + N(0, σ²I); Z') ≤ I(Z; Z')", direction=Bias.LOWER, value=value) if valid else None,
        remark="A lower bound in expectation at unit weights; never above log n."
        if valid
        else "No bound: the KL kernel bounds the entropy of the mixture from above.",
        settings={**noise_settings(z_a, noise_var=noise_var, residual_var=residual_var), "kernel": kernel},
        reference=FAMILY,
    )


def corinfomax_terms(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, eps: float, gather: bool = True
) -> ObjectiveTerms:
    r"""CorInfoMax [1]: −log|R_a + εI| − log|R_b + εI| and (2/(εn)) Σ‖z_a − z_b‖², R the covariances over n.

    z has shape (n, d); in nats, up to constants. The published criterion; its released code averages R over batches
    with memory 0.01 and weighs the terms anew. A quarter of it, plus (d/2) log ε, is −½ log|I + R/ε| + E‖Δ‖²/(2ε) (mean
    over views): the literal bound with Gaussian entropy, noise of variance ε in both terms and residual variance ε. For
    jointly Gaussian views that is minus a lower bound of I(Z + N(0, εI); Z'); for others no bound. Raises SampleError
    for inadmissible embeddings, ParameterError unless eps > 0.

    References
    ----------
    [1] Ozsoy, Hamdan, Arik, Yuret & Erdogan (2022). Self-supervised learning with an information maximization
        criterion. NeurIPS.

    >>> z = np.sqrt(1.5) * np.array([[1.0], [0.0], [-1.0]])  # variance 1 over n
    >>> print(f"{corinfomax_terms(z, z, eps=1.0).total():.4f} = {-2 * np.log(2):.4f}")
    -1.3863 = -1.3863
    """
    eps = require_positive("eps", eps)
    _, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    biased = (n - 1) / n / eps
    capacity = logdet_capacity(z_a, beta=biased) + logdet_capacity(z_b, beta=biased)
    return ObjectiveTerms(
        objective="CorInfoMax",
        n=n,
        terms={
            "log_determinant": Term(
                value=-2 * (capacity + d * float(np.log(eps)) ), weight=1.0, unit="nats",
                meaning="−log|R_a + εI| − log|R_b + εI|", direction=Bias.UPPER,
            ),
            "invariance": Term(
                value=2 / eps * ((z_a - z_b) ** 2).sum() / n, weight=1.0, unit="nats", meaning="(2/ε) E‖Z − Z'‖²",
                direction=Bias.UNBIASED,
            ),
        },
        remark="Four times the negative literal bound with Gaussian entropy, up to a constant: no bound of I(Z; Z') "
        "unless the views are jointly Gaussian.",
        settings=noise_settings(z_a, eps=eps),
        reference=CORINFOMAX,
    )  # fmt: skip


def mec_terms(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    distortion: float,
    order: int | None = 4,
    gather: bool = True,
) -> ObjectiveTerms:
    r"""Maximum entropy coding [1]: −μ log det(I_n + λ Z_a Z_bᵀ), rows on the unit sphere, μ = (n+d)/2, λ = d/(nε²).

    z has shape (n, d), ε = ``distortion``. The logarithm is cut after ``order`` terms of its power series, −μ
    Σ_{k≤order} (−1)^{k+1} tr((λ Z_a Z_bᵀ)^k)/k, as in the paper (order 4), or exact (None; then the determinant must be
    positive). The series converges only where the spectral radius of λ Z_a Z_bᵀ is below 1. For equal views it is minus
    the minimal coding length in nats at this distortion. Traces run over the smaller product. Numpy or torch.

    Raises SampleError for inadmissible embeddings and for a determinant that is not positive, ParameterError unless
    distortion > 0 and order is None or at least 1.

    References
    ----------
    [1] Liu, Wang, Li & Wang (2022). Self-supervised learning via maximum entropy coding. NeurIPS.

    >>> z = np.eye(2)
    >>> print(f"{mec_terms(z, z, distortion=1.0, order=None).total():.4f} = {-4 * np.log(2):.4f}")
    -2.7726 = -2.7726
    """
    distortion = require_positive("distortion", distortion)
    order = None if order is None else require_count("order", order)
    xp, z_a, z_b = as_views(z_a, z_b, gather=gather)
    n, d = z_a.shape
    a, b = on_sphere(xp, z_a), on_sphere(xp, z_b)
    gram = d / (n * distortion**2) * (a @ b.T if n <= d else b.T @ a)  # |I + AB| = |I + BA|, and so are the traces
    length = -(n + d) / 2 * (_log_det_of_one_plus(xp, gram) if order is None else _series(gram, order))
    return ObjectiveTerms(
        objective="MEC",
        n=n,
        terms={
            "coding_length": Term(value=length, weight=1.0, unit="nats", meaning="−μ log det(I + λ Z_a Z_bᵀ)"),
        },
        remark="A coding length at a distortion, no bound of I(Z; Z').",
        settings={"distortion": distortion, "order": "exact" if order is None else float(order)},
        reference=MEC,
    )


def _with_entropy(
    base: ObjectiveTerms, name: str, entropy: Term, z: Float[Any, "n d"], *, noise_var: float
) -> ObjectiveTerms:
    return ObjectiveTerms(
        objective=name,
        n=base.n,
        terms={**base.terms, "entropy": entropy},
        remark=_ADDED,
        settings={**base.settings, **noise_settings(z, noise_var=noise_var)},
        reference=FAMILY,
    )


def _cross_entropy(z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], noise_var: float, residual_var: float) -> Term:
    """−E log N(z + noise; z', residual_var I), the expectation over the noise taken exactly."""
    residual_var = require_positive("residual_var", residual_var)
    n, d = z_a.shape
    squares = ((z_a - z_b) ** 2).sum() / n + d * noise_var
    value = d / 2 * (LOG_2PI + float(np.log(residual_var))) + squares / (2 * residual_var)
    return Term(value=value, weight=1.0, unit="nats", meaning="−E log N(z + noise; z', s²I)", direction=Bias.UNBIASED)


def _log_det_of_one_plus(xp: Any, gram: Float[Any, "m m"]) -> Float[Any, ""]:
    identity = xp.eye(len(gram), dtype=gram.dtype, **({} if xp is np else {"device": gram.device}))
    sign, value = xp.linalg.slogdet(identity + gram)
    if not bool(sign > 0):
        raise SampleError(
            "z_a and z_b: expected det(I + λ Z_a Z_bᵀ) > 0, got a determinant that is not positive (views that "
            "disagree); use order=4 or a larger distortion"
        )
    return value


def _series(gram: Float[Any, "m m"], order: int) -> Float[Any, ""]:
    power, total = gram, gram.diagonal().sum()
    for k in range(2, order + 1):
        power = power @ gram
        total = total + (-1) ** (k + 1) / k * power.diagonal().sum()
    return total
