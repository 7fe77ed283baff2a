r"""LaTeX formulas as MathML, which browsers draw without a script, a font or a network.

The translation is latex2mathml's. What it leaves to an old renderer is made plain here: MathML Core has no bold or
script variants of letters but their Unicode characters, no spacing around names of functions, and bars that
have no side. Text is escaped, and no link, style, class or identifier passes.
"""

import html
import re
import unicodedata
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

from itssl.choices import ParameterError

_FOREIGN = {"href", "style", "class", "id"}
_VARIANTS = {
    "bold": "MATHEMATICAL BOLD",
    "bold-italic": "MATHEMATICAL BOLD ITALIC",
    "sans-serif": "MATHEMATICAL SANS-SERIF",
    "bold-sans-serif": "MATHEMATICAL SANS-SERIF BOLD",
    "monospace": "MATHEMATICAL MONOSPACE",
}
_ORDINARY = ("∞", "∂", "∇")  # symbols of Unicode's category Sm that are letters to a formula
_SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")
_THIN = "0.167em"


def mathml(latex: str, *, display: str = "block") -> str:
    r"""The formula as a ``<math>`` element; ``display`` is "block" or "inline". The LaTeX is kept as ``alttext``.

    Raises ParameterError for what is no formula: a command that is not known, braces or bars without their partner.

    >>> mathml("h(X)", display="inline").partition(">")[2]
    '<mrow><mi>h</mi><mo stretchy="false">(</mo><mi>X</mi><mo stretchy="false">)</mo></mrow></math>'
    >>> mathml(r"\entropy X")
    Traceback (most recent call last):
    itssl.choices.ParameterError: formula: '\\entropy' in '\\entropy X' is not known; write it in plain LaTeX math
    """
    paired = re.sub(r"\\([lr])([vV])ert(?![A-Za-z])", _paired_bar, latex)
    try:
        root = Converter(display=display).convert_to_element(paired)
    except Exception as error:  # latex2mathml's errors have no class of their own
        raise ParameterError(f"formula: {latex!r} is not complete ({type(error).__name__}); mend it") from error
    root.set("alttext", latex)
    for element in root.iter():
        _admit(element, latex)
    _join_letters(root)
    _space_functions(root)
    return tostring(root, encoding="unicode")


def _paired_bar(match: re.Match[str]) -> str:
    r"""\lvert and \rvert as \left| and \right|: in MathML a bar alone does not say on which side it stands."""
    side, kind = match.groups()
    return ("\\left" if side == "l" else "\\right") + ("|" if kind == "v" else "\\|")


def _admit(element: Element, latex: str) -> None:
    """Refuse what could be more than a formula, and make text and variant plain."""
    foreign = _FOREIGN & set(element.attrib)
    if foreign:
        raise ParameterError(f"formula: {latex!r} asks for {foreign.pop()!r}; write it in plain LaTeX math")
    if element.text is None:
        return
    element.text = html.unescape(element.text)
    if element.tag != "mtext" and re.match(r"\\[A-Za-z]|[&$]", element.text):
        raise ParameterError(f"formula: {element.text!r} in {latex!r} is not known; write it in plain LaTeX math")
    variant = element.attrib.get("mathvariant", "normal")
    if variant != "normal":
        del element.attrib["mathvariant"]
        element.text = "".join(_styled(c, variant) for c in element.text)
    symbol = len(element.text) == 1 and unicodedata.category(element.text) == "Sm" and element.text not in _ORDINARY
    if element.tag in ("mi", "mo") and (symbol or element.text in _ORDINARY):
        element.tag = "mo" if symbol else "mi"
    elif element.tag == "mi" and re.fullmatch("[Α-Ω]", element.text):
        element.set("mathvariant", "normal")  # as in print: capital Greek letters stand upright


def _styled(character: str, variant: str) -> str:
    """The character's own code point of a variant, or itself where Unicode has none."""
    if character.isdecimal():
        name = unicodedata.name(character)
    else:
        case = "CAPITAL" if character.isupper() else "SMALL"
        name = f"{case} {character.upper()}" if character.isascii() else ""
    try:
        return unicodedata.lookup(f"{_VARIANTS.get(variant, '')} {name}")
    except KeyError:
        return character


def _join_letters(element: Element) -> None:
    r"""One name for the upright letters of \mathrm{...}, which come one by one."""
    for child in element:
        _join_letters(child)
    if element.tag == "mrow" and len(element) > 1 and all(_upright(child) for child in element):
        text = "".join(child.text or "" for child in element)
        element.clear()
        element.tag, element.text = "mi", text


def _upright(element: Element) -> bool:
    normal = element.tag == "mi" and element.get("mathvariant") == "normal"
    return normal and re.fullmatch("[A-Za-z]", element.text or "") is not None


def _space_functions(row: Element) -> None:
    """Names of functions as operators with a thin space beside them, as TeX sets it: none before a parenthesis."""
    for element in row:
        _space_functions(element)
    if row.tag not in ("math", "mrow", "mtd", "msqrt", "mstyle"):
        return
    children: list[Element | None] = [None, *row, None]
    for before, element, after in zip(children, children[1:], children[2:], strict=False):
        name = None if element is None else _name(element)
        if name is not None:
            name.tag = "mo"
            name.set("lspace", _THIN if _space_before(before) else "0")
            name.set("rspace", _THIN if _space_after(after) else "0")


def _name(element: Element) -> Element | None:
    """The name of a function, also under its scripts."""
    while element.tag in _SCRIPTS:
        element = element[0]
    return element if element.tag in ("mi", "mo") and re.fullmatch(r"[A-Za-z\s]{2,}", element.text or "") else None


def _space_before(neighbor: Element | None) -> bool:
    if neighbor is None or neighbor.tag == "mspace" or _name(neighbor) is not None:
        return False
    return neighbor.tag != "mo" or neighbor.text in (")", "]", "}")


def _space_after(neighbor: Element | None) -> bool:
    if neighbor is None or neighbor.tag == "mspace":
        return False
    while len(neighbor) and neighbor.tag in ("mrow", *_SCRIPTS):
        neighbor = neighbor[0]
    return neighbor.tag != "mo" or _name(neighbor) is not None
