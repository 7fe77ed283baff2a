"""The command line: verify claims, list and show them, estimate from files.

Libraries are imported inside the commands, so that `itssl --help` answers at once.
"""

import ast
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Refusal(click.ClickException):
    """A request that cannot be met: one line on stderr, exit status 2."""

    exit_code = 2


class _Seed(click.ParamType):
    """A non-negative integer, or "random", which becomes None."""

    name = "seed"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "INTEGER|random"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        return None if value == "random" else click.IntRange(min=0).convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="itssl", message="%(prog)s %(version)s")
def main() -> None:
    """Verify information-theoretic statements about deterministic neural networks, numerically."""


@main.command()
@click.argument("ids", metavar="[CLAIM]...", nargs=-1)
@click.option("--quick", is_flag=True, help="Only the quick worlds of each claim.")
@click.option("--full", is_flag=True, help="All worlds, also those that take long.")
@click.option(
    "--seed", type=_Seed(), default="0", show_default=True, help="Names all random streams; 'random' draws it."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes; by default as many as there are cores. Verdicts stay equal."
)
@click.option("--fresh", is_flag=True, help="Measure everything again, and renew the cache.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which answers are kept; by default $ITSSL_CACHE or the user's folder for caches.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("itssl-report"),
    show_default=True,
    help="Folder for report.json, report.md and index.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr (by default where it is a terminal).")
def verify(
    ids: tuple[str, ...],
    quick: bool,
    full: bool,
    seed: int | None,
    jobs: int | None,
    fresh: bool,
    cache: Path | None,
    out: Path,
    as_json: bool,
    progress: bool | None,
) -> None:
    """Check the named claims, or all, each with its controls.

    What the same sources answered before is taken from the cache. All claims together also come with the comparison of
    stated values and, but for --quick, the chain of the derivation.

    Exit status: 0 where every theorem holds, every control is refuted and no stated value differs without being known
    to, 1 where not, 2 for a request that cannot be met, 130 when interrupted (what is finished is kept and written).
    """
    if quick and full:
        raise click.UsageError("expected --quick or --full, got both; leave one out")
    level = "quick" if quick else "full" if full else "default"
    try:
        with _refusals():
            from itssl.claims.answer_cache import default_folder
            from itssl.claims.ledger import available_cores, left_out, plan, plan_measurements, run

            named = [name.upper() for name in ids] or None
            cells = plan(named, level) + plan_measurements(named, level)
            out.mkdir(parents=True, exist_ok=True)
        if seed is None:
            seed = secrets.randbits(32)
            click.echo(f"seed {seed} (drawn)", err=True)
        ledger = run(
            cells, seed=seed, jobs=jobs or available_cores(), level=level, cache=cache or default_folder(), fresh=fresh,
            progress=sys.stderr.isatty() if progress is None else progress, notes=left_out(named, level),
        )  # fmt: skip
        from itssl.reports.markdown import write_markdown
        from itssl.reports.page import write_json, write_page
        from itssl.reports.tables import failure_text, ledger_table

        if as_json:
            click.echo(ledger.to_json())
        else:
            _print(ledger_table(ledger))
        with _refusals():
            written = (write_json(ledger, out / "report.json"), write_markdown(ledger, out / "report.md"),
                       write_page(ledger, out / "index.html"))  # fmt: skip
        for note in ledger.notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{ledger.summary}; {ledger.seconds:.1f} s, seed {seed}, level {level}", err=as_json)
        click.echo(_budget(ledger), err=as_json)
        click.echo(f"written: {', '.join(map(str, written[:-1]))} and {written[-1]}", err=as_json)
        if not ledger.ok:
            click.echo(failure_text(ledger), err=True)
    except KeyboardInterrupt:  # before the first check or while the report is written
        raise click.exceptions.Exit(INTERRUPTED) from None
    raise click.exceptions.Exit(INTERRUPTED if ledger.interrupted else 0 if ledger.ok else 1)


def _budget(ledger: Any) -> str:
    kept = f"; {ledger.cached} of {ledger.planned} answers from the cache" * bool(ledger.cached)
    stated = f", any stated value wrongly disagrees with at most {ledger.comparison_rate:.2g}"
    stated *= bool(ledger.comparison_rate)
    return f"any check that draws is wrong with probability at most {ledger.check_rate:.2g}{stated}{kept}"


@main.command()
@click.argument("id", metavar="CLAIM")
@click.argument("world", required=False)
@click.option("--control", help="Check this wrong variant of the claim instead.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Names all random streams.")
@click.option(
    "--false-verdict-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Probability of a wrong verdict; by default that of itssl verify.",
)
@click.option(
    "--max-replicates", type=click.IntRange(min=2), default=1024, show_default=True,
    help="The most draws, after a first look.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(
    id: str, world: str | None, control: str | None, seed: int, false_verdict_rate: float | None, max_replicates: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Check one CLAIM in one WORLD (by default where it is tight), exactly as itssl verify does, without the cache.

    Exit status: 0 where the verdict is as expected (VIOLATED for a control), 1 where not, 2 for an unknown name.
    """
    with _refusals():
        from itssl.choices import require_known
        from itssl.claims.claim import claims
        from itssl.claims.ledger import Cell, run

        require_known("claim", id.upper(), claims())
        claim = claims()[id.upper()]
        place = claim.tight_at if control is None else claim.find_control(control).world
        cell = Cell(claim.id, place.name if world is None else claim.world(world).name, control)
    options = {"false_verdict_rate": false_verdict_rate, "max_replicates": max_replicates}
    ledger = run([cell], seed=seed, progress=False, **options)
    for error in ledger.errors:
        click.echo(error.traceback, err=True, nl=False)
        raise click.exceptions.Exit(1)
    if ledger.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
    (verdict,) = ledger.verdicts
    click.echo(verdict.to_json() if as_json else str(verdict))
    raise click.exceptions.Exit(0 if verdict.as_expected else 1)


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_claims(as_json: bool) -> None:
    """List the claims: identifier, kind, title, and how many worlds and controls."""
    from itssl.claims.claim import claims

    rows = [
        {"id": c.id, "kind": c.kind, "title": c.title, "worlds": len(c.worlds), "controls": len(c.controls)}
        for c in claims().values()
    ]
    if as_json:
        click.echo(json.dumps({"claims": rows}, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "kind", "title", box=None, padding=(0, 1, 0, 0))
    for name in ("worlds", "controls"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    _print(table)


@main.command()
@click.argument("id", metavar="[CLAIM]", required=False)
@click.option(
    "--graph", "as_graph", is_flag=True, help="Which claim is derived from which; of CLAIM, its part of that."
)
@click.option("--json", "as_json", is_flag=True, help="Print the graph as one JSON object.")
@click.option("--dot", "as_dot", is_flag=True, help="Print the graph in the language of Graphviz.")
def show(id: str | None, as_graph: bool, as_json: bool, as_dot: bool) -> None:
    """Show a claim: its statement, reference, margin, assumptions, worlds, controls, and the claims next to it.

    With --graph, show how the claims rest on one another.
    """
    if id is None and not as_graph:
        raise click.UsageError("expected CLAIM or --graph, got neither; write e.g. itssl show C17")
    if not as_graph and (as_json or as_dot):
        raise click.UsageError("--json, --dot: expected --graph with it; write e.g. itssl show --graph --json")
    if as_json and as_dot:
        raise click.UsageError("expected --json or --dot, got both; leave one out")
    from itssl.choices import require_known
    from itssl.claims.claim import claims
    from itssl.claims.graph import around, claim_graph, graph_dot, graph_json, graph_text
    from itssl.reports.tables import claim_text

    with _refusals():
        if id is not None:
            require_known("claim", id.upper(), claims())
        if not as_graph:
            click.echo(claim_text(claims()[str(id).upper()]))
            return
        graph = claim_graph() if id is None else around(claim_graph(), id.upper())
    click.echo(graph_json(graph) if as_json else graph_dot(graph) if as_dot else graph_text(graph))


@main.command()
@click.argument("file", type=_FILE)
@click.option("--and", "other", type=_FILE, help="Second file of paired rows: estimates mutual information.")
@click.option("--method", help="Estimator; an unknown name lists those on offer.")
@click.option("--option", "options", metavar="KEY=VALUE", multiple=True, help="Configures the estimator, e.g. k=3.")
@click.option("--key", help="Name of the array in an .npz FILE.")
@click.option("--and-key", help="Name of the array in the second .npz file.")
@click.option("--bits", is_flag=True, help="Print bits instead of nats.")
@click.option("--labels", type=_FILE, help="Class labels of the rows: asks for the report on embeddings.")
@click.option("--labels-key", help="Name of the array of labels in an .npz file.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page of the report on embeddings; itssl-report/FILE.html with --labels. Asks for the report.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=20),
    help="Rows in which the report searches for nearest neighbors, at most.  [default: 5000]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr (by default where it is a terminal).")
def estimate(
    file: Path, other: Path | None, method: str | None, options: tuple[str, ...], key: str | None, and_key: str | None,
    bits: bool, labels: Path | None, labels_key: str | None, out: Path | None, rows: int | None, as_json: bool,
    progress: bool | None,
) -> None:  # fmt: skip
    """Estimate the entropy of the rows of FILE (.npy, .npz or .csv), or the mutual information of two files.

    One row is one draw. The answer comes with its error, the direction of its bias and warnings.

    With --labels or --out, report on FILE as embeddings: entropy, information about the labels, intrinsic dimension,
    effective rank, collapse, and all warnings, printed and as one self-contained page.
    """
    if labels is not None or out is not None:
        chosen = {"--and": other, "--and-key": and_key, "--method": method, "--option": options, "--bits": bits}
        for name in (name for name, value in chosen.items() if value):
            raise click.UsageError(f"{name}: expected no such option beside --labels or --out; leave one of them out")
        _report_embeddings(file, key, labels, labels_key, out, rows, as_json, progress)
        return
    for name, value in {"--labels-key": labels_key, "--rows": rows}.items():
        if value is not None:
            raise click.UsageError(f"{name}: expected --labels or --out with it, got neither")
    _require_second(other, and_key)
    chosen = {"method": method} if method is not None else {}
    with _refusals(file.name if other is None else f"{file.name} and {other.name}"):
        from itssl.estimators.methods import entropy, mutual_information

        configuration = dict(map(_key_value, options))
        x, y = _samples(file, other, key, and_key)
        if y is None:
            answer, shape = entropy(x, **chosen, **configuration), f"d={x.shape[1]}"
        else:
            answer = mutual_information(x, y, **chosen, **configuration)
            shape = f"d={x.shape[1]} and {y.shape[1]}"
        answer = answer.in_bits() if bits else answer
    click.echo(answer.to_json() if as_json else f"{answer!r}\n  bias: {answer.bias.value}; {shape}")


def _report_embeddings(
    file: Path, key: str | None, labels: Path | None, labels_key: str | None, out: Path | None, rows: int | None,
    as_json: bool, progress: bool | None,
) -> None:  # fmt: skip
    """The report on embeddings, printed and written."""
    if labels is None and labels_key is not None:
        raise click.UsageError("--labels-key: expected a file with --labels, got none")
    with _refusals(file.name if labels is None else f"{file.name} and {labels.name}"):
        from itssl.evaluation.embedding_report import ROWS, embedding_report
        from itssl.files import read_labels, read_samples
        from itssl.reports.embeddings import write_embeddings

        z = read_samples(file, key=key)
        codes = None if labels is None else read_labels(labels, n=len(z), key=labels_key)
        page = out or Path("itssl-report", f"{file.stem}.html")
        page.parent.mkdir(parents=True, exist_ok=True)  # before the work that would be lost
        shown = sys.stderr.isatty() if progress is None else progress
        report = embedding_report(z, codes, name=file.name, rows=rows or ROWS, progress=shown)
        written = write_embeddings(report, page, code=_repetition(file, key, labels, labels_key, rows))
    click.echo(report.to_json() if as_json else report)
    click.echo(f"written: {written}", err=as_json)


def _repetition(file: Path, key: str | None, labels: Path | None, labels_key: str | None, rows: int | None) -> str:
    """The lines of Python that give the report again."""
    asked = [f"read_samples({str(file)!r}{f', key={key!r}' if key else ''})"]
    if labels is not None:
        asked.append(f"read_labels({str(labels)!r}, n=len(z){f', key={labels_key!r}' if labels_key else ''})")
    more = f", name={file.name!r}{f', rows={rows}' if rows else ''}"
    lines = [f"{name} = {call}" for name, call in zip(("z", "labels"), asked, strict=False)]
    of = "z" if labels is None else "z, labels"
    named = "read_samples" if labels is None else "read_labels, read_samples"
    return "\n".join(
        ["import itssl", f"from itssl.files import {named}", "", *lines, f"itssl.embedding_report({of}{more})"]
    )


@main.command()
@click.argument("file", type=_FILE)
@click.option("--and", "other", type=_FILE, help="Second file of paired rows: asks about their mutual information.")
@click.option("--key", help="Name of the array in an .npz FILE.")
@click.option("--and-key", help="Name of the array in the second .npz file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def diagnose(file: Path, other: Path | None, key: str | None, and_key: str | None, as_json: bool) -> None:
    """Say what in FILE (.npy, .npz or .csv) no estimate survives, and which estimator suits it, if any.

    Exit status 0 whatever is found: a warning is an answer.
    """
    _require_second(other, and_key)
    with _refusals(file.name if other is None else f"{file.name} and {other.name}"):
        from itssl.estimators.choice import choose
        from itssl.estimators.trust import diagnose

        x, y = _samples(file, other, key, and_key)
        report = diagnose(x, y)
        recommended = None if as_json else choose(x, y)
    if as_json:
        click.echo(report.to_json())
        return
    click.echo(report)
    click.echo("\n".join(["recommended:", *str(recommended).partition("\n  !")[0].splitlines()]))


def _require_second(other: Path | None, and_key: str | None) -> None:
    if and_key is not None and other is None:
        raise click.UsageError("--and-key: expected a second file with --and, got none")


def _samples(file: Path, other: Path | None, key: str | None, and_key: str | None) -> tuple[Any, Any]:
    """The samples of both files, paired; None for the second where there is none."""
    from itssl.arrays import as_paired_samples
    from itssl.files import read_samples

    x = read_samples(file, key=key)
    if other is None:
        return x, None
    y = read_samples(other, key=and_key)
    as_paired_samples(x, y, names=(file.name, other.name))
    return x, y


@contextmanager
def _refusals(subject: str = "") -> Iterator[None]:
    """Turn the library's typed errors into one line and exit status 2; anything else raised is a defect and passes."""
    from itssl.arrays import SampleError
    from itssl.choices import ParameterError, UnknownNameError

    try:
        yield
    except (UnknownNameError, ParameterError) as error:
        raise _Refusal(_line(error)) from error
    except SampleError as error:
        named = any(part and str(error).startswith(part) for part in subject.split(" and "))
        raise _Refusal(_line(error) if named or not subject else f"{subject}: {_line(error)}") from error
    except OSError as error:
        raise _Refusal(f"{error.filename or subject}: {error.strerror or error}; check the path") from error
    except ValueError as error:
        from itssl.files import SampleFileError

        if not isinstance(error, SampleFileError):
            raise
        raise _Refusal(_line(error)) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _key_value(text: str) -> tuple[str, Any]:
    """k=3 as ("k", 3); what is no Python literal stays text."""
    from itssl.choices import ParameterError

    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or key == "method":
        raise ParameterError(f"--option: expected KEY=VALUE, got {text!r}; write e.g. --option k=3")
    try:
        return key, ast.literal_eval(value.capitalize() if value in ("true", "false", "none") else value)
    except (ValueError, SyntaxError):
        return key, value


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console(file=sys.stdout, highlight=False).print(renderable)
