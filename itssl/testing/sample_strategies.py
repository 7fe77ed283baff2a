"""Hypothesis strategies for samples and for two views of a batch; every example carries its own seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from itssl.arrays import Samples, stream
from itssl.choices import ParameterError
from itssl.distributions.law import Law
from itssl.distributions.tasks import linear_gaussian_views, random_mixing
from itssl.testing.array_kinds import ArrayKind, array_kinds
from itssl.testing.law_strategies import Sizes, gaussians, seeds, sizes


def samples(
    *, n: Sizes = None, dims: Sizes = None, laws: st.SearchStrategy[Law] | None = None
) -> st.SearchStrategy[Samples]:
    """Independent draws of a random law, shape (n, d); shrink to 10 draws of N(0, 1).

    Parameters
    ----------
    n: number of rows, fixed or drawn; 10 to 60 unless given.
    dims: d of a Gaussian law, fixed or drawn; 1 to 6 unless given.
    laws: where the law comes from, in place of ``dims``; Gaussian laws unless given.

    Raises
    ------
    ParameterError: n or a dimension below 1, or both dims and laws.

    >>> from hypothesis import find
    >>> find(samples(), lambda x: True).shape
    (10, 1)
    """
    if laws is not None and dims is not None:
        raise ParameterError("dims: expected none beside laws=, which has its own dimensions; pass it to that strategy")
    return _samples(sizes("n", n, st.integers(10, 60)), gaussians(dims=dims) if laws is None else laws)


@st.composite
def _samples(draw: Callable[..., Any], n: st.SearchStrategy[int], laws: st.SearchStrategy[Law]) -> Samples:
    law, size = draw(laws), draw(n)
    return law.sample(size, stream(draw(seeds()), "samples"))


def paired_views(
    *, n: Sizes = None, dims: Sizes = None, kinds: st.SearchStrategy[ArrayKind] | None = None
) -> st.SearchStrategy[tuple[Any, Any]]:
    r"""Two views (n, d) of one batch, in one kind of array: row i of both shares content, the rest is its own.

    X = MU, X' = MU' with standard normal pairs (U_i, U'_i) of correlation ρ_i and one invertible matrix M of condition
    at most 10. At least one ρ_i is content, between 0.5 and 0.99; the others are 0. Shrinks to 10 pairs of standard
    normal numbers with correlation ½, as numpy arrays.

    Parameters
    ----------
    n: number of rows, fixed or drawn; 10 to 60 unless given.
    dims: d, fixed or drawn; 1 to 4 unless given.
    kinds: kinds of array; those of numpy and torch unless given.

    Raises
    ------
    ParameterError: n or a dimension below 1.

    >>> from hypothesis import find
    >>> view_a, view_b = find(paired_views(), lambda views: True)
    >>> view_a.shape, view_b.shape
    ((10, 1), (10, 1))
    """
    return _paired_views(
        sizes("n", n, st.integers(10, 60)),
        sizes("dims", dims, st.integers(1, 4)),
        array_kinds(libraries=("numpy", "torch")) if kinds is None else kinds,
    )


@st.composite
def _paired_views(
    draw: Callable[..., Any], n: st.SearchStrategy[int], dims: st.SearchStrategy[int], kinds: st.SearchStrategy[Any]
) -> tuple[Any, Any]:
    size, d, kind = draw(n), draw(dims), draw(kinds)
    content = [draw(st.floats(0.5, 0.99)) for _ in range(draw(st.integers(1, d)))]
    seed = draw(seeds())
    mixing = random_mixing(d, seed) if d > 1 else np.eye(1)
    views = linear_gaussian_views(content + [0.0] * (d - len(content)), mixing=mixing)
    view_a, view_b = views.sample(size, stream(seed, "views"))
    return kind(view_a), kind(view_b)
