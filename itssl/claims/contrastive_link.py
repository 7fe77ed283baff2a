"""InfoNCE as a bound on mutual information, and its ceiling."""

import numpy as np
from jaxtyping import Float

from itssl.claims.claim import World, claim
from itssl.claims.decision import Relation, Sides
from itssl.distributions.tasks import Task, linear_gaussian_views
from itssl.estimate import Reference
from itssl.objectives.contrastive import contrast

CANDIDATES = 256

POOLE_2019 = Reference(
    authors="Poole, Ozair, van den Oord, Alemi & Tucker",
    title="On variational bounds of mutual information",
    year=2019,
    where="ICML",
)


def _views(d: int) -> Task:
    return linear_gaussian_views(np.full(d, 0.95))


SMALL = World(name="I = 2.33 nats, N = 256", make=lambda: _views(2))
LARGE = World(name="I = 37.25 nats, N = 256", make=lambda: _views(32))


@claim(
    "C37",
    relation=Relation.AT_MOST,
    margin=0.02,
    reference=POOLE_2019,
    formula=r"\mathbb{E}\left[\log N - L_{\mathrm{InfoNCE}}\right] \le \min(I(X; Y), \log N)",
    uses=("C08",),
    worlds=(SMALL, World(name="I = 9.31 nats, N = 256", make=lambda: _views(8)), LARGE),
    tight_at=LARGE,
)
def infonce_is_at_most_information_and_log_n(world: Task, rng: np.random.Generator) -> Sides:
    r"""E InfoNCE ≤ min(I(X;Y), log N) with N candidates, whatever the critic; here the critic is the optimal one.

    InfoNCE = log N + (1/N) Σ_i log [e^{s(x_i,y_i)} / Σ_j e^{s(x_i,y_j)}], s = log p(y|x)/p(y). Any
    distribution-free lower bound from N draws is O(log N) (McAllester & Stratos 2020): large information is not
    seen this way.
    """
    value = float(contrast(_optimal_scores(world, rng)).bound.value)
    return _against_both_ceilings(value, world)


@infonce_is_at_most_information_and_log_n.control("positive left out of the candidates")
def _(world: Task, rng: np.random.Generator) -> Sides:
    from scipy.special import logsumexp

    scores = _optimal_scores(world, rng)
    positive = np.diagonal(scores)
    negatives = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    value = float((positive - logsumexp(negatives, axis=1)).mean() + np.log(len(scores) - 1))
    return _against_both_ceilings(value, world)


@infonce_is_at_most_information_and_log_n.control("logarithm to base 2 read as nats")
def _(world: Task, rng: np.random.Generator) -> Sides:
    value = float(contrast(_optimal_scores(world, rng)).bound.value)
    return _against_both_ceilings(value / np.log(2), world)


def _against_both_ceilings(value: float, world: Task) -> Sides:
    truth = world.mutual_information.value
    return Sides(
        left=(value, value),
        right=(truth, float(np.log(CANDIDATES))),
        parts=("InfoNCE ≤ I", "InfoNCE ≤ log N"),
        measured={"InfoNCE": value, "I": truth},
    )


def _optimal_scores(task: Task, rng: np.random.Generator) -> Float[np.ndarray, "N N"]:
    """log p(y_j|x_i)/p(y_j) for all i, j of N pairs."""
    x, y = task.sample(CANDIDATES, rng)
    pairs = task.pointwise_information(np.repeat(x, CANDIDATES, axis=0), np.tile(y, (CANDIDATES, 1)))
    return pairs.reshape(CANDIDATES, CANDIDATES)
