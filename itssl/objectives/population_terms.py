"""Terms of population losses: functions of the second moments C and S of paired embeddings, with derivatives."""

from dataclasses import dataclass
from typing import Union

import numpy as np
from jaxtyping import Float

from itssl.kernels.linalg import LOG_2PI
from itssl.objectives.entropy_terms import Kernel
from itssl.objectives.view_moments import ViewMoments


@dataclass(frozen=True, eq=False)
class Smooth:
    """A differentiable function of (C, S) at one point: d value = ⟨by_within, dC⟩ + ⟨by_across, dS⟩."""

    value: float
    by_within: Float[np.ndarray, "K K"]
    by_across: Float[np.ndarray, "K K"]

    def __add__(self, other: Union["Smooth", float]) -> "Smooth":
        if isinstance(other, Smooth):
            return Smooth(self.value + other.value, self.by_within + other.by_within, self.by_across + other.by_across)
        return Smooth(self.value + other, self.by_within, self.by_across)

    def __rmul__(self, factor: float) -> "Smooth":
        return Smooth(factor * self.value, factor * self.by_within, factor * self.by_across)


def squared_distance(z: ViewMoments) -> Smooth:
    """E‖Z − Z'‖² = 2 tr C − 2 tr S.

    >>> squared_distance(ViewMoments(np.eye(2), 0.5 * np.eye(2))).value
    2.0
    """
    identity = np.eye(len(z.within))
    return Smooth(float(np.trace(z.difference)), 2 * identity, -2 * identity)


def off_diagonal_energy(z: ViewMoments) -> Smooth:
    """Σ_{i≠j} C_ij².

    >>> off_diagonal_energy(ViewMoments(np.array([[1.0, 0.5], [0.5, 1.0]]), np.eye(2))).value
    0.5
    """
    off = z.within - np.diag(np.diagonal(z.within))
    return Smooth(float((off**2).sum()), 2 * off, np.zeros_like(off))


def alignment(z: ViewMoments) -> Smooth:
    """E z·z' = tr S of centered embeddings.

    >>> alignment(ViewMoments(np.eye(2), 0.5 * np.eye(2))).value
    1.0
    """
    return Smooth(float(np.trace(z.across)), np.zeros_like(z.across), np.eye(len(z.across)))


def energy(z: ViewMoments) -> Smooth:
    """E (z·z̃)² = ‖C‖² of centered embeddings, z̃ independent of z.

    >>> energy(ViewMoments(2 * np.eye(2), np.eye(2))).value
    8.0
    """
    return Smooth(float((z.within**2).sum()), 2 * z.within, np.zeros_like(z.within))


def gaussian_entropy(z: ViewMoments, noise_var: float) -> Smooth:
    """½ log((2πe)^K |C + νI|): the entropy of Z + N(0, νI) if Z is Gaussian, an upper bound otherwise; nats.

    >>> print(f"{gaussian_entropy(ViewMoments(np.eye(1), np.eye(1)), 0.0).value:.4f}")
    1.4189
    """
    noisy = z.within + noise_var * np.eye(len(z.within))
    value = 0.5 * (float(np.linalg.slogdet(noisy)[1]) + len(noisy) * (LOG_2PI + 1))
    return Smooth(value, 0.5 * np.linalg.inv(noisy), np.zeros_like(noisy))


def pairwise_entropy(z: ViewMoments, noise_var: float, *, kernel: Kernel) -> Smooth:
    r"""Kolchinsky and Tracey's bound for components N(z, σ²I) at Gaussian Z, σ² = noise_var; in nats.

    (K/2) log(2πeσ²) − E log E exp(−‖z − z̃‖²/(2s)) with s = 4σ² ("bhattacharyya", below h(Z + N)) or σ² ("kl", above):

        (K/2) log(2πeσ²) + ½ log|I + C/s| + ½ tr(C (C + sI)⁻¹).

    At small noise it lies K(log 2 − ½) below and K/2 above the Gaussian entropy of Z.

    >>> one = ViewMoments(np.eye(1), np.eye(1))
    >>> print(f"{pairwise_entropy(one, 1e-8, kernel='bhattacharyya').value:.4f}")  # 1.4189 − log 2 + ½
    1.2258
    """
    d = len(z.within)
    spread = noise_var * (4 if kernel == "bhattacharyya" else 1)
    smoothed = z.within + spread * np.eye(d)
    inverse = np.linalg.inv(smoothed)
    log_det = float(np.linalg.slogdet(smoothed)[1]) - d * float(np.log(spread))
    value = d / 2 * (LOG_2PI + 1 + float(np.log(noise_var))) + 0.5 * (log_det + d - spread * float(np.trace(inverse)))
    return Smooth(value, 0.5 * (inverse + spread * inverse @ inverse), np.zeros_like(inverse))


def cross_entropy(z: ViewMoments, noise_var: float, residual_var: float) -> Smooth:
    """−E log N(z + noise; z', s²I) = (K/2) log(2πs²) + (E‖z − z'‖² + Kν)/(2s²) in nats.

    >>> print(f"{cross_entropy(ViewMoments(np.eye(1), np.eye(1)), 1.0, 1.0).value:.4f}")
    1.4189
    """
    d = len(z.within)
    constant = d / 2 * (LOG_2PI + float(np.log(residual_var)) + noise_var / residual_var)
    return (0.5 / residual_var) * squared_distance(z) + constant
