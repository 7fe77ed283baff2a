"""Ratios of independent gamma variables: Dirichlet laws on the simplex and inverted Dirichlet laws on the orthant."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from itssl.arrays import Samples
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import exact
from itssl.distributions.products import other_coordinates
from itssl.distributions.scalar_roots import log_gamma_draws
from itssl.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """(G_1, ..., G_d)/(G_0 + G_1 + ... + G_d) on R^d with independent G_i ~ Gamma(weights_i), weights_0 ``last`` [1].

    Density Π x_i^{a_i − 1}·(1 − Σx_i)^{a_0 − 1}/B(a_0, ..., a_d) on x > 0, Σ x_i < 1, with
    h = log B(a) + (A − d − 1)ψ(A) − Σ_{i=0}^d (a_i − 1)ψ(a_i), A = Σ_{i=0}^d a_i. The component left out is
    fixed by the others; all weights 1 give the uniform law on the simplex. Raises LawError unless all weights are > 0.

    References
    ----------
    [1] Kotz, Balakrishnan & Johnson (2000). Continuous Multivariate Distributions, vol. 1, ch. 49. Wiley.

    >>> print(f"{Dirichlet(np.ones(2), 1.0).entropy.value:.4f}")  # log of the triangle's area, ½
    -0.6931
    """

    weights: Float[np.ndarray, " d"]
    last: float

    def __post_init__(self) -> None:
        _freeze_weights(self)

    @property
    def dim(self) -> int:
        return len(self.weights)

    @property
    def _all(self) -> Float[np.ndarray, " k"]:
        return np.append(self.weights, self.last)

    @property
    def mean_logs(self) -> Float[np.ndarray, " k"]:
        """E log X_i = ψ(a_i) − ψ(A); that of the component left out comes last."""
        from scipy.special import digamma

        return digamma(self._all) - digamma(self._all.sum())

    @property
    def entropy(self) -> Estimate:
        """In nats, exact, as in the docstring of the class."""
        return exact(self._cross_entropy(self), "Dirichlet entropy")

    def _cross_entropy(self, other: "Dirichlet") -> float:
        """−E log q(X) for X of this law."""
        return _log_beta(other._all) - float((other._all - 1) @ self.mean_logs)

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        from scipy.special import softmax

        logs = np.column_stack([log_gamma_draws(float(a), n, rng) for a in self._all])
        return np.asarray(softmax(logs, axis=1))[:, :-1]

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p for each row of x; −inf outside the open simplex."""
        full = np.column_stack([x, 1 - x.sum(axis=1)])
        inside = (full > 0).all(axis=1)
        value = np.log(np.where(full > 0, full, 1.0)) @ (self._all - 1) - _log_beta(self._all)
        return np.where(inside, value, -np.inf)

    def marginal(self, indices: Sequence[int]) -> "Dirichlet":
        """The law of the coordinates at ``indices``: the weights of the others join the last one."""
        kept = np.asarray(indices)
        return Dirichlet(self.weights[kept], float(self._all.sum() - self.weights[kept].sum()))

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others, h + h − h in nats, exact.

        >>> print(f"{Dirichlet(np.ones(2), 1.0).mutual_information([0]).value:.4f}")  # 1 − log 2
        0.3069
        """
        return _information_of_blocks(self, block, "Dirichlet")

    def kl_divergence(self, other: "Dirichlet") -> Estimate:
        """D(self‖other) = log B(b)/B(a) + Σ (a_i − b_i)(ψ(a_i) − ψ(A)) in nats, exact.

        >>> print(f"{Dirichlet(np.ones(1), 1.0).kl_divergence(Dirichlet(np.ones(1), 2.0)).value:.4f}")  # 1 − log 2
        0.3069
        """
        _require_same_dim(self, other)
        difference = _log_beta(other._all) - _log_beta(self._all)
        return exact(difference + float((self._all - other._all) @ self.mean_logs), "Dirichlet KL divergence")

    def __repr__(self) -> str:
        return f"Dirichlet({', '.join(f'{a:.4g}' for a in self._all)})" if self.dim < 6 else f"Dirichlet(d={self.dim})"


@dataclass(frozen=True, eq=False)
class InvertedDirichlet:
    """(G_1, ..., G_d)/G_0 on the positive orthant of R^d, independent G_i ~ Gamma(weights_i), weights_0 = ``last`` [1].

    Density Π x_i^{a_i − 1}·(1 + Σx_i)^{−A}/B(a_0, ..., a_d) with A = Σ_{i=0}^d a_i, and
    h = log B(a) − Σ_{i=1}^d (a_i − 1)(ψ(a_i) − ψ(a_0)) + A(ψ(A) − ψ(a_0)). With weights 1 it is the multivariate
    Pareto law of the second kind (Lomax coordinates). Raises LawError unless all weights are > 0.

    References
    ----------
    [1] Tiao & Cuttman (1965). The inverted Dirichlet distribution with applications. JASA 60(311).

    >>> print(f"{InvertedDirichlet(np.ones(1), 2.0).entropy.value:.4f}")  # Lomax(2): 3/2 − log 2
    0.8069
    """

    weights: Float[np.ndarray, " d"]
    last: float

    def __post_init__(self) -> None:
        _freeze_weights(self)

    @property
    def dim(self) -> int:
        return len(self.weights)

    @property
    def _all(self) -> Float[np.ndarray, " k"]:
        return np.append(self.weights, self.last)

    @property
    def entropy(self) -> Estimate:
        """In nats, exact, as in the docstring of the class."""
        from scipy.special import digamma

        mean_logs = digamma(self.weights) - digamma(self.last)
        mean_log_sum = digamma(self._all.sum()) - digamma(self.last)  # E log(1 + ΣX)
        value = _log_beta(self._all) - (self.weights - 1) @ mean_logs + self._all.sum() * mean_log_sum
        return exact(float(value), "inverted Dirichlet entropy")

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, d)."""
        logs = np.column_stack([log_gamma_draws(float(a), n, rng) for a in self._all])
        return np.exp(logs[:, :-1] - logs[:, -1:])

    def log_density(self, x: Samples) -> Float[np.ndarray, " n"]:
        """log p for each row of x; −inf outside the open orthant."""
        inside = (x > 0).all(axis=1)
        safe = np.where(x > 0, x, 1.0)
        value = np.log(safe) @ (self.weights - 1) - self._all.sum() * np.log1p(safe.sum(axis=1))
        return np.where(inside, value - _log_beta(self._all), -np.inf)

    def marginal(self, indices: Sequence[int]) -> "InvertedDirichlet":
        """The law of the coordinates at ``indices``: the same ratios, without the others."""
        return InvertedDirichlet(self.weights[np.asarray(indices)], self.last)

    def mutual_information(self, block: Sequence[int]) -> Estimate:
        """I between the coordinates in ``block`` and the others, h + h − h in nats, exact.

        >>> print(f"{InvertedDirichlet(np.ones(2), 1.0).mutual_information([0]).value:.4f}")  # log 2 − ½
        0.1931
        """
        return _information_of_blocks(self, block, "inverted Dirichlet")

    def kl_divergence(self, other: "InvertedDirichlet") -> Estimate:
        """D(self‖other), that of the Dirichlet laws, in nats: X ↦ X/(1 + ΣX) maps one onto the other."""
        twins = (Dirichlet(law.weights, law.last) for law in (self, other))
        return next(twins).kl_divergence(next(twins))

    def __repr__(self) -> str:
        inside = ", ".join(f"{a:.4g}" for a in self._all) if self.dim < 6 else f"d={self.dim}"
        return f"InvertedDirichlet({inside})"


def _freeze_weights(law: Dirichlet | InvertedDirichlet) -> None:
    """Copy, check and freeze the weights."""
    weights = np.array(law.weights, dtype=float)
    whole = np.append(weights, law.last)
    if weights.ndim != 1 or not weights.size or not ((whole > 0) & np.isfinite(whole)).all():
        raise LawError(f"weights, last: expected a vector and a number, all finite and > 0, got {whole}")
    weights.flags.writeable = False
    object.__setattr__(law, "weights", weights)
    object.__setattr__(law, "last", float(law.last))


def _log_beta(a: Float[np.ndarray, " k"]) -> float:
    """log Π Γ(a_i)/Γ(Σ a_i)."""
    from scipy.special import gammaln

    return float(gammaln(a).sum() - gammaln(a.sum()))


def _information_of_blocks(law: Dirichlet | InvertedDirichlet, block: Sequence[int], name: str) -> Estimate:
    others = other_coordinates(block, law.dim)
    value = law.marginal(block).entropy.value + law.marginal(others).entropy.value - law.entropy.value
    return exact(value, f"{name} mutual information")


def _require_same_dim(p: Dirichlet, q: Dirichlet) -> None:
    if p.dim != q.dim:
        raise LawError(f"other: expected a law on R^{p.dim}, got one on R^{q.dim}")
