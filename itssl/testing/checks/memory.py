"""Memory: n rows need no table of n × n numbers, unless that is declared."""

import ctypes
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.findings import Case

SIZES = (512, 1024, 4096)
SHARE = 11
"""The last growth allowed, in units of the first: memory in proportion to the rows grows by a and 6a, a table by a and
20a; both are left a factor near two."""
FLOOR = 5 * 2**18
"""Bytes by which the memory that Python counts may grow unnoticed at first. A table of single bytes grows by 3 and then
by 60 times 2¹⁸."""
HOLES = 4 * 2**20
"""The same where the system alone counts. What is freed between two calls leaves holes in the heap: a loop over torch
tiles of 8 MiB was seen to keep 16 to 53 MiB. A table of single precision grows by 3 and then by 60 times 2²⁰."""
REPEATS = 3
LAW = f"from n to 2n to 8n rows, memory grows by a and at most {SHARE}a: no table of n × n"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@check(
    "memory",
    laws={"entropy": LAW, "mutual_information": LAW, "kl_divergence": LAW},
    source="n × n numbers of eight bytes: 80 GB at n = 10⁵",
    kind="contract",
)
def memory(trial: Trial) -> Iterator[Case]:
    """Growth of the peak of one call over what was there before, after a first call for what is loaded and kept.

    Buffers of a fixed size cancel. What else runs in the process can only add to a peak: growth that is too large is
    measured again, and the smallest peaks count.
    """
    trial.needs(trial.promises.memory == "linear", f"memory={trial.promises.memory!r}")
    d = trial.promises.dims(1, 2)[-1]
    world = f"{', '.join(map(str, SIZES))} normal rows of {d} column{'s' * (d > 1)}"
    given = [_rows(trial, n, d) for n in SIZES]
    trial.answer(world, *given[0])
    peaks, excess = np.full((3, 2), np.inf), float("inf")
    for _ in range(REPEATS):
        peaks = np.minimum(peaks, [peak_bytes(lambda x=x: trial.answer(world, *x)) for x in given])
        excess = _excess(peaks)
        if excess <= 0:
            break
    mib = [f"{size / 2**20:.3g}" for size in (*peaks.sum(1), peaks[2].sum() - excess)]
    yield Case(
        world=world, expected=f"a last peak of at most {mib[3]} MiB", outcome=outcome_of(excess <= 0),
        arrived=f"peaks of {mib[0]}, {mib[1]} and {mib[2]} MiB" + ' (declare memory="quadratic")' * (excess > 0),
    )  # fmt: skip


def _excess(peaks: np.ndarray) -> float:
    """Bytes of the last of three peaks beyond what is allowed, the more of what Python and the system alone count."""
    first, second, third = peaks
    return float((third - second - SHARE * np.maximum(second - first, [FLOOR, HOLES])).max())


def peak_bytes(work: Callable[[], Any]) -> tuple[int, int]:
    """Bytes by which ``work()`` raises the peak of memory: as Python and numpy count them, and what Linux sees beyond.

    What other libraries allocate, as torch does, is seen by the system alone, which in turn does not see pages that the
    process holds already; free ones are given back first. Elsewhere than on Linux the second number is 0. The mark of
    the resident peak is set back (``/proc/self/clear_refs``), and that of tracemalloc, which goes on if it was running.

    >>> counted, beyond = peak_bytes(lambda: np.ones((1000, 1000)).sum())
    >>> counted >= 8_000_000 > beyond
    True
    """
    tracing, resident = tracemalloc.is_tracing(), _resident()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        counted = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    return counted, 0 if resident is None else max(_field("VmHWM") - resident - counted, 0)


def _resident() -> int | None:
    """Bytes that are resident and in use, now also the peak; None where the system does not say."""
    try:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        CLEAR.write_text("5")
        return _field("VmRSS")
    except (OSError, TypeError):  # no such file; no library of the process itself on Windows
        return None


def _field(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _rows(trial: Trial, n: int, d: int) -> tuple[np.ndarray, ...]:
    x = trial.rng("sample", n).standard_normal((n, d))
    if trial.check.quantity == "entropy":
        return (x,)
    return x, 0.5 * x + trial.rng("noise", n).standard_normal((n, d))
