"""The ledger: many claims and their controls checked in one run, and everything found kept together."""

import html
import importlib.metadata
import json
import platform
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, cast, get_args

import joblib
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from itssl.arrays import stream
from itssl.choices import ParameterError, require_count, require_known
from itssl.claims.check import check
from itssl.claims.claim import claims
from itssl.claims.decision import Outcome
from itssl.claims.verdict import Verdict
from itssl.estimate import format_with_error

Level: TypeAlias = Literal["quick", "default", "full"]
LEVELS: tuple[Level, ...] = get_args(Level)
_PACKAGES = ("itssl", "numpy", "scipy", "torch", "scikit-learn")


@dataclass(frozen=True)
class Cell:
    """One check to run: a claim, or one of its controls, in a world; names only."""

    claim: str
    world: str
    control: str | None = None

    def __str__(self) -> str:
        return f"{self.claim} in {self.world!r}" + (f", control {self.control!r}" if self.control is not None else "")


@dataclass(frozen=True, kw_only=True)
class CellError:
    """A check that raised instead of answering."""

    cell: Cell
    message: str
    traceback: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Ledger:
    """What a run found: verdicts in the order of the plan, the cells that raised, and how it was run.

    ``comparisons`` are those with stated values, ``chain`` the measured chain of the derivation (None where not run).
    ``family_wise_rate`` bounds the probability that any of its verdicts is wrong; ``cached`` counts the answers that
    were measured in an earlier run; ``notes`` say what went wrong beside the checks, e.g. a cache that cannot be
    written. Has no truth value, as a verdict has none: use ``.ok``.
    """

    verdicts: tuple[Verdict, ...]
    errors: tuple[CellError, ...]
    planned: int
    seconds: float
    seed: int
    level: Level
    versions: dict[str, str]
    started: str
    interrupted: bool = False
    comparisons: tuple[Any, ...] = ()
    chain: Any = None
    family_wise_rate: float = 0.0
    cached: int = 0
    notes: tuple[str, ...] = ()

    @property
    def theorems(self) -> tuple[Verdict, ...]:
        """Verdicts of theorems in their own worlds."""
        return tuple(v for v in self.verdicts if v.control is None and v.kind == "theorem")

    @property
    def findings(self) -> tuple[Verdict, ...]:
        """Verdicts of findings in their own worlds; they are reported, not judged."""
        return tuple(v for v in self.verdicts if v.control is None and v.kind == "finding")

    @property
    def controls(self) -> tuple[Verdict, ...]:
        """Verdicts of controls."""
        return tuple(v for v in self.verdicts if v.control is not None)

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """Verdicts that are not as expected, and theorems whose assumptions failed in every world that was run."""
        held = {v.claim for v in self.theorems if v.outcome is not Outcome.NOT_APPLICABLE}
        vacuous = {v.claim for v in self.theorems} - held
        return tuple(v for v in self.verdicts if not v.as_expected or (v.control is None and v.claim in vacuous))

    @property
    def ok(self) -> bool:
        """Whether something was checked, all of it was as expected, nothing raised and nothing was left out."""
        return bool(self.verdicts) and not (self.failures or self.errors or self.interrupted)

    @property
    def summary(self) -> str:
        """One line: what holds, what was refuted, what went wrong."""
        hold = sum(v.outcome is Outcome.HOLDS for v in self.theorems)
        inapplicable = sum(v.outcome is Outcome.NOT_APPLICABLE for v in self.theorems)
        refuted = sum(v.outcome is Outcome.VIOLATED for v in self.controls)
        words = [f"theorems hold in {hold} of {len(self.theorems)} checks"]
        words += [f"{_plural(inapplicable, 'check')} not applicable"] * bool(inapplicable)
        words += [f"{refuted} of {len(self.controls)} controls refuted"]
        words += [f"{_plural(len(self.findings), 'finding')} measured"] * bool(self.findings)
        words += [f"{_plural(len(self.errors), 'check')} raised an error"] * bool(self.errors)
        left = self.planned - len(self.verdicts) - len(self.errors)
        words += [f"interrupted with {left} of {self.planned} checks not run"] * self.interrupted
        return ", ".join(words)

    def __bool__(self) -> bool:
        raise TypeError("a Ledger has no truth value; use ledger.ok or ledger.failures")

    def __repr__(self) -> str:
        return f"Ledger({self.summary}; {self.seconds:.3g} s, seed {self.seed}, level {self.level!r})"

    def _repr_html_(self) -> str:
        head = ("claim", "world", "control", "verdict", "gap", "margin", "replicates")
        rows = [
            (v.claim, v.world, v.control or "", v.outcome.value,
             format_with_error(v.gap.value, v.gap.standard_error), f"{v.margin:.3g}", str(v.replicates))
            for v in self.verdicts
        ]  # fmt: skip
        rows += [
            (e.cell.claim, e.cell.world, e.cell.control or "", f"ERROR: {e.message}", "", "", "") for e in self.errors
        ]
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        heading = "".join(f"<th>{name}</th>" for name in head)
        return f"<p>{html.escape(repr(self))}</p><table><tr>{heading}</tr>{body}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON: one entry per claim and world, with the claim's controls in it.

        Controls of claims none of whose worlds came to a verdict are under "controls_without_claim".
        """
        controls: dict[str, list[dict[str, Any]]] = {}
        for v in self.controls:
            controls.setdefault(v.claim, []).append(_entry(v))
        entries = [
            {"title": claims()[v.claim].title, **_entry(v), "controls": controls.get(v.claim, [])}
            for v in self.verdicts
            if v.control is None
        ]
        judged = {entry["id"] for entry in entries}
        return {
            "claims": entries,
            "controls_without_claim": [
                {"id": id, **c} for id, run in controls.items() if id not in judged for c in run
            ],
            "seconds": round(self.seconds, 3), "versions": dict(self.versions), "seed": self.seed, "level": self.level,
            "ok": self.ok, "interrupted": self.interrupted, "planned": self.planned, "summary": self.summary,
            "errors": [{"claim": e.cell.claim, "world": e.cell.world, "control": e.cell.control,
                        "message": e.message, "traceback": e.traceback} for e in self.errors],
            "started": self.started, "comparisons": [c.to_dict() for c in self.comparisons],
            "chain": None if self.chain is None else self.chain.to_dict(),
            "family_wise_rate": self.family_wise_rate, "cached": self.cached, "notes": list(self.notes),
        }  # fmt: skip

    def to_json(self) -> str:
        """The ledger as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_pandas(self) -> Any:
        """One row per verdict, controls included, as a pandas DataFrame. Raises ImportError where pandas is missing."""
        import pandas

        columns = ("id", "kind", "world", "control", "outcome", "relation", "gap", "standard_error", "part", "margin",
                   "replicates", "seconds", "reason", "reproduce")  # fmt: skip
        rows = [{c: v.to_dict()[c] for c in columns} | {"gap": v.gap.value, "standard_error": v.gap.standard_error}
                for v in self.verdicts]  # fmt: skip
        return pandas.DataFrame(rows, columns=list(columns))


def plan(ids: Iterable[str] | None = None, level: Level = "default") -> tuple[Cell, ...]:
    """The cells of the named claims (all claims unless given): each world of the level, then each control.

    A world takes part at its own level and above ("quick" ⊂ "default" ⊂ "full"); a control at that of its world.

    Raises UnknownNameError for an unknown claim or level, ParameterError for a claim without a world at the level.

    >>> plan(["C17"], "quick")[0].claim
    'C17'
    """
    require_known("level", level, LEVELS)
    wanted = list(dict.fromkeys(claims() if ids is None else ids))
    cells: list[Cell] = []
    for id in wanted:
        require_known("claim", id, claims())
        claim, rank = claims()[id], LEVELS.index(level)
        worlds = [w for w in claim.worlds if LEVELS.index(w.level) <= rank]
        if not worlds:
            least = min((w.level for w in claim.worlds), key=LEVELS.index)
            raise ParameterError(f"level: {id} has no world at level {level!r}; run it at level {least!r}")
        cells += [Cell(id, w.name) for w in worlds]
        cells += [Cell(id, c.world.name, c.name) for c in claim.controls if LEVELS.index(c.world.level) <= rank]
    return tuple(cells)


def run(
    cells: Iterable[Cell],
    *,
    seed: int = 0,
    jobs: int = 1,
    level: Level = "default",
    false_verdict_rate: float = 1e-3,
    max_replicates: int = 1024,
    progress: bool = True,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> Ledger:
    """Check the cells in ``jobs`` processes and keep what they found, in their order.

    Verdicts do not depend on ``jobs``: every check draws from its own streams and computes on one thread. A cell
    that raises becomes a :class:`CellError` beside the verdicts of the others; an interrupt (Ctrl-C) keeps what is
    finished. ``level`` is recorded in the ledger; ``on_verdict`` is called in this process as verdicts arrive.

    Raises ParameterError for less than one job, SampleTypeError for a seed that is not a non-negative integer.

    >>> run([], progress=False)
    Ledger(theorems hold in 0 of 0 checks, 0 of 0 controls refuted; 0 s, seed 0, level 'default')
    """
    cells = tuple(dict.fromkeys(cells))
    require_count("jobs", jobs)
    require_known("level", level, LEVELS)
    stream(seed)  # refuses a bad seed once instead of in every cell
    options = {"seed": seed, "false_verdict_rate": false_verdict_rate, "max_replicates": max_replicates}
    started, start = datetime.now(UTC), time.perf_counter()
    found: dict[Cell, Verdict | CellError] = {}
    interrupted = False
    with tqdm(total=len(cells), file=sys.stderr, disable=not progress, unit="check") as bar:
        try:
            with closing(_attempts(cells, jobs, options)) as attempts:
                for cell, answer in attempts:
                    found[cell] = answer
                    bar.set_postfix_str(_counts(found.values()), refresh=False)
                    bar.update()
                    if on_verdict is not None and isinstance(answer, Verdict):
                        on_verdict(answer)
        except KeyboardInterrupt:
            interrupted = True
    answers = [found[cell] for cell in cells if cell in found]
    return Ledger(
        verdicts=tuple(a for a in answers if isinstance(a, Verdict)),
        errors=tuple(a for a in answers if isinstance(a, CellError)),
        planned=len(cells), seconds=time.perf_counter() - start if cells else 0.0, seed=seed, level=level,
        versions=_versions(), started=started.isoformat(timespec="seconds"), interrupted=interrupted,
    )  # fmt: skip


def _attempts(
    cells: tuple[Cell, ...], jobs: int, options: dict[str, Any]
) -> Generator[tuple[Cell, Verdict | CellError], None, None]:
    """Cells with what became of them, as they finish."""
    if min(jobs, len(cells)) <= 1:
        for cell in cells:
            yield cell, _attempt(cell, options)
        return
    unfinished = dict.fromkeys(cells)
    tasks = (joblib.delayed(_answer)(cell, options) for cell in cells)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = cast(Any, joblib.Parallel)(n_jobs=min(jobs, len(cells)), return_as="generator_unordered", batch_size=1)
    answers = pool(tasks)
    try:
        for cell, answer in answers:
            del unfinished[cell]
            yield cell, answer
    except Exception as error:  # a worker was killed or ran out of memory: the pool is gone, the verdicts are not
        for cell in unfinished:
            yield cell, _error(cell, error)
    finally:
        with (
            warnings.catch_warnings()
        ):  # after an interrupt joblib warns that it cancels tasks, which is what is wanted
            warnings.filterwarnings("ignore", "(?s).*tasks which were still being processed")
            answers.close()


def _answer(cell: Cell, options: dict[str, Any]) -> tuple[Cell, Verdict | CellError]:
    return cell, _attempt(cell, options)


def _attempt(cell: Cell, options: dict[str, Any]) -> Verdict | CellError:
    try:
        with _one_thread():
            return check(cell.claim, cell.world, control=cell.control, **options)
    except Exception as error:
        return _error(cell, error)


def _error(cell: Cell, error: Exception) -> CellError:
    text = "".join(traceback.format_exception(error))
    return CellError(cell=cell, message=f"{type(error).__name__}: {error}", traceback=text)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for linear algebra: sums are then in the same order in every process, whatever ``jobs`` is."""
    import scipy.linalg  # noqa: F401  loaded now, for only the threads of loaded libraries can be limited
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


def _counts(answers: Collection[Verdict | CellError]) -> str:
    good = sum(isinstance(a, Verdict) and a.as_expected for a in answers)
    bad = len(answers) - good
    return f"{good} as expected" + (f", {bad} NOT" if bad else "")


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _entry(verdict: Verdict) -> dict[str, Any]:
    """The verdict's own dictionary as an entry of the ledger; a control says its name and nothing of the claim."""
    entry = verdict.to_dict()
    if verdict.control is None:
        del entry["control"]
        return entry
    kept = ("world", "outcome", "gap", "standard_error", "part", "replicates", "reason", "reproduce")
    return {"name": verdict.control} | {key: entry[key] for key in kept}
