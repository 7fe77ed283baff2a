"""A run as one self-contained HTML page, and as JSON: nothing is fetched when it is read."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from itssl.claims.ledger import Ledger
from itssl.reports.derivation import chain_section, graph_section
from itssl.reports.forest import MARKS, mark
from itssl.reports.sections import choices, comparisons, errors_elsewhere, sections
from itssl.reports.tables import failure_text, rates_text


def render_page(ledger: Ledger) -> str:
    """The page as HTML: summary, the derivation's chain, a table of all checks, stated values, and every claim.

    Names and statements are escaped; style, script and pictures are inside; it follows the reader's light or dark
    scheme. The table can be filtered and sorted where scripts run, and is complete where they do not.

    >>> from itssl.claims.ledger import run
    >>> "nothing was checked" in render_page(run([], progress=False))
    True
    """
    environment = Environment(
        loader=PackageLoader("itssl.reports", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script, found = source("page.js"), sections(ledger)
    known = [c["claim"].id for c in found]
    return environment.get_template("page.html.j2").render(
        ledger=ledger,
        style=Markup(source("page.css")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        failures=failure_text(ledger),
        rates=rates_text(ledger),
        claims=found,
        chain=chain_section(ledger.chain),
        graph=graph_section(known),
        known=known,
        choices=choices(found),
        comparisons=comparisons(ledger),
        errors=errors_elsewhere(ledger),
        legend={name: Markup(mark(name, 13.0)) for name in MARKS},
    )


def write_page(ledger: Ledger, path: str | Path) -> Path:
    """Write :func:`render_page` to a file, making its folder; returns the path. Raises OSError as writing does.

    >>> from tempfile import TemporaryDirectory
    >>> from itssl.claims.ledger import run
    >>> with TemporaryDirectory() as folder:
    ...     write_page(run([], progress=False), f"{folder}/index.html").name
    'index.html'
    """
    return write_text(path, render_page(ledger))


def write_json(ledger: Ledger, path: str | Path) -> Path:
    """Write ``ledger.to_json()`` to a file, making its folder; returns the path. Raises OSError as writing does.

    >>> from tempfile import TemporaryDirectory
    >>> from itssl.claims.ledger import run
    >>> with TemporaryDirectory() as folder:
    ...     write_json(run([], progress=False), f"{folder}/report.json").name
    'report.json'
    """
    return write_text(path, ledger.to_json() + "\n")


def source(name: str) -> str:
    return (files("itssl.reports") / name).read_text(encoding="utf-8")


def write_text(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
