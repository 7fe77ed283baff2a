"""Views that change the values of pixels and leave them in place: brightness, contrast, gamma, blur and noise."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from itssl.choices import ParameterError
from itssl.networks.view_law import Image, draws, pair, require_image, require_pictures, require_range, require_strength


@dataclass(frozen=True)
class Noise:
    r"""Gaussian noise: x ↦ x + ε with ε ~ N(0, std² I), on rows of any meaning.

    Given x a view has the entropy :math:`\tfrac D2 \log(2\pi e\,\text{std}^2)` nats, so that information between views
    is finite. Raises ParameterError unless std is a finite number >= 0.

    >>> Noise(0.0).draw(torch.ones(1, 2), torch.Generator())
    tensor([[1., 1.]])
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        require_strength("std", self.std)

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D)."""
        return x + self.std * draws(torch.randn, x.shape, generator).to(x)


@dataclass(frozen=True, kw_only=True)
class Photometric:
    r"""Random brightness, contrast, gamma and blur of pictures with values in [0, 1], in this order [1].

    - brightness: v ↦ b v with b uniform on 1 ± ``brightness``;
    - contrast: v ↦ m + c (v − m) with c uniform on 1 ± ``contrast`` and m the mean of the picture;
    - gamma: v ↦ v^γ with log γ uniform on the logarithms of the two ends of ``gamma``;
    - blur: the mean over the pixels of the channel with weights exp(−r²/2s²), r the distance in pixels, s uniform from
      0 to ``blur``; the weights of the pixels inside the picture add up to 1.

    After brightness and after contrast values are cut to [0, 1]. All channels of a picture share their draws.

    Parameters
    ----------
    brightness, contrast: half the width of the range of the factor, in [0, 1]; 0 switches it off.
    gamma: lower and upper end of the exponent; (1, 1) switches it off.
    blur: largest standard deviation of the blur in pixels; 0 switches it off.
    image: channels, height and width of the pictures that the rows of x hold.

    Raises
    ------
    ParameterError: an option outside its range; on drawing, rows of another length or values outside [0, 1].

    References
    ----------
    [1] Brightness and contrast as in torchvision's ColorJitter.

    >>> half = Photometric(brightness=0.0, contrast=0.0, gamma=(2.0, 2.0), blur=0.0, image=(1, 1, 2))
    >>> half.draw(torch.tensor([[0.5, 1.0]]), torch.Generator())
    tensor([[0.2500, 1.0000]])
    """

    brightness: float = 0.4
    contrast: float = 0.4
    gamma: tuple[float, float] = (2 / 3, 3 / 2)
    blur: float = 0.0
    image: Image = (1, 8, 8)

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(
                    f"{name}: expected a number from 0 to 1, got {getattr(self, name)!r}; 0 switches it off"
                )
        require_range("gamma", self.gamma)
        require_strength("blur", self.blur)
        require_image(self.image)

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D)."""
        require_pictures(x, self.image)
        rounding = 64 * torch.finfo(x.dtype).eps  # what warps before this one may have added
        if len(x) and not (x.min() >= -rounding and x.max() <= 1 + rounding):
            raise ParameterError(
                f"x: expected values in [0, 1], got {x.min():.3g} to {x.max():.3g}; put Noise after Photometric, and "
                "standardize after the views"
            )
        b, c, g, s = self.changes(len(x), generator).to(x).T[:, :, None]
        view = (b * x).clamp(0, 1)
        mean = view.mean(dim=1, keepdim=True)
        view = (mean + c * (view - mean)).clamp(0, 1) ** g
        return blurred(view, s[:, 0], self.image) if self.blur else view

    def changes(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 4"]:
        """n draws of the factors of brightness and contrast, of γ, and of the standard deviation of the blur."""
        unit = draws(torch.rand, torch.Size((4, n)), generator)
        low, high = map(math.log, self.gamma)
        b, c = 1 + self.brightness * (2 * unit[0] - 1), 1 + self.contrast * (2 * unit[1] - 1)
        return torch.stack([b, c, torch.exp(low + (high - low) * unit[2]), self.blur * unit[3]], dim=1)


def blurred(x: Float[Tensor, "n D"], std: Float[Tensor, " n"], image: Image) -> Float[Tensor, "n D"]:
    """Each picture under a Gaussian blur of its own standard deviation in pixels; constant pictures stay the same.

    >>> print(blurred(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([1.0]), (1, 1, 3)).numpy().round(3))
    [[0.348 0.452 0.348]]
    """
    _, height, width = image
    rows, columns = _averages(height, std), _averages(width, std)
    return (rows[:, None] @ x.unflatten(1, image) @ columns[:, None].mT).flatten(1)


def _averages(length: int, std: Float[Tensor, " n"]) -> Float[Tensor, "n L L"]:
    """Rows of weights exp(−(i − j)²/2s²) that add up to 1; the identity where s = 0."""
    place = torch.arange(length, dtype=std.dtype, device=std.device)
    # At a hundredth of a pixel the weights of the neighbors are exp(−5000) = 0 already; 0 itself would give 0/0.
    narrow = std.clamp(min=1e-2)[:, None, None]
    weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * narrow**2))
    return weights / weights.sum(dim=2, keepdim=True)
