"""Positive pairs as self-supervised learning draws them, with known information between the views."""

import numpy as np
from jaxtyping import Float

from itssl.arrays import stream
from itssl.choices import require_count, require_positive
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import exact
from itssl.distributions.maps import Map, affine, leaky_relu_layer
from itssl.distributions.mixture import GaussianMixture
from itssl.distributions.mixture_tasks import mixture_task
from itssl.distributions.tasks import Task, random_mixing


def prototype_pairs(
    prototypes: Float[np.ndarray, "N d"], std: float, *, name: str | None = None, n: int = 2**17
) -> Task:
    """Two noisy copies of one of N prototypes: X, X' | T=n independent N(x*_n, σ²I), T uniform [1].

    I(X; X') ≤ H(T) = log N nats, nearly reached once the prototypes are far apart compared with σ. The joint law is a
    Gaussian mixture: I is by quadrature on the line (d = 1) and by Monte Carlo (n draws) above; see
    :func:`~itssl.distributions.mixture_tasks.mixture_task`. Raises LawError unless prototypes have shape (N, d),
    ParameterError unless std > 0.

    References
    ----------
    [1] Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun (2023). An Information-Theoretic Perspective on
        Variance-Invariance-Covariance Regularization. NeurIPS.

    >>> task = prototype_pairs(np.array([[0.0], [50.0]]), 1.0)
    >>> print(f"{task.mutual_information.value:.6f} {np.log(2):.6f}")
    0.693147 0.693147
    """
    centers = np.asarray(prototypes, dtype=float)
    if centers.ndim != 2 or not len(centers):
        raise LawError(f"prototypes: expected shape (N, d), got {centers.shape}")
    joint = GaussianMixture.isotropic(np.hstack([centers, centers]), require_positive("std", std) ** 2)
    many, d = centers.shape
    return mixture_task(joint, d, name=name or f"{many} prototypes in R^{d}, σ={std:g}", n=n)


def scattered_prototypes(count: int, d: int, *, std: float, seed: int = 0, n: int = 2**17) -> Task:
    """:func:`prototype_pairs` around ``count`` seeded standard normal prototypes.

    >>> scattered_prototypes(4, 2, std=0.1).x.dim
    2
    """
    centers = stream(seed, "prototypes", count, d).standard_normal((require_count("count", count), d))
    return prototype_pairs(centers, std, n=n)


def shared_content_pairs(
    correlations: Float[np.ndarray, " k"] | list[float], *, nuisance: int = 2, view: Map | None = None
) -> Task:
    r"""Views X = f(S, N), X' = f(S', N'): shared content, private style, one injective map f for both [1].

    ``correlations`` has shape (k,). (S_i, S'_i) are standard normal pairs of correlation ρ_i, the ``nuisance``
    coordinates N, N' standard normal and independent of everything. As f is injective, I(X; X') = I(S; S') = −½ Σ log(1
    − ρ_i²) nats, exact, in whatever dimension f ends. Latent rows are (S, N). Raises LawError unless every |ρ_i| < 1,
    ParameterError for nuisance < 0.

    References
    ----------
    [1] Von Kügelgen, Sharma, Gresele, Brendel, Schölkopf, Besserve & Locatello (2021). Self-Supervised Learning with
        Data Augmentations Provably Isolates Content from Style. NeurIPS.

    >>> shared_content_pairs([0.9, 0.5], nuisance=3, view=random_view(5, 20))
    Task('shared content 2, nuisance 3', 20 × 20: 0.974207 (exact) nats)
    """
    rho = np.asarray(correlations, dtype=float)
    if rho.ndim != 1 or not rho.size or not (np.abs(rho) < 1).all():
        raise LawError(f"correlations: expected a vector of numbers in (-1, 1), got {rho}")
    require_count("nuisance", nuisance, minimum=0)
    padded = np.diag(np.concatenate([rho, np.zeros(nuisance)]))
    d = len(padded)
    joint = Gaussian(np.zeros(2 * d), np.block([[np.eye(d), padded], [padded, np.eye(d)]]))
    one = Gaussian.standard(d)
    value = -0.5 * float(np.log1p(-(rho**2)).sum()) + 0.0  # + 0.0: no negative zero
    name = f"shared content {len(rho)}, nuisance {nuisance}"
    task = Task(name=name, joint=joint, x=one, y=one, mutual_information=exact(value, "canonical correlations"))
    return task if view is None else task.transformed(view, view, name=name)


def random_view(d: int, d_out: int, *, depth: int = 2, slope: float = 0.2, seed: int = 0) -> Map:
    """A seeded leaky-ReLU network from R^d into R^{d_out} ≥ d that is injective: ``depth`` square layers of condition
    3, then an isometry into the larger space. Raises LawError when d_out < d.

    >>> view = random_view(2, 5)
    >>> x = np.ones((1, 2))
    >>> view(x).shape, np.allclose(view.inverse(view(x)), x)
    ((1, 5), True)
    """
    if d_out < d:
        raise LawError(f"d_out: expected at least d = {d} coordinates, got {d_out}; fewer cannot be injective")
    layers = [
        leaky_relu_layer(
            random_mixing(d, seed + layer, condition=3.0),
            0.3 * stream(seed, "offset", layer).standard_normal(d),
            slope=slope,
        )
        for layer in range(depth)
    ]
    frame = np.linalg.qr(stream(seed, "frame", d, d_out).standard_normal((d_out, d)))[0]
    whole = affine(frame)
    for layer in reversed(layers):
        whole = layer.then(whole)
    return whole
