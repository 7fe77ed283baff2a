"""The gallery: every function that draws is there, made by its own example, escaped, and readable in both schemes."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import itssl.reports
from experiments.gallery import Exhibit, exhibit, figure_functions, render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).parent.parent.parent


def _exhibit(name: str) -> Exhibit:
    figure = Figure(figsize=(5, 3))
    figure.subplots().set(xlabel="n", ylabel="nats")
    return Exhibit(name, "Values <b>against</b> n.", "figure = f('<script>')", figure)


def test_every_function_that_draws_is_in_the_gallery() -> None:
    stub = (ROOT / "itssl/reports/__init__.pyi").read_text()
    offered = set(re.findall(r"as (\w+_figure)$", stub, flags=re.M))
    assert set(figure_functions()) == offered
    drawing = {
        name
        for file in (ROOT / "itssl/reports").glob("*figures.py")
        for name in re.findall(r"^def (\w+_figure)\(", file.read_text(), flags=re.M)
    } | set(re.findall(r"^def (\w+_figure)\(", (ROOT / "itssl/evaluation/figures.py").read_text(), flags=re.M))
    assert drawing == offered


def test_an_example_makes_the_picture() -> None:
    found = exhibit(itssl.reports.spectrum_figure)
    assert found.title == "spectrum"
    assert found.sentence.endswith("on a log scale.")
    assert "figure = spectrum_figure(" in found.code.splitlines()[-1]
    assert len(found.figure.axes) == 1
    assert "share of the variance over index of the eigenvalue" in found.alt
    made: dict[str, Any] = {}
    exec(found.code, made)  # as a reader would
    assert isinstance(made["figure"], Figure)


@pytest.mark.parametrize("function", figure_functions().values(), ids=lambda f: f.__name__)
def test_every_docstring_binds_a_figure(function: Any) -> None:
    assert re.search(r"^ *>>> figure = \w+_figure\(", function.__doc__ or "", flags=re.M)


def test_an_example_without_a_picture_is_refused() -> None:
    def nothing_figure() -> Figure:
        """Nothing."""
        return Figure()

    with pytest.raises(ValueError, match=r"nothing_figure: expected an example that binds figure = nothing_figure"):
        exhibit(nothing_figure)


def test_the_page_is_escaped_and_complete() -> None:
    page = render([_exhibit("one_figure"), _exhibit("two_figure")])
    assert "<script" not in page
    assert "<b>against" not in page
    assert re.findall(r'<section class="exhibit" id="(\w+)">', page) == ["one_figure", "two_figure"]
    assert "nats over n" in unescape(re.findall(r'<img alt="([^"]*)"', page)[0])
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_make_knows_it_and_git_ignores_its_folder() -> None:
    assert "gallery:" in (ROOT / "Makefile").read_text()
    assert "/gallery/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install itssl[browser]")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


INK = """async (img) => {
  await img.decode();
  const canvas = document.createElement("canvas");
  canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(img, 0, 0);
  const p = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, count = 0;
  for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 250) { sum += p[i]; count += 1; }
  return [sum / count, p[3]];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_errors_and_its_ink_follows_the_scheme(browser: Any, tmp_path: Path, scheme: str) -> None:
    """The opaque parts of the picture are letters and axes: dark on light ground, light on dark."""
    (tmp_path / "index.html").write_text(render([_exhibit("one_figure")]), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "index.html").as_uri())
    ink, corner = page.evaluate(INK, page.locator("img").element_handle())
    assert said == []
    assert corner == 0  # transparent
    assert (ink > 150) == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


@pytest.mark.slow
def test_the_whole_gallery_is_made_in_a_minute(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.gallery", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    page = (tmp_path / "index.html").read_text()
    assert page.count('<section class="exhibit"') == len(figure_functions())
