"""Every picture of `itssl.reports` on one page: `make gallery` writes gallery/index.html in under a minute.

Each public function whose name ends in `_figure` is there; what makes its picture is the example of its docstring,
which binds the name `figure`.
"""

import argparse
import doctest
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from tqdm import tqdm

HERE = Path(__file__).parent
FOLDER = HERE.parent / "gallery"


@dataclass(frozen=True)
class Exhibit:
    """One picture: the function's name, the first sentence of its docstring, the code that makes it, and the figure."""

    name: str
    sentence: str
    code: str
    figure: Figure

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.removesuffix("_figure").replace("_", " ")

    @property
    def alt(self) -> str:
        """What the picture shows, from what is written on its axes."""
        axes = [
            f"{ax.get_title() or f'panel {i + 1}'}: {ax.get_ylabel() or 'rows'} over {ax.get_xlabel() or 'no scale'}"
            for i, ax in enumerate(self.figure.axes)
            if ax.axison and ax.get_label() != "<colorbar>"
        ]
        return f"{self.title}: {self.sentence} {'; '.join(axes)}".strip()


def figure_functions() -> dict[str, Callable[..., Figure]]:
    """The public functions of itssl.reports that make figures, by name."""
    import itssl.reports

    return {name: getattr(itssl.reports, name) for name in sorted(dir(itssl.reports)) if name.endswith("_figure")}


def exhibit(function: Callable[..., Figure]) -> Exhibit:
    """The picture of a function, from the example of its docstring; ValueError where that binds no ``figure``."""
    doc = inspect.getdoc(function) or ""
    namespace: dict[str, Any] = dict(inspect.getmodule(function).__dict__)
    sources = []
    for example in doctest.DocTestParser().get_examples(doc):
        exec(compile(example.source, f"<example of {function.__name__}>", "exec"), namespace)  # of this repository
        sources.append(example.source)
        if re.match(r"figure = ", example.source):
            break
    figure = namespace.get("figure")
    if not isinstance(figure, Figure):
        raise ValueError(
            f"{function.__name__}: expected an example that binds figure = {function.__name__}(…), got "
            f"{len(sources)} examples without; write one in its docstring"
        )
    code = f"from itssl.reports import {function.__name__}\n" + "".join(sources)
    sentence = " ".join(doc.partition("\n\n")[0].replace("``", "").split())
    return Exhibit(function.__name__, sentence, code.strip(), figure)


def exhibits() -> Iterator[Exhibit]:
    """All of them, as they are made."""
    for function in figure_functions().values():
        yield exhibit(function)


def render(shown: list[Exhibit]) -> str:
    """The page: self-contained, everything escaped, in the reader's light or dark scheme."""
    from itssl.reports.derivation import picture

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (files("itssl.reports") / "page.css").read_text(encoding="utf-8")
    pictures = [(e, picture(e.figure, e.alt)) for e in shown]
    return environment.get_template("gallery.html.j2").render(pictures=pictures, style=Markup(style))


def main() -> None:
    """Draws everything, with a bar, and says where the page is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the page")
    folder = parser.parse_args().out
    shown = list(tqdm(exhibits(), total=len(figure_functions()), unit="picture", disable=not sys.stderr.isatty()))
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(shown), encoding="utf-8")
    print(f"{len(shown)} pictures in {page}")


if __name__ == "__main__":
    main()
