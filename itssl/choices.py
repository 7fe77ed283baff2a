"""Names and numbers a user chooses: what is not on offer is refused with what is."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real


class UnknownNameError(ValueError):
    """A name that is not on offer; the message lists those that are."""


class ParameterError(ValueError):
    """A configuration value outside its range; the message names it, what arrived and what fits.

    >>> try:
    ...     require_positive("sigma", -1.0)
    ... except ParameterError as error:
    ...     print(error)
    sigma: expected a finite number > 0, got -1.0
    """


def require_known(argument: str, value: object, known: Iterable[str | int]) -> None:
    """Raise UnknownNameError unless value is one of the known names.

    >>> require_known("metric", "euclid", ["euclidean", "chebyshev"])
    Traceback (most recent call last):
    ...
    itssl.choices.UnknownNameError: metric: expected one of 'euclidean', 'chebyshev', got 'euclid'; \
did you mean 'euclidean'?
    """
    names = list(known)
    if not any(value == name and type(value) is type(name) for name in names):
        close = get_close_matches(str(value), map(str, names), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(f"{argument}: expected one of {', '.join(map(repr, names))}, got {value!r}{hint}")


def require_count(argument: str, value: object, *, minimum: int = 1) -> int:
    """value as an int; ParameterError unless it is an integer (numpy's too) of at least ``minimum``.

    >>> require_count("k", 0)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: k: expected an integer >= 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ParameterError(f"{argument}: expected an integer >= {minimum}, got {value!r}")
    return int(value)


def require_nonnegative(argument: str, value: object) -> float:
    """value as a float; ParameterError unless it is a finite real number (numpy's too) of at least zero.

    >>> require_nonnegative("eps", -1.0)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: eps: expected a finite number >= 0, got -1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < float("inf"):
        raise ParameterError(f"{argument}: expected a finite number >= 0, got {value!r}")
    return float(value)


def require_positive(argument: str, value: object) -> float:
    """value as a float; ParameterError unless it is a finite real number (numpy's too) above zero.

    >>> require_positive("var", -1.0)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: var: expected a finite number > 0, got -1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise ParameterError(f"{argument}: expected a finite number > 0, got {value!r}")
    return float(value)
