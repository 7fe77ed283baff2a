"""Answering cells: from the cache or anew, in this process or several, each on one thread.

What raises becomes an error beside the answers of the others.
"""

import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import joblib
from threadpoolctl import threadpool_limits

import itssl
from itssl.claims.answer_cache import AnswerCache, Request, versions
from itssl.claims.cells import CellError, Settings
from itssl.claims.source_closure import Closures, Source
from itssl.progress import no_progress

LOADED: float = getattr(itssl, "_loaded")  # noqa: B009  its stub has public names only
_MACHINERY = ("itssl.claims.check", "itssl.claims.stated_values")
_AROUND = tuple(f"itssl.claims.{name}" for name in ("cells", "answering", "records", "answer_cache"))
"""What asks for answers and keeps them; of these only their own bytes matter, for they reach all claims."""


@dataclass(frozen=True)
class Answer:
    """What became of a cell: ``value`` is its answer or a CellError; ``notes`` say what went wrong in keeping it."""

    cell: Any
    value: Any
    cached: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def answers(
    cells: Sequence[Any], settings: Settings, *, jobs: int = 1, cache: AnswerCache | None = None
) -> Generator[Answer, None, None]:
    """The answers as they arrive: those of the cache first; the rest, in several processes, the longest first."""
    asked = requests(cells, settings) if cache is not None else {}
    missing: list[_Task] = []
    for cell in cells:
        kept = cache.find(asked[cell]) if cache is not None and cell in asked else None
        if kept is None:
            missing.append(_Task(cell, settings, cache, asked.get(cell)))
        else:
            yield Answer(cell, kept, cached=True)
    known = cache.seconds() if cache is not None else {}
    took: dict[str, float] = {}
    try:
        for answer in _run(missing, jobs, known):
            if not isinstance(answer.value, CellError):
                took[str(answer.cell)] = answer.seconds
            if cache is not None:
                cache.notes |= dict.fromkeys(answer.notes)
            yield answer
    finally:
        if cache is not None and took:
            cache.keep_seconds(took)
            cache.prune()


def requests(cells: Sequence[Any], settings: Settings) -> dict[Any, Request]:
    """What to ask the cache for, by cell, with the sources as they are now; nothing for cells from outside of itssl."""
    closures, known = Closures(Path(itssl.__file__).parent), versions()
    sources: dict[tuple[str, ...], Source] = {}
    found = {}
    try:
        machinery = closures.source(_MACHINERY, through_collectors=False) | closures.alone(_AROUND)
    except (ValueError, OSError):  # itssl without files
        return {}
    for cell in cells:
        modules = cell.modules()
        if modules and modules not in sources:
            try:
                sources[modules] = closures.source(modules) | machinery
            except ValueError:  # a claim of the user's own
                continue
        if modules:
            found[cell] = Request(cell, settings, sources[modules], known)
    return found


@dataclass(frozen=True)
class _Task:
    """A cell to answer anew; the answer is kept where there are a cache and a request."""

    cell: Any
    settings: Settings
    cache: AnswerCache | None
    request: Request | None

    def run(self) -> Answer:
        start = time.perf_counter()
        try:
            with _one_thread(), no_progress():
                if self.cache is None or self.request is None:
                    value = self.cell.measure(self.settings)
                else:
                    value = self.cache.measure(self.request)
        except Exception as error:
            value = _error(self.cell, error)
        notes = tuple(self.cache.notes) if self.cache is not None else ()
        return Answer(self.cell, value, seconds=time.perf_counter() - start, notes=notes)


def _run(tasks: Sequence[_Task], jobs: int, known: Mapping[str, float]) -> Generator[Answer, None, None]:
    """Answers as they finish; in several processes the longest ``known`` or expected to be are started first.

    Cells that train the same networks stay together, for a process keeps what it has trained.
    """
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            yield task.run()
        return
    together: dict[Any, list[_Task]] = {}
    for task in tasks:
        together.setdefault(task.cell.trained or task.cell, []).append(task)
    groups = sorted(together.values(), key=lambda group: -sum(_seconds(task.cell, known) for task in group))
    unfinished = {task.cell: None for task in tasks}
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = cast(Any, joblib.Parallel)(n_jobs=min(jobs, len(groups)), return_as="generator_unordered", batch_size=1)
    arriving = pool(joblib.delayed(_run_all)(group) for group in groups)
    try:
        for group in arriving:
            for answer in group:
                del unfinished[answer.cell]
                yield answer
    except Exception as error:  # a worker was killed or ran out of memory: the pool is gone, the answers are not
        for cell in unfinished:
            yield Answer(cell, _error(cell, error))
    finally:
        with (
            warnings.catch_warnings()
        ):  # after an interrupt joblib warns that it cancels tasks, which is what is wanted
            warnings.filterwarnings("ignore", "(?s).*tasks which were still being processed")
            arriving.close()


def _run_all(tasks: Sequence[_Task]) -> list[Answer]:
    return [task.run() for task in tasks]


def _seconds(cell: Any, known: Mapping[str, float]) -> float:
    return known.get(str(cell)) or cell.expected_seconds


def _error(cell: Any, error: Exception) -> CellError:
    """What the cell raised, with its traceback."""
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
