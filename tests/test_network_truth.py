"""The experiment on truth networks: no method is forgotten, and what an answer is worth is judged as written."""

import numpy as np
import pytest

from experiments.network_truth.run import EXCLUDED, estimators, score, verdict
from experiments.network_truth.show import COLORS, LEGEND, behavior, merged, table
from itssl.arrays import SampleError
from itssl.estimate import Bias, Estimate, EstimateWarning
from itssl.estimators.methods import methods
from itssl.networks.truth_networks import truth_networks

WARNING = EstimateWarning(code="doubt", message="m", cure="c")
NO_BAR = EstimateWarning(code="no_error_bar", message="m", cure="c")


def answer(value, error=0.1, bias=Bias.UNKNOWN, warnings=()):
    return Estimate(value=value, standard_error=error, n=10, bias=bias, method="m", warnings=warnings)


@pytest.mark.parametrize("quantity", ["entropy", "mutual_information"])
def test_every_method_is_asked_or_left_out_for_a_reason(quantity):
    networks = truth_networks().values()
    asked = {
        type(estimator)
        for part in ("plain", "critics")
        for net in networks
        for estimator in estimators(net, quantity, part).values()
    }
    left_out = {name for name, kind in methods(quantity).items() if kind not in asked}
    assert left_out == set(EXCLUDED[quantity])


@pytest.mark.parametrize(
    ("given", "truth", "expected"),
    [
        (answer(1.0), 1.1, "right"),
        (answer(1.0), 2.0, "silent"),
        (answer(1.0, warnings=(WARNING,)), 2.0, "warned"),
        (answer(1.0, warnings=(NO_BAR,)), 2.0, "silent"),
        (answer(1.0, bias=Bias.LOWER), 2.0, "as stated"),
        (answer(1.0, bias=Bias.UPPER), 2.0, "silent"),
        (answer(1.0, bias=Bias.UPPER), 0.5, "as stated"),
        (answer(10.0, 0.1), 10.25, "right"),  # outside the interval, but within 3 standard errors and 20 %
        (answer(10.0, 0.1), 10.31, "silent"),  # over 3 standard errors
        (answer(0.5, 0.1), 0.71, "silent"),  # over 20 % and outside the interval
        (answer(0.5, 0.1), 0.69, "right"),  # over 20 %, but the interval holds the truth
        (answer(1.0, np.nan), 1.1, "right"),
        (answer(1.0, np.nan), 1.3, "silent"),
        (answer(0.0, np.nan), 0.04, "right"),
        (answer(-5.0), -np.inf, "silent"),
        (answer(-5.0, warnings=(WARNING,)), -np.inf, "warned"),
        (answer(-np.inf, np.nan), -np.inf, "right"),
        (answer(-np.inf, np.nan), 1.0, "silent"),
    ],
)
def test_what_an_answer_is_worth(given, truth, expected):
    assert verdict(given, truth) == expected


def test_scores_are_means_over_the_answers():
    answers = iter([answer(1.0), answer(3.0, warnings=(WARNING,)), SampleError("no")])

    def ask(_):
        found = next(answers)
        if isinstance(found, SampleError):
            raise found
        return found

    found = score(ask, [(0,)] * 3, 1.0)
    assert found["bias"] == 1.0
    assert found["root_mean_square_error"] == pytest.approx(np.sqrt(2))
    assert found["covered"] == 0.5
    assert found["warnings"] == ["doubt"]
    third = pytest.approx(1 / 3)
    assert found["shares"] == {"right": third, "as stated": 0, "warned": third, "silent": 0, "refused": third}
    row = {"estimators": {"a": found}, "truth": 1.0, "on_its_surface": None}
    assert behavior(row, "a") == "mixed"
    assert behavior(row, "b") == "-"
    assert set(LEGEND) | {"-"} == set(COLORS)


def test_table_and_parts():
    def row(quantity, part, label, share):
        shares = {"right": 1 - share, "silent": share, "refused": 0.0}
        measured = {"shares": shares, "root_mean_square_error": 0.5 - share / 10, "mean": 1.0, "bias": 0.1}
        return {
            "network": "net-1", "quantity": quantity, "part": part, "truth": 1.0, "on_its_surface": None,
            "d_in": 1, "d_out": 2, "estimators": {label: measured},
        }  # fmt: skip

    wide = row("entropy", "plain", "a", 0.0)
    assert behavior(wide, "a") == "wide"
    assert behavior(wide | {"truth": 10.0}, "a") == "right"
    assert behavior(row("entropy", "plain", "a", 1.0), "a") == "silent"
    rows = [row("entropy", "plain", "a", 0.0), row("mutual_information", "plain", "b", 1.0)]
    rows += [row("mutual_information", "critics", "c", 0.2)]
    assert list(merged(rows)["net-1", "mutual_information"]["estimators"]) == ["b", "c"]
    assert table(rows)[2] == "| `net-1` | 1 → 2 | 1 | a (±0.5) | 0 of 1 | 1 | b (±0.4) | 1 of 2 |"
