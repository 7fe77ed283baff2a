"""Numbers of the theory: each comes out or is explained, and a wrong one is noticed."""

import json
import math
import pathlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from itssl.arrays import stream
from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.stated.information import _infonce
from itssl.claims.stated_values import StatedValue, compare, stated_values
from itssl.claims.vicreg_surrogates import CanonicalViews
from itssl.estimate import Bias

VALUES = stated_values()
QUICK = [name for name, v in VALUES.items() if v.level == "quick"]
DEFAULT = [name for name, v in VALUES.items() if v.level == "default"]
FULL = [name for name, v in VALUES.items() if v.level == "full"]
FINDINGS = pathlib.Path(__file__).parents[2] / "experiments" / "probe_table" / "findings.json"


@cache
def draws(name):
    """What the replicates of compare(name, seed=0) measure."""
    value = VALUES[name]
    return [value.measure(stream(0, "stated value", name, i)) for i in range(value.replicates)] if value.measure else []


def against(name, **changes):
    """compare(name) without measuring twice, some fields changed."""
    measured = iter(draws(name))
    measure = (lambda rng: next(measured)) if VALUES[name].measure else None
    return compare(replace(VALUES[name], measure=measure, **changes))


def comes_out_or_is_explained(name):
    found = against(name)
    assert found.as_expected, str(found)
    assert found.agrees or found.note


@pytest.mark.parametrize("name", QUICK)
def test_comes_out_or_is_explained(name):
    comes_out_or_is_explained(name)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # up to five trainings
@pytest.mark.parametrize("name", [*DEFAULT, *FULL])
def test_comes_out_or_is_explained_by_level(name):
    comes_out_or_is_explained(name)


@pytest.mark.parametrize(("factor", "share"), [(1.05, 0.4), (1 / math.log(2), 0.5)], ids=["5 % too large", "in bits"])
def test_wrong_values_disagree(factor, share):
    """All but those known to a few digits only, or as one draw of a wide law: they allow half of the change."""
    known = [name for name in QUICK if VALUES[name].stated and not VALUES[name].disputed]
    telling = [n for n in known if abs(factor - 1) * abs(VALUES[n].stated) > 2 * against(n).allowed]
    assert len(telling) >= share * len(known)
    assert [n for n in telling if against(n, stated=factor * VALUES[n].stated).agrees] == []


def test_replayed_draws_are_those_of_compare():
    name = "C33: Gaussian entropy of directions, unit sphere, K = 128"
    assert replace(compare(name), seconds=0.0) == replace(against(name), seconds=0.0)


def test_names_lead_to_values():
    assert all(name == v.name for name, v in VALUES.items())
    assert list(VALUES) == sorted(VALUES, key=lambda name: (VALUES[name].claim != "VICReg", VALUES[name].claim))
    with pytest.raises(UnknownNameError, match="did you mean"):
        compare("C27: largest bound, d = 6")


def test_vicregs_optima_are_those_of_the_notes():
    """Six of the ten leading variates at 25/25/1, all of them at 25/25/10: nothing else is kept."""
    of = "VICReg 25/25/1, d = 10"
    assert draws(f"C27: rank of {of}") == [6, 6]
    six, ten = (CanonicalViews(k=k).best_information for k in (6, 10))
    assert draws(f"C27: information of {of}") == pytest.approx([six, six], abs=1e-6)  # of the search
    assert draws(f"C27: information of {of}".replace("25/1,", "25/10,")) == pytest.approx([ten, ten], abs=1e-6)
    assert f"{six:.4f}" in VALUES[f"C27: information of {of}"].note


def test_conditions_are_told_where_one_draw_is_stated():
    assert [v.name for v in VALUES.values() if v.source_replicates and not v.note] == []


def test_values_that_draw_nothing_draw_nothing():
    single = [v for v in VALUES.values() if v.replicates == 1 and v.measure is not None]
    for v in single:
        assert v.measure is not None
        assert v.measure(np.random.default_rng(1)) == v.measure(np.random.default_rng(2)), v.name


def test_what_the_experiment_found_is_quoted_right():
    """Notes of C48 repeat the committed findings."""
    findings = json.loads(FINDINGS.read_text())["findings"]
    quoted = {
        "VICReg + LogDet − VICReg, digits, 10-shot": ("digits", "VICReg + LogDet − VICReg"),
        "VICReg + LogDet − VICReg, MNIST-5k, 10-shot": ("mnist5k", "VICReg + LogDet − VICReg"),
        "VICReg + PairDist − VICReg, MNIST-5k, 10-shot": ("mnist5k", "VICReg + PairDist − VICReg"),
    }
    for quantity, (data, difference) in quoted.items():
        found = findings[f"10-shot differences in points, {data}"][difference].partition(", sign-flip")[0]
        assert found.replace("-", "−") in VALUES[f"C48: {quantity}"].note


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
    assert found.measured.interval(0.999)[1] - found.measured.value == pytest.approx(half)
    one_batch = compare(noisy(1.0, source_replicates=1), seed=3)
    assert one_batch.allowed == pytest.approx(0.05 + half * math.sqrt(33))
    assert found.agrees
    assert not found.says_little
    assert one_batch.says_little == (found.measured.value <= one_batch.allowed)
    assert not compare(noisy(1.2), seed=3).agrees


def test_a_wide_law_says_little():
    found = compare(noisy(0.1, source_replicates=1, stated=0.2))
    assert found.agrees
    assert found.says_little
    assert ", as would 0)" in str(found)


@pytest.mark.parametrize("source_replicates", [0, 1])
def test_true_values_disagree_as_seldom_as_stated(source_replicates):
    """At an error rate of 1e-3, at most four of 500 disagree but with probability 2e-4."""
    rng, wrong = stream(0, "stated by others"), 0
    for i in range(500):
        stated = 1.0 if not source_replicates else float(rng.normal(1.0, 0.1, source_replicates).mean())
        value = noisy(1.0, stated=stated, rounding=0.0, replicates=4, source_replicates=source_replicates)
        wrong += not compare(value, seed=i).agrees
    assert wrong <= 4


def test_one_replicate_is_exact():
    found = compare("C27: largest bound, d = 5").measured
    assert found is not None
    assert found.bias is Bias.EXACT
    assert found.standard_error == 0


def test_what_is_not_run_neither_agrees_nor_disagrees():
    found = compare(noisy(1.0, measure=None, note="experiments/elsewhere"))
    assert found.agrees is None
    assert found.measured is None
    assert found.as_expected
    assert "not run here" in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["measured"] is None


def test_answers_can_be_read_and_sent():
    found = compare(noisy(1.0, note="a < b", units="%"))
    assert "a &lt; b" in found._repr_html_()
    assert "1 %" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["agrees"] is True
    import cloudpickle

    assert cloudpickle.loads(cloudpickle.dumps(found)) == found


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


def test_infonce_by_its_definition():
    """A twin of one measurement: the optimal critic is the log-ratio of normal densities, coordinate by coordinate."""
    from scipy.special import logsumexp
    from scipy.stats import norm

    from itssl.distributions.tasks import linear_gaussian_views

    x, y = linear_gaussian_views([0.95, 0.95]).sample(256, stream(5, "twin"))
    conditional = norm.logpdf(y[None], 0.95 * x[:, None], np.sqrt(1 - 0.95**2))
    scores = (conditional - norm.logpdf(y)).sum(axis=2)
    bound = np.mean(np.diagonal(scores) - logsumexp(scores, axis=1)) + np.log(256)
    assert _infonce(2, stream(5, "twin")) == pytest.approx(bound)
