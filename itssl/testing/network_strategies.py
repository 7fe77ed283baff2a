"""Hypothesis strategies for continuous piecewise-affine networks with a property that holds by construction."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float

from itssl.arrays import stream
from itssl.choices import require_known
from itssl.testing.law_strategies import Sizes, seeds, sizes

if TYPE_CHECKING:
    from torch import nn

    Network = nn.Sequential
else:
    Network = Any  # torch is loaded when a network is drawn

Property = Literal["injective", "folding", "rank-deficient", "dimension-raising"]

_KINKS = (0.1, 1.0)  # slopes of leaky rectifiers


def encoders(*, property: Property = "injective", dims: Sizes = None) -> st.SearchStrategy[Network]:
    r"""Random continuous piecewise-affine networks R^D → R^K in float64 with a chosen property.

    The property holds by construction, on all of R^D:

    - "injective": square layers of condition at most 4 with leaky rectifiers between them, K = D: a homeomorphism.
    - "folding": the same with a slope below 0 at some units of the first rectifier, K = D. Each such unit maps u > 0
      and −u/|slope| to one value and all other layers are one-to-one and onto: every output of the fold has two or
      more preimages, and the local matrices keep full rank.
    - "rank-deficient": some rows of one layer are exactly zero, K = D; all local matrices have rank below D. For
      D = 1 the network is constant.
    - "dimension-raising": injective with K > D, so the image of a law with a density is singular. Half of them go
      through a ReLU, with units in opposite pairs w, −w of which one is always on [1].

    Kinks of the first layer pass within half a standard deviation of 0 for a standard normal input. The first layer is
    an nn.Linear, so D is ``network[0].in_features``. Weights come from a drawn seed, torch's global generator is
    neither read nor advanced, and torch is imported when a network is drawn. Shrinks to D = 1, identity weights and
    slopes ±1 (no kink, or |x|).

    Parameters
    ----------
    property: one of the above.
    dims: D, fixed or drawn; 1 to 4 unless given.

    Raises
    ------
    UnknownNameError: a property that is not on offer. ParameterError: a dimension below 1.

    References
    ----------
    [1] M. Puthawala, K. Kothari, M. Lassas, I. Dokmanić, M. de Hoop (2022). Globally injective ReLU networks. JMLR 23.

    >>> from hypothesis import find
    >>> find(encoders(property="folding"), lambda network: True)[:2]
    Sequential(
      (0): Linear(in_features=1, out_features=1, bias=True)
      (1): PReLU(num_parameters=1)
    )
    """
    require_known("property", property, _BUILDERS)
    return _BUILDERS[property](sizes("dims", dims, st.integers(1, 4)))


# --- the four constructions --------------------------------------------------------------------------------------


@st.composite
def _injective(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Network:
    from torch import nn

    return nn.Sequential(*_homeomorphism(draw, draw(dims)))


@st.composite
def _folding(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Network:
    import torch
    from torch import nn

    d = draw(dims)
    first, _, *rest = _homeomorphism(draw, d)
    slopes = [draw(st.floats(*_KINKS)) for _ in range(d)]
    folded = draw(st.integers(1, d))
    fold = nn.PReLU(d, dtype=torch.float64)
    fold.weight.data.copy_(torch.tensor([-s if i < folded else s for i, s in enumerate(slopes)], dtype=torch.float64))
    return nn.Sequential(first, fold, *rest)


@st.composite
def _rank_deficient(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Network:
    from torch import nn

    d = draw(dims)
    layers = _homeomorphism(draw, d)
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    lost = draw(st.integers(1, d))
    draw(st.sampled_from(linear)).weight.data[:lost] = 0
    return nn.Sequential(*layers)


@st.composite
def _dimension_raising(draw: Callable[..., Any], dims: st.SearchStrategy[int]) -> Network:
    from torch import nn

    d = draw(dims)
    layers = _homeomorphism(draw, d)
    if draw(st.booleans()):
        matrix, offset = _weights(draw, d, d)
        overlap = draw(st.floats(0, 1)) * np.linalg.norm(matrix, axis=1)
        pairs = _linear(np.concatenate([matrix, -matrix]), np.concatenate([offset, overlap - offset]))
        layers = [*layers[:-1], pairs, nn.ReLU()]
        d = 2 * d
        return nn.Sequential(*layers, _linear(*_weights(draw, d + draw(st.integers(0, 2)), d)))
    layers[-1] = _linear(*_weights(draw, d + draw(st.integers(1, 3)), d))
    return nn.Sequential(*layers)


_BUILDERS: dict[str, Callable[[st.SearchStrategy[int]], st.SearchStrategy[Network]]] = {
    "injective": _injective,
    "folding": _folding,
    "rank-deficient": _rank_deficient,
    "dimension-raising": _dimension_raising,
}


# --- parts -------------------------------------------------------------------------------------------------------


def _homeomorphism(draw: Callable[..., Any], d: int) -> list[Any]:
    """Linear, LeakyReLU, Linear, ..., Linear: invertible layers of R^d with one to three leaky rectifiers."""
    from torch import nn

    layers: list[Any] = [_linear(*_weights(draw, d, d))]
    for _ in range(draw(st.integers(1, 3))):
        layers += [nn.LeakyReLU(draw(st.floats(*_KINKS))), _linear(*_weights(draw, d, d))]
    return layers


def _weights(draw: Callable[..., Any], k: int, d: int) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
    """A k×d matrix of independent columns, condition at most 4, and an offset within half the length of each row."""
    values = np.exp2([draw(st.floats(-1, 1)) for _ in range(d)])
    rng = stream(draw(seeds()), "weights", k, d)
    frame = np.linalg.qr(rng.standard_normal((k, d)))[0] if k > 1 else np.eye(1)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0] if d > 1 else np.eye(1)
    matrix = (frame * values) @ axes
    away = draw(st.floats(0, 0.5))
    return matrix, away * rng.uniform(-1, 1, size=k) * np.linalg.norm(matrix, axis=1)


def _linear(matrix: Float[np.ndarray, "k d"], offset: Float[np.ndarray, " k"]) -> Any:
    """The layer x ↦ Ax + b in float64, made without a draw from torch's global generator."""
    import torch
    from torch import nn

    k, d = matrix.shape
    layer = nn.utils.skip_init(nn.Linear, d, k, dtype=torch.float64)
    assert isinstance(layer, nn.Linear)
    layer.weight.data.copy_(torch.tensor(matrix))
    layer.bias.data.copy_(torch.tensor(offset))
    return layer
