"""The dimension of the support: from ratios of neighbor distances, and from the directions between neighbors."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, refuse_constant_columns, stream
from itssl.choices import require_count, require_known
from itssl.estimate import Bias, Estimate, EstimateWarning, Reference
from itssl.estimators.diagnosis import distinct_rows, linear_support, small_sample_warnings
from itssl.estimators.error_bars import subsampling_standard_error
from itssl.estimators.standardization import canonical_order, normal_scores, standardized
from itssl.kernels.linalg import whitening
from itssl.kernels.neighbors import neighbors

_ALIGNMENT_ROWS = 1000
_ALIGNMENT_LEAST_ROWS = 25
_ALIGNMENT_COLUMNS = 20
_SMALLEST_COORDINATE = 1e-100  # squares of differences of anything smaller would underflow
_SMALLEST_EIGENVALUE = 1e-10  # directions thinner than rounding of scores are not blown up further

_REFERENCES = {
    "mle": Reference(
        authors="Levina & Bickel", title="Maximum likelihood estimation of intrinsic dimension", year=2004,
        where="Advances in Neural Information Processing Systems 17",
    ),
    "two_nn": Reference(
        authors="Facco, d'Errico, Rodriguez & Laio", year=2017,
        title="Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
        where="Scientific Reports 7, 12140",
    ),
}  # fmt: skip


def intrinsic_dimension(x: SamplesLike, *, method: Literal["mle", "two_nn"] = "mle", k: int = 10) -> Estimate:
    r"""Dimension of the support of the rows of x, shape (n, d), from ratios of neighbor distances T_1 ≤ … ≤ T_k.

    Where the density is constant over a neighborhood, the log(T_k/T_j), j < k, of one row are independent and
    exponential with rate equal to the dimension, up to their order. So, with N the number of terms,

    - ``"mle"``: (N − 1) / Σ_i Σ_{j<k} log(T_k/T_j), N = n(k − 1): maximum likelihood [1], averaged over the rows as
      inverses [2];
    - ``"two_nn"``: the same with k = 2 (``k`` is then not used), which asks least of the density [3]. There a line is
      fitted to the distribution of T_2/T_1 without its largest tenth; this is the maximum likelihood of the same law.

    Columns are divided by their standard deviation, which changes units but no dimension; copies of a row are
    left out (warning ``ties``). N − 1 makes it unbiased for independent terms and constant density. Both
    underestimate in high dimensions, where no neighborhood is small. Measured on N(0, I) at n = 1000 (300):

    ======  ============  =============  =============  =============
    d       2             5              10             20
    ======  ============  =============  =============  =============
    mle     2.03 (2.04)   5.01 (4.89)    9.11 (8.58)    15.3 (14.0)
    two_nn  2.00 (2.02)   5.08 (5.07)    9.62 (9.26)    16.6 (15.7)
    ======  ============  =============  =============  =============

    The standard error is by subsampling; that of independent terms, value/√N, is 0.69 to 0.95 of the spread. Rows on
    a grid are no independent draws: 200 evenly spaced numbers have 1.36. Warnings: ``ties``, ``no_error_bar``.

    Raises SampleError for constant columns, fewer than k + 2 different rows and inadmissible samples,
    UnknownNameError for another method, ParameterError for k < 2.

    References
    ----------
    [1] Levina & Bickel (2004). Maximum likelihood estimation of intrinsic dimension. NeurIPS 17.
    [2] MacKay & Ghahramani (2005). Comments on "Maximum likelihood estimation of intrinsic dimension". Technical note.
    [3] Facco, d'Errico, Rodriguez & Laio (2017). Estimating the intrinsic dimension of datasets by a minimal
        neighborhood information. Sci. Rep. 7, 12140.

    >>> angle = np.random.default_rng(0).uniform(0, 6, size=1000)
    >>> intrinsic_dimension(np.c_[np.cos(angle), np.sin(angle), angle**2], method="two_nn").units
    'dimensions'
    >>> print(f"{intrinsic_dimension(np.c_[np.cos(angle), np.sin(angle), angle**2]).value:.1f}")
    1.0
    """
    require_known("method", method, list(_REFERENCES))
    k = require_count("k", k, minimum=2)
    x = as_samples(x)
    refuse_constant_columns(x)
    used = 2 if method == "two_nn" else k
    z = standardized(x)
    z = distinct_rows(np.where(np.abs(z) < _SMALLEST_COORDINATE, 0.0, z))
    if len(z) < used + 2:
        raise SampleError(
            f"x: expected at least k + 2 = {used + 2} different rows, got {len(z)}; draw more or use a smaller k"
        )
    value = _dimension(z, used)
    error, freedom = subsampling_standard_error(
        lambda rows: _dimension(z[rows], used), canonical_order(z), smallest_block=2 * used + 2
    )
    copies = len(x) - len(z)
    warnings = () if not copies else (
        EstimateWarning(
            code="ties", message=f"{copies} of {len(x)} rows of x repeat another row and were left out",
            cure="see why rows repeat: copies, or a law with atoms, whose dimension is not that of its other rows",
        ),
    )  # fmt: skip
    return Estimate(
        value=value, standard_error=error, degrees_of_freedom=freedom, n=len(z), bias=Bias.UNKNOWN, units="dimensions",
        method="TwoNN" if method == "two_nn" else f"Levina-Bickel(k={k})", reference=_REFERENCES[method],
        warnings=warnings + small_sample_warnings(error, value, len(z)), diagnostics={"columns": x.shape[1]},
    )  # fmt: skip


class Alignment(NamedTuple):
    """How far neighbors lie along few directions, over ``columns`` directions and ``rows`` rows; see below."""

    ratio: float
    columns: int
    rows: int

    @property
    def dimension(self) -> float:
        """The dimension that would show this alignment, columns / ratio."""
        return self.columns / self.ratio


def neighbor_alignment(x: Samples) -> Alignment:
    r"""Whether differences between near rows point in all directions: 1 for a density, columns/m on m dimensions.

    ratio = r ⟨cos²(a − b, c − e)⟩ over disjoint pairs among a row and its 4 nearest neighbors, in r columns. Where
    there is a density, small neighborhoods are isotropic up to a linear map, and ⟨cos²⟩ = 1/r; on a manifold of m
    dimensions the differences lie in its tangent space, and ⟨cos²⟩ ≥ 1/m. Unlike ratios of distances this needs no
    reference law: for N(0, I) it is 0.8 (r = 20, few rows) to 1.0 (r = 2).

    To see the support and not the law on it, columns are first replaced by their normal scores (smooth maps,
    column by column, keep dimensions and remove heavy tails), then whitened by the pooled covariance within
    neighborhoods. Before that constant columns are left out, and linearly dependent ones replaced by fewer that are not
    (:func:`~itssl.estimators.diagnosis.linear_support`). Only the leading min(rank, rows/5, 20) principal components of
    at most 1,000 different rows are looked at: a projection of a density is a density. Columns whose scores depend
    linearly (one is a monotone function of another) count as missing directions. nan with fewer than 2 columns or 25
    different rows.

    What is thinner than the distances between neighbors is taken for thin. Curved supports whose dimension is near r
    are not seen: a tanh layer from 5 to 8 dimensions has 1.10 at n = 1000.

    >>> rng = np.random.default_rng(0)
    >>> curve = rng.normal(size=(500, 1))
    >>> print(f"{neighbor_alignment(rng.normal(size=(500, 2))).ratio:.1f}")
    1.0
    >>> print(f"{neighbor_alignment(np.c_[curve, curve**3]).ratio:.1f}")
    2.0
    """
    z = _varying(x)
    z = distinct_rows(z) if z.shape[1] > 1 else z
    if len(z) < _ALIGNMENT_LEAST_ROWS or z.shape[1] < 2:
        return Alignment(float("nan"), z.shape[1], len(z))
    chosen = stream(0, "alignment", len(z)).permutation(len(z))[:_ALIGNMENT_ROWS]
    z = _varying(z[canonical_order(z)[chosen]])
    support = linear_support(z)
    rank = support.rank
    if rank < 2:
        return Alignment(float("nan"), rank, len(z))
    white, free = whitening(normal_scores(z if rank == z.shape[1] else support.basis))
    columns = min(free, len(z) // 5, _ALIGNMENT_COLUMNS)
    white = distinct_rows(white[:, :columns])
    if len(white) < _ALIGNMENT_LEAST_ROWS:
        return Alignment(float("nan"), columns, len(white))
    ratio = _alignment(_whitened_within_neighborhoods(white)) if columns > 1 else 1.0
    missing = min(rank, columns + rank - free)  # of the directions looked at, those that the scores have lost included
    return Alignment(ratio * missing / columns, missing, len(z))


def low_dimension_warnings(
    x: Samples, *, name: str = "x", found: Alignment | None = None
) -> tuple[EstimateWarning, ...]:
    """Code ``low_dimensional_support``: :func:`neighbor_alignment` above 1.3 + 3.2/√rows.

    3.2/√n is 4 to 11 standard deviations on Gaussian draws; 0.3 allows for mixtures whose components are stretched in
    different directions. Its false alarms and its power are measured in tests/estimators/test_intrinsic_dimension.py.
    ``found`` is the alignment where it is known already.

    >>> t = np.random.default_rng(0).normal(size=(500, 1))
    >>> low_dimension_warnings(np.hstack([t, t**2, t**3]))[0].code
    'low_dimensional_support'
    """
    found = neighbor_alignment(x) if found is None else found
    if not found.ratio > 1.3 + 3.2 / np.sqrt(found.rows):
        return ()
    return (
        EstimateWarning(
            code="low_dimensional_support",
            message=f"{name} looks thinner than its {x.shape[1]} columns: neighbors differ along about "
            f"{found.dimension:.1f} of {found.columns} directions (alignment {found.ratio:.2f}, 1 for a law with a "
            "density); on a curved support of lower dimension differential entropy is -inf",
            cure=f"see intrinsic_dimension({name}), use HausdorffEntropy, or add the noise that your question implies",
        ),
    )


def _varying(x: Samples) -> Samples:
    return x[:, np.ptp(x, axis=0) > 0]


def _dimension(z: Samples, k: int) -> float:
    distances = neighbors(z, k, "euclidean")[0]
    terms = np.log(distances[:, -1:] / distances[:, :-1])
    total = float(terms.sum())
    return (terms.size - 1) / total if total > 0 else float("inf")


def _neighborhoods(z: Samples) -> Float[np.ndarray, "n 5 r"]:
    """Each row with its 4 nearest neighbors."""
    return np.concatenate([z[:, None], z[neighbors(z, 4, "euclidean")[1]]], axis=1)


def _whitened_within_neighborhoods(z: Samples) -> Samples:
    """z mapped so that the covariance within neighborhoods, each of unit size, is a multiple of I on average."""
    groups = _neighborhoods(z)
    groups = groups - groups.mean(axis=1, keepdims=True)
    groups /= np.sqrt((groups**2).sum(axis=(1, 2), keepdims=True))
    values, axes = np.linalg.eigh(np.einsum("nki,nkj->ij", groups, groups))
    return z @ (axes / np.sqrt(np.maximum(values, _SMALLEST_EIGENVALUE * values[-1])))


def _alignment(z: Samples) -> float:
    """r times the mean squared cosine between disjoint differences of a row and its neighbors."""
    groups = _neighborhoods(z)
    cosines = []
    for left in range(5):
        a, b, c, e = (groups[:, j] for j in range(5) if j != left)
        for u, v in ((a - b, c - e), (a - c, b - e), (a - e, b - c)):
            u, v = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (u, v))
            cosines.append((u * v).sum(axis=1) ** 2)
    return z.shape[1] * float(np.mean(cosines))
