"""A process that does one job at a time: a line of JSON in, a line of JSON out. Data are drawn here, from the seed.

`python -m experiments.benchmarks.worker SIDE THREADS` is started by processes.py in the environment of the side,
"itssl" (with its floors and the textbook's forms), "plain" (itssl without numba) or "peers" (which has no itssl).
"""

import json
import os
import platform
import sys
import time
from typing import Any


def main() -> None:
    """Answer jobs until the input ends."""
    side, threads = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):  # no library can then use more cores, whatever it reads or ignores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
    worker = Jobs(side, threads)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            found = getattr(worker, job.pop("do"))(**job)
        except Exception as error:  # of any package: it goes into the table
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(found), file=answers, flush=True)


class Jobs:
    """What may be asked; the data and prepared calls of the last cell are kept."""

    def __init__(self, side: str, threads: int) -> None:
        self.side, self.threads = side, threads
        self.cell, self.arrays, self.calls = None, {}, {}

    def methods(self) -> dict[tuple[str, str], Any]:
        """(kind, name) → method."""
        if self.side == "itssl":
            from experiments.benchmarks import floors, ours, textbook

            lists = (ours.METHODS, floors.METHODS, textbook.METHODS)
        elif self.side == "plain":
            from experiments.benchmarks import ours

            lists = (ours.WITHOUT_NUMBA,)
        else:
            from experiments.benchmarks import peers

            lists = (peers.METHODS,)
        return {(method.kind, method.name): method for found in lists for method in found}

    def listed(self, cell: dict[str, Any]) -> list[dict[str, Any]]:
        """The methods for a cell, each with why it is missing, or nothing."""
        return [
            {
                "name": m.name,
                "serial": m.serial,
                "convention": m.convention,
                "refused": m.refuses(cell),
                "once": m.once(cell),
                "missing": m.missing(),
            }
            for m in self.methods().values()
            if m.kind == cell["kind"]
        ]

    def timed(self, cell: dict[str, Any], seed: int, method: str) -> dict[str, Any]:
        """Seconds of one call, and what it returned."""
        call = self.prepared(cell, seed, method)
        start, spent = time.perf_counter(), time.process_time()
        value = call()
        seconds, processor = time.perf_counter() - start, time.process_time() - spent
        return {"seconds": seconds, "processor": processor, "value": numbers(value)}

    def remembered(self, cell: dict[str, Any], seed: int, method: str) -> dict[str, Any]:
        """Bytes that one call takes beyond the data and all that was loaded before."""
        from experiments.benchmarks.memory import peak_over

        return {"bytes": peak_over(self.prepared(cell, seed, method))}

    def prepared(self, cell: dict[str, Any], seed: int, method: str) -> Any:
        """The call; made, and made once at small sizes, when it is first asked for.

        itssl's is made once at full size too: what numba compiles for large samples is not compiled for small ones.
        """
        from experiments.benchmarks.workloads import data, shrunk

        if (cell, seed) != self.cell:
            self.arrays, self.calls = {}, {}
            self.cell, self.arrays = (cell, seed), data(cell, seed)
        if method not in self.calls:
            prepare, small = self.methods()[cell["kind"], method].prepare, shrunk(cell)
            prepare(small, data(small, seed), self.threads)()
            self.calls[method] = prepare(cell, self.arrays, self.threads)
            if self.side == "itssl" and method.startswith("itssl") and cell["kind"] in ("knn", "ksg"):
                self.calls[method]()
        return self.calls[method]

    def converted(self, cell: dict[str, Any], seed: int, convention: str) -> dict[str, Any]:
        """itssl's value under the convention of another package."""
        from experiments.benchmarks.ours import by_convention
        from experiments.benchmarks.workloads import data

        return {"value": numbers(by_convention(cell, data(cell, seed), convention))}

    def described(self) -> dict[str, Any]:
        """The interpreter, the packages that matter, and each BLAS with its kernels and threads."""
        from importlib.metadata import PackageNotFoundError, version

        from threadpoolctl import threadpool_info

        found = {}
        for name in ("itssl", "numpy", "scipy", "torch", "scikit-learn", "infomeasure", "ennemi", "faiss-cpu", "numba"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        import scipy.linalg  # noqa: F401  # so that its BLAS is listed

        libraries = [
            f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ]
        return {"python": platform.python_version(), "packages": found, "blas": sorted(set(libraries))}


def numbers(value: Any) -> list[float]:
    """The value as a list of floats: of a number, of at most eight, or of nothing."""
    import numpy as np

    found = [] if value is None else [float(v) for v in np.ravel(value)[:9]]
    if len(found) > 8:
        raise ValueError("value: expected at most eight numbers to compare, got more; return a summary of them")
    return found


if __name__ == "__main__":
    main()
