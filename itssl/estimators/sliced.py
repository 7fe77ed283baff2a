"""Sliced mutual information: the average information between random low-dimensional projections."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError, Samples, SamplesLike, as_paired_samples, refuse_constant_columns, stream
from itssl.choices import ParameterError, require_count
from itssl.estimate import Bias, Estimate, Reference
from itssl.estimators.diagnosis import joint_support_warnings, small_sample_warnings, tie_warnings
from itssl.estimators.error_bars import subsampling_standard_error, value_only
from itssl.estimators.nearest_neighbors import KSG
from itssl.estimators.standardization import canonical_order, in_units_of_its_own

_PARTITIONS = 2


@dataclass(frozen=True)
class Sliced:
    r"""k-sliced mutual information SI_k(X; Y) = E I(AᵀX; BᵀY), A and B uniform with k orthonormal columns [1, 2].

    ``dimension`` is that k. Zero exactly for independent variables, at most I(X; Y) by data processing, and *another
    quantity* than I: report it under its own name. It is estimated at a rate that does not fall with the dimension of X
    and Y, as the mean of ``estimator`` over ``slices`` pairs of random projections. It is not invariant under
    linear maps other than rotations and a common factor. Raises ParameterError for numbers out of range and an
    ``estimator`` without ``mutual_information``.

    References
    ----------
    [1] Goldfeld & Greenewald (2021). Sliced mutual information: a scalable measure of statistical dependence. NeurIPS.
    [2] Goldfeld, Greenewald, Nuradha & Reeves (2022). k-Sliced mutual information: a quantitative study of scalability
        with dimension. NeurIPS.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 10))
    >>> found = Sliced(slices=16).mutual_information(x, x + rng.normal(size=(500, 10)))
    >>> print(f"{found.value:.2f}")  # of I = 10/2 log 2 = 3.47
    0.02
    """

    dimension: int = 1
    slices: int = 64
    estimator: Any = field(default_factory=KSG)
    seed: int = 0

    REFERENCE = Reference(
        authors="Goldfeld & Greenewald", year=2021, where="NeurIPS",
        title="Sliced mutual information: a scalable measure of statistical dependence",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, minimum in (("dimension", 1), ("slices", 2), ("seed", 0)):
            object.__setattr__(self, name, require_count(name, getattr(self, name), minimum=minimum))
        if not hasattr(self.estimator, "mutual_information") or isinstance(self.estimator, type):
            raise ParameterError(f"estimator: expected one with .mutual_information, got {self.estimator!r}; try KSG()")

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate:
        """The sliced information of x, shape (n, d_x), and y, shape (n, d_y), in nats.

        The standard error adds the spread over slices to that of subsampling (with the same slices); the two parts are
        in the diagnostics. The bias is that of the inner estimator as an estimate of SI_k; as an estimate of I(X; Y)
        the target is too low. Raises SampleError when ``dimension`` exceeds d_x or d_y, for constant columns,
        inadmissible samples and where the inner estimator refuses.
        """
        x, y = as_paired_samples(x, y)
        refuse_constant_columns(x)
        refuse_constant_columns(y, name="y")
        for name, z in (("x", x), ("y", y)):
            if z.shape[1] < self.dimension:
                raise SampleError(
                    f"{name}: expected at least dimension = {self.dimension} columns, got {z.shape[1]}; use a smaller "
                    "dimension"
                )
        first, second = _by_role(in_units_of_its_own(x)[0], in_units_of_its_own(y)[0])
        projections = [self._projections(i, first.shape[1], second.shape[1]) for i in range(self.slices)]

        def informations(rows: np.ndarray | slice) -> Float[np.ndarray, " slices"]:
            with value_only():
                return np.array(
                    [self.estimator.mutual_information(first[rows] @ a, second[rows] @ b).value for a, b in projections]
                )

        values = informations(slice(None))
        of_slices = float(values.std(ddof=1) / np.sqrt(self.slices))
        smallest = max(20, 4 * getattr(self.estimator, "k", 1))
        of_rows, freedom = subsampling_standard_error(
            lambda rows: float(informations(rows).mean()),
            canonical_order(x, y),
            smallest_block=smallest,
            partitions=_PARTITIONS,
        )
        return Estimate(
            value=float(values.mean()), standard_error=float(np.hypot(of_slices, of_rows)), degrees_of_freedom=freedom,
            n=len(x), bias=Bias.UNKNOWN, method=f"{self!r}, sliced information", reference=self.REFERENCE,
            warnings=tie_warnings(x) + tie_warnings(y, name="y") + joint_support_warnings(x, y)
            + small_sample_warnings(of_rows, float(values.mean()), len(x)),
            diagnostics={"standard_error_slices": of_slices, "standard_error_rows": of_rows},
        )  # fmt: skip

    def _projections(self, index: int, *dims: int) -> list[Float[np.ndarray, "_ k"]]:
        """One pair of matrices with orthonormal columns, independent and uniform."""
        rng = stream(self.seed, "slice", index)
        return [uniform_frame(d, self.dimension, rng) for d in dims]


def uniform_frame(d: int, k: int, rng: np.random.Generator) -> Float[np.ndarray, "d k"]:
    """k orthonormal columns in R^d, uniform over all such frames: the Q of a Gaussian matrix, signs by R's diagonal.

    >>> frame = uniform_frame(5, 2, np.random.default_rng(0))
    >>> np.allclose(frame.T @ frame, np.eye(2))
    True
    """
    q, r = np.linalg.qr(rng.standard_normal((d, k)))
    return q * np.sign(np.diagonal(r))


def _by_role(x: Samples, y: Samples) -> tuple[Samples, Samples]:
    """The two blocks in an order that is the same when they are swapped: by dimension, then by fourth moment."""
    return (x, y) if (x.shape[1], (x**4).sum()) <= (y.shape[1], (y**4).sum()) else (y, x)
