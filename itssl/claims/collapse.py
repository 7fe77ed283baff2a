"""Collapse as a stationary point, and how hard the terms push near it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import digits_data, digits_encoder, random_covariance
from itssl.estimators.differentiable_neighbors import neighbor_entropy
from itssl.estimators.log_determinant import logdet_capacity, logdet_entropy
from itssl.estimators.pairwise_mixture import pairwise_entropy_bounds
from itssl.kernels.neighbors import neighbors
from itssl.objectives.contrastive import infonce_terms
from itssl.objectives.vicreg import REFERENCE, WEIGHTS, covariance_term, variance_term

EPS = 1e-4
"""VICReg's ε in √(C_jj + ε)."""
BETA = 1000.0
NOISE_VAR = 0.1
"""Variance of the components in pairwise bounds, and δ² of smoothed neighbor distances."""
SCALES = (1e-4, 1e-3, 1e-2)
ALIVE = 0.1
"""Scale of columns that have not collapsed, with the hinge still on."""
HUNDREDS = 100.0
ROUNDING = FloatingPoint(ulps=64, condition=BETA)
"""The stiffest term multiplies the rounding of centered rows by β/(n − 1) at most."""


class Seen(NamedTuple):
    """Embeddings (n, K) as a tensor, and the tensors they come from: themselves, or the weights of a network."""

    z: Any
    leaves: tuple[Any, ...]


Approach: TypeAlias = Callable[[float], Seen]
"""Embeddings whose columns have mean variance scale², all equal at scale 0."""
Draw: TypeAlias = Callable[[np.random.Generator], Approach]


def _around(center: Float[np.ndarray, " K"], shape: Samples, scale: float) -> Seen:
    import torch

    z = torch.tensor(center + scale * shape, requires_grad=True)
    return Seen(z, (z,))


def _points(shape: Samples, rng: np.random.Generator) -> Approach:
    shape = shape - shape.mean(axis=0)
    shape /= np.sqrt(shape.var(axis=0, ddof=1).mean())
    return partial(_around, rng.standard_normal(shape.shape[1]), shape)


def _isotropic(n: int, k: int, rng: np.random.Generator) -> Approach:
    """Rows whose sample covariance is scale² I."""
    z = rng.standard_normal((n, k))
    return _points(np.linalg.qr(z - z.mean(axis=0))[0], rng)


def _normal(n: int, k: int, rng: np.random.Generator, *, condition: float = 1.0) -> Approach:
    cov = random_covariance(k, rng, condition=condition)
    return _points(rng.standard_normal((n, k)) @ np.linalg.cholesky(cov).T, rng)


def _heavy_tails(n: int, k: int, rng: np.random.Generator) -> Approach:
    return _points(rng.standard_t(3, (n, k)), rng)


def _last_layer_fades(rng: np.random.Generator, *, rows: int = 96) -> Approach:
    """The trained digits encoder with its last weights times the scale; at 0 only their bias is left."""
    import copy

    import torch

    from itssl.networks.encoders import embed

    data = digits_data().train_x
    x = data[rng.permutation(len(data))[:rows]]
    spread = float(np.sqrt(embed(digits_encoder(), x).var(axis=0, ddof=1).mean()))

    def at(scale: float) -> Seen:
        network = copy.deepcopy(digits_encoder())
        last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        with torch.no_grad():
            last.weight *= scale / spread
        return Seen(network(torch.tensor(x)), tuple(network.parameters()))

    return at


ISOTROPIC = World(name="128 rows in R^64, covariance s²I exactly", make=lambda: partial(_isotropic, 128, 64))
NORMAL = World(name="128 normal rows in R^64", make=lambda: partial(_normal, 128, 64))


@claim(
    "C29",
    relation=Relation.AT_MOST,
    tolerance=ROUNDING,
    reference=REFERENCE,
    formula=(
        r"\frac{K \beta \sqrt{\min_j C_{jj} + \varepsilon}}{1 + \beta \lambda_{\max}} \le "
        r"\frac{\lVert \nabla \frac{1}{2} \log \lvert I + \beta C \rvert \rVert}{\lVert \nabla v \rVert} \le "
        r"\frac{K \beta \sqrt{\max_j C_{jj} + \varepsilon}}{1 + \beta \lambda_{\min}}"
    ),
    worlds=(
        ISOTROPIC,
        NORMAL,
        World(name="128 normal rows in R^64, condition 100", make=lambda: partial(_normal, 128, 64, condition=100.0)),
        World(name="40 rows in R^64 with heavy tails", make=lambda: partial(_heavy_tails, 40, 64)),
        World(name="digits encoder whose last layer fades", make=lambda: _last_layer_fades),
    ),
    first_look=3,
)
def collapse_is_stationary(world: Draw, rng: np.random.Generator) -> Sides:
    r"""At collapse no term pushes, and near it ½ log|I+βC| pushes Kβ√(s²+ε)/(1+βs²) times harder than VICReg's hinge.

    With all rows equal the gradients of hinge, covariance, log-det, pairwise bounds, smoothed neighbor entropy
    (K/2n) Σ log(ρ_i² + δ²) and InfoNCE (rows not 0) are zero, by rows and by weights. All but InfoNCE are functions of
    squared differences, so they have none in constant columns either, whatever the other columns do. The gradients are
    at most slope · ‖Z − z̄‖_F, slope 1/(K(n−1)√ε) for the hinge, β/(n−1) for log-det, 2K/δ² for neighbors, and for
    kernels e^{−a‖z−z'‖²}, the least of them k, 4a min(1, 1/(nk)). Without ε, ridge or δ no slope is enough, and at
    collapse itself there is no gradient.

    For every Z with √(C_jj + ε) < 1: Kβ√(min C_jj + ε)/(1 + β max λ) ≤ ‖∇log-det‖/‖∇hinge‖ ≤
    Kβ√(max C_jj + ε)/(1 + β min λ), λ the eigenvalues of C; equal iff C = s²I. Whatever the shape, it tends to Kβ√ε at
    collapse: with K = 64 and ε = 10⁻⁴, log-det pushes harder there iff β > 1.6. For C = s²I it is at least 100 for all
    s from 10⁻⁴ to 10⁻² from β = 156.3 on; here β = 1000, in every world. With VICReg's weight of 25 on a hinge
    averaged over views as log-det is, a 25th is left.
    """
    approach = world(rng)
    still, columns = _pushes_at_collapse(approach), _push_in_constant_columns(approach)
    near = {s: _push(approach(s).z) for s in SCALES}
    sides = {f"{name} at collapse": (push, 0.0) for name, push in still.items()}
    sides["constant columns"] = max(columns[name] for name in columns if name != "InfoNCE"), 0.0
    for name in next(iter(near.values())).of_slope:
        sides[f"{name} ≤ slope · distance"] = max(p.of_slope[name] for p in near.values()), 1.0
    for s, p in near.items():
        sides |= {
            f"ratio from below, s = {s:g}": (p.at_least, p.ratio),
            f"… from above, s = {s:g}": (p.ratio, p.at_most),
        }
        sides[f"hundreds at s = {s:g}"] = HUNDREDS, p.ratio
    left, right = zip(*sides.values(), strict=True)
    measured = {f"log-det / hinge at s = {s:g}": p.ratio for s, p in near.items()}
    return Sides(left=left, right=right, parts=tuple(sides), measured=measured)


class _Push(NamedTuple):
    """‖∇log-det‖/‖∇hinge‖ between its bounds, and gradients over slope · ‖Z − z̄‖."""

    ratio: float
    at_least: float
    at_most: float
    of_slope: dict[str, float]


def _push(z: Any, *, beta: float = BETA) -> _Push:
    """What is stated of embeddings near collapse."""
    norms = _norms(_terms(z, beta), (z,))
    rows = z.detach().numpy()
    n, k = rows.shape
    centered = rows - rows.mean(axis=0)
    cov = centered.T @ centered / (n - 1)
    variances, values = np.diagonal(cov), np.maximum(np.linalg.eigvalsh(cov), 0)
    distance = float(np.linalg.norm(centered))
    farthest = max(float(((centered - row) ** 2).sum(axis=1).max()) for row in centered)
    slopes = _slopes(n, k, beta, farthest)
    return _Push(
        ratio=norms["log-det"] / norms["hinge"] if norms["hinge"] else np.inf,
        at_least=k * beta * float(np.sqrt(variances.min() + EPS) / (1 + beta * values[-1])),
        at_most=k * beta * float(np.sqrt(variances.max() + EPS) / (1 + beta * values[0])),
        of_slope={name: norms[name] / (slope * distance) for name, slope in slopes.items()},
    )


def _slopes(n: int, k: int, beta: float, farthest: float) -> dict[str, float]:
    """Bounds of ‖gradient‖/‖Z − z̄‖; ``farthest`` is the largest ‖z_i − z_j‖²."""
    kernels = {"Bhattacharyya": 1 / (8 * NOISE_VAR), "KL": 1 / (2 * NOISE_VAR)}
    pairwise = {name: 4 * a * float(np.exp(min(0.0, a * farthest - np.log(n)))) for name, a in kernels.items()}
    return {
        "hinge": 1 / (k * (n - 1) * np.sqrt(EPS)), "log-det": beta / (n - 1), "neighbors": 2 * k / NOISE_VAR
    } | pairwise  # fmt: skip


def _terms(z: Any, beta: float = BETA) -> dict[str, Any]:
    """The terms as functions of one view; InfoNCE of the view with itself."""
    bounds = pairwise_entropy_bounds(z, var=NOISE_VAR)
    return {
        "hinge": variance_term(z, eps=EPS),
        "covariance": covariance_term(z),
        "log-det": logdet_capacity(z, beta=beta),
        "Bhattacharyya": bounds.lower,
        "KL": bounds.upper,
        "neighbors": _smoothed_neighbor_entropy(z),
        "InfoNCE": infonce_terms(z, z).total(),
    }


def _smoothed_neighbor_entropy(z: Any, *, k: int = 4) -> Any:
    """(d/2n) Σ log(ρ_i² + δ²), ρ_i the distance to the k-th nearest other row: what varies of the smoothed entropy."""
    found = neighbors(z.detach().numpy(), k, "euclidean")[1][:, -1].copy()
    squares = ((z - z[found]) ** 2).sum(1)
    return z.shape[1] / 2 * (squares + NOISE_VAR).log().mean()


def _norms(terms: dict[str, Any], leaves: tuple[Any, ...]) -> dict[str, float]:
    """The norm of each term's gradient in all leaves together."""
    return {name: float(_gradient(term, leaves).norm()) for name, term in terms.items()}


def _gradient(term: Any, leaves: tuple[Any, ...]) -> Any:
    import torch

    gradients = torch.autograd.grad(term, leaves, retain_graph=True)
    return torch.cat([g.ravel() for g in gradients])


def _pushes_at_collapse(approach: Approach) -> dict[str, float]:
    seen = approach(0.0)
    return _norms(_terms(seen.z), seen.leaves)


def _push_in_constant_columns(approach: Approach) -> dict[str, float]:
    """Gradients in the last half of the columns, held at their means while the first half varies."""
    z, dead = _half_dead(approach(ALIVE).z)
    return {name: float(_gradient(term, (z,)).reshape(z.shape)[:, dead:].norm()) for name, term in _terms(z).items()}


def _half_dead(z: Any) -> tuple[Any, int]:
    """A leaf whose last half of columns is constant, and where that half begins."""
    rows = z.detach().clone()
    dead = rows.shape[1] // 2
    rows[:, dead:] = rows[:, dead:].mean(0)
    return rows.requires_grad_(), dead


_stationary = collapse_is_stationary


@_stationary.control("at rest with one row displaced")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    rows = world(rng)(0.0).z.detach().numpy().copy()
    rows[0] += 0.1 * rng.standard_normal(rows.shape[1])
    z = _around(np.zeros(rows.shape[1]), rows, 1.0).z
    return Sides(left=min(_norms(_terms(z), (z,)).values()), right=0.0)


@_stationary.control("at rest when half of the columns have collapsed", world=NORMAL)
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z, _ = _half_dead(world(rng)(ALIVE).z)
    return Sides(left=min(_norms(_terms(z), (z,)).values()), right=0.0)


@_stationary.control("InfoNCE does not push in constant columns")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=_push_in_constant_columns(world(rng))["InfoNCE"], right=0.0)


def _near(world: Draw, rng: np.random.Generator, name: str, term: Callable[[Any], Any]) -> Sides:
    """A term without what smooths it, against the slope of the smooth one."""
    z = world(rng)(SCALES[0]).z
    seen = _push(z)
    smooth = _norms(_terms(z), (z,))[name]
    return Sides(left=_norms({name: term(z)}, (z,))[name] / smooth * seen.of_slope[name], right=1.0)


@_stationary.control("hinge without ε")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return _near(world, rng, "hinge", lambda z: variance_term(z, eps=0.0))


@_stationary.control("log-determinant without ridge")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return _near(world, rng, "log-det", logdet_entropy)


@_stationary.control("neighbor distances without δ")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return _near(world, rng, "neighbors", neighbor_entropy)


@_stationary.control("hundreds at β = 1")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=HUNDREDS, right=max(_push(world(rng)(s).z, beta=1.0).ratio for s in SCALES))


@_stationary.control("log-det pushes harder whatever β")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=1.0, right=max(_push(world(rng)(s).z, beta=1.0).ratio for s in SCALES))


@_stationary.control("hundreds at every scale at which the hinge is on")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=HUNDREDS, right=_push(world(rng)(0.9).z).ratio)


@_stationary.control("hundreds at VICReg's weights, 25 for the hinge and 1")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=HUNDREDS, right=max(_push(world(rng)(s).z).ratio for s in SCALES) / WEIGHTS[1])


@_stationary.control("the hinge pushes harder near collapse")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    return Sides(left=min(_push(world(rng)(s).z).ratio for s in SCALES), right=1.0)


@_stationary.control("ratio without K, as if the hinge were a sum over columns")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    z = world(rng)(SCALES[-1]).z
    seen = _push(z)
    return Sides(left=seen.ratio, right=seen.at_most / z.shape[1])


@_stationary.control("ratio with s for √(s² + ε)")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    s = SCALES[-1]
    seen = _push(world(rng)(s).z)
    return Sides(left=seen.ratio, right=seen.at_most * s / float(np.sqrt(s**2 + EPS)))


@_stationary.control("ratio without saturation, Kβ√(s² + ε)")
def _(world: Draw, rng: np.random.Generator) -> Sides:
    s = SCALES[-1]
    seen = _push(world(rng)(s).z)
    return Sides(left=seen.at_least * (1 + BETA * s**2), right=seen.ratio)
