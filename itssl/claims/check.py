"""Checking: a claim in a world, or a derivation of the user's own, through the one decision rule."""

import time
from typing import Any, Literal

import numpy as np

from itssl.arrays import stream
from itssl.choices import UnknownNameError, require_known
from itssl.claims.claim import Claim, Control, World, claims
from itssl.claims.decision import Decision, MonteCarlo, Outcome, Relation, Sides, decide
from itssl.claims.verdict import DERIVATION, UNSTATED, Verdict
from itssl.estimate import Bias, Estimate


def check(
    claim: Claim | str,
    world: World | str | Any = None,
    *,
    control: str | None = None,
    seed: int = 0,
    false_verdict_rate: float = 1e-3,
    max_replicates: int = 1024,
) -> Verdict:
    """Decide a claim (or one of its controls) in one world.

    ``world`` is one of the claim's worlds, its name, or any object the claim's function accepts (a law of
    your own); by default the world in which the claim is tight, or the control's own. A violated assumption gives
    NOT_APPLICABLE with its measured value; controls are run whether or not the assumptions hold, on the draws of
    the claim itself. At least the claim's first look is drawn, whatever ``max_replicates``.
    Raises UnknownNameError for an unknown claim, world or control. What the claim's own function raises on an object
    that is no world of it passes, with a note that names one it takes.

    >>> check("C17").outcome
    <Outcome.HOLDS: 'HOLDS'>
    """
    if isinstance(claim, str):
        require_known("claim", claim.upper(), claims())
        claim = claims()[claim.upper()]
    elif not isinstance(claim, Claim):
        raise UnknownNameError(f"claim: expected a claim or its identifier, got {claim!r}; see itssl.claims()")
    registered = claims().get(claim.id) is claim and (world is None or isinstance(world, str))
    chosen = claim.find_control(control) if control is not None else None
    if isinstance(world, str):
        world = claim.world(world)
    elif world is None:
        world = chosen.world if chosen else claim.tight_at
    elif not isinstance(world, World):
        given = world
        world = World(name=f"user's {type(given).__name__}", make=lambda: given)
    tolerance = world.tolerance or claim.tolerance
    start, place = time.perf_counter(), world.make()
    try:
        assumptions, decision = _measure(
            claim, chosen, world, place, seed, tolerance=tolerance, false_verdict_rate=false_verdict_rate,
            max_replicates=max(claim.first_look, min(max_replicates, claim.max_replicates or max_replicates)),
        )  # fmt: skip
    except (AttributeError, TypeError) as error:
        if world not in claim.worlds:
            error.add_note(f"world: {claim.id} takes what its own worlds are made of, as {claim.tight_at.name!r}")
        raise
    return Verdict(
        claim=claim.id, kind=claim.kind, world=world.name, control=control, relation=claim.relation,
        tolerance=tolerance, assumptions=assumptions, false_verdict_rate=false_verdict_rate, seed=seed,
        seconds=time.perf_counter() - start, registered=registered, max_replicates=max_replicates, **_fields(decision),
    )  # fmt: skip


def _measure(
    claim: Claim, chosen: Control | None, world: World, place: Any, seed: int, **options: Any
) -> tuple[dict[str, float], Decision]:
    """The assumptions measured, and the decision of the claim or the chosen control where they hold."""
    assumptions = {a.name: float(a.measure(place)) for a in claim.assumes} if chosen is None else {}
    failed = [a for a in claim.assumes if chosen is None and not assumptions[a.name] <= a.at_most]
    if failed:
        reason = "; ".join(f"{a.name}: {assumptions[a.name]:.3g} > {a.at_most:.3g} ({a.statement})" for a in failed)
        return assumptions, _not_applicable(reason)
    sides = chosen.sides if chosen else claim.sides
    return assumptions, decide(
        lambda i: sides(place, stream(seed, claim.id, world.name, i)),
        claim.relation,
        first_look=claim.first_look,
        **options,
    )


def check_inequality(
    left: Any,
    right: Any,
    *,
    relation: Literal["<=", ">=", "=="] = "<=",
    margin: float = 0.0,
    seed: int = 0,
    false_verdict_rate: float = 1e-3,
    max_replicates: int = 1024,
    statement: str = UNSTATED,
) -> Verdict:
    """Check a derivation of your own: ``left(rng) relation right(rng)`` up to ``margin``.

    Each side is a number or a function of a numpy Generator that returns a number, an Estimate, or an array of
    draws to average. Both sides get equal generators, so that they see the same draws and the gap is paired. Average
    at least 50 draws in a replicate: the rule needs gaps that are not too skewed, and cannot see events so rare that no
    replicate meets one. Estimates keep their direction: a
    LOWER estimate on the left cannot certify "<=". ``statement`` says in words what is checked, for tables and figures.
    Raises UnknownNameError for another relation, ParameterError for a bad margin.

    >>> found = check_inequality(lambda rng: rng.normal(size=200).mean() ** 2, 0.5, statement="squared mean <= 1/2")
    >>> found.world, found.outcome
    ('squared mean <= 1/2', <Outcome.HOLDS: 'HOLDS'>)
    """
    require_known("relation", relation, [r.value for r in Relation])
    start = time.perf_counter()

    def replicate(i: int) -> Sides:
        draws = (stream(seed, "derivation", i) for _ in range(2))
        a, b = (side(rng) if callable(side) else side for side, rng in zip((left, right), draws, strict=True))
        return Sides(left=(a,), right=(b,))

    decision = decide(
        replicate, Relation(relation), MonteCarlo(margin),
        false_verdict_rate=false_verdict_rate, max_replicates=max_replicates,
    )  # fmt: skip
    return Verdict(
        claim=DERIVATION, kind="theorem", world=statement, control=None, relation=Relation(relation),
        tolerance=MonteCarlo(margin), assumptions={}, false_verdict_rate=false_verdict_rate, seed=seed,
        seconds=time.perf_counter() - start, registered=False, **_fields(decision),
    )  # fmt: skip


def check_equality(left: Any, right: Any, *, margin: float, **options: Any) -> Verdict:
    """Check ``left(rng) == right(rng)`` up to ``margin``; otherwise as :func:`check_inequality`.

    >>> check_equality(lambda rng: rng.exponential(size=500), 1.0, margin=0.05).outcome
    <Outcome.HOLDS: 'HOLDS'>
    """
    return check_inequality(left, right, relation="==", margin=margin, **options)


def _fields(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in Decision.__dataclass_fields__}


def _not_applicable(reason: str) -> Decision:
    undefined = Estimate(value=np.nan, standard_error=np.nan, n=0, bias=Bias.UNKNOWN, method="not applicable")
    return Decision(
        outcome=Outcome.NOT_APPLICABLE, gap=undefined, part="", gaps={}, measured={}, replicates=0, reason=reason
    )
