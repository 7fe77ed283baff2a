"""Nearest-neighbor entropies of a sample and of the blocks of its partitions, from one search where that is cheaper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import Samples
from itssl.estimators.error_bars import BLOCKS, values_alone
from itssl.estimators.neighbor_extrapolation import Rows, neighbor_entropies
from itssl.kernels.block_neighbors import block_numbers, first_of_block, list_length, nearest_within, order_of
from itssl.kernels.neighbors import Norm, neighbors

LogVolumes: TypeAlias = Callable[[Rows, Float[np.ndarray, "m k"]], Float[np.ndarray, "m k"]]
"""log-volumes of the balls of these radii around these rows; they grow with the radius."""

_LEAST_ROWS, _LEAST_COLUMNS = 1000, 3  # with fewer both ways take about as long, and lists take memory
_MOST_BYTES = 2**28  # of lists
_BYTES = 24  # of one entry


@dataclass(frozen=True, eq=False)
class BallEntropies:
    """ĥ_1 … ĥ_k of parts of x (:func:`itssl.estimators.neighbor_extrapolation.neighbor_entropies`).

    Called with ``[slice(None)]`` it answers for all rows. Called with the blocks of a partition it searches in each of
    them or, where that is cheaper (``shared``), reads their neighbors off lists made once. Rows whose list ends too
    early are looked for again: both ways give the same numbers up to rounding.

    >>> x = np.random.default_rng(0).normal(size=(4000, 2))
    >>> entropies = BallEntropies(x, 4, "euclidean", lambda rows, radius: np.log(np.pi * radius**2))
    >>> print(entropies([slice(None)])[0].round(2), entropies([np.arange(2000), np.arange(2000, 4000)])[1].round(2))
    [2.85 2.85 2.84 2.85] [2.85 2.85 2.85 2.85]
    """

    x: Samples
    k: int
    norm: Norm
    log_volumes: LogVolumes

    def __call__(self, parts: Sequence[Rows], /) -> list[Float[np.ndarray, " k"]]:
        if len(parts) == 1 and isinstance(parts[0], slice):
            return [neighbor_entropies(self._lists[0][parts[0], : self.k])]
        if not self.shared:
            return [neighbor_entropies(self._searched(rows)) for rows in parts]
        found = self._read(block_numbers(parts, len(self.x)), parts)
        return [neighbor_entropies(found[rows]) for rows in parts]

    @cached_property
    def length(self) -> int:
        """How many neighbors the lists of the whole sample hold where they are shared."""
        return list_length(len(self.x), BLOCKS, self.k)

    @cached_property
    def shared(self) -> bool:
        """Whether blocks are read off lists: from a thousand rows on, as long as lists are short and fit."""
        n, d = self.x.shape
        few = n < _LEAST_ROWS or d < _LEAST_COLUMNS or 8 * self.length > n
        return not (few or values_alone() or order_of(self.norm) not in (1.0, 2.0, np.inf)) and (
            _BYTES * n * self.length <= _MOST_BYTES
        )

    @cached_property
    def _lists(self) -> tuple[Float[np.ndarray, "n K"], Int[np.ndarray, "n K"]]:
        distances, found = neighbors(self.x, self.length if self.shared else self.k, self.norm)
        with np.errstate(divide="ignore"):
            return self.log_volumes(slice(None), distances), found

    def _searched(self, rows: Rows) -> Float[np.ndarray, "m k"]:
        distances = neighbors(self.x[rows], self.k, self.norm)[0]
        with np.errstate(divide="ignore"):
            return self.log_volumes(rows, distances)

    def _read(self, block: Int[np.ndarray, " n"], parts: Sequence[Rows]) -> Float[np.ndarray, "n k"]:
        log_volumes, found = self._lists
        places, short = first_of_block(found, block, self.k)
        nearest = np.take_along_axis(log_volumes, places, axis=1)
        for number, rows in enumerate(parts):
            again = short[block[short] == number]
            if again.size:
                distances = nearest_within(self.x, again, rows, self.k, self.norm)[0]
                with np.errstate(divide="ignore"):
                    nearest[again] = self.log_volumes(again, distances)
        return nearest
