"""Tasks: joint laws of two variables whose mutual information is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.estimate import Estimate


def _identity(x: Samples) -> Samples:
    return x


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A joint law of (X, Y) with both marginals and the exact mutual information.

    ``joint`` is a law on R^{d_x+d_y}, X its first d_x coordinates. ``see_x`` and ``see_y`` are injective maps
    applied to the draws: they change the data but not the mutual information.
    """

    name: str
    joint: Law
    x: Law
    y: Law
    mutual_information: Estimate
    see_x: Callable[[Samples], Samples] = _identity
    see_y: Callable[[Samples], Samples] = _identity

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """n independent pairs, shapes (n, d_x) and (n, d_y), after the maps of :meth:`transformed`."""
        x, y = self._latent(n, rng)
        return self.see_x(x), self.see_y(y)

    def _latent(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        pair = self.joint.sample(n, rng)
        return pair[:, : self.x.dim], pair[:, self.x.dim :]

    def pointwise_information(self, x: Samples, y: Samples) -> Float[np.ndarray, " n"]:
        """log p(x, y)/(p(x) p(y)) in nats for pairs before the maps of :meth:`transformed`."""
        return self.joint.log_density(np.hstack([x, y])) - self.x.log_density(x) - self.y.log_density(y)

    def mutual_information_by_monte_carlo(self, rng: np.random.Generator, *, n: int = 2**17) -> Estimate:
        """E log p(x,y)/(p(x)p(y)) by sampling: the second route to ``mutual_information``."""
        return monte_carlo(lambda m, r: self.pointwise_information(*self._latent(m, r)), rng, n=n)

    def transformed(
        self, f: Callable[[Samples], Samples], g: Callable[[Samples], Samples], *, name: str | None = None
    ) -> "Task":
        """The task of (f(X), g(Y)) for injective maps: same mutual information, harder data.

        >>> task = linear_gaussian_views([0.6]).transformed(np.exp, np.cbrt)
        >>> print(f"{task.mutual_information.value:.4f}")
        0.2231
        """
        see_x, see_y = self.see_x, self.see_y
        return replace(
            self,
            name=name or f"{self.name}, transformed",
            see_x=lambda x: f(see_x(x)),
            see_y=lambda y: g(see_y(y)),
        )


def linear_gaussian_views(
    correlations: Float[np.ndarray, " d"] | list[float],
    *,
    mixing: Float[np.ndarray, "d d"] | None = None,
) -> Task:
    r"""Two exchangeable Gaussian views with given canonical correlations ρ_1..ρ_d.

    X = M U, X' = M U' with (U_i, U'_i) standard normal pairs of correlation ρ_i, independent over i, and M an
    invertible ``mixing`` (identity unless given). Mutual information −½ Σ log(1 − ρ_i²), exact for every M [1].
    Raises LawError unless every |ρ_i| < 1.

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8.

    >>> print(f"{linear_gaussian_views([0.6, 0.8]).mutual_information.value:.4f}")
    0.7340
    """
    rho = np.asarray(correlations, dtype=float)
    if rho.ndim != 1 or not rho.size or not (np.abs(rho) < 1).all():
        raise LawError(f"correlations: expected a vector of numbers in (-1, 1), got {rho}")
    m = np.eye(len(rho)) if mixing is None else np.asarray(mixing, dtype=float)
    within, across = m @ m.T, (m * rho) @ m.T
    joint = Gaussian(np.zeros(2 * len(rho)), np.block([[within, across], [across.T, within]]))
    one = Gaussian(np.zeros(len(rho)), within)
    value = -0.5 * float(np.log1p(-(rho**2)).sum()) + 0.0  # + 0.0: no negative zero
    return Task(
        name=f"linear-Gaussian views, d={len(rho)}", joint=joint, x=one, y=one,
        mutual_information=exact(value, "canonical correlations"),
    )  # fmt: skip


def gaussian_task_with_information(nats: float, d: int) -> Task:
    """Linear-Gaussian views in d dimensions of equal correlation, built from their mutual information.

    >>> print(f"{gaussian_task_with_information(2.0, 5).mutual_information.value:.12f}")
    2.000000000000
    """
    if not 0 <= nats < np.inf or d < 1:
        raise LawError(f"nats, d: expected a finite information >= 0 and d >= 1, got {nats}, {d}")
    return linear_gaussian_views(np.full(d, np.sqrt(-np.expm1(-2 * nats / d))))


def random_mixing(d: int, seed: int, *, condition: float = 10.0) -> Float[np.ndarray, "d d"]:
    """A seeded invertible d×d matrix with the given condition number: rotation · diagonal · rotation.

    >>> print(f"{np.linalg.cond(random_mixing(4, 0)):.6f}")
    10.000000
    """
    rng = stream(seed, "mixing", d)
    (u, _), (v, _) = (np.linalg.qr(rng.standard_normal((d, d))) for _ in range(2))
    return (u * np.geomspace(1, 1 / condition, d)) @ v
