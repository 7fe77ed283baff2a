"""One progress bar for all that may take long: it appears after five seconds, and what runs inside it has none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

DELAY = 5.0
"""Seconds before anything is shown."""


class Bar:
    """Counts the steps of something; made by :func:`progress_bar`.

    Before ``DELAY`` seconds it is a counter and no more: no line, and in Jupyter no widget, of which even hidden ones
    take 5 ms and are kept in the notebook. Inside another bar it is a note of that one.
    """

    def __init__(self, what: str, total: int | None, unit: str, *, shown: bool, outer: "Bar | None") -> None:
        self._what, self._total, self._unit, self._shown, self._outer = what, total, unit, shown, outer
        self._done, self._note, self._started = 0, "", time.time()
        self._drawn: Any = None

    def update(self, steps: int = 1, note: str = "") -> None:
        """Count ``steps`` more; ``note`` stands behind the bar."""
        self._done, self._note = self._done + steps, note
        self._draw()

    def _draw(self, inside: str = "") -> None:
        if self._outer is not None:
            of = f"/{self._total}" if self._total is not None else ""
            self._outer._draw(inside or f"{self._what} {self._done}{of}")
            return
        if not self._shown or time.time() - self._started < DELAY:
            return
        if self._drawn is None:
            self._drawn = _tqdm(total=self._total, initial=self._done, desc=self._what, unit=self._unit)
            self._drawn.initial, self._drawn.start_t = 0, self._started  # the steps so far took their time
        self._drawn.set_postfix_str(", ".join(filter(None, (self._note, inside))), refresh=False)
        self._drawn.update(self._done - self._drawn.n)

    def _close(self) -> None:
        if self._drawn is not None:
            self._drawn.close()


_outermost: ContextVar[Bar | None] = ContextVar("outermost bar", default=None)


@contextmanager
def progress_bar(what: str, total: int | None = None, *, unit: str = "step", shown: bool = True) -> Iterator[Bar]:
    """A bar of ``total`` steps (None: not known) on stderr, or a widget in Jupyter, on anything over 5 seconds.

    ``update`` of the bar counts, and ends of steps are when it is drawn. Nothing remains of it at the end. Where
    ``shown`` is False, neither it nor what runs inside shows anything.

    >>> with progress_bar("rows", 3) as bar:  # nothing is seen of what is so short
    ...     for _ in range(3):
    ...         bar.update()
    """
    outer = _outermost.get()
    bar = Bar(what, total, unit, shown=shown, outer=outer)
    token = _outermost.set(bar) if outer is None else None
    try:
        yield bar
    finally:
        if token is not None:
            _outermost.reset(token)
        bar._close()


@contextmanager
def no_progress() -> Iterator[None]:
    """Inside, nothing is shown: for other processes, whose bars would be written over each other.

    >>> with no_progress(), progress_bar("rows", 3) as bar:
    ...     bar.update(3)
    """
    with progress_bar("", shown=False):
        yield


def _tqdm(**options: Any) -> Any:
    from tqdm.auto import tqdm

    # any call may redraw, ten times a second: a step inside is news although none here has ended; so rates are means
    return tqdm(miniters=0, smoothing=0, leave=False, **options)
