"""Every theorem holds in every world that needs no training, and every control is refuted, at a seed of its own.

Worlds beyond the level "quick" are slow tests, and those of claims that take seconds in each world. `itssl verify`
decides all at seed 0, with the trained networks; what `.ci/run` runs of it includes every quick world.
"""

import pytest

import itssl

SEED = 20_260_101
TRAINED = "digits"
SECONDS = {"C02", "C03", "C14", "C15", "C32", "C37", "C39", "C45"}


def _case(id, name, world):
    return pytest.param(id, name, marks=[pytest.mark.slow] * (world.level != "quick" or id in SECONDS))


CELLS = [
    _case(made.id, world.name, world)
    for made in itssl.claims().values()
    for world in made.worlds
    if TRAINED not in world.name and world.available and made.kind == "theorem"
]
CONTROLS = [
    _case(made.id, control.name, control.world)
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


@pytest.mark.slow
def test_small_exit_probability_is_not_enough_for_moments():
    """f(x) = relu(x + 50) + 100 relu(x − 3.2) stays in its region with probability 0.9993; its variance is off."""
    import numpy as np
    import torch

    from itssl.claims.worlds import NoisyInput

    network = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), ([[1.0], [1.0]], [50.0, -3.2], [[1.0, 100.0]]), strict=True):
            parameter.copy_(torch.tensor(values))
    world = NoisyInput(network=network.eval(), law=itssl.Gaussian.standard(1))
    assert world.exit_probability() < 1e-3
    verdict = itssl.check("C02", world)
    assert verdict.outcome is itssl.Outcome.NOT_APPLICABLE
    assert "A1 in mean square" in verdict.reason
    still = NoisyInput(network=network, law=itssl.Gaussian(np.zeros(1), 0.04 * np.eye(1)))
    assert itssl.check("C02", still).outcome is itssl.Outcome.HOLDS
