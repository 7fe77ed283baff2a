"""Contrastive losses as entropies on the unit sphere: kernel density estimates and pairwise bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_data, digits_encoder
from itssl.distributions.elliptical import uniform_directions
from itssl.distributions.von_mises_fisher import VonMisesFisher
from itssl.estimate import Reference
from itssl.estimators.pairwise_mixture import PairwiseMixture, pairwise_entropy_bounds
from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.contrastive import contrast, infonce_terms, nt_xent_terms
from itssl.objectives.terms import ObjectiveTerms

WANG_ISOLA_2020 = Reference(
    authors="Wang & Isola", year=2020, where="ICML",
    title="Understanding contrastive representation learning through alignment and uniformity on the hypersphere",
)  # fmt: skip
PAIRS = 64
GENERIC = FloatingPoint(ulps=1000, condition=100.0)


Draw: TypeAlias = Callable[[np.random.Generator], tuple[Samples, Samples]]


@dataclass(frozen=True, kw_only=True)
class PairedEmbeddings:
    """Embeddings of two views as a network gives them, not yet normalized, and the temperature of their cosines."""

    draw: Draw
    temperature: float


def _on_sphere(z: Samples) -> Samples:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _stretched(u: Samples, rng: np.random.Generator) -> Samples:
    """Lengths between ½ and 2, as norms of embeddings vary."""
    return u * np.exp(rng.uniform(-1, 1, (len(u), 1)) * np.log(2))


def _uniform(d: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Independent uniform directions: views without information."""
    a, b = (_stretched(uniform_directions(PAIRS, d, rng), rng) for _ in range(2))
    return a, b


def _around_prototypes(d: int, concentration: float, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Two independent von Mises–Fisher draws around each of N uniform prototypes."""
    laws = [VonMisesFisher(p, concentration) for p in uniform_directions(PAIRS, d, rng)]
    a, b = (_stretched(np.concatenate([law.sample(1, rng) for law in laws]), rng) for _ in range(2))
    return a, b


def _one_pole(d: int, concentration: float, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """All rows of both views around one direction, nearly collapsed."""
    law = VonMisesFisher(uniform_directions(1, d, rng)[0], concentration)
    a, b = (_stretched(law.sample(PAIRS, rng), rng) for _ in range(2))
    return a, b


def _digits(rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Embeddings of two views of held-out digits."""
    import torch

    from itssl.networks.encoders import embed, torch_generator
    from itssl.networks.views import AffineViews

    x = digits_data().test_x
    chosen = torch.tensor(x[rng.permutation(len(x))[:PAIRS]])
    a, b = AffineViews()(chosen, torch_generator(int(rng.integers(2**31)), "views"))
    return embed(digits_encoder(), a.numpy()), embed(digits_encoder(), b.numpy())


def _world(name: str, draw: Draw, *, d: int, temperature: float) -> World:
    """A world with the rounding of its own numbers: d products a cosine, each multiplied by κ = 1/τ, beside log Z."""
    law = VonMisesFisher(np.eye(d)[0], 1 / temperature)
    return World(
        name=f"{name}, τ = {temperature:g}",
        make=lambda: PairedEmbeddings(draw=draw, temperature=temperature),
        tolerance=FloatingPoint(ulps=4 * (d + 4), condition=1 / temperature + abs(law.log_normalizer)),
    )


UNIFORM = _world("uniform directions in R^8", lambda rng: _uniform(8, rng), d=8, temperature=0.1)
PROTOTYPES = _world(
    "64 prototypes in R^16, views at κ = 50", lambda rng: _around_prototypes(16, 50.0, rng), d=16, temperature=0.1
)
WORLDS = (
    PROTOTYPES,
    UNIFORM,
    _world("uniform directions in R^2", lambda rng: _uniform(2, rng), d=2, temperature=1.0),
    _world("uniform directions in R^3", lambda rng: _uniform(3, rng), d=3, temperature=1e-4),
    _world("uniform directions in R^512", lambda rng: _uniform(512, rng), d=512, temperature=1e-3),
    _world("nearly collapsed in R^32", lambda rng: _one_pole(32, 1e6, rng), d=32, temperature=0.05),
    _world("two views of digits after VICReg", _digits, d=64, temperature=0.1),
)


# --- C36 -------------------------------------------------------------------------------------------------------------


@claim(
    "C36", relation=Relation.EQUAL, tolerance=GENERIC, reference=WANG_ISOLA_2020, worlds=WORLDS, tight_at=PROTOTYPES,
    formula=r"\log N - L_{\mathrm{InfoNCE}} = \hat{H}_{\mathrm{KDE}} + \frac{1}{N} \sum_i \log q(u_i \mid u'_i)",
    first_look=8,
)  # fmt: skip
def infonce_is_kernel_entropy_plus_alignment(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    r"""log N − L_InfoNCE = Ĥ_KDE + (1/N) Σ_i log q(u_i|u'_i) on every batch, q von Mises–Fisher with κ = 1/τ.

    u = z/‖z‖ and q(u|u') = e^{κ u·u'}/Z(κ), a density on the sphere. Anchors u_i, kernels on the N rows u'_j of the
    other view, that of the positive among them: Ĥ_KDE = −(1/N) Σ_i log (1/N) Σ_j q(u_i|u'_j). As q is symmetric, the
    loss that averages both directions is the mean of the two sums. Both terms hold log Z(κ), with opposite signs. So
    any q ∝ e^{κ u·u'} whose factor is the same for all u' gives the same sum: also N(u', τI), in R^d. Each term alone
    depends on q. Ĥ_KDE estimates a cross-entropy between views, with the anchor's positive among the kernels; it bounds
    no entropy.
    """
    a, b = world.draw(rng)
    u, v, kappa = _on_sphere(a), _on_sphere(b), 1 / world.temperature
    forth, back = _von_mises_fisher(u, v, kappa), _von_mises_fisher(v, u, kappa)
    gaussian = _gaussian(u, v, world.temperature)
    scores = kappa * u @ v.T
    both = _read(infonce_terms(a, b, temperature=world.temperature), len(a))
    return Sides(
        left=(_read(contrast(scores), len(a)), _read(contrast(scores.T), len(a)), both, both),
        right=(_sum(forth), _sum(back), (_sum(forth) + _sum(back)) / 2, (_sum(gaussian) + _sum(gaussian.T)) / 2),
        parts=("anchors Z, candidates Z'", "anchors Z', candidates Z", "both directions", "both, Gaussian q"),
        measured={"log N − L": both, "Ĥ_KDE": _kernel_entropy(forth), "E log q": float(forth.diagonal().mean())},
    )


_kernel_link = infonce_is_kernel_entropy_plus_alignment


@_kernel_link.control("inner products of unnormalized embeddings")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    left = _read(infonce_terms(a, b, temperature=world.temperature, normalize=False), len(a))
    return Sides(left=left, right=_both(a, b, 1 / world.temperature))


@_kernel_link.control("unnormalized candidates: concentration κ‖z'‖, whose normalizers do not cancel")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    u, lengths = _on_sphere(a), np.linalg.norm(b, axis=1) / world.temperature
    own = np.stack([VonMisesFisher(m, k).hausdorff_log_density(u) for m, k in zip(b, lengths, strict=True)], axis=1)
    return Sides(left=_read(contrast(u @ b.T / world.temperature), len(a)), right=_sum(own))


@_kernel_link.control("NT-Xent, 2N − 1 candidates, read with log N")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    left = _read(nt_xent_terms(a, b, temperature=world.temperature), len(a))
    return Sides(left=left, right=_both(a, b, 1 / world.temperature))


@_kernel_link.control("NT-Xent read with log(2N − 1)")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    left = _read(nt_xent_terms(a, b, temperature=world.temperature), 2 * len(a) - 1)
    return Sides(left=left, right=_both(a, b, 1 / world.temperature))


@_kernel_link.control("log(N − 1), as if the positive were no candidate")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    left = _read(infonce_terms(a, b, temperature=world.temperature), len(a) - 1)
    return Sides(left=left, right=_both(a, b, 1 / world.temperature))


@_kernel_link.control("kernel of the positive left out")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    logs = _von_mises_fisher(_on_sphere(a), _on_sphere(b), 1 / world.temperature)
    others = np.where(np.eye(len(a), dtype=bool), -np.inf, logs)
    entropy = _kernel_entropy(others) - np.log(len(a) / (len(a) - 1))
    left = _read(contrast(_on_sphere(a) @ _on_sphere(b).T / world.temperature), len(a))
    return Sides(left=left, right=entropy + float(logs.diagonal().mean()))


@_kernel_link.control("kernels on the anchor's own view")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    u, v, kappa = _on_sphere(a), _on_sphere(b), 1 / world.temperature
    right = _kernel_entropy(_von_mises_fisher(u, u, kappa)) + float(_von_mises_fisher(u, v, kappa).diagonal().mean())
    return Sides(left=_read(contrast(kappa * u @ v.T), len(a)), right=right)


@_kernel_link.control("one direction for the loss of both")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    right = _sum(_von_mises_fisher(_on_sphere(a), _on_sphere(b), 1 / world.temperature))
    return Sides(left=_read(infonce_terms(a, b, temperature=world.temperature), len(a)), right=right)


@_kernel_link.control("normalizer dropped from E log q")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    law = VonMisesFisher(np.eye(a.shape[1])[0], 1 / world.temperature)
    right = _both(a, b, 1 / world.temperature) + law.log_normalizer + law.concentration
    return Sides(left=_read(infonce_terms(a, b, temperature=world.temperature), len(a)), right=right)


@_kernel_link.control("von Mises–Fisher kernels, Gaussian log q")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    u, v = _on_sphere(a), _on_sphere(b)
    entropy = _kernel_entropy(_von_mises_fisher(u, v, 1 / world.temperature))
    right = entropy + float(_gaussian(u, v, world.temperature).diagonal().mean())
    return Sides(left=_read(contrast(u @ v.T / world.temperature), len(a)), right=right)


@_kernel_link.control("κ = τ")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    left = _read(infonce_terms(a, b, temperature=world.temperature), len(a))
    return Sides(left=left, right=_both(a, b, world.temperature))


def _read(terms: ObjectiveTerms, candidates: int) -> float:
    """log of the number of candidates, less the loss."""
    return float(np.log(candidates) - terms.total())


def _von_mises_fisher(u: Samples, v: Samples, kappa: float) -> Float[np.ndarray, "n m"]:
    """log q(u_i|v_j) with respect to area."""
    return np.stack([VonMisesFisher(center, kappa).hausdorff_log_density(u) for center in v], axis=1)


def _gaussian(u: Samples, v: Samples, var: float) -> Float[np.ndarray, "n m"]:
    """log N(u_i; v_j, var I)."""
    squares = ((u[:, None] - v) ** 2).sum(axis=2)
    return -0.5 * (squares / var + u.shape[1] * (LOG_2PI + np.log(var)))


def _kernel_entropy(log_q: Float[np.ndarray, "n m"]) -> float:
    """−(1/n) Σ_i log (1/m) Σ_j q_ij."""
    from scipy.special import logsumexp

    return float(np.log(log_q.shape[1]) - np.asarray(logsumexp(log_q, axis=1)).mean())


def _sum(log_q: Float[np.ndarray, "n n"]) -> float:
    """Ĥ_KDE + E log q of the pairs, anchors in rows."""
    return _kernel_entropy(log_q) + float(log_q.diagonal().mean())


def _both(a: Samples, b: Samples, kappa: float) -> float:
    """The mean of both directions."""
    u, v = _on_sphere(a), _on_sphere(b)
    return (_sum(_von_mises_fisher(u, v, kappa)) + _sum(_von_mises_fisher(v, u, kappa))) / 2


# --- C38 -------------------------------------------------------------------------------------------------------------


@claim(
    "C38", relation=Relation.EQUAL, tolerance=GENERIC, reference=PairwiseMixture.REFERENCE, worlds=WORLDS,
    formula=r"h_{KL} = \frac{d}{2} \log(2\pi e \tau) + \frac{1}{\tau} + \log N - P(U), \quad h_B = h_{KL} - d \log 2",
    uses=("C30",),
    tight_at=PROTOTYPES, first_look=8,
)  # fmt: skip
def pairwise_bounds_are_log_partitions(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    r"""On the unit sphere both pairwise bounds are constants less InfoNCE's log-partition of one view against itself.

    ‖u − u'‖² = 2 − 2 u·u', so e^{−‖u−u'‖²/(2σ²)} = e^{−1/σ²} e^{u·u'/σ²}. With
    P(U) = (1/N) Σ_i log Σ_j e^{u_i·u_j/τ}, j over all N rows of the same view and j = i among them:
    h_KL at σ² = τ is (d/2) log(2πeτ) + 1/τ + log N − P(U), and h_Bhattacharyya at 4σ² = τ is that less d log 2. P(U) is
    the log-partition of ``infonce_terms(z, z)``, so along the sphere the gradients agree too. Between two views
    InfoNCE's candidates are those of the other view; NT-Xent's are the 2N pooled rows without j = i.
    """
    a, b = world.draw(rng)
    u, tau = _on_sphere(a), world.temperature
    pooled = np.concatenate([u, _on_sphere(b)])
    kl, bhattacharyya = _bound(u, tau, "upper"), _bound(u, tau / 4, "lower")
    own = infonce_terms(a, a, temperature=tau).terms["log_partition"].value
    return Sides(
        left=(kl, bhattacharyya, bhattacharyya, _bound(pooled, tau, "upper"), float(own)),
        right=(_stated(u, tau), _stated(u, tau, var=tau / 4), kl - u.shape[1] * float(np.log(2)), _stated(pooled, tau),
               _log_partition(u, tau)),
        parts=("KL, σ² = τ", "Bhattacharyya, 4σ² = τ", "Bhattacharyya = KL − d log 2", "KL, both views pooled",
               "log-partition of InfoNCE(z, z)"),
        measured={"KL bound": kl, "log-partition": _log_partition(u, tau)},
    )  # fmt: skip


_partitions = pairwise_bounds_are_log_partitions


@_partitions.control("KL kernel at 2σ² = τ")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    u, tau = _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(u, tau / 2, "upper"), right=_stated(u, tau, var=tau / 2))


@_partitions.control("KL kernel at 4σ² = τ")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    u, tau = _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(u, tau / 4, "upper"), right=_stated(u, tau, var=tau / 4))


@_partitions.control("Bhattacharyya kernel at σ² = τ")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    u, tau = _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(u, tau, "lower"), right=_stated(u, tau))


@_partitions.control("vectors off the sphere")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    z, tau = world.draw(rng)[0], world.temperature
    return Sides(left=_bound(z, tau, "upper"), right=_stated(z, tau))


@_partitions.control("vectors on a sphere of radius 2")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    z, tau = 2 * _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(z, tau, "upper"), right=_stated(z, tau))


@_partitions.control("candidates of the other view")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    u, tau = _on_sphere(a), world.temperature
    between = float(infonce_terms(a, b, temperature=tau).terms["log_partition"].value)
    return Sides(left=_bound(u, tau, "upper"), right=_stated(u, tau, partition=between))


@_partitions.control("without the row itself: NT-Xent's candidates of the pooled views")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    a, b = world.draw(rng)
    pooled, tau = _on_sphere(np.concatenate([a, b])), world.temperature
    others = float(nt_xent_terms(a, b, temperature=tau).terms["log_partition"].value)
    return Sides(left=_bound(pooled, tau, "upper"), right=_stated(pooled, tau, partition=others))


@_partitions.control("e^{−1/σ²} left out")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    u, tau = _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(u, tau, "upper"), right=_stated(u, tau) - 1 / tau)


@_partitions.control("one constant for both kernels: no d log 2")
def _(world: PairedEmbeddings, rng: np.random.Generator) -> Sides:
    u, tau = _on_sphere(world.draw(rng)[0]), world.temperature
    return Sides(left=_bound(u, tau / 4, "lower"), right=_stated(u, tau))


def _bound(u: Samples, var: float, side: Literal["lower", "upper"]) -> float:
    return float(getattr(pairwise_entropy_bounds(u, var=var), side))


def _stated(u: Samples, tau: float, *, var: float | None = None, partition: float | None = None) -> float:
    """(d/2) log(2πe var) + 1/τ + log N − P(U), with var = τ and the P(U) of all rows unless given."""
    component = u.shape[1] / 2 * (LOG_2PI + 1 + np.log(tau if var is None else var))
    partition = _log_partition(u, tau) if partition is None else partition
    return float(component + 1 / tau + np.log(len(u)) - partition)


def _log_partition(u: Samples, tau: float) -> float:
    """(1/N) Σ_i log Σ_j e^{u_i·u_j/τ}, j = i among them."""
    from scipy.special import logsumexp

    return float(np.asarray(logsumexp(u @ u.T / tau, axis=1)).mean())
