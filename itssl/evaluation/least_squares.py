"""The least-squares probe of one-hot labels with the least norm, without an offset: W = (Z⁺ Y)ᵀ."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples


@dataclass(frozen=True, kw_only=True)
class LeastSquaresProbe:
    """The map W to one-hot labels made by :func:`least_squares_probe`."""

    weights: Float[np.ndarray, "K d"]
    classes: Int[np.ndarray, " K"]
    residual: float
    """‖P Y‖_F = ‖Y − Z Wᵀ‖_F on its own rows."""
    rank: int
    """Of its rows Z."""

    def errors(self, z: Samples, y: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """‖W f(x) − y‖ of each row."""
        return np.linalg.norm(z @ self.weights.T - _one_hot(y, self.classes), axis=1)


def least_squares_probe(z: Samples, y: Int[np.ndarray, " n"], classes: Int[np.ndarray, " K"]) -> LeastSquaresProbe:
    """W = (Z⁺ Y)ᵀ: of all W that minimize ‖Y − Z Wᵀ‖_F for one-hot labels Y the one of least norm. No offset.

    >>> least_squares_probe(np.array([[2.0], [0.0]]), np.array([0, 1]), np.array([0, 1])).weights.tolist()
    [[0.5], [0.0]]
    """
    target = _one_hot(y, classes)
    slopes, _, rank, _ = np.linalg.lstsq(z, target, rcond=None)
    residual = float(np.linalg.norm(target - z @ slopes))
    return LeastSquaresProbe(weights=slopes.T, classes=classes, residual=residual, rank=int(rank))


def _one_hot(y: np.ndarray, classes: np.ndarray) -> Float[np.ndarray, "n K"]:
    return (y[:, None] == classes).astype(float)
