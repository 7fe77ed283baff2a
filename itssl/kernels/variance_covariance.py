"""VICReg's variance hinge and off-diagonal covariance energy in one pass, with a gradient written by hand."""

from functools import cache
from typing import Any, NamedTuple

from jaxtyping import Float

from itssl.arrays import is_torch


class Spread(NamedTuple):
    """hinge = (1/d) Σ_j max(0, γ − √(C_jj + ε)); energy = Σ_{i≠j} C_ij²."""

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
        return Spread(*_differentiable().apply(z, gamma, eps))
    return Spread(*_forward(z, gamma, eps)[:2])


def _forward(z: Any, gamma: float, eps: float) -> tuple[Any, ...]:
    n, d = z.shape
    centered = z - z.mean(0)
    variances = (centered * centered).sum(0) / (n - 1)
    std = (variances + eps) ** 0.5
    flat = (centered.T @ centered if d <= n else centered @ centered.T).reshape(-1)
    if d <= n:
        flat[:: d + 1] = 0
    energy = flat @ flat / (n - 1) ** 2
    if d > n:
        energy = energy - variances @ variances
    return (gamma - std).clip(0).mean(), energy, centered, variances, std, flat.reshape(min(n, d), -1)


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
        """Both numbers of a view, and the gradient of any weighted sum of them."""

        @staticmethod
        def forward(ctx: Any, z: torch.Tensor, gamma: float, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
            hinge, energy, *kept = _forward(z, gamma, eps)
            ctx.save_for_backward(z, *kept)
            ctx.gamma = gamma
            return hinge, energy

        @staticmethod
        def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
            z, centered, variances, std, gram = ctx.saved_tensors
            with torch.no_grad():
                gradient = _gradient(torch, upstream, ctx.gamma, centered, variances, std, gram)
            return (Once.apply(gradient, z) if torch.is_grad_enabled() else gradient), None, None

    return VarianceCovariance


def _gradient(xp: Any, upstream: Any, gamma: float, centered: Any, variances: Any, std: Any, gram: Any) -> Any:
    of_hinge, of_energy = upstream
    n, d = centered.shape
    active = (std < gamma).to(std)
    # std is 0 only where ε = 0 and the column is constant; its rows are 0 there, and so is the gradient.
    column = -of_hinge * xp.where(std > 0, active / std, xp.zeros_like(std)) / (d * (n - 1))
    factor = 4 * of_energy / (n - 1) ** 2
    if d <= n:  # gram has no diagonal
        gram = factor * gram
        gram.diagonal().add_(column)
        return centered @ gram
    column = column - 4 * of_energy * variances / (n - 1)
    return xp.addmm(centered * column, gram * factor, centered)


def offdiagonal_energy(z: Float[Any, "n d"]) -> Float[Any, ""]:
    """Σ_{i≠j} C_ij² of the unbiased sample covariance C; see :func:`variance_covariance`.

    >>> import numpy as np
    >>> float(offdiagonal_energy(np.array([[0.0, 0.0], [2.0, 4.0]])))
    32.0
    """
    return variance_covariance(z, 0.0, 0.0).energy
