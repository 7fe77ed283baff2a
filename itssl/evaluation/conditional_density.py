"""Conditional densities q(z|z') of one view given the other: normalized, with few parameters, fitted in closed form."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples
from itssl.distributions.von_mises_fisher import VonMisesFisher
from itssl.kernels.linalg import LOG_2PI, singular_threshold
from itssl.kernels.pairwise import log_kernel_sums

Family: TypeAlias = Literal["isotropic", "diagonal", "full", "vmf"]
FAMILIES: tuple[Family, ...] = get_args(Family)
_FLATTEST, _STEEPEST = -7.0, 35.0  # of log κ
_ROWS_FOR_WIDTH = 256
_WIDTHS = (-2.0, 6.0)  # of log width, relative to the likeliest


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionalDensity:
    """log q(z|z') = ``log_peak`` − ½‖(z − z'B − c) W‖², a density of z for every z'.

    Gaussian, or von Mises–Fisher on the unit sphere relative to its area: there κ(zᵀz' − 1) = −κ‖z − z'‖²/2. W is a
    number, one number a coordinate, or a matrix; B (``slope``) None for the identity, c = ``offset``.
    """

    text: str
    log_peak: float
    whitener: Float[np.ndarray, "..."]
    slope: Float[np.ndarray, "d d"] | None = None
    offset: Float[np.ndarray, " d"] | float = 0.0
    on_sphere: bool = False

    def residual(self, z: Samples, z_pair: Samples) -> Samples:
        """(z − z'B − c) W, row by row."""
        return self._white(z - self._center(z_pair))

    def log_density(self, z: Samples, z_pair: Samples, *, noise_var: float = 0.0) -> Float[np.ndarray, " n"]:
        """E log q(z_i + noise|z'_i) over noise N(0, noise_var·I), in closed form: −½ noise_var tr W Wᵀ in all.

        >>> q = isotropic(1.0, d=2)
        >>> q.log_density(np.zeros((1, 2)), np.zeros((1, 2)), noise_var=1.0) + np.log(2 * np.pi)
        array([-1.])
        """
        spread = np.square(self.residual(z, z_pair)).sum(axis=1)
        d = z.shape[1]
        trace = float(np.square(self.whitener).sum()) * (d if self.whitener.ndim == 0 else 1)
        return self.log_peak - 0.5 * (spread + noise_var * trace)

    def log_aggregate(self, z: Samples, z_pair: Samples) -> Float[np.ndarray, " n"]:
        """log (1/n) Σ_j q(z_i|z'_j) for each row z_i.

        >>> z = np.array([[0.0], [9.0]])
        >>> print(np.exp(isotropic(1.0, d=1).log_aggregate(z, z)) * 2 * np.sqrt(2 * np.pi))
        [1. 1.]
        """
        log_sums = log_kernel_sums(self._white(z), self._white(self._center(z_pair)), np.zeros(len(z)))
        return self.log_peak + log_sums - float(np.log(len(z)))

    def shares(self, z: Samples, z_pair: Samples) -> Float[np.ndarray, " n"]:
        """Σ_i q(z_i|z'_j)/Σ_k q(z_i|z'_k) for each candidate z'_j: the weight it has in all aggregates together.

        >>> z = np.array([[0.0], [9.0]])
        >>> isotropic(1.0, d=1).shares(z, z)
        array([1., 1.])
        """
        log_sums = self.log_aggregate(z, z_pair) - self.log_peak + float(np.log(len(z)))
        return np.exp(log_kernel_sums(self._white(self._center(z_pair)), self._white(z), -log_sums))

    def _center(self, z_pair: Samples) -> Samples:
        return (z_pair if self.slope is None else z_pair @ self.slope) + self.offset

    def _white(self, z: Samples) -> Samples:
        return z * self.whitener if self.whitener.ndim < 2 else z @ self.whitener


def isotropic(std: float, *, d: int) -> ConditionalDensity:
    """N(z; z', σ²I) in d dimensions.

    >>> print(f"{isotropic(1.0, d=1).log_peak:.4f}")
    -0.9189
    """
    return ConditionalDensity(
        text=f"N(z; z', σ²I), σ = {std:.4g}", log_peak=-d * (LOG_2PI / 2 + float(np.log(std))),
        whitener=np.asarray(1 / std),
    )  # fmt: skip


def von_mises_fisher(concentration: float, *, d: int) -> ConditionalDensity:
    """exp(κ zᵀz')/Z on the unit sphere of R^d, relative to its area.

    >>> print(f"{von_mises_fisher(0.0, d=2).log_peak + np.log(2 * np.pi):.1f}")
    0.0
    """
    law = VonMisesFisher(np.eye(d)[0], concentration)
    return ConditionalDensity(
        text=f"von Mises–Fisher(z'), κ = {concentration:.4g}", log_peak=-law.log_normalizer,
        whitener=np.asarray(concentration**0.5), on_sphere=True,
    )  # fmt: skip


def fit(family: Family, z: Samples, z_pair: Samples, *, noise_var: float = 0.0) -> ConditionalDensity:
    r"""The q of the family that is most likely on the rows (z_i + noise, z'_i) with noise N(0, noise_var·I).

    - "isotropic": N(z', σ²I), σ² = mean ‖z − z'‖²/d + noise_var;
    - "diagonal": N(z', diag σ_j²), σ_j² = mean (z_j − z'_j)² + noise_var;
    - "full": N(Bz' + c, S) by least squares, S the residual covariance (divisor n − d − 1) + noise_var·I;
    - "vmf": the concentration κ with A(κ) = mean zᵀz'; rows on the unit sphere.

    Raises SampleError where the likelihood has no maximum: views that agree exactly, in a coordinate or direction, and
    for "full" at most 2d rows.

    >>> fit("isotropic", np.array([[0.0], [1.0]]), np.array([[2.0], [-1.0]])).text
    "N(z; z', σ²I), σ = 2"
    """
    d = z.shape[1]
    if family == "full":
        return _regression(z, z_pair, noise_var)
    if family == "vmf":
        return von_mises_fisher(_concentration(z, z_pair), d=d)
    squares = np.square(z - z_pair)
    var = np.atleast_1d(squares.mean() if family == "isotropic" else squares.mean(axis=0)) + noise_var
    if not var.min() > 0:
        where = "" if family == "isotropic" else f" in coordinate {int(np.argmin(var))}"
        raise SampleError(
            f"z_a and z_b: expected two different views, got equal rows{where}; what Z says of itself is infinite if "
            "it has a density. Draw two views, or state noise_std"
        )
    if family == "isotropic":
        return isotropic(float(np.sqrt(var[0])), d=d)
    std = np.sqrt(var)
    return ConditionalDensity(
        text=f"N(z; z', diag σ_j²), σ_j = {std.min():.4g} to {std.max():.4g}",
        log_peak=-d * LOG_2PI / 2 - float(np.log(std).sum()), whitener=1 / std,
    )  # fmt: skip


def widened_for_contrast(q: ConditionalDensity, z: Samples, z_pair: Samples) -> ConditionalDensity:
    r"""q of the width at which (1/n) Σ_i log [q(z_i|z'_i) / (1/n) Σ_j q(z_i|z'_j)] is largest on these rows.

    The likeliest width is best for E log q; for InfoNCE, where q also stands for the entropy, it is often far too
    narrow: many dimensions tell pairs apart at once, and few pairs that agree badly cost most. Of more than 256 rows
    evenly spaced ones are used.

    >>> z, z_pair = np.random.default_rng(0).normal(size=(2, 50, 1))
    >>> widened_for_contrast(isotropic(1.0, d=1), z, z_pair).text
    "N(z; z', σ²I), σ = 1, widened 402-fold for InfoNCE"
    """
    from scipy.optimize import minimize_scalar

    d, every = z.shape[1], -(-len(z) // _ROWS_FOR_WIDTH)
    z, z_pair = z[::every], z_pair[::every]

    def of_width(log_width: float) -> ConditionalDensity:
        width = float(np.exp(log_width))
        if q.on_sphere:
            return von_mises_fisher(float(q.whitener / width) ** 2, d=d)
        return replace(
            q, log_peak=q.log_peak - d * log_width, whitener=np.asarray(q.whitener / width),
            text=f"{q.text}, widened {width:.3g}-fold for InfoNCE",
        )  # fmt: skip

    def loss(log_width: float) -> float:
        density = of_width(log_width)
        return float((density.log_aggregate(z, z_pair) - density.log_density(z, z_pair)).mean())

    found: Any = minimize_scalar(loss, bounds=_WIDTHS, method="bounded", options={"xatol": 1e-2})
    return of_width(float(found.x))


def _regression(z: Samples, z_pair: Samples, noise_var: float) -> ConditionalDensity:
    n, d = z.shape
    if n <= 2 * d:
        raise SampleError(
            f"z_a and z_b: expected more than 2d = {2 * d} rows to fit a regression and its residual covariance, got "
            f'{n} for the fit; use more rows, fewer dimensions or q="diagonal"'
        )
    middle = z_pair.mean(axis=0)
    slope, *_ = np.linalg.lstsq(z_pair - middle, z - z.mean(axis=0), rcond=None)
    offset = z.mean(axis=0) - middle @ slope
    rest = z - z_pair @ slope - offset
    if not noise_var and _rounded_away(rest, z):
        raise SampleError(
            "z_a and z_b: expected residuals with a density, got a direction of z_a that is a linear function of z_b "
            "or of its rest; information or entropy is infinite. Draw two views, or state noise_std"
        )
    cov = rest.T @ rest / (n - d - 1) + noise_var * np.eye(d)
    factor = np.linalg.cholesky(cov)
    log_det = 2 * float(np.log(np.diagonal(factor)).sum())
    return ConditionalDensity(
        text="N(z; Bz' + c, S), regression of z on z'", log_peak=-0.5 * (d * LOG_2PI + log_det),
        whitener=np.linalg.inv(factor).T, slope=slope, offset=offset,
    )  # fmt: skip


def _rounded_away(rest: Samples, z: Samples) -> bool:
    """Whether a direction of the residuals, in units of the columns of z, is below the rounding of z."""
    values = np.linalg.svd(rest / z.std(axis=0), compute_uv=False)
    return bool(values[-1] <= 8 * singular_threshold(*z.shape) * np.sqrt(len(z)))


def _concentration(z: Samples, z_pair: Samples) -> float:
    """Maximum of the mean of −κ‖z − z'‖²/2 − (log Z(κ) − κ); 0 where pairs point to opposite sides on average."""
    from scipy.optimize import minimize_scalar

    loss = float(np.square(z - z_pair).sum(axis=1).mean()) / 2
    if loss >= 1:
        return 0.0
    axis = np.eye(z.shape[1])[0]

    def negative(log_kappa: float) -> float:
        kappa = float(np.exp(log_kappa))
        return kappa * loss + VonMisesFisher(axis, kappa).log_normalizer

    found: Any = minimize_scalar(negative, bounds=(_FLATTEST, _STEEPEST), method="bounded", options={"xatol": 1e-9})
    if found.x > _STEEPEST - 1:
        raise SampleError(
            "z_a and z_b: expected two different views, got equal directions; what Z says of itself is infinite if it "
            "has a density. Draw two views, or pass temperature"
        )
    return float(np.exp(found.x))
