"""Gaussian data and noisy linear views of them: a training problem whose information is known in closed form."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from itssl.choices import ParameterError
from itssl.distributions.gaussian import Gaussian
from itssl.distributions.tasks import Task, linear_gaussian_views
from itssl.networks.view_law import draws, pair


@dataclass(frozen=True, eq=False)
class LinearGaussianViews:
    r"""Views X', X'' of X = M U with U ~ N(0, I), independent given X:

    .. math:: X' = M\bigl(\sqrt{\rho} \circ U + \sqrt{1 - \rho} \circ \xi'\bigr), \qquad \xi' \sim N(0, I).

    Then X, X' and X'' have one law N(0, M Mᵀ), the canonical correlations of (X', X'') are the ρ_i and those of (X, X')
    their roots, so that for every invertible M, in nats and exactly,

    .. math:: I(X'; X'') = -\tfrac12 \sum_i \log(1 - \rho_i^2) \;\le\; I(X; X') = -\tfrac12 \sum_i \log(1 - \rho_i).

    Parameters
    ----------
    correlations: ρ_i in [0, 1), one a coordinate of U.
    mixing: M, the identity unless given; e.g. :func:`itssl.distributions.tasks.random_mixing`.

    Raises
    ------
    ParameterError: a correlation outside [0, 1) (views with one law given x cannot be negatively correlated), a mixing
        that is not a finite invertible (d, d) matrix, or on drawing rows of another length.

    >>> views = LinearGaussianViews((0.6, 0.8))
    >>> x = torch.tensor(views.source.sample(1000, np.random.default_rng(0)))
    >>> a, b = views(x, torch.Generator().manual_seed(0))
    >>> a.shape, round(views.task.mutual_information.value, 4), round(views.source_task.mutual_information.value, 4)
    (torch.Size([1000, 2]), 0.734, 1.2629)
    """

    correlations: tuple[float, ...]
    mixing: Float[np.ndarray, "d d"] | None = None

    def __post_init__(self) -> None:
        d = len(self.correlations)
        if not d or not all(0 <= rho < 1 for rho in self.correlations):
            raise ParameterError(
                f"correlations: expected numbers in [0, 1), got {self.correlations!r}; e.g. (0.6, 0.8)"
            )
        m = np.eye(d) if self.mixing is None else np.array(self.mixing, dtype=float)
        if m.shape != (d, d) or not np.isfinite(m).all() or np.linalg.matrix_rank(m) < d:
            raise ParameterError(
                f"mixing: expected a finite invertible ({d}, {d}) matrix for {d} correlations, got shape {m.shape} of "
                f"rank {np.linalg.matrix_rank(np.nan_to_num(m))}; add small values to its diagonal, or drop directions"
            )
        m.flags.writeable = False
        object.__setattr__(self, "mixing", m)

    __call__ = pair

    @property
    def source(self) -> Gaussian:
        """The law N(0, M Mᵀ) that x must have; draw data with ``views.source.sample(n, rng)``."""
        m = np.asarray(self.mixing)
        return Gaussian(np.zeros(len(m)), m @ m.T)

    @property
    def task(self) -> Task:
        """The joint law of the two views (X', X''), with its mutual information."""
        return linear_gaussian_views(np.array(self.correlations), mixing=self.mixing)

    @property
    def source_task(self) -> Task:
        """The joint law of the data and one view (X, X'), with its mutual information."""
        return linear_gaussian_views(np.sqrt(self.correlations), mixing=self.mixing)

    def draw(self, x: Float[Tensor, "n d"], generator: torch.Generator) -> Float[Tensor, "n d"]:
        """One view of each row of x, shape (n, d)."""
        m, rho = np.asarray(self.mixing), np.array(self.correlations)
        if x.shape[1] != len(rho):
            raise ParameterError(
                f"x: expected rows of {len(rho)} numbers, got shape {tuple(x.shape)}; see views.source"
            )
        kept, fresh = np.linalg.solve(m.T, np.sqrt(rho)[:, None] * m.T), np.sqrt(1 - rho)[:, None] * m.T
        noise = draws(torch.randn, x.shape, generator)
        return x @ torch.tensor(kept).to(x) + (noise @ torch.tensor(fresh).to(noise)).to(x)
