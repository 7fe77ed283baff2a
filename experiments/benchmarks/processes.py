"""Processes that stay up: one for each environment and number of threads; only one computes at a time."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
CHOSEN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Left out, so that OpenBLAS takes the kernels of the processor."""


class Worker:
    """worker.py in a process of its own, answering one job at a time."""

    def __init__(self, python: str | Path, side: str, threads: int) -> None:
        self.command = [str(python), "-m", "experiments.benchmarks.worker", side, str(threads)]
        environment = {name: value for name, value in os.environ.items() if name not in CHOSEN}
        self.environment = environment | dict.fromkeys(LIMITS, str(threads)) | {"PYTHONWARNINGS": "ignore"}
        if side == "plain":
            self.environment["NUMBA_DISABLE_JIT"] = "1"
        self.process: subprocess.Popen[str] | None = None

    def ask(self, do: str, *, limit: float = 600, **job: Any) -> dict[str, Any]:
        """The answer; ``{"error": …}`` where the process dies or takes more than ``limit`` seconds.

        The next job starts it anew.
        """
        if self.process is None:
            self.start()
        process, late = self.process, threading.Event()
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(limit, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            process.stdin.write(json.dumps({"do": do, **job}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        code, said = process.wait(), self.said().strip().rpartition("\n")[2][:200]
        self.close()
        if late.is_set():
            return {"error": f"no answer in {limit:g} s"}
        return {"error": f"the process ended with {code}" + (f": {said}" if said else "")}

    def start(self) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors,
        )  # fmt: skip

    def said(self) -> str:
        """What the process wrote on standard error."""
        self.errors.seek(0)
        return self.errors.read()

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is None:
            return
        process, self.process = self.process, None
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()  # the end of its input ends it
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.errors.close()


class Workers:
    """The processes of all sides at each number of threads, started when first asked; a context manager.

    "itssl" with its floors, where numba is installed "plain", which is itssl without it, and "peers", in an
    environment of their own.
    """

    def __init__(self, peers: str | Path | None, threads: tuple[int, ...]) -> None:
        self.python: dict[str, str | Path] = {"itssl": sys.executable}
        if find_spec("numba") is not None:
            self.python["plain"] = sys.executable
        if peers:
            self.python["peers"] = peers
        self.threads = threads
        self.running: dict[tuple[str, int], Worker] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.running.values():
            worker.close()

    def ask(self, side: str, threads: int, do: str, **job: Any) -> Any:
        """The answer of the process of a side."""
        if (side, threads) not in self.running:
            self.running[side, threads] = Worker(self.python[side], side, threads)
        return self.running[side, threads].ask(do, **job)

    def ask_a_fresh_one(self, side: str, threads: int, do: str, **job: Any) -> Any:
        """The answer of a process started for this job and ended after it."""
        worker = Worker(self.python[side], side, threads)
        try:
            return worker.ask(do, **job)
        finally:
            worker.close()
