"""A network whose output law is known, as ground truth for estimators, and the mapping that holds such networks."""

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType

import numpy as np
from torch import nn

from itssl.arrays import Samples, stream
from itssl.choices import UnknownNameError, require_known
from itssl.distributions.gaussian import LawError
from itssl.distributions.law import Law
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


class TruthNetworks(Mapping[str, TruthNetwork]):
    """Truth networks by name; read-only. Each is built when first asked for, a costly truth computed when first read.

    ``[name]`` raises UnknownNetworkError (a KeyError and a ValueError) with the nearest name. Printed, and in a
    notebook, it is a table that computes no costly truth.
    """

    def __init__(self, builders: Mapping[str, Mapping[str, Callable[[], TruthNetwork]]]) -> None:
        self._builders = {name: (family, build) for family, part in builders.items() for name, build in part.items()}
        if len(self._builders) != sum(len(part) for part in builders.values()):
            raise ValueError("builders: expected every name once, got one in two families")
        self._built: dict[str, TruthNetwork] = {}

    def __getitem__(self, name: str) -> TruthNetwork:
        if name not in self._builders:
            close = get_close_matches(str(name), self._builders, n=1)
            hint = f" did you mean {close[0]!r}?" if close else ""
            raise UnknownNetworkError(
                f"network: expected a name in the catalogue, got {name!r};{hint} list(truth_networks()) has all names"
            )
        if name not in self._built:
            family, build = self._builders[name]
            self._built[name] = replace(build(), name=name, family=family)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)

    def __contains__(self, name: object) -> bool:
        return name in self._builders  # without building it

    @property
    def families(self) -> tuple[str, ...]:
        """The names of the families, each once."""
        return tuple(dict.fromkeys(family for family, _ in self._builders.values()))

    def family(self, name: str) -> tuple[TruthNetwork, ...]:
        """The networks of one family; raises UnknownNameError for a family that is not on offer."""
        require_known("family", name, self.families)
        return tuple(self[key] for key, (family, _) in self._builders.items() if family == name)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        yield "name", "D", "K", "entropy (nats)", "on its surface", "information", "hard for"
        for net in self.values():
            truths = (net.known_entropy, net.known_hausdorff_entropy, net.known_information)
            yield net.name, str(net.d_in), str(net.d_out), *map(shown, truths), net.hard_for

    def __str__(self) -> str:
        rows = list(self._rows())
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"TruthNetworks({len(self)} networks: {', '.join(self.families)})"

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body]
        return f"<table>{''.join(lines)}</table>"


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
