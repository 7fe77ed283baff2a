"""The house: what an import loads, floors, names, and that nothing global is left changed."""

import ast
import importlib
import inspect
import json
import pathlib
import subprocess
import sys

import pytest

import itssl

ROOT = pathlib.Path(itssl.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
HEAVY = ["torch", "sklearn", "scipy.stats", "matplotlib", "hypothesis", "pandas"]


def fresh(code):
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_import_is_light():
    loaded = fresh("import sys, json, itssl; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in HEAVY if name in loaded] == []


def test_import_takes_well_under_a_second():
    code = "import time; start = time.perf_counter(); import itssl; print(time.perf_counter() - start)"
    assert min(fresh(code) for _ in range(3)) < 0.7


def test_front_door_is_complete():
    code = "import json, itssl; print(json.dumps([n for n in dir(itssl) if getattr(itssl, n, None) is None]))"
    assert fresh(code) == []


@pytest.mark.parametrize("first", ["import itssl.claims.check", "itssl.check", "itssl.claims()", "pass"])
def test_claims_is_a_function_whatever_was_imported_before(first):
    code = f"import json, itssl; {first}; from itssl.claims.claim import claim; print(json.dumps(list(itssl.claims())))"
    assert "C17" in fresh(code)


def test_estimating_loads_no_torch():
    code = """
import sys, json, numpy as np, itssl
x = np.random.default_rng(0).normal(size=(50, 2))
itssl.entropy(x), itssl.mutual_information(x, x[:, ::-1])
print(json.dumps("torch" in sys.modules))"""
    assert fresh(code) is False


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_style(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "every file says what it is about"
    assert "from __future__ import annotations" not in text, "it would disable the shape checks"
    assert text.count("\n") <= 450
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or _is_small(node), f"{node.name} has no docstring"


def _is_small(node):
    """Nested helpers and one-line members need no docstring of their own."""
    return node.end_lineno - node.lineno <= 12


def public_names():
    """The functions and classes that the front door and the packages behind it offer, each once."""
    packages = [itssl, *(importlib.import_module(f"itssl.{p.parent.name}") for p in ROOT.glob("*/__init__.pyi"))]
    offered = {f"{package.__name__}.{name}": getattr(package, name) for package in packages for name in dir(package)}
    callables = {path: o for path, o in offered.items() if inspect.isclass(o) or inspect.isfunction(o)}
    return {id(o): (path, o) for path, o in reversed(callables.items()) if o.__module__.startswith("itssl.")}.values()


@pytest.mark.parametrize(("path", "offered"), public_names(), ids=lambda given: given if isinstance(given, str) else "")
def test_public_names_are_shown_in_use(path, offered):
    assert ">>>" in (inspect.getdoc(offered) or ""), f"{path} has no example that runs"


def test_only_testing_imports_hypothesis():
    users = [p for p in SOURCES if "hypothesis" in p.read_text() and p.parent.name != "testing"]
    imports = [
        p for p in users if any(line.startswith(("import hyp", "from hyp")) for line in p.read_text().splitlines())
    ]
    assert imports == []


def test_version_is_written_once():
    import importlib.metadata

    assert itssl.__version__ == importlib.metadata.version("itssl")


def test_nothing_global_is_left_changed():
    code = """
import json, warnings, numpy as np, torch, itssl
def state():
    return [torch.get_num_threads(), str(torch.get_default_dtype()), torch.random.get_rng_state().sum().item(),
            str(np.random.get_state()[1][:5]), str(np.geterr()), len(warnings.filters)]
def work():
    itssl.mutual_information(x, x ** 2), itssl.entropy(x), itssl.check("C10"), itssl.check("C02"), itssl.check("C27")
x = np.random.default_rng(0).normal(size=(60, 12))
work()  # other packages register warning filters when they are first imported
before = state()
work()
print(json.dumps([before, state()]))"""
    before, after = fresh(code)
    assert before == after


def test_functions_that_use_the_package_can_be_sent_to_other_processes():
    """joblib pickles the globals of a function, among them the package itself."""
    import cloudpickle

    for package in (itssl, itssl.networks, itssl.evaluation, itssl.estimators):
        assert cloudpickle.loads(cloudpickle.dumps(package)) is package


def test_types_are_shipped():
    """PEP 561: type checkers of others look for this file."""
    assert (ROOT / "py.typed").is_file()
