"""VICReg's variance hinge and off-diagonal covariance energy in one pass, with a gradient written by hand."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import is_torch


class Spread(NamedTuple):
    """hinge = (1/d) Σ_j max(0, γ − √(C_jj + ε)); energy = Σ_{i≠j} C_ij²."""

    hinge: Any
    energy: Any


class PairedSpread(NamedTuple):
    """squared_distance = Σ_i ‖a_i − b_i‖²; hinge and energy are the sums of those of both views."""

    squared_distance: Any
    hinge: Any
    energy: Any


def variance_covariance(z: Float[Any, "n d"], gamma: float, eps: float) -> Spread:
    """Hinge and off-diagonal energy of the unbiased covariance C of z, numpy or torch.

    The energy is that of the smaller Gram matrix, ‖ZᵀZ‖_F = ‖ZZᵀ‖_F for centered Z (Garrido et al. 2023), so the cost
    is O(n d min(n, d)); for d ≤ n only what is off the diagonal is summed, and nothing cancels. For tensors the
    gradient is written by hand: with s_j = √(C_jj + ε) and G the Gram matrix,

    ∂hinge/∂Z = −Z diag(1[s < γ]/s) / (d(n−1)),  ∂energy/∂Z = 4 G Z/(n−1)² − 4 Z diag(C_jj)/(n−1),

    both already centered. It can be differentiated once; a second
    derivative raises RuntimeError.

    >>> import numpy as np
    >>> print([float(x) for x in variance_covariance(np.array([[0.0, 0.0], [2.0, 4.0]]), 2.0, 0.0)])
    [0.2928932188134524, 32.0]
    """
    if is_torch(z):
        return Spread(*_differentiable().apply(gamma, eps, z))
    return Spread(*_forward(np, z, gamma, eps)[:2])


def paired_variance_covariance(
    z_a: Float[Any, "n d"], z_b: Float[Any, "n d"], gamma: float, eps: float
) -> PairedSpread:
    """The squared distance of two views, and hinge and energy summed over them; see :func:`variance_covariance`.

    The gradient by a view is made in one array: ±2(Z_a − Z_b), to which the others are added.

    >>> import numpy as np
    >>> z = np.array([[0.0, 0.0], [2.0, 4.0]])
    >>> print([float(x) for x in paired_variance_covariance(z, z + 1, 2.0, 0.0)])
    [4.0, 0.5857864376269049, 64.0]
    """
    if is_torch(z_a):
        if z_a.dtype != z_b.dtype:
            z_a, z_b = z_a.double(), z_b.double()
        return PairedSpread(*_differentiable().apply(gamma, eps, z_a, z_b))
    of_a, of_b = (_forward(np, z, gamma, eps) for z in (z_a, z_b))
    return PairedSpread(((z_a - z_b) ** 2).sum(), of_a[0] + of_b[0], of_a[1] + of_b[1])


def _forward(xp: Any, z: Any, gamma: float, eps: float) -> tuple[Any, ...]:
    n, d = z.shape
    centered = z - z.mean(0)
    if d <= n:
        gram = centered.T @ centered
        diagonal = gram.reshape(-1)[:: d + 1]
        variances = diagonal / (n - 1)
        diagonal[:] = 0
    else:
        gram = centered @ centered.T
        variances = (centered * centered).sum(0) / (n - 1)
    flat, std = gram.reshape(-1), xp.sqrt(variances + eps)
    energy = flat @ flat / (n - 1) ** 2
    if d > n:
        energy = energy - variances @ variances
    return abs((std - gamma).clip(None, 0).mean()), energy, centered, variances, std, gram


@cache
def _differentiable() -> Any:
    """Made when needed, so that numpy users never load torch."""
    import torch

    class Once(torch.autograd.Function):
        """The gradient, which refuses to be differentiated. (torch's once_differentiable would let it pass for a
        constant wherever the upstream gradient is one.)"""

        @staticmethod
        def forward(ctx: Any, gradient: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return gradient.clone()

        @staticmethod
        def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
            raise RuntimeError(
                "variance_covariance: expected to be differentiated once, got a second derivative; for that, write the "
                "terms with the covariance matrix itself"
            )

    class VarianceCovariance(torch.autograd.Function):
        """The numbers of one view or of a pair, and the gradient of any weighted sum of them."""

        @staticmethod
        def forward(ctx: Any, gamma: float, eps: float, *views: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """(hinge, energy) of one view; (squared distance, hinges, energies) of two."""
            with torch.autocast(views[0].device.type, enabled=False):
                hinges, energies, *kept = zip(*(_forward(torch, z, gamma, eps) for z in views), strict=True)
            ctx.gamma, ctx.views = gamma, len(views)
            if len(views) == 1:
                ctx.save_for_backward(*views, *(k for of in kept for k in of))
                return hinges[0], energies[0]
            difference = views[0] - views[1]
            ctx.save_for_backward(*views, *(k for of in kept for k in of), difference)
            return (difference * difference).sum(), hinges[0] + hinges[1], energies[0] + energies[1]

        @staticmethod
        def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[Any, ...]:
            """None for gamma and eps, then the gradients by the views."""
            m, saved = ctx.views, ctx.saved_tensors
            views, *kept = (saved[i * m : (i + 1) * m] for i in range(5))
            start: Any = None
            gradients: list[Any] = []
            with torch.no_grad(), torch.autocast(views[0].device.type, enabled=False):
                if m == 2:
                    start = saved[-1] * (2 * upstream[0])
                for i, of in enumerate(zip(*kept, strict=True)):
                    start = start if i == 0 else start.neg_()
                    wanted = ctx.needs_input_grad[2 + i]
                    gradients.append(_gradient(torch, upstream[-2:], ctx.gamma, start, *of) if wanted else None)
            if torch.is_grad_enabled():
                gradients = [g if g is None else Once.apply(g, z) for g, z in zip(gradients, views, strict=True)]
            return None, None, *gradients

    return VarianceCovariance


def _gradient(
    xp: Any, upstream: Any, gamma: float, start: Any, centered: Any, variances: Any, std: Any, gram: Any
) -> Any:
    """The gradient of hinge and energy, added to ``start`` unless that is None."""
    of_hinge, of_energy = upstream
    n, d = centered.shape
    # std is 0 only where ε = 0 and the column is constant; its rows are 0 there, and so is the gradient.
    column = xp.where((std > 0) & (std < gamma), 1 / std, 0.0) * (of_hinge / (d * (1 - n)))
    factor = 4 * of_energy / (n - 1) ** 2
    gram = factor * gram
    if d <= n:  # gram has no diagonal
        gram.diagonal().add_(column)
        return centered @ gram if start is None else xp.addmm(start, centered, gram)
    column = column - 4 * of_energy * variances / (n - 1)
    rest = centered * column if start is None else xp.addcmul(start, centered, column)
    return rest.addmm_(gram, centered)


def offdiagonal_energy(z: Float[Any, "n d"]) -> Float[Any, ""]:
    """Σ_{i≠j} C_ij² of the unbiased sample covariance C; see :func:`variance_covariance`.

    >>> import numpy as np
    >>> float(offdiagonal_energy(np.array([[0.0, 0.0], [2.0, 4.0]])))
    32.0
    """
    return variance_covariance(z, 0.0, 0.0).energy
