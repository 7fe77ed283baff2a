"""Answers as text and back: frozen dataclasses of itssl written as JSON, every float exactly as it was.

Reading makes nothing but itssl's own dataclasses, named tuples and enumerations, numbers, texts, tuples and mappings,
so that a file that somebody else wrote can at worst state wrong numbers.
"""

import dataclasses
import importlib
import json
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

_PACKAGE = __name__.partition(".")[0]


class RecordError(ValueError):
    """An object that cannot be written as a record, or a text that is no record."""


def to_text(answer: Any) -> str:
    """The answer as one line of JSON, from which :func:`from_text` makes an equal one.

    Raises RecordError for anything but dataclasses, named tuples and enumerations of itssl, None, booleans, numbers,
    texts, tuples, lists and mappings with texts as keys. Numbers of numpy become those of Python.

    >>> from itssl.estimate import Bias, Estimate
    >>> estimate = Estimate(value=0.1 + 0.2, standard_error=float("inf"), n=2, bias=Bias.LOWER, method="m")
    >>> from_text(to_text(estimate)) == estimate
    True
    """
    return json.dumps(_plain(answer), ensure_ascii=False)


def from_text(text: str) -> Any:
    """The answer that :func:`to_text` wrote. Raises RecordError for another text."""
    try:
        return _answer(json.loads(text))
    except RecordError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, RecursionError) as error:
        raise RecordError(f"text: expected a record written by to_text, got {text[:60]!r} ({error})") from error


def _plain(x: Any) -> Any:
    if isinstance(x, Enum):
        return {"enum": _name(type(x)), "member": x.name}
    if (names := _fields(type(x))) is not None:
        return {"type": _name(type(x)), "fields": {name: _plain(getattr(x, name)) for name in names}}
    if isinstance(x, Mapping):
        if not all(isinstance(key, str) for key in x):
            raise RecordError(f"answer: expected texts as keys, got {list(x)!r}")
        return {"mapping": {key: _plain(value) for key, value in x.items()}}
    if isinstance(x, tuple):
        return {"tuple": [_plain(item) for item in x]}
    if isinstance(x, list):
        return [_plain(item) for item in x]
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or type(x) in (bool, int, float, str):
        return x
    raise RecordError(f"answer: expected plain numbers, texts and dataclasses of itssl, got {type(x).__name__} {x!r}")


def _answer(x: Any) -> Any:
    if isinstance(x, list):
        return [_answer(item) for item in x]
    if not isinstance(x, dict):
        return x
    if "enum" in x:
        return _class(x["enum"])[x["member"]]
    if "type" in x:
        return _class(x["type"])(**{key: _answer(value) for key, value in x["fields"].items()})
    if "tuple" in x:
        return tuple(_answer(item) for item in x["tuple"])
    return {key: _answer(value) for key, value in x["mapping"].items()}


def _name(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    if module.partition(".")[0] != _PACKAGE or not name.isidentifier():
        raise RecordError(f"answer: expected classes of {_PACKAGE}, got {module}.{name}")
    return f"{module}:{name}"


def _fields(cls: type) -> tuple[str, ...] | None:
    """Names of the fields of a dataclass or named tuple; None for another class."""
    if dataclasses.is_dataclass(cls):
        return tuple(f.name for f in dataclasses.fields(cls))
    return getattr(cls, "_fields", None) if issubclass(cls, tuple) else None


@cache
def _class(name: str) -> Any:
    """The dataclass, named tuple or enumeration of this name, defined in the module that the name says."""
    module, _, short = name.partition(":")
    if module.partition(".")[0] == _PACKAGE:
        cls = getattr(importlib.import_module(module), short)
        known = isinstance(cls, type) and (issubclass(cls, Enum) or _fields(cls) is not None)
        if known and _name(cls) == name:
            return cls
    raise RecordError(f"text: expected a class of {_PACKAGE}, got {name!r}")
