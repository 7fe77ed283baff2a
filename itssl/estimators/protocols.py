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
