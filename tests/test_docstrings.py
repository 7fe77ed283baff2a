"""Public docstrings are complete: shapes, units, errors, formulas, sources and directions, as far as the code asks.

What a docstring owes is read off the signature and the body, never off a list of names; tests/test_house.py sees to the
examples. A docstring may point to another that says it: "as in :func:`…`", "see :class:`…`".
"""

import ast
import enum
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

import itssl

ROOT = pathlib.Path(itssl.__file__).parent
ARRAY = re.compile(r"Samples|Labels|Float\[|Int\[|ndarray|Tensor")
NUMBER = re.compile(r"Estimate|EntropyBounds|ObjectiveTerms|Bound|Task|float|Float\[\w+(\.\w+)?, ''\]")
RESULT = re.compile(r"Estimate|EntropyBounds|ObjectiveTerms|Task|Float\[.*")
ADMITS = re.compile(r"_|require_|refuse_|as_")  # a module's own helpers, and what admits arguments anywhere

SHAPES = re.compile(r"\(\d,\)|\([nmkdN]\w*'?( [−-] 1)?,(\s?[nmkdDLNr\d]\w*,?)*\)|\b[RS]\^")
UNITS = re.compile(r"\bnats\b|\bbits\b|\bunits?\b|[Pp]robabilit|[Aa]ccuracy|\bseconds\b|degrees of freedom")
FORMULA = re.compile(r"[=∝≤≥↦Σ∫½∞‖√⟨]|ĥ|\\frac|\blog\b|\bcos\(")
DIRECTION = re.compile(r"\b(un)?bias|LOWER|UPPER|UNKNOWN|(lower|upper) bound|no (\w+ )?direction")
SOURCE = re.compile(r"\((1[89]|20)\d\d\)")
POINTS = re.compile(r"\b(as|[Ss]ee|[Tt]he inverse of|(that|those) of)\b")
POINTS_TO_ERRORS = re.compile(r"(?s)([Rr]aise|[Ee]rror|[Ee]lse|[Oo]therwise).*\bas\b")


@dataclass(frozen=True)
class Place:
    """A function or class in the source, the class around it, and the module."""

    module: str
    node: ast.FunctionDef | ast.ClassDef
    owner: ast.ClassDef | None = None

    @cached_property
    def said(self) -> str:
        """The docstring without its examples; that of the class counts for its methods."""
        texts = [ast.get_docstring(node) or "" for node in (self.owner, self.node) if node]
        return "\n".join(re.split(r"^>>> ", text, maxsplit=1, flags=re.MULTILINE)[0] for text in texts)

    @cached_property
    def methods(self) -> dict[str, "Place"]:
        if isinstance(self.node, ast.FunctionDef):
            return {}
        return {n.name: Place(self.module, n, self.node) for n in self.node.body if isinstance(n, ast.FunctionDef)}

    @cached_property
    def returns(self) -> str:
        returns = getattr(self.node, "returns", None)
        return ast.unparse(returns) if returns else ""

    @property
    def takes_arrays(self) -> bool:
        if isinstance(self.node, ast.ClassDef):
            annotations = [field.annotation for field in self.node.body if isinstance(field, ast.AnnAssign)]
        else:
            arguments = self.node.args
            annotations = [a.annotation for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        return any(ARRAY.search(ast.unparse(annotation)) for annotation in annotations if annotation)

    @property
    def estimates(self) -> bool:
        """Whether it is a class with a method that makes an Estimate of samples."""
        return any(method.takes_arrays and method.returns == "Estimate" for method in self.methods.values())

    @property
    def has_formula(self) -> bool:
        """Estimators, laws, tasks, objectives, and functions that give an estimate, a bound or numbers."""
        is_law = {"sample", "entropy"} <= self.methods.keys()
        return self.estimates or is_law or bool(RESULT.fullmatch(self.returns))

    @property
    def only_holds(self) -> bool:
        """A record of answers: nothing is checked when it is made, and no method takes data."""
        checked = "__post_init__" in self.methods or any(method.takes_arrays for method in self.methods.values())
        return isinstance(self.node, ast.ClassDef) and not checked

    def pointed(self, points: re.Pattern[str]) -> Iterator["Place"]:
        """The places that sentences of this kind send the reader to."""
        for sentence in re.split(r"(?<=[.;])\s", self.said):
            for name in re.findall(r"`~?([\w.]+)(?:\(\))?`", sentence) if points.search(sentence) else ():
                *path, last = name.split(".")
                if self.owner and not path and last in (inside := Place(self.module, self.owner).methods):
                    yield inside[last]
                for place in NAMED.get(path[-1], []) if path else []:
                    yield from [place.methods[last]] if last in place.methods else []
                yield from NAMED.get(last, [])

    def says(self, pattern: re.Pattern[str], points: re.Pattern[str] | None = None) -> bool:
        """Whether this docstring matches, or one that it points to in sentences of this kind."""
        texts = [self.said, *(place.said for place in (self.pointed(points) if points else ()))]
        return any(pattern.search(text) for text in texts)


def _read() -> dict[tuple[str, str], Place]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("itssl", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[module, node.name] = Place(module, node)
    return found


def _offered() -> dict[str, Place]:
    """What the front door and the packages behind it offer, each once; no exceptions, no enumerations."""
    packages = [itssl, *(importlib.import_module(f"itssl.{p.parent.name}") for p in ROOT.glob("*/__init__.pyi"))]
    found: dict[str, Place] = {}
    for package in packages:
        for name in dir(package):
            offered = getattr(package, name)
            key = str(getattr(offered, "__module__", "")), str(getattr(offered, "__qualname__", ""))
            is_kind = inspect.isclass(offered) and issubclass(offered, enum.Enum | Exception)
            if key in PLACES and not is_kind and PLACES[key] not in found.values():
                found[f"{package.__name__}.{name}"] = PLACES[key]
    return found


PLACES = _read()
NAMED: dict[str, list[Place]] = {}
for (_, named), found_at in PLACES.items():
    NAMED.setdefault(named, []).append(found_at)
OFFERED = _offered()
CALLED = {path: place for path, place in OFFERED.items() if isinstance(place.node, ast.FunctionDef)} | {
    f"{path}.{name}": method
    for path, place in OFFERED.items()
    for name, method in place.methods.items()
    if not name.startswith("_")
}


def raised(place: Place, seen: frozenset[str] = frozenset()) -> set[str]:
    """The exceptions that are raised here, by the module's own helpers, and by what admits arguments."""
    found = set()
    for node in ast.walk(place.node):
        called = node.exc if isinstance(node, ast.Raise) else node
        if not (isinstance(called, ast.Call) and isinstance(called.func, ast.Name)):
            continue
        name = called.func.id
        if isinstance(node, ast.Raise):
            found.add(name)
        elif ADMITS.match(name) and name not in seen:
            here = PLACES.get((place.module, name))
            for other in [here] if here else NAMED.get(name, []) if name[0] != "_" else []:
                found |= raised(other, seen | {name})
    return found


def makers(place: Place) -> Iterator[Place]:
    """What runs when an object of a class is made: its own checks and those that it inherits."""
    yield from [method for name, method in place.methods.items() if name == "__post_init__"]
    for base in getattr(place.node, "bases", ()):
        for parent in NAMED.get(ast.unparse(base), []):
            yield from makers(parent)


def kinds(error: str) -> set[str]:
    """An exception's own name and those of the project's exceptions that it is a kind of."""
    bases = [ast.unparse(base) for place in NAMED.get(error, []) for base in getattr(place.node, "bases", ())]
    return {error}.union(*(kinds(base) for base in bases if base in NAMED))


def shapes(place: Place) -> list[str]:
    asked = place.takes_arrays and not place.only_holds
    return [] if not asked or place.says(SHAPES, POINTS) else ["no shape like (n, d)"]


def units(place: Place) -> list[str]:
    asked = NUMBER.fullmatch(place.returns)
    return [] if not asked or place.says(UNITS) else ["no unit (nats, …, without unit)"]


def errors(place: Place) -> list[str]:
    places = list(makers(place)) if isinstance(place.node, ast.ClassDef) else [place]
    found = set().union(*map(raised, places))
    named = {error: re.compile(rf"\b({'|'.join(sorted(kinds(error)))})\b") for error in sorted(found)}
    return [error for error, pattern in named.items() if not place.says(pattern, POINTS_TO_ERRORS)]


def formula(place: Place) -> list[str]:
    return [] if not place.has_formula or place.says(FORMULA) else ["no formula"]


def source(place: Place) -> list[str]:
    return [] if not place.has_formula or place.says(SOURCE, POINTS) else ["no dated source"]


def direction(place: Place) -> list[str]:
    said = "\n".join(method.said for method in place.methods.values())
    return [] if not place.estimates or DIRECTION.search(said) else ["not on which side of the truth it lies"]


@pytest.mark.parametrize("rule", [shapes, units, errors])
def test_whatever_is_called_says(rule):
    assert {path: missing for path, place in (OFFERED | CALLED).items() if (missing := rule(place))} == {}


@pytest.mark.parametrize("rule", [formula, source, direction])
def test_whatever_is_offered_says(rule):
    assert {path: missing for path, place in OFFERED.items() if (missing := rule(place))} == {}


FUNCTION = """
def measured(x: SamplesLike, k: int) -> Estimate:
    '''{}'''
    k = require_count("k", k)
    return as_samples(x)
"""
CLASS = """
class Estimator:
    '''{}'''
    def __post_init__(self):
        raise ParameterError("k")
    def entropy(self, x: SamplesLike) -> Estimate:
        '''Entropy.'''
        return as_samples(x)
"""
SAID = "h = −∫ p log p; of x with shape (n, d), in nats; without bias; raises SampleError; and ParameterError; (1948)."


def planted(code: str) -> Place:
    node = ast.parse(code).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return Place("planted", node)


@pytest.mark.parametrize("code", [FUNCTION, CLASS])
@pytest.mark.parametrize(
    ("omitted", "rule"),
    [
        ("h = −∫ p log p", formula), ("of x with shape (n, d)", shapes), ("in nats", units), ("(1948)", source),
        ("raises SampleError", errors), ("and ParameterError", errors), ("without bias", direction),
    ],
)  # fmt: skip
def test_every_omission_is_seen(code, omitted, rule):
    def missing(said):
        place = planted(code.format(said))
        return [omission for each in (place, *place.methods.values()) for omission in rule(each)]

    owed = rule is not direction or code is CLASS  # a function's answer is an Estimate, which has its direction
    assert missing(SAID) == []
    assert bool(missing(SAID.replace(omitted, ""))) == owed


def test_a_docstring_may_point_to_another():
    pointing = FUNCTION.format("h = −∫ p log p in nats; all else as in :class:`itssl.KozachenkoLeonenko`.")
    place = planted(pointing)
    assert [rule(place) for rule in (units, formula, source)] == [[], [], []]


def test_records_of_answers_owe_nothing():
    held = planted("class Answer:\n    rank: Int[np.ndarray, 'n']")
    assert [rule(held) for rule in (shapes, units, errors, formula, source, direction)] == [[]] * 6
