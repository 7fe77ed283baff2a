"""Answers compared with truths, and with each other, over many samples: by the one decision rule."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from itssl.claims.decision import Relation
from itssl.testing.checks.divergence_worlds import divergence_places, equal_laws
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.checks.worlds import (
    Place,
    entropy_places,
    fitting,
    gaussian_rows,
    independent_place,
    information_places,
)
from itssl.testing.findings import Case

BOOK = "Cover & Thomas (2006), Elements of Information Theory"
SMALL, AVERAGED = 50, 32
"""Rows, and samples whose answers make one replicate, where the truth is zero. There answers may be skewed as χ² is:
one by one, those of −½ log(1 − r²) less the allowed 0.2/√n failed 50 times as often as stated, and twice as often so.
"""


def places(trial: Trial) -> list[Place]:
    """Where the truth is known and the estimator is promised to find it."""
    known = {"entropy": entropy_places, "mutual_information": information_places, "kl_divergence": divergence_places}
    return fitting(known[trial.check.quantity](), trial.promises)


@check(
    "truth",
    laws={
        "entropy": "E ĥ = h(X), where h is known",
        "mutual_information": "E Î = I(X; Y), where I is known",
        "kl_divergence": "E D̂ = D(P‖Q), where D is known",
    },
    source=f"{BOOK}, table 17.1 and section 8.5",
    kind="statistical",
)
def truth(trial: Trial) -> Iterator[Case]:
    """The mean answer lies within the declared accuracy of the truth; by default two standard errors of the mean
    true log-density of as many rows, see :meth:`~itssl.testing.checks.worlds.Place.margin`."""
    known, n = places(trial), trial.profile.rows
    for place in known:
        yield trial.decided(
            place.name, lambda rng, p=place: (trial.value(p.name, *p.draw(n, rng)), p.truth), Relation.EQUAL,
            place.margin(trial.promises, n), worlds=len(known), truth=place.truth,
            what=f"a mean answer to {n} rows of",
        )  # fmt: skip


@check(
    "consistency",
    laws={
        "entropy": "E|ĥ_n − h| falls with n",
        "mutual_information": "E|Î_n − I| falls with n",
        "kl_divergence": "E|D̂_n − D| falls with n",
    },
    source="Kozachenko & Leonenko (1987); the weak law of large numbers",
    kind="statistical",
)
def consistency(trial: Trial) -> Iterator[Case]:
    """Eight times the rows: the mean absolute error is at most 8^(−rate) of what it was."""
    trial.needs(trial.promises.consistent, "consistent=False")
    n, factor = trial.profile.rows, 8.0**-trial.promises.rate
    known = [p for p in places(trial) if p.gaussian and p.dim <= 2 and p.truth > 0.5]
    for place in known:

        def errors(rng: np.random.Generator, p: Place = place) -> tuple[float, float]:
            few, many = (abs(trial.value(p.name, *p.draw(m, rng)) - p.truth) for m in (n // 8, n))
            return many, factor * few

        what = f"mean error of {n} rows less {factor:.2f} times that of {n // 8}"
        yield trial.decided(place.name, errors, Relation.AT_MOST, 0.0, worlds=len(known), what=what)


@check(
    "chain_rule",
    laws={"entropy": "h(X, X + N) = h(X) + h(N), N independent of X"},
    source=f"{BOOK}, theorem 8.6.2",
    kind="statistical",
)
def chain_rule(trial: Trial) -> Iterator[Case]:
    """Three estimates from the same draws, in one and two dimensions."""
    trial.needs(2 in trial.promises.dims(1, 2), "max_dim=1")
    n = trial.profile.rows
    joint = next(p for p in entropy_places() if p.gaussian and p.dim == 2)
    world = "normal X, and X + N with N normal of the same variance"

    def sides(rng: np.random.Generator) -> tuple[float, float]:
        x, noise = rng.standard_normal((2, n, 1))
        whole = trial.value(world, np.hstack([x, x + noise]))
        return whole, trial.value(world, x) + trial.value(world, noise)

    margin = joint.margin(trial.promises, n)
    yield trial.decided(world, sides, Relation.EQUAL, margin, worlds=1, what="a mean ĥ(X, X + N) − ĥ(X) − ĥ(N) of")


@check(
    "independence",
    laws={"mutual_information": "X, Y independent ⇒ I(X; Y) = 0, and E Î = 0"},
    source=f"{BOOK}, eq. 2.90; Kraskov, Stögbauer & Grassberger (2004), section III",
    kind="statistical",
)
def independence(trial: Trial) -> Iterator[Case]:
    """Few rows, where a bias shows: zero within 0.2/√n; at most 1/√n where the estimator clips or promises no zero."""
    loose = trial.promises.clips_at_zero or not trial.promises.unbiased_when_independent
    margin = (1.0 if loose else 0.2) / SMALL**0.5
    place = independent_place(1)
    yield trial.decided(
        place.name, lambda rng: (trial.value(place.name, *place.draw(SMALL, rng)), 0.0),
        Relation.AT_MOST if loose else Relation.EQUAL, margin, worlds=1,
        what=f"a mean answer to {SMALL} rows of", replicates=4, averaged=AVERAGED,
    )  # fmt: skip


@check(
    "clipping",
    laws={
        "mutual_information": "Î < 0 on some samples of independent pairs, unless answers are clipped at zero",
        "kl_divergence": "D̂ < 0 on some samples of equal laws, unless answers are clipped at zero",
    },
    source="an unbiased estimate of zero is negative sometimes",
    kind="contract",
)
def clipping(trial: Trial) -> Iterator[Case]:
    """32 samples where the truth is zero, or up to the first answer below: zeros and nothing below mean clipping;
    clipping that is declared is kept."""
    place = independent_place(1) if trial.check.quantity == "mutual_information" else equal_laws(1)
    declared, values = trial.promises.clips_at_zero, list[float]()
    for i in range(32):
        values.append(trial.value(place.name, *place.draw(SMALL, trial.rng(i))))
        if values[-1] < 0:
            break
    zeros, negative = sum(v == 0 for v in values), values[-1] < 0
    fine = not negative if declared else negative or zeros < 2
    yield Case(
        world=f"{len(values)} × {SMALL} rows of {place.name}",
        expected="no answer below 0 (clips_at_zero=True)" if declared else "answers below 0, or none exactly 0",
        arrived=f"{'one' if negative else 'none'} below 0, {zeros} exactly 0"
        + ("" if fine or declared else " (declare clips_at_zero=True)"),
        outcome=outcome_of(fine),
    )


@check(
    "data_processing",
    laws={"mutual_information": "I(f(X); Y) ≤ I(X; Y), and I(X + N; Y) ≤ I(X; Y)"},
    source=f"{BOOK}, theorem 2.8.1",
    kind="statistical",
)
def data_processing(trial: Trial) -> Iterator[Case]:
    """A column dropped, and noise added: neither adds information."""
    n = trial.profile.rows
    maps: list[tuple[str, int, Any]] = [("X + noise", 1, lambda x, rng: x + rng.standard_normal(x.shape))]
    if 2 in trial.promises.dims(1, 2):
        maps.append(("X without its second column", 2, lambda x, rng: x[:, :1]))
    for name, d, processed in maps:

        def sides(
            rng: np.random.Generator, name: str = name, d: int = d, processed: Any = processed
        ) -> tuple[float, float]:
            x = gaussian_rows(rng, n, d)
            y = x.sum(axis=1, keepdims=True) + 0.5 * rng.standard_normal((n, 1))
            return trial.value(name, processed(x, rng), y), trial.value("X", x, y)

        yield trial.decided(name, sides, Relation.AT_MOST, 0.0, worlds=len(maps), what="a mean Î(f(X); Y) − Î(X; Y) of")
