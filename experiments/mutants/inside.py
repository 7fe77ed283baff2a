"""Runs one detector in the copy of the package that PYTHONPATH names, and writes what failed, and of what, as JSON.

`python inside.py COPY DETECTOR ANSWER`: the detector is a file of tests, perhaps with ::test, or several of them with
blanks between, or a claim's identifier.
"""

import json
import sys
from pathlib import Path
from typing import Any

NO_VERDICT = (ImportError, SyntaxError, NameError, AttributeError)
"""What a slip of the planter raises: an error of these kinds finds no error in mathematics."""


def answer(copy: Path, detector: str) -> dict[str, Any]:
    """``ran``: how many tests or checks; ``failed``: the first that did, if any; ``package``: where itssl came from."""
    found = of_tests(copy, detector) if ".py" in detector else of_claim(detector)
    return {**found, "package": str(Path(sys.modules["itssl"].__file__ or "").parent)}


def failure(where: str, by: str, error: BaseException | None, message: str) -> dict[str, Any]:
    """One failure; ``broken``: raised by code that does not run rather than by a wrong number."""
    return {
        "where": where, "by": by, "error": "" if error is None else type(error).__name__,
        "message": message.strip().partition("\n")[0][:200], "broken": isinstance(error, NO_VERDICT),
    }  # fmt: skip


class Record:
    """A pytest plugin: how many tests ran, and the failures with their exceptions."""

    def __init__(self) -> None:
        self.ran, self.failed = [], []

    def pytest_sessionstart(self) -> None:
        """Let hypothesis try the same examples, however busy the machine, and not seek the smallest that fails."""
        from hypothesis import HealthCheck, Phase, settings

        settings.register_profile(
            "mutants", derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            self.ran.append(report.nodeid)

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        error, phase = call.excinfo.value, getattr(report, "when", "collect")
        found = failure(node.nodeid, "test", error, str(error))
        self.failed.append({**found, "broken": found["broken"] or phase != "call"})


def of_tests(copy: Path, detector: str) -> dict[str, Any]:
    """Tests that are not marked slow, up to the first that fails."""
    import pytest

    record = Record()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", f"--rootdir={copy}"]
    status = pytest.main([*options, *detector.split()], plugins=[record])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        record.failed = [{**failure(detector, "test", None, f"pytest ended with {status}"), "broken": True}]
    idle = [asked for asked in detector.split() if not any(test.startswith(asked) for test in record.ran)]
    if idle and not record.failed:
        record.failed = [{**failure(idle[0], "test", None, "no test ran"), "broken": True}]
    return {"ran": len(record.ran), "failed": record.failed[:1]}


def of_claim(identifier: str) -> dict[str, Any]:
    """The claim in its quick worlds, then its quick controls, up to the first that is not as expected.

    Worlds of networks trained on digits are left out, for each detector would train them anew.
    """
    from itssl.claims.check import check
    from itssl.claims.claim import claims

    claim, ran = claims()[identifier], 0
    worlds = [(world, None) for world in claim.worlds if claim.kind == "theorem"]
    for world, control in [*worlds, *((control.world, control.name) for control in claim.controls)]:
        if world.level != "quick" or "digits" in world.name:
            continue
        by = "theorem" if control is None else "control"
        where = f"{identifier} in {world.name!r}" + (f", control {control!r}" if control else "")
        wanted = "HOLDS" if control is None else "VIOLATED"
        ran += 1
        try:
            verdict = check(claim, world.name, control=control)
        except Exception as error:
            return {"ran": ran, "failed": [failure(where, by, error, str(error))]}
        if verdict.outcome.value != wanted:
            message = f"{verdict.outcome.value} for {wanted} {verdict.part}".strip()
            return {"ran": ran, "failed": [failure(where, by, None, message)]}
    return {"ran": ran, "failed": []}


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(answer(Path(sys.argv[1]), sys.argv[2])))
