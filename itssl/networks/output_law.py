r"""The law of a network's output, known exactly by its regions: density, entropy, information about the input.

With the density $p_Z$ of :mod:`itssl.networks.output_density`:

- K = 1: $h(Z) = -\int p_Z \log p_Z$ by Gauss's rule between the images of the corners, where $p_Z$ is not smooth;
- K ≥ D: $h(Z) = h(X) + E \log\sqrt{\det A^\top A} - H(\text{branch} \mid Z)$. The branch is the cell that X is
  in; given Z = z its probabilities are the contributions to $p_Z(z)$. The second term is a sum over cells for D ≤ 2;
  only the last one is sampled;
- else $h(Z) = -E \log p_Z(Z)$ is sampled.

Where a cell loses rank, part of the law is singular and h = −∞. Inputs more than 9 deviations off (mass 1e-18) are
left out: there a density is −∞ too, and a cell that loses rank is not seen.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import nn

from itssl.arrays import SampleError, Samples, SamplesLike, as_samples, stream
from itssl.choices import require_count
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law, exact, monte_carlo
from itssl.estimate import Bias, Estimate
from itssl.networks.cells import Cell, cells
from itssl.networks.encoders import as_double, embed
from itssl.networks.gaussian_source import REACH, Source, meets
from itssl.networks.line_entropy import cuts_around, entropy_between
from itssl.networks.output_density import Piece, Sum, summed
from itssl.networks.volumes import log_volume_change

_CHUNK = 2**14


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
        source = Source.of(self.source)
        return np.exp([source.log_cell_probability(cell) for cell in self.regions])

    @cached_property
    def log_volumes(self) -> Float[np.ndarray, " c"]:
        """log √det AᵀA (K ≥ D) or log √det AAᵀ (K < D) in each region; −∞ where f loses rank."""
        return log_volume_change(self.network, np.stack([cell.corners.mean(axis=0) for cell in self.regions]))

    @property
    def mean_log_volume(self) -> float:
        """The expectation of ``log_volumes`` for at most two inputs, a sum over regions."""
        likely = self.probabilities > 0
        return float(self.probabilities[likely] @ self.log_volumes[likely])

    @property
    def singular(self) -> Bool[np.ndarray, " c"]:
        """Regions where f loses rank; if there are any, the law of f(X) has a part without density."""
        return np.isneginf(self.log_volumes)

    @cached_property
    def _pieces(self) -> list[Piece]:
        return [Piece.of(cell, float(volume)) for cell, volume in zip(self.regions, self.log_volumes, strict=True)]

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws, shape (n, K)."""
        z = embed(self.network, self.source.sample(n, rng))
        return z + np.sqrt(self.noise_var) * rng.standard_normal(z.shape) if self.noise_var > 0 else z

    def log_density(self, z: SamplesLike) -> Float[np.ndarray, " n"]:
        """log density at the rows of z, −∞ outside the image. Raises LawError where there is none."""
        return np.concatenate([part.log_density for part in self._sums(Source.of(self.source), z)])

    def log_density_given(self, source: Source, z: SamplesLike) -> Float[np.ndarray, " n"]:
        """The same for inputs from another source, which may be another one for each row of z."""
        return np.concatenate([part.log_density for part in self._sums(source, z)])

    def branch_entropy(self, z: SamplesLike) -> Float[np.ndarray, " n"]:
        """H(region of X | Z = z) at the rows of z, in nats; 0 where one region alone has that image, nan where none."""
        return np.concatenate([part.branch_entropy for part in self._sums(Source.of(self.source), z)])

    def _sums(self, source: Source, z: SamplesLike) -> list[Sum]:
        if self.noise_var == 0 and self.singular.any():
            raise LawError(
                f"network: expected full rank in every region, got less in {self.singular.sum()} of "
                f"{len(self.regions)}; the output has no density, state output noise by noise_var"
            )
        rows = as_samples(z, name="z", minimum=1)
        if rows.shape[1] != self.dim:
            raise SampleError(f"z: expected {self.dim} columns as the network has outputs, got {rows.shape[1]}")
        parts = [slice(start, start + _CHUNK) for start in range(0, len(rows), _CHUNK)]
        return [summed(self._pieces, source.part(part), rows[part], noise_var=self.noise_var) for part in parts]

    @cached_property
    def entropy(self) -> Estimate:
        """h in nats; see the top of this file. Sampled terms use ``draws`` draws of a fixed stream."""
        k, d = self.regions[0].matrix.shape
        if self.noise_var == 0 and self.singular.any():
            where = f" on probability {self.probabilities[self.singular].sum():.2g}" if d <= 2 else ""
            return exact(-np.inf, f"the network loses rank{where}: singular part")
        if k == 1:
            method = f"quadrature of the density by {len(self.regions)} regions"
            return entropy_between(self._cuts(), self.log_density, method)
        if self.noise_var > 0 or k < d:
            return self._sampled(lambda z: -self.log_density(z), f"−E log p(Z) by {len(self.regions)} regions")
        return self._entropy_by_branches()

    def __str__(self) -> str:
        noise = f" + N(0, {self.noise_var:g}·I)" if self.noise_var > 0 else ""
        singular = f", {self.singular.sum()} of them singular" if self.singular.any() else ""
        return f"law of f(X){noise} on R^{self.dim}, {self.source.dim} inputs, {len(self.regions)} regions{singular}"

    def __repr__(self) -> str:
        return f"OutputLaw({self})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"

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
        # Folds of probability below 1/n may have been missed, and are worth at most log of the number of regions.
        error = max(branch.standard_error, np.log(len(self.regions)) / branch.n)
        value = self.source.entropy.value - branch.value
        if d <= 2:
            value += self.mean_log_volume
        else:
            volume = log_volume_change(self.network, self.source.sample(self.draws, stream(self.seed, "volumes")))
            value += float(volume.mean())
            error = float(np.hypot(error, volume.std(ddof=1) / np.sqrt(len(volume))))
        return Estimate(
            value=value, standard_error=float(np.hypot(error, self.source.entropy.standard_error)), n=branch.n,
            bias=Bias.UNBIASED, method=method, diagnostics={"branch_entropy_nats": branch.value},
        )  # fmt: skip

    def _cuts(self) -> Float[np.ndarray, " q"]:
        """Images of the corners, and around the image of each narrow Gaussian in each cell that it meets."""
        source = Source.of(self.source)
        ends = np.concatenate([(cell.corners @ cell.matrix.T + cell.shift)[:, 0] for cell in self.regions])
        centers, deviations = [], []
        for mean, cov in zip(source.means[0], source.covs, strict=True):
            for cell in self.regions:
                if meets(cell, mean[None], np.linalg.cholesky(cov))[0]:
                    centers.append(float(cell.matrix[0] @ mean + cell.shift[0]))
                    deviations.append(float(np.sqrt(cell.matrix[0] @ cov @ cell.matrix[0] + self.noise_var)))
        return cuts_around(ends, np.array(centers), np.array(deviations), float(np.sqrt(self.noise_var)))


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
    ParameterError: more than 3 inputs, more than ``most`` regions, or draws is no count of at least 2.
    NetworkError: a network that is not piecewise affine or takes another dimension.

    >>> from itssl.distributions.gaussian import Gaussian
    >>> from itssl.networks.encoders import mlp
    >>> z = output_law(Gaussian.standard(2), mlp((2, 8, 1), seed=0))
    >>> z, f"{z.probabilities.sum():.12f}", f"{z.entropy.value:.4f}"
    (OutputLaw(law of f(X) on R^1, 2 inputs, 35 regions), '1.000000000000', '0.5327')
    """
    noise_var, draws = require_noise(noise_var), require_count("draws", draws, minimum=2)
    source = Source.of(law)
    deviations = REACH * np.sqrt(np.diagonal(source.covs, axis1=1, axis2=2))
    low, high = (source.means[0] - deviations).min(axis=0), (source.means[0] + deviations).max(axis=0)
    return OutputLaw(
        source=law, network=as_double(network), regions=cells(network, low, high, most=most),
        noise_var=noise_var, draws=draws, seed=seed,
    )  # fmt: skip


def require_noise(noise_var: Any) -> float:
    """The variance of added noise as a float; LawError unless it is a finite number >= 0.

    >>> require_noise(0)
    0.0
    """
    value = float(noise_var) if isinstance(noise_var, int | float | np.number) else -1.0
    if not 0 <= value < np.inf:
        raise LawError(f"noise_var: expected a finite variance >= 0, got {noise_var!r}")
    return value
