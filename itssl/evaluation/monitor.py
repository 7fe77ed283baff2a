"""Entropy, information and effective rank of activations, watched while somebody else's loop trains the network."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from itssl.arrays import SampleError, Samples, is_torch, on_host, stream
from itssl.choices import require_count, require_known
from itssl.estimate import Estimate, format_with_error
from itssl.estimators.gaussian_plugin import GaussianPlugin
from itssl.estimators.mixed_neighbors import Ross
from itssl.evaluation.spectrum import exponential_entropy
from itssl.kernels.linalg import covariance
from itssl.markup import require_pandas, table
from itssl.networks.encoders import NetworkError

WHOLE = "(network)"
"""What readings call the network itself."""


class Reading(NamedTuple):
    """What was measured of a layer from one step on. Informations and entropies in nats; nan where not measured.

    ``entropy`` is ½ log((2πe)^d |C|) less its bias, the most that the covariance C allows, and −inf where a column is
    constant; ``effective_rank`` is that of C, ``std`` the root of the columns' mean variance. ``views_information`` is
    Gaussian, from canonical correlations; ``label_information`` is Ross's. ``note`` says what could not be measured.
    """

    step: int
    layer: str
    n: int
    d: int
    entropy: float
    entropy_error: float
    effective_rank: float
    std: float
    views_information: float
    views_information_error: float
    label_information: float
    label_information_error: float
    note: str


_NUMBERS = Reading._fields[4:-1]


class ActivationMonitor:
    """Measures activations of named layers every few steps of any training loop; attached by ``with``.

    Only passes in training mode are counted. What the network computes, its gradients, torch's random numbers and the
    layers themselves stay as they are; on leaving, the hooks are gone. A reading takes rows from consecutive
    steps until it has ``rows`` of them, while the weights move by those few steps; its ``step`` is the first of them.

    Parameters
    ----------
    network: the module that is trained.
    layers: names as in ``network.named_modules()``, one or several; None watches what the network itself returns.
    every: steps between readings.
    rows: rows of a reading. Entropy needs more than the d columns, information between views more than 2d.
    views: passes of a layer that make one step: 2 where two views of the same inputs go through one after the
        other; then the information between them is measured, and all else is of the first.
    reduce: the output of a layer to a tensor (n, d), e.g. ``lambda z: z.mean(dim=(2, 3))``; None flattens.
    measures: more to measure, name to function of the (n, d) float64 array of the first view, returning a number or an
        Estimate, whose value is recorded.
    seed: names the choice of rows where a batch has more than are wanted.

    Raises
    ------
    UnknownNameError: a layer that the network does not have.
    NetworkError, in the forward pass: an output that is no tensor of at least two dimensions, whole after ``reduce``.
    SampleError, in the forward pass: labels that do not fit the rows.
    ParameterError: every, rows or views below 1, 2 and 1; views above 2.

    >>> network = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    >>> with ActivationMonitor(network, "0", every=2, rows=10) as watch:
    ...     for _ in range(4):
    ...         _ = network(torch.randn(10, 3))
    >>> [(reading.step, reading.layer, reading.n, reading.d) for reading in watch.readings]
    [(0, '0', 10, 2), (2, '0', 10, 2)]
    """

    def __init__(
        self,
        network: nn.Module,
        layers: str | Sequence[str] | None = None,
        *,
        every: int = 100,
        rows: int = 1000,
        views: int = 1,
        reduce: Callable[[Any], Tensor] | None = None,
        measures: Mapping[str, Callable[[Samples], Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self.network = network
        self.every, self.rows = require_count("every", every), require_count("rows", rows, minimum=2)
        require_known("views", views, (1, 2))
        self.views, self.measures = views, dict(measures or {})
        known = dict(network.named_modules())
        named = [layers] if isinstance(layers, str) else layers
        for name in named or ():
            require_known("layer", name, known)
        watched = {name: known[name] for name in named} if named else {WHOLE: network}
        self._layers = {name: _Layer(name, module, self, reduce, seed) for name, module in watched.items()}
        self._rows: list[tuple[Reading, dict[str, float]]] = []
        self._labels: Any = None
        self._hooks: list[Any] = []

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What was measured so far, in the order in which it was complete."""
        return tuple(reading for reading, _ in self._rows)

    def labels(self, labels: Any) -> None:
        """Class labels of the rows of the passes that follow, until others are given; None for passes without."""
        self._labels = labels

    def attach(self) -> "ActivationMonitor":
        """Watch from here on; what is watched already stays so. Returns the monitor."""
        if not self._hooks:
            self._hooks = [layer.module.register_forward_hook(layer.see) for layer in self._layers.values()]
        return self

    def detach(self) -> None:
        """Remove the hooks; a reading whose rows are not complete is made of those that are there."""
        while self._hooks:
            self._hooks.pop().remove()
        for layer in self._layers.values():
            layer.finish()

    def __enter__(self) -> "ActivationMonitor":
        return self.attach()

    def __exit__(self, *_: object) -> None:
        self.detach()

    def record(self) -> list[dict[str, Any]]:
        """The readings as dictionaries, with the values of ``measures`` beside the rest."""
        return [reading._asdict() | more for reading, more in self._rows]

    def to_pandas(self) -> Any:
        """The readings as a DataFrame, one row each. ImportError without pandas."""
        return require_pandas().DataFrame(self.record(), columns=[*Reading._fields, *self.measures])

    def __str__(self) -> str:
        heads, *rows = self._table()
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in (heads, *rows)]
        return "\n".join([self._title(), *(lines if rows else ()), *(f"- {note}" for note in self._notes())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads, *rows = self._table()
        return table(heads, rows, caption=self._title(), notes=self._notes())

    def _title(self) -> str:
        names = ", ".join(self._layers)
        return f"{names}: {len(self._rows)} readings, one every {self.every} steps (nats)"

    def _notes(self) -> list[str]:
        if not self._rows:
            return ["nothing was measured: no pass of these layers in training mode"]
        return list(dict.fromkeys(f"{r.layer}: {r.note}" for r in self.readings if r.note))

    def _table(self) -> list[list[str]]:
        """Heads and cells; columns of information only where there is any."""
        pairs = [("≤ entropy", "entropy"), ("I(views)", "views_information"), ("I(labels)", "label_information")]
        pairs = [p for p in pairs if p[1] == "entropy" or any(math.isfinite(getattr(r, p[1])) for r in self.readings)]
        heads = ["step", "layer", "n", "d", *(head for head, _ in pairs), "effective rank", "std", *self.measures]
        return [heads] + [
            [str(r.step), r.layer, str(r.n), str(r.d)]
            + [format_with_error(getattr(r, name), getattr(r, f"{name}_error")) for _, name in pairs]
            + [f"{v:.4g}" for v in (r.effective_rank, r.std, *more.values())]
            for r, more in self._rows
        ]


class _Layer:
    """One watched layer: its count of passes and the rows that wait for their reading."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        monitor: ActivationMonitor,
        reduce: Callable[[Any], Tensor] | None,
        seed: int,
    ) -> None:
        self.name, self.module, self.monitor, self.reduce = name, module, monitor, reduce
        self.rng = stream(seed, "activations", name)
        self.passes = 0
        self.first: int | None = None  # the step at which the present reading began
        self.size, self.chosen = 0, np.arange(0)
        self.parts: list[list[Samples]] = [[] for _ in range(monitor.views)]
        self.labels: list[Any] = []

    @property
    def see(self) -> Callable[[nn.Module, Any, Any], None]:
        """The hook. A copy of the network keeps the hooks of its modules: what is no longer this module is let pass."""

        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if module is self.module and module.training:
                self._pass(output)

        return hook

    def _pass(self, output: Any) -> None:
        step, view = divmod(self.passes, self.monitor.views)
        self.passes += 1
        if view == 0 and self.first is None and step % self.monitor.every == 0:
            self.first = step
        if self.first is None:
            return
        z = self._flat(output)
        if view == 0:
            wanted = self.monitor.rows - sum(map(len, self.parts[0]))
            self.size = len(z)
            self.chosen = np.arange(len(z)) if len(z) <= wanted else np.sort(self.rng.permutation(len(z))[:wanted])
            if self.monitor._labels is not None:
                self.labels.append(_labels(self.monitor._labels, len(z), self.chosen))
        elif len(z) != self.size:
            raise NetworkError(
                f"{self.name}: expected two views of equally many rows one after the other, got {self.size} and "
                f"{len(z)} rows; pass views=1"
            )
        # a copy, for the next layer may work in place
        self.parts[view].append(on_host(z[torch.as_tensor(self.chosen, device=z.device)]).astype(np.float64))
        if view == self.monitor.views - 1 and sum(map(len, self.parts[0])) >= self.monitor.rows:
            self.finish()

    def _flat(self, output: Any) -> Tensor:
        z = output if self.reduce is None else self.reduce(output)
        if not isinstance(z, Tensor) or z.ndim < 2 or not len(z):
            got = f"shape {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise NetworkError(
                f"{self.name}: expected a tensor with one row an input, got {got}; pass reduce, e.g. lambda out: out[0]"
            )
        return z.detach().flatten(1)

    def finish(self) -> None:
        """Measure the rows that are there and begin anew; fewer than two are dropped."""
        parts = [np.concatenate(part) for part in self.parts if part]
        first, labels = self.first, self.labels
        self.first, self.parts, self.labels = None, [[] for _ in self.parts], []
        if first is None or not parts or len(parts[0]) < 2:
            return
        complete = len(parts) == self.monitor.views and len({len(z) for z in parts}) == 1
        codes = np.concatenate(labels) if sum(map(len, labels)) == len(parts[0]) else None
        numbers, note = _measure(parts if complete else parts[:1], codes)
        z = parts[0]
        more = {name: _number(measure(z)) for name, measure in self.monitor.measures.items()}
        reading = Reading(first, self.name, len(z), z.shape[1], **numbers, note=note)
        self.monitor._rows.append((reading, more))


def _measure(views: list[Samples], labels: Any) -> tuple[dict[str, float], str]:
    """The numbers of a reading by name, and what could not be measured."""
    z, notes = views[0], []
    n, d = z.shape
    if not all(np.isfinite(view).all() for view in views):
        return dict.fromkeys(_NUMBERS, math.nan), "activations that are not finite"
    values = np.maximum(np.linalg.eigvalsh(covariance(z)), 0)
    total = float(values.sum())
    rank = exponential_entropy(values / total) if total > 0 else 0.0
    constant = int((np.ptp(z, axis=0) == 0).sum())
    entropy = -math.inf, math.nan
    if constant:
        notes.append(f"{constant} of {d} columns are constant")
    else:
        why = f"entropy: {n} rows, {d} columns; raise rows"
        entropy = _value(lambda: GaussianPlugin().entropy(z), why, notes, n > d)
    between = within = (math.nan, math.nan)
    if len(views) == 2:
        enough = n > 2 * d
        why = f"information between views: {n} rows, 2 · {d} columns; raise rows"
        between = _value(lambda: GaussianPlugin().mutual_information(*views), why, notes, enough)
    if labels is not None:
        within = _value(lambda: Ross().mutual_information(z, labels), "information with labels", notes)
    numbers = (*entropy, rank, math.sqrt(total / d), *between, *within)
    return dict(zip(_NUMBERS, numbers, strict=True)), "; ".join(notes)


def _value(measure: Callable[[], Estimate], what: str, notes: list[str], possible: bool = True) -> tuple[float, float]:
    """Value and error, or nan and a note: training goes on where a number cannot be had."""
    if not possible:
        notes.append(what)
        return math.nan, math.nan
    try:
        found = measure()
    except SampleError as error:
        notes.append(f"{what}: {error}")
        return math.nan, math.nan
    return found.value, found.standard_error


def _labels(labels: Any, n: int, rows: Any) -> Any:
    plain = (on_host(labels) if is_torch(labels) else np.asarray(labels)).reshape(-1)
    if len(plain) != n:
        raise SampleError(f"labels: expected {n} labels, one for each row, got {len(plain)}; give those of each batch")
    return plain[rows]


def _number(found: Any) -> float:
    return found.value if isinstance(found, Estimate) else float(found)
