"""Second routes to the truth networks, from their weights alone: forward and inverse in numpy, samplers, densities."""

from itertools import product
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import nn

from itssl.distributions.gaussian import Gaussian
from itssl.networks.invertible_layers import Coupling, Fold, Radial


def weights(layer):
    """Matrix and offset of a linear layer."""
    matrix = layer.weight.numpy()
    return matrix, layer.bias.numpy() if layer.bias is not None else np.zeros(len(matrix))


def forward(network, x):
    """The network in numpy."""
    for layer in network:
        x = _forward(layer, x)
    return x


def _forward(layer, x):
    match layer:
        case nn.Linear():
            matrix, offset = weights(layer)
            return np.einsum("kd,nd->nk", matrix, x) + offset
        case nn.LeakyReLU():
            return np.maximum(x, layer.negative_slope * x)
        case nn.ReLU():
            return np.where(x > 0, x, 0.0)
        case nn.Tanh():
            return 1 - 2 / (1 + np.exp(2 * x))
        case Fold():
            return np.sqrt(x**2)
        case Radial():
            r = np.linalg.norm(x, axis=1, keepdims=True)
            return x / r * (r * np.exp(layer.power * np.log(1 + r**2)))
        case Coupling():
            kept, moved = sides(layer, x.shape[1])
            z = x.copy()
            z[:, moved] = x[:, moved] * np.exp(log_scale(layer, x[:, kept])) + forward(layer.shift, x[:, kept])
            return z
    raise AssertionError(layer)


def sides(layer, d):
    """Which coordinates a coupling keeps and which it moves."""
    kept = np.arange(d) >= d - layer.kept if layer.flipped else np.arange(d) < layer.kept
    return kept, ~kept


def log_scale(layer, u):
    return np.zeros((1, 1)) if layer.log_scale is None else forward(layer.log_scale, u)


def inverse(network, z):
    """x from f(x) for an injective network, in numpy; least squares where dimensions were added."""
    for layer in reversed(network):
        z = _inverse(layer, z)
    return z


def _inverse(layer, z):
    match layer:
        case nn.Linear():
            matrix, offset = weights(layer)
            return np.linalg.lstsq(matrix, (z - offset).T, rcond=None)[0].T
        case nn.LeakyReLU():
            return np.minimum(z, z / layer.negative_slope)
        case nn.Tanh():
            return 0.5 * np.log((1 + z) / (1 - z))
        case Radial():
            assert layer.power == 0.5
            size = np.linalg.norm(z, axis=1, keepdims=True)  # r √(1 + r²) = size
            square = (np.sqrt(1 + 4 * size**2) - 1) / 2
            return z / np.sqrt(1 + square)
        case Coupling():
            kept, moved = sides(layer, z.shape[1])
            x = z.copy()
            x[:, moved] = (z[:, moved] - forward(layer.shift, z[:, kept])) * np.exp(-log_scale(layer, z[:, kept]))
            return x
    raise AssertionError(layer)


def log_volume_by_autograd(network, x):
    """½ log det JᵀJ from the whole Jacobian by reverse-mode differentiation."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: network(row[None])[0]))(torch.tensor(x)).detach()
    if jacobian.shape[1] == jacobian.shape[2]:
        return np.linalg.slogdet(jacobian.numpy())[1]
    return 0.5 * np.linalg.slogdet(np.einsum("nki,nkj->nij", jacobian.numpy(), jacobian.numpy()))[1]


def draw_inputs(law, n, rng):
    """X by another route than the law's own: eigenvectors for Gaussians."""
    if not isinstance(law, Gaussian):
        return law.sample(n, rng)
    values, axes = np.linalg.eigh(law.cov)
    return law.mean + (rng.standard_normal((n, law.dim)) * np.sqrt(values)) @ axes.T


def log_density_of_input(law, x):
    if not isinstance(law, Gaussian):
        return law.log_density(x)
    values, axes = np.linalg.eigh(law.cov)
    along = (x - law.mean) @ axes
    return -0.5 * (along**2 / values + np.log(2 * np.pi * values)).sum(axis=1)


def fold_log_density(gaussian, z, y=None):
    """log of the sum over all 2^d branches of the density of (X, Y)."""
    rest = np.empty((len(z), 0)) if y is None else y
    branches = [
        log_density_of_input(gaussian, np.hstack([z * np.array(signs), rest]))
        for signs in product((-1.0, 1.0), repeat=z.shape[1])
    ]
    return np.asarray(logsumexp(branches, axis=0))


def noisy_log_density(net: Any, z):
    """log p(z), each coordinate a mixture over a fine grid of its pre-activation; or the Gaussian."""
    first, last = net.network[0], net.network[-1]
    matrix, offset = weights(first)
    if isinstance(last, nn.Linear):
        cov = matrix @ net.law.cov @ matrix.T + net.noise_std**2 * np.eye(len(matrix))
        return log_density_of_input(Gaussian(np.zeros(len(cov)), cov), z)
    if isinstance(last, nn.Tanh):
        centers = np.tanh(net.law.points[:, 0])
        return np.asarray(logsumexp(stats.norm.logpdf(z, centers, net.noise_std), axis=1)) - np.log(len(centers))
    grid = np.linspace(-9, 9, 601)
    log_weights = stats.norm.logpdf(grid) + np.log(grid[1] - grid[0])
    parts = [
        logsumexp(stats.norm.logpdf(z[:, [i]], np.maximum(grid + b, 0), net.noise_std) + log_weights, axis=1)
        for i, b in enumerate(offset)
    ]
    return np.sum(np.array(parts), axis=0)


def draw_outputs(net: Any, n, rng):
    """(z, y) or z alone, by another route than the network: closed forms where there are some, numpy elsewhere."""
    if net.partner == "Y":
        pairs = draw_inputs(net.task.joint, n, rng)
        x, y = pairs[:, : net.d_in], pairs[:, net.d_in :]
    else:
        x = draw_inputs(net.law, n, rng)
        y = x if net.partner == "X" else np.empty((n, 0))
    z = forward(net.network, x)
    return np.hstack([z + net.noise_std * rng.standard_normal(z.shape), y])
