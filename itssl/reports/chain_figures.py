"""Pictures of the argument: its waterfall before and after training, and the graph of claims it is made of.

Functions return matplotlib figures and show nothing; ``describe_...`` say in words what a picture shows.
"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from itssl.claims.chain_answer import INFORMATION, Chain, Link
from itssl.claims.claim import claims
from itssl.claims.graph import by_section, claim_graph
from itssl.evaluation.drawing import Picture, axes_in, panels_in, require_answer, title

if TYPE_CHECKING:
    import networkx

# Okabe-Ito colors: told apart by color-blind readers; hatching tells them apart in gray
_LOOK: dict[str, dict[str, Any]] = {
    "≥": {"facecolor": "#0072B2", "hatch": ""},
    "≤": {"facecolor": "#D55E00", "hatch": "///"},
    "≈": {"facecolor": "0.7", "hatch": "..."},
    "": {"facecolor": "0.4", "hatch": ""},
}
_EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0}
_DIAMOND: dict[str, Any] = {
    "marker": "D",
    "color": "black",
    "markerfacecolor": "white",
    "markersize": 4.5,
    "linestyle": "",
}
_MEANING = {
    "≥": "falls or stays (I: up to H(T|X))",
    "≤": "rises or stays",
    "≈": "either, as the law decides",
    "": "start",
}
_COLUMNS = (
    ("output law",),
    ("information bound",),
    ("surrogates",),
    ("entropy estimators", "contrastive link"),
    ("generalization", "dynamics", "beyond"),
)
_ARROWS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "0.35")
_WIDTH, _HEIGHT, _PITCH, _LINE = 1.66, 0.5, 2.2, 0.66
"""Of a box; from one column to the next, from one row to the next: inches."""


def waterfall_figure(chain: Chain, *, figure: Figure | SubFigure | None = None) -> Figure:
    """The chain before and after training side by side: above what is information, below what follows from the bound.

    A bar goes from the value of the line before to its own, the first from zero. Labels name the claims that a step
    rests on; numbers are its relation, the value, and in brackets the gap. The bracket at I(Z;Z') is where the
    information of the network itself lies, which the certificate keeps near that of the mixture. Diamonds are the same
    lines for augmented pictures as views. Values in nats. Draws into ``figure`` where one is given; raises
    ParameterError for what is no Figure and for another answer.

    >>> import numpy as np
    >>> from itssl.claims.chain import measure_links
    >>> from itssl.claims.chain_answer import Quantity
    >>> from itssl.distributions.tasks import linear_gaussian_views
    >>> from itssl.evaluation import decompose
    >>> from itssl.networks.encoders import mlp
    >>> rng = np.random.default_rng(0)
    >>> links = measure_links(mlp((4, 32, 2), seed=0), rng.normal(size=(20, 4)), input_std=1e-3)
    >>> views = decompose(*linear_gaussian_views([0.9, 0.5]).sample(500, rng), information="gaussian")
    >>> floor = Quantity("I(f(X);f(X')) ≥", 2.6, 0.0, 2.9, 0.0, ("C03",), "an example")
    >>> bound = Quantity("that ≤", 3.0, 0.0, 2.0, 0.0, ("C39",), "an example")
    >>> chain = Chain(before=links, after=links, premises=(floor,), consequences=(bound,), views_before=views,
    ...               views_after=views, prototypes=20, dim=2, input_std=1e-3, draws=1024, seed=0)
    >>> figure = waterfall_figure(chain)
    >>> [ax.get_title() for ax in figure.axes]
    ['before training', 'after training', '', '']
    """
    require_answer("chain", chain, Chain, "itssl.claims.chain.measure_chain")
    split = [link.name for link in chain.before].index(INFORMATION)
    size = len(chain.before)
    ratios = (split + 1, size - split)
    root, panels = panels_in(figure, 11, 1.9 + 0.46 * (size + 1), 2, 2, sharex="row", height_ratios=ratios)
    floor = next(p for p in chain.premises if p.name.startswith("I(f(X)"))
    sides = (
        ("before training", chain.before, floor.before, chain.views_before),
        ("after training", chain.after, floor.after, chain.views_after),
    )
    for column, (name, links, least, views) in enumerate(sides):
        above, below = panels[column], panels[2 + column]
        found = {step.name: step.value for step in views.steps}
        named = [link.name for link in links[split + 1 :]]
        _waterfall(above, links[: split + 1], [None] * split + [found["information"]], labels=column == 0)
        above.errorbar(least, split, xerr=[[0], [links[0].value - least]], color="0.15", capsize=5, zorder=3)
        above.annotate(
            f"of the network itself: {least:.4g} or more", (links[0].value, split), (-4, 6), textcoords="offset points",
            ha="right", va="bottom", fontsize=8,
        )  # fmt: skip
        above.set_title(name, fontsize=10)
        _waterfall(below, links[split:], [None, *map(found.get, named)], labels=column == 0)
        below.set_xlabel("nats")
    handles: list[Artist] = [Patch(label=f"{sign} {_MEANING[sign]}".strip(), **_LOOK[sign], **_EDGE) for sign in _LOOK]
    handles.append(Line2D([], [], label="the same line, augmented pictures (I: InfoNCE, a lower bound)", **_DIAMOND))
    (figure or root).legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    title(figure or root, chain.title)
    return root


def _waterfall(ax: Axes, links: Sequence[Link], diamonds: Sequence[float | None], *, labels: bool) -> None:
    """Bars and diamonds by row; what is written of a row is right of both."""
    last = len(links) - 1
    for row, link in enumerate(links):
        look = _LOOK[link.relation if row else ""]
        start = link.value - link.gap if row else 0.0
        ax.barh(row, link.value - start, left=start, height=0.62, **look, **_EDGE)
        ax.plot(
            [link.value] * 2, [row - 0.31, row + 0.31], color=look["facecolor"], linewidth=1.5
        )  # where gaps are small
        if link.standard_error > 0:
            ax.errorbar(link.value, row, xerr=link.standard_error, color="0.15", capsize=2, linewidth=1)
        if row < last:
            ax.plot([link.value] * 2, [row, row + 1], color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        right, diamond = max(start, link.value), diamonds[row]
        if diamond is not None:
            ax.plot([diamond], [row], **_DIAMOND)
            right = max(right, diamond)
        ax.annotate(
            _amount(link) if row else f"{link.value:.4g}", (right, row), (8, 0),
            textcoords="offset points", va="center", fontsize=8, parse_math=False,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip
    ax.axvline(0, color="0.35", linewidth=0.8, zorder=0)
    names = [f"{link.name}\n{', '.join(link.claims)}" for link in links]
    ax.set_yticks(range(len(links)), names if labels else [""] * len(links), fontsize=8, linespacing=1.15)
    ax.set_ylim(last + 0.6, -0.6)
    ax.margins(x=0.28)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _amount(link: Link) -> str:
    """Relation, value and gap; a gap that rounding alone can cause is 0."""
    gap = 0.0 if abs(link.gap) < 1e-9 * max(1.0, abs(link.value)) else link.gap
    return f"{link.relation} {link.value:.4g}  ({gap:+.4g})".replace("(+0)", "(0)")


def describe_chain(chain: Chain) -> str:
    """What :func:`waterfall_figure` shows, in words: every line with its relation and both values."""
    lines = [
        f"{a.relation} {a.name} {a.value:.4g} before and {b.value:.4g} after".strip()
        for a, b in zip(chain.before, chain.after, strict=True)
    ]
    return f"Two waterfalls. {chain.title}. {'; '.join(lines)}. {'. '.join(chain.notes)}."


def graph_figure(*, ax: Axes | None = None) -> Figure:
    """The claims as boxes by section, with the sign of their relation, and arrows from claims to those that use them.

    Boxes of findings are dashed. Arrows within a section run on its left side. Draws into ``ax`` where one is given,
    whose text fits where the axes are as large as the picture without. Raises ParameterError for what is no Axes.

    >>> figure = graph_figure()
    >>> len(figure.axes)
    1
    """
    graph = claim_graph()
    place, heads = _places(graph)
    right, low = max(x for x, _ in place.values()) + _WIDTH, min(y for _, y in place.values())
    if ax is None:
        ax = Picture(figsize=(right + 0.6, -low + 1.2)).add_axes((0.0, 0.0, 1.0, 1.0))
    figure, ax = axes_in(ax, 0, 0)
    ax.set_xlim(-0.5, right + 0.1)
    ax.set_ylim(low - 0.15 - _HEIGHT / 2, 0.7)
    ax.set_axis_off()
    for a, b in graph.edges:
        _arrow(ax, place[a], place[b])
    for name, (x, y) in heads.items():
        ax.text(x, y, name, fontsize=10, fontweight="bold", va="center")
    for id, (x, y) in place.items():
        node = graph.nodes[id]
        ax.add_patch(
            FancyBboxPatch(
                (x, y - _HEIGHT / 2), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.07", facecolor="white",
                edgecolor="0.25", linewidth=0.9, linestyle="--" if node["kind"] == "finding" else "-", zorder=2,
            )
        )  # fmt: skip
        ax.text(x + 0.06, y, f"{id}\n{node['relation']}", fontsize=8, fontweight="bold", va="center", zorder=3)
        ax.text(x + 0.36, y, _short(id), fontsize=6.5, va="center", zorder=3, linespacing=1.05, parse_math=False)
    return figure


def _places(graph: "networkx.DiGraph") -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """Left middle of every box, and of every section's name."""
    sections, place, heads = by_section(graph), {}, {}
    for column, names in enumerate(_COLUMNS):
        row = 0.0
        for name in names:
            if name not in sections:
                continue
            heads[name] = (column * _PITCH, -row * _LINE + 0.45)
            for id in sections[name]:
                place[id] = (column * _PITCH, -row * _LINE)
                row += 1
            row += 0.9
    return place, heads


def _arrow(ax: Axes, a: tuple[float, float], b: tuple[float, float]) -> None:
    """From the right side of a to the left side of b, or along the left side within a column."""
    forward, same = b[0] > a[0], b[0] == a[0]
    start = a if same or not forward else (a[0] + _WIDTH, a[1])
    end = b if same or forward else (b[0] + _WIDTH, b[1])
    down = a[1] - b[1]
    bend = 2 * min(0.42, 0.14 + 0.05 * abs(down)) / down if same else 0.08 if forward else -0.08
    ax.add_patch(
        FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=8, linewidth=1.0,
            color=_ARROWS[round(a[0] / _PITCH)], alpha=0.75, shrinkA=0, shrinkB=1, zorder=1,
        )
    )  # fmt: skip


def _short(id: str) -> str:
    """The claim in a few words: the name of its function, on at most three lines."""
    lines = textwrap.wrap(claims()[id].sides.__name__.replace("_", " "), 22)
    return "\n".join([*lines[:2], textwrap.shorten(" ".join(lines[2:]), 22, placeholder=" …")] if lines[2:] else lines)


def describe_graph() -> str:
    """What :func:`graph_figure` shows, in words: the claims of each section and all uses.

    >>> print(describe_graph()[:60])
    Graph of 48 claims by section. output law: C01, C02, C03, C0
    """
    graph = claim_graph()
    sections = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in by_section(graph).items())
    uses = "; ".join(f"{id} uses {', '.join(sorted(graph.predecessors(id)))}" for id in graph if graph.in_degree(id))
    return f"Graph of {len(graph)} claims by section. {sections}. Arrows: {uses}."
