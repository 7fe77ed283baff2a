r"""What a piecewise-affine network makes of a law: image, density, entropy, information.

Let $f(x) = A_\omega x + b_\omega$ on each region $\omega$.

- Narrow Gaussians become Gaussians, with a certificate: :func:`image`.
- On at most three inputs the law of f(X) is known exactly, region by region: :mod:`itssl.networks.output_law`.
- If f is injective, $h(f(X)) = h(X) + E \log\sqrt{\det A^\top A}$: the differential entropy for K = D, the entropy
  relative to D-dimensional Hausdorff measure for K > D (in $R^K$ the law is singular, and h = −∞) [1]. If it is not,
  the right side is too large by $H(\text{branch} \mid Z)$; the branch says which of the preimages of Z was there.
- An injective map changes no mutual information [2].

References
----------
[1] G. Koliander, G. Pichler, E. Riegler, F. Hlawatsch (2016). Entropy and source coding for integer-dimensional
    singular random variables. IEEE Trans. Inf. Theory 62(11).
[2] T. Cover, J. Thomas (2006). Elements of Information Theory, 2nd edition. Wiley.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp
from torch import nn

from itssl.arrays import Samples, SamplesLike, stream
from itssl.choices import ParameterError, require_count
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.tasks import Task
from itssl.estimate import Estimate
from itssl.networks.cells import HIGHEST
from itssl.networks.certified_mixture import CertifiedMixture, image
from itssl.networks.encoders import as_double, embed
from itssl.networks.gaussian_source import Source
from itssl.networks.graph import piecewise_affine
from itssl.networks.injectivity import Injectivity, injectivity
from itssl.networks.output_law import OutputLaw, output_law, require_noise
from itssl.networks.regions import local_affine
from itssl.networks.volumes import log_volume_change, log_volumes, ranks

__all__ = [
    "CertifiedMixture",
    "Injectivity",
    "OutputLaw",
    "entropy",
    "image",
    "injectivity",
    "log_density",
    "log_volume_change",
    "mutual_information",
    "output_law",
]

_DRAWS, _CHUNK, _LOOKS = 2**14, 2**12, 64
_HALF_THE_DIGITS = float(np.sqrt(np.finfo(np.float64).eps))


def log_density(law: Law, network: nn.Module, z: SamplesLike) -> Float[np.ndarray, " n"]:
    """log of the exact density of f(X) at the rows of z, for at most three inputs; see :func:`output_law`.

    Relative to Lebesgue measure for K ≤ D, to D-dimensional volume for K > D. −∞ outside the image of f.

    >>> print(log_density(Gaussian.standard(1), nn.LeakyReLU(0.5), [[0.5], [-0.5]]).round(4))  # log φ(0.5), log 2φ(1)
    [-1.0439 -0.7258]
    """
    return output_law(law, network).log_density(z)


def entropy(
    law: Law,
    network: nn.Module,
    *,
    preimages: Callable[[Samples], Float[np.ndarray, "n b D"]] | None = None,
    n: int = _DRAWS,
    seed: int = 0,
) -> Estimate:
    r"""The entropy of f(X) in nats, where it is known: the ground truth for estimators.

    - f affine: that of the image; for K > D, and wherever K > D below, relative to D-dimensional volume (``method``
      says so).
    - X Gaussian or a mixture, D ≤ 2, or D = 3 and K ≥ 2: from all regions of f; exact, or with the error of a
      quadrature, or of ``n`` draws for the branch term of a map that is not injective.
    - f certified injective: h(X) + E ½ log det AᵀA, the expectation over ``n`` draws.
    - ``preimages`` given: h(X) + E ½ log det AᵀA − H(branch | Z) over ``n`` draws.
    - f loses rank on an open set that carries mass: −∞, exactly (part of the law is singular).

    Parameters
    ----------
    law: of X.
    network: piecewise affine, (n, D) to (n, K).
    preimages: for a fold that is known: maps outputs z (n, K) to all their preimages (n, b, D), rows of nan where
        there are fewer than b. Each is checked to have the image z, and X to be one of them; that none is missing
        is the caller's word.
    n, seed: number of draws, and the name of their stream.

    Raises
    ------
    LawError: what is no law, wrong preimages, or a case in which the entropy is not known; the message says why.
    NetworkError: a network that is not piecewise affine, or takes another dimension than the law has.
    ParameterError: n is no count of at least 2.

    >>> from itssl.networks.encoders import mlp
    >>> print(entropy(Gaussian.standard(2), mlp((2, 2, 2), seed=0, slope=0.1)))
    0.347829 (exact) nats (h(X) + E log|det A|, by 4 regions)
    >>> print(entropy(Gaussian.standard(16), mlp((16, 16, 16), seed=0, slope=0.1)))
    -1.919 ± 0.033 nats (h(X) + E log|det A|, n=16384)
    """
    n = require_count("n", n, minimum=2)
    if not hasattr(law, "log_density"):
        raise LawError(f"law: expected a law such as a Gaussian, got {type(law).__name__}; the law is named first")
    first = local_affine(network, law.sample(2, stream(seed, "probe"))[:1]).matrix[0]
    k, d = first.shape
    method = "h(X) + E log|det A|"
    if k > d:
        method = f"h(X) + E ½ log det AᵀA, relative to {d}-dimensional volume in R^{k}"
    if piecewise_affine(network).affine:
        return _affine_entropy(law, first, method)
    if preimages is not None:
        return _folded_entropy(law, network, preimages, n, seed, method)
    known = injectivity(network, law.sample(_LOOKS, stream(seed, "collisions")))
    regions = _regions(law, network, k, d, n, seed)
    if isinstance(regions, OutputLaw):
        if known.injective is not True or d > 2:
            return regions.entropy
        _resolved(regions.log_volumes)
        value = law.entropy.value + regions.mean_log_volume
        return replace(law.entropy, value=value, method=f"{method}, by {len(regions.regions)} regions")
    if known.injective is True:
        return _sum(law.entropy, _mean(lambda x: _resolved(log_volume_change(network, x)), law, n, seed), method)
    if k >= d and np.isneginf(log_volume_change(network, law.sample(n, stream(seed, "rank")))).any():
        return exact(-np.inf, "the network loses rank on a set of positive probability: singular part")
    raise LawError(
        f"network: expected one that is certified injective, or one whose regions can be enumerated, got injective = "
        f"{known.injective} ({known.reason}), and {regions}. Then h(X) + E log|det A| exceeds the entropy by "
        "H(branch | Z), which is not known; pass preimages= if you know the fold"
    )


def _resolved(log_volumes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The log volumes of an injective network, which are finite: −∞ only says that digits are missing."""
    if np.isneginf(log_volumes).any():
        raise LawError(
            "network: expected one whose local maps keep their rank in float64, got one that is injective but flatter "
            "than 1e-12 of its steepest direction; its entropy is finite, and not resolved"
        )
    return log_volumes


def _affine_entropy(law: Law, matrix: Float[np.ndarray, "K D"], method: str) -> Estimate:
    k, d = matrix.shape
    volume = float(log_volumes(matrix))
    if volume == -np.inf:
        return exact(-np.inf, "the affine map loses rank: singular law")
    if k >= d:
        return replace(law.entropy, value=law.entropy.value + volume, method=method)
    if not isinstance(law, Gaussian | GaussianMixture):
        raise LawError(
            f"law: expected a Gaussian or a GaussianMixture where an affine map has fewer outputs than inputs, got "
            f"{type(law).__name__}; its projection is not known"
        )
    return replace(law.affine_image(matrix, np.zeros(k)).entropy, method="entropy of the affine image")


def _regions(law: Law, network: nn.Module, k: int, d: int, n: int, seed: int) -> OutputLaw | str:
    """The output law by regions, or why there is none."""
    if not isinstance(law, Gaussian | GaussianMixture):
        return f"a law of type {type(law).__name__} (regions need a Gaussian or a GaussianMixture)"
    if d > HIGHEST or k < d - 1:
        return f"{d} inputs and {k} outputs (regions are integrated for D ≤ {HIGHEST} and K ≥ D − 1)"
    try:
        return output_law(law, network, draws=n, seed=seed)
    except ParameterError as error:
        return str(error)


def _mean(integrand: Callable[[Samples], np.ndarray], law: Law, n: int, seed: int) -> Estimate:
    rng = stream(seed, "entropy of a network's output")
    return monte_carlo(lambda m, r: integrand(law.sample(m, r)), rng, n=n, chunk=_CHUNK)


def _sum(known: Estimate, sampled: Estimate, method: str) -> Estimate:
    error = float(np.hypot(known.standard_error, sampled.standard_error))
    return replace(sampled, value=known.value + sampled.value, standard_error=error, method=method)


def _folded_entropy(
    law: Law, network: nn.Module, preimages: Callable[[Samples], np.ndarray], n: int, seed: int, method: str
) -> Estimate:
    double = as_double(network)

    def integrand(x: Samples) -> Float[np.ndarray, " n"]:
        points = _checked_preimages(double, x, preimages)
        there = np.isfinite(points).all(axis=2)
        logs = np.full(there.shape, -np.inf)
        logs[there] = law.log_density(points[there]) - log_volume_change(double, points[there])
        share = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        branch = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
        return log_volume_change(double, x) - branch

    return _sum(law.entropy, _mean(integrand, law, n, seed), f"{method} − H(branch | Z), preimages given")


def _checked_preimages(
    network: nn.Module, x: Samples, preimages: Callable[[Samples], np.ndarray]
) -> Float[np.ndarray, "n b D"]:
    """The preimages of f(x), if they are; coordinates are compared in units of the largest of their column."""
    z = embed(network, x)
    points = np.asarray(preimages(z), dtype=float)
    if points.ndim != 3 or points.shape[::2] != x.shape:
        raise LawError(f"preimages: expected shape ({len(x)}, b, {x.shape[1]}), got {points.shape}")
    there = np.isfinite(points).all(axis=2)
    off = np.abs(embed(network, points[there]) - z[np.nonzero(there)[0]])
    if (off > _HALF_THE_DIGITS * np.abs(z).max(axis=0)).any():
        raise LawError(
            f"preimages: expected points with the image z, got images off by {off.max():.3g}; correct the fold"
        )
    own = (np.abs(points - x[:, None]) <= _HALF_THE_DIGITS * np.abs(x).max(axis=0)).all(axis=2) & there
    if (own.sum(axis=1) != 1).any():
        raise LawError(
            f"preimages: expected each x once among the preimages of f(x), got it {own.sum(axis=1).min()} to "
            f"{own.sum(axis=1).max()} times; list every preimage once"
        )
    return points


def mutual_information(
    task: Task, network: nn.Module, *, noise_var: float = 0.0, n: int = _DRAWS, seed: int = 0
) -> Estimate:
    """I(f(X) + N(0, noise_var·I); Y) in nats for the X and Y of a task, where it is known.

    - f certified injective and no noise: that of the task.
    - f affine and the joint law Gaussian: by the Gaussian formula.
    - the joint law Gaussian, D ≤ 2 (or D = 3, K ≥ 2 and no noise): E log p(z | y)/p(z) over ``n`` draws, both densities
      by the regions of f.

    Raises
    ------
    LawError: a case in which it is not known; the message says why.
    NetworkError: a network that is not piecewise affine or takes another dimension.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> from itssl.networks.encoders import mlp
    >>> task = linear_gaussian_views([0.6, 0.8])
    >>> print(f"{mutual_information(task, mlp((2, 2, 2), seed=0, slope=0.1)).value:.4f}")
    0.7340
    >>> print(mutual_information(task, mlp((2, 4, 2), seed=0), noise_var=0.01))
    0.5961 ± 0.0069 nats (E log p(z | y)/p(z) by 10 regions, n=16384)
    """
    noise_var = require_noise(noise_var)
    n = require_count("n", n, minimum=2)
    x, _ = task.sample(_LOOKS, stream(seed, "collisions"))
    k, d = local_affine(network, x[:1]).matrix.shape[1:]
    known = injectivity(network, x)
    if known.injective is True and noise_var == 0:
        method = f"{task.mutual_information.method}, kept by an injective network"
        return replace(task.mutual_information, method=method)
    if not isinstance(task.joint, Gaussian) or not _is_seen_as_it_is(task):
        raise LawError(
            f"network, task: expected an injective network without noise, or a Gaussian task, got injective = "
            f"{known.injective} ({known.reason}) and {task!r}; the information is not known then"
        )
    if piecewise_affine(network).affine:
        return _affine_information(task.joint, network, x, noise_var)
    regions = (
        f"{d} inputs with noise (regions are integrated for D ≤ 2)"
        if noise_var > 0 and d > 2
        else _regions(task.x, network, k if noise_var == 0 else d, d, n, seed)
    )
    if not isinstance(regions, OutputLaw):
        raise LawError(f"network: expected one that is injective or whose regions can be enumerated, got {regions}")
    return _information_by_regions(task.joint, replace(regions, noise_var=noise_var), n, seed)


def _affine_information(joint: Gaussian, network: nn.Module, x: Samples, noise_var: float) -> Estimate:
    """½ log |Σ_Z||Σ_Y|/|Σ_ZY|; without noise Z may be taken for the coordinates of X that it determines."""
    matrix = local_affine(network, x[:1]).matrix[0]
    if noise_var == 0:
        matrix = np.linalg.svd(matrix)[2][: int(ranks(matrix))]
    (k, d), d_y = matrix.shape, joint.dim - x.shape[1]
    if k == 0:
        return exact(0.0, "the network is constant")
    block = np.zeros((k + d_y, joint.dim))
    block[:k, :d], block[k:, d:] = matrix, np.eye(d_y)
    cov = block @ joint.cov @ block.T
    cov[:k, :k] += noise_var * np.eye(k)
    return Gaussian(block @ joint.mean, (cov + cov.T) / 2).mutual_information(range(k))


def _information_by_regions(joint: Gaussian, law: OutputLaw, n: int, seed: int) -> Estimate:
    """E log p(z | y)/p(z): X given Y = y is Gaussian, with a mean that depends on y and a covariance that does not."""
    d = law.source.dim
    gain = np.linalg.solve(joint.cov[d:, d:], joint.cov[d:, :d])
    cov = joint.cov[:d, :d] - joint.cov[:d, d:] @ gain

    def integrand(m: int, rng: np.random.Generator) -> Float[np.ndarray, " m"]:
        pair = joint.sample(m, rng)
        z = embed(law.network, pair[:, :d])
        z = z + np.sqrt(law.noise_var) * rng.standard_normal(z.shape)
        means = joint.mean[:d] + (pair[:, d:] - joint.mean[d:]) @ gain
        given = Source(np.ones(1), means[:, None], ((cov + cov.T) / 2)[None])
        return law.log_density_given(given, z) - law.log_density(z)

    method = f"E log p(z | y)/p(z) by {len(law.regions)} regions"
    return monte_carlo(integrand, stream(seed, "information"), n=n, chunk=_CHUNK, method=method)


def _is_seen_as_it_is(task: Task) -> bool:
    """Whether the draws of the task are those of its joint law, not transformed."""
    seen, latent = (f(8, stream(0, "seen")) for f in (task.sample, task.sample_latent))
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(seen, latent, strict=True))
