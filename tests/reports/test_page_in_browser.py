"""The page in a real browser: nothing runs that should not, filters and sorting work, and it can be read everywhere."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_ledger import SCRIPT, toy_chain, toy_ledger

from itssl.claims.ledger import Ledger
from itssl.evaluation.embedding_report import embedding_report
from itssl.reports.embeddings import write_embeddings
from itssl.reports.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (390, 760, 1280)
A4 = 718  # pixels between the margins of a page of paper


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install itssl[browser]")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield replace(toy_ledger(monkeypatch), chain=toy_chain())


@pytest.fixture(scope="module")
def address(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_page(ledger, tmp_path_factory.mktemp("page") / "index.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A fresh page; whatever it logs or asks for is kept in ``page.said`` and ``page.asked``."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    yield page
    page.close()


def _shown(page: Any, column: int) -> list[str]:
    """The cells of a column, in the order of the rows that are seen."""
    script = """([column]) => [...document.querySelectorAll("#verdicts tbody tr")]
      .filter((row) => row.offsetParent !== null).map((row) => row.cells[column].innerText.trim())"""
    return page.evaluate(script, [column])


def test_it_loads_alone_and_runs_nothing_but_its_own_script(page: Any, address: str) -> None:
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [address]
    assert page.title() == "itssl: NOT ok"  # a name that were run would have changed it
    assert page.evaluate("document.querySelectorAll('script, img[src=x]').length") == 1
    assert page.evaluate("document.querySelector('#T1 math').namespaceURI") == "http://www.w3.org/1998/Math/MathML"


def test_filters_by_text_kind_outcome_and_section(page: Any) -> None:
    everything = _shown(page, 0)
    status = page.locator("#filters output")
    assert len(everything) == 9
    assert status.inner_text() == "9 of 9 checks shown"
    assert status.get_attribute("aria-live") == "polite"
    page.get_by_label("contains").fill("t2 mean")  # the mean is in the claim's title
    assert _shown(page, 0) == ["T2", "T2"]
    assert status.inner_text() == "2 of 9 checks shown"
    page.get_by_label("contains").fill(SCRIPT)
    assert _shown(page, 0) == ["T1", "T1"]
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('#filters output').textContent.startsWith('9 of')")
    page.get_by_label("kind").select_option("control")
    assert _shown(page, 1) == ["control"] * 4
    page.get_by_label("outcome").select_option("unexpected")
    assert _shown(page, 2) == [text for text in _shown(page, 2) if text.startswith("changes nothing")] != []
    page.get_by_label("kind").select_option("")
    assert _shown(page, 0) == ["T2", "T2", "T4"]
    page.get_by_label("outcome").select_option("ERROR")
    assert _shown(page, 3) == ["ERROR"]
    page.get_by_label("outcome").select_option("")
    page.get_by_label("section").select_option("beyond")
    assert _shown(page, 0) == everything


def test_sorts_by_every_column_with_the_keyboard(page: Any, ledger: Ledger) -> None:
    values = {f"{v.claim} {v.control or v.world}": v for v in ledger.verdicts}
    headers = page.locator("#verdicts thead th")
    for _ in range(2):  # the check that raised comes first
        headers.nth(0).get_by_role("button").press("Space")
    assert _shown(page, 0) == sorted(_shown(page, 0), reverse=True)
    for column, key in ((4, "gap"), (6, "replicates"), (7, "seconds")):
        for direction, words in ((1, "ascending"), (-1, "descending")):
            headers.nth(column).get_by_role("button").press("Enter")
            assert headers.nth(column).get_attribute("aria-sort") == words
            assert page.locator("#filters output").inner_text().endswith(words)
            names = [f"{c} {w.partition(' in ')[0]}" for c, w in zip(_shown(page, 0), _shown(page, 2), strict=True)]
            assert names[-1] == "T4 raises"  # what has no number stays last
            found = [getattr(values[name], key) for name in names[:-1]]
            numbers = [direction * (x.value if key == "gap" else x) for x in found]
            assert numbers == sorted(numbers)
    assert page.locator("#verdicts th[aria-sort]").count() == 1
    page.get_by_label("contains").fill("T1")
    assert len(_shown(page, 0)) == 3  # sorted rows are still filtered


def test_it_is_a_plain_table_without_scripts(browser: Any, address: str) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(address)
    assert page.locator("#verdicts tbody tr").count() == 9
    assert not page.locator("#filters").is_visible()
    assert page.locator("#verdicts button").count() == 0
    page.close()


def test_pictures_have_words_and_controls_have_names(page: Any) -> None:
    script = """() => [...document.querySelectorAll("img, svg:not([aria-hidden=true]), input, select, th button")]
      .filter((e) => !(e.alt || e.getAttribute("aria-label") || e.labels?.length || e.innerText))
      .map((e) => e.outerHTML)"""
    assert page.evaluate(script) == []


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_stands_out_from_its_ground(page: Any, scheme: str, tmp_path: Path) -> None:
    if scheme == "print":
        page.emulate_media(media="print", color_scheme="dark")
    else:
        page.emulate_media(color_scheme=scheme)
    page.screenshot(path=str(tmp_path / f"{scheme}.png"), full_page=True)
    assert (tmp_path / f"{scheme}.png").stat().st_size > 20_000
    ground, pairs = page.evaluate(GROUNDS)
    dark = _luminance(ground) < 0.2
    assert dark == (scheme == "dark")
    assert len(pairs) > 7  # ink, faint, three looks and three roles
    for text, behind, needed, example in pairs:
        assert _contrast(text, behind) >= needed, f"{text} on {behind}: {example}"


@pytest.mark.parametrize("width", [*WIDTHS, "print"])
def test_nothing_is_wider_than_the_screen_or_the_paper(page: Any, width: int | str) -> None:
    page.set_viewport_size({"width": A4 if width == "print" else width, "height": 900})
    if width == "print":
        page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if width == "print":  # nothing scrolls on paper, and no form is filled in there
        wider = """() => [...document.querySelectorAll(".window, .formula, section")]
          .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.outerHTML.slice(0, 200))"""
        assert page.evaluate(wider) == []
        assert not page.locator("#filters").is_visible()
        assert len(_shown(page, 0)) == 9


# every color of text with the ground it stands on: 4.5:1 is wanted, 3:1 for large text and for marks [WCAG 2.2, 1.4.3]
GROUNDS = """() => {
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|^transparent$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const found = new Map();
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility()) continue;
    const style = getComputedStyle(e), mark = e.closest("svg") && e.matches("g");
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own && !mark) continue;
    const large = parseFloat(style.fontSize) >= 24;
    const color = e.closest("svg") && !mark ? style.fill : style.color;
    const pair = [color, behind(e), mark || large ? 3 : 4.5, e.outerHTML.slice(0, 120)];
    found.set(pair.slice(0, 3).join(), pair);
  }
  return [behind(document.body), [...found.values()]];
}"""


def _luminance(color: str) -> float:
    """Relative luminance of rgb(r, g, b) [WCAG 2.2]."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_on_embeddings_loads_alone_and_fits(browser: Any, tmp_path: Path, width: int) -> None:
    z = np.hstack([np.random.default_rng(0).normal(size=(80, 2)), np.ones((80, 1))])
    report = embedding_report(z, np.arange(80) % 2, name="<img src=x onerror=alert(1)>", progress=False)
    address = write_embeddings(report, tmp_path / "z.html").as_uri()
    page, said, asked = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark"), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert page.title() == "itssl: <img src=x onerror=alert(1)>"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.images[0].naturalWidth") > 0
    page.close()
