"""The pytest plugin: one error budget for the assertions of a run, its seed, and their verdicts in the summary.

Options: ``--itssl-budget`` (what the assertions of :mod:`itssl.testing.derivations` may spend together) and
``--itssl-seed`` (a number, or "random"). With pytest-xdist the budget is shared out among the workers.
Nothing of itssl is imported before it is needed.
"""

import json
import secrets
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

_BUDGET = pytest.StashKey[Any]()
_SEED = pytest.StashKey[int]()
_ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("itssl", "statements checked by itssl.testing")
    group.addoption(
        "--itssl-budget", type=float, default=1e-2, metavar="P",
        help="probability with which any assertion of the run may fail wrongly (0.01)",
    )  # fmt: skip
    group.addoption("--itssl-seed", default="0", metavar="SEED", help="seed of the assertions, or 'random' (0)")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed once, so that all workers use the same."""
    given, total, worker = _seed(config), _budget(config), getattr(config, "workerinput", {})
    if not (given == "random" or given.isdecimal()):
        raise pytest.UsageError(f"--itssl-seed: expected a non-negative integer or 'random', got {given!r}")
    if not 0 < total < 1:
        raise pytest.UsageError(f"--itssl-budget: expected a probability between 0 and 1, got {total}")
    drawn = worker.get("itssl_seed", secrets.randbits(32)) if given == "random" else int(given)
    config.stash[_SEED], config.stash[_ROWS] = drawn, []


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The seed, where it was drawn."""
    return [f"itssl: seed {config.stash[_SEED]} (drawn)"] if _seed(config) == "random" else []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist the seed."""
    node.workerinput["itssl_seed"] = node.config.stash[_SEED]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Let the test and its fixtures draw on the budget of the run."""
    from itssl.testing.error_budget import ErrorBudget, drawing_on

    config = item.config
    if _BUDGET not in config.stash:
        workers = getattr(config, "workerinput", {}).get("workercount", 1)
        config.stash[_BUDGET] = ErrorBudget(_budget(config) / workers, config.stash[_SEED])
    with drawing_on(config.stash[_BUDGET]):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn what was asserted into rows; a worker of pytest-xdist hands them over."""
    config = session.config
    if _BUDGET not in config.stash:
        return
    config.stash[_ROWS] += [_row(entry) for entry in config.stash[_BUDGET].entries]
    handed_over: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if handed_over is not None:
        handed_over["itssl"] = json.dumps(config.stash[_ROWS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the rows of a worker."""
    node.config.stash[_ROWS] += json.loads(getattr(node, "workeroutput", {}).get("itssl", "[]"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of verdicts and the budget used, where anything was asserted."""
    rows = config.stash[_ROWS]
    if not rows:
        return
    terminalreporter.section("statements checked by itssl")
    terminalreporter.write_line(_table(rows, terminalreporter._tw.fullwidth))
    spent = sum(row["rate"] for row in rows)
    terminalreporter.write_line(
        f"{len(rows)} assertions, seed {config.stash[_SEED]}: any fails wrongly with probability at most {spent:.2g} "
        f"of the {_budget(config):.2g} allowed"
    )


def _seed(config: pytest.Config) -> str:
    return str(config.getoption("--itssl-seed"))


def _budget(config: pytest.Config) -> float:
    found: Any = config.getoption("--itssl-budget")
    return float(found)


def _row(entry: Any) -> dict[str, Any]:
    verdict = entry.verdict
    return {
        "test": entry.test, "statement": entry.statement, "outcome": verdict.outcome.value, "gap": verdict.gap.value,
        "error": verdict.gap.standard_error, "margin": verdict.margin, "rate": verdict.false_verdict_rate,
        "two_sided": verdict.relation.value == "==",
    }  # fmt: skip


def _table(rows: list[dict[str, Any]], width: int) -> str:
    """One line for each statement of each test: how often it was asserted, what came out, the gap nearest to failing.

    The worst outcome and, within it, the largest gap above the margin stand for all examples of a hypothesis test.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from itssl.estimate import format_with_error

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("test", "statement"):
        table.add_column(name, overflow="fold")  # names are never cut
    for name in ("verdict", "gap ± error", "margin", "asserted"):
        table.add_column(name, no_wrap=True)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["test"], row["statement"]), []).append(row)
    for (test, statement), found in groups.items():
        worst = max(found, key=_badness)
        gap = format_with_error(worst["gap"], worst["error"])
        cells = (test, statement, worst["outcome"], gap, f"{worst['margin']:.3g}", str(len(found)))
        table.add_row(*map(Text, cells))
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return out.getvalue().rstrip()


def _badness(row: dict[str, Any]) -> tuple[bool, float]:
    size = abs(row["gap"]) if row["two_sided"] else row["gap"]
    return row["outcome"] != "HOLDS", size - row["margin"]
