"""A run as one self-contained HTML page, and as JSON: nothing is fetched when it is read."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from itssl.claims.claim import Claim, claims
from itssl.claims.ledger import Ledger
from itssl.claims.verdict import Verdict
from itssl.estimate import format_with_error
from itssl.reports.figures import families, gap_figure
from itssl.reports.tables import by_claim, command, controls_text, failure_text, margin_text


def render_page(ledger: Ledger) -> str:
    """The page as HTML: a summary, a table, a picture per family of claims, and a section per claim.

    Names and statements are escaped; style and pictures are inside; it follows the reader's light or dark scheme.

    >>> from itssl.claims.ledger import run
    >>> "nothing was checked" in render_page(run([], progress=False))
    True
    """
    environment = Environment(
        loader=PackageLoader("itssl.reports", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        ledger=ledger,
        failures=failure_text(ledger),
        claims=[_section(ledger, id) for id in by_claim(ledger)],
        figures=[_figure(name, verdicts) for name, verdicts in families(ledger.verdicts).items()],
    )


def write_page(ledger: Ledger, path: str | Path) -> Path:
    """Write :func:`render_page` to a file, making its folder; returns the path. Raises OSError as writing does."""
    return _write(path, render_page(ledger))


def write_json(ledger: Ledger, path: str | Path) -> Path:
    """Write ``ledger.to_json()`` to a file, making its folder; returns the path. Raises OSError as writing does."""
    return _write(path, ledger.to_json() + "\n")


def _write(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _section(ledger: Ledger, id: str) -> dict[str, Any]:
    """What the page says of one claim."""
    claim, answers = claims()[id], by_claim(ledger)[id]
    verdicts = [a for a in answers if isinstance(a, Verdict)]
    return {
        "claim": claim,
        "anchor": f"claim-{list(claims()).index(id)}",
        "reference": str(claim.reference),
        "worlds": [_row(v, claim, ledger) for v in verdicts if v.control is None],
        "controls": [_row(v, claim, ledger) for v in verdicts if v.control is not None],
        "controls_text": controls_text(verdicts),
        "errors": [a for a in answers if not isinstance(a, Verdict)],
        "command": command(ledger, id),
    }


def _row(v: Verdict, claim: Claim, ledger: Ledger) -> dict[str, Any]:
    bounds = {a.name: a for a in claim.assumes}
    return {
        "verdict": v,
        "failed": v in ledger.failures,
        "gap": format_with_error(v.gap.value, v.gap.standard_error),
        "margin": margin_text(v),
        "parts": {part: format_with_error(e.value, e.standard_error) for part, e in v.gaps.items() if part},
        "measured": {name: format_with_error(e.value, e.standard_error) for name, e in v.measured.items()},
        "assumptions": [
            (name, f"{value:.3g}", f"{bounds[name].at_most:.3g}", bounds[name].statement)
            for name, value in v.assumptions.items()
        ],
    }


def _figure(name: str, verdicts: list[Verdict]) -> dict[str, str]:
    """A picture as data, with what it shows in words."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        gap_figure(verdicts).savefig(buffer, format="svg", metadata={"Date": None})  # no date: equal runs, equal pages
    rows = (f"{v.claim} {v.control or v.world}: {v.outcome.value}" for v in verdicts)
    return {
        "name": name,
        "data": base64.b64encode(buffer.getvalue()).decode("ascii"),
        "alt": f"Gaps in units of the margin, with intervals, for {name}. {'; '.join(rows)}.",
    }
