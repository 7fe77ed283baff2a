"""Samples without a right finite answer: refused, warned of, or answered as the law says; never a plain number."""

from collections.abc import Iterator

import numpy as np

from itssl.testing.checks.trial import Trial, check
from itssl.testing.checks.worlds import ordinary
from itssl.testing.findings import Case

N = 300
MARGIN = 0.1
"""Nats within which an information of zero counts as found on degenerate samples: two of 1/√N, rounded down."""
BOOK = "Cover & Thomas (2006), Elements of Information Theory"


def _ordinary(trial: Trial, d: int, n: int = N) -> tuple[np.ndarray, ...]:
    return ordinary(trial.check.quantity, trial.rng("sample", d), n, d)


@check(
    "missing_values",
    laws=dict.fromkeys(("entropy", "mutual_information", "kl_divergence"), "NaN and inf are no draws"),
    source="IEEE 754: comparisons with NaN are false, so that a neighbor search silently skips it",
    kind="contract",
)
def missing_values(trial: Trial) -> Iterator[Case]:
    """One NaN, and one infinite number, in each variable."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    samples = _ordinary(trial, 1)
    for name, value in (("NaN", np.nan), ("inf", np.inf)):
        for i, variable in enumerate("xy"[: len(samples)]):
            bad = [x.copy() for x in samples]
            bad[i][7, 0] = value
            yield trial.refused(f"{N} rows, one {name} in {variable}", *bad, truth=np.nan)


@check(
    "one_row",
    laws={
        "entropy": "one row (1, d) is one draw, not d of them",
        "mutual_information": "one row is one draw, not d of them",
        "kl_divergence": "one row is one draw, not d of them",
    },
    source="a squeezed axis of length one",
    kind="contract",
)
def one_row(trial: Trial) -> Iterator[Case]:
    """A single draw of many columns, which tells no spread."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    d = trial.promises.dims(1, 12)[-1]
    yield trial.refused(f"one row of {d} columns", *_ordinary(trial, d, 1), truth=np.nan)


@check(
    "constant_column",
    laws={"entropy": "h(X, c) = −∞", "mutual_information": "I(X; c) = 0", "kl_divergence": "D = ∞ where P or Q is c"},
    source=f"{BOOK}, section 8.3: the differential entropy of a law without density",
    kind="contract",
)
def constant_column(trial: Trial) -> Iterator[Case]:
    """A column that never varies, alone and beside one that does."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    constant = np.full((N, 1), 3.0)
    if trial.check.quantity != "entropy":
        truth = 0.0 if trial.check.quantity == "mutual_information" else np.inf
        x, y = _ordinary(trial, 1)
        yield trial.refused(f"{N} rows, x constant", constant, y, truth=truth, margin=MARGIN)
        yield trial.refused(f"{N} rows, y constant", x, constant, truth=truth, margin=MARGIN)
        return
    yield trial.refused(f"{N} equal rows", constant, truth=-np.inf)
    if 2 in trial.promises.dims(1, 2):
        (x,) = _ordinary(trial, 1)
        yield trial.refused(f"{N} rows, the second column constant", np.hstack([x, constant]), truth=-np.inf)


@check(
    "atom",
    laws={
        "entropy": "P(X = c) > 0 ⇒ h(X) = −∞",
        "mutual_information": "X, Y independent, with atoms: I(X; Y) = 0",
        "kl_divergence": "P(c) > 0 = Q(c) ⇒ D(P‖Q) = ∞",
    },
    source=f"{BOOK}, section 8.3; Gao, Kannan, Oh & Viswanath (2017), on mixtures of discrete and continuous",
    kind="contract",
)
def atom(trial: Trial) -> Iterator[Case]:
    """Three rows in ten at one point: dropped distances of zero, or noise added in secret, would hide them."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    trial.needs(trial.promises.family == "any", 'family="gaussian": a law with an atom is not of it')
    rng = trial.rng("sample")

    def drawn() -> np.ndarray:
        return np.where(rng.uniform(size=(N, 1)) < 0.3, 0.0, rng.standard_normal((N, 1)))

    if trial.check.quantity == "entropy":
        yield trial.refused(f"{N} rows, three in ten of them 0", drawn(), truth=-np.inf)
    elif trial.check.quantity == "kl_divergence":
        x, y = drawn(), rng.standard_normal((N, 1))
        yield trial.refused(f"{N} rows of x, three in ten of them 0, and of y, none", x, y, truth=np.inf)
    else:
        x, y = drawn(), drawn()
        yield trial.refused(f"{N} independent pairs, zero three times in ten", x, y, truth=0.0, margin=MARGIN)


@check(
    "unequal_lengths",
    laws={"mutual_information": "row i of x and of y come from one draw"},
    source="the joint law is one of pairs",
    kind="contract",
)
def unequal_lengths(trial: Trial) -> Iterator[Case]:
    """More rows in one variable than in the other."""
    trial.needs(trial.promises.guards_input, "guards_input=False")
    x, y = _ordinary(trial, 1)
    yield trial.refused(f"{N} rows of x, {N - 10} of y", x, y[:-10], truth=np.nan)
    yield trial.refused(f"{N - 10} rows of x, {N} of y", x[:-10], y, truth=np.nan)
