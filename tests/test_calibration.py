"""The decision rule's own error rate and power, by simulation of gaps whose mean is known.

A replicate is an average over 50 draws of the gap, as claims make it. The rule in arrays is first shown to be the rule;
`experiments/decision_rule` goes down to the rates that the ledger uses.
"""

import numpy as np
import pytest

from experiments.decision_rule.many import AVERAGES, decide_many
from itssl import MonteCarlo, Outcome, Relation, Sides
from itssl.arrays import stream
from itssl.claims.decision import decide

RUNS, RATE, MARGIN = 4000, 0.01, 0.1
KINDS = [kind for kind in AVERAGES if "not averaged" not in kind]
RELATIONS = list(Relation)


def gaps(kind, mean, *, runs=RUNS, replicates=128):
    return mean + AVERAGES[kind](stream(0, "calibration", kind), (runs, replicates))


def count(kind, mean, relation, outcome, **options):
    outcomes, _ = decide_many(gaps(kind, mean, **options), relation, MARGIN, false_verdict_rate=RATE)
    return int((outcomes == outcome).sum())


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("relation", RELATIONS)
def test_the_rule_in_arrays_is_the_rule(kind, relation):
    for mean in (0.0, MARGIN, 2 * MARGIN, -2 * MARGIN):
        drawn = gaps(kind, mean, runs=12)
        outcomes, used = decide_many(drawn, relation, MARGIN, false_verdict_rate=RATE)
        for row, outcome, n in zip(drawn, outcomes, used, strict=True):
            decision = decide(
                lambda i, row=row: Sides(left=row[i], right=0.0), relation, MonteCarlo(MARGIN),
                false_verdict_rate=RATE, max_replicates=128,
            )  # fmt: skip
            assert (decision.outcome, decision.replicates) == (outcome, n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relation", RELATIONS)
def test_false_verdicts_are_as_rare_as_promised(kind, relation):
    """At a true gap exactly on the margin either verdict may be wrong: neither is more frequent than promised."""
    mean = -MARGIN if relation is Relation.AT_LEAST else MARGIN
    allowed = RUNS * RATE + 4 * np.sqrt(RUNS * RATE)  # four standard deviations of a count at the nominal rate
    assert count(kind, mean, relation, Outcome.HOLDS) <= allowed
    assert count(kind, mean, relation, Outcome.VIOLATED) <= allowed


def test_a_rule_that_forgets_its_looks_or_averages_nothing_would_be_caught():
    """The test above can fail: skewed single draws, and one-sided looks at the whole rate, are wrong too often."""
    allowed = RUNS * RATE + 4 * np.sqrt(RUNS * RATE)
    single = gaps("single skewed draws, not averaged", MARGIN)
    wrong = [decide_many(single, relation, MARGIN, false_verdict_rate=RATE)[0] for relation in RELATIONS]
    assert max((outcomes == Outcome.HOLDS).sum() for outcomes in wrong) > allowed
    eager, _ = decide_many(gaps("normal", MARGIN), Relation.AT_MOST, MARGIN, false_verdict_rate=2 * 3 * RATE)
    assert (eager == Outcome.VIOLATED).sum() > allowed


@pytest.mark.parametrize("kind", KINDS)
def test_power(kind):
    """A true gap at zero is found to hold, a gap of two margins is found violated."""
    assert count(kind, 0.0, Relation.EQUAL, Outcome.HOLDS) > 0.9 * RUNS
    assert count(kind, 2 * MARGIN, Relation.EQUAL, Outcome.VIOLATED) > 0.9 * RUNS
