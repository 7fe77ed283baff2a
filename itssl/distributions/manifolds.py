"""Laws on m-dimensional surfaces in R^d: no density in R^d, but one with respect to the surface's own volume.

Their differential entropy is −∞ exactly; what they have is the Hausdorff entropy −E log p with p the density with
respect to the m-dimensional Hausdorff measure [1] (length, area, ...). For X = T(U), T an injective map that adds
dimensions, it is h(U) + ½ E log det J_T(U)ᵀJ_T(U).

References
----------
[1] Koliander, Pichler, Riegler & Hlawatsch (2016). Entropy and source coding for integer-dimensional singular random
    variables. IEEE Trans. Inf. Theory 62(11).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.elliptical import log_sphere_area, uniform_directions
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.images import Image, expected_log_volume, require_domain
from itssl.distributions.law import Law, exact
from itssl.distributions.maps import Map, affine, swiss_roll_map
from itssl.distributions.products import Product, short_repr, total, uniform_box
from itssl.estimate import Estimate

if TYPE_CHECKING:

    class ManifoldLaw(Protocol):
        """A law on an m-dimensional surface in R^dim, m = manifold_dim < dim."""

        @property
        def dim(self) -> int: ...
        @property
        def manifold_dim(self) -> int: ...
        def sample(self, n: int, rng: np.random.Generator) -> Samples: ...
        def hausdorff_log_density(self, x: Samples) -> Float[np.ndarray, " n"]: ...
        @property
        def hausdorff_entropy(self) -> Estimate: ...
        @property
        def entropy(self) -> Estimate: ...

else:
    ManifoldLaw = Any  # as for Law: a run-time check would compute the entropy


@dataclass(frozen=True, eq=False)
class Embedded:
    """The law of T(U) in R^{m+r}, U of a law on R^m and T an injective map that adds r ≥ 1 dimensions.

    Hausdorff entropy −∫ p log p dℋ^m = h(U) + E ½ log det JᵀJ in nats, by the area formula [1]; J is T's Jacobian.
    ``mean_log_volume`` may hand over E ½ log det JᵀJ where it is known in closed form. Raises LawError when the
    dimensions do not fit or T adds none.

    References
    ----------
    [1] Koliander, Pichler, Riegler & Hlawatsch (2016). Entropy and source coding for integer-dimensional singular
        random variables. IEEE Trans. Inform. Theory 62(11).

    >>> line = Embedded(Gaussian.standard(1), affine(np.array([[3.0], [4.0]])))
    >>> print(f"{line.hausdorff_entropy.value:.4f}, {line.entropy.value}")  # ½ log 2πe + log 5
    3.0284, -inf
    """

    law: Law
    map: Map
    mean_log_volume: Estimate | None = None
    name: str = "Embedded"

    def __post_init__(self) -> None:
        require_domain(self.law, self.map)
        if not self.map.raises:
            raise LawError(f"map: expected one that adds dimensions, got {self.map}; use pushforward_law")

    @property
    def dim(self) -> int:
        return self.law.dim + self.map.raises

    @property
    def manifold_dim(self) -> int:
        """Dimension m of the surface."""
        return self.law.dim

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return self.map(self.law.sample(n, rng))

    def hausdorff_log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p with respect to m-dimensional volume for each row of x, which must lie on the surface."""
        origin = self.map.inverse(x)
        return self.law.log_density(origin) - self.map.log_volume_change(origin)

    @property
    def hausdorff_entropy(self) -> Estimate:
        """h(U) + E ½ log det JᵀJ in nats, with the error of ``expected_log_volume`` where it is not exact."""
        return self._hausdorff_entropy

    @cached_property
    def _hausdorff_entropy(self) -> Estimate:
        volume = self.mean_log_volume or expected_log_volume(self.law, self.map)
        return total([self.law.entropy, volume], "Hausdorff entropy")

    @property
    def entropy(self) -> Estimate:
        """−∞: the law is singular in R^d."""
        return exact(-np.inf, "entropy of a singular law")

    def __repr__(self) -> str:
        return self.name if self.name != "Embedded" else f"Embedded({short_repr(self.law)}, {self.map.name})"


@dataclass(frozen=True, eq=False)
class UniformSphere:
    """The uniform law on the sphere of radius r around ``center`` in R^d; its Hausdorff entropy is the log of its area.

    log 2π^{d/2}r^{d−1}/Γ(d/2) nats; the differential entropy is −∞ (see :class:`Embedded`).
    Raises LawError unless the center has d ≥ 2 finite numbers and radius > 0.

    >>> print(f"{UniformSphere(np.zeros(2), radius=2.0).hausdorff_entropy.value:.4f}")  # log 4π
    2.5310
    """

    center: Float[np.ndarray, " d"]
    radius: float = 1.0

    def __post_init__(self) -> None:
        center = np.array(self.center, dtype=float)
        if center.ndim != 1 or len(center) < 2 or not np.isfinite(center).all() or not 0 < self.radius < np.inf:
            raise LawError(f"center, radius: expected d >= 2 numbers and a radius > 0, got {center} and {self.radius}")
        center.flags.writeable = False
        object.__setattr__(self, "center", center)

    @property
    def dim(self) -> int:
        return len(self.center)

    @property
    def manifold_dim(self) -> int:
        """Dimension of the sphere, d − 1."""
        return self.dim - 1

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        return self.center + self.radius * uniform_directions(n, self.dim, rng)

    def hausdorff_log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """−log area for each row of x, which must lie on the sphere."""
        return np.full(len(x), -self.hausdorff_entropy.value)

    @property
    def hausdorff_entropy(self) -> Estimate:
        """log area in nats, exact."""
        return exact(log_sphere_area(self.dim) + (self.dim - 1) * float(np.log(self.radius)), "log area")

    @property
    def entropy(self) -> Estimate:
        """−∞: the law is singular in R^d."""
        return exact(-np.inf, "entropy of a singular law")

    def __repr__(self) -> str:
        return f"UniformSphere(d={self.dim}, radius={self.radius:.6g})"


def linear_image(law: Gaussian, matrix: Float[np.ndarray, "k d"]) -> Embedded:
    """A Gaussian law on R^d in a d-dimensional subspace of R^k, k > d: h + ½ log det AᵀA nats, exact.

    ``matrix`` A has shape (k, d). Raises LawError as :func:`~itssl.distributions.maps.affine`.

    >>> print(f"{linear_image(Gaussian.standard(1), np.ones((4, 1))).hausdorff_entropy.value:.4f}")  # + log 2
    2.1121
    """
    return Embedded(law, affine(matrix))


def flat_torus(radii: Float[np.ndarray, " m"] | list[float]) -> Embedded:
    """The uniform law on a product of m circles in R^{2m}; Hausdorff entropy Σ log 2πr_i nats, exact.

    ``radii`` has shape (m,). Raises LawError unless all are finite and > 0.

    >>> print(f"{flat_torus([1.0, 1.0]).hausdorff_entropy.value:.4f}")  # 2 log 2π
    3.6758
    """
    r = _require_radii(radii)
    turn = 2 * np.pi

    def forward(u: Samples) -> Samples:
        return np.stack([r * np.cos(turn * u), r * np.sin(turn * u)], axis=2).reshape(len(u), -1)

    def inverse(y: Samples) -> Samples:
        return np.arctan2(y[:, 1::2], y[:, ::2]) / turn % 1

    log_volume = float(np.log(turn * r).sum())
    circles = Map(
        f"{len(r)} circles",
        forward,
        inverse,
        lambda u: np.full(len(u), log_volume),
        dim=len(r),
        raises=len(r),
        constant_volume=True,
    )
    return Embedded(uniform_box(np.zeros(len(r)), np.ones(len(r))), circles, name=f"flat_torus(m={len(r)})")


def torus(major: float, minor: float) -> Embedded:
    """Uniform angles on the torus of revolution in R³ with radii major > minor > 0 (not uniform in area).

    Hausdorff entropy log 4π²r + log((R + √(R² − r²))/2), exact, by ∫ log(R + r cos v) dv/2π.
    In nats. Raises LawError unless major > minor > 0.

    >>> print(f"{torus(2.0, 1.0).hausdorff_entropy.value:.4f}")
    4.2996
    """
    if not 0 < minor < major < np.inf:
        raise LawError(f"major, minor: expected major > minor > 0, got {major} and {minor}")
    turn = 2 * np.pi

    def forward(u: Samples) -> Samples:
        along, around = turn * u[:, 0], turn * u[:, 1]
        reach = major + minor * np.cos(around)
        return np.column_stack([reach * np.cos(along), reach * np.sin(along), minor * np.sin(around)])

    def inverse(y: Samples) -> Samples:
        around = np.arctan2(y[:, 2], np.hypot(y[:, 0], y[:, 1]) - major)
        return np.column_stack([np.arctan2(y[:, 1], y[:, 0]), around]) / turn % 1

    def log_volume_change(u: Samples) -> Float[np.ndarray, " n"]:
        return np.log(turn**2 * minor * (major + minor * np.cos(turn * u[:, 1])))

    mean = np.log(turn**2 * minor * (major + np.sqrt((major - minor) * (major + minor))) / 2)
    surface = Map("torus", forward, inverse, log_volume_change, dim=2, raises=1)
    box = uniform_box([0.0, 0.0], [1.0, 1.0])
    return Embedded(box, surface, exact(float(mean), "mean log area"), f"torus({major:g}, {minor:g})")


def swiss_roll_surface(*, height: float | None = None) -> Embedded:
    r"""The Swiss roll of a uniform law on [0, 1]: a curve in R²; with ``height``, a surface of that height in R³.

    Hausdorff entropy log 3π + (1/3π)∫ ½ log(1 + t²) dt over [3π/2, 9π/2] (+ log height), exact; the integral is
    ½ t log(1 + t²) − t + arctan t. In nats. Raises LawError unless height is None or finite and > 0.

    >>> print(f"{swiss_roll_surface().hausdorff_entropy.value:.4f}")
    4.4489
    """
    if height is not None and not 0 < height < np.inf:
        raise LawError(f"height: expected a finite number > 0 or None, got {height}")
    ends = np.array([1.5, 4.5]) * np.pi
    primitive = 0.5 * ends * np.log1p(ends**2) - ends + np.arctan(ends)
    mean = float(np.log(3 * np.pi) + np.diff(primitive)[0] / (3 * np.pi))
    flat: Product = uniform_box([0.0], [1.0]) if height is None else uniform_box([0.0, 0.0], [1.0, height])
    name = "swiss_roll_surface()" if height is None else f"swiss_roll_surface(height={height:g})"
    return Embedded(flat, swiss_roll_map(flat.dim), exact(mean, "mean log length"), name)


def pushforward_law(law: Law, image: Map) -> Image | Embedded:
    """The law of T(X): an :class:`Image` on R^d, or an :class:`Embedded` one where T adds dimensions.

    Entropies h(X) + E ½ log det JᵀJ in nats; errors as in these classes.

    >>> from itssl.distributions.maps import elementwise
    >>> print(f"{pushforward_law(Gaussian.standard(1), elementwise('exp')).entropy.value:.6f}")
    1.418939
    """
    return Embedded(law, image) if image.raises else Image(law, image)


def _require_radii(radii: Float[np.ndarray, " m"] | list[float]) -> Float[np.ndarray, " m"]:
    r = np.array(radii, dtype=float)
    if r.ndim != 1 or not r.size or not ((r > 0) & np.isfinite(r)).all():
        raise LawError(f"radii: expected finite numbers > 0, got {radii}")
    return r
