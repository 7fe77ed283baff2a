"""The ledger: many claims and their controls checked in one run, and everything found kept together."""

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib

from itssl.arrays import stream
from itssl.choices import ParameterError, require_count, require_known
from itssl.claims.answer_cache import AnswerCache
from itssl.claims.answering import LOADED, Answer, answers
from itssl.claims.cells import LEVELS, CellError, Level, Settings, StatedCell, family_wise_rate
from itssl.claims.cells import Cell as Cell
from itssl.claims.cells import left_out as left_out
from itssl.claims.cells import plan as plan
from itssl.claims.cells import plan_measurements as plan_measurements
from itssl.claims.chain_answer import Chain
from itssl.claims.claim import claims
from itssl.claims.decision import Outcome
from itssl.claims.stated_values import Comparison
from itssl.claims.verdict import ClaimError, Verdict
from itssl.estimate import format_with_error
from itssl.markup import require_pandas, table
from itssl.progress import progress_bar

_PACKAGES = ("itssl", "numpy", "scipy", "torch", "scikit-learn")


@dataclass(frozen=True, kw_only=True, repr=False)
class Ledger:
    """What a run found: verdicts in the order of the plan, the cells that raised, and how it was run.

    ``comparisons`` are those with stated values, ``chain`` the measured chain of the derivation (None where not run).
    ``family_wise_rate`` is the sum of the error rates of all cells, ``comparison_rate`` the part of it of stated
    values; see :mod:`itssl.claims.cells` for what they cover. ``cached`` counts the answers that were measured in an
    earlier run; ``notes`` say what went wrong beside the checks, e.g. a cache that cannot be written.
    Has no truth value, as a verdict has none: use ``.ok`` or ``.require()``.
    """

    verdicts: tuple[Verdict, ...]
    errors: tuple[CellError, ...]
    planned: int
    seconds: float
    seed: int
    level: Level
    versions: dict[str, str]
    started: str
    settings: Settings
    interrupted: bool = False
    comparisons: tuple[Comparison, ...] = ()
    chain: Chain | None = None
    family_wise_rate: float = 0.0
    comparison_rate: float = 0.0
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
    def unexplained(self) -> tuple[Comparison, ...]:
        """Comparisons that disagree and are not known to, or agree against what their note says."""
        return tuple(c for c in self.comparisons if not c.as_expected)

    @property
    def check_rate(self) -> float:
        """The sum of the error rates of the checks of claims and controls."""
        return max(self.family_wise_rate - self.comparison_rate, 0.0)

    @property
    def ok(self) -> bool:
        """Whether something was checked, all of it was as expected, nothing raised and nothing was left out."""
        found = self.failures or self.unexplained or self.errors
        return bool(self.verdicts) and not found and not self.interrupted and self.answered == self.planned

    @property
    def answered(self) -> int:
        """How many of the planned cells came to an answer, be it an error."""
        return len(self.verdicts) + len(self.comparisons) + (self.chain is not None) + len(self.errors)

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
        agree, differ = (sum(c.agrees is answer for c in self.comparisons) for answer in (True, False))
        loose = sum(c.agrees is True and c.says_little for c in self.comparisons)
        loosely = f", {loose} of them loosely" * bool(loose)
        words += [f"{agree} of {agree + differ} stated values agree{loosely}"] * bool(self.comparisons)
        words += ["the chain measured"] * (self.chain is not None)
        words += [f"{_plural(len(self.errors), 'check')} raised an error"] * bool(self.errors)
        left = self.planned - self.answered
        words += [f"interrupted with {left} of {self.planned} checks not run"] * self.interrupted
        return ", ".join(words)

    def require(self) -> None:
        """Raise ClaimError unless ``ok``: the summary, and all that is not as expected or raised an error."""
        if not self.ok:
            errors = [f"{e.cell}: {e.message}" for e in self.errors]
            raise ClaimError("\n".join([self.summary, *map(str, (*self.failures, *self.unexplained)), *errors]))

    def __bool__(self) -> bool:
        raise TypeError("a Ledger has no truth value; use ledger.ok, ledger.failures or ledger.require()")

    def __repr__(self) -> str:
        return f"Ledger({self.summary}; {self.seconds:.3g} s, seed {self.seed}, level {self.level!r})"

    def _repr_html_(self) -> str:
        head = ("claim", "world", "control", "verdict", "gap", "margin", "replicates")
        rows = [
            (v.claim, v.world, v.control or "", v.outcome.value,
             format_with_error(v.gap.value, v.gap.standard_error), f"{v.margin:.3g}", str(v.replicates))
            for v in self.verdicts
        ]  # fmt: skip
        rows += [(str(e.cell), "", "", f"ERROR: {e.message}", "", "", "") for e in self.errors]
        return table(head, rows, caption=repr(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON: one entry per claim, with its worlds and controls in it.

        ``itssl.reports.schema()`` describes it.
        """
        ids = {v.claim for v in self.verdicts} | {e.cell.claim for e in self.errors if isinstance(e.cell, Cell)}
        return {
            "claims": [self._entry(id) for id in claims() if id in ids],
            "comparisons": [c.to_dict() for c in self.comparisons],
            "chain": None if self.chain is None else self.chain.to_dict(),
            "family_wise_rate": self.family_wise_rate, "comparison_rate": self.comparison_rate,
            "rates": {"theorem": self.settings.theorem_rate, "finding": self.settings.finding_rate},
            "cached": self.cached, "seconds": round(self.seconds, 3), "versions": dict(self.versions),
            "seed": self.seed, "level": self.level, "ok": self.ok, "interrupted": self.interrupted,
            "planned": self.planned, "summary": self.summary,
            "errors": [{"cell": str(e.cell), "claim": getattr(e.cell, "claim", None), "message": e.message,
                        "traceback": e.traceback, "shell": e.cell.shell(self.settings)} for e in self.errors],
            "notes": list(self.notes), "started": self.started,
        }  # fmt: skip

    def _entry(self, id: str) -> dict[str, Any]:
        claim, own = claims()[id], [v for v in self.verdicts if v.claim == id]
        raised = any(e.cell.claim == id for e in self.errors if isinstance(e.cell, Cell))
        good = not raised and not any(v.claim == id for v in self.failures)
        return {
            "id": id, "kind": claim.kind, "title": claim.title, "formula": claim.formula, "uses": list(claim.uses),
            "reference": str(claim.reference), "relation": claim.relation.value,
            "as_expected": None if good and claim.kind == "finding" else good,  # of a finding nothing is expected
            "worlds": [self._verdict(v) for v in own if v.control is None],
            "controls": [self._verdict(v) for v in own if v.control is not None],
        }  # fmt: skip

    def _verdict(self, v: Verdict) -> dict[str, Any]:
        """The verdict's own dictionary without what is said of its claim; a control has its name."""
        entry = {key: value for key, value in v.to_dict().items() if key not in ("id", "kind", "relation", "control")}
        shell = {"shell": Cell(v.claim, v.world, v.control).shell(self.settings)}
        return ({} if v.control is None else {"name": v.control}) | entry | shell

    def to_json(self) -> str:
        """The ledger as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_pandas(self) -> Any:
        """One row per verdict, controls included, as a pandas DataFrame. Raises ImportError where pandas is missing."""
        pandas = require_pandas()

        columns = ("id", "kind", "world", "control", "outcome", "relation", "gap", "standard_error", "part", "margin",
                   "replicates", "seconds", "reason", "reproduce")  # fmt: skip
        rows = [{c: v.to_dict()[c] for c in columns} | {"gap": v.gap.value, "standard_error": v.gap.standard_error}
                for v in self.verdicts]  # fmt: skip
        return pandas.DataFrame(rows, columns=list(columns))


def run(
    cells: Iterable[Any],
    *,
    seed: int = 0,
    jobs: int = 1,
    level: Level = "default",
    false_verdict_rate: float | None = None,
    max_replicates: int = 1024,
    progress: bool = True,
    on_verdict: Callable[[Verdict], None] | None = None,
    cache: str | Path | None = None,
    fresh: bool = False,
    notes: Iterable[str] = (),
) -> Ledger:
    """Answer the cells in ``jobs`` processes and keep what they found, in their order.

    Answers do not depend on ``jobs``: every cell draws from its own streams and computes on one thread. A cell that
    raises becomes a :class:`CellError` beside the answers of the others; an interrupt (Ctrl-C) keeps what is finished.
    ``false_verdict_rate`` replaces the rates of theorems and findings. ``cache`` is a folder in which answers are kept
    and found again, ``fresh`` renews them all; without one nothing is kept. ``level`` and ``notes`` are recorded in
    the ledger;
    ``on_verdict`` is called in this process as verdicts arrive.

    Raises ParameterError for less than one job or strings for cells, SampleTypeError for a seed that is not a
    non-negative integer, TypeError for a cell whose answer is neither a verdict nor a comparison nor a chain.

    >>> run([], progress=False)
    Ledger(theorems hold in 0 of 0 checks, 0 of 0 controls refuted; 0 s, seed 0, level 'default')
    """
    cells = tuple(dict.fromkeys(cells))
    if names := [cell for cell in cells if isinstance(cell, str)]:
        raise ParameterError(f"cells: expected cells, got the string {names[0]!r}; write run(plan({names}))")
    require_count("jobs", jobs)
    require_known("level", level, LEVELS)
    stream(seed)  # refuses a bad seed once instead of in every cell
    settings = Settings(seed=seed, max_replicates=max_replicates)
    if false_verdict_rate is not None:
        settings = replace(settings, theorem_rate=false_verdict_rate, finding_rate=false_verdict_rate)
    started, start = datetime.now(UTC), time.perf_counter()
    store = None if cache is None else AnswerCache(Path(cache), LOADED, fresh=fresh)
    found: dict[Any, Answer] = {}
    interrupted = False
    with progress_bar("checks", len(cells), unit="check", shown=progress) as bar:
        try:
            with closing(answers(cells, settings, jobs=jobs, cache=store)) as arriving:
                for answer in arriving:
                    found[answer.cell] = answer
                    bar.update(note=_counts(a.value for a in found.values()))
                    if on_verdict is not None and isinstance(answer.value, Verdict):
                        on_verdict(answer.value)
        except KeyboardInterrupt:
            interrupted = True
    values = [found[cell].value for cell in cells if cell in found]
    for cell in found:
        if not isinstance(found[cell].value, Verdict | Comparison | Chain | CellError):
            kind = type(found[cell].value).__name__
            raise TypeError(f"cells: expected answers that are verdicts, comparisons or chains, got {kind} of {cell}")
    return Ledger(
        verdicts=tuple(a for a in values if isinstance(a, Verdict)),
        errors=tuple(a for a in values if isinstance(a, CellError)),
        comparisons=tuple(a for a in values if isinstance(a, Comparison)),
        chain=next((a for a in values if isinstance(a, Chain)), None),
        planned=len(cells), seconds=time.perf_counter() - start if cells else 0.0, seed=seed, level=level,
        versions=_versions(), started=started.isoformat(timespec="seconds"), interrupted=interrupted,
        family_wise_rate=family_wise_rate(cells, settings), settings=settings,
        comparison_rate=family_wise_rate((c for c in cells if isinstance(c, StatedCell)), settings),
        cached=sum(a.cached for a in found.values()), notes=(*notes, *(store.notes if store is not None else ())),
    )  # fmt: skip


def available_cores() -> int:
    """How many cores this process may use."""
    return joblib.cpu_count()


def _counts(values: Iterable[Any]) -> str:
    """How many answers are as expected; an error is not."""
    judged = [getattr(value, "as_expected", not isinstance(value, CellError)) for value in values]
    bad = judged.count(False)
    return f"{len(judged) - bad} as expected" + (f", {bad} NOT" if bad else "")


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}
