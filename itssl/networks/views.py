"""Augmentations that move pixels: random affine warps, crops and mirror images.

Each is a conditional law x ↦ (X', X''), see :mod:`itssl.networks.view_law`: ``draw(x, generator)`` makes one view of
each row of x, ``law(x, generator)`` two that are independent given x. Changes of the values of pixels are in
:mod:`itssl.networks.photometric`, laws on signals and on Gaussian vectors in :mod:`itssl.networks.templates` and
:mod:`itssl.networks.gaussian_views`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from itssl.choices import ParameterError
from itssl.networks.view_law import (
    Image,
    draws,
    pair,
    require_image,
    require_pictures,
    require_range,
    require_strength,
)


@dataclass(frozen=True, kw_only=True)
class AffineViews:
    r"""The conditional law $x \mapsto (X', X'')$: independent affine warps of a picture x plus Gaussian noise.

    A warp rotates by $\theta$, shears along the horizontal by a factor k, enlarges by s and then shifts by
    $(t_x, t_y)$: it moves what was at p, seen from the center, to $s R_\theta \begin{pmatrix}1&k\\0&1\end{pmatrix}
    p + t$. The four are independent and uniform. Between pixels values are bilinear, outside the picture 0.

    Parameters
    ----------
    rotation_degrees: $\theta$ is uniform on ± this.
    scale: lower and upper end of s.
    shift: $t_x$ and $t_y$ are uniform on ± this fraction of the width and the height.
    shear: k is uniform on ± this.
    noise: standard deviation of the Gaussian noise added to every pixel after the warp.
    image: channels, height and width of the pictures that the rows of x hold.

    Raises
    ------
    ParameterError: a negative or non-finite range, scale not 0 < lower <= upper, or an image size below 1.

    >>> views = AffineViews(image=(1, 2, 2))
    >>> a, b = views(torch.ones(3, 4), torch.Generator().manual_seed(0))
    >>> a.shape, torch.equal(a, b)
    (torch.Size([3, 4]), False)
    """

    rotation_degrees: float = 17.0
    scale: tuple[float, float] = (0.85, 1.2)
    shift: float = 0.15
    shear: float = 0.2
    noise: float = 0.0
    image: Image = (1, 8, 8)

    def __post_init__(self) -> None:
        for name in ("rotation_degrees", "shift", "shear", "noise"):
            require_strength(name, getattr(self, name))
        require_range("scale", self.scale)
        require_image(self.image)

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D).

        Raises ParameterError when the rows of x do not hold pictures of the size of ``image``.
        """
        require_pictures(x, self.image)
        view = warp(x, self.transformations(len(x), generator), self.image)
        if self.noise == 0:
            return view
        return view + self.noise * draws(torch.randn, view.shape, generator).to(view)

    def transformations(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 2 3"]:
        """n draws of the matrix (L | t) of p ↦ L p + t: L in pixels from the center, t in widths and heights."""
        unit = draws(torch.rand, torch.Size((5, n)), generator)
        rotation, shear, shift_x, shift_y = 2 * unit[:4] - 1
        angle = math.radians(self.rotation_degrees) * rotation
        s = self.scale[0] + (self.scale[1] - self.scale[0]) * unit[4]
        cos, sin, k = s * torch.cos(angle), s * torch.sin(angle), self.shear * shear
        rows = [cos, k * cos - sin, self.shift * shift_x, sin, k * sin + cos, self.shift * shift_y]
        return torch.stack(rows, dim=1).unflatten(1, (2, 3))


@dataclass(frozen=True, kw_only=True)
class Crop:
    r"""Random resized crops [1]: a random rectangle of the picture, enlarged to the whole size.

    The sides are the fractions :math:`w = \sqrt{a r}` of the width and :math:`h = \sqrt{a / r}` of the height, with
    the area a uniform on ``area`` and log r uniform on the logarithms of ``aspect``; a side beyond 1 is cut to 1, which
    makes the area smaller. (In [1] such rectangles are drawn again.) The place is uniform among those inside. For
    square pictures r is the aspect ratio in pixels. Between pixels values are bilinear, and those of the border
    continue half a pixel beyond it.

    Parameters
    ----------
    area: lower and upper end of a, within (0, 1].
    aspect: lower and upper end of r.
    image: channels, height and width of the pictures that the rows of x hold.

    Raises
    ------
    ParameterError: area not 0 < lower <= upper <= 1, aspect not 0 < lower <= upper, or an image size below 1; on
        drawing, rows of another length.

    References
    ----------
    [1] Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich (2015). Going Deeper with
        Convolutions. CVPR. As in torchvision's RandomResizedCrop.

    >>> Crop(area=(0.25, 0.25), aspect=(1, 1), image=(1, 1, 4)).draw(torch.ones(1, 4), torch.Generator())
    tensor([[1., 1., 1., 1.]])
    """

    area: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    image: Image = (1, 8, 8)

    def __post_init__(self) -> None:
        require_range("area", self.area, largest=1.0)
        require_range("aspect", self.aspect)
        require_image(self.image)

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D)."""
        require_pictures(x, self.image)
        width, height, left, top = self.rectangles(len(x), generator).T
        zero = torch.zeros_like(width)
        # Its center, seen from that of the picture, moves to the center; its sides become the picture's.
        right, down = left + width / 2 - 0.5, top + height / 2 - 0.5
        rows = [1 / width, zero, -right / width, zero, 1 / height, -down / height]
        return warp(x, torch.stack(rows, dim=1).unflatten(1, (2, 3)), self.image, outside="border")

    def rectangles(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 4"]:
        """n draws of width, height, left and top as fractions of the picture's width and height."""
        unit = draws(torch.rand, torch.Size((4, n)), generator)
        area = self.area[0] + (self.area[1] - self.area[0]) * unit[0]
        low, high = map(math.log, self.aspect)
        aspect = torch.exp(low + (high - low) * unit[1])
        width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        return torch.stack([width, height, (1 - width) * unit[2], (1 - height) * unit[3]], dim=1)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror images: left and right change places with probability ``horizontal``, top and bottom with ``vertical``.

    The two are independent of each other and from row to row. Raises ParameterError for a probability outside [0, 1]
    or an image size below 1, and on drawing for rows of another length.

    >>> Flip(horizontal=1.0, image=(1, 2, 2)).draw(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.Generator())
    tensor([[2., 1., 4., 3.]])
    """

    horizontal: float = 0.5
    vertical: float = 0.0
    image: Image = (1, 8, 8)

    def __post_init__(self) -> None:
        for name in ("horizontal", "vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name}: expected a probability, got {getattr(self, name)!r}; 0 switches it off")
        require_image(self.image)

    __call__ = pair

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x, shape (n, D)."""
        require_pictures(x, self.image)
        unit = draws(torch.rand, torch.Size((2, len(x), 1, 1, 1)), generator).to(x.device)
        view = x.unflatten(1, self.image)
        view = torch.where(unit[0] < self.horizontal, view.flip(3), view)
        return torch.where(unit[1] < self.vertical, view.flip(2), view).flatten(1)


def warp(
    x: Float[Tensor, "n D"],
    transformation: Float[Tensor, "n 2 3"],
    image: Image,
    *,
    outside: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "n D"]:
    r"""The pictures moved by p ↦ L p + t: the new value at q is the bilinear value of the old at $L^{-1}(q - t)$.

    Parameters
    ----------
    x: n pictures as rows of channels · height · width values.
    transformation: (L | t), L acting on (right, down) in pixels from the center of the picture, t in units of
        its width and height.
    image: channels, height and width.
    outside: what lies around the old picture: 0, or its border continued.

    >>> quarter_turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    >>> (warp(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), quarter_turn, (1, 2, 2)).round().abs()).tolist()
    [[3.0, 1.0, 4.0, 2.0]]
    """
    _, height, width = image
    size = torch.tensor([width, height], dtype=torch.float64, device=transformation.device)
    # affine_grid wants the inverse map, in coordinates that run from -1 to 1 over the picture.
    inverse = torch.linalg.inv(transformation[:, :, :2].double())
    shift = inverse @ (transformation[:, :, 2:].double() * size[:, None])
    backward = torch.cat([inverse * size, -2 * shift], dim=2) / size[:, None]
    grid = F.affine_grid(backward.to(x), [len(x), *image], align_corners=False)
    pictures = x.unflatten(1, image)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode=outside, align_corners=False).flatten(1)
