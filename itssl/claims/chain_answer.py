"""What the chain from log N to the VICReg loss found, before training and after, as numbers, text and tables."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from itssl.choices import require_known
from itssl.estimate import format_with_error, json_number
from itssl.evaluation.decomposition import Decomposition
from itssl.markup import require_pandas, table

INFORMATION = "I(Z;Z')"
_ROUNDING = 2**12 * float(np.finfo(float).eps)
"""What sums of some thousand terms may lose, relative to the result."""


class Link(NamedTuple):
    """One line of the chain. ``relation`` stands between the value before and ``value``; ``gap`` = value − that.

    Errors are those of the draws, of a gap paired; what is a closed form of the law has none. ``claims`` say why the
    relation holds: "≥" and "≤" for every law, data processing up to the H(T|X) that ``why`` bounds, "≈" where the law
    decides.
    """

    name: str
    value: float
    standard_error: float
    relation: str
    gap: float
    gap_error: float
    claims: tuple[str, ...]
    why: str


class Quantity(NamedTuple):
    """A number beside the chain, for the network before training and after."""

    name: str
    before: float
    before_error: float
    after: float
    after_error: float
    claims: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Chain:
    """The chain of one network at initialization and after training, in nats.

    Made by :func:`itssl.claims.chain.measure_chain`.
    """

    before: tuple[Link, ...]
    after: tuple[Link, ...]
    premises: tuple[Quantity, ...]
    """What the chain rests on: how good the model of the output law is."""
    consequences: tuple[Quantity, ...]
    """What is said to follow: the error of a linear probe, and its bound."""
    views_before: Decomposition
    """The same steps for augmented held-out pictures, the views of training, where I is estimated."""
    views_after: Decomposition
    prototypes: int
    dim: int
    input_std: float
    draws: int
    seed: int

    def __bool__(self) -> bool:
        raise TypeError("a Chain has no truth value; see .before and .after")

    def __getitem__(self, name: str) -> tuple[Link, Link]:
        """The links of this name before and after training. Raises UnknownNameError for another."""
        known = {a.name: (a, b) for a, b in zip(self.before, self.after, strict=True)}
        require_known("name", name, known)
        return known[name]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers say, in sentences."""
        moved = {a.name: _change(b.value - a.value) for a, b in zip(self.before, self.after, strict=True)}
        return (
            f"training changes {INFORMATION} by {moved[INFORMATION]} nats and the last line by {moved['VICReg']}",
            f"it changes the bound with the h of the law by {moved['bound, h of the law']}, with the Gaussian h by "
            f"{moved['bound, Gaussian h']}",
            f"at a tenth of σ that bound is {self.dim} log 10 = {self.dim * math.log(10):.4g} nats lower, the gap to "
            "the Gaussian h as much larger, and no information changes",
            "with augmented pictures as views the last line changes by "
            f"{_change(self.views_after['VICReg'].value - self.views_before['VICReg'].value)}; InfoNCE finds "
            f"{self.views_before['information'].value:.3g} nats before and {self.views_after['information'].value:.3g} "
            f"after, of at most log {self.prototypes} = {math.log(self.prototypes):.3g}",
            f"the bound on the error of a probe is {self.consequences[-1].before:.3g} before and "
            f"{self.consequences[-1].after:.3g} after, where 1 is the error of no probe at all",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        views = {"before": self.views_before, "after": self.views_after}
        return {
            "before": [_plain(link) for link in self.before],
            "after": [_plain(link) for link in self.after],
            "premises": [_plain(quantity) for quantity in self.premises],
            "consequences": [_plain(quantity) for quantity in self.consequences],
            "views": {when: [_plain(step) for step in found.steps] for when, found in views.items()},
            "prototypes": self.prototypes, "dim": self.dim, "input_std": self.input_std, "draws": self.draws,
            "seed": self.seed, "units": "nats", "notes": list(self.notes),
        }  # fmt: skip

    def to_pandas(self) -> Any:
        """The links as a DataFrame, those before training first. Needs pandas."""
        rows = [(when, *link) for when, links in self._both for link in links]
        return require_pandas().DataFrame(rows, columns=["when", *Link._fields])

    def __str__(self) -> str:
        lines = [("", "before", "gap", "after", "gap", "claims"), *self._cells()]
        table = _aligned(lines)
        beside = [
            (q.name, _number(q.before, q.before_error), _number(q.after, q.after_error), ", ".join(q.claims))
            for q in (*self.premises, *self.consequences)
        ]
        return "\n".join(
            [
                self.title,
                *table,
                "",
                *_aligned([("beside it", "before", "after", "claims"), *beside]),
                "",
                *(f"- {note}" for note in self.notes),
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads = ("step", "before", "gap", "after", "gap", "claims", "why")
        whys = [link.why for link in self.after]
        rows = [(*cells, why) for cells, why in zip(self._cells(), whys, strict=True)]
        return table(heads, rows, caption=self.title, notes=self.notes)

    @property
    def _both(self) -> tuple[tuple[str, tuple[Link, ...]], ...]:
        return ("before", self.before), ("after", self.after)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (f"{_signs(a, b)} {a.name}".strip(), *_amounts(a), *_amounts(b), ", ".join(b.claims))
            for a, b in zip(self.before, self.after, strict=True)
        ]

    @property
    def title(self) -> str:
        """What was measured, on which law."""
        return (
            f"From log N to VICReg (reference) before and after training, nats: {self.prototypes} held-out digits, "
            f"σ = {self.input_std:g}, K = {self.dim}, {self.draws} draws"
        )


def _change(value: float) -> str:
    """With its sign, to a hundredth; what rounds to zero has none."""
    return f"{value:+.2f}" if abs(value) >= 0.005 else "0"


def _signs(a: Link, b: Link) -> str:
    return a.relation if a.relation == b.relation else f"{a.relation}/{b.relation}"


def _amounts(link: Link) -> tuple[str, str]:
    gap = "" if math.isnan(link.gap) else _number(link.gap, link.gap_error, unit=max(1.0, abs(link.value)))
    return _number(link.value, link.standard_error), gap if gap in ("", "0") or gap[0] == "-" else f"+{gap}"


def _number(value: float, error: float, *, unit: float = 1.0) -> str:
    """value ± error; what rounding alone can cause, on the scale of ``unit``, is not shown."""
    if error > _ROUNDING * unit:
        return format_with_error(value, error)
    return "0" if abs(value) <= _ROUNDING * unit else f"{value:.5g}"


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]


def _plain(row: Any) -> dict[str, Any]:
    return {
        name: json_number(value) if isinstance(value, float) else list(value) if isinstance(value, tuple) else value
        for name, value in row._asdict().items()
    }
