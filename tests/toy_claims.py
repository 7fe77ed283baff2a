"""Claims of one line for tests of what is built on claims: a mean compared with zero, shifted as the test wishes."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from itssl.claims.check import check
from itssl.claims.claim import Assumption, Claim, World, claim, claims
from itssl.claims.decision import Relation, Sides
from itssl.claims.ledger import Level
from itssl.claims.verdict import Kind, Verdict
from itssl.estimate import Reference

REFERENCE = Reference(authors="A. Nobody", title="On <nothing>", year=2020)


def toy(
    id: str,
    shifts: dict[str, float],
    controls: dict[str, float],
    *,
    kind: Kind = "theorem",
    relation: Relation = Relation.EQUAL,
    margin: float = 0.5,
    assumes: tuple[Assumption, ...] = (),
    statement: str = "The mean is zero & nothing <else>.",
    level: Level = "quick",
) -> Claim:
    """World name → mean, control name → mean; a mean of infinity raises, one of NaN gives no finite gap."""
    worlds = tuple(World(name=name, make=lambda shift=shift: shift, level=level) for name, shift in shifts.items())

    def sides(world: Any, rng: np.random.Generator) -> Sides:
        if np.isinf(world):
            raise ArithmeticError("an <infinite> mean")
        return Sides(left=world + rng.normal(scale=0.1, size=50).mean(), right=0.0, measured={"spread": rng.normal()})

    sides.__doc__ = statement
    made = claim(
        id, relation=relation, margin=margin, reference=REFERENCE, worlds=worlds, kind=kind, assumes=assumes
    )(sides)  # fmt: skip
    for name, shift in controls.items():
        made.control(name)(_shifted(sides, shift))
    return made


def _shifted(sides: Callable[[Any, np.random.Generator], Sides], shift: float) -> Callable[..., Sides]:
    return lambda world, rng: sides(shift, rng)


def register(monkeypatch: pytest.MonkeyPatch, *toys: Claim) -> list[str]:
    """Add claims to the package's for the length of a test; returns their identifiers."""
    for t in toys:
        monkeypatch.setitem(cast(dict[str, Claim], claims()), t.id, t)
    return [t.id for t in toys]


def four_verdicts(monkeypatch: pytest.MonkeyPatch, *, farthest: float) -> list[Verdict]:
    """An equality that holds, its control, a finding and a theorem of either direction; the last at ``farthest``."""
    register(
        monkeypatch,
        toy("T1", {"a": 0.1}, {"adds one": 1.0}),
        toy("T2", {"a": -3.0}, {}, relation=Relation.AT_MOST, kind="finding"),
        toy("T3", {"a": farthest}, {}, relation=Relation.AT_LEAST),
    )
    return [check("T1"), check("T1", control="adds one"), check("T2"), check("T3")]
