"""The one decision rule: from paired gaps to HOLDS, VIOLATED or UNDECIDED at a controlled error rate."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from itssl.arrays import is_torch
from itssl.choices import ParameterError, require_count
from itssl.estimate import Bias, Estimate, student_quantile
from itssl.progress import progress_bar

FIRST_LOOK = 32


class Outcome(Enum):
    """What a check may find. Only HOLDS and VIOLATED decide; neither other outcome is a pass.

    >>> [outcome.value for outcome in Outcome]
    ['HOLDS', 'VIOLATED', 'UNDECIDED', 'NOT_APPLICABLE']
    """

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNDECIDED = "UNDECIDED"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class Relation(Enum):
    """How the left side stands to the right side in the statement.

    >>> Relation("<=")
    <Relation.AT_MOST: '<='>
    """

    EQUAL = "=="
    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True)
class MonteCarlo:
    """The mean gap may miss the relation by ``margin`` (in the units of the sides). ParameterError unless it is ≥ 0.

    >>> MonteCarlo(0.01)
    MonteCarlo(margin=0.01)
    """

    margin: float

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise ParameterError(f"margin: expected a finite number >= 0, got {self.margin!r}")


@dataclass(frozen=True)
class FloatingPoint:
    """Every single gap may miss the relation by ulps · eps · condition · max(|left|, |right|, 1): rounding only.

    >>> FloatingPoint(ulps=8)
    FloatingPoint(ulps=8, condition=1.0)
    """

    ulps: float
    condition: float = 1.0


Tolerance: TypeAlias = MonteCarlo | FloatingPoint


@dataclass(frozen=True)
class Share:
    """A side that is the share of ``draws`` independent draws in which something happens, in ``hits`` of them.

    Its interval is the exact one of Clopper and Pearson over all replicates: where nothing happened in n draws, it may
    still happen in some log(1/α)/n of them, which the spread of the replicates, zero, would not say.
    Raises ParameterError unless 0 ≤ hits ≤ draws and draws ≥ 1.

    >>> nothing = lambda i: Sides(left=Share(0, 4), right=0.05)
    >>> decide(nothing, Relation.AT_MOST, MonteCarlo(0.0), max_replicates=32).outcome     # of 128 draws
    <Outcome.UNDECIDED: 'UNDECIDED'>
    """

    hits: int
    draws: int

    def __post_init__(self) -> None:
        require_count("draws", self.draws)
        if not 0 <= self.hits <= self.draws:
            raise ParameterError(f"hits: expected from 0 to draws = {self.draws}, got {self.hits!r}")


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Both sides of a statement on one replicate: numbers, Estimates, Shares, or equally long tuples of them.

    Several parts are one statement: it holds if all parts do, and the error rate is shared among them. ``measured``
    holds further numbers of the replicate, reported with their error but never judged.

    >>> Sides(left=1.5, right=1.0).values()
    (array([1.5]), array([1.]))
    """

    left: Any
    right: Any
    parts: tuple[str, ...] = ("",)
    measured: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Left and right as vectors with one entry a part. ParameterError for unequal lengths."""
        left, right = (np.array([_value(v) for v in _parts(side)]) for side in (self.left, self.right))
        if not len(left) == len(right) == len(self.parts):
            raise ParameterError(
                f"sides: expected one left and one right per part {self.parts}, got {len(left)} and {len(right)}"
            )
        return left, right

    def biases(self) -> list[tuple[Bias, Bias]]:
        """Direction of either side, by part; plain numbers count as unbiased."""
        return [(_bias(a), _bias(b)) for a, b in zip(_parts(self.left), _parts(self.right), strict=True)]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the rule found: the outcome, the mean gap of the part nearest to failing, and what was measured beside."""

    outcome: Outcome
    gap: Estimate
    part: str
    gaps: Mapping[str, Estimate]
    measured: Mapping[str, Estimate]
    replicates: int
    reason: str = ""


def decide(
    replicate: Callable[[int], Sides],
    relation: Relation,
    tolerance: Tolerance,
    *,
    false_verdict_rate: float = 1e-3,
    max_replicates: int = 1024,
    first_look: int = FIRST_LOOK,
) -> Decision:
    r"""Decide a statement from independent replicates of its sides.

    The gap left − right is paired: both sides come from the same draws. For a ``MonteCarlo`` tolerance, Student-t
    intervals of the mean gap are looked at after 32, 64, ... replicates; the two-sided error of each is
    false_verdict_rate divided by the number of looks and parts (Bonferroni), so that a wrong HOLDS or VIOLATED has
    at most that probability for gaps whose mean is near normal at 32 replicates.

    - EQUAL: interval inside ±margin → HOLDS, disjoint from it → VIOLATED;
    - AT_MOST: upper end ≤ margin → HOLDS, lower end > margin → VIOLATED; AT_LEAST likewise mirrored.

    Sides that are a :class:`Share` have exact binomial intervals instead.

    For a ``FloatingPoint`` tolerance every gap of ``first_look`` replicates must be within rounding. A side known
    only as a bound certifies one direction: a LOWER left side cannot certify "≤" and an UPPER one cannot refute it; the
    rule then answers UNDECIDED, as it does for gaps that are not finite.

    Raises ParameterError for an error rate outside (0, 1) or too few replicates.

    >>> rng = np.random.default_rng(0)
    >>> decide(lambda i: Sides(left=rng.normal(), right=0.0), Relation.AT_MOST, MonteCarlo(2.0)).outcome
    <Outcome.HOLDS: 'HOLDS'>
    """
    if not 0 < false_verdict_rate < 1:
        raise ParameterError(f"false_verdict_rate: expected a number between 0 and 1, got {false_verdict_rate!r}")
    require_count("first_look", first_look, minimum=2)
    require_count("max_replicates", max_replicates, minimum=first_look)
    looks = _looks(first_look, max_replicates)
    if isinstance(tolerance, FloatingPoint):
        looks = looks[:1]
    sides: list[Sides] = []
    outcome, reason = Outcome.UNDECIDED, ""
    with progress_bar("replicates", unit="replicate") as bar:
        for look in looks:
            while len(sides) < look:
                sides.append(replicate(len(sides)))
                bar.update(note=f"next look at {look} of at most {looks[-1]}")
            left, right = (np.stack(v) for v in zip(*(s.values() for s in sides), strict=True))
            gaps = left - right
            if not np.isfinite(gaps).all():
                reason = f"the gap of replicate {int(np.argmin(np.isfinite(gaps).all(axis=1)))} is not finite"
                break
            if isinstance(tolerance, FloatingPoint):
                outcome = _judge_roundings(relation, left, right, tolerance)
            else:
                error_rate = false_verdict_rate / (len(looks) * gaps.shape[1])
                outcome = _judge_means(relation, sides, left, right, tolerance, error_rate)
            if outcome is not Outcome.UNDECIDED:
                break
    outcome, reason = _refuse_uncertified(outcome, relation, sides[0], reason)
    if outcome is Outcome.UNDECIDED and not reason:
        reason = f"the interval still meets the margin after {len(sides)} replicates"
    return _summary(sides, relation, outcome, reason)


def _looks(first: int, last: int) -> list[int]:
    looks = [first]
    while looks[-1] * 2 <= last:
        looks.append(looks[-1] * 2)
    return looks


def _judge_roundings(relation: Relation, left: np.ndarray, right: np.ndarray, tolerance: FloatingPoint) -> Outcome:
    """Every gap must be within rounding of its own sides; one that is not refutes."""
    margin = tolerance.ulps * np.finfo(float).eps * tolerance.condition * _scale(left, right)
    gaps = left - right
    judged = [_judge(relation, gap, gap, m) for gap, m in zip(gaps.ravel(), margin.ravel(), strict=True)]
    return _combine(judged)


def _judge_means(
    relation: Relation, sides: list[Sides], left: np.ndarray, right: np.ndarray, tolerance: MonteCarlo,
    error_rate: float,
) -> Outcome:  # fmt: skip
    """Intervals of the mean gap, by part; the margin is widened by the rounding of the sides themselves."""
    low, high = _mean_interval(left - right, error_rate)
    for i, shares in _share_parts(sides).items():
        ends = [
            _mean_interval(values[:, i : i + 1], error_rate / 2)
            if share is None
            else _exact_interval(share, error_rate / 2)
            for values, share in zip((left, right), shares, strict=True)
        ]
        (low_a, high_a), (low_b, high_b) = ends
        low[i], high[i] = np.squeeze(low_a - high_b), np.squeeze(high_a - low_b)
    margin = tolerance.margin + 8 * np.finfo(float).eps * _scale(left, right).max(axis=0)
    return _combine([_judge(relation, *ends) for ends in zip(low, high, margin, strict=True)])


def _mean_interval(values: np.ndarray, error_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's, for the mean of each column."""
    n = len(values)
    half = student_quantile(1 - error_rate / 2, n - 1) * values.std(axis=0, ddof=1) / math.sqrt(n)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def _share_parts(sides: list[Sides]) -> dict[int, tuple[Share | None, Share | None]]:
    """The parts with a Share on either side, counted over all replicates."""

    def total(side: str, part: int) -> Share | None:
        if not isinstance(_parts(getattr(sides[0], side))[part], Share):
            return None
        shares = [_parts(getattr(s, side))[part] for s in sides]
        return Share(sum(s.hits for s in shares), sum(s.draws for s in shares))

    both = ((total("left", part), total("right", part)) for part in range(len(sides[0].parts)))
    return {part: shares for part, shares in enumerate(both) if shares != (None, None)}


def _exact_interval(share: Share, error_rate: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a probability."""
    from scipy.special import betaincinv

    hits, misses = share.hits, share.draws - share.hits
    low = 0.0 if hits == 0 else float(betaincinv(hits, misses + 1, error_rate / 2))
    high = 1.0 if misses == 0 else float(betaincinv(hits + 1, misses, 1 - error_rate / 2))
    return low, high


def _scale(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))


def _judge(relation: Relation, low: float, high: float, margin: float) -> Outcome:
    if relation is Relation.AT_LEAST:
        low, high = -high, -low
    if relation is Relation.EQUAL:
        holds, violated = -margin <= low and high <= margin, low > margin or high < -margin
    else:
        holds, violated = high <= margin, low > margin
    return Outcome.HOLDS if holds else Outcome.VIOLATED if violated else Outcome.UNDECIDED


def _combine(outcomes: list[Outcome]) -> Outcome:
    if Outcome.VIOLATED in outcomes:
        return Outcome.VIOLATED
    return Outcome.HOLDS if all(o is Outcome.HOLDS for o in outcomes) else Outcome.UNDECIDED


def _refuse_uncertified(outcome: Outcome, relation: Relation, sides: Sides, reason: str) -> tuple[Outcome, str]:
    """UNDECIDED where the direction of a side cannot support the outcome."""
    for part, (left, right) in zip(sides.parts, sides.biases(), strict=True):
        if outcome is Outcome.UNDECIDED or _supports(outcome, relation, left, right):
            continue
        where = f" of part {part!r}" if part else ""
        return Outcome.UNDECIDED, (
            f"left is {left.value} and right is {right.value}{where}: "
            f"estimates with these directions cannot certify {relation.value} {outcome.value}"
        )
    return outcome, reason


def _supports(outcome: Outcome, relation: Relation, left: Bias, right: Bias) -> bool:
    if left.centered and right.centered:
        return True
    if relation is Relation.EQUAL:
        return False
    left_high = (relation is Relation.AT_MOST) == (outcome is Outcome.HOLDS)  # left must err upward, right downward
    up, down = (left, right) if left_high else (right, left)
    return (up.centered or up is Bias.UPPER) and (down.centered or down is Bias.LOWER)


def _summary(sides: list[Sides], relation: Relation, outcome: Outcome, reason: str) -> Decision:
    parts = sides[0].parts
    gaps = np.stack([np.subtract(*s.values()) for s in sides])
    estimates = {part: _mean(gaps[:, i], "paired gap") for i, part in enumerate(parts)}
    value = np.array([e.value for e in estimates.values()])
    nearest = {Relation.EQUAL: np.abs(value), Relation.AT_MOST: value, Relation.AT_LEAST: -value}[relation]
    part = parts[int(np.argmax(np.where(np.isnan(nearest), np.inf, nearest)))]
    measured = {key: _mean(np.array([s.measured[key] for s in sides]), key) for key in sides[0].measured}
    return Decision(
        outcome=outcome, gap=estimates[part], part=part, gaps=estimates, measured=measured,
        replicates=len(sides), reason=reason,
    )  # fmt: skip


def _mean(values: np.ndarray, method: str) -> Estimate:
    n = len(values)
    with np.errstate(invalid="ignore"):
        error = float(values.std(ddof=1) / math.sqrt(n))
    return Estimate(
        value=values.mean(), standard_error=error, n=n, bias=Bias.UNBIASED, method=method, degrees_of_freedom=n - 1
    )


def _parts(side: Any) -> tuple[Any, ...]:
    return tuple(side) if isinstance(side, tuple | list) else (side,)


def _value(side: Any) -> float:
    if isinstance(side, Share):
        return side.hits / side.draws
    value = side.value if isinstance(side, Estimate) else side.detach().cpu().numpy() if is_torch(side) else side
    try:
        numbers = np.empty(0) if value is None else np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if not numbers.size:
        raise ParameterError(f"sides: expected a number, an Estimate or an array of draws, got {value!r}")
    return float(numbers.mean())


def _bias(side: Any) -> Bias:
    return side.bias if isinstance(side, Estimate) else Bias.UNBIASED
