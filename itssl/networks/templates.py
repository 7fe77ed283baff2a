"""Short signals made from few templates, each moved, scaled and noisy: views that share a class and nothing else."""

import html
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from itssl.arrays import stream
from itssl.choices import ParameterError, require_count
from itssl.distributions.positive_pairs import prototype_pairs
from itssl.distributions.tasks import Task
from itssl.networks.datasets import Dataset
from itssl.networks.encoders import torch_generator
from itssl.networks.view_law import draws, pair, require_range, require_strength
from itssl.networks.views import warp


@dataclass(frozen=True, kw_only=True)
class SignalViews:
    r"""The conditional law x ↦ (X', X''): a signal stretched, shifted, amplified, tilted and with Gaussian noise.

    With p running from −½ to ½ over the signal, between samples linear and 0 outside,

    .. math:: X'(p) = a\, x\bigl((p - t)/s\bigr) + 2 k p + \varepsilon(p),

    all draws independent and uniform but :math:`\varepsilon`, which is N(0, noise²) at each place.

    Parameters
    ----------
    scale: lower and upper end of s.
    shift: t is uniform on ± this fraction of the length.
    amplitude: lower and upper end of a.
    slope: k is uniform on ± this.
    noise: standard deviation of ε.

    Raises
    ------
    ParameterError: a negative or non-finite strength, or a range not 0 < lower <= upper.

    >>> half = SignalViews(scale=(1, 1), shift=0, amplitude=(0.5, 0.5), slope=0, noise=0)
    >>> half.draw(torch.tensor([[0.0, 2.0, 4.0]]), torch.Generator())
    tensor([[0., 1., 2.]])
    """

    scale: tuple[float, float] = (0.75, 1.35)
    shift: float = 0.2
    amplitude: tuple[float, float] = (0.7, 1.4)
    slope: float = 0.5
    noise: float = 0.1

    def __post_init__(self) -> None:
        require_range("scale", self.scale)
        require_range("amplitude", self.amplitude)
        for name in ("shift", "slope", "noise"):
            require_strength(name, getattr(self, name))

    __call__ = pair

    @property
    def only_noise(self) -> bool:
        """Whether x is changed by Gaussian noise alone."""
        return self.scale == self.amplitude == (1, 1) and self.shift == self.slope == 0

    def draw(self, x: Float[Tensor, "n L"], generator: torch.Generator) -> Float[Tensor, "n L"]:
        """One view of each row of x, shape (n, L)."""
        n, length = x.shape
        s, t, a, k = self.changes(n, generator).T
        zero, one = torch.zeros_like(s), torch.ones_like(s)
        moves = torch.stack([s, zero, t, zero, one, zero], dim=1).unflatten(1, (2, 3))
        place = (torch.arange(length, dtype=x.dtype, device=x.device) - (length - 1) / 2) / length
        view = a[:, None].to(x) * warp(x, moves, (1, 1, length)) + 2 * k[:, None].to(x) * place
        return view + self.noise * draws(torch.randn, x.shape, generator).to(x)

    def changes(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 4"]:
        """n draws of s, t, a and k."""
        unit = draws(torch.rand, torch.Size((n, 4)), generator)
        ends = (self.scale, (-self.shift, self.shift), self.amplitude, (-self.slope, self.slope))
        low, high = (torch.tensor(end, dtype=torch.float64).to(unit) for end in zip(*ends, strict=True))
        return low + (high - low) * unit


@dataclass(frozen=True, eq=False, repr=False)
class TemplateData:
    """Views of templates with the class as label, and the law that makes more. Made by :func:`templates`.

    To train on views that share the class alone: ``train(encoder, objective, data.source_x, data.views, ...)``.
    """

    dataset: Dataset
    """One view a row; for probes, and for whatever starts from one noisy picture."""
    prototypes: Float[np.ndarray, "C L"]
    views: SignalViews

    @property
    def source_x(self) -> Float[np.ndarray, "n L"]:
        """The clean template of each training row: what two views of that row have in common."""
        return self.prototypes[self.dataset.train_y]

    @property
    def information_ceiling(self) -> float:
        """log C in nats: two views are independent given the class, so I(X'; X'') ≤ H(class) = log C.

        >>> print(f"{templates(20, 10).information_ceiling:.4f}")
        2.3026
        """
        return math.log(len(self.prototypes))

    def task(self, *, n: int = 2**17) -> Task:
        """The joint law of two views (X', X'') with I(X'; X'') by Monte Carlo over n draws, for noise alone.

        Both views are then the same mixture of C Gaussians, see
        :func:`itssl.distributions.positive_pairs.prototype_pairs`. Raises ParameterError for views with other changes,
        whose information is known to lie below :attr:`information_ceiling` only, and for noise 0.

        >>> views = SignalViews(scale=(1, 1), shift=0, amplitude=(1, 1), slope=0, noise=1.0)
        >>> known = templates(20, 10, views=views).task(n=2000).mutual_information
        >>> bool(known.value + 5 * known.standard_error < math.log(10))
        True
        """
        if not self.views.only_noise:
            raise ParameterError(
                f"views: expected Gaussian noise alone, got {self.views!r}; pass templates(..., views=SignalViews("
                "scale=(1, 1), shift=0, amplitude=(1, 1), slope=0)), or use information_ceiling"
            )
        return prototype_pairs(self.prototypes, self.views.noise, name=self.dataset.name, n=n)

    def __repr__(self) -> str:
        return (
            f"TemplateData({self.dataset.name}: {len(self.dataset.train_y)} training and {len(self.dataset.test_y)} "
            f"test views of {len(self.prototypes)} templates of length {self.prototypes.shape[1]})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def templates(
    train: int = 4000, test: int = 1000, *, classes: int = 10, length: int = 40, views: SignalViews | None = None,
    seed: int = 0,
) -> TemplateData:  # fmt: skip
    """Data in the manner of MNIST-1D [1]: each row is a random template, changed by :class:`SignalViews`.

    Labels are uniform on the classes and independent. Templates are this library's own, see :func:`random_templates`.
    The seed names templates, labels and changes.

    Raises ParameterError for counts below 1.

    References
    ----------
    [1] Greydanus & Kobak (2024). Scaling Down Deep Learning with MNIST-1D. ICML.

    >>> data = templates()
    >>> data
    TemplateData(10 templates: 4000 training and 1000 test views of 10 templates of length 40)
    >>> data.dataset.train_x.shape, data.source_x.shape
    ((4000, 40), (4000, 40))
    """
    views = SignalViews() if views is None else views
    prototypes = random_templates(classes, length, seed=seed)
    n, m = require_count("train", train), require_count("test", test)
    labels = stream(seed, "templates", "labels").integers(0, classes, size=n + m)
    x = views.draw(torch.tensor(prototypes[labels]), torch_generator(seed, "templates", "views")).numpy()
    data = Dataset(
        train_x=x[:n], train_y=labels[:n], test_x=x[n:], test_y=labels[n:], image=(1, 1, length),
        name=f"{classes} templates",
    )  # fmt: skip
    return TemplateData(dataset=data, prototypes=prototypes, views=views)


def random_templates(classes: int, length: int = 40, *, seed: int = 0) -> Float[np.ndarray, "C L"]:
    r"""Smooth random curves on the middle half of the signal, 0 outside, largest absolute value 1; read-only.

    On it, with u from 0 to 1, the curve is :math:`\sum_{m=1}^{6} g_m \sin(\pi m u)/\sqrt m` with standard normal g.
    Raises ParameterError for fewer than 1 class or a length below 8.

    >>> random_templates(3).shape, float(np.abs(random_templates(3)).max())
    ((3, 40), 1.0)
    """
    require_count("classes", classes)
    require_count("length", length, minimum=8)
    u = 2 * (np.arange(length) + 0.5) / length - 0.5
    m = np.arange(1, 7)
    g = stream(seed, "templates", classes, length).standard_normal((classes, len(m))) / np.sqrt(m)
    curves = np.where((u > 0) & (u < 1), g @ np.sin(np.pi * m[:, None] * u), 0.0)
    curves = curves / np.abs(curves).max(axis=1, keepdims=True)
    curves.flags.writeable = False
    return curves
