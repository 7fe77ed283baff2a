"""Tasks: joint laws of two variables whose mutual information is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples, stream
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.estimate import Estimate


def _identity(x: Samples) -> Samples:
    return x


@dataclass(frozen=True, eq=False)
class _Then:
    """x ↦ second(first(x)); an object, so that tasks can be sent to other processes."""

    first: Callable[[Samples], Samples]
    second: Callable[[Samples], Samples]

    def __call__(self, x: Samples) -> Samples:
        return self.second(self.first(x))


@dataclass(frozen=True, eq=False)
class LazyTruth:
    """A truth that costs something: computed when first asked for, once for all tasks that share it.

    ``route`` says how, for lists that must not compute it.

    >>> truth = LazyTruth(lambda: exact(0.5, "slow sum"), "summation")
    >>> truth.value is truth.value
    True
    """

    compute: Callable[[], Estimate]
    route: str

    @cached_property
    def value(self) -> Estimate:
        """The truth, with its error."""
        return self.compute()


class _Known:
    """The attribute ``mutual_information``: given as an Estimate or a LazyTruth, read as an Estimate."""

    def __get__(self, task: Any, owner: Any = None) -> Estimate:
        if task is None:  # so the dataclass sees a field without default
            raise AttributeError("mutual_information belongs to a task, not to the class")
        stored = task.__dict__["mutual_information"]
        return stored.value if isinstance(stored, LazyTruth) else stored

    def __set__(self, task: Any, value: Estimate | LazyTruth) -> None:
        task.__dict__["mutual_information"] = value


if TYPE_CHECKING:
    Truth = _Known
else:
    Truth = Estimate | LazyTruth  # what the constructor takes; beartype checks this one


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Task:
    r"""A joint law of (X, Y) with both marginals and a mutual information that is known.

    ``joint`` is a law on R^{d_x+d_y}, X its first d_x coordinates; ``x`` and ``y`` are its marginals. Their
    ``log_density`` may be relative to any reference measures :math:`\mu` for X and :math:`\nu` for Y (Lebesgue,
    counting, a product of both) provided that ``joint`` uses :math:`\mu\otimes\nu`: the ratio
    :math:`p(x, y)/(p(x)\,p(y))` does not depend on them, so parts of X and Y may be discrete.

    ``mutual_information`` is in nats and exact, or carries the error of its quadrature or Monte Carlo. It may be
    given as a :class:`LazyTruth`, which is computed when first read; ``known_by`` tells how without computing.
    ``see_x`` and ``see_y`` are injective maps applied to the draws, into any dimension: they change the data but
    not the mutual information. ``family`` groups tasks in a catalogue.

    >>> task = linear_gaussian_views([0.6])
    >>> task.d_x, task.d_y, task.known_by
    (1, 1, 'closed form')
    >>> print(f"{task.mutual_information.value:.4f}")
    0.2231
    """

    name: str
    joint: Law
    x: Law
    y: Law
    mutual_information: Truth = _Known()
    see_x: Callable[[Samples], Samples] = _identity
    see_y: Callable[[Samples], Samples] = _identity
    family: str = ""

    @property
    def known_by(self) -> str:
        """How the mutual information is known: "closed form", "quadrature", "Monte Carlo"; never computes it."""
        stored = self.__dict__["mutual_information"]
        if isinstance(stored, LazyTruth):
            return stored.route
        return "closed form" if stored.standard_error == 0 else stored.method

    @property
    def d_x(self) -> int:
        """Coordinates of X as :meth:`sample` returns it."""
        return self._seen_dims[0]

    @property
    def d_y(self) -> int:
        """Coordinates of Y as :meth:`sample` returns it."""
        return self._seen_dims[1]

    @cached_property
    def _seen_dims(self) -> tuple[int, int]:
        x, y = self.sample(2, stream(0, "shape"))
        return x.shape[1], y.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """n independent pairs, shapes (n, d_x) and (n, d_y), after the maps of :meth:`transformed`."""
        x, y = self.sample_latent(n, rng)
        return self.see_x(x), self.see_y(y)

    def sample_latent(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """The same n pairs before the maps of :meth:`transformed`, as :meth:`pointwise_information` takes them."""
        pair = self.joint.sample(n, rng)
        return pair[:, : self.x.dim], pair[:, self.x.dim :]

    def pointwise_information(self, x: Samples, y: Samples) -> Float[np.ndarray, " n"]:
        """log p(x, y)/(p(x) p(y)) in nats for pairs before the maps of :meth:`transformed`."""
        return self.joint.log_density(np.hstack([x, y])) - self.x.log_density(x) - self.y.log_density(y)

    def mutual_information_by_monte_carlo(self, rng: np.random.Generator, *, n: int = 2**17) -> Estimate:
        """E log p(x,y)/(p(x)p(y)) by sampling: the second route to ``mutual_information``."""
        return monte_carlo(lambda m, r: self.pointwise_information(*self.sample_latent(m, r)), rng, n=n)

    def transformed(
        self, f: Callable[[Samples], Samples], g: Callable[[Samples], Samples], *, name: str | None = None
    ) -> "Task":
        """The task of (f(X), g(Y)) for injective maps, into any dimension: same mutual information, harder data.

        >>> task = linear_gaussian_views([0.6]).transformed(np.exp, np.cbrt)
        >>> print(f"{task.mutual_information.value:.4f}")
        0.2231
        """
        seen = {"see_x": _Then(self.see_x, f), "see_y": _Then(self.see_y, g)}
        return self._changed(name=name or f"{self.name}, transformed", **seen)

    def named(self, name: str, *, family: str | None = None) -> "Task":
        """The same task under another name.

        >>> linear_gaussian_views([0.6]).named("pair", family="examples")
        Task('pair', 1 × 1: 0.223144 (exact) nats)
        """
        return self._changed(name=name, family=self.family if family is None else family)

    def _changed(self, **changes: Any) -> "Task":
        # the truth goes over as it is stored: replace alone would compute it
        return replace(self, mutual_information=self.__dict__["mutual_information"], **changes)

    def __repr__(self) -> str:
        stored = self.__dict__["mutual_information"]
        known = f"{stored._number()} nats" if isinstance(stored, Estimate) else f"by {stored.route}"
        return f"Task({self.name!r}, {self.d_x} × {self.d_y}: {known})"


def sampled_task(*, name: str, joint: Law, x: Law, y: Law, n: int = 2**17) -> Task:
    """A task whose mutual information is the mean pointwise information of n draws, with its standard error.

    The draws are made when the truth is first read, with a fixed seed. The law needs no closed form but its
    densities must be right: see "fine" distributions in [1].

    References
    ----------
    [1] Czyż, Grabowski, Vogt, Beerenwinkel & Marx (2025). On the Properties and Estimation of Pointwise Mutual
        Information Profiles. Transactions on Machine Learning Research.

    >>> g = Gaussian(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> task = sampled_task(name="pair", joint=g, x=g.marginal([0]), y=g.marginal([1]))
    >>> task.known_by, abs(task.mutual_information.value - 0.2231) < 5 * task.mutual_information.standard_error
    ('Monte Carlo', True)
    """
    truth = LazyTruth(lambda: task.mutual_information_by_monte_carlo(stream(0, "truth of a task"), n=n), "Monte Carlo")
    task = Task(name=name, joint=joint, x=x, y=y, mutual_information=truth)
    return task


def gaussian_task(joint: Gaussian, d_x: int, *, name: str | None = None) -> Task:
    r"""The first d_x coordinates of a Gaussian against the others: I = ½ log(|Σ_x||Σ_y|/|Σ|), exact.

    Raises LawError unless 1 ≤ d_x < dim.

    >>> gaussian_task(Gaussian(np.zeros(3), np.eye(3) / 2 + 0.5), 1)
    Task('Gaussian, 1 × 2', 1 × 2: 0.202733 (exact) nats)
    """
    d_y = joint.dim - d_x
    truth = joint.mutual_information(range(d_x))
    one, two = joint.marginal(range(d_x)), joint.marginal(range(d_x, joint.dim))
    return Task(name=name or f"Gaussian, {d_x} × {d_y}", joint=joint, x=one, y=two, mutual_information=truth)


def linear_gaussian_views(
    correlations: Float[np.ndarray, " d"] | list[float],
    *,
    mixing: Float[np.ndarray, "d d"] | None = None,
) -> Task:
    r"""Two exchangeable Gaussian views with given canonical correlations ρ_1..ρ_d.

    X = M U, X' = M U' with (U_i, U'_i) standard normal pairs of correlation ρ_i, independent over i, and M an
    invertible ``mixing`` of shape (d, d) (identity unless given). I = −½ Σ log(1 − ρ_i²) nats, exact for every M [1].
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

    The inverse of :func:`linear_gaussian_views`: ρ² = 1 − e^{−2I/d}.
    Beyond 12 nats a dimension the correlation differs from 1 by less than 2e-11, and its rounding would change the
    information by more than 1e-6 nats: LawError, as for negative or infinite ``nats`` and d < 1.

    >>> print(f"{gaussian_task_with_information(2.0, 5).mutual_information.value:.12f}")
    2.000000000000
    """
    if not 0 <= nats < np.inf or d < 1:
        raise LawError(f"nats, d: expected a finite information >= 0 and d >= 1, got {nats}, {d}")
    if nats > 12 * d:
        raise LawError(
            f"nats: expected at most 12 a dimension, got {nats} for d = {d}; use d >= {int(np.ceil(nats / 12))}"
        )
    return linear_gaussian_views(np.full(d, np.sqrt(-np.expm1(-2 * nats / d))))


def random_mixing(d: int, seed: int, *, condition: float = 10.0) -> Float[np.ndarray, "d d"]:
    """A seeded invertible d×d matrix with the given condition number: rotation · diagonal · rotation.

    >>> print(f"{np.linalg.cond(random_mixing(4, 0)):.6f}")
    10.000000
    """
    rng = stream(seed, "mixing", d)
    (u, _), (v, _) = (np.linalg.qr(rng.standard_normal((d, d))) for _ in range(2))
    return (u * np.geomspace(1, 1 / condition, d)) @ v
