r"""Variational bounds of mutual information as differentiable functions of a critic's scores.

``scores[i, j] = s(x_i, y_j)`` for n pairs (x_i, y_i) drawn independently: the diagonal holds draws of the joint law,
the rest draws of the product of the marginals. All functions take numpy arrays or torch tensors, keep gradients and
return nats. A critic that has not seen these pairs is understood wherever a direction is stated. With
r(x, y) = p(x, y)/(p(x) p(y)):

===================  =====================  ==================================================================
function             best critic            expectation over n pairs, any critic
===================  =====================  ==================================================================
donsker_varadhan     log r + constant       ≤ I + (finite-sample bias ≥ 0): no direction; a bound as n → ∞
nwj                  1 + log r              ≤ I
jensen_shannon       log r                  ≤ I
info_nce             log r + function of x  ≤ min(I, log n)
smile                log r                  no direction
club                 log p(y|x)             ≥ I for that critic; no direction for another
barber_agakov        log p(y|x)             ≤ I when h(Y) is exact
===================  =====================  ==================================================================
"""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, SampleTypeError, as_matrix, namespace
from itssl.choices import require_positive
from itssl.estimate import Reference

POOLE_2019 = Reference(
    authors="Poole, Ozair, van den Oord, Alemi & Tucker", title="On variational bounds of mutual information",
    year=2019, where="ICML, PMLR 97, 5171-5180",
)  # fmt: skip
BELGHAZI_2018 = Reference(
    authors="Belghazi, Baratin, Rajeswar, Ozair, Bengio, Courville & Hjelm",
    title="Mutual information neural estimation", year=2018, where="ICML, PMLR 80, 531-540",
)  # fmt: skip
NGUYEN_2010 = Reference(
    authors="Nguyen, Wainwright & Jordan", year=2010, where="IEEE Trans. Inf. Theory 56(11), 5847-5861",
    title="Estimating divergence functionals and the likelihood ratio by convex risk minimization",
)  # fmt: skip
VAN_DEN_OORD_2018 = Reference(
    authors="van den Oord, Li & Vinyals", title="Representation learning with contrastive predictive coding", year=2018,
    where="arXiv 1807.03748",
)  # fmt: skip
SONG_2020 = Reference(
    authors="Song & Ermon", title="Understanding the limitations of variational mutual information estimators",
    year=2020, where="ICLR",
)  # fmt: skip
CHENG_2020 = Reference(
    authors="Cheng, Hao, Dai, Liu, Gan & Carin", year=2020, where="ICML, PMLR 119, 1779-1788",
    title="CLUB: a contrastive log-ratio upper bound of mutual information",
)  # fmt: skip
BARBER_2003 = Reference(
    authors="Barber & Agakov", title="The IM algorithm: a variational approach to information maximization", year=2003,
    where="NIPS 16",
)  # fmt: skip


def lower_bound_donsker_varadhan(scores: Float[Any, "n n"]) -> Any:
    r"""$\frac1n\sum_i s_{ii} - \log\frac1{n(n-1)}\sum_{i\ne j} e^{s_{ij}}$, the objective of MINE [1].

    Its population value E s − log E⊗ e^s is a lower bound of I for every critic [2]. The finite-sample value is *not*
    one in expectation: the logarithm of a mean is on average below the logarithm of the expectation, so what is
    subtracted is too small. The excess vanishes as n → ∞ and is large where few exponentials carry the sum.

    Parameters
    ----------
    scores: shape (n, n), n >= 2, positives on the diagonal; numpy or torch.

    Raises
    ------
    SampleError: scores that are not a finite square matrix. SampleTypeError: integer scores.

    References
    ----------
    [1] Belghazi et al. (2018). Mutual information neural estimation. ICML.
    [2] Donsker & Varadhan (1983). Asymptotic evaluation of certain Markov process expectations for large time, IV.
        Comm. Pure Appl. Math. 36(2).

    >>> print(f"{lower_bound_donsker_varadhan(np.log([[2.0, 0.5], [0.5, 2.0]])):.4f} {2 * np.log(2):.4f}")
    1.3863 1.3863
    """
    xp, scores = _square(scores)
    return scores.diagonal().mean() - _log_mean_exp(xp, _off_diagonal(scores))


def lower_bound_nwj(scores: Float[Any, "n n"]) -> Any:
    r"""$\frac1n\sum_i s_{ii} - \frac1{e\,n(n-1)}\sum_{i\ne j} e^{s_{ij}}$ of Nguyen, Wainwright & Jordan [1].

    Linear in the two empirical laws, so its expectation over n pairs is its population value: at most I for every
    critic, and I exactly for s = 1 + log r. The variance grows like that of r under the product law, e^{2I} for
    Gaussians, whatever the critic's quality [2]. Parameters and errors as in :func:`lower_bound_donsker_varadhan`.

    References
    ----------
    [1] Nguyen, Wainwright & Jordan (2010). Estimating divergence functionals and the likelihood ratio by convex risk
        minimization. IEEE Trans. Inf. Theory 56(11).
    [2] Poole, Ozair, van den Oord, Alemi & Tucker (2019). On variational bounds of mutual information. ICML.

    >>> print(f"{lower_bound_nwj(np.ones((3, 3))):.1f}")
    0.0
    """
    xp, scores = _square(scores)
    with np.errstate(over="ignore"):  # a mean beyond the largest number makes the bound -inf, which it is
        return scores.diagonal().mean() - xp.exp(_log_mean_exp(xp, _off_diagonal(scores)) - 1)


def lower_bound_info_nce(scores: Float[Any, "n n"]) -> Any:
    r"""$\log n + \frac1n\sum_i\bigl[s_{ii} - \log\sum_j e^{s_{ij}}\bigr]$ of van den Oord, Li & Vinyals [1].

    The y_j are the candidates of each x_i; scores of shape (n, n), the value in nats. In expectation at most I for
    every critic, and never above log n [2]. Parameters and errors as in :func:`lower_bound_donsker_varadhan`.

    References
    ----------
    [1] van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding.
    [2] Poole, Ozair, van den Oord, Alemi & Tucker (2019). On variational bounds of mutual information. ICML.

    >>> print(f"{lower_bound_info_nce(100.0 * np.eye(8)):.4f} {np.log(8):.4f}")
    2.0794 2.0794
    """
    xp, scores = _square(scores)
    return scores.diagonal().mean() - _log_mean_exp(xp, scores, 1).mean()


def lower_bound_jensen_shannon(scores: Float[Any, "n n"]) -> Any:
    """NWJ with the critic 1 + scores, where the scores were trained by :func:`jensen_shannon_objective` [1].

    That objective makes the scores estimate log r; NWJ turns any such estimate into a lower bound of I in
    expectation. Its variance is that of NWJ. Parameters and errors as in :func:`lower_bound_donsker_varadhan`.

    References
    ----------
    [1] Poole, Ozair, van den Oord, Alemi & Tucker (2019). On variational bounds of mutual information. ICML.

    >>> print(f"{lower_bound_jensen_shannon(np.zeros((3, 3))):.1f}")
    0.0
    """
    _, scores = _square(scores)
    return lower_bound_nwj(scores + 1)


def jensen_shannon_objective(scores: Float[Any, "n n"]) -> Any:
    r"""$-\frac1n\sum_i\log(1+e^{-s_{ii}}) - \frac1{n(n-1)}\sum_{i\ne j}\log(1+e^{s_{ij}})$, to be maximized.

    The log-likelihood of telling pairs of the joint law from pairs of the product, whose best critic is log r.
    At most 2 JSD(joint, product) − 2 log 2, so it is no bound of I itself; use :func:`lower_bound_jensen_shannon` or
    :func:`smile` on the critic it has trained. Parameters and errors as in :func:`lower_bound_donsker_varadhan`.

    >>> print(f"{jensen_shannon_objective(np.zeros((3, 3))):.4f} {-2 * np.log(2):.4f}")
    -1.3863 -1.3863
    """
    xp, scores = _square(scores)
    positive, negative = scores.diagonal(), _off_diagonal(scores)
    return -_softplus(xp, -positive).mean() - _softplus(xp, negative).mean()


def smile(scores: Float[Any, "n n"], clip: float) -> Any:
    r"""$\frac1n\sum_i s_{ii} - \log\frac1{n(n-1)}\sum_{i\ne j} e^{\min(\max(s_{ij}, -c), c)}$: *not a bound* [1].

    Clipping tames the variance of Donsker–Varadhan at the price of its direction: for s = log r the value is
    I − log E⊗ clipped(r), which lies above I where r is often large (E⊗ r = 1 loses its tail) and below where it
    is often below e^{−c}. The value stays within c of the mean positive score.
    Parameters and errors as in :func:`lower_bound_donsker_varadhan`; ParameterError unless ``clip`` > 0.

    References
    ----------
    [1] Song & Ermon (2020). Understanding the limitations of variational mutual information estimators. ICLR.

    >>> print(f"{smile(9 * np.eye(3) - 3, clip=2.0):.1f}")
    8.0
    """
    clip = require_positive("clip", clip)
    xp, scores = _square(scores)
    return scores.diagonal().mean() - _log_mean_exp(xp, _off_diagonal(scores).clip(-clip, clip))


def upper_bound_club(log_q: Float[Any, "n n"]) -> Any:
    r"""$\frac1n\sum_i \log q(y_i|x_i) - \frac1{n(n-1)}\sum_{i\ne j} \log q(y_j|x_i)$ of Cheng et al. [1].

    ``log_q[i, j]`` = log q(y_j|x_i). With the true conditional law p(y|x) its expectation is I + D(p(y)p(x)‖p(x,y)),
    an upper bound that is seldom tight (ρ²/(1−ρ²) for a Gaussian pair with I = −½ log(1−ρ²)). With any other q there
    is no direction: a q that ignores x gives 0. The sum leaves out j = i, which makes it unbiased; the paper's
    includes it and is smaller by the factor (n−1)/n.
    Parameters and errors as in :func:`lower_bound_donsker_varadhan`.

    References
    ----------
    [1] Cheng, Hao, Dai, Liu, Gan & Carin (2020). CLUB: a contrastive log-ratio upper bound of mutual information. ICML.

    >>> upper_bound_club(np.array([[0.0, -1.0], [-3.0, 0.0]])).item()
    2.0
    """
    _, log_q = _square(log_q, "log_q")
    return log_q.diagonal().mean() - _off_diagonal(log_q).mean()


def lower_bound_barber_agakov(log_q: Float[Any, " n"], entropy: Any) -> Any:
    r"""$h(Y) + \frac1n\sum_i \log q(y_i|x_i)$ of Barber & Agakov [1], for densities q(·|x) that integrate to one.

    In expectation I − E D(p(·|x)‖q(·|x)), so at most I when ``entropy`` is h(Y) itself or an underestimate. With an
    entropy that is too large or merely estimated there is no direction.

    Parameters
    ----------
    log_q: log q(y_i|x_i) in nats, shape (n,).
    entropy: h(Y) in nats, of Y in the same units as in q.

    Raises
    ------
    SampleError: log_q that is not a finite vector. SampleTypeError: integers.

    References
    ----------
    [1] Barber & Agakov (2003). The IM algorithm: a variational approach to information maximization. NIPS 16.

    >>> lower_bound_barber_agakov(np.array([-1.0, -2.0]), entropy=2.0).item()
    0.5
    """
    xp = namespace(log_q)
    log_q = np.asarray(log_q) if xp is np else log_q
    if log_q.ndim != 1 or not len(log_q) or not bool(xp.isfinite(log_q).all()):
        raise SampleError(
            f"log_q: expected a finite vector log q(y_i|x_i), got shape {tuple(log_q.shape)}; pass the diagonal only"
        )
    if xp is np and log_q.dtype.kind != "f":
        raise SampleTypeError(f"log_q: expected floating-point numbers, got {log_q.dtype}; use log_q.astype(float)")
    return entropy + log_q.mean()


def _square(scores: Any, name: str = "scores") -> tuple[ModuleType, Any]:
    xp, scores = as_matrix(scores, name=name)
    if scores.shape[0] != scores.shape[1]:
        raise SampleError(
            f"{name}: expected one row and one column a pair, got shape {tuple(scores.shape)}; pass a square matrix"
        )
    return xp, scores


def _off_diagonal(matrix: Any) -> Any:
    """The n(n−1) entries off the diagonal, in the order of the rows, shape (n−1, n)."""
    n = matrix.shape[0]
    return matrix.reshape(-1)[:-1].reshape(n - 1, n + 1)[:, 1:]


def _log_mean_exp(xp: ModuleType, values: Any, axis: int | None = None) -> Any:
    """log of the mean of e^values over all entries, or over the columns if ``axis`` is 1."""
    if axis is None:
        top = values.max() if xp is np else values.detach().max()
        return xp.log(xp.exp(values - top).mean()) + top
    top = values.max(1) if xp is np else values.detach().amax(1)
    return xp.log(xp.exp(values - top[:, None]).mean(1)) + top


def _softplus(xp: ModuleType, values: Any) -> Any:
    """log(1 + e^values) without overflow."""
    return xp.logaddexp(xp.zeros_like(values), values)
