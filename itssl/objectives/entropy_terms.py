"""Entropy inside an objective: the LogDet and the pairwise-distance terms of both views, to be minimized."""

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from itssl.arrays import on_host
from itssl.choices import require_known, require_positive
from itssl.estimate import Bias, Reference
from itssl.estimators.log_determinant import logdet_capacity
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.terms import Term

Kernel: TypeAlias = Literal["bhattacharyya", "kl"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

LOGDET = Reference(
    authors="Zhouyin & Liu", title="Understanding neural networks with logarithm determinant entropy estimator",
    year=2021, where="arXiv 2105.03705",
)  # fmt: skip
PAIRDIST = Reference(
    authors="Kolchinsky & Tracey", title="Estimating mixture entropy with pairwise distances", year=2017,
    where="Entropy 19(7), 361",
)  # fmt: skip


def logdet_term(z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], *, beta: float, weight: float = 1.0) -> Term:
    """−h of the Gaussian with covariance C + I/β, mean over the views, in nats; 1/β is the variance of the noise.

    ½ log((2πe)^d |C + I/β|) = ½ log|I + βC| + (d/2) log(2πe/β) lies above h(Z + N(0, I/β)) at the population
    covariance [1, 2]. The log-determinant is concave in C, so that on n rows the term lies above its population value.

    References
    ----------
    [1] Zhouyin & Liu (2021). Understanding neural networks with logarithm determinant entropy estimator.
    [2] Cover & Thomas (2006). Elements of information theory, theorem 8.6.5.

    >>> z = np.array([[-1.0], [0.0], [1.0]])
    >>> print(f"{logdet_term(z, z, beta=1.0).value:.4f}")  # −½ log(2πe · 2)
    -1.7655
    """
    beta = require_positive("beta", beta)
    d = z_a.shape[1]
    capacity = (logdet_capacity(z_a, beta=beta) + logdet_capacity(z_b, beta=beta)) / 2
    value = -(capacity + d / 2 * (LOG_2PI + 1 - float(np.log(beta))))
    meaning = "−½ log((2πe)^d |C + I/β|), mean of both views"
    return Term(value=value, weight=weight, unit="nats", meaning=meaning, direction=Bias.UPPER)


def pairdist_term(
    z_a: Float[Any, "n d"],
    z_b: Float[Any, "n d"],
    *,
    noise_var: float,
    kernel: Kernel = "bhattacharyya",
    weight: float = 1.0,
) -> Term:
    r"""−h of Z + N(0, σ²I), σ² = noise_var, by a pairwise bound [1] on the mixture with one component a row, in nats.

    With "bhattacharyya" the bound (d/2) log(2πeσ²) − (1/n) Σ_i log (1/n) Σ_j exp(−‖z_i − z_j‖²/(8σ²)) lies below the
    entropy of the mixture, and in expectation below h(Z + N(0, σ²I)), as entropy is concave; so the term is UPPER of
    −h. With "kl" (2σ² for 8σ²) it lies above the mixture's entropy and has no side against the population. Mean of
    both views.

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), 361.

    >>> z = np.array([[0.0], [1e3]])
    >>> print(f"{pairdist_term(z, z, noise_var=1.0).value:.4f}")  # −½ log(2πe) − log 2
    -2.1121
    """
    require_known("kernel", kernel, KERNELS)
    noise_var = require_positive("noise_var", noise_var)
    bounds = [pairwise_entropy_bounds(z, var=noise_var) for z in (z_a, z_b)]
    lower = kernel == "bhattacharyya"
    entropies = [bound.lower if lower else bound.upper for bound in bounds]
    return Term(
        value=-(entropies[0] + entropies[1]) / 2,
        weight=weight,
        unit="nats",
        meaning=f"−h(Z + N(0, σ²I)) by pairwise distances ({kernel}), mean of both views",
        direction=Bias.UPPER if lower else Bias.UNKNOWN,
    )


def noise_settings(z: Float[Any, "n d"], **variances: float) -> dict[str, float | str]:
    """The variances by name, and each relative to the mean variance of the columns of z.

    >>> noise_settings(np.array([[0.0], [2.0]]), noise_var=0.5)
    {'noise_var': 0.5, 'noise_var / variance of z': 0.25}
    """
    values = on_host(z) if hasattr(z, "detach") else np.asarray(z)
    scale = float(values.var(axis=0, ddof=1).mean())
    relative = {f"{name} / variance of z": v / scale if scale > 0 else float("inf") for name, v in variances.items()}
    return {**variances, **relative}
