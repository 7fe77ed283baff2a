"""Entries measured in turn, round by round, and what their times say: medians, ratios, exponents."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np

Entry = TypeVar("Entry")
ROUNDS, MOST = 5, 25
SHORT = 0.5
"""Seconds below which an entry is called once before it counts, and more than five times."""


def alternated(
    entries: Sequence[Entry],
    call: Callable[[Entry], dict[str, Any]],
    patience: float,
    rounds: int = ROUNDS,
    once: Collection[Entry] = (),
) -> dict[Entry, list[dict[str, Any]]]:
    """What each entry answered: A B C, A B C, …; answers with ``seconds`` go on, any other ends the entry.

    ``patience`` is the number of seconds that the calls of one entry may take; an entry that would take more is called
    as often as fits, at least once, in the first rounds. Short ones are called more than five times, those of ``once``
    only in the first round.
    """
    kept: dict[Entry, list[dict[str, Any]]] = {entry: [] for entry in entries}
    wanted = {}
    for entry in entries:
        answer = call(entry)
        if answer.get("seconds", SHORT) < SHORT:
            answer = call(entry)  # caches and pages are warm now
        kept[entry].append(answer)
        repeats = "seconds" in answer and entry not in once
        wanted[entry] = calls(answer["seconds"], patience, rounds) if repeats else 1
    for turn in range(1, max(wanted.values(), default=0)):
        for entry in entries:
            if turn < wanted[entry] and "seconds" in kept[entry][-1]:
                kept[entry].append(call(entry))
    return kept


def calls(seconds: float, patience: float, rounds: int = ROUNDS) -> int:
    """How often an entry is called that takes so long.

    >>> [calls(seconds, 100.0) for seconds in (1e-4, 0.1, 1.0, 30.0, 200.0)]
    [25, 10, 5, 3, 1]
    """
    if rounds < ROUNDS:  # a quick run
        return rounds
    often = int(min(MOST, max(ROUNDS, 1 / max(seconds, 1e-9))))
    return max(1, min(often, int(patience / max(seconds, 1e-9))))


def times(answers: Sequence[dict[str, Any]]) -> list[float]:
    """The seconds of the calls that were made."""
    return [answer["seconds"] for answer in answers if "seconds" in answer]


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """The median over rounds of the ratio within a round; only rounds with both count.

    A machine that slows down for a while slows both sides of a round.

    >>> ratio([4.0, 8.0, 4.0], [1.0, 2.0])
    4.0
    """
    both = min(len(numerator), len(denominator))
    return float(np.median(np.divide(numerator[:both], denominator[:both]))) if both else float("nan")


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """b of cost ≈ a·size^b, by least squares on logarithms.

    >>> round(exponent([1e3, 1e4, 1e5], [2e-3, 2e-1, 2e1]), 6)
    2.0
    """
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)
