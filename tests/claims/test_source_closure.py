"""Closures of sources: large enough for everything that is executed, and no larger than the rules say."""

import os
import sys
from pathlib import Path

import pytest

import itssl
from itssl.claims.answering import requests
from itssl.claims.cells import Settings
from itssl.claims.claim import claims
from itssl.claims.ledger import Cell, plan
from itssl.claims.source_closure import Closures

FILES = {
    "__init__.py": "", "b.py": "", "c.py": "", "d.py": "", "data.json": "{}",
    "lazy/__init__.py": "attach_stub()", "lazy/__init__.pyi": "from .one import f as f\nfrom . import two as two\n",
    "lazy/one.py": "from ..b import x", "lazy/two.py": "from . import three", "lazy/three.py": "",
    "plain/__init__.py": "from pkg.c import c", "plain/inner.py": "",
    "plugins/__init__.py": "", "plugins/p.py": "", "plugins/q.py": "import pkg.d as d",
    "collect.py": "from importlib import import_module as load\n"
                  "def collect():\n    return load(NAME)\nNAME = 'pkg.plugins'\n"
                  "def found():\n    return collect()\ndef other(): ...\nclass Other: ...\n",
    "anywhere.py": "def f(name):\n    return __import__(name)\n",
    "passes_on.py": "from pkg.collect import found\n",
}  # fmt: skip
EVERYTHING = {name for name in FILES if name.endswith((".py", ".pyi"))} | {"a.py"}
LAZY = {"lazy/__init__.py", "lazy/__init__.pyi", "lazy/one.py", "lazy/two.py", "lazy/three.py", "b.py"}
PLUGINS = {"plugins/__init__.py", "plugins/p.py", "plugins/q.py", "d.py"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "pkg" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pkg" / name).write_text(text)
    return tmp_path / "pkg"


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("import math, numpy as np", set()),
        ("from pkg.b import x", {"b.py"}),
        ("from .b import x", {"b.py"}),
        ("from . import b", {"b.py"}),
        ("import pkg.b as b", {"b.py"}),
        ("def f():\n  with x:\n    try:\n      g()\n    except E:\n      from pkg.b import x", {"b.py"}),
        ("if x:\n    pass\nelif y:\n    pass\nelse:\n    from pkg.b import x", {"b.py"}),
        ("match x:\n    case 1:\n        from pkg.b import x", {"b.py"}),
        ("class A:\n    async def f():\n        from pkg.b import x", {"b.py"}),
        ("while x:\n    for y in z:\n        from pkg.b import x", {"b.py"}),
        ("if TYPE_CHECKING:\n    from pkg.b import x\nelse:\n    from pkg.c import x", {"c.py"}),
        ("if typing.TYPE_CHECKING:\n    import pkg", set()),
        ("import pkg", EVERYTHING),
        ("import pkg.b", EVERYTHING),
        ("from pkg.lazy import f", {"lazy/__init__.py", "lazy/__init__.pyi", "lazy/one.py", "b.py"}),
        ("from pkg.lazy import two", {"lazy/__init__.py", "lazy/__init__.pyi", "lazy/two.py", "lazy/three.py"}),
        ("from pkg.lazy.three import x", {"lazy/__init__.py", "lazy/three.py"}),
        ("from pkg.lazy import unknown", LAZY),
        ("from pkg.lazy import *", LAZY),
        ("from pkg import lazy", LAZY),
        ("import pkg.lazy as z", LAZY),
        ("from pkg.plain import c", {"plain/__init__.py", "c.py"}),
        ("from pkg.plain import inner", {"plain/__init__.py", "plain/inner.py", "c.py"}),
        ("from pkg.collect import other, Other", {"collect.py"}),
        ("from pkg.collect import collect", {"collect.py"} | PLUGINS),
        ("from pkg.collect import found", {"collect.py"} | PLUGINS),
        ("from pkg.collect import *", {"collect.py"} | PLUGINS),
        ("from pkg import collect", {"collect.py"} | PLUGINS),
        ("from pkg.passes_on import anything", {"passes_on.py", "collect.py"} | PLUGINS),
        ("from pkg.anywhere import f", EVERYTHING),
        ("import importlib\nimportlib.import_module('pkg.plugins')", PLUGINS),
    ],
)  # fmt: skip
def test_closure(root: Path, text: str, reached: set[str]) -> None:
    (root / "a.py").write_text(text)
    found = {file.relative_to(root).as_posix() for file in Closures(root).source(["pkg.a"]).files}
    assert found == reached | {"a.py", "__init__.py", "data.json"}


def test_what_collectors_find_can_be_left_out(root: Path) -> None:
    files = Closures(root).source(["pkg.passes_on"], through_collectors=False).files
    assert {file.name for file in files} == {"passes_on.py", "collect.py", "__init__.py", "data.json"}


def test_a_module_of_another_package_is_refused(root: Path) -> None:
    for name in ("pkg.none", "pkg.a.b", "other", "b", ""):
        with pytest.raises(ValueError, match="modules: expected full names of modules of pkg, got"):
            Closures(root).source([name])
        with pytest.raises(ValueError, match="modules: expected full names of modules of pkg, got"):
            Closures(root).alone([name])


def test_a_module_alone_is_its_own_bytes(root: Path) -> None:
    source = Closures(root).alone(["pkg.collect", "pkg.lazy.one"])
    assert source.files == (root / "collect.py", root / "lazy" / "one.py")
    (root / "b.py").write_text("changed = 1")
    assert Closures(root).alone(["pkg.collect", "pkg.lazy.one"]) == source
    (root / "lazy" / "one.py").write_text("")
    assert Closures(root).alone(["pkg.collect", "pkg.lazy.one"]).digest != source.digest


def test_every_byte_of_the_closure_counts_and_no_other(root: Path) -> None:
    (root / "a.py").write_text("from pkg.lazy import f")

    def digest() -> str:
        return Closures(root).source(["pkg.a"]).digest

    before = digest()
    for name in ("a.py", "b.py", "__init__.py", "lazy/__init__.py", "lazy/__init__.pyi", "lazy/one.py", "data.json"):
        content = (root / name).read_text()
        (root / name).write_text(content + "\n")
        assert digest() != before, name
        (root / name).write_text(content)
        assert digest() == before
    for name in ("c.py", "lazy/two.py", "plugins/p.py"):
        (root / name).write_text("changed = 1")
    assert digest() == before
    (root / "lazy" / "data.csv").write_text("")
    assert digest() != before


def test_changes_are_seen_by_time(root: Path) -> None:
    (root / "a.py").write_text("from pkg.b import x")
    source = Closures(root).source(["pkg.a"])
    now = max(file.stat().st_ctime for file in source.files) + 1e-6
    assert not source.changed_since(now)
    assert source.changed_since(now - 1)
    os.utime(root / "b.py", (now + 1, now + 1))
    assert source.changed_since(now)
    os.utime(root / "b.py", (0, 0))
    replaced = (root / "b.py").stat().st_ctime  # a file moved here from elsewhere may be older, its inode is not
    assert source.changed_since(replaced)
    (root / "b.py").unlink()
    assert source.changed_since(now + 10)


def _assert_executed_files_are_in_the_closure(cells: list[Cell]) -> None:
    root, found = Path(itssl.__file__).parent, requests(cells, Settings())
    for cell in cells:
        executed: set[str] = set()
        sys.setprofile(lambda frame, event, arg, executed=executed: executed.add(frame.f_code.co_filename))
        try:
            cell.measure(Settings(max_replicates=32))
        finally:
            sys.setprofile(None)
        own = {Path(file) for file in executed if Path(file).is_relative_to(root)}
        assert own <= set(found[cell].source.files), cell
        assert Path(sys.modules[cell.modules()[0]].__file__ or "") in own


def test_what_is_executed_is_in_the_closure() -> None:
    _assert_executed_files_are_in_the_closure([plan([id], "quick")[-1] for id in ("C17", "C37")])


@pytest.mark.slow
@pytest.mark.parametrize("id", claims())
def test_what_is_executed_is_in_the_closure_of_every_claim(id: str) -> None:
    cells = plan([id], "quick")
    _assert_executed_files_are_in_the_closure([cells[0], cells[-1]])


def test_closures_of_claims_are_not_everything() -> None:
    cells = [plan([id], "quick")[0] for id in ("C10", "C37")]
    everything = len(list(Path(itssl.__file__).parent.rglob("*.py")))
    assert all(len(request.source.files) < everything / 2 for request in requests(cells, Settings()).values())
