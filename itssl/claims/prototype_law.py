"""Narrow noise around prototypes, through a network: the law of Z as a mixture whose densities keep their digits."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import LawError
from itssl.evaluation.overlap import overlap
from itssl.kernels.linalg import LOG_2PI

if TYPE_CHECKING:
    import itssl.networks.regions

_TILE = 2**21


@dataclass(frozen=True, kw_only=True, eq=False)
class PrototypeLaw:
    """T uniform, X | T = n ~ N(x_n, σ²I), and Z = A_T X + b_T by the affine map of the network at x_T.

    So Z has the mixture of affine images for its law. Densities use roots of A_nA_nᵀ, which keep its digits.
    """

    prototypes: Samples
    network: Any
    std: float

    @cached_property
    def local(self) -> "itssl.networks.regions.AffineMap":
        from itssl.networks.regions import local_affine

        return local_affine(self.network, self.prototypes)

    @cached_property
    def means(self) -> Samples:
        return self.local(self.prototypes)

    @property
    def dim(self) -> int:
        return self.local.matrix.shape[1]

    @cached_property
    def roots(self) -> Float[np.ndarray, "N K K"]:
        from itssl.networks.volumes import ranks

        least = int(ranks(self.local.matrix).min())
        if least < self.dim:
            raise LawError(
                f"network: expected local maps of rank {self.dim} at every prototype, got rank {least}; Z has no "
                "density. Use an encoder with fewer outputs, or other prototypes"
            )
        upper = np.asarray(np.linalg.qr(self.local.matrix.transpose(0, 2, 1), mode="r"))
        return upper.transpose(0, 2, 1)

    @cached_property
    def log_volumes(self) -> Float[np.ndarray, " N"]:
        """½ log det A_nA_nᵀ."""
        return np.log(np.abs(np.diagonal(self.roots, axis1=1, axis2=2))).sum(axis=1)

    @cached_property
    def confused(self) -> float:
        """Σ Φ(−r/2σ) over the other prototypes, averaged: at least P(n(X) ≠ T)."""
        return float(overlap(self.prototypes, self.std**2).upper.mean())

    @cached_property
    def within(self) -> Float[np.ndarray, "K K"]:
        """W, the mean covariance given T."""
        return self.std**2 * (self.local.matrix @ self.local.matrix.transpose(0, 2, 1)).mean(axis=0)

    @cached_property
    def between(self) -> Float[np.ndarray, "K K"]:
        """Cov E[Z|T] = Cov(Z, Z')."""
        centered = self.means - self.means.mean(axis=0)
        return centered.T @ centered / len(centered)

    def log_densities(self, z: Samples) -> Float[np.ndarray, "n N"]:
        """log p(z|n) for every prototype, in tiles."""
        whiteners = np.linalg.inv(self.roots).transpose(0, 2, 1) / self.std
        constants = -self.log_volumes - self.dim * (math.log(self.std) + LOG_2PI / 2)
        return constants - 0.5 * _squares(z, self.means, whiteners)

    def input_log_densities(self, x: Samples) -> Float[np.ndarray, "n N"]:
        """log p(x|n) for every prototype."""
        d = x.shape[1]
        return -d * (math.log(self.std) + LOG_2PI / 2) - 0.5 * _squares(x, self.prototypes, None) / self.std**2


def _squares(
    points: Samples, centers: Samples, whiteners: Float[np.ndarray, "N d d"] | None
) -> Float[np.ndarray, "n N"]:
    """‖(p − c) V_c‖² from differences: products would lose the digits of narrow noise."""
    found = np.empty((len(points), len(centers)))
    step = max(1, _TILE // centers.size)
    for i in range(0, len(points), step):
        off = points[i : i + step] - centers[:, None]
        found[i : i + step] = np.square(off if whiteners is None else off @ whiteners).sum(axis=2).T
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Labels, both views as drawn, and Z and Z' by the affine map of the label."""

    labels: Int[np.ndarray, " n"]
    x: Samples
    x_pair: Samples
    z: Samples
    z_pair: Samples

    @classmethod
    def of(cls, law: PrototypeLaw, n: int, seed: int) -> "Draws":
        rng = stream(seed, "chain of claims")
        labels = rng.integers(len(law.prototypes), size=n)
        off = law.std * rng.standard_normal((2, n, law.prototypes.shape[1]))
        x, x_pair = law.prototypes[labels] + off
        moved = np.einsum("nkd,vnd->vnk", law.local.matrix[labels], off)
        z, z_pair = law.means[labels] + moved
        return cls(labels=labels, x=x, x_pair=x_pair, z=z, z_pair=z_pair)
