"""Which claim is derived from which: the claims as a graph, by section of the theory."""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from itssl.choices import ParameterError, UnknownNameError, require_known
from itssl.claims.claim import Claim, claims
from itssl.claims.decision import Relation

if TYPE_CHECKING:
    import networkx

SIGNS = {Relation.EQUAL: "=", Relation.AT_MOST: "≤", Relation.AT_LEAST: "≥"}
SECTIONS = {
    "output law": range(1, 8),
    "information bound": range(8, 17),
    "surrogates": range(17, 30),
    "entropy estimators": range(30, 36),
    "contrastive link": range(36, 39),
    "generalization": range(39, 47),
    "dynamics": range(47, 49),
}
"""The sections of the theory, in the order of the argument, and the numbers of their claims."""
BEYOND = "beyond"
"""The section of all other claims."""


def section(id: str) -> str:
    """The section of a claim, by its identifier.

    >>> section("C27"), section("C60")
    ('surrogates', 'beyond')
    """
    number = re.fullmatch(r"C(\d+)", id)
    found = [name for name, numbers in SECTIONS.items() if number and int(number[1]) in numbers]
    return found[0] if found else BEYOND


def claim_graph(among: Iterable[Claim] | None = None) -> "networkx.DiGraph":
    """A directed graph of the claims (all of them unless given) with an edge from a to b where b uses a.

    So edges run as the argument does, from premises to what follows; nodes are identifiers, in their order, with
    ``section``, ``kind``, ``relation`` ("=", "≤" or "≥": how left stands to right) and ``title``.

    Raises UnknownNameError where a claim uses one that is not among them, ParameterError where uses go in a circle.

    >>> graph = claim_graph()
    >>> sorted(graph.predecessors("C27")), graph.nodes["C27"]["relation"]
    (['C08', 'C10', 'C17'], '=')
    """
    import networkx

    chosen = {c.id: c for c in (claims().values() if among is None else among)}
    graph = networkx.DiGraph()
    for id, c in chosen.items():
        graph.add_node(id, section=section(id), kind=c.kind, relation=SIGNS[c.relation], title=c.title)
    for id, c in chosen.items():
        for used in c.uses:
            if used not in chosen:
                raise UnknownNameError(f"uses: {id} uses {used!r}, which is no claim here; expected one of {[*chosen]}")
            graph.add_edge(used, id)
    if not networkx.is_directed_acyclic_graph(graph):
        circle = [edge[1] for edge in networkx.find_cycle(graph)]
        raise ParameterError(
            "uses: expected claims that are derived from one another without a circle, got "
            f"{' → '.join([circle[-1], *circle])}; drop one of these uses"
        )
    return graph


def around(graph: "networkx.DiGraph", id: str) -> "networkx.DiGraph":
    """The part of the graph that a claim belongs to: all it rests on, itself, and all that rests on it.

    Raises UnknownNameError for a claim that is not in the graph.

    >>> sorted(around(claim_graph(), "C03"))
    ['C01', 'C03', 'C05']
    """
    import networkx

    require_known("claim", id, graph)
    kept = {id} | networkx.ancestors(graph, id) | networkx.descendants(graph, id)
    part = networkx.DiGraph()
    part.add_nodes_from((n, node) for n, node in graph.nodes.items() if n in kept)
    part.add_edges_from((a, b) for a, b in graph.edges if {a, b} <= kept)
    return part


def by_section(graph: "networkx.DiGraph") -> dict[str, list[str]]:
    """The claims of each section that has any, sections in the order of the argument."""
    groups = {name: [id for id in graph if graph.nodes[id]["section"] == name] for name in (*SECTIONS, BEYOND)}
    return {name: ids for name, ids in groups.items() if ids}


def graph_text(graph: "networkx.DiGraph") -> str:
    """The graph in words: by section, each claim with its relation, its title and what it uses.

    >>> print(graph_text(around(claim_graph(), "C33")))  # doctest: +ELLIPSIS
    output law
      C01 = f(y) = A y + b for every y in the activation region ω of x, ...
      C07 = h(f(X)) = h(X) + E log|det A_ω(X)| − H(branch | Z) ...
            uses C01
    ...
    """
    lines = []
    for name, ids in by_section(graph).items():
        lines.append(name)
        for id in ids:
            node = graph.nodes[id]
            lines.append(f"  {id} {node['relation']} {'finding: ' * (node['kind'] == 'finding')}{node['title']}")
            lines += [f"        uses {', '.join(sorted(graph.predecessors(id)))}"] * bool(graph.in_degree(id))
    return "\n".join(lines)


def graph_json(graph: "networkx.DiGraph") -> str:
    """The graph as one JSON object: ``claims``, each with what it uses and what uses it.

    >>> [entry["id"] for entry in json.loads(graph_json(around(claim_graph(), "C03")))["claims"]]
    ['C01', 'C03', 'C05']
    """
    entries = [
        {"id": id, **graph.nodes[id], "uses": sorted(graph.predecessors(id)), "used_by": sorted(graph.successors(id))}
        for id in graph
    ]
    return json.dumps({"claims": entries}, ensure_ascii=False)


def graph_dot(graph: "networkx.DiGraph") -> str:
    """The graph in the language of Graphviz: a box per section, arrows as the argument runs.

    >>> graph_dot(around(claim_graph(), "C03")).splitlines()[-2]
    '  "C03" -> "C05";'
    """
    lines = ["digraph claims {", "  rankdir=LR;", "  node [shape=box];"]
    for i, (name, ids) in enumerate(by_section(graph).items()):
        nodes = "".join(f' "{id}" [label={json.dumps(_label(graph, id), ensure_ascii=False)}];' for id in ids)
        lines.append(f'  subgraph cluster_{i} {{ label="{name}";{nodes} }}')
    lines += [f'  "{used}" -> "{user}";' for used, user in graph.edges]
    return "\n".join([*lines, "}"])


def _label(graph: "networkx.DiGraph", id: str) -> str:
    return f"{id} {graph.nodes[id]['relation']}"
