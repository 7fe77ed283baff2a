"""Augmentations as conditional laws: given x, two independent draws of a randomly warped and noisy picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from itssl.choices import ParameterError


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
    image: tuple[int, int, int] = (1, 8, 8)

    def __post_init__(self) -> None:
        for name in ("rotation_degrees", "shift", "shear", "noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ParameterError(f"{name}: expected a finite number >= 0, got {value!r}; 0 switches it off")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ParameterError(f"scale: expected 0 < lower <= upper, got {self.scale!r}; (1, 1) switches it off")
        if len(self.image) != 3 or min(self.image) < 1:
            raise ParameterError(f"image: expected (channels, height, width), got {self.image!r}; e.g. (1, 8, 8)")

    def __call__(
        self, x: Float[Tensor, "n D"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n D"]]:
        """Two views of each row of x, conditionally independent given x; all randomness is the generator's."""
        return self.draw(x, generator), self.draw(x, generator)

    def draw(self, x: Float[Tensor, "n D"], generator: torch.Generator) -> Float[Tensor, "n D"]:
        """One view of each row of x.

        Raises ParameterError when the rows of x do not hold pictures of the size of ``image``.
        """
        if x.ndim != 2 or x.shape[1] != math.prod(self.image):
            raise ParameterError(
                f"x: expected rows of {math.prod(self.image)} pixels for image={self.image}, got shape "
                f"{tuple(x.shape)}; set image to the size of the pictures"
            )
        view = warp(x, self.transformations(len(x), generator), self.image)
        if self.noise == 0:
            return view
        return view + self.noise * _draws(torch.randn, view.shape, generator).to(view)

    def transformations(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 2 3"]:
        """n draws of the matrix (L | t) of p ↦ L p + t: L in pixels from the center, t in widths and heights."""
        unit = _draws(torch.rand, torch.Size((5, n)), generator)
        rotation, shear, shift_x, shift_y = 2 * unit[:4] - 1
        angle = math.radians(self.rotation_degrees) * rotation
        s = self.scale[0] + (self.scale[1] - self.scale[0]) * unit[4]
        cos, sin, k = s * torch.cos(angle), s * torch.sin(angle), self.shear * shear
        rows = [cos, k * cos - sin, self.shift * shift_x, sin, k * sin + cos, self.shift * shift_y]
        return torch.stack(rows, dim=1).unflatten(1, (2, 3))


def warp(
    x: Float[Tensor, "n D"], transformation: Float[Tensor, "n 2 3"], image: tuple[int, int, int]
) -> Float[Tensor, "n D"]:
    r"""The pictures moved by p ↦ L p + t: the new value at q is the bilinear value of the old at $L^{-1}(q - t)$.

    Parameters
    ----------
    x: n pictures as rows of channels · height · width values.
    transformation: (L | t), L acting on (right, down) in pixels from the center of the picture, t in units of
        its width and height.
    image: channels, height and width.

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
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False).flatten(1)


def _draws(law: Callable[..., Tensor], shape: torch.Size, generator: torch.Generator) -> Tensor:
    """float64 draws on the generator's device, so that views of float32 and float64 pictures agree."""
    return law(shape, generator=generator, dtype=torch.float64, device=generator.device)
