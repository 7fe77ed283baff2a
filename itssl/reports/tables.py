"""What a run found, in a terminal: the table of verdicts, and what failed with how to repeat it."""

import math
import shlex
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from itssl.claims.cells import Cell, StatedCell
from itssl.claims.claim import Claim, claims
from itssl.claims.decision import FloatingPoint, MonteCarlo, Outcome, Relation
from itssl.claims.ledger import CellError, Ledger
from itssl.claims.stated_values import ERROR_RATE
from itssl.claims.verdict import Verdict
from itssl.estimate import Estimate, format_with_error

_HEADINGS = ("world", "verdict", "gap ± error", "margin", "repli-\ncates", "seconds")
_STYLES = {Outcome.HOLDS: "green", Outcome.VIOLATED: "bold red", Outcome.UNDECIDED: "bold yellow"}


def ledger_table(ledger: Ledger) -> Table:
    """A block per claim: its identifier and title, a line of numbers per world, and how many controls were refuted.

    Titles, controls and measured values have lines of their own, so that nothing is cut at 80 columns; the columns
    of all blocks are aligned. Findings are labelled so, and followed by what was measured.

    >>> from itssl.claims.ledger import run
    >>> ledger_table(run([], progress=False)).row_count
    1
    """
    rows = {(v.claim, v.world): row(v) for v in ledger.verdicts if v.control is None}
    widths = [
        max(len(line) for cells in (_HEADINGS, *rows.values()) for line in cells[i].split("\n"))
        for i in range(len(_HEADINGS))
    ]
    table = Table.grid()
    # as wide as needed for the longest name: wider, the numbers would stand far from their world
    table.add_column(max_width=max(78, 2 + sum(widths) + len(widths)))
    table.add_row(_aligned([_HEADINGS], widths, style="dim"))
    for id, answers in by_claim(ledger).items():
        table.add_row(Text(f"{id} {'finding: ' * (claims()[id].kind == 'finding')}{claims()[id].title}", style="bold"))
        verdicts = [a for a in answers if isinstance(a, Verdict)]
        for v in verdicts:
            if v.control is not None:
                continue
            table.add_row(_aligned([rows[v.claim, v.world]], widths, style="", outcome=v.outcome))
            if v.kind == "finding" and v.measured:
                table.add_row(_indented(measured_text(v)))
        table.add_row(_indented(f"controls: {controls_text(verdicts)}"))
        for error in answers:
            if isinstance(error, CellError):
                table.add_row(_indented(f"ERROR in {error.cell}: {error.message}", style="bold red"))
    return table


def row(verdict: Verdict) -> tuple[str, ...]:
    """World, verdict, gap ± error, margin, replicates and seconds of a verdict as text."""
    margin = margin_text(verdict).replace(" ", "\n")
    return (
        verdict.world, verdict.outcome.value, _short(verdict.gap), margin, str(verdict.replicates),
        f"{verdict.seconds:.1f}",
    )  # fmt: skip


def _short(gap: Estimate) -> str:
    """value ± error in about 20 characters, the value up to the first digit of the error."""
    text = format_with_error(gap.value, gap.standard_error).removesuffix(" ± 0")
    if len(text) <= 20:
        return text
    digits = 1 + math.floor(math.log10(abs(gap.value) or 1)) - math.floor(math.log10(gap.standard_error))
    return f"{gap.value:.{min(max(digits, 2), 9)}g} ± {gap.standard_error:.1g}"


def margin_text(verdict: Verdict) -> str:
    """The range in which the gap must lie; "rel." where the margin is per unit of the sides' magnitude.

    A margin of 0.02 reads ±0.02 for an equality, ≤0.02 for "at most" and ≥-0.02 for "at least".
    """
    sign = {Relation.EQUAL: "±", Relation.AT_MOST: "≤", Relation.AT_LEAST: "≥-"}[verdict.relation]
    margin = f"{verdict.margin:.3g}" if isinstance(verdict.tolerance, MonteCarlo) else f"{verdict.margin:.1e} rel."
    return f"{sign}{margin}" if verdict.margin else sign[0] + "0"


def measured_text(verdict: Verdict) -> str:
    """The numbers reported beside the gap, with their errors."""
    values = (f"{name} = {format_with_error(e.value, e.standard_error)}" for name, e in verdict.measured.items())
    return "measured: " + "; ".join(values)


def controls_text(verdicts: list[Verdict]) -> str:
    """How many of the controls among the verdicts were refuted, and the names of those that were not."""
    controls = [v for v in verdicts if v.control is not None]
    missed = [f"{v.control!r} ({v.outcome.value})" for v in controls if v.outcome is not Outcome.VIOLATED]
    if not controls:
        return "none run"
    refuted = f"{len(controls) - len(missed)}/{len(controls)} refuted"
    return f"{refuted}; NOT refuted: {', '.join(missed)}" if missed else refuted


def claim_text(claim: Claim) -> str:
    """A claim in words: statement, reference, how it is decided, what it uses and what uses it, and what is run.

    >>> claim_text(claims()["C10"]).splitlines()[0]
    'C10 (theorem)'
    """
    tolerance = claim.tolerance
    margin = f"margin {tolerance.margin:g}" if isinstance(tolerance, MonteCarlo) else f"up to {tolerance}"
    lines = [f"{claim.id} ({claim.kind})", "", claim.statement, "", f"reference: {claim.reference}",
             f"decided: left {claim.relation.value} right, {margin}"]  # fmt: skip
    used_by = [c.id for c in claims().values() if claim.id in c.uses]
    lines += [f"{word}: {', '.join(ids)}" for word, ids in (("uses", claim.uses), ("used by", used_by)) if ids]
    if claim.assumes:
        lines += ["assumes:", *(f"  {a.name} <= {a.at_most:g}: {a.statement}" for a in claim.assumes)]
    lines += ["worlds:", *(f"  {w.name} [{w.level}]" for w in claim.worlds)]
    lines += ["controls:", *(f"  {c.name}, in {c.world.name} [{c.world.level}]" for c in claim.controls)]
    return "\n".join(lines)


def by_claim(ledger: Ledger) -> dict[str, list[Verdict | CellError]]:
    """Verdicts and errors of each claim that took part, in the order of the claims."""
    groups: dict[str, list[Verdict | CellError]] = {}
    for v in ledger.verdicts:
        groups.setdefault(v.claim, []).append(v)
    for error in ledger.errors:
        if isinstance(error.cell, Cell):
            groups.setdefault(error.cell.claim, []).append(error)
    return dict(sorted(groups.items()))


def command(ledger: Ledger, claim: str) -> str:
    """The shell command that repeats all checks of a claim as they were run, whatever the cache holds.

    >>> from itssl.claims.ledger import run
    >>> command(run([], progress=False, level="full", seed=3), "C17")
    'itssl verify C17 --full --seed 3 --fresh'
    """
    level = "" if ledger.level == "default" else f" --{ledger.level}"
    return f"itssl verify {shlex.quote(claim)}{level} --seed {ledger.seed} --fresh"


def rates_text(ledger: Ledger) -> str:
    """What the error rates of the run cover, in sentences; empty where nothing was planned.

    >>> from itssl.claims.ledger import plan, run
    >>> print(rates_text(run(plan(["C17"], "quick")[:1], progress=False)).partition(",")[0])
    A check that draws is wrong with probability at most 0.0001 (0.001 for findings of few trainings)
    """
    settings, sentences = ledger.settings, []
    if ledger.check_rate:
        few = f" ({settings.finding_rate:g} for findings of few trainings)"
        sentences.append(
            f"A check that draws is wrong with probability at most {settings.theorem_rate:g}"
            f"{few * (settings.finding_rate != settings.theorem_rate)}, if its gaps are shares, or means near enough "
            f"to normal; together at most {ledger.check_rate:.2g} for the claims."
        )
    if ledger.comparison_rate:
        sentences.append(
            f"A stated value is wrongly said to disagree with probability at most {ERROR_RATE:g}; together at most "
            f"{ledger.comparison_rate:.2g}."
        )
    if any(isinstance(v.tolerance, FloatingPoint) for v in ledger.verdicts):
        sentences.append("Checks within rounding judge the draws they made, and no others.")
    return " ".join(sentences)


def failure_text(ledger: Ledger) -> str:
    """What kept the ledger from being ok, cell by cell, with the command and the lines of Python that repeat it.

    Empty when the ledger is ok.

    >>> from itssl.claims.ledger import run
    >>> failure_text(run([], progress=False))
    'nothing was checked'
    """
    paragraphs = []
    for v in ledger.failures:
        expected = Outcome.HOLDS if v.control is None else Outcome.VIOLATED
        cell = Cell(v.claim, v.world, v.control)
        paragraphs.append(f"{v}; expected {expected.value}\n{_repeat(cell, ledger, v.claim)}")
    for c in ledger.unexplained:
        paragraphs.append(f"STATED VALUE: {c}\n{_repeat(StatedCell(c.claim, c.quantity), ledger)}")
    for error in ledger.errors:
        claim = error.cell.claim if isinstance(error.cell, Cell) else None
        paragraphs.append(f"ERROR: {error.cell} raised {error.message}\n{_repeat(error.cell, ledger, claim)}")
    left = ledger.planned - ledger.answered
    if ledger.interrupted:
        paragraphs.append(f"interrupted: {left} of {ledger.planned} checks were not run")
    elif not ledger.verdicts and not ledger.errors:
        paragraphs.append("nothing was checked")
    elif left:
        paragraphs.append(f"of {ledger.planned} planned checks {ledger.answered} have an answer")
    return "\n".join(paragraphs)


def _repeat(cell: Any, ledger: Ledger, claim: str | None = None) -> str:
    lines = ["  repeat in a shell:", f"    {cell.shell(ledger.settings)}"]
    lines += [f"    {command(ledger, claim)}  # the whole claim"] if claim is not None else []
    lines += ["  repeat in Python:", *(f"    {line}" for line in cell.python(ledger.settings).splitlines())]
    return "\n".join(lines)


def _indented(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, 4))


def _aligned(rows: list[tuple[str, ...]], widths: list[int], *, style: str, outcome: Outcome | None = None) -> Padding:
    """Rows as a table of fixed widths, of which the first alone gives way on a narrow screen."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column(ratio=1, overflow="fold")
    for width, name in zip(widths[1:], _HEADINGS[1:], strict=True):
        table.add_column(width=width, no_wrap=True, justify="left" if name in ("verdict", "gap ± error") else "right")
    for cells in rows:
        texts = [Text(cell, style=style) for cell in cells]
        if outcome is not None:
            texts[1].stylize(_STYLES.get(outcome, ""))
        table.add_row(*texts)
    return Padding(table, (0, 0, 0, 2))
