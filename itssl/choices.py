"""Names and numbers a user chooses: what is not on offer is refused with what is."""

from collections.abc import Iterable
from difflib import get_close_matches


class UnknownNameError(ValueError):
    """A name that is not on offer; the message lists those that are."""


class ParameterError(ValueError):
    """A configuration value outside its range; the message names it, what arrived and what fits."""


def require_known(argument: str, value: object, known: Iterable[str | int]) -> None:
    """Raise UnknownNameError unless value is one of the known names.

    >>> require_known("metric", "euclid", ["euclidean", "chebyshev"])
    Traceback (most recent call last):
    ...
    itssl.choices.UnknownNameError: metric: expected one of 'euclidean', 'chebyshev', got 'euclid'; \
did you mean 'euclidean'?
    """
    names = list(known)
    if value not in names:
        close = get_close_matches(str(value), map(str, names), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(f"{argument}: expected one of {', '.join(map(repr, names))}, got {value!r}{hint}")


def require_count(argument: str, value: object, *, minimum: int = 1) -> None:
    """Raise ParameterError unless value is an integer of at least ``minimum``.

    >>> require_count("k", 0)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: k: expected an integer >= 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ParameterError(f"{argument}: expected an integer >= {minimum}, got {value!r}")


def require_positive(argument: str, value: object) -> None:
    """Raise ParameterError unless value is a finite number above zero.

    >>> require_positive("var", -1.0)
    Traceback (most recent call last):
    ...
    itssl.choices.ParameterError: var: expected a finite number > 0, got -1.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ParameterError(f"{argument}: expected a finite number > 0, got {value!r}")
