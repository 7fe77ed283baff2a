"""Which source files a module of the package can reach, so that what was computed with them is reused only unchanged.

The closure is static and errs on the large side. Every import statement counts, wherever it stands, except under
``if TYPE_CHECKING``. A name taken from a package whose ``__init__.pyi`` says where names live leads to that module;
a name bound to a package leads to all of it, and a plain ``import itssl`` to everything. A function that imports by
names made at run time (one that collects claims or estimators) leads whoever imports it to the packages that its file
names.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

_DYNAMIC = {"import_module", "__import__"}


@dataclass(frozen=True)
class Source:
    """The files behind a result; ``digest`` changes with any byte of any of them."""

    digest: str
    files: tuple[Path, ...]

    def __or__(self, other: "Source") -> "Source":
        digest = hashlib.sha256(f"{self.digest} {other.digest}".encode()).hexdigest()
        return Source(digest=digest, files=tuple(sorted({*self.files, *other.files})))

    def changed_since(self, when: float) -> bool:
        """Whether a file was written, replaced or removed after ``when``, in seconds as of ``time.time()``."""
        try:
            return any(max(s.st_mtime, s.st_ctime) >= when for s in (file.stat() for file in self.files))
        except OSError:
            return True


class Closures:
    """Closures in the package whose folder is ``root``, as it is now; make another one after a change.

    >>> import itssl
    >>> closures = Closures(Path(itssl.__file__).parent)
    >>> [f.name for f in closures.source(["itssl.choices"]).files]
    ['__init__.py', 'choices.py']
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[Path, _File] = {}
        self._paths: dict[str, Path | None] = {}
        self._next: dict[tuple[Path, bool], set[Path]] = {}

    def source(self, modules: Iterable[str], *, through_collectors: bool = True) -> Source:
        """The files that the modules (by their full names) can reach, their own and data beside them included.

        ``through_collectors=False`` leaves out what functions collect by names made at run time.
        Raises ValueError for a name that is no module of the package.
        """
        found: set[Path] = set()
        waiting: list[Path] = []
        for name in modules:
            self._known(name)
            waiting += self._bound(name, through_collectors)
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                if file.suffix == ".py":
                    waiting += self._next_to(file, through_collectors)
        for folder in {file.parent for file in found}:
            found |= {f for f in folder.iterdir() if f.is_file() and f.suffix not in (".py", ".pyi", ".pyc", ".typed")}
        return self._source(found)

    def alone(self, modules: Iterable[str]) -> Source:
        """The files of the modules themselves, without what they reach. Raises ValueError as :meth:`source`.

        >>> import itssl
        >>> [f.name for f in Closures(Path(itssl.__file__).parent).alone(["itssl.estimate"]).files]
        ['estimate.py']
        """
        return self._source({self._known(name) for name in modules})

    def _known(self, name: str) -> Path:
        path = self._path(name)
        if path is None:
            raise ValueError(f"modules: expected full names of modules of {self.root.name}, got {name!r}")
        return path

    def _source(self, found: set[Path]) -> Source:
        files = tuple(sorted(found))
        listing = "".join(f"{f.relative_to(self.root).as_posix()} {self._file(f).digest}\n" for f in files)
        return Source(digest=hashlib.sha256(listing.encode()).hexdigest(), files=files)

    def _next_to(self, file: Path, through: bool) -> set[Path]:
        if (file, through) not in self._next:
            self._next[file, through] = set(self._reached(file, through))
        return self._next[file, through]

    def _reached(self, file: Path, through: bool) -> Iterator[Path]:
        """The files of the packages around a module and of what its import statements lead to."""
        folder = file.parent
        while folder != self.root.parent:
            yield folder / "__init__.py"
            folder = folder.parent
        package = self.root.name
        for statement in self._file(file).imports:
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    if alias.name.partition(".")[0] == package:
                        yield from self._bound(alias.name, through) if alias.asname else self._beneath(package)
                continue
            module = self._absolute(statement, file)
            if module.partition(".")[0] == package:
                for alias in statement.names:
                    yield from self._taken(module, alias.name, through)

    def _bound(self, name: str, through: bool) -> Iterator[Path]:
        """What can be reached from a module bound to a name: all of a package that makes its names on demand."""
        path = self._path(name)
        if path is None:
            yield from self._beneath(name.rpartition(".")[0])  # no module of ours: anything of the package may make it
            return
        yield path
        if path.with_suffix(".pyi").exists():
            yield path.with_suffix(".pyi")
            yield from self._beneath(name)
        if through:
            yield from self._collected(path, None)

    def _taken(self, module: str, name: str, through: bool) -> Iterator[Path]:
        """What ``from module import name`` can reach."""
        path = self._path(module)
        if path is None or name == "*":
            yield from self._bound(module, through)
            return
        yield path
        inner = f"{module}.{name}"
        if self._path(inner) is not None:
            yield from self._bound(inner, through)
        stub = path.with_suffix(".pyi")
        if stub.exists() and name not in self._file(path).defined:
            yield stub
            named = [s for s in self._file(stub).imports if isinstance(s, ast.ImportFrom)]
            targets = [(s, a) for s in named for a in s.names if (a.asname or a.name) == name]
            for statement, alias in targets:
                target = self._absolute(statement, stub), alias.name
                if target != (module, name):
                    yield from self._taken(*target, through)
            if not targets and self._path(inner) is None:
                yield from self._beneath(module)
        if through:
            yield from self._collected(path, name)

    def _collected(self, path: Path, name: str | None) -> Iterator[Path]:
        """The packages from which the function of this name (any of the file, for None) imports at run time."""
        file = self._file(path)
        if file.collectors and (name is None or name in file.collectors or None in file.collectors):
            named = [text for text in file.texts if self._path(text) is not None]
            for package in named or [self.root.name]:
                yield from self._beneath(package)

    def _absolute(self, statement: ast.ImportFrom, file: Path) -> str:
        if not statement.level:
            return statement.module or ""
        folder = file.parents[statement.level - 1]
        return ".".join([self.root.name, *folder.relative_to(self.root).parts, *filter(None, [statement.module])])

    def _path(self, name: str) -> Path | None:
        """The file of a module or package; None where there is none."""
        if name not in self._paths:
            self._paths[name] = self._find(name)
        return self._paths[name]

    def _find(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first != self.root.name or not all(rest):
            return None
        place = self.root.joinpath(*rest)
        candidates = (place / "__init__.py", *([place.with_name(place.name + ".py")] if rest else []))
        return next((c for c in candidates if c.is_file()), None)

    def _beneath(self, package: str) -> Iterator[Path]:
        path = self._path(package)
        if path is not None:
            beneath = path.parent.rglob("*.py*") if path.name == "__init__.py" else [path]
            yield from (file for file in beneath if file.suffix in (".py", ".pyi"))

    def _file(self, path: Path) -> "_File":
        if path not in self._read:
            self._read[path] = _parsed(path.read_bytes())
        return self._read[path]


class _File:
    """One file: its digest, and what of its syntax matters here."""

    def __init__(self, content: bytes) -> None:
        self.digest = hashlib.sha256(content).hexdigest()
        self._content = content

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self._content)

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """The import statements that can be executed."""
        return [node for node in _executed(self._tree) if isinstance(node, ast.Import | ast.ImportFrom)]

    @cached_property
    def defined(self) -> set[str | None]:
        """Names of functions, classes and variables of the module itself."""
        return {name for statement in self._tree.body for name in _defines(statement)}

    @cached_property
    def collectors(self) -> set[str | None]:
        """Names of the module whose use may import by a name made at run time; None where importing the module does."""
        if not any(name.encode() in self._content for name in _DYNAMIC):
            return set()
        uses = [(_defines(statement), _names(statement)) for statement in self._tree.body]
        found: set[str | None] = set(_DYNAMIC)
        while True:
            more = {name for defines, used in uses if used & found for name in defines or {None}} - found
            if not more:
                return found - _DYNAMIC
            found |= more

    @cached_property
    def texts(self) -> set[str]:
        return {n.value for n in ast.walk(self._tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


@cache
def _parsed(content: bytes) -> _File:
    return _File(content)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Statements beneath a node, but for what stands under ``if TYPE_CHECKING``."""
    skipped = isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
    for name in ("orelse",) if skipped else ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, name, None) or ():
            yield child
            yield from _executed(child)


def _defines(statement: ast.stmt) -> set[str | None]:
    """The names that a statement at the top of a module binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return set()


def _names(statement: ast.stmt) -> set[str | None]:
    """Names and attributes that a statement mentions, those that it imports included."""
    names: set[str | None] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.name)
    return names
