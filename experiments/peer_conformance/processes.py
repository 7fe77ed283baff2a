"""The interpreter of each package, and a process in it that stays up."""

import atexit
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.benchmarks.processes import Worker
from experiments.environments import environment, in_cache
from experiments.peer_conformance.peers import PEERS, Peer


def interpreter(peer: Peer, *, reaches_out: bool) -> tuple[Path, str]:
    """That of the package's environment, which is made first if that is allowed, and why the package is not in it.

    Packages without estimators share one, where it only shows whether they can be installed.
    """
    if peer.inside:
        return Path(sys.executable), ""
    if not peer.estimators:
        others = [{other.package: other.version} for other in PEERS if not other.estimators]
        python, absent = environment(in_cache("conformance-others"), others, reaches_out=reaches_out, once_a_day=True)
        return python, absent.get(peer.package, "")
    folder = in_cache(f"conformance-{peer.package}")
    python, absent = environment(folder, peer.groups, peer.bounds, reaches_out=reaches_out, once_a_day=True)
    return python, absent.get(peer.package) or next(iter(absent.values()), "")


class SuiteWorker(Worker):
    """worker.py in the environment of a package, on one thread."""

    def __init__(self, python: Path) -> None:
        super().__init__(python, "peers", 1)
        self.command = [str(python), "-m", "experiments.peer_conformance.worker"]


@lru_cache
def _worker(python: Path) -> SuiteWorker:
    worker = SuiteWorker(python)
    atexit.register(worker.close)
    return worker


def ask(peer: Peer, do: str, *, limit: float = 600, **job: Any) -> dict[str, Any]:
    """The answer of the package's process, started when first asked; ``{"error": …}`` where it dies or takes longer.

    The package must be installed: nothing is here.
    """
    python, missing = interpreter(peer, reaches_out=False)
    return {"error": missing} if missing else _worker(python).ask(do, limit=limit, **job)
