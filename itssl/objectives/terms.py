"""What every objective returns: named terms to be minimized, with their units, and the bound they form, if any."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from itssl.arrays import on_host
from itssl.choices import ParameterError, require_known
from itssl.estimate import Bias, Reference
from itssl.markup import require_pandas, table

Weights = Sequence[float] | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One term, unweighted, a scalar of the kind of the embeddings; smaller is better.

    ``meaning`` names what the term is or stands for, ``direction`` where its expectation on n rows lies relative to
    that: UPPER for a mean of squared sample covariances, UNKNOWN where it stands for no quantity.

    >>> import numpy as np
    >>> from itssl.objectives import vicreg_terms
    >>> term = vicreg_terms(np.eye(3), np.eye(3), normalization="solo").terms["variance"]
    >>> print(f"{term.value:.4f} {term.weight:g} {term.unit}")
    0.8451 25 z
    """

    value: Any
    weight: float
    unit: str
    meaning: str
    direction: Bias = Bias.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Bound:
    """``value`` (a scalar of the kind of the embeddings, ``unit``) bounds ``quantity`` in expectation.

    ``direction`` is LOWER or UPPER: the side of the quantity on which the expectation of the value lies.

    >>> Bound(quantity="I(Z; Z')", direction=Bias.LOWER, value=1.5).unit
    'nats'
    """

    quantity: str
    direction: Bias
    value: Any
    unit: str = "nats"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ObjectiveTerms:
    """The terms of an objective on one batch. ``terms.invariance`` is the value of the term of this name.

    ``bound`` is None where the terms bound no information quantity; ``remark`` says under which conditions they do, or
    why not. ``settings`` holds what was chosen, also relative to the scale of the embeddings.

    >>> term = Term(value=2.0, weight=25.0, unit="z²", meaning="mean squared distance of the views")
    >>> ObjectiveTerms(objective="one term", n=8, terms={"invariance": term}, remark="bounds nothing").total()
    50.0
    """

    objective: str
    n: int
    terms: Mapping[str, Term]
    remark: str
    bound: Bound | Any = None  # Any for None: most callers know whether there is one
    settings: Mapping[str, float | str] = field(default_factory=dict)
    reference: Reference | None = None

    def total(self, weights: Weights | None = None) -> Any:
        """Σ weight · term, to be minimized; by default with the weights of the cited source.

        ``weights``: one number a term in their order, or a mapping from some of their names (the others keep theirs).
        Raises ParameterError for another count or for weights that are not numbers, UnknownNameError for other names.
        """
        chosen = chosen_weights({name: term.weight for name, term in self.terms.items()}, weights)
        parts = [chosen[name] * term.value for name, term in self.terms.items() if chosen[name]]
        return sum(parts[1:], start=parts[0]) if parts else 0 * next(iter(self.terms.values())).value

    @property
    def metrics(self) -> dict[str, float]:
        """The terms (and the bound, as "bound") as plain numbers by name, for records of a training run."""
        values = {name: _number(term.value) for name, term in self.terms.items()}
        return values if self.bound is None else {**values, "bound": _number(self.bound.value)}

    def __getattr__(self, name: str) -> Any:
        terms = self.__dict__.get("terms", {})
        if name in terms:
            return terms[name].value
        known = ", ".join(map(repr, terms))
        raise AttributeError(f"{name}: {self.__dict__.get('objective')} has the terms {known}")

    def __repr__(self) -> str:
        parts = " + ".join(f"{t.weight:g}·{_number(t.value):.4g} [{name}]" for name, t in self.terms.items())
        return f"{self.objective}: {_number(self.total()):.4g} = {parts}{self._bound_text()} (n={self.n})"

    def _bound_text(self) -> str:
        if self.bound is None:
            return "; no bound"
        sign = "≤" if self.bound.direction is Bias.LOWER else "≥"
        return f"; {_number(self.bound.value):.4g} {self.bound.unit} {sign} {self.bound.quantity}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [
            (name, _number(t.value), t.weight, t.unit, t.direction.value, t.meaning) for name, t in self.terms.items()
        ]

    def to_pandas(self) -> Any:
        """The terms as a DataFrame over ``term``. ImportError without pandas."""
        return require_pandas().DataFrame(self._rows(), columns=list(_HEADS)).set_index("term")

    def _repr_html_(self) -> str:
        rows = [(name, f"{value:.4g}", f"{weight:g}", *words) for name, value, weight, *words in self._rows()]
        chosen = ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in self.settings.items())
        foot = f"total {_number(self.total()):.4g}{self._bound_text()}. {self.remark}"
        return table(_HEADS, rows, caption=(f"{self.objective}, n = {self.n}", chosen), whole=[foot])


_HEADS = ("term", "value", "weight", "unit", "direction", "meaning")


@dataclass(frozen=True, eq=False)
class Objective:
    """A ``…_terms`` function with its options, as what training minimizes: (z_a, z_b) to (loss, metrics by name).

    >>> import numpy as np
    >>> from itssl.objectives import vicreg_terms
    >>> loss, metrics = minimize(vicreg_terms, normalization="solo")(np.eye(3), np.eye(3))
    >>> print(f"{loss:.3f} {sorted(metrics)}")
    21.239 ['covariance', 'invariance', 'variance']
    """

    function: Callable[..., ObjectiveTerms]
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Weights | None = None

    def terms(self, z_a: Any, z_b: Any) -> ObjectiveTerms:
        """The record of terms, each with its unit, on this batch."""
        return self.function(z_a, z_b, **self.options)

    def __call__(self, z_a: Any, z_b: Any) -> tuple[Any, dict[str, float]]:
        terms = self.terms(z_a, z_b)
        return terms.total(self.weights), terms.metrics

    def __repr__(self) -> str:
        chosen = dict(self.options) | ({} if self.weights is None else {"weights": self.weights})
        name = getattr(self.function, "__name__", None) or repr(self.function)
        return f"{name}({', '.join(f'{k}={v!r}' for k, v in chosen.items())})"


def minimize(function: Callable[..., ObjectiveTerms], *, weights: Weights | None = None, **options: Any) -> Objective:
    """The objective that minimizes ``function(z_a, z_b, **options).total(weights)``; see :class:`Objective`.

    >>> from itssl.objectives import vicreg_terms
    >>> minimize(vicreg_terms, normalization="solo", weights={"covariance": 0.0})
    vicreg_terms(normalization='solo', weights={'covariance': 0.0})
    """
    return Objective(function, options, weights)


def chosen_weights(defaults: Mapping[str, float], weights: Weights | None) -> dict[str, float]:
    """The weight of each term: the defaults, replaced by name or all in order.

    >>> chosen_weights({"invariance": 25.0, "variance": 25.0}, {"variance": 0.0})
    {'invariance': 25.0, 'variance': 0.0}
    """
    if weights is None:
        return dict(defaults)
    if isinstance(weights, Mapping):
        for name in weights:
            require_known("weights", name, defaults)
        chosen = {**defaults, **weights}
    elif len(weights) == len(defaults):
        chosen = dict(zip(defaults, weights, strict=True))
    else:
        raise ParameterError(f"weights: expected {len(defaults)} numbers for {', '.join(defaults)}, got {weights!r}")
    for name, weight in chosen.items():
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise ParameterError(f"weights: expected a finite number for {name!r}, got {weight!r}")
    return {name: float(weight) for name, weight in chosen.items()}


def _number(value: Any) -> float:
    return float(on_host(value)) if hasattr(value, "detach") else float(value)
