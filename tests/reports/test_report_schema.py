"""The schema: what is shipped is a schema, describes every ledger, and refuses what a ledger never says."""

import copy
import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from toy_claims import register, toy
from toy_ledger import toy_chain

from itssl.claims.cells import StatedCell
from itssl.claims.ledger import Ledger, plan, run
from itssl.reports import schema


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    toys = (
        toy("T1", {"a": 0.0, "b": math.nan}, {"adds one": 1.0}),
        toy("T3", {"d": 2.0}, {"adds one": 1.0}, kind="finding"),
        toy("T4", {"raises": math.inf}, {"adds one": 1.0}),
    )
    cells = plan(register(monkeypatch, *toys))
    made = run((*cells, StatedCell("C27", "largest bound, d = 5")), progress=False, max_replicates=32)
    return replace(made, chain=toy_chain())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_ledgers_are_as_it_says(ledger: Ledger) -> None:
    for made in (ledger, run([], progress=False)):
        jsonschema.validate(json.loads(made.to_json()), schema())


def _objects(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        inner = [_objects(v, (*path, key)) for key, v in value.items()]
        return [path, *(p for paths in inner for p in paths)]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _objects(v, (*path, i))]
    return []


def test_nothing_can_be_missing_or_added(ledger: Ledger) -> None:
    """But for names that the claims choose, every key is named and required."""
    whole, validator = json.loads(ledger.to_json()), jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(whole)
    free = {"parts", "measured", "assumptions", "versions"}
    for path in _objects(whole):
        if path and (path[-1] in free or any(isinstance(step, int) and step > 1 for step in path)):
            continue
        place: Any = whole
        for step in path:
            place = place[step]
        for key in (*place, "something else"):
            changed = copy.deepcopy(whole)
            target: Any = changed
            for step in path:
                target = target[step]
            if key in target:
                del target[key]
            else:
                target[key] = 1
            assert not validator.is_valid(changed), (*path, key)


@pytest.mark.parametrize(
    ("key", "value"),
    [("level", "slow"), ("ok", 1), ("seed", -1), ("seed", 0.5), ("family_wise_rate", -0.1), ("chain", 3),
     ("claims", {}), ("cached", None), ("versions", {"python": "3"})],
)  # fmt: skip
def test_wrong_values_are_refused(ledger: Ledger, key: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(ledger.to_json()) | {key: value}, schema())
