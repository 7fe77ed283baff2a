r"""The image of a mixture of narrow Gaussians under a network: again a mixture, with a certificate.

On the region of $\mu_c$ component c is mapped to $N(A\mu_c + b, A\Sigma_c A^\top)$. If f(X) and this Gaussian are
driven by the same draw of X, they differ only when X leaves the region; hence the total variation between the law of
f(X) and the mixture of the images is at most $\sum_c w_c P(X \notin \omega(\mu_c) \mid c)$ [1]. It says nothing about
moments: what happens with small probability may happen far away.

References
----------
[1] R. Shwartz-Ziv, R. Balestriero, K. Kawaguchi, T. Rudner, Y. LeCun (2023). An information-theoretic perspective on
    variance-invariance-covariance regularization. NeurIPS.
"""

import html
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import nn

from itssl.arrays import Samples
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law
from itssl.distributions.mixture import GaussianMixture
from itssl.networks.gaussian_source import Source
from itssl.networks.regions import Bounds, exit_probability, local_affine


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
                f"mixture: expected covariances of rank {self.dim}, got rank {self.ranks.min()}: the output has no "
                "density; add stated noise by with_noise(var)"
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


def image(law: Law, network: nn.Module) -> CertifiedMixture:
    """The law of f(X) as a mixture of Gaussians with a certificate in total variation; exact for affine networks.

    Raises
    ------
    LawError: a law that is neither Gaussian nor a mixture of Gaussians.
    NetworkError: a network that is not piecewise affine, or whose inputs have another dimension than the law.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> image(Gaussian.standard(3), mlp((3, 2), seed=0))
    CertifiedMixture(mixture of 1 Gaussians on R^2, ranks 2…2; total variation to the law of the output ≤ 0)
    """
    source = Source.of(law)
    means = source.means[0]
    local = local_affine(network, means)
    images = local.matrix @ source.covs @ local.matrix.transpose(0, 2, 1)
    return CertifiedMixture(
        weights=source.weights,
        means=local(means),
        covs=(images + images.transpose(0, 2, 1)) / 2,
        exit=exit_probability(network, means, source.covs),
    )
