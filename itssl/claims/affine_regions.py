"""A network of rectifiers and max-pools is affine on each region of inputs that share an activation pattern."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.claims.claim import World, claim
from itssl.claims.decision import FloatingPoint, Relation, Sides
from itssl.claims.worlds import Objective, digits_encoder, grainy_digits, maxout
from itssl.distributions.gaussian import Gaussian
from itssl.estimate import Reference

BALESTRIERO_BARANIUK_2018 = Reference(
    authors="Balestriero & Baraniuk", title="A spline theory of deep learning", year=2018, where="ICML"
)
POINTS = 16


@dataclass(frozen=True, kw_only=True)
class Network:
    """A float64 network in evaluation mode, and points at which it is looked at: (n, rng) to (n, D)."""

    network: Any
    draw: Callable[[int, np.random.Generator], Samples]


def _mlp(*widths: int, slope: float = 0.0) -> Network:
    from itssl.networks.encoders import mlp

    return Network(network=mlp(widths, seed=0, slope=slope), draw=Gaussian.standard(widths[0]).sample)


def _cnn() -> Network:
    from itssl.networks.encoders import cnn

    return Network(network=cnn(seed=0), draw=grainy_digits)


def _trained(objective: Objective) -> Network:
    return Network(network=digits_encoder(objective), draw=grainy_digits)


RECTIFIED = World(name="ReLU MLP 16-64-64-8", make=lambda: _mlp(16, 64, 64, 8))


@claim(
    "C01",
    relation=Relation.EQUAL,
    tolerance=FloatingPoint(ulps=2),
    reference=BALESTRIERO_BARANIUK_2018,
    formula=r"f(y) = A_\omega y + b_\omega, \quad y \in \omega",
    worlds=(
        RECTIFIED,
        World(name="ReLU MLP 2-16-2", make=lambda: _mlp(2, 16, 2)),
        World(name="ReLU MLP 64-128-128-128-32", make=lambda: _mlp(64, 128, 128, 128, 32)),
        World(name="leaky-ReLU MLP 8-32-32-32-8", make=lambda: _mlp(8, 32, 32, 32, 8, slope=0.1)),
        World(name="leaky-ReLU MLP 80-96-96-64", make=lambda: _mlp(80, 96, 96, 64, slope=0.1)),
        World(
            name="maxout MLP 16-32-16-4",
            make=lambda: Network(network=maxout((16, 32, 16, 4), seed=0), draw=Gaussian.standard(16).sample),
        ),
        World(name="CNN on pictures with grain", make=_cnn),
        World(name="digits encoder trained with VICReg", make=lambda: _trained("VICReg")),
        World(name="digits encoder trained with SimCLR", make=lambda: _trained("SimCLR"), level="default"),
    ),
    first_look=8,
)
def network_is_affine_on_each_region(world: Network, rng: np.random.Generator) -> Sides:
    r"""f(y) = A y + b for every y in the activation region ω of x, with A the Jacobian at x and b = f(x) − A x.

    From each x a ray in a random direction is followed up to the first face of ω, and y is drawn uniformly on the part
    within: y must have the pattern of x, and the map of x must give f(y). The error is taken in units of what rounding
    may cause in a forward pass, to first order [1, chapter 3]: each sum u = W h + b of m products errs by at most
    (m + 2) eps/2 (|W||h| + |b|), which reaches the output times |∂f/∂u|. Four passes' worth are compared (f(x), f(y),
    A x and A y, which go through the same products), hence twice this sum times eps at most.

    References
    ----------
    [1] N. Higham (2002). Accuracy and stability of numerical algorithms, 2nd edition. SIAM.
    """
    x, reach, ray = _rays(world, rng)
    y = x + rng.uniform(0, 1 - 1e-6, (len(x), 1)) * reach * ray
    return _affine(world, x, y, _local_map(world, x))


@network_is_affine_on_each_region.control("map of x used beyond the first face")
def _(world: Network, rng: np.random.Generator) -> Sides:
    x, reach, ray = _rays(world, rng)
    return _affine(world, x, x + 1.5 * reach * ray, _local_map(world, x))


@network_is_affine_on_each_region.control("offset b forgotten")
def _(world: Network, rng: np.random.Generator) -> Sides:
    x, reach, ray = _rays(world, rng)
    matrix, offset = _local_map(world, x)
    return _affine(world, x, x + 0.5 * reach * ray, (matrix, 0 * offset))


@network_is_affine_on_each_region.control("a GELU network treated as piecewise affine")
def _(world: Network, rng: np.random.Generator) -> Sides:
    return _smooth(world, rng, "GELU")


@network_is_affine_on_each_region.control("a tanh network treated as piecewise affine")
def _(world: Network, rng: np.random.Generator) -> Sides:
    return _smooth(world, rng, "Tanh")


def _smooth(world: Network, rng: np.random.Generator, activation: str) -> Sides:
    """The same weights and points with a smooth activation in place of the rectifiers."""
    from torch import nn

    layers = [getattr(nn, activation)() if isinstance(layer, nn.ReLU) else layer for layer in world.network]
    smooth = Network(network=nn.Sequential(*layers), draw=world.draw)
    x, reach, ray = _rays(world, rng)
    y = x + 0.5 * reach * ray
    error = _excess(smooth.network, x, y, _tangent_map(smooth, x))
    return Sides(left=float(error.max()), right=0.0)


def _rays(world: Network, rng: np.random.Generator) -> tuple[Samples, Float[np.ndarray, "n 1"], Samples]:
    """Points, directions of unit length, and how far the first face of the region is along them."""
    from itssl.networks.regions import face_functionals

    x = world.draw(POINTS, rng)
    ray = rng.standard_normal(x.shape)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    faces = face_functionals(world.network, x)
    slope = np.einsum("nmd,nd->nm", faces.gradient, ray)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(faces.value * slope < 0, -faces.value / slope, np.inf).min(axis=1, keepdims=True)
    return x, np.minimum(reach, 10.0), ray  # a region may be unbounded


def _local_map(world: Network, x: Samples) -> tuple[Float[np.ndarray, "n K D"], Float[np.ndarray, "n K"]]:
    from itssl.networks.regions import local_affine

    local = local_affine(world.network, x)
    return local.matrix, local.offset


def _tangent_map(world: Network, x: Samples) -> tuple[Float[np.ndarray, "n K D"], Float[np.ndarray, "n K"]]:
    """The Jacobian A of any network at the rows of x, and f(x) − A x."""
    import torch

    from itssl.networks.encoders import embed

    points = torch.tensor(x)
    jacobian: Any = torch.autograd.functional.jacobian(lambda rows: world.network(rows).sum(dim=0), points)
    matrix = jacobian.transpose(0, 1).numpy()
    return matrix, embed(world.network, x) - np.einsum("nkd,nd->nk", matrix, x)


def _affine(world: Network, x: Samples, y: Samples, affine: tuple[np.ndarray, np.ndarray]) -> Sides:
    from itssl.networks.regions import activation_pattern

    same = (activation_pattern(world.network, x) == activation_pattern(world.network, y)).all(axis=1)
    return Sides(
        left=(float(_excess(world.network, x, y, affine).max()), float(same.mean())),
        right=(0.0, 1.0),
        parts=("|f(y) − (A y + b)| in units of rounding", "share of points with the pattern of x"),
    )


def _excess(network: Any, x: Samples, y: Samples, affine: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "n K"]:
    """|f(y) − (A y + b)| relative to the rounding that forward passes at x and y may show, in units of eps."""
    from itssl.networks.encoders import embed

    matrix, offset = affine
    error = np.abs(embed(network, y) - np.einsum("nkd,nd->nk", matrix, y) - offset)
    return error / np.maximum(_rounding(network, x), _rounding(network, y))


def _rounding(network: Any, x: Samples) -> Float[np.ndarray, "n K"]:
    """Σ_l |∂f/∂u_l| (m_l + 2)(|W_l||h_l| + |b_l|) over layers u_l = W_l h_l + b_l of m_l inputs a unit."""
    import torch
    from torch import nn

    from itssl.networks.encoders import as_double

    network, layers = as_double(network), []
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(lambda *call: layers.append(call))
    z = network(torch.tensor(x))
    sizes = [_absolute(layer)(h.abs()).detach() * (layer.weight[0].numel() + 2) for layer, (h,), _ in layers]
    bound, units = torch.zeros_like(z), [u for *_, u in layers]
    for k in range(z.shape[1]):
        slopes = torch.autograd.grad(z[:, k].sum(), units, retain_graph=True)
        bound[:, k] = sum((a.abs() * s).flatten(1).sum(dim=1) for a, s in zip(slopes, sizes, strict=True))
    return bound.detach().numpy()


def _absolute(layer: Any) -> Any:
    """The layer with the absolute values of its weights."""
    import copy

    import torch

    layer = copy.deepcopy(layer)
    layer._forward_hooks.clear()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.abs_()
    return layer
