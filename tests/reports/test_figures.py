"""Figures of gaps: what is drawn is gap over margin, and who is who can be told without color."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from toy_claims import four_verdicts, register, toy

from itssl.claims.check import check, check_inequality
from itssl.claims.claim import claims
from itssl.claims.decision import Relation
from itssl.claims.verdict import Verdict
from itssl.reports.figures import families, family, gap_figure


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    return four_verdicts(monkeypatch, farthest=3.0)


def _axes(figure: Figure) -> Axes:
    (ax,) = figure.axes
    return ax


def _markers(ax: Axes) -> list:
    return [line for line in ax.lines if line.get_marker() not in ("None", None, "")]


def test_markers_are_gaps_in_margins_with_their_intervals(verdicts: list[Verdict]) -> None:
    ax = _axes(gap_figure(verdicts))
    drawn = [float(np.asarray(line.get_xdata())[0]) for line in _markers(ax)]
    np.testing.assert_allclose(drawn, [v.gap.value / v.margin for v in verdicts], rtol=1e-12)
    for bar, v in zip(ax.collections, verdicts, strict=True):
        ends = np.asarray(bar.get_paths()[0].vertices)[:, 0]
        np.testing.assert_allclose(ends, np.array(v.gap.interval(1 - v.false_verdict_rate)) / v.margin, rtol=1e-12)


def test_the_shaded_part_follows_the_relation(verdicts: list[Verdict]) -> None:
    ax = _axes(gap_figure(verdicts))
    low, high = ax.get_xlim()
    ends = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(ends, [(-1, 1), (-1, 1), (low, 1), (-1, high)])


def test_kinds_differ_in_marker_color_and_filling(verdicts: list[Verdict]) -> None:
    theorem, control, finding, _ = _markers(_axes(gap_figure(verdicts)))
    assert len({line.get_marker() for line in (theorem, control, finding)}) == 3
    assert len({line.get_color() for line in (theorem, control, finding)}) == 3
    assert control.get_markerfacecolor() == "white" != theorem.get_markerfacecolor()


def test_every_row_and_kind_is_labelled(verdicts: list[Verdict]) -> None:
    ax = _axes(gap_figure(verdicts))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["T1 · a", "T1 · control: adds one", "T2 · a", "T3 · a"]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["theorem", "control", "finding", "the statement holds"]
    assert [text.get_text() for text in ax.texts] == ["holds", "violated", "holds", "holds"]


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e9])
@pytest.mark.parametrize("relation", list(Relation))
def test_odd_gaps_are_drawn_or_named(monkeypatch: pytest.MonkeyPatch, value: float, relation: Relation) -> None:
    register(monkeypatch, toy("T1", {"$a_1$ costs 5$": 0.0}, {}, relation=relation, margin=0.0))
    verdict = check("T1", max_replicates=32)
    for error in (0.0, 0.1):
        odd = replace(verdict, gap=replace(verdict.gap, value=value, standard_error=error))
        figure = gap_figure([odd, verdict])
        figure.savefig(io.BytesIO(), format="png")
        notes = [text.get_text() for text in _axes(figure).texts]
        assert (notes[0] == "no finite gap") == (not math.isfinite(value))


def test_derivations_are_called_by_their_statement(verdicts: list[Verdict]) -> None:
    own = check_inequality(lambda rng: 1 + rng.normal(size=50), 0.0, statement="1 <= 0", max_replicates=32)
    ax = _axes(gap_figure([own, check("C10"), verdicts[0]]))
    assert ax.get_yticklabels()[0].get_text() == "1 <= 0"
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["derivation", "theorem", "the statement holds"]


def test_the_axis_says_what_gaps_are_divided_by(verdicts: list[Verdict]) -> None:
    own = check_inequality(lambda rng: 1 + rng.normal(size=50), 0.0, max_replicates=32)
    half = "half-width of its interval"
    assert _axes(gap_figure(verdicts)).get_xlabel() == "gap (left − right) / margin"
    assert _axes(gap_figure([own])).get_xlabel() == f"gap (left − right) / {half}"
    assert _axes(gap_figure([own, *verdicts])).get_xlabel().endswith(f"margin, or {half} where the margin is 0")


def test_ticks_have_one_kind_of_minus(verdicts: list[Verdict]) -> None:
    ax = _axes(gap_figure([replace(verdicts[0], gap=replace(verdicts[0].gap, value=-1e3))]))
    names = dict(zip(ax.get_xticks(), [label.get_text() for label in ax.get_xticklabels()], strict=True))
    assert (names[-1.0], names[0.0], names[1.0]) == ("−1", "0", "1")
    assert names[-1000.0] == "$-10^{3}$"  # mathematics, where a hyphen is a minus


def test_draws_into_given_axes(verdicts: list[Verdict]) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert gap_figure(verdicts, ax=right) is figure
    assert not left.lines
    assert right.lines


def test_no_verdicts_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one verdict, got none"):
        gap_figure([])


def test_families_are_the_modules_of_the_claims() -> None:
    verdict = check("C10")
    names = {family(replace(verdict, claim=id)) for id in claims()}
    assert family(verdict) == "information bound"
    assert {"output law", "entropy bounds", "contrastive link"} <= names
    assert families([verdict, verdict]) == {"information bound": [verdict, verdict]}
