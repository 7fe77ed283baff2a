"""Every theorem holds in every world that needs no training, and every control is refuted, at a seed of its own.

`itssl verify` decides them at seed 0, with the trained networks among the worlds.
"""

import pytest

import itssl

SEED = 20_260_101
TRAINED = "digits"

CELLS = [
    (made.id, world.name)
    for made in itssl.claims().values()
    for world in made.worlds
    if TRAINED not in world.name and made.kind == "theorem"
]
CONTROLS = [
    (made.id, control.name)
    for made in itssl.claims().values()
    for control in made.controls
    if TRAINED not in control.world.name
]


@pytest.mark.parametrize(("name", "world"), CELLS)
def test_theorem_holds(name, world):
    itssl.check(name, world, seed=SEED).require()


@pytest.mark.parametrize(("name", "control"), CONTROLS)
def test_control_is_refuted(name, control):
    itssl.check(name, control=control, seed=SEED).require()
