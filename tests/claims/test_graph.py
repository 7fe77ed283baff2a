"""The graph of claims: what it says is what the decorators say, it has no circle, and others are refused by name."""

import json
import re
from dataclasses import replace

import networkx
import pytest
from click.testing import CliRunner
from toy_claims import toy

from itssl.choices import ParameterError, UnknownNameError
from itssl.claims.claim import claims
from itssl.claims.decision import Relation
from itssl.claims.graph import (
    BEYOND,
    SECTIONS,
    around,
    by_section,
    claim_graph,
    graph_dot,
    graph_json,
    graph_text,
    section,
)
from itssl.cli import main
from itssl.reports.tables import claim_text


def made(**uses: tuple[str, ...]):
    """Claims of one line that use one another as said."""
    return [replace(toy(id, {"a": 0.0}, {}, statement=f"{id} is said."), uses=names) for id, names in uses.items()]


DIAMOND = made(C01=(), C08=("C01",), C17=("C01",), C60=("C08", "C17"))


def test_every_claim_is_a_node_and_every_use_an_edge() -> None:
    graph = claim_graph()
    assert set(graph) == set(claims())
    assert set(graph.edges) == {(used, c.id) for c in claims().values() for used in c.uses}
    for id, node in graph.nodes.items():
        assert node["title"] == claims()[id].title
        assert node["kind"] == claims()[id].kind


def test_the_claims_use_one_another_without_a_circle_and_not_twice() -> None:
    order = list(networkx.topological_sort(claim_graph()))
    assert all(order.index(used) < order.index(id) for id, c in claims().items() for used in c.uses)
    assert [c.id for c in claims().values() if len(set(c.uses)) < len(c.uses)] == []


def test_the_argument_reaches_vicreg() -> None:
    """The correspondence of loss and information rests on the bound, its cross term, the moment bound and InfoNCE."""
    assert {"C08", "C10", "C17", "C27", "C37"} <= networkx.ancestors(claim_graph(), "C28")


def test_premises_come_before_what_follows() -> None:
    graph = claim_graph(DIAMOND)
    assert list(graph.predecessors("C60")) == ["C08", "C17"]
    assert list(graph.successors("C01")) == ["C08", "C17"]


@pytest.mark.parametrize(
    ("relation", "sign"), [(Relation.EQUAL, "="), (Relation.AT_MOST, "≤"), (Relation.AT_LEAST, "≥")]
)
def test_the_sign_of_a_node_is_its_relation(relation: Relation, sign: str) -> None:
    assert claim_graph([toy("C01", {"a": 0.0}, {}, relation=relation)]).nodes["C01"]["relation"] == sign


def test_a_circle_is_refused_with_its_members() -> None:
    with pytest.raises(ParameterError, match=r"C0[12] → C0[12] → C0[12]; drop"):
        claim_graph(made(C01=("C02",), C02=("C01",), C03=("C02",)))


def test_an_unknown_use_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match=r"C03 uses 'C99', which is no claim here"):
        claim_graph(made(C02=(), C03=("C99",)))


def test_sections_are_those_of_the_theory_without_gap_or_overlap() -> None:
    numbers = [number for span in SECTIONS.values() for number in span]
    assert numbers == list(range(1, 49))
    assert [section(id) for id in ("C07", "C08", "C16", "C17", "C29", "C30", "C36", "C39", "C48")] == [
        "output law", "information bound", "information bound", "surrogates", "surrogates", "entropy estimators",
        "contrastive link", "generalization", "dynamics",
    ]  # fmt: skip
    assert [section(id) for id in ("C49", "T1", "C")] == [BEYOND] * 3


def test_around_keeps_what_a_claim_rests_on_and_what_rests_on_it() -> None:
    graph = claim_graph(DIAMOND)
    assert sorted(around(graph, "C08")) == ["C01", "C08", "C60"]
    assert sorted(around(graph, "C01")) == ["C01", "C08", "C17", "C60"]
    with pytest.raises(UnknownNameError, match="claim: expected one of 'C01'"):
        around(graph, "C02")


def test_text_json_and_dot_say_the_same_graph() -> None:
    graph = claim_graph()
    edges = set(graph.edges)
    entries = {entry["id"]: entry for entry in json.loads(graph_json(graph))["claims"]}
    assert {(used, id) for id, entry in entries.items() for used in entry["uses"]} == edges
    assert {(id, user) for id, entry in entries.items() for user in entry["used_by"]} == edges
    assert set(re.findall(r'"(C\d+)" -> "(C\d+)";', graph_dot(graph))) == edges
    found, id, lines = set(), "", graph_text(graph).splitlines()
    for line in lines:
        if uses := re.fullmatch(r" {8}uses (.*)", line):
            found |= {(used, id) for used in uses[1].split(", ")}
        elif head := re.match(r"  (C\d+) [=≤≥] ", line):
            id = head[1]
    assert found == edges
    assert [line for line in lines if not line.startswith(" ")] == list(by_section(graph))


def test_text_of_a_small_graph() -> None:
    assert graph_text(claim_graph(made(C01=(), C08=("C01",)))).splitlines() == [
        "output law", "  C01 = C01 is said.", "information bound", "  C08 = C08 is said.", "        uses C01",
    ]  # fmt: skip


def run(*arguments: str) -> str:
    return CliRunner().invoke(main, ["show", *arguments], catch_exceptions=False).output


def test_show_prints_the_graph_in_three_languages_and_a_part_of_it() -> None:
    graph = claim_graph()
    assert run("--graph") == graph_text(graph) + "\n"
    assert run("--graph", "--json") == graph_json(graph) + "\n"
    assert run("--graph", "--dot") == graph_dot(graph) + "\n"
    assert run("c27", "--graph") == graph_text(around(graph, "C27")) + "\n"


def test_show_says_what_a_claim_uses_and_what_uses_it() -> None:
    assert run("C27") == claim_text(claims()["C27"]) + "\n"
    lines = run("C27").splitlines()
    assert "uses: C08, C10, C17" in lines
    assert any(line.startswith("used by: ") and "C28" in line for line in lines)
    assert not any(line.startswith("uses: ") for line in run("C17").splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected CLAIM or --graph, got neither"),
        (["C17", "--json"], "--json, --dot: expected --graph with it"),
        (["--graph", "--json", "--dot"], "expected --json or --dot, got both"),
        (["C0", "--graph"], "claim: expected one of 'C01'"),
    ],
)
def test_show_refuses_what_it_cannot_show(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["show", *arguments])
    assert result.exit_code == 2
    assert message in result.output
