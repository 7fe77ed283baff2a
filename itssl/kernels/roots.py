"""A root of a function of one number between two ends of different sign."""

from collections.abc import Callable
from typing import Any


def root_between(function: Callable[[float], float], low: float, high: float, *, xtol: float = 2e-12) -> float:
    """Brent's method; raises ValueError where both ends have one sign.

    >>> round(root_between(lambda v: v**2 - 2, 0.0, 2.0), 6)
    1.414214
    """
    from scipy.optimize import brentq

    found: Any = brentq(function, low, high, xtol=xtol)
    return float(found)
