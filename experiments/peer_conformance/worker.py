"""A process that runs checks in the environment of a package: a line of JSON in, a line of JSON out.

`python -m experiments.peer_conformance.worker` is started by run.py. itssl comes from the folder it is started in, so
that the checks see the very arrays and settings that the package sees.
"""

import inspect
import json
import os
import platform
import random
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from experiments.peer_conformance import adapters
from experiments.peer_conformance.peers import ESTIMATORS, SUITE, Estimator
from itssl.testing import (
    ConformanceError,
    check_divergence_estimator,
    check_entropy_estimator,
    check_mutual_information_estimator,
)
from itssl.testing.findings import Finding

CHECKED: dict[str, Any] = {
    "entropy": check_entropy_estimator,
    "mutual_information": check_mutual_information_estimator,
    "kl_divergence": check_divergence_estimator,
}


def main() -> None:
    """Answer jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
    for line in sys.stdin:
        job = json.loads(line)
        try:
            found = {"check": checked, "shown": shown, "described": described}[job.pop("do")](**job)
        except Exception as error:  # of any package: it goes into the table
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(found), file=answers, flush=True)


def described(package: str) -> dict[str, str]:
    """Versions of Python, of the package and of what the suite needs."""
    found = {"python": platform.python_version()}
    for name in (package, *SUITE[:3]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def checked(estimator: str, check: str, seed: int, profile: str) -> dict[str, Any]:
    """What one check finds about one estimator of peers.py: outcome, cases that made it, reason."""
    found = finding(ESTIMATORS[estimator][1], check, seed, profile)
    return {
        "outcome": found.outcome.value, "cases": [str(case)[:300] for case in found.worst[:4]], "reason": found.reason,
    }  # fmt: skip


def shown(estimator: str, check: str, seed: int, profile: str) -> dict[str, str]:
    """The same as a text."""
    return {"shown": str(finding(ESTIMATORS[estimator][1], check, seed, profile))}


def finding(made: Estimator, check: str, seed: int, profile: str) -> Finding:
    """The finding itself. Global generators are seeded first, so that noise drawn from them is the same each time."""
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    function, promises = getattr(adapters, made.function), dict(made.promises)
    _imports(function, made)
    if "k" in inspect.signature(function).parameters:
        promises["with_k"] = lambda k: partial(function, k=k)
    if made.seeded and check != "global_state":  # which would see the seeding, not the package
        promises["with_seed"] = partial(adapters.seeded, function)
    try:
        report = CHECKED[made.quantity](function, only=check, seed=seed, profile=profile, **promises)
    except ConformanceError as error:
        report = error.report
    return report.findings[0]


def _imports(function: Any, made: Estimator) -> None:
    """Raises ImportError where the package cannot be imported: no law is about that."""
    shape = (20,) if made.promises.get("max_dim") == 1 else (20, 1)
    samples = np.random.default_rng(0).normal(size=(1 if made.quantity == "entropy" else 2, *shape))
    try:
        function(*samples)
    except ImportError:
        raise
    except Exception:  # that is the check's to find
        return


if __name__ == "__main__":
    main()
