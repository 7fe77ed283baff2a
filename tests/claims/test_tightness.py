"""A bound with too much room holds too, and its controls stay refuted: where a claim is tight, little room is left."""

import numpy as np
import pytest

import itssl
from itssl import Relation
from itssl.arrays import stream

NEARLY = 0.02
"""The room that Monte-Carlo claims are given, in nats."""
NOT_REACHED = {"C42"}
"""Bounds that hold with room in every world: of their value only their terms are tested."""

BOUNDS = [
    made
    for made in itssl.claims().values()
    if made.kind == "theorem" and made.relation is not Relation.EQUAL
    if made.tight_at.level == "quick" and not {"digits", "MNIST"} & set(made.tight_at.name.replace("-", " ").split())
    if made.id not in NOT_REACHED
]


@pytest.mark.parametrize("made", BOUNDS, ids=lambda made: made.id)
def test_where_a_bound_is_tight_some_part_is_nearly_an_equality(made):
    world = made.tight_at.make()
    values = [made(world, stream(0, "tightness", made.id, i)).values() for i in range(4)]
    gaps = np.array([left - right for left, right in values])
    room = gaps if made.relation is Relation.AT_LEAST else -gaps
    assert room.mean(axis=0).min() <= NEARLY
