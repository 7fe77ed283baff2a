"""Independent coordinates: products of laws, uniform boxes, and the sum of estimates they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law
from itssl.distributions.scalar_families import uniform
from itssl.estimate import Bias, Estimate


def total(estimates: Sequence[Estimate], method: str) -> Estimate:
    """The sum of independent estimates that are exact or unbiased; errors add in quadrature.

    >>> from itssl.distributions.law import exact
    >>> total([exact(1.0, "a"), exact(2.0, "b")], "sum")
    3 (exact) nats (sum)
    """
    known = all(e.bias is Bias.EXACT for e in estimates)
    return Estimate(
        value=sum(e.value for e in estimates),
        standard_error=float(np.sqrt(sum(e.standard_error**2 for e in estimates))),
        n=max((e.n for e in estimates), default=0),
        bias=Bias.EXACT if known else Bias.UNBIASED,
        method=method,
    )


def other_coordinates(block: Sequence[int], dim: int) -> list[int]:
    """The coordinates not in ``block``. Raises LawError unless both parts hold some of the dim coordinates.

    >>> other_coordinates([0], 3)
    [1, 2]
    """
    others = [i for i in range(dim) if i not in set(block)]
    if not others or not len(block) or not set(block) <= set(range(dim)):
        raise LawError(f"block: expected some but not all of {dim} coordinates, got {list(block)}")
    return others


def short_repr(law: Law) -> str:
    """repr(law) where it is short, else its type and dimension.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> short_repr(Gaussian.standard(7))
    'Gaussian(d=7)'
    """
    text = repr(law)
    return (
        text if len(text) <= 60 and "\n" not in text and "array" not in text else f"{type(law).__name__}(d={law.dim})"
    )


@dataclass(frozen=True, eq=False)
class Product:
    """Independent laws side by side: (X_1, ..., X_m) on R^{d_1 + ... + d_m}. Raises LawError without any law.

    p(x) = Π p_i(x_i), therefore h = Σ h(X_i) and D = Σ D_i in nats [1].

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8.

    >>> from itssl.distributions.scalar_families import exponential
    >>> Product((exponential(), exponential(width=2.0))).entropy
    2.69315 (exact) nats (entropy of a product)
    """

    laws: tuple[Law, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "laws", tuple(self.laws))
        if not self.laws:
            raise LawError("laws: expected at least one law, got none")

    @cached_property
    def _edges(self) -> list[int]:
        return [0, *np.cumsum([law.dim for law in self.laws]).tolist()]

    @property
    def dim(self) -> int:
        return self._edges[-1]

    def _split(self, x: Samples) -> list[Samples]:
        if x.shape[1] != self.dim:
            raise LawError(f"x: expected shape (n, {self.dim}), got {x.shape}")
        return [x[:, a:b] for a, b in zip(self._edges, self._edges[1:], strict=False)]

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return np.hstack([law.sample(n, rng) for law in self.laws])

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """Σ log p_i(x_i) for each row of x; −inf where any factor is."""
        parts = np.array([law.log_density(part) for law, part in zip(self.laws, self._split(x), strict=True)])
        outside = (parts == -np.inf).any(axis=0)  # a density may be infinite at a point: −inf + inf is no number
        return np.where(outside, -np.inf, np.where(outside, 0.0, parts).sum(axis=0))

    @property
    def entropy(self) -> Estimate:
        """Σ h(X_i) in nats, as exact as its terms."""
        return total([law.entropy for law in self.laws], "entropy of a product")

    def _parts(self, block: Sequence[int]) -> list[list[int]]:
        """The coordinates of ``block`` that fall in each factor, counted within it."""
        return [[int(i) - a for i in block if a <= i < b] for a, b in zip(self._edges, self._edges[1:], strict=False)]

    def marginal(self, indices: Sequence[int]) -> Law:
        """The law of the coordinates at ``indices`` (ascending): a product, or the only factor that is left."""
        if list(indices) != sorted(set(indices)) or not len(indices) or not 0 <= indices[0] <= indices[-1] < self.dim:
            raise LawError(f"indices: expected ascending coordinates below {self.dim}, got {list(indices)}")
        kept = [(law, part) for law, part in zip(self.laws, self._parts(indices), strict=True) if part]
        left = [law if len(part) == law.dim else _answer(law, "marginal", part) for law, part in kept]
        return left[0] if len(left) == 1 else Product(tuple(left))

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others: Σ over the factors that the block cuts.

        >>> from itssl.distributions.gaussian import Gaussian
        >>> pair = Gaussian(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]))
        >>> print(f"{Product((pair, pair)).mutual_information([0, 2, 3]).value:.4f}")  # only the first pair is cut
        0.2231
        """
        other_coordinates(block, self.dim)
        cut = [(law, part) for law, part in zip(self.laws, self._parts(block), strict=True) if 0 < len(part) < law.dim]
        return total([_answer(law, "mutual_information", part) for law, part in cut], "mutual information of a product")

    def __repr__(self) -> str:
        names = [short_repr(law) for law in self.laws]
        if len(names) > 1 and len(set(names)) == 1:
            return f"Product({len(names)} × {names[0]})"
        return f"Product({', '.join(names)})" if len(names) < 4 else f"Product({len(names)} laws, d={self.dim})"


def _answer(law: Law, question: str, part: list[int]) -> Any:
    """law.marginal(part) or law.mutual_information(part); LawError where the law does not know it."""
    method = getattr(law, question, None)
    if method is None:
        raise LawError(f"laws: expected a factor whose {question.replace('_', ' ')} is known, got {law!r}")
    return method(part)


def uniform_box(low: Float[np.ndarray, " d"] | list[float], high: Float[np.ndarray, " d"] | list[float]) -> Product:
    """The uniform law on Π [low_i, high_i]; h = Σ log(high_i − low_i) nats. Both ends have shape (d,).

    Raises LawError unless low < high throughout.

    >>> uniform_box([0.0, 0.0], [2.0, 0.5]).entropy.value
    0.0
    """
    ends = np.array([low, high], dtype=float)
    if ends.ndim != 2 or not np.isfinite(ends).all() or not (ends[0] < ends[1]).all():
        raise LawError(f"low, high: expected vectors with low < high, got {low} and {high}")
    return Product(tuple(uniform(location=float(a), width=float(b - a)) for a, b in ends.T))
