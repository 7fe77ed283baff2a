"""Estimates: text, JSON, HTML, units, intervals and immutability."""

import json
import math
import pickle
from dataclasses import dataclass, replace

import pytest

from itssl.estimate import Bias, Estimate, EstimateWarning, Reference, format_with_error

ESTIMATE = Estimate(
    value=1.4142, standard_error=0.0123, n=100, bias=Bias.LOWER, method="<m>", degrees_of_freedom=10,
    reference=Reference(authors="A", title="T", year=2000, where="J"),
    warnings=(EstimateWarning(code="ties", message="m & n", cure="c"),), diagnostics={"k": 4},
)  # fmt: skip


def test_text():
    assert str(ESTIMATE) == "1.414 ± 0.012 nats (<m>, n=100)"
    assert "[ties] m & n; c" in repr(ESTIMATE)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0, "1.23456 ± 0"),
        (123.456, 12.3, "123 ± 12"),
        (1e-12, 1e-13, "1e-12 ± 1e-13"),
        (6.660454042e-19, 3.6e-20, "6.66e-19 ± 3.6e-20"),
        (1.2345e-21, 3.6e-20, "1.2e-21 ± 3.6e-20"),
        (0.0, 3.6e-20, "0 ± 3.6e-20"),
        (-0.1234567891234, 1.3e-9, "-0.1234567891 ± 1.3e-09"),
        (1.2345678912345, 1e-15, "1.234567891 ± 1e-15"),
        (math.inf, math.nan, "inf"),
        (-0.00123, 0.0456, "-0.001 ± 0.046"),
    ],
)
def test_rounding_follows_the_error(value, error, text):
    assert format_with_error(value, error) == text


def test_only_closed_forms_are_called_exact():
    exact = Estimate(value=0.5, standard_error=0.0, n=0, bias=Bias.EXACT, method="m")
    assert str(exact) == "0.5 (exact) nats (m)"
    saturated = Estimate(value=0.5, standard_error=0.0, n=9, bias=Bias.UNKNOWN, method="m")
    assert str(saturated) == "0.5 ± 0 nats (m, n=9)"
    unknown = Estimate(value=0.5, standard_error=math.nan, n=9, bias=Bias.UNKNOWN, method="m")
    assert str(unknown) == "0.5 ± ? nats (m, n=9)"
    assert hash(exact) != hash(saturated)


def test_json_is_strict_and_complete():
    plain = json.loads(ESTIMATE.to_json())
    assert plain["value"] == 1.4142
    assert plain["bias"] == "lower"
    assert plain["warnings"][0]["code"] == "ties"
    assert plain["reference"] == "A (2000). T. J."
    infinite = Estimate(value=-math.inf, standard_error=math.nan, n=2, bias=Bias.UNKNOWN, method="m")
    assert json.loads(infinite.to_json())["value"] == "-inf"


def test_html_is_escaped():
    page = ESTIMATE._repr_html_()
    assert "&lt;m&gt;" in page
    assert "m &amp; n" in page
    assert "<m>" not in page


def test_a_truth_in_closed_form_shows_no_number_of_rows():
    assert "<th>n</th>" in ESTIMATE._repr_html_()
    assert "<th>n</th>" not in replace(ESTIMATE, n=0)._repr_html_()


def test_bits():
    bits = ESTIMATE.in_bits()
    assert bits.value * math.log(2) == pytest.approx(ESTIMATE.value, rel=1e-15)
    assert bits.standard_error * math.log(2) == pytest.approx(ESTIMATE.standard_error, rel=1e-15)
    with pytest.raises(ValueError, match="expected an estimate in nats, got one in bits"):
        bits.in_bits()


def test_interval_uses_students_t():
    low, high = ESTIMATE.interval(0.95)
    assert (high - low) / 2 == pytest.approx(2.228138851964939 * 0.0123, rel=1e-12)  # t table, 10 degrees of freedom
    assert Estimate(value=1, standard_error=0, n=0, bias=Bias.EXACT, method="m").interval() == (1, 1)
    undefined = Estimate(value=1, standard_error=math.nan, n=3, bias=Bias.UNKNOWN, method="m").interval()
    assert undefined == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="level: expected a number between 0 and 1, got 95"):
        ESTIMATE.interval(95)


def test_is_frozen_and_has_no_arithmetic():
    with pytest.raises(AttributeError):
        ESTIMATE.value = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        ESTIMATE.diagnostics["k"] = 5  # pyright: ignore[reportIndexIssue]
    with pytest.raises(TypeError):
        ESTIMATE + ESTIMATE  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    with pytest.raises(ValueError, match="standard_error"):
        Estimate(value=0, standard_error=-1, n=1, bias=Bias.EXACT, method="m")


def test_survives_pickling():
    again = pickle.loads(pickle.dumps(ESTIMATE))
    assert again == ESTIMATE
    with pytest.raises(TypeError):
        again.diagnostics["k"] = 5


@dataclass(frozen=True)
class AtMost:
    end: float

    def __call__(self, level):
        return 0.0, self.end * level


def test_interval_rule_replaces_students_t():
    skewed = replace(ESTIMATE, interval_rule=AtMost(2.0))
    assert skewed.interval(0.5) == (0, 1)
    assert skewed.in_bits().interval(0.5) == pytest.approx((0, 1 / math.log(2)), rel=1e-15)
    assert pickle.loads(pickle.dumps(skewed)).interval(0.5) == (0, 1)
    assert replace(skewed, value=math.inf).interval(0.5) == (-math.inf, math.inf)
