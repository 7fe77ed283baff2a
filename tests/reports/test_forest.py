"""The rows of gaps: marks stand where the gap is in margins, on the same axis as the names below them."""

import math
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from toy_claims import four_verdicts, register, toy

from itssl.claims.check import check
from itssl.claims.decision import Relation
from itssl.claims.verdict import Verdict
from itssl.reports.forest import MARKS, WIDTH, Axis, axis_of, axis_svg, gap_in_words, mark, row_svg


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    return four_verdicts(monkeypatch, farthest=300.0)


def _x(axis: Axis, value: float) -> float:
    """The naive twin: interpolate between the ends, in the coordinate that is x within ±1 and 1 + log10 |x| beyond."""
    coordinate = [v if abs(v) <= 1 else math.copysign(1 + math.log10(abs(v)), v) for v in (axis.low, axis.high, value)]
    return float(np.interp(coordinate[2], coordinate[:2], [7, WIDTH - 7]))


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_positions_rise_from_0_to_1_and_stop_at_the_ends() -> None:
    axis = Axis(-30.0, 3000.0)
    x = np.array([-1e9, -30, -5, -1, -0.2, 0, 0.5, 1, 7, 3000, 1e12])
    positions = [axis.position(v) for v in x]
    assert positions[0] == positions[1] == 0.0
    assert positions[-1] == positions[-2] == 1.0
    assert (np.diff(positions[1:-1]) > 0).all()


def test_marks_and_intervals_are_gaps_in_margins(verdicts: list[Verdict]) -> None:
    axis = axis_of(verdicts)
    theorem = _parsed(row_svg(verdicts[0], axis))
    (disc,) = theorem.iter("circle")
    assert float(disc.get("cx", "nan")) == pytest.approx(_x(axis, verdicts[0].gap.value / 0.5), abs=0.06)
    for v in verdicts:
        group = _parsed(row_svg(v, axis)).find("g")
        assert group is not None
        assert group.get("class") == ("control" if v.control else v.kind)
        start, end = (group[0].get("d") or "")[1:].split("H")
        ends = [_x(axis, x / 0.5) for x in v.gap.interval(1 - v.false_verdict_rate)]
        np.testing.assert_allclose([float(start.split()[0]), float(end)], ends, atol=0.06)


def test_the_band_follows_the_relation(verdicts: list[Verdict]) -> None:
    axis = axis_of(verdicts)
    for v, ends in zip(verdicts, [(-1, 1), (-1, 1), (axis.low, 1), (-1, axis.high)], strict=True):
        (band,) = _parsed(row_svg(v, axis)).iter("rect")
        left, width = float(band.get("x", "nan")), float(band.get("width", "nan"))
        np.testing.assert_allclose([left, left + width], [_x(axis, end) for end in ends], atol=0.11)


def test_names_stand_where_their_values_are_and_apart(verdicts: list[Verdict]) -> None:
    for axis in (axis_of(verdicts), Axis(-3, 3), Axis(-1e9, 1e15), Axis(-3, 1e15)):
        names = [(float(t.get("x", "nan")), t.text or "") for t in _parsed(axis_svg(axis)).iter("text")]
        assert "0" in [name for _, name in names]
        for at, name in names:
            (value,) = [x for x, known in axis.ticks.items() if known == name]
            assert at == pytest.approx(_x(axis, value), abs=0.06)
        names.sort()
        for (a, left), (b, right) in pairwise(names):
            assert b - a > 3 * (len(left) + len(right))


def test_words_say_what_is_drawn(verdicts: list[Verdict]) -> None:
    assert [gap_in_words(v).partition("; ")[2] for v in verdicts] == [
        "the statement holds from -1 to 1", "the statement holds from -1 to 1", "the statement holds up to 1",
        "the statement holds from -1",
    ]  # fmt: skip
    assert f"gap {verdicts[3].gap.value / 0.5:.3g} margins" in gap_in_words(verdicts[3])
    assert _parsed(row_svg(verdicts[0], axis_of(verdicts))).get("aria-label") == gap_in_words(verdicts[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e9])
@pytest.mark.parametrize("relation", list(Relation))
def test_odd_gaps_are_drawn_or_named(monkeypatch: pytest.MonkeyPatch, value: float, relation: Relation) -> None:
    register(monkeypatch, toy("T1", {"a": 0.0}, {}, relation=relation, margin=0.0))
    verdict = check("T1", max_replicates=32)
    for error in (0.0, 0.1):
        odd = replace(verdict, gap=replace(verdict.gap, value=value, standard_error=error))
        root = _parsed(row_svg(odd, axis_of([odd, verdict])))
        assert (root.get("aria-label") == "no finite gap") == (not math.isfinite(value)) == (root.find("g") is None)
        (band,) = root.iter("rect")
        left = float(band.get("x", "nan"))
        ends = (left, left + float(band.get("width", "nan")))
        zero = _x(axis_of([odd, verdict]), 0.0)
        assert any(end == pytest.approx(zero, abs=0.11) for end in ends)  # a margin of zero allows nothing beyond it
        if math.isfinite(value):
            assert "half-widths" in (root.get("aria-label") or "")


def test_marks_differ_in_shape() -> None:
    assert len({mark(name, 5.0) for name in MARKS}) == 3
