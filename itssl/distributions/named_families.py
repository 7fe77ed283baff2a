"""Catalogues: things of several families by name, each built when it is first asked for; printed, they are tables."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from itssl.choices import UnknownNameError, require_known
from itssl.markup import require_pandas, table

T = TypeVar("T")


class Catalogue(Mapping[str, T], Generic[T]):
    """Things by name; read-only. Each is built when first asked for, and kept.

    ``[name]`` raises the catalogue's own error (a KeyError and a ValueError) with the nearest name. Printed, and in a
    notebook, it is a table with the given columns.

    Parameters
    ----------
    builders: by family and name, what makes each thing.
    noun: what one of them is called; ``listing`` is the call that gives the whole catalogue.
    error: what an unknown name raises.
    finish: gives what was built its name and family, which it takes as second and third argument.
    columns: title of each column of the table, and its text for one thing.

    >>> squares = Catalogue(
    ...     {"odd": {"one": lambda: 1, "three": lambda: 9}}, noun="square", listing="squares()", error=UnknownNameError,
    ...     finish=lambda built, name, family: built, columns={"value": str},
    ... )
    >>> squares, squares["three"], squares.families
    (Catalogue(2 squares: odd), 9, ('odd',))
    """

    def __init__(
        self,
        builders: Mapping[str, Mapping[str, Callable[[], T]]],
        *,
        noun: str,
        listing: str,
        error: type[UnknownNameError],
        finish: Callable[[T, str, str], T],
        columns: Mapping[str, Callable[[T], str]],
    ) -> None:
        self._builders = {name: (family, build) for family, part in builders.items() for name, build in part.items()}
        if len(self._builders) != sum(len(part) for part in builders.values()):
            raise ValueError("builders: expected every name once, got one in two families")
        self._noun, self._listing, self._error, self._finish, self._columns = noun, listing, error, finish, columns
        self._built: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._builders:
            close = get_close_matches(str(name), self._builders, n=1)  # instead of a hundred names
            hint = f" did you mean {close[0]!r}?" if close else ""
            raise self._error(
                f"{self._noun}: expected a name in the catalogue, got {name!r};{hint} "
                f"list({self._listing}) has all names"
            )
        if name not in self._built:
            family, build = self._builders[name]
            self._built[name] = self._finish(build(), name, family)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)

    def __contains__(self, name: object) -> bool:
        return name in self._builders  # without building it

    @property
    def families(self) -> tuple[str, ...]:
        """The names of the families, each once."""
        return tuple(dict.fromkeys(family for family, _ in self._builders.values()))

    def family(self, name: str) -> "Catalogue[T]":
        """The part of one family; raises UnknownNameError for a family that is not on offer."""
        require_known("family", name, self.families)
        part = Catalogue(
            {name: {key: build for key, (family, build) in self._builders.items() if family == name}},
            noun=self._noun, listing=self._listing, error=self._error, finish=self._finish, columns=self._columns,
        )  # fmt: skip
        part._built = self._built  # each thing once, whichever way it is reached
        return part

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield tuple(self._columns)
        for thing in self.values():
            yield tuple(text(thing) for text in self._columns.values())

    def to_pandas(self) -> Any:
        """The table as a DataFrame, as text. ImportError without pandas."""
        head, *body = self._rows()
        return require_pandas().DataFrame(body, columns=list(head))

    def __str__(self) -> str:
        rows = list(self._rows())
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} {self._noun}s: {', '.join(self.families)})"

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        return table(head, body)
