"""What an estimator offers. Structural: no base class, frozen configuration, no fit."""

from typing import Protocol, runtime_checkable

from itssl.arrays import SamplesLike
from itssl.estimate import Estimate


@runtime_checkable
class EntropyEstimator(Protocol):
    """Anything with ``entropy(x) -> Estimate``."""

    def entropy(self, x: SamplesLike, /) -> Estimate: ...


@runtime_checkable
class MutualInformationEstimator(Protocol):
    """Anything with ``mutual_information(x, y) -> Estimate``."""

    def mutual_information(self, x: SamplesLike, y: SamplesLike, /) -> Estimate: ...


@runtime_checkable
class DivergenceEstimator(Protocol):
    """Anything with ``kl_divergence(x, y) -> Estimate``, for samples x of P and y of Q (rows not paired)."""

    def kl_divergence(self, x: SamplesLike, y: SamplesLike, /) -> Estimate: ...


@runtime_checkable
class ConditionalMutualInformationEstimator(Protocol):
    """Anything with ``conditional_mutual_information(x, y, z) -> Estimate``: I(X; Y | Z)."""

    def conditional_mutual_information(self, x: SamplesLike, y: SamplesLike, z: SamplesLike, /) -> Estimate: ...
