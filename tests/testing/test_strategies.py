"""The collection of strategies: all there, light to import, and nothing global is read or moved by a draw."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import itssl
from itssl.testing import strategies

FAMILIES = ["gaussian", "student"]  # cheap ones; the truth of mixtures is by quadrature
DRAWN = {
    "covariances": strategies.covariances(),
    "correlations": strategies.correlations(),
    "gaussians": strategies.gaussians(),
    "gaussian_mixtures": strategies.gaussian_mixtures(),
    "scalar_laws": strategies.scalar_laws(),
    "elliptical_laws": strategies.elliptical_laws(),
    "dirichlet_laws": strategies.dirichlet_laws(),
    "laws": strategies.laws(),
    "gaussian_tasks": strategies.gaussian_tasks(),
    "tasks": strategies.tasks(families=FAMILIES),
    "samples": strategies.samples(),
    "paired_views": strategies.paired_views(),
    "array_kinds": strategies.array_kinds(),
    "bad_samples": strategies.bad_samples(names=("x", "y")),
    "encoders": strategies.encoders(),
    "seeds": strategies.seeds(),
}


def test_every_strategy_is_in_the_collection():
    functions = {name for name in strategies.__all__ if name.islower()}
    assert functions == set(DRAWN)
    assert [name for name in strategies.__all__ if not hasattr(strategies, name)] == []
    assert sorted(strategies.__all__) == list(strategies.__all__)
    assert itssl.testing.strategies is strategies


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_moves_no_global_generator_and_no_setting(name):
    @settings(max_examples=5, deadline=None)
    @given(data=st.data())
    def drawn(data):
        before = repr(np.random.get_state()), np.geterr()  # noqa: NPY002  (the global generator must not move)
        data.draw(DRAWN[name])
        assert (repr(np.random.get_state()), np.geterr()) == before  # noqa: NPY002

    drawn()


def test_import_and_definition_load_no_torch():
    code = """
import sys, json
from itssl.testing import strategies
for name in strategies.__all__:
    if name.islower():
        getattr(strategies, name)()
heavy = ["torch", "sklearn", "matplotlib", "pandas"]
print(json.dumps([name for name in heavy if name in sys.modules]))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
