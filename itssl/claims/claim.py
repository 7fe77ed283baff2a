"""Claims: statements with hypotheses, worlds in which they must hold, and controls that must be refuted."""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np

from itssl.choices import ParameterError, require_known
from itssl.claims.decision import FIRST_LOOK, MonteCarlo, Relation, Sides, Tolerance
from itssl.claims.verdict import Kind
from itssl.estimate import Reference

SidesFunction: TypeAlias = Callable[[Any, np.random.Generator], Sides]


@dataclass(frozen=True, kw_only=True)
class World:
    """Where a claim is checked: a name and a recipe for the law, task or network, made only when it is needed.

    ``level`` says from which extent of `itssl verify` on it takes part; ``tolerance`` replaces the claim's where the
    world allows a sharper one (closed forms); ``needs`` names a package, of an extra, without which it cannot be made.

    >>> World(name="unit interval", make=lambda: (0.0, 1.0)).available
    True
    """

    name: str
    make: Callable[[], Any]
    level: Literal["quick", "default", "full"] = "quick"
    tolerance: Tolerance | None = None
    needs: str = ""

    @property
    def available(self) -> bool:
        """Whether the package that the world needs is installed."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """A hypothesis as a measured number: it holds in a world when ``measure(world)`` is at most ``at_most``.

    >>> few = Assumption(name="few columns", statement="K <= 2", measure=lambda world: world.shape[1], at_most=2)
    >>> few.measure(np.zeros((5, 3))) <= few.at_most
    False
    """

    name: str
    statement: str
    measure: Callable[[Any], float]
    at_most: float


@dataclass(frozen=True, kw_only=True)
class Control:
    """A deliberately wrong variant of a claim, which must come out VIOLATED in its world."""

    name: str
    sides: SidesFunction
    world: World


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim:
    """A statement one can run. Made by the decorator :func:`claim`; its docstring is the statement.

    ``formula`` is the statement's formula in LaTeX, for pages; ``uses`` names the claims it is derived from.

    >>> found = claims()["C17"]
    >>> found.kind, len(found.worlds) > 0, len(found.controls) > 0
    ('theorem', True, True)
    """

    id: str
    kind: Kind
    statement: str
    sides: SidesFunction
    relation: Relation
    tolerance: Tolerance
    reference: Reference
    worlds: tuple[World, ...]
    tight_at: World
    formula: str = ""
    uses: tuple[str, ...] = ()
    assumes: tuple[Assumption, ...] = ()
    first_look: int = FIRST_LOOK
    max_replicates: int | None = None
    _controls: list[Control] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The first sentence of the statement."""
        return self.statement.strip().partition("\n")[0]

    @property
    def controls(self) -> tuple[Control, ...]:
        return tuple(self._controls)

    def control(self, name: str, *, world: World | None = None) -> Callable[[SidesFunction], SidesFunction]:
        """Register a wrong variant; it is run in ``world`` (where the claim is tight unless given).

        Raises ParameterError for a name that is taken.
        """

        def register(sides: SidesFunction) -> SidesFunction:
            if name in [c.name for c in self._controls]:
                raise ParameterError(f"name: {self.id} already has a control {name!r}")
            if world is not None and any(w.name == world.name and w is not world for w in self.worlds):
                raise ParameterError(f"world: {self.id} already has another world named {world.name!r}")
            self._controls.append(Control(name=name, sides=sides, world=world or self.tight_at))
            return sides

        return register

    def world(self, name: str) -> World:
        """The world or control's world of this name. Raises UnknownNameError for another."""
        known = {w.name: w for w in (*self.worlds, *(c.world for c in self.controls))}
        require_known("world", name, known)
        return known[name]

    def find_control(self, name: str) -> Control:
        """The control of this name. Raises UnknownNameError for another."""
        known = {c.name: c for c in self.controls}
        require_known("control", name, known)
        return known[name]

    def __call__(self, world: Any, rng: np.random.Generator) -> Sides:
        return self.sides(world, rng)

    def __repr__(self) -> str:
        return f"{self.id}: {self.title}"


def claim(
    id: str,
    *,
    relation: Relation,
    reference: Reference,
    worlds: tuple[World, ...],
    margin: float | None = None,
    tolerance: Tolerance | None = None,
    tight_at: World | None = None,
    kind: Kind = "theorem",
    formula: str = "",
    uses: tuple[str, ...] = (),
    assumes: tuple[Assumption, ...] = (),
    first_look: int = FIRST_LOOK,
    max_replicates: int | None = None,
) -> Callable[[SidesFunction], Claim]:
    """Make a claim of a function (world, rng) → Sides whose docstring states it.

    Give either ``margin`` (Monte Carlo) or ``tolerance``. ``tight_at`` is the world in which the statement is nearly an
    equality, where controls run by default (the first world unless given). ``formula`` is LaTeX; ``uses`` names the
    claims from which this one is derived. Raises ParameterError unless one of margin and tolerance is given.

    >>> @claim("X1", relation=Relation.AT_MOST, margin=0.01, worlds=(World(name="exponential", make=lambda: 1.0),),
    ...        reference=Reference(authors="Jensen", title="Sur les fonctions convexes", year=1906))
    ... def jensen(scale, rng):
    ...     "E log X is at most log E X."
    ...     x = rng.exponential(scale, size=500)
    ...     return Sides(left=np.log(x).mean(), right=np.log(x.mean()))
    >>> jensen
    X1: E log X is at most log E X.
    """
    if (margin is None) == (tolerance is None):
        raise ParameterError(f"{id}: expected either margin or tolerance, got {margin!r} and {tolerance!r}")
    chosen = tolerance if tolerance is not None else MonteCarlo(margin if margin is not None else 0.0)

    def make(sides: SidesFunction) -> Claim:
        return Claim(
            id=id, kind=kind, statement=inspect.getdoc(sides) or "", sides=sides, relation=relation, tolerance=chosen,
            reference=reference, worlds=worlds, tight_at=tight_at or worlds[0], formula=formula, uses=uses,
            assumes=assumes, first_look=first_look, max_replicates=max_replicates,
        )  # fmt: skip

    return make


@cache
def claims() -> Mapping[str, Claim]:
    """All claims of the package by identifier, collected from the modules of itssl.claims.

    Raises ParameterError where two have one identifier.

    >>> "C17" in claims()
    True
    """
    package = importlib.import_module("itssl.claims")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, Claim)}
    known: dict[str, Claim] = {}
    for made in sorted(found.values(), key=lambda c: c.id):
        if made.id in known:
            where = f"{known[made.id].sides.__module__} and {made.sides.__module__}"
            raise ParameterError(f"id: expected a new one for each claim, got {made.id!r} twice, in {where}")
        known[made.id] = made
    return known
