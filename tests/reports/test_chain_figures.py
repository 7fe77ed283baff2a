"""Pictures of the argument: bars are the gaps, signs and arrows those of the claims, and gray is enough for them."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from itssl.arrays import stream
from itssl.claims.chain import measure_links
from itssl.claims.chain_answer import Chain, Quantity
from itssl.claims.claim import claims
from itssl.claims.graph import claim_graph
from itssl.distributions.tasks import linear_gaussian_views
from itssl.evaluation.decomposition import decompose
from itssl.networks.encoders import mlp
from itssl.reports import chain_figures
from itssl.reports.chain_figures import describe_chain, describe_graph, graph_figure, waterfall_figure


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A chain of two small networks."""
    x = stream(0, "prototypes").standard_normal((20, 6))
    before, after = (measure_links(mlp((6, 32, 3), seed=s), x, input_std=0.05, draws=100) for s in (0, 1))
    views = decompose(*linear_gaussian_views([0.9, 0.5, 0.2]).sample(500, stream(0, "views")), information="gaussian")
    floor = Quantity("I(f(X);f(X')) ≥", 1.5, 0.0, 2.0, 0.0, ("C03",), "stated here")
    bound = Quantity("that ≤", 3.0, 0.0, 2.0, 0.0, ("C39",), "stated here")
    return Chain(
        before=before, after=after, premises=(floor,), consequences=(bound,), views_before=views, views_after=views,
        prototypes=20, dim=3, input_std=0.05, draws=100, seed=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def waterfall(chain: Chain) -> Figure:
    return waterfall_figure(chain)


@pytest.fixture(scope="module")
def picture() -> Figure:
    """The graph of claims."""
    return graph_figure()


def bars(ax: Any) -> list[tuple[float, float]]:
    """Where each bar starts and ends."""
    return [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]


def spans(ax: Any) -> list[np.ndarray]:
    """The ends of each error bar."""
    lines = [line for line in ax.collections if isinstance(line, LineCollection)]
    return [np.sort(np.asarray(line.get_segments()[0])[:, 0]) for line in lines]


def test_bars_go_from_the_value_before_to_their_own(chain: Chain, waterfall: Figure) -> None:
    axes = waterfall.axes
    for column, links in enumerate((chain.before, chain.after)):
        for ax, shown in ((axes[column], links[:4]), (axes[2 + column], links[3:])):
            values = [link.value for link in shown]
            drawn = bars(ax)
            np.testing.assert_allclose(drawn[0], (0, values[0]))
            np.testing.assert_allclose([end for _, end in drawn[1:]], values[1:])
            np.testing.assert_allclose([start for start, _ in drawn[1:]], values[:-1], atol=1e-12)


def test_every_line_has_its_name_claims_relation_value_and_gap(chain: Chain, waterfall: Figure) -> None:
    axes = waterfall.axes
    labels = [label.get_text() for ax in axes[::2] for label in ax.get_yticklabels()]
    for link in chain.before:
        assert f"{link.name}\n{', '.join(link.claims)}" in labels
    for column, links in enumerate((chain.before, chain.after)):
        texts = [text.get_text() for ax in axes[column::2] for text in ax.texts]
        for link in links[4:]:
            assert f"{link.relation} {link.value:.4g}  ({link.gap:+.4g})" in texts


def test_information_of_the_network_is_bracketed(chain: Chain, waterfall: Figure) -> None:
    for ax, least in zip(waterfall.axes[:2], (1.5, 2.0), strict=True):
        assert f"of the network itself: {least:.4g} or more" in [text.get_text() for text in ax.texts]
        assert any(np.allclose(span, [least, math.log(20)]) for span in spans(ax))


def test_errors_are_drawn(chain: Chain, waterfall: Figure) -> None:
    drawn = spans(waterfall.axes[2])
    for link in chain.before[3:]:
        if link.standard_error > 0:
            expected = [link.value - link.standard_error, link.value + link.standard_error]
            assert any(np.allclose(span, expected, atol=1e-12) for span in drawn), link.name


def test_lines_of_augmented_pictures_stand_at_their_own_value(chain: Chain, waterfall: Figure) -> None:
    above, below = waterfall.axes[0], waterfall.axes[2]
    drawn = {
        (float(x), int(y))
        for ax in (above, below)
        for line in ax.lines
        if line.get_marker() == "D"
        for x, y in np.asarray(line.get_xydata())
    }
    rows = {link.name: row for row, link in enumerate(chain.before[3:])}
    steps = {(s.value, rows[s.name]) for s in chain.views_before.steps if s.name in rows}
    assert drawn == steps | {(chain.views_before["information"].value, 3)}
    assert len(steps) == 6


@pytest.mark.parametrize("shared", [-1e3, -1.0, 0.5, 2.0, 1e3])
def test_nothing_is_written_over_a_diamond(chain: Chain, shared: float) -> None:
    """Wherever the lines of augmented pictures lie: left of a bar, on it, at its end, right of it."""
    steps = tuple(s._replace(value=shared * (1 + i)) for i, s in enumerate(chain.views_after.steps))
    moved = replace(chain, views_after=replace(chain.views_after, steps=steps))
    figure = waterfall_figure(moved)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for ax in figure.axes:
        diamonds = [line for line in ax.lines if line.get_marker() == "D"]
        places = np.concatenate([ax.transData.transform(line.get_xydata()) for line in diamonds])
        half = float(diamonds[0].get_markersize()) / math.sqrt(2) * figure.dpi / 72
        for text in ax.texts:
            box = text.get_window_extent(canvas.get_renderer())
            for x, y in places:
                beside = x + half < box.x0 or box.x1 < x - half or y + half < box.y0 or box.y1 < y - half
                assert beside, (text.get_text(), ax.get_title())


def test_relations_differ_without_color() -> None:
    looks = chain_figures._LOOK.values()
    gray = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in (to_rgb(look["facecolor"]) for look in looks)]
    hatches = [look["hatch"] for look in looks]
    for (a, hatch_a), (b, hatch_b) in itertools.combinations(zip(gray, hatches, strict=True), 2):
        assert hatch_a != hatch_b or abs(a - b) > 0.05


def test_words_say_every_line_and_note(chain: Chain) -> None:
    words = describe_chain(chain)
    for a, b in zip(chain.before, chain.after, strict=True):
        assert f"{a.name} {a.value:.4g} before and {b.value:.4g} after" in words
    assert all(note in words for note in chain.notes)


def test_every_claim_has_a_box_with_its_sign_and_every_use_an_arrow(picture: Figure) -> None:
    graph, (ax,) = claim_graph(), picture.axes
    texts = [text.get_text() for text in ax.texts]
    boxes = [p for p in ax.patches if isinstance(p, FancyBboxPatch)]
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    assert len(boxes) == len(graph) == len(claims())
    assert len(arrows) == graph.number_of_edges()
    for id, node in graph.nodes.items():
        assert f"{id}\n{node['relation']}" in texts
        assert node["section"] in texts
    findings = [c.id for c in claims().values() if c.kind == "finding"]
    assert sum(box.get_linestyle() == "--" for box in boxes) == len(findings)


def test_boxes_do_not_touch_and_texts_stay_inside(picture: Figure) -> None:
    (ax,) = picture.axes
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    whole = picture.bbox
    renderer = FigureCanvasAgg(picture).get_renderer()
    for text in ax.texts:
        place = text.get_window_extent(renderer)
        assert whole.x0 <= place.x0 < place.x1 <= whole.x1
        assert whole.y0 <= place.y0 < place.y1 <= whole.y1
        if float(text.get_fontsize()) < 10:  # not a section's name
            assert any(b.x0 <= place.x0 and place.x1 <= b.x1 and b.y0 <= place.y0 and place.y1 <= b.y1 for b in boxes)


def test_arrows_join_the_claims_they_stand_for(picture: Figure) -> None:
    place = chain_figures._places(claim_graph())[0]
    (ax,) = picture.axes
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    for (a, b), arrow in zip(claim_graph().edges, arrows, strict=True):
        (x_0, y_0), (x_1, y_1) = arrow._posA_posB  # pyright: ignore[reportAttributeAccessIssue]
        assert (y_0, y_1) == (place[a][1], place[b][1])
        assert x_0 - place[a][0] in (0, pytest.approx(chain_figures._WIDTH))
        assert x_1 - place[b][0] in (0, pytest.approx(chain_figures._WIDTH))


def test_arrows_within_a_section_stay_left_of_its_boxes(picture: Figure) -> None:
    place, (ax,) = chain_figures._places(claim_graph())[0], picture.axes
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    for (a, b), arrow in zip(claim_graph().edges, arrows, strict=True):
        if place[a][0] == place[b][0]:
            assert ax.transData.inverted().transform(arrow.get_window_extent())[0, 0] < place[a][0] - 0.1


def test_words_name_every_claim_and_use() -> None:
    words = describe_graph()
    for c in claims().values():
        assert c.id in words
        if c.uses:
            assert f"{c.id} uses {', '.join(sorted(c.uses))}" in words
