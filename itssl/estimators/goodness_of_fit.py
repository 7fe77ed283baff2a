"""Can draws of a fitted law be told from the rows it was fitted to? Schilling's nearest-neighbor test."""

import numpy as np

from itssl.arrays import Samples, stream
from itssl.distributions.law import Law
from itssl.estimate import EstimateWarning
from itssl.kernels.neighbors import neighbors

NEIGHBORS = 20
"""k of the test: at n = 1000 the spiral's z rises from 3 to 5 between k = 4 and 20, and falls beyond."""

DRAWS = 4
"""Samples of the law that are compared with the rows."""

NOTICED = 2.5
"""The z from which an estimate warns; measured on fits to 1,080 samples of mixtures (d = 1 … 10): none above 2.3."""

_LEAST_ROWS = 100
_MOST_ROWS = 2000


def misfit(x: Samples, law: Law) -> float:
    r"""z-score of Schilling's two-sample statistic [1] between the rows and draws of the law; nan below 100 rows.

    Among the n rows and n draws of the law, T is the share of the k nearest neighbors (Euclidean, of all 2n) that are
    of the own kind. If the rows come from the law, E T = (n−1)/(2n−1) exactly, and Var T → (1 + m)/(8nk), m ≤ 1 the
    share of neighborhoods that are mutual [1]. T is averaged over R = 4 samples of the law: rows and draws have equal
    parts in its variance, so at most half of it and 1/R of the other half remain, and

    z = (T̄ − E T) / √((1 + 1/R)/(8nk))

    is no wider than the standard normal (measured: standard deviation 0.6 to 0.75). Rows to which the law was *fitted*
    are closer to it than draws are: then its mean is between 0 (one column) and −1.2 (ten). On at most 2,000 rows, with
    draws of a fixed seed; units and rotation are those of x.

    References
    ----------
    [1] Schilling (1986). Multivariate two-sample tests based on nearest neighbors. JASA 81(395), 799-806.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> rng = np.random.default_rng(0)
    >>> print(f"{misfit(rng.normal(size=(500, 2)), Gaussian.standard(2)):.1f}")
    -0.4
    >>> bool(misfit(rng.uniform(-1.7, 1.7, size=(500, 2)), Gaussian.standard(2)) > 5)
    True
    """
    if len(x) > _MOST_ROWS:
        x = x[stream(0, "misfit rows", len(x)).permutation(len(x))[:_MOST_ROWS]]
    n, d = x.shape
    if n < _LEAST_ROWS:
        return float("nan")
    own = np.arange(2 * n) < n
    share = []
    for i in range(DRAWS):
        both = np.vstack([x, law.sample(n, stream(0, "misfit draws", i, n, d))])
        share.append(float((own[neighbors(both, NEIGHBORS, "euclidean")[1]] == own[:, None]).mean()))
    excess = float(np.mean(share)) - (n - 1) / (2 * n - 1)
    return excess / np.sqrt((1 + 1 / DRAWS) / (8 * n * NEIGHBORS))


def misfit_warnings(x: Samples, law: Law, *, name: str) -> tuple[EstimateWarning, ...]:
    """Code ``misfit``: draws of the fitted law can be told from the rows, z above 2.5.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> misfit_warnings(np.random.default_rng(0).normal(size=(500, 2)), Gaussian.standard(2), name="x")
    ()
    """
    z = misfit(x, law)
    if not z > NOTICED:
        return ()
    return (
        EstimateWarning(
            code="misfit",
            message=f"draws of the fitted mixture can be told from the rows of {name} by their neighbors "
            f"(z = {z:.2g}): the law is no mixture of so few Gaussians, or the fit a poor one; entropy is then too "
            "high, and information off to either side",
            cure="allow more components, or compare with an estimator that assumes no model",
        ),
    )
