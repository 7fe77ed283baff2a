"""What the page says of each claim and of each stated value, ready for its template."""

from typing import Any

from markupsafe import Markup

from itssl.choices import ParameterError
from itssl.claims.claim import Claim, claims
from itssl.claims.decision import MonteCarlo, Outcome
from itssl.claims.graph import SIGNS, section
from itssl.claims.ledger import Cell, CellError, Ledger
from itssl.claims.stated_values import Comparison
from itssl.claims.verdict import Verdict
from itssl.estimate import Bias, Estimate, format_with_error
from itssl.reports.forest import Axis, axis_of, axis_svg, in_margins, role, row_svg
from itssl.reports.formulas import mathml
from itssl.reports.statements import statement_html
from itssl.reports.tables import by_claim, command, controls_text, margin_text


def sections(ledger: Ledger) -> list[dict[str, Any]]:
    """A dictionary for each claim that took part, in the order of the claims.

    >>> from itssl.claims.ledger import plan, run
    >>> [s["tally"] for s in sections(run(plan(["C10"], "quick"), progress=False))]
    ['holds in 3 of 3 worlds; controls: 3/3 refuted']
    """
    groups = by_claim(ledger)
    failures = set(map(id, ledger.failures))
    return [_section(ledger, name, answers, failures) for name, answers in groups.items()]


def choices(sections: list[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """What the table can be filtered by: value and label of each choice that occurs, by attribute."""
    rows = [row for s in sections for row in (*s["worlds"], *s["controls"])]
    errors = [e for s in sections for e in s["errors"]]
    outcomes = [o.value for o in Outcome if any(row["verdict"].outcome is o for row in rows)]
    found = [(value, value.replace("_", " ")) for value in [*outcomes, *["ERROR"] * bool(errors)]]
    roles = {row["role"] for row in rows} | {e["role"] for e in errors}
    return {
        "kind": [(name, name) for name in ("theorem", "finding", "control") if name in roles],
        "outcome": [*found, ("expected", "as expected"), ("unexpected", "not as expected")],
        "section": list(dict.fromkeys((s["section"].replace(" ", "-"), s["section"]) for s in sections)),
    }


def comparisons(ledger: Ledger) -> list[dict[str, Any]]:
    """A dictionary for each stated value that was compared."""
    known = by_claim(ledger)
    return [_comparison(c, c.claim in known) for c in ledger.comparisons]


def errors_elsewhere(ledger: Ledger) -> list[CellError]:
    """What raised while something else than a claim was measured."""
    return [e for e in ledger.errors if not isinstance(e.cell, Cell)]


def _comparison(c: Comparison, linked: bool) -> dict[str, Any]:
    word = {True: "agrees", False: "disagrees", None: "not run here"}[c.agrees]
    word += ", as would 0" * (c.agrees is True and c.says_little)
    return {
        "comparison": c,
        "linked": linked,
        "stated": f"{c.stated:.6g}" + (f" {c.units}" if c.units != "nats" else ""),
        "measured": "–" if c.measured is None else _number(c.measured),
        "allowed": "–" if c.measured is None else f"{c.allowed:.2g}",
        "word": f"{word}, as known" if c.disputed and c.agrees is False else word,
        "look": "bad" if not c.as_expected else "good" if c.agrees else "open",
    }


def _section(ledger: Ledger, name: str, answers: list[Verdict | CellError], failures: set[int]) -> dict[str, Any]:
    claim = claims()[name]
    verdicts = [a for a in answers if isinstance(a, Verdict)]
    errors = [_error(a, claim) for a in answers if isinstance(a, CellError)]
    axis = axis_of(verdicts)
    rows = [_row(v, claim, axis, ledger, id(v) in failures) for v in verdicts]
    return {
        "claim": claim,
        "section": section(name),
        "failed": bool(errors) or any(row["failed"] for row in rows),
        "formula": _formula(claim),
        "statement": statement_html(claim.statement),
        "direction": _direction(claim),
        "reference": str(claim.reference),
        "assumptions": [_assumption(a, verdicts) for a in claim.assumes],
        "worlds": [row for row in rows if row["verdict"].control is None],
        "controls": [row for row in rows if row["verdict"].control is not None],
        "tally": _tally(verdicts),
        "axis": axis_svg(axis),
        "errors": errors,
        "command": command(ledger, name),
        "seconds": sum(v.seconds for v in verdicts),
        "used_by": [c.id for c in claims().values() if name in c.uses],
    }


def _formula(claim: Claim) -> Markup | None:
    """The formula, or nothing where it is none: a page is not lost for a misspelled command."""
    try:
        return Markup(mathml(claim.formula)) if claim.formula else None
    except ParameterError:
        return None


def _direction(claim: Claim) -> str:
    tolerance = claim.tolerance
    within = (
        f"a margin of {tolerance.margin:g}"
        if isinstance(tolerance, MonteCarlo)
        else f"rounding ({tolerance.ulps:g} units in the last place, condition {tolerance.condition:.3g})"
    )
    return f"Decided: left {SIGNS[claim.relation]} right, within {within} unless a world says otherwise."


def _assumption(assumption: Any, verdicts: list[Verdict]) -> dict[str, Any]:
    """A hypothesis with the values measured for it, each with the worlds in which it was found."""
    measured: dict[str, list[str]] = {}
    for v in verdicts:
        if assumption.name in v.assumptions:
            measured.setdefault(f"{v.assumptions[assumption.name]:.3g}", []).append(v.world)
    return {
        "name": assumption.name,
        "statement": assumption.statement,
        "at_most": f"{assumption.at_most:.3g}",
        "measured": list(measured.items()),
    }


def _tally(verdicts: list[Verdict]) -> str:
    own = [v for v in verdicts if v.control is None]
    holds = sum(v.outcome is Outcome.HOLDS for v in own)
    return f"holds in {holds} of {len(own)} worlds; controls: {controls_text(verdicts)}"


def _row(v: Verdict, claim: Claim, axis: Axis, ledger: Ledger, failed: bool) -> dict[str, Any]:
    cell = Cell(v.claim, v.world, v.control)
    decided = v.outcome in (Outcome.HOLDS, Outcome.VIOLATED)
    surprising = v.control is None and v.outcome is Outcome.VIOLATED  # a finding that is not seen
    return {
        "verdict": v,
        "role": role(v),
        "failed": failed,
        "look": "bad" if failed else "good" if decided and not surprising else "open",
        "tight": v.control is None and v.world == claim.tight_at.name,
        "gap": _number(v.gap),
        "allowed": margin_text(v),
        "scaled": in_margins(v)[0],
        "picture": row_svg(v, axis),
        "parts": {part: _number(e) for part, e in v.gaps.items() if part},
        "measured": {name: _number(e) for name, e in v.measured.items()},
        "shell": cell.shell(ledger.settings),
        "python": cell.python(ledger.settings),
    }


def _error(error: CellError, claim: Claim) -> dict[str, Any]:
    return {"error": error, "role": claim.kind if error.cell.control is None else "control"}


def _number(estimate: Estimate) -> str:
    """value ± error in at most about 22 characters; no error where there is none but that of rounding."""
    if estimate.bias is Bias.EXACT or estimate.standard_error <= 1e-12 * abs(estimate.value):
        return f"{estimate.value:.6g}"
    text = format_with_error(estimate.value, estimate.standard_error).removesuffix(" ± 0")
    return text if len(text) <= 22 else f"{estimate.value:.4g} ± {estimate.standard_error:.2g}"
