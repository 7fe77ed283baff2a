"""Answers kept on disk: what the same sources under the same settings answered is not measured again.

An answer is found by a key of all it depends on: the bytes of every file of itssl that it can reach, the cell, the
settings, the kind of machine, and the versions of Python and of the libraries that compute. The folder is a
``joblib.Memory`` whose entries are JSON text instead of pickles: reading one runs nothing of what is in it, so that
somebody else who can write to the folder can falsify verdicts, but do nothing worse. An entry is written whole or not
at all, and processes may share a folder. A damaged entry, and one that answers another cell, is measured again; a
folder that cannot be read or written is done without, and a note says so.
"""

import importlib.metadata
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import joblib
from joblib._store_backends import FileSystemStoreBackend

from itssl.claims import records
from itssl.claims.source_closure import Source

_LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "mlxtend")
_KEPT = 60 * 86_400  # seconds
_CHANGED = "files of itssl changed after it was loaded: what depends on them is not kept"


def default_folder() -> Path:
    """$ITSSL_CACHE, or this user's folder for caches on this platform."""
    import platformdirs

    given = os.environ.get("ITSSL_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("itssl")


@dataclass(frozen=True)
class Request:
    """A cell to be answered under settings, with the sources and libraries that can bear on the answer."""

    cell: Any
    settings: Any
    source: Source
    versions: tuple[str, ...]

    @property
    def key(self) -> str:
        """All that the answer depends on, as text."""
        return json.dumps({
            "cell": records.to_text(self.cell), "settings": records.to_text(self.settings),
            "sources": self.source.digest, "versions": self.versions,
        })  # fmt: skip

    def fits(self, answer: Any) -> bool:
        """Whether the answer is one to this cell under this seed."""
        return self.cell.fits(answer, self.settings)


def versions() -> tuple[str, ...]:
    """The machine's architecture, Python, and the libraries that compute or bring data, each with its version."""
    libraries = (f"{name} {_version(name)}" for name in _LIBRARIES)
    return (platform.machine(), f"python {platform.python_version()}", *libraries)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class AnswerCache:
    """The answers in a folder. ``fresh`` looks nothing up and renews what is there.

    Sources that changed after ``loaded`` (in seconds, as ``time.time()`` gives them) are not those that this process
    runs: answers that depend on them are neither looked up nor kept.
    ``notes`` says what went wrong, each thing once.
    """

    def __init__(self, folder: Path, loaded: float, *, fresh: bool = False) -> None:
        self.folder, self.loaded, self.fresh = folder, loaded, fresh
        self.notes: dict[str, None] = {}
        self._answer: Any
        try:
            self._store = _TextStore(folder, self.notes)
            self._answer = joblib.Memory(cast(Any, self._store), verbose=0).cache(_answer)
            self._answer.check_call_in_cache("")  # joblib's first look compares only whether _answer itself is the same
        except OSError as error:
            self.notes[_unusable(folder, error)] = None
            self._answer = None

    def __reduce__(self) -> Any:
        return _opened, (self.folder, self.loaded, self.fresh)

    def find(self, request: Request) -> Any:
        """The answer kept for the request; None where there is none."""
        if self._answer is None or self.fresh or request.source.changed_since(self.loaded):
            return None
        key = request.key
        self._store.fits = request.fits
        return records.from_text(self._answer(key)) if self._answer.check_call_in_cache(key) else None

    def measure(self, request: Request) -> Any:
        """The request's answer, measured and kept (or found after all, where another process was faster)."""
        changed = request.source.changed_since(self.loaded)
        if self._answer is None or changed:
            self.notes |= {_CHANGED: None} if changed else {}
            return request.cell.measure(request.settings)
        self._store.fresh, self._store.fits = self.fresh, request.fits
        self._store.keeps = lambda: not request.source.changed_since(self.loaded)
        return records.from_text(self._answer(request.key))

    def prune(self) -> None:
        """Remove the answers that were not used for two months, and nothing else that the folder may hold."""
        if self._answer is None:
            return
        try:
            kept = (self.folder / self._answer.func_id).iterdir()
            entries = [entry for entry in kept if re.fullmatch("[0-9a-f]{32}", entry.name)]
        except OSError:  # nothing was kept yet
            return
        for entry in entries:
            try:
                facts = (entry / "output.json").stat()
                if not entry.is_symlink() and max(facts.st_atime, facts.st_mtime) < time.time() - _KEPT:
                    for name in ("output.json", "metadata.json"):
                        (entry / name).unlink(missing_ok=True)
                    entry.rmdir()
            except OSError:  # another process was faster, or there is more in it than was put there here
                continue

    def seconds(self) -> dict[str, float]:
        """How long cells took when they were last measured, by their text; empty where that is not known."""
        try:
            known = json.loads(self._costs.read_text(encoding="utf-8"))
            return {str(cell): float(value) for cell, value in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def keep_seconds(self, measured: Mapping[str, float]) -> None:
        """Add to :meth:`seconds`. Only the order of later runs depends on it, so that failing to write is no harm."""
        if self._answer is not None and measured:
            text = json.dumps(self.seconds() | dict(measured), ensure_ascii=False, indent=0)
            try:
                _write(self._costs, text)
            except OSError:
                return

    @property
    def _costs(self) -> Path:
        return self.folder / "seconds.json"


def _answer(key: str) -> str:
    """The function that is memorized: from a key, the answer to its cell as text."""
    facts = json.loads(key)
    return records.to_text(records.from_text(facts["cell"]).measure(records.from_text(facts["settings"])))


def _opened(folder: Path, loaded: float, fresh: bool) -> AnswerCache:
    return AnswerCache(folder, loaded, fresh=fresh)


class _TextStore(FileSystemStoreBackend):
    """joblib's folders with answers as text, which is read and checked when it is looked up."""

    def __init__(self, folder: Path, notes: dict[str, None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(str(folder), verbose=0)
        self.notes, self.fresh = notes, False
        self.keeps: Callable[[], bool] = lambda: True
        self.fits: Callable[[Any], bool] = lambda answer: True

    def configure(self, location: str, verbose: int = 0, backend_options: Any = None) -> None:
        self.location, self.verbose, self.compress, self.mmap_mode = location, verbose, False, None

    def contains_item(self, call_id: Any) -> bool:
        if self.fresh or not self._file(call_id).exists():
            return False
        try:
            whole = self.fits(records.from_text(self._file(call_id).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            whole = False
        if not whole:
            self.notes[f"{self.location}: a damaged entry of the cache is measured again"] = None
        return whole

    def load_item(self, call_id: Any, verbose: int = 1, timestamp: Any = None, metadata: Any = None) -> str:
        return self._file(call_id).read_text(encoding="utf-8")

    def dump_item(self, call_id: Any, item: str, verbose: int = 1) -> None:
        if not self.keeps():
            self.notes[_CHANGED] = None
            return
        try:
            self._file(call_id).parent.mkdir(parents=True, exist_ok=True)
            _write(self._file(call_id), item)
        except OSError as error:
            self.notes[_unusable(Path(self.location), error)] = None

    def store_cached_func_code(self, call_id: Any, func_code: str | None = None) -> None:
        try:
            super().store_cached_func_code(call_id, func_code)
        except OSError as error:
            self.notes[_unusable(Path(self.location), error)] = None

    def _file(self, call_id: Any) -> Path:
        return Path(self.location, *call_id, "output.json")


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _unusable(folder: Path, error: OSError) -> str:
    return f"{folder}: the cache cannot be used ({error.strerror or error}); the run goes on without it"
