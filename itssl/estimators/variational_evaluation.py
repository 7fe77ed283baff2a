"""What a trained critic is worth on rows it has not seen: value, error, and what makes the value doubtful."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from itssl.estimate import EstimateWarning
from itssl.estimators.diagnosis import CEILING_ZONE
from itssl.estimators.variational_training import LARGEST_BATCH, Pairs, Trained

JACKKNIFE_GROUPS = 20
MANY_BATCHES = 10
FEWEST_EFFECTIVE_WEIGHTS = 10
OVERFIT_ERRORS = 3


class HeldOut(NamedTuple):
    """A value on held-out rows with its error for the given critic; ``batch`` rows were scored against each other."""

    value: float
    standard_error: float
    degrees_of_freedom: float
    batch: int


def held_out(
    bound: Callable[[Float[np.ndarray, "n n"]], Any], scores: Callable[[Pairs], Float[np.ndarray, "n n"]], pairs: Pairs
) -> HeldOut:
    """The bound on held-out pairs, all in one batch if they are at most 2048, else the mean over equal batches.

    The standard error is that over draws of the held-out pairs for a fixed critic: from the batches if they are ten
    or more, else by leaving out one of 20 groups of rows and columns at a time (delete-group jackknife [1]). It
    does not contain how the critic varies with its training rows.

    References
    ----------
    [1] Efron & Stein (1981). The jackknife estimate of variance. Ann. Statist. 9(3).

    >>> from itssl.estimators.variational_bounds import lower_bound_info_nce
    >>> pairs = Pairs(np.zeros((40, 1)), np.zeros((40, 1)))
    >>> held_out(lower_bound_info_nce, lambda pairs: 9.0 * np.eye(len(pairs.x)), pairs).batch
    40
    """
    blocks = batches(pairs, LARGEST_BATCH)
    many = len(blocks) >= MANY_BATCHES
    values, variances, groups = [], [], 0
    for block in blocks:
        matrix = scores(block)
        values.append(float(bound(matrix)))
        if not many:
            groups = min(JACKKNIFE_GROUPS, len(matrix) // 2)
            variances.append(_delete_group_variance(bound, matrix, groups))
    batch = len(blocks[0].x)
    if many:
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if np.isfinite(values).all() else np.inf
        return HeldOut(float(np.mean(values)), error, len(values) - 1, batch)
    error = float(np.sum(variances)) ** 0.5 / len(values)
    return HeldOut(float(np.mean(values)), error, len(values) * (groups - 1), batch)


def held_out_mean(terms: Float[np.ndarray, " n"]) -> HeldOut:
    """The mean of independent terms with its error.

    >>> held_out_mean(np.array([1.0, 3.0])).standard_error
    1.0
    """
    n = len(terms)
    return HeldOut(float(terms.mean()), float(terms.std(ddof=1)) / n**0.5, n - 1, 1)


def batches(pairs: Pairs, largest: int) -> list[Pairs]:
    """Pairs in as few batches of equal size as ``largest`` allows; the rows left over (fewer than batches) stay out.

    >>> [len(batch.x) for batch in batches(Pairs(np.zeros((11, 1)), np.zeros((11, 1))), 4)]
    [3, 3, 3]
    """
    count = -(-len(pairs.x) // largest)
    size = len(pairs.x) // count
    return [Pairs(pairs.x[i : i + size], pairs.y[i : i + size]) for i in range(0, count * size, size)]


def effective_weights(scores: Float[np.ndarray, "n n"]) -> float:
    """To how many equal ones the weights e^{s_ij}, i ≠ j, amount: the least of (Σw)²/Σw² over entries, rows, columns.

    >>> print(f"{effective_weights(np.zeros((8, 8))):.0f} {effective_weights(np.diag(np.ones(7), 1) * 50):.0f}")
    8 7
    """
    weights = np.exp(scores - scores.max())
    np.fill_diagonal(weights, 0.0)
    sums = (weights, weights.sum(axis=0), weights.sum(axis=1))
    return min(float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0 for w in sums)


def training_warnings(run: Trained, train: HeldOut, test: HeldOut) -> tuple[EstimateWarning, ...]:
    """Codes ``overfit`` (the training value is above the held-out one by three errors) and ``not_converged``."""
    found = []
    gap, error = train.value - test.value, float(np.hypot(train.standard_error, test.standard_error))
    if not gap <= OVERFIT_ERRORS * error:
        found.append(
            EstimateWarning(
                code="overfit",
                message=f"the critic reads {gap:.3g} nats more on the rows it was trained on than on others "
                f"({OVERFIT_ERRORS} errors are {OVERFIT_ERRORS * error:.2g}); the held-out value is not harmed by what "
                "was memorized, but more rows would give a better critic",
                cure="use more rows, a smaller critic or fewer columns",
            )
        )
    if run.rising:
        found.append(
            EstimateWarning(
                code="not_converged",
                message=f"the validation value was still rising when training ended after {run.steps} steps; "
                "a longer run would give another value",
                cure="increase steps or learning_rate",
            )
        )
    return tuple(found)


def variance_warnings(weights: float, value: float, n: int) -> tuple[EstimateWarning, ...]:
    """Code ``high_variance``: few weights carry the mean exponential, or information this large cannot be averaged.

    The log-ratio's exponential has variance e^{2I} − 1 under the product law (for Gaussians; it is at least
    e^I − 1), its mean over n rows a standard deviation of about e^I/n: nothing near log n is measurable [1].

    References
    ----------
    [1] McAllester & Stratos (2020). Formal limitations on the measurement of mutual information. AISTATS.

    >>> [w.code for w in variance_warnings(300.0, 6.0, 400)], variance_warnings(300.0, 1.0, 400)
    (['high_variance'], ())
    """
    if weights >= FEWEST_EFFECTIVE_WEIGHTS and value < np.log(n) - CEILING_ZONE:
        return ()
    reason = (
        f"the mean exponential rests on {weights:.2g} effective weights"
        if weights < FEWEST_EFFECTIVE_WEIGHTS
        else f"{value:.3g} nats is near or above the logarithm {np.log(n):.3g} of the {n} rows averaged over"
    )
    return (
        EstimateWarning(
            code="high_variance",
            message=f"{reason}; its true error is larger than the one stated and the value more likely too large "
            "than too small",
            cure="use more rows, InfoNCE, or an estimator with a model of the law",
        ),
    )


def _delete_group_variance(bound: Callable[[np.ndarray], Any], scores: Float[np.ndarray, "n n"], groups: int) -> float:
    """(G−1)/G Σ_g (θ_g − θ̄)², with θ_g the bound without group g of the rows and the same columns."""
    left_out = np.arange(len(scores)) % groups
    values = np.array([float(bound(scores[np.ix_(kept, kept)])) for kept in (left_out != g for g in range(groups))])
    return float((groups - 1) * values.var()) if np.isfinite(values).all() else np.inf  # one e^s can be beyond floats
