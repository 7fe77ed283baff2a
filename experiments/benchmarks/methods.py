"""A method is a way to do a workload's work: itssl's, another package's, a textbook form, or a floor."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.benchmarks.workloads import Cell

Call = Callable[[], Any]
Prepare = Callable[[Cell, dict[str, np.ndarray], int], Call]


@dataclass(frozen=True)
class Method:
    """``prepare(cell, data, threads)`` gives the call that is timed; it returns a number or several to compare.

    ``kind`` is that of the workload; ``serial`` means that it uses one thread however many there are; ``refuses(cell)``
    says why it is not asked to do a cell, or nothing, ``once(cell)`` that it takes so long that it is called once, on
    one thread; ``convention`` names what it computes with where that is not
    the cell's.
    """

    name: str
    kind: str
    prepare: Prepare
    needs: tuple[str, ...] = ()
    serial: bool = False
    refuses: Callable[[Cell], str] = lambda cell: ""
    once: Callable[[Cell], bool] = lambda cell: False
    convention: str = ""

    def missing(self) -> str:
        """Why it cannot be used here, or nothing."""
        for module in self.needs:
            try:
                importlib.import_module(module)
            except Exception as error:  # a broken package may fail in any way; the table says how
                return f"{module}: {type(error).__name__}: {error}".splitlines()[0][:200]
        return ""


class Register(list[Method]):
    """Methods in the order they are written, each added by a decorator."""

    def add(self, name: str, kind: str, **options: Any) -> Callable[[Prepare], Prepare]:
        def added(prepare: Prepare) -> Prepare:
            self.append(Method(name, kind, prepare, **options))
            return prepare

        return added


def neighbor_formula(radii: np.ndarray, k: int, d: int, log_ball: float) -> float:
    """ψ(n) − ψ(k) + log c_d + d ⟨log ρ⟩ in float64."""
    from scipy.special import digamma

    return float(digamma(len(radii)) - digamma(k) + log_ball + d * np.log(radii.astype(float)).mean())


def euclidean_log_ball(d: int) -> float:
    """log c_d = (d/2) log π − log Γ(1 + d/2).

    >>> round(euclidean_log_ball(2), 4)
    1.1447
    """
    from scipy.special import gammaln

    return float(d / 2 * np.log(np.pi) - gammaln(1 + d / 2))


K = 4
"""Neighbors, everywhere."""
