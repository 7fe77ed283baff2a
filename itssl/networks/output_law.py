r"""The law of a network's output, known exactly by its regions: density, entropy, information about the input.

With the density $p_Z$ of :mod:`itssl.networks.output_density`:

- K = 1: $h(Z) = -\int p_Z \log p_Z$ by Gauss's rule between the images of the corners, where $p_Z$ is not smooth;
- K ≥ D: $h(Z) = h(X) + E \log\sqrt{\det A^\top A} - H(\text{branch} \mid Z)$. The branch is the cell that X is
  in; given Z = z its probabilities are the contributions to $p_Z(z)$. The second term is a sum over cells for D ≤ 2;
  only the last one is sampled;
- else $h(Z) = -E \log p_Z(Z)$ is sampled.

Where a cell loses rank, part of the law is singular and h = −∞.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp
from torch import nn

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, stream
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.estimate import Bias, Estimate
from itssl.networks.cells import Cell, cells
from itssl.networks.encoders import as_double, embed
from itssl.networks.output_density import Source, cell_probabilities, contributions, rank, singular_values

_REACH = 9.0  # deviations that the box reaches; N(0, 1) has mass 2e-19 beyond
_CHUNK = 2**11
_NODES = (4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OutputLaw:
    """The law of f(X) + N(0, noise_var·I). Made by :func:`output_law`; ``regions`` are those of f within reach of X.

    ``log_density`` is relative to Lebesgue measure for K ≤ D or with noise, else to D-dimensional volume.
    """

    source: Law
    network: nn.Module
    regions: tuple[Cell, ...]
    noise_var: float
    draws: int
    seed: int

    @property
    def dim(self) -> int:
        return self.regions[0].matrix.shape[0]

    @cached_property
    def probabilities(self) -> Float[np.ndarray, " c"]:
        """P(X in each region), exact up to rounding. Raises LawError for three inputs: no closed form is known."""
        if self.source.dim > 2:
            raise LawError(f"law: expected at most 2 inputs, got {self.source.dim}; no closed form is known")
        return cell_probabilities(self.regions, Source.of(self.source))

    @cached_property
    def mean_log_volume(self) -> float:
        """E log √det AᵀA (K ≥ D) or √det AAᵀ (K < D) for at most two inputs, a sum over regions."""
        return float(self.probabilities @ self._log_volumes)

    @cached_property
    def _log_volumes(self) -> Float[np.ndarray, " c"]:
        with np.errstate(divide="ignore"):
            return np.log(singular_values(np.stack([cell.matrix for cell in self.regions]))).sum(axis=1)

    @cached_property
    def singular(self) -> tuple[Cell, ...]:
        """Regions where f loses rank; if there are any, the law of f(X) has a part without density."""
        return tuple(cell for cell in self.regions if rank(cell) < min(cell.matrix.shape))

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, K)."""
        z = embed(self.network, self.source.sample(n, rng))
        return z + np.sqrt(self.noise_var) * rng.standard_normal(z.shape) if self.noise_var > 0 else z

    def log_density(self, z: SamplesLike) -> Float[np.ndarray, " n"]:
        """log density at the rows of z, −∞ outside the image. Raises LawError where there is none."""
        return log_density_from(self, Source.of(self.source), self._admit(z))

    def branch_entropy(self, z: SamplesLike) -> Float[np.ndarray, " n"]:
        """H(region of X | Z = z) at the rows of z, in nats; 0 where one region alone has that image."""
        require_density(self)
        z = self._admit(z)
        found = []
        for part in np.array_split(z, range(_CHUNK, len(z), _CHUNK)):
            logs = contributions(self.regions, Source.of(self.source), part)
            share = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
            found.append(-(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1))
        return np.concatenate(found)

    @cached_property
    def entropy(self) -> Estimate:
        """h in nats; see the top of this file. Sampled terms use ``draws`` draws of a fixed stream."""
        k, d = self.regions[0].matrix.shape
        if self.noise_var == 0 and self.singular:
            where = f" on probability {self._singular_probability():.2g}" if d <= 2 else ""
            return exact(-np.inf, f"the network loses rank{where}: singular part")
        if k == 1:
            return self._entropy_by_quadrature()
        if self.noise_var > 0 or k < d:
            return self._sampled(lambda z: -self.log_density(z), "−E log p(Z), p by regions")
        return self._entropy_by_branches()

    def _admit(self, z: SamplesLike) -> Samples:
        rows = as_samples(z, name="z", minimum=1)
        if rows.shape[1] != self.dim:
            raise SampleError(f"z: expected {self.dim} columns as the network has outputs, got {rows.shape[1]}")
        return rows

    def __str__(self) -> str:
        noise = f" + N(0, {self.noise_var:g}·I)" if self.noise_var > 0 else ""
        singular = f", {len(self.singular)} of them singular" if self.singular else ""
        return f"law of f(X){noise} on R^{self.dim}, {self.source.dim} inputs, {len(self.regions)} regions{singular}"

    def __repr__(self) -> str:
        return f"OutputLaw({self})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"

    def _singular_probability(self) -> float:
        lost = np.array([rank(cell) < min(cell.matrix.shape) for cell in self.regions])
        return float(self.probabilities[lost].sum())

    def _sampled(self, integrand: Callable[[Samples], np.ndarray], method: str) -> Estimate:
        rng = stream(self.seed, "entropy of a network's output")
        return monte_carlo(lambda n, r: integrand(self.sample(n, r)), rng, n=self.draws, chunk=_CHUNK, method=method)

    def _entropy_by_branches(self) -> Estimate:
        k, d = self.regions[0].matrix.shape
        branch = self._sampled(self.branch_entropy, "")
        name = "log|det A|" if k == d else "½ log det AᵀA"
        method = f"h(X) + E {name} − H(branch | Z), by {len(self.regions)} regions"
        if k > d:
            method += f", relative to {d}-dimensional volume in R^{k}"
        error = branch.standard_error
        if branch.value == error == 0:  # folds of probability below 1/n may have been missed
            error = np.log(len(self.regions)) / branch.n
        value = self.source.entropy.value - branch.value
        if d <= 2:
            value += self.mean_log_volume
        else:
            x = self.source.sample(self.draws, stream(self.seed, "volumes"))
            volume = _volumes_at(self.regions, self._log_volumes, x)
            value += float(volume.mean())
            error = float(np.hypot(error, volume.std(ddof=1) / np.sqrt(len(x))))
        return Estimate(
            value=value, standard_error=float(np.hypot(error, self.source.entropy.standard_error)), n=branch.n,
            bias=Bias.UNBIASED, method=method, diagnostics={"branch_entropy_nats": branch.value},
        )  # fmt: skip

    def _entropy_by_quadrature(self) -> Estimate:
        """Gauss–Legendre, doubled until two sums agree; the error is their difference, plus what the mass is off 1."""
        cuts = self._cuts()
        last = np.inf
        value = difference = mass = np.nan
        nodes = 0
        for nodes in _NODES:
            place, weight = np.polynomial.legendre.leggauss(nodes)
            half = np.diff(cuts) / 2
            z = ((cuts[:-1] + half)[:, None] + half[:, None] * place).reshape(-1, 1)
            log_p = self.log_density(z)
            measure = (half[:, None] * weight).ravel() * np.exp(log_p)
            value = -float(measure @ np.where(np.isfinite(log_p), log_p, 0.0))
            mass, difference, last = float(measure.sum()), abs(value - last), value
            if difference <= 1e-12 * max(1.0, abs(value)):
                break
        return Estimate(
            value=value, standard_error=difference + abs(mass - 1), n=(len(cuts) - 1) * nodes, bias=Bias.UNBIASED,
            method=f"quadrature of the density by {len(self.regions)} regions", diagnostics={"mass": mass},
        )  # fmt: skip

    def _cuts(self) -> Float[np.ndarray, " q"]:
        """Images of the corners, with at most a deviation of the output between two; noise rounds the corners off."""
        images = np.concatenate([(cell.corners @ cell.matrix.T + cell.shift)[:, 0] for cell in self.regions])
        low, high = images.min(), images.max()
        margin = _REACH * np.sqrt(self.noise_var)
        deviation = float(np.sqrt(self.sample(2**10, stream(self.seed, "deviation")).var()))
        step = min(deviation, np.sqrt(self.noise_var)) if self.noise_var > 0 else deviation
        grid = np.linspace(low - margin, high + margin, 2 + int(np.ceil((high - low + 2 * margin) / step)))
        return grid if self.noise_var > 0 else np.unique(np.concatenate([images, grid]))


def output_law(
    law: Law,
    network: nn.Module,
    *,
    noise_var: float = 0.0,
    most: int = 20_000,
    draws: int = 2**14,
    seed: int = 0,
) -> OutputLaw:
    """The exact law of f(X) + N(0, noise_var·I), by enumerating the regions of f within 9 deviations of X.

    Parameters
    ----------
    law: of X, on at most 3 inputs (2 with noise).
    network: piecewise affine, (n, D) to (n, K).
    noise_var: variance of independent Gaussian noise added to the output.
    most: more regions than that are refused.
    draws, seed: number and stream of the draws where an expectation is sampled.

    Raises
    ------
    LawError: a law that is neither Gaussian nor a mixture of Gaussians, or a bad noise_var.
    ParameterError: more than 3 inputs, or more than ``most`` regions.
    NetworkError: a network that is not piecewise affine or takes another dimension.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> z = output_law(Gaussian.standard(2), mlp((2, 8, 1), seed=0))
    >>> z, f"{z.probabilities.sum():.12f}", f"{z.entropy.value:.4f}"
    (OutputLaw(law of f(X) on R^1, 2 inputs, 35 regions), '1.000000000000', '0.5327')
    """
    if not 0 <= noise_var < np.inf:
        raise LawError(f"noise_var: expected a finite variance >= 0, got {noise_var}")
    source = Source.of(law)
    deviations = _REACH * np.sqrt(np.diagonal(source.covs, axis1=1, axis2=2))
    low, high = (source.means[0] - deviations).min(axis=0), (source.means[0] + deviations).max(axis=0)
    return OutputLaw(
        source=law, network=as_double(network), regions=cells(network, low, high, most=most),
        noise_var=float(noise_var), draws=draws, seed=seed,
    )  # fmt: skip


def log_density_from(law: OutputLaw, source: Source, z: Samples) -> Float[np.ndarray, " n"]:
    """log density at the rows of z of the output of inputs from ``source``, in chunks of rows.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> z = output_law(Gaussian.standard(1), mlp((1, 1), seed=0))
    >>> at = np.zeros((1, 1))
    >>> bool((log_density_from(z, Source.of(Gaussian.standard(1)), at) == z.log_density(at)).all())
    True
    """
    require_density(law)
    found = []
    for start in range(0, len(z), _CHUNK):
        rows = np.zeros(len(z), dtype=bool)
        rows[start : start + _CHUNK] = True
        part = contributions(law.regions, source.rows(rows), z[rows], noise_var=law.noise_var)
        found.append(np.asarray(logsumexp(part, axis=1)))
    return np.concatenate(found)


def require_density(law: OutputLaw) -> None:
    """Raise LawError where part of the law of f(X) is singular and no noise is added.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> require_density(output_law(Gaussian.standard(1), mlp((1, 1), seed=0)))
    """
    if law.noise_var == 0 and law.singular:
        cell = law.singular[0]
        raise LawError(
            f"network: expected full rank in every region, got rank {rank(cell)} in {len(law.singular)} of "
            f"{len(law.regions)}; the output has no density, state output noise by noise_var"
        )


def _volumes_at(regions: tuple[Cell, ...], volumes: Float[np.ndarray, " c"], x: Samples) -> Float[np.ndarray, " n"]:
    found = np.full(len(x), np.nan)
    for cell, volume in zip(regions, volumes, strict=True):
        found[cell.contains(x)] = volume
    return found[np.isfinite(found)]
