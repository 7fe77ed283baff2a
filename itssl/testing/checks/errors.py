"""What answers say of themselves: standard errors, intervals, the direction of the bias, warnings."""

from collections.abc import Iterator

import numpy as np

from itssl.claims.decision import Relation, Share
from itssl.estimate import Bias
from itssl.testing.checks.invariances import _samples, _world
from itssl.testing.checks.statistics import places
from itssl.testing.checks.trial import Trial, check, outcome_of
from itssl.testing.checks.worlds import gaussian_rows
from itssl.testing.findings import Case

FLOOR, SLACK = 0.8, 0.4
"""Shares: of values within two standard errors, 95 % if normal; and of values beyond half a standard error, 62 %."""
FEW = 10


@check(
    "standard_error",
    laws={
        "entropy": "P(|ĥ − h| ≤ 2 se) ≥ 0.8, P(|ĥ − h| > se/2) ≥ 0.4, P(h in the 95 % interval) ≥ 0.8",
        "mutual_information": "P(|Î − I| ≤ 2 se) ≥ 0.8, P(|Î − I| > se/2) ≥ 0.4, P(I in the 95 % interval) ≥ 0.8",
        "kl_divergence": "P(|D̂ − D| ≤ 2 se) ≥ 0.8, P(|D̂ − D| > se/2) ≥ 0.4, P(D in the 95 % interval) ≥ 0.8",
    },
    source="Clopper & Pearson (1934), for the shares",
    kind="statistical",
)
def standard_error(trial: Trial) -> Iterator[Case]:
    """Where the bias is small beside the spread: one column, half of the rows of other checks.

    The floors are those of normal answers whose errors are 0.64 or 1.7 times the spread: room for the usual
    imperfection, not for the error of another quantity, such as the spread under independence. An answer without an
    error claims nothing and counts as within.
    """
    n = trial.profile.rows // 2
    place = next(p for p in places(trial) if p.gaussian and p.dim == 1)
    first = trial.answer(place.name, *place.draw(n, trial.rng("first"))).estimate
    trial.needs(first is not None, "answers are plain numbers")
    assert first is not None
    exact = first.bias not in (Bias.LOWER, Bias.UPPER) or trial.promises.family == "gaussian"
    trial.needs(exact, "answers are bounds, whose distance from the truth is no error")
    trial.needs(bool(np.isfinite(first.standard_error)), "answers carry no standard error")

    def shares(rng: np.random.Generator) -> tuple[tuple[Share, ...], tuple[float, ...]]:
        found = trial.answer(place.name, *place.draw(n, rng)).estimate
        assert found is not None
        off, error = abs(found.value - place.truth), found.standard_error
        low, high = found.interval(0.95)
        hits = (not off > 2 * error, not off <= error / 2, low <= place.truth <= high)
        return tuple(Share(int(hit), 1) for hit in hits), tuple(floors.values())

    floors = {"within two standard errors": FLOOR, "beyond half of one": SLACK, "in the 95 % interval": FLOOR}
    yield trial.decided(
        f"{place.name}, {n} rows", shares, Relation.AT_LEAST, 0.0, worlds=1, what="a share of truths", truth=floors
    )


@check(
    "error_order",
    laws=dict.fromkeys(
        ("entropy", "mutual_information", "kl_divergence"),
        "standard error and interval are the same for every order of the rows",
    ),
    source="independent rows have no order, and what is resampled follows from their values",
    kind="exact",
)
def error_order(trial: Trial) -> Iterator[Case]:
    """The rows shuffled; those of two samples that are no pairs in orders of their own."""
    trial.needs(trial.promises.order_invariant, "order_invariant=False")
    d = trial.promises.dims(1, 2)[-1]
    samples, world = _samples(trial, d), _world(d, "shuffled")
    expected = trial.answer(_world(d), *samples).estimate
    trial.needs(expected is not None, "answers are plain numbers")
    orders = [trial.rng("order", len(x)).permutation(len(x)) for x in samples]
    found = trial.answer(world, *(x[order] for x, order in zip(samples, orders, strict=True))).estimate
    assert expected is not None
    assert found is not None
    trial.needs(not np.isnan([expected.standard_error, found.standard_error]).all(), "answers carry no standard error")
    names = ("standard error", "lower end of the 95 % interval", "upper end of the 95 % interval")
    numbers = ((answer.standard_error, *answer.interval(0.95)) for answer in (expected, found))
    for name, before, after in zip(names, *numbers, strict=True):
        if np.isfinite([before, after]).all():
            yield trial.same(f"{world}, {name}", before, after)
        else:
            same = np.array_equal([before], [after], equal_nan=True)
            yield Case(world=f"{world}, {name}", expected=f"{before}", arrived=f"{after}", outcome=outcome_of(same))


@check(
    "bias_direction",
    laws={
        "entropy": "E ĥ ≤ h for a lower bound, ≥ for an upper one, = where unbiased",
        "mutual_information": "E Î ≤ I for a lower bound, ≥ for an upper one, = where unbiased",
        "kl_divergence": "E D̂ ≤ D for a lower bound, ≥ for an upper one, = where unbiased",
    },
    source="the claim of the estimate, or the promise",
    kind="statistical",
)
def bias_direction(trial: Trial) -> Iterator[Case]:
    """On the right side of the truth up to a quarter of the oracle's error σ/√n, which adds 3 % to a root mean square
    error; unbiased answers also at ten rows, up to a sixth, where a wrong divisor shows."""
    known = places(trial)
    first = trial.answer(known[0].name, *known[0].draw(trial.profile.rows, trial.rng("first")))
    said = first.estimate.bias if first.estimate is not None else Bias.UNKNOWN
    bias = trial.promises.bias or said
    trial.needs(bias is not Bias.UNKNOWN, "answers claim no direction of their bias")
    relation = {Bias.LOWER: Relation.AT_MOST, Bias.UPPER: Relation.AT_LEAST}.get(bias, Relation.EQUAL)
    rows = (FEW, trial.profile.rows) if bias.centered else (trial.profile.rows,)
    judged = [(place, n) for place in known if place.gaussian for n in rows]
    for place, n in judged:
        margin = place.oracle_error(n) / (6 if n == FEW else 4)
        yield trial.decided(
            f"{place.name}, {n} rows", lambda rng, p=place, n=n: (trial.value(p.name, *p.draw(n, rng)), p.truth),
            relation, margin, worlds=len(judged), what=f"a mean answer ({bias.value}) of",
            replicates=4 if n == FEW else 2, truth=place.truth,
        )  # fmt: skip


@check(
    "own_copy",
    laws={"mutual_information": "I(X; X) = ∞ for a law with a density"},
    source="Kraskov, Stögbauer & Grassberger (2004): the estimate saturates at ψ(n) − ψ(k)",
    kind="contract",
)
def own_copy(trial: Trial) -> Iterator[Case]:
    """y = x: an estimate that can warn does so."""
    x = gaussian_rows(trial.rng("sample"), 200, 1)
    usual = trial.answer("200 rows", x, x + trial.rng("noise").standard_normal(x.shape))
    trial.needs(usual.estimate is not None, "answers are plain numbers, which cannot warn")
    yield trial.refused("200 rows, y = x", x, x.copy(), truth=np.inf)
