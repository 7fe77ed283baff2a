r"""What a piecewise-affine network makes of a law: certified mixtures, entropies, informations.

Let $f(x) = A_\omega x + b_\omega$ on each region $\omega$ and $X \sim \sum_c w_c N(\mu_c, \Sigma_c)$.

- On the region of $\mu_c$ component c is mapped to $N(A\mu_c + b, A\Sigma_c A^\top)$. If $f(X)$ and this Gaussian are driven
  by the same draw of X, they differ only when X leaves the region; hence the total variation between the law of f(X) and
  the mixture of the images is at most $\sum_c w_c P(X \notin \omega(\mu_c) \mid c)$ [1]. It says nothing about moments.
- If f is injective, $h(f(X)) = h(X) + E \log \sqrt{\det A^\top A}$: the differential entropy for K = D, the entropy
  relative to D-dimensional Hausdorff measure for K > D (in $R^K$ the law is singular, and h = −∞) [2]. If it is not, the
  right side is too large by $H(\text{branch} \mid Z)$.
- An injective map changes no mutual information [3].

References
----------
[1] R. Shwartz-Ziv, R. Balestriero, K. Kawaguchi, T. Rudner, Y. LeCun (2023). An information-theoretic perspective on
    variance-invariance-covariance regularization. NeurIPS.
[2] G. Koliander, G. Pichler, E. Riegler, F. Hlawatsch (2016). Entropy and source coding for integer-dimensional
    singular random variables. IEEE Trans. Inf. Theory 62(11).
[3] T. Cover, J. Thomas (2006). Elements of Information Theory, 2nd edition. Wiley.
"""

import html
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import nn

from itssl.arrays import Samples, SamplesLike, stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.tasks import Task
from itssl.estimate import Bias, Estimate
from itssl.networks.encoders import NetworkError, embed
from itssl.networks.graph import piecewise_affine
from itssl.networks.injectivity import Injectivity, injectivity
from itssl.networks.regions import Bounds, exit_probability, local_affine

__all__ = [
    "CertifiedMixture",
    "Injectivity",
    "entropy",
    "image",
    "injectivity",
    "log_volume_change",
    "mutual_information",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class CertifiedMixture:
    """Σ_c w_c N(A μ_c + b, A Σ_c Aᵀ) with bounds on how far the law of the output is from it.

    ``exit`` bounds, for each component, the probability that its inputs leave the region of its mean; the upper bound
    is its certificate in total variation. Covariances may be singular: see ``ranks``.
    """

    weights: Float[np.ndarray, " m"]
    means: Float[np.ndarray, "m K"]
    covs: Float[np.ndarray, "m K K"]
    exit: Bounds

    @property
    def total_variation(self) -> float:
        """Upper bound on the total variation between the law of the output and the mixture."""
        return float(min(1.0, self.weights @ self.exit.upper))

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @cached_property
    def ranks(self) -> np.ndarray:
        """Rank of each covariance, relative to rounding; below K the component has no density."""
        return np.linalg.matrix_rank(self.covs, hermitian=True)

    @property
    def mixture(self) -> GaussianMixture:
        """The mixture as a law with a density. Raises LawError when a covariance is singular."""
        if (self.ranks < self.dim).any():
            raise LawError(
                f"mixture: expected covariances of rank {self.dim}, got rank {self.ranks.min()}: the output has no density; "
                "add stated noise by with_noise(var)"
            )
        return GaussianMixture(self.weights, self.means, self.covs)

    def with_noise(self, var: float) -> GaussianMixture:
        """The mixture of output + N(0, var·I); noise cannot increase the total variation. LawError unless var > 0."""
        if not 0 < var < np.inf:
            raise LawError(f"var: expected a finite variance > 0, got {var}")
        return GaussianMixture(self.weights, self.means, self.covs + var * np.eye(self.dim))

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws from the mixture (not from the output), also where it is singular."""
        values, axes = np.linalg.eigh(self.covs)
        roots = axes * np.sqrt(np.maximum(values, 0.0))[:, None]
        labels = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.dim))
        return self.means[labels] + np.einsum("nij,nj->ni", roots[labels], noise)

    def __str__(self) -> str:
        return (
            f"mixture of {len(self.weights)} Gaussians on R^{self.dim}, ranks {self.ranks.min()}…{self.ranks.max()}; "
            f"total variation to the law of the output ≤ {self.total_variation:.3g}"
        )

    def __repr__(self) -> str:
        return f"CertifiedMixture({self})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def image(law: Gaussian | GaussianMixture, network: nn.Module) -> CertifiedMixture:
    """The law of f(X) as a mixture of Gaussians with a certificate in total variation; exact for affine networks.

    Raises
    ------
    LawError: a law that is neither Gaussian nor a mixture of Gaussians.
    NetworkError: a network that is not piecewise affine, or whose inputs have another dimension than the law.

    >>> from itssl.networks.encoders import mlp
    >>> image(Gaussian.standard(3), mlp((3, 2), seed=0))
    CertifiedMixture(mixture of 1 Gaussians on R^2, ranks 2…2; total variation to the law of the output ≤ 0)
    """
    weights, means, covs = _components(law)
    local = local_affine(network, means)
    images = local.matrix @ covs @ local.matrix.transpose(0, 2, 1)
    return CertifiedMixture(
        weights=weights,
        means=local(means),
        covs=(images + images.transpose(0, 2, 1)) / 2,
        exit=exit_probability(network, means, covs),
    )


def _components(law: Gaussian | GaussianMixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if isinstance(law, Gaussian):
        return np.ones(1), law.mean[None], law.cov[None]
    if isinstance(law, GaussianMixture):
        return law.weights, law.means, law.covs
    raise LawError(f"law: expected a Gaussian or a GaussianMixture, got {type(law).__name__}; its image is not known")


def log_volume_change(network: nn.Module, x: SamplesLike) -> Float[np.ndarray, " n"]:
    r"""½ log det AᵀA at each row of x where K ≥ D, ½ log det AAᵀ where K < D; −∞ where A loses rank.

    Factor by which the network changes D-dimensional volumes (K ≥ D), or the coarea factor (K < D), in nats.
    Raises NetworkError and SampleError as :func:`itssl.networks.regions.local_affine`.

    >>> f = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    >>> _ = nn.init.constant_(f[0].weight, 3.0)
    >>> print(f"{log_volume_change(f, [[1.0]])[0]:.4f}")  # log √18
    1.4452
    """
    singular = np.linalg.svd(local_affine(network, x).matrix, compute_uv=False)
    rounding = max(1, singular.shape[1]) * np.finfo(float).eps * singular.max(axis=1, initial=0.0, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.log(np.where(singular > rounding, singular, 0.0)).sum(axis=1)


def entropy(law: Law, network: nn.Module, *, n: int = 2**14, seed: int = 0) -> Estimate:
    r"""The entropy of f(X) in nats, where it is known: the ground truth for estimators.

    - f affine of full row rank, X Gaussian or a mixture: that of the image law.
    - f certified injective: h(X) + E ½ log det AᵀA, the expectation exact where f is affine, else over ``n`` draws. For
      K > D this is the entropy relative to D-dimensional volume; ``method`` says so.
    - f loses rank on an open set that carries mass: −∞, exactly (part of the law is singular).

    Raises
    ------
    LawError: a law of another dimension than the network takes, or a case in which the entropy is not known; the
        message says why.
    NetworkError: a network that is not piecewise affine.

    >>> from itssl.networks.encoders import mlp
    >>> f = nn.Sequential(nn.Linear(2, 2, bias=False)).double()
    >>> _ = nn.init.eye_(f[0].weight)
    >>> print(f"{entropy(Gaussian.standard(2), f).value:.4f}")
    2.8379
    """
    points = law.sample(max(2, n), stream(seed, "entropy of a network's output"))
    first = local_affine(network, points[:1]).matrix[0]
    k, d = first.shape
    affine = piecewise_affine(network).affine
    volumes = log_volume_change(network, points[:1] if affine else points)
    if k >= d and not affine and np.isneginf(volumes).any():
        return exact(-np.inf, "the network loses rank on a set of positive probability")
    if affine and k < d:
        return replace(image(law, network).mixture.entropy, method="entropy of the affine image")
    known = injectivity(network, points[:64])
    if known.injective is not True:
        raise LawError(
            f"network: expected one that is certified injective, got {known.injective}: {known.reason}. Then h(X) + "
            "E log|det A| exceeds the entropy by H(branch | Z), which is not known"
        )
    method = "h(X) + E log|det A|" if k == d else f"Hausdorff entropy of dimension {d} in R^{k}: h(X) + E ½ log det AᵀA"
    if affine:
        return replace(law.entropy, value=law.entropy.value + float(volumes[0]), method=method)
    volume = Estimate(
        value=volumes.mean(), standard_error=volumes.std(ddof=1) / np.sqrt(len(volumes)), n=len(volumes),
        bias=Bias.UNBIASED, method=method,
    )  # fmt: skip
    error = float(np.hypot(law.entropy.standard_error, volume.standard_error))
    return replace(volume, value=law.entropy.value + volume.value, standard_error=error)


def mutual_information(task: Task, network: nn.Module, *, noise_var: float = 0.0) -> Estimate:
    """I(f(X) + N(0, noise_var·I); Y) for the X and Y of a task, where it is known.

    - f certified injective and no noise: that of the task.
    - f affine and the joint law Gaussian: by the Gaussian formula, with noise or without.

    Raises
    ------
    LawError: a case in which it is not known; the message says why.
    NetworkError: a network that is not piecewise affine or takes another dimension.

    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> from itssl.networks.encoders import mlp
    >>> print(f"{mutual_information(linear_gaussian_views([0.6, 0.8]), mlp((2, 2, 2), seed=0, slope=0.1)).value:.4f}")
    0.7340
    """
    if not 0 <= noise_var < np.inf:
        raise LawError(f"noise_var: expected a finite variance >= 0, got {noise_var}")
    x, _ = task.sample(64, stream(0, "information behind a network"))
    known = injectivity(network, x)
    if known.injective is True and noise_var == 0:
        return replace(
            task.mutual_information, method=f"{task.mutual_information.method}, kept by an injective network"
        )
    if not piecewise_affine(network).affine or not isinstance(task.joint, Gaussian) or not _is_seen_as_it_is(task):
        raise LawError(
            f"network, task: expected an injective network without noise, or an affine one and a Gaussian task, got "
            f"injective = {known.injective} ({known.reason}) and {task!r}; the information is not known then"
        )
    local = local_affine(network, x[:1])
    k, d_y = local.matrix.shape[1], task.y.dim
    block = np.zeros((k + d_y, task.joint.dim))
    block[:k, : task.x.dim], block[k:, task.x.dim :] = local.matrix[0], np.eye(d_y)
    cov = block @ task.joint.cov @ block.T
    cov[:k, :k] += noise_var * np.eye(k)
    try:
        return Gaussian(block @ task.joint.mean, (cov + cov.T) / 2).mutual_information(range(k))
    except LawError as error:
        raise LawError(
            f"network: expected an output with a density, got a singular covariance ({error}); state output noise by "
            "noise_var"
        ) from error


def _is_seen_as_it_is(task: Task) -> bool:
    """Whether the draws of the task are those of its joint law, not transformed."""
    seen, latent = (f(8, stream(0, "seen")) for f in (task.sample, task.sample_latent))
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(seen, latent, strict=True))
