r"""Sampling error and bias of averaged log-densities of a fitted mixture, from the scores of its parameters.

For T(θ) = (1/n) Σ_i Σ_t σ_t log p_t(x_i; θ), with p_t the densities of linear images (marginals) of one mixture p, at
the maximum likelihood θ̂ of the same rows: let s be the score of p, s_t that of p_t (which is E[s | the image of t]),
F = E ssᵀ and F_t = E s_t s_tᵀ. From log p_t(θ̂) ≈ log p_t + s_tᵀ(θ̂−θ) − ½ (θ̂−θ)ᵀF_t(θ̂−θ), θ̂−θ ≈ F⁻¹ s̄ and
E s̄_t s̄ᵀ = F_t/n follow

bias of T = tr A/(2n),   second-order variance = tr A²/(2n²),   A = F^{−1/2} (Σ_t σ_t F_t) F^{−1/2}.

For entropy (σ = −1, the whole density) this is −p/(2n) with p parameters: Akaike's term. For mutual information it
is [p − tr F⁻¹F_x − tr F⁻¹F_y]/(2n).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.mixture import GaussianMixture
from itssl.kernels.linalg import LOG_2PI

Term = tuple[float, Float[np.ndarray, "_ _"]]
"""A sign σ and the (d, k) matrix B of the linear image Bᵀx whose log-density it multiplies."""

_TILE = 2**22


class Expansion(NamedTuple):
    """Average of the signed log-densities over the rows, with its bias and error from the fit."""

    value: float
    bias: float
    variance: float
    parameters: int


def log_density_and_scores(
    law: GaussianMixture, x: Samples, image: Float[np.ndarray, "d k"], diagonal: bool = False
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n p"]]:
    """log-density of Bᵀx and its derivatives in the parameters of the law of x; B = ``image``, of orthonormal columns.

    Parameters: log-odds of the first m − 1 weights, then for each component its mean and the entries of its covariance
    on and below the diagonal (on it only, if ``diagonal``).

    >>> law = GaussianMixture.isotropic(np.zeros((1, 1)), 1.0)
    >>> log_density_and_scores(law, np.array([[2.0], [0.0]]), np.eye(1))[1]
    array([[ 2. ,  1.5],
           [ 0. , -0.5]])
    """
    from scipy.special import logsumexp

    (m, d), k = law.means.shape, image.shape[1]
    u = x @ image
    logs, directions, precisions = np.empty((len(x), m)), [], []
    for c in range(m):
        factor = np.linalg.cholesky(image.T @ law.covs[c] @ image)
        inverse = np.linalg.inv(factor)
        white = (u - law.means[c] @ image) @ inverse.T
        log_det = 2 * np.log(np.diagonal(factor)).sum()
        logs[:, c] = np.log(law.weights[c]) - 0.5 * (np.square(white).sum(axis=1) + log_det + k * LOG_2PI)
        whitener = image @ inverse.T
        directions.append(white @ whitener.T)
        precisions.append(whitener @ whitener.T)
    log_density = np.asarray(logsumexp(logs, axis=1))
    shares = np.exp(logs - log_density[:, None])
    a, b = (np.arange(d), np.arange(d)) if diagonal else np.tril_indices(d)
    twice = np.where(a == b, 0.5, 1.0)  # an entry off the diagonal stands twice in the matrix
    parts = [(shares - law.weights)[:, :-1]]
    for c, v in enumerate(directions):
        parts += [shares[:, [c]] * v, shares[:, [c]] * twice * (v[:, a] * v[:, b] - precisions[c][a, b])]
    return log_density, np.hstack(parts)


def expansion(law: GaussianMixture, x: Samples, terms: Sequence[Term], *, diagonal: bool = False) -> Expansion:
    """The average of Σ_t σ_t log p_t over the rows x to which ``law`` was fitted, its bias and its variance.

    Each image is first made orthonormal, B = QR, for log p(Bᵀx) = log p(Qᵀx) − log|det R|: so a nearly singular block
    costs no digits. Under the law 0 ⪯ F_t ⪯ F; what the rows make larger than F (a law that does not fit) is cut there.
    The variance is that of the summands and of second order. Where the summands are constant under the truth
    (information of independent blocks) tr A²/n is all that their spread shows, so that much is taken off first.
    """
    n = len(x)
    everything = np.eye(law.dim)
    images = [(sign, *np.linalg.qr(image)) for sign, image in terms]
    parameters = log_density_and_scores(law, x[:1], everything, diagonal)[1].shape[1]
    fisher, parts = (np.zeros((k, parameters, parameters)) for k in (1, len(images)))
    summands = np.empty(n)
    step = max(1, _TILE // parameters)
    for start in range(0, n, step):
        rows = x[start : start + step]
        scores = log_density_and_scores(law, rows, everything, diagonal)[1]
        fisher[0] += scores.T @ scores
        total = np.zeros(len(rows))
        for t, (sign, image, stretch) in enumerate(images):
            log_density, own = log_density_and_scores(law, rows, image, diagonal)
            total += sign * (log_density - np.log(np.abs(np.diagonal(stretch))).sum())
            parts[t] += own.T @ own
        summands[start : start + step] = total
    root = _inverse_root(fisher[0])
    a = sum(sign * _share(root.T @ part @ root) for (sign, _, _), part in zip(images, parts, strict=True))
    bias, second = float(np.trace(a)) / (2 * n), float(np.square(a).sum()) / (2 * n**2)
    first = max(0.0, float(summands.var(ddof=1)) / n - 2 * second)
    return Expansion(float(summands.mean()), bias, first + second, parameters)


def _share(a: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """The symmetric matrix a with its eigenvalues cut at 0, which rounding may miss by far, and at 1."""
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.clip(values, 0, 1)) @ vectors.T


def _inverse_root(fisher: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p r"]:
    """R with RRᵀ = F⁻¹ on the directions that the rows determine."""
    size = np.sqrt(np.diagonal(fisher))
    kept = size > 0
    values, vectors = np.linalg.eigh(fisher[np.ix_(kept, kept)] / np.outer(size[kept], size[kept]))
    good = values > len(fisher) * np.finfo(float).eps * values[-1]
    root = np.zeros((len(fisher), int(good.sum())))
    root[kept] = vectors[:, good] / np.sqrt(values[good]) / size[kept, None]
    return root
