"""Cells: what a run consists of, what it may spend, and how each is repeated."""

import contextlib
import io
import shlex
from typing import Any

import pytest
from click.testing import CliRunner

from itssl.claims.cells import (
    FAMILY_WISE_BUDGET,
    FINDING_RATE,
    LEVELS,
    THEOREM_RATE,
    Cell,
    ChainCell,
    Settings,
    StatedCell,
    family_wise_rate,
    plan,
    plan_measurements,
)  # fmt: skip
from itssl.claims.claim import claims
from itssl.claims.decision import FIRST_LOOK, FloatingPoint
from itssl.claims.ledger import run
from itssl.claims.records import from_text, to_text
from itssl.claims.stated_values import ERROR_RATE, compare, stated_values
from itssl.cli import main

FULL = plan(level="full")


def test_everything_together_stays_within_the_budget() -> None:
    assert family_wise_rate(FULL + plan_measurements(level="full")) <= FAMILY_WISE_BUDGET


def test_a_check_spends_the_rate_of_its_claim_and_rounding_nothing() -> None:
    settings = Settings(theorem_rate=0.01, finding_rate=0.02)
    for cell in FULL:
        claim = claims()[cell.claim]
        rounding = isinstance(claim.world(cell.world).tolerance or claim.tolerance, FloatingPoint)
        few = claim.kind == "finding" and claim.max_replicates in range(FIRST_LOOK)
        assert cell.spends(settings) == (0 if rounding else 0.02 if few else 0.01)
    assert {cell.spends(Settings()) for cell in FULL} == {0, THEOREM_RATE, FINDING_RATE}
    assert family_wise_rate(FULL, settings) == pytest.approx(sum(cell.spends(settings) for cell in FULL))


def test_a_comparison_spends_its_rate_where_it_draws() -> None:
    for cell in plan_measurements(level="full"):
        if isinstance(cell, ChainCell):
            assert cell.spends(Settings()) == 0
            continue
        value = stated_values()[f"{cell.claim}: {cell.quantity}"]
        assert cell.spends(Settings()) == (ERROR_RATE if value.measure and value.replicates > 1 else 0)


def test_a_ledger_states_the_sum_and_checks_at_these_rates() -> None:
    chosen = [plan([id], "quick")[0] for id in ("C10", "C21")]
    ledger = run(chosen, progress=False)
    assert ledger.family_wise_rate == ledger.check_rate == THEOREM_RATE
    assert ledger.comparison_rate == 0
    assert {v.false_verdict_rate for v in ledger.verdicts} == {THEOREM_RATE}
    assert run(chosen, progress=False, false_verdict_rate=0.01).family_wise_rate == 0.01


def test_stated_values_have_a_sum_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = next(c for c in plan_measurements(level="quick") if c.spends(Settings()))
    monkeypatch.setattr(StatedCell, "measure", lambda cell, settings: compare("C27: largest bound, d = 5"))
    ledger = run((plan(["C10"], "quick")[0], plan(["C21"], "quick")[0], drawn), progress=False)
    assert (ledger.comparison_rate, ledger.check_rate) == (ERROR_RATE, pytest.approx(THEOREM_RATE))
    assert ledger.family_wise_rate == pytest.approx(ERROR_RATE + THEOREM_RATE)


def test_measurements_follow_claims_and_level() -> None:
    assert {cell.claim for cell in plan_measurements(["C27"], "full")} == {"C27"}
    quick, default, full = (set(plan_measurements(level=level)) for level in LEVELS)
    assert quick <= default <= full
    assert len({c for c in full if isinstance(c, StatedCell)}) == len(stated_values())
    assert [ChainCell() in cells for cells in (quick, default, full)] == [False, True, True]


def test_every_line_names_its_cell_whatever_the_name() -> None:
    odd = Cell("C10", 'it\'s "d" = 1; $x', 'a "b" `c`')
    for cell in (*FULL, odd):
        words = shlex.split(cell.shell(Settings(seed=7)))
        assert words[:4] == ["itssl", "check", cell.claim, cell.world]
        assert words[4:] == (["--control", cell.control] if cell.control is not None else []) + ["--seed", "7"]
        compile(cell.python(Settings()), "lines", "exec")
    settings = Settings(theorem_rate=1e-3, max_replicates=64)
    assert FULL[0].shell(settings).endswith(" --seed 0 --false-verdict-rate 0.001 --max-replicates 64")
    assert FULL[0].python(settings).endswith(", seed=0, false_verdict_rate=0.001, max_replicates=64))")
    assert FULL[0].python(Settings()).endswith(", seed=0, false_verdict_rate=0.0001))")


def _printed(python: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(python, "lines", "exec"), {})
    return out.getvalue()


@pytest.mark.parametrize("cell", [plan(["C10"], "quick")[0], plan(["C10"], "quick")[-1]])
def test_both_lines_repeat_a_check(cell: Cell) -> None:
    settings = Settings(seed=7, theorem_rate=1e-3, max_replicates=64)
    (verdict,) = run([cell], seed=7, false_verdict_rate=1e-3, max_replicates=64, progress=False).verdicts
    shell = CliRunner().invoke(main, shlex.split(cell.shell(settings))[1:])
    assert (shell.exit_code, shell.output) == (0, f"{verdict}\n")
    assert _printed(cell.python(settings)) == f"{verdict}\n"


def test_both_lines_repeat_a_comparison() -> None:
    cell, settings = StatedCell("C27", "largest bound, d = 5"), Settings(seed=7)
    (comparison,) = run([cell], seed=7, progress=False).comparisons
    python, option, code = shlex.split(cell.shell(settings))
    assert (python, option) == ("python", "-c")
    assert _printed(code) == _printed(cell.python(settings)) == f"{comparison}\n"


def test_every_cell_can_be_part_of_a_key() -> None:
    for cell in FULL + plan_measurements(level="full"):
        assert from_text(to_text(cell)) == cell


def test_each_cell_is_guessed_to_take_some_time() -> None:
    both: tuple[Any, ...] = FULL + plan_measurements(level="full")
    assert all(cell.expected_seconds > 0 for cell in both)
