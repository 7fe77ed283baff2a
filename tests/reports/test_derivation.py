"""The derivation on the page: every number of the chain, and pictures that are described and equal for equal chains."""

import base64
import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from toy_ledger import toy_chain

from itssl.claims.chain_answer import Chain
from itssl.claims.claim import claims
from itssl.claims.graph import claim_graph
from itssl.reports.derivation import chain_section, graph_section, picture


@pytest.fixture(scope="module")
def chain() -> Chain:
    return toy_chain()


@pytest.fixture(scope="module")
def section(chain: Chain) -> dict[str, Any]:
    made = chain_section(chain)
    assert made is not None
    return made


def test_every_line_of_the_chain_has_its_values_changes_and_claims(chain: Chain, section: dict[str, Any]) -> None:
    for row, *links in zip(section["links"], chain.before, chain.after, strict=True):
        assert row["name"].endswith(links[0].name)
        assert row["claims"] == links[1].claims
        for link, value, gap in zip(links, row["values"], row["gaps"], strict=True):
            assert float(value.split(" ± ")[0]) == pytest.approx(link.value, rel=1e-3, abs=1e-9)
            assert (gap == "") == math.isnan(link.gap)
            if gap:
                assert float(gap.split(" ± ")[0]) == pytest.approx(link.gap, rel=1e-2, abs=1e-9)
                assert gap.startswith("+") == (link.gap > 1e-9)
    assert [row["name"] for row in section["beside"]] == [q.name for q in (*chain.premises, *chain.consequences)]
    assert section["notes"] == chain.notes


def test_gaps_of_rounding_are_zero(section: dict[str, Any]) -> None:
    for row in section["links"]:
        for text in (*row["values"], *row["gaps"]):
            numbers = [abs(float(part)) for part in text.split(" ± ") if part]
            assert all(x == 0 or x > 1e-12 for x in numbers)


def test_there_is_nothing_without_a_chain() -> None:
    assert chain_section(None) is None


def test_the_waterfall_is_described(chain: Chain, section: dict[str, Any]) -> None:
    for link in (*chain.before, *chain.after):
        assert link.name in section["picture"]["alt"]
        assert f"{link.value:.4g}" in section["picture"]["alt"]


def test_the_graph_is_shown_with_all_its_claims_only() -> None:
    shown = graph_section(list(claims()))
    assert shown is not None
    for used, user in claim_graph().edges:
        assert used in shown["alt"]
        assert user in shown["alt"]
    assert graph_section(["C17"]) is None


def test_equal_figures_give_equal_data() -> None:
    def drawn(height: float) -> dict[str, str]:
        figure = Figure()
        figure.subplots().plot(np.array([0.0, height]))
        return picture(figure, "a line")

    assert drawn(1.0) == drawn(1.0)
    assert drawn(1.0) != drawn(2.0)
    assert ElementTree.fromstring(base64.b64decode(drawn(1.0)["data"])).tag.endswith("svg")
