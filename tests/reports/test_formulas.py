"""Formulas: every claim's is drawn, what is no formula is refused by name, and none is more than a formula."""

from xml.etree import ElementTree

import pytest

from itssl.choices import ParameterError
from itssl.claims.claim import claims
from itssl.reports.formulas import mathml


def _spaces(latex: str) -> list[tuple[str | None, str | None, str | None]]:
    """Text, space before and space after of the operators that are names."""
    operators = [e for e in ElementTree.fromstring(mathml(latex)).iter() if e.tag.endswith("mo")]
    return [(e.text, e.get("lspace"), e.get("rspace")) for e in operators if (e.text or "").isalpha()]


def test_every_claim_has_a_formula_that_can_be_drawn() -> None:
    assert [id for id, c in claims().items() if not c.formula] == []
    for c in claims().values():
        root = ElementTree.fromstring(mathml(c.formula))
        assert root.get("alttext") == c.formula
        assert len("".join(root.itertext()).strip()) > 3


def test_text_is_escaped() -> None:
    drawn = mathml(r"\text{<script>alert(1)</script> & more} < x")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in drawn
    assert "<script" not in drawn
    assert ElementTree.fromstring(mathml('a "<" b')).get("alttext") == 'a "<" b'


@pytest.mark.parametrize(
    ("latex", "message"),
    [
        (r"\entropy X", r"'\\\\entropy' in .* is not known"),
        (r"\frac{1}{", "is not complete"),
        (r"\left( x", "is not complete"),
        (r"\lvert x", "is not complete"),
        ("a & b", "'&' in"),
        ("$x$", r"'\$' in"),
        (r"\href{javascript:alert(1)}{x}", "asks for 'href'"),
        (r"\style{color:red}{x}", "asks for 'style'"),
        (r"\class{c}{x}", "asks for 'class'"),
    ],
)
def test_what_is_no_plain_formula_is_refused(latex: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        mathml(latex)


def test_bars_know_their_side_and_stretch() -> None:
    root = ElementTree.fromstring(mathml(r"\lVert \frac{a}{b} \rVert_2 \lvert x \rvert"))
    bars = [(e.text, e.get("form"), e.get("stretchy")) for e in root.iter() if e.get("fence")]
    assert bars == [
        ("‖", "prefix", "true"),
        ("‖", "postfix", "true"),
        ("|", "prefix", "true"),
        ("|", "postfix", "true"),
    ]


def test_functions_are_spaced_as_in_print() -> None:
    thin = "0.167em"
    assert _spaces(r"2 \log x") == [("log", thin, thin)]
    assert _spaces(r"\log(x)") == [("log", "0", "0")]
    assert _spaces(r"= \log \lvert x \rvert") == [("log", "0", "0")]
    assert _spaces(r"\log \det A") == [("log", "0", thin), ("det", "0", thin)]
    assert _spaces(r"(x) \max_i y") == [("max", thin, thin)]
    assert _spaces(r"\mathrm{tr} \Sigma") == [("tr", "0", thin)]
    assert _spaces(r"\mathrm{Cov} f(X)") == [("Cov", "0", thin)]
    assert _spaces(r"L_{\mathrm{VICReg}} x") == [("VICReg", "0", "0")]


def test_variants_are_characters_of_their_own_and_symbols_operators() -> None:
    assert "𝟏" in mathml(r"\mathbf{1}")
    assert "𝐱" in mathml(r"\mathbf{x}")
    assert "𝖳" in mathml(r"A^{\mathsf{T}}")
    assert 'mathvariant="normal">Σ<' in mathml(r"\Sigma")
    assert "<mo>⪯</mo>" in mathml(r"A \preceq B")
    assert "<mi>∞</mi>" in mathml(r"\infty")


def test_display_is_chosen() -> None:
    assert 'display="inline"' in mathml("x", display="inline")
    assert 'display="block"' in mathml("x")
