"""Entropy of a Gaussian mixture around the rows, between two bounds from pairwise distances (Kolchinsky & Tracey)."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import (
    Samples,
    SamplesLike,
    as_matrix,
    as_paired_samples,
    as_samples,
    refuse_constant_columns,
)
from itssl.choices import require_known
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.diagnosis import CEILING_ZONE, pair_warnings, sample_warnings
from itssl.estimators.noise import (
    NoiseCovariance,
    NoiseLike,
    as_noise_covariance,
    noise_block,
    noise_whitener,
    require_noise_fits,
    whitened,
)
from itssl.kernels.linalg import LOG_2PI
from itssl.kernels.pairwise import kernel_sums


class EntropyBounds(NamedTuple):
    """A lower and an upper bound in nats."""

    lower: Any
    upper: Any


@dataclass(frozen=True)
class PairwiseMixture:
    r"""Bounds on the entropy of the mixture (1/n) Σ N(x_i, Σ) whose centers are the rows of x [1].

    ``var`` states Σ: a number (Σ = var·I), one variance for each coordinate, or a covariance matrix.
    ``bound="upper"`` uses the Kullback–Leibler divergence of the components, ``bound="lower"`` Bhattacharyya's:
    h ≷ ½ log|2πeΣ| − (1/n) Σ_i log (1/n) Σ_j e^{−D_ij}. Both lie at most log n above one component's entropy.
    Every Chernoff divergence C_α gives a lower bound; here C_α = α(1−α)/2 · δᵢⱼᵀΣ⁻¹δᵢⱼ for all pairs, largest
    at α = ½, so Bhattacharyya's is the best of them (components of unequal width: ``kolchinsky_tracey_bounds``).

    What is bounded is the entropy of the *noisy empirical* mixture, h(Z + N(0, Σ)) with Z uniform on the rows;
    it is no bound on the entropy of deterministic Z. Over draws of the rows the lower bound stays a lower bound of
    h(X + N(0, Σ)), the upper one need not. Standard errors are for that sampling (infinitesimal jackknife).
    ``var`` is in squared units of x: values keep under x·a only with var·a² (entropy then shifts by d log a).
    Raises ParameterError for a var that is no covariance, UnknownNameError for another bound.

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), 361.

    >>> x = np.array([[0.0], [100.0]])
    >>> low, high = (PairwiseMixture(var=1.0, bound=b).entropy(x).value for b in ("lower", "upper"))
    >>> print(f"{low:.4f} {high:.4f} {0.5 * np.log(2 * np.pi * np.e) + np.log(2):.4f}")
    2.1121 2.1121 2.1121
    """

    var: NoiseLike
    bound: Literal["lower", "upper"] = "lower"

    REFERENCE = Reference(
        authors="Kolchinsky & Tracey", title="Estimating mixture entropy with pairwise distances", year=2017,
        where="Entropy 19(7), 361",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "var", as_noise_covariance(self.var))
        require_known("bound", self.bound, ["lower", "upper"])

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """The chosen bound for centers x, shape (n, d). Raises SampleError for inadmissible or constant columns."""
        bounds = self.entropy_bounds(x)
        return bounds.lower if self.bound == "lower" else bounds.upper

    def entropy_bounds(self, x: SamplesLike, /) -> EntropyBounds:
        """Both bounds, each an Estimate, from one pass over the pairs: together they enclose the mixture's entropy.

        Raises SampleError as :meth:`entropy`.

        >>> bounds = PairwiseMixture(var=1.0).entropy_bounds([[0.0], [1.0]])
        >>> print(f"{bounds.lower.value:.4f} <= h <= {bounds.upper.value:.4f}")
        1.4795 <= h <= 1.6380
        """
        x = as_samples(x)
        refuse_constant_columns(x)
        require_noise_fits(self.var, x.shape[1])
        terms, found = _bound_terms(x, self.var), sample_warnings(x)
        estimates = []
        for side, (value, influence) in (("lower", terms.lower), ("upper", terms.upper)):
            warnings = saturation_warnings(value - terms.component, len(x)) + found
            bias = Bias.LOWER if side == "lower" else Bias.UNKNOWN
            estimates.append(self._estimate(value, influence, side, warnings, bias))
        return EntropyBounds(*estimates)

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """Bound in nats on I(X̃; Ỹ) of the noisy empirical mixture over pairs x, (n, d_x), and y, (n, d_y).

        A number ``var`` is the noise of every coordinate of both blocks; a vector or matrix ``var`` describes the
        coordinates of x followed by those of y. "lower" is h_lower(x) + h_lower(y) − h_upper(x, y), "upper" the
        reverse, so the direction is certain for that mixture. It is not for the law of the rows, hence no stated
        direction: on few rows and little noise the three entropies are log n each, and so is the value, whatever the
        dependence. Not invariant under units of x or y unless var follows. Warns ``ceiling`` where any of the entropies
        is near log n. Raises SampleError for inadmissible samples, constant columns, or a var of another dimension.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        d_x, d = x.shape[1], x.shape[1] + y.shape[1]
        require_noise_fits(self.var, d, "x and y")
        h_x = _bound_terms(x, noise_block(self.var, slice(d_x)))
        h_y = _bound_terms(y, noise_block(self.var, slice(d_x, d)))
        h_xy = _bound_terms(np.hstack([x, y]), self.var)
        a, b, c = (h_x.lower, h_y.lower, h_xy.upper) if self.bound == "lower" else (h_x.upper, h_y.upper, h_xy.lower)
        value = a[0] + b[0] - c[0]
        excess = max(value, *(of.upper[0] - of.component for of in (h_x, h_y, h_xy)))
        warnings = saturation_warnings(excess, len(x)) + pair_warnings(x, y)
        return self._estimate(value, a[1] + b[1] - c[1], self.bound, warnings, Bias.UNKNOWN)

    def _estimate(self, value: float, influence: np.ndarray, side: str, warnings: tuple, bias: Bias) -> Estimate:
        n = len(influence)
        method = repr(PairwiseMixture(self.var, "lower" if side == "lower" else "upper"))
        return Estimate(
            value=value, standard_error=influence.std(ddof=1) / np.sqrt(n), n=n,
            bias=bias, method=f"{method} of the noisy empirical mixture", reference=self.REFERENCE,
            warnings=warnings, diagnostics={} if isinstance(self.var, tuple) else {"var": self.var},
        )  # fmt: skip


def pairwise_entropy_bounds(z: Float[Any, "n d"], *, var: NoiseLike) -> EntropyBounds:
    """Lower (Bhattacharyya) and upper (KL) bound on h of (1/n) Σ N(z_i, Σ), numpy or torch, with gradients in z.

    In nats, z of shape (n, d).
    Same formula and ``var`` (number, vector or matrix; a constant, without gradient) as :class:`PairwiseMixture`.
    Memory is O(n·d) plus a tile, also for the gradient (tiles are recomputed). Raises SampleError for inadmissible
    z, ParameterError unless var is positive.

    >>> bounds = pairwise_entropy_bounds(np.array([[0.0], [1.0]]), var=1.0)
    >>> print(f"{bounds.lower:.4f} <= h <= {bounds.upper:.4f}")
    1.4795 <= h <= 1.6380
    """
    noise = as_noise_covariance(var)
    xp, z = as_matrix(z)
    n, d = z.shape
    require_noise_fits(noise, d, "z")
    whitener, log_det = noise_whitener(noise, d)
    component = (d * (LOG_2PI + 1) + log_det) / 2
    if xp is np:
        rows, unit = _in_units_of_noise(np.asarray(z, dtype=float), noise)
        lower, upper = (component - np.log(s / n).mean() for s in kernel_sums(rows, unit))
        return EntropyBounds(z.dtype.type(lower), z.dtype.type(upper))
    import torch

    log_sums = _torch_log_sums(whitened(z - z.mean(0), torch.as_tensor(whitener, dtype=z.dtype, device=z.device)))
    return EntropyBounds(component - log_sums[0] / n, component - log_sums[1] / n)


def saturation_warnings(excess: float, n: int) -> tuple[EstimateWarning, ...]:
    """Code ``ceiling``: the rows' kernels hardly overlap, so the value is about log n whatever the law is.

    >>> saturation_warnings(0.3, 1000)
    ()
    """
    if excess < np.log(n) - CEILING_ZONE:
        return ()
    return (
        EstimateWarning(
            code="ceiling",
            message=f"the kernels of different rows hardly overlap: {excess:.3g} of at most log n = {np.log(n):.3g} "
            "nats, which counts the rows and says nothing of the law they came from",
            cure="use a larger var, more rows or fewer dimensions",
        ),
    )


class _BoundTerms(NamedTuple):
    """Entropy of one component; value and centered influence of each row, for either bound."""

    component: float
    lower: tuple[float, Float[np.ndarray, " n"]]
    upper: tuple[float, Float[np.ndarray, " n"]]


def _bound_terms(z: Samples, var: NoiseCovariance) -> _BoundTerms:
    r"""Both bounds and, for their sampling error, the influence of row m: −log(S_m/n) − Σ_i K_im/S_i, centered."""
    n, d = z.shape
    component = (d * (LOG_2PI + 1) + noise_whitener(var, d)[1]) / 2
    rows, unit = _in_units_of_noise(z, var)
    sums = kernel_sums(rows, unit)
    shares = kernel_sums(rows, unit, 1 / np.stack(sums, axis=1))
    terms = []
    for s, share in zip(sums, shares, strict=True):
        influence = -np.log(s / n) - share
        terms.append((component - float(np.log(s / n).mean()), influence - influence.mean()))
    return _BoundTerms(component, *terms)


def _in_units_of_noise(z: Samples, var: NoiseCovariance) -> tuple[Samples, float]:
    """Rows and a variance of the same pairs: z itself if the noise is a number, else z whitened by it."""
    if isinstance(var, float):
        return z, var
    # Centered first: an offset would round the differences.
    return whitened(z - z.mean(axis=0), noise_whitener(var, z.shape[1])[0]), 1.0


def _torch_log_sums(z: Any, *, tile: int = 512) -> Any:
    """(Σ_i log (1/n) Σ_j B_ij, Σ_i log (1/n) Σ_j B_ij⁴) with tiles of rows recomputed in the backward pass."""
    import torch
    from torch.utils.checkpoint import checkpoint

    n = len(z)
    scaled = (z - z.mean(0)) / 8**0.5
    square = (scaled**2).sum(1)
    largest = 80.0 if z.dtype != torch.float64 else 700.0  # beyond it exp would be subnormal: slow, and of no weight

    def rows(start: int) -> torch.Tensor:
        block = slice(start, start + tile)
        exponent = (square[block, None] + square - 2 * scaled[block] @ scaled.T).clamp(0, largest / 4)
        own = torch.arange(start, min(start + tile, n), device=z.device)
        exponent = exponent.index_put((own - start, own), torch.zeros((), dtype=z.dtype, device=z.device))
        kernel = torch.exp(-exponent)
        return torch.stack([(kernel.sum(1) / n).log().sum(), ((kernel**4).sum(1) / n).log().sum()])

    parts = [checkpoint(rows, start, use_reentrant=False) for start in range(0, n, tile)]
    return torch.stack(parts).sum(0)
