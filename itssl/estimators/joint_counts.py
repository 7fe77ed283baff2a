"""The neighbor counts of KSG on a sample and on the blocks of its partitions, with one joint search where it pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int

from itssl.arrays import Samples
from itssl.estimators.error_bars import BLOCKS, values_alone
from itssl.estimators.neighbor_extrapolation import Rows
from itssl.kernels.block_neighbors import block_numbers, first_of_block, list_length, listed_counts, nearest_within
from itssl.kernels.neighbor_counts import marginal_counts
from itssl.kernels.neighbors import Metric, neighbors

Counts: TypeAlias = tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]

_LEAST_ROWS = 1000
_MOST_BYTES = 2**30  # of lists
_BYTES = 24  # of one entry


@dataclass(frozen=True, eq=False)
class JointCounts:
    """:func:`itssl.kernels.neighbor_counts.marginal_counts` of parts of the rows of x and y.

    Called with ``[slice(None)]`` it counts among all rows, called with the blocks of a partition within each. Chebyshev
    neighbors within blocks are read off one list where that is cheaper (``shared``). The counts are the same, except
    that those of variant 2 hang on which of several rows that are equally far is called the k-th.

    >>> x = np.random.default_rng(0).normal(size=(4000, 2))
    >>> counts = JointCounts(x, x[:, :1], 4, "chebyshev", 1)
    >>> [int(n_x.max()) for n_x, _ in counts([np.arange(2000), np.arange(2000, 4000)])]
    [3, 3]
    """

    x: Samples
    y: Samples
    k: int
    metric: Metric
    variant: Literal[1, 2]

    def __call__(self, parts: Sequence[Rows], /) -> list[Counts]:
        if not self.shared:
            return [marginal_counts(self.x[rows], self.y[rows], self.k, self.metric, self.variant) for rows in parts]
        if len(parts) == 1 and isinstance(parts[0], slice):
            everything = np.arange(len(self.x))[parts[0]]
            return listed_counts(self.x, self.y, self._listed[:, : self.k], self.variant, [everything])
        block = block_numbers(parts, len(self.x))
        places, short = first_of_block(self._listed, block, self.k)
        nearest = np.take_along_axis(self._listed, places, axis=1)
        for number, rows in enumerate(parts):
            again = short[block[short] == number]
            if again.size:
                nearest[again] = nearest_within(self._joint, again, rows, self.k, "chebyshev")[1]
        return listed_counts(self.x, self.y, nearest, self.variant, parts)

    @cached_property
    def length(self) -> int:
        """How many joint neighbors the list of a row holds where lists are shared."""
        return list_length(len(self.x), BLOCKS, self.k)

    @cached_property
    def shared(self) -> bool:
        """Whether neighbors within blocks are read off lists of neighbors in the whole sample."""
        n = len(self.x)
        few = n < _LEAST_ROWS or 8 * self.length > n
        chebyshev = self.metric == "chebyshev" or self.x.shape[1] == self.y.shape[1] == 1
        return chebyshev and not few and not values_alone() and _BYTES * n * self.length <= _MOST_BYTES

    @cached_property
    def _joint(self) -> Samples:
        return np.hstack([self.x, self.y])

    @cached_property
    def _listed(self) -> Int[np.ndarray, "n K"]:
        return neighbors(self._joint, self.length, "chebyshev")[1]
