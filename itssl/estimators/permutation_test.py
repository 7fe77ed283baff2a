"""Is there any dependence: the permutation test with an estimate of information as its statistic."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from itssl.arrays import SampleError, SamplesLike, stream, take_rows
from itssl.choices import require_count
from itssl.estimate import Estimate
from itssl.estimators.error_bars import value_only
from itssl.estimators.methods import estimator as named_estimator
from itssl.progress import progress_bar


@dataclass(frozen=True)
class PermutationTest:
    """The estimate on the pairs as they are, and how many shuffled ones reach it.

    >>> x = np.random.default_rng(0).normal(size=(100, 1))
    >>> found = permutation_test(x, x**3, permutations=19, method="gaussian_plugin")
    >>> found.p_value, found.permutations
    (0.05, 19)
    """

    observed: Estimate
    reached: int
    permutations: int
    mean_under_independence: float

    @property
    def p_value(self) -> float:
        """(1 + reached)/(1 + permutations), a probability; the observed order counts as one of them, so never 0."""
        return (1 + self.reached) / (1 + self.permutations)

    def __str__(self) -> str:
        return (
            f"p = {self.p_value:.3g} ({self.reached} of {self.permutations} permutations reach "
            f"{self.observed.value:.4g} nats; their mean is {self.mean_under_independence:.4g})"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(str(self))}<br>{escape(self.observed.method)}</p>"


def permutation_test(
    x: SamplesLike, y: Any, *, method: Any = "ksg", permutations: int = 199, seed: int = 0, **options: Any
) -> PermutationTest:
    """Test of independence of x and y whose level holds for every estimator, biased or not, and every law.

    The rows of y are shuffled; under independence the observed value is exchangeable with the shuffled ones, so
    p = (1 + #{shuffled ≥ observed})/(1 + permutations) is at most u with probability at most u [1]. ``method`` and
    ``options`` as in :func:`itssl.mutual_information`; y may be whatever that method admits, labels too for "ross". The
    mean over shuffles shows the estimator's bias at I = 0.

    x has shape (n, d_x), y (n, d_y). Raises ParameterError for permutations < 1, SampleError where the observed value
    is nan, and as :func:`itssl.mutual_information`.

    References
    ----------
    [1] Phipson & Smyth (2010). Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9(1).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> permutation_test(x, x + rng.normal(size=(200, 2)), permutations=99, method="gaussian_plugin").p_value
    0.01
    """
    require_count("permutations", permutations)
    chosen = named_estimator(method, "mutual_information", **options)
    observed = chosen.mutual_information(x, y)  # it admits or refuses: numbers, or labels for Ross
    if np.isnan(observed.value):
        raise SampleError(f"x and y: expected an estimate, got nan from {observed.method}; see its warnings")
    shuffled = []
    with value_only(), progress_bar("permutations", permutations, unit="permutation") as bar:
        for i in range(permutations):
            rows = stream(seed, "permutation", i).permutation(observed.n)
            shuffled.append(chosen.mutual_information(x, take_rows(y, rows)).value)
            bar.update()
    return PermutationTest(
        observed=observed,
        reached=sum(value >= observed.value for value in shuffled),
        permutations=int(permutations),
        mean_under_independence=float(np.mean(shuffled)),
    )
