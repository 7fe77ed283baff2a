"""What a cell is, and how it is measured; each process of joblib has one worker a package."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from experiments.peer_conformance.peers import ESTIMATORS, Peer
from experiments.peer_conformance.processes import ask
from experiments.runner import Cell
from itssl.testing import conformance  # noqa: F401  # registers the checks
from itssl.testing.checks.trial import registered
from itssl.testing.findings import Check

UNANSWERED = {"outcome": "ERROR", "cases": []}


def cells_of(peer: Peer, profile: str) -> list[Cell]:
    """Every check of every estimator of a package; words that change no number are no part of a cell."""
    return [
        {"package": peer.package, "version": peer.version, "function": made.function, "check": check.name,
         "profile": profile, "promises": dict(sorted(made.promises.items()))}
        for made in peer.estimators
        for check in checks_of(made.quantity)
    ]  # fmt: skip


def checks_of(quantity: Any) -> list[Check]:
    """All but those for a second estimator of the same formula, for answers that are more than a number or on another
    device, and for memory, of which nobody speaks."""
    left_out = {"reference", "standard_error", "bias_direction", "own_copy", "device", "memory", "error_order"}
    return [check for check in registered(quantity).values() if check.name not in left_out]


def measure(cell: Cell, rng: np.random.Generator, *, limit: float = 90) -> dict[str, Any]:
    """What the check found, with its seed, the day and the versions; an error where no answer came in ``limit`` s."""
    if "absent" in cell:
        return {}
    (peer, made), seed = ESTIMATORS[cell["function"]], int(rng.integers(2**31))
    job = {"estimator": cell["function"], "check": cell["check"], "seed": seed, "profile": cell["profile"]}
    found = ask(peer, "check", limit=limit, **job)
    if "error" in found:
        found = UNANSWERED | {"reason": found["error"]}
    known = ask(peer, "described", package=peer.package)
    check = next(check for check in checks_of(made.quantity) if check.name == cell["check"])
    words = {"called": made.called, "quantity": made.quantity, "method": made.method, "note": made.note}
    return {
        **words,
        "law": check.law,
        "kind": check.kind,
        **found,
        "seed": seed,
        "on": datetime.now(UTC).date().isoformat(),
        "versions": known,
    }
