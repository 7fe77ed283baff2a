"""What views are: conditional laws, drawn twice given x; how they are composed, and what their options must satisfy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from itssl.choices import ParameterError

Image: TypeAlias = tuple[int, int, int]
"""Channels, height and width of the picture that a row holds."""


@runtime_checkable
class ViewLaw(Protocol):
    """One view of each row of x, all randomness the generator's."""

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator, /) -> Float[Tensor, "n D"]: ...


def pair(
    law: ViewLaw, x: Float[Tensor, "n D"], generator: torch.Generator
) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n D"]]:
    """Two views of each row of x, independent given x: the law drawn twice, one after the other.

    Every law has it as its call, so that :func:`itssl.networks.training.train` takes the law itself.

    >>> from itssl.networks.photometric import Noise
    >>> a, b = pair(Noise(0.1), torch.zeros(2, 1), torch.Generator().manual_seed(0))
    >>> a.shape, torch.equal(a, b)
    (torch.Size([2, 1]), False)
    """
    return law.draw(x, generator), law.draw(x, generator)


@dataclass(frozen=True)
class Composed:
    """One law after the other, each with its own draws: ``Composed((Crop(), Flip(), Noise(0.1)))``.

    Raises ParameterError unless laws is a non-empty tuple of objects with ``draw(x, generator)``.

    >>> from itssl.networks.views import Flip
    >>> Composed((Flip(horizontal=1.0, image=(1, 1, 2)),) * 2).draw(torch.tensor([[0.0, 1.0]]), torch.Generator())
    tensor([[0., 1.]])
    """

    laws: tuple[ViewLaw, ...]

    def __post_init__(self) -> None:
        if not self.laws or not all(isinstance(law, ViewLaw) for law in self.laws):
            raise ParameterError(
                f"laws: expected a tuple of laws with draw(x, generator), got {self.laws!r}; e.g. (Crop(), Flip())"
            )

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D)."""
        for law in self.laws:
            x = law.draw(x, generator)
        return x


def draws(law: Callable[..., Tensor], shape: torch.Size, generator: torch.Generator) -> Tensor:
    """float64 draws on the generator's device, so that views of float32 and float64 pictures agree."""
    return law(shape, generator=generator, dtype=torch.float64, device=generator.device)


def require_strength(argument: str, value: float) -> None:
    """Raise ParameterError unless value is a finite number >= 0.

    >>> require_strength("shift", 0.1)
    """
    if not (math.isfinite(value) and value >= 0):
        raise ParameterError(f"{argument}: expected a finite number >= 0, got {value!r}; 0 switches it off")


def require_range(argument: str, ends: tuple[float, float], *, largest: float = math.inf) -> None:
    """Raise ParameterError unless 0 < lower <= upper <= largest, both finite.

    >>> require_range("scale", (0.8, 1.2))
    """
    if not (0 < ends[0] <= ends[1] < math.inf and ends[1] <= largest):
        most = "" if largest == math.inf else f" <= {largest:g}"
        raise ParameterError(f"{argument}: expected 0 < lower <= upper{most}, got {ends!r}; (1, 1) switches it off")


def require_image(image: Image) -> None:
    """Raise ParameterError unless image is (channels, height, width).

    >>> require_image((1, 8, 8))
    """
    if len(image) != 3 or min(image) < 1:
        raise ParameterError(f"image: expected (channels, height, width), got {image!r}; e.g. (1, 8, 8)")


def require_pictures(x: Tensor, image: Image) -> None:
    """Raise ParameterError unless the rows of x hold pictures of this size.

    >>> require_pictures(torch.zeros(3, 64), (1, 8, 8))
    """
    if x.ndim != 2 or x.shape[1] != math.prod(image):
        raise ParameterError(
            f"x: expected rows of {math.prod(image)} pixels for image={image}, got shape {tuple(x.shape)}; set image "
            "to the size of the pictures"
        )
