"""Are two losses the same function? Asked on random batches, in value and gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from itssl.arrays import stream
from itssl.choices import require_count
from itssl.objectives.terms import minimize
from itssl.objectives.vicreg import NORMALIZATIONS, vicreg_terms


def assert_equivalent(
    loss: Callable[[Any, Any], Any],
    other: Callable[[Any, Any], Any],
    *,
    n: int = 32,
    d: int = 8,
    batches: int = 8,
    seed: int = 0,
    rtol: float = 1e-6,
) -> None:
    """Raise AssertionError unless ``loss`` and ``other`` agree in value and gradient on random float64 batches.

    Both take torch tensors (z_a, z_b) of shape (n, d) and return a scalar, a record of terms, or (scalar, metrics).
    The batches have unequal variances (on both sides of 1), correlated columns, means and views that differ, so that
    no term of the usual losses is idle. A view that a loss does not depend on has gradient zero; NaN equals nothing.
    Where they disagree and one is VICReg with weights 25, 25, 1, the message names its normalization; see
    ``convert_weights`` for the weights that make them equal. Raises ParameterError for n < 2, d or batches < 1.

    >>> from itssl.objectives import convert_weights
    >>> weights = convert_weights((25.0, 25.0, 1.0), source="reference", target="equation", d=8)
    >>> reference = minimize(vicreg_terms, normalization="reference")
    >>> assert_equivalent(reference, minimize(vicreg_terms, normalization="equation", weights=weights))
    >>> assert_equivalent(reference, minimize(vicreg_terms, normalization="solo"))
    Traceback (most recent call last):
    ...
    AssertionError: the losses differ on batch 0 (n=32, d=8, seed=0): 74.02 against 81.43; the first is VICReg \
25/25/1 in the normalization 'reference'; the second is VICReg 25/25/1 in the normalization 'solo'
    """
    require_count("n", n, minimum=2)
    require_count("d", d)
    for batch in range(require_count("batches", batches)):
        views = _views(n, d, seed, batch)
        difference = _difference(loss, other, views, rtol)
        if difference is None:
            continue
        hint = "".join(
            f"; the {which} is VICReg 25/25/1 in the normalization {name!r}"
            for which, function in (("first", loss), ("second", other))
            for name in NORMALIZATIONS
            if _difference(function, minimize(vicreg_terms, normalization=name), views, rtol) is None
        )
        raise AssertionError(f"the losses differ on batch {batch} (n={n}, d={d}, seed={seed}): {difference}{hint}")


def _views(n: int, d: int, seed: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(seed, "equivalent losses", batch)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d) * np.geomspace(0.3, 2.0, d)
    common, noise = rng.normal(size=(n, d)), rng.normal(size=(2, n, d))
    z_a, z_b = (common + 0.5 * noise) @ mixing + rng.normal(size=(2, 1, d))
    return z_a, z_b


def _difference(
    loss: Callable[[Any, Any], Any], other: Callable[[Any, Any], Any], views: tuple[Any, Any], rtol: float
) -> str | None:
    """How two losses differ on these views, or None."""
    (value, gradient), (expected, slope) = (_evaluated(f, views) for f in (loss, other))
    if not abs(value - expected) <= rtol * max(abs(value), abs(expected)):
        return f"{value:.4g} against {expected:.4g}"
    gap, size = np.abs(gradient - slope).max(), max(np.abs(gradient).max(), np.abs(slope).max())
    return None if gap <= rtol * size else f"gradients by {gap:.4g} of {size:.4g}"


def _evaluated(loss: Callable[[Any, Any], Any], views: tuple[Any, Any]) -> tuple[float, np.ndarray]:
    import torch

    z_a, z_b = (torch.tensor(view, dtype=torch.float64, requires_grad=True) for view in views)
    answer = loss(z_a, z_b)
    answer = answer[0] if isinstance(answer, tuple) else answer
    value = torch.as_tensor(answer.total() if hasattr(answer, "total") else answer)
    gradients = torch.autograd.grad(value + 0 * (z_a.sum() + z_b.sum()), (z_a, z_b))
    return float(value.detach()), np.stack([g.numpy() for g in gradients])
