"""Numbers of the theory: each comes out or is explained, and a wrong one is noticed."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.stated_values import StatedValue, compare, stated_values

QUICK = [v for v in stated_values().values() if v.level == "quick"]


@pytest.mark.parametrize("value", QUICK, ids=lambda v: v.name)
def test_comes_out_or_is_explained(value):
    found = compare(value)
    assert found.as_expected
    assert found.agrees or found.note


def test_names_lead_to_values():
    assert all(compare_name == v.name for compare_name, v in stated_values().items())
    with pytest.raises(UnknownNameError, match="did you mean"):
        compare("C27: largest bound, d = 6")


def noisy(mean, **changes):
    given = {
        "claim": "C00", "quantity": "a mean", "stated": 1.0, "rounding": 0.05, "replicates": 32, "level": "quick",
        "measure": lambda rng: float(rng.normal(mean, 0.1)),
    }  # fmt: skip
    return StatedValue(**(given | changes))


def test_the_rule_is_a_student_interval_beyond_rounding():
    from scipy.stats import t

    value = noisy(1.0)
    found = compare(value, seed=3)
    assert value.measure is not None
    assert found.measured is not None
    draws = [value.measure(stream(3, "stated value", "C00: a mean", i)) for i in range(32)]
    half = t.ppf(0.9995, 31) * np.std(draws, ddof=1) / math.sqrt(32)
    assert found.allowed == pytest.approx(0.05 + half)
    assert found.measured.value == pytest.approx(np.mean(draws))
    one_batch = compare(noisy(1.0, source_replicates=1), seed=3)
    assert one_batch.allowed == pytest.approx(0.05 + half * math.sqrt(33))
    assert found.agrees
    assert not compare(noisy(1.2), seed=3).agrees


def test_what_is_not_run_neither_agrees_nor_disagrees():
    value = noisy(1.0, measure=None, note="experiments/elsewhere")
    found = compare(value)
    assert found.agrees is None
    assert found.measured is None
    assert found.as_expected
    assert "not run here" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_refusals():
    with pytest.raises(ParameterError, match="note: expected an explanation for C00: a mean"):
        noisy(1.0, disputed=True)
    with pytest.raises(ParameterError, match="rounding"):
        noisy(1.0, rounding=-1.0)
    with pytest.raises(ParameterError, match="replicates"):
        noisy(1.0, replicates=0)
    with pytest.raises(TypeError, match="agrees"):
        bool(compare(noisy(1.0)))


def test_a_disputed_value_that_comes_out_is_noticed():
    disputed = noisy(1.0, disputed=True, note="cannot be")
    assert not compare(disputed).as_expected
    assert compare(replace(disputed, stated=2.0)).as_expected
