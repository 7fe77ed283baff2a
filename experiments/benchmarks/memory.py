"""The peak of resident memory, as Linux counts it."""

import ctypes
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def kibibytes(status: str, field: str) -> int:
    """The field of a /proc/…/status text, in KiB.

    >>> kibibytes("VmPeak:    900 kB\\nVmHWM:\\t  512 kB\\nVmRSS:\\t  256 kB\\n", "VmHWM")
    512
    """
    for line in status.splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            number, unit = rest.split()
            if unit != "kB":
                raise ValueError(f"{field}: expected kB, got {unit!r}")
            return int(number)
    raise ValueError(f"{field}: not among the fields of the status")


def peak_over(work) -> int | None:
    """Bytes by which work() raises the peak over what is resident before it; None where the system does not say.

    What earlier calls have freed is first given back, and the mark of the peak set back to what is resident.
    """
    if not STATUS.exists():
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim:
        trim(0)
    try:
        CLEAR.write_text("5")
    except OSError:
        return None
    before = kibibytes(STATUS.read_text(), "VmRSS")
    work()
    return 1024 * max(0, kibibytes(STATUS.read_text(), "VmHWM") - before)
