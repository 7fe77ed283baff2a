r"""Bounds on the probability of a union of half-spaces under a Gaussian, from single faces and from pairs of them.

Let $A_i = \{\eta_i > t_i\}$ with jointly Gaussian standard normal $\eta_i$ and $t_i \ge 0$: the perturbed point lies
beyond face i. With $p_i = P(A_i)$ and $p_{ij} = P(A_i \cap A_j)$:

- **Above** (Hunter, Worsley [1, 2]): $P(\bigcup A_i) \le \sum_i p_i - \sum_{(i,j) \in T} p_{ij}$ for any forest T on
  the faces. Proof: an outcome in the events of the set $S \ne \emptyset$ and no others adds $|S| - |T \cap S^2|$ to the
  right side, and a forest on $|S|$ nodes has at most $|S| - 1$ edges. The best forest is a maximum spanning tree.
- **Below** (de Caen [3]): $P(\bigcup A_i) \ge \sum_i p_i^2 / \sum_j p_{ij}$, $p_{ii} = p_i$. Proof: let N count the
  events that occur. $1_{\bigcup A_i} = \sum_i 1_{A_i} / N$, and
  $p_i^2 = (E\,1_{A_i})^2 \le E[1_{A_i} / N] \, E[1_{A_i} N] = E[1_{A_i} / N] \sum_j p_{ij}$ by Cauchy and Schwarz.
- Any single event and any pair, $p_i$ and $p_i + p_j - p_{ij}$, bound from below as well.

All hold for any subset of the faces below, and with a forest on a subset above.

References
----------
[1] D. Hunter (1976). An upper bound for the probability of a union. J. Appl. Probab. 13.
[2] K. Worsley (1982). An improved Bonferroni inequality and applications. Biometrika 69.
[3] D. de Caen (1997). A lower bound on the probability of a union. Discrete Math. 169.
[4] D. Owen (1956). Tables for computing bivariate normal probabilities. Ann. Math. Statist. 27.
"""

import numpy as np
from jaxtyping import Float


def beyond_both(
    h: Float[np.ndarray, "*shape"],
    k: Float[np.ndarray, "*shape"],
    half_sine: Float[np.ndarray, "*shape"],
    half_cosine: Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape"]:
    r"""P(ξ > h, η > k) of standard normals with correlation cos θ, given $\sin(θ/2)$ and $\cos(θ/2)$; h, k ≥ 0.

    By Owen's function [4], $G(h, a_h) + G(k, a_k)$ with $G(h, a) = \tfrac12 Φ(-h) - T(h, a) = T(h, ∞) - T(h, a) \ge 0$
    and $a_h = (k/h - \cos θ) / \sin θ$. The error is a few roundings of $P(ξ > h) + P(η > k)$, far out too; half angles
    keep the digits of faces that are nearly the same, which the correlation loses.

    >>> half = np.sqrt(np.array([0.5, 0.25]))  # a right angle and 60°: 1/4 and 1/4 + asin(1/2) / (2π)
    >>> beyond_both(np.zeros(2), np.zeros(2), half, np.sqrt(1 - half**2))
    array([0.25      , 0.33333333])
    """
    from scipy.special import ndtr

    p, q = ndtr(-h), ndtr(-k)
    both = _wedge(h, k, half_sine, half_cosine) + _wedge(k, h, half_sine, half_cosine)
    return np.where(np.isinf(h) | np.isinf(k), 0.0, np.clip(both, 0.0, np.minimum(p, q)))


def _wedge(h: np.ndarray, k: np.ndarray, half_sine: np.ndarray, half_cosine: np.ndarray) -> np.ndarray:
    """G(h, a) of the docstring above, k/h − cos θ written as (k − h)/h + 2 sin²(θ/2)."""
    from scipy.special import ndtr, owens_t

    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(h == k, 0.0, (k - h) / h)
        a = (apart + 2 * half_sine**2) / (2 * half_sine * half_cosine)
    return 0.5 * ndtr(-h) - owens_t(h, np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf))


def pairs(distance: Float[np.ndarray, "n m"], normal: Float[np.ndarray, "n m r"]) -> Float[np.ndarray, "n m m"]:
    """$p_{ij}$ of faces at the given distances in the given directions (unit vectors outwards); $p_{ii} = p_i$.

    A face that is never met has an infinite distance; its normal is not used.

    >>> pairs(np.zeros((1, 2)), np.array([[[1.0, 0.0], [-1.0, 0.0]]]))  # they exclude each other
    array([[[0.5, 0. ],
            [0. , 0.5]]])
    """
    from scipy.special import ndtr

    n, m = distance.shape
    i, j = np.triu_indices(m, k=1)
    half_sine, half_cosine = np.empty((n, len(i))), np.empty((n, len(i)))
    for first in range(m - 1):
        rest, one = normal[:, first + 1 :], normal[:, first, None]
        half_sine[:, i == first] = np.linalg.norm(rest - one, axis=2) / 2
        half_cosine[:, i == first] = np.linalg.norm(rest + one, axis=2) / 2
    both = np.empty((n, m, m))
    both[:, np.arange(m), np.arange(m)] = ndtr(-distance)
    both[:, i, j] = both[:, j, i] = beyond_both(distance[:, i], distance[:, j], half_sine, half_cosine)
    return both


def heaviest_tree(both: Float[np.ndarray, "n m m"]) -> Float[np.ndarray, " n"]:
    """The weight of a maximum spanning tree of each of n complete graphs (Prim's algorithm); diagonals are not used.

    >>> heaviest_tree(np.array([[[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]]]))
    array([5.])
    """
    n, m = both.shape[:2]
    rows, total = np.arange(n), np.zeros(n)
    if m == 0:
        return total
    reached = np.zeros((n, m), dtype=bool)
    reached[:, 0] = True
    best = both[:, 0].copy()
    for _ in range(m - 1):
        new = np.where(reached, -np.inf, best).argmax(axis=1)
        total += best[rows, new]
        reached[rows, new] = True
        best = np.maximum(best, both[rows, new])
    return total


def union_bounds(
    both: Float[np.ndarray, "n m m"], total: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    r"""Lower and upper bounds of the probability of a union, from all $p_{ij}$ of some events and $\sum_i p_i$ of all.

    Never looser than $\max_i p_i$ over the m events and $\min(1, \sum_i p_i)$; for two events both are exact.

    >>> lower, upper = union_bounds(np.array([[[0.5, 0.25], [0.25, 0.5]]]), np.array([1.0]))
    >>> lower, upper
    (array([0.75]), array([0.75]))
    """
    single = np.diagonal(both, axis1=1, axis2=2)
    pair = single[:, :, None] + single[:, None, :] - both  # the diagonal holds the events by themselves
    weight = both.sum(axis=2)
    shares = np.divide(single**2, weight, out=np.zeros_like(single), where=weight > 0)
    simple = np.minimum(1.0, total)
    lower = np.minimum(np.maximum(pair.max(axis=(1, 2), initial=0.0), shares.sum(axis=1)), simple)
    return lower, np.clip(total - heaviest_tree(both), lower, simple)  # they may meet, and pass by a rounding
