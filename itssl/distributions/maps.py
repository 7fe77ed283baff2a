"""Injective maps with known volume change: they make data hard without changing what is known about them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples
from itssl.choices import require_known
from itssl.distributions.gaussian import LawError
from itssl.kernels.linalg import LOG_2PI

Elementwise = Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]


def half_cube(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """x·√|x| = sign(x)|x|^{3/2}, elementwise: stretches tails, squeezes the center [1].

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> half_cube(np.array([-4.0, 0.0, 9.0]))
    array([-8.,  0., 27.])
    """
    return x * np.sqrt(np.abs(x))


def asinh(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """log(x + √(1 + x²)), elementwise: shortens heavy tails to logarithms.

    >>> asinh(np.array([0.0, 1e6])).round(2)
    array([ 0.  , 14.51])
    """
    return np.arcsinh(x)


def normal_cdf(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Φ(x), the standard normal distribution function, elementwise: makes N(0, 1) uniform on (0, 1).

    In float64 it is injective for x below about 5 only in part: neighbors merge where 1 − Φ(x) nears 1e-16.

    >>> normal_cdf(np.array([0.0, 1.96])).round(3)
    array([0.5  , 0.975])
    """
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def spiral(
    x: Float[np.ndarray, "n d"],
    speed: float = 1.0,
    plane: tuple[int, int] = (0, 1),
    *,
    generator: Float[np.ndarray, "d d"] | None = None,
) -> Float[np.ndarray, "n d"]:
    """exp(speed·‖x‖²·A) x with A skew-symmetric: each shell is turned by its own angle, volumes are kept [1].

    A turns the first axis of ``plane`` toward the second, unless a ``generator`` is given. The Jacobian
    determinant is 1 + 2·speed·xᵀAx = 1, so entropy does not change; the inverse is the spiral of −speed.
    Raises LawError when d < 2, the plane is not two axes of R^d, or the generator is not skew.

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2023). Beyond Normal: On the Evaluation of Mutual Information
        Estimators. NeurIPS.

    >>> spiral(np.array([[1.0, 0.0]]), np.pi / 2).round(12)
    array([[0., 1.]])
    """
    d = x.shape[1]
    skew = _plane_generator(d, plane) if generator is None else np.asarray(generator, dtype=float)
    if skew.shape != (d, d) or not np.array_equal(skew, -skew.T):
        raise LawError(f"generator: expected a skew-symmetric ({d}, {d}) matrix; use S - S.T")
    rates, axes = np.linalg.eigh(1j * skew)  # i·A is Hermitian: exp(tA) = U exp(−itΛ) U*
    angles = speed * np.einsum("ni,ni->n", x, x)[:, None] * rates
    return ((x @ axes.conj()) * np.exp(-1j * angles) @ axes.T).real


def _plane_generator(d: int, plane: tuple[int, int]) -> Float[np.ndarray, "d d"]:
    """The generator that turns axis i toward axis j."""
    i, j = plane
    if i == j or not (0 <= i < d and 0 <= j < d):
        raise LawError(f"plane: expected two different axes of R^{d}, got {plane}; a spiral needs d >= 2")
    skew = np.zeros((d, d))
    skew[j, i], skew[i, j] = 1.0, -1.0
    return skew


def swiss_roll(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d+1"]:
    """Rolls the first coordinate up into a plane: (u, v...) ↦ (t cos t, t sin t, v...) with t = 3π(1 + 2u)/2.

    Injective from [0, 1] × R^{d−1} into R^{d+1}, for the radius t grows with u. On a line: (n, 1) → (n, 2).
    Raises SampleError when the first coordinate leaves [0, 1].

    >>> swiss_roll(np.array([[0.0], [0.5]])).round(3)
    array([[-0.   , -4.712],
           [-9.425,  0.   ]])
    """
    u = x[:, 0]
    if not ((u >= 0) & (u <= 1)).all():
        raise SampleError(
            f"x: expected a first coordinate in [0, 1], got {u.min():.3g} to {u.max():.3g}; apply normal_cdf first"
        )
    t = _roll_angle(u)
    return np.column_stack([t * np.cos(t), t * np.sin(t), x[:, 1:]])


def _roll_angle(u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 1.5 * np.pi * (1 + 2 * u)


@dataclass(frozen=True, eq=False)
class Map:
    r"""An injective map T of R^d into R^{d + raises} with its inverse and the logarithm of its volume change.

    ``log_volume_change(x)`` is :math:`\tfrac12\log\det J_T(x)^\top J_T(x)` for each row, which is log|det J_T(x)|
    when no dimension is added; then ``inverse`` is NaN at points that are no image. ``dim`` is d, or None where the
    map fits every dimension; ``constant_volume`` says that the volume change does not depend on x, ``separable``
    that T acts on each coordinate by itself, in one and the same way.

    >>> elementwise("exp").log_volume_change(np.array([[1.0, 2.0]]))
    array([3.])
    """

    name: str
    forward: Callable[[Samples], Samples]
    inverse: Callable[[Samples], Samples]
    log_volume_change: Callable[[Samples], Float[np.ndarray, " n"]]
    dim: int | None = None
    raises: int = 0
    constant_volume: bool = False
    separable: bool = False

    def __call__(self, x: Samples) -> Samples:
        """T(x) for each row. Raises LawError when x is not in the dimension of the map."""
        if self.dim not in (None, x.shape[1]):
            raise LawError(f"x: expected {self.dim} coordinates as {self.name} takes, got {x.shape[1]}")
        return self.forward(x)

    def then(self, after: "Map") -> "Map":
        """The map x ↦ after(self(x)); log volume changes add up, where no dimension is added in between.

        Raises LawError when ``self`` adds dimensions and ``after`` does not keep all volumes equally: the volume
        of an m-dimensional piece is then not known from the two numbers.

        >>> elementwise("cube").then(elementwise("cube_root")).log_volume_change(np.array([[7.0]])).round(12) + 0.0
        array([0.])
        """
        if self.raises:
            raise LawError(f"after: {self.name} adds dimensions, so it must come last; got {after.name} after it")
        return Map(
            f"{self.name}, {after.name}",
            lambda x: after(self(x)),
            lambda y: self.inverse(after.inverse(y)),
            lambda x: self.log_volume_change(x) + after.log_volume_change(self(x)),
            dim=after.dim if self.dim is None else self.dim,
            raises=after.raises,
            constant_volume=self.constant_volume and after.constant_volume,
            separable=self.separable and after.separable,
        )

    def __repr__(self) -> str:
        return f"Map({self.name})"


def _log_cosh(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return np.logaddexp(x, -x) - np.log(2)


def _logistic(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    from scipy.special import expit

    return np.asarray(expit(x))


def _ndtri(y: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    from scipy.special import ndtri

    return np.asarray(ndtri(y))


# name: (f, inverse of f, log f'), all elementwise; inverses are NaN outside the range of f
_ELEMENTWISE: dict[str, tuple[Elementwise, Elementwise, Elementwise]] = {
    "exp": (np.exp, np.log, lambda x: x),
    "asinh": (asinh, np.sinh, lambda x: -np.log(np.hypot(1, x))),
    "sinh": (np.sinh, np.arcsinh, _log_cosh),
    "tanh": (np.tanh, np.arctanh, lambda x: -2 * _log_cosh(x)),
    "logistic": (_logistic, lambda y: np.log(y) - np.log1p(-y), lambda x: -np.logaddexp(0, x) - np.logaddexp(0, -x)),
    "normal_cdf": (normal_cdf, _ndtri, lambda x: -0.5 * (x**2 + LOG_2PI)),
    "cube": (lambda x: x**3, np.cbrt, lambda x: np.log(3) + 2 * np.log(np.abs(x))),
    "cube_root": (np.cbrt, lambda y: y**3, lambda x: -np.log(3) - 2 / 3 * np.log(np.abs(x))),
    "half_cube": (half_cube, lambda y: np.sign(y) * np.cbrt(y) ** 2, lambda x: np.log(1.5) + 0.5 * np.log(np.abs(x))),
}


def elementwise_names() -> tuple[str, ...]:
    """The names :func:`elementwise` knows.

    >>> "asinh" in elementwise_names()
    True
    """
    return tuple(_ELEMENTWISE)


def elementwise(name: str) -> Map:
    """The increasing function of that name applied to each coordinate; fits every dimension.

    Raises UnknownNameError for a name that is not on offer.

    >>> elementwise("half_cube")(np.array([[4.0, -1.0]]))
    array([[ 8., -1.]])
    """
    require_known("name", name, _ELEMENTWISE)
    function, inverse, log_slope = _ELEMENTWISE[name]

    def quiet_inverse(y: Samples) -> Samples:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # no image: NaN, at the edge: infinite
            return inverse(y)

    def log_volume_change(x: Samples) -> Float[np.ndarray, " n"]:
        with np.errstate(divide="ignore"):  # the slope of a cube at 0 is 0
            return log_slope(x).sum(axis=1)

    return Map(name, function, quiet_inverse, log_volume_change, separable=True)


def affine(matrix: Float[np.ndarray, "k d"], offset: Float[np.ndarray, " k"] | None = None) -> Map:
    """x ↦ Ax + b with A of shape (k, d), full column rank, k ≥ d; log volume change ½ log det AᵀA. LawError otherwise.

    >>> print(f"{affine(np.diag([2.0, 3.0])).log_volume_change(np.zeros((1, 2)))[0]:.4f}")
    1.7918
    """
    matrix = np.array(matrix, dtype=float)
    k, d = matrix.shape
    shift = np.zeros(k) if offset is None else np.array(offset, dtype=float)
    log_volume = _log_gram_volume(matrix)
    left_inverse = np.linalg.pinv(matrix)
    return Map(
        f"affine {k}×{d}",
        lambda x: x @ matrix.T + shift,
        lambda y: (y - shift) @ left_inverse.T,
        lambda x: np.full(len(x), log_volume),
        dim=d,
        raises=k - d,
        constant_volume=True,
    )


def _log_gram_volume(matrix: Float[np.ndarray, "k d"]) -> float:
    """½ log det AᵀA by the triangular factor of A; LawError unless A has full column rank."""
    k, d = matrix.shape
    if k < d or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < d:
        raise LawError(f"matrix: expected {d} independent columns, got shape ({k}, {d}) of lower rank; not injective")
    return float(np.log(np.abs(np.diagonal(np.linalg.qr(matrix, mode="r")))).sum())


def spiral_map(
    d: int, speed: float = 1.0, plane: tuple[int, int] = (0, 1), *, generator: Float[np.ndarray, "d d"] | None = None
) -> Map:
    """:func:`spiral` of rows (n, d), x ↦ exp(speed·‖x‖²·A)x with its inverse; keeps every volume.

    >>> turn = spiral_map(3, 0.7)
    >>> np.allclose(turn.inverse(turn(np.ones((1, 3)))), 1)
    True
    """
    spiral(np.zeros((1, d)), speed, plane, generator=generator)  # refuses what is no plane and no generator
    return Map(
        f"spiral of speed {speed:g}",
        lambda x: spiral(x, speed, plane, generator=generator),
        lambda y: spiral(y, -speed, plane, generator=generator),
        lambda x: np.zeros(len(x)),
        dim=d,
        constant_volume=True,
    )


def additive_coupling(d: int, shift: Callable[[Samples], Samples], *, kept: int | None = None) -> Map:
    """(u, v) ↦ (u, v + shift(u)) with u the first ``kept`` coordinates (half of them unless given) [1].

    Rows have shape (n, d). Keeps every volume whatever ``shift`` is, for the Jacobian is triangular with ones on its
    diagonal. Raises LawError unless 1 ≤ kept < d.

    References
    ----------
    [1] Dinh, Krueger & Bengio (2015). NICE: Non-linear Independent Components Estimation. ICLR workshop.

    >>> additive_coupling(2, np.square)(np.array([[3.0, 1.0]]))
    array([[ 3., 10.]])
    """
    m = d // 2 if kept is None else kept
    if not 1 <= m < d:
        raise LawError(f"kept: expected between 1 and d - 1 = {d - 1} coordinates, got {m}")
    return Map(
        f"additive coupling, d={d}",
        lambda x: np.hstack([x[:, :m], x[:, m:] + shift(x[:, :m])]),
        lambda y: np.hstack([y[:, :m], y[:, m:] - shift(y[:, :m])]),
        lambda x: np.zeros(len(x)),
        dim=d,
        constant_volume=True,
    )


def leaky_relu_layer(
    matrix: Float[np.ndarray, "d d"], offset: Float[np.ndarray, " d"] | None = None, *, slope: float = 0.1
) -> Map:
    """x ↦ leaky_relu(Ax + b), A of shape (d, d) and invertible: continuous, piecewise affine, injective.

    Log volume change log|det A| + (number of negative pre-activations)·log slope, constant on each region.
    Raises LawError when A is singular or slope ≤ 0 (then it would not be injective).

    >>> layer = leaky_relu_layer(np.eye(2), slope=0.5)
    >>> layer.log_volume_change(np.array([[1.0, -1.0]])).round(4)
    array([-0.6931])
    """
    inner = affine(matrix, offset)
    if inner.raises or not slope > 0:
        raise LawError(f"matrix, slope: expected a square matrix and a slope > 0, got {np.shape(matrix)} and {slope}")
    kink = Map(
        f"leaky ReLU of slope {slope:g}",
        lambda x: np.where(x < 0, slope * x, x),
        lambda y: np.where(y < 0, y / slope, y),
        lambda x: (x < 0).sum(axis=1) * float(np.log(slope)),
    )
    return inner.then(kink)


def swiss_roll_map(d: int = 1) -> Map:
    """:func:`swiss_roll` on [0, 1] × R^{d−1}; a length du of the line becomes 3π√(1 + t²) du on the roll.

    >>> swiss_roll_map().log_volume_change(np.array([[0.0]])).round(4)
    array([3.8156])
    """

    def inverse(y: Samples) -> Samples:
        u = (np.hypot(y[:, 0], y[:, 1]) / (1.5 * np.pi) - 1) / 2
        return np.column_stack([u, y[:, 2:]])

    return Map(
        "Swiss roll",
        swiss_roll,
        inverse,
        lambda x: np.log(3 * np.pi * np.hypot(1, _roll_angle(x[:, 0]))),
        dim=d,
        raises=1,
    )
