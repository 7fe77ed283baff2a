"""A network whose output law is known, as ground truth for estimators, and the mapping that holds such networks."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from itssl.arrays import Samples, stream
from itssl.choices import UnknownNameError
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law
from itssl.distributions.named_families import Catalogue
from itssl.distributions.tasks import LazyTruth, Task
from itssl.estimate import Estimate
from itssl.networks.encoders import as_double, embed


class UnknownNetworkError(UnknownNameError, KeyError):
    """A network that is not in the catalogue: a KeyError too, so ``in`` and ``get`` work as for every mapping."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message in quotes


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TruthNetwork:
    r"""Z = f(X) + N(0, noise_std² I) for a law of X and a network f, with what is known of Z in nats.

    ``network`` is kept as a float64 copy in evaluation mode, its weights without gradients: leave it as it is.
    ``law`` is that of X; with a ``task`` it is the law of its X, and Y is the partner of Z. ``known_entropy``,
    ``known_hausdorff_entropy`` and ``known_information`` hold the truths, lazily where they cost something; read them
    as ``entropy``, ``hausdorff_entropy`` and ``mutual_information``. ``dimensions`` gives the probability that Z lies
    in a part of each dimension: where one below K has mass, the differential entropy is −∞. ``hard_for`` says in one
    phrase what makes the network a test.
    """

    hard_for: str
    law: Law
    network: nn.Module
    known_entropy: Estimate | LazyTruth
    known_information: Estimate | LazyTruth | None = None
    known_hausdorff_entropy: Estimate | LazyTruth | None = None
    task: Task | None = None
    noise_std: float = 0.0
    dimensions: Mapping[int, float] = field(default_factory=dict)
    name: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", as_double(self.network).requires_grad_(False))
        dimensions = dict(self.dimensions) or {self.d_out: 1.0}
        object.__setattr__(self, "dimensions", MappingProxyType(dimensions))

    @property
    def d_in(self) -> int:
        """D, the dimension of X."""
        return self.law.dim

    @cached_property
    def d_out(self) -> int:
        """K, the dimension of Z."""
        return embed(self.network, self.law.sample(1, stream(0, "shape"))).shape[1]

    @property
    def entropy(self) -> Estimate:
        """Differential entropy h(Z) in R^K: exact or with its error; −∞, and why, where Z has no density."""
        return _read(self.known_entropy)

    @property
    def hausdorff_entropy(self) -> Estimate | None:
        """For Z on a D-dimensional piece of R^K, D < K: −E log p relative to D-dimensional volume. None elsewhere."""
        return None if self.known_hausdorff_entropy is None else _read(self.known_hausdorff_entropy)

    @property
    def mutual_information(self) -> Estimate | None:
        """I(Z; Y) for the Y of the task, I(Z; X) with output noise and no task; None where neither is given."""
        return None if self.known_information is None else _read(self.known_information)

    @property
    def partner(self) -> str | None:
        """What ``mutual_information`` is with: "Y" of the task, "X" the input, or None."""
        if self.known_information is None:
            return None
        return "X" if self.task is None else "Y"

    def sample(self, n: int, rng: np.random.Generator) -> Samples:
        """n independent draws of Z, shape (n, K)."""
        return self._output(self.law.sample(n, rng), rng)

    def sample_task(self, n: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """n independent pairs (z, y), y the partner of Z: shapes (n, K) and (n, d_y).

        Raises LawError where no information is known.
        """
        if self.known_information is None:
            raise LawError(f"{self.name}: expected a network whose information is known, got one without; use sample()")
        x, y = self.task.sample(n, rng) if self.task is not None else (self.law.sample(n, rng),) * 2
        return self._output(x, rng), y

    def _output(self, x: Samples, rng: np.random.Generator) -> Samples:
        z = embed(self.network, x)
        return z + self.noise_std * rng.standard_normal(z.shape) if self.noise_std else z

    def __repr__(self) -> str:
        known = f"h {shown(self.known_entropy)}"
        if self.known_hausdorff_entropy is not None:
            known += f", of dimension {self.d_in} {shown(self.known_hausdorff_entropy)}"
        if self.known_information is not None:
            known += f", I(Z; {self.partner}) {shown(self.known_information)}"
        return f"TruthNetwork({self.name!r}, {self.d_in} → {self.d_out}: {known})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}; hard for {html.escape(self.hard_for)}</p>"


if TYPE_CHECKING:
    TruthNetworks = Catalogue[TruthNetwork]
else:
    TruthNetworks = Catalogue  # a run-time check of the kind of its members would build one


def truth_catalogue(builders: Mapping[str, Mapping[str, Callable[[], TruthNetwork]]]) -> TruthNetworks:
    """Truth networks by family and name; the table computes no costly truth.

    >>> truth_catalogue({})
    Catalogue(0 networks: )
    """
    return Catalogue(
        builders,
        noun="network",
        listing="truth_networks()",
        error=UnknownNetworkError,
        finish=lambda net, name, family: replace(net, name=name, family=family),
        columns={
            "name": lambda net: net.name,
            "D": lambda net: str(net.d_in),
            "K": lambda net: str(net.d_out),
            "entropy (nats)": lambda net: shown(net.known_entropy),
            "on its surface": lambda net: shown(net.known_hausdorff_entropy),
            "information": lambda net: shown(net.known_information),
            "hard for": lambda net: net.hard_for,
        },
    )


def shown(truth: Estimate | LazyTruth | None) -> str:
    """A truth as a number, or how it is known where computing it costs something, or nothing.

    >>> shown(None), shown(LazyTruth(lambda: 1 / 0, "Monte Carlo"))
    ('', 'by Monte Carlo')
    """
    if truth is None:
        return ""
    return f"by {truth.route}" if isinstance(truth, LazyTruth) else f"{truth.value:.6g}"


def _read(truth: Estimate | LazyTruth) -> Estimate:
    return truth.value if isinstance(truth, LazyTruth) else truth
