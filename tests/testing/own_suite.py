"""What itssl declares, through the exact checks and rules of conduct in an interpreter of its own.

Without the type checks of the tests, which refuse in place of the estimators, draw from `random`, and take most of the
time: `fresh` answers with what is printed there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from testing.declarations import DECLARED, FEWER_ROWS, Declaration

from itssl.testing import (
    ConformanceError,
    ConformanceReport,
    check_divergence_estimator,
    check_entropy_estimator,
    check_mutual_information_estimator,
    check_objective,
)
from itssl.testing.checks.trial import registered

SUITES: dict[str, Callable[..., ConformanceReport]] = {
    "entropy": check_entropy_estimator, "mutual_information": check_mutual_information_estimator,
    "kl_divergence": check_divergence_estimator, "objective": check_objective,
}  # fmt: skip


def fresh(*arguments: str) -> Any:
    """What an interpreter with the paths of this one prints as JSON; a warning there is an error."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def declared() -> Iterator[tuple[Any, str, Declaration]]:
    """Quantity, name and declaration of all estimators and objectives."""
    for quantity, table in DECLARED.items():
        yield from ((quantity, name, made) for name, made in table.items())
    yield from (("objective", f"{name}, wide", made) for name, made in FEWER_ROWS.items())


def exact_checks(quantity: Any, made: Declaration) -> dict[str, Any]:
    """The outcome of each check that draws nothing at random, reasons of those left out, and the words of failures.

    Not of memory, whose peaks take seconds; the slow run has it.
    """
    left_out = {"memory", *made.left_out}
    only = [c.name for c in registered(quantity).values() if c.kind != "statistical" and c.name not in left_out]
    try:
        report = SUITES[quantity](made.estimator, only=only, **made.promises)
    except ConformanceError as error:
        report = error.report
    return {
        "said": "\n".join(map(str, report.failures)),
        "outcomes": {finding.check.name: finding.outcome.value for finding in report.findings},
        "reasons": {finding.check.name: finding.reason for finding in report.not_applicable},
    }


def refusals() -> list[str]:
    """Of words that promises do not have, which type checks would see first."""
    said: list[str] = []
    for quantity, wrong in (
        ("entropy", {"units": "bans"}), ("mutual_information", {"family": "normal"}),
        ("kl_divergence", {"memory": "cubic"}), ("objective", {"stop_gradient": "both"}),
    ):  # fmt: skip
        try:
            SUITES[quantity](None, **wrong)
        except ValueError as error:
            said.append(str(error))
    return said


if __name__ == "__main__":
    found = {f"{quantity}, {name}": exact_checks(quantity, made) for quantity, name, made in declared()}
    print(json.dumps({"found": found, "refused": refusals()}))
