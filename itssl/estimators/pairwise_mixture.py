"""Entropy of a Gaussian mixture between two bounds from pairwise distances (Kolchinsky & Tracey)."""

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
from itssl.choices import require_known, require_positive
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.diagnosis import CEILING_ZONE, pair_warnings, sample_warnings
from itssl.kernels.linalg import LOG_2PI
from itssl.kernels.pairwise import kernel_sums


class EntropyBounds(NamedTuple):
    """A lower and an upper bound in nats."""

    lower: Any
    upper: Any


@dataclass(frozen=True)
class PairwiseMixture:
    """Bounds on the entropy of the mixture (1/n) Σ N(x_i, var·I) whose centers are the rows of x [1].

    ``bound="upper"`` uses the Kullback–Leibler divergence of the components, ``bound="lower"`` Bhattacharyya's:
    h ≷ (d/2) log(2πe var) − (1/n) Σ_i log (1/n) Σ_j e^{−D_ij}. Both lie at most log n above one component's entropy.

    What is bounded is the entropy of the *noisy empirical* mixture, h(Z + N(0, var I)) with Z uniform on the rows;
    it is no bound on the entropy of deterministic Z. Over draws of the rows the lower bound stays a lower bound of
    h(X + N(0, var I)), the upper one need not. Standard errors are for that sampling (infinitesimal jackknife).

    References
    ----------
    [1] Kolchinsky & Tracey (2017). Estimating mixture entropy with pairwise distances. Entropy 19(7), 361.

    >>> x = np.array([[0.0], [100.0]])
    >>> low, high = (PairwiseMixture(var=1.0, bound=b).entropy(x).value for b in ("lower", "upper"))
    >>> print(f"{low:.4f} {high:.4f} {0.5 * np.log(2 * np.pi * np.e) + np.log(2):.4f}")
    2.1121 2.1121 2.1121
    """

    var: float
    bound: Literal["lower", "upper"] = "lower"

    REFERENCE = Reference(
        authors="Kolchinsky & Tracey", title="Estimating mixture entropy with pairwise distances", year=2017,
        where="Entropy 19(7), 361",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "var", require_positive("var", self.var))
        require_known("bound", self.bound, ["lower", "upper"])

    def entropy(self, x: SamplesLike, /) -> Estimate:
        """The chosen bound for centers x, shape (n, d). Raises SampleError for inadmissible or constant columns."""
        x = as_samples(x)
        refuse_constant_columns(x)
        terms = _bound_terms(x, self.var)
        value, influence = terms.lower if self.bound == "lower" else terms.upper
        excess = value - x.shape[1] / 2 * (LOG_2PI + 1 + np.log(self.var))
        warnings = _saturation_warnings(excess, len(x)) + sample_warnings(x)
        return self._estimate(value, influence, warnings)

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """Bound on I(X̃; Ỹ) of the noisy empirical mixture over pairs, noise var in every coordinate of both blocks.

        "lower" is h_lower(x) + h_lower(y) − h_upper(x, y), "upper" the reverse, so the direction is certain for
        that mixture. Warns ``ceiling`` near log n. Raises SampleError for inadmissible samples or constant columns.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        h_x, h_y, h_xy = (_bound_terms(z, self.var) for z in (x, y, np.hstack([x, y])))
        a, b, c = (h_x.lower, h_y.lower, h_xy.upper) if self.bound == "lower" else (h_x.upper, h_y.upper, h_xy.lower)
        value = a[0] + b[0] - c[0]
        warnings = _saturation_warnings(value, len(x)) + pair_warnings(x, y)
        return self._estimate(value, a[1] + b[1] - c[1], warnings)

    def _estimate(self, value: float, influence: np.ndarray, warnings: tuple) -> Estimate:
        n = len(influence)
        return Estimate(
            value=value, standard_error=influence.std(ddof=1) / np.sqrt(n), n=n,
            bias=Bias.LOWER if self.bound == "lower" else Bias.UPPER,
            method=f"{self!r} of the noisy empirical mixture", reference=self.REFERENCE,
            warnings=warnings, diagnostics={"var": self.var},
        )  # fmt: skip


def pairwise_entropy_bounds(z: Float[Any, "n d"], *, var: float) -> EntropyBounds:
    """Lower (Bhattacharyya) and upper (KL) bound on h of (1/n) Σ N(z_i, var·I), numpy or torch, with gradients.

    Same formula as :class:`PairwiseMixture`. Memory is O(n·d) plus a tile, also for the gradient (tiles are
    recomputed). Raises SampleError for inadmissible z, ParameterError unless var > 0.

    >>> bounds = pairwise_entropy_bounds(np.array([[0.0], [1.0]]), var=1.0)
    >>> print(f"{bounds.lower:.4f} <= h <= {bounds.upper:.4f}")
    1.4795 <= h <= 1.6380
    """
    require_positive("var", var)
    xp, z = as_matrix(z)
    n, d = z.shape
    component = d / 2 * (LOG_2PI + 1 + float(np.log(var)))
    if xp is np:
        lower, upper = (component - np.log(s / n).mean() for s in kernel_sums(np.asarray(z, dtype=float), var))
        return EntropyBounds(z.dtype.type(lower), z.dtype.type(upper))
    log_sums = _torch_log_sums(z, var)
    return EntropyBounds(component - log_sums[0] / n, component - log_sums[1] / n)


def _saturation_warnings(excess: float, n: int) -> tuple[EstimateWarning, ...]:
    """Code ``ceiling``: the rows' kernels hardly overlap, so the value is about log n whatever the law is."""
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
    """Value and centered influence of each row, for either bound."""

    lower: tuple[float, Float[np.ndarray, " n"]]
    upper: tuple[float, Float[np.ndarray, " n"]]


def _bound_terms(z: Samples, var: float) -> _BoundTerms:
    r"""Both bounds and, for their sampling error, the influence of row m: −log(S_m/n) − Σ_i K_im/S_i, centered."""
    n, d = z.shape
    component = d / 2 * (LOG_2PI + 1 + float(np.log(var)))
    sums = kernel_sums(z, var)
    shares = kernel_sums(z, var, 1 / np.stack(sums, axis=1))
    terms = []
    for s, share in zip(sums, shares, strict=True):
        influence = -np.log(s / n) - share
        terms.append((component - float(np.log(s / n).mean()), influence - influence.mean()))
    return _BoundTerms(*terms)


def _torch_log_sums(z: Any, var: float, *, tile: int = 512) -> Any:
    """(Σ_i log (1/n) Σ_j B_ij, Σ_i log (1/n) Σ_j B_ij⁴) with tiles of rows recomputed in the backward pass."""
    import torch
    from torch.utils.checkpoint import checkpoint

    n = len(z)
    scaled = (z - z.mean(0)) / (8 * var) ** 0.5
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
