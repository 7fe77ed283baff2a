"""A run as one Markdown file: what a reader without a browser, or a reviewer of a change, wants to see."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from itssl.claims.cells import Cell
from itssl.claims.chain_answer import Chain
from itssl.claims.claim import claims
from itssl.claims.decision import Outcome
from itssl.claims.ledger import Ledger
from itssl.claims.stated_values import Comparison
from itssl.claims.verdict import Verdict
from itssl.estimate import format_with_error
from itssl.reports.tables import by_claim, command, controls_text, failure_text, margin_text, rates_text


def render_markdown(ledger: Ledger) -> str:
    """The run as Markdown: summary, claims, verdicts, controls, findings, stated values, the chain, how to repeat it.

    >>> from itssl.claims.ledger import run
    >>> print(render_markdown(run([], progress=False)).splitlines()[0])
    # itssl: not ok
    """
    verdicts, findings = ledger.verdicts, [v for v in ledger.findings if v.measured]
    sections = [
        f"# itssl: {'all as expected' if ledger.ok else 'not ok'}\n\n{_plain(ledger.summary)}.",
        _run(ledger),
        _fence(failure_text(ledger)),
        _section("Claims", ("claim", "kind", "statement", "uses", "worlds", "controls"), _claims(ledger)),
        _section(
            "Verdicts", ("claim", "world", "verdict", "gap ± error", "wanted", "replicates"),
            ((v.claim, v.world, v.outcome.value, _gap(v), margin_text(v), str(v.replicates))
             for v in verdicts if v.control is None),
        ),
        _section(
            "Controls", ("claim", "control", "world", "verdict", "gap ± error"),
            ((v.claim, v.control or "", v.world, v.outcome.value, _gap(v)) for v in ledger.controls),
        ),
        _section(
            "Findings", ("claim", "world", "quantity", "measured"),
            ((v.claim, v.world, name, format_with_error(e.value, e.standard_error))
             for v in findings for name, e in v.measured.items()),
        ),
        _section(
            "Stated values", ("claim", "quantity", "stated", "measured", "may differ by", "agrees", "note"),
            (_comparison(c) for c in ledger.comparisons),
        ),
        "" if ledger.chain is None else _chain(ledger.chain),
        _repeat(ledger),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def write_markdown(ledger: Ledger, path: str | Path) -> Path:
    """Write :func:`render_markdown` to a file, making its folder; returns the path. Raises OSError as writing does.

    >>> from tempfile import TemporaryDirectory
    >>> from itssl.claims.ledger import run
    >>> with TemporaryDirectory() as folder:
    ...     write_markdown(run([], progress=False), f"{folder}/report.md").name
    'report.md'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_markdown(ledger), encoding="utf-8")
    return path


def _run(ledger: Ledger) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in ledger.versions.items())
    lines = [
        f"seed {ledger.seed}, level {ledger.level}, started {ledger.started}, {ledger.seconds:.1f} seconds; "
        f"{ledger.cached} of {ledger.planned} answers from the cache",
        *filter(None, [rates_text(ledger)]),
        f"versions: {versions}",
        *ledger.notes,
    ]
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _claims(ledger: Ledger) -> Iterable[tuple[str, ...]]:
    unexpected = {v.claim for v in ledger.failures if v.control is None}
    for id, answers in by_claim(ledger).items():
        own = [a for a in answers if isinstance(a, Verdict)]
        worlds = [v for v in own if v.control is None]
        good = 0 if id in unexpected and all(v.as_expected for v in worlds) else sum(v.as_expected for v in worlds)
        word = "as expected"
        if claims()[id].kind == "finding":  # nothing is expected of it
            good, word = sum(v.outcome is Outcome.HOLDS for v in worlds), "hold"
        total = len(worlds) + sum(not isinstance(a, Verdict) and a.cell.control is None for a in answers)
        claim = claims()[id]
        yield id, claim.kind, claim.title, ", ".join(claim.uses), f"{good} of {total} {word}", controls_text(own)


def _comparison(c: Comparison) -> tuple[str, ...]:
    measured = "" if c.measured is None else format_with_error(c.measured.value, c.measured.standard_error)
    answer = {True: "yes", False: "no", None: "not measured here"}[c.agrees]
    answer += ", as would 0" * (c.agrees is True and c.says_little)
    allowed = "" if c.measured is None else f"{c.allowed:.2g}"
    return c.claim, c.quantity, f"{c.stated:g} {c.units}".strip(), measured, allowed, answer, c.note


def _chain(chain: Chain) -> str:
    head = ("step", "before training", "after training", "relation to the step before", "claims", "why")
    links = (
        (a.name, _number(a.value, a.standard_error), _number(b.value, b.standard_error),
         _both(a.relation, b.relation), ", ".join(b.claims), _both(a.why, b.why))
        for a, b in zip(chain.before, chain.after, strict=True)
    )  # fmt: skip
    beside = ((q.name, _number(q.before, q.before_error), _number(q.after, q.after_error), ", ".join(q.claims), q.why)
              for q in (*chain.premises, *chain.consequences))  # fmt: skip
    return "\n\n".join([
        _section("The chain", head, links), _table(("beside it", *head[1:3], *head[4:]), beside),
        "\n".join(f"- {_plain(note)}" for note in (chain.title, *chain.notes)),
    ])  # fmt: skip


def _both(before: str, after: str) -> str:
    return after if before == after else f"{before} (before); {after} (after)"


def _number(value: float, error: float) -> str:
    return format_with_error(value, error) if error else f"{value:.5g}"


def _repeat(ledger: Ledger) -> str:
    lines = [command(ledger, id) for id in by_claim(ledger)]
    lines += [Cell(v.claim, v.world, v.control).shell(ledger.settings) for v in ledger.failures]
    return f"## Repeat\n\n{_fence(chr(10).join(lines), 'sh')}" if lines else ""


def _gap(v: Verdict) -> str:
    return format_with_error(v.gap.value, v.gap.standard_error)


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading and a table; nothing where there is no row."""
    table = _table(head, rows)
    return f"## {title}\n\n{table}" if table else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [_row([_plain(cell) for cell in row]) for row in rows]
    return "\n".join([_row(head), _row(["---"] * len(head)), *body]) if body else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    r"""Text as it is: in one line, with everything escaped that Markdown would take for markup.

    >>> print(_plain("a|b_c <d>"))
    a\|b\_c \<d\>
    """
    return re.sub(r"([\\`*_\[\]<>|&~$#])", r"\\\1", " ".join(text.split()))


def _fence(text: str, language: str = "") -> str:
    """A block of code, fenced by more backticks than it has in a row."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{ticks}{language}\n{text}\n{ticks}" if text else ""
